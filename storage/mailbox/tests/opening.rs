//! What a mailbox's opening leaves to the next one.

mod common;

use std::{fs, path::Path};

use common::{create, message, open, placement};
use ringpost_store::{Flags, MailboxKind, ahead, folder::built_in::INBOX};
use ringpost_vfs::{
    Hint,
    coroutine::{Answer, Operation, StackPool, Step, Wait},
};

fn hint(folder: &Path) -> Hint {
    Hint::decode(&fs::read(folder.join("exmdb/exchange.lock")).unwrap())
}

#[test]
fn a_large_mailbox_keeps_what_it_read_first_beside_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    create(folder, MailboxKind::Private);
    let mut mailbox = open(folder);
    mailbox
        .store_message(INBOX, &message("one", 500), &placement(Flags::empty(), &[]))
        .unwrap();
    mailbox.close().unwrap();
    assert_eq!(fs::metadata(folder.join("exmdb/exchange.lock")).unwrap().len(), 0);

    let mut mailbox = open(folder);
    mailbox
        .transaction(|mailbox| {
            for number in 0..2000 {
                mailbox.store_message(
                    INBOX,
                    &message(&number.to_string(), 500),
                    &placement(Flags::empty(), &[]),
                )?;
            }
            Ok(())
        })
        .unwrap();
    mailbox.close().unwrap();
    let large = fs::metadata(folder.join("exmdb/exchange.sqlite3")).unwrap().len();
    assert!(large > 512 * 1024, "{large}");

    let mut mailbox = open(folder);
    let status = mailbox.status(INBOX).unwrap();
    assert_eq!(status.messages, 2001);
    mailbox.close().unwrap();
    let known = hint(folder);
    assert!(!known.is_empty());

    // The same again is no news.
    let changed = |folder: &Path| {
        fs::metadata(folder.join("exmdb/exchange.lock"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = changed(folder);
    let mut mailbox = open(folder);
    mailbox.status(INBOX).unwrap();
    mailbox.close().unwrap();
    assert_eq!(changed(folder), before);

    // Other work is.
    let mut mailbox = open(folder);
    mailbox.folders(INBOX).unwrap();
    mailbox.uids(INBOX).unwrap();
    mailbox.keywords().unwrap();
    mailbox.close().unwrap();
    assert!(hint(folder).covers(&known) && hint(folder) != known);
}

#[test]
fn a_damaged_hint_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    create(folder, MailboxKind::Private);
    let path = folder.join("exmdb/exchange.lock");
    let whole: Vec<u8> = [b"rph1".as_slice(), &[0xff; 5000]].concat();
    for content in [&b"rph1"[..], &[0; 4096], &[0xff; 4096], &whole] {
        fs::write(&path, content).unwrap();
        let mut mailbox = open(folder);
        mailbox
            .store_message(INBOX, &message("one", 500), &placement(Flags::empty(), &[]))
            .unwrap();
        assert_eq!(mailbox.check(false).unwrap().problems, []);
        mailbox.close().unwrap();
    }
}

#[test]
fn a_mailbox_is_looked_up_without_being_read_or_locked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    create(folder, MailboxKind::Private);
    assert!(ahead::is_at_hand(folder));
    // Small, its opening reads all of it: nothing else is asked for.
    assert_eq!(looked_up(folder), []);
    let database = folder.join("exmdb/exchange.sqlite3");
    let file = fs::File::options().write(true).open(&database).unwrap();
    file.set_len(1 << 20).unwrap();
    // Held by the server, say.
    let lock = fs::File::open(folder.join("exmdb/exchange.lock"));
    let lock = lock.unwrap_or_else(|_| fs::File::create_new(folder.join("exmdb/exchange.lock")).unwrap());
    lock.try_lock().unwrap();
    let asked = looked_up(folder);
    assert!(asked.len() >= 3, "{asked:?}");
    assert!(
        asked.iter().all(|(offset, bytes)| *offset == 0 && *bytes <= 4096),
        "{asked:?}"
    );
    assert_eq!(looked_up(&folder.join("none")), []);
    assert!(!folder.join("none").exists());
}

/// What looking a mailbox up waits for: offset and length.
fn looked_up(folder: &Path) -> Vec<(u64, usize)> {
    let folder = folder.to_owned();
    let pool = StackPool::default();
    let mut operation = Operation::new(&pool, move || ahead::look_up(&folder)).unwrap();
    let mut asked = Vec::new();
    let mut step = operation.run(&pool, Answer::Start);
    loop {
        step = match step {
            Step::Done(result) => {
                result.unwrap();
                return asked;
            }
            Step::Wait(Wait::Read { offset, length, .. }) => {
                asked.push((offset, length));
                operation.run(&pool, Answer::Read(Ok(&[])))
            }
            Step::Wait(wait) => {
                if let Wait::ReadAhead { offset, length, .. } = wait {
                    asked.push((offset, length as usize));
                }
                operation.run(&pool, Answer::Done(Ok(())))
            }
        };
    }
}
