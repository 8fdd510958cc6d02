//! Mailboxes through the runtime: writes from all cores, events, the table's limit, what is left on disk.

mod common;

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use common::{config, connect, create_mailboxes, mailbox, start};
use ringpost_shard::{Runtime, RuntimeConfig};
use ringpost_store::{Mailbox, OpenOptions, folder};

const MAILBOXES: u8 = 4;

fn folders(root: &Path, n: impl Into<u16>) -> BTreeSet<String> {
    let mut store = Mailbox::open(&mailbox(root, n).path, &OpenOptions::default()).unwrap();
    let folders = store.folders(folder::built_in::IPM_SUBTREE).unwrap();
    let names = folders.into_iter().map(|folder| folder.name);
    names.filter(|name| name.starts_with("f-")).collect()
}

fn counter(runtime: &Runtime, name: &str) -> u64 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(runtime.admin_address().unwrap()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let samples = text
        .lines()
        .filter(|line| line.starts_with(&format!("ringpost_{name}{{")));
    samples
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[test]
fn every_session_writes_to_every_mailbox_and_all_of_it_is_there_afterwards() {
    for shards in [1, 2, 4] {
        let folder = tempfile::tempdir().unwrap();
        create_mailboxes(folder.path(), MAILBOXES);
        let observed = RuntimeConfig {
            admin: Some(common::any_port()),
            ..config(shards)
        };
        let runtime = start(observed, folder.path());
        let address = runtime.addresses()[0];
        let threads: Vec<_> = (0..MAILBOXES)
            .map(|me| {
                std::thread::spawn(move || {
                    let mut client = connect(address);
                    client.line();
                    client.ask(&format!("login {me} demo"));
                    for round in 0..5 {
                        for to in 0..MAILBOXES {
                            assert_eq!(client.ask(&format!("create f-{me}-{round} {to}")), "created");
                        }
                    }
                    assert_eq!(
                        client.ask("create f-0-0 0"),
                        "a folder named \"f-0-0\" exists already"
                    );
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(counter(&runtime, "durable_commits_total") >= 80);
        if shards == 1 {
            assert_eq!(counter(&runtime, "forwarded_calls_total"), 0);
        }
        runtime.stop();
        let expected: BTreeSet<String> = (0..MAILBOXES)
            .flat_map(|me| (0..5).map(move |round| format!("f-{me}-{round}")))
            .collect();
        for n in 0..MAILBOXES {
            assert_eq!(folders(folder.path(), n), expected);
        }
    }
}

#[test]
fn a_change_reaches_listeners_on_other_cores() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), MAILBOXES);
    let runtime = start(config(4), folder.path());
    let address = runtime.addresses()[0];
    let mut writer = connect(address);
    writer.line();
    writer.ask("login 0 demo");
    for n in 0..MAILBOXES {
        let mut listener = connect(address);
        listener.line();
        listener.ask(&format!("login {n} demo"));
        assert_eq!(listener.ask("watch 2"), "watching");
        assert_eq!(writer.ask(&format!("create f-{n} 2")), "created");
        assert!(listener.line().unwrap().starts_with("Some(Folder"));
    }
    runtime.stop();
}

#[test]
fn a_full_table_closes_the_longest_unused_and_all_mailboxes_still_work() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 8_u16);
    let small = RuntimeConfig {
        table_size: 2,
        admin: Some(common::any_port()),
        ..config(1)
    };
    let runtime = start(small, folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    client.ask("login 0 demo");
    for round in 0..3 {
        for n in 0..8 {
            assert_eq!(client.ask(&format!("create f-{round} {n}")), "created");
        }
    }
    assert!(counter(&runtime, "evictions_total") >= 16);
    // Closing ends a while after it began: it writes the WAL back.
    let deadline = Instant::now() + Duration::from_secs(10);
    while counter(&runtime, "open_mailboxes") > 3 {
        assert!(Instant::now() < deadline, "mailboxes are not closed");
        std::thread::sleep(Duration::from_millis(20));
    }
    runtime.stop();
    assert_eq!(folders(folder.path(), 7_u16).len(), 3);
}

/// Has one session make a folder in each of these mailboxes, in turn; the most descriptors it saw meanwhile.
fn serve_in_turn(
    client: &mut common::Client<std::net::TcpStream>,
    name: &str,
    mailboxes: impl IntoIterator<Item = u16>,
) -> usize {
    let mut most = 0;
    for n in mailboxes {
        assert_eq!(client.ask(&format!("create {name} {n}")), "created");
        most = most.max(open_files());
    }
    most
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn five_hundred_mailboxes_served_in_turn_stay_within_their_memory() {
    const COUNT: u16 = 500;
    const MEMORY: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), COUNT);
    let small = RuntimeConfig {
        mailbox_memory: MEMORY,
        admin: Some(common::any_port()),
        ..config(1)
    };
    let runtime = start(small, folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    client.ask("login 0 demo");
    for round in 0..2 {
        let most = serve_in_turn(&mut client, &format!("f-{round}"), 0..COUNT);
        // Four for each open mailbox, and other tests of this process meanwhile.
        assert!(most < 400, "{most} open files");
        let taken = counter(&runtime, "mailbox_memory_bytes");
        assert!(taken <= MEMORY + MEMORY / 4 + (1 << 20), "{taken} bytes");
    }
    // None of them was remembered when it came back: there is no use in more memory.
    assert_eq!(counter(&runtime, "mailbox_memory_allowed_bytes"), MEMORY);
    assert_eq!(counter(&runtime, "opens_total"), 2 * u64::from(COUNT));
    assert!(counter(&runtime, "open_mailboxes") < 60);
    runtime.stop();
    assert_eq!(folders(folder.path(), 77_u16).len(), 2);
}

#[test]
fn mailboxes_that_come_back_get_more_memory() {
    const COUNT: u16 = 60;
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), COUNT);
    let small = RuntimeConfig {
        mailbox_memory: 3 << 20,
        admin: Some(common::any_port()),
        ..config(1)
    };
    let runtime = start(small, folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    client.ask("login 0 demo");
    for round in 0..8 {
        serve_in_turn(&mut client, &format!("f-{round}"), 0..COUNT);
    }
    let before = counter(&runtime, "opens_total");
    serve_in_turn(&mut client, "f-8", 0..COUNT);
    assert_eq!(counter(&runtime, "opens_total"), before, "all of them are open");
    assert!(counter(&runtime, "mailbox_memory_allowed_bytes") > 3 << 20);
    runtime.stop();
}

#[test]
fn a_mailbox_in_use_stays_open_however_little_memory_there_is() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 3_u16);
    let small = RuntimeConfig {
        mailbox_memory: 1,
        admin: Some(common::any_port()),
        ..config(1)
    };
    let runtime = start(small, folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    client.ask("login 0 demo");
    for round in 0..5 {
        serve_in_turn(&mut client, &format!("f-{round}"), 0..3);
    }
    assert_eq!(
        counter(&runtime, "evictions_total"),
        0,
        "a few are kept in any case"
    );
    runtime.stop();
}

#[test]
fn an_unused_mailbox_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 1_u16);
    let hasty = RuntimeConfig {
        cache_interval: Duration::from_millis(100),
        ..config(2)
    };
    let runtime = start(hasty, folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    client.ask("login 0 demo");
    assert_eq!(client.ask("create f-1 0"), "created");
    // Closed, another process could have it: its lock is free.
    let deadline = Instant::now() + Duration::from_secs(10);
    while Mailbox::open(&mailbox(folder.path(), 0_u16).path, &OpenOptions::default()).is_err() {
        assert!(Instant::now() < deadline, "still open");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.ask("create f-2 0"), "created");
    runtime.stop();
}

#[test]
fn a_broken_mailbox_harms_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 2_u16);
    let database = folder.path().join("1/exmdb/exchange.sqlite3");
    std::fs::write(&database, vec![7; 10_000]).unwrap();
    let runtime = start(config(2), folder.path());
    let mut client = connect(runtime.addresses()[0]);
    client.line();
    client.ask("login 0 demo");
    assert_ne!(client.ask("create f-1 1"), "created");
    assert_ne!(client.ask("create f-1 9"), "created", "there is no such mailbox");
    assert_eq!(client.ask("create f-1 0"), "created");
    runtime.stop();
}
