//! Keeps a core from sleeping on its work.
//!
//! glommio 0.9 goes to sleep although tasks are ready when its preemption timer, or a note from another
//! thread, fires between its look at io_uring and its first task: `run_task_queues` then tells that it ran
//! nothing, which its caller takes for "there is nothing to run" (`executor/mod.rs`, `LocalExecutor::run`). It
//! takes a thread that loses its CPU for a millisecond at that point; on a busy machine tests saw it every few
//! thousand wake-ups, and the core then slept until something else happened to it.
//!
//! A pending timer bounds that sleep. Several are needed: the one that has just fired may itself be among the
//! tasks that are slept on. While the core works, the shortest is a millisecond; a core that idles wakes up
//! some ten times a second, which costs next to nothing.

use std::{rc::Rc, time::Duration};

use crate::shard::Shard;

/// Periods while the core works.
const WORKING: [Duration; 3] = [
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(11),
];
/// Periods always.
const ALWAYS: [Duration; 2] = [Duration::from_millis(110), Duration::from_millis(1300)];

/// Starts the timers.
pub(crate) fn start(shard: &Rc<Shard>) {
    let working = WORKING.into_iter().map(|period| (period, ALWAYS[0]));
    let always = ALWAYS.into_iter().map(|period| (period, period));
    for (working, idle) in working.chain(always) {
        let beat = beat(Rc::clone(shard), working, idle);
        // Not by the wrapper that counts polls: a heart that keeps itself beating would never rest.
        if let Ok(task) = glommio::spawn_local_into(beat, shard.queues.interactive) {
            drop(task.detach());
        }
    }
}

async fn beat(shard: Rc<Shard>, working: Duration, idle: Duration) {
    let mut seen = shard.metrics.polls();
    loop {
        let polls = shard.metrics.polls();
        let period = if polls == seen { idle } else { working };
        seen = polls;
        glommio::timer::sleep(period).await;
    }
}
