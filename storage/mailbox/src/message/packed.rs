//! Encoded properties, recipients and attachments, compressed: most of their bytes are the same names and
//! addresses again and again, partly in UTF-16, and the same tags in every message.
//!
//! ```text
//! packed := value                      as schema 1 wrote it: begins with another byte than 00, or is 00 alone
//!         | 00 00 value                as it is
//!         | 00 01 varint frame         bytes of the value; a zstd frame without its magic number, made with
//!                                      the dictionary of number 1 (`packed.dictionary`)
//! ```
//!
//! No encoded value that is written begins with 00 by itself: no property has the id 0, and lists are not
//! empty. A dictionary never changes; a better one gets the next number. On mails below 4 kB the
//! values shrink to 0.4.

use std::{borrow::Cow, cell::RefCell, sync::LazyLock};

use ringpost_mapi::{CodecError, Reader, codec::MAX_ENCODED_BYTES, reader::write_varint};
use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

/// Values below this size are not compressed.
const MIN_BYTES: usize = 96;
/// Beyond it, work grows faster than what it saves.
const LEVEL: i32 = 3;
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
const MARK: u8 = 0;
const PLAIN: u8 = 0;
const ZSTD_1: u8 = 1;

/// Made by the test `make_dictionary` from invented messages.
static DICTIONARY_1: &[u8] = include_bytes!("packed.dictionary");
static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));

thread_local! {
    // Making a context costs more than a value.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The value as it is stored.
pub(crate) fn pack(value: Vec<u8>) -> Vec<u8> {
    if value.len() >= MIN_BYTES
        && let Some(frame) = compress(&value)
    {
        let mut out = vec![MARK, ZSTD_1];
        write_varint(&mut out, value.len() as u64);
        out.extend_from_slice(frame.strip_prefix(&MAGIC).unwrap_or(&frame));
        if out.len() < value.len() {
            return out;
        }
    }
    if value.first() == Some(&MARK) {
        return [&[MARK, PLAIN], &value[..]].concat();
    }
    value
}

/// The value that is stored so.
pub(crate) fn unpack(stored: &[u8]) -> Result<Cow<'_, [u8]>, CodecError> {
    const WHAT: &str = "packed value";
    let Some((&MARK, rest)) = stored.split_first() else {
        return Ok(Cow::Borrowed(stored));
    };
    if rest.is_empty() {
        // Schema 1's empty list.
        return Ok(Cow::Borrowed(stored));
    }
    let mut reader = Reader::new(rest);
    match reader.u8(WHAT)? {
        PLAIN => Ok(Cow::Borrowed(&rest[1..])),
        ZSTD_1 => {
            let length = usize::try_from(reader.varint(WHAT)?).unwrap_or(usize::MAX);
            if length > MAX_ENCODED_BYTES {
                return Err(CodecError::OverLimit(WHAT));
            }
            let frame = [&MAGIC, &rest[rest.len() - reader.remaining()..]].concat();
            decompress(&frame, length)
                .filter(|value| value.len() == length)
                .map(Cow::Owned)
                .ok_or(CodecError::Invalid(WHAT))
        }
        _ => Err(CodecError::Invalid(WHAT)),
    }
}

fn compress(value: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            let mut new = Compressor::with_prepared_dictionary(&ENCODER).ok()?;
            // The length stands before the frame, the number of the dictionary too.
            new.include_contentsize(false).ok()?;
            new.include_dictid(false).ok()?;
            *kept = Some(new);
        }
        kept.as_mut()?.compress(value).ok()
    })
}

fn decompress(frame: &[u8], length: usize) -> Option<Vec<u8>> {
    /// How much more than its frame a value is believed to be at first: damage reserves no gigabytes.
    const TRUSTED_BYTES: usize = 1 << 20;
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Some(Decompressor::with_prepared_dictionary(&DECODER).ok()?);
        }
        let decompressor = kept.as_mut()?;
        if length <= TRUSTED_BYTES {
            return decompressor.decompress(frame, length).ok();
        }
        // A block of 128 KiB takes at least 4 bytes: what claims to be more than that is damaged.
        let most = (frame.len() / 4 + 1).saturating_mul(128 * 1024);
        if length > most {
            return None;
        }
        decompressor.decompress(frame, length).ok()
    })
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
