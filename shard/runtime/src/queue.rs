//! A core's part of the queue: segments of the journal, and who waits for them.
//!
//! Every core adds to a segment of its own, so enqueueing takes no lock and no way to another core; messages that
//! come while a sync runs share the next one ([`WalSync`]). A large message has a segment for itself, written and
//! synced by a helper thread. What was found at the start is spread over the cores by segment.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use ahash::AHashMap;
use bytes::Bytes;
use ringpost_host::{
    EnqueueError, MailQueue, Outgoing, QUEUED_RECIPIENTS_MAX, QueueCount, QueueId, QueueUpdate, steady_now_ms,
};
use ringpost_spool::{Entry, Operation, Place, Replayed, SEGMENT_MAX, Segment, Spool};

use crate::{durability::WalSync, shard::Shard, waiters::Waiters, watch::spawn_into};

/// Messages that a core's part holds at most.
const MESSAGES_MAX: usize = 1_000_000;
/// A message from this size on is written by a helper thread.
const LARGE: usize = 512 * 1024;
/// Removals are made durable so long after the first of them.
const LAZY_SYNC: Duration = Duration::from_millis(200);
/// Most bytes that one read of a content asks for.
const READ_MAX: usize = 16 * 1024 * 1024;

/// Where something that goes on by itself leaves its outcome.
type Answer<T> = Rc<RefCell<Option<T>>>;

/// What a core starts with.
pub(crate) struct QueueParts {
    pub(crate) spool: Arc<Spool>,
    /// For new messages.
    pub(crate) active: Segment,
    /// What was there already.
    pub(crate) found: Vec<(Segment, Replayed)>,
    /// Contents may be kept in memory up to so many bytes.
    pub(crate) memory_max: u64,
}

/// A core's part of the queue.
pub(crate) struct QueueStore {
    spool: Arc<Spool>,
    segments: RefCell<AHashMap<u64, Held>>,
    active: Cell<u64>,
    /// The next active segment is being made.
    preparing: Cell<bool>,
    messages: RefCell<AHashMap<QueueId, Message>>,
    arrivals: RefCell<Vec<Entry>>,
    arrived: Waiters,
    bytes: Cell<u64>,
    memory: Cell<u64>,
    memory_max: u64,
}

struct Held {
    segment: Segment,
    /// Messages in it that are not removed.
    live: usize,
    sync: Rc<WalSync>,
    /// Takes no new messages.
    sealed: bool,
    /// A lazy sync is on its way.
    syncing: bool,
}

struct Message {
    place: Place,
    queued_ms: u64,
    deferred: bool,
    content: Option<Bytes>,
}

/// What the metrics show of a core's part.
#[derive(Default)]
pub(crate) struct QueueFigures {
    pub(crate) messages: usize,
    pub(crate) deferred: usize,
    pub(crate) bytes: u64,
    pub(crate) oldest: Duration,
}

impl QueueStore {
    /// Takes over what was found. Fails when a segment's file can't be opened a second time.
    pub(crate) fn new(parts: QueueParts) -> io::Result<Self> {
        let store = Self {
            spool: parts.spool,
            segments: RefCell::default(),
            active: Cell::new(parts.active.number()),
            preparing: Cell::new(false),
            messages: RefCell::default(),
            arrivals: RefCell::default(),
            arrived: Waiters::default(),
            bytes: Cell::new(0),
            memory: Cell::new(0),
            memory_max: parts.memory_max,
        };
        store.hold(parts.active, 0, false)?;
        for (segment, replayed) in parts.found {
            store.hold(segment, replayed.entries.len(), true)?;
            for (entry, place) in replayed.entries {
                store.keep(&entry, place, None);
                store.arrivals.borrow_mut().push(entry);
            }
        }
        Ok(store)
    }

    fn hold(&self, segment: Segment, live: usize, sealed: bool) -> io::Result<()> {
        let sync = WalSync::open(segment.path(), false)?.ok_or(io::ErrorKind::NotFound)?;
        let number = segment.number();
        let held = Held {
            segment,
            live,
            sync,
            sealed,
            syncing: false,
        };
        self.segments.borrow_mut().insert(number, held);
        Ok(())
    }

    fn keep(&self, entry: &Entry, place: Place, content: Option<Bytes>) {
        let length = u64::from(place.length);
        self.bytes.set(self.bytes.get() + length);
        let content = content.filter(|_| self.memory.get() + length <= self.memory_max);
        if content.is_some() {
            self.memory.set(self.memory.get() + length);
        }
        let message = Message {
            place,
            queued_ms: entry.queued_ms,
            deferred: false,
            content,
        };
        self.messages.borrow_mut().insert(entry.id, message);
    }

    /// A content's memory is given back.
    fn forget_content(&self, message: &mut Message) {
        if message.content.take().is_some() {
            self.memory
                .set(self.memory.get().saturating_sub(u64::from(message.place.length)));
        }
    }

    pub(crate) fn figures(&self) -> QueueFigures {
        let messages = self.messages.borrow();
        let oldest = messages.values().map(|message| message.queued_ms).min();
        QueueFigures {
            messages: messages.len(),
            deferred: messages.values().filter(|message| message.deferred).count(),
            bytes: self.bytes.get(),
            oldest: oldest.map_or(Duration::ZERO, |oldest| {
                Duration::from_millis(steady_now_ms().saturating_sub(oldest))
            }),
        }
    }

    fn arrive(&self, entries: Vec<Entry>) {
        self.arrivals.borrow_mut().extend(entries);
        self.arrived.wake_all();
    }
}

/// A core's part of the queue, as its worker sees it.
#[derive(Clone)]
pub struct ShardQueue {
    shard: Rc<Shard>,
    store: Rc<QueueStore>,
}

impl std::fmt::Debug for ShardQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardQueue").finish_non_exhaustive()
    }
}

impl ShardQueue {
    pub(crate) fn of(shard: &Rc<Shard>) -> Option<Self> {
        let store = shard.queue.as_ref()?;
        Some(Self {
            shard: Rc::clone(shard),
            store: Rc::clone(store),
        })
    }

    /// See [`ringpost_host::Host::enqueue`].
    pub(crate) async fn enqueue(&self, message: Outgoing) -> Result<QueueId, EnqueueError> {
        if message.recipients.is_empty() || message.recipients.len() > QUEUED_RECIPIENTS_MAX {
            return Err(EnqueueError::Recipients);
        }
        if self.store.messages.borrow().len() >= MESSAGES_MAX {
            return Err(EnqueueError::Full);
        }
        self.shard.metrics.queue_messages.increment();
        if message.content.len() >= LARGE {
            return self.enqueue_large(message).await;
        }
        let (number, id, durable) = {
            let number = self.store.active.get();
            let mut segments = self.store.segments.borrow_mut();
            let held = segments.get_mut(&number).ok_or(EnqueueError::Unavailable)?;
            if held.sealed {
                // Its disk failed, and there is no other yet.
                drop(segments);
                self.prepare_next();
                return Err(EnqueueError::Unavailable);
            }
            let entry = Entry::new(held.segment.next_id(0), steady_now_ms(), &message);
            let id = entry.id;
            let operation = Operation::Add(entry.clone(), message.content.clone());
            let places = held.segment.append(&[operation]).map_err(not_written)?;
            held.live += 1;
            let full = held.segment.length() > SEGMENT_MAX || !held.segment.has_names_left(1 << 16);
            let sync = Rc::clone(&held.sync);
            drop(segments);
            if let Some(place) = places.first() {
                self.store.keep(&entry, *place, Some(message.content));
            }
            if full {
                self.prepare_next();
            }
            (number, id, self.durable(&sync, number, vec![entry]))
        };
        match durable.await {
            Ok(()) => Ok(id),
            Err(error) => {
                self.shard.metrics.queue_failures.increment();
                tracing::error!(queue_id = %id, segment = number, %error, "not durable in the queue");
                Err(EnqueueError::NotDurable(error))
            }
        }
    }

    /// Joins the next sync of a segment. Its entries are told to the worker when they are durable, also when nobody
    /// waits for that any more; else they are forgotten.
    fn durable(
        &self,
        sync: &Rc<WalSync>,
        number: u64,
        entries: Vec<Entry>,
    ) -> impl Future<Output = Result<(), Arc<io::Error>>> + 'static {
        let answer: Answer<Result<(), Arc<io::Error>>> = Rc::default();
        let waiters: Rc<Waiters> = Rc::default();
        let (place, wake, queue) = (Rc::clone(&answer), Rc::clone(&waiters), self.clone());
        let waiter = move |_: &Rc<Shard>, result: Result<(), Arc<io::Error>>| {
            match &result {
                Ok(()) => queue.store.arrive(entries),
                Err(_) => queue.take_back(number, &entries),
            }
            place.replace(Some(result));
            wake.wake_all();
        };
        let queue = self.clone();
        sync.join(&self.shard, Box::new(waiter), move |_| queue.seal_failed(number));
        async move { waiters.wait(|| answer.borrow_mut().take()).await }
    }

    /// Entries that were refused after they were written: they shall not come back.
    fn take_back(&self, number: u64, entries: &[Entry]) {
        if let Some(held) = self.store.segments.borrow_mut().get_mut(&number) {
            let removals: Vec<_> = entries.iter().map(|entry| Operation::Remove(entry.id)).collect();
            let _ = held.segment.append(&removals);
            held.live = held.live.saturating_sub(entries.len());
        }
        for entry in entries {
            self.forget(entry.id);
        }
    }

    fn forget(&self, id: QueueId) {
        let message = self.store.messages.borrow_mut().remove(&id);
        if let Some(mut message) = message {
            self.store.forget_content(&mut message);
            let left = self
                .store
                .bytes
                .get()
                .saturating_sub(u64::from(message.place.length));
            self.store.bytes.set(left);
        }
    }

    /// The disk failed a segment: what comes goes to another.
    fn seal_failed(&self, number: u64) {
        if let Some(held) = self.store.segments.borrow_mut().get_mut(&number) {
            held.sealed = true;
        }
        if self.store.active.get() == number {
            self.prepare_next();
        }
    }

    /// Has a helper make the next segment; until it is there, the active one grows on.
    fn prepare_next(&self) {
        if self.store.preparing.replace(true) {
            return;
        }
        let queue = self.clone();
        spawn_into(
            &self.shard,
            self.shard.queues.delivery,
            "queue-segment",
            async move {
                let spool = Arc::clone(&queue.store.spool);
                let made = queue.shard.help(move || spool.create_segment()).await;
                queue.store.preparing.set(false);
                let made = match made {
                    Ok(Ok(segment)) => {
                        let number = segment.number();
                        queue.store.hold(segment, 0, false).map(|()| number)
                    }
                    Ok(Err(error)) => Err(error),
                    Err(error) => Err(io::Error::other(error)),
                };
                match made {
                    Ok(number) => {
                        let old = queue.store.active.replace(number);
                        if let Some(held) = queue.store.segments.borrow_mut().get_mut(&old) {
                            held.sealed = true;
                        }
                        queue.delete_if_empty(old);
                    }
                    Err(error) => tracing::error!("no new segment for the queue: {error}"),
                }
            },
        );
    }

    /// A segment that nothing is left of goes.
    fn delete_if_empty(&self, number: u64) {
        let empty = {
            let mut segments = self.store.segments.borrow_mut();
            match segments.get(&number) {
                Some(held) if held.sealed && held.live == 0 => segments.remove(&number),
                _ => None,
            }
        };
        let Some(held) = empty else { return };
        let shard = Rc::clone(&self.shard);
        spawn_into(
            &self.shard,
            self.shard.queues.background,
            "queue-segment",
            async move {
                // A sync that is under way has the file open by itself.
                let segment = held.segment;
                if let Ok(Err(error)) = shard.help(move || segment.delete()).await {
                    tracing::warn!("a segment of the queue can't be deleted: {error}");
                }
            },
        );
    }

    async fn enqueue_large(&self, message: Outgoing) -> Result<QueueId, EnqueueError> {
        let spool = Arc::clone(&self.store.spool);
        let write = move || -> io::Result<(Segment, Entry, Place)> {
            let mut segment = spool.create_segment()?;
            let entry = Entry::new(segment.next_id(0), steady_now_ms(), &message);
            let operation = Operation::Add(entry.clone(), message.content);
            let written = segment
                .append(&[operation])
                .and_then(|places| segment.sync().map(|()| places))
                .and_then(|places| spool.sync_folder().map(|()| places));
            match written {
                Ok(places) => {
                    let place = places.first().copied().ok_or(io::ErrorKind::InvalidData)?;
                    Ok((segment, entry, place))
                }
                Err(error) => {
                    let _ = segment.delete();
                    Err(error)
                }
            }
        };
        // In a task: the message must reach the worker also when the session that brought it ends meanwhile.
        let answer: Answer<Result<QueueId, EnqueueError>> = Rc::default();
        let waiters: Rc<Waiters> = Rc::default();
        let (place, wake, queue) = (Rc::clone(&answer), Rc::clone(&waiters), self.clone());
        spawn_into(
            &self.shard,
            self.shard.queues.delivery,
            "queue-large",
            async move {
                let written = match queue.shard.help(write).await {
                    Ok(Ok((segment, entry, at))) => queue.store.hold(segment, 1, true).map(|()| (entry, at)),
                    Ok(Err(error)) => Err(error),
                    Err(error) => Err(io::Error::other(error)),
                };
                let result = written.map_err(not_written).map(|(entry, at)| {
                    let id = entry.id;
                    queue.store.keep(&entry, at, None);
                    queue.store.arrive(vec![entry]);
                    id
                });
                if result.is_err() {
                    queue.shard.metrics.queue_failures.increment();
                }
                place.replace(Some(result));
                wake.wake_all();
            },
        );
        waiters.wait(|| answer.borrow_mut().take()).await
    }

    /// Makes what was written to a segment durable soon, without anybody waiting.
    fn sync_soon(&self, number: u64) {
        let first = match self.store.segments.borrow_mut().get_mut(&number) {
            Some(held) => !std::mem::replace(&mut held.syncing, true),
            None => false,
        };
        if !first {
            return;
        }
        let queue = self.clone();
        spawn_into(
            &self.shard,
            self.shard.queues.background,
            "queue-sync",
            async move {
                ringpost_executor::timer::sleep(LAZY_SYNC).await;
                let sync = queue.store.segments.borrow_mut().get_mut(&number).map(|held| {
                    held.syncing = false;
                    Rc::clone(&held.sync)
                });
                if let Some(sync) = sync {
                    // What is lost by a failure is what is done already: it may be done twice.
                    let _ = queue.durable(&sync, number, Vec::new()).await;
                }
            },
        );
    }
}

fn not_written(error: io::Error) -> EnqueueError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => EnqueueError::DiskFull,
        _ => EnqueueError::NotDurable(Arc::new(error)),
    }
}

impl MailQueue for ShardQueue {
    async fn arrivals(&self) -> Vec<Entry> {
        let store = &self.store;
        let arrived = || {
            let arrived = std::mem::take(&mut *store.arrivals.borrow_mut());
            (!arrived.is_empty()).then_some(arrived)
        };
        store.arrived.wait(arrived).await
    }

    async fn content(&self, id: QueueId) -> io::Result<Bytes> {
        let (place, fd) = {
            let mut messages = self.store.messages.borrow_mut();
            let message = messages.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
            if let Some(content) = message.content.clone() {
                // Only its first attempt finds it in memory: what has to wait may wait for long.
                self.store.forget_content(message);
                return Ok(content);
            }
            let segments = self.store.segments.borrow();
            let held = segments
                .get(&message.place.segment)
                .ok_or(io::ErrorKind::NotFound)?;
            (message.place, held.segment.descriptor())
        };
        // The segment stays open as long as the message is in the queue.
        let mut content = Vec::with_capacity(place.length as usize);
        while content.len() < place.length as usize {
            let wanted = (place.length as usize - content.len()).min(READ_MAX);
            let offset = place.offset + content.len() as u64;
            let piece = ringpost_executor::file::read_at(fd, offset, wanted).await?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            content.extend_from_slice(&piece);
        }
        Ok(content.into())
    }

    fn sending(&self, id: QueueId, recipients: u32) {
        let number = id.0 >> 24;
        if let Some(held) = self.store.segments.borrow_mut().get_mut(&number) {
            // A note that can't be written is one that is not counted after a crash.
            let _ = held.segment.append(&[Operation::Sending { id, recipients }]);
        }
    }

    async fn update(&self, id: QueueId, update: &QueueUpdate) -> Result<(), EnqueueError> {
        let number = id.0 >> 24;
        let (sync, entries) = {
            let mut segments = self.store.segments.borrow_mut();
            let held = segments.get_mut(&number).ok_or(EnqueueError::Unavailable)?;
            let mut operations = Vec::with_capacity(1 + update.messages.len());
            operations.push(if update.remove {
                Operation::Remove(id)
            } else {
                Operation::Update {
                    id,
                    attempts: update.attempts,
                    next_ms: update.next_ms,
                    changes: update.changes.clone(),
                }
            });
            let mut entries = Vec::with_capacity(update.messages.len());
            for (ahead, message) in update.messages.iter().enumerate() {
                let entry = Entry::new(held.segment.next_id(ahead as u32), steady_now_ms(), message);
                operations.push(Operation::Add(entry.clone(), message.content.clone()));
                entries.push(entry);
            }
            let places = held.segment.append(&operations).map_err(not_written)?;
            held.live += entries.len();
            if update.remove {
                held.live = held.live.saturating_sub(1);
            }
            let sync = Rc::clone(&held.sync);
            drop(segments);
            for ((entry, place), message) in entries.iter().zip(places).zip(&update.messages) {
                self.store.keep(entry, place, Some(message.content.clone()));
            }
            (sync, entries)
        };
        if update.remove {
            self.forget(id);
            self.delete_if_empty(number);
        } else if let Some(message) = self.store.messages.borrow_mut().get_mut(&id) {
            message.deferred = true;
        }
        if entries.is_empty() {
            self.sync_soon(number);
            return Ok(());
        }
        self.shard.metrics.queue_messages.add(entries.len() as u64);
        // What the disk does not confirm is there for this process all the same: it goes on with it, since the
        // message that brought it about is gone.
        let queue = self.clone();
        let told = entries.clone();
        if self.durable_or_not(&sync, number).await.is_err() {
            tracing::error!(queue_id = %id, "what this message brought about is not durable");
        }
        queue.store.arrive(told);
        Ok(())
    }

    fn count(&self, what: QueueCount, amount: u64) {
        let metrics = &self.shard.metrics;
        let counter = match what {
            QueueCount::Delivered => &metrics.queue_delivered,
            QueueCount::Deferred => &metrics.queue_deferred,
            QueueCount::Bounced => &metrics.queue_bounced,
            QueueCount::Reports => &metrics.queue_reports,
            QueueCount::ReportsSuppressed => &metrics.queue_reports_suppressed,
            QueueCount::Uncertain => &metrics.queue_uncertain,
        };
        counter.add(amount);
    }
}

impl ShardQueue {
    fn durable_or_not(
        &self,
        sync: &Rc<WalSync>,
        number: u64,
    ) -> impl Future<Output = Result<(), Arc<io::Error>>> + 'static {
        self.durable(sync, number, Vec::new())
    }
}

#[cfg(test)]
mod tests;
