//! Mail to MAPI and back: nothing that MS-OXCMAIL keeps is lost.

use super::*;

/// Properties that say something else on the way back: sizes, what the server sets, what describes the source.
const OTHER: &[PropTag] = &[
    tags::ATTACH_SIZE,
    tags::MESSAGE_CODEPAGE,
    tags::INTERNET_CODEPAGE,
    tags::NATIVE_BODY,
    tags::TRANSPORT_MESSAGE_HEADERS,
    tags::TNEF_CORRELATION_KEY,
    tags::BODY,
    tags::HTML,
];

/// What differs of a message that was mail, was made mail again, and was read again.
///
/// Of `broken` mail not everything is a value that a field may have.
fn compare(
    broken: bool,
    number: u64,
    first: &MessageContent,
    second: &MessageContent,
    kind: &str,
    findings: &mut Findings,
) {
    let shown = |what: &str| format!("{kind}, {what}");
    for (tag, value) in first.properties.iter() {
        // When an embedded message was delivered its servers' fields said, which aren't ours to write.
        let delivered = kind == "embedded" && tag == tags::MESSAGE_DELIVERY_TIME;
        if OTHER.iter().any(|other| other.id() == tag.id()) || delivered {
            continue;
        }
        let id = [
            tags::INTERNET_MESSAGE_ID,
            tags::IN_REPLY_TO_ID,
            tags::INTERNET_REFERENCES,
            tags::LIST_HELP,
            tags::LIST_SUBSCRIBE,
            tags::LIST_UNSUBSCRIBE,
        ]
        .contains(&tag);
        let reply_to = tag == tags::REPLY_RECIPIENT_ENTRIES || tag == tags::REPLY_RECIPIENT_NAMES;
        if broken && (reply_to || id && !matches!(value, PropValue::String(text) if is_words(text))) {
            continue;
        }
        let back = second.properties.iter().find(|(known, _)| known.id() == tag.id());
        let back = back.map(|(_, value)| in_one_line(value));
        findings.same(
            number,
            &shown(&format!("{:04x}", tag.id())),
            back,
            Some(in_one_line(value)),
        );
    }
    for (name, value) in &first.named {
        let back = second.named.iter().find(|(known, _)| known == name);
        findings.same(
            number,
            &shown(&format!("{name:?}")),
            back.map(|(_, v)| in_one_line(v)),
            Some(in_one_line(value)),
        );
    }
    let rows = |content: &MessageContent| -> Vec<String> {
        let shown = |row: &PropertyBag| {
            // A name with control characters is another one in entry ids too.
            let values = row
                .iter()
                .filter(|(_, value)| !broken || !matches!(value, PropValue::Binary(_)));
            let values = values.map(|(tag, value)| (tag, in_one_line(value)));
            format!("{:?}", values.collect::<Vec<_>>())
        };
        content.recipients.iter().map(shown).collect()
    };
    findings.same(number, &shown("recipients"), rows(second), rows(first));
    let body = |content: &MessageContent| text(content.properties.string(tags::BODY));
    // HTML alone gets a text beside it.
    if first.properties.get(tags::BODY).is_some() {
        findings.same(number, &shown("text"), body(second), body(first));
    }
    findings.same(number, &shown("HTML"), text(html(second)), text(html(first)));
    findings.same(
        number,
        &shown("attachments"),
        second.attachments.len(),
        first.attachments.len(),
    );
    // Pictures in the text stand before what is attached.
    let in_order = |content: &'_ MessageContent| {
        let mut list = content.attachments.clone();
        list.sort_by_key(|one| {
            one.properties.get(tags::ATTACHMENT_HIDDEN) != Some(&PropValue::Boolean(true))
        });
        list
    };
    for (before, after) in in_order(first).iter().zip(&in_order(second)) {
        let mime = before
            .properties
            .string(tags::ATTACH_MIME_TAG)
            .unwrap_or_default();
        // A part of a report that isn't fields in ASCII with CRLF line ends is of another type then, or is cleaned.
        if broken && mime.starts_with("message/") {
            continue;
        }
        match (&before.data, &after.data) {
            (AttachmentData::Embedded(before), AttachmentData::Embedded(after)) => {
                compare(broken, number, before, after, "embedded", findings);
            }
            (AttachmentData::Embedded(_), _) => {
                findings.same(number, &shown("embedded message"), "gone", "there");
            }
            // A message that was encoded is one when it comes back.
            (_, AttachmentData::Embedded(_)) => {}
            _ => findings.same(number, &shown("bytes of a file"), bytes(after), bytes(before)),
        }
        let legal = mime
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte));
        for (tag, value) in before.properties.iter() {
            let typed = [tags::ATTACH_MIME_TAG, tags::TEXT_ATTACHMENT_CHARSET].contains(&tag);
            if broken && typed && !legal {
                continue;
            }
            let other = OTHER.iter().any(|other| other.id() == tag.id());
            if other || tag == tags::ATTACH_DATA_BINARY || matches!(after.data, AttachmentData::Embedded(_)) {
                continue;
            }
            let back = after.properties.get(tag).map(in_one_line);
            findings.same(
                number,
                &shown(&format!("attachment's {:04x}", tag.id())),
                back,
                Some(in_one_line(value)),
            );
        }
    }
}

/// Whether text is words of ASCII, as ids and addresses of lists are.
fn is_words(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether all addresses are ones that mail can be sent to; others are not written.
fn has_addresses(content: &MessageContent) -> bool {
    let sender = [tags::SENDER_SMTP_ADDRESS, tags::SENT_REPRESENTING_SMTP_ADDRESS];
    let sender = sender.iter().filter_map(|tag| content.properties.string(*tag));
    let rows = content
        .recipients
        .iter()
        .filter_map(|row| row.string(tags::SMTP_ADDRESS));
    let all = sender.chain(rows).all(|address| {
        let parts = address.rsplit_once('@');
        parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
            && address
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && !"<>(),:;\\[]\"".contains(c))
    });
    all && content
        .attachments
        .iter()
        .all(|attachment| match &attachment.data {
            AttachmentData::Embedded(inner) => has_addresses(inner),
            _ => true,
        })
}

#[test]
fn mail_comes_back() {
    let (mut findings, mut compared) = (Findings::default(), 0);
    for number in numbers() {
        let mail = mail::mail(number);
        let first = whole(&mail.source);
        let written = to_mime(&first, &OPTIONS, &mut |_| None);
        let second = whole(&written);
        if let Some(exact) = mail.meant.as_ref().and_then(|meant| meant.exact.as_deref()) {
            let kept = memchr::memmem::find(&written, exact).is_some();
            findings.same(number, mail.kind, kept, true);
        }
        if mail.meant.is_some() || has_addresses(&first) {
            compared += 1;
            let broken = mail.meant.is_none();
            compare(broken, number, &first, &second, mail.kind, &mut findings);
        }
    }
    println!("{compared} compared");
    findings.end();
}
