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

mod ahead;
mod many;
mod page;
#[cfg(test)]
mod tests;
mod whole;

use ringpost_mapi::{FolderId, Uid};
use rusqlite::{
    Connection, OptionalExtension, Row,
    functions::{Context, FunctionFlags},
    params,
    types::Value as SqlValue,
};

pub(crate) use many::{Edit, Edited};
pub(crate) use page::{Column, PAGE_UIDS, Page, State};
pub(crate) use whole::{Rewrite, Whole};

use crate::{
    Mailbox, StoreError,
    folder::Kind,
    message::columns::{MessageBits, message_flags},
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
}
