//! The integrity walk finds what is broken on purpose, and repairs it.

mod common;

use common::*;
use ringpost_convert::message::MessageContent;
use ringpost_mapi::{
    FileTime, MessageId, PropertyBag,
    change::{PredecessorChangeList, Xid},
    rights::Rights,
};
use ringpost_store::{
    FlagAction, Flags, Lineage, Mailbox, Member, MessageDraft, MessageImport, Report, Rule, folder::built_in,
    table::SearchCriteria,
};

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
    // These come into a flag page, the inbox's stay in their rows.
    mailbox
        .change_flags(
            built_in::JUNK,
            &set(&[(1, 1)]),
            FlagAction::Add,
            Flags::SEEN,
            &[],
            None,
        )
        .unwrap();
    mailbox.expunge(built_in::INBOX, &set(&[(4, 4)]), false).unwrap();
    let draft = MessageDraft {
        associated: true,
        ..MessageDraft::default()
    };
    mailbox.save_message(built_in::INBOX, &draft).unwrap();
    let sub = mailbox.create_folder(built_in::INBOX, "Sub", None).unwrap();
    mailbox.create_folder(sub, "Deep", None).unwrap();
    mailbox.create_folder(built_in::INBOX, "Sab", None).unwrap();
    // What hangs on folders and messages: a search folder, a rule, a permission, large values, a lineage.
    let search = mailbox.create_search_folder(built_in::ROOT, "Search").unwrap();
    let criteria = SearchCriteria {
        scope: vec![built_in::INBOX],
        recursive: false,
        fixed: false,
        restriction: ringpost_mapi::Restriction::Always,
    };
    mailbox.set_search_criteria(search, &criteria).unwrap();
    mailbox.run_search(search).unwrap();
    let rule = Rule {
        id: 0,
        sequence: 1,
        state: 1,
        properties: PropertyBag::new(),
    };
    mailbox.add_rule(sub, &rule).unwrap();
    let member = Member::Account("bob@example.test".to_owned());
    mailbox
        .set_permission(sub, &member, Some(Rights::REVIEWER))
        .unwrap();
    let body = ringpost_mapi::PropValue::String("long ".repeat(2000));
    let draft = MessageDraft {
        content: MessageContent {
            properties: [(ringpost_mapi::tags::BODY, body)].into_iter().collect(),
            ..MessageContent::default()
        },
        ..MessageDraft::default()
    };
    let id = MessageId::own(mailbox.allocate_ids(1).unwrap());
    let change_key = Xid::of_counter(ringpost_mapi::Guid([9; 16]), 1);
    let import = MessageImport {
        id,
        lineage: Lineage {
            change_key,
            predecessors: PredecessorChangeList::new(),
        },
        modified: FileTime::now(),
        draft,
        fail_on_conflict: false,
    };
    mailbox.import_message(sub, &import).unwrap();
    let hidden = mailbox.create_folder(sub, "Hidden", None).unwrap();
    mailbox.create_folder(hidden, "Below", None).unwrap();
    mailbox
        .store_message(hidden, &message("9", 700), &placement(Flags::SEEN, &[]))
        .unwrap();
    mailbox.soft_delete_folder(hidden).unwrap();
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
            true,
        ),
        (
            "I3",
            "UPDATE folders SET name = 'SAB', name_key = 'other' WHERE name = 'Sub'",
            true,
        ),
        ("I3", "DELETE FROM folders WHERE name = 'Deep'", true),
        // In a circle, which nothing reaches.
        (
            "I3",
            "UPDATE folders SET parent = (SELECT id FROM folders WHERE name = 'Deep') WHERE name = 'Sub'",
            true,
        ),
        ("I3", "UPDATE folders SET parent = NULL WHERE name = 'Sub'", false),
        ("I3", "UPDATE folders SET state = 0 WHERE name = 'Below'", true),
        ("I3", "UPDATE folders SET state = 2 WHERE name = 'Hidden'", true),
        ("I3", "DELETE FROM folder_data WHERE folder = 13", true),
        ("I4", "UPDATE folders SET unread = 77 WHERE id = 13", true),
        ("I4", "UPDATE store SET size = 1", true),
        ("I4", "UPDATE folders SET soft_messages = 1 WHERE id = 13", true),
        (
            "I4",
            "UPDATE folders SET deleted = 1, associated_size = 0 WHERE id = 13",
            true,
        ),
        (
            "I4",
            "UPDATE folders SET messages = 9 WHERE name = 'Search'",
            true,
        ),
        ("I4", "UPDATE folders SET size = 9 WHERE name = 'Hidden'", true),
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
        (
            "I5",
            "INSERT INTO message_data (message, properties) VALUES (4711, x'')",
            true,
        ),
        (
            "I5",
            "UPDATE messages SET folder = (SELECT id FROM folders WHERE search = 1) WHERE uid = 1 AND folder = 13",
            true,
        ),
        ("I6", "UPDATE folders SET uid_next = 1 WHERE id = 13", true),
        ("I6", "UPDATE folders SET uid_next = 1 WHERE search = 1", true),
        ("I6", "UPDATE messages SET uid = 77 WHERE state = 1", true),
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
        (
            "I7",
            "UPDATE messages SET read_change = change + 1 WHERE uid = 2 AND folder = 13",
            true,
        ),
        ("I7", "UPDATE folders SET content_change = 0 WHERE id = 13", true),
        ("I8", "UPDATE flag_pages SET entries = x'ff'", true),
        (
            "I8",
            "UPDATE flag_pages SET entries = substr(entries, 1, length(entries) - 1) || x'09'",
            true,
        ),
        ("I12", "UPDATE flag_pages SET folder = 4711", true),
        ("I13", "DELETE FROM flag_pages", true),
        ("I13", "UPDATE flag_pages SET highest = highest - 1", true),
        ("I13", "UPDATE flag_pages SET page = 5", true),
        ("I13", "UPDATE folders SET paged = 1", true),
        (
            "I13",
            "UPDATE folders SET paged = uid_next + 1 WHERE id = 13",
            true,
        ),
        ("I13", "UPDATE folders SET paged = 2 WHERE id = 13", true),
        (
            "I13",
            "UPDATE messages SET id = id + 1000000 WHERE id IN (SELECT max(id) FROM messages WHERE state = 0
                 AND folder IN (SELECT folder FROM flag_pages))",
            true,
        ),
        (
            "I13",
            "UPDATE messages SET change = (SELECT max(change) FROM messages WHERE folder = 13)
                 WHERE folder = 13 AND uid = 1",
            true,
        ),
        // What has no source can't be made again.
        ("I8", "UPDATE message_data SET properties = x'ff'", false),
        (
            "I8",
            "UPDATE message_data SET properties = x'ff' WHERE structure IS NOT NULL",
            true,
        ),
        (
            "I8",
            "UPDATE message_data SET structure = x'ff00' WHERE structure IS NOT NULL",
            true,
        ),
        (
            "I8",
            "UPDATE message_data SET recipients = x'ff' WHERE structure IS NOT NULL",
            true,
        ),
        (
            "I8",
            "UPDATE message_data SET attachments = x'ff' WHERE structure IS NOT NULL",
            true,
        ),
        (
            "I8",
            "UPDATE message_data SET lineage = x'01' WHERE lineage IS NOT NULL",
            true,
        ),
        (
            "I8",
            "UPDATE folder_data SET lineage = x'01' WHERE folder = 13",
            true,
        ),
        (
            "I8",
            "UPDATE folder_data SET properties = x'ff' WHERE folder = 13",
            false,
        ),
        (
            "I8",
            "UPDATE folder_data SET search_restriction = x'99' WHERE search_restriction IS NOT NULL",
            true,
        ),
        ("I8", "UPDATE rules SET properties = x'ff'", true),
        ("I8", "UPDATE messages SET keywords = x'09'", true),
        ("I9", "DELETE FROM content_shares", true),
        ("I9", "UPDATE content_shares SET extra = extra + 1", true),
        ("I9", "INSERT INTO content_shares VALUES (4711, 1)", true),
        (
            "I9",
            "INSERT INTO contents (id, size, encoding, hash, data) VALUES (4711, 0, 0,
                 x'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262', x'')",
            true,
        ),
        (
            "I9",
            "DELETE FROM contents WHERE id IN (SELECT source FROM messages WHERE uid = 3)",
            false,
        ),
        ("I10", "UPDATE contents SET size = size + 1", false),
        ("I10", "UPDATE contents SET hash = zeroblob(32)", false),
        ("I10", "UPDATE contents SET data = x'00'", false),
        (
            "I10",
            "UPDATE contents SET hash_key = 5 WHERE hash_key IS NOT NULL",
            true,
        ),
        ("I12", "INSERT INTO search_links VALUES (13, 4711, 1, 1, 0)", true),
        (
            "I12",
            "INSERT INTO search_links SELECT (SELECT id FROM folders WHERE search = 1), id, 99, 1, 0 FROM messages WHERE state = 1",
            true,
        ),
        (
            "I12",
            "UPDATE permissions SET principal = 99 WHERE principal > 0",
            true,
        ),
        (
            "I12",
            "UPDATE permissions SET folder = 4711 WHERE principal > 0",
            true,
        ),
        ("I12", "UPDATE rules SET folder = 4711", true),
        (
            "I12",
            "UPDATE receive_folders SET folder = 4711 WHERE class = 'IPC'",
            true,
        ),
        (
            "I12",
            "UPDATE receive_folders SET folder = (SELECT id FROM folders WHERE state = 1) WHERE class = 'IPC'",
            true,
        ),
        ("I12", "INSERT INTO read_states VALUES (4711, 1, 1, 1)", true),
        (
            "I12",
            "INSERT INTO read_states SELECT id, 99, 1, 1 FROM messages WHERE uid = 1 AND folder = 13",
            true,
        ),
        ("I12", "INSERT INTO removed VALUES (4711, 1, 1, 0, 0)", true),
        ("I12", "UPDATE removed SET uid = 1 WHERE folder = 13", true),
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

/// What a repair makes again is as it was.
#[test]
fn damaged_values_are_made_again_from_the_source() {
    let (folder, mut mailbox) = filled();
    let id = rows(&mut mailbox, built_in::INBOX)[0].message;
    let before = mailbox.message(id).unwrap();
    drop(mailbox);
    let connection = rusqlite::Connection::open(folder.path().join("exmdb/exchange.sqlite3")).unwrap();
    connection
        .execute(
            "UPDATE message_data SET structure = x'ff00', properties = x'ff' WHERE message = ?1",
            [id.to_disk()],
        )
        .unwrap();
    drop(connection);
    let mut mailbox = open(folder.path());
    assert!(mailbox.message(id).is_err());
    assert!(mailbox.check(true).unwrap().is_clean());
    assert_eq!(mailbox.message(id).unwrap(), before);
}

/// Damage of the file itself is found, and does not end the walk (I1).
#[test]
fn damaged_pages_are_found() {
    let (folder, mut mailbox) = filled();
    mailbox.checkpoint().unwrap();
    drop(mailbox);
    let path = folder.path().join("exmdb/exchange.sqlite3");
    let connection = rusqlite::Connection::open(&path).unwrap();
    // An index that lacks an entry.
    let root: i64 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'messages_by_received'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let page_size: i64 = connection
        .pragma_query_value(None, "page_size", |row| row.get(0))
        .unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = ((root - 1) * page_size) as usize;
    let cells = u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]);
    assert!(cells > 1);
    bytes[at + 3..at + 5].copy_from_slice(&(cells - 1).to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    let mut mailbox = open(folder.path());
    let report = mailbox.check(false).unwrap();
    assert!(
        report.problems.iter().any(|problem| problem.invariant == "I1"),
        "{:?}",
        report.problems
    );
}
