//! What stands before a session: PROXY headers; and beside it: the admin listener, slow clients.

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use common::{any_port, config, connect, create_mailboxes, start};
use ringpost_shard::{RuntimeConfig, proxy::SIGNATURE};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(common::TIMEOUT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_proxy_header_tells_who_the_client_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut proxied = config(2);
    proxied.listeners[0].proxy = true;
    let runtime = start(proxied, folder.path());
    let address = runtime.addresses()[0];

    let mut client = connect(address);
    let mut header = SIGNATURE.to_vec();
    header.extend([
        0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0x10, 0x00, 0, 143,
    ]);
    // In two parts, the second with the first command behind it.
    client.stream.get_mut().write_all(&header[..20]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    header.extend(b"peer\r\n");
    client.stream.get_mut().write_all(&header[20..]).unwrap();
    assert_eq!(client.line().as_deref(), Some("hello"));
    assert_eq!(client.line().as_deref(), Some("192.0.2.7:4096 198.51.100.1:143"));

    let mut check = connect(address);
    check
        .stream
        .get_mut()
        .write_all(&[&SIGNATURE[..], &[0x20, 0, 0, 0]].concat())
        .unwrap();
    assert_eq!(check.line().as_deref(), Some("hello"));
    assert!(check.ask("peer").starts_with("127.0.0.1:"));

    let mut without = connect(address);
    without.send("peer");
    assert_eq!(without.line(), None, "no session without the header");
    runtime.stop();
}

#[test]
fn the_admin_listener_tells_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 8_u16);
    let with_admin = RuntimeConfig {
        admin: Some(any_port()),
        ..config(2)
    };
    let runtime = start(with_admin, folder.path());
    let admin = runtime.admin_address().unwrap();
    for n in 0..8 {
        let mut client = connect(runtime.addresses()[0]);
        client.line();
        client.ask(&format!("login {n} demo"));
        client.ask("path");
    }
    assert!(get(admin, "/healthz").ends_with("\r\n\r\nok\n"));
    assert!(get(admin, "/readyz").starts_with("HTTP/1.1 200 "));
    assert!(get(admin, "/nothing").starts_with("HTTP/1.1 404 "));
    let text = get(admin, "/metrics");
    let total = |name: &str| -> f64 {
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    let sum = |name: &str| total(name) as u64;
    assert_eq!(sum("ringpost_connections_total{"), 8);
    assert_eq!(sum("ringpost_sessions_total{"), 8);
    assert_eq!(
        sum("ringpost_handed_over_total{") + sum("ringpost_stayed_total{"),
        8
    );
    assert_eq!(sum("ringpost_local_calls_total{"), 8);
    assert_eq!(sum("ringpost_forwarded_calls_total{"), 0);
    assert_eq!(sum("ringpost_opens_total{"), 8);
    assert!(total("ringpost_longest_stall_seconds{") > 0.0);
    for line in text.split("\r\n\r\n").nth(1).unwrap().lines() {
        assert!(line.starts_with("# ") || line.starts_with("ringpost_"), "{line}");
    }
    runtime.dump_state();
    runtime.stop();
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let impatient = RuntimeConfig {
        write_timeout: Duration::from_millis(300),
        stop_grace: Duration::from_secs(20),
        ..config(1)
    };
    let runtime = start(impatient, folder.path());
    let client = connect(runtime.addresses()[0]);
    // More than the socket buffers hold, and never read; the thread ends when the connection is cut.
    let mut stream = client.stream.into_inner();
    let line = [vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
    let begun = Instant::now();
    let cut = (0..200).any(|_| stream.write_all(&line).is_err());
    assert!(cut, "the server took everything");
    assert!(begun.elapsed() < Duration::from_secs(15));
    let begun = Instant::now();
    runtime.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "no session is left");
}

#[test]
fn an_address_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind(any_port()).unwrap();
    let mut second = config(1);
    second.listeners[0].address = taken.local_addr().unwrap();
    let accounts = std::sync::Arc::new(common::TestAccounts {
        root: folder.path().to_owned(),
    });
    let error = ringpost_shard::Runtime::start(second, accounts)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains(&taken.local_addr().unwrap().to_string()),
        "{error}"
    );
}
