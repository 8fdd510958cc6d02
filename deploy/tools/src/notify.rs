//! Telling the service manager how the server is (sd_notify(3)), by one datagram a message.
//!
//! Without a service manager, as in the demo, all of this does nothing.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// Longest status text in bytes; what is longer is cut.
pub const STATUS_MAX_BYTES: usize = 1024;

/// The service manager's socket, if there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, as systemd sets them. Fails when a socket is
    /// named but can't be used.
    pub fn from_environment() -> io::Result<Self> {
        let watchdog = watchdog_interval(
            env::var("WATCHDOG_USEC").ok().as_deref(),
            env::var("WATCHDOG_PID").ok().as_deref(),
            std::process::id(),
        );
        let socket = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        Self::new(socket.as_deref(), watchdog)
    }

    /// `socket` is a path, or `@` and a name in the abstract name space.
    pub fn new(socket: Option<&OsStr>, watchdog: Option<Duration>) -> io::Result<Self> {
        let manager = match socket {
            None => None,
            Some(name) => {
                let address = match name.as_bytes().strip_prefix(b"@") {
                    Some(name) => SocketAddr::from_abstract_name(name)?,
                    None => SocketAddr::from_pathname(name)?,
                };
                let socket = UnixDatagram::unbound()?;
                // A core never waits for the manager; a message that does not fit is lost.
                socket.set_nonblocking(true)?;
                Some((socket, address))
            }
        };
        Ok(Self { manager, watchdog })
    }

    /// How often the manager wants to hear [`Self::watchdog`] at least; call it twice as often.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// All listeners serve. Also ends [`Self::reloading`].
    pub fn ready(&self, status: &str) -> io::Result<()> {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)))
    }

    /// The configuration is being read again.
    pub fn reloading(&self) -> io::Result<()> {
        self.send("RELOADING=1")
    }

    /// Nothing new is accepted any more.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1")
    }

    /// All cores are alive.
    pub fn watchdog(&self) -> io::Result<()> {
        self.send("WATCHDOG=1")
    }

    /// What `systemctl status` shows.
    pub fn status(&self, status: &str) -> io::Result<()> {
        self.send(&format!("STATUS={}", one_line(status)))
    }

    fn send(&self, message: &str) -> io::Result<()> {
        let Some((socket, address)) = &self.manager else {
            return Ok(());
        };
        socket.send_to_addr(message.as_bytes(), address).map(drop)
    }
}

/// The first line: another one would be a message of its own.
fn one_line(status: &str) -> &str {
    let line = status.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(STATUS_MAX_BYTES)]
}

/// sd_watchdog_enabled(3): it counts only for the process that is named, if one is.
fn watchdog_interval(microseconds: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    if process.is_some_and(|process| process.parse() != Ok(own)) {
        return None;
    }
    let microseconds = microseconds?
        .parse()
        .ok()
        .filter(|&microseconds| microseconds > 0)?;
    Some(Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_arrive_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("ringpost-notify-test-{}", std::process::id());
        let by_name = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (manager, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (
                UnixDatagram::bind_addr(&by_name).unwrap(),
                format!("@{abstract_name}").into(),
            ),
        ] {
            let notifier = Notifier::new(Some(&name), None).unwrap();
            notifier.ready("serves 2 cores\nFDSTORE=1").unwrap();
            assert_eq!(received(&manager), "READY=1\nSTATUS=serves 2 cores");
            notifier.reloading().unwrap();
            assert_eq!(received(&manager), "RELOADING=1");
            notifier.watchdog().unwrap();
            assert_eq!(received(&manager), "WATCHDOG=1");
            notifier.status(&"ü".repeat(STATUS_MAX_BYTES)).unwrap();
            assert_eq!(received(&manager).len(), "STATUS=".len() + STATUS_MAX_BYTES);
            notifier.stopping().unwrap();
            assert_eq!(received(&manager), "STOPPING=1");
        }
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        let notifier = Notifier::new(None, None).unwrap();
        notifier.ready("").unwrap();
        assert_eq!(notifier.watchdog_interval(), None);
    }

    #[test]
    fn a_manager_that_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let notifier = Notifier::new(Some(folder.path().join("none").as_os_str()), None).unwrap();
        assert!(notifier.watchdog().is_err());
        assert!(Notifier::new(Some(OsStr::new(&"x".repeat(200))), None).is_err());
    }

    #[test]
    fn the_watchdog_is_for_the_named_process() {
        let interval = Some(Duration::from_secs(30));
        assert_eq!(watchdog_interval(Some("30000000"), None, 7), interval);
        assert_eq!(watchdog_interval(Some("30000000"), Some("7"), 7), interval);
        assert_eq!(watchdog_interval(Some("30000000"), Some("8"), 7), None);
        assert_eq!(watchdog_interval(Some("soon"), None, 7), None);
        assert_eq!(watchdog_interval(Some("0"), None, 7), None);
        assert_eq!(watchdog_interval(None, None, 7), None);
    }
}
