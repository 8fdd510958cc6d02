//! What the integration tests share: accounts, an echo protocol, a client.
#![allow(dead_code, unreachable_pub, missing_docs)] // Each test file uses its part.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use ringpost_directory::{Account, Directory, Domain};
use ringpost_host::{
    Connection, Credentials, Host, Login, LoginError, MailboxRef, Outcome, Priority, Service, Subscription,
};
use ringpost_mapi::MailboxGuid;
use ringpost_shard::{Accounts, ListenerConfig, LoginStep, Runtime, RuntimeConfig};
use ringpost_store::{CreateOptions, Mailbox, MailboxKind, folder};

/// How long the password `slow` takes to be wrong.
pub const SLOW: Duration = Duration::from_millis(200);

/// No accounts; logins succeed with the password `demo`, for mailbox folders below `root`.
pub struct TestAccounts {
    pub root: std::path::PathBuf,
}

impl Accounts for TestAccounts {
    fn refresh(&self, seen: Option<&Arc<dyn Directory>>) -> Option<Arc<dyn Directory>> {
        seen.is_none().then(|| Arc::new(Nobody) as Arc<dyn Directory>)
    }

    fn login(&self, credentials: &Credentials) -> LoginStep {
        if credentials.password == "slow" {
            return LoginStep::Slow(Box::new(|| {
                std::thread::sleep(SLOW);
                Err(LoginError::Invalid)
            }));
        }
        if credentials.password != "demo" {
            return LoginStep::Done(Err(LoginError::Invalid));
        }
        LoginStep::Done(Ok(Login {
            username: credentials.login.clone(),
            effective: credentials.login.clone(),
            mailbox: mailbox(&self.root, credentials.login.parse::<u16>().unwrap_or(0)),
            locale: "en".to_owned(),
        }))
    }
}

pub struct Nobody;

impl Directory for Nobody {
    fn account(&self, _: &str) -> Option<Arc<Account>> {
        None
    }
    fn domain(&self, _: &str) -> Option<Arc<Domain>> {
        None
    }
    fn members(&self, _: &Account) -> Vec<String> {
        Vec::new()
    }
    fn may_send_to(&self, _: &Account, _: &str) -> bool {
        false
    }
    fn mailboxes(&self) -> Vec<Arc<Account>> {
        Vec::new()
    }
}

/// Number `n` below `root`.
pub fn mailbox(root: &Path, n: impl Into<u16>) -> MailboxRef {
    let n = n.into();
    let guid: ringpost_mapi::Guid = format!("00000000-0000-0000-0000-00000000{n:04x}")
        .parse()
        .unwrap();
    MailboxRef {
        guid: MailboxGuid(guid),
        path: root.join(n.to_string()).into(),
    }
}

/// Makes mailboxes `0..count` below `root`.
pub fn create_mailboxes(root: &Path, count: impl Into<u16>) {
    for n in 0..count.into() {
        let mailbox = mailbox(root, n);
        let options = CreateOptions {
            kind: MailboxKind::Private,
            guid: mailbox.guid,
            locale: "en".to_owned(),
        };
        Mailbox::create(&mailbox.path, &options).unwrap();
    }
}

/// Lines: `login N demo` hands over to mailbox N, `starttls`, `whoami`, `panic`, `slow`, anything else comes back.
pub struct Echo;

pub struct LoggedIn {
    login: Login,
    buffer: Vec<u8>,
}

pub const TIMEOUT: Duration = Duration::from_secs(20);

impl Service for Echo {
    type State = LoggedIn;

    fn name(&self) -> &'static str {
        "echo"
    }

    fn busy(&self) -> &'static [u8] {
        b"busy\r\n"
    }

    async fn accept<C: Connection, H: Host>(&self, connection: &mut C, host: &H) -> Outcome<LoggedIn> {
        let mut buffer = Vec::new();
        if connection.write(b"hello\r\n").await.is_err() {
            return Outcome::Done;
        }
        while let Some(line) = read_line(connection, host, &mut buffer).await {
            let words: Vec<_> = line.split(' ').collect();
            let answer = match words[..] {
                ["login", login, password] => {
                    let credentials = Credentials {
                        login: login.to_owned(),
                        password: password.to_owned(),
                        service: "echo",
                        peer: connection.peer(),
                    };
                    match host.login(credentials).await {
                        Ok(login) => {
                            return Outcome::HandOver {
                                mailbox: login.mailbox.clone(),
                                state: LoggedIn { login, buffer },
                            };
                        }
                        Err(error) => error.to_string(),
                    }
                }
                ["starttls"] => {
                    buffer.clear();
                    let _ = connection.write(b"go\r\n").await;
                    if connection.start_tls().await.is_err() {
                        return Outcome::Done;
                    }
                    continue;
                }
                ["peer"] => format!("{} {}", connection.peer(), connection.local()),
                ["panic"] => panic!("on purpose"),
                _ => line,
            };
            if connection
                .write(format!("{answer}\r\n").as_bytes())
                .await
                .is_err()
            {
                break;
            }
        }
        Outcome::Done
    }

    async fn serve<C: Connection, H: Host>(&self, connection: &mut C, host: &H, state: LoggedIn) {
        let LoggedIn { login, mut buffer } = state;
        let welcome = format!("welcome {} tls={}\r\n", login.username, connection.is_tls());
        let _ = connection.write(welcome.as_bytes()).await;
        while let Some(line) = read_line(connection, host, &mut buffer).await {
            let answer = match line.as_str() {
                "panic" => {
                    let result = host
                        .mailbox(&login.mailbox, Priority::Interactive, |_| -> Result<(), _> {
                            panic!("on purpose")
                        })
                        .await;
                    result.map_or_else(|error| error.to_string(), |()| "no panic".to_owned())
                }
                "path" => {
                    let result = host
                        .mailbox_durable(&login.mailbox, Priority::Interactive, |mailbox| {
                            Ok(mailbox.directory().display().to_string())
                        })
                        .await;
                    result.unwrap_or_else(|error| error.to_string())
                }
                "quit" => break,
                line if line.starts_with("create ") => {
                    let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
                    create_folder(host, &login, words).await
                }
                line if line.starts_with("name ") => {
                    let n = line[5..].parse().unwrap_or(0);
                    let name = host
                        .mailbox(&sibling(&login, n), Priority::Interactive, |mailbox| {
                            Ok(mailbox.folder(folder::built_in::IPM_SUBTREE)?.name)
                        })
                        .await;
                    name.unwrap_or_else(|error| error.to_string())
                }
                line if line.starts_with("watch ") => {
                    let n = line.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0);
                    let mut events = host.subscribe(&sibling(&login, n)).await.unwrap();
                    let _ = connection.write(b"watching\r\n").await;
                    format!("{:?}", events.next().await.map(|event| event.kind))
                }
                line => line.to_owned(),
            };
            if connection
                .write(format!("{answer}\r\n").as_bytes())
                .await
                .is_err()
            {
                break;
            }
        }
    }
}

/// `create FOLDER N`: in mailbox N, durably.
async fn create_folder<H: Host>(host: &H, login: &Login, words: Vec<String>) -> String {
    let n = words.get(2).and_then(|word| word.parse().ok()).unwrap_or(0);
    let name = words.get(1).cloned().unwrap_or_default();
    let created = host
        .mailbox_durable(&sibling(login, n), Priority::Interactive, move |mailbox| {
            mailbox.create_folder(folder::built_in::IPM_SUBTREE, &name, None)
        })
        .await;
    created.map_or_else(|error| error.to_string(), |_| "created".to_owned())
}

/// Mailbox `n` in the same place.
fn sibling(login: &Login, n: u16) -> MailboxRef {
    mailbox(login.mailbox.path.parent().unwrap(), n)
}

async fn read_line<C: Connection, H: Host>(
    connection: &mut C,
    host: &H,
    buffer: &mut Vec<u8>,
) -> Option<String> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        let read = futures_lite::future::or(async { Some(connection.read(buffer, TIMEOUT).await) }, async {
            host.stopping().await;
            None
        });
        match read.await {
            Some(Ok(1..)) => {}
            Some(_) => return None,
            None => {
                let _ = connection.write(b"bye\r\n").await;
                return None;
            }
        }
    }
}

pub fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn config(shards: usize) -> RuntimeConfig {
    RuntimeConfig {
        shards,
        pin: false,
        listeners: vec![ListenerConfig::new(any_port(), Echo)],
        stop_grace: Duration::from_secs(5),
        ..RuntimeConfig::default()
    }
}

pub fn start(config: RuntimeConfig, root: &Path) -> Runtime {
    Runtime::start(
        config,
        Arc::new(TestAccounts {
            root: root.to_owned(),
        }),
    )
    .unwrap()
}

/// A blocking client that speaks lines.
pub struct Client<S: Read + Write> {
    pub stream: BufReader<S>,
}

pub fn connect(address: SocketAddr) -> Client<TcpStream> {
    Client::new(TcpStream::connect(address).unwrap())
}

impl Client<TcpStream> {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }
}

impl<S: Read + Write> Client<S> {
    pub fn send(&mut self, line: &str) {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
    }

    /// `None`: the connection has ended.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.line().unwrap_or_else(|| panic!("no answer to {line:?}"))
    }
}
