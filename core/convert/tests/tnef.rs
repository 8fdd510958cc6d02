//! TNEF streams of real programs, with the files that other programs found in them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ringpost_convert::{
    message::{AttachmentContent, AttachmentData, MessageContent},
    rtf::{compressed, writer},
    tnef,
};
use ringpost_mapi::{PropValue, PropertyBag, tags};

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

/// The order of named properties means nothing.
fn sorted(mut message: MessageContent) -> MessageContent {
    message.named.sort_by(|a, b| a.0.cmp(&b.0));
    message
}
