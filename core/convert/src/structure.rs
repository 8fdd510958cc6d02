//! The structure of a message: its MIME parts as ranges of the source, and its envelope.

use std::ops::Range;

/// What is known of a message's source without reading it again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Structure {
    /// The envelope of RFC 9051 §7.5.2.
    pub envelope: Envelope,
    /// The message's own body; its `header` is the message header.
    pub root: Part,
}

/// Header fields of a message as IMAP's ENVELOPE shows them: raw (encoded words stay encoded), unfolded.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Envelope {
    /// `Date:`
    pub date: Option<Vec<u8>>,
    /// `Subject:`
    pub subject: Option<Vec<u8>>,
    /// `From:`
    pub from: Vec<Address>,
    /// `Sender:` (the same as `from` where the header has none)
    pub sender: Vec<Address>,
    /// `Reply-To:` (the same as `from` where the header has none)
    pub reply_to: Vec<Address>,
    /// `To:`
    pub to: Vec<Address>,
    /// `Cc:`
    pub cc: Vec<Address>,
    /// `Bcc:`
    pub bcc: Vec<Address>,
    /// `In-Reply-To:`
    pub in_reply_to: Option<Vec<u8>>,
    /// `Message-ID:`
    pub message_id: Option<Vec<u8>>,
    /// `References:`, raw; not shown in ENVELOPE but needed by THREAD.
    pub references: Option<Vec<u8>>,
}

/// One address of an envelope; a group's start has no `host`, its end neither `mailbox` nor `host`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Address {
    /// Display name, raw.
    pub name: Option<Vec<u8>>,
    /// Local part, or the group's name.
    pub mailbox: Option<Vec<u8>>,
    /// Domain.
    pub host: Option<Vec<u8>>,
}

/// A MIME part. Ranges are byte offsets into the source of the whole message.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Part {
    /// The part's header with its closing empty line; the message's for the root.
    pub header: Range<u64>,
    /// The part's body, still in its transfer encoding.
    pub body: Range<u64>,
    /// Lines in `body`.
    pub lines: u64,
    /// Media type, lower case: `text`.
    pub media_type: Vec<u8>,
    /// Media subtype, lower case: `plain`.
    pub media_subtype: Vec<u8>,
    /// Parameters of `Content-Type`, names lower case, values raw (RFC 2231 joined and decoded).
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// `Content-ID:`
    pub id: Option<Vec<u8>>,
    /// `Content-Description:`
    pub description: Option<Vec<u8>>,
    /// `Content-Transfer-Encoding:`, lower case; empty means `7bit`.
    pub encoding: Vec<u8>,
    /// `Content-MD5:`
    pub md5: Option<Vec<u8>>,
    /// `Content-Disposition:` and its parameters.
    pub disposition: Option<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>)>,
    /// `Content-Language:`
    pub language: Vec<Vec<u8>>,
    /// `Content-Location:`
    pub location: Option<Vec<u8>>,
    /// What is inside.
    pub children: Children,
}

/// What a part contains.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Children {
    /// Nothing: a leaf.
    #[default]
    None,
    /// The parts of a `multipart/*`.
    Multipart(Vec<Part>),
    /// The message of a `message/rfc822` or `message/global`.
    Message(Box<Structure>),
}

impl Structure {
    /// Finds the structure of `source`. Never fails: what can't be understood is a `text/plain` leaf.
    pub fn of(source: &[u8]) -> Self {
        let _ = source;
        Self::default()
    }

    /// The compact form that the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Reads [`Self::encode`]'s form; `None` when it is damaged.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let _ = encoded;
        None
    }
}
