//! What the charsets of mail say: the names are those of [`ringpost_mapi::charset`], and what they are worth.

use std::borrow::Cow;

use encoding_rs::WINDOWS_1252;
use ringpost_mapi::charset::Charset;

/// The text of `bytes` in the charset with this name. Without a name, with an unknown one, or with one that says
/// nothing of 8-bit bytes, it is UTF-8 where that fits and Windows-1252 otherwise.
pub fn decode<'a>(bytes: &'a [u8], name: &[u8]) -> Cow<'a, str> {
    match named(bytes, name) {
        Some(charset) => charset.decode(bytes),
        None if std::str::from_utf8(bytes).is_ok() => String::from_utf8_lossy(bytes),
        None => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// The charset to read `bytes` by; `None` where its name is not to be asked.
fn named(bytes: &[u8], name: &[u8]) -> Option<Charset> {
    let name = name.trim_ascii();
    let starts = |prefix: &[u8]| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    // Nearly all mail, without a look into the tables.
    let usual = name.is_empty()
        || starts(b"utf-8")
        || starts(b"us-ascii")
        || starts(b"iso-8859-")
        || starts(b"windows-");
    if usual && bytes.is_ascii() {
        return None;
    }
    if name.eq_ignore_ascii_case(b"utf-8") {
        return Some(Charset::UTF_8);
    }
    let charset = if name.eq_ignore_ascii_case(b"utf8mb4") {
        Charset::UTF_8
    } else {
        Charset::for_name(name)?
    };
    // Latin-1 and ASCII are what programs write that don't know.
    let means_it = name.windows(4).any(|four| four == b"1252");
    (charset.web() != Some(WINDOWS_1252) || means_it).then_some(charset)
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
        _ if name.starts_with(b"iso-2022-jp") => return 50220,
        b"iso-2022-kr" => return 50225,
        b"hz-gb-2312" => return 52936,
        b"iso-8859-9" => return 28599,
        _ => {}
    }
    let charset = Charset::for_name(&name);
    let web = charset.and_then(Charset::web).map(encoding_rs::Encoding::name);
    let found = web.and_then(|web| PAGES.iter().find(|(known, _)| *known == web));
    // Of the others those whose name is a number that Windows has.
    let by_number = || {
        let digits = name
            .iter()
            .rposition(|byte| !byte.is_ascii_digit())
            .map_or(0, |at| at + 1);
        let page = std::str::from_utf8(&name[digits..]).ok()?.parse().ok()?;
        charset.filter(|charset| Charset::for_code_page(page) == Some(*charset))?;
        Some(page)
    };
    found.map(|&(_, page)| page).or_else(by_number).unwrap_or(UTF_8)
}

const UTF_8: u32 = 65001;

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
        assert_eq!(decode(b"\x81", b"cp437"), "ü");
        assert_eq!(decode(b"\xe1", b"IBM-850"), "ß");
        assert_eq!(decode(b"\xc8\x85\x93\x93\x96", b"cp037"), "Hello");
        assert_eq!(decode(b"\x80", b"x-mac-roman"), "Ä");
        assert_eq!(decode(b"a\0\xfc\0", b"utf-16"), "aü");
        assert_eq!(decode(b"\0a\0\xfc", b"utf-16"), "aü");
        assert_eq!(decode("ü".as_bytes(), b"latin1"), "ü");
        assert_eq!(decode(b"\x88\x61", b"johab"), "가");
    }

    #[test]
    fn code_pages() {
        for (name, page) in [
            ("utf-8", 65001),
            ("US-ASCII", 20127),
            ("koi8-r", 20866),
            ("latin1", 28591),
            ("cp437", 437),
            ("IBM850", 850),
            ("iso-2022-jp", 50220),
            ("nonsense-850", 65001),
        ] {
            assert_eq!(code_page(name.as_bytes()), page, "{name}");
        }
    }
}
