//! I13: flag pages fit the messages.

use std::collections::HashMap;

use rusqlite::params;

use super::Report;
use crate::{
    Mailbox, StoreError,
    flag_pages::{Page, State, page_rows, stored_pages},
};

/// What is wrong with a folder's pages, and what of them is sound.
#[derive(Default)]
struct Walk {
    problems: Vec<(&'static str, String)>,
    /// States by UID, with their keywords.
    states: HashMap<u32, (State, Vec<u8>)>,
}

impl Mailbox {
    /// I13
    pub(super) fn check_pages(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let folders: Vec<(i64, u32, u32)> = self
            .connection
            .prepare("SELECT id, paged, uid_next FROM folders WHERE search = 0")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (folder, paged, uid_next) in folders {
            let walk = self.walk_pages(folder, paged, uid_next)?;
            let broken = !walk.problems.is_empty();
            for (invariant, problem) in walk.problems {
                report.add(invariant, format!("{problem} of folder {folder}"), repair);
            }
            if broken && repair {
                self.page_anew(folder, uid_next, walk.states)?;
            }
            ringpost_vfs::breathe();
        }
        Ok(())
    }

    fn walk_pages(&self, folder: i64, paged: u32, uid_next: u32) -> Result<Walk, StoreError> {
        let mut walk = Walk::default();
        if paged == 0 || paged > uid_next {
            walk.problems.push(("I13", "paged".to_owned()));
        }
        for stored in stored_pages(&self.connection, folder)? {
            match stored.page {
                Ok(page) => walk.take(&page, stored.highest, paged),
                Err(_) => walk.problems.push(("I8", format!("flag page {}", stored.number))),
            }
        }
        let mut entries = walk.states.len();
        let mut latest = 0;
        let mut statement = self.connection.prepare_cached(
            "SELECT uid, id, change FROM messages WHERE folder = ?1 AND state = 0 ORDER BY uid",
        )?;
        let mut rows = statement.query([folder])?;
        while let Some(row) = rows.next()? {
            let (uid, id, change): (u32, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if uid >= paged {
                if change <= latest {
                    walk.problems.push(("I13", format!("order of change {change}")));
                }
                latest = change;
                continue;
            }
            match walk.states.get(&uid) {
                Some((state, _)) if state.id == id => entries -= 1,
                Some(_) => walk
                    .problems
                    .push(("I13", format!("flag page: message of UID {uid}"))),
                None => walk
                    .problems
                    .push(("I13", format!("flag page without UID {uid}"))),
            }
        }
        if entries > 0 && walk.problems.is_empty() {
            walk.problems
                .push(("I13", "flag pages with messages that are not there".to_owned()));
        }
        Ok(walk)
    }

    /// Makes a folder's pages anew: what is known stays, the rest is as the rows have it, and a new change.
    fn page_anew(
        &mut self,
        folder: i64,
        uid_next: u32,
        states: HashMap<u32, (State, Vec<u8>)>,
    ) -> Result<(), StoreError> {
        let rows: Vec<(u32, i64)> = self
            .connection
            .prepare("SELECT uid, id FROM messages WHERE folder = ?1 AND state = 0 ORDER BY uid")?
            .query_map([folder], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let paged: u32 =
            self.connection
                .query_row("SELECT paged FROM folders WHERE id = ?1", [folder], |row| {
                    row.get(0)
                })?;
        for (uid, id) in rows {
            if let Some((state, keywords)) = states.get(&uid).filter(|(state, _)| state.id == id) {
                let change = state.change.max(state.version).max(state.read_change);
                self.connection
                    .prepare_cached(
                        "UPDATE messages SET flags = ?2, keywords = ?3, change = ?4, version = ?5, read_change = ?6,
                             modified = ?7 WHERE id = ?1",
                    )?
                    .execute(params![
                        id,
                        state.bits.bits(),
                        (!keywords.is_empty()).then_some(keywords),
                        change as i64,
                        state.version as i64,
                        (state.read_change > 0).then_some(state.read_change as i64),
                        state.modified
                    ])?;
            } else if uid < paged {
                let change = self.next_change().0 as i64;
                self.connection
                    .prepare_cached(
                        "UPDATE messages SET change = ?2, version = ?2, read_change = NULL WHERE id = ?1",
                    )?
                    .execute([id, change])?;
            }
        }
        self.connection
            .execute("DELETE FROM flag_pages WHERE folder = ?1", [folder])?;
        page_rows(&self.connection, folder, 1, uid_next)
    }
}

impl Walk {
    fn take(&mut self, page: &Page, highest: u64, paged: u32) {
        if page.states.is_empty() || page.highest() != highest {
            self.problems
                .push(("I13", format!("latest change of flag page {}", page.number)));
        }
        for state in &page.states {
            if state.version > state.change || state.read_change > state.change {
                self.problems
                    .push(("I7", format!("changes of UID {} in the flag page", state.uid)));
            }
            if state.uid >= paged {
                self.problems
                    .push(("I13", format!("flag page with UID {}", state.uid)));
            }
            self.states
                .insert(state.uid, (*state, page.keywords(state).to_owned()));
        }
    }
}
