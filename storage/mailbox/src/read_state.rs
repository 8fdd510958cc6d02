//! Read or unread: of a private store's messages the `\Seen` flag, in a public store each user's own.

use ringpost_mapi::{FolderId, MessageId, idset::GlobSet, idset::IdSet};
use rusqlite::{OptionalExtension, params};

use crate::{
    EventKind, FlagAction, Flags, Mailbox, MailboxKind, StoreError, UidSet, folder::Kind, sync::known_up_to,
};

impl Mailbox {
    /// Marks messages of a folder read or unread; in a public store for this user only. Associated and
    /// soft-deleted messages have no read state and are passed over.
    pub fn set_read(
        &mut self,
        folder: FolderId,
        messages: &[MessageId],
        read: bool,
        user: &str,
    ) -> Result<(), StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let mut uids = UidSet::default();
            let mut ids = Vec::new();
            for &id in messages {
                let uid: Option<u32> = store
                    .connection
                    .prepare_cached("SELECT uid FROM messages WHERE id = ?1 AND folder = ?2 AND state = 0")?
                    .query_row(params![id.to_disk(), folder.to_disk()], |row| row.get(0))
                    .optional()?;
                if let Some(uid) = uid {
                    uids.insert(ringpost_mapi::Uid(uid));
                    ids.push(id);
                }
            }
            if store.kind() == MailboxKind::Private {
                let action = if read { FlagAction::Add } else { FlagAction::Remove };
                store.change_flags(folder, &uids, action, Flags::SEEN, &[], None)?;
                return Ok(());
            }
            let principal = store.principal(user)?;
            for id in ids {
                if store.is_read(id, user)? == read {
                    continue;
                }
                let change = store.next_change();
                store
                    .connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO read_states (message, principal, read, change) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![id.to_disk(), principal, read, change.0 as i64])?;
                store.tell(EventKind::MessageChanged, folder, Some(id), change);
            }
            Ok(())
        })
    }

    /// Whether a message is read; in a public store by this user.
    pub fn is_read(&mut self, message: MessageId, user: &str) -> Result<bool, StoreError> {
        if self.kind() == MailboxKind::Private {
            return Ok(self.message(message)?.flags.contains(Flags::SEEN));
        }
        let state = self
            .connection
            .prepare_cached(
                "SELECT r.read FROM read_states r JOIN principals p ON p.id = r.principal
                 WHERE r.message = ?1 AND p.name = ?2",
            )?
            .query_row(params![message.to_disk(), user.to_lowercase()], |row| row.get(0))
            .optional()?;
        Ok(state.unwrap_or(false))
    }

    /// A user's read states in a folder that the client has not seen, of messages that it has.
    pub(crate) fn read_states_after(
        &self,
        folder: FolderId,
        user: &str,
        seen: &GlobSet,
        given: &IdSet<u16>,
    ) -> Result<Vec<(MessageId, bool)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT r.message, r.read, r.change FROM read_states r
             JOIN principals p ON p.id = r.principal JOIN messages m ON m.id = r.message
             WHERE p.name = ?1 AND r.change > ?3 AND m.folder = ?2 AND m.state = 0 ORDER BY r.change",
        )?;
        let floor = known_up_to(seen) as i64;
        let mut rows = statement.query(params![user.to_lowercase(), folder.to_disk(), floor])?;
        let mut states = Vec::new();
        while let Some(row) = rows.next()? {
            let id = MessageId::from_disk(row.get(0)?);
            let change: i64 = row.get(2)?;
            if !seen.contains(change as u64) && given.contains(id.replica(), id.counter()) {
                states.push((id, row.get(1)?));
            }
        }
        Ok(states)
    }
}
