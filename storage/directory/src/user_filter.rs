//! Who may try to log in at all: bans after repeated failures and a limit on attempts (user_filter(4gx)).
//!
//! Both go by user name and hold a bounded number of names, without replacing one that still counts: when a
//! table is full of names that count, new ones are not taken in.

use std::{
    collections::HashMap,
    hash::RandomState,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The directives of user_filter(4gx), with its defaults.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserFilterOptions {
    /// `userfilter_icase`: names are compared in lower case.
    pub case_insensitive: bool,
    /// `userfilter_maxbans`: names the ban list holds; 0 turns it off.
    pub max_bans: usize,
    /// `userfilter_maxusers`: names the rate limit holds; 0 turns it off.
    pub max_users: usize,
    /// `userfilter_rl_maxtries`: attempts in a window.
    pub max_tries: u32,
    /// `userfilter_rl_window`
    pub window: Duration,
}

impl Default for UserFilterOptions {
    fn default() -> Self {
        Self {
            case_insensitive: true,
            max_bans: 1000,
            max_users: 0,
            max_tries: 10,
            window: Duration::from_mins(1),
        }
    }
}

/// Names whose failures are counted at once, before they are banned.
const FAILURES_MAX: usize = 10_000;

/// The filter's state. The clock is the caller's.
pub struct UserFilter {
    options: UserFilterOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bans: HashMap<String, Instant, RandomState>,
    attempts: HashMap<String, Count, RandomState>,
    failures: HashMap<String, Count, RandomState>,
}

struct Count {
    first: Instant,
    last: Instant,
    tries: u32,
}

impl UserFilter {
    /// An empty filter.
    pub fn new(options: UserFilterOptions) -> Self {
        Self {
            options,
            state: Mutex::default(),
        }
    }

    /// Whether `user` may try now. Counts the attempt.
    pub fn judge(&self, user: &str, now: Instant) -> bool {
        let user = self.key(user);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = state.bans.get(&user) {
            if now < *until {
                return false;
            }
            state.bans.remove(&user);
        }
        self.options.max_users == 0 || self.within_rate(&mut state.attempts, user, now)
    }

    /// Counts a failed attempt; after `max_failures` of them, none further apart than `block`, the name is
    /// banned for `block`. Tells whether it is banned now.
    pub fn failed(&self, user: &str, max_failures: u32, block: Duration, now: Instant) -> bool {
        if self.options.max_bans == 0 {
            return false;
        }
        let user = self.key(user);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { bans, failures, .. } = &mut *state;
        if !failures.contains_key(&user) && failures.len() >= FAILURES_MAX {
            failures.retain(|_, count| now - count.last < block);
            if failures.len() >= FAILURES_MAX {
                return false;
            }
        }
        let count = failures.entry(user.clone()).or_insert(Count {
            first: now,
            last: now,
            tries: 0,
        });
        if now - count.last >= block {
            count.tries = 0;
        }
        count.last = now;
        count.tries += 1;
        if count.tries < max_failures {
            return false;
        }
        failures.remove(&user);
        if bans.len() >= self.options.max_bans {
            bans.retain(|_, until| now < *until);
        }
        if bans.len() >= self.options.max_bans {
            return false;
        }
        bans.insert(user, now + block);
        true
    }

    /// Forgets the failures of a name that has logged in.
    pub fn succeeded(&self, user: &str) {
        let user = self.key(user);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures.remove(&user);
    }

    /// `max_tries` in a window; who goes on trying above it stays out until a whole window without attempts
    /// has passed.
    fn within_rate(&self, attempts: &mut HashMap<String, Count>, user: String, now: Instant) -> bool {
        let window = self.options.window;
        if let Some(count) = attempts.get_mut(&user) {
            let over = count.tries >= self.options.max_tries;
            let fresh = if over {
                now - count.last >= window
            } else {
                now - count.first >= window
            };
            if fresh {
                (count.first, count.tries) = (now, 0);
            }
            count.last = now;
            count.tries = count.tries.saturating_add(1);
            return fresh || !over;
        }
        if attempts.len() >= self.options.max_users {
            attempts.retain(|_, count| now - count.last < window);
        }
        if attempts.len() < self.options.max_users {
            let (first, last) = (now, now);
            attempts.insert(
                user,
                Count {
                    first,
                    last,
                    tries: 1,
                },
            );
        }
        true
    }

    fn key(&self, user: &str) -> String {
        // A name is as long as a client likes; what is kept of it is not.
        let user: String = user.chars().take(320).collect();
        if self.options.case_insensitive {
            user.to_lowercase()
        } else {
            user
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Duration = Duration::from_mins(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn filter(change: impl FnOnce(&mut UserFilterOptions)) -> UserFilter {
        let mut options = UserFilterOptions::default();
        change(&mut options);
        UserFilter::new(options)
    }

    #[test]
    fn bans_after_failures_and_lets_in_again() {
        let filter = filter(|_| ());
        let start = Instant::now();
        assert!(!filter.failed("alice", 3, BLOCK, start));
        assert!(!filter.failed("ALICE", 3, BLOCK, start));
        assert!(filter.judge("alice", start));
        assert!(filter.failed("alice", 3, BLOCK, start));
        assert!(!filter.judge("Alice", start));
        assert!(filter.judge("bob", start));
        assert!(!filter.judge("alice", start + Duration::from_secs(59)));
        assert!(filter.judge("alice", start + BLOCK));
    }

    #[test]
    fn a_success_or_a_pause_forgets_failures() {
        let filter = filter(|_| ());
        let start = Instant::now();
        assert!(!filter.failed("alice", 2, BLOCK, start));
        filter.succeeded("alice");
        assert!(!filter.failed("alice", 2, BLOCK, start));
        assert!(!filter.failed("alice", 2, BLOCK, start + BLOCK));
        assert!(filter.failed("alice", 2, BLOCK, start + BLOCK + SECOND));
    }

    #[test]
    fn the_ban_list_is_bounded_and_replaces_none() {
        let filter = filter(|options| options.max_bans = 2);
        let start = Instant::now();
        assert!(filter.failed("a", 1, BLOCK, start));
        assert!(filter.failed("b", 1, BLOCK * 2, start));
        assert!(!filter.failed("c", 1, BLOCK, start), "full");
        assert!(!filter.judge("a", start) && filter.judge("c", start));
        // What has run out makes room.
        assert!(filter.failed("c", 1, BLOCK, start + BLOCK));
    }

    #[test]
    fn zero_bans_turns_banning_off_and_case_can_matter() {
        let off = filter(|options| options.max_bans = 0);
        let now = Instant::now();
        assert!(!off.failed("a", 1, BLOCK, now));
        assert!(off.judge("a", now));
        let exact = filter(|options| options.case_insensitive = false);
        assert!(exact.failed("a", 1, BLOCK, now));
        assert!(exact.judge("A", now) && !exact.judge("a", now));
    }

    #[test]
    fn limits_the_rate_of_attempts() {
        let filter = filter(|options| {
            options.max_users = 1;
            options.max_tries = 2;
        });
        let start = Instant::now();
        assert!(filter.judge("a", start) && filter.judge("a", start + SECOND));
        assert!(!filter.judge("a", start + SECOND * 2));
        assert!(filter.judge("b", start), "no room to count another name");
        assert!(
            !filter.judge("a", start + Duration::from_secs(61)),
            "still trying"
        );
        assert!(filter.judge("a", start + Duration::from_secs(121)));
        // Counting begins anew.
        assert!(filter.judge("a", start + Duration::from_secs(122)));
        assert!(!filter.judge("a", start + Duration::from_secs(123)));
    }

    #[test]
    fn counted_failures_are_bounded() {
        let filter = filter(|_| ());
        let now = Instant::now();
        for number in 0..FAILURES_MAX + 10 {
            filter.failed(&number.to_string(), 5, BLOCK, now);
        }
        assert_eq!(filter.state.lock().unwrap().failures.len(), FAILURES_MAX);
    }
}
