//! A folder's subfolders as rows (MS-OXCFOLD 2.2.2.2).

use std::collections::HashMap;

use ringpost_mapi::{
    FolderId, PropTag, PropType, PropValue, PropertyBag, Restriction, change::Xid, codec::decode_bag, tags,
};
use rusqlite::OptionalExtension;

use super::{
    Row,
    contents::identity,
    message::{Identity, change_value, id_value},
    source::{Scanned, Source},
};
use crate::{Folder, Mailbox, StoreError};

/// The folders below a folder. There are few of them: each scan reads them all.
pub(crate) struct Hierarchy<'m> {
    mailbox: &'m mut Mailbox,
    folder: FolderId,
    deep: bool,
}

impl<'m> Hierarchy<'m> {
    pub(crate) fn new(mailbox: &'m mut Mailbox, folder: FolderId, deep: bool) -> Self {
        Self {
            mailbox,
            folder,
            deep,
        }
    }

    /// Its depth below the table's folder: 1 for subfolders (the folder itself is no row).
    fn depths(&self, folders: &[Folder]) -> HashMap<FolderId, i32> {
        let mut depths = HashMap::from([(self.folder, 0)]);
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
        &self,
        folder: &Folder,
        depth: i32,
        identity: &Identity,
    ) -> Result<PropertyBag, StoreError> {
        let kept: Option<Vec<u8>> = self
            .mailbox
            .connection
            .prepare_cached("SELECT properties FROM folder_data WHERE folder = ?1")?
            .query_row([folder.id.to_disk()], |row| row.get(0))
            .optional()?;
        let mut bag = kept
            .map(|bytes| decode_bag(&bytes))
            .transpose()?
            .unwrap_or_default();
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
        bag.set(tags::CONTENT_UNREAD_COUNT, number(folder.unread));
        bag.set(tags::ASSOCIATED_CONTENT_COUNT, number(folder.associated));
        bag.set(
            tags::MESSAGE_SIZE,
            PropValue::Integer32(i32::try_from(folder.size).unwrap_or(i32::MAX)),
        );
        bag.set(tags::CHANGE_NUMBER, change_value(folder.change));
        bag.set(
            tags::CHANGE_KEY,
            PropValue::Binary(Xid::of_counter(identity.mailbox, folder.change.0).encode()),
        );
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
        let folders = self.mailbox.folders(self.folder)?;
        let depths = self.depths(&folders);
        // Without a sort order folders come as they are listed: parents first, siblings by name.
        for folder in &folders {
            let depth = depths.get(&folder.id).copied().unwrap_or(1);
            if depth > 1 && !self.deep {
                continue;
            }
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
        let folder = match self.mailbox.folder(FolderId(id)) {
            Ok(folder) => folder,
            Err(StoreError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut depth = 1;
        let mut above = folder.parent;
        while let Some(parent) = above.filter(|parent| *parent != self.folder) {
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
