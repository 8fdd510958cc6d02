//! Encoded words (RFC 2047), as sloppily as mail has them.

use crate::body::{self, charset};

/// The text of an unfolded value: encoded words decoded, other 8-bit bytes as UTF-8 or Windows-1252.
///
/// Beyond RFC 2047: words inside other text, spaces in the quoted form, a language (RFC 2231 5), and
/// neighbouring words of one charset are joined before decoding, so that a character cut in two survives.
pub fn decode_text(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    let mut at = 0;
    // The bytes of neighbouring words of one charset.
    let mut pending: Option<(Vec<u8>, Vec<u8>)> = None;
    while let Some(found) = memchr::memmem::find(&value[at..], b"=?") {
        let start = at + found;
        let Some(word) = word(&value[start..]) else {
            flush(&mut pending, &mut out);
            out.push_str(&charset::decode(&value[at..start + 2], b""));
            at = start + 2;
            continue;
        };
        let between = &value[at..start];
        let adjacent = pending.is_some() && between.iter().all(u8::is_ascii_whitespace);
        if !adjacent {
            flush(&mut pending, &mut out);
            out.push_str(&charset::decode(between, b""));
        }
        match &mut pending {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) => {
                bytes.extend_from_slice(&word.bytes);
            }
            _ => {
                flush(&mut pending, &mut out);
                pending = Some((word.charset.to_vec(), word.bytes));
            }
        }
        at = start + word.length;
    }
    flush(&mut pending, &mut out);
    out.push_str(&charset::decode(&value[at..], b""));
    out.retain(|c| c != '\0');
    out
}

struct Word<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
    length: usize,
}

/// The encoded word at the start of `text`, which begins with `=?`.
fn word(text: &[u8]) -> Option<Word<'_>> {
    /// What a word may be long; RFC 2047 says 75, mail says more.
    const MAX_WORD: usize = 2048;
    let text = &text[..text.len().min(MAX_WORD)];
    let charset_end = 2 + memchr::memchr(b'?', &text[2..])?;
    let charset = &text[2..charset_end];
    let charset = charset.split(|&byte| byte == b'*').next().unwrap_or_default();
    if charset.is_empty() || charset.iter().any(u8::is_ascii_whitespace) {
        return None;
    }
    let encoding = *text.get(charset_end + 1)?;
    if text.get(charset_end + 2) != Some(&b'?') {
        return None;
    }
    let start = charset_end + 3;
    let content_length = memchr::memmem::find(text.get(start..)?, b"?=")?;
    let content = &text[start..start + content_length];
    let bytes = match encoding {
        b'b' | b'B' => body::base64(content),
        b'q' | b'Q' => {
            let spaced: Vec<u8> = content
                .iter()
                .map(|&b| if b == b'_' { b' ' } else { b })
                .collect();
            // Trailing spaces count here, unlike in a body.
            let kept = spaced.trim_ascii_end().len();
            let mut bytes = body::quoted_printable(&spaced[..kept]);
            bytes.extend_from_slice(&spaced[kept..]);
            bytes
        }
        _ => return None,
    };
    Some(Word {
        charset,
        bytes,
        length: start + content_length + 2,
    })
}

fn flush(pending: &mut Option<(Vec<u8>, Vec<u8>)>, out: &mut String) {
    if let Some((name, bytes)) = pending.take() {
        out.push_str(&charset::decode(&bytes, &name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_2047() {
        for (value, text) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=",
                "If you can read this yo",
            ),
            ("=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
        ] {
            assert_eq!(decode_text(value.as_bytes()), text, "{value}");
        }
    }

    #[test]
    fn sloppy_ones() {
        for (value, text) in [
            ("=?utf-8?B?w7w=?=x=?utf-8?q?y?=", "üxy"),
            ("=?utf-8?q?=C3?= =?UTF-8?q?=BC?=", "ü"),
            ("=?utf-8?q?a b?=", "a b"),
            ("a =? b =?x?z?c?= d", "a =? b =?x?z?c?= d"),
            ("=?utf-8?q?open", "=?utf-8?q?open"),
            ("=?", "=?"),
            ("über", "über"),
        ] {
            assert_eq!(decode_text(value.as_bytes()), text, "{value}");
        }
    }
}
