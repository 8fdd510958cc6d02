//! What the queue says to those who give it messages.

use std::{io, sync::Arc};

pub use ringpost_spool::{
    BodyKind, Entry, Envelope, EnvelopeRecipient, Notify, Outgoing, QUEUED_RECIPIENTS_MAX, QueueId,
    Recipient as QueuedRecipient, RecipientState, ReturnContent,
};

/// Why a message was not queued. Nothing of it stays in the queue, but for [`Self::NotDurable`], where a part
/// that reached the disk all the same may be sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// This server has no queue.
    #[error("this server has no queue")]
    NoQueue,
    /// No recipient, or more than [`QUEUED_RECIPIENTS_MAX`].
    #[error("a message in the queue has 1 to {QUEUED_RECIPIENTS_MAX} recipients")]
    Recipients,
    /// The queue holds as many messages or bytes as it may.
    #[error("the queue is full")]
    Full,
    /// No space left on its disk.
    #[error("no space left for the queue")]
    DiskFull,
    /// The disk did not take it, or did not confirm it.
    #[error("the message could not be made durable: {0}")]
    NotDurable(Arc<io::Error>),
    /// The server is stopping.
    #[error("the server is stopping")]
    Unavailable,
}
