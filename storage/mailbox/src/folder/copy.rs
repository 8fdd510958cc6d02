//! Copying a folder, and emptying one (MS-OXCFOLD 2.2.1.8, 2.2.1.9).

use std::collections::HashMap;

use ringpost_mapi::{FileTime, FolderId, MessageId};

use super::{FIRST_FREE_ID, MAX_DEPTH};
use crate::{Mailbox, StoreError, message::removal::Removal};

impl Mailbox {
    /// Copies a folder with its properties and messages, associated ones too, into `parent`; with `recursive`
    /// also what is below it. Rules and permissions stay behind. A copied search folder has the same criteria and
    /// is still to be filled ([`Self::search_step`]); folders of its scope that are gone are left out. The copy's id.
    pub fn copy_folder(
        &mut self,
        folder: FolderId,
        parent: FolderId,
        name: &str,
        recursive: bool,
    ) -> Result<FolderId, StoreError> {
        self.transaction(|store| {
            let path = store.path_to(parent)?;
            if path.contains(&folder) {
                return Err(StoreError::NotAllowed("a folder can't be copied into itself"));
            }
            if recursive && path.len() + store.height(folder)? > MAX_DEPTH {
                return Err(StoreError::LimitExceeded("depth of folders"));
            }
            let top = store.copy_one(folder, parent, name)?;
            if !recursive {
                return Ok(top);
            }
            let mut copies = HashMap::from([(folder, top)]);
            for below in store.folders(folder)? {
                // Parents come first.
                let Some(above) = below.parent.and_then(|above| copies.get(&above)).copied() else {
                    continue;
                };
                let copy = store.copy_one(below.id, above, &below.name)?;
                copies.insert(below.id, copy);
            }
            Ok(top)
        })
    }

    fn copy_one(&mut self, folder: FolderId, parent: FolderId, name: &str) -> Result<FolderId, StoreError> {
        let original = self.folder(folder)?;
        let properties = self.folder_properties(folder)?;
        let copy = if original.is_search {
            self.create_search_folder(parent, name)?
        } else {
            self.check_new_place(parent, name)?;
            let id = FolderId::own(self.next_id());
            self.make_folder(id, parent, name, Some(&original.container_class), FileTime::now())?;
            id
        };
        if !properties.is_empty() {
            self.set_folder_properties(copy, &properties)?;
        }
        if original.is_search {
            if let Some((mut criteria, _)) = self.search_criteria(folder)? {
                // Folders that were deleted since are not looked for again.
                let mut scope = Vec::with_capacity(criteria.scope.len());
                for root in criteria.scope {
                    match self.folder(root) {
                        Ok(_) => scope.push(root),
                        Err(StoreError::NotFound(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                criteria.scope = scope;
                if !criteria.scope.is_empty() {
                    self.set_search_criteria(copy, &criteria)?;
                }
            }
            return Ok(copy);
        }
        let messages = self.messages_in(folder, "state < 2")?;
        self.copy_to(folder, &messages, copy)?;
        Ok(copy)
    }

    /// Removes a folder's messages, with `associated` the associated ones too, and the folders below it; built-in
    /// ones stay. With `hard` all of it goes for good (`RopHardDeleteMessagesAndSubfolders`), otherwise it can
    /// be restored (`RopEmptyFolder`). What was soft-deleted before stays so.
    pub fn empty_folder(&mut self, folder: FolderId, associated: bool, hard: bool) -> Result<(), StoreError> {
        self.transaction(|store| {
            if store.folder(folder)?.is_search {
                return Err(StoreError::NotAllowed(
                    "a search folder holds no messages of its own",
                ));
            }
            let which = if associated { "state < 2" } else { "state = 0" };
            let messages = store.messages_in(folder, which)?;
            if hard {
                let ids: Vec<i64> = messages.into_iter().map(MessageId::to_disk).collect();
                store.remove_messages(folder, &ids, Removal::Deleted)?;
            } else {
                store.soft_delete(folder, &messages)?;
            }
            for below in store.folders(folder)? {
                if below.parent != Some(folder) || below.id.counter() < FIRST_FREE_ID {
                    continue;
                }
                if hard {
                    store.delete_folder(below.id, true)?;
                } else {
                    store.soft_delete_folder(below.id)?;
                }
            }
            Ok(())
        })
    }

    /// The messages of a folder, by id, that a condition on their state holds for.
    fn messages_in(&self, folder: FolderId, state: &'static str) -> Result<Vec<MessageId>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id FROM messages WHERE folder = ?1 AND {state} ORDER BY id"
        ))?;
        let ids = statement.query_map([folder.to_disk()], |row| row.get(0).map(MessageId::from_disk))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}
