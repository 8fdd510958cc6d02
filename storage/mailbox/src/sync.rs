//! What changed since a client's state, as incremental change synchronisation asks (MS-OXCFXICS 3.2.5.3).
//!
//! A client sends which ids it has and which change numbers it has seen. Everything up to the first gap in
//! the latter it knows, so only what changed after that gap is read, by index: the cost grows with the
//! answer, not with the folder.

use std::collections::HashSet;

use ringpost_mapi::{
    ChangeNumber, FileTime, FolderId, MessageId, Restriction, Uid, idset::GlobSet, idset::IdSet,
};
use rusqlite::params;

use crate::{Flags, Mailbox, StoreError, folder::Kind, message::columns::MessageBits};

/// Messages of a client's state that are looked for one by one, where the state is older than what is remembered
/// of removals.
pub const MAX_GIVEN: usize = 1 << 18;

/// A client's state of a folder's content, and what it asks for.
#[derive(Clone, Debug, Default)]
pub struct ContentQuery {
    /// Messages it has (`MetaTagIdsetGiven`), by replica id.
    pub given: IdSet<u16>,
    /// Versions of normal messages it has seen (`MetaTagCnsetSeen`); `None`: it doesn't ask for them.
    pub seen: Option<GlobSet>,
    /// The same of associated messages (`MetaTagCnsetSeenFAI`).
    pub seen_associated: Option<GlobSet>,
    /// Read states it has seen (`MetaTagCnsetRead`).
    pub seen_read: Option<GlobSet>,
    /// Whose read states, in a public store.
    pub user: Option<String>,
    /// Only messages that meet this condition are in scope.
    pub restriction: Option<Restriction>,
}

/// A new or changed message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageChange {
    /// Which.
    pub message: MessageId,
    /// Its UID; an associated message has none.
    pub uid: Option<Uid>,
    /// `PidTagChangeNumber`
    pub version: ChangeNumber,
    /// Whether the client did not have it.
    pub is_new: bool,
    /// Associated (FAI)?
    pub associated: bool,
    /// `PidTagMessageDeliveryTime`: what some clients want the messages in the order of.
    pub received: FileTime,
    /// `PidTagMessageSize`
    pub size: u64,
}

/// What a client has to do to be up to date.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContentChanges {
    /// New and changed messages, by ascending version.
    pub changed: Vec<MessageChange>,
    /// Messages of which only the read state changed: read or not, by ascending change.
    pub read: Vec<(MessageId, bool)>,
    /// Messages that it has and that were deleted for good or moved away.
    pub deleted: Vec<MessageId>,
    /// Messages that it has and that are soft-deleted.
    pub soft_deleted: Vec<MessageId>,
    /// Messages that it has and that don't meet its restriction any more (`MetaTagIdsetNoLongerInScope`).
    pub out_of_scope: Vec<MessageId>,
    /// All changes up to this one are in the answer.
    pub latest: ChangeNumber,
}

/// What changed in the folders below one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HierarchyChanges {
    /// New and changed folders, parents before children.
    pub changed: Vec<FolderId>,
    /// Folders that the client has and that are gone.
    pub deleted: Vec<FolderId>,
    /// All changes up to this one are in the answer.
    pub latest: ChangeNumber,
}

/// A message's row, as far as synchronisation goes.
struct Row {
    id: MessageId,
    uid: u32,
    state: i64,
    flags: Flags,
    change: u64,
    version: u64,
    read_change: u64,
    received: FileTime,
    size: u64,
}

impl Mailbox {
    /// What changed in a folder's content since the client's state.
    pub fn content_changes(
        &mut self,
        folder: FolderId,
        query: &ContentQuery,
    ) -> Result<ContentChanges, StoreError> {
        self.uid_state(folder, Kind::Generic)?;
        let sets = [&query.seen, &query.seen_associated, &query.seen_read];
        let floor = sets.into_iter().flatten().map(known_up_to).min().unwrap_or(0);
        let mut changes = ContentChanges {
            latest: ChangeNumber(self.counters.last_change),
            ..ContentChanges::default()
        };
        for row in self.rows_changed_after(folder, floor)? {
            let given = query.given.contains(row.id.replica(), row.id.counter());
            if row.state >= 2 {
                if given {
                    changes.soft_deleted.push(row.id);
                }
                continue;
            }
            if let Some(restriction) = &query.restriction
                && !self.matches(row.id, restriction)?
            {
                if given {
                    changes.out_of_scope.push(row.id);
                }
                continue;
            }
            let seen = if row.state == 0 {
                &query.seen
            } else {
                &query.seen_associated
            };
            if seen.as_ref().is_some_and(|seen| !seen.contains(row.version)) {
                changes.changed.push(MessageChange {
                    message: row.id,
                    uid: (row.uid > 0).then_some(Uid(row.uid)),
                    version: ChangeNumber(row.version),
                    is_new: !given,
                    associated: row.state == 1,
                    received: row.received,
                    size: row.size,
                });
            } else if given
                && query.user.is_none()
                && row.read_change > 0
                && query
                    .seen_read
                    .as_ref()
                    .is_some_and(|seen| !seen.contains(row.read_change))
            {
                changes.read.push((row.id, row.flags.contains(Flags::SEEN)));
            }
        }
        changes.changed.sort_unstable_by_key(|change| change.version);
        if let (Some(user), Some(seen)) = (&query.user, &query.seen_read) {
            changes.read = self.read_states_after(folder, user, seen, &query.given)?;
        }
        changes.deleted = if floor < self.removals_known_after(folder)? {
            self.not_in(folder, &query.given)?
        } else {
            self.removed_after(folder, floor, &query.given)?
        };
        Ok(changes)
    }

    fn rows_changed_after(&self, folder: FolderId, floor: u64) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        {
            let mut rest = self
                .connection
                .prepare_cached("SELECT received, size FROM messages WHERE id = ?1")?;
            self.visit_changed_states(folder, floor, &mut |state, _| {
                let (received, size) = rest.query_row([state.id], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
                })?;
                rows.push(Row {
                    id: MessageId::from_disk(state.id),
                    uid: state.uid,
                    state: 0,
                    flags: state.bits.imap(),
                    change: state.change,
                    version: state.version,
                    read_change: state.read_change,
                    received: FileTime(received as u64),
                    size: size as u64,
                });
                Ok(())
            })?;
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT id, uid, state, flags, change, version, read_change, received, size
             FROM messages INDEXED BY messages_hidden_by_change WHERE folder = ?1 AND change > ?2 AND state <> 0",
        )?;
        let hidden = statement.query_map(params![folder.to_disk(), floor as i64], |row| {
            Ok(Row {
                id: MessageId::from_disk(row.get(0)?),
                uid: row.get(1)?,
                state: row.get(2)?,
                flags: MessageBits::from_bits_retain(row.get(3)?).imap(),
                change: row.get::<_, i64>(4)? as u64,
                version: row.get::<_, i64>(5)? as u64,
                read_change: row.get::<_, Option<i64>>(6)?.unwrap_or(0) as u64,
                received: FileTime(row.get::<_, i64>(7)? as u64),
                size: row.get::<_, i64>(8)? as u64,
            })
        })?;
        for row in hidden {
            rows.push(row?);
        }
        rows.sort_unstable_by_key(|row| row.change);
        Ok(rows)
    }

    fn matches(&mut self, id: MessageId, restriction: &Restriction) -> Result<bool, StoreError> {
        let found = crate::table::look_at_message(self, id, &mut |message| restriction.matches(message))?;
        Ok(found.unwrap_or(false))
    }

    /// What the client has and is in the folder no more, not even soft-deleted.
    fn removed_after(
        &self,
        folder: FolderId,
        floor: u64,
        given: &IdSet<u16>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT DISTINCT object FROM removed WHERE folder = ?1 AND change > ?2
             AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = removed.object AND m.folder = removed.folder)",
        )?;
        let rows = statement.query_map(params![folder.to_disk(), floor as i64], |row| row.get(0))?;
        let mut removed = Vec::new();
        for object in rows {
            let id = MessageId::from_disk(object?);
            if given.contains(id.replica(), id.counter()) {
                removed.push(id);
            }
        }
        Ok(removed)
    }

    /// What the client has and is not in the folder, whenever it left.
    fn not_in(&self, folder: FolderId, given: &IdSet<u16>) -> Result<Vec<MessageId>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM messages WHERE id = ?1 AND folder = ?2")?;
        let mut gone = Vec::new();
        let mut asked = 0;
        for (replica, set) in given.iter() {
            for counter in set.ranges().flatten() {
                asked += 1;
                if asked > MAX_GIVEN {
                    return Err(StoreError::LimitExceeded("messages in a client's state"));
                }
                let id = MessageId(u64::from(replica) << 48 | counter);
                if !statement.exists(params![id.to_disk(), folder.to_disk()])? {
                    gone.push(id);
                }
            }
        }
        Ok(gone)
    }

    /// What changed in the folders below (and without) `root`.
    pub fn hierarchy_changes(
        &mut self,
        root: FolderId,
        given: &IdSet<u16>,
        seen: &GlobSet,
    ) -> Result<HierarchyChanges, StoreError> {
        let has = |id: FolderId| given.contains(id.replica(), id.counter());
        let folders = self.folders(root)?;
        let here: HashSet<FolderId> = folders.iter().map(|folder| folder.id).collect();
        let mut changes = HierarchyChanges {
            latest: ChangeNumber(self.counters.last_change),
            ..HierarchyChanges::default()
        };
        // A folder moved here from elsewhere is new to the client, with all that is below it.
        changes.changed = folders
            .iter()
            .filter(|folder| !seen.contains(folder.change.0) || !has(folder.id))
            .map(|folder| folder.id)
            .collect();
        for (replica, set) in given.iter() {
            for counter in set.ranges().flatten() {
                let id = FolderId(u64::from(replica) << 48 | counter);
                if !here.contains(&id) {
                    changes.deleted.push(id);
                }
                if changes.deleted.len() > crate::folder::MAX_FOLDERS {
                    // More ids than a store may have folders: the client's set is made up.
                    return Err(StoreError::LimitExceeded("folders in a client's state"));
                }
            }
        }
        Ok(changes)
    }
}

/// The changes from the first one on that a set holds without a gap.
pub(crate) fn known_up_to(seen: &GlobSet) -> u64 {
    match seen.ranges().next() {
        Some(range) if *range.start() <= 1 => *range.end(),
        _ => 0,
    }
}
