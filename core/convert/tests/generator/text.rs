//! Text in the languages and charsets that mail has, and the encodings of it.

use base64::{Engine, prelude::BASE64_STANDARD};
use encoding_rs::Encoding;

use super::Dice;

/// A language: the charsets that it is written in, and words.
struct Language {
    charsets: &'static [&'static str],
    words: &'static [&'static str],
}

const LANGUAGES: &[Language] = &[
    Language {
        charsets: &["us-ascii", "utf-8", "iso-8859-1", "windows-1252", "iso-8859-15"],
        words: &[
            "meeting", "please", "find", "attached", "the", "report", "From", "thanks", "a=b", "50%", "re",
            "ok", "x",
        ],
    },
    Language {
        charsets: &["utf-8", "iso-8859-1", "windows-1252", "iso-8859-15", "utf-16"],
        words: &[
            "Grüße", "für", "Straße", "Übung", "schön", "naïve", "Ärger", "und", "façade", "señor",
        ],
    },
    Language {
        charsets: &["utf-8", "koi8-r", "windows-1251", "iso-8859-5", "cp866"],
        words: &["привет", "отчёт", "встреча", "и", "спасибо", "Москва"],
    },
    Language {
        charsets: &["utf-8", "iso-2022-jp", "shift_jis", "euc-jp"],
        words: &["会議", "資料", "ありがとう", "カタカナ", "日本語", "です"],
    },
    Language {
        charsets: &["utf-8", "gb2312", "gb18030", "gbk"],
        words: &["会议", "报告", "谢谢", "附件", "你好"],
    },
    Language {
        charsets: &["utf-8", "big5"],
        words: &["會議", "報告", "謝謝", "附件", "你好"],
    },
    Language {
        charsets: &["utf-8", "euc-kr", "ks_c_5601-1987"],
        words: &["회의", "보고서", "감사합니다", "첨부", "안녕"],
    },
    Language {
        charsets: &["utf-8", "windows-1255", "windows-1253", "windows-1256", "utf-8"],
        words: &["ok", "utf"],
    },
    Language {
        charsets: &["utf-8", "iso-8859-7", "windows-1253"],
        words: &["συνάντηση", "ευχαριστώ", "αναφορά", "και"],
    },
    Language {
        charsets: &["utf-8", "iso-8859-2", "windows-1250"],
        words: &["spotkanie", "dziękuję", "załącznik", "Łódź", "čaj", "žlutý"],
    },
    Language {
        charsets: &["utf-8"],
        words: &["😀", "🎉", "naïve", "日本", "שלום", "ไทย", "e\u{301}", "ＡＢＣ"],
    },
];

/// Words of one language, and a charset that has them.
pub(crate) struct Words {
    language: &'static Language,
    pub(crate) charset: &'static str,
}

impl Words {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let language = dice.pick(LANGUAGES);
        Self {
            language,
            charset: dice.pick::<&str>(language.charsets),
        }
    }

    /// Words of any language, for what is not written in a charset.
    pub(crate) fn any(dice: &mut Dice) -> Self {
        Self::new(dice)
    }

    /// A line of at most `most` words.
    pub(crate) fn line(&self, most: usize, dice: &mut Dice) -> String {
        let count = 1 + dice.below(most);
        let words: Vec<&str> = (0..count).map(|_| *dice.pick(self.language.words)).collect();
        words.join(" ")
    }

    /// Several lines, with CRLF line ends.
    pub(crate) fn lines(&self, dice: &mut Dice) -> String {
        let mut out = String::new();
        for _ in 0..=dice.below(12) {
            match dice.below(14) {
                0 => {}
                1 => out.push_str("From the start"),
                2 => out.push_str(".dot"),
                3 => out.push_str("-- "),
                4 => out.push_str("\ttab = \"x\" <&>"),
                5 => out.push_str(&self.line(150, dice)),
                _ => out.push_str(&self.line(12, dice)),
            }
            out.push_str("\r\n");
        }
        out
    }
}

/// The text's bytes in a charset.
pub(crate) fn in_charset(text: &str, charset: &str) -> Vec<u8> {
    match charset {
        "utf-16" => {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            return units.flat_map(u16::to_be_bytes).collect();
        }
        "cp866" => return encoding_rs::IBM866.encode(text).0.into_owned(),
        _ => {}
    }
    let encoding = Encoding::for_label(charset.as_bytes()).unwrap();
    let (bytes, _, unmappable) = encoding.encode(text);
    assert!(!unmappable, "{text} in {charset}");
    bytes.into_owned()
}

/// Quoted-printable, as programs write it: whole lines where `lines`, otherwise every byte that isn't text.
pub(crate) fn quoted_printable(bytes: &[u8], lines: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut column = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if lines && bytes[at..].starts_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            column = 0;
            continue;
        }
        if lines && byte == b'\n' && at > 0 && bytes[at - 1] == b'\r' {
            continue;
        }
        let last = bytes
            .get(at + 1..)
            .is_none_or(|rest| rest.is_empty() || rest.starts_with(b"\r\n"));
        let literal = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (matches!(byte, b' ' | b'\t') && !last);
        let text = if literal {
            vec![byte]
        } else {
            format!("={byte:02X}").into_bytes()
        };
        if column + text.len() > 75 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        column += text.len();
        out.extend_from_slice(&text);
    }
    out
}

pub(crate) fn base64_lines(bytes: &[u8], width: usize) -> Vec<u8> {
    let text = BASE64_STANDARD.encode(bytes);
    let lines: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
    let mut out = lines.join(&b"\r\n"[..]);
    out.extend_from_slice(b"\r\n");
    out
}

/// As `uuencode` writes a file.
pub(crate) fn uuencoded(bytes: &[u8], name: &str) -> Vec<u8> {
    let digit = |six: u8| if six == 0 { b'`' } else { b' ' + six };
    let mut out = format!("begin 644 {name}\r\n").into_bytes();
    for line in bytes.chunks(45) {
        out.push(digit(line.len() as u8));
        for three in line.chunks(3) {
            let byte = |at: usize| three.get(at).copied().unwrap_or(0);
            out.extend_from_slice(&[
                digit(byte(0) >> 2),
                digit((byte(0) << 4 | byte(1) >> 4) & 63),
                digit((byte(1) << 2 | byte(2) >> 6) & 63),
                digit(byte(2) & 63),
            ]);
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"`\r\nend\r\n");
    out
}

/// Text for a header field: encoded words of a charset, or as it is where it is ASCII. Each word has at most `room`
/// characters, so that none is cut in two.
pub(crate) fn header_text(text: &str, charset: &str, dice: &mut Dice) -> String {
    if text.is_ascii() && !text.contains("=?") && !dice.one_in(8) {
        return text.to_owned();
    }
    let charset = if charset == "utf-16" { "utf-8" } else { charset };
    let quoted = dice.one_in(2);
    let characters: Vec<char> = text.chars().collect();
    let words: Vec<String> = characters
        .chunks(8)
        .map(|chunk| {
            let bytes = in_charset(&chunk.iter().collect::<String>(), charset);
            if quoted {
                let mut word = String::new();
                for byte in bytes {
                    match byte {
                        b' ' => word.push('_'),
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => word.push(char::from(byte)),
                        _ => word.push_str(&format!("={byte:02X}")),
                    }
                }
                format!("=?{charset}?Q?{word}?=")
            } else {
                format!("=?{charset}?B?{}?=", BASE64_STANDARD.encode(bytes))
            }
        })
        .collect();
    words.join(if dice.one_in(2) { "\r\n " } else { " " })
}
