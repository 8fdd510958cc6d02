//! Reads and syncs of files by descriptor. The caller keeps the descriptor open until the answer is there, or
//! gets another file's answer.

use std::{io, os::fd::RawFd};

use crate::{core::operate, ring::Request};

/// `fdatasync`.
pub async fn sync_data(fd: RawFd) -> io::Result<()> {
    operate(Request::SyncData { fd }).await.map(drop)
}

/// `fsync`: for a directory, whose new entries are metadata.
pub async fn sync_all(fd: RawFd) -> io::Result<()> {
    operate(Request::SyncAll { fd }).await.map(drop)
}

/// Reads up to `length` bytes at `offset`; none at the end of the file.
pub async fn read_at(fd: RawFd, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let (read, mut memory) = operate(Request::Read { fd, offset, length }).await?;
    memory.truncate(read as usize);
    Ok(memory)
}
