//! A folder's messages as columns: what SEARCH, SORT and THREAD ask of all of them.
//!
//! ```text
//! first SEARCH: rows ──► lines (flags, dates, sizes)        by slices; kept with the open mailbox
//! first THREAD: structures ──► texts (subjects, references)
//! first HEADER: structures or headers ──► that field
//! any later:    changes since `as_of` ──► lines, texts      costs what changed, then a look at memory
//! ```
//!
//! An index is derived: it is lost when the mailbox is closed, and whoever uses it brings it up to date in the same
//! step. That a message keeps its source as long as it keeps its UID (RFC 9051 §2.3.1.1) is what lets its texts stay.

mod fields;
mod texts;

use std::{collections::HashMap, ops::ControlFlow, time::Instant};

use ringpost_convert::structure::{Envelope, Structure};
use ringpost_mapi::{ChangeNumber, FileTime, FolderId, Uid};
use ringpost_store::{Flags, Mailbox, MessageRow, Status, StoreError, UidSet};

pub(super) use fields::FieldName;
use fields::Fields;
pub(super) use texts::{NONE, Texts, address_text};

use super::fetch::read_structure;
use crate::limits;

/// What of an index a command needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    /// Flags, dates of arrival, sizes.
    Lines,
    /// Also what is taken from the envelopes.
    Texts,
}

/// What a command needs of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs<'a> {
    pub(super) level: Level,
    /// Header fields, by their names.
    pub(super) fields: &'a [FieldName],
}

/// What came of a step with an index.
pub(super) enum Indexed<R> {
    Done(R),
    /// It is being made: ask again.
    Building,
    /// The folder is too large to be kept in memory.
    Unsuitable,
}

/// Runs `work` on a folder's index, as of now; or makes it, or a slice of it.
pub(super) fn with<R>(
    mailbox: &mut Mailbox,
    folder: FolderId,
    needs: Needs<'_>,
    work: impl FnOnce(&mut Mailbox, &FolderIndex) -> R,
) -> Result<Indexed<R>, StoreError> {
    let mut indexes = mailbox.take_memo::<Indexes>();
    let advanced = indexes.advance(mailbox, folder, needs);
    let result = match (advanced, indexes.folders.last()) {
        (Ok(Advance::Ready), Some(index)) => Ok(Indexed::Done(work(mailbox, index))),
        (Ok(Advance::Unsuitable), _) => Ok(Indexed::Unsuitable),
        (Ok(_), _) => Ok(Indexed::Building),
        (Err(error), _) => {
            indexes.folders.retain(|index| index.folder != folder);
            Err(error)
        }
    };
    indexes.keep(mailbox);
    result
}

/// The UIDs of a folder: from its index, where there is one of this state.
pub(super) fn uids(mailbox: &mut Mailbox, folder: FolderId, status: &Status) -> Result<UidSet, StoreError> {
    let indexes = mailbox.take_memo::<Indexes>();
    let known = indexes
        .folders
        .iter()
        .find(|index| index.folder == folder && index.complete && index.as_of == status.highest_change);
    let mut uids = UidSet::default();
    let found = known.map(|index| index.uids.iter().for_each(|&uid| uids.insert(Uid(uid))));
    indexes.keep(mailbox);
    match found {
        Some(()) => Ok(uids),
        None => mailbox.uids(folder),
    }
}

/// The indexes of a mailbox, the one used last at the end.
#[derive(Default)]
struct Indexes {
    folders: Vec<FolderIndex>,
    made: u64,
}

pub(super) enum Advance {
    Ready,
    More,
    Unsuitable,
}

impl Indexes {
    /// Gives them back to the mailbox.
    fn keep(self: Box<Self>, mailbox: &mut Mailbox) {
        let bytes = self.folders.iter().map(FolderIndex::bytes).sum();
        mailbox.keep_memo(self, bytes);
    }

    /// Moves the folder's index to the end, and makes or updates it as far as a slice of time allows.
    fn advance(
        &mut self,
        mailbox: &mut Mailbox,
        folder: FolderId,
        needs: Needs<'_>,
    ) -> Result<Advance, StoreError> {
        let started = Instant::now();
        let status = mailbox.status(folder)?;
        let known = self.folders.iter().position(|index| index.folder == folder);
        if status.messages as usize > limits::INDEXED_MESSAGES {
            known.map(|at| self.folders.remove(at));
            return Ok(Advance::Unsuitable);
        }
        let mut index = if let Some(at) = known {
            self.folders.remove(at)
        } else {
            self.made += 1;
            FolderIndex::new(folder, &status, self.made)
        };
        let mut total = status.messages as usize;
        // The ones used longest ago make room.
        let mut room = |index: &FolderIndex| {
            total += index.uids.len();
            total <= limits::INDEXED_MESSAGES
        };
        let kept = self.folders.iter().rev().take_while(|&index| room(index)).count();
        self.folders.drain(..self.folders.len() - kept);
        let state = index.advance(mailbox, &status, needs, started);
        if !matches!(state, Ok(Advance::More) if index.outdated) {
            self.folders.push(index);
        }
        state
    }
}

/// What a message's row says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) change: ChangeNumber,
    pub(super) received: FileTime,
    pub(super) size: u64,
    pub(super) flags: Flags,
    /// Which set of keywords.
    keywords: u32,
}

/// The messages of one folder, by ascending UID.
pub(super) struct FolderIndex {
    folder: FolderId,
    /// The state that it is of, once complete.
    as_of: ChangeNumber,
    /// UIDNEXT at that state, while it is being made.
    uid_next: u32,
    complete: bool,
    /// It does not fit what the folder says, and is made anew.
    outdated: bool,
    /// Another one than any before of this mailbox: numbers of texts are valid within it.
    pub(super) generation: u64,
    pub(super) uids: Vec<u32>,
    pub(super) lines: Vec<Line>,
    keyword_sets: Vec<Vec<String>>,
    keyword_numbers: HashMap<Vec<String>, u32>,
    /// Of the first messages; of all, when a command needs them.
    pub(super) texts: Texts,
    /// Those that were searched for.
    pub(super) fields: Fields,
}

impl FolderIndex {
    fn new(folder: FolderId, status: &Status, generation: u64) -> Self {
        Self {
            folder,
            as_of: status.highest_change,
            uid_next: status.uid_next,
            complete: false,
            outdated: false,
            generation,
            uids: Vec::new(),
            lines: Vec::new(),
            keyword_sets: vec![Vec::new()],
            keyword_numbers: HashMap::new(),
            texts: Texts::default(),
            fields: Fields::default(),
        }
    }

    /// Memory that it takes, about.
    fn bytes(&self) -> u64 {
        let lines = self.uids.capacity() * size_of::<u32>() + self.lines.capacity() * size_of::<Line>();
        let keywords: usize = self.keyword_sets.iter().map(|set| 64 + 64 * set.len()).sum();
        (lines + keywords + self.texts.memory_bytes() + self.fields.memory_bytes()) as u64
    }

    pub(super) fn keywords(&self, line: &Line) -> &[String] {
        self.keyword_sets
            .get(line.keywords as usize)
            .map_or(&[], Vec::as_slice)
    }

    /// Calls `visit` with the place of each message that is in `uids`.
    pub(super) fn places(&self, uids: &UidSet, mut visit: impl FnMut(usize)) {
        for range in uids.ranges() {
            let mut at = self.uids.partition_point(|uid| uid < range.start());
            while self.uids.get(at).is_some_and(|uid| uid <= range.end()) {
                visit(at);
                at += 1;
            }
        }
    }

    fn advance(
        &mut self,
        mailbox: &mut Mailbox,
        status: &Status,
        needs: Needs<'_>,
        started: Instant,
    ) -> Result<Advance, StoreError> {
        if !self.complete {
            self.complete = self.read_lines(mailbox, started)?;
            if !self.complete {
                return Ok(Advance::More);
            }
        }
        if status.highest_change != self.as_of {
            self.refresh(mailbox)?;
            if self.outdated {
                return Ok(Advance::More);
            }
        }
        if needs.level == Level::Texts {
            if !self.read_texts(mailbox, started)? {
                return Ok(Advance::More);
            }
            if self.texts.is_full() {
                return Ok(Advance::Unsuitable);
            }
        }
        self.fields
            .advance(mailbox, self.folder, &self.uids, needs.fields, started)
    }

    fn line(&mut self, row: &MessageRow) -> Line {
        let keywords = if row.keywords.is_empty() {
            0
        } else if let Some(&number) = self.keyword_numbers.get(&row.keywords) {
            number
        } else {
            let number = self.keyword_sets.len() as u32;
            self.keyword_sets.push(row.keywords.clone());
            self.keyword_numbers.insert(row.keywords.clone(), number);
            number
        };
        Line {
            change: row.change,
            received: row.received,
            size: row.size,
            flags: row.flags,
            keywords,
        }
    }

    /// Reads rows; whether all are read.
    fn read_lines(&mut self, mailbox: &mut Mailbox, started: Instant) -> Result<bool, StoreError> {
        let mut left = UidSet::default();
        let first = self.uids.last().map_or(1, |uid| uid.saturating_add(1));
        left.insert_range(first..=self.uid_next.saturating_sub(1));
        let mut whole = true;
        mailbox.visit_messages(self.folder, &left, false, &mut |row| {
            let line = self.line(row);
            self.uids.push(row.uid.0);
            self.lines.push(line);
            // The clock is not asked for every row.
            if !self.uids.len().is_multiple_of(64) || started.elapsed() < limits::SLICE_TIME {
                return ControlFlow::Continue(());
            }
            whole = false;
            ControlFlow::Break(())
        })?;
        Ok(whole)
    }

    /// Reads the envelopes of messages that have none here yet; whether all are read.
    fn read_texts(&mut self, mailbox: &mut Mailbox, started: Instant) -> Result<bool, StoreError> {
        while self.texts.len() < self.uids.len() && !self.texts.is_full() {
            let mut left = UidSet::default();
            left.insert_range(self.uids[self.texts.len()]..=self.uids[self.uids.len() - 1]);
            let (mut late, mut damaged) = (false, None);
            let (uids, lines, texts) = (&self.uids, &self.lines, &mut self.texts);
            // Messages that are gone by now have no texts.
            let skip_to = |texts: &mut Texts, uid: u32| {
                while uids.get(texts.len()).is_some_and(|known| *known < uid) {
                    texts.push(lines[texts.len()].received, &Envelope::default());
                }
                uids.get(texts.len()) == Some(&uid)
            };
            mailbox.visit_messages(self.folder, &left, true, &mut |row| {
                if !skip_to(texts, row.uid.0) {
                    return ControlFlow::Continue(());
                }
                if let Some(envelope) = row.structure.as_deref().and_then(Structure::decode_envelope) {
                    texts.push(row.received, &envelope);
                } else {
                    damaged = Some(row.clone());
                    return ControlFlow::Break(());
                }
                late = texts.len() % 16 == 0 && started.elapsed() >= limits::SLICE_TIME;
                if late || texts.is_full() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
            if let Some(row) = damaged {
                // A message that can't be read is placed as one without fields.
                let structure = read_structure(mailbox, &row).unwrap_or_default();
                self.texts.push(row.received, &structure.envelope);
                late = started.elapsed() >= limits::SLICE_TIME;
            } else if !late && !self.texts.is_full() {
                skip_to(&mut self.texts, u32::MAX);
            }
            if late {
                return Ok(self.texts.len() == self.uids.len());
            }
        }
        Ok(true)
    }

    /// Takes over what changed since `as_of`.
    fn refresh(&mut self, mailbox: &mut Mailbox) -> Result<(), StoreError> {
        let changes = mailbox.changes_since(self.folder, self.as_of)?;
        self.remove(&changes.vanished);
        let mut changed = UidSet::default();
        changes
            .changed
            .iter()
            .for_each(|change| changed.insert(change.uid));
        mailbox.visit_messages(self.folder, &changed, false, &mut |row| {
            let line = self.line(row);
            match self.uids.binary_search(&row.uid.0) {
                Ok(at) => self.lines[at] = line,
                Err(at) if at == self.uids.len() => {
                    self.uids.push(row.uid.0);
                    self.lines.push(line);
                }
                // UIDs only grow: this should not be.
                Err(_) => self.outdated = true,
            }
            ControlFlow::Continue(())
        })?;
        self.as_of = changes.highest_change;
        Ok(())
    }

    fn remove(&mut self, gone: &UidSet) {
        let mut keep = vec![true; self.uids.len()];
        let mut any = false;
        self.places(gone, |at| {
            keep[at] = false;
            any = true;
        });
        if any {
            retain(&mut self.uids, &keep);
            retain(&mut self.lines, &keep);
            self.texts.retain(&keep);
            self.fields.retain(&keep);
        }
    }
}

/// Keeps the elements whose place is marked.
fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut marks = keep.iter();
    column.retain(|_| marks.next().copied().unwrap_or(true));
}
