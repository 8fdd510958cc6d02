//! The example dialogues of RFC 9051, 7162 and 5256, adapted: UIDs and mod-sequences are this server's, dates in UTC.
mod support;

use ringpost_testhost::{Client, TestHost};
use support::*;

/// The message of RFC 9051 §8: its header has 342 octets, its body 3028 in 92 lines.
fn minutes() -> String {
    let header = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\n\
                  From: Terry Gray <gray@cac.washington.edu>\n\
                  Subject: IMAP4rev2 WG mtg summary and minutes\n\
                  To: imap@cac.washington.edu\n\
                  cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\n\
                  Message-Id: <B27397-0100000@cac.washington.edu>\n\
                  MIME-Version: 1.0\n\
                  Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\n";
    let body = format!(
        "{}{}\n",
        format!("{}\n", "m".repeat(30)).repeat(91),
        "m".repeat(3028 - 91 * 32 - 2)
    );
    format!("{header}{body}")
}

#[test]
fn rfc_9051_section_8() {
    let host = host();
    host.run(async {
        let mut other = login(&host).await;
        append(&mut other, "INBOX", "(\\Seen) \"17-Jul-1996 02:44:25 -0700\" ", &minutes()).await;
        let mut client = connect(&host);
        talk(
            &mut client,
            r#"S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 …
               C: a001 login smith@example.test secret
               S: a001 OK …
               C: a002 select inbox
               S: * FLAGS (…
               S: * OK [PERMANENTFLAGS (…
               S: * 1 EXISTS
               S: …
               S: a002 OK [READ-WRITE] SELECT completed
               C: a003 fetch 1 full
               S: * 1 FETCH (FLAGS (\Seen \Recent) INTERNALDATE "17-Jul-1996 09:44:25 +0000" RFC822.SIZE 3370 ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>") BODY ("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 3028 92))
               S: a003 OK FETCH completed
               C: a004 fetch 1 body[header]
               S: * 1 FETCH (BODY[HEADER] {342}
               S: Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
               S: From: Terry Gray <gray@cac.washington.edu>
               S: Subject: IMAP4rev2 WG mtg summary and minutes
               S: To: imap@cac.washington.edu
               S: cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
               S: Message-Id: <B27397-0100000@cac.washington.edu>
               S: MIME-Version: 1.0
               S: Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
               S: 
               S: )
               S: a004 OK FETCH completed
               C: a005 store 1 +flags \deleted
               S: * 1 FETCH (FLAGS (\Deleted \Seen \Recent))
               S: a005 OK STORE completed
               C: a006 logout
               S: * BYE logging out
               S: a006 OK logout completed"#,
        )
        .await;
        assert_eq!(client.line().await, None);
    });
}

#[test]
fn rfc_9051_section_6_mailboxes() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            r#"C: A003 CREATE owatagusiam/
               S: A003 OK …
               C: A004 CREATE owatagusiam/blurdybloop
               S: A004 OK …
               C: A682 LIST "" owatagusiam*
               S: * LIST (\HasChildren) "/" owatagusiam
               S: * LIST (\HasNoChildren) "/" owatagusiam/blurdybloop
               S: A682 OK …
               C: A684 DELETE owatagusiam
               S: A684 NO [HASCHILDREN] …
               C: A685 DELETE owatagusiam/blurdybloop
               S: A685 OK …
               C: A687 DELETE owatagusiam
               S: A687 OK …
               C: A683 CREATE blurdybloop
               S: A683 OK …
               C: A684 RENAME blurdybloop sarasoop
               S: A684 OK …
               C: A042 STATUS sarasoop (UIDNEXT MESSAGES)
               S: * STATUS sarasoop (UIDNEXT 1 MESSAGES 0)
               S: A042 OK …
               C: A003 APPEND saved-messages (\Seen) {3}
               S: + OK
               C: abc
               S: A003 NO [TRYCREATE] …
               C: A932 EXAMINE sarasoop
               S: …
               S: A932 OK [READ-ONLY] …
               C: A101 UNSELECT
               S: A101 OK …"#,
        )
        .await;
        // RENAME INBOX moves the messages and leaves an empty inbox (§6.3.6).
        append(&mut client, "INBOX", "", "Subject: x\n\nx\n").await;
        talk(
            &mut client,
            r"C: Z433 RENAME INBOX old-mail
               S: Z433 OK …
               C: Z434 STATUS INBOX (MESSAGES)
               S: * STATUS INBOX (MESSAGES 0)
               S: Z434 OK …
               C: Z435 STATUS old-mail (MESSAGES)
               S: * STATUS old-mail (MESSAGES 1)
               S: Z435 OK …",
        )
        .await;
    });
}

/// INBOX with this many messages, selected, CONDSTORE on.
async fn numbered(host: &TestHost, count: usize) -> Client {
    let mut client = login(host).await;
    for number in 1..=count {
        append(
            &mut client,
            "INBOX",
            "",
            &format!("Subject: {number}\n\n{number}\n"),
        )
        .await;
    }
    talk(
        &mut client,
        "C: s SELECT INBOX (CONDSTORE)\nS: …\nS: * OK [HIGHESTMODSEQ ¤] …\nS: …\nS: s OK …",
    )
    .await;
    client
}

/// The MODSEQ of a message.
async fn mod_seq(client: &mut Client, number: u32) -> u64 {
    client.send(format!("m FETCH {number} MODSEQ\r\n"));
    number_in(&client.lines_until("m ").await, "MODSEQ")
}

#[test]
fn rfc_7162_conditional_store() {
    let host = host();
    host.run(async {
        let mut client = numbered(&host, 9).await;
        let mut other = select(&host).await;
        let base = mod_seq(&mut client, 9).await;
        // Example 7: others changed 7 and 9, so only 5 is stored.
        talk(&mut other, "C: o STORE 7,9 +FLAGS.SILENT (\\Answered)\nS: o OK …").await;
        client.send(format!(
            "d105 STORE 7,5,9 (UNCHANGEDSINCE {base}) +FLAGS.SILENT (\\Deleted)\r\n"
        ));
        let lines = client.lines_until("d105 ").await;
        let stored: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains("UID 5 MODSEQ"))
            .collect();
        assert_eq!(stored.len(), 1, "{lines:?}");
        assert!(
            lines.last().unwrap().starts_with("d105 OK [MODIFIED 7,9] "),
            "{lines:?}"
        );
        // The changes of the other session were told before the answer.
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("* 7 FETCH (UID 7 FLAGS (\\Answered")),
            "{lines:?}"
        );
        // Example 4: with UNCHANGEDSINCE 0 nothing is stored where a mod-sequence exists.
        talk(
            &mut client,
            "C: c101 STORE 1 (UNCHANGEDSINCE 0) -FLAGS.SILENT (\\Deleted)\nS: c101 OK [MODIFIED 1] …",
        )
        .await;
        // Example 9: FETCH with CHANGEDSINCE.
        client.send(format!("s100 UID FETCH 1:* (FLAGS) (CHANGEDSINCE {base})\r\n"));
        let lines = client.lines_until("s100 ").await;
        assert_eq!(lines.len(), 4, "{lines:?}");
        for (line, number) in lines.iter().zip([5, 7, 9]) {
            assert!(
                line.starts_with(&format!("* {number} FETCH (UID {number} FLAGS (")),
                "{line}"
            );
            assert!(number_after(line, "MODSEQ") > base);
        }
        // Example 15: SEARCH MODSEQ tells the highest of the messages found.
        let highest = mod_seq(&mut client, 5).await;
        client.send(format!(
            "a SEARCH MODSEQ \"/flags/\\\\draft\" all {}\r\n",
            base + 1
        ));
        talk(
            &mut client,
            &format!("S: * SEARCH 5 7 9 (MODSEQ {highest})\nS: a OK …"),
        )
        .await;
        client.send(format!("b SEARCH RETURN (MIN MAX) MODSEQ {}\r\n", base + 1));
        talk(
            &mut client,
            &format!("S: * ESEARCH (TAG \"b\") MIN 5 MAX 9 MODSEQ {highest}\nS: b OK …"),
        )
        .await;
        talk(
            &mut client,
            "C: t SEARCH MODSEQ 999999999\nS: * SEARCH\nS: t OK …",
        )
        .await;
    });
}

#[test]
fn rfc_7162_expunge_with_qresync() {
    let host = host();
    host.run(async {
        let mut client = numbered(&host, 6).await;
        talk(
            &mut client,
            "C: q ENABLE QRESYNC
             S: * ENABLED QRESYNC
             S: q OK …
             C: w STORE 3:5 +FLAGS.SILENT \\Deleted
             S: …
             S: w OK …
             C: A202 EXPUNGE
             S: * VANISHED 3:5
             S: A202 OK [HIGHESTMODSEQ ¤] EXPUNGE completed
             C: A203 UID STORE 6 +FLAGS.SILENT \\Deleted
             S: * 3 FETCH (UID 6 MODSEQ (¤))
             S: A203 OK …
             C: A204 CLOSE
             S: A204 OK [HIGHESTMODSEQ ¤] …
             C: A205 STATUS INBOX (MESSAGES HIGHESTMODSEQ)
             S: * STATUS INBOX (MESSAGES 2 HIGHESTMODSEQ ¤)
             S: A205 OK …",
        )
        .await;
    });
}

#[test]
fn rfc_5256_threads() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        // §4's shape: (2)(3 6 (4 23)(44 7 96)), here with the numbers 1 to 8.
        let message = |id: &str, references: &str| {
            let second: u32 = id.parse().unwrap();
            format!(
                "Date: 1 Jan 2020 00:00:{second:02} +0000\nMessage-ID: <{id}@x>\nReferences: {references}\nSubject: {}\n\nx\n",
                if id == "1" { "other" } else { "topic" }
            )
        };
        for (id, references) in [
            ("1", ""),
            ("2", ""),
            ("3", "<2@x>"),
            ("4", "<2@x> <3@x>"),
            ("5", "<3@x> <4@x>"),
            ("6", "<2@x> <3@x>"),
            ("7", "<6@x>"),
            ("8", "<6@x> <7@x>"),
        ] {
            append(&mut client, "INBOX", "", &message(id, references)).await;
        }
        talk(
            &mut client,
            "C: s SELECT INBOX
             S: …
             S: s OK …
             C: A283 THREAD REFERENCES UTF-8 ALL
             S: * THREAD (1)(2 3 (4 5)(6 7 8))
             S: A283 OK …
             C: A284 THREAD ORDEREDSUBJECT UTF-8 ALL
             S: * THREAD (1)(2 (3)(4)(5)(6)(7)(8))
             S: A284 OK …
             C: A285 THREAD REFERENCES UTF-8 NOT 2
             S: * THREAD (1)(3 (4 5)(6 7 8))
             S: A285 OK …
             C: A286 SORT (REVERSE DATE) UTF-8 SUBJECT topic 2:4
             S: * SORT 4 3 2
             S: A286 OK …
             C: A287 SORT (SUBJECT) US-ASCII TEXT \"not in mailbox\"
             S: * SORT
             S: A287 OK …
             C: A288 SORT (SUBJECT) klingon ALL
             S: A288 NO [BADCHARSET (US-ASCII UTF-8)] …",
        )
        .await;
    });
}

#[test]
fn rfc_6855_utf8() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "", "Subject: Grüße\n\nx\n").await;
        talk(
            &mut client,
            "C: s SELECT INBOX
             S: …
             S: s OK …
             C: a FETCH 1 ENVELOPE
             S: * 1 FETCH (ENVELOPE (NIL {7}
             S: Grüße NIL NIL NIL NIL NIL NIL NIL NIL))
             S: a OK …
             C: b ENABLE UTF8=ACCEPT
             S: * ENABLED UTF8=ACCEPT
             S: b OK …
             C: c FETCH 1 ENVELOPE
             S: * 1 FETCH (ENVELOPE (NIL \"Grüße\" NIL NIL NIL NIL NIL NIL NIL NIL))
             S: c OK …
             C: d CREATE \"Büro\"
             S: d OK …
             C: e LIST \"\" B*
             S: * LIST (\\HasNoChildren) \"/\" \"Büro\"
             S: e OK …
             C: f CREATE \"a&b\"
             S: f OK …
             C: g LIST \"\" a*
             S: * LIST (\\HasNoChildren) \"/\" a&b
             S: g OK …",
        )
        .await;
    });
}
