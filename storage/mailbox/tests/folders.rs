//! Folders as a whole: copied, emptied, hidden and shown again; what each user of a public store has read.

mod common;

use common::*;
use ringpost_mapi::{FileTime, FolderId, MessageId, PropValue, idset::GlobSet, tags};
use ringpost_store::{
    EventKind, Flags, FolderChange, Mailbox, MailboxKind, MessageDraft, StoreError, Table,
    folder::{built_in, built_in_public},
    table::{ContentsKind, SearchCriteria},
};

const INBOX: FolderId = built_in::INBOX;

fn deliver(mailbox: &mut Mailbox, folder: FolderId) -> MessageId {
    mailbox
        .store_message(folder, &message("a", 6000), &placement(Flags::empty(), &["k"]))
        .unwrap()
        .message
}

fn associated(mailbox: &mut Mailbox, folder: FolderId) -> MessageId {
    let draft = MessageDraft {
        associated: true,
        ..MessageDraft::default()
    };
    mailbox.save_message(folder, &draft).unwrap().message
}

/// `INBOX/Top/Below`, a search folder beside `Below`, and messages in both.
fn tree(mailbox: &mut Mailbox) -> (FolderId, FolderId, FolderId) {
    let top = mailbox.create_folder(INBOX, "Top", Some("IPF.Task")).unwrap();
    let below = mailbox.create_folder(top, "Below", None).unwrap();
    let search = mailbox.create_search_folder(top, "Search").unwrap();
    let criteria = SearchCriteria {
        scope: vec![INBOX],
        recursive: true,
        fixed: false,
        restriction: ringpost_mapi::Restriction::Always,
    };
    mailbox.set_search_criteria(search, &criteria).unwrap();
    mailbox.run_search(search).unwrap();
    for folder in [top, below] {
        deliver(mailbox, folder);
        associated(mailbox, folder);
    }
    let properties = [(tags::COMMENT, PropValue::String("c".to_owned()))]
        .into_iter()
        .collect();
    mailbox.set_folder_properties(below, &properties).unwrap();
    (top, below, search)
}

fn counts(mailbox: &mut Mailbox, folder: FolderId) -> (u32, u32, u32) {
    let folder = mailbox.folder(folder).unwrap();
    (folder.messages, folder.unread, folder.associated)
}

fn walk(mailbox: &mut Mailbox) {
    assert_eq!(mailbox.check(false).unwrap().problems, []);
}

#[test]
fn a_copied_folder_has_all_that_the_first_has() {
    let (_folder, mut mailbox) = mailbox();
    let (top, below, search) = tree(&mut mailbox);
    let copy = mailbox.copy_folder(top, built_in::JUNK, "Copy", true).unwrap();
    assert_eq!(counts(&mut mailbox, copy), (1, 1, 1));
    assert_eq!(mailbox.folder(copy).unwrap().container_class, "IPF.Task");
    let inner = mailbox.subfolder(copy, "Below").unwrap().unwrap().id;
    assert_ne!(inner, below);
    assert_eq!(counts(&mut mailbox, inner), (1, 1, 1));
    assert_eq!(
        mailbox.folder_properties(inner).unwrap(),
        mailbox.folder_properties(below).unwrap()
    );
    let copied = mailbox.subfolder(copy, "Search").unwrap().unwrap();
    assert!(copied.is_search);
    assert_eq!(
        mailbox.search_criteria(copied.id).unwrap().unwrap().0,
        mailbox.search_criteria(search).unwrap().unwrap().0
    );
    assert_eq!(mailbox.unfinished_searches().unwrap(), [copied.id]);
    mailbox.run_search(copied.id).unwrap();
    assert_eq!(mailbox.folder(copied.id).unwrap().messages, 2);
    // A search of a folder that is gone.
    let gone = mailbox.create_folder(INBOX, "Gone", None).unwrap();
    let mut criteria = mailbox.search_criteria(search).unwrap().unwrap().0;
    criteria.scope.push(gone);
    mailbox.set_search_criteria(search, &criteria).unwrap();
    mailbox.delete_folder(gone, false).unwrap();
    let again = mailbox.copy_folder(search, INBOX, "Again", true).unwrap();
    let copied = mailbox.search_criteria(again).unwrap().unwrap().0;
    assert_eq!(copied.scope, [INBOX]);
    // Without what is below, and where it can't be.
    let flat = mailbox.copy_folder(top, INBOX, "Flat", false).unwrap();
    assert!(!mailbox.folder(flat).unwrap().has_children);
    for (parent, name) in [(top, "X"), (below, "X"), (INBOX, "Top")] {
        assert!(
            mailbox.copy_folder(top, parent, name, true).is_err(),
            "{parent} {name}"
        );
    }
    walk(&mut mailbox);
}

#[test]
fn emptying_a_folder_takes_what_is_below() {
    for hard in [true, false] {
        for with_associated in [true, false] {
            let (_folder, mut mailbox) = mailbox();
            let (top, below, search) = tree(&mut mailbox);
            deliver(&mut mailbox, INBOX);
            associated(&mut mailbox, INBOX);
            mailbox.empty_folder(INBOX, with_associated, hard).unwrap();
            assert_eq!(counts(&mut mailbox, INBOX), (0, 0, u32::from(!with_associated)));
            for gone in [top, below, search] {
                assert!(matches!(mailbox.folder(gone), Err(StoreError::NotFound(_))));
            }
            let deleted = mailbox.deleted_folders(Some(INBOX)).unwrap();
            assert_eq!(deleted.len(), usize::from(!hard));
            walk(&mut mailbox);
            // Built-in folders stay.
            mailbox.empty_folder(built_in::IPM_SUBTREE, true, hard).unwrap();
            assert!(mailbox.folder(INBOX).is_ok());
            walk(&mut mailbox);
        }
    }
}

#[test]
fn a_hidden_folder_comes_back_with_all_it_held() {
    let (_folder, mut mailbox) = mailbox();
    let elsewhere = mailbox.create_search_folder(INBOX, "Elsewhere").unwrap();
    let (top, below, search) = tree(&mut mailbox);
    let criteria = SearchCriteria {
        scope: vec![top],
        recursive: true,
        fixed: false,
        restriction: ringpost_mapi::Restriction::Always,
    };
    mailbox.set_search_criteria(elsewhere, &criteria).unwrap();
    mailbox.run_search(elsewhere).unwrap();
    assert_eq!(mailbox.folder(elsewhere).unwrap().messages, 2);
    let earlier = mailbox.create_folder(top, "Earlier", None).unwrap();
    mailbox.soft_delete_folder(earlier).unwrap();
    mailbox.set_receive_folder("IPM.Task", Some(below)).unwrap();
    let hidden_message = deliver(&mut mailbox, below);
    mailbox.soft_delete(below, &[hidden_message]).unwrap();
    let size = mailbox.size();
    let uids = mailbox.status(below).unwrap();
    mailbox.take_events();

    mailbox.soft_delete_folder(top).unwrap();
    let gone: Vec<FolderId> = mailbox
        .take_events()
        .into_iter()
        .filter(|event| event.kind == EventKind::FolderDeleted)
        .map(|event| event.folder)
        .collect();
    assert_eq!(gone, [search, below, top], "the deepest first");
    assert_eq!(mailbox.folder(elsewhere).unwrap().messages, 0);
    assert_eq!(mailbox.size(), 0);
    assert_eq!(
        mailbox.receive_folder("IPM.Task").unwrap().unwrap().1,
        INBOX,
        "what is hidden gets no mail"
    );
    for hidden in [top, below] {
        assert!(matches!(mailbox.folder(hidden), Err(StoreError::NotFound(_))));
        assert!(matches!(mailbox.status(hidden), Err(StoreError::NotFound(_))));
        let mut table = Table::contents(hidden, ContentsKind::Normal);
        assert!(matches!(
            table.query_rows(&mut mailbox, 9, true, true),
            Err(StoreError::NotFound(_))
        ));
    }
    assert!(matches!(
        mailbox.restore_folder(below, INBOX, "Below"),
        Err(StoreError::NotFound(_))
    ));
    walk(&mut mailbox);
    // The table of what was deleted shows the folder itself alone.
    let parent = mailbox.deleted_folders(None).unwrap();
    assert_eq!(
        parent.iter().map(|one| one.id).collect::<Vec<_>>(),
        [top, earlier]
    );
    let mut table = Table::deleted_hierarchy(parent[0].parent.unwrap());
    table
        .set_columns(vec![tags::DISPLAY_NAME, tags::DELETED_ON, tags::DEPTH])
        .unwrap();
    let rows = table.query_rows(&mut mailbox, 10, true, true).unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].iter().all(Option::is_some), "{rows:?}");

    mailbox.restore_folder(top, INBOX, "Again").unwrap();
    assert_eq!(mailbox.folder(top).unwrap().name, "Again");
    assert_eq!(mailbox.size(), size);
    assert_eq!(mailbox.folder(elsewhere).unwrap().messages, 2);
    assert_eq!(counts(&mut mailbox, below), (1, 1, 1));
    let status = mailbox.status(below).unwrap();
    assert_eq!(
        (status.uid_validity, status.uid_next),
        (uids.uid_validity, uids.uid_next)
    );
    assert!(
        mailbox.folder(earlier).is_err(),
        "what was hidden before stays so"
    );
    mailbox.restore_folder(earlier, top, "Earlier").unwrap();
    assert!(matches!(
        mailbox.soft_delete_folder(INBOX),
        Err(StoreError::NotAllowed(_))
    ));
    walk(&mut mailbox);
}

#[test]
fn hidden_folders_go_for_good() {
    let (_folder, mut mailbox) = mailbox();
    let (top, below, _) = tree(&mut mailbox);
    deliver(&mut mailbox, INBOX);
    let size = mailbox.size();
    mailbox.soft_delete_folder(below).unwrap();
    mailbox.soft_delete_folder(top).unwrap();
    // Its name is free meanwhile.
    let again = mailbox.create_folder(INBOX, "Top", None).unwrap();
    assert!(matches!(
        mailbox.restore_folder(top, INBOX, "top"),
        Err(StoreError::Exists(_))
    ));
    assert_eq!(mailbox.purge_folders(FileTime(0)).unwrap(), 0);
    assert!(matches!(
        mailbox.purge_folder(again),
        Err(StoreError::NotFound(_))
    ));
    let left = mailbox.size();
    assert!(left < size);
    let later = FileTime(FileTime::now().0 + 10_000_000);
    assert_eq!(
        mailbox.purge_folders(later).unwrap(),
        1,
        "the other one went with it"
    );
    assert_eq!(mailbox.deleted_folders(None).unwrap(), []);
    assert_eq!(mailbox.size(), left);
    walk(&mut mailbox);
    // A folder that has only hidden ones below it has no subfolders.
    let inner = mailbox.create_folder(again, "Inner", None).unwrap();
    mailbox.soft_delete_folder(inner).unwrap();
    mailbox.delete_folder(again, false).unwrap();
    walk(&mut mailbox);
}

#[test]
fn messages_move_out_of_search_folders() {
    let (_folder, mut mailbox) = mailbox();
    let (top, below, search) = tree(&mut mailbox);
    let mut table = Table::contents(search, ContentsKind::Normal);
    table.set_columns(vec![tags::MID]).unwrap();
    let shown = rows(&mut mailbox, top)
        .into_iter()
        .chain(rows(&mut mailbox, below))
        .map(|row| row.message)
        .collect::<Vec<_>>();
    assert_eq!(table.row_count(&mut mailbox).unwrap(), 2);
    let moved = mailbox.move_to(search, &shown, built_in::JUNK).unwrap();
    assert_eq!(moved.len(), 2);
    assert_eq!(counts(&mut mailbox, top), (0, 0, 1));
    assert_eq!(table.row_count(&mut mailbox).unwrap(), 0);
    assert!(matches!(
        mailbox.copy_to(search, &[moved[0].to], INBOX),
        Err(StoreError::NotFound(_))
    ));
    // Associated messages too.
    let id = associated(&mut mailbox, INBOX);
    let copy = mailbox.copy_to(INBOX, &[id, id], top).unwrap();
    assert_eq!((copy.len(), copy[0].uid), (1, None));
    assert_eq!(counts(&mut mailbox, top), (0, 0, 2));
    mailbox.move_to(INBOX, &[id], top).unwrap();
    assert_eq!(counts(&mut mailbox, INBOX).2, 0);
    assert_eq!(counts(&mut mailbox, top).2, 3);
    walk(&mut mailbox);
}

#[test]
fn what_a_user_read_travels_between_replicas() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path(), MailboxKind::Public);
    let mut mailbox = open(folder.path());
    let board = mailbox
        .create_folder(built_in_public::IPM_SUBTREE, "Board", None)
        .unwrap();
    let posts: Vec<MessageId> = (0..5).map(|_| deliver(&mut mailbox, board)).collect();
    mailbox.set_read(board, &posts[1..4], true, "ann@x.test").unwrap();
    mailbox
        .set_read(board, &posts[2..3], false, "ann@x.test")
        .unwrap();
    assert_eq!(mailbox.unread_by(board, "Ann@X.test").unwrap(), 3);
    assert_eq!(mailbox.unread_by(board, "bob@x.test").unwrap(), 5);
    let version = |mailbox: &mut Mailbox, id| mailbox.message(id).unwrap().version.0;
    let mut expected = GlobSet::new();
    for id in [posts[1], posts[3]] {
        let version = version(&mut mailbox, id);
        expected.insert_range(version..=version);
    }
    assert_eq!(mailbox.read_versions(board, "ann@x.test").unwrap(), expected);
    assert_eq!(mailbox.folders_read_by("ann@x.test").unwrap(), [board]);
    assert_eq!(mailbox.folders_read_by("bob@x.test").unwrap(), []);
    mailbox.set_read_versions(board, "bob@x.test", &expected).unwrap();
    assert_eq!(mailbox.read_versions(board, "BOB@x.test").unwrap(), expected);
    mailbox
        .set_read_versions(board, "ann@x.test", &GlobSet::new())
        .unwrap();
    assert_eq!(mailbox.unread_by(board, "ann@x.test").unwrap(), 5);
    let mut table = Table::hierarchy_of_user(built_in_public::IPM_SUBTREE, false, "bob@x.test");
    table
        .set_columns(vec![tags::CONTENT_COUNT, tags::CONTENT_UNREAD_COUNT])
        .unwrap();
    let rows = table.query_rows(&mut mailbox, 5, true, true).unwrap();
    assert_eq!(
        rows,
        [[Some(PropValue::Integer32(5)), Some(PropValue::Integer32(3))]]
    );
    walk(&mut mailbox);
}

/// The columns of a hierarchy table that follow from a folder's rows.
#[test]
fn hierarchy_tables_tell_all_of_a_folder() {
    let (_folder, mut mailbox) = mailbox();
    let (top, below, _) = tree(&mut mailbox);
    let rule = ringpost_store::Rule {
        id: 0,
        sequence: 1,
        state: 1,
        properties: ringpost_mapi::PropertyBag::new(),
    };
    mailbox.add_rule(below, &rule).unwrap();
    let message = rows(&mut mailbox, below)[0].message;
    mailbox.soft_delete(below, &[message]).unwrap();
    let change = FolderChange {
        name: Some("Renamed".to_owned()),
        ..FolderChange::default()
    };
    mailbox.change_folder(below, &change).unwrap();
    let mut table = Table::hierarchy(top, true);
    let columns = [
        tags::DISPLAY_NAME,
        tags::HAS_RULES,
        tags::DELETED_COUNT_TOTAL,
        tags::CONTENT_COUNT,
        tags::ASSOCIATED_CONTENT_COUNT,
        tags::INTERNET_ARTICLE_NUMBER_NEXT,
        tags::DELETED_ON,
        tags::CHANGE_KEY,
        tags::PREDECESSOR_CHANGE_LIST,
        tags::CREATION_TIME,
        tags::LAST_MODIFICATION_TIME,
    ];
    table.set_columns(columns.to_vec()).unwrap();
    let found = table.query_rows(&mut mailbox, 5, true, true).unwrap();
    let row = found
        .iter()
        .find(|row| row[0] == Some(PropValue::String("Renamed".to_owned())))
        .unwrap();
    assert_eq!(
        row[1..7],
        [
            Some(PropValue::Boolean(true)),
            Some(PropValue::Integer32(1)),
            Some(PropValue::Integer32(0)),
            Some(PropValue::Integer32(1)),
            Some(PropValue::Integer32(2)),
            None,
        ]
    );
    let lineage = mailbox.folder_lineage(below).unwrap();
    assert_eq!(row[7], Some(PropValue::Binary(lineage.change_key.encode())));
    assert_eq!(row[8], Some(PropValue::Binary(lineage.predecessors.encode())));
    assert!(row[9].is_some() && row[10].is_some());
}
