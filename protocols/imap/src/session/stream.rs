//! The connection with what was read and not yet consumed, and with compression (RFC 4978) once it is on.

use std::{io, time::Duration};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use ringpost_host::Connection;

use crate::limits;

/// Bytes to and from the client.
pub(crate) struct Stream<'a, C> {
    pub(crate) connection: &'a mut C,
    /// Received, not yet consumed.
    pub(crate) input: Vec<u8>,
    compression: Option<Box<Codec>>,
}

struct Codec {
    inflate: Decompress,
    deflate: Compress,
    /// Received, not yet decompressed.
    compressed: Vec<u8>,
    /// The decompressor filled its output: it may have more without new input.
    more: bool,
}

impl<'a, C: Connection> Stream<'a, C> {
    pub(crate) fn new(connection: &'a mut C, input: Vec<u8>) -> Self {
        Self {
            connection,
            input,
            compression: None,
        }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    /// From here on both directions are compressed; what was read already is compressed input.
    pub(crate) fn start_compression(&mut self) {
        self.compression = Some(Box::new(Codec {
            inflate: Decompress::new(false),
            deflate: Compress::new(Compression::new(3), false),
            compressed: std::mem::take(&mut self.input),
            more: true,
        }));
    }

    /// Waits for input. `Ok(0)` is the end. May be dropped while it waits: nothing is lost.
    pub(crate) async fn fill(&mut self, timeout: Duration) -> io::Result<usize> {
        if self.input.is_empty() {
            // An idle session keeps no buffer.
            self.input = Vec::new();
        }
        let Some(codec) = &mut self.compression else {
            return self.connection.read(&mut self.input, timeout).await;
        };
        loop {
            if codec.more || !codec.compressed.is_empty() {
                let before = self.input.len();
                codec.inflate(&mut self.input)?;
                if self.input.len() > before {
                    return Ok(self.input.len() - before);
                }
            }
            if self.connection.read(&mut codec.compressed, timeout).await? == 0 {
                return Ok(0);
            }
        }
    }

    pub(crate) async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.compression {
            None => self.connection.write(data).await,
            Some(codec) => {
                let compressed = codec.deflate(data)?;
                self.connection.write(&compressed).await
            }
        }
    }
}

impl Codec {
    /// Decompresses at most a slice: a small input can stand for a very long output.
    fn inflate(&mut self, input: &mut Vec<u8>) -> io::Result<()> {
        input.reserve(limits::SLICE_BYTES);
        let room = input.capacity();
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(&self.compressed, input, FlushDecompress::Sync)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let used = (self.inflate.total_in() - before) as usize;
        self.compressed.drain(..used);
        self.more = input.len() == room;
        if status == Status::StreamEnd {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn deflate(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(data.len() / 2 + 64);
        let start = self.deflate.total_in();
        loop {
            let used = (self.deflate.total_in() - start) as usize;
            self.deflate
                .compress_vec(&data[used..], &mut out, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            // All is out once the compressor leaves room.
            if out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(data.len() / 2 + 64);
        }
    }
}
