//! What a core's open mailboxes may take, and which of them are closed for others.
//!
//! ```text
//!            over the allowance                     over it by a quarter
//! open ─► room? ─────► the longest unused close ─► room? ─────► wait for one that closes
//!           │ yes                                    │ yes
//!           └────────────────────────────────────────┴─► open
//! ```
//!
//! A mailbox that no job uses is unused from that moment, and may be closed at once; sessions keep none open.
//!
//! The allowance begins at [`crate::RuntimeConfig::mailbox_memory`] and grows up to
//! [`GROWTH`] times that, but only where it pays: the mailboxes that were closed last are remembered, as many as
//! the larger allowance would have kept, and it grows while more than half of those that are opened are among
//! them. Ten thousand mailboxes served in turn stay within the smaller one; a thousand that are served again and
//! again are not opened again and again. (Remembering what was evicted is what ARC and 2Q do.)
//!
//! Before that, when seven eighths are taken, each job has its mailbox keep few pages as it ends: a cache grows to a MiB
//! by and by, and most of it is not needed. It may grow again when no more than five eighths are taken.
//!
//! Descriptors bound the number of open mailboxes, too: see [`DESCRIPTORS`].

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use ahash::AHashMap;
use ringpost_host::Priority;
use ringpost_mapi::MailboxGuid;

use super::{Job, JobKind, Slot};
use crate::{config::RuntimeConfig, shard::Shard, waiters::Waiters};

/// How far the allowance may grow where that saves openings: a thousand mailboxes that all get mail take some
/// 250 MiB, and each one that is opened and closed for a delivery costs as much as three deliveries.
const GROWTH: u64 = 20;
/// What a mailbox is taken for until it has been measured.
pub(super) const OPENING_BYTES: u64 = 128 * 1024;
/// Descriptors of an open mailbox: its lock, database, WAL, and the WAL's for syncs.
pub(crate) const DESCRIPTORS: u64 = 4;
/// So many are open whatever they take: jobs on them would only wait for each other.
const LEAST: usize = 8;
/// Openings that the share of those remembered is taken over, about.
const SHARE_OVER: f32 = 64.0;
/// By so much the allowance grows at an opening: more than one mailbox takes, so that what is needed is there after
/// about one opening of each.
const GROWTH_STEP: u64 = 4 * OPENING_BYTES;
/// The allowance grows while at least this share of the openings is of remembered mailboxes, and shrinks
/// below half of it.
const GROWS_AT: f32 = 0.5;

/// How much of the allowance is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    /// Page caches may grow.
    Enough,
    /// They stay as they are: those that may grow, and those that may not.
    Between,
    /// They are kept small.
    Tight,
}

/// The state of a core's room.
pub(crate) struct Room {
    /// The allowance: as configured, at most, and now.
    base: u64,
    most: u64,
    allowed: Cell<u64>,
    /// Memory of the mailboxes that are open, being opened or being closed.
    taken: Cell<u64>,
    /// Of that, of those being closed to make room.
    leaving: Cell<u64>,
    /// Mailboxes that are open, being opened or being closed, and how many may be.
    open: Cell<usize>,
    most_open: Cell<usize>,
    /// The latter as configured.
    table: usize,
    /// Mailboxes being closed to make room.
    closing: Cell<usize>,
    /// Open and unused, the longest unused first.
    unused: RefCell<BTreeMap<u64, Rc<Slot>>>,
    turn: Cell<u64>,
    remembered: RefCell<Remembered>,
    /// Of the latest openings, the share that was remembered.
    returns: Cell<f32>,
    /// Mailboxes were closed to make room since the last opening.
    was_short: Cell<bool>,
    freed: Waiters,
}

/// Mailboxes that were closed to make room, the latest.
#[derive(Default)]
struct Remembered {
    order: VecDeque<(MailboxGuid, u64)>,
    turns: AHashMap<MailboxGuid, u64>,
    turn: u64,
}

impl Remembered {
    fn add(&mut self, guid: MailboxGuid, most: usize) {
        self.turn += 1;
        self.turns.insert(guid, self.turn);
        self.order.push_back((guid, self.turn));
        while self.order.len() > most {
            if let Some((guid, turn)) = self.order.pop_front()
                && self.turns.get(&guid) == Some(&turn)
            {
                self.turns.remove(&guid);
            }
        }
    }

    fn take(&mut self, guid: MailboxGuid) -> bool {
        // Its place in the order goes when its turn comes.
        self.turns.remove(&guid).is_some()
    }
}

impl Room {
    pub(crate) fn new(config: &RuntimeConfig, shards: usize) -> Self {
        let base = config.mailbox_memory / shards as u64;
        Self {
            base,
            most: base * GROWTH,
            allowed: Cell::new(base),
            taken: Cell::new(0),
            leaving: Cell::new(0),
            open: Cell::new(0),
            most_open: Cell::new((config.table_size / shards).max(1)),
            table: (config.table_size / shards).max(1),
            closing: Cell::new(0),
            unused: RefCell::default(),
            turn: Cell::new(0),
            remembered: RefCell::default(),
            returns: Cell::new(0.0),
            was_short: Cell::new(false),
            freed: Waiters::default(),
        }
    }

    /// Memory of the open mailboxes, what they may take now, and how many are open.
    pub(crate) fn state(&self) -> (u64, u64, usize) {
        (self.taken.get(), self.allowed.get(), self.open.get())
    }

    /// Whether page caches should be small, so that mailboxes need not be closed.
    pub(super) fn level(&self) -> Level {
        let eighth = self.allowed.get() / 8;
        match self.taken.get() {
            taken if taken > eighth * 7 => Level::Tight,
            taken if taken > eighth * 5 => Level::Between,
            _ => Level::Enough,
        }
    }

    /// A mailbox's memory is another than before.
    pub(super) fn change(&self, before: u64, now: u64) {
        self.taken.set(self.taken.get() - before + now);
    }

    /// No job uses the mailbox any more.
    pub(super) fn is_unused(&self, slot: &Rc<Slot>) {
        self.turn.set(self.turn.get() + 1);
        slot.unused_since.set(self.turn.get());
        self.unused.borrow_mut().insert(self.turn.get(), Rc::clone(slot));
    }

    /// A job uses the mailbox.
    pub(super) fn is_used(&self, slot: &Slot) {
        if slot.unused_since.get() != 0 {
            self.unused.borrow_mut().remove(&slot.unused_since.take());
        }
    }

    /// A mailbox is about to be opened, and counts from now on.
    pub(super) fn opens(&self, guid: MailboxGuid) {
        self.open.set(self.open.get() + 1);
        let returned = self.remembered.borrow_mut().take(guid);
        let now = if returned { 1.0 } else { 0.0 };
        let returns = self.returns.get();
        self.returns.set(returns + (now - returns) / SHARE_OVER);
    }

    /// A mailbox is closed, or could not be opened.
    pub(super) fn closed(&self, slot: &Slot) {
        self.open.set(self.open.get() - 1);
        self.stays(slot);
        self.freed.wake_all();
    }

    /// A mailbox that was to be closed stays.
    pub(super) fn stays(&self, slot: &Slot) {
        if slot.leaving.take() {
            self.closing.set(self.closing.get() - 1);
            self.leaving.set(self.leaving.get() - slot.leaving_bytes.take());
            self.freed.wake_all();
        }
    }

    /// Whether those that stay take too much, with `more` others to be opened.
    fn has_too_little(&self, more: u64) -> bool {
        let staying = self.taken.get() - self.leaving.get() + more * OPENING_BYTES;
        let count = self.open.get() - self.closing.get() + more as usize;
        count > self.most_open.get() || (staying > self.allowed.get() && count > LEAST)
    }

    /// Whether one that wants to open a mailbox should wait for one that closes.
    fn is_full(&self) -> bool {
        let taken = self.taken.get() + OPENING_BYTES;
        let full = taken > self.allowed.get() + self.base / 4 || self.open.get() >= self.most_open.get();
        full && self.closing.get() > 0 && self.open.get() >= LEAST
    }

    /// Grows or shrinks the allowance by what one opening says.
    fn adapt(&self) {
        let allowed = self.allowed.get();
        if self.returns.get() >= GROWS_AT {
            self.allowed.set((allowed + GROWTH_STEP).min(self.most));
        } else if self.returns.get() < GROWS_AT / 2.0 {
            self.allowed
                .set(allowed.saturating_sub(2 * OPENING_BYTES).max(self.base));
        }
    }

    /// Mailboxes that the grown allowance would keep beside those that are open.
    fn remembers(&self) -> usize {
        let each = self.taken.get() / (self.open.get() as u64).max(1);
        ((self.most - self.base) / each.max(OPENING_BYTES / 2)) as usize
    }
}

impl Shard {
    /// Waits until one more mailbox may be opened, and closes others for it. What then is opened counts at once.
    pub(super) async fn make_room(self: &Rc<Self>, guid: MailboxGuid) {
        let room = &self.mailboxes.room;
        if room.was_short.take() || room.has_too_little(1) {
            room.adapt();
        }
        loop {
            self.close_surplus(1);
            if !room.is_full() {
                break;
            }
            let closing = room.closing.get();
            room.freed
                .wait(|| (room.closing.get() < closing || !room.is_full()).then_some(()))
                .await;
        }
        room.opens(guid);
    }

    /// Closes the longest unused mailboxes until the others fit, and `more` to be opened.
    pub(super) fn close_surplus(self: &Rc<Self>, more: u64) {
        let room = &self.mailboxes.room;
        while room.has_too_little(more) {
            let first = room.unused.borrow_mut().pop_first();
            let Some((_, slot)) = first else { return };
            room.was_short.set(true);
            slot.unused_since.set(0);
            slot.leaving.set(true);
            slot.leaving_bytes.set(slot.memory.get());
            room.closing.set(room.closing.get() + 1);
            room.leaving.set(room.leaving.get() + slot.memory.get());
            room.remembered.borrow_mut().add(slot.guid, room.remembers());
            self.metrics.evictions.increment();
            // Somebody waits for the room, so not behind everybody else's work.
            self.push(
                &slot,
                Job {
                    priority: Priority::Interactive,
                    kind: JobKind::Close,
                },
            );
        }
    }

    /// There are no descriptors left: some mailboxes are closed, and fewer may be open from now on.
    pub(crate) fn spare_descriptors(self: &Rc<Self>) {
        let room = &self.mailboxes.room;
        let fewer = (room.open.get() * 7 / 8).max(LEAST);
        room.most_open.set(room.most_open.get().min(fewer));
        self.close_surplus(1);
    }

    /// What the allowance has grown by goes when it is not used any more. Called now and then.
    pub(super) fn shrink_allowance(&self) {
        let room = &self.mailboxes.room;
        let wanted = room.taken.get() + room.base / 4;
        room.allowed.set(room.allowed.get().min(wanted).max(room.base));
        let more = room.most_open.get() + room.table / 64 + 1;
        room.most_open.set(more.min(room.table));
    }
}
