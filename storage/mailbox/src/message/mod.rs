//! Messages as MAPI objects (MS-OXCMSG).

pub(crate) mod columns;
pub(crate) mod encoding;
mod import;
mod object;
pub(crate) mod packed;
pub(crate) mod removal;
pub(crate) mod saved;
mod soft;
mod status;
pub(crate) mod transfer;

pub(crate) use ringpost_mapi::tags;

pub use removal::REMOVALS_KEPT;

pub(crate) use import::wins;
pub use import::{Imported, MessageImport};
pub use object::{Message, MessageDraft};
pub(crate) use object::{not_found, search_key};
pub use transfer::Transferred;
