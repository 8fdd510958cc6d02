//! Small servers in threads, which answer rightly or as a test wants.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Messages that a server took, in the order of their arrival.
pub(crate) type Mailbox = Arc<Mutex<Vec<Vec<u8>>>>;

/// Starts a server that runs `serve` for each connection, in a thread each.
pub(crate) fn start(
    serve: impl Fn(&mut Dialogue) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), serve) = (stream, serve.clone()) else {
                return;
            };
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let mut dialogue = Dialogue {
                    socket: Some(stream.try_clone().unwrap()),
                    input: BufReader::new(Box::new(stream.try_clone().unwrap())),
                    output: Box::new(stream),
                };
                // Clients go away when they are done.
                let _ = serve(&mut dialogue);
            });
        }
    });
    address
}

/// A server's side of a connection.
pub(crate) struct Dialogue {
    socket: Option<TcpStream>,
    input: BufReader<Box<dyn Read + Send>>,
    output: Box<dyn Write + Send>,
}

impl Dialogue {
    pub(crate) fn over(stream: impl Read + Write + Send + Clone + 'static) -> Self {
        Self {
            socket: None,
            input: BufReader::new(Box::new(stream.clone())),
            output: Box::new(stream),
        }
    }

    /// Has the client said something? Waits for that a few milliseconds.
    pub(crate) fn has_input(&mut self) -> std::io::Result<bool> {
        let socket = self.socket.as_ref().expect("only asked of plain connections");
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let waited = match self.input.fill_buf() {
            Ok([]) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        };
        socket.set_read_timeout(None)?;
        waited
    }

    pub(crate) fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.output.write_all(text.as_bytes())
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.output.write_all(bytes)
    }

    /// The next line without its end; an error at the end of input.
    pub(crate) fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// What follows up to a line with a dot.
    pub(crate) fn content(&mut self) -> std::io::Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let from = content.len();
            if self.input.read_until(b'\n', &mut content)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if &content[from..] == b".\r\n" {
                content.truncate(from);
                return Ok(content);
            }
        }
    }

    pub(crate) fn exactly(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut content = vec![0; length];
        self.input.read_exact(&mut content)?;
        Ok(content)
    }
}

/// LMTP as it should be, except for what `after_message` says in place of `250`.
pub(crate) fn lmtp(
    dialogue: &mut Dialogue,
    after_message: impl FnMut(Vec<u8>) -> String,
) -> std::io::Result<()> {
    dialogue.say("220 fake\r\n")?;
    lmtp_after_greeting(dialogue, after_message)
}

/// The same, once the greeting was said.
pub(crate) fn lmtp_after_greeting(
    dialogue: &mut Dialogue,
    mut after_message: impl FnMut(Vec<u8>) -> String,
) -> std::io::Result<()> {
    loop {
        let line = dialogue.line()?;
        match line.get(..4).unwrap_or_default() {
            "LHLO" => dialogue.say("250-fake\r\n250 PIPELINING\r\n")?,
            "DATA" => {
                dialogue.say("354 go on\r\n")?;
                let message = dialogue.content()?;
                dialogue.say(&after_message(message))?;
            }
            _ => dialogue.say("250 2.0.0 yes\r\n")?,
        }
    }
}

/// An LMTP server that keeps what it gets.
pub(crate) fn lmtp_into(mailbox: &Mailbox) -> SocketAddr {
    let mailbox = mailbox.clone();
    start(move |dialogue| {
        lmtp(dialogue, |message| {
            mailbox.lock().unwrap().push(message);
            "250 2.0.0 stored\r\n".to_owned()
        })
    })
}

/// Gives each message to a thread of one worker that takes `service` for each, and stands still for `stall` once,
/// `after` a while from the first.
pub(crate) struct Stalling {
    turn: Mutex<()>,
    first: Mutex<Option<Instant>>,
    stalled: AtomicU64,
    pub(crate) service: Duration,
    pub(crate) after: Duration,
    pub(crate) stall: Duration,
}

impl Stalling {
    pub(crate) fn new(service: Duration, after: Duration, stall: Duration) -> Self {
        Self {
            turn: Mutex::new(()),
            first: Mutex::new(None),
            stalled: AtomicU64::new(0),
            service,
            after,
            stall,
        }
    }

    pub(crate) fn serve(&self) {
        let _turn = self.turn.lock().unwrap();
        let first = *self.first.lock().unwrap().get_or_insert_with(Instant::now);
        if first.elapsed() >= self.after && self.stalled.swap(1, Ordering::Relaxed) == 0 {
            std::thread::sleep(self.stall);
        }
        std::thread::sleep(self.service);
    }
}

/// How an IMAP server departs from what it should do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The tag of the answer is another.
    Tag,
    /// One message is left out of FETCH.
    Missing,
    /// A byte of a message is another.
    Byte,
    /// A message of another mailbox is among them.
    Foreign,
    /// FETCH is refused.
    Refusal,
    /// The connection is closed in the middle of a FETCH.
    Cut,
}

/// An IMAP server with the messages of `mailbox`.
pub(crate) fn imap(mailbox: &Mailbox, fault: Fault) -> SocketAddr {
    let mailbox = mailbox.clone();
    start(move |dialogue| {
        dialogue.say("* OK fake\r\n")?;
        loop {
            let line = dialogue.line()?;
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            let verb = command.split(' ').next().unwrap_or_default().to_uppercase();
            match verb.as_str() {
                "CAPABILITY" => dialogue.say("* CAPABILITY IMAP4rev1 LITERAL+ MULTIAPPEND\r\n")?,
                "SELECT" => dialogue.say(&format!(
                    "* FLAGS ()\r\n* {} EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n",
                    mailbox.lock().unwrap().len()
                ))?,
                "APPEND" => {
                    let mut line = line.clone();
                    while let Some(length) = line.strip_suffix("+}").and_then(|line| line.rsplit('{').next())
                    {
                        let message = dialogue.exactly(length.parse().unwrap())?;
                        mailbox.lock().unwrap().push(message);
                        line = dialogue.line()?;
                    }
                }
                "UID" if fault == Fault::Refusal => {
                    dialogue.say(&format!("{tag} NO not today\r\n"))?;
                    continue;
                }
                "UID" => {
                    let messages = mailbox.lock().unwrap().clone();
                    let shown = messages.len() - usize::from(fault == Fault::Missing);
                    for (place, message) in messages[..shown].iter().enumerate() {
                        let mut message = message.clone();
                        if place == 1 && fault == Fault::Byte {
                            let middle = message.len() / 2;
                            message[middle] ^= 1;
                        }
                        if place == 1 && fault == Fault::Foreign {
                            let at = message
                                .windows(8)
                                .position(|window| window == b"X-Load: ")
                                .unwrap();
                            message[at + 8..at + 18].copy_from_slice(b"0000000099");
                        }
                        let number = place + 1;
                        dialogue.say(&format!(
                            "* {number} FETCH (UID {number} BODY[] {{{}}}\r\n",
                            message.len()
                        ))?;
                        if fault == Fault::Cut {
                            return Ok(());
                        }
                        dialogue.say_bytes(&message)?;
                        dialogue.say(")\r\n")?;
                    }
                }
                _ => {}
            }
            let tag = if fault == Fault::Tag && verb == "UID" {
                "a999"
            } else {
                tag
            };
            dialogue.say(&format!("{tag} OK done\r\n"))?;
        }
    })
}

/// A mailbox, an IMAP server that tells of its messages in IDLE, and how often IDLE was begun.
pub(crate) fn watched() -> (Mailbox, SocketAddr, Arc<AtomicU64>) {
    let mailbox = Mailbox::default();
    let idles = Arc::new(AtomicU64::new(0));
    let (messages, begun) = (mailbox.clone(), idles.clone());
    let address = start(move |dialogue| {
        dialogue.say("* OK fake\r\n")?;
        let mut told = 0;
        loop {
            let line = dialogue.line()?;
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            if command == "IDLE" {
                begun.fetch_add(1, Ordering::Relaxed);
                dialogue.say("+ idling\r\n")?;
                while !dialogue.has_input()? {
                    let exists = messages.lock().unwrap().len();
                    if exists > told {
                        dialogue.say(&format!("* {exists} EXISTS\r\n"))?;
                        told = exists;
                    }
                }
                assert_eq!(dialogue.line()?, "DONE");
            } else if command.starts_with("SELECT") {
                told = messages.lock().unwrap().len();
                dialogue.say(&format!("* {told} EXISTS\r\n"))?;
            }
            dialogue.say(&format!("{tag} OK done\r\n"))?;
        }
    });
    (mailbox, address, idles)
}

/// A POP3 server with the messages of `mailbox`; its LIST is wrong by `error` octets.
pub(crate) fn pop3(mailbox: &Mailbox, error: usize) -> SocketAddr {
    let mailbox = mailbox.clone();
    start(move |dialogue| {
        dialogue.say("+OK fake\r\n")?;
        loop {
            let line = dialogue.line()?;
            let messages = mailbox.lock().unwrap().clone();
            let mut words = line.split(' ');
            match words.next().unwrap_or_default() {
                "STAT" => {
                    let total: usize = messages.iter().map(|message| message.len() + error).sum();
                    dialogue.say(&format!("+OK {} {total}\r\n", messages.len()))?;
                }
                "LIST" => {
                    dialogue.say("+OK\r\n")?;
                    for (place, message) in messages.iter().enumerate() {
                        dialogue.say(&format!("{} {}\r\n", place + 1, message.len() + error))?;
                    }
                    dialogue.say(".\r\n")?;
                }
                "RETR" => {
                    let number: usize = words.next().unwrap().parse().unwrap();
                    dialogue.say("+OK\r\n")?;
                    dialogue.say_bytes(&messages[number - 1])?;
                    dialogue.say(".\r\n")?;
                }
                _ => dialogue.say("+OK\r\n")?,
            }
        }
    })
}

/// Connects to nothing: a port that refuses.
pub(crate) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(TcpStream::connect(address).is_err());
    address
}
