//! Conversions between Internet mail (RFC 5322, MIME) and MAPI objects (MS-OXCMAIL).
//!
//! - [`structure`]: where the parts of a message are and what its header says; all that IMAP's ENVELOPE,
//!   BODYSTRUCTURE and `BODY[…]` need. Computed once at delivery, kept encoded beside the message.
//! - [`header`] and [`body`]: what header fields and bodies mean, without their encodings.
//! - [`html`] and [`rtf`]: the other forms of bodies, each into the others; [`tnef`]: MAPI messages as one stream.
//! - [`message`]: a message as MAPI objects; [`mime_to_mapi`]: how one comes from Internet mail; [`mapi_to_mime`]: how
//!   one that was composed becomes it. Bodies and
//!   attachments aren't copied: they name parts of the source.
//!
//! Everything here is a pure function of bytes from outside: nothing fails, nothing panics, work and memory
//! are linear to the input, and every count and depth has a named limit.

pub mod body;
pub mod header;
pub mod html;
pub mod mapi_to_mime;
pub mod message;
pub mod mime_to_mapi;
pub mod rtf;
pub mod structure;
pub mod tnef;
