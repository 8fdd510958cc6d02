//! IMAP.
#[allow(dead_code)]
mod content;
#[allow(dead_code)]
mod encode;
#[allow(dead_code)]
mod limits;
#[allow(dead_code)]
mod structure;
#[allow(dead_code)]
mod syntax;
