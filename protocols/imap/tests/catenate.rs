//! CATENATE (RFC 4469) and REPLACE (RFC 8508): their example dialogues, adapted, and the ways in which they fail.

mod support;

use support::*;

/// A draft of two parts, without its last line.
const DRAFT: &str = "From: fred@example.test\nSubject: three parts\nMIME-Version: 1.0\n\
                     Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nfirst\n--b\n\
                     Content-Type: image/png\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n--b--\n";

#[test]
fn rfc_4469_examples() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "Drafts", "(\\Draft) ", DRAFT).await;
        append(&mut client, "INBOX", "", &message("sent", "a@b", "the text")).await;
        client.send("v STATUS Drafts (UIDVALIDITY)\r\n");
        let validity = number_in(&client.lines_until("v ").await, "UIDVALIDITY ");
        talk(
            &mut client,
            &format!(
                r#"C: A003 APPEND Drafts (\Seen \Draft $MDNSent) CATENATE (URL "/Drafts;UIDVALIDITY={validity}/;UID=1/;section=HEADER" TEXT {{40}}
                S: + OK
                C: --b
                C: Content-Type: text/plain
                C: 
                C: new
                C:  URL "/Drafts;UIDVALIDITY={validity}/;UID=1/;section=2.MIME" URL "/Drafts/;UID=1/;section=2" TEXT {{9+}}
                C: 
                C: --b--
                C: )
                S: A003 BAD …"#
            ),
        )
        .await;
        let text = "--b\r\nContent-Type: text/plain\r\n\r\nnew\r\n--b\r\n";
        let end = "\r\n--b--\r\n";
        client.send(format!(
            "A004 APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE (URL \"/Drafts;UIDVALIDITY={validity}/;UID=1/;section=HEADER\" \
             TEXT {{{}+}}\r\n{text} URL \"/Drafts;UIDVALIDITY={validity}/;UID=1/;section=2.MIME\" URL /Drafts/;UID=1/;section=2 \
             TEXT {{{}+}}\r\n{end})\r\n",
            text.len(),
            end.len()
        ));
        talk(
            &mut client,
            r#"S: A004 OK [APPENDUID ¤ 2] …
            C: s SELECT Drafts
            S: …
            S: s OK …
            C: a FETCH 2 (FLAGS BODYSTRUCTURE BODY.PEEK[2] BODY.PEEK[1] BODY.PEEK[HEADER.FIELDS (SUBJECT)])
            S: * 2 FETCH (FLAGS (\Seen \Draft \Recent $MDNSent) BODYSTRUCTURE (("text" "plain" NIL NIL NIL "7bit" 3 ¤ NIL NIL NIL NIL)("image" "png" NIL NIL NIL "base64" 8 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL) BODY[2] {8}
            S: aGVsbG8= BODY[1] {3}
            S: new BODY[HEADER.FIELDS (SUBJECT)] {24}
            S: Subject: three parts
            S: 
            S: )
            S: a OK …
            C: b APPEND INBOX CATENATE (URL "/Sent;UIDVALIDITY=387899045/;UID=42" TEXT {3+}
            C: abc)
            S: b NO [BADURL "/Sent;UIDVALIDITY=387899045/;UID=42"] …
            C: c APPEND INBOX CATENATE (URL "/INBOX;UIDVALIDITY=1234567/;UID=1")
            S: c NO [BADURL "/INBOX;UIDVALIDITY=1234567/;UID=1"] …
            C: d APPEND INBOX CATENATE (URL ";UID=1/;section=1")
            S: d OK [APPENDUID ¤ 2] …
            C: e APPEND INBOX CATENATE (URL ";UID=1/;section=9")
            S: e NO [BADURL …
            C: f APPEND INBOX CATENATE (URL "imap://smith%40example.test@localhost/INBOX/;UID=1/;PARTIAL=0.10" TEXT {4+}
            C: tail)
            S: f OK [APPENDUID ¤ 3] …
            C: g APPEND INBOX CATENATE (URL "imap://jones@localhost/INBOX/;UID=1")
            S: g NO [BADURL …
            C: h APPEND INBOX CATENATE (URL "imap://elsewhere.test/INBOX/;UID=1")
            S: h NO [BADURL …
            C: i APPEND INBOX CATENATE (URL "/Other%20Users/jones@example.test/INBOX/;UID=1")
            S: i NO [BADURL …
            C: j APPEND missing CATENATE (URL "/INBOX/;UID=1")
            S: j NO [TRYCREATE] …
            C: k APPEND INBOX CATENATE (URL "/INBOX/;UID=1/;section=HEADER.FIELDS%20(Subject)" TEXT {1+}
            C: x) (\Flagged) CATENATE (TEXT {1+}
            C: y)
            S: k OK [APPENDUID ¤ 4:5] …
            C: s SELECT INBOX
            S: …
            S: s OK …
            C: l FETCH 2:5 BODY.PEEK[]
            S: * 2 FETCH (BODY[] {5}
            S: first)
            S: * 3 FETCH (BODY[] {14}
            S: Date: Wed,tail)
            S: * 4 FETCH (BODY[] {18}
            S: Subject: sent
            S: 
            S: x)
            S: * 5 FETCH (BODY[] {1}
            S: y)
            S: l OK …"#,
        )
        .await;
    });
}

#[test]
fn rfc_8508_examples() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for number in 1..=4 {
            append(
                &mut client,
                "Drafts",
                "(\\Draft) ",
                &format!("Subject: {number}\n\n"),
            )
            .await;
        }
        let durable = host.durable_calls();
        talk(
            &mut client,
            r#"C: s SELECT Drafts
            S: …
            S: s OK [READ-WRITE] …
            C: A003 REPLACE 4 Drafts (\Seen \Draft) {12}
            S: + OK
            C: Subject: new
            S: * OK [APPENDUID ¤ 5] …
            S: * 5 EXISTS
            S: …
            S: * 4 EXPUNGE
            S: A003 OK REPLACE completed
            C: A004 UID REPLACE 5 Drafts (\Seen \Draft) {14+}
            C: Subject: newer
            S: * OK [APPENDUID ¤ 6] …
            S: * 5 EXISTS
            S: …
            S: * 4 EXPUNGE
            S: A004 OK …
            C: a UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])
            S: …
            S: * 4 FETCH (UID 6 FLAGS (\Seen \Draft \Recent) BODY[HEADER.FIELDS (SUBJECT)] …
            S: …
            S: a OK …
            C: b REPLACE 9 Drafts {1+}
            C: x
            S: b BAD …
            C: c UID REPLACE 99 Drafts {1+}
            C: x
            S: c NO [NONEXISTENT] …
            C: d REPLACE 1 missing {1+}
            C: x
            S: d NO [TRYCREATE] …
            C: e REPLACE 1 "Sent Items" {13+}
            C: Subject: sent
            S: * OK [APPENDUID ¤ 1] …
            S: * 1 EXPUNGE
            S: e OK …
            C: f STATUS "Sent Items" (MESSAGES)
            S: * STATUS "Sent Items" (MESSAGES 1)
            S: f OK …
            C: g ENABLE QRESYNC
            S: …
            S: g OK …
            C: h REPLACE 1 Drafts CATENATE (URL ";UID=2" TEXT {1+}
            C: x)
            S: * OK [APPENDUID ¤ 7] …
            S: …
            S: * VANISHED 2
            S: h OK [HIGHESTMODSEQ ¤] …
            C: i EXAMINE Drafts
            S: …
            S: i OK …
            C: j REPLACE 1 Drafts {1+}
            C: x
            S: j NO [READ-ONLY] …"#,
        )
        .await;
        assert!(host.durable_calls() >= durable + 4);
    });
}

#[test]
fn a_message_is_replaced_in_anothers_mailbox() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "", "Subject: old\n\n").await;
        let mut jones = connect(&host);
        talk(
            &mut jones,
            "S: * OK …\nC: l LOGIN jones@example.test secret\nS: l OK …\nC: a SETACL INBOX smith lri\nS: a OK …",
        )
        .await;
        talk(
            &mut client,
            r#"C: s SELECT INBOX
            S: …
            S: s OK …
            C: a REPLACE 1 "Other Users/jones@example.test/INBOX" {12+}
            C: Subject: new
            S: * OK [APPENDUID ¤ 1] …
            S: * 1 EXPUNGE
            S: a OK …
            C: s SELECT "Other Users/jones@example.test/INBOX"
            S: …
            S: s OK [READ-WRITE] …
            C: b REPLACE 1 INBOX {12+}
            C: Subject: new
            S: b NO [NOPERM] …"#,
        )
        .await;
    });
}

#[test]
fn a_full_mailbox_has_room_for_what_takes_a_messages_place() {
    use ringpost_testhost::{TestDirectory, TestHost};
    let host = TestHost::new(
        TestDirectory::new()
            .user("smith@example.test", "secret")
            .receive_quota("smith@example.test", 10),
    );
    host.run(async {
        let mut client = login(&host).await;
        let body = "x".repeat(9000);
        append(&mut client, "INBOX", "", &format!("Subject: old\n\n{body}")).await;
        client.send(format!("s SELECT INBOX\r\na APPEND INBOX {{9000+}}\r\n{body}\r\n"));
        talk(&mut client, "S: …\nS: s OK …\nS: a NO [OVERQUOTA] …").await;
        client.send(format!("a REPLACE 1 INBOX {{9001+}}\r\n{body}y\r\n"));
        talk(&mut client, "S: * OK [APPENDUID ¤ 2] …\nS: …\nS: a OK …").await;
        // What does not fit leaves the old one where it is.
        let more = "x".repeat(11_000);
        client.send(format!("a REPLACE 1 INBOX {{11000+}}\r\n{more}\r\n"));
        talk(
            &mut client,
            "S: a NO [OVERQUOTA] …\nC: b STATUS INBOX (MESSAGES UIDNEXT)\nS: * STATUS INBOX (MESSAGES 1 UIDNEXT 3)\nS: b OK …",
        )
        .await;
    });
}
