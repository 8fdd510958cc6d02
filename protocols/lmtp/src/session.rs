//! A session: what the client may do next, and what it has said so far. Mail transactions are in
//! [`crate::transaction`], logins in [`crate::login`].

use std::{io, time::Instant};

use ringpost_host::{Connection, Host, Login};

use crate::{
    COMMANDS_BEFORE_LOGIN_MAX, Command, Dialects, FAILURES_MAX, Greeting, Line, Options,
    REPLIES_BUFFERED_MAX, Role, next_line,
    pace::Pace,
    parse,
    reply::{self, Reply},
    transaction::Transaction,
};

/// Serves one client from the banner to the end.
pub(crate) async fn run<C: Connection, H: Host>(options: &Options, connection: &mut C, host: &H) {
    let mut session = Session {
        options,
        connection,
        host,
        input: Vec::new(),
        out: Vec::new(),
        greeting: None,
        client_name: String::new(),
        login: None,
        failed_logins: 0,
        commands_before_login: 0,
        transaction: None,
        failures: 0,
        line_dropped: false,
    };
    if let Err(error) = session.serve().await {
        let peer = session.connection.peer();
        tracing::debug!(%peer, %error, "session ended");
    }
}

pub(crate) struct Session<'a, C, H> {
    pub(crate) options: &'a Options,
    pub(crate) connection: &'a mut C,
    pub(crate) host: &'a H,
    pub(crate) input: Vec<u8>,
    pub(crate) out: Vec<u8>,
    pub(crate) greeting: Option<Greeting>,
    pub(crate) client_name: String,
    /// Who the client is, once it has logged in.
    pub(crate) login: Option<Login>,
    pub(crate) failed_logins: u32,
    commands_before_login: usize,
    pub(crate) transaction: Option<Transaction>,
    failures: usize,
    /// The rest of a line that is too long is still to come.
    line_dropped: bool,
}

/// What to do after a command.
pub(crate) enum Next {
    Reply(Reply),
    /// Replies are in `out` already.
    Replied,
    StartTls,
    Rcpt(String, crate::RcptParameters),
    Data,
    Bdat(crate::Chunk),
    Auth(String, Option<String>),
    Quit(Reply),
}

/// Whether the client is still there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Stays,
    Gone,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    async fn serve(&mut self) -> io::Result<()> {
        reply::banner(self.options, &mut self.out);
        loop {
            let Some(command) = self.next_command().await? else {
                return Ok(());
            };
            let started = Instant::now();
            let next = match command {
                Ok(command) => self.execute(command),
                Err(refusal) if refusal.is_last() => Next::Quit(refusal),
                Err(refusal) => Next::Reply(refusal),
            };
            let client = match next {
                Next::Reply(reply) => {
                    self.answer(&reply);
                    Client::Stays
                }
                Next::Replied => Client::Stays,
                Next::StartTls => {
                    self.start_tls().await?;
                    Client::Stays
                }
                Next::Rcpt(address, parameters) => {
                    let reply = self.rcpt(&address, parameters).await;
                    self.answer(&reply);
                    Client::Stays
                }
                Next::Data => self.data().await?,
                Next::Bdat(chunk) => self.chunk(chunk).await?,
                Next::Auth(mechanism, initial) => self.authenticate(&mechanism, initial).await?,
                Next::Quit(reply) => {
                    reply.write(&mut self.out);
                    return self.flush().await;
                }
            };
            if client == Client::Gone {
                return Ok(());
            }
            self.host
                .command_done(self.options.role.service(), started.elapsed());
            if let Some(farewell) = self.enough() {
                farewell.write(&mut self.out);
                return self.flush().await;
            }
            if self.out.len() >= REPLIES_BUFFERED_MAX {
                self.flush().await?;
            }
        }
    }

    /// The next command, or how a line that is none is refused; `None` at the end.
    async fn next_command(&mut self) -> io::Result<Option<Result<Command, Reply>>> {
        loop {
            let (used, command) = match next_line(&self.input) {
                Line::Complete(_, used) | Line::TooLong(used, true) | Line::Malformed(used)
                    if std::mem::take(&mut self.line_dropped) =>
                {
                    // The end of a line whose beginning was answered already.
                    self.input.drain(..used);
                    continue;
                }
                Line::Complete(line, used) => (used, parse(line).map_err(crate::SyntaxError::reply)),
                Line::Malformed(used) => (used, Err(Reply::new(500, "5.5.2", "lines must end with CRLF"))),
                Line::TooLong(used, complete) => {
                    let answered = std::mem::replace(&mut self.line_dropped, !complete);
                    if answered {
                        self.input.clear();
                        continue;
                    }
                    (used, Err(Reply::new(500, "5.5.6", "line too long")))
                }
                Line::Incomplete => {
                    if self.receive().await? == Client::Gone {
                        return Ok(None);
                    }
                    continue;
                }
            };
            self.input.drain(..used);
            return Ok(Some(command));
        }
    }

    /// The farewell to a client that does nothing of use.
    fn enough(&mut self) -> Option<Reply> {
        if self.failures >= FAILURES_MAX {
            return Some(Reply::new(421, "4.7.0", "too many errors"));
        }
        if self.options.role == Role::Submission && self.login.is_none() {
            self.commands_before_login += 1;
            if self.failed_logins >= self.options.auth_times {
                return Some(Reply::new(421, "4.7.0", "too many failed logins"));
            }
            if self.commands_before_login >= COMMANDS_BEFORE_LOGIN_MAX {
                return Some(Reply::new(421, "4.7.0", "too many commands without a login"));
            }
        }
        None
    }

    fn execute(&mut self, command: Command) -> Next {
        match command {
            Command::Hello(greeting, name) => self.hello(greeting, name),
            Command::Quit => Next::Quit(Reply::new(221, "2.0.0", "bye")),
            Command::Noop => Next::Reply(Reply::new(250, "2.0.0", "ok")),
            Command::Rset => {
                self.transaction = None;
                Next::Reply(Reply::new(250, "2.0.0", "ok"))
            }
            Command::Help => Next::Reply(Reply::new(214, "2.0.0", "see RFC 5321, RFC 2033 and RFC 6409")),
            Command::Vrfy => Next::Reply(Reply::new(252, "2.5.2", "send some mail, it will be tried")),
            Command::StartTls => self.allow_start_tls(),
            Command::Auth(mechanism, initial) => match self.refuse_auth(&mechanism) {
                Some(refusal) => Next::Reply(refusal),
                None => Next::Auth(mechanism, initial),
            },
            // The bytes behind BDAT come whatever is answered: they are never read as commands.
            Command::Bdat(chunk) => Next::Bdat(chunk),
            Command::Mail(..) | Command::Rcpt(..) | Command::Data => {
                if let Some(refusal) = self.refuse_mail() {
                    return self.refuse_pipelined(&command, refusal);
                }
                match command {
                    Command::Mail(sender, parameters) => Next::Reply(self.mail(sender, parameters)),
                    Command::Rcpt(address, parameters) => Next::Rcpt(address, parameters),
                    _ => match self.refuse_data() {
                        Some(refusal) => self.refuse_pipelined(&Command::Data, refusal),
                        None => Next::Data,
                    },
                }
            }
        }
    }

    /// What a client has to do before it may send mail.
    pub(crate) fn refuse_mail(&self) -> Option<Reply> {
        if self.greeting.is_none() {
            return Some(Reply::new(503, "5.5.1", "say hello first"));
        }
        if self.options.force_tls && !self.connection.is_tls() {
            return Some(Reply::new(530, "5.7.0", "issue STARTTLS first"));
        }
        if self.options.role == Role::Submission && self.login.is_none() {
            return Some(Reply::new(530, "5.7.0", "authentication required"));
        }
        None
    }

    /// Who sends on behind DATA without waiting for 354 takes it for granted that a message follows; read as
    /// commands, it could say anything.
    fn refuse_pipelined(&mut self, command: &Command, refusal: Reply) -> Next {
        if *command != Command::Data || self.input.is_empty() {
            return Next::Reply(refusal);
        }
        refusal.write(&mut self.out);
        Next::Quit(Reply::new(421, "4.5.0", "data sent without permission"))
    }

    fn hello(&mut self, greeting: Greeting, name: String) -> Next {
        let wanted = if greeting == Greeting::Lhlo {
            Dialects::Lmtp
        } else {
            Dialects::Smtp
        };
        if self.options.dialects != Dialects::Both && self.options.dialects != wanted {
            let other = if wanted == Dialects::Lmtp {
                "this port speaks SMTP"
            } else {
                "this port speaks LMTP"
            };
            return Next::Reply(Reply::new(500, "5.5.1", other));
        }
        self.greeting = Some(greeting);
        self.client_name = name;
        self.transaction = None;
        let offers = reply::Offers {
            starttls: self.can_start_tls(),
            auth: self.options.role == Role::Submission && self.login.is_none() && self.passwords_are_safe(),
        };
        reply::hello(self.options, greeting, offers, &mut self.out);
        Next::Replied
    }

    fn can_start_tls(&self) -> bool {
        self.options.offer_starttls && self.connection.can_start_tls() && !self.connection.is_tls()
    }

    fn allow_start_tls(&mut self) -> Next {
        if self.connection.is_tls() {
            return Next::Reply(Reply::new(503, "5.5.1", "TLS is active already"));
        }
        if !self.can_start_tls() {
            return Next::Reply(Reply::new(502, "5.5.1", "TLS is not available"));
        }
        Next::StartTls
    }

    /// RFC 3207 §4.2: nothing that was said in the clear counts afterwards.
    async fn start_tls(&mut self) -> io::Result<()> {
        Reply::new(220, "2.0.0", "ready to start TLS").write(&mut self.out);
        self.flush().await?;
        self.input.clear();
        self.connection.start_tls().await?;
        self.greeting = None;
        self.transaction = None;
        self.login = None;
        self.client_name.clear();
        Ok(())
    }

    pub(crate) fn answer(&mut self, reply: &Reply) {
        self.failures = if reply.is_failure() { self.failures + 1 } else { 0 };
        reply.write(&mut self.out);
    }

    /// Waits for more input, after sending what is to be sent. `Gone` at the end of the stream, when the
    /// client was silent for too long, or the server stops.
    pub(crate) async fn receive(&mut self) -> io::Result<Client> {
        self.flush().await?;
        let timeout = self.options.timeout;
        let stop = async {
            self.host.stopping().await;
            None
        };
        let read = async { Some(self.connection.read(&mut self.input, timeout).await) };
        let farewell = match futures_lite::future::or(read, stop).await {
            Some(Ok(0)) => return Ok(Client::Gone),
            Some(Ok(_)) => return Ok(Client::Stays),
            Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Reply::new(421, "4.4.2", "you were silent for too long")
            }
            Some(Err(error)) => return Err(error),
            None => Reply::new(421, "4.3.2", "the server is stopping"),
        };
        farewell.write(&mut self.out);
        self.flush().await?;
        Ok(Client::Gone)
    }

    /// The same amid a message: a client that sends it too slowly is `Gone`, too.
    pub(crate) async fn receive_message(&mut self, pace: &mut Pace) -> io::Result<Client> {
        let before = self.input.len();
        if self.receive().await? == Client::Gone {
            return Ok(Client::Gone);
        }
        if !pace.is_too_slow(self.input.len().saturating_sub(before)) {
            return Ok(Client::Stays);
        }
        tracing::info!(peer = %self.connection.peer(), "a message came too slowly");
        Reply::new(421, "4.4.2", "the message comes too slowly").write(&mut self.out);
        self.flush().await?;
        Ok(Client::Gone)
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.connection.write(&self.out).await?;
        // An idle connection holds no buffers.
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        self.out.clear();
        Ok(())
    }
}
