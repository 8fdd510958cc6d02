//! A message's bytes, on their way to another server.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memchr2};

/// Octets of a line, its end not counted (RFC 5321 §4.5.3.1.6).
pub(crate) const LINE_MAX: usize = 998;

/// A message's content, and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    pub(crate) has_8bit: bool,
    pub(crate) header_has_8bit: bool,
    /// Lines of at most [`LINE_MAX`] octets, each ended by CRLF, without any other CR, LF or NUL.
    pub(crate) is_lines: bool,
}

impl Content {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let has_8bit = !bytes.is_ascii();
        Self {
            has_8bit,
            header_has_8bit: has_8bit && !header(&bytes).is_ascii(),
            is_lines: is_lines(&bytes),
            bytes,
        }
    }
}

/// The header that a message begins with.
pub(crate) fn header(message: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(end) = memchr(b'\n', &message[at..]) {
        let line = &message[at..at + end];
        if line.is_empty() || line == b"\r" {
            return &message[..at];
        }
        at += end + 1;
    }
    message
}

/// `Received` fields of a message: how many servers it has come by.
pub(crate) fn hops(message: &[u8]) -> usize {
    let header = header(message);
    let begins = |line: &[u8]| line.len() > 9 && line[..9].eq_ignore_ascii_case(b"received:");
    header
        .split(|byte| *byte == b'\n')
        .filter(|line| begins(line))
        .count()
}

fn is_lines(bytes: &[u8]) -> bool {
    let mut begin = 0;
    for end in memchr_iter(b'\n', bytes) {
        let line = &bytes[begin..end];
        let Some(line) = line.strip_suffix(b"\r") else {
            return false;
        };
        if line.len() > LINE_MAX || memchr2(b'\r', b'\0', line).is_some() {
            return false;
        }
        begin = end + 1;
    }
    begin == bytes.len()
}

/// Ends every line by CRLF, whatever it was ended by: a lone CR or LF means a line's end to some servers and not to
/// others, which is what SMTP smuggling lives on. Lines that are too long are folded; NUL, which SMTP can't carry,
/// is dropped.
pub(crate) fn in_lines(bytes: &[u8]) -> Cow<'_, [u8]> {
    if is_lines(bytes) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 64 + 2);
    let mut length = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' && bytes.get(at) == Some(&b'\n') {
                    at += 1;
                }
                out.extend_from_slice(b"\r\n");
                length = 0;
            }
            b'\0' => {}
            byte => {
                if length == LINE_MAX {
                    out.extend_from_slice(b"\r\n ");
                    length = 1;
                }
                out.push(byte);
                length += 1;
            }
        }
    }
    if length != 0 {
        out.extend_from_slice(b"\r\n");
    }
    Cow::Owned(out)
}

/// Puts a dot before each line that begins with one (RFC 5321 §4.5.2), across pieces.
#[derive(Debug)]
pub(crate) struct Stuffing {
    line_begins: bool,
}

impl Default for Stuffing {
    fn default() -> Self {
        Self { line_begins: true }
    }
}

impl Stuffing {
    pub(crate) fn push(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !piece.is_empty() {
            if self.line_begins && piece[0] == b'.' {
                out.push(b'.');
            }
            let end = memchr(b'\n', piece).map_or(piece.len(), |end| end + 1);
            self.line_begins = piece[end - 1] == b'\n';
            out.extend_from_slice(&piece[..end]);
            piece = &piece[end..];
        }
    }

    /// The end of the data.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        if !self.line_begins {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_mended_where_they_must_be() {
        assert!(matches!(in_lines(b"a\r\n\r\nb\r\n"), Cow::Borrowed(_)));
        assert_eq!(&*in_lines(b"a\nb\rc\r\n\0d"), b"a\r\nb\r\nc\r\nd\r\n");
        assert_eq!(&*in_lines(b"\n.\n"), b"\r\n.\r\n");
        let long = vec![b'x'; LINE_MAX * 2];
        let folded = in_lines(&long);
        assert!(is_lines(&folded));
        assert_eq!(memchr_iter(b'x', &folded).count(), LINE_MAX * 2);
    }

    #[test]
    fn dots_are_stuffed_whatever_the_pieces() {
        let message = b".a\r\nb.\r\n..\r\n.\r\nend";
        for size in 1..message.len() {
            let (mut stuffing, mut out) = (Stuffing::default(), Vec::new());
            for piece in message.chunks(size) {
                stuffing.push(piece, &mut out);
            }
            stuffing.end(&mut out);
            assert_eq!(out, b"..a\r\nb.\r\n...\r\n..\r\nend\r\n.\r\n");
        }
        let mut out = Vec::new();
        Stuffing::default().end(&mut out);
        assert_eq!(out, b".\r\n");
    }

    #[test]
    fn what_a_content_has() {
        let content = Content::new(Bytes::from_static("A: b\r\n\r\nü\r\n".as_bytes()));
        assert!(content.has_8bit && !content.header_has_8bit && content.is_lines);
        assert!(Content::new(Bytes::from_static("A: ü\r\n\r\n".as_bytes())).header_has_8bit);
        assert_eq!(
            hops(b"Received: a\r\n b\r\nreceived: c\r\nX-Received: d\r\n\r\nReceived: body\r\n"),
            2
        );
    }
}
