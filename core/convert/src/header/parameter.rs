//! Values with parameters: `Content-Type`, `Content-Disposition` (RFC 2045 5.1, RFC 2183, RFC 2231).

use super::address::{comment, quoted_string};

/// Parameters of one field that are read.
pub const MAX_PARAMETERS: usize = 200;
/// The highest section number of an RFC 2231 continuation.
const MAX_SECTIONS: usize = 200;

/// A value and its parameters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parameterised {
    /// What comes before the first semicolon, lower case.
    pub value: Vec<u8>,
    /// Names in lower case, values unquoted; continuations are joined, percent-encoding is decoded and,
    /// where the charset is known, turned into UTF-8. The first of equal names counts.
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Parameterised {
    /// Reads an unfolded value. Never fails: what can't be read is passed over.
    pub fn read(text: &[u8]) -> Self {
        let mut reader = Cursor { text, at: 0 };
        let value = reader.token(b";", true).to_ascii_lowercase();
        let mut raw: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        while raw.len() < MAX_PARAMETERS && reader.at < text.len() {
            if reader.text[reader.at] == b';' {
                reader.at += 1;
                continue;
            }
            let name = reader.token(b"=;", true).to_ascii_lowercase();
            if reader.text.get(reader.at) != Some(&b'=') {
                continue;
            }
            reader.at += 1;
            // Programs that forget to quote a file name have names such as `report (1).pdf`; none comments them.
            let file_name = matches!(base_name(&name), b"name" | b"filename");
            let value = reader.token(b";", !file_name);
            if !name.is_empty() {
                raw.push((name, value));
            }
        }
        let parameters = join(raw);
        Self { value, parameters }
    }

    /// The value of a parameter, by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        parameter(&self.parameters, name)
    }
}

/// The value of a parameter, by its lower-case name.
pub fn parameter<'a>(parameters: &'a [(Vec<u8>, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    parameters
        .iter()
        .find(|(known, _)| known == name.as_bytes())
        .map(|(_, value)| value.as_slice())
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Reads up to one of `stops` outside of quotes and comments, without white space around it. Parentheses
    /// are comments only where `comments` says so.
    fn token(&mut self, stops: &[u8], comments: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut quoted_end = 0;
        while let Some(&byte) = self.text.get(self.at) {
            if stops.contains(&byte) {
                break;
            }
            self.at += 1;
            match byte {
                b'"' => {
                    self.at = quoted_string(self.text, self.at, &mut out);
                    quoted_end = out.len();
                }
                b'(' if comments
                    && (out.is_empty()
                        || self.text.get(self.at - 2).is_some_and(u8::is_ascii_whitespace)) =>
                {
                    self.at = comment(self.text, self.at, &mut Vec::new());
                }
                b'\r' | b'\n' | 0 => {}
                b' ' | b'\t' if out.is_empty() => {}
                _ => out.push(byte),
            }
        }
        let end = out.trim_ascii_end().len().max(quoted_end);
        out.truncate(end);
        out
    }
}

/// Joins the continuations of RFC 2231 and decodes the extended ones.
fn join(raw: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    if !raw.iter().any(|(name, _)| name.contains(&b'*')) {
        let mut plain: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            if !plain.iter().any(|(known, _)| *known == name) {
                plain.push((name, value));
            }
        }
        return plain;
    }
    let mut out: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (index, (name, value)) in raw.iter().enumerate() {
        let base = base_name(name);
        if raw[..index].iter().any(|(known, _)| base_name(known) == base) {
            continue;
        }
        // An extended form is preferred to a plain one beside it, which is there for old programs.
        let sections: Vec<(usize, bool, &[u8])> = raw
            .iter()
            .filter(|(known, _)| base_name(known) == base && known.len() > base.len())
            .filter_map(|(known, value)| section(&known[base.len()..]).map(|(n, ext)| (n, ext, &value[..])))
            .collect();
        let value = if sections.is_empty() {
            value.clone()
        } else {
            assemble(sections)
        };
        out.push((base.to_vec(), value));
    }
    out
}

fn base_name(name: &[u8]) -> &[u8] {
    let star = memchr::memchr(b'*', name).unwrap_or(name.len());
    &name[..star]
}

/// Number and whether percent-encoded, of `*`, `*0`, `*0*`.
fn section(suffix: &[u8]) -> Option<(usize, bool)> {
    let suffix = suffix.strip_prefix(b"*")?;
    if suffix.is_empty() {
        return Some((0, true));
    }
    let (digits, extended) = match suffix.strip_suffix(b"*") {
        Some(digits) => (digits, true),
        None => (suffix, false),
    };
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= MAX_SECTIONS).then_some((number, extended))
}

fn assemble(mut sections: Vec<(usize, bool, &[u8])>) -> Vec<u8> {
    sections.sort_by_key(|(number, ..)| *number);
    let mut out = Vec::new();
    let mut charset: &[u8] = b"";
    for (index, &(_, extended, value)) in sections.iter().enumerate() {
        let mut value = value;
        if extended {
            if index == 0 {
                let mut quotes = memchr::memchr_iter(b'\'', value);
                if let (Some(first), Some(second)) = (quotes.next(), quotes.next()) {
                    charset = &value[..first];
                    value = &value[second + 1..];
                }
            }
            percent_decode(value, &mut out);
        } else {
            out.extend_from_slice(value);
        }
    }
    if charset.is_empty() {
        return out;
    }
    crate::body::charset::decode(&out, charset)
        .into_owned()
        .into_bytes()
}

/// Appends `value` with its `%41` decoded.
pub(crate) fn percent_decode(value: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| (byte as char).to_digit(16));
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        at += 1;
        match (byte, digit(value.get(at)), digit(value.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let read = Parameterised::read(text.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut out = text(&read.value);
        for (name, value) in &read.parameters {
            out = format!("{out};{}={}", text(name), text(value));
        }
        out
    }

    #[test]
    fn the_forms_of_rfc_2045() {
        assert_eq!(
            shown("Text/Plain; charset=us-ascii (Plain text)"),
            "text/plain;charset=us-ascii"
        );
        assert_eq!(
            shown("multipart/mixed; Boundary=\"gc0p4Jq0M2Yt08j;34c0p \"; a = b ;"),
            "multipart/mixed;boundary=gc0p4Jq0M2Yt08j;34c0p ;a=b"
        );
        assert_eq!(shown("a/b; x=1; X=2; broken; =3"), "a/b;x=1");
        assert_eq!(shown("a/b; name=\"a\\\"b\""), "a/b;name=a\"b");
        assert_eq!(
            shown("attachment; filename=report (1).pdf"),
            "attachment;filename=report (1).pdf"
        );
        assert_eq!(
            shown("attachment; filename*0=(a); filename*1=(b).pdf; size=3 (bytes)"),
            "attachment;filename=(a)(b).pdf;size=3"
        );
        assert_eq!(shown(""), "");
    }

    #[test]
    fn the_examples_of_rfc_2231() {
        assert_eq!(
            shown("message/external-body; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/a.tar\""),
            "message/external-body;url=ftp://cs.utk.edu/a.tar"
        );
        assert_eq!(
            shown("application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),
            "application/x-stuff;title=This is ***fun***"
        );
        assert_eq!(
            shown(
                "a/b; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*0*=us-ascii'en'This%20is%20even%20more%20; \
                 title*2=\"isn't it!\""
            ),
            "a/b;title=This is even more ***fun*** isn't it!"
        );
        assert_eq!(shown("a/b; f=old; f*=iso-8859-1''%FCber"), "a/b;f=über");
        assert_eq!(shown("a/b; f*=%zz%4"), "a/b;f=%zz%4");
        // A charset without bytes above 80.
        assert_eq!(shown("a/b; f*=iso-2022-jp''%1B$BF|K%5C%1B(B"), "a/b;f=日本");
    }

    #[test]
    fn the_count_is_limited() {
        let many = b"a/b"
            .iter()
            .copied()
            .chain((0..MAX_PARAMETERS + 9).flat_map(|n| format!(";a{n}=1").into_bytes()));
        let many: Vec<u8> = many.collect();
        assert_eq!(Parameterised::read(&many).parameters.len(), MAX_PARAMETERS);
    }
}
