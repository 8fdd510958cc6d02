//! Which versions of a message or folder an object has seen: its change key and predecessor change list
//! (MS-OXCFXICS 2.2.1.2.7, 2.2.1.2.8, 3.1.5.3).
//!
//! Most objects were changed here only: then both follow from the number of the last change, and nothing is
//! stored. What a client made offline comes with a change key of its own. That is kept until the next change
//! here, which gets a key of the store; the predecessors are kept for ever, as they tell what others know.
//!
//! ```text
//! lineage := varint varint key predecessors    the version that has the key, the key's length, the key; the
//!                                              encoded predecessor change list is the rest
//! ```

use ringpost_mapi::{
    ChangeNumber, CodecError, FolderId, Guid, MessageId, Reader,
    change::{PredecessorChangeList, Xid},
    reader::write_varint,
};
use rusqlite::{OptionalExtension, params};

use crate::{
    Mailbox, StoreError,
    flag_pages::{JOIN, VERSION},
    folder::not_found as no_folder,
    message::not_found as no_message,
};

/// The change key and the predecessors of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lineage {
    /// `PidTagChangeKey`: the object's last change.
    pub change_key: Xid,
    /// `PidTagPredecessorChangeList`: the changes that it includes, the last one too.
    pub predecessors: PredecessorChangeList,
}

impl Lineage {
    /// The lineage that the column and the version of an object of the store `store` mean.
    pub(crate) fn of(store: Guid, version: ChangeNumber, column: Option<&[u8]>) -> Result<Self, CodecError> {
        let own = Xid::of_counter(store, version.0);
        let Some(column) = column else {
            let mut predecessors = PredecessorChangeList::new();
            predecessors.add(own.clone());
            return Ok(Self {
                change_key: own,
                predecessors,
            });
        };
        let mut reader = Reader::new(column);
        let at = reader.varint("lineage")?;
        let change_key = Xid::decode(reader.prefixed("lineage")?)?;
        let mut predecessors = PredecessorChangeList::decode(reader.rest())?;
        if at == version.0 {
            return Ok(Self {
                change_key,
                predecessors,
            });
        }
        // Changed here since.
        predecessors.add(own.clone());
        Ok(Self {
            change_key: own,
            predecessors,
        })
    }

    fn encode(&self, version: ChangeNumber) -> Vec<u8> {
        let (key, mut out) = (self.change_key.encode(), Vec::new());
        write_varint(&mut out, version.0);
        write_varint(&mut out, key.len() as u64);
        out.extend_from_slice(&key);
        out.extend_from_slice(&self.predecessors.encode());
        out
    }
}

impl Mailbox {
    /// A message's change key and predecessors.
    pub fn message_lineage(&mut self, id: MessageId) -> Result<Lineage, StoreError> {
        let store = self.guid().0;
        self.connection
            .prepare_cached(&format!(
                "SELECT {VERSION}, d.lineage FROM messages m JOIN message_data d ON d.message = m.id {JOIN}
                 WHERE m.id = ?1"
            ))?
            .query_row([id.to_disk()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
            })
            .optional()?
            .ok_or_else(|| no_message(id))
            .and_then(|(version, column)| {
                Ok(Lineage::of(
                    store,
                    ChangeNumber(version as u64),
                    column.as_deref(),
                )?)
            })
    }

    /// A folder's change key and predecessors.
    pub fn folder_lineage(&mut self, id: FolderId) -> Result<Lineage, StoreError> {
        let store = self.guid().0;
        self.connection
            .prepare_cached(
                "SELECT f.change, d.lineage FROM folders f JOIN folder_data d ON d.folder = f.id
                 WHERE f.id = ?1 AND f.state = 0",
            )?
            .query_row([id.to_disk()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
            })
            .optional()?
            .ok_or_else(|| no_folder(id))
            .and_then(|(change, column)| {
                Ok(Lineage::of(
                    store,
                    ChangeNumber(change as u64),
                    column.as_deref(),
                )?)
            })
    }

    /// Gives the version of a message that was just written a change key and predecessors from elsewhere.
    pub(crate) fn write_message_lineage(
        &self,
        id: MessageId,
        version: ChangeNumber,
        lineage: Option<&Lineage>,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE message_data SET lineage = ?2 WHERE message = ?1")?
            .execute(params![id.to_disk(), lineage.map(|one| one.encode(version))])?;
        Ok(())
    }

    /// The same of a folder.
    pub(crate) fn write_folder_lineage(
        &self,
        id: FolderId,
        change: ChangeNumber,
        lineage: &Lineage,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE folder_data SET lineage = ?2 WHERE folder = ?1")?
            .execute(params![id.to_disk(), lineage.encode(change)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Guid = Guid([1; 16]);
    const THERE: Guid = Guid([2; 16]);

    #[test]
    fn a_foreign_key_lasts_until_the_next_change_here() {
        let plain = Lineage::of(HERE, ChangeNumber(7), None).unwrap();
        assert_eq!(plain.change_key, Xid::of_counter(HERE, 7));
        assert_eq!(plain.predecessors.changes(), [Xid::of_counter(HERE, 7)]);
        let mut predecessors = plain.predecessors;
        predecessors.add(Xid::of_counter(THERE, 3));
        let foreign = Lineage {
            change_key: Xid::of_counter(THERE, 3),
            predecessors,
        };
        let column = foreign.encode(ChangeNumber(9));
        assert_eq!(Lineage::of(HERE, ChangeNumber(9), Some(&column)), Ok(foreign));
        let later = Lineage::of(HERE, ChangeNumber(12), Some(&column)).unwrap();
        assert_eq!(later.change_key, Xid::of_counter(HERE, 12));
        assert_eq!(
            later.predecessors.changes(),
            [Xid::of_counter(HERE, 12), Xid::of_counter(THERE, 3)]
        );
    }

    #[test]
    fn damage_is_an_error() {
        for column in [&[][..], &[1], &[1, 16, 0], &[1, 0], &[1, 40]] {
            assert!(
                Lineage::of(HERE, ChangeNumber(1), Some(column)).is_err(),
                "{column:?}"
            );
        }
    }
}
