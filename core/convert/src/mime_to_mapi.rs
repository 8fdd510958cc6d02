//! Internet mail to MAPI objects (MS-OXCMAIL 2.2).
//!
//! Nothing of a body or an attachment is copied: [`plain_body`], [`html_body`] and [`part_data`] derive them
//! from the source when they are asked for, and [`transport_headers`] the header.

use std::borrow::Cow;

use ringpost_mapi::{PropValue, PropertyBag, tags};

use crate::{
    body, header,
    message::{AttachmentData, MessageContent},
    structure::{Children, Part, Structure},
};

mod attachments;
mod bodies;
mod class;
mod fields;
mod people;
mod report;
#[cfg(test)]
mod tests;
mod winmail;

use bodies::Layout;
pub use report::MAX_GROUPS as MAX_REPORT_GROUPS;
pub(crate) use report::{says_something, status_code};

/// Messages in messages that become embedded message objects; deeper ones are attached as files.
pub const MAX_EMBEDDED: usize = 16;
/// `X-` header fields that become named properties.
pub const MAX_NAMED: usize = 200;

/// Converts a message's source to MAPI objects (MS-OXCMAIL 2.2).
pub fn from_mime(source: &[u8], structure: &Structure) -> MessageContent {
    message(source, structure, &mut Vec::new(), 0)
}

/// The message's plain text (`PidTagBody`), where it has any.
pub fn plain_body(source: &[u8], structure: &Structure) -> Option<String> {
    Layout::of(&structure.root).plain_text(source)
}

/// The message's HTML (`PidTagHtml`, as text), where it has any.
pub fn html_body(source: &[u8], structure: &Structure) -> Option<String> {
    Layout::of(&structure.root).html_text(source)
}

/// The message embedded at these indexes of attachments, from message to message; its ranges are in the same source,
/// so its bodies are had like those of the outer one.
pub fn embedded<'a>(structure: &'a Structure, attachments: &[usize]) -> Option<&'a Structure> {
    attachments.iter().try_fold(structure, |structure, &index| {
        let layout = Layout::of(&structure.root);
        let (_, part, _) = layout.in_order().nth(index)?;
        match &part.children {
            Children::Message(inner) => Some(&**inner),
            _ => None,
        }
    })
}

/// The message with all that it leaves to its source: bodies, and the bytes of attachments, at every depth. For what
/// leaves the store without the source; a large message takes several times its size.
pub fn whole(source: &[u8], structure: &Structure) -> MessageContent {
    let mut content = from_mime(source, structure);
    fill(source, structure, structure, &mut content);
    content
}

/// Fills in what `content`, which is the message `structure`, leaves to the source; paths begin at `outer`.
fn fill(source: &[u8], outer: &Structure, structure: &Structure, content: &mut MessageContent) {
    if let Some(text) = plain_body(source, structure) {
        set_string(&mut content.properties, tags::BODY, &text);
    }
    if content.properties.get(tags::HTML).is_none()
        && let Some(html) = html_body(source, structure)
    {
        // The code page of PidTagHtml is UTF-8's already.
        content
            .properties
            .set(tags::HTML, PropValue::Binary(html.into_bytes()));
    }
    for (index, attachment) in content.attachments.iter_mut().enumerate() {
        match &mut attachment.data {
            AttachmentData::Part(path) => {
                let bytes = part_data(source, outer, path).unwrap_or_default().into_owned();
                attachment
                    .properties
                    .set(tags::ATTACH_DATA_BINARY, PropValue::Binary(bytes));
                attachment.data = AttachmentData::None;
            }
            AttachmentData::Embedded(message) => {
                if let Some(inner) = embedded(structure, &[index]) {
                    fill(source, outer, inner, message);
                }
            }
            AttachmentData::None => {}
        }
    }
}

/// The decoded content of the part at `path`, as [`Structure::part_by_path`] counts. A multipart, kept where
/// its bytes are signed, comes undecoded behind its `Content-Type`, so that it is a MIME entity
/// (MS-OXOSMIME 2.1.3.1).
pub fn part_data<'a>(source: &'a [u8], structure: &Structure, path: &[u16]) -> Option<Cow<'a, [u8]>> {
    let part = structure.part_by_path(path)?;
    if part.media_type == b"multipart" {
        let content_type = header::field(header_of(source, part), "Content-Type");
        let content_type = content_type.map_or(&b""[..], |field| field.line);
        return Some([content_type, b"\r\n", body::raw(source, part)].concat().into());
    }
    Some(body::data(source, part))
}

/// `PidTagTransportMessageHeaders`: the header as text. It isn't stored, for the source has it.
pub fn transport_headers(source: &[u8], structure: &Structure) -> String {
    body::charset::decode(header_of(source, &structure.root), b"").into_owned()
}

/// Converts the message `structure`; `path` leads to its root, `depth` counts the messages around it.
fn message(source: &[u8], structure: &Structure, path: &mut Vec<u16>, depth: usize) -> MessageContent {
    let mut content = MessageContent::default();
    let root = &structure.root;
    let header = header_of(source, root);
    people::convert(&structure.envelope, header, &mut content);
    fields::convert(&structure.envelope, header, &mut content);
    let layout = Layout::of(root);
    let class = report::convert(source, root, &mut content).unwrap_or_else(|| class::of(root));
    let content_class = header::field(header, "Content-Class")
        .filter(|_| class == class::PLAIN)
        .and_then(|field| class::of_content_class(&field, root));
    let class = content_class.as_deref().unwrap_or(class);
    set_string(&mut content.properties, tags::MESSAGE_CLASS, class);
    bodies::convert(&layout, &mut content.properties);
    attachments::convert(source, &layout, path, depth, &mut content);
    if depth > 0 {
        fields::convert_embedded(header, &mut content.properties);
    }
    content
}

fn header_of<'a>(source: &'a [u8], part: &Part) -> &'a [u8] {
    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
    source
        .get(at(part.header.start)..at(part.header.end))
        .unwrap_or_default()
}

fn set_string(bag: &mut PropertyBag, tag: ringpost_mapi::PropTag, text: &str) {
    bag.set(tag, PropValue::String(text.to_owned()));
}

/// The parts of a multipart, or none.
fn parts(part: &Part) -> &[Part] {
    match &part.children {
        Children::Multipart(parts) => parts,
        _ => &[],
    }
}
