//! Properties: tags, types, values, bags (MS-OXCDATA 2.8, 2.9, 2.11).

use crate::{FileTime, Guid};

/// A property's type code (MS-OXCDATA 2.11.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PropType(pub u16);

#[allow(missing_docs)] // The specification's names say it all.
impl PropType {
    pub const UNSPECIFIED: Self = Self(0x0000);
    pub const NULL: Self = Self(0x0001);
    pub const INTEGER16: Self = Self(0x0002);
    pub const INTEGER32: Self = Self(0x0003);
    pub const FLOATING32: Self = Self(0x0004);
    pub const FLOATING64: Self = Self(0x0005);
    pub const CURRENCY: Self = Self(0x0006);
    pub const FLOATING_TIME: Self = Self(0x0007);
    pub const ERROR_CODE: Self = Self(0x000A);
    pub const BOOLEAN: Self = Self(0x000B);
    pub const OBJECT: Self = Self(0x000D);
    pub const INTEGER64: Self = Self(0x0014);
    pub const STRING8: Self = Self(0x001E);
    pub const STRING: Self = Self(0x001F);
    pub const TIME: Self = Self(0x0040);
    pub const GUID: Self = Self(0x0048);
    pub const SERVER_ID: Self = Self(0x00FB);
    pub const RESTRICTION: Self = Self(0x00FD);
    pub const RULE_ACTION: Self = Self(0x00FE);
    pub const BINARY: Self = Self(0x0102);
    pub const MULTIPLE_INTEGER16: Self = Self(0x1002);
    pub const MULTIPLE_INTEGER32: Self = Self(0x1003);
    pub const MULTIPLE_FLOATING32: Self = Self(0x1004);
    pub const MULTIPLE_FLOATING64: Self = Self(0x1005);
    pub const MULTIPLE_CURRENCY: Self = Self(0x1006);
    pub const MULTIPLE_FLOATING_TIME: Self = Self(0x1007);
    pub const MULTIPLE_INTEGER64: Self = Self(0x1014);
    pub const MULTIPLE_STRING8: Self = Self(0x101E);
    pub const MULTIPLE_STRING: Self = Self(0x101F);
    pub const MULTIPLE_TIME: Self = Self(0x1040);
    pub const MULTIPLE_GUID: Self = Self(0x1048);
    pub const MULTIPLE_BINARY: Self = Self(0x1102);
    /// Set in the code of every multi-valued type.
    pub const MULTIPLE: u16 = 0x1000;
    /// Set, with [`Self::MULTIPLE`], in a column's type: one row for each of the values (MS-OXCTABL 2.2.2.2.1.3).
    pub const INSTANCE: u16 = 0x2000;
}

impl PropType {
    /// Whether it is a multi-valued type.
    pub const fn is_multiple(self) -> bool {
        self.0 & Self::MULTIPLE != 0
    }

    /// The multi-valued type of this single-valued one; most, but not all types have one.
    pub const fn multiple(self) -> Option<Self> {
        match self {
            Self::INTEGER16
            | Self::INTEGER32
            | Self::FLOATING32
            | Self::FLOATING64
            | Self::CURRENCY
            | Self::FLOATING_TIME
            | Self::INTEGER64
            | Self::STRING8
            | Self::STRING
            | Self::TIME
            | Self::GUID
            | Self::BINARY => Some(Self(self.0 | Self::MULTIPLE)),
            _ => None,
        }
    }

    /// The type of one value of this type, without the flags of multi-valued ones.
    #[must_use]
    pub const fn single(self) -> Self {
        Self(self.0 & !(Self::MULTIPLE | Self::INSTANCE))
    }
}

/// A property tag: the id in the high 16 bits, the type in the low ones (MS-OXCDATA 2.9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropTag(pub u32);

impl PropTag {
    /// The tag of this id and type.
    pub const fn new(id: u16, kind: PropType) -> Self {
        Self((id as u32) << 16 | kind.0 as u32)
    }
    /// The property id; 0x8000 and above are named properties of the store.
    pub const fn id(self) -> u16 {
        (self.0 >> 16) as u16
    }
    /// The property type.
    pub const fn kind(self) -> PropType {
        PropType(self.0 as u16)
    }
}

impl std::fmt::Debug for PropTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PropTag({:08x})", self.0)
    }
}

/// A property's value. Strings are Unicode here; `PtypString8` exists on the wire only.
#[derive(Clone, PartialEq, Debug)]
pub enum PropValue {
    /// `PtypNull`
    Null,
    /// `PtypInteger16`
    Integer16(i16),
    /// `PtypInteger32`
    Integer32(i32),
    /// `PtypFloating32`
    Floating32(f32),
    /// `PtypFloating64`
    Floating64(f64),
    /// `PtypCurrency`: ten-thousandths.
    Currency(i64),
    /// `PtypFloatingTime`: days since 1899-12-30.
    FloatingTime(f64),
    /// `PtypErrorCode`
    ErrorCode(u32),
    /// `PtypBoolean`
    Boolean(bool),
    /// `PtypInteger64`
    Integer64(i64),
    /// `PtypString` (and `PtypString8`, decoded)
    String(String),
    /// `PtypTime`
    Time(FileTime),
    /// `PtypGuid`
    Guid(Guid),
    /// `PtypServerId`
    ServerId(Vec<u8>),
    /// `PtypRestriction`, encoded (MS-OXCDATA 2.12)
    Restriction(Vec<u8>),
    /// `PtypRuleAction`, encoded (MS-OXORULE 2.2.5)
    RuleAction(Vec<u8>),
    /// `PtypBinary`
    Binary(Vec<u8>),
    /// `PtypObject`: the bytes of an embedded object
    Object(Vec<u8>),
    /// `PtypMultipleInteger16`
    MultipleInteger16(Vec<i16>),
    /// `PtypMultipleInteger32`
    MultipleInteger32(Vec<i32>),
    /// `PtypMultipleFloating32`
    MultipleFloating32(Vec<f32>),
    /// `PtypMultipleFloating64`
    MultipleFloating64(Vec<f64>),
    /// `PtypMultipleCurrency`
    MultipleCurrency(Vec<i64>),
    /// `PtypMultipleFloatingTime`
    MultipleFloatingTime(Vec<f64>),
    /// `PtypMultipleInteger64`
    MultipleInteger64(Vec<i64>),
    /// `PtypMultipleString`
    MultipleString(Vec<String>),
    /// `PtypMultipleTime`
    MultipleTime(Vec<FileTime>),
    /// `PtypMultipleGuid`
    MultipleGuid(Vec<Guid>),
    /// `PtypMultipleBinary`
    MultipleBinary(Vec<Vec<u8>>),
}

impl PropValue {
    /// The value's type. It is the type of the tag it belongs under, but for `PtypString8`, which strings in
    /// memory don't have.
    pub const fn kind(&self) -> PropType {
        match self {
            Self::Null => PropType::NULL,
            Self::Integer16(_) => PropType::INTEGER16,
            Self::Integer32(_) => PropType::INTEGER32,
            Self::Floating32(_) => PropType::FLOATING32,
            Self::Floating64(_) => PropType::FLOATING64,
            Self::Currency(_) => PropType::CURRENCY,
            Self::FloatingTime(_) => PropType::FLOATING_TIME,
            Self::ErrorCode(_) => PropType::ERROR_CODE,
            Self::Boolean(_) => PropType::BOOLEAN,
            Self::Integer64(_) => PropType::INTEGER64,
            Self::String(_) => PropType::STRING,
            Self::Time(_) => PropType::TIME,
            Self::Guid(_) => PropType::GUID,
            Self::ServerId(_) => PropType::SERVER_ID,
            Self::Restriction(_) => PropType::RESTRICTION,
            Self::RuleAction(_) => PropType::RULE_ACTION,
            Self::Binary(_) => PropType::BINARY,
            Self::Object(_) => PropType::OBJECT,
            Self::MultipleInteger16(_) => PropType::MULTIPLE_INTEGER16,
            Self::MultipleInteger32(_) => PropType::MULTIPLE_INTEGER32,
            Self::MultipleFloating32(_) => PropType::MULTIPLE_FLOATING32,
            Self::MultipleFloating64(_) => PropType::MULTIPLE_FLOATING64,
            Self::MultipleCurrency(_) => PropType::MULTIPLE_CURRENCY,
            Self::MultipleFloatingTime(_) => PropType::MULTIPLE_FLOATING_TIME,
            Self::MultipleInteger64(_) => PropType::MULTIPLE_INTEGER64,
            Self::MultipleString(_) => PropType::MULTIPLE_STRING,
            Self::MultipleTime(_) => PropType::MULTIPLE_TIME,
            Self::MultipleGuid(_) => PropType::MULTIPLE_GUID,
            Self::MultipleBinary(_) => PropType::MULTIPLE_BINARY,
        }
    }
}

/// The properties of one object, in the order of their tags, one value an id.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PropertyBag {
    entries: Vec<(PropTag, PropValue)>,
}

impl PropertyBag {
    /// An empty bag.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of the property with this tag's id, whatever type it is kept in.
    pub fn get(&self, tag: PropTag) -> Option<&PropValue> {
        let at = self.position(tag).ok()?;
        Some(&self.entries[at].1)
    }

    /// The string under this tag.
    pub fn string(&self, tag: PropTag) -> Option<&str> {
        match self.get(tag)? {
            PropValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Sets or replaces the property with this tag's id.
    pub fn set(&mut self, tag: PropTag, value: PropValue) {
        if self.entries.last().is_none_or(|(last, _)| last.id() < tag.id()) {
            return self.entries.push((tag, value));
        }
        match self.position(tag) {
            Ok(at) => self.entries[at] = (tag, value),
            Err(at) => self.entries.insert(at, (tag, value)),
        }
    }

    /// Removes the property with this tag's id and returns it.
    pub fn remove(&mut self, tag: PropTag) -> Option<PropValue> {
        let at = self.position(tag).ok()?;
        Some(self.entries.remove(at).1)
    }

    /// All properties, by ascending id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (PropTag, &PropValue)> {
        self.entries.iter().map(|(tag, value)| (*tag, value))
    }

    /// How many properties there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn position(&self, tag: PropTag) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&tag.id(), |(known, _)| known.id())
    }
}

impl FromIterator<(PropTag, PropValue)> for PropertyBag {
    fn from_iter<I: IntoIterator<Item = (PropTag, PropValue)>>(properties: I) -> Self {
        let mut bag = Self::new();
        properties
            .into_iter()
            .for_each(|(tag, value)| bag.set(tag, value));
        bag
    }
}
