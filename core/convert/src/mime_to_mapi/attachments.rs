//! Attachment objects (MS-OXCMAIL 2.2.3.4).

use ringpost_mapi::{PropValue, PropertyBag, codec::encode_bag, tags};

use super::{MAX_EMBEDDED, bodies::Layout, class, message, set_string};
use crate::{
    body,
    header::{decode_text, parameter::parameter},
    message::{AttachmentContent, AttachmentData, MessageContent},
    structure::{Children, Part},
};

/// PidTagAttachMethod (MS-OXCMSG 2.2.2.9).
const BY_VALUE: i32 = 1;
const EMBEDDED_MESSAGE: i32 = 5;
/// PidTagAttachFlags: referred to by the HTML body (MS-OXCMSG 2.2.2.18).
const RENDERED_IN_BODY: i32 = 4;

pub(super) fn convert(
    source: &[u8],
    layout: &Layout<'_>,
    path: &mut Vec<u16>,
    depth: usize,
    content: &mut MessageContent,
) {
    let outer = path.len();
    let mut shown = false;
    for (below, part, related) in &layout.attachments {
        path.extend_from_slice(below);
        let related = *related && layout.html.is_some();
        let attachment = attachment(source, part, related, below.is_empty(), path, depth);
        path.truncate(outer);
        let hidden = attachment.properties.get(tags::ATTACHMENT_HIDDEN) == Some(&PropValue::Boolean(true));
        shown |= !hidden;
        content.attachments.push(attachment);
    }
    content
        .properties
        .set(tags::HAS_ATTACHMENTS, PropValue::Boolean(shown));
}

fn attachment(
    source: &[u8],
    part: &Part,
    related: bool,
    alone: bool,
    path: &mut Vec<u16>,
    depth: usize,
) -> AttachmentContent {
    let mut bag = PropertyBag::new();
    let opaque = alone && class::is_opaque(part);
    let mime = [&part.media_type[..], b"/", &part.media_subtype].concat();
    let mime = String::from_utf8_lossy(&mime).into_owned();
    set_string(&mut bag, tags::ATTACH_MIME_TAG, &mime);
    bag.set(tags::RENDERING_POSITION, PropValue::Integer32(-1));
    if let Some(id) = part.id.as_deref() {
        let id = String::from_utf8_lossy(id);
        let id = id.trim().trim_start_matches('<').trim_end_matches('>');
        set_string(&mut bag, tags::ATTACH_CONTENT_ID, id);
    }
    if let Some(location) = part.location.as_deref() {
        set_string(
            &mut bag,
            tags::ATTACH_CONTENT_LOCATION,
            &String::from_utf8_lossy(location),
        );
    }
    if part.media_type == b"text"
        && let Some(charset) = part.parameter("charset")
    {
        set_string(
            &mut bag,
            tags::TEXT_ATTACHMENT_CHARSET,
            &String::from_utf8_lossy(charset),
        );
    }
    let inline = related && (part.id.is_some() || part.location.is_some());
    bag.set(
        tags::ATTACH_FLAGS,
        PropValue::Integer32(if inline { RENDERED_IN_BODY } else { 0 }),
    );
    bag.set(tags::ATTACHMENT_HIDDEN, PropValue::Boolean(inline));
    if let Children::Message(inner) = &part.children
        && depth < MAX_EMBEDDED
    {
        path.push(0);
        let embedded = message(source, inner, path, depth + 1);
        path.pop();
        let name = embedded
            .properties
            .string(tags::SUBJECT)
            .unwrap_or_default()
            .to_owned();
        set_string(&mut bag, tags::DISPLAY_NAME, &name);
        set_string(&mut bag, tags::ATTACH_LONG_FILENAME, &format!("{name}.eml"));
        bag.set(tags::ATTACH_METHOD, PropValue::Integer32(EMBEDDED_MESSAGE));
        set_size(&mut bag, part.body.end - part.body.start);
        return AttachmentContent {
            properties: bag,
            data: AttachmentData::Embedded(Box::new(embedded)),
        };
    }
    let name = if opaque {
        "smime.p7m".to_owned()
    } else {
        file_name(part)
    };
    let extension = name.rfind('.').map_or("", |at| &name[at..]);
    set_string(&mut bag, tags::ATTACH_EXTENSION, extension);
    set_string(&mut bag, tags::DISPLAY_NAME, &name);
    set_string(&mut bag, tags::ATTACH_FILENAME, &name);
    set_string(&mut bag, tags::ATTACH_LONG_FILENAME, &name);
    bag.set(tags::ATTACH_METHOD, PropValue::Integer32(BY_VALUE));
    let bytes = if opaque && part.media_type == b"multipart" {
        part.body.end - part.header.start
    } else {
        body::data_size(source, part)
    };
    set_size(&mut bag, bytes);
    AttachmentContent {
        properties: bag,
        data: AttachmentData::Part(path.clone()),
    }
}

/// Sets PidTagAttachSize: what the attachment with all its properties takes (MS-OXCMSG 2.2.2.5).
fn set_size(bag: &mut PropertyBag, content_bytes: u64) {
    let bytes = content_bytes + encode_bag(bag).len() as u64;
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    bag.set(tags::ATTACH_SIZE, PropValue::Integer32(bytes));
}

/// The name from `Content-Disposition`, else from `Content-Type`, else one made of the type. Without folders.
fn file_name(part: &Part) -> String {
    let disposition = part.disposition.as_ref().map(|(_, parameters)| parameters);
    let raw = disposition
        .and_then(|parameters| parameter(parameters, "filename"))
        .or_else(|| part.parameter("name"));
    let name = raw.map(decode_text).unwrap_or_default();
    let name: String = name
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(255)
        .collect();
    if !name.trim().is_empty() {
        return name;
    }
    let extension = match (part.media_type.as_slice(), part.media_subtype.as_slice()) {
        (b"text", b"plain") => "txt",
        (b"text", b"html") => "htm",
        (b"text", b"calendar") => "ics",
        (b"text", b"vcard" | b"x-vcard" | b"directory") => "vcf",
        (b"message", _) => "eml",
        (b"image", b"jpeg") => "jpg",
        (b"image", b"png") => "png",
        (b"image", b"gif") => "gif",
        (b"application", b"pdf") => "pdf",
        (b"application", b"ms-tnef") => return "winmail.dat".to_owned(),
        _ => "dat",
    };
    format!("attachment.{extension}")
}
