//! Store and model, side by side.

use std::collections::{BTreeMap, BTreeSet};

use ringpost_mapi::{FolderId, MessageId, PropValue, tags};
use ringpost_store::{
    Flags, MailboxKind,
    table::{ContentsKind, Table},
};

use super::{
    Run, USERS,
    common::rows,
    messages::COMPUTED,
    model::{key_bytes, lineage, list_bytes},
    tables::message_id,
};

impl Run {
    pub(crate) fn compare_everything(&mut self) {
        let all: Vec<FolderId> = self.model.folders.keys().copied().collect();
        for folder in all {
            self.compare_folder(folder);
        }
        self.compare_searches();
        self.compare_hierarchy();
        self.compare_hidden();
        let properties = self.store().store_properties().unwrap();
        assert_eq!(properties, self.model.store_properties);
        let receive: BTreeMap<String, FolderId> = self
            .store()
            .receive_folders()
            .unwrap()
            .into_iter()
            .map(|(class, folder, _)| (class, folder))
            .collect();
        assert_eq!(receive, self.model.receive_folders);
        let size: u64 = self
            .model
            .messages
            .values()
            .filter(|one| !one.hidden)
            .map(|one| one.size)
            .sum();
        assert_eq!(self.store().size(), size);
        let names = self.model.names.clone();
        for (name, id) in names {
            assert_eq!(self.store().named_property_id(&name, false).unwrap(), Some(id));
        }
    }

    pub(crate) fn compare_folder(&mut self, id: FolderId) {
        let at = format!("step {}, after {}, folder {id}", self.step, self.done);
        let Some(model) = self.model.folders.get(&id).cloned() else {
            return;
        };
        if model.is_search {
            return;
        }
        let messages: BTreeMap<MessageId, _> = self.model.in_folder(id).collect();
        let store = self.mailbox.as_mut().unwrap();
        let folder = store.folder(id).unwrap();
        assert_eq!((&folder.name, folder.parent), (&model.name, model.parent), "{at}");
        assert_eq!(folder.change.0, model.change, "{at}");
        let normal: Vec<_> = messages.values().filter(|one| one.is_normal()).collect();
        let count = |flag| normal.iter().filter(|one| one.flags.contains(flag)).count() as u32;
        let associated: Vec<_> = messages
            .values()
            .filter(|one| one.associated && !one.hidden)
            .collect();
        let expected = (
            normal.len() as u32,
            normal.len() as u32 - count(Flags::SEEN),
            associated.len() as u32,
        );
        assert_eq!(
            (folder.messages, folder.unread, folder.associated),
            expected,
            "{at}"
        );
        assert_eq!(store.folder_properties(id).unwrap(), model.properties, "{at}");
        let (key, seen) = lineage(model.change, model.lineage.as_ref());
        let kept = store.folder_lineage(id).unwrap();
        assert_eq!(kept.change_key.encode(), key_bytes(key), "{at}");
        assert_eq!(kept.predecessors.encode(), list_bytes(&seen), "{at}");
        let rules: Vec<_> = store
            .rules(id)
            .unwrap()
            .into_iter()
            .map(|rule| (rule.sequence, rule.id, rule.properties))
            .collect();
        assert_eq!(rules, model.rules, "{at}");
        let permissions = store.permissions(id).unwrap();
        assert_eq!(permissions.len(), model.permissions.len(), "{at}");
        for permission in permissions {
            assert!(
                model
                    .permissions
                    .contains(&(permission.member, permission.rights)),
                "{at}"
            );
        }
        if self.model.kind == MailboxKind::Public {
            let user = self.dice.of(&USERS);
            let unread = normal.iter().filter(|one| !one.is_read(Some(user))).count() as u32;
            assert_eq!(store.unread_by(id, user).unwrap(), unread, "{at}, {user}");
        }
        // IMAP's view.
        let status = store.status(id).unwrap();
        assert_eq!((status.messages, status.unseen), (expected.0, expected.1), "{at}");
        assert_eq!(
            (status.deleted, status.uid_next),
            (count(Flags::DELETED), model.uid_next),
            "{at}"
        );
        assert_eq!(
            status.size,
            normal.iter().map(|one| one.size).sum::<u64>(),
            "{at}"
        );
        let highest = messages.values().map(|one| one.change).max().unwrap_or(0);
        assert!(status.highest_change.0 >= highest, "{at}");
        let mut expected: Vec<_> = messages
            .iter()
            .filter(|(_, one)| one.is_normal())
            .map(|(id, one)| {
                (
                    one.uid,
                    *id,
                    one.flags,
                    one.keywords.clone(),
                    one.change,
                    one.size,
                    one.received,
                )
            })
            .collect();
        expected.sort_by_key(|row| row.0);
        let found: Vec<_> = rows(store, id)
            .into_iter()
            .map(|row| {
                let keywords: BTreeSet<String> = row.keywords.into_iter().collect();
                (
                    row.uid.0,
                    row.message,
                    row.flags,
                    keywords,
                    row.change.0,
                    row.size,
                    row.received,
                )
            })
            .collect();
        assert_eq!(found, expected, "{at}");
        // Each message in full.
        let ids: Vec<MessageId> = messages.keys().copied().collect();
        for message in ids {
            self.compare_message(message, &at);
        }
    }

    fn compare_message(&mut self, id: MessageId, at: &str) {
        let at = format!("{at}, message {id}");
        let model = &self.model.messages[&id];
        let store = self.mailbox.as_mut().unwrap();
        let mut message = store.message(id).unwrap();
        assert_eq!(message.folder, model.folder, "{at}");
        assert_eq!(
            (message.associated, message.soft_deleted),
            (model.associated, model.hidden),
            "{at}"
        );
        assert_eq!(
            (message.version.0, message.change.0),
            (model.version, model.change),
            "{at}"
        );
        assert_eq!((message.flags, message.size), (model.flags, model.size), "{at}");
        assert_eq!(message.uid.map_or(0, |uid| uid.0), model.uid, "{at}");
        assert_eq!(message.has_source, model.source.is_some(), "{at}");
        let bag = &mut message.content.properties;
        let computed = COMPUTED.map(|tag| bag.remove(tag));
        let expected = [
            Some(PropValue::Integer32(model.message_flags(None))),
            Some(PropValue::Integer32(model.size as i32)),
            Some(PropValue::Boolean(model.has_attachments())),
            Some(PropValue::Time(model.received)),
        ];
        assert_eq!(computed[..4], expected, "{at}");
        let status = (model.status != 0).then_some(PropValue::Integer32(model.status));
        assert_eq!(computed[4], status, "{at}");
        let (key, seen) = lineage(model.version, model.lineage.as_ref());
        for (tag, bytes) in [
            (tags::CHANGE_KEY, key_bytes(key)),
            (tags::PREDECESSOR_CHANGE_LIST, list_bytes(&seen)),
        ] {
            let kept = store.message_property(id, tag).unwrap();
            assert_eq!(kept, Some(PropValue::Binary(bytes)), "{at}");
        }
        let search_key = store.message_property(id, tags::SEARCH_KEY).unwrap();
        assert!(search_key.is_some(), "{at}");
        assert_eq!(message.content, model.content, "{at}");
        if self.model.kind == MailboxKind::Public {
            for user in USERS {
                let read = store.is_read(id, user).unwrap();
                assert_eq!(read, model.is_read(Some(user)), "{at}, {user}");
            }
        }
        if model.search_key.is_some() {
            assert_eq!(search_key, model.search_key, "{at}");
        }
        // A property alone, and the source.
        let tag = self
            .dice
            .of(&[tags::SUBJECT, tags::BODY, super::dice::LONG, tags::MESSAGE_FLAGS]);
        assert_eq!(
            store.message_property(id, tag).unwrap(),
            model.seen_by(None).get(tag),
            "{at}, {tag:?}"
        );
        if let Some(source) = model.source.as_ref().filter(|_| self.dice.one_in(4)) {
            let mut out = Vec::new();
            store.read_source(id, 0..u64::MAX, &mut out).unwrap();
            assert!(out == *source, "{at}: source");
        }
        self.model.messages.get_mut(&id).unwrap().search_key = search_key;
    }

    /// What was soft-deleted with its folder.
    fn compare_hidden(&mut self) {
        let store = self.mailbox.as_mut().unwrap();
        let found: Vec<(FolderId, String)> = store
            .deleted_folders(None)
            .unwrap()
            .into_iter()
            .map(|one| (one.id, one.name))
            .collect();
        let mut expected: Vec<(FolderId, String)> = self
            .model
            .hidden
            .iter()
            .map(|hidden| (hidden.root, hidden.folders[&hidden.root].name.clone()))
            .collect();
        expected.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(found, expected);
        let roots: Vec<FolderId> = self.model.folders.keys().copied().collect();
        for parent in roots {
            let mut table = Table::deleted_hierarchy(parent);
            table.set_columns(vec![tags::FOLDER_ID]).unwrap();
            let rows = table.query_rows(store, 10_000, true, true).unwrap();
            let found: BTreeSet<u64> = rows.iter().map(|row| message_id(row[0].as_ref()).0).collect();
            let hidden = self.model.hidden.iter();
            let expected: BTreeSet<u64> = hidden
                .filter(|hidden| hidden.folders[&hidden.root].parent == Some(parent))
                .map(|hidden| hidden.root.0)
                .collect();
            assert_eq!(found, expected, "hidden below {parent}");
        }
    }

    /// What search folders link to, and their counters.
    pub(crate) fn compare_searches(&mut self) {
        for id in self.searches() {
            let at = format!("step {}, after {}, search folder {id}", self.step, self.done);
            let model = &self.model.folders[&id];
            let expected = self.model.links(id);
            let store = self.mailbox.as_mut().unwrap();
            let folder = store.folder(id).unwrap();
            assert_eq!((&folder.name, folder.parent), (&model.name, model.parent), "{at}");
            assert!(folder.is_search);
            let mut table = Table::contents(id, ContentsKind::Normal);
            table.set_columns(vec![tags::MID]).unwrap();
            let rows = table.query_rows(store, 10_000, true, false).unwrap();
            let found: BTreeSet<MessageId> = rows.iter().map(|row| message_id(row[0].as_ref())).collect();
            assert_eq!(found.len(), rows.len(), "{at}");
            assert_eq!(folder.messages as usize, found.len(), "{at}");
            if model.search.as_ref().is_some_and(|search| search.running) {
                assert!(found.iter().all(|id| expected.contains_key(id)), "{at}");
            } else {
                assert_eq!(
                    found,
                    expected.keys().copied().collect(),
                    "{at}, {:?}",
                    model.search
                );
                let unread = expected.values().filter(|unread| **unread).count();
                assert_eq!(folder.unread as usize, unread, "{at}");
            }
        }
    }

    /// The hierarchy table of everything, deep and flat.
    fn compare_hierarchy(&mut self) {
        let at = format!("step {}, after {}: hierarchy", self.step, self.done);
        for (root, deep) in [(self.root, true), (self.dice.of(&self.arena.clone()), false)] {
            let mut table = Table::hierarchy(root, deep);
            let columns = vec![
                tags::FOLDER_ID,
                tags::DISPLAY_NAME,
                tags::CONTENT_COUNT,
                tags::SUBFOLDERS,
            ];
            table.set_columns(columns).unwrap();
            let rows = table.query_rows(self.store(), 10_000, true, false).unwrap();
            let found: BTreeMap<FolderId, _> = rows
                .into_iter()
                .map(|row| (FolderId(message_id(row[0].as_ref()).0), row[1..].to_vec()))
                .collect();
            let folders = self.model.below(root).into_iter().skip(1);
            let expected: BTreeMap<FolderId, _> = folders
                .filter(|id| deep || self.model.folders[id].parent == Some(root))
                .map(|id| {
                    let folder = &self.model.folders[&id];
                    let messages = if folder.is_search {
                        self.mailbox.as_mut().unwrap().folder(id).unwrap().messages as usize
                    } else {
                        self.model.normal(id).count()
                    };
                    let row = vec![
                        Some(PropValue::String(folder.name.clone())),
                        Some(PropValue::Integer32(messages as i32)),
                        Some(PropValue::Boolean(self.model.below(id).len() > 1)),
                    ];
                    (id, row)
                })
                .collect();
            assert_eq!(found, expected, "{at}");
        }
    }
}
