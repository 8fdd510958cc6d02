//! `winmail.dat`: a message as Outlook has it, sent beside its text (MS-OXCMAIL 2.2.3.5; [`crate::tnef`]).
//!
//! What the header of the mail says counts: people, dates, ids, the subject. What only the stream says is added, its
//! attachments stand for it, and its RTF is the body. A damaged stream stays an attachment beside what was in it.

use ringpost_mapi::{PropTag, PropValue, PropertyBag, codec::encode_bag, tags};

use super::{MAX_NAMED, class};
use crate::{
    bodies::Bodies,
    body,
    message::{AttachmentContent, AttachmentData, MessageContent},
    structure::Part,
    tnef,
};

/// The largest stream that is opened: what is in it is kept in memory at once.
const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// Whether a part is such a stream.
pub(super) fn is_one(part: &Part) -> bool {
    part.is("application", "ms-tnef") || part.is("application", "vnd.ms-tnef")
}

/// Adds what is in the stream. False where it has to stay an attachment.
pub(super) fn open(source: &[u8], part: &Part, content: &mut MessageContent) -> bool {
    if body::data_size(source, part) > MAX_BYTES {
        return false;
    }
    let Ok(decoded) = tnef::read(&body::data(source, part)) else {
        return false;
    };
    let MessageContent {
        properties,
        named,
        recipients: _,
        attachments,
    } = decoded.message;
    add_properties(&properties, &mut content.properties);
    for (name, value) in named {
        if content.named.len() < MAX_NAMED && !content.named.iter().any(|(known, _)| *known == name) {
            content.named.push((name, value));
        }
    }
    add_body(&properties, &mut content.properties);
    content.attachments.extend(attachments.into_iter().map(with_size));
    decoded.damage.is_none()
}

/// Properties that the header of the mail says better, or not to be believed: by the ranges of their ids.
fn is_header_s(tag: PropTag) -> bool {
    /// People and their addresses.
    const PEOPLE: [std::ops::RangeInclusive<u16>; 6] = [
        0x003b..=0x0053,
        0x0064..=0x0069,
        0x0075..=0x0079,
        0x0c19..=0x0c1f,
        0x5d01..=0x5d0f,
        0x4000..=0x4fff,
    ];
    /// What belongs to a place in a store, and is not sent (MS-OXPROPS 1.3.3).
    const PLACE: [std::ops::RangeInclusive<u16>; 4] =
        [0x0e00..=0x0fff, 0x3007..=0x300b, 0x6000..=0x67ff, 0x7c00..=0x7fff];
    const FIELDS: [PropTag; 12] = [
        tags::SUBJECT,
        tags::NORMALIZED_SUBJECT,
        tags::CLIENT_SUBMIT_TIME,
        tags::INTERNET_MESSAGE_ID,
        tags::IN_REPLY_TO_ID,
        tags::INTERNET_REFERENCES,
        tags::TRANSPORT_MESSAGE_HEADERS,
        tags::TNEF_CORRELATION_KEY,
        tags::BODY,
        tags::HTML,
        tags::INTERNET_CODEPAGE,
        tags::MESSAGE_CODEPAGE,
    ];
    let id = tag.id();
    PEOPLE.iter().chain(&PLACE).any(|range| range.contains(&id))
        || FIELDS.iter().any(|field| field.id() == id)
}

fn add_properties(stream: &PropertyBag, bag: &mut PropertyBag) {
    // A class that the parts of the mail say is not changed: what is signed stays what it is.
    let plain = bag.string(tags::MESSAGE_CLASS) == Some(class::PLAIN);
    for (tag, value) in stream.iter() {
        if is_header_s(tag) || (tag == tags::MESSAGE_CLASS && !plain) {
            continue;
        }
        bag.set(tag, value.clone());
    }
}

/// The body in the forms that the stream has, and HTML made of its RTF.
fn add_body(stream: &PropertyBag, bag: &mut PropertyBag) {
    /// The code page of UTF-8.
    const UTF_8: i32 = 65001;
    /// PidTagNativeBody: RTF, HTML (MS-OXCMSG 2.2.1.58.2).
    const RTF: i32 = 2;
    const HTML: i32 = 3;
    let html = Bodies::of_properties(stream).html;
    let rtf = stream.get(tags::RTF_COMPRESSED).is_some();
    let Some(html) = html else { return };
    bag.set(tags::HTML, PropValue::Binary(html.into_bytes()));
    bag.set(tags::INTERNET_CODEPAGE, PropValue::Integer32(UTF_8));
    bag.set(
        tags::NATIVE_BODY,
        PropValue::Integer32(if rtf { RTF } else { HTML }),
    );
}

/// The attachment with PidTagAttachSize, as others have it.
fn with_size(mut attachment: AttachmentContent) -> AttachmentContent {
    let bag = &mut attachment.properties;
    if bag.get(tags::ATTACH_SIZE).is_none() {
        let mut bytes = encode_bag(bag).len();
        if let AttachmentData::Embedded(message) = &attachment.data {
            bytes += encode_bag(&message.properties).len();
        }
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        bag.set(tags::ATTACH_SIZE, PropValue::Integer32(bytes));
    }
    attachment
}

/// Whether any of the attachments is shown beside the body.
pub(super) fn shows_any(content: &MessageContent) -> bool {
    let hidden = |one: &AttachmentContent| {
        one.properties.get(tags::ATTACHMENT_HIDDEN) == Some(&PropValue::Boolean(true))
    };
    content.attachments.iter().any(|one| !hidden(one))
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::*;
    use crate::{
        mime_to_mapi::{from_mime, whole},
        rtf::{compressed, writer},
        structure::Structure,
    };

    fn stream() -> Vec<u8> {
        let mut message = MessageContent::default();
        let text = |text: &str| PropValue::String(text.to_owned());
        let bag = &mut message.properties;
        bag.set(tags::MESSAGE_CLASS, text("IPM.Task"));
        bag.set(tags::SUBJECT, text("another"));
        bag.set(tags::SENDER_NAME, text("somebody else"));
        bag.set(tags::IMPORTANCE, PropValue::Integer32(2));
        bag.set(
            tags::MESSAGE_DELIVERY_TIME,
            PropValue::Time(ringpost_mapi::FileTime(1)),
        );
        let rtf = writer::from_html("<p>Gr\u{fc}\u{df}e</p>");
        bag.set(
            tags::RTF_COMPRESSED,
            PropValue::Binary(compressed::compress(&rtf).unwrap()),
        );
        let mut properties = PropertyBag::new();
        properties.set(tags::ATTACH_LONG_FILENAME, text("a.txt"));
        properties.set(tags::ATTACH_DATA_BINARY, PropValue::Binary(b"file".to_vec()));
        message.attachments = vec![AttachmentContent {
            properties,
            data: AttachmentData::None,
        }];
        tnef::write(&message, &mut |_| None).unwrap()
    }

    fn mail(stream: &[u8]) -> String {
        format!(
            "From: a@x.test\r\nSubject: this\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n\
             Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b\r\n\
             Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninside\r\n--b--\r\n",
            BASE64_STANDARD.encode(stream)
        )
    }

    fn converted(mail: &str) -> MessageContent {
        whole(mail.as_bytes(), &Structure::of(mail.as_bytes()))
    }

    #[test]
    fn what_the_stream_says_is_there() {
        let content = converted(&mail(&stream()));
        let bag = &content.properties;
        assert_eq!(bag.string(tags::SUBJECT), Some("this"));
        assert_eq!(bag.string(tags::SENDER_NAME), Some("a@x.test"));
        assert_eq!(bag.string(tags::MESSAGE_CLASS), Some("IPM.Task"));
        assert_eq!(bag.get(tags::IMPORTANCE), Some(&PropValue::Integer32(2)));
        assert_eq!(bag.get(tags::MESSAGE_DELIVERY_TIME), None);
        assert_eq!(bag.string(tags::BODY), Some("plain"));
        assert_eq!(
            bag.get(tags::HTML),
            Some(&PropValue::Binary("<p>Gr\u{fc}\u{df}e</p>".into()))
        );
        // What else is attached comes first, so that it has the places that the parts have.
        let [inner, file] = content.attachments.as_slice() else {
            panic!("{:?}", content.attachments)
        };
        let AttachmentData::Embedded(inner) = &inner.data else {
            panic!("{inner:?}")
        };
        assert_eq!(inner.properties.string(tags::BODY), Some("inside"));
        assert_eq!(file.properties.string(tags::ATTACH_LONG_FILENAME), Some("a.txt"));
    }

    #[test]
    fn damaged_streams_stay_beside_what_was_in_them() {
        let stream = stream();
        for (bytes, files) in [(&stream[..stream.len() - 40], 3), (b"no TNEF", 2), (b"", 2)] {
            let content = converted(&mail(bytes));
            assert_eq!(content.attachments.len(), files, "{}", bytes.len());
            let kept = content
                .attachments
                .iter()
                .any(|one| one.properties.string(tags::ATTACH_LONG_FILENAME) == Some("winmail.dat"));
            assert!(kept);
        }
    }

    #[test]
    fn real_ones() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/mimekit/tnef");
        for (name, files) in [("rich-text.eml", 3), ("ukr.eml", 0)] {
            let source = std::fs::read(folder.join(name)).unwrap();
            let content = from_mime(&source, &Structure::of(&source));
            let names: Vec<_> = content
                .attachments
                .iter()
                .map(|one| one.properties.string(tags::ATTACH_LONG_FILENAME))
                .collect();
            assert_eq!(names.len(), files, "{name}: {names:?}");
            assert!(!names.contains(&Some("winmail.dat")), "{names:?}");
            assert!(content.properties.get(tags::HTML).is_some(), "{name}");
        }
    }
}
