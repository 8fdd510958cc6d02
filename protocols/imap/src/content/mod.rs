//! What is inside a message's source: transfer encodings, header fields, text to search.

pub(crate) mod header;
pub(crate) mod matcher;
pub(crate) mod transfer;
