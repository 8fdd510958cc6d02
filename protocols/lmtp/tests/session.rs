//! Sessions against real mailboxes.

use std::time::Duration;

use ringpost_host::{Host, MailboxRef, Service};
use ringpost_lmtp::{COMMAND_LINE_MAX, Dialects, FAILURES_MAX, Lmtp, Options, RECIPIENTS_MAX};
use ringpost_store::{Flags, folder::built_in};
use ringpost_testhost::{Client, TestDirectory, TestHost};

fn options() -> Options {
    Options {
        host_id: "mail.example.test".into(),
        offer_starttls: true,
        ..Options::default()
    }
}

fn directory() -> TestDirectory {
    TestDirectory::new()
        .user("alice@example.test", "a")
        .user("bob@example.test", "b")
        .contact("elsewhere@example.test", "x@example.net")
}

struct Session {
    host: TestHost,
    client: Client,
}

impl Session {
    fn start(options: Options) -> Self {
        Self::on(TestHost::new(directory()), options)
    }

    fn on(host: TestHost, options: Options) -> Self {
        let service = Lmtp::new(options);
        let client = host.connect(|mut connection, host| async move {
            service.accept(&mut connection, &host).await;
        });
        let mut session = Self { host, client };
        assert!(session.line().starts_with("220 mail.example.test"));
        session
    }

    fn line(&mut self) -> String {
        self.host
            .run(self.client.line())
            .unwrap_or_else(|| "(closed)".into())
    }

    /// Sends lines and expects each reply to begin so.
    fn say(&mut self, lines: &str, replies: &[&str]) {
        self.client.send(lines);
        for reply in replies {
            let line = self.line();
            assert!(
                line.starts_with(reply),
                "expected {reply}, got {line} to {lines:?}"
            );
        }
    }

    fn hello(&mut self) {
        self.say(
            "LHLO client.example.org\r\n",
            &[
                "250-mail.example.test",
                "250-PIPELINING",
                "250-SIZE",
                "250-8BITMIME",
                "250-SMTPUTF8",
                "250-ENHANCED",
                "250-CHUNKING",
                "250-BINARYMIME",
                "250 STARTTLS",
            ],
        );
    }

    fn mailbox(&self, address: &str) -> MailboxRef {
        let account = self.host.directory().account(address).unwrap();
        let mailbox = account.mailbox.as_ref().unwrap();
        MailboxRef {
            guid: mailbox.guid,
            path: mailbox.path.clone(),
        }
    }

    /// The sources in an inbox, without trace fields, which must be there.
    fn inbox(&self, address: &str) -> Vec<String> {
        let sources = self.host.with_mailbox(&self.mailbox(address), |store| {
            let uids = store.uids(built_in::INBOX)?;
            let mut rows = Vec::new();
            store.visit_messages(built_in::INBOX, &uids, false, &mut |row| {
                assert_eq!(row.flags, Flags::empty());
                rows.push((row.message, row.size));
                std::ops::ControlFlow::Continue(())
            })?;
            let mut sources = Vec::new();
            for (message, size) in rows {
                let mut source = Vec::new();
                store.read_source(message, 0..size, &mut source)?;
                sources.push(String::from_utf8(source).unwrap());
            }
            Ok(sources)
        });
        let strip = |source: String| {
            assert!(source.starts_with("Return-Path: <"), "{source}");
            let (trace, rest) = source.split_once(" +0000\r\n").unwrap();
            assert!(trace.contains("by mail.example.test with"), "{trace}");
            rest.to_owned()
        };
        sources.unwrap().into_iter().map(strip).collect()
    }
}

/// RFC 2033 §4.2's example in our words: one recipient is refused, the others get their own replies.
#[test]
fn each_recipient_has_a_reply() {
    let mut session = Session::start(options());
    session.hello();
    session.say(
        "MAIL FROM:<chris@example.org> SIZE=100 BODY=8BITMIME\r\n",
        &["250 2.1.0"],
    );
    session.say("RCPT TO:<alice@example.test>\r\n", &["250 2.1.5"]);
    session.say("RCPT TO:<jones@example.test>\r\n", &["550 5.1.1"]);
    session.say("RCPT TO:<x@example.net>\r\n", &["550 5.7.1"]);
    session.say("RCPT TO:<elsewhere@example.test>\r\n", &["550 5.3.3"]);
    session.say("RCPT TO:<bob@example.test>\r\n", &["250 2.1.5"]);
    session.say("DATA\r\n", &["354"]);
    session.say("Subject: hi\r\n\r\n..dot\r\n.\r\n", &["250 2.1.5", "250 2.1.5"]);
    session.say("QUIT\r\n", &["221 2.0.0", "(closed)"]);
    assert_eq!(
        session.inbox("alice@example.test"),
        ["Subject: hi\r\n\r\n.dot\r\n"]
    );
    assert_eq!(
        session.inbox("bob@example.test"),
        session.inbox("alice@example.test")
    );
    assert_eq!(session.host.durable_calls(), 2);
}

#[test]
fn pipelined_transactions_follow_each_other() {
    let mut session = Session::start(options());
    let transaction = "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: p\r\n\r\nx\r\n.\r\n";
    session.hello();
    session.say(
        &format!("{transaction}{transaction}RSET\r\nNOOP\r\nVRFY alice\r\nHELP\r\nQUIT\r\n"),
        &[
            "250", "250", "354", "250", "250", "250", "354", "250", "250", "250", "252", "214", "221",
        ],
    );
    assert_eq!(session.inbox("alice@example.test").len(), 2);
}

#[test]
fn without_a_queue_smtp_has_a_negative_reply_when_anyone_failed() {
    let mut session = Session::start(options());
    session.client.send("EHLO c\r\n");
    let extensions = session.host.run(session.client.lines_until("250 "));
    assert_eq!(extensions.len(), 9);
    let recipients = "RCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n";
    session.say(
        &format!("MAIL FROM:<a@b>\r\n{recipients}"),
        &["250", "250", "250", "354"],
    );
    session.say("x\r\n.\r\nNOOP\r\n", &["250 2.6.0", "250 2.0.0"]);
    session
        .host
        .refuse_queueing(Some(ringpost_host::EnqueueError::NoQueue));
    let bob = session.mailbox("bob@example.test");
    session.host.close_mailboxes();
    std::fs::remove_dir_all(&bob.path).unwrap();
    std::fs::write(&bob.path, "damaged").unwrap();
    session.say(
        &format!("MAIL FROM:<a@b>\r\n{recipients}"),
        &["250", "250", "250", "354"],
    );
    session.say("x\r\n.\r\nNOOP\r\n", &["451 4.2.0", "250 2.0.0"]);
    session.say("HELO c\r\n", &["250 mail.example.test"]);
}

#[test]
fn the_dialect_can_be_fixed() {
    let mut lmtp = Session::start(Options {
        dialects: Dialects::Lmtp,
        ..options()
    });
    lmtp.say("EHLO c\r\n", &["500 5.5.1"]);
    lmtp.hello();
    let mut smtp = Session::start(Options {
        dialects: Dialects::Smtp,
        ..options()
    });
    smtp.say("LHLO c\r\nHELO c\r\n", &["500 5.5.1", "250 mail"]);
}

#[test]
fn commands_have_an_order() {
    let mut session = Session::start(options());
    session.say("MAIL FROM:<a@b>\r\nDATA\r\n", &["503", "503"]);
    session.say("FOO\r\n", &["500 5.5.1"]);
    session.hello();
    session.say("RCPT TO:<alice@example.test>\r\n", &["503"]);
    session.say("DATA\r\n", &["503"]);
    session.say(
        "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\n",
        &["250", "503", "503 5.5.1 no valid"],
    );
    session.say("RCPT TO:<j\u{f6}@example.test>\r\n", &["553 5.6.7"]);
    session.say("RSET\r\nRCPT TO:<alice@example.test>\r\n", &["250", "503"]);
    session.say(
        "MAIL FROM:<a@b> RET=FULL\r\nBDAT 1 LAST\r\nxNOOP\r\n",
        &["555 5.5.4", "503 5.5.1", "250"],
    );
    // LHLO forgets a transaction.
    session.say("MAIL FROM:<a@b>\r\n", &["250"]);
    session.hello();
    session.say("RCPT TO:<alice@example.test>\r\n", &["503"]);
}

#[test]
fn content_sent_behind_a_refused_data_is_not_executed() {
    let mut session = Session::start(options());
    session.hello();
    session.say(
        "MAIL FROM:<a@b>\r\nRCPT TO:<nobody@example.test>\r\n",
        &["250", "550"],
    );
    let smuggled = "DATA\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nevil\r\n.\r\n";
    session.say(smuggled, &["503", "421 4.5.0", "(closed)"]);
    assert!(session.inbox("alice@example.test").is_empty());
}

#[test]
fn bare_line_ends_move_no_border() {
    let mut session = Session::start(options());
    session.hello();
    session.say("NOOP\nNO\rOP\r\nNOOP\r\n", &["500 5.5.2", "500 5.5.2", "250"]);
    session.say(
        "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
        &["250", "250", "354"],
    );
    let smuggled = "one\n.\nMAIL FROM:<evil@b>\r\n.\rRCPT\r\n.\nDATA\r\nend\r\n.\r\n";
    session.say(smuggled, &["250"]);
    session.say("NOOP\r\n", &["250 2.0.0"]);
    assert_eq!(
        session.inbox("alice@example.test"),
        ["one\r\n.\r\nMAIL FROM:<evil@b>\r\n RCPT\r\n\r\nDATA\r\nend\r\n"]
    );
}

#[test]
fn messages_have_a_size_limit() {
    let mut session = Session::start(Options {
        mail_max_length: 1000,
        ..options()
    });
    session.hello();
    session.say("MAIL FROM:<a@b> SIZE=1001\r\n", &["552 5.3.4"]);
    session.say(
        "MAIL FROM:<a@b> SIZE=10\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
        &["250", "250", "354"],
    );
    session.say(&format!("{}\r\n.\r\n", "x".repeat(999)), &["552 5.3.4"]);
    session.say(
        "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
        &["250", "250", "354"],
    );
    session.say(&format!("{}\r\n.\r\n", "x".repeat(998)), &["250"]);
    assert_eq!(session.inbox("alice@example.test").len(), 1);
}

#[test]
fn lines_recipients_and_failures_have_limits() {
    let mut session = Session::start(options());
    session.hello();
    session.say(
        &format!("NOOP {}\r\nNOOP\r\n", "x".repeat(COMMAND_LINE_MAX)),
        &["500 5.5.6", "250"],
    );
    session.say(&"x".repeat(COMMAND_LINE_MAX + 1), &["500 5.5.6"]);
    session.say("the rest of the line\r\nNOOP\r\n", &["250 2.0.0"]);
    session.say("MAIL FROM:<a@b>\r\n", &["250"]);
    session.say(
        &"RCPT TO:<alice@example.test>\r\n".repeat(RECIPIENTS_MAX),
        &vec!["250"; RECIPIENTS_MAX],
    );
    session.say("RCPT TO:<bob@example.test>\r\n", &["452 4.5.3"]);
    session.say("NOOP\r\n", &["250"]);
    session.say(&"BAD\r\n".repeat(FAILURES_MAX), &vec!["500"; FAILURES_MAX]);
    session.say("", &["421 4.7.0", "(closed)"]);
}

#[test]
fn starttls_forgets_what_was_said() {
    let mut session = Session::start(Options {
        force_tls: true,
        ..options()
    });
    session.hello();
    session.say("MAIL FROM:<a@b>\r\n", &["530 5.7.0"]);
    session.say("STARTTLS\r\nMAIL FROM:<injected@b>\r\n", &["220 2.0.0"]);
    session.say("MAIL FROM:<a@b>\r\n", &["503"]);
    assert!(session.client.is_tls());
    session.say(
        "LHLO c\r\n",
        &[
            "250-mail",
            "250-PIPE",
            "250-SIZE",
            "250-8BIT",
            "250-SMTPUTF8",
            "250-ENHANCED",
            "250-CHUNKING",
            "250 BINARYMIME",
        ],
    );
    session.say("STARTTLS\r\nMAIL FROM:<a@b>\r\n", &["503", "250"]);
}

#[test]
fn silence_and_a_stopping_server_end_a_session() {
    let mut session = Session::start(options());
    session.host.run(futures_lite::future::yield_now());
    session.host.advance(Duration::from_secs(181));
    session.say("", &["421 4.4.2", "(closed)"]);
    let mut session = Session::start(options());
    session.host.run(futures_lite::future::yield_now());
    session.host.stop();
    session.say("", &["421 4.3.2", "(closed)"]);
}

#[test]
fn a_client_that_leaves_in_the_midst_of_a_message_delivers_nothing() {
    let mut session = Session::start(options());
    session.hello();
    session.say(
        "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n",
        &["250", "250", "354"],
    );
    session.client.send("Subject: half\r\n\r\n");
    let host = session.host.clone();
    let alice = session.mailbox("alice@example.test");
    drop(session);
    host.run(futures_lite::future::yield_now());
    assert_eq!(
        host.with_mailbox(&alice, |store| store.status(built_in::INBOX))
            .unwrap()
            .messages,
        0
    );
}
