//! Where a thread is in its run.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use crate::{
    engine::{Gate, TaskId},
    pace::Span,
    session::Local,
};

/// Connections of a thread that log in at once before the load begins: servers limit those that have not.
const PREPARING_AT_ONCE: u32 = 64;
/// After the last delivery, notifications may come this late.
const NOTIFICATION_GRACE: Duration = Duration::from_secs(10);
/// How often a thread with listeners looks whether the load is over.
const END_CHECK: Duration = Duration::from_millis(20);

/// Where a thread is in its run.
pub(super) struct Phase {
    /// Lets connections log in, before the load begins.
    pub(super) entrance: Gate,
    /// Connections that are not ready yet.
    pub(super) preparing: Cell<u64>,
    pub(super) failure: RefCell<Option<String>>,
    pub(super) span: Cell<Option<Span>>,
    /// Tasks that wait for the start.
    pub(super) waiting: RefCell<Vec<TaskId>>,
    /// Connections that still load.
    pub(super) active: Cell<u64>,
    /// Does any connection listen?
    pub(super) listening: Cell<bool>,
}

impl Phase {
    pub(super) fn new() -> Self {
        Self {
            entrance: Gate::new(PREPARING_AT_ONCE),
            preparing: Cell::new(0),
            failure: RefCell::default(),
            span: Cell::new(None),
            waiting: RefCell::default(),
            active: Cell::new(0),
            listening: Cell::new(false),
        }
    }

    /// One more connection is ready; the last one ends the preparation.
    pub(super) fn prepared(&self, local: &Local) {
        self.preparing.set(self.preparing.get() - 1);
        if self.preparing.get() == 0 {
            local.reactor.stop();
        }
    }

    pub(super) fn fail(&self, local: &Local, failure: String) {
        self.failure.replace(Some(failure));
        local.reactor.stop();
    }

    pub(super) async fn started(&self, local: &Local) -> Span {
        self.waiting.borrow_mut().push(local.reactor.current_task());
        std::future::poll_fn(|_| {
            self.span
                .get()
                .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    pub(super) fn begin(&self, span: Span, local: &Local) {
        self.span.set(Some(span));
        for task in self.waiting.take() {
            local.reactor.wake(task);
        }
    }

    /// Waits until nobody loads any more and what was sent has been heard of.
    pub(super) async fn end_when_all_is_heard(&self, local: &Local, span: Span) {
        let mut give_up = None;
        loop {
            let now = Instant::now();
            let over = self.active.get() == 0 && span.end.is_none_or(|end| now >= end);
            if over {
                let give_up = *give_up.get_or_insert(now + NOTIFICATION_GRACE);
                if local.board.outstanding() == 0 || now >= give_up {
                    return local.reactor.stop();
                }
            }
            local.reactor.sleep_until(now + END_CHECK).await;
        }
    }
}
