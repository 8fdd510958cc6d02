//! Messages that are looked through away from the mailbox's core.
//!
//! Finding a small message takes the core some microseconds, and to decompress, decode and search it three times as
//! long. So a step only collects what is stored; helper threads do the rest while the next step runs, two of them
//! where there is enough.

use std::collections::VecDeque;

use ringpost_convert::structure::Structure;
use ringpost_mapi::{ChangeNumber, Uid};
use ringpost_store::{MessageRow, StoreError, StoredContent};

use super::{
    body::{Piece, pieces},
    program::{Facts, Known, Program},
};
use crate::{content::matcher::Scratch, limits};

/// Working memory for messages that are searched whole.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) source: Vec<u8>,
    scratch: Scratch,
}

impl Reader {
    /// Searches the header and bodies of the message whose whole source was read.
    pub(super) fn search(&mut self, program: &Program, row: &MessageRow, structure: &Structure) -> bool {
        let source = &self.source;
        let slice = |range: &std::ops::Range<u64>| {
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
            return hit;
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
        program.evaluate(&known, &facts).unwrap_or(false)
    }
}

/// Messages with their sources as they are stored.
#[derive(Default)]
pub(super) struct Batch {
    messages: Vec<(MessageRow, Structure, StoredContent)>,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, row: MessageRow, structure: Structure, source: StoredContent) {
        self.bytes += source.size();
        self.messages.push((row, structure, source));
    }

    /// It is as much as one step should collect.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= limits::SEARCHED_TOGETHER || self.bytes >= limits::SEARCHED_TOGETHER_BYTES
    }

    /// So few that another thread would cost more.
    pub(super) fn is_small(&self) -> bool {
        self.messages.len() < limits::SEARCHED_ALONE
    }

    /// In two halves, for two threads.
    pub(super) fn split(mut self) -> (Self, Self) {
        let messages = self.messages.split_off(self.messages.len() / 2);
        (self, Self { messages, bytes: 0 })
    }

    /// The messages that the program is true of.
    pub(super) fn search(self, program: &Program) -> Vec<(Uid, ChangeNumber)> {
        let mut reader = Reader::default();
        let mut hits = Vec::new();
        for (row, structure, source) in self.messages {
            reader.source.clear();
            match source.read(&mut reader.source) {
                Ok(()) if reader.search(program, &row, &structure) => hits.push((row.uid, row.change)),
                Ok(()) => {}
                Err(error) => unreadable(&row, &error),
            }
        }
        hits
    }
}

/// A message that can't be read is not found.
fn unreadable(row: &MessageRow, error: &StoreError) {
    tracing::error!(message = %row.message, %error, "imap: a message can't be searched");
}
