//! From where each user has logged in before. Somebody else's wrong passwords, which get the user banned, do not keep
//! the user out there: those addresses have counts of their own. Without this anybody could lock out everybody.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a success counts.
const LIFETIME: Duration = Duration::from_hours(7 * 24);
/// Pairs of user and address that are kept.
const PAIRS_MAX: usize = 100_000;

#[derive(Default)]
pub(super) struct Friends(Mutex<HashMap<(Box<str>, IpAddr), Instant>>);

impl Friends {
    /// Under which name the user filter counts attempts to be `user` from there.
    pub(super) fn counted_as(&self, user: &str, address: IpAddr, now: Instant) -> String {
        let pair = (user.to_lowercase().into_boxed_str(), address.to_canonical());
        let pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pairs.get(&pair) {
            // No address of mail begins so.
            Some(last) if now.duration_since(*last) < LIFETIME => format!("{} {user}", pair.1),
            _ => user.to_owned(),
        }
    }

    /// `user` logged in from there.
    pub(super) fn remember(&self, user: &str, address: IpAddr, now: Instant) {
        let pair = (user.to_lowercase().into_boxed_str(), address.to_canonical());
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= PAIRS_MAX && !pairs.contains_key(&pair) {
            pairs.retain(|_, last| now.duration_since(*last) < LIFETIME);
            // Full of fresh ones: those that are known stay known.
            if pairs.len() >= PAIRS_MAX {
                return;
            }
        }
        pairs.insert(pair, now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_friend_is_counted_apart_for_a_week() {
        let friends = Friends::default();
        let [home, elsewhere] = [1, 2].map(|number| IpAddr::from(Ipv4Addr::new(192, 0, 2, number)));
        let now = Instant::now();
        friends.remember("Alice@example.test", home, now);
        let as_of = |address, now| friends.counted_as("alice@example.test", address, now);
        assert_eq!(as_of(home, now), "192.0.2.1 alice@example.test");
        assert_eq!(as_of(elsewhere, now), "alice@example.test");
        assert_eq!(as_of(home, now + LIFETIME), "alice@example.test");
        assert_eq!(
            friends.counted_as("bob@example.test", home, now),
            "bob@example.test"
        );
    }

    #[test]
    fn only_so_many_are_remembered() {
        let friends = Friends::default();
        let now = Instant::now();
        for number in 0..PAIRS_MAX as u32 + 10 {
            friends.remember("a", Ipv4Addr::from(number).into(), now);
        }
        assert_eq!(friends.0.lock().unwrap().len(), PAIRS_MAX);
        friends.remember("b", Ipv4Addr::LOCALHOST.into(), now + LIFETIME);
        assert_eq!(friends.0.lock().unwrap().len(), 1, "the old ones left");
    }
}
