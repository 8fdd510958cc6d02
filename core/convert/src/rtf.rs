//! Rich Text Format as Outlook uses it for bodies.
//!
//! ```text
//! PidTagRtfCompressed ─► compressed ─► RTF ─► tokens ─► reader ─┬─► the HTML or text that it encapsulates
//!                                                              ├─► plain text
//! HTML, text ─► writer ─► RTF ─► compressed                    └─► HTML, where it was written as RTF
//! ```
//!
//! - [`compressed`]: the compression of `PidTagRtfCompressed` (MS-OXRTFCP).
//! - [`tokens`]: groups, control words, text; [`reader`]: what they say.
//! - [`extract`]: from RTF to HTML and plain text (MS-OXRTFEX 2.2.3); [`writer`]: the other way (2.2.2).

pub mod compressed;
pub mod extract;
pub mod reader;
pub mod tokens;
pub mod writer;
