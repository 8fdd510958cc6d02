//! Address lists (RFC 5322 3.4 with its obsolete forms, RFC 6532), for envelopes and recipients.

use crate::structure::Address;

/// Addresses of one list that are read; the rest of the list is passed over.
pub const MAX_ADDRESSES: usize = 20_000;

/// Reads an unfolded address list. Display names stay raw (encoded words, 8-bit bytes) but are unquoted;
/// routes are dropped; an address without a domain has an empty `host`. A group is a row with its name in
/// `mailbox`, its members, and an empty row.
pub fn addresses(list: &[u8]) -> Vec<Address> {
    let mut reader = List {
        bytes: list,
        at: 0,
        found: Vec::new(),
        in_group: false,
        one: One::default(),
    };
    reader.read();
    reader.found
}

struct List<'a> {
    bytes: &'a [u8],
    at: usize,
    found: Vec<Address>,
    in_group: bool,
    one: One,
}

/// What was read of one address.
#[derive(Default)]
struct One {
    /// Words outside of angle brackets, unquoted, a space where there was white space.
    words: Vec<u8>,
    /// Where in `words` the last `@` outside of quotes is.
    at_sign: Option<usize>,
    /// What the last comment said.
    comment: Option<Vec<u8>>,
    /// Mailbox and host from the angle brackets.
    angle: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether white space precedes what comes next.
    space: bool,
}

impl One {
    fn word(&mut self, byte: u8) {
        if std::mem::take(&mut self.space) && !self.words.is_empty() {
            self.words.push(b' ');
        }
        self.words.push(byte);
    }
}

impl List<'_> {
    fn read(&mut self) {
        while self.found.len() < MAX_ADDRESSES {
            let Some(&byte) = self.bytes.get(self.at) else {
                break;
            };
            self.at += 1;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | 0 => self.one.space = true,
                b'"' => {
                    let mut quoted = Vec::new();
                    self.at = quoted_string(self.bytes, self.at, &mut quoted);
                    let space = self.one.space && !self.one.words.is_empty();
                    self.one.space = false;
                    if space {
                        self.one.words.push(b' ');
                    }
                    self.one.words.extend_from_slice(&quoted);
                }
                b'(' => {
                    let mut text = Vec::new();
                    self.at = comment(self.bytes, self.at, &mut text);
                    self.one.comment = Some(text);
                    self.one.space = true;
                }
                b'<' if self.one.angle.is_none() => self.one.angle = Some(self.angle()),
                b'<' | b'>' => {}
                b',' => self.end_address(),
                b';' => {
                    self.end_address();
                    if std::mem::take(&mut self.in_group) {
                        self.found.push(Address::default());
                    }
                }
                b':' if !self.in_group && self.one.at_sign.is_none() && self.one.angle.is_none() => {
                    let one = std::mem::take(&mut self.one);
                    self.in_group = true;
                    self.found.push(Address {
                        mailbox: Some(one.words),
                        ..Address::default()
                    });
                }
                b'@' => {
                    // White space around the sign is not part of the address (RFC 5322 4.4).
                    self.one.space = false;
                    self.one.at_sign = Some(self.one.words.len());
                    self.one.words.push(b'@');
                }
                b'\\' if self.at < self.bytes.len() => {
                    let quoted = self.bytes[self.at];
                    self.at += 1;
                    self.one.word(quoted);
                }
                _ => {
                    let after_sign = self.one.at_sign.is_some_and(|at| at + 1 == self.one.words.len());
                    let dot = byte == b'.' || self.one.words.last() == Some(&b'.');
                    if after_sign || (dot && self.one.at_sign.is_some()) {
                        self.one.space = false;
                    }
                    self.one.word(byte);
                }
            }
        }
        self.end_address();
        if self.in_group {
            self.found.push(Address::default());
        }
    }

    fn end_address(&mut self) {
        let one = std::mem::take(&mut self.one);
        let some = |text: Vec<u8>| (!text.is_empty()).then_some(text);
        if let Some((mailbox, host)) = one.angle {
            let name = some(one.words).or(one.comment.and_then(some));
            if name.is_some() || !mailbox.is_empty() || !host.is_empty() {
                self.found.push(Address {
                    name,
                    mailbox: Some(mailbox),
                    host: Some(host),
                });
            }
            return;
        }
        if one.words.is_empty() {
            return;
        }
        let (mailbox, host) = match one.at_sign {
            Some(at) => {
                let host = one.words[at + 1..].trim_ascii().to_vec();
                (one.words[..at].trim_ascii_end().to_vec(), host)
            }
            None => (one.words, Vec::new()),
        };
        self.found.push(Address {
            name: one.comment.and_then(some),
            mailbox: Some(mailbox),
            host: Some(host),
        });
    }

    /// What is in angle brackets; `at` is behind the opening one.
    fn angle(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut mailbox = Vec::new();
        let mut sign = None;
        let mut route = false;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'>' => break,
                b'"' => self.at = quoted_string(self.bytes, self.at, &mut mailbox),
                b'(' => self.at = comment(self.bytes, self.at, &mut Vec::new()),
                b' ' | b'\t' | b'\r' | b'\n' | 0 => {}
                b'@' => {
                    route |= mailbox.is_empty();
                    sign = Some(mailbox.len());
                    mailbox.push(b'@');
                }
                // The end of a route (RFC 5322 4.4).
                b':' if route => {
                    mailbox.clear();
                    (sign, route) = (None, false);
                }
                // A bracket that was not closed: the list goes on.
                b',' if !route => {
                    self.at -= 1;
                    break;
                }
                _ => mailbox.push(byte),
            }
        }
        match sign {
            Some(at) => {
                let host = mailbox.split_off(at + 1);
                mailbox.truncate(at);
                (mailbox, host)
            }
            None => (mailbox, Vec::new()),
        }
    }
}

/// Appends the content of a quoted string whose opening quote is before `at`; returns where it ends.
pub(crate) fn quoted_string(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => break,
            b'\\' => {
                if let Some(&quoted) = bytes.get(at) {
                    out.push(quoted);
                    at += 1;
                }
            }
            b'\r' | b'\n' => {}
            _ => out.push(byte),
        }
    }
    at
}

/// Appends the content of a comment whose opening parenthesis is before `at`; returns where it ends. Inner
/// comments keep their parentheses.
pub(crate) fn comment(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
    let mut depth = 1usize;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
                out.push(byte);
            }
            b'(' => {
                depth += 1;
                out.push(byte);
            }
            b'\\' => {
                if let Some(&quoted) = bytes.get(at) {
                    out.push(quoted);
                    at += 1;
                }
            }
            _ => out.push(byte),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(list: &str) -> Vec<String> {
        let part = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or("-".to_owned(), |bytes| {
                String::from_utf8_lossy(bytes).into_owned()
            })
        };
        addresses(list.as_bytes())
            .iter()
            .map(|one| format!("{}|{}|{}", part(&one.name), part(&one.mailbox), part(&one.host)))
            .collect()
    }

    #[test]
    fn the_forms_of_rfc_5322() {
        assert_eq!(
            shown("John Doe <jdoe@machine.example>, mary@example.net"),
            ["John Doe|jdoe|machine.example", "-|mary|example.net"]
        );
        assert_eq!(
            shown("\"Joe Q. Public\" <john.q.public@example.com>, <boss@nil.test>"),
            ["Joe Q. Public|john.q.public|example.com", "-|boss|nil.test"]
        );
        assert_eq!(
            shown("A Group:Ed Jones <joe@where.test>,John <jdoe@one.test>;"),
            [
                "-|A Group|-",
                "Ed Jones|joe|where.test",
                "John|jdoe|one.test",
                "-|-|-"
            ]
        );
        assert_eq!(
            shown("Undisclosed recipients:;"),
            ["-|Undisclosed recipients|-", "-|-|-"]
        );
        assert_eq!(
            shown("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            ["Pete|pete|silly.test"]
        );
        assert_eq!(
            shown("Mary Smith <@node.test,@other.test:mary@example.net>, , jdoe@test  . example"),
            ["Mary Smith|mary|example.net", "-|jdoe|test.example"]
        );
        assert_eq!(
            shown("mail@x.test (Some (odd) Name)"),
            ["Some (odd) Name|mail|x.test"]
        );
    }

    #[test]
    fn sloppy_ones() {
        assert_eq!(shown("MAILER-DAEMON"), ["-|MAILER-DAEMON|"]);
        assert_eq!(shown("Müller <m@x.test"), ["Müller|m|x.test"]);
        assert_eq!(shown("\"open <a@b.c>"), ["-|open <a@b.c>|"]);
        assert_eq!(shown("<>"), [""; 0]);
        assert_eq!(shown("=?utf-8?q?a?= <a@b>, <c@d"), ["=?utf-8?q?a?=|a|b", "-|c|d"]);
        assert_eq!(shown("Open:a@b"), ["-|Open|-", "-|a|b", "-|-|-"]);
        assert_eq!(shown("a@b:c;d@e"), ["-|a|b:c", "-|d|e"]);
    }

    #[test]
    fn the_count_is_limited() {
        assert!(addresses(&b"a@b,".repeat(MAX_ADDRESSES + 5)).len() <= MAX_ADDRESSES + 1);
    }
}
