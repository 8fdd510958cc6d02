//! The wrapper around every task: it counts how long a poll holds the core, and contains panics.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use ringpost_executor::{Account, TaskQueue};

use crate::shard::Shard;

/// Starts a task in a queue. A panic in it ends the task, not the core.
pub(crate) fn spawn_into(
    shard: &Rc<Shard>,
    queue: TaskQueue,
    name: &'static str,
    future: impl Future<Output = ()> + 'static,
) {
    spawn_for(shard, queue, Account::default(), name, future);
}

/// The same; the task's time is charged to `account`.
pub(crate) fn spawn_for(
    shard: &Rc<Shard>,
    queue: TaskQueue,
    account: Account,
    name: &'static str,
    future: impl Future<Output = ()> + 'static,
) {
    let task = watched(Rc::clone(shard), name, future);
    ringpost_executor::spawn_local_for(task, queue, account).detach();
}

async fn watched(shard: Rc<Shard>, name: &'static str, future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let result = std::future::poll_fn(|context| poll_watched(&shard, name, future.as_mut(), context)).await;
    if let Err(panic) = result {
        shard.metrics.panics.increment();
        tracing::error!(target: "ringpost", "a {name} task panicked: {}", panic_text(&*panic));
    }
}

fn poll_watched(
    shard: &Shard,
    name: &'static str,
    future: Pin<&mut impl Future<Output = ()>>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Box<dyn Any + Send>>> {
    let start = Instant::now();
    shard.poll_began.set(start);
    // A task that panicked is never polled again, so nobody sees what it left half done; what it shares
    // with others (the shard's tables) is borrowed only for single steps.
    let result = catch_unwind(AssertUnwindSafe(|| future.poll(context)));
    let held = start.elapsed();
    shard.metrics.record_stall(held);
    // Nothing should hold a core for more than a few milliseconds.
    if held > shard.metrics.stall_warning() {
        tracing::warn!(
            "a {name} task held shard {} for {} ms",
            shard.id,
            held.as_millis()
        );
    }
    match result {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
