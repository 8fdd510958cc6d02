//! Cuts what a client sends into commands: lines and the literals that they announce (RFC 9051 §4.3, RFC 7888).

use crate::limits;

/// What [`Framer::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// More bytes are needed.
    Incomplete,
    /// The client waits for `+` before it sends a literal.
    Continue,
    /// A whole command: its lines, each literal after the line that announces it, no final CRLF.
    Command(Vec<u8>),
    /// A command that passed a limit; it was skipped.
    Refused {
        /// Its tag, if it had one.
        tag: Option<String>,
        /// Whether it was an APPEND whose message is too big, rather than an overlong command.
        too_big: bool,
    },
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    Literal(usize),
    /// Skipping the rest of a refused command's line, or a literal that comes without asking.
    SkipLine,
    SkipLiteral(u64),
}

/// Limits of a session's present state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    /// Of a command with its literals.
    pub(crate) command: usize,
    /// Of an APPEND's literal; `None` while it is not allowed.
    pub(crate) message: Option<usize>,
}

/// The state between bytes.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    state: State,
    command: Vec<u8>,
    /// Bytes of the command that are lines.
    line_bytes: usize,
    /// Bytes of the input that hold no line end.
    searched: usize,
    refused: Option<(Option<String>, bool)>,
}

impl Framer {
    /// Takes the next command from the front of `input`.
    pub(crate) fn next(&mut self, input: &mut Vec<u8>, frame_limits: FrameLimits) -> Frame {
        loop {
            match &mut self.state {
                State::Literal(missing) => {
                    let taken = (*missing).min(input.len());
                    self.command.extend_from_slice(&input[..taken]);
                    input.drain(..taken);
                    *missing -= taken;
                    if *missing > 0 {
                        return Frame::Incomplete;
                    }
                    self.state = State::Line;
                }
                State::SkipLiteral(missing) => {
                    let taken = (*missing).min(input.len() as u64);
                    input.drain(..taken as usize);
                    *missing -= taken;
                    if *missing > 0 {
                        return Frame::Incomplete;
                    }
                    self.state = State::SkipLine;
                }
                State::SkipLine => {
                    let Some(end) = memchr::memchr(b'\n', input) else {
                        // Enough is kept to see a literal's announcement at the end of the line.
                        input.drain(..input.len().saturating_sub(64));
                        return Frame::Incomplete;
                    };
                    let announced = literal(&input[..end]);
                    input.drain(..=end);
                    match announced {
                        Some(Literal { size, waits: false }) => self.state = State::SkipLiteral(size),
                        _ => return self.refusal(),
                    }
                }
                State::Line => {
                    let Some(end) =
                        memchr::memchr(b'\n', &input[self.searched..]).map(|at| at + self.searched)
                    else {
                        self.searched = input.len();
                        if self.line_bytes + input.len() <= limits::LINE_BYTES {
                            return Frame::Incomplete;
                        }
                        self.refuse(input, false);
                        self.state = State::SkipLine;
                        continue;
                    };
                    self.searched = 0;
                    if self.line_bytes + end > limits::LINE_BYTES {
                        self.refuse(input, false);
                        self.state = State::SkipLine;
                        continue;
                    }
                    let line_end = if end > 0 && input[end - 1] == b'\r' {
                        end - 1
                    } else {
                        end
                    };
                    let announced = literal(&input[..line_end]);
                    self.line_bytes += end + 1;
                    self.command.extend_from_slice(&input[..line_end]);
                    input.drain(..=end);
                    let Some(Literal { size, waits }) = announced else {
                        self.line_bytes = 0;
                        return Frame::Command(std::mem::take(&mut self.command));
                    };
                    let message = frame_limits.message.filter(|_| is_append(&self.command));
                    let total = message.unwrap_or(frame_limits.command);
                    if size > total as u64
                        || self.command.len() as u64 + size > (total + limits::LINE_BYTES) as u64
                    {
                        self.refuse(&[], message.is_some());
                        if waits {
                            return self.refusal();
                        }
                        self.state = State::SkipLiteral(size);
                        continue;
                    }
                    self.command.extend_from_slice(b"\r\n");
                    self.state = State::Literal(size as usize);
                    if waits {
                        return Frame::Continue;
                    }
                }
            }
        }
    }

    /// Whether a command has begun but not ended.
    pub(crate) fn in_command(&self) -> bool {
        !self.command.is_empty() || !matches!(self.state, State::Line)
    }

    fn refuse(&mut self, input: &[u8], too_big: bool) {
        let start = if self.command.is_empty() {
            input
        } else {
            &self.command
        };
        let tag = start[..start.len().min(128)]
            .split(|&b| b == b' ')
            .next()
            .unwrap_or_default();
        let tag = std::str::from_utf8(tag)
            .ok()
            .filter(|t| super::command::is_tag(t))
            .map(str::to_owned);
        self.refused = Some((tag, too_big));
        self.command = Vec::new();
        self.searched = 0;
    }

    fn refusal(&mut self) -> Frame {
        self.state = State::Line;
        self.line_bytes = 0;
        let (tag, too_big) = self.refused.take().unwrap_or_default();
        Frame::Refused { tag, too_big }
    }
}

struct Literal {
    size: u64,
    /// Whether the client waits for a continuation request.
    waits: bool,
}

/// The literal that a line's end announces: `{n}`, `{n+}`, also as literal8 (`~{n}`), which looks the same here.
fn literal(line: &[u8]) -> Option<Literal> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', &inner[inner.len().saturating_sub(24)..])?;
    let inner = &inner[inner.len().saturating_sub(24)..][open + 1..];
    let (digits, waits) = match inner.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (inner, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than a u64 has are a size that is refused all the same.
    let size = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    Some(Literal { size, waits })
}

/// Whether the command brings a message: APPEND or REPLACE.
fn is_append(command: &[u8]) -> bool {
    let mut words = command[..command.len().min(256)].split(|&b| b == b' ');
    let mut name = words.nth(1).unwrap_or_default();
    if name.eq_ignore_ascii_case(b"UID") {
        name = words.next().unwrap_or_default();
    }
    [&b"APPEND"[..], b"REPLACE"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        command: 1000,
        message: Some(100_000),
    };

    #[test]
    fn lines_and_literals() {
        let mut framer = Framer::default();
        let mut input = b"a NOOP\r\nb LOGIN {3}\r\n".to_vec();
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Command(b"a NOOP".to_vec())
        );
        assert_eq!(framer.next(&mut input, LIMITS), Frame::Continue);
        assert_eq!(framer.next(&mut input, LIMITS), Frame::Incomplete);
        assert!(framer.in_command());
        input.extend_from_slice(b"bo");
        assert_eq!(framer.next(&mut input, LIMITS), Frame::Incomplete);
        input.extend_from_slice(b"b {3+}\r\nx\r\n\r\nc NOOP\n");
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Command(b"b LOGIN {3}\r\nbob {3+}\r\nx\r\n".to_vec())
        );
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Command(b"c NOOP".to_vec())
        );
        assert!(!framer.in_command());
    }

    #[test]
    fn every_split_gives_the_same_commands() {
        let whole = b"a LOGIN {3+}\r\nbob {0+}\r\n\r\nb NOOP\r\nc X {9999+}\r\n".to_vec();
        let whole = [whole, vec![b'z'; 9999], b" tail\r\nd NOOP\r\n".to_vec()].concat();
        let frames = |size: usize| {
            let (mut framer, mut input, mut frames) = (Framer::default(), Vec::new(), Vec::new());
            for chunk in whole.chunks(size) {
                input.extend_from_slice(chunk);
                loop {
                    match framer.next(&mut input, LIMITS) {
                        Frame::Incomplete => break,
                        frame => frames.push(frame),
                    }
                }
            }
            frames
        };
        let expected = frames(whole.len());
        assert_eq!(expected.len(), 4);
        assert_eq!(
            expected[2],
            Frame::Refused {
                tag: Some("c".into()),
                too_big: false
            }
        );
        assert_eq!(expected[3], Frame::Command(b"d NOOP".to_vec()));
        for size in [1, 2, 3, 7, 100] {
            assert_eq!(frames(size), expected);
        }
    }

    #[test]
    fn limits_refuse_the_command_and_keep_the_stream() {
        let mut framer = Framer::default();
        let mut input = b"a X {1001}\r\nb NOOP\r\n".to_vec();
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Refused {
                tag: Some("a".into()),
                too_big: false
            }
        );
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Command(b"b NOOP".to_vec())
        );
        input.extend_from_slice(b"c append x {100001}\r\n");
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Refused {
                tag: Some("c".into()),
                too_big: true
            }
        );
        input.extend_from_slice(b"c UID REPLACE 1 x {100001}\r\n");
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Refused {
                tag: Some("c".into()),
                too_big: true
            }
        );
        input.extend_from_slice(b"d append x {18446744073709551616}\r\n");
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Refused {
                tag: Some("d".into()),
                too_big: true
            }
        );
        input.extend(std::iter::once(b'e').chain(std::iter::repeat_n(b' ', limits::LINE_BYTES + 1)));
        assert_eq!(framer.next(&mut input, LIMITS), Frame::Incomplete);
        assert!(input.len() <= 64);
        input.extend_from_slice(b"\r\n");
        assert_eq!(
            framer.next(&mut input, LIMITS),
            Frame::Refused {
                tag: Some("e".into()),
                too_big: false
            }
        );
    }
}
