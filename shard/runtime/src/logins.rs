//! Logins: what is quick is done at once; hashes of passwords have threads of their own, which clients that
//! keep failing share one at a time, so that a storm of wrong passwords delays nobody's right one for long.

mod ahead;

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use ringpost_executor::sync::Semaphore;
use ringpost_host::{Credentials, Login, LoginError};

use crate::{config::LoginStep, helpers::Helpers, shard::Shard, waiters::within};

/// So many failures, and an address is one that keeps failing,
const FAILURES: u32 = 3;
/// if the last of them is not older than this.
const MEMORY: Duration = Duration::from_mins(1);
/// Addresses whose failures are remembered.
const ADDRESSES_MAX: usize = 10_000;
/// How long a login waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// A core's logins.
pub(crate) struct Logins {
    pub(crate) hashing: Helpers,
    /// Of those that keep failing, one is hashed at a time.
    suspects: Rc<Semaphore>,
    failures: RefCell<Failures>,
    /// Mailboxes that are looked up while their users' passwords are checked.
    looking_up: Cell<usize>,
}

impl Logins {
    pub(crate) fn new(hashing: Helpers) -> Self {
        Self {
            hashing,
            suspects: Semaphore::new(1),
            failures: RefCell::default(),
            looking_up: Cell::new(0),
        }
    }

    /// Whether passwords from this address keep being wrong.
    fn is_suspect(&self, address: IpAddr) -> bool {
        self.failures.borrow().are_many(address, Instant::now())
    }
}

/// Failures of addresses, lately.
#[derive(Default)]
struct Failures(AHashMap<IpAddr, (u32, Instant)>);

impl Failures {
    fn are_many(&self, address: IpAddr, now: Instant) -> bool {
        self.0
            .get(&address)
            .is_some_and(|(count, last)| *count >= FAILURES && now.duration_since(*last) < MEMORY)
    }

    fn add(&mut self, address: IpAddr, now: Instant) {
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&address) {
            self.0.retain(|_, (_, last)| now.duration_since(*last) < MEMORY);
            // Full of fresh ones: those that are known stay known.
            if self.0.len() >= ADDRESSES_MAX {
                return;
            }
        }
        let (count, last) = self.0.entry(address).or_insert((0, now));
        if now.duration_since(*last) >= MEMORY {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
    }
}

impl Shard {
    /// Checks credentials. Meanwhile their mailbox is looked up if it is cold; it is opened if they are right.
    pub(crate) async fn login(self: &Rc<Self>, credentials: Credentials) -> Result<Login, LoginError> {
        let is_cold = self.look_up_ahead(&credentials);
        let answer = self.check(credentials).await;
        if let (true, Ok(login)) = (is_cold, &answer) {
            self.open_ahead(&login.mailbox);
        }
        answer
    }

    async fn check(self: &Rc<Self>, credentials: Credentials) -> Result<Login, LoginError> {
        const BUSY: LoginError = LoginError::Unavailable;
        let accounts = Arc::clone(&self.accounts);
        let address = credentials.peer.ip();
        let step = self.help(move || accounts.login(&credentials)).await;
        let answer = match step.map_err(|_| BUSY)? {
            LoginStep::Done(answer) => answer,
            LoginStep::Slow(work) => {
                let turn = if self.logins.is_suspect(address) {
                    Some(
                        within(PATIENCE, self.logins.suspects.acquire())
                            .await
                            .ok_or(BUSY)?,
                    )
                } else {
                    None
                };
                let answer = self.help_by(|shard| &shard.logins.hashing, work).await;
                drop(turn);
                answer.map_err(|_| BUSY)?
            }
        };
        if matches!(answer, Err(LoginError::Invalid | LoginError::Banned)) {
            self.logins.failures.borrow_mut().add(address, Instant::now());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn failures_are_remembered_for_a_while() {
        let mut failures = Failures::default();
        let begin = Instant::now();
        let one = IpAddr::from(Ipv4Addr::LOCALHOST);
        for _ in 0..FAILURES {
            assert!(!failures.are_many(one, begin));
            failures.add(one, begin);
        }
        assert!(failures.are_many(one, begin + MEMORY / 2));
        assert!(!failures.are_many(one, begin + MEMORY));
        failures.add(one, begin + MEMORY);
        assert!(!failures.are_many(one, begin + MEMORY), "counted anew");
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let mut failures = Failures::default();
        let begin = Instant::now();
        for number in 0..2 * ADDRESSES_MAX as u32 {
            failures.add(Ipv4Addr::from(number).into(), begin);
        }
        assert_eq!(failures.0.len(), ADDRESSES_MAX);
        failures.add(Ipv4Addr::BROADCAST.into(), begin + MEMORY);
        assert_eq!(failures.0.len(), 1, "the old ones left");
    }
}
