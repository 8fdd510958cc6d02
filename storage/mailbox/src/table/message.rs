//! A message as a table's row: properties from the columns of its row, and from its encoded properties where
//! columns don't hold them.

use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
};

use ringpost_mapi::{
    ChangeNumber, FileTime, FolderId, Guid, MessageId, PropTag, PropType, PropValue, PropertyBag,
    codec::{decode_bags, get_from_encoded},
    entryid::{FolderEntryId, GlobalId, MessageEntryId, PUBLIC_PROVIDER, encode_replica_id},
    restriction::{PropertySource, SubObjectTable},
    tags,
};
use rusqlite::Row;

use super::sql::{Column, ColumnKind};
use crate::{
    Mailbox, StoreError,
    flag_pages::JOIN,
    lineage::Lineage,
    message::{
        columns::{Columns, MessageBits},
        encoding::decode_attachments,
        packed::unpack,
        search_key,
    },
};

/// The properties that SQL can compare, over `messages m` with [`JOIN`]. Importance and attachments come and go with
/// the content only, so they are in the row.
pub(crate) const SQL_COLUMNS: &[Column] = &[
    Column {
        tag: tags::MESSAGE_DELIVERY_TIME,
        expression: "m.received",
        kind: ColumnKind::Time,
    },
    Column {
        tag: tags::LAST_MODIFICATION_TIME,
        expression: "flag_page(p.entries, m.uid, 5, m.modified)",
        kind: ColumnKind::Time,
    },
    Column {
        tag: tags::MESSAGE_SIZE_EXTENDED,
        expression: "m.size",
        kind: ColumnKind::Integer64,
    },
    Column {
        tag: tags::MESSAGE_SIZE,
        expression: "min(m.size, 2147483647)",
        kind: ColumnKind::Integer32,
    },
    Column {
        tag: tags::MESSAGE_CLASS,
        expression: "coalesce(m.class, 'IPM.Note')",
        kind: ColumnKind::Text,
    },
    Column {
        tag: tags::NORMALIZED_SUBJECT,
        expression: "m.subject",
        kind: ColumnKind::Text,
    },
    Column {
        tag: tags::SENT_REPRESENTING_NAME,
        expression: "m.sender",
        kind: ColumnKind::Text,
    },
    Column {
        tag: tags::HAS_ATTACHMENTS,
        expression: "((m.flags >> 8) & 1)",
        kind: ColumnKind::Boolean,
    },
    Column {
        tag: tags::READ,
        expression: "(flag_page(p.entries, m.uid, 0, m.flags) & 1)",
        kind: ColumnKind::Boolean,
    },
    Column {
        tag: tags::INTERNET_ARTICLE_NUMBER,
        expression: "m.uid",
        kind: ColumnKind::Integer32,
    },
    Column {
        tag: tags::MESSAGE_FLAGS,
        expression: "(flag_page(p.entries, m.uid, 7, m.flags) | ((m.state & 1) << 6))",
        kind: ColumnKind::Integer32,
    },
    Column {
        tag: tags::IMPORTANCE,
        expression: "iif(m.flags & 512, 0, iif(m.flags & 1024, 2, 1))",
        kind: ColumnKind::Integer32,
    },
];

/// What [`Message::read`] reads, of `messages m` with [`JOIN`].
pub(crate) const ROW: &str = "m.id, m.folder, m.uid, m.state, flag_page(p.entries, m.uid, 0, m.flags),
     flag_page(p.entries, m.uid, 3, m.version), m.size, m.received, flag_page(p.entries, m.uid, 5, m.modified),
     m.class, m.subject, m.sender, coalesce(m.identity, m.id)";
/// What it reads besides where encoded properties are needed, of `message_data d`.
pub(crate) const DATA: &str = "d.properties, d.recipients, d.attachments, d.large_properties IS NOT NULL, d.large_attachments IS NOT NULL,
     m.source IS NOT NULL, d.lineage";
/// How many columns [`ROW`] has.
const ROW_COLUMNS: usize = 13;

/// What ids of the store look like outside.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The mailbox, whose own replica has the same GUID.
    pub(crate) mailbox: Guid,
    /// Whether it is a public store.
    pub(crate) public: bool,
    /// The other replicas whose ids the store keeps.
    pub(crate) replicas: Vec<(u16, Guid)>,
}

impl Identity {
    /// The global id of a folder's or message's id.
    pub(crate) fn global(&self, replica: u16, counter: u64) -> GlobalId {
        let guid = self
            .replicas
            .iter()
            .find(|(id, _)| *id == replica)
            .map_or(self.mailbox, |(_, guid)| *guid);
        GlobalId {
            replica: guid,
            counter,
        }
    }

    /// Provider of entry ids.
    fn provider(&self) -> Guid {
        if self.public {
            PUBLIC_PROVIDER
        } else {
            self.mailbox
        }
    }

    /// A folder's entry id.
    pub(crate) fn folder_entry_id(&self, folder: FolderId) -> Vec<u8> {
        let folder = self.global(folder.replica(), folder.counter());
        FolderEntryId {
            provider: self.provider(),
            public: self.public,
            folder,
        }
        .encode()
    }

    fn message_entry_id(&self, folder: FolderId, message: MessageId) -> Vec<u8> {
        let folder = self.global(folder.replica(), folder.counter());
        let message = self.global(message.replica(), message.counter());
        MessageEntryId {
            provider: self.provider(),
            public: self.public,
            folder,
            message,
        }
        .encode()
    }
}

/// An id as `PtypInteger64` has it: the bytes of the wire.
pub(crate) fn id_value(id: u64) -> PropValue {
    PropValue::Integer64(i64::from_le_bytes(encode_replica_id(id)))
}

/// A change number in the same form.
pub(crate) fn change_value(change: ChangeNumber) -> PropValue {
    id_value(MessageId::own(change.0).0)
}

/// A message's row.
pub(crate) struct Message<'a> {
    identity: &'a Identity,
    pub(crate) id: MessageId,
    pub(crate) folder: FolderId,
    uid: u32,
    state: u32,
    version: ChangeNumber,
    size: u64,
    received: FileTime,
    modified: FileTime,
    identity_id: MessageId,
    kept: Columns,
    /// What is put together from columns, once it is asked for.
    combined: OnceCell<PropertyBag>,
    /// What is kept elsewhere and was read for it.
    rest: Rest,
    /// What was asked for and is kept elsewhere.
    missed: Cell<Elsewhere>,
    pub(crate) unread: bool,
    data: Option<Data>,
}

struct Data {
    properties: Vec<u8>,
    recipients: Option<Vec<u8>>,
    attachments: Option<Vec<u8>>,
    lineage: Option<Vec<u8>>,
    /// What there is elsewhere.
    elsewhere: Elsewhere,
}

bitflags::bitflags! {
    /// What of a message is neither in its row nor in its encoded properties.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Elsewhere: u8 {
        /// Large properties.
        const LARGE = 1;
        /// Attachments, where they are large together.
        const ATTACHMENTS = 1 << 1;
        // What is derived from the source:
        const BODY = 1 << 2;
        const HTML = 1 << 3;
        const HEADERS = 1 << 4;
    }
}

impl Elsewhere {
    /// What is derived from a source.
    const DERIVED: [(Self, PropTag); 3] = [
        (Self::BODY, tags::BODY),
        (Self::HTML, tags::HTML),
        (Self::HEADERS, tags::TRANSPORT_MESSAGE_HEADERS),
    ];
}

/// What was read of it.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    read: Elsewhere,
    properties: PropertyBag,
    attachments: Vec<PropertyBag>,
}

impl Rest {
    /// Reads what `missed` says.
    fn read(&mut self, mailbox: &mut Mailbox, id: MessageId, missed: Elsewhere) -> Result<(), StoreError> {
        if missed.contains(Elsewhere::LARGE) {
            for (tag, value) in mailbox.large_properties(id)?.iter() {
                self.properties.set(tag, value.clone());
            }
        }
        for (_, tag) in Elsewhere::DERIVED.iter().filter(|(one, _)| missed.contains(*one)) {
            if let Some(value) = mailbox.derived_property(id, *tag)? {
                self.properties.set(*tag, value);
            }
        }
        if missed.contains(Elsewhere::ATTACHMENTS) {
            let attachments = mailbox.large_attachments(id)?;
            self.attachments = attachments.into_iter().map(|one| one.properties).collect();
        }
        self.read |= missed;
        Ok(())
    }
}

/// Shows one message to `look`, again where it asked for what is kept elsewhere: then with that. `None` where
/// there is no such message.
pub(crate) fn look_at<T>(
    mailbox: &mut Mailbox,
    identity: &Identity,
    id: MessageId,
    columns: &str,
    look: &mut dyn FnMut(&Message<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let sql = format!(
        "SELECT {columns}, {DATA} FROM messages m JOIN message_data d ON d.message = m.id {JOIN} WHERE m.id = ?1"
    );
    let mut rest = Rest::default();
    loop {
        let missed = {
            let mut statement = mailbox.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([id.to_disk()])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let mut message = Message::read(row, identity, true)?;
            message.rest = rest;
            let seen = look(&message)?;
            let missed = message.missed.get();
            if missed.is_empty() {
                return Ok(Some(seen));
            }
            rest = message.rest;
            missed
        };
        rest.read(mailbox, id, missed)?;
    }
}

/// A property that the store computes and keeps nowhere: ids, keys, changes, origin.
pub(crate) fn computed(
    mailbox: &mut Mailbox,
    id: MessageId,
    tag: PropTag,
) -> Result<Option<PropValue>, StoreError> {
    const COMPUTED: [PropTag; 16] = [
        tags::MID,
        tags::FOLDER_ID,
        tags::INST_ID,
        tags::ENTRY_ID,
        tags::RECORD_KEY,
        tags::PARENT_ENTRY_ID,
        tags::SOURCE_KEY,
        tags::PARENT_SOURCE_KEY,
        tags::CHANGE_NUMBER,
        tags::CHANGE_KEY,
        tags::PREDECESSOR_CHANGE_LIST,
        tags::MESSAGE_STATUS,
        tags::ASSOCIATED,
        tags::READ,
        tags::CREATION_TIME,
        tags::SEARCH_KEY,
    ];
    let tag = untyped(tag);
    let wide = [tags::MESSAGE_SIZE_EXTENDED, tags::INTERNET_ARTICLE_NUMBER];
    if !COMPUTED.contains(&tag) && !wide.contains(&tag) {
        return Ok(None);
    }
    Ok(look_at_message(mailbox, id, &mut |message| message.get(tag))?.flatten())
}

/// [`look_at`] with all columns.
pub(crate) fn look_at_message<T>(
    mailbox: &mut Mailbox,
    id: MessageId,
    look: &mut dyn FnMut(&Message<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let identity = super::contents::identity(mailbox)?;
    look_at(mailbox, &identity, id, ROW, look)
}

/// An encoded value, from the form that it is stored in.
fn unpacked(row: &Row<'_>, column: usize) -> Result<Option<Vec<u8>>, StoreError> {
    let stored = row.get_ref(column)?.as_blob_or_null()?;
    Ok(stored.map(unpack).transpose()?.map(Cow::into_owned))
}

impl<'a> Message<'a> {
    /// Whether a property is in [`ROW`]; otherwise [`DATA`] is needed.
    pub(crate) fn is_in_row(tag: PropTag) -> bool {
        let computed = [
            tags::MID,
            tags::FOLDER_ID,
            tags::INST_ID,
            tags::INSTANCE_NUM,
            tags::INSTANCE_KEY,
            tags::ROW_TYPE,
            tags::ENTRY_ID,
            tags::RECORD_KEY,
            tags::PARENT_ENTRY_ID,
            tags::SOURCE_KEY,
            tags::PARENT_SOURCE_KEY,
            tags::CHANGE_NUMBER,
            tags::MESSAGE_STATUS,
            tags::ASSOCIATED,
            tags::DEPTH,
        ];
        let columns = SQL_COLUMNS.iter().map(|column| column.tag);
        columns.chain(computed).any(|known| known.id() == tag.id())
    }

    /// The message in a row of [`ROW`], with `data` also of [`DATA`].
    pub(crate) fn read(row: &Row<'_>, identity: &'a Identity, data: bool) -> Result<Self, StoreError> {
        let id = MessageId::from_disk(row.get(0)?);
        let bits = MessageBits::from_bits_retain(row.get(4)?);
        let size = row.get::<_, i64>(6)? as u64;
        let (received, modified) = (row.get::<_, i64>(7)?, row.get::<_, i64>(8)?);
        let data = data.then(|| {
            Ok::<_, StoreError>(Data {
                properties: unpacked(row, ROW_COLUMNS)?.unwrap_or_default(),
                recipients: unpacked(row, ROW_COLUMNS + 1)?,
                attachments: unpacked(row, ROW_COLUMNS + 2)?,
                lineage: row.get(ROW_COLUMNS + 6)?,
                elsewhere: {
                    let mut elsewhere = Elsewhere::empty();
                    elsewhere.set(Elsewhere::LARGE, row.get(ROW_COLUMNS + 3)?);
                    elsewhere.set(Elsewhere::ATTACHMENTS, row.get(ROW_COLUMNS + 4)?);
                    if row.get(ROW_COLUMNS + 5)? {
                        elsewhere |= Elsewhere::BODY | Elsewhere::HTML | Elsewhere::HEADERS;
                    }
                    elsewhere
                },
            })
        });
        let data = data.transpose()?;
        let kept = Columns {
            bits,
            class: row.get(9)?,
            subject: row.get(10)?,
            sender: row.get(11)?,
        };
        Ok(Self {
            identity,
            id,
            folder: FolderId::from_disk(row.get(1)?),
            uid: row.get(2)?,
            state: row.get(3)?,
            version: ChangeNumber(row.get::<_, i64>(5)? as u64),
            size,
            received: FileTime(received as u64),
            modified: FileTime(modified as u64),
            identity_id: MessageId::from_disk(row.get(12)?),
            kept,
            combined: OnceCell::new(),
            rest: Rest::default(),
            missed: Cell::default(),
            unread: !bits.imap().contains(crate::Flags::SEEN),
            data,
        })
    }

    /// A property. What neither the row nor the encoded properties have is absent.
    pub(crate) fn get(&self, tag: PropTag) -> Result<Option<PropValue>, StoreError> {
        let wide_size = tag == tags::MESSAGE_SIZE_EXTENDED;
        let tag = if wide_size {
            tags::MESSAGE_SIZE
        } else {
            untyped(tag)
        };
        Ok(Some(match tag {
            tags::MESSAGE_SIZE if wide_size => PropValue::Integer64(self.size as i64),
            tags::MESSAGE_DELIVERY_TIME => PropValue::Time(self.received),
            tags::LAST_MODIFICATION_TIME => PropValue::Time(self.modified),
            tags::HAS_ATTACHMENTS => {
                PropValue::Boolean(self.kept.bits.contains(MessageBits::HAS_ATTACHMENTS))
            }
            tags::NORMALIZED_SUBJECT if self.kept.subject.is_some() => text(self.kept.subject.as_ref()),
            tags::SENT_REPRESENTING_NAME if self.kept.sender.is_some() => text(self.kept.sender.as_ref()),
            tags::MID | tags::INST_ID => id_value(self.id.0),
            tags::FOLDER_ID => id_value(self.folder.0),
            tags::READ => PropValue::Boolean(!self.unread),
            tags::ASSOCIATED => PropValue::Boolean(self.state & 1 == 1),
            tags::INTERNET_ARTICLE_NUMBER => PropValue::Integer32(self.uid as i32),
            tags::CHANGE_NUMBER => change_value(self.version),
            tags::CHANGE_KEY | tags::PREDECESSOR_CHANGE_LIST => {
                let Some(data) = &self.data else { return Ok(None) };
                let lineage = Lineage::of(self.identity.mailbox, self.version, data.lineage.as_deref())?;
                PropValue::Binary(if tag == tags::CHANGE_KEY {
                    lineage.change_key.encode()
                } else {
                    lineage.predecessors.encode()
                })
            }
            tags::MESSAGE_STATUS => PropValue::Integer32(self.kept.bits.status()),
            tags::ENTRY_ID | tags::RECORD_KEY => {
                PropValue::Binary(self.identity.message_entry_id(self.folder, self.id))
            }
            tags::PARENT_ENTRY_ID => PropValue::Binary(self.identity.folder_entry_id(self.folder)),
            tags::SOURCE_KEY => PropValue::Binary(
                self.identity
                    .global(self.id.replica(), self.id.counter())
                    .encode()
                    .to_vec(),
            ),
            tags::PARENT_SOURCE_KEY => {
                let folder = self.identity.global(self.folder.replica(), self.folder.counter());
                PropValue::Binary(folder.encode().to_vec())
            }
            tag => {
                if COMBINED.contains(&tag)
                    && let Some(value) = self.combined()?.get(tag)
                {
                    return Ok(Some(value.clone()));
                }
                let Some(data) = &self.data else { return Ok(None) };
                let value = get_from_encoded(&data.properties, tag)?;
                if value.is_some() {
                    return Ok(value);
                }
                match tag {
                    // Of what came as Internet mail; of what was saved here they are kept.
                    tags::CREATION_TIME => return Ok(Some(PropValue::Time(self.received))),
                    tags::SEARCH_KEY => {
                        let key = search_key(self.identity.mailbox, self.identity_id);
                        return Ok(Some(PropValue::Binary(key)));
                    }
                    _ => {}
                }
                // What was saved comes before what is derived.
                let derived = Elsewhere::DERIVED
                    .iter()
                    .find(|(_, derived)| derived.id() == tag.id())
                    .map_or(Elsewhere::empty(), |(one, _)| *one);
                for one in [Elsewhere::LARGE, derived] {
                    if !self.has_all(data, one) {
                        return Ok(None);
                    }
                    if let Some(value) = self.rest.properties.get(tag) {
                        return Ok(Some(value.clone()));
                    }
                }
                return Ok(None);
            }
        }))
    }
}

/// Properties that several columns, or columns and encoded properties, make together.
const COMBINED: [PropTag; 5] = [
    tags::IMPORTANCE,
    tags::MESSAGE_CLASS,
    tags::MESSAGE_FLAGS,
    tags::MESSAGE_SIZE,
    tags::SUBJECT,
];

fn text(column: Option<&String>) -> PropValue {
    PropValue::String(column.cloned().unwrap_or_default())
}

/// The known tag with the same id, so that a property is found whatever type it is asked for in.
fn untyped(tag: PropTag) -> PropTag {
    if tag.kind() == PropType::UNSPECIFIED {
        tags::by_tag(tag).map_or(tag, |known| known.tag)
    } else {
        tag
    }
}

impl Message<'_> {
    /// Whether what was answered so far may be wrong, as something that is kept elsewhere was asked for: see
    /// [`look_at`].
    pub(crate) fn has_missed(&self) -> bool {
        !self.missed.get().is_empty()
    }

    /// Whether it is a normal message.
    pub(crate) fn is_normal(&self) -> bool {
        self.state == 0
    }

    /// Whether nothing of this kind is kept elsewhere, or was read; otherwise notes that it is missing.
    fn has_all(&self, data: &Data, kind: Elsewhere) -> bool {
        let missing = (kind & data.elsewhere) - self.rest.read;
        self.missed.set(self.missed.get() | missing);
        missing.is_empty()
    }

    fn combined(&self) -> Result<&PropertyBag, StoreError> {
        if self.combined.get().is_none() {
            let mut bag = PropertyBag::new();
            if let Some(data) = &self.data {
                // The subject is put together from a column and these.
                for tag in [tags::SUBJECT, tags::SUBJECT_PREFIX] {
                    if let Some(value) = get_from_encoded(&data.properties, tag)? {
                        bag.set(tag, value);
                    }
                }
            }
            self.kept.clone().put(
                &mut bag,
                self.state & 1 == 1,
                self.size,
                self.received,
                self.modified,
            );
            return Ok(self.combined.get_or_init(|| bag));
        }
        Ok(self.combined.get_or_init(PropertyBag::new))
    }
}

impl PropertySource for Message<'_> {
    type Error = StoreError;

    fn property(&self, tag: PropTag) -> Result<Option<Cow<'_, PropValue>>, StoreError> {
        Ok(self.get(tag)?.map(Cow::Owned))
    }

    fn sub_objects(&self, table: SubObjectTable) -> Result<Cow<'_, [PropertyBag]>, StoreError> {
        let Some(data) = &self.data else {
            return Ok(Cow::Borrowed(&[]));
        };
        let rows = match table {
            SubObjectTable::Recipients => data.recipients.as_deref().map(decode_bags).transpose()?,
            SubObjectTable::Attachments if data.elsewhere.contains(Elsewhere::ATTACHMENTS) => {
                self.has_all(data, Elsewhere::ATTACHMENTS);
                return Ok(Cow::Borrowed(&self.rest.attachments));
            }
            SubObjectTable::Attachments => {
                let attachments = data.attachments.as_deref().map(decode_attachments).transpose()?;
                attachments.map(|list| list.into_iter().map(|one| one.properties).collect())
            }
        };
        Ok(Cow::Owned(rows.unwrap_or_default()))
    }
}
