//! The compact form of a structure: variable-length numbers, and a dictionary of the usual tokens.
//!
//! Version byte, then the structure: envelope, root part. A number is LEB128. A token is one number: below
//! [`DICTIONARY`]'s length the index of an entry, otherwise that much more than the length of the bytes that
//! follow. Ranges are distances from where the last one ended, so they are small.

use std::ops::Range;

use super::{Address, Children, Envelope, MAX_DEPTH, Part, Structure};

const VERSION: u8 = 1;

/// Tokens that have a number. Only ever append, and not beyond 100 entries, so that strings of some length
/// keep a length of one byte; a changed entry needs a new version.
static DICTIONARY: &[&[u8]] = &[
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
const ID: u8 = 1;
const DESCRIPTION: u8 = 2;
const MD5: u8 = 4;
const DISPOSITION: u8 = 8;
const LANGUAGE: u8 = 16;
const LOCATION: u8 = 32;
const MULTIPART: u8 = 64;
const MESSAGE: u8 = 128;

/// Bits of an envelope's first byte.
const DATE: u8 = 1;
const SUBJECT: u8 = 2;
const IN_REPLY_TO: u8 = 4;
const MESSAGE_ID: u8 = 8;
const REFERENCES: u8 = 16;
const OWN_SENDER: u8 = 32;
const OWN_REPLY_TO: u8 = 64;

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
    let mut reader = Reader { rest: encoded, at: 0 };
    if reader.byte()? != VERSION {
        return None;
    }
    let structure = reader.structure(0)?;
    reader.rest.is_empty().then_some(structure)
}

/// See [`Structure::decode_envelope`].
pub(super) fn decode_envelope(encoded: &[u8]) -> Option<Envelope> {
    let mut reader = Reader { rest: encoded, at: 0 };
    if reader.byte()? != VERSION {
        return None;
    }
    reader.envelope()
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
}

impl<'a> EnvelopeLines<'a> {
    /// `None` where the lines are damaged.
    pub fn of(encoded: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { rest: encoded, at: 0 };
        if reader.byte()? != VERSION {
            return None;
        }
        let flags = reader.byte()?;
        let mut string = |flag| match flags & flag {
            0 => Some(None),
            _ => reader.borrowed_token().map(Some),
        };
        string(DATE)?;
        string(SUBJECT)?;
        Some(Self {
            in_reply_to: string(IN_REPLY_TO)?,
            message_id: string(MESSAGE_ID)?,
            references: string(REFERENCES)?,
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

struct Reader<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Reader<'a> {
    fn borrowed_token(&mut self) -> Option<&'a [u8]> {
        let number = self.number()?;
        if let Some(entry) = DICTIONARY.get(usize::try_from(number).ok()?) {
            return Some(entry);
        }
        let length = usize::try_from(number - DICTIONARY.len() as u64).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn structure(&mut self, depth: usize) -> Option<Structure> {
        if depth > MAX_DEPTH {
            return None;
        }
        Some(Structure {
            envelope: self.envelope()?,
            root: self.part(depth)?,
        })
    }

    fn envelope(&mut self) -> Option<Envelope> {
        let flags = self.byte()?;
        let mut string = |flag| match flags & flag {
            0 => Some(None),
            _ => self.token().map(Some),
        };
        let mut envelope = Envelope {
            date: string(DATE)?,
            subject: string(SUBJECT)?,
            in_reply_to: string(IN_REPLY_TO)?,
            message_id: string(MESSAGE_ID)?,
            references: string(REFERENCES)?,
            ..Envelope::default()
        };
        envelope.from = self.addresses()?;
        for (list, flag) in [
            (&mut envelope.sender, OWN_SENDER),
            (&mut envelope.reply_to, OWN_REPLY_TO),
        ] {
            if flags & flag == 0 {
                list.clone_from(&envelope.from);
            } else {
                *list = self.addresses()?;
            }
        }
        envelope.to = self.addresses()?;
        envelope.cc = self.addresses()?;
        envelope.bcc = self.addresses()?;
        Some(envelope)
    }

    fn addresses(&mut self) -> Option<Vec<Address>> {
        let count = self.count(3)?;
        (0..count)
            .map(|_| {
                Some(Address {
                    name: self.optional()?,
                    mailbox: self.optional()?,
                    host: self.optional()?,
                })
            })
            .collect()
    }

    #[allow(clippy::option_option)] // Damaged, absent, present.
    fn optional(&mut self) -> Option<Option<Vec<u8>>> {
        match self.number()? {
            0 => Some(None),
            length => self.bytes(length - 1).map(Some),
        }
    }

    fn part(&mut self, depth: usize) -> Option<Part> {
        if depth > MAX_DEPTH {
            return None;
        }
        let flags = self.byte()?;
        let mut part = Part {
            header: self.range()?,
            body: self.range()?,
            lines: self.number()?,
            media_type: self.token()?,
            media_subtype: self.token()?,
            encoding: self.token()?,
            parameters: self.parameters()?,
            ..Part::default()
        };
        for (slot, flag) in [
            (&mut part.id, ID),
            (&mut part.description, DESCRIPTION),
            (&mut part.md5, MD5),
            (&mut part.location, LOCATION),
        ] {
            if flags & flag != 0 {
                *slot = Some(self.token()?);
            }
        }
        if flags & DISPOSITION != 0 {
            part.disposition = Some((self.token()?, self.parameters()?));
        }
        if flags & LANGUAGE != 0 {
            let count = self.count(1)?;
            part.language = (0..count).map(|_| self.token()).collect::<Option<_>>()?;
        }
        part.children = match flags & (MULTIPART | MESSAGE) {
            0 => {
                self.at = part.body.end;
                Children::None
            }
            MULTIPART => {
                let count = self.count(9)?;
                self.at = part.body.start;
                let parts = (0..count).map(|_| self.part(depth + 1));
                Children::Multipart(parts.collect::<Option<_>>()?)
            }
            MESSAGE => {
                self.at = part.body.start;
                Children::Message(Box::new(self.structure(depth + 1)?))
            }
            _ => return None,
        };
        Some(part)
    }

    fn range(&mut self) -> Option<Range<u64>> {
        let distance = self.number()?;
        let start = self
            .at
            .wrapping_add((distance >> 1) ^ (distance & 1).wrapping_neg());
        let end = start.checked_add(self.number()?)?;
        self.at = end;
        Some(start..end)
    }

    fn parameters(&mut self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let count = self.count(2)?;
        (0..count).map(|_| Some((self.token()?, self.token()?))).collect()
    }

    fn token(&mut self) -> Option<Vec<u8>> {
        let number = self.number()?;
        match DICTIONARY.get(usize::try_from(number).ok()?) {
            Some(entry) => Some(entry.to_vec()),
            None => self.bytes(number - DICTIONARY.len() as u64),
        }
    }

    /// A count of things of which each takes `least` bytes or more.
    fn count(&mut self, least: u64) -> Option<u64> {
        let count = self.number()?;
        (count.checked_mul(least)? <= self.rest.len() as u64).then_some(count)
    }

    fn bytes(&mut self, length: u64) -> Option<Vec<u8>> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes.to_vec())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}
