//! Makes a binary message (BINARYMIME, RFC 3030 §3) one of lines: binary parts become base64, and all around
//! them has CRLF line ends. No later reader has to know of it: IMAP and POP3 clients, and servers that mail goes
//! on to, take lines only.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::STANDARD};
use ringpost_convert::{
    header,
    structure::{Children, Part, Structure},
};

use crate::ChunkDecoder;

/// Longest line without its CRLF (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;
/// Bytes that make a line of base64 (RFC 2045 §6.8).
const BYTES_A_LINE: usize = 57;

/// The message in lines.
pub(crate) fn to_lines(source: &[u8]) -> Vec<u8> {
    let mut edits = Vec::new();
    collect(source, &Structure::of(source).root, &mut edits);
    edits.sort_by_key(|edit| edit.range.start);
    let mut out = Vec::with_capacity(source.len() / 2 * 3);
    let mut lines = ChunkDecoder::new(u64::MAX, false);
    let mut at = 0;
    for edit in edits {
        // Ranges of a structure don't overlap; were one to, its bytes stay as they are.
        let Some(before) = source.get(at..edit.range.start) else {
            continue;
        };
        lines.push(before, &mut out);
        lines.push(&edit.replacement, &mut out);
        at = edit.range.end;
    }
    lines.push(source.get(at..).unwrap_or_default(), &mut out);
    lines.finish(&mut out);
    out
}

/// Something that takes the place of a range of the source.
struct Edit {
    range: Range<usize>,
    replacement: Vec<u8>,
}

fn collect(source: &[u8], part: &Part, edits: &mut Vec<Edit>) {
    if part.encoding == b"binary" {
        let body = part.body.start as usize..part.body.end as usize;
        let bytes = source.get(body.clone()).unwrap_or_default();
        let is_leaf = matches!(part.children, Children::None);
        let becomes_base64 = is_leaf && !is_lines(bytes);
        let encoding = if becomes_base64 { "base64" } else { "8bit" };
        let header = part.header.start as usize..part.header.end as usize;
        if let Some(edit) = with_encoding(source, header, encoding) {
            edits.push(edit);
            if becomes_base64 {
                edits.push(Edit {
                    range: body,
                    replacement: base64_lines(bytes),
                });
            }
        }
    }
    match &part.children {
        Children::None => {}
        Children::Multipart(parts) => parts.iter().for_each(|part| collect(source, part, edits)),
        Children::Message(inner) => collect(source, &inner.root, edits),
    }
}

/// Writes `Content-Transfer-Encoding` of a part anew.
fn with_encoding(source: &[u8], header: Range<usize>, encoding: &str) -> Option<Edit> {
    let bytes = source.get(header.clone())?;
    let field = header::field(bytes, "Content-Transfer-Encoding")?;
    let start = header.start + (field.line.as_ptr().addr() - bytes.as_ptr().addr());
    Some(Edit {
        range: start..start + field.line.len(),
        replacement: format!("Content-Transfer-Encoding: {encoding}\r\n").into_bytes(),
    })
}

/// Whether it is text in lines as it stands.
fn is_lines(bytes: &[u8]) -> bool {
    let mut length = 0;
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            0 | b'\n' => return false,
            b'\r' if rest.next() != Some(&b'\n') => return false,
            b'\r' => length = 0,
            _ => length += 1,
        }
        if length > LINE_MAX {
            return false;
        }
    }
    true
}

fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / BYTES_A_LINE * 78 + 78);
    for (number, line) in bytes.chunks(BYTES_A_LINE).enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_parts_become_base64_and_text_stays() {
        let source = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\r\n\
            Content-Transfer-Encoding: binary\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n\
            plain text\r\n--b\r\nContent-Type: application/octet-stream\r\n\
            content-transfer-encoding:\r\n  Binary\r\nContent-ID: <1>\r\n\r\na\0b\nc\rd\r\n--b--";
        let lines = String::from_utf8(to_lines(source)).unwrap();
        assert_eq!(
            lines,
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             plain text\r\n--b\r\nContent-Type: application/octet-stream\r\n\
             Content-Transfer-Encoding: base64\r\nContent-ID: <1>\r\n\r\nYQBiCmMNZA==\r\n--b--\r\n"
        );
        // What has no binary parts only gets its line ends.
        assert_eq!(to_lines(b"A: 1\n\nx\r\ny"), b"A: 1\r\n\r\nx\r\ny\r\n");
    }

    #[test]
    fn a_message_in_a_message_and_long_lines() {
        let long = "x".repeat(LINE_MAX + 1);
        let source = format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n\
             Subject: inner\r\nContent-Transfer-Encoding: binary\r\n\r\n{long}"
        );
        let lines = String::from_utf8(to_lines(source.as_bytes())).unwrap();
        let inner = "Content-Transfer-Encoding: 8bit\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        assert!(lines.contains(inner), "{lines}");
        assert!(lines.lines().all(|line| line.len() <= 76));
        let body: String = lines.rsplit("\r\n\r\n").next().unwrap().split("\r\n").collect();
        assert_eq!(STANDARD.decode(body).unwrap(), long.as_bytes());
    }
}
