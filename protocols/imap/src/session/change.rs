//! STORE, EXPUNGE, COPY, MOVE (RFC 9051 §6.4; RFC 7162 UNCHANGEDSINCE, RFC 4315, RFC 6851).

use ringpost_host::{Connection, Host};
use ringpost_mapi::{ChangeNumber, FolderId, Uid};
use ringpost_store::{Flags, UidSet};

use super::{
    Session, folders,
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
            SequenceSet::Ranges(_) => selected.list.resolve(set, uid),
        })
    }

    pub(super) async fn store(&mut self, store: Store, uid: bool) -> Result<Reply, Failure> {
        let folder = self.writable()?.folder;
        let Some((flags, keywords)) = encode::parse_flags(&store.flags) else {
            return Err(Reply::bad("unknown flag").into());
        };
        if store.unchanged_since.is_some() {
            self.use_condstore();
        }
        let mut left = self.resolve(&store.set, uid)?;
        let mut modified = UidSet::default();
        while !left.is_empty() {
            let slice = take_first(&mut left, limits::SLICE_ROWS);
            let (action, keywords) = (store.action, keywords.clone());
            let unchanged_since = store.unchanged_since.map(ChangeNumber);
            let (before, changed, refused, after) = self
                .call(move |mailbox| {
                    let before = mailbox.status(folder)?.highest_change;
                    let (changed, refused) =
                        mailbox.change_flags(folder, &slice, action, flags, &keywords, unchanged_since)?;
                    Ok((before, changed, refused, mailbox.status(folder)?.highest_change))
                })
                .await?;
            self.unsynced = true;
            self.selected_mut()?.advance(before, after);
            refused
                .ranges()
                .iter()
                .for_each(|range| modified.insert_range(range.clone()));
            for change in changed {
                if !store.silent {
                    self.report_flags(
                        change.uid,
                        change.flags,
                        &change.keywords,
                        Some(change.change),
                        uid,
                    );
                } else if self.enabled.condstore {
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

    pub(super) async fn expunge(&mut self, set: Option<SequenceSet>) -> Result<Reply, Failure> {
        self.writable()?;
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
    async fn target(&mut self, name: String) -> Result<(FolderId, u32), Failure> {
        let found = self
            .call(move |mailbox| {
                let folder = folders::find(mailbox, &name)?;
                folder
                    .map(|folder| Ok((folder.id, mailbox.status(folder.id)?.uid_validity)))
                    .transpose()
            })
            .await?;
        found.ok_or_else(|| Reply::no("TRYCREATE", "no such mailbox").into())
    }

    pub(super) async fn copy(&mut self, set: SequenceSet, uid: bool, name: String) -> Result<Reply, Failure> {
        let from = self.selected()?.folder;
        let mut left = self.resolve(&set, uid)?;
        let (to, validity) = self.target(name).await?;
        let mut copied = Pairs::default();
        while !left.is_empty() {
            let slice = take_first(&mut left, limits::SLICE_ROWS);
            match self
                .call(move |mailbox| mailbox.copy_messages(from, &slice, to))
                .await
            {
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
        let from = self.writable()?.folder;
        let mut left = self.resolve(&set, uid)?;
        let (to, validity) = self.target(name).await?;
        if to == from {
            return Err(Reply::no("CANNOT", "the messages are there already").into());
        }
        let mut moved = Pairs::default();
        let mut failure = None;
        while !left.is_empty() && failure.is_none() {
            let slice = take_first(&mut left, limits::SLICE_ROWS);
            let step = self.call(move |mailbox| {
                let before = mailbox.status(from)?.highest_change;
                let pairs = mailbox.move_messages(from, &slice, to)?;
                Ok((before, pairs, mailbox.status(from)?.highest_change))
            });
            match step.await {
                Ok((before, pairs, after)) => {
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
