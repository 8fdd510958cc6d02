//! Mailboxes for the tools' tests.

use std::path::Path;

use ringpost_store::{
    CreateOptions, Flags, Mailbox, MailboxKind, OpenOptions, Placement, PreparedMessage, folder::built_in,
};

use crate::integrity::database;

/// A mailbox with so many messages in the inbox.
pub(crate) fn mailbox(messages: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions {
        kind: MailboxKind::Private,
        guid: ringpost_directory::MailboxPlace::new(folder.path().to_owned())
            .unwrap()
            .guid,
        locale: String::new(),
    };
    Mailbox::create(folder.path(), &options).unwrap();
    let mut mailbox = Mailbox::open(folder.path(), &OpenOptions::default()).unwrap();
    for number in 0..messages {
        let source = format!("From: <a@example.test>\r\nSubject: message {number}\r\n\r\nText {number}.\r\n");
        let prepared = PreparedMessage::new(source.into_bytes().into(), None);
        let placement = Placement {
            flags: Flags::empty(),
            keywords: Vec::new(),
            received: ringpost_mapi::FileTime::from_unix_seconds(1_790_000_000),
        };
        mailbox
            .store_message(built_in::INBOX, &prepared, &placement)
            .unwrap();
    }
    mailbox.checkpoint().unwrap();
    folder
}

/// Makes the folders' counters wrong.
pub(crate) fn damage_counters(mailbox: &Path) {
    let connection = ringpost_vfs::open_database(&database(mailbox), false).unwrap();
    let changed = connection
        .execute("UPDATE store SET size = size + 1000", [])
        .unwrap();
    assert_eq!(changed, 1);
}
