//! FETCH (RFC 9051 §6.4.5): a job that runs as bounded steps on the mailbox.
//!
//! A step visits a batch of rows and writes until it has a slice of output.

mod flags;
mod item;
mod rows;

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc, time::Instant};

use ringpost_convert::structure::Structure;
use ringpost_host::{Connection, Host};
use ringpost_mapi::{ChangeNumber, FolderId, Uid, rights::Rights};
use ringpost_store::{FlagAction, Flags, Mailbox, MessageRow, StoreError, UidSet};

use self::item::{Current, Work};
use super::{
    Session, flag_lines, place,
    reply::{End, Failure, Reply},
    selected::changed_uids,
    uid_list::{UidList, drop_through},
};
use crate::{
    limits,
    syntax::fetch::{Fetch, Item},
};

/// How a FETCH went.
pub(super) struct Outcome {
    /// Messages that were there.
    found: usize,
    /// A part's transfer encoding is not known (RFC 3516).
    unknown_encoding: bool,
    /// A message could not be read.
    unreadable: bool,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn fetch(&mut self, fetch: Fetch, uid: bool) -> Result<Reply, Failure> {
        if fetch.vanished && !self.enabled.qresync {
            return Err(Reply::bad("ENABLE QRESYNC first").into());
        }
        if fetch.items.contains(&Item::ModSeq) {
            self.use_condstore();
        }
        let mut uids = self.resolve(&fetch.set, uid)?;
        if let Some(since) = fetch.changed_since {
            let folder = self.selected()?.folder;
            let (vanished, changed) = self
                .call(move |mailbox| {
                    let changes = mailbox.changes_since(folder, ChangeNumber(since))?;
                    let changed = changed_uids(&changes);
                    Ok((changes.vanished, changed))
                })
                .await?;
            if fetch.vanished {
                let gone = UidList::new(&vanished).resolve(&fetch.set, true);
                self.write_vanished(&gone, true);
            }
            uids = UidList::new(&uids).intersection(&changed);
        }
        let wanted = uids.len();
        let outcome = self.run_fetch(uids, fetch.items).await?;
        if outcome.unknown_encoding {
            return Err(Reply::no("UNKNOWN-CTE", "a part's transfer encoding is not known").into());
        }
        if outcome.unreadable {
            return Err(Reply::no("UNAVAILABLE", "some of the messages can't be read").into());
        }
        if outcome.found < wanted && !uid {
            return Err(Reply::no("EXPUNGEISSUED", "some of the messages no longer exist").into());
        }
        Ok(Reply::ok("FETCH completed"))
    }

    /// Sends items of messages.
    pub(super) async fn run_fetch(&mut self, uids: UidSet, mut items: Vec<Item>) -> Result<Outcome, Failure> {
        let condstore = self.enabled.condstore;
        let selected = self.selected()?;
        let may_mark = selected.reader.is_some() || selected.rights.contains(Rights::EDIT_ANY);
        let mark_seen = !selected.read_only && may_mark && items.iter().any(Item::sets_seen);
        let shows_flags = mark_seen || items.contains(&Item::Flags);
        // RFC 7162 §3.2.4
        if self.enabled.qresync && shows_flags && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        let mut job = Job {
            folder: selected.folder,
            reader: selected.reader.clone(),
            list: Arc::clone(&selected.list),
            plan: Arc::new(Plan {
                structure: items.iter().any(Item::needs_structure),
                parts: items.iter().any(Item::needs_parts),
                shows_flags,
                items,
                utf8: self.enabled.utf8_names(),
                condstore,
                recent: if self.enabled.revision2 {
                    UidSet::default()
                } else {
                    selected.recent.clone()
                },
                mark_seen,
            }),
            left: uids,
            rows: VecDeque::new(),
            current: None,
            found: 0,
            work: Work::default(),
            unreadable: false,
            message_start: None,
            marked: None,
            keywords: Vec::new(),
            boundary: 0,
        };
        loop {
            let literal_open = job.current.is_some();
            let step = self
                .call(move |mailbox| {
                    let mut out = Vec::with_capacity(4096);
                    let done = job.step(mailbox, &mut out)?;
                    Ok((job, out, done))
                })
                .await;
            let (returned, out, done) = match step {
                Ok(step) => step,
                // Part of a literal may be sent: nothing that follows could be understood.
                Err(error) if literal_open => {
                    tracing::error!(%error, "imap: FETCH failed within a message");
                    return Err(End::Closed.into());
                }
                Err(error) => return Err(error.into()),
            };
            job = returned;
            if let Some((before, after)) = job.marked.take() {
                self.unsynced = true;
                self.selected_mut()?.advance(before, after);
            }
            // New keywords are announced between messages only, before the first message that has them.
            let boundary = std::mem::take(&mut job.boundary).min(out.len());
            let used = std::mem::take(&mut job.keywords);
            if self.has_new_keywords(&used) {
                self.out.extend_from_slice(&out[..boundary]);
                self.announce_keywords(&used);
                self.out.extend_from_slice(&out[boundary..]);
            } else if self.out.is_empty() {
                self.out = out;
            } else {
                self.out.extend_from_slice(&out);
            }
            if done {
                return Ok(Outcome {
                    found: job.found,
                    unknown_encoding: job.work.unknown_encoding,
                    unreadable: job.unreadable,
                });
            }
            self.flush().await?;
        }
    }
}

/// What is the same for all messages.
struct Plan {
    items: Vec<Item>,
    structure: bool,
    parts: bool,
    shows_flags: bool,
    utf8: bool,
    condstore: bool,
    recent: UidSet,
    mark_seen: bool,
}

/// A FETCH between two steps.
struct Job {
    folder: FolderId,
    reader: Option<Arc<str>>,
    list: Arc<UidList>,
    plan: Arc<Plan>,
    /// Not visited yet.
    left: UidSet,
    /// Visited, not written yet.
    rows: VecDeque<(MessageRow, bool)>,
    current: Option<Current>,
    found: usize,
    work: Work,
    /// A message could not be read.
    unreadable: bool,
    /// Where in this step's output the current message begins, if it begins there.
    message_start: Option<usize>,
    /// Change numbers before and after marking messages as seen.
    marked: Option<(ChangeNumber, ChangeNumber)>,
    /// Keywords on the messages begun in this step.
    keywords: Vec<String>,
    /// Where in this step's output its first message began.
    boundary: usize,
}

impl Job {
    /// Leaves out a message that can't be read, so that one damaged message does not hide the others. Not
    /// possible any more once a part of it was sent.
    fn skip(&mut self, error: StoreError, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let Some(start) = self.message_start.take() else {
            return Err(error);
        };
        match error {
            // Expunged since its row was read.
            StoreError::NotFound(_) => {}
            StoreError::Corrupt { .. } | StoreError::NotAllowed(_) | StoreError::File { .. } => {
                tracing::error!(%error, "imap: a message can't be read");
                self.unreadable = true;
            }
            _ => return Err(error),
        }
        out.truncate(start);
        self.current = None;
        self.found -= 1;
        Ok(())
    }

    /// Writes about a slice. True when all is written.
    fn step(&mut self, mailbox: &mut Mailbox, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        if self.reader.is_none() && self.plan.only_flags() {
            return self.step_flags(mailbox, out);
        }
        if self.plan.only_rows() {
            return self.step_rows(mailbox, out);
        }
        let started = Instant::now();
        self.message_start = None;
        while out.len() < limits::SLICE_BYTES && started.elapsed() < limits::SLICE_TIME {
            if let Some(current) = &mut self.current {
                match current.write(mailbox, &self.plan, &mut self.work, out) {
                    Ok(finished) => {
                        if finished {
                            self.current = None;
                        }
                    }
                    Err(error) => self.skip(error, out)?,
                }
            } else if let Some((row, marked)) = self.rows.pop_front() {
                self.message_start = Some(out.len());
                if let Err(error) = self.begin(mailbox, row, marked, out) {
                    self.skip(error, out)?;
                }
            } else if self.left.is_empty() {
                return Ok(true);
            } else {
                self.visit(mailbox)?;
            }
        }
        Ok(false)
    }

    /// Reads the next rows.
    fn visit(&mut self, mailbox: &mut Mailbox) -> Result<(), StoreError> {
        let (mut bytes, mut last) = (0, None);
        let mut rows: Vec<(MessageRow, bool)> = Vec::new();
        let mut unseen = UidSet::default();
        let mark_seen = self.plan.mark_seen;
        let reader = self.reader.as_deref();
        place::visit_as(
            mailbox,
            self.folder,
            &self.left,
            self.plan.structure,
            reader,
            &mut |row| {
                bytes += row.structure.as_ref().map_or(0, Vec::len);
                if mark_seen && !row.flags.contains(Flags::SEEN) {
                    unseen.insert(row.uid);
                }
                rows.push((row.clone(), false));
                if rows.len() < limits::SLICE_ROWS && bytes < limits::SLICE_BYTES {
                    return ControlFlow::Continue(());
                }
                last = Some(row.uid);
                ControlFlow::Break(())
            },
        )?;
        self.go_on_behind(last);
        self.found += rows.len();
        match self.mark_seen(mailbox, &mut rows, &unseen) {
            // Mail can be read all the same.
            Err(StoreError::DiskFull) => {}
            marked => marked?,
        }
        self.rows = rows.into();
        Ok(())
    }

    /// What is left begins behind the last row that was visited; nothing is left where no row ended the visit.
    fn go_on_behind(&mut self, last: Option<Uid>) {
        match last {
            Some(uid) => drop_through(&mut self.left, uid),
            None => self.left = UidSet::default(),
        }
    }

    fn mark_seen(
        &mut self,
        mailbox: &mut Mailbox,
        rows: &mut [(MessageRow, bool)],
        unseen: &UidSet,
    ) -> Result<(), StoreError> {
        if let Some(reader) = self.reader.clone().filter(|_| !unseen.is_empty()) {
            let messages: Vec<_> = rows
                .iter()
                .filter(|(row, _)| unseen.contains(row.uid))
                .map(|(row, _)| row.message)
                .collect();
            mailbox.set_read(self.folder, &messages, true, &reader)?;
            for (row, marked) in rows {
                if unseen.contains(row.uid) {
                    row.flags |= Flags::SEEN;
                    *marked = true;
                }
            }
            let now = mailbox.status(self.folder)?.highest_change;
            self.marked.get_or_insert((now, now));
        } else if !unseen.is_empty() {
            let before = mailbox.status(self.folder)?.highest_change;
            let (changes, _) =
                mailbox.change_flags(self.folder, unseen, FlagAction::Add, Flags::SEEN, &[], None)?;
            for change in changes {
                if let Ok(at) = rows.binary_search_by_key(&change.uid, |(row, _)| row.uid) {
                    let (row, marked) = &mut rows[at];
                    (row.flags, row.change, *marked) = (change.flags, change.change, true);
                }
            }
            let after = mailbox.status(self.folder)?.highest_change;
            // Several batches of one step are one advance, if nothing lies between.
            self.marked = match self.marked {
                Some((first, last)) if last == before => Some((first, after)),
                _ => Some((before, after)),
            };
        }
        Ok(())
    }

    fn begin(
        &mut self,
        mailbox: &mut Mailbox,
        mut row: MessageRow,
        marked: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let Some(number) = self.list.number(row.uid) else {
            return Ok(());
        };
        if self.keywords.is_empty() {
            self.boundary = out.len();
        }
        let shown = if self.plan.shows_flags {
            row.keywords.as_slice()
        } else {
            &[]
        };
        for keyword in shown {
            if !self.keywords.contains(keyword) {
                self.keywords.push(keyword.clone());
            }
        }
        if self.plan.structure && row.structure.is_none() {
            row.structure = Some(read_structure(mailbox, &row)?.encode());
        }
        let structure = if self.plan.parts {
            match row.structure.as_deref().and_then(Structure::decode) {
                Some(structure) => Some(structure),
                None => Some(read_structure(mailbox, &row)?),
            }
        } else {
            None
        };
        flag_lines::begin(out, number);
        self.current = Some(Current::new(row, marked, structure));
        Ok(())
    }
}

/// The structure from the source, where the store has none.
pub(super) fn read_structure(mailbox: &mut Mailbox, row: &MessageRow) -> Result<Structure, StoreError> {
    let mut source = Vec::new();
    mailbox.read_row_source(row, 0..row.size, &mut source)?;
    Ok(Structure::of(&source))
}
