//! The information store: one MAPI mailbox in one SQLite database. `../FORMAT.md` is its format.
//!
//! Everything here is plain synchronous code over one connection; the runtime runs it on the core that
//! owns the mailbox, on a coroutine which the file layer (`ringpost-vfs`) suspends when a page is cold.
//!
//! A change goes: [`Mailbox`] method → one transaction → commit → [`Mailbox::take_events`] (told to
//! whoever listens) → the runtime's `fdatasync` of the WAL ([`Mailbox::wal_path`]) → acknowledgement.
//!
//! - [`mailbox`]: creating, opening, transactions, checkpoints; `schema` has the tables
//! - [`folder`]: the folder tree and its counters
//! - [`incoming`]: a message parsed and compressed once, stored in any number of mailboxes
//! - [`message`]: messages as MAPI objects: opening, saving, copying, moving, what clients made offline
//! - `lineage`: change keys and predecessors
//! - `flag_pages`: flags, keywords and change numbers of many messages together
//! - [`imap`]: IMAP's view of the same rows
//! - [`permission`]: who may do what in a folder
//! - [`sync`]: what changed since a client's state
//! - [`quota`]: how full the mailbox is
//! - [`rule`], [`settings`]: rules; properties, quotas, receive folders, ids for clients
//! - [`check`]: the integrity walk
//! - [`table`]: MAPI's tables of messages, folders, recipients and attachments
//! - `content`: sources and other large values, compressed, shared, inline or in files

pub mod ahead;
pub mod check;
mod content;
mod error;
mod event;
mod flag_pages;
pub mod folder;
pub mod imap;
pub mod incoming;
mod lineage;
pub mod mailbox;
mod memo;
pub mod message;
mod named;
pub mod permission;
pub mod quota;
mod read_state;
pub mod rule;
mod schema;
pub mod settings;
pub mod sync;
pub mod table;

pub use check::{Problem, Report, Sizes};
pub use content::StoredContent;
pub use error::StoreError;
pub use event::{Event, EventKind};
pub use folder::{DeletedFolder, Folder, FolderChange, FolderImport, FolderImported, SpecialUse};
pub use imap::{
    Annotation, Change, Changes, FlagAction, FlagChange, Flags, MAX_ANNOTATION_NAME_BYTES, MAX_ANNOTATIONS,
    MAX_ANNOTATIONS_BYTES, MAX_SPECIAL_USES, MAX_SUBSCRIBED_NAME_BYTES, MAX_SUBSCRIBED_NAMES, MessageRow,
    SourceId, SourceRow, Status, UidSet,
};
pub use incoming::{Placement, PreparedMessage, Stored};
pub use lineage::Lineage;
pub use mailbox::{CreateOptions, Mailbox, MailboxKind, OpenOptions};
pub use message::{Imported, Message, MessageDraft, MessageImport, Transferred};
pub use permission::{Member, Permission};
pub use quota::QuotaUse;
pub use rule::Rule;
pub use sync::{ContentChanges, ContentQuery, HierarchyChanges, MessageChange};
pub use table::Table;
