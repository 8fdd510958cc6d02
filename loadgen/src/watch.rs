//! From a delivery to the notification of who waits for it in IDLE.
//!
//! A thread delivers to the mailboxes that its own connections watch, so both ends of a notification are noted on
//! one thread. A mailbox that is watched holds what its EXISTS was when the watch began; the n-th delivery since then
//! must raise it to that plus n.

use std::{cell::RefCell, collections::HashMap, time::Instant};

/// The watched mailboxes of a thread.
#[derive(Default)]
pub(crate) struct Board {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    mailboxes: HashMap<u64, Sent>,
    numbers: Vec<u64>,
    watchers: Vec<Watcher>,
}

/// What was sent to a mailbox since somebody first watched it.
#[derive(Default)]
struct Sent {
    times: Vec<Instant>,
    /// So many of them were refused, or had no answer: nobody need be told of them.
    unsure: usize,
}

struct Watcher {
    mailbox: u64,
    /// EXISTS less the deliveries that the board knew of.
    first_exists: i64,
    /// Deliveries that the watcher has been told of.
    told: usize,
    /// Deliveries that were unsure when the watch began.
    unsure_before: usize,
}

/// A watcher's place on the board.
#[derive(Clone, Copy)]
pub(crate) struct WatcherId(usize);

impl Board {
    /// Watches a mailbox that has `exists` messages now.
    pub(crate) fn watch(&self, mailbox: u64, exists: u64) -> WatcherId {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let sent = inner.mailboxes.entry(mailbox).or_insert_with(|| {
            inner.numbers.push(mailbox);
            Sent::default()
        });
        let told = sent.times.len();
        inner.watchers.push(Watcher {
            mailbox,
            first_exists: exists as i64 - told as i64,
            told,
            unsure_before: sent.unsure,
        });
        WatcherId(inner.watchers.len() - 1)
    }

    /// Ends a watch, for instance as its connection broke.
    pub(crate) fn unwatch(&self, WatcherId(watcher): WatcherId) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let watcher = &mut inner.watchers[watcher];
        watcher.told = usize::MAX;
    }

    /// One of the watched mailboxes.
    pub(crate) fn choose(&self, random: u64) -> Option<u64> {
        let inner = self.inner.borrow();
        let count = inner.numbers.len();
        (count > 0).then(|| inner.numbers[(random % count as u64) as usize])
    }

    /// Notes that a message for `mailbox` goes out now, if somebody watches it.
    pub(crate) fn sent(&self, mailbox: u64, now: Instant) {
        if let Some(sent) = self.inner.borrow_mut().mailboxes.get_mut(&mailbox) {
            sent.times.push(now);
        }
    }

    /// Notes that one of those was not taken, or that nobody knows.
    pub(crate) fn failed(&self, mailbox: u64) {
        if let Some(sent) = self.inner.borrow_mut().mailboxes.get_mut(&mailbox) {
            sent.unsure += 1;
        }
    }

    /// Notes that a watcher was told that `exists` messages are there; calls `notified` with the time at which
    /// each of those sent it had not heard of. An error says that more exist than were sent.
    pub(crate) fn told(
        &self,
        WatcherId(watcher): WatcherId,
        exists: u64,
        mut notified: impl FnMut(Instant),
    ) -> Result<(), String> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let watcher = &mut inner.watchers[watcher];
        let sent = &inner.mailboxes[&watcher.mailbox].times;
        let expected = watcher.first_exists + sent.len() as i64;
        if exists as i64 > expected {
            return Err(format!(
                "mailbox {} has {exists} messages, at most {expected} were sent",
                watcher.mailbox
            ));
        }
        let told = (exists as i64 - watcher.first_exists).max(0) as usize;
        for due in &sent[watcher.told.min(told)..told] {
            notified(*due);
        }
        watcher.told = watcher.told.max(told);
        Ok(())
    }

    /// Deliveries that watchers have not been told of.
    pub(crate) fn outstanding(&self) -> usize {
        let inner = self.inner.borrow();
        let missing = |watcher: &Watcher| {
            let sent = &inner.mailboxes[&watcher.mailbox];
            let untold = sent.times.len().saturating_sub(watcher.told);
            untold.saturating_sub(sent.unsure - watcher.unsure_before)
        };
        inner.watchers.iter().map(missing).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delivery_is_told_once_and_in_order() {
        let board = Board::default();
        let watcher = board.watch(7, 100);
        let (first, second) = (Instant::now(), Instant::now());
        board.sent(7, first);
        board.sent(7, second);
        board.sent(8, second);
        assert_eq!(board.outstanding(), 2);
        let mut heard = Vec::new();
        board.told(watcher, 101, |due| heard.push(due)).unwrap();
        assert_eq!((heard.as_slice(), board.outstanding()), (&[first][..], 1));
        board.told(watcher, 102, |due| heard.push(due)).unwrap();
        board.told(watcher, 102, |due| heard.push(due)).unwrap();
        assert_eq!((heard, board.outstanding()), (vec![first, second], 0));
        assert!(board.told(watcher, 103, |_| {}).is_err());
    }

    #[test]
    fn nobody_need_be_told_of_what_was_refused() {
        let board = Board::default();
        let watcher = board.watch(7, 0);
        board.sent(7, Instant::now());
        board.failed(7);
        assert_eq!(board.outstanding(), 0);
        board.sent(7, Instant::now());
        assert_eq!(board.outstanding(), 1);
        board.told(watcher, 1, |_| {}).unwrap();
        assert_eq!(board.outstanding(), 0);
        let later = board.watch(7, 1);
        board.sent(7, Instant::now());
        assert_eq!(board.outstanding(), 1 + 1);
        board.told(watcher, 2, |_| {}).unwrap();
        board.told(later, 2, |_| {}).unwrap();
        assert_eq!(board.outstanding(), 0);
    }

    #[test]
    fn a_watch_that_begins_later_hears_only_of_what_follows() {
        let board = Board::default();
        board.watch(7, 10);
        board.sent(7, Instant::now());
        let late = board.watch(7, 11);
        assert_eq!(board.outstanding(), 1);
        let mut heard = 0;
        board.told(late, 11, |_| heard += 1).unwrap();
        assert_eq!(heard, 0);
        board.sent(7, Instant::now());
        board.told(late, 12, |_| heard += 1).unwrap();
        assert_eq!(heard, 1);
        board.unwatch(late);
        assert_eq!(board.outstanding(), 2);
    }
}
