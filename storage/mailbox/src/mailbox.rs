//! A mailbox: its database and content files.

use std::path::{Path, PathBuf};

use ringpost_mapi::{ChangeNumber, FolderId, MailboxGuid, MessageId};

/// A private or a public store (MS-OXCSTOR 1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailboxKind {
    /// A user's, room's or shared mailbox.
    Private,
    /// A domain's public folders.
    Public,
}

/// How a new mailbox is made.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Private or public.
    pub kind: MailboxKind,
    /// The mailbox's identity; the directory knows it too.
    pub guid: MailboxGuid,
    /// Language for the names of the built-in folders, such as `de_DE`; unknown ones mean `en`.
    pub locale: String,
}

/// How a mailbox is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Zstandard level for content (`exmdb_file_compression`); `None` keeps it uncompressed.
    pub compression_level: Option<i32>,
    /// Upgrade an older schema (`exmdb_schema_upgrades`).
    pub upgrade: bool,
}

/// An open mailbox. One exists per mailbox and process; the core that owns the mailbox holds it.
pub struct Mailbox {
    directory: PathBuf,
}

/// Something changed; sent after the commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The folder that changed, or whose content did.
    pub folder: FolderId,
    /// The message, where the event is about one.
    pub message: Option<MessageId>,
    /// What happened.
    pub kind: EventKind,
    /// The change's number.
    pub change: ChangeNumber,
}

/// What an [`Event`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A message came into being in the folder: delivered, saved, copied or moved here.
    MessageCreated,
    /// A message's properties or flags changed.
    MessageChanged,
    /// A message left the folder: deleted or moved away.
    MessageDeleted,
    /// The folder was created.
    FolderCreated,
    /// The folder's properties changed, its name or place among them.
    FolderChanged,
    /// The folder was deleted.
    FolderDeleted,
}

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
    Database(#[from] rusqlite::Error),
    /// The file system said no.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Mailbox {
    /// Makes a new mailbox in `directory` (which may exist), with its built-in folders.
    pub fn create(directory: &Path, options: &CreateOptions) -> Result<(), StoreError> {
        let _ = options;
        Err(StoreError::NotFound(directory.display().to_string()))
    }

    /// Opens the mailbox in `directory`.
    pub fn open(directory: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        let _ = options;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The mailbox's folder on disk.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs several operations as one transaction: all or, on an error, none.
    pub fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(self)
    }

    /// The changes committed since the last call, for those who listen.
    pub fn take_events(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// The number of the latest change.
    pub fn last_change(&mut self) -> Result<ChangeNumber, StoreError> {
        Ok(ChangeNumber(0))
    }

    /// Writes the WAL back into the database and truncates it. Long: run it away from requests.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Bytes in the WAL now; the runtime checkpoints when it has grown.
    pub fn wal_bytes(&self) -> u64 {
        0
    }
}
