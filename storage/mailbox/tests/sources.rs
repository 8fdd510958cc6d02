//! Downloading a folder: what it takes to read messages' sources is the same as whole rows say.

mod common;

use std::ops::ControlFlow;

use bytes::Bytes;
use common::*;
use ringpost_mapi::{FolderId, Uid};
use ringpost_store::{Flags, Mailbox, PreparedMessage, SourceRow, StoreError, UidSet, folder::built_in};

const INBOX: FolderId = built_in::INBOX;

fn text(number: usize) -> String {
    format!("Subject: {number}\r\n\r\n{}\r\n", "line\r\n".repeat(number * 40))
}

fn sources(mailbox: &mut Mailbox, folder: FolderId, uids: &UidSet) -> Vec<SourceRow> {
    let mut found = Vec::new();
    mailbox
        .visit_sources(folder, uids, &mut |row| {
            found.push(row);
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

#[test]
fn sources_are_those_of_the_messages() {
    let (_folder, mut mailbox) = mailbox();
    for number in 0..60 {
        let prepared = PreparedMessage::new(Bytes::from(text(number)), Some(3));
        mailbox
            .store_message(INBOX, &prepared, &placement(Flags::empty(), &[]))
            .unwrap();
    }
    let mut gone = UidSet::default();
    gone.insert_range(11..=20);
    mailbox.expunge(INBOX, &gone, false).unwrap();

    let mut all = UidSet::default();
    all.insert_range(1..=u32::MAX);
    let found = sources(&mut mailbox, INBOX, &all);
    let expected: Vec<SourceRow> = rows(&mut mailbox, INBOX).iter().map(SourceRow::from).collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 50);
    mailbox.read_ahead_sources(found.iter().copied()).unwrap();
    for row in &found {
        let mut read = b"before".to_vec();
        mailbox.read_visited_source(*row, 0..row.size, &mut read).unwrap();
        assert_eq!(read, format!("before{}", text(row.uid.0 as usize - 1)).as_bytes());
    }

    // Pieces, and an end before the last.
    let mut some = UidSet::default();
    some.insert_range(9..=22);
    some.insert(Uid(40));
    let uids: Vec<u32> = sources(&mut mailbox, INBOX, &some)
        .iter()
        .map(|row| row.uid.0)
        .collect();
    assert_eq!(uids, [9, 10, 21, 22, 40]);
    let mut count = 0;
    mailbox
        .visit_sources(INBOX, &all, &mut |_| {
            count += 1;
            if count == 7 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(count, 7);
    assert!(sources(&mut mailbox, built_in::OUTBOX, &all).is_empty());

    // One that has gone since is missed.
    let first = found[0];
    let mut gone = UidSet::default();
    gone.insert(first.uid);
    mailbox.expunge(INBOX, &gone, false).unwrap();
    let read = mailbox.read_visited_source(first, 0..first.size, &mut Vec::new());
    assert!(matches!(read, Err(StoreError::NotFound(_))), "{read:?}");
}
