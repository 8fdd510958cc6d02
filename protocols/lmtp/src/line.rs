//! Cuts command lines out of what has arrived.

use memchr::memchr;

use crate::COMMAND_LINE_MAX;

/// What the input begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line<'a> {
    /// A line without its CRLF, and its length with it.
    Complete(&'a [u8], usize),
    /// A line of this length that ends with a bare LF, or has a bare CR in it: not to be executed.
    Malformed(usize),
    /// A line that is too long, so far or with its end; discard this many bytes. When `false`, its end has
    /// not come yet.
    TooLong(usize, bool),
    /// No line end yet.
    Incomplete,
}

/// Looks at the beginning of `input`.
pub fn next_line(input: &[u8]) -> Line<'_> {
    match memchr(b'\n', input) {
        None if input.len() > COMMAND_LINE_MAX => Line::TooLong(input.len(), false),
        None => Line::Incomplete,
        Some(end) if end >= COMMAND_LINE_MAX => Line::TooLong(end + 1, true),
        Some(end) => match input[..end].strip_suffix(b"\r") {
            Some(line) if memchr(b'\r', line).is_none() => Line::Complete(line, end + 1),
            _ => Line::Malformed(end + 1),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_line() {
        assert_eq!(next_line(b"NOOP\r\nX"), Line::Complete(b"NOOP", 6));
        assert_eq!(next_line(b"NOOP\nX\r\n"), Line::Malformed(5));
        assert_eq!(next_line(b"NO\rOP\r\n"), Line::Malformed(7));
        assert_eq!(next_line(b"NOOP\r"), Line::Incomplete);
        assert_eq!(next_line(b""), Line::Incomplete);
    }

    #[test]
    fn lines_have_a_limit() {
        let mut line = vec![b'x'; COMMAND_LINE_MAX - 2];
        line.extend(b"\r\n");
        assert!(matches!(next_line(&line), Line::Complete(_, COMMAND_LINE_MAX)));
        line.insert(0, b'x');
        assert_eq!(next_line(&line), Line::TooLong(COMMAND_LINE_MAX + 1, true));
        assert_eq!(next_line(&line[..COMMAND_LINE_MAX - 1]), Line::Incomplete);
        let endless = vec![b'x'; COMMAND_LINE_MAX + 1];
        assert_eq!(next_line(&endless), Line::TooLong(COMMAND_LINE_MAX + 1, false));
    }
}
