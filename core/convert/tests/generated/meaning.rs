//! What mail means is found.

use super::*;

#[test]
fn what_mail_means_is_found() {
    let mut findings = Findings::default();
    for number in numbers() {
        let mail = mail::mail(number);
        let content = whole(&mail.source);
        let Some(meant) = mail.meant else { continue };
        let bag = &content.properties;
        let mut same = |what: &str, found: String, meant: String| findings.same(number, what, found, meant);
        same(
            "class",
            bag.string(tags::MESSAGE_CLASS).unwrap().into(),
            meant.class.into(),
        );
        same(
            "subject",
            bag.string(tags::SUBJECT).unwrap().into(),
            meant.subject.chars().take(253).collect(),
        );
        let from = named(std::slice::from_ref(&meant.from)).remove(0);
        same(
            "from",
            bag.string(tags::SENT_REPRESENTING_NAME).unwrap().into(),
            from.0,
        );
        same(
            "address",
            bag.string(tags::SENT_REPRESENTING_SMTP_ADDRESS).unwrap().into(),
            from.1,
        );
        if !meant.class.starts_with("REPORT.") {
            same(
                "to",
                format!("{:?}", people(&content, 1)),
                format!("{:?}", named(&meant.to)),
            );
            same(
                "cc",
                format!("{:?}", people(&content, 2)),
                format!("{:?}", named(&meant.cc)),
            );
        }
        if meant.class == "IPM.Note.SMIME.MultipartSigned" || meant.class == "IPM.Note.SMIME" {
            continue;
        }
        same("text", text(bag.string(tags::BODY)), text(meant.text.as_deref()));
        same("HTML", text(html(&content)), text(meant.html.as_deref()));
        let files = content
            .attachments
            .iter()
            .map(|attachment| match &attachment.data {
                AttachmentData::Embedded(inner) => File {
                    embedded: inner.properties.string(tags::SUBJECT).map(str::to_owned),
                    ..File::default()
                },
                _ => File {
                    name: attachment
                        .properties
                        .string(tags::ATTACH_LONG_FILENAME)
                        .map(str::to_owned),
                    bytes: bytes(attachment).to_vec(),
                    embedded: None,
                },
            });
        if meant.exact.is_some() {
            continue;
        }
        let files: Vec<File> = files.collect();
        findings.same(number, "files", files.len(), meant.files.len());
        for (found, meant) in files.iter().zip(&meant.files) {
            findings.same(
                number,
                "file",
                &found.embedded,
                &meant.embedded.as_ref().map(|s| s.chars().take(253).collect()),
            );
            // Some bytes that aren't in base64 lose the line end at their end.
            findings.same(
                number,
                "bytes",
                found.bytes.trim_ascii_end(),
                meant.bytes.trim_ascii_end(),
            );
            if let Some(name) = &meant.name {
                findings.same(
                    number,
                    "name",
                    found.name.as_deref(),
                    Some(clean(name)).as_deref(),
                );
            }
        }
    }
    findings.end();
}
