//! The maildrop: the inbox's messages as they were at login, numbered from 1.

use ringpost_mapi::Uid;
use ringpost_store::UidSet;

/// Which messages there are, and which of them are marked as deleted. Costs some bytes a gap between UIDs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Maildrop {
    uid_validity: u32,
    uids: UidSet,
    /// How many messages come before each range of `uids`.
    before: Vec<u32>,
    count: u32,
    deleted: UidSet,
}

impl Maildrop {
    pub(crate) fn new(uid_validity: u32, uids: UidSet) -> Self {
        let mut count = 0_u32;
        let before = uids
            .ranges()
            .iter()
            .map(|range| {
                let earlier = count;
                count = count
                    .saturating_add(range.end() - range.start())
                    .saturating_add(1);
                earlier
            })
            .collect();
        Self {
            uid_validity,
            uids,
            before,
            count,
            deleted: UidSet::default(),
        }
    }

    /// Messages, deleted ones included.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Messages that are not marked as deleted.
    pub(crate) fn remaining(&self) -> u32 {
        self.count - self.deleted.len() as u32
    }

    /// The UID of a message that is not marked as deleted.
    pub(crate) fn uid(&self, number: u32) -> Option<Uid> {
        self.any_uid(number).filter(|&uid| !self.deleted.contains(uid))
    }

    fn any_uid(&self, number: u32) -> Option<Uid> {
        let index = number.checked_sub(1).filter(|&index| index < self.count)?;
        let range = self
            .before
            .partition_point(|&before| before <= index)
            .checked_sub(1)?;
        let start = *self.uids.ranges().get(range)?.start();
        Some(Uid(start + (index - self.before.get(range)?)))
    }

    /// The number of a message.
    pub(crate) fn number(&self, uid: Uid) -> Option<u32> {
        let range = self.uids.ranges().partition_point(|range| *range.end() < uid.0);
        let found = self
            .uids
            .ranges()
            .get(range)
            .filter(|range| range.contains(&uid.0))?;
        Some(self.before.get(range)? + (uid.0 - found.start()) + 1)
    }

    /// The unique-id (RFC 1939 §7): never given to another message of this mailbox.
    pub(crate) fn unique_id(&self, uid: Uid) -> String {
        format!("{:08x}{:08x}", self.uid_validity, uid.0)
    }

    /// Marks a message as deleted.
    pub(crate) fn delete(&mut self, uid: Uid) {
        self.deleted.insert(uid);
    }

    /// Takes all marks off.
    pub(crate) fn reset(&mut self) {
        self.deleted = UidSet::default();
    }

    /// What QUIT is to remove.
    pub(crate) const fn deleted(&self) -> &UidSet {
        &self.deleted
    }

    /// The UIDs of at most `limit` messages from `number` on (deleted ones included), and the number to go on
    /// with.
    pub(crate) fn batch(&self, number: u32, limit: usize) -> (UidSet, u32) {
        let mut set = UidSet::default();
        let (mut next, end) = (
            number,
            self.count
                .min(number.saturating_add(limit as u32).saturating_sub(1)),
        );
        while next <= end {
            let Some(uid) = self.any_uid(next) else { break };
            let range = self.uids.ranges().partition_point(|range| *range.end() < uid.0);
            let Some(range) = self.uids.ranges().get(range) else {
                break;
            };
            let last = (*range.end()).min(uid.0.saturating_add(end - next));
            set.insert_range(uid.0..=last);
            next += last - uid.0 + 1;
        }
        (set, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildrop() -> Maildrop {
        let mut uids = UidSet::default();
        uids.insert_range(3..=5);
        uids.insert_range(10..=10);
        uids.insert_range(20..=29);
        Maildrop::new(7, uids)
    }

    #[test]
    fn numbers_and_uids_match() {
        let mut drop = maildrop();
        assert_eq!(drop.count(), 14);
        let uids: Vec<u32> = (1..=14).map(|number| drop.uid(number).unwrap().0).collect();
        assert_eq!(uids, [3, 4, 5, 10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
        for (number, uid) in uids.iter().enumerate() {
            assert_eq!(drop.number(Uid(*uid)), Some(number as u32 + 1));
        }
        assert_eq!(
            (drop.uid(0), drop.uid(15), drop.number(Uid(6))),
            (None, None, None)
        );
        drop.delete(Uid(10));
        assert_eq!((drop.uid(4), drop.remaining()), (None, 13));
        drop.reset();
        assert_eq!(drop.uid(4), Some(Uid(10)));
        assert_eq!(drop.unique_id(Uid(10)), "000000070000000a");
    }

    #[test]
    fn batches_cover_all_messages_once() {
        let drop = maildrop();
        for limit in 1..=15 {
            let (mut all, mut number) = (Vec::new(), 1);
            while number <= drop.count() {
                let (uids, next) = drop.batch(number, limit);
                assert!(uids.len() <= limit && next > number);
                all.extend(uids.iter());
                number = next;
            }
            assert_eq!(all.len(), 14, "batches of {limit}");
        }
        assert!(Maildrop::default().batch(1, 10).0.is_empty());
    }
}
