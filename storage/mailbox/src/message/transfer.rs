//! Copying and moving messages between folders of a mailbox (MS-OXCFOLD 2.2.1.6, 3.2.5.6).
//!
//! A copy is a new object: it has an id, a version and a change key of its own. So has what was moved, since
//! an id names a message in its folder for ever; what stays the same is `identity`.

use ringpost_mapi::{ChangeNumber, FileTime, FolderId, MessageId, Uid};
use rusqlite::{
    OptionalExtension, params,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    columns::MessageBits,
    object::not_found,
    removal::Removal,
    saved::{now_seconds, saved_now},
};
use crate::{
    EventKind, Mailbox, StoreError,
    flag_pages::{FLAGS, JOIN, Pages},
    folder::{Delta, Kind, State, UidState},
    imap::take_uid,
    lineage::Lineage,
};

/// A message that is copied or moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transferred {
    /// Its id before.
    pub from: MessageId,
    /// The copy's id, or the one it has now.
    pub to: MessageId,
    /// Its UID in the new folder; an associated message has none.
    pub uid: Option<Uid>,
}

/// What a transfer needs of a row.
pub(crate) struct TransferRow {
    pub(crate) id: i64,
    pub(crate) folder: FolderId,
    pub(crate) uid: u32,
    pub(crate) state: i64,
    pub(crate) bits: MessageBits,
    pub(crate) size: i64,
    pub(crate) source: Option<i64>,
}

impl TransferRow {
    fn counted(&self) -> Delta {
        Delta::of_message(self.state, self.bits.imap(), self.size)
    }

    fn next_uid(&self, uid_next: &mut u32) -> Result<u32, StoreError> {
        if self.state == State::Normal as i64 {
            Ok(take_uid(uid_next)?.0)
        } else {
            Ok(0)
        }
    }
}

impl Mailbox {
    /// Copies messages, associated ones too, into another folder: flags, keywords and dates stay. Out of a
    /// search folder it copies what that links to. Soft-deleted messages can't be copied.
    pub fn copy_to(
        &mut self,
        from: FolderId,
        messages: &[MessageId],
        to: FolderId,
    ) -> Result<Vec<Transferred>, StoreError> {
        self.transaction(|store| {
            let rows = store.transfer_rows(from, messages)?;
            store.copy_rows(&rows, to)
        })
    }

    /// Moves messages, associated ones too, into another folder. Out of a search folder it moves what that
    /// links to out of the folders where it is.
    pub fn move_to(
        &mut self,
        from: FolderId,
        messages: &[MessageId],
        to: FolderId,
    ) -> Result<Vec<Transferred>, StoreError> {
        self.transaction(|store| {
            let UidState {
                mut uid_next, paged, ..
            } = store.uid_state(to, Kind::Generic)?;
            let rows = store.transfer_rows(from, messages)?;
            let mut moved = Vec::with_capacity(rows.len());
            let mut pages = Pages::default();
            for row in &rows {
                let left = store.next_change();
                moved.push(store.move_row(row, to, &mut uid_next, left, None, &mut pages)?);
                ringpost_vfs::breathe();
            }
            pages.finish(&store.connection)?;
            store.page_tail(to, paged, uid_next)?;
            Ok(moved)
        })
    }

    /// Takes over a move that a client made offline (`RopSynchronizationImportMessageMove`, MS-OXCFXICS
    /// 3.2.5.9.4.4): the message gets the id that the client gave it, out of its range
    /// ([`Self::allocate_ids`]), and its change key and predecessors.
    pub fn import_move(
        &mut self,
        from: FolderId,
        message: MessageId,
        to: FolderId,
        new_id: MessageId,
        lineage: &Lineage,
    ) -> Result<Transferred, StoreError> {
        self.transaction(|store| {
            let mut uid_next = store.uid_state(to, Kind::Generic)?.uid_next;
            store.uid_state(from, Kind::Generic)?;
            store.check_new_id(new_id)?;
            let row = store
                .transfer_row(from, message)?
                .ok_or_else(|| not_found(message))?;
            let left = store.next_change();
            let mut pages = Pages::default();
            let moved = store.move_row(&row, to, &mut uid_next, left, Some(new_id), &mut pages)?;
            pages.finish(&store.connection)?;
            let version = ChangeNumber(store.counters.last_change);
            store.write_message_lineage(moved.to, version, Some(lineage))?;
            Ok(moved)
        })
    }

    /// The rows of messages of a folder, each once. One that is not there fails the whole.
    fn transfer_rows(&self, from: FolderId, messages: &[MessageId]) -> Result<Vec<TransferRow>, StoreError> {
        self.uid_state(from, Kind::Any)?;
        let mut rows: Vec<TransferRow> = Vec::with_capacity(messages.len());
        let mut seen = std::collections::HashSet::new();
        for id in messages {
            if seen.insert(*id) {
                rows.push(self.transfer_row(from, *id)?.ok_or_else(|| not_found(*id))?);
            }
        }
        Ok(rows)
    }

    fn transfer_row(&self, from: FolderId, id: MessageId) -> Result<Option<TransferRow>, StoreError> {
        Ok(self
            .connection
            .prepare_cached(&format!(
                "SELECT m.folder, m.uid, m.state, {FLAGS}, m.size, m.source FROM messages m {JOIN}
                 WHERE m.id = ?1 AND m.state < 2 AND (m.folder = ?2
                     OR EXISTS (SELECT 1 FROM search_links l WHERE l.folder = ?2 AND l.message = m.id))"
            ))?
            .query_row(params![id.to_disk(), from.to_disk()], |row| {
                Ok(TransferRow {
                    id: id.to_disk(),
                    folder: FolderId::from_disk(row.get(0)?),
                    uid: row.get(1)?,
                    state: row.get(2)?,
                    bits: MessageBits::from_bits_retain(row.get(3)?),
                    size: row.get(4)?,
                    source: row.get(5)?,
                })
            })
            .optional()?)
    }

    /// Copies messages into a folder, as far as the quota allows all of them. Inside a transaction.
    pub(crate) fn copy_rows(
        &mut self,
        rows: &[TransferRow],
        to: FolderId,
    ) -> Result<Vec<Transferred>, StoreError> {
        let UidState {
            mut uid_next, paged, ..
        } = self.uid_state(to, Kind::Generic)?;
        self.check_quota(rows.iter().map(|row| row.size as u64).sum(), rows.len())?;
        let mut copied = Vec::with_capacity(rows.len());
        let mut pages = Pages::default();
        // The folder's counters are written once, not with each message.
        let mut counted = Delta::default();
        for row in rows {
            copied.push(self.copy_row(row, to, &mut uid_next, &mut pages)?);
            counted = counted.plus(row.counted());
            ringpost_vfs::breathe();
        }
        if !copied.is_empty() {
            let latest = ChangeNumber(self.counters.last_change);
            self.count(to, counted, Some(uid_next), latest)?;
        }
        self.page_tail(to, paged, uid_next)?;
        Ok(copied)
    }

    /// Copies one message; the caller counts it. `pages` are looked at for its state.
    fn copy_row(
        &mut self,
        row: &TransferRow,
        to: FolderId,
        uid_next: &mut u32,
        pages: &mut Pages,
    ) -> Result<Transferred, StoreError> {
        let uid = row.next_uid(uid_next)?;
        let change = self.next_change();
        let id = MessageId::own(self.next_id());
        let paged = if row.state == State::Normal as i64 {
            pages.get(&self.connection, row.folder, row.uid)?
        } else {
            None
        };
        // Not INSERT with SELECT: out of a table into itself SQLite copies by way of a temporary one, each time.
        let mut original = self.connection.prepare_cached(
            "SELECT m.flags, m.keywords, m.class, m.subject, m.sender, m.received, coalesce(m.identity, m.id),
                 d.message, d.structure, d.properties, d.recipients, d.attachments, d.large_properties,
                 d.large_attachments
             FROM messages m LEFT JOIN message_data d ON d.message = m.id WHERE m.id = ?1",
        )?;
        let mut found = original.query([row.id])?;
        let columns = found.next()?.ok_or_else(|| StoreError::damaged("message row"))?;
        let column = |number| columns.get_ref(number).map(ToSqlOutput::Borrowed);
        let (bits, keywords) = match &paged {
            Some((state, keywords)) => (
                ToSqlOutput::from(state.bits.bits()),
                ToSqlOutput::Borrowed(match keywords {
                    [] => ValueRef::Null,
                    keywords => ValueRef::Blob(keywords),
                }),
            ),
            None => (column(0)?, column(1)?),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO messages (id, folder, uid, state, flags, keywords, change, version, size, received,
                     modified, source, class, subject, sender, identity, saved)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )?
            .execute(params![
                id.to_disk(),
                to.to_disk(),
                uid,
                row.state,
                bits,
                keywords,
                change.0 as i64,
                row.size,
                column(5)?,
                FileTime::now().0 as i64,
                row.source,
                column(2)?,
                column(3)?,
                column(4)?,
                column(6)?,
                saved_now(FileTime(columns.get::<_, i64>(5)? as u64))
            ])?;
        if columns.get::<_, Option<i64>>(7)?.is_some() {
            self.connection
                .prepare_cached(
                    "INSERT INTO message_data (message, structure, properties, recipients, attachments,
                         large_properties, large_attachments)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    id.to_disk(),
                    column(8)?,
                    column(9)?,
                    column(10)?,
                    column(11)?,
                    column(12)?,
                    column(13)?
                ])?;
        }
        let contents = [row.source, columns.get(12)?, columns.get(13)?];
        drop(found);
        drop(original);
        for content in contents.into_iter().flatten() {
            self.share_content(content)?;
        }
        self.tell(EventKind::MessageCreated, to, Some(id), change);
        Ok(Transferred {
            from: MessageId::from_disk(row.id),
            to: id,
            uid: (uid > 0).then_some(Uid(uid)),
        })
    }

    /// Moves one message; `left` is the change by which it leaves its folder, `new_id` one that a client gave
    /// it, `pages` what takes its state out of its page. Inside a transaction.
    pub(crate) fn move_row(
        &mut self,
        row: &TransferRow,
        to: FolderId,
        uid_next: &mut u32,
        left: ChangeNumber,
        new_id: Option<MessageId>,
        pages: &mut Pages,
    ) -> Result<Transferred, StoreError> {
        let old = MessageId::from_disk(row.id);
        // Out of the old folder first: when both are the same one, its UID is free then.
        self.note_removed(row.folder, left, row.id, row.uid, Removal::Moved)?;
        self.count(row.folder, row.counted().negated(), None, left)?;
        self.tell(EventKind::MessageDeleted, row.folder, Some(old), left);
        let uid = row.next_uid(uid_next)?;
        let change = self.next_change();
        let id = new_id.unwrap_or_else(|| MessageId::own(self.next_id()));
        let paged = pages.take(&self.connection, row.folder, row.uid)?;
        let (bits, keywords) = match paged {
            Some((state, keywords)) => (Some(state.bits.bits()), keywords),
            None => (None, None),
        };
        self.connection
            .prepare_cached(
                "UPDATE messages SET id = ?2, folder = ?3, uid = ?4, change = ?5, version = ?5,
                     read_change = NULL, modified = ?6, identity = coalesce(identity, id),
                     flags = coalesce(?7, flags), keywords = iif(?7 IS NULL, keywords, ?8),
                     saved = ?9 - received / 10000000 WHERE id = ?1",
            )?
            .execute(params![
                row.id,
                id.to_disk(),
                to.to_disk(),
                uid,
                change.0 as i64,
                FileTime::now().0 as i64,
                bits,
                keywords,
                now_seconds()
            ])?;
        self.connection
            .prepare_cached("UPDATE message_data SET message = ?2, lineage = NULL WHERE message = ?1")?
            .execute([row.id, id.to_disk()])?;
        self.forget_views(row.id)?;
        self.count(to, row.counted(), Some(*uid_next), change)?;
        self.tell(EventKind::MessageCreated, to, Some(id), change);
        Ok(Transferred {
            from: old,
            to: id,
            uid: (uid > 0).then_some(Uid(uid)),
        })
    }
}
