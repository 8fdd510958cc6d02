//! Reading bytes from outside: one small reader that can't overrun, and the errors of every codec here.

/// Why bytes are not what a codec reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end before the value does.
    #[error("{0} ends too early")]
    Truncated(&'static str),
    /// There are bytes after the value's end.
    #[error("bytes after the end of {0}")]
    TrailingBytes(&'static str),
    /// A value that the format does not allow.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// More than a named limit of this crate.
    #[error("{0} over its limit")]
    OverLimit(&'static str),
}

/// A position in bytes. Every read says what it reads, for the error.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether all has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An error unless all has been read.
    pub fn finish(self, what: &'static str) -> Result<(), CodecError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CodecError::TrailingBytes(what))
        }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(CodecError::Truncated(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(CodecError::Truncated(what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// A little-endian 16-bit integer.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, CodecError> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// A little-endian 32-bit integer.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// A little-endian 64-bit integer.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A variable-length integer (LEB128: seven bits a byte, low ones first, the top bit set on all but the
    /// last) in its shortest form.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for (at, &byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte holds the one bit that is left of 64.
            if at == 9 && byte > 1 {
                return Err(CodecError::Invalid(what));
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                if byte == 0 && at > 0 {
                    return Err(CodecError::Invalid(what));
                }
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(CodecError::Truncated(what))
    }

    /// A length as a variable-length integer, and that many bytes.
    pub fn prefixed(&mut self, what: &'static str) -> Result<&'a [u8], CodecError> {
        let length = usize::try_from(self.varint(what)?).map_err(|_| CodecError::Truncated(what))?;
        self.take(length, what)
    }
}

/// Appends a variable-length integer as [`Reader::varint`] reads it.
pub fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            write_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint("test"), Ok(value));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn bad_varints_are_refused() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint("test");
        assert_eq!(read(&[]), Err(CodecError::Truncated("test")));
        assert_eq!(read(&[0x80]), Err(CodecError::Truncated("test")));
        assert_eq!(
            read(&[0x80, 0]),
            Err(CodecError::Invalid("test")),
            "not the shortest form"
        );
        assert_eq!(
            read(&[0xff; 11]),
            Err(CodecError::Invalid("test")),
            "more than 64 bits"
        );
    }

    #[test]
    fn reads_never_overrun() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u32("test"), Err(CodecError::Truncated("test")));
        assert_eq!(reader.u16("test"), Ok(0x0201));
        assert_eq!(reader.take(2, "test"), Err(CodecError::Truncated("test")));
        assert_eq!(reader.finish("test"), Err(CodecError::TrailingBytes("test")));
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1])
                .prefixed("test")
                .is_err()
        );
    }
}
