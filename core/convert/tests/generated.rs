//! Generated messages through every conversion: what mail means is found, nothing that has a form on the other side is
//! lost on the way there and back, and others' programs read what we write.

mod generator;

use std::{borrow::Cow, fs, path::Path, process::Command};

use generator::{composed::composed, mail, numbers, parts::File};
use ringpost_convert::{
    mapi_to_mime::{Options, to_mime},
    message::{AttachmentContent, AttachmentData, MessageContent},
    mime_to_mapi,
    rtf::{
        compressed,
        extract::{self, Encapsulated, encapsulated},
    },
    structure::Structure,
    tnef,
};
use ringpost_mapi::{FileTime, PropTag, PropValue, PropertyBag, code_page, tags};

const OPTIONS: Options<'_> = Options {
    message_id: "<none@example.test>",
    now: FileTime(134_399_616_380_000_000),
    show_bcc: true,
};

/// The message with its bodies and the bytes of its attachments, as a client reads it from the store.
fn whole(source: &[u8]) -> MessageContent {
    mime_to_mapi::whole(source, &Structure::of(source))
}

fn bytes(attachment: &AttachmentContent) -> &[u8] {
    match attachment.properties.get(tags::ATTACH_DATA_BINARY) {
        Some(PropValue::Binary(bytes)) => bytes,
        _ => &[],
    }
}

fn integer(bag: &PropertyBag, tag: PropTag) -> i32 {
    match bag.get(tag) {
        Some(PropValue::Integer32(number)) => *number,
        _ => 0,
    }
}

/// Differences in white space at the end mean nothing, and a CR alone is a line end when it is sent.
fn text(text: Option<&str>) -> String {
    text.unwrap_or_default()
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .trim_end()
        .to_owned()
}

fn html(content: &MessageContent) -> Option<&str> {
    match content.properties.get(tags::HTML) {
        Some(PropValue::Binary(bytes)) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Collects what is wrong, and tells of it at the end.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, number: u64, what: &str, found: T, meant: T) {
        if found != meant {
            let shown = format!("{number}: {what}: {found:?} instead of {meant:?}");
            self.0.push(shown.chars().take(900).collect());
        }
    }

    fn end(self) {
        let count = self.0.len();
        assert!(
            count == 0,
            "{count} wrong:\n{}",
            self.0[..count.min(20)].join("\n")
        );
    }
}

fn people(content: &MessageContent, kind: i32) -> Vec<(String, String)> {
    content
        .recipients
        .iter()
        .filter(|row| integer(row, tags::RECIPIENT_TYPE) == kind)
        .map(|row| {
            let name = row.string(tags::DISPLAY_NAME).unwrap_or_default().to_owned();
            (
                name,
                row.string(tags::SMTP_ADDRESS).unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// People without a name are called by their address.
fn named(people: &[(String, String)]) -> Vec<(String, String)> {
    people
        .iter()
        .map(|(name, address)| {
            (
                if name.is_empty() { address } else { name }.clone(),
                address.clone(),
            )
        })
        .collect()
}

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

/// A file's name as it is kept.
fn clean(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '"' | '<' | '>' | '?' | '*' | '|' | ':'))
        .take(255)
        .collect()
}

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

fn in_one_line(value: &PropValue) -> PropValue {
    match value {
        // Control characters become blanks: none may begin a line.
        PropValue::String(text) => {
            let words = text.split(|c: char| c.is_whitespace() || c.is_control());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            PropValue::String(words.join(" "))
        }
        other => other.clone(),
    }
}

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

/// Nothing at all is lost in TNEF.
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

/// Writes every generated message as it is sent, and what it was made from, and lets a Python program judge.
#[test]
fn python_accepts_and_reads_the_same() {
    let folder = written(true);
    judged("defects.py", &folder);
}

/// rspamd finds nothing malformed in what is sent, where it is installed.
#[test]
fn rspamd_accepts() {
    let installed = Command::new("rspamd").arg("--version").output().is_ok();
    if !installed && std::env::var_os("CI").is_none() {
        println!("rspamd is not installed");
        return;
    }
    let folder = written(false);
    judged("rspamd.py", &folder);
}

/// What is written of every generated message. Of those made of broken ones Python may find defects that were there
/// before, so only `all` has them.
fn written(all: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for number in numbers() {
        let mail = mail::mail(number);
        let end = if mail.meant.is_some() { "same" } else { "original" };
        if all || mail.meant.is_some() {
            let written = to_mime(&whole(&mail.source), &OPTIONS, &mut |_| None);
            fs::write(folder.path().join(format!("{number:06}m.eml")), written).unwrap();
            fs::write(folder.path().join(format!("{number:06}m.{end}")), &mail.source).unwrap();
        }
        let written = to_mime(&composed(number, false), &OPTIONS, &mut |_| None);
        fs::write(folder.path().join(format!("{number:06}c.eml")), written).unwrap();
    }
    folder
}

/// Runs a program that judges a folder of messages.
fn judged(script: &str, folder: &tempfile::TempDir) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let done = Command::new("python3")
        .arg(script)
        .arg(folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&done.stdout);
    print!("{printed}");
    assert!(
        done.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// The generators make every kind of message.
#[test]
fn every_kind_is_made() {
    let kinds: std::collections::BTreeSet<Cow<'_, str>> =
        numbers().map(|number| mail::mail(number).kind.into()).collect();
    assert!(kinds.len() >= 35 || numbers().count() < 300, "{kinds:?}");
}
