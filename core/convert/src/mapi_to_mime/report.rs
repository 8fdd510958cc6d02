//! Delivery and read reports (MS-OXCMAIL 2.1.3.5 and 2.1.3.6; RFC 3464, RFC 8098).

use base64::{Engine, prelude::BASE64_STANDARD};
use ringpost_mapi::{PropertyBag, tags};

use super::{
    Options, Parts, attachments, binary,
    entity::{Entity, with_crlf},
    integer,
};
use crate::{
    header::{HeaderWriter, format_date},
    message::MessageContent,
    mime_to_mapi::{says_something, status_code},
};

/// The part of a report that programs read.
pub(super) struct Report {
    /// The `report-type` of the multipart.
    pub(super) kind: &'static str,
    pub(super) status: Entity,
    /// The place of the attachment that it is.
    pub(super) attachment: Option<usize>,
}

/// What a message class says of a delivery.
const ACTIONS: &[(&str, &str)] = &[
    ("NDR", "failed"),
    ("DELAYED.DR", "delayed"),
    ("RELAYED.DR", "relayed"),
    ("EXPANDED.DR", "expanded"),
    ("DR", "delivered"),
];

/// The report that a message of this class is, if it is one.
pub(super) fn part(
    message: &MessageContent,
    class: &str,
    options: &Options<'_>,
    parts: &mut Parts<'_>,
) -> Option<Report> {
    let class = class.to_ascii_uppercase();
    if !class.starts_with("REPORT.") {
        return None;
    }
    // One that was received says it better than what was kept of it.
    let received = message
        .attachments
        .iter()
        .enumerate()
        .find_map(|(at, attachment)| {
            let subtype = attachments::is_status(attachment)?;
            let data = attachments::data(attachment, parts)?;
            let text = with_crlf(&String::from_utf8_lossy(&data));
            if !says_something(text.as_bytes()) {
                return None;
            }
            let kind = match subtype {
                "delivery-status" | "global-delivery-status" => "delivery-status",
                _ => "disposition-notification",
            };
            // Only the types for all languages may have other characters (RFC 6533).
            let subtype = if text.is_ascii() || subtype.starts_with("global-") {
                subtype.to_owned()
            } else {
                format!("global-{subtype}")
            };
            Some(Report {
                kind,
                status: entity(&subtype, &text),
                attachment: Some(at),
            })
        });
    if received.is_some() {
        return received;
    }
    if class.ends_with("IPNRN") || class.ends_with("IPNNRN") {
        let default = if class.ends_with("IPNRN") {
            "displayed"
        } else {
            "deleted"
        };
        return Some(disposition(&message.properties, default));
    }
    let (_, action) = ACTIONS.iter().find(|(end, _)| class.ends_with(end))?;
    Some(delivery(message, action, options))
}

fn entity(subtype: &str, text: &str) -> Entity {
    let mut header = HeaderWriter::default();
    header.parameters("Content-Type", &format!("message/{subtype}"), &[]);
    Entity::verbatim(header, text.as_bytes())
}

fn disposition(bag: &PropertyBag, default: &str) -> Report {
    let mut fields = HeaderWriter::default();
    let who = bag
        .string(tags::SENDER_SMTP_ADDRESS)
        .or(bag.string(tags::SENDER_EMAIL_ADDRESS))
        .unwrap_or_default();
    fields.words("Final-Recipient", &format!("rfc822; {who}"));
    if let Some(id) = bag.string(tags::ORIGINAL_MESSAGE_ID) {
        fields.words("Original-Message-ID", id);
    }
    if let Some(key) = binary(bag, tags::PARENT_KEY) {
        fields.words("X-MSExch-Correlation-Key", &BASE64_STANDARD.encode(key));
    }
    let mode = bag
        .string(tags::REPORT_DISPOSITION_MODE)
        .unwrap_or("automatic-action/MDN-sent-automatically");
    let kind = bag.string(tags::REPORT_DISPOSITION).unwrap_or(default);
    fields.words("Disposition", &format!("{mode}; {kind}"));
    Report {
        kind: "disposition-notification",
        status: entity("disposition-notification", &fields.finish()),
        attachment: None,
    }
}

fn delivery(message: &MessageContent, action: &str, options: &Options<'_>) -> Report {
    let bag = &message.properties;
    let mut fields = HeaderWriter::default();
    let agent = bag
        .string(tags::REPORTING_MESSAGE_TRANSFER_AGENT)
        .unwrap_or("localhost");
    fields.words("Reporting-MTA", &format!("dns; {agent}"));
    fields.text("Arrival-Date", &format_date(options.now));
    let mut text = fields.finish();
    for row in &message.recipients {
        let mut fields = HeaderWriter::default();
        let address = row
            .string(tags::SMTP_ADDRESS)
            .or(row.string(tags::EMAIL_ADDRESS))
            .unwrap_or_default();
        fields.words("Final-Recipient", &format!("rfc822; {address}"));
        fields.words("Action", action);
        let information = row.string(tags::SUPPLEMENTARY_INFO);
        let (exact, diagnostic) = information.map_or((None, None), from_information);
        let code = integer(row, tags::NON_DELIVERY_REPORT_STATUS_CODE);
        let exact = exact.filter(|exact| code.is_none() || status_code(exact) == code);
        let status = exact.map_or_else(|| status(code, action), str::to_owned);
        fields.words("Status", &status);
        if let Some(agent) = row.string(tags::REMOTE_MESSAGE_TRANSFER_AGENT) {
            fields.words("Remote-MTA", &format!("dns; {agent}"));
        }
        if let Some(diagnostic) = diagnostic {
            fields.text("Diagnostic-Code", diagnostic);
        }
        if let Some(information) = information {
            fields.text("X-Supplementary-Info", information);
        }
        if let Some(name) = row.string(tags::DISPLAY_NAME) {
            fields.text("X-Display-Name", name);
        }
        text.push_str(&fields.finish());
    }
    if message.recipients.is_empty() {
        // Of a report about nobody at least what it says (RFC 3464 2.3.1 has the type for it).
        let mut fields = HeaderWriter::default();
        fields.words("Final-Recipient", "unknown; unknown");
        fields.words("Action", action);
        fields.words("Status", &status(None, action));
        text.push_str(&fields.finish());
    }
    // The last group ends where the part does.
    let text = text.strip_suffix("\r\n").unwrap_or(&text);
    Report {
        kind: "delivery-status",
        status: entity("delivery-status", text),
        attachment: None,
    }
}

/// The status and the diagnostic in `<server #5.1.1 smtp; 550 no such user>`: the code that is kept as a number lacks
/// the dots, and the type stands before the diagnostic (RFC 3464 2.3.6).
fn from_information(text: &str) -> (Option<&str>, Option<&str>) {
    let inner = text.trim().trim_start_matches('<').trim_end_matches('>');
    let Some((_, after)) = inner.split_once('#') else {
        return (None, None);
    };
    let (status, rest) = after.split_once(' ').unwrap_or((after, ""));
    let status = Some(status).filter(|status| status_code(status).is_some());
    let typed = rest.split_once(';').is_some_and(|(kind, text)| {
        let letters = kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !kind.is_empty() && letters && !text.trim().is_empty()
    });
    (status, typed.then_some(rest))
}

/// The enhanced status of PidTagNonDeliveryReportStatusCode: `5.1.1` for 511; without one what suits the action.
fn status(code: Option<i32>, action: &str) -> String {
    match code {
        Some(code @ 200..=599) => format!("{}.{}.{}", code / 100, code / 10 % 10, code % 10),
        _ => match action {
            "failed" => "5.0.0".to_owned(),
            "delayed" => "4.0.0".to_owned(),
            _ => "2.0.0".to_owned(),
        },
    }
}
