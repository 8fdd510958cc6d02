//! Messages from the Internet: their structure, its form in the store, and the MAPI objects they become.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::{
    body,
    mime_to_mapi::{from_mime, plain_body},
    structure::{Children, Part, Section, Structure},
};

fuzz_target!(|data: &[u8]| {
    let structure = Structure::of(data);
    let encoded = structure.encode();
    assert_eq!(Structure::decode(&encoded).as_ref(), Some(&structure));
    assert_eq!(
        structure.section(&[], Section::Whole).map(|range| range.end),
        Some(data.len() as u64)
    );
    look_at(data, &structure.root);
    let _ = from_mime(data, &structure);
    let _ = plain_body(data, &structure);
    // A damaged store has structures that belong to no source, or to another one.
    if let Some(foreign) = Structure::decode(data) {
        assert_eq!(Structure::decode(&foreign.encode()).as_ref(), Some(&foreign));
        for source in [data, b"Subject: short\r\n\r\n"] {
            let _ = from_mime(source, &foreign);
            let _ = plain_body(source, &foreign);
        }
    }
});

/// Every part lies within the source, and its content can be had.
fn look_at(source: &[u8], part: &Part) {
    let length = source.len() as u64;
    for range in [&part.header, &part.body] {
        assert!(range.start <= range.end && range.end <= length);
    }
    let _ = body::data(source, part);
    let _ = body::data_size(source, part);
    let _ = body::text(source, part);
    match &part.children {
        Children::None => {}
        Children::Multipart(parts) => parts.iter().for_each(|part| look_at(source, part)),
        Children::Message(inner) => look_at(source, &inner.root),
    }
}
