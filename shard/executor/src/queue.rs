//! Queues of ready tasks, and which is next.
//!
//! Each queue has shares of a busy core. The next task is the first of the queue that had least time for its
//! shares. A queue that was empty begins at what the others have reached: time that it did not want is not
//! saved up.

use std::{collections::VecDeque, time::Duration};

use async_task::Runnable;

use crate::core::Core;

/// A task counts as so long at least: one that only yields must not keep its queue in front for ever.
const LEAST: Duration = Duration::from_micros(1);

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
    tasks: VecDeque<Runnable>,
    shares: u64,
    /// Nanoseconds it had, divided by its shares (and times a thousand, to stay an integer).
    virtual_time: u64,
}

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
            tasks: VecDeque::new(),
            shares: u64::from(shares.max(1)),
            virtual_time: self.reached,
        });
        TaskQueue(self.all.len() - 1)
    }

    pub(crate) fn push(&mut self, queue: TaskQueue, task: Runnable) {
        let reached = self.reached;
        let queue = &mut self.all[queue.0];
        if queue.tasks.is_empty() {
            queue.virtual_time = queue.virtual_time.max(reached);
        }
        queue.tasks.push_back(task);
        self.ready += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<(TaskQueue, Runnable)> {
        if self.ready == 0 {
            return None;
        }
        let ready = self.all.iter_mut().enumerate();
        let (number, queue) = ready
            .filter(|(_, queue)| !queue.tasks.is_empty())
            .min_by_key(|(_, queue)| queue.virtual_time)?;
        self.reached = queue.virtual_time;
        self.ready -= 1;
        Some((TaskQueue(number), queue.tasks.pop_front()?))
    }

    /// A task of the queue ran so long.
    pub(crate) fn charge(&mut self, queue: TaskQueue, ran: Duration) {
        let queue = &mut self.all[queue.0];
        queue.virtual_time += ran.max(LEAST).as_nanos() as u64 * 1000 / queue.shares;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready == 0
    }
}
