//! Every message of the corpora: the structure agrees with Python's email package, survives its encoding, and
//! converts to MAPI objects.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use ringpost_convert::{
    message::{AttachmentContent, AttachmentData, from_mime},
    mime_to_mapi::{html_body, part_data, plain_body},
    structure::{Children, Part, Structure},
};
use serde_json::{Value, json};

fn messages() -> Vec<PathBuf> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    assert!(
        corpora.is_dir(),
        "the test corpora are missing: {}",
        corpora.display()
    );
    let mut found = Vec::new();
    for folder in [
        "mail-parser/rfc",
        "mail-parser/legacy",
        "mail-parser/thirdparty",
        "mail-parser/malformed",
        "mimekit/messages",
        "mimekit/partial",
        "mimekit/dkim",
        "mimekit/mbox",
    ] {
        let entries = std::fs::read_dir(corpora.join(folder)).unwrap();
        found.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_file()),
        );
    }
    found.sort();
    found
}

fn shape(part: &Part) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = format!("{}/{}", text(&part.media_type), text(&part.media_subtype));
    match &part.children {
        // Python reads these as messages too.
        Children::None if part.media_type == b"message" => json!([kind, null]),
        Children::None => json!([kind, part.body.end - part.body.start]),
        Children::Multipart(parts) => json!([kind, parts.iter().map(shape).collect::<Vec<_>>()]),
        Children::Message(inner) => json!([kind, [shape(&inner.root)]]),
    }
}

/// Where Python's answer is another one, and why ours is meant.
const DIFFERENT: &[(&str, &[&str])] = &[
    (
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
        ],
    ),
    (
        "a multipart inside another with the same boundary: Python gives all parts to the outer one",
        &[
            "malformed/001.eml",
            "malformed/003.eml",
            "malformed/005.eml",
            "malformed/013.eml",
            "mbox/simple.mbox.txt",
        ],
    ),
    (
        "a boundary that looks like a header field ends a header too",
        &["malformed/000.eml"],
    ),
    (
        "white space before a field's colon is allowed (RFC 5322 4.5)",
        &["malformed/019.eml"],
    ),
    ("a folded boundary is unfolded", &["thirdparty/012.eml"]),
    (
        "a media type ends where white space does, also without a semicolon",
        &["malformed/017.eml"],
    ),
];

#[test]
fn structures_agree_with_python() {
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
    let (mut agree, mut explained, mut differ) = (0, 0, Vec::new());
    for file in &files {
        let name = file.to_str().unwrap();
        let ours = shape(&Structure::of(&std::fs::read(file).unwrap()).root);
        let theirs = &expected[name];
        if ours == theirs["shape"] {
            agree += 1;
        } else {
            let known = DIFFERENT
                .iter()
                .any(|(_, files)| files.iter().any(|file| name.ends_with(file)));
            explained += usize::from(known);
            if !known {
                differ.push(format!(
                    "{name} {}\n  ours   {ours}\n  theirs {}",
                    theirs["defects"], theirs["shape"]
                ));
            }
        }
    }
    println!("{agree} agree");
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    let listed: usize = DIFFERENT.iter().map(|(_, files)| files.len()).sum();
    assert_eq!(explained, listed, "some of the listed files agree now");
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
        AttachmentData::None => panic!("an attachment without data"),
        AttachmentData::Part(path) => assert!(part_data(source, structure, path).is_some(), "{path:?}"),
        AttachmentData::Embedded(message) => {
            message
                .attachments
                .iter()
                .for_each(|one| readable(source, structure, one));
        }
    }
}
