//! Keywords: a mailbox knows each under a number, a message keeps the numbers.

use std::collections::HashMap;

use ringpost_mapi::{Reader, reader::write_varint};
use rusqlite::{Connection, params};

use crate::{Mailbox, StoreError};

/// Keywords of a mailbox. Clients make them up; this keeps one from filling the memory.
pub(crate) const MAX_KEYWORDS: usize = 4096;
/// Bytes of a keyword.
pub(crate) const MAX_KEYWORD_BYTES: usize = 255;

/// All keywords of a mailbox.
#[derive(Clone, Default, Debug)]
pub(crate) struct Keywords {
    names: Vec<String>,
    /// By lower case, since they are compared without regard to case (RFC 9051 §2.3.2).
    ids: HashMap<String, u32>,
}

impl Keywords {
    fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut keywords = Self::default();
        let mut statement = connection.prepare_cached("SELECT id, name FROM keywords ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, name): (u32, String) = (row.get(0)?, row.get(1)?);
            if id as usize != keywords.names.len() {
                return Err(StoreError::damaged("keyword numbers"));
            }
            keywords.push(name);
        }
        Ok(keywords)
    }

    fn push(&mut self, name: String) -> u32 {
        let id = self.names.len() as u32;
        self.ids.insert(name.to_ascii_lowercase(), id);
        self.names.push(name);
        id
    }

    /// The names behind a row's column.
    pub(crate) fn names_of(&self, column: Option<&[u8]>) -> Result<Vec<String>, StoreError> {
        decode(column)?
            .into_iter()
            .map(|id| {
                self.names
                    .get(id as usize)
                    .cloned()
                    .ok_or_else(|| StoreError::damaged("keyword number"))
            })
            .collect()
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}

/// A row's keywords as numbers, ascending.
pub(crate) fn decode(column: Option<&[u8]>) -> Result<Vec<u32>, StoreError> {
    let mut reader = Reader::new(column.unwrap_or_default());
    let mut ids: Vec<u32> = Vec::new();
    while !reader.is_empty() {
        let id = u32::try_from(reader.varint("keywords")?).map_err(|_| StoreError::damaged("keywords"))?;
        if ids.last().is_some_and(|last| *last >= id) {
            return Err(StoreError::damaged("keywords: not ascending"));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// The column for these numbers, which ascend; NULL for none.
pub(crate) fn encode(ids: &[u32]) -> Option<Vec<u8>> {
    if ids.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        write_varint(&mut out, u64::from(*id));
    }
    Some(out)
}

impl Mailbox {
    /// All keywords in use in the folder's mailbox.
    pub fn keywords(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(self.keyword_table()?.names().to_vec())
    }

    /// The keywords, read once after the mailbox was opened.
    pub(crate) fn keyword_table(&mut self) -> Result<&Keywords, StoreError> {
        if self.keyword_cache.is_none() {
            self.keyword_cache = Some(Keywords::load(&self.connection)?);
        }
        self.keyword_cache
            .as_ref()
            .ok_or_else(|| StoreError::damaged("keywords"))
    }

    /// The numbers of these keywords, ascending, each once. Unknown ones get a number when `make`, inside a
    /// transaction; else they are left out.
    pub(crate) fn keyword_ids(&mut self, names: &[String], make: bool) -> Result<Vec<u32>, StoreError> {
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let known = self.keyword_table()?.ids.get(&name.to_ascii_lowercase()).copied();
            if let Some(id) = known {
                ids.push(id);
            } else if make {
                ids.push(self.make_keyword(name)?);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn make_keyword(&mut self, name: &str) -> Result<u32, StoreError> {
        if name.is_empty() || name.len() > MAX_KEYWORD_BYTES {
            return Err(StoreError::LimitExceeded("length of a keyword"));
        }
        let id = self.keyword_table()?.len();
        if id >= MAX_KEYWORDS {
            return Err(StoreError::LimitExceeded("number of keywords"));
        }
        self.connection
            .prepare_cached("INSERT INTO keywords (id, name) VALUES (?1, ?2)")?
            .execute(params![id as i64, name])?;
        if let Some(keywords) = &mut self.keyword_cache {
            keywords.push(name.to_owned());
        }
        Ok(id as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_damage_is_an_error() {
        for ids in [vec![], vec![0], vec![1, 127, 128, 70_000]] {
            assert_eq!(decode(encode(&ids).as_deref()).unwrap(), ids);
        }
        assert!(decode(Some(&[5, 5])).is_err());
        assert!(decode(Some(&[0x80])).is_err());
    }
}
