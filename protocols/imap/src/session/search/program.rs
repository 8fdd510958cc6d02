//! A search program as it is evaluated: three-valued, by what is known of a message so far.

use ringpost_convert::structure::{Address, Envelope, EnvelopeLines};
use ringpost_mapi::{ChangeNumber, FileTime, Uid};
use ringpost_store::{Flags, MessageRow, UidSet};

use crate::{
    content::{header, matcher::Needle},
    session::index::{FieldName, FolderIndex, Level, NONE, Texts, address_text},
    syntax::date::{HeaderDate, parse_header_date},
};

#[derive(Clone, Copy)]
pub(super) enum Compare {
    Before,
    On,
    Since,
}

impl Compare {
    pub(super) fn holds(self, day: i64, wanted: i64) -> bool {
        match self {
            Self::Before => day < wanted,
            Self::On => day == wanted,
            Self::Since => day >= wanted,
        }
    }
}

/// A search key, ready to be evaluated.
pub(super) enum Node {
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
    /// INTERNALDATE's day where it is not known when a message was saved (RFC 8514 §4.3).
    SavedDay(Compare, i64),
    SentDay(Compare, i64),
    From(usize),
    Subject(usize),
    Addresses(fn(&Envelope) -> &Vec<Address>, usize),
    Line(LineField, usize),
    Field(String, usize),
    Text(usize),
    Body(usize),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Box<Node>, Box<Node>),
}

pub(super) struct Program {
    pub(super) node: Node,
    pub(super) needles: Vec<Needle>,
    /// What of an index would decide something.
    pub(super) level: Option<Level>,
    /// The needles that are looked for in all of the header.
    pub(super) header_needles: Vec<usize>,
    /// The needles that are looked for in bodies.
    pub(super) body_needles: Vec<usize>,
    /// Header fields that are looked at, where an index may have them.
    pub(super) fields: Vec<FieldName>,
    /// A needle that a line of the envelope must have as it stands, or the program is false.
    required: Option<(LineField, usize)>,
}

/// A field of the envelope that is a line as it came.
#[derive(Clone, Copy)]
pub(super) enum LineField {
    MessageId,
    InReplyTo,
    References,
}

impl LineField {
    /// In upper case.
    fn name(self) -> &'static str {
        match self {
            Self::MessageId => "MESSAGE-ID",
            Self::InReplyTo => "IN-REPLY-TO",
            Self::References => "REFERENCES",
        }
    }

    fn of(self, envelope: &Envelope) -> Option<&[u8]> {
        match self {
            Self::MessageId => envelope.message_id.as_deref(),
            Self::InReplyTo => envelope.in_reply_to.as_deref(),
            Self::References => envelope.references.as_deref(),
        }
    }

    fn of_lines<'a>(self, lines: &EnvelopeLines<'a>) -> Option<&'a [u8]> {
        match self {
            Self::MessageId => lines.message_id,
            Self::InReplyTo => lines.in_reply_to,
            Self::References => lines.references,
        }
    }
}

/// What a row says of a message, be it from the store or from an index.
pub(super) struct Known<'a> {
    pub(super) uid: Uid,
    pub(super) flags: Flags,
    pub(super) keywords: &'a [String],
    pub(super) received: FileTime,
    pub(super) size: u64,
    pub(super) change: ChangeNumber,
    pub(super) email_id: Option<u64>,
    /// When it was saved, or else received. An index does not know.
    pub(super) saved: Option<FileTime>,
    pub(super) texts: Option<KnownTexts<'a>>,
    /// Its place in the fields of an index, and what they have.
    pub(super) fields: Option<(&'a Hits, usize)>,
}

impl Known<'_> {
    /// Whether one of the header fields that a needle is looked for in has it, where an index knows.
    fn has_in_field(&self, needle: usize) -> Option<bool> {
        let (hits, at) = self.fields?;
        hits.fields.get(needle)?.get(at).copied()
    }
}

/// A message's place in the texts of an index.
pub(super) struct KnownTexts<'a> {
    pub(super) texts: &'a Texts,
    pub(super) hits: &'a Hits,
    pub(super) at: usize,
}

/// Which of an index's texts have the needles.
#[derive(Default)]
pub(super) struct Hits {
    pub(super) generation: u64,
    /// Of each needle, once it was asked for.
    pub(super) subjects: Vec<Vec<bool>>,
    pub(super) senders: Vec<Vec<bool>>,
    /// Of each needle that is looked for in a header field, and each message.
    fields: Vec<Vec<bool>>,
}

impl Hits {
    /// Looks at the texts that are new since the last time.
    pub(super) fn update(&mut self, program: &Program, index: &FolderIndex) {
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

impl Hits {
    /// Looks through the header fields of an index; `breathe` is called now and then.
    pub(super) fn look_through_fields(
        &mut self,
        program: &Program,
        index: &FolderIndex,
        breathe: &mut dyn FnMut(),
    ) {
        self.fields = vec![Vec::new(); program.needles.len()];
        program.node.visit(&mut |node| {
            let Some((name, needle)) = node.field(&program.needles) else {
                return;
            };
            if let Some(texts) = index.fields.get(name) {
                self.fields[needle] = texts.with(&program.needles[needle], breathe);
            }
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
            saved: Some(row.saved.unwrap_or(row.received)),
            texts: None,
            fields: None,
        }
    }
}

/// What is known of a message's content so far.
#[derive(Default)]
pub(super) struct Facts<'a> {
    pub(super) envelope: Option<&'a Envelope>,
    /// The header's bytes.
    pub(super) header: Option<&'a [u8]>,
    /// Of each needle: whether the header has it. Valid with `header`.
    pub(super) in_header: &'a [bool],
    /// Of each needle: whether a body has it.
    pub(super) in_body: &'a [bool],
    /// All bodies were looked at.
    pub(super) bodies_done: bool,
}

impl Program {
    pub(super) fn new(node: Node, needles: Vec<Needle>) -> Self {
        let mut program = Self {
            node: Node::Constant(false),
            needles,
            level: None,
            header_needles: Vec::new(),
            body_needles: Vec::new(),
            fields: Vec::new(),
            required: None,
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
            if let Some((name, _)) = node.field(&program.needles)
                && !program.fields.iter().any(|known| **known == *name)
            {
                program.fields.push(name.into());
            }
        });
        program.required = node.required(&program.needles);
        program.node = node;
        program
    }

    /// Whether an encoded structure shows, without being decoded, that the program is false of its message.
    pub(super) fn lacks(&self, structure: &[u8]) -> bool {
        let required = self.required.zip(EnvelopeLines::of(structure));
        required.is_some_and(|((field, needle), lines)| match field.of_lines(&lines) {
            None => true,
            Some(line) => self.needles[needle].is_surely_not_in(line),
        } && !lines.incomplete)
    }

    pub(super) fn evaluate(&self, row: &Known<'_>, facts: &Facts<'_>) -> Option<bool> {
        self.node.evaluate(row, facts, &self.needles)
    }
}

impl Node {
    /// What of an index can decide this node.
    pub(super) fn level(&self) -> Option<Level> {
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

    /// The header field that decides this node alone, in upper case, and what is looked for in it. None for what may lie
    /// across two fields of an index.
    fn field(&self, needles: &[Needle]) -> Option<(&str, usize)> {
        let (name, needle) = match self {
            Self::Line(field, needle) => (field.name(), *needle),
            Self::Field(name, needle) => (name.as_str(), *needle),
            _ => return None,
        };
        (!needles[needle].has_line_end()).then_some((name, needle))
    }

    /// See [`Program::required`].
    fn required(&self, needles: &[Needle]) -> Option<(LineField, usize)> {
        match self {
            // Other characters may be written, folded or compared in other ways.
            Self::Line(field, needle) if needles[*needle].is_visible_ascii() => Some((*field, *needle)),
            Self::And(nodes) => nodes.iter().find_map(|node| node.required(needles)),
            _ => None,
        }
    }

    /// Visits the node and those below it.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&Self)) {
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
    pub(super) fn evaluate(&self, row: &Known<'_>, facts: &Facts<'_>, needles: &[Needle]) -> Option<bool> {
        let envelope = facts.envelope;
        Some(match self {
            Self::Constant(value) => *value,
            Self::Uids(set) => set.contains(row.uid),
            Self::Flag(flag) => row.flags.contains(*flag),
            Self::Keyword(name) => row
                .keywords
                .iter()
                .any(|keyword| keyword.eq_ignore_ascii_case(name)),
            Self::Day(compare, day) => compare.holds(utc_day(row.received), *day),
            Self::SavedDay(compare, day) => compare.holds(utc_day(row.saved?), *day),
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
            Self::Line(field, needle) => match row.has_in_field(*needle) {
                Some(hit) => hit,
                None if envelope?.incomplete => has_field(facts.header?, field.name(), &needles[*needle]),
                None => {
                    let line = field.of(envelope?);
                    line.is_some_and(|line| needles[*needle].is_in(&header::decode(line)))
                }
            },
            Self::Field(name, needle) => match row.has_in_field(*needle) {
                Some(hit) => hit,
                None => has_field(facts.header?, name, &needles[*needle]),
            },
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
pub(in crate::session) fn sent(envelope: &Envelope, received: FileTime) -> HeaderDate {
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

/// Days since 1970.
fn utc_day(time: FileTime) -> i64 {
    time.unix_seconds().div_euclid(86_400)
}

/// Whether one of the fields with this name has the needle.
fn has_field(header: &[u8], name: &str, needle: &Needle) -> bool {
    header::fields(header)
        .filter(|field| header::name(field).eq_ignore_ascii_case(name.as_bytes()))
        .any(|field| needle.is_in(&header::decode(header::value(field))))
}

pub(super) fn has_address(list: &[Address], needle: &Needle) -> bool {
    list.iter().any(|address| needle.is_in(&address_text(address)))
}
