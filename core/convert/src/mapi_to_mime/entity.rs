//! MIME entities: a part with its header, and multiparts of them (RFC 2045, RFC 2046).

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::header::{self, HeaderWriter, Parameterised};

/// The longest line that any server takes (RFC 5322 2.1.1), without its end.
const MAX_LINE: usize = 998;
/// The longest media type, and name of a parameter, that is taken over.
const MAX_NAME: usize = 100;
/// Characters of a line of base64 or quoted-printable (RFC 2045 6.7, 6.8).
const ENCODED_LINE: usize = 76;

/// A part, or a whole message's body.
#[derive(Debug)]
pub(super) struct Entity {
    /// Its fields, without the empty line behind them.
    header: HeaderWriter,
    /// Its encoded body.
    body: Vec<u8>,
}

impl Entity {
    /// Text in UTF-8; `subtype` is `plain` or `html`.
    pub(super) fn text(subtype: &str, text: &str) -> Self {
        let text = with_crlf(text);
        let mut header = HeaderWriter::default();
        let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
        header.parameters(
            "Content-Type",
            &format!("text/{subtype}"),
            &[("charset", charset)],
        );
        let (encoding, body) = encode_text(&text);
        header.text("Content-Transfer-Encoding", encoding);
        Self { header, body }
    }

    /// Any bytes, in base64, with a header that already says what they are.
    pub(super) fn data(mut header: HeaderWriter, data: &[u8]) -> Self {
        header.text("Content-Transfer-Encoding", "base64");
        Self {
            header,
            body: base64_lines(data),
        }
    }

    /// ASCII whose every byte counts, with a header that already says what it is.
    pub(super) fn exact_text(mut header: HeaderWriter, text: &str) -> Self {
        let lines = text.split("\r\n").all(|line| !line.contains(['\r', '\n']));
        let (encoding, body) = if lines {
            encode_text(text)
        } else {
            ("quoted-printable", quoted_printable(text))
        };
        header.text("Content-Transfer-Encoding", encoding);
        Self { header, body }
    }

    /// Bytes that may not be encoded (messages, what is signed), with a header that says what they are.
    pub(super) fn verbatim(mut header: HeaderWriter, data: &[u8]) -> Self {
        if !data.is_ascii() {
            header.text("Content-Transfer-Encoding", "8bit");
        }
        Self {
            header,
            body: data.to_vec(),
        }
    }

    /// A MIME entity that exists already: its fields about content, an empty line, its body.
    pub(super) fn existing(bytes: &[u8]) -> Self {
        let end = header::end_of_header(bytes, 0, |_| false);
        let (fields, body) = bytes.split_at(end);
        let mut header = HeaderWriter::default();
        for field in header::fields(fields) {
            let content = field
                .name
                .get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
            let mut lines = field.line.split(|&byte| byte == b'\n');
            let clean = field
                .line
                .iter()
                .all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~'))
                && lines.all(|line| {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    line.len() < MAX_LINE && !line.contains(&b'\r')
                });
            if content && clean {
                header.existing(&with_crlf(&String::from_utf8_lossy(field.line)));
            } else if field.is("Content-Type") {
                // It is not signed, so it can be written as it should be.
                let read = Parameterised::read(&field.unfolded());
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let parameters: Vec<(String, String)> = read
                    .parameters
                    .iter()
                    .map(|(name, value)| (text(name), text(value)))
                    .filter(|(name, _)| {
                        name.len() <= MAX_NAME
                            && name
                                .bytes()
                                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    })
                    .collect();
                let parameters: Vec<(&str, &str)> = parameters
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                let value: String = text(&read.value).chars().take(MAX_NAME).collect();
                header.parameters("Content-Type", &value, &parameters);
            }
        }
        let body = body.to_vec();
        // A multipart says so if any of its parts has 8-bit bytes (RFC 2045 6.4).
        if !body.is_ascii() && header::field(fields, "Content-Transfer-Encoding").is_none() {
            header.text("Content-Transfer-Encoding", "8bit");
        }
        Self { header, body }
    }

    /// Several parts.
    pub(super) fn multipart(subtype: &str, parameters: &[(&str, &str)], parts: Vec<Self>) -> Self {
        let parts: Vec<Vec<u8>> = parts
            .into_iter()
            .map(|part| {
                let mut bytes = Vec::new();
                part.write(&mut bytes);
                bytes
            })
            .collect();
        let boundary = boundary(&parts);
        let mut all = vec![("boundary", boundary.as_str())];
        all.extend_from_slice(parameters);
        let mut header = HeaderWriter::default();
        header.parameters("Content-Type", &format!("multipart/{subtype}"), &all);
        let mut body = Vec::new();
        for part in parts {
            body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            body.extend_from_slice(&part);
            // This line end belongs to the boundary, not to the part.
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        Self { header, body }
    }

    /// Appends the fields, the empty line and the body.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.header.finish().as_bytes());
        out.extend_from_slice(&self.body);
    }
}

/// A boundary that is in none of the parts: `=_` never is in base64 or quoted-printable, and made of the parts, so
/// that the same message is always written the same.
fn boundary(parts: &[Vec<u8>]) -> String {
    let mut number = parts
        .iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    loop {
        let boundary = format!("=_{number:016x}");
        let finder = memchr::memmem::Finder::new(&boundary);
        if parts.iter().all(|part| finder.find(part).is_none()) {
            return boundary;
        }
        number = number.wrapping_add(1);
    }
}

/// The text with CRLF line ends, and one at its end.
pub(super) fn with_crlf(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16 + 2);
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        out.push_str(&rest[..at]);
        out.push_str("\r\n");
        rest = &rest[at..];
        rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
    }
    out.push_str(rest);
    if !rest.is_empty() {
        out.push_str("\r\n");
    }
    out
}

/// The encoding that suits the text, and the text in it.
fn encode_text(text: &str) -> (&'static str, Vec<u8>) {
    // Some servers change lines that begin like this one.
    let changed =
        |line: &str| line.starts_with("From ") || line.starts_with('.') || line.ends_with([' ', '\t']);
    let plain = text
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~'))
        && text.lines().all(|line| line.len() <= MAX_LINE && !changed(line));
    if plain {
        return ("7bit", text.as_bytes().to_vec());
    }
    let others = text
        .bytes()
        .filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~'))
        .count();
    // Quoted-printable takes three bytes for one, base64 four for three.
    if others * 6 > text.len() {
        ("base64", base64_lines(text.as_bytes()))
    } else {
        ("quoted-printable", quoted_printable(text))
    }
}

fn base64_lines(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 3 * 4 + data.len() / 28 + 8);
    let mut line = [0_u8; ENCODED_LINE];
    for chunk in data.chunks(ENCODED_LINE / 4 * 3) {
        let length = BASE64_STANDARD.encode_slice(chunk, &mut line).unwrap_or(0);
        out.extend_from_slice(&line[..length]);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// RFC 2045 6.7, for text with CRLF line ends.
fn quoted_printable(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len() + text.len() / 4);
    for line in text.split_inclusive("\r\n") {
        let (content, end) = match line.strip_suffix("\r\n") {
            Some(content) => (content.as_bytes(), &b"\r\n"[..]),
            None => (line.as_bytes(), &b""[..]),
        };
        let mut column = 0;
        for (at, &byte) in content.iter().enumerate() {
            let last = at + 1 == content.len();
            let literal = match byte {
                b' ' | b'\t' => !last,
                b'=' => false,
                b'.' => at > 0,
                b'F' => !(at == 0 && content.starts_with(b"From ")),
                _ => matches!(byte, b'!'..=b'~'),
            };
            let width = if literal { 1 } else { 3 };
            // Room for the soft line break.
            if column + width > ENCODED_LINE - usize::from(!last) {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if literal {
                out.push(byte);
            } else {
                out.extend_from_slice(&[
                    b'=',
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]);
            }
            column += width;
        }
        out.extend_from_slice(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::body;

    /// The fields of somebody else's entity: those about content, and in a form that every server takes.
    #[test]
    fn fields_of_existing_entities() {
        let written = |bytes: &[u8]| {
            let mut out = Vec::new();
            Entity::existing(bytes).write(&mut out);
            String::from_utf8(out).unwrap()
        };
        let clean = "Content-Type: multipart/signed; protocol=\"x/y\";\r\n\tboundary=b\r\n\r\n--b \r\n";
        assert_eq!(written(clean.as_bytes()), clean);
        assert_eq!(
            written(b"Bcc: a@x.test\r\nContent-Type: multipart/signed; protocol=\"x/\0y\"; boundary=b\r\n\r\n--b\r\n"),
            "Content-Type: multipart/signed;\r\n\tprotocol=\"x/ y\";\r\n\tboundary=\"b\"\r\n\r\n--b\r\n"
        );
        let long = format!(
            "Content-Type: multipart/signed; x={}; boundary=b\r\n\r\nx",
            "y".repeat(2000)
        );
        assert!(written(long.as_bytes()).lines().all(|line| line.len() < 100));
    }

    proptest! {
        #[test]
        fn text_comes_back(text in "(From |\\.|=|[ -~]|\t|\u{e9}|\u{4e2d}|\r\n){0,300}") {
            let text = with_crlf(&text);
            let (encoding, encoded) = encode_text(&text);
            let limit = if encoding == "7bit" { MAX_LINE } else { ENCODED_LINE };
            for line in encoded.split(|&byte| byte == b'\n') {
                prop_assert!(line.len() <= limit + 1);
            }
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(&*body::decode(&encoded, encoding.as_bytes()), text.as_bytes());
        }
    }
}
