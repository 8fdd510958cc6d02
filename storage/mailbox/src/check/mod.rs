//! The integrity walk: every invariant of `../FORMAT.md` §4, checked and, where asked and possible, repaired.

mod content;
mod folders;
mod messages;
mod pages;
mod values;

use std::fmt;

use crate::{Mailbox, StoreError};

/// Problems listed in a report; further ones are only counted.
pub const MAX_LISTED_PROBLEMS: usize = 1000;

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, up to [`MAX_LISTED_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Problems found, listed or not.
    pub found: usize,
    /// Of those, repaired.
    pub repaired: usize,
}

/// An invariant that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Which, by its number in FORMAT.md: `I4`.
    pub invariant: &'static str,
    /// Where and how.
    pub description: String,
    /// Whether it was repaired.
    pub repaired: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.repaired { " (repaired)" } else { "" };
        write!(f, "{}: {}{end}", self.invariant, self.description)
    }
}

impl Report {
    /// Whether nothing is wrong (any more).
    pub fn is_clean(&self) -> bool {
        self.found == self.repaired
    }

    fn add(&mut self, invariant: &'static str, description: String, repaired: bool) {
        self.found += 1;
        self.repaired += usize::from(repaired);
        if self.problems.len() < MAX_LISTED_PROBLEMS {
            self.problems.push(Problem {
                invariant,
                description,
                repaired,
            });
        }
    }
}

/// Where a mailbox's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// Of the messages, as clients see them; a message in two folders counts twice.
    pub messages: u64,
    /// Of soft-deleted messages.
    pub soft_deleted: u64,
    /// Of content before compression, each value once.
    pub content: u64,
    /// Of the database file and its WAL.
    pub database: u64,
    /// Of content files.
    pub files: u64,
}

/// A condition as SQL: rows that break it, as text, and how to repair them.
struct Rule {
    invariant: &'static str,
    broken: &'static str,
    repair: Option<&'static str>,
}

const fn rule(invariant: &'static str, broken: &'static str, repair: &'static str) -> Rule {
    Rule {
        invariant,
        broken,
        repair: Some(repair),
    }
}

/// Rows of other tables that name what does not exist.
const DANGLING: &[Rule] = &[
    rule(
        "I12",
        "SELECT 'permission of folder ' || folder FROM permissions
         WHERE folder NOT IN (SELECT id FROM folders)
            OR principal > 0 AND principal NOT IN (SELECT id FROM principals)",
        "DELETE FROM permissions WHERE folder NOT IN (SELECT id FROM folders)
            OR principal > 0 AND principal NOT IN (SELECT id FROM principals)",
    ),
    rule(
        "I12",
        "SELECT 'rule of folder ' || folder FROM rules WHERE folder NOT IN (SELECT id FROM folders)",
        "DELETE FROM rules WHERE folder NOT IN (SELECT id FROM folders)",
    ),
    rule(
        "I12",
        "SELECT 'receive folder of ' || class FROM receive_folders
         WHERE folder NOT IN (SELECT id FROM folders WHERE state = 0 AND search = 0)",
        "DELETE FROM receive_folders WHERE folder NOT IN (SELECT id FROM folders WHERE state = 0 AND search = 0)",
    ),
    rule(
        "I12",
        "SELECT 'link of search folder ' || folder FROM search_links
         WHERE folder NOT IN (SELECT id FROM folders WHERE search = 1)
            OR message NOT IN (SELECT id FROM messages WHERE state = 0)",
        "DELETE FROM search_links
         WHERE folder NOT IN (SELECT id FROM folders WHERE search = 1)
            OR message NOT IN (SELECT id FROM messages WHERE state = 0)",
    ),
    rule(
        "I12",
        "SELECT 'read state of message ' || message FROM read_states
         WHERE message NOT IN (SELECT id FROM messages) OR principal NOT IN (SELECT id FROM principals)",
        "DELETE FROM read_states
         WHERE message NOT IN (SELECT id FROM messages) OR principal NOT IN (SELECT id FROM principals)",
    ),
    rule(
        "I12",
        "SELECT 'removal from folder ' || folder FROM removed
         WHERE folder <> 0 AND folder NOT IN (SELECT id FROM folders)",
        "DELETE FROM removed WHERE folder <> 0 AND folder NOT IN (SELECT id FROM folders)",
    ),
    rule(
        "I12",
        "SELECT 'flag page ' || page || ' of folder ' || folder FROM flag_pages
         WHERE folder NOT IN (SELECT id FROM folders WHERE search = 0)",
        "DELETE FROM flag_pages WHERE folder NOT IN (SELECT id FROM folders WHERE search = 0)",
    ),
    rule(
        "I12",
        "SELECT 'removed UID ' || r.uid || ' in use in folder ' || r.folder FROM removed r
         JOIN messages m ON m.folder = r.folder AND m.uid = r.uid AND m.state = 0 WHERE r.uid > 0 AND r.folder <> 0",
        "DELETE FROM removed WHERE uid > 0 AND folder <> 0 AND EXISTS (SELECT 1 FROM messages m
             WHERE m.folder = removed.folder AND m.uid = removed.uid AND m.state = 0)",
    ),
];

impl Mailbox {
    /// Walks every invariant; with `repair`, puts right what can be without losing mail. Reads all content,
    /// so it takes as long as reading the mailbox does.
    pub fn check(&mut self, repair: bool) -> Result<Report, StoreError> {
        let mut report = Report::default();
        self.check_database(&mut report)?;
        if repair {
            self.transaction(|store| store.check_rows(&mut report, true))?;
            self.stamps.touch_all();
            self.checkpoint()?;
        } else {
            self.check_rows(&mut report, false)?;
        }
        self.check_content(&mut report, repair)?;
        self.check_files(&mut report, repair)?;
        Ok(report)
    }

    fn check_rows(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        // In this order: what one repairs, the next relies on.
        self.check_tree(report, repair)?;
        self.check_messages(report, repair)?;
        self.check_references(report, repair)?;
        for rule in DANGLING {
            self.apply(rule, report, repair)?;
        }
        self.check_counters(report, repair)?;
        self.check_numbers(report, repair)
    }

    /// I1
    fn check_database(&mut self, report: &mut Report) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare("PRAGMA integrity_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                report.add("I1", line, false);
            }
        }
        Ok(())
    }

    fn apply(&self, rule: &Rule, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let repair = rule.repair.filter(|_| repair);
        let mut found = false;
        let mut statement = self.connection.prepare(rule.broken)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            found = true;
            report.add(rule.invariant, row.get(0)?, repair.is_some());
        }
        if let (true, Some(repair)) = (found, repair) {
            self.connection.execute(repair, [])?;
        }
        Ok(())
    }

    /// Where the mailbox's bytes are.
    pub fn sizes(&mut self) -> Result<Sizes, StoreError> {
        let number = |sql: &str| {
            self.connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
                .map(|n| n as u64)
        };
        let pages = number("PRAGMA page_count")? * number("PRAGMA page_size")?;
        Ok(Sizes {
            messages: self.counters.size,
            soft_deleted: number("SELECT coalesce(sum(soft_size), 0) FROM folders")?,
            content: number("SELECT coalesce(sum(size), 0) FROM contents")?,
            database: pages + self.wal_bytes(),
            files: self.content_files()?.into_iter().map(|(_, bytes)| bytes).sum(),
        })
    }
}
