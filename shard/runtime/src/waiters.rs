//! Wakers of tasks that wait for a condition of their own core, without leaving stale ones behind.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use ringpost_executor::timer::Timer;
use slab::Slab;

/// Tasks that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    wakers: RefCell<Slab<Waker>>,
}

impl Waiters {
    /// Wakes everyone; each looks at its condition again.
    pub(crate) fn wake_all(&self) {
        for waker in self.wakers.borrow().iter().map(|(_, waker)| waker) {
            waker.wake_by_ref();
        }
    }

    /// Resolves when `ready` gives something; looked at first and after each [`Self::wake_all`].
    pub(crate) fn wait<T, F>(&self, ready: F) -> Wait<'_, F>
    where
        F: FnMut() -> Option<T> + Unpin,
    {
        Wait {
            waiters: self,
            ready,
            key: None,
        }
    }
}

/// See [`Waiters::wait`].
pub(crate) struct Wait<'a, F> {
    waiters: &'a Waiters,
    ready: F,
    key: Option<usize>,
}

impl<T, F: FnMut() -> Option<T> + Unpin> Future for Wait<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = (self.ready)() {
            return Poll::Ready(value);
        }
        let mut wakers = self.waiters.wakers.borrow_mut();
        if let Some(key) = self.key {
            wakers[key].clone_from(context.waker());
        } else {
            let key = wakers.insert(context.waker().clone());
            drop(wakers);
            self.key = Some(key);
        }
        Poll::Pending
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.waiters.wakers.borrow_mut().remove(key);
        }
    }
}

/// Waits for `future`, at most so long. `None`: the time is over.
///
/// The timer is made only when the future has to wait.
pub(crate) async fn within<T>(limit: std::time::Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut timer: Option<Timer> = None;
    std::future::poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        let timer = timer.get_or_insert_with(|| Timer::new(limit));
        Pin::new(timer).poll(context).map(|()| None)
    })
    .await
}
