//! When a message came into its folder (RFC 8514 §3): what sets it, and what leaves it as it is.

mod common;

use std::path::Path;

use common::*;
use ringpost_convert::message::MessageContent;
use ringpost_mapi::{FileTime, FolderId, MessageId, PropValue, tags};
use ringpost_store::{FlagAction, Flags, Mailbox, MessageDraft, folder::built_in};

const INBOX: FolderId = built_in::INBOX;
const DRAFTS: FolderId = built_in::DRAFTS;
/// When everything is said to have been saved: 1 January 2015, in the afternoon.
const THEN: i64 = 1_420_134_653;
/// From 1601, where FILETIME begins, to 1970.
const EPOCH: i64 = 11_644_473_600;

/// The mailbox, opened again with all messages saved [`THEN`]; `None`: as schema 3 left them.
fn saved_then(mailbox: Mailbox, folder: &Path, then: Option<i64>) -> Mailbox {
    mailbox.close().unwrap();
    let database = rusqlite::Connection::open(folder.join("exmdb/exchange.sqlite3")).unwrap();
    database
        .execute(
            "UPDATE messages SET saved = ?1 - received / 10000000",
            [then.map(|then| then + EPOCH)],
        )
        .unwrap();
    drop(database);
    open(folder)
}

fn saved(mailbox: &mut Mailbox, folder: FolderId) -> Vec<Option<i64>> {
    let rows = rows(mailbox, folder);
    rows.iter()
        .map(|row| row.saved.map(FileTime::unix_seconds))
        .collect()
}

/// Whether there are so many messages, all saved just now.
fn all_now(mailbox: &mut Mailbox, folder: FolderId, count: usize) -> bool {
    let now = FileTime::now().unix_seconds();
    let saved = saved(mailbox, folder);
    saved.len() == count
        && saved
            .iter()
            .all(|saved| saved.is_some_and(|saved| (now - 60..=now).contains(&saved)))
}

/// A message that came long ago, by its date.
fn deliver(mailbox: &mut Mailbox, subject: &str) -> MessageId {
    mailbox
        .store_message(INBOX, &message(subject, 500), &placement(Flags::empty(), &[]))
        .unwrap()
        .message
}

#[test]
fn delivery_copies_and_moves_set_it() {
    let (folder, mut mailbox) = mailbox();
    let messages = [deliver(&mut mailbox, "a"), deliver(&mut mailbox, "b")];
    assert!(all_now(&mut mailbox, INBOX, 2));
    for then in [Some(THEN), None] {
        mailbox = saved_then(mailbox, folder.path(), then);
        assert_eq!(saved(&mut mailbox, INBOX), [then, then]);
        let count = rows(&mut mailbox, DRAFTS).len();
        mailbox.copy_to(INBOX, &messages, DRAFTS).unwrap();
        mailbox.copy_messages(INBOX, &all(), DRAFTS).unwrap();
        let copies = saved(&mut mailbox, DRAFTS).split_off(count);
        let now = FileTime::now().unix_seconds();
        assert_eq!(copies.len(), 4);
        assert!(copies.iter().all(|copy| copy.is_some_and(|copy| copy > now - 60)));
        assert_eq!(saved(&mut mailbox, INBOX), [then, then]);
    }
    // A move by IMAP, one by MAPI, and one back.
    mailbox = saved_then(mailbox, folder.path(), Some(THEN));
    mailbox
        .move_messages(INBOX, &set(&[(1, 1)]), built_in::JUNK)
        .unwrap();
    mailbox.move_to(INBOX, &messages[1..], built_in::JUNK).unwrap();
    assert!(all_now(&mut mailbox, built_in::JUNK, 2));
    mailbox = saved_then(mailbox, folder.path(), None);
    mailbox.move_messages(built_in::JUNK, &all(), INBOX).unwrap();
    assert!(all_now(&mut mailbox, INBOX, 2));
    assert!(
        rows(&mut mailbox, INBOX)
            .iter()
            .all(|row| row.received.unix_seconds() == 1_700_000_000)
    );
}

#[test]
fn it_stays_while_the_message_is_where_it_is() {
    let (folder, mut mailbox) = mailbox();
    let message = deliver(&mut mailbox, "a");
    mailbox = saved_then(mailbox, folder.path(), Some(THEN));
    mailbox
        .change_flags(
            INBOX,
            &all(),
            FlagAction::Add,
            Flags::SEEN,
            &["Work".to_owned()],
            None,
        )
        .unwrap();
    mailbox.set_read(INBOX, &[message], false, "").unwrap();
    // A client that changes the properties of what came as Internet mail, the delivery time among them.
    for received in [
        FileTime::from_unix_seconds(1),
        FileTime::from_unix_seconds(2_000_000_000),
    ] {
        let now = mailbox.message(message).unwrap();
        let mut content = now.content.clone();
        content
            .properties
            .set(tags::MESSAGE_DELIVERY_TIME, PropValue::Time(received));
        let draft = MessageDraft {
            replaces: Some((message, now.version)),
            content,
            ..MessageDraft::default()
        };
        mailbox.save_message(INBOX, &draft).unwrap();
        let row = rows(&mut mailbox, INBOX).remove(0);
        assert_eq!((row.message, row.received), (message, received));
        assert_eq!(saved(&mut mailbox, INBOX), [Some(THEN)]);
    }
    // Hidden and shown again, it has a new UID: to IMAP it is a new message.
    mailbox.soft_delete(INBOX, &[message]).unwrap();
    mailbox.restore(INBOX, &[message]).unwrap();
    assert!(all_now(&mut mailbox, INBOX, 1));
}

#[test]
fn a_draft_that_is_saved_again_is_saved_anew() {
    let (folder, mut mailbox) = mailbox();
    let draft = MessageDraft {
        content: MessageContent {
            properties: std::iter::once((tags::BODY, PropValue::String("text".to_owned()))).collect(),
            ..MessageContent::default()
        },
        ..MessageDraft::default()
    };
    let stored = mailbox.save_message(DRAFTS, &draft).unwrap();
    assert!(all_now(&mut mailbox, DRAFTS, 1));
    mailbox = saved_then(mailbox, folder.path(), Some(THEN));
    let again = MessageDraft {
        replaces: Some((stored.message, stored.change)),
        ..draft
    };
    let again = mailbox.save_message(DRAFTS, &again).unwrap();
    assert!(again.uid > stored.uid);
    assert!(all_now(&mut mailbox, DRAFTS, 1));
}
