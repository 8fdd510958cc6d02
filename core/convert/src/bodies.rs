//! The body of a message in each of its three forms, made of another where there is none (MS-OXBBODY).
//!
//! ```text
//!            ┌──────── html::to_text ◄───────┐
//! PidTagBody ┤                               ├ PidTagHtml
//!            └─► html::from_text ────────────►
//!      rtf::writer ▲▼ rtf::extract    rtf::writer ▲▼ rtf::extract
//!                    PidTagRtfCompressed
//! ```
//!
//! RTF that encapsulates HTML or text gives back the original; of RTF that was written as such both others are made.

use ringpost_mapi::{PropTag, PropValue, PropertyBag, code_page, tags};

use crate::{
    html,
    mime_to_mapi::{html_body, plain_body},
    rtf::{
        compressed,
        extract::{self, Encapsulated},
        writer,
    },
    structure::Structure,
};

/// The properties that are forms of the body.
pub const FORMS: [PropTag; 3] = [tags::BODY, tags::HTML, tags::RTF_COMPRESSED];

/// The forms that there are of a body as text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bodies {
    /// As plain text.
    pub text: Option<String>,
    /// As HTML.
    pub html: Option<String>,
}

impl Bodies {
    /// Those of a message object. RTF is looked at where there is no HTML.
    pub fn of_properties(bag: &PropertyBag) -> Self {
        let text = bag.string(tags::BODY).map(str::to_owned);
        let html = match bag.get(tags::HTML) {
            Some(PropValue::Binary(bytes)) => Some(code_page::decode(bytes, page(bag)).into_owned()),
            Some(PropValue::String(html)) => Some(html.clone()),
            _ => None,
        };
        if html.is_some() {
            return Self { text, html };
        }
        let rtf = match bag.get(tags::RTF_COMPRESSED) {
            Some(PropValue::Binary(stream)) => compressed::decompress(stream).ok(),
            _ => None,
        };
        let Some(rtf) = rtf else {
            return Self { text, html };
        };
        match extract::encapsulated(&rtf) {
            Some(Encapsulated::Text(original)) => Self {
                text: text.or(Some(original)),
                html: None,
            },
            Some(Encapsulated::Html(html)) => Self {
                text,
                html: Some(html),
            },
            None => Self {
                text: text.or_else(|| Some(extract::to_text(&rtf))),
                html: Some(extract::to_html(&rtf)),
            },
        }
    }

    /// Those of Internet mail that [`Self::form`] needs for `wanted`.
    pub fn of_source(source: &[u8], structure: &Structure, wanted: PropTag) -> Self {
        let (mut text, mut html) = (None, None);
        if wanted == tags::BODY {
            text = plain_body(source, structure);
        }
        if text.is_none() {
            html = html_body(source, structure);
        }
        if wanted != tags::BODY && html.is_none() {
            text = plain_body(source, structure);
        }
        Self { text, html }
    }

    /// A form of the body as a property, `tag` being one of [`FORMS`]; `None` without any body. HTML comes in the
    /// code page that `bag` names (`PidTagInternetCodepage`); what the page lacks becomes a reference.
    pub fn form(&self, tag: PropTag, bag: &PropertyBag) -> Option<PropValue> {
        let Self { text, html } = self;
        match tag {
            tags::BODY => match (text, html) {
                (Some(text), _) => Some(PropValue::String(text.clone())),
                (None, Some(html)) => Some(PropValue::String(html::to_text(html))),
                (None, None) => None,
            },
            tags::HTML => {
                let html = match (html, text) {
                    (Some(html), _) => html.clone(),
                    (None, Some(text)) => html::from_text(text),
                    (None, None) => return None,
                };
                Some(PropValue::Binary(in_page(&html, page(bag))))
            }
            tags::RTF_COMPRESSED => {
                let rtf = match (html, text) {
                    (Some(html), _) => writer::from_html(html),
                    (None, Some(text)) => writer::from_text(text),
                    (None, None) => return None,
                };
                compressed::compress(&rtf).ok().map(PropValue::Binary)
            }
            _ => None,
        }
    }
}

/// A form of the body of a message object: as it is stored, or made of another.
pub fn form(bag: &PropertyBag, tag: PropTag) -> Option<PropValue> {
    match bag.get(tag) {
        Some(value) => Some(value.clone()),
        None => Bodies::of_properties(bag).form(tag, bag),
    }
}

/// The code page of PidTagHtml (MS-OXCMSG 2.2.1.58.9).
fn page(bag: &PropertyBag) -> u32 {
    const UTF_8: u32 = 65001;
    match bag.get(tags::INTERNET_CODEPAGE) {
        Some(PropValue::Integer32(page)) => u32::try_from(*page).unwrap_or(UTF_8),
        _ => UTF_8,
    }
}

fn in_page(html: &str, page: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(html.len());
    let mut buffer = [0; 4];
    for character in html.chars() {
        let text = character.encode_utf8(&mut buffer);
        let bytes = code_page::encode(text, page);
        if character != '?' && &*bytes == b"?" {
            out.extend_from_slice(format!("&#{};", u32::from(character)).as_bytes());
        } else {
            out.extend_from_slice(&bytes);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag(tag: PropTag, value: PropValue, page: i32) -> PropertyBag {
        let mut bag = PropertyBag::new();
        bag.set(tag, value);
        bag.set(tags::INTERNET_CODEPAGE, PropValue::Integer32(page));
        bag
    }

    fn rtf_of(value: Option<PropValue>) -> Vec<u8> {
        let Some(PropValue::Binary(stream)) = value else {
            panic!("no RTF: {value:?}")
        };
        compressed::decompress(&stream).unwrap()
    }

    #[test]
    fn each_form_from_each_other() {
        let text = bag(
            tags::BODY,
            PropValue::String("Gr\u{fc}\u{df}e \u{20ac}\r\n".into()),
            28591,
        );
        // 28591 is read as Windows-1252 wherever mail is.
        assert_eq!(
            form(&text, tags::HTML),
            Some(PropValue::Binary(
                b"<html><body>\r\nGr\xfc\xdfe \x80\r\n</body></html>\r\n".to_vec()
            ))
        );
        let rtf = rtf_of(form(&text, tags::RTF_COMPRESSED));
        assert_eq!(
            extract::encapsulated(&rtf),
            Some(Encapsulated::Text("Gr\u{fc}\u{df}e \u{20ac}\r\n".into()))
        );

        let html = "<p>Gr\u{fc}\u{df}e &amp; \u{4e2d}</p>";
        let rich = bag(tags::HTML, PropValue::Binary(html.as_bytes().to_vec()), 65001);
        assert_eq!(
            form(&rich, tags::BODY),
            Some(PropValue::String("Gr\u{fc}\u{df}e & \u{4e2d}\r\n".into()))
        );
        let rtf = rtf_of(form(&rich, tags::RTF_COMPRESSED));
        assert_eq!(extract::encapsulated(&rtf), Some(Encapsulated::Html(html.into())));

        let stream = compressed::compress(&writer::from_html(html)).unwrap();
        let from_rtf = bag(tags::RTF_COMPRESSED, PropValue::Binary(stream), 1252);
        assert_eq!(
            form(&from_rtf, tags::HTML),
            Some(PropValue::Binary(b"<p>Gr\xfc\xdfe &amp; &#20013;</p>".to_vec()))
        );
        assert_eq!(
            form(&from_rtf, tags::BODY),
            Some(PropValue::String("Gr\u{fc}\u{df}e & \u{4e2d}\r\n".into()))
        );
    }

    #[test]
    fn nothing_comes_of_nothing() {
        for tag in FORMS {
            assert_eq!(form(&PropertyBag::new(), tag), None);
            let damaged = bag(tags::RTF_COMPRESSED, PropValue::Binary(b"no RTF".to_vec()), 1252);
            assert_eq!(form(&damaged, tags::BODY), None);
        }
        assert_eq!(Bodies::default().form(tags::SUBJECT, &PropertyBag::new()), None);
    }
}
