//! A core's executor: a thread, pinned, with one io_uring.
//!
//! ```text
//! turn:  run tasks until none is ready, or TURN is over
//!        one io_uring_enter: submit what the tasks asked for, wait if there is nothing to do, collect
//!        wake tasks: completions, timers, other threads
//! ```
//!
//! What it does and nothing more: tasks in queues with shares ([`queue`]), timers ([`timer`]), readiness of
//! sockets ([`net`]), reads and syncs of files ([`file`]), semaphores ([`sync`]) and queues between executors
//! ([`channel`]). A turn costs one system call however many operations it submits and collects, and none when
//! there are none; a task switch none. An executor with nothing to do looks for work in memory for some microseconds,
//! where that has paid of late ([`polling`], [`Builder::poll`]), then sleeps in that call; another thread that has
//! something for it writes to an eventfd while it sleeps, and only then.
//!
//! A task belongs to its executor's thread and never leaves it. Its waker may go anywhere.

pub mod channel;
mod core;
pub mod file;
pub mod net;
mod polling;
mod queue;
mod remote;
mod ring;
pub mod sync;
mod sys;
pub mod timer;

use std::{future::Future, io, pin::Pin, task::Poll, thread, time::Duration};

pub use polling::Polled;
pub use queue::{Account, TaskQueue};

use crate::core::Core;

/// How an executor is made.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    cpu: Option<usize>,
    ring_entries: u32,
    poll: Duration,
}

/// A running executor's thread.
#[derive(Debug)]
pub struct JoinHandle(thread::JoinHandle<()>);

impl Builder {
    /// An executor whose thread has this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cpu: None,
            ring_entries: 256,
            poll: Duration::ZERO,
        }
    }

    /// Binds the thread to a CPU, and with it the kernel's workers that sync and read for it: they run while it
    /// waits, and nobody has to wake another CPU. Threads that it starts later inherit that.
    #[must_use]
    pub fn cpu(mut self, cpu: Option<usize>) -> Self {
        self.cpu = cpu;
        self
    }

    /// Requests that one system call can take; more than that take several.
    #[must_use]
    pub fn ring_entries(mut self, entries: u32) -> Self {
        self.ring_entries = entries;
        self
    }

    /// An executor that has nothing to do may look for work for so long before it sleeps, when its waits have been
    /// shorter than that of late. Zero, the default: it sleeps at once.
    #[must_use]
    pub fn poll(mut self, most: Duration) -> Self {
        self.poll = most;
        self
    }

    /// Starts the thread; it runs until the future that `main` makes is done, and then drops all tasks.
    /// Fails when there is no ring or no thread to be had.
    pub fn spawn<F>(self, main: impl FnOnce() -> F + Send + 'static) -> io::Result<JoinHandle>
    where
        F: Future<Output = ()> + 'static,
    {
        let (made, is_made) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name(self.name).spawn(move || {
            let begun = match self.cpu {
                Some(cpu) => sys::pin(cpu),
                None => Ok(()),
            };
            // The ring must be made by the thread that uses it.
            let core = begun.and_then(|()| Core::enter(self.ring_entries, self.cpu, self.poll));
            match core {
                Ok(core) => {
                    let _ = made.send(Ok(()));
                    core.run(main());
                }
                Err(error) => {
                    let _ = made.send(Err(error));
                }
            }
        })?;
        is_made
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))?;
        Ok(JoinHandle(thread))
    }
}

impl JoinHandle {
    /// Waits for the end. An error: the thread panicked.
    pub fn join(self) -> io::Result<()> {
        self.0
            .join()
            .map_err(|_| io::Error::other("the executor's thread panicked"))
    }
}

/// A task that somebody may wait for. Dropped, the task is cancelled; see [`Self::detach`].
#[derive(Debug)]
pub struct Task<T>(async_task::Task<T, Account>);

impl<T> Task<T> {
    /// Lets the task go on by itself.
    pub fn detach(self) {
        self.0.detach();
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// Starts a task in the queue of the running one.
///
/// # Panics
/// Outside of an executor.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    let core = Core::current();
    let queue = core.running_queue();
    Task(core.spawn(future, queue, Account::default()))
}

/// Starts a task in a queue.
///
/// # Panics
/// Outside of an executor.
pub fn spawn_local_into<T: 'static>(future: impl Future<Output = T> + 'static, queue: TaskQueue) -> Task<T> {
    spawn_local_for(future, queue, Account::default())
}

/// Starts a task in a queue; its time is charged to `account`.
///
/// # Panics
/// Outside of an executor.
pub fn spawn_local_for<T: 'static>(
    future: impl Future<Output = T> + 'static,
    queue: TaskQueue,
    account: Account,
) -> Task<T> {
    Task(Core::current().spawn(future, queue, account))
}

/// Lets other tasks that are ready have their turn, those first that had less time; and the ring be looked at when it
/// is due.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What polling came to on this executor, since its start.
///
/// # Panics
/// Outside of an executor.
pub fn polled() -> Polled {
    Core::current().polled()
}

#[cfg(test)]
mod tests;
