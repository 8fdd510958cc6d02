//! A folder's subfolders as rows (MS-OXCFOLD 2.2.2.2).

use std::collections::HashMap;

use ringpost_mapi::{
    FileTime, FolderId, PropTag, PropType, PropValue, PropertyBag, Restriction, codec::decode_bag, tags,
};
use rusqlite::OptionalExtension;

use super::{
    Row,
    contents::identity,
    message::{Identity, change_value, id_value},
    source::{Scanned, Source},
};
use crate::{Folder, Mailbox, StoreError, lineage::Lineage};

/// Which folders a table shows.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    folder: FolderId,
    /// All folders below it.
    deep: bool,
    /// Those that were soft-deleted out of it instead.
    pub(crate) deleted: bool,
    /// In a public store: whose read states count.
    pub(crate) user: Option<String>,
}

impl Shown {
    pub(crate) fn new(folder: FolderId, deep: bool) -> Self {
        Self {
            folder,
            deep,
            deleted: false,
            user: None,
        }
    }
}

/// The folders below a folder. There are few of them: each scan reads them all.
pub(crate) struct Hierarchy<'m> {
    mailbox: &'m mut Mailbox,
    shown: &'m Shown,
}

/// What a folder's row has beside what [`Folder`] tells.
struct Rest {
    properties: Vec<u8>,
    lineage: Option<Vec<u8>>,
    created: FileTime,
    modified: FileTime,
    soft_messages: u32,
    deleted: bool,
    has_rules: bool,
}

impl<'m> Hierarchy<'m> {
    pub(crate) fn new(mailbox: &'m mut Mailbox, shown: &'m Shown) -> Self {
        Self { mailbox, shown }
    }

    /// The folders, parents before their children, siblings by name.
    fn folders(&mut self) -> Result<Vec<Folder>, StoreError> {
        if self.shown.deleted {
            return self.mailbox.deleted_below(self.shown.folder);
        }
        let mut folders = self.mailbox.folders(self.shown.folder)?;
        if !self.shown.deep {
            folders.retain(|folder| folder.parent == Some(self.shown.folder));
        }
        Ok(folders)
    }

    fn rest(&self, folder: FolderId) -> Result<Option<Rest>, StoreError> {
        Ok(self
            .mailbox
            .connection
            .prepare_cached(
                "SELECT d.properties, d.lineage, f.created, f.modified, f.soft_messages, f.state <> 0,
                     EXISTS (SELECT 1 FROM rules r WHERE r.folder = f.id)
                 FROM folders f JOIN folder_data d ON d.folder = f.id WHERE f.id = ?1",
            )?
            .query_row([folder.to_disk()], |row| {
                Ok(Rest {
                    properties: row.get(0)?,
                    lineage: row.get(1)?,
                    created: FileTime(row.get::<_, i64>(2)? as u64),
                    modified: FileTime(row.get::<_, i64>(3)? as u64),
                    soft_messages: row.get(4)?,
                    deleted: row.get(5)?,
                    has_rules: row.get(6)?,
                })
            })
            .optional()?)
    }

    /// Its depth below the table's folder: 1 for subfolders (the folder itself is no row).
    fn depths(&self, folders: &[Folder]) -> HashMap<FolderId, i32> {
        let mut depths = HashMap::from([(self.shown.folder, 0)]);
        // Parents come before their children.
        for folder in folders {
            let above = folder
                .parent
                .and_then(|parent| depths.get(&parent))
                .copied()
                .unwrap_or(0);
            depths.insert(folder.id, above + 1);
        }
        depths
    }

    fn properties(
        &mut self,
        folder: &Folder,
        depth: i32,
        identity: &Identity,
    ) -> Result<PropertyBag, StoreError> {
        let rest = self
            .rest(folder.id)?
            .ok_or_else(|| StoreError::NotFound(format!("folder {}", folder.id)))?;
        let mut bag = decode_bag(&rest.properties)?;
        let unread = match &self.shown.user {
            Some(user) if !rest.deleted => self.mailbox.unread_by(folder.id, user)?,
            _ => folder.unread,
        };
        let key = |id: FolderId| identity.global(id.replica(), id.counter()).encode().to_vec();
        let number = |n: u32| PropValue::Integer32(i32::try_from(n).unwrap_or(i32::MAX));
        bag.set(tags::DISPLAY_NAME, PropValue::String(folder.name.clone()));
        if !folder.container_class.is_empty() {
            bag.set(
                tags::CONTAINER_CLASS,
                PropValue::String(folder.container_class.clone()),
            );
        }
        bag.set(tags::FOLDER_ID, id_value(folder.id.0));
        bag.set(tags::INST_ID, id_value(folder.id.0));
        bag.set(
            tags::ENTRY_ID,
            PropValue::Binary(identity.folder_entry_id(folder.id)),
        );
        bag.set(
            tags::RECORD_KEY,
            PropValue::Binary(identity.folder_entry_id(folder.id)),
        );
        bag.set(tags::SOURCE_KEY, PropValue::Binary(key(folder.id)));
        if let Some(parent) = folder.parent {
            bag.set(tags::PARENT_FOLDER_ID, id_value(parent.0));
            bag.set(
                tags::PARENT_ENTRY_ID,
                PropValue::Binary(identity.folder_entry_id(parent)),
            );
            bag.set(tags::PARENT_SOURCE_KEY, PropValue::Binary(key(parent)));
        }
        bag.set(tags::DEPTH, PropValue::Integer32(depth));
        bag.set(
            tags::FOLDER_TYPE,
            PropValue::Integer32(if folder.is_search { SEARCH } else { GENERIC }),
        );
        bag.set(tags::SUBFOLDERS, PropValue::Boolean(folder.has_children));
        bag.set(tags::CONTENT_COUNT, number(folder.messages));
        bag.set(tags::CONTENT_UNREAD_COUNT, number(unread));
        bag.set(tags::ASSOCIATED_CONTENT_COUNT, number(folder.associated));
        bag.set(
            tags::MESSAGE_SIZE,
            PropValue::Integer32(i32::try_from(folder.size).unwrap_or(i32::MAX)),
        );
        bag.set(tags::CHANGE_NUMBER, change_value(folder.change));
        let lineage = Lineage::of(identity.mailbox, folder.change, rest.lineage.as_deref())?;
        bag.set(tags::CHANGE_KEY, PropValue::Binary(lineage.change_key.encode()));
        bag.set(
            tags::PREDECESSOR_CHANGE_LIST,
            PropValue::Binary(lineage.predecessors.encode()),
        );
        bag.set(tags::CREATION_TIME, PropValue::Time(rest.created));
        bag.set(tags::LAST_MODIFICATION_TIME, PropValue::Time(rest.modified));
        bag.set(tags::DELETED_COUNT_TOTAL, number(rest.soft_messages));
        bag.set(tags::HAS_RULES, PropValue::Boolean(rest.has_rules));
        bag.set(
            tags::INTERNET_ARTICLE_NUMBER_NEXT,
            PropValue::Integer32(folder.uid_next as i32),
        );
        if rest.deleted {
            bag.set(tags::DELETED_ON, PropValue::Time(rest.modified));
        }
        Ok(bag)
    }
}

impl Source for Hierarchy<'_> {
    fn stamp(&self) -> u64 {
        // Counters are columns too, so every folder's change counts.
        self.mailbox.stamps.latest()
    }

    fn scan(
        &mut self,
        restriction: &Restriction,
        keys: &[PropTag],
        visit: &mut dyn FnMut(Scanned),
    ) -> Result<(), StoreError> {
        let identity = identity(self.mailbox)?;
        let folders = self.folders()?;
        let depths = self.depths(&folders);
        // Without a sort order folders come as they are listed: parents first, siblings by name.
        for folder in &folders {
            let depth = depths.get(&folder.id).copied().unwrap_or(1);
            let bag = self.properties(folder, depth, &identity)?;
            let Ok(matched) = restriction.matches(&bag);
            if matched {
                let values = keys.iter().map(|tag| bag.get(*tag).cloned()).collect();
                visit(Scanned {
                    id: folder.id.0,
                    unread: folder.unread > 0,
                    values,
                });
            }
        }
        Ok(())
    }

    fn read(&mut self, id: u64, columns: &[PropTag]) -> Result<Option<Row>, StoreError> {
        let folder = if self.shown.deleted {
            let all = self.folders()?;
            all.into_iter().find(|folder| folder.id.0 == id)
        } else {
            match self.mailbox.folder(FolderId(id)) {
                Ok(folder) => Some(folder),
                Err(StoreError::NotFound(_)) => None,
                Err(error) => return Err(error),
            }
        };
        let Some(folder) = folder else { return Ok(None) };
        let mut depth = 1;
        let mut above = folder.parent;
        while let Some(parent) = above.filter(|parent| *parent != self.shown.folder) {
            above = self.mailbox.folder(parent)?.parent;
            depth += 1;
        }
        let identity = identity(self.mailbox)?;
        let bag = self.properties(&folder, depth, &identity)?;
        let column = |tag: &PropTag| match *tag {
            tags::MESSAGE_SIZE_EXTENDED => Some(PropValue::Integer64(folder.size as i64)),
            tag => bag.get(PropTag::new(tag.id(), PropType::UNSPECIFIED)).cloned(),
        };
        Ok(Some(columns.iter().map(column).collect()))
    }
}

// `PidTagFolderType` (MS-OXCFOLD 2.2.2.2.2.1).
const GENERIC: i32 = 1;
const SEARCH: i32 = 2;
