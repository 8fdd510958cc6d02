//! Runs store operations on coroutines, and does their waiting by io_uring.

use std::{io, os::fd::RawFd, rc::Rc, thread};

use ringpost_vfs::coroutine::{Answer, Operation, Step, Wait};

use crate::{shard::Shard, sys};

/// Runs `work` on a stack of the pool until it is done; meanwhile the core serves others whenever it waits.
///
/// The future must be run to its end (not dropped half way): the stack would be leaked.
pub(crate) async fn run<R: 'static>(
    shard: &Rc<Shard>,
    work: impl FnOnce() -> R + 'static,
) -> io::Result<thread::Result<R>> {
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
                match sys::read(fd, offset, length).await {
                    Ok(data) => operation.run(pool, Answer::Read(Ok(&data))),
                    Err(error) => operation.run(pool, Answer::Read(Err(error))),
                }
            }
            Wait::Sync { fd } => {
                shard.metrics.syncs.increment();
                let result = sys::fdatasync(fd).await;
                operation.run(pool, Answer::Done(result))
            }
            Wait::SyncDirectory { fd } => {
                let result = sync_directory(shard, fd).await;
                operation.run(pool, Answer::Done(result))
            }
            Wait::Breathe => {
                glommio::executor().yield_task_queue_now().await;
                operation.run(pool, Answer::Done(Ok(())))
            }
        };
    }
}

/// glommio has no full `fsync`, and a directory needs one: a helper thread does it.
async fn sync_directory(shard: &Rc<Shard>, fd: RawFd) -> io::Result<()> {
    shard.metrics.syncs.increment();
    let directory = std::fs::File::from(sys::duplicate_raw(fd)?);
    shard
        .help(move || directory.sync_all())
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
