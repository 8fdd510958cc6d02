//! Conversions of whole messages.

use ringpost_mapi::{FileTime, entryid::OneOffEntryId, named::sets};

use super::*;
use crate::message::AttachmentData;

fn convert(source: &str) -> MessageContent {
    from_mime(source.as_bytes(), &Structure::of(source.as_bytes()))
}

const REPLY: &str = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.test>\r\nSender: Office <o@example.test>\r\n\
    To: Bob <bob@example.test>, g: carol@example.test;\r\nCc: d@example.test\r\nReply-To: r@example.test\r\n\
    Subject: Re: Plans\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\n\
    Importance: high\r\nSensitivity: Private\r\nKeywords: red, blue\r\nX-Mailer: test\r\n\
    Disposition-Notification-To: j@example.test\r\nX-Auto-Response-Suppress: OOF, DR\r\n\
    Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/related; boundary=r\r\n\r\n\
    --r\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\nplain\r\n--a\r\n\
    Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b>=FC</b><img src=3D\"cid:i%40x\">\r\n--a--\r\n\
    --r\r\nContent-Type: image/png\r\nContent-ID: <i@x>\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--r--\r\n\
    --m\r\nContent-Type: application/pdf; name=\"=?utf-8?q?=C3=BC?=.pdf\"\r\nContent-Disposition: attachment\r\n\r\nPDF\r\n\
    --m\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nhi\r\n--m--\r\n";

#[test]
fn a_message_with_everything() {
    let structure = Structure::of(REPLY.as_bytes());
    let content = convert(REPLY);
    let bag = &content.properties;
    for (tag, text) in [
        (tags::SUBJECT, "Re: Plans"),
        (tags::SUBJECT_PREFIX, "Re: "),
        (tags::NORMALIZED_SUBJECT, "Plans"),
        (tags::CONVERSATION_TOPIC, "Plans"),
        (tags::SENT_REPRESENTING_NAME, "Jürgen"),
        (tags::SENDER_EMAIL_ADDRESS, "o@example.test"),
        (tags::REPLY_RECIPIENT_NAMES, "r@example.test"),
        (tags::DISPLAY_TO, "Bob; carol@example.test"),
        (tags::INTERNET_MESSAGE_ID, "<2@x>"),
        (tags::MESSAGE_CLASS, "IPM.Note"),
    ] {
        assert_eq!(bag.string(tag), Some(text), "{tag:?}");
    }
    for (tag, value) in [
        (tags::IMPORTANCE, PropValue::Integer32(2)),
        (tags::PRIORITY, PropValue::Integer32(1)),
        (tags::SENSITIVITY, PropValue::Integer32(2)),
        (tags::AUTO_RESPONSE_SUPPRESS, PropValue::Integer32(17)),
        (tags::NATIVE_BODY, PropValue::Integer32(3)),
        (tags::INTERNET_CODEPAGE, PropValue::Integer32(65001)),
        (tags::MESSAGE_CODEPAGE, PropValue::Integer32(28591)),
        (tags::READ_RECEIPT_REQUESTED, PropValue::Boolean(true)),
        (tags::HAS_ATTACHMENTS, PropValue::Boolean(true)),
        (
            tags::CLIENT_SUBMIT_TIME,
            PropValue::Time(FileTime::from_unix_seconds(0)),
        ),
        (
            tags::SENDER_SEARCH_KEY,
            PropValue::Binary(b"SMTP:O@EXAMPLE.TEST\0".to_vec()),
        ),
    ] {
        assert_eq!(bag.get(tag), Some(&value), "{tag:?}");
    }
    assert_eq!(content.recipients.len(), 3);
    let Some(PropValue::Binary(entry)) = content.recipients[0].get(tags::ENTRY_ID) else {
        panic!("no entry id")
    };
    assert_eq!(
        OneOffEntryId::decode(entry).unwrap(),
        OneOffEntryId::new("Bob", "SMTP", "bob@example.test")
    );
    assert_eq!(plain_body(REPLY.as_bytes(), &structure).as_deref(), Some("plain"));
    assert_eq!(
        html_body(REPLY.as_bytes(), &structure).as_deref(),
        Some("<b>ü</b><img src=\"cid:i%40x\">")
    );
    assert!(transport_headers(REPLY.as_bytes(), &structure).ends_with("boundary=m\r\n\r\n"));
    let mailer = content.named.iter().find(|(name, _)| {
        *name == ringpost_mapi::named::PropertyName::name(sets::INTERNET_HEADERS, "x-mailer")
    });
    assert_eq!(
        mailer.map(|(_, value)| value),
        Some(&PropValue::String("test".into()))
    );
}

#[test]
fn attachments_refer_to_parts() {
    let structure = Structure::of(REPLY.as_bytes());
    let attachments = convert(REPLY).attachments;
    let [image, pdf, inner] = &attachments[..] else {
        panic!("{} attachments", attachments.len())
    };
    assert_eq!(image.properties.string(tags::ATTACH_CONTENT_ID), Some("i@x"));
    assert_eq!(
        image.properties.get(tags::ATTACHMENT_HIDDEN),
        Some(&PropValue::Boolean(true))
    );
    let Some(&PropValue::Integer32(size)) = image.properties.get(tags::ATTACH_SIZE) else {
        panic!("no size")
    };
    assert!((5 + 50..5 + 300).contains(&size), "{size}");
    assert_eq!(image.data, AttachmentData::Part(vec![0, 1]));
    assert_eq!(
        part_data(REPLY.as_bytes(), &structure, &[0, 1]).as_deref(),
        Some(&b"hello"[..])
    );
    assert_eq!(pdf.properties.string(tags::ATTACH_LONG_FILENAME), Some("ü.pdf"));
    assert_eq!(pdf.properties.string(tags::ATTACH_EXTENSION), Some(".pdf"));
    let AttachmentData::Embedded(message) = &inner.data else {
        panic!("not embedded")
    };
    assert_eq!(message.properties.string(tags::SUBJECT), Some("inner"));
}

/// A message of these parts; each has its fields, an empty line and its content.
fn multipart(fields: &str, parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("--b\r\n{part}\r\n")).collect();
    format!("{fields}; boundary=b\r\n\r\n{}--b--\r\n", parts.concat())
}

fn bodies(source: &str) -> (Option<String>, Option<String>) {
    let structure = Structure::of(source.as_bytes());
    (
        plain_body(source.as_bytes(), &structure),
        html_body(source.as_bytes(), &structure),
    )
}

#[test]
fn signed_mail_stays_whole() {
    for protocol in ["application/pkcs7-signature", "application/pgp-signature"] {
        let content_type = format!("Content-Type: multipart/signed; protocol=\"{protocol}\"");
        let signature = format!("Content-Type: {protocol}\r\n\r\nx");
        let source = multipart(
            &format!("Subject: s\r\n{content_type}"),
            &["\r\ntext", &signature],
        );
        let content = convert(&source);
        assert_eq!(
            content.properties.string(tags::MESSAGE_CLASS),
            Some("IPM.Note.SMIME.MultipartSigned")
        );
        assert_eq!(bodies(&source).0.as_deref(), Some("text"));
        let [attachment] = &content.attachments[..] else {
            panic!("{} attachments", content.attachments.len())
        };
        assert_eq!(attachment.data, AttachmentData::Part(vec![]));
        assert_eq!(
            attachment.properties.string(tags::ATTACH_MIME_TAG),
            Some("multipart/signed")
        );
        let structure = Structure::of(source.as_bytes());
        assert_eq!(
            part_data(source.as_bytes(), &structure, &[]).as_deref(),
            source.strip_prefix("Subject: s\r\n").map(str::as_bytes)
        );
    }
}

#[test]
fn encrypted_mail_is_an_attachment() {
    for kind in [
        "application/pkcs7-mime; smime-type=enveloped-data",
        "application/octet-stream; name=\"SMIME.P7M\"",
    ] {
        let source = format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n");
        let content = convert(&source);
        assert_eq!(
            content.properties.string(tags::MESSAGE_CLASS),
            Some("IPM.Note.SMIME")
        );
        assert_eq!(bodies(&source), (None, None));
        let structure = Structure::of(source.as_bytes());
        assert_eq!(content.attachments.len(), 1);
        assert_eq!(
            part_data(source.as_bytes(), &structure, &[]).as_deref(),
            Some(&b"hello"[..])
        );
    }
}

#[test]
fn bodies_of_several_parts() {
    let mixed = "Content-Type: multipart/mixed";
    let footer = "Content-Disposition: inline\r\n\r\n-- <list>";
    let html = "Content-Type: text/html\r\n\r\n<body>hi</BODY>";
    let named = "Content-Type: text/plain; name=a.txt\r\n\r\nfile";
    let image = "Content-Type: image/png\r\n\r\nx";
    // Text with a footer, behind a file.
    let source = multipart(mixed, &[image, "\r\nhi", footer, named]);
    assert_eq!(bodies(&source), (Some("hi\r\n-- <list>".to_owned()), None));
    assert_eq!(convert(&source).attachments.len(), 2);
    // HTML with a footer.
    let source = multipart(mixed, &[html, footer]);
    let shown = "<body>hi<pre>-- &lt;list&gt;</pre></BODY>";
    assert_eq!(
        bodies(&source),
        (Some("-- <list>".to_owned()), Some(shown.to_owned()))
    );
    // An alternative has one section, of which each format counts once.
    let source = multipart(
        "Content-Type: multipart/alternative",
        &["\r\nhi", html, "\r\nother", html],
    );
    assert_eq!(
        bodies(&source),
        (Some("hi".to_owned()), Some("<body>hi</BODY>".to_owned()))
    );
    assert_eq!(convert(&source).attachments.len(), 2);
    // HTML in pieces, as Apple Mail writes it.
    let inner = multipart("Content-Type: multipart/mixed", &[html, image, html])
        .replace("--b", "--c")
        .replace("=b", "=c");
    let source = multipart("Content-Type: multipart/alternative", &["\r\nhi", &inner]);
    assert_eq!(
        bodies(&source).1.as_deref(),
        Some("<body>hi<body>hi</BODY></BODY>")
    );
    // What isn't attached but attached to.
    let attached = "Content-Disposition: attachment\r\n\r\nfile";
    assert_eq!(bodies(&multipart(mixed, &[attached])), (None, None));
    // A multipart whose boundary never comes.
    assert_eq!(
        bodies("Content-Type: multipart/mixed; boundary=b\n\ntext")
            .0
            .as_deref(),
        Some("text")
    );
}

#[test]
fn images_are_hidden_only_where_they_are_shown() {
    let html = "Content-Type: text/html\r\n\r\n<img src='CID:one@x'>";
    let image = |id: &str| format!("Content-Type: image/png\r\nContent-ID: <{id}>\r\n\r\nx");
    let file = "Content-Type: application/pdf\r\nContent-ID: <one@x>\r\n\r\nx";
    let source = multipart(
        "Content-Type: multipart/related",
        &[html, &image("one@x"), &image("two@x"), file],
    );
    let content = convert(&source);
    let hidden: Vec<bool> = content
        .attachments
        .iter()
        .map(|one| one.properties.get(tags::ATTACHMENT_HIDDEN) == Some(&PropValue::Boolean(true)))
        .collect();
    assert_eq!(hidden, [true, false, false]);
    assert_eq!(
        content.properties.get(tags::HAS_ATTACHMENTS),
        Some(&PropValue::Boolean(true))
    );
}

#[test]
fn file_names() {
    let name = |fields: &str| {
        let content = convert(&multipart(
            "Content-Type: multipart/mixed",
            &["\r\n", &format!("{fields}\r\n\r\nx")],
        ));
        let bag = &content.attachments[0].properties;
        let text = |tag| bag.string(tag).unwrap_or_default().to_owned();
        (text(tags::ATTACH_LONG_FILENAME), text(tags::DISPLAY_NAME))
    };
    for (fields, file, shown) in [
        (
            "Content-Disposition: attachment; filename=report (1).pdf",
            "report (1).pdf",
            "report (1).pdf",
        ),
        (
            "Content-Type: a/b; name=\"C:\\\\dir\\\\a?b.txt\"\r\nContent-Description: A file",
            "ab.txt",
            "A file",
        ),
        (
            "Content-Type: image/png; name=\"\"\r\nContent-Description: Re: x",
            "Re x",
            "Re: x",
        ),
        ("Content-Type: image/png", "attachment.png", "attachment.png"),
        (
            "Content-Disposition: attachment; filename=\"../../etc/passwd\"",
            "passwd",
            "passwd",
        ),
    ] {
        assert_eq!(name(fields), (file.to_owned(), shown.to_owned()), "{fields}");
    }
    let uuencoded = "Content-Transfer-Encoding: x-uuencode\r\nContent-Type: a/b\r\n\r\nbegin 644 my file.txt\r\n#0V%T\r\n`\r\nend";
    let content = convert(&multipart("Content-Type: multipart/mixed", &[uuencoded]));
    assert_eq!(
        content.attachments[0]
            .properties
            .string(tags::ATTACH_LONG_FILENAME),
        Some("my file.txt")
    );
}

#[test]
fn delivery_reports() {
    let report = |groups: &str| {
        multipart(
            "To: me@x\r\nContent-Type: multipart/report; report-type=delivery-status",
            &[
                "\r\nIt failed.",
                &format!(
                    "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n{groups}"
                ),
                "Content-Type: message/rfc822\r\n\r\nSubject: original\r\n\r\nbody",
            ],
        )
    };
    let content = convert(&report(
        "Final-Recipient: rfc822; slow@x.test\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n\
         Original-Recipient: rfc822;bob@x.test\r\nFinal-Recipient: rfc822; b@y.test\r\nAction: Failed\r\nStatus: 5.1.1 (gone)\r\n\
         Remote-MTA: dns; mail.y.test\r\nDiagnostic-Code: smtp; 550\r\n User unknown\r\n",
    ));
    let bag = &content.properties;
    assert_eq!(bag.string(tags::MESSAGE_CLASS), Some("REPORT.IPM.Note.NDR"));
    assert_eq!(
        bag.string(tags::REPORTING_MESSAGE_TRANSFER_AGENT),
        Some("mx.test")
    );
    assert_eq!(bag.string(tags::DISPLAY_TO), Some("bob@x.test"));
    let [row] = &content.recipients[..] else {
        panic!("{} recipients", content.recipients.len())
    };
    assert_eq!(row.string(tags::SMTP_ADDRESS), Some("bob@x.test"));
    assert_eq!(
        row.string(tags::REMOTE_MESSAGE_TRANSFER_AGENT),
        Some("mail.y.test")
    );
    assert_eq!(
        row.string(tags::SUPPLEMENTARY_INFO),
        Some("<mail.y.test #5.1.1 (gone) smtp; 550 User unknown>")
    );
    assert_eq!(
        row.get(tags::NON_DELIVERY_REPORT_STATUS_CODE),
        Some(&PropValue::Integer32(511))
    );
    assert_eq!(content.attachments.len(), 2);
    for (action, class) in [
        ("delivered", "REPORT.IPM.Note.DR"),
        ("expanded", "REPORT.IPM.Note.Expanded.DR"),
        ("relayed", "REPORT.IPM.Note.Relayed.DR"),
        ("delayed", "REPORT.IPM.Note.Delayed.DR"),
        ("eaten", "IPM.Note"),
    ] {
        let content = convert(&report(&format!(
            "Final-Recipient: rfc822; a@b\r\nAction: {action}\r\n"
        )));
        assert_eq!(
            content.properties.string(tags::MESSAGE_CLASS),
            Some(class),
            "{action}"
        );
    }
    let many = "Final-Recipient: rfc822; a@b\nAction: failed\n\n".repeat(MAX_REPORT_GROUPS + 9);
    assert!(convert(&report(&many)).recipients.len() <= MAX_REPORT_GROUPS);
}

#[test]
fn read_reports() {
    for (kind, class) in [
        ("displayed", "REPORT.IPM.Note.IPNRN"),
        ("deleted/error", "REPORT.IPM.Note.IPNNRN"),
        ("eaten", "IPM.Note"),
    ] {
        let content = convert(&multipart(
            "Content-Type: multipart/report; report-type=disposition-notification",
            &[
                "\r\nRead.",
                &format!(
                    "Content-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822;a@b\r\n\
                     Original-Message-ID: <1@x>\r\nX-MSExch-Correlation-Key: aGVsbG8=\r\n\
                     Disposition: manual-action/MDN-sent-manually; {kind}\r\n"
                ),
            ],
        ));
        let bag = &content.properties;
        assert_eq!(bag.string(tags::MESSAGE_CLASS), Some(class), "{kind}");
        if class != "IPM.Note" {
            assert_eq!(bag.string(tags::ORIGINAL_MESSAGE_ID), Some("<1@x>"));
            assert_eq!(
                bag.get(tags::PARENT_KEY),
                Some(&PropValue::Binary(b"hello".to_vec()))
            );
        }
    }
}

#[test]
fn importance_and_priority() {
    for (fields, importance, priority) in [
        ("", 1, 0),
        ("X-Priority: 1 (Highest)", 2, 1),
        ("X-Priority: 5", 0, -1),
        ("X-Priority: 1\r\nImportance: low", 0, -1),
        ("Priority: urgent", 2, 1),
        ("Priority: non-urgent\r\nImportance: High", 2, -1),
        ("X-MSMail-Priority: Low", 0, -1),
        ("Importance: immense", 1, 0),
    ] {
        let bag = convert(&format!("{fields}\r\n\r\n")).properties;
        assert_eq!(
            bag.get(tags::IMPORTANCE),
            Some(&PropValue::Integer32(importance)),
            "{fields}"
        );
        assert_eq!(
            bag.get(tags::PRIORITY),
            Some(&PropValue::Integer32(priority)),
            "{fields}"
        );
    }
}

#[test]
fn subjects() {
    for (subject, prefix, rest) in [
        ("Plans", "", "Plans"),
        ("Re: Plans", "Re: ", "Plans"),
        ("AW:Plans", "AW: ", "Plans"),
        ("Re:   Fw: x", "Re: ", "Fw: x"),
        ("答复: x", "答复: ", "x"),
        ("12: x", "", "12: x"),
        ("ftp://x", "", "ftp://x"),
        ("Long: x", "", "Long: x"),
        (": x", "", ": x"),
        // What would mark a prefix of MAPI is left out.
        ("\u{1}\u{1}=?utf-8?q?=C3=BC?= x", "", "ü x"),
        // A byte order mark marks nothing here.
        ("\u{feff}x", "", "x"),
    ] {
        let bag = convert(&format!("Subject: {subject}\r\n\r\n")).properties;
        assert_eq!(bag.string(tags::SUBJECT_PREFIX), Some(prefix), "{subject}");
        assert_eq!(bag.string(tags::NORMALIZED_SUBJECT), Some(rest), "{subject}");
        assert_eq!(
            bag.string(tags::SUBJECT),
            Some(&*format!("{prefix}{rest}")),
            "{subject}"
        );
    }
    let long = convert(&format!("Subject: Re: {}\r\n\r\n", "ü".repeat(500))).properties;
    assert_eq!(
        long.string(tags::SUBJECT).map(|text| text.chars().count()),
        Some(253)
    );
}

#[test]
fn threads_share_the_guid_of_their_index() {
    let index = |fields: &str| match convert(&format!("{fields}\r\n\r\n"))
        .properties
        .get(tags::CONVERSATION_INDEX)
    {
        Some(PropValue::Binary(index)) => index.clone(),
        other => panic!("{other:?}"),
    };
    let date = "Date: Wed, 1 Jan 2025 10:00:00 +0000";
    let first = index(&format!("{date}\r\nMessage-ID: <1@x>"));
    let reply = index("Message-ID: <3@x>\r\nReferences: <1@x> <2@x>");
    assert_eq!((first.len(), first[0]), (22, 1));
    // 2025-01-01 10:00 is 133 801 992 000 000 000 = 0x01DB_5C32_FC0B_0000 hundred nanoseconds.
    assert_eq!(first[1..6], 133_801_992_000_000_000u64.to_be_bytes()[..5]);
    assert_eq!(first[6..], reply[6..]);
    assert_ne!(first[6..], index("Message-ID: <9@x>")[6..]);
    assert_eq!(
        index("Message-ID: <9@x>\r\nThread-Index: AQHWLRNo4NaOjvXU8EODe0ZotrA8Bw==")[1],
        1
    );
    assert_eq!(convert("\r\n").properties.get(tags::CONVERSATION_TOPIC), None);
}

#[test]
fn other_fields() {
    let received = "Received: from a by b; Thu, 1 Jan 1970 00:00:09 +0000\r\n\
        Received: from c by a (x; y);\r\n Thu, 1 Jan 1970 00:00:05 +0000 (UTC)\r\n";
    let time = |seconds| Some(PropValue::Time(FileTime::from_unix_seconds(seconds)));
    let content = convert(&format!(
        "{received}X-Message-Flag: Call\r\nAuto-Submitted: auto-replied\r\n\r\n"
    ));
    let bag = &content.properties;
    assert_eq!(bag.get(tags::CLIENT_SUBMIT_TIME).cloned(), time(5));
    assert_eq!(bag.get(tags::MESSAGE_DELIVERY_TIME), None);
    assert_eq!(bag.get(tags::FLAG_STATUS), Some(&PropValue::Integer32(2)));
    assert_eq!(
        bag.get(tags::AUTO_RESPONSE_SUPPRESS),
        Some(&PropValue::Integer32(-1))
    );
    let request = ringpost_mapi::named::LID_FLAG_REQUEST.property_name();
    assert!(
        content
            .named
            .contains(&(request, PropValue::String("Call".to_owned())))
    );
    let outer = format!("Content-Type: message/rfc822\r\n\r\n{received}\r\n");
    let Some(AttachmentData::Embedded(inner)) = convert(&outer).attachments.pop().map(|one| one.data) else {
        panic!("not embedded")
    };
    assert_eq!(
        inner.properties.get(tags::MESSAGE_DELIVERY_TIME).cloned(),
        time(9)
    );
    assert_eq!(
        inner.properties.get(tags::MESSAGE_FLAGS),
        Some(&PropValue::Integer32(1))
    );
    let encoded = format!("Content-Transfer-Encoding: base64\r\n{outer}");
    assert_eq!(
        convert(&encoded).attachments[0].data,
        AttachmentData::Part(vec![])
    );
}

#[test]
fn content_classes() {
    let parts = |class: &str, part: &str| {
        let fields = format!("Content-Class: {class}\r\nContent-Type: multipart/mixed");
        let part = format!("Content-Type: {part}\r\n\r\nx");
        convert(&multipart(&fields, &["\r\ntext", &part])).properties
    };
    for (class, part, expected) in [
        ("fax", "image/tiff", "IPM.Note.Microsoft.Fax"),
        ("Fax-CA", "image/tiff; name=a.tif", "IPM.Note.Microsoft.Fax.CA"),
        ("fax", "image/png", "IPM.Note"),
        ("missedcall", "text/plain", "IPM.Note.Microsoft.Missed.Voice"),
        ("voice-uc", "text/plain", "IPM.Note.Microsoft.Conversation.Voice"),
        ("voice-ca", "audio/wav", "IPM.Note.Microsoft.Voicemail.UM.CA"),
        ("voice", "audio/gsm", "IPM.Note.Microsoft.Voicemail.UM"),
        ("voice", "text/plain", "IPM.Note"),
        (
            "urn:content-class:custom.Order",
            "text/plain",
            "IPM.Note.Custom.Order",
        ),
        (
            "InfoPathForm.a1.Travel",
            "text/plain",
            "IPM.InfoPathForm.a1.Travel",
        ),
        ("InfoPathForm.", "text/plain", "IPM.Note"),
        ("urn:content-classes:message", "text/plain", "IPM.Note"),
    ] {
        let bag = parts(class, part);
        assert_eq!(bag.string(tags::MESSAGE_CLASS), Some(expected), "{class}, {part}");
    }
    let long = format!(
        "Content-Class: urn:content-class:custom.{}\r\n\r\n",
        "x".repeat(300)
    );
    assert_eq!(
        convert(&long).properties.string(tags::MESSAGE_CLASS),
        Some("IPM.Note")
    );
    // What is signed stays what it is.
    let signed = multipart(
        "Content-Class: voice-uc\r\nContent-Type: multipart/signed",
        &["\r\ntext"],
    );
    assert_eq!(
        convert(&signed).properties.string(tags::MESSAGE_CLASS),
        Some("IPM.Note.SMIME.MultipartSigned")
    );
}

/// What unified messaging, TNEF and forms say (MS-OXCMAIL 2.2.3.2.21, 2.2.3.2.23, 2.2.3.4.1).
#[test]
fn fields_of_other_programs() {
    let fields = "X-CallingTelephoneNumber: +1 (555) 0100\r\nX-VoiceMessageSenderName: =?utf-8?q?J=C3=BC?=\r\n\
        X-AttachmentOrder: a.wav;b.wav\r\nX-CallID: 17@x\r\nX-VoiceMessageDuration: 42\r\n\
        X-FaxNumberOfPages: -3\r\nX-MS-TNEF-Correlator: <1@x>\r\nX-Payload-Class: outer\r\n\
        List-Help: <mailto:h@x>\r\nX-List-Unsubscribe: <mailto:u@x>\r\nReply-By: Thu, 1 Jan 1970 00:00:07 +0000\r\n\
        Expiry-Date: Thu, 1 Jan 1970 00:00:08 +0000\r\nDeferred-Delivery: Thu, 1 Jan 1970 00:00:09 +0000\r\n\
        Return-Receipt-To: a@x\r\nContent-Base: http://x/\r\nContent-Type: multipart/mixed";
    let part =
        "X-Payload-Class: FormData\r\nX-Payload-Provider-Guid: {0}\r\nContent-Type: application/x\r\n\r\n1";
    let content = convert(&multipart(fields, &["\r\ntext", part]));
    let bag = &content.properties;
    let time = |seconds| PropValue::Time(FileTime::from_unix_seconds(seconds));
    let text = |text: &str| PropValue::String(text.to_owned());
    for (tag, value) in [
        (tags::SENDER_TELEPHONE_NUMBER, text("+1 (555) 0100")),
        (tags::VOICE_MESSAGE_SENDER_NAME, text("Jü")),
        (tags::VOICE_MESSAGE_ATTACHMENT_ORDER, text("a.wav;b.wav")),
        (tags::CALL_ID, text("17@x")),
        (tags::VOICE_MESSAGE_DURATION, PropValue::Integer32(42)),
        (tags::TNEF_CORRELATION_KEY, PropValue::Binary(b"<1@x>\0".to_vec())),
        (tags::LIST_HELP, text("<mailto:h@x>")),
        (tags::LIST_UNSUBSCRIBE, text("<mailto:u@x>")),
        (tags::REPLY_TIME, time(7)),
        (tags::EXPIRY_TIME, time(8)),
        (tags::DEFERRED_DELIVERY_TIME, time(9)),
        (
            tags::ORIGINATOR_DELIVERY_REPORT_REQUESTED,
            PropValue::Boolean(true),
        ),
    ] {
        // Compared by id: some ids have several meanings.
        assert_eq!(bag.get(tag), Some(&value), "{tag:?}");
    }
    assert_eq!(bag.get(tags::FAX_NUMBER_OF_PAGES), None);
    assert_eq!(bag.get(tags::ATTACH_PAYLOAD_CLASS), None);
    let base = ringpost_mapi::named::PropertyName::name(sets::INTERNET_HEADERS, "content-base");
    assert!(content.named.contains(&(base, text("http://x/"))));
    let attachment = &content.attachments[0].properties;
    assert_eq!(attachment.string(tags::ATTACH_PAYLOAD_CLASS), Some("FormData"));
    assert_eq!(
        attachment.string(tags::ATTACH_PAYLOAD_PROVIDER_GUID_STRING),
        Some("{0}")
    );
}

/// Each charset with text of its own, as a body and as an encoded word.
#[test]
fn charsets() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    for (charset, bytes, expected) in [
        ("gb18030", &b"\xd6\xd0\x81\x30\x81\x30"[..], "中\u{80}"),
        ("gb2312", b"\xd6\xd0\xce\xc4", "中文"),
        ("big5", b"\xa4\xa4", "中"),
        ("iso-2022-jp", b"\x1b$BF|K\\\x1b(B", "日本"),
        ("shift_jis", b"\x93\xfa\x96\x7b", "日本"),
        ("euc-jp", b"\xc6\xfc\xcb\xdc", "日本"),
        ("euc-kr", b"\xb0\xa1", "가"),
        ("ks_c_5601-1987", b"\xb0\xa1", "가"),
        ("utf-7", b"+AOQ-+AME-", "äÁ"),
        ("utf-16", b"\xfe\xff\x00\xe4", "ä"),
        ("windows-1250", b"\xb9", "ą"),
        ("windows-1251", b"\xcf", "П"),
        ("windows-1252", b"\x80", "€"),
        ("windows-1253", b"\xe1", "α"),
        ("windows-1254", b"\xf0", "ğ"),
        ("windows-1255", b"\xe0", "א"),
        ("windows-1256", b"\xc7", "ا"),
        ("windows-1257", b"\xe0", "ą"),
        ("windows-1258", b"\xd5", "Ơ"),
        ("windows-874", b"\xa1", "ก"),
        ("iso-8859-2", b"\xb1", "ą"),
        ("iso-8859-5", b"\xbf", "П"),
        ("iso-8859-15", b"\xa4", "€"),
        ("koi8-r", b"\xf0", "П"),
        ("koi8-u", b"\xa4", "є"),
        ("ibm866", b"\x8f", "П"),
        ("macintosh", b"\x80", "Ä"),
    ] {
        let encoded = BASE64_STANDARD.encode(bytes);
        let source = format!(
            "Subject: =?{charset}?b?{encoded}?=\r\nContent-Type: text/plain; charset={charset}\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n"
        );
        let structure = Structure::of(source.as_bytes());
        assert_eq!(
            plain_body(source.as_bytes(), &structure).as_deref(),
            Some(expected),
            "{charset}: body"
        );
        assert_eq!(
            convert(&source).properties.string(tags::SUBJECT),
            Some(expected),
            "{charset}: subject"
        );
    }
}

#[test]
fn embedding_is_limited() {
    let source = "Content-Type: message/rfc822\n\n".repeat(MAX_EMBEDDED * 2);
    let mut content = convert(&source);
    let mut depth = 0;
    while let Some(AttachmentData::Embedded(inner)) = content.attachments.pop().map(|one| one.data) {
        content = *inner;
        depth += 1;
    }
    assert_eq!(depth, MAX_EMBEDDED);
}

#[test]
fn named_properties_are_limited() {
    let fields: Vec<String> = (0..MAX_NAMED + 9).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(convert(&fields.concat()).named.len(), MAX_NAMED);
}
