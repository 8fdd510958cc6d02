//! Code pages of `PtypString8` values, by their Windows numbers.

use std::borrow::Cow;

use encoding_rs::Encoding;

use crate::charset::Charset;

/// The web's encoding of a Windows code page number; `None` for others, which [`Charset::for_code_page`] may know.
pub fn encoding(code_page: u32) -> Option<&'static Encoding> {
    let label = match code_page {
        1252 | 20127 | 28591 => "windows-1252",
        866 => "ibm866",
        874 => "windows-874",
        932 => "shift_jis",
        50220..=50222 => "iso-2022-jp",
        936 => "gbk",
        949 => "euc-kr",
        950 => "big5",
        1250 => "windows-1250",
        1251 => "windows-1251",
        1253 => "windows-1253",
        1254 | 28599 => "windows-1254",
        1255 => "windows-1255",
        1256 => "windows-1256",
        1257 => "windows-1257",
        1258 => "windows-1258",
        10000 => "macintosh",
        20866 => "koi8-r",
        20932 | 51932 => "euc-jp",
        21866 => "koi8-u",
        28592 => "iso-8859-2",
        28593 => "iso-8859-3",
        28594 => "iso-8859-4",
        28595 => "iso-8859-5",
        28596 => "iso-8859-6",
        28597 => "iso-8859-7",
        28598 => "iso-8859-8",
        28603 => "iso-8859-13",
        28605 => "iso-8859-15",
        38598 => "iso-8859-8-i",
        51949 => "euc-kr",
        54936 => "gb18030",
        65001 => "utf-8",
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

/// The text of bytes in a code page; what can't be decoded becomes U+FFFD. An unknown code page is read as
/// Windows-1252, in which every byte means something.
pub fn decode(bytes: &[u8], code_page: u32) -> Cow<'_, str> {
    if let Some(encoding) = encoding(code_page) {
        return encoding.decode_without_bom_handling(bytes).0;
    }
    match Charset::for_code_page(code_page) {
        Some(charset) => charset.decode(bytes),
        None => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// The text's bytes in a code page; what the code page lacks becomes a question mark.
pub fn encode(text: &str, code_page: u32) -> Cow<'_, [u8]> {
    if encoding(code_page).is_none()
        && let Some(charset) = Charset::for_code_page(code_page)
        && charset.single_byte_of('a').is_some()
    {
        let bytes = text.chars().map(|character| charset.single_byte_of(character));
        return Cow::Owned(bytes.map(|byte| byte.unwrap_or(b'?')).collect());
    }
    let encoding = encoding(code_page).unwrap_or(encoding_rs::WINDOWS_1252);
    let (bytes, _, unmappable) = encoding.encode(text);
    if !unmappable {
        return bytes;
    }
    // The encoder writes what it lacks as HTML character references, so each character goes by itself.
    let mut out = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for character in text.chars() {
        let (bytes, _, unmappable) = encoding.encode(character.encode_utf8(&mut buffer));
        if unmappable {
            out.push(b'?');
        } else {
            out.extend_from_slice(&bytes);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_passes_through_its_code_page() {
        assert_eq!(decode(b"Gr\xfc\xdfe", 1252), "Grüße");
        assert_eq!(&*encode("Grüße", 1252), b"Gr\xfc\xdfe");
        assert_eq!(decode(&encode("日本", 932), 932), "日本");
        assert_eq!(&*encode("日本", 65001), "日本".as_bytes());
        assert_eq!(&*encode("a日é", 1252), b"a?\xe9");
        assert_eq!(decode(b"\xff", 9999), "ÿ");
        // The pages of DOS are not those of Windows.
        assert_eq!(decode(b"Gr\x81\xe1e", 850), "Grüße");
        assert_eq!(&*encode("Grüße日", 437), b"Gr\x81\xe1e?");
        assert_eq!(decode(b"\xc8\x85\x93\x93\x96", 37), "Hello");
        assert_eq!(decode(b"a\0", 1200), "a");
    }
}
