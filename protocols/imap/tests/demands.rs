//! What the standards demand of a server in corners that no client test reaches, a dialogue each.
mod support;

use support::*;

#[test]
fn a_subscription_outlives_its_mailbox() {
    // RFC 3501 §6.3.6, RFC 5258 §3.1 and §4
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            r#"C: a CREATE Fruit/Apple
               S: a OK …
               C: a2 UNSUBSCRIBE Fruit
               S: a2 OK …
               C: b SUBSCRIBE Fruit/Apple
               S: b OK …
               C: c DELETE Fruit/Apple
               S: c OK …
               C: d LIST "" Fruit/*
               S: d OK …
               C: e LIST (SUBSCRIBED) "" Fruit*
               S: * LIST (\NonExistent \Subscribed) "/" Fruit/Apple
               S: e OK …
               C: f LIST (SUBSCRIBED RECURSIVEMATCH) "" F%
               S: * LIST (\HasNoChildren) "/" Fruit ("CHILDINFO" ("SUBSCRIBED"))
               S: f OK …
               C: g LSUB "" Fruit*
               S: * LSUB () "/" Fruit/Apple
               S: g OK …
               C: h LSUB "" F%
               S: * LSUB (\Noselect) "/" Fruit
               S: h OK …
               C: i CREATE Fruit/Apple
               S: i OK …
               C: j LIST (SUBSCRIBED) "" Fruit*
               S: * LIST (\HasNoChildren \Subscribed) "/" Fruit/Apple
               S: j OK …
               C: k DELETE Fruit/Apple
               S: k OK …
               C: l UNSUBSCRIBE Fruit/Apple
               S: l OK …
               C: m LIST (SUBSCRIBED) "" Fruit*
               S: m OK …
               C: n SUBSCRIBE Fruit/Apple
               S: n NO [NONEXISTENT] …"#,
        )
        .await;
    });
}

#[test]
fn roots_of_namespaces() {
    // RFC 9051 §6.3.9: an empty name asks for the root of the reference.
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            r#"C: a LIST "Other Users/jones@example.test/" ""
               S: * LIST (\Noselect) "/" "Other Users/"
               S: a OK …
               C: b LIST "Nothing/" ""
               S: * LIST (\Noselect) "/" ""
               S: b OK …"#,
        )
        .await;
    });
}

#[test]
fn select_tells_the_first_unseen_message() {
    // RFC 3501 §7.1; RFC 9051 has no such code.
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "(\\Seen) ", &message("a", "x@y.test", "a")).await;
        append(&mut client, "INBOX", "", &message("b", "x@y.test", "b")).await;
        append(&mut client, "INBOX", "", &message("c", "x@y.test", "c")).await;
        talk(
            &mut client,
            "C: a SELECT INBOX
             S: …
             S: * 3 EXISTS
             S: * 3 RECENT
             S: * OK [UNSEEN 2] …
             S: …
             S: a OK …
             C: b STORE 2:3 +FLAGS.SILENT (\\Seen)
             S: b OK …
             C: c EXAMINE INBOX
             S: …
             S: * 0 RECENT
             S: * OK [UIDVALIDITY …
             S: …
             S: c OK [READ-ONLY] EXAMINE completed
             C: d SELECT INBOX (QRESYNC (1 1))
             S: d BAD …
             C: e FETCH 1 UID
             S: * 1 FETCH (UID 1)
             S: e OK …
             C: f SELECT Nowhere
             S: f NO [NONEXISTENT] …
             C: g FETCH 1 UID
             S: g BAD …",
        )
        .await;
    });
}

#[test]
fn results_saved_and_shown() {
    // RFC 5182 §2.1: SAVE alone has no untagged answer. RFC 4731 §3.2: MODSEQ is of the messages that are named.
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for subject in ["a", "b", "c"] {
            append(&mut client, "INBOX", "", &message(subject, "x@y.test", subject)).await;
        }
        talk(&mut client, "C: s SELECT INBOX (CONDSTORE)\nS: …\nS: s OK …").await;
        talk(
            &mut client,
            "C: a SEARCH RETURN (SAVE) FROM x
             S: a OK …
             C: b FETCH $ UID
             S: * 1 FETCH (UID 1)
             S: * 2 FETCH (UID 2)
             S: * 3 FETCH (UID 3)
             S: b OK …
             C: c SORT RETURN (SAVE) (SUBJECT) UTF-8 1
             S: c OK …
             C: d SEARCH RETURN (SAVE MIN) 2:3
             S: * ESEARCH (TAG \"d\") MIN 2
             S: d OK …
             C: e UID SEARCH RETURN (COUNT) $
             S: * ESEARCH (TAG \"e\") UID COUNT 1
             S: e OK …
             C: f STORE 2 +FLAGS.SILENT (\\Flagged)
             S: * 2 FETCH …
             S: f OK …
             C: g FETCH 1:3 MODSEQ",
        )
        .await;
        let lines = client.lines_until("g ").await;
        let mod_seq: Vec<u64> = lines[..3]
            .iter()
            .map(|line| number_after(line, "MODSEQ"))
            .collect();
        talk(
            &mut client,
            &format!(
                "C: h SEARCH RETURN (MIN) MODSEQ 1
                 S: * ESEARCH (TAG \"h\") MIN 1 MODSEQ {first}
                 S: h OK …
                 C: i SEARCH RETURN (MIN MAX) MODSEQ 1
                 S: * ESEARCH (TAG \"i\") MIN 1 MAX 3 MODSEQ {last}
                 S: i OK …
                 C: j SEARCH RETURN (MIN COUNT) MODSEQ 1
                 S: * ESEARCH (TAG \"j\") MIN 1 COUNT 3 MODSEQ {highest}
                 S: j OK …
                 C: k SEARCH RETURN (MIN MAX ALL COUNT) SUBJECT nothing MODSEQ 1
                 S: * ESEARCH (TAG \"k\") COUNT 0
                 S: k OK …",
                first = mod_seq[0],
                last = mod_seq[2],
                highest = mod_seq[1],
            ),
        )
        .await;
    });
}

#[test]
fn with_qresync_every_fetch_response_has_the_uid() {
    // RFC 7162 §3.2.4
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "", &message("a", "x@y.test", "a")).await;
        append(&mut client, "INBOX", "(\\Seen) ", &message("b", "x@y.test", "b")).await;
        talk(
            &mut client,
            "C: e ENABLE QRESYNC
             S: * ENABLED QRESYNC
             S: e OK …
             C: s SELECT INBOX
             S: …
             S: s OK …
             C: a STORE 2 +FLAGS (\\Flagged)
             S: * 2 FETCH (UID 2 FLAGS (\\Flagged \\Seen \\Recent) MODSEQ (…
             S: a OK …
             C: b FETCH 1 BODY[TEXT]
             S: * 1 FETCH (UID 1 BODY[TEXT] {3}
             S: a
             S:  FLAGS (\\Seen \\Recent) MODSEQ (…
             S: b OK …
             C: c STORE 1:2 +FLAGS.SILENT (\\Deleted)
             S: * 1 FETCH (UID 1 MODSEQ (…
             S: * 2 FETCH (UID 2 MODSEQ (…
             S: c OK …
             C: d EXPUNGE
             S: * VANISHED 1:2
             S: d OK [HIGHESTMODSEQ …",
        )
        .await;
    });
}

#[test]
fn partial_fetches_and_nested_sections() {
    // RFC 9051 §6.4.5
    const NESTED: &str = "From: outer@example.test\nSubject: outer\nMIME-Version: 1.0\n\
        Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\none\n--b\n\
        Content-Type: message/rfc822\n\nFrom: inner@example.test\nSubject: inner\nX-Other: kept\n\
        Content-Type: text/plain\n\ntwo\n--b--\n";
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "", NESTED).await;
        talk(
            &mut client,
            "C: s EXAMINE INBOX
             S: …
             S: s OK …
             C: a FETCH 1 BODY[2.HEADER.FIELDS.NOT (Subject \"Content-Type\")]
             S: * 1 FETCH (BODY[2.HEADER.FIELDS.NOT (SUBJECT CONTENT-TYPE)] {43}
             S: From: inner@example.test
             S: X-Other: kept
             S: 
             S: )
             S: a OK …
             C: b FETCH 1 (BODY[2.1] BODY[2.TEXT] BODY[1.MIME] BODY[2.1.MIME])
             S: * 1 FETCH (BODY[2.1] {3}
             S: two BODY[2.TEXT] {3}
             S: two BODY[1.MIME] {28}
             S: Content-Type: text/plain
             S: 
             S:  BODY[2.1.MIME] {¤}
             S: …
             S: b OK …
             C: c FETCH 1 BODY[1]<1.1>
             S: * 1 FETCH (BODY[1]<1> {1}
             S: n)
             S: c OK …
             C: d FETCH 1 (BODY[1]<3.5> BODY[1]<0.100> BODY[1]<2.9223372036854775807>)
             S: * 1 FETCH (BODY[1]<3> {0}
             S:  BODY[1]<0> {3}
             S: one BODY[1]<2> {1}
             S: e)
             S: d OK …
             C: e FETCH 1 (BODY[3] BODY[1.2] BODY[2.2.HEADER] BODY[HEADER.FIELDS (Nothing)]<1.9>)
             S: * 1 FETCH (BODY[3] NIL BODY[1.2] NIL BODY[2.2.HEADER] NIL BODY[HEADER.FIELDS (NOTHING)]<1> {1}
             S: …
             S: e OK …
             C: f FETCH 1 RFC822.HEADER
             S: * 1 FETCH (RFC822.HEADER {¤}
             S: …
             S: f OK …
             C: g FETCH 1 FLAGS
             S: * 1 FETCH (FLAGS (\\Recent))
             S: g OK …",
        )
        .await;
    });
}

#[test]
fn dates_of_arrival() {
    // RFC 9051 §6.3.12 and §6.4.4: the zone is disregarded by SINCE and its like.
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for (tag, date) in [
            ("a", "31-Feb-2020 00:00:00 +0000"),
            ("b", "17-Jul-1996 24:00:00 +0000"),
            ("c", "17-Jul-96 02:44:25 +0000"),
            ("d", "17-Jul-1996 02:44:25"),
            ("e", "17-Foo-1996 02:44:25 +0000"),
            ("f", "17-Jul-1996 02:44:25 +00x0"),
            ("g", ""),
        ] {
            talk(
                &mut client,
                &format!("C: {tag} APPEND INBOX \"{date}\" {{1+}}\nC: x\nS: {tag} BAD …"),
            )
            .await;
        }
        append(
            &mut client,
            "INBOX",
            "\" 1-Jan-2020 00:30:00 +0200\" ",
            "Subject: x\n\nx\n",
        )
        .await;
        append(
            &mut client,
            "INBOX",
            "\"31-Dec-1969 23:59:59 -1130\" ",
            "Subject: x\n\nx\n",
        )
        .await;
        talk(
            &mut client,
            "C: s EXAMINE INBOX
             S: …
             S: s OK …
             C: h FETCH 1:2 INTERNALDATE
             S: * 1 FETCH (INTERNALDATE \"31-Dec-2019 22:30:00 +0000\")
             S: * 2 FETCH (INTERNALDATE \" 1-Jan-1970 11:29:59 +0000\")
             S: h OK …
             C: i SEARCH ON 31-Dec-2019
             S: * SEARCH 1
             S: i OK …
             C: j SEARCH BEFORE 31-Dec-2019
             S: * SEARCH 2
             S: j OK …
             C: k SEARCH SINCE \"31-Dec-2019\"
             S: * SEARCH 1
             S: k OK …",
        )
        .await;
    });
}

#[test]
fn the_inbox_in_any_case_and_what_is_below_it() {
    // RFC 9051 §5.1 and §6.3.6
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "iNbOx", "", "Subject: x\n\nx\n").await;
        talk(
            &mut client,
            r#"C: a CREATE inbox/Below
               S: a OK …
               C: b LIST "" InBoX*
               S: * LIST (\HasChildren) "/" INBOX
               S: * LIST (\HasNoChildren) "/" INBOX/Below
               S: b OK …
               C: c STATUS inbox/Below (MESSAGES)
               S: * STATUS …
               S: c OK …
               C: d RENAME inBOX Old
               S: d OK …
               C: e LIST "" INBOX*
               S: * LIST (\HasChildren) "/" INBOX
               S: * LIST (\HasNoChildren) "/" INBOX/Below
               S: e OK …
               C: f STATUS Old (MESSAGES)
               S: * STATUS Old (MESSAGES 1)
               S: f OK …
               C: g RENAME INBOX Old
               S: g NO [ALREADYEXISTS] …
               C: h DELETE inbox
               S: h NO …
               C: i RENAME Old inbox
               S: i NO [ALREADYEXISTS] …
               C: j RENAME INBOX/Below INBOX/Beside
               S: j OK …
               C: k SELECT inbox/Beside
               S: …
               S: k OK [READ-WRITE] …
               C: l STATUS INBOX/Beside (MESSAGES UIDNEXT)
               S: * STATUS INBOX/Beside (MESSAGES 0 UIDNEXT 1)
               S: l OK …"#,
        )
        .await;
        // STATUS of the selected mailbox is allowed, if not advised (§6.3.11).
        append(&mut client, "INBOX/Beside", "", "Subject: x\n\nx\n").await;
        talk(
            &mut client,
            r"C: m STATUS INBOX/Beside (MESSAGES)
              S: …
              S: * STATUS INBOX/Beside (MESSAGES 1)
              S: m OK …
              C: n CLOSE
              S: n OK …
              C: o CLOSE
              S: o BAD …",
        )
        .await;
    });
}

#[test]
fn charsets_of_searches() {
    // RFC 9051 §6.4.4, RFC 6855 §3
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        append(&mut client, "INBOX", "", &message("a", "x@y.test", "Köln")).await;
        talk(
            &mut client,
            "C: s EXAMINE INBOX
             S: …
             S: s OK …
             C: a SEARCH CHARSET KLINGON TEXT x
             S: a NO [BADCHARSET (US-ASCII UTF-8)] …
             C: b SEARCH CHARSET UTF-8 TEXT {5+}
             C: Köln
             S: * SEARCH 1
             S: b OK …
             C: c SORT (DATE) KLINGON ALL
             S: c NO [BADCHARSET …
             C: d THREAD REFERENCES KLINGON ALL
             S: d NO [BADCHARSET …
             C: e ENABLE UTF8=ACCEPT
             S: * ENABLED UTF8=ACCEPT
             S: e OK …
             C: f SEARCH CHARSET UTF-8 ALL
             S: f BAD …
             C: g SEARCH TEXT \"Köln\"
             S: * SEARCH 1
             S: g OK …",
        )
        .await;
    });
}

#[test]
fn a_message_that_goes_while_its_number_is_in_use() {
    // RFC 9051 §7.5.1: no EXPUNGE while FETCH, STORE or SEARCH are under way; with UID they may come.
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        for subject in ["a", "b", "c"] {
            append(&mut client, "INBOX", "", &message(subject, "x@y.test", subject)).await;
        }
        talk(&mut client, "C: s SELECT INBOX\nS: …\nS: s OK …").await;
        let mut other = select(&host).await;
        talk(
            &mut other,
            "C: a STORE 1 +FLAGS.SILENT (\\Deleted)\nS: a OK …\nC: b EXPUNGE\nS: * 1 EXPUNGE\nS: b OK …",
        )
        .await;
        talk(
            &mut client,
            "C: c FETCH 3 UID
             S: * 3 FETCH (UID 3)
             S: c OK …
             C: d SEARCH ALL
             S: …
             S: d OK …
             C: e STORE 2 +FLAGS (\\Flagged)
             S: * 2 FETCH (FLAGS (\\Flagged \\Recent))
             S: e OK …
             C: f UID FETCH 3 UID
             S: * 3 FETCH (UID 3)
             S: * 1 EXPUNGE
             S: f OK …
             C: g FETCH 2 UID
             S: * 2 FETCH (UID 3)
             S: g OK …
             C: h UID FETCH 1 UID
             S: h OK …
             C: i UID STORE 77 +FLAGS (\\Seen)
             S: i OK …
             C: j UID COPY 77 INBOX
             S: j OK …",
        )
        .await;
    });
}

#[test]
fn message_numbers_that_do_not_exist_are_bad() {
    let host = host();
    host.run(async {
        let mut client = select(&host).await;
        // RFC 9051 §9, seq-number: `*` too, where there are no messages.
        talk(
            &mut client,
            "C: a FETCH 1 FLAGS\nS: a BAD …\nC: b FETCH * FLAGS\nS: b BAD …",
        )
        .await;
        append(&mut client, "INBOX", "", "Subject: x\n\n").await;
        talk(
            &mut client,
            r"C: c FETCH 2 FLAGS
            S: c BAD …
            C: d STORE 1:2 +FLAGS (\Seen)
            S: d BAD …
            C: e COPY 5:* Drafts
            S: e BAD …
            C: f MOVE 2 Drafts
            S: f BAD …
            C: g UID FETCH 7 FLAGS
            S: g OK …
            C: h UID FETCH 5:* FLAGS
            S: * 1 FETCH …
            S: h OK …
            C: i FETCH 1:* FLAGS
            S: * 1 FETCH …
            S: i OK …",
        )
        .await;
    });
}

#[test]
fn the_first_unseen_message_is_told_wherever_it_is() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        let many = " (\\Seen) {12+}\r\nSubject: x\r\n".repeat(600);
        client.send(format!("a APPEND INBOX{many}\r\n"));
        talk(&mut client, "S: a OK …").await;
        let mut other = select(&host).await;
        let mut expect = async |change: &str, first: Option<u32>| {
            talk(&mut other, &format!("C: x {change}\nS: …\nS: x OK …")).await;
            client.send("s SELECT INBOX\r\n");
            let lines = client.lines_until("s ").await;
            let told = lines.iter().find(|line| line.contains("[UNSEEN "));
            assert_eq!(
                told.map(|line| number_after(line, "UNSEEN") as u32),
                first,
                "{change}"
            );
        };
        expect("NOOP", None).await;
        expect("STORE 300,301,600 -FLAGS.SILENT (\\Seen)", Some(300)).await;
        expect("NOOP", Some(300)).await;
        expect("STORE 300 +FLAGS.SILENT (\\Seen)", Some(301)).await;
        expect("STORE 5,7 -FLAGS.SILENT (\\Seen)", Some(5)).await;
        expect("STORE 5 +FLAGS.SILENT (\\Deleted)", Some(5)).await;
        expect("EXPUNGE", Some(6)).await;
        expect("STORE 1:300 +FLAGS.SILENT (\\Seen)", Some(599)).await;
        expect("STORE 599 +FLAGS.SILENT (\\Seen)", None).await;
    });
}
