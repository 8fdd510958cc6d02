//! What is to be said about a configuration.

use std::{fmt, path::PathBuf};

use crate::{
    directive::{Directive, File},
    syntax::LineError,
    value::{OLDEST_TLS, ValueError},
};

/// A line of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1; 0 is the file as a whole.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.path.display()),
            line => write!(f, "{}:{line}", self.path.display()),
        }
    }
}

/// How much a [`Diagnostic`] matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Good to know: a directive that does nothing here.
    Note,
    /// Probably not what was meant.
    Warning,
    /// The value was not used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing to be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Where.
    pub place: Option<Place>,
    /// What.
    pub problem: Problem,
}

/// What there is to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The file could not be read, and this is what the system said.
    Unreadable(String),
    /// Another copy of a component's file, for one service: it is not read.
    IgnoredCopy {
        /// The copy that is.
        used: Option<PathBuf>,
    },
    /// A line is left out.
    Line(LineError),
    /// No file has a directive of this name.
    UnknownName {
        /// The name.
        name: String,
        /// What may have been meant.
        nearest: Option<&'static Directive>,
    },
    /// The directive belongs into another file; it is not used.
    WrongFile {
        /// Its name.
        name: String,
        /// The files that know it.
        belongs_into: Vec<File>,
    },
    /// The text is no value of the directive; what held before holds on.
    Value {
        /// The directive.
        directive: &'static Directive,
        /// Why not.
        error: ValueError,
    },
    /// The value is outside of its bounds.
    OutOfRange {
        /// The directive.
        directive: &'static Directive,
        /// What was written.
        text: String,
        /// The bound that is used instead.
        used: i64,
    },
    /// An IPv4 address that gromox would refuse.
    NotRfc4291 {
        /// The directive.
        directive: &'static Directive,
    },
    /// A version of TLS that this server does not speak.
    OldTls {
        /// The directive.
        directive: &'static Directive,
        /// What was written.
        text: String,
    },
    /// The directive is set, but does nothing (yet).
    NoEffect {
        /// The directive.
        directive: &'static Directive,
    },
}

impl Diagnostic {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self.problem {
            Problem::Unreadable(_) | Problem::Value { .. } => Severity::Error,
            Problem::Line(_)
            | Problem::IgnoredCopy { .. }
            | Problem::UnknownName { .. }
            | Problem::WrongFile { .. }
            | Problem::OutOfRange { .. }
            | Problem::OldTls { .. }
            | Problem::NotRfc4291 { .. } => Severity::Warning,
            Problem::NoEffect { .. } => Severity::Note,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.severity(), self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "can't be read: {error}"),
            Self::IgnoredCopy { used: Some(used) } => {
                write!(f, "is not read: all services share {}", used.display())
            }
            Self::IgnoredCopy { used: None } => {
                f.write_str("is not read: all services share the file that http.cfg's config_file_path finds")
            }
            Self::Line(error) => write!(f, "{error}; it is left out"),
            Self::UnknownName { name, nearest: None } => write!(f, "there is no directive {name}"),
            Self::UnknownName {
                name,
                nearest: Some(nearest),
            } => {
                write!(
                    f,
                    "there is no directive {name}; did you mean {}?",
                    nearest.qualified_name()
                )
            }
            Self::WrongFile { name, belongs_into } => {
                let files: Vec<_> = belongs_into.iter().map(|file| file.name()).collect();
                write!(
                    f,
                    "{name} is not read here; it belongs into {}",
                    files.join(" or ")
                )
            }
            Self::Value { directive, error } => write!(f, "{}: {error}", directive.name),
            Self::OutOfRange {
                directive,
                text,
                used,
            } => {
                write!(
                    f,
                    "{}={text} is out of range ({}); {used} is used",
                    directive.name, directive.kind
                )
            }
            Self::NotRfc4291 { directive } => {
                write!(
                    f,
                    "{}: gromox takes IPv4 addresses as ::ffff:192.0.2.1 only",
                    directive.name
                )
            }
            Self::OldTls { directive, text } => write!(
                f,
                "{}={text}: TLS 1.0 and 1.1 are not spoken here (RFC 8996); {OLDEST_TLS} is used",
                directive.name
            ),
            Self::NoEffect { directive } => write!(f, "{}: {}", directive.name, directive.effect),
        }
    }
}
