//! Timers.

use std::{
    collections::BTreeMap,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::core::Core;

/// When, and a number that makes it unique.
type Key = (Instant, u64);

#[derive(Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<Key, Waker>,
    last: u64,
}

impl Timers {
    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(key, _)| key.0)
    }

    pub(crate) fn expire(&mut self, now: Instant, to_wake: &mut Vec<Waker>) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            to_wake.push(first.remove());
        }
    }

    pub(crate) fn forget_tasks(&mut self) -> Vec<Waker> {
        mem::take(&mut self.waiting).into_values().collect()
    }
}

/// Resolves when its time has come. It counts from when it was made, and costs nothing until it is polled.
#[derive(Debug)]
pub struct Timer {
    /// `None`: later than the clock goes.
    due: Option<Instant>,
    key: Option<Key>,
}

impl Timer {
    /// A timer that is due after this time.
    pub fn new(duration: Duration) -> Self {
        Self {
            due: Instant::now().checked_add(duration),
            key: None,
        }
    }
}

/// Waits for some time.
pub fn sleep(duration: Duration) -> Timer {
    Timer::new(duration)
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else {
            return Poll::Pending;
        };
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        let core = Core::current();
        let timers = &mut *core.timers.borrow_mut();
        let key = *self.key.get_or_insert_with(|| {
            timers.last += 1;
            (due, timers.last)
        });
        match timers.waiting.get_mut(&key) {
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                timers.waiting.insert(key, context.waker().clone());
            }
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let (Some(key), Some(core)) = (self.key, Core::try_current()) else {
            return;
        };
        // Dropped when the table is let go: a waker may be the last of its task.
        let waker = core.timers.borrow_mut().waiting.remove(&key);
        drop(waker);
    }
}
