//! A message on its way into mailboxes: parsed and compressed once, stored in each.

use std::sync::Arc;

use bytes::Bytes;
use ringpost_convert::{message::MessageContent, structure::Structure};
use ringpost_mapi::{
    CodecError, FileTime, FolderId, GLOBAL_COUNTER_MAX, MessageId, PropValue, PropertyBag,
    codec::{encode_bag, encode_bags, get_from_encoded},
};
use rusqlite::params;

use crate::{
    EventKind, Flags, Mailbox, StoreError,
    folder::{Delta, Kind, State},
    imap::{keywords, take_uid},
    message::{columns::Columns, encoding::encode_attachments, packed::pack, saved::saved_now, tags},
    named::has_names,
};

/// A message ready to be stored in any number of mailboxes. Immutable and shared between cores.
#[derive(Debug)]
pub struct PreparedMessage {
    /// The source, byte for byte.
    pub source: Bytes,
    /// Its structure.
    pub structure: Structure,
    /// Its MAPI objects.
    pub content: MessageContent,
    /// The source as the store will keep it.
    pub compressed: Option<Vec<u8>>,
    /// BLAKE3 of the source: its identity in a store's content table.
    pub hash: [u8; 32],
    pub(crate) row: Row,
}

impl PreparedMessage {
    /// Parses and compresses `source`. CPU work only: about 10 µs a kilobyte.
    pub fn new(source: Bytes, compression_level: Option<i32>) -> Arc<Self> {
        let structure = Structure::of(&source);
        let content = ringpost_convert::message::from_mime(&source, &structure);
        Arc::new(Self {
            hash: *blake3::hash(&source).as_bytes(),
            compressed: compression_level.and_then(|level| {
                let header = structure.root.header.end as usize;
                crate::content::compress_message(&source, header, level)
            }),
            row: Row::of(&content, &structure),
            structure,
            content,
            source,
        })
    }
}

/// A message's row and encoded values, the same in every mailbox.
#[derive(Debug)]
pub(crate) struct Row {
    columns: Columns,
    pub(crate) structure: Vec<u8>,
    pub(crate) properties: Vec<u8>,
    pub(crate) recipients: Option<Vec<u8>>,
    /// What is over a limit fails when it is stored, not here.
    pub(crate) attachments: Result<Option<Vec<u8>>, CodecError>,
}

impl Row {
    pub(crate) fn of(content: &MessageContent, structure: &Structure) -> Self {
        let (columns, properties) = Self::properties(content);
        let attachments = (!content.attachments.is_empty()).then(|| encode_attachments(&content.attachments));
        Self {
            columns,
            structure: structure.encode(),
            properties: pack(encode_bag(&properties)),
            recipients: (!content.recipients.is_empty()).then(|| pack(encode_bags(&content.recipients))),
            attachments: attachments.transpose().map(|encoded| encoded.map(pack)),
        }
    }

    fn properties(content: &MessageContent) -> (Columns, PropertyBag) {
        let mut properties = content.properties.clone();
        // The source has them.
        properties.remove(tags::TRANSPORT_MESSAGE_HEADERS);
        let columns = Columns::take(&mut properties, has_attachments(content));
        (columns, properties)
    }

    /// What is packed of a message: properties, recipients, attachments.
    #[cfg(test)]
    pub(crate) fn values(content: &MessageContent) -> [Option<Vec<u8>>; 3] {
        [
            Some(encode_bag(&Self::properties(content).1)),
            (!content.recipients.is_empty()).then(|| encode_bags(&content.recipients)),
            encode_attachments(&content.attachments)
                .ok()
                .filter(|_| !content.attachments.is_empty()),
        ]
    }
}

/// Whether the message shows a paper clip: inline images don't count (MS-OXCMSG 2.2.1.2).
pub(crate) fn has_attachments(content: &MessageContent) -> bool {
    content.attachments.iter().any(|attachment| {
        attachment.properties.get(tags::ATTACHMENT_HIDDEN) != Some(&PropValue::Boolean(true))
    })
}

/// Messages that [`Mailbox::has_received`] looks at.
const LATEST: i64 = 1000;

/// What becomes of a message as it is stored.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// Its IMAP flags.
    pub flags: Flags,
    /// Its IMAP keywords.
    pub keywords: Vec<String>,
    /// IMAP's INTERNALDATE, MAPI's `PidTagMessageDeliveryTime`.
    pub received: FileTime,
}

/// Where a stored message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The message's id.
    pub message: ringpost_mapi::MessageId,
    /// Its UID in the folder.
    pub uid: ringpost_mapi::Uid,
    /// The folder's UIDVALIDITY.
    pub uid_validity: u32,
    /// The change that created it.
    pub change: ringpost_mapi::ChangeNumber,
}

impl Mailbox {
    /// Stores a message in a folder. Quotas are checked (`PidTagProhibitReceiveQuota`).
    pub fn store_message(
        &mut self,
        folder: FolderId,
        message: &PreparedMessage,
        placement: &Placement,
    ) -> Result<Stored, StoreError> {
        self.transaction(|store| {
            let uids = store.uid_state(folder, Kind::Generic)?;
            let size = message.source.len() as u64;
            store.check_quota(size, 1)?;
            // Named properties have other ids in each store.
            let resolved = if has_names(&message.content) {
                Some(Row::of(
                    &store.with_ids(&message.content, true)?,
                    &message.structure,
                ))
            } else {
                None
            };
            let row = resolved.as_ref().unwrap_or(&message.row);
            let attachments = row
                .attachments
                .as_ref()
                .map_err(|error| StoreError::from(*error))?;
            let mut uid_next = uids.uid_next;
            let uid = take_uid(&mut uid_next)?;
            let keywords = store.keyword_ids(&placement.keywords, true)?;
            let source = store.add_content(&message.hash, &message.source, message.compressed.as_deref())?;
            let id = MessageId::own(store.next_id());
            let change = store.next_change();
            store
                .connection
                .prepare_cached(
                    "INSERT INTO messages (id, folder, uid, state, flags, keywords, change, version, size,
                         received, modified, source, class, subject, sender, saved)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                )?
                .execute(params![
                    id.to_disk(),
                    folder.to_disk(),
                    uid.0,
                    State::Normal as i64,
                    row.columns.bits.with_imap(placement.flags).bits(),
                    keywords::encode(&keywords),
                    change.0 as i64,
                    size as i64,
                    placement.received.0 as i64,
                    FileTime::now().0 as i64,
                    source,
                    row.columns.class,
                    row.columns.subject,
                    row.columns.sender,
                    saved_now(placement.received)
                ])?;
            store
                .connection
                .prepare_cached(
                    "INSERT INTO message_data (message, structure, properties, recipients, attachments)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    id.to_disk(),
                    row.structure,
                    row.properties,
                    row.recipients,
                    attachments
                ])?;
            let delta = Delta::of_message(State::Normal as i64, placement.flags, size as i64);
            store.count(folder, delta, Some(uid_next), change)?;
            store.page_tail(folder, uids.paged, uid_next)?;
            store.tell(EventKind::MessageCreated, folder, Some(id), change);
            Ok(Stored {
                message: id,
                uid,
                uid_validity: uids.uid_validity,
                change,
            })
        })
    }

    /// Whether a message whose source begins so is among the latest that came, in whatever folder, deleted ones that
    /// can be restored among them. Looks at [`LATEST`] messages at most, and reads of those that came since then.
    pub fn has_received(&mut self, beginning: &[u8], since: FileTime) -> Result<bool, StoreError> {
        let sources: Vec<i64> = {
            // Own ids grow, and are below all others.
            let mut statement = self.connection.prepare_cached(
                "SELECT source FROM (SELECT source, received FROM messages WHERE id BETWEEN 1 AND ?1
                     ORDER BY id DESC LIMIT ?2)
                 WHERE received >= ?3 AND source IS NOT NULL",
            )?;
            let rows = statement.query_map(
                params![GLOBAL_COUNTER_MAX as i64, LATEST, since.0 as i64],
                |row| row.get(0),
            )?;
            rows.collect::<Result<_, _>>()?
        };
        let mut head = Vec::new();
        for source in sources {
            head.clear();
            // One that can't be read is taken for another: at worst there are two of it then.
            let read = self.read_content(source, 0..beginning.len() as u64, &mut head);
            if read.is_ok() && head == beginning {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The limit that the directory of accounts sets for this mailbox, in KiB, until it is set again. It
    /// joins the store's own `PidTagProhibitReceiveQuota`: the lower of them counts. Costs nothing, so
    /// whoever stores a message says it each time.
    pub fn set_account_quota(&mut self, receive_kib: Option<u64>) {
        self.account_quota_kib = receive_kib;
    }

    /// Whether `more` bytes of so many messages fit (`PidTagProhibitReceiveQuota`, in KiB; none where unset or
    /// negative; and [`crate::OpenOptions::max_messages`]).
    pub(crate) fn check_quota(&self, more: u64, messages: usize) -> Result<(), StoreError> {
        if self.options.max_messages > 0 {
            let count: i64 = self
                .connection
                .prepare_cached(
                    "SELECT coalesce(sum(messages + associated), 0) FROM folders WHERE search = 0 AND state = 0",
                )?
                .query_row([], |row| row.get(0))?;
            if count.unsigned_abs().saturating_add(messages as u64) > self.options.max_messages {
                return Err(StoreError::LimitExceeded("mailbox quota of messages"));
            }
        }
        let limits = [self.receive_quota_kib, self.account_quota_kib];
        let Some(limit_kib) = limits.into_iter().flatten().min() else {
            return Ok(());
        };
        if self.counters.size.saturating_add(more) > limit_kib.saturating_mul(1024) {
            return Err(StoreError::LimitExceeded("mailbox quota"));
        }
        Ok(())
    }
}

/// The quota in a store's encoded properties.
pub(crate) fn receive_quota_kib(properties: &[u8]) -> Result<Option<u64>, StoreError> {
    Ok(
        match get_from_encoded(properties, tags::PROHIBIT_RECEIVE_QUOTA)? {
            Some(PropValue::Integer32(kib)) => u64::try_from(kib).ok(),
            _ => None,
        },
    )
}
