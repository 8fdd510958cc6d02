//! The server under test: started, killed, and looked into.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::mail::{imap::Imap, lmtp::Lmtp};

pub(crate) const DOMAIN: &str = "example.test";
pub(crate) const PASSWORD: &str = "durability";
/// A server that takes longer to start, or to stop, hangs.
const START_TIMEOUT: Duration = Duration::from_mins(1);
const STOP_TIMEOUT: Duration = Duration::from_mins(1);
/// Cores that serve: two, so that sessions and mailboxes are on different ones.
const SHARDS: usize = 2;

/// A place for a server: its binary, configuration and data.
pub(crate) struct Place {
    binary: PathBuf,
    folder: PathBuf,
    pub(crate) users: Vec<String>,
    ports: [u16; 3],
    /// Before the server's own command line, such as `env LD_PRELOAD=…`.
    pub(crate) wrapper: Vec<String>,
}

/// A server that runs; dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    pub(crate) imap: u16,
    pub(crate) lmtp: u16,
    admin: u16,
}

impl Place {
    /// Makes accounts and empty mailboxes in a folder.
    pub(crate) fn make(binary: &Path, folder: &Path, users: usize) -> Result<Self> {
        let place = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            users: (0..users).map(|n| format!("user{n}@{DOMAIN}")).collect(),
            ports: free_ports()?,
            wrapper: Vec::new(),
        };
        fs::create_dir_all(place.data())?;
        place.configure()?;
        place.admin(&["domain", "add", DOMAIN])?;
        for user in &place.users {
            place.admin(&["user", "add", user, "--password", PASSWORD])?;
        }
        for user in 0..users {
            let mailbox = place.mailbox(user);
            ensure!(mailbox.is_dir(), "no mailbox at {}", mailbox.display());
        }
        Ok(place)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The folder of all mailboxes: what a disk is put in place of.
    pub(crate) fn mailboxes(&self) -> PathBuf {
        self.data().join("mailboxes")
    }

    /// A user's mailbox.
    pub(crate) fn mailbox(&self, user: usize) -> PathBuf {
        self.mailboxes().join(&self.users[user])
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn configure(&self) -> Result<()> {
        let [imap, lmtp, admin] = self.ports;
        // Mailboxes are closed after a second without use, so that opening and closing is part of the play.
        let text = format!(
            "data_path={}\nshards={SHARDS}\nlog_level=4\nexmdb_provider.cfg:cache_interval=1s\nshutdown_time=5s\n\
             imap.cfg:context_num=20000\nsmtp.cfg:context_num=20000\n\
             imap_listen=127.0.0.1:{imap}\nlda_listen=127.0.0.1:{lmtp}\nadmin_listen=127.0.0.1:{admin}\n\
             imap_listen_tls=\nlda_listen_tls=\npop3_listen=\npop3_listen_tls=\n",
            self.data().display()
        );
        fs::write(self.configuration(), text)?;
        Ok(())
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("ringpost.cfg")
    }

    fn admin(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(&self.binary)
            .arg("admin")
            .arg("--data")
            .arg(self.data())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| self.binary.display().to_string())?;
        ensure!(
            output.status.success(),
            "ringpost admin {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Starts the server, and returns when it serves.
    pub(crate) fn start(&self) -> Result<Server> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut words = self.wrapper.iter().map(PathBuf::from).collect::<Vec<_>>();
        words.push(self.binary.clone());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg("serve")
            .arg("-c")
            .arg(self.configuration())
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let [imap, lmtp, admin] = self.ports;
        let mut server = Server {
            child,
            imap,
            lmtp,
            admin,
        };
        let began = Instant::now();
        while Imap::connect(imap).is_err() || Lmtp::connect(lmtp).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}; {}", self.log().display());
            }
            ensure!(began.elapsed() < START_TIMEOUT, "the server does not start");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Like [`Self::kill`], for one that is replaced.
    pub(crate) fn kill_in_place(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let began = Instant::now();
        while began.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server stopped with {status}");
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("the server does not stop");
    }

    /// The sum of a metric over all its labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let text = self.metrics()?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then_some(rest)?;
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        Ok(values.sum())
    }

    fn metrics(&self) -> Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Resident memory.
    pub(crate) fn memory_kib(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// A line of the kernel's description of the process, in KiB.
    fn status(&self, name: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.split_whitespace().next());
        value
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("no {name} in the process's status"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that nobody listens on now.
fn free_ports() -> io::Result<[u16; 3]> {
    let listeners: Vec<_> = (0..3)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<io::Result<_>>()?;
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
