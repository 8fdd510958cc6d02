//! How many connections there may be: in all, of a service, of an address, without a login, of a user.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use crate::config::{ListenerConfig, RuntimeConfig};

/// Addresses are counted in so many places; two of them may share one.
const ADDRESS_PLACES: usize = 1 << 16;

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

    /// Counts a connection, unless that would be too many. With `instead` of another that gives way, it may be one
    /// more of those that this could be, until that one is gone.
    pub(crate) fn enter(
        self: &Arc<Self>,
        service: &'static str,
        address: IpAddr,
        logs_in: bool,
        mut instead: impl FnMut(Option<&'static str>) -> bool,
    ) -> Result<(Place, Option<WithoutLogin>), Refusal> {
        let connections = self.connections.fetch_add(1, Relaxed);
        let mut place = Place {
            limits: Arc::clone(self),
            service: None,
            address: None,
        };
        if let Some(count) = self.place(address) {
            place.address = Some(address);
            let max = self.max_per_address.load(Relaxed);
            if count.fetch_add(1, Relaxed) as usize >= max && max != 0 {
                return Err(Refusal::Address);
            }
        }

        // One that gives way makes room in all of these.
        let mut made = false;
        let mut room = |service| {
            made = made || instead(service);
            made
        };
        if let Some(limit) = self.service(service) {
            place.service = Some(service);
            if limit.connections.fetch_add(1, Relaxed) >= limit.max && !room(Some(service)) {
                return Err(Refusal::Service);
            }
        }
        if connections >= self.max_connections && !room(None) {
            return Err(Refusal::Connections);
        }
        if !logs_in {
            return Ok((place, None));
        }
        let without_login = WithoutLogin(Arc::clone(self));
        let max = self.max_without_login.load(Relaxed);
        if self.without_login.fetch_add(1, Relaxed) >= max && !room(None) {
            return Err(Refusal::WithoutLogin);
        }
        Ok((place, Some(without_login)))
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("too many connections from this address (connections_per_address)")]
    Address,
    #[error("too many connections")]
    Connections,
    #[error("too many connections of this service (context_num)")]
    Service,
    #[error("too many connections that have not logged in (sessions_without_login)")]
    WithoutLogin,
}

/// A connection without a login that is counted, until dropped.
pub(crate) struct WithoutLogin(Arc<Limits>);

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
