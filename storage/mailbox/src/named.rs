//! Named properties: a store's own property ids for names (MS-OXCPRPT 3.2.5.9).

use std::collections::HashMap;

use ringpost_convert::message::{AttachmentData, MessageContent};
use ringpost_mapi::{
    Guid, PropTag,
    named::{FIRST_NAMED_ID, NameId, PropertyName},
};
use rusqlite::{OptionalExtension, params};

use crate::{Mailbox, StoreError};

/// The last property id that may stand for a name: FFFF is invalid.
const LAST_NAMED_ID: u16 = 0xfffe;

/// Names that mail from outside may make ids for: senders must not use up what clients need.
const LAST_DELIVERED_ID: u16 = 0xbfff;

/// The ids of all names of a mailbox.
pub(crate) type NamedIds = HashMap<PropertyName, u16>;

impl Mailbox {
    /// The property id of a name; unknown ones get one when `create`.
    pub fn named_property_id(
        &mut self,
        name: &PropertyName,
        create: bool,
    ) -> Result<Option<u16>, StoreError> {
        let known = self.named_ids()?.get(name).copied();
        if known.is_some() || !create {
            return Ok(known);
        }
        self.make_named(name, LAST_NAMED_ID).map(Some)
    }

    fn make_named(&mut self, name: &PropertyName, last_id: u16) -> Result<u16, StoreError> {
        let (lid, text) = match &name.id {
            NameId::Lid(lid) => (Some(*lid), None),
            NameId::Name(text) => (None, Some(text.as_str())),
        };
        self.transaction(|store| {
            let last: Option<u16> = store
                .connection
                .prepare_cached("SELECT max(id) FROM named_properties")?
                .query_row([], |row| row.get(0))?;
            let id = last.map_or(FIRST_NAMED_ID, |last| last.saturating_add(1));
            if id > last_id {
                return Err(StoreError::LimitExceeded("named properties"));
            }
            store
                .connection
                .prepare_cached(
                    "INSERT INTO named_properties (id, property_set, lid, name) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![id, name.set.0, lid, text])?;
            if let Some(ids) = &mut store.named_cache {
                ids.insert(name.clone(), id);
            }
            Ok(id)
        })
    }

    /// All names and ids, read once after the mailbox was opened.
    fn named_ids(&mut self) -> Result<&NamedIds, StoreError> {
        if self.named_cache.is_none() {
            let mut ids = NamedIds::new();
            let mut statement = self
                .connection
                .prepare_cached("SELECT property_set, lid, name, id FROM named_properties")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                ids.insert(read_name(row.get(0)?, row.get(1)?, row.get(2)?)?, row.get(3)?);
            }
            self.named_cache = Some(ids);
        }
        self.named_cache
            .as_ref()
            .ok_or_else(|| StoreError::damaged("named properties"))
    }

    /// The content with its named properties, and those of embedded messages, under this store's ids. What
    /// a delivered message may not make an id for is left out. Inside a transaction.
    pub(crate) fn with_ids(
        &mut self,
        content: &MessageContent,
        delivered: bool,
    ) -> Result<MessageContent, StoreError> {
        let mut resolved = content.clone();
        let last_id = if delivered {
            LAST_DELIVERED_ID
        } else {
            LAST_NAMED_ID
        };
        for (name, value) in resolved.named.drain(..) {
            let id = match self.named_property_id(&name, false)? {
                Some(id) => id,
                None => match self.make_named(&name, last_id) {
                    Err(StoreError::LimitExceeded(_)) if delivered => continue,
                    made => made?,
                },
            };
            resolved.properties.set(PropTag::new(id, value.kind()), value);
        }
        for attachment in &mut resolved.attachments {
            if let AttachmentData::Embedded(inner) = &mut attachment.data
                && has_names(inner)
            {
                **inner = self.with_ids(inner, delivered)?;
            }
        }
        Ok(resolved)
    }

    /// The name behind a property id of 0x8000 and above.
    pub fn named_property_name(&mut self, id: u16) -> Result<Option<PropertyName>, StoreError> {
        let row: Option<([u8; 16], Option<u32>, Option<String>)> = self
            .connection
            .prepare_cached("SELECT property_set, lid, name FROM named_properties WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(set, lid, name)| read_name(set, lid, name)).transpose()
    }
}

/// Whether a message, or one embedded in it, has named properties without ids.
pub(crate) fn has_names(content: &MessageContent) -> bool {
    !content.named.is_empty()
        || content
            .attachments
            .iter()
            .any(|attachment| match &attachment.data {
                AttachmentData::Embedded(inner) => has_names(inner),
                _ => false,
            })
}

fn read_name(set: [u8; 16], lid: Option<u32>, name: Option<String>) -> Result<PropertyName, StoreError> {
    let id = match (lid, name) {
        (Some(lid), None) => NameId::Lid(lid),
        (None, Some(name)) => NameId::Name(name),
        _ => return Err(StoreError::damaged("named property")),
    };
    Ok(PropertyName { set: Guid(set), id })
}
