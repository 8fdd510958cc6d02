//! The line format of configuration files (gromox(7), "Configuration files").

use thiserror::Error;

/// Longest line in bytes, without its line end (gromox(7)).
pub const LINE_MAX_BYTES: usize = 1024;

/// Largest file that is read.
pub const FILE_MAX_BYTES: usize = 1024 * 1024;

/// Which character begins a comment line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// `.cfg`: `#`.
    Cfg,
    /// `.ini`: `;`.
    Ini,
}

/// One `key=value` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// Trimmed, in lower case: the case of keys does not matter.
    pub key: String,
    /// Trimmed, otherwise as written: there are no escapes and no comments at its end.
    pub value: String,
}

/// Why a line was left out.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LineError {
    /// More than [`LINE_MAX_BYTES`].
    #[error("the line has {length} bytes; at most {LINE_MAX_BYTES} are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Neither empty, nor a comment, nor `key=value`.
    #[error("the line is no key=value pair")]
    NoEqualsSign,
    /// Nothing before the equals sign.
    #[error("there is no key before the equals sign")]
    EmptyKey,
    /// Bytes that are not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// More than [`FILE_MAX_BYTES`]; the file is left out.
    #[error("the file has {length} bytes; at most {FILE_MAX_BYTES} are read")]
    FileTooLarge {
        /// Its length in bytes.
        length: usize,
    },
}

/// Splits a file into its pairs, and says which lines were left out. Never fails as a whole: a typing error
/// in one line does not take the others away.
pub fn parse_lines(content: &[u8], dialect: Dialect) -> (Vec<Line>, Vec<(usize, LineError)>) {
    let mut lines = Vec::new();
    let mut errors = Vec::new();
    if content.len() > FILE_MAX_BYTES {
        errors.push((
            1,
            LineError::FileTooLarge {
                length: content.len(),
            },
        ));
        return (lines, errors);
    }
    for (index, bytes) in content.split(|&byte| byte == b'\n').enumerate() {
        let number = index + 1;
        match parse_line(bytes, dialect) {
            Ok(Some((key, value))) => lines.push(Line { number, key, value }),
            Ok(None) => {}
            Err(error) => errors.push((number, error)),
        }
    }
    (lines, errors)
}

fn parse_line(bytes: &[u8], dialect: Dialect) -> Result<Option<(String, String)>, LineError> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let comment = match dialect {
        Dialect::Cfg => b'#',
        Dialect::Ini => b';',
    };
    let trimmed = bytes.trim_ascii();
    if trimmed.first().is_none_or(|&first| first == comment) {
        return Ok(None);
    }
    if bytes.len() > LINE_MAX_BYTES {
        return Err(LineError::TooLong { length: bytes.len() });
    }
    let text = str::from_utf8(trimmed).map_err(|_| LineError::NotUtf8)?;
    // A section heading of the .ini format separates nothing that is read here.
    if dialect == Dialect::Ini && text.starts_with('[') && text.ends_with(']') {
        return Ok(None);
    }
    let (key, value) = text.split_once('=').ok_or(LineError::NoEqualsSign)?;
    let key = key.trim();
    if key.is_empty() {
        return Err(LineError::EmptyKey);
    }
    Ok(Some((key.to_ascii_lowercase(), value.trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        let (lines, errors) = parse_lines(text.as_bytes(), Dialect::Cfg);
        assert_eq!(errors, []);
        lines
            .into_iter()
            .map(|line| (line.number, line.key, line.value))
            .collect()
    }

    fn pair(number: usize, key: &str, value: &str) -> (usize, String, String) {
        (number, key.to_owned(), value.to_owned())
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign_and_trimmed() {
        assert_eq!(
            pairs(
                "\n# comment=1\n  key \t=  a value = more \r\n\n  # also a comment\nEmpty=\nKEY=x # no comment"
            ),
            [
                pair(3, "key", "a value = more"),
                pair(6, "empty", ""),
                pair(7, "key", "x # no comment")
            ]
        );
    }

    #[test]
    fn backslashes_and_quotes_stay() {
        assert_eq!(pairs(r#"k="a\n""#), [pair(1, "k", r#""a\n""#)]);
    }

    #[test]
    fn ini_comments_are_semicolons() {
        let (lines, errors) = parse_lines(b"; c\n[section]\norganization = Acme\n#x=1", Dialect::Ini);
        assert_eq!(errors, []);
        assert_eq!(lines[0].value, "Acme");
        assert_eq!(lines[1].key, "#x");
    }

    #[test]
    fn lines_up_to_the_limit_are_read() {
        let fits = format!("k={}", "v".repeat(LINE_MAX_BYTES - 2));
        assert_eq!(pairs(&fits).len(), 1);
        let (lines, errors) = parse_lines(format!("{fits}v\nnext=1").as_bytes(), Dialect::Cfg);
        assert_eq!(
            errors,
            [(
                1,
                LineError::TooLong {
                    length: LINE_MAX_BYTES + 1
                }
            )]
        );
        assert_eq!(lines[0].key, "next");
    }

    #[test]
    fn broken_lines_are_told_and_left_out() {
        let (lines, errors) = parse_lines(b"nonsense\n=1\nk=\xff\nok=1", Dialect::Cfg);
        assert_eq!(
            errors,
            [
                (1, LineError::NoEqualsSign),
                (2, LineError::EmptyKey),
                (3, LineError::NotUtf8)
            ]
        );
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn a_huge_file_is_left_out() {
        let (lines, errors) = parse_lines(&vec![b'\n'; FILE_MAX_BYTES + 1], Dialect::Cfg);
        assert!(lines.is_empty());
        assert_eq!(
            errors,
            [(
                1,
                LineError::FileTooLarge {
                    length: FILE_MAX_BYTES + 1
                }
            )]
        );
    }
}
