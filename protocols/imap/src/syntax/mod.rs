//! The grammar of commands (RFC 9051 §9 and the extensions' own), without any I/O.
//!
//! [`framing`] cuts the byte stream into commands, literals included; [`command::Command::parse`] makes one typed
//! value of each. Whatever bytes come, they answer with a value or a [`SyntaxError`].

pub(crate) mod acl;
pub(crate) mod append;
pub(crate) mod command;
pub(crate) mod date;
pub(crate) mod fetch;
pub(crate) mod framing;
pub(crate) mod list;
pub(crate) mod mailbox_name;
pub(crate) mod metadata;
pub(crate) mod notify;
pub(crate) mod reader;
pub(crate) mod search;
pub(crate) mod sequence;
pub(crate) mod url;

/// Why a command can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    /// Something else should have come here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// No such command.
    #[error("unknown command")]
    UnknownCommand,
    /// A limit of [`crate::limits`].
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The program nests deeper than [`crate::limits::SEARCH_DEPTH`].
    #[error("nested too deeply")]
    TooDeep,
    /// A mailbox name that is no modified UTF-7 or UTF-8, or too long.
    #[error("invalid mailbox name")]
    MailboxName,
    /// SEARCH named a charset that is not known (answered with BADCHARSET).
    #[error("unknown charset")]
    Charset,
}
