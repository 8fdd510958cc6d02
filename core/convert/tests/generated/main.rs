//! Generated messages through every conversion: what mail means is found, nothing that has a form on the other side is
//! lost on the way there and back, and others' programs read what we write.

mod composed_and_back;
#[path = "../generator/mod.rs"]
mod generator;
mod judges;
mod mail_and_back;
mod meaning;
mod tnef_and_back;

use std::{borrow::Cow, fs, path::Path, process::Command};

use generator::{composed::composed, mail, numbers, parts::File};
use ringpost_convert::{
    mapi_to_mime::{Options, to_mime},
    message::{AttachmentContent, AttachmentData, MessageContent},
    mime_to_mapi,
    rtf::{
        compressed,
        extract::{self, Encapsulated, encapsulated},
    },
    structure::Structure,
    tnef,
};
use ringpost_mapi::{FileTime, PropTag, PropValue, PropertyBag, code_page, tags};

const OPTIONS: Options<'_> = Options {
    message_id: "<none@example.test>",
    now: FileTime(134_399_616_380_000_000),
    show_bcc: true,
};

/// The message with its bodies and the bytes of its attachments, as a client reads it from the store.
fn whole(source: &[u8]) -> MessageContent {
    mime_to_mapi::whole(source, &Structure::of(source))
}

fn bytes(attachment: &AttachmentContent) -> &[u8] {
    match attachment.properties.get(tags::ATTACH_DATA_BINARY) {
        Some(PropValue::Binary(bytes)) => bytes,
        _ => &[],
    }
}

fn integer(bag: &PropertyBag, tag: PropTag) -> i32 {
    match bag.get(tag) {
        Some(PropValue::Integer32(number)) => *number,
        _ => 0,
    }
}

/// Differences in white space at the end mean nothing, and a CR alone is a line end when it is sent.
fn text(text: Option<&str>) -> String {
    text.unwrap_or_default()
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .trim_end()
        .to_owned()
}

fn html(content: &MessageContent) -> Option<&str> {
    match content.properties.get(tags::HTML) {
        Some(PropValue::Binary(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Collects what is wrong, and tells of it at the end.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, number: u64, what: &str, found: T, meant: T) {
        if found != meant {
            let shown = format!("{number}: {what}: {found:?} instead of {meant:?}");
            self.0.push(shown.chars().take(900).collect());
        }
    }

    fn end(self) {
        let count = self.0.len();
        assert!(
            count == 0,
            "{count} wrong:\n{}",
            self.0[..count.min(20)].join("\n")
        );
    }
}

fn people(content: &MessageContent, kind: i32) -> Vec<(String, String)> {
    content
        .recipients
        .iter()
        .filter(|row| integer(row, tags::RECIPIENT_TYPE) == kind)
        .map(|row| {
            let name = row.string(tags::DISPLAY_NAME).unwrap_or_default().to_owned();
            (
                name,
                row.string(tags::SMTP_ADDRESS).unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// People without a name are called by their address.
fn named(people: &[(String, String)]) -> Vec<(String, String)> {
    people
        .iter()
        .map(|(name, address)| {
            (
                if name.is_empty() { address } else { name }.clone(),
                address.clone(),
            )
        })
        .collect()
}

/// A file's name as it is kept.
fn clean(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '"' | '<' | '>' | '?' | '*' | '|' | ':'))
        .take(255)
        .collect()
}

fn in_one_line(value: &PropValue) -> PropValue {
    match value {
        // Control characters become blanks: none may begin a line.
        PropValue::String(text) => {
            let words = text.split(|c: char| c.is_whitespace() || c.is_control());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            PropValue::String(words.join(" "))
        }
        other => other.clone(),
    }
}

/// The generators make every kind of message.
#[test]
fn every_kind_is_made() {
    let kinds: std::collections::BTreeSet<Cow<'_, str>> =
        numbers().map(|number| mail::mail(number).kind.into()).collect();
    assert!(kinds.len() >= 35 || numbers().count() < 300, "{kinds:?}");
}
