//! Named properties: a store's own property ids for names (MS-OXCPRPT 3.2.5.9).

use ringpost_mapi::{
    Guid,
    named::{FIRST_NAMED_ID, NameId, PropertyName},
};
use rusqlite::{OptionalExtension, params};

use crate::{Mailbox, StoreError};

/// The last property id that may stand for a name: FFFF is invalid.
const LAST_NAMED_ID: u16 = 0xfffe;

impl Mailbox {
    /// The property id of a name; unknown ones get one when `create`.
    pub fn named_property_id(
        &mut self,
        name: &PropertyName,
        create: bool,
    ) -> Result<Option<u16>, StoreError> {
        let (lid, text) = match &name.id {
            NameId::Lid(lid) => (Some(*lid), None),
            NameId::Name(text) => (None, Some(text.as_str())),
        };
        let known = self
            .connection
            .prepare_cached(
                "SELECT id FROM named_properties WHERE property_set = ?1 AND lid IS ?2 AND name IS ?3",
            )?
            .query_row(params![name.set.0, lid, text], |row| row.get(0))
            .optional()?;
        if known.is_some() || !create {
            return Ok(known);
        }
        self.transaction(|store| {
            let last: Option<u16> = store
                .connection
                .prepare_cached("SELECT max(id) FROM named_properties")?
                .query_row([], |row| row.get(0))?;
            let id = last.map_or(FIRST_NAMED_ID, |last| last.saturating_add(1));
            if id > LAST_NAMED_ID {
                return Err(StoreError::LimitExceeded("named properties"));
            }
            store
                .connection
                .prepare_cached(
                    "INSERT INTO named_properties (id, property_set, lid, name) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![id, name.set.0, lid, text])?;
            Ok(Some(id))
        })
    }

    /// The name behind a property id of 0x8000 and above.
    pub fn named_property_name(&mut self, id: u16) -> Result<Option<PropertyName>, StoreError> {
        let row: Option<([u8; 16], Option<u32>, Option<String>)> = self
            .connection
            .prepare_cached("SELECT property_set, lid, name FROM named_properties WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(set, lid, name)| {
            let id = match (lid, name) {
                (Some(lid), None) => NameId::Lid(lid),
                (None, Some(name)) => NameId::Name(name),
                _ => return Err(StoreError::damaged("named property")),
            };
            Ok(PropertyName { set: Guid(set), id })
        })
        .transpose()
    }
}
