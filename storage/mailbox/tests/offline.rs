//! What a client that works offline uploads: messages and folders with ids, change keys and predecessors of
//! its own, and who wins where both sides changed something (MS-OXCFXICS 3.1.5.6, 3.2.5.9.4).

mod common;

use common::*;
use ringpost_convert::message::MessageContent;
use ringpost_mapi::{
    FileTime, FolderId, Guid, MessageId, PropValue, PropertyBag,
    change::{PredecessorChangeList, Xid},
    idset::{GlobSet, IdSet},
    tags,
};
use ringpost_store::{
    ContentQuery, EventKind, Flags, FolderImport, FolderImported, Imported, Lineage, Mailbox, MessageDraft,
    MessageImport, StoreError, folder::built_in,
};

const INBOX: FolderId = built_in::INBOX;
const HERE: Guid = Guid([7; 16]);
/// Below and above the store's own GUID, for ties.
const CLIENT: Guid = Guid([9; 16]);
const LOW_CLIENT: Guid = Guid([3; 16]);

fn text(value: &str) -> PropValue {
    PropValue::String(value.to_owned())
}

fn content(body: &str) -> MessageContent {
    MessageContent {
        properties: [(tags::BODY, text(body))].into_iter().collect(),
        ..MessageContent::default()
    }
}

fn lineage(key: (Guid, u64), before: &PredecessorChangeList) -> Lineage {
    let change_key = Xid::of_counter(key.0, key.1);
    let mut predecessors = before.clone();
    predecessors.add(change_key.clone());
    Lineage {
        change_key,
        predecessors,
    }
}

fn import(id: MessageId, lineage: Lineage, modified: u64, body: &str) -> MessageImport {
    MessageImport {
        id,
        lineage,
        modified: FileTime(modified),
        draft: MessageDraft {
            content: content(body),
            ..MessageDraft::default()
        },
        fail_on_conflict: false,
    }
}

fn body(mailbox: &mut Mailbox, id: MessageId) -> Option<PropValue> {
    mailbox.message_property(id, tags::BODY).unwrap()
}

const FAR: u64 = 1 << 60;

#[test]
fn a_message_made_offline_keeps_its_id_and_key() {
    let (_folder, mut mailbox) = mailbox();
    let id = MessageId::own(mailbox.allocate_ids(10).unwrap());
    let made = lineage((CLIENT, 5), &PredecessorChangeList::new());
    let stored = mailbox
        .import_message(INBOX, &import(id, made.clone(), 77, "one"))
        .unwrap();
    let Imported::Saved(stored) = stored else {
        panic!("{stored:?}")
    };
    assert_eq!(stored.message, id);
    assert_eq!(mailbox.message_lineage(id).unwrap(), made);
    for (tag, value) in [
        (tags::CHANGE_KEY, made.change_key.encode()),
        (tags::PREDECESSOR_CHANGE_LIST, made.predecessors.encode()),
    ] {
        assert_eq!(
            mailbox.message_property(id, tag).unwrap(),
            Some(PropValue::Binary(value))
        );
    }
    assert_eq!(
        mailbox
            .message_property(id, tags::LAST_MODIFICATION_TIME)
            .unwrap(),
        Some(PropValue::Time(FileTime(77)))
    );
    // The same once more, and an older version: nothing to do.
    let again = mailbox.import_message(INBOX, &import(id, made.clone(), 99, "two"));
    assert_eq!(again.unwrap(), Imported::Known);
    assert_eq!(body(&mut mailbox, id), Some(text("one")));
    // A later one.
    let later = lineage((CLIENT, 6), &made.predecessors);
    let saved = mailbox.import_message(INBOX, &import(id, later.clone(), 99, "two"));
    assert!(matches!(saved, Ok(Imported::Saved(_))));
    assert_eq!(body(&mut mailbox, id), Some(text("two")));
    let old = mailbox.import_message(INBOX, &import(id, made, 99, "three"));
    assert_eq!(old.unwrap(), Imported::Known);
    // Changed here: a key of the store, and the client's changes stay known.
    let version = mailbox.message(id).unwrap().version;
    let draft = MessageDraft {
        replaces: Some((id, version)),
        content: content("here"),
        ..MessageDraft::default()
    };
    let version = mailbox.save_message(INBOX, &draft).unwrap().change;
    let here = mailbox.message_lineage(id).unwrap();
    assert_eq!(here, lineage((HERE, version.0), &later.predecessors));
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

#[test]
fn conflicts_go_to_the_later_change() {
    for (modified, client, wins) in [
        (1, CLIENT, false),
        (FAR, LOW_CLIENT, true),
        // A tie: the higher GUID wins.
        (0, CLIENT, true),
        (0, LOW_CLIENT, false),
    ] {
        let (_folder, mut mailbox) = mailbox();
        let stored = mailbox
            .save_message(
                INBOX,
                &MessageDraft {
                    content: content("first"),
                    flags: Some(Flags::SEEN),
                    ..MessageDraft::default()
                },
            )
            .unwrap();
        let id = stored.message;
        // What the client got, before somebody changed the message here.
        let known = mailbox.message_lineage(id).unwrap();
        let draft = MessageDraft {
            replaces: Some((id, stored.change)),
            content: content("here"),
            ..MessageDraft::default()
        };
        let here = mailbox.save_message(INBOX, &draft).unwrap();
        let Some(PropValue::Time(now)) = mailbox
            .message_property(id, tags::LAST_MODIFICATION_TIME)
            .unwrap()
        else {
            panic!("no time")
        };
        let modified = if modified == 0 { now.0 } else { modified };
        let there = lineage((client, 4), &known.predecessors);
        let mut refused = import(id, there.clone(), modified, "there");
        refused.fail_on_conflict = true;
        assert_eq!(
            mailbox.import_message(INBOX, &refused).unwrap(),
            Imported::Conflict
        );
        assert_eq!(mailbox.message(id).unwrap().version, here.change);
        let done = mailbox
            .import_message(INBOX, &import(id, there.clone(), modified, "there"))
            .unwrap();
        let after = mailbox.message_lineage(id).unwrap();
        assert!(after.predecessors.includes(&Xid::of_counter(HERE, here.change.0)));
        assert!(after.predecessors.includes(&there.change_key));
        if wins {
            assert!(matches!(done, Imported::Won(_)), "{done:?}");
            assert_eq!(body(&mut mailbox, id), Some(text("there")));
            assert_eq!(after.change_key, there.change_key);
        } else {
            let Imported::Lost(lost) = done else {
                panic!("{done:?}")
            };
            assert_eq!(body(&mut mailbox, id), Some(text("here")));
            assert!(lost.change > here.change, "the client gets it again");
            assert_eq!(after.change_key, Xid::of_counter(HERE, lost.change.0));
            assert_eq!(mailbox.message(id).unwrap().version, lost.change);
        }
        // Now the client's next change follows.
        let next = lineage((client, 5), &after.predecessors);
        let done = mailbox.import_message(INBOX, &import(id, next, modified, "next"));
        assert!(matches!(done, Ok(Imported::Saved(_))));
        assert!(mailbox.check(false).unwrap().problems.is_empty());
    }
}

#[test]
fn ids_that_a_client_may_not_use_are_refused() {
    let (_folder, mut mailbox) = mailbox();
    let first = mailbox.allocate_ids(2).unwrap();
    let new = lineage((CLIENT, 1), &PredecessorChangeList::new());
    let try_id = |mailbox: &mut Mailbox, id| mailbox.import_message(INBOX, &import(id, new.clone(), 1, "x"));
    for counter in [0, 5, first + 2, first + 1000] {
        let refused = try_id(&mut mailbox, MessageId::own(counter));
        assert!(matches!(refused, Err(StoreError::NotAllowed(_))), "{refused:?}");
    }
    let foreign = MessageId(9 << 48 | 5);
    assert!(matches!(
        try_id(&mut mailbox, foreign),
        Err(StoreError::NotAllowed(_))
    ));
    let replica = mailbox.replica_id(CLIENT).unwrap();
    let known = MessageId(u64::from(replica) << 48 | 5);
    assert!(matches!(try_id(&mut mailbox, known), Ok(Imported::Saved(_))));
    assert_eq!(mailbox.message(known).unwrap().id, known);
    // What was deleted does not come back, nor what was moved away or is hidden.
    let [gone, hidden, moved] = [0, 0, 0].map(|_| {
        let id = MessageId::own(mailbox.allocate_ids(1).unwrap());
        assert!(matches!(try_id(&mut mailbox, id), Ok(Imported::Saved(_))));
        id
    });
    mailbox.delete_messages(INBOX, &[gone]).unwrap();
    mailbox.soft_delete(INBOX, &[hidden]).unwrap();
    mailbox.move_to(INBOX, &[moved], built_in::JUNK).unwrap();
    for id in [gone, hidden, moved] {
        assert!(matches!(try_id(&mut mailbox, id), Err(StoreError::NotFound(_))));
    }
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

#[test]
fn a_move_made_offline_keeps_the_clients_id() {
    let (_folder, mut mailbox) = mailbox();
    let stored = mailbox
        .store_message(INBOX, &message("a", 100), &placement(Flags::SEEN, &["k"]))
        .unwrap();
    let new_id = MessageId::own(mailbox.allocate_ids(1).unwrap());
    let known = mailbox.message_lineage(stored.message).unwrap();
    let moved = lineage((CLIENT, 3), &known.predecessors);
    mailbox.take_events();
    let done = mailbox
        .import_move(INBOX, stored.message, built_in::JUNK, new_id, &moved)
        .unwrap();
    assert_eq!((done.from, done.to), (stored.message, new_id));
    assert_eq!(mailbox.message_lineage(new_id).unwrap(), moved);
    let kinds: Vec<EventKind> = mailbox.take_events().into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [EventKind::MessageDeleted, EventKind::MessageCreated]);
    let again = mailbox.import_move(INBOX, stored.message, built_in::JUNK, new_id, &moved);
    assert!(
        matches!(again, Err(StoreError::NotAllowed(_))),
        "the id is in use"
    );
    assert!(matches!(
        mailbox.message(stored.message),
        Err(StoreError::NotFound(_))
    ));
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

fn folder_import(id: FolderId, name: &str, lineage: Lineage, modified: u64) -> FolderImport {
    FolderImport {
        id,
        parent: INBOX,
        lineage,
        modified: FileTime(modified),
        name: name.to_owned(),
        container_class: Some("IPF.Task".to_owned()),
        properties: [(tags::COMMENT, text(name))].into_iter().collect(),
    }
}

#[test]
fn folders_are_made_and_changed_offline() {
    let (_folder, mut mailbox) = mailbox();
    let id = FolderId::own(mailbox.allocate_ids(1).unwrap());
    let made = lineage((CLIENT, 5), &PredecessorChangeList::new());
    let saved = mailbox.import_folder(&folder_import(id, "Plans", made.clone(), 5));
    assert!(matches!(saved, Ok(FolderImported::Saved(_))), "{saved:?}");
    let folder = mailbox.folder(id).unwrap();
    assert_eq!(
        (&folder.name[..], &folder.container_class[..], folder.parent),
        ("Plans", "IPF.Task", Some(INBOX))
    );
    assert_eq!(mailbox.folder_lineage(id).unwrap(), made);
    let again = mailbox.import_folder(&folder_import(id, "Other", made.clone(), 5));
    assert_eq!(again.unwrap(), FolderImported::Known);
    // Renamed here; the client, which doesn't know, loses, and then wins.
    let change = ringpost_store::FolderChange {
        name: Some("Here".to_owned()),
        ..Default::default()
    };
    mailbox.change_folder(id, &change).unwrap();
    let here = mailbox.folder(id).unwrap().change;
    assert_eq!(
        mailbox.folder_lineage(id).unwrap(),
        lineage((HERE, here.0), &made.predecessors)
    );
    let there = lineage((CLIENT, 6), &made.predecessors);
    let lost = mailbox.import_folder(&folder_import(id, "There", there.clone(), 6));
    let Ok(FolderImported::Lost(change)) = lost else {
        panic!("{lost:?}")
    };
    let folder = mailbox.folder(id).unwrap();
    assert_eq!((&folder.name[..], folder.change), ("Here", change));
    let merged = mailbox.folder_lineage(id).unwrap();
    assert!(merged.predecessors.includes(&there.change_key));
    assert!(merged.predecessors.includes(&Xid::of_counter(HERE, here.0)));
    let there = lineage((CLIENT, 7), &made.predecessors);
    let won = mailbox.import_folder(&folder_import(id, "There", there, FAR));
    assert!(matches!(won, Ok(FolderImported::Saved(_))), "{won:?}");
    assert_eq!(mailbox.folder(id).unwrap().name, "There");
    assert_eq!(
        mailbox.folder_properties(id).unwrap().get(tags::COMMENT),
        Some(&text("There"))
    );
    // A built-in folder keeps its name and place, and takes properties.
    let known = mailbox.folder_lineage(INBOX).unwrap();
    let mut inbox = folder_import(INBOX, "Eingang", lineage((CLIENT, 8), &known.predecessors), FAR);
    inbox.parent = built_in::ROOT;
    mailbox.import_folder(&inbox).unwrap();
    assert_eq!(mailbox.folder(INBOX).unwrap().name, "Inbox");
    // What was deleted does not come back.
    mailbox.delete_folder(id, true).unwrap();
    let back = mailbox.import_folder(&folder_import(id, "Plans", made, FAR));
    assert!(matches!(back, Err(StoreError::NotFound(_))), "{back:?}");
    let unknown = folder_import(
        FolderId::own(1 << 40),
        "x",
        lineage((CLIENT, 1), &PredecessorChangeList::new()),
        1,
    );
    assert!(matches!(
        mailbox.import_folder(&unknown),
        Err(StoreError::NotAllowed(_))
    ));
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

#[test]
fn a_restricted_synchronisation_tells_what_left_its_scope() {
    let (_folder, mut mailbox) = mailbox();
    let save = |mailbox: &mut Mailbox, body: &str| {
        let draft = MessageDraft {
            content: content(body),
            ..MessageDraft::default()
        };
        mailbox.save_message(INBOX, &draft).unwrap()
    };
    let (red, blue) = (save(&mut mailbox, "red"), save(&mut mailbox, "blue"));
    let restriction = ringpost_mapi::Restriction::Content {
        fuzzy: ringpost_mapi::restriction::FuzzyLevel { low: 1, high: 0 },
        tag: tags::BODY,
        value: ringpost_mapi::restriction::TaggedValue {
            tag: tags::BODY,
            value: text("red"),
        },
    };
    let mut query = ContentQuery {
        seen: Some(GlobSet::new()),
        restriction: Some(restriction),
        ..ContentQuery::default()
    };
    let changes = mailbox.content_changes(INBOX, &query).unwrap();
    let changed: Vec<MessageId> = changes.changed.iter().map(|one| one.message).collect();
    assert_eq!(changed, [red.message]);
    assert_eq!(
        changes.changed[0].size,
        mailbox.message(red.message).unwrap().size
    );
    let mut given = IdSet::new();
    given.insert(1, red.message.counter());
    query.given = given;
    query.seen.as_mut().unwrap().insert_range(1..=changes.latest.0);
    for (stored, body) in [(red, "green"), (blue, "red")] {
        let draft = MessageDraft {
            replaces: Some((stored.message, stored.change)),
            content: content(body),
            ..MessageDraft::default()
        };
        mailbox.save_message(INBOX, &draft).unwrap();
    }
    let changes = mailbox.content_changes(INBOX, &query).unwrap();
    assert_eq!(changes.out_of_scope, [red.message]);
    let changed: Vec<MessageId> = changes.changed.iter().map(|one| one.message).collect();
    assert_eq!(changed, [blue.message]);
    assert!(changes.changed[0].is_new);
}

/// The properties that the store computes of ids and changes, on a message's row.
#[test]
fn computed_properties_agree_with_the_ids() {
    let (_folder, mut mailbox) = mailbox();
    let stored = mailbox
        .store_message(INBOX, &message("a", 100), &placement(Flags::empty(), &[]))
        .unwrap();
    mailbox
        .set_read(INBOX, &[stored.message], true, "ann@example.test")
        .unwrap();
    let mut of = |tag| mailbox.message_property(stored.message, tag).unwrap();
    let id = |counter: u64| {
        let mut bytes = [0u8; 8];
        bytes[0] = 1;
        bytes[2..].copy_from_slice(&counter.to_be_bytes()[2..]);
        Some(PropValue::Integer64(i64::from_le_bytes(bytes)))
    };
    assert_eq!(of(tags::MID), id(stored.message.counter()));
    assert_eq!(of(tags::FOLDER_ID), id(INBOX.counter()));
    // Reading it is no new version.
    assert_eq!(of(tags::CHANGE_NUMBER), id(stored.change.0));
    let key = |counter: u64| {
        Some(PropValue::Binary(
            [&HERE.0[..], &counter.to_be_bytes()[2..]].concat(),
        ))
    };
    assert_eq!(of(tags::CHANGE_KEY), key(stored.change.0));
    assert_eq!(of(tags::SOURCE_KEY), key(stored.message.counter()));
    assert_eq!(of(tags::PARENT_SOURCE_KEY), key(INBOX.counter()));
    let Some(PropValue::Binary(list)) = of(tags::PREDECESSOR_CHANGE_LIST) else {
        panic!("no list")
    };
    assert_eq!((list.len(), list[0]), (23, 22));
    let Some(PropValue::Binary(search_key)) = of(tags::SEARCH_KEY) else {
        panic!("no search key")
    };
    assert_eq!(search_key.len(), 16);
    let created = of(tags::CREATION_TIME);
    assert_eq!(created, of(tags::MESSAGE_DELIVERY_TIME));
    // Copies share the search key.
    let copy = mailbox.copy_to(INBOX, &[stored.message], built_in::JUNK).unwrap()[0].to;
    assert_eq!(
        mailbox.message_property(copy, tags::SEARCH_KEY).unwrap(),
        Some(PropValue::Binary(search_key))
    );
    let empty = PropertyBag::new();
    assert_eq!(mailbox.folder_properties(INBOX).unwrap(), empty);
}

#[test]
fn flags_and_status_are_kept() {
    let (_folder, mut mailbox) = mailbox();
    let mut draft = MessageDraft {
        content: content("x"),
        flags: Some(Flags::DRAFT),
        ..MessageDraft::default()
    };
    // mfUnsent and mfHasAttach follow from other things; mfFromMe and mfResend are the client's.
    draft
        .content
        .properties
        .set(tags::MESSAGE_FLAGS, PropValue::Integer32(0xa0 | 0x10));
    let id = mailbox.save_message(INBOX, &draft).unwrap().message;
    let flags = |mailbox: &mut Mailbox| match mailbox.message_property(id, tags::MESSAGE_FLAGS).unwrap() {
        Some(PropValue::Integer32(flags)) => flags,
        other => panic!("{other:?}"),
    };
    assert_eq!(flags(&mut mailbox), 0xa8);
    mailbox.set_message_flags(INBOX, id, 0x184, 0x104).unwrap();
    assert_eq!(
        flags(&mut mailbox),
        0x12c,
        "mfSubmitted and mfNotifyRead, no more mfResend"
    );
    mailbox.set_read(INBOX, &[id], true, "").unwrap();
    mailbox.set_read(INBOX, &[id], false, "").unwrap();
    assert_eq!(flags(&mut mailbox), 0x52c, "mfEverRead stays");
    assert_eq!(mailbox.set_message_status(INBOX, id, 0x3, 0x2).unwrap(), 0);
    assert_eq!(mailbox.set_message_status(INBOX, id, 0x1001, 0x1001).unwrap(), 2);
    let status = mailbox.message_property(id, tags::MESSAGE_STATUS).unwrap();
    assert_eq!(status, Some(PropValue::Integer32(0x1003)));
    // A save that says nothing of them leaves them.
    let version = mailbox.message(id).unwrap().version;
    let again = MessageDraft {
        replaces: Some((id, version)),
        content: content("y"),
        ..MessageDraft::default()
    };
    mailbox.save_message(INBOX, &again).unwrap();
    assert_eq!(flags(&mut mailbox), 0x52c);
    let status = mailbox.message_property(id, tags::MESSAGE_STATUS).unwrap();
    assert_eq!(status, Some(PropValue::Integer32(0x1003)));
    // The same state again changes nothing.
    let before = mailbox.last_change().unwrap();
    mailbox.set_message_status(INBOX, id, 0x1, 0x1).unwrap();
    assert_eq!(mailbox.last_change().unwrap(), before);
    let associated = MessageDraft {
        associated: true,
        ..MessageDraft::default()
    };
    let id = mailbox.save_message(INBOX, &associated).unwrap().message;
    let flags = mailbox.message_property(id, tags::MESSAGE_FLAGS).unwrap();
    assert_eq!(flags, Some(PropValue::Integer32(0x40)), "mfFAI");
}

#[test]
fn saving_names_recipients_and_keeps_the_origin() {
    let (_folder, mut mailbox) = mailbox();
    let person = |kind, name: &str| -> PropertyBag {
        [
            (tags::RECIPIENT_TYPE, PropValue::Integer32(kind)),
            (tags::DISPLAY_NAME, text(name)),
        ]
        .into_iter()
        .collect()
    };
    let mut draft = MessageDraft {
        content: MessageContent {
            recipients: vec![person(1, "Ann"), person(2, "Bob"), person(0x1000_0001, "Carol")],
            ..content("x")
        },
        ..MessageDraft::default()
    };
    let stored = mailbox.save_message(INBOX, &draft).unwrap();
    let mut of = |tag| mailbox.message_property(stored.message, tag).unwrap();
    assert_eq!(of(tags::DISPLAY_TO), Some(text("Ann; Carol")));
    assert_eq!(of(tags::DISPLAY_CC), Some(text("Bob")));
    assert_eq!(of(tags::DISPLAY_BCC), None);
    let origin = (of(tags::CREATION_TIME), of(tags::SEARCH_KEY));
    assert!(origin.0.is_some() && origin.1.is_some());
    draft.replaces = Some((stored.message, stored.change));
    draft.content.recipients.truncate(1);
    draft
        .content
        .properties
        .set(tags::CREATION_TIME, PropValue::Time(FileTime(5)));
    mailbox.save_message(INBOX, &draft).unwrap();
    let mut of = |tag| mailbox.message_property(stored.message, tag).unwrap();
    assert_eq!((of(tags::CREATION_TIME), of(tags::SEARCH_KEY)), origin);
    assert_eq!(of(tags::DISPLAY_TO), Some(text("Ann")));
    assert_eq!(of(tags::DISPLAY_CC), None);
}
