//! Changing a folder as IMAP does.

use ringpost_mapi::{ChangeNumber, FileTime, FolderId, MessageId, Uid};
use rusqlite::params;

use super::{
    Change, FlagAction, Flags, UidSet,
    keywords::{decode, encode},
};
use crate::{
    EventKind, Mailbox, StoreError,
    folder::{Delta, Kind, State},
    message::{columns::MessageBits, removal::Removal, transfer::TransferRow},
};

/// What these operations need of a message's row.
struct Row {
    uid: Uid,
    id: i64,
    bits: MessageBits,
    keywords: Option<Vec<u8>>,
    change: u64,
    size: i64,
    source: Option<i64>,
}

impl Row {
    fn transfer(&self, folder: FolderId) -> TransferRow {
        TransferRow {
            id: self.id,
            folder,
            uid: self.uid.0,
            state: State::Normal as i64,
            flags: self.bits.imap(),
            size: self.size,
            source: self.source,
        }
    }
}

impl Mailbox {
    /// Changes flags and keywords of the messages of `uids` that exist. Messages changed after
    /// `unchanged_since` are left alone and returned second (RFC 7162 §3.1.3). Rows that already are as
    /// asked get no new change number but are returned first all the same.
    pub fn change_flags(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        action: FlagAction,
        flags: Flags,
        keywords: &[String],
        unchanged_since: Option<ChangeNumber>,
    ) -> Result<(Vec<Change>, UidSet), StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let asked = store.keyword_ids(keywords, action != FlagAction::Remove)?;
            let mut done = Vec::new();
            let mut refused = UidSet::default();
            let mut delta = Delta::default();
            let mut last = None;
            for row in store.rows(folder, uids)? {
                if unchanged_since.is_some_and(|since| row.change > since.0) {
                    refused.insert(row.uid);
                    continue;
                }
                let old = row.bits.imap();
                let old_ids = decode(row.keywords.as_deref())?;
                let new = match action {
                    FlagAction::Replace => flags,
                    FlagAction::Add => old | flags,
                    FlagAction::Remove => old - flags,
                };
                let ids = change_ids(&old_ids, &asked, action);
                let mut number = ChangeNumber(row.change);
                if new != old || ids != old_ids {
                    number = store.next_change();
                    last = Some(number);
                    store.write_flags(&row, new, &ids, number)?;
                    delta.unread += unread(new) - unread(old);
                    delta.deleted += deleted(new) - deleted(old);
                    let id = MessageId::from_disk(row.id);
                    store.tell(EventKind::MessageChanged, folder, Some(id), number);
                }
                done.push(Change {
                    uid: row.uid,
                    flags: new,
                    keywords: store.keyword_table()?.names_of(encode(&ids).as_deref())?,
                    change: number,
                });
                ringpost_vfs::breathe();
            }
            if let Some(change) = last {
                store.count(folder, delta, None, change)?;
            }
            Ok((done, refused))
        })
    }

    /// A message whose read state alone changed keeps its version (MS-OXCFXICS 3.2.5.6: read states are
    /// synchronised apart from content).
    fn write_flags(
        &mut self,
        row: &Row,
        flags: Flags,
        keywords: &[u32],
        change: ChangeNumber,
    ) -> Result<(), StoreError> {
        let keywords = encode(keywords);
        let differing = row.bits.imap() ^ flags;
        let read = differing.contains(Flags::SEEN).then_some(change.0 as i64);
        let only_read = differing == Flags::SEEN && keywords == row.keywords;
        self.connection
            .prepare_cached(
                "UPDATE messages SET flags = ?2, keywords = ?3, change = ?4, version = coalesce(?5, version),
                     read_change = coalesce(?6, read_change), modified = coalesce(?7, modified) WHERE id = ?1",
            )?
            .execute(params![
                row.id,
                row.bits.with_imap(flags).bits(),
                keywords,
                change.0 as i64,
                (!only_read).then_some(change.0 as i64),
                read,
                (!only_read).then(|| FileTime::now().0 as i64)
            ])?;
        Ok(())
    }

    /// Copies messages into another folder of this mailbox, with flags and dates; pairs of old and new UID.
    pub fn copy_messages(
        &mut self,
        from: FolderId,
        uids: &UidSet,
        to: FolderId,
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        self.transaction(|store| {
            store.uid_state(from, Kind::Any)?;
            let mut uid_next = store.uid_state(to, Kind::Generic)?.uid_next;
            let rows = store.rows(from, uids)?;
            let size: i64 = rows.iter().map(|row| row.size).sum();
            store.check_quota(size as u64, rows.len())?;
            let mut pairs = Vec::with_capacity(rows.len());
            for row in rows {
                let copied = store.copy_row(&row.transfer(from), to, &mut uid_next)?;
                pairs.push((row.uid, copied.uid.unwrap_or(row.uid)));
                ringpost_vfs::breathe();
            }
            Ok(pairs)
        })
    }

    /// Moves messages into another folder of this mailbox; pairs of old and new UID. A moved message gets a
    /// new id, as MAPI's clients expect.
    pub fn move_messages(
        &mut self,
        from: FolderId,
        uids: &UidSet,
        to: FolderId,
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        self.transaction(|store| {
            store.uid_state(from, Kind::Generic)?;
            let mut uid_next = store.uid_state(to, Kind::Generic)?.uid_next;
            let rows = store.rows(from, uids)?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let left = store.next_change();
            let mut pairs = Vec::with_capacity(rows.len());
            for row in rows {
                let moved = store.move_row(&row.transfer(from), to, &mut uid_next, left, None)?;
                pairs.push((row.uid, moved.uid.unwrap_or(row.uid)));
                ringpost_vfs::breathe();
            }
            Ok(pairs)
        })
    }

    /// Removes the messages of `uids` that are marked `\Deleted` (all of `uids` when `only_deleted` is
    /// false); the ones that left.
    pub fn expunge(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        only_deleted: bool,
    ) -> Result<UidSet, StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let mut gone = UidSet::default();
            let mut ids = Vec::new();
            for row in store.rows(folder, uids)? {
                if !only_deleted || row.bits.imap().contains(Flags::DELETED) {
                    gone.insert(row.uid);
                    ids.push(row.id);
                }
            }
            store.remove_messages(folder, &ids, Removal::Deleted)?;
            Ok(gone)
        })
    }

    /// The rows of `uids` that exist, by ascending UID.
    fn rows(&self, folder: FolderId, uids: &UidSet) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT uid, id, flags, keywords, change, size, source
             FROM messages WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND state = 0 ORDER BY uid",
        )?;
        let mut found = Vec::new();
        for range in uids.ranges() {
            let mut rows = statement.query(params![folder.to_disk(), range.start(), range.end()])?;
            while let Some(row) = rows.next()? {
                found.push(Row {
                    uid: Uid(row.get(0)?),
                    id: row.get(1)?,
                    bits: MessageBits::from_bits_retain(row.get(2)?),
                    keywords: row.get(3)?,
                    change: row.get::<_, i64>(4)? as u64,
                    size: row.get(5)?,
                    source: row.get(6)?,
                });
            }
        }
        Ok(found)
    }
}

/// The next UID of a folder. They are never used again, so a folder can run out of them.
pub(crate) fn take_uid(uid_next: &mut u32) -> Result<Uid, StoreError> {
    let uid = *uid_next;
    *uid_next = uid
        .checked_add(1)
        .ok_or(StoreError::LimitExceeded("UIDs of a folder"))?;
    Ok(Uid(uid))
}

fn change_ids(old: &[u32], asked: &[u32], action: FlagAction) -> Vec<u32> {
    match action {
        FlagAction::Replace => asked.to_vec(),
        FlagAction::Remove => old.iter().copied().filter(|id| !asked.contains(id)).collect(),
        FlagAction::Add => {
            let mut ids = [old, asked].concat();
            ids.sort_unstable();
            ids.dedup();
            ids
        }
    }
}

fn unread(flags: Flags) -> i64 {
    i64::from(!flags.contains(Flags::SEEN))
}

fn deleted(flags: Flags) -> i64 {
    i64::from(flags.contains(Flags::DELETED))
}
