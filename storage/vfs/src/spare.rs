//! Connections of databases that were closed, kept for the next ones of the same schema.
//!
//! To open a database costs SQLite most where nothing is read of it: the schema is parsed, statements are prepared, and
//! both are thrown away when it is closed. Where thousands of databases have one schema and come and go, their
//! connections need not: a closed one gives its files away and keeps the rest, and the next database's files are put
//! below it.
//!
//! SQLite allows for that already, since any other process may change a database in WAL mode between two transactions. A
//! connection learns of it by the header of the WAL's index. That is in memory that the VFS gave; zeros in it say that
//! the index is not valid (`walIndexReadHdr`), and SQLite reads the WAL anew (`walIndexRecover`), forgets all pages
//! (`pager_reset`), and reads from the database's first page what else it goes by: its size, and the number that says
//! whether the schema is still the one that it parsed and the statements were prepared for. Besides that number, the whole
//! schema must be the same, down to the pages where tables begin, before anything is asked of another database.
//!
//! What a process can't do is to change a WAL's salts unseen: hence the WAL must be one that holds nothing, and shows a
//! header from which SQLite takes its count of checkpoints, so that it draws new salts as for a new one. File names that
//! SQLite keeps are the first database's. It uses them for a journal, which there is none of in WAL mode, and to remove
//! the WAL, which is told to stay.

use std::{cell::RefCell, path::Path, rc::Rc};

use rusqlite::Connection;

use crate::{
    Ahead,
    sqlite::{
        self,
        replace::{self, Files},
    },
};

/// Connections that a core keeps. Some 100 KiB each; where mailboxes make room for each other, few are closed ahead.
const SPARE_CONNECTIONS: usize = 16;
/// Prepared statements that a spare connection keeps; where it has more, for many kinds of work, it keeps none.
const KEPT_STATEMENTS: usize = 48;
/// Bytes of a database's header.
const HEADER_BYTES: usize = 100;
/// Where the header has the number of the schema's version.
const COOKIE: std::ops::Range<usize> = 40..44;
/// Different schemas that a core remembers, to know equal ones without comparing.
const KNOWN_SHAPES: usize = 4;

thread_local! {
    static SPARES: RefCell<Vec<Spare>> = const { RefCell::new(Vec::new()) };
    static SHAPES: RefCell<Vec<Rc<Shape>>> = const { RefCell::new(Vec::new()) };
}

struct Spare {
    connection: Connection,
    shape: Rc<Shape>,
}

/// A schema, as a connection has parsed it.
#[derive(PartialEq, Eq)]
pub(crate) struct Shape {
    /// Its number: SQLite parses a schema of another number anew.
    cookie: u32,
    /// Each entry of `sqlite_schema`, in order: [`entries`].
    entries: Vec<u8>,
}

/// Opens a database with a connection that another one was closed with, if there is one that fits and the database was
/// closed in order. Such a connection is configured as it was then, its functions are there, and so are
/// statements that were cached.
pub fn reopen(path: &Path, ahead: &Ahead) -> Option<Connection> {
    if SPARES.with_borrow(Vec::is_empty) {
        return None;
    }
    // An error comes again where the database is opened as usual.
    let files = Files::open(path, ahead).ok()??;
    let mut header = [0; HEADER_BYTES];
    let read = files.read_header(&mut header).ok()?;
    if read < HEADER_BYTES || !is_ordinary(&header) || crate::journal_may_exist(path) {
        return None;
    }
    let cookie = u32::from_be_bytes(header[COOKIE].try_into().ok()?);
    let Spare {
        mut connection,
        shape,
    } = SPARES.with_borrow_mut(|spares| {
        let at = spares.iter().rposition(|spare| spare.shape.cookie == cookie)?;
        Some(spares.remove(at))
    })?;
    if !replace::give_files(&mut connection, files) {
        return None;
    }
    let mut expected = &shape.entries[..];
    let same = entries(&connection, |part| {
        expected = expected.strip_prefix(part)?;
        Some(())
    });
    // What does not fit is closed with its connection.
    (same.is_ok_and(|whole| whole) && expected.is_empty()).then_some(connection)
}

/// Closes a database, and keeps its connection for [`reopen`] where that is possible. Its WAL must have been written back,
/// and nothing may be set on the connection that its next database is not to have.
pub fn close(mut connection: Connection) -> rusqlite::Result<()> {
    let has_room = SPARES.with_borrow(|spares| spares.len() < SPARE_CONNECTIONS);
    if has_room
        && replace::wal_holds_nothing(&connection)
        && let Some(shape) = shape(&connection)
    {
        if replace::count_statements(&connection, KEPT_STATEMENTS + 1) > KEPT_STATEMENTS {
            connection.flush_prepared_statement_cache();
        }
        if replace::take_files(&mut connection) {
            SPARES.with_borrow_mut(|spares| spares.push(Spare { connection, shape }));
            return Ok(());
        }
    }
    connection.close().map_err(|(_, error)| error)
}

/// What the connection's schema is.
fn shape(connection: &Connection) -> Option<Rc<Shape>> {
    let cookie: i64 = connection
        .prepare_cached("PRAGMA schema_version")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .ok()?;
    let cookie = cookie as u32;
    let kept = sqlite::kept_of(connection)?;
    let known = kept.shape.borrow().clone().filter(|shape| shape.cookie == cookie);
    if known.is_some() {
        return known;
    }
    let mut all = Vec::new();
    let whole = entries(connection, |part| {
        all.extend_from_slice(part);
        Some(())
    });
    if !whole.ok()? {
        return None;
    }
    let shape = shared(Shape { cookie, entries: all });
    kept.shape.replace(Some(Rc::clone(&shape)));
    Some(shape)
}

/// The same shape, as others have it.
fn shared(shape: Shape) -> Rc<Shape> {
    SHAPES.with_borrow_mut(|shapes| {
        if let Some(known) = shapes.iter().find(|known| ***known == shape) {
            return Rc::clone(known);
        }
        if shapes.len() == KNOWN_SHAPES {
            shapes.remove(0);
        }
        let shape = Rc::new(shape);
        shapes.push(Rc::clone(&shape));
        shape
    })
}

/// Shows all of `sqlite_schema` to `take`, part by part, until it wants no more; whether it took all.
fn entries(connection: &Connection, mut take: impl FnMut(&[u8]) -> Option<()>) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..5 {
            let value = row.get_ref(column)?;
            let number;
            let bytes = if column == 3 {
                number = value.as_i64()?.to_le_bytes();
                &number[..]
            } else {
                // An index that a table's constraint made has no text.
                value.as_bytes_or_null()?.unwrap_or_default()
            };
            let length = (bytes.len() as u32).to_le_bytes();
            if take(&length).and_then(|()| take(bytes)).is_none() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether a database's header is as that of all which spare connections had: what else SQLite remembers of it.
fn is_ordinary(header: &[u8; HEADER_BYTES]) -> bool {
    header[..16] == *b"SQLite format 3\0"
        // Pages of 4 KiB; WAL mode; nothing reserved in a page; fractions that never differ.
        && header[16..24] == [0x10, 0, 2, 2, 0, 64, 32, 32]
        // The schema's format; no automatic vacuum; UTF-8.
        && header[44..48] == [0, 0, 0, 4]
        && header[52..60] == [0, 0, 0, 0, 0, 0, 0, 1]
        && header[64..68] == [0; 4]
}

#[cfg(test)]
mod tests;
