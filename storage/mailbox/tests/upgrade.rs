//! Mailboxes as earlier versions of this program wrote them are opened, and all is there. `data/` has them as they
//! were, made by the code of their time: `schema-N-KIND.sqlite3.zst`, and the content files they name.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use ringpost_convert::message::AttachmentData;
use ringpost_mapi::{
    ChangeNumber, FolderId, Guid, MessageId, PropTag, PropValue, Uid, named::PropertyName, rights::Rights,
    tags,
};
use ringpost_store::{
    FlagAction, Flags, Lineage, Mailbox, Member, MessageDraft, MessageImport, OpenOptions, StoreError, Table,
    folder::{built_in, built_in_public},
    table::ContentsKind,
};

/// The content file of the private mailbox.
const LARGE: &str = "38e3a5a00ce12e7b8ee70d30d97239685bc1c03cf78ebeb9962bd7a7b6cdf908.zst";

/// A copy of an old mailbox.
fn old(schema: u32, kind: &str) -> tempfile::TempDir {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folder = tempfile::tempdir().unwrap();
    for name in ["exmdb", "cid", "config", "tmp"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let packed = std::fs::read(data.join(format!("schema-{schema}-{kind}.sqlite3.zst"))).unwrap();
    let database = zstd::decode_all(&packed[..]).unwrap();
    std::fs::write(folder.path().join("exmdb/exchange.sqlite3"), database).unwrap();
    if schema == 1 && kind == "private" {
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
    let folder = old(1, "private");
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
    let folder = old(1, "public");
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

/// Flags, keywords and change numbers came into pages: all are as the rows had them.
#[test]
fn a_mailbox_of_schema_2_keeps_flags_and_changes() {
    /// UID, flags, keywords, change, version.
    type Row = (u32, Flags, Vec<String>, ChangeNumber, ChangeNumber);
    let folder = old(2, "private");
    let before: Vec<(FolderId, Vec<Row>)> = {
        let path = folder.path().join("exmdb/exchange.sqlite3");
        let database = rusqlite::Connection::open(path).unwrap();
        let names: Vec<String> = database
            .prepare("SELECT name FROM keywords ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let mut statement = database
            .prepare("SELECT uid, flags & 255, keywords, change, version FROM messages WHERE folder = ?1 AND state = 0 ORDER BY uid")
            .unwrap();
        let mut rows_of = |folder: FolderId| -> Vec<Row> {
            let rows = statement.query_map([folder.to_disk()], |row| {
                let keywords: Option<Vec<u8>> = row.get(2)?;
                let keywords = keywords.unwrap_or_default();
                Ok((
                    row.get(0)?,
                    Flags::from_bits_truncate(row.get(1)?),
                    keywords
                        .iter()
                        .map(|&id| names[usize::from(id)].clone())
                        .collect(),
                    ChangeNumber(row.get::<_, i64>(3)? as u64),
                    ChangeNumber(row.get::<_, i64>(4)? as u64),
                ))
            });
            rows.unwrap().collect::<Result<_, _>>().unwrap()
        };
        [
            built_in::INBOX,
            built_in::JUNK,
            built_in::SENT_ITEMS,
            built_in::DRAFTS,
        ]
        .map(|folder| (folder, rows_of(folder)))
        .into()
    };
    assert!(before[0].1.len() > 500 && before.iter().all(|(_, rows)| !rows.is_empty()));
    let mut mailbox = upgraded(folder.path());
    for (folder, old) in &before {
        let now = rows(&mut mailbox, *folder);
        assert_eq!(now.len(), old.len());
        for (row, (uid, flags, keywords, change, version)) in now.iter().zip(old) {
            assert_eq!((row.uid, row.flags), (Uid(*uid), *flags));
            assert_eq!((&row.keywords, row.change), (keywords, *change));
            assert_eq!(mailbox.message(row.message).unwrap().version, *version);
        }
        // What changed since the middle is what had later change numbers.
        let since = now[now.len() / 2].change;
        let later: Vec<u32> = now
            .iter()
            .filter(|row| row.change > since)
            .map(|row| row.uid.0)
            .collect();
        let changed = mailbox.changes_since(*folder, since).unwrap().changed;
        assert_eq!(
            changed.iter().map(|change| change.uid.0).collect::<Vec<_>>(),
            later
        );
    }
    let mut hidden = Table::contents(built_in::INBOX, ContentsKind::SoftDeleted);
    assert_eq!(hidden.row_count(&mut mailbox).unwrap(), 8);
    // And it goes on from there.
    let (changed, _) = mailbox
        .change_flags(
            built_in::INBOX,
            &all(),
            FlagAction::Replace,
            Flags::ANSWERED,
            &[],
            None,
        )
        .unwrap();
    assert_eq!(changed.len(), before[0].1.len());
    assert!(
        rows(&mut mailbox, built_in::INBOX)
            .iter()
            .all(|row| row.flags == Flags::ANSWERED)
    );
    assert_eq!(mailbox.check(false).unwrap().problems, []);
}

/// When its messages were saved nobody wrote down; of what comes now it is known.
#[test]
fn a_mailbox_of_schema_3_goes_on_with_save_dates() {
    let folder = old(3, "private");
    let mut mailbox = upgraded(folder.path());
    let inbox = rows(&mut mailbox, built_in::INBOX);
    let uids: Vec<u32> = inbox.iter().map(|row| row.uid.0).collect();
    assert_eq!(uids, [121, 122, 124, 125, 126]);
    assert_eq!(inbox[0].keywords, ["Work"]);
    assert_eq!(inbox[0].flags, Flags::FLAGGED);
    let archive = mailbox
        .subfolder(built_in::IPM_SUBTREE, "Archive")
        .unwrap()
        .unwrap()
        .id;
    assert_eq!(rows(&mut mailbox, archive).len(), 3);
    assert!(inbox.iter().all(|row| row.saved.is_none()));
    mailbox
        .copy_messages(built_in::INBOX, &set(&[(121, 122)]), archive)
        .unwrap();
    mailbox
        .move_messages(built_in::INBOX, &set(&[(124, 124)]), archive)
        .unwrap();
    let now = ringpost_mapi::FileTime::now().unix_seconds();
    let saved: Vec<bool> = rows(&mut mailbox, archive)
        .iter()
        .map(|row| {
            row.saved
                .is_some_and(|saved| (now - 60..=now).contains(&saved.unix_seconds()))
        })
        .collect();
    assert_eq!(saved, [false, false, false, true, true, true]);
    mailbox
        .change_flags(built_in::INBOX, &all(), FlagAction::Add, Flags::SEEN, &[], None)
        .unwrap();
    assert!(
        rows(&mut mailbox, built_in::INBOX)
            .iter()
            .all(|row| row.saved.is_none())
    );
    assert_eq!(mailbox.check(false).unwrap().problems, []);
}
