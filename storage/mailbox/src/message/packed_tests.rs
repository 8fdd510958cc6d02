#![allow(clippy::format_push_string)] // Clearer here than a trait for it.

use super::*;
use crate::incoming::{PreparedMessage, Row};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        list[(self.0 % list.len() as u64) as usize]
    }
}

const FIRST: &[&str] = &[
    "Anna", "Peter", "Maria", "John", "Li", "Sofia", "Thomas", "Fatima", "Juan", "Elena", "Michael", "Olga",
    "Sarah", "David", "Ingrid", "Martin",
];
const LAST: &[&str] = &[
    "Smith", "Miller", "Garcia", "Novak", "Schmidt", "Rossi", "Wang", "Hansen", "Kowalski", "Johnson",
    "Bauer", "Silva",
];
const DOMAINS: &[&str] = &[
    "example.com",
    "mail.example.org",
    "example.net",
    "lists.example.org",
    "office.example.de",
    "example.co.uk",
];
const FILES: &[&str] = &[
    "report",
    "invoice",
    "image001",
    "presentation",
    "document",
    "scan",
    "agenda",
];
const TYPES: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("application/octet-stream", "bin"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("text/plain", "txt"),
];

fn person(numbers: &mut Numbers) -> String {
    let (first, last) = (numbers.pick(FIRST), numbers.pick(LAST));
    let domain = numbers.pick(DOMAINS);
    let local = match numbers.pick(&["dotted", "dotted", "first"]) {
        "dotted" => format!("{first}.{last}").to_lowercase(),
        _ => first.to_lowercase(),
    };
    match numbers.pick(&["named", "named", "bare"]) {
        "named" => format!("\"{first} {last}\" <{local}@{domain}>"),
        _ => format!("{local}@{domain}"),
    }
}

/// An invented message.
fn invented(numbers: &mut Numbers) -> Vec<u8> {
    let list = |numbers: &mut Numbers| -> String {
        let count = numbers.pick(&["1", "1", "1", "2", "3", "5"]).parse().unwrap();
        (0..count).map(|_| person(numbers)).collect::<Vec<_>>().join(", ")
    };
    let id = numbers.0;
    let from = person(numbers);
    let to = list(numbers);
    let mut source = format!(
        "Return-Path: <{}>\r\nFrom: {from}\r\nTo: {to}\r\nSubject: {}{} {}\r\nMessage-ID: <{}.{}@{}>\r\nDate: Mon, 6 Jan 2025 10:11:12 +0100\r\n",
        numbers.pick(FIRST),
        numbers.pick(&["", "", "Re: "]),
        numbers.pick(FILES),
        numbers.pick(LAST),
        id,
        numbers.pick(FILES),
        numbers.pick(DOMAINS)
    );
    if numbers.pick(&["", "", "cc"]) == "cc" {
        source += &format!("Cc: {}\r\n", list(numbers));
    }
    if numbers.pick(&["", "", "list"]) == "list" {
        source += &format!(
            "In-Reply-To: <{}@{}>\r\nReferences: <{}@{}>\r\n",
            id,
            numbers.pick(DOMAINS),
            id / 3,
            numbers.pick(DOMAINS)
        );
    }
    if numbers.pick(&["plain", "mixed", "alternative"]) == "plain" {
        source += "Content-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n";
    } else {
        source += "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello</p>\r\n";
        for _ in 0..numbers.pick(&["0", "1", "2", "4"]).parse().unwrap() {
            let at: usize = numbers.pick(&["0", "1", "2", "3", "4", "5"]).parse().unwrap();
            let (kind, end) = TYPES[at];
            let file = numbers.pick(FILES);
            source += &format!(
                "--b\r\nContent-Type: {kind}; name=\"{file}.{end}\"\r\nContent-Disposition: attachment; filename=\"{file}.{end}\"\r\nContent-ID: <{file}.{end}@{}>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n",
                numbers.0
            );
        }
        source += "--b--\r\n";
    }
    source.into_bytes()
}

fn samples(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(seed);
    let mut samples = Vec::new();
    for _ in 0..count {
        let message = PreparedMessage::new(invented(&mut numbers).into(), None);
        samples.extend(Row::values(&message.content).into_iter().flatten());
    }
    samples
}

/// Writes a dictionary to the file that `RINGPOST_DICTIONARY` names. Run it for a new number only: what is
/// stored can be read with the very dictionary that it was written with and no other.
#[test]
#[ignore = "makes a new dictionary"]
fn make_dictionary() {
    let dictionary = zstd::dict::from_samples(&samples(0x9e37_79b9, 4000), 6 * 1024).unwrap();
    let path = std::env::var("RINGPOST_DICTIONARY").expect("RINGPOST_DICTIONARY names the file to write");
    std::fs::write(path, dictionary).unwrap();
}

#[test]
fn the_dictionary_is_the_one_that_stored_values_need() {
    let hash = blake3::hash(DICTIONARY_1).to_hex();
    assert_eq!(
        hash.as_str(),
        "081248512e2603517d782e739839d3edde1609ae1761f28a5de18782e3a4820a",
        "a dictionary never changes"
    );
}

#[test]
fn values_come_back_and_shrink() {
    let (mut before, mut after) = (0, 0);
    for value in samples(42, 100) {
        let packed = pack(value.clone());
        before += value.len();
        after += packed.len();
        assert_eq!(unpack(&packed).unwrap(), value);
    }
    assert!(after * 2 < before, "{before} bytes became {after}");
    for value in [
        vec![],
        vec![0],
        vec![0; 5000],
        vec![1; 3_000_000],
        b"short".to_vec(),
    ] {
        assert_eq!(unpack(&pack(value.clone())).unwrap(), value);
    }
    assert_eq!(
        unpack(b"as schema 1 wrote it").unwrap(),
        &b"as schema 1 wrote it"[..]
    );
}

#[test]
fn damage_is_an_error() {
    let packed = pack(vec![7; 1000]);
    assert_eq!(unpack(&[0]).unwrap(), &[0][..], "an empty list of schema 1");
    for cut in 2..packed.len() {
        assert!(unpack(&packed[..cut]).is_err(), "cut at {cut}");
    }
    assert!(unpack(&[0, 9, 1]).is_err(), "unknown method");
    let mut long = vec![0, 1];
    write_varint(&mut long, MAX_ENCODED_BYTES as u64 + 1);
    assert_eq!(unpack(&long), Err(CodecError::OverLimit("packed value")));
    let mut long = vec![0, 1];
    write_varint(&mut long, MAX_ENCODED_BYTES as u64);
    assert!(unpack(&long).is_err(), "reserves nothing for so short a frame");
}
