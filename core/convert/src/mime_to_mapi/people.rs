//! Senders and recipients (MS-OXCMAIL 2.2.3.1).

use ringpost_mapi::{PropTag, PropType, PropValue, PropertyBag, entryid::OneOffEntryId, tags};

use super::set_string;
use crate::{
    header::{self, addresses, decode_text},
    message::MessageContent,
    structure::{Address, Envelope},
};

/// PidTagRecipientType (MS-OXOMSG 2.2.3.1).
const KINDS: [i32; 3] = [1, 2, 3];

/// A person to write to.
pub(super) struct Person {
    pub(super) name: String,
    address: String,
}

impl Person {
    /// None for the rows that begin and end a group.
    pub(super) fn of(address: &Address) -> Option<Self> {
        let host = String::from_utf8_lossy(address.host.as_deref()?);
        let mailbox = String::from_utf8_lossy(address.mailbox.as_deref()?);
        let smtp = if host.is_empty() {
            mailbox.into_owned()
        } else {
            format!("{mailbox}@{host}")
        };
        let name = address
            .name
            .as_deref()
            .map(decode_text)
            .filter(|name| !name.trim().is_empty());
        Some(Self {
            name: name.unwrap_or_else(|| smtp.clone()),
            address: smtp,
        })
    }

    fn entry_id(&self) -> Vec<u8> {
        OneOffEntryId::new(&self.name, "SMTP", &self.address).encode()
    }

    /// `SMTP:` and the address in capitals, with a zero at the end (MS-OXOABK 2.2.3.7).
    fn search_key(&self) -> Vec<u8> {
        format!("SMTP:{}\0", self.address.to_uppercase()).into_bytes()
    }

    /// The row of the recipient table; `kind` is its PidTagRecipientType.
    pub(super) fn recipient(&self, kind: i32) -> PropertyBag {
        /// PidTagObjectType: a mail user (MS-OXCPRPT 2.2.1.7).
        const MAIL_USER: i32 = 6;
        let mut bag = PropertyBag::new();
        bag.set(tags::RECIPIENT_TYPE, PropValue::Integer32(kind));
        bag.set(tags::RESPONSIBILITY, PropValue::Boolean(true));
        bag.set(tags::OBJECT_TYPE, PropValue::Integer32(MAIL_USER));
        bag.set(tags::DISPLAY_TYPE, PropValue::Integer32(0));
        bag.set(tags::RECIPIENT_FLAGS, PropValue::Integer32(1));
        let entry_id = self.entry_id();
        bag.set(tags::RECIPIENT_ENTRY_ID, PropValue::Binary(entry_id.clone()));
        set_string(&mut bag, tags::RECIPIENT_DISPLAY_NAME, &self.name);
        set_string(&mut bag, tags::TRANSMITTABLE_DISPLAY_NAME, &self.name);
        self.set(&mut bag, &RECIPIENT, entry_id);
        bag
    }

    fn set(&self, bag: &mut PropertyBag, tags: &PersonTags, entry_id: Vec<u8>) {
        set_string(bag, tags.name, &self.name);
        set_string(bag, tags.address_type, "SMTP");
        set_string(bag, tags.email, &self.address);
        set_string(bag, tags.smtp, &self.address);
        bag.set(tags.entry_id, PropValue::Binary(entry_id));
        bag.set(tags.search_key, PropValue::Binary(self.search_key()));
    }
}

/// The properties that say who somebody is.
struct PersonTags {
    name: PropTag,
    address_type: PropTag,
    email: PropTag,
    smtp: PropTag,
    entry_id: PropTag,
    search_key: PropTag,
}

const SENDER: PersonTags = PersonTags {
    name: tags::SENDER_NAME,
    address_type: tags::SENDER_ADDRESS_TYPE,
    email: tags::SENDER_EMAIL_ADDRESS,
    smtp: tags::SENDER_SMTP_ADDRESS,
    entry_id: tags::SENDER_ENTRY_ID,
    search_key: tags::SENDER_SEARCH_KEY,
};
/// PidTagSentRepresentingAddressType.
const SENT_REPRESENTING_ADDRESS_TYPE: PropTag = PropTag::new(0x0064, PropType::STRING);
const SENT_REPRESENTING: PersonTags = PersonTags {
    name: tags::SENT_REPRESENTING_NAME,
    address_type: SENT_REPRESENTING_ADDRESS_TYPE,
    email: tags::SENT_REPRESENTING_EMAIL_ADDRESS,
    smtp: tags::SENT_REPRESENTING_SMTP_ADDRESS,
    entry_id: tags::SENT_REPRESENTING_ENTRY_ID,
    search_key: tags::SENT_REPRESENTING_SEARCH_KEY,
};
const READ_RECEIPT: PersonTags = PersonTags {
    name: tags::READ_RECEIPT_NAME,
    address_type: tags::READ_RECEIPT_ADDRESS_TYPE,
    email: tags::READ_RECEIPT_EMAIL_ADDRESS,
    smtp: tags::READ_RECEIPT_SMTP_ADDRESS,
    entry_id: tags::READ_RECEIPT_ENTRY_ID,
    search_key: tags::READ_RECEIPT_SEARCH_KEY,
};
const RECIPIENT: PersonTags = PersonTags {
    name: tags::DISPLAY_NAME,
    address_type: tags::ADDRESS_TYPE,
    email: tags::EMAIL_ADDRESS,
    smtp: tags::SMTP_ADDRESS,
    entry_id: tags::ENTRY_ID,
    search_key: tags::SEARCH_KEY,
};

/// Sets who sent the message, who gets it, who gets answers and receipts.
pub(super) fn convert(envelope: &Envelope, header: &[u8], content: &mut MessageContent) {
    let bag = &mut content.properties;
    let first = |list: &[Address]| list.iter().find_map(Person::of);
    let from = first(&envelope.from).or_else(|| first(&envelope.sender));
    let sender = first(&envelope.sender).or_else(|| first(&envelope.from));
    if let Some(from) = from {
        from.set(bag, &SENT_REPRESENTING, from.entry_id());
    }
    if let Some(sender) = sender {
        sender.set(bag, &SENDER, sender.entry_id());
    }
    if envelope.reply_to != envelope.from {
        reply_to(&envelope.reply_to, bag);
    }
    receipts(header, bag);
    let lists = [&envelope.to, &envelope.cc, &envelope.bcc];
    let shown = [tags::DISPLAY_TO, tags::DISPLAY_CC, tags::DISPLAY_BCC];
    for ((list, kind), shown) in lists.into_iter().zip(KINDS).zip(shown) {
        let mut names = Vec::new();
        for person in list.iter().filter_map(Person::of) {
            content.recipients.push(person.recipient(kind));
            names.push(person.name);
        }
        set_string(&mut content.properties, shown, &names.join("; "));
    }
}

/// PidTagReplyRecipientEntries is a FlatEntryList: count, size, then each entry with its size and padded to
/// four bytes (MS-OXCDATA 2.3.3).
fn reply_to(list: &[Address], bag: &mut PropertyBag) {
    let people: Vec<Person> = list.iter().filter_map(Person::of).collect();
    if people.is_empty() {
        return;
    }
    let mut entries = Vec::new();
    for person in &people {
        let entry = person.entry_id();
        entries.extend_from_slice(&(entry.len() as u32).to_le_bytes());
        entries.extend_from_slice(&entry);
        entries.resize(entries.len().next_multiple_of(4), 0);
    }
    let mut flat = (people.len() as u32).to_le_bytes().to_vec();
    flat.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    flat.extend_from_slice(&entries);
    bag.set(tags::REPLY_RECIPIENT_ENTRIES, PropValue::Binary(flat));
    let names: Vec<String> = people.into_iter().map(|person| person.name).collect();
    set_string(bag, tags::REPLY_RECIPIENT_NAMES, &names.join("; "));
}

/// Who asked for a read receipt or a delivery report (MS-OXCMAIL 2.1.3.1.5, 2.6.1).
fn receipts(header: &[u8], bag: &mut PropertyBag) {
    let person = |name: &str| {
        let list = addresses(&header::field(header, name)?.unfolded());
        list.iter().find_map(Person::of)
    };
    if let Some(person) = person("Disposition-Notification-To") {
        person.set(bag, &READ_RECEIPT, person.entry_id());
        bag.set(tags::READ_RECEIPT_REQUESTED, PropValue::Boolean(true));
        bag.set(tags::NON_RECEIPT_NOTIFICATION_REQUESTED, PropValue::Boolean(true));
    }
    if person("Return-Receipt-To").is_some() {
        bag.set(
            tags::ORIGINATOR_DELIVERY_REPORT_REQUESTED,
            PropValue::Boolean(true),
        );
    }
}
