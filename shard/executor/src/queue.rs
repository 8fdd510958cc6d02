//! Queues of ready tasks, and which is next.
//!
//! Each queue has shares of a busy core. The next task is from the queue that had least time for its shares. A
//! queue that was empty begins at what the others have reached: time that it did not want is not saved up.
//!
//! Within a queue the same holds for [`Account`]s: the next task is the one whose account had least time. Somebody
//! who wants little is served before those who always want more, and waits for what runs now, not for a turn of
//! everybody. (Start-time fair queueing: Goyal, Vin and Cheng, 1996.)

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_task::Runnable;

use crate::core::Core;

/// A task counts as so long at least: one that only yields must not keep its queue in front for ever.
const LEAST: Duration = Duration::from_micros(1);
/// Differences of less than this count for nothing: then who came first is first.
const GRAIN: Duration = Duration::from_micros(50);
/// An account that had more time than others waits for them so long at most, if it is alone in that.
const MOST_AHEAD: Duration = Duration::from_millis(20);

/// A task that is ready, with the account that its time is charged to.
pub(crate) type Ready = Runnable<Account>;

/// What time of a core is charged to. Tasks that work for the same one may share it: a session's steps, the jobs
/// on a mailbox.
#[derive(Clone, Default, Debug)]
pub struct Account(Arc<AtomicU64>);

impl Account {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Only the executor's own thread writes it.
    fn add(&self, ran: Duration) {
        self.0
            .store(self.0.load(Relaxed) + ran.as_nanos() as u64, Relaxed);
    }
}

/// A queue of tasks of the executor that made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskQueue(pub(crate) usize);

impl TaskQueue {
    /// The queue that every executor has from the start; it holds the main future.
    pub const DEFAULT: Self = Self(0);

    /// Makes a queue in this executor. `shares` are relative to those of the other queues.
    ///
    /// # Panics
    /// Outside of an executor.
    pub fn new(shares: u32) -> Self {
        Core::current().queues.borrow_mut().add(shares)
    }
}

pub(crate) struct Queues {
    all: Vec<Queue>,
    /// Tasks in all of them.
    ready: usize,
    /// The virtual time of the queue that ran last.
    reached: u64,
}

struct Queue {
    tasks: BinaryHeap<Reverse<Place>>,
    /// The time of the account that was served last, in nanoseconds: what others have at least.
    served: u64,
    /// Tasks that came so far.
    came: u64,
    shares: u64,
    /// Nanoseconds it had, divided by its shares (and times a thousand, to stay an integer).
    virtual_time: u64,
}

/// A task's place: by its account's time, then first come first served.
struct Place {
    time: u64,
    number: u64,
    task: Ready,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

impl Queues {
    pub(crate) fn new(default_shares: u32) -> Self {
        let mut queues = Self {
            all: Vec::new(),
            ready: 0,
            reached: 0,
        };
        queues.add(default_shares);
        queues
    }

    fn add(&mut self, shares: u32) -> TaskQueue {
        self.all.push(Queue {
            tasks: BinaryHeap::new(),
            served: 0,
            came: 0,
            shares: u64::from(shares.max(1)),
            virtual_time: self.reached,
        });
        TaskQueue(self.all.len() - 1)
    }

    /// A task is ready. `running` is what its account has had in this moment and was not charged with yet.
    pub(crate) fn push(&mut self, queue: TaskQueue, task: Ready, running: Duration) {
        let reached = self.reached;
        let queue = &mut self.all[queue.0];
        if queue.tasks.is_empty() {
            queue.virtual_time = queue.virtual_time.max(reached);
        }
        let account = &task.metadata().0;
        let most = queue.served + MOST_AHEAD.as_nanos() as u64;
        account.store(account.load(Relaxed).clamp(queue.served, most), Relaxed);
        let time = account.load(Relaxed) + running.as_nanos() as u64;
        let time = time - time % GRAIN.as_nanos() as u64;
        queue.came += 1;
        queue.tasks.push(Reverse(Place {
            time,
            number: queue.came,
            task,
        }));
        self.ready += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<(TaskQueue, Ready)> {
        if self.ready == 0 {
            return None;
        }
        let ready = self.all.iter_mut().enumerate();
        let (number, queue) = ready
            .filter(|(_, queue)| !queue.tasks.is_empty())
            .min_by_key(|(_, queue)| queue.virtual_time)?;
        self.reached = queue.virtual_time;
        self.ready -= 1;
        let Reverse(place) = queue.tasks.pop()?;
        queue.served = queue.served.max(place.time);
        Some((TaskQueue(number), place.task))
    }

    /// A task of the queue ran so long.
    pub(crate) fn charge(&mut self, queue: TaskQueue, account: &Account, ran: Duration) {
        let ran = ran.max(LEAST);
        account.add(ran);
        let queue = &mut self.all[queue.0];
        queue.virtual_time += ran.as_nanos() as u64 * 1000 / queue.shares;
        // What each would have had in equal shares: a stream of newcomers must not keep others waiting for ever.
        queue.served += ran.as_nanos() as u64 / (queue.tasks.len() as u64 + 1);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready == 0
    }
}
