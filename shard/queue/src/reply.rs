//! Replies of SMTP servers (RFC 5321 §4.2), and what they mean for a recipient (RFC 3463).

use std::{borrow::Cow, fmt};

use memchr::memchr;

/// Octets of a reply's line; RFC 5321 §4.5.3.1.5 promises 512.
const LINE_MAX: usize = 4096;
/// Lines of a reply: EHLO's list is the longest there is.
const LINES_MAX: usize = 256;
/// Characters that are kept of a reply's text.
const TEXT_MAX: usize = 400;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Text of each line, behind the code; what is not UTF-8 or not printable is replaced.
    pub lines: Vec<String>,
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line without a code, or with another than the line before.
    #[error("the server's answer is no SMTP reply")]
    Malformed,
    /// Longer than any reply may be.
    #[error("the server's answer is too long")]
    TooLong,
}

impl Reply {
    /// Reads the reply that `input` begins with, and how long it is. `None`: more must come.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, ReplyError> {
        let mut lines = Vec::new();
        let mut code = None;
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let Some(end) = memchr(b'\n', rest) else {
                return if rest.len() > LINE_MAX {
                    Err(ReplyError::TooLong)
                } else {
                    Ok(None)
                };
            };
            if end > LINE_MAX || lines.len() == LINES_MAX {
                return Err(ReplyError::TooLong);
            }
            // A bare line feed ends a line as well: what the reply says can't be mistaken.
            let line = &rest[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            at += end + 1;
            let digits = line.first_chunk::<3>().ok_or(ReplyError::Malformed)?;
            if !digits.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&digits[0]) {
                return Err(ReplyError::Malformed);
            }
            let number = digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
            if *code.get_or_insert(number) != number {
                return Err(ReplyError::Malformed);
            }
            let more = match line.get(3) {
                Some(b'-') => true,
                Some(b' ') | None => false,
                Some(_) => return Err(ReplyError::Malformed),
            };
            lines.push(printable(line.get(4..).unwrap_or_default()));
            if !more {
                return Ok(Some((Self { code: number, lines }, at)));
            }
        }
    }

    /// What the reply means for a recipient.
    pub fn status(&self) -> Status {
        let first = self.lines.first().map_or("", String::as_str);
        let (word, rest) = first.split_once(' ').unwrap_or((first, ""));
        let class = self.code / 100;
        let enhanced = is_enhanced(word) && word.starts_with(char::from(b'0' + class as u8));
        let mut text = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            // Every line repeats the enhanced code (RFC 2034 §4).
            let line = match (number, enhanced) {
                (0, true) => rest,
                (_, true) => line.strip_prefix(word).map_or(line.as_str(), str::trim_start),
                _ => line,
            };
            if number != 0 {
                text.push(' ');
            }
            text.push_str(line);
        }
        if let Some((cut, _)) = text.char_indices().nth(TEXT_MAX) {
            text.truncate(cut);
        }
        Status {
            code: self.code,
            enhanced: if enhanced {
                word.to_owned().into()
            } else {
                Cow::Borrowed(match class {
                    2 => "2.0.0",
                    4 => "4.0.0",
                    _ => "5.0.0",
                })
            },
            text: text.into(),
            remote: true,
        }
    }
}

/// What was said of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Such as 550.
    pub code: u16,
    /// Such as `5.1.1`.
    pub enhanced: Cow<'static, str>,
    /// For people; one line.
    pub text: Cow<'static, str>,
    /// Another server said it.
    pub remote: bool,
}

impl Status {
    /// What this server has to say.
    pub fn own(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            enhanced: Cow::Borrowed(enhanced),
            text: text.into(),
            remote: false,
        }
    }

    /// Whether it is done.
    pub fn is_success(&self) -> bool {
        self.code < 400
    }

    /// Whether it may go better another time.
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.enhanced, self.text)
    }
}

/// RFC 3463 §2: class, subject of up to three digits, detail of up to three digits.
fn is_enhanced(word: &str) -> bool {
    let mut parts = word.split('.');
    let number = |part: Option<&str>, most: usize| {
        part.is_some_and(|part| {
            (1..=most).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    number(parts.next(), 1) && number(parts.next(), 3) && number(parts.next(), 3) && parts.next().is_none()
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_line_by_line() {
        let input = b"250-mx.example.net\r\n250-SIZE 1000\r\n250 DSN\r\n354 go\r\n";
        let (reply, used) = Reply::parse(input).unwrap().unwrap();
        assert_eq!(reply.lines, ["mx.example.net", "SIZE 1000", "DSN"]);
        assert_eq!(Reply::parse(&input[used..]).unwrap().unwrap().0.code, 354);
        for cut in 0..used {
            assert_eq!(Reply::parse(&input[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(Reply::parse(b"250\n").unwrap().unwrap().0.lines, [""]);
    }

    #[test]
    fn what_is_no_reply() {
        for input in [
            &b"hello\r\n"[..],
            b"25\r\n",
            b"150 x\r\n",
            b"650 x\r\n",
            b"250x\r\n",
            b"250-a\r\n251 b\r\n",
            b"\r\n",
        ] {
            assert_eq!(Reply::parse(input), Err(ReplyError::Malformed), "{input:?}");
        }
        assert_eq!(Reply::parse(&[b'2'; LINE_MAX + 1]), Err(ReplyError::TooLong));
        let endless = b"250-x\r\n".repeat(LINES_MAX + 1);
        assert_eq!(Reply::parse(&endless), Err(ReplyError::TooLong));
    }

    #[test]
    fn enhanced_codes_are_the_replys_or_made_up() {
        let status = |text: &str| {
            let reply = Reply::parse(text.as_bytes()).unwrap().unwrap().0;
            reply.status()
        };
        let refused = status("550-5.1.1 no such\r\n550 5.1.1 user\r\n");
        assert_eq!(
            (refused.enhanced.as_ref(), refused.text.as_ref()),
            ("5.1.1", "no such user")
        );
        let mixed = status("451 5.1.1 odd\r\n");
        assert_eq!(
            (mixed.enhanced.as_ref(), mixed.text.as_ref()),
            ("4.0.0", "5.1.1 odd")
        );
        assert!(mixed.is_temporary());
        assert_eq!(status("250 ok\x07\r\n").text, "ok ");
        assert_eq!(status("550 5.1.1.1 x\r\n").enhanced, "5.0.0");
    }
}
