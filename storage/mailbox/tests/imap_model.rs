//! Random operations on a mailbox, as IMAP sees it, against a simple model in memory.
//!
//! After every step the folder's view is compared in full, and the difference since every remembered earlier
//! state must be what the model says. A failure prints the seed; `RINGPOST_SEED=n` replays it and
//! `RINGPOST_STEPS=n` says for how long.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use bytes::Bytes;
use ringpost_mapi::{ChangeNumber, FileTime, FolderId, Guid, MailboxGuid, Uid};
use ringpost_store::{
    CreateOptions, FlagAction, Flags, Mailbox, MailboxKind, OpenOptions, Placement, PreparedMessage, UidSet,
    folder::built_in,
};

const DEFAULT_STEPS: u32 = 1500;
const KEYWORDS: [&str; 4] = ["$Junk", "work", "later", "Projekt-ä"];
/// Earlier states of a folder that are compared with the present.
const REMEMBERED_STATES: usize = 6;

#[derive(Clone, PartialEq, Debug)]
struct ModelMessage {
    source: Bytes,
    flags: Flags,
    keywords: BTreeSet<String>,
    received: FileTime,
}

#[derive(Clone, Default)]
struct ModelFolder {
    messages: BTreeMap<u32, ModelMessage>,
    /// What the folder held at an earlier change, by that change.
    past: Vec<(ChangeNumber, BTreeMap<u32, ModelMessage>)>,
    uid_next: u32,
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

struct World {
    directory: tempfile::TempDir,
    mailbox: Option<Mailbox>,
    folders: BTreeMap<FolderId, ModelFolder>,
    dice: Dice,
    made: u64,
}

fn options() -> OpenOptions {
    OpenOptions {
        compression_level: Some(3),
        upgrade: true,
        ..OpenOptions::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let guid = MailboxGuid(Guid([7; 16]));
        let create = CreateOptions {
            kind: MailboxKind::Private,
            guid,
            locale: "en".to_owned(),
        };
        Mailbox::create(directory.path(), &create).unwrap();
        let mailbox = Some(Mailbox::open(directory.path(), &options()).unwrap());
        let mut world = Self {
            directory,
            mailbox,
            folders: BTreeMap::new(),
            dice: Dice(seed | 1),
            made: 0,
        };
        for folder in [built_in::INBOX, built_in::DRAFTS] {
            world.learn(folder);
        }
        world
    }

    fn mailbox(&mut self) -> &mut Mailbox {
        self.mailbox.as_mut().unwrap()
    }

    fn learn(&mut self, folder: FolderId) {
        let uid_next = self.mailbox().status(folder).unwrap().uid_next;
        self.folders.insert(
            folder,
            ModelFolder {
                uid_next,
                ..ModelFolder::default()
            },
        );
    }

    fn any_folder(&mut self) -> FolderId {
        let at = self.dice.below(self.folders.len());
        *self.folders.keys().nth(at).unwrap()
    }

    fn any_uids(&mut self, folder: FolderId) -> (UidSet, Vec<u32>) {
        let known: Vec<u32> = self.folders[&folder].messages.keys().copied().collect();
        let mut set = UidSet::default();
        // Also UIDs that do not exist: they must be passed over in silence.
        set.insert(Uid(self.folders[&folder].uid_next + 7));
        let share = 1 + self.dice.below(6);
        let chosen: Vec<u32> = known
            .into_iter()
            .filter(|_| self.dice.below(share) == 0)
            .collect();
        for &uid in &chosen {
            set.insert(Uid(uid));
        }
        (set, chosen)
    }

    fn any_flags(&mut self) -> (Flags, Vec<String>) {
        let flags = Flags::from_bits_truncate(self.dice.below(64) as u8);
        let keywords = KEYWORDS
            .iter()
            .filter(|_| self.dice.below(4) == 0)
            .map(|&k| k.to_owned())
            .collect();
        (flags, keywords)
    }

    fn new_source(&mut self) -> Bytes {
        self.made += 1;
        // Every fourth source is one that was stored before: content is shared, messages are not.
        let number = if self.dice.below(4) == 0 {
            self.dice.below(self.made as usize) as u64
        } else {
            self.made
        };
        let long = if number.is_multiple_of(29) {
            200_000
        } else {
            number as usize % 900
        };
        let mut filler = Dice(number | 1);
        let body: String = (0..long)
            .map(|_| char::from(b' ' + filler.below(95) as u8))
            .collect();
        Bytes::from(format!(
            "From: a@example.org\r\nSubject: number {number}\r\n\r\n{body}\r\n"
        ))
    }

    fn step(&mut self) {
        let folder = self.any_folder();
        match self.dice.below(12) {
            0..=3 => self.store(folder),
            4 | 5 => self.change_flags(folder),
            6 => self.copy(folder),
            7 => self.move_messages(folder),
            8 => self.expunge(folder),
            9 if self.folders.len() < 8 => self.create_folder(folder),
            9 => self.delete_folder(folder),
            10 => self.fail_in_transaction(folder),
            _ => self.reopen(),
        }
    }

    fn store(&mut self, folder: FolderId) {
        let source = self.new_source();
        let (flags, keywords) = self.any_flags();
        let received = FileTime::from_unix_seconds(1_700_000_000 + self.dice.below(1_000_000) as i64);
        let prepared = PreparedMessage::new(source.clone(), Some(3));
        let placement = Placement {
            flags,
            keywords: keywords.clone(),
            received,
        };
        let stored = self
            .mailbox()
            .store_message(folder, &prepared, &placement)
            .unwrap();
        let model = self.folders.get_mut(&folder).unwrap();
        assert_eq!(stored.uid.0, model.uid_next);
        model.uid_next += 1;
        let message = ModelMessage {
            source,
            flags,
            keywords: keywords.into_iter().collect(),
            received,
        };
        model.messages.insert(stored.uid.0, message);
    }

    fn change_flags(&mut self, folder: FolderId) {
        let (set, chosen) = self.any_uids(folder);
        let (flags, keywords) = self.any_flags();
        let action = [FlagAction::Replace, FlagAction::Add, FlagAction::Remove][self.dice.below(3)];
        let (changed, refused) = self
            .mailbox()
            .change_flags(folder, &set, action, flags, &keywords, None)
            .unwrap();
        assert!(refused.is_empty());
        assert_eq!(changed.iter().map(|c| c.uid.0).collect::<Vec<_>>(), chosen);
        let model = self.folders.get_mut(&folder).unwrap();
        for change in changed {
            let message = model.messages.get_mut(&change.uid.0).unwrap();
            let named: BTreeSet<String> = keywords.iter().cloned().collect();
            match action {
                FlagAction::Replace => (message.flags, message.keywords) = (flags, named),
                FlagAction::Add => {
                    message.flags |= flags;
                    message.keywords.extend(named);
                }
                FlagAction::Remove => {
                    message.flags -= flags;
                    message.keywords.retain(|keyword| !named.contains(keyword));
                }
            }
            assert_eq!(
                (change.flags, change.keywords.iter().cloned().collect()),
                (message.flags, message.keywords.clone())
            );
        }
    }

    fn copy(&mut self, from: FolderId) {
        let to = self.any_folder();
        let (set, chosen) = self.any_uids(from);
        let pairs = self.mailbox().copy_messages(from, &set, to).unwrap();
        self.note_arrivals(from, to, &pairs, &chosen);
    }

    fn move_messages(&mut self, from: FolderId) {
        let to = self.any_folder();
        if from == to {
            return;
        }
        let (set, chosen) = self.any_uids(from);
        let pairs = self.mailbox().move_messages(from, &set, to).unwrap();
        self.note_arrivals(from, to, &pairs, &chosen);
        let model = self.folders.get_mut(&from).unwrap();
        for uid in &chosen {
            model.messages.remove(uid);
        }
    }

    fn note_arrivals(&mut self, from: FolderId, to: FolderId, pairs: &[(Uid, Uid)], chosen: &[u32]) {
        assert_eq!(pairs.iter().map(|(old, _)| old.0).collect::<Vec<_>>(), chosen);
        for (old, new) in pairs {
            let message = self.folders[&from].messages[&old.0].clone();
            let target = self.folders.get_mut(&to).unwrap();
            assert_eq!(new.0, target.uid_next);
            target.uid_next += 1;
            target.messages.insert(new.0, message);
        }
    }

    fn expunge(&mut self, folder: FolderId) {
        let (set, chosen) = self.any_uids(folder);
        let only_deleted = self.dice.below(3) > 0;
        let gone = self.mailbox().expunge(folder, &set, only_deleted).unwrap();
        let model = self.folders.get_mut(&folder).unwrap();
        let expected: Vec<u32> = chosen
            .into_iter()
            .filter(|uid| !only_deleted || model.messages[uid].flags.contains(Flags::DELETED))
            .collect();
        assert_eq!(gone.iter().map(|uid| uid.0).collect::<Vec<_>>(), expected);
        for uid in &expected {
            model.messages.remove(uid);
        }
    }

    fn create_folder(&mut self, parent: FolderId) {
        let name = format!("folder {}", self.made);
        self.made += 1;
        let folder = self.mailbox().create_folder(parent, &name, None).unwrap();
        assert_eq!(
            self.mailbox()
                .subfolder(parent, &name.to_uppercase())
                .unwrap()
                .unwrap()
                .id,
            folder
        );
        self.learn(folder);
    }

    fn delete_folder(&mut self, folder: FolderId) {
        let deleted = self.mailbox().delete_folder(folder, false);
        let has_children = |world: &mut Self| world.mailbox().folder(folder).unwrap().has_children;
        if folder == built_in::INBOX || folder == built_in::DRAFTS {
            assert!(deleted.is_err());
        } else if deleted.is_ok() {
            assert!(self.mailbox().status(folder).is_err());
            self.folders.remove(&folder);
        } else {
            assert!(has_children(self), "{deleted:?}");
        }
    }

    /// A transaction that fails half-way leaves nothing behind.
    fn fail_in_transaction(&mut self, folder: FolderId) {
        let prepared = PreparedMessage::new(self.new_source(), Some(3));
        let (set, _) = self.any_uids(folder);
        let failed = self.mailbox().transaction(|mailbox| {
            mailbox.store_message(folder, &prepared, &Placement::default())?;
            mailbox.expunge(folder, &set, false)?;
            mailbox.delete_folder(built_in::INBOX, false)
        });
        assert!(failed.is_err());
        self.mailbox().take_events();
    }

    fn reopen(&mut self) {
        if self.dice.below(2) == 0 {
            self.mailbox().checkpoint().unwrap();
        }
        self.mailbox = None;
        self.mailbox = Some(Mailbox::open(self.directory.path(), &options()).unwrap());
    }

    fn compare(&mut self) {
        let folder = self.any_folder();
        let mailbox = self.mailbox.as_mut().unwrap();
        let model = self.folders.get_mut(&folder).unwrap();

        let mut seen = BTreeMap::new();
        let mut everything = UidSet::default();
        everything.insert_range(1..=u32::MAX);
        let mut ids = Vec::new();
        mailbox
            .visit_messages(folder, &everything, true, &mut |row| {
                let message = ModelMessage {
                    source: Bytes::new(),
                    flags: row.flags,
                    keywords: row.keywords.iter().cloned().collect(),
                    received: row.received,
                };
                seen.insert(row.uid.0, message);
                ids.push((row.uid.0, row.message, row.size));
                ControlFlow::Continue(())
            })
            .unwrap();
        for (uid, id, size) in ids {
            let mut source = Vec::new();
            mailbox.read_source(id, 0..size, &mut source).unwrap();
            assert_eq!(source.len() as u64, size);
            let mut middle = Vec::new();
            mailbox.read_source(id, size / 3..size / 2, &mut middle).unwrap();
            assert_eq!(middle, source[(size / 3) as usize..(size / 2) as usize]);
            seen.get_mut(&uid).unwrap().source = source.into();
        }
        assert_eq!(seen, model.messages);

        let status = mailbox.status(folder).unwrap();
        assert_eq!(status.messages as usize, seen.len());
        assert_eq!(
            status.unseen as usize,
            seen.values().filter(|m| !m.flags.contains(Flags::SEEN)).count()
        );
        assert_eq!(
            status.deleted as usize,
            seen.values().filter(|m| m.flags.contains(Flags::DELETED)).count()
        );
        assert_eq!(
            status.size,
            seen.values().map(|m| m.source.len() as u64).sum::<u64>()
        );
        assert_eq!(status.uid_next, model.uid_next);
        assert_eq!(
            mailbox
                .uids(folder)
                .unwrap()
                .iter()
                .map(|u| u.0)
                .collect::<Vec<_>>(),
            seen.keys().copied().collect::<Vec<_>>()
        );

        for (since, past) in &model.past {
            let changes = mailbox.changes_since(folder, *since).unwrap();
            assert_eq!(changes.highest_change, status.highest_change);
            assert_eq!(changes.uid_next, status.uid_next);
            let changed: BTreeMap<u32, (Flags, BTreeSet<String>)> = changes
                .changed
                .iter()
                .map(|c| (c.uid.0, (c.flags, c.keywords.iter().cloned().collect())))
                .collect();
            for (uid, message) in &seen {
                let now = (message.flags, message.keywords.clone());
                let before = past.get(uid).map(|m| (m.flags, m.keywords.clone()));
                if before.as_ref() != Some(&now) {
                    assert_eq!(changed.get(uid), Some(&now), "uid {uid} since {since}");
                }
            }
            assert!(changed.keys().all(|uid| seen.contains_key(uid)));
            // Also messages that came and went meanwhile may be named; those the past knew must be.
            let vanished: BTreeSet<u32> = changes.vanished.iter().map(|u| u.0).collect();
            assert!(
                past.keys()
                    .filter(|uid| !seen.contains_key(uid))
                    .all(|uid| vanished.contains(uid))
            );
            assert!(vanished.iter().all(|uid| !seen.contains_key(uid)));
        }
        model.past.push((status.highest_change, seen));
        if model.past.len() > REMEMBERED_STATES {
            let forget = self.dice.below(REMEMBERED_STATES);
            model.past.remove(forget);
        }
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn store_and_model_agree() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = from_environment("RINGPOST_SEED", now.subsec_nanos().into());
    println!("RINGPOST_SEED={seed}");
    let mut world = World::new(seed);
    for _ in 0..from_environment("RINGPOST_STEPS", DEFAULT_STEPS.into()) {
        world.step();
        world.compare();
    }
}
