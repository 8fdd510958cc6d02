//! What IMAP's extensions keep in a store: annotations (RFC 5464), declared uses (RFC 6154), and what QUOTA tells.

mod common;

use common::{mailbox, message, open, placement};
use ringpost_mapi::{PropTag, PropValue};
use ringpost_store::{
    EventKind, Flags, MAX_ANNOTATIONS, MAX_ANNOTATIONS_BYTES, MAX_SPECIAL_USES, SpecialUse, StoreError,
    folder::built_in,
};

fn value(owner: &str, name: &str, value: Option<&[u8]>) -> (String, String, Option<Vec<u8>>) {
    (owner.to_owned(), name.to_owned(), value.map(<[u8]>::to_vec))
}

#[test]
fn annotations_stay_until_they_are_removed() {
    let (folder, mut store) = mailbox();
    let inbox = Some(built_in::INBOX);
    let two = [
        value("", "/shared/comment", Some(b"for all")),
        value("a@x", "/private/comment", Some(b"a\0b")),
    ];
    assert!(store.set_annotations(inbox, &two).unwrap());
    assert!(!store.set_annotations(inbox, &two).unwrap());
    let events = store.take_events();
    assert!(
        events
            .iter()
            .all(|event| event.folder == built_in::INBOX && event.kind == EventKind::FolderChanged)
    );
    assert_eq!(events.len(), 1);
    store
        .set_annotations(None, &[value("a@x", "/private/x", Some(b"server's"))])
        .unwrap();
    store.close().unwrap();
    let mut store = open(folder.path());
    let kept = store.annotations(inbox).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(
        (kept[1].owner.as_str(), kept[1].value.as_slice()),
        ("a@x", &b"a\0b"[..])
    );
    assert_eq!(store.annotations(None).unwrap()[0].name, "/private/x");
    // Another's under the same name is another one.
    store
        .set_annotations(inbox, &[value("b@x", "/private/comment", Some(b""))])
        .unwrap();
    store
        .set_annotations(inbox, &[value("a@x", "/private/comment", None)])
        .unwrap();
    let kept = store.annotations(inbox).unwrap();
    assert_eq!(
        kept.iter().map(|a| a.owner.as_str()).collect::<Vec<_>>(),
        ["", "b@x"]
    );
    assert!(store.check(false).unwrap().is_clean());
}

#[test]
fn annotations_have_limits_and_are_set_all_or_none() {
    let (_folder, mut store) = mailbox();
    let inbox = Some(built_in::INBOX);
    let many: Vec<_> = (0..=MAX_ANNOTATIONS)
        .map(|number| value("", &format!("/shared/{number}"), Some(b"x")))
        .collect();
    assert!(matches!(
        store.set_annotations(inbox, &many),
        Err(StoreError::LimitExceeded(_))
    ));
    assert!(store.annotations(inbox).unwrap().is_empty());
    store.set_annotations(inbox, &many[1..]).unwrap();
    let big = vec![b'x'; MAX_ANNOTATIONS_BYTES];
    assert!(matches!(
        store.set_annotations(None, &[value("", "/shared/x", Some(&big))]),
        Err(StoreError::LimitExceeded(_))
    ));
}

#[test]
fn uses_are_declared_and_forgotten_with_the_folder() {
    let (_folder, mut store) = mailbox();
    let make = |store: &mut ringpost_store::Mailbox, name: &str| {
        store
            .create_folder(built_in::IPM_SUBTREE, name, Some("IPF.Note"))
            .unwrap()
    };
    let (one, two) = (make(&mut store, "One"), make(&mut store, "Two"));
    store
        .set_special_uses(one, &[SpecialUse::Sent, SpecialUse::Archive])
        .unwrap();
    store.set_special_uses(two, &[SpecialUse::Junk]).unwrap();
    let known = store.special_uses().unwrap();
    assert_eq!(
        known,
        [
            (one, vec![SpecialUse::Archive, SpecialUse::Sent]),
            (two, vec![SpecialUse::Junk])
        ]
    );
    store.delete_folder(one, true).unwrap();
    store.set_special_uses(two, &[]).unwrap();
    assert!(store.special_uses().unwrap().is_empty());
    assert!(matches!(
        store.set_special_uses(one, &[SpecialUse::Sent]),
        Err(StoreError::NotFound(_))
    ));
    for number in 0..MAX_SPECIAL_USES {
        let folder = make(&mut store, &format!("Folder {number}"));
        store.set_special_uses(folder, &[SpecialUse::Archive]).unwrap();
    }
    assert!(matches!(
        store.set_special_uses(two, &[SpecialUse::Sent]),
        Err(StoreError::LimitExceeded(_))
    ));
}

#[test]
fn the_lower_limit_counts() {
    /// `PidTagProhibitReceiveQuota`
    const PROHIBIT_RECEIVE_QUOTA: PropTag = PropTag(0x666a_0003);
    let (_folder, mut store) = mailbox();
    let before = store.quota_use(None).unwrap();
    assert_eq!(
        (before.bytes_limit, before.messages, before.messages_limit),
        (None, 0, None)
    );
    let mail = message("x", 2000);
    store
        .store_message(built_in::INBOX, &mail, &placement(Flags::empty(), &[]))
        .unwrap();
    assert_eq!(store.quota_use(Some(10)).unwrap().bytes_limit, Some(10 * 1024));
    let mut properties = store.store_properties().unwrap();
    properties.set(PROHIBIT_RECEIVE_QUOTA, PropValue::Integer32(5));
    store.set_store_properties(&properties).unwrap();
    let quota = store.quota_use(Some(10)).unwrap();
    assert_eq!((quota.bytes_limit, quota.messages), (Some(5 * 1024), 1));
    assert_eq!(quota.bytes, mail.source.len() as u64);
}
