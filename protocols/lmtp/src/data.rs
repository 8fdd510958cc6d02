//! Decodes the message that follows DATA (RFC 5321 §4.5.2): removes the stuffed dots, finds the end, mends
//! line ends. See the crate's documentation for how bare CR and LF are treated and why.

use memchr::memchr2;

/// Where a [`Decoder`] stands after some input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// All input was taken; the end has not come.
    More,
    /// The message ended after this many bytes of the input.
    End(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Behind a CRLF, or at the beginning.
    LineStart,
    /// Inside a line.
    Text,
    /// Behind a CR inside a line.
    Cr,
    /// Behind a dot at the start of a line.
    Dot,
    /// Behind a dot at the start of a line and a CR.
    DotCr,
}

/// Takes a message in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    left: u64,
    too_long: bool,
}

impl Decoder {
    /// A decoder for a message of at most `limit` bytes (decoded).
    pub fn new(limit: u64) -> Self {
        Self {
            state: State::LineStart,
            left: limit,
            too_long: false,
        }
    }

    /// Whether the message passed its limit. What is beyond was read and dropped; what is in the output must
    /// not be used.
    pub fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// Decodes `input` and appends the message's bytes to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match (self.state, byte) {
                (State::LineStart, b'.') => self.state = State::Dot,
                (State::Dot, b'\r') => self.state = State::DotCr,
                (State::DotCr, b'\n') => return Progress::End(at + 1),
                (State::Cr, b'\n') => {
                    self.put(out, b"\r\n");
                    self.state = State::LineStart;
                }
                // A CR without LF. What comes now is not at the start of a line, so no dot of it is special.
                (State::Cr | State::DotCr, _) => {
                    self.put(out, b" ");
                    self.state = State::Text;
                    continue;
                }
                (State::LineStart | State::Text, b'\r') => self.state = State::Cr,
                (State::LineStart | State::Text | State::Dot, b'\n') => {
                    self.put(out, b"\r\n");
                    self.state = State::Text;
                }
                (State::LineStart | State::Text | State::Dot, _) => {
                    let run = &input[at..];
                    let length = memchr2(b'\r', b'\n', run).unwrap_or(run.len());
                    // Whole lines are copied in one go: up to the next line end that isn't a plain CRLF.
                    self.put(out, &run[..length]);
                    self.state = State::Text;
                    at += length;
                    continue;
                }
            }
            at += 1;
        }
        Progress::More
    }

    fn put(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        if bytes.len() as u64 > self.left {
            self.too_long = true;
            self.left = 0;
            return;
        }
        self.left -= bytes.len() as u64;
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes in pieces of every size; all must agree. The message, and how much input was its.
    fn decode(input: &[u8]) -> (Vec<u8>, Option<usize>) {
        let mut answers = (1..=input.len().max(1)).map(|size| {
            let (mut decoder, mut out) = (Decoder::new(1000), Vec::new());
            for (number, piece) in input.chunks(size).enumerate() {
                if let Progress::End(used) = decoder.push(piece, &mut out) {
                    return (out, Some(number * size + used));
                }
            }
            (out, None)
        });
        let first = answers.next().unwrap();
        assert!(
            answers.all(|answer| answer == first),
            "pieces differ for {input:?}"
        );
        first
    }

    #[test]
    fn dots_are_unstuffed() {
        let input = b"a\r\n..b\r\n.c\r\n.\r\nQUIT\r\n";
        assert_eq!(decode(input), (b"a\r\n.b\r\nc\r\n".to_vec(), Some(15)));
        assert_eq!(decode(b".\r\n"), (vec![], Some(3)));
        assert_eq!(decode(b"...\r\n.\r\n"), (b"..\r\n".to_vec(), Some(8)));
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message() {
        for smuggled in [
            &b"a\n.\nb"[..],
            b"a\n.\r\nb",
            b"a\r\n.\nb",
            b"a\r.\rb",
            b"a\r.\r\nb",
            b"a\r\n.\rb",
            b"a\r\n.\r\rb",
            b"\n.\r\nb",
            b"a\r\r\n.\n",
        ] {
            let (out, end) = decode(smuggled);
            assert_eq!(end, None, "{smuggled:?} ended a message");
            let out = String::from_utf8(out).unwrap();
            assert!(!out.replace("\r\n", "").contains(['\r', '\n']), "{out:?}");
        }
        // A CR before the CRLF belongs to its line.
        assert_eq!(decode(b"a\r\r\n.\r\n"), (b"a \r\n".to_vec(), Some(7)));
    }

    #[test]
    fn bare_line_ends_are_mended() {
        assert_eq!(decode(b"a\nb\rc\r\n.\r\n").0, b"a\r\nb c\r\n");
        assert_eq!(decode(b"a\n..b\r\n.\r\n").0, b"a\r\n..b\r\n");
    }

    #[test]
    fn a_long_message_is_read_to_its_end_and_dropped() {
        let mut decoder = Decoder::new(10);
        let mut out = Vec::new();
        assert_eq!(decoder.push(b"12345678\r\n", &mut out), Progress::More);
        assert!(!decoder.is_too_long());
        assert_eq!(
            decoder.push(b"x\r\nMORE\r\n.\r\nQUIT\r\n", &mut out),
            Progress::End(12)
        );
        assert!(decoder.is_too_long());
        assert!(out.len() <= 10);
    }
}
