//! The VFS that SQLite sees. Reads and syncs go through the crate's root; the rest is plain system calls.
//!
//! Locks do nothing: a database has one connection, and the store locks the mailbox's folder. The memory that a WAL's
//! index is in is shared with nobody either; that it is the VFS's, not SQLite's own, is what lets a connection get
//! other files ([`crate::spare`]).

mod connection;
mod index;
pub(crate) mod leaves;
pub(crate) mod replace;
pub(crate) mod values;

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    ptr,
    rc::Rc,
    slice,
    sync::OnceLock,
};

use connection::{file_of, handle_of};
pub(crate) use connection::{
    first_reads, has_later, is_wal_name_durable, keep_wal, kept_of, page_cache_bytes, read_later,
    schema_bytes, set_nothing_aside, statement_bytes, wal_bytes,
};
use replace::UNFIT_HEADER;
use rusqlite::ffi;

use crate::{
    Ahead,
    ahead::Reading,
    hint::{FirstReads, PAGE_BYTES, ranges},
    pages::Pages,
    spare::Shape,
    wal::{EMPTY_BYTES, WalWriter},
};

/// The VFS's name.
const NAME: &CStr = c"ringpost";
/// Longest path, as SQLite's own VFS has it.
const MAX_PATH: c_int = 512;
/// Bytes that a disk writes at once.
const SECTOR_SIZE: c_int = 4096;
/// Files whose name must be durable before their content counts.
const JOURNALS: c_int = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
/// Databases are their owner's and the group's.
pub(crate) const FILE_MODE: u32 = 0o660;

/// A database up to this length is read ahead whole: it takes one request where its pages would take several.
pub const SMALL_BYTES: u64 = 512 * 1024;
/// What is read ahead of a larger one of which nothing is known: its schema, and what was made first.
const FIRST_BYTES: u32 = 64 * 1024;

thread_local! {
    /// For the database that is being opened.
    static AHEAD: Cell<Option<Ahead>> = const { Cell::new(None) };
}

/// Has `open` take `ahead` for the first file that it opens.
pub(crate) fn with_ahead<R>(ahead: Ahead, open: impl FnOnce() -> R) -> R {
    AHEAD.set(Some(ahead));
    let opened = open();
    AHEAD.take();
    opened
}

/// Has SQLite give memory only where it is needed. It takes that only before its first use, whoever that is: `false`
/// says that it did not.
pub(crate) fn configure() -> bool {
    static ACCEPTED: OnceLock<bool> = OnceLock::new();
    *ACCEPTED.get_or_init(|| {
        let (none, size, count): (*mut c_void, c_int, c_int) = (ptr::null_mut(), 0, 0);
        let answers = [
            // The counters of memory are behind one mutex for the whole process.
            // SAFETY: takes an int. All of these are refused, and nothing is harmed, when SQLite is in use already.
            unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int) },
            // Each page cache would get 20 pages (87 KiB) at once, most of which a small mailbox never needs, and
            // which are not given back when it is asked for memory.
            // SAFETY: takes a pointer (null: from the heap) and two ints.
            unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_PAGECACHE, none, size, count) },
            // Each connection would prepare 48 KiB that [`set_nothing_aside`] gives back.
            // SAFETY: takes two ints.
            unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_LOOKASIDE, size, count) },
        ];
        answers == [ffi::SQLITE_OK; 3]
    })
}

/// Registers the VFS once; returns its name.
pub(crate) fn register() -> rusqlite::Result<&'static CStr> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        configure();
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
pub(crate) struct VfsFile {
    base: ffi::sqlite3_file,
    /// Null: the handle has no file at the moment ([`replace`]).
    state: *mut OpenFile,
    /// What stays when the file is replaced.
    kept: *mut Kept,
}

/// What a handle has besides its file.
#[derive(Default)]
pub(crate) struct Kept {
    /// For a database: the regions of its WAL's index. SQLite keeps pointers to them.
    index: RefCell<Vec<Box<[u64]>>>,
    /// For a database: what its connection knows of the schema, once that is known.
    pub(crate) shape: RefCell<Option<Rc<Shape>>>,
}

/// A database's file or WAL.
pub(crate) struct OpenFile {
    file: File,
    /// The folder of a journal or WAL that may be new: synced with the file's first sync, since the
    /// content of a file without a name is lost.
    unsynced_folder: RefCell<Option<PathBuf>>,
    /// For a WAL: its writes are gathered.
    wal: Option<WalWriter>,
    /// For a database: whether its WAL stays when it is closed.
    keeps_wal: Cell<bool>,
    /// For a database: its length, once known. SQLite asks at each read transaction, and nobody else writes the
    /// file.
    length: Cell<Option<u64>>,
    /// For a database: how it is read.
    reading: Option<Reading>,
    /// For a database: pages that a checkpoint writes.
    pages: Pages,
    /// For a database: what it read first.
    first_reads: Option<RefCell<FirstReads>>,
    /// For a database that was cold when it was opened: pages to ask for when one of them is read, ascending.
    later: RefCell<Vec<u32>>,
    /// For a WAL: whether its name was durable for sure when it was opened.
    name_was_durable: bool,
    /// For a WAL: SQLite sees [`UNFIT_HEADER`] until it has written one.
    shows_unfit_header: Cell<bool>,
}

impl OpenFile {
    /// The file of a database, as it is opened; `later` as [`read_ahead`] gives it.
    fn database(file: File, length: u64, later: Vec<u32>) -> Self {
        Self {
            later: RefCell::new(later),
            reading: Some(Reading::new()),
            length: Cell::new(Some(length)),
            first_reads: Some(RefCell::default()),
            ..Self::other(file)
        }
    }

    /// A WAL as it is opened; its folder is synced with it unless its name is durable for sure.
    fn wal(file: File, length: u64, folder: Option<PathBuf>) -> io::Result<Self> {
        let writer = WalWriter::of(&file, length)?;
        // One that was emptied and closed in order: its name has been synced.
        let name_was_durable = length == EMPTY_BYTES;
        Ok(Self {
            unsynced_folder: RefCell::new(folder.filter(|_| !name_was_durable)),
            wal: Some(writer),
            name_was_durable,
            ..Self::other(file)
        })
    }

    fn other(file: File) -> Self {
        Self {
            file,
            unsynced_folder: RefCell::default(),
            wal: None,
            keeps_wal: Cell::new(false),
            length: Cell::new(None),
            reading: None,
            pages: Pages::default(),
            first_reads: None,
            later: RefCell::default(),
            name_was_durable: false,
            shows_unfit_header: Cell::new(false),
        }
    }

    /// Asks for the pages that are for later, once.
    fn ask_for_later(&self) {
        // Taken out: asking suspends.
        let pages = self.later.take();
        ask_for(&self.file, &ranges(&pages));
    }

    /// Writes what was gathered: before anything else touches the file.
    fn flush(&self) -> io::Result<()> {
        match &self.wal {
            Some(wal) => wal.flush(&self.file),
            None => self.pages.flush(&self.file),
        }
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
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
    xShmMap: Some(index::map),
    xShmLock: Some(index::lock),
    xShmBarrier: Some(index::barrier),
    xShmUnmap: Some(index::unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The handle's file, if it has one.
///
/// # Safety
/// `file` was filled by `open` and is not closed yet.
unsafe fn state<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a OpenFile> {
    // SAFETY: by the contract above; null, or a box.
    unsafe { (*file.cast::<VfsFile>()).state.as_ref() }
}

/// # Safety
/// As of [`state`].
unsafe fn kept<'a>(file: *mut ffi::sqlite3_file) -> &'a Kept {
    // SAFETY: by the contract; `open` made the box, and `close` alone frees it.
    unsafe { &*(*file.cast::<VfsFile>()).kept }
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
    let is_database = flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
    // Taken before anything can suspend: another opening may come between.
    let ahead = if is_database { AHEAD.take() } else { None };
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
    let opened = opened.and_then(|(file, flags)| {
        let length = file.metadata()?.len();
        let state = if is_database {
            OpenFile::database(file, length, Vec::new())
        } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
            OpenFile::wal(file, length, unsynced_folder)?
        } else {
            OpenFile {
                unsynced_folder: RefCell::new(unsynced_folder),
                ..OpenFile::other(file)
            }
        };
        Ok((state, flags, length))
    });
    let (state, flags, length) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            crate::count_descriptor_failure(&error);
            return ffi::SQLITE_CANTOPEN;
        }
    };
    if let Some(ahead) = ahead
        && !name.is_null()
    {
        // SAFETY: SQLite's names end with a zero.
        let path = path_of(unsafe { CStr::from_ptr(name) });
        state.later.replace(read_ahead(path, &state.file, length, &ahead));
    }
    // SAFETY: as above; `out_flags` may be null.
    unsafe {
        (*handle).state = Box::into_raw(Box::new(state));
        (*handle).kept = Box::into_raw(Box::default());
        (*handle).base.pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

/// Asks for what an opened database will read first, if it is not in the page cache. Returns the pages that are to be
/// asked for when the first of them is read.
fn read_ahead(path: &Path, database: &File, length: u64, ahead: &Ahead) -> Vec<u32> {
    if !crate::may_suspend() {
        return Vec::new();
    }
    let mut ranges = ahead.hint.first_ranges();
    // What was cut off since is nowhere.
    ranges.retain(|range| range.end <= length);
    // The first block may be there since somebody looked where the others are ([`crate::read_first_blocks`]).
    let last = match ranges.last() {
        Some(range) => range.start,
        None => length.min(FIRST_BYTES.into()).saturating_sub(1),
    };
    let in_cache = |offset: u64| {
        !crate::read_cached(database, &mut [0; 1], offset).is_err_and(|error| crate::needs_wait(&error))
    };
    if !ahead.is_cold && in_cache(0) && (length <= SMALL_BYTES || in_cache(last)) {
        return Vec::new();
    }
    // Opened again by and by; mostly one block.
    let wal = File::open(crate::wal_of(path));
    if length <= SMALL_BYTES {
        if let Ok(wal) = &wal {
            crate::read_ahead(wal, 0, EMPTY_BYTES as u32, true);
        }
        crate::read_ahead(database, 0, length as u32, true);
        return Vec::new();
    }
    if let Ok(wal) = &wal {
        crate::read_ahead(wal, 0, EMPTY_BYTES as u32, false);
    }
    if ranges.is_empty() {
        crate::read_ahead(database, 0, FIRST_BYTES, false);
    }
    ask_for(database, &ranges);
    // Nothing can go on without the header: SQLite would look for it in the page cache, and the file system would hold
    // the core until it knows where the database's blocks are. The WAL's turn was before.
    crate::read_first_blocks(&[database]);
    ahead.hint.later().to_vec()
}

/// Asks for these bytes by a worker.
fn ask_for(file: &File, ranges: &[Range<u64>]) {
    for range in ranges {
        crate::read_ahead(file, range.start, (range.end - range.start) as u32, false);
    }
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
    // SAFETY: SQLite closes once.
    let handle = unsafe { &mut *file.cast::<VfsFile>() };
    if !handle.state.is_null() {
        // SAFETY: not null, it is a box of `open` or `replace`.
        close_file(&*unsafe { Box::from_raw(handle.state) });
    }
    // SAFETY: `open` made the box.
    drop(unsafe { Box::from_raw(handle.kept) });
    ffi::SQLITE_OK
}

/// What is done to a file before it goes.
fn close_file(state: &OpenFile) {
    if let Some(wal) = &state.wal {
        wal.close(&state.file);
    }
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
    let Some(state) = state else {
        return ffi::SQLITE_IOERR_READ;
    };
    if let Err(error) = state.flush() {
        return write_error(&error);
    }
    if state.shows_unfit_header.get() && offset == 0 && buffer.len() == UNFIT_HEADER.len() {
        buffer.copy_from_slice(&UNFIT_HEADER);
        return ffi::SQLITE_OK;
    }
    if let Some(first) = &state.first_reads {
        first.borrow_mut().note(offset as u64);
        let page = (offset as u64 / PAGE_BYTES) as u32;
        let is_later = state.later.borrow().binary_search(&page).is_ok();
        if is_later {
            state.ask_for_later();
        }
    }
    let file = &state.file;
    let mut filled = 0;
    while filled < buffer.len() {
        let (rest, at) = (&mut buffer[filled..], offset as u64 + filled as u64);
        let read = match &state.reading {
            Some(reading) => reading.read_at(file, rest, at),
            None => crate::read_at(file, rest, at),
        };
        match read {
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
    let Some(state) = state else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    if offset == 0 {
        state.shows_unfit_header.set(false);
    }
    // A checkpoint is a long row of reads and writes in which SQLite asks nobody whether to go on.
    crate::breathe();
    state.length.set(None);
    if let Some(reading) = &state.reading {
        reading.changed();
    }
    let written = match &state.wal {
        Some(wal) => wal.write(&state.file, data, offset as u64),
        None => state.pages.write(&state.file, data, offset as u64),
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
    let Some(state) = (unsafe { state(file) }) else {
        return ffi::SQLITE_IOERR_TRUNCATE;
    };
    if let Err(error) = state.flush() {
        // The pages that a checkpoint wrote last: it has failed.
        return write_error(&error);
    }
    state.length.set(None);
    if let Some(reading) = &state.reading {
        reading.changed();
    }
    let truncated = match &state.wal {
        Some(wal) if size == 0 => wal.empty(&state.file),
        // After a restart of the log, to what is in use: the rest counts for nothing, and its blocks are kept.
        Some(_) => Ok(()),
        None => state.file.set_len(size as u64),
    };
    code(truncated, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let Some(state) = (unsafe { state(file) }) else {
        return ffi::SQLITE_IOERR_FSYNC;
    };
    if state.wal.as_ref().is_some_and(WalWriter::only_header_is_new) {
        return ffi::SQLITE_OK;
    }
    if let Err(error) = state.flush() {
        return write_error(&error);
    }
    if crate::sync_file(&state.file).is_err() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    let Some(folder) = state.unsynced_folder.take() else {
        return ffi::SQLITE_OK;
    };
    let synced = crate::sync_directory(&folder);
    if synced.is_err() {
        // The next sync owes it still.
        state.unsynced_folder.replace(Some(folder));
    }
    code(synced, ffi::SQLITE_IOERR_DIR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes an open file.
    let Some(state) = (unsafe { state(file) }) else {
        return ffi::SQLITE_IOERR_FSTAT;
    };
    let known = match &state.wal {
        Some(wal) => wal.length(),
        None => state.length.get(),
    };
    let asked = known.map_or_else(
        || Ok(state.flush().and_then(|()| state.file.metadata())?.size()),
        Ok,
    );
    let Ok::<u64, io::Error>(length) = asked else {
        return ffi::SQLITE_IOERR_FSTAT;
    };
    if state.wal.is_none() {
        state.length.set(Some(length));
    }
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *size = length as ffi::sqlite3_int64 };
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

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    value: *mut c_void,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    let state = unsafe { state(file) };
    match operation {
        ffi::SQLITE_FCNTL_PERSIST_WAL => {
            // SAFETY: SQLite passes an int for this operation: negative asks, others tell.
            let value = unsafe { &mut *value.cast::<c_int>() };
            let Some(state) = state else {
                // The WAL that the connection had first is somebody else's by now.
                *value = 1;
                return ffi::SQLITE_OK;
            };
            match *value {
                ..0 => *value = c_int::from(state.keeps_wal.get()),
                told => state.keeps_wal.set(told != 0),
            }
            ffi::SQLITE_OK
        }
        // A database without a file is closed without a checkpoint.
        ffi::SQLITE_FCNTL_HAS_MOVED if state.is_none() => {
            // SAFETY: SQLite passes an int for this operation.
            unsafe { *value.cast::<c_int>() = 1 };
            ffi::SQLITE_OK
        }
        // Both are told the database's file, and what they return is not looked at.
        ffi::SQLITE_FCNTL_CKPT_START | ffi::SQLITE_FCNTL_CKPT_DONE => {
            if let Some(state) = state {
                state.pages.gathers.set(operation == ffi::SQLITE_FCNTL_CKPT_START);
            }
            ffi::SQLITE_OK
        }
        _ => ffi::SQLITE_NOTFOUND,
    }
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
    // SAFETY: SQLite's names end with a zero.
    let given = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if given.starts_with(b"/") && given.len() <= length.max(0) as usize {
        // What is opened is no link (`open_named`), and links on the way to it may stay: SQLite's own would ask for
        // each part of the path whether it is one.
        // SAFETY: SQLite gives `length` bytes, which are not part of the name.
        unsafe { ptr::copy_nonoverlapping(given.as_ptr(), result.cast(), given.len()) };
        return ffi::SQLITE_OK;
    }
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
mod tests;
