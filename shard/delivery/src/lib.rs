//! Local delivery: from an envelope and a message's source to durable messages in mailboxes.
//!
//! ```text
//! RCPT ─► resolve() ─► Recipient { mailboxes }            a refusal is the reply to RCPT
//! DATA ─► trace::header() + content ─► deliver()
//!           │ loop check, junk rules (header only)
//!           │ PreparedMessage::new: parsed, hashed and compressed once, on a helper thread when large
//!           ├ one durable call a mailbox, a bounded number at a time ─► one Outcome a recipient
//!           ├ one entry in the queue for all addresses elsewhere (contacts, forwards, members of groups)
//!           └ an out-of-office answer of a mailbox that wants one, into the queue (autoreply.rs)
//! ```
//!
//! Every mailbox is stored into once for a message, however many recipients lead to it. The source is the
//! same for all of them (see [`trace`]), so one value is shared between cores and the parse is paid once.
//! A mailbox that is full, by its account's quota in the directory or its own, refuses for its recipient alone.
//!
//! Cost of a message to *n* mailboxes: one parse and compression, *n* router calls of one transaction each,
//! and the syncs of those mailboxes, which the runtime shares and overlaps.

use std::time::Duration;

use ringpost_config::{
    Configuration,
    directive::{exmdb_provider, gromox, ringpost, smtp},
};

mod autoreply;
mod deliver;
mod header;
mod junk;
mod quota;
mod resolve;
mod status;
pub mod trace;

pub use deliver::{Before, Message, deliver};
pub use junk::JunkRules;
pub use resolve::{Recipient, account_of, resolve};
pub use status::{Status, Undeliverable};

/// Most mailboxes one message may go to, groups expanded. A larger group is refused.
pub const MAILBOXES_MAX: usize = 20_000;
/// Most accounts looked at to expand one recipient: bounds the work of nested groups.
pub const EXPANSION_MAX: usize = 50_000;
/// Mailboxes of one message that are stored into at the same time.
pub const CONCURRENT_MAILBOXES: usize = 64;
/// Sources from this size on are parsed and compressed on a helper thread: the work passes a millisecond.
pub const HELPER_THRESHOLD_BYTES: usize = 64 * 1024;
/// Most `Received` fields a message may come with (RFC 5321 §6.3 asks for at least 100).
pub const HOPS_MAX: usize = 100;
/// How often a recipient's own address may stand in `Delivered-To` already: the mail server in front and
/// this one may each have added it once when a message comes round for the second time.
pub const DELIVERED_TO_MAX: usize = 2;

/// Options of delivery(8gx), delivery-queue(8gx) and gromox.cfg(5) that delivery follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `lda_recipient_delimiter`: characters that separate the local part from its extension.
    pub recipient_delimiter: String,
    /// `lda_junk_rules`
    pub junk_rules: JunkRules,
    /// `junk_folder`: where junk goes, as a path below the folders that IMAP shows; empty or missing is the junk
    /// folder that every mailbox has.
    pub junk_folder: String,
    /// `quota_warning_interval`: how often an account is told that its mailbox is almost full; zero is never.
    pub quota_warning_interval: Duration,
    /// Zstandard level for content (`exmdb_file_compression`); `None` stores it uncompressed.
    pub compression_level: Option<i32>,
    /// Who receives mail for `<Postmaster>` without a domain (RFC 5321 §4.5.1): `bounce_postmaster` with its
    /// domain completed.
    pub postmaster: Option<String>,
    /// Whether a full mailbox is reported as a condition that may pass (452 4.2.2), so that the sender's
    /// server keeps trying, and not as a failure (552 5.2.2).
    pub over_quota_is_temporary: bool,
    /// Whether mail for contacts, forwards and members elsewhere leaves this server, through the queue; else
    /// such a recipient is refused.
    pub sends_out: bool,
    /// `autoreply_silence_window`: a correspondent gets one out-of-office answer of a mailbox within this time.
    pub autoreply_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recipient_delimiter: String::new(),
            junk_rules: JunkRules::default(),
            junk_folder: String::new(),
            quota_warning_interval: Duration::from_hours(24),
            compression_level: Some(3),
            postmaster: None,
            over_quota_is_temporary: false,
            sends_out: false,
            autoreply_window: Duration::from_hours(24),
        }
    }
}

impl Options {
    /// The options in effect.
    pub fn of(configuration: &Configuration) -> Self {
        let postmaster = configuration.text(gromox::BOUNCE_POSTMASTER);
        let postmaster = match postmaster.strip_suffix('@') {
            Some(local) => format!("{local}@{}", configuration.text(smtp::HOST_ID)),
            None => postmaster.to_owned(),
        };
        Self {
            recipient_delimiter: configuration.text(gromox::LDA_RECIPIENT_DELIMITER).to_owned(),
            junk_rules: JunkRules::parse(configuration.text(gromox::LDA_JUNK_RULES)),
            junk_folder: configuration.text(ringpost::JUNK_FOLDER).to_owned(),
            quota_warning_interval: configuration.duration(ringpost::QUOTA_WARNING_INTERVAL),
            compression_level: configuration.compression(exmdb_provider::EXMDB_FILE_COMPRESSION),
            postmaster: (!postmaster.is_empty()).then_some(postmaster),
            over_quota_is_temporary: false,
            sends_out: true,
            autoreply_window: configuration.duration(gromox::AUTOREPLY_SILENCE_WINDOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_from_the_configuration() {
        let options = Options::of(&Configuration::defaults("mx.example.test"));
        assert_eq!(options.postmaster.as_deref(), Some("postmaster@mx.example.test"));
        assert_eq!(
            (options.recipient_delimiter.as_str(), options.compression_level),
            ("", Some(6))
        );
        assert_eq!(options.junk_rules, JunkRules::default());
        let (configuration, _) = Configuration::from_text(
            "lda_recipient_delimiter=+\nlda_junk_rules=X-S=1\nbounce_postmaster=p@q",
        );
        let options = Options::of(&configuration);
        assert_eq!(
            (
                options.recipient_delimiter.as_str(),
                options.postmaster.as_deref()
            ),
            ("+", Some("p@q"))
        );
        assert_eq!(options.junk_rules, JunkRules::parse("X-S=1"));
    }
}
