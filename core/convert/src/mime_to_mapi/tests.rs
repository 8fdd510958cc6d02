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
    Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b>=FC</b>\r\n--a--\r\n\
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
        (tags::INTERNET_CODEPAGE, PropValue::Integer32(28591)),
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
        Some("<b>ü</b>")
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

#[test]
fn signed_mail_stays_whole() {
    let source = "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=s\r\n\r\n\
        --s\r\n\r\ntext\r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--s--\r\n";
    let content = convert(source);
    assert_eq!(
        content.properties.string(tags::MESSAGE_CLASS),
        Some("IPM.Note.SMIME.MultipartSigned")
    );
    assert_eq!(content.attachments.len(), 1);
    assert_eq!(content.attachments[0].data, AttachmentData::Part(vec![]));
    let structure = Structure::of(source.as_bytes());
    assert_eq!(
        part_data(source.as_bytes(), &structure, &[]).as_deref(),
        Some(source.as_bytes())
    );
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
