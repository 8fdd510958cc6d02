//! The io_uring: operations from tasks to the kernel, and completions back.
//!
//! An operation has a slot until the kernel has completed it, also when nobody waits for it any more: the
//! memory that the kernel may write to belongs to the slot.
#![allow(unsafe_code)] // Pushing an entry is unsafe: its descriptor and memory must last. See `push`.

use std::{
    collections::VecDeque,
    ffi::CString,
    io, mem,
    os::fd::RawFd,
    ptr,
    task::{Context, Poll, Waker},
    time::Duration,
};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

use crate::sys;

/// Completions that nobody waits for carry this.
const IGNORED: u64 = u64::MAX;
/// The read of the eventfd.
const SLEEP: u64 = u64::MAX - 1;
/// Completions that have room before the kernel has to keep them elsewhere.
const COMPLETIONS: u32 = 4096;
/// Kernel threads that a ring may use for what blocks (syncs, cold reads) at once. The kernel's own limit,
/// four a CPU, would keep a disk from seeing syncs of many files side by side.
const BLOCKING_WORKERS: u32 = 64;
/// Connections that are turned away at once, and have no descriptor.
const TURNED_AWAY_AT_ONCE: u32 = 16;
/// `struct statx`.
const STATX_BYTES: usize = 256;

pub(crate) struct Ring {
    uring: IoUring,
    slots: Slab<Slot>,
    /// What found no room in the submission queue.
    backlog: VecDeque<squeue::Entry>,
    /// Where the eventfd is read to; boxed so that it stays where it is.
    woken: Box<u64>,
    sleep_fd: RawFd,
    sleep_armed: bool,
    /// Operations that a disk or a worker has.
    blocking: usize,
    /// Linux 5.13: one request tells of every change.
    has_multishot: bool,
    /// Linux 5.19: a connection can be accepted into a table of the ring's, without a descriptor.
    has_table: bool,
}

struct Slot {
    state: State,
    memory: Vec<u8>,
    kind: Kind,
    /// The kernel will complete it, or once more.
    armed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The disk's, or a worker's.
    Blocking,
    Poll,
}

enum State {
    Waiting(Option<Waker>),
    Done(i32),
    /// Its task has gone.
    Abandoned,
}

/// What a task asks the kernel for.
pub(crate) enum Request {
    /// `fdatasync`.
    SyncData { fd: RawFd },
    /// `fsync`.
    SyncAll { fd: RawFd },
    /// Reads up to the memory's length at an offset.
    Read { fd: RawFd, offset: u64, length: usize },
    /// `statx`, of whose answer nothing is wanted: afterwards the path's parts are in the kernel's caches.
    LookUp { path: CString },
    /// Accepts a connection that waits already into the ring's table; the answer is its place there.
    AcceptIntoTable { fd: RawFd },
    /// Sends what the connection at that place takes at once.
    SendFromTable { place: u32, bytes: &'static [u8] },
    /// Closes the connection at that place.
    CloseInTable { place: u32 },
    /// Waits until the descriptor is ready for something of `events` (`POLLIN`, `POLLOUT`).
    Ready { fd: RawFd, events: i16 },
    /// Tells of `events` at first, and then of every change, until it is abandoned. Where the kernel can't, or has no
    /// room, it tells once and ends.
    Changes { fd: RawFd, events: i16 },
}

/// What a request that goes on has told.
pub(crate) struct Told {
    pub(crate) result: i32,
    /// It has ended, and its key with it.
    pub(crate) ended: bool,
}

impl Ring {
    pub(crate) fn new(entries: u32, sleep_fd: RawFd) -> io::Result<Self> {
        let ring = build(entries)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        // Came with the same version.
        let has_multishot = ring.params().is_feature_resource_tagging();
        // Linux 5.15; without it the kernel's limit stays.
        let _ = ring
            .submitter()
            .register_iowq_max_workers(&mut [BLOCKING_WORKERS, 0]);
        let has_table = ring
            .submitter()
            .register_files_sparse(TURNED_AWAY_AT_ONCE)
            .is_ok();
        Ok(Self {
            uring: ring,
            slots: Slab::new(),
            backlog: VecDeque::new(),
            woken: Box::default(),
            sleep_fd,
            sleep_armed: false,
            blocking: 0,
            has_multishot,
            has_table,
        })
    }

    /// Keeps what blocks on one CPU.
    pub(crate) fn bind_workers(&self, cpu: usize) -> io::Result<()> {
        let set = sys::only(cpu)?;
        // Linux 5.14; without it they run anywhere.
        let _ = self.uring.submitter().register_iowq_aff(&set);
        Ok(())
    }

    /// Whether the kernel has something for this thread: completions, or such that wait to be worked on. Looks at
    /// memory only.
    pub(crate) fn has_news(&mut self) -> bool {
        let queue = self.uring.submission();
        let waits = queue.taskrun() || queue.cq_overflow();
        drop(queue);
        waits || !self.uring.completion().is_empty()
    }

    /// Whether the disk, or a worker, has something to do.
    pub(crate) fn awaits_disk(&self) -> bool {
        self.blocking > 0
    }

    /// Whether connections can be accepted into the ring's table.
    pub(crate) fn has_table(&self) -> bool {
        self.has_table
    }

    /// Begins an operation; the key is for [`Self::poll`] or [`Self::abandon`], one of which must follow.
    pub(crate) fn start(&mut self, request: &Request) -> usize {
        let memory = match request {
            Request::Read { length, .. } => vec![0; *length],
            Request::LookUp { path } => [&[0; STATX_BYTES], path.as_bytes_with_nul()].concat(),
            _ => Vec::new(),
        };
        let kind = match request {
            Request::SyncData { .. }
            | Request::SyncAll { .. }
            | Request::Read { .. }
            | Request::LookUp { .. } => Kind::Blocking,
            Request::Ready { .. }
            | Request::Changes { .. }
            | Request::AcceptIntoTable { .. }
            | Request::SendFromTable { .. }
            | Request::CloseInTable { .. } => Kind::Poll,
        };
        self.blocking += usize::from(kind == Kind::Blocking);
        let key = self.slots.insert(Slot {
            state: State::Waiting(None),
            memory,
            kind,
            armed: true,
        });
        let entry = match *request {
            Request::LookUp { .. } => {
                let memory = self.slots[key].memory.as_mut_ptr();
                let path = memory.wrapping_add(STATX_BYTES).cast();
                // What is asked for costs nothing: the kind of file.
                opcode::Statx::new(types::Fd(libc::AT_FDCWD), path, memory.cast())
                    .mask(libc::STATX_TYPE)
                    .build()
                    .flags(squeue::Flags::ASYNC)
            }
            Request::SyncData { fd } => opcode::Fsync::new(types::Fd(fd))
                .flags(types::FsyncFlags::DATASYNC)
                .build(),
            Request::SyncAll { fd } => opcode::Fsync::new(types::Fd(fd)).build(),
            Request::Read { fd, offset, length } => {
                let memory = self.slots[key].memory.as_mut_ptr();
                // At once by a worker: the kernel would first try without waiting, which it can't, and hold the
                // core while it prepares the reading ahead of up to megabytes.
                opcode::Read::new(types::Fd(fd), memory, length as u32)
                    .offset(offset)
                    .build()
                    .flags(squeue::Flags::ASYNC)
            }
            Request::AcceptIntoTable { fd } => {
                opcode::Accept::new(types::Fd(fd), ptr::null_mut(), ptr::null_mut())
                    .file_index(Some(types::DestinationSlot::auto_target()))
                    .build()
            }
            Request::SendFromTable { place, bytes } => {
                opcode::Send::new(types::Fixed(place), bytes.as_ptr(), bytes.len() as u32)
                    .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                    .build()
            }
            Request::CloseInTable { place } => opcode::Close::new(types::Fixed(place)).build(),
            Request::Ready { fd, events } => opcode::PollAdd::new(types::Fd(fd), events as u32).build(),
            Request::Changes { fd, events } => opcode::PollAdd::new(types::Fd(fd), events as u32)
                .multi(self.has_multishot)
                .build(),
        };
        self.push(entry.user_data(key as u64));
        key
    }

    /// Begins reading into the page cache, by a worker: where the blocks of a file are may have to be read, too.
    pub(crate) fn read_ahead(&mut self, fd: RawFd, offset: u64, length: u32) {
        let entry = opcode::Fadvise::new(types::Fd(fd), length.into(), libc::POSIX_FADV_WILLNEED)
            .offset(offset)
            .build();
        self.push(entry.flags(squeue::Flags::ASYNC).user_data(IGNORED));
    }

    /// The operation's result and memory, once.
    pub(crate) fn poll(&mut self, key: usize, context: &mut Context<'_>) -> Poll<(i32, Vec<u8>)> {
        match &mut self.slots[key].state {
            State::Done(_) => {}
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            State::Abandoned => return Poll::Pending,
        }
        let slot = self.slots.remove(key);
        match slot.state {
            State::Done(result) => Poll::Ready((result, slot.memory)),
            _ => Poll::Pending,
        }
    }

    /// What the operation, which may go on, has told last, once.
    pub(crate) fn poll_change(&mut self, key: usize, context: &mut Context<'_>) -> Poll<Told> {
        let slot = &mut self.slots[key];
        let told = match &mut slot.state {
            State::Done(result) => Told {
                result: *result,
                ended: !slot.armed,
            },
            State::Waiting(Some(waker)) => {
                waker.clone_from(context.waker());
                return Poll::Pending;
            }
            State::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            State::Abandoned => return Poll::Pending,
        };
        if told.ended {
            self.slots.remove(key);
        } else {
            slot.state = State::Waiting(None);
        }
        Poll::Ready(told)
    }

    /// The same without waiting.
    pub(crate) fn take_change(&mut self, key: usize) -> Option<Told> {
        match self.slots[key].state {
            State::Done(_) => match self.poll_change(key, &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(told) => Some(told),
                Poll::Pending => None,
            },
            _ => None,
        }
    }

    /// Nobody waits for the operation any more. Returns what must be dropped after the ring is let go: a
    /// waker may be the last of its task.
    pub(crate) fn abandon(&mut self, key: usize) -> Option<Waker> {
        let slot = &mut self.slots[key];
        let state = mem::replace(&mut slot.state, State::Abandoned);
        if slot.armed {
            self.push(opcode::AsyncCancel::new(key as u64).build().user_data(IGNORED));
        } else {
            self.slots.remove(key);
        }
        match state {
            State::Waiting(waker) => waker,
            State::Done(_) | State::Abandoned => None,
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() || !self.push_now(&entry) {
            self.backlog.push_back(entry);
        }
    }

    fn push_now(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: memory that an entry names is in its slot, which stays until the completion, static, or in
        // `woken`, which stays as long as the ring. A descriptor that was closed, or closed and used again, makes the
        // kernel refuse, poll or read another file: wrong at worst, never unsound.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    /// Submits, waits for `wait` if nothing has completed (`None`: for ever), and collects the tasks to wake.
    pub(crate) fn turn(&mut self, wait: Option<Duration>, to_wake: &mut Vec<Waker>) -> io::Result<()> {
        if !self.sleep_armed && wait != Some(Duration::ZERO) {
            let to = (&raw mut *self.woken).cast();
            let read = opcode::Read::new(types::Fd(self.sleep_fd), to, size_of::<u64>() as u32);
            self.push(read.build().user_data(SLEEP));
            self.sleep_armed = true;
        }
        loop {
            while let Some(entry) = self.backlog.front().cloned() {
                if !self.push_now(&entry) {
                    break;
                }
                self.backlog.pop_front();
            }
            let wait = if self.backlog.is_empty() {
                wait
            } else {
                Some(Duration::ZERO)
            };
            self.enter(wait)?;
            self.collect(to_wake);
            if self.backlog.is_empty() {
                return Ok(());
            }
        }
    }

    fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let queue = self.uring.submission();
        let nothing_to_say = queue.is_empty() && !queue.taskrun() && !queue.cq_overflow();
        drop(queue);
        let completed = !self.uring.completion().is_empty();
        let entered = if completed || wait == Some(Duration::ZERO) {
            if nothing_to_say {
                return Ok(());
            }
            self.uring.submitter().submit_and_wait(0)
        } else if let Some(wait) = wait {
            let time = types::Timespec::from(wait);
            let arguments = types::SubmitArgs::new().timespec(&time);
            self.uring.submitter().submit_with_args(1, &arguments)
        } else {
            self.uring.submitter().submit_and_wait(1)
        };
        match entered {
            Ok(_) => Ok(()),
            // The time is over; a signal; too many completions at once, which `collect` makes room for; no
            // memory at the moment: what was not submitted stays in the queue for the next turn.
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn collect(&mut self, to_wake: &mut Vec<Waker>) {
        for completion in self.uring.completion() {
            match completion.user_data() {
                IGNORED => {}
                SLEEP => self.sleep_armed = false,
                key => {
                    let key = key as usize;
                    let Some(slot) = self.slots.get_mut(key) else {
                        continue;
                    };
                    slot.armed = cqueue::more(completion.flags());
                    if slot.kind == Kind::Blocking {
                        self.blocking -= 1;
                    }
                    match &mut slot.state {
                        State::Abandoned if !slot.armed => {
                            self.slots.remove(key);
                        }
                        State::Abandoned => {}
                        state => {
                            // A newer answer has all that an older one had: it tells what is, not what changed.
                            let before = mem::replace(state, State::Done(completion.result()));
                            if let State::Waiting(waker) = before {
                                to_wake.extend(waker);
                            }
                        }
                    }
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len()
    }

    /// Gives up all wakers; the operations stay.
    pub(crate) fn forget_tasks(&mut self) -> Vec<Waker> {
        let slots = self.slots.iter_mut();
        slots
            .filter_map(|(_, slot)| match &mut slot.state {
                State::Waiting(waker) => waker.take(),
                _ => None,
            })
            .collect()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Closing the ring ends operations in the kernel, but not at once: what they write to must stay.
        if !self.slots.is_empty() || self.sleep_armed {
            mem::forget(mem::take(&mut self.slots));
            Box::leak(mem::take(&mut self.woken));
        }
    }
}

/// The newest kind of ring that the kernel has: completions are worked on when this thread asks for them, not
/// by interrupting it (Linux 6.1), or at least without interrupting it by another processor (5.19).
fn build(entries: u32) -> io::Result<IoUring> {
    let mut newest = IoUring::builder();
    newest
        .setup_cqsize(COMPLETIONS)
        .setup_clamp()
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag();
    let mut newer = IoUring::builder();
    newer
        .setup_cqsize(COMPLETIONS)
        .setup_clamp()
        .setup_coop_taskrun()
        .setup_taskrun_flag();
    let mut old = IoUring::builder();
    old.setup_cqsize(COMPLETIONS).setup_clamp();
    let mut error = None;
    for builder in [newest, newer, old] {
        match builder.build(entries) {
            Ok(ring) => return Ok(ring),
            // A flag that it does not know.
            Err(refused) if refused.raw_os_error() == Some(libc::EINVAL) => error = Some(refused),
            Err(refused) => return Err(refused),
        }
    }
    Err(error.unwrap_or_else(|| io::ErrorKind::Unsupported.into()))
}
