//! SQLite's file access for a server that must not wait: every read, write and sync that could hold the
//! core goes through here.
//!
//! On a coroutine of the runtime, a read of a page that is not in the page cache, and every sync,
//! suspends the coroutine; the core serves others until io_uring has done it. Anywhere else (tools, tests)
//! the same calls block.
//!
//! ```text
//! store (plain synchronous code)          runtime (one task)
//!   SELECT … ─► SQLite ─► xRead
//!                          │ preadv2(RWF_NOWAIT): in the page cache ─► go on, no switch
//!                          └ EAGAIN ─► suspend ─► Step::Wait(Read) ─► io_uring ─► Operation::run(answer)
//! ```
//!
//! What a database that is not in the page cache will be asked for first is asked of the disk at once when it is
//! opened: all of a small one, of others the pages that its last opening left in a [`Hint`].
//!
//! A database that is closed leaves its connection to the next one of the same schema ([`close`], [`reopen`]).
//!
//! A warm read is one system call, as it would be with SQLite's own VFS, or none where a listing reads on (`ahead`). A
//! cold one costs that call, two switches (nanoseconds) and one request to io_uring. [`coroutine`] knows no executor:
//! who runs an [`coroutine::Operation`] does the waiting it asks for.

mod ahead;
pub mod coroutine;
mod hint;
mod pages;
mod spare;
mod sqlite;
#[cfg(test)]
mod testing;
mod wal;

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use coroutine::Wait;
pub use hint::{HINT_BYTES, Hint};
pub use spare::{close, reopen};
pub use sqlite::SMALL_BYTES;

/// Virtual machine instructions of SQLite between two looks at the clock: some tens of microseconds.
const INSTRUCTIONS_BETWEEN_BREATHS: i32 = 1000;

/// Set once, before anything is read: [`block_on_cold_reads`].
static BLOCKING: AtomicBool = AtomicBool::new(false);

/// Files that could not be opened for want of descriptors: SQLite does not tell why.
static DESCRIPTOR_FAILURES: AtomicU64 = AtomicU64::new(0);

/// How often a file could not be opened because there are too many open files.
pub fn descriptor_failures() -> u64 {
    DESCRIPTOR_FAILURES.load(Relaxed)
}

/// Counts an error of opening a file, if it is one for want of descriptors.
pub fn count_descriptor_failure(error: &io::Error) {
    if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
        DESCRIPTOR_FAILURES.fetch_add(1, Relaxed);
    }
}

/// Lets cold reads hold their core, as they would without coroutines. For diagnosis only: to see beside each
/// other what others wait with and without them (`perf/cold_reads.py`).
pub fn block_on_cold_reads() {
    BLOCKING.store(true, Relaxed);
}

/// Has SQLite take memory only as it is needed, for all databases of this process: to be called before any is opened, by
/// whomever. `false`: it was in use already, and each open database takes up to 135 KiB more.
pub fn configure() -> bool {
    sqlite::configure()
}

/// Opens (or with `create`, makes) a database through this file layer.
///
/// Nothing here keeps another connection or process away, so the caller must hold a lock of its own (the store locks the
/// mailbox's folder). A WAL needs no shared memory file then.
pub fn open_database(path: &Path, create: bool) -> rusqlite::Result<rusqlite::Connection> {
    open_database_ahead(path, create, Ahead::default())
}

/// What is known of a database that is about to be opened.
#[derive(Debug, Default)]
pub struct Ahead {
    /// The pages that will be read first.
    pub hint: Hint,
    /// It is not in the page cache for sure. Else that is looked at.
    pub is_cold: bool,
}

/// [`open_database`], with what will be needed of a database that is not in the page cache on its way before it is.
pub fn open_database_ahead(
    path: &Path,
    create: bool,
    ahead: Ahead,
) -> rusqlite::Result<rusqlite::Connection> {
    let name = sqlite::register()?;
    let mut flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= rusqlite::OpenFlags::SQLITE_OPEN_CREATE;
    }
    // SQLite opens the file, and nothing else, before it returns.
    let connection = sqlite::with_ahead(ahead, || {
        rusqlite::Connection::open_with_flags_and_vfs(path, flags, name)
    })?;
    sqlite::set_nothing_aside(&connection)?;
    if !create {
        sqlite::keep_wal(&connection)?;
        // What is kept of a WAL at a close: nothing but its empty file.
        connection.pragma_update(None, "journal_size_limit", 0)?;
    }
    connection.progress_handler(
        INSTRUCTIONS_BETWEEN_BREATHS,
        Some(|| {
            breathe();
            false
        }),
    );
    Ok(connection)
}

/// Bytes in use in the connection's WAL: the file itself may be longer, since it keeps its blocks.
pub fn wal_bytes(connection: &rusqlite::Connection) -> u64 {
    sqlite::wal_bytes(connection)
}

/// Bytes of memory that the connection's page cache takes.
pub fn page_cache_bytes(connection: &rusqlite::Connection) -> u64 {
    sqlite::page_cache_bytes(connection)
}

/// Bytes of memory that the schema takes, as the connection has parsed it. SQLite walks all of it: ask once.
pub fn schema_bytes(connection: &rusqlite::Connection) -> u64 {
    sqlite::schema_bytes(connection)
}

/// Bytes of memory that the connection's prepared statements take. SQLite walks all of them: ask now and then.
pub fn statement_bytes(connection: &rusqlite::Connection) -> u64 {
    sqlite::statement_bytes(connection)
}

/// Makes the empty WAL of a database that is made at `database`, durable but for its name. A database opened
/// without `create` keeps its WAL when it is closed; with one from the start its name is always durable.
pub fn create_wal(database: &Path) -> io::Result<()> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(sqlite::FILE_MODE)
        .open(wal_of(database))?;
    file.write_all_at(&[0; wal::EMPTY_BYTES as usize], 0)?;
    sync_file(&file)
}

/// Whether the name of a database's WAL was durable for sure when it was opened: asked once the database was read.
pub fn is_wal_name_durable(connection: &rusqlite::Connection) -> bool {
    sqlite::is_wal_name_durable(connection)
}

/// What the open database read first, for its next opening. Nothing for a small one: all of it is read ahead.
pub fn first_reads(connection: &rusqlite::Connection) -> Hint {
    sqlite::first_reads(connection)
}

/// Whether [`read_later`] would ask for anything: the database was cold when it was opened, and nothing beyond what an
/// opening needs was read yet.
pub fn has_later(connection: &rusqlite::Connection) -> bool {
    sqlite::has_later(connection)
}

/// Asks the disk for what was read after the opening last time, before it is read again. Waits for nothing.
pub fn read_later(connection: &rusqlite::Connection) {
    sqlite::read_later(connection);
}

/// Asks the disk for the pages of a table's rows at once, those that are not in the page cache. `root` is where the table
/// begins (`rootpage` of `sqlite_schema`), `rows` are row ids, ascending; at most some hundred pages are asked for. For
/// rows that are read next, one after the other.
pub fn read_ahead_rows(connection: &rusqlite::Connection, root: u32, rows: &[i64]) {
    sqlite::leaves::read_ahead_rows(connection, root, rows);
}

/// [`read_ahead_rows`] for rows with long values, and with those, as far as they lie near the rows: at most 1 MiB.
pub fn read_ahead_values(connection: &rusqlite::Connection, root: u32, rows: &[i64]) {
    sqlite::values::read_ahead_values(connection, root, rows);
}

/// Whether the connection's WAL has nothing to write back, and will say so after a power failure too.
pub fn wal_holds_nothing(connection: &rusqlite::Connection) -> bool {
    sqlite::replace::wal_holds_nothing(connection)
}

/// Whether there may be a journal of a database that was not in WAL mode: SQLite has to look at it.
pub(crate) fn journal_may_exist(database: &Path) -> bool {
    let mut name = database.as_os_str().to_owned();
    name.push("-journal");
    !std::fs::symlink_metadata(name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Where a database's WAL is.
pub fn wal_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Makes a file's content durable (`fdatasync`).
pub fn sync_file(file: &File) -> io::Result<()> {
    coroutine::wait(Wait::Sync { fd: file.as_raw_fd() }).unwrap_or_else(|| file.sync_data())
}

/// Makes the entries of a directory durable (`fsync`; `fdatasync` need not write new entries).
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = File::open(path)?;
    coroutine::wait(Wait::SyncDirectory {
        fd: directory.as_raw_fd(),
    })
    .unwrap_or_else(|| directory.sync_all())
}

/// Looks up a file that is about to be opened, without holding the core if the disk must be asked for its folders.
/// Whether it had to be: then the file's content is not in the page cache either. An error where there is no file.
pub fn look_up(path: &Path) -> io::Result<bool> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    if !may_suspend() {
        return std::fs::metadata(path).map(|_| false);
    }
    match open_cached(&name, libc::O_PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Ok(_) => Ok(false),
        // Also where the kernel does not know the question.
        Err(_) => coroutine::wait(Wait::LookUp { path: name })
            .unwrap_or_else(|| std::fs::metadata(path).map(drop))
            .map(|()| true),
    }
}

/// Whether opening this file would not have to ask the disk for its folders or its inode. Never waits; where the kernel
/// can't tell, it is taken to be so.
pub fn is_at_hand(path: &Path) -> bool {
    CString::new(path.as_os_str().as_bytes()).is_ok_and(|name| {
        let opened = open_cached(&name, libc::O_PATH);
        !opened.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    })
}

/// Has the first block of each file read into the page cache, and with it where the file system has the first file's
/// blocks: they wait for the disk beside each other.
pub fn read_first_blocks(files: &[&File]) {
    let Some((first, others)) = files.split_first() else {
        return;
    };
    for file in others {
        read_ahead(file, 0, hint::PAGE_BYTES as u32, false);
    }
    // What can't be read is found out by whoever needs it. By a worker at once: to look into the page cache can mean
    // waiting for the file system, too.
    let mut byte = [0];
    let _ = coroutine::wait_read(first.as_raw_fd(), &mut byte, 0);
    for file in others {
        let _ = read_at(file, &mut byte, 0);
    }
}

/// Opens a file, or fails with `EAGAIN` instead of waiting for the disk (Linux 5.12).
fn open_cached(path: &CString, flags: libc::c_int) -> io::Result<File> {
    /// `struct open_how`: flags, mode, how names are resolved.
    type How = [u64; 3];
    let how: How = [(flags | libc::O_CLOEXEC) as u64, 0, libc::RESOLVE_CACHED];
    // SAFETY: the path ends with a zero, and the structure has the size that is told; both are only read.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            how.as_ptr(),
            size_of::<How>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }.into())
}

/// Asks for bytes of a file to be read into the page cache. `here`: by this thread, which does not wait for them, but
/// might for the file system to say where they are; small files have that with their inode.
fn read_ahead(file: &File, offset: u64, length: u32, here: bool) {
    let fd = file.as_raw_fd();
    if !here && coroutine::wait(Wait::ReadAhead { fd, offset, length }).is_some() {
        return;
    }
    // SAFETY: advice on a descriptor that is open.
    unsafe {
        libc::posix_fadvise(
            fd,
            offset as libc::off_t,
            length.into(),
            libc::POSIX_FADV_WILLNEED,
        )
    };
}

/// Reads up to `buffer.len()` bytes at `offset`; 0 is the end of the file.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    if !may_suspend() {
        return file.read_at(buffer, offset);
    }
    match read_cached(file, buffer, offset) {
        Err(error) if needs_wait(&error) => coroutine::wait_read(file.as_raw_fd(), buffer, offset)
            .unwrap_or_else(|| file.read_at(buffer, offset)),
        result => result,
    }
}

/// Lets others run if this piece of work has held the core for its slice ([`coroutine::SLICE`]). Call it
/// in long loops, only where nothing is borrowed that another task could touch.
pub fn breathe() {
    if coroutine::slice_is_over() {
        let _ = coroutine::wait(Wait::Breathe);
    }
}

/// Whether this code runs where it can be suspended, and is to be.
fn may_suspend() -> bool {
    coroutine::is_running() && !BLOCKING.load(Relaxed)
}

/// Whether the page cache could not answer: `EAGAIN`, or a file system without `RWF_NOWAIT`.
fn needs_wait(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EOPNOTSUPP))
}

/// Reads what the page cache has, and fails with `EAGAIN` instead of waiting for the disk.
fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: the vector names `buffer`, which is borrowed exclusively for the call.
    let read = unsafe {
        libc::preadv2(
            file.as_raw_fd(),
            &raw const vector,
            1,
            offset as libc::off_t,
            libc::RWF_NOWAIT,
        )
    };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(read as usize)
}
