//! A message on its way: its envelope (RFC 5321, with what RFC 3461, 3030, 6152 and 6531 add) and its content.

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// Recipients that one message in the queue may have.
pub const QUEUED_RECIPIENTS_MAX: usize = 20_000;

/// What MAIL said: the part of an envelope that is the same for all recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The reverse-path without its brackets; empty for `<>`: nobody is told of a failure then.
    pub sender: String,
    /// BODY: what the content may hold.
    pub body: BodyKind,
    /// SMTPUTF8: addresses or header fields have UTF-8.
    pub utf8: bool,
    /// RET: how much of the message a report of failure gives back; unsaid, the reporter decides.
    pub return_content: Option<ReturnContent>,
    /// ENVID, with its xtext decoded.
    pub envelope_id: Option<String>,
}

/// What RCPT said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EnvelopeRecipient {
    /// The forward-path without its brackets.
    pub address: String,
    /// NOTIFY
    pub notify: Notify,
    /// ORCPT: type and address as `rfc822;alice@example.test`, with its xtext decoded.
    pub original: Option<String>,
}

impl EnvelopeRecipient {
    /// A recipient without parameters.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            ..Self::default()
        }
    }
}

/// What a message's content may hold (RFC 6152, RFC 3030).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// 7BIT: ASCII in lines. What a client means that says nothing.
    #[default]
    SevenBit,
    /// 8BITMIME: any bytes in lines.
    EightBit,
    /// BINARYMIME: any bytes.
    Binary,
}

/// RET of RFC 3461 §4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReturnContent {
    /// The whole message.
    Full,
    /// Its header only.
    Headers,
}

/// NOTIFY of RFC 3461 §4.1: of what the sender wants to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Notify {
    /// NEVER
    Never,
    /// What was named of SUCCESS, FAILURE, DELAY.
    On {
        /// SUCCESS
        success: bool,
        /// FAILURE
        failure: bool,
        /// DELAY
        delay: bool,
    },
    /// Unsaid: failures, and delays as the server likes.
    #[default]
    Default,
}

impl Notify {
    /// Whether a failure is told.
    pub fn failure(self) -> bool {
        matches!(self, Self::Default | Self::On { failure: true, .. })
    }

    /// Whether a delay is told.
    pub fn delay(self) -> bool {
        matches!(self, Self::Default | Self::On { delay: true, .. })
    }

    /// Whether a delivery is told.
    pub fn success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

/// A message for the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The same for all recipients.
    pub envelope: Envelope,
    /// At least one, at most [`QUEUED_RECIPIENTS_MAX`]. Those of this server's domains are delivered to their
    /// mailboxes when their turn comes, all others are sent on.
    pub recipients: Vec<EnvelopeRecipient>,
    /// Header and body, lines ended by CRLF, without dots stuffed. `Received` fields stand in front already;
    /// `Return-Path` does not (RFC 5321 §4.4: the last server adds it).
    pub content: Bytes,
}

/// Names a message in the queue, in logs and in the reply to its client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueueId(pub u64);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}", self.0)
    }
}

impl FromStr for QueueId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}
