use std::{collections::BTreeMap, path::PathBuf};

use super::*;
use crate::{open_database, testing::dice, wal_of};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, value BLOB, UNIQUE(value));
    CREATE INDEX t_by_length ON t(length(value)) WHERE id > 10;";

/// A new database whose WAL is there and empty, as a mailbox's.
fn create(folder: &Path, name: &str, schema: &str) -> PathBuf {
    let path = folder.join(name);
    let connection = open_database(&path, true).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.execute_batch(schema).unwrap();
    drop(connection);
    crate::create_wal(&path).unwrap();
    path
}

fn open_afresh(path: &Path) -> Connection {
    let connection = open_database(path, false).unwrap();
    connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    connection
}

fn write_back_and_close(connection: Connection) {
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    close(connection).unwrap();
}

fn is_whole(connection: &Connection) {
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

/// Once, so that there is a spare connection.
fn visit(path: &Path) {
    write_back_and_close(open_afresh(path));
}

fn put(connection: &Connection, id: i64, value: &[u8]) {
    connection
        .prepare_cached("INSERT OR REPLACE INTO t VALUES (?1, ?2)")
        .unwrap()
        .execute(rusqlite::params![id, value])
        .unwrap();
}

fn content(connection: &Connection) -> BTreeMap<i64, Vec<u8>> {
    let mut statement = connection.prepare_cached("SELECT id, value FROM t").unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn databases_in_turn_have_each_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..5)
        .map(|n| create(folder.path(), &n.to_string(), SCHEMA))
        .collect();
    visit(&paths[0]);
    let mut expected = vec![BTreeMap::new(); paths.len()];
    let mut dice = dice(7);
    for turn in 0..300_i64 {
        let at = dice(5) as usize;
        let connection = reopen(&paths[at], &Ahead::default()).expect("there is a spare one");
        assert_eq!(content(&connection), expected[at], "turn {turn}");
        for part in 0..dice(4) as i64 {
            // Values are unique, and of one page to many.
            let value = [
                &(turn * 10 + part).to_le_bytes()[..],
                &vec![at as u8; dice(9000) as usize],
            ]
            .concat();
            let id = dice(30) as i64;
            put(&connection, id, &value);
            expected[at].insert(id, value);
            if dice(3) == 0 {
                connection
                    .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                    .unwrap();
            }
        }
        if turn % 20 == 0 {
            is_whole(&connection);
        }
        write_back_and_close(connection);
    }
    assert_eq!(SPARES.with_borrow(Vec::len), 1, "the same connection served all");
    for (path, expected) in paths.iter().zip(&expected) {
        let connection = open_afresh(path);
        is_whole(&connection);
        assert_eq!(content(&connection), *expected);
    }
}

#[test]
fn another_schema_of_the_same_number_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let one = create(folder.path(), "one", SCHEMA);
    visit(&one);
    let others = [
        // Other columns; the same text, with tables that begin on other pages; a row more; a row less.
        "CREATE TABLE t(value BLOB, id INTEGER PRIMARY KEY, UNIQUE(value));
         CREATE INDEX t_by_length ON t(length(value)) WHERE id > 10;",
        &format!("CREATE TABLE x(a); {SCHEMA}; DROP TABLE x;"),
        "CREATE TABLE t(id INTEGER PRIMARY KEY, value BLOB, UNIQUE(value)); CREATE TABLE u(v, UNIQUE(v));",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, value BLOB); CREATE INDEX t_by_length ON t(length(value));",
    ];
    let number = |path: &Path| std::fs::read(path).unwrap()[COOKIE].to_owned();
    for (at, schema) in others.iter().enumerate() {
        let other = create(folder.path(), &format!("other{at}"), schema);
        let connection = Connection::open(&other).unwrap();
        let wanted = u32::from_be_bytes(number(&one).try_into().unwrap());
        connection.pragma_update(None, "schema_version", wanted).unwrap();
        // It removes the WAL.
        drop(connection);
        crate::create_wal(&other).unwrap();
        assert_eq!(number(&other), wanted.to_be_bytes());
        assert_eq!(SPARES.with_borrow(Vec::len), 1);
        assert!(reopen(&other, &Ahead::default()).is_none(), "{schema}");
        assert!(SPARES.with_borrow(Vec::is_empty), "not even compared: {schema}");
        is_whole(&open_afresh(&other));
        visit(&one);
    }
    // The first one is served still.
    assert!(reopen(&one, &Ahead::default()).is_some());
}

#[test]
fn a_schema_that_changed_is_known_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| create(folder.path(), name, SCHEMA));
    visit(&one);
    let connection = reopen(&one, &Ahead::default()).unwrap();
    connection
        .execute_batch("ALTER TABLE t ADD COLUMN more; UPDATE t SET more = 1;")
        .unwrap();
    write_back_and_close(connection);
    assert!(reopen(&other, &Ahead::default()).is_none());
    let connection = reopen(&one, &Ahead::default()).unwrap();
    connection
        .execute("INSERT INTO t VALUES (1, x'', 2)", [])
        .unwrap();
    write_back_and_close(connection);
    is_whole(&open_afresh(&one));
}

#[test]
fn each_log_has_salts_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..4)
        .map(|n| create(folder.path(), &n.to_string(), SCHEMA))
        .collect();
    visit(&paths[0]);
    let mut salts = Vec::new();
    for path in &paths {
        for _ in 0..2 {
            let connection = reopen(path, &Ahead::default()).unwrap();
            put(&connection, 1, b"one");
            let wal = std::fs::read(wal_of(path)).unwrap();
            assert_eq!(wal[12..16], [0; 4], "no checkpoint yet");
            salts.push(wal[16..24].to_owned());
            write_back_and_close(connection);
        }
    }
    assert!(salts.iter().all(|salt| salt[..] != [0; 8]));
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), 8);
}

#[test]
fn what_was_not_closed_in_order_is_opened_as_usual() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| create(folder.path(), name, SCHEMA));
    visit(&one);
    let connection = open_afresh(&other);
    put(&connection, 5, b"in the log only");
    // As a crash leaves it.
    let crashed = folder.path().join("crashed");
    std::fs::copy(&other, &crashed).unwrap();
    std::fs::copy(wal_of(&other), wal_of(&crashed)).unwrap();
    assert!(reopen(&crashed, &Ahead::default()).is_none());
    let connection = open_afresh(&crashed);
    assert_eq!(content(&connection).len(), 1);
    write_back_and_close(connection);
    // A journal beside it may be hot.
    let journal = folder.path().join("crashed-journal");
    std::fs::write(&journal, b"").unwrap();
    assert!(reopen(&crashed, &Ahead::default()).is_none());
    std::fs::remove_file(journal).unwrap();
    assert_eq!(content(&reopen(&crashed, &Ahead::default()).unwrap()).len(), 1);
    // No WAL, or none that was ever closed.
    std::fs::remove_file(wal_of(&one)).unwrap();
    assert!(reopen(&one, &Ahead::default()).is_none());
    assert!(reopen(&folder.path().join("nothing"), &Ahead::default()).is_none());
}

#[test]
fn what_is_not_written_back_is_closed_as_usual() {
    let folder = tempfile::tempdir().unwrap();
    let path = create(folder.path(), "one", SCHEMA);
    let connection = open_afresh(&path);
    put(&connection, 5, b"in the log only");
    close(connection).unwrap();
    assert!(SPARES.with_borrow(Vec::is_empty));
    assert_eq!(content(&open_afresh(&path)).len(), 1);
}

#[test]
fn a_spare_connection_that_goes_leaves_the_files_that_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| create(folder.path(), name, SCHEMA));
    visit(&one);
    let connection = reopen(&other, &Ahead::default()).unwrap();
    put(&connection, 5, b"of the other");
    write_back_and_close(connection);
    let spares = SPARES.take();
    assert_eq!(spares.len(), 1);
    let before =
        [&one, &other].map(|path| (std::fs::read(path).unwrap(), std::fs::read(wal_of(path)).unwrap()));
    drop(spares);
    let after =
        [&one, &other].map(|path| (std::fs::read(path).unwrap(), std::fs::read(wal_of(path)).unwrap()));
    assert!(before == after);
    assert_eq!(content(&open_afresh(&other)).len(), 1);
    // Nor does one that has files of another database than its first, and is closed with them.
    visit(&one);
    let connection = reopen(&other, &Ahead::default()).unwrap();
    put(&connection, 6, b"of the other, too");
    drop(connection);
    assert_eq!(std::fs::read(wal_of(&one)).unwrap(), before[0].1);
    assert_eq!(content(&open_afresh(&other)).len(), 2);
}

#[test]
fn there_are_never_more_than_a_few() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..SPARE_CONNECTIONS + 3)
        .map(|n| create(folder.path(), &n.to_string(), SCHEMA))
        .collect();
    let open: Vec<_> = paths.iter().map(|path| open_afresh(path)).collect();
    open.into_iter().for_each(write_back_and_close);
    assert_eq!(SPARES.with_borrow(Vec::len), SPARE_CONNECTIONS);
    assert_eq!(SHAPES.with_borrow(Vec::len), 1);
}
