//! Compressed content: zstd in frames that can be read one by one.
//!
//! ```text
//! content  := frame+ index?           each frame holds FRAME_BYTES of the value, the last one the rest
//! index    := skippable zstd frame    present when there is more than one frame:
//!             magic 184D2A5E, size    (u32 each, little-endian, as in every skippable frame)
//!             length of each frame    u32 each
//!             count, "rpf1"           u32 and 4 bytes: found from the end
//! ```
//!
//! The whole is a valid zstd stream: `zstd -d` makes the value of a content file.
//!
//! A message of one frame has two where its body is long: the header and the rest. Clients list mailboxes by header
//! fields, and a frame is decompressed whole.

use std::cell::RefCell;

use crate::StoreError;

/// Bytes of the value in a frame: what reading a small range of a large value has to decompress.
pub(crate) const FRAME_BYTES: usize = 256 * 1024;
const SKIPPABLE_MAGIC: u32 = 0x184d_2a5e;
const INDEX_MAGIC: [u8; 4] = *b"rpf1";
/// Count and magic, at the very end.
pub(crate) const INDEX_TAIL: usize = 8;
/// Below this, zstd's own framing eats what it saves.
const MIN_COMPRESSED: usize = 64;

/// Values up to this size are compressed on the core while a sender waits: at [`SMALL_LEVEL`].
const SMALL_BYTES: usize = 64 * 1024;
/// Level for small values: zstd's fastest strategy that still looks everywhere, without entropy coding of literals, which
/// a short message neither wins much by nor reads fast. 10 kB of plain text, its header apart: level -1 leaves 0.431 of it
/// in 26 µs and reads it in 7.0, level 1 0.354 in 31 and 10.0, level 6 (`exmdb_file_compression`'s default) took 540;
/// a header alone is read in 0.6 instead of 1.8 µs. What is above 4 kB then goes to overflow pages, so that eight messages'
/// beginnings, with their headers, share a page.
const SMALL_LEVEL: i32 = -1;

type Kept<T> = RefCell<Option<T>>;

thread_local! {
    // Making a context costs more than compressing or decompressing a small message.
    static SMALL_COMPRESSOR: Kept<(i32, zstd::bulk::Compressor<'static>)> = const { RefCell::new(None) };
    static COMPRESSOR: Kept<(i32, zstd::bulk::Compressor<'static>)> = const { RefCell::new(None) };
    static DECOMPRESSOR: Kept<zstd::bulk::Decompressor<'static>> = const { RefCell::new(None) };
}

/// Bytes of body with which the header has a frame of its own: it costs some 60 bytes, and to decompress less than
/// this is no matter.
const LONG_BODY: usize = 2560;

/// Compresses `value`; `None` where that saves nothing.
pub(crate) fn compress(value: &[u8], level: i32) -> Option<Vec<u8>> {
    compress_pieces(value, value.chunks(FRAME_BYTES), level)
}

/// [`compress`] of a message whose header has so many bytes.
pub(crate) fn compress_message(value: &[u8], header: usize, level: i32) -> Option<Vec<u8>> {
    let apart = value.len() <= FRAME_BYTES && header > 0 && value.len().saturating_sub(header) >= LONG_BODY;
    if !apart {
        return compress(value, level);
    }
    let (header, body) = value.split_at(header);
    compress_pieces(value, [header, body].into_iter(), level)
}

fn compress_pieces<'a>(value: &[u8], pieces: impl Iterator<Item = &'a [u8]>, level: i32) -> Option<Vec<u8>> {
    if value.len() < MIN_COMPRESSED {
        return None;
    }
    let (compressor, level) = if value.len() <= SMALL_BYTES {
        (&SMALL_COMPRESSOR, SMALL_LEVEL)
    } else {
        (&COMPRESSOR, level.clamp(1, 22))
    };
    compressor.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(known, _)| *known != level) {
            let mut compressor = zstd::bulk::Compressor::new(level).ok()?;
            // Four bytes a frame: what a disk returned damaged is noticed, not sent to a client.
            compressor.include_checksum(true).ok()?;
            *kept = Some((level, compressor));
        }
        let (_, compressor) = kept.as_mut()?;
        let mut out = Vec::new();
        let mut lengths = Vec::new();
        for piece in pieces {
            let frame = compressor.compress(piece).ok()?;
            lengths.push(frame.len() as u32);
            out.extend_from_slice(&frame);
        }
        if value.len() > FRAME_BYTES {
            out.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
            out.extend_from_slice(&((lengths.len() * 4 + INDEX_TAIL) as u32).to_le_bytes());
            for length in &lengths {
                out.extend_from_slice(&length.to_le_bytes());
            }
            out.extend_from_slice(&(lengths.len() as u32).to_le_bytes());
            out.extend_from_slice(&INDEX_MAGIC);
        }
        (out.len() < value.len()).then_some(out)
    })
}

/// Frames of a value of `size` bytes.
pub(crate) fn frame_count(size: u64) -> u64 {
    size.div_ceil(FRAME_BYTES as u64).max(1)
}

/// Appends the `length` bytes of the value that one frame holds, or a header's and the rest's.
pub(crate) fn decompress(frame: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let before = out.len();
    out.resize(before + length, 0);
    let written = DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Some(zstd::bulk::Decompressor::new()?);
        }
        kept.as_mut().map_or(Ok(0), |decompressor| {
            decompressor.decompress_to_buffer(frame, &mut out[before..])
        })
    });
    if !matches!(written, Ok(written) if written == length) {
        out.truncate(before);
        return Err(StoreError::damaged("compressed content"));
    }
    Ok(())
}

/// The first of two frames of a message's source: its stored bytes, and how many it holds.
pub(crate) fn header_frame(stored: &[u8]) -> Option<(&[u8], usize)> {
    let length = zstd::zstd_safe::find_frame_compressed_size(stored).ok()?;
    let frame = stored.get(..length).filter(|frame| frame.len() < stored.len())?;
    let holds = zstd::zstd_safe::get_frame_content_size(frame).ok()??;
    Some((frame, usize::try_from(holds).ok()?))
}

/// Where each of `count` frames is, from the stored bytes' total length and the end of them. `tail` holds
/// at least the index ([`index_length`] bytes).
pub(crate) fn frame_ranges(
    stored: u64,
    count: u64,
    tail: &[u8],
) -> Result<Vec<std::ops::Range<u64>>, StoreError> {
    if count == 1 {
        return Ok(std::iter::once(0..stored).collect());
    }
    let damaged = || StoreError::damaged("index of compressed content");
    let index = index_length(count);
    let start = tail.len().checked_sub(index).ok_or_else(damaged)?;
    let (lengths, end) = tail[start + 8..].split_at(index - 8 - INDEX_TAIL);
    if end[4..] != INDEX_MAGIC || end[..4] != (count as u32).to_le_bytes() {
        return Err(damaged());
    }
    let mut at = 0;
    let ranges: Vec<_> = lengths
        .as_chunks::<4>()
        .0
        .iter()
        .map(|length| {
            let start = at;
            at += u64::from(u32::from_le_bytes(*length));
            start..at
        })
        .collect();
    if at + index as u64 != stored {
        return Err(damaged());
    }
    Ok(ranges)
}

/// Bytes of the index of `count` frames, its own header included.
pub(crate) fn index_length(count: u64) -> usize {
    if count == 1 {
        0
    } else {
        8 + count as usize * 4 + INDEX_TAIL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(length: usize) -> Vec<u8> {
        (0..length).map(|i| ((i / 7) * 31 % 251) as u8).collect()
    }

    #[test]
    fn frames_are_found_and_read_one_by_one() {
        let value = value(3 * FRAME_BYTES + 5);
        let stored = compress(&value, 3).unwrap();
        let ranges = frame_ranges(stored.len() as u64, frame_count(value.len() as u64), &stored).unwrap();
        assert_eq!(ranges.len(), 4);
        for (piece, range) in value.chunks(FRAME_BYTES).zip(ranges) {
            let frame = &stored[range.start as usize..range.end as usize];
            let mut read = b"before".to_vec();
            decompress(frame, piece.len(), &mut read).unwrap();
            assert_eq!(read.strip_prefix(b"before").unwrap(), piece);
        }
        assert_eq!(
            zstd::stream::decode_all(&stored[..]).unwrap(),
            value,
            "zstd reads it whole"
        );
    }

    #[test]
    fn a_header_is_read_without_the_rest() {
        let value = value(20_000);
        for header in [1, 100, 700, 17_000] {
            let stored = compress_message(&value, header, 3).unwrap();
            let (frame, holds) = header_frame(&stored).unwrap();
            assert_eq!(holds, header);
            let mut read = Vec::new();
            decompress(frame, holds, &mut read).unwrap();
            assert_eq!(read, value[..header]);
            // All of it at once, as any program reads it.
            let mut read = Vec::new();
            decompress(&stored, value.len(), &mut read).unwrap();
            assert_eq!(read, value);
            assert_eq!(zstd::stream::decode_all(&stored[..]).unwrap(), value);
        }
        // Of a short body, of no header, and of what has frames by size, it is no frame of its own.
        let long = self::value(FRAME_BYTES + 1);
        for (value, header) in [(&value, 19_000), (&value, 0), (&value, 20_000), (&long, 700)] {
            let stored = compress_message(value, header, 3).unwrap();
            assert_eq!(Some(stored), compress(value, 3));
        }
        assert_eq!(header_frame(&compress(&value, 3).unwrap()), None);
        assert_eq!(header_frame(b"no frame"), None);
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        assert_eq!(compress(b"short", 3), None);
        let noise: Vec<u8> = blake3::Hasher::new().finalize_xof().fill_to(1000);
        assert_eq!(compress(&noise, 3), None);
    }

    trait Fill {
        fn fill_to(self, length: usize) -> Vec<u8>;
    }
    impl Fill for blake3::OutputReader {
        fn fill_to(mut self, length: usize) -> Vec<u8> {
            let mut out = vec![0; length];
            self.fill(&mut out);
            out
        }
    }

    #[test]
    fn damage_is_an_error() {
        let value = value(2 * FRAME_BYTES);
        let stored = compress(&value, 3).unwrap();
        let length = stored.len() as u64;
        assert!(frame_ranges(length, 3, &stored).is_err());
        assert!(frame_ranges(length + 1, 2, &stored).is_err());
        assert!(frame_ranges(4, 2, &stored[..4]).is_err());
        let mut out = b"before".to_vec();
        assert!(decompress(&stored[..10], FRAME_BYTES, &mut out).is_err());
        assert_eq!(out, b"before", "nothing is left of what failed");
        // Also where the damaged frame is as well-formed as before.
        let text: Vec<u8> = (0..50_000u32)
            .flat_map(|n| (n * n % 9973).to_le_bytes())
            .collect();
        let text = &text[..FRAME_BYTES / 2];
        let stored = compress(text, 3).unwrap();
        for at in (20..stored.len()).step_by(997) {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x10;
            assert!(
                decompress(&damaged, text.len(), &mut Vec::new()).is_err(),
                "byte {at}"
            );
        }
    }
}
