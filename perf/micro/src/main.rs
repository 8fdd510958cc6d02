//! The hot paths, one at a time, so that callgrind can count what each costs.
//!
//! ```text
//! valgrind --tool=callgrind --dump-before=ringpost_micro::measured --dump-after=ringpost_micro::measured ringpost-micro
//! ```
//!
//! writes a profile for each call of [`measured`] (and one for what lies before it), in the order of the lines that
//! this program prints: a name, and how many operations the difference between the two profiles of a task is. What a
//! session costs besides (greeting, login, SELECT) is in both and so in neither. Sessions run over mailboxes in a
//! temporary folder, without sockets or runtime: the counts are the same at each run, to within the hash tables'
//! seeds. Without callgrind it prints how long each took, for a first look.

mod mail;
mod script;

use std::{fmt::Write, hint::black_box, time::Instant};

use anyhow::Result;
use ringpost_convert::{message::from_mime, structure::Structure};
use ringpost_host::{Outcome, Service};
use ringpost_imap::{ImapService, Settings};
use ringpost_lmtp::Lmtp;
use ringpost_mapi::FileTime;
use ringpost_pop3::Pop3;
use ringpost_store::{Placement, PreparedMessage, UidSet, folder::built_in};
use ringpost_testhost::{TestDirectory, TestHost};

use crate::script::Script;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USER: &str = "load@example.test";
const PASSWORD: &str = "demo";
/// Messages in the mailbox that is read: a tenth as many would still do, more only take longer.
const MESSAGES: u32 = 400;
/// The level that short messages get in the store.
const LEVEL: Option<i32> = Some(1);

fn main() -> Result<()> {
    let host = TestHost::new(
        TestDirectory::new()
            .user(USER, PASSWORD)
            .user("other@example.test", PASSWORD),
    );
    fill(&host)?;
    conversion();
    storing(&host)?;
    commands();
    reading(&host);
    delivering(&host);
    downloading(&host);
    Ok(())
}

/// What callgrind collects: see the crate's page.
#[inline(never)]
fn measured(task: &mut dyn FnMut()) {
    task();
    // Nothing after the call may be merged with the caller.
    black_box(());
}

/// Prints a task's line; `operations` is what `many` does more than `few`.
fn task(name: &str, operations: u32, few: &mut dyn FnMut(), many: &mut dyn FnMut()) {
    // Once before: caches, pools and prepared statements are there when it counts.
    few();
    let began = Instant::now();
    measured(few);
    let between = Instant::now();
    measured(many);
    let (first, second) = (between - began, between.elapsed());
    println!(
        "{name}\t{operations}\t{:.2} µs",
        second.saturating_sub(first).as_secs_f64() * 1e6 / f64::from(operations)
    );
}

/// A task that does one thing over and over.
fn repeated(name: &str, times: u32, work: &mut dyn FnMut()) {
    let work = std::cell::RefCell::new(work);
    task(name, times, &mut || (work.borrow_mut())(), &mut || {
        for _ in 0..=times {
            (work.borrow_mut())();
        }
    });
}

fn fill(host: &TestHost) -> Result<()> {
    let mailbox = host.accounts().mailbox(USER);
    host.with_mailbox(&mailbox, |store| {
        store.transaction(|store| {
            for number in 0..MESSAGES {
                let prepared = PreparedMessage::new(mail::message(number).into_bytes().into(), LEVEL);
                store.store_message(built_in::INBOX, &prepared, &placement())?;
            }
            Ok(())
        })
    })?;
    Ok(())
}

fn placement() -> Placement {
    Placement {
        received: FileTime::from_unix_seconds(1_795_488_504),
        ..Placement::default()
    }
}

/// Internet mail to structure and MAPI objects.
fn conversion() {
    for (kind, number) in [("plain", 0), ("alternative", 2), ("attachment", 3)] {
        let source = mail::message(number);
        let source = source.as_bytes();
        repeated(&format!("parse and convert, {kind} 10 kB"), 20, &mut || {
            let structure = Structure::of(black_box(source));
            black_box((structure.encode(), from_mime(source, &structure)));
        });
    }
}

/// Into a mailbox, from a source.
fn storing(host: &TestHost) -> Result<()> {
    let mailbox = host.accounts().mailbox("other@example.test");
    let mut number = 0;
    repeated("prepare (parse, convert, compress, hash), 10 kB", 20, &mut || {
        number += 1;
        black_box(PreparedMessage::new(
            mail::message(number % MESSAGES).into_bytes().into(),
            LEVEL,
        ));
    });
    let mut prepared: Vec<_> = (0..256)
        .map(|number| PreparedMessage::new(mail::message(10_000 + number).into_bytes().into(), LEVEL))
        .collect();
    host.with_mailbox(&mailbox, |store| {
        repeated("store_message, 10 kB, a transaction each", 40, &mut || {
            let message = prepared.pop().expect("enough messages");
            store
                .transaction(|store| store.store_message(built_in::INBOX, &message, &placement()))
                .expect("the message is stored");
            black_box(store.take_events());
        });
        Ok(())
    })?;
    copying(host)?;
    Ok(())
}

/// Of a folder's messages to another one, in a transaction.
fn copying(host: &TestHost) -> Result<()> {
    let mailbox = host.accounts().mailbox(USER);
    host.with_mailbox(&mailbox, |store| {
        let mut copy = |count: u32| {
            let mut uids = UidSet::default();
            uids.insert_range(1..=count);
            let copied = store
                .copy_messages(built_in::INBOX, &uids, built_in::SENT_ITEMS)
                .expect("the messages are copied");
            assert_eq!(copied.len(), count as usize);
            black_box(store.take_events());
        };
        let copy = std::cell::RefCell::new(&mut copy);
        task(
            "COPY, a message of many",
            MESSAGES - 100,
            &mut || (copy.borrow_mut())(100),
            &mut || (copy.borrow_mut())(MESSAGES),
        );
        Ok(())
    })?;
    Ok(())
}

/// Bytes to typed commands. `read_commands` reads each twice, with and without UTF-8, so one is counted as two.
fn commands() {
    let lines = [
        "a1 NOOP\r\n",
        "a2 SELECT INBOX\r\n",
        "a3 UID FETCH 1:200,305,410:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date)])\r\n",
        "a4 UID STORE 17,19:25 +FLAGS.SILENT (\\Seen $Forwarded)\r\n",
        "a5 UID SEARCH RETURN (ALL) UNDELETED SINCE 1-Feb-2026 OR SUBJECT \"needle\" FROM alice\r\n",
    ];
    for line in lines {
        let name = line
            .split_ascii_whitespace()
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join(" ");
        let text = line.as_bytes();
        repeated(&format!("parse command: {name}"), 2 * 20, &mut || {
            for _ in 0..1 {
                black_box(ringpost_imap::read_commands(black_box(text)));
            }
        });
    }
}

/// What IMAP sessions do with a mailbox.
fn reading(host: &TestHost) {
    let service = ImapService {
        settings: Settings::default(),
    };
    let per_message = [
        ("FETCH row (UID FLAGS)", "FETCH 1:* (UID FLAGS)"),
        ("FETCH ENVELOPE", "FETCH 1:* ENVELOPE"),
        ("FETCH BODYSTRUCTURE", "FETCH 1:* BODYSTRUCTURE"),
        (
            "FETCH UID FLAGS ENVELOPE BODYSTRUCTURE",
            "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)",
        ),
        ("FETCH BODY[], 10 kB", "FETCH 1:* BODY.PEEK[]"),
        (
            "FETCH BODY[HEADER.FIELDS (SUBJECT FROM DATE)]",
            "FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)]",
        ),
        ("SEARCH SUBJECT, a message", "UID SEARCH SUBJECT needle"),
        ("SEARCH UNSEEN, a message", "UID SEARCH UNSEEN"),
        ("SEARCH BODY, a message of 10 kB", "UID SEARCH BODY haystack"),
        ("SORT (SUBJECT), a message", "UID SORT (SUBJECT) UTF-8 ALL"),
        ("THREAD REFERENCES, a message", "UID THREAD REFERENCES UTF-8 ALL"),
    ];
    for (name, command) in per_message {
        sessions(host, name, MESSAGES, 1, &service, command);
    }
    sessions(host, "NOOP", 40, 40, &service, "NOOP");
    sessions(host, "SELECT", 40, 40, &service, "SELECT INBOX");
    sessions(
        host,
        "STORE a flag, a message of 400",
        2 * MESSAGES,
        1,
        &service,
        "STORE 1:* +FLAGS.SILENT (\\Flagged)\r\nx STORE 1:* -FLAGS.SILENT (\\Flagged)",
    );
    sessions(
        host,
        "FETCH BODY[] of one message",
        20,
        20,
        &service,
        "FETCH 7 BODY.PEEK[]",
    );
}

/// A session with the command once, and one with it `extra` times more.
fn sessions(
    host: &TestHost,
    name: &str,
    operations: u32,
    extra: usize,
    service: &ImapService,
    command: &str,
) {
    let script = |times: usize| {
        let mut text = format!("l LOGIN {USER} {PASSWORD}\r\ns SELECT INBOX\r\n");
        text.push_str(&format!("c {command}\r\n").repeat(times));
        text.push_str("q LOGOUT\r\n");
        text.into_bytes()
    };
    let output = run(host, service, script(2), true);
    assert_eq!(lines_with(&output, b"c OK"), 2, "{command} failed");
    task(
        name,
        operations,
        &mut || drop(run(host, service, script(1), false)),
        &mut || drop(run(host, service, script(1 + extra), false)),
    );
}

/// Runs a session to its end; what it answered, if that is to be kept.
fn run(host: &TestHost, service: &impl Service, input: Vec<u8>, keep_output: bool) -> Vec<u8> {
    let mut connection = Script::new(input, keep_output);
    host.run(async {
        if let Outcome::HandOver { state, .. } = service.accept(&mut connection, host).await {
            service.serve(&mut connection, host, state).await;
        }
    });
    connection.output.unwrap_or_default()
}

/// How many lines begin so.
fn lines_with(output: &[u8], beginning: &[u8]) -> usize {
    output
        .split(|&byte| byte == b'\n')
        .filter(|line| line.starts_with(beginning))
        .count()
}

/// A whole delivery: LMTP, parsing, compression, the transaction.
fn delivering(host: &TestHost) {
    let service = Lmtp::new(ringpost_lmtp::Options::default());
    let mut serial = 20_000;
    let mut talk = |times: usize| {
        let mut text = String::from("LHLO load\r\n");
        for _ in 0..times {
            serial += 1;
            text.push_str("MAIL FROM:<a@example.org>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n");
            text.push_str(&mail::message(serial));
            text.push_str(".\r\n");
        }
        text.push_str("QUIT\r\n");
        text
    };
    let output = run(host, &service, talk(2).into_bytes(), true);
    // MAIL, RCPT and the end of the data of each.
    assert_eq!(lines_with(&output, b"250 2."), 6, "a delivery failed");
    let mut scripts = [talk(41), talk(1), talk(1)].map(String::into_bytes).to_vec();
    let scripts = std::cell::RefCell::new(&mut scripts);
    let next = || {
        drop(run(
            host,
            &service,
            scripts.borrow_mut().pop().unwrap_or_default(),
            false,
        ));
    };
    task("LMTP delivery, 10 kB", 40, &mut || next(), &mut || next());
}

/// POP3's RETR.
fn downloading(host: &TestHost) {
    let service = Pop3::new(ringpost_pop3::Options::default());
    let script = |times: u32| {
        let mut text = format!("USER {USER}\r\nPASS {PASSWORD}\r\n");
        for number in 1..=times {
            let _ = write!(text, "RETR {number}\r\n");
        }
        text.push_str("QUIT\r\n");
        text.into_bytes()
    };
    let output = run(host, &service, script(2), true);
    assert_eq!(lines_with(&output, b"."), 2, "RETR failed");
    task(
        "POP3 RETR, 10 kB",
        100,
        &mut || drop(run(host, &service, script(1), false)),
        &mut || drop(run(host, &service, script(101), false)),
    );
}
