//! The tables of the embedded directory, and how older files become current ones.
//!
//! The tables are gromox's, so that what is true of one back end is true of the other: every entry that has
//! an address is a row of `users`, whatever it is. What differs: the display type and name are columns
//! (gromox keeps them among `user_properties`), a mailbox's GUID is kept beside its folder, domain aliases
//! have a table of their own, and the rights to log in to another's store (`store_owners`) and to send in
//! another's name (`send_as`) are here.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::DirectoryError;

/// `PRAGMA application_id`: "RPdi".
const APPLICATION_ID: i32 = 0x5250_6469;

/// Entry `n` turns schema `n` into schema `n + 1`. Entries are never changed after a release, only added.
const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2];

const VERSION_1: &str = "
CREATE TABLE options (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO options VALUES ('changes', 0);

CREATE TABLE orgs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT ''
);
CREATE TABLE orgparam (
    org_id INTEGER NOT NULL REFERENCES orgs (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (org_id, key)
) WITHOUT ROWID;

CREATE TABLE servers (
    id INTEGER PRIMARY KEY,
    hostname TEXT NOT NULL UNIQUE,
    extname TEXT NOT NULL
);

CREATE TABLE domains (
    id INTEGER PRIMARY KEY,
    org_id INTEGER REFERENCES orgs (id),
    domainname TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL DEFAULT '',
    max_user INTEGER NOT NULL DEFAULT 0,
    homeserver INTEGER REFERENCES servers (id),
    homedir TEXT,
    public_guid BLOB UNIQUE,
    domain_status INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE domain_aliases (
    aliasname TEXT PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX domain_aliases_domain ON domain_aliases (domain_id);

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    domain_id INTEGER NOT NULL REFERENCES domains (id),
    password TEXT NOT NULL DEFAULT '',
    externid BLOB,
    homeserver INTEGER REFERENCES servers (id),
    maildir TEXT,
    mailbox_guid BLOB UNIQUE,
    display_type INTEGER NOT NULL DEFAULT 0,
    display_name TEXT NOT NULL DEFAULT '',
    lang TEXT NOT NULL DEFAULT '',
    timezone TEXT NOT NULL DEFAULT '',
    privilege_bits INTEGER NOT NULL DEFAULT 0,
    address_status INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX users_domain ON users (domain_id);
CREATE TABLE aliases (
    aliasname TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX aliases_user ON aliases (user_id);
CREATE TABLE forwards (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    forward_type INTEGER NOT NULL,
    destination TEXT NOT NULL
);
CREATE TABLE user_properties (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    proptag INTEGER NOT NULL,
    order_id INTEGER NOT NULL DEFAULT 1,
    propval NOT NULL,
    PRIMARY KEY (user_id, proptag, order_id)
) WITHOUT ROWID;
CREATE TABLE store_owners (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    owner_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, owner_id)
) WITHOUT ROWID;
CREATE INDEX store_owners_owner ON store_owners (owner_id);

CREATE TABLE mlists (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    list_type INTEGER NOT NULL,
    list_privilege INTEGER NOT NULL
);
CREATE TABLE associations (
    list_id INTEGER NOT NULL REFERENCES mlists (id) ON DELETE CASCADE,
    username TEXT NOT NULL,
    PRIMARY KEY (list_id, username)
) WITHOUT ROWID;
CREATE INDEX associations_username ON associations (username);
CREATE TABLE specifieds (
    list_id INTEGER NOT NULL REFERENCES mlists (id) ON DELETE CASCADE,
    username TEXT NOT NULL,
    PRIMARY KEY (list_id, username)
) WITHOUT ROWID;
CREATE INDEX specifieds_username ON specifieds (username);
";

/// Who may send in the name of an account without owning its store.
const VERSION_2: &str = "
CREATE TABLE send_as (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    sender_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, sender_id)
) WITHOUT ROWID;
CREATE INDEX send_as_sender ON send_as (sender_id);
";

/// The newest schema this program knows.
pub(super) fn current_version() -> u32 {
    MIGRATIONS.len() as u32
}

/// Makes a new or older file current; refuses newer and foreign ones.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), DirectoryError> {
    migrate(connection, path, MIGRATIONS)
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), DirectoryError> {
    // Without a look first, every opening would have to wait for the writer of the moment.
    if version(connection, path)? == migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction, path)?;
    let Some(missing) = migrations.get(found..) else {
        return Err(DirectoryError::NewerSchema {
            found: found as u32,
            known: migrations.len() as u32,
        });
    };
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection, path: &Path) -> Result<usize, DirectoryError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION_ID && !empty {
        return Err(DirectoryError::NotADirectory(path.to_owned()));
    }
    Ok(version as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "test";

    fn fresh() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        prepare(&mut connection, Path::new(PATH)).unwrap();
        connection
    }

    #[test]
    fn an_upgrade_keeps_what_is_there() {
        let mut connection = fresh();
        connection
            .execute("INSERT INTO orgs (name) VALUES ('one')", [])
            .unwrap();
        let mut steps = MIGRATIONS.to_vec();
        steps.push("ALTER TABLE orgs ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'");
        migrate(&mut connection, Path::new(PATH), &steps).unwrap();
        let (name, colour): (String, String) = connection
            .query_row("SELECT name, colour FROM orgs", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!((name.as_str(), colour.as_str()), ("one", "blue"));
        // The program that does not know the new schema keeps its hands off.
        let refused = prepare(&mut connection, Path::new(PATH)).unwrap_err();
        assert!(matches!(
            refused,
            DirectoryError::NewerSchema { found, known } if found == known + 1
        ));
    }

    #[test]
    fn a_failing_upgrade_changes_nothing() {
        let mut connection = fresh();
        let mut steps = MIGRATIONS.to_vec();
        steps.push("CREATE TABLE half (x); this is not SQL");
        assert!(migrate(&mut connection, Path::new(PATH), &steps).is_err());
        assert_eq!(
            version(&connection, Path::new(PATH)).unwrap(),
            current_version() as usize
        );
        assert!(connection.prepare("SELECT * FROM half").is_err());
    }

    #[test]
    fn a_foreign_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE recipes (x)").unwrap();
        assert!(matches!(
            prepare(&mut connection, Path::new(PATH)),
            Err(DirectoryError::NotADirectory(_))
        ));
    }
}
