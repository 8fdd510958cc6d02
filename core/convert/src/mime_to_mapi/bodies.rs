//! Which parts are the body and which are attachments (MS-OXCMAIL 2.2.3.3.2, 2.2.3.4).

use std::borrow::Cow;

use ringpost_mapi::{PropValue, PropertyBag, tags};

use super::{class, parts, winmail};
use crate::{
    body::{self, charset},
    header::parameter::parameter,
    structure::Part,
};

/// What each part of a message is for.
#[derive(Default)]
pub(super) struct Layout<'a> {
    /// What the body consists of: mostly one section; more where a list added a footer, or a program wrote
    /// text between pictures.
    pub(super) sections: Vec<Section<'a>>,
    /// Everything else that has content, with its indexes from the message's root, and whether it is in
    /// `multipart/related`.
    pub(super) attachments: Vec<(Vec<u16>, &'a Part, bool)>,
}

/// A section of the body in the formats that there are of it.
#[derive(Default)]
pub(super) struct Section<'a> {
    /// As plain text, in pieces.
    plain: Vec<&'a Part>,
    /// As HTML, in pieces.
    html: Vec<&'a Part>,
}

impl<'a> Layout<'a> {
    /// Finds the bodies and attachments of the message with this root.
    pub(super) fn of(root: &'a Part) -> Self {
        let mut layout = Self::default();
        if class::is_clear_signed(root) {
            // The signed part is shown; what its signature covers stays whole beside it (MS-OXOSMIME 2.1.3.1).
            if let Some(signed) = parts(root).first() {
                visit(signed, &mut Vec::new(), Place::default(), &mut layout);
            }
            layout.attachments = vec![(Vec::new(), root, false)];
        } else if class::is_opaque(root) {
            layout.attachments = vec![(Vec::new(), root, false)];
        } else {
            visit(root, &mut Vec::new(), Place::default(), &mut layout);
        }
        layout
    }

    /// The attachments as they are numbered: TNEF streams last, for those in them take their places.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &(Vec<u16>, &'a Part, bool)> {
        let of_kind = |tnef: bool| {
            self.attachments
                .iter()
                .filter(move |(_, part, _)| winmail::is_one(part) == tnef)
        };
        of_kind(false).chain(of_kind(true))
    }

    /// The pieces of HTML, in order.
    pub(super) fn html(&self) -> impl Iterator<Item = &'a Part> {
        self.sections
            .iter()
            .flat_map(|section| section.html.iter().copied())
    }

    fn plain(&self) -> impl Iterator<Item = &'a Part> {
        self.sections
            .iter()
            .flat_map(|section| section.plain.iter().copied())
    }

    /// The plain text body.
    pub(super) fn plain_text(&self, source: &[u8]) -> Option<String> {
        let mut out: Option<String> = None;
        for part in self.plain() {
            let mut text = body::text(source, part);
            // A string of MAPI ends there.
            text.retain(|c| c != '\0');
            match &mut out {
                None => out = Some(text),
                Some(out) => {
                    if !out.ends_with('\n') {
                        out.push_str("\r\n");
                    }
                    out.push_str(&text);
                }
            }
        }
        out
    }

    /// The HTML body; sections of plain text in it are shown as they are.
    pub(super) fn html_text(&self, source: &[u8]) -> Option<String> {
        self.html().next()?;
        let mut out = String::new();
        for section in &self.sections {
            let pieces = if section.html.is_empty() {
                &section.plain
            } else {
                &section.html
            };
            for piece in pieces {
                let text = body::text(source, piece);
                let text: Cow<'_, str> = if section.html.is_empty() {
                    format!("<pre>{}</pre>", escape(&text)).into()
                } else {
                    text.into()
                };
                append_html(&mut out, &text);
            }
        }
        Some(out)
    }
}

/// Adds a piece at the end of what the document shows.
fn append_html(document: &mut String, piece: &str) {
    const END: &str = "</body>";
    /// How far from the document's end its `</body>` is looked for.
    const LAST_BYTES: usize = 200;
    let tail = document.len().saturating_sub(LAST_BYTES);
    let bytes = document.as_bytes();
    let found = (tail..bytes.len()).rev().find(|&at| {
        bytes
            .get(at..at + END.len())
            .is_some_and(|tag| tag.eq_ignore_ascii_case(END.as_bytes()))
    });
    match found {
        Some(at) => document.insert_str(at, piece),
        None => document.push_str(piece),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// What text at a place is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Text {
    /// The body.
    #[default]
    Body,
    /// More of the body, unless it has a file name (the aggregate body of MS-OXCMAIL 2.2.3.3.2.2).
    More,
    /// An attachment.
    Attachment,
}

#[derive(Clone, Copy, Default)]
struct Place {
    text: Text,
    related: bool,
    /// In a `multipart/alternative`, whose branches are one section.
    alternative: bool,
    /// The formats that earlier branches of the alternative have.
    has_plain: bool,
    has_html: bool,
}

fn visit<'a>(part: &'a Part, path: &mut Vec<u16>, place: Place, layout: &mut Layout<'a>) {
    let children = parts(part);
    if children.is_empty() {
        return leaf(part, path, place, layout);
    }
    let alternative = part.is("multipart", "alternative");
    let related = part.is("multipart", "related");
    if alternative && !place.alternative && place.text != Text::Attachment {
        layout.sections.push(Section::default());
    }
    for (index, child) in children.iter().enumerate() {
        let mut place = Place {
            related: place.related || related,
            alternative: place.alternative || alternative,
            ..place
        };
        if alternative {
            let section = layout.sections.last();
            place.has_plain |= section.is_some_and(|section| !section.plain.is_empty());
            place.has_html |= section.is_some_and(|section| !section.html.is_empty());
        } else if index > 0 {
            place.text = match place.text {
                Text::Attachment => Text::Attachment,
                _ if related => Text::Attachment,
                _ => Text::More,
            };
        }
        path.push(index as u16);
        visit(child, path, place, layout);
        path.pop();
    }
}

fn leaf<'a>(part: &'a Part, path: &[u16], place: Place, layout: &mut Layout<'a>) {
    // A multipart whose boundary never comes is the text that it is.
    let multipart = part.media_type == b"multipart";
    if multipart && part.body.is_empty() {
        return;
    }
    let plain = multipart || part.is("text", "plain");
    let html = part.is("text", "html");
    let disposition = part.disposition.as_ref();
    let attached = disposition.is_some_and(|(kind, _)| kind == b"attachment");
    let named = || {
        disposition.is_some_and(|(_, parameters)| parameter(parameters, "filename").is_some())
            || part.parameter("name").is_some()
    };
    let shown = match place.text {
        Text::Body => true,
        Text::More => !named(),
        Text::Attachment => false,
    };
    let wanted = (plain && !place.has_plain) || (html && !place.has_html);
    if attached || !shown || !wanted {
        layout.attachments.push((path.to_vec(), part, place.related));
        return;
    }
    if !place.alternative {
        layout.sections.push(Section::default());
    }
    if let Some(section) = layout.sections.last_mut() {
        let format = if plain {
            &mut section.plain
        } else {
            &mut section.html
        };
        format.push(part);
    }
}

/// The code page of UTF-8.
const UTF_8: u32 = 65001;

/// Sets what the bodies say of themselves; their content stays in the source.
pub(super) fn convert(layout: &Layout<'_>, bag: &mut PropertyBag) {
    let html = layout.html().next();
    let plain = layout.plain().next();
    // PidTagNativeBody: 1 plain text, 3 HTML (MS-OXCMSG 2.2.1.58.2).
    let native = match (plain, html) {
        (_, Some(_)) => 3,
        (Some(_), None) => 1,
        (None, None) => 0,
    };
    bag.set(tags::NATIVE_BODY, PropValue::Integer32(native));
    let body = html.or(plain);
    let page = body
        .and_then(|part| part.parameter("charset"))
        .map_or(UTF_8, charset::code_page);
    // PidTagHtml is bytes of this page (MS-OXCMSG 2.2.1.58.9), and the HTML body comes as UTF-8.
    let internet = if html.is_some() { UTF_8 } else { page };
    bag.set(tags::INTERNET_CODEPAGE, PropValue::Integer32(internet as i32));
    bag.set(tags::MESSAGE_CODEPAGE, PropValue::Integer32(page as i32));
    if let Some(location) = body.and_then(|part| part.location.as_deref()) {
        let location = String::from_utf8_lossy(location).into_owned();
        bag.set(tags::BODY_CONTENT_LOCATION, PropValue::String(location));
    }
}
