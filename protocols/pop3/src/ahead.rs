//! Messages read before the client asks for them.
//!
//! Most clients take one message after the other and ask for the next when they have done with the last. The server
//! has nothing to do meanwhile, so it reads on: the responses to the next RETRs lie here as they will be sent, with
//! their first lines, stuffed, and with their ends. A RETR that finds its response is a receive and a send.

use std::{collections::VecDeque, ops::ControlFlow, ops::Range};

use ringpost_mapi::Uid;
use ringpost_store::{Mailbox, SourceRow, StoreError, UidSet, folder::built_in};

use crate::{AHEAD_BYTES, AHEAD_MESSAGES, Stuffer};

/// Responses, in the order in which they will be asked for.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// UIDs, and where the message's response ends in `bytes`.
    messages: VecDeque<(Uid, usize)>,
    /// Where the response to the first begins.
    start: usize,
    bytes: Vec<u8>,
    /// The messages that come next, as they were when they were looked up: to find one takes as long as to find many.
    rows: VecDeque<SourceRow>,
    /// Working memory of the stuffer.
    spare: Vec<u8>,
}

impl Ahead {
    pub(crate) const fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            start: 0,
            bytes: Vec::new(),
            rows: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes of responses that were not taken yet.
    pub(crate) fn length(&self) -> u64 {
        (self.bytes.len() - self.start) as u64
    }

    /// The last message here, read or looked up.
    pub(crate) fn last(&self) -> Option<Uid> {
        let looked_up = self.rows.back().map(|row| row.uid);
        looked_up.or_else(|| self.messages.back().map(|(uid, _)| *uid))
    }

    /// Whether more of the messages that come next should be looked up.
    pub(crate) fn needs_rows(&self) -> bool {
        self.rows.len() < AHEAD_MESSAGES / 2
    }

    /// The message that is read next, if it was looked up.
    pub(crate) fn next(&self) -> Option<Uid> {
        self.rows.front().map(|row| row.uid)
    }

    /// A message is read otherwise: forgets the messages that were read, and those that were looked up unless they are the
    /// ones that follow it. The memory stays for the next ones.
    pub(crate) fn pass(&mut self, uid: Uid) {
        self.messages.clear();
        self.bytes.clear();
        self.start = 0;
        if self.rows.pop_front_if(|row| row.uid == uid).is_none() {
            self.rows.clear();
        }
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

    /// Looks up these messages, which ascend and come after those here, and asks the disk for their content.
    pub(crate) fn look_up(&mut self, mailbox: &mut Mailbox, uids: &[Uid]) -> Result<(), StoreError> {
        if uids.is_empty() {
            return Ok(());
        }
        let mut wanted = UidSet::default();
        for &uid in uids {
            wanted.insert(uid);
        }
        let rows = &mut self.rows;
        let known = rows.len();
        mailbox.visit_sources(built_in::INBOX, &wanted, &mut |row| {
            rows.push_back(row);
            ControlFlow::Continue(())
        })?;
        mailbox.read_ahead_sources(rows.range(known..).copied())
    }

    /// Reads messages that were looked up, up to `limit` bytes but one at least; as far as they are small and need no
    /// downgrade. Returns the message that it stopped at because it can't be read ahead, if there is one.
    pub(crate) fn read(&mut self, mailbox: &mut Mailbox, limit: u64, utf8: bool) -> Option<Uid> {
        self.bytes.drain(..self.start);
        for (_, end) in &mut self.messages {
            *end -= self.start;
        }
        self.start = 0;
        let mut sum = 0;
        while let Some(&row) = self.rows.front() {
            let is_first = sum == 0;
            sum += row.size;
            if row.size > AHEAD_BYTES {
                return Some(row.uid);
            }
            if !is_first && sum > limit {
                break;
            }
            let before = self.bytes.len();
            self.bytes
                .extend_from_slice(format!("+OK {} octets\r\n", row.size).as_bytes());
            let from = self.bytes.len();
            // What can't be read is found, and told, when the client asks for it.
            let read = mailbox.read_visited_source(row, 0..row.size, &mut self.bytes);
            let source = self.bytes.get(from..).unwrap_or_default();
            if read.is_err() || source.len() as u64 != row.size || !(utf8 || source.is_ascii()) {
                self.bytes.truncate(before);
                return Some(row.uid);
            }
            let mut stuffer = Stuffer::new(None);
            stuffer.encode(&mut self.bytes, from, &mut self.spare);
            stuffer.finish(&mut self.bytes);
            self.messages.push_back((row.uid, self.bytes.len()));
            self.rows.pop_front();
        }
        None
    }
}
