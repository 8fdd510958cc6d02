//! The store against a simple model in memory, with no protocol in between: random MAPI operations of several
//! sessions, on a private and on a public store. Sessions keep tables and messages open while others change what
//! is in them, and upload what they made offline.
//!
//! After each step the folders that were touched agree in full with the model, IMAP's view included, and so
//! do some of the sessions' open tables, what was told to those who listen and, now and then, what a client with
//! any earlier state is told. Every
//! so often everything is compared. At the end, and again after a reopen, the integrity walk is clean.
//!
//! A run prints its seed: `RINGPOST_SEED=n` replays it, `RINGPOST_STEPS=n` says for how long.

#[path = "../common/mod.rs"]
mod common;

mod compare;
mod dice;
mod folders;
mod judge;
mod messages;
mod model;
mod offline;
mod sync;
mod tables;

use std::collections::BTreeMap;

use common::{create, open};
use dice::Dice;
use model::{Model, ModelFolder, NEW};
use ringpost_convert::message::MessageContent;
use ringpost_mapi::{FolderId, MessageId};
use ringpost_store::{EventKind, Mailbox, MailboxKind, folder::built_in, folder::built_in_public};
use sync::Earlier;
use tables::OpenTable;

const PRIVATE_STEPS: usize = 700;
const PUBLIC_STEPS: usize = 400;
/// Everything is compared after so many steps.
const EVERYTHING: usize = 50;
const USERS: [&str; 3] = ["ann@example.test", "bob@example.test", "carol@example.test"];

/// A client: its tables, the messages it has open, and what it knew at earlier moments.
#[derive(Default)]
struct Session {
    tables: Vec<OpenTable>,
    earlier: Vec<Earlier>,
    /// Messages that it opened: where they were, their versions then, and what it will save.
    opened: Vec<(MessageId, FolderId, u64, MessageContent)>,
}

struct Run {
    dice: Dice,
    mailbox: Option<Mailbox>,
    directory: tempfile::TempDir,
    model: Model,
    sessions: Vec<Session>,
    /// The session whose turn it is.
    turn: usize,
    /// The top of what clients see.
    root: FolderId,
    /// Folders that operations may use: built-in ones and those made here.
    arena: Vec<FolderId>,
    names: usize,
    /// Changes that clients made offline.
    uploads: u64,
    step: usize,
    /// The last change before this step.
    before: u64,
    /// What was done, for who looks for the reason of a failure.
    done: &'static str,
}

#[test]
fn a_private_store_agrees_with_the_model() {
    run(MailboxKind::Private, PRIVATE_STEPS);
}

#[test]
fn a_public_store_agrees_with_the_model() {
    run(MailboxKind::Public, PUBLIC_STEPS);
}

fn run(kind: MailboxKind, steps: usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = number("RINGPOST_SEED").unwrap_or(clock);
    let steps = number("RINGPOST_STEPS").map_or(steps, |n| n as usize);
    println!("{kind:?} store: replay with RINGPOST_SEED={seed} RINGPOST_STEPS={steps}");
    let mut run = Run::new(kind, seed);
    for step in 0..steps {
        run.step = step;
        run.act();
        if step % EVERYTHING == EVERYTHING - 1 {
            run.compare_everything();
        }
    }
    run.done = "the end";
    run.compare_everything();
    run.walk();
    run.reopen();
    run.compare_everything();
    run.walk();
}

impl Run {
    fn new(kind: MailboxKind, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path(), kind);
        let mut mailbox = open(directory.path());
        let (root, arena) = match kind {
            MailboxKind::Private => (
                built_in::IPM_SUBTREE,
                vec![built_in::INBOX, built_in::SENT_ITEMS, built_in::DELETED_ITEMS],
            ),
            MailboxKind::Public => (built_in_public::IPM_SUBTREE, vec![built_in_public::IPM_SUBTREE]),
        };
        let mut folders: BTreeMap<FolderId, ModelFolder> = BTreeMap::new();
        for id in [root]
            .into_iter()
            .chain(mailbox.folders(root).unwrap().into_iter().map(|f| f.id))
        {
            folders.insert(id, Self::learn_folder(&mut mailbox, id));
        }
        let model = Model {
            kind,
            folders,
            messages: BTreeMap::new(),
            left: Vec::new(),
            names: BTreeMap::new(),
            hidden: Vec::new(),
            receive_folders: mailbox
                .receive_folders()
                .unwrap()
                .into_iter()
                .map(|(class, folder, _)| (class, folder))
                .collect(),
            store_properties: mailbox.store_properties().unwrap(),
        };
        Self {
            dice: Dice(seed),
            mailbox: Some(mailbox),
            directory,
            model,
            sessions: USERS.iter().map(|_| Session::default()).collect(),
            turn: 0,
            root,
            arena,
            names: 0,
            uploads: 0,
            step: 0,
            before: 0,
            done: "the start",
        }
    }

    /// A folder as the store has it, before anything was done to it.
    fn learn_folder(mailbox: &mut Mailbox, id: FolderId) -> ModelFolder {
        let folder = mailbox.folder(id).unwrap();
        let permissions = mailbox.permissions(id).unwrap();
        ModelFolder {
            name: folder.name,
            parent: folder.parent,
            change: folder.change.0,
            uid_next: folder.uid_next,
            is_search: false,
            search: None,
            permissions: permissions
                .into_iter()
                .map(|one| (one.member, one.rights))
                .collect(),
            properties: mailbox.folder_properties(id).unwrap(),
            lineage: None,
            rules: Vec::new(),
        }
    }

    fn store(&mut self) -> &mut Mailbox {
        self.mailbox.as_mut().unwrap()
    }

    fn user(&self) -> &'static str {
        USERS[self.turn]
    }

    fn reopen(&mut self) {
        self.mailbox = None;
        self.mailbox = Some(open(self.directory.path()));
    }

    fn walk(&mut self) {
        let report = self.store().check(false).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }

    /// One step of one session, and the comparison after it.
    fn act(&mut self) {
        self.turn = self.dice.below(USERS.len());
        self.before = self.store().last_change().unwrap().0;
        let Some(folder) = self.any_folder() else { return };
        self.store().take_events();
        let touched = match self.dice.below(120) {
            0..12 => self.deliver(folder),
            12..22 => self.save(folder),
            22..29 => self.save_over(folder),
            29..35 => self.flag(folder),
            35..40 => self.read(folder),
            40..46 => self.copy(folder),
            46..52 => self.move_away(folder),
            52..57 => self.hide(folder),
            57..60 => self.restore(folder),
            60..63 => self.delete(folder),
            63..64 => self.purge(folder),
            64..66 => self.expunge(folder),
            66..70 => self.make_folder(folder),
            70..72 => self.change_folder(),
            72..73 => self.drop_folder(),
            73..75 => self.copy_folder(folder),
            75..76 => self.empty_folder(folder),
            76..79 => self.permit(folder),
            79..81 => self.set_properties(folder),
            81..83 => self.make_search(folder),
            83..86 => self.set_criteria(),
            86..90 => self.search_on(),
            90..93 => self.fail(folder),
            93..94 => {
                self.done = "reopen";
                self.reopen();
                vec![folder]
            }
            94..95 => {
                self.done = "checkpoint";
                self.store().checkpoint().unwrap();
                vec![folder]
            }
            95..97 => self.hide_folder(),
            97..99 => self.show_folder(folder),
            99..104 => self.upload_message(folder),
            104..106 => self.upload_move(folder),
            106..109 => self.upload_folder(folder),
            109..111 => self.read_elsewhere(folder),
            111..113 => self.mark(folder),
            113..115 => self.configure(folder),
            115..118 => self.open_or_save(folder),
            _ => self.remember(folder),
        };
        self.check_events();
        self.settle();
        for folder in touched {
            self.compare_folder(folder);
        }
        self.compare_searches();
        self.use_tables();
        self.synchronise();
    }

    /// Whoever listens was told, after the commit, of all that this step changed.
    fn check_events(&mut self) {
        let last = self.store().last_change().unwrap().0;
        let events = self.store().take_events();
        let at = format!("step {}, after {}", self.step, self.done);
        let new = self.before + 1..=last;
        for event in &events {
            // Filling a search folder is no change of the store.
            let filling = self.done == "search" && self.searches().contains(&event.folder);
            assert!(filling || new.contains(&event.change.0), "{at}: {event:?}");
        }
        let told = |kinds: &[EventKind], folder: FolderId, message: Option<MessageId>| {
            events.iter().any(|event| {
                kinds.contains(&event.kind) && event.folder == folder && event.message == message
            })
        };
        for (id, one) in &self.model.messages {
            if [one.version, one.change, one.read_change].contains(&NEW) {
                let kinds = if one.hidden {
                    &[EventKind::MessageDeleted][..]
                } else {
                    &[EventKind::MessageCreated, EventKind::MessageChanged]
                };
                assert!(told(kinds, one.folder, Some(*id)), "{at}: message {id}");
            }
        }
        for (folder, id, change) in &self.model.left {
            if *change == NEW && self.model.folders.contains_key(folder) {
                assert!(
                    told(&[EventKind::MessageDeleted], *folder, Some(*id)),
                    "{at}: message {id} left"
                );
            }
        }
        for (id, folder) in &self.model.folders {
            if folder.change == NEW {
                let kinds = [EventKind::FolderCreated, EventKind::FolderChanged];
                assert!(told(&kinds, *id, None), "{at}: folder {id}");
            }
        }
    }

    /// Learns the numbers that this step's operation gave: new ones, and none for what did not change.
    fn settle(&mut self) {
        let last = self.store().last_change().unwrap().0;
        let new = self.before + 1..=last;
        let store = self.mailbox.as_mut().unwrap();
        for (id, message) in &mut self.model.messages {
            if [message.version, message.change, message.read_change].contains(&NEW) {
                let saved = store.message(*id).unwrap();
                if message.read_change == NEW {
                    message.read_change = saved.change.0;
                }
                if message.version == NEW {
                    message.version = saved.version.0;
                    if let Some(given) = message.lineage.as_mut().filter(|given| given.version == NEW) {
                        given.version = saved.version.0;
                    }
                    assert!(new.contains(&message.version), "{}: version of {id}", self.done);
                }
                if message.change == NEW {
                    message.change = saved.change.0;
                    assert!(new.contains(&message.change), "{}: change of {id}", self.done);
                }
            }
        }
        for (id, folder) in &mut self.model.folders {
            if folder.change == NEW {
                folder.change = store.folder(*id).unwrap().change.0;
                if let Some(given) = folder.lineage.as_mut().filter(|given| given.version == NEW) {
                    given.version = folder.change;
                }
                assert!(new.contains(&folder.change), "{}: change of {id}", self.done);
            }
        }
        // A search folder that is not kept up to date loses what goes, and does not find it again.
        let messages = &self.model.messages;
        for search in self
            .model
            .folders
            .values_mut()
            .filter_map(|folder| folder.search.as_mut())
        {
            search
                .fixed
                .retain(|id, _| messages.get(id).is_some_and(model::ModelMessage::is_normal));
        }
        for left in self.model.left.iter_mut().filter(|left| left.2 == NEW) {
            left.2 = last;
        }
    }

    /// A folder that holds messages itself.
    fn any_folder(&mut self) -> Option<FolderId> {
        let folders: Vec<FolderId> = self
            .arena
            .iter()
            .copied()
            .filter(|id| !self.model.folders[id].is_search)
            .collect();
        (!folders.is_empty()).then(|| self.dice.of(&folders))
    }

    /// Some messages of a folder that are as `which` says.
    fn some_messages(
        &mut self,
        folder: FolderId,
        which: impl Fn(&model::ModelMessage) -> bool,
    ) -> Vec<MessageId> {
        let all: Vec<MessageId> = self
            .model
            .in_folder(folder)
            .filter(|(_, message)| which(message))
            .map(|(id, _)| id)
            .collect();
        self.dice.some(&all, 3)
    }
}
