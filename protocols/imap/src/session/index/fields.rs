//! Header fields in an index: what HEADER looks through of all messages. A field comes in when it is first searched
//! for; then it is text in memory, one search of which takes a thousandth of reading messages.
//!
//! `Message-ID`, `In-Reply-To` and `References` are in the structures; of other fields the headers are read.

use std::{ops::ControlFlow, time::Instant};

use ringpost_convert::structure::EnvelopeLines;
use ringpost_mapi::FolderId;
use ringpost_store::{Mailbox, MessageRow, StoreError, UidSet};

use super::Advance;
use crate::{
    content::{
        header,
        matcher::{Needle, fold},
    },
    limits, structure,
};

/// A header field's name in upper case.
pub(in crate::session) type FieldName = Box<str>;

/// Bytes that are looked through between two looks at whether others want their turn.
const STRIDE_BYTES: usize = 256 * 1024;
/// Messages between two looks at the clock.
const MESSAGES_A_LOOK: usize = 16;
/// Messages whose headers are read after one visit of their rows.
const HEADERS: usize = 64;

/// The fields of an index, the one that was asked for last at the end.
#[derive(Default)]
pub(in crate::session) struct Fields {
    fields: Vec<FieldTexts>,
}

impl Fields {
    /// A field, once it is complete.
    pub(in crate::session) fn get(&self, name: &str) -> Option<&FieldTexts> {
        self.fields.iter().find(|field| *field.name == *name)
    }

    /// Memory that they take, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let bytes = |field: &FieldTexts| field.text.capacity() + field.ends.capacity() * size_of::<u32>();
        self.fields.iter().map(bytes).sum()
    }

    /// Keeps the messages whose place is marked.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        self.fields.iter_mut().for_each(|field| field.retain(keep));
    }

    /// Reads the fields with these names of all messages, or goes on to, as far as a slice of time allows.
    pub(super) fn advance(
        &mut self,
        mailbox: &mut Mailbox,
        folder: FolderId,
        uids: &[u32],
        names: &[FieldName],
        started: Instant,
    ) -> Result<Advance, StoreError> {
        if names.len() > limits::INDEXED_FIELDS {
            return Ok(Advance::Unsuitable);
        }
        for name in names {
            let mut field = match self.fields.iter().position(|field| field.name == *name) {
                Some(at) => self.fields.remove(at),
                None => FieldTexts::new(name),
            };
            let read = field.read(mailbox, folder, uids, started);
            // The ones that were searched for longest ago make room, but for those that are searched for now.
            self.fields.push(field);
            while self.fields.len() > limits::INDEXED_FIELDS || self.bytes() > limits::INDEXED_FIELD_BYTES {
                if names.contains(&self.fields[0].name) {
                    break;
                }
                self.fields.remove(0);
            }
            if self.bytes() > limits::INDEXED_FIELD_BYTES {
                // No more of it is read; what there is of it says so the next time, too.
                return Ok(Advance::Unsuitable);
            }
            if !read? {
                return Ok(Advance::More);
            }
        }
        Ok(Advance::Ready)
    }

    fn bytes(&self) -> usize {
        self.fields.iter().map(|field| field.text.len()).sum()
    }
}

/// A field of the first messages of an index.
pub(in crate::session) struct FieldTexts {
    name: FieldName,
    /// The values, decoded, with case folded; a line end before each.
    text: String,
    /// Where each message's end.
    ends: Vec<u32>,
}

impl FieldTexts {
    fn new(name: &FieldName) -> Self {
        Self {
            name: name.clone(),
            text: String::new(),
            ends: Vec::new(),
        }
    }

    /// Of each message, whether a value has the needle, which has no line end; `breathe` is called now and then.
    pub(in crate::session) fn with(&self, needle: &Needle, breathe: &mut dyn FnMut()) -> Vec<bool> {
        let mut hits = vec![false; self.ends.len()];
        let (mut at, mut start) = (0, 0);
        while at < self.ends.len() {
            let first = at;
            let from = start;
            while at < self.ends.len() && start - from < STRIDE_BYTES {
                let end = self.ends[at] as usize;
                // Whatever it says, the field is there.
                hits[at] = needle.is_empty() && end > start;
                (at, start) = (at + 1, end);
            }
            if !needle.is_empty() {
                // No place lies across two messages, since values begin with a line end.
                let mut message = first;
                for place in needle.places(&self.text[from..start]) {
                    while self.ends[message] as usize <= from + place {
                        message += 1;
                    }
                    hits[message] = true;
                }
            }
            breathe();
        }
        hits
    }

    fn is_full(&self) -> bool {
        self.text.len() > limits::INDEXED_FIELD_BYTES
    }

    fn end_message(&mut self) {
        self.ends.push(self.text.len() as u32);
    }

    fn push(&mut self, value: &[u8]) {
        self.text.push('\n');
        // Without encoded words decoding only unfolds.
        if value.is_ascii() && memchr::memmem::find(value, b"=?").is_none() {
            let bytes = value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
            self.text
                .extend(bytes.map(|byte| char::from(byte.to_ascii_lowercase())));
        } else {
            self.text.push_str(&fold(header::decode(value)));
        }
    }

    /// The message's value by its structure, where that has all of it. False: the header has to be read.
    fn push_line(&mut self, encoded: &[u8]) -> bool {
        let Some(lines) = EnvelopeLines::of(encoded).filter(|lines| !lines.incomplete) else {
            return false;
        };
        let line = match &*self.name {
            "MESSAGE-ID" => lines.message_id,
            "IN-REPLY-TO" => lines.in_reply_to,
            "REFERENCES" => lines.references,
            _ => return false,
        };
        if let Some(line) = line {
            self.push(line);
        }
        self.end_message();
        true
    }

    /// Reads the fields of messages that have none here yet; whether all are read.
    fn read(
        &mut self,
        mailbox: &mut Mailbox,
        folder: FolderId,
        uids: &[u32],
        started: Instant,
    ) -> Result<bool, StoreError> {
        let mut source = Vec::new();
        while self.ends.len() < uids.len() && !self.is_full() {
            let mut left = UidSet::default();
            left.insert_range(uids[self.ends.len()]..=uids[uids.len() - 1]);
            let (mut late, mut visited) = (false, 0_usize);
            let mut open: Vec<MessageRow> = Vec::new();
            mailbox.visit_messages(folder, &left, true, &mut |row| {
                // Those that follow one whose header has to be read wait for that.
                if open.is_empty() {
                    self.skip_to(uids, row.uid.0);
                    if uids.get(self.ends.len()) != Some(&row.uid.0) {
                        return ControlFlow::Continue(());
                    }
                }
                let known = open.is_empty()
                    && row
                        .structure
                        .as_deref()
                        .is_some_and(|encoded| self.push_line(encoded));
                if !known {
                    open.push(row.clone());
                }
                visited += 1;
                late = visited.is_multiple_of(MESSAGES_A_LOOK) && started.elapsed() >= limits::SLICE_TIME;
                if late || open.len() >= HEADERS || self.is_full() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })?;
            let last = !late && open.len() < HEADERS && !self.is_full();
            for row in open {
                self.skip_to(uids, row.uid.0);
                if uids.get(self.ends.len()) == Some(&row.uid.0) {
                    self.push_header(mailbox, &row, &mut source)?;
                    // Headers take longer than structures.
                    if started.elapsed() >= limits::SLICE_TIME {
                        return Ok(self.ends.len() == uids.len());
                    }
                }
            }
            if last {
                self.skip_to(uids, u32::MAX);
            }
            if late {
                return Ok(self.ends.len() == uids.len());
            }
        }
        Ok(true)
    }

    /// Messages that are gone by now have no fields.
    fn skip_to(&mut self, uids: &[u32], uid: u32) {
        while uids.get(self.ends.len()).is_some_and(|known| *known < uid) {
            self.end_message();
        }
    }

    /// Reads a message's header. One that can't be read has no fields.
    fn push_header(
        &mut self,
        mailbox: &mut Mailbox,
        row: &MessageRow,
        source: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        source.clear();
        let root = row.structure.as_deref().and_then(structure::root);
        let range = match root {
            Some(root) => root.header,
            None => match super::read_structure(mailbox, row) {
                Ok(structure) => structure.root.header,
                Err(error) => {
                    self.end_message();
                    return unreadable(error);
                }
            },
        };
        let range = range.start..range.end.min(range.start + limits::HEADER_BYTES);
        let read = mailbox.read_row_source(row, range, source);
        if read.is_ok() {
            for field in header::fields(source) {
                if self.name.as_bytes().eq_ignore_ascii_case(header::name(field)) {
                    self.push(header::value(field));
                }
            }
        }
        self.end_message();
        read.or_else(unreadable)
    }

    fn retain(&mut self, keep: &[bool]) {
        let (mut text, mut ends) = (String::with_capacity(self.text.len()), Vec::new());
        let mut start = 0;
        for (&end, keep) in self.ends.iter().zip(keep) {
            if *keep {
                text.push_str(&self.text[start..end as usize]);
                ends.push(text.len() as u32);
            }
            start = end as usize;
        }
        (self.text, self.ends) = (text, ends);
    }
}

/// A message that can't be read is not found; other errors end the search.
fn unreadable(error: StoreError) -> Result<(), StoreError> {
    crate::session::search::unreadable(error).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_with_their_messages() {
        let mut field = FieldTexts::new(&"X-A".into());
        let messages: [&[&[u8]]; 5] = [
            &[b"one"],
            &[],
            &[b"Two\r\n folded", b"=?utf-8?q?DR=C3=84?= i"],
            &[b""],
            &[b"e"],
        ];
        for values in messages {
            for value in values {
                field.push(value);
            }
            field.end_message();
        }
        let with = |field: &FieldTexts, text: &str| {
            let hits = field.with(&Needle::new(text), &mut || ());
            hits.iter()
                .map(|hit| if *hit { '1' } else { '0' })
                .collect::<String>()
        };
        assert_eq!(with(&field, "O FOLD"), "00100");
        assert_eq!(with(&field, "Drä"), "00100");
        assert_eq!(with(&field, "e"), "10101");
        // Of two values or messages it is in none.
        assert_eq!(with(&field, "foldeddr"), "00000");
        assert_eq!(with(&field, "onetwo"), "00000");
        // The field is there, whatever it says.
        assert_eq!(with(&field, ""), "10111");
        field.retain(&[false, true, true, true, false]);
        assert_eq!(with(&field, "i"), "010");
        assert_eq!(with(&field, ""), "011");
    }
}
