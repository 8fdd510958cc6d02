//! IMAP.
mod limits;
#[allow(dead_code)]
mod syntax;
