//! The executor itself.

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::Future,
    io,
    mem::ManuallyDrop,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use slab::Slab;

use crate::{
    polling::{Awaited, End, Polled, Polling},
    queue::{Account, Queues, Ready, TaskQueue},
    remote::Remote,
    ring::{Request, Ring, Told},
    timer::Timers,
};

/// After so long with tasks that are ready the ring and the timers are looked at all the same.
const TURN: Duration = Duration::from_micros(500);
/// Shares of the default queue.
const DEFAULT_SHARES: u32 = 1000;
/// A ring that refuses to work is tried again after so long.
const BROKEN_RING_PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    /// Never dropped by the thread's end: what is left then belongs to tasks.
    static CURRENT: OnceCell<ManuallyDrop<Rc<Core>>> = const { OnceCell::new() };
}

pub(crate) struct Core {
    pub(crate) queues: RefCell<Queues>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) remote: Arc<Remote>,
    /// Receivers that wait for something to come through a channel.
    pub(crate) receivers: RefCell<Slab<Waker>>,
    ring: RefCell<Option<Ring>>,
    may_poll: bool,
    polling: RefCell<Polling>,
    running: Cell<TaskQueue>,
    /// Whom the running task works for, and since when.
    served: RefCell<Option<(Account, Instant)>>,
}

impl Core {
    /// Makes this thread an executor, which polls for so long at most before it sleeps; `cpu` is the one that it is
    /// bound to.
    pub(crate) fn enter(ring_entries: u32, cpu: Option<usize>, poll_most: Duration) -> io::Result<Rc<Self>> {
        let remote = Arc::new(Remote::new()?);
        let ring = Ring::new(ring_entries, remote.sleep_fd())?;
        if let Some(cpu) = cpu {
            ring.bind_workers(cpu)?;
        }
        let core = Rc::new(Self {
            queues: RefCell::new(Queues::new(DEFAULT_SHARES)),
            timers: RefCell::default(),
            remote,
            receivers: RefCell::default(),
            ring: RefCell::new(Some(ring)),
            may_poll: !poll_most.is_zero(),
            polling: RefCell::new(Polling::new(poll_most)),
            running: Cell::new(TaskQueue::DEFAULT),
            served: RefCell::new(None),
        });
        CURRENT.with(|current| {
            current
                .set(ManuallyDrop::new(Rc::clone(&core)))
                .map_err(|_| io::Error::other("this thread is an executor already"))
        })?;
        Ok(core)
    }

    pub(crate) fn current() -> Rc<Self> {
        Self::try_current().expect("not on an executor's thread")
    }

    pub(crate) fn try_current() -> Option<Rc<Self>> {
        let current = CURRENT.try_with(|current| current.get().map(|core| Rc::clone(core)));
        current.ok().flatten()
    }

    pub(crate) fn running_queue(&self) -> TaskQueue {
        self.running.get()
    }

    pub(crate) fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
        queue: TaskQueue,
        account: Account,
    ) -> async_task::Task<T, Account> {
        let remote = Arc::clone(&self.remote);
        let schedule = move |task: Ready| {
            let task = CURRENT.try_with(|current| match current.get() {
                Some(core) if Arc::ptr_eq(&core.remote, &remote) => {
                    core.push(queue, task);
                    None
                }
                _ => Some(task),
            });
            // On a thread that is ending the task is lost in the closure; it can't be this executor's.
            if let Ok(Some(task)) = task {
                remote.wake(queue, task);
            }
        };
        let builder = async_task::Builder::new().metadata(account);
        let (task, handle) = builder.spawn_local(|_| future, schedule);
        task.schedule();
        handle
    }

    fn push(&self, queue: TaskQueue, task: Ready) {
        let running = match &*self.served.borrow() {
            Some((account, since)) if account.is(task.metadata()) => since.elapsed(),
            _ => Duration::ZERO,
        };
        self.queues.borrow_mut().push(queue, task, running);
    }

    /// Runs until `main` is done.
    pub(crate) fn run(&self, main: impl Future<Output = ()> + 'static) {
        let done = Rc::new(Cell::new(false));
        let is_done = Rc::clone(&done);
        self.spawn(
            async move {
                main.await;
                done.set(true);
            },
            TaskQueue::DEFAULT,
            Account::default(),
        )
        .detach();
        let mut to_wake = Vec::new();
        while !is_done.get() {
            self.run_tasks(&is_done);
            self.look_around(&mut to_wake, is_done.get());
        }
        self.end();
    }

    fn run_tasks(&self, is_done: &Cell<bool>) {
        let begun = Instant::now();
        let mut before = begun;
        while !is_done.get() {
            let next = self.queues.borrow_mut().pop();
            let Some((queue, task)) = next else { return };
            self.running.set(queue);
            let account = task.metadata().clone();
            self.served.replace(Some((account.clone(), before)));
            task.run();
            self.served.take();
            let now = Instant::now();
            self.queues.borrow_mut().charge(queue, &account, now - before);
            before = now;
            if now - begun > TURN {
                return;
            }
        }
    }

    /// Submits, waits where nothing is ready, and wakes whoever got something.
    fn look_around(&self, to_wake: &mut Vec<Waker>, ending: bool) {
        let turned = if ending || !self.queues.borrow().is_empty() {
            self.turn(Some(Duration::ZERO), to_wake)
        } else {
            self.wait(to_wake)
        };
        if turned.is_err() {
            // Nothing sensible is left to do but to try again, and not to burn the processor meanwhile.
            std::thread::sleep(BROKEN_RING_PAUSE);
        }
        self.timers.borrow_mut().expire(Instant::now(), to_wake);
        if self.remote.take_channels() {
            to_wake.extend(self.receivers.borrow().iter().map(|(_, waker)| waker.clone()));
        }
        // Without any table borrowed: a waker may be the last of its task.
        for waker in to_wake.drain(..) {
            waker.wake();
        }
        for (queue, task) in self.remote.take_woken() {
            self.push(queue, task);
        }
    }

    fn turn(&self, wait: Option<Duration>, to_wake: &mut Vec<Waker>) -> io::Result<()> {
        match &mut *self.ring.borrow_mut() {
            Some(ring) => ring.turn(wait, to_wake),
            None => Ok(()),
        }
    }

    /// Nothing is ready: waits for something, for a while awake where that has paid of late, then asleep.
    fn wait(&self, to_wake: &mut Vec<Waker>) -> io::Result<()> {
        let awaited = match &*self.ring.borrow() {
            Some(ring) if ring.awaits_disk() => Awaited::Disk,
            _ => Awaited::Others,
        };
        let window = self.polling.borrow_mut().window(awaited);
        if !window.is_zero() {
            // What is to be found must have been asked for.
            self.turn(Some(Duration::ZERO), to_wake)?;
            if !to_wake.is_empty() {
                return Ok(());
            }
        }
        let begun = Instant::now();
        let due = self.timers.borrow().next();
        let is_due = |now| due.is_some_and(|due| due <= now);
        let found = !window.is_zero() && self.poll(begun, window, due);
        if found {
            self.turn(Some(Duration::ZERO), to_wake)?;
        } else if self.remote.begin_sleep() {
            let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
            let turned = self.turn(wait, to_wake);
            self.remote.end_sleep();
            turned?;
        } else {
            self.turn(Some(Duration::ZERO), to_wake)?;
        }
        if !self.may_poll {
            return Ok(());
        }
        let now = Instant::now();
        let end = if to_wake.is_empty() && is_due(now) {
            End::Timer
        } else {
            End::Work
        };
        let polling = &mut *self.polling.borrow_mut();
        polling.waited(awaited, now - begun, end);
        if found {
            polling.found();
        } else if !window.is_zero() {
            polling.polled.missed += 1;
        }
        Ok(())
    }

    /// Looks for work in memory, for as long as the window is; whether there is some. No other thread pays more for
    /// bringing something than to an executor that works, see [`Remote`].
    fn poll(&self, begun: Instant, window: Duration, due: Option<Instant>) -> bool {
        let end = begun + window;
        let mut yields = Polling::YIELDS.iter().peekable();
        let mut now = begun;
        let found = loop {
            let has_news = match &mut *self.ring.borrow_mut() {
                Some(ring) => ring.has_news(),
                None => true,
            };
            if has_news || self.remote.has_news() || due.is_some_and(|due| due <= now) {
                break true;
            }
            if now >= end {
                break false;
            }
            if yields.next_if(|after| begun + **after <= now).is_some() {
                std::thread::yield_now();
                let after = Instant::now();
                if Polling::was_taken(after - now) {
                    self.polling.borrow_mut().taken();
                    break false;
                }
                now = after;
                continue;
            }
            std::hint::spin_loop();
            now = Instant::now();
        };
        self.polling.borrow_mut().polled.time += now - begun;
        found
    }

    /// What polling came to.
    pub(crate) fn polled(&self) -> Polled {
        self.polling.borrow().polled
    }

    /// Operations that the kernel has not completed, or whose results nobody took.
    #[cfg(test)]
    pub(crate) fn operations_in_flight(&self) -> usize {
        self.ring.borrow().as_ref().map_or(0, Ring::in_flight)
    }

    /// Drops all tasks, here, where they belong: those that are ready and those that only a waker of this
    /// executor keeps. A task whose waker is elsewhere stays, as does what it holds.
    fn end(&self) {
        for (queue, task) in self.remote.end() {
            self.push(queue, task);
        }
        loop {
            while let Some((_, task)) = { self.queues.borrow_mut().pop() } {
                drop(task);
            }
            let mut wakers = self.timers.borrow_mut().forget_tasks();
            wakers.extend(
                self.ring
                    .borrow_mut()
                    .as_mut()
                    .map(Ring::forget_tasks)
                    .unwrap_or_default(),
            );
            wakers.extend(self.receivers.borrow_mut().drain());
            if wakers.is_empty() {
                break;
            }
            drop(wakers);
        }
        let ring = self.ring.borrow_mut().take();
        drop(ring);
    }
}

/// An operation under way. Dropped, it is cancelled.
#[derive(Debug)]
pub(crate) struct Operation {
    key: Option<usize>,
}

impl Operation {
    pub(crate) fn start(request: &Request) -> Self {
        let core = Core::current();
        let key = core.ring.borrow_mut().as_mut().map(|ring| ring.start(request));
        Self { key }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(u32, Vec<u8>)>> {
        let Some(key) = self.key else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        let core = Core::current();
        let polled = match core.ring.borrow_mut().as_mut() {
            Some(ring) => ring.poll(key, context),
            None => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        };
        polled.map(|(result, memory)| {
            self.key = None;
            if result < 0 {
                Err(io::Error::from_raw_os_error(-result))
            } else {
                Ok((result as u32, memory))
            }
        })
    }

    /// What an operation that goes on has told. Ended, it must not be asked again.
    pub(crate) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Told> {
        self.change(|ring, key| ring.poll_change(key, context))
    }

    /// The same without waiting.
    pub(crate) fn take_change(&mut self) -> Option<Told> {
        let change = self.change(|ring, key| ring.take_change(key).map_or(Poll::Pending, Poll::Ready));
        match change {
            Poll::Ready(told) => Some(told),
            Poll::Pending => None,
        }
    }

    fn change(&mut self, ask: impl FnOnce(&mut Ring, usize) -> Poll<Told>) -> Poll<Told> {
        let over = Told {
            result: -libc::ECONNABORTED,
            ended: true,
        };
        let Some(key) = self.key else {
            return Poll::Ready(over);
        };
        let core = Core::current();
        let told = match core.ring.borrow_mut().as_mut() {
            Some(ring) => ask(ring, key),
            None => Poll::Ready(over),
        };
        if let Poll::Ready(Told { ended: true, .. }) = &told {
            self.key = None;
        }
        told
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let (Some(key), Some(core)) = (self.key.take(), Core::try_current()) else {
            return;
        };
        let waker = core.ring.borrow_mut().as_mut().and_then(|ring| ring.abandon(key));
        drop(waker);
    }
}

/// Runs an operation to its end.
pub(crate) async fn operate(request: Request) -> io::Result<(u32, Vec<u8>)> {
    let mut operation = Operation::start(&request);
    std::future::poll_fn(|context| operation.poll(context)).await
}

/// Whether this thread's ring has a table for connections.
pub(crate) fn has_table() -> bool {
    Core::try_current().is_some_and(|core| core.ring.borrow().as_ref().is_some_and(Ring::has_table))
}

/// Begins what [`crate::file::read_ahead`] asks for.
pub(crate) fn read_ahead(fd: std::os::fd::RawFd, offset: u64, length: u32) {
    if let Some(core) = Core::try_current()
        && let Some(ring) = core.ring.borrow_mut().as_mut()
    {
        ring.read_ahead(fd, offset, length);
    }
}
