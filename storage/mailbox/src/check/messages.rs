//! I5, I6, I7: messages and their numbers.

use rusqlite::params;

use super::{Report, Rule, rule};
use crate::{
    Mailbox, MailboxKind, StoreError,
    folder::{built_in, built_in_public},
};

const RULES: &[Rule] = &[
    rule(
        "I5",
        "SELECT 'message ' || id || ' without message_data' FROM messages
         WHERE id NOT IN (SELECT message FROM message_data)",
        "INSERT INTO message_data (message, properties)
         SELECT id, x'' FROM messages WHERE id NOT IN (SELECT message FROM message_data)",
    ),
    rule(
        "I5",
        "SELECT 'message_data of no message: ' || message FROM message_data
         WHERE message NOT IN (SELECT id FROM messages)",
        "DELETE FROM message_data WHERE message NOT IN (SELECT id FROM messages)",
    ),
    rule(
        "I6",
        "SELECT 'associated message ' || id || ' has a UID' FROM messages WHERE state & 1 = 1 AND uid <> 0",
        "UPDATE messages SET uid = 0 WHERE state & 1 = 1 AND uid <> 0",
    ),
    rule(
        "I6",
        "SELECT 'uid_next of folder ' || f.id FROM folders f
         WHERE uid_next <= (SELECT max(uid) FROM messages m WHERE m.folder = f.id)",
        "UPDATE folders SET uid_next = 1 + (SELECT max(uid) FROM messages m WHERE m.folder = folders.id)
         WHERE uid_next <= (SELECT max(uid) FROM messages m WHERE m.folder = folders.id)",
    ),
    rule(
        "I6",
        "SELECT 'uid_next of search folder ' || f.id FROM folders f
         WHERE uid_next <= (SELECT max(uid) FROM search_links l WHERE l.folder = f.id)",
        "UPDATE folders SET uid_next = 1 + (SELECT max(uid) FROM search_links l WHERE l.folder = folders.id)
         WHERE uid_next <= (SELECT max(uid) FROM search_links l WHERE l.folder = folders.id)",
    ),
    rule(
        "I7",
        "SELECT 'changes of message ' || id FROM messages WHERE version > change OR read_change > change",
        "UPDATE messages SET change = max(version, coalesce(read_change, 0), change)
         WHERE version > change OR read_change > change",
    ),
];

/// Once the pages are sound.
const CONTENT_CHANGE: Rule = rule(
    "I7",
    "SELECT 'content_change of folder ' || f.id FROM folders f
     WHERE content_change < (SELECT max(change) FROM messages m WHERE m.folder = f.id)
        OR content_change < (SELECT max(highest) FROM flag_pages p WHERE p.folder = f.id)",
    "UPDATE folders SET content_change = max(content_change,
         coalesce((SELECT max(change) FROM messages m WHERE m.folder = folders.id), 0),
         coalesce((SELECT max(highest) FROM flag_pages p WHERE p.folder = folders.id), 0))",
);

impl Mailbox {
    pub(super) fn check_messages(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        self.check_homes(report, repair)?;
        for rule in RULES {
            self.apply(rule, report, repair)?;
        }
        self.check_pages(report, repair)?;
        self.apply(&CONTENT_CHANGE, report, repair)?;
        self.check_values(report, repair)
    }

    /// Messages whose folder is gone, or that have no UID: they turn up in the inbox, or keep their folder.
    fn check_homes(&mut self, report: &mut Report, repair: bool) -> Result<(), StoreError> {
        let homeless = self.pairs(
            "SELECT id, 'message ' || id || ' is in no folder that holds messages' FROM messages
             WHERE folder NOT IN (SELECT id FROM folders WHERE search = 0)",
        )?;
        let home = match self.kind() {
            MailboxKind::Private => built_in::INBOX,
            MailboxKind::Public => built_in_public::IPM_SUBTREE,
        };
        for (id, description) in homeless {
            report.add("I5", description, repair);
            if repair {
                self.connection.execute(
                    "UPDATE messages SET folder = ?2, uid = iif(state & 1, 0,
                         (SELECT max(uid_next, 1 + coalesce((SELECT max(uid) FROM messages WHERE folder = ?2), 0))
                          FROM folders WHERE id = ?2)) WHERE id = ?1",
                    params![id, home.to_disk()],
                )?;
            }
        }
        let without = self.pairs(
            "SELECT id, 'message ' || id || ' has no UID' FROM messages WHERE state = 0 AND uid = 0",
        )?;
        for (id, description) in without {
            report.add("I6", description, repair);
            if repair {
                self.connection.execute(
                    "UPDATE messages SET uid = (SELECT max(f.uid_next,
                         1 + coalesce((SELECT max(uid) FROM messages o WHERE o.folder = f.id), 0))
                         FROM folders f WHERE f.id = messages.folder) WHERE id = ?1",
                    [id],
                )?;
            }
        }
        Ok(())
    }
}
