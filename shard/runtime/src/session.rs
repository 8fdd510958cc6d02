//! A client's session from accept to its end, on one core or two.

use std::{
    collections::hash_map::RandomState,
    future::Future,
    hash::BuildHasher,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use ringpost_executor::{
    net::{TcpListener, TcpStream},
    timer,
};
use ringpost_host::{Connection, MailboxRef, Outcome, Service};

use crate::{
    config::{ListenerConfig, RuntimeConfig, Security, SessionClass},
    connection::{Detached, Ends, Profile, ShardConnection},
    host::ShardHost,
    proxy,
    shard::Shard,
    waiters::within,
    watch::spawn_into,
};

/// After an accept failed (no descriptors left), so long no other is tried.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Addresses are counted in so many places; two of them may share one.
const ADDRESS_PLACES: usize = 1 << 16;

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;
type Accepted = Pin<Box<dyn Future<Output = Next>>>;
type ServeBoxed = Box<dyn FnOnce(ShardConnection, ShardHost) -> LocalFuture + Send>;

/// A service without its types.
pub(crate) trait BoxedService: Send + Sync {
    fn name(&self) -> &'static str;
    fn busy(&self) -> &'static [u8];
    fn accept(self: Arc<Self>, connection: ShardConnection, host: ShardHost) -> Accepted;
}

/// What follows the first stage.
pub(crate) enum Next {
    Done(ShardConnection),
    HandOver {
        mailbox: MailboxRef,
        connection: ShardConnection,
        serve: ServeBoxed,
    },
}

pub(crate) fn boxed(service: impl Service) -> Arc<dyn BoxedService> {
    Arc::new(Boxed(Arc::new(service)))
}

struct Boxed<S>(Arc<S>);

impl<S: Service> BoxedService for Boxed<S> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn busy(&self) -> &'static [u8] {
        self.0.busy()
    }

    fn accept(self: Arc<Self>, mut connection: ShardConnection, host: ShardHost) -> Accepted {
        Box::pin(async move {
            let service = Arc::clone(&self.0);
            match service.accept(&mut connection, &host).await {
                Outcome::Done => Next::Done(connection),
                Outcome::HandOver { mailbox, state } => Next::HandOver {
                    mailbox,
                    connection,
                    serve: Box::new(move |mut connection, host| {
                        Box::pin(async move {
                            service.serve(&mut connection, &host, state).await;
                            connection.close().await;
                        })
                    }),
                },
            }
        })
    }
}

/// Connections of one service.
struct ServiceLimit {
    name: &'static str,
    connections: AtomicUsize,
    max: usize,
}

/// Counts that all cores share. Nothing waits for them: relaxed atomics, touched once a connection.
pub(crate) struct Limits {
    connections: AtomicUsize,
    max_connections: usize,
    /// Each service's, by name.
    services: Vec<ServiceLimit>,
    without_login: AtomicUsize,
    max_without_login: AtomicUsize,
    addresses: Box<[AtomicU32]>,
    max_per_address: AtomicUsize,
    max_per_user: AtomicUsize,
    hasher: RandomState,
}

impl Limits {
    pub(crate) fn new(config: &RuntimeConfig) -> Self {
        let max_per_address = config.max_connections_per_address;
        let places = if max_per_address == 0 { 0 } else { ADDRESS_PLACES };
        Self {
            connections: AtomicUsize::new(0),
            max_connections: config.max_connections,
            services: service_limits(&config.listeners),
            without_login: AtomicUsize::new(0),
            max_without_login: AtomicUsize::new(config.max_without_login),
            addresses: (0..places).map(|_| AtomicU32::new(0)).collect(),
            max_per_address: AtomicUsize::new(max_per_address),
            max_per_user: AtomicUsize::new(config.max_sessions_per_user),
            hasher: RandomState::new(),
        }
    }

    /// Takes over the limits that may change while connections go on. Addresses are counted only where they
    /// had a limit from the start.
    pub(crate) fn change(&self, config: &RuntimeConfig) {
        self.max_without_login.store(config.max_without_login, Relaxed);
        self.max_per_address
            .store(config.max_connections_per_address, Relaxed);
        self.max_per_user.store(config.max_sessions_per_user, Relaxed);
    }

    /// Sessions that one user may have; 0 means any number.
    pub(crate) fn max_per_user(&self) -> usize {
        self.max_per_user.load(Relaxed)
    }

    fn place(&self, address: IpAddr) -> Option<&AtomicU32> {
        let hash = self.hasher.hash_one(address) as usize;
        self.addresses.get(hash % ADDRESS_PLACES)
    }

    fn service(&self, name: &str) -> Option<&ServiceLimit> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Counts a connection, unless that would be too many.
    fn enter(self: &Arc<Self>, service: &'static str, address: IpAddr) -> Result<Place, &'static str> {
        let mut place = Place {
            limits: Arc::clone(self),
            service: None,
            address: None,
        };
        if self.connections.fetch_add(1, Relaxed) >= self.max_connections {
            return Err("too many connections");
        }
        if let Some(limit) = self.service(service) {
            place.service = Some(service);
            if limit.connections.fetch_add(1, Relaxed) >= limit.max {
                return Err("too many connections of this service (context_num)");
            }
        }
        if let Some(count) = self.place(address) {
            place.address = Some(address);
            let max = self.max_per_address.load(Relaxed);
            if count.fetch_add(1, Relaxed) as usize >= max && max != 0 {
                return Err("too many connections from this address");
            }
        }
        Ok(place)
    }

    /// Counts a connection that has not logged in, unless that would be too many.
    fn enter_without_login(self: &Arc<Self>) -> Result<WithoutLogin, &'static str> {
        let counted = WithoutLogin(Arc::clone(self));
        if self.without_login.fetch_add(1, Relaxed) >= self.max_without_login.load(Relaxed) {
            return Err("too many connections that have not logged in");
        }
        Ok(counted)
    }
}

/// A connection without a login that is counted, until dropped.
struct WithoutLogin(Arc<Limits>);

impl Drop for WithoutLogin {
    fn drop(&mut self) {
        self.0.without_login.fetch_sub(1, Relaxed);
    }
}

/// A connection that is counted, until dropped.
pub(crate) struct Place {
    limits: Arc<Limits>,
    service: Option<&'static str>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limits.connections.fetch_sub(1, Relaxed);
        if let Some(limit) = self.service.and_then(|name| self.limits.service(name)) {
            limit.connections.fetch_sub(1, Relaxed);
        }
        if let Some(count) = self.address.and_then(|address| self.limits.place(address)) {
            count.fetch_sub(1, Relaxed);
        }
    }
}

/// The services that have a limit. All listeners of one have the same.
fn service_limits(listeners: &[ListenerConfig]) -> Vec<ServiceLimit> {
    let mut limits: Vec<ServiceLimit> = Vec::new();
    for listener in listeners.iter().filter(|listener| listener.max_connections != 0) {
        let name = listener.service.name();
        if limits.iter().all(|known| known.name != name) {
            limits.push(ServiceLimit {
                name,
                connections: AtomicUsize::new(0),
                max: listener.max_connections,
            });
        }
    }
    limits
}

/// Accepts until the stop begins.
pub(crate) async fn accept(shard: Rc<Shard>, listener: std::net::TcpListener, config: Arc<ListenerConfig>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the listener on {}: {error}", config.address),
    };
    loop {
        let accepted = futures_lite::future::or(async { Some(listener.accept().await) }, async {
            shard.stopping().await;
            None
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) => start(&shard, &listener, stream, peer, &config),
            Some(Err(error)) => {
                shard.metrics.accept_errors.increment();
                tracing::error!("accept on {}: {error}", config.address);
                timer::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn start(
    shard: &Rc<Shard>,
    listener: &TcpListener,
    stream: TcpStream,
    peer: SocketAddr,
    config: &Arc<ListenerConfig>,
) {
    let local = stream.local_addr().or_else(|_| listener.local_addr());
    // The client may be gone already.
    let Ok(local) = local else { return };
    let ends = Ends { peer, local }.canonical();
    // Answers go out as they are made; sessions write whole responses.
    let _ = stream.set_nodelay(true);
    let profile = Profile {
        service: config.service.name(),
        write_timeout: config.write_timeout.unwrap_or(shard.config.write_timeout),
    };
    let connection = ShardConnection::new(stream, ends, profile, Rc::clone(shard));
    let queue = match config.class {
        SessionClass::Interactive => shard.queues.interactive,
        SessionClass::Delivery => shard.queues.delivery,
    };
    let task = first_stage(Rc::clone(shard), connection, Arc::clone(config));
    spawn_into(shard, queue, config.service.name(), task);
}

impl Ends {
    /// IPv4 in IPv6's clothes is IPv4.
    fn canonical(mut self) -> Self {
        self.peer.set_ip(self.peer.ip().to_canonical());
        self.local.set_ip(self.local.ip().to_canonical());
        self
    }
}

async fn first_stage(shard: Rc<Shard>, mut connection: ShardConnection, config: Arc<ListenerConfig>) {
    // A session keeps the options that it began with.
    let reloaded = shard.services.borrow().get(config.service.name()).cloned();
    let service = reloaded.unwrap_or_else(|| Arc::clone(&config.service));
    let name = service.name();
    let _counted = shard.sessions.enter(&shard, name);
    shard.metrics.service(name, |service| service.connections += 1);
    if config.proxy {
        let limit = shard.config.handshake_timeout;
        let header = within(limit, proxy::read_header(&mut connection)).await;
        match header {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!("{name}: PROXY header from {}: {error}", connection.peer());
                return;
            }
            None => return,
        }
    }
    let entered = shard
        .limits
        .enter(name, connection.peer().ip())
        .and_then(|place| {
            let logs_in = config.login_timeout.is_some();
            let without_login = logs_in.then(|| shard.limits.enter_without_login()).transpose()?;
            Ok((place, without_login))
        });
    let (place, without_login) = match entered {
        Ok(entered) => entered,
        Err(reason) => {
            shard.metrics.refused.increment();
            tracing::warn!("{name}: {} refused: {reason}", connection.peer());
            // No handshake for it: that is what a flood would want.
            if config.security == Security::Plain {
                let _ = connection.write(service.busy()).await;
            }
            return;
        }
    };
    if config.security == Security::Tls && connection.handshake().await.is_err() {
        return;
    }
    let host = ShardHost::new(Rc::clone(&shard));
    let named = Named {
        service: name,
        busy: service.busy(),
    };
    let accept = service.accept(connection, host);
    let next = match config.login_timeout {
        Some(limit) => within(limit, accept).await,
        None => Some(accept.await),
    };
    drop(without_login);
    match next {
        None => {
            shard.metrics.login_timeouts.increment();
        }
        Some(Next::Done(connection)) => connection.close().await,
        Some(Next::HandOver {
            mailbox,
            connection,
            serve,
        }) => hand_over(&shard, named, mailbox, connection, place, serve),
    }
}

/// What the second stage needs of the service beside its session.
#[derive(Clone, Copy)]
struct Named {
    service: &'static str,
    /// What a client is told that is refused.
    busy: &'static [u8],
}

/// Moves a session to its mailbox's core.
fn hand_over(
    shard: &Rc<Shard>,
    named: Named,
    mailbox: MailboxRef,
    connection: ShardConnection,
    place: Place,
    serve: ServeBoxed,
) {
    let name = named.service;
    let owner = shard.owner_of(mailbox.guid);
    if owner == shard.id {
        shard.metrics.stayed.increment();
        let task = second_stage(Rc::clone(shard), named, mailbox, connection, place, serve);
        spawn_into(shard, shard.queues.interactive, name, task);
        return;
    }
    shard.metrics.handed_over.increment();
    let detached: Detached = match connection.detach() {
        Ok(detached) => detached,
        Err(error) => {
            tracing::error!("{name}: a connection can't be moved: {error}");
            return;
        }
    };
    let take = move |shard: &Rc<Shard>| {
        let connection = match ShardConnection::attach(detached, Rc::clone(shard)) {
            Ok(connection) => connection,
            Err(error) => return tracing::error!("{name}: a connection can't be moved: {error}"),
        };
        let task = second_stage(Rc::clone(shard), named, mailbox, connection, place, serve);
        spawn_into(shard, shard.queues.interactive, name, task);
    };
    // At most as many are under way as there are connections.
    shard.router.post(owner, Box::new(take));
}

async fn second_stage(
    shard: Rc<Shard>,
    named: Named,
    mailbox: MailboxRef,
    mut connection: ShardConnection,
    place: Place,
    serve: ServeBoxed,
) {
    let name = named.service;
    let _counted = shard.sessions.enter(&shard, name);
    let Some(_user) = shard.sessions.enter_user(&shard, mailbox.guid) else {
        shard.metrics.refused.increment();
        tracing::warn!(
            "{name}: {} refused: too many sessions of this user",
            connection.peer()
        );
        // A client that has sent its password waits for an answer.
        let _ = connection.write(named.busy).await;
        connection.close().await;
        return;
    };
    shard.metrics.service(name, |service| service.sessions += 1);
    serve(connection, ShardHost::new(Rc::clone(&shard))).await;
    drop(place);
}
