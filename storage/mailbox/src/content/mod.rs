//! Content: messages' sources and other large values. Each is kept once, however many messages refer to it.
//!
//! ```text
//! value ─► hash ─► known? ──yes──► one more reference
//!                    └no─► small: inline in `contents`
//!                          large: tmp/ ─► sync ─► rename into cid/ ─► sync cid/ ─► row that names it
//! ```

mod frames;
mod stored;

use std::{
    fs::File,
    io::Write,
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{OptionalExtension, params};

use frames::{FRAME_BYTES, decompress, frame_count, frame_ranges, header_frame, index_length};
pub(crate) use frames::{compress, compress_message};
pub use stored::StoredContent;

use crate::{Mailbox, StoreError};

/// Stored values up to this size live in the database: a file costs two more syncs at delivery.
pub(crate) const INLINE_MAX_BYTES: usize = 64 * 1024;
/// Values below this size are not looked for by their hash: an index entry on a random page, for each
/// message, costs more than the few duplicates it would find. Copies of messages share them all the same.
pub(crate) const DEDUPLICATE_MIN_BYTES: u64 = 4 * 1024;

/// How a value is stored (`contents.encoding`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    Plain = 0,
    Zstd = 1,
    PlainFile = 2,
    ZstdFile = 3,
}

impl Encoding {
    pub(crate) fn from_column(value: i64) -> Result<Self, StoreError> {
        Ok(match value {
            0 => Self::Plain,
            1 => Self::Zstd,
            2 => Self::PlainFile,
            3 => Self::ZstdFile,
            _ => return Err(StoreError::damaged("content encoding")),
        })
    }

    fn is_compressed(self) -> bool {
        matches!(self, Self::Zstd | Self::ZstdFile)
    }

    pub(crate) fn is_file(self) -> bool {
        matches!(self, Self::PlainFile | Self::ZstdFile)
    }
}

/// What was read last, for the next piece of the same value.
#[derive(Default)]
pub(crate) struct ContentCache {
    open: Option<OpenContent>,
}

struct OpenContent {
    id: i64,
    size: u64,
    encoding: Encoding,
    stored: Stored,
    frames: Vec<Range<u64>>,
    /// The number of the frame that `value` holds, decompressed.
    frame: Option<usize>,
    value: Vec<u8>,
}

/// Where the stored bytes are.
enum Stored {
    /// Those of an inline value, as long as they are needed.
    Inline(Vec<u8>),
    File(File, PathBuf),
}

impl ContentCache {
    pub(crate) fn clear(&mut self) {
        self.open = None;
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| {
            let stored = match &open.stored {
                Stored::Inline(data) => data.capacity(),
                Stored::File(..) => 0,
            };
            (stored + open.value.capacity() + open.frames.capacity() * size_of::<Range<u64>>()) as u64
        })
    }
}

/// The key that the index of hashes has.
pub(crate) fn hash_key(hash: &[u8; 32]) -> i64 {
    i64::from_le_bytes(*hash.first_chunk().unwrap_or(&[0; 8]))
}

/// Name of a content file.
pub(crate) fn file_name(hash: &[u8; 32], encoding: Encoding) -> String {
    let hex = blake3::Hash::from_bytes(*hash).to_hex();
    if encoding.is_compressed() {
        format!("{hex}.zst")
    } else {
        hex.to_string()
    }
}

impl Mailbox {
    /// Stores a value, or finds it stored already, and counts one more reference. Inside a transaction.
    pub(crate) fn add_content(
        &mut self,
        hash: &[u8; 32],
        value: &[u8],
        compressed: Option<&[u8]>,
    ) -> Result<i64, StoreError> {
        let deduplicate = value.len() as u64 >= DEDUPLICATE_MIN_BYTES;
        if deduplicate && let Some(known) = self.find_content(hash, value.len() as u64)? {
            self.share_content(known)?;
            return Ok(known);
        }
        let id = self.next_id() as i64;
        let stored = compressed.unwrap_or(value);
        let encoding = match (compressed.is_some(), stored.len() > INLINE_MAX_BYTES) {
            (false, false) => Encoding::Plain,
            (true, false) => Encoding::Zstd,
            (false, true) => Encoding::PlainFile,
            (true, true) => Encoding::ZstdFile,
        };
        if encoding.is_file() {
            self.write_content_file(&file_name(hash, encoding), stored)?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO contents (id, size, encoding, hash_key, hash, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id,
                value.len() as i64,
                encoding as i64,
                deduplicate.then(|| hash_key(hash)),
                hash,
                (!encoding.is_file()).then_some(stored)
            ])?;
        Ok(id)
    }

    fn find_content(&self, hash: &[u8; 32], size: u64) -> Result<Option<i64>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT id FROM contents WHERE hash_key = ?1 AND hash = ?2 AND size = ?3")?
            .query_row(params![hash_key(hash), hash, size as i64], |row| row.get(0))
            .optional()?)
    }

    /// One more reference to a value.
    pub(crate) fn share_content(&mut self, id: i64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO content_shares (content, extra) VALUES (?1, 1)
                 ON CONFLICT (content) DO UPDATE SET extra = extra + 1",
            )?
            .execute([id])?;
        Ok(())
    }

    /// One reference less; the value goes with the last one.
    pub(crate) fn release_content(&mut self, id: i64) -> Result<(), StoreError> {
        let extra: Option<i64> = self
            .connection
            .prepare_cached("SELECT extra FROM content_shares WHERE content = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        match extra {
            Some(2..) => {
                self.connection
                    .prepare_cached("UPDATE content_shares SET extra = extra - 1 WHERE content = ?1")?
                    .execute([id])?;
            }
            Some(_) => {
                self.connection
                    .prepare_cached("DELETE FROM content_shares WHERE content = ?1")?
                    .execute([id])?;
            }
            None => self.delete_content(id)?,
        }
        Ok(())
    }

    fn delete_content(&mut self, id: i64) -> Result<(), StoreError> {
        let row = self
            .connection
            .prepare_cached("DELETE FROM contents WHERE id = ?1 RETURNING encoding, hash")?
            .query_row([id], |row| Ok((row.get(0)?, row.get::<_, [u8; 32]>(1)?)))
            .optional()?;
        if let Some((encoding, hash)) = row {
            let encoding = Encoding::from_column(encoding)?;
            if encoding.is_file() {
                let path = self.content_path(&file_name(&hash, encoding));
                self.unreferenced.push(path);
            }
        }
        self.content_cache.clear();
        Ok(())
    }

    pub(crate) fn content_path(&self, name: &str) -> PathBuf {
        self.directory.join("cid").join(name)
    }

    /// Durable when it returns, name included: the row that names the file is committed after it.
    fn write_content_file(&mut self, name: &str, stored: &[u8]) -> Result<(), StoreError> {
        let temporary = self.directory.join("tmp").join(name);
        let path = self.content_path(name);
        // Should the transaction fail, the file is one that nothing refers to.
        self.unreferenced.push(path.clone());
        let write = || {
            let mut file = File::options()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o660)
                .open(&temporary)?;
            file.write_all(stored)?;
            ringpost_vfs::sync_file(&file)
        };
        if let Err(error) = write() {
            // What is left of it is found by maintenance should this fail too.
            let _ = std::fs::remove_file(&temporary);
            return Err(StoreError::file(&temporary, error));
        }
        std::fs::rename(&temporary, &path).map_err(|e| StoreError::file(&path, e))?;
        let folder = self.directory.join("cid");
        ringpost_vfs::sync_directory(&folder).map_err(|e| StoreError::file(&folder, e))
    }

    /// Removes the files noted in `unreferenced` that no row names.
    pub(crate) fn remove_unreferenced(&mut self) -> Result<(), StoreError> {
        for path in std::mem::take(&mut self.unreferenced) {
            if self.is_named(&path)? {
                continue;
            }
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::file(&path, e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a row names this content file.
    pub(crate) fn is_named(&self, path: &Path) -> Result<bool, StoreError> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let (hex, encoding) = match name.strip_suffix(".zst") {
            Some(hex) => (hex, Encoding::ZstdFile),
            None => (name, Encoding::PlainFile),
        };
        let Ok(hash) = blake3::Hash::from_hex(hex) else {
            return Ok(false);
        };
        Ok(self
            .connection
            .prepare_cached("SELECT 1 FROM contents WHERE hash_key = ?1 AND hash = ?2 AND encoding = ?3")?
            .exists(params![
                hash_key(hash.as_bytes()),
                hash.as_bytes(),
                encoding as i64
            ])?)
    }

    /// Appends `range` of the value to `out`; what is beyond the end is left out.
    pub(crate) fn read_content(
        &mut self,
        id: i64,
        range: Range<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        // Taken out while it is used: an error leaves no half-read state behind.
        let mut open = match self.content_cache.open.take() {
            Some(open) if open.id == id => open,
            other => {
                let spare = other.map(|open| open.value).unwrap_or_default();
                match self.open_content(id, &range, spare, out)? {
                    Some(open) => open,
                    None => return Ok(()),
                }
            }
        };
        let end = range.end.min(open.size);
        let mut at = range.start;
        out.reserve(end.saturating_sub(at) as usize);
        while at < end {
            let number = (at / FRAME_BYTES as u64) as usize;
            let start = number as u64 * FRAME_BYTES as u64;
            open.load_frame(number)
                .map_err(|error| self.damaged_at(open.path(), error))?;
            let upto = (end - start).min(open.value.len() as u64) as usize;
            let piece = open
                .value
                .get((at - start) as usize..upto)
                .filter(|piece| !piece.is_empty())
                .ok_or_else(|| StoreError::damaged("content length"))?;
            out.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        self.content_cache.open = Some(open);
        Ok(())
    }

    /// Opens a value; `spare` becomes its buffer. A small inline value that is wanted whole, or in the header's
    /// frame, is appended to `out` at once instead, with no copy between, and nothing stays open.
    fn open_content(
        &self,
        id: i64,
        range: &Range<u64>,
        mut spare: Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Option<OpenContent>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT size, encoding, hash, data FROM contents WHERE id = ?1")?;
        let mut rows = statement.query([id])?;
        let row = rows
            .next()?
            .ok_or_else(|| StoreError::damaged(&format!("reference to content {id}")))?;
        let size = row.get::<_, i64>(0)? as u64;
        let encoding = Encoding::from_column(row.get(1)?)?;
        let data = row.get_ref(3)?.as_blob_or_null()?.unwrap_or_default();
        spare.clear();
        let mut open = OpenContent {
            id,
            size,
            encoding,
            stored: Stored::Inline(Vec::new()),
            frames: Vec::new(),
            frame: None,
            value: spare,
        };
        if encoding.is_file() {
            let path = self.content_path(&file_name(&row.get(2)?, encoding));
            let missing = |e: std::io::Error| StoreError::Corrupt {
                path: path.clone(),
                reason: e.to_string(),
            };
            let file = File::open(&path).map_err(missing)?;
            let stored = file.metadata().map_err(missing)?.len();
            open.stored = Stored::File(file, path);
            open.find_frames(stored)
                .map_err(|error| self.damaged_at(open.path(), error))?;
        } else if size > FRAME_BYTES as u64 {
            open.stored = Stored::Inline(data.to_vec());
            open.find_frames(data.len() as u64)
                .map_err(|error| self.damaged_at(None, error))?;
        } else if range.start == 0 && range.end >= size {
            let decoded = decode_frame(encoding, data, size as usize, out);
            return decoded
                .map(|()| None)
                .map_err(|error| self.damaged_at(None, error));
        } else if let Some((frame, holds)) = encoding
            .is_compressed()
            .then(|| header_frame(data))
            .flatten()
            .filter(|(_, holds)| range.end <= *holds as u64)
        {
            let before = out.len();
            decompress(frame, holds, out).map_err(|error| self.damaged_at(None, error))?;
            out.truncate(before + range.end as usize);
            out.drain(before..before + range.start.min(range.end) as usize);
            return Ok(None);
        } else {
            decode_frame(encoding, data, size as usize, &mut open.value)
                .map_err(|error| self.damaged_at(None, error))?;
            open.frame = Some(0);
        }
        Ok(Some(open))
    }
}

impl Mailbox {
    /// The error with the file that is damaged, as an administrator needs it: the content's own, or the database.
    fn damaged_at(&self, file: Option<&Path>, error: StoreError) -> StoreError {
        let StoreError::Corrupt { reason, .. } = error else {
            return error;
        };
        let database = || self.directory().join(crate::mailbox::DATABASE);
        let path = file.map_or_else(database, Path::to_owned);
        StoreError::Corrupt { path, reason }
    }
}

impl OpenContent {
    /// The content's own file.
    fn path(&self) -> Option<&Path> {
        match &self.stored {
            Stored::Inline(_) => None,
            Stored::File(_, path) => Some(path),
        }
    }

    fn find_frames(&mut self, stored: u64) -> Result<(), StoreError> {
        if self.encoding.is_compressed() {
            let count = frame_count(self.size);
            let index = index_length(count) as u64;
            let mut tail = Vec::new();
            self.read_stored(stored.saturating_sub(index)..stored, &mut tail)?;
            self.frames = frame_ranges(stored, count, &tail)?;
        }
        Ok(())
    }

    /// Makes `value` the frame with this number.
    fn load_frame(&mut self, number: usize) -> Result<(), StoreError> {
        if self.frame == Some(number) {
            return Ok(());
        }
        self.frame = None;
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        let start = (number * FRAME_BYTES) as u64;
        let length = (self.size - start).min(FRAME_BYTES as u64);
        if self.encoding.is_compressed() {
            let range = self
                .frames
                .get(number)
                .cloned()
                .ok_or_else(|| StoreError::damaged("content length"))?;
            let mut stored = Vec::new();
            self.read_stored(range, &mut stored)?;
            decompress(&stored, length as usize, &mut value)?;
        } else {
            self.read_stored(start..start + length, &mut value)?;
        }
        (self.value, self.frame) = (value, Some(number));
        Ok(())
    }

    /// Bytes as they are stored.
    fn read_stored(&self, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        match &self.stored {
            Stored::Inline(data) => {
                let piece = data
                    .get(range.start as usize..range.end as usize)
                    .ok_or_else(|| StoreError::damaged("content length"))?;
                bytes.extend_from_slice(piece);
            }
            Stored::File(file, path) => {
                bytes.resize((range.end - range.start) as usize, 0);
                let mut filled = 0;
                while filled < bytes.len() {
                    let read = ringpost_vfs::read_at(file, &mut bytes[filled..], range.start + filled as u64)
                        .map_err(|e| StoreError::file(path, e))?;
                    if read == 0 {
                        return Err(StoreError::Corrupt {
                            path: path.clone(),
                            reason: "shorter than its row says".to_owned(),
                        });
                    }
                    filled += read;
                }
            }
        }
        Ok(())
    }
}

/// Appends an inline value of one frame.
fn decode_frame(encoding: Encoding, data: &[u8], size: usize, out: &mut Vec<u8>) -> Result<(), StoreError> {
    if encoding.is_compressed() {
        return decompress(data, size, out);
    }
    if data.len() != size {
        return Err(StoreError::damaged("content length"));
    }
    out.extend_from_slice(data);
    Ok(())
}
