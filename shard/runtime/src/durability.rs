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
//! would succeed without them (so the mailbox is closed and checked in by a checkpoint when it is next used).

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
    /// The WAL's own name must be durable once.
    folder: Cell<Option<File>>,
    waiting: RefCell<Vec<Waiter>>,
    running: Cell<bool>,
    failed: RefCell<Option<Arc<io::Error>>>,
}

impl WalSync {
    /// `None`: there is no WAL, so nothing was committed since the last checkpoint.
    pub(crate) fn open(wal: &Path) -> io::Result<Option<Rc<Self>>> {
        let file = match File::open(wal) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        let folder = wal.parent().map(File::open).transpose()?;
        Ok(Some(Rc::new(Self {
            file,
            folder: Cell::new(folder),
            waiting: RefCell::default(),
            running: Cell::new(false),
            failed: RefCell::new(None),
        })))
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
                result = shard
                    .help(move || folder.sync_all())
                    .await
                    .unwrap_or_else(|error| Err(io::Error::other(error)));
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
