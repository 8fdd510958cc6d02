//! The compact form of a structure: variable-length numbers, and a dictionary of the usual tokens.
//!
//! Version byte, then the structure: envelope, root part. A number is LEB128. A token is one number: below
//! [`DICTIONARY`]'s length the index of an entry, otherwise that much more than the length of the bytes that
//! follow. Ranges are distances from where the last one ended, so they are small.

use std::ops::Range;

use super::{
    Address, Children, Envelope, MAX_DEPTH, Part, Structure,
    view::{AddressView, AddressesView, Content, PairsView, StructureView},
};

pub(super) const VERSION: u8 = 1;

/// Tokens that have a number. Only ever append, and not beyond 100 entries, so that strings of some length
/// keep a length of one byte; a changed entry needs a new version.
pub(super) static DICTIONARY: &[&[u8]] = &[
    b"",
    b"text",
    b"plain",
    b"html",
    b"multipart",
    b"alternative",
    b"mixed",
    b"related",
    b"report",
    b"signed",
    b"application",
    b"octet-stream",
    b"pdf",
    b"message",
    b"rfc822",
    b"delivery-status",
    b"image",
    b"jpeg",
    b"png",
    b"gif",
    b"charset",
    b"utf-8",
    b"UTF-8",
    b"us-ascii",
    b"iso-8859-1",
    b"windows-1252",
    b"boundary",
    b"name",
    b"filename",
    b"format",
    b"flowed",
    b"delsp",
    b"yes",
    b"attachment",
    b"inline",
    b"base64",
    b"quoted-printable",
    b"7bit",
    b"8bit",
    b"binary",
    b"type",
    b"protocol",
    b"micalg",
    b"calendar",
    b"ics",
    b"method",
    b"REQUEST",
    b"size",
    b"US-ASCII",
    b"ISO-8859-1",
];

/// Bits of a part's first byte.
pub(super) const ID: u8 = 1;
pub(super) const DESCRIPTION: u8 = 2;
pub(super) const MD5: u8 = 4;
pub(super) const DISPOSITION: u8 = 8;
pub(super) const LANGUAGE: u8 = 16;
pub(super) const LOCATION: u8 = 32;
pub(super) const MULTIPART: u8 = 64;
pub(super) const MESSAGE: u8 = 128;

/// Bits of an envelope's first byte.
pub(super) const DATE: u8 = 1;
pub(super) const SUBJECT: u8 = 2;
pub(super) const IN_REPLY_TO: u8 = 4;
pub(super) const MESSAGE_ID: u8 = 8;
pub(super) const REFERENCES: u8 = 16;
pub(super) const OWN_SENDER: u8 = 32;
pub(super) const OWN_REPLY_TO: u8 = 64;
pub(super) const INCOMPLETE: u8 = 128;

/// See [`Structure::encode`].
pub(super) fn encode(structure: &Structure) -> Vec<u8> {
    let mut writer = Writer {
        out: Vec::with_capacity(320),
        at: 0,
    };
    writer.out.push(VERSION);
    writer.structure(structure);
    writer.out
}

/// See [`Structure::decode`].
pub(super) fn decode(encoded: &[u8]) -> Option<Structure> {
    let mut view = StructureView::of(encoded)?;
    let structure = owned(&mut view, 0)?;
    view.is_at_end().then_some(structure)
}

/// See [`Structure::decode_envelope`].
pub(super) fn decode_envelope(encoded: &[u8]) -> Option<Envelope> {
    envelope(&mut StructureView::of(encoded)?)
}

/// The lines of an encoded structure's envelope, as they came, not decoded and not copied.
#[derive(Clone, Copy, Default, Debug)]
pub struct EnvelopeLines<'a> {
    /// `In-Reply-To:`
    pub in_reply_to: Option<&'a [u8]>,
    /// `Message-ID:`
    pub message_id: Option<&'a [u8]>,
    /// `References:`
    pub references: Option<&'a [u8]>,
    /// The header has more of them: [`Envelope::incomplete`].
    pub incomplete: bool,
}

impl<'a> EnvelopeLines<'a> {
    /// `None` where the lines are damaged.
    pub fn of(encoded: &'a [u8]) -> Option<Self> {
        let mut view = StructureView::of(encoded)?;
        let flags = view.byte()?;
        let mut string = |flag| match flags & flag {
            0 => Some(None),
            _ => view.token().map(Some),
        };
        string(DATE)?;
        string(SUBJECT)?;
        Some(Self {
            in_reply_to: string(IN_REPLY_TO)?,
            message_id: string(MESSAGE_ID)?,
            references: string(REFERENCES)?,
            incomplete: flags & INCOMPLETE != 0,
        })
    }
}

struct Writer {
    out: Vec<u8>,
    /// Where the last range ended or, for a body, began.
    at: u64,
}

impl Writer {
    fn structure(&mut self, structure: &Structure) {
        self.envelope(&structure.envelope);
        self.part(&structure.root);
    }

    fn envelope(&mut self, envelope: &Envelope) {
        let strings = [
            (&envelope.date, DATE),
            (&envelope.subject, SUBJECT),
            (&envelope.in_reply_to, IN_REPLY_TO),
            (&envelope.message_id, MESSAGE_ID),
            (&envelope.references, REFERENCES),
        ];
        let mut flags = 0;
        for (string, flag) in strings {
            flags |= if string.is_some() { flag } else { 0 };
        }
        let own_sender = envelope.sender != envelope.from;
        let own_reply_to = envelope.reply_to != envelope.from;
        flags |= if own_sender { OWN_SENDER } else { 0 };
        flags |= if own_reply_to { OWN_REPLY_TO } else { 0 };
        flags |= if envelope.incomplete { INCOMPLETE } else { 0 };
        self.out.push(flags);
        for string in strings.into_iter().filter_map(|(string, _)| string.as_deref()) {
            self.token(string);
        }
        self.addresses(&envelope.from);
        if own_sender {
            self.addresses(&envelope.sender);
        }
        if own_reply_to {
            self.addresses(&envelope.reply_to);
        }
        self.addresses(&envelope.to);
        self.addresses(&envelope.cc);
        self.addresses(&envelope.bcc);
    }

    fn addresses(&mut self, list: &[Address]) {
        self.number(list.len() as u64);
        for address in list {
            for field in [&address.name, &address.mailbox, &address.host] {
                // One more than the length; zero is none.
                self.number(field.as_ref().map_or(0, |text| text.len() as u64 + 1));
                self.out.extend_from_slice(field.as_deref().unwrap_or_default());
            }
        }
    }

    fn part(&mut self, part: &Part) {
        let strings = [
            (&part.id, ID),
            (&part.description, DESCRIPTION),
            (&part.md5, MD5),
            (&part.location, LOCATION),
        ];
        let mut flags = match part.children {
            Children::None => 0,
            Children::Multipart(_) => MULTIPART,
            Children::Message(_) => MESSAGE,
        };
        for (string, flag) in strings {
            flags |= if string.is_some() { flag } else { 0 };
        }
        flags |= if part.disposition.is_some() {
            DISPOSITION
        } else {
            0
        };
        flags |= if part.language.is_empty() { 0 } else { LANGUAGE };
        self.out.push(flags);
        self.range(&part.header);
        self.range(&part.body);
        self.number(part.lines);
        self.token(&part.media_type);
        self.token(&part.media_subtype);
        self.token(&part.encoding);
        self.parameters(&part.parameters);
        for string in strings.into_iter().filter_map(|(string, _)| string.as_deref()) {
            self.token(string);
        }
        if let Some((kind, parameters)) = &part.disposition {
            self.token(kind);
            self.parameters(parameters);
        }
        if !part.language.is_empty() {
            self.number(part.language.len() as u64);
            part.language.iter().for_each(|language| self.token(language));
        }
        match &part.children {
            Children::None => self.at = part.body.end,
            Children::Multipart(parts) => {
                self.number(parts.len() as u64);
                self.at = part.body.start;
                for part in parts {
                    self.part(part);
                }
            }
            Children::Message(inner) => {
                self.at = part.body.start;
                self.structure(inner);
            }
        }
    }

    fn range(&mut self, range: &Range<u64>) {
        // Wrapping, so that any structure survives; those found in a source ascend.
        let distance = range.start.wrapping_sub(self.at) as i64;
        self.number(((distance << 1) ^ (distance >> 63)) as u64);
        self.number(range.end.wrapping_sub(range.start));
        self.at = range.end;
    }

    fn parameters(&mut self, parameters: &[(Vec<u8>, Vec<u8>)]) {
        self.number(parameters.len() as u64);
        for (name, value) in parameters {
            self.token(name);
            self.token(value);
        }
    }

    fn token(&mut self, token: &[u8]) {
        let known = if token.len() <= 16 {
            DICTIONARY.iter().position(|entry| *entry == token)
        } else {
            None
        };
        if let Some(index) = known {
            self.number(index as u64);
        } else {
            self.number((token.len() + DICTIONARY.len()) as u64);
            self.out.extend_from_slice(token);
        }
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }
}

/// Copies what a view shows.
fn owned(view: &mut StructureView<'_>, depth: usize) -> Option<Structure> {
    if depth > MAX_DEPTH {
        return None;
    }
    Some(Structure {
        envelope: envelope(view)?,
        root: part(view, depth)?,
    })
}

fn envelope(view: &mut StructureView<'_>) -> Option<Envelope> {
    let string = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let addresses = |list: AddressesView<'_>| {
        let address = |address: AddressView<'_>| Address {
            name: string(address.name),
            mailbox: string(address.mailbox),
            host: string(address.host),
        };
        list.iter().map(address).collect()
    };
    let envelope = view.envelope()?;
    Some(Envelope {
        date: string(envelope.date),
        subject: string(envelope.subject),
        in_reply_to: string(envelope.in_reply_to),
        message_id: string(envelope.message_id),
        references: string(envelope.references),
        from: addresses(envelope.from),
        sender: addresses(envelope.sender),
        reply_to: addresses(envelope.reply_to),
        to: addresses(envelope.to),
        cc: addresses(envelope.cc),
        bcc: addresses(envelope.bcc),
        incomplete: envelope.incomplete,
    })
}

fn part(view: &mut StructureView<'_>, depth: usize) -> Option<Part> {
    if depth > MAX_DEPTH {
        return None;
    }
    let string = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let pairs = |pairs: PairsView<'_>| {
        pairs
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect()
    };
    let head = view.part()?;
    Some(Part {
        header: head.header,
        body: head.body,
        lines: head.lines,
        media_type: head.media_type.to_vec(),
        media_subtype: head.media_subtype.to_vec(),
        encoding: head.encoding.to_vec(),
        parameters: pairs(head.parameters),
        id: string(head.id),
        description: string(head.description),
        md5: string(head.md5),
        location: string(head.location),
        disposition: head
            .disposition
            .map(|(kind, parameters)| (kind.to_vec(), pairs(parameters))),
        language: head.language.iter().map(<[u8]>::to_vec).collect(),
        children: match head.content {
            Content::Nothing => Children::None,
            Content::Parts(count) => {
                let parts = (0..count).map(|_| part(view, depth + 1));
                Children::Multipart(parts.collect::<Option<_>>()?)
            }
            Content::Message => Children::Message(Box::new(owned(view, depth + 1)?)),
        },
    })
}
