//! Read or unread: of a private store's messages the `\Seen` flag, in a public store each user's own.

use ringpost_mapi::{FolderId, MessageId, idset::GlobSet, idset::IdSet};
use rusqlite::{OptionalExtension, params};

use crate::{
    EventKind, FlagAction, Flags, Mailbox, MailboxKind, StoreError, UidSet,
    flag_pages::{FLAGS, JOIN, VERSION},
    folder::Kind,
    sync::known_up_to,
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

    /// The versions of a folder's messages that a user has read: what `RopReadPerUserInformation` sends of a
    /// public folder (MS-OXCSTOR 3.2.5.11).
    pub fn read_versions(&mut self, folder: FolderId, user: &str) -> Result<GlobSet, StoreError> {
        self.uid_state(folder, Kind::Generic)?;
        let sql = if self.kind() == MailboxKind::Private {
            format!(
                "SELECT {VERSION} FROM messages m {JOIN}
                 WHERE m.folder = ?1 AND m.state = 0 AND {FLAGS} & 1 AND ?2 = ?2"
            )
        } else {
            format!(
                "SELECT {VERSION} FROM messages m JOIN read_states r ON r.message = m.id
                 JOIN principals u ON u.id = r.principal {JOIN}
                 WHERE m.folder = ?1 AND m.state = 0 AND r.read = 1 AND u.name = ?2"
            )
        };
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.to_disk(), user.to_lowercase()], |row| {
            row.get::<_, i64>(0)
        })?;
        let mut versions = rows.collect::<Result<Vec<_>, _>>()?;
        versions.sort_unstable();
        let mut set = GlobSet::new();
        for version in versions {
            set.insert_range(version as u64..=version as u64);
        }
        Ok(set)
    }

    /// Takes over what a user read elsewhere (`RopWritePerUserInformation`): the messages whose versions are in
    /// the set are read, the others not.
    pub fn set_read_versions(
        &mut self,
        folder: FolderId,
        user: &str,
        versions: &GlobSet,
    ) -> Result<(), StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let (mut read, mut unread) = (Vec::new(), Vec::new());
            {
                let mut statement = store.connection.prepare_cached(&format!(
                    "SELECT m.id, {VERSION} FROM messages m {JOIN} WHERE m.folder = ?1 AND m.state = 0"
                ))?;
                let mut rows = statement.query([folder.to_disk()])?;
                while let Some(row) = rows.next()? {
                    let (id, version) = (MessageId::from_disk(row.get(0)?), row.get::<_, i64>(1)?);
                    if versions.contains(version as u64) {
                        read.push(id);
                    } else {
                        unread.push(id);
                    }
                }
            }
            store.set_read(folder, &read, true, user)?;
            store.set_read(folder, &unread, false, user)
        })
    }

    /// The folders of a public store in which a user has read something (`RopGetPerUserLongTermIds`), by id.
    pub fn folders_read_by(&mut self, user: &str) -> Result<Vec<FolderId>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT DISTINCT m.folder FROM read_states r JOIN principals p ON p.id = r.principal
             JOIN messages m ON m.id = r.message JOIN folders f ON f.id = m.folder
             WHERE p.name = ?1 AND f.state = 0 ORDER BY m.folder",
        )?;
        let rows = statement.query_map([user.to_lowercase()], |row| row.get(0).map(FolderId::from_disk))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many of a folder's messages are unread; in a public store by this user.
    pub fn unread_by(&mut self, folder: FolderId, user: &str) -> Result<u32, StoreError> {
        let (messages, unread, search): (u32, u32, bool) = self
            .connection
            .prepare_cached("SELECT messages, unread, search FROM folders WHERE id = ?1 AND state = 0")?
            .query_row([folder.to_disk()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?
            .ok_or_else(|| crate::folder::not_found(folder))?;
        if self.kind() == MailboxKind::Private {
            return Ok(unread);
        }
        let (rows, shown) = if search {
            ("search_links l JOIN messages m ON m.id = l.message", "l.folder")
        } else {
            ("messages m", "m.folder")
        };
        let read: u32 = self
            .connection
            .prepare_cached(&format!(
                "SELECT count(*) FROM principals p JOIN {rows} JOIN read_states r
                     ON r.principal = p.id AND r.message = m.id
                 WHERE p.name = ?1 AND {shown} = ?2 AND m.state = 0 AND r.read = 1"
            ))?
            .query_row(params![user.to_lowercase(), folder.to_disk()], |row| row.get(0))?;
        Ok(messages.saturating_sub(read))
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
