//! Attachments on disk: one encoded value a message, embedded messages inside it.
//!
//! ```text
//! attachments := varint attachment*          the varint counts them
//! attachment  := bag data                    bag: varint length, encoded properties
//! data        := 00                          none, or in the properties
//!              | 01 varint varint*           a part of the message's source: how many indexes, the indexes
//!              | 02 varint message           an embedded message: its length in bytes
//! message     := bag varint recipients attachments    recipients: length, encoded bags; named properties
//!                                            are in the bag, under the store's ids
//! ```

use ringpost_convert::message::{AttachmentContent, AttachmentData, MessageContent};
use ringpost_mapi::{
    CodecError, Reader,
    codec::{decode_bag, decode_bags, encode_bag, encode_bags},
};

/// How deep messages may be embedded in one another. Each level is a level of the coroutine's stack.
pub(crate) const MAX_EMBEDDED_DEPTH: usize = 64;
/// How many attachments a message may have.
pub(crate) const MAX_ATTACHMENTS: u64 = 1 << 16;
/// Indexes of a part: deeper than any message that the parser reads.
const MAX_PART_DEPTH: u64 = 1 << 10;

const NONE: u8 = 0;
const PART: u8 = 1;
const EMBEDDED: u8 = 2;

/// Encodes attachments.
pub(crate) fn encode_attachments(attachments: &[AttachmentContent]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    write_attachments(attachments, 0, &mut out)?;
    Ok(out)
}

/// Decodes attachments.
pub(crate) fn decode_attachments(bytes: &[u8]) -> Result<Vec<AttachmentContent>, CodecError> {
    let mut reader = Reader::new(bytes);
    let attachments = read_attachments(&mut reader, 0)?;
    reader.finish("attachments")?;
    Ok(attachments)
}

fn write_attachments(
    attachments: &[AttachmentContent],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    if depth > MAX_EMBEDDED_DEPTH {
        return Err(CodecError::OverLimit("embedded messages"));
    }
    if attachments.len() as u64 > MAX_ATTACHMENTS {
        return Err(CodecError::OverLimit("attachments"));
    }
    ringpost_mapi::reader::write_varint(out, attachments.len() as u64);
    for attachment in attachments {
        write_prefixed(&encode_bag(&attachment.properties), out);
        match &attachment.data {
            AttachmentData::None => out.push(NONE),
            AttachmentData::Part(path) => {
                out.push(PART);
                ringpost_mapi::reader::write_varint(out, path.len() as u64);
                for index in path {
                    ringpost_mapi::reader::write_varint(out, u64::from(*index));
                }
            }
            AttachmentData::Embedded(message) => {
                out.push(EMBEDDED);
                let mut inner = Vec::new();
                write_message(message, depth + 1, &mut inner)?;
                write_prefixed(&inner, out);
            }
        }
    }
    Ok(())
}

fn write_message(message: &MessageContent, depth: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    write_prefixed(&encode_bag(&message.properties), out);
    write_prefixed(&encode_bags(&message.recipients), out);
    write_attachments(&message.attachments, depth, out)
}

fn read_attachments(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<AttachmentContent>, CodecError> {
    if depth > MAX_EMBEDDED_DEPTH {
        return Err(CodecError::OverLimit("embedded messages"));
    }
    let count = reader.varint("attachments")?;
    if count > MAX_ATTACHMENTS {
        return Err(CodecError::OverLimit("attachments"));
    }
    let mut attachments = Vec::with_capacity((count as usize).min(reader.remaining()));
    for _ in 0..count {
        let properties = decode_bag(reader.prefixed("attachment")?)?;
        let data = match reader.u8("attachment")? {
            NONE => AttachmentData::None,
            PART => {
                let length = reader.varint("part of an attachment")?;
                if length > MAX_PART_DEPTH {
                    return Err(CodecError::OverLimit("part of an attachment"));
                }
                let index = |_| {
                    let index = reader.varint("part of an attachment")?;
                    u16::try_from(index).map_err(|_| CodecError::Invalid("part of an attachment"))
                };
                AttachmentData::Part((0..length).map(index).collect::<Result<_, _>>()?)
            }
            EMBEDDED => {
                let mut inner = Reader::new(reader.prefixed("embedded message")?);
                let message = MessageContent {
                    properties: decode_bag(inner.prefixed("embedded message")?)?,
                    named: Vec::new(),
                    recipients: decode_bags(inner.prefixed("embedded message")?)?,
                    attachments: read_attachments(&mut inner, depth + 1)?,
                };
                inner.finish("embedded message")?;
                AttachmentData::Embedded(Box::new(message))
            }
            _ => return Err(CodecError::Invalid("attachment")),
        };
        attachments.push(AttachmentContent { properties, data });
    }
    Ok(attachments)
}

fn write_prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    ringpost_mapi::reader::write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<AttachmentContent> {
        let mut message = MessageContent::default();
        for level in 0..depth {
            message = MessageContent {
                attachments: vec![
                    AttachmentContent {
                        data: AttachmentData::Embedded(Box::new(message)),
                        ..AttachmentContent::default()
                    },
                    AttachmentContent {
                        data: AttachmentData::Part(vec![level as u16, 300]),
                        ..AttachmentContent::default()
                    },
                ],
                ..MessageContent::default()
            };
        }
        message.attachments
    }

    #[test]
    fn embedded_messages_round_trip_up_to_the_limit() {
        let deepest = nested(MAX_EMBEDDED_DEPTH);
        let encoded = encode_attachments(&deepest).unwrap();
        assert_eq!(decode_attachments(&encoded).unwrap(), deepest);
        assert_eq!(
            encode_attachments(&nested(MAX_EMBEDDED_DEPTH + 2)),
            Err(CodecError::OverLimit("embedded messages"))
        );
    }

    #[test]
    fn damage_is_an_error() {
        let encoded = encode_attachments(&nested(2)).unwrap();
        for cut in 0..encoded.len() {
            assert!(decode_attachments(&encoded[..cut]).is_err(), "cut at {cut}");
        }
        assert!(decode_attachments(&[1, 0, 9]).is_err(), "unknown kind of data");
        assert!(
            decode_attachments(&[0xff, 0xff, 0xff, 0x7f]).is_err(),
            "more than the limit"
        );
    }
}
