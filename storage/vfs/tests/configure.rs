//! What SQLite is told before its first use, in a process of its own: afterwards it would not listen.

use std::path::Path;

use rusqlite::Connection;

/// Bytes that are allocated in this process.
fn allocated() -> usize {
    // SAFETY: reads the allocator's counters.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Opens a database and reads a page of it.
fn open(path: &Path) -> Connection {
    let connection = ringpost_vfs::open_database(path, false).unwrap();
    connection
        .query_row("SELECT count(*) FROM t", [], |_| Ok(()))
        .unwrap();
    connection
}

#[test]
fn no_database_sets_memory_aside() {
    assert!(ringpost_vfs::configure());
    // As the directory of accounts is opened, before any mailbox.
    let first = Connection::open_in_memory().unwrap();
    first.execute_batch("CREATE TABLE t(a)").unwrap();

    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..11).map(|n| folder.path().join(n.to_string())).collect();
    for path in &paths {
        let connection = ringpost_vfs::open_database(path, true).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(a)")
            .unwrap();
    }
    // What is allocated once in a process is there then.
    let mut connections = vec![open(&paths[0])];
    let before = allocated();
    connections.extend(paths[1..].iter().map(|path| open(path)));
    let each = (allocated() - before) / 10;
    // The index of a WAL takes 32 KiB of it.
    assert!(each < 64 * 1024, "{each} bytes each");
    // Asked again, it says what came of it the first time.
    assert!(ringpost_vfs::configure());
}
