//! Who may try to log in at all: bans after repeated failures and a limit on attempts (user_filter(4gx)).
//!
//! Both go by user name and hold a bounded number of names, without replacing one that still counts: when a
//! table is full of names that count, new ones are not taken in, and so neither banned nor limited.

use std::{
    collections::{HashMap, VecDeque},
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
    failures: HashMap<String, Failures, RandomState>,
    rates: RateLimit,
}

/// Failed attempts of a name since its last success or long pause.
struct Failures {
    count: u32,
    latest: Instant,
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
        state.rates.admit(user, now, &self.options)
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
            failures.retain(|_, failures| now - failures.latest < block);
            if failures.len() >= FAILURES_MAX {
                return false;
            }
        }
        let counted = failures.entry(user.clone()).or_insert(Failures {
            count: 0,
            latest: now,
        });
        if now - counted.latest >= block {
            counted.count = 0;
        }
        counted.latest = now;
        counted.count += 1;
        if counted.count < max_failures {
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

/// A sliding log: when each admitted attempt of the last window was made, by name. Whatever window of time one
/// looks at, no name has more than `max_tries` in it. Refused attempts are not logged: who keeps knocking is
/// let in again at the same moment as who waits.
///
/// At most `max_users` × `max_tries` times are kept, 16 octets each.
#[derive(Default)]
struct RateLimit {
    admitted: HashMap<String, VecDeque<Instant>, RandomState>,
    /// No name leaves a full table before; not known until the table was full once.
    no_room_before: Option<Instant>,
}

impl RateLimit {
    fn admit(&mut self, user: String, now: Instant, options: &UserFilterOptions) -> bool {
        if options.max_users == 0 {
            return true;
        }
        let ended = |made: Instant| now.saturating_duration_since(made) >= options.window;
        if let Some(log) = self.admitted.get_mut(&user) {
            while log.front().is_some_and(|&made| ended(made)) {
                log.pop_front();
            }
            let admitted = log.len() < options.max_tries as usize;
            if admitted {
                log.push_back(now);
            }
            return admitted;
        }
        if options.max_tries == 0 {
            return false;
        }
        if self.has_room(now, options) {
            self.admitted.insert(user, VecDeque::from([now]));
        }
        true
    }

    /// Whether a name can be taken in. A full table is searched for names that no longer count, but not before
    /// one of those seen at the last search can have run out: many new names in a row cost one search.
    fn has_room(&mut self, now: Instant, options: &UserFilterOptions) -> bool {
        if self.admitted.len() < options.max_users {
            return true;
        }
        if self.no_room_before.is_some_and(|time| now < time) {
            return false;
        }
        let runs_out = |log: &VecDeque<Instant>| log.back().map(|&latest| latest + options.window);
        self.admitted
            .retain(|_, log| runs_out(log).is_some_and(|end| now < end));
        self.no_room_before = self.admitted.values().filter_map(runs_out).min();
        self.admitted.len() < options.max_users
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

    /// A filter of two attempts a minute.
    fn two_a_minute(max_users: usize) -> UserFilter {
        filter(|options| {
            options.max_users = max_users;
            options.max_tries = 2;
        })
    }

    #[test]
    fn admits_so_many_in_every_window() {
        let filter = two_a_minute(10);
        let start = Instant::now();
        for (second, admitted) in [
            (0, true),
            (20, true),
            (30, false),
            (59, false),
            // The first has left the window.
            (60, true),
            (61, false),
            (79, false),
            (80, true),
            (119, false),
            (120, true),
            (1000, true),
            (1000, true),
            (1000, false),
        ] {
            assert_eq!(filter.judge("a", start + SECOND * second), admitted, "{second} s");
        }
        assert!(filter.judge("b", start + SECOND * 1000), "each name by itself");
    }

    #[test]
    fn no_window_has_more_than_the_limit() {
        let filter = two_a_minute(1);
        let start = Instant::now();
        // Attempts at uneven distances for an hour.
        let (mut time, mut admitted) = (start, Vec::new());
        for step in 0..1000_u32 {
            time += Duration::from_millis(u64::from(step * 7919 % 7200));
            if filter.judge("a", time) {
                admitted.push(time);
            }
        }
        assert!(admitted.len() > 100);
        assert!(admitted.windows(3).all(|three| three[2] - three[0] >= BLOCK));
    }

    #[test]
    fn a_full_table_replaces_none_and_lets_others_pass() {
        let filter = two_a_minute(1);
        let start = Instant::now();
        assert!(filter.judge("a", start) && filter.judge("a", start));
        for second in 0..3 {
            assert!(filter.judge("b", start + SECOND * second), "not counted");
        }
        assert!(!filter.judge("a", start + SECOND * 3), "still counted");
        // Once "a" has run out, "b" takes its place and is limited.
        let later = start + BLOCK;
        assert!(filter.judge("b", later) && filter.judge("b", later));
        assert!(!filter.judge("b", later));
        assert!(filter.judge("a", later) && filter.judge("a", later) && filter.judge("a", later));
    }

    #[test]
    fn rates_of_nothing_and_without_limit() {
        let now = Instant::now();
        let off = filter(|options| options.max_tries = 1);
        assert!(off.judge("a", now) && off.judge("a", now), "max_users is 0");
        let none = filter(|options| (options.max_users, options.max_tries) = (1, 0));
        assert!(!none.judge("a", now) && !none.judge("b", now));
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
