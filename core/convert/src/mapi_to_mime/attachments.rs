//! Attachments as parts (MS-OXCMAIL 2.1.3.4), and messages that are signed or encrypted (MS-OXOSMIME).

use std::borrow::Cow;

use ringpost_mapi::{PropValue, PropertyBag, tags};

use super::{MAX_EMBEDDED, Options, Parts, boolean, entity::Entity, integer};
use crate::{
    bodies::Bodies,
    header::{self, HeaderWriter},
    message::{AttachmentContent, AttachmentData, MessageContent},
};

/// PidTagAttachFlags: referred to by the HTML body (MS-OXCMSG 2.2.2.18).
const RENDERED_IN_BODY: i32 = 4;
/// The longest line in a part that must not be encoded.
const MAX_LINE: usize = 998;

/// The parts that the HTML shows, if there is `html`, and all others. Those at the places `left_out` are written elsewhere.
pub(super) fn write(
    message: &MessageContent,
    html: bool,
    left_out: &[usize],
    options: &Options<'_>,
    parts: &mut Parts<'_>,
    depth: usize,
) -> (Vec<Entity>, Vec<Entity>) {
    let (mut inline, mut attached) = (Vec::new(), Vec::new());
    for (at, attachment) in message.attachments.iter().enumerate() {
        let bag = &attachment.properties;
        if left_out.contains(&at) {
            continue;
        }
        let shown = html
            && (integer(bag, tags::ATTACH_FLAGS).unwrap_or(0) & RENDERED_IN_BODY != 0
                || boolean(bag, tags::ATTACHMENT_HIDDEN))
            && (bag.string(tags::ATTACH_CONTENT_ID).is_some()
                || bag.string(tags::ATTACH_CONTENT_LOCATION).is_some());
        if let Some(entity) = part(attachment, shown, options, parts, depth) {
            if shown { &mut inline } else { &mut attached }.push(entity);
        }
    }
    (inline, attached)
}

fn part(
    attachment: &AttachmentContent,
    shown: bool,
    options: &Options<'_>,
    parts: &mut Parts<'_>,
    depth: usize,
) -> Option<Entity> {
    let bag = &attachment.properties;
    if let AttachmentData::Embedded(message) = &attachment.data {
        if depth >= MAX_EMBEDDED {
            return None;
        }
        let mut header = HeaderWriter::default();
        header.parameters("Content-Type", "message/rfc822", &[]);
        disposition(bag, shown, &mut header);
        let bytes = super::write(message, options, parts, depth + 1);
        return Some(Entity::verbatim(header, &bytes));
    }
    let data = data(attachment, parts)?;
    let mime = bag
        .string(tags::ATTACH_MIME_TAG)
        .filter(|mime| is_media_type(mime));
    let mime = mime.map_or_else(
        || media_type(name(bag).unwrap_or_default()),
        str::to_ascii_lowercase,
    );
    // Messages and multiparts must not be encoded (RFC 2046 5), so only what needs no encoding can be one.
    let mut header = HeaderWriter::default();
    let mime =
        if (mime.starts_with("message/") && !is_message(&mime, &data)) || mime.starts_with("multipart/") {
            "application/octet-stream"
        } else {
            &mime
        };
    let charset = bag
        .string(tags::TEXT_ATTACHMENT_CHARSET)
        .filter(|_| mime.starts_with("text/"));
    let ascii = mime.starts_with("text/") && data.is_ascii() && !data.contains(&0);
    let charset = charset.or(ascii.then_some("us-ascii"));
    let mut parameters = Vec::new();
    if let Some(charset) = charset {
        parameters.push(("charset", charset));
    }
    if let Some(name) = name(bag) {
        parameters.push(("name", name));
    }
    header.parameters("Content-Type", mime, &parameters);
    disposition(bag, shown, &mut header);
    if mime.starts_with("message/") {
        return Some(Entity::verbatim(header, &data));
    }
    match std::str::from_utf8(&data) {
        Ok(text) if ascii => Some(Entity::exact_text(header, text)),
        _ => Some(Entity::data(header, &data)),
    }
}

/// Whether bytes can be a part of this type as they are: a message begins with a header, a report is nothing else.
fn is_message(mime: &str, data: &[u8]) -> bool {
    if !fits(data) {
        return false;
    }
    let mut end = header::end_of_header(data, 0, |_| false);
    let ends =
        |end: usize| data[..end].ends_with(b"\r\n\r\n") || data.starts_with(b"\r\n") || end == data.len();
    if mime.ends_with("delivery-status") || mime.ends_with("disposition-notification") {
        while end < data.len() && data[..end].ends_with(b"\r\n\r\n") {
            let next = header::end_of_header(data, end, |_| false);
            if next == end {
                return false;
            }
            end = next;
        }
        return end > 0 && end == data.len();
    }
    end > 0 && ends(end)
}

/// The subtype of an attachment that is the part of a report for programs, as it was received.
pub(super) fn is_status(attachment: &AttachmentContent) -> Option<&str> {
    let mime = attachment.properties.string(tags::ATTACH_MIME_TAG)?;
    let subtype = mime.strip_prefix("message/")?;
    matches!(
        subtype,
        "delivery-status"
            | "disposition-notification"
            | "global-delivery-status"
            | "global-disposition-notification"
    )
    .then_some(subtype)
}

/// How a part is shown, and what it is called by.
fn disposition(bag: &PropertyBag, shown: bool, header: &mut HeaderWriter) {
    let name = name(bag);
    let parameters: Vec<(&str, &str)> = name.iter().map(|name| ("filename", *name)).collect();
    header.parameters(
        "Content-Disposition",
        if shown { "inline" } else { "attachment" },
        &parameters,
    );
    if let Some(id) = bag.string(tags::ATTACH_CONTENT_ID) {
        let id = id.trim().trim_start_matches('<').trim_end_matches('>');
        if !id.is_empty() {
            header.words("Content-ID", &format!("<{id}>"));
        }
    }
    if let Some(location) = bag.string(tags::ATTACH_CONTENT_LOCATION) {
        header.words("Content-Location", location);
    }
    if let Some(description) = bag
        .string(tags::DISPLAY_NAME)
        .filter(|text| Some(*text) != name && !text.is_empty())
    {
        header.text("Content-Description", description);
    }
    for (field, tag) in [
        ("X-Payload-Class", tags::ATTACH_PAYLOAD_CLASS),
        (
            "X-Payload-Provider-Guid",
            tags::ATTACH_PAYLOAD_PROVIDER_GUID_STRING,
        ),
    ] {
        if let Some(text) = bag.string(tag) {
            header.text(field, text);
        }
    }
}

fn name(bag: &PropertyBag) -> Option<&str> {
    bag.string(tags::ATTACH_LONG_FILENAME)
        .or(bag.string(tags::ATTACH_FILENAME))
        .filter(|name| !name.is_empty())
}

pub(super) fn data<'a>(attachment: &'a AttachmentContent, parts: &mut Parts<'_>) -> Option<Cow<'a, [u8]>> {
    match &attachment.data {
        AttachmentData::Part(path) => parts(path).map(Cow::Owned),
        AttachmentData::Embedded(_) => None,
        AttachmentData::None => match attachment.properties.get(tags::ATTACH_DATA_BINARY) {
            Some(PropValue::Binary(bytes) | PropValue::Object(bytes)) => Some(Cow::Borrowed(bytes)),
            _ => None,
        },
    }
}

fn is_media_type(text: &str) -> bool {
    let legal = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| legal(kind) && legal(subtype))
}

/// The media type that a file's name suggests.
fn media_type(name: &str) -> String {
    const TYPES: &[(&str, &str)] = &[
        ("css", "text/css"),
        ("csv", "text/csv"),
        ("doc", "application/msword"),
        (
            "docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        ("gif", "image/gif"),
        ("htm", "text/html"),
        ("html", "text/html"),
        ("ics", "text/calendar"),
        ("jpeg", "image/jpeg"),
        ("jpg", "image/jpeg"),
        ("json", "application/json"),
        ("mp3", "audio/mpeg"),
        ("mp4", "video/mp4"),
        ("odt", "application/vnd.oasis.opendocument.text"),
        ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
        ("pdf", "application/pdf"),
        ("png", "image/png"),
        ("ppt", "application/vnd.ms-powerpoint"),
        (
            "pptx",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        ("rtf", "application/rtf"),
        ("svg", "image/svg+xml"),
        ("txt", "text/plain"),
        ("vcf", "text/vcard"),
        ("wav", "audio/wav"),
        ("webp", "image/webp"),
        ("xls", "application/vnd.ms-excel"),
        (
            "xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        ("xml", "application/xml"),
        ("zip", "application/zip"),
    ];
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let found = TYPES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(extension));
    found
        .map_or("application/octet-stream", |(_, mime)| mime)
        .to_owned()
}

/// The name that a calendar has which came without one.
const UNNAMED_CALENDAR: &str = "attachment.ics";

/// Longest name of an iTIP method that is looked at.
const MAX_METHOD: usize = 32;

/// The attachment that is an invitation, or an answer to one, and its place: text of a calendar with a method, not a
/// file that somebody attached. It stands beside the other forms of the body (RFC 6047 2.4).
pub(super) fn calendar(message: &MessageContent, parts: &mut Parts<'_>) -> Option<(usize, Entity)> {
    let mut found = message.attachments.iter().enumerate().filter(|(_, attachment)| {
        let bag = &attachment.properties;
        bag.string(tags::ATTACH_MIME_TAG)
            .is_some_and(|mime| mime.eq_ignore_ascii_case("text/calendar"))
            && name(bag).is_none_or(|name| name == UNNAMED_CALENDAR)
    });
    let (at, attachment) = found.next().filter(|_| found.next().is_none())?;
    let data = data(attachment, parts)?;
    let method = data.split(|&byte| byte == b'\n').find_map(|line| {
        let value = line
            .get(7..)
            .filter(|_| line[..7].eq_ignore_ascii_case(b"METHOD:"))?;
        std::str::from_utf8(value).ok().map(str::trim)
    });
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let method =
        method.filter(|text| !text.is_empty() && text.len() <= MAX_METHOD && text.bytes().all(legal))?;
    let charset = attachment.properties.string(tags::TEXT_ATTACHMENT_CHARSET);
    let mut header = HeaderWriter::default();
    let parameters = [("charset", charset.unwrap_or("utf-8")), ("method", method)];
    header.parameters("Content-Type", "text/calendar", &parameters);
    Some((at, Entity::data(header, &data)))
}

/// The body of a message that OpenPGP encrypted (RFC 3156 4): its two parts, unchanged.
pub(super) fn encrypted(message: &MessageContent, bodies: &Bodies, parts: &mut Parts<'_>) -> Option<Entity> {
    let [control, content] = message.attachments.as_slice() else {
        return None;
    };
    let is = |attachment: &AttachmentContent, mime: &str| {
        let found = attachment.properties.string(tags::ATTACH_MIME_TAG);
        found.is_some_and(|found| found.eq_ignore_ascii_case(mime))
    };
    if !is(control, "application/pgp-encrypted")
        || !is(content, "application/octet-stream")
        || bodies.html.is_some()
        || bodies.text.as_ref().is_some_and(|text| !text.trim().is_empty())
    {
        return None;
    }
    let mut both = Vec::with_capacity(2);
    for attachment in [control, content] {
        let bag = &attachment.properties;
        let data = data(attachment, parts)?;
        let mut header = HeaderWriter::default();
        let mime = bag.string(tags::ATTACH_MIME_TAG).unwrap_or_default();
        if mime.eq_ignore_ascii_case("application/pgp-encrypted") {
            // Its name is made of the description.
            header.parameters("Content-Type", "application/pgp-encrypted", &[]);
            if let Some(description) = bag.string(tags::DISPLAY_NAME).filter(|text| !text.is_empty()) {
                header.text("Content-Description", description);
            }
        } else {
            let name: Vec<_> = name(bag).map(|name| ("name", name)).into_iter().collect();
            header.parameters("Content-Type", &mime.to_ascii_lowercase(), &name);
            disposition(bag, true, &mut header);
        }
        both.push(if fits(&data) {
            Entity::verbatim(header, &data)
        } else {
            Entity::data(header, &data)
        });
    }
    let protocol = ("protocol", "application/pgp-encrypted");
    Some(Entity::multipart("encrypted", &[protocol], both))
}

/// Whether bytes can be sent without an encoding.
fn fits(data: &[u8]) -> bool {
    data.iter().all(|&byte| byte.is_ascii() && byte != 0)
        && data
            .split(|&byte| byte == b'\n')
            .all(|line| line.len() <= MAX_LINE)
        // Line ends are CRLF, nothing else.
        && memchr::memchr2_iter(b'\r', b'\n', data).all(|at| match data[at] {
            b'\r' => data.get(at + 1) == Some(&b'\n'),
            _ => at > 0 && data[at - 1] == b'\r',
        })
}

/// The body of a signed or encrypted message: its one attachment, as it is (MS-OXOSMIME 3.1.4).
pub(super) fn secured(message: &MessageContent, class: &str, parts: &mut Parts<'_>) -> Option<Entity> {
    let class = class.to_ascii_lowercase();
    if !class.starts_with("ipm.note.smime") {
        return None;
    }
    let [attachment] = message.attachments.as_slice() else {
        return None;
    };
    let data = data(attachment, parts)?;
    if class.starts_with("ipm.note.smime.multipartsigned") {
        return Some(Entity::existing(&data));
    }
    let mut header = HeaderWriter::default();
    let name = name(&attachment.properties).unwrap_or("smime.p7m");
    let mut parameters = vec![("name", name)];
    if let Some(kind) = smime_type(&data) {
        parameters.insert(0, ("smime-type", kind));
    }
    header.parameters("Content-Type", "application/pkcs7-mime", &parameters);
    header.parameters("Content-Disposition", "attachment", &[("filename", name)]);
    Some(Entity::data(header, &data))
}

/// What a CMS message is, by the object identifier that it begins with (RFC 5652 4, RFC 8551 3.2.2).
fn smime_type(data: &[u8]) -> Option<&'static str> {
    /// 1.2.840.113549.1.7, before its last number.
    const CMS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
    /// Tag and length of the sequence around it take no more.
    const BEFORE: usize = 8;
    let start = &data[..data.len().min(BEFORE + CMS.len() + 1)];
    let at = memchr::memmem::find(start, CMS)?;
    match data.get(at + CMS.len())? {
        2 => Some("signed-data"),
        3 => Some("enveloped-data"),
        _ => None,
    }
}
