//! Start, control and stop of all cores, from a thread that is none of them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use ringpost_directory::Directory;
use ringpost_executor::{Builder, JoinHandle};
use ringpost_spool::{Spool, SpoolError};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    blocklist::RESOLVER_THREADS,
    config::{Accounts, ListenerConfig, QueueConfig, RuntimeConfig},
    helpers::{self, Helpers, Inbox},
    limits::Limits,
    mailboxes::room::DESCRIPTORS,
    queue::QueueParts,
    router::{self, Message, Wires},
    session,
    shard::{Parts, Shard},
    sys,
    tls::{AllTls, TlsError},
    waiters::within,
    watch::spawn_into,
};

/// Requests that a ring takes at once.
const RING_ENTRIES: u32 = 256;
/// Locked memory that a ring may need: before Linux 5.12 it counts as such.
const LOCKED_MEMORY: u64 = 512 * 1024;
/// Connections that wait to be accepted, a core.
const BACKLOG: i32 = 1024;
/// How long the cores have to start.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the closing of all mailboxes may take.
const CLOSE_LIMIT: Duration = Duration::from_mins(1);
/// What a core needs to answer a request of the control side, beyond what it was given.
const SLACK: Duration = Duration::from_secs(2);

/// Why the runtime could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// io_uring is forbidden or missing.
    #[error(
        "io_uring is not available ({0}). ringpost needs Linux 5.11 or newer with io_uring allowed: set \
         `sysctl kernel.io_uring_disabled=0`, and in a container allow the io_uring system calls in its \
         seccomp profile (docker: --security-opt seccomp=unconfined)"
    )]
    NoIoUring(io::Error),
    /// Too little memory may be locked.
    #[error(
        "only {0} bytes of memory may be locked, {LOCKED_MEMORY} are needed: set `LimitMEMLOCK=64M` in the \
         systemd unit, `memlock` in /etc/security/limits.conf, or `docker run --ulimit memlock=67108864`"
    )]
    LockedMemory(u64),
    /// A listener's address can't be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificates or keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener wants TLS, and there is no certificate.
    #[error("the listener on {0} needs a certificate, and none is configured")]
    NoCertificate(SocketAddr),
    /// The queue's folder.
    #[error("the queue: {0}")]
    Queue(#[from] SpoolError),
    /// The accounts can't be read.
    #[error("the directory of accounts can't be read")]
    NoDirectory,
    /// A thread ended at once.
    #[error("core {0} did not start: {1}")]
    Core(usize, String),
    /// A thread could not be made.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// All cores of this process. Dropped without [`Self::stop`], they go on until the process ends.
pub struct Runtime {
    cores: Vec<JoinHandle>,
    pub(crate) control: Arc<Control>,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    limits: Arc<Limits>,
    stop_grace: Mutex<Duration>,
    tls: Mutex<AllTls>,
    /// Dropped to end the thread that looks after the accounts.
    _refresh: Sender<()>,
}

/// The way to all cores.
pub(crate) struct Control {
    inboxes: Vec<Arc<Inbox>>,
}

impl Control {
    /// Has every core do something.
    fn broadcast(&self, mut message: impl FnMut(usize) -> Message) {
        for (id, inbox) in self.inboxes.iter().enumerate() {
            inbox.send(message(id));
        }
    }

    /// Has every core do something that takes a while; whether all of them were done in time.
    pub(crate) fn all<F>(
        &self,
        limit: Duration,
        task: impl Fn(Rc<Shard>) -> F + Clone + Send + 'static,
    ) -> bool
    where
        F: Future<Output = ()> + 'static,
    {
        let (done, finished) = mpsc::channel();
        self.broadcast(|_| {
            let (task, done) = (task.clone(), done.clone());
            Box::new(move |shard| {
                let task = task(Rc::clone(shard));
                spawn_into(shard, shard.queues.interactive, "control", async move {
                    task.await;
                    let _ = done.send(());
                });
            })
        });
        // A task that panics is noticed at once: its sender goes with it.
        drop(done);
        let deadline = Instant::now() + limit;
        self.inboxes.iter().all(|_| {
            let left = deadline.saturating_duration_since(Instant::now());
            finished.recv_timeout(left).is_ok()
        })
    }
}

impl Runtime {
    /// Starts everything; returns when all cores listen.
    pub fn start(mut config: RuntimeConfig, accounts: Arc<dyn Accounts>) -> Result<Self, StartError> {
        let locked = sys::raise_limit(libc::RLIMIT_MEMLOCK)?;
        if locked < LOCKED_MEMORY {
            return Err(StartError::LockedMemory(locked));
        }
        sys::probe_io_uring().map_err(StartError::NoIoUring)?;
        let allowed = open_files(config.open_files)?;
        config.max_connections = config.max_connections.min(for_connections(allowed));
        config.table_size = config.table_size.min(for_mailboxes(allowed));
        let cpus = sys::allowed_cpus()?;
        let count = if config.shards == 0 {
            cpus.len().max(1)
        } else {
            config.shards
        };
        let tls = AllTls::load(config.tls.as_ref(), &config.service_tls, &AllTls::default())?;
        if let Some(listener) = config
            .listeners
            .iter()
            .find(|listener| listener.needs_tls() && !tls.has(listener.service.name()))
        {
            return Err(StartError::NoCertificate(listener.address));
        }
        let directory = accounts.refresh(None).ok_or(StartError::NoDirectory)?;

        let mut listeners: Vec<Vec<(StdListener, Arc<ListenerConfig>)>> =
            (0..count).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for listener in &config.listeners {
            let sockets = listen(listener.address, count)?;
            addresses.push(local_address(&sockets, listener.address)?);
            let listener = Arc::new(listener.clone());
            for (core, socket) in listeners.iter_mut().zip(sockets) {
                core.push((socket, Arc::clone(&listener)));
            }
        }
        let admin_socket = config.admin.map(|address| listen(address, 1)).transpose()?;
        let admin = match (&admin_socket, config.admin) {
            (Some(sockets), Some(address)) => Some(local_address(sockets, address)?),
            _ => None,
        };
        let mut admin_socket = admin_socket.and_then(|mut sockets| sockets.pop());

        let mut queues = match &config.queue {
            Some(queue) => open_queue(queue, count)?,
            None => Vec::new(),
        };
        let config = Arc::new(config);
        let limits = Arc::new(Limits::new(&config));
        let mut cores = Vec::new();
        let mut inboxes = Vec::new();
        let mut started = Vec::new();
        for (id, (wires, listeners)) in router::wires(count).into_iter().zip(listeners).enumerate() {
            let (inbox, receiver) = Inbox::new();
            inboxes.push(Arc::clone(&inbox));
            let parts = Parts {
                id,
                count,
                config: Arc::clone(&config),
                accounts: Arc::clone(&accounts),
                directory: Arc::clone(&directory),
                tls: tls.configs()?,
                jobs: Helpers::start("helper", id, config.helpers, helpers::NICENESS)?,
                hashing: Helpers::start(
                    "password",
                    id,
                    config.helpers.div_ceil(2),
                    helpers::HASHING_NICENESS,
                )?,
                resolving: match &config.blocklist_zone {
                    Some(_) => Some(Helpers::start(
                        "resolver",
                        id,
                        RESOLVER_THREADS,
                        helpers::NICENESS,
                    )?),
                    None => None,
                },
                inbox,
                limits: Arc::clone(&limits),
                queue: (!queues.is_empty()).then(|| queues.remove(0)),
            };
            let (ready, is_ready) = mpsc::channel();
            started.push(is_ready);
            let core = Core {
                parts,
                wires,
                listeners,
                admin: admin_socket.take(),
                receiver,
                ready,
            };
            let cpu = cpus.get(id % cpus.len().max(1)).copied();
            let handle = Builder::new(&format!("shard-{id}"))
                .cpu(cpu.filter(|_| config.pin))
                .ring_entries(RING_ENTRIES)
                .poll(config.idle_poll)
                .spawn(move || core.run())
                .map_err(|error| start_error(id, error))?;
            cores.push(handle);
        }
        let deadline = Instant::now() + START_LIMIT;
        for (id, is_ready) in started.into_iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            match is_ready.recv_timeout(left) {
                Ok(()) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(StartError::Core(id, "it does not answer".to_owned()));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(match cores.swap_remove(id).join() {
                        Err(error) => start_error(id, error),
                        Ok(()) => StartError::Core(id, "it ended at once".to_owned()),
                    });
                }
            }
        }
        // Else the first who allocates does that, in the middle of a request: it takes a millisecond.
        sys::release_memory();
        let control = Arc::new(Control { inboxes });
        let refresh = refresh_accounts(
            Arc::clone(&control),
            accounts,
            directory,
            config.directory_interval,
        )?;
        Ok(Self {
            cores,
            control,
            addresses,
            admin,
            limits,
            stop_grace: Mutex::new(config.stop_grace),
            tls: Mutex::new(tls),
            _refresh: refresh,
        })
    }

    /// Where the listeners are, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.cores.len()
    }

    /// Whether every core answers in time: what a watchdog wants to know.
    pub fn is_alive(&self, limit: Duration) -> bool {
        self.control.all(limit, |_| async {})
    }

    /// Reads certificates and keys again, of all services. Connections go on with what they have; new ones get
    /// the new. On an error nothing changes.
    pub fn reload_tls(&self, config: &RuntimeConfig) -> Result<(), TlsError> {
        let mut current = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let material = AllTls::load(config.tls.as_ref(), &config.service_tls, &current)?;
        let configs = self
            .control
            .inboxes
            .iter()
            .map(|_| material.configs())
            .collect::<Result<Vec<_>, _>>()?;
        let mut configs = configs.into_iter();
        self.control.broadcast(|_| {
            let config = configs.next().unwrap_or_default();
            Box::new(move |shard| {
                shard.tls.replace(config);
            })
        });
        *current = material;
        Ok(())
    }

    /// Takes over the options of these listeners' services. Sessions go on with what they began with; new
    /// ones get the new. A service is known by its name, so all its listeners have the same options; what
    /// else a listener says (address, encryption) stays.
    pub fn reload_services(&self, listeners: &[ListenerConfig]) {
        let services = listeners
            .iter()
            .map(|listener| (listener.service.name(), Arc::clone(&listener.service)));
        let services: AHashMap<_, _> = services.collect();
        self.control.broadcast(|_| {
            let services = services.clone();
            Box::new(move |shard| {
                shard.services.replace(services);
            })
        });
    }

    /// Takes over the limits of connections (but for their numbers in all), the grace of a stop, and from when
    /// on a stall is logged. A connection that is there stays.
    pub fn reload_limits(&self, config: &RuntimeConfig) {
        self.limits.change(config);
        let stall_warning = config.stall_warning;
        self.control
            .broadcast(|_| Box::new(move |shard| shard.metrics.set_stall_warning(stall_warning)));
        *self.stop_grace.lock().unwrap_or_else(PoisonError::into_inner) = config.stop_grace;
    }

    /// Writes what every core is doing to the log.
    pub fn dump_state(&self) {
        self.control.broadcast(|_| Box::new(|shard| shard.dump_state()));
    }

    /// Stops in order: no new connections; sessions are told and have the grace; then mailboxes are closed,
    /// and the cores end. Everything acknowledged is durable already.
    pub fn stop(self) {
        let grace = *self.stop_grace.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = self.control.all(2 * grace + SLACK, move |shard| async move {
            shard.stop();
            if within(grace, shard.sessions.none_left()).await.is_none() {
                tracing::warn!(
                    "shard {}: {} sessions did not end in time",
                    shard.id,
                    shard.sessions.count()
                );
            }
            if within(grace, shard.queue_at_rest()).await.is_none() {
                tracing::warn!("shard {}: mail that is being sent did not end in time", shard.id);
            }
        });
        if !quiet {
            tracing::error!("a core does not answer");
        }
        let closed = self.control.all(CLOSE_LIMIT + SLACK, |shard| async move {
            if within(CLOSE_LIMIT, shard.close_all()).await.is_none() {
                tracing::error!("shard {}: mailboxes could not be closed in time", shard.id);
            }
        });
        self.control.broadcast(|_| Box::new(|shard| shard.end()));
        for (id, core) in self.cores.into_iter().enumerate() {
            // One that hangs must not keep the process: what it has acknowledged is on disk.
            if !(closed && quiet) {
                continue;
            }
            if let Err(error) = core.join() {
                tracing::error!("core {id} ended badly: {error}");
            }
        }
    }
}

/// What a core's thread starts with.
struct Core {
    parts: Parts,
    wires: Wires,
    listeners: Vec<(StdListener, Arc<ListenerConfig>)>,
    admin: Option<StdListener>,
    receiver: Receiver<Message>,
    ready: Sender<()>,
}

impl Core {
    async fn run(self) {
        let shard = Shard::new(self.parts);
        shard.start_router(self.wires);
        let queues = &shard.queues;
        let inbox = helpers::receive(Rc::clone(&shard), self.receiver);
        spawn_into(&shard, queues.interactive, "inbox", inbox);
        spawn_into(&shard, queues.background, "sweep", Rc::clone(&shard).sweep());
        if shard.queue.is_some() {
            let task = Rc::clone(&shard).work_on_queue();
            spawn_into(&shard, queues.delivery, "queue", task);
        }
        for (socket, config) in self.listeners {
            let task = session::accept(Rc::clone(&shard), socket, config);
            spawn_into(&shard, queues.interactive, "accept", task);
        }
        if let Some(socket) = self.admin {
            let task = crate::admin::serve(Rc::clone(&shard), socket);
            spawn_into(&shard, queues.interactive, "admin", task);
        }
        let _ = self.ready.send(());
        shard.ended().await;
    }
}

/// The queue's parts, one a core: a new segment each, and what is there by turns.
fn open_queue(config: &QueueConfig, count: usize) -> Result<Vec<QueueParts>, StartError> {
    let (spool, found) = Spool::open(&config.path)?;
    for path in found.foreign {
        tracing::error!("{}: not a segment of the queue; it is left alone", path.display());
    }
    let spool = Arc::new(spool);
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        parts.push(QueueParts {
            active: spool.create_segment()?,
            spool: Arc::clone(&spool),
            found: Vec::new(),
            memory_max: config.memory_max / count as u64,
        });
    }
    spool.sync_folder()?;
    for (number, (segment, replayed)) in found.segments.into_iter().enumerate() {
        if replayed.torn != 0 {
            tracing::warn!(
                "{}: {} bytes that nobody was promised are cut off",
                segment.path().display(),
                replayed.torn
            );
        }
        parts[number % count].found.push((segment, replayed));
    }
    Ok(parts)
}

/// A socket a core for one address: the kernel spreads connections over them.
fn listen(address: SocketAddr, count: usize) -> Result<Vec<StdListener>, StartError> {
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    // Sockets of this server may share a port; with another server that would take half of its clients.
    bind(address, false).map_err(|source| StartError::Listen { address, source })?;
    for _ in 0..count {
        let socket = listen_once(address).map_err(|source| StartError::Listen { address, source })?;
        if address.port() == 0 {
            address = socket
                .local_addr()
                .map_err(|source| StartError::Listen { address, source })?;
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

fn listen_once(address: SocketAddr) -> io::Result<StdListener> {
    let socket = bind(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// `[::]` takes IPv4 too, whatever the system's default; and it is all of IPv4 where there is no IPv6.
fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    let any = address.is_ipv6() && address.ip().is_unspecified();
    let socket = match socket {
        Err(error) if any && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            return bind((Ipv4Addr::UNSPECIFIED, address.port()).into(), shared);
        }
        socket => socket?,
    };
    if any {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_address(sockets: &[StdListener], address: SocketAddr) -> Result<SocketAddr, StartError> {
    match sockets.first().map(StdListener::local_addr) {
        Some(Ok(address)) => Ok(address),
        Some(Err(source)) => Err(StartError::Listen { address, source }),
        None => Ok(address),
    }
}

fn start_error(core: usize, error: io::Error) -> StartError {
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM | libc::EACCES) => StartError::NoIoUring(error),
        Some(libc::ENOMEM) => StartError::LockedMemory(0),
        _ => StartError::Core(core, error.to_string()),
    }
}

/// `daemons_fd_limit`
fn open_files(wanted: u64) -> io::Result<u64> {
    let allowed = sys::raise_limit(libc::RLIMIT_NOFILE)?;
    if allowed < wanted {
        tracing::warn!(
            "daemons_fd_limit={wanted}, and only {allowed} open files are allowed: set LimitNOFILE={wanted} in \
             the systemd unit, or nofile in /etc/security/limits.conf"
        );
    }
    Ok(allowed)
}

/// How many of these open files connections may take: eleven twentieths. Mailboxes have eight, and one is left for
/// content, the queue, logs.
fn for_connections(open_files: u64) -> usize {
    usize::try_from(open_files / 20 * 11).unwrap_or(usize::MAX)
}

/// How many mailboxes may be open with so many open files: two fifths are for them.
fn for_mailboxes(open_files: u64) -> usize {
    usize::try_from(open_files / 5 * 2 / DESCRIPTORS).unwrap_or(usize::MAX)
}

/// Looks for changed accounts now and then, on a thread of its own, and tells all cores.
fn refresh_accounts(
    control: Arc<Control>,
    accounts: Arc<dyn Accounts>,
    directory: Arc<dyn Directory>,
    interval: Duration,
) -> io::Result<Sender<()>> {
    let (end, ended) = mpsc::channel();
    let mut seen = directory;
    thread::Builder::new()
        .name("accounts".to_owned())
        .spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(interval) {
                if let Some(directory) = accounts.refresh(Some(&seen)) {
                    seen = Arc::clone(&directory);
                    control.broadcast(|_| {
                        let directory = Arc::clone(&directory);
                        Box::new(move |shard| {
                            shard.directory.replace(directory);
                        })
                    });
                }
            }
        })?;
    Ok(end)
}
