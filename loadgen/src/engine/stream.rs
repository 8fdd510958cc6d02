//! A connection's bytes, with or without TLS.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    ops::Range,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::reactor::{Reactor, Readiness};

/// Bytes asked of the kernel at once.
const READ_SIZE: usize = 128 << 10;
/// A buffer larger than this is given back while its connection has nothing to read.
const BUFFER_KEPT_WHILE_IDLE: usize = 4 << 10;
/// Free buffers a thread keeps.
const BUFFERS_KEPT: usize = 64;
/// What a large response made larger than this is not kept.
const LARGEST_BUFFER_KEPT: usize = 1 << 20;
/// Plain text taken from TLS at once: a record's worth.
const TLS_RECORD: usize = 16 << 10;
/// The longest line and the longest literal that is accepted from a server.
const RESPONSE_LIMIT: usize = 256 << 20;

/// Where a protocol's server listens, and how to talk to it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) server: SocketAddr,
    pub(crate) tls: super::TlsMode,
    pub(crate) tls_configuration: Arc<ClientConfig>,
    /// Addresses to connect from, in turn; empty lets the kernel choose.
    pub(crate) sources: Arc<[IpAddr]>,
    /// A request without an answer for this long has failed.
    pub(crate) timeout: Duration,
}

/// A connected socket with its buffers.
pub(crate) struct Stream {
    socket: TcpStream,
    reactor: Rc<Reactor>,
    readiness: Rc<Readiness>,
    tls: Option<Box<ClientConnection>>,
    timeout: Duration,
    /// The server is on this machine.
    is_local: bool,
    input: Vec<u8>,
    /// How much of `input` has been consumed.
    start: usize,
}

impl Stream {
    /// Connects, and does the TLS handshake where TLS is implicit.
    pub(crate) async fn connect(reactor: &Rc<Reactor>, endpoint: &Endpoint, number: u64) -> io::Result<Self> {
        reactor.may_connect().await;
        let connected = Self::connect_now(reactor, endpoint, number).await;
        reactor.connected();
        let mut stream = connected?;
        if endpoint.tls == super::TlsMode::Implicit {
            stream.start_tls(endpoint).await?;
        }
        Ok(stream)
    }

    async fn connect_now(reactor: &Rc<Reactor>, endpoint: &Endpoint, number: u64) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(endpoint.server),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if !endpoint.sources.is_empty() {
            let source = endpoint.sources[number as usize % endpoint.sources.len()];
            // So that the kernel chooses a port for the whole 4-tuple, not one for the source address alone.
            let _ = socket.set_reuse_address(true);
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&endpoint.server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        let socket = TcpStream::from(socket);
        let readiness = reactor.register(&socket)?;
        let stream = Self {
            socket,
            reactor: reactor.clone(),
            readiness,
            tls: None,
            timeout: endpoint.timeout,
            is_local: endpoint.server.ip().is_loopback(),
            input: Vec::new(),
            start: 0,
        };
        stream.begin_request();
        stream.wait_for(&stream.readiness.writable).await?;
        stream.end_request();
        match stream.socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Begins TLS on a connection whose plain text has been agreed to end here.
    pub(crate) async fn start_tls(&mut self, endpoint: &Endpoint) -> io::Result<()> {
        if self.start < self.input.len() {
            // Plain text after the agreement could be an attacker's (RFC 3501 has no rule; CVE-2011-0411).
            return Err(invalid("the server sent plain text after it agreed to TLS"));
        }
        let name = ServerName::IpAddress(endpoint.server.ip().into());
        let mut connection =
            ClientConnection::new(endpoint.tls_configuration.clone(), name).map_err(io::Error::other)?;
        // `send` flushes before it returns, so what is buffered is bounded by one message.
        connection.set_buffer_limit(None);
        self.tls = Some(Box::new(connection));
        self.begin_request();
        loop {
            self.flush_tls().await?;
            let tls = self.tls.as_ref().expect("set above");
            if !tls.is_handshaking() {
                self.end_request();
                return Ok(());
            }
            self.receive_tls().await?;
        }
    }

    /// Starts the clock of a request's time limit.
    pub(crate) fn begin_request(&self) {
        self.readiness.deadline.set(Some(Instant::now() + self.timeout));
    }

    /// Stops the clock of the time limit: from here on, silence is in order.
    pub(crate) fn end_request(&self) {
        self.readiness.deadline.set(None);
    }

    /// Sends all of `parts`, in as few system calls as the kernel lets.
    pub(crate) async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            let mut writer = tls.writer();
            for part in parts {
                writer.write_all(part)?;
            }
            return self.flush_tls().await;
        }
        let mut skip = 0;
        let total: usize = parts.iter().map(|part| part.len()).sum();
        while skip < total {
            let mut slices = [IoSlice::new(&[]); 4];
            let mut passed = 0;
            let mut used = 0;
            for part in parts {
                if passed + part.len() > skip && used < slices.len() {
                    slices[used] = IoSlice::new(&part[skip.saturating_sub(passed)..]);
                    used += 1;
                }
                passed += part.len();
            }
            match (&self.socket).write_vectored(&slices[..used]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => skip += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readiness.writable.set(false);
                    self.wait_for(&self.readiness.writable).await?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next line's place in `bytes`, without its CRLF. It stays there until the next wait for input.
    pub(crate) async fn read_line(&mut self) -> io::Result<Range<usize>> {
        let mut searched = 0;
        loop {
            let unread = &self.input[self.start..];
            if let Some(end) = memchr::memchr(b'\n', &unread[searched..]) {
                let end = searched + end;
                let line = self.start..self.start + end - usize::from(end > 0 && unread[end - 1] == b'\r');
                self.start += end + 1;
                return Ok(line);
            }
            searched = unread.len();
            self.fill().await?;
        }
    }

    /// The place in `bytes` of the next `length` bytes.
    pub(crate) async fn read_exactly(&mut self, length: usize) -> io::Result<Range<usize>> {
        if length > RESPONSE_LIMIT {
            return Err(invalid("a literal is longer than 256 MiB"));
        }
        while self.input.len() - self.start < length {
            let missing = length - (self.input.len() - self.start);
            self.input.reserve(missing.min(READ_SIZE * 8));
            self.fill().await?;
        }
        self.start += length;
        Ok(self.start - length..self.start)
    }

    /// The place in `bytes` of what comes before `end`, which is passed over too.
    pub(crate) async fn read_until(&mut self, end: &[u8]) -> io::Result<Range<usize>> {
        let mut searched: usize = 0;
        loop {
            let unread = &self.input[self.start..];
            if let Some(found) = memchr::memmem::find(&unread[searched..], end) {
                let found = self.start + searched + found;
                let range = self.start..found;
                self.start = found + end.len();
                return Ok(range);
            }
            searched = unread.len().saturating_sub(end.len() - 1);
            self.fill().await?;
        }
    }

    /// The bytes at a place that one of the readers returned.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.input[range]
    }

    /// Is everything read that arrived so far?
    pub(crate) fn is_drained(&self) -> bool {
        self.start == self.input.len()
    }

    /// Waits for more input and appends it.
    async fn fill(&mut self) -> io::Result<()> {
        if self.start == self.input.len() {
            self.input.clear();
            self.start = 0;
        } else if self.input.capacity() - self.input.len() < READ_SIZE && self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        if self.input.len() > RESPONSE_LIMIT {
            return Err(invalid("a response is longer than 256 MiB"));
        }
        if self.tls.is_some() {
            return self.fill_from_tls().await;
        }
        loop {
            if !self.readiness.readable.get() {
                self.give_buffer_back();
                self.wait_for(&self.readiness.readable).await?;
            }
            self.need_buffer();
            let room = self.input.capacity() - self.input.len();
            match rustix::io::read(&self.socket, rustix::buffer::spare_capacity(&mut self.input)) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    // A short read emptied the socket: the next byte brings a new event, as does the end if it has not
                    // come yet.
                    if read < room && !self.readiness.ended.get() {
                        self.readiness.readable.set(false);
                    }
                    self.keep_off_the_server();
                    return Ok(());
                }
                Err(rustix::io::Errno::AGAIN) => self.readiness.readable.set(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Over the loopback what comes last was brought by the processor that the server sent it from.
    fn keep_off_the_server(&self) {
        if self.is_local
            && self.reactor.has_one_connection()
            && let Ok(processor) = SockRef::from(&self.socket).cpu_affinity()
        {
            self.reactor.keep_off(processor);
        }
    }

    async fn fill_from_tls(&mut self) -> io::Result<()> {
        loop {
            let tls = self.tls.as_mut().expect("only called with TLS");
            // Decrypted text waits in the TLS session; take it before asking the socket.
            let before = self.input.len();
            self.input.resize(before + TLS_RECORD, 0);
            let read = tls.reader().read(&mut self.input[before..]);
            self.input.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.give_buffer_back();
                    self.receive_tls().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads records until the socket has none, and answers what TLS itself wants answered.
    async fn receive_tls(&mut self) -> io::Result<()> {
        loop {
            if !self.readiness.readable.get() {
                self.wait_for(&self.readiness.readable).await?;
            }
            let tls = self.tls.as_mut().expect("only called with TLS");
            match tls.read_tls(&mut &self.socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    tls.process_new_packets()
                        .map_err(|error| invalid(&error.to_string()))?;
                    return self.flush_tls().await;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readiness.readable.set(false),
                Err(error) => return Err(error),
            }
        }
    }

    async fn flush_tls(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            match tls.write_tls(&mut &self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readiness.writable.set(false);
                    self.wait_for(&self.readiness.writable).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn wait_for(&self, flag: &Cell<bool>) -> io::Result<()> {
        poll_fn(|_| {
            if flag.get() {
                Poll::Ready(Ok(()))
            } else if self.readiness.expired.get() {
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn need_buffer(&mut self) {
        if self.input.capacity() == 0 {
            self.input = BUFFERS
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| Vec::with_capacity(READ_SIZE));
        }
        self.input.reserve(READ_SIZE / 8);
    }

    /// A connection that waits holds no buffer: tens of thousands of them may wait.
    fn give_buffer_back(&mut self) {
        if self.input.is_empty() && self.input.capacity() > BUFFER_KEPT_WHILE_IDLE {
            let buffer = std::mem::take(&mut self.input);
            BUFFERS.with_borrow_mut(|pool| {
                if pool.len() < BUFFERS_KEPT && buffer.capacity() <= LARGEST_BUFFER_KEPT {
                    pool.push(buffer);
                }
            });
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reactor.forget(&self.readiness);
    }
}

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.to_owned())
}
