//! Reads and syncs of files by descriptor. The caller keeps the descriptor open until the answer is there, or
//! gets another file's answer.

use std::{ffi::CString, io, ops::Range, os::fd::RawFd, sync::Arc};

use crate::{
    core::{self, operate},
    ring::Request,
};

/// What a file that is open with `O_DIRECT` can be asked for: places, lengths and memory are multiples of this.
pub const BLOCK_BYTES: usize = 4096;

/// How often blocks are written that are never written whole.
const WRITE_TRIES: u32 = 16;

/// What zeros are written from.
#[repr(align(4096))]
pub(crate) struct Zeros(pub(crate) [u8; 16 * BLOCK_BYTES]);

pub(crate) static ZEROS: Zeros = Zeros([0; 16 * BLOCK_BYTES]);

/// Blocks to be written into a file that may be open with `O_DIRECT`.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// Memory that has them.
    pub bytes: Arc<Vec<u8>>,
    /// Where they are in it: this must be in `bytes`.
    pub range: Range<usize>,
    /// Bytes of zeros to write behind them.
    pub zeros: usize,
    /// Where in the file.
    pub offset: u64,
}

impl Blocks {
    /// Bytes in all.
    pub(crate) fn length(&self) -> usize {
        self.range.len() + self.zeros
    }

    /// What is left when whole blocks of so many bytes were written.
    pub(crate) fn behind(&self, written: usize) -> Self {
        let written = written / BLOCK_BYTES * BLOCK_BYTES;
        let of_bytes = written.min(self.range.len());
        Self {
            bytes: Arc::clone(&self.bytes),
            range: self.range.start + of_bytes..self.range.end,
            zeros: self.zeros - (written - of_bytes),
            offset: self.offset + written as u64,
        }
    }
}

/// Writes blocks, and then `fdatasync`: both by one request. Goes on to its end when the caller does not.
pub async fn write_and_sync(fd: RawFd, blocks: Blocks) -> io::Result<()> {
    let whole = blocks.clone();
    match operate(Request::WriteAndSync { fd, blocks }).await {
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {}
        done => return done.map(drop),
    }
    // The sync was not begun, since the disk took a part only, or nothing. Which it was is seen by asking again.
    let mut left = whole;
    for _ in 0..WRITE_TRIES {
        let blocks = left.clone();
        let (written, _) = operate(Request::Write { fd, blocks }).await?;
        if written as usize >= left.length() {
            return sync_data(fd).await;
        }
        left = left.behind(written as usize);
    }
    Err(io::ErrorKind::WriteZero.into())
}

/// Reads up to `length` bytes at `offset` into `memory` from its byte `skip` on: how many, and the memory.
pub async fn read_into(
    fd: RawFd,
    offset: u64,
    memory: Vec<u8>,
    skip: usize,
    length: usize,
) -> io::Result<(usize, Vec<u8>)> {
    let request = Request::ReadInto {
        fd,
        offset,
        memory,
        skip,
        length,
    };
    let (read, memory) = operate(request).await?;
    Ok((read as usize, memory))
}

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
