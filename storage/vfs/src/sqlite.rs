//! The VFS that SQLite sees. Reads and syncs go through the crate's root; the rest is plain system calls.
//!
//! Locks do nothing: a database has one connection, and the store locks the mailbox's folder. There are no
//! shared memory methods, so a WAL's index lives on the heap (`locking_mode=EXCLUSIVE`).

use std::{
    cell::RefCell,
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    fs::{File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    ptr, slice,
    sync::OnceLock,
};

use rusqlite::ffi;

use crate::wal::WalWriter;

/// The VFS's name.
const NAME: &CStr = c"ringpost";
/// Longest path, as SQLite's own VFS has it.
const MAX_PATH: c_int = 512;
/// Bytes that a disk writes at once.
const SECTOR_SIZE: c_int = 4096;
/// Files whose name must be durable before their content counts.
const JOURNALS: c_int = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
/// Databases are their owner's and the group's.
const FILE_MODE: u32 = 0o660;

/// Registers the VFS once; returns its name.
pub(crate) fn register() -> rusqlite::Result<&'static CStr> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: configuration takes an int here. It is refused, and nothing is harmed, when SQLite is
        // in use already. The counters it turns off are behind one mutex for the whole process.
        unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int) };
        // SAFETY: a null name asks for the default VFS; the result lives as long as the process.
        let default = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        if default.is_null() {
            return ffi::SQLITE_ERROR;
        }
        // SAFETY: not null, and SQLite does not change it.
        let default_ref = unsafe { &*default };
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 1,
            szOsFile: size_of::<VfsFile>() as c_int,
            mxPathname: MAX_PATH,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: default.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            // These ignore the VFS they are called with.
            xRandomness: default_ref.xRandomness,
            xSleep: default_ref.xSleep,
            xCurrentTime: default_ref.xCurrentTime,
            xGetLastError: default_ref.xGetLastError,
            xCurrentTimeInt64: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the structure is complete and never freed.
        unsafe { ffi::sqlite3_vfs_register(vfs, 0) }
    });
    if code == ffi::SQLITE_OK {
        Ok(NAME)
    } else {
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }
}

/// SQLite's file handle; it allocates the memory, `open` fills it.
#[repr(C)]
struct VfsFile {
    base: ffi::sqlite3_file,
    state: *mut OpenFile,
}

struct OpenFile {
    file: File,
    /// The folder of a journal or WAL that may be new: synced with the file's first sync, since the
    /// content of a file without a name is lost.
    unsynced_folder: RefCell<Option<PathBuf>>,
    /// For a WAL: its writes are gathered.
    wal: Option<WalWriter>,
}

impl OpenFile {
    /// Writes what a WAL gathered: before anything else touches the file.
    fn flush(&self) -> io::Result<()> {
        self.wal.as_ref().map_or(Ok(()), |wal| wal.flush(&self.file))
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// # Safety
/// `file` was filled by `open` and is not closed yet.
unsafe fn state<'a>(file: *mut ffi::sqlite3_file) -> &'a OpenFile {
    // SAFETY: by the contract above.
    unsafe { &*(*file.cast::<VfsFile>()).state }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let handle = file.cast::<VfsFile>();
    // SAFETY: SQLite gives `szOsFile` bytes. Without methods it won't call `close` after an error.
    unsafe { (*handle).base.pMethods = ptr::null() };
    let mut unsynced_folder = None;
    let opened = if name.is_null() {
        open_temporary().map(|file| (file, flags))
    } else {
        // SAFETY: SQLite's names end with a zero.
        let path = path_of(unsafe { CStr::from_ptr(name) });
        if flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & JOURNALS != 0 {
            unsynced_folder = path.parent().map(Path::to_owned);
        }
        open_named(path, flags)
    };
    let Ok((opened, flags)) = opened else {
        return ffi::SQLITE_CANTOPEN;
    };
    let state = OpenFile {
        file: opened,
        unsynced_folder: RefCell::new(unsynced_folder),
        wal: (flags & ffi::SQLITE_OPEN_WAL != 0).then(WalWriter::default),
    };
    // SAFETY: as above; `out_flags` may be null.
    unsafe {
        (*handle).state = Box::into_raw(Box::new(state));
        (*handle).base.pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

/// A file without a name, for sorts that don't fit into memory.
fn open_temporary() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE)
        .open(std::env::temp_dir())
}

fn open_named(path: &Path, flags: c_int) -> io::Result<(File, c_int)> {
    let write = flags & ffi::SQLITE_OPEN_READWRITE != 0;
    let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let exclusive = create && flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0;
    let options = |write: bool| {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(write)
            .create(write && create)
            .mode(FILE_MODE);
        if exclusive {
            options.create_new(true);
        }
        options.custom_flags(libc::O_NOFOLLOW);
        options.open(path)
    };
    let (file, flags) = match options(write) {
        Ok(file) => (file, flags),
        Err(error) if write && !exclusive && is_read_only(&error) => {
            let flags =
                flags & !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE) | ffi::SQLITE_OPEN_READONLY;
            (options(false)?, flags)
        }
        Err(error) => return Err(error),
    };
    if flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0 {
        std::fs::remove_file(path)?;
    }
    Ok((file, flags))
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn path_of(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` made the box, and SQLite closes once.
    drop(unsafe { Box::from_raw((*file.cast::<VfsFile>()).state) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file and a buffer of `amount` bytes of its own.
    let (state, buffer) = unsafe {
        (
            state(file),
            slice::from_raw_parts_mut(buffer.cast::<u8>(), amount as usize),
        )
    };
    if let Err(error) = state.flush() {
        return write_error(&error);
    }
    let file = &state.file;
    let mut filled = 0;
    while filled < buffer.len() {
        match crate::read_at(file, &mut buffer[filled..], offset as u64 + filled as u64) {
            Ok(0) => {
                // SQLite relies on zeros behind the end.
                buffer[filled..].fill(0);
                return ffi::SQLITE_IOERR_SHORT_READ;
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return ffi::SQLITE_IOERR_READ,
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file and `amount` bytes.
    let (state, data) = unsafe {
        (
            state(file),
            slice::from_raw_parts(data.cast::<u8>(), amount as usize),
        )
    };
    // A checkpoint is a long row of reads and writes in which SQLite asks nobody whether to go on.
    crate::breathe();
    let written = match &state.wal {
        Some(wal) => wal.write(&state.file, data, offset as u64),
        None => state.file.write_all_at(data, offset as u64),
    };
    match written {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) => write_error(&error),
    }
}

fn write_error(error: &io::Error) -> c_int {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ffi::SQLITE_FULL,
        _ => ffi::SQLITE_IOERR_WRITE,
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes an open file.
    let state = unsafe { state(file) };
    let truncated = state.flush().and_then(|()| state.file.set_len(size as u64));
    if let Some(wal) = &state.wal {
        wal.truncated(size as u64);
    }
    code(truncated, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let state = unsafe { state(file) };
    if state.flush().is_err() || crate::sync_file(&state.file).is_err() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    match state.unsynced_folder.take() {
        Some(folder) => code(crate::sync_directory(&folder), ffi::SQLITE_IOERR_DIR_FSYNC),
        None => ffi::SQLITE_OK,
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes an open file.
    let state = unsafe { state(file) };
    let Ok(metadata) = state.flush().and_then(|()| state.file.metadata()) else {
        return ffi::SQLITE_IOERR_FSTAT;
    };
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *size = metadata.size() as ffi::sqlite3_int64 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut ffi::sqlite3_file, reserved: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *reserved = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_SIZE
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    // A write cut short by a power failure does not harm its neighbours: SQLite's default for Unix.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite's names end with a zero.
    let path = path_of(unsafe { CStr::from_ptr(name) });
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => return ffi::SQLITE_IOERR_DELETE,
        Ok(()) => {}
    }
    match path.parent() {
        Some(parent) if sync_directory != 0 => {
            code(crate::sync_directory(parent), ffi::SQLITE_IOERR_DIR_FSYNC)
        }
        _ => ffi::SQLITE_OK,
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: `register` put the default VFS, which lives for ever, into `pAppData`.
    unsafe {
        let default = (*vfs).pAppData.cast::<ffi::sqlite3_vfs>();
        match (*default).xAccess {
            Some(access) => access(default, name, flags, result),
            None => ffi::SQLITE_IOERR_ACCESS,
        }
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    length: c_int,
    result: *mut c_char,
) -> c_int {
    // SAFETY: as in `access`.
    unsafe {
        let default = (*vfs).pAppData.cast::<ffi::sqlite3_vfs>();
        match (*default).xFullPathname {
            Some(full_pathname) => full_pathname(default, name, length, result),
            None => ffi::SQLITE_CANTOPEN,
        }
    }
}

fn code<E>(result: Result<(), E>, error: c_int) -> c_int {
    result.map_or(error, |()| ffi::SQLITE_OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        coroutine::{Answer, Operation, StackPool, Step, Wait},
        open_database,
    };

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
    fn what_our_vfs_wrote_sqlites_own_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite3");
        fill(&path, 10);
        let connection = rusqlite::Connection::open(&path).unwrap();
        let rows: i64 = connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 10);
    }

    #[test]
    fn a_missing_database_is_not_made_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.sqlite3");
        assert!(open_database(&path, false).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn cold_pages_suspend_and_the_answer_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite3");
        fill(&path, 3000);
        let database = File::open(&path).unwrap();
        database.sync_all().unwrap();
        // SAFETY: advice on a descriptor of ours.
        let advised = unsafe {
            libc::posix_fadvise(
                std::os::fd::AsRawFd::as_raw_fd(&database),
                0,
                0,
                libc::POSIX_FADV_DONTNEED,
            )
        };
        assert_eq!(advised, 0);

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
}
