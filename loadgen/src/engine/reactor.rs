//! Tasks, timers and readiness of one thread.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    future::{Future, poll_fn},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

use crate::process::Processors;

/// Sockets reported by one `epoll_pwait2`.
const EVENTS_A_WAIT: usize = 1024;
/// How often sockets are searched for requests that wait too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Connections of one thread that may be on their way at once: more would overflow a server's accept queue, and
/// a dropped SYN is a second lost.
const CONNECTING_AT_ONCE: u32 = 64;

/// How long a thread looks for the next answer before it sleeps, where it has one connection: to wake a thread costs some
/// 25 µs on a virtual machine, its own time and that of the server that sends. Long enough that a server which takes
/// its time over an answer is not the one that pays.
const LOOK_TIME: Duration = Duration::from_micros(250);
/// How much of it does not let others have the processor.
const LOOK_ALONE_TIME: Duration = Duration::from_micros(40);
/// Waits that are slept through before it looks again, once nothing came in that time.
const LOOKS_LEFT_OUT: u32 = 4;

/// A task's place in its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(u32);

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// What a socket's task must know: set by the executor, cleared by the stream when the kernel says "not now".
pub(crate) struct Readiness {
    pub(crate) readable: Cell<bool>,
    pub(crate) writable: Cell<bool>,
    /// The other side has closed: its end was announced together with its last bytes, and won't be again.
    pub(crate) ended: Cell<bool>,
    /// Set when the request under way has waited past its deadline.
    pub(crate) expired: Cell<bool>,
    /// When the request under way is given up.
    pub(crate) deadline: Cell<Option<Instant>>,
    task: TaskId,
    slot: u32,
}

/// What tasks ask of their thread.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    sockets: RefCell<Sockets>,
    timers: RefCell<BinaryHeap<Reverse<(Instant, TaskId)>>>,
    ready: RefCell<VecDeque<TaskId>>,
    current: Cell<TaskId>,
    connecting: Gate,
    stopped: Cell<bool>,
    processors: RefCell<Processors>,
}

#[derive(Default)]
struct Sockets {
    slots: Vec<Option<Rc<Readiness>>>,
    free: Vec<u32>,
}

impl Sockets {
    fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Reactor {
    fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sockets: RefCell::default(),
            timers: RefCell::default(),
            ready: RefCell::default(),
            current: Cell::new(TaskId(0)),
            connecting: Gate::new(CONNECTING_AT_ONCE),
            stopped: Cell::new(false),
            processors: RefCell::new(Processors::new()),
        })
    }

    /// Watches `socket` on behalf of the task that runs now.
    pub(crate) fn register(&self, socket: impl AsFd) -> io::Result<Rc<Readiness>> {
        let mut sockets = self.sockets.borrow_mut();
        let slot = sockets.free.pop().unwrap_or_else(|| {
            sockets.slots.push(None);
            sockets.slots.len() as u32 - 1
        });
        let readiness = Rc::new(Readiness {
            readable: Cell::new(false),
            writable: Cell::new(false),
            ended: Cell::new(false),
            expired: Cell::new(false),
            deadline: Cell::new(None),
            task: self.current.get(),
            slot,
        });
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, socket, epoll::EventData::new_u64(slot.into()), flags) {
            sockets.free.push(slot);
            return Err(error.into());
        }
        sockets.slots[slot as usize] = Some(readiness.clone());
        Ok(readiness)
    }

    /// Forgets a socket that is about to be closed.
    pub(crate) fn forget(&self, readiness: &Readiness) {
        let mut sockets = self.sockets.borrow_mut();
        sockets.slots[readiness.slot as usize] = None;
        sockets.free.push(readiness.slot);
    }

    /// Suspends the task until `due`.
    pub(crate) async fn sleep_until(&self, due: Instant) {
        if Instant::now() >= due {
            return;
        }
        self.timers.borrow_mut().push(Reverse((due, self.current.get())));
        poll_fn(|_| {
            if Instant::now() >= due {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// What `future` comes to, or nothing if `due` comes first.
    pub(crate) async fn until<F: Future>(&self, due: Instant, future: F) -> Option<F::Output> {
        self.timers.borrow_mut().push(Reverse((due, self.current.get())));
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if Instant::now() >= due => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Waits for one of the places to connect; `connected` gives it back.
    pub(crate) async fn may_connect(&self) {
        self.connecting.enter(self).await;
    }

    /// Gives a place to connect back.
    pub(crate) fn connected(&self) {
        self.connecting.leave(self);
    }

    /// The task that runs now.
    pub(crate) fn current_task(&self) -> TaskId {
        self.current.get()
    }

    /// Polls `task` soon.
    pub(crate) fn wake(&self, task: TaskId) {
        self.ready.borrow_mut().push_back(task);
    }

    /// Whether this thread has one connection and nobody else to serve: it looks for the answers.
    pub(crate) fn has_one_connection(&self) -> bool {
        self.sockets.borrow().open() == 1
    }

    /// Keeps this thread off the processor that an answer came from.
    pub(crate) fn keep_off(&self, processor: usize) {
        self.processors.borrow_mut().keep_off(processor);
    }

    /// Ends the executor's loop, whatever its tasks wait for.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
    }

    fn expire_requests(&self, now: Instant) {
        for readiness in self.sockets.borrow().slots.iter().flatten() {
            if readiness.deadline.get().is_some_and(|deadline| deadline <= now) {
                readiness.deadline.set(None);
                readiness.expired.set(true);
                self.ready.borrow_mut().push_back(readiness.task);
            }
        }
    }
}

/// Lets so many tasks of a thread in at once.
pub(crate) struct Gate {
    free: Cell<u32>,
    waiting: RefCell<VecDeque<TaskId>>,
}

impl Gate {
    pub(crate) fn new(places: u32) -> Self {
        Self {
            free: Cell::new(places),
            waiting: RefCell::default(),
        }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self, reactor: &Reactor) {
        poll_fn(|_| {
            if self.free.get() > 0 {
                self.free.set(self.free.get() - 1);
                return Poll::Ready(());
            }
            // A task at the gate waits for nothing else, so it is polled when `leave` took it from the queue; another
            // may have been quicker all the same.
            self.waiting.borrow_mut().push_back(reactor.current.get());
            Poll::Pending
        })
        .await;
    }

    /// Gives a place back, and wakes who waits for one.
    pub(crate) fn leave(&self, reactor: &Reactor) {
        self.free.set(self.free.get() + 1);
        if let Some(task) = self.waiting.borrow_mut().pop_front() {
            reactor.wake(task);
        }
    }
}

/// The tasks of one thread and the loop that polls them.
pub(crate) struct Executor {
    reactor: Rc<Reactor>,
    tasks: Vec<Option<Task>>,
    running: usize,
    /// Waits to sleep through before the next look.
    without_looking: u32,
}

impl Executor {
    /// An executor without tasks.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            reactor: Rc::new(Reactor::new()?),
            tasks: Vec::new(),
            running: 0,
            without_looking: 0,
        })
    }

    /// What the tasks of this executor ask for sockets and time.
    pub(crate) fn reactor(&self) -> Rc<Reactor> {
        self.reactor.clone()
    }

    /// Adds a task; it is first polled by `run`.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.reactor
            .ready
            .borrow_mut()
            .push_back(TaskId(self.tasks.len() as u32));
        self.tasks.push(Some(Box::pin(task)));
        self.running += 1;
    }

    /// Polls tasks until all are done or `Reactor::stop` was called; may be called again.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_A_WAIT);
        let mut next_sweep = Instant::now() + SWEEP_INTERVAL;
        loop {
            self.poll_ready_tasks();
            if self.running == 0 || self.reactor.stopped.take() {
                return Ok(());
            }
            let timeout = self.until_next_timer(next_sweep);
            if !self.look(&timeout, &mut events)? {
                self.ask(&timeout, &mut events)?;
            }
            for event in events.drain(..) {
                let (flags, data) = (event.flags, event.data);
                let socket = self.reactor.sockets.borrow().slots[data.u64() as usize].clone();
                // A socket closed by a task that ran earlier in this batch.
                let Some(socket) = socket else { continue };
                let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
                if broken || flags.contains(epoll::EventFlags::RDHUP) {
                    socket.ended.set(true);
                }
                if socket.ended.get() || flags.contains(epoll::EventFlags::IN) {
                    socket.readable.set(true);
                }
                if broken || flags.contains(epoll::EventFlags::OUT) {
                    socket.writable.set(true);
                }
                self.poll_task(socket.task);
            }
            let now = Instant::now();
            self.poll_due_timers(now);
            if now >= next_sweep {
                next_sweep = now + SWEEP_INTERVAL;
                self.reactor.expire_requests(now);
            }
        }
    }

    /// Waits until a socket has something, for so long at most. A signal ends it, too.
    fn ask(&self, timeout: &Timespec, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.reactor.epoll, room, Some(timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether the only connection has something, before its thread sleeps; whether it has. With more of them others
    /// have work to do, and the processor may be theirs.
    fn look(&mut self, timeout: &Timespec, events: &mut Vec<epoll::Event>) -> io::Result<bool> {
        const NOT_AT_ALL: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let is_short = timeout.tv_sec == 0 && timeout.tv_nsec < LOOK_TIME.as_nanos() as _;
        if is_short || !self.reactor.has_one_connection() {
            return Ok(false);
        }
        if self.without_looking > 0 {
            self.without_looking -= 1;
            return Ok(false);
        }
        let from = Instant::now();
        loop {
            self.ask(&NOT_AT_ALL, events)?;
            if !events.is_empty() {
                return Ok(true);
            }
            let looked = from.elapsed();
            if looked >= LOOK_TIME {
                self.without_looking = LOOKS_LEFT_OUT;
                return Ok(false);
            }
            // The server may be waiting for this very processor.
            if looked >= LOOK_ALONE_TIME {
                rustix::thread::sched_yield();
            }
        }
    }

    fn until_next_timer(&self, next_sweep: Instant) -> Timespec {
        let next = self
            .reactor
            .timers
            .borrow()
            .peek()
            .map_or(next_sweep, |Reverse((due, _))| next_sweep.min(*due));
        let left = next.saturating_duration_since(Instant::now());
        Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        }
    }

    fn poll_due_timers(&mut self, now: Instant) {
        loop {
            let mut timers = self.reactor.timers.borrow_mut();
            match timers.peek() {
                Some(Reverse((due, task))) if *due <= now => {
                    let task = *task;
                    timers.pop();
                    drop(timers);
                    self.poll_task(task);
                }
                _ => return,
            }
        }
    }

    fn poll_ready_tasks(&mut self) {
        loop {
            let Some(task) = self.reactor.ready.borrow_mut().pop_front() else {
                return;
            };
            self.poll_task(task);
        }
    }

    fn poll_task(&mut self, id: TaskId) {
        let Some(task) = &mut self.tasks[id.0 as usize] else {
            return;
        };
        self.reactor.current.set(id);
        if task
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
        {
            self.tasks[id.0 as usize] = None;
            self.running -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_run_in_order_of_their_time() {
        let mut executor = Executor::new().unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let began = Instant::now();
        for delay_ms in [30, 10, 20] {
            let (reactor, order) = (executor.reactor(), order.clone());
            executor.spawn(async move {
                reactor.sleep_until(began + Duration::from_millis(delay_ms)).await;
                order.borrow_mut().push(delay_ms);
            });
        }
        executor.run().unwrap();
        assert_eq!(*order.borrow(), [10, 20, 30]);
        assert!(began.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn places_to_connect_are_limited_and_handed_on() {
        let mut executor = Executor::new().unwrap();
        let most = Rc::new(Cell::new(0));
        let done = Rc::new(Cell::new(0));
        for _ in 0..3 * CONNECTING_AT_ONCE {
            let (reactor, most, done) = (executor.reactor(), most.clone(), done.clone());
            executor.spawn(async move {
                reactor.may_connect().await;
                most.set(most.get().max(CONNECTING_AT_ONCE - reactor.connecting.free.get()));
                reactor
                    .sleep_until(Instant::now() + Duration::from_millis(1))
                    .await;
                reactor.connected();
                done.set(done.get() + 1);
            });
        }
        executor.run().unwrap();
        assert_eq!(
            (most.get(), done.get()),
            (CONNECTING_AT_ONCE, 3 * CONNECTING_AT_ONCE)
        );
    }
}
