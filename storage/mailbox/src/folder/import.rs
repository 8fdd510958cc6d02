//! Folders that a client made or changed offline and uploads (MS-OXCFXICS 3.2.5.9.4.3).

use ringpost_mapi::{
    ChangeNumber, FileTime, FolderId, PropertyBag,
    change::{Precedence, Xid},
    codec::encode_bag,
};
use rusqlite::params;

use super::{FIRST_FREE_ID, tree::name_key, tree::not_found};
use crate::{
    EventKind, Mailbox, StoreError, lineage::Lineage, message::wins, settings::MAX_PROPERTIES_BYTES,
};

/// A folder as a client uploads it.
#[derive(Clone, PartialEq, Debug)]
pub struct FolderImport {
    /// Its id (of `PidTagSourceKey`): of a new one an id of the client's range ([`Mailbox::allocate_ids`]).
    pub id: FolderId,
    /// Where it is.
    pub parent: FolderId,
    /// Its change key and predecessors.
    pub lineage: Lineage,
    /// `PidTagLastModificationTime`: decides who wins a conflict.
    pub modified: FileTime,
    /// `PidTagDisplayName`
    pub name: String,
    /// `PidTagContainerClass`; inherited, or as it is, where `None`.
    pub container_class: Option<String>,
    /// Its properties that have no column: they replace those that there are.
    pub properties: PropertyBag,
}

/// What became of an uploaded folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FolderImported {
    /// It is saved, by this change. A conflict that the client's version won ends so too.
    Saved(ChangeNumber),
    /// The store has this version, or a later one that includes it.
    Known,
    /// A conflict that the store's version won: the client gets it back as a new version.
    Lost(ChangeNumber),
}

impl Mailbox {
    /// Takes over a folder that a client made, renamed, moved or gave other properties offline. The version with
    /// the later modification time wins a conflict. Built-in folders keep name and place.
    pub fn import_folder(&mut self, import: &FolderImport) -> Result<FolderImported, StoreError> {
        let encoded = encode_bag(&import.properties);
        if encoded.len() > MAX_PROPERTIES_BYTES {
            return Err(StoreError::LimitExceeded("size of properties"));
        }
        self.transaction(|store| {
            let mut lineage = import.lineage.clone();
            lineage.predecessors.add(lineage.change_key.clone());
            let state = store.folder_state(import.id)?;
            let change = match state {
                None => {
                    store.check_new_folder_id(import.id)?;
                    store.check_new_place(import.parent, &import.name)?;
                    let class = import.container_class.as_deref();
                    store.make_folder(import.id, import.parent, &import.name, class, import.modified)?
                }
                Some((0, modified)) => {
                    let here = store.folder_lineage(import.id)?;
                    let precedence = lineage.predecessors.compare(&here.predecessors);
                    if matches!(precedence, Precedence::Equal | Precedence::Older) {
                        return Ok(FolderImported::Known);
                    }
                    lineage.predecessors.merge(&here.predecessors);
                    let won = wins(
                        (import.modified, &lineage.change_key),
                        (modified, &here.change_key),
                    );
                    if precedence == Precedence::Conflict && !won {
                        let change = store.renew_folder(import.id, &mut lineage)?;
                        return Ok(FolderImported::Lost(change));
                    }
                    store.take_over(import)?
                }
                Some(_) => return Err(not_found(import.id)),
            };
            store
                .connection
                .prepare_cached("UPDATE folder_data SET properties = ?2 WHERE folder = ?1")?
                .execute(params![import.id.to_disk(), encoded])?;
            store.write_folder_lineage(import.id, change, &lineage)?;
            Ok(FolderImported::Saved(change))
        })
    }

    /// Changes a folder to what was uploaded.
    fn take_over(&mut self, import: &FolderImport) -> Result<ChangeNumber, StoreError> {
        let folder = self.folder(import.id)?;
        let (mut name, mut parent) = (import.name.as_str(), Some(import.parent));
        if import.id.counter() < FIRST_FREE_ID {
            (name, parent) = (&folder.name, folder.parent);
        }
        if name != folder.name || parent != folder.parent {
            self.check_place(&folder, name, parent)?;
        }
        let change = self.next_change();
        self.connection
            .prepare_cached(
                "UPDATE folders SET name = ?2, name_key = ?3, parent = ?4, class = ?5, change = ?6, modified = ?7
                 WHERE id = ?1",
            )?
            .execute(params![
                import.id.to_disk(),
                name,
                name_key(name),
                parent.map(FolderId::to_disk),
                import.container_class.as_ref().unwrap_or(&folder.container_class),
                change.0 as i64,
                import.modified.0 as i64
            ])?;
        self.tell(EventKind::FolderChanged, import.id, None, change);
        Ok(change)
    }

    /// A new version of a folder as it is, which has seen what `lineage` has.
    fn renew_folder(&mut self, id: FolderId, lineage: &mut Lineage) -> Result<ChangeNumber, StoreError> {
        let change = self.next_change();
        self.connection
            .prepare_cached("UPDATE folders SET change = ?2 WHERE id = ?1")?
            .execute(params![id.to_disk(), change.0 as i64])?;
        lineage.change_key = Xid::of_counter(self.guid().0, change.0);
        lineage.predecessors.add(lineage.change_key.clone());
        self.write_folder_lineage(id, change, lineage)?;
        self.tell(EventKind::FolderChanged, id, None, change);
        Ok(change)
    }

    /// The column `state` of a folder, and when it was changed.
    fn folder_state(&self, id: FolderId) -> Result<Option<(i64, FileTime)>, StoreError> {
        use rusqlite::OptionalExtension as _;
        Ok(self
            .connection
            .prepare_cached("SELECT state, modified FROM folders WHERE id = ?1")?
            .query_row([id.to_disk()], |row| {
                Ok((row.get(0)?, FileTime(row.get::<_, i64>(1)? as u64)))
            })
            .optional()?)
    }

    fn check_new_folder_id(&self, id: FolderId) -> Result<(), StoreError> {
        let deleted = self
            .connection
            .prepare_cached("SELECT 1 FROM removed WHERE folder = 0 AND object = ?1")?
            .exists([id.to_disk()])?;
        if deleted {
            return Err(not_found(id));
        }
        let refusal = StoreError::NotAllowed("an id that was not handed out");
        self.check_counter(id.replica(), id.counter(), refusal)
    }
}
