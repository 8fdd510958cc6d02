//! Header fields: cutting, choosing, decoding encoded words (RFC 5322 §2.2, RFC 2047).

use std::borrow::Cow;

use base64::Engine;

/// The fields of a header, each with its line ends and folded lines; the closing empty line is not one.
pub(crate) fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let line = memchr::memchr(b'\n', &rest[end..]).map_or(rest.len(), |at| end + at + 1);
            if end == 0 && (line == 0 || matches!(&rest[..line], b"\r\n" | b"\n")) {
                return None;
            }
            end = line;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        Some(field)
    })
}

/// A field's name.
pub(crate) fn name(field: &[u8]) -> &[u8] {
    let end = memchr::memchr(b':', field).unwrap_or(field.len());
    field[..end].trim_ascii_end()
}

/// A field's value, raw.
pub(crate) fn value(field: &[u8]) -> &[u8] {
    memchr::memchr(b':', field).map_or(&[], |at| field[at + 1..].trim_ascii())
}

/// HEADER.FIELDS: the fields with these names (or all others), and the empty line.
pub(crate) fn choose(header: &[u8], names: &[String], not: bool, out: &mut Vec<u8>) {
    for field in fields(header) {
        let named = names
            .iter()
            .any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name(field)));
        if named != not {
            out.extend_from_slice(field);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The text of a field's value: unfolded, encoded words decoded, 8-bit bytes as UTF-8 or else Windows-1252.
pub(crate) fn decode(raw: &[u8]) -> String {
    let unfolded: Vec<u8> = raw
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    let text: Cow<'_, str> = match std::str::from_utf8(&unfolded) {
        Ok(text) => text.into(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(&unfolded).0,
    };
    let mut decoded = String::with_capacity(text.len());
    let mut rest: &str = &text;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at(start);
        let Some((text, length)) = encoded_word(word) else {
            decoded.push_str(before);
            decoded.push_str("=?");
            rest = &word[2..];
            after_word = false;
            continue;
        };
        // White space between two encoded words is no part of the text.
        if !(after_word && before.trim().is_empty()) {
            decoded.push_str(before);
        }
        decoded.push_str(&text);
        rest = &word[length..];
        after_word = true;
    }
    decoded.push_str(rest);
    decoded
}

/// The encoded word that a text begins with, decoded, and its length.
fn encoded_word(text: &str) -> Option<(String, usize)> {
    let mut fields = text[2..].splitn(4, '?');
    let (charset, encoding, encoded, rest) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    if !rest.starts_with('=') {
        return None;
    }
    let charset = charset.split('*').next()?;
    let charset = encoding_rs::Encoding::for_label_no_replacement(charset.as_bytes())?;
    let bytes = match encoding {
        "B" | "b" => base64_lenient(encoded),
        "Q" | "q" => q_decode(encoded.as_bytes()),
        _ => return None,
    };
    let length = text.len() - rest.len() + 1;
    Some((charset.decode_without_bom_handling(&bytes).0.into_owned(), length))
}

fn base64_lenient(text: &str) -> Vec<u8> {
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let engine = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    engine.decode(text.trim()).unwrap_or_default()
}

fn q_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'_' => out.push(b' '),
            b'=' => {
                let mut ahead = bytes.clone();
                let digits = (ahead.next(), ahead.next());
                let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
                if let (Some(high), Some(low)) = (digit(digits.0), digit(digits.1)) {
                    out.push((high << 4 | low) as u8);
                    bytes = ahead;
                } else {
                    out.push(byte);
                }
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_their_choice() {
        let header = b"From: a\r\nSubject: x\r\n y\r\nto : b\r\n\r\n";
        let names: Vec<_> = fields(header).map(name).collect();
        assert_eq!(names, [&b"From"[..], b"Subject", b"to"]);
        let mut out = Vec::new();
        choose(header, &["SUBJECT".into(), "To".into()], false, &mut out);
        assert_eq!(out, b"Subject: x\r\n y\r\nto : b\r\n\r\n");
        out.clear();
        choose(header, &["SUBJECT".into()], true, &mut out);
        assert_eq!(out, b"From: a\r\nto : b\r\n\r\n");
        assert_eq!(
            fields(b"").count() + fields(b"\r\n").count() + fields(b"\n").count(),
            0
        );
        assert_eq!(fields(b" odd\r\n").count(), 1);
    }

    #[test]
    fn encoded_words() {
        for (raw, text) in [
            ("=?ISO-8859-1?Q?Andr=E9?= x", "André x"),
            ("=?utf-8?b?8J+Ygg==?=\r\n =?utf-8?Q?a_b?=", "😂a b"),
            ("=?utf-8*en?B?w7w?=", "ü"),
            ("a =?x?", "a =?x?"),
            ("=?klingon?Q?x?=", "=?klingon?Q?x?="),
            ("=?=?utf-8?q?x?=", "=?x"),
            ("ü", "ü"),
        ] {
            assert_eq!(decode(raw.as_bytes()), text);
        }
        assert_eq!(decode(b"\xfc"), "ü");
    }
}
