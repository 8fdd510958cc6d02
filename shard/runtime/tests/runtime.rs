//! The runtime from outside: sockets, several cores, the stop.

mod common;

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Client, SLOW, config, connect, create_mailboxes, start};
use ringpost_shard::RuntimeConfig;

#[test]
fn echo_works_on_any_number_of_cores() {
    for shards in [1, 2, 4] {
        let folder = tempfile::tempdir().unwrap();
        let runtime = start(config(shards), folder.path());
        let address = runtime.addresses()[0];
        let mut clients: Vec<_> = (0..20).map(|_| connect(address)).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.line().as_deref(), Some("hello"));
            assert_eq!(client.ask(&format!("line {number}")), format!("line {number}"));
        }
        assert!(runtime.is_alive(Duration::from_secs(5)));
        drop(clients);
        runtime.stop();
    }
}

#[test]
fn a_session_moves_to_its_mailboxs_core_with_what_was_pipelined() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 4_u16);
    for shards in [1, 2, 4] {
        let runtime = start(config(shards), folder.path());
        let address = runtime.addresses()[0];
        for round in 0..16_u8 {
            let n = round % 4;
            let mut client = connect(address);
            client.send(&format!("login {n} demo\r\nfirst\r\npath"));
            let expected = [
                "hello".to_owned(),
                format!("welcome {n} tls=false"),
                "first".to_owned(),
                folder.path().join(n.to_string()).display().to_string(),
            ];
            for line in expected {
                assert_eq!(client.line(), Some(line));
            }
        }
        runtime.stop();
    }
}

#[test]
fn a_wrong_password_does_not_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(config(2), folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    assert_eq!(client.ask("login 1 guess"), "invalid credentials");
    assert_eq!(client.ask("still here"), "still here");
    runtime.stop();
}

#[test]
fn a_panic_ends_one_session_or_one_operation_only() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 2_u16);
    let runtime = start(config(1), folder.path());
    let address = runtime.addresses()[0];
    let mut bystander = connect(address);
    bystander.line();
    let mut victim = connect(address);
    victim.line();
    victim.send("panic");
    assert_eq!(victim.line(), None);
    let mut user = connect(address);
    user.line();
    user.ask("login 1 demo");
    assert_eq!(user.ask("panic"), "internal error");
    assert!(user.ask("path").ends_with("/1"), "the mailbox is opened again");
    assert_eq!(bystander.ask("fine"), "fine");
    runtime.stop();
}

#[test]
fn the_stop_tells_sessions_and_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 4_u16);
    let runtime = start(config(2), folder.path());
    let address = runtime.addresses()[0];
    let mut clients: Vec<_> = (0..8).map(|_| connect(address)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.line();
        if n % 2 == 0 {
            client.ask(&format!("login {} demo", n / 2));
            client.ask("path");
        }
    }
    let begun = Instant::now();
    runtime.stop();
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "the grace was not needed"
    );
    for mut client in clients {
        assert_eq!(client.line().as_deref(), Some("bye"));
        assert_eq!(client.line(), None);
    }
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn connections_over_the_limits_are_refused_and_others_served() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 3_u16);
    let limited = RuntimeConfig {
        max_connections: 3,
        max_sessions_per_user: 1,
        ..config(2)
    };
    let runtime = start(limited, folder.path());
    let address = runtime.addresses()[0];
    let mut inside: Vec<_> = (0..3).map(|_| connect(address)).collect();
    for (n, client) in inside.iter_mut().enumerate() {
        assert_eq!(client.line().as_deref(), Some("hello"));
        assert_eq!(
            client.ask(&format!("login {n} demo")),
            format!("welcome {n} tls=false")
        );
    }
    let mut outside = connect(address);
    assert_eq!(outside.line().as_deref(), Some("busy"));
    assert_eq!(outside.line(), None);

    drop(inside.pop());
    wait_for(address, |client| {
        if client.line().as_deref() != Some("hello") {
            return false;
        }
        assert_eq!(client.ask("login 1 demo"), "busy", "a user's second session");
        client.line().is_none()
    });
    for client in &mut inside {
        assert_eq!(client.ask("on"), "on");
    }
    runtime.stop();
}

#[test]
fn connections_of_one_service_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 1_u16);
    let mut limited = config(2);
    limited.listeners[0].max_connections = 1;
    let runtime = start(limited, folder.path());
    let address = runtime.addresses()[0];
    let mut first = connect(address);
    assert_eq!(first.line().as_deref(), Some("hello"));
    assert_eq!(first.ask("login 0 demo"), "welcome 0 tls=false");
    assert_eq!(connect(address).line().as_deref(), Some("busy"));
    drop(first);
    wait_for(address, |client| client.line().as_deref() == Some("hello"));
    runtime.stop();
}

#[test]
fn connections_of_one_address_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let limited = RuntimeConfig {
        max_connections_per_address: 2,
        ..config(2)
    };
    let runtime = start(limited, folder.path());
    let address = runtime.addresses()[0];
    let mut first = connect(address);
    let mut second = connect(address);
    assert_eq!(first.line().as_deref(), Some("hello"));
    assert_eq!(second.line().as_deref(), Some("hello"));
    assert_eq!(connect(address).line().as_deref(), Some("busy"));
    drop(first);
    wait_for(address, |client| client.line().as_deref() == Some("hello"));
    runtime.stop();
}

#[test]
fn a_client_that_does_not_log_in_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut hasty = config(1);
    hasty.listeners[0].login_timeout = Some(Duration::from_millis(200));
    let runtime = start(hasty, folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    assert_eq!(client.line(), None);
    runtime.stop();
}

#[test]
fn connections_that_log_in_do_not_count_as_those_that_do_not() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 1_u16);
    let mut limited = RuntimeConfig {
        max_without_login: 2,
        ..config(1)
    };
    limited.listeners[0].login_timeout = Some(Duration::from_secs(10));
    let runtime = start(limited, folder.path());
    let address = runtime.addresses()[0];
    let mut first = connect(address);
    let mut second = connect(address);
    assert_eq!(first.line().as_deref(), Some("hello"));
    assert_eq!(second.line().as_deref(), Some("hello"));
    assert_eq!(first.ask("login 0 demo"), "welcome 0 tls=false");
    let mut third = connect(address);
    assert_eq!(third.line().as_deref(), Some("hello"), "the first has logged in");
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.ask("on"), "on");
    }
    runtime.stop();
}

/// A client from another address of this machine.
fn connect_from(source: [u8; 4], address: SocketAddr) -> Client<std::net::TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    Client::new(socket.into())
}

#[test]
fn who_says_nothing_gives_way_to_newcomers() {
    /// Longer than a stranger has to say something.
    const PATIENCE: Duration = Duration::from_millis(200);
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 1_u16);
    for service in [false, true] {
        let mut limited = config(1);
        if service {
            limited.listeners[0].max_connections = 3;
        } else {
            limited.max_without_login = 2;
            limited.listeners[0].login_timeout = Some(Duration::from_secs(30));
        }
        let runtime = start(limited, folder.path());
        let address = runtime.addresses()[0];
        let mut inside = connect(address);
        inside.line();
        assert_eq!(inside.ask("login 0 demo"), "welcome 0 tls=false");
        let strangers = |last| -> Vec<_> {
            let mut clients: Vec<_> = (0..2).map(|_| connect_from([127, 0, 0, last], address)).collect();
            for client in &mut clients {
                assert_eq!(client.line().as_deref(), Some("hello"), "service: {service}");
            }
            clients
        };
        let silent = strangers(2);
        std::thread::sleep(PATIENCE);
        let newcomers = strangers(3);
        for mut client in silent {
            assert_eq!(client.line(), None, "service: {service}");
        }
        // From where somebody has logged in before, there is no waiting.
        let mut friend = connect(address);
        assert_eq!(friend.line().as_deref(), Some("hello"), "service: {service}");
        let mut newcomers = newcomers.into_iter();
        assert_eq!(newcomers.next().unwrap().line(), None, "service: {service}");
        assert_eq!(friend.ask("login 0 demo"), "welcome 0 tls=false");
        assert_eq!(newcomers.next().unwrap().ask("on"), "on", "service: {service}");
        assert_eq!(inside.ask("on"), "on", "who is logged in stays");
        runtime.stop();
    }
}

#[test]
fn a_storm_of_wrong_passwords_delays_nobody_for_long() {
    const STORM: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(config(1), folder.path());
    let address = runtime.addresses()[0];
    let from = |source: [u8; 4]| {
        let mut client = connect_from(source, address);
        client.line();
        client
    };
    let mut known = from([127, 0, 0, 2]);
    for _ in 0..3 {
        assert_eq!(known.ask("login 0 wrong"), "invalid credentials");
    }
    let mut storm: Vec<_> = (0..STORM).map(|_| from([127, 0, 0, 2])).collect();
    for client in &mut storm {
        client.send("login 0 slow");
    }
    std::thread::sleep(SLOW / 4);
    let begun = Instant::now();
    // What needs no hash does not wait at all; what needs one, for the one that is under way.
    assert_eq!(from([127, 0, 0, 3]).ask("login 0 wrong"), "invalid credentials");
    assert!(begun.elapsed() < SLOW / 2, "{:?}", begun.elapsed());
    assert_eq!(from([127, 0, 0, 3]).ask("login 0 slow"), "invalid credentials");
    assert!(begun.elapsed() < SLOW * 4, "{:?}", begun.elapsed());
    for client in &mut storm {
        assert_eq!(client.line().as_deref(), Some("invalid credentials"));
    }
    assert!(begun.elapsed() > SLOW * (STORM as u32 - 2), "one at a time");
    runtime.stop();
}

#[test]
fn clients_that_never_pause_do_not_hold_up_others() {
    const FLOODS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let runtime = start(config(1), folder.path());
    let address = runtime.addresses()[0];
    let floods: Vec<_> = (0..FLOODS)
        .map(|_| {
            let socket = std::net::TcpStream::connect(address).unwrap();
            let [mut writer, mut reader] = [(); 2].map(|()| socket.try_clone().unwrap());
            let lines = b"x\r\n".repeat(20_000);
            std::thread::spawn(move || while writer.write_all(&lines).is_ok() {});
            let answered = std::thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                let mut read = 0;
                while let Ok(length @ 1..) = reader.read(&mut buffer) {
                    read += length;
                }
                read
            });
            (socket, answered)
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let mut user = connect(address);
    user.line();
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(user.ask("hello"), "hello");
    }
    // Behind whole buffers of all the others it would be a minute.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for (socket, answered) in floods {
        socket.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(answered.join().unwrap() > 100, "they are served as well");
    }
    runtime.stop();
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 8_u16);
    let runtime = start(config(2), folder.path());
    let address = runtime.addresses()[0];
    let root = Arc::new(folder.path().to_owned());
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let root = Arc::clone(&root);
            std::thread::spawn(move || {
                let mut client = connect(address);
                client.line();
                client.ask(&format!("login {n} demo"));
                let path = root.join(n.to_string()).display().to_string();
                for _ in 0..100 {
                    client.send("path\r\npath\r\npath");
                    for _ in 0..3 {
                        assert_eq!(client.line().as_ref(), Some(&path));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    runtime.stop();
}

/// Tries until a connection does what is wanted: counts fall a moment after the other side's close.
fn wait_for(address: std::net::SocketAddr, wanted: impl Fn(&mut Client<std::net::TcpStream>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !wanted(&mut connect(address)) {
        assert!(Instant::now() < deadline, "not within 5 seconds");
        std::thread::yield_now();
    }
}

/// More cores than CPUs, started and stopped in a row: a thread loses its CPU at every point there is.
#[test]
fn no_core_sleeps_on_its_work() {
    let one = || {
        let folder = tempfile::tempdir().unwrap();
        for shards in [1, 2, 4, 4, 2, 1] {
            let runtime = start(config(shards), folder.path());
            let mut clients: Vec<_> = (0..20).map(|_| connect(runtime.addresses()[0])).collect();
            let begun = Instant::now();
            for client in &mut clients {
                assert_eq!(client.line().as_deref(), Some("hello"));
                assert_eq!(client.ask("x"), "x");
            }
            drop(clients);
            runtime.stop();
            assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        }
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(one)).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Not a test: prints how long a client waits for an answer that needs no disk.
#[test]
#[ignore = "a measurement, to be run alone"]
fn round_trips() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 4_u16);
    for (shards, clients) in [(1, 1), (2, 1), (2, 8)] {
        let runtime = start(config(shards), folder.path());
        let address = runtime.addresses()[0];
        for line in ["echo", "name 0", "name 1"] {
            let threads: Vec<_> = (0..clients)
                .map(|_| {
                    std::thread::spawn(move || {
                        let mut client = connect(address);
                        client.line();
                        client.ask("login 0 demo");
                        let mut times: Vec<Duration> = (0..2000)
                            .map(|_| {
                                let start = Instant::now();
                                client.ask(line);
                                start.elapsed()
                            })
                            .collect();
                        times.sort_unstable();
                        times
                    })
                })
                .collect();
            let mut times: Vec<Duration> = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect();
            times.sort_unstable();
            eprintln!(
                "{shards} shards, {clients} clients, {line:?}: median {:?}, p99 {:?}, worst {:?}",
                times[times.len() / 2],
                times[times.len() * 99 / 100],
                times[times.len() - 1]
            );
        }
        runtime.stop();
    }
}
