//! The tagged answer to a command, and how the store's errors become one (RFC 5530, RFC 9051 §7.1).

use std::{borrow::Cow, fmt, io};

use ringpost_host::CallError;
use ringpost_store::StoreError;

use super::place::NO_PERMISSION;
use crate::encode::put;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Ok,
    No,
    Bad,
    /// The answer was sent already.
    Sent,
}

/// A tagged answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reply {
    kind: Kind,
    code: Cow<'static, str>,
    text: Cow<'static, str>,
}

/// Why a session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The client is gone, or nothing more can be said to it.
    Closed,
    /// LOGOUT.
    Logout,
    /// The server ends it and says why.
    Bye(&'static str),
}

/// Why a command did not get to its normal end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    Reply(Reply),
    End(End),
}

impl Reply {
    fn new(kind: Kind, code: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            code: code.into(),
            text: text.into(),
        }
    }

    pub(super) fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Ok, "", text)
    }

    pub(super) fn ok_code(code: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Ok, code, text)
    }

    pub(super) fn no(code: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::No, code, text)
    }

    pub(super) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Bad, "", text)
    }

    pub(super) fn sent() -> Self {
        Self::new(Kind::Sent, "", "")
    }

    pub(super) fn is_ok(&self) -> bool {
        matches!(self.kind, Kind::Ok | Kind::Sent)
    }

    pub(super) fn is_bad(&self) -> bool {
        self.kind == Kind::Bad
    }

    /// Writes the answer; without a tag as an untagged one.
    pub(super) fn write(&self, tag: Option<&str>, out: &mut Vec<u8>) {
        if self.kind != Kind::Sent {
            put!(out, "{} {self}\r\n", tag.unwrap_or("*"));
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Ok | Kind::Sent => "OK",
            Kind::No => "NO",
            Kind::Bad => "BAD",
        })?;
        if !self.code.is_empty() {
            write!(f, " [{}]", self.code)?;
        }
        write!(f, " {}", self.text)
    }
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::End(error.into())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let reply = match &error {
            CallError::Store(store) => match store {
                StoreError::NotFound(_) => Reply::no("NONEXISTENT", "no such mailbox or message"),
                StoreError::Exists(_) => Reply::no("ALREADYEXISTS", "it exists already"),
                StoreError::NotAllowed(NO_PERMISSION) => Reply::no("NOPERM", NO_PERMISSION),
                StoreError::NotAllowed(why) => Reply::no("CANNOT", *why),
                StoreError::LimitExceeded(what) => Reply::no("OVERQUOTA", format!("{what} exceeded")),
                StoreError::DiskFull => Reply::no("UNAVAILABLE", "the disk is full"),
                StoreError::NewerSchema { .. } => {
                    Reply::no("CONTACTADMIN", "the mailbox is of a newer version")
                }
                StoreError::Corrupt { .. } => Reply::no("CORRUPTION", "the mailbox is damaged"),
                _ => Reply::no("SERVERBUG", "the mailbox can't be read"),
            },
            CallError::NotDurable(_) => Reply::no("UNAVAILABLE", "the change could not be written to disk"),
            CallError::Unavailable => Reply::no("UNAVAILABLE", "the server is busy or stopping"),
            _ => Reply::no("SERVERBUG", "internal error"),
        };
        let expected = matches!(
            error,
            CallError::Store(
                StoreError::NotFound(_)
                    | StoreError::Exists(_)
                    | StoreError::NotAllowed(_)
                    | StoreError::LimitExceeded(_)
            )
        );
        if !expected {
            tracing::error!(%error, "imap: a mailbox operation failed");
        }
        Self::Reply(reply)
    }
}
