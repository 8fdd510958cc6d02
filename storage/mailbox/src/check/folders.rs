//! I2, I3, I4: the counters of ids and changes, the tree, the folders' counters.

use ringpost_mapi::GLOBAL_COUNTER_MAX;
use rusqlite::params;

use super::{Report, Rule, rule};
use crate::{
    Mailbox, StoreError,
    flag_pages::{FLAGS, JOIN},
    folder::name_key,
};

/// Folders that can't be reached from the root, or all when there is none.
const UNREACHABLE: &str = "WITH RECURSIVE reached(id) AS (
        SELECT id FROM folders WHERE parent IS NULL AND id = 1
        UNION SELECT f.id FROM folders f JOIN reached r ON f.parent = r.id)
    SELECT id, name FROM folders WHERE id NOT IN (SELECT id FROM reached)";

/// Folders that are not hidden, below one that is.
const BELOW_HIDDEN: &str =
    "SELECT f.id, f.name || ' ' || f.id FROM folders f JOIN folders p ON p.id = f.parent
    WHERE f.state = 0 AND p.state <> 0";

const TREE: &[Rule] = &[
    rule(
        "I3",
        "SELECT 'folder ' || f.id || ' is hidden with a folder that is not' FROM folders f
         JOIN folders p ON p.id = f.parent WHERE f.state = 2 AND p.state = 0",
        "UPDATE folders SET state = 1 WHERE state = 2 AND parent IN (SELECT id FROM folders WHERE state = 0)",
    ),
    rule(
        "I3",
        "SELECT 'folder ' || id || ' without folder_data' FROM folders WHERE id NOT IN (SELECT folder FROM folder_data)",
        "INSERT INTO folder_data (folder, properties)
         SELECT id, x'' FROM folders WHERE id NOT IN (SELECT folder FROM folder_data)",
    ),
    rule(
        "I3",
        "SELECT 'folder_data of no folder: ' || folder FROM folder_data WHERE folder NOT IN (SELECT id FROM folders)",
        "DELETE FROM folder_data WHERE folder NOT IN (SELECT id FROM folders)",
    ),
];

/// A folder's counters as they must be.
fn counted() -> String {
    format!(
        "SELECT f.id AS id,
            coalesce(sum(m.state = 0), 0) AS messages,
            coalesce(sum(m.state = 0 AND {FLAGS} & 1 = 0), 0) AS unread,
            coalesce(sum(m.state = 0 AND {FLAGS} & 8 <> 0), 0) AS deleted,
            coalesce(sum(m.state = 1), 0) AS associated,
            coalesce(sum(iif(m.state = 0, m.size, 0)), 0) AS size,
            coalesce(sum(iif(m.state = 1, m.size, 0)), 0) AS associated_size,
            coalesce(sum(m.state >= 2), 0) AS soft_messages,
            coalesce(sum(iif(m.state >= 2, m.size, 0)), 0) AS soft_size
        FROM folders f LEFT JOIN messages m ON m.folder = f.id {JOIN} GROUP BY f.id"
    )
}

/// A search folder's counters follow from its links.
const SEARCHES: Rule = rule(
    "I4",
    "SELECT 'counters of search folder ' || f.id || ' (' || f.name || ')' FROM folders f WHERE f.search = 1 AND
         (f.messages, f.unread, f.deleted, f.associated, f.size, f.associated_size, f.soft_messages, f.soft_size) <>
         ((SELECT count(*) FROM search_links l WHERE l.folder = f.id),
          (SELECT coalesce(sum(l.unread), 0) FROM search_links l WHERE l.folder = f.id), 0, 0, 0, 0, 0, 0)",
    "UPDATE folders SET messages = (SELECT count(*) FROM search_links l WHERE l.folder = folders.id),
         unread = (SELECT coalesce(sum(l.unread), 0) FROM search_links l WHERE l.folder = folders.id),
         deleted = 0, associated = 0, size = 0, associated_size = 0, soft_messages = 0, soft_size = 0
     WHERE search = 1",
);

impl Mailbox {
    /// I3
    pub(super) fn check_tree(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let roots: i64 =
            self.connection
                .query_row("SELECT count(*) FROM folders WHERE parent IS NULL", [], |row| {
                    row.get(0)
                })?;
        if roots != 1 {
            report.add("I3", format!("{roots} roots"), false);
        }
        for (id, name) in self.pairs(UNREACHABLE)? {
            report.add(
                "I3",
                format!("folder {id} ({name}) is not below the root"),
                repair,
            );
            if repair {
                // Its number keeps the name from being taken.
                let name = format!("{name} ({id:x})");
                self.connection.execute(
                    "UPDATE folders SET parent = 1, name = ?2, name_key = ?3 WHERE id = ?1 AND id <> 1",
                    params![id, name, name_key(&name)],
                )?;
            }
        }
        let named = self.pairs("SELECT id, name || char(0) || name_key FROM folders")?;
        for (id, names) in named {
            let Some((name, key)) = names.split_once('\0') else {
                continue;
            };
            if name_key(name) != key {
                report.add("I3", format!("folder {id}: name_key of {name:?}"), repair);
                if repair {
                    self.repair_name(id, name)?;
                }
            }
        }
        for (id, name) in self.pairs(BELOW_HIDDEN)? {
            report.add(
                "I3",
                format!("folder {id} ({name}) is shown below a hidden one"),
                repair,
            );
            if repair {
                self.connection
                    .execute("UPDATE folders SET parent = 1 WHERE id = ?1", [id])?;
                self.repair_name(id, &name)?;
            }
        }
        TREE.iter().try_for_each(|rule| self.apply(rule, report, repair))
    }

    /// Gives a folder the key of its name, and where another one has it, another name.
    fn repair_name(&self, id: i64, name: &str) -> Result<(), StoreError> {
        let taken = self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM folders o JOIN folders f ON f.id = ?1
                 WHERE o.parent IS f.parent AND o.name_key = ?2 AND o.id <> f.id AND o.state = 0)",
            params![id, name_key(name)],
            |row| row.get::<_, bool>(0),
        )?;
        let name = if taken {
            format!("{name} ({id:x})")
        } else {
            name.to_owned()
        };
        self.connection.execute(
            "UPDATE folders SET name = ?2, name_key = ?3 WHERE id = ?1",
            params![id, name, name_key(&name)],
        )?;
        Ok(())
    }

    /// I4
    pub(super) fn check_counters(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        const COLUMNS: &str =
            "messages, unread, deleted, associated, size, associated_size, soft_messages, soft_size";
        let counted = counted();
        let wrong = format!(
            "SELECT f.id, f.name FROM folders f JOIN ({counted}) c ON c.id = f.id WHERE f.search = 0 AND
             (f.messages, f.unread, f.deleted, f.associated, f.size, f.associated_size, f.soft_messages, f.soft_size)
             <> (c.messages, c.unread, c.deleted, c.associated, c.size, c.associated_size, c.soft_messages, c.soft_size)"
        );
        for (id, name) in self.pairs(&wrong)? {
            report.add("I4", format!("counters of folder {id} ({name})"), repair);
            if repair {
                self.connection.execute(
                    &format!("UPDATE folders SET ({COLUMNS}) = (SELECT {COLUMNS} FROM ({counted}) c WHERE c.id = ?1) WHERE id = ?1"),
                    [id],
                )?;
            }
        }
        self.apply(&SEARCHES, report, repair)?;
        let size: i64 = self.connection.query_row(
            "SELECT coalesce(sum(size + associated_size), 0) FROM folders WHERE search = 0 AND state = 0",
            [],
            |row| row.get(0),
        )?;
        if size as u64 != self.counters.size {
            report.add("I4", "size of the store".to_owned(), repair);
            if repair {
                self.counters.size = size as u64;
            }
        }
        Ok(())
    }

    /// I2
    pub(super) fn check_numbers(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let highest = |sql: &str, parameter: i64| {
            self.connection
                .query_row(sql, [parameter], |row| row.get::<_, Option<i64>>(0))
        };
        // Ids with a replica of their own are other servers' and don't count.
        let id = highest(
            "SELECT max(id) FROM (SELECT max(id) AS id FROM folders WHERE id BETWEEN 0 AND ?1
                 UNION ALL SELECT max(id) FROM messages WHERE id BETWEEN 0 AND ?1
                 UNION ALL SELECT max(id) FROM contents WHERE id BETWEEN 0 AND ?1)",
            GLOBAL_COUNTER_MAX as i64,
        )?;
        let change = highest(
            "SELECT max(change) FROM (SELECT max(change) AS change FROM messages UNION ALL SELECT max(highest) FROM flag_pages
                 UNION ALL SELECT max(change) FROM folders UNION ALL SELECT max(content_change) FROM folders
                 UNION ALL SELECT max(change) FROM removed UNION ALL SELECT max(change) FROM read_states) WHERE ?1 = 0",
            0,
        )?;
        let (id, change) = (id.unwrap_or(0) as u64, change.unwrap_or(0) as u64);
        if id >= self.counters.next_id {
            report.add("I2", format!("id {id:x} is in use and not yet allocated"), repair);
            if repair {
                self.counters.next_id = id + 1;
            }
        }
        if change > self.counters.last_change {
            report.add("I2", format!("change {change} is above the last one"), repair);
            if repair {
                self.counters.last_change = change;
            }
        }
        Ok(())
    }

    /// Rows of a number and a text.
    pub(super) fn pairs(&self, sql: &str) -> Result<Vec<(i64, String)>, StoreError> {
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
