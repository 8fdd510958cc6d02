//! The few calls where descriptors change hands between this crate and glommio.
#![allow(unsafe_code)] // `FromRawFd` is unsafe; each use says who owns the descriptor.

use std::{
    cell::RefCell,
    io,
    mem::ManuallyDrop,
    net::TcpListener as StdListener,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    rc::Rc,
};

use glommio::{
    io::{BufferedFile, ReadResult},
    net::{TcpListener, TcpStream},
};

/// A file that glommio may read and sync, and must not close.
type Borrowed = Rc<ManuallyDrop<BufferedFile>>;

thread_local! {
    /// By descriptor. glommio keeps nothing about the file itself in them, so an entry stays good when its
    /// number is used again; and there are never more than open descriptors.
    static FILES: RefCell<Vec<Option<Borrowed>>> = const { RefCell::new(Vec::new()) };
}

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
    borrowed(fd).fdatasync().await.map_err(into_io)
}

/// Reads by io_uring. The caller keeps the descriptor open until this returns.
pub(crate) async fn read(fd: RawFd, offset: u64, length: usize) -> io::Result<ReadResult> {
    borrowed(fd).read_at(offset, length).await.map_err(into_io)
}

fn borrowed(fd: RawFd) -> Borrowed {
    FILES.with_borrow_mut(|files| {
        let index = fd as usize;
        if files.len() <= index {
            files.resize(index + 1, None);
        }
        let entry = files[index].get_or_insert_with(|| {
            // SAFETY: the value is never dropped, so it never closes the descriptor, which stays its
            // owner's. Used after the owner closed it, the kernel refuses it or reads another file's
            // bytes into a buffer of glommio's: wrong at worst, never unsound.
            Rc::new(ManuallyDrop::new(unsafe { BufferedFile::from_raw_fd(fd) }))
        });
        Rc::clone(entry)
    })
}

/// A listener bound elsewhere becomes this executor's.
pub(crate) fn adopt_listener(listener: StdListener) -> TcpListener {
    // SAFETY: the descriptor is open and handed over.
    unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) }
}

/// A connection from another executor becomes this one's.
pub(crate) fn adopt_stream(fd: OwnedFd) -> TcpStream {
    // SAFETY: the descriptor is open and handed over.
    unsafe { TcpStream::from_raw_fd(fd.into_raw_fd()) }
}

/// A second descriptor of the connection, which may go to another executor. The stream's own can't: io_uring
/// still polls it here.
pub(crate) fn duplicate(stream: &TcpStream) -> io::Result<OwnedFd> {
    // SAFETY: the stream keeps the descriptor open during this call.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }.try_clone_to_owned()
}

/// `fsync` for a descriptor that somebody else keeps open until this returns.
pub(crate) fn duplicate_raw(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the suspended operation that asks for the sync keeps the descriptor open meanwhile.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// The error with its number: glommio's own conversion replaces it by a text.
pub(crate) fn into_io<T>(error: glommio::GlommioError<T>) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error.into(),
    }
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

/// Whether the calls that every core depends on are there and allowed. glommio would panic where they are not.
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
