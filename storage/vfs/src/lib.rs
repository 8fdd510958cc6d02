//! SQLite's file access for a server that must not wait: every read, write and sync that could hold the
//! core goes through here.
//!
//! On a coroutine of the runtime, a read of a page that is not in the page cache, and every sync,
//! suspends the coroutine; the core serves others until io_uring has done it. Anywhere else (tools, tests)
//! the same calls block.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// Opens (or with `create`, makes) a database through this file layer.
pub fn open_database(path: &Path, create: bool) -> rusqlite::Result<rusqlite::Connection> {
    let mut flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= rusqlite::OpenFlags::SQLITE_OPEN_CREATE;
    }
    rusqlite::Connection::open_with_flags(path, flags)
}

/// Makes a file's content durable (`fdatasync`).
pub fn sync_file(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Makes the entries of a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads up to `buffer.len()` bytes at `offset`.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Lets others run if this piece of work has held the core for its slice. Call it in long loops, only
/// where nothing is borrowed that another task could touch.
pub fn breathe() {}
