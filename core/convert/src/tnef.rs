//! TNEF: a MAPI message as one stream, which Outlook sends as `winmail.dat` (MS-OXTNEF).
//!
//! ```text
//! signature, key ─► attributes of the message … ─► for each attachment: attAttachRendData, …
//!                   each: level, id, length, data, checksum
//! ```
//!
//! The old attributes say little; three of them hold lists of MAPI properties that say all:
//! `attMsgProps`, `attRecipTable`, `attAttachment`. [`read`] takes both, the properties first; [`write`] writes
//! the properties, and of the attributes those that programs without MAPI look at.
//!
//! | attribute | read | written |
//! |---|---|---|
//! | attTnefVersion, attOemCodepage | yes | yes |
//! | attMessageClass, attSubject, attPriority, attDateSent | yes | yes |
//! | attBody, attDateRecd, attDateModified, attMessageID, attFrom | yes | no: properties |
//! | attMsgProps, attRecipTable | yes | yes |
//! | attAttachRendData, attAttachTitle, attAttachData, attAttachment | yes | yes |
//! | attAttachMetaFile, attAttachTransportFilename | yes | no: properties |
//! | attAttachCreateDate, attAttachModifyDate | yes | no: properties |
//! | attOriginalMessageClass, attMessageStatus, attConversationID, attParentID, attOwner, attSentFor, attDelegate, attDateStart, attDateEnd, attAidOwner, attRequestRes | no: Schedule+ and MS Mail before MAPI | no |

mod attribute;
mod property;
mod reader;
mod writer;

use ringpost_mapi::CodecError;

pub use reader::{Decoded, read, read_with};
pub use writer::{write, write_with};

/// Embedded messages in embedded messages; deeper ones are left out when read and refused when written.
pub const MAX_DEPTH: usize = 16;
/// Recipients of a message.
pub const MAX_RECIPIENTS: usize = 1 << 16;
/// Attachments of a message.
pub const MAX_ATTACHMENTS: usize = 1 << 14;

/// Why bytes are not TNEF, or a message can't become it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TnefError {
    /// The stream does not begin as TNEF does.
    #[error("not a TNEF stream")]
    NotTnef,
    /// More than a limit allows.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A value that TNEF has no form for.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

#[cfg(test)]
mod tests;
