//! I9, I10, I11: content, its references and files.

use std::path::PathBuf;

use super::{Report, Rule, rule};
use crate::{Mailbox, StoreError};

/// Bytes read at once.
const PIECE_BYTES: u64 = 256 * 1024;

const RULES: &[Rule] = &[
    Rule {
        invariant: "I9",
        broken: "WITH refs(content) AS (
                SELECT source FROM messages WHERE source IS NOT NULL
                UNION ALL SELECT large_properties FROM message_data WHERE large_properties IS NOT NULL
                UNION ALL SELECT large_attachments FROM message_data WHERE large_attachments IS NOT NULL)
            SELECT DISTINCT 'content ' || content || ' is missing' FROM refs WHERE content NOT IN (SELECT id FROM contents)",
        repair: None,
    },
    rule(
        "I9",
        "SELECT 'shares of no content: ' || content FROM content_shares WHERE content NOT IN (SELECT id FROM contents)",
        "DELETE FROM content_shares WHERE content NOT IN (SELECT id FROM contents)",
    ),
];

/// Content and how many references it has and is said to have.
const REFERENCES: &str = "WITH refs(content) AS (
        SELECT source FROM messages WHERE source IS NOT NULL
        UNION ALL SELECT large_properties FROM message_data WHERE large_properties IS NOT NULL
        UNION ALL SELECT large_attachments FROM message_data WHERE large_attachments IS NOT NULL),
    counted AS (SELECT content, count(*) AS n FROM refs GROUP BY content)
    SELECT c.id, coalesce(r.n, 0), 1 + coalesce(s.extra, 0) FROM contents c
    LEFT JOIN counted r ON r.content = c.id LEFT JOIN content_shares s ON s.content = c.id
    WHERE coalesce(r.n, 0) <> 1 + coalesce(s.extra, 0)";

impl Mailbox {
    /// I9
    pub(super) fn check_references(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        for rule in RULES {
            self.apply(rule, report, repair)?;
        }
        let wrong: Vec<(i64, i64, i64)> = {
            let mut statement = self.connection.prepare(REFERENCES)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (id, real, counted) in wrong {
            report.add(
                "I9",
                format!("content {id}: {real} references, counted {counted}"),
                repair,
            );
            if !repair {
                continue;
            }
            self.connection
                .execute("DELETE FROM content_shares WHERE content = ?1", [id])?;
            match real {
                0 => self.release_content(id)?,
                1 => {}
                _ => {
                    self.connection.execute(
                        "INSERT INTO content_shares (content, extra) VALUES (?1, ?2)",
                        [id, real - 1],
                    )?;
                }
            }
        }
        Ok(())
    }

    /// I10
    pub(super) fn check_content(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let rows: Vec<(i64, i64, [u8; 32], Option<i64>)> = {
            let mut statement = self
                .connection
                .prepare("SELECT id, size, hash, hash_key FROM contents")?;
            let rows =
                statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (id, size, hash, key) in rows {
            match self.hash_content(id, size as u64) {
                Ok(found) if found != hash => {
                    report.add("I10", format!("content {id}: its hash differs"), false);
                }
                Err(error @ (StoreError::Corrupt { .. } | StoreError::File { .. })) => {
                    report.add("I10", format!("content {id}: {error}"), false);
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
            if key.is_some_and(|key| key != crate::content::hash_key(&hash)) {
                report.add("I10", format!("content {id}: hash_key"), repair);
                if repair {
                    self.connection.execute(
                        "UPDATE contents SET hash_key = ?2 WHERE id = ?1",
                        [id, crate::content::hash_key(&hash)],
                    )?;
                }
            }
            ringpost_vfs::breathe();
        }
        self.content_cache.clear();
        Ok(())
    }

    fn hash_content(&mut self, id: i64, size: u64) -> Result<[u8; 32], StoreError> {
        let mut hasher = blake3::Hasher::new();
        let mut piece = Vec::new();
        let mut at = 0;
        while at < size {
            piece.clear();
            self.read_content(id, at..at + PIECE_BYTES, &mut piece)?;
            hasher.update(&piece);
            at += PIECE_BYTES;
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// I11
    pub(super) fn check_files(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let mut orphans = self.files_in("tmp")?;
        for (path, bytes) in self.content_files()? {
            // Those noted as unreferenced go at the next checkpoint.
            if !self.is_named(&path)? && !self.unreferenced.contains(&path) {
                orphans.push((path, bytes));
            }
        }
        for (path, _) in orphans {
            if repair {
                std::fs::remove_file(&path).map_err(|e| StoreError::file(&path, e))?;
            }
            report.add("I11", format!("{} belongs to nothing", path.display()), repair);
        }
        Ok(())
    }

    /// Content files and their sizes.
    pub(super) fn content_files(&self) -> Result<Vec<(PathBuf, u64)>, StoreError> {
        self.files_in("cid")
    }

    fn files_in(&self, folder: &str) -> Result<Vec<(PathBuf, u64)>, StoreError> {
        let folder = self.directory.join(folder);
        let failed = |e| StoreError::file(&folder, e);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = entry.metadata().map_err(failed)?;
            if metadata.is_file() {
                files.push((entry.path(), metadata.len()));
            }
        }
        Ok(files)
    }
}
