//! Delivery and read reports (MS-OXCMAIL 2.2.3.7; RFC 3464, RFC 8098).

use std::borrow::Cow;

use ringpost_mapi::{PropValue, PropertyBag, tags};

use super::{parts, people::Person, set_string};
use crate::{
    body,
    header::{self, address::addresses, decode_text},
    message::MessageContent,
    structure::Part,
};

/// Groups of fields of one report that are read: one for the message, one for each recipient.
pub const MAX_GROUPS: usize = 1_000;

/// Converts what a `multipart/report` says to programs. Returns its message class, where it is one of those
/// that MAPI has.
pub(super) fn convert(source: &[u8], root: &Part, content: &mut MessageContent) -> Option<&'static str> {
    if !root.is("multipart", "report") {
        return None;
    }
    parts(root).iter().find_map(|part| {
        if part.media_type != b"message" {
            return None;
        }
        match part.media_subtype.as_slice() {
            b"delivery-status" | b"global-delivery-status" => {
                delivery(&with_lines(&body::data(source, part)), content)
            }
            b"disposition-notification" | b"global-disposition-notification" => {
                disposition(&with_lines(&body::data(source, part)), content)
            }
            _ => None,
        }
    })
}

/// The text with each carriage return ending a line, as it does when the report is sent on: fields would otherwise be
/// read across one, and mean something else to whoever gets the report next.
fn with_lines(text: &[u8]) -> Cow<'_, [u8]> {
    let alone = |&at: &usize| text.get(at + 1) != Some(&b'\n');
    if !memchr::memchr_iter(b'\r', text).any(|at| alone(&at)) {
        return Cow::Borrowed(text);
    }
    let mut out = text.to_vec();
    for at in memchr::memchr_iter(b'\r', text).filter(alone) {
        out[at] = b'\n';
    }
    Cow::Owned(out)
}

/// Actions of RFC 3464 2.3.3 with the classes of messages reporting them, the gravest last
/// (MS-OXCMAIL 2.2.3.7.1.1).
const ACTIONS: &[(&str, &str)] = &[
    ("delivered", "REPORT.IPM.Note.DR"),
    ("expanded", "REPORT.IPM.Note.Expanded.DR"),
    ("relayed", "REPORT.IPM.Note.Relayed.DR"),
    ("delayed", "REPORT.IPM.Note.Delayed.DR"),
    ("failed", "REPORT.IPM.Note.NDR"),
];

/// A delivery report: its recipients are those of whom it says the gravest (MS-OXCMAIL 2.2.3.7.1).
fn delivery(text: &[u8], content: &mut MessageContent) -> Option<&'static str> {
    let mut groups = groups(text);
    let message = groups.next()?;
    let recipients: Vec<(usize, &[u8])> = groups
        .filter_map(|group| {
            let action = value(group, "Action")?;
            let action = action.split([' ', ';', '(']).next().unwrap_or_default();
            let severity = ACTIONS
                .iter()
                .position(|(known, _)| action.eq_ignore_ascii_case(known))?;
            Some((severity, group))
        })
        .collect();
    let gravest = recipients.iter().map(|(severity, _)| *severity).max()?;
    if let Some(name) = value(message, "Reporting-MTA") {
        let name = typed(&name).to_owned();
        set_string(
            &mut content.properties,
            tags::REPORTING_MESSAGE_TRANSFER_AGENT,
            &name,
        );
    }
    let rows: Vec<(String, PropertyBag)> = recipients
        .into_iter()
        .filter(|(severity, _)| *severity == gravest)
        .filter_map(|(_, group)| recipient(group))
        .collect();
    if !rows.is_empty() {
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        set_string(&mut content.properties, tags::DISPLAY_TO, &names.join("; "));
        set_string(&mut content.properties, tags::DISPLAY_CC, "");
        set_string(&mut content.properties, tags::DISPLAY_BCC, "");
        original_sender(content);
        content.recipients = rows.into_iter().map(|(_, row)| row).collect();
    }
    Some(ACTIONS[gravest].1)
}

/// Sets who sent the message that the report is about: the one that the report is sent to (MS-OXOMSG 2.2.2.2).
fn original_sender(content: &mut MessageContent) {
    let Some(row) = content.recipients.first() else {
        return;
    };
    for (from, to) in [
        (tags::DISPLAY_NAME, tags::ORIGINAL_SENDER_NAME),
        (tags::ADDRESS_TYPE, tags::ORIGINAL_SENDER_ADDRESS_TYPE),
        (tags::EMAIL_ADDRESS, tags::ORIGINAL_SENDER_EMAIL_ADDRESS),
        (tags::ENTRY_ID, tags::ORIGINAL_SENDER_ENTRY_ID),
        (tags::SEARCH_KEY, tags::ORIGINAL_SENDER_SEARCH_KEY),
    ] {
        if let Some(value) = row.get(from) {
            content.properties.set(to, value.clone());
        }
    }
}

/// The row of a recipient, with what happened to the message on its way there.
fn recipient(group: &[u8]) -> Option<(String, PropertyBag)> {
    let address = value(group, "Original-Recipient").or_else(|| value(group, "Final-Recipient"))?;
    let list = addresses(typed(&address).as_bytes());
    let mut person = list.iter().find_map(Person::of)?;
    if let Some(name) = value(group, "X-Display-Name") {
        person.name = name;
    }
    let mut row = person.recipient(1);
    let remote = value(group, "Remote-MTA").map(|name| typed(&name).to_owned());
    let status = value(group, "Status");
    if let Some(code) = status.as_deref().and_then(status_code) {
        row.set(tags::NON_DELIVERY_REPORT_STATUS_CODE, PropValue::Integer32(code));
    }
    let information = value(group, "X-Supplementary-Info").or_else(|| {
        // As Exchange words it.
        let diagnostic = value(group, "Diagnostic-Code")?;
        let remote = remote.as_deref().unwrap_or_default();
        let status = status.as_deref().unwrap_or_default();
        Some(format!("<{remote} #{status} {diagnostic}>"))
    });
    if let Some(information) = information {
        set_string(&mut row, tags::SUPPLEMENTARY_INFO, &information);
    }
    if let Some(remote) = remote {
        set_string(&mut row, tags::REMOTE_MESSAGE_TRANSFER_AGENT, &remote);
    }
    Some((person.name, row))
}

/// PidTagNonDeliveryReportStatusCode: 511 for `5.1.1` (MS-OXOMSG 2.2.2.32).
pub(crate) fn status_code(status: &str) -> Option<i32> {
    let status = status.split([' ', '(']).next()?;
    let mut numbers = status.splitn(3, '.').map(str::parse::<u16>);
    let (class, subject, detail) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let (class, subject, detail) = (class.ok()?, subject.ok()?, detail.ok()?);
    Some(i32::from(class) * 100 + i32::from(subject) * 10 + i32::from(detail))
}

/// A read report: what became of the message decides its class (MS-OXCMAIL 2.2.3.7.2).
fn disposition(text: &[u8], content: &mut MessageContent) -> Option<&'static str> {
    let group = groups(text).next()?;
    let bag = &mut content.properties;
    let disposition = value(group, "Disposition")?;
    let (mode, kind) = disposition.split_once(';')?;
    let kind = kind
        .split('/')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let class = match kind.as_str() {
        "displayed" | "dispatched" | "processed" => "REPORT.IPM.Note.IPNRN",
        "deleted" | "denied" | "failed" => "REPORT.IPM.Note.IPNNRN",
        _ => return None,
    };
    set_string(bag, tags::REPORT_DISPOSITION, &kind);
    set_string(bag, tags::REPORT_DISPOSITION_MODE, mode.trim());
    if let Some(id) = value(group, "Original-Message-ID") {
        set_string(bag, tags::ORIGINAL_MESSAGE_ID, &id);
    }
    if let Some(key) = value(group, "X-MSExch-Correlation-Key") {
        bag.set(tags::PARENT_KEY, PropValue::Binary(body::base64(key.as_bytes())));
    }
    Some(class)
}

/// Whether the part of a report for programs says what happened to anything.
pub(crate) fn says_something(text: &[u8]) -> bool {
    groups(text).any(|group| {
        header::field(group, "Action").is_some() || header::field(group, "Disposition").is_some()
    })
}

/// The text behind `dns;` or `rfc822;`.
fn typed(value: &str) -> &str {
    value.split_once(';').map_or(value, |(_, text)| text).trim()
}

fn value(group: &[u8], name: &str) -> Option<String> {
    let text = decode_text(&header::field(group, name)?.unfolded());
    (!text.is_empty()).then_some(text)
}

/// The groups of fields, which empty lines part.
fn groups(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while let [b'\r' | b'\n', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let ends = memchr::memchr_iter(b'\n', rest);
        let end = ends
            .map(|at| at + 1)
            .find(|&at| matches!(rest[at..], [b'\n', ..] | [b'\r', b'\n', ..]))
            .unwrap_or(rest.len());
        let (group, after) = rest.split_at(end);
        rest = after;
        Some(group)
    })
    .take(MAX_GROUPS)
}
