//! The other header fields (MS-OXCMAIL 2.2.3.1, 2.2.3.2).

use ringpost_mapi::{
    PropTag, PropValue, PropertyBag,
    named::{self, MAX_NAME_UNITS, NameId, PropertyName, sets},
    tags,
};

use super::{MAX_NAMED, set_string};
use crate::{
    body,
    header::{self, Field, decode_text, parse_date},
    message::MessageContent,
    structure::Envelope,
};

/// Fields whose text becomes a property as it is.
const STRINGS: &[(&str, PropTag)] = &[
    ("list-help", tags::LIST_HELP),
    ("x-list-help", tags::LIST_HELP),
    ("list-subscribe", tags::LIST_SUBSCRIBE),
    ("x-list-subscribe", tags::LIST_SUBSCRIBE),
    ("list-unsubscribe", tags::LIST_UNSUBSCRIBE),
    ("x-list-unsubscribe", tags::LIST_UNSUBSCRIBE),
];
/// Fields whose text becomes a date.
const DATES: &[(&str, PropTag)] = &[
    ("expires", tags::EXPIRY_TIME),
    ("expiry-date", tags::EXPIRY_TIME),
    ("reply-by", tags::REPLY_TIME),
    ("deferred-delivery", tags::DEFERRED_DELIVERY_TIME),
];

/// Sets what the header says, people aside.
pub(super) fn convert(envelope: &Envelope, header: &[u8], content: &mut MessageContent) {
    let bag = &mut content.properties;
    subject(envelope, bag);
    let ids = [
        (&envelope.message_id, tags::INTERNET_MESSAGE_ID),
        (&envelope.in_reply_to, tags::IN_REPLY_TO_ID),
        (&envelope.references, tags::INTERNET_REFERENCES),
    ];
    for (id, tag) in ids {
        if let Some(id) = id {
            set_string(bag, tag, &String::from_utf8_lossy(id));
        }
    }
    if let Some(time) = envelope.date.as_deref().and_then(parse_date) {
        bag.set(tags::CLIENT_SUBMIT_TIME, PropValue::Time(time));
    }
    bag.set(tags::SENSITIVITY, PropValue::Integer32(0));
    let mut levels = Levels::default();
    for field in header::fields(header) {
        one(&field, content, &mut levels);
    }
    let importance = levels.importance.or(levels.priority).unwrap_or(1);
    let bag = &mut content.properties;
    bag.set(tags::IMPORTANCE, PropValue::Integer32(importance));
    bag.set(tags::PRIORITY, PropValue::Integer32(importance - 1));
    conversation(bag);
}

#[derive(Default)]
struct Levels {
    importance: Option<i32>,
    priority: Option<i32>,
}

fn one(field: &Field<'_>, content: &mut MessageContent, levels: &mut Levels) {
    let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
    let bag = &mut content.properties;
    let text = || decode_text(&field.unfolded());
    let lower = || text().to_ascii_lowercase();
    if let Some((_, tag)) = STRINGS.iter().find(|(known, _)| *known == name) {
        return set_string(bag, *tag, &text());
    }
    if let Some((_, tag)) = DATES.iter().find(|(known, _)| *known == name) {
        if let Some(time) = parse_date(&field.unfolded()) {
            bag.set(*tag, PropValue::Time(time));
        }
        return;
    }
    match name.as_str() {
        "importance" | "x-msmail-priority" => levels.importance = levels.importance.or(level(&lower())),
        "priority" | "x-priority" => levels.priority = levels.priority.or(level(&lower())),
        "sensitivity" => bag.set(tags::SENSITIVITY, PropValue::Integer32(sensitivity(&lower()))),
        "thread-topic" => set_string(bag, tags::CONVERSATION_TOPIC, &text()),
        "thread-index" => {
            let index = body::base64(&field.unfolded());
            if index.len() >= 22 {
                bag.set(tags::CONVERSATION_INDEX, PropValue::Binary(index));
            }
        }
        "auto-submitted" if lower() != "no" => {
            bag.set(tags::AUTO_RESPONSE_SUPPRESS, PropValue::Integer32(-1));
        }
        "x-auto-response-suppress" => {
            bag.set(
                tags::AUTO_RESPONSE_SUPPRESS,
                PropValue::Integer32(suppress(&lower())),
            );
        }
        "content-class" => {
            let name = PropertyName::name(sets::INTERNET_HEADERS, "content-class");
            push(content, name, PropValue::String(text()));
        }
        "keywords" => {
            let words = text();
            let words = words
                .split([',', ';'])
                .map(str::trim)
                .filter(|word| !word.is_empty());
            let words = words.map(str::to_owned).collect();
            let name = named::NAME_KEYWORDS.property_name();
            push(content, name, PropValue::MultipleString(words));
        }
        _ if name.starts_with("x-") && name.len() <= MAX_NAME_UNITS => {
            push(
                content,
                PropertyName::name(sets::INTERNET_HEADERS, &name),
                PropValue::String(text()),
            );
        }
        _ => {}
    }
}

/// Adds a named property; of equal names the first counts.
fn push(content: &mut MessageContent, name: PropertyName, value: PropValue) {
    debug_assert!(!matches!(&name.id, NameId::Name(text) if text.is_empty()));
    if content.named.len() < MAX_NAMED && !content.named.iter().any(|(known, _)| *known == name) {
        content.named.push((name, value));
    }
}

/// The subject, its prefix of up to three letters, and the rest (MS-OXCMAIL 2.2.3.1.7, MS-OXCMSG 3.2.4.4).
fn subject(envelope: &Envelope, bag: &mut PropertyBag) {
    let subject = envelope.subject.as_deref().map(decode_text).unwrap_or_default();
    let prefix = prefix_length(&subject);
    set_string(bag, tags::SUBJECT, &subject);
    set_string(bag, tags::SUBJECT_PREFIX, &subject[..prefix]);
    set_string(bag, tags::NORMALIZED_SUBJECT, &subject[prefix..]);
}

/// The bytes of a prefix such as `Re: `: one to three letters, a colon and a space.
fn prefix_length(subject: &str) -> usize {
    let Some((letters, _)) = subject.split_once(": ") else {
        return 0;
    };
    let count = letters.chars().count();
    let word = (1..=3).contains(&count) && letters.chars().all(char::is_alphabetic);
    if word { letters.len() + 2 } else { 0 }
}

/// PidTagImportance: 0 low, 1 normal, 2 high.
fn level(text: &str) -> Option<i32> {
    let word = text.split([' ', '(', ';']).next().unwrap_or_default();
    match word {
        "low" | "non-urgent" | "4" | "5" => Some(0),
        "normal" | "3" => Some(1),
        "high" | "urgent" | "highest" | "1" | "2" => Some(2),
        _ => None,
    }
}

/// PidTagSensitivity (MS-OXCMSG 2.2.1.13).
fn sensitivity(text: &str) -> i32 {
    match text.trim() {
        "personal" => 1,
        "private" => 2,
        "company-confidential" => 3,
        _ => 0,
    }
}

/// PidTagAutoResponseSuppress (MS-OXOMSG 2.2.1.77).
fn suppress(text: &str) -> i32 {
    let bit = |word: &str| match word.trim() {
        "all" => -1,
        "dr" => 1,
        "ndr" => 2,
        "rn" => 4,
        "nrn" => 8,
        "oof" => 16,
        "autoreply" => 32,
        _ => 0,
    };
    text.split([',', ' ']).map(bit).fold(0, |bits, bit| bits | bit)
}

/// A topic, and an index made of the first message's id, where the header has none (MS-OXOMSG 2.2.1.2, 2.2.1.3):
/// so all messages of a thread share the index's GUID.
fn conversation(bag: &mut PropertyBag) {
    if bag.get(tags::CONVERSATION_TOPIC).is_none() {
        let topic = bag
            .string(tags::NORMALIZED_SUBJECT)
            .unwrap_or_default()
            .to_owned();
        set_string(bag, tags::CONVERSATION_TOPIC, &topic);
    }
    if bag.get(tags::CONVERSATION_INDEX).is_some() {
        return;
    }
    let first = [
        tags::INTERNET_REFERENCES,
        tags::IN_REPLY_TO_ID,
        tags::INTERNET_MESSAGE_ID,
    ]
    .into_iter()
    .find_map(|tag| bag.string(tag)?.split_whitespace().next());
    let Some(first) = first else {
        return;
    };
    let time = match bag.get(tags::CLIENT_SUBMIT_TIME) {
        Some(PropValue::Time(time)) => time.0,
        _ => 0,
    };
    let mut index = vec![1];
    index.extend_from_slice(&time.to_be_bytes()[1..6]);
    index.extend_from_slice(&fnv_128(first.as_bytes()));
    bag.set(tags::CONVERSATION_INDEX, PropValue::Binary(index));
}

/// FNV-1a of 128 bits: well spread, and the same everywhere and always.
fn fnv_128(bytes: &[u8]) -> [u8; 16] {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = bytes.iter().fold(OFFSET, |hash, &byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    });
    hash.to_be_bytes()
}
