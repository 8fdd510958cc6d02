//! A mailbox: its database and content files.

use std::{
    cell::Cell,
    fs::{DirBuilder, File, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Instant,
};

use ringpost_mapi::{ChangeNumber, FileTime, FolderId, Guid, MailboxGuid, MessageId};
use ringpost_vfs::{Ahead, Hint};
use rusqlite::{Connection, OptionalExtension, config::DbConfig, params};

use crate::{
    StoreError,
    content::ContentCache,
    event::{Event, EventKind},
    imap::keywords::Keywords,
    incoming::receive_quota_kib,
    memo::Memos,
    named::NamedIds,
    schema,
    table::{Search, Stamps},
};

/// Where the database is in a mailbox's folder.
pub(crate) const DATABASE: &str = "exmdb/exchange.sqlite3";
/// Where a new one is made before it gets its name.
const NEW_DATABASE: &str = "exmdb/exchange.sqlite3.new";
/// What a process locks before it touches the database.
pub(crate) const LOCK: &str = "exmdb/exchange.lock";
/// The folders of a mailbox.
const FOLDERS: [&str; 4] = ["exmdb", "cid", "config", "tmp"];
/// A distrusted WAL is copied in pieces of this size.
const COPIED_BYTES: usize = 256 * 1024;
/// Memory of an open mailbox that nobody counts: the WAL's index (32 KiB), the connection and its pager.
const OPEN_BYTES: u64 = 56 * 1024;
/// SQLite walks the schema and all statements to tell what they take: it is asked at the fourth call, the sixteenth and so
/// on, and then so seldom. Until then a mailbox is taken for one like that which was measured last.
const MEASURED_EVERY: u32 = 256;

thread_local! {
    /// What schema and statements of a mailbox took, the latest that was measured.
    static MEASURED_LATEST: Cell<u64> = const { Cell::new(0) };
}

/// A mailbox is its owner's and the group's.
const FOLDER_MODE: u32 = 0o770;

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
    /// Messages that the mailbox may hold, associated ones included (`max_store_message_count`); 0: any number.
    pub max_messages: u64,
}

/// An open mailbox. One exists per mailbox and process; the core that owns the mailbox holds it.
pub struct Mailbox {
    pub(crate) directory: PathBuf,
    // Before the lock: closed before another process may open it.
    pub(crate) connection: Connection,
    lock: File,
    wal_name_is_durable: bool,
    pub(crate) options: OpenOptions,
    kind: MailboxKind,
    guid: MailboxGuid,
    pub(crate) counters: Counters,
    counters_saved: Counters,
    depth: u32,
    events: Vec<Event>,
    committed_events: Vec<Event>,
    pub(crate) receive_quota_kib: Option<u64>,
    pub(crate) account_quota_kib: Option<u64>,
    pub(crate) keyword_cache: Option<Keywords>,
    pub(crate) named_cache: Option<NamedIds>,
    /// The search folders, once they were needed.
    pub(crate) searches: Option<Vec<Search>>,
    /// What listed tables look at to see whether their rows may have changed.
    pub(crate) stamps: Stamps,
    pub(crate) content_cache: ContentCache,
    pub(crate) memos: Memos,
    /// Up to which change removals were pruned, since the mailbox was opened.
    pub(crate) pruned: u64,
    /// Content files that may have lost their last reference, or whose row may have been rolled back. They
    /// are looked at, and go, at the next checkpoint: before it, a power failure could bring their rows back.
    pub(crate) unreferenced: Vec<PathBuf>,
    /// A sync failed: see [`Mailbox::distrust`].
    distrusted: bool,
    /// How often [`Self::memory_bytes`] was asked, and what schema and statements took when SQLite was.
    measured: (u32, u64),
    /// See [`Mailbox::keep_few_pages`].
    keeps_few_pages: bool,
    /// The folder whose flags were asked of the disk last, and when.
    pub(crate) flags_ahead: Option<(FolderId, Instant)>,
}

/// The hot part of the `store` row. Memory has it as of the running transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counters {
    /// The next global counter for folders, messages and content.
    pub(crate) next_id: u64,
    /// The latest change.
    pub(crate) last_change: u64,
    /// Bytes of all messages, soft-deleted ones not counted.
    pub(crate) size: u64,
}

impl Mailbox {
    /// Makes a new mailbox in `directory` (which may exist), with its built-in folders.
    pub fn create(directory: &Path, options: &CreateOptions) -> Result<(), StoreError> {
        // A folder is durable when the one above it was synced; where that is new, too, so on upwards.
        let above = directory.ancestors().skip(1);
        let old = above.clone().position(Path::exists).unwrap_or(0);
        let above: Vec<PathBuf> = above.take(old + 1).map(Path::to_owned).collect();
        for folder in FOLDERS {
            let path = directory.join(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(FOLDER_MODE)
                .create(&path)
                .map_err(|e| StoreError::file(&path, e))?;
        }
        let _lock = lock(directory)?;
        let path = directory.join(DATABASE);
        if path.exists() {
            return Err(StoreError::NotAllowed("there is a mailbox already"));
        }
        // It gets its name when it is whole: half a mailbox is never seen.
        let new = directory.join(NEW_DATABASE);
        for left in [
            new.clone(),
            with_suffix(&new, "-wal"),
            with_suffix(&new, "-journal"),
            // Of a database that was here before: SQLite would write it over the new one.
            with_suffix(&path, "-wal"),
            with_suffix(&path, "-journal"),
        ] {
            match std::fs::remove_file(&left) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::file(&left, e));
                }
                _ => {}
            }
        }
        let mut connection = ringpost_vfs::open_database(&new, true)?;
        schema::configure(&connection)?;
        let transaction = connection.transaction()?;
        schema::create(&transaction)?;
        insert_store(&transaction, options)?;
        crate::folder::create_built_in(&transaction, options)?;
        transaction.commit()?;
        // Closing writes the WAL back and removes it.
        connection.close().map_err(|(_, error)| error)?;
        let file = File::open(&new).map_err(|e| StoreError::file(&new, e))?;
        ringpost_vfs::sync_file(&file).map_err(|e| StoreError::file(&new, e))?;
        ringpost_vfs::create_wal(&path).map_err(|e| StoreError::file(&path, e))?;
        std::fs::rename(&new, &path).map_err(|e| StoreError::file(&path, e))?;
        let inside = [directory.join("exmdb"), directory.to_owned()];
        for folder in inside.into_iter().chain(above) {
            // The parent of a relative path's first folder has no name.
            let folder = if folder.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                folder
            };
            ringpost_vfs::sync_directory(&folder).map_err(|e| StoreError::file(&folder, e))?;
        }
        Ok(())
    }

    /// Opens the mailbox in `directory`. Fails when another process has it.
    pub fn open(directory: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        let path = directory.join(DATABASE);
        let Ok(is_cold) = ringpost_vfs::look_up(&path) else {
            return Err(StoreError::NotFound(path.display().to_string()));
        };
        let lock = lock(directory)?;
        let ahead = Ahead {
            hint: hint_in(&lock),
            is_cold,
        };
        // One that is left over is configured as it was for the mailbox before.
        let mut connection = if let Some(left) = ringpost_vfs::reopen(&path, &ahead) {
            left
        } else {
            let connection = ringpost_vfs::open_database_ahead(&path, false, ahead)?;
            schema::configure(&connection)?;
            connection
        };
        schema::check(&mut connection, &path, options.upgrade)?;
        let wal_name_is_durable = ringpost_vfs::is_wal_name_durable(&connection);
        let (counters, public, guid, properties) = connection
            .prepare_cached("SELECT next_id, last_change, size, public, guid, properties FROM store")?
            .query_row([], |row| {
                let counters = Counters {
                    next_id: row.get::<_, i64>(0)? as u64,
                    last_change: row.get::<_, i64>(1)? as u64,
                    size: row.get::<_, i64>(2)? as u64,
                };
                Ok((
                    counters,
                    row.get::<_, bool>(3)?,
                    row.get::<_, [u8; 16]>(4)?,
                    row.get::<_, Vec<u8>>(5)?,
                ))
            })
            .optional()?
            .ok_or_else(|| StoreError::damaged("store row"))?;
        Ok(Self {
            directory: directory.to_owned(),
            connection,
            lock,
            wal_name_is_durable,
            options: options.clone(),
            kind: if public {
                MailboxKind::Public
            } else {
                MailboxKind::Private
            },
            guid: MailboxGuid(Guid(guid)),
            counters,
            counters_saved: counters,
            depth: 0,
            events: Vec::new(),
            committed_events: Vec::new(),
            receive_quota_kib: receive_quota_kib(&properties)?,
            account_quota_kib: None,
            keyword_cache: None,
            named_cache: None,
            searches: None,
            stamps: Stamps::new(),
            content_cache: ContentCache::default(),
            memos: Memos::default(),
            pruned: 0,
            unreferenced: Vec::new(),
            distrusted: false,
            measured: (0, 0),
            keeps_few_pages: false,
            flags_ahead: None,
        })
    }

    /// Opens a mailbox of which a sync failed ([`Self::distrust`]). Its WAL is copied, and the copy is durable
    /// before anything is read from it: what SQLite finds in it then is what the disk has.
    pub fn open_distrusted(directory: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        {
            let _lock = lock(directory)?;
            renew_wal(&directory.join(DATABASE))?;
        }
        Self::open(directory, options)
    }

    /// Says that a sync of the WAL failed. The kernel may have thrown away what was not written, and take what
    /// it still shows for clean: another sync would succeed and write nothing. So nothing from this WAL may go
    /// into the database any more, neither by a checkpoint nor when the mailbox is closed; a power failure in
    /// the middle would find half of it there, and the rest nowhere. Close the mailbox and use
    /// [`Self::open_distrusted`].
    pub fn distrust(&mut self) {
        self.distrusted = true;
        let closes_only = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.connection.set_db_config(closes_only, true) {
            tracing::error!(mailbox = %self.directory.display(), %error, "closing may write the WAL back");
        }
    }

    /// Closes the mailbox, and writes its WAL back unless it is distrusted; content files that lost their last
    /// reference go. An error says that a sync or write failed: nothing is lost, but the next to open it is to use
    /// [`Self::open_distrusted`].
    pub fn close(mut self) -> Result<(), StoreError> {
        let written = if !self.distrusted && ringpost_vfs::wal_holds_nothing(&self.connection) {
            Ok(())
        } else {
            self.write_back("PRAGMA wal_checkpoint(TRUNCATE)")
        };
        if written.is_ok()
            && let Err(error) = self.remove_unreferenced()
        {
            // They cost space until the next repair, and nothing else.
            tracing::warn!(mailbox = %self.directory.display(), %error, "content files are left");
        }
        // The connection may be another mailbox's next.
        let kept = written.is_ok() && self.keep_few_pages(false).is_ok();
        let Self { connection, lock, .. } = self;
        let first_reads = ringpost_vfs::first_reads(&connection);
        let closed = if kept {
            ringpost_vfs::close(connection).map_err(StoreError::from)
        } else {
            connection.close().map_err(|(_, error)| StoreError::from(error))
        };
        written.and(closed)?;
        leave_hint(&lock, first_reads);
        Ok(())
    }

    /// Whether [`Self::read_later`] would ask for anything.
    pub fn has_later(&self) -> bool {
        ringpost_vfs::has_later(&self.connection)
    }

    /// Asks the disk for what was read behind the opening last time: for when nobody waits for this mailbox, a moment after
    /// it was opened.
    pub fn read_later(&self) {
        ringpost_vfs::read_later(&self.connection);
    }

    /// The mailbox's folder on disk.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Private or public.
    pub fn kind(&self) -> MailboxKind {
        self.kind
    }

    /// The mailbox's identity.
    pub fn guid(&self) -> MailboxGuid {
        self.guid
    }

    /// Bytes of all messages that are not soft-deleted (`PidTagMessageSizeExtended` of the store).
    pub fn size(&self) -> u64 {
        self.counters.size
    }

    /// Runs several operations as one transaction: all or, on an error, none. Transactions nest: an inner
    /// one that fails leaves the outer one as it was before.
    pub fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.depth > 0 && self.connection.is_autocommit() {
            // The database rolled back by itself (a full disk): what follows must not be committed alone.
            return Err(StoreError::NotAllowed("the transaction was rolled back already"));
        }
        // Before anything changes: what the change does to them is told by the difference.
        self.load_searches()?;
        let begin = if self.depth == 0 {
            "BEGIN IMMEDIATE"
        } else {
            "SAVEPOINT inner"
        };
        self.connection.prepare_cached(begin)?.execute([])?;
        let before = (self.counters, self.events.len());
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        let done = done.and_then(|value| self.commit().map(|()| value));
        if done.is_err() {
            self.counters = before.0;
            self.events.truncate(before.1);
            self.keyword_cache = None;
            self.named_cache = None;
            self.searches = None;
            // Tables that were read meanwhile have seen what never was.
            self.stamps.touch_all();
            self.content_cache.clear();
            self.memos.clear();
            self.roll_back();
        }
        done
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.depth > 0 {
            self.connection.prepare_cached("RELEASE inner")?.execute([])?;
            return Ok(());
        }
        self.follow_changes()?;
        if self.counters != self.counters_saved {
            self.connection
                .prepare_cached("UPDATE store SET next_id = ?1, last_change = ?2, size = ?3")?
                .execute(params![
                    self.counters.next_id as i64,
                    self.counters.last_change as i64,
                    self.counters.size as i64
                ])?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.counters_saved = self.counters;
        self.committed_events.append(&mut self.events);
        Ok(())
    }

    /// SQLite may have rolled back already (disk full): then there is nothing to do.
    fn roll_back(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        let statement = if self.depth == 0 {
            "ROLLBACK"
        } else {
            "ROLLBACK TO inner; RELEASE inner"
        };
        if let Err(error) = self.connection.execute_batch(statement) {
            tracing::error!(mailbox = %self.directory.display(), %error, "rollback failed");
        }
    }

    /// The changes committed since the last call, for those who listen.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.committed_events)
    }

    /// The number of the latest change.
    pub fn last_change(&mut self) -> Result<ChangeNumber, StoreError> {
        Ok(ChangeNumber(self.counters.last_change))
    }

    /// Forgets old removals, writes the WAL back into the database and truncates it, and removes content
    /// files that nothing refers to any more. Long: run it away from requests.
    ///
    /// After an error of the file system the mailbox is distrusted ([`Self::distrust`]).
    /// Forgets old removals, writes the WAL back into the database and empties it (the file keeps its blocks),
    /// and removes content files that nothing refers to any more. Long: run it away from requests.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.depth > 0 {
            return Err(StoreError::NotAllowed("a checkpoint inside a transaction"));
        }
        self.prune_now_and_then()?;
        self.write_back("PRAGMA wal_checkpoint(TRUNCATE)")?;
        self.remove_unreferenced()
    }

    /// Whether a sync failed, here or as told.
    pub fn is_distrusted(&self) -> bool {
        self.distrusted
    }

    fn write_back(&mut self, checkpoint: &str) -> Result<(), StoreError> {
        if self.distrusted {
            return Err(StoreError::NotAllowed("a sync of the WAL failed"));
        }
        let written = self.connection.query_row(checkpoint, [], |_| Ok(()));
        written.map_err(StoreError::from).inspect_err(|error| {
            // SQLite would try the sync that failed again, and believe it. A database that had no room to grow
            // is no such thing: the WAL is as good as before, and there would be no room for its copy either.
            if !matches!(error, StoreError::DiskFull) {
                self.distrust();
            }
        })
    }

    /// Bytes in the WAL now; the runtime checkpoints when it has grown.
    pub fn wal_bytes(&self) -> u64 {
        ringpost_vfs::wal_bytes(&self.connection)
    }

    /// Bytes of memory that the open mailbox takes: pages, schema and statements as SQLite counts them, what is
    /// kept for protocols and readers, and [`OPEN_BYTES`] for the rest.
    pub fn memory_bytes(&mut self) -> u64 {
        let (calls, bytes) = &mut self.measured;
        *calls = calls.wrapping_add(1);
        let latest = MEASURED_LATEST.get();
        if *calls == 1 && latest > 0 {
            *bytes = latest;
        } else if *calls == 1
            || calls.is_power_of_two() && calls.trailing_zeros() % 2 == 0
            || calls.is_multiple_of(MEASURED_EVERY)
        {
            *bytes = ringpost_vfs::schema_bytes(&self.connection)
                + ringpost_vfs::statement_bytes(&self.connection);
            MEASURED_LATEST.set(*bytes);
        }
        let pages = ringpost_vfs::page_cache_bytes(&self.connection);
        // The allocator rounds a page and its header up.
        let pages = pages + pages / 5;
        OPEN_BYTES + self.measured.1 + pages + self.memos.bytes() + self.content_cache.bytes()
    }

    /// Whether the WAL's name was durable for sure when the mailbox was opened. Otherwise its folder must be
    /// synced too before the first change is acknowledged.
    pub fn is_wal_name_durable(&self) -> bool {
        self.wal_name_is_durable
    }

    /// The WAL: what the runtime syncs before it acknowledges a change.
    pub fn wal_path(&self) -> PathBuf {
        with_suffix(&self.directory.join(DATABASE), "-wal")
    }

    /// Gives back memory that only speeds up what comes next: for a mailbox that nobody uses at the moment.
    pub fn trim(&mut self) -> Result<(), StoreError> {
        self.content_cache.clear();
        self.memos.clear();
        self.connection.release_memory()?;
        Ok(())
    }

    /// Has the page cache keep what one operation after the other needs, and no more, until it is told otherwise. Costs
    /// nothing where that is so already.
    pub fn keep_few_pages(&mut self, few: bool) -> Result<(), StoreError> {
        if self.keeps_few_pages != few {
            schema::set_page_cache(&self.connection, few)?;
            self.keeps_few_pages = few;
        }
        Ok(())
    }

    pub(crate) fn next_change(&mut self) -> ChangeNumber {
        self.counters.last_change += 1;
        ChangeNumber(self.counters.last_change)
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        let id = self.counters.next_id;
        self.counters.next_id += 1;
        id
    }

    /// What the running transaction has told so far.
    pub(crate) fn pending_events(&self) -> &[Event] {
        &self.events
    }

    /// [`Self::tell`] of one of many messages of a folder; whoever tells them touches its stamp once.
    pub(crate) fn tell_message(&mut self, kind: EventKind, folder: FolderId, message: i64, change: u64) {
        self.events.push(Event {
            folder,
            message: Some(MessageId::from_disk(message)),
            kind,
            change: ChangeNumber(change),
        });
    }

    pub(crate) fn tell(
        &mut self,
        kind: EventKind,
        folder: FolderId,
        message: Option<MessageId>,
        change: ChangeNumber,
    ) {
        self.stamps.touch(folder);
        self.events.push(Event {
            folder,
            message,
            kind,
            change,
        });
    }
}

fn insert_store(connection: &Connection, options: &CreateOptions) -> Result<(), StoreError> {
    // The mapping signature names the store's table of named properties: any GUID of its own will do.
    let mut signature = blake3::hash(&options.guid.0.0).as_bytes()[..16].to_vec();
    signature[7] = signature[7] & 0x0f | 0x40;
    connection.execute(
        "INSERT INTO store (id, next_id, last_change, size, public, guid, mapping_signature, locale, created, properties)
         VALUES (1, ?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, x'')",
        params![
            crate::folder::FIRST_FREE_ID as i64,
            crate::folder::FIRST_CHANGE as i64,
            options.kind == MailboxKind::Public,
            options.guid.0.0,
            signature,
            options.locale,
            FileTime::now().0 as i64
        ],
    )?;
    Ok(())
}

/// Keeps other processes out: the database itself is not locked (see `ringpost_vfs::open_database`).
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .inspect_err(ringpost_vfs::count_descriptor_failure)
        .map_err(|e| StoreError::file(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::NotAllowed("the mailbox is open in another process"))
        }
        Err(TryLockError::Error(e)) => Err(StoreError::file(&path, e)),
    }
}

/// Which pages the mailbox's opening will read: its lock file has what it read last time.
fn hint_in(lock: &File) -> Hint {
    let mut bytes = vec![0; ringpost_vfs::HINT_BYTES];
    match ringpost_vfs::read_at(lock, &mut bytes, 0) {
        Ok(read) => Hint::decode(&bytes[..read]),
        // It opens slower, and that is all.
        Err(_) => Hint::default(),
    }
}

/// Leaves to the next opening what this one read first, if that is news. Not synced; may fail.
fn leave_hint(lock: &File, first_reads: Hint) {
    if first_reads.is_empty() {
        return;
    }
    let known = hint_in(lock);
    if !known.covers(&first_reads) {
        let _ = lock.write_all_at(&first_reads.with_older(&known).encode(), 0);
    }
}

/// Puts a durable copy of a database's WAL in its place.
fn renew_wal(database: &Path) -> Result<(), StoreError> {
    let (path, new) = (with_suffix(database, "-wal"), with_suffix(database, "-wal.new"));
    let wal = match File::open(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(|e| StoreError::file(&path, e))?,
    };
    let copy = || {
        // Not by a call that may share the blocks of the old file.
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o660)
            .open(&new)?;
        let mut buffer = vec![0; COPIED_BYTES];
        let mut at = 0;
        loop {
            let read = ringpost_vfs::read_at(&wal, &mut buffer, at)?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read])?;
            at += read as u64;
            ringpost_vfs::breathe();
        }
        ringpost_vfs::sync_file(&file)?;
        std::fs::rename(&new, &path)?;
        match path.parent() {
            Some(folder) => ringpost_vfs::sync_directory(folder),
            None => Ok(()),
        }
    };
    copy().map_err(|e| StoreError::file(&new, e))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
