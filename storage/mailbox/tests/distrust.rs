//! After a failed sync: nothing of the WAL goes into the database until a durable copy of it has been made.

mod common;

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use common::{message, open, placement};
use ringpost_mapi::{Guid, MailboxGuid};
use ringpost_store::{
    CreateOptions, Flags, Mailbox, MailboxKind, OpenOptions, PreparedMessage, StoreError,
    folder::built_in::INBOX,
};
use ringpost_vfs::coroutine::{Answer, Operation, StackPool, Step, Wait};

/// Runs `work` with a disk on which the `failing`th sync, counted from 1, fails and all others are done.
fn with_failing_sync<R: 'static>(failing: usize, work: impl FnOnce() -> R + 'static) -> R {
    let pool = StackPool::default();
    let mut operation = Operation::new(&pool, work).unwrap();
    let mut syncs = 0;
    let mut answer = Answer::Start;
    loop {
        let wait = match operation.run(&pool, answer) {
            Step::Done(result) => return result.unwrap(),
            Step::Wait(wait) => wait,
        };
        answer = match wait {
            Wait::Sync { .. } | Wait::SyncDirectory { .. } => {
                syncs += 1;
                let result = if syncs == failing {
                    Err(io::Error::from_raw_os_error(5))
                } else {
                    Ok(())
                };
                Answer::Done(result)
            }
            Wait::Breathe | Wait::LookUp { .. } | Wait::ReadAhead { .. } => Answer::Done(Ok(())),
            Wait::Read { .. } => panic!("everything is in the page cache"),
        };
    }
}

fn store(mailbox: &mut Mailbox, subject: &str) {
    let placement = placement(Flags::empty(), &[]);
    mailbox
        .transaction(|mailbox| mailbox.store_message(INBOX, &message(subject, 5000), &placement))
        .unwrap();
}

fn database(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("exmdb/exchange.sqlite3")).unwrap()
}

fn wal(folder: &Path) -> fs::Metadata {
    fs::metadata(folder.join("exmdb/exchange.sqlite3-wal")).unwrap()
}

#[test]
fn a_checkpoint_whose_sync_failed_is_not_tried_again_on_the_same_wal() {
    let (folder, mut mailbox) = common::mailbox();
    let path = folder.path().to_owned();
    let before = database(&path);
    store(&mut mailbox, "one");
    let old_wal = wal(&path);
    // The first sync is that of the WAL.
    let mut mailbox = with_failing_sync(1, move || {
        assert!(mailbox.checkpoint().is_err());
        mailbox
    });
    assert!(mailbox.is_distrusted());
    let again = mailbox.checkpoint();
    assert!(matches!(again, Err(StoreError::NotAllowed(_))), "{again:?}");
    mailbox.close().unwrap_err();
    assert!(database(&path) == before, "the database was written");
    assert_eq!(wal(&path).ino(), old_wal.ino(), "the WAL is still there");

    let mut mailbox = Mailbox::open_distrusted(&path, &OpenOptions::default()).unwrap();
    assert_ne!(wal(&path).ino(), old_wal.ino(), "a copy");
    assert_eq!(mailbox.folder(INBOX).unwrap().messages, 1);
    mailbox.checkpoint().unwrap();
    assert!(mailbox.check(false).unwrap().is_clean());
}

#[test]
fn a_distrusted_mailbox_is_closed_without_a_word_to_the_database() {
    let (folder, mut mailbox) = common::mailbox();
    let before = database(folder.path());
    store(&mut mailbox, "one");
    mailbox.distrust();
    drop(mailbox);
    assert!(database(folder.path()) == before);
    assert_eq!(open(folder.path()).folder(INBOX).unwrap().messages, 1);
}

#[test]
fn a_copy_that_cannot_be_made_durable_is_not_used() {
    let (folder, mut mailbox) = common::mailbox();
    let path = folder.path().to_owned();
    store(&mut mailbox, "one");
    mailbox.distrust();
    drop(mailbox);
    let before = (database(&path), wal(&path).ino());
    let opened = {
        let path = path.clone();
        with_failing_sync(1, move || {
            Mailbox::open_distrusted(&path, &OpenOptions::default()).map(drop)
        })
    };
    assert!(matches!(opened, Err(StoreError::File { .. })), "{opened:?}");
    assert!((database(&path), wal(&path).ino()) == before);
    let mut mailbox = Mailbox::open_distrusted(&path, &OpenOptions::default()).unwrap();
    assert_eq!(mailbox.folder(INBOX).unwrap().messages, 1);
}

#[test]
fn closing_removes_content_that_nobody_refers_to() {
    let (folder, mut mailbox) = common::mailbox();
    let files = || fs::read_dir(folder.path().join("cid")).unwrap().count();
    // Hard to compress, so that it is a file.
    let mut noise = String::from("Subject: large\r\n\r\n");
    let mut state = 1_u64;
    while noise.len() < 300_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.push(char::from(b'!' + (state >> 58) as u8));
    }
    let large = PreparedMessage::new(noise.into(), Some(3));
    let kept = placement(Flags::DELETED, &[]);
    mailbox
        .transaction(|mailbox| mailbox.store_message(INBOX, &large, &kept))
        .unwrap();
    assert_eq!(files(), 1);
    mailbox.expunge(INBOX, &common::all(), true).unwrap();
    mailbox.close().unwrap();
    assert_eq!(files(), 0);
}

/// A mailbox whose folder's name is lost is lost whole, whatever was synced in it.
#[test]
fn a_new_mailbox_is_durable_up_to_the_folder_that_was_there() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("mailboxes/example.test/ann");
    let options = CreateOptions {
        kind: MailboxKind::Private,
        guid: MailboxGuid(Guid([7; 16])),
        locale: "en".to_owned(),
    };
    let pool = StackPool::default();
    let made = folder.clone();
    let mut operation = Operation::new(&pool, move || Mailbox::create(&made, &options).unwrap()).unwrap();
    let mut synced = Vec::new();
    let mut answer = Answer::Start;
    while let Step::Wait(wait) = operation.run(&pool, answer) {
        if let Wait::SyncDirectory { fd } = wait {
            synced.push(fs::read_link(format!("/proc/self/fd/{fd}")).unwrap());
        }
        answer = Answer::Done(Ok(()));
    }
    for folder in folder.ancestors().take(4) {
        assert!(synced.iter().any(|path| path == folder), "{}", folder.display());
    }
    assert!(
        !synced.iter().any(|path| *path == std::env::temp_dir()),
        "{synced:?}"
    );
}

#[test]
fn closing_writes_back_and_tells_when_it_could_not() {
    let (folder, mut mailbox) = common::mailbox();
    let path = folder.path().to_owned();
    store(&mut mailbox, "one");
    with_failing_sync(1, move || mailbox.close()).unwrap_err();
    assert!(wal(&path).len() > 0, "it holds what was not written back");
    let mailbox = Mailbox::open_distrusted(&path, &OpenOptions::default()).unwrap();
    mailbox.close().unwrap();
    // A header of zeros: whatever is behind it counts for nothing.
    let left = fs::read(path.join("exmdb/exchange.sqlite3-wal")).unwrap();
    assert_eq!(left[..32], [0; 32], "nothing is left to write back");
    assert_eq!(open(&path).folder(INBOX).unwrap().messages, 1);
}
