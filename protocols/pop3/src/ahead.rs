//! Messages read before the client asks for them: most clients take one after the other, and reading several in one
//! call to the mailbox costs little more than reading one.

use std::{collections::VecDeque, ops::ControlFlow};

use ringpost_mapi::Uid;
use ringpost_store::{Mailbox, StoreError, UidSet};

use crate::AHEAD_BYTES;

/// Whole messages, in the order in which they will be asked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// UIDs, and where the message's source ends in `bytes`.
    messages: VecDeque<(Uid, usize)>,
    /// Where the source of the first begins.
    start: usize,
    bytes: Vec<u8>,
}

impl Ahead {
    pub(crate) const fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            start: 0,
            bytes: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Forgets the messages; the memory stays for the next ones.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes.clear();
        self.start = 0;
    }

    /// Appends the first line of a RETR's response and the message to `out`, if it is the next one here; where its
    /// source begins.
    pub(crate) fn take(&mut self, uid: Uid, out: &mut Vec<u8>) -> Option<usize> {
        // A client that deletes as it goes, or leaves one out, is still one that goes on.
        while self.messages.front().is_some_and(|(known, _)| *known < uid) {
            if let Some((_, end)) = self.messages.pop_front() {
                self.start = end;
            }
        }
        let (_, end) = self.messages.pop_front_if(|(known, _)| *known == uid)?;
        let source = self.bytes.get(self.start..end)?;
        out.extend_from_slice(format!("+OK {} octets\r\n", source.len()).as_bytes());
        let from = out.len();
        out.extend_from_slice(source);
        self.start = end;
        Some(from)
    }

    /// Reads these messages, which ascend, as far as they are small and need no downgrade.
    pub(crate) fn read(&mut self, mailbox: &mut Mailbox, uids: &[Uid], utf8: bool) -> Result<(), StoreError> {
        let mut wanted = UidSet::default();
        for &uid in uids {
            wanted.insert(uid);
        }
        let (mut rows, mut sum) = (Vec::new(), 0);
        mailbox.visit_messages(
            ringpost_store::folder::built_in::INBOX,
            &wanted,
            false,
            &mut |row| {
                sum += row.size;
                if sum > AHEAD_BYTES {
                    return ControlFlow::Break(());
                }
                rows.push(row.clone());
                ControlFlow::Continue(())
            },
        )?;
        for row in rows {
            let before = self.bytes.len();
            // What can't be read is found, and told, when the client asks for it.
            let read = mailbox.read_row_source(&row, 0..row.size, &mut self.bytes);
            let source = self.bytes.get(before..).unwrap_or_default();
            if read.is_err() || source.len() as u64 != row.size || !(utf8 || source.is_ascii()) {
                self.bytes.truncate(before);
                break;
            }
            self.messages.push_back((row.uid, self.bytes.len()));
        }
        Ok(())
    }
}
