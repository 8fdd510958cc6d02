//! MAPI objects to mail and back: nothing that mail has a form for is lost.

use super::*;

/// MAPI properties that mail has a form for.
const MAPPED: &[PropTag] = &[
    tags::MESSAGE_CLASS,
    tags::SUBJECT,
    tags::CONVERSATION_TOPIC,
    tags::CONVERSATION_INDEX,
    tags::SENDER_SMTP_ADDRESS,
    tags::SENT_REPRESENTING_SMTP_ADDRESS,
    tags::SENT_REPRESENTING_NAME,
    tags::INTERNET_MESSAGE_ID,
    tags::CLIENT_SUBMIT_TIME,
    tags::IMPORTANCE,
    tags::PRIORITY,
    tags::SENSITIVITY,
    tags::IN_REPLY_TO_ID,
    tags::INTERNET_REFERENCES,
    tags::READ_RECEIPT_REQUESTED,
    tags::READ_RECEIPT_NAME,
    tags::READ_RECEIPT_SMTP_ADDRESS,
    tags::ORIGINATOR_DELIVERY_REPORT_REQUESTED,
    tags::EXPIRY_TIME,
    tags::REPLY_TIME,
    tags::DEFERRED_DELIVERY_TIME,
    tags::AUTO_RESPONSE_SUPPRESS,
    tags::REPLY_RECIPIENT_ENTRIES,
    tags::REPLY_RECIPIENT_NAMES,
    tags::LIST_UNSUBSCRIBE,
    tags::FLAG_STATUS,
];

/// The bodies that a composed message has, from whatever form it has them in.
fn expected_bodies(message: &MessageContent) -> (Option<String>, Option<String>) {
    let bag = &message.properties;
    let plain = bag.string(tags::BODY).map(str::to_owned);
    if let Some(PropValue::Binary(bytes)) = bag.get(tags::HTML) {
        let page = integer(bag, tags::INTERNET_CODEPAGE) as u32;
        return (
            plain,
            Some(ringpost_mapi::code_page::decode(bytes, page).into_owned()),
        );
    }
    let Some(PropValue::Binary(stream)) = bag.get(tags::RTF_COMPRESSED) else {
        return (plain, None);
    };
    let rtf = compressed::decompress(stream).unwrap();
    match encapsulated(&rtf) {
        Some(Encapsulated::Html(html)) => (plain, Some(html)),
        Some(Encapsulated::Text(text)) => (Some(text), None),
        None => (Some(extract::to_text(&rtf)), Some(extract::to_html(&rtf))),
    }
}

fn check_composed(number: u64, message: &MessageContent, back: &MessageContent, findings: &mut Findings) {
    let class = message.properties.string(tags::MESSAGE_CLASS).unwrap();
    for tag in MAPPED {
        let Some(value) = message.properties.get(*tag) else {
            continue;
        };
        findings.same(
            number,
            &format!("{class} {:04x}", tag.id()),
            back.properties.get(*tag).map(in_one_line),
            Some(in_one_line(value)),
        );
    }
    for (name, value) in &message.named {
        let found = back.named.iter().find(|(known, _)| known == name);
        findings.same(
            number,
            &format!("{name:?}"),
            found.map(|(_, value)| in_one_line(value)),
            Some(in_one_line(value)),
        );
    }
    let report = class.starts_with("REPORT.");
    let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows = |content: &MessageContent, kind: i32| -> Vec<(String, String)> {
        people(content, kind)
            .into_iter()
            .map(|(name, address)| (line(name), address))
            .collect()
    };
    if !report || class.ends_with("DR") {
        for kind in if report { 1..=1 } else { 1..=3 } {
            findings.same(
                number,
                &format!("{class} recipients"),
                rows(back, kind),
                rows(message, kind),
            );
        }
    }
    if report && class.ends_with("NDR") {
        for (row, found) in message.recipients.iter().zip(&back.recipients) {
            for tag in [
                tags::NON_DELIVERY_REPORT_STATUS_CODE,
                tags::SUPPLEMENTARY_INFO,
                tags::REMOTE_MESSAGE_TRANSFER_AGENT,
            ] {
                if let Some(value) = row.get(tag) {
                    findings.same(
                        number,
                        &format!("row's {:04x}", tag.id()),
                        found.get(tag),
                        Some(value),
                    );
                }
            }
        }
    }
    let secured = class.starts_with("IPM.Note.SMIME");
    if !secured {
        let (plain, rich) = expected_bodies(message);
        if let Some(plain) = &plain {
            findings.same(
                number,
                "text",
                text(back.properties.string(tags::BODY)),
                text(Some(plain)),
            );
        }
        findings.same(number, "HTML", text(html(back)), text(rich.as_deref()));
    }
    // The part of a report that programs read is an attachment too, as it is of received ones.
    let own = usize::from(report);
    let (inline, others): (Vec<_>, Vec<_>) = message
        .attachments
        .iter()
        .partition(|a| integer(&a.properties, tags::ATTACH_FLAGS) == 4);
    let files: Vec<_> = if report {
        message.attachments.iter().collect()
    } else {
        inline.into_iter().chain(others).collect()
    };
    if report {
        findings.same(
            number,
            "count of files",
            back.attachments.len(),
            files.len() + own,
        );
        return;
    }
    findings.same(
        number,
        &format!("{class} count of files"),
        back.attachments.len(),
        files.len(),
    );
    for (file, found) in files.iter().zip(&back.attachments) {
        match (&file.data, &found.data) {
            (AttachmentData::Embedded(inner), AttachmentData::Embedded(found)) => {
                check_composed(number, inner, found, findings);
            }
            (AttachmentData::Embedded(_), _) => findings.same(number, "embedded message", "gone", "there"),
            (_, AttachmentData::Embedded(_)) => {}
            _ => {
                let object = match file.properties.get(tags::ATTACH_DATA_OBJECT) {
                    Some(PropValue::Object(bytes)) => bytes,
                    _ => bytes(file),
                };
                findings.same(number, "file", bytes(found), object);
                if let Some(name) = file.properties.string(tags::ATTACH_LONG_FILENAME) {
                    let back = found.properties.string(tags::ATTACH_LONG_FILENAME);
                    findings.same(number, "name", back, Some(clean(name)).as_deref());
                }
                let id = tags::ATTACH_CONTENT_ID;
                findings.same(
                    number,
                    "content id",
                    found.properties.string(id),
                    file.properties.string(id),
                );
            }
        }
    }
}

#[test]
fn what_is_composed_comes_back() {
    let mut findings = Findings::default();
    for number in numbers() {
        let message = composed(number, false);
        let written = to_mime(&message, &OPTIONS, &mut |_| None);
        assert!(
            written.is_ascii()
                || message
                    .properties
                    .string(tags::MESSAGE_CLASS)
                    .unwrap()
                    .contains("SMIME")
        );
        check_composed(number, &message, &whole(&written), &mut findings);
    }
    findings.end();
}
