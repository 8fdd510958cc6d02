//! Asking for rows with all of their values, where these are long: SQLite keeps what does not fit into a row's page on pages
//! of its own, which lie behind it if the rows were written one after the other.
//!
//! What is read here decides only what is read ahead, and may be older than what a WAL has.

use std::{fs::File, io, mem::MaybeUninit, os::fd::AsRawFd};

use rusqlite::ffi;

use super::{
    file_of,
    leaves::{MAX_LEVELS, below, offset_of},
};
use crate::hint::PAGE_BYTES;

/// Pages between two leaves that are taken for their values.
const VALUE_PAGES: u32 = 32;
/// Pages behind the last leaf that are.
const LAST_VALUE_PAGES: u32 = 16;
/// Pages that are asked for at once, at most.
const MAX_PAGES: u32 = 256;
/// Requests for them, at most.
const MAX_REQUESTS: usize = 8;
/// The system call's number, the same on all processors that we know (Linux 6.5; not yet in `libc`).
const SYS_CACHESTAT: libc::c_long = 451;

/// See [`crate::read_ahead_values`].
pub(crate) fn read_ahead_values(connection: &rusqlite::Connection, root: u32, rows: &[i64]) {
    if !crate::may_suspend() || rows.is_empty() {
        return;
    }
    let Some(database) = file_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER) else {
        return;
    };
    let file = &database.file;
    // They are read all the same, and it is said then what is wrong.
    for (first, count) in pages_of(file, root, rows).unwrap_or_default() {
        let (offset, length) = (offset_of(first), u64::from(count) * PAGE_BYTES);
        if is_cached(file, offset, length) != Some(true) {
            crate::read_ahead(file, offset, length as u32, false);
        }
    }
}

/// Where the rows are with their values: first pages, and how many.
fn pages_of(file: &File, root: u32, rows: &[i64]) -> io::Result<Vec<(u32, u32)>> {
    let mut level = vec![(root, rows)];
    for _ in 0..MAX_LEVELS {
        // The pages above the leaves have mostly been read. To wait here for a leaf would be to read it too early.
        let is_known = |&(first, _): &(u32, _)| {
            first == root || is_cached(file, offset_of(first), PAGE_BYTES) != Some(false)
        };
        if !level.first().is_some_and(is_known) {
            break;
        }
        match below(file, &level)? {
            Some(next) => level = next,
            None => break,
        }
    }
    let mut leaves: Vec<u32> = level.into_iter().map(|(leaf, _)| leaf).collect();
    leaves.sort_unstable();
    Ok(spans(&leaves))
}

/// Pages of leaves, which ascend, with what lies between and behind them.
fn spans(leaves: &[u32]) -> Vec<(u32, u32)> {
    let mut left = MAX_PAGES;
    leaves
        .chunk_by(|one, next| next - one <= VALUE_PAGES)
        .take(MAX_REQUESTS)
        .filter_map(|near| {
            let (first, last) = (*near.first()?, *near.last()?);
            let count = (last - first).saturating_add(1 + LAST_VALUE_PAGES).min(left);
            left -= count;
            (count > 0).then_some((first, count))
        })
        .collect()
}

/// Whether all of these bytes are in the page cache, or behind the file's end. Asking does not bring them there, as an
/// attempt to read them does. `None` where the kernel can't say, or a filter of system calls keeps it from saying.
fn is_cached(file: &File, offset: u64, length: u64) -> Option<bool> {
    /// `struct cachestat`: pages that are there, dirty, under way to the disk, evicted, evicted lately.
    type Counted = [u64; 5];
    let end = file.metadata().ok()?.len().min(offset.saturating_add(length));
    if offset >= end {
        return Some(true);
    }
    let range = [offset, end - offset];
    let mut counted = MaybeUninit::<Counted>::zeroed();
    // SAFETY: the kernel reads the range (`struct cachestat_range`: offset and length) and writes the counters.
    let counted = unsafe {
        let result = libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            counted.as_mut_ptr(),
            0,
        );
        if result < 0 {
            return None;
        }
        counted.assume_init()
    };
    Some(counted[0] >= (end - offset).div_ceil(PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_in_the_page_cache_is_known() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 5000], 0).unwrap();
        for (offset, length) in [(0, 5000), (4096, 904), (0, 1 << 20), (5000, 10), (1 << 30, 1)] {
            // Linux before 6.5 does not say.
            assert_ne!(
                is_cached(&file, offset, length),
                Some(false),
                "{offset}, {length}"
            );
        }
        file.set_len(1 << 20).unwrap();
        assert_ne!(is_cached(&file, 0, 1 << 20), Some(true));
    }

    #[test]
    fn what_lies_between_leaves_is_read_with_them() {
        assert_eq!(spans(&[]), []);
        assert_eq!(spans(&[7]), [(7, 17)]);
        assert_eq!(
            spans(&[10, 19, 28, 100, 132, 200]),
            [(10, 35), (100, 49), (200, 17)]
        );
        // But not more than is bearable.
        let leaves: Vec<u32> = (0..100).map(|n| 5 + n * 9).collect();
        assert_eq!(spans(&leaves), [(5, MAX_PAGES)]);
        let scattered: Vec<u32> = (0..100).map(|n| n * 1000).collect();
        assert_eq!(spans(&scattered).len(), MAX_REQUESTS);
        assert_eq!(spans(&[0, u32::MAX]), [(0, 17), (u32::MAX, 17)]);
    }
}
