//! Helper threads of a core, for what can't be sliced; and the way back to the core from any thread.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use ringpost_executor::sync::Semaphore;
use ringpost_host::CallError;

use crate::{router::Message, shard::Shard, sys, waiters::within, watch::panic_text};

/// Jobs that wait for, or are with, a core's helper threads.
const MAX_JOBS: usize = 1024;
/// After a job that took so long its memory goes back to the system when no other waits: a password hash works in
/// 19 MiB, which every thread would keep until its next one.
const LARGE: Duration = Duration::from_millis(5);
/// Where processors are scarce, the cores go first: whoever waits for a helper waits for something slow anyway.
pub(crate) const NICENESS: i32 = 5;
/// The same for hashing: a hash takes long by intention, and anybody can ask for any number of them.
pub(crate) const HASHING_NICENESS: i32 = 10;
/// How long a caller waits for room among them.
const PATIENCE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The queue to a core's helper threads.
pub(crate) struct Jobs(SyncSender<Job>);

/// A core's helper threads.
pub(crate) struct Helpers {
    jobs: RefCell<Option<SyncSender<Job>>>,
    room: Rc<Semaphore>,
}

impl Helpers {
    /// Starts the threads. Called outside of the executor: inside, they would inherit its one CPU.
    pub(crate) fn start(
        name: &'static str,
        shard: usize,
        threads: usize,
        niceness: i32,
    ) -> std::io::Result<Jobs> {
        let (jobs, receiver) = mpsc::sync_channel::<Job>(MAX_JOBS);
        // Only helper threads take this lock.
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads.max(1) {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new()
                .name(format!("{name}-{shard}-{number}"))
                .spawn(move || {
                    sys::be_nice(niceness);
                    help(&receiver);
                })?;
        }
        Ok(Jobs(jobs))
    }

    /// The core's end of the queue to them.
    pub(crate) fn new(jobs: Jobs) -> Self {
        Self {
            jobs: RefCell::new(Some(jobs.0)),
            room: Semaphore::new(MAX_JOBS),
        }
    }

    /// No threads: every job is refused.
    pub(crate) fn none() -> Self {
        Self {
            jobs: RefCell::new(None),
            room: Semaphore::new(MAX_JOBS),
        }
    }

    /// The threads end when they have done what waits.
    pub(crate) fn end(&self) {
        self.jobs.take();
    }

    /// Jobs that wait or run.
    pub(crate) fn depth(&self) -> usize {
        MAX_JOBS.saturating_sub(self.room.available())
    }
}

fn help(jobs: &Mutex<Receiver<Job>>) {
    let mut holds_memory = false;
    loop {
        // Who holds the lock waits for the next job: there is none.
        let waiting = jobs.try_lock().ok().and_then(|jobs| jobs.try_recv().ok());
        let job = waiting.or_else(|| {
            if std::mem::take(&mut holds_memory) {
                sys::release_memory();
            }
            jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
        });
        let Some(job) = job else { return };
        // A job that panics takes its reply with it; the thread goes on, as good as a new one: jobs share
        // nothing with each other.
        let begun = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
            tracing::error!("a helper's job panicked: {}", panic_text(&*panic));
        }
        holds_memory |= begun.elapsed() >= LARGE;
    }
}

impl Shard {
    /// Runs `work` on a helper thread.
    pub(crate) async fn help<R: Send + 'static>(
        self: &Rc<Self>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, CallError> {
        self.help_by(|shard| &shard.helpers, work).await
    }

    /// Runs `work` on one of these threads.
    pub(crate) async fn help_by<R: Send + 'static>(
        self: &Rc<Self>,
        helpers: fn(&Self) -> &Helpers,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, CallError> {
        let Some(permit) = within(PATIENCE, helpers(self).room.acquire()).await else {
            return Err(CallError::Unavailable);
        };
        let inbox = Arc::clone(&self.inbox);
        let answer = self
            .call(self.id, move |shard, reply| {
                let job = move || {
                    let result = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
                        tracing::error!("a helper's job panicked: {}", panic_text(&*panic));
                        CallError::Panicked
                    });
                    inbox.send(Box::new(move |shard| reply.send(shard, result)));
                };
                // Permits keep the queue from being full. A job that is refused all the same, at the very
                // end, takes its reply with it, and the caller learns that.
                if let Some(jobs) = &*helpers(shard).jobs.borrow() {
                    let _ = jobs.try_send(Box::new(job));
                }
            })
            .await;
        drop(permit);
        answer
    }
}

/// The way to a core from threads that are no cores: helpers, signals, the main thread.
pub(crate) struct Inbox {
    sender: Sender<Message>,
    waker: OnceLock<&'static Waker>,
}

impl Inbox {
    pub(crate) fn new() -> (Arc<Self>, Receiver<Message>) {
        let (sender, receiver) = mpsc::channel();
        let inbox = Self {
            sender,
            waker: OnceLock::new(),
        };
        (Arc::new(inbox), receiver)
    }

    pub(crate) fn send(&self, message: Message) {
        // Refused only when the core has ended; then nobody waits for it.
        if self.sender.send(message).is_ok()
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }
}

/// The task that does what comes in. It never ends by itself.
pub(crate) async fn receive(shard: Rc<Shard>, receiver: Receiver<Message>) {
    std::future::poll_fn::<(), _>(|context| {
        // The last reference to a task must not go on another thread: this one stays for ever.
        shard
            .inbox
            .waker
            .get_or_init(|| Box::leak(Box::new(context.waker().clone())));
        while let Ok(message) = receiver.try_recv() {
            message(&shard);
        }
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_core;

    #[test]
    fn a_job_that_panics_takes_no_thread_with_it() {
        on_core(1, |shard| async move {
            // More often than there are threads.
            for _ in 0..10 {
                let panicked = shard.help(|| -> () { panic!("on purpose") }).await;
                assert!(matches!(panicked, Err(CallError::Panicked)));
            }
            assert_eq!(shard.help(|| 7).await.unwrap(), 7);
            assert_eq!(shard.helpers.depth(), 0);
        });
    }
}
