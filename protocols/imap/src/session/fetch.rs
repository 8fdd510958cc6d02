//! FETCH (RFC 9051 §6.4.5): a job that runs as bounded steps on the mailbox.
//!
//! A step visits a batch of rows and writes until it has a slice of output; the bytes of a section are read from the
//! source a slice at a time, so a message of any size passes through one buffer.

mod flags;
mod rows;

use std::{
    collections::VecDeque,
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Instant,
};

use ringpost_convert::structure::{Part, Structure};
use ringpost_host::{Connection, Host};
use ringpost_mapi::{ChangeNumber, FolderId, Uid, rights::Rights};
use ringpost_store::{FlagAction, Flags, Mailbox, MessageRow, StoreError, UidSet};

use super::{
    Session, flag_lines, place, preview,
    reply::{End, Failure, Reply},
    selected::changed_uids,
    uid_list::{UidList, drop_through},
};
use crate::{
    content::{header, transfer::Decoder},
    encode::{self, put},
    limits, structure,
    syntax::{
        fetch::{Fetch, Item, Partial, Section, SectionItem, SectionText},
        reader::is_atom,
    },
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

/// What items leave behind for the next ones.
#[derive(Default)]
struct Work {
    /// A part's transfer encoding is not known.
    unknown_encoding: bool,
    /// A header, and the fields of it that were asked for: buffers that are used again.
    header: Vec<u8>,
    chosen: Vec<u8>,
}

/// A message that is being written.
struct Current {
    row: MessageRow,
    /// It became `\Seen` by this FETCH.
    marked: bool,
    structure: Option<Structure>,
    next_item: usize,
    stream: Option<Stream>,
}

/// Bytes of a section on their way.
enum Stream {
    /// The source as it is.
    Raw(Range<u64>),
    /// Counting the decoded bytes, since a literal begins with its size.
    Count {
        range: Range<u64>,
        at: u64,
        decoder: Decoder,
        size: u64,
    },
    /// Decoding again, skipping `skip` bytes and sending `send`.
    Decoded {
        range: Range<u64>,
        decoder: Decoder,
        skip: u64,
        send: u64,
    },
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
        self.current = Some(Current {
            row,
            marked,
            structure,
            next_item: 0,
            stream: None,
        });
        Ok(())
    }
}

/// The structure from the source, where the store has none.
pub(super) fn read_structure(mailbox: &mut Mailbox, row: &MessageRow) -> Result<Structure, StoreError> {
    let mut source = Vec::new();
    mailbox.read_row_source(row, 0..row.size, &mut source)?;
    Ok(Structure::of(&source))
}

/// Where the message's header or body is.
fn top_section(
    mailbox: &mut Mailbox,
    row: &MessageRow,
    text: &SectionText,
) -> Result<Option<Range<u64>>, StoreError> {
    let known = row.structure.as_deref().and_then(structure::root);
    let (header, body) = if let Some(root) = known {
        (root.header, root.body)
    } else {
        let root = read_structure(mailbox, row)?.root;
        (root.header, root.body)
    };
    Ok(structure::top_section(header, body, text, row.size))
}

/// Reads a range that must be there.
fn read_exactly(
    mailbox: &mut Mailbox,
    row: &MessageRow,
    range: Range<u64>,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let (before, wanted) = (out.len(), range.end.saturating_sub(range.start));
    mailbox.read_row_source(row, range, out)?;
    if (out.len() - before) as u64 == wanted {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: mailbox.directory().to_owned(),
        reason: format!("message {} is shorter than its size says", row.message),
    })
}

impl Current {
    /// Writes until a slice is full. True at the message's end.
    fn write(
        &mut self,
        mailbox: &mut Mailbox,
        plan: &Plan,
        work: &mut Work,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        while out.len() < limits::SLICE_BYTES {
            if self.stream.is_some() {
                if !self.pump(mailbox, plan, out)? {
                    // A long count writes nothing, yet others want their turn.
                    return Ok(false);
                }
                continue;
            }
            let Some(item) = plan.items.get(self.next_item) else {
                if self.marked && !plan.items.contains(&Item::Flags) {
                    out.extend_from_slice(b" FLAGS ");
                    self.flags(plan, out);
                    if plan.condstore && !plan.items.contains(&Item::ModSeq) {
                        put!(out, " MODSEQ ({})", self.row.change);
                    }
                }
                out.extend_from_slice(b")\r\n");
                return Ok(true);
            };
            if self.next_item > 0 {
                out.push(b' ');
            }
            self.next_item += 1;
            self.item(mailbox, plan, item, work, out)?;
        }
        Ok(false)
    }

    fn flags(&self, plan: &Plan, out: &mut Vec<u8>) {
        encode::flags(
            out,
            self.row.flags,
            &self.row.keywords,
            plan.recent.contains(self.row.uid),
        );
    }

    fn item(
        &mut self,
        mailbox: &mut Mailbox,
        plan: &Plan,
        item: &Item,
        work: &mut Work,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        if item.is_of_row() {
            return self.row_item(mailbox, plan, item, out);
        }
        let row = &self.row;
        match (item, &self.structure) {
            (Item::Preview, Some(structure)) => preview::write(mailbox, row, structure, plan.utf8, out)?,
            (Item::Section(section), structure) => {
                let Section { part, text } = &section.section;
                let range = match structure {
                    Some(structure) => structure::section(structure, part, text, row.size),
                    None if *text == SectionText::All => Some(0..row.size),
                    None => top_section(mailbox, row, text)?,
                };
                section_name(out, section, plan.utf8);
                match (range, &section.section.text) {
                    (None, _) => out.extend_from_slice(b"NIL"),
                    (Some(range), SectionText::Fields { names, not }) => {
                        let range = range.start..range.end.min(range.start + limits::HEADER_BYTES);
                        work.header.clear();
                        work.chosen.clear();
                        read_exactly(mailbox, row, range, &mut work.header)?;
                        header::choose(&work.header, names, *not, &mut work.chosen);
                        let part = cut(0..work.chosen.len() as u64, section.partial);
                        literal(out, part.end - part.start);
                        out.extend_from_slice(&work.chosen[part.start as usize..part.end as usize]);
                    }
                    (Some(range), _) => {
                        let range = cut(range, section.partial);
                        literal(out, range.end - range.start);
                        self.stream = Some(Stream::Raw(range));
                    }
                }
            }
            (Item::Binary { part, partial, .. }, Some(structure)) => {
                put!(out, "BINARY[{}]", part_text(part));
                if let Some(partial) = partial {
                    put!(out, "<{}>", partial.offset);
                }
                out.push(b' ');
                let range = structure::section(structure, part, &SectionText::All, row.size);
                match (range, decoder_for(structure, part)) {
                    (None, _) => out.extend_from_slice(b"NIL"),
                    (Some(_), None) => {
                        work.unknown_encoding = true;
                        out.extend_from_slice(b"NIL");
                    }
                    (Some(range), Some(Decoder::Identity)) => {
                        let range = cut(range, *partial);
                        put!(out, "~{{{}}}\r\n", range.end - range.start);
                        self.stream = Some(Stream::Raw(range));
                    }
                    (Some(range), Some(decoder)) => {
                        self.stream = Some(Stream::Count {
                            at: range.start,
                            range,
                            decoder,
                            size: 0,
                        });
                    }
                }
            }
            (Item::BinarySize(part), Some(structure)) => {
                put!(out, "BINARY.SIZE[{}] ", part_text(part));
                let range = structure::section(structure, part, &SectionText::All, row.size);
                match (range, decoder_for(structure, part)) {
                    (Some(range), Some(Decoder::Identity)) => put!(out, "{}", range.end - range.start),
                    (Some(range), Some(decoder)) => {
                        self.stream = Some(Stream::Count {
                            at: range.start,
                            range,
                            decoder,
                            size: 0,
                        });
                    }
                    (range, _) => {
                        work.unknown_encoding |= range.is_some();
                        out.push(b'0');
                    }
                }
            }
            // `begin` read the structure when any item needs it, and rows have the rest.
            _ => {}
        }
        Ok(())
    }

    fn row_item(
        &mut self,
        mailbox: &mut Mailbox,
        plan: &Plan,
        item: &Item,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let start = out.len();
        if plan.row_item(out, item, &self.row).is_none() {
            // The structure is damaged.
            out.truncate(start);
            self.row.structure = Some(read_structure(mailbox, &self.row)?.encode());
            plan.row_item(out, item, &self.row)
                .ok_or_else(|| rows::unwritable(mailbox, &self.row))?;
        }
        Ok(())
    }

    /// Moves a slice of the stream on. False when it wrote nothing but should go on later.
    fn pump(&mut self, mailbox: &mut Mailbox, plan: &Plan, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        match self.stream.take() {
            None => {}
            Some(Stream::Raw(range)) => {
                let end = range.end.min(range.start + limits::SLICE_BYTES as u64);
                read_exactly(mailbox, &self.row, range.start..end, out)?;
                if end < range.end {
                    self.stream = Some(Stream::Raw(end..range.end));
                }
            }
            Some(Stream::Count {
                range,
                at,
                mut decoder,
                mut size,
            }) => {
                let end = range.end.min(at + limits::SLICE_BYTES as u64);
                let (mut raw, mut decoded) = (Vec::new(), Vec::new());
                read_exactly(mailbox, &self.row, at..end, &mut raw)?;
                decoder.feed(&raw, &mut decoded);
                if end < range.end {
                    size += decoded.len() as u64;
                    self.stream = Some(Stream::Count {
                        range,
                        at: end,
                        decoder,
                        size,
                    });
                    return Ok(false);
                }
                decoder.finish(&mut decoded);
                size += decoded.len() as u64;
                // The item that began this count is the one before the next.
                if let Some(Item::Binary { part, partial, .. }) = plan.items.get(self.next_item - 1) {
                    let sent = cut(0..size, *partial);
                    put!(out, "~{{{}}}\r\n", sent.end - sent.start);
                    let structure = self.structure.as_ref();
                    let decoder = structure.and_then(|structure| decoder_for(structure, part));
                    self.stream = decoder.map(|decoder| Stream::Decoded {
                        range,
                        decoder,
                        skip: sent.start,
                        send: sent.end - sent.start,
                    });
                } else {
                    put!(out, "{size}");
                }
            }
            Some(Stream::Decoded {
                range,
                mut decoder,
                mut skip,
                mut send,
            }) => {
                let end = range.end.min(range.start + limits::SLICE_BYTES as u64);
                let (mut raw, mut decoded) = (Vec::new(), Vec::new());
                read_exactly(mailbox, &self.row, range.start..end, &mut raw)?;
                decoder.feed(&raw, &mut decoded);
                if end == range.end {
                    decoder.finish(&mut decoded);
                }
                let start = skip.min(decoded.len() as u64);
                let taken = send.min(decoded.len() as u64 - start);
                out.extend_from_slice(&decoded[start as usize..(start + taken) as usize]);
                skip -= start;
                send -= taken;
                if send > 0 && end < range.end {
                    self.stream = Some(Stream::Decoded {
                        range: end..range.end,
                        decoder,
                        skip,
                        send,
                    });
                }
            }
        }
        Ok(true)
    }
}

/// The decoder of a part; a whole message, or one of several parts, is sent as it is.
fn decoder_for(structure: &Structure, part: &[u32]) -> Option<Decoder> {
    let found: Option<&Part> = if part.is_empty() {
        None
    } else {
        structure::find_part(structure, part)
    };
    match found {
        Some(leaf) if leaf.children == ringpost_convert::structure::Children::None => {
            Decoder::new(&leaf.encoding)
        }
        _ => Some(Decoder::Identity),
    }
}

/// The part of a range that a partial asks for.
fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.length).min(range.end)
}

/// The beginning of a literal of so many bytes.
fn literal(out: &mut Vec<u8>, bytes: u64) {
    out.push(b'{');
    encode::number64(out, bytes);
    out.extend_from_slice(b"}\r\n");
}

fn part_text(part: &[u32]) -> String {
    part.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// The item as the answer names it, with a space after it.
fn section_name(out: &mut Vec<u8>, item: &SectionItem, utf8: bool) {
    if let Some(name) = item.name {
        put!(out, "{name} ");
        return;
    }
    let Section { part, text } = &item.section;
    let text_name = match text {
        SectionText::All => "",
        SectionText::Header => "HEADER",
        SectionText::Fields { not: false, .. } => "HEADER.FIELDS",
        SectionText::Fields { not: true, .. } => "HEADER.FIELDS.NOT",
        SectionText::Text => "TEXT",
        SectionText::Mime => "MIME",
    };
    out.extend_from_slice(b"BODY[");
    for (index, number) in part.iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        encode::number(out, *number);
    }
    if !part.is_empty() && !text_name.is_empty() {
        out.push(b'.');
    }
    out.extend_from_slice(text_name.as_bytes());
    if let SectionText::Fields { names, .. } = text {
        for (index, name) in names.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b" (" } else { b" " });
            if !name.is_empty() && name.bytes().all(is_atom) {
                out.extend(name.bytes().map(|byte| byte.to_ascii_uppercase()));
            } else {
                encode::string(out, name.as_bytes(), utf8);
            }
        }
        out.push(b')');
    }
    out.push(b']');
    if let Some(partial) = item.partial {
        put!(out, "<{}>", partial.offset);
    }
    out.push(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partials() {
        let partial = |offset, length| Some(Partial { offset, length });
        assert_eq!(cut(10..20, None), 10..20);
        assert_eq!(cut(10..20, partial(2, 3)), 12..15);
        assert_eq!(cut(10..20, partial(5, 100)), 15..20);
        assert_eq!(cut(10..20, partial(11, 1)), 20..20);
        assert_eq!(cut(10..20, partial(u64::MAX, u64::MAX)), 20..20);
    }
}
