//! Messages leaving a folder for good, and what is remembered of them for those who synchronise.

use ringpost_mapi::{ChangeNumber, FolderId, MessageId};
use rusqlite::{OptionalExtension, params};

use super::columns::MessageBits;
use crate::{
    EventKind, Flags, Mailbox, StoreError,
    flag_pages::Pages,
    folder::{Delta, State},
};

/// Of how many latest changes of the store removals are remembered: years of an ordinary mailbox, and at most
/// some 30 MB of one whose user deletes all the time.
pub const REMOVALS_KEPT: u64 = 1 << 20;

/// Why a message left (`removed.kind`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Removal {
    /// Deleted for good.
    Deleted = 0,
    /// Soft-deleted: it can be restored.
    SoftDeleted = 1,
    /// Moved to another folder.
    Moved = 2,
    /// Still there with other content under a new UID: to IMAP, a message's content never changes.
    Rewritten = 4,
    /// Deleted together with its folder: nobody can ask for it any more, so nothing is remembered.
    WithFolder = 3,
}

impl Delta {
    pub(crate) fn negated(self) -> Self {
        Self {
            messages: -self.messages,
            unread: -self.unread,
            deleted: -self.deleted,
            associated: -self.associated,
            size: -self.size,
            associated_size: -self.associated_size,
            soft_messages: -self.soft_messages,
            soft_size: -self.soft_size,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            unread: self.unread + other.unread,
            deleted: self.deleted + other.deleted,
            associated: self.associated + other.associated,
            size: self.size + other.size,
            associated_size: self.associated_size + other.associated_size,
            soft_messages: self.soft_messages + other.soft_messages,
            soft_size: self.soft_size + other.soft_size,
        }
    }

    /// What one message adds to its folder.
    pub(crate) fn of_message(state: i64, flags: Flags, size: i64) -> Self {
        match state {
            0 => Self {
                messages: 1,
                unread: i64::from(!flags.contains(Flags::SEEN)),
                deleted: i64::from(flags.contains(Flags::DELETED)),
                size,
                ..Self::default()
            },
            1 => Self {
                associated: 1,
                associated_size: size,
                ..Self::default()
            },
            _ => Self {
                soft_messages: 1,
                soft_size: size,
                ..Self::default()
            },
        }
    }
}

impl Mailbox {
    /// Removes messages of a folder for good, in any state. Inside a transaction. Their removal is one change.
    pub(crate) fn remove_messages(
        &mut self,
        folder: FolderId,
        ids: &[i64],
        why: Removal,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let change = self.next_change();
        let mut delta = Delta::default();
        let mut pages = Pages::default();
        for &id in ids {
            let (source, state, uid, mut bits, size) = self
                .connection
                .prepare_cached(
                    "DELETE FROM messages WHERE id = ?1 RETURNING source, state, uid, flags, size",
                )?
                .query_row([id], |row| {
                    Ok((
                        row.get(0)?,
                        row.get::<_, i64>(1)?,
                        row.get(2)?,
                        MessageBits::from_bits_retain(row.get(3)?),
                        row.get::<_, i64>(4)?,
                    ))
                })
                .optional()?
                .ok_or_else(|| StoreError::NotFound(format!("message {}", MessageId::from_disk(id))))?;
            if state == State::Normal as i64
                && let Some((paged, _)) = pages.take(&self.connection, folder, uid)?
            {
                bits = paged.bits;
            }
            for content in self.contents_of(id, source)? {
                self.release_content(content)?;
            }
            self.connection
                .prepare_cached("DELETE FROM message_data WHERE message = ?1")?
                .execute([id])?;
            self.forget_views(id)?;
            let one = Delta::of_message(state, bits.imap(), size);
            delta = delta.plus(one.negated());
            self.note_removed(folder, change, id, uid, why)?;
            self.tell(
                EventKind::MessageDeleted,
                folder,
                Some(MessageId::from_disk(id)),
                change,
            );
            ringpost_vfs::breathe();
        }
        pages.finish(&self.connection)?;
        self.count(folder, delta, None, change)
    }

    /// Remembers that a message left a folder.
    pub(crate) fn note_removed(
        &mut self,
        folder: FolderId,
        change: ChangeNumber,
        message: i64,
        uid: u32,
        why: Removal,
    ) -> Result<(), StoreError> {
        if why == Removal::WithFolder {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO removed (folder, change, object, uid, kind) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                folder.to_disk(),
                change.0 as i64,
                message,
                uid,
                why as i64
            ])?;
        Ok(())
    }

    /// Forgets removals older than the latest `keep` changes. Who asks with an older state is told about every
    /// message that is gone instead. [`Self::checkpoint`] does this with [`REMOVALS_KEPT`].
    pub fn prune_removed(&mut self, keep: u64) -> Result<(), StoreError> {
        let horizon = self.counters.last_change.saturating_sub(keep);
        if horizon == 0 {
            return Ok(());
        }
        self.transaction(|store| {
            store
                .connection
                .prepare_cached(
                    "UPDATE folders SET pruned = ?1 WHERE EXISTS
                         (SELECT 1 FROM removed r WHERE r.folder = folders.id AND r.change <= ?1)",
                )?
                .execute([horizon as i64])?;
            store
                .connection
                .prepare_cached(
                    "DELETE FROM removed WHERE change <= ?1 AND folder IN (SELECT id FROM folders UNION ALL SELECT 0)",
                )?
                .execute([horizon as i64])?;
            Ok(())
        })?;
        self.pruned = horizon;
        Ok(())
    }

    /// [`Self::prune_removed`], once enough changed since the last time that it is worth a look at each folder.
    pub(crate) fn prune_now_and_then(&mut self) -> Result<(), StoreError> {
        let horizon = self.counters.last_change.saturating_sub(REMOVALS_KEPT);
        if horizon < self.pruned + REMOVALS_KEPT / 16 {
            return Ok(());
        }
        self.prune_removed(REMOVALS_KEPT)
    }

    /// What left a folder after this change is known.
    pub(crate) fn removals_known_after(&self, folder: FolderId) -> Result<u64, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT pruned FROM folders WHERE id = ?1")?
            .query_row([folder.to_disk()], |row| row.get::<_, i64>(0))? as u64)
    }

    /// Removes what other tables know of a message that goes, or gets another id. Links of search folders go
    /// before the commit, with their counters.
    pub(crate) fn forget_views(&mut self, message: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM read_states WHERE message = ?1")?
            .execute([message])?;
        Ok(())
    }

    /// All content that a message refers to.
    pub(crate) fn contents_of(&self, message: i64, source: Option<i64>) -> Result<Vec<i64>, StoreError> {
        let large: [Option<i64>; 2] = self
            .connection
            .prepare_cached(
                "SELECT large_properties, large_attachments FROM message_data WHERE message = ?1",
            )?
            .query_row([message], |row| Ok([row.get(0)?, row.get(1)?]))
            .optional()?
            .unwrap_or_default();
        Ok(source.into_iter().chain(large.into_iter().flatten()).collect())
    }
}
