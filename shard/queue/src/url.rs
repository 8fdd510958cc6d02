//! `outgoing_smtp_url` of gromox.cfg(5): where mail for other servers goes.

use std::fmt;

use ringpost_host::Trust;

/// Where outgoing messages are handed over.
#[derive(Clone, PartialEq, Eq)]
pub enum NextHop {
    /// `sendmail:`: the local program, whatever the host.
    Sendmail,
    /// All others: an SMTP server.
    Smtp(SmtpHop),
}

/// An SMTP server that takes everything.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpHop {
    /// Name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether and when the stream is encrypted.
    pub security: HopSecurity,
    /// Whose certificates are good enough.
    pub trust: Trust,
    /// User and password, where the URL has them.
    pub credentials: Option<(String, String)>,
}

/// When the stream is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HopSecurity {
    /// Never.
    Plain,
    /// By STARTTLS, or nothing is sent.
    StartTls,
    /// From the start.
    Tls,
}

/// Why a URL names no next hop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `scheme://…`.
    #[error("not a URL")]
    NoUrl,
    /// None of those that the manual lists.
    #[error("unknown scheme {0:?}; known are sendmail, smtp, smtp+tls, smtp+unverifiedtls and smtps")]
    Scheme(String),
    /// No host, or an invalid one.
    #[error("invalid host")]
    Host,
    /// No number, or 0.
    #[error("invalid port")]
    Port,
    /// A user without a password, or a bad escape.
    #[error("invalid user or password")]
    Credentials,
}

// The password is nobody's to read in a log.
impl fmt::Debug for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for SmtpHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl NextHop {
    /// Reads a URL (RFC 1738 §3.1). Without a port, smtps means 465 and all others 25.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(UrlError::NoUrl)?;
        let (security, trust) = match scheme.to_ascii_lowercase().as_str() {
            "sendmail" => return Ok(Self::Sendmail),
            "smtp" => (HopSecurity::Plain, Trust::Any),
            "smtp+tls" => (HopSecurity::StartTls, Trust::Verified),
            "smtp+unverifiedtls" => (HopSecurity::StartTls, Trust::Any),
            "smtps" => (HopSecurity::Tls, Trust::Verified),
            _ => return Err(UrlError::Scheme(scheme.to_owned())),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = if let Some(bracketed) = place.strip_prefix('[') {
            let (host, rest) = bracketed.split_once(']').ok_or(UrlError::Host)?;
            (
                host,
                rest.strip_prefix(':')
                    .or(rest.is_empty().then_some(""))
                    .ok_or(UrlError::Port)?,
            )
        } else {
            place.split_once(':').unwrap_or((place, ""))
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || host.len() > 255 || !host.chars().all(valid) {
            return Err(UrlError::Host);
        }
        let port = match port {
            "" if security == HopSecurity::Tls => 465,
            "" => 25,
            port => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(UrlError::Port)?,
        };
        let credentials = user
            .map(|user| {
                let (user, password) = user.split_once(':').ok_or(UrlError::Credentials)?;
                Ok((unescape(user)?, unescape(password)?))
            })
            .transpose()?;
        Ok(Self::Smtp(SmtpHop {
            host: host.to_owned(),
            port,
            security,
            trust,
            credentials,
        }))
    }

    /// For logs: never the password.
    pub fn name(&self) -> String {
        match self {
            Self::Sendmail => "sendmail".to_owned(),
            Self::Smtp(hop) => format!("{}:{}", hop.host, hop.port),
        }
    }
}

/// `%40` and the like.
fn unescape(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit(), digit());
        let (Some(high), Some(low)) = (high, low) else {
            return Err(UrlError::Credentials);
        };
        bytes.push((high << 4 | low) as u8);
    }
    let text = String::from_utf8(bytes).map_err(|_| UrlError::Credentials)?;
    // NUL ends a name inside of AUTH PLAIN.
    if text.contains('\0') {
        return Err(UrlError::Credentials);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(url: &str) -> SmtpHop {
        match NextHop::parse(url) {
            Ok(NextHop::Smtp(hop)) => hop,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn all_schemes_of_the_manual() {
        assert_eq!(NextHop::parse("sendmail://localhost"), Ok(NextHop::Sendmail));
        let plain = smtp("smtp://[::1]:2525/");
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.security),
            ("::1", 2525, HopSecurity::Plain)
        );
        let tls = smtp("smtp+tls://mx.example.net");
        assert_eq!(
            (tls.port, tls.security, tls.trust),
            (25, HopSecurity::StartTls, Trust::Verified)
        );
        assert_eq!(smtp("smtp+unverifiedtls://h").trust, Trust::Any);
        let implicit = smtp("SMTPS://me%40example.net:a%3Ab@mx.example.net/x");
        assert_eq!((implicit.port, implicit.security), (465, HopSecurity::Tls));
        assert_eq!(
            implicit.credentials,
            Some(("me@example.net".into(), "a:b".into()))
        );
        assert!(!format!("{implicit:?}").contains("a:b"));
    }

    #[test]
    fn what_is_no_next_hop() {
        for (url, error) in [
            ("localhost", UrlError::NoUrl),
            ("lmtp://x", UrlError::Scheme("lmtp".into())),
            ("smtp://", UrlError::Host),
            ("smtp://a b", UrlError::Host),
            ("smtp://[::1", UrlError::Host),
            ("smtp://[::1]x", UrlError::Port),
            ("smtp://x:0", UrlError::Port),
            ("smtp://x:70000", UrlError::Port),
            ("smtp://user@x", UrlError::Credentials),
            ("smtp://u%4:p@x", UrlError::Credentials),
            ("smtp://u%00:p@x", UrlError::Credentials),
        ] {
            assert_eq!(NextHop::parse(url), Err(error), "{url}");
        }
    }
}
