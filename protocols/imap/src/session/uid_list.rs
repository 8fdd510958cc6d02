//! The messages that a client knows of in its mailbox: their UIDs in order, whose places are the message numbers.
//!
//! Kept as runs: an untouched mailbox of any size is one run of 12 bytes; each gap adds one.

use std::ops::RangeInclusive;

use ringpost_mapi::Uid;
use ringpost_store::UidSet;

use crate::syntax::sequence::SequenceSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    last: u32,
    /// Messages before this run.
    before: u32,
}

/// UIDs, ascending, with their message numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UidList {
    runs: Vec<Run>,
}

impl UidList {
    pub(crate) fn new(set: &UidSet) -> Self {
        let mut before = 0;
        let runs = set.ranges().iter().map(|range| {
            let run = Run {
                first: *range.start(),
                last: *range.end(),
                before,
            };
            before += run.last - run.first + 1;
            run
        });
        Self { runs: runs.collect() }
    }

    /// Messages.
    pub(crate) fn count(&self) -> u32 {
        self.runs
            .last()
            .map_or(0, |run| run.before + (run.last - run.first + 1))
    }

    /// The highest UID, or 0.
    pub(crate) fn last(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.last)
    }

    /// The message number of a UID.
    pub(crate) fn number(&self, uid: Uid) -> Option<u32> {
        let run = self.runs.get(self.runs.partition_point(|run| run.last < uid.0))?;
        (run.first <= uid.0).then(|| run.before + (uid.0 - run.first) + 1)
    }

    /// The UID of a message number.
    #[cfg(test)]
    fn uid(&self, number: u32) -> Option<u32> {
        let index = number.checked_sub(1)?;
        let run = self.runs.get(
            self.runs
                .partition_point(|run| run.before <= index)
                .checked_sub(1)?,
        )?;
        let uid = run.first + (index - run.before);
        (uid <= run.last).then_some(uid)
    }

    /// Adds a message at the end.
    pub(crate) fn push(&mut self, uid: Uid) {
        let before = self.count();
        match self.runs.last_mut() {
            Some(run) if uid.0 <= run.last => {}
            Some(run) if uid.0 == run.last + 1 => run.last = uid.0,
            _ => self.runs.push(Run {
                first: uid.0,
                last: uid.0,
                before,
            }),
        }
    }

    /// All of them as a set.
    pub(crate) fn to_set(&self) -> UidSet {
        let mut set = UidSet::default();
        self.runs
            .iter()
            .for_each(|run| set.insert_range(run.first..=run.last));
        set
    }

    /// Those that are also in `set`.
    pub(crate) fn intersection(&self, set: &UidSet) -> UidSet {
        self.select(
            set.ranges().to_vec(),
            |run| (run.first, run.last),
            |_, range| range,
        )
    }

    /// The UIDs of a command's set, of message numbers or UIDs.
    pub(crate) fn resolve(&self, set: &SequenceSet, uid: bool) -> UidSet {
        let last = if uid { self.last() } else { self.count() };
        let mut wanted: Vec<_> = set.resolve(last).collect();
        wanted.sort_unstable_by_key(|range| *range.start());
        if uid {
            self.select(wanted, |run| (run.first, run.last), |_, range| range)
        } else {
            let numbers = |run: &Run| (run.before + 1, run.before + (run.last - run.first + 1));
            self.select(wanted, numbers, |run, range| {
                let shift = |number: u32| run.first + (number - run.before - 1);
                shift(*range.start())..=shift(*range.end())
            })
        }
    }

    /// Walks sorted ranges and runs side by side: one pass, however many of either there are.
    fn select(
        &self,
        wanted: Vec<RangeInclusive<u32>>,
        bounds: impl Fn(&Run) -> (u32, u32),
        uids: impl Fn(&Run, RangeInclusive<u32>) -> RangeInclusive<u32>,
    ) -> UidSet {
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(wanted.len());
        for range in wanted {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.1 => last.1 = last.1.max(*range.end()),
                _ => merged.push((*range.start(), *range.end())),
            }
        }
        let mut found = UidSet::default();
        let mut runs = self.runs.iter().peekable();
        for (start, end) in merged {
            while runs.next_if(|run| bounds(run).1 < start).is_some() {}
            while let Some(&run) = runs.peek() {
                let (first, last) = bounds(run);
                if first > end {
                    break;
                }
                found.insert_range(uids(run, start.max(first)..=end.min(last)));
                if last > end {
                    break;
                }
                runs.next();
            }
        }
        found
    }

    /// Removes messages; the numbers of the others move up.
    pub(crate) fn remove(&mut self, gone: &UidSet) {
        let mut left = Vec::with_capacity(self.runs.len());
        let mut before = 0;
        let mut keep = |first: u32, last: u32| {
            left.push(Run { first, last, before });
            before += last - first + 1;
        };
        let mut gone = gone.ranges().iter().peekable();
        for run in &self.runs {
            let mut first = run.first;
            while gone.next_if(|range| *range.end() < first).is_some() {}
            let mut done = false;
            while let Some(range) = gone.peek().filter(|range| *range.start() <= run.last) {
                if first < *range.start() {
                    keep(first, *range.start() - 1);
                }
                if *range.end() >= run.last {
                    done = true;
                    break;
                }
                first = range.end() + 1;
                gone.next();
            }
            if !done {
                keep(first, run.last);
            }
        }
        self.runs = left;
    }

    /// The message numbers of UIDs in the list, as ascending ranges.
    pub(crate) fn numbers(&self, set: &UidSet) -> UidSet {
        let mut numbers = UidSet::default();
        let mut runs = self.runs.iter().peekable();
        for range in set.ranges() {
            while runs.next_if(|run| run.last < *range.start()).is_some() {}
            while let Some(&run) = runs.peek() {
                if run.first > *range.end() {
                    break;
                }
                let number = |uid: u32| run.before + (uid - run.first) + 1;
                let (first, last) = (run.first.max(*range.start()), run.last.min(*range.end()));
                numbers.insert_range(number(first)..=number(last));
                if run.last > *range.end() {
                    break;
                }
                runs.next();
            }
        }
        numbers
    }
}

/// Splits off the first UIDs of a set, at most `count`.
pub(crate) fn take_first(set: &mut UidSet, count: usize) -> UidSet {
    let (mut first, mut rest) = (UidSet::default(), UidSet::default());
    let mut room = count as u64;
    for range in set.ranges() {
        let (start, end) = (u64::from(*range.start()), u64::from(*range.end()));
        let taken = room.min(end - start + 1);
        if taken > 0 {
            first.insert_range(start as u32..=(start + taken - 1) as u32);
            room -= taken;
        }
        if start + taken <= end {
            rest.insert_range((start + taken) as u32..=end as u32);
        }
    }
    *set = rest;
    first
}

/// Removes all UIDs up to and with `uid`.
pub(crate) fn drop_through(set: &mut UidSet, uid: Uid) {
    let mut rest = UidSet::default();
    for range in set.ranges() {
        if let Some(above) = uid.0.checked_add(1).filter(|above| above <= range.end()) {
            rest.insert_range(above.max(*range.start())..=*range.end());
        }
    }
    *set = rest;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::reader::Reader;

    fn set(uids: &[u32]) -> UidSet {
        let mut set = UidSet::default();
        for &uid in uids {
            set.insert(Uid(uid));
        }
        set
    }

    fn sequence(text: &str) -> SequenceSet {
        SequenceSet::read(&mut Reader::new(text.as_bytes(), false)).unwrap()
    }

    #[test]
    fn numbers_and_uids_agree_with_a_plain_vector() {
        // Every subset of 1..=8 as list, and every set of removals.
        for mask in 0u32..256 {
            let uids: Vec<u32> = (0..8)
                .filter(|bit| mask >> bit & 1 == 1)
                .map(|bit| bit + 1)
                .collect();
            let list = UidList::new(&set(&uids));
            assert_eq!(list.count() as usize, uids.len());
            assert_eq!(list.last(), uids.last().copied().unwrap_or(0));
            for (index, &uid) in uids.iter().enumerate() {
                assert_eq!(list.number(Uid(uid)), Some(index as u32 + 1));
                assert_eq!(list.uid(index as u32 + 1), Some(uid));
            }
            assert_eq!(list.uid(uids.len() as u32 + 1), None);
            let by_number = list.resolve(&sequence("2:3,*,3:5"), false);
            let expected: Vec<u32> = uids
                .iter()
                .enumerate()
                .filter(|(index, _)| (1..5).contains(index) || *index == uids.len() - 1)
                .map(|(_, &uid)| uid)
                .collect();
            // With fewer than three messages 3:5 reaches beyond the end, and nothing is there.
            assert_eq!(
                by_number.iter().map(|u| u.0).collect::<Vec<_>>(),
                expected,
                "{uids:?}"
            );
            for gone in (0u32..256).step_by(7) {
                let removed: Vec<u32> = (0..8)
                    .filter(|bit| gone >> bit & 1 == 1)
                    .map(|bit| bit + 1)
                    .collect();
                let mut less = list.clone();
                less.remove(&set(&removed));
                let left: Vec<u32> = uids
                    .iter()
                    .copied()
                    .filter(|uid| !removed.contains(uid))
                    .collect();
                assert_eq!(less.to_set(), set(&left));
                assert_eq!(less.count() as usize, left.len());
                let both: Vec<u32> = uids.iter().copied().filter(|uid| removed.contains(uid)).collect();
                assert_eq!(list.intersection(&set(&removed)), set(&both));
                let places: Vec<u32> = both.iter().map(|&uid| list.number(Uid(uid)).unwrap()).collect();
                assert_eq!(list.numbers(&set(&both)), set(&places));
            }
        }
    }

    #[test]
    fn sets_are_cut() {
        let mut rest = set(&[1, 2, 3, 7, 8, 20]);
        assert_eq!(take_first(&mut rest, 4), set(&[1, 2, 3, 7]));
        assert_eq!(rest, set(&[8, 20]));
        drop_through(&mut rest, Uid(8));
        assert_eq!(rest, set(&[20]));
        drop_through(&mut rest, Uid(u32::MAX));
        assert!(rest.is_empty());
        let mut list = UidList::new(&set(&[1, 2]));
        for uid in [3, 3, 9] {
            list.push(Uid(uid));
        }
        assert_eq!((list.count(), list.number(Uid(9))), (4, Some(4)));
    }
}
