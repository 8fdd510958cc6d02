//! Every message of the corpora, of CPython's test data where it is installed, and of the mbox files among
//! them: what is found agrees with Python's email package, survives its encoding, and converts to MAPI objects.

mod corpora_files;

use std::{path::Path, process::Command};

use corpora_files::messages;
use ringpost_convert::{
    header,
    message::{AttachmentContent, AttachmentData, from_mime},
    mime_to_mapi::{html_body, part_data, plain_body},
    structure::{Address, Children, Envelope, Part, Structure},
};
use serde_json::{Map, Value, json};

/// As the Python program shows text: bytes beyond ASCII as question marks.
fn text(bytes: &[u8]) -> String {
    let shown = |&byte: &u8| if byte.is_ascii() { byte as char } else { '?' };
    bytes.iter().map(shown).collect()
}

fn described(source: &[u8], part: &Part) -> Value {
    let kind = format!("{}/{}", text(&part.media_type), text(&part.media_subtype));
    let header = &source[part.header.start as usize..part.header.end as usize];
    let names = header::fields(header).map(|field| text(field.name).to_lowercase());
    let mut this = json!({ "kind": kind, "names": names.collect::<Vec<_>>() });
    let known = part.parameters.iter().map(|(name, value)| {
        // Python's strings have one character where UTF-8 has several bytes.
        let value = String::from_utf8_lossy(value);
        let value: String = value
            .chars()
            .map(|c| if c.is_ascii() { c } else { '?' })
            .collect();
        (text(name), value.into())
    });
    this["parameters"] = known.collect::<Map<_, _>>().into();
    match &part.children {
        // Python reads these as messages too.
        Children::None if part.media_type == b"message" => {}
        Children::None => {
            this["size"] = (part.body.end - part.body.start).into();
            this["lines"] = part.lines.into();
        }
        Children::Multipart(parts) => {
            this["parts"] = parts.iter().map(|part| described(source, part)).collect();
        }
        Children::Message(inner) => {
            this["envelope"] = envelope(&inner.envelope);
            this["parts"] = json!([described(source, &inner.root)]);
        }
    }
    this
}

fn envelope(envelope: &Envelope) -> Value {
    let string = |value: &Option<Vec<u8>>| value.as_deref().map(text);
    let own = |list: &[Address]| {
        if list == envelope.from {
            json!([])
        } else {
            people(list)
        }
    };
    json!({
        "date": string(&envelope.date),
        "subject": string(&envelope.subject),
        "message-id": string(&envelope.message_id),
        "in-reply-to": string(&envelope.in_reply_to),
        "references": string(&envelope.references),
        "from": people(&envelope.from),
        "sender": own(&envelope.sender),
        "reply-to": own(&envelope.reply_to),
        "to": people(&envelope.to),
        "cc": people(&envelope.cc),
        "bcc": people(&envelope.bcc),
    })
}

/// Names and addresses, as Python has them: without the rows of groups.
fn people(list: &[Address]) -> Value {
    let shown = |bytes: &Option<Vec<u8>>| text(bytes.as_deref().unwrap_or_default());
    let person = |one: &Address| {
        let address = match shown(&one.host) {
            host if host.is_empty() => shown(&one.mailbox),
            host => format!("{}@{host}", shown(&one.mailbox)),
        };
        json!([shown(&one.name), address])
    };
    list.iter().filter(|one| one.host.is_some()).map(person).collect()
}

/// The aspects of a message that are compared one by one, over all of its parts.
const ASPECTS: &[&str] = &["shape", "names", "lines", "parameters", "envelope"];

/// One aspect of what [`described`] or the Python program found.
fn aspect(name: &str, message: &Value) -> Value {
    fn visit(name: &str, part: &Value) -> Value {
        let parts = part["parts"].as_array();
        let parts = parts.map(|parts| parts.iter().map(|part| visit(name, part)).collect::<Value>());
        if name == "shape" {
            return json!([part["kind"], part["size"], parts]);
        }
        json!([part[name], parts])
    }
    match name {
        "envelope" => json!([message["envelope"], visit(name, &message["root"])]),
        _ => visit(name, &message["root"]),
    }
}

/// Aspects where Python's answer is another one, why ours is meant, and of which files.
const DIFFERENT: &[(&str, &str, &[&str])] = &[
    (
        "shape",
        "Python drops the last line end where the closing delimiter is missing",
        &[
            "malformed/006.eml",
            "malformed/008.eml",
            "malformed/009.eml",
            "malformed/011.eml",
            "malformed/012.eml",
            "malformed/016.eml",
            "thirdparty/005.eml",
            "dkim/multipart-no-end-boundary.msg",
            "simple.mbox.txt/000",
        ],
    ),
    (
        "shape",
        "a multipart inside another with the same boundary: Python gives all parts to the outer one",
        &[
            "malformed/001.eml",
            "malformed/003.eml",
            "malformed/005.eml",
            "malformed/013.eml",
            "mbox/simple.mbox.txt",
            "simple.mbox.txt/001",
            "simple.mbox.txt/002",
            "data/msg_15.txt",
            "data/msg_39.txt",
        ],
    ),
    (
        "shape",
        "a boundary that looks like a header field ends a header too",
        &["malformed/000.eml"],
    ),
    (
        "shape",
        "white space before a field's colon is allowed (RFC 5322 4.5)",
        &["malformed/019.eml"],
    ),
    ("shape", "a folded boundary is unfolded", &["thirdparty/012.eml"]),
    (
        "shape",
        "a media type ends where white space does, also without a semicolon",
        &["malformed/017.eml"],
    ),
    (
        "shape",
        "between two delimiters there is a part, if an empty one",
        &["data/msg_37.txt"],
    ),
    (
        "shape",
        "a message in a part may begin with an mbox's separator",
        &["content-length.mbox.txt/015", "content-length.mbox.txt/016"],
    ),
    (
        "shape",
        "a byte order mark is no part of the first field's name",
        &["messages/feedback-report.txt"],
    ),
    (
        "parameters",
        "a parameter without a value is none",
        &["data/msg_25.txt"],
    ),
    (
        "parameters",
        "parameters that no semicolon parts",
        &["rfc/001.eml", "thirdparty/010.eml"],
    ),
    ("envelope", "a comment isn't part of a name", &["rfc/002.eml"]),
    (
        "envelope",
        "what isn't an address is shown all the same",
        &["rfc/009.eml", "content-length.mbox.txt/006"],
    ),
    (
        "envelope",
        "an address before an address in angle brackets is its name",
        &["messages/issue358.txt"],
    ),
    (
        "envelope",
        "Python gives up on a group that doesn't end",
        &["messages/stack-overflow.txt"],
    ),
];

/// The innermost values that differ.
fn differences(ours: &Value, theirs: &Value, out: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| differences(a, b, out));
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().for_each(|(key, value)| differences(value, &b[key], out));
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("    {a}\n    {b} in Python")),
    }
}

#[test]
fn what_is_found_agrees_with_python() {
    let files = messages();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/structures.py");
    let output = Command::new("python3")
        .arg(script)
        .args(&files)
        .output()
        .expect("python3 runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut differ = Vec::new();
    let mut seen = Vec::new();
    for file in &files {
        let name = file.to_str().unwrap();
        let source = std::fs::read(file).unwrap();
        let structure = Structure::of(&source);
        let found =
            json!({ "envelope": envelope(&structure.envelope), "root": described(&source, &structure.root) });
        let theirs = &expected[name];
        // Where the parts are others, so is all that they say.
        let shapes = aspect("shape", &found) == aspect("shape", theirs);
        for of in ASPECTS {
            let (ours, theirs) = (aspect(of, &found), aspect(of, theirs));
            if ours == theirs || (!shapes && *of != "shape") {
                continue;
            }
            let known = DIFFERENT
                .iter()
                .flat_map(|(aspect, _, files)| files.iter().map(move |file| (aspect, file)))
                .find(|(aspect, file)| *aspect == of && name.ends_with(*file));
            if let Some(known) = known {
                seen.push(known);
            } else {
                differ.push(format!("{of} {name} {}", expected[name]["defects"]));
                differences(&ours, &theirs, &mut differ);
            }
        }
    }
    println!("{} messages", files.len());
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    for (aspect, _, files) in DIFFERENT {
        for file in *files {
            let installed = Path::new(corpora_files::CPYTHON).is_dir() || !file.starts_with("data/");
            assert!(
                seen.contains(&(aspect, file)) || !installed,
                "{aspect} of {file} agrees now"
            );
        }
    }
}

#[test]
fn everything_converts() {
    for file in messages() {
        let source = std::fs::read(&file).unwrap();
        let structure = Structure::of(&source);
        assert_eq!(structure.root.header.start, 0);
        assert_eq!(structure.root.body.end, source.len() as u64, "{}", file.display());
        let encoded = structure.encode();
        assert_eq!(
            Structure::decode(&encoded).as_ref(),
            Some(&structure),
            "{}",
            file.display()
        );
        let content = from_mime(&source, &structure);
        let _ = (plain_body(&source, &structure), html_body(&source, &structure));
        content
            .attachments
            .iter()
            .for_each(|one| readable(&source, &structure, one));
    }
}

fn readable(source: &[u8], structure: &Structure, attachment: &AttachmentContent) {
    match &attachment.data {
        // Those in TNEF streams hold their data themselves.
        AttachmentData::None => {}
        AttachmentData::Part(path) => assert!(part_data(source, structure, path).is_some(), "{path:?}"),
        AttachmentData::Embedded(message) => {
            message
                .attachments
                .iter()
                .for_each(|one| readable(source, structure, one));
        }
    }
}
