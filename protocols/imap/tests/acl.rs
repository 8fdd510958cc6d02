//! ACL, LIST-MYRIGHTS: the example dialogues of RFC 4314 and RFC 8440, adapted, and what rights allow in another's
//! folders.

mod support;

use ringpost_testhost::{Client, TestDirectory, TestHost};
use support::{append, connect, message, talk};

fn host() -> TestHost {
    TestHost::new(
        TestDirectory::new()
            .user("fred@example.test", "secret")
            .user("chris@example.test", "secret")
            .user("byron@example.test", "secret")
            .user("david@other.test", "secret")
            .list("team@example.test", &["byron@example.test"])
            .public_store("example.test"),
    )
}

async fn login(host: &TestHost, user: &str) -> Client {
    let mut client = connect(host);
    let script = format!("S: * OK …\nC: l LOGIN {user} secret\nS: l OK …");
    talk(&mut client, &script).await;
    client
}

#[test]
fn rfc_4314_examples() {
    let host = host();
    host.run(async {
        let mut fred = login(&host, "fred@example.test").await;
        talk(
            &mut fred,
            r#"C: c CREATE INBOX/Drafts
            S: c OK …
            C: a SETACL INBOX/Drafts Chris lrswi
            S: a OK …
            C: A001 GETACL INBOX/Drafts
            S: * ACL INBOX/Drafts fred@example.test lrswipkxteacd chris@example.test lrswip
            S: A001 OK …
            C: A002 SETACL INBOX/Drafts Chris +cda
            S: A002 OK SETACL completed
            C: A003 GETACL INBOX/Drafts
            S: * ACL INBOX/Drafts fred@example.test lrswipkxteacd chris@example.test lrswipkxteacd
            S: A003 OK …
            C: A035 SETACL INBOX/Drafts John lrQswicda
            S: A035 BAD …
            C: A036 SETACL INBOX/Drafts John lrqswicda
            S: A036 BAD …
            C: A037 SETACL INBOX/Drafts John lr
            S: A037 NO [CANNOT] no such account
            C: A003 Setacl INBOX/Drafts Byron lrswikda
            S: A003 OK …
            C: A002 getAcl INBOX/Drafts
            S: * ACL INBOX/Drafts fred@example.test lrswipkxteacd chris@example.test lrswipkxteacd byron@example.test lrswipkxteacd
            S: A002 OK …
            C: B002 DeleteAcl INBOX/Drafts Chris
            S: B002 OK …
            C: B003 SETACL INBOX/Drafts Byron lr
            S: B003 OK …
            C: B004 SETACL INBOX/Drafts anyone l
            S: B004 OK …
            C: B005 SETACL INBOX/Drafts team ""
            S: B005 OK …
            C: B006 GETACL INBOX/Drafts
            S: * ACL INBOX/Drafts fred@example.test lrswipkxteacd anyone l byron@example.test lr team@example.test ""
            S: B006 OK …
            C: a001 LISTRIGHTS INBOX/Drafts Byron
            S: * LISTRIGHTS INBOX/Drafts Byron "" l r sw ip k c ted xa
            S: a001 OK …
            C: a005 listrights INBOX/Drafts fred
            S: * LISTRIGHTS INBOX/Drafts fred lrswipkxteacd
            S: a005 OK …
            C: A003 MYRIGHTS INBOX
            S: * MYRIGHTS INBOX lrswipkxteacd
            S: A003 OK …
            C: d SETACL INBOX/Drafts fred lr
            S: d NO [CANNOT] …
            C: e DELETEACL INBOX/Drafts fred
            S: e NO [CANNOT] …
            C: f SETACL INBOX/Drafts -Chris w
            S: f NO [CANNOT] …
            C: g GETACL missing
            S: g NO [NONEXISTENT] …
            C: h DELETEACL INBOX/Drafts gone@example.test
            S: h OK …"#,
        )
        .await;
    });
}

#[test]
fn what_is_tied_together_is_never_granted_by_half() {
    let host = host();
    host.run(async {
        let mut fred = login(&host, "fred@example.test").await;
        talk(
            &mut fred,
            r"C: a SETACL INBOX chris lrsx
            S: a OK SETACL completed, without sx: …
            C: b SETACL INBOX chris -r
            S: b OK SETACL completed
            C: c SETACL INBOX david@other.test +rip
            S: c OK SETACL completed
            C: d GETACL INBOX
            S: * ACL INBOX fred@example.test lrswipkxteacd chris@example.test l david@other.test rip
            S: d OK …",
        )
        .await;
    });
}

#[test]
fn another_user_sees_what_he_may() {
    let host = host();
    host.run(async {
        let mut fred = login(&host, "fred@example.test").await;
        append(&mut fred, "INBOX", "", &message("one", "a@b", "text")).await;
        talk(
            &mut fred,
            "C: a SETACL INBOX chris lr\nS: a OK …\nC: b CREATE INBOX/below\nS: b OK …\nC: c SETACL INBOX byron i\nS: c OK …",
        )
        .await;
        let mut chris = login(&host, "chris@example.test").await;
        talk(
            &mut chris,
            r#"C: a MYRIGHTS "Other Users/fred@example.test/INBOX"
            S: * MYRIGHTS "Other Users/fred@example.test/INBOX" lr
            S: a OK …
            C: b LIST "" "Other Users/*" RETURN (MYRIGHTS)
            S: * LIST (\Noselect \HasChildren) "/" "Other Users/fred@example.test"
            S: * LIST (\HasChildren) "/" "Other Users/fred@example.test/INBOX"
            S: * MYRIGHTS "Other Users/fred@example.test/INBOX" lr
            S: * LIST (\HasNoChildren) "/" "Other Users/fred@example.test/INBOX/below"
            S: * MYRIGHTS "Other Users/fred@example.test/INBOX/below" lr
            S: b OK …
            C: c GETACL "Other Users/fred@example.test/INBOX"
            S: c NO [NOPERM] …
            C: d SETACL "Other Users/fred@example.test/INBOX" chris lrswipkxtea
            S: d NO [NOPERM] …
            C: e LISTRIGHTS "Other Users/fred@example.test/INBOX" chris
            S: e NO [NOPERM] …
            C: f MYRIGHTS "Other Users/fred@example.test/Drafts"
            S: f NO [NONEXISTENT] …
            C: g SELECT "Other Users/fred@example.test/INBOX"
            S: …
            S: g OK [READ-ONLY] SELECT completed"#,
        )
        .await;
        // Who may only deliver doesn't see the folder, and can put messages there all the same: without the flags that
        // he may not set.
        let mut byron = login(&host, "byron@example.test").await;
        talk(
            &mut byron,
            r#"C: a LIST "" "Other Users/*"
            S: a OK …
            C: b MYRIGHTS "Other Users/fred@example.test/INBOX"
            S: * MYRIGHTS "Other Users/fred@example.test/INBOX" ip
            S: b OK …
            C: c SELECT "Other Users/fred@example.test/INBOX"
            S: c NO [NONEXISTENT] …
            C: d APPEND "Other Users/fred@example.test/INBOX" (\Seen \Deleted word) {4+}
            C: abcd
            S: d OK [APPENDUID ¤ 2] …"#,
        )
        .await;
        append(&mut byron, "INBOX", "(\\Seen \\Deleted word) ", "Subject: two\n\n").await;
        talk(
            &mut byron,
            r#"C: s SELECT INBOX
            S: …
            S: s OK …
            C: a COPY 1 "Other Users/fred@example.test/INBOX"
            S: a OK [COPYUID ¤ 1 3] …"#,
        )
        .await;
        talk(
            &mut fred,
            r"C: s EXAMINE INBOX
            S: …
            S: s OK …
            C: a FETCH 2:3 FLAGS
            S: * 2 FETCH (FLAGS (\Recent))
            S: * 3 FETCH (FLAGS (\Recent))
            S: a OK …
            C: b SETACL INBOX chris lrte
            S: b OK …",
        )
        .await;
        talk(
            &mut chris,
            r"C: h NOOP
            S: …
            S: h OK …
            C: i SELECT Other\ Users
            S: i BAD …",
        )
        .await;
    });
}

#[test]
fn rfc_8440_example() {
    let host = host();
    host.run(async {
        let mut fred = login(&host, "fred@example.test").await;
        let mut chris = login(&host, "chris@example.test").await;
        talk(
            &mut chris,
            r"C: a CREATE foo
            S: a OK …
            C: b SETACL foo fred lrswi
            S: b OK …",
        )
        .await;
        talk(
            &mut fred,
            r#"C: A01 LIST "" (INBOX "Other Users/chris@example.test/%") RETURN (MYRIGHTS STATUS (MESSAGES))
            S: * LIST (\HasNoChildren) "/" INBOX
            S: * MYRIGHTS INBOX lrswipkxteacd
            S: * STATUS INBOX (MESSAGES 0)
            S: * LIST (\HasNoChildren) "/" "Other Users/chris@example.test/foo"
            S: * MYRIGHTS "Other Users/chris@example.test/foo" lrswip
            S: * STATUS "Other Users/chris@example.test/foo" (MESSAGES 0)
            S: A01 OK …
            C: A02 LIST (SUBSCRIBED) "" "nothing" RETURN (MYRIGHTS)
            S: A02 OK …"#,
        )
        .await;
    });
}

#[test]
fn in_public_folders_everybody_keeps_his_own_seen() {
    use ringpost_host::Host;
    use ringpost_mapi::rights::Rights;
    use ringpost_store::{Member, folder::built_in_public};
    let host = host();
    let found = host
        .directory()
        .domain("example.test")
        .unwrap()
        .public_store
        .clone()
        .unwrap();
    let public = ringpost_host::MailboxRef {
        guid: found.guid,
        path: found.path,
    };
    host.with_mailbox(&public, |store| {
        let folder = store.create_folder(built_in_public::IPM_SUBTREE, "News", Some("IPF.Note"))?;
        let fred = Member::Account("fred@example.test".to_owned());
        store.set_permission(folder, &fred, Some(Rights::OWNER))
    })
    .unwrap();
    host.run(async {
        let mut fred = login(&host, "fred@example.test").await;
        talk(
            &mut fred,
            r#"C: a SETACL "Public Folders/example.test/News" anyone lrs
            S: a OK SETACL completed
            C: b GETACL "Public Folders/example.test/News"
            S: * ACL "Public Folders/example.test/News" anyone lrs fred@example.test lrswipkxteacd
            S: b OK …
            C: c LISTRIGHTS "Public Folders/example.test/News" chris
            S: * LISTRIGHTS "Public Folders/example.test/News" chris "" l rs w ip k c ted xa
            S: c OK …
            C: d APPEND "Public Folders/example.test/News" (\Seen) {4+}
            C: abcd
            S: d OK …
            C: e STATUS "Public Folders/example.test/News" (UNSEEN)
            S: * STATUS "Public Folders/example.test/News" (UNSEEN 0)
            S: e OK …"#,
        )
        .await;
        let mut chris = login(&host, "chris@example.test").await;
        talk(
            &mut chris,
            r#"C: e STATUS "Public Folders/example.test/News" (UNSEEN)
            S: * STATUS "Public Folders/example.test/News" (UNSEEN 1)
            S: e OK …"#,
        )
        .await;
    });
}
