//! The database's schema and its versions. `schema.sql` is the newest; what each table is for stands in
//! `../FORMAT.md`.

use std::path::Path;

use rusqlite::Connection;

use crate::{StoreError, flag_pages};

/// The version this program writes (`PRAGMA user_version`).
pub(crate) const VERSION: u32 = 4;

/// `PRAGMA application_id`: tells file(1) and the tools whose database it is ("ring").
const APPLICATION_ID: i32 = 0x7269_6e67;

/// Page cache of an open mailbox in KiB, allocated as needed. The system's page cache is behind it, so this
/// only has to hold the upper levels of the trees and one operation's pages.
const PAGE_CACHE_KIB: i64 = 1024;
/// The same in pages where memory is scarce. A delivery writes ten pages, the same nine each time, and reads some
/// more; each that is not there is a system call.
const FEW_PAGES: i64 = 32;

/// Statements kept prepared for an open mailbox.
const STATEMENT_CACHE: usize = 96;

/// What is run to bring a database from the version of its index to the next one.
const UPGRADES: &[Upgrade] = &[
    // 2: what a message shares with its copies; from where on a folder's removals are known.
    Upgrade {
        sql: "ALTER TABLE messages ADD COLUMN identity INTEGER;
              ALTER TABLE folders ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;",
        then: None,
    },
    // 3: flags, keywords and change numbers in pages.
    Upgrade {
        sql: "ALTER TABLE folders ADD COLUMN paged INTEGER NOT NULL DEFAULT 1;
              CREATE TABLE flag_pages (
                  id INTEGER PRIMARY KEY,
                  folder INTEGER NOT NULL,
                  page INTEGER NOT NULL,
                  highest INTEGER NOT NULL,
                  entries BLOB NOT NULL,
                  UNIQUE (folder, page)
              );
              CREATE INDEX flag_pages_by_change ON flag_pages (folder, highest);
              DROP INDEX messages_by_change;
              CREATE INDEX messages_hidden_by_change ON messages (folder, change) WHERE state <> 0;
              DROP INDEX search_links_by_message;",
        then: Some(flag_pages::page_all),
    },
    // 4: when a message came into its folder. Of those that were there before nobody knows.
    Upgrade {
        sql: "ALTER TABLE messages ADD COLUMN saved INTEGER;",
        then: None,
    },
];

/// What is done in code.
type Step = fn(&Connection) -> Result<(), StoreError>;

/// A step from one version to the next.
struct Upgrade {
    sql: &'static str,
    /// What SQL can't do.
    then: Option<Step>,
}

/// Settings that every connection needs.
pub(crate) fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // The runtime checkpoints, away from requests.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    set_page_cache(connection, false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    crate::table::register_functions(connection)?;
    flag_pages::register_functions(connection)?;
    Ok(())
}

/// How many pages the connection keeps: of less than it has, those go that were not used for longest.
pub(crate) fn set_page_cache(connection: &Connection, few: bool) -> Result<(), StoreError> {
    let size = if few { FEW_PAGES } else { -PAGE_CACHE_KIB };
    Ok(connection.pragma_update(None, "cache_size", size)?)
}

/// Where a table's tree begins.
pub(crate) fn root_page(connection: &Connection, table: &str) -> Result<u32, StoreError> {
    Ok(connection
        .prepare_cached("SELECT rootpage FROM sqlite_schema WHERE name = ?1")?
        .query_row([table], |row| row.get(0))?)
}

/// Lays out an empty database.
pub(crate) fn create(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch(include_str!("schema.sql"))?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

/// Refuses a newer schema, and upgrades an older one when asked to.
pub(crate) fn check(connection: &mut Connection, path: &Path, upgrade: bool) -> Result<(), StoreError> {
    let number = |pragma| -> rusqlite::Result<i64> {
        connection.prepare_cached(pragma)?.query_row([], |row| row.get(0))
    };
    let application = number("PRAGMA application_id")?;
    // Any 32 bits; above this program's version, or not.
    let found = number("PRAGMA user_version")? as u32;
    if application != i64::from(APPLICATION_ID) || found == 0 {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            reason: "not a mailbox".to_owned(),
        });
    }
    if found > VERSION {
        return Err(StoreError::NewerSchema {
            found,
            known: VERSION,
        });
    }
    if found == VERSION {
        return Ok(());
    }
    if !upgrade {
        return Err(StoreError::NotAllowed(
            "the mailbox needs a schema upgrade (exmdb_schema_upgrades)",
        ));
    }
    let transaction = connection.transaction()?;
    for step in &UPGRADES[found as usize - 1..] {
        transaction.execute_batch(step.sql)?;
        if let Some(then) = step.then {
            then(&transaction)?;
        }
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}
