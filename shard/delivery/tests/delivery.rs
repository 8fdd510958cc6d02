//! Resolution and delivery against real mailboxes.

use bytes::Bytes;
use ringpost_delivery::{
    Before, HELPER_THRESHOLD_BYTES, HOPS_MAX, JunkRules, Message, Options, Recipient, Undeliverable, deliver,
    resolve,
};
use ringpost_directory::AccountKind;
use ringpost_host::{EnqueueError, Envelope, EnvelopeRecipient, Host, MailboxRef};
use ringpost_mapi::{FileTime, FolderId, Uid};
use ringpost_store::{UidSet, folder::built_in};
use ringpost_testhost::{TestDirectory, TestHost};

const SENDER: &str = "sender@example.org";

fn options() -> Options {
    Options {
        recipient_delimiter: "+-".into(),
        postmaster: Some("alice@example.test".into()),
        junk_rules: JunkRules::parse("X-Spam-Flag=YES"),
        ..Options::default()
    }
}

fn directory() -> TestDirectory {
    TestDirectory::new()
        .user("alice@example.test", "a")
        .user("bob@example.test", "b")
        .user("carol@example.test", "c")
        .user("gone@example.test", "d")
        .change("gone@example.test", |account| account.enabled = false)
        .user("room@example.test", "r")
        .change("room@example.test", |account| account.kind = AccountKind::Room)
        .alias("al@example.test", "alice@example.test")
        .contact("elsewhere@example.test", "x@example.net")
        .contact("local-contact@example.test", "bob@example.test")
        .list(
            "team@example.test",
            &[
                "alice@example.test",
                "al@example.test",
                "nested@example.test",
                "gone@example.test",
            ],
        )
        .list(
            "nested@example.test",
            &["team@example.test", "bob@example.test", "nobody@example.test"],
        )
        .list("outward@example.test", &["alice@example.test", "x@example.net"])
        .list("empty@example.test", &["gone@example.test"])
        .closed_list(
            "board@example.test",
            &["carol@example.test"],
            &["alice@example.test"],
        )
        .list("open@example.test", &["board@example.test", "bob@example.test"])
}

fn names(recipient: Result<Recipient, Undeliverable>) -> Result<Vec<String>, Undeliverable> {
    let mut names: Vec<String> = recipient?.mailboxes.into_iter().map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

#[test]
fn addresses_lead_to_mailboxes() {
    let directory = directory();
    let find = |sender: &str, address: &str| names(resolve(&directory, &options(), sender, address));
    let alice = Ok(vec!["alice@example.test".to_owned()]);
    for address in [
        "alice@example.test",
        "ALICE@Example.Test",
        "al@example.test",
        "alice+x@example.test",
        "al-y+z@example.test",
        "Postmaster",
    ] {
        assert_eq!(find(SENDER, address), alice, "{address}");
    }
    assert_eq!(
        find(SENDER, "room@example.test"),
        Ok(vec!["room@example.test".into()])
    );
    assert_eq!(
        find("", "local-contact@example.test"),
        Ok(vec!["bob@example.test".into()])
    );
    for (address, reason) in [
        ("nobody@example.test", Undeliverable::UnknownRecipient),
        ("+x@example.test", Undeliverable::UnknownRecipient),
        ("alice", Undeliverable::UnknownRecipient),
        ("x@example.net", Undeliverable::NotLocal),
        ("gone@example.test", Undeliverable::Disabled),
        ("elsewhere@example.test", Undeliverable::Outgoing),
        ("outward@example.test", Undeliverable::Outgoing),
        ("empty@example.test", Undeliverable::EmptyGroup),
        ("board@example.test", Undeliverable::SenderNotAllowed),
    ] {
        assert_eq!(find(SENDER, address), Err(reason), "{address}");
    }
    let strict = Options::default();
    assert!(resolve(&directory, &strict, SENDER, "alice+x@example.test").is_err());
}

#[test]
fn groups_expand_once_and_cycles_end() {
    let directory = directory();
    let find = |sender: &str, address: &str| names(resolve(&directory, &options(), sender, address));
    let both = Ok(vec![
        "alice@example.test".to_owned(),
        "bob@example.test".to_owned(),
    ]);
    assert_eq!(find(SENDER, "team@example.test"), both);
    assert_eq!(find(SENDER, "nested@example.test"), both);
    // A nested group asks for the sender's right too.
    assert_eq!(
        find(SENDER, "open@example.test"),
        Ok(vec!["bob@example.test".into()])
    );
    let all = Ok(vec![
        "bob@example.test".to_owned(),
        "carol@example.test".to_owned(),
    ]);
    assert_eq!(find("alice@example.test", "open@example.test"), all);
}

#[test]
fn expansion_has_a_limit() {
    let members: Vec<String> = (0..=ringpost_delivery::EXPANSION_MAX)
        .map(|n| format!("m{n}@example.test"))
        .collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let directory = TestDirectory::new().list("huge@example.test", &members);
    assert_eq!(
        resolve(&directory, &options(), SENDER, "huge@example.test"),
        Err(Undeliverable::TooManyMembers)
    );
}

fn message(source: &str) -> Message {
    Message {
        source: Bytes::from(source.to_owned()),
        trace_length: 0,
        received: FileTime::from_unix_seconds(1_700_000_000),
        envelope: Envelope {
            sender: SENDER.to_owned(),
            ..Envelope::default()
        },
        before: None,
    }
}

#[test]
fn what_an_earlier_attempt_delivered_is_not_delivered_again() {
    let host = TestHost::new(directory());
    let options = options();
    let found = |address: &str| resolve(&*host.directory(), &options, SENDER, address).unwrap();
    let beginning = "Return-Path: <sender@example.org>\r\nReceived: by a (queue) id 7;";
    let attempt = |text: &str, to: &str| {
        let source = format!("{text}\r\n\ttoday\r\nSubject: a\r\n\r\nb\r\n");
        let message = Message {
            before: Some(Before {
                beginning: Bytes::from(beginning),
                since: FileTime::from_unix_seconds(1_699_999_999),
            }),
            ..message(&source)
        };
        let outcomes = host.run(deliver(&host, &options, &[found(to)], message));
        assert_eq!(outcomes, [Ok(())]);
    };
    let alice = "alice@example.test";
    let in_all = || {
        host.with_mailbox(&mailbox(&host, alice), |store| {
            let moved = store.status(built_in::DRAFTS)?.messages;
            Ok((store.status(built_in::INBOX)?.messages, moved))
        })
        .unwrap()
    };
    // Another's that looks like it further down.
    host.run(deliver(
        &host,
        &options,
        &[found(alice)],
        message(&format!("Subject: x\r\n{beginning}\r\n\r\nb\r\n")),
    ));
    attempt(beginning, alice);
    assert_eq!(in_all(), (2, 0));
    attempt(beginning, alice);
    assert_eq!(in_all(), (2, 0), "it is there already");
    let mut moved = UidSet::default();
    moved.insert(Uid(2));
    host.with_mailbox(&mailbox(&host, alice), |store| {
        store.move_messages(built_in::INBOX, &moved, built_in::DRAFTS)
    })
    .unwrap();
    attempt(beginning, alice);
    assert_eq!(in_all(), (1, 1), "wherever it is now");
    // A list's other member has not got it yet.
    attempt(beginning, "team@example.test");
    assert_eq!(in_all(), (1, 1));
    assert_eq!(count(&host, "bob@example.test", built_in::INBOX), 1);
}

#[test]
fn mail_for_addresses_elsewhere_is_queued_once() {
    let host = TestHost::new(directory());
    let options = Options {
        sends_out: true,
        ..options()
    };
    let found = |address: &str| resolve(&*host.directory(), &options, SENDER, address).unwrap();
    let recipients = [
        found("elsewhere@example.test"),
        found("outward@example.test"),
        found("bob@example.test"),
    ];
    assert_eq!(recipients[0].outgoing, ["x@example.net"]);
    assert!(recipients[0].mailboxes.is_empty());
    let message = || {
        let trace = "Return-Path: <sender@example.org>\r\nReceived: from a\r\n";
        Message {
            trace_length: trace.len(),
            ..message(&format!("{trace}Subject: s\r\n\r\nbody\r\n"))
        }
    };
    let outcomes = host.run(deliver(&host, &options, &recipients, message()));
    assert_eq!(outcomes, vec![Ok(()); 3]);
    let queued = host.queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].1.envelope.sender, SENDER);
    assert_eq!(queued[0].1.recipients, [EnvelopeRecipient::new("x@example.net")]);
    assert_eq!(
        queued[0].1.content,
        "Received: from a\r\nSubject: s\r\n\r\nbody\r\n"
    );

    // What the queue does not take is the sender's server's again, and nobody else's.
    host.refuse_queueing(Some(EnqueueError::Full));
    let outcomes = host.run(deliver(&host, &options, &recipients, message()));
    let failed = Err(Undeliverable::QueueFailed);
    assert_eq!(outcomes, [failed.clone(), failed, Ok(())]);
}

fn run(host: &TestHost, recipients: &[&str], source: &str) -> Vec<Result<(), Undeliverable>> {
    let directory = host.directory();
    let recipients: Vec<Recipient> = recipients
        .iter()
        .map(|address| resolve(&*directory, &options(), SENDER, address).unwrap())
        .collect();
    host.run(deliver(host, &options(), &recipients, message(source)))
}

fn mailbox(host: &TestHost, address: &str) -> MailboxRef {
    let account = host.directory().account(address).unwrap();
    let mailbox = account.mailbox.as_ref().unwrap();
    MailboxRef {
        guid: mailbox.guid,
        path: mailbox.path.clone(),
    }
}

fn count(host: &TestHost, address: &str, folder: FolderId) -> u32 {
    host.with_mailbox(&mailbox(host, address), |store| {
        Ok(store.status(folder)?.messages)
    })
    .unwrap()
}

#[test]
fn a_mailbox_reached_twice_gets_one_copy() {
    let host = TestHost::new(directory());
    let outcomes = run(
        &host,
        &["alice@example.test", "team@example.test", "al+x@example.test"],
        "Subject: a\r\n\r\nb\r\n",
    );
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(
        (
            count(&host, "alice@example.test", built_in::INBOX),
            count(&host, "bob@example.test", built_in::INBOX)
        ),
        (1, 1)
    );
    assert_eq!(host.durable_calls(), 2);
}

/// One message to more mailboxes than are stored into at a time is parsed once, and its content is once in each
/// mailbox.
#[test]
fn a_message_to_many_mailboxes_is_parsed_once() {
    let mut directory = TestDirectory::new();
    let addresses: Vec<String> = (0..100).map(|n| format!("u{n}@example.test")).collect();
    for address in &addresses {
        directory = directory.user(address, "p");
    }
    let host = TestHost::new(directory);
    let recipients: Vec<&str> = addresses.iter().map(String::as_str).collect();
    // Large enough for a helper thread, so that the parsing is counted; it does not compress.
    let mut source = "Subject: to all\r\n\r\n".to_owned();
    let mut state = 1_u32;
    while source.len() < 2 * HELPER_THRESHOLD_BYTES {
        for _ in 0..70 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            source.push(char::from(b'!' + (state >> 24) as u8 % 90));
        }
        source.push_str("\r\n");
    }
    let outcomes = run(&host, &recipients, &source);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!((host.helper_calls(), host.durable_calls()), (1, 100));
    for address in &addresses {
        assert_eq!(count(&host, address, built_in::INBOX), 1);
        let files = |folder: &std::path::Path| std::fs::read_dir(folder).map_or(0, Iterator::count);
        let cid = mailbox(&host, address).path.join("cid");
        let kept: usize = std::fs::read_dir(&cid)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() { files(&path) } else { 1 }
            })
            .sum();
        assert_eq!(kept, 1, "content files of {address}");
    }
}

/// The account's quota in the directory; a full mailbox refuses alone, and for good or for now as is wanted.
#[test]
fn a_full_mailbox_refuses_alone() {
    let directory = directory().receive_quota("alice@example.test", 2);
    let host = TestHost::new(directory);
    let source = format!("Subject: a\r\n\r\n{}", "0123456789\r\n".repeat(120));
    let both = ["alice@example.test", "bob@example.test"];
    assert_eq!(run(&host, &both, &source), [Ok(()), Ok(())]);
    assert_eq!(
        run(&host, &both, &source),
        [Err(Undeliverable::OverQuota), Ok(())]
    );
    assert_eq!(Undeliverable::OverQuota.status().to_string()[..9], *"552 5.2.2");
    // A small message still fits.
    assert_eq!(
        run(&host, &["alice@example.test"], "Subject: b\r\n\r\n"),
        [Ok(())]
    );
    assert_eq!(count(&host, "alice@example.test", built_in::INBOX), 2);
    assert_eq!(count(&host, "bob@example.test", built_in::INBOX), 2);
    let patient = Options {
        over_quota_is_temporary: true,
        ..options()
    };
    let recipient = resolve(&*host.directory(), &patient, SENDER, "alice@example.test").unwrap();
    let outcome = host.run(deliver(&host, &patient, &[recipient], message(&source)));
    assert_eq!(outcome, [Err(Undeliverable::OverQuotaForNow)]);
}

#[test]
fn junk_rules_choose_the_folder() {
    let host = TestHost::new(directory());
    assert_eq!(
        run(&host, &["bob@example.test"], "X-Spam-Flag: yes\r\n\r\n"),
        [Ok(())]
    );
    assert_eq!(count(&host, "bob@example.test", built_in::JUNK), 1);
    assert_eq!(count(&host, "bob@example.test", built_in::INBOX), 0);
}

#[test]
fn junk_goes_to_the_folder_of_choice_where_there_is_one() {
    let host = TestHost::new(directory());
    let made = host.with_mailbox(&mailbox(&host, "bob@example.test"), |store| {
        let spam = store.create_folder(built_in::INBOX, "Spam", None)?;
        store.create_folder(spam, "Deep", None)
    });
    let deep = made.unwrap();
    let options = Options {
        junk_folder: "inbox/spam/deep".into(),
        ..options()
    };
    for address in ["alice@example.test", "bob@example.test"] {
        let recipient = resolve(&*host.directory(), &options, SENDER, address).unwrap();
        let message = message("X-Spam-Flag: YES\r\n\r\n");
        let outcome = host.run(deliver(&host, &options, &[recipient], message));
        assert_eq!(outcome, [Ok(())]);
    }
    assert_eq!(count(&host, "bob@example.test", deep), 1);
    assert_eq!(count(&host, "alice@example.test", built_in::JUNK), 1);
}

#[test]
fn a_mailbox_that_is_almost_full_is_told_so_once_in_an_interval() {
    let directory = directory()
        .warn_quota("alice@example.test", 2)
        .receive_quota("alice@example.test", 6);
    let host = TestHost::new(directory);
    let source = format!("Subject: a\r\n\r\n{}", "0123456789\r\n".repeat(120));
    let alice = ["alice@example.test"];
    assert_eq!(run(&host, &alice, &source), [Ok(())]);
    assert_eq!(count(&host, alice[0], built_in::INBOX), 1);
    // The second one passes the limit: a warning comes with it, and none with the third.
    assert_eq!(run(&host, &alice, &source), [Ok(())]);
    assert_eq!(count(&host, alice[0], built_in::INBOX), 3);
    host.close_mailboxes();
    assert_eq!(run(&host, &alice, "Subject: b\r\n\r\n"), [Ok(())]);
    assert_eq!(count(&host, alice[0], built_in::INBOX), 4);
    let often = Options {
        quota_warning_interval: std::time::Duration::from_nanos(100),
        ..options()
    };
    let deliver_with = |options: &Options, source: &str| {
        let recipient = resolve(&*host.directory(), options, SENDER, alice[0]).unwrap();
        host.run(deliver(&host, options, &[recipient], message(source)))
    };
    std::thread::sleep(std::time::Duration::from_millis(1));
    let fresh = "Subject: c\r\n\r\n";
    assert_eq!(deliver_with(&often, fresh), [Ok(())]);
    // Where the warning itself has no room, the message is stored all the same.
    while count(&host, alice[0], built_in::INBOX) < 100 && deliver_with(&often, fresh) == [Ok(())] {}
    let never = Options {
        quota_warning_interval: std::time::Duration::ZERO,
        ..options()
    };
    let before = count(&host, alice[0], built_in::INBOX);
    assert!(before > 6, "{before}");
    deliver_with(&never, fresh);
    assert!(count(&host, alice[0], built_in::INBOX) <= before + 1);
}

#[test]
fn loops_are_cut() {
    let host = TestHost::new(directory());
    let hops = "Received: x\r\n".repeat(HOPS_MAX);
    assert_eq!(
        run(&host, &["bob@example.test"], &format!("{hops}\r\n")),
        [Ok(())]
    );
    assert_eq!(
        run(
            &host,
            &["bob@example.test", "alice@example.test"],
            &format!("{hops}received: y\r\n\r\n")
        ),
        [Err(Undeliverable::Loop), Err(Undeliverable::Loop)]
    );
    let twice = "Delivered-To: Bob@example.test\r\nDelivered-To: <bob@example.test>\r\n";
    assert_eq!(
        run(&host, &["bob@example.test"], &format!("{twice}\r\n")),
        [Ok(())]
    );
    let thrice = format!("{twice}Delivered-To: bob@example.test\r\n\r\n");
    assert_eq!(
        run(&host, &["bob@example.test", "alice@example.test"], &thrice),
        [Err(Undeliverable::Loop), Ok(())]
    );
}

#[test]
fn a_damaged_mailbox_fails_alone_and_for_now() {
    let directory = directory();
    let bob = directory.mailbox("bob@example.test");
    let host = TestHost::new(directory);
    std::fs::remove_dir_all(&bob.path).unwrap();
    std::fs::write(&bob.path, "not a mailbox").unwrap();
    let outcomes = run(
        &host,
        &["alice@example.test", "bob@example.test"],
        "Subject: a\r\n\r\n",
    );
    assert_eq!(outcomes, [Ok(()), Err(Undeliverable::MailboxFailed)]);
    assert_eq!(
        run(&host, &["team@example.test"], "Subject: b\r\n\r\n"),
        [Err(Undeliverable::MailboxFailed)]
    );
}
