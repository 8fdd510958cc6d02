//! QUOTA, APPENDLIMIT, CREATE-SPECIAL-USE, METADATA, PREVIEW: their RFCs' example dialogues, adapted.

mod support;

use ringpost_imap::Settings;
use ringpost_testhost::{TestDirectory, TestHost};
use support::*;

#[test]
fn rfc_9208_quota() {
    let host = TestHost::new(
        TestDirectory::new()
            .user("smith@example.test", "secret")
            .user("jones@example.test", "secret")
            .receive_quota("smith@example.test", 512),
    );
    host.run(async {
        let mut client = login(&host).await;
        append(
            &mut client,
            "INBOX",
            "",
            &message("one", "a@b", &"x".repeat(9000)),
        )
        .await;
        talk(
            &mut client,
            r#"C: G0001 GETQUOTA "smith@example.test"
            S: * QUOTA "smith@example.test" (STORAGE 9 512)
            S: G0001 OK …
            C: G0002 GETQUOTAROOT INBOX
            S: * QUOTAROOT INBOX "smith@example.test"
            S: * QUOTA "smith@example.test" (STORAGE 9 512)
            S: G0002 OK …
            C: G0003 GETQUOTA ""
            S: * QUOTA "smith@example.test" (STORAGE 9 512)
            S: G0003 OK …
            C: S0000 SETQUOTA "smith@example.test" (STORAGE 1000)
            S: S0000 NO [NOPERM] …
            C: S0003 STATUS INBOX (MESSAGES DELETED DELETED-STORAGE)
            S: * STATUS INBOX (MESSAGES 1 DELETED 0 DELETED-STORAGE 0)
            S: S0003 OK …
            C: a GETQUOTA nobody@example.test
            S: a NO [NONEXISTENT] …
            C: b GETQUOTA jones@example.test
            S: b NO [NONEXISTENT] …
            C: c GETQUOTAROOT "Other Users/jones@example.test/INBOX"
            S: c NO [NONEXISTENT] …
            C: d GETQUOTAROOT missing
            S: d NO [NONEXISTENT] …
            C: e SELECT INBOX
            S: …
            S: e OK …
            C: f STORE 1 +FLAGS.SILENT (\Deleted)
            S: f OK …
            C: g STATUS INBOX (DELETED-STORAGE DELETED)
            S: * STATUS INBOX (DELETED-STORAGE 9¤ DELETED 1)
            S: g OK …"#,
        )
        .await;
        client.send(format!(
            "A003 APPEND INBOX {{{}+}}\r\n{}\r\n",
            600_000,
            "x".repeat(600_000)
        ));
        talk(&mut client, "S: A003 NO [OVERQUOTA] …").await;
        // Without a limit there is a root all the same.
        let mut jones = connect(&host);
        talk(
            &mut jones,
            r#"S: * OK …
            C: l LOGIN jones@example.test secret
            S: l OK …
            C: a GETQUOTAROOT INBOX
            S: * QUOTAROOT INBOX "jones@example.test"
            S: * QUOTA "jones@example.test" ()
            S: a OK …
            C: b SETACL INBOX smith lr
            S: b OK …"#,
        )
        .await;
        talk(
            &mut client,
            r#"C: h GETQUOTAROOT "Other Users/jones@example.test/INBOX"
            S: * QUOTAROOT "Other Users/jones@example.test/INBOX" "jones@example.test"
            S: * QUOTA "jones@example.test" ()
            S: h OK …
            C: i GETQUOTA jones@example.test
            S: * QUOTA "jones@example.test" ()
            S: i OK …"#,
        )
        .await;
    });
}

#[test]
fn rfc_7889_append_limit() {
    let host = host();
    let settings = Settings {
        message_size_limit: 257,
        ..Settings::default()
    };
    host.run(async {
        let mut client = connect_with(&host, settings);
        client.send("l LOGIN smith@example.test secret\r\nt1 CAPABILITY\r\n");
        let lines = client.lines_until("t1 ").await;
        assert!(
            lines.iter().any(|line| line.ends_with(" APPENDLIMIT=257")),
            "{lines:?}"
        );
        let big = "x".repeat(258);
        talk(
            &mut client,
            &format!(
                r#"C: t2 STATUS INBOX (APPENDLIMIT)
                S: * STATUS INBOX (APPENDLIMIT 257)
                S: t2 OK …
                C: t3 LIST "" INBOX RETURN (STATUS (APPENDLIMIT))
                S: * LIST (\HasNoChildren) "/" INBOX
                S: * STATUS INBOX (APPENDLIMIT 257)
                S: t3 OK …
                C: t4 APPEND INBOX {{258+}}
                C: {big}
                S: t4 NO [TOOBIG] …
                C: t5 APPEND INBOX CATENATE (TEXT {{200+}}
                C: {} TEXT {{58+}}
                C: {})
                S: t5 NO [TOOBIG] …"#,
                "x".repeat(200),
                "x".repeat(58),
            ),
        )
        .await;
    });
}

#[test]
fn rfc_6154_create_special_use() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            r#"C: t1 CREATE MySpecial (USE (\Drafts \Sent))
            S: t1 OK [MAILBOXID …
            C: t2 CREATE Everything (USE (\All))
            S: t2 NO [USEATTR] …
            C: t3 LIST "" Everything
            S: t3 OK …
            C: t4 CREATE Archive (USE (\Archive))
            S: t4 OK …
            C: t5 LIST (SPECIAL-USE) "" "*" RETURN (SPECIAL-USE)
            S: * LIST (\HasNoChildren \Archive) "/" Archive
            S: …
            S: * LIST (\HasNoChildren \Drafts \Sent) "/" MySpecial
            S: …
            S: t5 OK …
            C: t6 RENAME Archive Old
            S: t6 OK …
            C: t7 LIST "" Old
            S: * LIST (\HasNoChildren \Archive) "/" Old
            S: t7 OK …
            C: t8 DELETE Old
            S: t8 OK …
            C: t9 CREATE Old
            S: t9 OK …
            C: t10 LIST "" Old
            S: * LIST (\HasNoChildren) "/" Old
            S: t10 OK …
            C: u1 GETMETADATA MySpecial /private/specialuse
            S: * METADATA MySpecial (/private/specialuse "\\Drafts \\Sent")
            S: u1 OK …
            C: u2 SETMETADATA MySpecial (/private/specialuse "\\Junk")
            S: u2 OK …
            C: u3 LIST "" MySpecial
            S: * LIST (\HasNoChildren \Junk) "/" MySpecial
            S: u3 OK …
            C: u4 SETMETADATA MySpecial (/private/specialuse NIL)
            S: u4 OK …
            C: u5 LIST "" MySpecial
            S: * LIST (\HasNoChildren) "/" MySpecial
            S: u5 OK …
            C: u6 SETMETADATA MySpecial (/private/specialuse "\\Flagged")
            S: u6 NO [USEATTR] …
            C: u7 SETMETADATA Drafts (/private/specialuse NIL)
            S: u7 NO [CANNOT] …
            C: u8 CREATE "Other Users/jones@example.test/x" (USE (\Sent))
            S: u8 NO [USEATTR] …"#,
        )
        .await;
    });
}

#[test]
fn rfc_5464_metadata() {
    let host = host();
    let comment = "My own comment";
    host.run(async {
        let mut client = login(&host).await;
        talk(
            &mut client,
            &format!(
                r#"C: a SETMETADATA INBOX (/private/comment {{33+}}
                C: My new comment across
                C: two lines.
                S: a BAD …
                C: a SETMETADATA INBOX (/private/comment {{33}}
                S: + OK
                C: My new comment across
                C: two lines.)
                S: a OK SETMETADATA completed
                C: a GETMETADATA "INBOX" /private/comment
                S: * METADATA INBOX (/private/comment {{33}}
                S: My new comment across
                S: two lines.)
                S: a OK GETMETADATA completed
                C: a SETMETADATA INBOX (/private/comment "{comment}" /shared/comment "This one is for you!")
                S: a OK …
                C: a GETMETADATA "INBOX" (/shared/comment /private/comment)
                S: * METADATA INBOX (/shared/comment "This one is for you!" /private/comment "{comment}")
                S: a OK …
                C: a GETMETADATA (MAXSIZE 14) "INBOX" (/shared/comment /private/comment)
                S: * METADATA INBOX (/private/comment "{comment}")
                S: a OK [METADATA LONGENTRIES 20] …
                C: a SETMETADATA INBOX (/private/filters/values/small "SMALLER 5000" /private/filters/values/boss "FROM \"boss@example.com\"" /private/filters/values/boss/x "y")
                S: a OK …
                C: a GETMETADATA (DEPTH 1) "INBOX" (/private/filters/values)
                S: * METADATA INBOX (/private/filters/values/boss "FROM \"boss@example.com\"" /private/filters/values/small "SMALLER 5000")
                S: a OK …
                C: a GETMETADATA (DEPTH infinity) "INBOX" /private/Filters
                S: * METADATA INBOX (/private/filters/values/boss "FROM \"boss@example.com\"" /private/filters/values/boss/x "y" /private/filters/values/small "SMALLER 5000")
                S: a OK …
                C: a SETMETADATA INBOX (/private/comment NIL)
                S: a OK …
                C: a GETMETADATA INBOX /private/comment
                S: * METADATA INBOX (/private/comment NIL)
                S: a OK …
                C: a SETMETADATA "" (/private/vendor/x "of the server")
                S: a OK …
                C: a GETMETADATA "" (/private/vendor/x /shared/comment)
                S: * METADATA "" (/private/vendor/x "of the server" /shared/comment NIL)
                S: a OK …
                C: a SETMETADATA "" (/shared/comment "Shared comment")
                S: a NO [NOPERM] …
                C: a GETMETADATA missing /shared/comment
                S: a NO [NONEXISTENT] …
                C: a SETMETADATA INBOX (/shared/n ~{{3+}}
                C: a{}b)
                S: a OK …
                C: a GETMETADATA INBOX /shared/n
                S: * METADATA INBOX (/shared/n ~{{3}}
                S: a{}b)
                S: a OK …"#,
                '\0', '\0',
            ),
        )
        .await;
    });
}

#[test]
fn annotations_of_others_and_limits() {
    let host = host();
    host.run(async {
        let mut smith = login(&host).await;
        talk(
            &mut smith,
            r#"C: a SETMETADATA INBOX (/private/comment "smith's" /shared/comment "for all")
            S: a OK …
            C: b SETACL INBOX jones lr
            S: b OK …"#,
        )
        .await;
        let mut jones = connect(&host);
        talk(
            &mut jones,
            r#"S: * OK …
            C: l LOGIN jones@example.test secret
            S: l OK …
            C: a GETMETADATA "Other Users/smith@example.test/INBOX" (/private/comment /shared/comment)
            S: * METADATA "Other Users/smith@example.test/INBOX" (/private/comment NIL /shared/comment "for all")
            S: a OK …
            C: b SETMETADATA "Other Users/smith@example.test/INBOX" (/private/comment "jones's")
            S: b OK …
            C: c SETMETADATA "Other Users/smith@example.test/INBOX" (/shared/comment "no")
            S: c NO [NOPERM] …
            C: d GETMETADATA "Other Users/smith@example.test/Drafts" /shared/comment
            S: d NO [NONEXISTENT] …
            C: e GETMETADATA "Other Users/smith@example.test/INBOX" /private/comment
            S: * METADATA "Other Users/smith@example.test/INBOX" (/private/comment "jones's")
            S: e OK …"#,
        )
        .await;
        talk(
            &mut smith,
            r#"C: c GETMETADATA INBOX /private/comment
            S: * METADATA INBOX (/private/comment "smith's")
            S: c OK …"#,
        )
        .await;
        let big = "x".repeat(64 * 1024);
        smith.send(format!("d SETMETADATA INBOX (/private/big {{65537+}}\r\n{big}y)\r\n"));
        talk(&mut smith, "S: d NO [METADATA MAXSIZE 65536] …").await;
        for number in 0..15 {
            smith.send(format!("d SETMETADATA INBOX (/private/big{number} {{65536+}}\r\n{big})\r\n"));
            talk(&mut smith, "S: d OK …").await;
        }
        smith.send(format!("d SETMETADATA INBOX (/private/big15 {{65536+}}\r\n{big})\r\n"));
        talk(&mut smith, "S: d NO [METADATA TOOMANY] …").await;
    });
}

#[test]
fn rfc_8970_preview() {
    let host = host();
    host.run(async {
        let mut client = login(&host).await;
        let plain = message(
            "one",
            "a@b",
            "Subject lines are nice,\r\n\r\nbut   so are\tpreviews.\r\n> quoted",
        );
        append(&mut client, "INBOX", "", &plain.replace("\r\n", "\n")).await;
        let html = "Subject: two\nMIME-Version: 1.0\nContent-Type: text/html; charset=iso-8859-1\n\
                    Content-Transfer-Encoding: quoted-printable\n\n<p>Gr=FC=DFe &amp; <b>K=FCsse</b></p>\n";
        append(&mut client, "INBOX", "", html).await;
        append(
            &mut client,
            "INBOX",
            "",
            "Subject: three\nContent-Type: image/png\n\nxxx\n",
        )
        .await;
        talk(
            &mut client,
            r#"C: s SELECT INBOX
            S: …
            S: s OK …
            C: A1 FETCH 1 (PREVIEW)
            S: * 1 FETCH (PREVIEW "Subject lines are nice, but so are previews.")
            S: A1 OK …
            C: B1 FETCH 2:3 (UID PREVIEW (LAZY))
            S: * 2 FETCH (UID 2 PREVIEW {16}
            S: Grüße & Küsse)
            S: * 3 FETCH (UID 3 PREVIEW "")
            S: B1 OK …
            C: C1 UID FETCH 1 PREVIEW (LAZY)
            S: * 1 FETCH (UID 1 PREVIEW "Subject lines are nice, but so are previews.")
            S: C1 OK …
            C: D1 FETCH 1 FLAGS
            S: * 1 FETCH (FLAGS (\Recent))
            S: D1 OK …"#,
        )
        .await;
    });
}
