//! What mail costs on disk and a delivery in the store; the figures stand in `../FORMAT.md` §8.
//!
//! `cargo test --release -p ringpost-store --test sizes -- --ignored --nocapture`

mod common;

use std::{path::Path, sync::Arc, time::Instant};

use bytes::Bytes;
use common::*;
use ringpost_store::{Flags, PreparedMessage, folder::built_in};

/// As `exmdb_file_compression` has it.
const LEVEL: Option<i32> = Some(6);

/// Delivers the mails and prints what they take; bytes on disk a byte of mail.
fn measure(name: &str, mails: Vec<Vec<u8>>) -> f64 {
    let (folder, mut mailbox) = mailbox();
    let empty = bytes_below(folder.path());
    let total: u64 = mails.iter().map(|mail| mail.len() as u64).sum();
    let count = mails.len() as u32;
    let prepared: Vec<Arc<PreparedMessage>> = mails
        .into_iter()
        .map(|mail| PreparedMessage::new(Bytes::from(mail), LEVEL))
        .collect();
    let placed = placement(Flags::empty(), &[]);
    let started = Instant::now();
    for message in &prepared {
        mailbox.store_message(built_in::INBOX, message, &placed).unwrap();
    }
    let took = started.elapsed() / count;
    mailbox.checkpoint().unwrap();
    let ratio = (bytes_below(folder.path()) - empty) as f64 / total as f64;
    assert!(mailbox.check(false).unwrap().problems.is_empty());
    println!("{name}: {count} mails of {total} bytes, {ratio:.2} on disk a byte, {took:?} a delivery");
    drop(mailbox);
    for column in ["structure", "properties", "recipients", "attachments"] {
        let database = rusqlite::Connection::open(folder.path().join("exmdb/exchange.sqlite3")).unwrap();
        let bytes: i64 = database
            .query_row(
                &format!("SELECT coalesce(sum(length({column})), 0) FROM message_data"),
                [],
                |row| row.get(0),
            )
            .unwrap();
        println!("    {column}: {:.3}", bytes as f64 / total as f64);
    }
    ratio
}

fn bytes_below(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                bytes_below(&entry.path())
            } else {
                metadata.len()
            }
        })
        .sum()
}

/// Mails of the corpora, as single messages.
fn corpora() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    assert!(
        folder.is_dir(),
        "the test corpora are missing: {}",
        folder.display()
    );
    let mut mails = Vec::new();
    let mut pending = vec![folder];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|end| end == "eml") {
                mails.push(std::fs::read(path).unwrap());
            } else if path.to_string_lossy().ends_with(".mbox.txt") {
                mails.extend(split(&std::fs::read(path).unwrap()));
            }
        }
    }
    mails
}

/// The mails of an mbox file.
fn split(mbox: &[u8]) -> Vec<Vec<u8>> {
    let mut mails: Vec<Vec<u8>> = Vec::new();
    for line in mbox.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b"From ") {
            mails.push(Vec::new());
        } else if let Some(mail) = mails.last_mut() {
            mail.extend_from_slice(line);
        }
    }
    mails
}

/// 10 to 50 kB: text and HTML of invented words, in a third of the mails an attachment that does not shrink.
fn mix(count: usize) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut number = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let words: Vec<String> = (0..4000)
        .map(|_| {
            (0..2 + number(9))
                .map(|_| char::from(b'a' + number(26).min(number(26)) as u8))
                .collect()
        })
        .collect();
    let mut text = |bytes: usize| {
        let mut out = String::new();
        while out.len() < bytes {
            for _ in 0..12 {
                out.push_str(&words[number(4000).min(number(4000))]);
                out.push(' ');
            }
            out.push_str("\r\n");
        }
        out
    };
    (0..count)
        .map(|n| {
            let size = 10_000 + n * 7919 % 40_000;
            let (plain, html) = (text(size / 4), text(size / 4));
            let rest = if n % 3 == 0 {
                let mut raw = vec![0; size / 2 * 3 / 4];
                blake3::Hasher::new_derive_key(&n.to_string()).finalize_xof().fill(&mut raw);
                let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
                let encoded: String = raw
                    .iter()
                    .flat_map(|byte| [digits[usize::from(byte & 63)], digits[usize::from(byte >> 2)]])
                    .take(size / 2)
                    .map(char::from)
                    .collect();
                format!("--b\r\nContent-Type: application/pdf; name=\"report {n}.pdf\"\r\nContent-Disposition: attachment; filename=\"report {n}.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n")
            } else {
                text(size / 2)
            };
            format!(
                "Return-Path: <person{n}@sender{}.example>\r\nReceived: from mx{n}.example by mail.example with ESMTPS id {n:x}; Mon, 6 Jan 2025 10:11:12 +0100\r\nFrom: \"Person Number {n}\" <person{n}@sender{}.example>\r\nTo: \"Ann Example\" <ann@example.test>, bob{}@example.test\r\nCc: \"Team {}\" <team@example.test>\r\nSubject: Re: {}\r\nMessage-ID: <{n}.{n:x}@sender.example>\r\nIn-Reply-To: <{}@example.test>\r\nDate: Mon, 6 Jan 2025 10:11:12 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n{plain}--b\r\nContent-Type: text/html\r\n\r\n<html><body>{html}</body></html>\r\n{rest}--b--\r\n",
                n % 97, n % 97, n % 13, n % 7, text(30).trim(), n * 31
            )
            .into_bytes()
        })
        .collect()
}

#[test]
#[ignore = "a measurement"]
fn bytes_on_disk() {
    let small = measure("corpora", corpora());
    let mut short = corpora();
    short.retain(|mail| mail.len() < 4096);
    measure("corpora, below 4 kB", short);
    let usual = measure("mix of 10 to 50 kB", mix(1000));
    assert!(small <= 0.9 && usual <= 0.75, "more than what FORMAT.md says");
}
