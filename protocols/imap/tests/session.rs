//! What a session does from greeting to goodbye, and in each mailbox command.
mod support;

use std::time::Duration;

use ringpost_imap::Settings;
use support::*;

#[test]
fn login_in_every_way() {
    let host = host();
    host.run(async {
        let mut client = connect(&host);
        talk(
            &mut client,
            "S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 STARTTLS AUTH=PLAIN AUTH=LOGIN SASL-IR LITERAL+ ENABLE] localhost…
             C: a CAPABILITY
             S: * CAPABILITY IMAP4rev1 …
             S: a OK …
             C: b SELECT INBOX
             S: b BAD …
             C: c LOGIN smith@example.test wrong
             S: c NO [AUTHENTICATIONFAILED] …
             C: d AUTHENTICATE PLAIN
             S: + 
             C: *
             S: d BAD …
             C: e AUTHENTICATE X-UNKNOWN
             S: e NO [CANNOT] …
             C: f LOGIN {18}
             S: + OK
             C: smith@example.test {6}
             S: + OK
             C: secret
             S: f OK [CAPABILITY IMAP4rev1 …
             C: g LOGIN x y
             S: g BAD …
             C: h LOGOUT
             S: * BYE …
             S: h OK …",
        )
        .await;
        assert_eq!(client.line().await, None);

        // AUTH=PLAIN with and without an initial response, and AUTH=LOGIN; commands may follow at once.
        for script in [
            "C: a AUTHENTICATE PLAIN AHNtaXRoQGV4YW1wbGUudGVzdABzZWNyZXQ=\nC: b NOOP\nS: a OK …\nS: b OK …",
            "C: a AUTHENTICATE PLAIN\nS: + \nC: AHNtaXRoQGV4YW1wbGUudGVzdABzZWNyZXQ=\nS: a OK …",
            "C: a AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6\nC: c21pdGhAZXhhbXBsZS50ZXN0\nS: + UGFzc3dvcmQ6\nC: c2VjcmV0\nS: a OK …",
        ] {
            let mut client = connect(&host);
            talk(&mut client, "S: * OK …").await;
            talk(&mut client, script).await;
        }
    });
}

#[test]
fn tls_before_login() {
    let host = host();
    host.run(async {
        let mut client = connect_with(
            &host,
            Settings {
                force_tls: true,
                ..Settings::default()
            },
        );
        talk(
            &mut client,
            "S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 STARTTLS LOGINDISABLED SASL-IR LITERAL+ ENABLE] …
             C: a LOGIN smith@example.test secret
             S: a NO [PRIVACYREQUIRED] …
             C: b AUTHENTICATE PLAIN AHNtaXRoQGV4YW1wbGUudGVzdABzZWNyZXQ=
             S: b NO [PRIVACYREQUIRED] …",
        )
        .await;
        // A command injected behind STARTTLS is thrown away (CVE-2011-0411).
        client.send("c STARTTLS\r\nd LOGIN smith@example.test secret\r\n");
        talk(
            &mut client,
            "S: c OK …\nC: e STARTTLS\nS: e BAD …\nC: f LOGIN smith@example.test secret\nS: f OK …",
        )
        .await;
        assert!(client.is_tls());
    });
}

#[test]
fn bad_clients_are_cut() {
    let host = host();
    host.run(async {
        let mut client = connect_with(
            &host,
            Settings {
                auth_times: 2,
                ..Settings::default()
            },
        );
        talk(
            &mut client,
            "S: * OK …
             C: a LOGIN x y
             S: a NO …
             C: b LOGIN x y
             S: b NO …
             S: * BYE …",
        )
        .await;
        assert_eq!(client.line().await, None);
        let mut client = connect(&host);
        client.send("GET / HTTP/1.1\r\n".repeat(30));
        let lines = client.lines_until("* BYE").await;
        assert!(lines.len() < 30);
        // Before login, a literal of some size is refused without being asked for.
        let mut client = connect(&host);
        talk(
            &mut client,
            "S: * OK …\nC: a LOGIN {1000000}\nS: a BAD …\nC: b NOOP\nS: b OK …",
        )
        .await;
    });
}

#[test]
fn silence_ends_a_session() {
    let host = host();
    host.run(async {
        let mut client = connect(&host);
        talk(&mut client, "S: * OK …").await;
        futures_lite::future::yield_now().await;
        host.advance(Duration::from_secs(181));
        talk(&mut client, "S: * BYE …").await;
        let mut client = login(&host).await;
        futures_lite::future::yield_now().await;
        host.advance(Duration::from_secs(1700));
        talk(&mut client, "C: a NOOP\nS: a OK …").await;
        futures_lite::future::yield_now().await;
        host.advance(Duration::from_secs(1801));
        talk(&mut client, "S: * BYE …").await;
        let mut client = login(&host).await;
        futures_lite::future::yield_now().await;
        host.stop();
        talk(&mut client, "S: * BYE …").await;
    });
}

#[test]
fn mailboxes() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            r#"C: a LIST "" ""
               S: * LIST (\Noselect) "/" ""
               S: a OK …
               C: b LIST "" *
               S: * LIST (\HasNoChildren) "/" INBOX
               S: …
               S: b OK …
               C: c CREATE Work/2026/July
               S: c OK [MAILBOXID (F…
               C: d CREATE Work
               S: d NO [ALREADYEXISTS] …
               C: d2 CREATE inbox
               S: d2 NO [ALREADYEXISTS] …
               C: d3 CREATE a//b
               S: d3 NO [CANNOT] …
               C: e LIST "" Work/%
               S: * LIST (\HasChildren) "/" Work/2026
               S: e OK …
               C: f LIST "Work/" *
               S: * LIST (\HasChildren) "/" Work/2026
               S: * LIST (\HasNoChildren) "/" Work/2026/July
               S: f OK …
               C: g DELETE Work
               S: g NO [HASCHILDREN] …
               C: h RENAME Work/2026/July Work/August
               S: h OK …
               C: i RENAME Work Play
               S: i OK …
               C: j LIST "" (Play* Nothing)
               S: * LIST (\HasChildren) "/" Play
               S: * LIST (\HasNoChildren) "/" Play/2026
               S: * LIST (\HasNoChildren) "/" Play/August
               S: j OK …
               C: j2 RENAME Play Play/Sub
               S: j2 NO [CANNOT] …
               C: k SUBSCRIBE Play/August
               S: k OK …
               C: k2 SUBSCRIBE Nowhere
               S: k2 NO [NONEXISTENT] …
               C: k3 UNSUBSCRIBE Play
               S: k3 OK …
               C: k4 UNSUBSCRIBE Play/2026
               S: k4 OK …
               C: l LSUB "" P%
               S: * LSUB (\Noselect) "/" Play
               S: l OK …
               C: m LIST (SUBSCRIBED) "" P* RETURN (CHILDREN)
               S: * LIST (\HasNoChildren \Subscribed) "/" Play/August
               S: m OK …
               C: n LIST (SUBSCRIBED RECURSIVEMATCH) "" P%
               S: * LIST (\HasChildren) "/" Play ("CHILDINFO" ("SUBSCRIBED"))
               S: n OK …
               C: o UNSUBSCRIBE Play/August
               S: o OK …
               C: p LSUB "" P*
               S: p OK …
               C: q DELETE Play/August
               S: q OK …
               C: r DELETE Play/August
               S: r NO [NONEXISTENT] …
               C: s DELETE INBOX
               S: s NO [CANNOT] …
               C: t CREATE "Entw&APw-rfe &- mehr/"
               S: t OK …
               C: u LIST "" Entw*
               S: * LIST (\HasNoChildren) "/" "Entw&APw-rfe &- mehr"
               S: u OK …
               C: v STATUS "Entw&APw-rfe &- mehr" (MESSAGES UNSEEN SIZE UIDNEXT RECENT DELETED)
               S: * STATUS "Entw&APw-rfe &- mehr" (MESSAGES 0 UNSEEN 0 SIZE 0 UIDNEXT 1 RECENT 0 DELETED 0)
               S: v OK …
               C: w LIST (SPECIAL-USE) "" *
               S: * LIST (\HasNoChildren \Trash) "/" "Deleted Items"
               S: * LIST (\HasNoChildren \Drafts) "/" Drafts
               S: * LIST (\HasNoChildren \Junk) "/" "Junk E-mail"
               S: * LIST (\HasNoChildren \Sent) "/" "Sent Items"
               S: w OK …
               C: x LIST "" Calendar
               S: x OK …
               C: x2 SELECT Calendar
               S: x2 NO [NONEXISTENT] …
               C: y LIST "" INBOX RETURN (STATUS (MESSAGES))
               S: * LIST (\HasNoChildren) "/" INBOX
               S: * STATUS INBOX (MESSAGES 0)
               S: y OK …
               C: z NAMESPACE
               S: * NAMESPACE (("" "/")) (("Other Users/" "/")) (("Public Folders/" "/"))
               S: z OK …
               C: a1 ID NIL
               S: * ID NIL
               S: a1 OK …"#,
        )
        .await;
    });
}

#[test]
fn select_append_fetch_store_expunge() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        let text = message("one", "Terry Gray <gray@cac.washington.edu>", "Hello");
        append(&mut client, "INBOX", "(\\Flagged Work) \"17-Jul-1996 02:44:25 -0700\" ", &text).await;
        append(&mut client, "INBOX", "", &message("two", "joe@x.test", "World")).await;
        append(&mut client, "INBOX", "(\\Seen) ", &message("three", "joe@x.test", "Again")).await;
        talk(
            &mut client,
            r#"C: a SELECT inbox
               S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded…
               S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded…
               S: * 3 EXISTS
               S: * 3 RECENT
               S: * OK [UNSEEN 1] …
               S: * OK [UIDVALIDITY …
               S: * OK [UIDNEXT 4] …
               S: * OK [HIGHESTMODSEQ …
               S: * OK [MAILBOXID (F1-d)] …
               S: a OK [READ-WRITE] …
               C: b FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE UID)
               S: * 1 FETCH (FLAGS (\Flagged \Recent Work) INTERNALDATE "17-Jul-1996 09:44:25 +0000" RFC822.SIZE 209 UID 1)
               S: b OK …
               C: c FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject "from")]
               S: * 1 FETCH (BODY[HEADER.FIELDS (SUBJECT FROM)] {60}
               S: From: Terry Gray <gray@cac.washington.edu>
               S: Subject: one
               S: 
               S: )
               S: c OK …
               C: d UID FETCH 2 BODY[TEXT]<1.3>
               S: * 2 FETCH (UID 2 BODY[TEXT]<1> {3}
               S: orl FLAGS (\Seen \Recent))
               S: d OK …
               C: e FETCH 2 (BODY[1] BODY[2] BODY[1.HEADER])
               S: * 2 FETCH (BODY[1] {7}
               S: World
               S:  BODY[2] NIL BODY[1.HEADER] NIL)
               S: e OK …
               C: f FETCH 1 ENVELOPE
               S: * 1 FETCH (ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "one" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) NIL NIL NIL "<one@example>"))
               S: f OK …
               C: g STORE 1:2 +FLAGS (\Deleted Work)
               S: * 1 FETCH (FLAGS (\Flagged \Deleted \Recent Work))
               S: * 2 FETCH (FLAGS (\Deleted \Seen \Recent Work))
               S: g OK …
               C: h UID STORE 2 -FLAGS.SILENT \Deleted
               S: h OK …
               C: i EXPUNGE
               S: * 1 EXPUNGE
               S: i OK …
               C: j FETCH 1:* UID
               S: * 1 FETCH (UID 2)
               S: * 2 FETCH (UID 3)
               S: j OK …
               C: k FETCH 9 UID
               S: k BAD …
               C: l UID FETCH 1 FLAGS
               S: l OK …
               C: m STORE 1 FLAGS \Recent
               S: m BAD …
               C: n CLOSE
               S: n OK …
               C: o FETCH 1 UID
               S: o BAD …
               C: p EXAMINE INBOX
               S: …
               S: * OK [PERMANENTFLAGS ()] …
               S: * 2 EXISTS
               S: * 0 RECENT
               S: …
               S: p OK [READ-ONLY] …
               C: q STORE 1 +FLAGS \Deleted
               S: q NO [READ-ONLY] …
               C: r FETCH 2 BODY[TEXT]
               S: * 2 FETCH (BODY[TEXT] {7}
               S: Again
               S: )
               S: r OK …
               C: s UNSELECT
               S: s OK …
               C: t SELECT Nowhere
               S: t NO [NONEXISTENT] …"#,
        )
        .await;
        assert!(host.durable_calls() >= 5);
    });
}

#[test]
fn stores_that_have_come_share_a_sync() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "", &message("One", "a@example.test", "1")).await;
        append(&mut client, "INBOX", "", &message("Two", "a@example.test", "2")).await;
        talk(&mut client, "C: s SELECT INBOX\nS: …\nS: s OK [READ-WRITE] …").await;
        let before = host.durable_calls();
        client.send(
            "a STORE 1 +FLAGS.SILENT (\\Flagged)\r\nb STORE 2 +FLAGS (\\Seen)\r\nc UID STORE 1 FLAGS (\\Draft)\r\n\
             d STORE 9 +FLAGS (\\Seen)\r\ne STORE 1 -FLAGS.SILENT (\\Draft)\r\nf NOOP\r\n",
        );
        talk(
            &mut client,
            r"S: a OK …
              S: * 2 FETCH (FLAGS (\Seen \Recent))
              S: b OK …
              S: * 1 FETCH (UID 1 FLAGS (\Draft \Recent))
              S: c OK …
              S: d BAD …
              S: e OK …
              S: f OK …",
        )
        .await;
        assert_eq!(host.durable_calls(), before + 1);
        talk(&mut client, "C: g STORE 1 +FLAGS.SILENT (\\Seen)\nS: g OK …").await;
        assert_eq!(host.durable_calls(), before + 2);
        // One by one they are as durable when they are acknowledged.
        let store = |n: u32, sign| format!("m{n} STORE 1 {sign}FLAGS.SILENT (\\Seen)\r\n");
        let many: Vec<String> = (0..600).map(|n| store(n, if n % 2 == 0 { '-' } else { '+' })).collect();
        client.send(many.concat());
        for n in 0..600 {
            talk(&mut client, &format!("S: m{n} OK …")).await;
        }
        assert!((before + 5..before + 20).contains(&host.durable_calls()));
    });
}

#[test]
fn held_answers_say_what_could_not_be_written() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "", &message("One", "a@example.test", "1")).await;
        talk(&mut client, "C: s SELECT INBOX\nS: …\nS: s OK [READ-WRITE] …").await;
        host.fail_durable_calls();
        client.send(
            "a STORE 1 +FLAGS.SILENT (\\Flagged)\r\nb STORE 1 +FLAGS (\\Seen)\r\nc STORE 9 FLAGS ()\r\n\
             d STORE 1 FLAGS.SILENT (\\Draft)\r\n",
        );
        talk(
            &mut client,
            r"S: a NO [UNAVAILABLE] …
              S: * 1 FETCH (FLAGS (\Flagged \Seen \Recent))
              S: b NO [UNAVAILABLE] …
              S: c BAD …
              S: d NO [UNAVAILABLE] …
              C: e STORE 1 +FLAGS.SILENT (\Flagged)
              S: e NO [UNAVAILABLE] …
              C: f NOOP
              S: f OK …",
        )
        .await;
    });
}

#[test]
fn copy_and_move() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for subject in ["a", "b", "c", "d"] {
            append(&mut client, "INBOX", "", &message(subject, "x@y.test", subject)).await;
        }
        talk(
            &mut client,
            "C: s SELECT INBOX
             S: …
             S: s OK …
             C: a COPY 2:3 Nowhere
             S: a NO [TRYCREATE] …
             C: b CREATE Other
             S: b OK …
             C: c COPY 2:3 Other
             S: c OK [COPYUID ¤ 2:3 1:2] …
             C: d UID COPY 100 Other
             S: d OK …
             C: e MOVE 1,4 Other
             S: * OK [COPYUID ¤ 1,4 3:4] …
             S: * 4 EXPUNGE
             S: * 1 EXPUNGE
             S: e OK …
             C: f MOVE 1 INBOX
             S: f NO [CANNOT] …
             C: g UID FETCH 1:* FLAGS
             S: * 1 FETCH (UID 2 FLAGS (\\Recent))
             S: * 2 FETCH (UID 3 FLAGS (\\Recent))
             S: g OK …
             C: h SELECT Other
             S: …
             S: * 4 EXISTS
             S: …
             S: h OK …",
        )
        .await;
    });
}

#[test]
fn other_sessions_changes_are_told() {
    let host = host();
    host.run(async {
        let mut one = login(&host).await;
        append(&mut one, "INBOX", "", &message("a", "x@y.test", "1")).await;
        append(&mut one, "INBOX", "", &message("b", "x@y.test", "2")).await;
        let mut one = select(&host).await;
        let mut two = select(&host).await;
        talk(&mut one, "C: a IDLE\nS: + idling").await;
        talk(&mut two, "C: b STORE 1 +FLAGS.SILENT \\Flagged\nS: b OK …").await;
        talk(&mut one, "S: * 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))").await;
        talk(&mut two, "C: b2 STORE 2 +FLAGS (New)\nS: * FLAGS …\nS: * 2 FETCH …\nS: b2 OK …").await;
        talk(&mut one, "S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded New)\nS: * 2 FETCH (UID 2 FLAGS (\\Recent New))").await;
        append(&mut two, "INBOX", "", &message("c", "x@y.test", "3")).await;
        talk(&mut one, "S: * 3 EXISTS\nS: * 2 RECENT").await;
        talk(&mut two, "C: c STORE 1:2 +FLAGS.SILENT \\Deleted\nS: c OK …\nC: d EXPUNGE\nS: * 2 EXPUNGE\nS: * 1 EXPUNGE\nS: d OK …").await;
        talk(&mut one, "S: …\nS: * 2 EXPUNGE\nS: * 1 EXPUNGE\nC: DONE\nS: a OK …").await;
        // While numbers are in use nobody is told of an expunge (RFC 9051 §7.5.1).
        append(&mut two, "INBOX", "", &message("d", "x@y.test", "4")).await;
        talk(&mut one, "C: e NOOP\nS: * 2 EXISTS\nS: …\nS: e OK …").await;
        talk(&mut two, "C: f STORE 1 +FLAGS.SILENT \\Deleted\nS: …\nS: f OK …\nC: g EXPUNGE\nS: * 1 EXPUNGE\nS: g OK …").await;
        talk(
            &mut one,
            "C: h FETCH 2 UID
             S: * 2 FETCH (UID 4)
             S: h OK …
             C: i FETCH 1 UID
             S: i NO [EXPUNGEISSUED] …
             C: j SEARCH ALL
             S: * SEARCH 2
             S: j OK …
             C: k NOOP
             S: * 1 EXPUNGE
             S: k OK …
             C: l FETCH 1 UID
             S: * 1 FETCH (UID 4)
             S: l OK …",
        )
        .await;
    });
}

#[test]
fn append_forms() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            "C: a APPEND Nowhere {3}
             S: + OK
             C: abc
             S: a NO [TRYCREATE] …
             C: b APPEND INBOX {3}
             S: + OK
             C: abc (\\Seen) {4+}
             C: defg
             S: b OK [APPENDUID ¤ 1:2] …
             C: c APPEND INBOX {99999999999}
             S: c NO [TOOBIG] …
             C: d APPEND INBOX (\\Recent) {1+}
             C: x
             S: d BAD …
             C: e APPEND INBOX {0+}
             C:
             S: e NO …
             C: f APPEND INBOX UTF8 (~{3+}
             C: abc)
             S: f OK [APPENDUID ¤ 3] …
             C: g APPEND INBOX ~{3+}
             C: a\0c
             S: g NO [UNKNOWN-CTE] …
             C: h APPEND INBOX {3+}
             C: a\0c
             S: h BAD …
             C: i STATUS INBOX (MESSAGES)
             S: * STATUS INBOX (MESSAGES 3)
             S: i OK …",
        )
        .await;
    });
}

#[test]
fn a_large_message_streams_both_ways() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        let line = format!("{}\n", "0123456789abcdef".repeat(4));
        let text = format!("Subject: big\n\n{}", line.repeat(60_000));
        append(&mut client, "INBOX", "", &text).await;
        talk(
            &mut client,
            "C: s SELECT INBOX\nS: …\nS: s OK …\nC: a FETCH 1 BODY.PEEK[]",
        )
        .await;
        let text = text.replace('\n', "\r\n");
        assert_eq!(
            client.line().await.unwrap(),
            format!("* 1 FETCH (BODY[] {{{}}}", text.len())
        );
        // The client has not read on: the session waits with a bounded amount sent.
        for _ in 0..1000 {
            futures_lite::future::yield_now().await;
        }
        assert!(client.pending() < 512 * 1024, "{}", client.pending());
        assert!(client.bytes(text.len()).await == text.as_bytes());
        talk(&mut client, "S: )\nS: a OK …").await;
    });
}

#[test]
fn compression() {
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(&mut client, "C: a COMPRESS DEFLATE\nS: a OK …").await;
        let (mut deflate, mut inflate) = (
            Compress::new(Compression::default(), false),
            Decompress::new(false),
        );
        let mut sent = Vec::with_capacity(4096);
        deflate
            .compress_vec(
                b"b COMPRESS DEFLATE\r\nc LIST \"\" INBOX\r\n",
                &mut sent,
                FlushCompress::Sync,
            )
            .unwrap();
        client.send(&sent);
        let mut text = Vec::with_capacity(65536);
        while !String::from_utf8_lossy(&text).contains("c OK") {
            let chunk = client.bytes(1).await;
            inflate
                .decompress_vec(&chunk, &mut text, FlushDecompress::Sync)
                .unwrap();
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("b NO [COMPRESSIONACTIVE]"), "{text}");
        assert!(
            text.contains("* LIST (\\HasNoChildren) \"/\" INBOX\r\n"),
            "{text}"
        );
    });
}
