//! Runs store operations on coroutines, and does their waiting by io_uring.

use std::{io, rc::Rc, thread};

use ringpost_executor::file;
use ringpost_vfs::coroutine::{Answer, Operation, Step, Wait};

use crate::{shard::Shard, sys};

/// Operations of a core that are begun and not done. Each holds a stack, of which it has touched some 50 to
/// 200 KiB.
pub(crate) const MAX_OPERATIONS: usize = 512;

/// Runs `work` on a stack of the pool until it is done; meanwhile the core serves others whenever it waits.
///
/// The future must be run to its end (not dropped half way): the stack would be leaked.
pub(crate) async fn run<R: 'static>(
    shard: &Rc<Shard>,
    work: impl FnOnce() -> R + 'static,
) -> io::Result<thread::Result<R>> {
    let _permit = shard.operations.acquire().await;
    let pool = &shard.stacks;
    let mut operation = Operation::new(pool, work)?;
    let mut step = operation.run(pool, Answer::Start);
    loop {
        let wait = match step {
            Step::Done(result) => return Ok(result),
            Step::Wait(wait) => wait,
        };
        step = match wait {
            Wait::Read { fd, offset, length } => {
                shard.metrics.cold_reads.increment();
                match file::read_at(fd, offset, length).await {
                    Ok(data) => operation.run(pool, Answer::Read(Ok(&data))),
                    Err(error) => operation.run(pool, Answer::Read(Err(error))),
                }
            }
            Wait::LookUp { path } => {
                let result = file::look_up(path).await;
                operation.run(pool, Answer::Done(result))
            }
            Wait::ReadAhead { fd, offset, length } => {
                file::read_ahead(fd, offset, length);
                operation.run(pool, Answer::Done(Ok(())))
            }
            Wait::Sync { fd } => {
                shard.metrics.syncs.increment();
                let result = sys::fdatasync(fd).await;
                operation.run(pool, Answer::Done(result))
            }
            Wait::SyncDirectory { fd } => {
                shard.metrics.syncs.increment();
                let result = sys::fsync(fd).await;
                operation.run(pool, Answer::Done(result))
            }
            Wait::Breathe => {
                ringpost_executor::yield_now().await;
                operation.run(pool, Answer::Done(Ok(())))
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        fs::File,
        os::fd::AsFd,
        path::{Path, PathBuf},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::testing::{disk_folder, on_core};

    /// Rows of a database too large to be read ahead whole.
    const ROWS: i64 = 8_000;
    const ROW_BYTES: i64 = 6_000;
    const LOOKUPS: i64 = 800;
    const DATABASES: usize = 4;

    fn make_database(path: &Path) {
        let connection = ringpost_vfs::open_database(path, true).unwrap();
        connection
            .execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, filler BLOB)")
            .unwrap();
        let transaction = connection.unchecked_transaction().unwrap();
        for id in 0..ROWS {
            transaction
                .execute("INSERT INTO t VALUES (?1, zeroblob(?2))", [id, ROW_BYTES])
                .unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Takes the file out of the page cache.
    fn make_cold(path: &Path) {
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        sys::drop_from_cache(file.as_fd()).unwrap();
    }

    /// Looks rows up all over the database.
    fn look_up(connection: &rusqlite::Connection) -> i64 {
        let mut statement = connection
            .prepare("SELECT length(filler) FROM t WHERE id = ?1")
            .unwrap();
        (0..LOOKUPS)
            .map(|n| {
                statement
                    .query_row([n * 7919 % ROWS], |row| row.get::<_, i64>(0))
                    .unwrap()
            })
            .sum()
    }

    /// Runs `work` for all databases at once; how late a timer of 1 ms came meanwhile, sorted.
    async fn lateness<F>(shard: &Rc<Shard>, paths: &[PathBuf], work: impl Fn(PathBuf) -> F) -> Vec<Duration>
    where
        F: Future<Output = ()> + 'static,
    {
        let running = Rc::new(Cell::new(paths.len()));
        let late: Rc<RefCell<Vec<Duration>>> = Rc::default();
        let (still, list) = (Rc::clone(&running), Rc::clone(&late));
        let timer = ringpost_executor::spawn_local_into(
            async move {
                // Once at least: all the work may be done before the first tick.
                loop {
                    let start = Instant::now();
                    ringpost_executor::timer::sleep(Duration::from_millis(1)).await;
                    list.borrow_mut()
                        .push(start.elapsed().saturating_sub(Duration::from_millis(1)));
                    if still.get() == 0 {
                        break;
                    }
                }
            },
            shard.queues.interactive,
        );
        for path in paths {
            let (running, work) = (Rc::clone(&running), work(path.clone()));
            let task = async move {
                work.await;
                running.set(running.get() - 1);
            };
            ringpost_executor::spawn_local_into(task, shard.queues.background).detach();
        }
        timer.await;
        let mut late = late.take();
        late.sort_unstable();
        late
    }

    #[test]
    fn cold_pages_do_not_hold_the_core() {
        on_core(1, |shard| async move {
            let folder = disk_folder();
            let paths: Vec<PathBuf> = (0..DATABASES)
                .map(|n| folder.path().join(n.to_string()))
                .collect();
            for path in &paths {
                make_database(path);
            }

            for path in &paths {
                make_cold(path);
            }
            let blocking = lateness(&shard, &paths, |path| async move {
                let connection = rusqlite::Connection::open(path).unwrap();
                assert_eq!(look_up(&connection), LOOKUPS * ROW_BYTES);
            })
            .await;

            for path in &paths {
                make_cold(path);
            }
            let before = shard.metrics.cold_reads.get();
            let started = Instant::now();
            let suspended = lateness(&shard, &paths, |path| {
                let shard = Rc::clone(&shard);
                async move {
                    let sum = run(&shard, move || {
                        let connection = ringpost_vfs::open_database(&path, false).unwrap();
                        look_up(&connection)
                    });
                    assert_eq!(sum.await.unwrap().unwrap(), LOOKUPS * ROW_BYTES);
                }
            })
            .await;
            let cold_reads = shard.metrics.cold_reads.get() - before;
            let p99 = |late: &[Duration]| late[late.len() * 99 / 100];
            eprintln!(
                "blocking: {} ticks, p99 {:?}, worst {:?}; suspended: {} ticks, p99 {:?}, worst {:?}, {cold_reads} \
                 cold reads in {:?}",
                blocking.len(),
                p99(&blocking),
                blocking[blocking.len() - 1],
                suspended.len(),
                p99(&suspended),
                suspended[suspended.len() - 1],
                started.elapsed(),
            );
            assert!(
                cold_reads > 100,
                "only {cold_reads} cold reads: is the page cache off?"
            );
            assert!(
                suspended.len() > blocking.len(),
                "others ran no more often than with blocking reads"
            );
        });
    }

    #[test]
    fn long_computation_lets_others_run() {
        on_core(1, |shard| async move {
            let late = lateness(&shard, &[PathBuf::new()], |_| {
                let shard = Rc::clone(&shard);
                async move {
                    let work = || {
                        let connection = ringpost_vfs::open_database(Path::new(":memory:"), true).unwrap();
                        let count = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
                             SELECT count(*) FROM n";
                        connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
                    };
                    assert_eq!(run(&shard, work).await.unwrap().unwrap(), 1_000_000);
                }
            })
            .await;
            assert!(late.len() > 10, "the timer came {} times", late.len());
            let median = late[late.len() / 2];
            eprintln!(
                "{} ticks, median {median:?} late, worst {:?}",
                late.len(),
                late[late.len() - 1]
            );
            assert!(
                median < Duration::from_millis(20),
                "the median tick was {median:?} late"
            );
        });
    }
}
