//! The integrity walk finds what is broken on purpose, and repairs it.

mod common;

use common::*;
use ringpost_store::{Flags, Mailbox, MessageDraft, Report, folder::built_in};

/// A mailbox with some of everything.
fn filled() -> (tempfile::TempDir, Mailbox) {
    let (folder, mut mailbox) = mailbox();
    for n in 0..4 {
        let message = message(&n.to_string(), 6000);
        mailbox
            .store_message(built_in::INBOX, &message, &placement(Flags::empty(), &["k"]))
            .unwrap();
    }
    mailbox
        .copy_messages(built_in::INBOX, &set(&[(1, 2)]), built_in::JUNK)
        .unwrap();
    mailbox.expunge(built_in::INBOX, &set(&[(4, 4)]), false).unwrap();
    let draft = MessageDraft {
        associated: true,
        ..MessageDraft::default()
    };
    mailbox.save_message(built_in::INBOX, &draft).unwrap();
    mailbox.create_folder(built_in::INBOX, "Sub", None).unwrap();
    (folder, mailbox)
}

#[test]
fn a_sound_mailbox_is_clean() {
    let (_folder, mut mailbox) = filled();
    let report = mailbox.check(false).unwrap();
    assert_eq!(report.problems, []);
    let sizes = mailbox.sizes().unwrap();
    assert_eq!(sizes.messages, mailbox.size());
    assert!(sizes.database > 0);
}

/// Breaks the database with `sql`; what the walk says, and that a repair leaves it clean.
fn broken(sql: &str, repairable: bool) -> Report {
    let (folder, mailbox) = filled();
    drop(mailbox);
    let connection = rusqlite::Connection::open(folder.path().join("exmdb/exchange.sqlite3")).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
    drop(connection);
    let mut mailbox = open(folder.path());
    let report = mailbox.check(false).unwrap();
    assert!(!report.is_clean(), "{sql}");
    let repaired = mailbox.check(true).unwrap();
    assert_eq!(repaired.is_clean(), repairable, "{sql}: {:?}", repaired.problems);
    if repairable {
        assert_eq!(mailbox.check(false).unwrap().problems, [], "{sql}");
    }
    report
}

#[test]
fn every_broken_invariant_is_found() {
    let cases = [
        ("I2", "UPDATE store SET next_id = 200", true),
        ("I2", "UPDATE store SET last_change = 2", true),
        (
            "I3",
            "UPDATE folders SET parent = 4711 WHERE id = 256 + 8 OR name = 'Sub'",
            true,
        ),
        (
            "I3",
            "UPDATE folders SET name_key = 'other' WHERE name = 'Sub'",
            false,
        ),
        ("I3", "DELETE FROM folder_data WHERE folder = 13", true),
        ("I4", "UPDATE folders SET unread = 77 WHERE id = 13", true),
        ("I4", "UPDATE store SET size = 1", true),
        (
            "I4",
            "UPDATE folders SET search = 1, unread = 5 WHERE id = 16",
            true,
        ),
        (
            "I5",
            "UPDATE messages SET folder = 4711 WHERE uid = 1 AND folder = 13",
            true,
        ),
        (
            "I5",
            "DELETE FROM message_data WHERE message = (SELECT id FROM messages WHERE state = 1)",
            true,
        ),
        ("I6", "UPDATE folders SET uid_next = 1 WHERE id = 13", true),
        (
            "I6",
            "UPDATE messages SET uid = 0 WHERE uid = 2 AND folder = 13",
            true,
        ),
        (
            "I7",
            "UPDATE messages SET version = change + 1 WHERE uid = 2 AND folder = 13",
            true,
        ),
        ("I7", "UPDATE folders SET content_change = 0 WHERE id = 13", true),
        ("I8", "UPDATE message_data SET properties = x'ff'", false),
        ("I8", "UPDATE messages SET keywords = x'09'", false),
        ("I9", "DELETE FROM content_shares", true),
        (
            "I9",
            "DELETE FROM contents WHERE id IN (SELECT source FROM messages WHERE uid = 3)",
            false,
        ),
        ("I10", "UPDATE contents SET size = size + 1", false),
        ("I10", "UPDATE contents SET hash = zeroblob(32)", false),
        ("I12", "INSERT INTO search_links VALUES (13, 4711, 1, 1, 0)", true),
        ("I12", "UPDATE removed SET uid = 1", true),
    ];
    for (invariant, sql, repairable) in cases {
        let report = broken(sql, repairable);
        assert!(
            report
                .problems
                .iter()
                .any(|problem| problem.invariant == invariant),
            "{sql}: {:?}",
            report.problems
        );
    }
}

#[test]
fn files_that_belong_to_nothing_are_found() {
    let (folder, mut mailbox) = filled();
    std::fs::write(folder.path().join("cid/stray"), b"x").unwrap();
    std::fs::write(folder.path().join("tmp/stray"), b"x").unwrap();
    let report = mailbox.check(false).unwrap();
    assert_eq!(
        report.problems.iter().map(|p| p.invariant).collect::<Vec<_>>(),
        ["I11", "I11"]
    );
    assert!(mailbox.check(true).unwrap().is_clean());
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}
