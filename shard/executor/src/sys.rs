//! System calls that the standard library does not have.
#![allow(unsafe_code)] // Each call says why it is sound.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// A CPU by itself. Fails for one that no set has room for.
pub(crate) fn only(cpu: usize) -> io::Result<libc::cpu_set_t> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: an all-zero set is an empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is inside the set, see above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    Ok(set)
}

/// Binds the calling thread to a CPU.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    let set = only(cpu)?;
    // SAFETY: the set is ours, and its size is told.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A counter that a ring can read.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the counter readable.
pub(crate) fn add_to_eventfd(fd: RawFd) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: reads eight bytes of ours. It can't fail: the counter is far from full.
    unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
}

/// Whether something has come, without waiting for it: to a listener, a connection.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut asked = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, which is ours.
    match unsafe { libc::poll(&raw mut asked, 1, 0) } {
        ready if ready >= 0 => Ok(asked.revents & libc::POLLIN != 0),
        _ => Err(io::Error::last_os_error()),
    }
}
