use std::path::Path;

use bytes::Bytes;
use ringpost_mapi::{ChangeNumber, FileTime};

use super::{
    page::{Column, Value, state_in, value_in},
    *,
};
use crate::{
    CreateOptions, FlagAction, Flags, MailboxKind, OpenOptions, Placement, PreparedMessage, UidSet,
    folder::built_in::{INBOX, JUNK},
};

/// Numbers that look random, always the same.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn random_page(dice: &mut Dice) -> Page {
    let number = dice.next(1 << 24) as u32;
    let mut page = Page::new(number);
    let (density, spread) = (1 + dice.next(8), 1 << dice.next(40));
    for place in 0..PAGE_UIDS {
        if dice.next(density) > 0 {
            continue;
        }
        let (change, bits) = (1 + dice.next(spread), dice.next(62));
        let set: &[u8] = [&[][..], &[0], &[0, 130, 1], &[5]][dice.next(4) as usize];
        let keywords = page.set(set);
        page.states.push(State {
            uid: number * PAGE_UIDS + place,
            keywords,
            // Ids of other replicas, too: the sign bit is theirs.
            id: (dice.next(spread) as i64) | if dice.next(9) == 0 { i64::MIN } else { 0 },
            bits: MessageBits::from_bits_retain(dice.next(1 << bits) as i64),
            change,
            version: 1 + dice.next(change),
            read_change: dice.next(2) * dice.next(change + 1),
            modified: dice.next(spread) as i64,
        });
    }
    page
}

#[test]
fn pages_round_trip_and_single_values_are_the_same() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        let mut page = random_page(&mut dice);
        let bytes = page.encode();
        let read = Page::decode(page.number, &bytes).unwrap();
        assert_eq!(read, page);
        for uid in page.number * PAGE_UIDS..=page.number * PAGE_UIDS + (PAGE_UIDS - 1) {
            let state = page.find(uid).map(|at| page.states[at]);
            assert_eq!(
                state_in(&bytes, uid).unwrap(),
                state.map(|state| (state, page.keywords(&state)))
            );
            let expected = |value: fn(&State) -> i64| state.map(|state| Value::Number(value(&state)));
            for (column, value) in [
                (Column::Flags, expected(|state| state.bits.bits())),
                (Column::Change, expected(|state| state.change as i64)),
                (Column::Version, expected(|state| state.version as i64)),
                (Column::ReadChange, expected(|state| state.read_change as i64)),
                (Column::Modified, expected(|state| state.modified)),
                (Column::Id, expected(|state| state.id)),
                (
                    Column::Keywords,
                    state.map(|state| Value::Keywords(page.sets[state.keywords as usize].as_slice())),
                ),
            ] {
                assert_eq!(
                    value_in(&bytes, uid, column).unwrap(),
                    value,
                    "{column:?} of {uid}"
                );
            }
        }
    }
}

#[test]
fn a_whole_page_is_within_what_has_its_first_and_last_message() {
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for _ in 0..300 {
        let mut page = random_page(&mut dice);
        if dice.next(3) == 0 {
            page.states.truncate(1);
        }
        let bytes = page.encode();
        let whole = Whole::read(page.number, &bytes).unwrap();
        assert!(whole.uids().eq(page.states.iter().map(|state| state.uid)));
        assert_eq!(whole.count, page.states.len());
        let (Some(first), Some(last)) = (page.states.first(), page.states.last()) else {
            assert!(whole.is_within(1, 2));
            continue;
        };
        assert!(whole.is_within(first.uid, last.uid));
        assert!(!whole.is_within(first.uid + 1, u32::MAX));
        assert!(!whole.is_within(0, last.uid - 1));
        for (at, state) in page.states.iter().enumerate() {
            assert_eq!(whole.value(Column::Change, at), state.change);
            assert_eq!(whole.sets[state.keywords as usize], page.keywords(state));
        }
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let mut dice = Dice(7);
    let mut refused = 0;
    for round in 0..3000 {
        let mut page = random_page(&mut dice);
        let mut bytes = page.encode();
        if round % 3 == 0 {
            bytes.truncate(dice.next(bytes.len() as u64) as usize);
        }
        for _ in 0..dice.next(4) {
            if !bytes.is_empty() {
                let at = dice.next(bytes.len() as u64) as usize;
                bytes[at] = dice.next(256) as u8;
            }
        }
        refused += u32::from(Page::decode(page.number, &bytes).is_err());
        for column in [Column::Flags, Column::Keywords, Column::Id] {
            let uid = page.number * PAGE_UIDS + dice.next(u64::from(PAGE_UIDS)) as u32;
            let _ = value_in(&bytes, uid, column);
            let _ = state_in(&bytes, uid);
        }
        let Ok(whole) = Whole::read(page.number, &bytes) else {
            assert!(Page::decode(page.number, &bytes).is_err());
            continue;
        };
        let rewritten = whole.rewritten(&Rewrite {
            bits: vec![MessageBits::empty(); whole.count],
            keywords: vec![0; whole.count],
            sets: vec![Vec::new()],
            first_change: dice.next(1 << 40),
            modified: (round % 2 == 0).then_some(5),
            read: round % 4 == 0,
        });
        let read = Page::decode(page.number, &rewritten).unwrap();
        assert!(whole.uids().eq(read.states.iter().map(|state| state.uid)));
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn sets_of_keywords_that_nobody_has_are_not_kept() {
    let mut page = Page::new(0);
    let (gone, kept) = (page.set(&[1]), page.set(&[2]));
    assert_ne!(gone, kept);
    page.states.push(State {
        uid: 9,
        keywords: kept,
        id: 1,
        bits: MessageBits::empty(),
        change: 1,
        version: 1,
        read_change: 0,
        modified: 1,
    });
    let read = Page::decode(0, &page.encode()).unwrap();
    assert_eq!(read.sets, [vec![], vec![2]]);
    assert_eq!(read.keywords(&read.states[0]), [2]);
}

fn mailbox(folder: &Path) -> Mailbox {
    let options = CreateOptions {
        kind: MailboxKind::Private,
        guid: ringpost_mapi::MailboxGuid(ringpost_mapi::Guid([7; 16])),
        locale: "en".to_owned(),
    };
    Mailbox::create(folder, &options).unwrap();
    Mailbox::open(folder, &OpenOptions::default()).unwrap()
}

fn deliver(mailbox: &mut Mailbox, count: u32) {
    let message = PreparedMessage::new(Bytes::from_static(b"Subject: x\r\n\r\nbody\r\n"), None);
    for _ in 0..count {
        let placement = Placement {
            received: FileTime(1),
            ..Placement::default()
        };
        mailbox.store_message(INBOX, &message, &placement).unwrap();
    }
}

fn uids(first: u32, last: u32) -> UidSet {
    let mut set = UidSet::default();
    set.insert_range(first..=last);
    set
}

fn flag(mailbox: &mut Mailbox, first: u32, last: u32) {
    mailbox
        .change_flags(
            INBOX,
            &uids(first, last),
            FlagAction::Add,
            Flags::FLAGGED,
            &[],
            None,
        )
        .unwrap();
}

fn paged(mailbox: &Mailbox) -> u32 {
    mailbox.uid_state(INBOX, Kind::Any).unwrap().paged
}

#[test]
fn a_delivery_writes_no_page_until_enough_came_or_one_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mut mailbox = mailbox(folder.path());
    deliver(&mut mailbox, 2 * TAIL - 1);
    assert_eq!(paged(&mailbox), 1);
    deliver(&mut mailbox, 1);
    assert_eq!(paged(&mailbox), 2 * TAIL);
    deliver(&mut mailbox, 3);
    flag(&mut mailbox, 2 * TAIL + 1, 2 * TAIL + 1);
    assert_eq!(paged(&mailbox), 2 * TAIL + 4);
    // What is in pages already leaves the rows alone.
    deliver(&mut mailbox, 1);
    flag(&mut mailbox, 1, 2);
    assert_eq!(paged(&mailbox), 2 * TAIL + 4);
    assert_eq!(mailbox.check(false).unwrap().problems, []);
}

#[test]
fn changes_are_found_in_pages_and_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut mailbox = mailbox(folder.path());
    deliver(&mut mailbox, 700);
    flag(&mut mailbox, 1, 700);
    let start = mailbox.status(INBOX).unwrap().highest_change;
    flag(&mut mailbox, 1, 700);
    assert_eq!(mailbox.status(INBOX).unwrap().highest_change, start);
    mailbox
        .change_flags(
            INBOX,
            &uids(300, 301),
            FlagAction::Remove,
            Flags::FLAGGED,
            &[],
            None,
        )
        .unwrap();
    deliver(&mut mailbox, 3);
    let changes = mailbox.changes_since(INBOX, start).unwrap();
    let changed: Vec<u32> = changes.changed.iter().map(|change| change.uid.0).collect();
    assert_eq!(changed, [300, 301, 701, 702, 703]);
    let later = mailbox.changes_since(INBOX, ChangeNumber(start.0 + 4)).unwrap();
    assert_eq!(later.changed.len(), 1);
    mailbox.move_messages(INBOX, &uids(250, 600), JUNK).unwrap();
    let left = mailbox.changes_since(INBOX, start).unwrap();
    assert_eq!(left.vanished, uids(250, 600));
    assert_eq!(left.changed.len(), 3);
    assert_eq!(mailbox.check(false).unwrap().problems, []);
}

#[test]
fn flags_are_asked_for_once_of_a_folder_that_is_worth_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut mailbox = mailbox(directory.path());
    let asked = |mailbox: &mut Mailbox, folder| {
        mailbox.read_flags_ahead(folder).unwrap();
        mailbox.flags_ahead
    };
    deliver(&mut mailbox, 3);
    assert_eq!(asked(&mut mailbox, INBOX), None, "it is small");
    let uid_next = ahead::SELECTED_UIDS.start;
    mailbox
        .connection
        .execute(
            "UPDATE folders SET uid_next = ?1 WHERE id = ?2",
            params![uid_next, INBOX.to_disk()],
        )
        .unwrap();
    let first = asked(&mut mailbox, INBOX);
    assert_eq!(first.map(|(folder, _)| folder), Some(INBOX));
    assert_eq!(asked(&mut mailbox, INBOX), first);
    assert_eq!(asked(&mut mailbox, JUNK), first, "that is empty");
    flag(&mut mailbox, 1, 3);
    assert!(mailbox.check(false).unwrap().problems.is_empty());
    assert!(mailbox.read_flags_ahead(FolderId::own(0xffff)).is_err());
}

/// What a transaction that failed did to pages is gone with it.
#[test]
fn a_rollback_takes_pages_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut mailbox = mailbox(folder.path());
    deliver(&mut mailbox, 40);
    flag(&mut mailbox, 1, 10);
    let before = mailbox.changes_since(INBOX, ChangeNumber(0)).unwrap();
    let failed: Result<(), StoreError> = mailbox.transaction(|store| {
        flag(store, 5, 40);
        assert!(store.changes_since(INBOX, before.highest_change)?.changed.len() == 30);
        Err(StoreError::LimitExceeded("a test"))
    });
    assert!(failed.is_err());
    assert_eq!(mailbox.changes_since(INBOX, ChangeNumber(0)).unwrap(), before);
    assert_eq!(mailbox.check(false).unwrap().problems, []);
}
