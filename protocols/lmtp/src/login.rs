//! AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN, for submission.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use ringpost_host::{Connection, Credentials, Host, LoginError};

use crate::{
    Line, Role, next_line,
    reply::Reply,
    session::{Client, Session},
};

/// LOGIN's questions, "Username:" and "Password:".
const USERNAME: &str = "VXNlcm5hbWU6";
const PASSWORD: &str = "UGFzc3dvcmQ6";

/// What a client said to a challenge.
enum Response {
    Text(String),
    /// `*`, or what is no line of base64.
    Cancelled,
    Gone,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// Whether a password can't be overheard: TLS, or a client on this machine.
    pub(crate) fn passwords_are_safe(&self) -> bool {
        self.connection.is_tls() || self.connection.peer().ip().to_canonical().is_loopback()
    }

    /// Why AUTH is not possible now.
    pub(crate) fn refuse_auth(&self, mechanism: &str) -> Option<Reply> {
        if self.options.role != Role::Submission {
            return Some(Reply::new(502, "5.5.1", "there is no login on this port"));
        }
        if self.greeting.is_none() {
            return Some(Reply::new(503, "5.5.1", "say hello first"));
        }
        if self.login.is_some() || self.transaction.is_some() {
            return Some(Reply::new(503, "5.5.1", "not now: one login, before MAIL"));
        }
        if !self.passwords_are_safe() {
            return Some(Reply::new(538, "5.7.11", "issue STARTTLS first"));
        }
        if !matches!(mechanism, "PLAIN" | "LOGIN") {
            return Some(Reply::new(504, "5.5.4", "unknown mechanism"));
        }
        None
    }

    /// Asks for what is missing, and checks it.
    pub(crate) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<String>,
    ) -> io::Result<Client> {
        // `=` stands for an empty initial response (RFC 4954 §4).
        let initial = initial.map(|text| if text == "=" { String::new() } else { text });
        let questions: &[&str] = if mechanism == "PLAIN" {
            &[""]
        } else {
            &[USERNAME, PASSWORD]
        };
        let mut answers = Vec::new();
        answers.extend(initial);
        for question in &questions[answers.len()..] {
            match self.challenge(question).await? {
                Response::Text(text) => answers.push(text),
                Response::Cancelled => {
                    self.answer(&Reply::new(501, "5.7.0", "authentication was cancelled"));
                    return Ok(Client::Stays);
                }
                Response::Gone => return Ok(Client::Gone),
            }
        }
        let credentials = match answers.as_slice() {
            [message] => decode(message).and_then(|message| plain(&message)),
            [user, password] => decode(user).zip(decode(password)),
            _ => None,
        };
        let reply = match credentials {
            Some((login, password)) => self.log_in(login, password).await,
            None => Reply::new(501, "5.5.2", "malformed response"),
        };
        self.answer(&reply);
        Ok(Client::Stays)
    }

    async fn challenge(&mut self, question: &str) -> io::Result<Response> {
        self.out
            .extend_from_slice(format!("334 {question}\r\n").as_bytes());
        loop {
            let (used, response) = match next_line(&self.input) {
                Line::Complete(line, used) => {
                    let text = std::str::from_utf8(line).ok().filter(|text| *text != "*");
                    let response = text.map_or(Response::Cancelled, |text| Response::Text(text.to_owned()));
                    (used, response)
                }
                Line::Malformed(used) | Line::TooLong(used, true) => (used, Response::Cancelled),
                // Nothing that is read as a command may begin in the midst of a line.
                Line::TooLong(_, false) => return Ok(Response::Gone),
                Line::Incomplete => match self.receive().await? {
                    Client::Stays => continue,
                    Client::Gone => return Ok(Response::Gone),
                },
            };
            self.input.drain(..used);
            return Ok(response);
        }
    }

    async fn log_in(&mut self, login: String, password: String) -> Reply {
        let credentials = Credentials {
            login,
            password,
            service: "smtp",
            peer: self.connection.peer(),
        };
        match self.host.login(credentials).await {
            Ok(login) => {
                self.login = Some(login);
                Reply::new(235, "2.7.0", "logged in")
            }
            Err(LoginError::Unavailable) => Reply::new(454, "4.7.0", "try again later"),
            Err(_) => {
                self.failed_logins += 1;
                Reply::new(535, "5.7.8", "the login failed")
            }
        }
    }
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// Authorization, authentication identity and password. To act as somebody else is written as the manual's
/// impersonation, so the log says who it was.
fn plain(message: &str) -> Option<(String, String)> {
    let mut parts = message.split('\0');
    let (identity, login, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || login.is_empty() || password.is_empty() {
        return None;
    }
    let login = if identity.is_empty() || identity == login {
        login.to_owned()
    } else {
        format!("{login}!{identity}")
    };
    Some((login, password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages() {
        let pair = |login: &str| Some((login.to_owned(), "secret".to_owned()));
        assert_eq!(plain("\0a@b\0secret"), pair("a@b"));
        assert_eq!(plain("a@b\0a@b\0secret"), pair("a@b"));
        assert_eq!(plain("c@d\0a@b\0secret"), pair("a@b!c@d"));
        for malformed in ["", "\0a@b", "\0\0secret", "\0a@b\0", "\0a\0b\0c"] {
            assert_eq!(plain(malformed), None, "{malformed:?}");
        }
    }
}
