//! Faults that the disk shows on demand: errors, short writes.

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::random::Random;

/// What a server may ask of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Open,
    Create,
    Rename,
    Remove,
    Read,
    Write,
    Resize,
    Sync,
}

/// What happens instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    /// It fails with this error number.
    Error(i32),
    /// A part of it is done (of a write).
    Short,
}

/// A fault that lasts until it is lifted.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Only below this path.
    pub(crate) below: String,
    /// Only where the path contains this; empty: everywhere.
    pub(crate) containing: &'static str,
    pub(crate) operations: &'static [Operation],
    pub(crate) effect: Effect,
    /// In so many of a hundred cases.
    pub(crate) percent: usize,
}

/// The faults that are in force.
#[derive(Default)]
pub(crate) struct Faults {
    list: Mutex<Vec<Fault>>,
    random: Mutex<Option<Random>>,
    shown: AtomicU64,
}

impl Faults {
    /// From now on these and no others.
    pub(crate) fn set(&self, faults: Vec<Fault>, seed: u64) {
        *lock(&self.random) = Some(Random::new(seed));
        *lock(&self.list) = faults;
    }

    /// The disk is sound again.
    pub(crate) fn lift(&self) {
        lock(&self.list).clear();
    }

    /// How often a fault was shown.
    pub(crate) fn shown(&self) -> u64 {
        self.shown.load(Relaxed)
    }

    /// Whether any fault is in force: if not, nobody needs to ask for paths.
    pub(crate) fn any(&self) -> bool {
        !lock(&self.list).is_empty()
    }

    /// What happens instead of an operation on this path, if anything.
    pub(crate) fn on(&self, operation: Operation, path: &Path) -> Option<Effect> {
        let text = path.to_string_lossy();
        let list = lock(&self.list);
        let fault = list.iter().find(|fault| {
            fault.operations.contains(&operation)
                && path.starts_with(&fault.below)
                && text.contains(fault.containing)
        })?;
        let shown = lock(&self.random)
            .as_mut()
            .is_none_or(|random| random.percent(fault.percent));
        if !shown {
            return None;
        }
        self.shown.fetch_add(1, Relaxed);
        Some(fault.effect)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_shown_where_it_belongs_until_it_is_lifted() {
        let faults = Faults::default();
        assert!(!faults.any());
        let fault = Fault {
            below: "a".to_owned(),
            containing: "-wal",
            operations: &[Operation::Sync],
            effect: Effect::Error(5),
            percent: 100,
        };
        faults.set(vec![fault], 1);
        let shown = Some(Effect::Error(5));
        assert_eq!(faults.on(Operation::Sync, Path::new("a/x-wal")), shown);
        assert_eq!(faults.on(Operation::Write, Path::new("a/x-wal")), None);
        assert_eq!(faults.on(Operation::Sync, Path::new("ab/x-wal")), None);
        assert_eq!(faults.on(Operation::Sync, Path::new("a/x")), None);
        assert_eq!(faults.shown(), 1);
        faults.lift();
        assert_eq!(faults.on(Operation::Sync, Path::new("a/x-wal")), None);
    }
}
