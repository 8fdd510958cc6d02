use bytes::Bytes;
use ringpost_mapi::{
    FileTime, Guid, MailboxGuid, PropValue, Uid,
    restriction::{FuzzyLevel, TaggedValue},
    tags,
};

use super::*;
use crate::{
    CreateOptions, Event, FlagAction, Flags, FolderChange, MailboxKind, OpenOptions, Placement,
    PreparedMessage, UidSet,
    folder::built_in,
    message::MessageDraft,
    table::{ContentsKind, Origin, Table},
};

const INBOX: FolderId = built_in::INBOX;
const FINDER: FolderId = built_in::FINDER;

fn mailbox() -> (tempfile::TempDir, Mailbox) {
    let directory = tempfile::tempdir().unwrap();
    let guid = MailboxGuid(Guid([7; 16]));
    let options = CreateOptions {
        kind: MailboxKind::Private,
        guid,
        locale: "en".to_owned(),
    };
    Mailbox::create(directory.path(), &options).unwrap();
    let mailbox = open(&directory);
    (directory, mailbox)
}

fn open(directory: &tempfile::TempDir) -> Mailbox {
    Mailbox::open(directory.path(), &OpenOptions::default()).unwrap()
}

fn deliver(mailbox: &mut Mailbox, folder: FolderId, subject: &str, flags: Flags) -> Uid {
    let message = PreparedMessage::new(Bytes::from_static(b"From: a@example.test\r\n\r\nHello\r\n"), None);
    let placement = Placement {
        flags,
        received: FileTime(5),
        ..Placement::default()
    };
    let store = |store: &mut Mailbox| {
        let stored = store.store_message(folder, &message, &placement)?;
        // Not what the conversion makes of a source: these tests are about what follows.
        store
            .connection
            .prepare_cached("UPDATE messages SET subject = ?2 WHERE id = ?1")?
            .execute(params![stored.message.to_disk(), subject])?;
        Ok(stored.uid)
    };
    mailbox.transaction(store).unwrap()
}

fn unread() -> Restriction {
    Restriction::Bitmask {
        nonzero: false,
        tag: tags::MESSAGE_FLAGS,
        mask: 1,
    }
}

fn subject_has(text: &str) -> Restriction {
    let tag = tags::NORMALIZED_SUBJECT;
    Restriction::Content {
        fuzzy: FuzzyLevel {
            low: FuzzyLevel::SUBSTRING,
            high: FuzzyLevel::IGNORE_CASE,
        },
        tag,
        value: TaggedValue {
            tag,
            value: PropValue::String(text.to_owned()),
        },
    }
}

fn criteria(scope: FolderId, recursive: bool, restriction: Restriction) -> SearchCriteria {
    SearchCriteria {
        scope: vec![scope],
        recursive,
        fixed: false,
        restriction,
    }
}

fn search(mailbox: &mut Mailbox, name: &str, criteria: &SearchCriteria) -> FolderId {
    let folder = mailbox.create_search_folder(FINDER, name).unwrap();
    mailbox.set_search_criteria(folder, criteria).unwrap();
    mailbox.run_search(folder).unwrap();
    folder
}

fn uids(list: &[Uid]) -> UidSet {
    let mut set = UidSet::default();
    for uid in list {
        set.insert(*uid);
    }
    set
}

/// What the folder links to, what its criteria say now, and its counters.
fn check(mailbox: &mut Mailbox, folder: FolderId, criteria: &SearchCriteria) {
    let identity = identity(mailbox).unwrap();
    let tree = mailbox.tree().unwrap();
    let scope = in_scope(criteria, &tree);
    let mut expected = Vec::new();
    let mut expected_unread = 0;
    {
        let sql = format!(
            "SELECT {ROW}, {DATA} FROM messages m JOIN message_data d ON d.message = m.id {JOIN} WHERE m.state = 0"
        );
        let mut statement = mailbox.connection.prepare(&sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let message = Message::read(row, &identity, true).unwrap();
            if scope.contains(&message.folder) && criteria.restriction.matches(&message).unwrap() {
                expected.push(message.id);
                expected_unread += u32::from(message.unread);
            }
        }
    }
    expected.sort_unstable();
    let mut linked = mailbox.links(folder).unwrap();
    linked.sort_unstable();
    assert_eq!(linked, expected);
    let row = mailbox.folder(folder).unwrap();
    assert_eq!(
        (row.messages, row.unread, row.size),
        (expected.len() as u32, expected_unread, 0)
    );
}

#[test]
fn many_changes_at_once_are_told_of_together_unless_a_search_folder_follows_them() {
    let (_directory, mut mailbox) = mailbox();
    for _ in 0..300 {
        deliver(&mut mailbox, INBOX, "one", Flags::empty());
    }
    let mut all = UidSet::default();
    all.insert_range(1..=300);
    let read = |mailbox: &mut Mailbox, action| {
        mailbox.take_events();
        mailbox
            .change_flags(INBOX, &all, action, Flags::SEEN, &[], None)
            .unwrap();
        mailbox.take_events()
    };
    let told = read(&mut mailbox, FlagAction::Add);
    let change = mailbox.last_change().unwrap();
    let together = Event {
        folder: INBOX,
        message: None,
        kind: EventKind::MessageChanged,
        change,
    };
    assert_eq!(told, [together]);
    assert_eq!(read(&mut mailbox, FlagAction::Add), [], "nothing changed");

    let wanted = criteria(INBOX, false, unread());
    let folder = search(&mut mailbox, "Unread", &wanted);
    for (action, linked) in [(FlagAction::Remove, 300), (FlagAction::Add, 0)] {
        let told = read(&mut mailbox, action);
        check(&mut mailbox, folder, &wanted);
        assert_eq!(mailbox.folder(folder).unwrap().messages, linked);
        assert_eq!(told.iter().filter(|event| event.folder == INBOX).count(), 300);
        assert_eq!(told.iter().filter(|event| event.folder == folder).count(), 300);
        assert!(told.iter().all(|event| event.message.is_some()));
    }
}

#[test]
fn a_search_folder_follows_its_messages() {
    let (directory, mut mailbox) = mailbox();
    let first = deliver(&mut mailbox, INBOX, "one", Flags::empty());
    deliver(&mut mailbox, INBOX, "two", Flags::SEEN);
    let wanted = criteria(INBOX, false, unread());
    let folder = search(&mut mailbox, "Unread", &wanted);
    assert_eq!(mailbox.folder(folder).unwrap().messages, 1);
    let second = deliver(&mut mailbox, INBOX, "three", Flags::empty());
    check(&mut mailbox, folder, &wanted);
    mailbox.take_events();
    mailbox
        .change_flags(INBOX, &uids(&[first]), FlagAction::Add, Flags::SEEN, &[], None)
        .unwrap();
    check(&mut mailbox, folder, &wanted);
    let told = mailbox.take_events();
    let gone = told.iter().find(|event| event.folder == folder).unwrap();
    assert_eq!(gone.kind, EventKind::MessageDeleted);
    assert_eq!(
        mailbox.search_criteria(folder).unwrap(),
        Some((wanted.clone(), true))
    );

    // Rows of a contents table.
    let mut table = Table::contents(folder, ContentsKind::Normal);
    table.set_columns(vec![tags::NORMALIZED_SUBJECT]).unwrap();
    let rows = table.query_rows(&mut mailbox, 10, true, false).unwrap();
    assert_eq!(rows, [[Some(PropValue::String("three".into()))]]);
    mailbox
        .move_messages(INBOX, &uids(&[second]), built_in::DRAFTS)
        .unwrap();
    check(&mut mailbox, folder, &wanted);
    table.seek_row(&mut mailbox, Origin::Beginning, 0).unwrap();
    assert!(
        table
            .query_rows(&mut mailbox, 10, true, false)
            .unwrap()
            .is_empty()
    );

    drop(mailbox);
    let mut mailbox = open(&directory);
    deliver(&mut mailbox, INBOX, "four", Flags::empty());
    check(&mut mailbox, folder, &wanted);
    mailbox.delete_folder(folder, false).unwrap();
    deliver(&mut mailbox, INBOX, "five", Flags::empty());
    assert!(mailbox.links(folder).unwrap().is_empty());
}

#[test]
fn filling_goes_in_slices_and_follows_meanwhile() {
    let (_directory, mut mailbox) = mailbox();
    let first = deliver(&mut mailbox, INBOX, "needle", Flags::empty());
    for _ in 1..STEP + 20 {
        deliver(&mut mailbox, INBOX, "needle", Flags::empty());
    }
    let wanted = criteria(INBOX, false, subject_has("NEEDLE"));
    let folder = mailbox.create_search_folder(FINDER, "Needles").unwrap();
    mailbox.set_search_criteria(folder, &wanted).unwrap();
    assert_eq!(mailbox.unfinished_searches().unwrap(), [folder]);
    let SearchProgress::After(after) = mailbox.search_step(folder, None).unwrap() else {
        panic!("one slice")
    };
    assert_eq!(mailbox.folder(folder).unwrap().messages as usize, STEP);
    mailbox.expunge(INBOX, &uids(&[first]), false).unwrap();
    deliver(&mut mailbox, INBOX, "a needle more", Flags::empty());
    assert_eq!(
        mailbox.search_step(folder, after).unwrap(),
        SearchProgress::Complete
    );
    check(&mut mailbox, folder, &wanted);
    assert!(mailbox.unfinished_searches().unwrap().is_empty());
    assert_eq!(
        mailbox.search_step(folder, None).unwrap(),
        SearchProgress::Complete,
        "nothing left to do"
    );
    // Other criteria, from the start.
    let other = criteria(INBOX, false, subject_has("more"));
    mailbox.set_search_criteria(folder, &other).unwrap();
    assert_eq!(mailbox.folder(folder).unwrap().messages, 0);
    mailbox.run_search(folder).unwrap();
    check(&mut mailbox, folder, &other);
}

#[test]
fn a_fixed_search_only_loses_what_is_gone() {
    let (_directory, mut mailbox) = mailbox();
    let first = deliver(&mut mailbox, INBOX, "one", Flags::empty());
    let second = deliver(&mut mailbox, INBOX, "two", Flags::empty());
    let wanted = SearchCriteria {
        fixed: true,
        ..criteria(INBOX, false, unread())
    };
    let folder = search(&mut mailbox, "Then", &wanted);
    deliver(&mut mailbox, INBOX, "three", Flags::empty());
    mailbox
        .change_flags(INBOX, &uids(&[first]), FlagAction::Add, Flags::SEEN, &[], None)
        .unwrap();
    assert_eq!(mailbox.folder(folder).unwrap().messages, 2);
    mailbox.expunge(INBOX, &uids(&[second]), false).unwrap();
    assert_eq!(mailbox.folder(folder).unwrap().messages, 1);
}

#[test]
fn what_is_rolled_back_is_not_followed() {
    let (_directory, mut mailbox) = mailbox();
    let wanted = criteria(INBOX, true, unread());
    let folder = search(&mut mailbox, "Unread", &wanted);
    let failed: Result<(), StoreError> = mailbox.transaction(|store| {
        deliver(store, INBOX, "one", Flags::empty());
        Err(StoreError::NotAllowed("no"))
    });
    assert!(failed.is_err());
    check(&mut mailbox, folder, &wanted);
    deliver(&mut mailbox, INBOX, "two", Flags::empty());
    check(&mut mailbox, folder, &wanted);
}

#[test]
fn impossible_criteria_are_refused() {
    let (_directory, mut mailbox) = mailbox();
    let folder = mailbox.create_search_folder(FINDER, "Search").unwrap();
    assert_eq!(mailbox.search_criteria(folder).unwrap(), None);
    let mut set = |folder, criteria: &SearchCriteria| mailbox.set_search_criteria(folder, criteria);
    assert!(
        set(INBOX, &criteria(INBOX, false, unread())).is_err(),
        "not a search folder"
    );
    assert!(set(folder, &criteria(folder, false, unread())).is_err(), "itself");
    assert!(set(folder, &criteria(FolderId::own(0xffff), false, unread())).is_err());
    let none = SearchCriteria {
        scope: vec![],
        ..criteria(INBOX, false, unread())
    };
    assert!(set(folder, &none).is_err());
    let many = SearchCriteria {
        scope: vec![INBOX; MAX_SCOPE_FOLDERS + 1],
        ..criteria(INBOX, false, unread())
    };
    assert!(set(folder, &many).is_err());
    let deep = (0..100).fold(unread(), |inner, _| Restriction::Not(Box::new(inner)));
    assert!(matches!(
        set(folder, &criteria(INBOX, false, deep)),
        Err(StoreError::LimitExceeded(_))
    ));
    for at in 1..MAX_SEARCH_FOLDERS {
        mailbox.create_search_folder(FINDER, &format!("S{at}")).unwrap();
    }
    assert!(matches!(
        mailbox.create_search_folder(FINDER, "more"),
        Err(StoreError::LimitExceeded(_))
    ));
}

#[test]
fn damaged_criteria_keep_nobody_from_delivering() {
    let (directory, mut mailbox) = mailbox();
    let wanted = criteria(INBOX, true, unread());
    let damaged = search(&mut mailbox, "damaged", &wanted);
    let whole = search(&mut mailbox, "whole", &wanted);
    let sql = "UPDATE folder_data SET search_restriction = x'77' WHERE folder = ?1";
    mailbox.connection.execute(sql, [damaged.to_disk()]).unwrap();
    drop(mailbox);
    let mut mailbox = open(&directory);
    deliver(&mut mailbox, INBOX, "one", Flags::empty());
    check(&mut mailbox, whole, &wanted);
    assert_eq!(mailbox.folder(damaged).unwrap().messages, 0);
}

/// Random changes by the store's own operations; after each, three search folders show what their criteria say.
#[test]
fn search_folders_agree_with_their_criteria() {
    let (_directory, mut mailbox) = mailbox();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let top = mailbox.create_folder(INBOX, "top", None).unwrap();
    let mut folders = vec![INBOX, top];
    let all = [
        criteria(INBOX, true, unread()),
        criteria(top, true, subject_has("b")),
        criteria(
            INBOX,
            false,
            Restriction::Or(vec![subject_has("a"), Restriction::Not(Box::new(unread()))]),
        ),
    ];
    let searches: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(at, one)| search(&mut mailbox, &format!("s{at}"), one))
        .collect();
    for round in 0..250 {
        let from = folders[random(folders.len())];
        let to = folders[random(folders.len())];
        let present: Vec<Uid> = mailbox.uids(from).unwrap().iter().collect();
        let chosen: Vec<Uid> = present.into_iter().filter(|_| random(3) == 0).collect();
        let flags = if random(2) == 0 {
            Flags::SEEN
        } else {
            Flags::empty()
        };
        match random(9) {
            0..3 => {
                deliver(&mut mailbox, from, ["a", "b", "ab", "c"][random(4)], flags);
            }
            3 => {
                mailbox
                    .change_flags(from, &uids(&chosen), FlagAction::Replace, flags, &[], None)
                    .unwrap();
            }
            4 => drop(mailbox.move_messages(from, &uids(&chosen), to)),
            5 => drop(mailbox.copy_messages(from, &uids(&chosen), to)),
            6 => drop(mailbox.expunge(from, &uids(&chosen), false).unwrap()),
            7 => {
                if folders.len() < 6 {
                    folders.push(mailbox.create_folder(from, &format!("f{round}"), None).unwrap());
                } else {
                    let change = FolderChange {
                        parent: Some(to),
                        ..FolderChange::default()
                    };
                    // Some moves are impossible: a folder below itself, the inbox.
                    let _ = mailbox.change_folder(folders[2 + random(folders.len() - 2)], &change);
                }
            }
            _ => {
                if folders.len() > 4 && random(3) == 0 {
                    let gone = folders.swap_remove(2 + random(folders.len() - 2));
                    mailbox.delete_folder(gone, true).unwrap();
                    folders.retain(|id| mailbox.folder(*id).is_ok());
                }
            }
        }
        for (folder, criteria) in searches.iter().zip(&all) {
            check(&mut mailbox, *folder, criteria);
        }
    }
    let shown: u32 = searches
        .iter()
        .map(|folder| mailbox.folder(*folder).unwrap().messages)
        .sum();
    assert!(shown > 0);
}

#[test]
fn large_properties_are_looked_into() {
    let (_directory, mut mailbox) = mailbox();
    let has = |text: &str| Restriction::Content {
        fuzzy: FuzzyLevel {
            low: FuzzyLevel::SUBSTRING,
            high: FuzzyLevel::IGNORE_CASE,
        },
        tag: tags::BODY,
        value: TaggedValue {
            tag: tags::BODY,
            value: PropValue::String(text.to_owned()),
        },
    };
    let save = |mailbox: &mut Mailbox, text: &str| {
        let body = format!("{}{text}", "x".repeat(200_000));
        let mut draft = MessageDraft::default();
        draft.content.properties.set(tags::BODY, PropValue::String(body));
        mailbox.save_message(INBOX, &draft).unwrap().message
    };
    let first = save(&mut mailbox, "needle");
    save(&mut mailbox, "hay");
    let folder = search(&mut mailbox, "Needles", &criteria(INBOX, false, has("NEEDLE")));
    assert_eq!(mailbox.links(folder).unwrap(), [first]);
    let third = save(&mut mailbox, "another Needle");
    assert_eq!(mailbox.links(folder).unwrap(), [first, third]);

    let mut table = Table::contents(INBOX, ContentsKind::Normal);
    table.set_columns(vec![tags::MID, tags::BODY]).unwrap();
    let found = table
        .find_row(&mut mailbox, &has("another"), Origin::Beginning, true)
        .unwrap()
        .unwrap();
    assert_eq!(found.row[0], Some(crate::table::message::id_value(third.0)));
    assert!(matches!(&found.row[1], Some(PropValue::String(body)) if body.ends_with("another Needle")));
    table.restrict(has("needle"));
    assert_eq!(table.row_count(&mut mailbox).unwrap(), 2);
}
