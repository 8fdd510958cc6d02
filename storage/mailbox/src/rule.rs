//! Storage of a folder's rules (MS-OXORULE). Running them is not the store's business.

use ringpost_mapi::{
    FolderId, PropertyBag,
    codec::{decode_bag, encode_bag},
};
use rusqlite::params;

use crate::{EventKind, Mailbox, StoreError, folder::Kind, settings::MAX_PROPERTIES_BYTES};

/// Rules of a folder.
pub const MAX_RULES: usize = 1024;

/// A rule.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// `PidTagRuleId`
    pub id: u64,
    /// `PidTagRuleSequence`: rules run by ascending sequence.
    pub sequence: i32,
    /// `PidTagRuleState`
    pub state: u32,
    /// Name, provider, condition, actions and whatever else.
    pub properties: PropertyBag,
}

impl Mailbox {
    /// The folder's rules in the order they run.
    pub fn rules(&mut self, folder: FolderId) -> Result<Vec<Rule>, StoreError> {
        self.uid_state(folder, Kind::Any)?;
        let mut statement = self.connection.prepare_cached(
            "SELECT id, sequence, state, properties FROM rules WHERE folder = ?1 ORDER BY sequence, id",
        )?;
        let mut rows = statement.query([folder.to_disk()])?;
        let mut rules = Vec::new();
        while let Some(row) = rows.next()? {
            rules.push(Rule {
                id: row.get::<_, i64>(0)? as u64,
                sequence: row.get(1)?,
                state: row.get(2)?,
                properties: decode_bag(row.get_ref(3)?.as_blob()?)?,
            });
        }
        Ok(rules)
    }

    /// Adds a rule; its `id` is passed over and the new one returned.
    pub fn add_rule(&mut self, folder: FolderId, rule: &Rule) -> Result<u64, StoreError> {
        self.transaction(|store| {
            if store.rules(folder)?.len() >= MAX_RULES {
                return Err(StoreError::LimitExceeded("rules of a folder"));
            }
            let id = store.next_id();
            store.write_rule(folder, id, rule)?;
            Ok(id)
        })
    }

    /// Replaces the rule with this rule's `id`.
    pub fn change_rule(&mut self, folder: FolderId, rule: &Rule) -> Result<(), StoreError> {
        self.transaction(|store| {
            store.remove_rule(folder, rule.id)?;
            store.write_rule(folder, rule.id, rule)
        })
    }

    /// Removes a rule.
    pub fn remove_rule(&mut self, folder: FolderId, id: u64) -> Result<(), StoreError> {
        self.transaction(|store| {
            let gone = store
                .connection
                .prepare_cached("DELETE FROM rules WHERE folder = ?1 AND id = ?2")?
                .execute(params![folder.to_disk(), id as i64])?;
            if gone == 0 {
                return Err(StoreError::NotFound(format!("rule {id:x}")));
            }
            store.rules_changed(folder)
        })
    }

    fn write_rule(&mut self, folder: FolderId, id: u64, rule: &Rule) -> Result<(), StoreError> {
        let encoded = encode_bag(&rule.properties);
        if encoded.len() > MAX_PROPERTIES_BYTES {
            return Err(StoreError::LimitExceeded("size of a rule"));
        }
        self.connection
            .prepare_cached(
                "INSERT INTO rules (folder, id, sequence, state, properties) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                folder.to_disk(),
                id as i64,
                rule.sequence,
                rule.state,
                encoded
            ])?;
        self.rules_changed(folder)
    }

    fn rules_changed(&mut self, folder: FolderId) -> Result<(), StoreError> {
        let change = self.next_change();
        self.connection
            .prepare_cached("UPDATE folders SET change = ?2 WHERE id = ?1")?
            .execute(params![folder.to_disk(), change.0 as i64])?;
        self.tell(EventKind::FolderChanged, folder, None, change);
        Ok(())
    }
}
