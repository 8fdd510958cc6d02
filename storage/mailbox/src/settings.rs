//! A store's and its folders' settings: properties, quotas, receive folders, ranges of ids for clients.

use ringpost_mapi::{
    FileTime, FolderId, Guid, OWN_REPLICA, PropertyBag,
    codec::{decode_bag, encode_bag},
};
use rusqlite::{OptionalExtension, params};

use crate::{EventKind, Mailbox, StoreError, folder::Kind, folder::not_found, incoming::receive_quota_kib};

/// Bytes of a store's or folder's encoded properties.
pub const MAX_PROPERTIES_BYTES: usize = 4 * 1024 * 1024;
/// Ids that a client may ask for at once (MS-OXCFXICS 2.2.3.2.4.7).
pub const MAX_ID_RANGE: u32 = 1 << 20;
/// Bytes of a message class (MS-OXCSTOR 2.2.1.2: 255 characters with the end).
pub const MAX_CLASS_BYTES: usize = 254;

impl Mailbox {
    /// The store's properties, its quotas among them.
    pub fn store_properties(&mut self) -> Result<PropertyBag, StoreError> {
        let encoded: Vec<u8> = self
            .connection
            .prepare_cached("SELECT properties FROM store")?
            .query_row([], |row| row.get(0))?;
        Ok(decode_bag(&encoded)?)
    }

    /// Replaces the store's properties. `PidTagProhibitReceiveQuota` (KiB) is enforced from now on.
    pub fn set_store_properties(&mut self, properties: &PropertyBag) -> Result<(), StoreError> {
        let encoded = encode_limited(properties)?;
        let quota = receive_quota_kib(&encoded)?;
        self.transaction(|store| {
            store
                .connection
                .prepare_cached("UPDATE store SET properties = ?1")?
                .execute([&encoded])?;
            Ok(())
        })?;
        self.receive_quota_kib = quota;
        Ok(())
    }

    /// The folder's properties that have no column.
    pub fn folder_properties(&mut self, folder: FolderId) -> Result<PropertyBag, StoreError> {
        let encoded: Vec<u8> = self
            .connection
            .prepare_cached("SELECT properties FROM folder_data WHERE folder = ?1")?
            .query_row([folder.to_disk()], |row| row.get(0))
            .optional()?
            .ok_or_else(|| not_found(folder))?;
        Ok(decode_bag(&encoded)?)
    }

    /// Replaces the folder's properties that have no column.
    pub fn set_folder_properties(
        &mut self,
        folder: FolderId,
        properties: &PropertyBag,
    ) -> Result<(), StoreError> {
        let encoded = encode_limited(properties)?;
        self.transaction(|store| {
            store.uid_state(folder, Kind::Any)?;
            store
                .connection
                .prepare_cached("UPDATE folder_data SET properties = ?2 WHERE folder = ?1")?
                .execute(params![folder.to_disk(), encoded])?;
            let change = store.next_change();
            store
                .connection
                .prepare_cached("UPDATE folders SET change = ?2, modified = ?3 WHERE id = ?1")?
                .execute(params![
                    folder.to_disk(),
                    change.0 as i64,
                    FileTime::now().0 as i64
                ])?;
            store.tell(EventKind::FolderChanged, folder, None, change);
            Ok(())
        })
    }

    /// Sets a client `count` ids apart for objects that it makes offline: the first one's global counter.
    pub fn allocate_ids(&mut self, count: u32) -> Result<u64, StoreError> {
        if count > MAX_ID_RANGE {
            return Err(StoreError::LimitExceeded("range of ids"));
        }
        self.transaction(|store| {
            let first = store.counters.next_id;
            store.counters.next_id += u64::from(count);
            Ok(first)
        })
    }

    /// The replica id of a replica's GUID; new ones get one. The store's own GUID is replica 1.
    pub fn replica_id(&mut self, replica: Guid) -> Result<u16, StoreError> {
        if replica == self.guid().0 {
            return Ok(OWN_REPLICA);
        }
        let known = self
            .connection
            .prepare_cached("SELECT id FROM replicas WHERE guid = ?1")?
            .query_row([replica.0], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        self.transaction(|store| {
            let last: Option<u16> = store
                .connection
                .prepare_cached("SELECT max(id) FROM replicas")?
                .query_row([], |row| row.get(0))?;
            // 2 to 5 are the ones that clients give a meaning of their own.
            let id = last.map_or(Some(6), |last| last.checked_add(1));
            // On disk an id with the top bit set would be negative.
            let id = id
                .filter(|id| *id < 0x8000)
                .ok_or(StoreError::LimitExceeded("replicas"))?;
            store
                .connection
                .prepare_cached("INSERT INTO replicas (id, guid) VALUES (?1, ?2)")?
                .execute(params![id, replica.0])?;
            Ok(id)
        })
    }

    /// Where messages of a class are delivered: the entry of the longest class that the given one is equal
    /// to or below (MS-OXCSTOR 3.2.5.2); the class of the entry, and its folder.
    pub fn receive_folder(&mut self, class: &str) -> Result<Option<(String, FolderId)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT class, folder FROM receive_folders WHERE class = ?1")?;
        let mut at = class;
        loop {
            let found = statement
                .query_row([at], |row| Ok((row.get(0)?, FolderId::from_disk(row.get(1)?))))
                .optional()?;
            if found.is_some() || at.is_empty() {
                return Ok(found);
            }
            at = at.rsplit_once('.').map_or("", |(above, _)| above);
        }
    }

    /// All receive folders, by class.
    pub fn receive_folders(&mut self) -> Result<Vec<(String, FolderId, FileTime)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT class, folder, modified FROM receive_folders ORDER BY class")?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get(0)?,
                FolderId::from_disk(row.get(1)?),
                FileTime(row.get::<_, i64>(2)? as u64),
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Sets the receive folder of a class, or with `None` removes it; the one of the empty class stays.
    pub fn set_receive_folder(&mut self, class: &str, folder: Option<FolderId>) -> Result<(), StoreError> {
        if class.len() > MAX_CLASS_BYTES || !class.bytes().all(|c| (0x20..0x7f).contains(&c)) {
            return Err(StoreError::NotAllowed("not a message class"));
        }
        self.transaction(|store| {
            match folder {
                Some(folder) => {
                    store.uid_state(folder, Kind::Generic)?;
                    store
                        .connection
                        .prepare_cached(
                            "INSERT OR REPLACE INTO receive_folders (class, folder, modified) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![class, folder.to_disk(), FileTime::now().0 as i64])?;
                }
                None if class.is_empty() => {
                    return Err(StoreError::NotAllowed("mail needs a receive folder"));
                }
                None => {
                    store
                        .connection
                        .prepare_cached("DELETE FROM receive_folders WHERE class = ?1")?
                        .execute([class])?;
                }
            }
            Ok(())
        })
    }
}

fn encode_limited(properties: &PropertyBag) -> Result<Vec<u8>, StoreError> {
    let encoded = encode_bag(properties);
    if encoded.len() > MAX_PROPERTIES_BYTES {
        return Err(StoreError::LimitExceeded("size of properties"));
    }
    Ok(encoded)
}
