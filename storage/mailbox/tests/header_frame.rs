//! A long message's header is stored as a frame of its own: read with it and without it, whole and in pieces.

mod common;

use bytes::Bytes;
use common::*;
use ringpost_store::{Flags, MessageRow, PreparedMessage, folder::built_in};

const INBOX: ringpost_mapi::FolderId = built_in::INBOX;

/// A message with so many bytes of header and of body, about.
fn source(header: usize, body: usize) -> Vec<u8> {
    let mut source = b"From: ann@example.test\r\nSubject: Plans\r\n".to_vec();
    let mut number = 0u64;
    while source.len() < header {
        number += 1;
        source.extend_from_slice(format!("X-Field-{number}: {}\r\n", number * number * 7919).as_bytes());
    }
    source.extend_from_slice(b"\r\n");
    let end = source.len() + body;
    while source.len() < end {
        number += 1;
        source.extend_from_slice(format!("Line {number} of a text, {}.\r\n", number * number).as_bytes());
    }
    source
}

fn end_of_header(source: &[u8]) -> u64 {
    source.windows(4).position(|four| four == b"\r\n\r\n").unwrap() as u64 + 4
}

#[test]
fn every_piece_is_what_the_source_has() {
    let (_folder, mut mailbox) = mailbox();
    let sources = [
        source(60, 10),
        source(500, 1000),
        source(500, 5000),
        source(20_000, 4000),
        source(600, 200_000),
        source(600, 400_000),
        // Nothing but a header, and nothing but a body.
        source(5000, 0),
        source(0, 0),
    ];
    for source in &sources {
        let prepared = PreparedMessage::new(Bytes::from(source.clone()), Some(3));
        mailbox
            .store_message(INBOX, &prepared, &placement(Flags::empty(), &[]))
            .unwrap();
    }
    let rows: Vec<MessageRow> = rows(&mut mailbox, INBOX);
    for _ in 0..2 {
        for (row, source) in rows.iter().zip(&sources) {
            let (header, size) = (end_of_header(source), source.len() as u64);
            for range in [
                0..header,
                0..size,
                0..header.min(10),
                5..header,
                header - 1..header + 1,
                header..size,
                header..u64::MAX,
                0..u64::MAX,
                size..u64::MAX,
                7..7,
                header..header,
            ] {
                let mut read = b"before".to_vec();
                mailbox.read_row_source(row, range.clone(), &mut read).unwrap();
                let end = range.end.min(size) as usize;
                let wanted = &source[(range.start as usize).min(end)..end];
                assert_eq!(
                    read.strip_prefix(b"before").unwrap(),
                    wanted,
                    "{range:?} of {header} and {size}"
                );
            }
        }
    }
    assert_eq!(mailbox.check(true).unwrap().problems, []);
}

#[test]
fn damage_of_it_is_an_error() {
    let (folder, mut mailbox) = mailbox();
    let source = source(600, 9000);
    let prepared = PreparedMessage::new(Bytes::from(source.clone()), Some(3));
    mailbox
        .store_message(INBOX, &prepared, &placement(Flags::empty(), &[]))
        .unwrap();
    let header = end_of_header(&source);
    let stored = prepared.compressed.clone().unwrap();
    let (mut damaged, mut unharmed) = (0, 0);
    for at in (0..stored.len()).step_by(41) {
        let mut bytes = stored.clone();
        bytes[at] ^= 4;
        mailbox.close().unwrap();
        let database = rusqlite::Connection::open(folder.path().join("exmdb/exchange.sqlite3")).unwrap();
        database
            .execute("UPDATE contents SET data = ?1", [bytes])
            .unwrap();
        drop(database);
        mailbox = open(folder.path());
        let row = rows(&mut mailbox, INBOX).remove(0);
        let mut read = Vec::new();
        assert!(
            mailbox.read_row_source(&row, 0..row.size, &mut read).is_err(),
            "byte {at}"
        );
        assert!(read.is_empty());
        // Where the rest is damaged, the header is still there; never another one.
        match mailbox.read_row_source(&row, 0..header, &mut read) {
            Ok(()) => {
                assert_eq!(read, source[..header as usize], "byte {at}");
                unharmed += 1;
            }
            Err(_) => damaged += 1,
        }
    }
    assert!(damaged > 3 && unharmed > 10, "{damaged}, {unharmed}");
}
