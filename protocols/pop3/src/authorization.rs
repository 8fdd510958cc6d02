//! The AUTHORIZATION state (RFC 1939 §4): until the client is known.

use std::{io, time::Instant};

use ringpost_host::{Connection, Credentials, Host, Login, LoginError, Outcome};

use crate::{
    COMMANDS_BEFORE_LOGIN_MAX, Command, FAILURES_MAX, Options, State, parse, parse_plain, reply,
    transport::Transport,
};

/// Greets, and serves until the client is authenticated or gone.
pub(crate) async fn run<C: Connection, H: Host>(
    options: &Options,
    connection: &mut C,
    host: &H,
) -> Outcome<State> {
    let mut stage = Stage {
        transport: Transport::new(options, connection, host, Vec::new()),
        user: None,
        utf8: false,
        failed_logins: 0,
        failures: 0,
    };
    match stage.serve().await {
        Ok(Some(login)) => Outcome::HandOver {
            mailbox: login.mailbox.clone(),
            state: State {
                login,
                input: stage.transport.take_input(),
                utf8: stage.utf8,
            },
        },
        Ok(None) => Outcome::Done,
        Err(error) => {
            tracing::debug!(peer = %stage.transport.connection.peer(), %error, "session ended");
            Outcome::Done
        }
    }
}

struct Stage<'a, C, H> {
    transport: Transport<'a, C, H>,
    user: Option<String>,
    utf8: bool,
    failed_logins: u32,
    failures: usize,
}

/// What to do after a command.
enum Next {
    Go,
    Close,
    LoggedIn(Login),
}

impl<C: Connection, H: Host> Stage<'_, C, H> {
    async fn serve(&mut self) -> io::Result<Option<Login>> {
        let banner = format!("+OK {} POP3 ready", self.transport.options.host_id);
        self.transport.put(&banner);
        let mut commands = 0;
        while let Some(line) = self.transport.line().await? {
            let started = Instant::now();
            let before = self.transport.out.len();
            let next = match parse(&line) {
                Ok(command) => {
                    let name = command.name();
                    let next = self.execute(command).await?;
                    self.log(name, before);
                    next
                }
                Err(error) => {
                    self.transport.put(&format!("-ERR {error}"));
                    Next::Go
                }
            };
            self.transport.host.command_done("pop3", started.elapsed());
            match next {
                Next::Go if self.is_failure(before) => self.failures += 1,
                Next::Go => self.failures = 0,
                Next::Close => {
                    self.transport.flush().await?;
                    return Ok(None);
                }
                // The reply comes from the mailbox's core, once the maildrop is open.
                Next::LoggedIn(login) => {
                    self.transport.flush().await?;
                    return Ok(Some(login));
                }
            }
            commands += 1;
            if self.failures >= FAILURES_MAX || commands >= COMMANDS_BEFORE_LOGIN_MAX {
                self.transport.put("-ERR too many errors");
                self.transport.flush().await?;
                return Ok(None);
            }
        }
        Ok(None)
    }

    async fn execute(&mut self, command: Command) -> io::Result<Next> {
        match command {
            Command::Capa => {
                let (stls, passwords) = (self.can_start_tls(), self.may_send_password());
                reply::capabilities(self.transport.options, stls, passwords, &mut self.transport.out);
            }
            Command::Stls => self.start_tls().await?,
            Command::Utf8 => {
                self.utf8 = true;
                self.transport.put("+OK UTF8 mode");
            }
            Command::Quit => {
                self.transport.put("+OK bye");
                return Ok(Next::Close);
            }
            Command::User(_) | Command::Pass(_) | Command::Auth(Some(_)) if !self.may_send_password() => {
                self.transport.put("-ERR issue STLS first");
            }
            Command::User(name) => {
                self.user = Some(name);
                self.transport.put("+OK send the password");
            }
            Command::Pass(password) => match self.user.take() {
                Some(user) => return Ok(self.log_in(user, password).await),
                None => self.transport.put("-ERR USER comes first"),
            },
            Command::Auth(None) => self.transport.put("+OK mechanisms follow\r\nPLAIN\r\n."),
            Command::Auth(Some((mechanism, initial))) => return self.authenticate(&mechanism, initial).await,
            Command::Noop
            | Command::Apop
            | Command::Stat
            | Command::List(_)
            | Command::Uidl(_)
            | Command::Retr(_)
            | Command::Top(..)
            | Command::Dele(_)
            | Command::Rset => self.transport.put("-ERR not before the login"),
        }
        Ok(Next::Go)
    }

    fn can_start_tls(&self) -> bool {
        let Transport {
            options, connection, ..
        } = &self.transport;
        options.offer_stls && connection.can_start_tls() && !connection.is_tls()
    }

    fn may_send_password(&self) -> bool {
        !self.transport.options.force_tls || self.transport.connection.is_tls()
    }

    /// RFC 2595 §4; what came in the clear behind the command is discarded (CVE-2011-0411), and so is what
    /// was said before.
    async fn start_tls(&mut self) -> io::Result<()> {
        if !self.can_start_tls() {
            self.transport.put("-ERR TLS is not available");
            return Ok(());
        }
        self.transport.put("+OK begin TLS");
        self.transport.flush().await?;
        drop(self.transport.take_input());
        self.transport.connection.start_tls().await?;
        self.user = None;
        self.utf8 = false;
        Ok(())
    }

    /// AUTH (RFC 5034). The response may come on a line of its own, after an empty challenge.
    async fn authenticate(&mut self, mechanism: &str, initial: Option<String>) -> io::Result<Next> {
        if mechanism != "PLAIN" {
            self.transport.put("-ERR no such mechanism");
            return Ok(Next::Go);
        }
        let response = if let Some(initial) = initial {
            initial
        } else {
            self.transport.put("+ ");
            match self.transport.line().await? {
                Some(line) => String::from_utf8_lossy(&line).into_owned(),
                None => return Ok(Next::Close),
            }
        };
        if response == "*" {
            self.transport.put("-ERR cancelled");
            return Ok(Next::Go);
        }
        match parse_plain(&response) {
            Ok((login, password)) => Ok(self.log_in(login, password).await),
            Err(error) => {
                self.transport.put(&format!("-ERR {error}"));
                Ok(Next::Go)
            }
        }
    }

    async fn log_in(&mut self, login: String, password: String) -> Next {
        let credentials = Credentials {
            login,
            password,
            service: "pop3",
            peer: self.transport.connection.peer(),
        };
        let error = match self.transport.host.login(credentials).await {
            Ok(login) => return Next::LoggedIn(login),
            Err(error) => error,
        };
        self.transport.put(reply::login_failure(&error));
        if error == LoginError::Unavailable {
            return Next::Go;
        }
        self.failed_logins += 1;
        if self.failed_logins >= self.transport.options.auth_times {
            Next::Close
        } else {
            Next::Go
        }
    }

    /// Whether what was put since `before` begins with a failure.
    fn is_failure(&self, before: usize) -> bool {
        let put = self.transport.out.get(before..).unwrap_or_default();
        put.starts_with(b"-ERR")
    }

    fn log(&self, command: &'static str, before: usize) {
        let failed = self.is_failure(before);
        crate::transaction::log_command(
            self.transport.options,
            self.transport.connection.peer(),
            command,
            failed,
        );
    }
}
