//! Sessions against real mailboxes.

use std::time::Duration;

use bytes::Bytes;
use ringpost_host::{Host, MailboxRef, Outcome, Service};
use ringpost_mapi::Uid;
use ringpost_pop3::{FAILURES_MAX, LINE_MAX, Options, Pop3, SLICE_BYTES};
use ringpost_store::{Placement, PreparedMessage, UidSet, folder::built_in};
use ringpost_testhost::{Client, TestDirectory, TestHost};

const ONE: &str = "Subject: one\r\n\r\nfirst\r\n.second\r\n";
const TWO: &str = "Subject: two\n\nbare\n..\nend";

struct Session {
    host: TestHost,
    client: Client,
    mailbox: MailboxRef,
}

impl Session {
    /// A session on alice's inbox with these messages.
    fn start(options: Options, messages: &[&str]) -> Self {
        let directory = TestDirectory::new().user("alice@example.test", "secret");
        let mailbox = directory.mailbox("alice@example.test");
        let host = TestHost::new(directory);
        for message in messages {
            let prepared = PreparedMessage::new(Bytes::from((*message).to_owned()), Some(3));
            let store = |store: &mut ringpost_store::Mailbox| {
                store.store_message(built_in::INBOX, &prepared, &Placement::default())
            };
            host.with_mailbox(&mailbox, store).unwrap();
        }
        Self::on(host, mailbox, options)
    }

    fn on(host: TestHost, mailbox: MailboxRef, options: Options) -> Self {
        let service = Pop3::new(options);
        let client = host.connect(|mut connection, host| async move {
            if let Outcome::HandOver { state, .. } = service.accept(&mut connection, &host).await {
                service.serve(&mut connection, &host, state).await;
            }
        });
        let mut session = Self {
            host,
            client,
            mailbox,
        };
        assert_eq!(session.line(), "+OK localhost POP3 ready");
        session
    }

    fn again(&self) -> Self {
        Self::on(self.host.clone(), self.mailbox.clone(), Options::default())
    }

    fn line(&mut self) -> String {
        self.host
            .run(self.client.line())
            .unwrap_or_else(|| "(closed)".into())
    }

    /// Sends lines and expects exactly these.
    fn say(&mut self, lines: &str, replies: &[&str]) {
        self.client.send(lines);
        for reply in replies {
            assert_eq!(self.line(), *reply, "to {lines:?}");
        }
    }

    fn log_in(&mut self) -> String {
        self.say("USER alice@example.test\r\n", &["+OK send the password"]);
        self.client.send("PASS secret\r\n");
        self.line()
    }

    fn messages(&self) -> u32 {
        self.host
            .with_mailbox(&self.mailbox, |store| store.status(built_in::INBOX))
            .unwrap()
            .messages
    }
}

/// RFC 1939 §10 with our messages.
#[test]
fn the_example_session() {
    let mut session = Session::start(Options::default(), &[ONE, TWO]);
    let (one, two) = (ONE.len(), TWO.len());
    assert_eq!(session.log_in(), format!("+OK 2 messages, {} octets", one + two));
    session.say("STAT\r\n", &[&format!("+OK 2 {}", one + two)]);
    session.say(
        "LIST\r\n",
        &["+OK", &format!("1 {one}"), &format!("2 {two}"), "."],
    );
    session.say("LIST 2\r\n", &[&format!("+OK 2 {two}")]);
    session.say(
        "RETR 1\r\n",
        &[
            &format!("+OK {one} octets"),
            "Subject: one",
            "",
            "first",
            "..second",
            ".",
        ],
    );
    session.say("DELE 1\r\n", &["+OK message 1 deleted"]);
    session.say(
        "RETR 2\r\n",
        &[
            &format!("+OK {two} octets"),
            "Subject: two",
            "",
            "bare",
            "...",
            "end",
            ".",
        ],
    );
    session.say("DELE 2\r\n", &["+OK message 2 deleted"]);
    assert_eq!(session.messages(), 2);
    session.say("QUIT\r\n", &["+OK bye", "(closed)"]);
    assert_eq!((session.messages(), session.host.durable_calls()), (0, 1));
}

#[test]
fn deleted_messages_are_hidden_until_reset_and_kept_without_quit() {
    let mut session = Session::start(Options::default(), &[ONE, TWO]);
    session.log_in();
    session.say(
        "DELE 1\r\nDELE 1\r\nRETR 1\r\nLIST 1\r\nUIDL 1\r\nTOP 1 0\r\n",
        &["+OK message 1 deleted"],
    );
    for _ in 0..5 {
        assert_eq!(session.line(), "-ERR no such message");
    }
    let two = TWO.len();
    session.say(
        "STAT\r\nLIST\r\n",
        &[&format!("+OK 1 {two}"), "+OK", &format!("2 {two}"), "."],
    );
    session.say(
        "RSET\r\nSTAT\r\n",
        &["+OK", &format!("+OK 2 {}", ONE.len() + two)],
    );
    session.say("DELE 1\r\n", &["+OK message 1 deleted"]);
    let mut other = session.again();
    drop(session);
    assert!(other.log_in().starts_with("+OK 2 messages"));
}

#[test]
fn unique_ids_stay() {
    let mut session = Session::start(Options::default(), &[ONE, TWO]);
    session.log_in();
    session.client.send("UIDL\r\n");
    let first = session.host.run(session.client.lines_until("."));
    assert_eq!(first.len(), 4);
    let two = first[2].strip_prefix("2 ").unwrap().to_owned();
    session.say(
        "UIDL 2\r\nDELE 1\r\nUIDL\r\nQUIT\r\n",
        &[
            &format!("+OK 2 {two}"),
            "+OK message 1 deleted",
            "+OK",
            &format!("2 {two}"),
            ".",
            "+OK bye",
        ],
    );
    let mut session = session.again();
    session.log_in();
    session.say("UIDL\r\n", &["+OK", &format!("1 {two}"), "."]);
}

/// RFC 6856 §3: without UTF8 headers are ASCII, with it they come as they are. Bodies are never changed.
#[test]
fn headers_are_downgraded_without_utf8() {
    let source = "Subject: Gr\u{fc}\u{df}e\r\nX-Place: K\u{f6}ln\r\n\r\n.K\u{f6}ln\r\n";
    let mut session = Session::start(Options::default(), &[source, ONE]);
    session.log_in();
    let status = format!("+OK {} octets", source.len());
    let subject = "Subject: =?utf-8?B?R3LDvMOfZQ==?=";
    session.say("RETR 1\r\n", &[&status, subject, "", "..K\u{f6}ln", "."]);
    session.say("TOP 1 0\r\n", &[&status, subject, "", "."]);
    let one = format!("+OK {} octets", ONE.len());
    session.say(
        "TOP 2 0\r\nUTF8\r\n",
        &[&one, "Subject: one", "", ".", "-ERR not after the login"],
    );
    let mut session = session.again();
    session.say("UTF8\r\n", &["+OK UTF8 mode"]);
    session.log_in();
    let raw = ["Subject: Gr\u{fc}\u{df}e", "X-Place: K\u{f6}ln", ""];
    session.say("TOP 1 0\r\n", &[&[status.as_str()], &raw[..], &["."]].concat());
}

#[test]
fn a_header_across_slices_is_downgraded() {
    let mut source = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n".to_owned();
    while source.len() + 60 < SLICE_BYTES as usize {
        source.push_str("0123456789 0123456789 0123456789 0123456789\r\n");
    }
    source.push_str("--b\r\nContent-Disposition: attachment; filename=\"");
    source.push_str(&"\u{fc}".repeat(50));
    source.push_str("\"\r\n\r\nK\u{f6}ln\r\n--b--\r\n");
    let mut session = Session::start(Options::default(), &[&source]);
    session.log_in();
    session.client.send("RETR 1\r\n");
    let lines = session.host.run(session.client.lines_until("."));
    let end = lines[lines.len() - 6..].join("|");
    let encoded = "%C3%BC".repeat(50);
    assert_eq!(
        end,
        format!("--b|Content-Disposition: attachment;| filename*=utf-8''{encoded}||K\u{f6}ln|--b--|.")
            .replacen("--b|", "", 1),
    );
}

#[test]
fn top_sends_header_and_lines() {
    let mut session = Session::start(Options::default(), &[ONE]);
    session.log_in();
    let status = format!("+OK {} octets", ONE.len());
    session.say("TOP 1 0\r\n", &[&status, "Subject: one", "", "."]);
    session.say("TOP 1 1\r\n", &[&status, "Subject: one", "", "first", "."]);
    session.say(
        "TOP 1 99\r\nNOOP\r\n",
        &[&status, "Subject: one", "", "first", "..second", ".", "+OK"],
    );
}

#[test]
fn the_snapshot_does_not_move() {
    let mut session = Session::start(Options::default(), &[ONE, TWO]);
    session.log_in();
    session
        .host
        .with_mailbox(&session.mailbox, |store| {
            let mut gone = UidSet::default();
            gone.insert(store.uids(built_in::INBOX)?.iter().next().unwrap_or(Uid(1)));
            store.expunge(built_in::INBOX, &gone, false)?;
            let new = PreparedMessage::new(Bytes::from_static(b"Subject: new\r\n\r\n"), None);
            store.store_message(built_in::INBOX, &new, &Placement::default())
        })
        .unwrap();
    session.say("LIST\r\n", &["+OK", &format!("2 {}", TWO.len()), "."]);
    session.say(
        "RETR 1\r\nRETR 3\r\nSTAT\r\n",
        &[
            "-ERR no such message (any more)",
            "-ERR no such message",
            &format!("+OK 2 {}", ONE.len() + TWO.len()),
        ],
    );
    session.say(
        "TOP 2 0\r\n",
        &[&format!("+OK {} octets", TWO.len()), "Subject: two", "", "."],
    );
}

#[test]
fn a_large_message_streams_and_comes_back_whole() {
    let mut source = "Subject: large\r\n\r\n".to_owned();
    let mut expected: Vec<String> = vec!["Subject: large".into(), String::new()];
    for number in 0..40_000 {
        let line = format!(".line {number} {}", "x".repeat(number % 60));
        source.push_str(&line);
        source.push_str("\r\n");
        expected.push(format!(".{line}"));
    }
    assert!(source.len() as u64 > 4 * SLICE_BYTES);
    let mut session = Session::start(Options::default(), &[&source]);
    session.log_in();
    session.client.send("RETR 1\r\nNOOP\r\n");
    assert_eq!(session.line(), format!("+OK {} octets", source.len()));
    // The pipe to a client that does not read is bounded, and the session waits.
    for _ in 0..100 {
        session.host.run(futures_lite::future::yield_now());
    }
    assert!(session.client.pending() < source.len() / 2);
    let text: String = expected.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
    let received = session.host.run(session.client.bytes(text.len()));
    assert_eq!(String::from_utf8(received).unwrap(), text);
    session.say("", &[".", "+OK"]);
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let mut session = Session::start(Options::default(), &[ONE]);
    let status = format!("+OK {} octets", ONE.len());
    session.say(
        "USER alice@example.test\r\nPASS secret\r\nSTAT\r\nRETR 1\r\nNOOP\r\nQUIT\r\n",
        &[
            "+OK send the password",
            &format!("+OK 1 messages, {} octets", ONE.len()),
            &format!("+OK 1 {}", ONE.len()),
            &status,
            "Subject: one",
            "",
            "first",
            "..second",
            ".",
            "+OK",
            "+OK bye",
            "(closed)",
        ],
    );
}

#[test]
fn sasl_plain() {
    // "\0alice@example.test\0secret"
    let response = "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=";
    let mut session = Session::start(Options::default(), &[]);
    session.say(
        &format!("AUTH PLAIN {response}\r\n"),
        &["+OK 0 messages, 0 octets"],
    );
    session.say("LIST\r\nUIDL\r\n", &["+OK", ".", "+OK", "."]);
    let mut session = Session::start(Options::default(), &[]);
    session.say("AUTH\r\n", &["+OK mechanisms follow", "PLAIN", "."]);
    session.say("AUTH PLAIN\r\n*\r\n", &["+ ", "-ERR cancelled"]);
    session.say(
        "AUTH PLAIN =\r\nAUTH CRAM-MD5\r\n",
        &["-ERR bad SASL response", "-ERR no such mechanism"],
    );
    session.say(
        &format!("AUTH plain\r\n{response}\r\n"),
        &["+ ", "+OK 0 messages, 0 octets"],
    );
}

#[test]
fn failed_logins_close_the_connection() {
    let mut session = Session::start(Options::default(), &[]);
    session.say(
        "PASS x\r\nSTAT\r\n",
        &["-ERR USER comes first", "-ERR not before the login"],
    );
    for _ in 0..3 {
        session.say(
            "USER alice@example.test\r\nPASS wrong\r\n",
            &["+OK send the password", "-ERR [AUTH] login rejected"],
        );
    }
    assert_eq!(session.line(), "(closed)");
}

#[test]
fn capabilities_change_with_tls() {
    let options = Options {
        offer_stls: true,
        force_tls: true,
        announce_implementation: true,
        ..Options::default()
    };
    let mut session = Session::start(options, &[]);
    session.client.send("CAPA\r\n");
    let lines = session.host.run(session.client.lines_until("."));
    assert!(
        lines.contains(&"STLS".into()) && !lines.contains(&"USER".into()),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("IMPLEMENTATION ringpost-"))
    );
    session.say("USER alice@example.test\r\n", &["-ERR issue STLS first"]);
    session.say("STLS\r\nUSER injected\r\n", &["+OK begin TLS"]);
    session.client.send("CAPA\r\n");
    let lines = session.host.run(session.client.lines_until("."));
    for capability in [
        "USER",
        "SASL PLAIN",
        "TOP",
        "UIDL",
        "PIPELINING",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "UTF8 USER",
    ] {
        assert!(lines.contains(&capability.into()), "{capability}");
    }
    assert!(!lines.contains(&"STLS".into()));
    session.say(
        "STLS\r\nUTF8\r\n",
        &["-ERR TLS is not available", "+OK UTF8 mode"],
    );
    assert!(session.log_in().starts_with("+OK 0"));
    session.say("STLS\r\n", &["-ERR not after the login"]);
}

#[test]
fn lines_failures_and_silence_have_limits() {
    let mut session = Session::start(Options::default(), &[]);
    session.say(&"x".repeat(LINE_MAX), &["-ERR line too long", "(closed)"]);
    let mut session = Session::start(Options::default(), &[]);
    session.say(
        &"BAD\r\n".repeat(FAILURES_MAX),
        &vec!["-ERR unknown command"; FAILURES_MAX],
    );
    session.say("", &["-ERR too many errors", "(closed)"]);
    let mut session = Session::start(Options::default(), &[]);
    session.log_in();
    session.host.run(futures_lite::future::yield_now());
    session.host.advance(Duration::from_secs(181));
    session.say("", &["-ERR [SYS/TEMP] you were silent for too long", "(closed)"]);
    let mut session = Session::start(Options::default(), &[]);
    session.host.run(futures_lite::future::yield_now());
    session.host.stop();
    session.say("", &["-ERR [SYS/TEMP] the server is stopping", "(closed)"]);
}

#[test]
fn many_deletions_are_bounded_transactions_and_one_wait_for_the_disk() {
    let messages: Vec<String> = (0..450).map(|n| format!("Subject: {n}\r\n\r\n")).collect();
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let mut session = Session::start(Options::default(), &messages);
    session.log_in();
    for number in (1..=450).filter(|n| n % 3 != 0) {
        session.say(
            &format!("DELE {number}\r\n"),
            &[&format!("+OK message {number} deleted")],
        );
    }
    session.say("QUIT\r\n", &["+OK bye"]);
    assert_eq!((session.messages(), session.host.durable_calls()), (150, 1));
    assert!(session.host.directory().account("alice@example.test").is_some());
}

#[test]
fn messages_read_ahead_are_the_ones_asked_for() {
    let large = "x".repeat(70_000);
    let texts: Vec<String> = (1..=80)
        .map(|n| match n % 20 {
            // Too large to be read ahead, and one whose header is downgraded.
            7 => format!("Subject: {n}\r\n\r\n{large}\r\n"),
            13 => format!("Subject: {n} ü\r\n\r\n.dot\r\n"),
            _ => format!("Subject: {n}\r\n\r\n{}\r\n", "line\r\n.\r\n".repeat(n * 3)),
        })
        .collect();
    let messages: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut session = Session::start(Options::default(), &messages);
    session.log_in();
    let retrieve = |session: &mut Session, n: usize| {
        session.client.send(format!("RETR {n}\r\n"));
        let mut lines = Vec::new();
        loop {
            let line = session.line();
            if line == "." {
                return lines;
            }
            lines.push(line);
        }
    };
    let expected = |session: &mut Session, n: usize| {
        let mut alone = session.again();
        alone.log_in();
        // Not in order: nothing is read ahead.
        retrieve(&mut alone, n)
    };
    for n in (1..=80).chain([5, 6, 7, 9, 8, 79, 80]) {
        if n % 10 == 3 {
            session.client.send("TOP 2 0\r\n");
            while session.line() != "." {}
        }
        if n == 31 {
            session.say("DELE 33\r\n", &["+OK message 33 deleted"]);
        }
        if n == 33 {
            session.say("RETR 33\r\n", &["-ERR no such message"]);
            continue;
        }
        let lines = retrieve(&mut session, n);
        assert_eq!(lines, expected(&mut session, n), "message {n}");
        assert!(lines[1].starts_with("Subject: "), "{}", lines[1]);
    }
}

/// Messages are looked up long before they are asked for, and may go meanwhile.
#[test]
fn messages_that_go_while_others_are_read_ahead_are_missed() {
    let texts: Vec<String> = (1..=100)
        .map(|n| format!("Subject: {n}\r\n\r\n{}\r\n", "line\r\n".repeat(1000 + n)))
        .collect();
    let messages: Vec<&str> = texts.iter().map(String::as_str).collect();
    for pipelined in [false, true] {
        let mut session = Session::start(Options::default(), &messages);
        session.log_in();
        if pipelined {
            // All that was read for it is answered before the messages go.
            (1..=6).for_each(|n| session.client.send(format!("RETR {n}\r\n")));
        }
        let gone = 30..=55;
        for n in 1..=100 {
            if n == 7 {
                let mut uids = UidSet::default();
                uids.insert_range(*gone.start()..=*gone.end());
                session
                    .host
                    .with_mailbox(&session.mailbox, |store| {
                        store.expunge(built_in::INBOX, &uids, false)
                    })
                    .unwrap();
                if pipelined {
                    (7..=100).for_each(|n| session.client.send(format!("RETR {n}\r\n")));
                }
            }
            if !pipelined {
                session.client.send(format!("RETR {n}\r\n"));
            }
            let status = session.line();
            if gone.contains(&n) {
                assert_eq!(status, "-ERR no such message (any more)", "{n}");
                continue;
            }
            assert_eq!(status, format!("+OK {} octets", texts[n as usize - 1].len()));
            assert_eq!(session.line(), format!("Subject: {n}"));
            let lines = std::iter::from_fn(|| Some(session.line()).filter(|line| line != "."));
            assert_eq!(lines.count(), 1002 + n as usize, "{n}");
        }
    }
}
