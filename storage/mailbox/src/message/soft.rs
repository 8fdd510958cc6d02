//! Soft deletion: messages are hidden, can be restored, and go for good later.

use ringpost_mapi::{FileTime, FolderId, MessageId};
use rusqlite::{OptionalExtension, params};

use super::{columns::MessageBits, object::not_found, removal::Removal, saved::now_seconds};
use crate::{
    EventKind, Flags, Mailbox, StoreError,
    flag_pages::Pages,
    folder::{Delta, Kind, State},
    imap::take_uid,
};

/// What soft deletion needs of a row.
struct Row {
    state: i64,
    uid: u32,
    flags: Flags,
    size: i64,
}

impl Mailbox {
    /// Hides messages of a folder: they can be restored. Ones that are hidden already are passed over.
    pub fn soft_delete(&mut self, folder: FolderId, messages: &[MessageId]) -> Result<(), StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            if messages.is_empty() {
                return Ok(());
            }
            let change = store.next_change();
            let mut delta = Delta::default();
            let mut pages = Pages::default();
            for &id in messages {
                let mut row = store.row_in(folder, id)?;
                if row.state >= 2 {
                    continue;
                }
                let paged = if row.state == State::Normal as i64 {
                    pages.take(&store.connection, folder, row.uid)?
                } else {
                    None
                };
                if let Some((state, keywords)) = paged {
                    row.flags = state.bits.imap();
                    store
                        .connection
                        .prepare_cached(
                            "UPDATE messages SET flags = ?2, keywords = ?3, version = ?4, read_change = ?5 WHERE id = ?1",
                        )?
                        .execute(params![
                            id.to_disk(),
                            state.bits.bits(),
                            keywords,
                            state.version as i64,
                            (state.read_change > 0).then_some(state.read_change as i64)
                        ])?;
                }
                store
                    .connection
                    .prepare_cached(
                        "UPDATE messages SET state = state + 2, change = ?2, modified = ?3 WHERE id = ?1",
                    )?
                    .execute(params![id.to_disk(), change.0 as i64, FileTime::now().0 as i64])?;
                store.note_removed(folder, change, id.to_disk(), row.uid, Removal::SoftDeleted)?;
                store.forget_views(id.to_disk())?;
                delta = delta
                    .plus(Delta::of_message(row.state, row.flags, row.size).negated())
                    .plus(Delta::of_message(row.state + 2, row.flags, row.size));
                store.tell(EventKind::MessageDeleted, folder, Some(id), change);
                ringpost_vfs::breathe();
            }
            pages.finish(&store.connection)?;
            store.count(folder, delta, None, change)
        })
    }

    /// Shows soft-deleted messages again, under new UIDs: IMAP was told that the old ones are gone.
    pub fn restore(&mut self, folder: FolderId, messages: &[MessageId]) -> Result<(), StoreError> {
        self.transaction(|store| {
            let mut uid_next = store.uid_state(folder, Kind::Generic)?.uid_next;
            for &id in messages {
                let row = store.row_in(folder, id)?;
                if row.state < 2 {
                    continue;
                }
                let state = row.state - 2;
                let uid = if state == 0 { take_uid(&mut uid_next)?.0 } else { 0 };
                let change = store.next_change();
                store
                    .connection
                    .prepare_cached(
                        "UPDATE messages SET state = ?2, uid = ?3, change = ?4, version = ?4, modified = ?5,
                             saved = ?6 - received / 10000000 WHERE id = ?1",
                    )?
                    .execute(params![
                        id.to_disk(),
                        state,
                        uid,
                        change.0 as i64,
                        FileTime::now().0 as i64,
                        now_seconds()
                    ])?;
                let delta = Delta::of_message(row.state, row.flags, row.size)
                    .negated()
                    .plus(Delta::of_message(state, row.flags, row.size));
                store.count(folder, delta, Some(uid_next), change)?;
                store.tell(EventKind::MessageCreated, folder, Some(id), change);
                ringpost_vfs::breathe();
            }
            Ok(())
        })
    }

    /// Deletes messages of a folder for good, whatever their state.
    pub fn delete_messages(&mut self, folder: FolderId, messages: &[MessageId]) -> Result<(), StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let mut ids = Vec::with_capacity(messages.len());
            for &id in messages {
                store.row_in(folder, id)?;
                ids.push(id.to_disk());
            }
            ids.sort_unstable();
            ids.dedup();
            store.remove_messages(folder, &ids, Removal::Deleted)
        })
    }

    /// Deletes for good the folder's soft-deleted messages that were last changed before `before`; how many.
    pub fn purge(&mut self, folder: FolderId, before: FileTime) -> Result<usize, StoreError> {
        self.transaction(|store| {
            let ids: Vec<i64> = store
                .connection
                .prepare_cached("SELECT id FROM messages WHERE folder = ?1 AND state >= 2 AND state <> 0 AND modified < ?2")?
                .query_map(params![folder.to_disk(), before.0 as i64], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            store.remove_messages(folder, &ids, Removal::Deleted)?;
            Ok(ids.len())
        })
    }

    fn row_in(&self, folder: FolderId, id: MessageId) -> Result<Row, StoreError> {
        self.connection
            .prepare_cached("SELECT state, uid, flags, size FROM messages WHERE id = ?1 AND folder = ?2")?
            .query_row(params![id.to_disk(), folder.to_disk()], |row| {
                Ok(Row {
                    state: row.get(0)?,
                    uid: row.get(1)?,
                    flags: MessageBits::from_bits_retain(row.get(2)?).imap(),
                    size: row.get(3)?,
                })
            })
            .optional()?
            .ok_or_else(|| not_found(id))
    }
}
