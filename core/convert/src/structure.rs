//! The structure of a message: its MIME parts as ranges of the source, and its envelope.

use std::ops::Range;

mod codec;
mod parse;
#[cfg(test)]
mod tests;
pub mod view;

pub use codec::EnvelopeLines;

/// Parts inside parts that are looked into; what is deeper is a leaf of unknown type.
pub const MAX_DEPTH: usize = 48;
/// Parts of one message; what comes after them belongs to the last one.
pub const MAX_PARTS: usize = 10_000;

/// What is known of a message's source without reading it again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Structure {
    /// The envelope of RFC 9051 §7.5.2.
    pub envelope: Envelope,
    /// The message's own body; its `header` is the message header.
    pub root: Part,
}

/// Header fields of a message as IMAP's ENVELOPE shows them: raw (encoded words stay encoded), unfolded.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Envelope {
    /// `Date:`
    pub date: Option<Vec<u8>>,
    /// `Subject:`
    pub subject: Option<Vec<u8>>,
    /// `From:`
    pub from: Vec<Address>,
    /// `Sender:` (the same as `from` where the header has none)
    pub sender: Vec<Address>,
    /// `Reply-To:` (the same as `from` where the header has none)
    pub reply_to: Vec<Address>,
    /// `To:`
    pub to: Vec<Address>,
    /// `Cc:`
    pub cc: Vec<Address>,
    /// `Bcc:`
    pub bcc: Vec<Address>,
    /// `In-Reply-To:`
    pub in_reply_to: Option<Vec<u8>>,
    /// `Message-ID:`
    pub message_id: Option<Vec<u8>>,
    /// `References:`, raw; not shown in ENVELOPE but needed by THREAD.
    pub references: Option<Vec<u8>>,
    /// The header has more of the fields that are raw here: one of them came again, or is very long, or there are very
    /// many fields. Structures that were made before there was this say no.
    pub incomplete: bool,
}

/// One address of an envelope; a group's start has no `host`, its end neither `mailbox` nor `host`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Address {
    /// Display name, raw.
    pub name: Option<Vec<u8>>,
    /// Local part, or the group's name.
    pub mailbox: Option<Vec<u8>>,
    /// Domain.
    pub host: Option<Vec<u8>>,
}

/// A MIME part. Ranges are byte offsets into the source of the whole message.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Part {
    /// The part's header with its closing empty line; the message's for the root.
    pub header: Range<u64>,
    /// The part's body, still in its transfer encoding.
    pub body: Range<u64>,
    /// Lines in `body`.
    pub lines: u64,
    /// Media type, lower case: `text`.
    pub media_type: Vec<u8>,
    /// Media subtype, lower case: `plain`.
    pub media_subtype: Vec<u8>,
    /// Parameters of `Content-Type`, names lower case, values raw (RFC 2231 joined and decoded).
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// `Content-ID:`
    pub id: Option<Vec<u8>>,
    /// `Content-Description:`
    pub description: Option<Vec<u8>>,
    /// `Content-Transfer-Encoding:`, lower case; empty means `7bit`.
    pub encoding: Vec<u8>,
    /// `Content-MD5:`
    pub md5: Option<Vec<u8>>,
    /// `Content-Disposition:` and its parameters.
    #[allow(clippy::type_complexity)] // The same shape as `parameters`.
    pub disposition: Option<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>)>,
    /// `Content-Language:`
    pub language: Vec<Vec<u8>>,
    /// `Content-Location:`
    pub location: Option<Vec<u8>>,
    /// What is inside.
    pub children: Children,
}

/// What a part contains.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Children {
    /// Nothing: a leaf.
    #[default]
    None,
    /// The parts of a `multipart/*`; none where its boundary is missing or never comes.
    Multipart(Vec<Part>),
    /// The message of a `message/rfc822` or `message/global`.
    Message(Box<Structure>),
}

impl Structure {
    /// Finds the structure of `source`. Never fails: what can't be understood is a `text/plain` leaf.
    ///
    /// One pass over the source, in time linear to its size.
    pub fn of(source: &[u8]) -> Self {
        parse::structure(source)
    }

    /// The compact form that the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads [`Self::encode`]'s form; `None` when it is damaged.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        codec::decode(encoded)
    }

    /// The envelope alone of [`Self::encode`]'s form, which begins with it; `None` when it is damaged.
    pub fn decode_envelope(encoded: &[u8]) -> Option<Envelope> {
        codec::decode_envelope(encoded)
    }

    /// The part with these numbers, as in `BODY[1.2]` (RFC 9051 §6.4.5.1). A message that isn't a multipart
    /// has itself as part 1. An empty path is the root.
    pub fn part_by_number(&self, numbers: &[u32]) -> Option<&Part> {
        let mut structure = self;
        let mut part = &self.root;
        // At the top, and below a message part, numbers count the parts of that message's body.
        let mut at_message = true;
        for &number in numbers {
            let index = (number as usize).checked_sub(1)?;
            if !at_message && let Children::Message(inner) = &part.children {
                structure = inner;
                at_message = true;
            }
            let within = if at_message { &structure.root } else { part };
            part = match &within.children {
                Children::Multipart(parts) => parts.get(index)?,
                _ if at_message && index == 0 => within,
                _ => return None,
            };
            at_message = false;
        }
        Some(part)
    }

    /// The part with these indexes from the root, counted from 0: below a multipart its parts, below a
    /// message its root as the only one.
    pub fn part_by_path(&self, path: &[u16]) -> Option<&Part> {
        path.iter()
            .try_fold(&self.root, |part, &index| part.child(index.into()))
    }

    /// The bytes of a section of `BODY[…]`; `None` where the message has no such section.
    pub fn section(&self, numbers: &[u32], section: Section) -> Option<Range<u64>> {
        if numbers.is_empty() {
            return match section {
                Section::Whole => Some(self.root.header.start..self.root.body.end),
                Section::Header => Some(self.root.header.clone()),
                Section::Text => Some(self.root.body.clone()),
                Section::Mime => None,
            };
        }
        let part = self.part_by_number(numbers)?;
        match (section, &part.children) {
            (Section::Whole, _) => Some(part.body.clone()),
            (Section::Mime, _) => Some(part.header.clone()),
            (Section::Header, Children::Message(inner)) => Some(inner.root.header.clone()),
            (Section::Text, Children::Message(inner)) => Some(inner.root.body.clone()),
            _ => None,
        }
    }
}

/// What of a part `BODY[…]` asks for (RFC 9051 §6.4.5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// All of the message, or the body of a part.
    Whole,
    /// `HEADER`: the header of the message, or of the message in a part.
    Header,
    /// `TEXT`: the body of the message, or of the message in a part.
    Text,
    /// `MIME`: a part's own header.
    Mime,
}

impl Part {
    /// Whether it has this media type, both in lower case.
    pub fn is(&self, media_type: &str, media_subtype: &str) -> bool {
        self.media_type == media_type.as_bytes() && self.media_subtype == media_subtype.as_bytes()
    }

    /// A parameter of its content type, by its lower-case name.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        crate::header::parameter::parameter(&self.parameters, name)
    }

    /// The child with this index, as [`Structure::part_by_path`] counts.
    pub fn child(&self, index: usize) -> Option<&Part> {
        match &self.children {
            Children::Multipart(parts) => parts.get(index),
            Children::Message(inner) if index == 0 => Some(&inner.root),
            _ => None,
        }
    }
}
