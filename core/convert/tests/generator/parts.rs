//! MIME parts, well-formed ones.

use super::{
    Dice,
    text::{Words, base64_lines, header_text, in_charset, quoted_printable, uuencoded},
};

/// A file's name, if it has one, and its bytes; of an embedded message its subject.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct File {
    pub(crate) name: Option<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) embedded: Option<String>,
}

/// A part: its fields (each with its line end) and its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entity {
    pub(crate) fields: String,
    pub(crate) body: Vec<u8>,
}

impl Entity {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.fields.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// Text in one of the encodings that its charset allows.
pub(crate) fn text(subtype: &str, text: &str, charset: &str, dice: &mut Dice) -> Entity {
    let bytes = in_charset(text, charset);
    let plain = bytes.is_ascii() && charset != "utf-16";
    let long = bytes.split(|&byte| byte == b'\n').any(|line| line.len() > 990);
    let encoding = match dice.below(4) {
        0 if plain && !long => "7bit",
        1 if charset != "utf-16" && !long => "8bit",
        2 => "quoted-printable",
        _ => "base64",
    };
    let body = match encoding {
        "quoted-printable" => quoted_printable(&bytes, charset != "utf-16"),
        "base64" => base64_lines(&bytes, *dice.pick(&[76, 72, 64, 60])),
        _ => bytes,
    };
    let name = match dice.below(4) {
        0 => charset.to_ascii_uppercase(),
        1 => format!("\"{charset}\""),
        _ => charset.to_owned(),
    };
    let flowed = if subtype == "plain" && dice.one_in(6) {
        "; format=flowed"
    } else {
        ""
    };
    let unlabelled = charset == "us-ascii" && encoding == "7bit" && subtype == "plain";
    let mut fields = if unlabelled && dice.one_in(3) {
        String::new()
    } else {
        format!("Content-Type: text/{subtype}; charset={name}{flowed}\r\n")
    };
    if encoding != "7bit" || dice.one_in(2) {
        fields.push_str(&format!("Content-Transfer-Encoding: {encoding}\r\n"));
    }
    Entity { fields, body }
}

/// Several parts, perhaps with text before and behind them.
pub(crate) fn multipart(subtype: &str, parameters: &str, parts: &[Entity], dice: &mut Dice) -> Entity {
    let boundary = format!(
        "{}_{:08x}",
        dice.pick(&["----=_Part", "b", "=_", "Apple-Mail", "(x y)"]),
        dice.next()
    );
    let mut body = Vec::new();
    if dice.one_in(2) {
        body.extend_from_slice(b"This is a multi-part message in MIME format.\r\n");
    }
    for part in parts {
        body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        body.extend_from_slice(&part.bytes());
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    if dice.one_in(4) {
        body.extend_from_slice(b"\r\nEpilogue\r\n");
    }
    let fold = if dice.one_in(2) { "\r\n\t" } else { " " };
    Entity {
        fields: format!("Content-Type: multipart/{subtype};{fold}boundary=\"{boundary}\"{parameters}\r\n"),
        body,
    }
}

/// How a file's name stands in the header.
fn name_parameter(key: &str, name: &str, charset: &str, dice: &mut Dice) -> String {
    let percent = |bytes: &[u8]| -> String {
        bytes
            .iter()
            .map(|&byte| {
                if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    };
    let charset = if charset == "utf-16" { "utf-8" } else { charset };
    if name.is_ascii() && !dice.one_in(6) {
        return format!("; {key}=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    match dice.below(4) {
        // As most programs do, though RFC 2047 5 forbids it.
        0 => format!(";\r\n {key}=\"{}\"", header_text(name, charset, dice)),
        // Not where a section begins in the middle of a switch: Python reads each by itself.
        1 if !charset.starts_with("iso-2022") => {
            let encoded = percent(&in_charset(name, charset));
            // Not in the middle of an escape.
            let cut = encoded.char_indices().nth(12).map_or(encoded.len(), |(at, _)| at);
            let cut = encoded[..cut].rfind('%').filter(|at| cut - at < 3).unwrap_or(cut);
            let (first, second) = encoded.split_at(cut);
            format!(";\r\n {key}*0*={charset}''{first};\r\n {key}*1*={second}")
        }
        // Not allowed before RFC 6532, but sent.
        2 if charset == "utf-8" => format!("; {key}=\"{}\"", name.replace('"', "")),
        _ => format!(
            ";\r\n {key}*={charset}'en'{}",
            percent(&in_charset(name, charset))
        ),
    }
}

/// A file name in the words' language.
pub(crate) fn file_name(words: &Words, end: &str, dice: &mut Dice) -> String {
    let mut name = words.line(3, dice).replace(['/', '%', '='], "_");
    if dice.one_in(6) {
        name = format!("{name} (1), final; v2 'x'");
    }
    format!("{name}.{end}")
}

/// An attached file.
pub(crate) fn attachment(words: &Words, dice: &mut Dice) -> (Entity, File) {
    let (mime, end) = *dice.pick(&[
        ("application/pdf", "pdf"),
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("application/octet-stream", "bin"),
        ("text/plain", "txt"),
        ("text/html", "html"),
        (
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "docx",
        ),
        ("application/zip", "zip"),
        ("text/csv", "csv"),
        ("audio/wav", "wav"),
    ]);
    let bytes = match dice.below(8) {
        0 => Vec::new(),
        1 | 2 => b"plain lines\r\nof a file\r\n".repeat(1 + dice.below(40)),
        _ => {
            let length = dice.below(3000);
            dice.bytes(length)
        }
    };
    let name = file_name(words, end, dice);
    let text = bytes
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n'));
    let (encoding, body) = match dice.below(6) {
        0 if text => ("7bit", bytes.clone()),
        1 => ("quoted-printable", quoted_printable(&bytes, false)),
        2 if !bytes.is_empty() => ("x-uuencode", uuencoded(&bytes, "file.bin")),
        _ => ("base64", base64_lines(&bytes, 76)),
    };
    let mut fields = format!("Content-Type: {mime}");
    if dice.one_in(2) {
        fields.push_str(&name_parameter("name", &name, words.charset, dice));
    }
    fields.push_str(&format!(
        "\r\nContent-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment"
    ));
    fields.push_str(&name_parameter("filename", &name, words.charset, dice));
    fields.push_str("\r\n");
    if dice.one_in(5) {
        fields.push_str(&format!(
            "Content-Description: {}\r\n",
            header_text(&words.line(3, dice), words.charset, dice)
        ));
    }
    let file = File {
        name: Some(name),
        bytes,
        embedded: None,
    };
    (Entity { fields, body }, file)
}

/// A picture that HTML shows.
pub(crate) fn picture(id: &str, dice: &mut Dice) -> (Entity, File) {
    let length = 20 + dice.below(500);
    let bytes = dice.bytes(length);
    let fields = format!(
        "Content-Type: image/png; name=\"{id}.png\"\r\nContent-ID: <{id}@example.test>\r\n\
         Content-Disposition: inline; filename=\"{id}.png\"\r\nContent-Transfer-Encoding: base64\r\n"
    );
    let file = File {
        name: Some(format!("{id}.png")),
        bytes: bytes.clone(),
        embedded: None,
    };
    let body = base64_lines(&bytes, 76);
    (Entity { fields, body }, file)
}
