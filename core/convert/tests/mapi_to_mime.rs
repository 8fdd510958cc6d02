//! Every message of the corpora through MAPI objects and back to mail: what was kept is read again the same, and
//! Python's email package finds no defect in it.

mod corpora_files;

use std::{fs, path::Path, process::Command};

use corpora_files::messages;
use ringpost_convert::{
    mapi_to_mime::{Options, to_mime},
    message::{MessageContent, from_mime},
    mime_to_mapi::{html_body, part_data, plain_body},
    structure::Structure,
};
use ringpost_mapi::{
    FileTime, PropValue, PropertyBag,
    named::{NameId, PropertyName},
    tags,
};

/// What comes back in other words: sizes, what the server sets, what names parts of the source.
const OTHER: &[ringpost_mapi::PropTag] = &[
    tags::ATTACH_SIZE,
    tags::MESSAGE_CODEPAGE,
    tags::INTERNET_CODEPAGE,
    tags::NATIVE_BODY,
    tags::TRANSPORT_MESSAGE_HEADERS,
    // Says which TNEF part belongs to the message as it was sent.
    tags::TNEF_CORRELATION_KEY,
];

/// Fields that a sender must not copy.
fn is_transport_s(name: &PropertyName) -> bool {
    matches!(&name.id, NameId::Name(field) if ["x-ms-tnef-correlator", "x-originating-ip"].contains(&field.as_str()))
}

/// Folded lines and single ones differ in white space.
fn in_one_line(value: &PropValue) -> PropValue {
    match value {
        PropValue::String(text) => PropValue::String(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        other => other.clone(),
    }
}

/// Whether all addresses are ones that mail can be sent to; others are not written.
fn has_addresses(content: &MessageContent) -> bool {
    let sender = [tags::SENDER_SMTP_ADDRESS, tags::SENT_REPRESENTING_SMTP_ADDRESS];
    let sender = sender.iter().filter_map(|tag| content.properties.string(*tag));
    let recipients = content
        .recipients
        .iter()
        .filter_map(|row| row.string(tags::SMTP_ADDRESS));
    sender.chain(recipients).all(|address| {
        let parts = address.rsplit_once('@');
        parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
            && !address.contains([':', ' ', '<', '>', '(', ')', ','])
            && address.len() < 320
    })
}

/// The same sender under two names is one (RFC 5322 3.6.2).
fn is_one_sender(bag: &PropertyBag) -> bool {
    bag.string(tags::SENDER_SMTP_ADDRESS) == bag.string(tags::SENT_REPRESENTING_SMTP_ADDRESS)
        && bag.string(tags::SENDER_NAME) != bag.string(tags::SENT_REPRESENTING_NAME)
}

fn comparable(bag: &PropertyBag) -> Vec<(u16, PropValue)> {
    bag.iter()
        .filter(|(tag, _)| !OTHER.iter().any(|other| other.id() == tag.id()))
        .map(|(tag, value)| (tag.id(), in_one_line(value)))
        .collect()
}

/// The message with its bodies, as a client reads it from the store.
fn with_bodies(source: &[u8], structure: &Structure) -> MessageContent {
    let mut content = from_mime(source, structure);
    if let Some(text) = plain_body(source, structure) {
        content.properties.set(tags::BODY, PropValue::String(text));
    }
    if let Some(html) = html_body(source, structure) {
        content
            .properties
            .set(tags::HTML, PropValue::Binary(html.into_bytes()));
        content
            .properties
            .set(tags::INTERNET_CODEPAGE, PropValue::Integer32(65001));
    }
    content
}

fn written(source: &[u8]) -> Vec<u8> {
    let structure = Structure::of(source);
    let content = with_bodies(source, &structure);
    let options = Options {
        message_id: "<none@example.test>",
        now: FileTime::from_unix_seconds(1_700_000_000),
        show_bcc: true,
    };
    to_mime(&content, &options, &mut |path| {
        part_data(source, &structure, path).map(std::borrow::Cow::into_owned)
    })
}

#[test]
fn python_finds_no_defects() {
    let folder = tempfile::tempdir().unwrap();
    for (number, path) in messages().iter().enumerate() {
        let source = fs::read(path).unwrap();
        fs::write(folder.path().join(format!("{number:05}.eml")), written(&source)).unwrap();
        fs::write(folder.path().join(format!("{number:05}.original")), &source).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/defects.py");
    let done = Command::new("python3")
        .arg(script)
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    print!("{}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn what_was_kept_comes_back() {
    let (mut same, mut odd, mut differ) = (0, 0, Vec::new());
    for path in messages() {
        let source = fs::read(&path).unwrap();
        let first = from_mime(&source, &Structure::of(&source));
        if !has_addresses(&first) || is_one_sender(&first.properties) {
            odd += 1;
            continue;
        }
        let mail = written(&source);
        let second = from_mime(&mail, &Structure::of(&mail));
        let mut what = Vec::new();
        for (id, value) in comparable(&first.properties) {
            let back = second
                .properties
                .iter()
                .find(|(tag, _)| tag.id() == id)
                .map(|(_, value)| value);
            if back.map(in_one_line).as_ref() != Some(&value) {
                what.push(format!("{id:04x}: {value:?} became {back:?}"));
            }
        }
        if first.recipients.len() != second.recipients.len() {
            what.push(format!(
                "{} recipients became {}",
                first.recipients.len(),
                second.recipients.len()
            ));
        }
        for (name, value) in first.named.iter().filter(|(name, _)| !is_transport_s(name)) {
            if !second
                .named
                .iter()
                .any(|(known, back)| known == name && in_one_line(back) == in_one_line(value))
            {
                what.push(format!("{name:?} {value:?} is gone"));
            }
        }
        // An encoded message becomes a message that isn't, so files and messages are counted together.
        let files = |content: &MessageContent| content.attachments.len();
        if files(&first) != files(&second) {
            what.push(format!("{} attachments became {}", files(&first), files(&second)));
        }
        if what.is_empty() {
            same += 1;
        } else {
            differ.push(format!(
                "{}: {}",
                path.display(),
                what.join("; ").chars().take(600).collect::<String>()
            ));
        }
    }
    println!("{same} the same, {} differ", differ.len());
    println!("{same} the same, {odd} with odd addresses");
    assert!(
        differ.is_empty(),
        "{same} the same, {} differ: {differ:#?}",
        differ.len()
    );
}
