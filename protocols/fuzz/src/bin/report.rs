//! Delivery and read reports, and any other mail on its way back: what is read becomes mail that is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::{
    mapi_to_mime::{Options, to_mime},
    message::{MessageContent, from_mime},
    mime_to_mapi::{html_body, part_data, plain_body},
    structure::Structure,
};
use ringpost_mapi::{FileTime, PropValue, tags};

fuzz_target!(|data: &[u8]| {
    // The whole message, and the part of a report that programs read.
    let (kind, part) = match data.first() {
        Some(byte) if byte % 2 == 0 => ("delivery-status", data),
        _ => ("disposition-notification", data),
    };
    let report = [
        format!(
            "From: a@example.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type={kind}; boundary=b\r\n\r\n\
             --b\r\n\r\ntext\r\n--b\r\nContent-Type: message/{kind}\r\n\r\n"
        )
        .as_bytes(),
        part,
        b"\r\n--b--\r\n",
    ]
    .concat();
    for source in [data, &report] {
        let first = whole(source);
        let options = Options {
            message_id: "<none@example.test>",
            now: FileTime(0),
            show_bcc: true,
        };
        let structure = Structure::of(source);
        let mail = to_mime(&first, &options, &mut |path| {
            part_data(source, &structure, path).map(std::borrow::Cow::into_owned)
        });
        let second = whole(&mail);
        // A longer subject is cut, which may cut what is read as a prefix.
        const MAX_SUBJECT: usize = 250;
        if subject(&first).len() < MAX_SUBJECT {
            assert_eq!(subject(&second), subject(&first));
        }
        if first.properties.string(tags::MESSAGE_CLASS) != Some("IPM.Note.SMIME") {
            assert_eq!(class(&second), class(&first));
        }
        // Nothing in a property begins a field of its own.
        let end = memchr::memmem::find(&mail, b"\r\n\r\n").expect("a header");
        for line in mail[..end].split(|&byte| byte == b'\n') {
            assert!(line.len() <= 999 && !line.contains(&0));
        }
    }
});

/// The words of the subject: control characters become blanks, since none may begin a line.
fn subject(content: &MessageContent) -> String {
    let subject = content.properties.string(tags::SUBJECT).unwrap_or_default();
    let words = subject.split(|c: char| c.is_whitespace() || c.is_control());
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn class(content: &MessageContent) -> Option<&str> {
    content.properties.string(tags::MESSAGE_CLASS)
}

fn whole(source: &[u8]) -> MessageContent {
    let structure = Structure::of(source);
    let mut content = from_mime(source, &structure);
    if let Some(text) = plain_body(source, &structure) {
        content.properties.set(tags::BODY, PropValue::String(text));
    }
    if let Some(html) = html_body(source, &structure) {
        content
            .properties
            .set(tags::HTML, PropValue::Binary(html.into_bytes()));
    }
    content
}
