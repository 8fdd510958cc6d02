//! A connection in memory: the session's end and the test's.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use ringpost_host::Connection;

use crate::TestHost;

/// Bytes a session may have written before its writes wait for the client to read.
const PIPE_CAPACITY: usize = 256 * 1024;
/// How long a write waits for a client that reads nothing.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// Most bytes one read gives.
const READ_SIZE: usize = 64 * 1024;

#[derive(Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    client_closed: bool,
    server_closed: bool,
    tls: bool,
    wakers: Vec<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

pub(crate) fn pair(host: TestHost) -> (Client, TestConnection) {
    let pipe = Rc::new(RefCell::new(Pipe::default()));
    let connection = TestConnection {
        pipe: Rc::clone(&pipe),
        host,
    };
    (
        Client {
            pipe,
            received: Vec::new(),
        },
        connection,
    )
}

/// The session's end.
pub struct TestConnection {
    pipe: Rc<RefCell<Pipe>>,
    host: TestHost,
}

impl Drop for TestConnection {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.server_closed = true;
        pipe.wake();
    }
}

impl Connection for TestConnection {
    async fn read(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<usize> {
        let clock = self.host.clock();
        let due = clock.now() + timeout;
        poll_fn(|context| {
            let mut pipe = self.pipe.borrow_mut();
            if !pipe.to_server.is_empty() {
                let taken = pipe.to_server.len().min(READ_SIZE);
                buffer.extend(pipe.to_server.drain(..taken));
                pipe.wake();
                return Poll::Ready(Ok(taken));
            }
            if pipe.client_closed {
                return Poll::Ready(Ok(0));
            }
            if clock.now() >= due {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            pipe.wakers.push(context.waker().clone());
            clock.wake_on_advance(context.waker());
            Poll::Pending
        })
        .await
    }

    async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let clock = self.host.clock();
        let due = clock.now() + WRITE_TIMEOUT;
        let mut written = 0;
        poll_fn(|context| {
            let mut pipe = self.pipe.borrow_mut();
            if pipe.client_closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = PIPE_CAPACITY
                .saturating_sub(pipe.to_client.len())
                .min(data.len() - written);
            pipe.to_client.extend(&data[written..written + room]);
            written += room;
            pipe.wake();
            if written == data.len() {
                return Poll::Ready(Ok(()));
            }
            if clock.now() >= due {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            pipe.wakers.push(context.waker().clone());
            clock.wake_on_advance(context.waker());
            Poll::Pending
        })
        .await
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        self.pipe.borrow_mut().tls = true;
        Ok(())
    }

    fn is_tls(&self) -> bool {
        self.pipe.borrow().tls
    }

    fn can_start_tls(&self) -> bool {
        true
    }

    fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.host.peer(), 40_000)
    }

    fn local(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 143))
    }
}

/// The test's end.
pub struct Client {
    pipe: Rc<RefCell<Pipe>>,
    received: Vec<u8>,
}

impl Client {
    /// Sends bytes to the session.
    pub fn send(&mut self, data: impl AsRef<[u8]>) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.to_server.extend(data.as_ref());
        pipe.wake();
    }

    /// Sends no more; what the session sends can still be read.
    pub fn close(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.client_closed = true;
        pipe.wake();
    }

    /// The next line from the session, without its CRLF; `None` when the session has ended.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.received.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap_or_else(|e| format!("{:?}", e.as_bytes())));
            }
            if !self.receive().await {
                return None;
            }
        }
    }

    /// The next `count` bytes from the session; fewer when it ended.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count && self.receive().await {}
        let taken = count.min(self.received.len());
        self.received.drain(..taken).collect()
    }

    /// All lines up to and with the first that starts with `prefix`.
    ///
    /// # Panics
    /// When the session ends before.
    pub async fn lines_until(&mut self, prefix: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.line().await else {
                panic!("the session ended before a line with {prefix:?}; it sent {lines:#?}");
            };
            let found = line.starts_with(prefix);
            lines.push(line);
            if found {
                return lines;
            }
        }
    }

    /// Whether the session has ended and everything it sent was taken.
    pub fn is_closed(&self) -> bool {
        let pipe = self.pipe.borrow();
        pipe.server_closed && pipe.to_client.is_empty() && self.received.is_empty()
    }

    /// Whether the connection was secured by STARTTLS.
    pub fn is_tls(&self) -> bool {
        self.pipe.borrow().tls
    }

    /// Bytes that wait to be read.
    pub fn pending(&self) -> usize {
        self.received.len() + self.pipe.borrow().to_client.len()
    }

    async fn receive(&mut self) -> bool {
        poll_fn(|context| {
            let mut pipe = self.pipe.borrow_mut();
            if !pipe.to_client.is_empty() {
                self.received.extend(pipe.to_client.drain(..));
                pipe.wake();
                return Poll::Ready(true);
            }
            if pipe.server_closed {
                return Poll::Ready(false);
            }
            pipe.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.client_closed = true;
        pipe.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestDirectory;

    async fn echo(mut connection: TestConnection) {
        let mut buffer = Vec::new();
        while let Ok(1..) = connection.read(&mut buffer, Duration::from_secs(10)).await {
            if connection.write(&std::mem::take(&mut buffer)).await.is_err() {
                return;
            }
        }
        let _ = connection.write(b"bye\r\n").await;
    }

    #[test]
    fn a_session_answers_and_times_out_by_the_tests_clock() {
        let host = TestHost::new(TestDirectory::new());
        let mut client = host.connect(|connection, _| echo(connection));
        host.run(async {
            client.send("one\r\ntwo\r\n");
            assert_eq!(client.lines_until("two").await, ["one", "two"]);
            // The session must have begun to wait before time passes.
            futures_lite::future::yield_now().await;
            host.advance(Duration::from_secs(11));
            assert_eq!(client.line().await.as_deref(), Some("bye"));
            assert_eq!(client.line().await, None);
        });
        assert!(client.is_closed());
    }
}
