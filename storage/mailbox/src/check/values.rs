//! I8: every encoded value decodes. What can be made again from a message's source is; what only speeds things
//! up or tells where an object comes from is dropped.

use bytes::Bytes;
use ringpost_convert::structure::Structure;
use ringpost_mapi::{
    ChangeNumber, FolderId,
    codec::{decode_bag, decode_bags},
};
use rusqlite::params;

use super::Report;
use crate::{
    Mailbox, StoreError,
    flag_pages::{JOIN, KEYWORDS, Pages, VERSION},
    imap::keywords,
    incoming::Row,
    lineage::Lineage,
    message::{encoding::decode_attachments, packed::unpack},
};

/// What of a message's values is damaged.
struct Damaged {
    id: i64,
    keywords: bool,
    lineage: bool,
    /// What a source has.
    content: bool,
    /// What is kept apart.
    large: bool,
    source: Option<i64>,
}

impl Mailbox {
    /// I8
    pub(super) fn check_values(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        for damaged in self.damaged_messages(report, repair)? {
            if damaged.lineage {
                self.connection.execute(
                    "UPDATE message_data SET lineage = NULL WHERE message = ?1",
                    [damaged.id],
                )?;
            }
            if damaged.keywords {
                self.repair_keywords(damaged.id)?;
            }
            if let Some(source) = damaged.source.filter(|_| damaged.content) {
                self.rebuild(damaged.id, source)?;
            }
            ringpost_vfs::breathe();
        }
        self.check_folder_values(report, repair)
    }

    /// Reports the messages with damaged values; those that can be repaired where `repair`.
    fn damaged_messages(&mut self, report: &mut Report, repair: bool) -> Result<Vec<Damaged>, StoreError> {
        let store = self.guid().0;
        self.keyword_table()?;
        let mut found = Vec::new();
        let mut apart = Vec::new();
        {
            let mut statement = self.connection.prepare(&format!(
                "SELECT m.id, {KEYWORDS}, d.structure, d.properties, d.recipients, d.attachments, d.lineage, {VERSION},
                     m.source, d.large_properties IS NOT NULL OR d.large_attachments IS NOT NULL
                 FROM messages m JOIN message_data d ON d.message = m.id {JOIN}"
            ))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                let column =
                    |at| -> Result<Option<&[u8]>, StoreError> { Ok(row.get_ref(at)?.as_blob_or_null()?) };
                let keywords_known = self
                    .keyword_cache
                    .as_ref()
                    .is_some_and(|known| column(1).and_then(|ids| known.names_of(ids)).is_ok());
                let structure = column(2)?.filter(|encoded| !encoded.is_empty());
                let unpacked = |at| -> Result<Option<_>, StoreError> { Ok(column(at)?.map(unpack)) };
                let version = ChangeNumber(row.get::<_, i64>(7)? as u64);
                let sound = [
                    ("keywords", keywords_known),
                    ("lineage", Lineage::of(store, version, column(6)?).is_ok()),
                    (
                        "structure",
                        structure.is_none_or(|s| Structure::decode(s).is_some()),
                    ),
                    (
                        "properties",
                        unpacked(3)?.is_some_and(|bag| bag.and_then(|bag| decode_bag(&bag)).is_ok()),
                    ),
                    (
                        "recipients",
                        unpacked(4)?.is_none_or(|bags| bags.and_then(|bags| decode_bags(&bags)).is_ok()),
                    ),
                    (
                        "attachments",
                        unpacked(5)?.is_none_or(|a| a.and_then(|a| decode_attachments(&a)).is_ok()),
                    ),
                ];
                let source: Option<i64> = row.get(8)?;
                let damaged = Damaged {
                    id,
                    keywords: !sound[0].1,
                    lineage: !sound[1].1,
                    content: sound[2..].iter().any(|(_, sound)| !sound),
                    large: row.get(9)?,
                    source,
                };
                for (at, (what, _)) in sound.into_iter().enumerate().filter(|(_, (_, sound))| !sound) {
                    let repaired = repair && (at < 2 || source.is_some());
                    report.add("I8", format!("{what} of message {id}"), repaired);
                }
                if damaged.large {
                    apart.push(id);
                }
                if repair && (damaged.keywords || damaged.lineage || damaged.content) {
                    found.push(damaged);
                }
                ringpost_vfs::breathe();
            }
        }
        for id in apart {
            let id = ringpost_mapi::MessageId::from_disk(id);
            let large = [
                self.large_properties(id).map(|_| ()),
                self.large_attachments(id).map(|_| ()),
            ];
            // One that can't be read is I10's.
            for (what, result) in ["large properties", "large attachments"].into_iter().zip(large) {
                if let Err(StoreError::Corrupt { reason, .. }) = result
                    && reason.starts_with("damaged value")
                {
                    report.add("I8", format!("{what} of message {id}"), false);
                }
            }
            ringpost_vfs::breathe();
        }
        Ok(found)
    }

    /// Keeps those of a message's keywords that are known.
    fn repair_keywords(&mut self, id: i64) -> Result<(), StoreError> {
        let (folder, uid, kept): (i64, u32, Option<Vec<u8>>) = self.connection.query_row(
            &format!("SELECT m.folder, m.uid, {KEYWORDS} FROM messages m {JOIN} WHERE m.id = ?1"),
            [id],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let known = self.keyword_table()?.len() as u32;
        let mut ids = keywords::decode(kept.as_deref()).unwrap_or_default();
        ids.retain(|id| *id < known);
        let kept = keywords::encode(&ids);
        let mut pages = Pages::default();
        pages.set_keywords(
            &self.connection,
            FolderId::from_disk(folder),
            uid,
            kept.as_deref().unwrap_or_default(),
        )?;
        pages.finish(&self.connection)?;
        self.connection.execute(
            "UPDATE messages SET keywords = ?2 WHERE id = ?1",
            params![id, kept],
        )?;
        Ok(())
    }

    /// Makes a message's values again from its source, as when it was delivered. What cannot be read is left.
    fn rebuild(&mut self, id: i64, source: i64) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        if self.read_content(source, 0..u64::MAX, &mut bytes).is_err() {
            return Ok(());
        }
        let bytes = Bytes::from(bytes);
        let structure = Structure::of(&bytes);
        let content = ringpost_convert::message::from_mime(&bytes, &structure);
        let content = self.with_ids(&content, true)?;
        let row = Row::of(&content, &structure);
        self.connection.execute(
            "UPDATE message_data SET structure = ?2, properties = ?3, recipients = ?4, attachments = ?5
             WHERE message = ?1",
            params![
                id,
                row.structure,
                row.properties,
                row.recipients,
                row.attachments.map_err(StoreError::from)?
            ],
        )?;
        Ok(())
    }

    fn check_folder_values(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let store = self.guid().0;
        let mut lineages = Vec::new();
        let mut searches = Vec::new();
        {
            let mut statement = self.connection.prepare(
                "SELECT d.folder, d.properties, d.lineage, f.change, d.search_flags, d.search_scope, d.search_restriction
                 FROM folder_data d JOIN folders f ON f.id = d.folder",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let folder: i64 = row.get(0)?;
                let column =
                    |at| -> Result<Option<&[u8]>, StoreError> { Ok(row.get_ref(at)?.as_blob_or_null()?) };
                if column(1)?.is_none_or(|bag| decode_bag(bag).is_err()) {
                    report.add("I8", format!("properties of folder {folder}"), false);
                }
                let change = ChangeNumber(row.get::<_, i64>(3)? as u64);
                if Lineage::of(store, change, column(2)?).is_err() {
                    report.add("I8", format!("lineage of folder {folder}"), repair);
                    lineages.push(folder);
                }
                if let Some(restriction) = column(6)? {
                    let flags = row.get::<_, Option<i64>>(4)?.unwrap_or(0);
                    let scope = column(5)?.unwrap_or_default();
                    if !crate::table::criteria_decode(flags, scope, restriction) {
                        report.add("I8", format!("criteria of search folder {folder}"), repair);
                        searches.push(folder);
                    }
                }
            }
        }
        let rules: Vec<(i64, i64)> = {
            let mut statement = self
                .connection
                .prepare("SELECT folder, id, properties FROM rules")?;
            let mut rows = statement.query([])?;
            let mut damaged = Vec::new();
            while let Some(row) = rows.next()? {
                if row
                    .get_ref(2)?
                    .as_blob()
                    .is_ok_and(|bag| decode_bag(bag).is_err())
                {
                    let (folder, id) = (row.get(0)?, row.get(1)?);
                    report.add("I8", format!("rule {id} of folder {folder}"), repair);
                    damaged.push((folder, id));
                }
            }
            damaged
        };
        if repair {
            for folder in lineages {
                self.connection.execute(
                    "UPDATE folder_data SET lineage = NULL WHERE folder = ?1",
                    [folder],
                )?;
            }
            for folder in searches {
                self.connection.execute(
                    "UPDATE folder_data SET search_flags = NULL, search_scope = NULL, search_restriction = NULL
                     WHERE folder = ?1",
                    [folder],
                )?;
                self.connection
                    .execute("DELETE FROM search_links WHERE folder = ?1", [folder])?;
                self.searches = None;
            }
            for (folder, id) in rules {
                self.connection
                    .execute("DELETE FROM rules WHERE folder = ?1 AND id = ?2", [folder, id])?;
            }
        }
        Ok(())
    }
}
