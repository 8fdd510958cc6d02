//! Named properties: a property set's GUID and a number or a name (MS-OXCDATA 2.6.1, MS-OXPROPS 1.3.2).
//!
//! A store maps each [`PropertyName`] to a property id of its own from 0x8000 on. The table has the names
//! that the specifications know, with the type each property has.

use crate::{CodecError, Guid, PropType, Reader, wire};

/// The first property id that stands for a named property (MS-OXPROPS 1.3.3).
pub const FIRST_NAMED_ID: u16 = 0x8000;
/// The longest name of a named property, in UTF-16 code units without the terminator: what the one byte of
/// its size can say (MS-OXCDATA 2.6.1).
pub const MAX_NAME_UNITS: usize = 126;

/// What names a property within its set.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum NameId {
    /// A number, the LID.
    Lid(u32),
    /// A string; case matters.
    Name(String),
}

/// The name of a named property.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PropertyName {
    /// The property set.
    pub set: Guid,
    /// The number or name in the set.
    pub id: NameId,
}

impl PropertyName {
    /// The name with a number.
    pub const fn lid(set: Guid, lid: u32) -> Self {
        Self {
            set,
            id: NameId::Lid(lid),
        }
    }

    /// The name with a string.
    pub fn name(set: Guid, name: &str) -> Self {
        Self {
            set,
            id: NameId::Name(name.to_owned()),
        }
    }

    /// Reads a `PropertyName` structure (MS-OXCDATA 2.6.1). `None` is kind FF: no name is associated.
    pub fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, CodecError> {
        let kind = reader.u8(NAME)?;
        let set = Guid(reader.array(NAME)?);
        let id = match kind {
            0x00 => NameId::Lid(reader.u32(NAME)?),
            0x01 => {
                let size = usize::from(reader.u8(NAME)?);
                let mut text = Reader::new(reader.take(size, NAME)?);
                let name = wire::read_utf16z(&mut text)?;
                text.finish(NAME)?;
                NameId::Name(name)
            }
            0xff => return Ok(None),
            _ => return Err(CodecError::Invalid(NAME)),
        };
        Ok(Some(Self { set, id }))
    }

    /// Appends the structure; a name over [`MAX_NAME_UNITS`] is an error.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match &self.id {
            NameId::Lid(lid) => {
                out.push(0);
                out.extend_from_slice(&self.set.0);
                out.extend_from_slice(&lid.to_le_bytes());
            }
            NameId::Name(name) => {
                let units = name.encode_utf16().count();
                if units > MAX_NAME_UNITS {
                    return Err(CodecError::OverLimit(NAME));
                }
                out.push(1);
                out.extend_from_slice(&self.set.0);
                out.push((2 * (units + 1)) as u8);
                wire::write_utf16z(out, name);
            }
        }
        Ok(())
    }
}

const NAME: &str = "property name";

/// A well-known named property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownName {
    /// The canonical name, such as `PidLidBusyStatus`.
    pub canonical: &'static str,
    /// Its property set.
    pub set: Guid,
    /// Its number or name in the set.
    pub id: KnownId,
    /// Its type.
    pub kind: PropType,
}

/// What names a [`KnownName`] within its set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KnownId {
    /// A number.
    Lid(u32),
    /// A string.
    Name(&'static str),
}

impl KnownName {
    /// The name to map to an id.
    pub fn property_name(&self) -> PropertyName {
        match self.id {
            KnownId::Lid(lid) => PropertyName::lid(self.set, lid),
            KnownId::Name(name) => PropertyName::name(self.set, name),
        }
    }
}

/// The well-known properties, those with numbers first.
pub fn known() -> impl Iterator<Item = KnownName> {
    LIDS.iter().chain(NAMES).copied()
}

/// The well-known property with this canonical name.
pub fn by_canonical(canonical: &str) -> Option<KnownName> {
    known().find(|known| known.canonical == canonical)
}

/// The well-known property with this name.
pub fn by_property_name(name: &PropertyName) -> Option<KnownName> {
    known().find(|known| {
        known.set == name.set
            && match (&name.id, known.id) {
                (NameId::Lid(lid), KnownId::Lid(known)) => *lid == known,
                (NameId::Name(name), KnownId::Name(known)) => name == known,
                _ => false,
            }
    })
}

/// The well-known property sets (MS-OXPROPS 1.3.2).
#[allow(missing_docs)] // The specification's names without their prefixes.
pub mod sets {
    use crate::Guid;

    pub const PUBLIC_STRINGS: Guid = outlook(0x0002_0329);
    pub const MAPI: Guid = outlook(0x0002_0328);
    pub const INTERNET_HEADERS: Guid = outlook(0x0002_0386);
    pub const APPOINTMENT: Guid = outlook(0x0006_2002);
    pub const TASK: Guid = outlook(0x0006_2003);
    pub const ADDRESS: Guid = outlook(0x0006_2004);
    pub const COMMON: Guid = outlook(0x0006_2008);
    pub const LOG: Guid = outlook(0x0006_200A);
    pub const NOTE: Guid = outlook(0x0006_200E);
    pub const REPORT: Guid = outlook(0x0006_2013);
    pub const REMOTE: Guid = outlook(0x0006_2014);
    pub const SHARING: Guid = outlook(0x0006_2040);
    pub const POST_RSS: Guid = outlook(0x0006_2041);
    pub const MEETING: Guid = guid(
        0x6ED8_DA90,
        0x450B,
        0x101B,
        [0x98, 0xDA, 0x00, 0xAA, 0x00, 0x3F, 0x13, 0x05],
    );
    pub const MESSAGING: Guid = guid(
        0x41F2_8F13,
        0x83F4,
        0x4114,
        [0xA5, 0x84, 0xEE, 0xDB, 0x5A, 0x6B, 0x0B, 0xFF],
    );
    pub const UNIFIED_MESSAGING: Guid = guid(
        0x4442_858E,
        0xA9E3,
        0x4E80,
        [0xB9, 0x00, 0x31, 0x7A, 0x21, 0x0C, 0xC1, 0x5B],
    );
    pub const AIR_SYNC: Guid = guid(
        0x7103_5549,
        0x0739,
        0x4DCB,
        [0x91, 0x63, 0x00, 0xF0, 0x58, 0x0D, 0xBB, 0xDF],
    );
    pub const XML_EXTRACTED_ENTITIES: Guid = guid(
        0x2323_9608,
        0x685D,
        0x4732,
        [0x9C, 0x55, 0x4C, 0x95, 0xCB, 0x4E, 0x8E, 0x33],
    );
    pub const ATTACHMENT: Guid = guid(
        0x9635_7F7F,
        0x59E1,
        0x47D0,
        [0x99, 0xA7, 0x46, 0x51, 0x5C, 0x18, 0x3B, 0x54],
    );
    pub const CALENDAR_ASSISTANT: Guid = guid(
        0x1100_0E07,
        0xB51B,
        0x40D6,
        [0xAF, 0x21, 0xCA, 0xA8, 0x5E, 0xDA, 0xB1, 0xD0],
    );

    /// The GUIDs that differ in the first field only: xxxxxxxx-0000-0000-C000-000000000046.
    const fn outlook(first: u32) -> Guid {
        guid(first, 0, 0, [0xC0, 0, 0, 0, 0, 0, 0, 0x46])
    }

    const fn guid(first: u32, second: u16, third: u16, rest: [u8; 8]) -> Guid {
        let (a, b, c, d) = (
            first.to_le_bytes(),
            second.to_le_bytes(),
            third.to_le_bytes(),
            rest,
        );
        Guid([
            a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7],
        ])
    }
}

macro_rules! property_names {
    ($table:ident $doc:literal: $($constant:ident $canonical:literal $set:ident $form:ident($id:literal) $kind:ident;)*) => {
        $(
            #[doc = concat!("`", $canonical, "`")]
            pub const $constant: KnownName = KnownName {
                canonical: $canonical,
                set: sets::$set,
                id: KnownId::$form($id),
                kind: PropType::$kind,
            };
        )*

        #[doc = $doc]
        pub static $table: &[KnownName] = &[$($constant),*];
    };
}

mod lids;
mod names;
pub use lids::*;
pub use names::*;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_names_are_found() {
        let busy = by_canonical("PidLidBusyStatus").unwrap();
        assert_eq!(
            (busy.set, busy.id, busy.kind),
            (sets::APPOINTMENT, KnownId::Lid(0x8205), PropType::INTEGER32)
        );
        assert_eq!(by_property_name(&busy.property_name()), Some(LID_BUSY_STATUS));
        assert_eq!(
            sets::APPOINTMENT.to_string(),
            "00062002-0000-0000-c000-000000000046"
        );
        assert_eq!(sets::MEETING.to_string(), "6ed8da90-450b-101b-98da-00aa003f1305");
        let keywords = PropertyName::name(sets::PUBLIC_STRINGS, "Keywords");
        assert_eq!(by_property_name(&keywords), Some(NAME_KEYWORDS));
    }

    #[test]
    fn every_name_is_in_the_table_once() {
        let all: Vec<_> = known().collect();
        for (at, one) in all.iter().enumerate() {
            let same = |other: &&KnownName| other.canonical == one.canonical;
            assert_eq!(all[at + 1..].iter().find(same), None);
        }
    }

    #[test]
    fn names_round_trip() {
        for name in [
            PropertyName::lid(sets::COMMON, 0x8503),
            PropertyName::name(sets::PUBLIC_STRINGS, "Keywords"),
            PropertyName::name(sets::INTERNET_HEADERS, &"x".repeat(MAX_NAME_UNITS)),
        ] {
            let mut out = Vec::new();
            name.write(&mut out).unwrap();
            assert_eq!(PropertyName::read(&mut Reader::new(&out)), Ok(Some(name)));
        }
        let long = PropertyName::name(sets::INTERNET_HEADERS, &"x".repeat(MAX_NAME_UNITS + 1));
        assert_eq!(long.write(&mut Vec::new()), Err(CodecError::OverLimit(NAME)));
    }

    #[test]
    fn malformed_names_are_refused() {
        let read = |bytes: &[u8]| PropertyName::read(&mut Reader::new(bytes));
        let with = |kind: u8, rest: &[u8]| [&[kind][..], &[0; 16], rest].concat();
        assert_eq!(read(&with(0xff, &[])), Ok(None));
        assert_eq!(read(&with(2, &[0; 4])), Err(CodecError::Invalid(NAME)));
        assert_eq!(read(&with(0, &[0; 3])), Err(CodecError::Truncated(NAME)));
        assert!(read(&with(1, &[4, b'a', 0])).is_err(), "shorter than its size");
        assert!(read(&with(1, &[2, b'a', 0])).is_err(), "no terminator");
        assert!(
            read(&with(1, &[4, 0, 0, 0, 0])).is_err(),
            "bytes after the terminator"
        );
    }
}
