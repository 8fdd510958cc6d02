//! TNEF streams of real programs, with the files that other programs found in them.

mod corpora_files;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ringpost_convert::{
    message::{AttachmentContent, AttachmentData, MessageContent, from_mime},
    mime_to_mapi::part_data,
    rtf::{compressed, writer},
    structure::Structure,
    tnef,
};
use ringpost_mapi::{PropValue, PropertyBag, named::NameId, tags};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/mimekit/tnef")
}

/// All data that the message holds: attachments, also of embedded messages, and bodies.
fn data(message: &MessageContent, found: &mut Vec<Vec<u8>>) {
    for attachment in &message.attachments {
        if let AttachmentData::Embedded(embedded) = &attachment.data {
            data(embedded, found);
        }
        if let Some(PropValue::Binary(bytes) | PropValue::Object(bytes)) =
            attachment.properties.get(tags::ATTACH_DATA_BINARY)
        {
            found.push(bytes.clone());
        }
    }
    match message.properties.get(tags::RTF_COMPRESSED) {
        Some(PropValue::Binary(bytes)) => found.push(compressed::decompress(bytes).unwrap()),
        None => {}
        Some(other) => panic!("{other:?}"),
    }
    match message.properties.get(tags::HTML) {
        Some(PropValue::Binary(bytes)) => found.push(bytes.clone()),
        Some(PropValue::String(text)) => found.push(text.as_bytes().to_vec()),
        _ => {}
    }
    if let Some(text) = message.properties.string(tags::BODY) {
        found.push(text.as_bytes().to_vec());
    }
}

/// Some of the text files were kept with other line ends.
fn same_lines(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|&byte| byte != b'\r').collect()
}

#[test]
fn what_others_found_in_real_streams() {
    let mut streams = 0;
    let mut compared = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "tnef") {
            continue;
        }
        streams += 1;
        let decoded = tnef::read(&fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut found = Vec::new();
        data(&decoded.message, &mut found);
        let Ok(files) = fs::read_dir(path.with_extension("")) else {
            continue;
        };
        for file in files {
            let file = file.unwrap().path();
            let bytes = fs::read(&file).unwrap();
            compared += 1;
            if !found.iter().any(|found| same_lines(found) == same_lines(&bytes)) {
                wrong.push(format!(
                    "{}: {} bytes, found {:?}; damage {:?}",
                    file.display(),
                    bytes.len(),
                    found.iter().map(Vec::len).collect::<Vec<_>>(),
                    decoded.damage
                ));
            }
        }
    }
    assert!(
        streams >= 19 && compared >= 49,
        "{streams} streams, {compared} files"
    );
}

#[test]
fn real_streams_come_back_from_our_own() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "tnef") {
            let first = tnef::read(&fs::read(&path).unwrap()).unwrap().message;
            let stream = tnef::write(&first, &mut |_| None).unwrap();
            let again = tnef::read(&stream).unwrap();
            assert_eq!(again.damage, None);
            assert_eq!(sorted(again.message), sorted(first), "{}", path.display());
        }
    }
}

/// The files that a program of others finds in a stream.
fn extracted(program: &str, arguments: &[&str], stream: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("winmail.dat");
    fs::write(&path, stream).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let done = Command::new(program)
        .args(arguments)
        .arg(if program == "tnef" { "-C" } else { "-f" })
        .arg(&out)
        .arg(&path)
        .output();
    let done = match done {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            println!("{program} is not installed");
            return None;
        }
        done => done.unwrap(),
    };
    assert!(done.status.success(), "{program}: {done:?}");
    let files = fs::read_dir(&out).unwrap();
    Some(
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect(),
    )
}

#[test]
fn others_read_our_streams() {
    let attachment = |name: &str, bytes: &[u8]| {
        let mut properties = PropertyBag::new();
        properties.set(tags::ATTACH_LONG_FILENAME, PropValue::String(name.to_owned()));
        properties.set(tags::ATTACH_METHOD, PropValue::Integer32(1));
        properties.set(tags::ATTACH_DATA_BINARY, PropValue::Binary(bytes.to_vec()));
        AttachmentContent {
            properties,
            data: AttachmentData::None,
        }
    };
    let rtf = writer::from_html("<html><body><p>Gr\u{fc}\u{df}e <b>all</b></p></body></html>");
    let mut message = MessageContent::default();
    let properties = &mut message.properties;
    properties.set(tags::MESSAGE_CLASS, PropValue::String("IPM.Note".into()));
    properties.set(tags::SUBJECT, PropValue::String("Gr\u{fc}\u{df}e".into()));
    properties.set(
        tags::RTF_COMPRESSED,
        PropValue::Binary(compressed::compress(&rtf).unwrap()),
    );
    message.attachments = vec![
        attachment("one.txt", b"first"),
        attachment("two.bin", &[0, 1, 2, 255].repeat(1000)),
    ];
    let stream = tnef::write(&message, &mut |_| None).unwrap();
    for (program, arguments) in [("tnef", &["--save-body"][..]), ("ytnef", &["-F"])] {
        let Some(files) = extracted(program, arguments, &stream) else {
            continue;
        };
        for expected in [&b"first"[..], &[0, 1, 2, 255].repeat(1000)] {
            assert!(
                files.contains(expected),
                "{program}: {:?}",
                files.iter().map(Vec::len).collect::<Vec<_>>()
            );
        }
        if program == "tnef" {
            assert!(files.contains(&rtf), "the body");
        }
    }
}

/// Both programs find in our form of each real stream what they find in the stream itself.
#[test]
fn others_find_the_same_in_our_form_of_real_streams() {
    let (mut streams, mut files, mut wrong) = (0, 0, Vec::new());
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "tnef") {
            continue;
        }
        let original = fs::read(&path).unwrap();
        let message = tnef::read(&original).unwrap().message;
        let ours = tnef::write(&message, &mut |_| None).unwrap();
        for program in &PROGRAMS {
            // What a program can't read of somebody else's it need not read of ours.
            let Some(before) = found(program, &original) else {
                continue;
            };
            let Some(after) = found(program, &ours) else {
                wrong.push(format!("{}: {} fails on ours", path.display(), program.0));
                continue;
            };
            streams += 1;
            let name = path.file_name().unwrap().to_str().unwrap();
            for file in &before {
                files += 1;
                let other = OTHERWISE
                    .iter()
                    .any(|(known, size, _)| *known == name && *size == file.len());
                if !after.contains(file) && !other {
                    wrong.push(format!(
                        "{}: {} does not find the file of {} bytes {:?} any more; it finds {:?}",
                        path.display(),
                        program.0,
                        file.len(),
                        String::from_utf8_lossy(&file[..file.len().min(60)]),
                        after.iter().map(Vec::len).collect::<Vec<_>>()
                    ));
                }
            }
        }
    }
    println!("{streams} streams, {files} files");
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    assert!(streams >= 30 || !installed(), "{streams}");
}

/// Programs that extract files, and how they are asked to.
const PROGRAMS: [(&str, &[&str]); 2] = [
    (
        "tnef",
        &[
            "--save-body",
            "--number-backups",
            "--ignore-checksum",
            "--ignore-cruft",
        ],
    ),
    ("ytnef", &["-F", "-H"]),
];

/// Files that are others in our form: the stream, the size, and why.
const OTHERWISE: &[(&str, usize, &str)] = &[
    ("christmas.tnef", 6524, "an embedded message as it was encoded"),
    ("christmas.tnef", 385_317, "an embedded message as it was encoded"),
];

fn installed() -> bool {
    PROGRAMS
        .iter()
        .all(|(program, _)| Command::new(program).arg("--version").output().is_ok())
}

/// What a program extracts; `None` where it fails or is not installed.
fn found((program, arguments): &(&str, &[&str]), stream: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("winmail.dat");
    fs::write(&path, stream).unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let done = Command::new(program)
        .args(*arguments)
        .arg(if *program == "tnef" { "-C" } else { "-f" })
        .arg(&out)
        .arg(&path)
        .output()
        .ok()?;
    if !done.status.success() {
        return None;
    }
    let files = fs::read_dir(&out).unwrap();
    Some(
        files
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .filter(|file| !file.is_empty())
            .collect(),
    )
}

/// The attachments of every message of the corpora, sent as TNEF.
#[test]
fn others_find_the_attachments_of_mail() {
    if !installed() && std::env::var_os("CI").is_none() {
        println!("tnef and ytnef are not installed");
        return;
    }
    let (mut streams, mut files, mut wrong) = (0, 0, Vec::new());
    for path in corpora_files::messages() {
        let source = fs::read(&path).unwrap();
        let structure = Structure::of(&source);
        let content = from_mime(&source, &structure);
        let expected: Vec<Vec<u8>> = content
            .attachments
            .iter()
            .filter_map(|attachment| match &attachment.data {
                AttachmentData::Part(path) => Some(part_data(&source, &structure, path)?.into_owned()),
                _ => None,
            })
            .filter(|bytes| !bytes.is_empty())
            .collect();
        if expected.is_empty() {
            continue;
        }
        let mut part = |path: &[u16]| part_data(&source, &structure, path).map(std::borrow::Cow::into_owned);
        let stream = tnef::write(&content, &mut part).unwrap();
        // ytnef gives up on a name of more than 100 bytes of UTF-16.
        let long = content.named.iter().any(|(name, _)| match &name.id {
            NameId::Name(text) => text.encode_utf16().count() >= 50,
            NameId::Lid(_) => false,
        });
        for program in &PROGRAMS {
            if long && program.0 == "ytnef" {
                continue;
            }
            streams += 1;
            let Some(found) = found(program, &stream) else {
                wrong.push(format!("{}: {} fails", path.display(), program.0));
                continue;
            };
            // A file name of two attachments is one file to ytnef.
            let names: BTreeSet<_> = content
                .attachments
                .iter()
                .map(|attachment| attachment.properties.string(tags::ATTACH_FILENAME))
                .collect();
            let same_names = names.len() < content.attachments.len();
            for bytes in &expected {
                files += 1;
                let hidden = same_names && program.0 == "ytnef";
                if !found.contains(bytes) && !hidden {
                    wrong.push(format!(
                        "{}: {} lacks {} bytes of {names:?}; it finds {:?}",
                        path.display(),
                        program.0,
                        bytes.len(),
                        found.iter().map(Vec::len).collect::<Vec<_>>()
                    ));
                }
            }
        }
    }
    println!("{streams} streams, {files} files");
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// The order of named properties means nothing.
fn sorted(mut message: MessageContent) -> MessageContent {
    message.named.sort_by(|a, b| a.0.cmp(&b.0));
    message
}
