//! No descriptors left. A file, and so a process, of its own: the limit holds for everything in it.

mod common;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use common::{config, connect, create_mailboxes, start};
use socket2::{Domain, Socket, Type};

/// Descriptors of this process, and those that are left to the server.
const DESCRIPTORS: usize = 200;
const LEFT: usize = 2;

fn limit(descriptors: usize) {
    let mut command = Command::new("prlimit");
    command.args([
        "--pid",
        &std::process::id().to_string(),
        &format!("--nofile={descriptors}:"),
    ]);
    assert!(command.status().unwrap().success());
}

#[test]
fn who_finds_no_descriptor_is_told_so_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    create_mailboxes(folder.path(), 1_u16);
    let runtime = start(config(1), folder.path());
    let address = runtime.addresses()[0];
    // Who has logged in makes his address known: nobody from there has to give way at once.
    let mut inside = connect(address);
    assert_eq!(inside.line().as_deref(), Some("hello"));
    assert_eq!(inside.ask("login 0 demo"), "welcome 0 tls=false");
    // The clients' descriptors are of this process, too.
    let clients: Vec<_> = (0..LEFT + 5)
        .map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap())
        .collect();
    limit(DESCRIPTORS);
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len() - LEFT);
    let mut heard = Vec::new();
    for client in clients {
        client.connect(&address.into()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reader = BufReader::new(TcpStream::from(client));
        let mut line = String::new();
        // A time-out is an error.
        reader.read_line(&mut line).expect("an answer");
        heard.push((line, reader));
    }
    let of = |wanted: &str| heard.iter().filter(|(line, _)| line == wanted).count();
    assert_eq!((of("hello\r\n"), of("busy\r\n")), (LEFT, 5));
    assert_eq!(inside.ask("still here"), "still here");
    drop((heard, taken));
    let mut after = connect(address);
    assert_eq!(after.line().as_deref(), Some("hello"));
    runtime.stop();
}
