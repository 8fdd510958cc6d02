//! What the configuration means for each part of the server.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use ringpost_config::{Configuration, directive};
use ringpost_shard::{
    CertificateFiles, ListenerConfig, RuntimeConfig, Security, SessionClass, TlsSettings, TlsVersion,
};
use ringpost_store::OpenOptions;

/// Clients may be silent for so long in a TLS handshake; a tenth of the manual's connection timeout.
const HANDSHAKES_A_TIMEOUT: u32 = 6;

/// The folder of the accounts and mailboxes.
pub(crate) fn data_path(configuration: &Configuration) -> Result<PathBuf> {
    let path = configuration
        .path(directive::DATA_PATH)
        .context("data_path must not be empty")?;
    Ok(path.to_owned())
}

/// Everything the runtime is started with, listeners included.
pub(crate) fn runtime(configuration: &Configuration) -> Result<RuntimeConfig> {
    let defaults = RuntimeConfig::default();
    Ok(RuntimeConfig {
        shards: configuration.size(directive::SHARDS),
        listeners: listeners(configuration)?,
        admin: configuration.addresses(directive::ADMIN_LISTEN).first().copied(),
        tls: tls(configuration)?,
        table_size: configuration.size(directive::TABLE_SIZE),
        cache_interval: configuration.duration(directive::exmdb_provider::CACHE_INTERVAL),
        open: OpenOptions {
            compression_level: configuration.compression(directive::EXMDB_FILE_COMPRESSION),
            upgrade: configuration.boolean(directive::EXMDB_SCHEMA_UPGRADES),
        },
        helpers: configuration.size(directive::HELPER_THREADS),
        max_connections: [
            directive::imap::CONTEXT_NUM,
            directive::pop3::CONTEXT_NUM,
            directive::smtp::CONTEXT_NUM,
        ]
        .into_iter()
        .map(|key| configuration.size(key))
        .sum(),
        max_without_login: configuration.size(directive::SESSIONS_WITHOUT_LOGIN),
        max_connections_per_address: configuration.size(directive::CONNECTIONS_PER_ADDRESS),
        max_sessions_per_user: configuration.size(directive::CONNECTIONS_PER_USER),
        write_timeout: configuration.duration(directive::IMAP_CONN_TIMEOUT),
        handshake_timeout: configuration.duration(directive::IMAP_CONN_TIMEOUT) / HANDSHAKES_A_TIMEOUT,
        stop_grace: configuration.duration(directive::SHUTDOWN_TIME),
        ..defaults
    })
}

/// The certificates of all services: a client gets the one for the name it asks for.
fn tls(configuration: &Configuration) -> Result<Option<TlsSettings>> {
    use directive::{imap, pop3, smtp};
    let services = [
        (
            imap::IMAP_CERTIFICATE_PATH,
            imap::IMAP_PRIVATE_KEY_PATH,
            imap::IMAP_CERTIFICATE_PASSWD,
            imap::TLS_MIN_PROTO,
        ),
        (
            pop3::POP3_CERTIFICATE_PATH,
            pop3::POP3_PRIVATE_KEY_PATH,
            pop3::POP3_CERTIFICATE_PASSWD,
            pop3::TLS_MIN_PROTO,
        ),
        (
            smtp::SMTP_CERTIFICATE_PATH,
            smtp::SMTP_PRIVATE_KEY_PATH,
            smtp::SMTP_CERTIFICATE_PASSWD,
            smtp::TLS_MIN_PROTO,
        ),
    ];
    let mut settings = TlsSettings::default();
    for (chains, keys, password, oldest) in services {
        let (chains, keys) = (configuration.paths(chains), configuration.paths(keys));
        if !keys.is_empty() && keys.len() != chains.len() {
            bail!("{} certificates have {} private keys", chains.len(), keys.len());
        }
        let password = Some(configuration.text(password)).filter(|text| !text.is_empty());
        for (index, chain) in chains.iter().enumerate() {
            if settings.certificates.iter().all(|known| known.chain != *chain) {
                settings.certificates.push(CertificateFiles {
                    chain: chain.clone(),
                    key: keys.get(index).unwrap_or(chain).clone(),
                    password: password.map(str::to_owned),
                });
            }
        }
        if configuration.text(oldest).eq_ignore_ascii_case("tls1.3") {
            settings.min_version = TlsVersion::Tls13;
        }
    }
    Ok((!settings.certificates.is_empty()).then_some(settings))
}

fn listeners(configuration: &Configuration) -> Result<Vec<ListenerConfig>> {
    use directive::{imap, pop3};
    let mut listeners = Vec::new();
    let proxied = |key| configuration.text(key) == "2";

    let service = crate::services::imap(configuration);
    for (addresses, security) in [
        (directive::IMAP_LISTEN, Security::Plain),
        (directive::IMAP_LISTEN_TLS, Security::Tls),
    ] {
        for &address in configuration.addresses(addresses) {
            let mut listener = ListenerConfig::new(address, service.clone()).at(address, security);
            listener.proxy = proxied(directive::IMAP_ACCEPT_HAPROXY);
            listener.login_timeout = Some(configuration.duration(imap::IMAP_CONN_TIMEOUT));
            listeners.push(listener);
        }
    }
    let service = crate::services::pop3(configuration);
    for (addresses, security) in [
        (directive::POP3_LISTEN, Security::Plain),
        (directive::POP3_LISTEN_TLS, Security::Tls),
    ] {
        for &address in configuration.addresses(addresses) {
            let mut listener = ListenerConfig::new(address, service.clone()).at(address, security);
            listener.proxy = proxied(directive::POP3_ACCEPT_HAPROXY);
            listener.login_timeout = Some(configuration.duration(pop3::POP3_CONN_TIMEOUT));
            listeners.push(listener);
        }
    }
    let service = crate::services::lmtp(configuration);
    for (addresses, security) in [
        (directive::LDA_LISTEN, Security::Plain),
        (directive::LDA_LISTEN_TLS, Security::Tls),
    ] {
        for &address in configuration.addresses(addresses) {
            let mut listener = ListenerConfig::new(address, service.clone()).at(address, security);
            listener.proxy = proxied(directive::LDA_SUPPORT_HAPROXY);
            listener.class = SessionClass::Delivery;
            listeners.push(listener);
        }
    }
    Ok(listeners)
}
