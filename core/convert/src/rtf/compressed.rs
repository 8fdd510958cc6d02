//! `PidTagRtfCompressed`: LZ77 over a window that begins with what most RTF begins with (MS-OXRTFCP).

use ringpost_mapi::{CodecError, Reader};

/// The most bytes of RTF that [`decompress`] gives. A reference is 2 bytes for at most 17, so the compressed form
/// bounds the memory already; this bounds the sum over many.
pub const MAX_RTF_BYTES: usize = 256 << 20;

/// MS-OXRTFCP 2.1.3.1.1: `LZFu` and `MELA`.
const COMPRESSED: u32 = 0x7546_5a4c;
const UNCOMPRESSED: u32 = 0x414c_454d;
/// Bytes of the header that `COMPSIZE` counts.
const COUNTED_HEADER: usize = 12;
const WINDOW: usize = 4096;
const MIN_MATCH: usize = 2;
const MAX_MATCH: usize = 17;
/// Earlier places that the writer tries for a match.
const MAX_TRIES: usize = 48;

/// What the window holds before the first byte (2.1.3.1.4).
const PREFIX: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \
\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\
\\b\\i\\u\\tab\\tx";

/// The RTF in a compressed stream. Streams whose sizes or checksum are wrong are refused, as 3.1.2 asks.
pub fn decompress(stream: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut reader = Reader::new(stream);
    let compressed_size = reader.u32(WHAT)? as usize;
    let raw_size = reader.u32(WHAT)? as usize;
    let kind = reader.u32(WHAT)?;
    let checksum = reader.u32(WHAT)?;
    if raw_size > MAX_RTF_BYTES {
        return Err(CodecError::OverLimit(WHAT));
    }
    let contents = compressed_size
        .checked_sub(COUNTED_HEADER)
        .and_then(|size| reader.rest().get(..size))
        .ok_or(CodecError::Truncated(WHAT))?;
    match kind {
        // Some writers count less than they write, so what is there is taken.
        UNCOMPRESSED => Ok(contents[..raw_size.min(contents.len())].to_vec()),
        COMPRESSED if crc(contents) != checksum => Err(CodecError::Invalid("checksum of compressed RTF")),
        COMPRESSED => expand(contents, raw_size),
        _ => Err(CodecError::Invalid("kind of compressed RTF")),
    }
}

const WHAT: &str = "compressed RTF";

fn expand(contents: &[u8], raw_size: usize) -> Result<Vec<u8>, CodecError> {
    let mut window = [0_u8; WINDOW];
    window[..PREFIX.len()].copy_from_slice(PREFIX);
    let mut at = PREFIX.len();
    // At most 17 bytes come of 2, whatever the header says.
    let mut out = Vec::with_capacity(raw_size.min(contents.len().saturating_mul(MAX_MATCH / 2 + 1)));
    let mut reader = Reader::new(contents);
    while !reader.is_empty() {
        let control = reader.u8(WHAT)?;
        for bit in 0..8 {
            if reader.is_empty() {
                break;
            }
            if control >> bit & 1 == 0 {
                let byte = reader.u8(WHAT)?;
                window[at] = byte;
                at = (at + 1) % WINDOW;
                out.push(byte);
                continue;
            }
            let reference = u16::from_be_bytes(reader.array(WHAT)?);
            let (offset, length) = (
                usize::from(reference >> 4),
                usize::from(reference & 0xf) + MIN_MATCH,
            );
            if offset == at {
                return Ok(out);
            }
            for step in 0..length {
                let byte = window[(offset + step) % WINDOW];
                window[at] = byte;
                at = (at + 1) % WINDOW;
                out.push(byte);
            }
        }
        if out.len() > MAX_RTF_BYTES {
            return Err(CodecError::OverLimit(WHAT));
        }
    }
    // Without its end mark; what came is whole if the header's count agrees.
    if out.len() >= raw_size {
        out.truncate(raw_size);
        Ok(out)
    } else {
        Err(CodecError::Truncated(WHAT))
    }
}

/// The compressed stream of this RTF; over 4 GiB, which no property has, is an error.
pub fn compress(rtf: &[u8]) -> Result<Vec<u8>, CodecError> {
    let raw_size = u32::try_from(rtf.len()).map_err(|_| CodecError::OverLimit(WHAT))?;
    let mut contents = Vec::with_capacity(rtf.len() / 2 + 32);
    let mut matcher = Matcher::new(rtf);
    let (mut tokens, mut control, mut count) = ([0_u8; 16], 0_u8, 0);
    let mut used = 0;
    loop {
        let end = matcher.at_end();
        let found = matcher.longest();
        if let Some((offset, length)) = found {
            let reference = ((offset % WINDOW) << 4 | (length - MIN_MATCH)) as u16;
            tokens[used..used + 2].copy_from_slice(&reference.to_be_bytes());
            used += 2;
            control |= 1 << count;
            matcher.advance(length);
        } else if end {
            let reference = ((matcher.at % WINDOW) << 4) as u16;
            tokens[used..used + 2].copy_from_slice(&reference.to_be_bytes());
            used += 2;
            control |= 1 << count;
        } else {
            tokens[used] = matcher.data[matcher.at];
            used += 1;
            matcher.advance(1);
        }
        count += 1;
        if count == 8 || end {
            contents.push(control);
            contents.extend_from_slice(&tokens[..used]);
            (control, count, used) = (0, 0, 0);
        }
        if end {
            break;
        }
    }
    let size = u32::try_from(contents.len() + COUNTED_HEADER).map_err(|_| CodecError::OverLimit(WHAT))?;
    let mut stream = Vec::with_capacity(contents.len() + COUNTED_HEADER + 4);
    for word in [size, raw_size, COMPRESSED, crc(&contents)] {
        stream.extend_from_slice(&word.to_le_bytes());
    }
    stream.extend_from_slice(&contents);
    Ok(stream)
}

/// Finds the longest earlier piece that what comes next repeats.
struct Matcher {
    /// The window's prefix, then the RTF.
    data: Vec<u8>,
    at: usize,
    /// The latest place of each pair of bytes, counted from 1.
    heads: Vec<u32>,
    /// The place before, of the place at this index of the window.
    before: [u32; WINDOW],
}

impl Matcher {
    fn new(rtf: &[u8]) -> Self {
        let mut matcher = Self {
            data: [PREFIX, rtf].concat(),
            at: 0,
            heads: vec![0; 1 << 16],
            before: [0; WINDOW],
        };
        matcher.advance(PREFIX.len());
        matcher
    }

    fn at_end(&self) -> bool {
        self.at == self.data.len()
    }

    fn pair(&self, at: usize) -> Option<usize> {
        let pair = self.data.get(at..at + 2)?;
        Some(usize::from(pair[0]) << 8 | usize::from(pair[1]))
    }

    fn advance(&mut self, by: usize) {
        for at in self.at..self.at + by {
            if let Some(pair) = self.pair(at) {
                self.before[at % WINDOW] = self.heads[pair];
                self.heads[pair] = at as u32 + 1;
            }
        }
        self.at += by;
    }

    /// Where it begins and how long it is.
    fn longest(&self) -> Option<(usize, usize)> {
        let rest = &self.data[self.at..];
        let limit = rest.len().min(MAX_MATCH);
        let mut place = self.heads[self.pair(self.at)?];
        let mut best = None;
        let mut best_length = MIN_MATCH - 1;
        for _ in 0..MAX_TRIES {
            let Some(start) = (place as usize).checked_sub(1) else {
                break;
            };
            // A reference to the place where the next byte goes would mean the end.
            if self.at - start >= WINDOW {
                break;
            }
            let earlier = &self.data[start..];
            let length = (0..limit).take_while(|&n| earlier[n] == rest[n]).count();
            if length > best_length {
                (best, best_length) = (Some((start, length)), length);
                if length == limit {
                    break;
                }
            }
            place = self.before[start % WINDOW];
        }
        best
    }
}

/// CRC-32 of the usual polynomial, but begun with 0 and not inverted (2.1.3.1.2).
fn crc(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    bytes
        .iter()
        .fold(0, |crc, &byte| crc >> 8 ^ TABLE[usize::from((crc as u8) ^ byte)])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// MS-OXRTFCP 4.1 and 4.2.
    const EXAMPLES: [(&[u8], &[u8]); 2] = [
        (
            b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
            b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125B2\x0a\xf3 hel\x09\0 bw\x05\xb0ld}\x0a\x80\x0f\xa0",
        ),
        (
            b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}",
            b"\x1a\0\0\0\x1c\0\0\0LZFu\xe2\xd4\x4b\x51\x41\0\x04 WXYZ\x0d\x6e}\x01\x0e\xb0",
        ),
    ];

    #[test]
    fn the_specification_s_examples() {
        assert_eq!(PREFIX.len(), 207);
        for (rtf, stream) in EXAMPLES {
            assert_eq!(decompress(stream).unwrap(), rtf);
            assert_eq!(decompress(&compress(rtf).unwrap()).unwrap(), rtf);
            assert!(compress(rtf).unwrap().len() <= stream.len());
        }
    }

    #[test]
    fn uncompressed_streams() {
        let stream = b"\x10\0\0\0\x04\0\0\0MELA\0\0\0\0{\\r}";
        assert_eq!(decompress(stream).unwrap(), b"{\\r}");
    }

    #[test]
    fn damage_is_told() {
        let stream = EXAMPLES[0].1;
        for end in 0..stream.len() {
            assert!(decompress(&stream[..end]).is_err(), "{end}");
        }
        let mut wrong = stream.to_vec();
        wrong[20] ^= 1;
        assert_eq!(
            decompress(&wrong),
            Err(CodecError::Invalid("checksum of compressed RTF"))
        );
        assert_eq!(
            decompress(b"\x0c\0\0\0\xff\xff\xff\xffLZFu\0\0\0\0"),
            Err(CodecError::OverLimit(WHAT))
        );
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(words in prop::collection::vec("[a-z\\\\{} ]{1,9}", 0..2000), cut in 0..9_usize) {
            let rtf = words.concat().into_bytes();
            let rtf = &rtf[..rtf.len().saturating_sub(cut)];
            prop_assert_eq!(decompress(&compress(rtf).unwrap()).unwrap(), rtf);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut stream = vec![0; 4];
            stream[0] = (bytes.len() + COUNTED_HEADER) as u8;
            stream.extend_from_slice(&1000_u32.to_le_bytes());
            stream.extend_from_slice(&COMPRESSED.to_le_bytes());
            stream.extend_from_slice(&crc(&bytes).to_le_bytes());
            stream.extend_from_slice(&bytes);
            let _ = decompress(&stream);
        }
    }
}
