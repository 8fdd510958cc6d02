//! FETCH of what rows and structures have, written while the rows are visited: nothing of a message is kept, and
//! nothing allocated for it.

use std::{ops::ControlFlow, time::Instant};

use ringpost_store::{Mailbox, MessageRow, StoreError};

use super::{Job, Plan, read_structure};
use crate::{
    encode::{self, number64},
    limits,
    session::{flag_lines, place, uid_list::UidList},
    structure,
    syntax::{date, fetch::Item},
};

/// Messages between two looks at the clock.
const ROWS_A_LOOK: usize = 16;

impl Plan {
    /// Whether the items need no message's source, and change nothing.
    pub(super) fn only_rows(&self) -> bool {
        !self.mark_seen && self.items.iter().all(Item::is_of_row)
    }

    /// `* n FETCH (…)` with all items; `None` where the structure is damaged, or there is none though one is needed.
    fn row(&self, out: &mut Vec<u8>, list: &UidList, row: &MessageRow) -> Option<()> {
        let Some(number) = list.number(row.uid) else {
            return Some(());
        };
        flag_lines::begin(out, number);
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            self.row_item(out, item, row)?;
        }
        out.extend_from_slice(b")\r\n");
        Some(())
    }

    /// Writes an item that the row has; `None` as [`Self::row`].
    pub(super) fn row_item(&self, out: &mut Vec<u8>, item: &Item, row: &MessageRow) -> Option<()> {
        let mut number = |name: &[u8], number: u64, after: &[u8]| {
            out.extend_from_slice(name);
            number64(out, number);
            out.extend_from_slice(after);
        };
        match item {
            Item::Uid => number(b"UID ", row.uid.0.into(), b""),
            Item::Size => number(b"RFC822.SIZE ", row.size, b""),
            Item::ModSeq => number(b"MODSEQ (", row.change.0, b")"),
            Item::EmailId => number(b"EMAILID (M", row.email_id, b")"),
            Item::ThreadId => out.extend_from_slice(b"THREADID NIL"),
            Item::Flags => {
                out.extend_from_slice(b"FLAGS ");
                encode::flags(out, row.flags, &row.keywords, self.recent.contains(row.uid));
            }
            Item::InternalDate => {
                out.extend_from_slice(b"INTERNALDATE ");
                date::write_date_time(out, row.received.unix_seconds());
            }
            Item::SaveDate => {
                out.extend_from_slice(b"SAVEDATE ");
                match row.saved {
                    Some(saved) => date::write_date_time(out, saved.unix_seconds()),
                    None => out.extend_from_slice(b"NIL"),
                }
            }
            Item::Envelope => {
                out.extend_from_slice(b"ENVELOPE ");
                structure::envelope(out, row.structure.as_deref()?, self.utf8)?;
            }
            Item::Body => {
                out.extend_from_slice(b"BODY ");
                structure::body(out, row.structure.as_deref()?, false, self.utf8)?;
            }
            Item::BodyStructure => {
                out.extend_from_slice(b"BODYSTRUCTURE ");
                structure::body(out, row.structure.as_deref()?, true, self.utf8)?;
            }
            Item::Preview | Item::Section(_) | Item::Binary { .. } | Item::BinarySize(_) => {}
        }
        Some(())
    }
}

impl Job {
    /// [`Job::step`] of such a FETCH.
    pub(super) fn step_rows(&mut self, mailbox: &mut Mailbox, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        let started = Instant::now();
        let (list, plan) = (&self.list, &self.plan);
        let (found, used) = (&mut self.found, &mut self.keywords);
        let (mut last, mut damaged, mut visited) = (None, None, 0_usize);
        let reader = self.reader.as_deref();
        place::visit_as(
            mailbox,
            self.folder,
            &self.left,
            plan.structure,
            reader,
            &mut |row| {
                *found += 1;
                visited += 1;
                if plan.shows_flags {
                    for keyword in &row.keywords {
                        if !used.contains(keyword) {
                            used.push(keyword.clone());
                        }
                    }
                }
                let start = out.len();
                if plan.row(out, list, row).is_none() {
                    out.truncate(start);
                    damaged = Some(row.clone());
                }
                let late = visited.is_multiple_of(ROWS_A_LOOK) && started.elapsed() >= limits::SLICE_TIME;
                if out.len() < limits::SLICE_BYTES && !late && damaged.is_none() {
                    return ControlFlow::Continue(());
                }
                last = Some(row.uid);
                ControlFlow::Break(())
            },
        )?;
        self.go_on_behind(last);
        if let Some(row) = damaged {
            self.message_start = Some(out.len());
            self.repaired_row(mailbox, row, out)
                .or_else(|error| self.skip(error, out))?;
        }
        Ok(self.left.is_empty())
    }

    /// Writes a row whose structure is damaged or missing from its source.
    fn repaired_row(
        &self,
        mailbox: &mut Mailbox,
        mut row: MessageRow,
        out: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        row.structure = Some(read_structure(mailbox, &row)?.encode());
        self.plan
            .row(out, &self.list, &row)
            .ok_or_else(|| unwritable(mailbox, &row))
    }
}

/// A structure made from the source that can't be shown: none should be so.
pub(super) fn unwritable(mailbox: &Mailbox, row: &MessageRow) -> StoreError {
    StoreError::Corrupt {
        path: mailbox.directory().to_owned(),
        reason: format!("message {} has a structure that can't be shown", row.message),
    }
}
