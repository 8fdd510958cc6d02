//! What can be done of opening a mailbox before it is clear that somebody will: while a password is checked, say.

use std::{fs::File, path::Path};

use crate::mailbox::{DATABASE, LOCK};

/// A database up to this length is read whole by its opening, by one request: the file system has where its blocks are in
/// its inode.
const SMALL_BYTES: u64 = ringpost_vfs::SMALL_BYTES;

/// Whether the kernel knows where a mailbox's database is, without asking the disk. Never waits.
pub fn is_at_hand(directory: &Path) -> bool {
    ringpost_vfs::is_at_hand(&directory.join(DATABASE))
}

/// Has the kernel look up the way to a mailbox's files, each folder of which names the next, and where the first blocks
/// of a large one are. Nothing is locked or opened for longer, no page of the database but the first is read; to be run
/// where it can be suspended. Whatever goes wrong is left to the opening.
pub fn look_up(directory: &Path) {
    let path = directory.join(DATABASE);
    let is_large = || std::fs::metadata(&path).is_ok_and(|found| found.len() > SMALL_BYTES);
    if ringpost_vfs::look_up(&path).is_err() || !is_large() {
        return;
    }
    let files = [path.clone(), directory.join(LOCK), ringpost_vfs::wal_of(&path)];
    let files: Vec<File> = files.iter().filter_map(|path| File::open(path).ok()).collect();
    let files: Vec<&File> = files.iter().collect();
    ringpost_vfs::read_first_blocks(&files);
}
