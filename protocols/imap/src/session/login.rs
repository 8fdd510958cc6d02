//! The session until login: greeting, STARTTLS, LOGIN, AUTHENTICATE (RFC 9051 §6.2).

use std::{io, time::Instant};

use base64::Engine;
use futures_lite::future::or;
use ringpost_host::{Connection, Credentials, Host, Login, LoginError, Outcome};

use super::{
    reply::{End, Reply},
    stream::Stream,
};
use crate::{
    Settings, State,
    capability::{self, Situation},
    encode::put,
    limits,
    syntax::{
        command::{Body, Command, States},
        framing::{Frame, FrameLimits, Framer},
    },
};

/// Greets a client and serves it until it has logged in or left.
pub(crate) async fn not_authenticated<C: Connection, H: Host>(
    connection: &mut C,
    host: &H,
    settings: &Settings,
) -> Outcome<State> {
    let mut session = LoginSession {
        stream: Stream::new(connection, Vec::new()),
        host,
        settings,
        framer: Framer::default(),
        failures: 0,
        bad_commands: 0,
    };
    match session.run().await {
        Ok(login) => {
            let mailbox = login.mailbox.clone();
            Outcome::HandOver {
                mailbox,
                state: State {
                    login,
                    input: session.stream.input,
                },
            }
        }
        Err(End::Bye(text)) => {
            let _ = session.stream.write(format!("* BYE {text}\r\n").as_bytes()).await;
            Outcome::Done
        }
        Err(_) => Outcome::Done,
    }
}

/// ID's answer (RFC 2971).
pub(super) fn id(settings: &Settings, out: &mut Vec<u8>) {
    if settings.rfc2971 {
        put!(
            out,
            "* ID (\"name\" \"ringpost\" \"version\" \"{}\")\r\n",
            env!("CARGO_PKG_VERSION")
        );
    } else {
        out.extend_from_slice(b"* ID NIL\r\n");
    }
}

struct LoginSession<'a, C, H> {
    stream: Stream<'a, C>,
    host: &'a H,
    settings: &'a Settings,
    framer: Framer,
    failures: u32,
    bad_commands: u32,
}

impl<C: Connection, H: Host> LoginSession<'_, C, H> {
    async fn run(&mut self) -> Result<Login, End> {
        let capabilities = capability::list(self.situation());
        let greeting = format!(
            "* OK [CAPABILITY {capabilities}] {} IMAP server ready\r\n",
            self.settings.host_id
        );
        self.stream.write(greeting.as_bytes()).await?;
        let mut commands = 0;
        loop {
            let bytes = self.next_command().await?;
            let started = Instant::now();
            let mut out = Vec::new();
            let (tag, reply, login) = match Command::parse(&bytes, false) {
                Err((tag, error)) => (tag, Reply::bad(error.to_string()), None),
                Ok(command) => {
                    let tag = command.tag;
                    let (reply, login) = self.execute(command, &mut out).await?;
                    (Some(tag), reply, login)
                }
            };
            if self.settings.cmd_debug >= 2 || self.settings.cmd_debug == 1 && !reply.is_ok() {
                tracing::info!(result = %reply, peer = %self.stream.connection.peer(), "imap command before login");
            }
            reply.write(tag, &mut out);
            self.stream.write(&out).await?;
            self.host.command_done("imap", started.elapsed());
            if let Some(login) = login {
                return Ok(login);
            }
            if reply.is_bad() {
                self.bad_commands += 1;
                if self.bad_commands > limits::BAD_COMMANDS {
                    return Err(End::Bye("too many bad commands"));
                }
            }
            commands += 1;
            if commands >= limits::COMMANDS_BEFORE_LOGIN {
                return Err(End::Bye("too many commands before a login"));
            }
            if self.failures >= self.settings.auth_times {
                return Err(End::Bye("too many failed logins"));
            }
        }
    }

    fn situation(&self) -> Situation {
        let tls = self.stream.connection.is_tls();
        Situation {
            logged_in: false,
            can_start_tls: self.settings.support_tls && !tls && self.stream.connection.can_start_tls(),
            password_allowed: tls || !self.settings.force_tls,
            revision2: self.settings.rfc9051,
            id: self.settings.rfc2971,
            compressed: false,
            append_limit: self.settings.message_size_limit,
        }
    }

    async fn fill(&mut self) -> Result<(), End> {
        let stopping = async {
            self.host.stopping().await;
            Err(End::Bye("the server is shutting down"))
        };
        let timeout = self.settings.conn_timeout;
        let filling = async {
            match self.stream.fill(timeout).await {
                Ok(0) => Err(End::Closed),
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    Err(End::Bye("no login for too long"))
                }
                Err(_) => Err(End::Closed),
            }
        };
        or(filling, stopping).await
    }

    async fn next_command(&mut self) -> Result<Vec<u8>, End> {
        let frame_limits = FrameLimits {
            command: limits::COMMAND_BYTES_BEFORE_LOGIN,
            message: None,
        };
        loop {
            match self.framer.next(&mut self.stream.input, frame_limits) {
                Frame::Command(command) => return Ok(command),
                Frame::Incomplete => self.fill().await?,
                Frame::Continue => self.stream.write(b"+ OK\r\n").await?,
                Frame::Refused { tag, .. } => {
                    let mut out = Vec::new();
                    Reply::bad("the command is too long").write(tag.as_deref(), &mut out);
                    self.stream.write(&out).await?;
                    self.bad_commands += 1;
                    if self.bad_commands > limits::BAD_COMMANDS {
                        return Err(End::Bye("too many bad commands"));
                    }
                }
            }
        }
    }

    async fn execute(
        &mut self,
        command: Command<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(Reply, Option<Login>), End> {
        if !command.states.contains(States::NOT_AUTHENTICATED) {
            return Ok((Reply::bad("log in first"), None));
        }
        match command.body {
            Body::Noop => Ok((Reply::ok("NOOP completed"), None)),
            Body::Capability => {
                put!(out, "* CAPABILITY {}\r\n", capability::list(self.situation()));
                Ok((Reply::ok("CAPABILITY completed"), None))
            }
            Body::Id => {
                id(self.settings, out);
                Ok((Reply::ok("ID completed"), None))
            }
            Body::Logout => {
                let goodbye = format!("* BYE logging out\r\n{} OK logout completed\r\n", command.tag);
                self.stream.write(goodbye.as_bytes()).await?;
                Err(End::Logout)
            }
            Body::StartTls => self.start_tls(command.tag).await,
            Body::Login { user, password } => {
                if !self.situation().password_allowed {
                    return Ok((Reply::no("PRIVACYREQUIRED", "start TLS first"), None));
                }
                Ok(self.log_in(user, password).await)
            }
            Body::Authenticate { mechanism, initial } => self.authenticate(&mechanism, initial).await,
            _ => Ok((Reply::bad("not possible in this state"), None)),
        }
    }

    async fn start_tls(&mut self, tag: &str) -> Result<(Reply, Option<Login>), End> {
        if !self.situation().can_start_tls {
            return Ok((Reply::bad("TLS is not available"), None));
        }
        self.stream
            .write(format!("{tag} OK begin TLS negotiation\r\n").as_bytes())
            .await?;
        // What came before the handshake is not protected by it (RFC 9051 §6.2.1).
        self.stream.input = Vec::new();
        self.framer = Framer::default();
        self.stream.connection.start_tls().await?;
        Ok((Reply::sent(), None))
    }

    async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<&str>,
    ) -> Result<(Reply, Option<Login>), End> {
        if !self.situation().password_allowed {
            return Ok((Reply::no("PRIVACYREQUIRED", "start TLS first"), None));
        }
        // `=` stands for an empty initial response (RFC 4959).
        let initial = initial.map(|text| {
            if text == "=" {
                String::new()
            } else {
                text.to_owned()
            }
        });
        let credentials = match mechanism {
            "PLAIN" => {
                let response = match initial {
                    Some(response) => Some(response),
                    None => self.challenge("").await?,
                };
                response
                    .as_deref()
                    .and_then(decode)
                    .and_then(|message| plain(&message))
            }
            "LOGIN" => {
                let user = match initial {
                    Some(response) => Some(response),
                    None => self.challenge("VXNlcm5hbWU6").await?,
                };
                let password = match user {
                    Some(_) => self.challenge("UGFzc3dvcmQ6").await?,
                    None => None,
                };
                let text = |part: Option<String>| {
                    part.as_deref()
                        .and_then(decode)
                        .and_then(|raw| String::from_utf8(raw).ok())
                };
                text(user).zip(text(password))
            }
            _ => return Ok((Reply::no("CANNOT", "unknown mechanism"), None)),
        };
        match credentials {
            Some((user, password)) => Ok(self.log_in(user, password).await),
            None => Ok((Reply::bad("authentication was cancelled or is malformed"), None)),
        }
    }

    /// Asks for a response; `None` when the client cancels.
    async fn challenge(&mut self, text: &str) -> Result<Option<String>, End> {
        self.stream.write(format!("+ {text}\r\n").as_bytes()).await?;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.stream.input) {
                let line: Vec<u8> = self.stream.input.drain(..=end).collect();
                let text = String::from_utf8(line)
                    .unwrap_or_default()
                    .trim_end_matches(['\r', '\n'])
                    .to_owned();
                return Ok((text != "*").then_some(text));
            }
            if self.stream.input.len() > limits::COMMAND_BYTES_BEFORE_LOGIN {
                return Err(End::Bye("the response is too long"));
            }
            self.fill().await?;
        }
    }

    async fn log_in(&mut self, login: String, password: String) -> (Reply, Option<Login>) {
        let peer = self.stream.connection.peer();
        match self
            .host
            .login(Credentials {
                login,
                password,
                service: "imap",
                peer,
            })
            .await
        {
            Ok(login) => {
                let situation = Situation {
                    logged_in: true,
                    ..self.situation()
                };
                let code = format!("CAPABILITY {}", capability::list(situation));
                (Reply::ok_code(code, "logged in"), Some(login))
            }
            Err(LoginError::Unavailable) => (Reply::no("UNAVAILABLE", "try again later"), None),
            Err(_) => {
                self.failures += 1;
                (Reply::no("AUTHENTICATIONFAILED", "login failed"), None)
            }
        }
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// A PLAIN message (RFC 4616): authorization, authentication identity and password. To act as somebody
/// else is written as the manual's impersonation, so the log says who it was.
fn plain(message: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(message).ok()?;
    let mut parts = text.split('\0');
    let (other, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || user.is_empty() {
        return None;
    }
    let login = if other.is_empty() || other.eq_ignore_ascii_case(user) {
        user.to_owned()
    } else {
        format!("{user}!{other}")
    };
    Some((login, password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages() {
        let some = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(plain(b"\0tim\0tanstaaf"), some("tim", "tanstaaf"));
        assert_eq!(plain(b"Tim\0tim\0x"), some("tim", "x"));
        assert_eq!(plain(b"boss@x\0tim@x\0x"), some("tim@x!boss@x", "x"));
        assert_eq!(plain(b"tim\0x"), None);
        assert_eq!(plain(b"\0\0x"), None);
        assert_eq!(plain(b"\0a\0b\0c"), None);
        assert_eq!(plain(b"\0\xff\0b"), None);
    }
}
