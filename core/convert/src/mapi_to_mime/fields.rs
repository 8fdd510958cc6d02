//! The header fields that don't name people (MS-OXCMAIL 2.1.3.2).

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use ringpost_mapi::{
    PropTag, PropValue, PropertyBag,
    named::{self, NameId, PropertyName, sets},
    tags,
};

use super::{Options, binary, integer};
use crate::{
    header::{HeaderWriter, format_date},
    message::MessageContent,
};

/// Properties whose text is a field's.
const STRINGS: &[(&str, PropTag)] = &[
    ("X-CallingTelephoneNumber", tags::SENDER_TELEPHONE_NUMBER),
    ("X-VoiceMessageSenderName", tags::VOICE_MESSAGE_SENDER_NAME),
    ("X-AttachmentOrder", tags::VOICE_MESSAGE_ATTACHMENT_ORDER),
    ("X-CallID", tags::CALL_ID),
];
/// Properties whose addresses are a field's.
const LISTS: &[(&str, PropTag)] = &[
    ("List-Help", tags::LIST_HELP),
    ("List-Subscribe", tags::LIST_SUBSCRIBE),
    ("List-Unsubscribe", tags::LIST_UNSUBSCRIBE),
];
/// Properties that are a field's number.
const NUMBERS: &[(&str, PropTag)] = &[
    ("X-VoiceMessageDuration", tags::VOICE_MESSAGE_DURATION),
    ("X-FaxNumberOfPages", tags::FAX_NUMBER_OF_PAGES),
];
/// Properties that are a field's date.
const DATES: &[(&str, PropTag)] = &[
    ("Expires", tags::EXPIRY_TIME),
    ("Reply-By", tags::REPLY_TIME),
    ("Deferred-Delivery", tags::DEFERRED_DELIVERY_TIME),
];
/// Fields that others write: those of the transport, and what decides how the message is read.
const NEVER_COPIED: &[&str] = &[
    "x-ms-tnef-correlator",
    "x-priority",
    "x-msmail-priority",
    "x-auto-response-suppress",
    "x-message-flag",
    "x-originating-ip",
];

pub(super) fn write(message: &MessageContent, options: &Options<'_>, header: &mut HeaderWriter) {
    let bag = &message.properties;
    header.text("Subject", &subject(bag));
    let time = match bag.get(tags::CLIENT_SUBMIT_TIME) {
        Some(PropValue::Time(time)) => *time,
        _ => options.now,
    };
    header.text("Date", &format_date(time));
    header.words(
        "Message-ID",
        bag.string(tags::INTERNET_MESSAGE_ID)
            .filter(|id| !id.is_empty())
            .unwrap_or(options.message_id),
    );
    let ids = [
        ("In-Reply-To", tags::IN_REPLY_TO_ID),
        ("References", tags::INTERNET_REFERENCES),
    ];
    for (name, tag) in ids.iter().chain(LISTS) {
        if let Some(text) = bag.string(*tag) {
            let words: Vec<&str> = text.split_whitespace().collect();
            if !words.is_empty() {
                header.words(name, &words.join(" "));
            }
        }
    }
    if let Some(topic) = bag.string(tags::CONVERSATION_TOPIC) {
        header.text("Thread-Topic", topic);
    }
    if let Some(index) = binary(bag, tags::CONVERSATION_INDEX) {
        header.words("Thread-Index", &in_words(&BASE64_STANDARD.encode(index)));
    }
    levels(bag, header);
    for (name, tag) in STRINGS {
        if let Some(text) = bag.string(*tag) {
            header.text(name, text);
        }
    }
    for (name, tag) in NUMBERS {
        if let Some(number) = integer(bag, *tag) {
            header.text(name, &number.to_string());
        }
    }
    for (name, tag) in DATES {
        if let Some(PropValue::Time(time)) = bag.get(*tag) {
            header.text(name, &format_date(*time));
        }
    }
    if let Some(bits) = integer(bag, tags::AUTO_RESPONSE_SUPPRESS).filter(|&bits| bits != 0) {
        header.text("X-Auto-Response-Suppress", &suppress(bits));
    }
    named(&message.named, header);
}

/// Base64 with blanks, so that it can be folded.
fn in_words(text: &str) -> String {
    const WORD: usize = 60;
    let mut out = String::with_capacity(text.len() + text.len() / WORD + 1);
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % WORD == 0 {
            out.push(' ');
        }
        out.push(character);
    }
    out
}

fn subject(bag: &PropertyBag) -> String {
    bag.string(tags::SUBJECT).map_or_else(
        || {
            let prefix = bag.string(tags::SUBJECT_PREFIX).unwrap_or_default();
            let rest = bag.string(tags::NORMALIZED_SUBJECT).unwrap_or_default();
            format!("{prefix}{rest}")
        },
        // Some clients write the length of the prefix in front of it: the byte 1 and another (MS-OXCMSG 2.2.1.10).
        |subject| match subject.strip_prefix('\u{1}') {
            Some(marked) => marked.chars().skip(1).collect(),
            None => subject.to_owned(),
        },
    )
}

/// Importance, priority and sensitivity (2.1.3.2.5, 2.1.3.2.6).
fn levels(bag: &PropertyBag, header: &mut HeaderWriter) {
    match integer(bag, tags::IMPORTANCE) {
        Some(0) => {
            header.text("Importance", "low");
            header.text("X-Priority", "5");
        }
        Some(2) => {
            header.text("Importance", "high");
            header.text("X-Priority", "1");
        }
        _ => {}
    }
    match integer(bag, tags::PRIORITY) {
        Some(-1) => header.text("Priority", "non-urgent"),
        Some(1) => header.text("Priority", "urgent"),
        _ => {}
    }
    match integer(bag, tags::SENSITIVITY) {
        Some(1) => header.text("Sensitivity", "personal"),
        Some(2) => header.text("Sensitivity", "private"),
        Some(3) => header.text("Sensitivity", "company-confidential"),
        _ => {}
    }
}

/// The words of PidTagAutoResponseSuppress (2.1.3.2.20).
fn suppress(bits: i32) -> String {
    const WORDS: [&str; 6] = ["DR", "NDR", "RN", "NRN", "OOF", "AutoReply"];
    if bits == -1 {
        return "All".to_owned();
    }
    let words: Vec<&str> = WORDS
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1)
        .map(|(_, word)| *word)
        .collect();
    words.join(", ")
}

/// Keywords, the flag's request, and the fields that are kept as named properties (2.1.3.2.14 to 2.1.3.2.18).
fn named(properties: &[(PropertyName, PropValue)], header: &mut HeaderWriter) {
    for (name, value) in properties {
        match value {
            PropValue::MultipleString(words) if *name == named::NAME_KEYWORDS.property_name() => {
                let words: Vec<&str> = words
                    .iter()
                    .map(|word| word.trim())
                    .filter(|word| !word.is_empty())
                    .collect();
                if !words.is_empty() {
                    let words: Vec<_> = words.into_iter().map(phrase).collect();
                    header.text("Keywords", &words.join(", "));
                }
            }
            PropValue::String(text) if *name == named::LID_FLAG_REQUEST.property_name() => {
                header.text("X-Message-Flag", text);
            }
            PropValue::String(text) if name.set == sets::INTERNET_HEADERS => {
                if let NameId::Name(field) = &name.id
                    && may_be_copied(field)
                {
                    header.text(field, text);
                }
            }
            _ => {}
        }
    }
}

/// A keyword that can stand between commas: in quotes, where it has one itself (RFC 5322 3.6.5).
fn phrase(word: &str) -> Cow<'_, str> {
    if word.contains([',', ';', '"']) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")).into()
    } else {
        word.into()
    }
}

/// Whether a field of this name may be written as a client asks: none that the header has anyway.
fn may_be_copied(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let known = matches!(
        lower.as_str(),
        "content-class" | "accept-language" | "xref" | "content-base"
    );
    let legal = name.bytes().all(|byte| matches!(byte, b'!'..=b'9' | b';'..=b'~')) && name.len() <= 70;
    legal && (known || (lower.starts_with("x-") && !NEVER_COPIED.contains(&lower.as_str())))
}
