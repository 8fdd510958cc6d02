//! FETCH of flags and UIDs alone: they are read from flag pages, and no message is looked at.

use std::{ops::ControlFlow, time::Instant};

use ringpost_store::{Mailbox, StoreError, UidSet};

use super::{Job, Plan};
use crate::{
    encode::put,
    limits,
    session::{
        flag_lines::{self, FlagLines},
        uid_list::drop_through,
    },
    syntax::fetch::Item,
};

/// Messages between two looks at the clock.
const ROWS_A_LOOK: usize = 256;

impl Plan {
    /// Whether the items need nothing but flag pages.
    pub(super) fn only_flags(&self) -> bool {
        let only = |item: &Item| matches!(item, Item::Uid | Item::Flags | Item::ModSeq);
        !self.mark_seen && self.items.iter().all(only)
    }
}

impl Job {
    /// [`Job::step`] of such a FETCH.
    pub(super) fn step_flags(
        &mut self,
        mailbox: &mut Mailbox,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let started = Instant::now();
        let (list, plan) = (&self.list, &self.plan);
        let (found, used) = (&mut self.found, &mut self.keywords);
        let mut lines = FlagLines::default();
        let mut last = None;
        let mut visited = 0;
        mailbox.visit_flags(self.folder, &self.left, &mut |change| {
            *found += 1;
            visited += 1;
            let Some(number) = list.number(change.uid) else {
                return ControlFlow::Continue(());
            };
            if plan.shows_flags && !lines.knows(&change.keywords) {
                for keyword in change.keywords.iter() {
                    if !used.contains(keyword) {
                        used.push(keyword.clone());
                    }
                }
            }
            flag_lines::begin(out, number);
            for (index, item) in plan.items.iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                match item {
                    Item::Flags => lines.flags(out, change, plan.recent.contains(change.uid)),
                    Item::ModSeq => put!(out, "MODSEQ ({})", change.change),
                    _ => flag_lines::uid(out, change.uid),
                }
            }
            out.extend_from_slice(b")\r\n");
            let late = visited % ROWS_A_LOOK == 0 && started.elapsed() >= limits::SLICE_TIME;
            if out.len() < limits::SLICE_BYTES && !late {
                return ControlFlow::Continue(());
            }
            last = Some(change.uid);
            ControlFlow::Break(())
        })?;
        match last {
            Some(uid) => drop_through(&mut self.left, uid),
            None => self.left = UidSet::default(),
        }
        Ok(self.left.is_empty())
    }
}
