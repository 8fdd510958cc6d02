//! Finding the parts: one pass over the lines that may be boundary delimiters.

use memchr::{memchr_iter, memmem};

use super::{Address, Children, Envelope, MAX_DEPTH, MAX_PARTS, Part, Structure};
use crate::header::{self, Field, Parameterised, addresses};

/// See [`Structure::of`].
pub(super) fn structure(source: &[u8]) -> Structure {
    let mut parser = Parser {
        source,
        boundaries: Vec::new(),
        parts: 0,
        lines: LineCount::default(),
    };
    let mut found = Structure::default();
    let default = DefaultType::Text;
    parser.part(0, default, 0, Some(&mut found.envelope), &mut found.root);
    found
}

struct Parser<'a> {
    source: &'a [u8],
    /// The boundaries of the multiparts that are open, outermost first.
    boundaries: Vec<Vec<u8>>,
    parts: usize,
    lines: LineCount,
}

/// What a part without `Content-Type` is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DefaultType {
    Text,
    /// In a `multipart/digest` (RFC 2046 5.1.5).
    Message,
}

/// A line that delimits parts.
#[derive(Clone, Copy)]
struct Delimiter {
    /// Where its line begins.
    start: usize,
    /// Where the next line begins.
    end: usize,
    /// The multipart it belongs to, an index of the open boundaries.
    level: usize,
    /// Whether it is the last of its multipart.
    closing: bool,
}

impl Parser<'_> {
    /// Reads the part beginning at `start`; returns the delimiter that ended it, if one did.
    fn part(
        &mut self,
        start: usize,
        default: DefaultType,
        depth: usize,
        envelope: Option<&mut Envelope>,
        part: &mut Part,
    ) -> Option<Delimiter> {
        self.parts += 1;
        let source = self.source;
        let body = header::end_of_header(source, start, |at| self.delimiter(at).is_some());
        part.header = start as u64..body as u64;
        let is_message = envelope.is_some();
        read_header(&source[start..body], part, envelope);
        if part.media_type.is_empty() {
            let (media_type, media_subtype): (&[u8], &[u8]) = match default {
                DefaultType::Text => (b"text", b"plain"),
                DefaultType::Message => (b"message", b"rfc822"),
            };
            part.media_type = media_type.to_vec();
            part.media_subtype = media_subtype.to_vec();
        }
        let first_line = self.lines.before(source, body);
        let ended = self.children(body, depth, part);
        // The line end before a delimiter belongs to the delimiter (RFC 2046 5.1.1).
        let end = ended.map_or(source.len(), |delimiter| {
            let line_end = match &source[..delimiter.start] {
                [.., b'\r', b'\n'] => 2,
                [.., b'\n'] => 1,
                _ => 0,
            };
            (delimiter.start - line_end).max(body)
        });
        debug_assert!(is_message || depth > 0);
        part.body = body as u64..end as u64;
        part.lines = self.lines.before(source, end).saturating_sub(first_line);
        ended
    }

    /// Reads what is in the body that begins at `body`, up to the delimiter that ends it.
    fn children(&mut self, body: usize, depth: usize, part: &mut Part) -> Option<Delimiter> {
        let multipart = part.media_type == b"multipart";
        let message = part.is("message", "rfc822") || part.is("message", "global");
        if !multipart && !message {
            return self.next_delimiter(body);
        }
        if depth >= MAX_DEPTH || self.parts >= MAX_PARTS {
            part.media_type = b"application".to_vec();
            part.media_subtype = b"octet-stream".to_vec();
            return self.next_delimiter(body);
        }
        if message {
            let mut inner = Box::<Structure>::default();
            let Structure { envelope, root } = &mut *inner;
            let ended = self.part(body, DefaultType::Text, depth + 1, Some(envelope), root);
            part.children = Children::Message(inner);
            return ended;
        }
        let boundary = part.parameter("boundary").map(<[u8]>::trim_ascii_end);
        let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else {
            part.children = Children::Multipart(Vec::new());
            return self.next_delimiter(body);
        };
        let level = self.boundaries.len();
        self.boundaries.push(boundary.to_vec());
        let default = if part.media_subtype == b"digest" {
            DefaultType::Message
        } else {
            DefaultType::Text
        };
        let mut parts = Vec::new();
        let mut next = self.next_delimiter(body);
        while let Some(delimiter) = next.filter(|delimiter| delimiter.level == level) {
            if delimiter.closing || self.parts >= MAX_PARTS {
                // What follows is an epilogue, up to a delimiter of an outer multipart.
                self.boundaries.truncate(level);
                next = self.next_delimiter(delimiter.end);
                break;
            }
            let mut child = Part::default();
            next = self.part(delimiter.end, default, depth + 1, None, &mut child);
            parts.push(child);
        }
        self.boundaries.truncate(level);
        part.children = Children::Multipart(parts);
        next
    }

    /// The next delimiter of an open multipart at or after `from`, which begins a line.
    fn next_delimiter(&self, from: usize) -> Option<Delimiter> {
        if self.boundaries.is_empty() {
            return None;
        }
        if self.source[from..].starts_with(b"--")
            && let Some(found) = self.delimiter(from)
        {
            return Some(found);
        }
        memmem::find_iter(&self.source[from..], b"\n--").find_map(|at| self.delimiter(from + at + 1))
    }

    /// The delimiter in the line at `start`, which begins with two hyphens. The innermost multipart that
    /// has this boundary counts: an outer one ends those inside that were not closed, and where two have the
    /// same boundary, the inner one has the parts until it is closed (as Dovecot and MimeKit have it).
    fn delimiter(&self, start: usize) -> Option<Delimiter> {
        if self.boundaries.is_empty() {
            return None;
        }
        let rest = &self.source[start + 2..];
        for (level, boundary) in self.boundaries.iter().enumerate().rev() {
            let Some(mut after) = rest.strip_prefix(&boundary[..]) else {
                continue;
            };
            let closing = after.starts_with(b"--");
            if closing {
                after = &after[2..];
            }
            let padding = after
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t'))
                .count();
            after = &after[padding..];
            let line_end = match after {
                [] => 0,
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => continue,
            };
            let end = self.source.len() - after.len() + line_end;
            return Some(Delimiter {
                start,
                end,
                level,
                closing,
            });
        }
        None
    }
}

/// Counts lines at positions that mostly ascend, so that every byte is looked at about once.
#[derive(Default)]
struct LineCount {
    at: usize,
    lines: u64,
}

impl LineCount {
    /// The line ends in front of `at`.
    fn before(&mut self, source: &[u8], at: usize) -> u64 {
        let count = |from: usize, to: usize| memchr_iter(b'\n', &source[from..to]).count() as u64;
        if at >= self.at {
            self.lines += count(self.at, at);
            self.at = at;
            return self.lines;
        }
        // Ends of parts are a line end before what was counted last, or where an outer part ends.
        self.lines - count(at, self.at)
    }
}

fn read_header(header: &[u8], part: &mut Part, mut envelope: Option<&mut Envelope>) {
    let mut typed = false;
    for (number, field) in header::fields(header).enumerate() {
        let content = field.name.len() > 8 && field.name[..8].eq_ignore_ascii_case(b"content-");
        if content {
            content_field(&field, part, &mut typed);
        } else if let Some(envelope) = envelope.as_deref_mut() {
            envelope_field(&field, envelope);
            envelope.incomplete |= number + 1 == header::MAX_FIELDS;
        }
    }
    if let Some(envelope) = envelope {
        for list in [&mut envelope.sender, &mut envelope.reply_to] {
            if list.is_empty() {
                list.clone_from(&envelope.from);
            }
        }
    }
}

fn content_field(field: &Field<'_>, part: &mut Part, typed: &mut bool) {
    let text = || field.unfolded().into_owned();
    let once = |slot: &mut Option<Vec<u8>>| {
        if slot.is_none() {
            *slot = Some(text());
        }
    };
    match field.name[8..].to_ascii_lowercase().as_slice() {
        b"type" if !*typed => {
            *typed = true;
            let read = Parameterised::read(&field.unfolded());
            media_type(&read.value, part);
            part.parameters = read.parameters;
        }
        b"transfer-encoding" if part.encoding.is_empty() => {
            part.encoding = Parameterised::read(&field.unfolded()).value;
        }
        b"disposition" if part.disposition.is_none() => {
            let read = Parameterised::read(&field.unfolded());
            if !read.value.is_empty() {
                part.disposition = Some((read.value, read.parameters));
            }
        }
        b"language" if part.language.is_empty() => {
            let languages = field.unfolded();
            let tags = languages.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            part.language = tags.filter(|tag| !tag.is_empty()).map(<[u8]>::to_vec).collect();
        }
        b"id" => once(&mut part.id),
        b"description" => once(&mut part.description),
        b"md5" => once(&mut part.md5),
        b"location" => once(&mut part.location),
        _ => {}
    }
}

/// Takes `type/subtype`; anything else is text (RFC 2045 5.2).
fn media_type(value: &[u8], part: &mut Part) {
    let slash = memchr::memchr(b'/', value);
    let (kind, subtype) = slash.map_or((value, &b""[..]), |at| (&value[..at], &value[at + 1..]));
    let (kind, subtype) = (kind.trim_ascii(), subtype.trim_ascii());
    let token = |text: &[u8]| !text.is_empty() && text.iter().all(|&byte| byte > b' ' && byte != b'/');
    let (kind, subtype): (&[u8], &[u8]) = if token(kind) && token(subtype) {
        (kind, subtype)
    } else if kind == b"multipart" {
        (kind, b"mixed")
    } else {
        (b"text", b"plain")
    };
    part.media_type = kind.to_vec();
    part.media_subtype = subtype.to_vec();
}

fn envelope_field(field: &Field<'_>, envelope: &mut Envelope) {
    let incomplete = &mut envelope.incomplete;
    let mut once = |slot: &mut Option<Vec<u8>>| {
        *incomplete |= slot.is_some() || field.value.len() > header::MAX_VALUE_BYTES;
        if slot.is_none() {
            *slot = Some(field.unfolded().into_owned());
        }
    };
    let list = |slot: &mut Vec<Address>| {
        if slot.is_empty() {
            *slot = addresses(&field.unfolded());
        }
    };
    match field.name.len() {
        2 if field.is("to") => list(&mut envelope.to),
        2 if field.is("cc") => list(&mut envelope.cc),
        3 if field.is("bcc") => list(&mut envelope.bcc),
        4 if field.is("from") => list(&mut envelope.from),
        4 if field.is("date") => once(&mut envelope.date),
        6 if field.is("sender") => list(&mut envelope.sender),
        7 if field.is("subject") => once(&mut envelope.subject),
        8 if field.is("reply-to") => list(&mut envelope.reply_to),
        10 if field.is("message-id") => once(&mut envelope.message_id),
        10 if field.is("references") => once(&mut envelope.references),
        11 if field.is("in-reply-to") => once(&mut envelope.in_reply_to),
        _ => {}
    }
}
