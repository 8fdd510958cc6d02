//! Who sent the message, and to whom (MS-OXCMAIL 2.1.3.1).

use ringpost_mapi::{PropTag, PropType, PropertyBag, entryid::OneOffEntryId, tags};

use super::{Options, binary, boolean, integer};
use crate::{header::HeaderWriter, message::MessageContent};

/// PidTagSentRepresentingAddressType.
const SENT_REPRESENTING_ADDRESS_TYPE: PropTag = PropTag::new(0x0064, PropType::STRING);
/// Entries of PidTagReplyRecipientEntries that are looked at.
const MAX_REPLY_TO: usize = 1_000;

/// The properties of a person: name, SMTP address, address type, address.
type PersonTags = [PropTag; 4];

const SENDER: PersonTags = [
    tags::SENDER_NAME,
    tags::SENDER_SMTP_ADDRESS,
    tags::SENDER_ADDRESS_TYPE,
    tags::SENDER_EMAIL_ADDRESS,
];
const SENT_REPRESENTING: PersonTags = [
    tags::SENT_REPRESENTING_NAME,
    tags::SENT_REPRESENTING_SMTP_ADDRESS,
    SENT_REPRESENTING_ADDRESS_TYPE,
    tags::SENT_REPRESENTING_EMAIL_ADDRESS,
];
const READ_RECEIPT: PersonTags = [
    tags::READ_RECEIPT_NAME,
    tags::READ_RECEIPT_SMTP_ADDRESS,
    tags::READ_RECEIPT_ADDRESS_TYPE,
    tags::READ_RECEIPT_EMAIL_ADDRESS,
];
const ORIGINAL_SENDER: PersonTags = [
    tags::ORIGINAL_SENDER_NAME,
    // No property has its SMTP address alone.
    tags::ORIGINAL_SENDER_EMAIL_ADDRESS,
    tags::ORIGINAL_SENDER_ADDRESS_TYPE,
    tags::ORIGINAL_SENDER_EMAIL_ADDRESS,
];
const RECIPIENT: PersonTags = [
    tags::DISPLAY_NAME,
    tags::SMTP_ADDRESS,
    tags::ADDRESS_TYPE,
    tags::EMAIL_ADDRESS,
];

/// Name and SMTP address; `None` where there is no SMTP address.
fn person<'a>(bag: &'a PropertyBag, [name, smtp, kind, address]: &PersonTags) -> Option<(&'a str, &'a str)> {
    let by_type = || {
        let kind = bag.string(*kind).unwrap_or("SMTP");
        bag.string(*address).filter(|_| kind.eq_ignore_ascii_case("SMTP"))
    };
    let address = bag
        .string(*smtp)
        .filter(|text| text.contains('@'))
        .or_else(by_type)?;
    Some((bag.string(*name).unwrap_or_default(), address))
}

pub(super) fn write(
    message: &MessageContent,
    options: &Options<'_>,
    depth: usize,
    header: &mut HeaderWriter,
) {
    let bag = &message.properties;
    let sender = person(bag, &SENDER);
    let from = person(bag, &SENT_REPRESENTING).or(sender);
    header.addresses("From", from);
    if let (Some(from), Some(sender)) = (from, sender)
        && !from.1.eq_ignore_ascii_case(sender.1)
    {
        header.addresses("Sender", [sender]);
    }
    let reply_to = reply_to(bag);
    header.addresses(
        "Reply-To",
        reply_to
            .iter()
            .map(|(name, address)| (name.as_str(), address.as_str())),
    );
    let bcc = options.show_bcc || depth > 0;
    // The recipients of a delivery report are those that it is about; it goes to who wrote to them.
    let class = bag
        .string(tags::MESSAGE_CLASS)
        .unwrap_or_default()
        .to_ascii_uppercase();
    let report = class.starts_with("REPORT.") && class.ends_with("DR");
    if let Some(original) = person(bag, &ORIGINAL_SENDER).filter(|_| report) {
        header.addresses("To", [original]);
    }
    let others = !report || person(bag, &ORIGINAL_SENDER).is_none();
    for (kind, name) in [(1, "To"), (2, "Cc"), (3, "Bcc")] {
        if (kind == 3 && !bcc) || !others {
            continue;
        }
        let rows = message
            .recipients
            .iter()
            // The high bits say who is responsible for it, and that it is a copy sent again.
            .filter(|row| integer(row, tags::RECIPIENT_TYPE).unwrap_or(1) & 0xf == kind);
        header.addresses(
            name,
            rows.filter_map(|row| {
                let (display, address) = person(row, &RECIPIENT)?;
                let shown = if display.is_empty() {
                    row.string(tags::RECIPIENT_DISPLAY_NAME)
                } else {
                    None
                };
                Some((shown.unwrap_or(display), address))
            }),
        );
    }
    let asker = person(bag, &READ_RECEIPT).or(from);
    if boolean(bag, tags::READ_RECEIPT_REQUESTED) {
        header.addresses("Disposition-Notification-To", asker);
    }
    if boolean(bag, tags::ORIGINATOR_DELIVERY_REPORT_REQUESTED) {
        header.addresses("Return-Receipt-To", from);
    }
}

/// The entries of a FlatEntryList (MS-OXCDATA 2.3.3) that are SMTP addresses.
fn reply_to(bag: &PropertyBag) -> Vec<(String, String)> {
    let Some(entries) = binary(bag, tags::REPLY_RECIPIENT_ENTRIES) else {
        return Vec::new();
    };
    let mut reader = ringpost_mapi::Reader::new(entries);
    let mut people = Vec::new();
    let mut next = || -> Result<(), ringpost_mapi::CodecError> {
        let count = reader.u32("entries")?;
        reader.u32("entries")?;
        for _ in 0..count.min(MAX_REPLY_TO as u32) {
            let size = reader.u32("entry")? as usize;
            let entry = reader.take(size, "entry")?;
            if let Ok(entry) = OneOffEntryId::decode(entry)
                && entry.address_type.eq_ignore_ascii_case("SMTP")
            {
                people.push((entry.display_name, entry.address));
            }
            let fill = size.next_multiple_of(4) - size;
            reader.take(fill.min(reader.remaining()), "entry")?;
        }
        Ok(())
    };
    // Of a damaged list what came before.
    let _damaged = next();
    people
}
