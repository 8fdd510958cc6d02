//! A value as it is stored, to be decompressed where there is time for it: away from the mailbox's core.

use super::{Encoding, FRAME_BYTES, decode_frame};
use crate::{Mailbox, MessageRow, SourceId, StoreError};

/// A small value, as the database has it.
#[derive(Debug)]
pub struct StoredContent {
    encoding: Encoding,
    size: usize,
    data: Vec<u8>,
}

impl StoredContent {
    /// Bytes of the value.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Appends the value to `out`.
    pub fn read(&self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        decode_frame(self.encoding, &self.data, self.size, out)
    }
}

impl Mailbox {
    /// A visited message's RFC 5322 source as it is stored, where it is small (one frame, in the database). `None`:
    /// it is not, or has gone; [`Self::read_row_source`] reads it or says so.
    pub fn read_row_stored(&mut self, row: &MessageRow) -> Result<Option<StoredContent>, StoreError> {
        let Some(SourceId(content)) = row.source.filter(|_| row.size <= FRAME_BYTES as u64) else {
            return Ok(None);
        };
        let mut statement = self
            .connection
            .prepare_cached("SELECT size, encoding, data FROM contents WHERE id = ?1")?;
        let mut rows = statement.query([content])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let size = row.get::<_, i64>(0)? as u64;
        let encoding = Encoding::from_column(row.get(1)?)?;
        if encoding.is_file() || size > FRAME_BYTES as u64 {
            return Ok(None);
        }
        let data = row.get_ref(2)?.as_blob_or_null()?.unwrap_or_default().to_vec();
        Ok(Some(StoredContent {
            encoding,
            size: size as usize,
            data,
        }))
    }
}
