//! Mailbox names on the wire: modified UTF-7 (RFC 3501 §5.1.3), or UTF-8 once the client enabled it.

use std::fmt::Write;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// The name that these bytes stand for. `None` for what is neither encoding, and for control characters.
pub(crate) fn decode(raw: &[u8], utf8: bool) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    // Without `utf8` bytes above 127 are not allowed, yet clients send them and mean UTF-8.
    let name = if utf8 || !text.is_ascii() {
        text.to_owned()
    } else {
        decode_utf7(text)?
    };
    (!name.chars().any(char::is_control)).then_some(name)
}

/// The name as it is sent.
pub(crate) fn encode(name: &str, utf8: bool) -> String {
    if utf8 { name.to_owned() } else { encode_utf7(name) }
}

fn decode_utf7(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, shifted)) = rest.split_once('&') {
        name.push_str(plain);
        let (encoded, after) = shifted.split_once('-')?;
        rest = after;
        if encoded.is_empty() {
            name.push('&');
            continue;
        }
        let (mut bits, mut count, mut units) = (0u32, 0, Vec::new());
        for byte in encoded.bytes() {
            let value = ALPHABET.iter().position(|&b| b == byte)? as u32;
            bits = bits << 6 | value;
            count += 6;
            if count >= 16 {
                count -= 16;
                units.push((bits >> count) as u16);
                bits &= (1 << count) - 1;
            }
        }
        // What is left over is padding: fewer than six bits, all zero.
        if count >= 6 || bits != 0 {
            return None;
        }
        for unit in char::decode_utf16(units) {
            name.push(unit.ok()?);
        }
    }
    name.push_str(rest);
    Some(name)
}

fn encode_utf7(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut units: Vec<u16> = Vec::new();
    for character in name.chars() {
        if (' '..='~').contains(&character) {
            flush(&mut units, &mut encoded);
            encoded.push(character);
            if character == '&' {
                encoded.push('-');
            }
        } else {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut units, &mut encoded);
    encoded
}

fn flush(units: &mut Vec<u16>, encoded: &mut String) {
    if units.is_empty() {
        return;
    }
    encoded.push('&');
    let (mut bits, mut count) = (0u32, 0);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            encoded.push(ALPHABET[(bits >> count & 63) as usize] as char);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        encoded.push(ALPHABET[(bits << (6 - count) & 63) as usize] as char);
    }
    let _ = encoded.write_char('-');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("Tom & Jerry", "Tom &- Jerry"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("📁", "&2D3cwQ-"),
        ] {
            assert_eq!(encode(name, false), wire);
            assert_eq!(decode(wire.as_bytes(), false).as_deref(), Some(name));
            assert_eq!(decode(name.as_bytes(), true).as_deref(), Some(name));
        }
        assert_eq!(decode(b"a&-b", true).as_deref(), Some("a&-b"));
        assert_eq!(decode("ü".as_bytes(), false).as_deref(), Some("ü"));
    }

    #[test]
    fn malformed() {
        for bad in [
            &b"&"[..],
            b"a&b",
            b"&A-",
            b"&APx-",
            b"&2D0-",
            b"&!!-",
            b"\xff",
            b"a\x01b",
            b"&AAo-",
        ] {
            assert_eq!(decode(bad, false), None, "{bad:?}");
        }
    }
}
