//! FETCH of messages whose stored structure is damaged or missing: it is made again from the source, and neighbours
//! are shown as ever.

mod support;

use ringpost_testhost::TestHost;
use support::*;

/// Spoils the stored structure of the second of three messages.
fn spoil(host: &TestHost, to: &str) {
    host.close_mailboxes();
    let path = host.accounts().mailbox("smith@example.test").path;
    let database = rusqlite::Connection::open(path.join("exmdb/exchange.sqlite3")).unwrap();
    let sql = format!(
        "UPDATE message_data SET structure = {to} WHERE message = (SELECT id FROM messages WHERE uid = 2 AND state = 0)"
    );
    assert_eq!(database.execute(&sql, []).unwrap(), 1);
}

#[test]
fn every_item_is_right() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for name in ["one", "two", "three"] {
            append(&mut client, "INBOX", "", &message(name, "Ann <a@b.test>", "text")).await;
        }
        let commands = [
            "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)",
            "FETCH 1:* (BODY ENVELOPE INTERNALDATE RFC822.SIZE MODSEQ EMAILID THREADID)",
            "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (Subject X)] ENVELOPE BODY BODYSTRUCTURE)",
            "FETCH 1:* (BODY.PEEK[TEXT] RFC822.HEADER BODY.PEEK[1] BINARY.PEEK[1] PREVIEW)",
        ];
        let ask = async || {
            let mut client = select(&host).await;
            let mut answers = Vec::new();
            for command in commands {
                client.send(format!("a {command}\r\n"));
                answers.push(client.lines_until("a ").await);
            }
            answers
        };
        // Not recent any more.
        ask().await;
        let whole = ask().await;
        for answer in &whole {
            assert!(answer.last().unwrap().starts_with("a OK"), "{answer:?}");
            assert_eq!(answer.iter().filter(|line| line.contains(" FETCH (")).count(), 3);
        }
        let envelope =
            "ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"two\" ((\"Ann\" NIL \"a\" \"b.test\")) ";
        assert!(whole[0][1].contains(envelope), "{whole:?}");
        for damage in [
            "NULL",
            "x''",
            "x'07'",
            "substr(structure, 1, 9)",
            "substr(structure, 1, length(structure) - 1)",
            "zeroblob(9)",
        ] {
            spoil(&host, damage);
            assert_eq!(ask().await, whole, "{damage}");
        }
    });
}
