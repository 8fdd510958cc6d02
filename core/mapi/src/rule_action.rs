//! What rules do with a message (MS-OXORULE 2.2.5).

use crate::{
    CodecError, Guid, PropType, Reader, WireFormat,
    entryid::{decode_replica_id, encode_replica_id},
    restriction::TaggedValue,
};

/// The most actions of a rule.
pub const MAX_ACTIONS: usize = 256;
/// The most recipients of a forward or delegate action.
pub const MAX_RECIPIENTS: usize = 1024;
/// The most properties of such a recipient.
pub const MAX_RECIPIENT_PROPERTIES: usize = 256;

/// The actions of a rule, in the order they are done.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RuleActions(pub Vec<ActionBlock>);

/// One action with its flags.
#[derive(Clone, PartialEq, Debug)]
pub struct ActionBlock {
    /// How a reply or forward is made (2.2.5.1.1).
    pub flavor: u32,
    /// Flags of the client's own.
    pub flags: u32,
    /// What is done.
    pub action: RuleAction,
}

/// What is done with the message (2.2.5.1.2).
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // The specification's names; what the fields are is said at their types.
pub enum RuleAction {
    Move(FolderTarget),
    Copy(FolderTarget),
    Reply(ReplyTemplate),
    OutOfOfficeReply(ReplyTemplate),
    /// Left to the client, with data that only it knows.
    Defer(Vec<u8>),
    /// Refused, with this reason.
    Bounce(u32),
    Forward(Vec<Vec<TaggedValue>>),
    Delegate(Vec<Vec<TaggedValue>>),
    /// Sets a property.
    Tag(TaggedValue),
    Delete,
    MarkAsRead,
}

/// Where a message is moved or copied to (2.2.5.1.2.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderTarget {
    /// Whether the folder is in the rule's own store. Extended rules don't say, and know other stores only.
    pub in_this_store: bool,
    /// The store's entry id; means nothing for a folder of the own store.
    pub store: Vec<u8>,
    /// The folder's entry id; in the own store a server id ([`crate::entryid::ServerId`]).
    pub folder: Vec<u8>,
}

/// The message that a reply is made from (2.2.5.1.2.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplyTemplate {
    /// Which message it is.
    pub message: TemplateMessage,
    /// The template's GUID.
    pub guid: Guid,
}

/// How a rule names its template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TemplateMessage {
    /// By ids: the folder's and the message's.
    Ids(u64, u64),
    /// By entry id, in extended rules.
    EntryId(Vec<u8>),
}

impl RuleActions {
    /// The actions that are all of `bytes`.
    pub fn decode(bytes: &[u8], format: WireFormat) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let actions = Self::read(&mut reader, format)?;
        reader.finish(ACTION)?;
        Ok(actions)
    }

    /// Their bytes.
    pub fn encode(&self, format: WireFormat) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        self.write(&mut out, format)?;
        Ok(out)
    }

    /// Reads a `RuleAction` structure.
    pub fn read(reader: &mut Reader<'_>, format: WireFormat) -> Result<Self, CodecError> {
        let count = format.read_count(reader)?;
        if count > MAX_ACTIONS {
            return Err(CodecError::OverLimit("actions of a rule"));
        }
        let mut actions = Vec::new();
        for _ in 0..count {
            let length = format.read_count(reader)?;
            let mut block = Reader::new(reader.take(length, ACTION)?);
            actions.push(ActionBlock::read(&mut block, format)?);
            block.finish(ACTION)?;
        }
        Ok(Self(actions))
    }

    /// Appends the structure.
    pub fn write(&self, out: &mut Vec<u8>, format: WireFormat) -> Result<(), CodecError> {
        format.write_count(out, self.0.len())?;
        for action in &self.0 {
            let mut block = Vec::new();
            action.write(&mut block, format)?;
            format.write_count(out, block.len())?;
            out.extend_from_slice(&block);
        }
        Ok(())
    }
}

impl ActionBlock {
    fn read(reader: &mut Reader<'_>, format: WireFormat) -> Result<Self, CodecError> {
        let kind = reader.u8(ACTION)?;
        let flavor = reader.u32(ACTION)?;
        let flags = reader.u32(ACTION)?;
        let action = match kind {
            MOVE => RuleAction::Move(FolderTarget::read(reader, format)?),
            COPY => RuleAction::Copy(FolderTarget::read(reader, format)?),
            REPLY => RuleAction::Reply(ReplyTemplate::read(reader, format)?),
            OUT_OF_OFFICE_REPLY => RuleAction::OutOfOfficeReply(ReplyTemplate::read(reader, format)?),
            DEFER => RuleAction::Defer(reader.take(reader.remaining(), ACTION)?.to_vec()),
            BOUNCE => RuleAction::Bounce(reader.u32(ACTION)?),
            FORWARD => RuleAction::Forward(read_recipients(reader, format)?),
            DELEGATE => RuleAction::Delegate(read_recipients(reader, format)?),
            TAG => RuleAction::Tag(read_value(reader, format)?),
            DELETE => RuleAction::Delete,
            MARK_AS_READ => RuleAction::MarkAsRead,
            _ => return Err(CodecError::Invalid("action type")),
        };
        Ok(Self {
            flavor,
            flags,
            action,
        })
    }

    fn write(&self, out: &mut Vec<u8>, format: WireFormat) -> Result<(), CodecError> {
        out.push(self.action.code());
        out.extend_from_slice(&self.flavor.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        match &self.action {
            RuleAction::Move(target) | RuleAction::Copy(target) => target.write(out, format),
            RuleAction::Reply(template) | RuleAction::OutOfOfficeReply(template) => {
                template.write(out, format)
            }
            RuleAction::Defer(data) => {
                out.extend_from_slice(data);
                Ok(())
            }
            RuleAction::Bounce(code) => {
                out.extend_from_slice(&code.to_le_bytes());
                Ok(())
            }
            RuleAction::Forward(recipients) | RuleAction::Delegate(recipients) => {
                write_recipients(recipients, out, format)
            }
            RuleAction::Tag(value) => format.write_tagged(out, value.tag, &value.value),
            RuleAction::Delete | RuleAction::MarkAsRead => Ok(()),
        }
    }
}

impl RuleAction {
    const fn code(&self) -> u8 {
        match self {
            Self::Move(_) => MOVE,
            Self::Copy(_) => COPY,
            Self::Reply(_) => REPLY,
            Self::OutOfOfficeReply(_) => OUT_OF_OFFICE_REPLY,
            Self::Defer(_) => DEFER,
            Self::Bounce(_) => BOUNCE,
            Self::Forward(_) => FORWARD,
            Self::Delegate(_) => DELEGATE,
            Self::Tag(_) => TAG,
            Self::Delete => DELETE,
            Self::MarkAsRead => MARK_AS_READ,
        }
    }
}

impl FolderTarget {
    fn read(reader: &mut Reader<'_>, format: WireFormat) -> Result<Self, CodecError> {
        let in_this_store = !format.wide_counts && reader.u8(ACTION)? != 0;
        let store = read_bytes(reader, format)?;
        let folder = read_bytes(reader, format)?;
        Ok(Self {
            in_this_store,
            store,
            folder,
        })
    }

    fn write(&self, out: &mut Vec<u8>, format: WireFormat) -> Result<(), CodecError> {
        if !format.wide_counts {
            out.push(u8::from(self.in_this_store));
        } else if self.in_this_store {
            return Err(CodecError::Invalid("extended rule's folder"));
        }
        write_bytes(out, &self.store, format)?;
        write_bytes(out, &self.folder, format)
    }
}

impl ReplyTemplate {
    fn read(reader: &mut Reader<'_>, format: WireFormat) -> Result<Self, CodecError> {
        let message = if format.wide_counts {
            TemplateMessage::EntryId(read_bytes(reader, format)?)
        } else {
            let folder = decode_replica_id(reader.array(ACTION)?);
            TemplateMessage::Ids(folder, decode_replica_id(reader.array(ACTION)?))
        };
        Ok(Self {
            message,
            guid: Guid(reader.array(ACTION)?),
        })
    }

    fn write(&self, out: &mut Vec<u8>, format: WireFormat) -> Result<(), CodecError> {
        match &self.message {
            TemplateMessage::EntryId(bytes) if format.wide_counts => write_bytes(out, bytes, format)?,
            TemplateMessage::Ids(folder, message) if !format.wide_counts => {
                out.extend_from_slice(&encode_replica_id(*folder));
                out.extend_from_slice(&encode_replica_id(*message));
            }
            _ => return Err(CodecError::Invalid("reply template")),
        }
        out.extend_from_slice(&self.guid.0);
        Ok(())
    }
}

// Types of actions (2.2.5.1).
const MOVE: u8 = 1;
const COPY: u8 = 2;
const REPLY: u8 = 3;
const OUT_OF_OFFICE_REPLY: u8 = 4;
const DEFER: u8 = 5;
const BOUNCE: u8 = 6;
const FORWARD: u8 = 7;
const DELEGATE: u8 = 8;
const TAG: u8 = 9;
const DELETE: u8 = 10;
const MARK_AS_READ: u8 = 11;
const ACTION: &str = "rule action";

fn read_bytes(reader: &mut Reader<'_>, format: WireFormat) -> Result<Vec<u8>, CodecError> {
    let size = format.read_count(reader)?;
    reader.take(size, ACTION).map(<[u8]>::to_vec)
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8], format: WireFormat) -> Result<(), CodecError> {
    format.write_count(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

/// A value of a simple type: conditions and actions nested in an action would escape their own limits.
fn read_value(reader: &mut Reader<'_>, format: WireFormat) -> Result<TaggedValue, CodecError> {
    let kind = PropType(reader.clone().u16(ACTION)?);
    if matches!(kind, PropType::RESTRICTION | PropType::RULE_ACTION) {
        return Err(CodecError::Invalid("value in an action"));
    }
    let (tag, value) = format.read_tagged(reader)?;
    Ok(TaggedValue { tag, value })
}

fn read_recipients(reader: &mut Reader<'_>, format: WireFormat) -> Result<Vec<Vec<TaggedValue>>, CodecError> {
    let count = format.read_count(reader)?;
    if count > MAX_RECIPIENTS {
        return Err(CodecError::OverLimit("recipients of an action"));
    }
    let mut recipients = Vec::new();
    for _ in 0..count {
        reader.u8(ACTION)?;
        let properties = format.read_count(reader)?;
        if properties > MAX_RECIPIENT_PROPERTIES {
            return Err(CodecError::OverLimit("properties of an action's recipient"));
        }
        recipients.push(
            (0..properties)
                .map(|_| read_value(reader, format))
                .collect::<Result<_, _>>()?,
        );
    }
    Ok(recipients)
}

fn write_recipients(
    recipients: &[Vec<TaggedValue>],
    out: &mut Vec<u8>,
    format: WireFormat,
) -> Result<(), CodecError> {
    format.write_count(out, recipients.len())?;
    for properties in recipients {
        // Reserved; always 1 (2.2.5.1.2.4.1).
        out.push(1);
        format.write_count(out, properties.len())?;
        for property in properties {
            format.write_tagged(out, property.tag, &property.value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FolderId, MessageId, PropValue, entryid::ServerId, tags};

    fn block(action: RuleAction) -> ActionBlock {
        ActionBlock {
            flavor: 0,
            flags: 0,
            action,
        }
    }

    fn common() -> Vec<ActionBlock> {
        let recipient = || {
            vec![
                TaggedValue {
                    tag: tags::DISPLAY_NAME,
                    value: PropValue::String("Bob".into()),
                },
                TaggedValue {
                    tag: tags::RECIPIENT_TYPE,
                    value: PropValue::Integer32(1),
                },
            ]
        };
        vec![
            block(RuleAction::Defer(vec![1, 2, 3])),
            block(RuleAction::Bounce(0x26)),
            ActionBlock {
                flavor: 3,
                flags: 7,
                action: RuleAction::Forward(vec![recipient(), recipient()]),
            },
            block(RuleAction::Delegate(vec![recipient()])),
            block(RuleAction::Tag(TaggedValue {
                tag: tags::IMPORTANCE,
                value: PropValue::Integer32(2),
            })),
            block(RuleAction::Delete),
            block(RuleAction::MarkAsRead),
        ]
    }

    fn standard() -> RuleActions {
        let folder = ServerId {
            folder: FolderId::own(0x100),
            message: MessageId(0),
            instance: 0,
        };
        let target = FolderTarget {
            in_this_store: true,
            store: vec![0],
            folder: folder.encode(),
        };
        let message = TemplateMessage::Ids(FolderId::own(13).0, MessageId::own(99).0);
        let template = ReplyTemplate {
            message,
            guid: Guid([8; 16]),
        };
        let mut actions = common();
        actions.push(block(RuleAction::Move(target.clone())));
        actions.push(block(RuleAction::Copy(target)));
        actions.push(block(RuleAction::Reply(template.clone())));
        actions.push(block(RuleAction::OutOfOfficeReply(template)));
        RuleActions(actions)
    }

    fn extended() -> RuleActions {
        let target = FolderTarget {
            in_this_store: false,
            store: vec![1; 40],
            folder: vec![2; 46],
        };
        let template = ReplyTemplate {
            message: TemplateMessage::EntryId(vec![3; 70]),
            guid: Guid([8; 16]),
        };
        let mut actions = common();
        actions.push(block(RuleAction::Move(target)));
        actions.push(block(RuleAction::Reply(template)));
        RuleActions(actions)
    }

    #[test]
    fn actions_round_trip() {
        for (actions, format) in [
            (standard(), WireFormat::ROP),
            (extended(), WireFormat::EXTENDED_RULE),
        ] {
            let bytes = actions.encode(format).unwrap();
            assert_eq!(RuleActions::decode(&bytes, format), Ok(actions));
            for end in 0..bytes.len() {
                assert!(
                    RuleActions::decode(&bytes[..end], format).is_err(),
                    "cut at {end}"
                );
            }
        }
    }

    #[test]
    fn an_action_has_its_wire_form() {
        let delete = RuleActions(vec![block(RuleAction::Delete)]);
        assert_eq!(
            delete.encode(WireFormat::ROP).unwrap(),
            [1, 0, 9, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            delete.encode(WireFormat::EXTENDED_RULE).unwrap()[..9],
            [1, 0, 0, 0, 9, 0, 0, 0, 10]
        );
    }

    #[test]
    fn malformed_actions_are_refused() {
        let decode = |bytes: &[u8]| RuleActions::decode(bytes, WireFormat::ROP);
        let one = |kind: u8, data: &[u8]| {
            let length = 9 + data.len() as u8;
            [&[1, 0, length, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0][..], data].concat()
        };
        assert_eq!(decode(&one(12, &[])), Err(CodecError::Invalid("action type")));
        assert_eq!(decode(&one(10, &[0])), Err(CodecError::TrailingBytes(ACTION)));
        assert_eq!(
            decode(&one(9, &[0xfe, 0, 0, 0])),
            Err(CodecError::Invalid("value in an action"))
        );
        let many = (MAX_ACTIONS as u16 + 1).to_le_bytes();
        assert_eq!(decode(&many), Err(CodecError::OverLimit("actions of a rule")));
        let many = (MAX_RECIPIENTS as u16 + 1).to_le_bytes();
        assert_eq!(
            decode(&one(7, &many)),
            Err(CodecError::OverLimit("recipients of an action"))
        );
        let many = [
            &[1, 0, 1][..],
            &(MAX_RECIPIENT_PROPERTIES as u16 + 1).to_le_bytes(),
        ]
        .concat();
        assert_eq!(
            decode(&one(7, &many)),
            Err(CodecError::OverLimit("properties of an action's recipient"))
        );
    }

    #[test]
    fn extended_rules_cannot_name_a_folder_of_the_own_store() {
        assert!(standard().encode(WireFormat::EXTENDED_RULE).is_err());
    }
}
