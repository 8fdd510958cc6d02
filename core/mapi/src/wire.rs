//! Property values on the wire (MS-OXCDATA 2.11).
//!
//! The same value is written in slightly different forms in different places; a [`WireFormat`] says which.

use crate::{
    CodecError, FileTime, Guid, PropTag, PropType, PropValue, Reader, code_page, restriction::Restriction,
    rule_action::RuleActions,
};

/// The most values a multi-valued property may have on the wire.
pub const MAX_MULTIPLE_VALUES: usize = 1 << 20;

/// How counts and 8-bit strings are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireFormat {
    /// Whether the byte counts of binaries and the counts of restrictions, actions and the like have 32 bits
    /// rather than 16 (MS-OXCDATA 2.11.1.1).
    pub wide_counts: bool,
    /// The code page of `PtypString8`.
    pub code_page: u32,
}

impl WireFormat {
    /// ROP buffers, in UTF-8 where strings are not Unicode.
    pub const ROP: Self = Self {
        wide_counts: false,
        code_page: 65001,
    };
    /// Extended rules (MS-OXORULE 2.2.4).
    pub const EXTENDED_RULE: Self = Self {
        wide_counts: true,
        code_page: 65001,
    };

    /// Reads a count of the format's width.
    pub fn read_count(self, reader: &mut Reader<'_>) -> Result<usize, CodecError> {
        if self.wide_counts {
            reader.u32("count").map(|n| n as usize)
        } else {
            reader.u16("count").map(usize::from)
        }
    }

    /// Appends a count of the format's width; one that it can't hold is an error.
    pub fn write_count(self, out: &mut Vec<u8>, count: usize) -> Result<(), CodecError> {
        let over = |_| CodecError::OverLimit("count");
        if self.wide_counts {
            out.extend_from_slice(&u32::try_from(count).map_err(over)?.to_le_bytes());
        } else {
            out.extend_from_slice(&u16::try_from(count).map_err(over)?.to_le_bytes());
        }
        Ok(())
    }

    /// Reads a value of this type (2.11.2). Restrictions and rule actions are kept as ROP buffers write them.
    pub fn read_value(self, reader: &mut Reader<'_>, kind: PropType) -> Result<PropValue, CodecError> {
        Ok(match kind {
            PropType::NULL => PropValue::Null,
            PropType::INTEGER16 => PropValue::Integer16(reader.u16(VALUE)? as i16),
            PropType::INTEGER32 => PropValue::Integer32(reader.u32(VALUE)? as i32),
            PropType::FLOATING32 => PropValue::Floating32(f32::from_le_bytes(reader.array(VALUE)?)),
            PropType::FLOATING64 => PropValue::Floating64(f64::from_le_bytes(reader.array(VALUE)?)),
            PropType::CURRENCY => PropValue::Currency(reader.u64(VALUE)? as i64),
            PropType::FLOATING_TIME => PropValue::FloatingTime(f64::from_le_bytes(reader.array(VALUE)?)),
            PropType::ERROR_CODE => PropValue::ErrorCode(reader.u32(VALUE)?),
            // Any value but zero is true: clients write other ones than 1.
            PropType::BOOLEAN => PropValue::Boolean(reader.u8(VALUE)? != 0),
            PropType::INTEGER64 => PropValue::Integer64(reader.u64(VALUE)? as i64),
            PropType::STRING => PropValue::String(read_utf16z(reader)?),
            PropType::STRING8 => PropValue::String(self.read_string8(reader)?),
            PropType::TIME => PropValue::Time(FileTime(reader.u64(VALUE)?)),
            PropType::GUID => PropValue::Guid(Guid(reader.array(VALUE)?)),
            // Its count has 16 bits everywhere (2.11.1.4).
            PropType::SERVER_ID => {
                let count = usize::from(reader.u16(VALUE)?);
                PropValue::ServerId(reader.take(count, VALUE)?.to_vec())
            }
            PropType::RESTRICTION => {
                let mut out = Vec::new();
                Restriction::read(reader, self)?.write(&mut out, WireFormat::ROP)?;
                PropValue::Restriction(out)
            }
            PropType::RULE_ACTION => {
                let mut out = Vec::new();
                RuleActions::read(reader, self)?.write(&mut out, WireFormat::ROP)?;
                PropValue::RuleAction(out)
            }
            PropType::BINARY => PropValue::Binary(self.read_binary(reader)?),
            PropType::OBJECT => PropValue::Object(self.read_binary(reader)?),
            PropType::MULTIPLE_INTEGER16 => {
                PropValue::MultipleInteger16(list(reader, |r| Ok(r.u16(VALUE)? as i16))?)
            }
            PropType::MULTIPLE_INTEGER32 => {
                PropValue::MultipleInteger32(list(reader, |r| Ok(r.u32(VALUE)? as i32))?)
            }
            PropType::MULTIPLE_FLOATING32 => {
                PropValue::MultipleFloating32(list(reader, |r| r.array(VALUE).map(f32::from_le_bytes))?)
            }
            PropType::MULTIPLE_FLOATING64 => {
                PropValue::MultipleFloating64(list(reader, |r| r.array(VALUE).map(f64::from_le_bytes))?)
            }
            PropType::MULTIPLE_CURRENCY => {
                PropValue::MultipleCurrency(list(reader, |r| Ok(r.u64(VALUE)? as i64))?)
            }
            PropType::MULTIPLE_FLOATING_TIME => {
                PropValue::MultipleFloatingTime(list(reader, |r| r.array(VALUE).map(f64::from_le_bytes))?)
            }
            PropType::MULTIPLE_INTEGER64 => {
                PropValue::MultipleInteger64(list(reader, |r| Ok(r.u64(VALUE)? as i64))?)
            }
            PropType::MULTIPLE_STRING => PropValue::MultipleString(list(reader, read_utf16z)?),
            PropType::MULTIPLE_STRING8 => PropValue::MultipleString(list(reader, |r| self.read_string8(r))?),
            PropType::MULTIPLE_TIME => PropValue::MultipleTime(list(reader, |r| r.u64(VALUE).map(FileTime))?),
            PropType::MULTIPLE_GUID => PropValue::MultipleGuid(list(reader, |r| r.array(VALUE).map(Guid))?),
            PropType::MULTIPLE_BINARY => PropValue::MultipleBinary(list(reader, |r| self.read_binary(r))?),
            _ => return Err(CodecError::Invalid("property type")),
        })
    }

    /// Appends a value. `kind` matters for strings only, which it may ask for as `PtypString8`. A binary too
    /// long for its count is an error.
    pub fn write_value(self, out: &mut Vec<u8>, value: &PropValue, kind: PropType) -> Result<(), CodecError> {
        match value {
            PropValue::Null => {}
            PropValue::Integer16(n) => out.extend_from_slice(&n.to_le_bytes()),
            PropValue::Integer32(n) => out.extend_from_slice(&n.to_le_bytes()),
            PropValue::Floating32(x) => out.extend_from_slice(&x.to_le_bytes()),
            PropValue::Floating64(x) | PropValue::FloatingTime(x) => out.extend_from_slice(&x.to_le_bytes()),
            PropValue::Currency(n) | PropValue::Integer64(n) => out.extend_from_slice(&n.to_le_bytes()),
            PropValue::ErrorCode(n) => out.extend_from_slice(&n.to_le_bytes()),
            PropValue::Boolean(b) => out.push(u8::from(*b)),
            PropValue::String(text) => self.write_string(out, text, kind),
            PropValue::Time(time) => out.extend_from_slice(&time.0.to_le_bytes()),
            PropValue::Guid(guid) => out.extend_from_slice(&guid.0),
            PropValue::ServerId(bytes) => {
                let count = u16::try_from(bytes.len()).map_err(|_| CodecError::OverLimit("count"))?;
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(bytes);
            }
            PropValue::Restriction(bytes) if self.wide_counts => {
                Restriction::decode(bytes, WireFormat::ROP)?.write(out, self)?;
            }
            PropValue::RuleAction(bytes) if self.wide_counts => {
                RuleActions::decode(bytes, WireFormat::ROP)?.write(out, self)?;
            }
            PropValue::Restriction(bytes) | PropValue::RuleAction(bytes) => out.extend_from_slice(bytes),
            PropValue::Binary(bytes) | PropValue::Object(bytes) => self.write_binary(out, bytes)?,
            PropValue::MultipleInteger16(list) => {
                write_list(out, list, |o, n| o.extend_from_slice(&n.to_le_bytes()));
            }
            PropValue::MultipleInteger32(list) => {
                write_list(out, list, |o, n| o.extend_from_slice(&n.to_le_bytes()));
            }
            PropValue::MultipleFloating32(list) => {
                write_list(out, list, |o, x| o.extend_from_slice(&x.to_le_bytes()));
            }
            PropValue::MultipleFloating64(list) | PropValue::MultipleFloatingTime(list) => {
                write_list(out, list, |o, x| o.extend_from_slice(&x.to_le_bytes()));
            }
            PropValue::MultipleCurrency(list) | PropValue::MultipleInteger64(list) => {
                write_list(out, list, |o, n| o.extend_from_slice(&n.to_le_bytes()));
            }
            PropValue::MultipleString(list) => {
                let single = kind.single();
                write_list(out, list, |o, text| self.write_string(o, text, single));
            }
            PropValue::MultipleTime(list) => {
                write_list(out, list, |o, time| o.extend_from_slice(&time.0.to_le_bytes()));
            }
            PropValue::MultipleGuid(list) => write_list(out, list, |o, guid| o.extend_from_slice(&guid.0)),
            PropValue::MultipleBinary(list) => {
                out.extend_from_slice(&(list.len() as u32).to_le_bytes());
                for bytes in list {
                    self.write_binary(out, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a `TaggedPropertyValue` (2.11.4).
    pub fn read_tagged(self, reader: &mut Reader<'_>) -> Result<(PropTag, PropValue), CodecError> {
        let tag = PropTag(reader.u32("property tag")?);
        Ok((tag, self.read_value(reader, tag.kind())?))
    }

    /// Appends a `TaggedPropertyValue`.
    pub fn write_tagged(self, out: &mut Vec<u8>, tag: PropTag, value: &PropValue) -> Result<(), CodecError> {
        out.extend_from_slice(&tag.0.to_le_bytes());
        self.write_value(out, value, tag.kind())
    }

    /// Reads a `TypedPropertyValue` (2.11.3): the type, then the value.
    pub fn read_typed(self, reader: &mut Reader<'_>) -> Result<PropValue, CodecError> {
        let kind = PropType(reader.u16("property type")?);
        self.read_value(reader, kind)
    }

    /// Appends a `TypedPropertyValue`.
    pub fn write_typed(self, out: &mut Vec<u8>, value: &PropValue) -> Result<(), CodecError> {
        out.extend_from_slice(&value.kind().0.to_le_bytes());
        self.write_value(out, value, value.kind())
    }

    fn read_binary(self, reader: &mut Reader<'_>) -> Result<Vec<u8>, CodecError> {
        let count = self.read_count(reader)?;
        reader.take(count, VALUE).map(<[u8]>::to_vec)
    }

    fn write_binary(self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CodecError> {
        self.write_count(out, bytes.len())?;
        out.extend_from_slice(bytes);
        Ok(())
    }

    fn read_string8(self, reader: &mut Reader<'_>) -> Result<String, CodecError> {
        read_bytes_z(reader).map(|bytes| code_page::decode(bytes, self.code_page).into_owned())
    }

    fn write_string(self, out: &mut Vec<u8>, text: &str, kind: PropType) {
        if kind == PropType::STRING8 {
            out.extend_from_slice(&code_page::encode(before_nul(text), self.code_page));
            out.push(0);
        } else {
            write_utf16z(out, text);
        }
    }
}

const VALUE: &str = "property value";
const TEXT: &str = "string";

/// Reads UTF-16 up to and with its terminator; unpaired surrogates become U+FFFD.
pub fn read_utf16z(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    let (units, _) = reader.rest().as_chunks::<2>();
    let length = units
        .iter()
        .position(|unit| *unit == [0, 0])
        .ok_or(CodecError::Truncated(TEXT))?;
    let text = char::decode_utf16(units[..length].iter().map(|unit| u16::from_le_bytes(*unit)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    reader.take(2 * (length + 1), TEXT)?;
    Ok(text)
}

/// Appends UTF-16 and a terminator. A text ends at its first NUL, which the wire can't carry.
pub fn write_utf16z(out: &mut Vec<u8>, text: &str) {
    out.extend(before_nul(text).encode_utf16().flat_map(u16::to_le_bytes));
    out.extend_from_slice(&[0, 0]);
}

/// Reads bytes up to a zero, which is passed over.
pub fn read_bytes_z<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    let length = reader
        .rest()
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(CodecError::Truncated(TEXT))?;
    let bytes = reader.take(length, TEXT)?;
    reader.u8(TEXT)?;
    Ok(bytes)
}

fn before_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

/// A multi-valued value: its count has 32 bits everywhere.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = reader.u32("count")? as usize;
    if count > MAX_MULTIPLE_VALUES {
        return Err(CodecError::OverLimit("values of a multi-valued property"));
    }
    // Every value has a byte at least: nothing is reserved for a count that the bytes can't hold.
    let mut values = Vec::with_capacity(count.min(reader.remaining()));
    for _ in 0..count {
        values.push(read(reader)?);
    }
    Ok(values)
}

fn write_list<T>(out: &mut Vec<u8>, values: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.extend_from_slice(&(values.len() as u32).to_le_bytes());
    for value in values {
        write(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(format: WireFormat, value: &PropValue) -> Vec<u8> {
        let mut out = Vec::new();
        format.write_typed(&mut out, value).unwrap();
        let mut reader = Reader::new(&out);
        assert_eq!(format.read_typed(&mut reader).as_ref(), Ok(value));
        assert!(reader.is_empty());
        // No truncation reads past the end or passes for a value.
        for end in 0..out.len() {
            assert!(
                format.read_typed(&mut Reader::new(&out[..end])).is_err(),
                "{value:?} cut at {end}"
            );
        }
        out
    }

    #[test]
    fn every_type_round_trips() {
        use PropValue::*;
        for format in [WireFormat::ROP, WireFormat::EXTENDED_RULE] {
            for value in [
                Null,
                Integer16(-2),
                Integer32(-3),
                Integer64(i64::MIN),
                Floating32(1.5),
                Floating64(2.5),
                Currency(-1),
                FloatingTime(3.5),
                ErrorCode(0x8004_010f),
                Boolean(true),
                String("Grüße 😀".into()),
                Time(FileTime(9)),
                Guid(crate::Guid([3; 16])),
                ServerId(vec![1, 2]),
                Binary(vec![0; 300]),
                Object(vec![1]),
                Restriction(vec![8, 0x1f, 0, 0x37, 0]),
                MultipleInteger16(vec![1, 2]),
                MultipleInteger32(vec![3]),
                MultipleFloating32(vec![4.0]),
                MultipleFloating64(vec![5.0]),
                MultipleCurrency(vec![6]),
                MultipleFloatingTime(vec![7.0]),
                MultipleInteger64(vec![8]),
                MultipleString(vec!["a".into(), std::string::String::new()]),
                MultipleTime(vec![FileTime(1)]),
                MultipleGuid(vec![crate::Guid([4; 16])]),
                MultipleBinary(vec![vec![], vec![1]]),
            ] {
                round_trip(format, &value);
            }
        }
    }

    #[test]
    fn counts_have_the_formats_width() {
        let binary = PropValue::Binary(vec![7]);
        assert_eq!(round_trip(WireFormat::ROP, &binary), [2, 1, 1, 0, 7]);
        assert_eq!(
            round_trip(WireFormat::EXTENDED_RULE, &binary),
            [2, 1, 1, 0, 0, 0, 7]
        );
        let long = PropValue::Binary(vec![0; 0x1_0000]);
        assert_eq!(
            WireFormat::ROP.write_typed(&mut Vec::new(), &long),
            Err(CodecError::OverLimit("count"))
        );
    }

    #[test]
    fn strings_of_eight_bits_use_the_code_page() {
        let format = WireFormat {
            code_page: 1252,
            ..WireFormat::ROP
        };
        let tag = PropTag::new(0x37, PropType::STRING8);
        let value = PropValue::String("é".into());
        let mut out = Vec::new();
        format.write_tagged(&mut out, tag, &value).unwrap();
        assert_eq!(out, [0x1e, 0, 0x37, 0, 0xe9, 0]);
        assert_eq!(format.read_tagged(&mut Reader::new(&out)), Ok((tag, value)));
    }

    #[test]
    fn a_count_over_the_limit_is_refused() {
        let bytes = (MAX_MULTIPLE_VALUES as u32 + 1).to_le_bytes();
        let read = WireFormat::ROP.read_value(&mut Reader::new(&bytes), PropType::MULTIPLE_INTEGER32);
        assert_eq!(
            read,
            Err(CodecError::OverLimit("values of a multi-valued property"))
        );
        assert!(
            WireFormat::ROP
                .read_value(&mut Reader::new(&[]), PropType::UNSPECIFIED)
                .is_err()
        );
    }
}
