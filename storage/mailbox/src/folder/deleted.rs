//! Soft deletion of folders: they are hidden with all they hold, can be restored, and go for good later.
//!
//! The folder itself has `state` 1, the ones below it 2: they come back with it. What was soft-deleted before,
//! folder or message, stays so. Meanwhile nothing of it counts in the store's size.

use ringpost_mapi::{FileTime, FolderId};
use rusqlite::{OptionalExtension, params};

use super::{FIRST_FREE_ID, MAX_DEPTH, tree::name_key, tree::not_found};
use crate::{EventKind, Mailbox, StoreError, message::removal::Removal};

/// A folder that was soft-deleted itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedFolder {
    /// Which.
    pub id: FolderId,
    /// Where it was.
    pub parent: Option<FolderId>,
    /// Its name then.
    pub name: String,
    /// When it was deleted (`PidTagDeletedOn`).
    pub deleted: FileTime,
}

/// The folder itself is soft-deleted.
const DELETED: i64 = 1;
/// One above it is.
const BELOW: i64 = 2;

impl Mailbox {
    /// Hides a folder with all it holds. Search folders hold nothing and go for good.
    pub fn soft_delete_folder(&mut self, id: FolderId) -> Result<(), StoreError> {
        self.transaction(|store| {
            let folder = store.folder(id)?;
            if id.counter() < FIRST_FREE_ID {
                return Err(StoreError::NotAllowed("a built-in folder can't be deleted"));
            }
            if folder.is_search {
                return store.delete_tree(id, folder.parent);
            }
            let below = store.folders(id)?;
            for search in below.iter().filter(|one| one.is_search) {
                store.delete_tree(search.id, search.parent)?;
            }
            // The deepest first: who listens is never told of a folder whose parent is gone.
            for below in below.iter().rev().filter(|one| !one.is_search) {
                store.hide_folder(below.id, below.parent, BELOW)?;
            }
            store.hide_folder(id, folder.parent, DELETED)
        })
    }

    fn hide_folder(&mut self, id: FolderId, parent: Option<FolderId>, state: i64) -> Result<(), StoreError> {
        let change = self.next_change();
        self.connection
            .prepare_cached("UPDATE folders SET state = ?2, change = ?3, modified = ?4 WHERE id = ?1")?
            .execute(params![
                id.to_disk(),
                state,
                change.0 as i64,
                FileTime::now().0 as i64
            ])?;
        self.connection
            .prepare_cached("DELETE FROM receive_folders WHERE folder = ?1")?
            .execute([id.to_disk()])?;
        self.connection
            .prepare_cached(
                "INSERT INTO removed (folder, change, object, uid, kind) VALUES (0, ?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                change.0 as i64,
                id.to_disk(),
                parent.map_or(0, FolderId::to_disk),
                Removal::SoftDeleted as i64
            ])?;
        let size = self.folder_size(id)?;
        self.counters.size = self.counters.size.saturating_sub(size);
        self.tell(EventKind::FolderDeleted, id, None, change);
        Ok(())
    }

    /// Shows a soft-deleted folder again below `parent`, with what was hidden with it.
    pub fn restore_folder(&mut self, id: FolderId, parent: FolderId, name: &str) -> Result<(), StoreError> {
        self.transaction(|store| {
            let deleted = store
                .connection
                .prepare_cached("SELECT 1 FROM folders WHERE id = ?1 AND state = ?2")?
                .exists(params![id.to_disk(), DELETED])?;
            if !deleted {
                return Err(not_found(id));
            }
            store.check_new_place(parent, name)?;
            if store.path_to(parent)?.len() + store.height(id)? > MAX_DEPTH {
                return Err(StoreError::LimitExceeded("depth of folders"));
            }
            store
                .connection
                .prepare_cached("UPDATE folders SET parent = ?2, name = ?3, name_key = ?4 WHERE id = ?1")?
                .execute(params![id.to_disk(), parent.to_disk(), name, name_key(name)])?;
            let mut at = vec![id];
            while let Some(shown) = at.pop() {
                store.show_folder(shown)?;
                let mut below = store
                    .connection
                    .prepare_cached("SELECT id FROM folders WHERE parent = ?1 AND state = ?2 ORDER BY id")?;
                let ids = below.query_map(params![shown.to_disk(), BELOW], |row| {
                    row.get(0).map(FolderId::from_disk)
                })?;
                for below in ids {
                    at.push(below?);
                }
            }
            Ok(())
        })
    }

    fn show_folder(&mut self, id: FolderId) -> Result<(), StoreError> {
        let change = self.next_change();
        self.connection
            .prepare_cached("UPDATE folders SET state = 0, change = ?2, modified = ?3 WHERE id = ?1")?
            .execute(params![id.to_disk(), change.0 as i64, FileTime::now().0 as i64])?;
        self.counters.size += self.folder_size(id)?;
        self.tell(EventKind::FolderCreated, id, None, change);
        Ok(())
    }

    /// The folders that were soft-deleted out of `parent`, by id; out of any with `None`.
    pub fn deleted_folders(&mut self, parent: Option<FolderId>) -> Result<Vec<DeletedFolder>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, parent, name, modified FROM folders
             WHERE state = ?1 AND (?2 IS NULL OR parent = ?2) ORDER BY id",
        )?;
        let rows = statement.query_map(params![DELETED, parent.map(FolderId::to_disk)], |row| {
            Ok(DeletedFolder {
                id: FolderId::from_disk(row.get(0)?),
                parent: row.get::<_, Option<i64>>(1)?.map(FolderId::from_disk),
                name: row.get(2)?,
                deleted: FileTime(row.get::<_, i64>(3)? as u64),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Deletes a soft-deleted folder and what is below it for good.
    pub fn purge_folder(&mut self, id: FolderId) -> Result<(), StoreError> {
        self.transaction(|store| {
            let parent: Option<i64> = store
                .connection
                .prepare_cached("SELECT parent FROM folders WHERE id = ?1 AND state = ?2")?
                .query_row(params![id.to_disk(), DELETED], |row| row.get(0))
                .optional()?
                .ok_or_else(|| not_found(id))?;
            store.delete_tree(id, parent.map(FolderId::from_disk))
        })
    }

    /// Deletes for good the folders that were soft-deleted before `before`; how many.
    pub fn purge_folders(&mut self, before: FileTime) -> Result<usize, StoreError> {
        self.transaction(|store| {
            let mut purged = 0;
            for folder in store.deleted_folders(None)? {
                // One below another that went already is gone with it.
                let left = store
                    .connection
                    .prepare_cached("SELECT 1 FROM folders WHERE id = ?1")?
                    .exists([folder.id.to_disk()])?;
                if left && folder.deleted < before {
                    store.purge_folder(folder.id)?;
                    purged += 1;
                }
            }
            Ok(purged)
        })
    }

    /// What a hidden folder's messages weigh counts again, before they are removed from the count.
    pub(super) fn count_hidden_size(&mut self, id: FolderId) -> Result<(), StoreError> {
        let hidden = self
            .connection
            .prepare_cached("SELECT 1 FROM folders WHERE id = ?1 AND state <> 0")?
            .exists([id.to_disk()])?;
        if hidden {
            self.counters.size += self.folder_size(id)?;
        }
        Ok(())
    }

    fn folder_size(&self, id: FolderId) -> Result<u64, StoreError> {
        let size: i64 = self
            .connection
            .prepare_cached("SELECT size + associated_size FROM folders WHERE id = ?1")?
            .query_row([id.to_disk()], |row| row.get(0))?;
        Ok(size.max(0) as u64)
    }
}
