//! Lists of MAPI properties (MS-OXTNEF 2.1.3.4).
//!
//! Values are those of MS-OXCDATA, but each is filled up to four bytes, and strings, binaries and objects are
//! counted even where there is only one.

use ringpost_mapi::{
    CodecError, FileTime, Guid, PropTag, PropType, PropValue, Reader, code_page,
    named::{FIRST_NAMED_ID, NameId, PropertyName},
};

/// Values of a multi-valued property.
const MAX_VALUES: usize = 1 << 20;
const WHAT: &str = "TNEF property";

/// `IID_IMessage`: the object is a message.
pub(super) const INTERFACE_MESSAGE: Guid = Guid(*b"\x07\x03\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46");
/// `IID_IStorage`: an OLE object.
pub(super) const INTERFACE_STORAGE: Guid = Guid(*b"\x0b\0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\x46");

/// A property as the stream has it.
#[derive(Debug)]
pub(super) struct Property {
    /// Its tag. The id of a named one means something in this stream only.
    pub(super) tag: PropTag,
    pub(super) name: Option<PropertyName>,
    pub(super) value: PropValue,
    /// Of an object: what it is.
    pub(super) interface: Option<Guid>,
}

impl Property {
    /// Reads a property; `page` is the code page of 8-bit strings, which become Unicode.
    pub(super) fn read(reader: &mut Reader<'_>, page: u32) -> Result<Self, CodecError> {
        let tag = PropTag(reader.u32(WHAT)?);
        let name = if tag.id() >= FIRST_NAMED_ID {
            Some(read_name(reader)?)
        } else {
            None
        };
        let kind = tag.kind();
        let mut interface = None;
        let value = if kind.is_multiple() {
            read_multiple(reader, kind, page)?
        } else if is_counted(kind) {
            // One value; more than one is not a single-valued property, but some writers count so.
            let count = read_count(reader)?;
            let mut first = None;
            for _ in 0..count {
                let bytes = read_counted(reader)?;
                if first.is_none() {
                    first = Some(bytes);
                }
            }
            let mut bytes = first.unwrap_or_default();
            if kind == PropType::OBJECT {
                let mut object = Reader::new(bytes);
                interface = object.array(WHAT).ok().map(Guid);
                bytes = object.rest();
            }
            counted_value(kind, bytes, page)?
        } else {
            read_fixed(reader, kind)?
        };
        let tag = match kind {
            PropType::STRING8 => PropTag::new(tag.id(), PropType::STRING),
            PropType::MULTIPLE_STRING8 => PropTag::new(tag.id(), PropType::MULTIPLE_STRING),
            _ => tag,
        };
        Ok(Self {
            tag,
            name,
            value,
            interface,
        })
    }

    /// Appends a property. Types that TNEF has no form for are an error.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(&self.tag.0.to_le_bytes());
        if let Some(name) = &self.name {
            write_name(out, name)?;
        }
        if let Some(interface) = self.interface
            && let PropValue::Object(bytes) = &self.value
        {
            out.extend_from_slice(&1_u32.to_le_bytes());
            return write_counted(out, &[&interface.0, bytes.as_slice()].concat());
        }
        write_value(out, &self.value)
    }
}

/// Whether a value of this type can be written.
pub(super) fn is_supported(value: &PropValue) -> bool {
    !matches!(
        value,
        PropValue::ServerId(_) | PropValue::Restriction(_) | PropValue::RuleAction(_)
    )
}

fn read_name(reader: &mut Reader<'_>) -> Result<PropertyName, CodecError> {
    let set = Guid(reader.array(WHAT)?);
    let id = match reader.u32(WHAT)? {
        0 => NameId::Lid(reader.u32(WHAT)?),
        1 => NameId::Name(utf16(read_counted(reader)?)),
        _ => return Err(CodecError::Invalid("kind of a property's name")),
    };
    Ok(PropertyName { set, id })
}

fn write_name(out: &mut Vec<u8>, name: &PropertyName) -> Result<(), CodecError> {
    out.extend_from_slice(&name.set.0);
    match &name.id {
        NameId::Lid(lid) => {
            out.extend_from_slice(&0_u32.to_le_bytes());
            out.extend_from_slice(&lid.to_le_bytes());
            Ok(())
        }
        NameId::Name(name) => {
            out.extend_from_slice(&1_u32.to_le_bytes());
            write_counted(out, &utf16_bytes(name))
        }
    }
}

fn is_counted(kind: PropType) -> bool {
    matches!(
        kind,
        PropType::STRING | PropType::STRING8 | PropType::BINARY | PropType::OBJECT
    )
}

fn read_count(reader: &mut Reader<'_>) -> Result<usize, CodecError> {
    let count = reader.u32(WHAT)? as usize;
    // Each value takes four bytes at least.
    if count > MAX_VALUES || count > reader.remaining() / 4 {
        return Err(CodecError::OverLimit("values of a property"));
    }
    Ok(count)
}

/// A length, so many bytes, and what fills them up.
fn read_counted<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    let length = reader.u32(WHAT)? as usize;
    let bytes = reader.take(length, WHAT)?;
    // The last one of a list may lack it.
    let fill = length.next_multiple_of(4) - length;
    reader.take(fill.min(reader.remaining()), WHAT)?;
    Ok(bytes)
}

fn write_counted(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CodecError> {
    let length = u32::try_from(bytes.len()).map_err(|_| CodecError::OverLimit(WHAT))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    out.resize(out.len() + bytes.len().next_multiple_of(4) - bytes.len(), 0);
    Ok(())
}

fn counted_value(kind: PropType, bytes: &[u8], page: u32) -> Result<PropValue, CodecError> {
    Ok(match kind {
        PropType::STRING => PropValue::String(utf16(bytes)),
        PropType::STRING8 => PropValue::String(string8(bytes, page)),
        PropType::BINARY => PropValue::Binary(bytes.to_vec()),
        PropType::OBJECT => PropValue::Object(bytes.to_vec()),
        _ => return Err(CodecError::Invalid("type of a TNEF property")),
    })
}

fn read_fixed(reader: &mut Reader<'_>, kind: PropType) -> Result<PropValue, CodecError> {
    Ok(match kind {
        PropType::NULL => PropValue::Null,
        PropType::INTEGER16 => PropValue::Integer16(reader.u32(WHAT)? as i16),
        PropType::INTEGER32 => PropValue::Integer32(reader.u32(WHAT)? as i32),
        PropType::FLOATING32 => PropValue::Floating32(f32::from_le_bytes(reader.array(WHAT)?)),
        PropType::FLOATING64 => PropValue::Floating64(f64::from_le_bytes(reader.array(WHAT)?)),
        PropType::CURRENCY => PropValue::Currency(reader.u64(WHAT)? as i64),
        PropType::FLOATING_TIME => PropValue::FloatingTime(f64::from_le_bytes(reader.array(WHAT)?)),
        PropType::ERROR_CODE => PropValue::ErrorCode(reader.u32(WHAT)?),
        PropType::BOOLEAN => PropValue::Boolean(reader.u32(WHAT)? as u16 != 0),
        PropType::INTEGER64 => PropValue::Integer64(reader.u64(WHAT)? as i64),
        PropType::TIME => PropValue::Time(FileTime(reader.u64(WHAT)?)),
        PropType::GUID => PropValue::Guid(Guid(reader.array(WHAT)?)),
        _ => return Err(CodecError::Invalid("type of a TNEF property")),
    })
}

fn read_multiple(reader: &mut Reader<'_>, kind: PropType, page: u32) -> Result<PropValue, CodecError> {
    macro_rules! list {
        ($variant:ident, $single:ident) => {
            PropValue::$variant(
                values(reader, kind, page)?
                    .into_iter()
                    .filter_map(|value| match value {
                        PropValue::$single(value) => Some(value),
                        _ => None,
                    })
                    .collect(),
            )
        };
    }
    Ok(match kind {
        PropType::MULTIPLE_INTEGER16 => list!(MultipleInteger16, Integer16),
        PropType::MULTIPLE_INTEGER32 => list!(MultipleInteger32, Integer32),
        PropType::MULTIPLE_FLOATING32 => list!(MultipleFloating32, Floating32),
        PropType::MULTIPLE_FLOATING64 => list!(MultipleFloating64, Floating64),
        PropType::MULTIPLE_CURRENCY => list!(MultipleCurrency, Currency),
        PropType::MULTIPLE_FLOATING_TIME => list!(MultipleFloatingTime, FloatingTime),
        PropType::MULTIPLE_INTEGER64 => list!(MultipleInteger64, Integer64),
        PropType::MULTIPLE_STRING | PropType::MULTIPLE_STRING8 => list!(MultipleString, String),
        PropType::MULTIPLE_TIME => list!(MultipleTime, Time),
        PropType::MULTIPLE_GUID => list!(MultipleGuid, Guid),
        PropType::MULTIPLE_BINARY => list!(MultipleBinary, Binary),
        _ => return Err(CodecError::Invalid("type of a TNEF property")),
    })
}

fn values(reader: &mut Reader<'_>, kind: PropType, page: u32) -> Result<Vec<PropValue>, CodecError> {
    let count = read_count(reader)?;
    let single = kind.single();
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(if is_counted(single) {
            counted_value(single, read_counted(reader)?, page)?
        } else {
            read_fixed(reader, single)?
        });
    }
    Ok(list)
}

fn write_value(out: &mut Vec<u8>, value: &PropValue) -> Result<(), CodecError> {
    /// A count, then each value.
    fn list<T>(
        out: &mut Vec<u8>,
        values: &[T],
        write: impl Fn(&mut Vec<u8>, &T) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let count = u32::try_from(values.len()).map_err(|_| CodecError::OverLimit(WHAT))?;
        out.extend_from_slice(&count.to_le_bytes());
        values.iter().try_for_each(|value| write(out, value))
    }
    fn bytes<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) -> Result<(), CodecError> {
        out.extend_from_slice(&bytes);
        Ok(())
    }
    match value {
        PropValue::Null => Ok(()),
        PropValue::Integer16(n) => bytes(out, i32::from(*n as u16).to_le_bytes()),
        PropValue::Integer32(n) => bytes(out, n.to_le_bytes()),
        PropValue::Floating32(x) => bytes(out, x.to_le_bytes()),
        PropValue::Floating64(x) | PropValue::FloatingTime(x) => bytes(out, x.to_le_bytes()),
        PropValue::Currency(n) | PropValue::Integer64(n) => bytes(out, n.to_le_bytes()),
        PropValue::ErrorCode(n) => bytes(out, n.to_le_bytes()),
        PropValue::Boolean(on) => bytes(out, u32::from(*on).to_le_bytes()),
        PropValue::Time(time) => bytes(out, time.0.to_le_bytes()),
        PropValue::Guid(guid) => bytes(out, guid.0),
        PropValue::String(text) => list(out, &[text], |out, text| write_counted(out, &utf16_bytes(text))),
        PropValue::Binary(data) | PropValue::Object(data) => {
            list(out, &[data], |out, data| write_counted(out, data))
        }
        PropValue::MultipleInteger16(l) => {
            list(out, l, |out, n| bytes(out, i32::from(*n as u16).to_le_bytes()))
        }
        PropValue::MultipleInteger32(l) => list(out, l, |out, n| bytes(out, n.to_le_bytes())),
        PropValue::MultipleFloating32(l) => list(out, l, |out, x| bytes(out, x.to_le_bytes())),
        PropValue::MultipleFloating64(l) | PropValue::MultipleFloatingTime(l) => {
            list(out, l, |out, x| bytes(out, x.to_le_bytes()))
        }
        PropValue::MultipleCurrency(l) | PropValue::MultipleInteger64(l) => {
            list(out, l, |out, n| bytes(out, n.to_le_bytes()))
        }
        PropValue::MultipleString(l) => list(out, l, |out, text| write_counted(out, &utf16_bytes(text))),
        PropValue::MultipleTime(l) => list(out, l, |out, time| bytes(out, time.0.to_le_bytes())),
        PropValue::MultipleGuid(l) => list(out, l, |out, guid| bytes(out, guid.0)),
        PropValue::MultipleBinary(l) => list(out, l, |out, data| write_counted(out, data)),
        PropValue::ServerId(_) | PropValue::Restriction(_) | PropValue::RuleAction(_) => {
            Err(CodecError::Invalid("type of a TNEF property"))
        }
    }
}

/// UTF-16 up to its terminator, or to the end.
fn utf16(bytes: &[u8]) -> String {
    let units = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|&unit| unit != 0);
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or('\u{fffd}'))
        .collect()
}

fn utf16_bytes(text: &str) -> Vec<u8> {
    let units = text.encode_utf16().chain([0]);
    units.flat_map(u16::to_le_bytes).collect()
}

/// An 8-bit string up to its terminator, or to the end.
pub(super) fn string8(bytes: &[u8], page: u32) -> String {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    code_page::decode(&bytes[..end], page).into_owned()
}
