//! A segment: a file of records, written at its end.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd, RawFd},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::{Entry, Operation, QueueId, read_operations};

/// What every segment begins with.
const MAGIC: &[u8; 8] = b"RPQUEUE1";
/// Magic, number, CRC of both, four bytes of nothing.
const FILE_HEADER: usize = 24;
/// Length of the payload, its CRC, [`RECORD`], CRC of these twelve bytes.
const RECORD_HEADER: usize = 16;
/// What a record is marked by.
const RECORD: u32 = 0x5251_5052;
/// A record may be so long: one message, or one recipient's changes and the report of them.
const PAYLOAD_MAX: usize = crate::CONTENT_MAX + 64 * 1024 * 1024;

/// Where a message's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Offset of the content in its file.
    pub offset: u64,
    /// Length of the content.
    pub length: u32,
}

/// An open segment. Its owner alone writes to it.
#[derive(Debug)]
pub struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    end: u64,
    added: u32,
}

impl Segment {
    /// Makes a segment. Its name becomes durable by a sync of its folder.
    pub(crate) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = file_name(folder, number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        let mut header = Vec::with_capacity(FILE_HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&number.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        file.write_all_at(&header, 0)?;
        Ok(Self {
            number,
            path,
            file,
            end: FILE_HEADER as u64,
            added: 0,
        })
    }

    /// Opens a segment that is there, for further operations on its messages, and says what it holds. What a
    /// crash left behind its last whole record is cut off.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Replayed)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let content = Bytes::from(std::fs::read(path)?);
        let replayed = replay(&content).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        file.set_len(replayed.end)?;
        let segment = Self {
            number: replayed.number,
            path: path.to_owned(),
            file,
            end: replayed.end,
            added: replayed.added,
        };
        Ok((segment, replayed))
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For syncs and reads by descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.end
    }

    /// The name of the message that is added next, or so many behind it.
    pub fn next_id(&self, behind: u32) -> QueueId {
        QueueId(self.number << 24 | u64::from(self.added + 1 + behind))
    }

    /// Whether another message can be named here.
    pub fn has_names_left(&self, messages: usize) -> bool {
        (self.added as usize + messages) < 1 << 24
    }

    /// Appends operations as one record: all of them hold after a crash, or none. Returns where the contents of
    /// the messages that are added are, in order. After an error nothing was appended.
    pub fn append(&mut self, operations: &[Operation]) -> io::Result<Vec<Place>> {
        let mut record = vec![0; RECORD_HEADER];
        let mut places = Vec::new();
        let mut added = 0;
        for operation in operations {
            let at = operation.write(&mut record);
            if let Operation::Add(_, content) = operation {
                added += 1;
                places.push(Place {
                    segment: self.number,
                    offset: self.end + at as u64,
                    length: content.len() as u32,
                });
            }
        }
        let payload = &record[RECORD_HEADER..];
        if payload.len() > PAYLOAD_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut header = [0; RECORD_HEADER];
        header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        header[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        header[8..12].copy_from_slice(&RECORD.to_le_bytes());
        let crc = crc32fast::hash(&header[..12]);
        header[12..].copy_from_slice(&crc.to_le_bytes());
        record[..RECORD_HEADER].copy_from_slice(&header);
        if let Err(error) = self.file.write_all_at(&record, self.end) {
            // The next record goes to the same place; a torn one must not stay behind the end of the file.
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        self.end += record.len() as u64;
        self.added += added;
        Ok(places)
    }

    /// Reads a content.
    pub fn read(&self, place: Place) -> io::Result<Bytes> {
        let mut content = vec![0; place.length as usize];
        self.file.read_exact_at(&mut content, place.offset)?;
        Ok(content.into())
    }

    /// `fdatasync`, on the calling thread.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Deletes the file.
    pub fn delete(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// What a segment's records come to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The segment's number.
    pub number: u64,
    /// Messages that are not removed, in the order they came.
    pub entries: Vec<(Entry, Place)>,
    /// Behind the last whole record.
    pub end: u64,
    /// Bytes behind that.
    pub torn: u64,
    /// Messages that were ever added.
    pub added: u32,
}

/// Reads a segment's file. `None`: it is no segment. Never fails for what follows the header: whatever is not whole
/// ends what is read.
pub fn replay(content: &Bytes) -> Option<Replayed> {
    let header = content.first_chunk::<FILE_HEADER>()?;
    let crc = u32::from_le_bytes(*header[16..].first_chunk()?);
    if &header[..8] != MAGIC || crc != crc32fast::hash(&header[..16]) {
        return None;
    }
    let mut replayed = Replayed {
        number: u64::from_le_bytes(*header[8..].first_chunk()?),
        ..Replayed::default()
    };
    let mut at = FILE_HEADER;
    let mut live: HashMap<QueueId, (Entry, Place)> = HashMap::new();
    while let Some((payload, next)) = record(content, at) {
        let Ok(operations) = read_operations(&payload) else {
            break;
        };
        let begin = at + RECORD_HEADER;
        for (operation, content_at) in operations {
            match operation {
                Operation::Add(entry, content) => {
                    replayed.added = replayed.added.max(entry.id.0 as u32 & 0x00ff_ffff);
                    let place = Place {
                        segment: replayed.number,
                        offset: (begin + content_at) as u64,
                        length: content.len() as u32,
                    };
                    live.insert(entry.id, (entry, place));
                }
                Operation::Update {
                    id,
                    attempts,
                    next_ms,
                    changes,
                } => {
                    if let Some((entry, _)) = live.get_mut(&id) {
                        entry.apply(attempts, next_ms, &changes);
                    }
                }
                Operation::Sending { id, recipients } => {
                    if let Some((entry, _)) = live.get_mut(&id) {
                        entry.uncertain = entry.uncertain.saturating_add(recipients);
                        entry.interrupted = true;
                    }
                }
                Operation::Remove(id) => {
                    live.remove(&id);
                }
            }
        }
        at = next;
    }
    replayed.end = at as u64;
    replayed.torn = (content.len() - at) as u64;
    replayed.entries = live.into_values().collect();
    replayed.entries.sort_by_key(|(entry, _)| entry.id);
    Some(replayed)
}

/// The payload of the record at an offset, and where the next one begins.
fn record(content: &Bytes, at: usize) -> Option<(Bytes, usize)> {
    let header = content.get(at..)?.first_chunk::<RECORD_HEADER>()?;
    let number = |at: usize| Some(u32::from_le_bytes(*header[at..].first_chunk()?));
    if number(8)? != RECORD || number(12)? != crc32fast::hash(&header[..12]) {
        return None;
    }
    let begin = at + RECORD_HEADER;
    let end = begin.checked_add(number(0)? as usize)?;
    if end > content.len() {
        return None;
    }
    let payload = content.slice(begin..end);
    (crc32fast::hash(&payload) == number(4)?).then_some((payload, end))
}

pub(crate) fn file_name(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.rpq"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, EnvelopeRecipient, Outgoing, RecipientState};

    fn add(segment: &Segment, text: &str) -> Operation {
        let message = Outgoing {
            envelope: Envelope::default(),
            recipients: vec![
                EnvelopeRecipient::new("a@example.net"),
                EnvelopeRecipient::new("b@example.net"),
            ],
            content: Bytes::from(text.to_owned()),
        };
        Operation::Add(Entry::new(segment.next_id(0), 1, &message), message.content)
    }

    #[test]
    fn a_segment_cut_anywhere_holds_its_whole_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = Segment::create(folder.path(), 7).unwrap();
        let mut ends = vec![segment.length()];
        let first = segment.next_id(0);
        let place = segment.append(&[add(&segment, "first")]).unwrap()[0];
        ends.push(segment.length());
        segment
            .append(&[Operation::Sending {
                id: first,
                recipients: 2,
            }])
            .unwrap();
        ends.push(segment.length());
        let report = add(&segment, "report");
        segment.append(&[Operation::Remove(first), report]).unwrap();
        ends.push(segment.length());
        assert_eq!(segment.read(place).unwrap(), "first");
        let whole = std::fs::read(segment.path()).unwrap();
        for cut in 0..=whole.len() {
            let replayed = replay(&Bytes::copy_from_slice(&whole[..cut]));
            let Some(replayed) = replayed else {
                assert!(cut < FILE_HEADER);
                continue;
            };
            let records = ends.iter().filter(|end| **end as usize <= cut).count();
            assert_eq!(replayed.end, ends[records - 1], "cut at {cut}");
            let names: Vec<u64> = replayed
                .entries
                .iter()
                .map(|(entry, _)| entry.id.0 & 0xff)
                .collect();
            let expected: &[u64] = [&[][..], &[1], &[1], &[2]][records - 1];
            assert_eq!(names, expected);
            if records == 3 {
                assert_eq!(replayed.entries[0].0.uncertain, 2);
                assert!(replayed.entries[0].0.interrupted);
            }
        }
        // Opened again, the torn end is gone, and names go on.
        std::fs::write(segment.path(), [&whole[..], b"torn"].concat()).unwrap();
        let (mut again, replayed) = Segment::open(segment.path()).unwrap();
        assert_eq!(replayed.torn, 4);
        assert_eq!(again.next_id(0).0 & 0xff, 3);
        let (entry, place) = &replayed.entries[0];
        assert_eq!(again.read(*place).unwrap(), "report");
        assert!(
            entry
                .recipients
                .iter()
                .all(|recipient| recipient.state == RecipientState::Pending)
        );
        again.append(&[Operation::Remove(entry.id)]).unwrap();
        assert!(Segment::open(again.path()).unwrap().1.entries.is_empty());
    }

    #[test]
    fn a_flipped_bit_ends_the_reading_and_never_makes_up_messages() {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = Segment::create(folder.path(), 7).unwrap();
        segment.append(&[add(&segment, "first")]).unwrap();
        let one = segment.length() as usize;
        segment.append(&[add(&segment, "second")]).unwrap();
        let whole = std::fs::read(segment.path()).unwrap();
        for at in FILE_HEADER..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            let count = replay(&Bytes::from(flipped)).unwrap().entries.len();
            assert_eq!(count, usize::from(at >= one), "bit at {at}");
        }
    }
}
