//! The header fields that don't name people (MS-OXCMAIL 2.2.3.2).

use ringpost_mapi::{
    FileTime, PropTag, PropType, PropValue, PropertyBag,
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
    // What unified messaging says (MS-OXCMAIL 2.2.3.2.23).
    ("x-callingtelephonenumber", tags::SENDER_TELEPHONE_NUMBER),
    ("x-voicemessagesendername", tags::VOICE_MESSAGE_SENDER_NAME),
    ("x-attachmentorder", tags::VOICE_MESSAGE_ATTACHMENT_ORDER),
    ("x-callid", tags::CALL_ID),
];
/// Fields whose number becomes a property.
const NUMBERS: &[(&str, PropTag)] = &[
    ("x-voicemessageduration", tags::VOICE_MESSAGE_DURATION),
    ("x-faxnumberofpages", tags::FAX_NUMBER_OF_PAGES),
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
    // Without a date, when the first server had the message is nearest to the truth.
    let date = envelope.date.as_deref().and_then(parse_date);
    if let Some(time) = date.or_else(|| received(header).last()) {
        bag.set(tags::CLIENT_SUBMIT_TIME, PropValue::Time(time));
    }
    bag.set(tags::SENSITIVITY, PropValue::Integer32(0));
    let mut levels = Levels::default();
    for field in header::fields(header) {
        one(&field, content, &mut levels);
    }
    let importance = levels.importance.or(levels.other).unwrap_or(1);
    let bag = &mut content.properties;
    bag.set(tags::IMPORTANCE, PropValue::Integer32(importance));
    let priority = levels.priority.unwrap_or(importance) - 1;
    bag.set(tags::PRIORITY, PropValue::Integer32(priority));
    conversation(bag);
}

/// Sets what the store sets of messages in folders: when an embedded message was delivered, and its
/// PidTagMessageFlags (MS-OXCMSG 2.2.1.6): read, with or without attachments.
pub(super) fn convert_embedded(header: &[u8], bag: &mut PropertyBag) {
    const READ: i32 = 1;
    const HAS_ATTACHMENTS: i32 = 0x10;
    let sent = bag.get(tags::CLIENT_SUBMIT_TIME).cloned();
    if let Some(time) = received(header).next().map(PropValue::Time).or(sent) {
        bag.set(tags::MESSAGE_DELIVERY_TIME, time);
    }
    let attachments = bag.get(tags::HAS_ATTACHMENTS) == Some(&PropValue::Boolean(true));
    let flags = if attachments { READ | HAS_ATTACHMENTS } else { READ };
    bag.set(tags::MESSAGE_FLAGS, PropValue::Integer32(flags));
}

/// When servers received the message, the last one first (RFC 5321 4.4).
fn received(header: &[u8]) -> impl Iterator<Item = FileTime> {
    header::fields(header)
        .filter(|field| field.is("received"))
        .filter_map(|field| {
            let semicolon = memchr::memrchr(b';', field.value)?;
            parse_date(&header::unfold(&field.value[semicolon + 1..]))
        })
}

/// What the header says of importance, as PidTagImportance has it (MS-OXCMAIL 2.2.3.2.5).
#[derive(Default)]
struct Levels {
    /// `Importance:`, which is preferred.
    importance: Option<i32>,
    /// The first of the fields that older programs have.
    other: Option<i32>,
    /// `Priority:`, which says something else too.
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
    if let Some((_, tag)) = NUMBERS.iter().find(|(known, _)| *known == name) {
        if let Ok(number @ 0..) = text().trim().parse::<i32>() {
            bag.set(*tag, PropValue::Integer32(number));
        }
        return;
    }
    match name.as_str() {
        // Says which TNEF part belongs to the message; its end is part of it (MS-OXCMAIL 2.2.3.2.21).
        "x-ms-tnef-correlator" => {
            let mut key = text().into_bytes();
            key.push(0);
            bag.set(tags::TNEF_CORRELATION_KEY, PropValue::Binary(key));
        }
        "importance" => levels.importance = levels.importance.or(level(&lower())),
        "x-msmail-priority" | "x-priority" => levels.other = levels.other.or(level(&lower())),
        "priority" => {
            let level = level(&lower());
            levels.priority = levels.priority.or(level);
            levels.other = levels.other.or(level);
        }
        "sensitivity" => bag.set(tags::SENSITIVITY, PropValue::Integer32(sensitivity(&lower()))),
        "thread-topic" => set_string(bag, tags::CONVERSATION_TOPIC, &text()),
        "thread-index" => {
            let index = body::base64(&field.unfolded());
            if index.len() >= 22 {
                bag.set(tags::CONVERSATION_INDEX, PropValue::Binary(index));
            }
        }
        // Nobody answers a machine (RFC 3834 2).
        "auto-submitted" if !lower().starts_with("no") => add_suppress(bag, -1),
        "x-auto-response-suppress" => add_suppress(bag, suppress(&lower())),
        "x-message-flag" => {
            // MS-OXOFLAG 2.2.1.1: flagged for follow-up.
            bag.set(tags::FLAG_STATUS, PropValue::Integer32(2));
            push(
                content,
                named::LID_FLAG_REQUEST.property_name(),
                PropValue::String(text()),
            );
        }
        "content-class" | "accept-language" | "xref" | "content-base" => {
            push(
                content,
                PropertyName::name(sets::INTERNET_HEADERS, &name),
                PropValue::String(text()),
            );
        }
        "keywords" => {
            let words = keywords(&text());
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

/// Words between commas or semicolons; those in quotes may have some (RFC 5322 3.6.5).
fn keywords(text: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut rest = text.chars();
    // Quotes are quotes at the start of a word only, and if they end.
    while let Some(character) = rest.next() {
        match character {
            ',' | ';' => words.push(std::mem::take(&mut word)),
            '"' if word.trim().is_empty() && closing_quote(rest.as_str()) => {
                word.clear();
                while let Some(character) = rest.next() {
                    match character {
                        '"' => break,
                        '\\' => word.extend(rest.next()),
                        _ => word.push(character),
                    }
                }
            }
            _ => word.push(character),
        }
    }
    words.push(word);
    let words = words.iter().map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// Whether a quoted word ends, as the last thing before the next comma.
fn closing_quote(text: &str) -> bool {
    let mut escaped = false;
    let end = text.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.is_some_and(|at| {
        let after = text[at + 1..].trim_start();
        after.is_empty() || after.starts_with([',', ';'])
    })
}

/// Adds a named property; of equal names the first counts.
fn push(content: &mut MessageContent, name: PropertyName, value: PropValue) {
    debug_assert!(!matches!(&name.id, NameId::Name(text) if text.is_empty()));
    if content.named.len() < MAX_NAMED && !content.named.iter().any(|(known, _)| *known == name) {
        content.named.push((name, value));
    }
}

/// Characters of a subject with its prefix (MS-OXCMSG 2.2.1.10).
const MAX_SUBJECT: usize = 253;

/// The subject, its prefix of up to three characters, and the rest (MS-OXCMAIL 2.2.3.2.6.1).
fn subject(envelope: &Envelope, bag: &mut PropertyBag) {
    let subject = envelope.subject.as_deref().map(decode_text).unwrap_or_default();
    // At its beginning U+0001 would say that the next character is the prefix's length (MS-OXCMSG 2.2.1.10), and a byte
    // order mark would not come back out of the encoded word in which it is sent on.
    let subject = subject.trim_start_matches(['\u{1}', '\u{feff}']);
    let (prefix, rest) = split_prefix(subject);
    let prefix = prefix.map(|prefix| format!("{prefix}: ")).unwrap_or_default();
    let room = MAX_SUBJECT - prefix.chars().count();
    let end = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
    let rest = &rest[..end];
    set_string(bag, tags::SUBJECT, &format!("{prefix}{rest}"));
    set_string(bag, tags::NORMALIZED_SUBJECT, rest);
    set_string(bag, tags::SUBJECT_PREFIX, &prefix);
}

/// A prefix such as `Re`: one to three characters before a colon, none of them a blank or digit. What
/// follows may be blanks, but no slash: `ftp://` is an address.
fn split_prefix(subject: &str) -> (Option<&str>, &str) {
    let Some((prefix, rest)) = subject.split_once(':') else {
        return (None, subject);
    };
    let fits = (1..=3).contains(&prefix.chars().take(4).count())
        && !prefix.chars().any(|c| c == ' ' || c.is_ascii_digit())
        && !rest.starts_with('/');
    if fits {
        (Some(prefix), rest.trim_start_matches(' '))
    } else {
        (None, subject)
    }
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

fn add_suppress(bag: &mut PropertyBag, bits: i32) {
    let known = match bag.get(tags::AUTO_RESPONSE_SUPPRESS) {
        Some(&PropValue::Integer32(known)) => known,
        _ => 0,
    };
    bag.set(tags::AUTO_RESPONSE_SUPPRESS, PropValue::Integer32(known | bits));
}

/// PidTagAutoResponseSuppress (MS-OXCMAIL 2.1.3.2.20, MS-OXOMSG 2.2.1.77).
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

/// PidTagConversationIndexTracking (MS-OXOMSG 2.2.1.4).
const CONVERSATION_INDEX_TRACKING: PropTag = PropTag::new(0x3016, PropType::BOOLEAN);

/// A topic (MS-OXCMAIL 2.2.3.2.7), and an index made of the thread's first message id, where the header has
/// none: so all messages of a thread share the GUID in the index, of which the store makes
/// PidTagConversationId (MS-OXOMSG 2.2.1.2 to 2.2.1.4).
fn conversation(bag: &mut PropertyBag) {
    if bag.get(tags::CONVERSATION_TOPIC).is_none() {
        let subject = bag.string(tags::NORMALIZED_SUBJECT).unwrap_or_default();
        if !subject.is_empty() {
            let topic = subject.to_owned();
            set_string(bag, tags::CONVERSATION_TOPIC, &topic);
        }
    }
    if bag.get(tags::CONVERSATION_INDEX).is_some() {
        bag.set(CONVERSATION_INDEX_TRACKING, PropValue::Boolean(true));
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
    // The most significant 40 bits of the time.
    index.extend_from_slice(&time.to_be_bytes()[..5]);
    index.extend_from_slice(&fnv_128(first.as_bytes()));
    bag.set(tags::CONVERSATION_INDEX, PropValue::Binary(index));
    bag.set(CONVERSATION_INDEX_TRACKING, PropValue::Boolean(true));
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
