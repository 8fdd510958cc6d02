//! Conversions between Internet mail (RFC 5322, MIME) and MAPI objects (MS-OXCMAIL).
//!
//! - [`structure`]: where the parts of a message are and what its header says; all that IMAP's ENVELOPE,
//!   BODYSTRUCTURE and `BODY[…]` need. Computed once at delivery, kept encoded beside the message.

pub mod message;
pub mod structure;
