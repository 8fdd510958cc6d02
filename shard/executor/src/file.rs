//! Reads and syncs of files by descriptor. The caller keeps the descriptor open until the answer is there, or
//! gets another file's answer.

use std::{ffi::CString, io, os::fd::RawFd};

use crate::{
    core::{self, operate},
    ring::Request,
};

/// `fdatasync`.
pub async fn sync_data(fd: RawFd) -> io::Result<()> {
    operate(Request::SyncData { fd }).await.map(drop)
}

/// `fsync`: for a directory, whose new entries are metadata.
pub async fn sync_all(fd: RawFd) -> io::Result<()> {
    operate(Request::SyncAll { fd }).await.map(drop)
}

/// Looks a path up, so that its folders and its inode are in the kernel's caches when it is opened.
pub async fn look_up(path: CString) -> io::Result<()> {
    operate(Request::LookUp { path }).await.map(drop)
}

/// Asks for bytes of a file to be read into the page cache. Nobody waits for that, and nobody is told if it can't be
/// done.
pub fn read_ahead(fd: RawFd, offset: u64, length: u32) {
    core::read_ahead(fd, offset, length);
}

/// Reads up to `length` bytes at `offset`; none at the end of the file.
pub async fn read_at(fd: RawFd, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let (read, mut memory) = operate(Request::Read { fd, offset, length }).await?;
    memory.truncate(read as usize);
    Ok(memory)
}
