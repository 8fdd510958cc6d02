//! Mailboxes as earlier versions of this program wrote them are opened, and all is there. `data/` has them as they
//! were, made by the code of their time: `schema-N-KIND.sqlite3.zst`, and the content files they name.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use ringpost_convert::message::AttachmentData;
use ringpost_mapi::{
    FolderId, Guid, MessageId, PropTag, PropValue, Uid, named::PropertyName, rights::Rights, tags,
};
use ringpost_store::{
    Flags, Lineage, Mailbox, Member, MessageDraft, MessageImport, OpenOptions, StoreError, Table,
    folder::{built_in, built_in_public},
    table::ContentsKind,
};

/// The content file of the private mailbox.
const LARGE: &str = "38e3a5a00ce12e7b8ee70d30d97239685bc1c03cf78ebeb9962bd7a7b6cdf908.zst";

/// A copy of an old mailbox.
fn old(kind: &str) -> tempfile::TempDir {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folder = tempfile::tempdir().unwrap();
    for name in ["exmdb", "cid", "config", "tmp"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let packed = std::fs::read(data.join(format!("schema-1-{kind}.sqlite3.zst"))).unwrap();
    let database = zstd::decode_all(&packed[..]).unwrap();
    std::fs::write(folder.path().join("exmdb/exchange.sqlite3"), database).unwrap();
    if kind == "private" {
        std::fs::copy(data.join(LARGE), folder.path().join("cid").join(LARGE)).unwrap();
    }
    folder
}

fn upgraded(folder: &Path) -> Mailbox {
    let refused = Mailbox::open(folder, &OpenOptions::default());
    assert!(matches!(refused, Err(StoreError::NotAllowed(_))));
    let mut mailbox = open(folder);
    assert_eq!(mailbox.check(false).unwrap().problems, []);
    mailbox
}

fn text(value: &str) -> Option<PropValue> {
    Some(PropValue::String(value.to_owned()))
}

#[test]
fn a_private_mailbox_of_schema_1_is_whole() {
    let folder = old("private");
    let mut mailbox = upgraded(folder.path());
    // Mail: two of the first four are in the inbox, beside the large one.
    let inbox = rows(&mut mailbox, built_in::INBOX);
    let uids: Vec<Uid> = inbox.iter().map(|row| row.uid).collect();
    assert_eq!(uids, [Uid(1), Uid(2), Uid(5)]);
    assert_eq!(inbox[0].keywords, ["Red", "$Label1"]);
    assert_eq!(inbox[1].flags, Flags::SEEN | Flags::DELETED);
    assert_eq!(rows(&mut mailbox, built_in::JUNK).len(), 2);
    assert_eq!(rows(&mut mailbox, built_in::SENT_ITEMS).len(), 1);
    let mut source = Vec::new();
    mailbox
        .read_source(inbox[2].message, 0..u64::MAX, &mut source)
        .unwrap();
    assert_eq!(source.len() as u64, inbox[2].size);
    assert!(source.len() > 100_000 && source.ends_with(b"--b--\r\n"));
    let part = mailbox.attachment_bytes(inbox[2].message, &[0]).unwrap();
    assert_eq!(part.len(), 1500 * 76 / 4 * 3);
    let body = mailbox.message_property(inbox[2].message, tags::BODY).unwrap();
    assert_eq!(body, text("text"));
    // What Outlook saved.
    let event = MessageId::own(0x10f);
    let saved = mailbox.message(event).unwrap();
    assert_eq!(saved.folder, built_in::CALENDAR);
    assert_eq!(saved.flags, Flags::DRAFT);
    let bag = &saved.content.properties;
    assert_eq!(bag.string(tags::MESSAGE_CLASS), Some("IPM.Appointment"));
    assert_eq!(bag.string(tags::BODY).map(str::len), Some(15_000));
    let status = PropertyName::lid(Guid([2; 16]), 0x8205);
    let id = mailbox.named_property_id(&status, false).unwrap().unwrap();
    let tag = PropTag::new(id, ringpost_mapi::PropType::INTEGER32);
    assert_eq!(bag.get(tag), Some(&PropValue::Integer32(2)));
    assert_eq!(saved.content.recipients.len(), 1);
    let AttachmentData::Embedded(inner) = &saved.content.attachments[0].data else {
        panic!("not embedded")
    };
    assert_eq!(inner.properties.string(tags::SUBJECT), Some("inner"));
    assert_eq!(mailbox.attachment_bytes(event, &[1]).unwrap(), vec![5; 20_000]);
    // Associated and hidden messages, folders and what hangs on them.
    assert_eq!(mailbox.folder(built_in::INBOX).unwrap().associated, 1);
    let mut hidden = Table::contents(built_in::CALENDAR, ContentsKind::SoftDeleted);
    assert_eq!(hidden.row_count(&mut mailbox).unwrap(), 1);
    assert_eq!(mailbox.folder(built_in::INBOX).unwrap().name, "Posteingang");
    let project = FolderId::own(0x112);
    assert_eq!(mailbox.folder(project).unwrap().name, "Projekte");
    let bob = mailbox.permissions(project).unwrap().remove(0);
    assert_eq!(bob.member, Member::Account("bob@example.test".to_owned()));
    assert_eq!(bob.rights, Rights::EDITOR);
    let rules = mailbox.rules(built_in::INBOX).unwrap();
    assert_eq!(rules[0].properties.string(tags::RULE_NAME), Some("r"));
    assert_eq!(mailbox.receive_folder("IPM.Task").unwrap().unwrap().1, project);
    let settings = mailbox.store_properties().unwrap();
    assert_eq!(
        settings.get(tags::PROHIBIT_RECEIVE_QUOTA),
        Some(&PropValue::Integer32(100_000))
    );
    // The search folder goes on where it was: unread messages.
    let search = FolderId::own(0x114);
    let unread = mailbox.folder(search).unwrap().messages;
    assert!(unread > 0);
    mailbox
        .set_read(built_in::INBOX, &[inbox[0].message], true, "")
        .unwrap();
    assert_eq!(mailbox.folder(search).unwrap().messages, unread - 1);
    // What came with later versions works on what was there before.
    assert_eq!(inbox[0].email_id, inbox[0].message.counter());
    let lineage = mailbox.message_lineage(event).unwrap();
    assert_eq!(lineage.change_key.counter(), Some(saved.version.0));
    assert!(
        mailbox
            .message_property(event, tags::SEARCH_KEY)
            .unwrap()
            .is_some()
    );
    let mut predecessors = lineage.predecessors;
    let change_key = ringpost_mapi::change::Xid::of_counter(Guid([9; 16]), 1);
    predecessors.add(change_key.clone());
    let import = MessageImport {
        id: event,
        lineage: Lineage {
            change_key,
            predecessors,
        },
        modified: ringpost_mapi::FileTime::now(),
        draft: MessageDraft::default(),
        fail_on_conflict: true,
    };
    let saved = mailbox.import_message(built_in::CALENDAR, &import).unwrap();
    assert!(saved.change().is_some());
    mailbox.soft_delete_folder(project).unwrap();
    mailbox
        .restore_folder(project, built_in::INBOX, "Projekte")
        .unwrap();
    assert_eq!(mailbox.check(false).unwrap().problems, []);
    drop(mailbox);
    // Once is enough.
    Mailbox::open(folder.path(), &OpenOptions::default()).unwrap();
}

#[test]
fn a_public_mailbox_of_schema_1_is_whole() {
    let folder = old("public");
    let mut mailbox = upgraded(folder.path());
    let board = mailbox
        .subfolder(built_in_public::IPM_SUBTREE, "board")
        .unwrap()
        .unwrap()
        .id;
    let posts = rows(&mut mailbox, board);
    assert_eq!(posts.len(), 3);
    let read: Vec<bool> = posts
        .iter()
        .map(|post| mailbox.is_read(post.message, "ann@example.test").unwrap())
        .collect();
    assert_eq!(read, [true, true, false]);
    assert_eq!(mailbox.unread_by(board, "ann@example.test").unwrap(), 1);
}
