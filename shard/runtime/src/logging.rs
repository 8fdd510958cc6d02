//! The log, at the manual's six levels: 1 crit, 2 error, 3 warn, 4 notice, 5 info, 6 debug.
//!
//! In code: `error!(target: logging::CRIT, …)` is crit, and `error!`, `warn!`, `info!`, `debug!`, `trace!` are
//! error, warn, notice, info and debug. A core never waits for the log: lines go to a thread of their own
//! over a bounded queue, and when that is full, they are counted and dropped.

use std::{
    fmt::{self, Write as _},
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ringpost_mapi::calendar::civil_from_days;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// The target that makes an error critical.
pub const CRIT: &str = "crit";

/// Lines that wait to be written.
const MAX_WAITING: usize = 8192;
/// Longest line, in bytes: what comes from a client ends up here, too.
const MAX_LINE: usize = 4096;
/// How long [`LogHandle::flush`] waits.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// How much is logged (`log_level` and its relatives).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum LogLevel {
    /// The server can't go on, or data is at risk.
    Crit = 1,
    /// Something failed.
    Error = 2,
    /// Something is odd.
    Warn = 3,
    /// Worth knowing on a normal day. The default.
    Notice = 4,
    /// What clients do.
    Info = 5,
    /// Everything.
    Debug = 6,
}

impl LogLevel {
    /// By the manual's number; beyond either end, the end.
    pub fn from_number(number: u32) -> Self {
        match number {
            0 | 1 => Self::Crit,
            2 => Self::Error,
            3 => Self::Warn,
            4 => Self::Notice,
            5 => Self::Info,
            _ => Self::Debug,
        }
    }

    fn of(metadata: &Metadata<'_>) -> Self {
        match *metadata.level() {
            tracing::Level::ERROR if metadata.target() == CRIT => Self::Crit,
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Notice,
            tracing::Level::DEBUG => Self::Info,
            tracing::Level::TRACE => Self::Debug,
        }
    }

    /// The severity of syslog(3) and of sd-daemon(3)'s prefixes.
    fn severity(self) -> u8 {
        match self {
            Self::Crit => 2,
            Self::Error => 3,
            Self::Warn => 4,
            Self::Notice => 5,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Crit => "crit",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Where the log goes (`http_log_file` and its relatives).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogDestination {
    /// Standard error; under systemd with priority prefixes for the journal.
    Stderr,
    /// The system's log socket.
    Syslog,
    /// A file, appended to.
    File(PathBuf),
}

impl LogDestination {
    /// As the manual spells it: `-` or nothing, `syslog`, or a path.
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "-" => Self::Stderr,
            "syslog" => Self::Syslog,
            path => Self::File(path.into()),
        }
    }
}

impl fmt::Display for LogDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("standard error"),
            Self::Syslog => f.write_str("syslog"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Control of the log.
#[derive(Clone)]
pub struct LogHandle {
    shared: Arc<Shared>,
}

/// Parts that can have a level of their own, by the crates that are theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum LogPart {
    /// Everything else.
    Server,
    /// `imap_log_level`
    Imap,
    /// `pop3_log_level`
    Pop3,
    /// `lda_log_level`
    Delivery,
    /// `istore_log_level`
    Store,
}

impl LogPart {
    const COUNT: usize = 5;

    fn of(metadata: &Metadata<'_>) -> Self {
        let target = metadata.target();
        match target.split("::").next().unwrap_or(target) {
            "ringpost_imap" => Self::Imap,
            "ringpost_pop3" => Self::Pop3,
            "ringpost_lmtp" | "ringpost_delivery" => Self::Delivery,
            "ringpost_store" | "ringpost_vfs" => Self::Store,
            _ => Self::Server,
        }
    }
}

struct Shared {
    levels: [AtomicU8; LogPart::COUNT],
    dropped: AtomicU64,
    lines: OnceLock<SyncSender<Command>>,
}

enum Command {
    Line(LogLevel, String),
    Reopen(LogDestination),
    Flush(SyncSender<()>),
}

/// Makes this the log of the process. Once; a second call fails.
pub fn init(level: LogLevel, destination: LogDestination) -> io::Result<LogHandle> {
    let (lines, receiver) = mpsc::sync_channel(MAX_WAITING);
    let shared = Arc::new(Shared {
        levels: std::array::from_fn(|_| AtomicU8::new(level as u8)),
        dropped: AtomicU64::new(0),
        lines: OnceLock::from(lines),
    });
    let mut sink = Sink::open(&destination)?;
    let counted = Arc::clone(&shared);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&receiver, &mut sink, &counted))?;
    let subscriber = Log {
        shared: Arc::clone(&shared),
    };
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| io::Error::new(io::ErrorKind::AlreadyExists, error))?;
    Ok(LogHandle { shared })
}

impl LogHandle {
    /// Changes how much is logged, of everything.
    pub fn set_level(&self, level: LogLevel) {
        self.set_levels(|_| level);
    }

    /// Changes how much is logged of each part.
    pub fn set_levels(&self, level: impl Fn(LogPart) -> LogLevel) {
        use LogPart::{Delivery, Imap, Pop3, Server, Store};
        for part in [Server, Imap, Pop3, Delivery, Store] {
            self.shared.levels[part as usize].store(level(part) as u8, Relaxed);
        }
        tracing::callsite::rebuild_interest_cache();
    }

    /// Logs there from now on. A file is opened again even if it is the same: logrotate may have moved it.
    pub fn reopen(&self, destination: LogDestination) {
        self.shared.command(Command::Reopen(destination));
    }

    /// Waits, for a bounded time, until everything logged so far is written.
    pub fn flush(&self) {
        let (done, flushed) = mpsc::sync_channel(1);
        self.shared.command(Command::Flush(done));
        let _ = flushed.recv_timeout(FLUSH_LIMIT);
    }
}

impl Shared {
    /// The level of the part that logs most.
    fn most(&self) -> u8 {
        let levels = self.levels.iter().map(|level| level.load(Relaxed));
        levels.max().unwrap_or_default()
    }

    fn command(&self, command: Command) {
        let Some(lines) = self.lines.get() else { return };
        if lines.try_send(command).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// What tracing talks to. Spans are not used.
struct Log {
    shared: Arc<Shared>,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = self.shared.levels[LogPart::of(metadata) as usize].load(Relaxed);
        metadata.is_event() && LogLevel::of(metadata) as u8 <= level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LogLevel::from_number(self.shared.most().into()) {
            LogLevel::Crit | LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Notice => LevelFilter::INFO,
            LogLevel::Info => LevelFilter::DEBUG,
            LogLevel::Debug => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let level = LogLevel::of(event.metadata());
        self.shared.command(Command::Line(level, line.finish()));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, then other fields as `name=value`.
struct Line(String);

impl Line {
    /// One line of bounded length: a client must not be able to forge another.
    fn finish(self) -> String {
        let mut text = self.0;
        if text.len() > MAX_LINE {
            let end = text.floor_char_boundary(MAX_LINE);
            text.truncate(end);
            text.push('…');
        }
        if text.contains(char::is_control) {
            text = text
                .chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect();
        }
        text
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            let _ = write!(self.0, "{value:?}{rest}");
        } else {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Where lines are written.
enum Sink {
    Stderr { journal: bool },
    Syslog(Option<UnixDatagram>),
    File(File),
}

impl Sink {
    fn open(destination: &LogDestination) -> io::Result<Self> {
        Ok(match destination {
            LogDestination::Stderr => Self::Stderr {
                journal: std::env::var_os("JOURNAL_STREAM").is_some(),
            },
            LogDestination::Syslog => Self::Syslog(connect_syslog().ok()),
            LogDestination::File(path) => Self::File(open_file(path)?),
        })
    }

    fn write(&mut self, level: LogLevel, line: &str) {
        // A log that can't be written has nobody to tell.
        let _ = match self {
            Self::Stderr { journal: true } => {
                writeln!(io::stderr().lock(), "<{}>{line}", level.severity())
            }
            Self::Stderr { journal: false } => {
                writeln!(
                    io::stderr().lock(),
                    "{} {}: {line}",
                    Timestamp::now(),
                    level.name()
                )
            }
            Self::File(file) => {
                // One write a line, so that lines of several processes don't mix.
                file.write_all(format!("{} {}: {line}\n", Timestamp::now(), level.name()).as_bytes())
            }
            Self::Syslog(socket) => write_syslog(socket, level, line),
        };
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn connect_syslog() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect("/dev/log")?;
    Ok(socket)
}

/// One datagram a line (RFC 3164 §4.1 as local system loggers take it). Connects again when it was restarted.
fn write_syslog(socket: &mut Option<UnixDatagram>, level: LogLevel, line: &str) -> io::Result<()> {
    const MAIL: u8 = 2 << 3;
    let text = format!(
        "<{}>ringpost[{}]: {line}",
        MAIL | level.severity(),
        std::process::id()
    );
    if let Some(connected) = socket {
        match connected.send(text.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(_) => *socket = None,
        }
    }
    let connected = socket.insert(connect_syslog()?);
    connected.send(text.as_bytes()).map(|_| ())
}

fn write_lines(commands: &Receiver<Command>, sink: &mut Sink, shared: &Shared) {
    loop {
        let command = match commands.recv_timeout(Duration::from_secs(1)) {
            Ok(command) => command,
            Err(RecvTimeoutError::Timeout) => {
                tell_dropped(sink, shared);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match command {
            Command::Line(level, line) => sink.write(level, &line),
            Command::Reopen(destination) => match Sink::open(&destination) {
                Ok(opened) => *sink = opened,
                Err(error) => sink.write(
                    LogLevel::Error,
                    &format!("the log goes on here: {destination} can't be opened: {error}"),
                ),
            },
            Command::Flush(done) => {
                tell_dropped(sink, shared);
                let _ = done.try_send(());
            }
        }
    }
}

fn tell_dropped(sink: &mut Sink, shared: &Shared) {
    let dropped = shared.dropped.swap(0, Relaxed);
    if dropped > 0 {
        sink.write(
            LogLevel::Warn,
            &format!("{dropped} lines were dropped: too much to log"),
        );
    }
}

/// RFC 3339, in UTC.
struct Timestamp(Duration);

impl Timestamp {
    fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = civil_from_days((seconds / 86_400) as i64);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            self.0.subsec_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        let text = |seconds| Timestamp(Duration::from_secs(seconds)).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_704_067_199), "2023-12-31T23:59:59.000Z");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_line_can_not_forge_another_and_has_an_end() {
        assert_eq!(Line("a\nb\x1b[0m".to_owned()).finish(), "a?b?[0m");
        let long = Line("é".repeat(MAX_LINE)).finish();
        assert!(long.len() <= MAX_LINE + '…'.len_utf8());
    }

    #[test]
    fn the_log_has_six_levels_and_can_be_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = init(LogLevel::Notice, LogDestination::File(path.clone())).unwrap();
        tracing::error!(target: CRIT, "one");
        tracing::error!(code = 7, "two");
        tracing::info!("four");
        tracing::debug!("five, not logged");
        log.flush();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        log.reopen(LogDestination::File(path.clone()));
        log.set_level(LogLevel::Debug);
        tracing::trace!("six");
        log.flush();
        log.reopen(LogDestination::File(folder.path().join("no/such/folder")));
        log.reopen(LogDestination::File(folder.path().join("elsewhere")));
        tracing::error!("seven");
        log.set_levels(|part| match part {
            LogPart::Imap => LogLevel::Info,
            LogPart::Store => LogLevel::Crit,
            _ => LogLevel::Notice,
        });
        tracing::debug!(target: "ringpost_imap::session", "eight");
        tracing::debug!(target: "ringpost_pop3", "nine, not logged");
        tracing::error!(target: "ringpost_store", "ten, not logged");
        log.flush();
        let lines = |name: &str| -> Vec<String> {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            text.lines()
                .filter_map(|line| line.split_once(' ').map(|(_, rest)| rest.to_owned()))
                .collect()
        };
        let expected = ["crit: one", "error: two code=7", "notice: four"];
        assert_eq!(
            lines("old")
                .iter()
                .filter(|line| expected.contains(&line.as_str()))
                .count(),
            3
        );
        assert!(!lines("old").iter().any(|line| line.contains("five")));
        assert!(lines("log").contains(&"debug: six".to_owned()));
        assert!(
            lines("log")
                .iter()
                .any(|line| line.contains("no/such/folder can't be opened"))
        );
        let elsewhere = lines("elsewhere");
        let logged = |line: &str| elsewhere.iter().any(|other| other == line);
        assert!(logged("error: seven") && logged("info: eight"), "{elsewhere:?}");
        assert!(!elsewhere.iter().any(|line| line.contains("not logged")));
        assert!(
            init(LogLevel::Notice, LogDestination::Stderr).is_err(),
            "only once"
        );
    }

    #[test]
    fn the_manuals_numbers_and_names() {
        assert_eq!(LogLevel::from_number(4), LogLevel::Notice);
        assert_eq!(LogLevel::from_number(0), LogLevel::Crit);
        assert_eq!(LogLevel::from_number(99), LogLevel::Debug);
        assert_eq!(LogDestination::parse("-"), LogDestination::Stderr);
        assert_eq!(LogDestination::parse("syslog"), LogDestination::Syslog);
        assert_eq!(LogDestination::parse("/x/y"), LogDestination::File("/x/y".into()));
    }
}
