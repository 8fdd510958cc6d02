//! Reading a database ahead: a listing reads page after page, most of them near each other in the file, since they were
//! written one after the other. Once some reads in a row were near, a window of the file is read by one system call,
//! and pages are taken from it.
//!
//! A listing that goes on after a while begins at the trees' roots again, which a small page cache has lost by then. So
//! pages elsewhere that it read meanwhile are kept with the window.
//!
//! A core has one window for all its databases: what it holds is in the kernel's page cache, so to lose it costs a
//! system call.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs::File,
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Bytes of a window. More is a longer copy for pages that may not be asked for.
const WINDOW: usize = 64 * 1024;
/// Bytes of it before the page that was asked for: two trees are read in turn, and what comes next may lie before.
const BEHIND: u64 = 8 * 1024;
/// Reads in a row, each less than a window from the one before, that begin it.
const NEAR_READS: i32 = 8;
/// Reads in a row that may lie elsewhere and change nothing: now and then a listing goes to the next leaf of another
/// tree, or of an index.
const STRAYS: i32 = 2;
/// The same once there is a window: it may also find its place again from the roots.
const STRAYS_OF_A_LISTING: i32 = 8;
/// Of these so many are kept, the last: what two or three trees have above their leaves.
const STRAYS_KEPT: usize = 8;
/// One that is larger is not.
const STRAY_BYTES: usize = 4096;
/// Reads that pass by before it begins again, where less than a quarter of a window was asked for.
const PAUSE: i32 = 64;

/// Windows' owners, so that another file at the same address is none.
static OWNERS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static AHEAD: RefCell<Window> = const { RefCell::new(Window::none()) };
}

/// What was read of one file.
struct Window {
    owner: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Bytes of it that were asked for.
    used: usize,
    /// Pages elsewhere in the same file, by their offsets, the last read at the end.
    strays: VecDeque<(u64, Vec<u8>)>,
}

impl Window {
    const fn none() -> Self {
        Self {
            owner: 0,
            start: 0,
            bytes: Vec::new(),
            used: 0,
            strays: VecDeque::new(),
        }
    }

    /// Fills `buffer` where all of it is in the window.
    fn fill(&mut self, owner: u64, buffer: &mut [u8], offset: u64) -> bool {
        if self.owner != owner {
            return false;
        }
        let Some(start) = offset.checked_sub(self.start) else {
            return false;
        };
        let found = usize::try_from(start)
            .ok()
            .and_then(|start| self.bytes.get(start..)?.get(..buffer.len()));
        found.is_some_and(|found| {
            buffer.copy_from_slice(found);
            self.used += found.len();
            true
        })
    }

    /// The same where it is a page that was kept.
    fn fill_stray(&self, owner: u64, buffer: &mut [u8], offset: u64) -> bool {
        if self.owner != owner {
            return false;
        }
        let kept = self.strays.iter().find(|(kept, _)| *kept == offset);
        let found = kept.and_then(|(_, page)| page.get(..buffer.len()));
        found.is_some_and(|found| {
            buffer.copy_from_slice(found);
            true
        })
    }

    fn keep_stray(&mut self, owner: u64, page: &[u8], offset: u64) {
        if self.owner != owner || page.len() > STRAY_BYTES {
            return;
        }
        self.strays.retain(|(kept, _)| *kept != offset);
        let mut memory = if self.strays.len() < STRAYS_KEPT {
            Vec::new()
        } else {
            self.strays.pop_front().unwrap_or_default().1
        };
        memory.clear();
        memory.extend_from_slice(page);
        self.strays.push_back((offset, memory));
    }

    /// Forgets what is in it.
    fn clear(&mut self) {
        self.owner = 0;
        self.strays.clear();
    }
}

/// What is known of how a file is read.
pub(crate) struct Reading {
    owner: u64,
    last: Cell<u64>,
    /// Reads since that were elsewhere.
    strays: Cell<i32>,
    /// Reads in a row that were near each other; below zero: so many to wait.
    near: Cell<i32>,
}

impl Reading {
    pub(crate) fn new() -> Self {
        Self {
            owner: OWNERS.fetch_add(1, Relaxed),
            last: Cell::new(0),
            strays: Cell::new(0),
            near: Cell::new(0),
        }
    }

    /// Forgets what was read ahead: the file changes.
    pub(crate) fn changed(&self) {
        AHEAD.with_borrow_mut(|window| {
            if window.owner == self.owner {
                window.clear();
            }
        });
    }

    /// As [`crate::read_at`].
    pub(crate) fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if buffer.len() > WINDOW / 4 {
            return crate::read_at(file, buffer, offset);
        }
        if AHEAD.with_borrow_mut(|window| window.fill(self.owner, buffer, offset)) {
            self.last.set(offset);
            self.strays.set(0);
            return Ok(buffer.len());
        }
        let is_near = offset.abs_diff(self.last.get()) < WINDOW as u64;
        let strays = match self.near.get() {
            ..=0 => 0,
            NEAR_READS => STRAYS_OF_A_LISTING,
            _ => STRAYS,
        };
        if !is_near && self.strays.get() < strays {
            if AHEAD.with_borrow(|window| window.fill_stray(self.owner, buffer, offset)) {
                return Ok(buffer.len());
            }
            self.strays.set(self.strays.get() + 1);
            let read = crate::read_at(file, buffer, offset)?;
            if let Some(page) = buffer.get(..read) {
                AHEAD.with_borrow_mut(|window| window.keep_stray(self.owner, page, offset));
            }
            return Ok(read);
        }
        self.strays.set(0);
        self.last.set(offset);
        let near = match self.near.get() {
            near @ ..0 => near + 1,
            near if is_near => (near + 1).min(NEAR_READS),
            _ => 0,
        };
        self.near.set(near);
        if near < NEAR_READS {
            return crate::read_at(file, buffer, offset);
        }
        // Taken out while others may run: a cold read suspends.
        let mut window = AHEAD.replace(Window::none());
        if window.owner == self.owner && window.used * 4 < window.bytes.len() {
            self.near.set(-PAUSE);
        }
        if window.owner == self.owner {
            window.owner = 0;
        } else {
            window.clear();
        }
        window.bytes.resize(WINDOW, 0);
        let start = offset.saturating_sub(BEHIND);
        let read = crate::read_at(file, &mut window.bytes, start);
        if let Ok(read) = read {
            window.bytes.truncate(read);
            (window.owner, window.start, window.used) = (self.owner, start, 0);
        }
        let filled = window.fill(self.owner, buffer, offset);
        AHEAD.set(window);
        match read {
            // Near the file's end, or where the page cache has less.
            Ok(_) if !filled => crate::read_at(file, buffer, offset),
            Ok(_) => Ok(buffer.len()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.changed();
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::FileExt};

    use super::*;

    const PAGE: usize = 4096;

    fn file(pages: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for page in 0..pages {
            file.write_all(&[page as u8; PAGE]).unwrap();
        }
        file
    }

    fn page(reading: &Reading, file: &File, number: usize) -> u8 {
        let mut buffer = [255; PAGE];
        let read = reading
            .read_at(file, &mut buffer, (number * PAGE) as u64)
            .unwrap();
        assert_eq!(read, PAGE);
        assert!(buffer.iter().all(|byte| *byte == buffer[0]));
        buffer[0]
    }

    fn is_held(reading: &Reading) -> bool {
        AHEAD.with_borrow(|window| window.owner == reading.owner)
    }

    #[test]
    fn what_is_near_is_read_together() {
        let file = file(200);
        let reading = Reading::new();
        for number in (0..200).step_by(3) {
            assert_eq!(page(&reading, &file, number), number as u8);
            assert_eq!(is_held(&reading), number >= 21, "{number}");
            // Back and forth within the window.
            if number > 60 {
                page(&reading, &file, number - 1);
            }
        }
        // The end of the file is found as it is.
        let mut buffer = [1; PAGE];
        assert_eq!(reading.read_at(&file, &mut buffer, 200 * PAGE as u64).unwrap(), 0);
        assert_eq!(page(&reading, &file, 199), 199);
        drop(reading);
        assert!(AHEAD.with_borrow(|window| window.owner == 0));
    }

    #[test]
    fn what_is_far_is_not() {
        let file = file(200);
        let reading = Reading::new();
        for number in (0..10).flat_map(|n| [n, n + 100, n + 50, n + 150]) {
            assert_eq!(page(&reading, &file, number), number as u8);
            assert!(!is_held(&reading));
        }
    }

    #[test]
    fn a_page_elsewhere_now_and_then_changes_nothing() {
        let file = file(250);
        let reading = Reading::new();
        for number in 0..100 {
            assert_eq!(page(&reading, &file, number), number as u8);
            if number % 10 == 4 {
                page(&reading, &file, 240);
                page(&reading, &file, 200 + number / 10);
            }
            assert_eq!(is_held(&reading), number >= 7, "{number}");
        }
    }

    #[test]
    fn roots_are_kept_for_a_listing_that_goes_on() {
        let file = file(250);
        let reading = Reading::new();
        let roots = [200, 230, 245, 120];
        for number in 0..60 {
            assert_eq!(page(&reading, &file, number), number as u8);
            if number > 8 && number % 20 == 9 {
                assert!(
                    roots
                        .iter()
                        .all(|root| page(&reading, &file, *root) == *root as u8)
                );
                // Behind its back, to see where they come from next time.
                for root in roots {
                    file.write_all_at(&[root as u8; PAGE], (root * PAGE) as u64)
                        .unwrap();
                    file.write_all_at(&[7], (root * PAGE) as u64).unwrap();
                }
            }
            assert_eq!(is_held(&reading), number >= 7, "{number}");
        }
        // Of another file nothing is kept.
        let other = Reading::new();
        for number in 0..10 {
            page(&other, &file, number);
        }
        let mut buffer = [0; PAGE];
        other.read_at(&file, &mut buffer, 230 * PAGE as u64).unwrap();
        assert_eq!(buffer[..2], [7, 230]);
        // And nothing of what was changed.
        file.write_all_at(&[5], 230 * PAGE as u64).unwrap();
        other.changed();
        other.read_at(&file, &mut buffer, 230 * PAGE as u64).unwrap();
        assert_eq!(buffer[..2], [5, 230]);
    }

    #[test]
    fn a_change_is_seen() {
        let file = file(40);
        let reading = Reading::new();
        for number in 0..10 {
            page(&reading, &file, number);
        }
        assert!(is_held(&reading));
        file.write_all_at(&[77; PAGE], 12 * PAGE as u64).unwrap();
        reading.changed();
        assert_eq!(page(&reading, &file, 12), 77);
    }

    #[test]
    fn what_helps_nobody_pauses() {
        let file = file(250);
        let reading = Reading::new();
        for number in 0..8 {
            page(&reading, &file, number);
        }
        // Each beyond the window of the one before.
        for number in [22, 37] {
            page(&reading, &file, number);
        }
        assert!(reading.near.get() < NEAR_READS);
    }
}
