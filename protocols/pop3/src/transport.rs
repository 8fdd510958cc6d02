//! Lines in, responses out: what both stages of a session need of the connection.

use std::{io, ops::Range, pin::pin};

use memchr::memchr;
use ringpost_host::{Connection, Host};

use crate::{AHEAD_PATIENCE, LINE_MAX, Options, ahead::Ahead};

/// What the input begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// A line of this length without its end, and with it.
    Complete(usize, usize),
    /// Longer than [`LINE_MAX`].
    TooLong,
    /// Its end has not come.
    Incomplete,
}

/// Looks for a line's end. A bare LF ends a line too: nothing but commands comes in, and people type them.
pub(crate) fn next_line(input: &[u8]) -> Line {
    match memchr(b'\n', &input[..input.len().min(LINE_MAX)]) {
        Some(end) => {
            let line = &input[..end];
            Line::Complete(line.strip_suffix(b"\r").unwrap_or(line).len(), end + 1)
        }
        None if input.len() >= LINE_MAX => Line::TooLong,
        None => Line::Incomplete,
    }
}

pub(crate) struct Transport<'a, C, H> {
    pub(crate) options: &'a Options,
    pub(crate) connection: &'a mut C,
    pub(crate) host: &'a H,
    pub(crate) input: Vec<u8>,
    /// Bytes of `input` that were used already.
    used: usize,
    pub(crate) out: Vec<u8>,
    /// Messages that the client will probably ask for next.
    pub(crate) ahead: Ahead,
}

impl<'a, C: Connection, H: Host> Transport<'a, C, H> {
    pub(crate) const fn new(
        options: &'a Options,
        connection: &'a mut C,
        host: &'a H,
        input: Vec<u8>,
    ) -> Self {
        Self {
            options,
            connection,
            host,
            input,
            used: 0,
            out: Vec::new(),
            ahead: Ahead::new(),
        }
    }

    /// The next line; what is to be sent is sent before waiting for it. `None` ends the session: the client
    /// has gone, was silent for too long or sent too long a line, or the server stops.
    pub(crate) async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let input = self.input.get(self.used..).unwrap_or_default();
            match next_line(input) {
                Line::Complete(length, used) => {
                    let line = input[..length].to_vec();
                    self.used += used;
                    return Ok(Some(line));
                }
                Line::TooLong => return self.farewell("-ERR line too long").await,
                Line::Incomplete => {}
            }
            self.flush().await?;
            if self.ahead.is_empty() {
                self.ahead = Ahead::new();
            }
            self.input.drain(..self.used);
            self.used = 0;
            // A connection that waits holds no buffers.
            self.out = Vec::new();
            if self.input.is_empty() {
                self.input = Vec::new();
            }
            let waiting = !self.ahead.is_empty();
            let timeout = if waiting {
                AHEAD_PATIENCE
            } else {
                self.options.timeout
            };
            let came = {
                // Where they are made they stay: they are large, and made for each command.
                let read = pin!(async { Some(self.connection.read(&mut self.input, timeout).await) });
                let stop = pin!(async {
                    self.host.stopping().await;
                    None
                });
                futures_lite::future::or(read, stop).await
            };
            match came {
                Some(Ok(0)) => return Ok(None),
                Some(Ok(_)) => {}
                // The client thinks: now it waits without them.
                Some(Err(error)) if waiting && error.kind() == io::ErrorKind::TimedOut => {
                    self.ahead = Ahead::default();
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    return self
                        .farewell("-ERR [SYS/TEMP] you were silent for too long")
                        .await;
                }
                Some(Err(error)) => return Err(error),
                None => return self.farewell("-ERR [SYS/TEMP] the server is stopping").await,
            }
        }
    }

    /// What came and was not used.
    pub(crate) fn take_input(&mut self) -> Vec<u8> {
        self.input.drain(..std::mem::take(&mut self.used));
        std::mem::take(&mut self.input)
    }

    /// Whether the client has sent more already: its commands are pipelined.
    pub(crate) fn has_line(&self) -> bool {
        let input = self.input.get(self.used..).unwrap_or_default();
        next_line(input) != Line::Incomplete
    }

    /// Appends a response that was read ahead, or sends it from where it is if nothing goes with it.
    pub(crate) async fn put_ahead(&mut self, response: Range<usize>) -> io::Result<()> {
        let response = self.ahead.get(response);
        if self.out.is_empty()
            && next_line(self.input.get(self.used..).unwrap_or_default()) == Line::Incomplete
        {
            return self.connection.write(response).await;
        }
        self.out.extend_from_slice(response);
        Ok(())
    }

    /// Appends a response of one line.
    pub(crate) fn put(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// Sends what is collected.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.connection.write(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn farewell(&mut self, line: &str) -> io::Result<Option<Vec<u8>>> {
        self.put(line);
        self.flush().await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_limit() {
        assert_eq!(next_line(b"NOOP\r\nx"), Line::Complete(4, 6));
        assert_eq!(next_line(b"NOOP\n"), Line::Complete(4, 5));
        assert_eq!(next_line(b"NOOP"), Line::Incomplete);
        let mut long = vec![b'x'; LINE_MAX - 1];
        assert_eq!(next_line(&long), Line::Incomplete);
        long.push(b'\n');
        assert_eq!(next_line(&long), Line::Complete(LINE_MAX - 1, LINE_MAX));
        long.insert(0, b'x');
        assert_eq!(next_line(&long), Line::TooLong);
    }
}
