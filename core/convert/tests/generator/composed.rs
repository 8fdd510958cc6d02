//! Messages as clients compose them: MAPI properties, recipients, attachments.

use ringpost_convert::{
    message::{AttachmentContent, AttachmentData, MessageContent},
    rtf::{compressed, writer},
};
use ringpost_mapi::{
    FileTime, PropTag, PropValue, PropertyBag, code_page,
    entryid::OneOffEntryId,
    named::{self, PropertyName, sets},
    tags,
};

use super::{Dice, parts::file_name, text::Words};

/// The message with this number. `tnef` adds what only TNEF can carry.
pub(crate) fn composed(number: u64, tnef: bool) -> MessageContent {
    message(&mut Dice::new(number ^ 0x00c0_ffee), 0, tnef)
}

fn set(bag: &mut PropertyBag, tag: PropTag, value: impl Into<String>) {
    bag.set(tag, PropValue::String(value.into()));
}

fn message(dice: &mut Dice, depth: usize, tnef: bool) -> MessageContent {
    let words = Words::any(dice);
    let mut message = MessageContent::default();
    let bag = &mut message.properties;
    let class = match dice.below(12) {
        0 => "REPORT.IPM.Note.NDR",
        1 => "REPORT.IPM.Note.IPNRN",
        2 => *dice.pick(&[
            "REPORT.IPM.Note.DR",
            "REPORT.IPM.Note.Delayed.DR",
            "REPORT.IPM.Note.Relayed.DR",
            "REPORT.IPM.Note.Expanded.DR",
            "REPORT.IPM.Note.IPNNRN",
        ]),
        3 if depth == 0 => "IPM.Note.SMIME.MultipartSigned",
        4 if depth == 0 => "IPM.Note.SMIME",
        _ => "IPM.Note",
    };
    set(bag, tags::MESSAGE_CLASS, class);
    let prefix = *dice.pick(&["", "", "Re: ", "Fwd: "]);
    let topic = match dice.below(10) {
        0 => String::new(),
        1 => "  spaces  around  ".to_owned(),
        2 => "=?utf-8?q?not_encoded?=".to_owned(),
        3 => "x".repeat(dice.below(240)),
        4 => "a, b; c: \"d\" <e@f> (g) \\ h".to_owned(),
        _ => words.line(12, dice),
    };
    let topic: String = topic.chars().take(240).collect();
    set(bag, tags::SUBJECT, format!("{prefix}{topic}"));
    set(bag, tags::SUBJECT_PREFIX, prefix);
    set(bag, tags::NORMALIZED_SUBJECT, topic.clone());
    set(
        bag,
        tags::CONVERSATION_TOPIC,
        if topic.is_empty() { "x".into() } else { topic },
    );
    let sender = person(dice);
    set(bag, tags::SENDER_NAME, sender.0.clone());
    set(bag, tags::SENDER_ADDRESS_TYPE, "SMTP");
    set(bag, tags::SENDER_EMAIL_ADDRESS, sender.1.clone());
    set(bag, tags::SENDER_SMTP_ADDRESS, sender.1.clone());
    let represented = if dice.one_in(5) { person(dice) } else { sender };
    set(bag, tags::SENT_REPRESENTING_NAME, represented.0);
    set(bag, tags::SENT_REPRESENTING_EMAIL_ADDRESS, represented.1.clone());
    set(bag, tags::SENT_REPRESENTING_SMTP_ADDRESS, represented.1);
    set(
        bag,
        tags::INTERNET_MESSAGE_ID,
        format!("<{:x}@example.test>", dice.next()),
    );
    let seconds = 1_600_000_000 + dice.below(400_000_000) as i64;
    bag.set(
        tags::CLIENT_SUBMIT_TIME,
        PropValue::Time(FileTime::from_unix_seconds(seconds)),
    );
    optional(bag, dice);
    bodies(bag, &words, dice);
    let recipients = (0..=dice.below(5)).map(|_| recipient(class, dice)).collect();
    message.recipients = recipients;
    names(&mut message, &words, dice);
    match class {
        "IPM.Note.SMIME.MultipartSigned" => {
            let entity = b"Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256;\r\n\tboundary=b\r\n\r\n\
                --b\r\n\r\n signed \r\n\r\n--b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAG\r\n--b--\r\n";
            message.attachments = vec![file("smime.p7m", "multipart/signed", entity)];
        }
        "IPM.Note.SMIME" => {
            let mut bytes = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80".to_vec();
            bytes.extend(dice.bytes(200));
            message.attachments = vec![file("smime.p7m", "application/pkcs7-mime", &bytes)];
        }
        _ => attachments(&mut message, &words, dice, depth, tnef),
    }
    if tnef {
        only_tnef(&mut message, dice);
    }
    message
}

fn person(dice: &mut Dice) -> (String, String) {
    let words = Words::any(dice);
    let address = format!("user{}@example.test", dice.below(100_000));
    let name = match dice.below(8) {
        0 => address.clone(),
        1 => "Doe, Jane \"JD\" (x) <y> \\".to_owned(),
        2 => words.line(40, dice),
        _ => words.line(3, dice),
    };
    (name, address)
}

fn recipient(class: &str, dice: &mut Dice) -> PropertyBag {
    let mut row = PropertyBag::new();
    let (name, address) = person(dice);
    let report = class.starts_with("REPORT.");
    let kind = if report { 1 } else { 1 + dice.below(3) as i32 };
    row.set(tags::RECIPIENT_TYPE, PropValue::Integer32(kind));
    set(&mut row, tags::DISPLAY_NAME, name);
    if dice.one_in(3) {
        // A user of this server.
        set(&mut row, tags::ADDRESS_TYPE, "EX");
        set(&mut row, tags::EMAIL_ADDRESS, "/o=x/ou=y/cn=Recipients/cn=z");
    } else {
        set(&mut row, tags::ADDRESS_TYPE, "SMTP");
        set(&mut row, tags::EMAIL_ADDRESS, address.clone());
    }
    set(&mut row, tags::SMTP_ADDRESS, address);
    if class == "REPORT.IPM.Note.NDR" {
        row.set(
            tags::NON_DELIVERY_REPORT_STATUS_CODE,
            PropValue::Integer32(*dice.pick(&[511, 522, 571, 400])),
        );
        if dice.one_in(2) {
            set(
                &mut row,
                tags::SUPPLEMENTARY_INFO,
                "<mx.example.test #5.1.1 smtp; 550 5.1.1 no such user>",
            );
            set(&mut row, tags::REMOTE_MESSAGE_TRANSFER_AGENT, "mx.example.test");
        }
    }
    row
}

/// Properties that a message may have or not.
fn optional(bag: &mut PropertyBag, dice: &mut Dice) {
    let number = |n: usize| PropValue::Integer32(n as i32);
    let time = |dice: &mut Dice| {
        PropValue::Time(FileTime::from_unix_seconds(
            1_800_000_000 + dice.below(10_000_000) as i64,
        ))
    };
    if dice.one_in(3) {
        let importance = *dice.pick(&[0, 2]);
        bag.set(tags::IMPORTANCE, number(importance));
        bag.set(tags::PRIORITY, PropValue::Integer32(importance as i32 - 1));
    }
    if dice.one_in(4) {
        let sensitivity = 1 + dice.below(3);
        bag.set(tags::SENSITIVITY, number(sensitivity));
    }
    if dice.one_in(3) {
        let mut index = vec![1];
        let more = dice.below(4) * 5;
        index.extend(dice.bytes(21 + more));
        bag.set(tags::CONVERSATION_INDEX, PropValue::Binary(index));
    }
    if dice.one_in(3) {
        set(bag, tags::IN_REPLY_TO_ID, "<0@example.test>");
        let count = 1 + dice.below(40);
        let references: Vec<String> = (0..count)
            .map(|n| format!("<{n}.reference@mail.example.test>"))
            .collect();
        set(bag, tags::INTERNET_REFERENCES, references.join(" "));
    }
    if dice.one_in(6) {
        bag.set(tags::READ_RECEIPT_REQUESTED, PropValue::Boolean(true));
        set(bag, tags::READ_RECEIPT_NAME, "Asker");
        set(bag, tags::READ_RECEIPT_SMTP_ADDRESS, "asker@example.test");
    }
    if dice.one_in(6) {
        bag.set(
            tags::ORIGINATOR_DELIVERY_REPORT_REQUESTED,
            PropValue::Boolean(true),
        );
    }
    for tag in [tags::EXPIRY_TIME, tags::REPLY_TIME, tags::DEFERRED_DELIVERY_TIME] {
        if dice.one_in(8) {
            let time = time(dice);
            bag.set(tag, time);
        }
    }
    if dice.one_in(8) {
        let bits = *dice.pick(&[-1, 1, 16, 33, 63]);
        bag.set(tags::AUTO_RESPONSE_SUPPRESS, PropValue::Integer32(bits));
    }
    if dice.one_in(6) {
        let (mut entries, mut names) = (Vec::new(), Vec::new());
        let count = 1 + dice.below(3);
        for _ in 0..count {
            let (name, address) = person(dice);
            let entry = OneOffEntryId::new(&name, "SMTP", &address).encode();
            entries.extend_from_slice(&(entry.len() as u32).to_le_bytes());
            entries.extend_from_slice(&entry);
            entries.resize(entries.len().next_multiple_of(4), 0);
            names.push(name);
        }
        let mut flat = (count as u32).to_le_bytes().to_vec();
        flat.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        flat.extend_from_slice(&entries);
        bag.set(tags::REPLY_RECIPIENT_ENTRIES, PropValue::Binary(flat));
        set(bag, tags::REPLY_RECIPIENT_NAMES, names.join("; "));
    }
    if dice.one_in(8) {
        set(
            bag,
            tags::LIST_UNSUBSCRIBE,
            "<mailto:leave@example.test>, <https://example.test/leave>",
        );
    }
}

/// A body in one of its forms.
fn bodies(bag: &mut PropertyBag, words: &Words, dice: &mut Dice) {
    let text = words.lines(dice);
    let mut escaped = String::new();
    ringpost_convert::html::escape_into(&mut escaped, &words.line(30, dice));
    let html = format!(
        "<html><head><style>p {{ margin: 0 }}</style></head><body><p>{escaped}</p>\r\n<p><b>bold</b> &amp; <img src=\"cid:pic0@x\"></p></body></html>\r\n"
    );
    let rtf = |rtf: &[u8]| PropValue::Binary(compressed::compress(rtf).unwrap());
    match dice.below(8) {
        0 => {}
        1 | 2 => set(bag, tags::BODY, text),
        3 => {
            let page = *dice.pick(&[65001, 65001, 20127, 1252]);
            // What the page lacks is written as a reference.
            let html: String = html
                .chars()
                .map(|c| if c.is_ascii() || page == 65001 { c.to_string() } else { format!("&#{};", c as u32) })
                .collect();
            bag.set(tags::HTML, PropValue::Binary(code_page::encode(&html, page).into_owned()));
            bag.set(tags::INTERNET_CODEPAGE, PropValue::Integer32(page as i32));
        }
        4 => {
            set(bag, tags::BODY, text);
            bag.set(tags::HTML, PropValue::Binary(html.into_bytes()));
            bag.set(tags::INTERNET_CODEPAGE, PropValue::Integer32(65001));
        }
        5 => bag.set(tags::RTF_COMPRESSED, rtf(&writer::from_html(&html))),
        6 => bag.set(tags::RTF_COMPRESSED, rtf(&writer::from_text(&text))),
        _ => bag.set(
            tags::RTF_COMPRESSED,
            rtf(br"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\pard Gr\'fc\'dfe {\b bold} \u8364?\par second\par}"),
        ),
    }
}

/// Named properties that mail has a field for.
fn names(message: &mut MessageContent, words: &Words, dice: &mut Dice) {
    if dice.one_in(4) {
        let count = 1 + dice.below(4);
        let mut keywords: Vec<String> = (0..count)
            .map(|n| format!("{} {n}", words.line(2, dice)))
            .collect();
        if dice.one_in(4) {
            keywords.push("with, comma; \"quotes\"".to_owned());
        }
        message.named.push((
            named::NAME_KEYWORDS.property_name(),
            PropValue::MultipleString(keywords),
        ));
    }
    if dice.one_in(6) {
        let name = named::LID_FLAG_REQUEST.property_name();
        message.named.push((name, PropValue::String(words.line(3, dice))));
        message.properties.set(tags::FLAG_STATUS, PropValue::Integer32(2));
    }
    for field in ["x-mailer", "x-custom-field", "content-class", "accept-language"] {
        if dice.one_in(6) {
            let value = if field == "content-class" {
                "urn:content-classes:message".to_owned()
            } else {
                words.line(30, dice)
            };
            message.named.push((
                PropertyName::name(sets::INTERNET_HEADERS, field),
                PropValue::String(value),
            ));
        }
    }
}

fn file(name: &str, mime: &str, bytes: &[u8]) -> AttachmentContent {
    let mut properties = PropertyBag::new();
    set(&mut properties, tags::ATTACH_LONG_FILENAME, name);
    if !mime.is_empty() {
        set(&mut properties, tags::ATTACH_MIME_TAG, mime);
    }
    properties.set(tags::ATTACH_METHOD, PropValue::Integer32(1));
    properties.set(tags::RENDERING_POSITION, PropValue::Integer32(-1));
    properties.set(tags::ATTACH_DATA_BINARY, PropValue::Binary(bytes.to_vec()));
    AttachmentContent {
        properties,
        data: AttachmentData::None,
    }
}

fn attachments(content: &mut MessageContent, words: &Words, dice: &mut Dice, depth: usize, tnef: bool) {
    if dice.one_in(3) {
        let bytes = dice.bytes(60);
        let mut picture = file("pic0.png", "image/png", &bytes);
        set(&mut picture.properties, tags::ATTACH_CONTENT_ID, "pic0@x");
        picture
            .properties
            .set(tags::ATTACH_FLAGS, PropValue::Integer32(4));
        picture
            .properties
            .set(tags::ATTACHMENT_HIDDEN, PropValue::Boolean(true));
        content.attachments.push(picture);
    }
    while dice.one_in(2) && content.attachments.len() < 8 {
        let (mime, end) = *dice.pick(&[
            ("application/pdf", "pdf"),
            ("text/plain", "txt"),
            ("", "docx"),
            ("message/rfc822", "eml"),
            ("application/octet-stream", "p7m"),
            ("text/html", "html"),
            ("nonsense", "dat"),
            ("multipart/mixed", "mht"),
            ("message/delivery-status", "dat"),
        ]);
        let length = dice.below(4000);
        let bytes = if dice.one_in(3) {
            b"Subject: x\r\n\r\nlines\r\n".to_vec()
        } else {
            dice.bytes(length)
        };
        let name = file_name(words, end, dice);
        let mut attached = file(&name, mime, &bytes);
        if dice.one_in(5) {
            attached.properties.set(
                tags::LAST_MODIFICATION_TIME,
                PropValue::Time(FileTime::from_unix_seconds(1_700_000_000)),
            );
        }
        content.attachments.push(attached);
    }
    if depth < 3 && dice.one_in(5) {
        let inner = message(dice, depth + 1, tnef);
        let mut properties = PropertyBag::new();
        properties.set(tags::ATTACH_METHOD, PropValue::Integer32(5));
        properties.set(tags::RENDERING_POSITION, PropValue::Integer32(-1));
        set(
            &mut properties,
            tags::DISPLAY_NAME,
            inner.properties.string(tags::SUBJECT).unwrap_or_default(),
        );
        content.attachments.push(AttachmentContent {
            properties,
            data: AttachmentData::Embedded(Box::new(inner)),
        });
    }
    if dice.one_in(8) {
        let length = 10 + dice.below(500);
        let mut object = file("object.bin", "", &[]);
        let bytes = dice.bytes(length);
        object
            .properties
            .set(tags::ATTACH_METHOD, PropValue::Integer32(6));
        object.properties.remove(tags::ATTACH_DATA_BINARY);
        object
            .properties
            .set(tags::ATTACH_DATA_OBJECT, PropValue::Object(bytes));
        content.attachments.push(object);
    }
}

/// Properties of all types, on all objects.
fn only_tnef(message: &mut MessageContent, dice: &mut Dice) {
    let mut bags: Vec<&mut PropertyBag> = vec![&mut message.properties];
    bags.extend(&mut message.recipients);
    bags.extend(
        message
            .attachments
            .iter_mut()
            .map(|attachment| &mut attachment.properties),
    );
    for bag in bags {
        for _ in 0..dice.below(4) {
            let value = value(dice);
            bag.set(
                PropTag::new(0x6600 + dice.below(0x80) as u16, value.kind()),
                value,
            );
        }
    }
    for _ in 0..dice.below(4) {
        let set = ringpost_mapi::Guid(dice.bytes(16).try_into().unwrap());
        let value = value(dice);
        let name = if dice.one_in(2) {
            PropertyName::lid(set, dice.next() as u32)
        } else {
            PropertyName::name(set, "Ein Name ü")
        };
        message.named.push((name, value));
    }
}

fn value(dice: &mut Dice) -> PropValue {
    let number = dice.next();
    let text = Words::any(dice).line(4, dice);
    match dice.below(14) {
        0 => PropValue::Integer16(number as i16),
        1 => PropValue::Integer32(number as i32),
        2 => PropValue::Floating64(number as i32 as f64),
        3 => PropValue::Boolean(number.is_multiple_of(2)),
        4 => PropValue::Integer64(number as i64),
        5 => PropValue::String(text),
        6 => PropValue::Time(FileTime(number)),
        7 => PropValue::Guid(ringpost_mapi::Guid(dice.bytes(16).try_into().unwrap())),
        8 => PropValue::Binary(dice.bytes((number % 50) as usize)),
        9 => PropValue::MultipleInteger32(vec![number as i32, 1, -1]),
        10 => PropValue::MultipleString(vec![text, String::new()]),
        11 => PropValue::MultipleBinary(vec![dice.bytes(3), Vec::new()]),
        12 => PropValue::Currency(number as i64),
        _ => PropValue::MultipleTime(vec![FileTime(number)]),
    }
}
