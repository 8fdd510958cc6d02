//! POP3 (RFC 1939): what a client that downloads everything does.

use std::{ops::Range, rc::Rc};

use crate::{
    engine::{Stream, TlsMode},
    protocol::check_content,
    record::Done,
    scenario::Step,
    session::{Failure, Local, Session, Turn, given},
};

/// Messages in a mailbox, as far as one download goes.
const MAX_MESSAGES: u64 = 10_000_000;

/// What POP3 connections can do.
pub(crate) enum Action {
    /// STAT, LIST, and RETR of all, with sizes and contents compared.
    Download,
    Noop,
    Stat,
    /// UIDL, one line a message.
    Uidl,
    Quit,
}

/// A POP3 connection, logged in.
pub(crate) struct Pop3 {
    stream: Stream,
    mailbox: u64,
    sizes: Vec<u64>,
    unstuffed: Vec<u8>,
}

impl Session for Pop3 {
    type Action = Action;

    fn compile(step: &Step) -> Result<Action, String> {
        match step.action() {
            "download" => Ok(Action::Download),
            "noop" => Ok(Action::Noop),
            "stat" => Ok(Action::Stat),
            "uidl" => Ok(Action::Uidl),
            "logout" => Ok(Action::Quit),
            other => Err(format!(
                "POP3 can `download`, `stat`, `uidl`, `noop` and `logout`, not `{other}`"
            )),
        }
    }

    async fn open(local: &Rc<Local>, mailbox: u64, number: u64) -> Result<Self, Failure> {
        let endpoint = given(local.endpoints.pop3.as_ref())?;
        let stream = Stream::connect(&local.reactor, endpoint, number).await?;
        let mut session = Self {
            stream,
            mailbox,
            sizes: Vec::new(),
            unstuffed: Vec::new(),
        };
        session.stream.begin_request();
        session.expect_ok("the greeting").await?;
        if endpoint.tls == TlsMode::Starttls {
            session.request("STLS").await?;
            session.stream.start_tls(endpoint).await?;
            session.stream.begin_request();
        }
        session
            .request(&format!("USER {}", local.users.address(mailbox)))
            .await?;
        let password = format!("PASS {}\r\n", local.users.password);
        session.stream.send(&[password.as_bytes()]).await?;
        session.expect_ok("PASS").await?;
        session.stream.end_request();
        Ok(session)
    }

    async fn perform(&mut self, action: &Action, turn: &mut Turn<'_>) -> Result<Done, Failure> {
        self.stream.begin_request();
        let done = match action {
            Action::Download => self.download(turn).await?,
            Action::Noop => self.request("NOOP").await.map(|()| Done::default())?,
            Action::Stat => {
                let (items, _) = self.stat().await?;
                Done { bytes: 0, items }
            }
            Action::Uidl => self.uidl().await?,
            Action::Quit => self.request("QUIT").await.map(|()| Done::default())?,
        };
        if !self.stream.is_drained() {
            return Err(said_more());
        }
        self.stream.end_request();
        Ok(done)
    }
}

impl Pop3 {
    async fn request(&mut self, request: &str) -> Result<(), Failure> {
        self.stream.send(&[request.as_bytes(), b"\r\n"]).await?;
        self.expect_ok(request).await
    }

    async fn expect_ok(&mut self, request: &str) -> Result<(), Failure> {
        let line = self.stream.read_line().await?;
        let line = self.stream.bytes(line);
        if line.starts_with(b"+OK") {
            Ok(())
        } else {
            Err(unexpected(request, line))
        }
    }

    async fn stat(&mut self) -> Result<(u64, u64), Failure> {
        self.stream.send(&[b"STAT\r\n"]).await?;
        let line = self.stream.read_line().await?;
        let line = self.stream.bytes(line);
        numbers(line.strip_prefix(b"+OK ").unwrap_or_default())
            .ok_or_else(|| Failure::wrong("a count and a size from STAT", line))
    }

    async fn uidl(&mut self) -> Result<Done, Failure> {
        let (count, _) = self.stat().await?;
        self.request("UIDL").await?;
        let mut done = Done::default();
        loop {
            let line = self.stream.read_line().await?;
            let line = self.stream.bytes(line);
            if line == b"." {
                break;
            }
            done.items += 1;
            done.bytes += line.len() as u64 + 2;
            let number = line.split(|&byte| byte == b' ').next().and_then(number);
            if number != Some(done.items) {
                return Err(Failure::wrong(
                    &format!("the line of message {}", done.items),
                    line,
                ));
            }
        }
        if done.items == count {
            Ok(done)
        } else {
            let found = format!("UIDL has {} lines, STAT counts {count} messages", done.items);
            Err(Failure::Wrong(found))
        }
    }

    async fn download(&mut self, turn: &Turn<'_>) -> Result<Done, Failure> {
        let (count, total) = self.stat().await?;
        self.list(count, total).await?;
        let mut done = Done::default();
        if count > 0 {
            self.ask_for(1).await?;
        }
        for number in 1..=count {
            let message = self.receive(number).await?;
            // As a client does that stores what it got while the next message is on its way.
            if number < count {
                self.ask_for(number + 1).await?;
            }
            let size = self.check(message, turn)?;
            let announced = self.sizes[number as usize - 1];
            if size != announced {
                return Err(Failure::Wrong(format!(
                    "message {number} has {size} octets, LIST says {announced}"
                )));
            }
            done.bytes += size;
            done.items += 1;
        }
        Ok(done)
    }

    async fn list(&mut self, count: u64, total: u64) -> Result<(), Failure> {
        self.request("LIST").await?;
        self.sizes.clear();
        loop {
            let line = self.stream.read_line().await?;
            let line = self.stream.bytes(line);
            if line == b"." {
                break;
            }
            match numbers(line) {
                Some((number, size)) if number == self.sizes.len() as u64 + 1 && number <= MAX_MESSAGES => {
                    self.sizes.push(size);
                }
                _ => return Err(Failure::wrong("the line of the next message", line)),
            }
        }
        let listed = (self.sizes.len() as u64, self.sizes.iter().sum::<u64>());
        if listed == (count, total) {
            Ok(())
        } else {
            Err(Failure::Wrong(format!(
                "STAT says {count} messages and {total} octets, LIST {} and {}",
                listed.0, listed.1
            )))
        }
    }

    async fn ask_for(&mut self, number: u64) -> Result<(), Failure> {
        self.stream.begin_request();
        let request = format!("RETR {number}\r\n");
        Ok(self.stream.send(&[request.as_bytes()]).await?)
    }

    /// Reads the message that was asked for; its place in the stream's bytes, where it stays until more is read.
    async fn receive(&mut self, number: u64) -> Result<Range<usize>, Failure> {
        let line = self.stream.read_line().await?;
        let line = self.stream.bytes(line);
        if !line.starts_with(b"+OK") {
            return Err(unexpected(&format!("RETR {number}"), line));
        }
        let range = self.stream.read_until(b"\r\n.\r\n").await?;
        if !self.stream.is_drained() {
            return Err(said_more());
        }
        // The line end before the dot is the message's own.
        Ok(range.start..range.end + 2)
    }

    /// Checks a message as it was received, and returns its size in octets.
    fn check(&mut self, message: Range<usize>, turn: &Turn<'_>) -> Result<u64, Failure> {
        let received = self.stream.bytes(message);
        let source = if received.starts_with(b".") || memchr::memmem::find(received, b"\n.").is_some() {
            self.unstuffed.clear();
            for line in received.split_inclusive(|&byte| byte == b'\n') {
                self.unstuffed
                    .extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
            &self.unstuffed[..]
        } else {
            received
        };
        check_content(source, self.mailbox, turn.local)?;
        Ok(source.len() as u64)
    }
}

fn unexpected(request: &str, line: &[u8]) -> Failure {
    if line.starts_with(b"-ERR") {
        Failure::refused(request, line)
    } else {
        Failure::wrong("+OK or -ERR", line)
    }
}

fn said_more() -> Failure {
    Failure::Wrong("the server said more than it was asked".to_owned())
}

fn numbers(text: &[u8]) -> Option<(u64, u64)> {
    let mut fields = text.split(|&byte| byte == b' ');
    Some((number(fields.next()?)?, number(fields.next()?)?))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
