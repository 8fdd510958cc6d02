//! Connections to other servers: TCP, with or without TLS.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use ringpost_executor::net::TcpStream;
use ringpost_host::{Peer, Trust};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::{shard::Shard, waiters::within};

/// Most bytes that one read gives.
const READ_SIZE: usize = 64 * 1024;
/// Plain bytes encrypted at once.
const ENCRYPT_SIZE: usize = 64 * 1024;
/// Where distributions keep the certificates of the authorities that they trust.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// OpenSSL's variable for another file of them.
const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";
/// A file of authorities may be so large.
const AUTHORITIES_MAX: u64 = 8 * 1024 * 1024;

/// A connection to another server.
pub struct ShardPeer {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    decrypted: Vec<u8>,
    shard: Rc<Shard>,
}

impl std::fmt::Debug for ShardPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardPeer").finish_non_exhaustive()
    }
}

impl ShardPeer {
    pub(crate) async fn connect(
        shard: &Rc<Shard>,
        address: std::net::SocketAddr,
        timeout: Duration,
    ) -> io::Result<Self> {
        let stream = within(timeout, TcpStream::connect(address))
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            tls: None,
            decrypted: Vec::new(),
            shard: Rc::clone(shard),
        })
    }

    async fn receive(&mut self, timeout: Duration) -> io::Result<Vec<u8>> {
        let mut data = vec![0; READ_SIZE];
        let read = std::future::poll_fn(|context| self.stream.poll_read(context, &mut data));
        let length = within(timeout, read)
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        data.truncate(length);
        Ok(data)
    }

    async fn send(&mut self, data: &[u8], timeout: Duration) -> io::Result<()> {
        let mut sent = 0;
        while sent < data.len() {
            let write = std::future::poll_fn(|context| self.stream.poll_write(context, &data[sent..]));
            let written = within(timeout, write)
                .await
                .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            sent += written;
        }
        Ok(())
    }

    async fn flush_tls(&mut self, timeout: Duration) -> io::Result<()> {
        let mut encrypted = Vec::new();
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut encrypted)?;
            }
        }
        self.send(&encrypted, timeout).await
    }

    /// Receives once, and decrypts. `false`: the server has closed.
    async fn receive_tls(&mut self, timeout: Duration) -> io::Result<bool> {
        let data = self.receive(timeout).await?;
        let Some(tls) = &mut self.tls else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut open = !data.is_empty();
        let mut data = &data[..];
        while !data.is_empty() {
            if tls.read_tls(&mut data)? == 0 {
                break;
            }
            let state = tls
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let length = self.decrypted.len();
            self.decrypted.resize(length + state.plaintext_bytes_to_read(), 0);
            let read = tls.reader().read(&mut self.decrypted[length..]).unwrap_or(0);
            self.decrypted.truncate(length + read);
            open &= !state.peer_has_closed();
        }
        self.flush_tls(timeout).await?;
        Ok(open)
    }
}

impl Peer for ShardPeer {
    async fn read(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<usize> {
        if self.tls.is_none() {
            let data = self.receive(timeout).await?;
            buffer.extend_from_slice(&data);
            return Ok(data.len());
        }
        while self.decrypted.is_empty() {
            if !self.receive_tls(timeout).await? && self.decrypted.is_empty() {
                return Ok(0);
            }
        }
        let decrypted = std::mem::take(&mut self.decrypted);
        buffer.extend_from_slice(&decrypted);
        Ok(decrypted.len())
    }

    async fn write(&mut self, data: &[u8], timeout: Duration) -> io::Result<()> {
        if self.tls.is_none() {
            return self.send(data, timeout).await;
        }
        for piece in data.chunks(ENCRYPT_SIZE) {
            if let Some(tls) = &mut self.tls {
                tls.writer().write_all(piece)?;
            }
            self.flush_tls(timeout).await?;
        }
        Ok(())
    }

    async fn start_tls(&mut self, server: &str, trust: Trust, timeout: Duration) -> io::Result<()> {
        let config = self.shard.client_tls(trust).await?;
        let name = ServerName::try_from(server.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        self.tls = Some(Box::new(tls));
        self.decrypted.clear();
        let handshake = async {
            self.flush_tls(timeout).await?;
            while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                if !self.receive_tls(timeout).await? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(())
        };
        within(timeout, handshake)
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

impl Drop for ShardPeer {
    fn drop(&mut self) {
        // Goodbye, as far as the socket takes it without waiting: a peer that is told nothing takes the end of the
        // stream for it.
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

impl Shard {
    /// The configuration for connections to others. The authorities are read once, by a helper thread.
    async fn client_tls(self: &Rc<Self>, trust: Trust) -> io::Result<Arc<ClientConfig>> {
        if trust == Trust::Any {
            let config = self.client_tls_any.get_or_init(|| Arc::new(any_config()));
            return Ok(Arc::clone(config));
        }
        if let Some(config) = self.client_tls_verified.get() {
            return Ok(Arc::clone(config));
        }
        let config = self.help(verified_config).await.map_err(io::Error::other)??;
        Ok(Arc::clone(
            self.client_tls_verified.get_or_init(|| Arc::new(config)),
        ))
    }
}

fn verified_config() -> io::Result<ClientConfig> {
    let named = std::env::var_os(AUTHORITIES_VARIABLE).map(PathBuf::from);
    let known = AUTHORITIES.iter().map(PathBuf::from);
    let path = named
        .or_else(|| known.into_iter().find(|path| path.exists()))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no file of trusted authorities"))?;
    if std::fs::metadata(&path)?.len() > AUTHORITIES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "too large a file of authorities",
        ));
    }
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(&path)?;
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    if roots.is_empty() {
        let reason = format!("{}: no certificate of an authority", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(builder().with_root_certificates(roots).with_no_client_auth())
}

fn any_config() -> ClientConfig {
    let provider = Arc::new(default_provider());
    builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites of both versions")
}

/// `smtp+unverifiedtls`: whoever answers is believed; only that it has the key it shows is checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
