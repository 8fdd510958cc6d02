//! The queue's folder: its lock and its segments.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    Entry, Segment,
    segment::{Place, Replayed, replay},
};

/// Segments of one folder; a queue has a few, and one for each large message.
const SEGMENTS_MAX: usize = 100_000;

/// The folder of a queue, held by this process.
#[derive(Debug)]
pub struct Spool {
    journal: PathBuf,
    next: AtomicU64,
    _lock: File,
}

/// What was in a queue when it was opened.
#[derive(Debug)]
pub struct Found {
    /// Segments, and what is in them.
    pub segments: Vec<(Segment, Replayed)>,
    /// Files by a segment's name that are none.
    pub foreign: Vec<PathBuf>,
}

/// Why a queue can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// Another server has it.
    #[error("another server runs on the queue in {0}")]
    Locked(PathBuf),
    /// A file or folder can't be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More segments than there can be.
    #[error("{0}: more than {SEGMENTS_MAX} segments")]
    TooMany(PathBuf),
}

impl Spool {
    /// Opens a queue, or makes it, and reads all of its segments. Those without a message left are deleted. A file
    /// that is no segment is left alone: [`Found::foreign`] names it.
    pub fn open(folder: &Path) -> Result<(Self, Found), SpoolError> {
        let journal = folder.join("journal");
        fs::create_dir_all(&journal).map_err(at(&journal))?;
        let lock_path = folder.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::Locked(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(at(&lock_path)(source)),
        }
        let mut segments = Vec::new();
        let mut foreign = Vec::new();
        // Names of messages don't come again after the last segment is deleted.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut next = now.map_or(1, |now| now.as_secs());
        for path in segment_files(&journal)? {
            match Segment::open(&path) {
                Ok((segment, replayed)) => {
                    next = next.max(segment.number() + 1);
                    if replayed.entries.is_empty() {
                        segment.delete().map_err(at(&path))?;
                    } else {
                        segments.push((segment, replayed));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => foreign.push(path),
                Err(source) => return Err(at(&path)(source)),
            }
        }
        let spool = Self {
            journal,
            next: AtomicU64::new(next),
            _lock: lock,
        };
        Ok((spool, Found { segments, foreign }))
    }

    /// Makes a segment that no other has the number of.
    pub fn create_segment(&self) -> io::Result<Segment> {
        let number = self.next.fetch_add(1, Relaxed);
        Segment::create(&self.journal, number)
    }

    /// Makes the names of new segments durable.
    pub fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.journal)?.sync_all()
    }
}

/// What is in a queue, for one who only looks. The server may run meanwhile: what it writes at this moment is
/// there or not.
pub fn read_only(folder: &Path) -> Result<Vec<(Entry, Place)>, SpoolError> {
    let mut entries = Vec::new();
    let journal = folder.join("journal");
    if !journal.exists() {
        return Ok(entries);
    }
    for path in segment_files(&journal)? {
        match fs::read(&path) {
            // Files that are no segments have no messages.
            Ok(content) => entries.extend(replay(&Bytes::from(content)).unwrap_or_default().entries),
            // Deleted since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(at(&path)(source)),
        }
    }
    entries.sort_by_key(|(entry, _)| (entry.queued_ms, entry.id));
    Ok(entries)
}

fn segment_files(journal: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let mut files = Vec::new();
    for file in fs::read_dir(journal).map_err(at(journal))? {
        let path = file.map_err(at(journal))?.path();
        if path.extension().is_some_and(|extension| extension == "rpq") {
            files.push(path);
        }
        if files.len() > SEGMENTS_MAX {
            return Err(SpoolError::TooMany(journal.to_owned()));
        }
    }
    files.sort();
    Ok(files)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SpoolError + '_ {
    move |source| SpoolError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, EnvelopeRecipient, Operation, Outgoing};

    #[test]
    fn a_queue_has_one_server_and_any_number_of_readers() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, found) = Spool::open(folder.path()).unwrap();
        assert!(found.segments.is_empty());
        assert!(matches!(Spool::open(folder.path()), Err(SpoolError::Locked(_))));
        let mut first = spool.create_segment().unwrap();
        let second = spool.create_segment().unwrap();
        assert_ne!(first.number(), second.number());
        let message = Outgoing {
            envelope: Envelope::default(),
            recipients: vec![EnvelopeRecipient::new("a@example.net")],
            content: Bytes::from_static(b"x"),
        };
        let id = first.next_id(0);
        let add = Operation::Add(Entry::new(id, 1, &message), message.content);
        first.append(&[add]).unwrap();
        assert_eq!(read_only(folder.path()).unwrap()[0].0.id, id);
        fs::write(folder.path().join("journal/foreign.rpq"), b"not ours").unwrap();
        drop(spool);
        let (spool, found) = Spool::open(folder.path()).unwrap();
        assert_eq!(
            (found.segments.len(), found.foreign.len()),
            (1, 1),
            "the empty one is deleted"
        );
        assert!(spool.create_segment().unwrap().number() > found.segments[0].0.number());
        assert_eq!(read_only(&folder.path().join("none")).unwrap(), []);
    }
}
