//! Opening and saving messages (MS-OXCMSG 3.1.4).
//!
//! A client's changes are private until it saves: they are made to a [`MessageDraft`], a plain value, and
//! [`Mailbox::save_message`] writes it in one transaction.

use std::borrow::Cow;

use ringpost_convert::{
    message::{AttachmentContent, AttachmentData, MessageContent},
    mime_to_mapi::{html_body, part_data, plain_body, transport_headers},
    structure::Structure,
};
use ringpost_mapi::{
    ChangeNumber, FileTime, FolderId, MessageId, PropTag, PropValue, PropertyBag, Uid,
    codec::{decode_bag, decode_bags, encode_bag, encode_bags, get_from_encoded},
};
use rusqlite::{OptionalExtension, params};

use super::{
    columns::{Columns, MessageBits},
    encoding::{decode_attachments, encode_attachments},
    packed::{pack, unpack},
    removal::Removal,
    tags,
};
use crate::{
    EventKind, Flags, Mailbox, StoreError, Stored,
    folder::{Delta, Kind, State},
    imap::take_uid,
    incoming::has_attachments,
};

/// Values longer than this are kept apart, compressed: the others stay quick to read.
const LARGE_VALUE_BYTES: usize = 4 * 1024;
/// Encoded attachments longer than this are kept apart.
const LARGE_ATTACHMENTS_BYTES: usize = 8 * 1024;
/// What a conflicting save is told.
const NO_SHARED_CHANGE: &str = "the message was changed by somebody else";

/// A message as it is saved.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its folder.
    pub folder: FolderId,
    /// Its UID; an associated message has none.
    pub uid: Option<Uid>,
    /// Associated (FAI)?
    pub associated: bool,
    /// Soft-deleted?
    pub soft_deleted: bool,
    /// IMAP's flags.
    pub flags: Flags,
    /// The latest change of any kind, the read state's too.
    pub change: ChangeNumber,
    /// The latest change of the content (`PidTagChangeNumber`).
    pub version: ChangeNumber,
    /// Bytes.
    pub size: u64,
    /// Whether it came as Internet mail whose source is kept.
    pub has_source: bool,
    /// Properties (those that the store computes among them), recipients, attachments.
    pub content: MessageContent,
}

/// A message to be saved.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MessageDraft {
    /// The message to replace, and the version that it was opened at; `None` makes a new one.
    pub replaces: Option<(MessageId, ChangeNumber)>,
    /// Save over a version that somebody else saved meanwhile (`ForceSave`).
    pub force: bool,
    /// Associated (FAI); of new messages only.
    pub associated: bool,
    /// IMAP's flags; those of an existing message stay where `None`.
    pub flags: Option<Flags>,
    /// Properties, recipients, attachments. What the store computes is passed over.
    pub content: MessageContent,
}

impl Mailbox {
    /// Opens a message.
    pub fn message(&mut self, id: MessageId) -> Result<Message, StoreError> {
        let (mut message, columns, times) = self.message_row(id)?;
        let (properties, recipients, attachments, large_attachments) = self
            .connection
            .prepare_cached(
                "SELECT properties, recipients, attachments, large_attachments FROM message_data WHERE message = ?1",
            )?
            .query_row([id.to_disk()], |row| {
                Ok((
                    row.get::<_, Vec<u8>>(0)?,
                    row.get::<_, Option<Vec<u8>>>(1)?,
                    row.get::<_, Option<Vec<u8>>>(2)?,
                    row.get::<_, Option<i64>>(3)?,
                ))
            })?;
        let mut bag = decode_bag(&unpack(&properties)?)?;
        for (tag, value) in self.large_properties(id)?.iter() {
            bag.set(tag, value.clone());
        }
        columns.put(&mut bag, message.size, times.0, times.1);
        let attachments = match large_attachments {
            Some(content) => Some(Cow::Owned(self.whole_content(content)?)),
            None => attachments.as_deref().map(unpack).transpose()?,
        };
        message.content = MessageContent {
            properties: bag,
            named: Vec::new(),
            recipients: recipients.map_or(Ok(Vec::new()), |stored| decode_bags(&unpack(&stored)?))?,
            attachments: attachments.map_or(Ok(Vec::new()), |encoded| decode_attachments(&encoded))?,
        };
        Ok(message)
    }

    /// One property of a message, without reading the others. Bodies and the header of Internet mail are
    /// derived from its source; [`Self::message`] leaves them out.
    pub fn message_property(&mut self, id: MessageId, tag: PropTag) -> Result<Option<PropValue>, StoreError> {
        let properties: Vec<u8> = self
            .connection
            .prepare_cached("SELECT properties FROM message_data WHERE message = ?1")?
            .query_row([id.to_disk()], |row| row.get(0))
            .optional()?
            .ok_or_else(|| not_found(id))?;
        let properties = unpack(&properties)?;
        if let Some(value) = get_from_encoded(&properties, tag)? {
            return Ok(Some(value));
        }
        let (message, columns, times) = self.message_row(id)?;
        let mut bag = decode_bag(&properties)?;
        columns.put(&mut bag, message.size, times.0, times.1);
        if let Some(value) = bag.remove(tag) {
            return Ok(Some(value));
        }
        if let Some(value) = self.large_properties(id)?.remove(tag) {
            return Ok(Some(value));
        }
        if message.has_source {
            self.derived_property(id, tag)
        } else {
            Ok(None)
        }
    }

    fn message_row(&self, id: MessageId) -> Result<(Message, Columns, (FileTime, FileTime)), StoreError> {
        self.connection
            .prepare_cached(
                "SELECT folder, uid, state, flags, change, version, size, source, class, subject, sender,
                     received, modified FROM messages WHERE id = ?1",
            )?
            .query_row([id.to_disk()], |row| {
                let state: i64 = row.get(2)?;
                let bits = MessageBits::from_bits_retain(row.get(3)?);
                let uid: u32 = row.get(1)?;
                let message = Message {
                    id,
                    folder: FolderId::from_disk(row.get(0)?),
                    uid: (uid > 0).then_some(Uid(uid)),
                    associated: state & 1 != 0,
                    soft_deleted: state & 2 != 0,
                    flags: bits.imap(),
                    change: ChangeNumber(row.get::<_, i64>(4)? as u64),
                    version: ChangeNumber(row.get::<_, i64>(5)? as u64),
                    size: row.get::<_, i64>(6)? as u64,
                    has_source: row.get::<_, Option<i64>>(7)?.is_some(),
                    content: MessageContent::default(),
                };
                let columns = Columns {
                    bits,
                    class: row.get(8)?,
                    subject: row.get(9)?,
                    sender: row.get(10)?,
                };
                let time = |at| row.get::<_, i64>(at).map(|ticks| FileTime(ticks as u64));
                Ok((message, columns, (time(11)?, time(12)?)))
            })
            .optional()?
            .ok_or_else(|| not_found(id))
    }

    pub(crate) fn large_properties(&mut self, id: MessageId) -> Result<PropertyBag, StoreError> {
        let content: Option<i64> = self
            .connection
            .prepare_cached("SELECT large_properties FROM message_data WHERE message = ?1")?
            .query_row([id.to_disk()], |row| row.get(0))?;
        match content {
            Some(content) => Ok(decode_bag(&self.whole_content(content)?)?),
            None => Ok(PropertyBag::new()),
        }
    }

    /// The attachments where they are kept apart; none otherwise.
    pub(crate) fn large_attachments(&mut self, id: MessageId) -> Result<Vec<AttachmentContent>, StoreError> {
        let content: Option<i64> = self
            .connection
            .prepare_cached("SELECT large_attachments FROM message_data WHERE message = ?1")?
            .query_row([id.to_disk()], |row| row.get(0))?;
        match content {
            Some(content) => Ok(decode_attachments(&self.whole_content(content)?)?),
            None => Ok(Vec::new()),
        }
    }

    fn whole_content(&mut self, content: i64) -> Result<Vec<u8>, StoreError> {
        let mut value = Vec::new();
        self.read_content(content, 0..u64::MAX, &mut value)?;
        Ok(value)
    }

    /// Saves a message in a folder. A message without a source whose content is replaced gets a new UID,
    /// because to IMAP a message under a UID never changes.
    pub fn save_message(&mut self, folder: FolderId, draft: &MessageDraft) -> Result<Stored, StoreError> {
        self.transaction(|store| {
            let uids = store.uid_state(folder, Kind::Generic)?;
            let old = draft
                .replaces
                .map(|(id, version)| {
                    let (old, _, times) = store.message_row(id)?;
                    if old.folder != folder || old.soft_deleted {
                        return Err(not_found(id));
                    }
                    if old.version != version && !draft.force {
                        return Err(StoreError::NotAllowed(NO_SHARED_CHANGE));
                    }
                    Ok((old, times.0))
                })
                .transpose()?;
            let content = store.with_ids(&draft.content, false)?;
            let mut properties = content.properties.clone();
            let delivered = match properties.get(tags::MESSAGE_DELIVERY_TIME) {
                Some(PropValue::Time(time)) => Some(*time),
                _ => None,
            };
            let columns = Columns::take(&mut properties, has_attachments(&content));
            let encoded = store.encode(properties, &content)?;
            let associated = old.as_ref().map_or(draft.associated, |(old, _)| old.associated);
            let flags = draft
                .flags
                .or(old.as_ref().map(|(old, _)| old.flags))
                .unwrap_or_default();
            let size = match &old {
                Some((old, _)) if old.has_source => old.size,
                _ => encoded.size,
            };
            store.check_quota(size, usize::from(old.is_none()))?;
            let change = store.next_change();
            let mut uid_next = uids.uid_next;
            let mut row = SavedRow {
                id: MessageId(0),
                uid: Uid(0),
                identity: None,
                folder,
                state: if associated {
                    State::Associated
                } else {
                    State::Normal
                },
                bits: columns.bits.with_imap(flags),
                change,
                read_change: old
                    .as_ref()
                    .filter(|(old, _)| (old.flags ^ flags).contains(Flags::SEEN))
                    .map(|_| change),
                size,
                received: delivered
                    .or(old.as_ref().map(|(_, received)| *received))
                    .unwrap_or_else(FileTime::now),
            };
            let mut delta = Delta::of_message(row.state as i64, flags, size as i64);
            if let Some((old, _)) = &old {
                row.id = old.id;
                row.uid = old.uid.unwrap_or(Uid(0));
                let (state, size) = (row.state as i64, old.size as i64);
                delta = delta.plus(Delta::of_message(state, old.flags, size).negated());
                store.release_large(old.id)?;
                if !associated && !old.has_source {
                    store.note_removed(folder, change, old.id.to_disk(), row.uid.0, Removal::Rewritten)?;
                    row.uid = take_uid(&mut uid_next)?;
                    row.identity = Some(store.next_id());
                }
                store.update_row(&row, columns)?;
            } else {
                row.id = MessageId::own(store.next_id());
                if !associated {
                    row.uid = take_uid(&mut uid_next)?;
                }
                store.insert_row(&row, columns)?;
            }
            store.write_data(row.id, &encoded)?;
            store.count(folder, delta, Some(uid_next), change)?;
            let kind = if old.is_some() {
                EventKind::MessageChanged
            } else {
                EventKind::MessageCreated
            };
            store.tell(kind, folder, Some(row.id), change);
            Ok(Stored {
                message: row.id,
                uid: row.uid,
                uid_validity: uids.uid_validity,
                change,
            })
        })
    }

    fn insert_row(&self, row: &SavedRow, columns: Columns) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO messages (id, folder, uid, state, flags, change, version, size, received, modified,
                     class, subject, sender) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                row.id.to_disk(),
                row.folder.to_disk(),
                row.uid.0,
                row.state as i64,
                row.bits.bits(),
                row.change.0 as i64,
                row.size as i64,
                row.received.0 as i64,
                FileTime::now().0 as i64,
                columns.class,
                columns.subject,
                columns.sender
            ])?;
        Ok(())
    }

    fn update_row(&self, row: &SavedRow, columns: Columns) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET uid = ?2, flags = ?3, change = ?4, version = ?4, size = ?5, received = ?6,
                     modified = ?7, class = ?8, subject = ?9, sender = ?10, identity = coalesce(?11, identity),
                     read_change = coalesce(?12, read_change) WHERE id = ?1",
            )?
            .execute(params![
                row.id.to_disk(),
                row.uid.0,
                row.bits.bits(),
                row.change.0 as i64,
                row.size as i64,
                row.received.0 as i64,
                FileTime::now().0 as i64,
                columns.class,
                columns.subject,
                columns.sender,
                row.identity.map(|id| id as i64),
                row.read_change.map(|change| change.0 as i64)
            ])?;
        Ok(())
    }

    fn write_data(&self, id: MessageId, encoded: &Encoded) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO message_data (message, properties, recipients, attachments, large_properties,
                     large_attachments) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (message) DO UPDATE SET properties = ?2, recipients = ?3, attachments = ?4,
                     large_properties = ?5, large_attachments = ?6, lineage = NULL",
            )?
            .execute(params![
                id.to_disk(),
                encoded.properties,
                encoded.recipients,
                encoded.attachments,
                encoded.large_properties,
                encoded.large_attachments
            ])?;
        Ok(())
    }

    fn release_large(&mut self, id: MessageId) -> Result<(), StoreError> {
        for content in self.contents_of(id.to_disk(), None)? {
            self.release_content(content)?;
        }
        Ok(())
    }

    /// Encodes a message, and stores its large values.
    fn encode(
        &mut self,
        mut properties: PropertyBag,
        content: &MessageContent,
    ) -> Result<Encoded, StoreError> {
        let large: PropertyBag = properties
            .iter()
            .filter(|(_, value)| is_large(value))
            .map(|(tag, value)| (tag, value.clone()))
            .collect();
        for (tag, _) in large.iter() {
            properties.remove(tag);
        }
        let mut encoded = Encoded {
            properties: encode_bag(&properties),
            recipients: (!content.recipients.is_empty()).then(|| encode_bags(&content.recipients)),
            attachments: None,
            large_properties: None,
            large_attachments: None,
            size: 0,
        };
        encoded.size = (encoded.properties.len() + encoded.recipients.as_ref().map_or(0, Vec::len)) as u64;
        encoded.properties = pack(encoded.properties);
        encoded.recipients = encoded.recipients.map(pack);
        if !large.is_empty() {
            let value = encode_bag(&large);
            encoded.size += value.len() as u64;
            encoded.large_properties = Some(self.add_value(&value)?);
        }
        if !content.attachments.is_empty() {
            let value = encode_attachments(&content.attachments)?;
            encoded.size += value.len() as u64;
            if value.len() > LARGE_ATTACHMENTS_BYTES {
                encoded.large_attachments = Some(self.add_value(&value)?);
            } else {
                encoded.attachments = Some(pack(value));
            }
        }
        Ok(encoded)
    }

    fn add_value(&mut self, value: &[u8]) -> Result<i64, StoreError> {
        let level = self.options.compression_level;
        let compressed = level.and_then(|level| crate::content::compress(value, level));
        self.add_content(blake3::hash(value).as_bytes(), value, compressed.as_deref())
    }

    /// The bytes of an attachment: `path` goes from attachment to attachment of embedded messages, each an
    /// index. What is a part of the message's source is decoded from it.
    pub fn attachment_bytes(&mut self, id: MessageId, path: &[usize]) -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::NotFound(format!("attachment {path:?} of message {id}"));
        let message = self.message(id)?;
        let (last, embedding) = path.split_last().ok_or_else(missing)?;
        let mut content = &message.content;
        for index in embedding {
            match content.attachments.get(*index).map(|attachment| &attachment.data) {
                Some(AttachmentData::Embedded(inner)) => content = inner,
                _ => return Err(missing()),
            }
        }
        let attachment = content.attachments.get(*last).ok_or_else(missing)?;
        match &attachment.data {
            AttachmentData::Part(part) => self.part_of_source(id, part)?.ok_or_else(missing),
            AttachmentData::Embedded(_) => Err(missing()),
            AttachmentData::None => match attachment.properties.get(tags::ATTACH_DATA_BINARY) {
                Some(PropValue::Binary(bytes) | PropValue::Object(bytes)) => Ok(bytes.clone()),
                _ => Ok(Vec::new()),
            },
        }
    }

    fn part_of_source(&mut self, id: MessageId, path: &[u16]) -> Result<Option<Vec<u8>>, StoreError> {
        let (source, structure) = self.source_and_structure(id)?;
        Ok(part_data(&source, &structure, path).map(Cow::into_owned))
    }

    /// A property that is derived from the source and not stored: a body or the header.
    pub(crate) fn derived_property(
        &mut self,
        id: MessageId,
        tag: PropTag,
    ) -> Result<Option<PropValue>, StoreError> {
        if ![tags::BODY, tags::HTML, tags::TRANSPORT_MESSAGE_HEADERS].contains(&tag) {
            return Ok(None);
        }
        let (source, structure) = self.source_and_structure(id)?;
        Ok(match tag {
            tags::BODY => plain_body(&source, &structure).map(PropValue::String),
            tags::HTML => html_body(&source, &structure).map(|html| PropValue::Binary(html.into_bytes())),
            _ => Some(PropValue::String(transport_headers(&source, &structure))),
        })
    }

    fn source_and_structure(&mut self, id: MessageId) -> Result<(Vec<u8>, Structure), StoreError> {
        let encoded: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT structure FROM message_data WHERE message = ?1")?
            .query_row([id.to_disk()], |row| row.get(0))?;
        let structure = Structure::decode(&encoded.unwrap_or_default())
            .ok_or_else(|| StoreError::damaged("structure of a message"))?;
        let mut source = Vec::new();
        self.read_source(id, 0..u64::MAX, &mut source)?;
        Ok((source, structure))
    }
}

struct Encoded {
    properties: Vec<u8>,
    recipients: Option<Vec<u8>>,
    attachments: Option<Vec<u8>>,
    large_properties: Option<i64>,
    large_attachments: Option<i64>,
    size: u64,
}

struct SavedRow {
    id: MessageId,
    uid: Uid,
    /// A new one, where the content changes under IMAP's feet; `None` leaves it.
    identity: Option<u64>,
    folder: FolderId,
    state: State,
    bits: MessageBits,
    change: ChangeNumber,
    /// Where saving changed the read state.
    read_change: Option<ChangeNumber>,
    size: u64,
    received: FileTime,
}

fn is_large(value: &PropValue) -> bool {
    match value {
        PropValue::String(text) => text.len() > LARGE_VALUE_BYTES,
        PropValue::Binary(bytes) | PropValue::Object(bytes) => bytes.len() > LARGE_VALUE_BYTES,
        _ => false,
    }
}

pub(crate) fn not_found(id: MessageId) -> StoreError {
    StoreError::NotFound(format!("message {id}"))
}
