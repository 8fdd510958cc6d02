//! Property bags on disk: a compact, strict encoding with one form for every bag.
//!
//! ```text
//! bag      := entry*                       ascending ids; the bag ends where the bytes end
//! entry    := gap type value
//! gap      := varint                       id minus the previous entry's id (minus 0 for the first), minus 1
//!                                          for all but the first: ids strictly ascend by construction
//! type     := byte                         the value's type, see the table
//!           | 7F varint byte               as above, where the tag's type code (the varint) is not the
//!                                          value's own, such as PtypString8 for a string
//!
//! byte  type             value             |  byte  type               value
//! 01    Null             nothing           |  0D    Object             length bytes
//! 02    Integer16        zigzag            |  14    Integer64          zigzag
//! 03    Integer32        zigzag            |  1F    String             length UTF-8
//! 04    Floating32       4 bytes           |  22    Binary             length bytes
//! 05    Floating64       8 bytes           |  40    Time               8 bytes
//! 06    Currency         8 bytes           |  48    Guid               16 bytes
//! 07    FloatingTime     8 bytes           |  7B    ServerId           length bytes
//! 0A    ErrorCode        4 bytes           |  7D    Restriction        length bytes
//! 0B    Boolean          00 or 01          |  7E    RuleAction         length bytes
//!
//! 80 + byte: the multi-valued type (of 02..07, 14, 1F, 22, 40, 48): length, and in that many bytes
//!            the values one after the other, integers of fixed size (2, 4, 8 bytes), strings and binaries
//!            each with its own length
//!
//! length   := varint                       bytes
//! zigzag   := varint                       of (n << 1) ^ (n >> 63): small magnitudes are short
//! varint   := LEB128, shortest form        integers of fixed size are little-endian
//!
//! bags     := varint (length bag)*         a list of bags; the varint counts them
//! ```
//!
//! A reader that looks for one property passes over the others by their lengths and decodes nothing
//! ([`get_from_encoded`]). An empty bag is no bytes. The codec has no version byte: the schema version of the
//! database that keeps the bytes covers it.

use crate::{FileTime, Guid, PropTag, PropType, PropValue, PropertyBag, reader::write_varint};

pub use crate::reader::{CodecError, Reader};

/// The longest encoding that is read, in bytes: as large as SQLite's largest value.
pub const MAX_ENCODED_BYTES: usize = 1_000_000_000;
/// The most bags in a list. More recipients or attachments no message may have.
pub const MAX_BAGS: usize = 1 << 20;

/// The bag's encoding.
pub fn encode_bag(bag: &PropertyBag) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * bag.len());
    encode_bag_into(bag, &mut out);
    out
}

/// Appends the bag's encoding to `out`.
pub fn encode_bag_into(bag: &PropertyBag, out: &mut Vec<u8>) {
    let mut previous = None;
    for (tag, value) in bag.iter() {
        write_varint(out, gap(previous, tag.id()));
        previous = Some(tag.id());
        let kind = value.kind();
        if tag.kind() != kind {
            out.push(FOREIGN_TYPE);
            write_varint(out, u64::from(tag.kind().0));
        }
        out.push(type_byte(kind));
        write_value(value, out);
    }
}

/// The bag that `bytes` encode.
pub fn decode_bag(bytes: &[u8]) -> Result<PropertyBag, CodecError> {
    let mut bag = PropertyBag::new();
    for entry in EncodedBag::new(bytes)? {
        let entry = entry?;
        bag.set(entry.tag, entry.value()?);
    }
    Ok(bag)
}

/// The property with the tag's id, read from an encoded bag without decoding the others.
pub fn get_from_encoded(bytes: &[u8], tag: PropTag) -> Result<Option<PropValue>, CodecError> {
    for entry in EncodedBag::new(bytes)? {
        let entry = entry?;
        if entry.tag.id() >= tag.id() {
            return if entry.tag.id() == tag.id() {
                entry.value().map(Some)
            } else {
                Ok(None)
            };
        }
    }
    Ok(None)
}

/// The encoding of a list of bags, such as a message's recipients.
pub fn encode_bags(bags: &[PropertyBag]) -> Vec<u8> {
    let mut out = Vec::new();
    write_varint(&mut out, bags.len() as u64);
    for bag in bags {
        write_bytes(&mut out, &encode_bag(bag));
    }
    out
}

/// The list of bags that `bytes` encode; at most [`MAX_BAGS`].
pub fn decode_bags(bytes: &[u8]) -> Result<Vec<PropertyBag>, CodecError> {
    let mut reader = limited(bytes)?;
    let count = reader.varint("list of bags")?;
    let count = usize::try_from(count)
        .ok()
        .filter(|&n| n <= MAX_BAGS)
        .ok_or(CodecError::OverLimit("bags"))?;
    // A bag is at least the byte of its length: a count that the bytes can't hold reserves nothing.
    let mut bags = Vec::with_capacity(count.min(reader.remaining()));
    for _ in 0..count {
        bags.push(decode_bag(reader.prefixed("list of bags")?)?);
    }
    reader.finish("list of bags")?;
    Ok(bags)
}

/// The entries of an encoded bag, one by one, undecoded. After an error it ends.
#[derive(Clone, Debug)]
pub struct EncodedBag<'a> {
    reader: Reader<'a>,
    previous: Option<u16>,
}

/// A property of an [`EncodedBag`].
#[derive(Clone, Copy, Debug)]
pub struct EncodedEntry<'a> {
    /// Its tag.
    pub tag: PropTag,
    kind: PropType,
    bytes: &'a [u8],
}

impl<'a> EncodedBag<'a> {
    /// The entries of the bag in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, CodecError> {
        Ok(Self {
            reader: limited(bytes)?,
            previous: None,
        })
    }

    fn entry(&mut self) -> Result<EncodedEntry<'a>, CodecError> {
        let reader = &mut self.reader;
        let base = self.previous.map_or(0, |id| u64::from(id) + 1);
        let id = reader
            .varint("property id")?
            .checked_add(base)
            .and_then(|id| u16::try_from(id).ok())
            .ok_or(CodecError::Invalid("property id"))?;
        let mut code = reader.u8("property type")?;
        let mut tagged = None;
        if code == FOREIGN_TYPE {
            let kind = reader.varint("property type")?;
            tagged = Some(PropType(
                u16::try_from(kind).map_err(|_| CodecError::Invalid("property type"))?,
            ));
            code = reader.u8("property type")?;
        }
        let kind = type_of_byte(code).ok_or(CodecError::Invalid("property type"))?;
        if tagged == Some(kind) {
            // Its own type needs no mention: there is one form for every bag.
            return Err(CodecError::Invalid("property type"));
        }
        let bytes = raw_value(reader, kind)?;
        self.previous = Some(id);
        Ok(EncodedEntry {
            tag: PropTag::new(id, tagged.unwrap_or(kind)),
            kind,
            bytes,
        })
    }
}

impl<'a> Iterator for EncodedBag<'a> {
    type Item = Result<EncodedEntry<'a>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(entry)
    }
}

impl EncodedEntry<'_> {
    /// The value, decoded.
    pub fn value(&self) -> Result<PropValue, CodecError> {
        decode_value(self.kind, self.bytes)
    }
}

/// Type byte that says: the tag's type follows, then the value's.
const FOREIGN_TYPE: u8 = 0x7f;
/// Set in the type byte of multi-valued types.
const MULTIPLE_BYTE: u8 = 0x80;
const VALUE: &str = "property value";

fn limited(bytes: &[u8]) -> Result<Reader<'_>, CodecError> {
    if bytes.len() > MAX_ENCODED_BYTES {
        return Err(CodecError::OverLimit("encoded properties"));
    }
    Ok(Reader::new(bytes))
}

fn gap(previous: Option<u16>, id: u16) -> u64 {
    u64::from(id) - previous.map_or(0, |previous| u64::from(previous) + 1)
}

fn type_byte(kind: PropType) -> u8 {
    let multiple = if kind.0 & PropType::MULTIPLE == 0 {
        0
    } else {
        MULTIPLE_BYTE
    };
    multiple
        | match PropType(kind.0 & !PropType::MULTIPLE) {
            PropType::BINARY => 0x22,
            PropType::SERVER_ID => 0x7b,
            PropType::RESTRICTION => 0x7d,
            PropType::RULE_ACTION => 0x7e,
            other => other.0 as u8,
        }
}

fn type_of_byte(byte: u8) -> Option<PropType> {
    let single = match byte & !MULTIPLE_BYTE {
        0x01 => PropType::NULL,
        0x02 => PropType::INTEGER16,
        0x03 => PropType::INTEGER32,
        0x04 => PropType::FLOATING32,
        0x05 => PropType::FLOATING64,
        0x06 => PropType::CURRENCY,
        0x07 => PropType::FLOATING_TIME,
        0x0a => PropType::ERROR_CODE,
        0x0b => PropType::BOOLEAN,
        0x0d => PropType::OBJECT,
        0x14 => PropType::INTEGER64,
        0x1f => PropType::STRING,
        0x22 => PropType::BINARY,
        0x40 => PropType::TIME,
        0x48 => PropType::GUID,
        0x7b => PropType::SERVER_ID,
        0x7d => PropType::RESTRICTION,
        0x7e => PropType::RULE_ACTION,
        _ => return None,
    };
    if byte & MULTIPLE_BYTE == 0 {
        Some(single)
    } else {
        single.multiple()
    }
}

/// The bytes of a value, without the length before them.
fn raw_value<'a>(reader: &mut Reader<'a>, kind: PropType) -> Result<&'a [u8], CodecError> {
    let fixed = match kind {
        PropType::NULL => 0,
        PropType::BOOLEAN => 1,
        PropType::FLOATING32 | PropType::ERROR_CODE => 4,
        PropType::FLOATING64 | PropType::CURRENCY | PropType::FLOATING_TIME | PropType::TIME => 8,
        PropType::GUID => 16,
        PropType::INTEGER16 | PropType::INTEGER32 | PropType::INTEGER64 => {
            let whole = reader.rest();
            reader.varint(VALUE)?;
            return Ok(&whole[..whole.len() - reader.remaining()]);
        }
        _ => return reader.prefixed(VALUE),
    };
    reader.take(fixed, VALUE)
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_zigzag(out: &mut Vec<u8>, value: i64) {
    write_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn write_list<T>(out: &mut Vec<u8>, values: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    let mut body = Vec::with_capacity(size_of_val(values));
    for value in values {
        write(&mut body, value);
    }
    write_bytes(out, &body);
}

fn write_value(value: &PropValue, out: &mut Vec<u8>) {
    match value {
        PropValue::Null => {}
        PropValue::Integer16(n) => write_zigzag(out, i64::from(*n)),
        PropValue::Integer32(n) => write_zigzag(out, i64::from(*n)),
        PropValue::Integer64(n) => write_zigzag(out, *n),
        PropValue::Floating32(x) => out.extend_from_slice(&x.to_le_bytes()),
        PropValue::Floating64(x) | PropValue::FloatingTime(x) => out.extend_from_slice(&x.to_le_bytes()),
        PropValue::Currency(n) => out.extend_from_slice(&n.to_le_bytes()),
        PropValue::ErrorCode(n) => out.extend_from_slice(&n.to_le_bytes()),
        PropValue::Boolean(b) => out.push(u8::from(*b)),
        PropValue::String(text) => write_bytes(out, text.as_bytes()),
        PropValue::Time(time) => out.extend_from_slice(&time.0.to_le_bytes()),
        PropValue::Guid(guid) => out.extend_from_slice(&guid.0),
        PropValue::ServerId(bytes)
        | PropValue::Restriction(bytes)
        | PropValue::RuleAction(bytes)
        | PropValue::Binary(bytes)
        | PropValue::Object(bytes) => write_bytes(out, bytes),
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
        PropValue::MultipleString(list) => write_list(out, list, |o, text| write_bytes(o, text.as_bytes())),
        PropValue::MultipleTime(list) => {
            write_list(out, list, |o, time| o.extend_from_slice(&time.0.to_le_bytes()));
        }
        PropValue::MultipleGuid(list) => write_list(out, list, |o, guid| o.extend_from_slice(&guid.0)),
        PropValue::MultipleBinary(list) => write_list(out, list, |o, bytes| write_bytes(o, bytes)),
    }
}

fn decode_value(kind: PropType, bytes: &[u8]) -> Result<PropValue, CodecError> {
    let mut reader = Reader::new(bytes);
    let value = match kind {
        PropType::NULL => PropValue::Null,
        PropType::INTEGER16 => PropValue::Integer16(zigzag(&mut reader)?),
        PropType::INTEGER32 => PropValue::Integer32(zigzag(&mut reader)?),
        PropType::INTEGER64 => PropValue::Integer64(zigzag(&mut reader)?),
        PropType::FLOATING32 => PropValue::Floating32(f32::from_le_bytes(reader.array(VALUE)?)),
        PropType::FLOATING64 => PropValue::Floating64(f64::from_le_bytes(reader.array(VALUE)?)),
        PropType::CURRENCY => PropValue::Currency(i64::from_le_bytes(reader.array(VALUE)?)),
        PropType::FLOATING_TIME => PropValue::FloatingTime(f64::from_le_bytes(reader.array(VALUE)?)),
        PropType::ERROR_CODE => PropValue::ErrorCode(reader.u32(VALUE)?),
        PropType::BOOLEAN => match reader.u8(VALUE)? {
            0 => PropValue::Boolean(false),
            1 => PropValue::Boolean(true),
            _ => return Err(CodecError::Invalid("boolean")),
        },
        PropType::STRING => return text(bytes).map(PropValue::String),
        PropType::TIME => PropValue::Time(FileTime(reader.u64(VALUE)?)),
        PropType::GUID => PropValue::Guid(Guid(reader.array(VALUE)?)),
        PropType::SERVER_ID => return Ok(PropValue::ServerId(bytes.to_vec())),
        PropType::RESTRICTION => return Ok(PropValue::Restriction(bytes.to_vec())),
        PropType::RULE_ACTION => return Ok(PropValue::RuleAction(bytes.to_vec())),
        PropType::BINARY => return Ok(PropValue::Binary(bytes.to_vec())),
        PropType::OBJECT => return Ok(PropValue::Object(bytes.to_vec())),
        PropType::MULTIPLE_INTEGER16 => PropValue::MultipleInteger16(fixed(&mut reader, i16::from_le_bytes)?),
        PropType::MULTIPLE_INTEGER32 => PropValue::MultipleInteger32(fixed(&mut reader, i32::from_le_bytes)?),
        PropType::MULTIPLE_FLOATING32 => {
            PropValue::MultipleFloating32(fixed(&mut reader, f32::from_le_bytes)?)
        }
        PropType::MULTIPLE_FLOATING64 => {
            PropValue::MultipleFloating64(fixed(&mut reader, f64::from_le_bytes)?)
        }
        PropType::MULTIPLE_CURRENCY => PropValue::MultipleCurrency(fixed(&mut reader, i64::from_le_bytes)?),
        PropType::MULTIPLE_FLOATING_TIME => {
            PropValue::MultipleFloatingTime(fixed(&mut reader, f64::from_le_bytes)?)
        }
        PropType::MULTIPLE_INTEGER64 => PropValue::MultipleInteger64(fixed(&mut reader, i64::from_le_bytes)?),
        PropType::MULTIPLE_TIME => {
            PropValue::MultipleTime(fixed(&mut reader, |bytes| FileTime(u64::from_le_bytes(bytes)))?)
        }
        PropType::MULTIPLE_GUID => PropValue::MultipleGuid(fixed(&mut reader, Guid)?),
        PropType::MULTIPLE_STRING => PropValue::MultipleString(prefixed(&mut reader, text)?),
        PropType::MULTIPLE_BINARY => {
            PropValue::MultipleBinary(prefixed(&mut reader, |bytes| Ok(bytes.to_vec()))?)
        }
        _ => return Err(CodecError::Invalid("property type")),
    };
    reader.finish(VALUE)?;
    Ok(value)
}

fn zigzag<T: TryFrom<i64>>(reader: &mut Reader<'_>) -> Result<T, CodecError> {
    let raw = reader.varint(VALUE)?;
    let value = (raw >> 1) as i64 ^ -((raw & 1) as i64);
    T::try_from(value).map_err(|_| CodecError::Invalid("integer"))
}

fn text(bytes: &[u8]) -> Result<String, CodecError> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| CodecError::Invalid("UTF-8"))
}

fn fixed<T, const N: usize>(
    reader: &mut Reader<'_>,
    value: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, CodecError> {
    let mut list = Vec::with_capacity(reader.remaining() / N);
    while !reader.is_empty() {
        list.push(value(reader.array(VALUE)?));
    }
    Ok(list)
}

fn prefixed<T>(
    reader: &mut Reader<'_>,
    value: impl Fn(&[u8]) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let mut list = Vec::new();
    while !reader.is_empty() {
        list.push(value(reader.prefixed(VALUE)?)?);
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
