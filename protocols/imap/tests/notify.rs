//! NOTIFY: the example dialogues of RFC 5465, adapted, and what else its events must tell.

mod support;

use ringpost_imap::Settings;
use ringpost_testhost::{Client, TestDirectory, TestHost};
use support::*;

async fn jones(host: &TestHost) -> Client {
    let mut client = connect(host);
    talk(
        &mut client,
        "S: * OK …\nC: l LOGIN jones@example.test secret\nS: l OK …",
    )
    .await;
    client
}

#[test]
fn rfc_5465_section_3() {
    let host = host();
    host.run(async {
        let mut other = login(&host).await;
        talk(
            &mut other,
            "C: a CREATE Lists/Lemonade\nS: a OK …\nC: b CREATE Lists/Im2000\nS: b OK …\nC: c CREATE misc\nS: c OK …",
        )
        .await;
        append(&mut other, "Lists/Lemonade", "", "Subject: x\n\n").await;
        let mut client = login(&host).await;
        talk(
            &mut client,
            r"C: b notify set status (selected MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge) (subtree Lists (MessageNew MessageExpunge))
            S: * STATUS Lists (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ¤)
            S: * STATUS Lists/Lemonade (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ¤)
            S: * STATUS Lists/Im2000 (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ¤)
            S: b OK NOTIFY completed
            C: c select inbox
            S: …
            S: c OK …",
        )
        .await;
        append(&mut other, "Lists/Lemonade", "", "Subject: x\n\n").await;
        talk(&mut client, "S: * STATUS Lists/Lemonade (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ¤)").await;
        append(&mut other, "misc", "", "Subject: nobody hears of it\n\n").await;
        append(
            &mut other,
            "INBOX",
            "",
            "Subject: Re: good morning\nFrom: alice@example.org\nTo: bob@example.org\n\n",
        )
        .await;
        talk(
            &mut client,
            r"S: * 1 EXISTS
            S: * ¤ RECENT
            S: * 1 FETCH (UID 1 BODY[HEADER.FIELDS (FROM TO SUBJECT)] {¤}
            S: Subject: Re: good morning
            S: From: alice@example.org
            S: To: bob@example.org
            S: 
            S: )
            C: d STATUS misc (UIDVALIDITY UIDNEXT MESSAGES)
            S: * STATUS misc (UIDVALIDITY ¤ UIDNEXT 2 MESSAGES 1)
            S: d OK …
            C: e notify set (selected (MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge)) (subtree Lists (MessageNew MessageExpunge)) (mailboxes misc (MessageNew MessageExpunge))
            S: e OK …",
        )
        .await;
        append(&mut other, "misc", "", "Subject: y\n\n").await;
        talk(&mut client, "S: * STATUS misc (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ¤)").await;
        // A message of one's own needs no FETCH.
        append(&mut client, "INBOX", "", "Subject: own\n\n").await;
        talk(&mut client, "C: f NOOP\nS: f OK …").await;
    });
}

#[test]
fn rfc_5465_section_5_messages() {
    let host = host();
    host.run(async {
        let mut other = select(&host).await;
        for _ in 0..3 {
            append(&mut other, "INBOX", "", "Subject: x\n\n").await;
        }
        append(&mut other, "Drafts", "", "Subject: x\n\n").await;
        let mut client = select(&host).await;
        talk(
            &mut client,
            r"C: a NOTIFY SET (selected (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge FlagChange))
            S: a OK …",
        )
        .await;
        talk(&mut other, "C: a STORE 2 +FLAGS ($Junk)\nS: …\nS: a OK …").await;
        talk(&mut client, "S: * FLAGS …\nS: * 2 FETCH (UID 2 FLAGS ($Junk))").await;
        talk(&mut other, "C: b STORE 1 +FLAGS.SILENT (\\Deleted)\nS: b OK …\nC: c EXPUNGE\nS: …\nS: c OK …").await;
        talk(&mut client, "S: …\nS: * 1 EXPUNGE").await;
        // In another mailbox: without CONDSTORE only what changes a counter is told.
        talk(
            &mut other,
            r"C: s SELECT Drafts
            S: …
            S: s OK …
            C: d STORE 1 +FLAGS.SILENT (\Flagged)
            S: d OK …
            C: e STORE 1 +FLAGS.SILENT (\Seen)
            S: e OK …",
        )
        .await;
        talk(&mut client, "S: * STATUS Drafts (UIDVALIDITY ¤ UNSEEN 0)").await;
        talk(&mut client, "C: b ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: b OK …").await;
        talk(&mut other, "C: f STORE 1 -FLAGS.SILENT (\\Flagged)\nS: f OK …").await;
        talk(&mut client, "S: * STATUS Drafts (UIDVALIDITY ¤ HIGHESTMODSEQ ¤)").await;
        talk(&mut other, "C: g STORE 1 +FLAGS.SILENT (\\Deleted)\nS: g OK …\nC: h EXPUNGE\nS: …\nS: h OK …").await;
        talk(
            &mut client,
            "S: …\nS: * STATUS Drafts (MESSAGES 0 UIDNEXT 2 UIDVALIDITY ¤ HIGHESTMODSEQ ¤)",
        )
        .await;
        talk(
            &mut other,
            "C: s SELECT INBOX\nS: …\nS: s OK …\nC: i STORE 1 +FLAGS.SILENT (\\Deleted)\nS: i OK …\nC: j EXPUNGE\nS: …\nS: j OK …",
        )
        .await;
        talk(&mut client, "S: …\nS: * VANISHED 2").await;
    });
}

#[test]
fn selected_delayed_and_nothing_at_all() {
    let host = host();
    host.run(async {
        let mut other = select(&host).await;
        for _ in 0..3 {
            append(&mut other, "INBOX", "", "Subject: x\n\n").await;
        }
        let mut client = select(&host).await;
        talk(
            &mut client,
            "C: a NOTIFY SET (selected-delayed (MessageNew (uid) MessageExpunge))\nS: a OK …",
        )
        .await;
        talk(
            &mut other,
            "C: a STORE 1 +FLAGS.SILENT (\\Deleted)\nS: a OK …\nC: b EXPUNGE\nS: …\nS: b OK …",
        )
        .await;
        append(&mut other, "INBOX", "", "Subject: x\n\n").await;
        // The new message comes at once, the expunged one keeps its number until a command lets it go.
        talk(
            &mut client,
            r"S: * 4 EXISTS
            S: * ¤ RECENT
            S: * 4 FETCH (UID 4)
            C: b FETCH 4 UID
            S: * 4 FETCH (UID 4)
            S: b OK …
            C: c NOOP
            S: * 1 EXPUNGE
            S: c OK …
            C: d NOTIFY SET (selected NONE) (personal NONE)
            S: d OK …",
        )
        .await;
        append(&mut other, "INBOX", "", "Subject: x\n\n").await;
        talk(&mut client, "C: e NOOP\nS: e OK …\nC: f NOTIFY NONE\nS: f OK …").await;
        append(&mut other, "INBOX", "", "Subject: x\n\n").await;
        talk(
            &mut client,
            r"C: g NOOP
            S: g OK …
            C: h IDLE
            S: + idling
            C: DONE
            S: h OK …
            C: i NOTIFY SET (selected (MessageNew MessageExpunge))
            S: * 5 EXISTS
            S: * ¤ RECENT
            S: i OK …",
        )
        .await;
    });
}

#[test]
fn rfc_5465_section_5_names() {
    let host = host();
    host.run(async {
        let mut other = login(&host).await;
        let mut client = login(&host).await;
        talk(
            &mut client,
            r"C: a NOTIFY SET (personal (MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange))
            S: a OK …",
        )
        .await;
        talk(&mut other, "C: a CREATE NewMailbox\nS: a OK …").await;
        talk(&mut client, "S: * LIST (\\HasNoChildren \\Subscribed) \"/\" NewMailbox").await;
        talk(&mut other, "C: b CREATE NewMailbox/Below\nS: b OK …").await;
        talk(
            &mut client,
            "S: * LIST (\\HasChildren \\Subscribed) \"/\" NewMailbox\nS: * LIST (\\HasNoChildren \\Subscribed) \"/\" NewMailbox/Below",
        )
        .await;
        talk(&mut other, "C: c RENAME NewMailbox Renamed\nS: c OK …").await;
        talk(
            &mut client,
            "S: * LIST (\\HasChildren \\Subscribed) \"/\" Renamed (\"OLDNAME\" (NewMailbox))",
        )
        .await;
        talk(&mut other, "C: e UNSUBSCRIBE Renamed/Below\nS: e OK …").await;
        talk(&mut client, "S: * LIST (\\HasNoChildren) \"/\" Renamed/Below").await;
        talk(&mut other, "C: d SUBSCRIBE Renamed/Below\nS: d OK …").await;
        talk(&mut client, "S: * LIST (\\HasNoChildren \\Subscribed) \"/\" Renamed/Below").await;
        talk(&mut other, "C: f DELETE Renamed/Below\nS: f OK …").await;
        talk(
            &mut client,
            "S: * LIST (\\NonExistent) \"/\" Renamed/Below\nS: * LIST (\\HasNoChildren \\Subscribed) \"/\" Renamed",
        )
        .await;
        talk(&mut other, "C: g SETMETADATA INBOX (/shared/comment \"x\")\nS: g OK …").await;
        talk(&mut client, "S: * METADATA INBOX /shared/comment").await;
        talk(
            &mut other,
            "C: h SETMETADATA INBOX (/shared/comment NIL /private/a \"y\")\nS: h OK …",
        )
        .await;
        talk(&mut client, "S: * METADATA INBOX /shared/comment /private/a").await;
        talk(&mut other, "C: i SETMETADATA \"\" (/private/comment \"x\")\nS: i OK …").await;
        talk(&mut client, "S: * METADATA \"\" /private/comment").await;
        // Of what it does itself a client is not told.
        talk(
            &mut client,
            r#"C: b CREATE Own
            S: b OK …
            C: c SUBSCRIBE Own
            S: c OK …
            C: d RENAME Own Own2
            S: d OK …
            C: e SETMETADATA Own2 (/shared/comment "x")
            S: e OK …
            C: f DELETE Own2
            S: f OK …
            C: g NOOP
            S: g OK …"#,
        )
        .await;
        talk(&mut other, "C: j CREATE Own2\nS: j OK …").await;
        talk(&mut client, "S: * LIST (\\HasNoChildren …").await;
    });
}

#[test]
fn events_that_are_not_known_and_mailboxes_that_are_not_there() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            r"C: a NOTIFY SET (personal (MailboxName AnnotationChange))
            S: a NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)] …
            C: b NOTIFY SET (personal (FlagChange))
            S: b BAD …
            C: c NOTIFY SET (selected (MailboxName))
            S: c BAD …
            C: d NOTIFY SET STATUS (mailboxes (missing Other) (MessageNew MessageExpunge))
            S: d OK …",
        )
        .await;
        // It is told of as soon as it is there.
        let mut other = login(&host).await;
        talk(&mut other, "C: a CREATE missing\nS: a OK …").await;
        append(&mut other, "missing", "", "Subject: x\n\n").await;
        append(&mut other, "missing", "", "Subject: x\n\n").await;
        talk(&mut client, "S: …\nS: * STATUS missing (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ¤)").await;
    });
}

#[test]
fn shared_mailboxes_by_their_rights() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        let mut jones = jones(&host).await;
        talk(
            &mut jones,
            "C: a CREATE open\nS: a OK …\nC: b SETACL open smith lr\nS: b OK …\nC: c CREATE seen\nS: c OK …\nC: d SETACL seen smith l\nS: d OK …",
        )
        .await;
        talk(
            &mut client,
            r#"C: a NOTIFY SET STATUS (subtree "Other Users/jones@example.test" (MessageNew MessageExpunge MailboxName))
            S: * STATUS "Other Users/jones@example.test/open" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ¤)
            S: * LIST (\NoAccess) "/" "Other Users/jones@example.test/seen"
            S: a OK …"#,
        )
        .await;
        append(&mut jones, "INBOX", "", "Subject: not for smith\n\n").await;
        append(&mut jones, "open", "", "Subject: x\n\n").await;
        talk(
            &mut client,
            "S: * STATUS \"Other Users/jones@example.test/open\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ¤)",
        )
        .await;
        talk(&mut jones, "C: e SETACL INBOX smith lr\nS: e OK …").await;
        talk(
            &mut client,
            "S: * LIST (\\HasNoChildren) \"/\" \"Other Users/jones@example.test/INBOX\"",
        )
        .await;
        talk(&mut jones, "C: f SETACL open smith l\nS: f OK …").await;
        talk(
            &mut client,
            "S: * LIST (\\NoAccess) \"/\" \"Other Users/jones@example.test/open\"",
        )
        .await;
        append(&mut jones, "open", "", "Subject: y\n\n").await;
        talk(&mut jones, "C: g DELETEACL seen smith\nS: g OK …").await;
        talk(
            &mut client,
            "S: * LIST (\\NonExistent) \"/\" \"Other Users/jones@example.test/seen\"",
        )
        .await;
    });
}

#[test]
fn what_is_subscribed_to_later_is_watched() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        let mut other = login(&host).await;
        let mut jones = jones(&host).await;
        talk(&mut jones, "C: a SETACL INBOX smith lr\nS: a OK …").await;
        talk(
            &mut client,
            "C: a NOTIFY SET (subscribed (MessageNew MessageExpunge SubscriptionChange))\nS: a OK …",
        )
        .await;
        append(&mut jones, "INBOX", "", "Subject: not yet\n\n").await;
        talk(
            &mut other,
            "C: a SUBSCRIBE \"Other Users/jones@example.test/INBOX\"\nS: a OK …",
        )
        .await;
        talk(
            &mut client,
            "S: * LIST (\\Subscribed) \"/\" \"Other Users/jones@example.test/INBOX\"",
        )
        .await;
        append(&mut jones, "INBOX", "", "Subject: now\n\n").await;
        talk(
            &mut client,
            "S: * STATUS \"Other Users/jones@example.test/INBOX\" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ¤)",
        )
        .await;
    });
}

#[test]
fn too_many_stores_are_refused_and_idle_tells_the_same() {
    let mut directory = TestDirectory::new().user("smith@example.test", "secret");
    for number in 0..33 {
        directory = directory.user(&format!("user{number}@example.test"), "secret");
    }
    let host = TestHost::new(directory);
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            r#"C: a NOTIFY SET (subtree "Other Users" (MailboxName))
            S: a NO [NOTIFICATIONOVERFLOW] …
            C: b NOTIFY SET (personal (MessageNew MessageExpunge))
            S: b OK …
            C: c IDLE
            S: + idling"#,
        )
        .await;
        let mut other = login(&host).await;
        append(&mut other, "Drafts", "", "Subject: x\n\n").await;
        talk(
            &mut client,
            "S: * STATUS Drafts (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ¤)\nC: DONE\nS: c OK …",
        )
        .await;
        // The connection ends when it is silent for too long, all the same.
        host.advance(Settings::default().autologout_time);
        talk(&mut client, "S: * BYE …").await;
    });
}
