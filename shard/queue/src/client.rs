//! One SMTP session with another server (RFC 5321), from the greeting on.
//!
//! With PIPELINING (RFC 2920) an envelope is one write and one wait, and so is the content behind it: two
//! round trips a message on a connection that is used again. With CHUNKING (RFC 3030) the content needs no `354` and
//! no stuffing.

use std::{borrow::Cow, fmt::Write as _, io, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ringpost_host::{BodyKind, Envelope, EnvelopeRecipient, Notify, Peer, ReturnContent};

use crate::{
    content::{self, Content},
    downgrade,
    reply::{Reply, ReplyError, Status},
    url::{HopSecurity, SmtpHop},
};

/// Recipients of one transaction: what every server takes (RFC 5321 §4.5.3.1.8).
pub(crate) const RECIPIENTS_MAX: usize = 100;
/// How long each step may take (RFC 5321 §4.5.3.2).
const GREETING: Duration = Duration::from_mins(5);
const HELLO: Duration = Duration::from_mins(5);
const TLS: Duration = Duration::from_mins(1);
const ENVELOPE: Duration = Duration::from_mins(5);
const DATA: Duration = Duration::from_mins(2);
const BLOCK: Duration = Duration::from_mins(3);
const END_OF_DATA: Duration = Duration::from_mins(10);
const QUIT: Duration = Duration::from_secs(5);
/// Content that is stuffed and written at once.
const PIECE: usize = 64 * 1024;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The connection failed or was closed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server does not speak SMTP.
    #[error("{0}")]
    Reply(#[from] ReplyError),
    /// It refuses to talk to this server.
    #[error("{0}")]
    Refused(Status),
}

impl SessionError {
    /// What it means for recipients: always that it is tried again. Whatever keeps a next hop from talking to this
    /// server is somebody's mistake that can be mended.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Io(error) => {
                let enhanced = match error.kind() {
                    io::ErrorKind::InvalidData => "4.7.5",
                    io::ErrorKind::NotFound => "4.4.3",
                    _ => "4.4.2",
                };
                Status::own(
                    451,
                    enhanced,
                    format!("the connection to the next server failed: {error}"),
                )
            }
            Self::Reply(error) => Status::own(451, "4.5.0", error.to_string()),
            Self::Refused(status) => Status {
                code: 451,
                enhanced: Cow::Owned(format!("4{}", &status.enhanced[1..])),
                text: Cow::Owned(format!("the next server refuses the session: {status}")),
                remote: false,
            },
        }
    }
}

/// What the server can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pipelining: bool,
    eight_bit: bool,
    binary: bool,
    chunking: bool,
    dsn: bool,
    utf8: bool,
    starttls: bool,
    enhanced: bool,
    auth: Vec<String>,
    /// SIZE is offered, and the limit where one is told.
    size: Option<u64>,
}

impl Extensions {
    fn of(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => extensions.pipelining = true,
                "8BITMIME" => extensions.eight_bit = true,
                "BINARYMIME" => extensions.binary = true,
                "CHUNKING" => extensions.chunking = true,
                "DSN" => extensions.dsn = true,
                "SMTPUTF8" => extensions.utf8 = true,
                "STARTTLS" => extensions.starttls = true,
                "ENHANCEDSTATUSCODES" => extensions.enhanced = true,
                "AUTH" => extensions.auth = words.map(str::to_ascii_uppercase).collect(),
                "SIZE" => {
                    extensions.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0));
                }
                _ => {}
            }
        }
        // Binary content travels in chunks only (RFC 3030 §3).
        extensions.binary &= extensions.chunking;
        extensions
    }
}

/// What became of a transaction.
#[derive(Debug)]
pub(crate) struct Sent {
    /// One a recipient, in order.
    pub(crate) statuses: Vec<Status>,
    /// The session ended with it.
    pub(crate) error: Option<SessionError>,
    /// All of the content was sent, and no answer came: recipients without a status of their own may have it.
    pub(crate) uncertain: usize,
    /// Nothing at all was answered: on a connection that was used before, it had been closed meanwhile.
    pub(crate) unanswered: bool,
}

/// A session that is ready for mail.
pub(crate) struct Client<P> {
    peer: P,
    input: Vec<u8>,
    pub(crate) extensions: Extensions,
    /// Transactions so far.
    pub(crate) transactions: usize,
}

impl<P: Peer> Client<P> {
    /// Greets a server over a new connection: EHLO, or HELO where that is unknown, TLS and AUTH as the hop says.
    pub(crate) async fn open(peer: P, hop: &SmtpHop, own_name: &str) -> Result<Self, SessionError> {
        let mut client = Self {
            peer,
            input: Vec::new(),
            extensions: Extensions::default(),
            transactions: 0,
        };
        if hop.security == HopSecurity::Tls {
            client.peer.start_tls(&hop.host, hop.trust, TLS).await?;
        }
        client.expect(2, GREETING).await?;
        client.hello(own_name).await?;
        if hop.security == HopSecurity::StartTls {
            if !client.extensions.starttls {
                let status = Status::own(454, "4.7.4", "STARTTLS is not offered");
                return Err(SessionError::Refused(status));
            }
            client.command("STARTTLS\r\n", HELLO).await?;
            // What came in the clear behind the answer counts for nothing (CVE-2011-0411).
            client.input.clear();
            client.peer.start_tls(&hop.host, hop.trust, TLS).await?;
            client.hello(own_name).await?;
        }
        if let Some((user, password)) = &hop.credentials {
            client.authenticate(user, password).await?;
        }
        Ok(client)
    }

    async fn hello(&mut self, own_name: &str) -> Result<(), SessionError> {
        self.write(format!("EHLO {own_name}\r\n").as_bytes(), HELLO)
            .await?;
        let reply = self.reply(HELLO).await?;
        if reply.code / 100 == 2 {
            self.extensions = Extensions::of(&reply);
            return Ok(());
        }
        if !matches!(reply.code, 500..=504 | 550) {
            return Err(SessionError::Refused(reply.status()));
        }
        self.extensions = Extensions::default();
        self.command(&format!("HELO {own_name}\r\n"), HELLO).await?;
        Ok(())
    }

    /// RFC 4954, PLAIN (RFC 4616) before LOGIN.
    async fn authenticate(&mut self, user: &str, password: &str) -> Result<(), SessionError> {
        let offers = |mechanism: &str| self.extensions.auth.iter().any(|offered| offered == mechanism);
        if offers("PLAIN") {
            let secret = STANDARD.encode(format!("\0{user}\0{password}"));
            self.command(&format!("AUTH PLAIN {secret}\r\n"), ENVELOPE)
                .await?;
        } else if offers("LOGIN") {
            self.write(b"AUTH LOGIN\r\n", ENVELOPE).await?;
            self.expect(3, ENVELOPE).await?;
            self.write(format!("{}\r\n", STANDARD.encode(user)).as_bytes(), ENVELOPE)
                .await?;
            self.expect(3, ENVELOPE).await?;
            self.command(&format!("{}\r\n", STANDARD.encode(password)), ENVELOPE)
                .await?;
        } else {
            let status = Status::own(454, "4.7.0", "neither AUTH PLAIN nor AUTH LOGIN is offered");
            return Err(SessionError::Refused(status));
        }
        Ok(())
    }

    /// Whether reports of delivery are the server's business from here on (RFC 3461 §5.2.2).
    pub(crate) fn takes_over_reports(&self) -> bool {
        self.extensions.dsn
    }

    /// Sends a message to some recipients, at most [`RECIPIENTS_MAX`]. `before_end` is called before the last bytes
    /// go out, with the number of recipients that may have it from then on.
    pub(crate) async fn send(
        &mut self,
        envelope: &Envelope,
        recipients: &[&EnvelopeRecipient],
        content: &Content,
        mut before_end: impl FnMut(usize),
    ) -> Sent {
        self.transactions += 1;
        let mut transaction = Transaction {
            statuses: vec![None; recipients.len()],
            answered: false,
            ended: 0,
        };
        let prepared = match self.prepare(envelope, recipients, content) {
            Ok(prepared) => prepared,
            Err(status) => return transaction.all(status),
        };
        let result = self
            .transact(envelope, recipients, &prepared, &mut transaction, &mut before_end)
            .await;
        match result {
            Ok(()) => transaction.finish(None),
            Err(error) => transaction.finish(Some(error)),
        }
    }

    /// The content as this server can take it.
    fn prepare<'a>(
        &self,
        envelope: &Envelope,
        recipients: &[&EnvelopeRecipient],
        content: &'a Content,
    ) -> Result<Prepared<'a>, Status> {
        let addresses_ascii =
            envelope.sender.is_ascii() && recipients.iter().all(|recipient| recipient.address.is_ascii());
        let needs_utf8 = !addresses_ascii || (envelope.utf8 && content.header_has_8bit);
        if needs_utf8 && !self.extensions.utf8 {
            // RFC 6531 §3.5: there is no way back to ASCII.
            return Err(Status::own(
                553,
                "5.6.7",
                "the next server does not take internationalised mail",
            ));
        }
        let binary = envelope.body == BodyKind::Binary && !content.is_lines;
        if binary && self.extensions.binary {
            return Ok(Prepared {
                bytes: Cow::Borrowed(&content.bytes),
                body: BodyKind::Binary,
                utf8: needs_utf8,
            });
        }
        let eight_bit = content.has_8bit;
        let bytes = if binary || (eight_bit && !self.extensions.eight_bit) {
            let Some(converted) = downgrade::to_seven_bit(&content.bytes) else {
                return Err(Status::own(
                    554,
                    "5.6.3",
                    "the next server takes no 8-bit mail, and this message can't be converted",
                ));
            };
            Cow::Owned(content::in_lines(&converted).into_owned())
        } else if content.is_lines {
            Cow::Borrowed(&content.bytes[..])
        } else {
            content::in_lines(&content.bytes)
        };
        let body = if bytes.is_ascii() {
            BodyKind::SevenBit
        } else {
            BodyKind::EightBit
        };
        if let Some(limit) = self.extensions.size
            && limit != 0
            && bytes.len() as u64 > limit
        {
            return Err(Status::own(
                552,
                "5.3.4",
                format!("the message is longer than the {limit} bytes that the next server takes"),
            ));
        }
        Ok(Prepared {
            bytes,
            body,
            utf8: needs_utf8,
        })
    }

    async fn transact(
        &mut self,
        envelope: &Envelope,
        recipients: &[&EnvelopeRecipient],
        prepared: &Prepared<'_>,
        transaction: &mut Transaction,
        before_end: &mut impl FnMut(usize),
    ) -> Result<(), SessionError> {
        let chunking = self.extensions.chunking;
        let mut commands = self.mail(envelope, prepared);
        let pipelining = self.extensions.pipelining;
        if pipelining {
            for recipient in recipients {
                self.rcpt(recipient, &mut commands);
            }
            if !chunking {
                commands.push_str("DATA\r\n");
            }
        }
        self.write(commands.as_bytes(), ENVELOPE).await?;
        let mail = self.reply(ENVELOPE).await?;
        transaction.answered = true;
        closing(&mail)?;
        let mail_ok = mail.code / 100 == 2;
        if !mail_ok {
            transaction.fill(&failure(&mail));
            if !pipelining {
                return self.reset().await;
            }
        }
        for (number, recipient) in recipients.iter().enumerate() {
            if !pipelining {
                let mut command = String::new();
                self.rcpt(recipient, &mut command);
                self.write(command.as_bytes(), ENVELOPE).await?;
            }
            let reply = self.reply(ENVELOPE).await?;
            closing(&reply)?;
            if reply.code / 100 != 2 && transaction.statuses[number].is_none() {
                transaction.statuses[number] = Some(failure(&reply));
            }
        }
        let accepted = transaction.open();
        if chunking {
            if accepted == 0 {
                return self.reset().await;
            }
        } else {
            if !pipelining {
                if accepted == 0 {
                    return self.reset().await;
                }
                self.write(b"DATA\r\n", DATA).await?;
            }
            let reply = self.reply(DATA).await?;
            closing(&reply)?;
            if reply.code != 354 {
                transaction.fill(&failure(&reply));
                return self.reset().await;
            }
            if accepted == 0 {
                // A server that wants content for nobody gets none (RFC 2920 §3.1).
                self.write(b".\r\n", DATA).await?;
                let reply = self.reply(END_OF_DATA).await?;
                return closing(&reply);
            }
        }
        self.content(prepared, chunking, || {
            before_end(accepted);
            transaction.ended = accepted;
        })
        .await?;
        let reply = self.reply(END_OF_DATA).await?;
        transaction.ended = 0;
        transaction.fill(&if reply.code / 100 == 2 {
            reply.status()
        } else {
            failure(&reply)
        });
        closing(&reply)
    }

    async fn content(
        &mut self,
        prepared: &Prepared<'_>,
        chunking: bool,
        mut before_end: impl FnMut(),
    ) -> Result<(), SessionError> {
        let bytes = &prepared.bytes;
        if chunking {
            let mut out = format!("BDAT {} LAST\r\n", bytes.len()).into_bytes();
            let mut pieces = bytes.chunks(PIECE).peekable();
            if pieces.peek().is_none() {
                before_end();
                return self.write(&out, BLOCK).await;
            }
            while let Some(piece) = pieces.next() {
                if pieces.peek().is_none() {
                    before_end();
                }
                if out.is_empty() {
                    self.write(piece, BLOCK).await?;
                } else {
                    out.extend_from_slice(piece);
                    self.write(&out, BLOCK).await?;
                    out.clear();
                }
            }
            return Ok(());
        }
        let mut stuffing = content::Stuffing::default();
        let mut out = Vec::with_capacity(PIECE + PIECE / 8);
        let mut pieces = bytes.chunks(PIECE).peekable();
        while let Some(piece) = pieces.next() {
            out.clear();
            stuffing.push(piece, &mut out);
            if pieces.peek().is_some() {
                self.write(&out, BLOCK).await?;
            }
        }
        stuffing.end(&mut out);
        before_end();
        self.write(&out, BLOCK).await
    }

    fn mail(&self, envelope: &Envelope, prepared: &Prepared<'_>) -> String {
        let mut command = format!("MAIL FROM:<{}>", envelope.sender);
        if self.extensions.size.is_some() {
            // Writing to a String can't fail.
            let _ = write!(command, " SIZE={}", prepared.bytes.len());
        }
        match prepared.body {
            BodyKind::Binary => command.push_str(" BODY=BINARYMIME"),
            BodyKind::EightBit if self.extensions.eight_bit => command.push_str(" BODY=8BITMIME"),
            _ => {}
        }
        if prepared.utf8 {
            command.push_str(" SMTPUTF8");
        }
        if self.extensions.dsn {
            match envelope.return_content {
                Some(ReturnContent::Full) => command.push_str(" RET=FULL"),
                Some(ReturnContent::Headers) => command.push_str(" RET=HDRS"),
                None => {}
            }
            if let Some(id) = &envelope.envelope_id {
                let _ = write!(command, " ENVID={}", xtext(id));
            }
        }
        command.push_str("\r\n");
        command
    }

    fn rcpt(&self, recipient: &EnvelopeRecipient, out: &mut String) {
        // Writing to a String can't fail.
        let _ = write!(out, "RCPT TO:<{}>", recipient.address);
        if self.extensions.dsn {
            match recipient.notify {
                Notify::Default => {}
                Notify::Never => out.push_str(" NOTIFY=NEVER"),
                Notify::On {
                    success,
                    failure,
                    delay,
                } => {
                    let named = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                    let named: Vec<_> = named
                        .iter()
                        .filter(|(on, _)| *on)
                        .map(|(_, name)| *name)
                        .collect();
                    if !named.is_empty() {
                        let _ = write!(out, " NOTIFY={}", named.join(","));
                    }
                }
            }
            let original = recipient
                .original
                .as_deref()
                .and_then(|text| text.split_once(';'));
            if let Some((kind, address)) = original.filter(|(kind, _)| is_atom(kind)) {
                let _ = write!(out, " ORCPT={kind};{}", xtext(address));
            }
        }
        out.push_str("\r\n");
    }

    async fn reset(&mut self) -> Result<(), SessionError> {
        self.command("RSET\r\n", ENVELOPE).await.map(drop)
    }

    /// Ends the session in order, if the server answers soon.
    pub(crate) async fn quit(mut self) {
        if self.write(b"QUIT\r\n", QUIT).await.is_ok() {
            let _ = self.reply(QUIT).await;
        }
    }

    async fn command(&mut self, command: &str, timeout: Duration) -> Result<Reply, SessionError> {
        self.write(command.as_bytes(), timeout).await?;
        self.expect(2, timeout).await
    }

    async fn expect(&mut self, class: u16, timeout: Duration) -> Result<Reply, SessionError> {
        let reply = self.reply(timeout).await?;
        if reply.code / 100 == class {
            Ok(reply)
        } else {
            Err(SessionError::Refused(reply.status()))
        }
    }

    async fn write(&mut self, data: &[u8], timeout: Duration) -> Result<(), SessionError> {
        Ok(self.peer.write(data, timeout).await?)
    }

    async fn reply(&mut self, timeout: Duration) -> Result<Reply, SessionError> {
        loop {
            if let Some((reply, used)) = Reply::parse(&self.input)? {
                self.input.drain(..used);
                return Ok(reply);
            }
            if self.peer.read(&mut self.input, timeout).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// 421 at any place says that the server is about to close (RFC 5321 §3.8).
fn closing(reply: &Reply) -> Result<(), SessionError> {
    if reply.code == 421 {
        return Err(SessionError::Refused(reply.status()));
    }
    Ok(())
}

/// A message as it goes over the wire, but for the stuffing.
struct Prepared<'a> {
    bytes: Cow<'a, [u8]>,
    body: BodyKind,
    utf8: bool,
}

struct Transaction {
    statuses: Vec<Option<Status>>,
    answered: bool,
    /// Recipients that may have the message since its last bytes went out.
    ended: usize,
}

impl Transaction {
    /// Recipients that nothing is said of yet.
    fn open(&self) -> usize {
        self.statuses.iter().filter(|status| status.is_none()).count()
    }

    fn fill(&mut self, status: &Status) {
        for open in self.statuses.iter_mut().filter(|status| status.is_none()) {
            *open = Some(status.clone());
        }
    }

    fn all(mut self, status: Status) -> Sent {
        self.fill(&status);
        self.answered = true;
        self.finish(None)
    }

    fn finish(mut self, error: Option<SessionError>) -> Sent {
        let uncertain = self.ended;
        let status = match &error {
            Some(error) => error.status(),
            None => Status::own(
                451,
                "4.5.0",
                "the next server left this recipient without an answer",
            ),
        };
        self.fill(&status);
        Sent {
            statuses: self.statuses.into_iter().flatten().collect(),
            error,
            uncertain,
            unanswered: !self.answered,
        }
    }
}

/// A reply that is no success. One that is neither a failure (a `354` to RCPT, say) is taken for a temporary one.
fn failure(reply: &Reply) -> Status {
    let status = reply.status();
    if matches!(status.code, 400..=599) {
        return status;
    }
    Status::own(
        451,
        "4.5.0",
        format!("unexpected answer of the next server: {status}"),
    )
}

fn is_atom(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// RFC 3461 §4.
fn xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'+' && byte != b'=' {
            encoded.push(byte.into());
        } else {
            // Writing to a String can't fail.
            let _ = write!(encoded, "+{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
