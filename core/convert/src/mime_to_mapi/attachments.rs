//! Attachment objects (MS-OXCMAIL 2.2.3.4).

use std::collections::HashSet;

use ringpost_mapi::{PropTag, PropValue, PropertyBag, charset::Charset, codec::encode_bag, tags};

use super::{MAX_EMBEDDED, bodies::Layout, class, message, set_string, winmail};
use crate::{
    body,
    header::{
        self, decode_text,
        parameter::{parameter, percent_decode},
    },
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
    let references = References::of(source, layout);
    for (below, part, related) in layout.in_order() {
        if winmail::is_one(part) && winmail::open(source, part, content) {
            continue;
        }
        path.extend_from_slice(below);
        let inline = references.show(part, *related);
        let attachment = attachment(source, part, inline, below.is_empty(), path, depth);
        path.truncate(outer);
        content.attachments.push(attachment);
    }
    let shown = winmail::shows_any(content);
    content
        .properties
        .set(tags::HAS_ATTACHMENTS, PropValue::Boolean(shown));
}

/// What a part's own header says of an attachment (MS-OXCMAIL 2.2.3.4.1).
const PAYLOAD: [(&str, PropTag); 2] = [
    ("X-Payload-Class", tags::ATTACH_PAYLOAD_CLASS),
    (
        "X-Payload-Provider-Guid",
        tags::ATTACH_PAYLOAD_PROVIDER_GUID_STRING,
    ),
];

/// The content ids that the HTML body refers to.
struct References {
    html: bool,
    ids: HashSet<Vec<u8>>,
}

impl References {
    /// Reads the HTML only where there is an image that it could show.
    fn of(source: &[u8], layout: &Layout<'_>) -> Self {
        let mut found = Self {
            html: layout.html().next().is_some(),
            ids: HashSet::new(),
        };
        let images = layout
            .attachments
            .iter()
            .any(|(_, part, _)| is_image(part) && part.id.is_some());
        if images {
            for html in layout.html() {
                let charset = html.parameter("charset").and_then(Charset::for_name);
                if charset.is_some_and(|charset| !charset.is_ascii_compatible()) {
                    found.read(body::text(source, html).as_bytes());
                } else {
                    found.read(&body::data(source, html));
                }
            }
        }
        found
    }

    fn read(&mut self, html: &[u8]) {
        /// What a content id may be long.
        const MAX_ID: usize = 1000;
        let mut at = 0;
        while let Some(colon) = memchr::memchr(b':', &html[at..]) {
            let (before, after) = html.split_at(at + colon);
            at += colon + 1;
            if !before
                .last_chunk()
                .is_some_and(|scheme: &[u8; 3]| scheme.eq_ignore_ascii_case(b"cid"))
            {
                continue;
            }
            let text = &after[1..];
            let end = text
                .iter()
                .take(MAX_ID)
                .position(|byte| b"\"'<>) \t\r\n".contains(byte));
            let Some(end) = end else { continue };
            let mut id = Vec::with_capacity(end);
            percent_decode(&text[..end], &mut id);
            self.ids.insert(id);
            at += end;
        }
    }

    /// Whether an attachment is an image inside the HTML body and so not shown beside it
    /// (MS-OXCMAIL 2.2.3.4.1.4.1). In doubt it isn't, or nobody would see it.
    fn show(&self, part: &Part, related: bool) -> bool {
        if !self.html || !is_image(part) {
            return false;
        }
        match part.id.as_deref() {
            Some(id) => self.ids.contains(without_brackets(id)),
            None => related && part.location.is_some(),
        }
    }
}

fn is_image(part: &Part) -> bool {
    part.media_type == b"image"
}

/// A content id without its angle brackets (MS-OXCMAIL 2.2.3.4.1.4).
fn without_brackets(id: &[u8]) -> &[u8] {
    let id = id.trim_ascii();
    let id = id.strip_prefix(b"<").unwrap_or(id);
    id.strip_suffix(b">").unwrap_or(id)
}

fn attachment(
    source: &[u8],
    part: &Part,
    inline: bool,
    alone: bool,
    path: &mut Vec<u16>,
    depth: usize,
) -> AttachmentContent {
    let mut bag = PropertyBag::new();
    let opaque = alone && (class::is_opaque(part) || class::is_clear_signed(part));
    let mime = [&part.media_type[..], b"/", &part.media_subtype].concat();
    let mime = String::from_utf8_lossy(&mime).into_owned();
    set_string(&mut bag, tags::ATTACH_MIME_TAG, &mime);
    bag.set(tags::RENDERING_POSITION, PropValue::Integer32(-1));
    if let Some(id) = part.id.as_deref() {
        let id = String::from_utf8_lossy(without_brackets(id));
        set_string(&mut bag, tags::ATTACH_CONTENT_ID, &id);
    }
    if let Some(location) = part.location.as_deref() {
        set_string(
            &mut bag,
            tags::ATTACH_CONTENT_LOCATION,
            &String::from_utf8_lossy(location),
        );
    }
    for (name, tag) in PAYLOAD {
        if let Some(field) = header::field(super::header_of(source, part), name) {
            set_string(&mut bag, tag, &decode_text(&field.unfolded()));
        }
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
    bag.set(
        tags::ATTACH_FLAGS,
        PropValue::Integer32(if inline { RENDERED_IN_BODY } else { 0 }),
    );
    bag.set(tags::ATTACHMENT_HIDDEN, PropValue::Boolean(inline));
    // An encoded message was not looked into: it isn't one before it is decoded (RFC 2046 5.2.1).
    let encoded = matches!(part.encoding.as_slice(), b"base64" | b"quoted-printable");
    if let Children::Message(inner) = &part.children
        && depth < MAX_EMBEDDED
        && !encoded
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
        let file = given_name(part).unwrap_or_else(|| clean(&format!("{name}.eml")));
        set_string(&mut bag, tags::ATTACH_LONG_FILENAME, &file);
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
        file_name(source, part)
    };
    let extension = name.rfind('.').map_or("", |at| &name[at..]);
    set_string(&mut bag, tags::ATTACH_EXTENSION, extension);
    let shown = described(part).unwrap_or_else(|| name.clone());
    set_string(&mut bag, tags::DISPLAY_NAME, &shown);
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

/// The name that the header gives an attachment, without folders (MS-OXCMAIL 2.2.3.4.1.1).
pub(super) fn given_name(part: &Part) -> Option<String> {
    let disposition = part.disposition.as_ref().map(|(_, parameters)| parameters);
    let named = [
        disposition.and_then(|parameters| parameter(parameters, "filename")),
        part.parameter("name"),
    ];
    named
        .into_iter()
        .flatten()
        .map(|raw| clean(&decode_text(raw)))
        .find(|name| !name.is_empty())
}

/// `Content-Description:`, in one line.
fn described(part: &Part) -> Option<String> {
    let text = decode_text(part.description.as_deref()?);
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    (!text.trim().is_empty()).then_some(text)
}

/// Characters of a file's name.
const MAX_NAME: usize = 255;

/// The name without what no file system has in one.
fn clean(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let legal = |c: &char| !c.is_control() && !matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
    let name: String = name.chars().filter(legal).take(MAX_NAME).collect();
    name.trim().to_owned()
}

/// The name of an attached file: the given one, that of uuencoded content, the description, or one made of
/// its type (MS-OXCMAIL 2.2.3.4.1.1).
fn file_name(source: &[u8], part: &Part) -> String {
    let found = given_name(part)
        .or_else(|| uuencoded_name(source, part))
        .or_else(|| described(part).map(|text| clean(&text)));
    if let Some(name) = found.filter(|name| !name.is_empty()) {
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

/// The name in the line `begin 644 name`.
fn uuencoded_name(source: &[u8], part: &Part) -> Option<String> {
    if !part.encoding.windows(2).any(|two| two == b"uu") {
        return None;
    }
    let mut lines = body::raw(source, part).split(|&byte| byte == b'\n');
    let name = lines
        .find_map(|line| line.strip_prefix(b"begin "))?
        .splitn(2, |&byte| byte == b' ')
        .nth(1)?;
    Some(clean(&decode_text(name.trim_ascii())))
}
