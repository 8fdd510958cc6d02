//! Opening and saving messages (MS-OXCMSG 3.1.4).
//!
//! A client's changes are private until it saves: they are made to a [`MessageDraft`], a plain value, and
//! [`Mailbox::save_message`] writes it in one transaction.

use std::borrow::Cow;

use ringpost_convert::{
    bodies::{self, Bodies},
    message::{AttachmentContent, AttachmentData, MessageContent},
    mime_to_mapi::{part_data, transport_headers},
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
    saved::saved_now,
    tags,
};
use crate::{
    EventKind, Flags, Mailbox, StoreError, Stored,
    flag_pages::{CHANGE, FLAGS, JOIN, MODIFIED, Pages, VERSION},
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
        columns.put(&mut bag, message.associated, message.size, times.0, times.1);
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
        if let Some(value) = crate::table::computed_property(self, id, tag)? {
            return Ok(Some(value));
        }
        let (message, columns, times) = self.message_row(id)?;
        let mut bag = decode_bag(&properties)?;
        columns.put(&mut bag, message.associated, message.size, times.0, times.1);
        if let Some(value) = bag.remove(tag) {
            return Ok(Some(value));
        }
        if let Some(value) = self.large_properties(id)?.remove(tag) {
            return Ok(Some(value));
        }
        if message.has_source {
            return self.derived_property(id, tag);
        }
        // One form of a body is made of another.
        if !bodies::FORMS.contains(&tag) {
            return Ok(None);
        }
        for (tag, value) in self.large_properties(id)?.iter() {
            bag.set(tag, value.clone());
        }
        Ok(bodies::form(&bag, tag))
    }

    pub(super) fn message_row(
        &self,
        id: MessageId,
    ) -> Result<(Message, Columns, (FileTime, FileTime)), StoreError> {
        self.connection
            .prepare_cached(&format!(
                "SELECT m.folder, m.uid, m.state, {FLAGS}, {CHANGE}, {VERSION}, m.size, m.source, m.class, m.subject,
                     m.sender, m.received, {MODIFIED} FROM messages m {JOIN} WHERE m.id = ?1"
            ))?
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
            store.uid_state(folder, Kind::Generic)?;
            let replaced = draft
                .replaces
                .map(|(id, version)| {
                    let replaced = store.replaceable(folder, id)?;
                    if replaced.message.version != version && !draft.force {
                        return Err(StoreError::NotAllowed(NO_SHARED_CHANGE));
                    }
                    Ok(replaced)
                })
                .transpose()?;
            store.write_message(folder, draft, replaced, None)
        })
    }

    /// A message that may be saved over.
    pub(super) fn replaceable(&self, folder: FolderId, id: MessageId) -> Result<Replaced, StoreError> {
        let (message, columns, (received, modified)) = self.message_row(id)?;
        if message.folder != folder || message.soft_deleted {
            return Err(not_found(id));
        }
        Ok(Replaced {
            bits: columns.bits,
            message,
            received,
            modified,
        })
    }

    /// Writes a message, over another one perhaps. `given` are the id of a new one and its modification time,
    /// where a client made it offline. Inside a transaction.
    pub(super) fn write_message(
        &mut self,
        folder: FolderId,
        draft: &MessageDraft,
        replaced: Option<Replaced>,
        given: Option<(MessageId, FileTime)>,
    ) -> Result<Stored, StoreError> {
        let uids = self.uid_state(folder, Kind::Generic)?;
        let mut content = self.with_ids(&draft.content, false)?;
        set_display_names(&mut content);
        let id = match (&replaced, given) {
            (Some(old), _) => old.message.id,
            (None, Some((id, _))) => id,
            (None, None) => MessageId::own(self.next_id()),
        };
        let mut properties = std::mem::take(&mut content.properties);
        self.set_origin(id, replaced.is_some(), &mut properties)?;
        let delivered = match properties.get(tags::MESSAGE_DELIVERY_TIME) {
            Some(PropValue::Time(time)) => Some(*time),
            _ => None,
        };
        let kept = properties.get(tags::MESSAGE_FLAGS).cloned();
        let columns = Columns::take(&mut properties, has_attachments(&content));
        let mut bits = columns.bits;
        if let Some(old) = &replaced {
            bits = bits.with_kept_of(old.bits, matches!(kept, Some(PropValue::Integer32(_))));
        }
        let encoded = self.encode(properties, &content)?;
        let old = replaced.as_ref().map(|old| &old.message);
        let associated = old.map_or(draft.associated, |old| old.associated);
        let flags = draft.flags.or(old.map(|old| old.flags)).unwrap_or_default();
        let size = match old {
            Some(old) if old.has_source => old.size,
            _ => encoded.size,
        };
        self.check_quota(size, usize::from(replaced.is_none()))?;
        let change = self.next_change();
        let mut uid_next = uids.uid_next;
        let mut row = SavedRow {
            id,
            uid: Uid(0),
            identity: None,
            folder,
            state: if associated {
                State::Associated
            } else {
                State::Normal
            },
            bits: bits.with_imap(flags),
            change,
            read_change: old
                .filter(|old| (old.flags ^ flags).contains(Flags::SEEN))
                .map(|_| change),
            size,
            received: delivered
                .or(replaced.as_ref().map(|old| old.received))
                .unwrap_or_else(FileTime::now),
            modified: given.map_or_else(FileTime::now, |(_, modified)| modified),
            saved: None,
        };
        let mut delta = Delta::of_message(row.state as i64, flags, size as i64);
        if let Some(old) = old {
            row.uid = old.uid.unwrap_or(Uid(0));
            let (state, size) = (row.state as i64, old.size as i64);
            delta = delta.plus(Delta::of_message(state, old.flags, size).negated());
            self.release_large(old.id)?;
            if !associated && !old.has_source {
                self.note_removed(folder, change, old.id.to_disk(), row.uid.0, Removal::Rewritten)?;
                let mut pages = Pages::default();
                let taken = pages.take(&self.connection, folder, row.uid.0)?;
                pages.finish(&self.connection)?;
                row.uid = take_uid(&mut uid_next)?;
                row.identity = Some(self.next_id());
                row.saved = Some(saved_now(row.received));
                self.update_row(&row, columns)?;
                if let Some((state, keywords)) = taken {
                    self.restore_row(&row, state.read_change, keywords.as_deref())?;
                }
            } else {
                self.update_row(&row, columns)?;
                if !associated {
                    self.edit_state(folder, row.id.to_disk(), Some(row.uid), |state| {
                        state.bits = row.bits;
                        (state.change, state.version) = (change.0, change.0);
                        state.read_change = row.read_change.map_or(state.read_change, |read| read.0);
                        state.modified = row.modified.0 as i64;
                    })?;
                }
            }
        } else {
            if !associated {
                row.uid = take_uid(&mut uid_next)?;
            }
            row.saved = Some(saved_now(row.received));
            self.insert_row(&row, columns)?;
        }
        self.write_data(row.id, &encoded)?;
        self.count(folder, delta, Some(uid_next), change)?;
        let paged = self.uid_state(folder, Kind::Generic)?.paged;
        self.page_tail(folder, paged, uid_next)?;
        let kind = if old.is_some() {
            EventKind::MessageChanged
        } else {
            EventKind::MessageCreated
        };
        self.tell(kind, folder, Some(row.id), change);
        Ok(Stored {
            message: row.id,
            uid: row.uid,
            uid_validity: uids.uid_validity,
            change,
        })
    }

    /// What says where a message comes from and stays with it: `PidTagCreationTime`, and `PidTagSearchKey`, which
    /// copies share (MS-OXCMSG 2.2.1.1, MS-OXCPRPT 2.2.1.9). Of a message saved over they stay as they are.
    fn set_origin(&self, id: MessageId, old: bool, properties: &mut PropertyBag) -> Result<(), StoreError> {
        let kept: Option<Vec<u8>> = if old {
            self.connection
                .prepare_cached("SELECT properties FROM message_data WHERE message = ?1")?
                .query_row([id.to_disk()], |row| row.get(0))
                .optional()?
        } else {
            None
        };
        let kept = kept.as_deref().map(unpack).transpose()?;
        for tag in [tags::CREATION_TIME, tags::SEARCH_KEY] {
            let known = kept
                .as_deref()
                .map(|bag| get_from_encoded(bag, tag))
                .transpose()?;
            if let Some(value) = known.flatten() {
                properties.set(tag, value);
            } else if !old && properties.get(tag).is_none() {
                let value = if tag == tags::CREATION_TIME {
                    PropValue::Time(FileTime::now())
                } else {
                    PropValue::Binary(search_key(self.guid().0, id))
                };
                properties.set(tag, value);
            }
        }
        Ok(())
    }

    fn insert_row(&self, row: &SavedRow, columns: Columns) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO messages (id, folder, uid, state, flags, change, version, size, received, modified,
                     class, subject, sender, saved)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
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
                row.modified.0 as i64,
                columns.class,
                columns.subject,
                columns.sender,
                row.saved
            ])?;
        Ok(())
    }

    fn update_row(&self, row: &SavedRow, columns: Columns) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET uid = ?2, flags = ?3, change = ?4, version = ?4, size = ?5, received = ?6,
                     modified = ?7, class = ?8, subject = ?9, sender = ?10, identity = coalesce(?11, identity),
                     read_change = coalesce(?12, read_change),
                     saved = coalesce(?13, saved + received / 10000000 - ?6 / 10000000) WHERE id = ?1",
            )?
            .execute(params![
                row.id.to_disk(),
                row.uid.0,
                row.bits.bits(),
                row.change.0 as i64,
                row.size as i64,
                row.received.0 as i64,
                row.modified.0 as i64,
                columns.class,
                columns.subject,
                columns.sender,
                row.identity.map(|id| id as i64),
                row.read_change.map(|change| change.0 as i64),
                row.saved
            ])?;
        Ok(())
    }

    /// Gives a row back what its flag page had besides.
    fn restore_row(
        &self,
        row: &SavedRow,
        read_change: u64,
        keywords: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let read_change = row.read_change.map_or(read_change, |change| change.0);
        self.connection
            .prepare_cached("UPDATE messages SET keywords = ?2, read_change = ?3 WHERE id = ?1")?
            .execute(params![
                row.id.to_disk(),
                keywords,
                (read_change > 0).then_some(read_change as i64)
            ])?;
        Ok(())
    }

    fn write_data(&self, id: MessageId, encoded: &Encoded) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO message_data (message, properties, recipients, attachments, large_properties,
                     large_attachments) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (message) DO UPDATE SET properties = ?2, recipients = ?3, attachments = ?4,
                     large_properties = ?5, large_attachments = ?6",
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
        if tag != tags::TRANSPORT_MESSAGE_HEADERS && !bodies::FORMS.contains(&tag) {
            return Ok(None);
        }
        let (source, structure) = self.source_and_structure(id)?;
        if tag == tags::TRANSPORT_MESSAGE_HEADERS {
            return Ok(Some(PropValue::String(transport_headers(&source, &structure))));
        }
        let properties: Vec<u8> = self
            .connection
            .prepare_cached("SELECT properties FROM message_data WHERE message = ?1")?
            .query_row([id.to_disk()], |row| row.get(0))?;
        let properties = unpack(&properties)?;
        let page = get_from_encoded(&properties, tags::INTERNET_CODEPAGE)?;
        let page: PropertyBag = page
            .map(|page| (tags::INTERNET_CODEPAGE, page))
            .into_iter()
            .collect();
        Ok(Bodies::of_source(&source, &structure, tag).form(tag, &page))
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
    modified: FileTime,
    /// The column, where the message is new in its folder; `None`: what it has follows `received`.
    saved: Option<i64>,
}

/// A message that is saved over.
pub(super) struct Replaced {
    pub(super) message: Message,
    pub(super) bits: MessageBits,
    pub(super) received: FileTime,
    pub(super) modified: FileTime,
}

/// `PidTagSearchKey` of what is made here: 16 bytes that differ for each.
pub(crate) fn search_key(store: ringpost_mapi::Guid, id: MessageId) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&store.0).update(&id.0.to_le_bytes());
    hasher.finalize().as_bytes()[..16].to_vec()
}

/// The recipients' names as lists show them (MS-OXCMSG 2.2.1.9 to 2.2.1.11).
fn set_display_names(content: &mut MessageContent) {
    for (kind, tag) in [
        (1, tags::DISPLAY_TO),
        (2, tags::DISPLAY_CC),
        (3, tags::DISPLAY_BCC),
    ] {
        let names: Vec<&str> = content
            .recipients
            .iter()
            .filter(|row| matches!(row.get(tags::RECIPIENT_TYPE), Some(PropValue::Integer32(n)) if n & 0xf == kind))
            .filter_map(|row| {
                [tags::DISPLAY_NAME, tags::SMTP_ADDRESS, tags::EMAIL_ADDRESS]
                    .into_iter()
                    .find_map(|tag| row.string(tag))
            })
            .collect();
        if names.is_empty() {
            content.properties.remove(tag);
        } else {
            let names = names.join("; ");
            content.properties.set(tag, PropValue::String(names));
        }
    }
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
