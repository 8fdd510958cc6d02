//! An encoded structure read where it lies: in its order, and without a copy of anything.
//!
//! ```text
//! StructureView ─ envelope() ─► EnvelopeView
//!               └ part() ─► PartView, then by its content
//!                           Nothing: the part is over
//!                           Parts(n): n times part()
//!                           Message: envelope(), part()
//! ```
//!
//! Everything answers `None` where the encoded form is damaged.

use std::ops::Range;

use super::codec::{
    DATE, DESCRIPTION, DICTIONARY, DISPOSITION, ID, IN_REPLY_TO, INCOMPLETE, LANGUAGE, LOCATION, MD5,
    MESSAGE, MESSAGE_ID, MULTIPART, OWN_REPLY_TO, OWN_SENDER, REFERENCES, SUBJECT, VERSION,
};

/// A cursor in an encoded structure.
#[derive(Clone, Debug)]
pub struct StructureView<'a> {
    rest: &'a [u8],
    /// Where the last range ended or, for a body, began.
    at: u64,
}

/// An envelope, as [`super::Envelope`] has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvelopeView<'a> {
    /// `Date:`
    pub date: Option<&'a [u8]>,
    /// `Subject:`
    pub subject: Option<&'a [u8]>,
    /// `In-Reply-To:`
    pub in_reply_to: Option<&'a [u8]>,
    /// `Message-ID:`
    pub message_id: Option<&'a [u8]>,
    /// `References:`
    pub references: Option<&'a [u8]>,
    /// `From:`
    pub from: AddressesView<'a>,
    /// `Sender:`, or `from`
    pub sender: AddressesView<'a>,
    /// `Reply-To:`, or `from`
    pub reply_to: AddressesView<'a>,
    /// `To:`
    pub to: AddressesView<'a>,
    /// `Cc:`
    pub cc: AddressesView<'a>,
    /// `Bcc:`
    pub bcc: AddressesView<'a>,
    /// The header has more of the raw lines.
    pub incomplete: bool,
}

/// A list of addresses, known to be whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressesView<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// One address, as [`super::Address`] has it.
#[derive(Clone, Copy, Debug)]
pub struct AddressView<'a> {
    /// Display name, raw.
    pub name: Option<&'a [u8]>,
    /// Local part, or the group's name.
    pub mailbox: Option<&'a [u8]>,
    /// Domain.
    pub host: Option<&'a [u8]>,
}

/// A part without what is inside, as [`super::Part`] has it.
#[derive(Clone, Debug, Default)]
pub struct PartView<'a> {
    /// The part's header.
    pub header: Range<u64>,
    /// The part's body.
    pub body: Range<u64>,
    /// Lines in `body`.
    pub lines: u64,
    /// Media type, lower case.
    pub media_type: &'a [u8],
    /// Media subtype, lower case.
    pub media_subtype: &'a [u8],
    /// `Content-Transfer-Encoding:`; empty means `7bit`.
    pub encoding: &'a [u8],
    /// Parameters of `Content-Type`.
    pub parameters: PairsView<'a>,
    /// `Content-ID:`
    pub id: Option<&'a [u8]>,
    /// `Content-Description:`
    pub description: Option<&'a [u8]>,
    /// `Content-MD5:`
    pub md5: Option<&'a [u8]>,
    /// `Content-Location:`
    pub location: Option<&'a [u8]>,
    /// `Content-Disposition:` and its parameters.
    pub disposition: Option<(&'a [u8], PairsView<'a>)>,
    /// `Content-Language:`
    pub language: TokensView<'a>,
    /// What follows it in the encoded form.
    pub content: Content,
}

/// What a part contains: [`super::Children`] that are still to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Content {
    /// Nothing: a leaf.
    #[default]
    Nothing,
    /// So many parts.
    Parts(usize),
    /// A message.
    Message,
}

/// Names and values, known to be whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct PairsView<'a>(TokensView<'a>);

/// Strings, known to be whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokensView<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> StructureView<'a> {
    /// At the structure's beginning.
    pub fn of(encoded: &'a [u8]) -> Option<Self> {
        let (&version, rest) = encoded.split_first()?;
        (version == VERSION).then_some(Self { rest, at: 0 })
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The envelope that comes next.
    pub fn envelope(&mut self) -> Option<EnvelopeView<'a>> {
        let flags = self.byte()?;
        let mut string = |flag| match flags & flag {
            0 => Some(None),
            _ => self.token().map(Some),
        };
        let mut envelope = EnvelopeView {
            date: string(DATE)?,
            subject: string(SUBJECT)?,
            in_reply_to: string(IN_REPLY_TO)?,
            message_id: string(MESSAGE_ID)?,
            references: string(REFERENCES)?,
            from: self.addresses()?,
            incomplete: flags & INCOMPLETE != 0,
            ..EnvelopeView::default()
        };
        let mut own = |flag| match flags & flag {
            0 => Some(envelope.from),
            _ => self.addresses(),
        };
        (envelope.sender, envelope.reply_to) = (own(OWN_SENDER)?, own(OWN_REPLY_TO)?);
        envelope.to = self.addresses()?;
        envelope.cc = self.addresses()?;
        envelope.bcc = self.addresses()?;
        Some(envelope)
    }

    /// The part that comes next, without what is inside.
    pub fn part(&mut self) -> Option<PartView<'a>> {
        let flags = self.byte()?;
        let mut part = PartView {
            header: self.range()?,
            body: self.range()?,
            lines: self.number()?,
            media_type: self.token()?,
            media_subtype: self.token()?,
            encoding: self.token()?,
            parameters: self.pairs()?,
            ..PartView::default()
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
            part.disposition = Some((self.token()?, self.pairs()?));
        }
        if flags & LANGUAGE != 0 {
            let count = self.count(1)?;
            part.language = self.tokens(count)?;
        }
        part.content = match flags & (MULTIPART | MESSAGE) {
            0 => Content::Nothing,
            MULTIPART => Content::Parts(self.count(9)?),
            MESSAGE => Content::Message,
            _ => return None,
        };
        if part.content != Content::Nothing {
            self.at = part.body.start;
        }
        Some(part)
    }

    fn addresses(&mut self) -> Option<AddressesView<'a>> {
        let count = self.count(3)?;
        let before = self.rest;
        for _ in 0..count * 3 {
            self.optional()?;
        }
        let bytes = &before[..before.len() - self.rest.len()];
        Some(AddressesView { count, bytes })
    }

    #[allow(clippy::option_option)] // Damaged, absent, present.
    fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match self.number()? {
            0 => Some(None),
            length => self.bytes(length - 1).map(Some),
        }
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

    fn pairs(&mut self) -> Option<PairsView<'a>> {
        let count = self.count(2)?;
        self.tokens(count * 2).map(PairsView)
    }

    fn tokens(&mut self, count: usize) -> Option<TokensView<'a>> {
        let before = self.rest;
        for _ in 0..count {
            self.token()?;
        }
        let bytes = &before[..before.len() - self.rest.len()];
        Some(TokensView { count, bytes })
    }

    /// A string, from the dictionary perhaps.
    pub(super) fn token(&mut self) -> Option<&'a [u8]> {
        let number = self.number()?;
        match DICTIONARY.get(usize::try_from(number).ok()?) {
            Some(entry) => Some(entry),
            None => self.bytes(number - DICTIONARY.len() as u64),
        }
    }

    /// A count of things of which each takes `least` bytes or more.
    fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count.checked_mul(least)? <= self.rest.len()).then_some(count)
    }

    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
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

impl<'a> AddressesView<'a> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = AddressView<'a>> + use<'a> {
        let mut reader = StructureView {
            rest: self.bytes,
            at: 0,
        };
        std::iter::from_fn(move || {
            Some(AddressView {
                name: reader.optional()?,
                mailbox: reader.optional()?,
                host: reader.optional()?,
            })
        })
    }
}

impl<'a> PairsView<'a> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// Names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut tokens = self.0.iter();
        std::iter::from_fn(move || Some((tokens.next()?, tokens.next()?)))
    }
}

impl<'a> TokensView<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = StructureView {
            rest: self.bytes,
            at: 0,
        };
        std::iter::from_fn(move || reader.token())
    }
}
