//! Conversions between Internet mail (RFC 5322, MIME) and MAPI objects (MS-OXCMAIL).
//!
//! - [`structure`]: where the parts of a message are and what its header says; all that IMAP's ENVELOPE,
//!   BODYSTRUCTURE and `BODY[…]` need. Computed once at delivery, kept encoded beside the message.
//! - [`header`] and [`body`]: what header fields and bodies mean, without their encodings.
//! - [`html`] and [`rtf`]: the other forms of bodies, each into the others; [`bodies`]: whichever is asked for.
//! - [`message`]: a message as MAPI objects; [`mime_to_mapi`]: how one comes from Internet mail; [`mapi_to_mime`]: how
//!   one that was composed becomes it. Bodies and attachments aren't copied: they name parts of the source.
//! - [`tnef`]: MAPI messages as one stream; [`mbox`]: several messages as one file.
//!
//! Everything here is a pure function of bytes from outside: nothing fails, nothing panics, work and memory
//! are linear to the input, and every count and depth has a named limit.
//!
//! # What there is
//!
//! "Generated" are messages that `tests/generator` makes of a seed: 300 in each run of a test, as many as
//! `RINGPOST_MESSAGES` says from `RINGPOST_SEED` on. "Corpora" are the real ones in `../shared/corpora`.
//!
//! | direction, feature | state | test |
//! |---|---|---|
//! | MIME → MAPI: header, people, classes | all of MS-OXCMAIL 2.2.3.1 and 2.2.3.2 | `mime_to_mapi/tests.rs`, `generated.rs` `what_mail_means_is_found` |
//! | MIME → MAPI: bodies, attachments, embedded messages | aggregate bodies too | the same; `corpora.rs` against Python |
//! | MAPI → MIME | what MS-OXCMAIL 2.1 maps | `mapi_to_mime/tests.rs`, `generated.rs` `what_is_composed_comes_back` |
//! | MIME → MAPI → MIME | what was kept means the same | `mapi_to_mime.rs` (corpora), `generated.rs` `mail_comes_back`, `python_accepts_and_reads_the_same` |
//! | what is written is well-formed | Python's default policy has no defects, rspamd no symbols for malformed mail | `defects.py`, `rspamd.py` |
//! | broken mail: 8-bit, wrong encodings, no MIME-Version, boundaries | read as most readers do | `monsters.rs`, `properties.rs`, `generated.rs` (22 ways to break a message) |
//! | charsets | the web's and all of Python's | `core/mapi/tests/charsets.rs`, every byte or character against Python |
//! | bodies from each other on demand | text, HTML, RTF | `bodies.rs` |
//! | RTF compression | both ways | `rtf/compressed.rs` |
//! | HTML in RTF (MS-OXRTFEX) | both ways, whole | `rtf/writer.rs`, `rtf/extract.rs`; `tests/rtf.rs` against unrtf |
//! | TNEF | both ways, nothing lost; see [`tnef`] for attributes of before MAPI | `tnef/tests.rs`, `generated.rs` `tnef_keeps_everything`; `tests/tnef.rs` against tnef, ytnef and the corpora's lists |
//! | `winmail.dat` in mail | opened: its properties, body and attachments; the header of the mail counts | `mime_to_mapi/winmail.rs` |
//! | delivery and read reports | both ways, as REPORT.* | both `report.rs`, `generated.rs`; `defects.py`: Python's multipart/report, and what RFC 3464 and 8098 ask for |
//! | S/MIME and OpenPGP, signed or encrypted | byte for byte, where they are the whole message; the bytes of a signed part inside another multipart are only in the source | `generated.rs` `mail_comes_back` |
//! | calendar parts | kept as attachments, and beside the bodies again when written; objects of them are not made yet | `generated.rs` |
//! | contacts, tasks | attachments only | |
//!
//! # For tools
//!
//! What `gromox-exm2eml`, `-exm2tnef`, `-eml2mt`, `-mbox2mt` and `-tnef2mt` convert are single calls:
//!
//! ```
//! use ringpost_convert::{mapi_to_mime, mbox, message::from_mime, mime_to_mapi, structure::Structure, tnef};
//! use ringpost_mapi::{FileTime, tags};
//!
//! // eml2mt: mail as MAPI objects. Bodies and attachments are asked for by `bodies` and `part_data`.
//! let mail = b"From: a@example.test\r\nSubject: Plans\r\n\r\nText\r\n";
//! let structure = Structure::of(mail);
//! let content = from_mime(mail, &structure);
//! assert_eq!(content.properties.string(tags::SUBJECT), Some("Plans"));
//!
//! // mbox2mt: the messages of an mbox, each like the one above.
//! let mut file = Vec::new();
//! mbox::append(&mut file, mail, FileTime::from_unix_seconds(0));
//! assert_eq!(mbox::messages(&file).count(), 1);
//!
//! // exm2tnef, with the parts of the source that attachments are; `write_with` takes a store's ids for names.
//! let mut part = |path: &[u16]| mime_to_mapi::part_data(mail, &structure, path).map(|data| data.into_owned());
//! let stream = tnef::write(&content, &mut part)?;
//!
//! // tnef2mt; `read_with` gives the ids of a store.
//! let decoded = tnef::read(&stream)?;
//! assert_eq!(decoded.message.properties.string(tags::SUBJECT), Some("Plans"));
//!
//! // exm2eml, of a message without a source.
//! let options = mapi_to_mime::Options {
//!     message_id: "<1@example.test>",
//!     now: FileTime::from_unix_seconds(0),
//!     show_bcc: true,
//! };
//! let written = mapi_to_mime::to_mime(&decoded.message, &options, &mut |_| None);
//! assert!(written.starts_with(b"From: a@example.test\r\nSubject: Plans\r\n"));
//! # Ok::<(), tnef::TnefError>(())
//! ```

pub mod bodies;
pub mod body;
pub mod header;
pub mod html;
pub mod mapi_to_mime;
pub mod mbox;
pub mod message;
pub mod mime_to_mapi;
pub mod rtf;
pub mod structure;
pub mod tnef;
