//! Pages that a checkpoint writes into the database, gathered: SQLite writes them one by one in the order of their
//! numbers, and those of new messages are neighbours. A row of neighbours is one system call.
//!
//! A write that was gathered and fails later is the answer to whatever touches the file next: at the latest the
//! truncation or the sync that end a checkpoint before the WAL may be used anew. Should the checkpoint have failed before
//! that, the WAL has all of it still.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    os::unix::fs::FileExt,
};

/// What is gathered at most.
const GATHERED_BYTES: usize = 256 * 1024;

thread_local! {
    /// A buffer that no checkpoint uses now.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The writing side of one database.
#[derive(Default)]
pub(crate) struct Pages {
    /// A checkpoint is under way.
    pub(crate) gathers: Cell<bool>,
    offset: Cell<u64>,
    bytes: RefCell<Vec<u8>>,
}

impl Pages {
    /// Takes one write of SQLite's.
    pub(crate) fn write(&self, file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        let gathered = self.bytes.borrow().len();
        if gathered > 0 && (offset != self.offset.get() + gathered as u64 || gathered >= GATHERED_BYTES) {
            self.flush(file)?;
        }
        if !self.gathers.get() {
            self.flush(file)?;
            return file.write_all_at(data, offset);
        }
        let mut bytes = self.bytes.borrow_mut();
        if bytes.is_empty() {
            *bytes = SPARE.take();
            self.offset.set(offset);
        }
        bytes.extend_from_slice(data);
        Ok(())
    }

    /// Writes what was gathered. What can't be written is forgotten: SQLite is told, and writes it again or not at all.
    pub(crate) fn flush(&self, file: &File) -> io::Result<()> {
        let mut bytes = self.bytes.take();
        if bytes.is_empty() {
            return Ok(());
        }
        let written = file.write_all_at(&bytes, self.offset.get());
        bytes.clear();
        SPARE.set(bytes);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::content;

    #[test]
    fn neighbours_are_written_together_and_others_apart() {
        let file = tempfile::tempfile().unwrap();
        let pages = Pages::default();
        pages.gathers.set(true);
        pages.write(&file, &[1; 4096], 0).unwrap();
        pages.write(&file, &[2; 4096], 4096).unwrap();
        assert_eq!(content(&file), []);
        pages.write(&file, &[3; 4096], 3 * 4096).unwrap();
        assert_eq!(content(&file), [[1; 4096], [2; 4096]].concat());
        pages.flush(&file).unwrap();
        assert_eq!(
            content(&file),
            [[1; 4096], [2; 4096], [0; 4096], [3; 4096]].concat()
        );
    }

    #[test]
    fn outside_of_a_checkpoint_nothing_is_held_back() {
        let file = tempfile::tempfile().unwrap();
        let pages = Pages::default();
        pages.gathers.set(true);
        pages.write(&file, &[1; 4096], 0).unwrap();
        pages.gathers.set(false);
        // The neighbour, too.
        pages.write(&file, &[2; 4096], 4096).unwrap();
        assert_eq!(content(&file), [[1; 4096], [2; 4096]].concat());
    }

    #[test]
    fn a_failed_write_is_told_and_forgotten() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let file = File::open(path.path()).unwrap();
        let pages = Pages::default();
        pages.gathers.set(true);
        pages.write(&file, &[1; 4096], 0).unwrap();
        assert!(pages.write(&file, &[1; 4096], 8192).is_err());
        assert!(pages.flush(&file).is_ok());
    }

    #[test]
    fn a_long_row_is_written_in_pieces() {
        let file = tempfile::tempfile().unwrap();
        let pages = Pages::default();
        pages.gathers.set(true);
        for page in 0..100 {
            pages.write(&file, &[7; 4096], page * 4096).unwrap();
        }
        assert_eq!(file.metadata().unwrap().len(), GATHERED_BYTES as u64);
    }
}
