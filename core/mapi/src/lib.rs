//! The MAPI model, without I/O: what every protocol and the store agree on.
//!
//! What things are:
//! - [`ids`]: the identifiers of mailboxes, folders, messages and changes. They are types, so that two
//!   64-bit numbers can't be confused. [`entryid`] are the forms that leave the store.
//! - [`property`]: property tags, types, values and bags (MS-OXCDATA 2.8, 2.9, 2.11). [`tags`] and [`named`]
//!   are the tables of well-known ones.
//! - [`change`] and [`idset`]: which version of an object is newer, and sets of ids and changes (MS-OXCFXICS).
//! - [`restriction`], [`sort`], [`rule_action`], [`rights`]: conditions, orders, what rules do, who may what.
//! - [`collation`]: how values compare, everywhere; [`calendar`]: days as dates.
//!
//! How they are written:
//! - [`wire`]: values as protocols write them; [`code_page`] and [`charset`]: 8-bit strings, by number and by name.
//! - [`codec`]: bags of properties as the store keeps them on disk.
//! - [`reader`]: reading bytes from outside without overrunning, and the codecs' errors.
//!
//! Data flows through here as plain values: a protocol's codec turns bytes into these types once, at the
//! edge, and the store turns them into columns and encoded values.

pub mod calendar;
pub mod change;
pub mod charset;
pub mod code_page;
pub mod codec;
pub mod collation;
pub mod entryid;
pub mod ids;
pub mod idset;
pub mod named;
pub mod property;
pub mod reader;
pub mod restriction;
pub mod rights;
pub mod rule_action;
pub mod sort;
pub mod tags;
pub mod wire;

pub use ids::*;
pub use property::*;
pub use reader::{CodecError, Reader};
pub use restriction::Restriction;
pub use wire::WireFormat;
