//! The bodies of a message, each from another where it is missing (MS-OXCMAIL 2.1.3.3, MS-OXBBODY).

use ringpost_mapi::{PropValue, PropertyBag, code_page, tags};

use super::{binary, integer};
use crate::rtf::{
    compressed,
    extract::{self, Encapsulated},
};

/// The forms that there are of the body.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
}

impl Bodies {
    pub(super) fn of(bag: &PropertyBag) -> Self {
        let text = bag.string(tags::BODY).map(str::to_owned);
        let html = match bag.get(tags::HTML) {
            Some(PropValue::Binary(bytes)) => {
                let page = integer(bag, tags::INTERNET_CODEPAGE).and_then(|page| u32::try_from(page).ok());
                Some(code_page::decode(bytes, page.unwrap_or(UTF_8)).into_owned())
            }
            Some(PropValue::String(html)) => Some(html.clone()),
            _ => None,
        };
        if html.is_some() {
            return Self { text, html };
        }
        let rtf = binary(bag, tags::RTF_COMPRESSED).and_then(|stream| compressed::decompress(stream).ok());
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
}

const UTF_8: u32 = 65001;
