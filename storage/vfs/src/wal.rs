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
//!   SQLite's recovery. They are written in pieces, since the page cache keeps a write as one folio where it can, and
//!   each later write to a folio looks at all of its blocks: 45 kB into folios of 512 KiB cost 17 to 19 µs, of 64 KiB 9;
//! * when a checkpoint truncates the WAL, the file keeps its blocks: its header is made zero instead, durably,
//!   which says the same to SQLite: nothing in here counts. Frames that are left behind it count for nothing
//!   either, as their salts don't fit the next header;
//! * whole blocks are written, the last one filled with zeros and written again by the next transaction: to
//!   write a part of a block that is not in the page cache, the kernel would have to read it, and hold the core;
//! * a closed WAL shrinks to [`EMPTY_BYTES`] and stays, so that its name is durable from the start.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
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
/// A WAL that was emptied keeps so many bytes of blocks while it is open.
const KEPT_BYTES: u64 = 8 * 1024 * 1024;
/// A closed WAL that holds nothing: one block of zeros. No other WAL has this size (frames are 4120 bytes).
pub(crate) const EMPTY_BYTES: u64 = 4096;

/// What the page cache reads and writes at least.
const BLOCK_BYTES: u64 = 4096;

/// What a growing file is filled with, and so much at once.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

thread_local! {
    /// A buffer that no WAL uses now: an open mailbox keeps none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
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
                return self.write_through(file, data, offset);
            }
            gathered.offset = offset;
            gathered.bytes = SPARE.take();
        }
        gathered.bytes.extend_from_slice(data);
        let ends = gathered.commits;
        gathered.commits = data.len() == FRAME_HEADER_BYTES && data[COMMIT_FIELD] != [0; 4];
        drop(gathered);
        if ends { self.flush(file) } else { Ok(()) }
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
        // The whole block: what else is in it would have to be read where it is not in the page cache.
        file.write_all_at(&ZEROS[..BLOCK_BYTES as usize], 0)?;
        self.written_to.set(self.written_to.get().max(BLOCK_BYTES));
        self.length_is_known.set(known);
        crate::sync_file(file)?;
        self.used.set(0);
        self.emptied.set(true);
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
        let end = offset + data.len() as u64;
        let mut last_block = self.last_block.borrow_mut();
        // What stands before the data in its first block, where that is known.
        let lead_bytes = (offset % BLOCK_BYTES) as usize;
        let is_next = self.used.get() == offset && last_block.len() == lead_bytes;
        let lead = if is_next { &last_block[..] } else { &[] };
        // A new header makes that nothing behind it counts; behind the end nothing does either.
        let appends = offset == 0 || end >= self.used.get();
        let filled_to = if appends { self.filled_to(end) } else { end };
        let zeros = filled_to.min(end.next_multiple_of(ZEROS.len() as u64)) - end;
        let from = offset - lead.len() as u64;
        let known = self.length_is_known.replace(false);
        let written = write_with_zeros(file, lead, data, &ZEROS[..zeros as usize], from)?;
        self.written_to
            .set(self.written_to.get().max(from + written as u64));
        let done = written.saturating_sub(lead.len()).min(data.len());
        // A file system that is full takes the rest or says why not.
        file.write_all_at(&data[done..], offset + done as u64)?;
        self.written_to.set(self.written_to.get().max(end));
        self.fill(file, filled_to);
        self.length_is_known.set(known);
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

    /// Writes zeros from the end of what was written. Without them the file only grows later, and whoever needs the
    /// room then is told why there is none.
    fn fill(&self, file: &File, to: u64) {
        while self.written_to.get() < to {
            let from = self.written_to.get();
            let piece = &ZEROS[..(to - from).min(ZEROS.len() as u64) as usize];
            match file.write_at(piece, from) {
                Ok(written) if written > 0 => self.written_to.set(from + written as u64),
                _ => return,
            }
        }
    }

    /// How far zeros reach behind the end: to that of its block, or of the next piece that the file grows by.
    fn filled_to(&self, end: u64) -> u64 {
        let step = if self.written_to.get() < end {
            end.next_power_of_two()
                .clamp(*GROWTH_BYTES.start(), *GROWTH_BYTES.end())
        } else {
            BLOCK_BYTES
        };
        end.next_multiple_of(step)
    }
}

/// Writes the three one behind the other; returns how many bytes of all that were written.
fn write_with_zeros(file: &File, lead: &[u8], data: &[u8], zeros: &[u8], offset: u64) -> io::Result<usize> {
    let vector = |bytes: &[u8]| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let vectors = [vector(lead), vector(data), vector(zeros)];
    loop {
        // SAFETY: the vectors name slices, which are only read, for the length of the call.
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
