//! MAPI objects to TNEF and back: nothing at all is lost.

use super::*;

#[test]
fn tnef_keeps_everything() {
    let mut findings = Findings::default();
    for number in numbers() {
        for mut message in [composed(number, true), whole(&mail::mail(number).source)] {
            let stream = tnef::write(&message, &mut |_| None).unwrap();
            let decoded = tnef::read(&stream).unwrap();
            findings.same(number, "damage", decoded.damage, None);
            let mut back = decoded.message;
            for message in [&mut message, &mut back] {
                sort(message);
            }
            same_objects(number, &back, &message, &mut findings);
        }
    }
    findings.end();
}

fn same_bags(number: u64, what: &str, found: &PropertyBag, meant: &PropertyBag, findings: &mut Findings) {
    let list = |bag: &PropertyBag, other: &PropertyBag| -> Vec<String> {
        bag.iter()
            .filter(|(tag, value)| other.get(*tag) != Some(value))
            .map(|(tag, value)| format!("{tag:?}={value:?}"))
            .collect()
    };
    let (more, less) = (list(found, meant), list(meant, found));
    findings.same(number, what, (more, less), (Vec::new(), Vec::new()));
}

fn same_objects(number: u64, found: &MessageContent, meant: &MessageContent, findings: &mut Findings) {
    same_bags(number, "message", &found.properties, &meant.properties, findings);
    findings.same(number, "names", &found.named, &meant.named);
    findings.same(number, "rows", found.recipients.len(), meant.recipients.len());
    for (found, meant) in found.recipients.iter().zip(&meant.recipients) {
        same_bags(number, "recipient", found, meant, findings);
    }
    findings.same(
        number,
        "attachments",
        found.attachments.len(),
        meant.attachments.len(),
    );
    for (found, meant) in found.attachments.iter().zip(&meant.attachments) {
        same_bags(
            number,
            "attachment",
            &found.properties,
            &meant.properties,
            findings,
        );
        match (&found.data, &meant.data) {
            (AttachmentData::Embedded(found), AttachmentData::Embedded(meant)) => {
                same_objects(number, found, meant, findings);
            }
            (found, meant) => findings.same(number, "data", found, meant),
        }
    }
}

/// The order of named properties means nothing, and an attachment without a short name gets its long one, or what it
/// is shown as: readers without MAPI know no other.
fn sort(message: &mut MessageContent) {
    message.named.sort_by(|a, b| a.0.cmp(&b.0));
    for attachment in &mut message.attachments {
        let bag = &mut attachment.properties;
        if bag.get(tags::ATTACH_FILENAME).is_none()
            && let Some(name) = bag
                .string(tags::ATTACH_LONG_FILENAME)
                .or(bag.string(tags::DISPLAY_NAME))
        {
            let name = code_page::decode(&code_page::encode(name, 1252), 1252).into_owned();
            bag.set(tags::ATTACH_FILENAME, PropValue::String(name));
        }
        if let AttachmentData::Embedded(inner) = &mut attachment.data {
            sort(inner);
        }
    }
}
