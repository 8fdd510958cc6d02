//! A client's byte stream: TCP, with or without TLS.
//!
//! While it waits, a connection holds no buffer: bytes are received into one scratch buffer of the core, and
//! encrypted into another. A plain connection that idles costs its session and the kernel's socket; a TLS one
//! what rustls keeps besides.

use std::{
    cell::RefCell,
    io::{self, Read, Write},
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use ringpost_executor::net::TcpStream;
use ringpost_host::Connection;
use rustls::ServerConnection;

use crate::{shard::Shard, tls::explain, waiters::within};

/// Most bytes that one read gives.
const READ_SIZE: usize = 64 * 1024;
/// How long a session goes on before others get their turn. One whose client sends without a pause, and reads as fast,
/// would never wait by itself.
const TURN: Duration = Duration::from_millis(1);
/// Plain bytes encrypted at once: four records.
const ENCRYPT_SIZE: usize = 64 * 1024;

thread_local! {
    static RECEIVE: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
    /// Taken while a connection sends; a second that sends meanwhile makes its own.
    static ENCRYPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection of this core.
pub struct ShardConnection {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    ends: Ends,
    /// Received behind a PROXY header, before the session began.
    early: Vec<u8>,
    /// Decrypted with the end of the handshake, and not read yet.
    decrypted_early: Vec<u8>,
    /// Encrypted, and sent up to `sent`. Empty except while a flush is under way, or was left.
    unsent: Vec<u8>,
    sent: usize,
    profile: Profile,
    shard: Rc<Shard>,
}

/// What a listener says of its connections.
#[derive(Clone, Copy)]
pub(crate) struct Profile {
    /// Whose certificate is presented.
    pub(crate) service: &'static str,
    /// A client that takes nothing for so long is cut.
    pub(crate) write_timeout: Duration,
}

/// A connection between two cores.
pub(crate) struct Detached {
    fd: OwnedFd,
    tls: Option<Box<ServerConnection>>,
    ends: Ends,
    early: Vec<u8>,
    decrypted_early: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    profile: Profile,
}

/// Who talks to whom.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl ShardConnection {
    pub(crate) fn new(stream: TcpStream, ends: Ends, profile: Profile, shard: Rc<Shard>) -> Self {
        Self {
            stream,
            tls: None,
            ends,
            early: Vec::new(),
            decrypted_early: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            profile,
            shard,
        }
    }

    /// Makes it movable to another core.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        Ok(Detached {
            fd: self.stream.as_fd().try_clone_to_owned()?,
            tls: self.tls,
            ends: self.ends,
            early: self.early,
            decrypted_early: self.decrypted_early,
            unsent: self.unsent,
            sent: self.sent,
            profile: self.profile,
        })
    }

    /// Makes a connection from elsewhere this core's.
    pub(crate) fn attach(detached: Detached, shard: Rc<Shard>) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::from_std(detached.fd.into())?,
            tls: detached.tls,
            ends: detached.ends,
            early: detached.early,
            decrypted_early: detached.decrypted_early,
            unsent: detached.unsent,
            sent: detached.sent,
            profile: detached.profile,
            shard,
        })
    }

    /// What a PROXY header told, and the bytes that came behind it.
    pub(crate) fn set_proxied(&mut self, ends: Option<Ends>, early: Vec<u8>) {
        self.ends = ends.unwrap_or(self.ends);
        self.early = early;
    }

    /// Receives once and gives `take` the bytes.
    pub(crate) async fn receive<T>(
        &mut self,
        timeout: Duration,
        take: impl FnMut(&[u8]) -> T,
    ) -> io::Result<T> {
        receive(&mut self.stream, &mut self.early, timeout, take).await
    }

    /// Lets others go first when this session has had its turn: the queue serves those next that had less time.
    async fn give_way(&self) {
        if self.shard.poll_began.get().elapsed() < TURN {
            return;
        }
        self.shard.metrics.turns_used_up.increment();
        ringpost_executor::yield_now().await;
    }

    async fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let timeout = self.profile.write_timeout;
        let mut sent = 0;
        send(&mut self.stream, data, &mut sent, timeout).await
    }

    /// Sends what TLS wants to send. Left half way, it goes on with the next call: a record must not be cut.
    async fn flush_tls(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        if !tls.wants_write() && self.unsent.is_empty() {
            return Ok(());
        }
        if self.unsent.capacity() == 0 {
            self.unsent = ENCRYPT.take();
        }
        while tls.wants_write() {
            // Writing to memory does not fail.
            tls.write_tls(&mut self.unsent)?;
        }
        let timeout = self.profile.write_timeout;
        let result = send(&mut self.stream, &self.unsent, &mut self.sent, timeout).await;
        self.sent = 0;
        let mut encrypted = std::mem::take(&mut self.unsent);
        encrypted.clear();
        if encrypted.capacity() <= 2 * ENCRYPT_SIZE {
            ENCRYPT.replace(encrypted);
        }
        result
    }

    /// Receives once and puts decrypted bytes into `buffer`. `false`: the client has closed.
    async fn receive_tls(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<bool> {
        // TLS stays where it is meanwhile: a session may leave a read for something else, and come back.
        let Some(tls) = &mut self.tls else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let result = receive(&mut self.stream, &mut self.early, timeout, |data| {
            decrypt(tls, data, buffer)
        })
        .await?;
        let flushed = self.flush_tls().await;
        match result {
            Ok(open) => flushed.map(|()| open),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Performs a handshake on a connection that is plain until now.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        let config = self.shard.tls.borrow().of(self.profile.service).cloned();
        let config = config.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no certificate"))?;
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        // What is written is encrypted and sent at once, in bounded pieces.
        tls.set_buffer_limit(None);
        self.tls = Some(Box::new(tls));
        let limit = self.shard.config.handshake_timeout;
        let result = within(limit, self.run_handshake(limit))
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        let metrics = &self.shard.metrics;
        match &result {
            Ok(()) => {
                metrics.tls_handshakes.increment();
                let kind = self.tls.as_ref().and_then(|tls| tls.handshake_kind());
                if kind == Some(rustls::HandshakeKind::Resumed) {
                    metrics.tls_resumed.increment();
                }
            }
            Err(error) => {
                metrics.tls_failures.increment();
                let cause = error
                    .get_ref()
                    .and_then(|error| error.downcast_ref::<rustls::Error>());
                let reason = cause.map_or_else(|| error.to_string(), explain);
                tracing::warn!("TLS handshake with {} failed: {reason}", self.ends.peer);
            }
        }
        result
    }

    async fn run_handshake(&mut self, limit: Duration) -> io::Result<()> {
        let mut early_data = Vec::new();
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            if !self.receive_tls(&mut early_data, limit).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // A client may send its first command with the end of its handshake.
        self.decrypted_early = early_data;
        self.flush_tls().await
    }

    /// Says goodbye: a TLS client learns that nothing was cut off (RFC 8446 §6.1), any client gets what was
    /// sent before.
    pub(crate) async fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.flush_tls().await;
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

/// Receives into the core's scratch buffer and gives `take` the bytes.
async fn receive<T>(
    stream: &mut TcpStream,
    early: &mut Vec<u8>,
    timeout: Duration,
    mut take: impl FnMut(&[u8]) -> T,
) -> io::Result<T> {
    if !early.is_empty() {
        return Ok(take(&std::mem::take(early)));
    }
    let receive = std::future::poll_fn(|context| {
        RECEIVE.with_borrow_mut(|scratch| {
            stream
                .poll_read(context, scratch)
                .map_ok(|length| take(&scratch[..length]))
        })
    });
    within(timeout, receive)
        .await
        .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// Sends all of `data` from `sent` on, which follows what the socket has taken. The timeout counts from the
/// last byte that it took.
async fn send(stream: &mut TcpStream, data: &[u8], sent: &mut usize, timeout: Duration) -> io::Result<()> {
    while *sent < data.len() {
        let write = std::future::poll_fn(|context| stream.poll_write(context, &data[*sent..]));
        let written = within(timeout, write)
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        *sent += written;
    }
    Ok(())
}

/// Gives received bytes to TLS, and decrypted ones to `buffer`. `Ok(false)`: the client has closed.
fn decrypt(tls: &mut ServerConnection, mut data: &[u8], buffer: &mut Vec<u8>) -> Result<bool, rustls::Error> {
    if data.is_empty() {
        return Ok(false);
    }
    let mut open = true;
    while !data.is_empty() {
        // Reading from memory does not fail; TLS takes at least one byte as its plain text is drained below.
        if tls.read_tls(&mut data).unwrap_or(0) == 0 {
            break;
        }
        let state = tls.process_new_packets()?;
        let length = buffer.len();
        buffer.resize(length + state.plaintext_bytes_to_read(), 0);
        let read = tls.reader().read(&mut buffer[length..]).unwrap_or(0);
        buffer.truncate(length + read);
        open &= !state.peer_has_closed();
    }
    Ok(open)
}

impl Connection for ShardConnection {
    async fn read(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<usize> {
        self.give_way().await;
        let before = buffer.len();
        if self.tls.is_none() {
            return self
                .receive(timeout, |data| {
                    buffer.extend_from_slice(data);
                    data.len()
                })
                .await;
        }
        if !self.decrypted_early.is_empty() {
            buffer.append(&mut self.decrypted_early);
            self.decrypted_early = Vec::new();
            return Ok(buffer.len() - before);
        }
        loop {
            let open = self.receive_tls(buffer, timeout).await?;
            if buffer.len() > before || !open {
                return Ok(buffer.len() - before);
            }
        }
    }

    async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.give_way().await;
        if self.tls.is_none() {
            return self.send(data).await;
        }
        for piece in data.chunks(ENCRYPT_SIZE) {
            if let Some(tls) = &mut self.tls {
                tls.writer().write_all(piece)?;
            }
            self.flush_tls().await?;
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        if self.tls.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the connection is encrypted already",
            ));
        }
        self.handshake().await
    }

    fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    fn can_start_tls(&self) -> bool {
        self.tls.is_none() && self.shard.tls.borrow().of(self.profile.service).is_some()
    }

    fn peer(&self) -> SocketAddr {
        self.ends.peer
    }

    fn local(&self) -> SocketAddr {
        self.ends.local
    }
}
