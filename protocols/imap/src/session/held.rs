//! Answers that wait for what they acknowledge to be on disk.
//!
//! A client that marks messages one by one sends one STORE after the other without waiting for their answers. The
//! commands that have come are run, each after the one before, and one sync serves all of them: their answers are held
//! until nothing more is there to be run, or another command is.
//!
//! ```text
//! input:  STORE STORE STORE │            NOOP
//! output:                   │ sync ─► OK OK OK …
//! ```

use std::{ops::Range, time::Instant};

use ringpost_host::{Connection, Host};

use super::{
    Session,
    reply::{Failure, Reply},
};
use crate::limits;

/// An answer in what is to be sent.
pub(super) struct Held {
    tag: String,
    /// Where it is.
    place: Range<usize>,
    /// When its command began.
    started: Instant,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// Writes the answer to a command that changed something which is not known to be on disk.
    pub(super) fn hold(&mut self, tag: &str, reply: &Reply, started: Instant) {
        let start = self.out.len();
        reply.write(Some(tag), &mut self.out);
        self.held.push(Held {
            tag: tag.to_owned(),
            place: start..self.out.len(),
            started,
        });
    }

    /// Whether no more answers are to be held.
    pub(super) fn holds_enough(&self) -> bool {
        self.held.len() >= limits::HELD_ANSWERS
    }

    /// Waits until what the answers acknowledge is on disk. If it can't be, they say so.
    pub(super) async fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let failed = match self.make_durable().await {
            Ok(()) => None,
            Err(Failure::Reply(reply)) => Some(reply),
            Err(Failure::End(_)) => Some(Reply::no("SERVERBUG", "internal error")),
        };
        if let Some(reply) = failed {
            let written = std::mem::take(&mut self.out);
            let mut from = 0;
            for answer in &held {
                self.out.extend_from_slice(&written[from..answer.place.start]);
                reply.write(Some(&answer.tag), &mut self.out);
                from = answer.place.end;
            }
            self.out.extend_from_slice(&written[from..]);
        }
        for answer in held {
            self.host.command_done("imap", answer.started.elapsed());
        }
    }
}
