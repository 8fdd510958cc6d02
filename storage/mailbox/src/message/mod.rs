//! Messages as MAPI objects (MS-OXCMSG).

pub(crate) mod columns;
pub(crate) mod encoding;
pub(crate) mod removal;
pub(crate) mod tags;
