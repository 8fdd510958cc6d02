//! A part's content: without its transfer encoding (RFC 2045 6), and as text.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::GeneralPurpose};

use crate::structure::Part;

pub mod charset;

/// The bytes of `body` without the transfer encoding `encoding` (lower case). Whatever can't be decoded is
/// passed over; an unknown encoding leaves the bytes as they are.
pub fn decode<'a>(body: &'a [u8], encoding: &[u8]) -> Cow<'a, [u8]> {
    match encoding {
        b"base64" => Cow::Owned(base64(body)),
        b"quoted-printable" => Cow::Owned(quoted_printable(body)),
        b"x-uuencode" | b"uuencode" | b"x-uue" | b"uue" => {
            uuencoded(body).map_or(Cow::Borrowed(body), Cow::Owned)
        }
        _ => Cow::Borrowed(body),
    }
}

/// The part's raw body in the source; empty where the structure isn't that source's.
pub fn raw<'a>(source: &'a [u8], part: &Part) -> &'a [u8] {
    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
    source
        .get(at(part.body.start)..at(part.body.end))
        .unwrap_or_default()
}

/// The part's decoded content.
pub fn data<'a>(source: &'a [u8], part: &Part) -> Cow<'a, [u8]> {
    decode(raw(source, part), &part.encoding)
}

/// The size of [`data`], mostly without decoding: one pass over base64, none over what isn't encoded.
pub fn data_size(source: &[u8], part: &Part) -> u64 {
    let raw = raw(source, part);
    if part.encoding == b"base64" {
        return base64_size(raw);
    }
    decode(raw, &part.encoding).len() as u64
}

/// How many bytes [`base64`] makes of `text`.
fn base64_size(text: &[u8]) -> u64 {
    let digit = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let (digits, padding) = text.split_at(memchr::memchr(b'=', text).unwrap_or(text.len()));
    if padding.iter().any(|byte| digit(&byte)) {
        // Several encodings in a row, each with its own odd end.
        return base64(text).len() as u64;
    }
    digits.iter().filter(digit).count() as u64 * 3 / 4
}

/// The part's content as text.
pub fn text(source: &[u8], part: &Part) -> String {
    let charset = part.parameter("charset").unwrap_or_default();
    charset::decode(&data(source, part), charset).into_owned()
}

/// Decodes base64 (RFC 2045 6.8): characters outside the alphabet are passed over, padding in the middle
/// begins anew, the end may be missing.
pub fn base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut clean = Vec::with_capacity(text.len());
    clean.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
    if ENGINE.decode_vec(&clean, &mut out).is_ok() {
        return out;
    }
    out.clear();
    let (mut bits, mut count) = (0u32, 0);
    for &byte in &clean {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    out
}

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes quoted-printable (RFC 2045 6.7): white space at line ends goes, a `=` that begins nothing stays.
pub fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let content = line.trim_ascii_end();
        let end: &[u8] = match line {
            [.., b'\r', b'\n'] => b"\r\n",
            [.., b'\n'] => b"\n",
            _ => b"",
        };
        let soft = content.last() == Some(&b'=');
        let content = &content[..content.len() - usize::from(soft)];
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'=', &content[at..]) {
            out.extend_from_slice(&content[at..at + found]);
            at += found + 1;
            let digit = |at: usize| content.get(at).and_then(|&byte| (byte as char).to_digit(16));
            if let (Some(high), Some(low)) = (digit(at), digit(at + 1)) {
                out.push((high * 16 + low) as u8);
                at += 2;
            } else {
                out.push(b'=');
            }
        }
        out.extend_from_slice(&content[at..]);
        if !soft {
            out.extend_from_slice(end);
        }
    }
    out
}

/// Decodes uuencoded text from its `begin` line on; `None` without one.
pub fn uuencoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find(|line| line.starts_with(b"begin "))?;
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for line in lines {
        let Some((&length, coded)) = line.split_first() else {
            continue;
        };
        if line == b"end" || !(b' '..=b'`').contains(&length) {
            break;
        }
        let length = usize::from(length.wrapping_sub(b' ') & 0x3f);
        let end = out.len() + length;
        for group in coded.chunks(4) {
            let value = |at: usize| u32::from(group.get(at).unwrap_or(&b' ').wrapping_sub(b' ') & 0x3f);
            let bits = value(0) << 18 | value(1) << 12 | value(2) << 6 | value(3);
            let decoded = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
            let room = end.saturating_sub(out.len()).min(3);
            out.extend_from_slice(&decoded[..room]);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_lenient() {
        assert_eq!(base64(b"aGVs\r\nbG8="), b"hello");
        assert_eq!(base64(b"aGVsbG8"), b"hello");
        assert_eq!(base64(b"aGk=aGk="), b"hihi");
        assert_eq!(base64(b"a!G-k="), b"hi");
        assert_eq!(base64(b"A"), b"");
    }

    #[test]
    fn base64_sizes_are_exact() {
        for text in [
            "",
            "aGVs\r\nbG8=",
            "aGVsbG8",
            "aGk=aGk=",
            "a=a=a=",
            "a!G-k=\n",
            "A",
            "====",
            "YWI=\n--",
        ] {
            assert_eq!(
                base64_size(text.as_bytes()),
                base64(text.as_bytes()).len() as u64,
                "{text}"
            );
        }
    }

    #[test]
    fn quoted_printable_is_lenient() {
        assert_eq!(quoted_printable(b"a=3Db=\r\nc \t\r\nd=zz=4"), b"a=bc\r\nd=zz=4");
        assert_eq!(quoted_printable(b"=c3=BC\n"), "ü\n".as_bytes());
        assert_eq!(quoted_printable(b"soft= \nend="), b"softend");
    }

    #[test]
    fn uuencode() {
        let text = b"intro\nbegin 644 a.txt\n#0V%T\n`\nend\n";
        assert_eq!(uuencoded(text).as_deref(), Some(&b"Cat"[..]));
        assert_eq!(uuencoded(b"none"), None);
        assert_eq!(&*decode(b"begin 6 a\n#0V%T", b"x-uuencode"), b"Cat");
    }
}
