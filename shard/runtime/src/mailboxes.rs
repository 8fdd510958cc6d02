//! The mailboxes that a core has open, and the order of work on them.
//!
//! Each mailbox has a queue of jobs, first come first served, and at most one job of it runs: on a coroutine,
//! in the task queue of its priority. A mailbox is opened by the first job that needs it, and closed when
//! nobody used it for the cache interval, when others need its [`room`] and it is the longest unused, after a
//! panic in a job, or after a sync that failed.

pub(crate) mod room;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use ringpost_executor::{Account, sync::Semaphore};
use ringpost_host::{CallError, MailboxRef, Priority};
use ringpost_mapi::MailboxGuid;
use ringpost_store::{Event, Mailbox, StoreError};
use ringpost_vfs::coroutine::SLICE;

use self::room::Room;
use crate::{
    config::RuntimeConfig,
    durability::{Waiter, WalSync},
    operation,
    shard::Shard,
    waiters::Waiters,
    watch::{panic_text, spawn_for},
};

/// Jobs that may wait for one mailbox; more are refused.
const MAX_WAITING: usize = 4096;
/// Mailboxes that are being opened at once, a core.
const MAX_OPENING: usize = 64;
/// The WAL of a mailbox that is not busy is written back when it is larger than this: before it would grow beyond
/// 1 MiB, some twenty messages of 10 kB.
const FIRST_CHECKPOINT_BYTES: u64 = 960 * 1024;
/// A mailbox whose WAL is written back more often than this gets a longer one.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// How often an opening is tried that failed for want of descriptors.
const DESCRIPTOR_TRIES: u32 = 4;
/// The pause before it is tried again.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(20);

/// An operation; what it returns, it leaves with its caller.
pub(crate) type Work = Box<dyn FnOnce(&mut Mailbox)>;
/// Called once when the work is done, or won't be.
pub(crate) type Done = Box<dyn FnOnce(&Rc<Shard>, Result<(), CallError>, &Wal)>;

/// The table.
pub(crate) struct Mailboxes {
    slots: RefCell<AHashMap<MailboxGuid, Rc<Slot>>>,
    pub(crate) room: Room,
    openings: Rc<Semaphore>,
    /// Slots with work; the stop waits for them.
    busy: Cell<usize>,
    idle: Waiters,
}

impl Mailboxes {
    pub(crate) fn new(config: &RuntimeConfig, shards: usize) -> Self {
        Self {
            slots: RefCell::default(),
            room: Room::new(config, shards),
            openings: Semaphore::new(MAX_OPENING),
            busy: Cell::new(0),
            idle: Waiters::default(),
        }
    }
}

struct Slot {
    guid: MailboxGuid,
    path: Arc<Path>,
    /// Away while a job runs.
    mailbox: RefCell<Option<Box<Mailbox>>>,
    wal: RefCell<Option<Rc<WalSync>>>,
    wal_path: RefCell<PathBuf>,
    wal_name_is_durable: Cell<bool>,
    jobs: RefCell<VecDeque<Job>>,
    running: Cell<bool>,
    /// What the time of its jobs is charged to: who asks much of one mailbox waits for those who ask little.
    account: Account,
    last_used: Cell<Instant>,
    wal_bytes: Cell<u64>,
    /// What it takes while it is open; also while it is being opened or closed.
    memory: Cell<u64>,
    /// It counts as open.
    is_open: Cell<bool>,
    /// Its place among the unused mailboxes; 0: it is used, or not open.
    unused_since: Cell<u64>,
    /// It is being closed to make room, and how much.
    leaving: Cell<bool>,
    leaving_bytes: Cell<u64>,
    checkpoint_queued: Cell<bool>,
    /// It was cold when it was opened, and the disk is to be asked for more of it once nobody waits.
    has_later: Cell<bool>,
    /// The WAL is written back when it is larger than this: see [`Slot::next_checkpoint`].
    checkpoint_at: Cell<u64>,
    /// When that was done last, or the mailbox was opened.
    checkpointed: Cell<Instant>,
    /// A sync failed: what the page cache has of the WAL can't be trusted to be on disk. Nothing of it goes
    /// into the database; the mailbox is closed at once and opened by [`Mailbox::open_distrusted`].
    suspect: Cell<bool>,
}

struct Job {
    priority: Priority,
    kind: JobKind,
}

enum JobKind {
    /// Runs `work`, then `done` with what became of it.
    Work {
        work: Work,
        done: Done,
    },
    Checkpoint,
    Close,
}

/// The way to durability for a job that has just committed.
pub(crate) struct Wal {
    slot: Rc<Slot>,
}

impl Wal {
    /// Calls `waiter` when everything that the mailbox has committed is on disk.
    pub(crate) fn when_durable(&self, shard: &Rc<Shard>, waiter: Waiter) {
        match self.slot.wal() {
            Ok(Some(wal)) => {
                let slot = Rc::clone(&self.slot);
                wal.join(shard, waiter, move |shard| slot.sync_failed(shard));
            }
            Ok(None) => waiter(shard, Ok(())),
            Err(error) => waiter(shard, Err(Arc::new(error))),
        }
    }
}

impl Shard {
    /// Queues work on a mailbox of this core. `done` is called once, here, also when the work never ran.
    pub(crate) fn queue_work(
        self: &Rc<Self>,
        mailbox: &MailboxRef,
        priority: Priority,
        work: Work,
        done: Done,
    ) {
        let slot = self.slot(mailbox);
        let refused = self.closing.get() || slot.jobs.borrow().len() >= MAX_WAITING;
        if refused {
            return done(self, Err(CallError::Unavailable), &Wal { slot });
        }
        self.push(
            &slot,
            Job {
                priority,
                kind: JobKind::Work { work, done },
            },
        );
    }

    fn slot(self: &Rc<Self>, mailbox: &MailboxRef) -> Rc<Slot> {
        if let Some(slot) = self.mailboxes.slots.borrow().get(&mailbox.guid) {
            return Rc::clone(slot);
        }
        let slot = Rc::new(Slot {
            guid: mailbox.guid,
            path: Arc::clone(&mailbox.path),
            mailbox: RefCell::new(None),
            wal: RefCell::new(None),
            wal_path: RefCell::default(),
            wal_name_is_durable: Cell::new(false),
            jobs: RefCell::default(),
            running: Cell::new(false),
            account: Account::default(),
            last_used: Cell::new(Instant::now()),
            wal_bytes: Cell::new(0),
            memory: Cell::new(0),
            is_open: Cell::new(false),
            unused_since: Cell::new(0),
            leaving: Cell::new(false),
            leaving_bytes: Cell::new(0),
            checkpoint_queued: Cell::new(false),
            has_later: Cell::new(false),
            checkpoint_at: Cell::new(FIRST_CHECKPOINT_BYTES),
            checkpointed: Cell::new(Instant::now()),
            suspect: Cell::new(false),
        });
        self.mailboxes
            .slots
            .borrow_mut()
            .insert(mailbox.guid, Rc::clone(&slot));
        slot
    }

    fn push(self: &Rc<Self>, slot: &Rc<Slot>, job: Job) {
        let priority = job.priority;
        slot.jobs.borrow_mut().push_back(job);
        if !slot.running.replace(true) {
            self.mailboxes.room.is_used(slot);
            self.mailboxes.busy.set(self.mailboxes.busy.get() + 1);
            self.start(slot, priority);
        }
    }

    fn start(self: &Rc<Self>, slot: &Rc<Slot>, priority: Priority) {
        let task = run_jobs(Rc::clone(self), Rc::clone(slot), priority);
        let queue = self.queues.of(priority);
        spawn_for(self, queue, slot.account.clone(), "mailbox", task);
    }

    fn close(self: &Rc<Self>, slot: &Rc<Slot>) {
        let job = Job {
            priority: Priority::Background,
            kind: JobKind::Close,
        };
        self.push(slot, job);
    }

    /// Closes mailboxes that nobody used for the cache interval. Called now and then.
    pub(crate) fn close_unused(self: &Rc<Self>) {
        let slots: Vec<_> = self.mailboxes.slots.borrow().values().cloned().collect();
        for slot in slots {
            let unused = slot.last_used.get().elapsed() >= self.config.cache_interval;
            if unused && !slot.running.get() {
                self.close(&slot);
            }
        }
        self.shrink_allowance();
        self.close_surplus(0);
    }

    /// Closes all mailboxes; resolves when that is done. No work is taken from now on.
    pub(crate) async fn close_all(self: &Rc<Self>) {
        self.closing.set(true);
        let slots: Vec<_> = self.mailboxes.slots.borrow().values().cloned().collect();
        for slot in slots {
            self.close(&slot);
        }
        let busy = &self.mailboxes.busy;
        self.mailboxes.idle.wait(|| (busy.get() == 0).then_some(())).await;
    }

    /// Mailboxes in the table, and jobs that wait.
    pub(crate) fn mailbox_counts(&self) -> (usize, usize) {
        let slots = self.mailboxes.slots.borrow();
        let waiting = slots.values().map(|slot| slot.jobs.borrow().len()).sum();
        (slots.len(), waiting)
    }
}

/// Runs a mailbox's jobs until none is left, or the next belongs to another task queue.
async fn run_jobs(shard: Rc<Shard>, slot: Rc<Slot>, priority: Priority) {
    let mut since = Instant::now();
    loop {
        // Many short jobs hold the core as long as one long job would.
        if since.elapsed() > SLICE {
            ringpost_executor::yield_now().await;
            since = Instant::now();
        }
        let next = slot.jobs.borrow().front().map(|job| job.priority);
        match next {
            None if slot.has_later.take() => {
                // Whoever waits for the last answer gets it first, and may ask for more.
                ringpost_executor::yield_now().await;
                if slot.jobs.borrow().is_empty() {
                    slot.read_later(&shard).await;
                } else {
                    slot.has_later.set(true);
                }
                continue;
            }
            None => break,
            Some(next) if next != priority => return shard.start(&slot, next),
            Some(_) => {}
        }
        let job = slot.jobs.borrow_mut().pop_front();
        let Some(job) = job else { break };
        if slot.suspect.get() {
            // Nobody else may see, or build on, what could not be made durable.
            slot.close(&shard).await;
        }
        match job.kind {
            JobKind::Work { work, done } => slot.work(&shard, work, done).await,
            JobKind::Checkpoint => slot.checkpoint(&shard).await,
            // Somebody wants it again before it was closed.
            JobKind::Close if slot.leaving.get() && slot.has_work() && !slot.suspect.get() => {
                shard.mailboxes.room.stays(&slot);
            }
            JobKind::Close => {
                slot.close(&shard).await;
                if slot.jobs.borrow().is_empty() && !slot.suspect.get() {
                    shard.mailboxes.slots.borrow_mut().remove(&slot.guid);
                }
            }
        }
    }
    slot.running.set(false);
    if slot.is_open.get() {
        shard.mailboxes.room.is_unused(&slot);
        shard.close_surplus(0);
    }
    let busy = &shard.mailboxes.busy;
    busy.set(busy.get() - 1);
    if busy.get() == 0 {
        shard.mailboxes.idle.wake_all();
    }
}

/// What a job leaves behind.
struct Finished {
    /// `None`: the work panicked, and the mailbox is closed.
    mailbox: Option<Box<Mailbox>>,
    events: Vec<Event>,
    wal_bytes: u64,
    /// A sync or write of the WAL failed as it was closed.
    suspect: bool,
    memory: u64,
    has_later: bool,
}

impl Slot {
    async fn work(self: &Rc<Self>, shard: &Rc<Shard>, work: Work, done: Done) {
        let wal = Wal {
            slot: Rc::clone(self),
        };
        let mailbox = match self.open(shard).await {
            Ok(mailbox) => mailbox,
            Err(error) => return done(shard, Err(error), &wal),
        };
        let guid = self.guid;
        let started = Instant::now();
        let room = shard.mailboxes.room.level();
        let finished = operation::run(shard, move || {
            let mut mailbox = mailbox;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&mut mailbox))) {
                tracing::error!("an operation on mailbox {guid} panicked: {}", panic_text(&*panic));
                // Here, not while the stack unwinds: closing writes, and may be suspended.
                let suspect = mailbox.close().is_err();
                return Finished {
                    mailbox: None,
                    events: Vec::new(),
                    wal_bytes: 0,
                    suspect,
                    memory: 0,
                    has_later: false,
                };
            }
            let kept = match room {
                room::Level::Tight => mailbox.keep_few_pages(true),
                room::Level::Between => Ok(()),
                room::Level::Enough => mailbox.keep_few_pages(false),
            };
            if let Err(error) = kept {
                // It costs memory, and nothing else.
                tracing::warn!("the page cache of mailbox {guid}: {error}");
            }
            Finished {
                events: mailbox.take_events(),
                wal_bytes: mailbox.wal_bytes(),
                suspect: mailbox.is_distrusted(),
                memory: mailbox.memory_bytes(),
                has_later: mailbox.has_later(),
                mailbox: Some(mailbox),
            }
        })
        .await;
        shard
            .metrics
            .operation_time
            .borrow_mut()
            .record(started.elapsed());
        self.last_used.set(Instant::now());
        let Ok(Ok(finished)) = finished else {
            // The mailbox went down with its coroutine: closing it panicked, or there is no memory for a stack.
            self.forget_open(shard);
            return done(shard, Err(CallError::Panicked), &wal);
        };
        if finished.suspect {
            self.distrust(shard);
        }
        if finished.mailbox.is_none() {
            shard.metrics.panics.increment();
            self.forget_open(shard);
            return done(shard, Err(CallError::Panicked), &wal);
        }
        self.set_memory(shard, finished.memory);
        self.mailbox.replace(finished.mailbox);
        self.has_later.set(finished.has_later);
        self.wal_bytes.set(finished.wal_bytes);
        // Before the caller's answer: who asks after its own change must not find an older event queue.
        shard.publish(self.guid, finished.events);
        done(shard, Ok(()), &wal);
        let checkpoint_at = self.checkpoint_at.get().min(shard.config.checkpoint_bytes);
        if finished.wal_bytes > checkpoint_at && !self.checkpoint_queued.replace(true) {
            self.jobs.borrow_mut().push_back(Job {
                priority: Priority::Background,
                kind: JobKind::Checkpoint,
            });
        }
    }

    /// The open mailbox, taken out of the slot.
    async fn open(self: &Rc<Self>, shard: &Rc<Shard>) -> Result<Box<Mailbox>, CallError> {
        if let Some(mailbox) = self.mailbox.take() {
            return Ok(mailbox);
        }
        let _opening = shard.mailboxes.openings.acquire().await;
        let mut tries = 0;
        loop {
            shard.make_room(self.guid).await;
            self.is_open.set(true);
            self.set_memory(shard, room::OPENING_BYTES);
            let failures = ringpost_vfs::descriptor_failures();
            let opened = self.try_to_open(shard).await;
            if opened.is_err() {
                self.is_closed(shard);
            }
            tries += 1;
            let want_descriptors = ringpost_vfs::descriptor_failures() != failures;
            match opened {
                Err(CallError::Store(_)) if want_descriptors && tries < DESCRIPTOR_TRIES => {
                    shard.spare_descriptors();
                    ringpost_executor::timer::sleep(DESCRIPTOR_PAUSE).await;
                }
                Err(CallError::Store(error)) => {
                    tracing::error!(
                        "mailbox {} ({}) can't be opened: {error}",
                        self.guid,
                        self.path.display()
                    );
                    return Err(CallError::Store(error));
                }
                opened => return opened,
            }
        }
    }

    async fn try_to_open(self: &Rc<Self>, shard: &Rc<Shard>) -> Result<Box<Mailbox>, CallError> {
        let path = Arc::clone(&self.path);
        let options = shard.config.open.clone();
        let suspect = self.suspect.get();
        let opened = operation::run(shard, move || -> Result<Box<Mailbox>, StoreError> {
            let mailbox = if suspect {
                Mailbox::open_distrusted(&path, &options)?
            } else {
                Mailbox::open(&path, &options)?
            };
            Ok(Box::new(mailbox))
        })
        .await;
        match opened {
            Ok(Ok(Ok(mailbox))) => {
                self.suspect.set(false);
                self.wal_path.replace(mailbox.wal_path());
                self.wal_name_is_durable.set(mailbox.is_wal_name_durable());
                self.checkpointed.set(Instant::now());
                shard.metrics.opens.increment();
                Ok(mailbox)
            }
            Ok(Ok(Err(error))) => Err(CallError::Store(error)),
            Ok(Err(panic)) => {
                tracing::error!("opening mailbox {} panicked: {}", self.guid, panic_text(&*panic));
                Err(CallError::Panicked)
            }
            Err(error) => {
                tracing::error!("no stack for an operation: {error}");
                Err(CallError::Unavailable)
            }
        }
    }

    /// Writes the WAL back into the database.
    async fn checkpoint(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.checkpoint_queued.set(false);
        self.syncs_end(shard).await;
        if self.suspect.get() {
            return;
        }
        let Some(mailbox) = self.mailbox.take() else {
            return;
        };
        shard.metrics.checkpoints.increment();
        self.next_checkpoint(shard.config.checkpoint_bytes);
        let result = operation::run(shard, move || {
            let mut mailbox = mailbox;
            let result = mailbox.checkpoint();
            let wal_bytes = mailbox.wal_bytes();
            (mailbox, result, wal_bytes)
        })
        .await;
        match result {
            Ok(Ok((mailbox, result, wal_bytes))) => {
                let distrusted = mailbox.is_distrusted();
                self.mailbox.replace(Some(mailbox));
                self.wal_bytes.set(wal_bytes);
                if let Err(error) = result {
                    tracing::error!("checkpoint of mailbox {}: {error}", self.guid);
                }
                if distrusted {
                    self.distrust(shard);
                }
            }
            _ => self.forget_open(shard),
        }
    }

    /// Asks for what is likely to be read next of a mailbox that was just opened.
    async fn read_later(&self, shard: &Rc<Shard>) {
        let Some(mailbox) = self.mailbox.take() else {
            return;
        };
        let asked = operation::run(shard, move || {
            mailbox.read_later();
            mailbox
        });
        match asked.await {
            Ok(Ok(mailbox)) => drop(self.mailbox.replace(Some(mailbox))),
            _ => self.forget_open(shard),
        }
    }

    /// Decides how large the WAL is before it is written back again: twice as large as long as that comes more often than
    /// every [`CHECKPOINT_INTERVAL`], and smaller again where it is seldom. A mailbox that gets mail now and then so keeps
    /// a small WAL, whose blocks and pages are used again and again; a busy one is not held up each moment.
    fn next_checkpoint(&self, most: u64) {
        let since = self.checkpointed.replace(Instant::now()).elapsed();
        let size = self.checkpoint_at.get();
        if since < CHECKPOINT_INTERVAL {
            self.checkpoint_at
                .set((size * 2).min(most.max(FIRST_CHECKPOINT_BYTES)));
        } else if since > CHECKPOINT_INTERVAL * 4 {
            self.checkpoint_at.set((size / 2).max(FIRST_CHECKPOINT_BYTES));
        }
    }

    /// Waits until no sync of the WAL is under way: one that fails while its content goes into the database
    /// would be known too late.
    async fn syncs_end(self: &Rc<Self>, shard: &Rc<Shard>) {
        let wal = self.wal.borrow().clone();
        let Some(wal) = wal.filter(|wal| wal.is_running()) else {
            return;
        };
        let ended = Rc::new((Cell::new(false), Waiters::default()));
        let end = Rc::clone(&ended);
        let waiter = move |_: &Rc<Shard>, _| {
            end.0.set(true);
            end.1.wake_all();
        };
        let slot = Rc::clone(self);
        wal.join(shard, Box::new(waiter), move |shard| slot.sync_failed(shard));
        ended.1.wait(|| ended.0.get().then_some(())).await;
    }

    async fn close(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.syncs_end(shard).await;
        self.wal.take();
        self.wal_bytes.set(0);
        let Some(mailbox) = self.mailbox.take() else {
            return self.is_closed(shard);
        };
        shard.metrics.closes.increment();
        let suspect = self.suspect.get();
        let closed = operation::run(shard, move || {
            let mut mailbox = mailbox;
            if suspect {
                mailbox.distrust();
            }
            mailbox.close()
        })
        .await;
        match closed {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(_))) if suspect => {}
            // The database had no room to grow: its WAL stays, and is as good as before.
            Ok(Ok(Err(error @ StoreError::DiskFull))) => {
                tracing::warn!("closing mailbox {}: {error}", self.guid);
            }
            Ok(Ok(Err(error))) => {
                tracing::error!("closing mailbox {}: {error}", self.guid);
                self.suspect.set(true);
            }
            _ => tracing::error!("mailbox {} could not be closed in order", self.guid),
        }
        self.is_closed(shard);
    }

    fn forget_open(&self, shard: &Shard) {
        self.wal.take();
        self.wal_bytes.set(0);
        self.is_closed(shard);
    }

    /// It takes no room any more.
    fn is_closed(&self, shard: &Shard) {
        self.set_memory(shard, 0);
        if self.is_open.take() {
            shard.mailboxes.room.closed(self);
        }
    }

    fn set_memory(&self, shard: &Shard, bytes: u64) {
        shard.mailboxes.room.change(self.memory.replace(bytes), bytes);
    }

    fn wal(&self) -> io::Result<Option<Rc<WalSync>>> {
        let mut wal = self.wal.borrow_mut();
        if wal.is_none() {
            *wal = WalSync::open(&self.wal_path.borrow(), self.wal_name_is_durable.get())?;
        }
        Ok(wal.clone())
    }

    /// Whether work waits.
    fn has_work(&self) -> bool {
        let jobs = self.jobs.borrow();
        jobs.iter().any(|job| matches!(job.kind, JobKind::Work { .. }))
    }

    fn sync_failed(self: &Rc<Self>, shard: &Rc<Shard>) {
        tracing::error!(
            "mailbox {}: a change could not be made durable; closing it",
            self.guid
        );
        self.distrust(shard);
    }

    /// The mailbox is closed before its next job, and now if there is none.
    fn distrust(self: &Rc<Self>, shard: &Rc<Shard>) {
        self.suspect.set(true);
        shard.close(self);
    }
}

#[cfg(test)]
mod tests;
