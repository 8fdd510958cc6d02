//! The folder tree (MS-OXCFOLD).

mod copy;
mod counters;
mod deleted;
mod import;
mod names;
mod tree;

use ringpost_mapi::{ChangeNumber, FolderId};

pub use deleted::DeletedFolder;
pub use import::{FolderImport, FolderImported};

pub(crate) use counters::{Delta, Kind, State, UidState};
pub(crate) use names::create_built_in;
pub(crate) use tree::{name_key, not_found};

/// The first global counter that is not a built-in folder's.
pub(crate) const FIRST_FREE_ID: u64 = 0x100;
/// The change that made the built-in folders.
pub(crate) const FIRST_CHANGE: u64 = 1;
/// Folders below folders: more is refused. Outlook stops at 300, IMAP clients far earlier.
pub const MAX_DEPTH: usize = 128;
/// Bytes of a folder's name.
pub const MAX_NAME_BYTES: usize = 1024;
/// Folders of a mailbox.
pub const MAX_FOLDERS: usize = 100_000;

/// The folders a private store is born with, at their fixed ids, and what each is for. The global counters
/// are the ones of the manual's implementation, which tools and clients rely on.
#[allow(missing_docs)] // The names are the specification's (MS-OXCSTOR 2.2.1.1, MS-OXOSFLD 2.2).
pub mod built_in {
    use ringpost_mapi::FolderId;

    pub const ROOT: FolderId = FolderId::own(0x01);
    pub const DEFERRED_ACTION: FolderId = FolderId::own(0x02);
    pub const SPOOLER_QUEUE: FolderId = FolderId::own(0x03);
    pub const SHORTCUTS: FolderId = FolderId::own(0x04);
    pub const FINDER: FolderId = FolderId::own(0x05);
    pub const VIEWS: FolderId = FolderId::own(0x06);
    pub const COMMON_VIEWS: FolderId = FolderId::own(0x07);
    pub const SCHEDULE: FolderId = FolderId::own(0x08);
    pub const IPM_SUBTREE: FolderId = FolderId::own(0x09);
    pub const SENT_ITEMS: FolderId = FolderId::own(0x0a);
    pub const DELETED_ITEMS: FolderId = FolderId::own(0x0b);
    pub const OUTBOX: FolderId = FolderId::own(0x0c);
    pub const INBOX: FolderId = FolderId::own(0x0d);
    pub const DRAFTS: FolderId = FolderId::own(0x0e);
    pub const CALENDAR: FolderId = FolderId::own(0x0f);
    pub const JOURNAL: FolderId = FolderId::own(0x10);
    pub const NOTES: FolderId = FolderId::own(0x11);
    pub const TASKS: FolderId = FolderId::own(0x12);
    pub const CONTACTS: FolderId = FolderId::own(0x13);
    pub const QUICK_CONTACTS: FolderId = FolderId::own(0x14);
    pub const IM_CONTACT_LIST: FolderId = FolderId::own(0x15);
    pub const GAL_CONTACTS: FolderId = FolderId::own(0x16);
    pub const JUNK: FolderId = FolderId::own(0x17);
    pub const LOCAL_FREEBUSY: FolderId = FolderId::own(0x18);
    pub const SYNC_ISSUES: FolderId = FolderId::own(0x19);
    pub const CONFLICTS: FolderId = FolderId::own(0x1a);
    pub const LOCAL_FAILURES: FolderId = FolderId::own(0x1b);
    pub const SERVER_FAILURES: FolderId = FolderId::own(0x1c);
    pub const CONVERSATION_ACTION: FolderId = FolderId::own(0x1d);
}

/// The folders a public store is born with.
#[allow(missing_docs)] // The names are the specification's (MS-OXCSTOR 2.2.1.1).
pub mod built_in_public {
    use ringpost_mapi::FolderId;

    pub const ROOT: FolderId = FolderId::own(0x01);
    pub const IPM_SUBTREE: FolderId = FolderId::own(0x02);
    pub const NON_IPM_SUBTREE: FolderId = FolderId::own(0x03);
    pub const EFORMS_REGISTRY: FolderId = FolderId::own(0x04);
}

/// What a folder is for, as RFC 6154 names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // RFC 6154's names.
pub enum SpecialUse {
    Archive,
    Drafts,
    Junk,
    Sent,
    Trash,
}

/// A folder's row.
#[derive(Clone, PartialEq, Debug)]
pub struct Folder {
    /// Its id.
    pub id: FolderId,
    /// Its parent; the root has none.
    pub parent: Option<FolderId>,
    /// `PidTagDisplayName`
    pub name: String,
    /// `PidTagContainerClass`, such as `IPF.Note`; empty where unset.
    pub container_class: String,
    /// RFC 6154 use, from the built-in ids.
    pub special_use: Option<SpecialUse>,
    /// A search folder (MS-OXCFOLD 1.1).
    pub is_search: bool,
    /// Whether IMAP's LSUB lists it.
    pub subscribed: bool,
    /// IMAP's UIDVALIDITY.
    pub uid_validity: u32,
    /// The next UID.
    pub uid_next: u32,
    /// Normal messages.
    pub messages: u32,
    /// Of those, unread ones.
    pub unread: u32,
    /// Associated (FAI) messages.
    pub associated: u32,
    /// Bytes of all messages.
    pub size: u64,
    /// Number of the latest change of the folder's content (IMAP's HIGHESTMODSEQ).
    pub highest_change: ChangeNumber,
    /// Number of the latest change of the folder itself.
    pub change: ChangeNumber,
    /// Whether it has subfolders.
    pub has_children: bool,
}

/// What [`Mailbox::change_folder`] changes; `None` leaves as it is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FolderChange {
    /// A new name.
    pub name: Option<String>,
    /// A new parent: the folder moves with all below it.
    pub parent: Option<FolderId>,
    /// Subscribed or not.
    pub subscribed: Option<bool>,
    /// A new `PidTagContainerClass`.
    pub container_class: Option<String>,
}
