//! From a TNEF stream to a message.

use ringpost_mapi::{CodecError, PropTag, PropValue, PropertyBag, Reader, named::PropertyName, tags};

use super::{
    MAX_ATTACHMENTS, MAX_DEPTH, MAX_RECIPIENTS, TnefError,
    attribute::{ATTACHMENT, Attribute, SIGNATURE, id, read_date},
    property::{INTERFACE_MESSAGE, Property, string8},
};
use crate::message::{AttachmentContent, AttachmentData, MessageContent};

/// What a stream held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The message. Its attachments hold their data themselves.
    pub message: MessageContent,
    /// The code page that its 8-bit strings were in.
    pub code_page: u32,
    /// Where the stream was damaged; what came before is in `message`.
    pub damage: Option<CodecError>,
}

/// Reads a stream. Damage ends the reading, but loses nothing of what came before it.
///
/// Named properties of messages come by their names. Recipients and attachments can't have such;
/// [`read_with`] puts theirs under a store's ids.
pub fn read(stream: &[u8]) -> Result<Decoded, TnefError> {
    read_with(stream, &mut |_| None)
}

/// Reads a stream for a store: `id` gives its ids for names, and named properties are under them. Names that get
/// none are as [`read`] has them.
pub fn read_with(
    stream: &[u8],
    id: &mut dyn FnMut(&PropertyName) -> Option<u16>,
) -> Result<Decoded, TnefError> {
    nested(stream, 0, id)
}

/// A store's id for a name.
type Ids<'a> = dyn FnMut(&PropertyName) -> Option<u16> + 'a;

fn nested(stream: &[u8], depth: usize, ids: &mut Ids<'_>) -> Result<Decoded, TnefError> {
    let mut reader = Reader::new(stream);
    if reader.u32("signature") != Ok(SIGNATURE) || reader.u16("key").is_err() {
        return Err(TnefError::NotTnef);
    }
    let mut message = Building {
        page: 1252,
        depth,
        ..Building::default()
    };
    let mut damage = None;
    while !reader.is_empty() {
        let step = Attribute::read(&mut reader).map(|attribute| message.attribute(attribute, ids));
        if let Err(error) = step.flatten() {
            // Data of a single attribute that can't be read leaves the others readable, but for bytes behind the
            // last attribute, which some gateways add.
            damage.get_or_insert(error);
            if step.is_err() {
                break;
            }
        }
    }
    Ok(Decoded {
        code_page: message.page,
        message: message.finish(),
        damage,
    })
}

/// A message, while its attributes are read.
#[derive(Default)]
struct Building {
    page: u32,
    depth: usize,
    content: MessageContent,
    /// What the attributes say, where no property says it.
    old: PropertyBag,
    /// The same of the attachment that is read.
    old_attachment: PropertyBag,
}

impl Building {
    fn attribute(&mut self, attribute: Attribute<'_>, ids: &mut Ids<'_>) -> Result<(), CodecError> {
        if attribute.level == ATTACHMENT {
            self.attachment(attribute, ids)
        } else {
            self.message(attribute, ids)
        }
    }

    fn message(&mut self, attribute: Attribute<'_>, ids: &mut Ids<'_>) -> Result<(), CodecError> {
        let data = attribute.data;
        let text = || PropValue::String(string8(data, self.page));
        let (tag, value) = match attribute.id {
            id::OEM_CODE_PAGE => {
                let page = Reader::new(data).u32("code page")?;
                if page != 0 {
                    self.page = page;
                }
                return Ok(());
            }
            id::MESSAGE_PROPERTIES => return self.message_properties(data, ids),
            id::RECIPIENT_TABLE => return self.recipients(data, ids),
            id::MESSAGE_CLASS => {
                let class = string8(data, self.page);
                (tags::MESSAGE_CLASS, PropValue::String(modern_class(&class)))
            }
            id::SUBJECT => (tags::SUBJECT, text()),
            id::BODY => (tags::BODY, text()),
            id::PRIORITY => {
                // 1 high, 2 normal, 3 low, the other way round than PidTagImportance.
                let priority = Reader::new(data).u16("priority")?;
                let importance = match priority {
                    1 => 2,
                    3 => 0,
                    _ => 1,
                };
                (tags::IMPORTANCE, PropValue::Integer32(importance))
            }
            id::DATE_SENT => (tags::CLIENT_SUBMIT_TIME, PropValue::Time(read_date(data)?)),
            id::DATE_RECEIVED => (tags::MESSAGE_DELIVERY_TIME, PropValue::Time(read_date(data)?)),
            id::DATE_MODIFIED => (tags::LAST_MODIFICATION_TIME, PropValue::Time(read_date(data)?)),
            id::MESSAGE_ID => (tags::SEARCH_KEY, PropValue::Binary(hexadecimal(data))),
            id::FROM => return self.from(data),
            _ => return Ok(()),
        };
        self.old.set(tag, value);
        Ok(())
    }

    fn message_properties(&mut self, data: &[u8], ids: &mut Ids<'_>) -> Result<(), CodecError> {
        let mut reader = Reader::new(data);
        for _ in 0..reader.u32("properties")? {
            let property = Property::read(&mut reader, self.page)?;
            match (tag_in_store(&property, ids), property.name) {
                (Some(tag), _) => self.content.properties.set(tag, property.value),
                (None, Some(name)) => self.content.named.push((name, property.value)),
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn recipients(&mut self, data: &[u8], ids: &mut Ids<'_>) -> Result<(), CodecError> {
        let mut reader = Reader::new(data);
        let rows = reader.u32("recipients")? as usize;
        if rows > MAX_RECIPIENTS {
            return Err(CodecError::OverLimit("recipients"));
        }
        for _ in 0..rows {
            let mut row = PropertyBag::new();
            for _ in 0..reader.u32("recipient")? {
                let property = Property::read(&mut reader, self.page)?;
                if let Some(tag) = tag_in_store(&property, ids) {
                    row.set(tag, property.value);
                }
            }
            self.content.recipients.push(row);
        }
        Ok(())
    }

    /// A `TRP`: four words, of which two are the lengths of a name and of `type:address` behind them (2.1.3.3.1).
    fn from(&mut self, data: &[u8]) -> Result<(), CodecError> {
        let mut reader = Reader::new(data);
        let (_kind, _size) = (reader.u16("sender")?, reader.u16("sender")?);
        let (name, address) = (reader.u16("sender")?, reader.u16("sender")?);
        let name = string8(reader.take(name.into(), "sender")?, self.page);
        let address = string8(reader.take(address.into(), "sender")?, self.page);
        self.old.set(tags::SENDER_NAME, PropValue::String(name));
        if let Some((kind, address)) = address.split_once(':') {
            self.old
                .set(tags::SENDER_ADDRESS_TYPE, PropValue::String(kind.to_owned()));
            self.old
                .set(tags::SENDER_EMAIL_ADDRESS, PropValue::String(address.to_owned()));
        }
        Ok(())
    }

    fn attachment(&mut self, attribute: Attribute<'_>, ids: &mut Ids<'_>) -> Result<(), CodecError> {
        let data = attribute.data;
        if attribute.id == id::ATTACH_REND_DATA || self.content.attachments.is_empty() {
            self.finish_attachment();
            if self.content.attachments.len() >= MAX_ATTACHMENTS {
                return Err(CodecError::OverLimit("attachments"));
            }
            self.content.attachments.push(AttachmentContent::default());
        }
        let (tag, value) = match attribute.id {
            id::ATTACH_REND_DATA => {
                let mut reader = Reader::new(data);
                // 1 a file, 2 an OLE object, as PidTagAttachMethod 1 and 6 (2.1.3.3.15).
                let method = if reader.u16("rendering data")? == 2 { 6 } else { 1 };
                let position = reader.u32("rendering data")? as i32;
                self.old_attachment
                    .set(tags::RENDERING_POSITION, PropValue::Integer32(position));
                (tags::ATTACH_METHOD, PropValue::Integer32(method))
            }
            id::ATTACH_TITLE => (tags::ATTACH_FILENAME, PropValue::String(string8(data, self.page))),
            id::ATTACH_DATA => (tags::ATTACH_DATA_BINARY, PropValue::Binary(data.to_vec())),
            id::ATTACH_META_FILE => (tags::ATTACH_RENDERING, PropValue::Binary(data.to_vec())),
            id::ATTACH_CREATE_DATE => (tags::CREATION_TIME, PropValue::Time(read_date(data)?)),
            id::ATTACH_MODIFY_DATE => (tags::LAST_MODIFICATION_TIME, PropValue::Time(read_date(data)?)),
            id::ATTACH_TRANSPORT_FILENAME => (
                tags::ATTACH_TRANSPORT_NAME,
                PropValue::String(string8(data, self.page)),
            ),
            id::ATTACHMENT_PROPERTIES => return self.attachment_properties(data, ids),
            _ => return Ok(()),
        };
        self.old_attachment.set(tag, value);
        Ok(())
    }

    fn attachment_properties(&mut self, data: &[u8], ids: &mut Ids<'_>) -> Result<(), CodecError> {
        let Some(attachment) = self.content.attachments.last_mut() else {
            return Ok(());
        };
        let mut reader = Reader::new(data);
        for _ in 0..reader.u32("properties")? {
            let property = Property::read(&mut reader, self.page)?;
            let tag = tag_in_store(&property, ids);
            match property.value {
                PropValue::Object(bytes) if property.interface == Some(INTERFACE_MESSAGE) => {
                    if self.depth < MAX_DEPTH
                        && let Ok(embedded) = nested(&bytes, self.depth + 1, ids)
                    {
                        attachment.data = AttachmentData::Embedded(Box::new(embedded.message));
                        attachment
                            .properties
                            .set(tags::ATTACH_METHOD, PropValue::Integer32(EMBEDDED_MESSAGE));
                    }
                }
                value => {
                    if let Some(tag) = tag {
                        attachment.properties.set(tag, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn finish_attachment(&mut self) {
        let mut old = std::mem::take(&mut self.old_attachment);
        let Some(attachment) = self.content.attachments.last_mut() else {
            return;
        };
        if matches!(attachment.data, AttachmentData::Embedded(_)) {
            old.remove(tags::ATTACH_DATA_BINARY);
        }
        fill(&mut attachment.properties, old);
    }

    fn finish(mut self) -> MessageContent {
        self.finish_attachment();
        // The subject as a whole, where there are its parts.
        let has_subject = self.content.properties.get(tags::NORMALIZED_SUBJECT).is_some();
        if has_subject {
            self.old.remove(tags::SUBJECT);
        }
        fill(&mut self.content.properties, self.old);
        self.content
    }
}

/// The tag that a property has in the store; `None` for a name without an id there.
fn tag_in_store(property: &Property, ids: &mut Ids<'_>) -> Option<PropTag> {
    match &property.name {
        None => Some(property.tag),
        Some(name) => ids(name).map(|id| PropTag::new(id, property.tag.kind())),
    }
}

/// `PidTagAttachMethod` of an embedded message (MS-OXCMSG 2.2.2.9).
pub(super) const EMBEDDED_MESSAGE: i32 = 5;

/// Sets what is not set.
fn fill(bag: &mut PropertyBag, more: PropertyBag) {
    let missing: Vec<(PropTag, PropValue)> = more
        .iter()
        .filter(|(tag, _)| bag.get(*tag).is_none())
        .map(|(tag, value)| (tag, value.clone()))
        .collect();
    for (tag, value) in missing {
        bag.set(tag, value);
    }
}

/// Message classes of MS Mail and what they are called since (2.1.3.3.6).
pub(super) const CLASSES: [(&str, &str); 8] = [
    ("IPM.Microsoft Mail.Note", "IPM.Note"),
    ("IPM.Microsoft Mail.Read Receipt", "Report.IPM.Note.IPNRN"),
    ("IPM.Microsoft Mail.Non-Delivery", "Report.IPM.Note.NDR"),
    ("IPM.Microsoft Schedule.MtgRespP", "IPM.Schedule.Meeting.Resp.Pos"),
    ("IPM.Microsoft Schedule.MtgRespN", "IPM.Schedule.Meeting.Resp.Neg"),
    (
        "IPM.Microsoft Schedule.MtgRespA",
        "IPM.Schedule.Meeting.Resp.Tent",
    ),
    ("IPM.Microsoft Schedule.MtgReq", "IPM.Schedule.Meeting.Request"),
    ("IPM.Microsoft Schedule.MtgCncl", "IPM.Schedule.Meeting.Canceled"),
];

fn modern_class(class: &str) -> String {
    let known = CLASSES.iter().find(|(old, _)| old.eq_ignore_ascii_case(class));
    known.map_or(class, |(_, modern)| modern).to_owned()
}

/// The bytes of an id that is written in hexadecimal digits.
fn hexadecimal(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().map_while(|&byte| char::from(byte).to_digit(16));
    let digits: Vec<u32> = digits.collect();
    digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}
