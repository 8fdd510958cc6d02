//! What happened in a mailbox, for whoever listens.

use ringpost_mapi::{ChangeNumber, FolderId, MessageId};

/// Something changed; sent after the commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The folder that changed, or whose content did.
    pub folder: FolderId,
    /// The message, where the event is about one. A change of the flags of many messages at once is one event about
    /// none of them, whose change is the latest.
    pub message: Option<MessageId>,
    /// What happened.
    pub kind: EventKind,
    /// The change's number.
    pub change: ChangeNumber,
}

/// What an [`Event`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A message came into being in the folder: delivered, saved, copied or moved here.
    MessageCreated,
    /// A message's properties or flags changed.
    MessageChanged,
    /// A message left the folder: deleted or moved away.
    MessageDeleted,
    /// The folder was created.
    FolderCreated,
    /// The folder's properties changed, its name or place among them.
    FolderChanged,
    /// The folder was deleted.
    FolderDeleted,
}
