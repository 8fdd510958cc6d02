//! Header fields: where they are, and what their values mean (RFC 5322, 2047, 2231), however sloppily written.

use std::borrow::Cow;

use memchr::memchr;

pub mod address;
pub mod date;
pub mod encoded_word;
pub mod parameter;
pub mod write;

pub use address::addresses;
pub use date::{format_date, parse_date};
pub use encoded_word::decode_text;
pub use parameter::Parameterised;
pub use write::HeaderWriter;

/// Fields of one header that are looked at; what comes after them is passed over.
pub const MAX_FIELDS: usize = 10_000;
/// Bytes of one field's value that are looked at.
pub const MAX_VALUE_BYTES: usize = 128 * 1024;

/// One header field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// All of it, as written, with its last line end.
    pub line: &'a [u8],
    /// Its name, as written.
    pub name: &'a [u8],
    /// Its value, still folded, without the last line end.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Whether it has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line, without white space around it, cut at [`MAX_VALUE_BYTES`].
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfold(&self.value[..self.value.len().min(MAX_VALUE_BYTES)])
    }
}

/// The fields of a header in order, at most [`MAX_FIELDS`].
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Lines { header, at: 0 }
        .filter_map(|line| match line {
            Line::Field(field) => Some(field),
            Line::Other => None,
        })
        .take(MAX_FIELDS)
}

/// The first field with this name.
pub fn field<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(header).find(|field| field.is(name))
}

/// The end of the header that begins at `start`: behind its empty line, or before the first line that can't
/// be a header's. `delimiter` says whether a line beginning with two hyphens ends the enclosing part.
pub(crate) fn end_of_header(source: &[u8], start: usize, delimiter: impl Fn(usize) -> bool) -> usize {
    let mut at = start;
    while at < source.len() {
        let line = &source[at..];
        let length = memchr(b'\n', line).map_or(line.len(), |end| end + 1);
        match line {
            [b'\n', ..] => return at + 1,
            [b'\r', b'\n', ..] => return at + 2,
            [b'-', b'-', ..] if delimiter(at) => return at,
            [b' ' | b'\t', ..] if at > start => {}
            _ if name_length(&line[..length]).is_some() => {}
            // An mbox's separator, and what programs make of it; whoever received the message since has written
            // fields above it.
            _ if line.starts_with(b"From ") || line.starts_with(b">From ") => {}
            // A byte order mark, or a name in some charset: no field that anybody reads, but no body either.
            _ if is_name_beyond_ascii(&line[..length]) => {}
            _ => return at,
        }
        at += length;
    }
    source.len()
}

/// The value on one line: line ends gone, white space around it too (RFC 5322 2.2.3).
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    out.extend(value.iter().filter(|&&byte| byte != b'\r' && byte != b'\n'));
    Cow::Owned(out)
}

/// Whether a colon follows bytes that would be a field's name if some of them weren't beyond ASCII.
fn is_name_beyond_ascii(line: &[u8]) -> bool {
    let length = line
        .iter()
        .position(|&byte| byte <= b' ' || byte == b':' || byte == 127)
        .unwrap_or(line.len());
    line.get(length) == Some(&b':') && !line[..length].is_ascii()
}

/// The length of a line's field name, without white space before the colon (RFC 5322 4.5 allows some).
fn name_length(line: &[u8]) -> Option<usize> {
    let colon = line
        .iter()
        .position(|&byte| !(33..127).contains(&byte) || byte == b':')?;
    let rest = line[colon..].trim_ascii_start();
    (colon > 0 && rest.first() == Some(&b':')).then_some(colon)
}

struct Lines<'a> {
    header: &'a [u8],
    at: usize,
}

enum Line<'a> {
    Field(Field<'a>),
    Other,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.header.get(self.at..).filter(|rest| !rest.is_empty())?;
        let mut end = 0;
        loop {
            end += memchr(b'\n', &rest[end..]).map_or(rest.len() - end, |found| found + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        self.at += end;
        let line = &rest[..end];
        let Some(length) = name_length(line) else {
            return Some(Line::Other);
        };
        let colon = memchr(b':', line).unwrap_or(length);
        let value = &line[colon + 1..];
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        Some(Line::Field(Field {
            line,
            name: &line[..length],
            value,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(header: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields(header)
            .map(|f| (text(f.name), text(&f.unfolded())))
            .collect()
    }

    #[test]
    fn fields_are_found_and_unfolded() {
        let header = b"From mbox Thu\r\nA: 1\r\nB :\r\n two\r\n\tthree\nC:\n\n";
        let expected = [("A", "1"), ("B", "two\tthree"), ("C", "")];
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        assert_eq!(pairs(header), expected);
        assert_eq!(field(header, "b").map(|f| f.name), Some(&b"B"[..]));
    }

    #[test]
    fn headers_end_where_they_must() {
        let end = |text: &[u8]| end_of_header(text, 0, |_| true);
        assert_eq!(end(b"A: 1\r\n\r\nx"), 8);
        assert_eq!(end(b"A: 1\n\nx"), 6);
        assert_eq!(end(b"A: 1\nno field\n"), 5);
        assert_eq!(end(b"A: 1\n--b: x\n"), 5);
        assert_eq!(end(b"Received: 1\nFrom me Thu\nA: 1\n\nx"), 30);
        assert_eq!(end(b"A: 1\n>From me Thu\nB: 1\n\nx"), 24);
        assert_eq!(end(b"A: 1\n\xef\xbb\xbfFrom: 1\n\nx"), 17);
        assert_eq!(end(b"A: 1\n\xef\xbb\xbf no field: 1\n"), 5);
        assert_eq!(end(b"just text"), 0);
        assert_eq!(end(b" A: 1"), 0);
        assert_eq!(end(b"\r\nbody"), 2);
        assert_eq!(end(b"A: 1"), 4);
    }

    #[test]
    fn limits_hold() {
        let many = b"A: 1\r\n".repeat(MAX_FIELDS + 1);
        assert_eq!(fields(&many).count(), MAX_FIELDS);
        let long = [b"A: ", &vec![b'x'; MAX_VALUE_BYTES + 9][..]].concat();
        assert!(field(&long, "a").unwrap().unfolded().len() <= MAX_VALUE_BYTES);
    }
}
