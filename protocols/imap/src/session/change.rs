//! STORE, EXPUNGE, COPY, MOVE (RFC 9051 §6.4; RFC 7162 UNCHANGEDSINCE, RFC 4315, RFC 6851).

use std::ops::ControlFlow;

use ringpost_host::{Connection, Host};
use ringpost_mapi::{ChangeNumber, FolderId, Uid, rights::Rights};
use ringpost_store::{Change, FlagAction, FlagChange, Flags, Mailbox, StoreError, UidSet};

use super::{
    Session, arrival,
    place::{NO_PERMISSION, Place},
    reply::{Failure, Reply},
    uid_list::take_first,
};
use crate::{
    encode::{self, put},
    limits,
    syntax::{command::Store, search::Key, sequence::SequenceSet},
};

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// The UIDs that a command's set stands for, of messages that the client knows.
    pub(super) fn resolve(&self, set: &SequenceSet, uid: bool) -> Result<UidSet, Failure> {
        let selected = self.selected()?;
        Ok(match set {
            SequenceSet::Saved => selected.list.intersection(&selected.saved),
            SequenceSet::Ranges(_) if !uid && set.is_beyond(selected.list.count()) => {
                return Err(Reply::bad("no message has that number").into());
            }
            SequenceSet::Ranges(_) => selected.list.resolve(set, uid),
        })
    }

    pub(super) async fn store(&mut self, store: Store, uid: bool) -> Result<Reply, Failure> {
        let selected = self.writable()?;
        let (folder, rights, reader) = (selected.folder, selected.rights, selected.reader.clone());
        let Some((flags, keywords)) = encode::parse_flags(&store.flags) else {
            return Err(Reply::bad("unknown flag").into());
        };
        let own_seen = if reader.is_some() {
            Flags::SEEN
        } else {
            Flags::empty()
        };
        let others = flags - own_seen - Flags::DELETED;
        let replace = matches!(store.action, FlagAction::Replace);
        if (!others.is_empty() || !keywords.is_empty()) && !rights.contains(Rights::EDIT_ANY)
            || flags.contains(Flags::DELETED) && !rights.contains(Rights::DELETE_ANY)
            || replace && reader.is_none() && !rights.contains(Rights::EDIT_ANY)
        {
            return Err(Reply::no("NOPERM", NO_PERMISSION).into());
        }
        // Of a replacement only what may be changed takes place.
        let shared = !replace || rights.contains(Rights::EDIT_ANY);
        if store.unchanged_since.is_some() {
            self.use_condstore();
        }
        let mut left = self.resolve(&store.set, uid)?;
        let unanswered = store.silent && !self.enabled.condstore;
        let mut modified = UidSet::default();
        while !left.is_empty() {
            let slice = take_first(&mut left, limits::STORE_ROWS);
            let (action, keywords, reader) = (store.action, keywords.clone(), reader.clone());
            let unchanged_since = store.unchanged_since.map(ChangeNumber);
            let (before, changed, refused, after) = self
                .call(move |mailbox| {
                    let before = mailbox.status(folder)?.highest_change;
                    let (changed, refused) = match reader {
                        None if unanswered => {
                            let change = FlagChange {
                                action,
                                flags,
                                keywords: &keywords,
                                unchanged_since,
                            };
                            let refused = mailbox.change_flags_silently(folder, &slice, &change)?;
                            (Vec::new(), refused)
                        }
                        None => {
                            mailbox.change_flags(folder, &slice, action, flags, &keywords, unchanged_since)?
                        }
                        Some(reader) => mailbox.transaction(|mailbox| {
                            let mut left = slice.clone();
                            let mut refused = UidSet::default();
                            if shared
                                && (replace
                                    || !others.is_empty()
                                    || !keywords.is_empty()
                                    || flags.contains(Flags::DELETED))
                            {
                                let flags = flags - Flags::SEEN;
                                refused = mailbox
                                    .change_flags(folder, &slice, action, flags, &keywords, unchanged_since)?
                                    .1;
                                refused.iter().for_each(|uid| {
                                    left.remove(uid);
                                });
                            }
                            let read = match (action, flags.contains(Flags::SEEN)) {
                                (FlagAction::Remove, true) | (FlagAction::Replace, false) => Some(false),
                                (_, true) => Some(true),
                                _ => None,
                            };
                            Ok((store_read(mailbox, folder, &left, read, &reader)?, refused))
                        })?,
                    };
                    Ok((before, changed, refused, mailbox.status(folder)?.highest_change))
                })
                .await?;
            self.unsynced = true;
            self.selected_mut()?.advance(before, after);
            refused
                .ranges()
                .iter()
                .for_each(|range| modified.insert_range(range.clone()));
            if !store.silent {
                self.report_changes(&changed, uid).await?;
            } else if self.enabled.condstore {
                self.report_mod_seqs(&changed).await?;
            }
            self.flush_slice().await?;
        }
        if modified.is_empty() {
            return Ok(Reply::ok("STORE completed"));
        }
        let shown = if uid {
            modified
        } else {
            self.selected()?.list.numbers(&modified)
        };
        Ok(Reply::ok_code(
            format!("MODIFIED {}", set_text(&shown)),
            "some were changed meanwhile",
        ))
    }

    /// What a silent STORE tells with CONDSTORE (RFC 7162 §3.1.3).
    async fn report_mod_seqs(&mut self, changed: &[Change]) -> Result<(), Failure> {
        for changes in changed.chunks(limits::SLICE_ROWS) {
            for change in changes {
                self.announce_keywords(&change.keywords);
                if let Some(number) = self.selected()?.list.number(change.uid) {
                    put!(
                        self.out,
                        "* {number} FETCH (UID {} MODSEQ ({}))\r\n",
                        change.uid,
                        change.change
                    );
                }
            }
            self.flush_slice().await?;
        }
        Ok(())
    }

    pub(super) async fn expunge(&mut self, set: Option<SequenceSet>) -> Result<Reply, Failure> {
        if !self.writable()?.rights.contains(Rights::DELETE_ANY) {
            return Err(Reply::no("NOPERM", NO_PERMISSION).into());
        }
        let among = set.map(|set| self.resolve(&set, true)).transpose()?;
        let gone = self.expunge_deleted(among, true).await?;
        if gone && self.enabled.qresync {
            // The messages are gone from `known` on only when nobody else changed anything meanwhile.
            self.settle(true).await?;
            let code = format!("HIGHESTMODSEQ {}", self.selected()?.known);
            return Ok(Reply::ok_code(code, "EXPUNGE completed"));
        }
        Ok(Reply::ok("EXPUNGE completed"))
    }

    /// Removes messages marked `\Deleted`, of all or of some; whether there were any.
    pub(super) async fn expunge_deleted(
        &mut self,
        among: Option<UidSet>,
        report: bool,
    ) -> Result<bool, Failure> {
        let selected = self.selected()?;
        let folder = selected.folder;
        let among = among.unwrap_or_else(|| selected.list.to_set());
        if self.call(move |mailbox| mailbox.status(folder)).await?.deleted == 0 {
            return Ok(false);
        }
        let mut left = self.find(&Key::Flag(Flags::DELETED), among).await?.uids;
        let mut any = false;
        while !left.is_empty() {
            let slice = take_first(&mut left, limits::SLICE_ROWS);
            let (before, gone, after) = self
                .call(move |mailbox| {
                    let before = mailbox.status(folder)?.highest_change;
                    let gone = mailbox.expunge(folder, &slice, true)?;
                    Ok((before, gone, mailbox.status(folder)?.highest_change))
                })
                .await?;
            self.unsynced = true;
            any |= !gone.is_empty();
            self.selected_mut()?.advance(before, after);
            self.remove_messages(&gone, report).await?;
            self.flush_slice().await?;
        }
        Ok(any)
    }

    /// The folder that COPY or MOVE names, and its UIDVALIDITY.
    async fn target(&mut self, name: &str) -> Result<(FolderId, u32, Place), Failure> {
        let place = self.place(name)?;
        let asked = place.clone();
        let found = self
            .call_at(&place.mailbox, move |mailbox| {
                let folder = asked.find(mailbox, Rights::CREATE)?;
                folder
                    .map(|folder| Ok((folder.id, mailbox.status(folder.id)?.uid_validity)))
                    .transpose()
            })
            .await?;
        let (folder, validity) =
            found.ok_or_else(|| Failure::from(Reply::no("TRYCREATE", "no such mailbox")))?;
        Ok((folder, validity, place))
    }

    pub(super) async fn copy(&mut self, set: SequenceSet, uid: bool, name: String) -> Result<Reply, Failure> {
        let from = self.selected()?.folder;
        let mut left = self.resolve(&set, uid)?;
        let (to, validity, place) = self.target(&name).await?;
        let mut copied = Pairs::default();
        if place.mailbox != self.selected()?.place.mailbox {
            copied.add(&self.copy_across(std::mem::take(&mut left), to, &place).await?);
        }
        while !left.is_empty() {
            let slice = take_first(&mut left, limits::SLICE_ROWS);
            let target = place.clone();
            let copy = self.call(move |mailbox| {
                let copy = |mailbox: &mut Mailbox| mailbox.copy_messages(from, &slice, to);
                arrival::transfer(mailbox, &target, to, copy)
            });
            match copy.await {
                Ok(pairs) => copied.add(&pairs),
                Err(error) => {
                    // All or none (RFC 9051 §6.4.7).
                    let undone = copied.new;
                    self.call(move |mailbox| mailbox.expunge(to, &undone, false))
                        .await?;
                    return Err(error.into());
                }
            }
            self.unsynced = true;
        }
        self.note_own(&place, to, copied.new.iter());
        Ok(match copied.code(validity) {
            Some(code) => Reply::ok_code(code, "COPY completed"),
            None => Reply::ok("nothing to copy"),
        })
    }

    pub(super) async fn move_messages(
        &mut self,
        set: SequenceSet,
        uid: bool,
        name: String,
    ) -> Result<Reply, Failure> {
        let selected = self.writable()?;
        if !selected.rights.contains(Rights::DELETE_ANY) {
            return Err(Reply::no("NOPERM", NO_PERMISSION).into());
        }
        let from = selected.folder;
        let mut left = self.resolve(&set, uid)?;
        let (to, validity, place) = self.target(&name).await?;
        let across = place.mailbox != self.selected()?.place.mailbox;
        if to == from && !across {
            return Err(Reply::no("CANNOT", "the messages are there already").into());
        }
        let mut moved = Pairs::default();
        let mut failure = None;
        let mut arrived = Vec::new();
        if across {
            // They are on disk there before they go here.
            arrived = self.copy_across(left.clone(), to, &place).await?;
            left = UidSet::default();
            for &(old, _) in &arrived {
                left.insert(old);
            }
        }
        while !left.is_empty() && failure.is_none() {
            let slice = take_first(&mut left, limits::SLICE_ROWS);
            let target = place.clone();
            let step = self.call(move |mailbox| {
                let before = mailbox.status(from)?.highest_change;
                let (pairs, gone) = if across {
                    (Vec::new(), mailbox.expunge(from, &slice, false)?)
                } else {
                    let work = |mailbox: &mut Mailbox| mailbox.move_messages(from, &slice, to);
                    (arrival::transfer(mailbox, &target, to, work)?, UidSet::default())
                };
                Ok((before, (pairs, gone), mailbox.status(from)?.highest_change))
            });
            match step.await {
                Ok((before, (mut pairs, gone), after)) => {
                    pairs.extend(arrived.iter().filter(|(old, _)| gone.contains(*old)));
                    moved.add(&pairs);
                    self.unsynced = true;
                    self.selected_mut()?.advance(before, after);
                }
                Err(error) => failure = Some(error),
            }
        }
        // What was moved is told even if the rest failed (RFC 6851 §3.3). It must be on disk before.
        let mut code = String::new();
        if let Some(copy_uid) = moved.code(validity) {
            self.settle(false).await?;
            put!(self.out, "* OK [{copy_uid}] moved\r\n");
            self.remove_messages(&moved.old, true).await?;
            if self.enabled.qresync {
                code = format!("HIGHESTMODSEQ {}", self.selected()?.known);
            }
        }
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(Reply::ok_code(code, "MOVE completed")),
        }
    }
}

/// Marks messages read or unread for a reader, and shows how he sees them.
fn store_read(
    mailbox: &mut Mailbox,
    folder: FolderId,
    uids: &UidSet,
    read: Option<bool>,
    reader: &str,
) -> Result<Vec<Change>, StoreError> {
    let mut rows = Vec::new();
    mailbox.visit_messages(folder, uids, false, &mut |row| {
        rows.push(row.clone());
        ControlFlow::Continue(())
    })?;
    if let Some(read) = read {
        let messages: Vec<_> = rows.iter().map(|row| row.message).collect();
        mailbox.set_read(folder, &messages, read, reader)?;
    }
    let mut changes = Vec::with_capacity(rows.len());
    for mut row in rows {
        let seen = mailbox.is_read(row.message, reader)?;
        row.flags.set(Flags::SEEN, seen);
        changes.push(Change {
            uid: row.uid,
            flags: row.flags,
            keywords: row.keywords.into(),
            change: row.change,
        });
    }
    Ok(changes)
}

/// Old and new UIDs of copied messages. The store gives new UIDs in the order of the old ones, so two sets say
/// which became which (RFC 4315 §3).
#[derive(Default)]
struct Pairs {
    old: UidSet,
    new: UidSet,
}

impl Pairs {
    fn add(&mut self, pairs: &[(Uid, Uid)]) {
        for &(old, new) in pairs {
            self.old.insert(old);
            self.new.insert(new);
        }
    }

    fn code(&self, validity: u32) -> Option<String> {
        (!self.old.is_empty()).then(|| {
            format!(
                "COPYUID {validity} {} {}",
                set_text(&self.old),
                set_text(&self.new)
            )
        })
    }
}

fn set_text(set: &UidSet) -> String {
    let mut text = Vec::new();
    encode::ranges(&mut text, set.ranges().iter().cloned());
    String::from_utf8_lossy(&text).into_owned()
}
