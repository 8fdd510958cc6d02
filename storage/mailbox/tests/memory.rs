//! What open mailboxes take, and what opening one again costs.
//!
//! `cargo test --release -p ringpost-store --test memory -- --ignored --nocapture`

mod common;

use std::time::Instant;

use bytes::Bytes;
use common::*;
use ringpost_store::{
    CreateOptions, Flags, Mailbox, MailboxKind, OpenOptions, PreparedMessage, folder::built_in,
};

const MAILBOXES: usize = 300;

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_grows_is_accounted_for() {
    let (_folder, mut mailbox) = mailbox();
    let empty = mailbox.memory_bytes();
    for n in 0..50 {
        let message = message(&n.to_string(), 20_000);
        mailbox
            .store_message(built_in::INBOX, &message, &placement(Flags::empty(), &[]))
            .unwrap();
        mailbox.memory_bytes();
    }
    let grown = mailbox.memory_bytes();
    // Pages and statements; the page cache ends at 1 MiB.
    assert!(
        grown > empty + 50 * 1024 && grown < empty + 2048 * 1024,
        "{empty} to {grown}"
    );
    mailbox.keep_memo(Box::new([0_u8; 5000]), 5000);
    assert_eq!(mailbox.memory_bytes(), grown + 5000);
    mailbox.trim().unwrap();
    assert!(mailbox.memory_bytes() < grown);
}

#[test]
#[ignore = "a measurement"]
fn what_an_open_mailbox_takes() {
    let root = tempfile::tempdir_in("../../target").unwrap();
    let paths: Vec<_> = (0..MAILBOXES).map(|n| root.path().join(n.to_string())).collect();
    for (n, path) in paths.iter().enumerate() {
        let options = CreateOptions {
            kind: MailboxKind::Private,
            guid: format!("00000000-0000-0000-0000-{n:012x}")
                .parse()
                .map(ringpost_mapi::MailboxGuid)
                .unwrap(),
            locale: "en".to_owned(),
        };
        Mailbox::create(path, &options).unwrap();
    }
    let options = OpenOptions {
        compression_level: Some(6),
        upgrade: true,
        max_messages: 0,
    };
    let body = "Some words of a message that is not long.\r\n".repeat(200);
    let mail = format!("From: a@example.test\r\nTo: b@example.test\r\nSubject: hello\r\n\r\n{body}");
    let message = PreparedMessage::new(Bytes::from(mail.into_bytes()), Some(6));
    let placed = placement(Flags::empty(), &[]);
    let mut open = Vec::new();
    let report = |what: &str, work: &mut dyn FnMut()| {
        let before = resident_kib();
        let started = Instant::now();
        work();
        let took = started.elapsed() / MAILBOXES as u32;
        let grown = (resident_kib() as i64 - before as i64) as f64 / MAILBOXES as f64;
        println!("{what}: {took:?} each, {grown:.1} KiB resident each");
    };
    report("open", &mut || {
        open.extend(paths.iter().map(|path| Mailbox::open(path, &options).unwrap()));
    });
    println!("accounted {} KiB", open[0].memory_bytes() >> 10);
    report("deliver", &mut || {
        for mailbox in &mut open {
            mailbox.store_message(built_in::INBOX, &message, &placed).unwrap();
        }
    });
    println!("accounted {} KiB", open[0].memory_bytes() >> 10);
    report("deliver again", &mut || {
        for mailbox in &mut open {
            mailbox.store_message(built_in::INBOX, &message, &placed).unwrap();
        }
    });
    println!("accounted {} KiB", open[0].memory_bytes() >> 10);
    report("trim", &mut || {
        for mailbox in &mut open {
            mailbox.trim().unwrap();
        }
    });
    println!("accounted {} KiB", open[0].memory_bytes() >> 10);
    let mut open = std::mem::take(&mut open);
    let started = Instant::now();
    for mailbox in open.drain(..) {
        mailbox.close().unwrap();
    }
    println!("close: {:?} each", started.elapsed() / MAILBOXES as u32);
}
