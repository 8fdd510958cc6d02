//! Memory for a WAL's index (SQLite's "shared memory" methods), which one connection alone has.

use std::{
    ffi::{c_int, c_void},
    sync::atomic::{Ordering, compiler_fence},
};

use rusqlite::ffi;

use super::kept;

/// What SQLite asks for at a time (`WALINDEX_PGSZ`).
const INDEX_REGION_BYTES: usize = 32 * 1024;

pub(super) unsafe extern "C" fn map(
    file: *mut ffi::sqlite3_file,
    number: c_int,
    bytes: c_int,
    _: c_int,
    place: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    let mut regions = unsafe { kept(file) }.index.borrow_mut();
    if bytes as usize != INDEX_REGION_BYTES || number < 0 {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    while regions.len() <= number as usize {
        regions.push(vec![0; INDEX_REGION_BYTES / 8].into());
    }
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *place = regions[number as usize].as_mut_ptr().cast() };
    ffi::SQLITE_OK
}

/// There is nobody who could have another lock.
pub(super) unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int, _: c_int, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

pub(super) unsafe extern "C" fn barrier(_: *mut ffi::sqlite3_file) {
    compiler_fence(Ordering::SeqCst);
}

pub(super) unsafe extern "C" fn unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite passes an open file, and forgets the regions.
    unsafe { kept(file) }.index.take();
    ffi::SQLITE_OK
}
