//! Which categories are expanded, as a client keeps it (MS-OXCTABL 2.2.2.18, 2.2.2.19).
//!
//! ```text
//! state := 01 instance-key varint (id expanded)*     the row that is current, and the categories that differ
//! ```

use std::collections::HashMap;

use ringpost_mapi::{CodecError, Reader, reader::write_varint};

use super::{Cursor, Origin, Rows, Table, resolve, view::RowKey};
use crate::{Mailbox, StoreError};

/// The most categories in a collapse state.
pub const MAX_COLLAPSE_CATEGORIES: usize = 100_000;

const VERSION: u8 = 1;
const STATE: &str = "collapse state";

impl Table {
    /// Which categories are expanded, and which row is current: bytes for the client to keep. `row` is the
    /// row's `PidTagInstID` and `PidTagInstanceNum` as its id in the store.
    pub fn collapse_state(
        &mut self,
        mailbox: &mut Mailbox,
        row: u64,
        instance: u32,
    ) -> Result<Vec<u8>, StoreError> {
        if self.sort.categories == 0 {
            return Err(StoreError::NotAllowed("the table has no categories"));
        }
        self.prepare(mailbox)?;
        let is_header =
            matches!(&self.rows, Some(Rows::Listed(view, _)) if view.find(RowKey::Header(row)).is_some());
        let mut out = vec![VERSION, u8::from(is_header)];
        out.extend_from_slice(&row.to_le_bytes());
        out.extend_from_slice(&instance.to_le_bytes());
        let mut changed: Vec<_> = self.expansion.iter().collect();
        changed.sort_unstable();
        changed.truncate(MAX_COLLAPSE_CATEGORIES);
        write_varint(&mut out, changed.len() as u64);
        for (id, expanded) in changed {
            out.extend_from_slice(&id.to_le_bytes());
            out.push(u8::from(*expanded));
        }
        Ok(out)
    }

    /// Expands and collapses as `state` says; the answer is a bookmark of the row that was current then (the
    /// nearest one where it is gone).
    pub fn set_collapse_state(&mut self, mailbox: &mut Mailbox, state: &[u8]) -> Result<u32, StoreError> {
        if self.sort.categories == 0 {
            return Err(StoreError::NotAllowed("the table has no categories"));
        }
        let (key, expansion) = decode(state).map_err(|_| StoreError::NotAllowed("not a collapse state"))?;
        self.expansion = expansion;
        self.rows = None;
        self.prepare(mailbox)?;
        let before = self.cursor;
        if let Some(Rows::Listed(view, _)) = &self.rows {
            let (position, _) = resolve(view, Cursor::Row(key, 0));
            self.cursor = super::cursor_at(view, position);
        }
        let bookmark = self.create_bookmark();
        self.cursor = before;
        let bookmark = bookmark?;
        debug_assert!(self.origin(Origin::Bookmark(bookmark)).is_ok());
        Ok(bookmark)
    }
}

fn decode(bytes: &[u8]) -> Result<(RowKey, HashMap<u64, bool>), CodecError> {
    let mut reader = Reader::new(bytes);
    if reader.u8(STATE)? != VERSION {
        return Err(CodecError::Invalid(STATE));
    }
    let header = flag(&mut reader)?;
    let (id, instance) = (reader.u64(STATE)?, reader.u32(STATE)?);
    let count = reader.varint(STATE)?;
    if count > MAX_COLLAPSE_CATEGORIES as u64 {
        return Err(CodecError::OverLimit(STATE));
    }
    let mut expansion = HashMap::new();
    for _ in 0..count {
        let category = reader.u64(STATE)?;
        expansion.insert(category, flag(&mut reader)?);
    }
    reader.finish(STATE)?;
    let key = if header {
        RowKey::Header(id)
    } else {
        RowKey::Leaf(id, instance)
    };
    Ok((key, expansion))
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, CodecError> {
    match reader.u8(STATE)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CodecError::Invalid(STATE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_states_are_refused() {
        let whole = [&[1, 0][..], &[0; 12], &[1], &7u64.to_le_bytes(), &[1]].concat();
        assert_eq!(
            decode(&whole),
            Ok((RowKey::Leaf(0, 0), HashMap::from([(7, true)])))
        );
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err());
        }
        let mut many = [&[1, 0][..], &[0; 12]].concat();
        write_varint(&mut many, MAX_COLLAPSE_CATEGORIES as u64 + 1);
        assert_eq!(decode(&many), Err(CodecError::OverLimit(STATE)));
    }
}
