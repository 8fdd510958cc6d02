//! Reading a folder as IMAP does.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use ringpost_mapi::{ChangeNumber, FileTime, FolderId, MessageId, Uid};
use rusqlite::{OptionalExtension, params};

use super::{Change, Changes, Flags, MessageRow, SourceId, Status, UidSet, keywords::Keywords};
use crate::{
    Mailbox, StoreError,
    flag_pages::{Pages, State},
    folder::{Kind, not_found},
    message::{columns::MessageBits, saved::saved_at},
};

impl Mailbox {
    /// The folder's counters.
    pub fn status(&mut self, folder: FolderId) -> Result<Status, StoreError> {
        let (mut status, recent_uid) = self
            .connection
            .prepare_cached(
                "SELECT messages, unread, deleted, uid_next, uid_validity, size, content_change, recent_uid
                 FROM folders WHERE id = ?1 AND state = 0",
            )?
            .query_row([folder.to_disk()], |row| {
                let status = Status {
                    messages: row.get(0)?,
                    unseen: row.get(1)?,
                    deleted: row.get(2)?,
                    recent: 0,
                    uid_next: row.get(3)?,
                    uid_validity: row.get(4)?,
                    size: row.get::<_, i64>(5)? as u64,
                    highest_change: ChangeNumber(row.get::<_, i64>(6)? as u64),
                };
                Ok((status, row.get::<_, u32>(7)?))
            })
            .optional()?
            .ok_or_else(|| not_found(folder))?;
        status.recent = self.count_recent(folder, recent_uid, &status)?;
        Ok(status)
    }

    /// How many messages have this UID or a later one. Where no message is missing from the folder's first to its
    /// last, or all are recent, as many are in a mailbox that IMAP never opened, nothing is counted.
    fn count_recent(&self, folder: FolderId, from: u32, status: &Status) -> Result<u32, StoreError> {
        if from >= status.uid_next || status.messages == 0 {
            return Ok(0);
        }
        let (first, last): (Option<u32>, Option<u32>) = self
            .connection
            .prepare_cached(
                "SELECT (SELECT min(uid) FROM messages WHERE folder = ?1 AND state = 0),
                     (SELECT max(uid) FROM messages WHERE folder = ?1 AND state = 0)",
            )?
            .query_row([folder.to_disk()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(0);
        };
        if from <= first {
            return Ok(status.messages);
        }
        if last - first + 1 == status.messages {
            return Ok((last + 1).saturating_sub(from));
        }
        Ok(self
            .connection
            .prepare_cached("SELECT count(*) FROM messages WHERE folder = ?1 AND uid >= ?2 AND state = 0")?
            .query_row(params![folder.to_disk(), from], |row| row.get(0))?)
    }

    /// Takes the folder's recent messages (RFC 3501 §2.3.2): all UIDs from the answer on are `\Recent` to
    /// the caller and, from now on, to nobody else.
    pub fn take_recent(&mut self, folder: FolderId) -> Result<Uid, StoreError> {
        let uid_next = self.uid_state(folder, Kind::Any)?.uid_next;
        let recent: u32 = self
            .connection
            .prepare_cached("SELECT recent_uid FROM folders WHERE id = ?1")?
            .query_row([folder.to_disk()], |row| row.get(0))?;
        if recent != uid_next {
            let taken = self.transaction(|store| {
                store
                    .connection
                    .prepare_cached("UPDATE folders SET recent_uid = ?2 WHERE id = ?1")?
                    .execute(params![folder.to_disk(), uid_next])?;
                Ok(())
            });
            match taken {
                // Mail can be read all the same; it is recent to the next session, too.
                Err(StoreError::DiskFull) => {}
                taken => taken?,
            }
        }
        Ok(Uid(recent))
    }

    /// Visits the messages of `uids` that exist, by ascending UID, until `visit` breaks. Costs one index
    /// range a range and one row a message; with `structure` also the encoded structure.
    pub fn visit_messages(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        structure: bool,
        visit: &mut dyn FnMut(&MessageRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.uid_state(folder, Kind::Any)?;
        self.keyword_table()?;
        let Some(keywords) = &self.keyword_cache else {
            return Ok(());
        };
        let mut statement = self.connection.prepare_cached(if structure {
            "SELECT m.uid, m.id, m.flags, m.keywords, m.change, m.size, m.received, coalesce(m.identity, m.id), m.source,
                 d.structure, m.saved
             FROM messages m LEFT JOIN message_data d ON d.message = m.id
             WHERE m.folder = ?1 AND m.uid BETWEEN ?2 AND ?3 AND m.state = 0 ORDER BY m.uid"
        } else {
            "SELECT uid, id, flags, keywords, change, size, received, coalesce(identity, id), source, NULL, saved
             FROM messages WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND state = 0 ORDER BY uid"
        })?;
        let mut pages = Pages::default();
        // One for all: its buffers are used again, and neighbours mostly have the same keywords.
        let mut message = MessageRow {
            uid: Uid(0),
            message: MessageId(0),
            email_id: 0,
            flags: Flags::default(),
            keywords: Vec::new(),
            change: ChangeNumber(0),
            size: 0,
            received: FileTime(0),
            saved: None,
            source: None,
            structure: None,
        };
        let (mut known_set, mut spare): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
        for range in uids.ranges() {
            let mut rows = statement.query(params![folder.to_disk(), range.start(), range.end()])?;
            while let Some(row) = rows.next()? {
                let uid = row.get(0)?;
                let (bits, set, change) = match pages.get(&self.connection, folder, uid)? {
                    Some((state, set)) => (state.bits, Some(set), state.change),
                    None => (
                        MessageBits::from_bits_retain(row.get(2)?),
                        row.get_ref(3)?.as_blob_or_null()?,
                        row.get::<_, i64>(4)? as u64,
                    ),
                };
                let received = FileTime(row.get::<_, i64>(6)? as u64);
                let set = set.unwrap_or_default();
                // Most have none: not worth a call to compare.
                let is_known =
                    set.len() == known_set.len() && (set.is_empty() || set == known_set.as_slice());
                if !is_known {
                    message.keywords = keywords.names_of(Some(set))?;
                    known_set.clear();
                    known_set.extend_from_slice(set);
                }
                let mut buffer = message.structure.take().unwrap_or(spare);
                buffer.clear();
                spare = Vec::new();
                match row.get_ref(9)?.as_blob_or_null()? {
                    Some(encoded) => {
                        buffer.extend_from_slice(encoded);
                        message.structure = Some(buffer);
                    }
                    None => spare = buffer,
                }
                message.uid = Uid(uid);
                message.message = MessageId::from_disk(row.get(1)?);
                message.flags = bits.imap();
                message.change = ChangeNumber(change);
                message.size = row.get::<_, i64>(5)? as u64;
                message.received = received;
                message.saved = saved_at(received, row.get(10)?);
                message.email_id = row.get::<_, i64>(7)? as u64;
                message.source = row.get::<_, Option<i64>>(8)?.map(SourceId);
                if visit(&message).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Visits the flags of the messages of `uids` that exist, by ascending UID, until `visit` breaks. Reads flag
    /// pages, a hundredth of what [`Self::visit_messages`] reads.
    pub fn visit_flags(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        visit: &mut dyn FnMut(&Change) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.keyword_table()?;
        let Some(keywords) = &self.keyword_cache else {
            return Ok(());
        };
        let mut names = KeywordNames::new(keywords);
        for range in uids.ranges() {
            let whole = self.visit_states(folder, *range.start(), *range.end(), &mut |state, set| {
                Ok(visit(&names.change(state, set)?).is_continue())
            })?;
            if !whole {
                break;
            }
        }
        Ok(())
    }

    /// Appends `range` of a visited message's RFC 5322 source to `out`, without looking for the message again;
    /// what is beyond the end is left out. The row may be of an earlier step.
    pub fn read_row_source(
        &mut self,
        row: &MessageRow,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.read_visited_source(row.into(), range, out)
    }

    /// Appends `range` of the message's RFC 5322 source to `out`; what is beyond the end is left out.
    /// The source decompressed last is kept, so reading it piece by piece decompresses it once.
    pub fn read_source(
        &mut self,
        message: MessageId,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let source: Option<i64> = self
            .connection
            .prepare_cached("SELECT source FROM messages WHERE id = ?1")?
            .query_row([message.to_disk()], |row| row.get(0))
            .optional()?
            .ok_or_else(|| StoreError::NotFound(format!("message {message}")))?;
        match source {
            Some(content) => self.read_content(content, range, out),
            None => Err(StoreError::NotAllowed(
                "the message did not come as Internet mail",
            )),
        }
    }

    /// What changed in the folder's normal messages after `since`. Cost grows with the answer.
    pub fn changes_since(&mut self, folder: FolderId, since: ChangeNumber) -> Result<Changes, StoreError> {
        let status = self.status(folder)?;
        let mut changed = Vec::new();
        self.visit_changes(folder, since, &mut |change| {
            changed.push(change);
            ControlFlow::Continue(())
        })?;
        changed.sort_unstable_by_key(|change| change.uid);
        Ok(Changes {
            changed,
            vanished: self.vanished_since(folder, since)?,
            highest_change: status.highest_change,
            uid_next: status.uid_next,
        })
    }

    /// Visits the folder's normal messages that are new or changed after `since`, by ascending change, until
    /// `visit` breaks; whoever breaks goes on after the last change it got. Needs some 40 bytes for each of them.
    pub fn visit_changes(
        &mut self,
        folder: FolderId,
        since: ChangeNumber,
        visit: &mut dyn FnMut(Change) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if since >= self.status(folder)?.highest_change {
            return Ok(());
        }
        self.keyword_table()?;
        let Some(keywords) = &self.keyword_cache else {
            return Ok(());
        };
        let mut names = KeywordNames::new(keywords);
        let mut changes = Vec::new();
        self.visit_changed_states(folder, since.0, &mut |state, set| {
            changes.push(names.change(state, set)?);
            Ok(())
        })?;
        changes.sort_unstable_by_key(|change| change.change);
        for change in changes {
            if visit(change).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// UIDs that left the folder after `since` (RFC 7162 §3.2.6). Of a state older than the removals that are
    /// remembered ([`Self::prune_removed`]) it is all UIDs that are not there: clients pass over those that
    /// they don't know. Memory grows with the number of ranges.
    pub fn vanished_since(&mut self, folder: FolderId, since: ChangeNumber) -> Result<UidSet, StoreError> {
        let status = self.status(folder)?;
        let mut vanished = UidSet::default();
        if since >= status.highest_change {
            return Ok(vanished);
        }
        if since.0 < self.removals_known_after(folder)? {
            let mut next = 1;
            for present in self.uids(folder)?.ranges() {
                vanished.insert_range(next..=present.start() - 1);
                next = present.end().saturating_add(1);
            }
            vanished.insert_range(next..=status.uid_next - 1);
            return Ok(vanished);
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT uid FROM removed WHERE folder = ?1 AND change > ?2 AND uid > 0")?;
        let mut rows = statement.query(params![folder.to_disk(), since.0 as i64])?;
        while let Some(row) = rows.next()? {
            vanished.insert(Uid(row.get(0)?));
        }
        Ok(vanished)
    }
}

/// Sets of keywords whose names are kept while messages are visited: clients can make up any number.
const MAX_KNOWN_SETS: usize = 64;

/// The names of sets of keywords: a folder has few different ones, and each is looked up once.
struct KeywordNames<'a> {
    keywords: &'a Keywords,
    known: Vec<(Vec<u8>, Arc<[String]>)>,
    /// The one that was asked for last.
    last: usize,
}

impl<'a> KeywordNames<'a> {
    fn new(keywords: &'a Keywords) -> Self {
        Self {
            keywords,
            known: Vec::new(),
            last: 0,
        }
    }

    fn change(&mut self, state: &State, set: &[u8]) -> Result<Change, StoreError> {
        if self.known.get(self.last).is_none_or(|(known, _)| known != set) {
            self.last = self.find(set)?;
        }
        Ok(Change {
            uid: Uid(state.uid),
            flags: state.bits.imap(),
            keywords: Arc::clone(&self.known[self.last].1),
            change: ChangeNumber(state.change),
        })
    }

    fn find(&mut self, set: &[u8]) -> Result<usize, StoreError> {
        if let Some(at) = self.known.iter().position(|(known, _)| known == set) {
            return Ok(at);
        }
        if self.known.len() >= MAX_KNOWN_SETS {
            self.known.clear();
        }
        let names = self.keywords.names_of(Some(set))?;
        self.known.push((set.to_owned(), names.into()));
        Ok(self.known.len() - 1)
    }
}
