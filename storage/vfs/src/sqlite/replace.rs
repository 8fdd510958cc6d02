//! Other files below an open connection: what [`crate::spare`] leans on.

use std::{io, path::Path, ptr};

use rusqlite::ffi;

use super::{
    OpenFile, VfsFile, close_file, connection::wal_of, file_of, handle_of, kept, open_named, read_ahead,
};
use crate::{
    Ahead,
    wal::{EMPTY_BYTES, WalWriter},
};

/// The header of a WAL that nobody may take for valid: its checksum is wrong. SQLite finds nothing in the file then, as
/// in one of zeros, but takes the count of checkpoints (bytes 12 to 15, zero) out of it. A handle that had another
/// file before would go on with that one's count, and draws new salts for a new header only where it is zero.
pub(super) const UNFIT_HEADER: [u8; 32] = {
    let mut header = [0; 32];
    let fields: [[u8; 4]; 3] = [
        0x377f_0682_u32.to_be_bytes(),
        3_007_000_u32.to_be_bytes(),
        4096_u32.to_be_bytes(),
    ];
    let mut at = 0;
    while at < 12 {
        header[at] = fields[at / 4][at % 4];
        at += 1;
    }
    header
};

/// Whether the connection is in no transaction, not even a reading one.
fn is_at_rest(connection: &rusqlite::Connection) -> bool {
    // SAFETY: the connection is open, and "main" is its database.
    let state = unsafe { ffi::sqlite3_txn_state(connection.handle(), c"main".as_ptr()) };
    state == ffi::SQLITE_TXN_NONE
}

/// Whether the connection's WAL holds nothing, for sure, whatever happens.
pub(crate) fn wal_holds_nothing(connection: &rusqlite::Connection) -> bool {
    wal_of(connection).is_some_and(WalWriter::holds_nothing)
}

/// Statements that the connection has, counted up to `most`.
pub(crate) fn count_statements(connection: &rusqlite::Connection, most: usize) -> usize {
    let mut statement = ptr::null_mut();
    (0..most)
        .take_while(|_| {
            // SAFETY: the connection is open, and the statement null or one of its own.
            statement = unsafe { ffi::sqlite3_next_stmt(connection.handle(), statement) };
            !statement.is_null()
        })
        .count()
}

/// Closes the files of a connection, which keeps what it knows of their schema. It has no page of them afterwards, and
/// its WAL's index says that it is not valid. `false`, and nothing is done, where its files are not as files are that
/// can be given to it.
pub(crate) fn take_files(connection: &mut rusqlite::Connection) -> bool {
    let database = handle_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER);
    let wal = handle_of(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER);
    let (Some(database), Some(wal)) = (database, wal) else {
        return false;
    };
    let is_written =
        file_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER).is_some_and(|file| file.flush().is_ok());
    if !is_written || !is_at_rest(connection) || !wal_holds_nothing(connection) || !clear_cache(connection) {
        return false;
    }
    // SAFETY: both are open, and the connection, which is borrowed exclusively, is not at work.
    let regions = unsafe { &kept(database).index };
    let mut regions = regions.borrow_mut();
    // SQLite knows where each region is that it has asked for: none can go but with the connection.
    if regions.len() > 1 {
        return false;
    }
    for region in regions.iter_mut() {
        region.fill(0);
    }
    for handle in [wal, database] {
        // SAFETY: as above; the box is taken once.
        let state = unsafe { ptr::replace(&raw mut (*handle.cast::<VfsFile>()).state, ptr::null_mut()) };
        if !state.is_null() {
            // SAFETY: not null, it is a box of `open` or `give_files`.
            close_file(&*unsafe { Box::from_raw(state) });
        }
    }
    true
}

/// Has the connection forget all pages.
fn clear_cache(connection: &rusqlite::Connection) -> bool {
    // SAFETY: the connection is open, "main" is its database, and the operation takes nothing.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_RESET_CACHE,
            ptr::null_mut(),
        )
    };
    code == ffi::SQLITE_OK
}

/// A database's two files, opened.
pub(crate) struct Files {
    database: OpenFile,
    wal: OpenFile,
}

impl Files {
    /// Opens a database, if its WAL is one that holds nothing and was closed in order.
    pub(crate) fn open(path: &Path, ahead: &Ahead) -> io::Result<Option<Self>> {
        let wal_path = crate::wal_of(path);
        let (file, flags) = open_named(path, ffi::SQLITE_OPEN_READWRITE)?;
        if flags & ffi::SQLITE_OPEN_READWRITE == 0 {
            return Ok(None);
        }
        let (wal, flags) = open_named(&wal_path, ffi::SQLITE_OPEN_READWRITE)?;
        if flags & ffi::SQLITE_OPEN_READWRITE == 0 {
            return Ok(None);
        }
        let length = file.metadata()?.len();
        if wal.metadata()?.len() != EMPTY_BYTES {
            return Ok(None);
        }
        let later = read_ahead(path, &file, length, ahead);
        let wal = OpenFile::wal(wal, EMPTY_BYTES, None)?;
        if !wal.wal.as_ref().is_some_and(WalWriter::holds_nothing) {
            return Ok(None);
        }
        wal.shows_unfit_header.set(true);
        let database = OpenFile::database(file, length, later);
        database.keeps_wal.set(true);
        Ok(Some(Self { database, wal }))
    }

    /// The first bytes of the database.
    pub(crate) fn read_header(&self, header: &mut [u8]) -> io::Result<usize> {
        crate::read_at(&self.database.file, header, 0)
    }
}

/// Gives files to a connection whose own were taken. `false`: it has some.
pub(crate) fn give_files(connection: &mut rusqlite::Connection, files: Files) -> bool {
    let database = handle_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER);
    let wal = handle_of(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER);
    let (Some(database), Some(wal)) = (database, wal) else {
        return false;
    };
    let (database, wal) = (database.cast::<VfsFile>(), wal.cast::<VfsFile>());
    // SAFETY: both are open, and the connection, which is borrowed exclusively, is not at work.
    unsafe {
        if !(*database).state.is_null() || !(*wal).state.is_null() {
            return false;
        }
        (*database).state = Box::into_raw(Box::new(files.database));
        (*wal).state = Box::into_raw(Box::new(files.wal));
    }
    true
}
