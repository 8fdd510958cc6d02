//! Asking for the pages of many rows at once: by SQLite they would be read one after the other, each with a wait of its
//! own where they are cold.
//!
//! What is read here decides only what is read ahead, and may be older than what a WAL has.

use std::{fs::File, io};

use rusqlite::ffi;

use super::file_of;
use crate::hint::{PAGE_BYTES, ranges};

/// Pages of a level of a table's tree, each with the rows that are looked for below it.
pub(super) type Level<'a> = Vec<(u32, &'a [i64])>;

/// Levels of a table's tree above its leaves, at most: of more, nothing is read ahead.
pub(super) const MAX_LEVELS: usize = 4;
/// Pages that are asked for at once.
const MAX_PAGES: usize = 256;
/// The first byte of a page in a table's tree that is no leaf (SQLite's file format §1.6).
const INTERIOR: u8 = 5;
/// Bytes of such a page before the offsets of its cells.
const INTERIOR_HEADER: usize = 12;

/// See [`crate::read_ahead_rows`].
pub(crate) fn read_ahead_rows(connection: &rusqlite::Connection, root: u32, rows: &[i64]) {
    if !crate::may_suspend() || rows.is_empty() {
        return;
    }
    if let Some(database) = file_of(connection, ffi::SQLITE_FCNTL_FILE_POINTER) {
        // It is read all the same, and says then what is wrong.
        let _ = read_ahead(&database.file, root, rows);
    }
}

fn read_ahead(file: &File, root: u32, rows: &[i64]) -> io::Result<()> {
    let mut level = vec![(root, rows)];
    for _ in 0..MAX_LEVELS {
        ask_for(file, &level);
        match below(file, &level)? {
            Some(next) => level = next,
            None => break,
        }
    }
    Ok(())
}

/// The pages below those of a level of the tree, each with the rows below it; nothing where they are leaves.
pub(super) fn below<'a>(file: &File, level: &[(u32, &'a [i64])]) -> io::Result<Option<Level<'a>>> {
    let mut below = Vec::new();
    for &(number, mut rows) in level {
        let mut page = [0; PAGE_BYTES as usize];
        let read = crate::read_at(file, &mut page, offset_of(number))?;
        if read < page.len() || page[0] != INTERIOR {
            return Ok(None);
        }
        for (child, last) in children(&page) {
            let count = last.map_or(rows.len(), |last| rows.partition_point(|row| *row <= last));
            let (here, behind) = rows.split_at(count);
            rows = behind;
            if !here.is_empty() && below.len() < MAX_PAGES {
                below.push((child, here));
            }
        }
    }
    Ok(Some(below))
}

/// Asks for those pages that are not in the page cache.
fn ask_for(file: &File, pages: &[(u32, &[i64])]) {
    let is_cold = |number: u32| {
        crate::read_cached(file, &mut [0; 1], offset_of(number)).is_err_and(|error| crate::needs_wait(&error))
    };
    let cold = pages.iter().map(|(number, _)| *number);
    let mut cold: Vec<u32> = cold
        .filter(|&number| number > 0 && is_cold(number))
        .map(|number| number - 1)
        .collect();
    cold.sort_unstable();
    cold.dedup();
    super::ask_for(file, &ranges(&cold));
}

/// Where a page begins; they are counted from 1.
pub(super) fn offset_of(page: u32) -> u64 {
    u64::from(page.saturating_sub(1)) * PAGE_BYTES
}

/// The pages below one, each with the last row that may be in it; the last page has no such.
fn children(page: &[u8]) -> Vec<(u32, Option<i64>)> {
    let number = |at: usize, bytes: usize| {
        let bytes = page.get(at..at + bytes)?;
        Some(
            bytes
                .iter()
                .fold(0_u32, |number, byte| number << 8 | u32::from(*byte)),
        )
    };
    let count = number(3, 2).unwrap_or(0) as usize;
    let mut children: Vec<_> = (0..count)
        .filter_map(|cell| {
            let at = number(INTERIOR_HEADER + cell * 2, 2)? as usize;
            Some((number(at, 4)?, Some(varint(page.get(at + 4..)?)?)))
        })
        .collect();
    children.extend(number(8, 4).map(|last| (last, None)));
    children
}

/// SQLite's: seven bits a byte, the highest first; a ninth byte has eight.
fn varint(bytes: &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for byte in bytes.get(..8.min(bytes.len()))? {
        value = value << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Some(value as i64);
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_sqlite_writes_them() {
        for (bytes, value) in [
            (&[0x7f][..], Some(127)),
            (&[0x81, 0x00], Some(128)),
            (&[0xff; 9], Some(-1)),
            (&[0x80; 8], None),
            (&[0x81], None),
            (&[], None),
        ] {
            assert_eq!(varint(bytes), value, "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_no_page_has_no_children_beyond_it() {
        let mut page = [0xff; PAGE_BYTES as usize];
        page[0] = INTERIOR;
        // Cells that lie behind the page's end.
        assert_eq!(children(&page), [(u32::MAX, None)]);
        assert!(children(&[]).is_empty());
    }
}
