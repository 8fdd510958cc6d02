//! Whether a table's rows may have changed since it was listed, without asking the database.

use std::collections::HashMap;

use ringpost_mapi::{FileTime, FolderId};

/// A number for each folder that grows whenever something in it changes. It starts with the time the mailbox was
/// opened: a table that outlives the open mailbox is listed again, once.
#[derive(Debug)]
pub(crate) struct Stamps {
    latest: u64,
    /// What every folder has at least.
    floor: u64,
    of: HashMap<FolderId, u64>,
}

impl Stamps {
    pub(crate) fn new() -> Self {
        let now = FileTime::now().0;
        Self {
            latest: now,
            floor: now,
            of: HashMap::new(),
        }
    }

    /// Something in the folder, or the folder itself, changed.
    pub(crate) fn touch(&mut self, folder: FolderId) {
        self.latest += 1;
        self.of.insert(folder, self.latest);
    }

    /// Anything may have changed.
    pub(crate) fn touch_all(&mut self) {
        self.latest += 1;
        self.floor = self.latest;
        self.of.clear();
    }

    pub(crate) fn of(&self, folder: FolderId) -> u64 {
        self.of.get(&folder).copied().unwrap_or(self.floor)
    }

    /// The stamp of the latest change anywhere.
    pub(crate) fn latest(&self) -> u64 {
        self.latest
    }
}
