//! Takes the bytes behind BDAT (RFC 3030): counted, so no dot and no line end means anything to SMTP. The line
//! ends of text are mended as after DATA, so that what is stored reads the same however it came; a binary
//! message stays as it is.

use memchr::memchr2;

/// Takes a message's chunks in pieces of any size.
#[derive(Debug)]
pub struct ChunkDecoder {
    binary: bool,
    after_cr: bool,
    at_line_start: bool,
    left: u64,
    too_long: bool,
}

impl ChunkDecoder {
    /// A decoder for a message of at most `limit` bytes, lines mended. `binary` leaves them as they are.
    pub fn new(limit: u64, binary: bool) -> Self {
        Self {
            binary,
            after_cr: false,
            at_line_start: true,
            left: limit,
            too_long: false,
        }
    }

    /// Whether the message passed its limit; what is in the output must not be used.
    pub fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// Appends the message's bytes of `input` to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        if self.binary {
            self.put(out, input);
            return;
        }
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match byte {
                b'\n' => {
                    self.after_cr = false;
                    self.put(out, b"\r\n");
                    at += 1;
                }
                // A CR without LF.
                _ if self.after_cr => {
                    self.after_cr = false;
                    self.put(out, b" ");
                }
                b'\r' => {
                    self.after_cr = true;
                    at += 1;
                }
                _ => {
                    let run = &input[at..];
                    let length = memchr2(b'\r', b'\n', run).unwrap_or(run.len());
                    self.put(out, &run[..length]);
                    at += length;
                }
            }
        }
    }

    /// The last chunk has been pushed: text ends with a line end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.binary {
            return;
        }
        if self.after_cr || !self.at_line_start {
            self.after_cr = false;
            self.put(out, b"\r\n");
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        if bytes.len() as u64 > self.left {
            self.too_long = true;
            self.left = 0;
            return;
        }
        self.left -= bytes.len() as u64;
        self.at_line_start = bytes.last().map_or(self.at_line_start, |&byte| byte == b'\n');
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], binary: bool) -> Vec<u8> {
        let mut answers = (1..=input.len().max(1)).map(|size| {
            let (mut decoder, mut out) = (ChunkDecoder::new(1000, binary), Vec::new());
            for piece in input.chunks(size) {
                decoder.push(piece, &mut out);
            }
            decoder.finish(&mut out);
            out
        });
        let first = answers.next().unwrap();
        assert!(
            answers.all(|answer| answer == first),
            "pieces differ for {input:?}"
        );
        first
    }

    #[test]
    fn dots_mean_nothing_and_lines_are_mended() {
        assert_eq!(decode(b"a\r\n.\r\nb\r\n", false), b"a\r\n.\r\nb\r\n");
        assert_eq!(decode(b"a\n.\rb\r\r\nc", false), b"a\r\n. b \r\nc\r\n");
        assert_eq!(decode(b"a\r", false), b"a\r\n");
        assert_eq!(decode(b"a\r\n", false), b"a\r\n");
        assert_eq!(decode(b"", false), b"");
        assert_eq!(decode(b"a\n\0\rb", true), b"a\n\0\rb");
    }

    #[test]
    fn the_limit_holds_over_chunks() {
        let (mut decoder, mut out) = (ChunkDecoder::new(10, false), Vec::new());
        decoder.push(b"12345", &mut out);
        decoder.push(b"12345", &mut out);
        assert!(!decoder.is_too_long());
        decoder.finish(&mut out);
        assert!(decoder.is_too_long() && out.len() <= 10);
    }
}
