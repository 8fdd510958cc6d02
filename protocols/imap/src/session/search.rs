//! SEARCH (RFC 9051 §6.4.4, RFC 4731, 5182, 5032, 7162): a job that runs as bounded steps on the mailbox.
//!
//! A program is evaluated in stages, cheapest first, with three-valued logic: what the row alone decides costs
//! nothing more; then the message's envelope; then the header; then the bodies, read and decoded a slice at a time. A
//! stage is entered only for messages that the stages before left undecided. In a large folder the rows, and what is
//! asked most often of the envelopes, come from its [`index`].

mod batch;
mod body;
mod job;
mod program;

use std::{collections::VecDeque, ops::ControlFlow, sync::Arc};

use futures_lite::future::zip;
use ringpost_host::{CallError, Connection, Host};
use ringpost_mapi::{ChangeNumber, FileTime, Uid};
use ringpost_store::UidSet;

use self::{
    batch::{Batch, Reader},
    job::Job,
    program::{Compare, Hits, LineField, Node, Program},
};
use super::{
    Session,
    reply::{Failure, Reply},
};
use crate::{
    content::matcher::Needle,
    encode::{self, put},
    limits,
    syntax::search::{Key, ReturnOptions, Search},
};

pub(super) use self::{job::unreadable, program::sent};

/// What a search found.
pub(super) struct Found {
    pub(super) uids: UidSet,
    /// The highest MODSEQ of the messages found.
    pub(super) highest: ChangeNumber,
}

impl Found {
    fn add(&mut self, hits: Vec<(Uid, ChangeNumber)>) {
        for (uid, change) in hits {
            self.uids.insert(uid);
            self.highest = self.highest.max(change);
        }
    }
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
            as_reader: selected.reader.clone(),
            level: program.level.filter(|_| indexed),
            fields: (indexed && !program.fields.is_empty()).then_some(count / 4),
            hits: Hits::default(),
            reader: Reader::default(),
            batch: Batch::default(),
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
        let mut waiting = Batch::default();
        loop {
            let (program, batch) = (Arc::clone(&job.program), std::mem::take(&mut waiting));
            let step = self.call(move |mailbox| {
                let done = job.step(mailbox)?;
                Ok((job, done))
            });
            let (stepped, hits) = zip(step, self.search_batch(program, batch)).await;
            let (returned, done) = stepped?;
            job = returned;
            job.found.add(hits?);
            waiting = std::mem::take(&mut job.batch);
            if done {
                let hits = self.search_batch(Arc::clone(&job.program), waiting).await?;
                job.found.add(hits);
                return Ok(job.found);
            }
        }
    }

    /// Looks through messages on helper threads, if they are not too few.
    async fn search_batch(
        &self,
        program: Arc<Program>,
        batch: Batch,
    ) -> Result<Vec<(Uid, ChangeNumber)>, CallError> {
        if batch.is_small() {
            return Ok(batch.search(&program));
        }
        let (first, second) = batch.split();
        let same = Arc::clone(&program);
        let first = self.host.helper(move || first.search(&same));
        let second = self.host.helper(move || second.search(&program));
        let (first, second) = zip(first, second).await;
        let mut hits = first?;
        hits.extend(second?);
        Ok(hits)
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
            Key::SavedBefore(day) => Node::SavedDay(Compare::Before, *day),
            Key::SavedOn(day) => Node::SavedDay(Compare::On, *day),
            Key::SavedSince(day) => Node::SavedDay(Compare::Since, *day),
            // Every mailbox has them (RFC 8514 §4.3).
            Key::SaveDateSupported => Node::Constant(true),
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
                    "MESSAGE-ID" => Node::Line(LineField::MessageId, needle),
                    "IN-REPLY-TO" => Node::Line(LineField::InReplyTo, needle),
                    "REFERENCES" => Node::Line(LineField::References, needle),
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
