//! The embedded back end: all accounts in one SQLite file.
//!
//! Two connections: one reads (snapshots, logins, lists), one writes. Any number of other processes may have
//! the file open too. A write is one transaction, synced before it returns, and adds one to the row
//! `changes`; by it a reader tells whether its snapshot is still current.

mod accounts;
mod administration;
mod lists;
mod load;
mod lookup;
mod objects;
mod schema;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::{
    AccountKind, AccountMailbox, DirectoryError, LoginBackend, LoginRecord, Privileges, Snapshot, Status,
};

type Result<T> = std::result::Result<T, DirectoryError>;

/// The file's usual name.
pub const FILE_NAME: &str = "directory.sqlite3";
/// How long a writer waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The directory in one SQLite file.
pub struct EmbeddedDirectory {
    path: PathBuf,
    /// Mailbox paths below this folder, the file's own, are kept relative to it, so that all may be moved.
    base: PathBuf,
    /// This server's name, by which `homeserver` tells what is here.
    host: Option<String>,
    reader: Mutex<Reader>,
    writer: Mutex<Connection>,
}

struct Reader {
    connection: Connection,
    /// `PRAGMA data_version` when the file was last looked at: equal means nothing was written since.
    data_version: i64,
    /// The row `changes` at the latest snapshot; `None` before the first.
    changes: Option<i64>,
}

impl EmbeddedDirectory {
    /// Opens the directory in this file, or makes a new one. Older schemas are upgraded.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, None)
    }

    /// Opens the file `directory.sqlite3` in a data folder, which is made if it is missing.
    pub fn open_in(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|source| DirectoryError::File {
            path: folder.to_owned(),
            source,
        })?;
        Self::open(&folder.join(FILE_NAME))
    }

    /// Like [`Self::open`], as the server named `host` (`host_id`): mailboxes whose home is another server
    /// are not here.
    pub fn open_as(path: &Path, host: Option<&str>) -> Result<Self> {
        let file = |source| DirectoryError::File {
            path: path.to_owned(),
            source,
        };
        let path = std::path::absolute(path).map_err(file)?;
        let base = path.parent().unwrap_or(Path::new("/")).to_owned();
        create_private(&path)?;
        let mut writer = connect(&path)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        schema::prepare(&mut writer, &path)?;
        let connection = connect(&path)?;
        Ok(Self {
            path,
            base,
            host: host.map(str::to_lowercase),
            reader: Mutex::new(Reader {
                connection,
                data_version: -1,
                changes: None,
            }),
            writer: Mutex::new(writer),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The schema's version.
    pub fn schema_version() -> u32 {
        schema::current_version()
    }

    /// All accounts as they are now. Takes about half a second for 100,000 of them.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let mut reader = lock(&self.reader);
        let data_version = data_version(&reader.connection)?;
        let (changes, snapshot) = {
            let transaction = reader.connection.transaction()?;
            let changes = changes(&transaction)?;
            (changes, load::snapshot(&transaction, self)?)
        };
        reader.data_version = data_version;
        reader.changes = Some(changes);
        Ok(Arc::new(snapshot))
    }

    /// Whether anything was written since the latest [`Self::snapshot`], by any process. Cheap: usually one
    /// look at the WAL's index in shared memory.
    pub fn changed_since_snapshot(&self) -> Result<bool> {
        let mut reader = lock(&self.reader);
        let version = data_version(&reader.connection)?;
        if version == reader.data_version && reader.changes.is_some() {
            return Ok(false);
        }
        let changed = Some(changes(&reader.connection)?) != reader.changes;
        if !changed {
            // A checkpoint or the like. Next time it is cheap again.
            reader.data_version = version;
        }
        Ok(changed)
    }

    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut reader = lock(&self.reader);
        let transaction = reader.connection.transaction()?;
        work(&transaction)
    }

    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.execute("UPDATE options SET value = value + 1 WHERE key = 'changes'", [])?;
        transaction.commit()?;
        Ok(result)
    }

    /// How a mailbox's folder is kept in the file.
    fn stored_path(&self, path: &Path) -> Result<String> {
        let path = path.strip_prefix(&self.base).unwrap_or(path);
        path.to_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| DirectoryError::InvalidValue {
                what: "mailbox folder",
                reason: "the path is empty or not UTF-8".to_owned(),
            })
    }

    fn is_here(&self, home: Option<&str>) -> bool {
        match (home, &self.host) {
            (None, _) | (_, None) => true,
            (Some(home), Some(host)) => home.eq_ignore_ascii_case(host),
        }
    }

    fn mailbox(
        &self,
        home: Option<&str>,
        maildir: Option<&str>,
        guid: Option<[u8; 16]>,
    ) -> Option<AccountMailbox> {
        let (maildir, guid) = (maildir?, guid?);
        self.is_here(home).then(|| AccountMailbox {
            guid: ringpost_mapi::MailboxGuid(ringpost_mapi::Guid(guid)),
            path: self.base.join(maildir).into(),
        })
    }
}

impl LoginBackend for EmbeddedDirectory {
    fn login_record(&self, address: &str) -> Result<Option<LoginRecord>> {
        self.read(|transaction| {
            let Some(id) = lookup::account_id(transaction, address)? else {
                return Ok(None);
            };
            let mut statement = transaction.prepare_cached(
                "SELECT u.username, u.display_type, u.address_status, d.domain_status, u.password,
                        length(coalesce(u.externid, '')) > 0, u.privilege_bits, u.lang, s.hostname, u.maildir,
                        u.mailbox_guid
                 FROM users u JOIN domains d ON d.id = u.domain_id LEFT JOIN servers s ON s.id = u.homeserver
                 WHERE u.id = ?1",
            )?;
            let record = statement.query_row([id], |row| {
                let (display_type, status): (i64, i64) = (row.get(1)?, row.get(2)?);
                let home: Option<String> = row.get(8)?;
                let maildir: Option<String> = row.get(9)?;
                Ok(LoginRecord {
                    username: row.get(0)?,
                    kind: AccountKind::from_codes(display_type, status),
                    status: load::effective_status(status, row.get(3)?),
                    password_hash: row.get(4)?,
                    external: row.get(5)?,
                    privileges: Privileges::from_bits(row.get(6)?),
                    locale: row.get(7)?,
                    mailbox: self.mailbox(home.as_deref(), maildir.as_deref(), row.get(10)?),
                })
            })?;
            Ok((record.status != Status::Deleted).then_some(record))
        })
    }

    fn set_first_password(&self, username: &str, hash: &str) -> Result<bool> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE users SET password = ?2
                 WHERE username = ?1 AND password = '' AND length(coalesce(externid, '')) = 0",
                params![username, hash],
            )?;
            Ok(changed == 1)
        })
    }

    fn is_store_owner(&self, username: &str, actor: &str) -> Result<bool> {
        self.read(|transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT 1 FROM store_owners o JOIN users u ON u.id = o.user_id
                 JOIN users a ON a.id = o.owner_id WHERE u.username = ?1 AND a.username = ?2",
            )?;
            Ok(statement
                .query_row([username, actor], |_| Ok(()))
                .optional()?
                .is_some())
        })
    }
}

/// Password hashes are in the file: nobody else may read it, nor the WAL, which takes the file's mode.
fn create_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| DirectoryError::File {
            path: path.to_owned(),
            source,
        })
}

/// Opens with SQLite's own file layer: the mailboxes' one keeps a file to one process.
fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags_and_vfs(path, flags, c"unix")?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Nothing of ours is half done when a thread panics: a transaction rolls back as it is dropped.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
}

fn changes(connection: &Connection) -> Result<i64> {
    Ok(
        connection.query_row("SELECT value FROM options WHERE key = 'changes'", [], |row| {
            row.get(0)
        })?,
    )
}
