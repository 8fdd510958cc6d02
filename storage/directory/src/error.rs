//! What can go wrong with the directory.

use std::{io, path::PathBuf};

/// Why the directory refused or could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// There is no such object.
    #[error("{kind} {name:?} does not exist")]
    NotFound {
        /// `user`, `domain` and so on.
        kind: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// The name or address is taken, be it by an account or an alias.
    #[error("{kind} {name:?} exists already")]
    Exists {
        /// What has the name.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Something else still needs the object.
    #[error("{kind} {name:?} is still used by {by}")]
    InUse {
        /// What was to be deleted.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What uses it.
        by: String,
    },
    /// The text is not an address that an account here can have.
    #[error("{address:?} is not a usable address: {reason}")]
    InvalidAddress {
        /// The text, shortened.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another value can't be kept.
    #[error("{what}: {reason}")]
    InvalidValue {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A named limit would be passed.
    #[error("{what}: the limit of {maximum} would be passed")]
    LimitExceeded {
        /// What is limited.
        what: &'static str,
        /// The limit.
        maximum: usize,
    },
    /// The operation does not fit this kind of object.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// The file was written by a newer version of this program.
    #[error("directory schema {found} is newer than this program's {known}")]
    NewerSchema {
        /// The file's.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The SQLite file holds something else.
    #[error("{0} is a database, but not a directory of accounts")]
    NotADirectory(PathBuf),
    /// Another process held the file for too long.
    #[error("the directory is locked by another process")]
    Busy,
    /// Hashing a password failed.
    #[error("password: {0}")]
    Password(#[from] crate::password::PasswordError),
    /// The database said no.
    #[error("directory database: {0}")]
    Database(rusqlite::Error),
    /// The file system said no.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<rusqlite::Error> for DirectoryError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Database(error),
        }
    }
}
