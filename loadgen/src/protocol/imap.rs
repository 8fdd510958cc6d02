//! IMAP (RFC 9051 and 3501): a session that runs any command and checks what can be checked of any: the tag, the
//! status, how many messages were answered for, and each byte of messages that `loadgen` made.

mod command;

use std::{
    io::{self, Write},
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};

use crate::{
    engine::{Endpoint, Stream, TlsMode},
    protocol::check_content,
    record::{Done, OperationId},
    scenario::Step,
    session::{Failure, Local, Session, Turn, given},
    watch::{Board, WatcherId},
};
use command::{Command, Expected};

/// Of a response that a pattern is compared with, so much is kept.
const KEPT_FOR_PATTERN: usize = 16 << 20;

/// What of CAPABILITY matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// LITERAL+ (RFC 7888): content follows its length without asking.
    pub(crate) literal_plus: bool,
    /// MULTIAPPEND (RFC 3502).
    pub(crate) multiappend: bool,
}

/// What IMAP connections can do.
pub(crate) enum Action {
    Command(Command),
    /// Selects this mailbox; it must tell how many messages it has.
    Select(String),
    /// Appends a new message to this mailbox.
    Append(String),
    /// Creates a mailbox, or is content that it exists.
    Create(String),
    Logout,
    /// Goes idle, again after this while; `listen` then waits for what arrives.
    Idle(OperationId, Duration),
}

/// An IMAP connection, logged in.
pub(crate) struct Imap {
    stream: Stream,
    /// The last tag's number.
    tag: u32,
    capabilities: Capabilities,
    mailbox: u64,
    /// Messages in the selected mailbox.
    exists: u64,
    line: Vec<u8>,
    /// What of a response a pattern is compared with.
    kept: Vec<u8>,
    watch: Option<Watch>,
    board: Rc<Board>,
    local: Rc<Local>,
}

/// A session in IDLE.
#[derive(Clone, Copy)]
struct Watch {
    watcher: WatcherId,
    operation: OperationId,
    /// Servers end what is idle for half an hour: IDLE is begun anew before (RFC 2177).
    renewal: Duration,
}

/// What the untagged responses of a command held.
#[derive(Debug, Default)]
struct Responses {
    bytes: u64,
    fetched: u64,
    exists_told: bool,
    expunged: bool,
}

/// How a command is read.
#[derive(Clone, Copy, Default)]
struct Reading {
    verify: bool,
    keep: bool,
    /// FETCH responses count only with this in them: others tell of what other sessions changed.
    marker: Option<&'static [u8]>,
}

enum Line {
    Untagged,
    Continuation,
    /// The status and text of the command's end.
    Done(Range<usize>),
}

impl Session for Imap {
    type Action = Action;

    fn compile(step: &Step) -> Result<Action, String> {
        let mailbox = || step.mailbox.clone().unwrap_or_else(|| "INBOX".to_owned());
        Ok(match step.action() {
            "command" => Action::Command(Command::compile(step)?),
            "noop" => Action::Command(Command::simple("NOOP")),
            "select" => Action::Select(mailbox()),
            "append" => Action::Append(mailbox()),
            "create" => Action::Create(mailbox()),
            "logout" => Action::Logout,
            "idle" => Action::Idle(
                step.operation.ok_or("`idle` belongs into `setup`")?,
                Duration::from_secs_f64(step.renew_s.clamp(0.01, 1e6)),
            ),
            other => {
                return Err(format!(
                    "IMAP can `command`, `noop`, `select`, `append`, `create`, `idle` and `logout`, not `{other}`"
                ));
            }
        })
    }

    async fn open(local: &Rc<Local>, mailbox: u64, number: u64) -> Result<Self, Failure> {
        let endpoint = given(local.endpoints.imap.as_ref())?;
        let mut session = Self {
            stream: Stream::connect(&local.reactor, endpoint, number).await?,
            tag: 0,
            capabilities: Capabilities::default(),
            mailbox,
            exists: 0,
            line: Vec::new(),
            kept: Vec::new(),
            watch: None,
            board: local.board.clone(),
            local: local.clone(),
        };
        session.log_in(local, endpoint).await?;
        Ok(session)
    }

    async fn perform(&mut self, action: &Action, turn: &mut Turn<'_>) -> Result<Done, Failure> {
        match action {
            Action::Command(command) => self.command(command, turn).await,
            Action::Select(mailbox) => self.select(mailbox).await,
            Action::Append(mailbox) => {
                let mut message = turn.local.take_buffer();
                let recipient = turn.local.users.address(self.mailbox);
                turn.local
                    .messages
                    .write(self.mailbox, turn.number, &recipient, &mut message);
                let done = self.append(mailbox, &[&message]).await;
                turn.local.return_buffer(message);
                done
            }
            Action::Create(mailbox) => match self.run(&format!("CREATE {}", quoted(mailbox))).await {
                Ok(_) | Err(Failure::Refused(_)) => Ok(Done::default()),
                Err(other) => Err(other),
            },
            Action::Logout => self.run("LOGOUT").await.map(|_| Done::default()),
            Action::Idle(operation, renewal) => self.idle(*operation, *renewal).await,
        }
    }

    async fn listen(&mut self, board: &Rc<Board>) -> Result<(), Failure> {
        let Some(watch) = self.watch else {
            return Err(Failure::Wrong("no `idle` step came before listening".to_owned()));
        };
        let local = self.local.clone();
        loop {
            let renew_at = Instant::now() + watch.renewal;
            while let Some(heard) = local.reactor.until(renew_at, self.hear(board, watch)).await {
                if let Some(status) = heard? {
                    return Err(Failure::wrong("IDLE to go on", self.stream.bytes(status)));
                }
            }
            self.stream.begin_request();
            self.stream.send(&[b"DONE\r\n"]).await?;
            while self.hear(board, watch).await?.is_none() {}
            self.send_command("IDLE").await?;
            self.read_continuation().await?;
            self.stream.end_request();
            self.tell(board, watch)?;
        }
    }
}

impl Drop for Imap {
    fn drop(&mut self) {
        if let Some(watch) = self.watch {
            self.board.unwatch(watch.watcher);
        }
    }
}

impl Imap {
    async fn log_in(&mut self, local: &Rc<Local>, endpoint: &Endpoint) -> Result<(), Failure> {
        self.stream.begin_request();
        let greeting = self.stream.read_line().await?;
        let greeting = self.stream.bytes(greeting);
        if greeting.starts_with(b"* BYE") {
            return Err(Failure::refused("the connection", greeting));
        }
        if !greeting.starts_with(b"* OK") {
            return Err(Failure::wrong("a greeting", greeting));
        }
        if endpoint.tls == TlsMode::Starttls {
            self.run("STARTTLS").await?;
            self.stream.start_tls(endpoint).await?;
        }
        let login = format!(
            "LOGIN {} {}",
            quoted(&local.users.address(self.mailbox)),
            quoted(&local.users.password)
        );
        self.run_named(&login, "LOGIN").await?;
        self.capabilities = if let Some(known) = local.imap_capabilities.get() {
            known
        } else {
            let asked = self.ask_capabilities().await?;
            local.imap_capabilities.set(Some(asked));
            asked
        };
        Ok(())
    }

    async fn ask_capabilities(&mut self) -> Result<Capabilities, Failure> {
        self.send_command("CAPABILITY").await?;
        let reading = Reading {
            keep: true,
            ..Reading::default()
        };
        self.finish("CAPABILITY", reading).await?;
        let mut found = Capabilities::default();
        for word in self.kept.split(u8::is_ascii_whitespace) {
            found.literal_plus |= word.eq_ignore_ascii_case(b"LITERAL+");
            found.multiappend |= word.eq_ignore_ascii_case(b"MULTIAPPEND");
        }
        Ok(found)
    }

    /// What the server can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Runs a scenario's command.
    async fn command(&mut self, command: &Command, turn: &mut Turn<'_>) -> Result<Done, Failure> {
        let mut text = std::mem::take(&mut self.line);
        self.next_tag(&mut text);
        let range = command.write(&mut text, self.exists, turn);
        text.extend_from_slice(b"\r\n");
        let exists = self.exists;
        self.stream.begin_request();
        let sent = self.stream.send(&[&text]).await;
        self.line = text;
        sent?;
        let reading = Reading {
            verify: command.verify,
            keep: command.pattern.is_some(),
            marker: command.marker,
        };
        let responses = self.finish(&command.name, reading).await?;
        let expected = match command.messages {
            Expected::Any => None,
            Expected::Count(count) => Some(count),
            Expected::All => Some(exists),
            Expected::Named => Some(range),
        };
        // Messages that come or go during the command may count or not.
        let changed = responses.expunged || self.exists != exists;
        if let Some(expected) = expected.filter(|&expected| expected != responses.fetched && !changed) {
            return Err(Failure::Wrong(format!(
                "{}: {} messages in the response, not {expected}",
                command.name, responses.fetched
            )));
        }
        if let Some(pattern) = &command.pattern
            && !pattern.is_match(&self.kept)
        {
            return Err(Failure::wrong(
                &format!("a response that matches {pattern}"),
                &self.kept,
            ));
        }
        Ok(Done {
            bytes: responses.bytes,
            items: responses.fetched,
        })
    }

    /// Selects a mailbox.
    pub(crate) async fn select(&mut self, mailbox: &str) -> Result<Done, Failure> {
        self.exists = 0;
        let responses = self.run(&format!("SELECT {}", quoted(mailbox))).await?;
        if !responses.exists_told {
            return Err(Failure::Wrong(format!(
                "SELECT {mailbox}: no EXISTS in the response"
            )));
        }
        Ok(Done {
            bytes: responses.bytes,
            items: self.exists,
        })
    }

    /// Appends messages with one command: several need MULTIAPPEND.
    pub(crate) async fn append(&mut self, mailbox: &str, messages: &[&[u8]]) -> Result<Done, Failure> {
        let mut text = std::mem::take(&mut self.line);
        self.next_tag(&mut text);
        write!(text, "APPEND {}", quoted(mailbox))?;
        let mut done = Done::default();
        self.stream.begin_request();
        for message in messages {
            if self.capabilities.literal_plus {
                write!(text, " {{{}+}}\r\n", message.len())?;
                self.stream.send(&[&text, message]).await?;
            } else {
                write!(text, " {{{}}}\r\n", message.len())?;
                self.stream.send(&[&text]).await?;
                self.read_continuation().await?;
                self.stream.send(&[message]).await?;
            }
            text.clear();
            done.bytes += message.len() as u64;
            done.items += 1;
        }
        self.line = text;
        self.stream.send(&[b"\r\n"]).await?;
        self.finish("APPEND", Reading::default()).await?;
        Ok(done)
    }

    async fn idle(&mut self, operation: OperationId, renewal: Duration) -> Result<Done, Failure> {
        self.send_command("IDLE").await?;
        self.read_continuation().await?;
        self.stream.end_request();
        self.watch = Some(Watch {
            watcher: self.board.watch(self.mailbox, self.exists),
            operation,
            renewal,
        });
        Ok(Done::default())
    }

    /// Reads one response of a session in IDLE; returns the status that ends it. May be given up while it waits: a
    /// response is taken from the stream only when its line is whole.
    async fn hear(&mut self, board: &Board, watch: Watch) -> Result<Option<Range<usize>>, Failure> {
        let mut responses = Responses::default();
        match self.read_response(Reading::default(), &mut responses).await? {
            Line::Untagged if responses.exists_told => self.tell(board, watch).map(|()| None),
            Line::Untagged => Ok(None),
            Line::Done(status) => Ok(Some(status)),
            Line::Continuation => Err(Failure::Wrong("a continuation during IDLE".to_owned())),
        }
    }

    /// Notes how many messages the session knows of.
    fn tell(&self, board: &Board, watch: Watch) -> Result<(), Failure> {
        let recorder = &self.local.recorder;
        let notified = |due| {
            recorder
                .borrow_mut()
                .record(watch.operation, due, &Ok(Done { bytes: 0, items: 1 }));
        };
        board
            .told(watch.watcher, self.exists, notified)
            .map_err(Failure::Wrong)
    }

    async fn read_continuation(&mut self) -> Result<(), Failure> {
        loop {
            match self
                .read_response(Reading::default(), &mut Responses::default())
                .await?
            {
                Line::Untagged => {}
                Line::Continuation => return Ok(()),
                Line::Done(status) => {
                    return Err(Failure::refused(
                        "instead of a continuation",
                        self.stream.bytes(status),
                    ));
                }
            }
        }
    }

    async fn run(&mut self, command: &str) -> Result<Responses, Failure> {
        self.run_named(command, command).await
    }

    /// Runs a command, and calls it `name` in errors: those must not show a password.
    async fn run_named(&mut self, command: &str, name: &str) -> Result<Responses, Failure> {
        self.send_command(command).await?;
        self.finish(name, Reading::default()).await
    }

    async fn send_command(&mut self, command: &str) -> Result<(), Failure> {
        let mut text = std::mem::take(&mut self.line);
        self.next_tag(&mut text);
        text.extend_from_slice(command.as_bytes());
        text.extend_from_slice(b"\r\n");
        self.stream.begin_request();
        let sent = self.stream.send(&[&text]).await;
        self.line = text;
        Ok(sent?)
    }

    fn next_tag(&mut self, text: &mut Vec<u8>) {
        self.tag += 1;
        text.clear();
        let written = write!(text, "a{} ", self.tag);
        debug_assert!(written.is_ok(), "a Vec takes everything");
    }

    /// Reads up to the command's own status.
    async fn finish(&mut self, name: &str, reading: Reading) -> Result<Responses, Failure> {
        self.kept.clear();
        let mut responses = Responses::default();
        let status = loop {
            match self.read_response(reading, &mut responses).await? {
                Line::Untagged => {}
                Line::Continuation => {
                    return Err(Failure::Wrong(format!("{name}: an unexpected continuation")));
                }
                Line::Done(status) => break status,
            }
        };
        let status = self.stream.bytes(status);
        if reading.keep {
            self.kept.extend_from_slice(status);
        }
        let outcome = if status.starts_with(b"OK") {
            Ok(responses)
        } else if status.starts_with(b"NO") || status.starts_with(b"BAD") {
            Err(Failure::refused(name, status))
        } else {
            Err(Failure::wrong("OK, NO or BAD", status))
        };
        self.stream.end_request();
        outcome
    }

    /// Reads one response with its literals.
    async fn read_response(&mut self, reading: Reading, responses: &mut Responses) -> Result<Line, Failure> {
        let line = self.stream.read_line().await?;
        let start = line.start;
        let bytes = self.stream.bytes(line.clone());
        let Some(rest) = bytes.strip_prefix(b"* ") else {
            if bytes.starts_with(b"+") {
                return Ok(Line::Continuation);
            }
            let tag = self.tag;
            return match tagged(bytes, tag) {
                Some(length) => Ok(Line::Done(start + length..line.end)),
                None => Err(Failure::wrong(
                    &format!("a response to the command a{tag}"),
                    bytes,
                )),
            };
        };
        responses.bytes += bytes.len() as u64 + 2;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 && digits < 11 {
            let number = rest[..digits]
                .iter()
                .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            match rest.get(digits + 1..).and_then(|word| word.first()) {
                Some(b'F' | b'f') => {
                    let counts = reading
                        .marker
                        .is_none_or(|marker| memchr::memmem::find(rest, marker).is_some());
                    responses.fetched += u64::from(counts);
                }
                Some(b'E' | b'e') if rest[digits + 1..].eq_ignore_ascii_case(b"EXISTS") => {
                    self.exists = number;
                    responses.exists_told = true;
                }
                Some(b'E' | b'e') if rest[digits + 1..].eq_ignore_ascii_case(b"EXPUNGE") => {
                    self.exists = self.exists.saturating_sub(1);
                    responses.expunged = true;
                }
                _ => {}
            }
        } else if rest.starts_with(b"BYE") && self.tag > 0 && !self.line.ends_with(b"LOGOUT\r\n") {
            let text = String::from_utf8_lossy(rest).into_owned();
            return Err(Failure::Connection(io::Error::other(text)));
        } else if rest.starts_with(b"VANISHED") {
            responses.expunged = true;
        }
        let mut literal = literal_length(bytes);
        let mut is_content = literal.is_some() && names_content(bytes);
        if reading.keep && self.kept.len() < KEPT_FOR_PATTERN {
            self.kept.extend_from_slice(bytes);
            self.kept.push(b'\n');
        }
        while let Some(length) = literal {
            let content = self.stream.read_exactly(length).await?;
            let content = self.stream.bytes(content);
            responses.bytes += length as u64;
            if is_content && reading.verify {
                check_content(content, self.mailbox, &self.local)?;
            }
            if reading.keep && self.kept.len() + length < KEPT_FOR_PATTERN {
                self.kept.extend_from_slice(content);
            }
            let rest = self.stream.read_line().await?;
            let rest = self.stream.bytes(rest);
            responses.bytes += rest.len() as u64 + 2;
            literal = literal_length(rest);
            is_content = literal.is_some() && names_content(rest);
            if reading.keep && self.kept.len() < KEPT_FOR_PATTERN {
                self.kept.extend_from_slice(rest);
                self.kept.push(b'\n');
            }
        }
        Ok(Line::Untagged)
    }
}

/// The length of the tag and its space, if `line` is the end of command `tag`.
fn tagged(line: &[u8], tag: u32) -> Option<usize> {
    let rest = line.strip_prefix(b"a")?;
    let digits = rest.iter().position(|&byte| byte == b' ')?;
    let number: u32 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    (number == tag).then_some(digits + 2)
}

/// The length of the literal that a line ends with the announcement of.
fn literal_length(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inner)?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

/// Is the literal that follows a whole message?
fn names_content(line: &[u8]) -> bool {
    let Some(open) = memchr::memrchr(b'{', line) else {
        return false;
    };
    line[..open].ends_with(b"BODY[] ") || line[..open].ends_with(b"RFC822 ")
}

/// RFC 9051 §4.3.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_other_commands_are_not_taken_for_this_ones() {
        assert_eq!(tagged(b"a12 OK done", 12), Some(4));
        assert_eq!(tagged(b"a12 OK done", 1), None);
        assert_eq!(tagged(b"a1 OK", 12), None);
        assert_eq!(tagged(b"b12 OK", 12), None);
        assert_eq!(tagged(b"a12", 12), None);
    }

    #[test]
    fn literals_are_found_at_the_end_of_a_line() {
        assert_eq!(literal_length(b"* 1 FETCH (BODY[] {10}"), Some(10));
        assert_eq!(literal_length(b"* 1 FETCH (FLAGS ()) {x}"), None);
        assert_eq!(literal_length(b" UID 4)"), None);
        assert!(names_content(b"* 1 FETCH (UID 3 BODY[] {10}"));
        assert!(!names_content(b"* 1 FETCH (BODY[HEADER] {10}"));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
    }
}
