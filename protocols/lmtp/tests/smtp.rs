//! SMTP between servers and submission: dialogues of the RFCs, and what a client must not get away with.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use ringpost_delivery::JunkRules;
use ringpost_host::{BodyKind, EnqueueError, Host, MailboxRef, Notify, Outgoing, ReturnContent, Service};
use ringpost_lmtp::{COMMANDS_BEFORE_LOGIN_MAX, Dialects, Lmtp, Options, Role};
use ringpost_store::folder::built_in;
use ringpost_testhost::{Client, TestDirectory, TestHost};

const GREETING: [&str; 1] = ["220 mail.example.test ESMTP"];

fn transfer() -> Options {
    Options {
        dialects: Dialects::Smtp,
        host_id: "mail.example.test".into(),
        offer_starttls: true,
        delivery: ringpost_delivery::Options {
            sends_out: true,
            recipient_delimiter: "+".into(),
            junk_rules: JunkRules::default(),
            ..ringpost_delivery::Options::default()
        },
        ..Options::default()
    }
}

fn submission() -> Options {
    Options {
        role: Role::Submission,
        auth_times: 3,
        ..transfer()
    }
}

fn directory() -> TestDirectory {
    TestDirectory::new()
        .user("alice@example.test", "secret")
        .user("bob@example.test", "b")
        .alias("al@example.test", "alice@example.test")
        .list("cycle@example.test", &["back@example.test", "bob@example.test"])
        .list("back@example.test", &["cycle@example.test", "out@example.net"])
        .closed_list("board@example.test", &["bob@example.test"], &["bob@example.test"])
        .send_as("board@example.test", "alice@example.test")
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
        session.say("", &GREETING);
        session
    }

    fn line(&mut self) -> String {
        self.host
            .run(self.client.line())
            .unwrap_or_else(|| "(closed)".into())
    }

    /// Sends bytes and expects each reply to begin so.
    fn say(&mut self, bytes: impl AsRef<[u8]>, replies: &[&str]) {
        let bytes = bytes.as_ref();
        self.client.send(bytes);
        for reply in replies {
            let line = self.line();
            let said = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            assert!(
                line.starts_with(reply),
                "expected {reply}, got {line} to {said:?}"
            );
        }
    }

    /// EHLO; the extensions.
    fn hello(&mut self) -> Vec<String> {
        self.client.send("EHLO client.example.org\r\n");
        let mut extensions = Vec::new();
        loop {
            let line = self.line();
            extensions.push(line[4..].to_owned());
            if line.starts_with("250 ") {
                return extensions;
            }
        }
    }

    fn log_in(&mut self) {
        self.hello();
        let response = STANDARD.encode("\0alice@example.test\0secret");
        self.say(format!("AUTH PLAIN {response}\r\n"), &["235 2.7.0"]);
    }

    fn submit(&mut self, sender: &str, recipient: &str, message: &str, reply: &str) {
        self.say(
            format!("MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"),
            &["250", "250", "354"],
        );
        self.say(format!("{message}\r\n.\r\n"), &[reply]);
    }

    fn mailbox(&self, address: &str) -> MailboxRef {
        let account = self.host.directory().account(address).unwrap();
        let mailbox = account.mailbox.as_ref().unwrap();
        MailboxRef {
            guid: mailbox.guid,
            path: mailbox.path.clone(),
        }
    }

    fn inbox(&self, address: &str) -> Vec<String> {
        let sources = self.host.with_mailbox(&self.mailbox(address), |store| {
            let uids = store.uids(built_in::INBOX)?;
            let mut rows = Vec::new();
            store.visit_messages(built_in::INBOX, &uids, false, &mut |row| {
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
        sources.unwrap()
    }

    fn queued(&self) -> Vec<Outgoing> {
        self.host
            .queued()
            .into_iter()
            .map(|(_, outgoing)| outgoing)
            .collect()
    }

    /// A mailbox that can't be opened.
    fn damage(&self, address: &str) {
        let mailbox = self.mailbox(address);
        self.host.close_mailboxes();
        std::fs::remove_dir_all(&mailbox.path).unwrap();
        std::fs::write(&mailbox.path, "damaged").unwrap();
    }
}

fn addresses(outgoing: &Outgoing) -> Vec<&str> {
    outgoing
        .recipients
        .iter()
        .map(|recipient| recipient.address.as_str())
        .collect()
}

#[test]
fn extensions_are_offered_where_they_work() {
    let mut session = Session::start(transfer());
    assert_eq!(
        session.hello()[1..],
        [
            "PIPELINING",
            "SIZE 67108864",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "BINARYMIME",
            "DSN",
            "STARTTLS"
        ]
    );
    session.say(
        "HELO c\r\nHELP\r\nVRFY alice\r\nEXPN cycle\r\nAUTH PLAIN\r\n",
        &["250 mail", "214", "252", "502", "502"],
    );
    let mut session = Session::start(submission());
    assert!(session.hello().contains(&"AUTH PLAIN LOGIN".to_owned()));
}

/// The dialogues of RFC 3030 §4, in our words.
#[test]
fn chunks() {
    let mut session = Session::start(transfer());
    session.hello();
    let envelope = "MAIL FROM:<sam@example.org>\r\nRCPT TO:<alice@example.test>\r\n";
    session.say(envelope, &["250", "250"]);
    session.say(
        "BDAT 27 LAST\r\nSubject: one\r\n\r\n.\r\nQUIT\r\n..",
        &["250 2.6.0"],
    );
    // Pipelined, in three chunks, the last one empty; a line end is cut in two.
    session.say(
        format!("{envelope}BDAT 15\r\nSubject: two\r\n\rBDAT 5\r\n\nbodyBDAT 0 LAST\r\nNOOP\r\n"),
        &[
            "250",
            "250",
            "250 2.0.0 15 octets",
            "250 2.0.0 5 octets",
            "250 2.6.0",
            "250 2.0.0 ok",
        ],
    );
    let inbox = session.inbox("alice@example.test");
    assert!(
        inbox[0].ends_with("Subject: one\r\n\r\n.\r\nQUIT\r\n..\r\n"),
        "{}",
        inbox[0]
    );
    assert!(inbox[1].ends_with("Subject: two\r\n\r\nbody\r\n"), "{}", inbox[1]);
    assert!(inbox[1].contains("with ESMTP id"));
    // RSET forgets chunks; nothing but chunks may follow one.
    session.say(envelope, &["250", "250"]);
    session.say("BDAT 4\r\nA: bDATA\r\n", &["250", "503"]);
    session.say(
        "RCPT TO:<bob@example.test>\r\nMAIL FROM:<>\r\nRSET\r\n",
        &["503", "503", "250"],
    );
    session.say(
        "BDAT 4 LAST\r\nQUITNOOP\r\n",
        &["503 5.5.1 MAIL comes first", "250 2.0.0 ok"],
    );
    assert_eq!(session.inbox("alice@example.test").len(), 2);
}

#[test]
fn bytes_behind_a_refused_chunk_are_not_executed() {
    let mut session = Session::start(Options {
        mail_max_length: 1000,
        ..transfer()
    });
    session.say(
        "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
        &["503", "421 4.5.0", "(closed)"],
    );
    let mut session = Session::start(Options {
        mail_max_length: 1000,
        ..transfer()
    });
    session.hello();
    session.say(
        "MAIL FROM:<a@b>\r\nRCPT TO:<nobody@example.test>\r\n",
        &["250", "550 5.1.1"],
    );
    session.say("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", &["503 5.5.1 no valid", "250"]);
    session.say("RCPT TO:<alice@example.test>\r\n", &["250"]);
    session.say(
        format!("BDAT 1002\r\n{}", "QUIT\r\n".repeat(200).split_at(1002).0),
        &["552 5.3.4"],
    );
    session.say("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", &["503", "250"]);
    session.say(
        "BDAT x LAST\r\nMAIL FROM:<evil@b>\r\n",
        &["421 4.5.0", "(closed)"],
    );
    assert!(session.inbox("alice@example.test").is_empty());
}

#[test]
fn a_binary_message_is_stored_in_lines() {
    let mut session = Session::start(transfer());
    session.hello();
    let envelope = "MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<alice@example.test>\r\n";
    session.say(envelope, &["250", "250"]);
    session.say("DATA\r\n", &["503 5.5.1 BINARYMIME"]);
    let message = b"Content-Type: image/x-raw\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n.\r\n\xff";
    let mut bytes = format!("BDAT {} LAST\r\n", message.len()).into_bytes();
    bytes.extend_from_slice(message);
    session.say(bytes, &["250 2.6.0"]);
    let stored = &session.inbox("alice@example.test")[0];
    let body = STANDARD.encode(b"\0\r\n.\r\n\xff");
    assert!(
        stored.ends_with(&format!("Content-Transfer-Encoding: base64\r\n\r\n{body}\r\n")),
        "{stored}"
    );
}

#[test]
fn no_open_relay() {
    let mut session = Session::start(transfer());
    session.hello();
    session.say("MAIL FROM:<alice@example.test>\r\n", &["250"]);
    for address in [
        "x@example.net",
        "\"x@example.net\"@example.org",
        "alice%example.test@example.net",
        "@example.test:x@example.net",
        "x@[192.0.2.1]",
        "example.test!x@example.net",
    ] {
        session.say(format!("RCPT TO:<{address}>\r\n"), &["550 5.7.1"]);
    }
    for address in [
        "x%example.net@example.test",
        "\"x@example.net\"@example.test",
        "example.net!x@example.test",
    ] {
        session.say(format!("RCPT TO:<{address}>\r\n"), &["550 5.1.1"]);
    }
    session.say("DATA\r\n", &["503"]);
    assert!(session.queued().is_empty());
    // Who is listed needs no login.
    let mut session = Session::start(Options {
        relay_from: vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
        ..transfer()
    });
    session.hello();
    session.submit(
        "a@example.org",
        "x@example.net",
        "Subject: out\r\n\r\nx",
        "250 2.6.0",
    );
    let queued = session.queued();
    assert_eq!((queued.len(), addresses(&queued[0])), (1, vec!["x@example.net"]));
    let content = String::from_utf8(queued[0].content.to_vec()).unwrap();
    assert!(
        content.starts_with("Received: from client.example.org"),
        "{content}"
    );
    assert!(content.ends_with("\r\nSubject: out\r\n\r\nx\r\n"));
}

#[test]
fn a_message_that_trickles_is_cut() {
    let slow = || Options {
        message_time: Duration::from_millis(20),
        ..transfer()
    };
    let trickle = |session: &mut Session, last: &[u8]| {
        for _ in 0..3 {
            session.say("x", &[]);
            std::thread::sleep(Duration::from_millis(15));
            session.host.run(futures_lite::future::yield_now());
        }
        session.client.send(last);
    };
    let begun = |command: &str, reply: &[&str]| {
        let mut session = Session::start(slow());
        session.hello();
        session.say(
            "MAIL FROM:<a@b>\r\nRCPT TO:<bob@example.test>\r\n",
            &["250", "250"],
        );
        session.say(command, reply);
        session
    };
    let mut session = begun("DATA\r\n", &["354"]);
    trickle(&mut session, b"\r\n.\r\n");
    session.say("", &["421 4.4.2", "(closed)"]);
    assert!(session.inbox("bob@example.test").is_empty());
    let mut session = begun("BDAT 3\r\n", &[]);
    trickle(&mut session, b"");
    session.say("", &["421 4.4.2", "(closed)"]);
    // Also where nobody would take them.
    let mut session = Session::start(slow());
    session.hello();
    session.say("BDAT 10 LAST\r\n", &[]);
    trickle(&mut session, b"");
    session.say("", &["421 4.4.2", "(closed)"]);
    // What comes at once may be of any size.
    let mut session = begun("DATA\r\n", &["354"]);
    session.say([b"x".repeat(500), b"\r\n.\r\n".to_vec()].concat(), &["250"]);
}

#[test]
fn the_envelope_goes_along_with_what_is_queued() {
    let mut session = Session::start(transfer());
    session.hello();
    session.say(
        "MAIL FROM:<a@b> RET=HDRS ENVID=Q+2B1 BODY=8BITMIME SMTPUTF8\r\n\
         RCPT TO:<back@example.test> NOTIFY=DELAY,FAILURE ORCPT=rfc822;old@example.test\r\n\
         RCPT TO:<alice@example.test> NOTIFY=SUCCESS\r\nDATA\r\n",
        &["250", "250", "250", "354"],
    );
    session.say("Subject: x\r\n\r\nx\r\n.\r\n", &["250 2.6.0"]);
    let queued = session.queued();
    // The recipient that wants a report of its delivery, and the list's member elsewhere.
    assert_eq!(queued.len(), 2);
    assert_eq!(addresses(&queued[0]), ["alice@example.test"]);
    assert!(queued[0].recipients[0].notify.success());
    let out = &queued[1];
    assert_eq!(addresses(out), ["out@example.net"]);
    assert_eq!(
        (out.envelope.return_content, out.envelope.envelope_id.as_deref()),
        (Some(ReturnContent::Headers), Some("Q+1"))
    );
    assert_eq!((out.envelope.body, out.envelope.utf8), (BodyKind::EightBit, true));
    let on = Notify::On {
        success: false,
        failure: true,
        delay: true,
    };
    assert_eq!(out.recipients[0].notify, on);
    assert_eq!(
        out.recipients[0].original.as_deref(),
        Some("rfc822;old@example.test")
    );
    // The list's member here has it already, once in spite of the cycle.
    assert_eq!(session.inbox("bob@example.test").len(), 1);
    assert!(session.inbox("bob@example.test")[0].contains("with UTF8SMTP id"));
}

#[test]
fn who_was_not_reached_waits_in_the_queue() {
    let mut session = Session::start(transfer());
    session.hello();
    session.damage("bob@example.test");
    let transaction =
        "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n";
    session.say(transaction, &["250", "250", "250", "354"]);
    session.say("Subject: x\r\n\r\nx\r\n.\r\n", &["250 2.6.0"]);
    let queued = session.queued();
    assert_eq!(
        (queued.len(), addresses(&queued[0])),
        (1, vec!["bob@example.test"])
    );
    assert!(!String::from_utf8_lossy(&queued[0].content).contains("Return-Path"));
    assert_eq!(session.inbox("alice@example.test").len(), 1);
    // Nobody was reached: the client keeps it.
    session.submit("a@b", "bob@example.test", "Subject: x\r\n\r\nx", "451 4.2.0");
    assert_eq!(session.queued().len(), 1);
    // Neither the queue nor the mailbox took it.
    session.host.refuse_queueing(Some(EnqueueError::Full));
    session.say(transaction, &["250", "250", "250", "354"]);
    session.say("Subject: x\r\n\r\nx\r\n.\r\n", &["45"]);
}

/// Refused at once: a report would go to what may be a forged address.
#[test]
fn a_full_mailbox_is_refused_at_rcpt() {
    let mut session = Session::on(
        TestHost::new(directory().receive_quota("alice@example.test", 1)),
        transfer(),
    );
    session.hello();
    let both = "RCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n";
    session.say(
        format!("MAIL FROM:<a@b> SIZE=2000\r\n{both}RSET\r\n"),
        &["250", "552 5.2.2", "250", "250"],
    );
    session.submit(
        "a@b",
        "alice@example.test",
        &format!("Subject: x\r\n\r\n{}", "x".repeat(600)),
        "250",
    );
    session.say(
        format!("MAIL FROM:<a@b> SIZE=500\r\n{both}"),
        &["250", "552 5.2.2", "250"],
    );
    session.say("DATA\r\n", &["354"]);
    session.say("Subject: x\r\n\r\nx\r\n.\r\n", &["250 2.6.0"]);
    assert_eq!(session.inbox("bob@example.test").len(), 1);
    assert!(session.queued().is_empty());
}

#[test]
fn loops_end() {
    let mut session = Session::start(transfer());
    session.hello();
    let hops = "Received: by somewhere\r\n".repeat(101);
    session.submit(
        "a@b",
        "alice@example.test",
        &format!("{hops}Subject: x\r\n\r\nx"),
        "554 5.4.6",
    );
    session.submit(
        "a@b",
        "alice@example.test",
        &format!("{}Subject: x\r\n\r\nx", &hops[24..]),
        "250",
    );
    assert_eq!(session.inbox("alice@example.test").len(), 1);
}

#[test]
fn submission_needs_a_login() {
    let mut session = Session::start(submission());
    session.say("AUTH PLAIN\r\n", &["503"]);
    session.hello();
    session.say("MAIL FROM:<alice@example.test>\r\n", &["530 5.7.0"]);
    session.say("BDAT 6 LAST\r\nQUIT\r\n", &["530 5.7.0", "421", "(closed)"]);
    let mut session = Session::start(submission());
    session.hello();
    session.say("AUTH CRAM-MD5\r\n", &["504 5.5.4"]);
    session.say("AUTH PLAIN\r\n*\r\n", &["334 ", "501 5.7.0"]);
    session.say("AUTH PLAIN !\r\n", &["501 5.5.2"]);
    session.say("AUTH LOGIN\r\n", &["334 VXNlcm5hbWU6"]);
    session.say("YWxpY2VAZXhhbXBsZS50ZXN0\r\n", &["334 UGFzc3dvcmQ6"]);
    session.say("c2VjcmV0\r\n", &["235 2.7.0"]);
    session.say("AUTH PLAIN\r\n", &["503"]);
    assert!(!session.hello().contains(&"AUTH PLAIN LOGIN".to_owned()));
    session.submit(
        "alice@example.test",
        "x@example.net",
        "From: al@example.test\r\n\r\nx",
        "250 2.6.0",
    );
    let content = String::from_utf8(session.queued()[0].content.to_vec()).unwrap();
    assert!(content.contains("with ESMTPA id"), "{content}");
    assert!(
        content.contains("\r\nDate: ") && content.contains("\r\nMessage-ID: <"),
        "{content}"
    );
    assert!(!content.contains("Delivered-To"), "{content}");
}

#[test]
fn passwords_that_fail_end_the_session() {
    let mut session = Session::start(submission());
    session.hello();
    let wrong = STANDARD.encode("\0alice@example.test\0wrong");
    session.say(
        format!("AUTH PLAIN {wrong}\r\n").repeat(3),
        &["535 5.7.8", "535", "535", "421 4.7.0", "(closed)"],
    );
    let mut session = Session::start(submission());
    session.say(
        "NOOP\r\n".repeat(COMMANDS_BEFORE_LOGIN_MAX),
        &vec!["250"; COMMANDS_BEFORE_LOGIN_MAX],
    );
    session.say("", &["421 4.7.0", "(closed)"]);
}

#[test]
fn starttls_forgets_a_login() {
    let mut session = Session::start(submission());
    session.log_in();
    session.say("STARTTLS\r\nMAIL FROM:<alice@example.test>\r\n", &["220"]);
    session.hello();
    session.say("MAIL FROM:<alice@example.test>\r\n", &["530"]);
    session.log_in();
    session.submit(
        "alice@example.test",
        "bob@example.test",
        "From: alice@example.test\r\n\r\nx",
        "250",
    );
    assert!(session.inbox("bob@example.test")[0].contains("with ESMTPSA id"));
}

#[test]
fn senders_are_the_accounts_own() {
    let mut session = Session::start(submission());
    session.log_in();
    for sender in [
        "bob@example.test",
        "x@example.net",
        "nobody@example.test",
        "root@localhost",
    ] {
        session.say(format!("MAIL FROM:<{sender}>\r\n"), &["553 5.7.1"]);
    }
    for sender in [
        "",
        "alice@example.test",
        "al@example.test",
        "alice+x@example.test",
        "board@example.test",
    ] {
        session.submit(
            sender,
            "bob@example.test",
            "From: Alice <alice@example.test>\r\n\r\nx",
            "250",
        );
    }
    session.submit(
        "alice@example.test",
        "bob@example.test",
        "From: bob@example.test\r\n\r\nx",
        "550 5.7.1",
    );
    session.submit(
        "",
        "bob@example.test",
        "From: bob@example.test\r\n\r\nx",
        "550 5.7.1",
    );
    session.submit(
        "alice@example.test",
        "bob@example.test",
        "Subject: from nobody\r\n\r\nx",
        "550 5.6.0",
    );
    assert_eq!(session.inbox("bob@example.test").len(), 5);
    // A list that alice may not write to.
    session.say(
        "MAIL FROM:<alice@example.test>\r\nRCPT TO:<board@example.test>\r\n",
        &["250", "550 5.7.2"],
    );
}

#[test]
fn a_closed_list_believes_no_stranger() {
    let board = |session: &mut Session, sender: &str, reply: &str| {
        session.hello();
        session.say(
            format!("MAIL FROM:<{sender}>\r\nRCPT TO:<board@example.test>\r\nRSET\r\n"),
            &["250", reply, "250"],
        );
    };
    // A mail server in front, on this machine, has seen to who sends.
    board(&mut Session::start(transfer()), "bob@example.test", "250");
    let host = TestHost::new(directory());
    host.set_peer("203.0.113.7".parse().unwrap());
    let mut session = Session::on(host.clone(), transfer());
    board(&mut session, "bob@example.test", "550 5.7.2");
    session.submit(
        "bob@example.test",
        "alice@example.test",
        "Subject: x\r\n\r\nx",
        "250",
    );
    let listed = Options {
        relay_from: vec!["203.0.113.0/24".parse().unwrap()],
        ..transfer()
    };
    let mut session = Session::on(host, listed);
    board(&mut session, "bob@example.test", "250");
    board(&mut session, "alice@example.test", "550 5.7.2");
}

#[test]
fn an_answer_that_comes_in_pieces_and_silence() {
    let mut session = Session::start(transfer());
    session.hello();
    session.say(
        "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nBDAT 12 LAST\r\nSubj",
        &["250", "250"],
    );
    session.host.run(futures_lite::future::yield_now());
    session.say("ect: x\r\n", &["250 2.6.0"]);
    session.say(
        "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nBDAT 12 LAST\r\nSubj",
        &["250", "250"],
    );
    session.host.run(futures_lite::future::yield_now());
    session.host.advance(Duration::from_secs(181));
    session.say("", &["421 4.4.2", "(closed)"]);
    assert_eq!(session.inbox("alice@example.test").len(), 1);
}
