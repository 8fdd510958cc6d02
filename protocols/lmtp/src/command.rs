//! Command lines of SMTP and LMTP as typed values (RFC 5321 §4.1, RFC 2033 §4.1, RFC 3030, RFC 4954).

use crate::{
    parameters::{self, MailParameters, RcptParameters},
    path::{is_mailbox, path},
    reply::Reply,
};

/// A command, its arguments checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// LHLO, EHLO or HELO with the client's name.
    Hello(Greeting, String),
    /// MAIL FROM: the reverse-path (empty for `<>`).
    Mail(String, MailParameters),
    /// RCPT TO: the forward-path.
    Rcpt(String, RcptParameters),
    /// DATA
    Data,
    /// BDAT: so many bytes follow at once (RFC 3030 §2).
    Bdat(Chunk),
    /// AUTH: the mechanism in upper case, and the initial response, still in base64 (RFC 4954 §4).
    Auth(String, Option<String>),
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// VRFY
    Vrfy,
    /// HELP
    Help,
    /// STARTTLS
    StartTls,
    /// QUIT
    Quit,
}

/// What BDAT says of the bytes behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// How many there are.
    pub size: u64,
    /// Whether the message ends with them.
    pub last: bool,
}

/// Which word a client greets with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// LMTP
    Lhlo,
    /// SMTP with extensions
    Ehlo,
    /// SMTP without
    Helo,
}

/// Why a command line is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SyntaxError {
    /// No such command.
    #[error("command not recognised")]
    UnknownCommand,
    /// A command that this server knows and does not offer.
    #[error("command not implemented")]
    NotImplemented,
    /// The arguments are missing or not as the standard has them.
    #[error("syntax error in arguments")]
    Arguments,
    /// A reverse-path that is none.
    #[error("bad sender address syntax")]
    Sender,
    /// A forward-path that is none.
    #[error("bad recipient address syntax")]
    Recipient,
    /// A parameter that no offered extension defines.
    #[error("parameter not recognised or not implemented")]
    UnknownParameter,
    /// BDAT without a length: where the next command begins can't be known, so there is none.
    #[error("BDAT without the length of its data")]
    ChunkLength,
}

impl SyntaxError {
    /// The reply that says so.
    pub(crate) fn reply(self) -> Reply {
        let (code, enhanced) = match self {
            Self::UnknownCommand => (500, "5.5.1"),
            Self::NotImplemented => (502, "5.5.1"),
            Self::Arguments => (501, "5.5.4"),
            Self::Sender => (501, "5.1.7"),
            Self::Recipient => (501, "5.1.3"),
            Self::UnknownParameter => (555, "5.5.4"),
            Self::ChunkLength => (421, "4.5.0"),
        };
        Reply::new(code, enhanced, self.to_string())
    }
}

/// Reads a command line without its CRLF.
///
/// # Errors
/// [`SyntaxError`] says what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Command, SyntaxError> {
    let is_chunk = line
        .get(..4)
        .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"));
    let malformed = if is_chunk {
        SyntaxError::ChunkLength
    } else {
        SyntaxError::Arguments
    };
    let line = std::str::from_utf8(line).map_err(|_| malformed)?;
    let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let arguments = arguments.trim_matches(' ');
    if arguments.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return Err(malformed);
    }
    let alone = |command| {
        if arguments.is_empty() {
            Ok(command)
        } else {
            Err(SyntaxError::Arguments)
        }
    };
    match verb.to_ascii_uppercase().as_str() {
        "LHLO" => hello(Greeting::Lhlo, arguments),
        "EHLO" => hello(Greeting::Ehlo, arguments),
        "HELO" => hello(Greeting::Helo, arguments),
        "MAIL" => mail(arguments),
        "RCPT" => rcpt(arguments),
        "DATA" => alone(Command::Data),
        "BDAT" => bdat(arguments),
        "AUTH" => auth(arguments),
        "RSET" => alone(Command::Rset),
        "QUIT" => alone(Command::Quit),
        "STARTTLS" => alone(Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if arguments.is_empty() => Err(SyntaxError::Arguments),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" | "TURN" | "ETRN" | "SEND" | "SOML" | "SAML" => Err(SyntaxError::NotImplemented),
        _ => Err(SyntaxError::UnknownCommand),
    }
}

/// The client's name goes into `Received`: only what a domain or an address literal may have.
fn hello(greeting: Greeting, name: &str) -> Result<Command, SyntaxError> {
    let plain = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
    if name.is_empty() || name.len() > 255 || !name.chars().all(plain) {
        return Err(SyntaxError::Arguments);
    }
    Ok(Command::Hello(greeting, name.to_owned()))
}

fn mail(arguments: &str) -> Result<Command, SyntaxError> {
    let rest = strip_keyword(arguments, "FROM:").ok_or(SyntaxError::Arguments)?;
    let (address, parameters) = path(rest).ok_or(SyntaxError::Sender)?;
    if !address.is_empty() && !is_mailbox(&address) {
        return Err(SyntaxError::Sender);
    }
    let parameters = parameters::of_mail(parameters)?;
    if !parameters.utf8 && !address.is_ascii() {
        return Err(SyntaxError::Sender);
    }
    Ok(Command::Mail(address, parameters))
}

fn rcpt(arguments: &str) -> Result<Command, SyntaxError> {
    let rest = strip_keyword(arguments, "TO:").ok_or(SyntaxError::Arguments)?;
    let (address, parameters) = path(rest).ok_or(SyntaxError::Recipient)?;
    if !is_mailbox(&address) && !address.eq_ignore_ascii_case("postmaster") {
        return Err(SyntaxError::Recipient);
    }
    Ok(Command::Rcpt(address, parameters::of_rcpt(parameters)?))
}

fn bdat(arguments: &str) -> Result<Command, SyntaxError> {
    let mut words = arguments.split_ascii_whitespace();
    let size = words.next().and_then(parameters::size);
    let last = match (words.next(), words.next()) {
        (None, _) => Some(false),
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => Some(true),
        _ => None,
    };
    let (Some(size), Some(last)) = (size, last) else {
        return Err(SyntaxError::ChunkLength);
    };
    Ok(Command::Bdat(Chunk { size, last }))
}

fn auth(arguments: &str) -> Result<Command, SyntaxError> {
    let mut words = arguments.split_ascii_whitespace();
    let mechanism = words.next().ok_or(SyntaxError::Arguments)?;
    let initial = words.next().map(str::to_owned);
    if words.next().is_some() {
        return Err(SyntaxError::Arguments);
    }
    Ok(Command::Auth(mechanism.to_ascii_uppercase(), initial))
}

fn strip_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let head = text.get(..keyword.len())?;
    // A space behind the colon is not in the standard; many clients send it.
    head.eq_ignore_ascii_case(keyword)
        .then(|| text[keyword.len()..].trim_start_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATH_MAX;

    fn mail_of(line: &str) -> Result<(String, MailParameters), SyntaxError> {
        parse(line.as_bytes()).map(|command| match command {
            Command::Mail(address, parameters) => (address, parameters),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn envelopes() {
        let utf8 = MailParameters {
            size: Some(5),
            utf8: true,
            body: ringpost_host::BodyKind::EightBit,
            ..MailParameters::default()
        };
        assert_eq!(
            mail_of("mail from:<jo\u{e9}@example.org> size=5 BODY=8bitmime SMTPUTF8"),
            Ok(("jo\u{e9}@example.org".into(), utf8))
        );
        assert_eq!(mail_of("MAIL FROM: <>").unwrap().0, "");
        assert_eq!(mail_of("MAIL FROM:<@a,@b:c@d>").unwrap().0, "c@d");
        assert_eq!(mail_of("MAIL FROM:<\"a b\\\"\"@d>").unwrap().0, "a b\"@d");
        assert_eq!(mail_of("MAIL FROM:<\"a>b\"@d>"), Err(SyntaxError::Sender));
        assert_eq!(
            mail_of("MAIL FROM:<jo\u{e9}@example.org>"),
            Err(SyntaxError::Sender)
        );
        assert_eq!(
            mail_of("MAIL FROM:<a@b> SIZE=99999999999999999999")
                .unwrap()
                .1
                .size,
            Some(u64::MAX)
        );
        assert_eq!(
            parse(b"RCPT TO:<Postmaster>"),
            Ok(Command::Rcpt("Postmaster".into(), RcptParameters::default()))
        );
        assert_eq!(
            parse(b"RCPT TO:<a@[IPv6:::1]>"),
            Ok(Command::Rcpt("a@[IPv6:::1]".into(), RcptParameters::default()))
        );
    }

    #[test]
    fn chunks_and_logins() {
        let chunk = |size, last| Ok(Command::Bdat(Chunk { size, last }));
        assert_eq!(parse(b"BDAT 86"), chunk(86, false));
        assert_eq!(parse(b"bdat 0 last"), chunk(0, true));
        assert_eq!(
            parse(b"AUTH plain AGEAYg=="),
            Ok(Command::Auth("PLAIN".into(), Some("AGEAYg==".into())))
        );
        assert_eq!(parse(b"AUTH LOGIN"), Ok(Command::Auth("LOGIN".into(), None)));
    }

    #[test]
    fn malformed_lines_get_the_right_reply() {
        for (line, error) in [
            ("", SyntaxError::UnknownCommand),
            ("FOO", SyntaxError::UnknownCommand),
            ("BDAT", SyntaxError::ChunkLength),
            ("BDAT x", SyntaxError::ChunkLength),
            ("BDAT -1 LAST", SyntaxError::ChunkLength),
            ("BDAT 5 FIRST", SyntaxError::ChunkLength),
            ("BDAT 5 LAST x", SyntaxError::ChunkLength),
            ("bdat 5\0", SyntaxError::ChunkLength),
            ("EXPN list", SyntaxError::NotImplemented),
            ("AUTH", SyntaxError::Arguments),
            ("AUTH PLAIN AA== x", SyntaxError::Arguments),
            ("LHLO", SyntaxError::Arguments),
            ("LHLO a b", SyntaxError::Arguments),
            ("LHLO (evil", SyntaxError::Arguments),
            ("MAIL", SyntaxError::Arguments),
            ("MAIL TO:<a@b>", SyntaxError::Arguments),
            ("MAIL FROM:a@b", SyntaxError::Sender),
            ("MAIL FROM:<a@b", SyntaxError::Sender),
            ("MAIL FROM:<a@b>x", SyntaxError::Sender),
            ("MAIL FROM:<@route>", SyntaxError::Sender),
            ("MAIL FROM:<a@b> SIZE=", SyntaxError::Arguments),
            ("MAIL FROM:<a@b> SIZE=-1", SyntaxError::Arguments),
            ("MAIL FROM:<a@b> BODY=9BIT", SyntaxError::Arguments),
            ("MAIL FROM:<a@b> BY=60", SyntaxError::UnknownParameter),
            ("RCPT TO:<>", SyntaxError::Recipient),
            ("RCPT TO:<a>", SyntaxError::Recipient),
            ("RCPT TO:<\"a>", SyntaxError::Recipient),
            ("RCPT TO:<\"a\"b@c>", SyntaxError::Recipient),
            ("RCPT TO:<a@b> SIZE=1", SyntaxError::UnknownParameter),
            ("RCPT TO:<a\0@b>", SyntaxError::Arguments),
            ("DATA now", SyntaxError::Arguments),
            ("VRFY", SyntaxError::Arguments),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
        }
        assert_eq!(parse(b"NOOP \xff"), Err(SyntaxError::Arguments));
        let long = format!("RCPT TO:<{}@b>", "a".repeat(PATH_MAX));
        assert_eq!(parse(long.as_bytes()), Err(SyntaxError::Recipient));
    }
}
