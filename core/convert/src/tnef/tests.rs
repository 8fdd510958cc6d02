use proptest::{collection::vec, prelude::*};
use ringpost_mapi::{
    FileTime, Guid, PropTag, PropValue, PropertyBag,
    named::{NameId, PropertyName},
    tags,
};

use super::*;
use crate::message::{AttachmentContent, AttachmentData, MessageContent};

/// The beginning of MS-OXTNEF 3.1, up to the list of properties, and the first two of those.
const SAMPLE: &[u8] = b"\x78\x9f\x3e\x22\x01\x00\
\x01\x06\x90\x08\x00\x04\x00\x00\x00\x00\x00\x01\x00\x01\x00\
\x01\x07\x90\x06\x00\x08\x00\x00\x00\xe4\x04\x00\x00\x00\x00\x00\x00\xe8\x00\
\x01\x08\x80\x07\x00\x18\x00\x00\x00IPM.Microsoft Mail.Note\x00\x31\x08\
\x01\x0d\x80\x04\x00\x02\x00\x00\x00\x02\x00\x02\x00\
\x01\x04\x80\x01\x00\x0f\x00\x00\x00Simple subject\x00\x7a\x05\
\x01\x05\x80\x03\x00\x0e\x00\x00\x00\xd4\x07\x02\x00\x11\x00\x0b\x00\x19\x00\x23\x00\x02\x00\x37\x01\
\x01\x03\x90\x06\x00\x14\x00\x00\x00\x02\x00\x00\x00\x0b\x00\x02\x00\x01\x00\x00\x00\x03\x00\x26\x00\x00\x00\x00\x00\x40\x00";

#[test]
fn the_specification_s_sample() {
    let decoded = read(SAMPLE).unwrap();
    let message = &decoded.message.properties;
    assert_eq!(decoded.code_page, 1252);
    assert_eq!(decoded.damage, None);
    assert_eq!(message.string(tags::MESSAGE_CLASS), Some("IPM.Note"));
    assert_eq!(message.string(tags::SUBJECT), Some("Simple subject"));
    assert_eq!(message.get(tags::IMPORTANCE), Some(&PropValue::Integer32(1)));
    assert_eq!(
        message.get(tags::CLIENT_SUBMIT_TIME),
        Some(&PropValue::Time(FileTime::from_unix_seconds(1_077_017_135)))
    );
    assert_eq!(message.get(PropTag(0x0002_000b)), Some(&PropValue::Boolean(true)));
    assert_eq!(message.get(PropTag(0x0026_0003)), Some(&PropValue::Integer32(0)));
}

#[test]
fn what_came_before_the_damage_is_kept() {
    for end in 6..SAMPLE.len() {
        let decoded = read(&SAMPLE[..end]).unwrap();
        if end > 80 {
            assert_eq!(
                decoded.message.properties.string(tags::MESSAGE_CLASS),
                Some("IPM.Note"),
                "{end}"
            );
        }
    }
    assert_eq!(read(b"\x78\x9f\x3e\x22\x01"), Err(TnefError::NotTnef));
    assert_eq!(read(b"PK\x03\x04.."), Err(TnefError::NotTnef));
}

#[test]
fn parts_of_the_source_are_filled_in() {
    let message = MessageContent {
        attachments: vec![AttachmentContent {
            properties: PropertyBag::new(),
            data: AttachmentData::Part(vec![1, 2]),
        }],
        ..MessageContent::default()
    };
    let stream = write(&message, &mut |path| (path == [1, 2]).then(|| b"bytes".to_vec())).unwrap();
    let back = read(&stream).unwrap().message;
    assert_eq!(
        back.attachments[0].properties.get(tags::ATTACH_DATA_BINARY),
        Some(&PropValue::Binary(b"bytes".to_vec()))
    );
}

/// A store's ids for names, also of recipients and attachments, become names and the ids of another store.
#[test]
fn names_from_store_to_store() {
    let name = |number: u16| PropertyName {
        set: Guid([3; 16]),
        id: NameId::Lid(number.into()),
    };
    let bag = |ids: [u16; 2]| -> PropertyBag {
        let text = PropValue::String("x".into());
        let tags = ids.map(|id| PropTag::new(id, text.kind()));
        tags.into_iter().map(|tag| (tag, text.clone())).collect()
    };
    let message = |first: u16, embedded: Option<MessageContent>| {
        let mut content = MessageContent {
            properties: bag([first, first + 1]),
            recipients: vec![bag([first + 2, first])],
            attachments: vec![AttachmentContent {
                properties: bag([first + 3, first]),
                data: embedded.map_or(AttachmentData::None, |m| AttachmentData::Embedded(Box::new(m))),
            }],
            ..MessageContent::default()
        };
        let class = PropValue::String("IPM.Note".into());
        content.properties.set(tags::MESSAGE_CLASS, class);
        let method = if matches!(content.attachments[0].data, AttachmentData::None) {
            1
        } else {
            5
        };
        let attachment = &mut content.attachments[0].properties;
        attachment.set(tags::ATTACH_METHOD, PropValue::Integer32(method));
        attachment.set(tags::RENDERING_POSITION, PropValue::Integer32(-1));
        content
    };
    let before = message(0x8010, Some(message(0x8010, None)));
    let stream = write_with(&before, &mut |_| None, &mut |id| Some(name(id - 0x8010))).unwrap();
    let mut ids = |name: &PropertyName| match name.id {
        NameId::Lid(number) => Some(0x9000 + number as u16),
        NameId::Name(_) => None,
    };
    let after = read_with(&stream, &mut ids).unwrap().message;
    assert_eq!(after, message(0x9000, Some(message(0x9000, None))));
    // Without ids messages have names.
    let named = read(&stream).unwrap().message;
    assert_eq!(named.named.len(), 2);
    // Both kinds at once: the stream's ids don't collide.
    let mut both = before;
    both.named = vec![(PropertyName::name(Guid([4; 16]), "n"), PropValue::Integer32(7))];
    let stream = write_with(&both, &mut |_| None, &mut |id| Some(name(id - 0x8010))).unwrap();
    assert_eq!(read(&stream).unwrap().message.named.len(), 3);
}

#[test]
fn limits() {
    let mut message = MessageContent::default();
    for _ in 0..=MAX_DEPTH {
        message = MessageContent {
            attachments: vec![AttachmentContent {
                properties: PropertyBag::new(),
                data: AttachmentData::Embedded(Box::new(message)),
            }],
            ..MessageContent::default()
        };
    }
    assert!(matches!(
        write(&message, &mut |_| None),
        Err(TnefError::TooMany(_))
    ));
    let recipients = vec![PropertyBag::new(); MAX_RECIPIENTS + 1];
    let message = MessageContent {
        recipients,
        ..MessageContent::default()
    };
    assert!(matches!(
        write(&message, &mut |_| None),
        Err(TnefError::TooMany("recipients"))
    ));
}

fn value() -> impl Strategy<Value = PropValue> {
    let text = "[a-z\u{e4}\u{4e2d}\u{1f600} ]{0,12}";
    prop_oneof![
        any::<i16>().prop_map(PropValue::Integer16),
        any::<i32>().prop_map(PropValue::Integer32),
        any::<i32>().prop_map(|n| PropValue::Floating32(n as f32)),
        any::<i32>().prop_map(|n| PropValue::Floating64(n.into())),
        any::<i64>().prop_map(PropValue::Currency),
        any::<i32>().prop_map(|n| PropValue::FloatingTime(n.into())),
        any::<u32>().prop_map(PropValue::ErrorCode),
        any::<bool>().prop_map(PropValue::Boolean),
        any::<i64>().prop_map(PropValue::Integer64),
        text.prop_map(PropValue::String),
        any::<u64>().prop_map(|n| PropValue::Time(FileTime(n))),
        any::<[u8; 16]>().prop_map(|bytes| PropValue::Guid(Guid(bytes))),
        vec(any::<u8>(), 0..20).prop_map(PropValue::Binary),
        vec(any::<u8>(), 0..20).prop_map(PropValue::Object),
        vec(any::<i16>(), 0..4).prop_map(PropValue::MultipleInteger16),
        vec(any::<i32>(), 0..4).prop_map(PropValue::MultipleInteger32),
        vec(any::<i64>(), 0..4).prop_map(PropValue::MultipleInteger64),
        vec(text, 0..4).prop_map(PropValue::MultipleString),
        vec(any::<u64>().prop_map(FileTime), 0..4).prop_map(PropValue::MultipleTime),
        vec(any::<[u8; 16]>().prop_map(Guid), 0..4).prop_map(PropValue::MultipleGuid),
        vec(vec(any::<u8>(), 0..9), 0..4).prop_map(PropValue::MultipleBinary),
    ]
}

/// Properties whose ids are nobody's, so that no attribute says the same.
fn bag() -> impl Strategy<Value = PropertyBag> {
    vec((0x6600_u16..0x6700, value()), 0..8).prop_map(|properties| {
        properties
            .into_iter()
            .map(|(id, value)| (PropTag::new(id, value.kind()), value))
            .collect()
    })
}

fn message() -> impl Strategy<Value = MessageContent> {
    let name = prop_oneof![
        any::<u32>().prop_map(NameId::Lid),
        "[a-zA-Z\u{e4}-]{1,9}".prop_map(NameId::Name)
    ];
    let named = vec((any::<[u8; 16]>(), name, value()), 0..4).prop_map(|named| {
        named
            .into_iter()
            .map(|(set, id, value)| (PropertyName { set: Guid(set), id }, value))
            .collect::<Vec<_>>()
    });
    let leaf = (bag(), named, vec(bag(), 0..4)).prop_map(|(mut properties, named, recipients)| {
        properties.set(tags::MESSAGE_CLASS, PropValue::String("IPM.Note".into()));
        MessageContent {
            properties,
            named,
            recipients,
            attachments: Vec::new(),
        }
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        (inner.clone(), vec((bag(), prop::option::of(inner)), 0..3)).prop_map(|(mut message, attachments)| {
            message.attachments = attachments
                .into_iter()
                .map(|(mut properties, embedded)| {
                    let method = if embedded.is_some() { 5 } else { 1 };
                    properties.set(tags::ATTACH_METHOD, PropValue::Integer32(method));
                    properties.set(tags::RENDERING_POSITION, PropValue::Integer32(-1));
                    AttachmentContent {
                        properties,
                        data: embedded
                            .map_or(AttachmentData::None, |m| AttachmentData::Embedded(Box::new(m))),
                    }
                })
                .collect();
            message
        })
    })
}

proptest! {
    #[test]
    fn a_message_comes_back_whole(message in message()) {
        let decoded = read(&write(&message, &mut |_| None).unwrap()).unwrap();
        prop_assert_eq!(decoded.damage, None);
        prop_assert_eq!(decoded.message, message);
    }

    #[test]
    fn damaged_streams_are_read(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut stream = write(&message, &mut |_| None).unwrap();
        let at = at.index(stream.len());
        stream[at] = byte;
        let _ = read(&stream);
    }
}
