//! The information store: one MAPI mailbox in one SQLite database. `../FORMAT.md` is its format.
//!
//! Everything here is plain synchronous code over one connection; the runtime runs it on the core that
//! owns the mailbox, on a coroutine which the file layer (`ringpost-vfs`) suspends when a page is cold.
//!
//! A change goes: [`Mailbox`] method → one transaction → commit → [`Mailbox::take_events`] (told to
//! whoever listens) → the runtime's `fdatasync` of the WAL → acknowledgement.

pub mod folder;
pub mod imap;
pub mod incoming;
mod mailbox;

pub use folder::{Folder, FolderChange, SpecialUse};
pub use imap::{Change, Changes, FlagAction, Flags, MessageRow, Status, UidSet};
pub use incoming::{Placement, PreparedMessage, Stored};
pub use mailbox::{CreateOptions, Event, EventKind, Mailbox, MailboxKind, OpenOptions, StoreError};
