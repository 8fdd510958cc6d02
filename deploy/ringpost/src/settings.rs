//! What the configuration means for each part of the server.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ringpost_config::{Configuration, Directive, directive};
use ringpost_queue::Mailer;
use ringpost_shard::{
    CertificateFiles, ListenerConfig, QueueConfig, RuntimeConfig, Security, SessionClass, TlsSettings,
    TlsVersion,
};
use ringpost_store::OpenOptions;

/// How much longer than a client's silence its login may take as a whole: one that keeps talking and never logs in
/// is cut as well.
const LOGIN_FACTOR: u32 = 2;
/// A core that looks for work for longer than this keeps others from its processor, and gains nothing.
const IDLE_POLL_MAX: Duration = Duration::from_millis(1);
/// A TLS handshake has this fraction of the connection timeout.
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
        idle_poll: configuration
            .duration(directive::IDLE_POLL_TIME)
            .min(IDLE_POLL_MAX),
        listeners: listeners(configuration),
        queue: Some(queue(configuration)?),
        admin: configuration.addresses(directive::ADMIN_LISTEN).first().copied(),
        tls: None,
        service_tls: tls(configuration)?,
        table_size: configuration.size(directive::TABLE_SIZE),
        cache_interval: configuration.duration(directive::exmdb_provider::CACHE_INTERVAL),
        open: OpenOptions {
            compression_level: configuration.compression(directive::EXMDB_FILE_COMPRESSION),
            upgrade: configuration.boolean(directive::EXMDB_SCHEMA_UPGRADES),
            max_messages: configuration
                .quantity(directive::MAX_STORE_MESSAGE_COUNT)
                .unsigned_abs(),
        },
        helpers: configuration.size(directive::HELPER_THREADS),
        max_connections: SERVICES
            .iter()
            .map(|service| configuration.size(service.context_num))
            .sum(),
        max_without_login: configuration.size(directive::SESSIONS_WITHOUT_LOGIN),
        max_connections_per_address: configuration.size(directive::CONNECTIONS_PER_ADDRESS),
        max_sessions_per_user: configuration.size(directive::CONNECTIONS_PER_USER),
        handshake_timeout: configuration.duration(directive::IMAP_CONN_TIMEOUT) / HANDSHAKES_A_TIMEOUT,
        stop_grace: configuration.duration(directive::SHUTDOWN_TIME),
        blocklist_zone: Some(configuration.text(directive::DNSBL_CLIENT))
            .filter(|zone| !zone.is_empty())
            .map(str::to_owned),
        stall_warning: configuration.duration(directive::STALL_WARNING),
        open_files: FD_LIMITS
            .iter()
            .map(|key| configuration.quantity(*key).unsigned_abs())
            .max()
            .unwrap_or(0),
        ..defaults
    })
}

/// The queue and its worker.
fn queue(configuration: &Configuration) -> Result<QueueConfig> {
    let path = ringpost_tools::queue_folder(configuration).context("dequeue_path and data_path are empty")?;
    let options = ringpost_queue::Options::of(configuration).context("outgoing_smtp_url")?;
    let memory_max = configuration
        .quantity(directive::delivery::DEQUEUE_MAX_MEM)
        .unsigned_abs();
    Ok(QueueConfig::new(path, memory_max, Mailer::new(options)))
}

/// One process has one table of open files, so the largest wish counts.
const FD_LIMITS: [directive::Quantity; 8] = [
    directive::DAEMONS_FD_LIMIT,
    directive::LDA_FD_LIMIT,
    directive::HTTP_FD_LIMIT,
    directive::IMAP_FD_LIMIT,
    directive::ISTORE_FD_LIMIT,
    directive::MIDB_FD_LIMIT,
    directive::POP3_FD_LIMIT,
    directive::ZCORE_FD_LIMIT,
];

/// The directives that say the same of each service.
struct ServiceDirectives {
    /// Name of the service.
    name: &'static str,
    listen: directive::Sockets,
    listen_tls: directive::Sockets,
    /// The deprecated ones, which hold where the file says nothing else.
    deprecated: Option<DeprecatedListener>,
    haproxy: directive::Text,
    context_num: directive::Quantity,
    timeout: directive::TimeSpan,
    /// Whether TLS is offered at all where the file names no listener for it.
    support_tls: Option<directive::Boolean>,
    chains: directive::Paths,
    keys: directive::Paths,
    password: directive::Text,
    oldest: directive::Text,
}

/// Listeners as older versions named them.
struct DeprecatedListener {
    address: directive::Host,
    port: directive::Quantity,
    tls_port: directive::Quantity,
}

const SERVICES: [ServiceDirectives; 4] = {
    use directive::{imap, pop3, smtp};
    [
        ServiceDirectives {
            name: "imap",
            listen: directive::IMAP_LISTEN,
            listen_tls: directive::IMAP_LISTEN_TLS,
            deprecated: Some(DeprecatedListener {
                address: imap::IMAP_LISTEN_ADDR,
                port: imap::IMAP_LISTEN_PORT,
                tls_port: imap::IMAP_LISTEN_TLS_PORT,
            }),
            haproxy: directive::IMAP_ACCEPT_HAPROXY,
            context_num: imap::CONTEXT_NUM,
            timeout: imap::IMAP_CONN_TIMEOUT,
            support_tls: Some(imap::IMAP_SUPPORT_TLS),
            chains: imap::IMAP_CERTIFICATE_PATH,
            keys: imap::IMAP_PRIVATE_KEY_PATH,
            password: imap::IMAP_CERTIFICATE_PASSWD,
            oldest: imap::TLS_MIN_PROTO,
        },
        ServiceDirectives {
            name: "pop3",
            listen: directive::POP3_LISTEN,
            listen_tls: directive::POP3_LISTEN_TLS,
            deprecated: Some(DeprecatedListener {
                address: pop3::POP3_LISTEN_ADDR,
                port: pop3::POP3_LISTEN_PORT,
                tls_port: pop3::POP3_LISTEN_TLS_PORT,
            }),
            haproxy: directive::POP3_ACCEPT_HAPROXY,
            context_num: pop3::CONTEXT_NUM,
            timeout: pop3::POP3_CONN_TIMEOUT,
            support_tls: Some(pop3::POP3_SUPPORT_TLS),
            chains: pop3::POP3_CERTIFICATE_PATH,
            keys: pop3::POP3_PRIVATE_KEY_PATH,
            password: pop3::POP3_CERTIFICATE_PASSWD,
            oldest: pop3::TLS_MIN_PROTO,
        },
        ServiceDirectives {
            name: "lmtp",
            listen: directive::LDA_LISTEN,
            listen_tls: directive::LDA_LISTEN_TLS,
            deprecated: Some(DeprecatedListener {
                address: smtp::LDA_LISTEN_ADDR,
                port: smtp::LDA_LISTEN_PORT,
                tls_port: smtp::LDA_LISTEN_TLS_PORT,
            }),
            haproxy: directive::LDA_SUPPORT_HAPROXY,
            context_num: smtp::CONTEXT_NUM,
            timeout: smtp::SMTP_CONN_TIMEOUT,
            support_tls: Some(smtp::SMTP_SUPPORT_STARTTLS),
            chains: smtp::SMTP_CERTIFICATE_PATH,
            keys: smtp::SMTP_PRIVATE_KEY_PATH,
            password: smtp::SMTP_CERTIFICATE_PASSWD,
            oldest: smtp::TLS_MIN_PROTO,
        },
        ServiceDirectives {
            name: "submission",
            listen: directive::SUBMISSION_LISTEN,
            listen_tls: directive::SUBMISSION_LISTEN_TLS,
            deprecated: None,
            haproxy: directive::SUBMISSION_ACCEPT_HAPROXY,
            context_num: directive::SUBMISSION_CONTEXT_NUM,
            timeout: smtp::SMTP_CONN_TIMEOUT,
            support_tls: None,
            chains: smtp::SMTP_CERTIFICATE_PATH,
            keys: smtp::SMTP_PRIVATE_KEY_PATH,
            password: smtp::SMTP_CERTIFICATE_PASSWD,
            oldest: smtp::TLS_MIN_PROTO,
        },
    ]
};

impl ServiceDirectives {
    /// Its certificates. A client gets the one for the name it asks for.
    fn certificates(&self, configuration: &Configuration) -> Result<Vec<CertificateFiles>> {
        let (chains, keys) = (configuration.paths(self.chains), configuration.paths(self.keys));
        if !keys.is_empty() && keys.len() != chains.len() {
            bail!(
                "{}: {} certificates have {} private keys",
                self.chains.directive().name,
                chains.len(),
                keys.len()
            );
        }
        let password = Some(configuration.text(self.password)).filter(|text| !text.is_empty());
        let files = chains.iter().enumerate().map(|(index, chain)| CertificateFiles {
            chain: chain.clone(),
            key: keys.get(index).unwrap_or(chain).clone(),
            password: password.map(str::to_owned),
        });
        Ok(files.collect())
    }

    /// Where it listens.
    fn addresses(&self, configuration: &Configuration, security: Security) -> Vec<SocketAddr> {
        let listen = match security {
            Security::Plain => self.listen,
            Security::Tls => self.listen_tls,
        };
        let said = |directive: &'static Directive| configuration.setting(directive).place.is_some();
        let addresses = configuration.addresses(listen);
        let Some(deprecated) = &self.deprecated else {
            return addresses.to_vec();
        };
        let port = match security {
            Security::Plain => deprecated.port,
            Security::Tls => deprecated.tls_port,
        };
        let is_default = !said(listen.directive()) && !said(port.directive());
        let offers_tls = self.support_tls.is_none_or(|key| configuration.boolean(key));
        if security == Security::Tls && is_default && !offers_tls {
            // Out of the box there is no certificate either.
            return Vec::new();
        }
        let is_deprecated = said(port.directive()) || said(deprecated.address.directive());
        if said(listen.directive()) || !is_deprecated {
            return addresses.to_vec();
        }
        let default = addresses.first().map_or(0, SocketAddr::port);
        let ip = configuration
            .host(deprecated.address)
            .unwrap_or(Ipv6Addr::UNSPECIFIED.into());
        let port = if said(port.directive()) {
            u16::try_from(configuration.quantity(port)).unwrap_or(0)
        } else {
            default
        };
        // Port 0 turned a listener off.
        (port != 0)
            .then_some(SocketAddr::new(ip, port))
            .into_iter()
            .collect()
    }
}

/// What each service presents. One without certificates presents those of the others.
fn tls(configuration: &Configuration) -> Result<Vec<(&'static str, TlsSettings)>> {
    let own = SERVICES
        .iter()
        .map(|service| service.certificates(configuration))
        .collect::<Result<Vec<_>>>()?;
    let mut all: Vec<CertificateFiles> = Vec::new();
    for files in own.iter().flatten() {
        if all.iter().all(|known| known.chain != files.chain) {
            all.push(files.clone());
        }
    }
    let settings = SERVICES.iter().zip(own).map(|(service, own)| {
        let certificates = if own.is_empty() { all.clone() } else { own };
        let min_version = if configuration.text(service.oldest) == "tls1.3" {
            TlsVersion::Tls13
        } else {
            TlsVersion::Tls12
        };
        let settings = TlsSettings {
            certificates,
            min_version,
        };
        (service.name, settings)
    });
    Ok(settings
        .filter(|(_, settings)| !settings.certificates.is_empty())
        .collect())
}

fn listeners(configuration: &Configuration) -> Vec<ListenerConfig> {
    let mut listeners = Vec::new();
    for service in &SERVICES {
        for security in [Security::Plain, Security::Tls] {
            for address in service.addresses(configuration, security) {
                let listener = match service.name {
                    "imap" => ListenerConfig::new(address, crate::services::imap(configuration)),
                    "pop3" => ListenerConfig::new(address, crate::services::pop3(configuration)),
                    "submission" => ListenerConfig::new(address, crate::services::submission(configuration)),
                    _ => ListenerConfig::new(address, crate::services::lmtp(configuration)),
                };
                let mut listener = listener.at(address, security);
                let timeout = configuration.duration(service.timeout);
                listener.proxy = configuration.text(service.haproxy) == "2";
                listener.max_connections = configuration.size(service.context_num);
                listener.write_timeout = Some(timeout);
                match service.name {
                    "lmtp" => listener.class = SessionClass::Delivery,
                    // All of a session is its first stage; the protocol itself limits what comes before the login.
                    "submission" => {}
                    _ => listener.login_timeout = Some(timeout * LOGIN_FACTOR),
                }
                listeners.push(listener);
            }
        }
    }
    listeners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<(SocketAddr, Security)> {
        let (configuration, _) = Configuration::from_text(text);
        listeners(&configuration)
            .iter()
            .map(|listener| (listener.address, listener.security))
            .collect()
    }

    #[test]
    fn deprecated_listeners_hold_where_nothing_else_is_said() {
        let old = addresses(
            "imap_listen_port=1143\nimap_listen_tls_port=0\nimap_listen_addr=::1\npop3_listen_port=1110\n\
             pop3_listen=[::1]:2110\npop3_listen_tls=\nlda_listen_addr=::ffff:127.0.0.1\nlda_listen_tls=[::1]:1465\n",
        );
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(
            old,
            [
                (socket("[::1]:1143"), Security::Plain),
                (socket("[::1]:2110"), Security::Plain),
                (socket("127.0.0.1:25"), Security::Plain),
                (socket("[::1]:1465"), Security::Tls),
            ]
        );
        // By default TLS is off (`imap_support_tls` and the like), its listeners too.
        let defaults = addresses("");
        assert!(defaults.len() == 3 && defaults.iter().all(|(_, security)| *security == Security::Plain));
        let all = addresses("imap_support_tls=yes\npop3_support_tls=yes\nsmtp_support_starttls=yes\n");
        assert_eq!(all.len(), 6);
        let submission = addresses(
            "imap_listen=\npop3_listen=\nlda_listen=\nsubmission_listen=[::1]:587\nsubmission_listen_tls=[::1]:465\n",
        );
        assert_eq!(
            submission,
            [
                (socket("[::1]:587"), Security::Plain),
                (socket("[::1]:465"), Security::Tls)
            ]
        );
    }

    #[test]
    fn each_service_has_its_own_certificates_versions_and_limits() {
        let (configuration, _) = Configuration::from_text(
            "imap_certificate_path=/a.pem:/b.pem\nimap_private_key_path=/a.key:/b.key\n\
             pop3_certificate_path=/c.pem\npop3_certificate_passwd=x\npop3.cfg:tls_min_proto=tls1.3\n\
             smtp.cfg:context_num=7\npop3_conn_timeout=9s\ndaemons_fd_limit=10\nimap_fd_limit=5000\n",
        );
        let settings = runtime(&configuration).unwrap();
        let [(imap, first), (pop3, second), (lmtp, third), (submission, _)] = settings.service_tls.as_slice()
        else {
            panic!("{:?}", settings.service_tls);
        };
        assert_eq!(
            (*imap, *pop3, *lmtp, *submission),
            ("imap", "pop3", "lmtp", "submission")
        );
        assert_eq!(
            (first.certificates.len(), first.min_version),
            (2, TlsVersion::Tls12)
        );
        assert_eq!(
            (second.certificates.len(), second.min_version),
            (1, TlsVersion::Tls13)
        );
        assert_eq!(second.certificates[0].password.as_deref(), Some("x"));
        assert_eq!(second.certificates[0].key, PathBuf::from("/c.pem"));
        assert_eq!(third.certificates.len(), 3, "none of its own");
        assert_eq!(settings.open_files, 5000);
        let limits: Vec<_> = settings
            .listeners
            .iter()
            .map(|listener| listener.max_connections)
            .collect();
        assert_eq!(limits, [200, 200, 7]);
        assert_eq!(settings.listeners[1].write_timeout, Some(Duration::from_secs(9)));
        let (unequal, _) =
            Configuration::from_text("imap_certificate_path=/a:/b\nimap_private_key_path=/a.key\n");
        let error = runtime(&unequal).err().unwrap().to_string();
        assert!(error.contains("2 certificates have 1 private keys"), "{error}");
    }
}
