//! Writing header fields: folded, encoded where they aren't ASCII, and never with a line of somebody else's.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};

/// Where lines are folded (RFC 5322 2.1.1).
const LINE: usize = 78;
/// The longest word that can be left alone on a line: no line may be longer than 998.
const LONGEST_WORD: usize = 900;
/// Bytes of text in one encoded word of base64: 75 characters with what is around it (RFC 2047 2).
const WORD_BYTES: usize = 45;

/// A header that grows.
#[derive(Clone, Debug, Default)]
pub struct HeaderWriter {
    out: String,
}

impl HeaderWriter {
    /// A field of free text, such as `Subject`.
    pub fn text(&mut self, name: &str, value: &str) {
        let value = one_line(value);
        let spaced = value.starts_with(' ')
            || value.ends_with(' ')
            // Folded, who knows what becomes of several.
            || (value.contains("  ") && name.len() + 2 + value.len() > LINE);
        if is_plain(&value) && !spaced && !value.is_empty() {
            self.words(name, &value);
        } else if value.is_empty() {
            let _ = write!(self.out, "{name}: \r\n");
        } else {
            self.words(name, &encoded_words(&value));
        }
    }

    /// A field of ASCII words that programs read, such as `References`. Other characters are left out.
    pub fn words(&mut self, name: &str, value: &str) {
        let _ = write!(self.out, "{name}:");
        let mut column = name.len() + 1;
        let mut first = true;
        for word in value.split(' ') {
            if !first && column + 1 + word.len() > LINE && !word.is_empty() {
                self.out.push_str("\r\n");
                column = 0;
            }
            self.out.push(' ');
            self.out.extend(word.chars().filter(|c| matches!(c, '!'..='~')));
            column += 1 + word.len();
            first = false;
        }
        self.out.push_str("\r\n");
    }

    /// A field of addresses: name and address each. Addresses that no mail can go to are left out; without
    /// any there is no field.
    pub fn addresses<'a>(&mut self, name: &str, list: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut column = name.len() + 1;
        let mut any = false;
        for (display, address) in list {
            let Some(text) = mailbox(display, address) else {
                continue;
            };
            if any {
                self.out.push(',');
                column += 1;
            } else {
                let _ = write!(self.out, "{name}:");
            }
            // Encoded words of a long name are folded too.
            for word in text.split(' ') {
                if column + 1 + word.len() > LINE && column > name.len() + 1 {
                    self.out.push_str("\r\n");
                    column = 0;
                }
                self.out.push(' ');
                self.out.push_str(word);
                column += 1 + word.chars().count();
            }
            any = true;
        }
        if any {
            self.out.push_str("\r\n");
        }
    }

    /// A value with parameters, such as `Content-Type`; the parameters a line each (RFC 2045 5.1, RFC 2231).
    pub fn parameters(&mut self, name: &str, value: &str, parameters: &[(&str, &str)]) {
        let _ = write!(self.out, "{name}: ");
        self.out.extend(value.chars().filter(|c| matches!(c, '!'..='~')));
        for (key, value) in parameters {
            let value = one_line(value);
            if value.chars().all(|c| matches!(c, ' '..='~')) && value.len() <= LINE - 10 - key.len() {
                let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                let _ = write!(self.out, ";\r\n\t{key}=\"{escaped}\"");
            } else {
                self.extended_parameter(key, &value);
            }
        }
        self.out.push_str("\r\n");
    }

    /// RFC 2231 3 and 4: percent-encoded UTF-8, in sections that fit a line.
    fn extended_parameter(&mut self, key: &str, value: &str) {
        let mut encoded = Vec::new();
        let mut buffer = [0; 4];
        for character in value.chars() {
            let mut text = String::new();
            for &byte in character.encode_utf8(&mut buffer).as_bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    text.push(char::from(byte));
                } else {
                    let _ = write!(text, "%{byte:02X}");
                }
            }
            encoded.push(text);
        }
        let room = LINE - 20 - key.len().min(LINE / 2);
        let mut sections = vec![String::new()];
        for text in encoded {
            if sections
                .last()
                .is_some_and(|section| section.len() + text.len() > room)
            {
                sections.push(String::new());
            }
            if let Some(section) = sections.last_mut() {
                section.push_str(&text);
            }
        }
        if let [only] = sections.as_slice() {
            let _ = write!(self.out, ";\r\n\t{key}*=UTF-8''{only}");
            return;
        }
        for (number, section) in sections.iter().enumerate() {
            let charset = if number == 0 { "UTF-8''" } else { "" };
            let _ = write!(self.out, ";\r\n\t{key}*{number}*={charset}{section}");
        }
    }

    /// Fields that are written already, each with its line end.
    pub fn existing(&mut self, fields: &str) {
        self.out.push_str(fields);
        if !fields.is_empty() && !fields.ends_with('\n') {
            self.out.push_str("\r\n");
        }
    }

    /// The header with its closing empty line.
    pub fn finish(mut self) -> String {
        self.out.push_str("\r\n");
        self.out
    }

    /// The fields so far.
    pub fn as_str(&self) -> &str {
        &self.out
    }
}

/// Line ends and other control characters as spaces: a value must not begin a field of its own.
fn one_line(value: &str) -> String {
    value
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Whether text can stand as it is: ASCII, nothing that looks like an encoded word, no word too long for a line.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !value.contains("=?")
        && value.split(' ').all(|word| word.len() <= LONGEST_WORD)
}

/// Text as encoded words with spaces between (RFC 2047), each a whole number of characters.
fn encoded_words(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (chunk, after) = rest.split_at(end);
        if !out.is_empty() {
            out.push(' ');
        }
        let quoted = quoted_word(chunk);
        let based = format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(chunk));
        out.push_str(if quoted.len() <= based.len() {
            &quoted
        } else {
            &based
        });
        rest = after;
    }
    out
}

/// The form that stays readable; its characters are those allowed everywhere (RFC 2047 5).
fn quoted_word(text: &str) -> String {
    let mut out = "=?UTF-8?Q?".to_owned();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('_'),
            b'!' | b'*' | b'+' | b'-' | b'/' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "={byte:02X}");
            }
        }
    }
    out.push_str("?=");
    out
}

/// `Name <address>`; `None` for what is no address.
fn mailbox(display: &str, address: &str) -> Option<String> {
    let address = address.trim();
    let legal = |c: char| {
        !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | ':' | '\\')
    };
    let (local, domain) = address.rsplit_once('@')?;
    if local.is_empty() || domain.is_empty() || address.len() > 320 || !address.chars().all(legal) {
        return None;
    }
    // Parts that atoms can't be made of are quoted (RFC 5322 3.4.1).
    let atoms = local.split('.').all(|atom| {
        !atom.is_empty()
            && atom
                .chars()
                .all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || ATOM.contains(c))
    });
    let local = if atoms {
        local.to_owned()
    } else {
        format!("\"{}\"", local.trim_matches('"').replace('"', "\\\""))
    };
    let display = one_line(display);
    let display = display.trim();
    if display.is_empty() || display == address {
        return Some(format!("{local}@{domain}"));
    }
    let name = if !is_plain(display) || display.contains("  ") {
        encoded_words(display)
    } else if display.split(' ').all(|word| {
        word.chars()
            .all(|c| c.is_ascii_alphanumeric() || ATOM.contains(c))
    }) {
        display.to_owned()
    } else {
        format!("\"{}\"", display.replace('\\', "\\\\").replace('"', "\\\""))
    };
    Some(format!("{name} <{local}@{domain}>"))
}

/// What an atom may have besides letters and digits (RFC 5322 3.2.3).
const ATOM: &str = "!#$%&'*+-/=?^_`{|}~";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::header::{Parameterised, addresses, decode_text, field};

    fn written(write: impl FnOnce(&mut HeaderWriter)) -> String {
        let mut header = HeaderWriter::default();
        write(&mut header);
        let header = header.finish();
        for line in header.split("\r\n") {
            assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
        }
        header
    }

    #[test]
    fn fields() {
        let header = written(|header| {
            header.text("Subject", "Gr\u{fc}\u{df}e aus K\u{f6}ln");
            header.addresses(
                "To",
                [
                    ("Doe, Jane", "jane@example.org"),
                    ("", "x@example.org"),
                    ("no", "nowhere"),
                ],
            );
            header.addresses("Cc", [("EX", "/o=org/cn=x")]);
            header.parameters(
                "Content-Type",
                "text/plain",
                &[("name", "a\"b.txt"), ("x", "\u{fc}.txt")],
            );
        });
        assert_eq!(
            header,
            "Subject: =?UTF-8?B?R3LDvMOfZSBhdXMgS8O2bG4=?=\r\n\
             To: \"Doe, Jane\" <jane@example.org>, x@example.org\r\n\
             Content-Type: text/plain;\r\n\tname=\"a\\\"b.txt\";\r\n\tx*=UTF-8''%C3%BC.txt\r\n\r\n"
        );
    }

    #[test]
    fn nobody_adds_fields() {
        let header = written(|header| {
            header.text("Subject", "a\r\nBcc: victim@example.org");
            header.words("References", "<a@b>\r\nX: y");
            header.addresses("To", [("n\r\nX: y", "a@b\r\nX: y"), ("m\nX: y", "c@d")]);
            header.parameters("Content-Type", "text/plain", &[("name", "a\r\nX: y")]);
        });
        let names: Vec<_> = header
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']) && !line.is_empty())
            .collect();
        assert_eq!(names.len(), 4, "{header}");
    }

    proptest! {
        #[test]
        fn text_comes_back(value in "[ -~\u{e4}\u{4e2d}\u{1f600}]{1,200}") {
            let header = written(|header| header.text("Subject", &value));
            let back = decode_text(&field(header.as_bytes(), "Subject").unwrap().unfolded());
            prop_assert_eq!(back, value);
        }

        #[test]
        fn people_come_back(name in "[ -~\u{e4}\u{4e2d}]{0,120}", local in "[a-z.!#+\u{e4}]{1,20}") {
            let address = format!("{local}@example.org");
            let header = written(|header| header.addresses("To", [(name.as_str(), address.as_str())]));
            let list = addresses(&field(header.as_bytes(), "To").unwrap().unfolded());
            prop_assert_eq!(list.len(), 1);
            let back = String::from_utf8(list[0].mailbox.clone().unwrap()).unwrap();
            prop_assert_eq!(back, local);
            let back = list[0].name.as_deref().map(decode_text).unwrap_or_default();
            prop_assert_eq!(back, if name.trim() == address { "" } else { name.trim() });
        }

        #[test]
        fn parameters_come_back(value in "[ -~\u{e4}\u{4e2d}\u{1f600}]{1,300}") {
            let header = written(|header| header.parameters("Content-Type", "a/b", &[("filename", &value)]));
            let read = Parameterised::read(&field(header.as_bytes(), "Content-Type").unwrap().unfolded());
            prop_assert_eq!(String::from_utf8_lossy(read.get("filename").unwrap()), value);
        }
    }
}
