//! SEARCH (RFC 9051 §6.4.4, RFC 4731, 5182, 5032, 7162): a job that runs as bounded steps on the mailbox.
//!
//! A program is evaluated in stages, cheapest first, with three-valued logic: what the row alone decides costs
//! nothing more; then the message's envelope; then the header; then the bodies, read and decoded a slice at a time. A
//! stage is entered only for messages that the stages before left undecided. In a large folder the rows, and what is
//! asked most often of the envelopes, come from its [`index`].

use std::{
    collections::VecDeque,
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Instant,
};

use ringpost_convert::structure::{Address, Children, Envelope, Part, Structure};
use ringpost_host::{Connection, Host};
use ringpost_mapi::{ChangeNumber, FileTime, FolderId, Uid};
use ringpost_store::{Flags, Mailbox, MessageRow, StoreError, UidSet};

use super::{
    Session,
    fetch::read_structure,
    index::{self, FolderIndex, Indexed, Level, NONE, Texts, address_text},
    place,
    reply::{Failure, Reply},
    uid_list::drop_through,
};
use crate::{
    content::{
        header,
        matcher::{BodySearch, Needle, Scratch},
    },
    encode::{self, put},
    limits,
    syntax::{
        date::{HeaderDate, parse_header_date},
        search::{Key, ReturnOptions, Search},
    },
};

/// What a search found.
pub(super) struct Found {
    pub(super) uids: UidSet,
    /// The highest MODSEQ of the messages found.
    pub(super) highest: ChangeNumber,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn search(&mut self, search: Search, uid: bool, tag: &str) -> Result<Reply, Failure> {
        if search.charset_named && self.enabled.utf8 {
            return Err(Reply::bad("no CHARSET with UTF8=ACCEPT (RFC 6855 §3)").into());
        }
        let mod_seq = search.key.any(&|key| matches!(key, Key::ModSeq(_)));
        if mod_seq {
            self.use_condstore();
        }
        let all = self.selected()?.list.to_set();
        let found = match self.find(&search.key, all).await {
            Ok(found) => found,
            Err(failure) => {
                if search.options.is_some_and(|options| options.save) {
                    self.selected_mut()?.saved = UidSet::default();
                }
                return Err(failure);
            }
        };
        let highest = mod_seq.then_some(found.highest);
        let options = match search.options {
            None if self.enabled.revision2 => ReturnOptions {
                all: true,
                ..ReturnOptions::default()
            },
            None => {
                self.write_search(&found.uids, uid, highest).await?;
                return Ok(Reply::ok("SEARCH completed"));
            }
            Some(options) => options,
        };
        self.save(&found.uids, options)?;
        if options.only_saves() {
            return Ok(Reply::ok("SEARCH completed, result saved"));
        }
        let highest = match highest {
            Some(_) if !(options.all || options.count) => {
                Some(self.highest_of_ends(&found.uids, options).await?)
            }
            other => other,
        };
        let shown = if uid {
            found.uids
        } else {
            self.selected()?.list.numbers(&found.uids)
        };
        let list = shown.ranges().iter().cloned();
        self.write_esearch(
            &EsearchResult {
                tag,
                uid,
                options,
                first: shown.ranges().first().map(|range| *range.start()),
                last: shown.ranges().last().map(|range| *range.end()),
                count: shown.len(),
                highest,
            },
            list,
        );
        Ok(Reply::ok("SEARCH completed"))
    }

    /// The highest MODSEQ of the messages that MIN and MAX name (RFC 4731 §3.2).
    async fn highest_of_ends(
        &mut self,
        uids: &UidSet,
        options: ReturnOptions,
    ) -> Result<ChangeNumber, Failure> {
        let mut ends = UidSet::default();
        if let (true, Some(range)) = (options.min, uids.ranges().first()) {
            ends.insert(Uid(*range.start()));
        }
        if let (true, Some(range)) = (options.max, uids.ranges().last()) {
            ends.insert(Uid(*range.end()));
        }
        let folder = self.selected()?.folder;
        let highest = self.call(move |mailbox| {
            let mut highest = ChangeNumber(0);
            mailbox.visit_messages(folder, &ends, false, &mut |row| {
                highest = highest.max(row.change);
                ControlFlow::Continue(())
            })?;
            Ok(highest)
        });
        Ok(highest.await?)
    }

    /// SEARCHRES: what `$` stands for from now on (RFC 5182 §2.4).
    pub(super) fn save(&mut self, uids: &UidSet, options: ReturnOptions) -> Result<(), Failure> {
        if !options.save {
            return Ok(());
        }
        let mut saved = UidSet::default();
        if options.all || options.count || !(options.min || options.max) {
            saved = uids.clone();
        }
        if let (true, Some(range)) = (options.min, uids.ranges().first()) {
            saved.insert_range(*range.start()..=*range.start());
        }
        if let (true, Some(range)) = (options.max, uids.ranges().last()) {
            saved.insert_range(*range.end()..=*range.end());
        }
        self.selected_mut()?.saved = saved;
        Ok(())
    }

    /// `* SEARCH …`
    async fn write_search(
        &mut self,
        uids: &UidSet,
        uid: bool,
        highest: Option<ChangeNumber>,
    ) -> Result<(), Failure> {
        let shown = if uid {
            uids.clone()
        } else {
            self.selected()?.list.numbers(uids)
        };
        self.out.extend_from_slice(b"* SEARCH");
        for range in shown.ranges() {
            for number in range.clone() {
                self.out.push(b' ');
                encode::number(&mut self.out, number);
                self.flush_slice().await?;
            }
        }
        if let Some(highest) = highest.filter(|_| !shown.is_empty()) {
            put!(self.out, " (MODSEQ {highest})");
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// `* ESEARCH …`
    pub(super) fn write_esearch(
        &mut self,
        result: &EsearchResult<'_>,
        all: impl IntoIterator<Item = std::ops::RangeInclusive<u32>>,
    ) {
        put!(self.out, "* ESEARCH (TAG \"{}\")", result.tag);
        if result.uid {
            self.out.extend_from_slice(b" UID");
        }
        let options = result.options;
        if let (Some(first), Some(last)) = (result.first, result.last) {
            if options.min {
                put!(self.out, " MIN {first}");
            }
            if options.max {
                put!(self.out, " MAX {last}");
            }
            if options.all {
                self.out.extend_from_slice(b" ALL ");
                encode::ranges(&mut self.out, all);
            }
        }
        if options.count {
            put!(self.out, " COUNT {}", result.count);
        }
        if let Some(highest) = result.highest.filter(|_| result.count > 0) {
            put!(self.out, " MODSEQ {highest}");
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Finds the messages of `among` that a program is true of.
    pub(super) async fn find(&mut self, key: &Key, among: UidSet) -> Result<Found, Failure> {
        let mut needles = Vec::new();
        let node = self.prepare(key, &mut needles)?;
        if let Node::Constant(false) = node {
            return Ok(Found {
                uids: UidSet::default(),
                highest: ChangeNumber(0),
            });
        }
        let selected = self.selected()?;
        let program = Program::new(node, needles);
        let count = selected.list.count() as usize;
        // `\Seen` of a public store is not in the index: it is each reader's own. For a few messages of many the
        // index is not worth making.
        let indexed = count >= limits::INDEXED_LEAST && selected.reader.is_none() && among.len() >= count / 4;
        let mut job = Job {
            folder: selected.folder,
            reader: selected.reader.clone(),
            level: program.level.filter(|_| indexed),
            hits: Hits::default(),
            source: Vec::new(),
            scratch: Scratch::default(),
            program: Arc::new(program),
            left: among,
            undecided: UidSet::default(),
            sources: VecDeque::new(),
            body: None,
            found: Found {
                uids: UidSet::default(),
                highest: ChangeNumber(0),
            },
        };
        loop {
            let (returned, done) = self
                .call(move |mailbox| {
                    let done = job.step(mailbox)?;
                    Ok((job, done))
                })
                .await?;
            job = returned;
            if done {
                return Ok(job.found);
            }
        }
    }

    /// Turns a program into what can be evaluated without the session: sets of UIDs, absolute times, needles.
    fn prepare(&self, key: &Key, needles: &mut Vec<Needle>) -> Result<Node, Failure> {
        let mut needle = |text: &str| {
            needles.push(Needle::new(text));
            needles.len() - 1
        };
        let now = FileTime::now().unix_seconds();
        let date = |compare, day| Node::SentDay(compare, day);
        Ok(match key {
            Key::All => Node::Constant(true),
            Key::Numbers(set) => Node::Uids(self.resolve(set, false)?),
            Key::Uids(set) => Node::Uids(self.resolve(set, true)?),
            Key::Flag(flag) => Node::Flag(*flag),
            Key::Keyword(name) => {
                let known = encode::FLAG_NAMES
                    .iter()
                    .find(|(_, known)| known.eq_ignore_ascii_case(name));
                known.map_or_else(|| Node::Keyword(name.clone()), |(flag, _)| Node::Flag(*flag))
            }
            Key::Recent => Node::Uids(self.selected()?.recent.clone()),
            Key::Before(day) => Node::Day(Compare::Before, *day),
            Key::On(day) => Node::Day(Compare::On, *day),
            Key::Since(day) => Node::Day(Compare::Since, *day),
            Key::SentBefore(day) => date(Compare::Before, *day),
            Key::SentOn(day) => date(Compare::On, *day),
            Key::SentSince(day) => date(Compare::Since, *day),
            Key::Larger(size) => Node::Larger(*size),
            Key::Smaller(size) => Node::Smaller(*size),
            Key::Older(seconds) => Node::ReceivedUntil(now - i64::from(*seconds)),
            Key::Younger(seconds) => Node::Not(Box::new(Node::ReceivedUntil(now - i64::from(*seconds) - 1))),
            Key::Header { name, value } => {
                let needle = needle(value);
                match name.as_str() {
                    "FROM" => Node::From(needle),
                    "TO" => Node::Addresses(|e| &e.to, needle),
                    "CC" => Node::Addresses(|e| &e.cc, needle),
                    "BCC" => Node::Addresses(|e| &e.bcc, needle),
                    "SUBJECT" => Node::Subject(needle),
                    "MESSAGE-ID" => Node::Line(|e| e.message_id.as_deref(), needle),
                    "IN-REPLY-TO" => Node::Line(|e| e.in_reply_to.as_deref(), needle),
                    "REFERENCES" => Node::Line(|e| e.references.as_deref(), needle),
                    _ => Node::Field(name.clone(), needle),
                }
            }
            Key::Body(text) => Node::Body(needle(text)),
            Key::Text(text) => Node::Text(needle(text)),
            Key::ModSeq(number) => Node::ChangedSince(ChangeNumber(*number)),
            Key::EmailId(id) => Node::EmailId(id.clone()),
            // No message has a thread id.
            Key::ThreadId(_) => Node::Constant(false),
            Key::Not(key) => Node::Not(Box::new(self.prepare(key, needles)?)),
            Key::And(keys) => Node::And(
                keys.iter()
                    .map(|key| self.prepare(key, needles))
                    .collect::<Result<_, _>>()?,
            ),
            Key::Or(left, right) => Node::Or(
                Box::new(self.prepare(left, needles)?),
                Box::new(self.prepare(right, needles)?),
            ),
        })
    }
}

/// What ESEARCH tells.
pub(super) struct EsearchResult<'a> {
    pub(super) tag: &'a str,
    pub(super) uid: bool,
    pub(super) options: ReturnOptions,
    pub(super) first: Option<u32>,
    pub(super) last: Option<u32>,
    pub(super) count: usize,
    pub(super) highest: Option<ChangeNumber>,
}

#[derive(Clone, Copy)]
enum Compare {
    Before,
    On,
    Since,
}

impl Compare {
    fn holds(self, day: i64, wanted: i64) -> bool {
        match self {
            Self::Before => day < wanted,
            Self::On => day == wanted,
            Self::Since => day >= wanted,
        }
    }
}

/// A search key, ready to be evaluated.
enum Node {
    Constant(bool),
    Uids(UidSet),
    Flag(Flags),
    Keyword(String),
    Day(Compare, i64),
    Larger(u64),
    Smaller(u64),
    /// INTERNALDATE at or before.
    ReceivedUntil(i64),
    ChangedSince(ChangeNumber),
    EmailId(String),
    SentDay(Compare, i64),
    From(usize),
    Subject(usize),
    Addresses(fn(&Envelope) -> &Vec<Address>, usize),
    Line(fn(&Envelope) -> Option<&[u8]>, usize),
    Field(String, usize),
    Text(usize),
    Body(usize),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Box<Node>, Box<Node>),
}

struct Program {
    node: Node,
    needles: Vec<Needle>,
    /// What of an index would decide something.
    level: Option<Level>,
    /// The needles that are looked for in all of the header.
    header_needles: Vec<usize>,
    /// The needles that are looked for in bodies.
    body_needles: Vec<usize>,
}

/// What a row says of a message, be it from the store or from an index.
struct Known<'a> {
    uid: Uid,
    flags: Flags,
    keywords: &'a [String],
    received: FileTime,
    size: u64,
    change: ChangeNumber,
    email_id: Option<u64>,
    texts: Option<KnownTexts<'a>>,
}

/// A message's place in the texts of an index.
struct KnownTexts<'a> {
    texts: &'a Texts,
    hits: &'a Hits,
    at: usize,
}

/// Which of an index's texts have the needles.
#[derive(Default)]
struct Hits {
    generation: u64,
    /// Of each needle, once it was asked for.
    subjects: Vec<Vec<bool>>,
    senders: Vec<Vec<bool>>,
}

impl Hits {
    /// Looks at the texts that are new since the last time.
    fn update(&mut self, program: &Program, index: &FolderIndex) {
        if self.generation != index.generation {
            let none = vec![Vec::new(); program.needles.len()];
            (self.subjects, self.senders) = (none.clone(), none);
            self.generation = index.generation;
        }
        program.node.visit(&mut |node| {
            let (needle, texts, hits) = match *node {
                Node::Subject(needle) => (needle, &index.texts.subjects, &mut self.subjects),
                Node::From(needle) => (needle, &index.texts.senders, &mut self.senders),
                _ => return,
            };
            let (hits, needle) = (&mut hits[needle], &program.needles[needle]);
            let new = texts.all().iter().skip(hits.len());
            hits.extend(new.map(|text| needle.is_in_folded(text)));
        });
    }
}

impl<'a> From<&'a MessageRow> for Known<'a> {
    fn from(row: &'a MessageRow) -> Self {
        Self {
            uid: row.uid,
            flags: row.flags,
            keywords: &row.keywords,
            received: row.received,
            size: row.size,
            change: row.change,
            email_id: Some(row.email_id),
            texts: None,
        }
    }
}

/// What is known of a message's content so far.
#[derive(Default)]
struct Facts<'a> {
    envelope: Option<&'a Envelope>,
    /// The header's bytes.
    header: Option<&'a [u8]>,
    /// Of each needle: whether the header has it. Valid with `header`.
    in_header: &'a [bool],
    /// Of each needle: whether a body has it.
    in_body: &'a [bool],
    /// All bodies were looked at.
    bodies_done: bool,
}

impl Program {
    fn new(node: Node, needles: Vec<Needle>) -> Self {
        let mut program = Self {
            node: Node::Constant(false),
            needles,
            level: None,
            header_needles: Vec::new(),
            body_needles: Vec::new(),
        };
        node.visit(&mut |node| {
            match node {
                Node::Text(needle) => {
                    program.header_needles.push(*needle);
                    program.body_needles.push(*needle);
                }
                Node::Body(needle) => program.body_needles.push(*needle),
                _ => {}
            }
            program.level = program.level.max(node.level());
        });
        program.node = node;
        program
    }

    fn evaluate(&self, row: &Known<'_>, facts: &Facts<'_>) -> Option<bool> {
        self.node.evaluate(row, facts, &self.needles)
    }
}

impl Node {
    /// What of an index can decide this node.
    fn level(&self) -> Option<Level> {
        match self {
            Self::Constant(_)
            | Self::Uids(_)
            | Self::Flag(_)
            | Self::Keyword(_)
            | Self::Day(..)
            | Self::Larger(_)
            | Self::Smaller(_)
            | Self::ReceivedUntil(_)
            | Self::ChangedSince(_) => Some(Level::Lines),
            Self::SentDay(..) | Self::From(_) | Self::Subject(_) => Some(Level::Texts),
            _ => None,
        }
    }

    /// Visits the node and those below it.
    fn visit(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Not(node) => node.visit(visit),
            Self::And(nodes) => nodes.iter().for_each(|node| node.visit(visit)),
            Self::Or(left, right) => {
                left.visit(visit);
                right.visit(visit);
            }
            _ => {}
        }
    }

    /// True, false, or not known yet.
    fn evaluate(&self, row: &Known<'_>, facts: &Facts<'_>, needles: &[Needle]) -> Option<bool> {
        let envelope = facts.envelope;
        Some(match self {
            Self::Constant(value) => *value,
            Self::Uids(set) => set.contains(row.uid),
            Self::Flag(flag) => row.flags.contains(*flag),
            Self::Keyword(name) => row
                .keywords
                .iter()
                .any(|keyword| keyword.eq_ignore_ascii_case(name)),
            Self::Day(compare, day) => compare.holds(row.received.unix_seconds().div_euclid(86_400), *day),
            Self::Larger(size) => row.size > *size,
            Self::Smaller(size) => row.size < *size,
            Self::ReceivedUntil(seconds) => row.received.unix_seconds() <= *seconds,
            Self::ChangedSince(change) => row.change >= *change,
            Self::EmailId(id) => *id == format!("M{}", row.email_id?),
            Self::SentDay(compare, day) => compare.holds(
                match &row.texts {
                    Some(known) => known.texts.sent_day[known.at],
                    None => sent(envelope?, row.received).local_day,
                },
                *day,
            ),
            Self::From(needle) => match &row.texts {
                // Addresses are lines there.
                Some(known) if !needles[*needle].has_line_end() => {
                    let sender = known.texts.sender[known.at];
                    sender != NONE && known.hits.senders[*needle][sender as usize]
                }
                _ => has_address(&envelope?.from, &needles[*needle]),
            },
            Self::Subject(needle) => match &row.texts {
                Some(known) => {
                    let subject = known.texts.subject[known.at];
                    subject != NONE && known.hits.subjects[*needle][subject as usize]
                }
                None => envelope?
                    .subject
                    .as_deref()
                    .is_some_and(|line| needles[*needle].is_in(&header::decode(line))),
            },
            Self::Addresses(field, needle) => has_address(field(envelope?), &needles[*needle]),
            Self::Line(field, needle) => {
                field(envelope?).is_some_and(|line| needles[*needle].is_in(&header::decode(line)))
            }
            Self::Field(name, needle) => header::fields(facts.header?)
                .filter(|field| header::name(field).eq_ignore_ascii_case(name.as_bytes()))
                .any(|field| needles[*needle].is_in(&header::decode(header::value(field)))),
            Self::Text(needle) => {
                if facts.in_header.get(*needle) == Some(&true) || facts.in_body.get(*needle) == Some(&true) {
                    true
                } else if facts.bodies_done {
                    false
                } else {
                    return None;
                }
            }
            Self::Body(needle) => match facts.in_body.get(*needle) {
                Some(true) => true,
                _ if facts.bodies_done => false,
                _ => return None,
            },
            Self::Not(node) => !node.evaluate(row, facts, needles)?,
            Self::And(nodes) => {
                let mut known = true;
                for node in nodes {
                    match node.evaluate(row, facts, needles) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => known = false,
                    }
                }
                return known.then_some(true);
            }
            Self::Or(left, right) => {
                match (
                    left.evaluate(row, facts, needles),
                    right.evaluate(row, facts, needles),
                ) {
                    (Some(true), _) | (_, Some(true)) => true,
                    (Some(false), Some(false)) => false,
                    _ => return None,
                }
            }
        })
    }
}

/// The date of the `Date:` field, or where it has none of arrival (RFC 5256 §2.2).
pub(super) fn sent(envelope: &Envelope, received: FileTime) -> HeaderDate {
    envelope
        .date
        .as_deref()
        .and_then(parse_header_date)
        .unwrap_or_else(|| {
            let seconds = received.unix_seconds();
            HeaderDate {
                seconds,
                local_day: seconds.div_euclid(86_400),
            }
        })
}

fn has_address(list: &[Address], needle: &Needle) -> bool {
    list.iter().any(|address| needle.is_in(&address_text(address)))
}

/// A search between two steps.
struct Job {
    folder: FolderId,
    reader: Option<Arc<str>>,
    program: Arc<Program>,
    /// What of an index is to be looked at first.
    level: Option<Level>,
    hits: Hits,
    /// Working memory for messages that are searched whole.
    source: Vec<u8>,
    scratch: Scratch,
    /// Not visited yet.
    left: UidSet,
    /// Visited; their rows did not decide.
    undecided: UidSet,
    /// Their structures did not decide.
    sources: VecDeque<(MessageRow, Structure)>,
    body: Option<BodyPass>,
    found: Found,
}

impl Job {
    /// Works for a slice of time. True when all is decided.
    fn step(&mut self, mailbox: &mut Mailbox) -> Result<bool, StoreError> {
        let started = Instant::now();
        while started.elapsed() < limits::SLICE_TIME {
            if let Some(level) = self.level {
                if !self.visit_index(mailbox, level)? {
                    return Ok(false);
                }
            } else if let Some(pass) = &mut self.body {
                if let Some(hit) = pass.step(mailbox, &self.program).or_else(unreadable)? {
                    let row = pass.row.clone();
                    self.body = None;
                    self.decide(&row, hit);
                }
            } else if let Some((row, structure)) = self.sources.pop_front() {
                let whole = row.size <= limits::SEARCHED_WHOLE_BYTES;
                let begun = if whole {
                    self.search_whole(mailbox, &row, &structure)
                        .map(|hit| Begun::Decided(row, hit))
                } else {
                    BodyPass::begin(mailbox, &self.program, row, structure)
                };
                match begun {
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
    fn visit_index(&mut self, mailbox: &mut Mailbox, level: Level) -> Result<bool, StoreError> {
        /// Messages between two looks at whether others want their turn.
        const STRIDE: usize = 4096;
        let (program, hits, left) = (&self.program, &mut self.hits, &self.left);
        let (found, undecided) = (&mut self.found, &mut self.undecided);
        let visited = index::with(mailbox, self.folder, level, |mailbox, index| {
            if level == Level::Texts {
                hits.update(program, index);
            }
            let mut visited = 0;
            index.places(left, |at| {
                let line = &index.lines[at];
                let row = Known {
                    uid: Uid(index.uids[at]),
                    flags: line.flags,
                    keywords: index.keywords(line),
                    received: line.received,
                    size: line.size,
                    change: line.change,
                    email_id: None,
                    texts: (level == Level::Texts).then_some(KnownTexts {
                        texts: &index.texts,
                        hits,
                        at,
                    }),
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
            Indexed::Done(()) => self.left = UidSet::default(),
            // The rows are visited instead.
            Indexed::Unsuitable => {}
        }
        self.level = None;
        Ok(true)
    }

    /// Searches a message's header and bodies, read at once.
    fn search_whole(
        &mut self,
        mailbox: &mut Mailbox,
        row: &MessageRow,
        structure: &Structure,
    ) -> Result<bool, StoreError> {
        let program = &self.program;
        self.source.clear();
        mailbox.read_row_source(row, 0..row.size, &mut self.source)?;
        let source = &self.source;
        let slice = |range: &Range<u64>| {
            let end = (range.end as usize).min(source.len());
            &source[(range.start as usize).min(end)..end]
        };
        let header = slice(&structure.root.header);
        let mut in_header = vec![false; program.needles.len()];
        let mut in_body = in_header.clone();
        self.scratch
            .search_header(header, &program.needles, &program.header_needles, &mut in_header);
        let known = Known::from(row);
        let mut facts = Facts {
            envelope: Some(&structure.envelope),
            header: Some(header),
            in_header: &in_header,
            ..Facts::default()
        };
        if let Some(hit) = program.evaluate(&known, &facts) {
            return Ok(hit);
        }
        let mut parts = VecDeque::new();
        pieces(&structure.root, &mut parts);
        for piece in parts {
            match piece {
                Piece::Header(range) => self.scratch.search_header(
                    slice(&range),
                    &program.needles,
                    &program.body_needles,
                    &mut in_body,
                ),
                Piece::Body {
                    range,
                    encoding,
                    charset,
                } => self.scratch.search_body(
                    slice(&range),
                    (&encoding, charset.as_deref()),
                    &program.needles,
                    &program.body_needles,
                    &mut in_body,
                ),
            }
        }
        facts.in_body = &in_body;
        facts.bodies_done = true;
        Ok(program.evaluate(&known, &facts).unwrap_or(false))
    }

    fn visit_rows(&mut self, mailbox: &mut Mailbox, started: Instant) -> Result<(), StoreError> {
        let (program, found, undecided) = (&self.program, &mut self.found, &mut self.undecided);
        let (mut last, mut rows, mut open) = (None, 0usize, 0usize);
        let reader = self.reader.as_deref();
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
        let reader = self.reader.as_deref();
        place::visit_as(mailbox, self.folder, &self.undecided, true, reader, &mut |row| {
            // What the envelope decides needs no parts.
            let encoded = row.structure.as_deref();
            let envelope = encoded.and_then(Structure::decode_envelope);
            let hit = envelope.as_ref().map(|envelope| {
                let facts = Facts {
                    envelope: Some(envelope),
                    ..Facts::default()
                };
                program.evaluate(&Known::from(row), &facts)
            });
            match hit {
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
fn unreadable(error: StoreError) -> Result<Option<bool>, StoreError> {
    match error {
        StoreError::NotFound(_) => Ok(Some(false)),
        StoreError::Corrupt { .. } | StoreError::NotAllowed(_) | StoreError::File { .. } => {
            tracing::error!(%error, "imap: a message can't be searched");
            Ok(Some(false))
        }
        other => Err(other),
    }
}

/// A message whose source is looked at.
struct BodyPass {
    row: MessageRow,
    structure: Structure,
    header: Vec<u8>,
    in_header: Vec<bool>,
    in_body: Vec<bool>,
    parts: VecDeque<Piece>,
    /// The piece that is read now, and how far.
    reading: Option<(u64, Range<u64>, BodySearch)>,
}

/// A range of the source that is text.
enum Piece {
    /// Header fields of a part or an attached message.
    Header(Range<u64>),
    Body {
        range: Range<u64>,
        encoding: Vec<u8>,
        charset: Option<Vec<u8>>,
    },
}

enum Begun {
    Decided(MessageRow, bool),
    Open(Box<BodyPass>),
}

impl BodyPass {
    /// Looks at the header; if that does not decide, the bodies are next.
    fn begin(
        mailbox: &mut Mailbox,
        program: &Program,
        row: MessageRow,
        structure: Structure,
    ) -> Result<Begun, StoreError> {
        let range = &structure.root.header;
        let mut header_bytes = Vec::new();
        let end = range.end.min(range.start + limits::HEADER_BYTES);
        mailbox.read_row_source(&row, range.start..end, &mut header_bytes)?;
        let text = header::decode(&header_bytes);
        let mut pass = Self {
            in_header: program.needles.iter().map(|needle| needle.is_in(&text)).collect(),
            in_body: vec![false; program.needles.len()],
            row,
            structure,
            header: header_bytes,
            parts: VecDeque::new(),
            reading: None,
        };
        if let Some(hit) = pass.evaluate(program, false) {
            return Ok(Begun::Decided(pass.row, hit));
        }
        pieces(&pass.structure.root, &mut pass.parts);
        Ok(Begun::Open(Box::new(pass)))
    }

    fn evaluate(&self, program: &Program, bodies_done: bool) -> Option<bool> {
        let facts = Facts {
            envelope: Some(&self.structure.envelope),
            header: Some(&self.header),
            in_header: &self.in_header,
            in_body: &self.in_body,
            bodies_done,
        };
        program.evaluate(&Known::from(&self.row), &facts)
    }

    /// Reads the next slice; the answer, once it is known.
    fn step(&mut self, mailbox: &mut Mailbox, program: &Program) -> Result<Option<bool>, StoreError> {
        if let Some((at, range, mut search)) = self.reading.take() {
            let end = range.end.min(at + limits::SLICE_BYTES as u64);
            let mut raw = Vec::new();
            mailbox.read_row_source(&self.row, at..end, &mut raw)?;
            // A source that ends early ends the part too.
            let last = end == range.end || raw.is_empty();
            search.feed(&raw, last, &program.needles, &mut self.in_body);
            if !last {
                self.reading = Some((end, range, search));
            }
        } else {
            match self.parts.pop_front() {
                // Nothing is left to look at: every key has its answer.
                None => return Ok(Some(self.evaluate(program, true).unwrap_or(false))),
                Some(Piece::Header(range)) => {
                    let end = range.end.min(range.start + limits::HEADER_BYTES);
                    let mut raw = Vec::new();
                    mailbox.read_row_source(&self.row, range.start..end, &mut raw)?;
                    let text = header::decode(&raw);
                    for (found, needle) in self.in_body.iter_mut().zip(&program.needles) {
                        *found |= needle.is_in(&text);
                    }
                }
                Some(Piece::Body {
                    range,
                    encoding,
                    charset,
                }) => {
                    let search = BodySearch::new(&encoding, charset.as_deref());
                    self.reading = Some((range.start, range, search));
                }
            }
        }
        Ok(self.evaluate(program, false))
    }
}

/// The text of a message's body: its text parts, and headers and texts of attached messages.
fn pieces(part: &Part, found: &mut VecDeque<Piece>) {
    match &part.children {
        Children::Multipart(parts) => {
            for child in parts {
                found.push_back(Piece::Header(child.header.clone()));
                pieces(child, found);
            }
        }
        Children::Message(inner) => {
            found.push_back(Piece::Header(inner.root.header.clone()));
            pieces(&inner.root, found);
        }
        Children::None => {
            if part.media_type.is_empty() || part.media_type == b"text" {
                let charset = part.parameters.iter().find(|(name, _)| name == b"charset");
                found.push_back(Piece::Body {
                    range: part.body.clone(),
                    encoding: part.encoding.clone(),
                    charset: charset.map(|(_, value)| value.clone()),
                });
            }
        }
    }
}
