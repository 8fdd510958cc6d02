//! Listing, making, changing and deleting folders.

use std::collections::HashMap;

use ringpost_mapi::{ChangeNumber, FileTime, FolderId};
use rusqlite::{OptionalExtension, Row, params};

use super::{
    FIRST_FREE_ID, Folder, FolderChange, Kind, MAX_DEPTH, MAX_FOLDERS, MAX_NAME_BYTES, SpecialUse, built_in,
    names::insert_folder,
};
use crate::{EventKind, Mailbox, MailboxKind, StoreError, UidSet, message::removal::Removal};

/// Columns of [`read_folder`], in its order.
const COLUMNS: &str = "f.id, f.parent, f.name, f.class, f.search, f.subscribed, f.uid_validity, f.uid_next,
    f.messages, f.unread, f.associated, f.size + f.associated_size, f.content_change, f.change,
    EXISTS (SELECT 1 FROM folders c WHERE c.parent = f.id AND c.state = 0)";

impl Mailbox {
    /// All folders below (and without) `root`, parents before children, siblings by name.
    pub fn folders(&mut self, root: FolderId) -> Result<Vec<Folder>, StoreError> {
        let mut children: HashMap<FolderId, Vec<Folder>> = HashMap::new();
        {
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM folders f WHERE f.state = 0 AND f.parent IS NOT NULL
                 ORDER BY f.parent, f.name_key DESC"
            ))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let folder = read_folder(row, self.kind())?;
                if let Some(parent) = folder.parent {
                    children.entry(parent).or_default().push(folder);
                }
            }
        }
        let mut pending = children.remove(&root).unwrap_or_default();
        let mut folders = Vec::new();
        while let Some(folder) = pending.pop() {
            // Siblings wait in descending order, so the stack gives them in ascending order.
            pending.extend(children.remove(&folder.id).unwrap_or_default());
            folders.push(folder);
        }
        Ok(folders)
    }

    /// One folder.
    pub fn folder(&mut self, id: FolderId) -> Result<Folder, StoreError> {
        self.connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM folders f WHERE f.id = ?1 AND f.state = 0"
            ))?
            .query_row([id.to_disk()], |row| read_folder(row, self.kind()))
            .optional()?
            .ok_or_else(|| not_found(id))
    }

    /// The folders that were soft-deleted out of `parent`, by name.
    pub(crate) fn deleted_below(&self, parent: FolderId) -> Result<Vec<Folder>, StoreError> {
        let kind = self.kind();
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM folders f WHERE f.parent = ?1 AND f.state = 1 ORDER BY f.name_key, f.id"
        ))?;
        let rows = statement.query_map([parent.to_disk()], |row| read_folder(row, kind))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The subfolder of `parent` with this name (compared case-insensitively, as MAPI does).
    pub fn subfolder(&mut self, parent: FolderId, name: &str) -> Result<Option<Folder>, StoreError> {
        Ok(self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM folders f WHERE f.parent = ?1 AND f.name_key = ?2 AND f.state = 0"
            ))?
            .query_row(params![parent.to_disk(), name_key(name)], |row| {
                read_folder(row, self.kind())
            })
            .optional()?)
    }

    /// Makes a folder. Its class is inherited from `parent` where `container_class` is `None`.
    pub fn create_folder(
        &mut self,
        parent: FolderId,
        name: &str,
        container_class: Option<&str>,
    ) -> Result<FolderId, StoreError> {
        self.transaction(|store| {
            store.check_new_place(parent, name)?;
            let id = FolderId::own(store.next_id());
            store.make_folder(id, parent, name, container_class, FileTime::now())?;
            Ok(id)
        })
    }

    /// Whether a new folder may have this name below this parent.
    pub(super) fn check_new_place(&mut self, parent: FolderId, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        if self.folder(parent)?.is_search {
            return Err(StoreError::NotAllowed("a search folder has no subfolders"));
        }
        if self.path_to(parent)?.len() >= MAX_DEPTH {
            return Err(StoreError::LimitExceeded("depth of folders"));
        }
        if self.subfolder(parent, name)?.is_some() {
            return Err(StoreError::Exists(name.to_owned()));
        }
        let count: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM folders")?
            .query_row([], |row| row.get(0))?;
        if count as usize >= MAX_FOLDERS {
            return Err(StoreError::LimitExceeded("number of folders"));
        }
        Ok(())
    }

    /// Makes a folder whose place was checked. Inside a transaction.
    pub(super) fn make_folder(
        &mut self,
        id: FolderId,
        parent: FolderId,
        name: &str,
        container_class: Option<&str>,
        modified: FileTime,
    ) -> Result<ChangeNumber, StoreError> {
        let inherited = match container_class {
            Some(class) => class.to_owned(),
            None => self.folder(parent)?.container_class,
        };
        let change = self.next_change();
        insert_folder(
            &self.connection,
            id,
            Some(parent),
            name,
            &inherited,
            change.0,
            modified,
        )?;
        self.tell(EventKind::FolderCreated, id, None, change);
        Ok(change)
    }

    /// Renames, moves, subscribes.
    pub fn change_folder(&mut self, id: FolderId, change: &FolderChange) -> Result<(), StoreError> {
        self.transaction(|store| {
            let folder = store.folder(id)?;
            let name = change.name.as_deref().unwrap_or(&folder.name);
            let parent = change.parent.or(folder.parent);
            let renamed = name != folder.name || parent != folder.parent;
            if renamed {
                store.check_place(&folder, name, parent)?;
            }
            let number = store.next_change();
            store
                .connection
                .prepare_cached(
                    "UPDATE folders SET name = ?2, name_key = ?3, parent = ?4, subscribed = ?5, class = ?6,
                         change = ?7, modified = ?8 WHERE id = ?1",
                )?
                .execute(params![
                    id.to_disk(),
                    name,
                    name_key(name),
                    parent.map(FolderId::to_disk),
                    change.subscribed.unwrap_or(folder.subscribed),
                    change.container_class.as_ref().unwrap_or(&folder.container_class),
                    number.0 as i64,
                    FileTime::now().0 as i64
                ])?;
            store.tell(EventKind::FolderChanged, id, None, number);
            Ok(())
        })
    }

    /// Whether the folder may have this name below this parent.
    pub(super) fn check_place(
        &mut self,
        folder: &Folder,
        name: &str,
        parent: Option<FolderId>,
    ) -> Result<(), StoreError> {
        check_name(name)?;
        if folder.id.counter() < FIRST_FREE_ID {
            return Err(StoreError::NotAllowed(
                "a built-in folder can't be renamed or moved",
            ));
        }
        let parent = parent.ok_or(StoreError::NotAllowed("the root can't be moved"))?;
        if self.folder(parent)?.is_search {
            return Err(StoreError::NotAllowed("a search folder has no subfolders"));
        }
        let path = self.path_to(parent)?;
        if path.contains(&folder.id) {
            return Err(StoreError::NotAllowed("a folder can't move into itself"));
        }
        if path.len() + self.height(folder.id)? > MAX_DEPTH {
            return Err(StoreError::LimitExceeded("depth of folders"));
        }
        if self
            .subfolder(parent, name)?
            .is_some_and(|other| other.id != folder.id)
        {
            return Err(StoreError::Exists(name.to_owned()));
        }
        Ok(())
    }

    /// Deletes a folder and its messages for good; refuses built-in folders and ones that have subfolders
    /// unless `with_subfolders`.
    pub fn delete_folder(&mut self, id: FolderId, with_subfolders: bool) -> Result<(), StoreError> {
        self.transaction(|store| {
            let folder = store.folder(id)?;
            if id.counter() < FIRST_FREE_ID {
                return Err(StoreError::NotAllowed("a built-in folder can't be deleted"));
            }
            if folder.has_children && !with_subfolders {
                return Err(StoreError::NotAllowed("the folder has subfolders"));
            }
            store.delete_tree(id, folder.parent)
        })
    }

    /// Deletes a folder and all below it for good. Inside a transaction.
    pub(super) fn delete_tree(&mut self, id: FolderId, parent: Option<FolderId>) -> Result<(), StoreError> {
        // Children first: at no moment has a folder a parent that is gone.
        for (id, above) in self.all_below(id)?.into_iter().rev() {
            self.empty_for_good(id)?;
            self.delete_empty_folder(id, above.or(parent))?;
        }
        Ok(())
    }

    /// The folder and all below it, soft-deleted ones too, parents before children.
    pub(super) fn all_below(&self, id: FolderId) -> Result<Vec<(FolderId, Option<FolderId>)>, StoreError> {
        let mut found = vec![(id, None)];
        let mut at = 0;
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM folders WHERE parent = ?1")?;
        while let Some(&(parent, _)) = found.get(at) {
            at += 1;
            let children =
                statement.query_map([parent.to_disk()], |row| row.get(0).map(FolderId::from_disk))?;
            for child in children {
                found.push((child?, Some(parent)));
            }
        }
        Ok(found)
    }

    fn empty_for_good(&mut self, id: FolderId) -> Result<(), StoreError> {
        self.count_hidden_size(id)?;
        let messages: Vec<i64> = self
            .connection
            .prepare_cached("SELECT id FROM messages WHERE folder = ?1")?
            .query_map([id.to_disk()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        self.remove_messages(id, &messages, Removal::WithFolder)
    }

    fn delete_empty_folder(&mut self, id: FolderId, parent: Option<FolderId>) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM folders WHERE id = ?1",
            "DELETE FROM folder_data WHERE folder = ?1",
            "DELETE FROM permissions WHERE folder = ?1",
            "DELETE FROM rules WHERE folder = ?1",
            "DELETE FROM receive_folders WHERE folder = ?1",
            "DELETE FROM search_links WHERE folder = ?1",
            "DELETE FROM flag_pages WHERE folder = ?1",
            // Nobody can ask any more what left a folder that is gone.
            "DELETE FROM removed WHERE folder = ?1",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute([id.to_disk()])?;
        }
        let change = self.next_change();
        self.connection
            .prepare_cached(
                "INSERT INTO removed (folder, change, object, uid, kind) VALUES (0, ?1, ?2, ?3, 0)",
            )?
            .execute(params![
                change.0 as i64,
                id.to_disk(),
                parent.map_or(0, FolderId::to_disk)
            ])?;
        self.tell(EventKind::FolderDeleted, id, None, change);
        Ok(())
    }

    /// Which normal messages exist, by UID.
    pub fn uids(&mut self, id: FolderId) -> Result<UidSet, StoreError> {
        self.uid_state(id, Kind::Any)?;
        let mut uids = UidSet::default();
        // As many messages as there are numbers from the first to the last: nothing is missing between, and a
        // large folder that nothing left costs no more than a small one.
        let mut bounds = self.connection.prepare_cached(
            "SELECT f.messages,
                 (SELECT min(uid) FROM messages WHERE folder = f.id AND state = 0),
                 (SELECT max(uid) FROM messages WHERE folder = f.id AND state = 0)
             FROM folders f WHERE f.id = ?1",
        )?;
        let (messages, first, last): (u32, Option<u32>, Option<u32>) =
            bounds.query_row([id.to_disk()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        if let (Some(first), Some(last)) = (first, last)
            && last - first + 1 == messages
        {
            uids.insert_range(first..=last);
            return Ok(uids);
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT uid FROM messages WHERE folder = ?1 AND state = 0 ORDER BY uid")?;
        let mut rows = statement.query([id.to_disk()])?;
        while let Some(row) = rows.next()? {
            uids.insert(ringpost_mapi::Uid(row.get(0)?));
        }
        Ok(uids)
    }

    /// The folders from `id` up to the root.
    pub(super) fn path_to(&self, id: FolderId) -> Result<Vec<FolderId>, StoreError> {
        let mut path = vec![id];
        let mut statement = self
            .connection
            .prepare_cached("SELECT parent FROM folders WHERE id = ?1")?;
        let mut at = id;
        while let Some(parent) = statement
            .query_row([at.to_disk()], |row| row.get::<_, Option<i64>>(0))
            .optional()?
            .flatten()
        {
            at = FolderId::from_disk(parent);
            if path.len() > 2 * MAX_DEPTH {
                return Err(StoreError::damaged("folder tree: a folder is below itself"));
            }
            path.push(at);
        }
        Ok(path)
    }

    /// Levels of folders from `id` down, itself included.
    pub(super) fn height(&self, id: FolderId) -> Result<usize, StoreError> {
        let mut depth: HashMap<FolderId, usize> = HashMap::new();
        for (id, parent) in self.all_below(id)? {
            let above = parent.and_then(|parent| depth.get(&parent)).copied().unwrap_or(0);
            depth.insert(id, above + 1);
        }
        Ok(depth.into_values().max().unwrap_or(0))
    }
}

/// What names are compared by.
pub(crate) fn name_key(name: &str) -> String {
    name.to_lowercase()
}

pub(super) fn check_name(name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.contains('\0') {
        return Err(StoreError::NotAllowed("a folder needs a name"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(StoreError::LimitExceeded("length of a folder's name"));
    }
    Ok(())
}

pub(crate) fn not_found(id: FolderId) -> StoreError {
    StoreError::NotFound(format!("folder {id}"))
}

fn read_folder(row: &Row<'_>, kind: MailboxKind) -> rusqlite::Result<Folder> {
    let id = FolderId::from_disk(row.get(0)?);
    Ok(Folder {
        id,
        parent: row.get::<_, Option<i64>>(1)?.map(FolderId::from_disk),
        name: row.get(2)?,
        container_class: row.get(3)?,
        special_use: (kind == MailboxKind::Private).then(|| special_use(id)).flatten(),
        is_search: row.get(4)?,
        subscribed: row.get(5)?,
        uid_validity: row.get(6)?,
        uid_next: row.get(7)?,
        messages: row.get(8)?,
        unread: row.get(9)?,
        associated: row.get(10)?,
        size: row.get::<_, i64>(11)? as u64,
        highest_change: ChangeNumber(row.get::<_, i64>(12)? as u64),
        change: ChangeNumber(row.get::<_, i64>(13)? as u64),
        has_children: row.get(14)?,
    })
}

fn special_use(id: FolderId) -> Option<SpecialUse> {
    match id {
        built_in::DRAFTS => Some(SpecialUse::Drafts),
        built_in::JUNK => Some(SpecialUse::Junk),
        built_in::SENT_ITEMS => Some(SpecialUse::Sent),
        built_in::DELETED_ITEMS => Some(SpecialUse::Trash),
        _ => None,
    }
}
