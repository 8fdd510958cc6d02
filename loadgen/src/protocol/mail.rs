//! LMTP (RFC 2033) and SMTP (RFC 5321): one message to one recipient at a time, the envelope pipelined where the
//! server offers that (RFC 2920).

use std::{
    io::{self, Write},
    rc::Rc,
    time::Instant,
};

use crate::{
    engine::{Endpoint, Stream, TlsMode},
    record::Done,
    scenario::Step,
    session::{Failure, Local, Session, Turn, given},
};

/// Who the envelope says that messages come from.
const SENDER: &str = "load@load.example.org";
const CLIENT_NAME: &str = "load.example.org";

/// What connections for mail can do.
pub(crate) enum Action {
    /// One message to the mailbox whose turn it is.
    Deliver,
    /// Nothing, but the server must answer.
    Noop,
}

/// An LMTP connection.
pub(crate) struct Lmtp(Mail);
/// An SMTP connection.
pub(crate) struct Smtp(Mail);

impl Session for Lmtp {
    type Action = Action;

    fn compile(step: &Step) -> Result<Action, String> {
        compile(step)
    }

    async fn open(local: &Rc<Local>, _mailbox: u64, number: u64) -> Result<Self, Failure> {
        let endpoint = given(local.endpoints.lmtp.as_ref())?;
        Ok(Self(Mail::open(local, endpoint, "LHLO", number).await?))
    }

    async fn perform(&mut self, action: &Action, turn: &mut Turn<'_>) -> Result<Done, Failure> {
        self.0.perform(action, turn).await
    }
}

impl Session for Smtp {
    type Action = Action;

    fn compile(step: &Step) -> Result<Action, String> {
        compile(step)
    }

    async fn open(local: &Rc<Local>, _mailbox: u64, number: u64) -> Result<Self, Failure> {
        let endpoint = given(local.endpoints.smtp.as_ref())?;
        Ok(Self(Mail::open(local, endpoint, "EHLO", number).await?))
    }

    async fn perform(&mut self, action: &Action, turn: &mut Turn<'_>) -> Result<Done, Failure> {
        self.0.perform(action, turn).await
    }
}

fn compile(step: &Step) -> Result<Action, String> {
    match step.action() {
        "deliver" => Ok(Action::Deliver),
        "noop" => Ok(Action::Noop),
        other => Err(format!("LMTP and SMTP can `deliver` and `noop`, not `{other}`")),
    }
}

struct Mail {
    stream: Stream,
    pipelining: bool,
    envelope: Vec<u8>,
    recipient: String,
}

impl Mail {
    async fn open(local: &Rc<Local>, endpoint: &Endpoint, hello: &str, number: u64) -> Result<Self, Failure> {
        let stream = Stream::connect(&local.reactor, endpoint, number).await?;
        let mut session = Self {
            stream,
            pipelining: false,
            envelope: Vec::new(),
            recipient: String::new(),
        };
        session.stream.begin_request();
        session.expect(b"220", "the greeting").await?;
        session.greet(hello).await?;
        if endpoint.tls == TlsMode::Starttls {
            session.stream.send(&[b"STARTTLS\r\n"]).await?;
            session.expect(b"220", "STARTTLS").await?;
            session.stream.start_tls(endpoint).await?;
            session.stream.begin_request();
            session.greet(hello).await?;
        }
        session.stream.end_request();
        Ok(session)
    }

    async fn greet(&mut self, hello: &str) -> Result<(), Failure> {
        let line = format!("{hello} {CLIENT_NAME}\r\n");
        self.stream.send(&[line.as_bytes()]).await?;
        self.pipelining = false;
        loop {
            let line = self.stream.read_line().await?;
            let line = self.stream.bytes(line);
            if !line.starts_with(b"250") {
                return Err(unexpected(b"250", hello, line));
            }
            if line.len() >= 14 && line[4..].eq_ignore_ascii_case(b"PIPELINING") {
                self.pipelining = true;
            }
            if line.get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }

    async fn perform(&mut self, action: &Action, turn: &mut Turn<'_>) -> Result<Done, Failure> {
        self.stream.begin_request();
        let result = match action {
            Action::Deliver => self.deliver(turn).await,
            Action::Noop => {
                self.stream.send(&[b"NOOP\r\n"]).await?;
                self.expect(b"250", "NOOP").await.map(|()| Done::default())
            }
        };
        if let Err(Failure::Refused(_)) = result {
            // So that the next transaction begins anew.
            self.stream.send(&[b"RSET\r\n"]).await?;
            self.expect(b"250", "RSET").await?;
        }
        if result.is_ok() && !self.stream.is_drained() {
            return Err(Failure::Wrong(
                "the server said more than it was asked".to_owned(),
            ));
        }
        self.stream.end_request();
        result
    }

    async fn deliver(&mut self, turn: &mut Turn<'_>) -> Result<Done, Failure> {
        let mut recipient = std::mem::take(&mut self.recipient);
        turn.local.users.write_address(turn.mailbox, &mut recipient);
        let mut message = turn.local.take_buffer();
        turn.local
            .messages
            .write(turn.mailbox, turn.number, &recipient, &mut message);
        let sent = self.transaction(&recipient, &message, turn).await;
        let bytes = message.len() as u64;
        self.recipient = recipient;
        turn.local.return_buffer(message);
        sent.map(|()| Done { bytes, items: 1 })
    }

    async fn transaction(&mut self, recipient: &str, message: &[u8], turn: &Turn<'_>) -> Result<(), Failure> {
        if self.pipelining {
            self.envelope.clear();
            write!(
                self.envelope,
                "MAIL FROM:<{SENDER}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
            )?;
            self.stream.send(&[&self.envelope]).await?;
            self.pipelined_replies().await?;
        } else {
            let sender = format!("MAIL FROM:<{SENDER}>\r\n");
            self.stream.send(&[sender.as_bytes()]).await?;
            self.expect(b"250", "MAIL").await?;
            let recipient = format!("RCPT TO:<{recipient}>\r\n");
            self.stream.send(&[recipient.as_bytes()]).await?;
            self.expect(b"25", "RCPT").await?;
            self.stream.send(&[b"DATA\r\n"]).await?;
            self.expect(b"354", "DATA").await?;
        }
        turn.local.board.sent(turn.mailbox, Instant::now());
        let stored = self.send_content(message).await;
        if stored.is_err() {
            turn.local.board.failed(turn.mailbox);
        }
        stored
    }

    async fn send_content(&mut self, message: &[u8]) -> Result<(), Failure> {
        // The generator makes no line that begins with a dot: nothing to stuff.
        self.stream.send(&[message, b".\r\n"]).await?;
        self.expect(b"250", "the message").await
    }

    /// The replies to MAIL, RCPT and DATA. All three are read before a refusal counts, and a DATA that was accepted in
    /// spite of it is ended (RFC 2033 §4.2 and RFC 2920 §3.1 let servers do either).
    async fn pipelined_replies(&mut self) -> Result<(), Failure> {
        let sender = self.expect(b"250", "MAIL").await;
        if matches!(sender, Err(Failure::Wrong(_) | Failure::Connection(_))) {
            return sender;
        }
        let recipient = self.expect(b"25", "RCPT").await;
        if matches!(recipient, Err(Failure::Wrong(_) | Failure::Connection(_))) {
            return recipient;
        }
        let data = self.expect(b"354", "DATA").await;
        match (sender.and(recipient), data) {
            (Ok(()), data) => data,
            (Err(refusal), Ok(())) => {
                self.stream.send(&[b".\r\n"]).await?;
                match self.expect(b"250", "an empty message").await {
                    Ok(()) => Err(Failure::Wrong(
                        "a message without a recipient was accepted".to_owned(),
                    )),
                    Err(Failure::Refused(_)) => Err(refusal),
                    Err(other) => Err(other),
                }
            }
            (Err(refusal), Err(Failure::Refused(_))) => Err(refusal),
            (Err(_), Err(other)) => Err(other),
        }
    }

    async fn expect(&mut self, code: &[u8], request: &str) -> Result<(), Failure> {
        let mut code_seen = [0; 3];
        loop {
            let line = self.stream.read_line().await?;
            let line = self.stream.bytes(line);
            if code_seen != [0; 3] && !line.starts_with(&code_seen) {
                return Err(Failure::wrong("the same code on each line of a reply", line));
            }
            if !line.starts_with(code) {
                return Err(unexpected(code, request, line));
            }
            match (line.get(3), line.first_chunk::<3>()) {
                (None | Some(b' '), _) => return Ok(()),
                (Some(b'-'), Some(first)) => code_seen = *first,
                _ => return Err(Failure::wrong("a reply code and a text", line)),
            }
        }
    }
}

/// A reply with another code: a refusal where it is one, else a wrong answer.
fn unexpected(code: &[u8], request: &str, line: &[u8]) -> Failure {
    let is_code = line.len() >= 3 && line[..3].iter().all(u8::is_ascii_digit);
    match line.first() {
        Some(b'4') if line.starts_with(b"421") => {
            Failure::Connection(io::Error::other(String::from_utf8_lossy(line).into_owned()))
        }
        // The lines of a long refusal are left unread; that is for the next reply to stumble over.
        Some(b'4' | b'5') if is_code && line.get(3) != Some(&b'-') => Failure::refused(request, line),
        Some(b'4' | b'5') if is_code => Failure::Connection(io::Error::other(format!(
            "{request}: {}",
            String::from_utf8_lossy(line)
        ))),
        _ => {
            let expected = format!("{} to {request}", String::from_utf8_lossy(code));
            Failure::wrong(&expected, line)
        }
    }
}
