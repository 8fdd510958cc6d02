//! Writes to a WAL, gathered: a transaction is one system call, in a file that keeps its blocks.
//!
//! SQLite writes a frame in two pieces, the 24 bytes of its header and its page, one frame after the other; a
//! delivered message is some eleven frames. [`WalWriter`] keeps them until the page of a commit frame (its
//! header says so: "size of the database after a commit", SQLite's file format §4.1) and writes all at once,
//! so that a failure is still the answer to the write that commits. Whatever else is done to the file, a
//! read, a sync, a truncation, comes after what was gathered.
//!
//! A sync of a file that has new blocks, or blocks that were allocated and never written, also writes the
//! file's metadata, and waits for it. Measured on ext4, syncs of 45 kB over 8 files: 24,800 a second and 31 µs
//! of processor each within blocks that were written before, 9,300 and 56 µs in allocated ones, 8,800 and
//! 65 µs at the end of the file. So
//!
//! * the file grows by written zeros, ahead of what is needed; zeros behind the last frame are the end to
//!   SQLite's recovery;
//! * when a checkpoint truncates the WAL, the file keeps its blocks: its header is made zero instead, durably,
//!   which says the same to SQLite: nothing in here counts. Frames that are left behind it count for nothing
//!   either, as their salts don't fit the next header;
//! * whole blocks are written, the last one filled with zeros and written again by the next transaction: to
//!   write a part of a block that is not in the page cache, the kernel would have to read it, and hold the core;
//! * a mailbox whose commits are made durable at once writes them past the page cache: see [`crate::owed`]. But one that
//!   is so busy that its WAL is emptied every moment has all of its blocks in there, and reads them soon;
//! * a closed WAL shrinks to [`EMPTY_BYTES`] and stays, so that its name is durable from the start.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    coroutine,
    owed::{self, Owed},
};

/// The WAL's own header.
const HEADER_BYTES: usize = 32;
/// A frame's header; nothing else in a WAL is written in this size.
const FRAME_HEADER_BYTES: usize = 24;
/// Where the header tells the size of the database after a commit, big-endian; 0 in other frames.
const COMMIT_FIELD: std::ops::Range<usize> = 4..8;
/// What is gathered at most: a transaction that spills is written in pieces.
const GATHERED_BYTES: usize = 256 * 1024;
/// The file grows to a multiple of this: little at first, since many mailboxes get little mail.
const GROWTH_BYTES: std::ops::RangeInclusive<u64> = 128 * 1024..=512 * 1024;
/// A WAL of at least, and at most, so many bytes is read at once when it is written back. That of a busy mailbox has a
/// little more than the 4 MiB at which it is; page by page each would be a wait for the disk.
const LOADED_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=KEPT_BYTES;
/// A core has so many of them in memory at once.
const LOADED_AT_ONCE: usize = 2;
/// What a core keeps for the next one.
const LOADED_SPARE_BYTES: usize = 1280 * 1024;
/// A WAL that is emptied again within this time is a busy one.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);
/// A WAL that was emptied keeps so many bytes of blocks while it is open.
const KEPT_BYTES: u64 = 8 * 1024 * 1024;
/// A closed WAL that holds nothing: one block of zeros. No other WAL has this size (frames are 4120 bytes).
pub(crate) const EMPTY_BYTES: u64 = 4096;

/// What the page cache reads and writes at least.
const BLOCK_BYTES: u64 = 4096;

/// What a growing file is filled with.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// So many pieces of it at most.
const GROWTH_PIECES: usize = (*GROWTH_BYTES.end()).div_ceil(ZEROS.len() as u64) as usize;

thread_local! {
    /// A buffer that no WAL uses now: an open mailbox keeps none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Memory for a WAL that is read at once, and how many there are now.
    static LOADED_SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static LOADED: Cell<usize> = const { Cell::new(0) };
}

/// The writing side of one WAL.
pub(crate) struct WalWriter {
    gathered: RefCell<Gathered>,
    /// Blocks up to here were written, so writing them again changes no metadata.
    written_to: Cell<u64>,
    /// The file ends there, too: no write has failed.
    length_is_known: Cell<bool>,
    /// Where what counts ends.
    used: Cell<u64>,
    /// The last block, as far as it is in use: [`BLOCK_BYTES`] at most, empty when that is not known.
    last_block: RefCell<Vec<u8>>,
    /// Nothing that a power failure could bring back was in the file when it was last emptied.
    emptied: Cell<bool>,
    /// When it was emptied last, and whether that was within [`BUSY_INTERVAL`] of the time before: then commits go through
    /// the page cache until it is emptied again.
    emptied_at: Cell<Option<Instant>>,
    busy: Cell<bool>,
    /// Commits go there, unless they can't.
    owed: RefCell<Option<Arc<Owed>>>,
    /// The file as it was when it was read at once.
    loaded: RefCell<Option<Loaded>>,
}

/// The first `length` bytes of a WAL.
struct Loaded {
    memory: Vec<u8>,
    skip: usize,
    length: usize,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        LOADED.set(LOADED.get() - 1);
        if self.memory.len() <= LOADED_SPARE_BYTES {
            LOADED_SPARE.set(std::mem::take(&mut self.memory));
        }
    }
}

#[derive(Default)]
struct Gathered {
    offset: u64,
    bytes: Vec<u8>,
    /// The next page ends a transaction.
    commits: bool,
}

impl WalWriter {
    /// For a file as it is, of this length.
    pub(crate) fn of(file: &File, length: u64) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        let read = crate::read_at(file, &mut header, 0)?;
        let holds_nothing = read < HEADER_BYTES || header == [0; HEADER_BYTES];
        Ok(Self {
            gathered: RefCell::default(),
            written_to: Cell::new(length),
            used: Cell::new(if holds_nothing { 0 } else { length }),
            last_block: RefCell::default(),
            length_is_known: Cell::new(true),
            // Longer, and its zero header may not be durable yet, with frames behind it.
            emptied: Cell::new(holds_nothing && length <= EMPTY_BYTES),
            emptied_at: Cell::default(),
            busy: Cell::new(false),
            owed: RefCell::default(),
            loaded: RefCell::default(),
        })
    }

    /// Bytes in the WAL that count.
    pub(crate) fn used(&self) -> u64 {
        self.used.get()
    }

    /// The file's length with all that was gathered, if that is known without asking: SQLite asks four times at an
    /// opening.
    pub(crate) fn length(&self) -> Option<u64> {
        let nothing_gathered = self.gathered.borrow().bytes.is_empty();
        (nothing_gathered && self.length_is_known.get()).then(|| self.written_to.get())
    }

    /// Has commits wait for who makes them durable, from now on.
    pub(crate) fn owe(&self, owed: Arc<Owed>) {
        owed.changed();
        self.owed.replace(Some(owed));
    }

    /// Whether a sync would change nothing: everything was written and synced by who makes commits durable.
    pub(crate) fn is_durable(&self) -> bool {
        let owed = self.owed();
        self.gathered.borrow().bytes.is_empty() && owed.is_some_and(|owed| owed.is_durable())
    }

    /// Writes everything that was gathered or is owed, for a sync by `sync`.
    pub(crate) fn sync(&self, file: &File, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.flush(file)?;
        self.settle(file)?;
        let owed = self.owed();
        let changes = owed.as_ref().map(|owed| owed.changes());
        sync()?;
        if let (Some(owed), Some(changes)) = (owed, changes) {
            owed.synced(changes);
        }
        Ok(())
    }

    /// Fills the end of `buffer` with what the file does not have yet, or all of it from memory; how many bytes before
    /// that are to be read from the file.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        if let Some(loaded) = &*self.loaded.borrow() {
            let place = usize::try_from(offset).ok();
            let found = place.and_then(|from| {
                let end = from
                    .checked_add(buffer.len())
                    .filter(|end| *end <= loaded.length)?;
                loaded.memory.get(loaded.skip + from..loaded.skip + end)
            });
            if let Some(found) = found {
                buffer.copy_from_slice(found);
                return 0;
            }
        }
        self.owed().map_or(buffer.len(), |owed| owed.read(buffer, offset))
    }

    /// Reads all that is in use at once, for a checkpoint, which asks for page after page. Where that can't be, or
    /// would not be worth it, it reads them one by one.
    pub(crate) fn load(&self) {
        let used = self.used.get();
        let is_durable = self.is_durable();
        let Some(owed) = self.owed().filter(|_| is_durable && LOADED_BYTES.contains(&used)) else {
            return;
        };
        if self.busy.get() || LOADED.get() >= LOADED_AT_ONCE {
            return;
        }
        let length = used.next_multiple_of(BLOCK_BYTES) as usize;
        let mut memory = LOADED_SPARE.take();
        if memory.len() < length + owed::BLOCK_BYTES {
            memory = vec![0; length + owed::BLOCK_BYTES];
        }
        let skip = memory.as_ptr().align_offset(owed::BLOCK_BYTES);
        LOADED.set(LOADED.get() + 1);
        let mut loaded = Loaded {
            memory: Vec::new(),
            skip,
            length: used as usize,
        };
        if let Some(Ok((read, memory))) = coroutine::wait_read_into(owed.as_raw_fd(), 0, memory, skip, length)
        {
            loaded.memory = memory;
            if read as u64 >= used {
                self.loaded.replace(Some(loaded));
            }
        }
    }

    /// Forgets what was read.
    pub(crate) fn unload(&self) {
        self.loaded.take();
    }

    /// Where commits go, if they do.
    pub(crate) fn owed(&self) -> Option<Arc<Owed>> {
        self.owed.borrow().clone()
    }

    /// Writes what is owed: before the file is written, or cut, by other means.
    fn settle(&self, file: &File) -> io::Result<()> {
        match self.owed() {
            Some(owed) => owed.settle(file),
            None => Ok(()),
        }
    }

    /// Takes one write of SQLite's.
    pub(crate) fn write(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        let follows = {
            let gathered = self.gathered.borrow();
            offset == gathered.offset + gathered.bytes.len() as u64 && gathered.bytes.len() < GATHERED_BYTES
        };
        if !follows {
            self.flush(file)?;
        }
        let mut gathered = self.gathered.borrow_mut();
        if gathered.bytes.is_empty() {
            if data.len() != FRAME_HEADER_BYTES {
                drop(gathered);
                if self.restart(data, offset)? {
                    return Ok(());
                }
                return self.write_through(file, data, offset);
            }
            gathered.offset = offset;
            gathered.bytes = SPARE.take();
        }
        gathered.bytes.extend_from_slice(data);
        let ends = gathered.commits;
        gathered.commits = data.len() == FRAME_HEADER_BYTES && data[COMMIT_FIELD] != [0; 4];
        drop(gathered);
        if ends { self.commit(file) } else { Ok(()) }
    }

    /// A transaction has been gathered to its end: who makes it durable writes it, or it is written now.
    fn commit(&self, file: &File) -> io::Result<()> {
        let taken = {
            let gathered = self.gathered.borrow();
            self.give(file, &gathered.bytes, gathered.offset)
        };
        match taken {
            Ok(true) => {
                let mut bytes = self.gathered.take().bytes;
                bytes.clear();
                SPARE.set(bytes);
                Ok(())
            }
            Ok(false) => self.flush(file),
            Err(error) => {
                // Forgotten, as what can't be written.
                self.gathered.take();
                Err(error)
            }
        }
    }

    /// Leaves `data` to who makes it durable; the file has room for it then. `false`: it must be written.
    fn give(&self, file: &File, data: &[u8], offset: u64) -> io::Result<bool> {
        let Some(owed) = self.owed().filter(|_| !self.busy.get()) else {
            return Ok(false);
        };
        let mut last_block = self.last_block.borrow_mut();
        let is_next = self.used.get() == offset && last_block.len() as u64 == offset % BLOCK_BYTES;
        if !is_next {
            return Ok(false);
        }
        let end = offset + data.len() as u64;
        let blocks_end = end + self.zeros_behind(end) as u64;
        let grows = self.written_to.get() < blocks_end;
        if grows && !self.grow(file, blocks_end)? {
            return Ok(false);
        }
        if !owed.take(&last_block, data, offset, if grows { blocks_end } else { 0 })? {
            return Ok(false);
        }
        let in_last = (end % BLOCK_BYTES) as usize;
        if in_last <= data.len() {
            last_block.clear();
            last_block.extend_from_slice(&data[data.len() - in_last..]);
        } else {
            last_block.extend_from_slice(data);
        }
        self.used.set(end);
        Ok(true)
    }

    /// Leaves a new header to who makes commits durable: the first one will be written with it.
    fn restart(&self, header: &[u8], offset: u64) -> io::Result<bool> {
        let Some(owed) = self.owed().filter(|_| !self.busy.get()) else {
            return Ok(false);
        };
        let is_new = offset == 0 && header.len() == HEADER_BYTES && self.emptied.get();
        if !is_new || self.used.get() > HEADER_BYTES as u64 || !owed.restart(header)? {
            return Ok(false);
        }
        let mut last_block = self.last_block.borrow_mut();
        last_block.clear();
        last_block.extend_from_slice(header);
        self.used.set(HEADER_BYTES as u64);
        Ok(true)
    }

    /// Gets blocks up to there; `false` where they can only be had by writing them.
    fn grow(&self, file: &File, to: u64) -> io::Result<bool> {
        let from = self.written_to.get();
        loop {
            // SAFETY: takes a descriptor that is open, and numbers.
            let done = unsafe {
                libc::fallocate(
                    file.as_raw_fd(),
                    0,
                    from as libc::off_t,
                    (to - from) as libc::off_t,
                )
            };
            if done == 0 {
                self.written_to.set(to);
                return Ok(true);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => return Ok(false),
                _ => return Err(error),
            }
        }
    }

    /// Writes what was gathered. What can't be written is forgotten: SQLite is told, and writes the frames
    /// again or not at all.
    pub(crate) fn flush(&self, file: &File) -> io::Result<()> {
        let mut gathered = self.gathered.take();
        if gathered.bytes.is_empty() {
            return Ok(());
        }
        let written = self.write_through(file, &gathered.bytes, gathered.offset);
        gathered.bytes.clear();
        SPARE.set(gathered.bytes);
        written
    }

    /// Empties the WAL: it keeps its blocks, see the module's documentation. Durable when it returns.
    pub(crate) fn empty(&self, file: &File) -> io::Result<()> {
        self.flush(file)?;
        self.settle(file)?;
        self.unload();
        if self.used.get() == 0 && self.emptied.get() {
            return Ok(());
        }
        self.emptied.set(false);
        let known = self.length_is_known.replace(false);
        if self.written_to.get() > KEPT_BYTES {
            file.set_len(KEPT_BYTES)?;
            self.written_to.set(KEPT_BYTES);
        }
        self.last_block.borrow_mut().clear();
        // The whole block: what else was in it would have to be read.
        file.write_all_at(&ZEROS[..BLOCK_BYTES as usize], 0)?;
        self.written_to.set(self.written_to.get().max(BLOCK_BYTES));
        self.length_is_known.set(known);
        let changes = self.owed().map(|owed| owed.changed());
        crate::sync_file(file)?;
        if let (Some(owed), Some(changes)) = (self.owed(), changes) {
            owed.synced(changes);
        }
        self.used.set(0);
        self.emptied.set(true);
        let before = self.emptied_at.replace(Some(Instant::now()));
        self.busy
            .set(before.is_some_and(|before| before.elapsed() < BUSY_INTERVAL));
        Ok(())
    }

    /// Whether nothing is in it that counts, nor could a power failure bring back what was.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.used.get() == 0 && self.emptied.get() && self.gathered.borrow().bytes.is_empty()
    }

    /// Whether a sync may be left out. SQLite syncs a WAL's new header before the frames behind it: were they
    /// written in another order, a power failure could leave the old header with old frames, which are older
    /// than the database. After an emptying that is durable there is no old header.
    pub(crate) fn only_header_is_new(&self) -> bool {
        self.emptied.get()
            && self.used.get() <= HEADER_BYTES as u64
            && self.gathered.borrow().bytes.is_empty()
    }

    /// Gives back the blocks of a WAL that holds nothing.
    pub(crate) fn close(&self, file: &File) {
        if self.used.get() == 0 && self.emptied.get() && self.written_to.get() > EMPTY_BYTES {
            // Should it fail, the file is only longer than it must be.
            let _ = file.set_len(EMPTY_BYTES);
        }
    }

    fn write_through(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        self.settle(file)?;
        if let Some(owed) = self.owed() {
            owed.changed();
        }
        let end = offset + data.len() as u64;
        let mut last_block = self.last_block.borrow_mut();
        // What stands before the data in its first block, where that is known.
        let lead_bytes = (offset % BLOCK_BYTES) as usize;
        let is_next = self.used.get() == offset && last_block.len() == lead_bytes;
        let lead = if is_next { &last_block[..] } else { &[] };
        // A new header makes that nothing behind it counts; behind the end nothing does either.
        let appends = offset == 0 || end >= self.used.get();
        let zeros = if appends { self.zeros_behind(end) } else { 0 };
        let from = offset - lead.len() as u64;
        let known = self.length_is_known.replace(false);
        let written = write_with_zeros(file, lead, data, zeros, from)?;
        self.written_to
            .set(self.written_to.get().max(from + written as u64));
        let done = written.saturating_sub(lead.len()).min(data.len());
        // A file system that is full takes the rest or says why not.
        file.write_all_at(&data[done..], offset + done as u64)?;
        self.length_is_known.set(known);
        self.written_to.set(self.written_to.get().max(end));
        if !appends {
            last_block.clear();
            return Ok(());
        }
        let in_last = (end % BLOCK_BYTES) as usize;
        if in_last <= data.len() {
            last_block.clear();
            last_block.extend_from_slice(&data[data.len() - in_last..]);
        } else if is_next {
            last_block.extend_from_slice(data);
        } else {
            last_block.clear();
        }
        self.used.set(end);
        Ok(())
    }

    /// To the end of the block, or of the next piece that the file grows by.
    fn zeros_behind(&self, end: u64) -> usize {
        let step = if self.written_to.get() < end {
            end.next_power_of_two()
                .clamp(*GROWTH_BYTES.start(), *GROWTH_BYTES.end())
        } else {
            BLOCK_BYTES
        };
        (end.next_multiple_of(step) - end) as usize
    }
}

/// Writes both pieces and zeros behind them; returns how many bytes of all that were written.
fn write_with_zeros(file: &File, lead: &[u8], data: &[u8], zeros: usize, offset: u64) -> io::Result<usize> {
    let vector = |bytes: &[u8]| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut vectors = [vector(&[]); 2 + GROWTH_PIECES];
    vectors[0] = vector(lead);
    vectors[1] = vector(data);
    let mut left = zeros;
    for place in &mut vectors[2..] {
        let piece = &ZEROS[..left.min(ZEROS.len())];
        *place = vector(piece);
        left -= piece.len();
    }
    loop {
        // SAFETY: the vectors name `lead`, `data` and a static, which are only read, for the length of the call.
        let written = unsafe {
            libc::pwritev(
                file.as_raw_fd(),
                vectors.as_ptr(),
                vectors.len() as libc::c_int,
                offset as libc::off_t,
            )
        };
        if written >= 0 {
            return Ok(written as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests;
