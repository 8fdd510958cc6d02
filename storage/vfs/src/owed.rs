//! Committed transactions on their way into a WAL past the page cache.
//!
//! A commit that is made durable at once has no use of the page cache: 45 kB for a message of 10 kB are copied into pages
//! that were last touched some hundred messages ago, or never, and that a worker then writes. So commits of a mailbox
//! whose changes are synced anyway stay in memory, and who syncs the WAL writes them by `O_DIRECT` right before, by the
//! same request:
//!
//! ```text
//! commit A ─► owed ─► written and synced ─────────► done: A
//!      commit B ─► owed ┐ (one write, one sync)  ─► written and synced ─► done: B, C
//!      commit C ─► owed ┘
//! ```
//!
//! Reads of what is owed are answered from memory. The file has blocks for it before a commit returns (`fallocate`), so
//! that a disk without room says so to the transaction, as ever. One write of a WAL is under way at most: two have the
//! block in common in which one ends and the other begins.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::coroutine::{self, Wait};

/// Places, lengths and memory of direct writes are multiples of this.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Memory for a first commit: a message of 10 kB is 45 kB of pages.
const FIRST_BYTES: usize = 56 * 1024;
/// More than this is not kept for later.
const OWED_BYTES: usize = 1024 * 1024;
/// Buffers a thread keeps, and their bytes together: new memory costs more than what is copied into it.
const SPARE_BUFFERS: usize = 16;
const SPARE_BYTES: usize = 2 * OWED_BYTES + 2 * BLOCK_BYTES;
/// Devices that are remembered.
const DEVICES: usize = 64;

/// Set by `perf/durability`, whose disk is one in user space that takes direct writes whole.
const DIRECT_ON_FUSE: &str = "RINGPOST_DIRECT_ON_FUSE";

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// Devices, and whether their files can be written directly.
    static DIRECT: RefCell<Vec<(u64, bool)>> = const { RefCell::new(Vec::new()) };
}

/// What a WAL owes its file: shared by SQLite's side, which adds to it, and who makes commits durable, who writes it.
#[derive(Debug)]
pub struct Owed {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Pending,
    writing: Option<OwedWrite>,
    /// Between [`Owed::begin`] and [`Owed::ended`].
    running: bool,
    /// Counts what was written, or is owed.
    changes: u64,
    /// How many of them the sync that runs covers; how many are durable.
    begun: u64,
    durable: u64,
    failed: bool,
}

impl State {
    /// Whether the disk has a write at the moment; one that failed is only kept to be read.
    fn is_writing(&self) -> bool {
        self.running && self.writing.is_some()
    }
}

/// Bytes that follow each other, from the start of a block on.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// They begin here, where memory is aligned.
    skip: usize,
    length: usize,
    offset: u64,
    /// The file is filled with zeros up to there: 0 for no further than the last block.
    zeros_to: u64,
}

/// What is to be written before the sync.
#[derive(Clone, Debug)]
pub struct OwedWrite {
    /// Memory that has the blocks.
    pub bytes: Arc<Vec<u8>>,
    /// Where they are in it.
    pub range: Range<usize>,
    /// Bytes of zeros behind them.
    pub zeros: usize,
    /// Where in the file.
    pub offset: u64,
}

impl Owed {
    /// For the WAL at `path`; `None` where its file system can't write directly, or has other blocks.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Arc<Self>>> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT | libc::O_NOFOLLOW)
            .open(path);
        let file = match opened {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
            opened => opened?,
        };
        if !can_be_direct(&file)? {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            file,
            state: Mutex::default(),
        })))
    }

    /// The file, open with `O_DIRECT`.
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Whether something waits for a sync to be written before.
    pub fn is_owing(&self) -> bool {
        let state = self.state();
        state.next.length > 0 && !state.failed
    }

    /// A sync begins: what is to be written before, if anything. [`Self::ended`] must follow, before another begins.
    pub fn begin(&self) -> Option<OwedWrite> {
        let mut state = self.state();
        debug_assert!(!state.running, "one sync at a time");
        state.running = true;
        state.begun = state.changes;
        state.writing = state.next.take();
        state.writing.clone()
    }

    /// The write and the sync have ended. After a failure the WAL takes nothing any more; what it owes can still be read,
    /// until it is closed.
    pub fn ended(&self, well: bool) {
        let mut state = self.state();
        state.running = false;
        if !well {
            state.failed = true;
            return;
        }
        state.durable = state.begun;
        let written = state.writing.take();
        drop(state);
        if let Some(bytes) = written.and_then(|write| Arc::try_unwrap(write.bytes).ok()) {
            give_back(bytes);
        }
    }

    /// Takes `data` for `offset`, with `lead` before it in its first block. `false`: it must be written.
    pub(crate) fn take(&self, lead: &[u8], data: &[u8], offset: u64, zeros_to: u64) -> io::Result<bool> {
        let mut state = self.state();
        if state.failed {
            return Err(failed());
        }
        let next = &mut state.next;
        if next.length == 0 {
            next.offset = offset - lead.len() as u64;
            next.append(lead);
        } else if next.offset + next.length as u64 != offset {
            return Ok(false);
        }
        if next.length + data.len() > OWED_BYTES {
            if next.length == lead.len() {
                next.length = 0;
            }
            return Ok(false);
        }
        next.append(data);
        next.zeros_to = next.zeros_to.max(zeros_to);
        state.changes += 1;
        Ok(true)
    }

    /// Takes a new header for the WAL's start, behind which nothing counts. `false`: it must be written.
    pub(crate) fn restart(&self, header: &[u8]) -> io::Result<bool> {
        let mut state = self.state();
        if state.failed {
            return Err(failed());
        }
        if state.is_writing() || (state.next.length > 0 && state.next.offset > 0) {
            return Ok(false);
        }
        let next = &mut state.next;
        next.length = 0;
        next.offset = 0;
        next.append(header);
        state.changes += 1;
        Ok(true)
    }

    /// Writes what is owed into the page cache, after what is being written: before the file is written otherwise.
    pub(crate) fn settle(&self, file: &File) -> io::Result<()> {
        // A sync that has nothing to write is in nobody's way.
        while self.state().is_writing() {
            // Who panics can't wait: nothing may be written then.
            coroutine::wait(Wait::Breathe).ok_or_else(failed)??;
        }
        let mut state = self.state();
        if state.failed {
            return Err(failed());
        }
        if state.next.length == 0 {
            return Ok(());
        }
        state.next.fill_up();
        let next = &state.next;
        let blocks = next.length.next_multiple_of(BLOCK_BYTES);
        let written = file.write_all_at(&next.bytes[next.skip..next.skip + blocks], next.offset);
        if written.is_ok() {
            give_back(std::mem::take(&mut state.next).bytes);
        } else {
            // It was committed, and its file does not have it.
            state.failed = true;
        }
        written
    }

    /// The file was written otherwise.
    pub(crate) fn changed(&self) -> u64 {
        let mut state = self.state();
        state.changes += 1;
        state.changes
    }

    /// So many changes; for [`Self::synced`].
    pub(crate) fn changes(&self) -> u64 {
        self.state().changes
    }

    /// The file was synced otherwise: so many changes are durable.
    pub(crate) fn synced(&self, changes: u64) {
        let mut state = self.state();
        state.durable = state.durable.max(changes);
    }

    /// Whether all that was ever written is on the disk.
    pub(crate) fn is_durable(&self) -> bool {
        let state = self.state();
        !state.failed && !state.running && state.durable == state.changes && state.next.length == 0
    }

    /// Fills the end of `buffer`, which stands at `offset`, with what is owed of it; returns how many bytes before that
    /// the file has.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let state = self.state();
        let writing = state.writing.as_ref();
        let writing = writing.map(|write| (write.offset, &write.bytes[write.range.clone()]));
        let next = (state.next.length > 0).then(|| (state.next.offset, state.next.used()));
        let pieces = [writing, next];
        let Some(begin) = pieces.iter().flatten().map(|(begin, _)| *begin).min() else {
            return buffer.len();
        };
        let of_file = begin.saturating_sub(offset).min(buffer.len() as u64) as usize;
        buffer[of_file..].fill(0);
        let end = offset + buffer.len() as u64;
        // The later ones over the earlier ones, with which they have a block in common.
        for (begin, bytes) in pieces.into_iter().flatten() {
            let from = begin.max(offset);
            let to = (begin + bytes.len() as u64).min(end);
            if from < to {
                let (into, of) = ((from - offset) as usize, (from - begin) as usize);
                let length = (to - from) as usize;
                buffer[into..into + length].copy_from_slice(&bytes[of..of + length]);
            }
        }
        of_file
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn used(&self) -> &[u8] {
        &self.bytes[self.skip..self.skip + self.length]
    }

    fn append(&mut self, data: &[u8]) {
        let length = self.length + data.len();
        // Room for the rest of the last block, too.
        let blocks = length.next_multiple_of(BLOCK_BYTES);
        if self.skip + blocks > self.bytes.len() {
            // Twice as much as before: a mailbox that many deliver to owes more with each of them.
            let (bytes, skip) = buffer(blocks.max((self.bytes.len() * 2).min(OWED_BYTES)));
            let mut old = Pending { bytes, skip, ..*self };
            old.bytes[skip..skip + self.length].copy_from_slice(self.used());
            std::mem::swap(self, &mut old);
            give_back(old.bytes);
        }
        let end = self.skip + self.length;
        self.bytes[end..end + data.len()].copy_from_slice(data);
        self.length = length;
    }

    /// Fills the last block with zeros.
    fn fill_up(&mut self) {
        let end = self.length.next_multiple_of(BLOCK_BYTES);
        self.bytes[self.skip + self.length..self.skip + end].fill(0);
    }

    /// What is pending as whole blocks; nothing is afterwards.
    fn take(&mut self) -> Option<OwedWrite> {
        if self.length == 0 {
            return None;
        }
        self.fill_up();
        let pending = std::mem::take(self);
        let (skip, length) = (pending.skip, pending.length.next_multiple_of(BLOCK_BYTES));
        let end = pending.offset + length as u64;
        Some(OwedWrite {
            bytes: Arc::new(pending.bytes),
            range: skip..skip + length,
            zeros: pending.zeros_to.saturating_sub(end) as usize,
            offset: pending.offset,
        })
    }
}

/// A buffer with room for so many bytes from its first aligned one on, and which that is.
fn buffer(bytes: usize) -> (Vec<u8>, usize) {
    let fitting = SPARE.with_borrow_mut(|spare| {
        let at = spare
            .iter()
            .rposition(|spare| spare.len() >= bytes + BLOCK_BYTES)?;
        Some(spare.remove(at))
    });
    let buffer = fitting.unwrap_or_else(|| vec![0; bytes.max(FIRST_BYTES) + BLOCK_BYTES]);
    let skip = buffer.as_ptr().align_offset(BLOCK_BYTES);
    (buffer, skip)
}

fn give_back(buffer: Vec<u8>) {
    SPARE.with_borrow_mut(|spare| {
        let kept: usize = spare.iter().map(Vec::len).sum();
        let has_room = spare.len() < SPARE_BUFFERS && kept + buffer.len() <= SPARE_BYTES;
        if buffer.len() >= FIRST_BYTES && has_room {
            spare.push(buffer);
        }
    });
}

/// Whether a file's device takes direct requests of our blocks: asked once a device and thread.
fn can_be_direct(file: &File) -> io::Result<bool> {
    let device = file.metadata()?.dev();
    let known = DIRECT.with_borrow(|known| known.iter().find(|(other, _)| *other == device).copied());
    if let Some((_, can)) = known {
        return Ok(can);
    }
    let (mut bytes, skip) = buffer(BLOCK_BYTES);
    let is_risky = is_on_fuse(file) && std::env::var_os(DIRECT_ON_FUSE).is_none();
    // A WAL has a block at least.
    let can = !is_risky && file.read_at(&mut bytes[skip..skip + BLOCK_BYTES], 0).is_ok();
    DIRECT.with_borrow_mut(|known| {
        if known.len() < DEVICES {
            known.push((device, can));
        }
    });
    Ok(can)
}

/// Whether a file is on a file system in user space. Of a direct write that such a one takes only in part, the kernel (6.18)
/// has io_uring write the rest over the first part.
fn is_on_fuse(file: &File) -> bool {
    const MAGIC: u64 = 0x6573_5546;
    let mut about = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open, and the kernel fills the structure, of which zeros are a value.
    let about = unsafe {
        libc::fstatfs(file.as_raw_fd(), about.as_mut_ptr());
        about.assume_init()
    };
    about.f_type as u64 == MAGIC
}

fn failed() -> io::Error {
    io::Error::other("a write of the WAL failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wal() -> (tempfile::NamedTempFile, File, Arc<Owed>) {
        // Not in memory: its file system may not write directly.
        let path =
            tempfile::NamedTempFile::new_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")).unwrap();
        let file = File::options().read(true).write(true).open(path.path()).unwrap();
        file.write_all_at(&[0; 4 * BLOCK_BYTES], 0).unwrap();
        let owed = Owed::open(path.path())
            .unwrap()
            .expect("a file system with O_DIRECT");
        (path, file, owed)
    }

    fn write(owed: &Owed, write: &OwedWrite) {
        owed.file
            .write_all_at(&write.bytes[write.range.clone()], write.offset)
            .unwrap();
    }

    #[test]
    fn what_is_owed_is_read_before_and_while_and_after_it_is_written() {
        let (_path, file, owed) = wal();
        let read = |offset: u64, length: usize| {
            let mut buffer = vec![7; length];
            let of_file = owed.read(&mut buffer, offset);
            file.read_exact_at(&mut buffer[..of_file], offset).unwrap();
            buffer
        };
        let mut expected = vec![0; 3 * BLOCK_BYTES];
        let mut put = |at: usize, fill: u8, length: usize, lead: usize| {
            let lead_bytes = expected[at - lead..at].to_vec();
            expected[at..at + length].fill(fill);
            assert!(owed.take(&lead_bytes, &vec![fill; length], at as u64, 0).unwrap());
            expected.clone()
        };
        put(0, 1, 32, 0);
        let after = put(32, 2, 5000, 32);
        assert_eq!(read(0, 9000), after[..9000]);
        let first = owed.begin().unwrap();
        assert_eq!((first.offset, first.range.len()), (0, 2 * BLOCK_BYTES));
        // Begins in the block in which the one that is being written ends.
        let after = put(5032, 3, 5000, 5032 - BLOCK_BYTES);
        assert_eq!(read(0, 10_032), after[..10_032]);
        assert_eq!(read(5000, 100), after[5000..5100]);
        write(&owed, &first);
        owed.ended(true);
        assert!(!owed.is_durable());
        assert_eq!(read(0, 10_032), after[..10_032]);
        assert_eq!(read(0, 4000), after[..4000]);
        let second = owed.begin().unwrap();
        assert_eq!((second.offset, second.range.len()), (4096, 2 * BLOCK_BYTES));
        write(&owed, &second);
        owed.ended(true);
        assert!(owed.is_durable());
        assert!(owed.begin().is_none());
        owed.ended(true);
        let mut found = vec![0; 10_032];
        file.read_exact_at(&mut found, 0).unwrap();
        assert_eq!(found, after[..10_032]);
    }

    #[test]
    fn what_does_not_follow_or_is_too_much_is_not_taken() {
        let (_path, file, owed) = wal();
        assert!(owed.take(&[], &[1; 100], 0, 0).unwrap());
        assert!(!owed.take(&[], &[1; 100], 50, 0).unwrap());
        assert!(!owed.take(&[], &vec![1; OWED_BYTES], 100, 0).unwrap());
        owed.settle(&file).unwrap();
        assert!(!owed.is_owing());
        assert!(!owed.is_durable(), "written, and not synced");
        assert!(!owed.take(&[1; 100], &vec![1; OWED_BYTES], 100, 0).unwrap());
        assert!(!owed.is_owing(), "not what stands before it either");
        let changes = owed.changes();
        owed.synced(changes);
        assert!(owed.is_durable());
    }

    #[test]
    fn a_header_begins_anew_unless_something_is_being_written() {
        let (_path, _file, owed) = wal();
        assert!(owed.restart(&[1; 32]).unwrap());
        assert!(owed.restart(&[2; 32]).unwrap());
        assert!(owed.take(&[2; 32], &[3; 4120], 32, 0).unwrap());
        let write = owed.begin().unwrap();
        assert_eq!(
            write.bytes[write.range.clone()][..33],
            [[2; 32].as_slice(), &[3]].concat()
        );
        assert!(!owed.restart(&[4; 32]).unwrap());
        owed.ended(true);
        assert!(owed.restart(&[4; 32]).unwrap());
    }

    #[test]
    fn after_a_failure_nothing_is_taken_and_nothing_is_durable() {
        let (_path, file, owed) = wal();
        assert!(owed.take(&[], &[1; 100], 0, 0).unwrap());
        let _write = owed.begin();
        owed.ended(false);
        assert!(owed.take(&[], &[1; 100], 100, 0).is_err());
        assert!(owed.restart(&[1; 32]).is_err());
        assert!(owed.settle(&file).is_err());
        assert!(!owed.is_durable());
        assert!(!owed.is_owing(), "nobody is to pay it");
        let mut found = [0; 50];
        assert_eq!(owed.read(&mut found, 50), 0);
        assert_eq!(found, [1; 50], "who works on it still reads what he wrote");
    }

    #[test]
    fn memory_grows_by_doubling_and_is_used_again() {
        let (_path, _file, owed) = wal();
        let mut lengths = std::collections::BTreeSet::new();
        let commit = vec![1; 10 * BLOCK_BYTES];
        for number in 0..20 {
            let offset = number * commit.len() as u64;
            assert!(owed.take(&[], &commit, offset, 0).unwrap());
            lengths.insert(owed.state().next.bytes.len());
        }
        assert!(lengths.len() <= 6, "{lengths:?}");
        let place = owed.begin().unwrap().bytes.as_ptr();
        owed.ended(true);
        let (again, _) = buffer(20 * commit.len());
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn zeros_fill_what_the_file_grew_by() {
        let (_path, _file, owed) = wal();
        assert!(owed.take(&[], &[1; 5000], 0, 65_536).unwrap());
        let write = owed.begin().unwrap();
        assert_eq!((write.range.len(), write.zeros), (8192, 65_536 - 8192));
        assert_eq!(
            write.bytes[write.range.start..]
                .as_ptr()
                .align_offset(BLOCK_BYTES),
            0
        );
        assert!(
            write.bytes[write.range.clone()][5000..]
                .iter()
                .all(|&byte| byte == 0)
        );
        owed.ended(true);
    }
}
