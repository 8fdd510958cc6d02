//! The protocols: one file each, a [`crate::session::Session`] each.

pub(crate) mod imap;
pub(crate) mod mail;
pub(crate) mod pop3;

use crate::{
    messages::{self, Seal},
    session::{Failure, Local},
};

/// Compares a message with its seal, and the mailbox it was meant for with the one it was found in.
pub(crate) fn check_content(source: &[u8], mailbox: u64, local: &Local) -> Result<(), Failure> {
    match messages::verify(source) {
        Ok(Seal::Whole { mailbox: meant }) if local.users.are_many() && meant != mailbox => {
            Err(Failure::Wrong(format!(
                "mailbox {mailbox} holds a message that was sent to mailbox {meant}"
            )))
        }
        Ok(_) => Ok(()),
        Err(broken) => Err(Failure::Wrong(format!("in mailbox {mailbox}: {broken}"))),
    }
}
