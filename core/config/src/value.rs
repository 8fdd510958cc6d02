//! A directive's value, read from its text.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use thiserror::Error;

use crate::{
    Network,
    address::{self, AddressError},
    directive::{Directive, Kind},
    number::{NumberError, parse_boolean, parse_quantity, parse_time_span},
};

/// What a directive's text means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// [`Kind::Quantity`]
    Quantity(i64),
    /// [`Kind::TimeSpan`]
    Duration(Duration),
    /// [`Kind::Boolean`]
    Boolean(bool),
    /// [`Kind::Text`], [`Kind::Secret`], [`Kind::HostName`] and, in the table's spelling, [`Kind::Choice`].
    Text(String),
    /// [`Kind::Repeated`]
    Texts(Vec<String>),
    /// [`Kind::Host`] and [`Kind::Hosts`]
    Hosts(Vec<IpAddr>),
    /// [`Kind::Networks`]
    Networks(Vec<Network>),
    /// [`Kind::Sockets`]
    Sockets(Vec<SocketAddr>),
    /// [`Kind::Path`] and [`Kind::Paths`]
    Paths(Vec<PathBuf>),
    /// [`Kind::Compression`]: zstd's level.
    Compression(Option<i32>),
}

impl fmt::Display for Value {
    /// The value as it could be written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(number) => write!(f, "{number}"),
            Self::Duration(duration) => fmt_duration(*duration, f),
            Self::Boolean(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Self::Text(text) => f.write_str(text),
            Self::Texts(texts) => f.write_str(&texts.join(", ")),
            Self::Hosts(hosts) => f.write_str(&join(hosts, " ", |host| match host {
                IpAddr::V4(host) => host.to_ipv6_mapped().to_string(),
                IpAddr::V6(host) => host.to_string(),
            })),
            Self::Networks(networks) => f.write_str(&join(networks, " ", Network::to_string)),
            Self::Sockets(sockets) => f.write_str(&join(sockets, " ", |socket| match socket {
                SocketAddr::V4(v4) => format!("[{}]:{}", v4.ip().to_ipv6_mapped(), v4.port()),
                SocketAddr::V6(v6) => v6.to_string(),
            })),
            Self::Paths(paths) => f.write_str(&join(paths, ":", |path| path.display().to_string())),
            Self::Compression(None) => f.write_str("no"),
            Self::Compression(Some(level)) => write!(f, "zstd-{level}"),
        }
    }
}

fn join<T>(items: &[T], separator: &str, text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(separator)
}

fn fmt_duration(duration: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = duration.as_nanos();
    let mut separator = "";
    for (unit, length) in [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("ns", 1),
    ] {
        if rest >= length {
            write!(f, "{separator}{}{unit}", rest / length)?;
            separator = " ";
            rest %= length;
        }
    }
    if duration.is_zero() {
        f.write_str("0s")
    } else {
        Ok(())
    }
}

/// Why a text is no value of its directive.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ValueError {
    /// No number, quantity or time span.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// No address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// None of the words.
    #[error("`{text}` is none of {}", .words.join(", "))]
    NotAChoice {
        /// What was written.
        text: String,
        /// What can be written.
        words: &'static [&'static str],
    },
    /// No compression.
    #[error("`{0}` is neither no, nor yes, nor zstd-1 to zstd-19")]
    NotACompression(String),
}

/// A value that could be read, but has to be told about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remark {
    /// It was outside of its bounds, and is the nearest one now: this many (seconds, for a time span).
    Clamped(i64),
    /// An IPv4 address that is not written as RFC 4291 says, so that gromox would refuse it.
    NotRfc4291,
    /// A version of TLS that is older than this server speaks; it is the oldest spoken now.
    OldTls,
}

/// Values of `tls_min_proto` that are known to be too old (RFC 8996), and what takes their place.
const OLD_TLS: [&str; 2] = ["tls1.0", "tls1.1"];
/// See [`OLD_TLS`].
pub(crate) const OLDEST_TLS: &str = "tls1.2";

/// `exmdb_file_compression=yes` (exmdb_provider(4gx)).
const USUAL_COMPRESSION_LEVEL: i32 = 6;

impl Value {
    /// Reads `text` as a value of `directive`.
    pub fn parse(directive: &Directive, text: &str) -> Result<(Self, Option<Remark>), ValueError> {
        let text = text.trim();
        Ok(match directive.kind {
            Kind::Quantity { min, max } => {
                let number = match text {
                    "unlimited" if min <= 0 => 0,
                    text => parse_quantity(text)?,
                };
                let (number, remark) = clamp(number, min, max);
                (Self::Quantity(number), remark)
            }
            Kind::TimeSpan { min, max, exact } => {
                let span = parse_time_span(text)?;
                let (seconds, remark) = clamp(span.seconds(), min, max);
                let precise = span.duration().filter(|_| exact && remark.is_none());
                // `min` is never below 0.
                let duration = precise.unwrap_or(Duration::from_secs(seconds.unsigned_abs()));
                (Self::Duration(duration), remark)
            }
            Kind::Boolean => (Self::Boolean(parse_boolean(text)), None),
            Kind::Text | Kind::Secret | Kind::HostName => (Self::Text(text.to_owned()), None),
            Kind::Choice(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(text));
                let word = word.ok_or_else(|| ValueError::NotAChoice {
                    text: text.to_owned(),
                    words,
                })?;
                if OLD_TLS.contains(word) {
                    (Self::Text(OLDEST_TLS.to_owned()), Some(Remark::OldTls))
                } else {
                    (Self::Text((*word).to_owned()), None)
                }
            }
            Kind::Repeated => {
                let texts = if text.is_empty() {
                    Vec::new()
                } else {
                    vec![text.to_owned()]
                };
                (Self::Texts(texts), None)
            }
            Kind::Host if text.is_empty() => (Self::Hosts(Vec::new()), None),
            Kind::Host => (Self::Hosts(vec![address::parse_host(text)?]), form(text)),
            Kind::Hosts => (Self::Hosts(address::parse_hosts(text)?), form(text)),
            Kind::Networks => (Self::Networks(address::parse_networks(text)?), None),
            Kind::Sockets => (Self::Sockets(address::parse_sockets(text)?), form(text)),
            Kind::Path if text.is_empty() => (Self::Paths(Vec::new()), None),
            Kind::Path => (Self::Paths(vec![text.into()]), None),
            Kind::Paths => {
                let paths = text.split(':').map(str::trim).filter(|path| !path.is_empty());
                (Self::Paths(paths.map(PathBuf::from).collect()), None)
            }
            Kind::Compression => (Self::Compression(parse_compression(text)?), None),
        })
    }

    /// The directive's default. `host_name` is this system's.
    pub fn default_of(directive: &Directive, host_name: &str) -> Self {
        let text = match (directive.kind, directive.default_value()) {
            (Kind::HostName, "") => host_name,
            (Kind::Quantity { min, .. } | Kind::TimeSpan { min, .. }, "") if min <= 0 => "0",
            (_, text) => text,
        };
        let text = text.replace("(system_hostname)", host_name);
        match Self::parse(directive, &text) {
            Ok((value, _)) => value,
            // The test `every_default_can_be_read` keeps this from happening.
            Err(error) => unreachable!("default of {}: {error}", directive.qualified_name()),
        }
    }
}

fn clamp(number: i64, min: i64, max: i64) -> (i64, Option<Remark>) {
    let nearest = number.clamp(min, max);
    (nearest, (nearest != number).then_some(Remark::Clamped(nearest)))
}

fn form(text: &str) -> Option<Remark> {
    (!address::is_rfc4291(text)).then_some(Remark::NotRfc4291)
}

fn parse_compression(text: &str) -> Result<Option<i32>, ValueError> {
    let error = || ValueError::NotACompression(text.to_owned());
    let lower = text.to_ascii_lowercase();
    if let Some(level) = lower.strip_prefix("zstd-") {
        let level = level.parse().map_err(|_| error())?;
        return if (1..=19).contains(&level) {
            Ok(Some(level))
        } else {
            Err(error())
        };
    }
    match lower.as_str() {
        "yes" | "on" | "true" | "1" => Ok(Some(USUAL_COMPRESSION_LEVEL)),
        _ if !parse_boolean(text) => Ok(None),
        _ => Err(error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directive;

    fn parse(directive: &Directive, text: &str) -> (Value, Option<Remark>) {
        Value::parse(directive, text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_default_can_be_read() {
        for directive in directive::all() {
            let value = Value::default_of(directive, "mail.example.org");
            if directive.kind == Kind::HostName {
                assert_eq!(value, Value::Text("mail.example.org".into()));
            }
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for directive in directive::all() {
            let value = Value::default_of(directive, "mail.example.org");
            assert_eq!(
                parse(directive, &value.to_string()).0,
                value,
                "{}",
                directive.qualified_name()
            );
        }
        for (text, shown) in [("1.5h", "1h 30min"), ("0", "0s"), ("8 days 1.5s", "8d 1s 500ms")] {
            let directive = directive::EXMDB_SEARCH_PACING_TIME.directive();
            assert_eq!(parse(directive, text).0.to_string(), shown);
        }
    }

    #[test]
    fn values_outside_of_their_bounds_become_the_nearest_bound() {
        let level = directive::IMAP_LOG_LEVEL.directive();
        assert_eq!(parse(level, "9"), (Value::Quantity(6), Some(Remark::Clamped(6))));
        assert_eq!(parse(level, "5"), (Value::Quantity(5), None));
        let timeout = directive::SQLITE_BUSY_TIMEOUT.directive();
        assert_eq!(
            parse(timeout, "2h"),
            (
                Value::Duration(Duration::from_hours(1)),
                Some(Remark::Clamped(3600))
            )
        );
        assert_eq!(parse(timeout, "-1s").1, Some(Remark::Clamped(0)));
    }

    #[test]
    fn time_below_a_second_counts_where_it_matters() {
        let pacing = directive::EXMDB_SEARCH_PACING_TIME.directive();
        assert_eq!(
            parse(pacing, "1.5s").0,
            Value::Duration(Duration::from_millis(1500))
        );
        let timeout = directive::IMAP_CONN_TIMEOUT.directive();
        assert_eq!(parse(timeout, "1.5s").0, Value::Duration(Duration::from_secs(1)));
    }

    #[test]
    fn choices_take_the_tables_spelling() {
        let tls = directive::imap::TLS_MIN_PROTO.directive();
        assert_eq!(parse(tls, "TLS1.3").0, Value::Text("tls1.3".into()));
        assert_eq!(
            parse(tls, "tls1.0"),
            (Value::Text("tls1.2".into()), Some(Remark::OldTls))
        );
        assert!(matches!(
            Value::parse(tls, "ssl3"),
            Err(ValueError::NotAChoice { .. })
        ));
    }

    #[test]
    fn compression_levels() {
        let directive = directive::EXMDB_FILE_COMPRESSION.directive();
        for (text, level) in [
            ("no", None),
            ("", None),
            ("yes", Some(6)),
            ("zstd-1", Some(1)),
            ("ZSTD-19", Some(19)),
        ] {
            assert_eq!(parse(directive, text).0, Value::Compression(level), "{text}");
        }
        for text in ["zstd-0", "zstd-20", "zstd", "gzip"] {
            assert_eq!(
                Value::parse(directive, text),
                Err(ValueError::NotACompression(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn search_paths_are_separated_by_colons() {
        let directive = directive::imap::CONFIG_FILE_PATH.directive();
        assert_eq!(
            parse(directive, "/a/b::/c:").0,
            Value::Paths(vec!["/a/b".into(), "/c".into()])
        );
    }

    #[test]
    fn addresses_that_gromox_would_refuse_are_remarked() {
        let directive = directive::IMAP_LISTEN.directive();
        assert_eq!(parse(directive, "127.0.0.1:143").1, Some(Remark::NotRfc4291));
        assert_eq!(parse(directive, "[::1]:143 [::ffff:127.0.0.1]:143").1, None);
        assert!(Value::parse(directive, "localhost:143").is_err());
    }
}
