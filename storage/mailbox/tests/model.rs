//! The store against a simple model in memory: random operations, compared after each step, IMAP's view
//! included; the integrity walk at the end.
//!
//! `RINGPOST_MODEL_SEED` replays a run, `RINGPOST_MODEL_STEPS` makes it longer.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use ringpost_convert::message::MessageContent;
use ringpost_mapi::{ChangeNumber, FolderId, MessageId, PropValue, Uid, tags};
use ringpost_store::{
    FlagAction, Flags, FolderChange, Mailbox, MessageDraft, StoreError, UidSet, folder::built_in,
};

const STEPS: usize = 3000;
const KEYWORDS: [&str; 4] = ["Red", "Green", "$Label1", "Later"];
const MAX_FOLDERS: usize = 12;

/// A message as IMAP sees it.
#[derive(Clone, PartialEq, Debug)]
struct ModelMessage {
    flags: Flags,
    keywords: BTreeSet<String>,
    source: Option<Vec<u8>>,
    /// Known to the store; new ids come from it.
    id: MessageId,
    body: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct ModelFolder {
    name: String,
    parent: Option<FolderId>,
    uid_next: u32,
    messages: BTreeMap<u32, ModelMessage>,
    /// Soft-deleted ones.
    hidden: BTreeMap<MessageId, ModelMessage>,
    associated: BTreeSet<MessageId>,
}

/// What a client knew at an earlier moment.
#[derive(Clone, Debug)]
struct Snapshot {
    folder: FolderId,
    highest: ChangeNumber,
    known: BTreeMap<u32, (Flags, BTreeSet<String>)>,
}

/// splitmix64: a run is its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

struct Run {
    random: Random,
    mailbox: Option<Mailbox>,
    directory: tempfile::TempDir,
    folders: BTreeMap<FolderId, ModelFolder>,
    snapshots: Vec<Snapshot>,
    names: usize,
}

#[test]
fn random_operations_agree_with_the_model() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = number("RINGPOST_MODEL_SEED").unwrap_or(clock);
    let steps = number("RINGPOST_MODEL_STEPS").map_or(STEPS, |n| n as usize);
    println!("replay with RINGPOST_MODEL_SEED={seed}");
    let (directory, mailbox) = mailbox();
    let mut run = Run {
        random: Random(seed),
        mailbox: Some(mailbox),
        directory,
        folders: BTreeMap::new(),
        snapshots: Vec::new(),
        names: 0,
    };
    for id in [built_in::INBOX, built_in::SENT_ITEMS, built_in::DRAFTS] {
        let folder = ModelFolder {
            uid_next: 1,
            parent: Some(built_in::IPM_SUBTREE),
            name: run.store().folder(id).unwrap().name,
            ..ModelFolder::default()
        };
        run.folders.insert(id, folder);
    }
    for step in 0..steps {
        let touched = run.step();
        for folder in touched {
            run.compare(folder, step);
        }
        if step % 100 == 99 {
            let all: Vec<FolderId> = run.folders.keys().copied().collect();
            for folder in all {
                run.compare(folder, step);
            }
        }
    }
    let report = run.store().check(false).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    run.reopen();
    let all: Vec<FolderId> = run.folders.keys().copied().collect();
    for folder in all {
        run.compare(folder, steps);
    }
}

impl Run {
    fn store(&mut self) -> &mut Mailbox {
        self.mailbox.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.mailbox = None;
        self.mailbox = Some(open(self.directory.path()));
    }

    fn any_folder(&mut self) -> FolderId {
        let at = self.random.below(self.folders.len());
        *self.folders.keys().nth(at).unwrap()
    }

    /// UIDs, some of which exist.
    fn some_uids(&mut self, folder: FolderId) -> UidSet {
        let next = self.folders[&folder].uid_next as usize;
        let mut uids = UidSet::default();
        for _ in 0..=self.random.below(3) {
            let start = self.random.below(next + 2) as u32;
            let length = self.random.below(4) as u32;
            uids.insert_range(start.max(1)..=start + length);
        }
        uids
    }

    fn some_flags(&mut self) -> Flags {
        Flags::from_bits_truncate(self.random.next() as u8)
    }

    fn some_keywords(&mut self) -> Vec<String> {
        let count = self.random.below(3);
        (0..count)
            .map(|_| KEYWORDS[self.random.below(KEYWORDS.len())].to_owned())
            .collect()
    }

    /// One random operation; the folders it touched.
    fn step(&mut self) -> Vec<FolderId> {
        let folder = self.any_folder();
        match self.random.below(100) {
            0..30 => self.deliver(folder),
            30..50 => self.flag(folder),
            50..57 => self.copy(folder),
            57..64 => self.move_away(folder),
            64..70 => self.expunge(folder),
            70..74 => self.hide(folder),
            74..77 => self.restore(folder),
            77..83 => self.save(folder),
            83..86 => self.make_folder(folder),
            86..88 => self.drop_folder(folder),
            88..90 => self.rename(folder),
            90..93 => self.fail(folder),
            93..97 => self.synchronise(folder),
            97..99 => {
                self.store().checkpoint().unwrap();
                vec![]
            }
            _ => {
                self.reopen();
                vec![folder]
            }
        }
    }

    fn deliver(&mut self, folder: FolderId) -> Vec<FolderId> {
        let bytes = [100, 3000, 5000, 20_000][self.random.below(4)];
        let number = self.random.below(50);
        let message = message(&number.to_string(), bytes);
        let (flags, keywords) = (self.some_flags(), self.some_keywords());
        let placed = placement(flags, &keywords.iter().map(String::as_str).collect::<Vec<_>>());
        let stored = self.store().store_message(folder, &message, &placed).unwrap();
        let model = self.folders.get_mut(&folder).unwrap();
        assert_eq!(stored.uid, Uid(model.uid_next));
        model.uid_next += 1;
        let new = ModelMessage {
            flags,
            keywords: keywords.into_iter().collect(),
            source: Some(message.source.to_vec()),
            id: stored.message,
            body: None,
        };
        model.messages.insert(stored.uid.0, new);
        vec![folder]
    }

    fn flag(&mut self, folder: FolderId) -> Vec<FolderId> {
        let uids = self.some_uids(folder);
        let action = [FlagAction::Replace, FlagAction::Add, FlagAction::Remove][self.random.below(3)];
        let (flags, keywords) = (self.some_flags(), self.some_keywords());
        let since = self.random.one_in(4).then(|| {
            let last = self.mailbox.as_mut().unwrap().last_change().unwrap().0 as usize;
            ChangeNumber(self.random.below(last + 1) as u64)
        });
        let before: BTreeMap<u32, ChangeNumber> = rows(self.store(), folder)
            .into_iter()
            .map(|row| (row.uid.0, row.change))
            .collect();
        let (changes, refused) = self
            .store()
            .change_flags(folder, &uids, action, flags, &keywords, since)
            .unwrap();
        let asked: BTreeSet<String> = keywords.into_iter().collect();
        let model = self.folders.get_mut(&folder).unwrap();
        let mut done = changes.into_iter();
        for (uid, message) in model
            .messages
            .iter_mut()
            .filter(|(uid, _)| uids.contains(Uid(**uid)))
        {
            if since.is_some_and(|since| before[uid] > since) {
                assert!(refused.contains(Uid(*uid)));
                continue;
            }
            assert!(!refused.contains(Uid(*uid)));
            let old = message.clone();
            match action {
                FlagAction::Replace => (message.flags, message.keywords) = (flags, asked.clone()),
                FlagAction::Add => {
                    message.flags |= flags;
                    message.keywords.extend(asked.iter().cloned());
                }
                FlagAction::Remove => {
                    message.flags -= flags;
                    message.keywords.retain(|keyword| !asked.contains(keyword));
                }
            }
            let change = done.next().unwrap();
            assert_eq!((change.uid.0, change.flags), (*uid, message.flags));
            assert_eq!(
                change.change > before[uid],
                old != *message,
                "only a change has a new number"
            );
        }
        assert!(done.next().is_none());
        vec![folder]
    }

    fn copy(&mut self, from: FolderId) -> Vec<FolderId> {
        let (to, uids) = (self.any_folder(), self.some_uids(from));
        let pairs = self.store().copy_messages(from, &uids, to).unwrap();
        let copied: Vec<(u32, ModelMessage)> = self.chosen(from, &uids);
        self.arrive(&pairs, copied, to);
        vec![from, to]
    }

    fn move_away(&mut self, from: FolderId) -> Vec<FolderId> {
        let (to, uids) = (self.any_folder(), self.some_uids(from));
        let pairs = self.store().move_messages(from, &uids, to).unwrap();
        let moved = self.chosen(from, &uids);
        let model = self.folders.get_mut(&from).unwrap();
        for (uid, _) in &moved {
            model.messages.remove(uid);
        }
        self.arrive(&pairs, moved, to);
        vec![from, to]
    }

    fn chosen(&self, folder: FolderId, uids: &UidSet) -> Vec<(u32, ModelMessage)> {
        let messages = &self.folders[&folder].messages;
        let chosen = messages.iter().filter(|(uid, _)| uids.contains(Uid(**uid)));
        chosen.map(|(uid, message)| (*uid, message.clone())).collect()
    }

    fn arrive(&mut self, pairs: &[(Uid, Uid)], messages: Vec<(u32, ModelMessage)>, to: FolderId) {
        assert_eq!(pairs.len(), messages.len());
        let ids: BTreeMap<u32, MessageId> = rows(self.store(), to)
            .into_iter()
            .map(|row| (row.uid.0, row.message))
            .collect();
        let model = self.folders.get_mut(&to).unwrap();
        for ((old, new), (uid, mut message)) in pairs.iter().zip(messages) {
            assert_eq!((old.0, new.0), (uid, model.uid_next));
            model.uid_next += 1;
            message.id = ids[&new.0];
            model.messages.insert(new.0, message);
        }
    }

    fn expunge(&mut self, folder: FolderId) -> Vec<FolderId> {
        let (uids, only_deleted) = (self.some_uids(folder), !self.random.one_in(3));
        let gone = self.store().expunge(folder, &uids, only_deleted).unwrap();
        let model = self.folders.get_mut(&folder).unwrap();
        model.messages.retain(|uid, message| {
            let goes = uids.contains(Uid(*uid)) && (!only_deleted || message.flags.contains(Flags::DELETED));
            assert_eq!(gone.contains(Uid(*uid)), goes);
            !goes
        });
        vec![folder]
    }

    fn hide(&mut self, folder: FolderId) -> Vec<FolderId> {
        let uids = self.some_uids(folder);
        let chosen = self.chosen(folder, &uids);
        let ids: Vec<MessageId> = chosen.iter().map(|(_, message)| message.id).collect();
        self.store().soft_delete(folder, &ids).unwrap();
        let model = self.folders.get_mut(&folder).unwrap();
        for (uid, message) in chosen {
            model.messages.remove(&uid);
            model.hidden.insert(message.id, message);
        }
        vec![folder]
    }

    fn restore(&mut self, folder: FolderId) -> Vec<FolderId> {
        let ids: Vec<MessageId> = self.folders[&folder].hidden.keys().take(2).copied().collect();
        if self.random.one_in(2) {
            self.store().restore(folder, &ids).unwrap();
            let model = self.folders.get_mut(&folder).unwrap();
            for id in ids {
                let message = model.hidden.remove(&id).unwrap();
                model.messages.insert(model.uid_next, message);
                model.uid_next += 1;
            }
        } else {
            self.store().delete_messages(folder, &ids).unwrap();
            let model = self.folders.get_mut(&folder).unwrap();
            model.hidden.retain(|id, _| !ids.contains(id));
        }
        vec![folder]
    }

    /// Makes a message as Outlook would, or writes over one.
    fn save(&mut self, folder: FolderId) -> Vec<FolderId> {
        let body = "text ".repeat(self.random.below(3000));
        let drafts: Vec<(u32, MessageId)> = self.folders[&folder]
            .messages
            .iter()
            .filter(|(_, message)| message.source.is_none())
            .map(|(uid, message)| (*uid, message.id))
            .collect();
        let old =
            (!drafts.is_empty() && self.random.one_in(2)).then(|| drafts[self.random.below(drafts.len())]);
        let associated = old.is_none() && self.random.one_in(4);
        let replaces = old.map(|(_, id)| (id, self.store().message(id).unwrap().version));
        let content = MessageContent {
            properties: std::iter::once((tags::BODY, PropValue::String(body.clone()))).collect(),
            ..MessageContent::default()
        };
        let draft = MessageDraft {
            replaces,
            associated,
            content,
            ..MessageDraft::default()
        };
        let stored = self.store().save_message(folder, &draft).unwrap();
        let model = self.folders.get_mut(&folder).unwrap();
        if associated {
            model.associated.insert(stored.message);
            return vec![folder];
        }
        let old = old.and_then(|(uid, _)| model.messages.remove(&uid));
        let new = ModelMessage {
            flags: old.as_ref().map(|old| old.flags).unwrap_or_default(),
            keywords: old.map(|old| old.keywords).unwrap_or_default(),
            source: None,
            id: stored.message,
            body: Some(body),
        };
        assert_eq!(stored.uid.0, model.uid_next);
        model.messages.insert(model.uid_next, new);
        model.uid_next += 1;
        vec![folder]
    }

    fn make_folder(&mut self, parent: FolderId) -> Vec<FolderId> {
        if self.folders.len() >= MAX_FOLDERS {
            return vec![];
        }
        self.names += 1;
        let name = format!("Folder {}", self.names);
        let id = self.store().create_folder(parent, &name, None).unwrap();
        assert!(matches!(
            self.store().create_folder(parent, &name.to_uppercase(), None),
            Err(StoreError::Exists(_))
        ));
        let folder = ModelFolder {
            name,
            parent: Some(parent),
            uid_next: 1,
            ..ModelFolder::default()
        };
        self.folders.insert(id, folder);
        vec![id, parent]
    }

    fn below(&self, folder: FolderId) -> Vec<FolderId> {
        let mut found = vec![folder];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            at += 1;
            found.extend(
                self.folders
                    .iter()
                    .filter(|(_, f)| f.parent == Some(parent))
                    .map(|(id, _)| *id),
            );
        }
        found
    }

    fn drop_folder(&mut self, folder: FolderId) -> Vec<FolderId> {
        let below = self.below(folder);
        let result = self.store().delete_folder(folder, false);
        if folder.counter() < 0x100 || below.len() > 1 {
            assert!(matches!(result, Err(StoreError::NotAllowed(_))));
            return vec![folder];
        }
        result.unwrap();
        self.folders.remove(&folder);
        self.snapshots.retain(|snapshot| snapshot.folder != folder);
        assert!(matches!(
            self.store().folder(folder),
            Err(StoreError::NotFound(_))
        ));
        vec![]
    }

    fn rename(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.names += 1;
        let (name, parent) = (format!("Name {}", self.names), self.any_folder());
        let change = FolderChange {
            name: Some(name.clone()),
            parent: Some(parent),
            ..FolderChange::default()
        };
        let result = self.store().change_folder(folder, &change);
        if folder.counter() < 0x100 || self.below(folder).contains(&parent) {
            assert!(matches!(result, Err(StoreError::NotAllowed(_))));
        } else {
            result.unwrap();
            let model = self.folders.get_mut(&folder).unwrap();
            (model.name, model.parent) = (name, Some(parent));
        }
        vec![folder]
    }

    /// Much happens, and none of it counts.
    fn fail(&mut self, folder: FolderId) -> Vec<FolderId> {
        let uids = self.some_uids(folder);
        let result = self.store().transaction(|store| {
            store.store_message(
                folder,
                &message("never", 9000),
                &placement(Flags::SEEN, &["Never"]),
            )?;
            store.move_messages(folder, &uids, built_in::JUNK)?;
            store.expunge(folder, &all(), false)?;
            Err::<(), _>(StoreError::NotAllowed("on purpose"))
        });
        assert!(result.is_err());
        vec![folder, folder]
    }

    /// Brings an earlier snapshot up to date by [`Mailbox::changes_since`], and takes a new one.
    fn synchronise(&mut self, folder: FolderId) -> Vec<FolderId> {
        let old: Vec<Snapshot> = self
            .snapshots
            .iter()
            .filter(|s| s.folder == folder)
            .cloned()
            .collect();
        let now: BTreeMap<u32, (Flags, BTreeSet<String>)> = self.folders[&folder]
            .messages
            .iter()
            .map(|(uid, message)| (*uid, (message.flags, message.keywords.clone())))
            .collect();
        for mut snapshot in old {
            let changes = self.store().changes_since(folder, snapshot.highest).unwrap();
            for uid in changes.vanished.iter() {
                snapshot.known.remove(&uid.0);
                assert!(!now.contains_key(&uid.0), "a message that is there has vanished");
            }
            for change in changes.changed {
                assert!(change.change > snapshot.highest);
                snapshot.known.insert(
                    change.uid.0,
                    (change.flags, change.keywords.iter().cloned().collect()),
                );
            }
            assert_eq!(snapshot.known, now);
        }
        let highest = self.store().status(folder).unwrap().highest_change;
        self.snapshots.push(Snapshot {
            folder,
            highest,
            known: now,
        });
        if self.snapshots.len() > 40 {
            let at = self.random.below(40);
            self.snapshots.remove(at);
        }
        vec![]
    }

    fn compare(&mut self, id: FolderId, step: usize) {
        let Some(model) = self.folders.get(&id).cloned() else {
            return;
        };
        let store = self.mailbox.as_mut().unwrap();
        let rows = rows(store, id);
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.uid.0,
                    row.message,
                    row.flags,
                    row.keywords.iter().cloned().collect(),
                )
            })
            .collect();
        let expected: Vec<_> = model
            .messages
            .iter()
            .map(|(uid, message)| (*uid, message.id, message.flags, message.keywords.clone()))
            .collect();
        assert_eq!(found, expected, "step {step}, folder {id}");
        let status = store.status(id).unwrap();
        let count = |flag| model.messages.values().filter(|m| m.flags.contains(flag)).count() as u32;
        assert_eq!(status.messages, model.messages.len() as u32);
        assert_eq!(status.unseen, status.messages - count(Flags::SEEN));
        assert_eq!(status.deleted, count(Flags::DELETED));
        assert_eq!(status.uid_next, model.uid_next);
        assert_eq!(status.size, rows.iter().map(|row| row.size).sum::<u64>());
        assert!(rows.iter().all(|row| row.change <= status.highest_change));
        let folder = store.folder(id).unwrap();
        assert_eq!((folder.name, folder.parent), (model.name, model.parent));
        assert_eq!(folder.associated, model.associated.len() as u32);
        let uids: Vec<u32> = store.uids(id).unwrap().iter().map(|uid| uid.0).collect();
        assert_eq!(uids, model.messages.keys().copied().collect::<Vec<_>>());
        for hidden in model.hidden.keys() {
            assert!(store.message(*hidden).unwrap().soft_deleted);
        }
        // One message's content in full.
        if model.messages.is_empty() {
            return;
        }
        let at = self.random.below(model.messages.len());
        let message = model.messages.values().nth(at).unwrap();
        let store = self.mailbox.as_mut().unwrap();
        if let Some(source) = &message.source {
            let mut out = Vec::new();
            store.read_source(message.id, 0..u64::MAX, &mut out).unwrap();
            assert!(out == *source, "step {step}: source of {}", message.id);
        }
        if let Some(body) = &message.body {
            let saved = store.message(message.id).unwrap();
            assert_eq!(saved.content.properties.string(tags::BODY), Some(&body[..]));
        }
    }
}
