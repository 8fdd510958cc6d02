//! From 8-bit or binary MIME to 7-bit, for a server that takes nothing else (RFC 6152 §3).
//!
//! Text becomes quoted-printable, all else base64; fields that are not ASCII lose what can't be said. Signatures over
//! converted parts break, as they do with every server that converts: RFC 1847 §2.1 has signed parts 7-bit.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ringpost_convert::structure::{Children, Part, Structure};

/// Octets of a line of base64, and of quoted-printable.
const LINE: usize = 76;

/// The message without 8-bit bytes. `None`: not possible, such as for parts that are damaged.
pub(crate) fn to_seven_bit(message: &[u8]) -> Option<Vec<u8>> {
    let structure = Structure::of(message);
    let mut edits = Vec::new();
    edit(message, &structure.root, &mut edits);
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(message.len() + message.len() / 4);
    let mut at = 0;
    for (range, replacement) in edits {
        if range.start < at || range.end > message.len() {
            return None;
        }
        out.extend_from_slice(&message[at..range.start]);
        out.extend_from_slice(&replacement);
        at = range.end;
    }
    out.extend_from_slice(&message[at..]);
    // What stands between parts (preambles, say) is nobody's content.
    for byte in &mut out {
        if !byte.is_ascii() {
            *byte = b'?';
        }
    }
    Some(out)
}

fn edit(message: &[u8], part: &Part, edits: &mut Vec<(Range<usize>, Vec<u8>)>) {
    let range = |range: &Range<u64>| range.start as usize..(range.end as usize).min(message.len());
    let header = range(&part.header);
    let body = range(&part.body);
    let content = message.get(body.clone()).unwrap_or_default();
    let unfit = !content.is_ascii() || part.encoding == b"binary";
    match &part.children {
        Children::Multipart(children) if !children.is_empty() => {
            if unfit || part.encoding == b"8bit" {
                edits.push((header.clone(), with_encoding(&message[header], "7bit")));
            }
            for child in children {
                edit(message, child, edits);
            }
        }
        Children::Message(inner) => {
            if unfit || part.encoding == b"8bit" {
                edits.push((header.clone(), with_encoding(&message[header], "7bit")));
            }
            edit(message, &inner.root, edits);
        }
        _ if unfit && !content.is_empty() => {
            let text = part.media_type.is_empty() || part.media_type == b"text";
            let (name, encoded) = if text && part.encoding != b"binary" {
                ("quoted-printable", quoted_printable(content))
            } else {
                ("base64", base64(content))
            };
            edits.push((header.clone(), with_encoding(&message[header], name)));
            edits.push((body, encoded));
        }
        _ => {}
    }
}

/// A header with another Content-Transfer-Encoding.
fn with_encoding(header: &[u8], encoding: &str) -> Vec<u8> {
    const NAME: &[u8] = b"content-transfer-encoding:";
    let mut out = Vec::with_capacity(header.len() + 48);
    let mut dropping = false;
    let mut ended = false;
    let field = format!("Content-Transfer-Encoding: {encoding}\r\n");
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() && !ended {
            ended = true;
            out.extend_from_slice(field.as_bytes());
        } else if line.first().is_some_and(|first| matches!(first, b' ' | b'\t')) {
            if dropping {
                continue;
            }
        } else {
            dropping = line.len() >= NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME);
            if dropping {
                continue;
            }
        }
        out.extend_from_slice(line);
    }
    if !ended {
        out.extend_from_slice(field.as_bytes());
    }
    out
}

fn base64(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() * 4 / 3 + content.len() / 28 + 4);
    for piece in content.chunks(LINE / 4 * 3) {
        out.extend_from_slice(STANDARD.encode(piece).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// RFC 2045 §6.7.
fn quoted_printable(content: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(content.len() + content.len() / 2);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let (text, ended) = match line.strip_suffix(b"\r\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        let mut length = 0;
        for (at, &byte) in text.iter().enumerate() {
            let last = at + 1 == text.len();
            let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (matches!(byte, b' ' | b'\t') && !last);
            let width = if plain { 1 } else { 3 };
            if length + width > LINE - 1 {
                out.extend_from_slice(b"=\r\n");
                length = 0;
            }
            if plain {
                out.push(byte);
            } else {
                out.extend_from_slice(&[b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            length += width;
        }
        if ended {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringpost_convert::body;

    #[test]
    fn parts_keep_their_content() {
        let message = "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding:\r\n 8bit\r\n\r\nGrüße = \r\nzwei \r\n--b\r\n\
             Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n\r\nü\r\n--b\r\n\
             Content-Type: message/rfc822\r\n\r\nSubject: ü\r\n\r\nKörper\r\n--b--\r\n"
            .as_bytes();
        let seven = to_seven_bit(message).unwrap();
        assert!(seven.is_ascii());
        assert!(!String::from_utf8_lossy(&seven).contains("8bit"));
        let leaves = |source: &[u8]| {
            let structure = Structure::of(source);
            let Children::Multipart(parts) = structure.root.children else {
                panic!("no multipart");
            };
            let Children::Message(inner) = &parts[2].children else {
                panic!("no message");
            };
            [&parts[0], &parts[1], &inner.root].map(|part| body::data(source, part).into_owned())
        };
        assert_eq!(leaves(&seven), leaves(message));
    }

    #[test]
    fn a_message_without_mime_gets_an_encoding() {
        let seven = to_seven_bit("Subject: s\r\n\r\nä\r\n".as_bytes()).unwrap();
        let expected = "Subject: s\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n";
        assert_eq!(String::from_utf8(seven).unwrap(), expected);
        let long = "\r\n".to_owned() + &"ä".repeat(100) + "\r\n";
        let seven = to_seven_bit(long.as_bytes()).unwrap();
        assert!(seven.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
    }
}
