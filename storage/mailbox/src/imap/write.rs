//! Changing a folder as IMAP does.

use std::{ops::Range, sync::Arc};

use ringpost_mapi::{ChangeNumber, FileTime, FolderId, Uid};
use rusqlite::params;

use super::{
    Change, FlagAction, Flags, UidSet,
    keywords::{decode, encode},
};
use crate::{
    EventKind, Mailbox, StoreError,
    flag_pages::{Column, Edit, Edited, Page, Pages, Rewrite, Whole},
    folder::{Delta, Kind, State, UidState},
    message::{columns::MessageBits, removal::Removal, transfer::TransferRow},
};

/// Answers that room is made for at once.
const MAX_RESERVED: usize = 1 << 16;
/// Of so many messages that change their flags at once each is told of. Of more it is told that there are such: who
/// listens has no room for an event for each.
const TOLD_EACH: usize = 256;

/// What these operations need of a message's row.
struct Row {
    uid: Uid,
    id: i64,
    bits: MessageBits,
    size: i64,
    source: Option<i64>,
}

impl Row {
    fn transfer(&self, folder: FolderId) -> TransferRow {
        TransferRow {
            id: self.id,
            folder,
            uid: self.uid.0,
            state: State::Normal as i64,
            bits: self.bits,
            size: self.size,
            source: self.source,
        }
    }
}

/// What becomes of flags and keywords.
#[derive(Clone, Copy, Debug)]
pub struct FlagChange<'a> {
    /// How those below are meant.
    pub action: FlagAction,
    /// System flags
    pub flags: Flags,
    /// Keywords
    pub keywords: &'a [String],
    /// Only of messages that were not changed later (UNCHANGEDSINCE).
    pub unchanged_since: Option<ChangeNumber>,
}

/// A change of flags that is under way.
struct FlagWork<'a> {
    folder: FolderId,
    change: &'a FlagChange<'a>,
    /// Keywords by number.
    asked: Vec<u32>,
    now: i64,
    /// What all messages have now, where that is asked for.
    done: Option<Vec<Change>>,
    refused: UidSet,
    delta: Delta,
    changed: bool,
    /// Whether each message is told of, or only that the folder's messages changed.
    tells_each: bool,
}

/// What a set of keywords becomes.
#[derive(Clone)]
struct NewSet {
    /// Which of the page's new sets.
    number: u32,
    differs: bool,
    names: Arc<[String]>,
}

impl FlagWork<'_> {
    /// What becomes of a set of keywords, as a message's column; with its names.
    fn becomes(
        &self,
        store: &mut Mailbox,
        set: Option<&[u8]>,
    ) -> Result<(Vec<u8>, Arc<[String]>), StoreError> {
        let column = encode(&change_ids(&decode(set)?, &self.asked, self.change.action)).unwrap_or_default();
        let names = store.keyword_table()?.names_of(Some(&column))?;
        Ok((column, names.into()))
    }

    fn new_flags(&self, old: Flags) -> Flags {
        match self.change.action {
            FlagAction::Replace => self.change.flags,
            FlagAction::Add => old | self.change.flags,
            FlagAction::Remove => old - self.change.flags,
        }
    }
}

impl Edit for FlagWork<'_> {
    /// The usual case of a STORE on a whole folder: it differs from [`Self::some`] in its costs alone.
    fn whole(&mut self, store: &mut Mailbox, page: &Whole<'_>) -> Result<Option<Edited>, StoreError> {
        if self.change.unchanged_since.is_some() {
            return Ok(None);
        }
        let count = page.count;
        let mut sets = vec![Vec::new()];
        let mut becomes: Vec<Option<NewSet>> = vec![None; page.sets.len()];
        // Where all have the same, one is looked at for all.
        let alike = count > 0 && page.is_constant(Column::Flags) && page.is_constant(Column::Keywords);
        let (looked_at, each) = if alike { (1, count) } else { (count, 1) };
        let (mut bits, mut keywords) = (Vec::with_capacity(looked_at), Vec::with_capacity(looked_at));
        let mut delta = self.delta;
        let (mut changed, mut renewed, mut read) = (0, 0, 0);
        for at in 0..looked_at {
            let number = page.value(Column::Keywords, at) as usize;
            let known = becomes
                .get_mut(number)
                .ok_or_else(|| StoreError::damaged("flag page"))?;
            let set = if let Some(set) = known {
                set
            } else {
                let old = page.sets[number];
                let (column, names) = self.becomes(store, Some(old))?;
                let set = sets
                    .iter()
                    .position(|known| *known == column)
                    .unwrap_or(sets.len());
                let differs = column != old;
                if set == sets.len() {
                    sets.push(column);
                }
                known.insert(NewSet {
                    number: set as u32,
                    differs,
                    names,
                })
            };
            let old = MessageBits::from_bits_retain(page.value(Column::Flags, at) as i64);
            let (before, after) = (old.imap(), self.new_flags(old.imap()));
            let differing = before ^ after;
            changed += each * usize::from(set.differs || !differing.is_empty());
            renewed += each * usize::from(set.differs || !(differing - Flags::SEEN).is_empty());
            read += each * usize::from(differing.contains(Flags::SEEN));
            delta.unread += each as i64 * (unread(after) - unread(before));
            delta.deleted += each as i64 * (deleted(after) - deleted(before));
            bits.push(old.with_imap(after));
            keywords.push(set.number);
        }
        let all_or_none = |some: usize| some == 0 || some == count;
        if !(all_or_none(changed) && all_or_none(renewed) && all_or_none(read)) {
            return Ok(None);
        }
        let any = changed > 0;
        let first_change = store.counters.last_change + 1;
        if let Some(done) = &mut self.done {
            for (at, uid) in page.uids().enumerate() {
                let change = if any {
                    first_change + at as u64
                } else {
                    page.value(Column::Change, at)
                };
                let names = becomes[page.value(Column::Keywords, at) as usize].as_ref();
                done.push(Change {
                    uid: Uid(uid),
                    flags: bits[if alike { 0 } else { at }].imap(),
                    keywords: names.map(|set| Arc::clone(&set.names)).unwrap_or_default(),
                    change: ChangeNumber(change),
                });
            }
        }
        if !any {
            return Ok(Some(Edited::Not));
        }
        store.counters.last_change += count as u64;
        if self.tells_each {
            for at in 0..count {
                let message = page.value(Column::Id, at) as i64;
                store.tell_message(
                    EventKind::MessageChanged,
                    self.folder,
                    message,
                    first_change + at as u64,
                );
            }
        }
        self.delta = delta;
        self.changed = true;
        let entries = page.rewritten(&Rewrite {
            bits,
            keywords,
            sets,
            first_change,
            modified: (renewed > 0).then_some(self.now),
            read: read > 0,
        });
        Ok(Some(Edited::To(entries, store.counters.last_change)))
    }

    /// A message whose read state alone changed keeps its version (MS-OXCFXICS 3.2.5.6: read states are
    /// synchronised apart from content).
    fn some(
        &mut self,
        store: &mut Mailbox,
        page: &mut Page,
        places: Range<usize>,
    ) -> Result<bool, StoreError> {
        // What each set of keywords becomes, with its names: a page has few.
        let mut becomes: Vec<Option<(u32, Arc<[String]>)>> = Vec::new();
        let mut any = false;
        for at in places {
            let state = page.states[at];
            if self
                .change
                .unchanged_since
                .is_some_and(|since| state.change > since.0)
            {
                self.refused.insert(Uid(state.uid));
                continue;
            }
            let number = state.keywords as usize;
            if becomes.len() <= number {
                becomes.resize(number + 1, None);
            }
            let (set, names) = if let Some(known) = &becomes[number] {
                known
            } else {
                let (column, names) = self.becomes(store, page.sets.get(number).map(Vec::as_slice))?;
                becomes[number].insert((page.set(&column), names))
            };
            let old = state.bits.imap();
            let new = self.new_flags(old);
            let mut change = state.change;
            if new != old || *set != state.keywords {
                change = store.next_change().0;
                any = true;
                self.delta.unread += unread(new) - unread(old);
                self.delta.deleted += deleted(new) - deleted(old);
                if self.tells_each {
                    store.tell_message(EventKind::MessageChanged, self.folder, state.id, change);
                }
                let differing = old ^ new;
                let state = &mut page.states[at];
                if differing != Flags::SEEN || *set != state.keywords {
                    state.version = change;
                    state.modified = self.now;
                }
                if differing.contains(Flags::SEEN) {
                    state.read_change = change;
                }
                state.bits = state.bits.with_imap(new);
                state.keywords = *set;
                state.change = change;
            }
            if let Some(done) = &mut self.done {
                done.push(Change {
                    uid: Uid(state.uid),
                    flags: new,
                    keywords: Arc::clone(names),
                    change: ChangeNumber(change),
                });
            }
        }
        self.changed |= any;
        Ok(any)
    }
}

impl Mailbox {
    /// Changes flags and keywords of the messages of `uids` that exist. Messages changed after
    /// `unchanged_since` are left alone and returned second (RFC 7162 §3.1.3). Messages that already are as
    /// asked get no new change number but are returned first all the same.
    ///
    /// Costs a page of flags for each 256 UIDs; the messages' rows are not looked at.
    pub fn change_flags(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        action: FlagAction,
        flags: Flags,
        keywords: &[String],
        unchanged_since: Option<ChangeNumber>,
    ) -> Result<(Vec<Change>, UidSet), StoreError> {
        let done = Vec::with_capacity(uids.len().min(MAX_RESERVED));
        let change = FlagChange {
            action,
            flags,
            keywords,
            unchanged_since,
        };
        let (done, refused) = self.run_flag_change(folder, uids, &change, Some(done))?;
        Ok((done.unwrap_or_default(), refused))
    }

    /// [`Self::change_flags`] for those who need not be told what the messages have now.
    pub fn change_flags_silently(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        change: &FlagChange<'_>,
    ) -> Result<UidSet, StoreError> {
        Ok(self.run_flag_change(folder, uids, change, None)?.1)
    }

    fn run_flag_change(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        change: &FlagChange<'_>,
        done: Option<Vec<Change>>,
    ) -> Result<(Option<Vec<Change>>, UidSet), StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let asked = store.keyword_ids(change.keywords, change.action != FlagAction::Remove)?;
            store.read_pages_ahead(folder, uids.ranges())?;
            if let Some(last) = uids.ranges().last() {
                store.page_through(folder, *last.end())?;
            }
            let mut work = FlagWork {
                folder,
                change,
                asked,
                now: FileTime::now().0 as i64,
                done,
                refused: UidSet::default(),
                delta: Delta::default(),
                changed: false,
                // Search folders look at what was told.
                tells_each: uids.len() <= TOLD_EACH || store.has_searches(),
            };
            store.edit_pages(folder, uids.ranges(), &mut work)?;
            if work.changed {
                let latest = ChangeNumber(store.counters.last_change);
                store.stamps.touch(folder);
                if !work.tells_each {
                    store.tell(EventKind::MessageChanged, folder, None, latest);
                }
                store.count(folder, work.delta, None, latest)?;
            }
            Ok((work.done, work.refused))
        })
    }

    /// Copies messages into another folder of this mailbox, with flags and dates; pairs of old and new UID.
    pub fn copy_messages(
        &mut self,
        from: FolderId,
        uids: &UidSet,
        to: FolderId,
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        self.transaction(|store| {
            store.uid_state(from, Kind::Any)?;
            let rows = store.rows(from, uids)?;
            let transfers: Vec<_> = rows.iter().map(|row| row.transfer(from)).collect();
            let copied = store.copy_rows(&transfers, to)?;
            Ok(rows
                .iter()
                .zip(copied)
                .map(|(row, copied)| (row.uid, copied.uid.unwrap_or(row.uid)))
                .collect())
        })
    }

    /// Moves messages into another folder of this mailbox; pairs of old and new UID. A moved message gets a
    /// new id, as MAPI's clients expect.
    pub fn move_messages(
        &mut self,
        from: FolderId,
        uids: &UidSet,
        to: FolderId,
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        self.transaction(|store| {
            store.uid_state(from, Kind::Generic)?;
            let UidState {
                mut uid_next, paged, ..
            } = store.uid_state(to, Kind::Generic)?;
            let rows = store.rows(from, uids)?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let left = store.next_change();
            let mut pairs = Vec::with_capacity(rows.len());
            let mut pages = Pages::default();
            for row in rows {
                let moved = store.move_row(&row.transfer(from), to, &mut uid_next, left, None, &mut pages)?;
                pairs.push((row.uid, moved.uid.unwrap_or(row.uid)));
                ringpost_vfs::breathe();
            }
            pages.finish(&store.connection)?;
            store.page_tail(to, paged, uid_next)?;
            Ok(pairs)
        })
    }

    /// Removes the messages of `uids` that are marked `\Deleted` (all of `uids` when `only_deleted` is
    /// false); the ones that left.
    pub fn expunge(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        only_deleted: bool,
    ) -> Result<UidSet, StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let mut gone = UidSet::default();
            let mut ids = Vec::new();
            for row in store.rows(folder, uids)? {
                if !only_deleted || row.bits.imap().contains(Flags::DELETED) {
                    gone.insert(row.uid);
                    ids.push(row.id);
                }
            }
            store.remove_messages(folder, &ids, Removal::Deleted)?;
            Ok(gone)
        })
    }

    /// The rows of `uids` that exist, by ascending UID.
    fn rows(&self, folder: FolderId, uids: &UidSet) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT uid, id, flags, size, source
             FROM messages WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND state = 0 ORDER BY uid",
        )?;
        let mut found = Vec::new();
        let mut pages = Pages::default();
        for range in uids.ranges() {
            let mut rows = statement.query(params![folder.to_disk(), range.start(), range.end()])?;
            while let Some(row) = rows.next()? {
                let uid = row.get(0)?;
                found.push(Row {
                    uid: Uid(uid),
                    id: row.get(1)?,
                    bits: match pages.get(&self.connection, folder, uid)? {
                        Some((state, _)) => state.bits,
                        None => MessageBits::from_bits_retain(row.get(2)?),
                    },
                    size: row.get(3)?,
                    source: row.get(4)?,
                });
            }
        }
        Ok(found)
    }
}

/// The next UID of a folder. They are never used again, so a folder can run out of them.
pub(crate) fn take_uid(uid_next: &mut u32) -> Result<Uid, StoreError> {
    let uid = *uid_next;
    *uid_next = uid
        .checked_add(1)
        .ok_or(StoreError::LimitExceeded("UIDs of a folder"))?;
    Ok(Uid(uid))
}

fn change_ids(old: &[u32], asked: &[u32], action: FlagAction) -> Vec<u32> {
    match action {
        FlagAction::Replace => asked.to_vec(),
        FlagAction::Remove => old.iter().copied().filter(|id| !asked.contains(id)).collect(),
        FlagAction::Add => {
            let mut ids = [old, asked].concat();
            ids.sort_unstable();
            ids.dedup();
            ids
        }
    }
}

fn unread(flags: Flags) -> i64 {
    i64::from(!flags.contains(Flags::SEEN))
}

fn deleted(flags: Flags) -> i64 {
    i64::from(flags.contains(Flags::DELETED))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::*;
    use crate::{
        CreateOptions, MailboxKind, OpenOptions, Placement, PreparedMessage, Status,
        flag_pages::{CHANGE, FLAGS, JOIN, KEYWORDS, MODIFIED, READ_CHANGE, VERSION},
        folder::built_in::INBOX,
    };

    /// A mailbox with messages of all kinds of flags.
    fn filled(folder: &Path) -> Mailbox {
        let options = CreateOptions {
            kind: MailboxKind::Private,
            guid: ringpost_mapi::MailboxGuid(ringpost_mapi::Guid([7; 16])),
            locale: "en".to_owned(),
        };
        Mailbox::create(folder, &options).unwrap();
        let mut mailbox = Mailbox::open(folder, &OpenOptions::default()).unwrap();
        for number in 0..40_u8 {
            let message = PreparedMessage::new(Bytes::from_static(b"Subject: x\r\n\r\nbody\r\n"), None);
            let placement = Placement {
                flags: Flags::from_bits_truncate(number & 0x1f),
                keywords: if number % 11 == 10 {
                    vec!["Work".to_owned()]
                } else {
                    Vec::new()
                },
                received: FileTime(u64::from(number)),
            };
            mailbox.store_message(INBOX, &message, &placement).unwrap();
        }
        let mut gone = UidSet::default();
        gone.insert_range(20..=21);
        mailbox.expunge(INBOX, &gone, false).unwrap();
        mailbox
    }

    /// Flags, keywords and changes of all; whether `modified` was touched.
    type FlagsRow = (i64, Option<Vec<u8>>, [i64; 3], bool);

    /// Those of each message, by UID; whether it was modified after a time.
    fn rows(mailbox: &Mailbox, after: i64) -> Vec<FlagsRow> {
        let mut statement = mailbox
            .connection
            .prepare(&format!(
                "SELECT {FLAGS}, {KEYWORDS}, {CHANGE}, {VERSION}, coalesce({READ_CHANGE}, 0), {MODIFIED}
                 FROM messages m {JOIN} WHERE m.state = 0 ORDER BY m.uid"
            ))
            .unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let changes = [row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((row.get(0)?, row.get(1)?, changes, row.get::<_, i64>(5)? > after))
        };
        statement
            .query_map([], row)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// Does it to a range of messages at once in one mailbox, to each alone in another of the same content.
    fn compare(
        (together, alone): (&mut Mailbox, &mut Mailbox),
        uids: &UidSet,
        action: FlagAction,
        flags: Flags,
        keywords: &[String],
    ) {
        let filled = FileTime::now().0 as i64;
        std::thread::sleep(std::time::Duration::from_millis(2));
        let (changed, _) = together
            .change_flags(INBOX, uids, action, flags, keywords, None)
            .unwrap();
        let mut each = Vec::new();
        for uid in uids.iter() {
            let mut single = UidSet::default();
            single.insert(uid);
            let done = alone
                .change_flags(INBOX, &single, action, flags, keywords, None)
                .unwrap();
            each.extend(done.0);
        }
        let what = format!("{action:?} {flags:?} {keywords:?}");
        assert_eq!(changed, each, "{what}");
        assert_eq!(rows(together, filled), rows(alone, filled), "{what}");
        let status = together.status(INBOX).unwrap();
        let uid_validity = status.uid_validity;
        assert_eq!(
            status,
            Status {
                uid_validity,
                ..alone.status(INBOX).unwrap()
            },
            "{what}"
        );
        assert_eq!(together.check(false).unwrap().problems, [], "{what}");
    }

    #[test]
    fn many_at_once_become_what_each_alone_becomes() {
        let work = ["Work".to_owned()];
        let mut some = UidSet::default();
        some.insert_range(2..=15);
        some.insert_range(17..=38);
        let mut all = UidSet::default();
        all.insert_range(1..=19);
        all.insert_range(22..=40);
        for action in [FlagAction::Add, FlagAction::Remove, FlagAction::Replace] {
            for (flags, keywords) in [
                (Flags::SEEN, &[][..]),
                (Flags::FLAGGED, &[]),
                (Flags::FORWARDED, &[]),
                (Flags::SEEN | Flags::DELETED | Flags::FORWARDED, &[]),
                (Flags::ANSWERED, &work),
                (Flags::empty(), &work),
            ] {
                let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
                let (mut together, mut alone) = (filled(one.path()), filled(other.path()));
                let both = (&mut together, &mut alone);
                compare(both, &some, action, flags, keywords);
                // What all of a page have in common then changes, for all in the same way or for some.
                for (flags, action) in [
                    (Flags::SEEN, FlagAction::Replace),
                    (flags, action),
                    (Flags::SEEN, FlagAction::Remove),
                    (flags, action),
                ] {
                    let both = (&mut together, &mut alone);
                    compare(both, &all, action, flags, keywords);
                }
            }
        }
    }

    #[test]
    fn a_whole_page_is_changed_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut mailbox = filled(folder.path());
        let mut all = UidSet::default();
        all.insert_range(1..=u32::MAX);
        let bytes = |mailbox: &Mailbox| -> usize {
            let sql = "SELECT sum(length(entries)) FROM flag_pages";
            mailbox.connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        for (action, flags) in [
            (FlagAction::Replace, Flags::FLAGGED),
            (FlagAction::Add, Flags::SEEN),
            (FlagAction::Remove, Flags::FLAGGED),
        ] {
            let change = FlagChange {
                action,
                flags,
                keywords: &[],
                unchanged_since: None,
            };
            let before = mailbox.last_change().unwrap().0;
            mailbox.change_flags_silently(INBOX, &all, &change).unwrap();
            let after = mailbox.last_change().unwrap().0;
            mailbox.change_flags_silently(INBOX, &all, &change).unwrap();
            assert_eq!(mailbox.last_change().unwrap().0, after, "nothing was different");
            assert!((36..=38).contains(&(after - before)), "{before} to {after}");
        }
        assert_eq!(mailbox.status(INBOX).unwrap().unseen, 0);
        // All is the same, or on a line, but the ids: two messages left.
        assert!(bytes(&mailbox) < 200, "{}", bytes(&mailbox));
    }
}
