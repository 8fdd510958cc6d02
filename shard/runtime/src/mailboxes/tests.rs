//! Open mailboxes when a disk fails or too much waits.

use std::time::Duration;

use ringpost_host::Host;
use ringpost_store::{CreateOptions, MailboxKind, folder::built_in::IPM_SUBTREE};

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

#[test]
fn commits_are_in_the_file_when_they_are_durable_whoever_asked() {
    on_core(1, |shard| async move {
        let folder = disk_folder();
        let mailbox = create(folder.path());
        let host = ShardHost::new(Rc::clone(&shard));
        let wal = folder.path().join("exmdb/exchange.sqlite3-wal");
        let copied = |copy: &Path| {
            std::fs::create_dir_all(copy.join("exmdb")).unwrap();
            for name in ["exmdb/exchange.sqlite3", "exmdb/exchange.sqlite3-wal"] {
                std::fs::copy(folder.path().join(name), copy.join(name)).unwrap();
            }
            let mut mailbox = Mailbox::open(copy, &ringpost_store::OpenOptions::default()).unwrap();
            let folders = mailbox.folders(IPM_SUBTREE).unwrap();
            folders.into_iter().map(|folder| folder.name).collect::<Vec<_>>()
        };
        for name in ["one", "two", "three"] {
            create_folder(&host, &mailbox, name).await.unwrap();
            let copy = disk_folder();
            assert!(copied(copy.path()).iter().any(|found| found == name), "{name}");
        }
        let slot = shard.slot(&mailbox);
        assert!(
            slot.mailbox
                .borrow()
                .as_ref()
                .unwrap()
                .owe_writes()
                .unwrap()
                .is_some()
        );
        // Nobody waits for this one.
        let syncs = shard.metrics.syncs.get();
        let work = |mailbox: &mut Mailbox| mailbox.create_folder(IPM_SUBTREE, "four", None).map(drop);
        host.mailbox(&mailbox, Priority::Interactive, work).await.unwrap();
        let written = async {
            while slot.wal().unwrap().is_some_and(|wal| wal.is_running()) {
                ringpost_executor::timer::sleep(Duration::from_millis(1)).await;
            }
        };
        within(Duration::from_secs(10), written)
            .await
            .expect("it is written");
        assert_eq!(shard.metrics.syncs.get(), syncs + 1);
        let copy = disk_folder();
        assert!(copied(copy.path()).iter().any(|found| found == "four"));

        // And what was written past the page cache is read back and written into the database.
        slot.checkpoint(&shard).await;
        assert!(std::fs::read(&wal).unwrap()[..32].iter().all(|&byte| byte == 0));
        let copy = disk_folder();
        let found = copied(copy.path());
        for name in ["one", "two", "three", "four"] {
            assert!(found.iter().any(|found| found == name), "{name}");
        }
    });
}

#[test]
fn a_first_change_that_is_expected_to_be_durable_waits_in_memory_and_is_written_by_itself() {
    on_core(1, |shard| async move {
        let (folder, host) = (disk_folder(), ShardHost::new(Rc::clone(&shard)));
        // Of the core's first mailbox all commits wait in memory.
        let first = create(&folder.path().join("first"));
        create_folder(&host, &first, "one").await.unwrap();
        let mailbox = MailboxRef {
            guid: MailboxGuid("00000000-0000-0000-0000-000000000002".parse().unwrap()),
            ..create(&folder.path().join("second"))
        };
        let slot = shard.slot(&mailbox);
        let is_owing = || slot.mailbox.borrow().as_ref().unwrap().is_owing();
        // A look at it makes nothing wait.
        host.mailbox(&mailbox, Priority::Interactive, |mailbox| {
            mailbox.status(IPM_SUBTREE)
        })
        .await
        .unwrap();
        assert!(slot.wal.borrow().is_none() && !is_owing());
        let synced = shard.metrics.syncs.get();
        let work = |mailbox: &mut Mailbox| {
            mailbox.expect_durable();
            mailbox.create_folder(IPM_SUBTREE, "two", None).map(drop)
        };
        host.mailbox(&mailbox, Priority::Interactive, work).await.unwrap();
        let written = async {
            while slot.wal().unwrap().is_some_and(|wal| wal.is_running()) {
                ringpost_executor::timer::sleep(Duration::from_millis(1)).await;
            }
        };
        within(Duration::from_secs(10), written)
            .await
            .expect("it is written");
        assert!(!is_owing());
        assert_eq!(shard.metrics.syncs.get(), synced + 1);
        let copy = disk_folder();
        std::fs::create_dir_all(copy.path().join("exmdb")).unwrap();
        for name in ["exmdb/exchange.sqlite3", "exmdb/exchange.sqlite3-wal"] {
            std::fs::copy(mailbox.path.join(name), copy.path().join(name)).unwrap();
        }
        let mut copied = Mailbox::open(copy.path(), &ringpost_store::OpenOptions::default()).unwrap();
        let folders = copied.folders(IPM_SUBTREE).unwrap();
        assert!(folders.iter().any(|folder| folder.name == "two"));
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
