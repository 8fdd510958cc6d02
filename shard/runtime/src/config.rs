//! What the runtime is started with.

use std::{future::Future, net::SocketAddr, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use ringpost_directory::Directory;
use ringpost_host::{Credentials, Login, LoginError, Service, Worker};
use ringpost_store::OpenOptions;

use crate::{
    host::ShardHost,
    session::{BoxedService, boxed},
    tls::TlsSettings,
};

/// Settings of the whole runtime.
#[derive(Clone)]
pub struct RuntimeConfig {
    /// Number of shards; 0 means one for each online CPU.
    pub shards: usize,
    /// Whether each shard is bound to a CPU of its own. Off for tests that share a machine.
    pub pin: bool,
    /// How long a core that has nothing to do may look for work before it sleeps, where that has paid of late; zero:
    /// it sleeps at once (`idle_poll_time`).
    pub idle_poll: Duration,
    /// Where clients connect.
    pub listeners: Vec<ListenerConfig>,
    /// The admin listener (`/metrics`, `/healthz`, `/readyz`), on loopback.
    pub admin: Option<SocketAddr>,
    /// The queue of mail on its way; `None`: this server takes none over.
    pub queue: Option<QueueConfig>,
    /// Certificates; `None` where no listener speaks TLS.
    pub tls: Option<TlsSettings>,
    /// Those of services, by name, that have certificates or versions of their own.
    pub service_tls: Vec<(&'static str, TlsSettings)>,
    /// Open mailboxes, in all (`table_size`); fewer where two fifths of the open files that the
    /// process may have are not enough for them.
    pub table_size: usize,
    /// Memory for open mailboxes, in all: beyond it, the longest unused are closed. Where the same mailboxes are
    /// needed again and again, up to 20 times as much. What is not counted (connections that are kept,
    /// what the allocator leaves unused) is half as much again.
    pub mailbox_memory: u64,
    /// After this time without use a mailbox is closed (`cache_interval`).
    pub cache_interval: Duration,
    /// How mailboxes are opened.
    pub open: OpenOptions,
    /// Threads for what can't be sliced, a shard.
    pub helpers: usize,
    /// Connections in all.
    pub max_connections: usize,
    /// Connections of one client address; 0 means any number.
    pub max_connections_per_address: usize,
    /// Connections that have not logged in yet, of listeners with a login timeout.
    pub max_without_login: usize,
    /// Sessions of one mailbox's user; 0 means any number.
    pub max_sessions_per_user: usize,
    /// A client that takes nothing for so long is cut, where its listener says nothing else.
    pub write_timeout: Duration,
    /// A TLS handshake and a PROXY header must arrive within this time.
    pub handshake_timeout: Duration,
    /// How long sessions may go on after the stop began.
    pub stop_grace: Duration,
    /// How often the accounts are looked at for changes.
    pub directory_interval: Duration,
    /// A WAL larger than this is written back into its database.
    pub checkpoint_bytes: u64,
    /// `dnsbl_client`: the zone of DNS that lists clients which are refused.
    pub blocklist_zone: Option<String>,
    /// A task that holds a core for longer is logged.
    pub stall_warning: Duration,
    /// The table of open files is to be so large at least; 0 takes what the system allows.
    pub open_files: u64,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            shards: 0,
            pin: true,
            idle_poll: Duration::from_micros(50),
            listeners: Vec::new(),
            admin: None,
            queue: None,
            tls: None,
            service_tls: Vec::new(),
            table_size: 5000,
            mailbox_memory: 24 * 1024 * 1024,
            cache_interval: Duration::from_mins(1),
            open: OpenOptions {
                compression_level: Some(6),
                upgrade: true,
                max_messages: 0,
            },
            helpers: 2,
            max_connections: 100_000,
            max_connections_per_address: 0,
            max_without_login: 10_000,
            max_sessions_per_user: 0,
            write_timeout: Duration::from_mins(1),
            handshake_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(10),
            directory_interval: Duration::from_secs(2),
            checkpoint_bytes: 4 * 1024 * 1024,
            blocklist_zone: None,
            stall_warning: Duration::from_millis(50),
            open_files: 0,
        }
    }
}

/// Where the queue is, and who empties it.
#[derive(Clone)]
pub struct QueueConfig {
    /// Its folder (`dequeue_path`).
    pub path: PathBuf,
    /// Contents of new messages are kept in memory for their first attempt, up to so many bytes
    /// (`dequeue_max_mem`).
    pub memory_max: u64,
    pub(crate) worker: Arc<dyn BoxedWorker>,
}

impl QueueConfig {
    /// A queue in a folder.
    pub fn new(path: PathBuf, memory_max: u64, worker: impl Worker) -> Self {
        Self {
            path,
            memory_max,
            worker: Arc::new(Boxed(Arc::new(worker))),
        }
    }
}

/// A worker without its type.
pub(crate) trait BoxedWorker: Send + Sync {
    fn run(&self, host: ShardHost) -> Pin<Box<dyn Future<Output = ()>>>;
}

struct Boxed<W>(Arc<W>);

impl<W: Worker> BoxedWorker for Boxed<W> {
    fn run(&self, host: ShardHost) -> Pin<Box<dyn Future<Output = ()>>> {
        let worker = Arc::clone(&self.0);
        Box::pin(async move { worker.run(&host).await })
    }
}

/// Where a protocol listens, and how.
#[derive(Clone)]
pub struct ListenerConfig {
    /// Port 0 takes any; [`crate::Runtime::addresses`] tells which.
    pub address: SocketAddr,
    /// What the stream begins with.
    pub security: Security,
    /// Whether every connection starts with a PROXY protocol v2 header.
    pub proxy: bool,
    /// Which queue of the core its sessions run in.
    pub class: SessionClass,
    /// How long the first stage of a session may take: connected and not logged in. `None` for protocols
    /// that do all their work in it.
    pub login_timeout: Option<Duration>,
    /// Connections that its service may have, over all of its listeners; 0 means any number.
    pub max_connections: usize,
    /// A client that takes nothing for so long is cut; else [`RuntimeConfig::write_timeout`].
    pub write_timeout: Option<Duration>,
    pub(crate) service: Arc<dyn BoxedService>,
}

impl ListenerConfig {
    /// A listener without encryption at the start, for a client that waits.
    pub fn new(address: SocketAddr, service: impl Service) -> Self {
        Self {
            address,
            security: Security::Plain,
            proxy: false,
            class: SessionClass::Interactive,
            login_timeout: None,
            max_connections: 0,
            write_timeout: None,
            service: boxed(service),
        }
    }

    /// Another listener for the same protocol.
    #[must_use]
    pub fn at(&self, address: SocketAddr, security: Security) -> Self {
        Self {
            address,
            security,
            ..self.clone()
        }
    }
}

/// What a stream begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// Plain text, with `start_tls` where certificates are configured.
    Plain,
    /// TLS at once.
    Tls,
}

/// Who waits for a listener's sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionClass {
    /// A person.
    Interactive,
    /// Another mail server.
    Delivery,
}

/// The accounts, as the runtime sees them. Called on helper threads; may block.
pub trait Accounts: Send + Sync + 'static {
    /// The accounts, when they changed since `seen`; `None` when they didn't. Called now and then.
    fn refresh(&self, seen: Option<&Arc<dyn Directory>>) -> Option<Arc<dyn Directory>>;

    /// Checks who a client is, with the user filter, the credential cache and the log lines.
    fn login(&self, credentials: &Credentials) -> LoginStep;
}

/// What is known of a login at first.
pub enum LoginStep {
    /// The answer.
    Done(Result<Login, LoginError>),
    /// A hash is needed (or another slow check), which is done on a thread for that, one after the other.
    Slow(Box<dyn FnOnce() -> Result<Login, LoginError> + Send>),
}

impl ListenerConfig {
    pub(crate) fn needs_tls(&self) -> bool {
        self.security == Security::Tls
    }
}
