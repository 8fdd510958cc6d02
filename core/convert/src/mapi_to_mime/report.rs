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
};

/// The part of a report that programs read.
pub(super) struct Report {
    /// The `report-type` of the multipart.
    pub(super) kind: &'static str,
    pub(super) status: Entity,
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
    let received = message.attachments.iter().find_map(|attachment| {
        let subtype = attachments::is_status(attachment)?;
        let data = attachments::data(attachment, parts)?;
        let kind = match subtype {
            "delivery-status" => "delivery-status",
            _ => "disposition-notification",
        };
        let text = with_crlf(&String::from_utf8_lossy(&data));
        Some(Report {
            kind,
            status: entity(kind, &text),
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
        fields.words(
            "Status",
            &status(integer(row, tags::NON_DELIVERY_REPORT_STATUS_CODE), action),
        );
        if let Some(agent) = row.string(tags::REMOTE_MESSAGE_TRANSFER_AGENT) {
            fields.words("Remote-MTA", &format!("dns; {agent}"));
        }
        if let Some(information) = row.string(tags::SUPPLEMENTARY_INFO) {
            fields.text("X-Supplementary-Info", information);
        }
        if let Some(name) = row.string(tags::DISPLAY_NAME) {
            fields.text("X-Display-Name", name);
        }
        text.push_str(&fields.finish());
    }
    Report {
        kind: "delivery-status",
        status: entity("delivery-status", &text),
    }
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
