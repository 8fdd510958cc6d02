//! The path of a mail: stored, listed, read, marked, copied, moved, expunged, synchronised.

mod common;

use std::ops::ControlFlow;

use common::*;
use ringpost_mapi::{ChangeNumber, FolderId, MessageId, Uid};
use ringpost_store::{
    EventKind, FlagAction, Flags, FolderChange, Mailbox, MailboxKind, OpenOptions, PreparedMessage,
    SpecialUse, StoreError,
    folder::{MAX_DEPTH, MAX_NAME_BYTES, built_in},
};

const INBOX: FolderId = built_in::INBOX;

#[test]
fn a_new_mailbox_has_its_folders() {
    let (_folder, mut mailbox) = mailbox();
    let folders = mailbox.folders(built_in::IPM_SUBTREE).unwrap();
    let names: Vec<_> = folders.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(&names[..3], ["Calendar", "Contacts", "GAL Contacts"]);
    let sent = folders.iter().find(|f| f.id == built_in::SENT_ITEMS).unwrap();
    assert_eq!(sent.special_use, Some(SpecialUse::Sent));
    assert_eq!(sent.container_class, "IPF.Note");
    assert!(mailbox.folder(built_in::CONTACTS).unwrap().has_children);
    assert_eq!(mailbox.folders(built_in::ROOT).unwrap().len(), 28);
}

#[test]
fn folder_names_follow_the_locale() {
    let folder = tempfile::tempdir().unwrap();
    let options = ringpost_store::CreateOptions {
        kind: MailboxKind::Private,
        guid: ringpost_mapi::MailboxGuid::from_test(),
        locale: "de_DE.UTF-8".to_owned(),
    };
    Mailbox::create(folder.path(), &options).unwrap();
    assert_eq!(open(folder.path()).folder(INBOX).unwrap().name, "Posteingang");
    assert!(matches!(
        Mailbox::create(folder.path(), &options),
        Err(StoreError::NotAllowed(_))
    ));
}

trait FromTest {
    fn from_test() -> Self;
}
impl FromTest for ringpost_mapi::MailboxGuid {
    fn from_test() -> Self {
        Self(ringpost_mapi::Guid([9; 16]))
    }
}

#[test]
fn a_mailbox_is_opened_once_and_not_by_an_older_program() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path(), MailboxKind::Public);
    let mailbox = open(folder.path());
    let again = Mailbox::open(folder.path(), &OpenOptions::default());
    assert!(matches!(again, Err(StoreError::NotAllowed(_))));
    drop(mailbox);
    let database = folder.path().join("exmdb/exchange.sqlite3");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    let newer = Mailbox::open(folder.path(), &OpenOptions::default());
    assert!(matches!(newer, Err(StoreError::NewerSchema { found: 1000, .. })));
    std::fs::write(
        &database,
        b"not a database, but long enough to look at.".repeat(100),
    )
    .unwrap();
    let corrupt = Mailbox::open(folder.path(), &OpenOptions::default());
    assert!(matches!(corrupt, Err(StoreError::Corrupt { .. })));
}

#[test]
fn stored_mail_is_listed_read_and_survives_a_reopen() {
    let (folder, mut mailbox) = mailbox();
    // Inline, in one frame; in a file, plain; in a file, in several frames.
    let noise: Vec<u8> = (0..700_000u32)
        .flat_map(|i| blake3_byte(i).to_le_bytes())
        .collect();
    let sources = [
        message("small", 2000).source.clone(),
        message("text", 900_000).source.clone(),
        bytes::Bytes::from(noise),
    ];
    for level in [Some(3), None] {
        for source in &sources {
            let prepared = PreparedMessage::new(source.clone(), level);
            let stored = mailbox
                .store_message(INBOX, &prepared, &placement(Flags::SEEN, &["Work"]))
                .unwrap();
            assert!(stored.change.0 > 1);
        }
    }
    assert!(std::fs::read_dir(folder.path().join("cid")).unwrap().count() > 0);
    drop(mailbox);
    let mut mailbox = open(folder.path());
    let rows = rows(&mut mailbox, INBOX);
    assert_eq!(
        rows.iter().map(|r| r.uid.0).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    for (row, source) in rows.iter().zip(sources.iter().chain(&sources)) {
        assert_eq!(row.size, source.len() as u64);
        assert_eq!(row.flags, Flags::SEEN);
        assert_eq!(row.keywords, ["Work"]);
        let mut out = Vec::new();
        mailbox.read_source(row.message, 0..u64::MAX, &mut out).unwrap();
        assert!(out == source[..], "source differs");
        let (start, end) = (row.size / 3, row.size / 3 * 2);
        out.clear();
        mailbox.read_source(row.message, start..end, &mut out).unwrap();
        assert!(out == source[start as usize..end as usize], "range differs");
        out.clear();
        mailbox
            .read_source(row.message, row.size..row.size + 5, &mut out)
            .unwrap();
        assert!(out.is_empty());
    }
    let status = mailbox.status(INBOX).unwrap();
    assert_eq!((status.messages, status.unseen, status.uid_next), (6, 0, 7));
    assert_eq!(
        status.size,
        2 * sources.iter().map(|s| s.len() as u64).sum::<u64>()
    );
    let missing = mailbox.read_source(MessageId::own(0xffff), 0..1, &mut Vec::new());
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
}

fn blake3_byte(i: u32) -> u32 {
    i.wrapping_mul(2_654_435_761).rotate_left(13) ^ (i << 7).wrapping_mul(40_503)
}

#[test]
fn files_of_removed_mail_go_at_the_checkpoint() {
    let (folder, mut mailbox) = mailbox();
    let large = bytes::Bytes::from(
        (0..200_000u32)
            .flat_map(|i| blake3_byte(i).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    let prepared = PreparedMessage::new(large, None);
    for _ in 0..2 {
        mailbox
            .store_message(INBOX, &prepared, &placement(Flags::empty(), &[]))
            .unwrap();
    }
    let files = || std::fs::read_dir(folder.path().join("cid")).unwrap().count();
    assert_eq!(files(), 1, "the same content is kept once");
    mailbox.expunge(INBOX, &set(&[(1, 1)]), false).unwrap();
    mailbox.checkpoint().unwrap();
    assert_eq!(files(), 1, "the second message still needs it");
    mailbox.expunge(INBOX, &set(&[(2, 2)]), false).unwrap();
    assert_eq!(files(), 1, "until the removal is durable it could come back");
    mailbox.checkpoint().unwrap();
    assert_eq!(files(), 0);
    assert_eq!(mailbox.wal_bytes(), 0);
    // A transaction that fails leaves no file behind either.
    let failed = mailbox.transaction(|store| {
        store.store_message(INBOX, &prepared, &placement(Flags::empty(), &[]))?;
        Err::<(), _>(StoreError::NotAllowed("test"))
    });
    assert!(failed.is_err());
    assert_eq!(files(), 1);
    mailbox.checkpoint().unwrap();
    assert_eq!(files(), 0);
}

#[test]
fn a_missing_content_file_is_one_messages_error() {
    let (folder, mut mailbox) = mailbox();
    let large = bytes::Bytes::from(
        (0..200_000u32)
            .flat_map(|i| blake3_byte(i).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    let lost = mailbox
        .store_message(
            INBOX,
            &PreparedMessage::new(large, None),
            &placement(Flags::empty(), &[]),
        )
        .unwrap();
    let kept = mailbox
        .store_message(INBOX, &message("kept", 100), &placement(Flags::empty(), &[]))
        .unwrap();
    for file in std::fs::read_dir(folder.path().join("cid")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let mut out = Vec::new();
    let error = mailbox.read_source(lost.message, 0..10, &mut out);
    assert!(matches!(error, Err(StoreError::Corrupt { .. })));
    mailbox.read_source(kept.message, 0..4, &mut out).unwrap();
    assert_eq!(out, b"From");
}

#[test]
fn flags_and_keywords_change_with_the_counters() {
    let (_folder, mut mailbox) = mailbox();
    for n in 0..3 {
        mailbox
            .store_message(
                INBOX,
                &message(&n.to_string(), 200),
                &placement(Flags::empty(), &[]),
            )
            .unwrap();
    }
    let before = mailbox.status(INBOX).unwrap();
    assert_eq!((before.unseen, before.recent), (3, 3));
    let (changes, refused) = mailbox
        .change_flags(
            INBOX,
            &set(&[(1, 2)]),
            FlagAction::Add,
            Flags::SEEN | Flags::DELETED,
            &["Later".to_owned(), "later".to_owned()],
            None,
        )
        .unwrap();
    assert!(refused.is_empty());
    assert_eq!(changes.len(), 2);
    assert_eq!(*changes[1].keywords, ["Later"]);
    assert!(changes[0].change > before.highest_change && changes[0].change < changes[1].change);
    let status = mailbox.status(INBOX).unwrap();
    assert_eq!((status.unseen, status.deleted), (1, 2));
    assert_eq!(status.highest_change, changes[1].change);

    // The same again changes nothing.
    let (same, _) = mailbox
        .change_flags(INBOX, &set(&[(1, 2)]), FlagAction::Add, Flags::SEEN, &[], None)
        .unwrap();
    assert_eq!(same, changes);
    assert_eq!(mailbox.status(INBOX).unwrap(), status);

    // Conditional: the second message changed after the first one did.
    let (done, refused) = mailbox
        .change_flags(
            INBOX,
            &all(),
            FlagAction::Replace,
            Flags::FLAGGED,
            &["New".to_owned()],
            Some(changes[0].change),
        )
        .unwrap();
    assert_eq!(done.iter().map(|c| c.uid.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(refused, set(&[(2, 2)]));
    assert_eq!(*done[0].keywords, ["New"]);
    assert_eq!(mailbox.keywords().unwrap(), ["Later", "New"]);
    let (gone, _) = mailbox
        .change_flags(
            INBOX,
            &set(&[(1, 1)]),
            FlagAction::Remove,
            Flags::FLAGGED,
            &["NEW".to_owned(), "unknown".to_owned()],
            None,
        )
        .unwrap();
    assert_eq!((gone[0].flags, gone[0].keywords.len()), (Flags::empty(), 0));
    assert_eq!(mailbox.take_recent(INBOX).unwrap(), Uid(1));
    assert_eq!(mailbox.take_recent(INBOX).unwrap(), Uid(4));
    assert_eq!(mailbox.status(INBOX).unwrap().recent, 0);
}

#[test]
fn copies_and_moves_share_content_and_keep_flags() {
    let (_folder, mut mailbox) = mailbox();
    let sent = built_in::SENT_ITEMS;
    for n in 0..3 {
        mailbox
            .store_message(
                INBOX,
                &message(&n.to_string(), 9000),
                &placement(Flags::FLAGGED, &["K"]),
            )
            .unwrap();
    }
    let pairs = mailbox.copy_messages(INBOX, &set(&[(2, 3)]), sent).unwrap();
    assert_eq!(pairs, [(Uid(2), Uid(1)), (Uid(3), Uid(2))]);
    let pairs = mailbox.move_messages(INBOX, &set(&[(1, 2)]), sent).unwrap();
    assert_eq!(pairs, [(Uid(1), Uid(3)), (Uid(2), Uid(4))]);
    assert_eq!(mailbox.uids(INBOX).unwrap(), set(&[(3, 3)]));
    assert_eq!(mailbox.expunge(INBOX, &all(), true).unwrap(), set(&[]));
    assert_eq!(mailbox.expunge(INBOX, &all(), false).unwrap(), set(&[(3, 3)]));
    let rows = rows(&mut mailbox, sent);
    assert_eq!(rows.len(), 4);
    for (row, subject) in rows.iter().zip(["1", "2", "0", "1"]) {
        assert_eq!(
            (row.flags, &row.keywords[..]),
            (Flags::FLAGGED, &["K".to_owned()][..])
        );
        let mut out = Vec::new();
        mailbox.read_source(row.message, 0..u64::MAX, &mut out).unwrap();
        assert_eq!(out, message(subject, 9000).source);
    }
    // Within one folder, too: new UIDs, no gap in the counters.
    let pairs = mailbox.move_messages(sent, &set(&[(1, 1)]), sent).unwrap();
    assert_eq!(pairs, [(Uid(1), Uid(5))]);
    let status = mailbox.status(sent).unwrap();
    assert_eq!((status.messages, status.unseen, status.uid_next), (4, 4, 6));
    assert_eq!(mailbox.size(), status.size);
}

#[test]
fn changes_since_tells_what_happened() {
    let (_folder, mut mailbox) = mailbox();
    for n in 0..4 {
        mailbox
            .store_message(
                INBOX,
                &message(&n.to_string(), 100),
                &placement(Flags::empty(), &[]),
            )
            .unwrap();
    }
    let state = mailbox.status(INBOX).unwrap().highest_change;
    assert!(mailbox.changes_since(INBOX, state).unwrap().changed.is_empty());
    mailbox
        .change_flags(
            INBOX,
            &set(&[(3, 3)]),
            FlagAction::Add,
            Flags::ANSWERED,
            &[],
            None,
        )
        .unwrap();
    mailbox.expunge(INBOX, &set(&[(1, 1)]), false).unwrap();
    mailbox
        .move_messages(INBOX, &set(&[(4, 4)]), built_in::JUNK)
        .unwrap();
    mailbox
        .store_message(INBOX, &message("new", 100), &placement(Flags::empty(), &[]))
        .unwrap();
    let changes = mailbox.changes_since(INBOX, state).unwrap();
    assert_eq!(
        changes.changed.iter().map(|c| c.uid.0).collect::<Vec<_>>(),
        [3, 5]
    );
    assert_eq!(changes.vanished, set(&[(1, 1), (4, 4)]));
    assert_eq!(changes.uid_next, 6);
    assert_eq!(
        changes.highest_change,
        mailbox.status(INBOX).unwrap().highest_change
    );
    let all = mailbox.changes_since(INBOX, ChangeNumber(0)).unwrap();
    assert_eq!(all.changed.len(), 3);
}

#[test]
fn transactions_nest_and_events_come_after_the_commit() {
    let (_folder, mut mailbox) = mailbox();
    let change = mailbox.last_change().unwrap();
    let result = mailbox.transaction(|store| {
        store.store_message(INBOX, &message("kept", 100), &placement(Flags::empty(), &[]))?;
        let inner = store.transaction(|store| {
            store.store_message(
                INBOX,
                &message("dropped", 100),
                &placement(Flags::empty(), &["gone"]),
            )?;
            Err::<(), _>(StoreError::NotAllowed("test"))
        });
        assert!(inner.is_err());
        assert!(store.take_events().is_empty(), "nothing is committed yet");
        store.keywords()
    });
    assert!(
        result.unwrap().is_empty(),
        "the keyword went with its transaction"
    );
    let events = mailbox.take_events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, EventKind::MessageCreated);
    assert_eq!(rows(&mut mailbox, INBOX).len(), 1);
    assert!(mailbox.last_change().unwrap() > change);

    let failed = mailbox.transaction(|store| {
        store.expunge(INBOX, &all(), false)?;
        store.move_messages(INBOX, &all(), FolderId::own(0xfff))?;
        Ok(())
    });
    assert!(matches!(failed, Err(StoreError::NotFound(_))));
    assert!(mailbox.take_events().is_empty());
    assert_eq!(rows(&mut mailbox, INBOX).len(), 1);
}

#[test]
fn folders_are_made_renamed_moved_and_deleted() {
    let (_folder, mut mailbox) = mailbox();
    let work = mailbox.create_folder(INBOX, "Work", None).unwrap();
    let old = mailbox.create_folder(work, "Old", Some("IPF.Contact")).unwrap();
    assert_eq!(mailbox.folder(work).unwrap().container_class, "IPF.Note");
    assert_eq!(mailbox.folder(old).unwrap().container_class, "IPF.Contact");
    assert!(matches!(
        mailbox.create_folder(INBOX, "WORK", None),
        Err(StoreError::Exists(_))
    ));
    assert_eq!(mailbox.subfolder(INBOX, "wOrK").unwrap().unwrap().id, work);
    let into_itself = FolderChange {
        parent: Some(old),
        ..FolderChange::default()
    };
    assert!(matches!(
        mailbox.change_folder(work, &into_itself),
        Err(StoreError::NotAllowed(_))
    ));
    let moved = FolderChange {
        parent: Some(built_in::IPM_SUBTREE),
        name: Some("Arbeit".to_owned()),
        subscribed: Some(false),
        ..FolderChange::default()
    };
    mailbox.change_folder(work, &moved).unwrap();
    let folder = mailbox.folder(work).unwrap();
    assert_eq!(
        (folder.parent, folder.subscribed),
        (Some(built_in::IPM_SUBTREE), false)
    );
    mailbox
        .store_message(old, &message("m", 100), &placement(Flags::empty(), &[]))
        .unwrap();
    assert!(mailbox.delete_folder(work, false).is_err());
    assert!(matches!(
        mailbox.delete_folder(INBOX, true),
        Err(StoreError::NotAllowed(_))
    ));
    let validity = folder.uid_validity;
    mailbox.take_events();
    mailbox.delete_folder(work, true).unwrap();
    assert_eq!(mailbox.size(), 0);
    let events = mailbox.take_events();
    let deleted: Vec<_> = events
        .iter()
        .filter(|e| e.kind == EventKind::FolderDeleted)
        .map(|e| e.folder)
        .collect();
    assert_eq!(deleted, [old, work]);
    assert!(matches!(mailbox.folder(old), Err(StoreError::NotFound(_))));
    let again = mailbox
        .create_folder(built_in::IPM_SUBTREE, "Arbeit", None)
        .unwrap();
    assert!(mailbox.folder(again).unwrap().uid_validity > validity);
}

#[test]
fn limits_of_folders_and_keywords_hold() {
    let (_folder, mut mailbox) = mailbox();
    let mut at = INBOX;
    let deepest = (0..=MAX_DEPTH).find_map(|n| match mailbox.create_folder(at, &n.to_string(), None) {
        Ok(id) => {
            at = id;
            None
        }
        Err(error) => Some((n, error)),
    });
    let (depth, error) = deepest.unwrap();
    assert!(matches!(error, StoreError::LimitExceeded(_)));
    assert_eq!(depth + 3, MAX_DEPTH, "the root, the subtree and the inbox count");
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    assert!(matches!(
        mailbox.create_folder(INBOX, &long, None),
        Err(StoreError::LimitExceeded(_))
    ));
    assert!(mailbox.create_folder(INBOX, "", None).is_err());
    let long_keyword = "k".repeat(256);
    let stored = mailbox.store_message(
        INBOX,
        &message("m", 10),
        &placement(Flags::empty(), &[&long_keyword]),
    );
    assert!(matches!(stored, Err(StoreError::LimitExceeded(_))));
    assert_eq!(mailbox.status(INBOX).unwrap().messages, 0);
}

#[test]
fn a_visit_ends_when_told() {
    let (_folder, mut mailbox) = mailbox();
    for n in 0..5 {
        mailbox
            .store_message(
                INBOX,
                &message(&n.to_string(), 100),
                &placement(Flags::empty(), &[]),
            )
            .unwrap();
    }
    let mut seen = Vec::new();
    mailbox
        .visit_messages(INBOX, &set(&[(2, 2), (4, 9)]), true, &mut |row| {
            seen.push(row.uid.0);
            assert!(row.structure.is_some());
            if row.uid == Uid(4) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(seen, [2, 4]);
}

#[test]
fn copies_and_moves_keep_the_email_id() {
    let (_folder, mut mailbox) = mailbox();
    let placed = placement(Flags::empty(), &[]);
    let same = message("same", 9000);
    mailbox.store_message(INBOX, &same, &placed).unwrap();
    mailbox.store_message(INBOX, &same, &placed).unwrap();
    let drafts = built_in::DRAFTS;
    mailbox
        .save_message(INBOX, &ringpost_store::MessageDraft::default())
        .unwrap();
    let ids = |mailbox: &mut Mailbox, folder| -> Vec<u64> {
        rows(mailbox, folder).iter().map(|row| row.email_id).collect()
    };
    let first = ids(&mut mailbox, INBOX);
    assert_ne!(
        first[0], first[1],
        "delivered twice: two messages, though with one source"
    );
    mailbox.copy_messages(INBOX, &all(), drafts).unwrap();
    assert_eq!(ids(&mut mailbox, drafts), first);
    mailbox.move_messages(INBOX, &all(), built_in::JUNK).unwrap();
    mailbox
        .move_messages(built_in::JUNK, &all(), built_in::JUNK)
        .unwrap();
    assert_eq!(ids(&mut mailbox, built_in::JUNK), first);
    // Saved again, the message without a source has other content under its new UID.
    let moved = rows(&mut mailbox, built_in::JUNK)[2].message;
    let draft = ringpost_store::MessageDraft {
        replaces: Some((moved, ChangeNumber(0))),
        force: true,
        ..ringpost_store::MessageDraft::default()
    };
    mailbox.save_message(built_in::JUNK, &draft).unwrap();
    let after = ids(&mut mailbox, built_in::JUNK);
    assert_eq!(after[..2], first[..2]);
    assert!(!first.contains(&after[2]));
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

#[test]
fn recent_messages_are_counted_whatever_is_missing() {
    let placed = placement(Flags::empty(), &[]);
    // Before IMAP looked eight came, then four.
    for gone in [
        &[][..],
        &[(1, 8)],
        &[(1, 3)],
        &[(5, 6)],
        &[(10, 10)],
        &[(12, 12)],
        &[(8, 9)],
        &[(1, 12)],
        &[(9, 12)],
    ] {
        let (_folder, mut mailbox) = mailbox();
        for n in 0..12 {
            if n == 8 {
                assert_eq!(mailbox.status(INBOX).unwrap().recent, 8);
                mailbox.take_recent(INBOX).unwrap();
            }
            mailbox
                .store_message(INBOX, &message(&n.to_string(), 100), &placed)
                .unwrap();
        }
        let gone = set(gone);
        mailbox.expunge(INBOX, &gone, false).unwrap();
        let left = (9..=12).filter(|uid| !gone.contains(Uid(*uid))).count();
        assert_eq!(mailbox.status(INBOX).unwrap().recent as usize, left, "{gone:?}");
    }
}

#[test]
fn a_visit_of_changes_goes_on_where_it_broke() {
    let (_folder, mut mailbox) = mailbox();
    let placed = placement(Flags::empty(), &[]);
    for n in 0..10 {
        mailbox
            .store_message(INBOX, &message(&n.to_string(), 100), &placed)
            .unwrap();
    }
    let seen = |mailbox: &mut Mailbox, uid| {
        mailbox
            .change_flags(
                INBOX,
                &set(&[(uid, uid)]),
                FlagAction::Add,
                Flags::SEEN,
                &[],
                None,
            )
            .unwrap()
    };
    seen(&mut mailbox, 2);
    let whole = mailbox.changes_since(INBOX, ChangeNumber(0)).unwrap();
    assert_eq!(whole.changed.len(), 10);
    let (mut since, mut visited) = (ChangeNumber(0), Vec::new());
    loop {
        let before = visited.len();
        mailbox
            .visit_changes(INBOX, since, &mut |change| {
                since = change.change;
                visited.push(change);
                if visited.len() - before == 3 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .unwrap();
        if visited.len() == before {
            break;
        }
    }
    assert_eq!(
        visited.last().unwrap().uid,
        Uid(2),
        "the latest change comes last"
    );
    visited.sort_unstable_by_key(|change| change.uid);
    assert_eq!(visited, whole.changed);
}

#[test]
fn a_state_older_than_what_is_remembered_gets_all_that_is_gone() {
    let (_folder, mut mailbox) = mailbox();
    let placed = placement(Flags::empty(), &[]);
    for n in 0..6 {
        mailbox
            .store_message(INBOX, &message(&n.to_string(), 100), &placed)
            .unwrap();
    }
    let old = mailbox.last_change().unwrap();
    mailbox.expunge(INBOX, &set(&[(2, 2)]), false).unwrap();
    let recent = mailbox.last_change().unwrap();
    mailbox.expunge(INBOX, &set(&[(5, 6)]), false).unwrap();
    assert_eq!(
        mailbox.vanished_since(INBOX, old).unwrap(),
        set(&[(2, 2), (5, 6)])
    );
    mailbox.prune_removed(1).unwrap();
    assert_eq!(
        mailbox.vanished_since(INBOX, recent).unwrap(),
        set(&[(5, 6)]),
        "still remembered"
    );
    assert_eq!(
        mailbox.vanished_since(INBOX, ChangeNumber(1)).unwrap(),
        set(&[(2, 2), (5, 6)])
    );
    mailbox.prune_removed(0).unwrap();
    assert_eq!(
        mailbox.vanished_since(INBOX, recent).unwrap(),
        set(&[(2, 2), (5, 6)]),
        "too much rather than too little"
    );
    let latest = mailbox.last_change().unwrap();
    assert!(mailbox.vanished_since(INBOX, latest).unwrap().is_empty());
    assert!(
        mailbox
            .vanished_since(built_in::JUNK, ChangeNumber(1))
            .unwrap()
            .is_empty()
    );
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

#[test]
fn the_wal_of_an_older_database_does_not_reach_a_new_one() {
    let (folder, mut mailbox) = mailbox();
    let placed = placement(Flags::empty(), &[]);
    mailbox
        .store_message(INBOX, &message("old", 100), &placed)
        .unwrap();
    let wal = mailbox.wal_path();
    let left = std::fs::read(&wal).unwrap();
    drop(mailbox);
    assert!(!left.is_empty());
    std::fs::remove_file(folder.path().join("exmdb/exchange.sqlite3")).unwrap();
    std::fs::write(&wal, left).unwrap();
    create(folder.path(), MailboxKind::Private);
    assert!(std::fs::read(&wal).unwrap().iter().all(|&byte| byte == 0));
    let mut mailbox = open(folder.path());
    assert!(rows(&mut mailbox, INBOX).is_empty());
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}
