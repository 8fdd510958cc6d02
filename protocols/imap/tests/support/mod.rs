//! Dialogues with a session over a mailbox in memory.
//!
//! A script is lines: `C: ` is sent, `S: ` is expected next. An expected line that ends with `…` gives only the
//! beginning; one that is `S: …` alone takes any number of lines up to the next one given. `¤` is any number.
#![allow(dead_code, unreachable_pub)] // Each test file uses a part.

use ringpost_host::{Outcome, Service};
use ringpost_imap::{ImapService, Settings};
use ringpost_testhost::{Client, TestDirectory, TestHost};

/// A host with user `smith@example.test`, password `secret`.
pub fn host() -> TestHost {
    TestHost::new(
        TestDirectory::new()
            .user("smith@example.test", "secret")
            .user("jones@example.test", "secret"),
    )
}

/// A new connection, with these settings.
pub fn connect_with(host: &TestHost, settings: Settings) -> Client {
    let service = ImapService { settings };
    host.connect(move |mut connection, host| async move {
        if let Outcome::HandOver { state, .. } = service.accept(&mut connection, &host).await {
            service.serve(&mut connection, &host, state).await;
        }
    })
}

/// A new connection.
pub fn connect(host: &TestHost) -> Client {
    connect_with(host, Settings::default())
}

/// A new connection, logged in.
pub async fn login(host: &TestHost) -> Client {
    let mut client = connect(host);
    talk(
        &mut client,
        "S: * OK [CAPABILITY …\nC: l LOGIN smith@example.test secret\nS: l OK [CAPABILITY …",
    )
    .await;
    client
}

/// A new connection, logged in, INBOX selected.
pub async fn select(host: &TestHost) -> Client {
    let mut client = login(host).await;
    talk(&mut client, "C: s SELECT INBOX\nS: …\nS: s OK [READ-WRITE] …").await;
    client
}

/// Runs a script.
pub async fn talk(client: &mut Client, script: &str) {
    let mut skip = false;
    for line in script
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
    {
        if let Some(sent) = line.strip_prefix("C: ").or(line.strip_prefix("C:")) {
            client.send(format!("{sent}\r\n"));
            continue;
        }
        let expected = line
            .strip_prefix("S: ")
            .or(line.strip_prefix("S:"))
            .unwrap_or_else(|| panic!("not a script line: {line}"));
        if expected == "…" {
            skip = true;
            continue;
        }
        loop {
            let got = client
                .line()
                .await
                .unwrap_or_else(|| panic!("the session ended; expected {expected:?}"));
            let matches = fits(expected, &got);
            if matches {
                break;
            }
            assert!(skip, "expected {expected:?}\n     got {got:?}");
        }
        skip = false;
    }
}

/// Whether a line is as expected.
fn fits(expected: &str, got: &str) -> bool {
    let (expected, open) = expected
        .strip_suffix('…')
        .map_or((expected, false), |beginning| (beginning, true));
    let mut rest = got;
    for (index, piece) in expected.split('¤').enumerate() {
        if index > 0 {
            let number = rest.bytes().take_while(u8::is_ascii_digit).count();
            if number == 0 {
                return false;
            }
            rest = &rest[number..];
        }
        match rest.strip_prefix(piece) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    open || rest.is_empty()
}

/// The number after `name` in a line.
pub fn number_after(line: &str, name: &str) -> u64 {
    let (_, rest) = line
        .split_once(name)
        .unwrap_or_else(|| panic!("no {name} in {line}"));
    let digits: String = rest
        .trim_start_matches([' ', '('])
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

/// The number after `name` in the first of these lines that has it.
pub fn number_in(lines: &[String], name: &str) -> u64 {
    let line = lines.iter().find(|line| line.contains(name));
    number_after(line.unwrap_or_else(|| panic!("no {name} in {lines:?}")), name)
}

/// Stores a message through APPEND.
pub async fn append(client: &mut Client, mailbox: &str, options: &str, message: &str) {
    let message = message.replace('\n', "\r\n");
    client.send(format!(
        "ap APPEND {mailbox} {options}{{{}+}}\r\n{message}\r\n",
        message.len()
    ));
    let lines = client.lines_until("ap ").await;
    assert!(
        lines.last().unwrap().starts_with("ap OK [APPENDUID "),
        "{lines:?}"
    );
}

/// A small message.
pub fn message(subject: &str, from: &str, body: &str) -> String {
    format!(
        "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\nFrom: {from}\nTo: imap@cac.washington.edu\nSubject: {subject}\n\
         Message-Id: <{subject}@example>\nContent-Type: text/plain; charset=utf-8\n\n{body}\n"
    )
}
