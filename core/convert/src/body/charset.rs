//! Charsets that mail uses: those of the web, UTF-7, UTF-32, HZ and ISO-2022-KR.

use std::borrow::Cow;

use encoding_rs::{EUC_KR, Encoding, GBK, UTF_8, WINDOWS_1252};

/// The text of `bytes` in the charset with this name. Without a name, or with an unknown one, it is UTF-8
/// where that fits and Windows-1252 otherwise.
pub fn decode<'a>(bytes: &'a [u8], name: &[u8]) -> Cow<'a, str> {
    let name = name.trim_ascii().to_ascii_lowercase();
    match name.as_slice() {
        b"utf-7" | b"unicode-1-1-utf-7" | b"csutf7" => return Cow::Owned(utf_7(bytes)),
        b"utf-32" | b"utf-32be" | b"utf-32le" => return Cow::Owned(utf_32(bytes, &name)),
        b"hz-gb-2312" | b"hz" => return Cow::Owned(shifted_hz(bytes)),
        b"iso-2022-kr" | b"csiso2022kr" => return Cow::Owned(shifted_kr(bytes)),
        _ => {}
    }
    if bytes.is_ascii() && !name.starts_with(b"iso-2022") && !name.starts_with(b"utf-16") {
        return String::from_utf8_lossy(bytes);
    }
    match named(&name) {
        Some(encoding) => encoding.decode(bytes).0,
        None if std::str::from_utf8(bytes).is_ok() => String::from_utf8_lossy(bytes),
        None => WINDOWS_1252.decode(bytes).0,
    }
}

/// The encoding with this lower-case name; `None` for those that say nothing of 8-bit bytes.
fn named(name: &[u8]) -> Option<&'static Encoding> {
    let encoding = match name {
        b"us-ascii" | b"ascii" | b"ansi_x3.4-1968" | b"iso-8859-1" | b"unknown-8bit" => return None,
        b"utf8mb4" | b"utf_8" => UTF_8,
        _ => {
            let windows = name.strip_prefix(b"cp").filter(|rest| rest.starts_with(b"125"));
            match windows {
                Some(number) => Encoding::for_label(&[b"windows-", number].concat())?,
                None => Encoding::for_label_no_replacement(name)?,
            }
        }
    };
    Some(encoding)
}

/// The Windows code page of a charset (`PidTagInternetCodepage`); 65001, UTF-8, where there is none.
pub fn code_page(name: &[u8]) -> u32 {
    const PAGES: &[(&str, u32)] = &[
        ("Big5", 950),
        ("EUC-JP", 51932),
        ("EUC-KR", 949),
        ("gb18030", 54936),
        ("GBK", 936),
        ("IBM866", 866),
        ("ISO-2022-JP", 50220),
        ("ISO-8859-2", 28592),
        ("ISO-8859-3", 28593),
        ("ISO-8859-4", 28594),
        ("ISO-8859-5", 28595),
        ("ISO-8859-6", 28596),
        ("ISO-8859-7", 28597),
        ("ISO-8859-8", 28598),
        ("ISO-8859-13", 28603),
        ("ISO-8859-15", 28605),
        ("KOI8-R", 20866),
        ("KOI8-U", 21866),
        ("macintosh", 10000),
        ("Shift_JIS", 932),
        ("windows-874", 874),
        ("windows-1250", 1250),
        ("windows-1251", 1251),
        ("windows-1252", 1252),
        ("windows-1253", 1253),
        ("windows-1254", 1254),
        ("windows-1255", 1255),
        ("windows-1256", 1256),
        ("windows-1257", 1257),
        ("windows-1258", 1258),
    ];
    let name = name.trim_ascii().to_ascii_lowercase();
    match name.as_slice() {
        b"us-ascii" | b"ascii" => return 20127,
        b"iso-8859-1" | b"latin1" => return 28591,
        b"utf-7" => return 65000,
        b"iso-8859-9" => return 28599,
        _ => {}
    }
    let found = named(&name).and_then(|encoding| PAGES.iter().find(|(known, _)| *known == encoding.name()));
    found.map_or(65001, |&(_, page)| page)
}

/// RFC 2152.
fn utf_7(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'+' {
            out.push(if byte.is_ascii() { byte as char } else { '\u{fffd}' });
            continue;
        }
        let rest = &bytes[at..];
        let length = rest
            .iter()
            .take_while(|&&byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
            .count();
        if length == 0 {
            out.push('+');
        } else {
            let units = super::base64(&rest[..length]);
            let units = units
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            out.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')));
        }
        at += length + usize::from(rest.get(length) == Some(&b'-'));
    }
    out
}

fn utf_32(bytes: &[u8], name: &[u8]) -> String {
    let little = name.ends_with(b"le") || (!name.ends_with(b"be") && bytes.starts_with(&[0xff, 0xfe, 0, 0]));
    let scalars = bytes.chunks_exact(4).map(|four| {
        let four = [four[0], four[1], four[2], four[3]];
        if little {
            u32::from_le_bytes(four)
        } else {
            u32::from_be_bytes(four)
        }
    });
    scalars
        .filter(|&scalar| scalar != 0xfeff)
        .map(|scalar| char::from_u32(scalar).unwrap_or('\u{fffd}'))
        .collect()
}

/// RFC 1843: `~{` and `~}` switch GB 2312 on and off.
fn shifted_hz(bytes: &[u8]) -> String {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut shifted = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let step = match (byte, bytes.get(at + 1)) {
            (b'~', Some(b'{')) => {
                shifted = true;
                2
            }
            (b'~', Some(b'}')) => {
                shifted = false;
                2
            }
            (b'~', Some(b'\n')) => 2,
            (b'~', Some(b'~')) if !shifted => {
                plain.push(b'~');
                2
            }
            _ => {
                shifted &= byte != b'\n';
                plain.push(if shifted { byte | 0x80 } else { byte });
                1
            }
        };
        at += step;
    }
    GBK.decode_without_bom_handling(&plain).0.into_owned()
}

/// RFC 1557: shift-out and shift-in switch KS C 5601 on and off.
fn shifted_kr(bytes: &[u8]) -> String {
    let header = bytes.strip_prefix(b"\x1b$)C").unwrap_or(bytes);
    let mut plain = Vec::with_capacity(header.len());
    let mut shifted = false;
    for &byte in header {
        match byte {
            0x0e => shifted = true,
            0x0f => shifted = false,
            _ if shifted && byte > b' ' => plain.push(byte | 0x80),
            _ => plain.push(byte),
        }
    }
    EUC_KR.decode_without_bom_handling(&plain).0.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_of_mail() {
        assert_eq!(decode(b"Hi Mom -+Jjo--!", b"UTF-7"), "Hi Mom -\u{263a}-!");
        assert_eq!(decode(b"1 +- 1", b"utf-7"), "1 + 1");
        assert_eq!(decode(b"\xfcber", b"ISO-8859-1"), "über");
        assert_eq!(decode("über".as_bytes(), b"us-ascii"), "über");
        assert_eq!(decode(b"\xfcber", b"x-nonsense"), "über");
        assert_eq!(decode(b"\x1b$B$\"\x1b(B", b"iso-2022-jp"), "あ");
        assert_eq!(decode(b"~{VPND~}", b"hz-gb-2312"), "中文");
        assert_eq!(decode(b"\x1b$)C\x0e0!\x0f", b"iso-2022-kr"), "가");
        assert_eq!(decode(b"\0\0\0a", b"utf-32be"), "a");
        assert_eq!(decode(b"\x80", b"cp1252"), "€");
    }

    #[test]
    fn code_pages() {
        for (name, page) in [
            ("utf-8", 65001),
            ("US-ASCII", 20127),
            ("koi8-r", 20866),
            ("latin1", 28591),
        ] {
            assert_eq!(code_page(name.as_bytes()), page, "{name}");
        }
    }
}
