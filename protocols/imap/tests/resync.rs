//! CONDSTORE, QRESYNC, IMAP4rev2 and UTF8=ACCEPT: what ENABLE changes.
mod support;

use support::*;

#[test]
fn condstore() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for subject in ["a", "b", "c"] {
            append(&mut client, "INBOX", "", &message(subject, "x@y.test", subject)).await;
        }
        talk(
            &mut client,
            "C: s SELECT INBOX (CONDSTORE)\nS: …\nS: s OK …\nC: a FETCH 1:3 MODSEQ",
        )
        .await;
        let lines = client.lines_until("a ").await;
        let mod_seq: Vec<u64> = lines[..3]
            .iter()
            .map(|line| number_after(line, "MODSEQ"))
            .collect();
        assert!(mod_seq[0] < mod_seq[1] && mod_seq[1] < mod_seq[2]);
        client.send(format!(
            "b STORE 1:2 (UNCHANGEDSINCE {}) +FLAGS.SILENT (\\Flagged)\r\n",
            mod_seq[0]
        ));
        let lines = client.lines_until("b ").await;
        assert!(lines[0].starts_with("* 1 FETCH (UID 1 MODSEQ ("), "{lines:?}");
        assert!(lines[1].starts_with("b OK [MODIFIED 2] "), "{lines:?}");
        let now = number_after(&lines[0], "MODSEQ");
        client.send(format!(
            "c UID FETCH 1:* (FLAGS) (CHANGEDSINCE {})\r\n",
            mod_seq[2]
        ));
        let lines = client.lines_until("c ").await;
        assert_eq!(
            lines[0],
            format!("* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent) MODSEQ ({now}))")
        );
        assert_eq!(lines.len(), 2);
        client.send(format!("d SEARCH MODSEQ {now}\r\n"));
        talk(&mut client, &format!("S: * SEARCH 1 (MODSEQ {now})\nS: d OK …")).await;
        talk(
            &mut client,
            "C: e STATUS INBOX (HIGHESTMODSEQ)\nS: * STATUS INBOX (HIGHESTMODSEQ …\nS: e OK …",
        )
        .await;
    });
}

#[test]
fn qresync_gives_the_difference() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for subject in ["a", "b", "c", "d"] {
            append(&mut client, "INBOX", "", &message(subject, "x@y.test", subject)).await;
        }
        talk(
            &mut client,
            "C: z SELECT INBOX (QRESYNC (1 1))
             S: z BAD …
             C: a ENABLE QRESYNC X-NONE
             S: * ENABLED QRESYNC
             S: a OK …
             C: b SELECT INBOX",
        )
        .await;
        let lines = client.lines_until("b ").await;
        let (state, validity) = (number_in(&lines, "HIGHESTMODSEQ"), number_in(&lines, "UIDVALIDITY"));
        let mut other = select(&host).await;
        talk(&mut other, "C: a STORE 2 +FLAGS.SILENT \\Deleted\nS: a OK …\nC: b EXPUNGE\nS: * 2 EXPUNGE\nS: b OK …\nC: c STORE 3 +FLAGS.SILENT \\Answered\nS: c OK …").await;
        append(&mut other, "INBOX", "", &message("e", "x@y.test", "e")).await;
        // The session that was there is told with VANISHED.
        client.send("c NOOP\r\n");
        let lines = client.lines_until("c ").await;
        assert_eq!(lines[0], "* VANISHED 2", "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("* 3 FETCH (UID 4 FLAGS (\\Answered")), "{lines:?}");
        // One that comes back gets the difference.
        client.send(format!("d SELECT INBOX (QRESYNC ({validity} {state} 1:4))\r\n"));
        let lines = client.lines_until("d ").await;
        assert_eq!(lines[0], "* OK [CLOSED] previous mailbox closed");
        let vanished = lines.iter().position(|line| line == "* VANISHED (EARLIER) 2").unwrap_or_else(|| panic!("{lines:?}"));
        assert!(lines[vanished + 1].starts_with("* 3 FETCH (UID 4 FLAGS (\\Answered"), "{lines:?}");
        assert!(lines[vanished + 2].starts_with("* 4 FETCH (UID 5 FLAGS ("), "{lines:?}");
        assert!(lines[vanished + 3].starts_with("d OK"), "{lines:?}");
        // Another UIDVALIDITY: nothing is told, the client starts over.
        client.send(format!("e SELECT INBOX (QRESYNC (1 {state}))\r\n"));
        assert!(!client.lines_until("e ").await.iter().any(|line| line.contains("VANISHED") || line.contains("FETCH")));
        client.send(format!("f UID FETCH 1:* (FLAGS) (CHANGEDSINCE {state} VANISHED)\r\n"));
        let lines = client.lines_until("f ").await;
        assert_eq!(lines[0], "* VANISHED (EARLIER) 2");
        assert_eq!(lines.len(), 4, "{lines:?}");
        talk(
            &mut client,
            "C: g UID STORE 1 +FLAGS.SILENT \\Deleted
             S: …
             S: g OK …
             C: h UID EXPUNGE 1:2
             S: * VANISHED 1
             S: h OK [HIGHESTMODSEQ …
             C: i FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)
             S: i BAD …",
        )
        .await;
    });
}

#[test]
fn revision_two() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            "C: a CREATE Entw&APw-rfe
             S: a OK …
             C: b ENABLE IMAP4rev2
             S: * ENABLED IMAP4rev2
             S: b OK …
             C: c LIST \"\" Entw*
             S: * LIST (\\HasNoChildren) \"/\" \"Entwürfe\"
             S: c OK …
             C: d SELECT \"Entwürfe\"
             S: * FLAGS …
             S: * OK [PERMANENTFLAGS …
             S: * 0 EXISTS
             S: * OK [UIDVALIDITY …
             S: * OK [UIDNEXT …
             S: * OK [HIGHESTMODSEQ …
             S: * OK [MAILBOXID …
             S: * LIST () \"/\" \"Entwürfe\"
             S: d OK …",
        )
        .await;
        append(&mut client, "INBOX", "", &message("a", "x@y.test", "a")).await;
        talk(
            &mut client,
            "C: e SELECT INBOX
             S: * OK [CLOSED] …
             S: …
             S: e OK …
             C: f SEARCH UNSEEN
             S: * ESEARCH (TAG \"f\") ALL 1
             S: f OK …
             C: g FETCH 1 FLAGS
             S: * 1 FETCH (FLAGS ())
             S: g OK …",
        )
        .await;
    });
}

#[test]
fn binary() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(
            &mut client,
            "INBOX",
            "",
            "Content-Transfer-Encoding: base64\n\nSGVsbG8s\nIHdvcmxkIQ==\n",
        )
        .await;
        append(
            &mut client,
            "INBOX",
            "",
            "Content-Transfer-Encoding: x-odd\n\nSGVsbG8s\n",
        )
        .await;
        talk(
            &mut client,
            "C: s SELECT INBOX
             S: …
             S: s OK …
             C: a FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1] BINARY.PEEK[1]<7.3>)
             S: * 1 FETCH (BINARY.SIZE[1] 13 BINARY[1] ~{13}
             S: Hello, world! BINARY[1]<7> ~{3}
             S: wor)
             S: a OK …
             C: b FETCH 2 BINARY.PEEK[1]
             S: * 2 FETCH (BINARY[1] NIL)
             S: b NO [UNKNOWN-CTE] …",
        )
        .await;
    });
}
