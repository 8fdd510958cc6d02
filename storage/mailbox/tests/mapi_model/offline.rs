//! What clients upload that worked offline: messages and folders with ids, change keys and predecessors of
//! their own, and moves; and what users of a public store read elsewhere.

use std::collections::BTreeMap;

use ringpost_mapi::{
    FileTime, FolderId, Guid, MessageId, PropValue,
    change::{PredecessorChangeList, Xid},
    idset::GlobSet,
    tags,
};
use ringpost_store::{
    FolderImport, FolderImported, Imported, Lineage, MailboxKind, MessageDraft, MessageImport, StoreError,
    Table, folder::built_in,
};

use super::{
    Run,
    folders::MAX_FOLDERS,
    messages::MAX_MESSAGES,
    model::{HERE, ModelLineage, ModelMessage, NEW, lineage},
    tables::message_id,
};

const CLIENTS: [Guid; 2] = [Guid([3; 16]), Guid([9; 16])];

impl Run {
    /// A change of one of the clients that has seen `seen`.
    fn upload(&mut self, mut seen: BTreeMap<Guid, u64>) -> (ModelLineage, Lineage) {
        self.uploads += 1;
        let key = (self.dice.of(&CLIENTS), self.uploads);
        seen.insert(key.0, key.1);
        (
            ModelLineage {
                version: NEW,
                key,
                seen: seen.clone(),
            },
            wire(key, &seen),
        )
    }

    pub(crate) fn upload_message(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "upload a message";
        let received = self.dice.time();
        let mut content = self.dice.content(2);
        content
            .properties
            .set(tags::MESSAGE_DELIVERY_TIME, PropValue::Time(received));
        let known = self.some_messages(folder, |_| true).pop();
        let mut import = MessageImport {
            id: MessageId(0),
            lineage: wire((HERE, 1), &BTreeMap::new()),
            // Clocks differ: the client's is behind or before the store's.
            modified: FileTime(self.dice.of(&[1, 1 << 60])),
            draft: MessageDraft {
                associated: self.dice.one_in(4),
                flags: self.dice.one_in(2).then(|| self.dice.flags()),
                content,
                ..MessageDraft::default()
            },
            fail_on_conflict: self.dice.one_in(4),
        };
        let Some(id) = known.filter(|_| self.dice.one_in(2)) else {
            if self.model.in_folder(folder).count() >= MAX_MESSAGES {
                return vec![];
            }
            import.id = MessageId::own(self.store().allocate_ids(1).unwrap());
            let (given, lineage) = self.upload(BTreeMap::new());
            import.lineage = lineage;
            let Imported::Saved(stored) = self.store().import_message(folder, &import).unwrap() else {
                panic!("a new message is saved")
            };
            assert_eq!(stored.message, import.id);
            self.saved_new(folder, &import.draft, stored, received);
            self.model.messages.get_mut(&import.id).unwrap().lineage = Some(given);
            return vec![folder];
        };
        let old = self.model.messages[&id].clone();
        let (here_key, here) = lineage(old.version, old.lineage.as_ref());
        let Some(PropValue::Time(modified)) = self
            .store()
            .message_property(id, tags::LAST_MODIFICATION_TIME)
            .unwrap()
        else {
            panic!("no time")
        };
        let upload = self.upload_over(here_key, &here, (import.modified, modified));
        (import.id, import.lineage) = (id, upload.wire.clone());
        let done = self.store().import_message(folder, &import);
        if old.hidden {
            assert!(matches!(done, Err(StoreError::NotFound(_))), "{done:?}");
            return vec![folder];
        }
        let (done, at) = (done.unwrap(), format!("step {}: {upload:?}", self.step));
        match upload.outcome {
            Outcome::Known => assert_eq!(done, Imported::Known, "{at}"),
            Outcome::Won | Outcome::Lost if import.fail_on_conflict => {
                assert_eq!(done, Imported::Conflict, "{at}");
            }
            Outcome::Saved | Outcome::Won => {
                let expected = match done {
                    Imported::Saved(_) => Outcome::Saved,
                    Imported::Won(_) => Outcome::Won,
                    other => panic!("{at}: {other:?}"),
                };
                assert_eq!(upload.outcome, expected, "{at}");
                self.saved_over(id, &import.draft);
                self.model.messages.get_mut(&id).unwrap().lineage = Some(upload.after);
                let time = self.store().message_property(id, tags::LAST_MODIFICATION_TIME);
                assert_eq!(time.unwrap(), Some(PropValue::Time(import.modified)), "{at}");
            }
            Outcome::Lost => {
                let Imported::Lost(stored) = done else {
                    panic!("{at}: {done:?}")
                };
                let message = self.model.messages.get_mut(&id).unwrap();
                (message.version, message.change) = (NEW, NEW);
                message.lineage = Some(upload.after.renewed(stored.change.0));
            }
        }
        vec![folder]
    }

    /// A client's change of an object that has `here` at the store; `times` are the client's and the store's last
    /// modification.
    fn upload_over(
        &mut self,
        here_key: (Guid, u64),
        here: &BTreeMap<Guid, u64>,
        times: (FileTime, FileTime),
    ) -> Upload {
        let mut seen = here.clone();
        let given = match self.dice.below(4) {
            0 => {
                return Upload {
                    wire: wire(here_key, here),
                    after: ModelLineage {
                        version: NEW,
                        key: here_key,
                        seen,
                    },
                    outcome: Outcome::Known,
                };
            }
            1 => self.upload(seen),
            _ => {
                // Some change that the store has is missing.
                let all: Vec<(Guid, u64)> = here.iter().map(|(guid, counter)| (*guid, *counter)).collect();
                let (guid, counter) = self.dice.of(&all);
                if counter > 1 && self.dice.one_in(2) {
                    seen.insert(guid, counter - 1);
                } else {
                    seen.remove(&guid);
                }
                self.upload(seen)
            }
        };
        let (mut after, wire) = given;
        // The client's own change may stand for the one that was missing.
        let missing =
            |(guid, counter): (&Guid, &u64)| after.seen.get(guid).is_none_or(|known| known < counter);
        let outcome = if !here.iter().any(missing) {
            Outcome::Saved
        } else if (times.0, after.key.0) > (times.1, here_key.0) {
            Outcome::Won
        } else {
            Outcome::Lost
        };
        for (guid, counter) in here {
            let known = after.seen.entry(*guid).or_insert(*counter);
            *known = (*known).max(*counter);
        }
        Upload { wire, after, outcome }
    }

    /// A move with an id that the client chose.
    pub(crate) fn upload_move(&mut self, from: FolderId) -> Vec<FolderId> {
        self.done = "upload a move";
        let (Some(to), Some(id)) = (
            self.any_folder(),
            self.some_messages(from, |one| !one.hidden).pop(),
        ) else {
            return vec![];
        };
        if self.model.in_folder(to).count() >= MAX_MESSAGES {
            return vec![];
        }
        let old = &self.model.messages[&id];
        let (_, here) = lineage(old.version, old.lineage.as_ref());
        let (given, wire) = self.upload(here);
        let new = MessageId::own(self.store().allocate_ids(3).unwrap() + 2);
        let done = self.store().import_move(from, id, to, new, &wire).unwrap();
        assert_eq!(done.to, new);
        self.arrive(&[id], &[done], to);
        self.model.messages.get_mut(&new).unwrap().lineage = Some(given);
        self.gone(&[id]);
        vec![from, to]
    }

    pub(crate) fn upload_folder(&mut self, parent: FolderId) -> Vec<FolderId> {
        self.done = "upload a folder";
        let known = self.any_folder().filter(|_| self.dice.one_in(2));
        let name = self.new_name();
        let mut import = FolderImport {
            id: FolderId(0),
            parent,
            lineage: wire((HERE, 1), &BTreeMap::new()),
            modified: FileTime(self.dice.of(&[1, 1 << 60])),
            name: name.clone(),
            container_class: None,
            properties: self.dice.properties(),
        };
        let Some(id) = known else {
            if self.arena.len() >= MAX_FOLDERS {
                return vec![];
            }
            import.id = FolderId::own(self.store().allocate_ids(1).unwrap());
            let (given, wire) = self.upload(BTreeMap::new());
            import.lineage = wire;
            let done = self.store().import_folder(&import);
            assert!(matches!(done, Ok(FolderImported::Saved(_))), "{done:?}");
            self.learn(import.id, &name, parent);
            let model = self.model.folders.get_mut(&import.id).unwrap();
            assert_eq!(model.properties, import.properties);
            model.lineage = Some(given);
            return vec![import.id, parent];
        };
        let built_in = id.counter() < 0x100;
        if !built_in && self.model.below(id).contains(&parent) {
            return vec![];
        }
        let old = self.model.folders[&id].clone();
        let (here_key, here) = lineage(old.change, old.lineage.as_ref());
        let modified = self.modified(id);
        let upload = self.upload_over(here_key, &here, (import.modified, modified));
        (import.id, import.lineage) = (id, upload.wire.clone());
        let done = self.store().import_folder(&import).unwrap();
        let at = format!("step {}: {upload:?}", self.step);
        match (upload.outcome, done) {
            (Outcome::Known, FolderImported::Known) => {}
            (Outcome::Saved | Outcome::Won, FolderImported::Saved(_)) => {
                let model = self.model.folders.get_mut(&id).unwrap();
                if !built_in {
                    (model.name, model.parent) = (name, Some(parent));
                }
                (model.properties, model.change) = (import.properties, NEW);
                model.lineage = Some(upload.after);
            }
            (Outcome::Lost, FolderImported::Lost(change)) => {
                let model = self.model.folders.get_mut(&id).unwrap();
                model.change = NEW;
                model.lineage = Some(upload.after.renewed(change.0));
            }
            (_, done) => panic!("{at}: {done:?}"),
        }
        vec![id, parent]
    }

    /// When a folder was changed, as its parent's table says.
    fn modified(&mut self, id: FolderId) -> FileTime {
        let mut table = Table::hierarchy(built_in::ROOT, true);
        table
            .set_columns(vec![tags::FOLDER_ID, tags::LAST_MODIFICATION_TIME])
            .unwrap();
        let rows = table.query_rows(self.store(), 10_000, true, true).unwrap();
        let row = rows.iter().find(|row| message_id(row[0].as_ref()).0 == id.0);
        match row.and_then(|row| row[1].clone()) {
            Some(PropValue::Time(time)) => time,
            other => panic!("{other:?}"),
        }
    }

    /// What a user of a public store read elsewhere.
    pub(crate) fn read_elsewhere(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "read elsewhere";
        if self.model.kind == MailboxKind::Private {
            return self.read(folder);
        }
        let user = self.user();
        let read = self.some_messages(folder, ModelMessage::is_normal);
        let mut versions = GlobSet::new();
        for id in &read {
            let version = self.model.messages[id].version;
            versions.insert_range(version..=version);
        }
        self.store().set_read_versions(folder, user, &versions).unwrap();
        let ids: Vec<MessageId> = self.model.normal(folder).map(|(id, _)| id).collect();
        for id in ids {
            let message = self.model.messages.get_mut(&id).unwrap();
            if message.is_read(Some(user)) != read.contains(&id) {
                message.readers.insert(user.to_owned(), (read.contains(&id), NEW));
            }
        }
        self.settle_readers(folder, user);
        assert_eq!(self.store().read_versions(folder, user).unwrap(), versions);
        vec![folder]
    }
}

/// A client's change, and what must become of it.
#[derive(Clone, Debug)]
struct Upload {
    wire: Lineage,
    /// The object's lineage where the upload is saved.
    after: ModelLineage,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Known,
    Saved,
    Won,
    Lost,
}

impl ModelLineage {
    /// After a conflict that the store won by this change.
    fn renewed(mut self, change: u64) -> Self {
        self.key = (HERE, change);
        self.seen.insert(HERE, change);
        self
    }
}

fn wire(key: (Guid, u64), seen: &BTreeMap<Guid, u64>) -> Lineage {
    let mut predecessors = PredecessorChangeList::new();
    for (guid, counter) in seen {
        predecessors.add(Xid::of_counter(*guid, *counter));
    }
    Lineage {
        change_key: Xid::of_counter(key.0, key.1),
        predecessors,
    }
}
