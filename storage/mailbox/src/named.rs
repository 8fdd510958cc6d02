//! Named properties: a store's own property ids for names (MS-OXCPRPT 3.2.5.9, 3.2.5.10).
//!
//! Two property sets are special. Names in `PS_MAPI` are numbers that are property ids themselves, those below
//! 0x8000; nothing is stored for them. Names in `PS_INTERNET_HEADERS` are header fields' names, whose case means
//! nothing: they are kept in lower case.

use std::{borrow::Cow, collections::HashMap};

use ringpost_convert::message::{AttachmentData, MessageContent};
use ringpost_mapi::{
    Guid, PropTag,
    named::{FIRST_NAMED_ID, NameId, PropertyName, sets},
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
    /// The property id of a name; unknown ones get one when `create`. A name in `PS_MAPI` that is no property id
    /// has none, and gets none.
    pub fn named_property_id(
        &mut self,
        name: &PropertyName,
        create: bool,
    ) -> Result<Option<u16>, StoreError> {
        if name.set == sets::MAPI {
            return Ok(unnamed_id(name));
        }
        let name = stored_form(name);
        let known = self.named_ids()?.get(&*name).copied();
        if known.is_some() || !create {
            return Ok(known);
        }
        self.make_named(&name, LAST_NAMED_ID).map(Some)
    }

    /// Makes an id for a name in its stored form.
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
                .prepare_cached("SELECT property_set, lid, name, id FROM named_properties ORDER BY id")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let name = read_name(row.get(0)?, row.get(1)?, row.get(2)?)?;
                // Mailboxes of before have header fields in several cases; the first one counts.
                ids.entry(stored_form(&name).into_owned()).or_insert(row.get(3)?);
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
                // What can't be a name can't be a property.
                None if name.set == sets::MAPI => continue,
                None => match self.make_named(&stored_form(&name), last_id) {
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

    /// The name behind a property id: that of `PS_MAPI` for ids below 0x8000, which all have one; above, the one
    /// that the store made the id for.
    pub fn named_property_name(&mut self, id: u16) -> Result<Option<PropertyName>, StoreError> {
        if id < FIRST_NAMED_ID {
            return Ok(Some(PropertyName::lid(sets::MAPI, id.into())));
        }
        let row: Option<([u8; 16], Option<u32>, Option<String>)> = self
            .connection
            .prepare_cached("SELECT property_set, lid, name FROM named_properties WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(set, lid, name)| read_name(set, lid, name)).transpose()
    }
}

/// The property id that a name in `PS_MAPI` is; `None` for strings, 0, and numbers of named properties.
fn unnamed_id(name: &PropertyName) -> Option<u16> {
    match name.id {
        NameId::Lid(lid) => u16::try_from(lid)
            .ok()
            .filter(|id| (1..FIRST_NAMED_ID).contains(id)),
        NameId::Name(_) => None,
    }
}

/// The name as it is stored: header fields in lower case.
fn stored_form(name: &PropertyName) -> Cow<'_, PropertyName> {
    match &name.id {
        NameId::Name(text) if name.set == sets::INTERNET_HEADERS && text.chars().any(char::is_uppercase) => {
            Cow::Owned(PropertyName::name(name.set, &text.to_lowercase()))
        }
        _ => Cow::Borrowed(name),
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
