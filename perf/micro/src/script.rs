//! A client that has said all it will say, and reads whatever comes.

use std::{io, net::SocketAddr, time::Duration};

use ringpost_host::Connection;

/// Bytes a read gives at most, as in the runtime.
const READ_BYTES: usize = 64 * 1024;

/// Gives a session its input and drops its output.
pub(crate) struct Script {
    input: Vec<u8>,
    given: usize,
    /// Kept where somebody wants to look at it: looking would be part of what is counted.
    pub(crate) output: Option<Vec<u8>>,
}

impl Script {
    pub(crate) fn new(input: Vec<u8>, keep_output: bool) -> Self {
        Self {
            input,
            given: 0,
            output: keep_output.then(Vec::new),
        }
    }
}

impl Connection for Script {
    async fn read(&mut self, buffer: &mut Vec<u8>, _: Duration) -> io::Result<usize> {
        let end = (self.given + READ_BYTES).min(self.input.len());
        buffer.extend_from_slice(&self.input[self.given..end]);
        let count = end - self.given;
        self.given = end;
        Ok(count)
    }

    async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(output) = &mut self.output {
            output.extend_from_slice(data);
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_tls(&self) -> bool {
        false
    }

    fn can_start_tls(&self) -> bool {
        false
    }

    fn peer(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 40_000))
    }

    fn local(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 143))
    }
}
