//! UTF-7, UTF-16 and UTF-32.

use super::Order;

/// RFC 2152. What is in between `+` and `-` is UTF-16 in base64.
pub(super) fn utf_7(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'+' {
            out.push(if byte.is_ascii() {
                char::from(byte)
            } else {
                char::REPLACEMENT_CHARACTER
            });
            continue;
        }
        let rest = &bytes[at..];
        let digits = rest.iter().map_while(|&byte| base64_digit(byte));
        let (mut length, mut bits, mut count) = (0, 0_u32, 0);
        let mut units = Vec::new();
        for digit in digits {
            length += 1;
            bits = bits << 6 | digit;
            count += 6;
            if count >= 16 {
                count -= 16;
                units.push((bits >> count) as u16);
                bits &= (1 << count) - 1;
            }
        }
        if length == 0 {
            out.push('+');
        }
        push_units(units, &mut out);
        at += length + usize::from(rest.get(length) == Some(&b'-'));
    }
    out
}

/// What a character of base64 stands for (RFC 4648 §4): six bits. `None`: it is none, or the padding.
#[inline]
pub fn base64_digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

fn push_units(units: impl IntoIterator<Item = u16>, out: &mut String) {
    let decoded = char::decode_utf16(units);
    out.extend(decoded.map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

/// UTF-16. Without a mark it is the order that makes more of the text Latin: spaces and line ends are everywhere.
/// (RFC 2781 4.3 would have it big-endian, most programs write it little-endian.)
pub(super) fn utf_16(bytes: &[u8], order: Order) -> String {
    let (bytes, big) = match (bytes, order) {
        ([0xfe, 0xff, rest @ ..], Order::Marked | Order::Big) => (rest, true),
        ([0xff, 0xfe, rest @ ..], Order::Marked | Order::Little) => (rest, false),
        (_, Order::Big) => (bytes, true),
        (_, Order::Little) => (bytes, false),
        (_, Order::Marked) => {
            let zeros = |first: usize| {
                bytes
                    .iter()
                    .skip(first)
                    .step_by(2)
                    .filter(|&&byte| byte == 0)
                    .count()
            };
            (bytes, zeros(0) > zeros(1))
        }
    };
    let mut out = String::with_capacity(bytes.len() / 2);
    let units = bytes.chunks_exact(2).map(|pair| {
        let pair = [pair[0], pair[1]];
        if big {
            u16::from_be_bytes(pair)
        } else {
            u16::from_le_bytes(pair)
        }
    });
    push_units(units, &mut out);
    if bytes.len() % 2 == 1 {
        out.push(char::REPLACEMENT_CHARACTER);
    }
    out
}

/// UTF-32. Without a mark it is little-endian if the first unit is a character so, as Python on most machines has it.
pub(super) fn utf_32(bytes: &[u8], order: Order) -> String {
    let (bytes, big) = match (bytes, order) {
        ([0, 0, 0xfe, 0xff, rest @ ..], Order::Marked | Order::Big) => (rest, true),
        ([0xff, 0xfe, 0, 0, rest @ ..], Order::Marked | Order::Little) => (rest, false),
        (_, Order::Big) => (bytes, true),
        (_, Order::Little) => (bytes, false),
        (_, Order::Marked) => {
            let little = bytes.first_chunk().map(|four| u32::from_le_bytes(*four));
            (
                bytes,
                little.is_some_and(|scalar| char::from_u32(scalar).is_none()),
            )
        }
    };
    let mut out = String::with_capacity(bytes.len() / 4);
    out.extend(bytes.chunks_exact(4).map(|four| {
        let four = [four[0], four[1], four[2], four[3]];
        let scalar = if big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        };
        char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER)
    }));
    if bytes.len() % 4 > 0 {
        out.push(char::REPLACEMENT_CHARACTER);
    }
    out
}
