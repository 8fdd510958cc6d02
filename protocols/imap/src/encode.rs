//! Writes the grammar's elements into a response: strings, flags, mailbox names (RFC 9051 §9).

use std::io::Write;

use ringpost_store::Flags;

use crate::syntax::{mailbox_name, reader::is_atom};

/// Longest string that is sent quoted; longer ones go as literals, which need no scan for quotes by the client.
const QUOTED_BYTES: usize = 4096;

/// System flags and how they are spelt.
pub(crate) const FLAG_NAMES: [(Flags, &str); 6] = [
    (Flags::ANSWERED, "\\Answered"),
    (Flags::FLAGGED, "\\Flagged"),
    (Flags::DELETED, "\\Deleted"),
    (Flags::SEEN, "\\Seen"),
    (Flags::DRAFT, "\\Draft"),
    (Flags::FORWARDED, "$Forwarded"),
];

/// Appends formatted text.
macro_rules! put {
    ($out:expr, $($argument:tt)*) => {{
        use std::io::Write as _;
        // Writing to a vector can't fail.
        let _ = write!($out, $($argument)*);
    }};
}
pub(crate) use put;

/// A number in decimal, without the machinery of formatting: long lists of them are sent.
pub(crate) fn number(out: &mut Vec<u8>, number: u32) {
    number64(out, number.into());
}

/// [`number`] of 64 bits.
pub(crate) fn number64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `string`: quoted where it may be, else a literal. `utf8`: the client takes UTF-8 in quoted strings.
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8], utf8: bool) {
    // No way out of the loop, so that the processor takes 16 bytes at once.
    let (mut plain, mut escapes) = (true, false);
    for &byte in bytes {
        plain &= (0x20..0x7f).contains(&byte) || byte == b'\t';
        escapes |= byte == b'"' || byte == b'\\';
    }
    let quotable = bytes.len() <= QUOTED_BYTES
        && (plain || utf8 && std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(['\r', '\n', '\0'])));
    if !quotable {
        let _ = write!(out, "{{{}}}\r\n", bytes.len());
        // A NUL can't be sent in a literal (RFC 9051 §4.3); it means nothing in a header either.
        out.extend(bytes.iter().map(|&b| if b == 0 { b' ' } else { b }));
        return;
    }
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if escapes {
        for &byte in bytes {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

/// `astring`
pub(crate) fn astring(out: &mut Vec<u8>, bytes: &[u8], utf8: bool) {
    if !bytes.is_empty() && bytes.iter().copied().all(is_atom) && !bytes.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(bytes);
    } else {
        string(out, bytes, utf8);
    }
}

/// `nstring`
pub(crate) fn nstring(out: &mut Vec<u8>, bytes: Option<&[u8]>, utf8: bool) {
    match bytes {
        Some(bytes) => string(out, bytes, utf8),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `mailbox`
pub(crate) fn mailbox(out: &mut Vec<u8>, name: &str, utf8: bool) {
    astring(out, mailbox_name::encode(name, utf8).as_bytes(), utf8);
}

/// `flag-list`
pub(crate) fn flags(out: &mut Vec<u8>, flags: Flags, keywords: &[String], recent: bool) {
    out.push(b'(');
    let system = FLAG_NAMES
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|&(_, name)| name);
    let all = system
        .chain(recent.then_some("\\Recent"))
        .chain(keywords.iter().map(String::as_str));
    for (index, name) in all.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b')');
}

/// Flags that a client named, as system flags and keywords. `None` when one is not known: `\Recent` and
/// other names with a backslash can't be set.
pub(crate) fn parse_flags(names: &[String]) -> Option<(Flags, Vec<String>)> {
    let (mut flags, mut keywords) = (Flags::empty(), Vec::<String>::new());
    for name in names {
        if let Some((flag, _)) = FLAG_NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
        {
            flags |= *flag;
        } else if name.starts_with('\\') {
            return None;
        } else if !keywords.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            keywords.push(name.clone());
        }
    }
    Some((flags, keywords))
}

/// `sequence-set` of ascending ranges.
pub(crate) fn ranges(out: &mut Vec<u8>, ranges: impl IntoIterator<Item = std::ops::RangeInclusive<u32>>) {
    for (index, range) in ranges.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        number(out, *range.start());
        if range.start() != range.end() {
            out.push(b':');
            number(out, *range.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings() {
        assert_eq!(written(|o| string(o, b"a \"b\\", false)), "\"a \\\"b\\\\\"");
        assert_eq!(written(|o| string(o, "ü".as_bytes(), false)), "{2}\r\nü");
        assert_eq!(written(|o| string(o, "ü".as_bytes(), true)), "\"ü\"");
        assert_eq!(written(|o| string(o, b"a\r\nb\0", true)), "{5}\r\na\r\nb ");
        assert_eq!(
            written(|o| string(o, &[b'x'; QUOTED_BYTES + 1], true))[..8],
            *"{4097}\r\n"
        );
        assert_eq!(written(|o| nstring(o, None, true)), "NIL");
        assert_eq!(written(|o| mailbox(o, "Entwürfe", false)), "Entw&APw-rfe");
        assert_eq!(written(|o| mailbox(o, "Sent Items", false)), "\"Sent Items\"");
        assert_eq!(written(|o| mailbox(o, "nil", false)), "\"nil\"");
        assert_eq!(written(|o| mailbox(o, "", false)), "\"\"");
    }

    #[test]
    fn numbers() {
        for value in [0, 7, 10, 99, 100, 12_345, u32::MAX] {
            assert_eq!(written(|o| number(o, value)), value.to_string());
        }
        assert_eq!(written(|o| number64(o, u64::MAX)), u64::MAX.to_string());
    }

    #[test]
    fn flag_lists() {
        let names = ["\\seen", "$forwarded", "Work", "work"].map(str::to_owned);
        let (flags, keywords) = parse_flags(&names).unwrap();
        assert_eq!(
            written(|o| super::flags(o, flags, &keywords, true)),
            "(\\Seen $Forwarded \\Recent Work)"
        );
        assert_eq!(parse_flags(&["\\Recent".to_owned()]), None);
    }
}
