//! Command lines as typed values (RFC 1939 §3).

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A command, its arguments checked. Message numbers begin at 1.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // The names are the RFCs'.
pub enum Command {
    Capa,
    Stls,
    Utf8,
    User(String),
    Pass(String),
    /// The mechanism and the initial response.
    Auth(Option<(String, Option<String>)>),
    Apop,
    Stat,
    List(Option<u32>),
    Uidl(Option<u32>),
    Retr(u32),
    /// The message and how many lines of its body.
    Top(u32, u32),
    Dele(u32),
    Rset,
    Noop,
    Quit,
}

impl Command {
    /// The command's word, for the log: arguments may be secret.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Capa => "CAPA",
            Self::Stls => "STLS",
            Self::Utf8 => "UTF8",
            Self::User(_) => "USER",
            Self::Pass(_) => "PASS",
            Self::Auth(_) => "AUTH",
            Self::Apop => "APOP",
            Self::Stat => "STAT",
            Self::List(_) => "LIST",
            Self::Uidl(_) => "UIDL",
            Self::Retr(_) => "RETR",
            Self::Top(..) => "TOP",
            Self::Dele(_) => "DELE",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
        }
    }
}

/// Why a line is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SyntaxError {
    /// No such command.
    #[error("unknown command")]
    UnknownCommand,
    /// Arguments are missing, too many or of the wrong form.
    #[error("bad arguments")]
    Arguments,
    /// The line is not UTF-8.
    #[error("bad character in the line")]
    Character,
    /// What should be base64 is none, or not a response of PLAIN.
    #[error("bad SASL response")]
    Sasl,
}

/// Reads a command line without its line end.
///
/// # Errors
/// [`SyntaxError`] says what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Command, SyntaxError> {
    let line = std::str::from_utf8(line).map_err(|_| SyntaxError::Character)?;
    if line.contains('\0') {
        return Err(SyntaxError::Character);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let word = word.to_ascii_uppercase();
    // A password may have spaces, also at its ends; all else is words.
    if word == "PASS" {
        return if rest.is_empty() {
            Err(SyntaxError::Arguments)
        } else {
            Ok(Command::Pass(rest.to_owned()))
        };
    }
    let arguments: Vec<&str> = rest.split(' ').filter(|argument| !argument.is_empty()).collect();
    let none = |command| {
        if arguments.is_empty() {
            Ok(command)
        } else {
            Err(SyntaxError::Arguments)
        }
    };
    let optional_number = || match arguments[..] {
        [] => Ok(None),
        [argument] => number(argument).map(Some),
        _ => Err(SyntaxError::Arguments),
    };
    let one_number = || optional_number()?.ok_or(SyntaxError::Arguments);
    match word.as_str() {
        "CAPA" => none(Command::Capa),
        "STLS" => none(Command::Stls),
        "UTF8" => none(Command::Utf8),
        "APOP" => Ok(Command::Apop),
        "STAT" => none(Command::Stat),
        "RSET" => none(Command::Rset),
        "NOOP" => none(Command::Noop),
        "QUIT" => none(Command::Quit),
        "USER" => match rest.trim_matches(' ') {
            "" => Err(SyntaxError::Arguments),
            name => Ok(Command::User(name.to_owned())),
        },
        "AUTH" => match arguments[..] {
            [] => Ok(Command::Auth(None)),
            [mechanism] => Ok(Command::Auth(Some((mechanism.to_ascii_uppercase(), None)))),
            [mechanism, initial] => Ok(Command::Auth(Some((
                mechanism.to_ascii_uppercase(),
                Some(initial.to_owned()),
            )))),
            _ => Err(SyntaxError::Arguments),
        },
        "LIST" => optional_number().map(Command::List),
        "UIDL" => optional_number().map(Command::Uidl),
        "RETR" => one_number().map(Command::Retr),
        "DELE" => one_number().map(Command::Dele),
        "TOP" => match arguments[..] {
            [message, lines] => Ok(Command::Top(number(message)?, number(lines)?)),
            _ => Err(SyntaxError::Arguments),
        },
        _ => Err(SyntaxError::UnknownCommand),
    }
}

/// Digits only; a number too large for any message is as good as the largest.
fn number(text: &str) -> Result<u32, SyntaxError> {
    if text.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SyntaxError::Arguments);
    }
    Ok(text.parse().unwrap_or(u32::MAX))
}

/// Login name and password of a response to PLAIN (RFC 4616 §2), in base64; `=` is the empty one. An
/// authorization identity other than the login asks for impersonation, which the server writes `me!other`.
///
/// # Errors
/// [`SyntaxError::Sasl`] when it is none.
pub fn parse_plain(response: &str) -> Result<(String, String), SyntaxError> {
    let decoded = STANDARD.decode(response).map_err(|_| SyntaxError::Sasl)?;
    let text = String::from_utf8(decoded).map_err(|_| SyntaxError::Sasl)?;
    let parts: Vec<&str> = text.split('\0').collect();
    let [identity, login, password] = parts[..] else {
        return Err(SyntaxError::Sasl);
    };
    if login.is_empty() || password.is_empty() {
        return Err(SyntaxError::Sasl);
    }
    let login = if identity.is_empty() || identity == login {
        login.to_owned()
    } else {
        format!("{login}!{identity}")
    };
    Ok((login, password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(parse(b"user  mrose "), Ok(Command::User("mrose".into())));
        assert_eq!(parse(b"PASS  a b "), Ok(Command::Pass(" a b ".into())));
        assert_eq!(parse(b"list"), Ok(Command::List(None)));
        assert_eq!(parse(b"LIST 2"), Ok(Command::List(Some(2))));
        assert_eq!(parse(b"TOP 1 10"), Ok(Command::Top(1, 10)));
        assert_eq!(parse(b"RETR 9999999999"), Ok(Command::Retr(u32::MAX)));
        assert_eq!(
            parse(b"AUTH plain AGEAYg=="),
            Ok(Command::Auth(Some(("PLAIN".into(), Some("AGEAYg==".into())))))
        );
    }

    #[test]
    fn malformed_lines() {
        for (line, error) in [
            (&b""[..], SyntaxError::UnknownCommand),
            (b"XYZ", SyntaxError::UnknownCommand),
            (b"STAT 1", SyntaxError::Arguments),
            (b"RETR", SyntaxError::Arguments),
            (b"RETR -1", SyntaxError::Arguments),
            (b"RETR +1", SyntaxError::Arguments),
            (b"RETR 1 2", SyntaxError::Arguments),
            (b"RETR 99999999999", SyntaxError::Arguments),
            (b"TOP 1", SyntaxError::Arguments),
            (b"USER", SyntaxError::Arguments),
            (b"PASS", SyntaxError::Arguments),
            (b"AUTH A B C", SyntaxError::Arguments),
            (b"USER \xff", SyntaxError::Character),
            (b"USER a\0b", SyntaxError::Character),
        ] {
            assert_eq!(parse(line), Err(error), "{line:?}");
        }
    }

    #[test]
    fn plain() {
        // RFC 5034 §6: the example's user "test", password "test".
        assert_eq!(
            parse_plain("AHRlc3QAdGVzdA=="),
            Ok(("test".into(), "test".into()))
        );
        assert_eq!(
            parse_plain(&STANDARD.encode("o@y\0m@x\0p")),
            Ok(("m@x!o@y".into(), "p".into()))
        );
        for bad in ["=", "*", "", "AHRlc3Q=", "AAAA", "\u{e9}"] {
            assert_eq!(parse_plain(bad), Err(SyntaxError::Sasl), "{bad}");
        }
        assert_eq!(parse_plain(&STANDARD.encode("\0a\0b\0c")), Err(SyntaxError::Sasl));
    }
}
