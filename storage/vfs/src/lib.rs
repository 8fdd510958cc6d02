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
//! A warm read is one system call, as it would be with SQLite's own VFS. A cold one costs that call, two
//! switches (nanoseconds) and one request to io_uring. [`coroutine`] knows no executor: who runs an
//! [`coroutine::Operation`] does the waiting it asks for.

pub mod coroutine;
mod sqlite;
mod wal;

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use coroutine::Wait;

/// Virtual machine instructions of SQLite between two looks at the clock: some tens of microseconds.
const INSTRUCTIONS_BETWEEN_BREATHS: i32 = 1000;

/// Set once, before anything is read: [`block_on_cold_reads`].
static BLOCKING: AtomicBool = AtomicBool::new(false);

/// Lets cold reads hold their core, as they would without coroutines. For diagnosis only: to see beside each
/// other what others wait with and without them (`perf/cold_reads.py`).
pub fn block_on_cold_reads() {
    BLOCKING.store(true, Relaxed);
}

/// Opens (or with `create`, makes) a database through this file layer.
///
/// The connection locks by `locking_mode=EXCLUSIVE` only, in this process: nothing here keeps another
/// process away, so the caller must hold a lock of its own (the store locks the mailbox's folder). A WAL
/// needs no shared memory file then.
pub fn open_database(path: &Path, create: bool) -> rusqlite::Result<rusqlite::Connection> {
    let name = sqlite::register()?;
    let mut flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= rusqlite::OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = rusqlite::Connection::open_with_flags_and_vfs(path, flags, name)?;
    // Must come before the first access: afterwards a WAL would want shared memory.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.progress_handler(
        INSTRUCTIONS_BETWEEN_BREATHS,
        Some(|| {
            breathe();
            false
        }),
    );
    Ok(connection)
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

/// Reads up to `buffer.len()` bytes at `offset`; 0 is the end of the file.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    if !coroutine::is_running() || BLOCKING.load(Relaxed) {
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
