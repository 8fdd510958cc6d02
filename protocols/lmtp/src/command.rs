//! Command lines of SMTP and LMTP as typed values (RFC 5321 §4.1, RFC 2033 §4.1).

use crate::{PATH_MAX, reply::Reply};

/// A command, its arguments checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// LHLO, EHLO or HELO with the client's name.
    Hello(Greeting, String),
    /// MAIL FROM: the reverse-path (empty for `<>`).
    Mail(String, MailParameters),
    /// RCPT TO: the forward-path.
    Rcpt(String),
    /// DATA
    Data,
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

/// Parameters of MAIL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailParameters {
    /// SIZE: the message's length as the client estimates it, in bytes.
    pub size: Option<u64>,
    /// SMTPUTF8
    pub utf8: bool,
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
        };
        Reply::new(code, enhanced, self.to_string())
    }
}

/// Reads a command line without its CRLF.
///
/// # Errors
/// [`SyntaxError`] says what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Command, SyntaxError> {
    let line = std::str::from_utf8(line).map_err(|_| SyntaxError::Arguments)?;
    let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let arguments = arguments.trim_matches(' ');
    if arguments.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return Err(SyntaxError::Arguments);
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
        "RSET" => alone(Command::Rset),
        "QUIT" => alone(Command::Quit),
        "STARTTLS" => alone(Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if arguments.is_empty() => Err(SyntaxError::Arguments),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" | "BDAT" | "AUTH" | "TURN" | "ETRN" | "SEND" | "SOML" | "SAML" => {
            Err(SyntaxError::NotImplemented)
        }
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
    let mut known = MailParameters::default();
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_uppercase().as_str() {
            "SIZE" => known.size = Some(size(value).ok_or(SyntaxError::Arguments)?),
            "BODY" if value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME") => {}
            "SMTPUTF8" if value.is_empty() => known.utf8 = true,
            "BODY" | "SMTPUTF8" => return Err(SyntaxError::Arguments),
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    if !known.utf8 && !address.is_ascii() {
        return Err(SyntaxError::Sender);
    }
    Ok(Command::Mail(address, known))
}

fn rcpt(arguments: &str) -> Result<Command, SyntaxError> {
    let rest = strip_keyword(arguments, "TO:").ok_or(SyntaxError::Arguments)?;
    let (address, parameters) = path(rest).ok_or(SyntaxError::Recipient)?;
    if !is_mailbox(&address) && !address.eq_ignore_ascii_case("postmaster") {
        return Err(SyntaxError::Recipient);
    }
    if !parameters.trim().is_empty() {
        return Err(SyntaxError::UnknownParameter);
    }
    Ok(Command::Rcpt(address))
}

/// RFC 1870 §3: up to 20 digits. What is beyond 64 bits is beyond every limit.
fn size(value: &str) -> Option<u64> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

fn strip_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let head = text.get(..keyword.len())?;
    // A space behind the colon is not in the standard; many clients send it.
    head.eq_ignore_ascii_case(keyword)
        .then(|| text[keyword.len()..].trim_start_matches(' '))
}

/// Reads `<path>`: the address without quotes that it does not need, and what follows. A source route is
/// dropped (RFC 5321 §4.1.1.3). `None` when it is none or too long.
fn path(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('<')?;
    let mut route = None;
    if inside.starts_with('@') {
        route = Some(inside.find(':')? + 1);
    }
    let start = route.unwrap_or(0);
    let (mut quoted, mut escaped) = (false, false);
    let end = inside.bytes().enumerate().skip(start).find_map(|(at, byte)| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
        None
    })?;
    let after = &inside[end + 1..];
    if end > PATH_MAX || !(after.is_empty() || after.starts_with(' ')) {
        return None;
    }
    Some((unquote(&inside[start..end])?, after))
}

/// Takes the quotes off a local part (RFC 5321 §4.1.2: `"a b"@c` and `a\ b@c` name the same mailbox).
fn unquote(address: &str) -> Option<String> {
    let Some(quoted) = address.strip_prefix('"') else {
        return Some(address.to_owned());
    };
    let mut local = String::with_capacity(address.len());
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => local.push(characters.next()?.1),
            '"' => {
                local.push_str(&quoted[at + 1..]);
                return quoted[at + 1..].starts_with('@').then_some(local);
            }
            _ => local.push(character),
        }
    }
    None
}

/// Whether there is a local part and a domain, and nothing that an address can't have. The rest is for the
/// directory to know.
fn is_mailbox(address: &str) -> bool {
    address.rsplit_once('@').is_some_and(|(local, domain)| {
        let domain_character = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
        !local.is_empty()
            && !domain.is_empty()
            && domain.len() <= 255
            && domain.chars().all(domain_character)
            && !local.contains(['<', '>', '\t'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Ok(Command::Rcpt("Postmaster".into()))
        );
        assert_eq!(
            parse(b"RCPT TO:<a@[IPv6:::1]>"),
            Ok(Command::Rcpt("a@[IPv6:::1]".into()))
        );
    }

    #[test]
    fn malformed_lines_get_the_right_reply() {
        for (line, error) in [
            ("", SyntaxError::UnknownCommand),
            ("FOO", SyntaxError::UnknownCommand),
            ("BDAT 5 LAST", SyntaxError::NotImplemented),
            ("AUTH PLAIN", SyntaxError::NotImplemented),
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
            ("MAIL FROM:<a@b> BODY=BINARYMIME", SyntaxError::Arguments),
            ("MAIL FROM:<a@b> RET=HDRS", SyntaxError::UnknownParameter),
            ("RCPT TO:<>", SyntaxError::Recipient),
            ("RCPT TO:<a>", SyntaxError::Recipient),
            ("RCPT TO:<\"a>", SyntaxError::Recipient),
            ("RCPT TO:<\"a\"b@c>", SyntaxError::Recipient),
            ("RCPT TO:<a@b> NOTIFY=NEVER", SyntaxError::UnknownParameter),
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
