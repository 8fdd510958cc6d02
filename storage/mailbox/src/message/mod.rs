//! Messages as MAPI objects (MS-OXCMSG).

pub(crate) mod columns;
pub(crate) mod encoding;
mod object;
pub(crate) mod packed;
pub(crate) mod removal;
mod soft;

pub(crate) use ringpost_mapi::tags;

pub use removal::REMOVALS_KEPT;

pub use object::{Message, MessageDraft};
