//! A message as MAPI objects, before a store gave it identifiers.

use ringpost_mapi::{PropValue, PropertyBag, named::PropertyName};

pub use crate::mime_to_mapi::from_mime;

/// A message object (MS-OXCMSG) built from, or to be turned into, Internet mail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageContent {
    /// The message's own properties; bodies are absent where they are derived from a source.
    pub properties: PropertyBag,
    /// Named properties, which get their ids from the store.
    pub named: Vec<(PropertyName, PropValue)>,
    /// Recipient table rows, in order.
    pub recipients: Vec<PropertyBag>,
    /// Attachments, in order; their number is their index.
    pub attachments: Vec<AttachmentContent>,
}

/// An attachment object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttachmentContent {
    /// The attachment's properties; `PidTagAttachDataBinary` is absent where `data` says where it is.
    pub properties: PropertyBag,
    /// Where the attachment's bytes are.
    pub data: AttachmentData,
}

/// Where the bytes of an attachment are.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AttachmentData {
    /// There are none, or they are in the properties.
    #[default]
    None,
    /// The decoded body of this MIME part of the message's source, as [`crate::mime_to_mapi::part_data`] gives
    /// it: indexes from the root, counted from 0; an empty path is the root.
    Part(Vec<u16>),
    /// An embedded message; it may itself refer to parts of the outer source.
    Embedded(Box<MessageContent>),
}
