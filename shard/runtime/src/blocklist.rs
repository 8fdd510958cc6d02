//! DNS block lists (dnsbl_filter(4gx), RFC 5782): whether a zone lists a client's address.
//!
//! The question is an ordinary look-up of a host, so the system's resolver answers it, with its cache and its
//! configuration; it blocks, so it has threads of its own. While DNS does not answer, nobody is listed.

use std::{
    cell::RefCell,
    fmt::Write as _,
    net::{IpAddr, ToSocketAddrs},
    rc::Rc,
    time::{Duration, Instant},
};

use ahash::AHashMap;

use crate::{
    helpers::{Helpers, Jobs},
    shard::Shard,
    waiters::within,
};

/// Threads of a core that wait for DNS.
pub(crate) const RESOLVER_THREADS: usize = 8;
/// How long a client waits for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer is good for.
const LIFETIME: Duration = Duration::from_mins(5);
/// Answers that a core keeps; one more clears them.
const ANSWERS_MAX: usize = 10_000;

/// A core's view of the list.
pub(crate) struct Blocklist {
    resolvers: Helpers,
    answers: RefCell<AHashMap<IpAddr, (bool, Instant)>>,
}

impl Blocklist {
    /// Asks on these threads; without, nobody is listed.
    pub(crate) fn new(resolvers: Option<Jobs>) -> Self {
        Self {
            resolvers: resolvers.map_or_else(Helpers::none, Helpers::new),
            answers: RefCell::default(),
        }
    }

    /// The threads end when they have done what waits.
    pub(crate) fn end(&self) {
        self.resolvers.end();
    }

    fn known(&self, address: IpAddr) -> Option<bool> {
        let answers = self.answers.borrow();
        let (listed, asked) = answers.get(&address)?;
        (asked.elapsed() < LIFETIME).then_some(*listed)
    }

    fn remember(&self, address: IpAddr, listed: bool) {
        let mut answers = self.answers.borrow_mut();
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(address, (listed, Instant::now()));
    }
}

impl Shard {
    /// Whether `dnsbl_client` lists the address. This machine's own is not asked for.
    pub(crate) async fn is_listed(self: &Rc<Self>, address: IpAddr) -> bool {
        let Some(zone) = &self.config.blocklist_zone else {
            return false;
        };
        if address.is_loopback() {
            return false;
        }
        if let Some(listed) = self.blocklist.known(address) {
            return listed;
        }
        let name = query(address, zone);
        let asked = self.help_by(
            |shard| &shard.blocklist.resolvers,
            move || {
                (name.as_str(), 0)
                    .to_socket_addrs()
                    .map(|found| found.map(|a| a.ip()).collect())
            },
        );
        let found: Vec<IpAddr> = match within(PATIENCE, asked).await {
            Some(Ok(Ok(found))) => found,
            // No such name: the common answer.
            Some(Ok(Err(_))) => Vec::new(),
            Some(Err(_)) | None => {
                tracing::warn!(%address, zone, "the block list did not answer");
                return false;
            }
        };
        let listed = found.iter().any(is_listing);
        self.blocklist.remember(address, listed);
        listed
    }
}

/// RFC 5782 §2.1: a listing is in 127.0.0.0/8. What lists answer when they won't (127.255.255.0/24), and what a
/// zone that has been given up says (any other address), are none.
fn is_listing(answer: &IpAddr) -> bool {
    matches!(answer, IpAddr::V4(v4) if v4.is_loopback() && v4.octets()[..3] != [127, 255, 255])
}

/// The name to ask for (RFC 5782 §2.1, §2.4); absolute, so that no search domain is tried.
fn query(address: IpAddr, zone: &str) -> String {
    let mut name = String::with_capacity(64 + zone.len() + 2);
    match address {
        IpAddr::V4(v4) => {
            for octet in v4.octets().into_iter().rev() {
                // Writing to a String can't fail.
                let _ = write!(name, "{octet}.");
            }
        }
        IpAddr::V6(v6) => {
            for octet in v6.octets().into_iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 0xf, octet >> 4);
            }
        }
    }
    name.push_str(zone.trim_matches('.'));
    name.push('.');
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_answers() {
        let name = |address: &str| query(address.parse().unwrap(), "bl.example.net.");
        assert_eq!(name("192.0.2.99"), "99.2.0.192.bl.example.net.");
        assert_eq!(
            name("2001:db8:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example.net."
        );
        for (answer, listed) in [
            ("127.0.0.2", true),
            ("127.255.255.254", false),
            ("203.0.113.1", false),
            ("::1", false),
        ] {
            assert_eq!(is_listing(&answer.parse().unwrap()), listed, "{answer}");
        }
    }

    #[test]
    fn without_a_zone_nobody_is_listed() {
        crate::testing::on_core(1, |shard| async move {
            assert!(!shard.is_listed("192.0.2.1".parse().unwrap()).await);
            shard.blocklist.remember("192.0.2.1".parse().unwrap(), true);
            assert_eq!(shard.blocklist.known("192.0.2.1".parse().unwrap()), Some(true));
        });
    }
}
