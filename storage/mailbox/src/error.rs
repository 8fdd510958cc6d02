//! The store's errors.

use std::path::{Path, PathBuf};

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder, message or other object does not exist (any more).
    #[error("{0} not found")]
    NotFound(String),
    /// A folder of that name exists already.
    #[error("a folder named {0:?} exists already")]
    Exists(String),
    /// The operation is not possible on this object, for example deleting the inbox.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// A quota or a named limit would be passed.
    #[error("{0} exceeded")]
    LimitExceeded(&'static str),
    /// The mailbox is from a newer version of the schema.
    #[error("mailbox schema {found} is newer than this program's {known}")]
    NewerSchema {
        /// The mailbox's.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The database or a content file is damaged or missing.
    #[error("{path}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left on the mailbox's disk")]
    DiskFull,
    /// The database said no.
    #[error("database: {0}")]
    Database(rusqlite::Error),
    /// The file system said no.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl StoreError {
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        if matches!(
            source.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        ) {
            return Self::DiskFull;
        }
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// A value in the database that its encoding does not allow.
    pub(crate) fn damaged(what: &str) -> Self {
        Self::Corrupt {
            path: PathBuf::from(crate::mailbox::DATABASE),
            reason: format!("damaged {what}"),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt {
                path: PathBuf::from(crate::mailbox::DATABASE),
                reason: error.to_string(),
            },
            _ => Self::Database(error),
        }
    }
}

impl From<ringpost_mapi::CodecError> for StoreError {
    fn from(error: ringpost_mapi::CodecError) -> Self {
        Self::damaged(&format!("value: {error}"))
    }
}

impl From<rusqlite::types::FromSqlError> for StoreError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::damaged(&format!("column: {error}"))
    }
}
