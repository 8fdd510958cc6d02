//! Changing the states of many messages: page by page, whole ones without looking at each message where that can be.

use std::ops::{Range, RangeInclusive};

use ringpost_mapi::FolderId;
use rusqlite::params;

use super::{Page, Pages, Whole};
use crate::{Mailbox, StoreError};

/// Pages that are read, changed and written together.
const EDITED_AT_ONCE: u32 = 64;

/// What changes states of pages.
pub(crate) trait Edit {
    /// Changes all states of a page; `None`: they do not all change in the same way, and nothing was done.
    fn whole(&mut self, store: &mut Mailbox, page: &Whole<'_>) -> Result<Option<Edited>, StoreError>;

    /// Changes some states of a page; whether it did.
    fn some(
        &mut self,
        store: &mut Mailbox,
        page: &mut Page,
        places: Range<usize>,
    ) -> Result<bool, StoreError>;
}

/// What became of a whole page.
pub(crate) enum Edited {
    Not,
    /// The page anew, and its highest change.
    To(Vec<u8>, u64),
}

impl Mailbox {
    /// Changes the states of the messages of `ranges` that are in pages. The rows that are asked for must have come into
    /// pages ([`Self::page_through`]).
    pub(crate) fn edit_pages(
        &mut self,
        folder: FolderId,
        ranges: &[RangeInclusive<u32>],
        edit: &mut impl Edit,
    ) -> Result<(), StoreError> {
        let disk = folder.to_disk();
        let mut pages = Pages::default();
        for range in ranges {
            let (first, last) = (*range.start(), *range.end());
            let mut next = Some(Page::of_uid(first));
            while let Some(from) = next.filter(|_| first < last) {
                next = self.edit_run(disk, from, (first, last), &mut pages, edit)?;
            }
            if first == last {
                let open = pages.open(&self.connection, disk, Page::of_uid(first))?;
                let places = open.page.range(first, last);
                open.changed |= edit.some(self, &mut open.page, places)?;
            }
        }
        pages.finish(&self.connection)
    }

    /// Changes the states of a range of UIDs in the next pages from one on; where to go on.
    fn edit_run(
        &mut self,
        folder: i64,
        from: u32,
        (first, last): (u32, u32),
        pages: &mut Pages,
        edit: &mut impl Edit,
    ) -> Result<Option<u32>, StoreError> {
        let found: Vec<(i64, u32, Vec<u8>)> = self
            .connection
            .prepare_cached(
                "SELECT id, page, entries FROM flag_pages WHERE folder = ?1 AND page BETWEEN ?2 AND ?3
                 ORDER BY page LIMIT ?4",
            )?
            .query_map(params![folder, from, Page::of_uid(last), EDITED_AT_ONCE], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let next = found.last().map(|(_, number, _)| number + 1);
        let mut edited = Vec::new();
        for (row, number, entries) in found {
            // The page of the range before may be open, and not be written yet.
            if !pages.has(folder, number) {
                let page = Whole::read(number, &entries)?;
                if page.is_within(first, last)
                    && let Some(done) = edit.whole(self, &page)?
                {
                    if let Edited::To(entries, highest) = done {
                        edited.push((row, entries, highest));
                    }
                    continue;
                }
            }
            let open = pages.open(&self.connection, folder, number)?;
            let places = open.page.range(first, last);
            open.changed |= edit.some(self, &mut open.page, places)?;
        }
        let mut update = self
            .connection
            .prepare_cached("UPDATE flag_pages SET highest = ?2, entries = ?3 WHERE id = ?1")?;
        for (row, entries, highest) in edited {
            update.execute(params![row, highest as i64, entries])?;
            ringpost_vfs::breathe();
        }
        Ok(next)
    }
}
