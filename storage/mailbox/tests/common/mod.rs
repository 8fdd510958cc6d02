//! What the store's tests share.
#![allow(dead_code, unreachable_pub)] // Each test program uses a part of it.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use bytes::Bytes;
use ringpost_mapi::{FileTime, FolderId, Guid, MailboxGuid};
use ringpost_store::{
    CreateOptions, Flags, Mailbox, MailboxKind, MessageRow, OpenOptions, Placement, PreparedMessage, UidSet,
};

pub fn create(directory: &Path, kind: MailboxKind) {
    let options = CreateOptions {
        kind,
        guid: MailboxGuid(Guid([7; 16])),
        locale: "en".to_owned(),
    };
    Mailbox::create(directory, &options).unwrap();
}

pub fn open(directory: &Path) -> Mailbox {
    let options = OpenOptions {
        compression_level: Some(3),
        upgrade: true,
        ..OpenOptions::default()
    };
    Mailbox::open(directory, &options).unwrap()
}

/// A new private mailbox in a temporary folder.
pub fn mailbox() -> (tempfile::TempDir, Mailbox) {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path(), MailboxKind::Private);
    let mailbox = open(folder.path());
    (folder, mailbox)
}

pub fn message(subject: &str, body_bytes: usize) -> Arc<PreparedMessage> {
    let mut source = format!(
        "From: ann@example.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.test>\r\n\r\n"
    );
    while source.len() < body_bytes {
        source.push_str("The quick brown fox jumps over the lazy dog.\r\n");
    }
    PreparedMessage::new(Bytes::from(source), Some(3))
}

pub fn placement(flags: Flags, keywords: &[&str]) -> Placement {
    Placement {
        flags,
        keywords: keywords.iter().map(|&k| k.to_owned()).collect(),
        received: FileTime::from_unix_seconds(1_700_000_000),
    }
}

pub fn all() -> UidSet {
    set(&[(1, u32::MAX)])
}

pub fn set(ranges: &[(u32, u32)]) -> UidSet {
    let mut set = UidSet::default();
    for &(start, end) in ranges {
        set.insert_range(start..=end);
    }
    set
}

pub fn rows(mailbox: &mut Mailbox, folder: FolderId) -> Vec<MessageRow> {
    let mut rows = Vec::new();
    mailbox
        .visit_messages(folder, &all(), false, &mut |row| {
            rows.push(row.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}
