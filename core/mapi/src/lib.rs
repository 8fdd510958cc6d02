//! The MAPI model, without I/O: what every protocol and the store agree on.
//!
//! - [`ids`]: the identifiers of mailboxes, folders, messages and changes. They are types, so that two
//!   64-bit numbers can't be confused.
//! - [`property`]: property tags, types, values and bags (MS-OXCDATA 2.8, 2.9, 2.11).
//! - [`codec`]: bags of properties as the store keeps them on disk.
//! - [`reader`]: reading bytes from outside without overrunning, and the codecs' errors.
//!
//! Data flows through here as plain values: a protocol's codec turns bytes into these types once, at the
//! edge, and the store turns them into columns and encoded values.

pub mod codec;
pub mod ids;
pub mod property;
pub mod reader;

pub use ids::*;
pub use property::*;
pub use reader::{CodecError, Reader};
