//! TLS settings: certificates, keys, versions, tickets.
//!
//! Every core has a configuration of its own made from the same [`TlsMaterial`], so handshakes share nothing.
//! Tickets are sealed with keys that each core derives from one secret and the time: a session that began on
//! one core resumes on any, with no memory held and no lock.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    client::verify_server_name,
    crypto::ring::{default_provider, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

/// Tickets are good for at least half this time and at most twice.
const TICKET_EPOCH_SECONDS: u64 = 6 * 3600;
/// A key file may be so large.
const MAX_KEY_FILE: u64 = 256 * 1024;

/// Which certificates to present, and how old a protocol may be.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// The first is for clients that name no server, or one that no certificate has.
    pub certificates: Vec<CertificateFiles>,
    /// `tls_min_proto`
    pub min_version: TlsVersion,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct CertificateFiles {
    /// PEM; the server's certificate first, then the intermediate ones.
    pub chain: PathBuf,
    /// PEM; PKCS#8 (also encrypted), PKCS#1 or SEC1. May be the same file.
    pub key: PathBuf,
    /// For an encrypted key.
    pub password: Option<String>,
}

impl std::fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateFiles")
            .field("chain", &self.chain)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Oldest version offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3
    #[default]
    Tls12,
    /// TLS 1.3 only
    Tls13,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's content is no certificate, or no key, or they don't belong together.
    #[error("{path}: {reason}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The settings name no certificate.
    #[error("no certificate is configured")]
    NoCertificate,
}

/// Certificates and keys, read and checked; any number of cores make their configuration from it.
pub struct TlsMaterial {
    keys: Vec<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    min_version: TlsVersion,
    ticket_secret: [u8; 32],
}

impl TlsMaterial {
    /// Reads all files. With `previous`, its tickets stay good.
    pub fn load(settings: &TlsSettings, previous: Option<&Self>) -> Result<Self, TlsError> {
        if settings.certificates.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let keys = settings
            .certificates
            .iter()
            .map(|files| Ok((load_chain(&files.chain)?, load_key(files)?)))
            .collect::<Result<Vec<_>, TlsError>>()?;
        let mut ticket_secret = [0; 32];
        match previous {
            Some(previous) => ticket_secret = previous.ticket_secret,
            None => getrandom::fill(&mut ticket_secret).map_err(|error| TlsError::Content {
                path: "/dev/urandom".into(),
                reason: error.to_string(),
            })?,
        }
        let material = Self {
            keys,
            min_version: settings.min_version,
            ticket_secret,
        };
        material.config_named(&settings.certificates)?;
        Ok(material)
    }

    /// A core's own configuration.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        self.config_named(&[])
    }

    fn config_named(&self, files: &[CertificateFiles]) -> Result<Arc<ServerConfig>, TlsError> {
        const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        const NEW: &[&SupportedProtocolVersion] = &[&TLS13];
        let content = |index: usize, error: rustls::Error| TlsError::Content {
            path: files
                .get(index)
                .map(|files| files.key.clone())
                .unwrap_or_default(),
            reason: match error {
                rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
                error => error.to_string(),
            },
        };
        let mut certificates = Vec::with_capacity(self.keys.len());
        for (index, (chain, key)) in self.keys.iter().enumerate() {
            let key = any_supported_type(key).map_err(|error| content(index, error))?;
            let certified = CertifiedKey::new(chain.clone(), key);
            match certified.keys_match() {
                Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
                Err(error) => return Err(content(index, error)),
            }
            certificates.push(Arc::new(certified));
        }
        let versions = match self.min_version {
            TlsVersion::Tls12 => BOTH,
            TlsVersion::Tls13 => NEW,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .map_err(|error| content(0, error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Certificates(certificates)));
        // The default keeps sessions behind a mutex; tickets need no memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(Tickets {
            secret: hmac::Key::new(hmac::HMAC_SHA256, &self.ticket_secret),
        });
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

/// The material of all services: what is for every one of them, and what some have of their own.
#[derive(Default)]
pub(crate) struct AllTls {
    shared: Option<TlsMaterial>,
    services: Vec<(&'static str, TlsMaterial)>,
}

impl AllTls {
    /// Reads all files. With `previous`, its tickets stay good.
    pub(crate) fn load(
        shared: Option<&TlsSettings>,
        services: &[(&'static str, TlsSettings)],
        previous: &Self,
    ) -> Result<Self, TlsError> {
        let known = |service: &str| {
            let mut own = previous.services.iter();
            own.find(|(name, _)| *name == service)
                .map(|(_, material)| material)
        };
        Ok(Self {
            shared: shared
                .map(|settings| TlsMaterial::load(settings, previous.shared.as_ref()))
                .transpose()?,
            services: services
                .iter()
                .map(|(name, settings)| Ok((*name, TlsMaterial::load(settings, known(name))?)))
                .collect::<Result<_, TlsError>>()?,
        })
    }

    /// Whether a service can speak TLS.
    pub(crate) fn has(&self, service: &str) -> bool {
        self.shared.is_some() || self.services.iter().any(|(name, _)| *name == service)
    }

    /// A core's own configurations.
    pub(crate) fn configs(&self) -> Result<TlsConfigs, TlsError> {
        Ok(TlsConfigs {
            shared: self.shared.as_ref().map(TlsMaterial::config).transpose()?,
            services: self
                .services
                .iter()
                .map(|(name, material)| Ok((*name, material.config()?)))
                .collect::<Result<_, TlsError>>()?,
        })
    }
}

/// One core's configurations.
#[derive(Default)]
pub(crate) struct TlsConfigs {
    shared: Option<Arc<ServerConfig>>,
    services: Vec<(&'static str, Arc<ServerConfig>)>,
}

impl TlsConfigs {
    /// What a service presents.
    pub(crate) fn of(&self, service: &str) -> Option<&Arc<ServerConfig>> {
        let mut own = self.services.iter();
        own.find(|(name, _)| *name == service)
            .map(|(_, config)| config)
            .or(self.shared.as_ref())
    }
}

fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(path, format!("not a PEM certificate: {error}")))?;
    if chain.is_empty() {
        return Err(content(path, "no certificate in this file"));
    }
    Ok(chain)
}

fn load_key(files: &CertificateFiles) -> Result<PrivateKeyDer<'static>, TlsError> {
    let path = &files.key;
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    if let Some(block) = pem_block(&text, "ENCRYPTED PRIVATE KEY") {
        let password = files
            .password
            .as_deref()
            .ok_or_else(|| content(path, "the key is encrypted, and no password is configured"))?;
        return decrypt_key(block, password)
            .map_err(|error| content(path, format!("the encrypted key can't be read: {error}")));
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(content(
            path,
            "encrypted in OpenSSL's old format; convert it by `openssl pkcs8 -topk8 -in OLD -out NEW`",
        ));
    }
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| content(path, format!("not a PEM private key: {error}")))
}

fn decrypt_key(pem: &str, password: &str) -> Result<PrivateKeyDer<'static>, pkcs8::Error> {
    let (_, document) = pkcs8::SecretDocument::from_pem(pem)?;
    let encrypted = pkcs8::EncryptedPrivateKeyInfo::try_from(document.as_bytes())?;
    let key = encrypted.decrypt(password)?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The first block with this label: other blocks (the certificates) may stand in the same file.
fn pem_block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let start = text.find(&format!("-----BEGIN {label}-----"))?;
    let end_line = format!("-----END {label}-----");
    let end = start + text[start..].find(&end_line)? + end_line.len();
    Some(&text[start..end])
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |source| TlsError::File {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(error)?.len() > MAX_KEY_FILE {
        return Err(content(path, "too large for a certificate or key"));
    }
    fs::read(path).map_err(error)
}

fn content(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// Chooses by the server name that the client asks for and the signatures that it understands.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().filter(usable).find(|key| is_for(key, &name)));
        named
            .or_else(|| self.0.iter().find(usable))
            .or_else(|| self.0.first())
            .cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.end_entity_cert().ok();
    certificate
        .and_then(|certificate| ParsedCertificate::try_from(certificate).ok())
        .is_some_and(|certificate| verify_server_name(&certificate, name).is_ok())
}

/// Seals tickets with a key for each stretch of time, derived from the process's secret.
struct Tickets {
    secret: hmac::Key,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    fn key(&self, epoch: u64) -> Option<LessSafeKey> {
        let tag = hmac::sign(&self.secret, &epoch.to_le_bytes());
        Some(LessSafeKey::new(
            UnboundKey::new(&CHACHA20_POLY1305, tag.as_ref()).ok()?,
        ))
    }
}

fn epoch_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs() / TICKET_EPOCH_SECONDS)
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TICKET_EPOCH_SECONDS as u32
    }

    /// A ticket: 8 bytes epoch, 12 bytes nonce, the sealed state.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let epoch = epoch_now();
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        self.key(epoch)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(epoch.to_le_bytes()),
                &mut sealed,
            )
            .ok()?;
        Some([&epoch.to_le_bytes(), &nonce[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (epoch_bytes, rest) = ticket.split_first_chunk::<8>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let epoch = u64::from_le_bytes(*epoch_bytes);
        let now = epoch_now();
        if epoch != now && epoch.checked_add(1) != Some(now) {
            return None;
        }
        let mut state = sealed.to_vec();
        let length = self
            .key(epoch)?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(*epoch_bytes),
                &mut state,
            )
            .ok()?
            .len();
        state.truncate(length);
        Some(state)
    }
}

/// What a failed handshake says in the log, in an administrator's words.
pub(crate) fn explain(error: &rustls::Error) -> String {
    use rustls::{Error, PeerIncompatible};
    match error {
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Looked for before the version; clients of TLS 1.1 and older have no such extension.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => "the client offers only protocol versions older than tls_min_proto allows".to_owned(),
        Error::InvalidMessage(_) => format!("the client does not speak TLS here: {error}"),
        Error::AlertReceived(alert) => format!("the client refused the handshake: {alert:?}"),
        error => error.to_string(),
    }
}
