//! A client's session from accept to its end, on one core or two.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use ringpost_executor::{
    net::{TcpListener, TcpStream},
    timer,
};
use ringpost_host::{Connection, MailboxRef, Outcome, Service};

use crate::{
    config::{ListenerConfig, Security, SessionClass},
    connection::{Detached, Ends, Profile, ShardConnection},
    host::ShardHost,
    limits::Place,
    proxy,
    shard::Shard,
    spare::{PATIENCE, REFUSED_AT_ONCE},
    waiters::within,
    watch::spawn_into,
};

/// After an accept failed (no descriptors left), so long no other is tried.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The same when a connection was told to end for it.
const DISPLACED_PAUSE: Duration = Duration::from_millis(1);

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;
type Accepted = Pin<Box<dyn Future<Output = Next>>>;
type ServeBoxed = Box<dyn FnOnce(ShardConnection, ShardHost) -> LocalFuture + Send>;

/// A service without its types.
pub(crate) trait BoxedService: Send + Sync {
    fn name(&self) -> &'static str;
    fn busy(&self) -> &'static [u8];
    fn denied(&self) -> &'static [u8];
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

    fn denied(&self) -> &'static [u8] {
        self.0.denied()
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

/// Accepts until the stop begins.
pub(crate) async fn accept(shard: Rc<Shard>, listener: std::net::TcpListener, config: Arc<ListenerConfig>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the listener on {}: {error}", config.address),
    };
    let mut short_since: Option<Instant> = None;
    loop {
        let accepted = futures_lite::future::or(async { Some(listener.accept().await) }, async {
            shard.stopping().await;
            None
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) => {
                short_since = None;
                start(&shard, &listener, stream, peer, &config);
            }
            Some(Err(error)) => {
                shard.metrics.accept_errors.increment();
                if let Some(more) = shard.refusals.say() {
                    tracing::error!("accept on {}: {error} (and {more} times unsaid)", config.address);
                }
                let short = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
                if short {
                    shard.spare_descriptors();
                }
                let made_room = shard.displace(None, true);
                if short && !made_room && short_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                    refuse_waiting(&shard, &listener, &config).await;
                }
                timer::sleep(if made_room { DISPLACED_PAUSE } else { ACCEPT_PAUSE }).await;
            }
        }
    }
}

/// Tells those who wait to be accepted that there is no room for them.
async fn refuse_waiting(shard: &Shard, listener: &TcpListener, config: &ListenerConfig) {
    let text = match config.security {
        Security::Plain => config.service.busy(),
        Security::Tls => &[],
    };
    let (mut refused, mut ended) = (0, Ok(()));
    while refused < REFUSED_AT_ONCE {
        match listener.turn_away(text).await {
            Ok(true) => refused += 1,
            Ok(false) => break,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                ended = shard.spare.lend(listener, |mut stream| {
                    refused += 1;
                    // What a new socket does not take at once is not waited for.
                    let _ = stream.poll_write(&mut Context::from_waker(Waker::noop()), text);
                });
                break;
            }
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    if let Err(error) = ended {
        tracing::debug!("accept on {}: {error}", config.address);
    }
    shard.metrics.refused.add(refused as u64);
    if refused > 0
        && let Some(more) = shard.refusals.say()
    {
        tracing::warn!(
            "{}: {refused} refused: no descriptors (and {more} times unsaid)",
            config.service.name()
        );
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
    let logs_in = config.login_timeout.is_some();
    let address = connection.peer().ip();
    let entered = shard.limits.enter(name, address, logs_in, |service| {
        shard.displace(service, shard.unproven.knows(address))
    });
    let (place, without_login) = match entered {
        Ok(entered) => entered,
        Err(reason) => {
            shard.metrics.refused.increment();
            if let Some(more) = shard.refusals.say() {
                let peer = connection.peer();
                tracing::warn!("{name}: {peer} refused: {reason} (and {more} times unsaid)");
            }
            // No handshake for it: that is what a flood would want.
            if config.security == Security::Plain {
                let _ = connection.write(service.busy()).await;
            }
            return;
        }
    };
    if shard.is_listed(address).await {
        shard.metrics.refused.increment();
        if let Some(more) = shard.refusals.say() {
            let peer = connection.peer();
            tracing::warn!("{name}: {peer} refused: listed by dnsbl_client (and {more} times unsaid)");
        }
        if config.security == Security::Plain {
            let _ = connection.write(service.denied()).await;
        }
        return;
    }
    let unproven = shard.unproven.enter(name, address);
    let newcomer = unproven.newcomer();
    let host = ShardHost::unproven(Rc::clone(&shard), Rc::clone(&newcomer));
    let security = config.security;
    let accept = async {
        if security == Security::Tls && connection.handshake().await.is_err() {
            return None;
        }
        Some(Arc::clone(&service).accept(connection, host).await)
    };
    // It ends without a word when its place is wanted: a client that waits to be spoken to would not read it.
    let accept = futures_lite::future::or(accept, async {
        newcomer.displaced().await;
        None
    });
    let named = Named {
        service: name,
        busy: service.busy(),
    };
    let next = match config.login_timeout {
        Some(limit) => within(limit, accept).await,
        None => Some(accept.await),
    };
    drop(without_login);
    drop(unproven);
    match next {
        None => {
            shard.metrics.login_timeouts.increment();
        }
        Some(None) => {}
        Some(Some(Next::Done(connection))) => connection.close().await,
        Some(Some(Next::HandOver {
            mailbox,
            connection,
            serve,
        })) => hand_over(&shard, named, mailbox, connection, place, serve),
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
