//! A folder's counters: kept in the transaction that changes its content, never counted afterwards.

use ringpost_mapi::{ChangeNumber, FolderId};
use rusqlite::{OptionalExtension, params};

use crate::{Mailbox, StoreError};

/// The `state` column of messages; 2 more where the message is soft-deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Normal = 0,
    Associated = 1,
}

/// What kind of folder an operation needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// One that holds messages itself.
    Generic,
    /// Also a search folder, which only links to messages.
    Any,
}

/// What an operation adds to a folder's counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Delta {
    pub(crate) messages: i64,
    pub(crate) unread: i64,
    pub(crate) deleted: i64,
    pub(crate) associated: i64,
    pub(crate) size: i64,
    pub(crate) associated_size: i64,
    pub(crate) soft_messages: i64,
    pub(crate) soft_size: i64,
}

/// What the creation of a message in a folder needs to know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UidState {
    pub(crate) uid_next: u32,
    pub(crate) uid_validity: u32,
    /// Normal messages below it have their state in flag pages, the others in their rows.
    pub(crate) paged: u32,
}

impl Mailbox {
    /// The UIDs of an existing folder, of the kind that the operation needs.
    pub(crate) fn uid_state(&self, folder: FolderId, kind: Kind) -> Result<UidState, StoreError> {
        let (state, search) = self
            .connection
            .prepare_cached(
                "SELECT uid_next, uid_validity, search, paged FROM folders WHERE id = ?1 AND state = 0",
            )?
            .query_row([folder.to_disk()], |row| {
                let state = UidState {
                    uid_next: row.get(0)?,
                    uid_validity: row.get(1)?,
                    paged: row.get(3)?,
                };
                Ok((state, row.get::<_, bool>(2)?))
            })
            .optional()?
            .ok_or_else(|| StoreError::NotFound(format!("folder {folder}")))?;
        if search && kind == Kind::Generic {
            return Err(StoreError::NotAllowed(
                "a search folder holds no messages of its own",
            ));
        }
        Ok(state)
    }

    /// Adds to the folder's counters; `change` becomes the latest of its content.
    pub(crate) fn count(
        &mut self,
        folder: FolderId,
        delta: Delta,
        uid_next: Option<u32>,
        change: ChangeNumber,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE folders SET messages = messages + ?2, unread = unread + ?3, deleted = deleted + ?4,
                     associated = associated + ?5, size = size + ?6, associated_size = associated_size + ?7,
                     soft_messages = soft_messages + ?8, soft_size = soft_size + ?9,
                     uid_next = coalesce(?10, uid_next), content_change = ?11 WHERE id = ?1",
            )?
            .execute(params![
                folder.to_disk(),
                delta.messages,
                delta.unread,
                delta.deleted,
                delta.associated,
                delta.size,
                delta.associated_size,
                delta.soft_messages,
                delta.soft_size,
                uid_next,
                change.0 as i64
            ])?;
        let size = self.counters.size as i64 + delta.size + delta.associated_size;
        self.counters.size = size.max(0) as u64;
        Ok(())
    }
}
