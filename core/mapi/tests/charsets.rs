//! Every charset that Python knows, byte by byte: what it reads is what we read, but for what the web reads otherwise.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use ringpost_mapi::charset::Charset;

/// Charsets that the web reads otherwise than Python, in how many sequences of bytes, and why that is meant.
const DIFFERENT: &[(&str, usize, &str)] = &[
    (
        "big5",
        260,
        "the web's Big5 has ETEN's additions, and other forms of symbols",
    ),
    ("big5hkscs", 11, "other forms of symbols"),
    (
        "cp932",
        4,
        "the web leaves bytes without a meaning that Windows maps to private ones",
    ),
    ("cp950", 250, "the web's Big5 has ETEN's additions"),
    ("euc_jis_2004", 1, "a full-width tilde"),
    (
        "euc_jisx0213",
        2,
        "the same, and a character that JIS X 0213 changed in 2004",
    ),
    ("euc_jp", 7, "Microsoft's forms of symbols"),
    (
        "gb18030",
        20,
        "what was private in 2000 and is a character since 2005",
    ),
    ("gb2312", 2, "GBK's forms of symbols"),
    ("hz", 2, "GBK's forms of symbols"),
    (
        "iso2022_jp",
        8,
        "Microsoft's forms of symbols, and shifts of JIS X 0201",
    ),
    ("iso2022_jp_1", 8, "the same"),
    ("iso2022_jp_2", 8, "the same"),
    ("iso2022_jp_2004", 8, "the same"),
    ("iso2022_jp_3", 8, "the same"),
    ("iso2022_jp_ext", 8, "the same"),
    (
        "iso8859_1",
        27,
        "Windows-1252 where ISO 8859-1 has control characters",
    ),
    (
        "iso8859_11",
        9,
        "Windows-874 where ISO 8859-11 has control characters",
    ),
    (
        "iso8859_9",
        25,
        "Windows-1254 where ISO 8859-9 has control characters",
    ),
    ("koi8_u", 2, "letters of Belarusian"),
    (
        "latin_1",
        27,
        "Windows-1252 where ISO 8859-1 has control characters",
    ),
    ("shift_jis", 6, "Microsoft's forms of symbols"),
    ("shift_jisx0213", 1, "a character that JIS X 0213 changed in 2004"),
    ("tis_620", 9, "Windows-874 where TIS-620 has control characters"),
    ("utf_7", 1, "a `+` that begins nothing is shown"),
];

fn field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (length, after) = rest.split_at(2);
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (field, after) = after.split_at(length);
    *rest = after;
    field
}

#[test]
fn python_reads_the_same() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charsets.py");
    let done = Command::new("python3")
        .arg(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("python3 runs");
    assert!(done.status.success());
    let (mut rest, mut records) = (&done.stdout[..], 0);
    let mut unknown = Vec::new();
    let mut differ: BTreeMap<&str, BTreeMap<&[u8], String>> = BTreeMap::new();
    while !rest.is_empty() {
        let (name, bytes, text) = (field(&mut rest), field(&mut rest), field(&mut rest));
        let (name, text) = (
            std::str::from_utf8(name).unwrap(),
            std::str::from_utf8(text).unwrap(),
        );
        records += 1;
        let Some(charset) = Charset::for_name(name.as_bytes()) else {
            unknown.push(name);
            continue;
        };
        let ours = charset.decode(bytes);
        // A mark at the beginning is no text, whoever reads it.
        if ours != text && Some(&*ours) != text.strip_prefix('\u{feff}') {
            let shown = format!("{bytes:x?}: {text:?} in Python, {ours:?} here");
            differ.entry(name).or_default().insert(bytes, shown);
        }
    }
    println!("{records} records");
    assert!(records > 500_000, "{records}");
    unknown.dedup();
    assert!(unknown.is_empty(), "{unknown:?}");
    let mut wrong = Vec::new();
    for (name, of) in &differ {
        let allowed = DIFFERENT.iter().find(|(known, ..)| known == name);
        if allowed.is_none_or(|(_, count, _)| *count != of.len()) {
            let shown: Vec<_> = of.values().take(12).map(String::as_str).collect();
            wrong.push(format!(
                "{name}: {} differ\n    {}",
                of.len(),
                shown.join("\n    ")
            ));
        }
    }
    for (name, count, _) in DIFFERENT {
        if !differ.contains_key(name) {
            wrong.push(format!("{name}: none of {count} differ"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
