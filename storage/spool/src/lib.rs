//! The queue on disk (`dequeue_path`): messages that this server has taken over and not yet passed on.
//!
//! ```text
//! DIR/lock                       held by the server that runs on it
//! DIR/journal/NUMBER.rpq         segments
//!
//! segment:  file header │ record │ record │ …            written at its end only
//! record:   length, CRC, kind, CRC of this header │ payload: operations that hold together or not at all
//!
//! Add ──► Update* ──► Remove        one message's life; all of it in the segment that it began in
//! ```
//!
//! gromox's manual names the folder and what it is for, and no format: a file a message, and a folder `cache` of
//! those to be tried again. What is ours is the journal, since a file a message costs a sync a message: here all
//! messages that come to a core at the same time share one `fdatasync`, and one that is sent at once costs no
//! further write than the 25 bytes of its removal.
//!
//! - Each core writes to a segment of its own; nothing else in the format knows of cores, so a server with another
//!   number of them reads the same files.
//! - A segment is deleted when the last message that began in it is removed. Removals need no sync to survive the
//!   process, and are synced a little later for the power's sake.
//! - A record that a crash cut short ends what is read of a segment: it was never acknowledged.
//! - A report is added by the very record that removes the recipient that it is about: it exists once, or not yet.
//! - [`Operation::Sending`] says that a recipient may get a copy that nobody will know of: written before the end
//!   of the data is sent (the window that RFC 1047 is about), so that a restart can count what it finds there.
//!
//! This crate waits for the disk in no other way than by writing to the page cache; syncing is its caller's.

mod codec;
mod envelope;
mod segment;
mod spool;

pub use codec::{Entry, Operation, Recipient, RecipientState, RecordError, read_operations};
pub use envelope::{
    BodyKind, Envelope, EnvelopeRecipient, Notify, Outgoing, QUEUED_RECIPIENTS_MAX, QueueId, ReturnContent,
};
pub use segment::{Place, Replayed, Segment, replay};
pub use spool::{Found, Spool, SpoolError, read_only};

/// Octets of an address, as RCPT and MAIL take them at most (RFC 5321 §4.5.3.1.3, and room for UTF-8).
pub const ADDRESS_MAX: usize = 1024;
/// Octets of ENVID and ORCPT, decoded.
pub const PARAMETER_MAX: usize = 1024;
/// Octets that are kept of a peer's answer.
pub const STATUS_MAX: usize = 512;
/// Octets of a message.
pub const CONTENT_MAX: usize = 0x7fff_ffff;
/// A segment that has grown so large takes no further messages.
pub const SEGMENT_MAX: u64 = 64 * 1024 * 1024;
