//! Reads the grammar's small elements: atoms, strings, numbers (RFC 9051 §9).

use std::borrow::Cow;

use super::{SyntaxError, mailbox_name};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// A place in a command.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Mailbox names are UTF-8, not modified UTF-7: IMAP4rev2 or UTF8=ACCEPT is enabled.
    pub(crate) utf8: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], utf8: bool) -> Self {
        Self { bytes, at: 0, utf8 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Position from the command's start.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(SyntaxError::Expected(what))
        }
    }

    pub(crate) fn space(&mut self) -> Result<()> {
        self.expect(b' ', "a space")?;
        // More than one is wrong but seen in the wild, and can't be mistaken for anything.
        while self.eat(b' ') {}
        Ok(())
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        while self.eat(b' ') {}
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(SyntaxError::Expected("the end of the command"))
        }
    }

    /// Takes this word, in any case, if it is here and no atom goes on after it.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let there = rest.len() >= word.len()
            && rest[..word.len()].eq_ignore_ascii_case(word.as_bytes())
            && !rest.get(word.len()).is_some_and(|&b| is_atom(b) && b != b'[');
        if there {
            self.at += word.len();
        }
        there
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|&b| !accept(b)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn text_while(&mut self, accept: impl Fn(u8) -> bool, what: &'static str) -> Result<&'a str> {
        match std::str::from_utf8(self.take_while(accept)) {
            Ok("") | Err(_) => Err(SyntaxError::Expected(what)),
            Ok(text) => Ok(text),
        }
    }

    /// `atom`
    pub(crate) fn atom(&mut self) -> Result<&'a str> {
        self.text_while(is_atom, "an atom")
    }

    /// A word of letters, digits, `-`, `.`, `=`: names of commands, items, options.
    pub(crate) fn word(&mut self) -> Result<&'a str> {
        self.text_while(|b| b.is_ascii_alphanumeric() || b"-.=_$".contains(&b), "a word")
    }

    /// A tag: any astring character but `+`.
    pub(crate) fn tag(&mut self) -> Result<&'a str> {
        self.text_while(|b| is_astring(b) && b != b'+', "a tag")
    }

    /// `number`: 32 bits.
    pub(crate) fn number(&mut self) -> Result<u32> {
        u32::try_from(self.number64()?).map_err(|_| SyntaxError::Expected("a number of 32 bits"))
    }

    /// `number64`: 63 bits.
    pub(crate) fn number64(&mut self) -> Result<u64> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        let text = std::str::from_utf8(digits).unwrap_or_default();
        text.parse()
            .ok()
            .filter(|&n: &u64| i64::try_from(n).is_ok())
            .ok_or(SyntaxError::Expected("a number"))
    }

    /// `nz-number`
    pub(crate) fn nonzero(&mut self) -> Result<u32> {
        self.number()?
            .checked_sub(1)
            .map(|n| n + 1)
            .ok_or(SyntaxError::Expected("a number above 0"))
    }

    /// `string`: quoted, literal or (as clients send it where only text is meant) literal8.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => self.literal().map(|(bytes, _)| Cow::Borrowed(bytes)),
            _ => Err(SyntaxError::Expected("a string")),
        }
    }

    fn quoted(&mut self) -> Result<Cow<'a, [u8]>> {
        self.expect(b'"', "a quoted string")?;
        let plain = self.take_while(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'\\') => {
                    self.at += 1;
                    let escaped = self.peek().filter(|b| matches!(b, b'"' | b'\\'));
                    text.push(escaped.ok_or(SyntaxError::Expected("\\\" or \\\\"))?);
                    self.at += 1;
                }
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                None | Some(b'\r' | b'\n' | 0) => return Err(SyntaxError::Expected("a closing quote")),
                Some(other) => {
                    text.push(other);
                    self.at += 1;
                }
            }
        }
    }

    /// A literal (its bytes are in the command already) and whether it is a literal8.
    pub(crate) fn literal(&mut self) -> Result<(&'a [u8], bool)> {
        let binary = self.eat(b'~');
        self.expect(b'{', "a literal")?;
        let size = usize::try_from(self.number64()?).map_err(|_| SyntaxError::Expected("a literal"))?;
        self.eat(b'+');
        self.expect(b'}', "a literal")?;
        self.eat(b'\r');
        self.expect(b'\n', "a literal")?;
        let bytes = self
            .rest()
            .get(..size)
            .ok_or(SyntaxError::Expected("a literal's bytes"))?;
        self.at += size;
        Ok((bytes, binary))
    }

    /// `astring`
    pub(crate) fn astring(&mut self) -> Result<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{' | b'~') => self.string(),
            _ => match self.take_while(is_astring) {
                [] => Err(SyntaxError::Expected("a string or atom")),
                atom => Ok(Cow::Borrowed(atom)),
            },
        }
    }

    /// `astring` that is text.
    pub(crate) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.astring()?.into_owned()).map_err(|_| SyntaxError::Expected("UTF-8 text"))
    }

    /// `nstring`
    pub(crate) fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>> {
        if self.eat_word("NIL") {
            Ok(None)
        } else {
            self.string().map(Some)
        }
    }

    /// `mailbox`
    pub(crate) fn mailbox(&mut self) -> Result<String> {
        let raw = self.astring()?;
        self.mailbox_name(&raw)
    }

    /// `list-mailbox`: a mailbox name that may have wildcards.
    pub(crate) fn list_mailbox(&mut self) -> Result<String> {
        let raw = match self.peek() {
            Some(b'"' | b'{' | b'~') => self.string()?,
            _ => match self.take_while(|b| is_astring(b) || matches!(b, b'%' | b'*')) {
                [] => return Err(SyntaxError::Expected("a mailbox pattern")),
                pattern => Cow::Borrowed(pattern),
            },
        };
        self.mailbox_name(&raw)
    }

    fn mailbox_name(&self, raw: &[u8]) -> Result<String> {
        if raw.len() > limits::MAILBOX_NAME_BYTES {
            return Err(SyntaxError::MailboxName);
        }
        mailbox_name::decode(raw, self.utf8).ok_or(SyntaxError::MailboxName)
    }

    /// `( element *(SP element) )`, at most `limit`; may be empty.
    pub(crate) fn list<T>(
        &mut self,
        limit: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect(b'(', "a list")?;
        let mut elements = Vec::new();
        loop {
            while self.eat(b' ') {}
            if self.eat(b')') {
                return Ok(elements);
            }
            if elements.len() == limit {
                return Err(SyntaxError::TooMany("list elements"));
            }
            elements.push(element(self)?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(SyntaxError::Expected("a space or )"));
            }
        }
    }

    /// A flag of STORE or APPEND: `\Seen`, or a keyword.
    pub(crate) fn flag(&mut self) -> Result<String> {
        let backslash = self.eat(b'\\');
        let name = self.atom()?;
        if name.len() > limits::KEYWORD_BYTES {
            return Err(SyntaxError::TooMany("bytes in a keyword"));
        }
        Ok(if backslash {
            format!("\\{name}")
        } else {
            name.to_owned()
        })
    }
}

/// `ATOM-CHAR`
pub(crate) fn is_atom(byte: u8) -> bool {
    byte > 0x20 && byte < 0x7f && !b"(){%*\"\\]".contains(&byte)
}

/// `ASTRING-CHAR`, and 8-bit bytes: clients send UTF-8 names so.
fn is_astring(byte: u8) -> bool {
    is_atom(byte) || byte == b']' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        let read = |bytes: &'static [u8]| Reader::new(bytes, false).astring().map(Cow::into_owned);
        assert_eq!(read(b"atom] x").unwrap(), b"atom]");
        assert_eq!(read(b"\"a \\\"b\\\\\" x").unwrap(), b"a \"b\\");
        assert_eq!(read(b"\"\"").unwrap(), b"");
        assert_eq!(read(b"{3+}\r\na\r\nz").unwrap(), b"a\r\n");
        for bad in [
            &b""[..],
            b"(",
            b"\"open",
            b"\"a\\b\"",
            b"\"a\rb\"",
            b"{3}\r\nab",
            b"{}\r\n",
            b"{3}ab",
            b"{99999999999999999999}\r\n",
        ] {
            assert!(Reader::new(bad, false).astring().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(Reader::new(b"4294967295", false).number(), Ok(u32::MAX));
        assert!(Reader::new(b"4294967296", false).number().is_err());
        assert_eq!(
            Reader::new(b"9223372036854775807", false).number64(),
            Ok(i64::MAX as u64)
        );
        assert!(Reader::new(b"9223372036854775808", false).number64().is_err());
        assert!(Reader::new(b"0", false).nonzero().is_err());
    }

    #[test]
    fn lists_have_limits() {
        let read = |bytes: &'static [u8]| Reader::new(bytes, false).list(2, |r| r.atom().map(str::to_owned));
        assert_eq!(read(b"()").unwrap().len(), 0);
        assert_eq!(read(b"(a b)").unwrap(), ["a", "b"]);
        assert_eq!(read(b"(a b c)"), Err(SyntaxError::TooMany("list elements")));
        assert!(read(b"(a").is_err() && read(b"(a\"b\")").is_err());
    }
}
