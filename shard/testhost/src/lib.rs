//! A runtime in memory: it drives protocol sessions in tests against real mailboxes, with no socket, no
//! clock and one thread.
//!
//! ```text
//! test ── Client::send/expect ──► pipe ──► TestConnection ──► session ──► TestHost ──► Mailbox in a temporary folder
//! ```
//!
//! Time stands still until [`TestHost::advance`]; then read timeouts and sleeps that are due fire.

mod accounts;
mod connection;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    io,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use async_executor::LocalExecutor;
use ringpost_directory::Directory;
use ringpost_host::{
    CallError, Credentials, EnqueueError, Host, Login, LoginError, MailboxRef, Outgoing, Priority,
    QUEUED_RECIPIENTS_MAX, QueueId, Subscription,
};
use ringpost_mapi::MailboxGuid;
use ringpost_store::{Event, Mailbox, OpenOptions, StoreError};

pub use accounts::TestDirectory;
pub use connection::{Client, TestConnection};

/// Events a subscription keeps before it reports a loss.
const SUBSCRIPTION_CAPACITY: usize = 1024;

/// The runtime of a test: mailboxes, accounts, a clock that the test moves. Clones share all of it.
#[derive(Clone)]
pub struct TestHost {
    inner: Rc<Inner>,
}

struct Inner {
    mailboxes: RefCell<HashMap<MailboxGuid, Mailbox>>,
    directory: Arc<TestDirectory>,
    subscribers: RefCell<Vec<Subscriber>>,
    clock: Clock,
    stopping: Cell<bool>,
    peer: Cell<IpAddr>,
    executor: LocalExecutor<'static>,
    durable_calls: Cell<usize>,
    fail_durable_calls: Cell<bool>,
    helper_calls: Cell<usize>,
    queued: RefCell<Vec<(QueueId, Outgoing)>>,
    refuse_queueing: RefCell<Option<EnqueueError>>,
}

struct Subscriber {
    mailbox: MailboxGuid,
    queue: Rc<RefCell<EventQueue>>,
}

#[derive(Default)]
struct EventQueue {
    events: VecDeque<Event>,
    lost: bool,
    waker: Option<Waker>,
}

/// Virtual time: wakers wait for it to move.
#[derive(Default)]
pub(crate) struct Clock {
    now: Cell<Duration>,
    wakers: RefCell<Vec<Waker>>,
}

impl Clock {
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    pub(crate) fn wake_on_advance(&self, waker: &Waker) {
        self.wakers.borrow_mut().push(waker.clone());
    }
}

impl TestHost {
    /// A runtime with these accounts; their mailboxes are opened when first used.
    pub fn new(directory: TestDirectory) -> Self {
        Self {
            inner: Rc::new(Inner {
                mailboxes: RefCell::default(),
                directory: Arc::new(directory),
                subscribers: RefCell::default(),
                clock: Clock::default(),
                stopping: Cell::new(false),
                peer: Cell::new(Ipv4Addr::LOCALHOST.into()),
                executor: LocalExecutor::new(),
                durable_calls: Cell::new(0),
                fail_durable_calls: Cell::new(false),
                helper_calls: Cell::new(0),
                queued: RefCell::default(),
                refuse_queueing: RefCell::default(),
            }),
        }
    }

    /// The accounts that the host was made with.
    pub fn accounts(&self) -> &TestDirectory {
        &self.inner.directory
    }

    /// Starts a session: `serve` gets its connection; the client's end is returned. The session runs while
    /// the test awaits something inside [`Self::run`].
    pub fn connect<F, S>(&self, serve: S) -> Client
    where
        S: FnOnce(TestConnection, TestHost) -> F,
        F: Future<Output = ()> + 'static,
    {
        let (client, connection) = connection::pair(self.clone());
        self.inner
            .executor
            .spawn(serve(connection, self.clone()))
            .detach();
        client
    }

    /// Runs a test's own side, and all sessions meanwhile.
    pub fn run<T>(&self, test: impl Future<Output = T>) -> T {
        futures_lite::future::block_on(self.inner.executor.run(test))
    }

    /// Moves the clock; timeouts that are due by then fire.
    pub fn advance(&self, by: Duration) {
        self.inner.clock.now.set(self.inner.clock.now.get() + by);
        for waker in self.inner.clock.wakers.take() {
            waker.wake();
        }
    }

    /// Where clients come from, from now on; at first from this machine.
    pub fn set_peer(&self, address: IpAddr) {
        self.inner.peer.set(address);
    }

    pub(crate) fn peer(&self) -> IpAddr {
        self.inner.peer.get()
    }

    /// Tells sessions that the server stops.
    pub fn stop(&self) {
        self.inner.stopping.set(true);
        self.advance(Duration::ZERO);
    }

    /// How many calls asked for durability so far.
    pub fn durable_calls(&self) -> usize {
        self.inner.durable_calls.get()
    }

    /// From now on nothing that is asked to be durable is.
    pub fn fail_durable_calls(&self) {
        self.inner.fail_durable_calls.set(true);
    }

    /// How many pieces of work went to a helper thread so far.
    pub fn helper_calls(&self) -> usize {
        self.inner.helper_calls.get()
    }

    /// What was queued so far, in order.
    pub fn queued(&self) -> Vec<(QueueId, Outgoing)> {
        self.inner.queued.borrow().clone()
    }

    /// From now on queueing fails so; `None` lets it work again.
    pub fn refuse_queueing(&self, error: Option<EnqueueError>) {
        self.inner.refuse_queueing.replace(error);
    }

    /// Closes every mailbox, as a restart would.
    pub fn close_mailboxes(&self) {
        self.inner.mailboxes.borrow_mut().clear();
    }

    /// Works on a mailbox directly, as another session would.
    pub fn with_mailbox<R>(
        &self,
        mailbox: &MailboxRef,
        work: impl FnOnce(&mut Mailbox) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let mut open = self.inner.mailboxes.borrow_mut();
        let store = match open.entry(mailbox.guid) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let options = OpenOptions {
                    compression_level: Some(3),
                    upgrade: true,
                    ..OpenOptions::default()
                };
                entry.insert(Mailbox::open(&mailbox.path, &options)?)
            }
        };
        let answer = work(store);
        let events = store.take_events();
        drop(open);
        self.publish(mailbox.guid, &events);
        answer
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    fn publish(&self, mailbox: MailboxGuid, events: &[Event]) {
        let mut subscribers = self.inner.subscribers.borrow_mut();
        subscribers.retain(|subscriber| Rc::strong_count(&subscriber.queue) > 1);
        for subscriber in subscribers.iter().filter(|s| s.mailbox == mailbox) {
            let mut queue = subscriber.queue.borrow_mut();
            for event in events {
                if queue.events.len() < SUBSCRIPTION_CAPACITY {
                    queue.events.push_back(event.clone());
                } else {
                    queue.lost = true;
                }
            }
            if !events.is_empty()
                && let Some(waker) = queue.waker.take()
            {
                waker.wake();
            }
        }
    }
}

impl Host for TestHost {
    type Subscription = TestSubscription;

    async fn mailbox<R, W>(&self, mailbox: &MailboxRef, _: Priority, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    {
        // A call takes a turn of the executor, as in the runtime: sessions interleave here.
        futures_lite::future::yield_now().await;
        Ok(self.with_mailbox(mailbox, work)?)
    }

    async fn mailbox_durable<R, W>(
        &self,
        mailbox: &MailboxRef,
        priority: Priority,
        work: W,
    ) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    {
        self.inner.durable_calls.set(self.inner.durable_calls.get() + 1);
        let answer = self.mailbox(mailbox, priority, work).await?;
        if self.inner.fail_durable_calls.get() {
            return Err(CallError::NotDurable(Arc::new(io::Error::other(
                "as the test asked",
            ))));
        }
        Ok(answer)
    }

    async fn subscribe(&self, mailbox: &MailboxRef) -> Result<TestSubscription, CallError> {
        let queue = Rc::default();
        let subscriber = Subscriber {
            mailbox: mailbox.guid,
            queue: Rc::clone(&queue),
        };
        self.inner.subscribers.borrow_mut().push(subscriber);
        Ok(TestSubscription { queue })
    }

    async fn login(&self, credentials: Credentials) -> Result<Login, LoginError> {
        self.inner.directory.login(&credentials)
    }

    fn directory(&self) -> Arc<dyn Directory> {
        Arc::clone(&self.inner.directory) as Arc<dyn Directory>
    }

    async fn helper<R, W>(&self, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static,
    {
        self.inner.helper_calls.set(self.inner.helper_calls.get() + 1);
        Ok(work())
    }

    async fn enqueue(&self, message: Outgoing) -> Result<QueueId, EnqueueError> {
        futures_lite::future::yield_now().await;
        if let Some(error) = &*self.inner.refuse_queueing.borrow() {
            return Err(error.clone());
        }
        if message.recipients.is_empty() || message.recipients.len() > QUEUED_RECIPIENTS_MAX {
            return Err(EnqueueError::Recipients);
        }
        let mut queued = self.inner.queued.borrow_mut();
        let id = QueueId(queued.len() as u64 + 1);
        queued.push((id, message));
        Ok(id)
    }

    async fn sleep(&self, duration: Duration) {
        let clock = self.clock();
        let due = clock.now() + duration;
        poll_fn(|context| {
            if clock.now() >= due {
                return Poll::Ready(());
            }
            clock.wake_on_advance(context.waker());
            Poll::Pending
        })
        .await;
    }

    async fn stopping(&self) {
        poll_fn(|context| {
            if self.inner.stopping.get() {
                return Poll::Ready(());
            }
            self.clock().wake_on_advance(context.waker());
            Poll::Pending
        })
        .await;
    }
}

/// Events of one mailbox.
pub struct TestSubscription {
    queue: Rc<RefCell<EventQueue>>,
}

impl Subscription for TestSubscription {
    async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| {
            let ready = self.try_next();
            if ready.is_none() {
                self.queue.borrow_mut().waker = Some(context.waker().clone());
            }
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn try_next(&mut self) -> Option<Option<Event>> {
        let mut queue = self.queue.borrow_mut();
        if std::mem::take(&mut queue.lost) {
            queue.events.clear();
            return Some(None);
        }
        queue.events.pop_front().map(Some)
    }
}
