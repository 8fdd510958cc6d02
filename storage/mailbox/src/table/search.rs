//! Search folders (MS-OXCFOLD 1.1, 2.2.1.4, 2.2.1.5): folders that show what meets a condition elsewhere.
//!
//! A search folder holds links (`search_links`), kept with the content: the transaction that stores, changes
//! or removes a message also links or unlinks it, before it commits ([`Mailbox::follow_changes`]). So a
//! search folder is never behind, and its counters are counters, not queries.
//!
//! New criteria start with nothing; [`Mailbox::search_step`] fills the folder in slices, each a transaction
//! of its own, so that the mailbox does other work in between. What changes meanwhile is followed like
//! always: a message may be looked at twice, which changes nothing.
//!
//! What it costs: a transaction that touches messages reads each once more (from the page cache, as it was
//! just written) where the mailbox has a search folder at all; without one, nothing.

use std::collections::{HashMap, HashSet};

use ringpost_mapi::{
    ChangeNumber, CodecError, FolderId, MessageId, Reader, Restriction, WireFormat, reader::write_varint,
};
use rusqlite::{OptionalExtension, params, params_from_iter};

use super::{
    contents::identity,
    message::{DATA, Identity, Message, ROW, SQL_COLUMNS, look_at},
    sql::compile,
};
use crate::{EventKind, Mailbox, StoreError, flag_pages::JOIN, folder::Delta, message::removal::Removal};

/// The most folders of a search's scope, as the client names them.
pub const MAX_SCOPE_FOLDERS: usize = 1024;
/// The most search folders of a mailbox: each is looked at whenever a message changes.
pub const MAX_SEARCH_FOLDERS: usize = 256;
/// Messages that one step of filling a search folder links at most.
const STEP: usize = 500;

/// What a search folder shows.
#[derive(Clone, PartialEq, Debug)]
pub struct SearchCriteria {
    /// The folders that are searched.
    pub scope: Vec<FolderId>,
    /// Also the folders below them.
    pub recursive: bool,
    /// Filled once, and not kept up to date (`STATIC_SEARCH`).
    pub fixed: bool,
    /// The condition.
    pub restriction: Restriction,
}

/// How far a search is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchProgress {
    /// Steps are left; the next one looks at the messages after this one.
    After(Option<MessageId>),
    /// The folder shows all there is.
    Complete,
}

/// A search folder as memory has it.
#[derive(Debug)]
pub(crate) struct Search {
    folder: FolderId,
    criteria: SearchCriteria,
    /// Being filled for the first time.
    running: bool,
    /// The folders whose messages it may show now.
    folders: HashSet<FolderId>,
}

impl Mailbox {
    /// Makes a search folder without criteria: it shows nothing.
    pub fn create_search_folder(&mut self, parent: FolderId, name: &str) -> Result<FolderId, StoreError> {
        self.transaction(|store| {
            let count: i64 =
                store
                    .connection
                    .query_row("SELECT count(*) FROM folders WHERE search = 1", [], |row| {
                        row.get(0)
                    })?;
            if count as usize >= MAX_SEARCH_FOLDERS {
                return Err(StoreError::LimitExceeded("search folders of a mailbox"));
            }
            let folder = store.create_folder(parent, name, None)?;
            store
                .connection
                .execute("UPDATE folders SET search = 1 WHERE id = ?1", [folder.to_disk()])?;
            Ok(folder)
        })
    }

    /// Gives a search folder new criteria. It is empty then; [`Self::search_step`] fills it.
    pub fn set_search_criteria(
        &mut self,
        folder: FolderId,
        criteria: &SearchCriteria,
    ) -> Result<(), StoreError> {
        if criteria.scope.is_empty() || criteria.scope.len() > MAX_SCOPE_FOLDERS {
            return Err(StoreError::LimitExceeded("folders of a search"));
        }
        // Counts of 16 bits would be a limit that the wire's other form hasn't. What can't be read back, as
        // it is too deep or too large, is refused here.
        let format = WireFormat::EXTENDED_RULE;
        let restriction = criteria
            .restriction
            .encode(format)
            .and_then(|bytes| Restriction::decode(&bytes, format).map(|_| bytes))
            .map_err(|_| StoreError::LimitExceeded("restriction of a search"))?;
        self.transaction(|store| {
            if !store.folder(folder)?.is_search {
                return Err(StoreError::NotAllowed("not a search folder"));
            }
            for root in &criteria.scope {
                if store.folder(*root)?.is_search {
                    return Err(StoreError::NotAllowed("a search folder can't be searched"));
                }
            }
            let change = store.next_change();
            for message in store.links(folder)? {
                store.unlink(folder, message, change)?;
            }
            store
                .connection
                .prepare_cached(
                    "INSERT INTO folder_data (folder, properties, search_flags, search_scope, search_restriction)
                     VALUES (?1, x'', ?2, ?3, ?4) ON CONFLICT (folder) DO UPDATE SET search_flags = ?2,
                         search_scope = ?3, search_restriction = ?4",
                )?
                .execute(params![
                    folder.to_disk(),
                    flags(criteria, true),
                    encode_scope(&criteria.scope),
                    restriction
                ])?;
            store.searches = None;
            store.load_searches()?;
            store.tell(EventKind::FolderChanged, folder, None, change);
            Ok(())
        })
    }

    /// A search folder's criteria, if it has some, and whether it shows all there is.
    pub fn search_criteria(
        &mut self,
        folder: FolderId,
    ) -> Result<Option<(SearchCriteria, bool)>, StoreError> {
        if !self.folder(folder)?.is_search {
            return Err(StoreError::NotAllowed("not a search folder"));
        }
        self.load_searches()?;
        let searches = self.searches.as_deref().unwrap_or_default();
        let search = searches.iter().find(|search| search.folder == folder);
        Ok(search.map(|search| (search.criteria.clone(), !search.running)))
    }

    /// The search folders that are not filled yet: what the runtime goes on with after a restart.
    pub fn unfinished_searches(&mut self) -> Result<Vec<FolderId>, StoreError> {
        self.load_searches()?;
        let searches = self.searches.as_deref().unwrap_or_default();
        Ok(searches
            .iter()
            .filter(|search| search.running)
            .map(|search| search.folder)
            .collect())
    }

    /// Fills a search folder by a bounded slice: looks at messages after `after`, all of them where it is
    /// `None`. The answer is what the next step takes.
    pub fn search_step(
        &mut self,
        folder: FolderId,
        after: Option<MessageId>,
    ) -> Result<SearchProgress, StoreError> {
        self.transaction(|store| {
            let identity = identity(store)?;
            let found = {
                let Some(search) = store.search(folder).filter(|search| search.running) else {
                    return Ok(SearchProgress::Complete);
                };
                store.matching(search, after, &identity)?
            };
            let change = ChangeNumber(store.counters.last_change);
            for (message, unread, matches) in &found {
                let matches = match matches {
                    Some(matches) => *matches,
                    None => store.matches_large(folder, *message, &identity)?,
                };
                if matches && store.link_state(folder, *message)?.is_none() {
                    store.link(folder, *message, *unread, change)?;
                }
                ringpost_vfs::breathe();
            }
            if let Some((last, ..)) = found.last().filter(|_| found.len() == STEP) {
                return Ok(SearchProgress::After(Some(*last)));
            }
            store.finish_search(folder)?;
            Ok(SearchProgress::Complete)
        })
    }

    /// Fills a search folder, step by step.
    pub fn run_search(&mut self, folder: FolderId) -> Result<(), StoreError> {
        let mut after = None;
        while let SearchProgress::After(next) = self.search_step(folder, after)? {
            after = next;
            ringpost_vfs::breathe();
        }
        Ok(())
    }

    /// Reads the search folders once; they are kept until a transaction is rolled back.
    pub(crate) fn load_searches(&mut self) -> Result<(), StoreError> {
        if self.searches.is_some() {
            return Ok(());
        }
        let mut searches = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT d.folder, d.search_flags, d.search_scope, d.search_restriction FROM folder_data d
                 JOIN folders f ON f.id = d.folder WHERE f.state = 0 AND d.search_restriction IS NOT NULL",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let folder = FolderId::from_disk(row.get(0)?);
                let (scope, restriction) = (row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?);
                match decode_criteria(row.get(1)?, &scope, &restriction) {
                    Ok((criteria, running)) => {
                        searches.push(Search {
                            folder,
                            criteria,
                            running,
                            folders: HashSet::new(),
                        });
                    }
                    // One damaged search folder must not keep the mailbox from receiving.
                    Err(error) => tracing::error!(%folder, %error, "damaged search criteria"),
                }
            }
        }
        if !searches.is_empty() {
            let tree = self.tree()?;
            for search in &mut searches {
                search.folders = in_scope(&search.criteria, &tree);
            }
        }
        self.searches = Some(searches);
        Ok(())
    }

    /// Whether there are search folders. They are known from the beginning of a transaction on.
    pub(crate) fn has_searches(&self) -> bool {
        self.searches
            .as_ref()
            .is_some_and(|searches| !searches.is_empty())
    }

    /// Brings the search folders up to what the running transaction did, before it commits.
    pub(crate) fn follow_changes(&mut self) -> Result<(), StoreError> {
        if self.searches.as_ref().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        // Links tell too: what happened to one is no news of its message.
        let is_link = |folder| self.search(folder).is_some();
        let told = self.pending_events().iter();
        let told: Vec<_> = told
            .filter(|event| event.message.is_none() || !is_link(event.folder))
            .cloned()
            .collect();
        let mut messages: Vec<(MessageId, ChangeNumber)> = Vec::new();
        let mut place = HashMap::new();
        for event in &told {
            if let Some(message) = event.message {
                let at = *place.entry(message).or_insert(messages.len());
                if at == messages.len() {
                    messages.push((message, event.change));
                }
                messages[at].1 = event.change;
            }
        }
        if told.iter().any(|event| event.message.is_none()) {
            self.follow_folders(&mut messages)?;
        }
        let identity = identity(self)?;
        for (message, change) in messages {
            self.follow_message(message, change, &identity)?;
            ringpost_vfs::breathe();
        }
        Ok(())
    }

    /// Takes over how the folder tree is now. Messages of folders that came into a scope or left one are
    /// added to those to look at.
    fn follow_folders(&mut self, messages: &mut Vec<(MessageId, ChangeNumber)>) -> Result<(), StoreError> {
        let tree = self.tree()?;
        let change = ChangeNumber(self.counters.last_change);
        let mut moved: HashSet<FolderId> = HashSet::new();
        let searches = self.searches.as_mut().map(std::mem::take).unwrap_or_default();
        let mut kept = Vec::new();
        for mut search in searches {
            // A search folder that is deleted took its links with it.
            if !tree.contains_key(&search.folder) {
                continue;
            }
            let folders = in_scope(&search.criteria, &tree);
            moved.extend(folders.symmetric_difference(&search.folders));
            search.folders = folders;
            kept.push(search);
        }
        self.searches = Some(kept);
        let known: HashSet<MessageId> = messages.iter().map(|(message, _)| *message).collect();
        for folder in moved {
            let mut statement = self
                .connection
                .prepare_cached("SELECT id FROM messages WHERE folder = ?1")?;
            let ids = statement.query_map([folder.to_disk()], |row| row.get(0).map(MessageId::from_disk))?;
            for id in ids {
                let id = id?;
                if !known.contains(&id) {
                    messages.push((id, change));
                }
            }
        }
        Ok(())
    }

    /// Links and unlinks one message as its state now is.
    fn follow_message(
        &mut self,
        message: MessageId,
        change: ChangeNumber,
        identity: &Identity,
    ) -> Result<(), StoreError> {
        // An error leaves none: then the transaction is rolled back, and they are read again.
        let searches = self.searches.take().unwrap_or_default();
        let fixed = searches.iter().any(|search| search.criteria.fixed);
        let hidden = fixed && self.is_in_hidden_folder(message)?;
        let seen = look_at(self, identity, message, ROW, &mut |found| {
            let mut wanted = Vec::with_capacity(searches.len());
            for search in &searches {
                // One that is not kept up to date only loses what is gone.
                if !found.is_normal() || hidden {
                    wanted.push((search.folder, false));
                } else if !search.criteria.fixed || search.running {
                    let shown = search.folders.contains(&found.folder)
                        && search.criteria.restriction.matches(found)?;
                    wanted.push((search.folder, shown));
                }
            }
            Ok((wanted, found.unread))
        })?;
        let gone = || searches.iter().map(|search| (search.folder, false)).collect();
        let (wanted, unread) = seen.unwrap_or_else(|| (gone(), false));
        self.searches = Some(searches);
        for (folder, shown) in wanted {
            match (shown, self.link_state(folder, message)?) {
                (true, None) => self.link(folder, message, unread, change)?,
                (false, Some(_)) => self.unlink(folder, message, change)?,
                (true, Some(was_unread)) => self.change_link(folder, message, was_unread, unread, change)?,
                (false, None) => {}
            }
        }
        Ok(())
    }

    fn is_in_hidden_folder(&self, message: MessageId) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT 1 FROM messages m JOIN folders f ON f.id = m.folder WHERE m.id = ?1 AND f.state <> 0",
            )?
            .exists([message.to_disk()])?)
    }

    fn search(&self, folder: FolderId) -> Option<&Search> {
        self.searches
            .as_deref()
            .unwrap_or_default()
            .iter()
            .find(|search| search.folder == folder)
    }

    /// The next messages of a search's folders that SQL can't rule out: whether each is unread, and matches, if
    /// that can be told without its large properties.
    fn matching(
        &self,
        search: &Search,
        after: Option<MessageId>,
        identity: &Identity,
    ) -> Result<Vec<(MessageId, bool, Option<bool>)>, StoreError> {
        let condition = compile(&search.criteria.restriction, SQL_COLUMNS);
        let also = if condition.sql.is_empty() {
            String::new()
        } else {
            format!(" AND {}", condition.sql)
        };
        let after = after.map_or(i64::MIN, MessageId::to_disk);
        let sql = format!(
            "SELECT {ROW}, {DATA} FROM messages m JOIN message_data d ON d.message = m.id {JOIN}
             WHERE m.id > {after} AND m.state = 0{also} ORDER BY m.id LIMIT {STEP}"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(&condition.parameters))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let message = Message::read(row, identity, true)?;
            let matches = search.folders.contains(&message.folder)
                && condition
                    .residual
                    .as_ref()
                    .map_or(Ok(true), |rest| rest.matches(&message))?;
            let matches = (!message.has_missed()).then_some(matches);
            found.push((message.id, message.unread, matches));
        }
        Ok(found)
    }

    /// Whether a message of a search's folders matches, with its large properties.
    fn matches_large(
        &mut self,
        folder: FolderId,
        message: MessageId,
        identity: &Identity,
    ) -> Result<bool, StoreError> {
        let Some(search) = self.search(folder) else {
            return Ok(false);
        };
        let (folders, restriction) = (search.folders.clone(), search.criteria.restriction.clone());
        let seen = look_at(self, identity, message, ROW, &mut |found| {
            Ok(folders.contains(&found.folder) && restriction.matches(found)?)
        })?;
        Ok(seen.unwrap_or(false))
    }

    fn finish_search(&mut self, folder: FolderId) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("UPDATE folder_data SET search_flags = search_flags & ~?2 WHERE folder = ?1")?
            .execute(params![folder.to_disk(), RUNNING])?;
        let searches = self.searches.as_deref_mut().unwrap_or_default();
        if let Some(search) = searches.iter_mut().find(|search| search.folder == folder) {
            search.running = false;
        }
        Ok(())
    }

    fn links(&self, folder: FolderId) -> Result<Vec<MessageId>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT message FROM search_links WHERE folder = ?1")?;
        let links = statement.query_map([folder.to_disk()], |row| row.get(0).map(MessageId::from_disk))?;
        Ok(links.collect::<Result<_, _>>()?)
    }

    /// Whether a message is linked, and counted as unread.
    fn link_state(&self, folder: FolderId, message: MessageId) -> Result<Option<bool>, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT unread FROM search_links WHERE folder = ?1 AND message = ?2")?
            .query_row(params![folder.to_disk(), message.to_disk()], |row| row.get(0))
            .optional()?)
    }

    fn link(
        &mut self,
        folder: FolderId,
        message: MessageId,
        unread: bool,
        change: ChangeNumber,
    ) -> Result<(), StoreError> {
        let uid: u32 = self
            .connection
            .prepare_cached("SELECT uid_next FROM folders WHERE id = ?1")?
            .query_row([folder.to_disk()], |row| row.get(0))?;
        let next = uid
            .checked_add(1)
            .ok_or(StoreError::LimitExceeded("UIDs of a folder"))?;
        self.connection
            .prepare_cached(
                "INSERT INTO search_links (folder, message, uid, change, unread) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                folder.to_disk(),
                message.to_disk(),
                uid,
                change.0 as i64,
                unread
            ])?;
        let delta = Delta {
            messages: 1,
            unread: i64::from(unread),
            ..Delta::default()
        };
        self.count(folder, delta, Some(next), change)?;
        self.tell(EventKind::MessageCreated, folder, Some(message), change);
        Ok(())
    }

    fn unlink(
        &mut self,
        folder: FolderId,
        message: MessageId,
        change: ChangeNumber,
    ) -> Result<(), StoreError> {
        let gone: Option<(u32, bool)> = self
            .connection
            .prepare_cached(
                "DELETE FROM search_links WHERE folder = ?1 AND message = ?2 RETURNING uid, unread",
            )?
            .query_row(params![folder.to_disk(), message.to_disk()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((uid, unread)) = gone else { return Ok(()) };
        self.note_removed(folder, change, message.to_disk(), uid, Removal::Deleted)?;
        let delta = Delta {
            messages: -1,
            unread: -i64::from(unread),
            ..Delta::default()
        };
        self.count(folder, delta, None, change)?;
        self.tell(EventKind::MessageDeleted, folder, Some(message), change);
        Ok(())
    }

    fn change_link(
        &mut self,
        folder: FolderId,
        message: MessageId,
        was_unread: bool,
        unread: bool,
        change: ChangeNumber,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE search_links SET change = ?3, unread = ?4 WHERE folder = ?1 AND message = ?2",
            )?
            .execute(params![
                folder.to_disk(),
                message.to_disk(),
                change.0 as i64,
                unread
            ])?;
        let delta = Delta {
            unread: i64::from(unread) - i64::from(was_unread),
            ..Delta::default()
        };
        self.count(folder, delta, None, change)?;
        self.tell(EventKind::MessageChanged, folder, Some(message), change);
        Ok(())
    }

    /// Every folder: its parent, and whether it is a search folder.
    fn tree(&self) -> Result<HashMap<FolderId, (Option<FolderId>, bool)>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, parent, search FROM folders WHERE state = 0")?;
        let rows = statement.query_map([], |row| {
            let parent: Option<i64> = row.get(1)?;
            Ok((
                FolderId::from_disk(row.get(0)?),
                (parent.map(FolderId::from_disk), row.get(2)?),
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// The folders whose messages a search may show.
fn in_scope(
    criteria: &SearchCriteria,
    tree: &HashMap<FolderId, (Option<FolderId>, bool)>,
) -> HashSet<FolderId> {
    let roots: HashSet<FolderId> = criteria.scope.iter().copied().collect();
    let below = |folder: FolderId| {
        let mut at = Some(folder);
        // A tree that is damaged into a circle must not hold the core.
        for _ in 0..=crate::folder::MAX_DEPTH {
            match at {
                Some(id) if roots.contains(&id) => return true,
                Some(id) => at = tree.get(&id).and_then(|(parent, _)| *parent),
                None => return false,
            }
        }
        false
    };
    tree.iter()
        .filter(|(_, (_, search))| !search)
        .map(|(folder, _)| *folder)
        .filter(|folder| roots.contains(folder) || criteria.recursive && below(*folder))
        .collect()
}

// The column `search_flags`.
const RUNNING: i64 = 1;
const RECURSIVE: i64 = 4;
const FIXED: i64 = 0x0001_0000;

fn flags(criteria: &SearchCriteria, running: bool) -> i64 {
    let flag = |set: bool, flag: i64| if set { flag } else { 0 };
    flag(running, RUNNING) | flag(criteria.recursive, RECURSIVE) | flag(criteria.fixed, FIXED)
}

/// The criteria that three columns hold, and whether the search is being filled.
fn decode_criteria(
    flags: i64,
    scope: &[u8],
    restriction: &[u8],
) -> Result<(SearchCriteria, bool), CodecError> {
    let criteria = SearchCriteria {
        scope: decode_scope(scope)?,
        recursive: flags & RECURSIVE != 0,
        fixed: flags & FIXED != 0,
        restriction: Restriction::decode(restriction, WireFormat::EXTENDED_RULE)?,
    };
    Ok((criteria, flags & RUNNING != 0))
}

/// Whether the three columns of a search folder's criteria can be read.
pub(crate) fn criteria_decode(flags: i64, scope: &[u8], restriction: &[u8]) -> bool {
    decode_criteria(flags, scope, restriction).is_ok()
}

/// The column `search_scope`: folder ids as they are in the database, one varint each.
fn encode_scope(scope: &[FolderId]) -> Vec<u8> {
    let mut out = Vec::new();
    for folder in scope {
        write_varint(&mut out, folder.to_disk() as u64);
    }
    out
}

fn decode_scope(bytes: &[u8]) -> Result<Vec<FolderId>, CodecError> {
    let mut reader = Reader::new(bytes);
    let mut scope = Vec::new();
    while !reader.is_empty() {
        if scope.len() >= MAX_SCOPE_FOLDERS {
            return Err(CodecError::OverLimit("scope of a search"));
        }
        scope.push(FolderId::from_disk(reader.varint("scope of a search")? as i64));
    }
    Ok(scope)
}

#[cfg(test)]
mod tests;
