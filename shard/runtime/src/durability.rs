//! Making commits durable: one `fdatasync` for all who wait for the same file.
//!
//! ```text
//! commit A ─► sync 1 starts ───────────► done: A
//!      commit B ─┐ (joins the next)   ─► sync 2 starts ──► done: B, C
//!      commit C ─┘
//! ```
//!
//! A commit is only covered by a sync that *started* after it. Syncs of different mailboxes run side by
//! side. A failed sync is final for all who waited: the kernel may have dropped the pages, and a later sync
//! would succeed without them. So the mailbox is closed, and its WAL copied before it is next used
//! ([`ringpost_store::Mailbox::open_distrusted`]).

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    os::fd::AsRawFd,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use crate::{shard::Shard, sys, watch::spawn_into};

/// Told when a commit is on disk, or that it isn't.
pub(crate) type Waiter = Box<dyn FnOnce(&Rc<Shard>, Result<(), Arc<io::Error>>)>;

/// A mailbox's WAL, as durability sees it.
pub(crate) struct WalSync {
    file: File,
    /// The WAL's own name must be durable once: there until then, unless it is for sure.
    folder: Cell<Option<File>>,
    waiting: RefCell<Vec<Waiter>>,
    running: Cell<bool>,
    failed: RefCell<Option<Arc<io::Error>>>,
}

impl WalSync {
    /// `None`: there is no WAL, so nothing was committed since the last checkpoint.
    pub(crate) fn open(wal: &Path, name_is_durable: bool) -> io::Result<Option<Rc<Self>>> {
        let file = match File::open(wal) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        let folder = wal.parent().filter(|_| !name_is_durable);
        let folder = folder.map(File::open).transpose()?;
        Ok(Some(Rc::new(Self {
            file,
            folder: Cell::new(folder),
            waiting: RefCell::default(),
            running: Cell::new(false),
            failed: RefCell::new(None),
        })))
    }

    /// Whether a sync is under way.
    pub(crate) fn is_running(&self) -> bool {
        self.running.get()
    }

    /// Calls `waiter` when a sync that starts from now on has ended. `failed` runs once, at the first failure.
    pub(crate) fn join(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        waiter: Waiter,
        failed: impl FnOnce(&Rc<Shard>) + 'static,
    ) {
        if let Some(error) = self.failed.borrow().clone() {
            return waiter(shard, Err(error));
        }
        self.waiting.borrow_mut().push(waiter);
        shard.metrics.durable_commits.increment();
        if !self.running.replace(true) {
            let task = Rc::clone(self).sync(Rc::clone(shard), failed);
            spawn_into(shard, shard.queues.interactive, "sync", task);
        }
    }

    async fn sync(self: Rc<Self>, shard: Rc<Shard>, failed: impl FnOnce(&Rc<Shard>)) {
        loop {
            let waiting = self.waiting.take();
            if waiting.is_empty() {
                break;
            }
            let start = Instant::now();
            let mut result = sys::fdatasync(self.file.as_raw_fd()).await;
            shard.metrics.syncs.increment();
            if result.is_ok()
                && let Some(folder) = self.folder.take()
            {
                shard.metrics.syncs.increment();
                result = sys::fsync(folder.as_raw_fd()).await;
            }
            shard.metrics.sync_time.borrow_mut().record(start.elapsed());
            let result = result.map_err(Arc::new);
            if let Err(error) = &result {
                shard.metrics.sync_failures.increment();
                self.failed.replace(Some(Arc::clone(error)));
            }
            for waiter in waiting {
                waiter(&shard, result.clone());
            }
            if let Err(error) = result {
                for waiter in self.waiting.take() {
                    waiter(&shard, Err(Arc::clone(&error)));
                }
                failed(&shard);
                break;
            }
        }
        self.running.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::{
        testing::{disk_folder, on_core},
        waiters::Waiters,
    };

    /// Joins, and resolves with what the waiter is told.
    async fn durable(shard: &Rc<Shard>, wal: &Rc<WalSync>) -> Result<(), Arc<io::Error>> {
        let answer: Rc<RefCell<Option<_>>> = Rc::default();
        let waiters: Rc<Waiters> = Rc::default();
        let (place, wake) = (Rc::clone(&answer), Rc::clone(&waiters));
        let waiter = move |_: &Rc<Shard>, result| {
            place.replace(Some(result));
            wake.wake_all();
        };
        wal.join(shard, Box::new(waiter), |_| {});
        waiters.wait(|| answer.take()).await
    }

    #[test]
    fn those_who_come_during_a_sync_share_the_next() {
        on_core(1, |shard| async move {
            let folder = disk_folder();
            let path = folder.path().join("wal");
            fs::write(&path, b"frames").unwrap();
            let wal = WalSync::open(&path, false).unwrap().unwrap();
            let syncs = || shard.metrics.sync_time.borrow().count;
            let done = Rc::new(Cell::new(0));
            for _ in 0..100 {
                let done = Rc::clone(&done);
                let waiter = Box::new(move |_: &Rc<Shard>, result: Result<(), _>| {
                    result.unwrap();
                    done.set(done.get() + 1);
                });
                wal.join(&shard, waiter, |_| {});
            }
            assert_eq!(syncs(), 0);
            // Joined behind the hundred, so done not before them.
            durable(&shard, &wal).await.unwrap();
            assert_eq!(done.get(), 100);
            assert!((1..=2).contains(&syncs()), "{} syncs", syncs());
            durable(&shard, &wal).await.unwrap();
            assert!(syncs() >= 2, "a sync that ended before covers nothing");
        });
    }

    #[test]
    fn a_failed_sync_is_final() {
        on_core(1, |shard| async move {
            let folder = disk_folder();
            let path = folder.path().join("wal");
            // The kernel refuses to sync this device.
            symlink("/dev/null", &path).unwrap();
            let wal = WalSync::open(&path, false).unwrap().unwrap();
            let closed = Rc::new(Cell::new(false));
            let told = Rc::new(Cell::new(0));
            for _ in 0..3 {
                let (closed, told) = (Rc::clone(&closed), Rc::clone(&told));
                let waiter = Box::new(move |_: &Rc<Shard>, result: Result<(), _>| {
                    assert!(result.is_err());
                    told.set(told.get() + 1);
                });
                wal.join(&shard, waiter, move |_| closed.set(true));
            }
            durable(&shard, &wal).await.unwrap_err();
            assert_eq!(told.get(), 3);
            assert!(closed.get());
            durable(&shard, &wal).await.unwrap_err();
            assert_eq!(shard.metrics.sync_failures.get(), 1, "it was not tried again");
        });
    }

    #[test]
    fn without_a_wal_there_is_nothing_to_wait_for() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            WalSync::open(&folder.path().join("none"), false)
                .unwrap()
                .is_none()
        );
    }

    /// Not a test: prints how many syncs a second one core gets from this disk.
    #[test]
    #[ignore = "a measurement"]
    fn syncs_of_many_files_overlap() {
        for files in [1, 8, 32, 128] {
            on_core(1, move |shard| async move {
                let folder = disk_folder();
                let start = Instant::now();
                let tasks: Vec<_> = (0..files)
                    .map(|n| {
                        let path = folder.path().join(n.to_string());
                        let shard = Rc::clone(&shard);
                        ringpost_executor::spawn_local(async move {
                            fs::write(&path, vec![1; 1 << 20]).unwrap();
                            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                            file.sync_all().unwrap();
                            let wal = WalSync::open(&path, false).unwrap().unwrap();
                            let mut count = 0;
                            while start.elapsed().as_secs() < 3 {
                                std::os::unix::fs::FileExt::write_all_at(
                                    &file,
                                    &[2; 4096],
                                    count % 200 * 4096,
                                )
                                .unwrap();
                                durable(&shard, &wal).await.unwrap();
                                count += 1;
                            }
                            count
                        })
                    })
                    .collect();
                let mut total = 0;
                for task in tasks {
                    total += task.await;
                }
                eprintln!(
                    "{files} files: {} syncs/s",
                    total as f64 / start.elapsed().as_secs_f64()
                );
            });
        }
    }
}
