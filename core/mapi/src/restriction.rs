//! Restrictions: conditions on an object's properties (MS-OXCDATA 2.12), in tables, rules and search folders.
//!
//! [`Restriction::decode`] and [`Restriction::encode`] are the wire form; [`Restriction::matches`] evaluates
//! one against anything that yields properties. The store also compiles them to SQL, with the same answers.

use crate::{CodecError, PropTag, PropValue, Reader, WireFormat, tags};

mod evaluate;

pub use evaluate::{PropertySource, value_size};

/// The deepest nesting of restrictions.
pub const MAX_DEPTH: usize = 64;
/// The most restrictions in one, itself and the nested ones counted.
pub const MAX_NODES: usize = 10_000;

/// A condition on an object.
#[derive(Clone, PartialEq, Debug)]
pub enum Restriction {
    /// All of them hold (2.12.1); true where there are none.
    And(Vec<Restriction>),
    /// One of them holds (2.12.2); false where there are none.
    Or(Vec<Restriction>),
    /// It does not hold (2.12.3).
    Not(Box<Restriction>),
    /// A string or binary contains a value (2.12.4).
    Content {
        /// How they are compared.
        fuzzy: FuzzyLevel,
        /// The property.
        tag: PropTag,
        /// What it is compared with.
        value: TaggedValue,
    },
    /// A property stands in a relation to a value (2.12.5).
    Property {
        /// The relation.
        relation: Relation,
        /// The property, on the relation's left side.
        tag: PropTag,
        /// The value on its right side.
        value: TaggedValue,
    },
    /// Two properties of the object stand in a relation (2.12.6).
    CompareProperties {
        /// The relation.
        relation: Relation,
        /// Its left side.
        left: PropTag,
        /// Its right side.
        right: PropTag,
    },
    /// Of an integer's bits under a mask, none or some are set (2.12.7).
    Bitmask {
        /// Whether some must be set (`BMR_NEZ`) rather than none (`BMR_EQZ`).
        nonzero: bool,
        /// The property.
        tag: PropTag,
        /// The mask.
        mask: u32,
    },
    /// The size of a property stands in a relation to a number of bytes (2.12.8).
    Size {
        /// The relation.
        relation: Relation,
        /// The property.
        tag: PropTag,
        /// The size.
        size: u32,
    },
    /// The object has a property (2.12.9).
    Exist {
        /// The property.
        tag: PropTag,
    },
    /// One of the object's recipients or attachments meets a condition (2.12.10).
    SubObject {
        /// Which of them.
        table: SubObjectTable,
        /// The condition.
        restriction: Box<Restriction>,
    },
    /// A condition, or none, with values that mean something to the client only (2.12.11).
    Comment {
        /// The values.
        values: Vec<TaggedValue>,
        /// The condition.
        restriction: Option<Box<Restriction>>,
    },
    /// At most so many rows meet a condition (2.12.12). It limits a table where it is the outermost
    /// restriction ([`Restriction::row_limit`]); elsewhere it means its condition.
    Count {
        /// How many.
        count: u32,
        /// The condition.
        restriction: Box<Restriction>,
    },
    /// As [`Self::Comment`], in the form that clients of PHP-MAPI know (`RES_ANNOTATION`).
    Annotation {
        /// The values.
        values: Vec<TaggedValue>,
        /// The condition.
        restriction: Option<Box<Restriction>>,
    },
    /// No condition: it always holds (`RES_NULL`, type FF; MS-OXCTABL 2.2.2.4 has it as no bytes at all).
    Always,
}

/// A value under the tag that the client gave with it.
#[derive(Clone, PartialEq, Debug)]
pub struct TaggedValue {
    /// The tag.
    pub tag: PropTag,
    /// The value.
    pub value: PropValue,
}

/// What a content restriction compares, and how precisely (2.12.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FuzzyLevel {
    /// `FuzzyLevelLow`: [`Self::FULL_STRING`], [`Self::SUBSTRING`] or [`Self::PREFIX`], and the flags of words.
    pub low: u16,
    /// `FuzzyLevelHigh`: what is ignored.
    pub high: u16,
}

#[allow(missing_docs)] // The specification's names.
impl FuzzyLevel {
    pub const FULL_STRING: u16 = 0x0000;
    pub const SUBSTRING: u16 = 0x0001;
    pub const PREFIX: u16 = 0x0002;
    pub const PREFIX_ON_ANY_WORD: u16 = 0x0010;
    pub const PHRASE_MATCH: u16 = 0x0020;
    pub const IGNORE_CASE: u16 = 0x0001;
    pub const IGNORE_NONSPACE: u16 = 0x0002;
    pub const LOOSE: u16 = 0x0004;
}

/// A relation between two values (2.12.5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// A regular expression; never holds, as Exchange has no such comparison.
    Matches,
    /// Membership in a distribution list; never holds here: who asks expands the list first.
    MemberOf,
}

/// The objects inside a message that a restriction can look at (2.12.10.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubObjectTable {
    /// `PidTagMessageRecipients`
    Recipients,
    /// `PidTagMessageAttachments`
    Attachments,
}

impl Restriction {
    /// The restriction that is all of `bytes`. No bytes at all are [`Self::Always`].
    pub fn decode(bytes: &[u8], format: WireFormat) -> Result<Self, CodecError> {
        if bytes.is_empty() {
            return Ok(Self::Always);
        }
        let mut reader = Reader::new(bytes);
        let restriction = Self::read(&mut reader, format)?;
        reader.finish(RESTRICTION)?;
        Ok(restriction)
    }

    /// Its bytes.
    pub fn encode(&self, format: WireFormat) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        self.write(&mut out, format)?;
        Ok(out)
    }

    /// Reads one restriction.
    pub fn read(reader: &mut Reader<'_>, format: WireFormat) -> Result<Self, CodecError> {
        Decoder { format, nodes: 0 }.read(reader, 0)
    }

    /// Appends the restriction. A list too long for the format's counts is an error.
    pub fn write(&self, out: &mut Vec<u8>, format: WireFormat) -> Result<(), CodecError> {
        match self {
            Self::And(list) | Self::Or(list) => {
                out.push(if matches!(self, Self::And(_)) { AND } else { OR });
                format.write_count(out, list.len())?;
                for restriction in list {
                    restriction.write(out, format)?;
                }
            }
            Self::Not(restriction) => {
                out.push(NOT);
                restriction.write(out, format)?;
            }
            Self::Content { fuzzy, tag, value } => {
                out.push(CONTENT);
                out.extend_from_slice(&fuzzy.low.to_le_bytes());
                out.extend_from_slice(&fuzzy.high.to_le_bytes());
                out.extend_from_slice(&tag.0.to_le_bytes());
                format.write_tagged(out, value.tag, &value.value)?;
            }
            Self::Property { relation, tag, value } => {
                out.extend_from_slice(&[PROPERTY, relation.code()]);
                out.extend_from_slice(&tag.0.to_le_bytes());
                format.write_tagged(out, value.tag, &value.value)?;
            }
            Self::CompareProperties {
                relation,
                left,
                right,
            } => {
                out.extend_from_slice(&[COMPARE_PROPERTIES, relation.code()]);
                out.extend_from_slice(&left.0.to_le_bytes());
                out.extend_from_slice(&right.0.to_le_bytes());
            }
            Self::Bitmask { nonzero, tag, mask } => {
                out.extend_from_slice(&[BITMASK, u8::from(*nonzero)]);
                out.extend_from_slice(&tag.0.to_le_bytes());
                out.extend_from_slice(&mask.to_le_bytes());
            }
            Self::Size { relation, tag, size } => {
                out.extend_from_slice(&[SIZE, relation.code()]);
                out.extend_from_slice(&tag.0.to_le_bytes());
                out.extend_from_slice(&size.to_le_bytes());
            }
            Self::Exist { tag } => {
                out.push(EXIST);
                out.extend_from_slice(&tag.0.to_le_bytes());
            }
            Self::SubObject { table, restriction } => {
                out.push(SUB_OBJECT);
                out.extend_from_slice(&table.tag().0.to_le_bytes());
                restriction.write(out, format)?;
            }
            Self::Comment { values, restriction } | Self::Annotation { values, restriction } => {
                out.push(if matches!(self, Self::Comment { .. }) {
                    COMMENT
                } else {
                    ANNOTATION
                });
                out.push(u8::try_from(values.len()).map_err(|_| CodecError::OverLimit("comment values"))?);
                for value in values {
                    format.write_tagged(out, value.tag, &value.value)?;
                }
                out.push(u8::from(restriction.is_some()));
                if let Some(restriction) = restriction {
                    restriction.write(out, format)?;
                }
            }
            Self::Count { count, restriction } => {
                out.push(COUNT);
                out.extend_from_slice(&count.to_le_bytes());
                restriction.write(out, format)?;
            }
            Self::Always => out.push(ALWAYS),
        }
        Ok(())
    }

    /// How many rows a table with this restriction shows at most, where it says so.
    pub fn row_limit(&self) -> Option<u32> {
        match self {
            Self::Count { count, .. } => Some(*count),
            _ => None,
        }
    }

    /// Calls `visit` with every property that the condition looks at in the object itself, repeatedly perhaps.
    pub fn visit_tags(&self, visit: &mut impl FnMut(PropTag)) {
        match self {
            Self::And(list) | Self::Or(list) => list.iter().for_each(|one| one.visit_tags(visit)),
            Self::Not(one) | Self::Count { restriction: one, .. } => one.visit_tags(visit),
            Self::Content { tag, .. }
            | Self::Property { tag, .. }
            | Self::Bitmask { tag, .. }
            | Self::Size { tag, .. }
            | Self::Exist { tag } => visit(*tag),
            Self::CompareProperties { left, right, .. } => {
                visit(*left);
                visit(*right);
            }
            Self::Comment { restriction, .. } | Self::Annotation { restriction, .. } => {
                if let Some(one) = restriction {
                    one.visit_tags(visit);
                }
            }
            Self::SubObject { .. } | Self::Always => {}
        }
    }
}

impl Relation {
    const fn code(self) -> u8 {
        match self {
            Self::Less => 0,
            Self::LessOrEqual => 1,
            Self::Greater => 2,
            Self::GreaterOrEqual => 3,
            Self::Equal => 4,
            Self::NotEqual => 5,
            Self::Matches => 6,
            Self::MemberOf => 0x64,
        }
    }

    fn from_code(code: u8) -> Result<Self, CodecError> {
        Ok(match code {
            0 => Self::Less,
            1 => Self::LessOrEqual,
            2 => Self::Greater,
            3 => Self::GreaterOrEqual,
            4 => Self::Equal,
            5 => Self::NotEqual,
            6 => Self::Matches,
            0x64 => Self::MemberOf,
            _ => return Err(CodecError::Invalid("relation")),
        })
    }

    /// Whether the relation holds between a left side that compares so to the right one.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Matches | Self::MemberOf => false,
        }
    }
}

impl SubObjectTable {
    /// The property that stands for the table.
    pub const fn tag(self) -> PropTag {
        match self {
            Self::Recipients => tags::MESSAGE_RECIPIENTS,
            Self::Attachments => tags::MESSAGE_ATTACHMENTS,
        }
    }
}

// Types of restrictions (2.12).
const AND: u8 = 0x00;
const OR: u8 = 0x01;
const NOT: u8 = 0x02;
const CONTENT: u8 = 0x03;
const PROPERTY: u8 = 0x04;
const COMPARE_PROPERTIES: u8 = 0x05;
const BITMASK: u8 = 0x06;
const SIZE: u8 = 0x07;
const EXIST: u8 = 0x08;
const SUB_OBJECT: u8 = 0x09;
const COMMENT: u8 = 0x0a;
const COUNT: u8 = 0x0b;
const ANNOTATION: u8 = 0x0c;
const ALWAYS: u8 = 0xff;
const RESTRICTION: &str = "restriction";

/// Reading a restriction, with what it has cost so far.
struct Decoder {
    format: WireFormat,
    nodes: usize,
}

impl Decoder {
    fn read(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Restriction, CodecError> {
        if depth >= MAX_DEPTH {
            return Err(CodecError::OverLimit("depth of a restriction"));
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(CodecError::OverLimit("size of a restriction"));
        }
        let kind = reader.u8(RESTRICTION)?;
        Ok(match kind {
            AND | OR => {
                let count = self.format.read_count(reader)?;
                if count > MAX_NODES {
                    return Err(CodecError::OverLimit("size of a restriction"));
                }
                let list = (0..count)
                    .map(|_| self.read(reader, depth + 1))
                    .collect::<Result<_, _>>()?;
                if kind == AND {
                    Restriction::And(list)
                } else {
                    Restriction::Or(list)
                }
            }
            NOT => Restriction::Not(self.nested(reader, depth)?),
            CONTENT => Restriction::Content {
                fuzzy: FuzzyLevel {
                    low: reader.u16(RESTRICTION)?,
                    high: reader.u16(RESTRICTION)?,
                },
                tag: tag(reader)?,
                value: self.value(reader)?,
            },
            PROPERTY => Restriction::Property {
                relation: Relation::from_code(reader.u8(RESTRICTION)?)?,
                tag: tag(reader)?,
                value: self.value(reader)?,
            },
            COMPARE_PROPERTIES => Restriction::CompareProperties {
                relation: Relation::from_code(reader.u8(RESTRICTION)?)?,
                left: tag(reader)?,
                right: tag(reader)?,
            },
            BITMASK => Restriction::Bitmask {
                nonzero: match reader.u8(RESTRICTION)? {
                    0 => false,
                    1 => true,
                    _ => return Err(CodecError::Invalid("bitmask relation")),
                },
                tag: tag(reader)?,
                mask: reader.u32(RESTRICTION)?,
            },
            SIZE => Restriction::Size {
                relation: Relation::from_code(reader.u8(RESTRICTION)?)?,
                tag: tag(reader)?,
                size: reader.u32(RESTRICTION)?,
            },
            EXIST => Restriction::Exist { tag: tag(reader)? },
            SUB_OBJECT => Restriction::SubObject {
                table: match tag(reader)?.id() {
                    id if id == tags::MESSAGE_RECIPIENTS.id() => SubObjectTable::Recipients,
                    id if id == tags::MESSAGE_ATTACHMENTS.id() => SubObjectTable::Attachments,
                    _ => return Err(CodecError::Invalid("sub-object")),
                },
                restriction: self.nested(reader, depth)?,
            },
            COMMENT | ANNOTATION => {
                let count = reader.u8(RESTRICTION)?;
                let values = (0..count).map(|_| self.value(reader)).collect::<Result<_, _>>()?;
                let present = reader.u8(RESTRICTION)? != 0;
                let restriction = present.then(|| self.nested(reader, depth)).transpose()?;
                if kind == COMMENT {
                    Restriction::Comment { values, restriction }
                } else {
                    Restriction::Annotation { values, restriction }
                }
            }
            COUNT => Restriction::Count {
                count: reader.u32(RESTRICTION)?,
                restriction: self.nested(reader, depth)?,
            },
            ALWAYS => Restriction::Always,
            _ => return Err(CodecError::Invalid("restriction type")),
        })
    }

    fn nested(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Box<Restriction>, CodecError> {
        self.read(reader, depth + 1).map(Box::new)
    }

    /// A value. One that is itself a restriction or actions would nest outside of the depth limit, and means
    /// nothing in a comparison.
    fn value(&self, reader: &mut Reader<'_>) -> Result<TaggedValue, CodecError> {
        let tag = tag(&mut reader.clone())?;
        if matches!(
            tag.kind(),
            crate::PropType::RESTRICTION | crate::PropType::RULE_ACTION
        ) {
            return Err(CodecError::Invalid("value in a restriction"));
        }
        let (tag, value) = self.format.read_tagged(reader)?;
        Ok(TaggedValue { tag, value })
    }
}

fn tag(reader: &mut Reader<'_>) -> Result<PropTag, CodecError> {
    reader.u32(RESTRICTION).map(PropTag)
}

#[cfg(test)]
mod tests;
