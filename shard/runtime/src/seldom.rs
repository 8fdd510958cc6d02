//! Log lines that an attacker could cause by the thousand: one a second, which tells how many were left out.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_secs(1);

/// When something was last said, and how often it was not since.
#[derive(Default)]
pub(crate) struct Seldom {
    said: Cell<Option<Instant>>,
    left_out: Cell<u64>,
}

impl Seldom {
    /// How many lines were left out, when it is time for one.
    pub(crate) fn say(&self) -> Option<u64> {
        self.say_at(Instant::now())
    }

    fn say_at(&self, now: Instant) -> Option<u64> {
        if self
            .said
            .get()
            .is_some_and(|said| now.duration_since(said) < INTERVAL)
        {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.said.set(Some(now));
        Some(self.left_out.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second() {
        let seldom = Seldom::default();
        let begin = Instant::now();
        assert_eq!(seldom.say_at(begin), Some(0));
        assert_eq!(seldom.say_at(begin + INTERVAL / 2), None);
        assert_eq!(seldom.say_at(begin + INTERVAL / 3), None);
        assert_eq!(seldom.say_at(begin + INTERVAL), Some(2));
        assert_eq!(seldom.say_at(begin + INTERVAL * 2), Some(0));
    }
}
