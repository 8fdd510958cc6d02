//! Messages read before the client asks for them.
//!
//! Most clients take one message after the other and ask for the next when they have done with the last. The server
//! has nothing to do meanwhile, so it reads on: the responses to the next RETRs lie here as they will be sent, with
//! their first lines, stuffed, and with their ends. A RETR that finds its response is a receive and a send.

use std::{collections::VecDeque, ops::ControlFlow, ops::Range};

use ringpost_mapi::Uid;
use ringpost_store::{Mailbox, StoreError, UidSet};

use crate::{AHEAD_BYTES, Stuffer};

/// Responses, in the order in which they will be asked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// UIDs, and where the message's response ends in `bytes`.
    messages: VecDeque<(Uid, usize)>,
    /// Where the response to the first begins.
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

    /// Bytes of responses that were not taken yet.
    pub(crate) fn length(&self) -> u64 {
        (self.bytes.len() - self.start) as u64
    }

    /// The last message here.
    pub(crate) fn last(&self) -> Option<Uid> {
        self.messages.back().map(|(uid, _)| *uid)
    }

    /// Forgets the messages; the memory stays for the next ones.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes.clear();
        self.start = 0;
    }

    /// The response to a message's RETR, for [`Self::get`], if it is the next one here.
    pub(crate) fn take(&mut self, uid: Uid) -> Option<Range<usize>> {
        // A client that deletes as it goes, or leaves one out, is still one that goes on.
        while self.messages.front().is_some_and(|(known, _)| *known < uid) {
            if let Some((_, end)) = self.messages.pop_front() {
                self.start = end;
            }
        }
        let (_, end) = self.messages.pop_front_if(|(known, _)| *known == uid)?;
        Some(std::mem::replace(&mut self.start, end)..end)
    }

    /// The bytes of a response that was taken.
    pub(crate) fn get(&self, response: Range<usize>) -> &[u8] {
        self.bytes.get(response).unwrap_or_default()
    }

    /// Reads these messages, which ascend and come after those here, up to `limit` bytes; as far as they are small and
    /// need no downgrade. Whether there is more to be read ahead behind them.
    pub(crate) fn read(
        &mut self,
        mailbox: &mut Mailbox,
        uids: &[Uid],
        limit: u64,
        utf8: bool,
    ) -> Result<bool, StoreError> {
        self.bytes.drain(..self.start);
        for (_, end) in &mut self.messages {
            *end -= self.start;
        }
        self.start = 0;
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
                // One at least, if it is no large one.
                sum += row.size;
                if sum > if rows.is_empty() { AHEAD_BYTES } else { limit } {
                    return ControlFlow::Break(());
                }
                rows.push(row.clone());
                ControlFlow::Continue(())
            },
        )?;
        let found = rows.len();
        let mut spare = Vec::new();
        for row in rows {
            let before = self.bytes.len();
            self.bytes
                .extend_from_slice(format!("+OK {} octets\r\n", row.size).as_bytes());
            let from = self.bytes.len();
            // What can't be read is found, and told, when the client asks for it.
            let read = mailbox.read_row_source(&row, 0..row.size, &mut self.bytes);
            let source = self.bytes.get(from..).unwrap_or_default();
            if read.is_err() || source.len() as u64 != row.size || !(utf8 || source.is_ascii()) {
                self.bytes.truncate(before);
                return Ok(false);
            }
            let mut stuffer = Stuffer::new(None);
            stuffer.encode(&mut self.bytes, from, &mut spare);
            stuffer.finish(&mut self.bytes);
            self.messages.push_back((row.uid, self.bytes.len()));
        }
        Ok(found > 0)
    }
}
