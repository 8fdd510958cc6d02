//! System calls that the standard library does not have, and syncs, which tests let fail.
#![allow(unsafe_code)] // Plain system calls; each says why it is sound.

#[cfg(test)]
use std::os::fd::BorrowedFd;
use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use ringpost_executor::file;

#[cfg(test)]
thread_local! {
    /// Whether this core's disk is broken.
    pub(crate) static FAIL_SYNCS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// `fdatasync` by io_uring. The caller keeps the descriptor open until this returns.
pub(crate) async fn fdatasync(fd: RawFd) -> io::Result<()> {
    #[cfg(test)]
    if FAIL_SYNCS.get() {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    file::sync_data(fd).await
}

/// `fsync` by io_uring, for directories. The caller keeps the descriptor open until this returns.
pub(crate) async fn fsync(fd: RawFd) -> io::Result<()> {
    file::sync_all(fd).await
}

/// Gives memory that is free back to the system: this thread's, and what other threads freed in large pieces
/// (a password hash works in 19 MiB). The allocator does it by itself only when a thread goes on allocating.
pub(crate) fn release_memory() {
    // SAFETY: takes a flag, and touches what the allocator knows to be free.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Asks for a file's first bytes to be read into the page cache by and by.
pub(crate) fn will_need(fd: RawFd, bytes: u64) {
    // SAFETY: advice on a descriptor; whatever it is, nothing but time is lost.
    unsafe { libc::posix_fadvise(fd, 0, bytes as libc::off_t, libc::POSIX_FADV_WILLNEED) };
}

/// Lets other threads go before the one that calls this, where processors are scarce.
pub(crate) fn be_nice(niceness: i32) {
    // SAFETY: changes a number of this thread (Linux: 0 is the caller's thread, not its process). Becoming nicer
    // is always allowed; if it were not, only the order of work would suffer.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
}

/// Has the kernel back this process with small pages only: call it before much is allocated. The allocator asks
/// for huge ones, and a page of 2 MiB of which a little is used is resident all the same: twice the memory after a
/// start.
pub fn use_small_pages() {
    /// `mi_option_purge_delay`, in milliseconds: how long freed pages wait for being used again. A second, as the
    /// allocator has it, is as much as closing a thousand mailboxes frees.
    const PURGE_DELAY: libc::c_int = 15;
    const DELAY_MS: libc::c_long = 50;
    // SAFETY: takes numbers only. Where the kernel does not know it, all is as before.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    // SAFETY: takes numbers only, and the option exists in all versions since 2.0.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, DELAY_MS) };
}

/// The CPUs that this process may use, in order.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: an all-zero set is an empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours, and its size is told.
    let failed = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is inside the set.
    let allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(allowed).collect())
}

/// Raises a soft limit to the hard one; returns what it is then.
pub(crate) fn raise_limit(resource: libc::__rlimit_resource_t) -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Whether the calls that every core depends on are there and allowed: asked once, before anything is begun.
pub(crate) fn probe_io_uring() -> io::Result<()> {
    /// `struct io_uring_params`, zeroed: no flags.
    const PARAMETERS_BYTES: usize = 120;
    /// `IORING_REGISTER_PROBE` and what it fills: a head of 16 bytes, and 8 for each of 256 operations.
    const REGISTER_PROBE: libc::c_long = 8;
    const OPERATIONS: usize = 256;
    const NONE: libc::c_long = 0;
    const ONE: libc::c_long = 1;
    let check = |result: libc::c_long| match result {
        0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    };
    let mut parameters = [0_u64; PARAMETERS_BYTES / 8];
    // SAFETY: the kernel writes into the parameters, which are as long as its structure.
    let ring = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, ONE, parameters.as_mut_ptr()) })?;
    // SAFETY: the descriptor was just made, and is nobody else's.
    let ring = unsafe { OwnedFd::from_raw_fd(ring as RawFd) };
    let mut probe = [0_u64; 2 + OPERATIONS];
    // SAFETY: the kernel writes a head and as many entries as it is told there is room for.
    check(unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_PROBE,
            probe.as_mut_ptr(),
            OPERATIONS,
        )
    })?;
    // SAFETY: submits nothing and waits for nothing.
    check(unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring.as_raw_fd(),
            NONE,
            NONE,
            NONE,
            NONE,
            NONE,
        )
    })?;
    Ok(())
}

/// Asks the kernel to forget a file's pages.
#[cfg(test)]
pub(crate) fn drop_from_cache(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: advice on a descriptor that is open.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}
