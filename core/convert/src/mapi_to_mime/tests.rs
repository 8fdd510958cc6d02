use ringpost_mapi::{FileTime, PropTag, PropValue, PropertyBag, named, tags};

use super::*;
use crate::{
    message::{AttachmentContent, AttachmentData},
    mime_to_mapi::{from_mime, html_body, part_data, plain_body},
    rtf::{compressed, writer},
    structure::Structure,
};

const OPTIONS: Options<'_> = Options {
    message_id: "<given@example.test>",
    now: FileTime(133_000_000_000_000_000),
    show_bcc: false,
};

fn text(bag: &mut PropertyBag, tag: PropTag, value: &str) {
    bag.set(tag, PropValue::String(value.to_owned()));
}

fn row(kind: i32, name: &str, address: &str) -> PropertyBag {
    let mut row = PropertyBag::new();
    row.set(tags::RECIPIENT_TYPE, PropValue::Integer32(kind));
    text(&mut row, tags::DISPLAY_NAME, name);
    text(&mut row, tags::ADDRESS_TYPE, "SMTP");
    text(&mut row, tags::EMAIL_ADDRESS, address);
    row
}

fn attachment(name: &str, data: &[u8]) -> AttachmentContent {
    let mut properties = PropertyBag::new();
    text(&mut properties, tags::ATTACH_LONG_FILENAME, name);
    properties.set(tags::ATTACH_METHOD, PropValue::Integer32(1));
    properties.set(tags::ATTACH_DATA_BINARY, PropValue::Binary(data.to_vec()));
    AttachmentContent {
        properties,
        data: AttachmentData::None,
    }
}

/// A message as Outlook composes it.
fn composed() -> MessageContent {
    let mut message = MessageContent::default();
    let bag = &mut message.properties;
    text(bag, tags::MESSAGE_CLASS, "IPM.Note");
    text(bag, tags::SUBJECT, "Re: Gr\u{fc}\u{df}e");
    text(bag, tags::SENDER_NAME, "Alice \u{c4}.");
    text(bag, tags::SENDER_SMTP_ADDRESS, "alice@example.test");
    text(bag, tags::INTERNET_MESSAGE_ID, "<1@example.test>");
    text(bag, tags::IN_REPLY_TO_ID, "<0@example.org>");
    bag.set(
        tags::CLIENT_SUBMIT_TIME,
        PropValue::Time(FileTime::from_unix_seconds(1_795_488_038)),
    );
    bag.set(tags::IMPORTANCE, PropValue::Integer32(2));
    bag.set(tags::SENSITIVITY, PropValue::Integer32(2));
    bag.set(tags::CONVERSATION_INDEX, PropValue::Binary(vec![1; 27]));
    text(bag, tags::CONVERSATION_TOPIC, "Gr\u{fc}\u{df}e");
    let html = "<html><body><p>Sch\u{f6}n &amp; gut <img src=\"cid:pic@x\"></p></body></html>";
    let rtf = compressed::compress(&writer::from_html(html)).unwrap();
    bag.set(tags::RTF_COMPRESSED, PropValue::Binary(rtf));
    message.named.push((
        named::NAME_KEYWORDS.property_name(),
        PropValue::MultipleString(vec!["Red".into(), "Blue category".into()]),
    ));
    message.recipients = vec![
        row(1, "Bob, the second", "bob@example.org"),
        row(2, "Carol", "carol@example.org"),
        row(3, "Secret", "dave@example.org"),
        row(1, "Internal", "/o=org/cn=x"),
    ];
    let mut picture = attachment("pic.png", b"\x89PNG....");
    text(&mut picture.properties, tags::ATTACH_CONTENT_ID, "pic@x");
    picture
        .properties
        .set(tags::ATTACH_FLAGS, PropValue::Integer32(4));
    let mut inner = MessageContent::default();
    text(&mut inner.properties, tags::SUBJECT, "inner");
    text(&mut inner.properties, tags::BODY, "inner text");
    text(
        &mut inner.properties,
        tags::SENDER_SMTP_ADDRESS,
        "eve@example.org",
    );
    message.attachments = vec![
        picture,
        attachment("\u{dc}bung.txt", b"a\r\nb"),
        AttachmentContent {
            properties: PropertyBag::new(),
            data: AttachmentData::Embedded(Box::new(inner)),
        },
    ];
    message
}

fn mail(message: &MessageContent) -> (Vec<u8>, Structure) {
    let source = to_mime(message, &OPTIONS, &mut |_| None);
    assert!(source.is_ascii(), "{}", String::from_utf8_lossy(&source));
    for line in source.split(|&byte| byte == b'\n') {
        assert!(
            line.len() <= 999 && (line.is_empty() || line.ends_with(b"\r")),
            "{line:?}"
        );
    }
    let structure = Structure::of(&source);
    (source, structure)
}

#[test]
fn a_composed_message_is_read_as_it_was_meant() {
    let (source, structure) = mail(&composed());
    let back = from_mime(&source, &structure);
    let bag = &back.properties;
    assert_eq!(bag.string(tags::SUBJECT), Some("Re: Gr\u{fc}\u{df}e"));
    assert_eq!(bag.string(tags::SENT_REPRESENTING_NAME), Some("Alice \u{c4}."));
    assert_eq!(bag.string(tags::SENDER_SMTP_ADDRESS), Some("alice@example.test"));
    assert_eq!(
        bag.get(tags::CLIENT_SUBMIT_TIME),
        composed().properties.get(tags::CLIENT_SUBMIT_TIME)
    );
    for tag in [
        tags::INTERNET_MESSAGE_ID,
        tags::IN_REPLY_TO_ID,
        tags::IMPORTANCE,
        tags::SENSITIVITY,
        tags::CONVERSATION_INDEX,
        tags::CONVERSATION_TOPIC,
    ] {
        assert_eq!(bag.get(tag), composed().properties.get(tag), "{tag:?}");
    }
    let people: Vec<_> = back
        .recipients
        .iter()
        .map(|row| {
            (
                integer(row, tags::RECIPIENT_TYPE),
                row.string(tags::DISPLAY_NAME),
                row.string(tags::EMAIL_ADDRESS),
            )
        })
        .collect();
    assert_eq!(
        people,
        [
            (Some(1), Some("Bob, the second"), Some("bob@example.org")),
            (Some(2), Some("Carol"), Some("carol@example.org")),
        ]
    );
    assert_eq!(back.named, composed().named);
    let html = "<html><body><p>Sch\u{f6}n &amp; gut <img src=\"cid:pic@x\"></p></body></html>\r\n";
    assert_eq!(html_body(&source, &structure).as_deref(), Some(html));
    assert_eq!(
        plain_body(&source, &structure).as_deref(),
        Some("Sch\u{f6}n & gut\r\n")
    );
    let names: Vec<_> = back
        .attachments
        .iter()
        .map(|a| a.properties.string(tags::ATTACH_LONG_FILENAME))
        .collect();
    assert_eq!(
        names,
        [Some("pic.png"), Some("\u{dc}bung.txt"), Some("inner.eml")]
    );
    assert!(boolean(&back.attachments[0].properties, tags::ATTACHMENT_HIDDEN));
    let AttachmentData::Part(path) = &back.attachments[1].data else {
        panic!("{:?}", back.attachments[1])
    };
    assert_eq!(
        part_data(&source, &structure, path).as_deref(),
        Some(&b"a\r\nb"[..])
    );
    let AttachmentData::Embedded(inner) = &back.attachments[2].data else {
        panic!()
    };
    assert_eq!(inner.properties.string(tags::SUBJECT), Some("inner"));
}

#[test]
fn the_sender_s_copy_shows_bcc() {
    let options = Options {
        show_bcc: true,
        ..OPTIONS
    };
    let source = String::from_utf8(to_mime(&composed(), &options, &mut |_| None)).unwrap();
    assert!(
        source.contains("\r\nBcc: Secret <dave@example.org>\r\n"),
        "{source}"
    );
    let sent = String::from_utf8(mail(&composed()).0).unwrap();
    assert!(!sent.contains("dave@") && !sent.contains("Bcc"));
    assert_eq!(sent.matches("\r\nMessage-ID: <1@example.test>\r\n").count(), 1);
}

#[test]
fn on_behalf_of_somebody() {
    let mut message = composed();
    text(&mut message.properties, tags::SENT_REPRESENTING_NAME, "The Boss");
    text(
        &mut message.properties,
        tags::SENT_REPRESENTING_SMTP_ADDRESS,
        "boss@example.test",
    );
    let source = String::from_utf8(mail(&message).0).unwrap();
    assert!(
        source.starts_with("From: The Boss <boss@example.test>\r\nSender: =?UTF-8?"),
        "{source}"
    );
}

#[test]
fn what_is_signed_leaves_as_it_is() {
    let entity = b"Content-Type: multipart/signed; protocol=\"application/pgp-signature\";\r\n\tboundary=b\r\n\r\n--b\r\n\r\n x \r\n--b--\r\n";
    let mut message = composed();
    text(
        &mut message.properties,
        tags::MESSAGE_CLASS,
        "IPM.Note.SMIME.MultipartSigned",
    );
    message.attachments = vec![attachment("smime.p7m", entity)];
    let source = mail(&message).0;
    assert!(source.ends_with(entity), "{}", String::from_utf8_lossy(&source));
    text(&mut message.properties, tags::MESSAGE_CLASS, "IPM.Note.SMIME");
    let cms = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80";
    message.attachments = vec![attachment("smime.p7m", cms)];
    let (source, structure) = mail(&message);
    assert!(structure.root.is("application", "pkcs7-mime"));
    assert_eq!(
        structure.root.parameter("smime-type"),
        Some(&b"enveloped-data"[..])
    );
    assert_eq!(&*crate::body::data(&source, &structure.root), cms);
}

#[test]
fn reports() {
    let mut message = composed();
    text(
        &mut message.properties,
        tags::MESSAGE_CLASS,
        "REPORT.IPM.Note.NDR",
    );
    text(
        &mut message.properties,
        tags::REPORTING_MESSAGE_TRANSFER_AGENT,
        "mx.example.test",
    );
    let mut failed = row(1, "Bob", "bob@example.org");
    failed.set(tags::NON_DELIVERY_REPORT_STATUS_CODE, PropValue::Integer32(511));
    text(
        &mut failed,
        tags::SUPPLEMENTARY_INFO,
        "<mx #5.1.1 smtp; 550 no such user>",
    );
    message.recipients = vec![failed];
    let (source, structure) = mail(&message);
    assert_eq!(
        structure.root.parameter("report-type"),
        Some(&b"delivery-status"[..])
    );
    let back = from_mime(&source, &structure);
    assert_eq!(
        back.properties.string(tags::MESSAGE_CLASS),
        Some("REPORT.IPM.Note.NDR")
    );
    assert_eq!(
        back.properties.string(tags::REPORTING_MESSAGE_TRANSFER_AGENT),
        Some("mx.example.test")
    );
    let row = &back.recipients[0];
    assert_eq!(integer(row, tags::NON_DELIVERY_REPORT_STATUS_CODE), Some(511));
    assert_eq!(
        row.string(tags::SUPPLEMENTARY_INFO),
        Some("<mx #5.1.1 smtp; 550 no such user>")
    );

    text(
        &mut message.properties,
        tags::MESSAGE_CLASS,
        "REPORT.IPM.Note.IPNNRN",
    );
    text(
        &mut message.properties,
        tags::ORIGINAL_MESSAGE_ID,
        "<orig@example.org>",
    );
    message
        .properties
        .set(tags::PARENT_KEY, PropValue::Binary(vec![9, 8, 7]));
    let (source, structure) = mail(&message);
    let back = from_mime(&source, &structure);
    for tag in [tags::MESSAGE_CLASS, tags::ORIGINAL_MESSAGE_ID, tags::PARENT_KEY] {
        assert_eq!(back.properties.get(tag), message.properties.get(tag), "{tag:?}");
    }
    assert_eq!(back.properties.string(tags::REPORT_DISPOSITION), Some("deleted"));
}

/// A report that names nobody stays one.
#[test]
fn reports_about_nobody() {
    let mut message = composed();
    text(
        &mut message.properties,
        tags::MESSAGE_CLASS,
        "REPORT.IPM.Note.NDR",
    );
    message.recipients.clear();
    let (source, structure) = mail(&message);
    let back = from_mime(&source, &structure);
    assert_eq!(
        back.properties.string(tags::MESSAGE_CLASS),
        Some("REPORT.IPM.Note.NDR")
    );
    let received = "From: a@x.test\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\
        Content-Type: message/delivery-status\r\n\r\nX: y\r\n\r\nAction: failed\r\n--b--\r\n";
    let content = crate::mime_to_mapi::whole(received.as_bytes(), &Structure::of(received.as_bytes()));
    let (source, structure) = mail(&content);
    assert!(memchr::memmem::find(&source, b"\r\nX: y\r\n\r\nAction: failed\r\n").is_some());
    assert_eq!(
        from_mime(&source, &structure)
            .properties
            .string(tags::MESSAGE_CLASS),
        Some("REPORT.IPM.Note.NDR")
    );
}

/// A carriage return alone ends a line of a report, whether it is read or sent on.
#[test]
fn reports_with_carriage_returns() {
    let class = |source: &[u8]| {
        let content = crate::mime_to_mapi::whole(source, &Structure::of(source));
        let (sent, _) = mail(&content);
        let class =
            |content: &MessageContent| content.properties.string(tags::MESSAGE_CLASS).map(str::to_owned);
        assert_eq!(class(&from_mime(&sent, &Structure::of(&sent))), class(&content));
        class(&content)
    };
    let report = |action: &str| {
        format!(
            "From: a@x.test\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n\
             Original-Recipient: rfc822;b@x.test\r\n{action}\r\n--b--\r\n"
        )
    };
    assert_eq!(
        class(report("Action: faile\rd").as_bytes()).as_deref(),
        Some("IPM.Note")
    );
    assert_eq!(
        class(report("Status: 5.1.1\rAction: failed").as_bytes()).as_deref(),
        Some("REPORT.IPM.Note.NDR")
    );
}

#[test]
fn empty_and_odd_messages() {
    let (source, _) = mail(&MessageContent::default());
    assert!(source.windows(4).any(|four| four == b"\r\n\r\n"));
    let mut message = composed();
    message.attachments = vec![attachment("a.eml", "caf\u{e9}".as_bytes())];
    text(
        &mut message.attachments[0].properties,
        tags::ATTACH_MIME_TAG,
        "message/rfc822",
    );
    let (_, structure) = mail(&message);
    let crate::structure::Children::Multipart(parts) = &structure.root.children else {
        panic!()
    };
    assert!(
        parts[1].is("application", "octet-stream"),
        "encoded, so no message"
    );
}
