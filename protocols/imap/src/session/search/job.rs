//! A search on the mailbox, in steps: the index first, then rows, structures, and sources.

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc, time::Instant};

use ringpost_convert::structure::Structure;
use ringpost_mapi::{FolderId, Uid};
use ringpost_store::{Mailbox, MessageRow, StoreError, UidSet};

use super::{
    Found,
    batch::{Batch, Reader},
    body::{Begun, BodyPass},
    program::{Facts, Hits, Known, KnownTexts, Program},
};
use crate::{
    limits,
    session::{
        fetch::read_structure,
        index::{self, Indexed, Level, Needs},
        place,
        uid_list::drop_through,
    },
};

/// A search between two steps.
pub(super) struct Job {
    pub(super) folder: FolderId,
    pub(super) as_reader: Option<Arc<str>>,
    pub(super) program: Arc<Program>,
    /// What of an index is to be looked at first.
    pub(super) level: Option<Level>,
    /// Header fields are to be looked at in an index next, if that is for so many messages.
    pub(super) fields: Option<usize>,
    pub(super) hits: Hits,
    pub(super) reader: Reader,
    /// What this step leaves to helpers.
    pub(super) batch: Batch,
    /// Not visited yet.
    pub(super) left: UidSet,
    /// Visited; their rows did not decide.
    pub(super) undecided: UidSet,
    /// Their structures did not decide.
    pub(super) sources: VecDeque<(MessageRow, Structure)>,
    pub(super) body: Option<BodyPass>,
    pub(super) found: Found,
}

impl Job {
    /// Works for a slice of time. True when all is decided.
    pub(super) fn step(&mut self, mailbox: &mut Mailbox) -> Result<bool, StoreError> {
        let started = Instant::now();
        while started.elapsed() < limits::SLICE_TIME && !self.batch.is_full() {
            if let Some(level) = self.level {
                if !self.visit_index(mailbox, Needs { level, fields: &[] })? {
                    return Ok(false);
                }
                self.level = None;
            } else if let Some(worth) = self.fields {
                let program = Arc::clone(&self.program);
                let needs = Needs {
                    level: program.level.unwrap_or(Level::Lines),
                    fields: &program.fields,
                };
                // A few messages are looked at one by one.
                if self.left.len() + self.undecided.len() >= worth && !self.visit_index(mailbox, needs)? {
                    return Ok(false);
                }
                self.fields = None;
            } else if let Some(pass) = &mut self.body {
                if let Some(hit) = pass.step(mailbox, &self.program).or_else(unreadable)? {
                    let row = pass.row.clone();
                    self.body = None;
                    self.decide(&row, hit);
                }
            } else if let Some((row, structure)) = self.sources.pop_front() {
                if row.size <= limits::SEARCHED_WHOLE_BYTES {
                    self.search_whole(mailbox, row, structure)
                        .or_else(|error| unreadable(error).map(drop))?;
                    continue;
                }
                match BodyPass::begin(mailbox, &self.program, row, structure) {
                    Ok(Begun::Decided(row, hit)) => self.decide(&row, hit),
                    Ok(Begun::Open(pass)) => self.body = Some(*pass),
                    Err(error) => {
                        unreadable(error)?;
                    }
                }
            } else if !self.undecided.is_empty() {
                self.visit_structures(mailbox, started)?;
            } else if !self.left.is_empty() {
                self.visit_rows(mailbox, started)?;
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn decide(&mut self, row: &MessageRow, hit: bool) {
        if hit {
            self.found.uids.insert(row.uid);
            self.found.highest = self.found.highest.max(row.change);
        }
    }

    /// Decides what the folder's index can decide, of all messages at once. False while the index is being made.
    fn visit_index(&mut self, mailbox: &mut Mailbox, needs: Needs<'_>) -> Result<bool, StoreError> {
        /// Messages between two looks at whether others want their turn.
        const STRIDE: usize = 4096;
        let (program, hits, found) = (&self.program, &mut self.hits, &mut self.found);
        let among = if self.undecided.is_empty() {
            &self.left
        } else {
            &self.undecided
        };
        let mut undecided = UidSet::default();
        let visited = index::with(mailbox, self.folder, needs, |mailbox, index| {
            if needs.level == Level::Texts {
                hits.update(program, index);
            }
            if !needs.fields.is_empty() {
                hits.look_through_fields(program, index, &mut || mailbox.breathe());
            }
            let mut visited = 0;
            index.places(among, |at| {
                let line = &index.lines[at];
                let row = Known {
                    uid: Uid(index.uids[at]),
                    flags: line.flags,
                    keywords: index.keywords(line),
                    received: line.received,
                    size: line.size,
                    change: line.change,
                    email_id: None,
                    saved: None,
                    texts: (needs.level == Level::Texts).then_some(KnownTexts {
                        texts: &index.texts,
                        hits,
                        at,
                    }),
                    fields: (!needs.fields.is_empty()).then_some((hits, at)),
                };
                match program.evaluate(&row, &Facts::default()) {
                    Some(true) => {
                        found.uids.insert(row.uid);
                        found.highest = found.highest.max(row.change);
                    }
                    Some(false) => {}
                    None => undecided.insert(row.uid),
                }
                visited += 1;
                if visited % STRIDE == 0 {
                    mailbox.breathe();
                }
            });
        })?;
        match visited {
            Indexed::Building => return Ok(false),
            Indexed::Done(()) => (self.left, self.undecided) = (UidSet::default(), undecided),
            // The rows are visited instead.
            Indexed::Unsuitable => {}
        }
        Ok(true)
    }

    /// Searches a message's header and bodies, read at once; or leaves that to a helper.
    fn search_whole(
        &mut self,
        mailbox: &mut Mailbox,
        row: MessageRow,
        structure: Structure,
    ) -> Result<(), StoreError> {
        if let Some(stored) = mailbox.read_row_stored(&row)? {
            self.batch.push(row, structure, stored);
            return Ok(());
        }
        self.reader.source.clear();
        mailbox.read_row_source(&row, 0..row.size, &mut self.reader.source)?;
        let hit = self.reader.search(&self.program, &row, &structure);
        self.decide(&row, hit);
        Ok(())
    }

    fn visit_rows(&mut self, mailbox: &mut Mailbox, started: Instant) -> Result<(), StoreError> {
        let (program, found, undecided) = (&self.program, &mut self.found, &mut self.undecided);
        let (mut last, mut rows, mut open) = (None, 0usize, 0usize);
        let reader = self.as_reader.as_deref();
        place::visit_as(mailbox, self.folder, &self.left, false, reader, &mut |row| {
            match program.evaluate(&Known::from(row), &Facts::default()) {
                Some(true) => {
                    found.uids.insert(row.uid);
                    found.highest = found.highest.max(row.change);
                }
                Some(false) => {}
                None => {
                    undecided.insert(row.uid);
                    open += 1;
                }
            }
            rows += 1;
            // The clock is not asked for every row.
            if open < limits::SLICE_ROWS && (rows % 64 != 0 || started.elapsed() < limits::SLICE_TIME) {
                return ControlFlow::Continue(());
            }
            last = Some(row.uid);
            ControlFlow::Break(())
        })?;
        match last {
            Some(uid) => drop_through(&mut self.left, uid),
            None => self.left = UidSet::default(),
        }
        Ok(())
    }

    fn visit_structures(&mut self, mailbox: &mut Mailbox, started: Instant) -> Result<(), StoreError> {
        let program = Arc::clone(&self.program);
        let (mut last, mut decided, mut missing) = (None, Vec::new(), Vec::new());
        let sources = &mut self.sources;
        let reader = self.as_reader.as_deref();
        place::visit_as(mailbox, self.folder, &self.undecided, true, reader, &mut |row| {
            let encoded = row.structure.as_deref();
            // First what is cheapest: of most messages it is decided by it.
            let lacks = encoded.is_some_and(|encoded| program.lacks(encoded));
            // The row may know what the index did not.
            let known = (!lacks)
                .then(|| program.evaluate(&Known::from(row), &Facts::default()))
                .flatten();
            // What the envelope decides needs no parts.
            let undecided = known.is_none() && !lacks;
            let envelope = encoded.filter(|_| undecided).and_then(Structure::decode_envelope);
            let hit = envelope.as_ref().map(|envelope| {
                let facts = Facts {
                    envelope: Some(envelope),
                    ..Facts::default()
                };
                program.evaluate(&Known::from(row), &facts)
            });
            match known.map(Some).or(hit) {
                _ if lacks => decided.push((row.uid, row.change, false)),
                Some(Some(hit)) => decided.push((row.uid, row.change, hit)),
                _ => match encoded.and_then(Structure::decode) {
                    None => missing.push(row.clone()),
                    Some(structure) => sources.push_back((
                        MessageRow {
                            keywords: row.keywords.clone(),
                            structure: None,
                            ..*row
                        },
                        structure,
                    )),
                },
            }
            if sources.len() + missing.len() < 64 && started.elapsed() < limits::SLICE_TIME {
                return ControlFlow::Continue(());
            }
            last = Some(row.uid);
            ControlFlow::Break(())
        })?;
        match last {
            Some(uid) => drop_through(&mut self.undecided, uid),
            None => self.undecided = UidSet::default(),
        }
        for (uid, change, hit) in decided {
            if hit {
                self.found.uids.insert(uid);
                self.found.highest = self.found.highest.max(change);
            }
        }
        for row in missing {
            match read_structure(mailbox, &row) {
                Ok(structure) => self.sources.push_back((row, structure)),
                Err(error) => {
                    unreadable(error)?;
                }
            }
        }
        Ok(())
    }
}

/// A message that can't be read is not found; other errors end the search.
pub(in crate::session) fn unreadable(error: StoreError) -> Result<Option<bool>, StoreError> {
    match error {
        StoreError::NotFound(_) => Ok(Some(false)),
        StoreError::Corrupt { .. } | StoreError::NotAllowed(_) | StoreError::File { .. } => {
            tracing::error!(%error, "imap: a message can't be searched");
            Ok(Some(false))
        }
        other => Err(other),
    }
}
