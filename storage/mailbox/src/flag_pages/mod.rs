//! What changes without a message's content changing: flags, keywords, change numbers.
//!
//! ```text
//! UIDs of a folder:  1 ─────────────── paged ────── uid_next
//!                    in pages of 256   │ in the messages' rows
//! ```
//!
//! A new message's state is in its row: a delivery writes nothing besides. Once there are some hundred such rows, or
//! the state of one of them changes, they are put into pages. A row is 150 bytes among its neighbours, a state in a
//! page 0 to 20 (numbers given out one after the other take nothing): changing the flags of ten thousand messages
//! rewrites some kilobytes, not the pages of all rows and their index entries. A page knows its latest change and is
//! indexed by it: what changed since a state is found in the pages that did, and at the end of the rows, whose
//! changes ascend with their UIDs.
//!
//! Associated and soft-deleted messages keep their state in their rows.

mod page;
#[cfg(test)]
mod tests;
mod whole;

use std::{
    ops::{Range, RangeInclusive},
    time::{Duration, Instant},
};

use ringpost_mapi::{FolderId, Uid};
use rusqlite::{
    Connection, OptionalExtension, Row,
    functions::{Context, FunctionFlags},
    params,
    types::Value as SqlValue,
};

pub(crate) use page::{Column, PAGE_UIDS, Page, State};
pub(crate) use whole::{Rewrite, Whole};

use crate::{
    Mailbox, StoreError,
    folder::Kind,
    message::columns::{MessageBits, message_flags},
    schema,
};

/// What joins the page of each of `messages m`.
pub(crate) const JOIN: &str =
    " LEFT JOIN flag_pages p ON p.folder = m.folder AND p.page = m.uid >> 8 AND m.state = 0";
/// The name of the SQL function that reads a page: `flag_page(entries, uid, column, otherwise)`.
const FUNCTION: &str = "flag_page";

// The columns of `messages m` that a page has, where it is joined.
pub(crate) const FLAGS: &str = "flag_page(p.entries, m.uid, 0, m.flags)";
pub(crate) const KEYWORDS: &str = "flag_page(p.entries, m.uid, 1, m.keywords)";
pub(crate) const CHANGE: &str = "flag_page(p.entries, m.uid, 2, m.change)";
pub(crate) const VERSION: &str = "flag_page(p.entries, m.uid, 3, m.version)";
#[cfg(test)]
pub(crate) const READ_CHANGE: &str = "flag_page(p.entries, m.uid, 4, m.read_change)";
pub(crate) const MODIFIED: &str = "flag_page(p.entries, m.uid, 5, m.modified)";

/// Rows that have not come into pages are at most twice as many as these, unless one step makes more. Few in debug
/// builds, so that tests get there.
const TAIL: u32 = if cfg!(debug_assertions) { 8 } else { PAGE_UIDS };

/// Pages that are asked of the disk together: with fewer, finding out where they are is no gain.
const READ_AHEAD_PAGES: usize = 4;
/// The same of rows, of which a page has some 25.
const READ_AHEAD_ROWS: u32 = 100;
/// UIDs of a folder whose flags are asked for when it is selected: four to sixty-four pages.
const SELECTED_UIDS: Range<u32> = READ_AHEAD_PAGES as u32 * PAGE_UIDS..64 * PAGE_UIDS;
/// After this time they are asked for again where many are changed.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// Pages that are read, changed and written together.
const EDITED_AT_ONCE: u32 = 64;

/// The column of that function that stands for what `PidTagMessageFlags` has of the flags.
const MESSAGE_FLAGS: i64 = 7;

/// The columns of a row that a state is made of, as [`State::of_row`] reads them.
const ROW: &str = "uid, id, flags, keywords, change, version, read_change, modified";

/// Lets a connection read pages in SQL.
pub(crate) fn register_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(FUNCTION, 4, flags, |context| {
        let number: i64 = context.get(2)?;
        if number == MESSAGE_FLAGS {
            let bits = match paged(context, Column::Flags) {
                Some(page::Value::Number(bits)) => bits,
                _ => context.get(3)?,
            };
            let flags = message_flags(MessageBits::from_bits_retain(bits), false);
            return Ok(SqlValue::Integer(i64::from(flags)));
        }
        let column = Column::numbered(number)
            .ok_or_else(|| rusqlite::Error::UserFunctionError("no such column of a flag page".into()))?;
        Ok(match paged(context, column) {
            Some(page::Value::Number(0)) if column == Column::ReadChange => SqlValue::Null,
            Some(page::Value::Number(number)) => SqlValue::Integer(number),
            Some(page::Value::Keywords([])) => SqlValue::Null,
            Some(page::Value::Keywords(set)) => SqlValue::Blob(set.to_owned()),
            None => context.get_raw(3).into(),
        })
    })
}

/// What a page has for the arguments of the SQL function. Of a damaged page nothing: its messages are shown as their
/// rows have them until a repair makes it anew.
fn paged<'a>(context: &'a Context<'_>, column: Column) -> Option<page::Value<'a>> {
    let entries = context.get_raw(0).as_blob_or_null().ok()??;
    let uid = u32::try_from(context.get_raw(1).as_i64().ok()?).ok()?;
    page::value_in(entries, uid, column).ok()?
}

/// A message's state and keywords, out of its page.
pub(crate) type Taken = (State, Option<Vec<u8>>);
/// What is shown states, each with its keywords.
pub(crate) type Visit<'a, T> = dyn FnMut(&State, &[u8]) -> Result<T, StoreError> + 'a;
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

/// A page as the database has it.
pub(crate) struct Stored {
    pub(crate) number: u32,
    pub(crate) highest: u64,
    /// An error where it can't be read.
    pub(crate) page: Result<Page, StoreError>,
}

/// A page that is being worked on.
struct Open {
    folder: i64,
    page: Page,
    /// Whether the database has it.
    stored: bool,
    changed: bool,
}

/// One page at a time of any folder, written when another one is looked at. What changed is lost without
/// [`Self::finish`].
#[derive(Default)]
#[must_use]
pub(crate) struct Pages {
    open: Option<Open>,
}

impl Pages {
    /// The page of a number, empty where there is none.
    fn open(&mut self, connection: &Connection, folder: i64, number: u32) -> Result<&mut Open, StoreError> {
        if !self.has(folder, number) {
            self.write(connection)?;
            let page = load(connection, folder, number)?;
            self.open = Some(Open {
                folder,
                stored: page.is_some(),
                page: page.unwrap_or_else(|| Page::new(number)),
                changed: false,
            });
        }
        self.open.as_mut().ok_or_else(|| StoreError::damaged("flag page"))
    }

    /// Whether it is that page.
    fn has(&self, folder: i64, number: u32) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.folder == folder && open.page.number == number)
    }

    /// A message's state with its page, where it is in one.
    pub(crate) fn get(
        &mut self,
        connection: &Connection,
        folder: FolderId,
        uid: u32,
    ) -> Result<Option<(State, &[u8])>, StoreError> {
        let page = &self.open(connection, folder.to_disk(), Page::of_uid(uid))?.page;
        Ok(page.find(uid).map(|at| {
            let state = page.states[at];
            (state, page.keywords(&state))
        }))
    }

    /// Changes a message's state; whether it is in a page.
    pub(crate) fn edit(
        &mut self,
        connection: &Connection,
        folder: FolderId,
        uid: u32,
        edit: impl FnOnce(&mut State),
    ) -> Result<bool, StoreError> {
        let open = self.open(connection, folder.to_disk(), Page::of_uid(uid))?;
        let Some(at) = open.page.find(uid) else {
            return Ok(false);
        };
        open.changed = true;
        edit(&mut open.page.states[at]);
        Ok(true)
    }

    /// Gives a message other keywords, as its column would have them; whether it is in a page.
    pub(crate) fn set_keywords(
        &mut self,
        connection: &Connection,
        folder: FolderId,
        uid: u32,
        keywords: &[u8],
    ) -> Result<bool, StoreError> {
        let open = self.open(connection, folder.to_disk(), Page::of_uid(uid))?;
        let Some(at) = open.page.find(uid) else {
            return Ok(false);
        };
        open.changed = true;
        open.page.states[at].keywords = open.page.set(keywords);
        Ok(true)
    }

    /// Takes a message's state out of its page, with its keywords; `None` where it is in none.
    pub(crate) fn take(
        &mut self,
        connection: &Connection,
        folder: FolderId,
        uid: u32,
    ) -> Result<Option<Taken>, StoreError> {
        if uid == 0 {
            return Ok(None);
        }
        let open = self.open(connection, folder.to_disk(), Page::of_uid(uid))?;
        let Some(at) = open.page.find(uid) else {
            return Ok(None);
        };
        open.changed = true;
        let state = open.page.states.remove(at);
        let keywords = open.page.keywords(&state).to_owned();
        Ok(Some((state, (!keywords.is_empty()).then_some(keywords))))
    }

    /// Writes what changed.
    pub(crate) fn finish(mut self, connection: &Connection) -> Result<(), StoreError> {
        self.write(connection)
    }

    fn write(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Some(Open {
            folder,
            mut page,
            stored,
            changed: true,
        }) = self.open.take()
        else {
            return Ok(());
        };
        if page.states.is_empty() {
            connection
                .prepare_cached("DELETE FROM flag_pages WHERE folder = ?1 AND page = ?2")?
                .execute(params![folder, page.number])?;
            return Ok(());
        }
        let sql = if stored {
            "UPDATE flag_pages SET highest = ?3, entries = ?4 WHERE folder = ?1 AND page = ?2"
        } else {
            "INSERT INTO flag_pages (folder, page, highest, entries) VALUES (?1, ?2, ?3, ?4)"
        };
        let entries = page.encode();
        connection.prepare_cached(sql)?.execute(params![
            folder,
            page.number,
            page.highest() as i64,
            entries
        ])?;
        ringpost_vfs::breathe();
        Ok(())
    }
}

fn load(connection: &Connection, folder: i64, number: u32) -> Result<Option<Page>, StoreError> {
    connection
        .prepare_cached("SELECT entries FROM flag_pages WHERE folder = ?1 AND page = ?2")?
        .query_row(params![folder, number], |row| {
            Ok(Page::decode(number, row.get_ref(0)?.as_blob()?))
        })
        .optional()?
        .transpose()
}

/// One message's state, with its keywords: the others of its page are not decoded.
fn load_one(connection: &Connection, folder: i64, uid: u32) -> Result<Option<(State, Vec<u8>)>, StoreError> {
    let found = connection
        .prepare_cached("SELECT entries FROM flag_pages WHERE folder = ?1 AND page = ?2")?
        .query_row(params![folder, Page::of_uid(uid)], |row| {
            let one = page::state_in(row.get_ref(0)?.as_blob()?, uid);
            Ok(one.map(|one| one.map(|(state, keywords)| (state, keywords.to_owned()))))
        })
        .optional()?
        .transpose()?;
    Ok(found.flatten())
}

/// All pages of a folder.
pub(crate) fn stored_pages(connection: &Connection, folder: i64) -> Result<Vec<Stored>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT page, highest, entries FROM flag_pages WHERE folder = ?1")?;
    let pages = statement.query_map([folder], |row| {
        let number = row.get(0)?;
        Ok(Stored {
            number,
            highest: row.get::<_, i64>(1)? as u64,
            // What is no blob is no page either.
            page: Page::decode(number, row.get_ref(2)?.as_blob().unwrap_or_default()),
        })
    })?;
    Ok(pages.collect::<Result<_, _>>()?)
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

/// The next page of a folder from `first` to `last`.
fn next(connection: &Connection, folder: i64, first: u32, last: u32) -> Result<Option<u32>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT page FROM flag_pages WHERE folder = ?1 AND page BETWEEN ?2 AND ?3 ORDER BY page LIMIT 1",
        )?
        .query_row(params![folder, first, last], |row| row.get(0))
        .optional()?)
}

impl State {
    /// The state in a row, with its keywords.
    fn of_row<'r>(row: &'r Row<'_>) -> Result<(Self, &'r [u8]), StoreError> {
        let state = Self {
            uid: row.get(0)?,
            id: row.get(1)?,
            bits: MessageBits::from_bits_retain(row.get(2)?),
            keywords: 0,
            change: row.get::<_, i64>(4)? as u64,
            version: row.get::<_, i64>(5)? as u64,
            read_change: row.get::<_, Option<i64>>(6)?.unwrap_or(0) as u64,
            modified: row.get(7)?,
        };
        Ok((state, row.get_ref(3)?.as_blob_or_null()?.unwrap_or_default()))
    }
}

/// Puts the states of all folders' normal messages into pages: the upgrade to schema 3.
pub(crate) fn page_all(connection: &Connection) -> Result<(), StoreError> {
    let folders: Vec<(i64, u32)> = connection
        .prepare("SELECT id, uid_next FROM folders WHERE search = 0")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (folder, uid_next) in folders {
        page_rows(connection, folder, 1, uid_next)?;
    }
    Ok(())
}

/// Puts the states of a folder's rows into pages, those with UIDs from `paged` on and below `end`. Inside a
/// transaction.
pub(crate) fn page_rows(
    connection: &Connection,
    folder: i64,
    paged: u32,
    end: u32,
) -> Result<(), StoreError> {
    let mut pages = Pages::default();
    {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {ROW} FROM messages WHERE folder = ?1 AND uid >= ?2 AND uid < ?3 AND state = 0 ORDER BY uid"
        ))?;
        let mut rows = statement.query(params![folder, paged, end])?;
        while let Some(row) = rows.next()? {
            let (mut state, keywords) = State::of_row(row)?;
            let open = pages.open(connection, folder, Page::of_uid(state.uid))?;
            state.keywords = open.page.set(keywords);
            let at = open.page.states.partition_point(|known| known.uid < state.uid);
            open.page.states.insert(at, state);
            open.changed = true;
        }
    }
    pages.finish(connection)?;
    connection
        .prepare_cached("UPDATE folders SET paged = ?2 WHERE id = ?1")?
        .execute(params![folder, end])?;
    if cfg!(debug_assertions) {
        // Nobody may look at these any more.
        connection
            .prepare_cached(
                "UPDATE messages SET flags = flags & 1792 | 4, keywords = x'00', change = 0, version = 0,
                     read_change = NULL, modified = 0 WHERE folder = ?1 AND uid >= ?2 AND uid < ?3 AND state = 0",
            )?
            .execute(params![folder, paged, end])?;
    }
    Ok(())
}

impl Mailbox {
    /// Puts rows into pages when enough came since the last time. Inside the transaction that made them.
    pub(crate) fn page_tail(
        &mut self,
        folder: FolderId,
        paged: u32,
        uid_next: u32,
    ) -> Result<(), StoreError> {
        if uid_next - paged < 2 * TAIL {
            return Ok(());
        }
        page_rows(
            &self.connection,
            folder.to_disk(),
            paged,
            uid_next - uid_next % TAIL,
        )
    }

    /// Sees to it that this message's state, if it is a normal one's, is in a page.
    pub(crate) fn page_through(&mut self, folder: FolderId, uid: u32) -> Result<(), StoreError> {
        let uids = self.uid_state(folder, Kind::Any)?;
        if uid >= uids.paged && uids.paged < uids.uid_next {
            page_rows(&self.connection, folder.to_disk(), uids.paged, uids.uid_next)?;
        }
        Ok(())
    }

    /// Changes a message's state, wherever it is; its row tells which message has no UID. Inside a transaction.
    pub(crate) fn edit_state(
        &mut self,
        folder: FolderId,
        id: i64,
        uid: Option<Uid>,
        edit: impl FnOnce(&mut State),
    ) -> Result<(), StoreError> {
        if let Some(Uid(uid)) = uid {
            self.page_through(folder, uid)?;
            let mut pages = Pages::default();
            if !pages.edit(&self.connection, folder, uid, edit)? {
                return Err(StoreError::damaged("flag page: a message is missing"));
            }
            return pages.finish(&self.connection);
        }
        let mut state = self
            .connection
            .prepare_cached(&format!("SELECT {ROW} FROM messages WHERE id = ?1"))?
            .query_row([id], |row| Ok(State::of_row(row).map(|(state, _)| state)))??;
        edit(&mut state);
        self.connection
            .prepare_cached(
                "UPDATE messages SET flags = ?2, change = ?3, version = ?4, read_change = ?5, modified = ?6
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                state.bits.bits(),
                state.change as i64,
                state.version as i64,
                (state.read_change > 0).then_some(state.read_change as i64),
                state.modified
            ])?;
        Ok(())
    }

    /// Shows the states of a folder's normal messages in a range of UIDs, by ascending UID, each with its keywords,
    /// until `visit` says false; what it said last.
    pub(crate) fn visit_states(
        &self,
        folder: FolderId,
        first: u32,
        last: u32,
        visit: &mut Visit<'_, bool>,
    ) -> Result<bool, StoreError> {
        let uids = self.uid_state(folder, Kind::Any)?;
        let folder = folder.to_disk();
        let mut from = Page::of_uid(first);
        if first == last && first < uids.paged {
            return Ok(match load_one(&self.connection, folder, first)? {
                Some((state, keywords)) => visit(&state, &keywords)?,
                None => true,
            });
        }
        if first < uids.paged {
            let end = Page::of_uid(last.min(uids.paged - 1));
            while let Some(number) = next(&self.connection, folder, from, end)? {
                if let Some(page) = load(&self.connection, folder, number)? {
                    for state in &page.states[page.range(first, last)] {
                        if !visit(state, page.keywords(state))? {
                            return Ok(false);
                        }
                    }
                }
                ringpost_vfs::breathe();
                from = number + 1;
            }
        }
        if last < uids.paged {
            return Ok(true);
        }
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {ROW} FROM messages WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND state = 0 ORDER BY uid"
        ))?;
        let mut rows = statement.query(params![folder, first.max(uids.paged), last])?;
        while let Some(row) = rows.next()? {
            let (state, keywords) = State::of_row(row)?;
            if !visit(&state, keywords)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Shows the states of a folder's normal messages that changed after `since`, in no order. Costs what changed,
    /// and at most a page around each.
    pub(crate) fn visit_changed_states(
        &self,
        folder: FolderId,
        since: u64,
        visit: &mut Visit<'_, ()>,
    ) -> Result<(), StoreError> {
        let paged = self.uid_state(folder, Kind::Any)?.paged;
        let folder = folder.to_disk();
        {
            let mut statement = self
                .connection
                .prepare_cached("SELECT page, entries FROM flag_pages WHERE folder = ?1 AND highest > ?2")?;
            let mut rows = statement.query(params![folder, since as i64])?;
            while let Some(row) = rows.next()? {
                let page = Page::decode(row.get(0)?, row.get_ref(1)?.as_blob()?)?;
                for state in page.states.iter().filter(|state| state.change > since) {
                    visit(state, page.keywords(state))?;
                }
            }
        }
        // A row whose state changed came into a page: the rows' changes ascend with their UIDs.
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {ROW} FROM messages WHERE folder = ?1 AND uid >= ?2 AND state = 0 ORDER BY uid DESC"
        ))?;
        let mut rows = statement.query(params![folder, paged])?;
        while let Some(row) = rows.next()? {
            let (state, keywords) = State::of_row(row)?;
            if state.change <= since {
                break;
            }
            visit(&state, keywords)?;
        }
        Ok(())
    }

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
