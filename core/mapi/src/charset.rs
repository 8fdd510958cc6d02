//! Charsets by their names: those of the web, and all others that Python knows.
//!
//! The web's come first, because mail means them: a text in `iso-8859-1` or `gb2312` has characters of
//! `windows-1252` or GBK. What browsers have given up (UTF-7, HZ, ISO-2022 of Korea), the pages of DOS, EBCDIC and the
//! Macintosh, and JIS X 0213 are read here, from tables that `charset/generate.py` makes of Python's codecs.

use std::borrow::Cow;

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK};

mod iso_2022;
mod names;
mod unicode;

pub use unicode::base64_digit;

/// How bytes are text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charset(Meaning);

/// What a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    /// One of the web's.
    Web(&'static Encoding),
    /// A byte a character: the tables of the bytes below 80, where they are not ASCII, and from 80.
    SingleByte(Option<u8>, u8),
    Utf7,
    Utf16(Order),
    Utf32(Order),
    Hz,
    Iso2022(Shifted),
    Johab,
    EucJis2004,
    ShiftJis2004,
}

/// Which byte of a unit comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// The mark at the beginning says it; without one what makes sense.
    Marked,
    Big,
    Little,
}

/// What ISO 2022's shift-out switches to if nothing is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shifted {
    /// JIS X 0201's other half.
    Katakana,
    /// KS X 1001.
    Hangul,
}

impl Charset {
    /// UTF-8.
    pub const UTF_8: Self = Self(Meaning::Web(&encoding_rs::UTF_8_INIT));

    /// The charset with this name, in any of the forms that programs write; `None` for unknown ones.
    pub fn for_name(name: &[u8]) -> Option<Self> {
        /// What names may be long.
        const MAX_NAME: usize = 64;
        let name = name.trim_ascii();
        if name.is_empty() || name.len() > MAX_NAME {
            return None;
        }
        let normal = normal_form(name);
        // Where the web's decoder can't, or knows less.
        let own = known(&normal);
        if let Some(meaning) = own
            && !matches!(meaning, Meaning::Web(_))
        {
            let web = matches!(meaning, Meaning::SingleByte(..))
                .then(|| Encoding::for_label_no_replacement(name))
                .flatten();
            return Some(web.map_or(Self(meaning), Self::of_web));
        }
        if let Some(web) = Encoding::for_label_no_replacement(name) {
            return Some(Self::of_web(web));
        }
        if let Some(meaning) = own {
            return Some(Self(meaning));
        }
        let bare = normal.strip_prefix("x_").or_else(|| normal.strip_prefix("cs"));
        if let Some(meaning) = bare.and_then(known) {
            return Some(Self(meaning));
        }
        [
            "windows_", "cp_", "ibm_", "ms_", "oem_", "dos_", "cp", "ibm", "ms", "x_cp", "x_ibm", "ccsid",
            "ibm_cp",
        ]
        .iter()
        .filter_map(|prefix| normal.strip_prefix(prefix))
        .find_map(|number| Self::for_code_page(number.parse().ok()?))
    }

    /// The charset of a Windows code page; `None` for unknown ones.
    pub fn for_code_page(page: u32) -> Option<Self> {
        let name = match page {
            1200 => "utf_16_le",
            1201 => "utf_16_be",
            12000 => "utf_32_le",
            12001 => "utf_32_be",
            65000 => "utf_7",
            1361 => "johab",
            50225 => "iso2022_kr",
            50220..=50222 => "iso2022_jp",
            52936 => "hz",
            10004 => "mac_arabic",
            10006 => "mac_greek",
            10007 => "mac_cyrillic",
            10010 => "mac_romanian",
            10029 => "mac_latin2",
            10079 => "mac_iceland",
            10081 => "mac_turkish",
            10082 => "mac_croatian",
            37 => "cp037",
            20273 => "cp273",
            20424 => "cp424",
            273
            | 424
            | 437
            | 500
            | 720
            | 737
            | 775
            | 850
            | 852
            | 855..=858
            | 860..=865
            | 869
            | 875
            | 1006
            | 1026
            | 1125
            | 1140 => return known(&format!("cp{page}")).map(Self),
            _ => return crate::code_page::encoding(page).map(Self::of_web),
        };
        known(name).map(Self)
    }

    fn of_web(encoding: &'static Encoding) -> Self {
        // The web reads UTF-16 without a mark as little-endian, and of ISO-2022-JP only the oldest sets.
        Self(match encoding.name() {
            "UTF-16LE" => Meaning::Utf16(Order::Marked),
            "UTF-16BE" => Meaning::Utf16(Order::Big),
            "ISO-2022-JP" => Meaning::Iso2022(Shifted::Katakana),
            _ => Meaning::Web(encoding),
        })
    }

    /// The web's encoding that it is, if it is one.
    pub fn web(self) -> Option<&'static Encoding> {
        match self.0 {
            Meaning::Web(encoding) => Some(encoding),
            _ => None,
        }
    }

    /// Whether bytes below 80 are ASCII wherever they stand alone.
    pub fn is_ascii_compatible(self) -> bool {
        match self.0 {
            Meaning::Web(encoding) => encoding.is_ascii_compatible(),
            Meaning::SingleByte(low, _) => low.is_none(),
            Meaning::EucJis2004 | Meaning::Johab => true,
            // A backslash is a yen sign in the last one.
            Meaning::Utf7
            | Meaning::Utf16(_)
            | Meaning::Utf32(_)
            | Meaning::Hz
            | Meaning::Iso2022(_)
            | Meaning::ShiftJis2004 => false,
        }
    }

    /// The text of `bytes`; what means nothing becomes U+FFFD. A byte order mark is no part of it.
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        if self.is_ascii_compatible() && bytes.is_ascii() {
            return String::from_utf8_lossy(bytes);
        }
        match self.0 {
            Meaning::Web(encoding)
                if encoding == EUC_KR && bytes.windows(2).any(|two| two == COMPOSED_SYLLABLE) =>
            {
                Cow::Owned(double_byte(bytes, euc_kr))
            }
            Meaning::Web(encoding) => encoding.decode_with_bom_removal(bytes).0,
            Meaning::SingleByte(low, high) => Cow::Owned(
                bytes
                    .iter()
                    .map(|&byte| match (byte, low) {
                        (0x80.., _) => single_byte(high, byte - 0x80),
                        (_, Some(low)) => single_byte(low, byte),
                        (_, None) => char::from(byte),
                    })
                    .collect(),
            ),
            Meaning::Utf7 => Cow::Owned(unicode::utf_7(bytes)),
            Meaning::Utf16(order) => Cow::Owned(unicode::utf_16(bytes, order)),
            Meaning::Utf32(order) => Cow::Owned(unicode::utf_32(bytes, order)),
            Meaning::Hz => Cow::Owned(iso_2022::hz(bytes)),
            Meaning::Iso2022(shifted) => Cow::Owned(iso_2022::decode(bytes, shifted)),
            Meaning::Johab => Cow::Owned(double_byte(bytes, johab)),
            Meaning::EucJis2004 => Cow::Owned(double_byte(bytes, euc_jis_2004)),
            Meaning::ShiftJis2004 => Cow::Owned(double_byte(bytes, shift_jis_2004)),
        }
    }

    /// The byte of a character in a charset of single bytes that is none of the web's; `None` where it has none, and
    /// for other charsets.
    pub fn single_byte_of(self, character: char) -> Option<u8> {
        let Meaning::SingleByte(low, high) = self.0 else {
            return None;
        };
        if low.is_none() && character.is_ascii() {
            return Some(character as u8);
        }
        let find = |block: u8| (0..0x80).find(|&index| single_byte(block, index) == character);
        low.and_then(find)
            .or_else(|| find(high).map(|index| index + 0x80))
            .filter(|_| character != char::REPLACEMENT_CHARACTER)
    }
}

/// Lower case, and `_` for each run of anything but letters and digits: as Python compares names.
fn normal_form(name: &[u8]) -> String {
    let mut normal = String::with_capacity(name.len());
    for &byte in name {
        if byte.is_ascii_alphanumeric() || byte == b'.' {
            normal.push(char::from(byte.to_ascii_lowercase()));
        } else if !normal.is_empty() && !normal.ends_with('_') {
            normal.push('_');
        }
    }
    normal.truncate(normal.trim_end_matches('_').len());
    normal
}

fn known(normal: &str) -> Option<Meaning> {
    let at = names::NAMES
        .binary_search_by_key(&normal.as_bytes(), |(name, _)| name.as_bytes())
        .ok()?;
    Some(names::NAMES[at].1)
}

/// A character of a block of the tables.
fn single_byte(block: u8, index: u8) -> char {
    static TABLES: &[u8] = include_bytes!("charset/single_byte.bin");
    let at = usize::from(block) * 256 + usize::from(index) * 2;
    let unit = TABLES
        .get(at..at + 2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    unit.and_then(|unit| char::from_u32(unit.into()))
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Text of one, two or three bytes a character: `next` adds the one at the start, and says how many bytes it took;
/// 0 where it means nothing.
fn double_byte(bytes: &[u8], next: impl Fn(&[u8], &mut String) -> usize) -> String {
    let mut out = String::with_capacity(bytes.len() * 3 / 2);
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let taken = next(rest, &mut out);
        if taken == 0 {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        at += taken.max(1);
    }
    out
}

/// Adds the one character of `bytes` in an encoding of the web; whether there is one.
fn web_character(encoding: &'static Encoding, bytes: &[u8], out: &mut String) -> bool {
    match encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) if !text.is_empty() => {
            out.push_str(&text);
            true
        }
        _ => false,
    }
}

/// A character of JIS X 0213, by its bytes of EUC: A1 to FE.
fn jis_x_0213(plane: u8, row: u8, column: u8, out: &mut String) -> bool {
    static TABLE: &[u8] = include_bytes!("charset/jis_x_0213.bin");
    const CELLS: usize = 94;
    if !(0xa1..=0xfe).contains(&row) || !(0xa1..=0xfe).contains(&column) {
        return false;
    }
    let index = usize::from(plane - 1) * CELLS + usize::from(row - 0xa1);
    let place = TABLE.get(index).copied().filter(|&place| place != 0xff);
    let value = place.and_then(|place| {
        let at = 2 * CELLS + (usize::from(place) * CELLS + usize::from(column - 0xa1)) * 3;
        TABLE.get(at..at + 3)
    });
    let value = value.map_or(0, |bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]));
    if let Some(pair) = value
        .checked_sub(0x11_0000)
        .and_then(|index| names::PAIRS.get(index as usize))
    {
        out.push_str(pair);
        return true;
    }
    match char::from_u32(value).filter(|_| value != 0) {
        Some(character) => out.push(character),
        // JIS X 0208, or 0212 beside the second plane.
        None if plane == 1 => return web_character(EUC_JP, &[row, column], out),
        None => return web_character(EUC_JP, &[0x8f, row, column], out),
    }
    true
}

fn euc_jis_2004(bytes: &[u8], out: &mut String) -> usize {
    match *bytes {
        [first @ 0..=0x7f, ..] => {
            out.push(char::from(first));
            1
        }
        [0x8e, kana @ 0xa1..=0xdf, ..] => {
            out.push(half_width_katakana(kana));
            2
        }
        [0x8f, row, column, ..] if jis_x_0213(2, row, column, out) => 3,
        [row, column, ..] if jis_x_0213(1, row, column, out) => 2,
        _ => 0,
    }
}

/// The second half of JIS X 0201.
fn half_width_katakana(byte: u8) -> char {
    char::from_u32(0xff61 - 0xa1 + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn shift_jis_2004(bytes: &[u8], out: &mut String) -> usize {
    let (lead, trail) = match *bytes {
        // JIS X 0201 instead of ASCII.
        [b'\\', ..] => {
            out.push('\u{a5}');
            return 1;
        }
        [b'~', ..] => {
            out.push('\u{203e}');
            return 1;
        }
        [first @ 0..=0x7f, ..] => {
            out.push(char::from(first));
            return 1;
        }
        [kana @ 0xa1..=0xdf, ..] => {
            out.push(half_width_katakana(kana));
            return 1;
        }
        // What single bytes lack here.
        [0x81, 0x5f, ..] => {
            out.push('\\');
            return 2;
        }
        [0x81, 0xb0, ..] => {
            out.push('~');
            return 2;
        }
        [lead, trail @ (0x40..=0x7e | 0x80..=0xfc), ..] => (lead, trail),
        _ => return 0,
    };
    // A lead byte has two rows: the first up to 9E, the second from 9F on.
    let second = trail >= 0x9f;
    let column = if second {
        trail - 0x9f
    } else {
        trail - 0x40 - u8::from(trail > 0x7f)
    };
    let (plane, row) = match lead {
        0x81..=0x9f => (1, (lead - 0x81) * 2 + u8::from(second)),
        0xe0..=0xef => (1, (lead - 0xc1) * 2 + u8::from(second)),
        // The second plane has the rows that JIS X 0212 left free, in this order.
        0xf0..=0xf4 => {
            const ROWS: [u8; 10] = [1, 8, 3, 4, 5, 12, 13, 14, 15, 78];
            let index = usize::from(lead - 0xf0) * 2 + usize::from(second);
            (2, ROWS[index] - 1)
        }
        0xf5..=0xfc => (2, (lead - 0xf5) * 2 + u8::from(second) + 78),
        _ => return 0,
    };
    if jis_x_0213(plane, row + 0xa1, column + 0xa1, out) {
        2
    } else {
        0
    }
}

/// KS X 1001 annex 3: syllables by their letters, five bits each; other characters in rows of two.
fn johab(bytes: &[u8], out: &mut String) -> usize {
    let (lead, trail) = match *bytes {
        [first @ 0..=0x7f, ..] => {
            out.push(char::from(first));
            return 1;
        }
        [lead, trail, ..] => (lead, trail),
        _ => return 0,
    };
    let found = match lead {
        0x84..=0xd3 => hangul(u16::from_be_bytes([lead, trail])).is_some_and(|character| {
            out.push(character);
            true
        }),
        0xd9..=0xde | 0xe0..=0xf9 => {
            // Symbols begin at row 1, Chinese characters at row 42; a lead byte has two rows.
            let row = if lead < 0xe0 {
                (lead - 0xd9) * 2
            } else {
                (lead - 0xe0) * 2 + 41
            };
            let column = match trail {
                0x31..=0x7e => trail - 0x31,
                0x91..=0xfe => trail - 0x91 + 78,
                _ => return 0,
            };
            let (row, column) = (row + column / 94, column % 94);
            web_character(EUC_KR, &[row + 0xa1, column + 0xa1], out)
        }
        _ => false,
    };
    if found { 2 } else { 0 }
}

/// The letters by themselves, as U+3131 and following have them: those that begin a syllable, and those that end one
/// (none first).
const INITIAL_LETTERS: [u8; 19] = [
    0x31, 0x32, 0x34, 0x37, 0x38, 0x39, 0x41, 0x42, 0x43, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c,
    0x4d, 0x4e,
];
const FINAL_LETTERS: [u8; 28] = [
    0, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40, 0x41, 0x42,
    0x44, 0x45, 0x46, 0x47, 0x48, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e,
];

/// A syllable of its letters' places among those that begin one, that are in the middle, that end one.
fn syllable(initial: u8, medial: u8, last: u8) -> Option<char> {
    char::from_u32(0xac00 + (u32::from(initial) * 21 + u32::from(medial)) * 28 + u32::from(last))
}

/// What begins a syllable that KS X 1001 has no code for (its annex 3): three letters follow.
const COMPOSED_SYLLABLE: [u8; 2] = [0xa4, 0xd4];

/// EUC-KR with composed syllables, which the web has not.
fn euc_kr(bytes: &[u8], out: &mut String) -> usize {
    let place = |letters: &[u8], byte: u8| {
        let letter = byte.checked_sub(0xa1 - 0x31)?;
        letters
            .iter()
            .position(|&known| known == letter)
            .map(|at| at as u8)
    };
    match *bytes {
        [first @ 0..=0x7f, ..] => {
            out.push(char::from(first));
            1
        }
        [
            0xa4,
            0xd4,
            0xa4,
            initial,
            0xa4,
            medial @ 0xbf..=0xd3,
            0xa4,
            last,
            ..,
        ] => {
            let initial = place(&INITIAL_LETTERS, initial);
            let last = if last == 0xd4 {
                Some(0)
            } else {
                place(&FINAL_LETTERS[1..], last).map(|at| at + 1)
            };
            let composed = initial
                .zip(last)
                .and_then(|(initial, last)| syllable(initial, medial - 0xbf, last));
            match composed {
                Some(character) => {
                    out.push(character);
                    8
                }
                None => 2 * usize::from(web_character(EUC_KR, &bytes[..2], out)),
            }
        }
        [first, second, ..] if web_character(EUC_KR, &[first, second], out) => 2,
        _ => 0,
    }
}

/// A syllable, or a letter by itself, of Johab's three fields of five bits.
fn hangul(code: u16) -> Option<char> {
    const NONE: u8 = 0xff;
    /// The vowels by their code; 2 is none.
    const MEDIAL: [u8; 32] = [
        NONE, NONE, NONE, 0, 1, 2, 3, 4, NONE, NONE, 5, 6, 7, 8, 9, 10, NONE, NONE, 11, 12, 13, 14, 15, 16,
        NONE, NONE, 17, 18, 19, 20, NONE, NONE,
    ];
    let initial = (code >> 10 & 31) as u8;
    let medial = (code >> 5 & 31) as u8;
    let last = (code & 31) as u8;
    let initial = match initial {
        1 => None,
        2..=20 => Some(initial - 2),
        _ => return None,
    };
    let medial = match medial {
        2 => None,
        _ => Some(MEDIAL[usize::from(medial)])
            .filter(|&index| index != NONE)
            .map(Some)?,
    };
    let last = match last {
        1..=17 => last - 1,
        19..=29 => last - 2,
        _ => return None,
    };
    let letter = |low: u8| char::from_u32(0x3100 + u32::from(low));
    match (initial, medial, last) {
        (Some(initial), Some(medial), _) => syllable(initial, medial, last),
        (None, None, 0) => Some('\u{3000}'),
        (Some(initial), None, 0) => letter(INITIAL_LETTERS[usize::from(initial)]),
        (None, Some(medial), 0) => letter(0x4f + medial),
        (None, None, last) => letter(FINAL_LETTERS[usize::from(last)]),
        _ => None,
    }
}

/// A character of GB 2312, by its bytes of EUC.
fn gb_2312(row: u8, column: u8, out: &mut String) -> bool {
    web_character(GBK, &[row, column], out)
}
