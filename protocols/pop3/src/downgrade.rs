//! Messages with UTF-8 in their headers (RFC 6532), for clients that did not issue UTF8.
//!
//! RFC 6856 §3 makes the server answer for RFC 1939 and RFC 5322 there: such a client gets ASCII headers.
//! They are made as RFC 6858 says, with RFC 2047 and RFC 2231 where those lose less:
//!
//! | field | becomes |
//! |---|---|
//! | `Subject`, `Comments`, `Keywords`, `Content-Description` | encoded words |
//! | addresses | display names in encoded words; an address that itself is not ASCII becomes one in the domain `internationalized-address.invalid`, and is shown as its display name |
//! | `Content-Type`, `Content-Disposition` | parameters by RFC 2231 |
//! | any other | is left out |
//!
//! Bodies are not touched: RFC 1939 carries 8-bit text. Fields that are not UTF-8 stay as they came: they are
//! of no known charset, and no message of RFC 6532 has them.
//!
//! [`Downgrade`] works on slices of a source, so a message is never held whole: only one field is, up to
//! [`FIELD_MAX`].

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memchr;
use ringpost_convert::structure::{Children, Part, Structure};

/// Longest field that is rewritten. A longer one with UTF-8 is left out; a longer one that begins in ASCII
/// has question marks for what is not.
pub const FIELD_MAX: usize = 64 * 1024;
/// Bytes of text in one encoded word: 60 characters of base64, and 75 in all (RFC 2047 §2).
const ENCODED_WORD_BYTES: usize = 45;
/// Longest parameter value in RFC 2231's form: its line stays below 998 (RFC 5322 §2.1.1).
const PARAMETER_MAX: usize = 900;
/// Stands for an address that can't be written in ASCII (RFC 6858 §2.1).
const INVALID_ADDRESS: &str = "invalid@internationalized-address.invalid";

/// Rewrites the headers of one message, whose source comes in slices from its beginning.
#[derive(Clone, Debug)]
pub struct Downgrade {
    /// Headers of the message and all its parts, in the order of the source.
    headers: Vec<Range<u64>>,
    next: usize,
    position: u64,
    /// The field that is not complete yet.
    field: Vec<u8>,
    oversize: Oversize,
}

/// What happens to the rest of a field that passed [`FIELD_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Oversize {
    No,
    Pass,
    Drop,
}

impl Downgrade {
    /// For a message with this structure.
    pub fn new(structure: &Structure) -> Self {
        let mut headers = Vec::new();
        collect_headers(&structure.root, &mut headers);
        headers.sort_by_key(|range| range.start);
        Self {
            headers,
            next: 0,
            position: 0,
            field: Vec::new(),
            oversize: Oversize::No,
        }
    }

    /// Rewrites, in place, the slice that `buffer` has from `from` on. `spare` is working memory, to be used
    /// again. What a header's last field still lacks is kept for the next slice.
    pub fn push(&mut self, buffer: &mut Vec<u8>, from: usize, spare: &mut Vec<u8>) {
        let Some(slice) = buffer.get(from..) else { return };
        let end = self.position + slice.len() as u64;
        if self
            .headers
            .get(self.next)
            .is_none_or(|header| header.start >= end)
        {
            self.position = end;
            return;
        }
        spare.clear();
        let mut rest = slice;
        while !rest.is_empty() {
            let (in_header, border) = match self.headers.get(self.next) {
                Some(header) if self.position < header.start => (false, header.start),
                Some(header) => (true, header.end),
                None => (false, u64::MAX),
            };
            let length = usize::try_from(border.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            self.position += piece.len() as u64;
            rest = behind;
            if in_header {
                self.header(piece, spare);
                if self.position >= border {
                    self.end_field(spare);
                    self.next += 1;
                }
            } else {
                spare.extend_from_slice(piece);
            }
        }
        buffer.truncate(from);
        buffer.extend_from_slice(spare);
    }

    fn header(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !piece.is_empty() {
            let at_line_start = self.field.last().is_none_or(|&byte| byte == b'\n');
            // Anything but white space at the start of a line begins a field, or ends the header.
            if at_line_start && !matches!(piece.first(), Some(b' ' | b'\t')) {
                self.end_field(out);
            }
            // However the slices are cut, a long field is cut at the same bytes.
            let room = (FIELD_MAX + 1).saturating_sub(self.field.len()).max(1);
            let length = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            let (line, behind) = piece.split_at(length.min(room));
            piece = behind;
            self.field.extend_from_slice(line);
            if self.field.len() > FIELD_MAX {
                self.cut(out);
            }
        }
    }

    /// Lets go of the beginning of a long field; its last byte stays, to see line ends by.
    fn cut(&mut self, out: &mut Vec<u8>) {
        if self.oversize == Oversize::No {
            self.oversize = if self.field.is_ascii() {
                Oversize::Pass
            } else {
                Oversize::Drop
            };
        }
        let kept = self.field.len() - 1;
        if self.oversize == Oversize::Pass {
            out.extend(self.field.drain(..kept).map(question_mark));
        } else {
            self.field.drain(..kept);
        }
    }

    fn end_field(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.oversize, Oversize::No) {
            Oversize::No => downgrade_field(&self.field, out),
            Oversize::Pass => out.extend(self.field.iter().copied().map(question_mark)),
            Oversize::Drop => {}
        }
        self.field.clear();
    }
}

const fn question_mark(byte: u8) -> u8 {
    if byte.is_ascii() { byte } else { b'?' }
}

fn collect_headers(part: &Part, headers: &mut Vec<Range<u64>>) {
    if !part.header.is_empty() {
        headers.push(part.header.clone());
    }
    match &part.children {
        Children::None => {}
        Children::Multipart(parts) => parts.iter().for_each(|part| collect_headers(part, headers)),
        Children::Message(inner) => collect_headers(&inner.root, headers),
    }
}

/// Appends a header field, with its line ends, in ASCII; or as it is when it is no UTF-8.
fn downgrade_field(field: &[u8], out: &mut Vec<u8>) {
    let text = match std::str::from_utf8(field) {
        Ok(text) if !field.is_ascii() => text,
        _ => return out.extend_from_slice(field),
    };
    let Some((name, value)) = text.split_once(':') else {
        return;
    };
    let value = value.replace(['\r', '\n'], "");
    let value = value.trim_matches([' ', '\t']);
    let name = name.trim_end_matches([' ', '\t']);
    let lower = name.to_ascii_lowercase();
    let rewritten = match lower.strip_prefix("resent-").unwrap_or(&lower) {
        "subject" | "comments" | "keywords" | "content-description" => encode_words(value, false),
        "from" | "sender" | "reply-to" | "to" | "cc" | "bcc" => addresses(value),
        "content-type" | "content-disposition" => parameters(value),
        _ => return,
    };
    if name.is_ascii() {
        out.extend_from_slice(format!("{name}: {rewritten}\r\n").as_bytes());
    }
}

/// Text with its words that are not ASCII as encoded words (RFC 2047 §5). In a phrase, what is no atom is
/// encoded, too.
fn encode_words(text: &str, phrase: bool) -> String {
    let is_encoded = |word: &str| word.is_ascii() && word.starts_with("=?") && word.ends_with("?=");
    let stays =
        |word: &str| word.is_ascii() && (!phrase || is_encoded(word) || word.bytes().all(is_atom_text));
    let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    let mut lines: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if stays(word) {
            lines.push((*word).to_owned());
            at += 1;
            continue;
        }
        let end = at + words[at..].iter().take_while(|word| !stays(word)).count();
        // White space between two encoded words is not shown (RFC 2047 §6.2), so it goes inside.
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        let mut run = String::new();
        if before.is_some_and(|word| is_encoded(word)) {
            run.push(' ');
        }
        run.push_str(&words[at..end].join(" "));
        if words.get(end).is_some_and(|word| is_encoded(word)) {
            run.push(' ');
        }
        encoded_words(&run, &mut lines);
        at = end;
    }
    fold(&lines, " ")
}

/// Joins by a separator, with a new line where the line would pass 76 characters.
fn fold(words: &[String], separator: &str) -> String {
    let (mut folded, mut column) = (String::new(), 20);
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            folded.push_str(separator.trim_end());
            if column + separator.len() + word.len() > 76 {
                folded.push_str("\r\n");
                column = 0;
            }
            folded.push(' ');
            column += separator.len();
        }
        folded.push_str(word);
        column += word.len();
    }
    folded
}

fn encoded_words(text: &str, words: &mut Vec<String>) {
    let mut rest = text;
    while !rest.is_empty() {
        let mut length = rest.len().min(ENCODED_WORD_BYTES);
        while !rest.is_char_boundary(length) {
            length -= 1;
        }
        let (piece, behind) = rest.split_at(length);
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(piece)));
        rest = behind;
    }
}

const fn is_atom_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'^'..=b'`' | b'{'..=b'~')
}

/// A list of addresses (RFC 5322 §3.4), groups included.
fn addresses(value: &str) -> String {
    let mut items = Vec::new();
    for (item, end) in split_outside(value, &[',', ';', ':']) {
        let item = item.trim_matches([' ', '\t']);
        let mut written = match end {
            _ if item.is_ascii() => item.to_owned(),
            Some(':') => encode_words(&unquoted(item), true),
            _ => address(item),
        };
        match end {
            // A group's name; its end closes the last member.
            Some(':') => written.push(':'),
            Some(';') => written.push(';'),
            _ => {}
        }
        if !written.is_empty() {
            items.push((written, end));
        }
    }
    let mut list = String::new();
    for (number, (written, _)) in items.iter().enumerate() {
        let previous = number.checked_sub(1).and_then(|before| items.get(before));
        list.push_str(match previous {
            None => "",
            Some((_, Some(':'))) => "\r\n ",
            Some(_) => ",\r\n ",
        });
        list.push_str(written);
    }
    list
}

/// One address that is not ASCII.
fn address(item: &str) -> String {
    let opening = split_outside(item, &['<'])
        .next()
        .map_or(item.len(), |(name, _)| name.len());
    let (name, address) = match item.get(opening + 1..) {
        Some(address) => (
            unquoted(item[..opening].trim_matches([' ', '\t'])),
            address.split('>').next().unwrap_or_default().to_owned(),
        ),
        // `a@b (Name)`: before RFC 822, names were comments.
        None => match item.split_once('(') {
            Some((address, comment)) => (
                comment.trim_end_matches([')', ' ']).to_owned(),
                address.trim().to_owned(),
            ),
            None => (String::new(), item.to_owned()),
        },
    };
    if address.is_ascii() {
        return format!("{} <{address}>", encode_words(&name, true));
    }
    let shown = if name.is_empty() {
        address
    } else {
        format!("{name} <{address}>")
    };
    format!("{} <{INVALID_ADDRESS}>", encode_words(&shown, true))
}

/// A media type or disposition with its parameters, those that are not ASCII in RFC 2231's form.
fn parameters(value: &str) -> String {
    let mut written = Vec::new();
    for (item, _) in split_outside(value, &[';']) {
        let item = item.trim_matches([' ', '\t']);
        if item.is_ascii() {
            if !item.is_empty() {
                written.push(item.to_owned());
            }
            continue;
        }
        let Some((name, value)) = item.split_once('=') else {
            continue;
        };
        let (name, value) = (name.trim_end(), unquoted(value.trim_start()));
        let is_plain = !name.is_empty() && name.bytes().all(is_atom_text) && !name.contains('*');
        let encoded: String = value.bytes().map(percent_encoded).collect();
        if is_plain && encoded.len() <= PARAMETER_MAX {
            written.push(format!("{name}*=utf-8''{encoded}"));
        }
    }
    fold(&written, "; ")
}

fn percent_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// A quoted string's content (RFC 5322 §3.2.4); other text as it is.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else {
        return text.to_owned();
    };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' {
            characters.next()
        } else {
            Some(character)
        });
    }
    plain
}

/// The pieces between these characters where they stand outside of quoted strings, comments and angle
/// brackets, each with the character that ended it.
fn split_outside<'a>(text: &'a str, ends: &'a [char]) -> impl Iterator<Item = (&'a str, Option<char>)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let piece = rest?;
        let (mut quoted, mut comments, mut angle, mut escaped) = (false, 0_usize, false, false);
        for (at, character) in piece.char_indices() {
            if std::mem::take(&mut escaped) {
                continue;
            }
            let outside = !quoted && comments == 0 && !angle;
            match character {
                '\\' if quoted || comments > 0 => escaped = true,
                '"' if comments == 0 => quoted = !quoted,
                '(' if !quoted => comments += 1,
                ')' if !quoted => comments = comments.saturating_sub(1),
                _ if outside && ends.contains(&character) => {
                    rest = piece.get(at + character.len_utf8()..);
                    return Some((&piece[..at], Some(character)));
                }
                '<' if outside => angle = true,
                '>' => angle = false,
                _ => {}
            }
        }
        rest = None;
        Some((piece, None))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(field: &str) -> String {
        let mut out = Vec::new();
        downgrade_field(format!("{field}\r\n").as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn word(text: &str) -> String {
        format!("=?utf-8?B?{}?=", STANDARD.encode(text))
    }

    fn downgraded(source: &[u8], size: usize) -> Vec<u8> {
        let mut downgrade = Downgrade::new(&Structure::of(source));
        let (mut out, mut spare) = (Vec::new(), Vec::new());
        for slice in source.chunks(size) {
            let from = out.len();
            out.extend_from_slice(slice);
            downgrade.push(&mut out, from, &mut spare);
        }
        out
    }

    #[test]
    fn text_becomes_encoded_words() {
        assert_eq!(field("Subject: plain"), "Subject: plain\r\n");
        assert_eq!(
            field("Subject: On Grüße aus\r\n Köln now"),
            format!("Subject: On {} aus {} now\r\n", word("Grüße"), word("Köln"))
        );
        assert_eq!(
            field("Subject: =?utf-8?Q?=C3=A4?= ö ü"),
            format!("Subject: =?utf-8?Q?=C3=A4?= {}\r\n", word(" ö ü"))
        );
        let long = field(&format!("Subject: {}", "ä".repeat(200)));
        assert!(
            long.lines().all(|line| line.len() <= 86) && long.is_ascii(),
            "{long}"
        );
        let text: String = long["Subject: ".len()..]
            .split_whitespace()
            .map(|word| {
                let encoded = word.trim_start_matches("=?utf-8?B?").trim_end_matches("?=");
                String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
            })
            .collect();
        assert_eq!(text, "ä".repeat(200));
    }

    #[test]
    fn addresses_stay_usable_or_are_plainly_invalid() {
        assert_eq!(
            field("From: \"Jörg, Dr.\" <joerg@example.org>, ann@example.org"),
            format!(
                "From: {} <joerg@example.org>,\r\n ann@example.org\r\n",
                word("Jörg, Dr.")
            )
        );
        assert_eq!(
            field("To: jörg@example.org"),
            format!("To: {} <{INVALID_ADDRESS}>\r\n", word("jörg@example.org"))
        );
        assert_eq!(
            field("Resent-Cc: Jo <jo@exämple.org>"),
            format!(
                "Resent-Cc: Jo {} <{INVALID_ADDRESS}>\r\n",
                word("<jo@exämple.org>")
            )
        );
        assert_eq!(
            field("Cc: Küche: a@b, \"Ö;:,<\" <c@d>;, e@f (Jörg)"),
            format!(
                "Cc: {}:\r\n a@b,\r\n {} <c@d>;,\r\n {} <e@f>\r\n",
                word("Küche"),
                word("Ö;:,<"),
                word("Jörg")
            )
        );
    }

    #[test]
    fn parameters_are_encoded_and_other_fields_left_out() {
        assert_eq!(
            field("Content-Disposition: attachment; filename=\"Übung; 1.pdf\"; size=3"),
            "Content-Disposition: attachment; filename*=utf-8''%C3%9Cbung%3B%201.pdf;\r\n size=3\r\n"
        );
        assert_eq!(
            field("Content-Type: text/plain; name=ä; ü"),
            "Content-Type: text/plain; name*=utf-8''%C3%A4\r\n"
        );
        let long = field(&format!(
            "Content-Type: text/plain; name=\"{}\"",
            "ä".repeat(PARAMETER_MAX)
        ));
        assert_eq!(long, "Content-Type: text/plain\r\n");
        assert_eq!(field("X-Mailer: Müller"), "");
        assert_eq!(field("Sübject: x"), "");
        let mut latin1 = Vec::new();
        downgrade_field(b"Subject: \xe4\r\n", &mut latin1);
        assert_eq!(latin1, b"Subject: \xe4\r\n");
    }

    #[test]
    fn headers_of_parts_change_and_bodies_do_not() {
        let source = "Subject: ä\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreämble\r\n--b\r\n\
            Content-Disposition: attachment; filename=ö\r\n\r\nfilename=ö\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
            X: ü\r\nFrom: ö <a@b>\r\n\r\nß\r\n--b--\r\n";
        let expected = format!(
            "Subject: {}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreämble\r\n--b\r\n\
            Content-Disposition: attachment; filename*=utf-8''%C3%B6\r\n\r\nfilename=ö\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
            From: {} <a@b>\r\n\r\nß\r\n--b--\r\n",
            word("ä"),
            word("ö")
        );
        for size in 1..=source.len() {
            let out = downgraded(source.as_bytes(), size);
            assert_eq!(String::from_utf8_lossy(&out), expected, "slices of {size}");
        }
    }

    #[test]
    fn long_fields_are_bounded() {
        let filler = "x ".repeat(FIELD_MAX);
        let source = format!("Subject: ä{filler}\r\nX: {filler}ä\r\n more\r\nTo: a@b\r\n\r\nbody ä\r\n");
        let expected = format!("X: {filler}??\r\n more\r\nTo: a@b\r\n\r\nbody ä\r\n");
        for size in [1000, FIELD_MAX, source.len()] {
            let out = downgraded(source.as_bytes(), size);
            assert!(out == expected.as_bytes(), "slices of {size}");
        }
    }

    /// Headers made of the pieces that the syntax turns on: always ASCII, and however they are cut.
    #[test]
    fn random_headers_become_ascii() {
        const PIECES: [&str; 24] = [
            "From: ",
            "Subject: ",
            "Content-Type: a/b; ",
            "X: ",
            "\r\n",
            "\n",
            "\r\n ",
            "\u{e4}",
            "\u{1f600}",
            "\"",
            "\\",
            "(",
            ")",
            "<",
            ">",
            ",",
            ";",
            ":",
            "=",
            "=?utf-8?Q?a?=",
            " ",
            "a@b",
            "\u{e4}@b",
            "\r",
        ];
        let mut state = 7_u64;
        for _ in 0..5000 {
            let mut header = String::new();
            for _ in 0..20 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                header.push_str(PIECES[(state >> 33) as usize % PIECES.len()]);
            }
            header.push_str("\r\n\r\n");
            let range = 0..header.len() as u64;
            let sent = |size| {
                let root = Part {
                    header: range.clone(),
                    ..Part::default()
                };
                let structure = Structure {
                    root,
                    ..Structure::default()
                };
                let mut downgrade = Downgrade::new(&structure);
                let (mut out, mut spare) = (Vec::new(), Vec::new());
                for slice in header.as_bytes().chunks(size) {
                    let from = out.len();
                    out.extend_from_slice(slice);
                    downgrade.push(&mut out, from, &mut spare);
                }
                out
            };
            let whole = sent(header.len());
            assert!(whole.is_ascii(), "{header:?}");
            assert!([1, 2, 7].iter().all(|&size| sent(size) == whole), "{header:?}");
            assert!(whole.ends_with(b"\r\n"), "{header:?}");
        }
    }
}
