//! TCP: system calls that do not wait, and the ring to learn when they can go on.
//!
//! A connection that waits holds no buffer, only a poll request in the kernel, which stays from wait to wait: what a
//! dialogue costs is a receive and a send, and one call of the ring to learn of the next command.
//!
//! That request tells of changes, once each. So a read that took less than there was room for may wait for the next
//! change, unless the end was told together with the last bytes.

use std::{
    io::{self, Read, Write},
    net::{self, Shutdown, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    task::{Context, Poll, ready},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    core::{self, Operation, operate},
    ring::{Request, Told},
    sys,
};

/// A listener of this executor.
#[derive(Debug)]
pub struct TcpListener(net::TcpListener);

impl TcpListener {
    /// Takes over a listener that was bound elsewhere.
    pub fn from_std(listener: net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// The next connection, and who it is from.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut waiting = None;
        loop {
            if let Some(accepted) = self.accept_now()? {
                return Ok(accepted);
            }
            let operation = waiting.insert(ready_for(self.0.as_raw_fd(), libc::POLLIN));
            std::future::poll_fn(|context| operation.poll(context)).await?;
        }
    }

    /// The next connection that is there already; `None`: none waits.
    pub fn accept_now(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        loop {
            match self.0.accept() {
                Ok((stream, peer)) => return Ok(Some((TcpStream::from_std(stream)?, peer))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // A client that left meanwhile (accept(2): these are the connection's, not the listener's).
                Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EINTR)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Accepts the next connection that is there already without a descriptor, sends it `text`, as much as it takes at
    /// once, and closes it; whether there was one. For times without descriptors. [`io::ErrorKind::Unsupported`] before Linux 5.19.
    pub async fn turn_away(&self, text: &'static [u8]) -> io::Result<bool> {
        if !core::has_table() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // The ring would wait for one. So it does should another core be faster now, and turns the next one away.
        if !sys::is_readable(self.0.as_fd())? {
            return Ok(false);
        }
        let fd = self.0.as_raw_fd();
        let place = match operate(Request::AcceptIntoTable { fd }).await {
            Ok((place, _)) => place,
            // A client that left meanwhile.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EINTR)) => {
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        if !text.is_empty() {
            // It may have gone.
            let _ = operate(Request::SendFromTable { place, bytes: text }).await;
        }
        operate(Request::CloseInTable { place }).await.map(|_| true)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection of this executor.
#[derive(Debug)]
pub struct TcpStream {
    // Before the socket: operations on it are cancelled before it is closed.
    /// Tells when something has come; made for the first read that waits, and then kept.
    readable: Option<Operation>,
    writable: Option<Operation>,
    /// The last read took all there was: the next begins by waiting.
    drained: bool,
    /// The other side has closed, or the connection is broken: that was told, and will not be again.
    ended: bool,
    socket: net::TcpStream,
}

impl TcpStream {
    /// Takes over a connection.
    pub fn from_std(socket: net::TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            readable: None,
            writable: None,
            drained: false,
            ended: false,
            socket,
        })
    }

    /// Connects to a server. Dropped before it is there, the attempt is given up.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                let mut operation = ready_for(socket.as_raw_fd(), libc::POLLOUT);
                let waited = std::future::poll_fn(|context| operation.poll(context)).await;
                drop(operation);
                waited?;
                if let Some(error) = socket.take_error()? {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        Self::from_std(socket.into())
    }

    /// Reads what there is; 0 bytes are the end.
    pub fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.drained && !self.ended {
                let fd = self.socket.as_raw_fd();
                let operation = self.readable.get_or_insert_with(|| changes_of(fd));
                let told = ready!(operation.poll_change(context));
                self.told(told)?;
                self.drained = false;
            } else if let Some(told) = self.readable.as_mut().and_then(Operation::take_change) {
                // What was told until now is in what is read now.
                self.told(told)?;
            }
            match self.socket.read(buffer) {
                // Only after all was read, so what comes is told.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drained = true;
                    self.ended = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(read) => {
                    self.drained = read < buffer.len();
                    return Poll::Ready(Ok(read));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn told(&mut self, told: Told) -> io::Result<()> {
        if told.ended {
            self.readable = None;
        }
        if told.result < 0 {
            return Err(io::Error::from_raw_os_error(-told.result));
        }
        self.ended |= told.result & i32::from(libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0;
        Ok(())
    }

    /// Writes what the socket takes of `data`.
    pub fn poll_write(&mut self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(operation) = &mut self.writable {
                let waited = ready!(operation.poll(context));
                self.writable = None;
                waited?;
            }
            match self.socket.write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = Some(ready_for(self.socket.as_raw_fd(), libc::POLLOUT));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Ends one direction or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// Whether small writes go out at once.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set_nodelay(nodelay)
    }

    /// This end's address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Tells whenever something has come, and when the other side has closed.
fn changes_of(fd: RawFd) -> Operation {
    let events = libc::POLLIN | libc::POLLRDHUP;
    Operation::start(&Request::Changes { fd, events })
}

fn ready_for(fd: RawFd, events: i16) -> Operation {
    Operation::start(&Request::Ready { fd, events })
}
