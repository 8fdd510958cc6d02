//! MAPI objects to Internet mail (MS-OXCMAIL 2.1).
//!
//! ```text
//! properties ─► fields, people ─► header ┐
//! bodies, calendar ─► text, HTML (from RTF, if that is all there is) ─► alternative ─► related ─► mixed ─► the message
//! attachments ─► parts, embedded messages ─────────────────────────┘
//! ```
//!
//! What comes out is ASCII with lines of at most 998 bytes, whatever goes in: it passes every server. Signed and
//! encrypted messages leave byte for byte as they were composed.

mod attachments;
mod entity;
mod fields;
mod people;
mod report;
#[cfg(test)]
mod tests;

use ringpost_mapi::{FileTime, PropTag, PropValue, PropertyBag, tags};

use crate::{bodies::Bodies, header::HeaderWriter, message::MessageContent};
use entity::Entity;

/// Embedded messages in each other that are written; deeper ones are left out.
pub const MAX_EMBEDDED: usize = 16;

/// What a message does not say of itself.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Its `Message-ID`, with angle brackets, if it has none yet (`PidTagInternetMessageId`).
    pub message_id: &'a str,
    /// Its `Date`, if it has none (`PidTagClientSubmitTime`).
    pub now: FileTime,
    /// Whether `Bcc` is written: in a copy that the sender keeps, never in what is sent.
    pub show_bcc: bool,
}

/// Where the bytes of attachments come from that are parts of a source (`AttachmentData::Part`).
pub type Parts<'a> = dyn FnMut(&[u16]) -> Option<Vec<u8>> + 'a;

/// The message as Internet mail, with CRLF line ends.
pub fn to_mime(message: &MessageContent, options: &Options<'_>, parts: &mut Parts<'_>) -> Vec<u8> {
    write(message, options, parts, 0)
}

fn write(message: &MessageContent, options: &Options<'_>, parts: &mut Parts<'_>, depth: usize) -> Vec<u8> {
    let mut header = HeaderWriter::default();
    people::write(message, options, depth, &mut header);
    fields::write(message, options, &mut header);
    let entity = entity(message, options, parts, depth);
    header.text("MIME-Version", "1.0");
    let mut out = header.as_str().as_bytes().to_vec();
    entity.write(&mut out);
    out
}

/// The body with everything attached to it.
fn entity(message: &MessageContent, options: &Options<'_>, parts: &mut Parts<'_>, depth: usize) -> Entity {
    let class = message
        .properties
        .string(tags::MESSAGE_CLASS)
        .unwrap_or("IPM.Note");
    if let Some(entity) = attachments::secured(message, class, parts) {
        return entity;
    }
    let bodies = Bodies::of_properties(&message.properties);
    if let Some(entity) = attachments::encrypted(message, &bodies, parts) {
        return entity;
    }
    let report = report::part(message, class, options, parts);
    let calendar = attachments::calendar(message, parts);
    let mut left_out: Vec<usize> = calendar.iter().map(|(at, _)| *at).collect();
    left_out.extend(report.iter().filter_map(|report| report.attachment));
    let (inline, attached) =
        attachments::write(message, bodies.html.is_some(), &left_out, options, parts, depth);
    let calendar = calendar.map(|(_, entity)| entity);
    let mut body = match (bodies.text, bodies.html) {
        (text, Some(html)) => {
            let text = text.unwrap_or_else(|| crate::html::to_text(&html));
            let html = Entity::text("html", &html);
            let html = if inline.is_empty() {
                html
            } else {
                Entity::multipart(
                    "related",
                    &[("type", "text/html")],
                    std::iter::once(html).chain(inline).collect(),
                )
            };
            let forms = [Entity::text("plain", &text), html].into_iter().chain(calendar);
            Entity::multipart("alternative", &[], forms.collect())
        }
        (text, None) => {
            let text = Entity::text("plain", &text.unwrap_or_default());
            match calendar {
                Some(calendar) => Entity::multipart("alternative", &[], vec![text, calendar]),
                None => text,
            }
        }
    };
    if let Some(report) = report {
        let mut all = vec![body, report.status];
        all.extend(attached);
        return Entity::multipart("report", &[("report-type", report.kind)], all);
    }
    if !attached.is_empty() {
        body = Entity::multipart("mixed", &[], std::iter::once(body).chain(attached).collect());
    }
    body
}

fn integer(bag: &PropertyBag, tag: PropTag) -> Option<i32> {
    match bag.get(tag) {
        Some(PropValue::Integer32(number)) => Some(*number),
        _ => None,
    }
}

fn boolean(bag: &PropertyBag, tag: PropTag) -> bool {
    bag.get(tag) == Some(&PropValue::Boolean(true))
}

fn binary(bag: &PropertyBag, tag: PropTag) -> Option<&[u8]> {
    match bag.get(tag) {
        Some(PropValue::Binary(bytes)) => Some(bytes),
        _ => None,
    }
}
