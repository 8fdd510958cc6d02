//! A session: what the client may do next, and what it has said so far.

use std::{io, time::Instant};

use bytes::Bytes;
use ringpost_delivery::{Message, Recipient, Undeliverable, deliver, resolve, trace};
use ringpost_host::{Connection, Host};

use crate::{
    Command, Decoder, Dialects, FAILURES_MAX, Greeting, Line, MailParameters, Options, Progress,
    RECIPIENTS_MAX, REPLIES_BUFFERED_MAX, next_line, parse,
    reply::{self, Reply},
};

/// Memory that a message's buffer starts with when the client named no size.
const INITIAL_MESSAGE_CAPACITY: usize = 32 * 1024;
/// Most memory reserved because a client named a size; more comes as the message does.
const RESERVED_MAX: u64 = 1 << 20;

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
        envelope: None,
        failures: 0,
        line_dropped: false,
    };
    if let Err(error) = session.serve().await {
        let peer = session.connection.peer();
        tracing::debug!(%peer, %error, "session ended");
    }
}

/// MAIL and RCPT so far.
struct Envelope {
    sender: String,
    parameters: MailParameters,
    recipients: Vec<Recipient>,
    /// Mailboxes of all recipients together.
    mailboxes: usize,
}

struct Session<'a, C, H> {
    options: &'a Options,
    connection: &'a mut C,
    host: &'a H,
    input: Vec<u8>,
    out: Vec<u8>,
    greeting: Option<Greeting>,
    client_name: String,
    envelope: Option<Envelope>,
    failures: usize,
    /// The rest of a line that is too long is still to come.
    line_dropped: bool,
}

/// What to do after a command.
enum Next {
    Reply(Reply),
    /// Replies are in `out` already.
    Replied,
    StartTls,
    Data,
    Quit(Reply),
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    async fn serve(&mut self) -> io::Result<()> {
        reply::banner(self.options, &mut self.out);
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
                    if !self.receive().await? {
                        return Ok(());
                    }
                    continue;
                }
            };
            self.input.drain(..used);
            let started = Instant::now();
            let next = match command {
                Ok(command) => self.execute(command),
                Err(refusal) => Next::Reply(refusal),
            };
            match next {
                Next::Reply(reply) => self.answer(&reply),
                Next::Replied => {}
                Next::StartTls => self.start_tls().await?,
                Next::Data => {
                    if !self.data().await? {
                        return Ok(());
                    }
                }
                Next::Quit(reply) => {
                    reply.write(&mut self.out);
                    return self.flush().await;
                }
            }
            self.host.command_done("lmtp", started.elapsed());
            if self.failures >= FAILURES_MAX {
                Reply::new(421, "4.7.0", "too many errors").write(&mut self.out);
                return self.flush().await;
            }
            if self.out.len() >= REPLIES_BUFFERED_MAX {
                self.flush().await?;
            }
        }
    }

    fn execute(&mut self, command: Command) -> Next {
        match command {
            Command::Hello(greeting, name) => self.hello(greeting, name),
            Command::Quit => Next::Quit(Reply::new(221, "2.0.0", "bye")),
            Command::Noop => Next::Reply(Reply::new(250, "2.0.0", "ok")),
            Command::Rset => {
                self.envelope = None;
                Next::Reply(Reply::new(250, "2.0.0", "ok"))
            }
            Command::Help => Next::Reply(Reply::new(214, "2.0.0", "see RFC 2033 and RFC 5321")),
            Command::Vrfy => Next::Reply(Reply::new(252, "2.5.2", "send some mail, it will be tried")),
            Command::StartTls => self.allow_start_tls(),
            Command::Mail(..) | Command::Rcpt(_) | Command::Data if self.greeting.is_none() => {
                Next::Reply(Reply::new(503, "5.5.1", "say hello first"))
            }
            Command::Mail(..) | Command::Rcpt(_) | Command::Data
                if self.options.force_tls && !self.connection.is_tls() =>
            {
                Next::Reply(Reply::new(530, "5.7.0", "issue STARTTLS first"))
            }
            Command::Mail(sender, parameters) => Next::Reply(self.mail(sender, parameters)),
            Command::Rcpt(address) => Next::Reply(self.rcpt(&address)),
            Command::Data => self.allow_data(),
        }
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
        self.envelope = None;
        let starttls = self.can_start_tls();
        reply::hello(self.options, greeting, starttls, &mut self.out);
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
        self.envelope = None;
        self.client_name.clear();
        Ok(())
    }

    fn mail(&mut self, sender: String, parameters: MailParameters) -> Reply {
        if self.envelope.is_some() {
            return Reply::new(503, "5.5.1", "a transaction is under way");
        }
        if parameters
            .size
            .is_some_and(|size| size > self.options.mail_max_length)
        {
            return too_long();
        }
        self.envelope = Some(Envelope {
            sender,
            parameters,
            recipients: Vec::new(),
            mailboxes: 0,
        });
        Reply::new(250, "2.1.0", "sender ok")
    }

    fn rcpt(&mut self, address: &str) -> Reply {
        let Some(envelope) = &mut self.envelope else {
            return Reply::new(503, "5.5.1", "MAIL comes first");
        };
        if !address.is_ascii() && !envelope.parameters.utf8 {
            return Reply::new(553, "5.6.7", "SMTPUTF8 is required for this address");
        }
        if envelope.recipients.len() >= RECIPIENTS_MAX {
            return Reply::new(452, "4.5.3", "too many recipients");
        }
        let directory = self.host.directory();
        let resolved = resolve(&*directory, &self.options.delivery, &envelope.sender, address);
        match resolved {
            Ok(recipient)
                if envelope.mailboxes + recipient.mailboxes.len() > ringpost_delivery::MAILBOXES_MAX =>
            {
                // Fewer recipients in another transaction may fit; alone a recipient always does.
                Reply::new(452, "4.5.3", "too many mailboxes for one message")
            }
            Ok(recipient) => {
                envelope.mailboxes += recipient.mailboxes.len();
                envelope.recipients.push(recipient);
                Reply::new(250, "2.1.5", "recipient ok")
            }
            Err(reason) => {
                tracing::info!(recipient = address, sender = envelope.sender, %reason, "recipient refused");
                reason.status().into()
            }
        }
    }

    /// RFC 2033 §4.2: DATA without an accepted recipient is refused with 503.
    fn allow_data(&mut self) -> Next {
        let refusal = match &self.envelope {
            None => Reply::new(503, "5.5.1", "MAIL comes first"),
            Some(envelope) if envelope.recipients.is_empty() => {
                Reply::new(503, "5.5.1", "no valid recipients")
            }
            Some(_) => return Next::Data,
        };
        if self.input.is_empty() {
            return Next::Reply(refusal);
        }
        // Who sends on behind DATA without waiting for 354 takes it for granted that a message follows; read
        // as commands, it could say anything.
        refusal.write(&mut self.out);
        Next::Quit(Reply::new(421, "4.5.0", "data sent without permission"))
    }

    /// Receives and delivers a message; `false` when the client has gone.
    async fn data(&mut self) -> io::Result<bool> {
        let Some(envelope) = self.envelope.take() else {
            return Ok(true);
        };
        self.out.extend_from_slice(b"354 end with <CRLF>.<CRLF>\r\n");
        self.flush().await?;
        let received = ringpost_mapi::FileTime::now();
        let header = self.trace_header(&envelope, received);
        let limit = self.options.mail_max_length;
        let reserved = envelope
            .parameters
            .size
            .map_or(INITIAL_MESSAGE_CAPACITY, |size| size.min(RESERVED_MAX) as usize);
        let mut source = Vec::with_capacity(header.len() + reserved);
        source.extend_from_slice(header.as_bytes());
        let mut decoder = Decoder::new(limit);
        loop {
            if let Progress::End(used) = decoder.push(&self.input, &mut source) {
                self.input.drain(..used);
                break;
            }
            self.input.clear();
            if decoder.is_too_long() {
                source.clear();
            }
            if !self.receive().await? {
                return Ok(false);
            }
        }
        let outcomes = if decoder.is_too_long() {
            vec![Err(Refused::TooLong); envelope.recipients.len()]
        } else {
            let message = Message {
                source: Bytes::from(source),
                trace_length: header.len(),
                received,
                envelope: ringpost_host::Envelope {
                    sender: envelope.sender.clone(),
                    utf8: envelope.parameters.utf8,
                    ..ringpost_host::Envelope::default()
                },
            };
            let delivered = deliver(self.host, &self.options.delivery, &envelope.recipients, message).await;
            delivered
                .into_iter()
                .map(|outcome| outcome.map_err(Refused::Undeliverable))
                .collect()
        };
        self.report(&envelope, &outcomes);
        Ok(true)
    }

    /// The replies after the data: one a recipient in LMTP (RFC 2033 §4.2), one in all in SMTP.
    fn report(&mut self, envelope: &Envelope, outcomes: &[Result<(), Refused>]) {
        let sender = &envelope.sender;
        for (recipient, outcome) in envelope.recipients.iter().zip(outcomes) {
            match outcome {
                Ok(()) => tracing::info!(sender, recipient = recipient.address, "delivered"),
                Err(refused) => {
                    let reason = refused.reply();
                    tracing::warn!(sender, recipient = recipient.address, ?reason, "not delivered");
                }
            }
        }
        let reply_of = |outcome: &Result<(), Refused>| match outcome {
            Ok(()) => Reply::new(250, "2.1.5", "delivered"),
            Err(refused) => refused.reply(),
        };
        if self.greeting == Some(Greeting::Lhlo) {
            for outcome in outcomes {
                self.answer(&reply_of(outcome));
            }
            return;
        }
        let temporary = outcomes
            .iter()
            .find(|o| matches!(o, Err(refused) if refused.is_temporary()));
        let failed = temporary.or_else(|| outcomes.iter().find(|outcome| outcome.is_err()));
        self.answer(&failed.map_or_else(|| Reply::new(250, "2.6.0", "delivered"), reply_of));
    }

    fn trace_header(&self, envelope: &Envelope, time: ringpost_mapi::FileTime) -> String {
        let tls = self.connection.is_tls();
        let protocol = match (self.greeting, envelope.parameters.utf8) {
            (Some(Greeting::Lhlo), true) if tls => "UTF8LMTPS",
            (Some(Greeting::Lhlo), true) => "UTF8LMTP",
            (Some(Greeting::Lhlo), false) if tls => "LMTPS",
            (Some(Greeting::Lhlo), false) => "LMTP",
            (_, true) if tls => "UTF8SMTPS",
            (_, true) => "UTF8SMTP",
            (Some(Greeting::Helo), false) => "SMTP",
            (_, false) if tls => "ESMTPS",
            (_, false) => "ESMTP",
        };
        trace::header(&trace::Arrival {
            sender: &envelope.sender,
            single_recipient: match envelope.recipients.as_slice() {
                [only] => Some(&only.address),
                _ => None,
            },
            client_name: &self.client_name,
            client: self.connection.peer().ip(),
            server_name: &self.options.host_id,
            protocol,
            id: &format!("{:x}.{}", time.0, self.connection.peer().port()),
            time,
        })
    }

    fn answer(&mut self, reply: &Reply) {
        self.failures = if reply.is_failure() { self.failures + 1 } else { 0 };
        reply.write(&mut self.out);
    }

    /// Waits for more input, after sending what is to be sent. `false` at the end of the stream, when the
    /// client was silent for too long, or the server stops.
    async fn receive(&mut self) -> io::Result<bool> {
        self.flush().await?;
        let timeout = self.options.timeout;
        let stop = async {
            self.host.stopping().await;
            None
        };
        let read = async { Some(self.connection.read(&mut self.input, timeout).await) };
        let farewell = match futures_lite::future::or(read, stop).await {
            Some(Ok(count)) => return Ok(count > 0),
            Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Reply::new(421, "4.4.2", "you were silent for too long")
            }
            Some(Err(error)) => return Err(error),
            None => Reply::new(421, "4.3.2", "the server is stopping"),
        };
        farewell.write(&mut self.out);
        self.flush().await?;
        Ok(false)
    }

    async fn flush(&mut self) -> io::Result<()> {
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

/// Why a message was not delivered to a recipient.
#[derive(Clone, Debug)]
enum Refused {
    TooLong,
    Undeliverable(Undeliverable),
}

impl Refused {
    fn reply(&self) -> Reply {
        match self {
            Self::TooLong => too_long(),
            Self::Undeliverable(reason) => reason.status().into(),
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(self, Self::Undeliverable(reason) if reason.is_temporary())
    }
}

fn too_long() -> Reply {
    Reply::new(552, "5.3.4", "the message is too long")
}
