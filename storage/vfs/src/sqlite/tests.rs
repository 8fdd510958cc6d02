use std::os::unix::fs::FileExt;

use super::*;
use crate::{
    coroutine::{Answer, Operation, StackPool, Step, Wait},
    hint::Hint,
    open_database,
};

fn rows_of(connection: &rusqlite::Connection) -> i64 {
    connection
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap()
}

fn fill(path: &Path, rows: i64) {
    let connection = open_database(path, true).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
    connection
        .execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, filler BLOB)")
        .unwrap();
    let transaction = connection.unchecked_transaction().unwrap();
    for id in 0..rows {
        transaction
            .execute("INSERT INTO t VALUES (?1, zeroblob(1000))", [id])
            .unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_wal_needs_no_shared_memory_and_survives_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 100);
    let connection = open_database(&path, false).unwrap();
    let mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    connection
        .execute("INSERT INTO t VALUES (1000, x'')", [])
        .unwrap();
    assert!(path.with_extension("sqlite3-wal").exists());
    assert!(!path.with_extension("sqlite3-shm").exists());
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn a_wal_that_is_kept_is_empty_after_a_close_and_reused_after_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    let wal = path.with_extension("sqlite3-wal");
    fill(&path, 10);
    assert!(!wal.exists(), "a new database's is removed");
    for round in 1..4 {
        let connection = open_database(&path, false).unwrap();
        connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        for part in 0..2 {
            connection
                .execute("INSERT INTO t VALUES (?1, zeroblob(9000))", [round * 1000 + part])
                .unwrap();
            assert!(crate::wal_bytes(&connection) > 9000);
            let before = std::fs::metadata(&wal).unwrap().len();
            connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                    assert_eq!(row.get::<_, i64>(0)?, 0);
                    Ok(())
                })
                .unwrap();
            assert_eq!(crate::wal_bytes(&connection), 0);
            assert_eq!(std::fs::metadata(&wal).unwrap().len(), before);
        }
        connection
            .execute("INSERT INTO t VALUES (?1, zeroblob(9000))", [round * 1000 + 3])
            .unwrap();
        drop(connection);
        assert_eq!(std::fs::metadata(&wal).unwrap().len(), EMPTY_BYTES);
    }
    for own in [true, false] {
        let connection = if own {
            open_database(&path, false).unwrap()
        } else {
            rusqlite::Connection::open(&path).unwrap()
        };
        let rows = rows_of(&connection);
        assert_eq!(rows, 19);
    }
}

#[test]
fn a_wal_that_was_left_is_recovered_also_after_it_was_reused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 10);
    let connection = open_database(&path, false).unwrap();
    connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let insert = |id: i64| {
        connection
            .execute("INSERT INTO t VALUES (?1, zeroblob(9000))", [id])
            .unwrap();
    };
    let copies = |when: &str| {
        let copy = folder.path().join(when);
        std::fs::create_dir(&copy).unwrap();
        for name in ["a.sqlite3", "a.sqlite3-wal"] {
            std::fs::copy(folder.path().join(name), copy.join(name)).unwrap();
        }
        let connection = rusqlite::Connection::open(copy.join("a.sqlite3")).unwrap();
        let check: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok", "{when}");
        rows_of(&connection)
    };
    (100..110).for_each(insert);
    assert_eq!(copies("first"), 20);
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    assert_eq!(copies("emptied"), 20);
    insert(200);
    // One transaction in front of nine old ones.
    assert_eq!(copies("reused"), 21);
}

#[test]
fn what_our_vfs_wrote_sqlites_own_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 10);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let rows = rows_of(&connection);
    assert_eq!(rows, 10);
}

#[test]
fn a_missing_database_is_not_made_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.sqlite3");
    assert!(open_database(&path, false).is_err());
    assert!(!path.exists());
}

/// Takes a file out of the page cache.
fn make_cold(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: advice on a descriptor of ours.
    let advised = unsafe {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED)
    };
    assert_eq!(advised, 0);
}

#[test]
fn what_an_opening_read_is_asked_for_at_once_by_the_next() {
    let look_up = |connection: &rusqlite::Connection| {
        let sum = "SELECT sum(length(filler)) FROM t WHERE id IN (7, 1500, 2900)";
        let sum: i64 = connection.query_row(sum, [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 3000);
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 3000);
    let connection = open_database(&path, false).unwrap();
    look_up(&connection);
    let hint = crate::first_reads(&connection);
    drop(connection);
    let pages: Vec<_> = hint.first_ranges();
    assert!(pages.len() >= 3, "{pages:?}");

    make_cold(&path);
    let pool = StackPool::default();
    let name = path.clone();
    let mut operation = Operation::new(&pool, move || {
        let is_cold = crate::look_up(&name).is_ok();
        let ahead = Ahead { hint, is_cold };
        look_up(&crate::open_database_ahead(&name, false, ahead).unwrap());
    })
    .unwrap();
    let mut asked = Vec::new();
    let mut step = operation.run(&pool, Answer::Start);
    loop {
        step = match step {
            Step::Done(result) => break result.unwrap(),
            Step::Wait(Wait::Read { offset, length, .. }) => {
                let mut buffer = vec![0; length];
                let read = File::open(&path).unwrap().read_at(&mut buffer, offset).unwrap();
                operation.run(&pool, Answer::Read(Ok(&buffer[..read])))
            }
            Step::Wait(wait) => {
                if let Wait::ReadAhead { offset, length, .. } = wait {
                    asked.push(offset..offset + u64::from(length));
                }
                operation.run(&pool, Answer::Done(Ok(())))
            }
        };
    }
    // Of the WAL the first block.
    assert_eq!(asked[0], 0..4096);
    assert_eq!(asked[1..], pages);
}

/// Offset and length.
type Part = (u64, u64);

/// Runs `work`, reading of `path` what it waits for; what was asked for, then what was read.
fn waits(path: &Path, work: impl FnOnce() + 'static) -> (Vec<Part>, Vec<Part>) {
    let pool = StackPool::default();
    let mut operation = Operation::new(&pool, work).unwrap();
    let (mut asked, mut read) = (Vec::new(), Vec::new());
    let mut step = operation.run(&pool, Answer::Start);
    loop {
        step = match step {
            Step::Done(result) => {
                result.unwrap();
                return (asked, read);
            }
            Step::Wait(Wait::Read { offset, length, .. }) => {
                read.push((offset, length as u64));
                let mut buffer = vec![0; length];
                let found = File::open(path).unwrap().read_at(&mut buffer, offset).unwrap();
                operation.run(&pool, Answer::Read(Ok(&buffer[..found])))
            }
            Step::Wait(wait) => {
                if let Wait::ReadAhead { offset, length, .. } = wait {
                    asked.push((offset, length.into()));
                }
                operation.run(&pool, Answer::Done(Ok(())))
            }
        };
    }
}

#[test]
fn a_database_of_which_the_first_block_alone_is_there_is_read_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 3000);
    let hint = Hint::in_order(&[0, 1, 300, 500]);
    for warm_pages in [0, 1, 600] {
        make_cold(&path);
        let file = File::open(&path).unwrap();
        // The kernel would read on.
        // SAFETY: advice on a descriptor of ours.
        unsafe {
            libc::posix_fadvise(
                std::os::fd::AsRawFd::as_raw_fd(&file),
                0,
                0,
                libc::POSIX_FADV_RANDOM,
            )
        };
        for page in 0..warm_pages {
            file.read_at(&mut [0], page * 4096).unwrap();
        }
        let (name, hint) = (path.clone(), hint.clone());
        let (asked, read) = waits(&path, move || {
            let is_cold = crate::look_up(&name).unwrap();
            assert!(crate::is_at_hand(&name));
            drop(crate::open_database_ahead(&name, false, Ahead { hint, is_cold }).unwrap());
        });
        let all = [(0, 8192), (300 * 4096, 4096), (500 * 4096, 4096)];
        match warm_pages {
            600 => assert!(asked.is_empty() && read.is_empty(), "{asked:?} {read:?}"),
            _ => assert_eq!((&asked[..], read[0]), (&all[..], (0, 1)), "{warm_pages}"),
        }
    }
}

#[test]
fn pages_for_later_are_asked_for_with_the_first_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 3000);
    let row = |connection: &rusqlite::Connection, id: i64| {
        let length = "SELECT length(filler) FROM t WHERE id = ?1";
        let length: i64 = connection.query_row(length, [id], |row| row.get(0)).unwrap();
        assert_eq!(length, 1000);
    };
    let rows = [5, 400, 900, 1300, 1700, 2100, 2500, 2800];
    let few = [100, 600, 1100];
    // The second time, what was first before is among the first, too, and what is new is for later.
    let connection = open_database(&path, false).unwrap();
    for id in few
        .iter()
        .chain(&rows)
        .chain(&(0..30).map(|n| n * 97).collect::<Vec<i64>>())
    {
        row(&connection, *id);
    }
    let hint = crate::first_reads(&connection);
    drop(connection);
    let (first, later) = (hint.first_ranges(), ranges(hint.later()));
    assert!(!later.is_empty());
    let alone: &[i64] = &[];
    for (wanted, expected) in [(&few[..], &[][..]), (&[2_813], &later[..]), (alone, &later[..])] {
        make_cold(&path);
        let (name, hint, wanted) = (path.clone(), hint.clone(), wanted.to_vec());
        let (asked, _) = waits(&path, move || {
            let ahead = Ahead { hint, is_cold: true };
            let connection = crate::open_database_ahead(&name, false, ahead).unwrap();
            // And once only.
            for _ in 0..2 {
                for id in &wanted {
                    row(&connection, *id);
                }
                if wanted.is_empty() {
                    crate::read_later(&connection);
                    assert!(!crate::has_later(&connection));
                }
            }
        });
        let bytes = |ranges: &[Range<u64>]| -> Vec<Part> {
            let part = |range: &Range<u64>| (range.start, range.end - range.start);
            ranges.iter().map(part).collect()
        };
        // Of the WAL the first block.
        assert_eq!(asked[0], (0, 4096));
        assert_eq!(asked[1..], [bytes(&first), bytes(expected)].concat());
    }
}

#[test]
fn first_blocks_are_waited_for_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let large = vec![1; 100_000];
    std::fs::write(&path, &large).unwrap();
    let others: Vec<_> = ["b", "c"].iter().map(|name| folder.path().join(name)).collect();
    for other in &others {
        std::fs::write(other, &large).unwrap();
        make_cold(other);
    }
    make_cold(&path);
    let name = path.clone();
    let (asked, read) = waits(&path, move || {
        let others: Vec<_> = others.iter().map(|path| File::open(path).unwrap()).collect();
        let first = File::open(&name).unwrap();
        crate::read_first_blocks(&[&first, &others[0], &others[1]]);
    });
    assert_eq!(asked, [(0, 4096); 2]);
    // The first one's by a worker in any case; those that were not there yet, too.
    assert_eq!(read[0], (0, 1));
    assert!(read.len() <= 3);
    assert!(
        !crate::is_at_hand(Path::new("/proc/self/root/etc")),
        "it may take the disk"
    );
    let none = path.with_extension("none");
    assert!(!none.exists() && crate::is_at_hand(&none) && crate::is_at_hand(&path));
}

#[test]
fn many_rows_are_asked_for_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    // Three levels of pages.
    fill(&path, 6000);
    make_cold(&path);
    let pool = StackPool::default();
    let name = path.clone();
    let rows: Vec<i64> = (0..40).map(|n| n * 150).collect();
    let wanted = rows.clone();
    let mut operation = Operation::new(&pool, move || {
        let connection = open_database(&name, false).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema";
        let root: u32 = connection.query_row(root, [], |row| row.get(0)).unwrap();
        crate::read_ahead_rows(&connection, root, &wanted);
        for row in wanted {
            let length = "SELECT length(filler) FROM t WHERE id = ?1";
            let length: i64 = connection.query_row(length, [row], |row| row.get(0)).unwrap();
            assert_eq!(length, 1000);
        }
    })
    .unwrap();
    let (mut asked, mut read_alone) = (Vec::new(), Vec::new());
    let mut step = operation.run(&pool, Answer::Start);
    loop {
        step = match step {
            Step::Done(result) => break result.unwrap(),
            Step::Wait(Wait::Read { offset, length, .. }) => {
                if !asked
                    .iter()
                    .any(|range: &std::ops::Range<u64>| range.contains(&offset))
                {
                    read_alone.push(offset);
                }
                let mut buffer = vec![0; length];
                let read = File::open(&path).unwrap().read_at(&mut buffer, offset).unwrap();
                operation.run(&pool, Answer::Read(Ok(&buffer[..read])))
            }
            Step::Wait(wait) => {
                if let Wait::ReadAhead { offset, length, .. } = wait {
                    asked.push(offset..offset + u64::from(length));
                }
                operation.run(&pool, Answer::Done(Ok(())))
            }
        };
    }
    assert!(asked.len() >= rows.len() / 2, "{asked:?}");
    // The header, and the window that a row of near reads begins.
    assert!(read_alone.len() <= 3, "{read_alone:?} beside {asked:?}");
}

#[test]
fn rows_with_long_values_are_asked_for_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 10);
    let connection = open_database(&path, false).unwrap();
    for id in 10..400 {
        let insert = "INSERT INTO t VALUES (?1, zeroblob(6000))";
        connection.execute(insert, [id]).unwrap();
    }
    drop(connection);
    make_cold(&path);
    let pool = StackPool::default();
    let name = path.clone();
    let rows: Vec<i64> = (200..300).collect();
    let wanted = rows.clone();
    let mut operation = Operation::new(&pool, move || {
        let connection = open_database(&name, false).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema";
        let root: u32 = connection.query_row(root, [], |row| row.get(0)).unwrap();
        // What is above the leaves is known by then.
        let value = "SELECT filler FROM t WHERE id = ?1";
        let read = |row: i64| {
            let value: Vec<u8> = connection.query_row(value, [row], |row| row.get(0)).unwrap();
            assert_eq!(value, vec![0; 6000]);
        };
        read(20);
        crate::read_ahead_values(&connection, root, &wanted);
        let _ = crate::coroutine::wait(Wait::Breathe);
        wanted.into_iter().for_each(read);
    })
    .unwrap();
    let (mut asked, mut read_alone, mut has_asked) = (Vec::new(), Vec::new(), false);
    let mut step = operation.run(&pool, Answer::Start);
    loop {
        step = match step {
            Step::Done(result) => break result.unwrap(),
            Step::Wait(Wait::Read { offset, length, .. }) => {
                let is_in = |range: &std::ops::Range<u64>| range.contains(&offset);
                if has_asked && !asked.iter().any(is_in) {
                    read_alone.push(offset);
                }
                let mut buffer = vec![0; length];
                let read = File::open(&path).unwrap().read_at(&mut buffer, offset).unwrap();
                operation.run(&pool, Answer::Read(Ok(&buffer[..read])))
            }
            Step::Wait(wait) => {
                match wait {
                    Wait::Breathe => has_asked = true,
                    Wait::ReadAhead { offset, length, .. } => asked.push(offset..offset + u64::from(length)),
                    _ => {}
                }
                operation.run(&pool, Answer::Done(Ok(())))
            }
        };
    }
    // The last request is that for the values; what was asked for before was the opening's.
    let values = asked.last().unwrap();
    assert!(
        (100 * 6000..1 << 20).contains(&(values.end - values.start)),
        "{asked:?}"
    );
    assert!(read_alone.is_empty(), "{read_alone:?} beside {asked:?}");
}

#[test]
fn a_small_database_leaves_no_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 100);
    let connection = open_database(&path, false).unwrap();
    let rows = rows_of(&connection);
    assert_eq!((rows, crate::first_reads(&connection)), (100, Hint::default()));
}

#[test]
fn the_length_of_a_wal_is_known_without_asking() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    let wal = path.with_extension("sqlite3-wal");
    fill(&path, 10);
    let connection = open_database(&path, false).unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let same = || {
        let file = file_of(&connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER).unwrap();
        let known = file.wal.as_ref().unwrap().length();
        assert_eq!(known, Some(std::fs::metadata(&wal).unwrap().len()));
    };
    for id in 100..120 {
        let insert = "INSERT INTO t VALUES (?1, zeroblob(90000))";
        connection.execute(insert, [id]).unwrap();
        same();
        if id % 7 == 0 {
            connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .unwrap();
            same();
        }
    }
}

#[test]
fn cold_pages_suspend_and_the_answer_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite3");
    fill(&path, 3000);
    make_cold(&path);

    let pool = StackPool::default();
    let mut operation = Operation::new(&pool, move || {
        let connection = open_database(&path, false).unwrap();
        connection
            .query_row("SELECT sum(length(filler)) FROM t", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
    })
    .unwrap();
    let mut reads = 0;
    let mut step = operation.run(&pool, Answer::Start);
    let sum = loop {
        step = match step {
            Step::Done(result) => break result.unwrap(),
            Step::Wait(Wait::Read { fd, offset, length }) => {
                reads += 1;
                let mut buffer = vec![0; length];
                // SAFETY: the operation keeps the descriptor open until it is answered.
                let file = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
                let file = File::from(file.try_clone_to_owned().unwrap());
                let read = file.read_at(&mut buffer, offset).unwrap();
                operation.run(&pool, Answer::Read(Ok(&buffer[..read])))
            }
            Step::Wait(_) => operation.run(&pool, Answer::Done(Ok(()))),
        };
    };
    assert_eq!(sum, 3_000_000);
    assert!(reads > 0, "nothing was read from the disk");
}
