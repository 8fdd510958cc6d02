//! TLS from outside, by rustls as a client.

mod common;

use std::{
    fs,
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use common::{Client, Echo, TIMEOUT, any_port, config, connect, create_mailboxes, start};
use ringpost_shard::{
    CertificateFiles, ListenerConfig, Runtime, RuntimeConfig, Security, StartError, TlsError, TlsSettings,
    TlsVersion,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName},
    version::TLS12,
};

type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

/// A self-signed certificate for `name` in files of `folder`.
fn certificate(folder: &Path, name: &str) -> (CertificateFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let chain = folder.join(format!("{name}.crt"));
    let key = folder.join(format!("{name}.key"));
    fs::write(&chain, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = CertificateFiles {
        chain,
        key,
        password: None,
    };
    (files, made.cert.der().clone())
}

fn settings(certificates: Vec<CertificateFiles>) -> TlsSettings {
    TlsSettings {
        certificates,
        min_version: TlsVersion::Tls12,
    }
}

/// The first listener is plain, the second speaks TLS at once.
fn tls_config(shards: usize, tls: TlsSettings) -> RuntimeConfig {
    let plain = ListenerConfig::new(any_port(), Echo);
    RuntimeConfig {
        listeners: vec![plain.clone(), plain.at(any_port(), Security::Tls)],
        tls: Some(tls),
        ..config(shards)
    }
}

fn trust(certificates: &[&CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add((*certificate).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn secure(stream: TcpStream, config: &Arc<ClientConfig>, name: &'static str) -> TlsClient {
    let name = ServerName::try_from(name).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    Client {
        stream: BufReader::new(StreamOwned::new(connection, stream)),
    }
}

fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>, name: &'static str) -> TlsClient {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    secure(stream, config, name)
}

#[test]
fn a_session_moves_between_cores_with_its_encryption() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 8_u16);
    let (files, der) = certificate(folder.path(), "mail.test");
    let client_config = trust(&[&der]);
    for shards in [1, 2, 4] {
        let runtime = start(tls_config(shards, settings(vec![files.clone()])), folder.path());
        for n in 0..8_u8 {
            let mut client = connect_tls(runtime.addresses()[1], &client_config, "mail.test");
            client.send(&format!("before\r\nlogin {n} demo\r\nafter"));
            let expected = ["hello", "before", &format!("welcome {n} tls=true"), "after"];
            for line in expected {
                assert_eq!(client.line().as_deref(), Some(line));
            }
            let long = "x".repeat(300_000);
            assert_eq!(client.ask(&long), long);
            assert!(client.ask("path").ends_with(&format!("/{n}")));
            client.send("quit");
            assert_eq!(
                client.line(),
                None,
                "a proper end: rustls would report a cut connection"
            );
            let mut rest = Vec::new();
            client
                .stream
                .read_to_end(&mut rest)
                .expect("close_notify was sent");
        }
        runtime.stop();
    }
}

#[test]
fn a_read_that_is_left_leaves_the_encryption_alone() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 2_u16);
    let (files, der) = certificate(folder.path(), "mail.test");
    let runtime = start(tls_config(2, settings(vec![files])), folder.path());
    let client_config = trust(&[&der]);
    let mut before_login = connect_tls(runtime.addresses()[1], &client_config, "mail.test");
    assert_eq!(before_login.line().as_deref(), Some("hello"));
    let mut after_login = connect_tls(runtime.addresses()[1], &client_config, "mail.test");
    after_login.line();
    assert_eq!(after_login.ask("login 1 demo"), "welcome 1 tls=true");
    // Both sessions wait in a read, and leave it.
    runtime.stop();
    for mut client in [before_login, after_login] {
        assert_eq!(client.line().as_deref(), Some("bye"));
        let mut rest = Vec::new();
        assert_eq!(
            client
                .stream
                .read_to_end(&mut rest)
                .expect("close_notify was sent"),
            0
        );
    }
}

#[test]
fn a_plain_connection_becomes_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 2_u16);
    let (files, der) = certificate(folder.path(), "mail.test");
    let runtime = start(tls_config(2, settings(vec![files])), folder.path());
    let mut plain = connect(runtime.addresses()[0]);
    plain.line();
    assert_eq!(plain.ask("starttls"), "go");
    let mut client = secure(plain.stream.into_inner(), &trust(&[&der]), "mail.test");
    assert_eq!(client.ask("secret"), "secret");
    assert_eq!(client.ask("login 1 demo"), "welcome 1 tls=true");
    runtime.stop();
}

#[test]
fn sessions_resume_on_any_core() {
    let folder = tempfile::tempdir().unwrap();
    let (files, der) = certificate(folder.path(), "mail.test");
    let runtime = start(tls_config(4, settings(vec![files])), folder.path());
    let client_config = trust(&[&der]);
    let mut resumed = 0;
    for _ in 0..20 {
        let mut client = connect_tls(runtime.addresses()[1], &client_config, "mail.test");
        assert_eq!(client.ask("x"), "hello");
        if client.stream.get_ref().conn.handshake_kind() == Some(HandshakeKind::Resumed) {
            resumed += 1;
        }
    }
    assert_eq!(resumed, 19, "all but the first");
    runtime.stop();
}

#[test]
fn the_certificate_is_chosen_by_the_name_the_client_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let (first, first_der) = certificate(folder.path(), "one.test");
    let (second, second_der) = certificate(folder.path(), "two.test");
    let runtime = start(tls_config(1, settings(vec![first, second])), folder.path());
    let client_config = trust(&[&first_der, &second_der]);
    for (name, der) in [("one.test", &first_der), ("two.test", &second_der)] {
        let mut client = connect_tls(runtime.addresses()[1], &client_config, name);
        assert_eq!(client.line().as_deref(), Some("hello"));
        let presented = client.stream.get_ref().conn.peer_certificates().unwrap();
        assert_eq!(&presented[0], der);
    }
    runtime.stop();
}

#[test]
fn a_reload_changes_new_connections_only_and_a_bad_one_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (old, old_der) = certificate(folder.path(), "mail.test");
    let runtime = start(tls_config(2, settings(vec![old.clone()])), folder.path());
    let address = runtime.addresses()[1];
    let mut before = connect_tls(address, &trust(&[&old_der]), "mail.test");
    assert_eq!(before.line().as_deref(), Some("hello"));

    let (_, new_der) = certificate(folder.path(), "mail.test");
    runtime
        .reload_tls(&tls_config(1, settings(vec![old.clone()])))
        .unwrap();
    assert!(
        runtime.is_alive(TIMEOUT),
        "the cores have done what was sent before"
    );
    for _ in 0..8 {
        let mut after = connect_tls(address, &trust(&[&new_der]), "mail.test");
        assert_eq!(after.line().as_deref(), Some("hello"));
    }
    assert_eq!(before.ask("still"), "still");

    fs::write(&old.key, "nonsense").unwrap();
    let error = runtime
        .reload_tls(&tls_config(1, settings(vec![old])))
        .unwrap_err();
    assert!(matches!(error, TlsError::Content { .. }), "{error}");
    let mut after = connect_tls(address, &trust(&[&new_der]), "mail.test");
    assert_eq!(after.line().as_deref(), Some("hello"));
    runtime.stop();
}

#[test]
fn a_service_presents_its_own_certificate_and_versions() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, shared_der) = certificate(folder.path(), "mail.test");
    let (own, own_der) = certificate(folder.path(), "imap.test");
    let name = ringpost_host::Service::name(&Echo);
    let strict = TlsSettings {
        min_version: TlsVersion::Tls13,
        ..settings(vec![own])
    };
    let both = RuntimeConfig {
        service_tls: vec![(name, strict)],
        ..tls_config(2, settings(vec![shared.clone()]))
    };
    let runtime = start(both, folder.path());
    let address = runtime.addresses()[1];
    let client_config = trust(&[&own_der]);
    let mut client = connect_tls(address, &client_config, "imap.test");
    assert_eq!(client.line().as_deref(), Some("hello"));
    // Without a certificate of its own it presents what all share.
    let other = RuntimeConfig {
        service_tls: vec![("another service", settings(vec![shared.clone()]))],
        ..tls_config(2, settings(vec![shared]))
    };
    runtime.reload_tls(&other).unwrap();
    assert!(runtime.is_alive(TIMEOUT));
    let mut client = connect_tls(address, &trust(&[&shared_der]), "mail.test");
    assert_eq!(client.line().as_deref(), Some("hello"));
    runtime.stop();
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let (mut files, der) = certificate(folder.path(), "mail.test");
    let pem = fs::read_to_string(&files.key).unwrap();
    let (_, document) = pkcs8::SecretDocument::from_pem(&pem).unwrap();
    let key = pkcs8::PrivateKeyInfo::try_from(document.as_bytes()).unwrap();
    let parameters =
        pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(2048, b"saltsalt", &[7; 16]).unwrap();
    let encrypted = key.encrypt_with_params(parameters, "open sesame").unwrap();
    let pem = encrypted
        .to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF)
        .unwrap();
    fs::write(&files.key, pem.as_bytes()).unwrap();

    for password in [None, Some("wrong".to_owned())] {
        files.password = password;
        let error = ringpost_shard::TlsMaterial::load(&settings(vec![files.clone()]), None).err();
        assert!(matches!(error, Some(TlsError::Content { .. })), "{error:?}");
    }
    files.password = Some("open sesame".to_owned());
    let runtime = start(tls_config(1, settings(vec![files])), folder.path());
    let mut client = connect_tls(runtime.addresses()[1], &trust(&[&der]), "mail.test");
    assert_eq!(client.line().as_deref(), Some("hello"));
    runtime.stop();
}

#[test]
fn old_versions_and_other_protocols_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (files, der) = certificate(folder.path(), "mail.test");
    let strict = TlsSettings {
        min_version: TlsVersion::Tls13,
        ..settings(vec![files])
    };
    let runtime = start(tls_config(1, strict), folder.path());
    let address = runtime.addresses()[1];

    let mut roots = RootCertStore::empty();
    roots.add(der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let old = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = connect_tls(address, &Arc::new(old), "mail.test");
    let error = client.stream.get_mut().write_all(b"x").unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");

    let mut plain = connect(address);
    plain.send("GET / HTTP/1.1");
    let mut answer = Vec::new();
    let _ = plain.stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"hello"));
    assert_eq!(
        connect_tls(address, &trust(&[&der]), "mail.test")
            .line()
            .as_deref(),
        Some("hello")
    );
    runtime.stop();
}

#[test]
fn tls_listeners_need_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = certificate(folder.path(), "mail.test");
    let without = RuntimeConfig {
        tls: None,
        ..tls_config(1, settings(vec![files]))
    };
    let accounts = Arc::new(common::TestAccounts {
        root: folder.path().to_owned(),
    });
    let error = Runtime::start(without, accounts).err();
    assert!(matches!(error, Some(StartError::NoCertificate(_))), "{error:?}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, _) = certificate(folder.path(), "one.test");
    let (two, _) = certificate(folder.path(), "two.test");
    let mixed = CertificateFiles { key: two.key, ..one };
    let error = ringpost_shard::TlsMaterial::load(&settings(vec![mixed]), None)
        .err()
        .unwrap();
    assert!(error.to_string().contains("does not belong"), "{error}");
}

#[test]
#[ignore = "a measurement, to be run alone"]
fn memory_of_connections_before_login() {
    measure_memory(false);
}

#[test]
#[ignore = "a measurement, to be run alone"]
fn memory_of_connections_after_login() {
    measure_memory(true);
}

/// Prints what idle connections cost, clients' sockets and the kernel's memory aside.
fn measure_memory(logged_in: bool) {
    fn resident_bytes() -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }
    const COUNT: usize = 2000;
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 8_u16);
    let (files, der) = certificate(folder.path(), "mail.test");
    let runtime = start(tls_config(2, settings(vec![files])), folder.path());
    let client_config = trust(&[&der]);
    let open_plain = |n: usize| {
        let mut client = connect(runtime.addresses()[0]);
        client.line();
        if logged_in {
            client.ask(&format!("login {} demo", n % 8));
        }
        client.stream.into_inner()
    };
    let open_tls = |n: usize| {
        let mut client = connect_tls(runtime.addresses()[1], &client_config, "mail.test");
        client.line();
        if logged_in {
            client.ask(&format!("login {} demo", n % 8));
        }
        client.stream.into_inner().sock
    };
    // Once before, so that pools and buffers have their size.
    let warm: Vec<_> = (0..50).flat_map(|n| [open_plain(n), open_tls(n)]).collect();
    drop(warm);
    let before = resident_bytes();
    let plain: Vec<_> = (0..COUNT).map(open_plain).collect();
    let between = resident_bytes();
    let tls: Vec<_> = (0..COUNT).map(open_tls).collect();
    let after = resident_bytes();
    eprintln!(
        "logged in: {logged_in}; plain {} bytes, TLS {} bytes a connection",
        (between - before) / COUNT,
        (after - between) / COUNT
    );
    drop((plain, tls));
    runtime.stop();
}
