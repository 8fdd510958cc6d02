//! The first message without `\Seen`, which SELECT tells clients of IMAP4rev1 (RFC 3501 §7.1).
//!
//! Mostly the few newest messages are the unread ones, and a look at those suffices. Else messages are looked through
//! from the first on, a slice at a time, and how far all are seen is kept with the open mailbox: the next SELECT looks
//! at what changed since and goes on from there. Where nothing changed, or all are unseen, nothing is looked at.

use std::{ops::ControlFlow, time::Instant};

use ringpost_mapi::{ChangeNumber, FolderId, Uid};
use ringpost_store::{Flags, Mailbox, Status, StoreError, UidSet};

use super::uid_list::{drop_through, take_first};
use crate::limits;

/// Folders whose state is kept.
const KEPT_FOLDERS: usize = 64;

/// What came of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unseen {
    /// The first one, if there is one.
    First(Option<Uid>),
    /// Not known yet: ask again.
    Looking,
}

/// How far the messages of folders are seen.
#[derive(Default)]
struct SeenSoFar(Vec<Folder>);

#[derive(Clone, Copy)]
struct Folder {
    id: FolderId,
    /// At this change ...
    as_of: ChangeNumber,
    /// ... all messages below this UID were seen ...
    below: u32,
    /// ... and the one with it was not, if there is one.
    settled: bool,
}

/// Looks for the first unseen message among all, `uids`, as far as a slice of time allows.
pub(super) fn first(
    mailbox: &mut Mailbox,
    folder: FolderId,
    uids: &UidSet,
    status: &Status,
) -> Result<Unseen, StoreError> {
    if status.unseen as usize == uids.len() {
        let first = uids.ranges().first().map(|range| Uid(*range.start()));
        return Ok(Unseen::First(first));
    }
    let mut kept = mailbox.take_memo::<SeenSoFar>();
    let found = kept.find(mailbox, folder, uids, status);
    let bytes = kept.0.capacity() * size_of::<Folder>();
    mailbox.keep_memo(kept, bytes as u64);
    found
}

impl SeenSoFar {
    fn find(
        &mut self,
        mailbox: &mut Mailbox,
        folder: FolderId,
        uids: &UidSet,
        status: &Status,
    ) -> Result<Unseen, StoreError> {
        let known = self.0.iter().find(|known| known.id == folder);
        if let Some(known) = known
            && known.settled
            && known.as_of == status.highest_change
        {
            let first = Some(Uid(known.below)).filter(|first| uids.contains(*first));
            return Ok(Unseen::First(first));
        }
        let mut last = uids.clone();
        take_first(&mut last, uids.len().saturating_sub(limits::SLICE_ROWS));
        let (first, count) = look(mailbox, folder, &last, false)?;
        if count != status.unseen {
            return self.look_on(mailbox, folder, uids);
        }
        if let Some(first) = first {
            self.keep(Folder {
                id: folder,
                as_of: status.highest_change,
                below: first.0,
                settled: true,
            });
        }
        Ok(Unseen::First(first))
    }

    /// The oldest of many makes room.
    fn keep(&mut self, state: Folder) {
        self.0.retain(|known| known.id != state.id);
        if self.0.len() == KEPT_FOLDERS {
            self.0.remove(0);
        }
        self.0.push(state);
    }

    fn look_on(
        &mut self,
        mailbox: &mut Mailbox,
        folder: FolderId,
        uids: &UidSet,
    ) -> Result<Unseen, StoreError> {
        let started = Instant::now();
        let now = mailbox.status(folder)?.highest_change;
        let known = self.0.iter().position(|known| known.id == folder);
        // What is taken out here and not put back is not believed any more.
        let mut state = match known.map(|at| self.0.remove(at)) {
            Some(known) => known,
            None => Folder {
                id: folder,
                as_of: now,
                below: 1,
                settled: false,
            },
        };
        state.settled = false;
        if state.as_of < now {
            mailbox.visit_changes(folder, state.as_of, &mut |change| {
                if !change.flags.contains(Flags::SEEN) {
                    state.below = state.below.min(change.uid.0);
                }
                ControlFlow::Continue(())
            })?;
            state.as_of = now;
        }
        let mut left = uids.clone();
        if state.below > 1 {
            drop_through(&mut left, Uid(state.below - 1));
        }
        let mut found = Unseen::First(None);
        while !left.is_empty() {
            if started.elapsed() > limits::SLICE_TIME {
                found = Unseen::Looking;
                break;
            }
            let slice = take_first(&mut left, limits::STORE_ROWS);
            let (first, _) = look(mailbox, folder, &slice, true)?;
            let last = slice.ranges().last().map_or(0, |range| *range.end());
            state.below = first.map_or(last.saturating_add(1), |uid| uid.0);
            if first.is_some() {
                found = Unseen::First(first);
                break;
            }
        }
        state.settled = found != Unseen::Looking;
        self.keep(state);
        Ok(found)
    }
}

/// The first unseen one of these messages, and how many there are, or with `one` whether there is one.
fn look(
    mailbox: &mut Mailbox,
    folder: FolderId,
    uids: &UidSet,
    one: bool,
) -> Result<(Option<Uid>, u32), StoreError> {
    let (mut first, mut count) = (None, 0);
    mailbox.visit_flags(folder, uids, &mut |message| {
        if !message.flags.contains(Flags::SEEN) {
            first.get_or_insert(message.uid);
            count += 1;
            if one {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok((first, count))
}
