//! What a client that synchronises is told; settings, rules and read states.

mod common;

use common::*;
use ringpost_mapi::{
    FolderId, Guid, MessageId, PropValue, PropertyBag,
    idset::{GlobSet, IdSet},
    tags,
};
use ringpost_store::{
    ContentChanges, ContentQuery, FlagAction, Flags, FolderChange, MAX_SUBSCRIBED_NAME_BYTES,
    MAX_SUBSCRIBED_NAMES, Mailbox, MailboxKind, MessageDraft, OpenOptions, Rule, StoreError,
    folder::built_in, folder::built_in_public,
};

const INBOX: FolderId = built_in::INBOX;

/// A client that keeps its state as ICS does.
#[derive(Default)]
struct Client {
    query: ContentQuery,
}

impl Client {
    fn new() -> Self {
        let query = ContentQuery {
            seen: Some(GlobSet::new()),
            seen_associated: Some(GlobSet::new()),
            seen_read: Some(GlobSet::new()),
            ..ContentQuery::default()
        };
        Self { query }
    }

    fn sync(&mut self, mailbox: &mut Mailbox, folder: FolderId) -> ContentChanges {
        let changes = mailbox.content_changes(folder, &self.query).unwrap();
        for change in &changes.changed {
            self.query
                .given
                .insert(change.message.replica(), change.message.counter());
        }
        for id in changes.deleted.iter().chain(&changes.soft_deleted) {
            self.query.given.remove(id.replica(), id.counter());
        }
        let all = 1..=changes.latest.0;
        for set in [
            &mut self.query.seen,
            &mut self.query.seen_associated,
            &mut self.query.seen_read,
        ] {
            set.as_mut().unwrap().insert_range(all.clone());
        }
        changes
    }
}

fn deliver(mailbox: &mut Mailbox, folder: FolderId, subject: &str) -> MessageId {
    let placed = placement(Flags::empty(), &[]);
    mailbox
        .store_message(folder, &message(subject, 100), &placed)
        .unwrap()
        .message
}

#[test]
fn a_client_is_told_each_change_once() {
    let (_folder, mut mailbox) = mailbox();
    let ids: Vec<MessageId> = (0..5)
        .map(|n| deliver(&mut mailbox, INBOX, &n.to_string()))
        .collect();
    let associated = MessageDraft {
        associated: true,
        ..MessageDraft::default()
    };
    let view = mailbox.save_message(INBOX, &associated).unwrap().message;
    let mut client = Client::new();
    let first = client.sync(&mut mailbox, INBOX);
    assert_eq!(first.changed.len(), 6);
    assert!(first.changed.iter().all(|change| change.is_new));
    assert_eq!(first.changed[5].message, view);
    assert!(first.changed[5].associated);
    let nothing = client.sync(&mut mailbox, INBOX);
    assert_eq!(
        (nothing.changed.len(), nothing.read.len(), nothing.deleted.len()),
        (0, 0, 0)
    );

    let one = |uid| set(&[(uid, uid)]);
    mailbox
        .change_flags(INBOX, &one(1), FlagAction::Add, Flags::SEEN, &[], None)
        .unwrap();
    mailbox
        .change_flags(INBOX, &one(2), FlagAction::Add, Flags::FLAGGED, &[], None)
        .unwrap();
    mailbox.move_messages(INBOX, &one(3), built_in::JUNK).unwrap();
    mailbox.soft_delete(INBOX, &ids[3..4]).unwrap();
    mailbox.expunge(INBOX, &one(5), false).unwrap();
    let new = deliver(&mut mailbox, INBOX, "new");
    let short_lived = deliver(&mut mailbox, INBOX, "short-lived");
    mailbox.delete_messages(INBOX, &[short_lived]).unwrap();
    let changes = client.sync(&mut mailbox, INBOX);
    let changed: Vec<_> = changes
        .changed
        .iter()
        .map(|change| (change.message, change.is_new))
        .collect();
    assert_eq!(changed, [(ids[1], false), (new, true)]);
    assert_eq!(changes.read, [(ids[0], true)]);
    assert_eq!(changes.deleted, [ids[2], ids[4]]);
    assert_eq!(changes.soft_deleted, [ids[3]]);
    mailbox.restore(INBOX, &ids[3..4]).unwrap();
    let restored = client.sync(&mut mailbox, INBOX);
    assert_eq!(restored.changed.len(), 1);
    assert!(restored.changed[0].is_new && restored.deleted.is_empty());

    // A client that made the change itself has it in its set and is not told.
    deliver(&mut mailbox, INBOX, "own");
    let own = mailbox.last_change().unwrap();
    client.query.seen.as_mut().unwrap().insert(own.0);
    let last = deliver(&mut mailbox, INBOX, "another's");
    let changes = client.sync(&mut mailbox, INBOX);
    assert_eq!(
        changes.changed.iter().map(|c| c.message).collect::<Vec<_>>(),
        [last]
    );
}

#[test]
fn folders_synchronise_too() {
    let (_folder, mut mailbox) = mailbox();
    let (mut given, mut seen) = (IdSet::<u16>::new(), GlobSet::new());
    let mut sync = |mailbox: &mut Mailbox| {
        let changes = mailbox
            .hierarchy_changes(built_in::IPM_SUBTREE, &given, &seen)
            .unwrap();
        changes
            .changed
            .iter()
            .for_each(|id| given.insert(id.replica(), id.counter()));
        changes
            .deleted
            .iter()
            .for_each(|id| given.remove(id.replica(), id.counter()));
        seen.insert_range(1..=changes.latest.0);
        changes
    };
    assert!(sync(&mut mailbox).changed.contains(&INBOX));
    let a = mailbox.create_folder(INBOX, "A", None).unwrap();
    let b = mailbox.create_folder(a, "B", None).unwrap();
    assert_eq!(sync(&mut mailbox).changed, [a, b]);
    let change = FolderChange {
        name: Some("C".to_owned()),
        ..FolderChange::default()
    };
    mailbox.change_folder(b, &change).unwrap();
    assert_eq!(sync(&mut mailbox).changed, [b]);
    mailbox.delete_folder(a, true).unwrap();
    let changes = sync(&mut mailbox);
    assert_eq!((changes.changed.len(), changes.deleted), (0, vec![a, b]));
}

#[test]
fn public_read_states_are_each_users_own() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path(), MailboxKind::Public);
    let mut mailbox = open(folder.path());
    let news = mailbox
        .create_folder(built_in_public::IPM_SUBTREE, "News", None)
        .unwrap();
    let ids = [deliver(&mut mailbox, news, "1"), deliver(&mut mailbox, news, "2")];
    let mut client = Client::new();
    client.query.user = Some("Bob@example.test".to_owned());
    client.sync(&mut mailbox, news);
    mailbox
        .set_read(news, &ids[..1], true, "bob@Example.test")
        .unwrap();
    mailbox.set_read(news, &ids, true, "ann@example.test").unwrap();
    assert!(mailbox.is_read(ids[0], "bob@example.test").unwrap());
    assert!(!mailbox.is_read(ids[1], "bob@example.test").unwrap());
    assert_eq!(client.sync(&mut mailbox, news).read, [(ids[0], true)]);
    mailbox.set_read(news, &ids, false, "bob@example.test").unwrap();
    assert_eq!(client.sync(&mut mailbox, news).read, [(ids[0], false)]);
    mailbox.delete_messages(news, &ids).unwrap();
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

#[test]
fn the_quota_stops_delivery() {
    let (folder, mut mailbox) = mailbox();
    let quota: PropertyBag =
        std::iter::once((tags::PROHIBIT_RECEIVE_QUOTA, PropValue::Integer32(10))).collect();
    mailbox.set_store_properties(&quota).unwrap();
    drop(mailbox);
    let mut mailbox = open(folder.path());
    assert_eq!(mailbox.store_properties().unwrap(), quota);
    let large = message("large", 9000);
    let placed = placement(Flags::empty(), &[]);
    mailbox.store_message(INBOX, &large, &placed).unwrap();
    assert!(matches!(
        mailbox.store_message(INBOX, &large, &placed),
        Err(StoreError::LimitExceeded(_))
    ));
    assert!(mailbox.copy_messages(INBOX, &all(), INBOX).is_err());
    mailbox.move_messages(INBOX, &all(), built_in::JUNK).unwrap();
    mailbox.set_store_properties(&PropertyBag::new()).unwrap();
    mailbox.store_message(INBOX, &large, &placed).unwrap();
}

#[test]
fn the_number_of_messages_has_a_limit() {
    let (folder, mailbox) = mailbox();
    drop(mailbox);
    let options = OpenOptions {
        max_messages: 2,
        ..OpenOptions::default()
    };
    let mut mailbox = Mailbox::open(folder.path(), &options).unwrap();
    let (small, placed) = (message("small", 100), placement(Flags::empty(), &[]));
    mailbox.store_message(INBOX, &small, &placed).unwrap();
    mailbox.store_message(built_in::JUNK, &small, &placed).unwrap();
    for full in [
        mailbox.store_message(INBOX, &small, &placed).err(),
        mailbox.copy_messages(INBOX, &all(), built_in::JUNK).err(),
    ] {
        assert!(matches!(full, Some(StoreError::LimitExceeded(what)) if what.contains("quota")));
    }
    mailbox.move_messages(INBOX, &all(), built_in::JUNK).unwrap();
    mailbox.expunge(built_in::JUNK, &set(&[(1, 1)]), false).unwrap();
    mailbox.store_message(INBOX, &small, &placed).unwrap();
}

#[test]
fn names_are_subscribed_to_beside_folders() {
    let (folder, mut mailbox) = mailbox();
    assert!(mailbox.set_subscribed_name("Gone/There", true).unwrap());
    assert!(!mailbox.set_subscribed_name("Gone/There", true).unwrap());
    assert!(mailbox.set_subscribed_name("Öther", true).unwrap());
    drop(mailbox);
    let mut mailbox = open(folder.path());
    assert_eq!(mailbox.subscribed_names().unwrap(), ["Gone/There", "Öther"]);
    assert!(mailbox.set_subscribed_name("Gone/There", false).unwrap());
    assert!(!mailbox.set_subscribed_name("Gone/There", false).unwrap());
    for number in 1..MAX_SUBSCRIBED_NAMES {
        mailbox.set_subscribed_name(&number.to_string(), true).unwrap();
    }
    let long = "x".repeat(MAX_SUBSCRIBED_NAME_BYTES + 1);
    for refused in ["one more", &long] {
        assert!(matches!(
            mailbox.set_subscribed_name(refused, true),
            Err(StoreError::LimitExceeded(_))
        ));
    }
    assert!(mailbox.check(false).unwrap().problems.is_empty());
}

#[test]
fn settings_rules_and_ids() {
    let (_folder, mut mailbox) = mailbox();
    let bag: PropertyBag = std::iter::once((tags::COMMENT, PropValue::String("mine".to_owned()))).collect();
    mailbox.set_folder_properties(INBOX, &bag).unwrap();
    assert_eq!(mailbox.folder_properties(INBOX).unwrap(), bag);

    assert_eq!(
        mailbox.receive_folder("IPM.Note.SMIME").unwrap(),
        Some(("IPM".to_owned(), INBOX))
    );
    assert_eq!(
        mailbox.receive_folder("Other").unwrap(),
        Some((String::new(), INBOX))
    );
    mailbox
        .set_receive_folder("ipm.note", Some(built_in::JUNK))
        .unwrap();
    assert_eq!(
        mailbox.receive_folder("IPM.Note.SMIME").unwrap().unwrap().1,
        built_in::JUNK
    );
    mailbox.set_receive_folder("IPM.Note", None).unwrap();
    assert_eq!(mailbox.receive_folders().unwrap().len(), 4);
    assert!(mailbox.set_receive_folder("", None).is_err());
    assert!(mailbox.set_receive_folder(&"x".repeat(255), Some(INBOX)).is_err());

    let first = mailbox.allocate_ids(1000).unwrap();
    assert_eq!(mailbox.allocate_ids(1).unwrap(), first + 1000);
    assert!(matches!(
        mailbox.allocate_ids(u32::MAX),
        Err(StoreError::LimitExceeded(_))
    ));
    assert!(deliver(&mut mailbox, INBOX, "m").counter() > first + 1000);
    let other = Guid([3; 16]);
    let replica = mailbox.replica_id(other).unwrap();
    assert_eq!(mailbox.replica_id(other).unwrap(), replica);
    assert_eq!(mailbox.replica_id(mailbox.guid().0).unwrap(), 1);

    let rule = |sequence| Rule {
        id: 0,
        sequence,
        state: 1,
        properties: bag.clone(),
    };
    let second = mailbox.add_rule(INBOX, &rule(20)).unwrap();
    let first = mailbox.add_rule(INBOX, &rule(10)).unwrap();
    let order = |mailbox: &mut Mailbox| {
        mailbox
            .rules(INBOX)
            .unwrap()
            .iter()
            .map(|r| r.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(&mut mailbox), [first, second]);
    let moved = Rule {
        id: first,
        ..rule(30)
    };
    mailbox.change_rule(INBOX, &moved).unwrap();
    assert_eq!(order(&mut mailbox), [second, first]);
    mailbox.remove_rule(INBOX, second).unwrap();
    assert!(matches!(
        mailbox.remove_rule(INBOX, second),
        Err(StoreError::NotFound(_))
    ));
    assert_eq!(order(&mut mailbox), [first]);
}

#[test]
fn a_client_with_an_old_state_is_told_what_is_gone() {
    let (_folder, mut mailbox) = mailbox();
    let ids: Vec<MessageId> = (0..4)
        .map(|n| deliver(&mut mailbox, INBOX, &n.to_string()))
        .collect();
    let mut client = Client::new();
    client.sync(&mut mailbox, INBOX);
    mailbox.delete_messages(INBOX, &ids[1..3]).unwrap();
    mailbox.soft_delete(INBOX, &ids[3..]).unwrap();
    mailbox.prune_removed(0).unwrap();
    let changes = client.sync(&mut mailbox, INBOX);
    assert_eq!(changes.deleted, ids[1..3]);
    assert_eq!(changes.soft_deleted, ids[3..]);
    assert!(client.sync(&mut mailbox, INBOX).deleted.is_empty());
    client.query.seen = Some(GlobSet::new());
    client.query.given.insert_range(1, 1..=1 << 30);
    assert!(matches!(
        mailbox.content_changes(INBOX, &client.query),
        Err(StoreError::LimitExceeded(_))
    ));
}
