//! Asking the disk for flags before they are read one after the other.

use std::{
    ops::{Range, RangeInclusive},
    time::{Duration, Instant},
};

use ringpost_mapi::FolderId;
use rusqlite::{Connection, params};

use super::{PAGE_UIDS, Page};
use crate::{Mailbox, StoreError, folder::Kind, schema};

/// Pages that are asked of the disk together: with fewer, finding out where they are is no gain.
const READ_AHEAD_PAGES: usize = 4;
/// The same of rows, of which a page has some 25.
const READ_AHEAD_ROWS: u32 = 100;
/// UIDs of a folder whose flags are asked for when it is selected: four to sixty-four pages.
pub(super) const SELECTED_UIDS: Range<u32> = READ_AHEAD_PAGES as u32 * PAGE_UIDS..64 * PAGE_UIDS;
/// After this time they are asked for again where many are changed.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

impl Mailbox {
    /// Asks the disk for the flags of a folder that somebody begins to work with, and waits for none: they are what is
    /// looked at or changed next as a rule. Costs nothing when they were asked for last since the mailbox was opened, and
    /// of a folder that has few messages, or so many that this would take its time.
    pub fn read_flags_ahead(&mut self, folder: FolderId) -> Result<(), StoreError> {
        if self.flags_ahead.is_some_and(|(last, _)| last == folder) {
            return Ok(());
        }
        let uid_next = self.uid_state(folder, Kind::Any)?.uid_next;
        if SELECTED_UIDS.contains(&uid_next) {
            self.read_pages_ahead(folder, &[1..=uid_next - 1])?;
            self.flags_ahead = Some((folder, Instant::now()));
        }
        Ok(())
    }

    /// Asks the disk for the pages, and for rows that will have to come into pages, at once: before
    /// [`Self::page_through`] and [`Self::edit_pages`] read them one after the other.
    pub(crate) fn read_pages_ahead(
        &mut self,
        folder: FolderId,
        ranges: &[RangeInclusive<u32>],
    ) -> Result<(), StoreError> {
        let just_asked = |(last, when): (FolderId, Instant)| last == folder && when.elapsed() < ASKED_AGAIN;
        if self.flags_ahead.is_some_and(just_asked) {
            return Ok(());
        }
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Ok(());
        };
        let (first, last) = (*first.start(), *last.end());
        let disk = folder.to_disk();
        if (Page::of_uid(last) - Page::of_uid(first)) as usize >= READ_AHEAD_PAGES {
            let wanted = |number: u32| {
                let at = ranges.partition_point(|range| Page::of_uid(*range.end()) < number);
                ranges
                    .get(at)
                    .is_some_and(|range| Page::of_uid(*range.start()) <= number)
            };
            let pages = numbers(&self.connection, disk, Page::of_uid(first), Page::of_uid(last))?;
            let rows: Vec<_> = pages
                .iter()
                .filter(|(number, _)| wanted(*number))
                .map(|(_, row)| *row)
                .collect();
            if rows.len() >= READ_AHEAD_PAGES {
                read_ahead(&self.connection, "flag_pages", rows)?;
            }
        }
        let uids = self.uid_state(folder, Kind::Any)?;
        if last >= uids.paged && uids.uid_next - uids.paged >= READ_AHEAD_ROWS {
            let rows = self
                .connection
                .prepare_cached("SELECT id FROM messages WHERE folder = ?1 AND uid >= ?2 AND state = 0")?
                .query_map(params![disk, uids.paged], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            read_ahead(&self.connection, "messages", rows)?;
        }
        Ok(())
    }
}

/// The numbers of a folder's pages from `first` to `last`, each with its row.
fn numbers(
    connection: &Connection,
    folder: i64,
    first: u32,
    last: u32,
) -> Result<Vec<(u32, i64)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT page, id FROM flag_pages WHERE folder = ?1 AND page BETWEEN ?2 AND ?3 ORDER BY page",
    )?;
    let numbers = statement.query_map(params![folder, first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// Asks the disk for the pages of many rows of a table at once.
fn read_ahead(connection: &Connection, table: &str, mut rows: Vec<i64>) -> Result<(), StoreError> {
    rows.sort_unstable();
    ringpost_vfs::read_ahead_rows(connection, schema::root_page(connection, table)?, &rows);
    Ok(())
}
