//! Charsets that escape sequences switch between: ISO-2022-JP with all its extensions, ISO-2022-KR, HZ.

use encoding_rs::{EUC_JP, EUC_KR, ISO_8859_7};

use super::{Shifted, gb_2312, half_width_katakana, jis_x_0213, web_character};

/// A set of characters that bytes may be of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Set {
    Ascii,
    /// JIS X 0201, first half: a yen sign for the backslash.
    Roman,
    Katakana,
    /// JIS X 0208.
    Kanji,
    /// JIS X 0212.
    MoreKanji,
    /// JIS X 0213, first and second plane.
    Plane1,
    Plane2,
    /// GB 2312.
    Chinese,
    /// KS X 1001.
    Korean,
    /// The upper halves of ISO 8859-1 and 8859-7.
    Latin,
    Greek,
}

/// Escape sequences, the register that they load (G0, G1, G2) and what with.
const SEQUENCES: &[(&[u8], u8, Set)] = &[
    (b"(B", 0, Set::Ascii),
    (b"(J", 0, Set::Roman),
    (b"(I", 0, Set::Katakana),
    (b"$@", 0, Set::Kanji),
    (b"$B", 0, Set::Kanji),
    (b"$(B", 0, Set::Kanji),
    (b"$(@", 0, Set::Kanji),
    (b"$(D", 0, Set::MoreKanji),
    (b"$(O", 0, Set::Plane1),
    (b"$(Q", 0, Set::Plane1),
    (b"$(P", 0, Set::Plane2),
    (b"$A", 0, Set::Chinese),
    (b"$(A", 0, Set::Chinese),
    (b"$(C", 0, Set::Korean),
    (b"$)C", 1, Set::Korean),
    (b"$)A", 1, Set::Chinese),
    (b")I", 1, Set::Katakana),
    (b".A", 2, Set::Latin),
    (b".F", 2, Set::Greek),
];

const ESCAPE: u8 = 0x1b;
const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;

/// The text of `bytes` in one of the ISO-2022 charsets. The end of a line ends what it switched on, as writers agree
/// (RFC 1468, RFC 1557).
pub(super) fn decode(bytes: &[u8], shifted: Shifted) -> String {
    let mut out = String::with_capacity(bytes.len());
    let first_g1 = match shifted {
        Shifted::Katakana => Set::Katakana,
        Shifted::Hangul => Set::Korean,
    };
    let (mut g0, mut g1, mut g2) = (Set::Ascii, first_g1, None);
    let mut out_shifted = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let sequence = SEQUENCES
            .iter()
            .find(|(sequence, ..)| byte == ESCAPE && rest[1..].starts_with(sequence));
        if let Some(&(sequence, register, set)) = sequence {
            match register {
                0 => g0 = set,
                1 => g1 = set,
                _ => g2 = Some(set),
            }
            at += 1 + sequence.len();
            continue;
        }
        at += match *rest {
            // A single shift: one character of G2.
            [ESCAPE, b'N', character, ..] => {
                match g2 {
                    Some(set) => double(set, character | 0x80, 0, &mut out),
                    None => out.push(char::REPLACEMENT_CHARACTER),
                }
                3
            }
            [SHIFT_OUT, ..] => {
                out_shifted = true;
                1
            }
            [SHIFT_IN, ..] => {
                out_shifted = false;
                1
            }
            [b'\n', ..] => {
                (g0, out_shifted) = (Set::Ascii, false);
                g2 = None;
                out.push('\n');
                1
            }
            // Eight bits, where seven are meant: the other register.
            [0x80..=0xff, ..] if shifted == Shifted::Hangul && rest.len() > 1 => {
                double(Set::Korean, rest[0], rest[1], &mut out);
                2
            }
            [0xa1..=0xdf, ..] => {
                out.push(half_width_katakana(byte));
                1
            }
            [0x80..=0xff, ..] => {
                out.push(char::REPLACEMENT_CHARACTER);
                1
            }
            [0..=b' ' | 0x7f, ..] => {
                out.push(char::from(byte));
                1
            }
            _ => graphic(if out_shifted { g1 } else { g0 }, rest, &mut out),
        };
    }
    out
}

/// Adds the character that begins with a byte of 21 to 7E; how many bytes it takes.
fn graphic(set: Set, rest: &[u8], out: &mut String) -> usize {
    let Some(&byte) = rest.first() else { return 1 };
    match set {
        Set::Ascii => out.push(char::from(byte)),
        Set::Roman => out.push(match byte {
            b'\\' => '\u{a5}',
            b'~' => '\u{203e}',
            _ => char::from(byte),
        }),
        Set::Katakana if byte <= 0x5f => out.push(half_width_katakana(byte | 0x80)),
        Set::Katakana => out.push(char::REPLACEMENT_CHARACTER),
        _ => {
            let Some(&second) = rest.get(1).filter(|second| (0x21..0x7f).contains(*second)) else {
                out.push(char::REPLACEMENT_CHARACTER);
                return 1;
            };
            double(set, byte | 0x80, second | 0x80, out);
            return 2;
        }
    }
    1
}

/// Adds a character, by its bytes of EUC; the sets of single bytes take only the first.
fn double(set: Set, first: u8, second: u8, out: &mut String) {
    let found = match set {
        Set::Kanji => web_character(EUC_JP, &[first, second], out),
        Set::MoreKanji => web_character(EUC_JP, &[0x8f, first, second], out),
        Set::Plane1 => jis_x_0213(1, first, second, out),
        Set::Plane2 => jis_x_0213(2, first, second, out),
        Set::Chinese => gb_2312(first, second, out),
        Set::Korean => web_character(EUC_KR, &[first, second], out),
        Set::Latin => {
            out.push(char::from(first));
            true
        }
        Set::Greek => web_character(ISO_8859_7, &[first], out),
        Set::Ascii | Set::Roman | Set::Katakana => false,
    };
    if !found {
        out.push(char::REPLACEMENT_CHARACTER);
    }
}

/// RFC 1843: `~{` and `~}` switch GB 2312 on and off, and the end of a line off.
pub(super) fn hz(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut shifted = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += match (byte, bytes.get(at + 1)) {
            (b'~', Some(b'{')) => {
                shifted = true;
                2
            }
            (b'~', Some(b'}')) => {
                shifted = false;
                2
            }
            // A line that goes on.
            (b'~', Some(b'\n')) => 2,
            (b'~', Some(b'~')) => {
                out.push('~');
                2
            }
            (0x21..=0x7e, Some(&second @ 0x21..=0x7e)) if shifted => {
                double(Set::Chinese, byte | 0x80, second | 0x80, &mut out);
                2
            }
            // Eight bits, as many write it.
            (0xa1..=0xfe, Some(&second @ 0xa1..=0xfe)) => {
                double(Set::Chinese, byte, second, &mut out);
                2
            }
            _ => {
                shifted &= byte != b'\n';
                out.push(if byte.is_ascii() {
                    char::from(byte)
                } else {
                    char::REPLACEMENT_CHARACTER
                });
                1
            }
        };
    }
    out
}
