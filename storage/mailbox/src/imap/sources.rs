//! Downloading a folder: messages' sizes and sources, and nothing else of them, as POP3 does.

use std::ops::{ControlFlow, Range};

use ringpost_mapi::{FolderId, MessageId, Uid};
use rusqlite::params;

use super::{MessageRow, SourceId, UidSet};
use crate::{Mailbox, StoreError, schema};

/// What it takes to read a message's RFC 5322 source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceRow {
    /// UID
    pub uid: Uid,
    /// The message's id: another one after a move.
    pub message: MessageId,
    /// RFC822.SIZE
    pub size: u64,
    /// Where its source is; `None` for what MAPI made.
    pub source: Option<SourceId>,
}

impl From<&MessageRow> for SourceRow {
    fn from(row: &MessageRow) -> Self {
        Self {
            uid: row.uid,
            message: row.message,
            size: row.size,
            source: row.source,
        }
    }
}

impl Mailbox {
    /// Visits those of a folder's messages that are in `uids` and exist, by ascending UID, until `visit` breaks: half of
    /// what [`Self::visit_messages`] costs. Of a folder that does not exist there are none.
    pub fn visit_sources(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        visit: &mut dyn FnMut(SourceRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT uid, id, size, source FROM messages
             WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND state = 0 ORDER BY uid",
        )?;
        for range in uids.ranges() {
            let mut rows = statement.query(params![folder.to_disk(), range.start(), range.end()])?;
            while let Some(row) = rows.next()? {
                let row = SourceRow {
                    uid: Uid(row.get(0)?),
                    message: MessageId::from_disk(row.get(1)?),
                    size: row.get::<_, i64>(2)? as u64,
                    source: row.get::<_, Option<i64>>(3)?.map(SourceId),
                };
                if visit(row).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Appends `range` of a visited message's RFC 5322 source to `out`, without looking for the message again;
    /// what is beyond the end is left out. The row may be of an earlier step.
    pub fn read_visited_source(
        &mut self,
        row: SourceRow,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let Some(SourceId(content)) = row.source else {
            return self.read_source(row.message, range, out);
        };
        match self.read_content(content, range.clone(), out) {
            // The message may have gone since, and its source with it.
            Err(StoreError::Corrupt { .. }) => self.read_source(row.message, range, out),
            result => result,
        }
    }

    /// Asks the disk for the sources of visited messages, which will be read one after the other, as far as they are not
    /// in memory: those that lie near each other by one request, 1 MiB at most. Nobody waits for them here.
    pub fn read_ahead_sources(&self, rows: impl IntoIterator<Item = SourceRow>) -> Result<(), StoreError> {
        let mut contents: Vec<i64> = rows
            .into_iter()
            .filter_map(|row| row.source)
            .map(|SourceId(content)| content)
            .collect();
        contents.sort_unstable();
        let root = schema::root_page(&self.connection, "contents")?;
        ringpost_vfs::read_ahead_values(&self.connection, root, &contents);
        Ok(())
    }
}
