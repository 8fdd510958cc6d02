//! A message's source, looked at a slice at a time.

use std::{collections::VecDeque, ops::Range};

use ringpost_convert::structure::{Children, Part, Structure};
use ringpost_store::{Mailbox, MessageRow, StoreError};

use super::program::{Facts, Known, Program};
use crate::{
    content::{header, matcher::BodySearch},
    limits,
};

/// A message whose source is looked at.
pub(super) struct BodyPass {
    pub(super) row: MessageRow,
    pub(super) structure: Structure,
    pub(super) header: Vec<u8>,
    pub(super) in_header: Vec<bool>,
    pub(super) in_body: Vec<bool>,
    pub(super) parts: VecDeque<Piece>,
    /// The piece that is read now, and how far.
    pub(super) reading: Option<(u64, Range<u64>, BodySearch)>,
}

/// A range of the source that is text.
pub(super) enum Piece {
    /// Header fields of a part or an attached message.
    Header(Range<u64>),
    Body {
        range: Range<u64>,
        encoding: Vec<u8>,
        charset: Option<Vec<u8>>,
    },
}

pub(super) enum Begun {
    Decided(MessageRow, bool),
    Open(Box<BodyPass>),
}

impl BodyPass {
    /// Looks at the header; if that does not decide, the bodies are next.
    pub(super) fn begin(
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

    pub(super) fn evaluate(&self, program: &Program, bodies_done: bool) -> Option<bool> {
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
    pub(super) fn step(
        &mut self,
        mailbox: &mut Mailbox,
        program: &Program,
    ) -> Result<Option<bool>, StoreError> {
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
pub(super) fn pieces(part: &Part, found: &mut VecDeque<Piece>) {
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
