//! Other users' and public folders (RFC 2342): what the permission table allows, and no more.

mod support;

use ringpost_host::{Host, MailboxRef};
use ringpost_mapi::rights::Rights;
use ringpost_store::{
    Member,
    folder::{built_in, built_in_public},
};
use ringpost_testhost::{Client, TestDirectory, TestHost};
use support::{append, connect, message, talk};

fn host() -> TestHost {
    TestHost::new(
        TestDirectory::new()
            .user("smith@example.test", "secret")
            .user("jones@example.test", "secret")
            .user("brown@example.test", "secret")
            .public_store("example.test"),
    )
}

async fn login(host: &TestHost, user: &str) -> Client {
    let mut client = connect(host);
    talk(
        &mut client,
        &format!("S: * OK …\nC: l LOGIN {user}@example.test secret\nS: l OK …"),
    )
    .await;
    client
}

fn mailbox(host: &TestHost, address: &str) -> MailboxRef {
    let found = host
        .directory()
        .account(address)
        .unwrap()
        .mailbox
        .clone()
        .unwrap();
    MailboxRef {
        guid: found.guid,
        path: found.path,
    }
}

fn public(host: &TestHost) -> MailboxRef {
    let found = host
        .directory()
        .domain("example.test")
        .unwrap()
        .public_store
        .clone()
        .unwrap();
    MailboxRef {
        guid: found.guid,
        path: found.path,
    }
}

/// What `jones` allows `smith` in the inbox.
fn allow(host: &TestHost, rights: Option<Rights>) {
    let smith = Member::Account("smith@example.test".to_owned());
    host.with_mailbox(&mailbox(host, "jones@example.test"), |store| {
        store.set_permission(built_in::INBOX, &smith, rights)
    })
    .unwrap();
}

#[test]
fn a_folder_is_there_for_whom_it_is_shared_with() {
    let host = host();
    host.run(async {
        let mut jones = login(&host, "jones").await;
        append(&mut jones, "INBOX", "", &message("shared", "a@b", "text")).await;
        let mut smith = login(&host, "smith").await;
        let hidden = r#"C: a LIST "" "Other Users/*"
            S: a OK …
            C: b SELECT "Other Users/jones@example.test/INBOX"
            S: b NO [NONEXISTENT] …
            C: c STATUS "Other Users/jones@example.test/INBOX" (MESSAGES)
            S: c NO [NONEXISTENT] …
            C: d SELECT "Other Users/nobody@example.test/INBOX"
            S: d NO [NONEXISTENT] …
            C: e SELECT "Public Folders/elsewhere.test/x"
            S: e NO [NONEXISTENT] …"#;
        talk(&mut smith, hidden).await;
        allow(&host, Some(Rights::REVIEWER));
        talk(
            &mut smith,
            r#"C: a LIST "" "Other Users/*"
            S: * LIST (\Noselect \HasChildren) "/" "Other Users/jones@example.test"
            S: * LIST (\HasNoChildren) "/" "Other Users/jones@example.test/INBOX"
            S: a OK …
            C: b LIST "" *
            S: * LIST (\HasNoChildren) "/" INBOX
            S: …
            S: b OK …
            C: c SELECT "Other Users/jones@example.test/INBOX"
            S: …
            S: * OK [PERMANENTFLAGS ()] …
            S: * 1 EXISTS
            S: …
            S: c OK [READ-ONLY] …
            C: d FETCH 1 (FLAGS BODY[HEADER.FIELDS (SUBJECT)])
            S: * 1 FETCH (FLAGS …
            S: Subject: shared
            S: 
            S: )
            S: d OK …
            C: e STORE 1 +FLAGS (\Flagged)
            S: e NO [READ-ONLY] …
            C: f EXPUNGE
            S: f NO [READ-ONLY] …
            C: g CREATE "Other Users/jones@example.test/mine"
            S: g NO [NOPERM] …
            C: h DELETE "Other Users/jones@example.test/INBOX"
            S: h NO [NOPERM] …
            C: i RENAME "Other Users/jones@example.test/INBOX" "Other Users/jones@example.test/x"
            S: i NO [NOPERM] …
            C: j COPY 1 "Other Users/jones@example.test/INBOX"
            S: j NO [NOPERM] …
            C: k MOVE 1 INBOX
            S: k NO [READ-ONLY] …
            C: k2 SUBSCRIBE "Other Users/jones@example.test/INBOX"
            S: k2 OK …
            C: k3 SUBSCRIBE "Other Users/jones@example.test/Drafts"
            S: k3 NO [NONEXISTENT] …
            C: l APPEND "Other Users/jones@example.test/INBOX" {4+}
            C: abcd
            S: l NO [NOPERM] …"#,
        )
        .await;
        let mut brown = login(&host, "brown").await;
        talk(&mut brown, hidden).await;
        // Taken back, while it is selected.
        allow(&host, None);
        talk(&mut smith, "C: m NOOP\nS: * BYE …").await;
    });
}

#[test]
fn a_shared_folder_can_be_subscribed_to() {
    let host = host();
    allow(&host, Some(Rights::REVIEWER));
    host.run(async {
        let mut smith = login(&host, "smith").await;
        talk(
            &mut smith,
            r#"C: a SUBSCRIBE "Other Users/jones@example.test/INBOX"
            S: a OK …
            C: a2 SUBSCRIBE "Other Users/jones@example.test/INBOX"
            S: a2 OK …
            C: b LIST (SUBSCRIBED) "" "Oth*"
            S: * LIST (\HasNoChildren \Subscribed) "/" "Other Users/jones@example.test/INBOX"
            S: b OK …
            C: c LIST "" "Other Users/*" RETURN (SUBSCRIBED)
            S: * LIST (\Noselect \HasChildren) "/" "Other Users/jones@example.test"
            S: * LIST (\HasNoChildren \Subscribed) "/" "Other Users/jones@example.test/INBOX"
            S: c OK …
            C: d LSUB "" "Oth*"
            S: * LSUB () "/" "Other Users/jones@example.test/INBOX"
            S: d OK …
            C: e LSUB "" "Oth%"
            S: * LSUB (\Noselect) "/" "Other Users"
            S: e OK …
            C: f LIST (SUBSCRIBED RECURSIVEMATCH) "" "Oth%"
            S: * LIST (\NonExistent) "/" "Other Users" ("CHILDINFO" ("SUBSCRIBED"))
            S: f OK …"#,
        )
        .await;
        // The owner's own subscriptions are not touched.
        let mut jones = login(&host, "jones").await;
        talk(
            &mut jones,
            "C: a UNSUBSCRIBE INBOX\nS: a OK …\nC: b LIST (SUBSCRIBED) \"\" INBOX\nS: b OK …",
        )
        .await;
        // What is no longer shared stays subscribed until the client says otherwise.
        allow(&host, None);
        talk(
            &mut smith,
            r#"C: g LIST (SUBSCRIBED) "" "Oth*"
            S: * LIST (\NonExistent \Subscribed) "/" "Other Users/jones@example.test/INBOX"
            S: g OK …
            C: h UNSUBSCRIBE "Other Users/jones@example.test/INBOX"
            S: h OK …
            C: i LSUB "" "Oth*"
            S: i OK …"#,
        )
        .await;
    });
}

#[test]
fn messages_go_between_mailboxes() {
    let host = host();
    allow(&host, Some(Rights::EDITOR));
    host.run(async {
        let mut jones = login(&host, "jones").await;
        talk(
            &mut jones,
            "C: s SELECT INBOX\nS: …\nS: s OK …\nC: i IDLE\nS: + …",
        )
        .await;
        let mut smith = login(&host, "smith").await;
        let date = "(\\Flagged word) \"17-Jul-1996 02:44:25 -0700\" ";
        for subject in ["one", "two"] {
            append(&mut smith, "INBOX", date, &message(subject, "a@b", "text")).await;
        }
        let durable = host.durable_calls();
        talk(
            &mut smith,
            r#"C: s SELECT INBOX
            S: …
            S: s OK [READ-WRITE] …
            C: a COPY 1:2 "Other Users/jones@example.test/INBOX"
            S: a OK [COPYUID ¤ 1:2 1:2] …
            C: b MOVE 2 "Other Users/jones@example.test/INBOX"
            S: * OK [COPYUID ¤ 2 3] …
            S: * 2 EXPUNGE
            S: b OK …
            C: c SELECT "Other Users/jones@example.test/INBOX"
            S: …
            S: * 3 EXISTS
            S: …
            S: c OK [READ-WRITE] …
            C: d FETCH 3 (FLAGS INTERNALDATE BODY.PEEK[HEADER.FIELDS (SUBJECT)])
            S: * 3 FETCH (FLAGS (\Flagged word) INTERNALDATE "17-Jul-1996 …
            S: Subject: two
            S: 
            S: )
            S: d OK …
            C: e STORE 3 +FLAGS.SILENT (\Deleted)
            S: e OK …
            C: f MOVE 1 INBOX
            S: * OK [COPYUID ¤ 1 3] …
            S: * 1 EXPUNGE
            S: f OK …
            C: g EXPUNGE
            S: * 2 EXPUNGE
            S: g OK …
            C: h APPEND "Other Users/jones@example.test/INBOX" {4+}
            C: abcd
            S: * 2 EXISTS
            S: …
            S: h OK [APPENDUID ¤ 4] …"#,
        )
        .await;
        assert!(host.durable_calls() > durable + 5);
        talk(&mut jones, "S: * 2 EXISTS\nS: …\nC: DONE\nS: …\nS: i OK …").await;
        // The visitor hears of what the owner does.
        talk(&mut smith, "C: j IDLE\nS: + …").await;
        append(&mut jones, "INBOX", "", &message("three", "a@b", "text")).await;
        talk(&mut smith, "S: * 3 EXISTS\nS: …\nC: DONE\nS: …\nS: j OK …").await;
    });
}

#[test]
fn public_folders_keep_what_each_has_read() {
    let host = host();
    let everybody = Member::Default;
    host.with_mailbox(&public(&host), |store| {
        let folder = store.create_folder(built_in_public::IPM_SUBTREE, "News", Some("IPF.Note"))?;
        store.set_permission(folder, &everybody, Some(Rights::AUTHOR))
    })
    .unwrap();
    host.run(async {
        let mut smith = login(&host, "smith").await;
        let news = "\"Public Folders/example.test/News\"";
        for subject in ["one", "two"] {
            append(&mut smith, news, "", &message(subject, "a@b", "text")).await;
        }
        let script = r#"C: a LIST "Public Folders/" *
            S: * LIST (\Noselect \HasChildren) "/" "Public Folders/example.test"
            S: * LIST (\HasNoChildren) "/" "Public Folders/example.test/News"
            S: a OK …
            C: b SELECT "Public Folders/example.test/News"
            S: …
            S: * OK [PERMANENTFLAGS (\Seen)] …
            S: …
            S: b OK [READ-WRITE] …
            C: c SEARCH UNSEEN
            S: * SEARCH 1 2
            S: c OK …
            C: d STORE 1 +FLAGS (\Seen)
            S: * 1 FETCH (FLAGS (\Seen …
            S: d OK …
            C: e SEARCH SEEN
            S: * SEARCH 1
            S: e OK …
            C: f FETCH 2 BODY[TEXT]
            S: * 2 FETCH (BODY[TEXT] …
            S: text
            S:  FLAGS (\Seen …
            S: f OK …
            C: g STORE 1 -FLAGS.SILENT (\Seen)
            S: g OK …
            C: h STATUS "Public Folders/example.test/News" (MESSAGES UNSEEN)
            S: * STATUS "Public Folders/example.test/News" (MESSAGES 2 UNSEEN 1)
            S: h OK …
            C: i STORE 1 +FLAGS (\Flagged)
            S: i NO [NOPERM] …
            C: j STORE 1 +FLAGS (\Deleted)
            S: j NO [NOPERM] …
            C: k UID EXPUNGE 1
            S: k NO [NOPERM] …"#;
        for user in ["smith", "jones"] {
            let mut client = login(&host, user).await;
            talk(&mut client, script).await;
        }
    });
}
