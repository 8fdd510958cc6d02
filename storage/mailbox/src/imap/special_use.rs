//! What a client declared a folder to be for (RFC 6154 §3), beside the uses that built-in folders have.

use ringpost_mapi::{FolderId, PropTag, PropValue};

use crate::{EventKind, Mailbox, SpecialUse, StoreError};

/// The property of the store: a folder's id as on disk and its uses, with spaces between, a string a folder. Of the
/// range that is a store's own and goes to no client (MS-OXPROPS 1.3.3).
const SPECIAL_USES: PropTag = PropTag(0x67fa_101f);
/// Folders that clients declared a use of.
pub const MAX_SPECIAL_USES: usize = 100;

/// How a use is written in the property.
const NAMES: [(SpecialUse, &str); 5] = [
    (SpecialUse::Archive, "archive"),
    (SpecialUse::Drafts, "drafts"),
    (SpecialUse::Junk, "junk"),
    (SpecialUse::Sent, "sent"),
    (SpecialUse::Trash, "trash"),
];

impl Mailbox {
    /// The uses that clients declared. A folder that is listed may be gone.
    pub fn special_uses(&mut self) -> Result<Vec<(FolderId, Vec<SpecialUse>)>, StoreError> {
        let Some(PropValue::MultipleString(entries)) = self.store_properties()?.remove(SPECIAL_USES) else {
            return Ok(Vec::new());
        };
        entries
            .iter()
            .map(|entry| {
                let mut words = entry.split(' ');
                let id = words.next().and_then(|id| id.parse().ok());
                let id = id.ok_or_else(|| StoreError::damaged("special use"))?;
                let uses = words.filter_map(|word| {
                    let known = NAMES.iter().find(|(_, name)| *name == word);
                    known.map(|(special, _)| *special)
                });
                Ok((FolderId::from_disk(id), uses.collect()))
            })
            .collect()
    }

    /// Declares what a folder is for; an empty list takes that back.
    pub fn set_special_uses(&mut self, folder: FolderId, uses: &[SpecialUse]) -> Result<(), StoreError> {
        self.transaction(|store| {
            store.folder(folder)?;
            let mut all = Vec::new();
            for (id, uses) in store.special_uses()? {
                if id == folder {
                    continue;
                }
                match store.folder(id) {
                    Ok(_) => all.push((id, uses)),
                    // Deleted since.
                    Err(StoreError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if !uses.is_empty() {
                all.push((folder, uses.to_vec()));
            }
            if all.len() > MAX_SPECIAL_USES {
                return Err(StoreError::LimitExceeded("special uses"));
            }
            let entry = |(id, uses): (FolderId, Vec<SpecialUse>)| {
                let names = NAMES.iter().filter(|(special, _)| uses.contains(special));
                names.fold(id.to_disk().to_string(), |entry, (_, name)| {
                    format!("{entry} {name}")
                })
            };
            let mut properties = store.store_properties()?;
            if all.is_empty() {
                properties.remove(SPECIAL_USES);
            } else {
                let entries = all.into_iter().map(entry).collect();
                properties.set(SPECIAL_USES, PropValue::MultipleString(entries));
            }
            store.set_store_properties(&properties)?;
            let change = store.next_change();
            store.tell(EventKind::FolderChanged, folder, None, change);
            Ok(())
        })
    }
}
