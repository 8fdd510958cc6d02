//! Changing a folder as IMAP does.

use ringpost_mapi::{ChangeNumber, FileTime, FolderId, MessageId, Uid};
use rusqlite::params;

use super::{
    Change, FlagAction, Flags, UidSet,
    keywords::{decode, encode},
};
use crate::{
    EventKind, Mailbox, StoreError,
    folder::{Delta, Kind, State},
    message::{columns::MessageBits, removal::Removal, transfer::TransferRow},
};

/// Most messages that one statement changes: about a millisecond.
const MAX_RUN: usize = 512;

/// What becomes of the keywords' column.
#[derive(PartialEq, Eq)]
enum KeywordsChange {
    Kept,
    Set(Option<Vec<u8>>),
}

/// New flags of a message.
struct Update {
    uid: Uid,
    id: i64,
    bits: MessageBits,
    new: Flags,
    /// What becomes of the column.
    keywords: KeywordsChange,
    change: ChangeNumber,
}

/// What these operations need of a message's row.
struct Row {
    uid: Uid,
    id: i64,
    bits: MessageBits,
    keywords: Option<Vec<u8>>,
    change: u64,
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
            flags: self.bits.imap(),
            size: self.size,
            source: self.source,
        }
    }
}

impl Mailbox {
    /// Changes flags and keywords of the messages of `uids` that exist. Messages changed after
    /// `unchanged_since` are left alone and returned second (RFC 7162 §3.1.3). Rows that already are as
    /// asked get no new change number but are returned first all the same.
    pub fn change_flags(
        &mut self,
        folder: FolderId,
        uids: &UidSet,
        action: FlagAction,
        flags: Flags,
        keywords: &[String],
        unchanged_since: Option<ChangeNumber>,
    ) -> Result<(Vec<Change>, UidSet), StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let asked = store.keyword_ids(keywords, action != FlagAction::Remove)?;
            let mut done = Vec::new();
            let mut updates = Vec::new();
            let mut refused = UidSet::default();
            let mut delta = Delta::default();
            for row in store.rows(folder, uids)? {
                if unchanged_since.is_some_and(|since| row.change > since.0) {
                    refused.insert(row.uid);
                    continue;
                }
                let old = row.bits.imap();
                let old_ids = decode(row.keywords.as_deref())?;
                let new = match action {
                    FlagAction::Replace => flags,
                    FlagAction::Add => old | flags,
                    FlagAction::Remove => old - flags,
                };
                let ids = change_ids(&old_ids, &asked, action);
                let mut number = ChangeNumber(row.change);
                let column = encode(&ids);
                let names = store.keyword_table()?.names_of(column.as_deref())?;
                if new != old || ids != old_ids {
                    number = store.next_change();
                    delta.unread += unread(new) - unread(old);
                    delta.deleted += deleted(new) - deleted(old);
                    let id = MessageId::from_disk(row.id);
                    store.tell(EventKind::MessageChanged, folder, Some(id), number);
                    updates.push(Update {
                        new,
                        keywords: if ids == old_ids {
                            KeywordsChange::Kept
                        } else {
                            KeywordsChange::Set(column)
                        },
                        change: number,
                        uid: row.uid,
                        id: row.id,
                        bits: row.bits,
                    });
                }
                done.push(Change {
                    uid: row.uid,
                    flags: new,
                    keywords: names,
                    change: number,
                });
            }
            let mut left = &updates[..];
            while !left.is_empty() {
                left = store.write_flags(folder, action, flags, left)?;
                ringpost_vfs::breathe();
            }
            if let Some(update) = updates.last() {
                store.count(folder, delta, None, update.change)?;
            }
            Ok((done, refused))
        })
    }

    /// Writes the first updates; those that are left. Messages whose UIDs follow one another, as do their new
    /// change numbers, take one statement: that is half the work.
    ///
    /// A message whose read state alone changed keeps its version (MS-OXCFXICS 3.2.5.6: read states are
    /// synchronised apart from content).
    fn write_flags<'a>(
        &mut self,
        folder: FolderId,
        action: FlagAction,
        flags: Flags,
        updates: &'a [Update],
    ) -> Result<&'a [Update], StoreError> {
        let Some(first) = updates.first() else {
            return Ok(updates);
        };
        let follows = |pair: &&[Update]| {
            pair[1].uid.0 == pair[0].uid.0 + 1
                && pair[1].change.0 == pair[0].change.0 + 1
                && pair[0].keywords == KeywordsChange::Kept
                && pair[1].keywords == KeywordsChange::Kept
        };
        let length = 1 + updates.windows(2).take(MAX_RUN).take_while(follows).count();
        let (run, rest) = updates.split_at(length);
        let now = FileTime::now().0 as i64;
        if let [single] = run {
            let differing = single.bits.imap() ^ single.new;
            let read = differing.contains(Flags::SEEN).then_some(single.change.0 as i64);
            let only_read = differing == Flags::SEEN && single.keywords == KeywordsChange::Kept;
            self.connection
                .prepare_cached(
                    "UPDATE messages SET flags = ?2, keywords = CASE WHEN ?8 THEN ?3 ELSE keywords END, change = ?4,
                         version = coalesce(?5, version), read_change = coalesce(?6, read_change),
                         modified = coalesce(?7, modified) WHERE id = ?1",
                )?
                .execute(params![
                    single.id,
                    single.bits.with_imap(single.new).bits(),
                    match &single.keywords {
                        KeywordsChange::Kept => None,
                        KeywordsChange::Set(column) => column.as_deref(),
                    },
                    single.change.0 as i64,
                    (!only_read).then_some(single.change.0 as i64),
                    read,
                    (!only_read).then_some(now),
                    single.keywords != KeywordsChange::Kept,
                ])?;
            return Ok(rest);
        }
        // What was read once stays so marked (`MessageBits::with_imap`); it is no change of the content.
        let read_bits = MessageBits::from_bits_retain(i64::from(Flags::SEEN.bits())) | MessageBits::EVER_READ;
        let mut set = i64::from(flags.bits());
        if flags.contains(Flags::SEEN) {
            set |= MessageBits::EVER_READ.bits();
        }
        let (keep, set) = match action {
            FlagAction::Replace => (!MessageBits::IMAP.bits(), set),
            FlagAction::Add => (!0, set),
            FlagAction::Remove => (!i64::from(flags.bits()), 0),
        };
        let last = first.uid.0 + (length - 1) as u32;
        let written = self
            .connection
            .prepare_cached(
                "UPDATE messages SET flags = flags & ?4 | ?5, change = ?6 + uid,
                     version = CASE WHEN flags | ?9 = (flags & ?4 | ?5 | ?9) THEN version ELSE ?6 + uid END,
                     read_change = CASE WHEN flags & ?7 = ((flags & ?4 | ?5) & ?7) THEN read_change ELSE ?6 + uid END,
                     modified = CASE WHEN flags | ?9 = (flags & ?4 | ?5 | ?9) THEN modified ELSE ?8 END
                 WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND state = 0",
            )?
            .execute(params![
                folder.to_disk(),
                first.uid.0,
                last,
                keep,
                set,
                first.change.0 as i64 - i64::from(first.uid.0),
                i64::from(Flags::SEEN.bits()),
                now,
                read_bits.bits()
            ])?;
        if written != length {
            return Err(StoreError::damaged("UIDs of a folder"));
        }
        Ok(rest)
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
            let mut uid_next = store.uid_state(to, Kind::Generic)?.uid_next;
            let rows = store.rows(from, uids)?;
            let size: i64 = rows.iter().map(|row| row.size).sum();
            store.check_quota(size as u64, rows.len())?;
            let mut pairs = Vec::with_capacity(rows.len());
            for row in rows {
                let copied = store.copy_row(&row.transfer(from), to, &mut uid_next)?;
                pairs.push((row.uid, copied.uid.unwrap_or(row.uid)));
                ringpost_vfs::breathe();
            }
            Ok(pairs)
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
            let mut uid_next = store.uid_state(to, Kind::Generic)?.uid_next;
            let rows = store.rows(from, uids)?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let left = store.next_change();
            let mut pairs = Vec::with_capacity(rows.len());
            for row in rows {
                let moved = store.move_row(&row.transfer(from), to, &mut uid_next, left, None)?;
                pairs.push((row.uid, moved.uid.unwrap_or(row.uid)));
                ringpost_vfs::breathe();
            }
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
            "SELECT uid, id, flags, keywords, change, size, source
             FROM messages WHERE folder = ?1 AND uid BETWEEN ?2 AND ?3 AND state = 0 ORDER BY uid",
        )?;
        let mut found = Vec::new();
        for range in uids.ranges() {
            let mut rows = statement.query(params![folder.to_disk(), range.start(), range.end()])?;
            while let Some(row) = rows.next()? {
                found.push(Row {
                    uid: Uid(row.get(0)?),
                    id: row.get(1)?,
                    bits: MessageBits::from_bits_retain(row.get(2)?),
                    keywords: row.get(3)?,
                    change: row.get::<_, i64>(4)? as u64,
                    size: row.get(5)?,
                    source: row.get(6)?,
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
        CreateOptions, MailboxKind, OpenOptions, Placement, PreparedMessage, Status, folder::built_in::INBOX,
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

    /// Those of each message, by UID.
    fn rows(mailbox: &Mailbox) -> Vec<FlagsRow> {
        let mut statement = mailbox
            .connection
            .prepare(
                "SELECT flags, keywords, change, version, coalesce(read_change, 0), modified > 0
                 FROM messages WHERE state = 0 ORDER BY uid",
            )
            .unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            let changes = [row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((row.get(0)?, row.get(1)?, changes, row.get(5)?))
        };
        statement
            .query_map([], row)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn many_at_once_become_what_each_alone_becomes() {
        let work = ["Work".to_owned()];
        for action in [FlagAction::Add, FlagAction::Remove, FlagAction::Replace] {
            for (flags, keywords) in [
                (Flags::SEEN, &[][..]),
                (Flags::FLAGGED, &[]),
                (Flags::SEEN | Flags::DELETED | Flags::FORWARDED, &[]),
                (Flags::ANSWERED, &work),
                (Flags::empty(), &work),
            ] {
                let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
                let (mut together, mut alone) = (filled(one.path()), filled(other.path()));
                for mailbox in [&together, &alone] {
                    mailbox
                        .connection
                        .execute("UPDATE messages SET modified = 0", [])
                        .unwrap();
                }
                let mut uids = UidSet::default();
                uids.insert_range(2..=15);
                uids.insert_range(17..=38);
                let (changed, _) = together
                    .change_flags(INBOX, &uids, action, flags, keywords, None)
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
                assert_eq!(changed, each, "{action:?} {flags:?}");
                assert_eq!(rows(&together), rows(&alone), "{action:?} {flags:?}");
                let status = together.status(INBOX).unwrap();
                let uid_validity = status.uid_validity;
                assert_eq!(
                    status,
                    Status {
                        uid_validity,
                        ..alone.status(INBOX).unwrap()
                    }
                );
            }
        }
    }
}
