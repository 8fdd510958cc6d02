//! What is asked of, or set on, an open connection and the files below it.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use rusqlite::ffi;

use super::{Kept, METHODS, OpenFile, SMALL_BYTES, kept, state};
use crate::{hint::Hint, wal::WalWriter};

/// Has the WAL stay, empty, when the database is closed.
pub(crate) fn keep_wal(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    let mut keep: c_int = 1;
    // SAFETY: the connection is open, "main" is its database, and the operation takes an int.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_PERSIST_WAL,
            (&raw mut keep).cast(),
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

/// Has the connection allocate as it needs: by default each sets 48 KiB or more aside, for ever.
pub(crate) fn set_nothing_aside(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    let nothing: *mut c_void = ptr::null_mut();
    let (size, count): (c_int, c_int) = (0, 0);
    // SAFETY: the connection is open and unused, and the option takes a pointer (null: SQLite's own memory)
    // and two ints.
    let code = unsafe {
        ffi::sqlite3_db_config(
            connection.handle(),
            ffi::SQLITE_DBCONFIG_LOOKASIDE,
            nothing,
            size,
            count,
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

/// One of the connection's counters of memory.
fn status_bytes(connection: &rusqlite::Connection, counter: c_int) -> u64 {
    let (mut used, mut highest): (c_int, c_int) = (0, 0);
    // SAFETY: the connection is open, and the counters are ours.
    let code =
        unsafe { ffi::sqlite3_db_status(connection.handle(), counter, &raw mut used, &raw mut highest, 0) };
    if code == ffi::SQLITE_OK { used as u64 } else { 0 }
}

/// Bytes of the connection's page cache.
pub(crate) fn page_cache_bytes(connection: &rusqlite::Connection) -> u64 {
    status_bytes(connection, ffi::SQLITE_DBSTATUS_CACHE_USED)
}

/// Bytes of the schema that the connection has parsed.
pub(crate) fn schema_bytes(connection: &rusqlite::Connection) -> u64 {
    status_bytes(connection, ffi::SQLITE_DBSTATUS_SCHEMA_USED)
}

/// Bytes of the connection's prepared statements.
pub(crate) fn statement_bytes(connection: &rusqlite::Connection) -> u64 {
    status_bytes(connection, ffi::SQLITE_DBSTATUS_STMT_USED)
}

/// Bytes in use in the connection's WAL; 0 where there is none.
pub(crate) fn wal_bytes(connection: &rusqlite::Connection) -> u64 {
    wal_of(connection).map_or(0, WalWriter::used)
}

/// Whether the name of the connection's WAL was durable for sure when it was opened.
pub(crate) fn is_wal_name_durable(connection: &rusqlite::Connection) -> bool {
    file_of(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER).is_some_and(|wal| wal.name_was_durable)
}

/// What the connection's database read first, if it is not small.
pub(crate) fn first_reads(connection: &rusqlite::Connection) -> Hint {
    let database = file_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER);
    let length = |file: &OpenFile| match file.length.get() {
        Some(length) => length,
        None => file.file.metadata().map_or(0, |metadata| metadata.len()),
    };
    let large = database.filter(|file| length(file) > SMALL_BYTES);
    let first = large.and_then(|file| file.first_reads.as_ref());
    first.map(|first| first.borrow().hint()).unwrap_or_default()
}

/// Whether pages of the connection's database are still to be asked for.
pub(crate) fn has_later(connection: &rusqlite::Connection) -> bool {
    let database = file_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER);
    database.is_some_and(|file| !file.later.borrow().is_empty())
}

/// Asks for them.
pub(crate) fn read_later(connection: &rusqlite::Connection) {
    if let Some(file) = file_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER) {
        file.ask_for_later();
    }
}

/// The writing side of the connection's WAL, if it has one.
pub(super) fn wal_of(connection: &rusqlite::Connection) -> Option<&WalWriter> {
    file_of(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER).and_then(|file| file.wal.as_ref())
}

/// One of the connection's files, if it is open.
pub(super) fn file_of(connection: &rusqlite::Connection, pointer: c_int) -> Option<&OpenFile> {
    // SAFETY: it is our handle and open, and stays so while the connection is borrowed: a WAL is closed with its
    // database, or by a change of the journal mode, which nobody here asks for. Its file is taken away by those only who
    // own the connection.
    handle_of(connection, pointer).and_then(|file| unsafe { state(file) })
}

/// What the handle of the connection's database has besides its file.
pub(crate) fn kept_of(connection: &rusqlite::Connection) -> Option<&Kept> {
    // SAFETY: as in `file_of`.
    handle_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER).map(|file| unsafe { kept(file) })
}

/// The handle of one of the connection's files, open and ours.
pub(super) fn handle_of(connection: &rusqlite::Connection, pointer: c_int) -> Option<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the connection is open, "main" is its database, and the operations named here give a file.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            pointer,
            (&raw mut file).cast(),
        )
    };
    // SAFETY: not null, it is the pager's file, open or with null methods; with our methods it is our handle.
    let ours = !file.is_null() && unsafe { (*file).pMethods } == &raw const METHODS;
    (code == ffi::SQLITE_OK && ours).then_some(file)
}
