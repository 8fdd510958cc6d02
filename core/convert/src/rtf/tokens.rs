//! RTF as a sequence of tokens ([MSFT-RTF], "RTF Syntax").

/// The longest control word that is looked at; RTF itself allows 32 letters.
const MAX_WORD: usize = 32;

/// A piece of RTF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token<'a> {
    /// `{`
    Open,
    /// `}`
    Close,
    /// `\word`, with its number. The space that ends it belongs to it.
    Word(&'a [u8], Option<i32>),
    /// `\` and a character that is no letter, such as `\~`.
    Symbol(u8),
    /// `\'hh`: a byte of the code page.
    Hex(u8),
    /// Bytes as they are: text. Line ends of the file mean nothing, and are left out.
    Text(&'a [u8]),
    /// What follows `\bin`: not text.
    Binary(&'a [u8]),
}

/// Reads the tokens of `rtf`. Whatever the bytes are, they are some tokens.
pub fn tokens(rtf: &[u8]) -> Tokens<'_> {
    Tokens { rest: rtf }
}

/// The tokens that are left.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let skipped = self
            .rest
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n' | 0))
            .count();
        self.rest = &self.rest[skipped..];
        let (&first, rest) = self.rest.split_first()?;
        match first {
            b'{' => {
                self.rest = rest;
                Some(Token::Open)
            }
            b'}' => {
                self.rest = rest;
                Some(Token::Close)
            }
            b'\\' => {
                self.rest = rest;
                Some(self.control())
            }
            _ => {
                let end = self
                    .rest
                    .iter()
                    .position(|byte| matches!(byte, b'{' | b'}' | b'\\' | b'\r' | b'\n' | 0));
                Some(Token::Text(self.take(end.unwrap_or(self.rest.len()))))
            }
        }
    }
}

impl<'a> Tokens<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        head
    }

    /// What follows a backslash.
    fn control(&mut self) -> Token<'a> {
        let letters = self
            .rest
            .iter()
            .take(MAX_WORD)
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        if letters == 0 {
            return self.symbol();
        }
        let word = self.take(letters);
        let negative = self.rest.first() == Some(&b'-') && self.rest.get(1).is_some_and(u8::is_ascii_digit);
        if negative {
            self.take(1);
        }
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = (digits > 0).then(|| {
            let value = self.take(digits).iter().fold(0_i32, |value, digit| {
                value.saturating_mul(10).saturating_add(i32::from(digit - b'0'))
            });
            if negative { -value } else { value }
        });
        if self.rest.first() == Some(&b' ') {
            self.take(1);
        }
        if word == b"bin" {
            let count = usize::try_from(number.unwrap_or(0)).unwrap_or(0);
            return Token::Binary(self.take(count));
        }
        Token::Word(word, number)
    }

    fn symbol(&mut self) -> Token<'a> {
        let Some(&symbol) = self.take(1).first() else {
            return Token::Text(b"");
        };
        match symbol {
            b'\'' => {
                let digit = |at: usize| {
                    let digit = self.rest.get(at).map(|&byte| char::from(byte));
                    digit.and_then(|digit| digit.to_digit(16))
                };
                match (digit(0), digit(1)) {
                    (Some(high), Some(low)) => {
                        self.take(2);
                        Token::Hex((high << 4 | low) as u8)
                    }
                    _ => Token::Text(b""),
                }
            }
            // A line end behind a backslash ends the paragraph.
            b'\r' | b'\n' => Token::Word(b"par", None),
            _ => Token::Symbol(symbol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_token() {
        let rtf = b"{\\rtf1\\ansi\r\n\\u-3913 ?a \\'e9\\~\\{\\b0 b\\bin3 {}\\c\\\n}";
        let expected = [
            Token::Open,
            Token::Word(b"rtf", Some(1)),
            Token::Word(b"ansi", None),
            Token::Word(b"u", Some(-3913)),
            Token::Text(b"?a "),
            Token::Hex(0xe9),
            Token::Symbol(b'~'),
            Token::Symbol(b'{'),
            Token::Word(b"b", Some(0)),
            Token::Text(b"b"),
            Token::Binary(b"{}\\"),
            Token::Text(b"c"),
            Token::Word(b"par", None),
            Token::Close,
        ];
        assert_eq!(tokens(rtf).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn broken_ends() {
        for (rtf, expected) in [
            (&b"\\"[..], Token::Text(b"")),
            (b"\\'4", Token::Text(b"")),
            (b"\\bin99 ab", Token::Binary(b"ab")),
            (b"\\b99999999999", Token::Word(b"b", Some(i32::MAX))),
        ] {
            assert_eq!(tokens(rtf).next(), Some(expected));
        }
    }
}
