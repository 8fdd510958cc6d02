//! Synchronous work that can be suspended: a stack of its own, and what it waits for told to its runner.
//!
//! [`Operation::run`] goes on with the work until it is done or has to wait; the caller waits in its own way
//! and calls `run` again with the [`Answer`]. Stacks come from a [`StackPool`]: a new one costs 24 µs, a
//! switch 6 ns.

use std::{
    cell::{Cell, RefCell},
    ffi::CString,
    io, mem,
    os::fd::RawFd,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice, thread,
    time::{Duration, Instant},
};

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};

/// How long work may hold the core before [`crate::breathe`] suspends it.
pub const SLICE: Duration = Duration::from_millis(1);

/// Address space of one stack. Memory is taken page by page as it is used, so a generous size is free; the
/// deepest users are SQLite's parser and embedded messages in embedded messages.
const STACK_SIZE: usize = 1024 * 1024;

/// What an operation waits for. The descriptors stay open until it is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Data that is not in the page cache; answered by [`Answer::Read`].
    Read {
        /// The file.
        fd: RawFd,
        /// Where.
        offset: u64,
        /// At most this many bytes.
        length: usize,
    },
    /// That the folders and the inode of a path are in the kernel's caches; answered by [`Answer::Done`].
    LookUp {
        /// The file.
        path: CString,
    },
    /// Nothing: these bytes should be read into the page cache by and by. Answered by [`Answer::Done`] at once.
    ReadAhead {
        /// The file.
        fd: RawFd,
        /// Where.
        offset: u64,
        /// How many bytes.
        length: u32,
    },
    /// `fdatasync`; answered by [`Answer::Done`].
    Sync {
        /// The file.
        fd: RawFd,
    },
    /// `fsync` of a directory; answered by [`Answer::Done`].
    SyncDirectory {
        /// The directory.
        fd: RawFd,
    },
    /// Others should have their turn; answered by [`Answer::Done`].
    Breathe,
}

/// What came of the wait.
#[derive(Debug)]
pub enum Answer<'a> {
    /// For the first [`Operation::run`].
    Start,
    /// It is over, well or not.
    Done(io::Result<()>),
    /// The bytes read: at most as many as were asked for, none at the end of the file.
    Read(io::Result<&'a [u8]>),
}

/// Where an operation stands.
pub enum Step<R> {
    /// It can go on when this has happened.
    Wait(Wait),
    /// It has returned, or panicked.
    Done(thread::Result<R>),
}

/// Stacks to be used again.
#[derive(Default)]
pub struct StackPool {
    stacks: RefCell<Vec<DefaultStack>>,
}

impl StackPool {
    /// Idle stacks that are kept; each holds the memory of the deepest use it has seen.
    pub const MAX_IDLE: usize = 64;

    /// Idle stacks.
    pub fn idle(&self) -> usize {
        self.stacks.borrow().len()
    }

    fn take(&self) -> io::Result<DefaultStack> {
        match self.stacks.borrow_mut().pop() {
            Some(stack) => Ok(stack),
            None => DefaultStack::new(STACK_SIZE),
        }
    }

    fn give_back(&self, stack: DefaultStack) {
        let mut stacks = self.stacks.borrow_mut();
        if stacks.len() < Self::MAX_IDLE {
            stacks.push(stack);
        }
    }
}

/// Work on a stack of its own.
///
/// Dropped while suspended, its stack and everything on it are leaked: frames of SQLite can't be unwound.
pub struct Operation<R: 'static> {
    coroutine: Option<Coroutine<RawAnswer, Wait, thread::Result<R>>>,
}

/// An [`Answer`] without its lifetime: the slice is read before the runner's call returns.
enum RawAnswer {
    Done(io::Result<()>),
    Read(io::Result<(*const u8, usize)>),
}

/// The operation that runs on this thread now.
#[derive(Clone, Copy)]
struct Current {
    yielder: *const Yielder<RawAnswer, Wait>,
    since: Instant,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

impl<R: 'static> Operation<R> {
    /// Prepares `work`; it starts at the first [`Self::run`].
    pub fn new(pool: &StackPool, work: impl FnOnce() -> R + 'static) -> io::Result<Self> {
        let coroutine = Coroutine::with_stack(pool.take()?, move |yielder, _: RawAnswer| {
            set_current(yielder);
            catch_unwind(AssertUnwindSafe(work))
        });
        Ok(Self {
            coroutine: Some(coroutine),
        })
    }

    /// Goes on with the work. After [`Step::Done`] its stack is back in `pool`.
    ///
    /// # Panics
    /// When called again after [`Step::Done`].
    pub fn run(&mut self, pool: &StackPool, answer: Answer<'_>) -> Step<R> {
        let mut coroutine = self.coroutine.take().expect("the operation is over");
        let answer = match answer {
            Answer::Start => RawAnswer::Done(Ok(())),
            Answer::Done(result) => RawAnswer::Done(result),
            Answer::Read(result) => RawAnswer::Read(result.map(|data| (data.as_ptr(), data.len()))),
        };
        let outer = CURRENT.take();
        let result = coroutine.resume(answer);
        CURRENT.set(outer);
        match result {
            CoroutineResult::Yield(wait) => {
                self.coroutine = Some(coroutine);
                Step::Wait(wait)
            }
            CoroutineResult::Return(result) => {
                pool.give_back(coroutine.into_stack());
                Step::Done(result)
            }
        }
    }
}

impl<R: 'static> Drop for Operation<R> {
    fn drop(&mut self) {
        if let Some(coroutine) = self.coroutine.take_if(|coroutine| coroutine.started()) {
            mem::forget(coroutine);
        }
    }
}

/// Whether this code runs on an operation's stack.
pub(crate) fn is_running() -> bool {
    CURRENT.get().is_some()
}

/// Whether the running operation has held the core for its slice.
pub(crate) fn slice_is_over() -> bool {
    CURRENT
        .get()
        .is_some_and(|current| current.since.elapsed() >= SLICE)
}

/// Suspends the running operation for something that has no data. `None`: no operation runs here.
pub(crate) fn wait(wait: Wait) -> Option<io::Result<()>> {
    match suspend(wait)? {
        RawAnswer::Done(result) => Some(result),
        RawAnswer::Read(_) => Some(Err(mismatch())),
    }
}

/// Suspends the running operation until data has been read. `None`: no operation runs here.
pub(crate) fn wait_read(fd: RawFd, buffer: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
    let answer = suspend(Wait::Read {
        fd,
        offset,
        length: buffer.len(),
    })?;
    let RawAnswer::Read(result) = answer else {
        return Some(Err(mismatch()));
    };
    Some(result.map(|(data, length)| {
        // SAFETY: the runner's slice lives until its call of `run` returns, which can't be before this
        // operation suspends again or ends; nothing in between does.
        let data = unsafe { slice::from_raw_parts(data, length) };
        let length = length.min(buffer.len());
        buffer[..length].copy_from_slice(&data[..length]);
        length
    }))
}

fn suspend(wait: Wait) -> Option<RawAnswer> {
    let current = CURRENT.get()?;
    if thread::panicking() {
        // A stack that unwinds must not be left: whether a thread panics is counted per thread, and the
        // next task's panic would abort the process. Clean-up after a panic blocks instead.
        return None;
    }
    // SAFETY: `CURRENT` is set only while the coroutine that owns the yielder runs on this thread, and its
    // stack, where the yielder is, lives at least that long.
    let yielder = unsafe { &*current.yielder };
    let answer = yielder.suspend(wait);
    set_current(yielder);
    Some(answer)
}

fn set_current(yielder: &Yielder<RawAnswer, Wait>) {
    CURRENT.set(Some(Current {
        yielder: ptr::from_ref(yielder),
        since: Instant::now(),
    }));
}

fn mismatch() -> io::Error {
    io::Error::other("the answer does not fit what was waited for")
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write, os::unix::fs::FileExt, rc::Rc};

    use super::*;

    /// Runs an operation and does its waits at once; tells what it waited for.
    fn run<R: 'static>(
        pool: &StackPool,
        work: impl FnOnce() -> R + 'static,
    ) -> (thread::Result<R>, Vec<Wait>) {
        let mut operation = Operation::new(pool, work).unwrap();
        let mut waits = Vec::new();
        let mut step = operation.run(pool, Answer::Start);
        loop {
            match step {
                Step::Done(result) => return (result, waits),
                Step::Wait(wait) => {
                    waits.push(wait.clone());
                    step = match wait {
                        Wait::Read { .. } => operation.run(pool, Answer::Read(Ok(b"from the disk"))),
                        _ => operation.run(pool, Answer::Done(Ok(()))),
                    };
                }
            }
        }
    }

    #[test]
    fn a_sync_and_a_cold_read_suspend() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        let pool = StackPool::default();
        let (result, waits) = run(&pool, move || {
            crate::sync_file(&file).unwrap();
            let mut buffer = [0; 4];
            let read = wait_read(9, &mut buffer, 5).unwrap().unwrap();
            (read, buffer)
        });
        assert_eq!(
            result.unwrap(),
            (4, *b"from"),
            "a longer answer is cut to the buffer"
        );
        assert!(matches!(
            waits[..],
            [
                Wait::Sync { .. },
                Wait::Read {
                    fd: 9,
                    offset: 5,
                    length: 4
                }
            ]
        ));
        assert_eq!(pool.stacks.borrow().len(), 1, "the stack is kept");
    }

    #[test]
    fn outside_of_an_operation_calls_block() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        crate::sync_file(&file).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(crate::read_at(&file, &mut buffer, 1).unwrap(), 2);
        crate::breathe();
    }

    #[test]
    fn long_work_breathes_and_short_work_does_not() {
        let pool = StackPool::default();
        let (_, waits) = run(&pool, || {
            crate::breathe();
            let start = Instant::now();
            while start.elapsed() < SLICE {}
            crate::breathe();
            crate::breathe();
        });
        assert_eq!(waits, [Wait::Breathe]);
    }

    #[test]
    fn a_panic_comes_back_and_the_stack_can_be_used_again() {
        let pool = StackPool::default();
        let (result, _) = run(&pool, || panic!("on purpose"));
        assert_eq!(
            *result.map(|()| 0).unwrap_err().downcast::<&str>().unwrap(),
            "on purpose"
        );
        assert!(!is_running());
        assert_eq!(run(&pool, || 7).0.unwrap(), 7);
        assert_eq!(pool.stacks.borrow().len(), 1);
    }

    #[test]
    fn operations_interleave() {
        let pool = StackPool::default();
        let file = Rc::new(File::open("/dev/null").unwrap());
        let mut operations: Vec<_> = (0..3)
            .map(|number| {
                let file = Rc::clone(&file);
                let work = move || {
                    crate::sync_file(&file).unwrap();
                    number
                };
                Operation::new(&pool, work).unwrap()
            })
            .collect();
        for operation in &mut operations {
            assert!(matches!(
                operation.run(&pool, Answer::Start),
                Step::Wait(Wait::Sync { .. })
            ));
            assert!(!is_running());
        }
        for (number, operation) in operations.iter_mut().enumerate().rev() {
            let Step::Done(result) = operation.run(&pool, Answer::Done(Ok(()))) else {
                panic!("waits again");
            };
            assert_eq!(result.unwrap(), number);
        }
    }

    #[test]
    fn a_suspended_operation_is_leaked_not_unwound() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("unwound");
            }
        }
        let pool = StackPool::default();
        let mut operation = Operation::new(&pool, || {
            let bomb = Bomb;
            let _ = wait(Wait::Breathe);
            mem::forget(bomb);
        })
        .unwrap();
        assert!(matches!(
            operation.run(&pool, Answer::Start),
            Step::Wait(Wait::Breathe)
        ));
        drop(operation);
    }
}
