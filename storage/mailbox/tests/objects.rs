//! Messages as MAPI objects: saved, opened, replaced, hidden, restored; names and permissions.

mod common;

use common::*;
use ringpost_convert::message::{AttachmentContent, AttachmentData, MessageContent};
use ringpost_mapi::{
    FileTime, FolderId, Guid, PropValue, PropertyBag, Uid,
    named::{PropertyName, sets},
    rights::Rights,
    tags,
};
use ringpost_store::{EventKind, Flags, Member, MessageDraft, StoreError, folder::built_in};

const DRAFTS: FolderId = built_in::DRAFTS;

fn text(value: &str) -> PropValue {
    PropValue::String(value.to_owned())
}

fn content(subject: &str, body: &str) -> MessageContent {
    let properties: PropertyBag = [
        (tags::MESSAGE_CLASS, text("IPM.Appointment")),
        (tags::NORMALIZED_SUBJECT, text(subject)),
        (tags::BODY, text(body)),
    ]
    .into_iter()
    .collect();
    let inner = MessageContent {
        properties: std::iter::once((tags::BODY, text("inner"))).collect(),
        attachments: vec![AttachmentContent {
            properties: std::iter::once((tags::ATTACH_DATA_BINARY, PropValue::Binary(vec![5; 20_000])))
                .collect(),
            data: AttachmentData::None,
        }],
        ..MessageContent::default()
    };
    MessageContent {
        properties,
        named: Vec::new(),
        recipients: vec![std::iter::once((tags::DISPLAY_NAME, text("Bob"))).collect()],
        attachments: vec![AttachmentContent {
            properties: PropertyBag::new(),
            data: AttachmentData::Embedded(Box::new(inner)),
        }],
    }
}

#[test]
fn a_saved_message_comes_back_whole() {
    let (_folder, mut mailbox) = mailbox();
    let long = "long body ".repeat(20_000);
    let draft = MessageDraft {
        flags: Some(Flags::DRAFT),
        content: content("Plan", &long),
        ..MessageDraft::default()
    };
    let stored = mailbox.save_message(DRAFTS, &draft).unwrap();
    let message = mailbox.message(stored.message).unwrap();
    assert_eq!((message.uid, message.flags), (Some(Uid(1)), Flags::DRAFT));
    assert_eq!(message.content.recipients, draft.content.recipients);
    assert_eq!(message.content.attachments, draft.content.attachments);
    for (tag, value) in draft.content.properties.iter() {
        assert_eq!(message.content.properties.get(tag), Some(value), "{tag:?}");
        assert_eq!(
            mailbox.message_property(stored.message, tag).unwrap().as_ref(),
            Some(value)
        );
    }
    assert_eq!(message.content.properties.string(tags::SUBJECT), Some("Plan"));
    let bytes = mailbox.attachment_bytes(stored.message, &[0, 0]).unwrap();
    assert_eq!(bytes, vec![5; 20_000]);
    assert!(mailbox.attachment_bytes(stored.message, &[1]).is_err());
    assert!(mailbox.attachment_bytes(stored.message, &[]).is_err());
    assert_eq!(mailbox.status(DRAFTS).unwrap().size, message.size);

    // Saving over it: a new version under a new UID; from an old version it is refused.
    let again = MessageDraft {
        replaces: Some((stored.message, stored.change)),
        content: content("Plan B", "short"),
        ..MessageDraft::default()
    };
    mailbox.take_events();
    let saved = mailbox.save_message(DRAFTS, &again).unwrap();
    assert_eq!((saved.message, saved.uid), (stored.message, Uid(2)));
    assert_eq!(mailbox.take_events()[0].kind, EventKind::MessageChanged);
    assert!(matches!(
        mailbox.save_message(DRAFTS, &again),
        Err(StoreError::NotAllowed(_))
    ));
    let forced = MessageDraft {
        force: true,
        ..again.clone()
    };
    mailbox.save_message(DRAFTS, &forced).unwrap();
    let message = mailbox.message(stored.message).unwrap();
    assert_eq!(message.content.properties.string(tags::BODY), Some("short"));
    assert_eq!(message.flags, Flags::DRAFT, "flags stay");
    assert_eq!(mailbox.uids(DRAFTS).unwrap(), set(&[(3, 3)]));
    let changes = mailbox.changes_since(DRAFTS, stored.change).unwrap();
    assert_eq!(changes.vanished, set(&[(1, 2)]));
    assert_eq!(mailbox.status(DRAFTS).unwrap().size, message.size);
}

#[test]
fn associated_messages_stay_out_of_imaps_sight() {
    let (_folder, mut mailbox) = mailbox();
    let draft = MessageDraft {
        associated: true,
        content: content("View", "settings"),
        ..MessageDraft::default()
    };
    let stored = mailbox.save_message(DRAFTS, &draft).unwrap();
    assert!(mailbox.message(stored.message).unwrap().associated);
    let status = mailbox.status(DRAFTS).unwrap();
    assert_eq!((status.messages, status.uid_next), (0, 1));
    assert_eq!(mailbox.folder(DRAFTS).unwrap().associated, 1);
    assert!(
        mailbox
            .changes_since(DRAFTS, ringpost_mapi::ChangeNumber(0))
            .unwrap()
            .changed
            .is_empty()
    );
    mailbox
        .delete_messages(DRAFTS, &[stored.message, stored.message])
        .unwrap();
    assert_eq!(mailbox.folder(DRAFTS).unwrap().associated, 0);
    assert_eq!(mailbox.size(), 0);
}

#[test]
fn soft_deleted_messages_can_be_restored_until_purged() {
    let (_folder, mut mailbox) = mailbox();
    let mut ids = Vec::new();
    for n in 0..3 {
        let stored = mailbox
            .store_message(
                DRAFTS,
                &message(&n.to_string(), 5000),
                &placement(Flags::empty(), &[]),
            )
            .unwrap();
        ids.push(stored.message);
    }
    let before = mailbox.status(DRAFTS).unwrap();
    mailbox.soft_delete(DRAFTS, &ids[..2]).unwrap();
    mailbox.soft_delete(DRAFTS, &ids[..1]).unwrap();
    assert_eq!(mailbox.uids(DRAFTS).unwrap(), set(&[(3, 3)]));
    assert!(mailbox.message(ids[0]).unwrap().soft_deleted);
    let changes = mailbox.changes_since(DRAFTS, before.highest_change).unwrap();
    assert_eq!((changes.changed.len(), changes.vanished), (0, set(&[(1, 2)])));
    mailbox.restore(DRAFTS, &ids[1..]).unwrap();
    assert_eq!(mailbox.uids(DRAFTS).unwrap(), set(&[(3, 4)]));
    assert_eq!(mailbox.purge(DRAFTS, FileTime(0)).unwrap(), 0);
    assert_eq!(mailbox.purge(DRAFTS, FileTime(i64::MAX as u64)).unwrap(), 1);
    assert!(matches!(mailbox.message(ids[0]), Err(StoreError::NotFound(_))));
    assert!(matches!(
        mailbox.soft_delete(built_in::INBOX, &ids[1..2]),
        Err(StoreError::NotFound(_))
    ));
    assert_eq!(mailbox.size(), mailbox.status(DRAFTS).unwrap().size);
}

#[test]
fn names_get_ids_of_their_own() {
    let (folder, mut mailbox) = mailbox();
    let names = [
        PropertyName::lid(Guid([1; 16]), 0x8205),
        PropertyName::name(Guid([1; 16]), "Keywords"),
        PropertyName::name(Guid([1; 16]), "keywords"),
        PropertyName::lid(Guid([2; 16]), 0x8205),
    ];
    assert_eq!(mailbox.named_property_id(&names[0], false).unwrap(), None);
    for (at, name) in names.iter().enumerate() {
        assert_eq!(
            mailbox.named_property_id(name, true).unwrap(),
            Some(0x8000 + at as u16)
        );
    }
    drop(mailbox);
    let mut mailbox = open(folder.path());
    for (at, name) in names.iter().enumerate() {
        assert_eq!(
            mailbox.named_property_id(name, true).unwrap(),
            Some(0x8000 + at as u16)
        );
        assert_eq!(
            mailbox.named_property_name(0x8000 + at as u16).unwrap().as_ref(),
            Some(name)
        );
    }
    assert_eq!(mailbox.named_property_name(0x9000).unwrap(), None);
}

/// MS-OXCPRPT 3.2.5.9 and 3.2.5.10: names in PS_MAPI are property ids themselves.
#[test]
fn property_ids_are_names_in_ps_mapi() {
    let (_folder, mut mailbox) = mailbox();
    for (lid, id) in [
        (0x0037, Some(0x0037)),
        (0x7fff, Some(0x7fff)),
        (0, None),
        (0x8000, None),
        (0x0001_0037, None),
    ] {
        for create in [false, true] {
            let name = PropertyName::lid(sets::MAPI, lid);
            assert_eq!(mailbox.named_property_id(&name, create).unwrap(), id, "{lid:x}");
        }
    }
    let string = PropertyName::name(sets::MAPI, "Subject");
    assert_eq!(mailbox.named_property_id(&string, true).unwrap(), None);
    assert_eq!(
        mailbox.named_property_name(0x0037).unwrap(),
        Some(PropertyName::lid(sets::MAPI, 0x0037))
    );
    // None of them took an id.
    assert_eq!(mailbox.named_property_name(0x8000).unwrap(), None);

    let mut saved = content("By name", "body");
    saved.named = vec![
        (PropertyName::lid(sets::MAPI, 0x0070), text("topic")),
        (string, text("nothing")),
    ];
    let draft = MessageDraft {
        content: saved,
        ..MessageDraft::default()
    };
    let id = mailbox.save_message(DRAFTS, &draft).unwrap().message;
    assert_eq!(
        mailbox.message_property(id, tags::CONVERSATION_TOPIC).unwrap(),
        Some(text("topic"))
    );
}

/// MS-OXCPRPT 3.2.5.10: header fields have one name, in whatever case they are written.
#[test]
fn header_fields_are_named_in_any_case() {
    let (folder, mut mailbox) = mailbox();
    let upper = PropertyName::name(sets::INTERNET_HEADERS, "X-Colour");
    let lower = PropertyName::name(sets::INTERNET_HEADERS, "x-colour");
    let id = mailbox.named_property_id(&upper, true).unwrap();
    assert_eq!(mailbox.named_property_id(&lower, false).unwrap(), id);
    assert_eq!(mailbox.named_property_id(&upper, false).unwrap(), id);
    assert_eq!(
        mailbox.named_property_name(id.unwrap()).unwrap(),
        Some(lower.clone())
    );
    let mut saved = content("By name", "body");
    saved.named = vec![(upper.clone(), text("red"))];
    let draft = MessageDraft {
        content: saved,
        ..MessageDraft::default()
    };
    let message = mailbox.save_message(DRAFTS, &draft).unwrap().message;
    let tag = ringpost_mapi::PropTag::new(id.unwrap(), text("").kind());
    assert_eq!(mailbox.message_property(message, tag).unwrap(), Some(text("red")));
    // A name made by a message with another case is the same too.
    let mut saved = content("By name", "body");
    saved.named = vec![(
        PropertyName::name(sets::INTERNET_HEADERS, "X-SHAPE"),
        text("round"),
    )];
    let draft = MessageDraft {
        content: saved,
        ..MessageDraft::default()
    };
    mailbox.save_message(DRAFTS, &draft).unwrap();
    let shape = PropertyName::name(sets::INTERNET_HEADERS, "x-shape");
    assert!(mailbox.named_property_id(&shape, false).unwrap().is_some());
    // In other sets case matters.
    let other = PropertyName::name(sets::PUBLIC_STRINGS, "X-Colour");
    let other_lower = PropertyName::name(sets::PUBLIC_STRINGS, "x-colour");
    assert_ne!(
        mailbox.named_property_id(&other, true).unwrap(),
        mailbox.named_property_id(&other_lower, true).unwrap()
    );
    drop(mailbox);
    let mut mailbox = open(folder.path());
    assert_eq!(mailbox.named_property_id(&upper, false).unwrap(), id);
}

/// A name that a transaction made and then took back is unknown, also to what remembers names.
#[test]
fn names_of_a_transaction_that_failed_are_forgotten() {
    let (_folder, mut mailbox) = mailbox();
    let set = Guid([7; 16]);
    let (first, second) = (PropertyName::lid(set, 1), PropertyName::lid(set, 2));
    // Names are remembered from here on.
    assert_eq!(mailbox.named_property_id(&first, false).unwrap(), None);
    let failed: Result<(), StoreError> = mailbox.transaction(|mailbox| {
        assert_eq!(mailbox.named_property_id(&first, true)?, Some(0x8000));
        Err(StoreError::NotAllowed("a test"))
    });
    assert!(failed.is_err());
    assert_eq!(mailbox.named_property_id(&first, false).unwrap(), None);
    assert_eq!(mailbox.named_property_name(0x8000).unwrap(), None);
    // The id is another's now; a memory of the first would give it to both.
    assert_eq!(mailbox.named_property_id(&second, true).unwrap(), Some(0x8000));
    assert_eq!(mailbox.named_property_id(&first, true).unwrap(), Some(0x8001));
    // The same where only an inner transaction fails.
    let third = PropertyName::lid(set, 3);
    mailbox
        .transaction(|mailbox| {
            let inner: Result<(), StoreError> = mailbox.transaction(|mailbox| {
                mailbox.named_property_id(&third, true)?;
                Err(StoreError::NotAllowed("a test"))
            });
            assert!(inner.is_err());
            Ok(())
        })
        .unwrap();
    assert_eq!(mailbox.named_property_id(&third, false).unwrap(), None);
}

#[test]
fn rights_come_from_the_account_its_groups_or_the_default() {
    let (_folder, mut mailbox) = mailbox();
    let bob = Member::Account("Bob@Example.test".to_owned());
    mailbox
        .set_permission(DRAFTS, &Member::Default, Some(Rights::REVIEWER))
        .unwrap();
    mailbox
        .set_permission(DRAFTS, &bob, Some(Rights::EDIT_ANY))
        .unwrap();
    let group = Member::Account("team@example.test".to_owned());
    mailbox
        .set_permission(DRAFTS, &group, Some(Rights::CREATE))
        .unwrap();
    let name = |n: &str| n.to_owned();
    let of = |mailbox: &mut ringpost_store::Mailbox, names: &[String]| {
        mailbox.rights(DRAFTS, Some(names)).unwrap()
    };
    assert_eq!(of(&mut mailbox, &[name("carol@example.test")]), Rights::REVIEWER);
    assert_eq!(
        of(
            &mut mailbox,
            &[name("BOB@example.test"), name("team@example.test")]
        ),
        Rights::EDIT_ANY | Rights::EDIT_OWNED | Rights::CREATE
    );
    assert_eq!(mailbox.rights(DRAFTS, None).unwrap(), Rights::NONE);
    mailbox.set_permission(DRAFTS, &bob, None).unwrap();
    assert_eq!(of(&mut mailbox, &[name("bob@example.test")]), Rights::REVIEWER);
    assert_eq!(mailbox.permissions(DRAFTS).unwrap().len(), 2);
}

#[test]
fn what_mail_says_is_found_as_properties() {
    let (_folder, mut mailbox) = mailbox();
    let source =
        b"From: Ann <ann@example.test>\r\nTo: bob@example.test\r\nSubject: Re: Plan\r\nX-Colour: red\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello Bob\r\n--b\r\n\
        Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=a.pdf\r\n\r\nSGVsbG8=\r\n--b--\r\n";
    let prepared = ringpost_store::PreparedMessage::new(bytes::Bytes::from_static(source), Some(3));
    let id = mailbox
        .store_message(DRAFTS, &prepared, &placement(Flags::empty(), &[]))
        .unwrap()
        .message;
    let message = mailbox.message(id).unwrap();
    let properties = &message.content.properties;
    assert_eq!(properties.string(tags::SUBJECT), Some("Re: Plan"));
    assert_eq!(properties.string(tags::NORMALIZED_SUBJECT), Some("Plan"));
    assert_eq!(properties.string(tags::SENT_REPRESENTING_NAME), Some("Ann"));
    assert_eq!(
        properties.get(tags::HAS_ATTACHMENTS),
        Some(&PropValue::Boolean(true))
    );
    assert_eq!(message.content.attachments.len(), 1);
    assert_eq!(mailbox.attachment_bytes(id, &[0]).unwrap(), b"Hello");
    let Some(PropValue::String(body)) = mailbox.message_property(id, tags::BODY).unwrap() else {
        panic!("no body");
    };
    assert_eq!(body.trim_end(), "Hello Bob");
    let headers = mailbox
        .message_property(id, tags::TRANSPORT_MESSAGE_HEADERS)
        .unwrap();
    assert!(matches!(headers, Some(PropValue::String(text)) if text.contains("X-Colour: red")));
    let colour = PropertyName::name(sets::INTERNET_HEADERS, "x-colour");
    let colour = mailbox.named_property_id(&colour, false).unwrap().unwrap();
    let colour = ringpost_mapi::PropTag::new(colour, ringpost_mapi::PropType::STRING);
    assert_eq!(properties.string(colour), Some("red"));
}
