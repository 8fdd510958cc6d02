//! From a message to a TNEF stream.

use std::collections::HashSet;

use ringpost_mapi::{
    FileTime, Guid, PropTag, PropType, PropValue, PropertyBag, code_page,
    named::{FIRST_NAMED_ID, PropertyName},
    tags,
};

use super::{
    MAX_ATTACHMENTS, MAX_DEPTH, MAX_RECIPIENTS, TnefError,
    attribute::{ATTACHMENT, Attribute, MESSAGE, SIGNATURE, id, write_date},
    property::{INTERFACE_MESSAGE, INTERFACE_STORAGE, Property, is_supported},
    reader::CLASSES,
};
use crate::message::{AttachmentContent, AttachmentData, MessageContent};

/// The code page of the old attributes; properties are Unicode.
const CODE_PAGE: u32 = 1252;

/// Writes a message. `part` gives the bytes of an attachment that is a part of a source.
///
/// Properties of types that TNEF has no form for (server ids, restrictions, rule actions) are left out: no
/// message that is sent has them. So are those under a store's own ids for names, which [`write_with`] takes.
pub fn write(
    message: &MessageContent,
    part: &mut dyn FnMut(&[u16]) -> Option<Vec<u8>>,
) -> Result<Vec<u8>, TnefError> {
    write_with(message, part, &mut |_| None)
}

/// Writes a message whose named properties, or those of its recipients and attachments, are under a store's ids;
/// `name` says which names they are.
pub fn write_with(
    message: &MessageContent,
    part: &mut dyn FnMut(&[u16]) -> Option<Vec<u8>>,
    name: &mut dyn FnMut(u16) -> Option<PropertyName>,
) -> Result<Vec<u8>, TnefError> {
    nested(message, &mut Asked { part, name }, 0)
}

/// What the message does not say itself.
struct Asked<'a> {
    part: &'a mut dyn FnMut(&[u16]) -> Option<Vec<u8>>,
    name: &'a mut dyn FnMut(u16) -> Option<PropertyName>,
}

fn nested(message: &MessageContent, asked: &mut Asked<'_>, depth: usize) -> Result<Vec<u8>, TnefError> {
    if depth > MAX_DEPTH {
        return Err(TnefError::TooMany("embedded messages in each other"));
    }
    if message.recipients.len() > MAX_RECIPIENTS {
        return Err(TnefError::TooMany("recipients"));
    }
    if message.attachments.len() > MAX_ATTACHMENTS {
        return Err(TnefError::TooMany("attachments"));
    }
    let mut out = Vec::new();
    out.extend_from_slice(&SIGNATURE.to_le_bytes());
    // The key, any number but zero.
    out.extend_from_slice(&1_u16.to_le_bytes());
    let mut add = |id, data: &[u8]| Attribute::write(&mut out, MESSAGE, id, data);
    add(id::TNEF_VERSION, &0x0001_0000_u32.to_le_bytes())?;
    let mut pages = [0; 8];
    pages[..4].copy_from_slice(&CODE_PAGE.to_le_bytes());
    add(id::OEM_CODE_PAGE, &pages)?;
    let properties = &message.properties;
    let class = properties.string(tags::MESSAGE_CLASS).unwrap_or("IPM.Note");
    add(id::MESSAGE_CLASS, &terminated(old_class(class)))?;
    if let Some(PropValue::Integer32(importance)) = properties.get(tags::IMPORTANCE) {
        add(
            id::PRIORITY,
            &((3 - importance.clamp(&0, &2)) as u16).to_le_bytes(),
        )?;
    }
    if let Some(subject) = properties.string(tags::SUBJECT) {
        add(id::SUBJECT, &terminated(subject))?;
    }
    if let Some(PropValue::Time(time)) = properties.get(tags::CLIENT_SUBMIT_TIME)
        && has_date(*time)
    {
        add(id::DATE_SENT, &write_date(*time))?;
    }
    let mut list = unnamed_and_named(properties, asked);
    let taken: HashSet<u16> = list.iter().map(|property| property.tag.id()).collect();
    let mut free = (FIRST_NAMED_ID..u16::MAX).filter(|id| !taken.contains(id));
    for (name, value) in &message.named {
        if is_supported(value) {
            // The id only has to be a named property's; each has its own here.
            let number = free.next().ok_or(TnefError::TooMany("named properties"))?;
            list.push(Property {
                tag: PropTag::new(number, value.kind()),
                name: Some(name.clone()),
                value: value.clone(),
                interface: interface(value),
            });
        }
    }
    add(id::MESSAGE_PROPERTIES, &encode(&list)?)?;
    if !message.recipients.is_empty() {
        let mut table = (message.recipients.len() as u32).to_le_bytes().to_vec();
        for row in &message.recipients {
            table.extend_from_slice(&encode(&unnamed_and_named(row, asked))?);
        }
        add(id::RECIPIENT_TABLE, &table)?;
    }
    for attachment in &message.attachments {
        write_attachment(&mut out, attachment, asked, depth)?;
    }
    Ok(out)
}

fn write_attachment(
    out: &mut Vec<u8>,
    attachment: &AttachmentContent,
    asked: &mut Asked<'_>,
    depth: usize,
) -> Result<(), TnefError> {
    let mut add = |id, data: &[u8]| Attribute::write(out, ATTACHMENT, id, data);
    let properties = &attachment.properties;
    let integer = |tag, default| match properties.get(tag) {
        Some(PropValue::Integer32(number)) => *number,
        _ => default,
    };
    let kind: u16 = if integer(tags::ATTACH_METHOD, 1) == 6 {
        2
    } else {
        1
    };
    let mut rendering = kind.to_le_bytes().to_vec();
    rendering.extend_from_slice(&integer(tags::RENDERING_POSITION, -1).to_le_bytes());
    // Width, height, flags.
    rendering.extend_from_slice(&[0; 8]);
    add(id::ATTACH_REND_DATA, &rendering)?;
    let name = properties
        .string(tags::ATTACH_FILENAME)
        .or(properties.string(tags::ATTACH_LONG_FILENAME))
        .or(properties.string(tags::DISPLAY_NAME));
    if let Some(name) = name {
        add(id::ATTACH_TITLE, &terminated(name))?;
    }
    let mut list = unnamed_and_named(properties, asked);
    let data = match &attachment.data {
        AttachmentData::None => properties
            .get(tags::ATTACH_DATA_BINARY)
            .and_then(|value| match value {
                PropValue::Binary(bytes) => Some(bytes.clone()),
                _ => None,
            }),
        AttachmentData::Part(path) => (asked.part)(path),
        AttachmentData::Embedded(message) => {
            list.retain(|property| property.tag.id() != tags::ATTACH_DATA_OBJECT.id());
            list.push(Property {
                tag: tags::ATTACH_DATA_OBJECT,
                name: None,
                value: PropValue::Object(nested(message, asked, depth + 1)?),
                interface: Some(INTERFACE_MESSAGE),
            });
            None
        }
    };
    if let Some(data) = data {
        list.retain(|property| property.tag != tags::ATTACH_DATA_BINARY);
        if data.is_empty() {
            // ytnef takes an attribute without data for the end of the stream.
            list.push(Property {
                tag: tags::ATTACH_DATA_BINARY,
                name: None,
                value: PropValue::Binary(data),
                interface: None,
            });
        } else {
            add(id::ATTACH_DATA, &data)?;
        }
    }
    add(id::ATTACHMENT_PROPERTIES, &encode(&list)?)?;
    Ok(())
}

/// The properties of a bag, those under ids for names only if the name is known.
fn unnamed_and_named(bag: &PropertyBag, asked: &mut Asked<'_>) -> Vec<Property> {
    let supported = bag.iter().filter(|(_, value)| is_supported(value));
    let properties = supported.filter_map(|(tag, value)| {
        let name = if tag.id() < FIRST_NAMED_ID {
            None
        } else {
            Some((asked.name)(tag.id())?)
        };
        Some(Property {
            // Strings are written as Unicode.
            tag: PropTag::new(tag.id(), value.kind()),
            name,
            value: value.clone(),
            interface: interface(value),
        })
    });
    properties.collect()
}

/// What an object is that is no message.
fn interface(value: &PropValue) -> Option<Guid> {
    (value.kind() == PropType::OBJECT).then_some(INTERFACE_STORAGE)
}

fn encode(list: &[Property]) -> Result<Vec<u8>, TnefError> {
    let mut out = (list.len() as u32).to_le_bytes().to_vec();
    for property in list {
        property.write(&mut out)?;
    }
    Ok(out)
}

fn old_class(class: &str) -> &str {
    let known = CLASSES
        .iter()
        .find(|(_, modern)| modern.eq_ignore_ascii_case(class));
    known.map_or(class, |(old, _)| old)
}

/// A string of the old attributes.
fn terminated(text: &str) -> Vec<u8> {
    let mut bytes = code_page::encode(text, CODE_PAGE).into_owned();
    bytes.retain(|&byte| byte != 0);
    bytes.push(0);
    bytes
}

/// Whether the time is in the years that a `DTR` can say.
fn has_date(time: FileTime) -> bool {
    const YEAR_9999: i64 = 253_402_300_799;
    time.unix_seconds() <= YEAR_9999
}
