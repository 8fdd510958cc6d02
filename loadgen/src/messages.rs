//! Messages generated from a seed: two machines load the same.
//!
//! Bodies are made once, before the load: a pool of templates. A message is a template under a header of its own,
//! with its number written over the places in each body part that are kept for it, so that no two messages and
//! no two parts are alike (a server that stores equal content once gains nothing). Making one costs a copy and a
//! checksum of it.
//!
//! The first header field, `X-Load`, carries the mailbox, the number, the length and the CRC-32 of everything below it.
//! Servers put their trace fields above it, so whoever reads a message back can tell whether each of its bytes
//! came through, and whether it is in the mailbox it was meant for.

mod template;

use std::{io::Write, sync::Arc};

use thiserror::Error;

use crate::random::Random;
use template::Template;
pub(crate) use template::word;

/// Templates in a pool: bodies repeat after so many messages, but for the numbers in them.
const TEMPLATES: u64 = 512;
/// How far a reply's original may lie back in its mailbox.
const REPLY_REACH: u64 = 40;
/// The most identifiers in `References`.
const MAX_REFERENCES: usize = 12;
/// The name of the field that makes a message verifiable.
const SEAL: &[u8] = b"X-Load: ";
/// The header is searched this far for it.
const SEAL_REACH: usize = 16 << 10;
/// Seconds since 1970 of the first message's date: 2 September 2024, 08:00 UTC, a Monday.
const FIRST_DATE: u64 = 1_725_264_000;

/// How large messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Plain text of about so many bytes.
    Bytes(usize),
    /// A mix of sizes and structures as real mail has: see `template`.
    Real,
}

/// The largest size of generated messages.
pub(crate) const MAX_SIZE: usize = 64 << 20;

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "real" {
            return Ok(Self::Real);
        }
        match text.parse() {
            Ok(bytes) if (400..=MAX_SIZE).contains(&bytes) => Ok(Self::Bytes(bytes)),
            _ => Err("a size is `real` or a number of bytes from 400 to 67108864".to_owned()),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(formatter),
            Self::Real => formatter.write_str("real"),
        }
    }
}

/// The messages of one seed.
#[derive(Clone)]
pub(crate) struct Messages {
    seed: u64,
    threads: bool,
    /// The length of each message, where all are plain text.
    exact: Option<usize>,
    templates: Arc<[Template]>,
}

impl Messages {
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let templates = match size {
            // A few large ones do: they differ by their numbers.
            Size::Bytes(bytes) => TEMPLATES.min((16 << 20) / bytes as u64 + 1),
            Size::Real => TEMPLATES,
        };
        Self {
            seed,
            threads: size == Size::Real,
            exact: match size {
                Size::Bytes(bytes) => Some(bytes),
                Size::Real => None,
            },
            templates: (0..templates)
                .map(|number| Template::new(&mut Random::new(seed, number), size))
                .collect(),
        }
    }

    /// Writes message `number` of `mailbox`, whose address is `recipient`, over `out`. Lines end with CRLF and none
    /// begins with a dot.
    pub(crate) fn write(&self, mailbox: u64, number: u64, recipient: &str, out: &mut Vec<u8>) {
        let mut random = Random::new(
            self.seed.wrapping_add(1),
            mailbox.wrapping_mul(0x1_0000_0001) ^ number,
        );
        let template = &self.templates[(random.next() % self.templates.len() as u64) as usize];
        out.clear();
        let written = write!(out, "X-Load: {mailbox:010} {number:010} {:010} {:08x}\r\n", 0, 0);
        debug_assert!(written.is_ok(), "a Vec takes everything");
        let below = out.len();
        self.write_header(mailbox, number, recipient, template, &mut random, out);
        let body = out.len();
        match self.exact {
            Some(exact) => {
                // The lines of plain text may be cut anywhere, but for a CRLF.
                let length = exact
                    .saturating_sub(body)
                    .clamp(MARK_LENGTH + 2, template.body.len());
                out.extend_from_slice(&template.body[..length - 2]);
                if let Some(last) = out.last_mut().filter(|last| **last == b'\r') {
                    *last = b' ';
                }
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(&template.body),
        }
        let mark = number_mark(self.seed, mailbox, number);
        for &place in &template.marks {
            out[body + place..body + place + MARK_LENGTH].copy_from_slice(&mark);
        }
        let (length, checksum) = (out.len() - below, crc32fast::hash(&out[below..]));
        let mut seal = &mut out[below - 21..below - 2];
        let written = write!(seal, "{length:010} {checksum:08x}");
        debug_assert!(written.is_ok(), "the seal's fields have fixed widths");
    }

    fn write_header(
        &self,
        mailbox: u64,
        number: u64,
        recipient: &str,
        template: &Template,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) {
        let root = self.root(mailbox, number);
        let mut subject = Random::new(
            self.seed.wrapping_add(2),
            mailbox.wrapping_mul(0x1_0000_0001) ^ root,
        );
        out.extend_from_slice(b"Date: ");
        write_date(FIRST_DATE + number * 600 + random.below(600), out);
        let sender = random.below(template::PEOPLE.len() as u64) as usize;
        let _ = write!(
            out,
            "\r\nFrom: {} <person{sender}@load.example.org>\r\nTo: <{recipient}>\r\nSubject: {}{} {} {} {root}\r\n",
            template::PEOPLE[sender],
            if root == number { "" } else { "Re: " },
            template::word(&mut subject),
            template::word(&mut subject),
            template::word(&mut subject),
        );
        let _ = write!(out, "Message-ID: ");
        self.write_id(mailbox, number, out);
        if root != number {
            let parent = self.parent(mailbox, number).unwrap_or(root);
            out.extend_from_slice(b"\r\nIn-Reply-To: ");
            self.write_id(mailbox, parent, out);
            out.extend_from_slice(b"\r\nReferences: ");
            let mut chain = vec![parent];
            while let Some(next) = self.parent(mailbox, *chain.last().expect("never empty")) {
                chain.push(next);
            }
            // The thread's first and the latest, as mail programs shorten it.
            if chain.len() > MAX_REFERENCES {
                chain.drain(MAX_REFERENCES - 1..chain.len() - 1);
            }
            for (place, ancestor) in chain.iter().rev().enumerate() {
                if place > 0 {
                    out.extend_from_slice(b"\r\n ");
                }
                self.write_id(mailbox, *ancestor, out);
            }
        }
        let _ = write!(out, "\r\nMIME-Version: 1.0\r\n{}\r\n", template.fields);
    }

    fn write_id(&self, mailbox: u64, number: u64, out: &mut Vec<u8>) {
        let _ = write!(out, "<{:x}.{mailbox}.{number}@load.example.org>", self.seed);
    }

    /// The message that `number` answers.
    fn parent(&self, mailbox: u64, number: u64) -> Option<u64> {
        if !self.threads || number == 0 {
            return None;
        }
        let mut random = Random::new(
            self.seed.wrapping_add(3),
            mailbox.wrapping_mul(0x1_0000_0001) ^ number,
        );
        // Somewhat more than a third of mail answers other mail.
        (random.below(100) < 38).then(|| number - 1 - random.below(REPLY_REACH.min(number)))
    }

    fn root(&self, mailbox: u64, mut number: u64) -> u64 {
        while let Some(parent) = self.parent(mailbox, number) {
            number = parent;
        }
        number
    }
}

/// The width of a place in a body that is kept for the message's number.
const MARK_LENGTH: usize = 24;

fn number_mark(seed: u64, mailbox: u64, number: u64) -> [u8; MARK_LENGTH] {
    let mut random = Random::new(seed.wrapping_add(4), mailbox.wrapping_mul(0x1_0000_0001) ^ number);
    let mut mark = [0; MARK_LENGTH];
    for byte in &mut mark {
        *byte = b"abcdefghijklmnopqrstuvwxyz234567"[(random.next() & 31) as usize];
    }
    mark
}

/// What `verify` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// Every byte below the seal is as it was generated.
    Whole {
        /// The mailbox that it was meant for.
        mailbox: u64,
    },
    /// Not a message of `loadgen`.
    None,
}

/// A message that is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BrokenSeal {
    #[error("its X-Load field is damaged")]
    Unreadable,
    #[error("{found} bytes follow the X-Load field, not {expected}")]
    Length { expected: usize, found: usize },
    #[error("its content is not what was sent: CRC-32 {found:08x}, not {expected:08x}")]
    Checksum { expected: u32, found: u32 },
}

/// Compares a message that a server returned with its seal.
pub(crate) fn verify(message: &[u8]) -> Result<Seal, BrokenSeal> {
    let reach = &message[..message.len().min(SEAL_REACH)];
    let Some(at) = memchr::memmem::find(reach, SEAL) else {
        return Ok(Seal::None);
    };
    let end = memchr::memchr(b'\n', &message[at..]).ok_or(BrokenSeal::Unreadable)? + at;
    let fields = std::str::from_utf8(&message[at + SEAL.len()..end]).map_err(|_| BrokenSeal::Unreadable)?;
    let mut fields = fields.split_ascii_whitespace();
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (Some(mailbox), Some(_number), Some(length)) = (number(), number(), number()) else {
        return Err(BrokenSeal::Unreadable);
    };
    let expected = fields
        .next()
        .and_then(|field| u32::from_str_radix(field, 16).ok());
    let expected = expected.ok_or(BrokenSeal::Unreadable)?;
    let below = &message[end + 1..];
    if below.len() as u64 != length {
        return Err(BrokenSeal::Length {
            expected: length as usize,
            found: below.len(),
        });
    }
    let found = crc32fast::hash(below);
    if found != expected {
        return Err(BrokenSeal::Checksum { expected, found });
    }
    Ok(Seal::Whole { mailbox })
}

/// RFC 5322 §3.3, in UTC.
fn write_date(seconds: u64, out: &mut Vec<u8>) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in eras of 400 years, so that the leap day is the last of a year.
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    let _ = write!(
        out,
        "{}, {day_of_month} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[(day % 7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60,
    );
}

#[cfg(test)]
mod tests;
