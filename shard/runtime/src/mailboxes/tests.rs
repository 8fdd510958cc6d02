//! Open mailboxes when a disk fails or too much waits.

use std::time::Duration;

use ringpost_host::Host;
use ringpost_store::{CreateOptions, MailboxKind, OpenOptions, folder::built_in::IPM_SUBTREE};

use super::*;
use crate::{
    host::ShardHost,
    sys::FAIL_SYNCS,
    testing::{disk_folder, on_core},
    waiters::within,
};

fn create(folder: &Path) -> MailboxRef {
    let mailbox = MailboxRef {
        guid: MailboxGuid("00000000-0000-0000-0000-000000000001".parse().unwrap()),
        path: folder.into(),
    };
    let options = CreateOptions {
        kind: MailboxKind::Private,
        guid: mailbox.guid,
        locale: "en".to_owned(),
    };
    Mailbox::create(folder, &options).unwrap();
    mailbox
}

async fn create_folder(host: &ShardHost, mailbox: &MailboxRef, name: &'static str) -> Result<(), CallError> {
    let work = move |mailbox: &mut Mailbox| mailbox.create_folder(IPM_SUBTREE, name, None).map(drop);
    host.mailbox_durable(mailbox, Priority::Interactive, work).await
}

#[test]
fn what_the_disk_refused_is_not_acknowledged_and_the_mailbox_recovers() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let mailbox = create(folder.path());
        let host = ShardHost::new(Rc::clone(&shard));
        create_folder(&host, &mailbox, "one").await.unwrap();

        FAIL_SYNCS.set(true);
        let failed = create_folder(&host, &mailbox, "two").await;
        assert!(matches!(failed, Err(CallError::NotDurable(_))), "{failed:?}");
        // Its WAL can't be written back either, so nobody gets to see it.
        let failed = create_folder(&host, &mailbox, "three").await;
        assert!(failed.is_err());

        FAIL_SYNCS.set(false);
        let again = async {
            while let Err(error) = create_folder(&host, &mailbox, "four").await {
                assert!(!matches!(error, CallError::Panicked));
                ringpost_executor::timer::sleep(Duration::from_millis(10)).await;
            }
        };
        within(Duration::from_secs(10), again)
            .await
            .expect("it is opened again");
        assert!(shard.metrics.sync_failures.get() >= 1);
        assert!(shard.metrics.closes.get() >= 1);
    });
}

#[test]
fn nothing_of_a_wal_whose_sync_failed_goes_into_the_database() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let mailbox = create(folder.path());
        let host = ShardHost::new(Rc::clone(&shard));
        create_folder(&host, &mailbox, "one").await.unwrap();
        let database = folder.path().join("exmdb/exchange.sqlite3");
        let wal = folder.path().join("exmdb/exchange.sqlite3-wal");
        let before = (std::fs::read(&database).unwrap(), inode(&wal));

        FAIL_SYNCS.set(true);
        create_folder(&host, &mailbox, "two").await.unwrap_err();
        // The disk says that it can again: that does not bring back what it refused.
        FAIL_SYNCS.set(false);
        let closes = || shard.metrics.closes.get();
        let closed = async {
            while closes() == 0 {
                ringpost_executor::timer::sleep(Duration::from_millis(1)).await;
            }
        };
        within(Duration::from_secs(10), closed)
            .await
            .expect("it is closed");
        let slot = shard.mailboxes.slots.borrow().get(&mailbox.guid).cloned();
        while slot.as_ref().is_some_and(|slot| slot.running.get()) {
            ringpost_executor::timer::sleep(Duration::from_millis(1)).await;
        }
        assert!(
            std::fs::read(&database).unwrap() == before.0,
            "the database was written"
        );
        assert_eq!(inode(&wal), before.1);

        create_folder(&host, &mailbox, "three").await.unwrap();
        assert_ne!(inode(&wal), before.1, "the WAL is a durable copy");
        let folders = host.mailbox(&mailbox, Priority::Interactive, |mailbox| {
            mailbox.folders(IPM_SUBTREE)
        });
        let folders = folders.await.unwrap();
        for name in ["one", "three"] {
            assert!(folders.iter().any(|folder| folder.name == name), "{name}");
        }
    });
}

fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap())
}

#[test]
fn the_wal_of_a_busy_mailbox_is_written_back_less_often() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let mailbox = create(folder.path());
        let slot = shard.slot(&mailbox);
        let most = 4 * FIRST_CHECKPOINT_BYTES;
        let after = |pause: Duration| {
            slot.checkpointed.set(Instant::now().checked_sub(pause).unwrap());
            slot.next_checkpoint(most);
            slot.checkpoint_at.get() / FIRST_CHECKPOINT_BYTES
        };
        let (soon, late) = (Duration::from_millis(10), CHECKPOINT_INTERVAL * 5);
        assert_eq!([after(soon), after(soon), after(soon)], [2, 4, 4]);
        assert_eq!(after(CHECKPOINT_INTERVAL * 2), 4);
        assert_eq!([after(late), after(late), after(late)], [2, 1, 1]);
    });
}

#[test]
fn a_mailbox_with_too_much_waiting_refuses_more_and_keeps_the_order() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let mailbox = create(folder.path());
        let order: Rc<RefCell<Vec<usize>>> = Rc::default();
        let refused = Rc::new(Cell::new(0));
        for number in 0..MAX_WAITING + 10 {
            let (order, refused) = (Rc::clone(&order), Rc::clone(&refused));
            let done = move |_: &Rc<Shard>, result: Result<(), CallError>, _: &Wal| match result {
                Ok(()) => order.borrow_mut().push(number),
                Err(error) => {
                    assert!(matches!(error, CallError::Unavailable));
                    refused.set(refused.get() + 1);
                }
            };
            shard.queue_work(&mailbox, Priority::Delivery, Box::new(|_| {}), Box::new(done));
        }
        assert_eq!(refused.get(), 10);
        shard.close_all().await;
        assert_eq!(*order.borrow(), (0..MAX_WAITING).collect::<Vec<_>>());
        assert_eq!(shard.mailbox_counts(), (0, 0));
    });
}

#[test]
fn what_was_read_behind_a_cold_opening_is_asked_for_when_nobody_waits() {
    const FOLDERS: usize = 3000;
    let folder = disk_folder();
    let mailbox = create(folder.path());
    let open = || Mailbox::open(folder.path(), &OpenOptions::default()).unwrap();
    let mut filled = open();
    filled
        .transaction(|mailbox| {
            for number in 0..FOLDERS {
                mailbox.create_folder(IPM_SUBTREE, &format!("folder {number:0200}"), None)?;
            }
            Ok(())
        })
        .unwrap();
    filled.close().unwrap();
    // Leaves what it reads to the next opening.
    let mut read = open();
    let known = read.folders(IPM_SUBTREE).unwrap().len();
    assert!(known >= FOLDERS);
    read.close().unwrap();

    let database = folder.path().join("exmdb/exchange.sqlite3");
    let file = std::fs::File::open(database).unwrap();
    assert!(file.metadata().unwrap().len() > ringpost_vfs::SMALL_BYTES);
    file.sync_all().unwrap();
    crate::sys::drop_from_cache(std::os::fd::AsFd::as_fd(&file)).unwrap();
    on_core(1, move |shard| async move {
        let host = ShardHost::new(Rc::clone(&shard));
        let has_later = || host.mailbox(&mailbox, Priority::Interactive, |mailbox| Ok(mailbox.has_later()));
        assert!(has_later().await.unwrap());
        let asked = async {
            while has_later().await.unwrap() {
                ringpost_executor::timer::sleep(Duration::from_millis(1)).await;
            }
        };
        within(Duration::from_secs(10), asked)
            .await
            .expect("it is asked for");
        let count = |mailbox: &mut Mailbox| Ok(mailbox.folders(IPM_SUBTREE)?.len());
        let folders = host.mailbox(&mailbox, Priority::Interactive, count).await;
        assert_eq!(folders.unwrap(), known);
    });
}
