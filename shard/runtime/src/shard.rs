//! One core's state, and the tasks that every core runs.

use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    mem::ManuallyDrop,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use ringpost_directory::Directory;
use ringpost_executor::{TaskQueue, sync::Semaphore};
use ringpost_host::Priority;
use ringpost_mapi::MailboxGuid;
use ringpost_vfs::coroutine::StackPool;
use rustls::ClientConfig;

use crate::{
    blocklist::Blocklist,
    config::{Accounts, RuntimeConfig},
    events::Events,
    helpers::{Helpers, Inbox, Jobs},
    host::ShardHost,
    limits::Limits,
    logins::Logins,
    mailboxes::Mailboxes,
    metrics::Metrics,
    operation::MAX_OPERATIONS,
    queue::{QueueParts, QueueStore},
    router::Router,
    seldom::Seldom,
    session::BoxedService,
    spare::Spare,
    sys,
    tls::TlsConfigs,
    unproven::Unproven,
    waiters::Waiters,
};

/// Shares of a busy core: clients, deliveries, maintenance.
const SHARES: [u32; 3] = [1000, 500, 100];
/// How often unused mailboxes are looked for, at least and at most.
const SWEEP: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

thread_local! {
    /// Never dropped: what a shard holds must not be taken apart outside of its executor.
    static CURRENT: OnceCell<ManuallyDrop<Rc<Shard>>> = const { OnceCell::new() };
}

/// The shard of this thread, if it is a core.
pub(crate) fn current() -> Option<Rc<Shard>> {
    let shard = CURRENT.try_with(|shard| shard.get().map(|shard| Rc::clone(shard)));
    shard.ok().flatten()
}

/// One core.
pub(crate) struct Shard {
    pub(crate) id: usize,
    pub(crate) count: usize,
    pub(crate) config: Arc<RuntimeConfig>,
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) directory: RefCell<Arc<dyn Directory>>,
    pub(crate) tls: RefCell<TlsConfigs>,
    /// Services with options newer than the listeners', by their names.
    pub(crate) services: RefCell<AHashMap<&'static str, Arc<dyn BoxedService>>>,
    pub(crate) queues: Queues,
    pub(crate) router: Router,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) events: Events,
    pub(crate) stacks: StackPool,
    pub(crate) operations: Rc<Semaphore>,
    /// When the task that runs was given the core.
    pub(crate) poll_began: Cell<Instant>,
    pub(crate) helpers: Helpers,
    pub(crate) logins: Logins,
    pub(crate) blocklist: Blocklist,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) sessions: Sessions,
    pub(crate) unproven: Unproven,
    /// Of connections that are refused.
    pub(crate) refusals: Seldom,
    /// To refuse connections with, when there are no descriptors.
    pub(crate) spare: Spare,
    pub(crate) metrics: Metrics,
    pub(crate) queue: Option<Rc<QueueStore>>,
    pub(crate) client_tls_any: OnceCell<Arc<ClientConfig>>,
    pub(crate) client_tls_verified: OnceCell<Arc<ClientConfig>>,
    /// The queue's worker has ended, or never began.
    worker_ended: Cell<bool>,
    /// No more work on mailboxes is taken.
    pub(crate) closing: Cell<bool>,
    stopping: Cell<bool>,
    ended: Cell<bool>,
    stop_waiters: Waiters,
}

/// What [`Shard::new`] needs from outside.
pub(crate) struct Parts {
    pub(crate) id: usize,
    pub(crate) count: usize,
    pub(crate) config: Arc<RuntimeConfig>,
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) tls: TlsConfigs,
    pub(crate) jobs: Jobs,
    /// To the threads that hash passwords.
    pub(crate) hashing: Jobs,
    /// To the threads that ask DNS, where something is to be asked.
    pub(crate) resolving: Option<Jobs>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) queue: Option<QueueParts>,
}

impl Shard {
    /// The shard of this thread, inside its executor.
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        let mailboxes = Mailboxes::new(&parts.config, parts.count);
        let queue = parts.queue.and_then(|parts| {
            let store = QueueStore::new(parts);
            store
                .inspect_err(|error| tracing::error!("the queue can't be used: {error}"))
                .ok()
        });
        let shard = Rc::new(Self {
            worker_ended: Cell::new(true),
            queue: queue.map(Rc::new),
            client_tls_any: OnceCell::new(),
            client_tls_verified: OnceCell::new(),
            id: parts.id,
            count: parts.count,
            config: parts.config,
            accounts: parts.accounts,
            directory: RefCell::new(parts.directory),
            tls: RefCell::new(parts.tls),
            services: RefCell::default(),
            queues: Queues::create(),
            router: Router::new(parts.count),
            mailboxes,
            events: Events::default(),
            stacks: StackPool::default(),
            operations: Semaphore::new(MAX_OPERATIONS),
            poll_began: Cell::new(Instant::now()),
            helpers: Helpers::new(parts.jobs),
            logins: Logins::new(Helpers::new(parts.hashing)),
            blocklist: Blocklist::new(parts.resolving),
            inbox: parts.inbox,
            limits: parts.limits,
            sessions: Sessions::default(),
            unproven: Unproven::default(),
            refusals: Seldom::default(),
            spare: Spare::new(),
            metrics: Metrics::default(),
            closing: Cell::new(false),
            stopping: Cell::new(false),
            ended: Cell::new(false),
            stop_waiters: Waiters::default(),
        });
        shard.metrics.set_stall_warning(shard.config.stall_warning);
        // Every service is shown from the start, also one that nobody has used yet.
        for listener in &shard.config.listeners {
            shard.metrics.service(listener.service.name(), |_| ());
        }
        CURRENT.with(|current| {
            current.get_or_init(|| ManuallyDrop::new(Rc::clone(&shard)));
        });
        shard
    }

    /// The core that owns a mailbox.
    pub(crate) fn owner_of(&self, guid: MailboxGuid) -> usize {
        shard_of(guid, self.count)
    }

    /// See [`Unproven::displace`].
    pub(crate) fn displace(&self, service: Option<&'static str>, for_known: bool) -> bool {
        let made_room = self.unproven.displace(service, for_known);
        if made_room {
            self.metrics.displaced.increment();
        }
        made_room
    }

    /// The sessions are told to end, and the listeners close.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.stop_waiters.wake_all();
    }

    /// Resolves when the stop has begun.
    pub(crate) async fn stopping(&self) {
        self.stop_waiters.wait(|| self.stopping.get().then_some(())).await;
    }

    /// Runs the queue's worker to its end.
    pub(crate) async fn work_on_queue(self: Rc<Self>) {
        let Some(config) = &self.config.queue else { return };
        self.worker_ended.set(false);
        // Told also when the worker panics.
        let _ended = WorkerEnded(Rc::clone(&self));
        config.worker.run(ShardHost::new(Rc::clone(&self))).await;
    }

    /// Resolves when the queue's worker has ended what it had begun.
    pub(crate) async fn queue_at_rest(&self) {
        self.stop_waiters
            .wait(|| self.worker_ended.get().then_some(()))
            .await;
    }

    /// The executor may end.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.helpers.end();
        self.logins.hashing.end();
        self.blocklist.end();
        self.stop_waiters.wake_all();
    }

    /// Resolves when the executor may end.
    pub(crate) async fn ended(&self) {
        self.stop_waiters.wait(|| self.ended.get().then_some(())).await;
    }

    /// Closes unused mailboxes for ever, and gives memory back when there was work.
    pub(crate) async fn sweep(self: Rc<Self>) {
        let pause = (self.config.cache_interval / 4).clamp(SWEEP.0, SWEEP.1);
        let mut seen = 0;
        loop {
            ringpost_executor::timer::sleep(pause).await;
            self.close_unused();
            // This task is one of those that are counted.
            let polls = self.metrics.polls();
            if polls > seen + 1 {
                sys::release_memory();
            }
            seen = polls;
        }
    }
}

/// Says that the worker has ended, when dropped.
struct WorkerEnded(Rc<Shard>);

impl Drop for WorkerEnded {
    fn drop(&mut self) {
        self.0.worker_ended.set(true);
        self.0.stop_waiters.wake_all();
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The core that owns a mailbox, of `count`. The same in every process: the seed is fixed.
pub fn shard_of(guid: MailboxGuid, count: usize) -> usize {
    const SEEDS: [u64; 4] = [
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
    ];
    let state = ahash::RandomState::with_seeds(SEEDS[0], SEEDS[1], SEEDS[2], SEEDS[3]);
    (state.hash_one(guid) % count as u64) as usize
}

/// A core's task queues.
pub(crate) struct Queues {
    pub(crate) interactive: TaskQueue,
    pub(crate) delivery: TaskQueue,
    pub(crate) background: TaskQueue,
}

impl Queues {
    fn create() -> Self {
        let [interactive, delivery, background] = SHARES.map(TaskQueue::new);
        Self {
            interactive,
            delivery,
            background,
        }
    }

    pub(crate) fn of(&self, priority: Priority) -> TaskQueue {
        match priority {
            Priority::Interactive => self.interactive,
            Priority::Delivery => self.delivery,
            Priority::Background => self.background,
        }
    }
}

/// The sessions of this core.
#[derive(Default)]
pub(crate) struct Sessions {
    count: Cell<usize>,
    users: RefCell<AHashMap<MailboxGuid, usize>>,
    none: Waiters,
}

/// A session that is counted, until dropped.
pub(crate) struct Counted {
    shard: Rc<Shard>,
    name: &'static str,
}

/// A user's session that is counted, until dropped.
pub(crate) struct CountedUser {
    shard: Rc<Shard>,
    guid: MailboxGuid,
}

impl Sessions {
    pub(crate) fn enter(&self, shard: &Rc<Shard>, name: &'static str) -> Counted {
        self.count.set(self.count.get() + 1);
        shard.metrics.service(name, |service| service.open += 1);
        Counted {
            shard: Rc::clone(shard),
            name,
        }
    }

    /// `None`: the user has too many sessions.
    pub(crate) fn enter_user(&self, shard: &Rc<Shard>, guid: MailboxGuid) -> Option<CountedUser> {
        let mut users = self.users.borrow_mut();
        let count = users.entry(guid).or_default();
        let max = shard.limits.max_per_user();
        if max != 0 && *count >= max {
            return None;
        }
        *count += 1;
        Some(CountedUser {
            shard: Rc::clone(shard),
            guid,
        })
    }

    /// Open connections.
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// Resolves when no session is left.
    pub(crate) async fn none_left(&self) {
        self.none.wait(|| (self.count.get() == 0).then_some(())).await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let sessions = &self.shard.sessions;
        sessions.count.set(sessions.count.get() - 1);
        self.shard.metrics.service(self.name, |service| service.open -= 1);
        if sessions.count.get() == 0 {
            sessions.none.wake_all();
        }
    }
}

impl Drop for CountedUser {
    fn drop(&mut self) {
        let mut users = self.shard.sessions.users.borrow_mut();
        if let Some(count) = users.get_mut(&self.guid) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.guid);
            }
        }
    }
}
