//! What was asked of the server, what it acknowledged, and so what may be found.
//!
//! Each thing, a message or a folder, has a history of operations. An operation begins at an instant and is
//! acknowledged at a later one, or never. At any instant in between, what the thing looks like is known from
//! its acknowledged operations; one that is not acknowledged is done or not done, never half:
//!
//! ```text
//! create ───acknowledged──┐   set flags ──(no answer yet)
//!                         └──► {created}      └──► {created, created with flags}
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A place in time: a count of what happened on the disk, or of what clients did.
pub(crate) type Instant = usize;
/// A folder, whatever its name is.
pub(crate) type FolderKey = u32;

/// The inbox, and the folder that copies go to: they keep their names.
pub(crate) const INBOX: FolderKey = 1;
pub(crate) const COPIES: FolderKey = 2;
/// Above the folders that are at the top.
pub(crate) const TOP: FolderKey = 0;
/// The first key of folders that come and go.
pub(crate) const FIRST_FOLDER: FolderKey = 10;

/// A message: its number, and whether it is the copy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Item {
    pub(crate) token: u64,
    pub(crate) is_copy: bool,
}

/// How a message is to be found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Kept {
    pub(crate) folder: FolderKey,
    pub(crate) flags: Vec<String>,
    /// Where the server told it.
    pub(crate) uid: Option<u32>,
}

/// What an operation does to a thing, of which `K` says how it is to be found.
#[derive(Clone, Debug)]
pub(crate) enum Effect<K> {
    /// It is there from now on, like this.
    Make(K),
    /// Flags, of a message.
    Flags(Vec<String>),
    /// To another folder, of a message; to another name or place, of a folder.
    Move(K),
    Remove,
}

#[derive(Clone, Debug)]
struct Step<K> {
    began: Instant,
    acknowledged: Option<Instant>,
    effect: Effect<K>,
}

/// What happened to one thing.
#[derive(Clone, Debug)]
pub(crate) struct History<K> {
    steps: Vec<Step<K>>,
}

impl<K> Default for History<K> {
    fn default() -> Self {
        Self { steps: Vec::new() }
    }
}

/// How a folder is to be found: the folder above it, and its own name.
pub(crate) type FolderPlace = (FolderKey, String);

/// What a thing that is kept so looks like after an effect that has no new place in it.
pub(crate) trait WithFlags {
    fn with_flags(&self, flags: &[String]) -> Self;
    fn moved(&self, to: &Self) -> Self;
}

impl WithFlags for Kept {
    fn with_flags(&self, flags: &[String]) -> Self {
        Self {
            flags: flags.to_vec(),
            ..self.clone()
        }
    }

    fn moved(&self, to: &Self) -> Self {
        Self {
            flags: self.flags.clone(),
            ..to.clone()
        }
    }
}

impl WithFlags for FolderPlace {
    fn with_flags(&self, _: &[String]) -> Self {
        self.clone()
    }

    fn moved(&self, to: &Self) -> Self {
        to.clone()
    }
}

impl<K: Clone + Ord + WithFlags> History<K> {
    /// How the thing may be found at an instant; `None` stands for "not there".
    ///
    /// Empty when an acknowledged change was made to what was never there: then the record is at fault.
    pub(crate) fn allowed(&self, at: Instant) -> BTreeSet<Option<K>> {
        let mut states = BTreeSet::from([None]);
        for step in &self.steps {
            if step.began >= at {
                continue;
            }
            let after = states.iter().filter_map(|state| step.effect.on(state.as_ref()));
            let after: BTreeSet<Option<K>> = after.collect();
            match step.acknowledged {
                Some(acknowledged) if acknowledged <= at => states = after,
                _ => states.extend(after),
            }
        }
        states
    }

    fn settle(&mut self, found: Option<K>) {
        self.steps.clear();
        if let Some(kept) = found {
            self.steps.push(Step {
                began: 0,
                acknowledged: Some(0),
                effect: Effect::Make(kept),
            });
        }
    }
}

impl<K: Clone + WithFlags> Effect<K> {
    /// The state after it; `None`: it can't have happened to this.
    #[allow(clippy::option_option)] // A state is an option: the thing is there or not.
    fn on(&self, state: Option<&K>) -> Option<Option<K>> {
        match (self, state) {
            (Self::Make(kept), None) => Some(Some(kept.clone())),
            (Self::Flags(flags), Some(kept)) => Some(Some(kept.with_flags(flags))),
            (Self::Move(to), Some(kept)) => Some(Some(kept.moved(to))),
            (Self::Remove, Some(_)) => Some(None),
            _ => None,
        }
    }
}

/// One mailbox's record.
#[derive(Clone, Default, Debug)]
pub(crate) struct MailboxRecord {
    pub(crate) messages: BTreeMap<Item, History<Kept>>,
    pub(crate) folders: BTreeMap<FolderKey, History<FolderPlace>>,
    /// Instants of acknowledgements: good moments to lose power.
    pub(crate) acknowledgements: Vec<Instant>,
    /// Operations that the server refused.
    pub(crate) refused: usize,
}

/// An operation that has begun: where it is in the record.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    messages: Vec<(Item, usize)>,
    folder: Option<(FolderKey, usize)>,
}

impl MailboxRecord {
    /// An operation on messages begins.
    pub(crate) fn begin(&mut self, now: Instant, effects: Vec<(Item, Effect<Kept>)>) -> Begun {
        let messages = effects
            .into_iter()
            .map(|(item, effect)| {
                let steps = &mut self.messages.entry(item).or_default().steps;
                steps.push(Step {
                    began: now,
                    acknowledged: None,
                    effect,
                });
                (item, steps.len() - 1)
            })
            .collect();
        Begun {
            messages,
            folder: None,
        }
    }

    /// An operation on a folder begins.
    pub(crate) fn begin_folder(
        &mut self,
        now: Instant,
        key: FolderKey,
        effect: Effect<FolderPlace>,
    ) -> Begun {
        let steps = &mut self.folders.entry(key).or_default().steps;
        steps.push(Step {
            began: now,
            acknowledged: None,
            effect,
        });
        Begun {
            messages: Vec::new(),
            folder: Some((key, steps.len() - 1)),
        }
    }

    /// It was acknowledged.
    pub(crate) fn acknowledge(&mut self, now: Instant, begun: &Begun) {
        for (item, index) in &begun.messages {
            if let Some(step) = self.messages.get_mut(item).and_then(|h| h.steps.get_mut(*index)) {
                step.acknowledged = Some(now);
            }
        }
        if let Some((key, index)) = begun.folder
            && let Some(step) = self.folders.get_mut(&key).and_then(|h| h.steps.get_mut(index))
        {
            step.acknowledged = Some(now);
        }
        self.acknowledgements.push(now);
    }

    /// The server told the UID of a message that an operation made or moved.
    pub(crate) fn tell_uid(&mut self, begun: &Begun, item: Item, told: u32) {
        let index = begun.messages.iter().find(|(known, _)| *known == item);
        let Some((_, index)) = index else { return };
        let step = self.messages.get_mut(&item).and_then(|h| h.steps.get_mut(*index));
        if let Some(Step {
            effect: Effect::Make(kept) | Effect::Move(kept),
            ..
        }) = step
        {
            kept.uid = Some(told);
        }
    }

    /// From now on, what was found is what there is: for the next round on the same data.
    pub(crate) fn settle(
        &mut self,
        messages: &BTreeMap<Item, Kept>,
        folders: &BTreeMap<FolderKey, FolderPlace>,
    ) {
        for (item, history) in &mut self.messages {
            history.settle(messages.get(item).cloned());
        }
        self.messages.retain(|_, history| !history.steps.is_empty());
        for (key, history) in &mut self.folders {
            history.settle(folders.get(key).cloned());
        }
        self.folders.retain(|_, history| !history.steps.is_empty());
        self.acknowledgements.clear();
    }
}

/// The record of all mailboxes. One client writes to each, and deliveries.
#[derive(Default)]
pub(crate) struct Oracle {
    mailboxes: Vec<Mutex<MailboxRecord>>,
}

impl Oracle {
    pub(crate) fn new(mailboxes: usize) -> Self {
        Self {
            mailboxes: (0..mailboxes).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn mailbox(&self, user: usize) -> MutexGuard<'_, MailboxRecord> {
        self.mailboxes[user]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Every acknowledgement's instant, in order.
    pub(crate) fn acknowledgements(&self) -> Vec<Instant> {
        let mut all: Vec<Instant> = (0..self.mailboxes.len())
            .flat_map(|user| self.mailbox(user).acknowledgements.clone())
            .collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: Item = Item {
        token: 1,
        is_copy: false,
    };

    fn kept(folder: FolderKey, flags: &[&str]) -> Kept {
        Kept {
            folder,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            uid: None,
        }
    }

    fn allowed(record: &MailboxRecord, at: Instant) -> Vec<Option<Kept>> {
        record.messages[&ITEM].allowed(at).into_iter().collect()
    }

    #[test]
    fn what_is_under_way_is_done_or_not() {
        let mut record = MailboxRecord::default();
        let made = record.begin(10, vec![(ITEM, Effect::Make(kept(INBOX, &[])))]);
        assert_eq!(
            allowed(&record, 10),
            [None],
            "nothing of what begins now is there yet"
        );
        assert_eq!(allowed(&record, 11), [None, Some(kept(INBOX, &[]))]);
        record.acknowledge(20, &made);
        assert_eq!(allowed(&record, 19), [None, Some(kept(INBOX, &[]))]);
        assert_eq!(allowed(&record, 20), [Some(kept(INBOX, &[]))]);
        let flagged = record.begin(30, vec![(ITEM, Effect::Flags(vec!["a".to_owned()]))]);
        assert_eq!(
            allowed(&record, 31),
            [Some(kept(INBOX, &[])), Some(kept(INBOX, &["a"]))]
        );
        record.acknowledge(40, &flagged);
        record.begin(50, vec![(ITEM, Effect::Move(kept(7, &[])))]);
        let both = [Some(kept(INBOX, &["a"])), Some(kept(7, &["a"]))];
        assert_eq!(allowed(&record, 60), both, "in one of the two, with its flags");
        record.begin(61, vec![(ITEM, Effect::Remove)]);
        assert_eq!(allowed(&record, 62).len(), 3);
    }

    #[test]
    fn a_change_to_what_a_delivery_has_not_acknowledged_yet_implies_it() {
        let mut record = MailboxRecord::default();
        record.begin(1, vec![(ITEM, Effect::Make(kept(INBOX, &[])))]);
        let moved = record.begin(2, vec![(ITEM, Effect::Move(kept(7, &[])))]);
        record.acknowledge(3, &moved);
        assert_eq!(allowed(&record, 3), [Some(kept(7, &[]))]);
    }

    #[test]
    fn a_told_uid_counts_and_settling_forgets_the_past() {
        let mut record = MailboxRecord::default();
        let made = record.begin(1, vec![(ITEM, Effect::Make(kept(INBOX, &[])))]);
        record.tell_uid(&made, ITEM, 17);
        record.acknowledge(2, &made);
        let found = Kept {
            uid: Some(17),
            ..kept(INBOX, &[])
        };
        assert_eq!(allowed(&record, 5), [Some(found.clone())]);
        let folder = record.begin_folder(3, FIRST_FOLDER, Effect::Make((TOP, "x".to_owned())));
        record.acknowledge(4, &folder);
        record.settle(&BTreeMap::from([(ITEM, found.clone())]), &BTreeMap::new());
        assert_eq!(allowed(&record, 1), [Some(found)]);
        assert!(record.folders.is_empty());
    }

    #[test]
    fn an_acknowledged_change_to_nothing_is_a_fault_of_the_record() {
        let mut record = MailboxRecord::default();
        let moved = record.begin(1, vec![(ITEM, Effect::Remove)]);
        record.acknowledge(2, &moved);
        assert!(record.messages[&ITEM].allowed(3).is_empty());
    }
}
