//! A mail program: the one client that changes a mailbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::atomic::Ordering::Relaxed,
    thread,
};

use super::{RETRY, World};
use crate::{
    mail::{
        imap::{self, Done, Imap},
        message,
    },
    oracle::{COPIES, Effect, FolderKey, FolderPlace, INBOX, Instant, Item, Kept, TOP},
    random::Random,
    server::PASSWORD,
    verify::{COPIES_NAME, FOLDER_PREFIX},
};

/// A mailbox is kept at about so many messages, and folders.
const MESSAGES: usize = 40;
const FOLDERS: usize = 6;
const FLAGS: [&str; 5] = ["\\Answered", "\\Draft", "\\Flagged", "\\Seen", "$Junk"];

/// A message as the mail program knows it.
#[derive(Clone, Debug)]
struct Known {
    uid: u32,
    flags: Vec<String>,
}

/// The program, and what it knows.
pub(super) struct MailProgram<'a> {
    world: &'a World,
    user: usize,
    random: Random,
    /// It keeps its connection.
    stays: bool,
    /// What it knows for sure, by folder.
    known: BTreeMap<FolderKey, BTreeMap<Item, Known>>,
    folders: BTreeMap<FolderKey, FolderPlace>,
    /// After a refusal, nobody knows what is: these are left alone.
    doubtful: BTreeSet<Item>,
    doubtful_folders: BTreeSet<FolderKey>,
    /// Expunged for certain: may be made again.
    gone: Vec<Item>,
    selected: Option<FolderKey>,
    seen_in_inbox: u32,
}

impl<'a> MailProgram<'a> {
    pub(super) fn new(world: &'a World, user: usize, random: Random, stays: bool) -> Self {
        let mut program = Self {
            world,
            user,
            random,
            stays,
            known: BTreeMap::new(),
            folders: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            doubtful_folders: BTreeSet::new(),
            gone: Vec::new(),
            selected: None,
            seen_in_inbox: 0,
        };
        program.recall();
        program
    }

    /// What the record is certain of, from earlier rounds.
    fn recall(&mut self) {
        let record = self.world.oracle.mailbox(self.user);
        for (item, history) in &record.messages {
            let mut states: Vec<_> = history.allowed(Instant::MAX).into_iter().collect();
            match (states.len(), states.pop().flatten()) {
                (
                    1,
                    Some(Kept {
                        folder,
                        flags,
                        uid: Some(uid),
                    }),
                ) => {
                    self.known
                        .entry(folder)
                        .or_default()
                        .insert(*item, Known { uid, flags });
                }
                // One that only waits to be seen in the inbox has no UID.
                (1, _) => {}
                _ => {
                    self.doubtful.insert(*item);
                }
            }
        }
        for (key, history) in &record.folders {
            let mut states: Vec<_> = history.allowed(Instant::MAX).into_iter().collect();
            match (states.len(), states.pop().flatten()) {
                (1, Some(place)) => {
                    self.folders.insert(*key, place);
                }
                (1, None) => {}
                _ => {
                    self.doubtful_folders.insert(*key);
                }
            }
        }
    }

    pub(super) fn run(&mut self) {
        while !self.world.stopped() {
            let address = &self.world.users[self.user];
            match Imap::login(self.world.imap, address, PASSWORD) {
                Ok(mut imap) => {
                    self.selected = None;
                    while !self.world.stopped() && self.step(&mut imap).is_ok() {
                        thread::sleep(self.world.pause);
                    }
                    self.forget_all_but_certain();
                }
                Err(_) => thread::sleep(RETRY),
            }
        }
    }

    /// What was under way may have happened or not, and is left alone from now on.
    fn forget_all_but_certain(&mut self) {
        self.known.clear();
        self.folders.clear();
        self.doubtful.clear();
        self.doubtful_folders.clear();
        self.recall();
    }

    fn step(&mut self, imap: &mut Imap) -> io::Result<()> {
        let many = self.known.values().map(BTreeMap::len).sum::<usize>() > MESSAGES;
        if self.random.below(100) == 0 && !self.stays {
            // Clients come and go.
            imap.command("LOGOUT")?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.random.below(100) {
            0..20 => self.append(imap),
            20..25 => self.append_again(imap),
            25..40 => self.flag(imap),
            40..55 => self.move_some(imap),
            55..62 => self.copy(imap),
            62..72 => self.expunge(imap, if many { 12 } else { 2 }),
            72..76 => self.make_folder(imap),
            76..82 => self.rename_folder(imap),
            82..85 => self.delete_folder(imap),
            85..90 => self.read(imap),
            _ => self.look_for_mail(imap),
        }
    }

    fn path(&self, key: FolderKey) -> Option<String> {
        match key {
            INBOX => return Some("INBOX".to_owned()),
            COPIES => return Some(COPIES_NAME.to_owned()),
            _ => {}
        }
        if self.doubtful_folders.contains(&key) {
            return None;
        }
        let (above, name) = self.folders.get(&key)?;
        if *above == TOP {
            return Some(name.clone());
        }
        Some(format!("{}/{name}", self.path(*above)?))
    }

    /// A folder that messages may go to, but not that for copies.
    fn some_folder(&mut self) -> FolderKey {
        let mut keys = vec![INBOX, INBOX];
        keys.extend(self.folders.keys().filter(|key| self.path(**key).is_some()));
        *self.random.choose(&keys).unwrap_or(&INBOX)
    }

    /// Some messages of one folder.
    fn some_messages(&mut self, most: usize, with_copies: bool) -> (FolderKey, Vec<(Item, Known)>) {
        let folders: Vec<FolderKey> = self
            .known
            .iter()
            .filter(|(key, items)| {
                !items.is_empty() && (with_copies || **key != COPIES) && self.path(**key).is_some()
            })
            .map(|(key, _)| *key)
            .collect();
        let Some(&folder) = self.random.choose(&folders) else {
            return (INBOX, Vec::new());
        };
        let mut items: Vec<(Item, Known)> = self.known[&folder]
            .iter()
            .filter(|(item, _)| !self.doubtful.contains(item))
            .map(|(item, known)| (*item, known.clone()))
            .collect();
        let count = 1 + self.random.below(most);
        while items.len() > count {
            items.swap_remove(self.random.below(items.len()));
        }
        (folder, items)
    }

    fn some_flags(&mut self) -> Vec<String> {
        let chosen = FLAGS.iter().filter(|_| self.random.percent(30));
        let mut flags: Vec<String> = chosen.map(|flag| (*flag).to_owned()).collect();
        flags.sort();
        flags
    }

    fn select(&mut self, imap: &mut Imap, folder: FolderKey) -> io::Result<bool> {
        if self.selected == Some(folder) {
            return Ok(true);
        }
        let Some(path) = self.path(folder) else {
            return Ok(false);
        };
        let done = imap.command(&format!("SELECT \"{path}\""))?;
        self.selected = done.is_ok.then_some(folder);
        self.judge(&done);
        Ok(done.is_ok)
    }

    /// Counts an answer; whether it was OK.
    fn judge(&self, done: &Done) -> bool {
        if done.is_ok {
            self.world.answer(self.user);
        } else {
            self.world.oracle.mailbox(self.user).refused += 1;
        }
        done.is_ok
    }

    fn append(&mut self, imap: &mut Imap) -> io::Result<()> {
        let token = self.world.tokens.fetch_add(1, Relaxed);
        self.append_item(
            imap,
            Item {
                token,
                is_copy: false,
            },
        )
    }

    /// What was expunged comes back, with its content.
    fn append_again(&mut self, imap: &mut Imap) -> io::Result<()> {
        if self.gone.is_empty() {
            return Ok(());
        }
        let item = self.gone.swap_remove(self.random.below(self.gone.len()));
        self.append_item(imap, item)
    }

    fn append_item(&mut self, imap: &mut Imap, item: Item) -> io::Result<()> {
        let folder = self.some_folder();
        let (Some(path), flags) = (self.path(folder), self.some_flags()) else {
            return Ok(());
        };
        let kept = Kept {
            folder,
            flags: flags.clone(),
            uid: None,
        };
        let world = self.world;
        let begun = world
            .oracle
            .mailbox(self.user)
            .begin(world.now(), vec![(item, Effect::Make(kept))]);
        let line = format!("APPEND \"{path}\" ({})", flags.join(" "));
        let done = imap.command_with(&line, &message::source(item.token))?;
        if !self.judge(&done) {
            self.doubtful.insert(item);
            return Ok(());
        }
        let uid = imap::after(&done.text, "APPENDUID ")
            .and_then(|_| done.text.split(['[', ']']).nth(1))
            .and_then(|code| code.rsplit(' ').next()?.parse().ok());
        let mut record = world.oracle.mailbox(self.user);
        if let Some(uid) = uid {
            record.tell_uid(&begun, item, uid);
            self.known
                .entry(folder)
                .or_default()
                .insert(item, Known { uid, flags });
        }
        record.acknowledge(world.now(), &begun);
        Ok(())
    }

    fn flag(&mut self, imap: &mut Imap) -> io::Result<()> {
        let (folder, items) = self.some_messages(4, true);
        if items.is_empty() || !self.select(imap, folder)? {
            return Ok(());
        }
        let flags = self.some_flags();
        self.store(imap, folder, &items, flags).map(drop)
    }

    fn store(
        &mut self,
        imap: &mut Imap,
        folder: FolderKey,
        items: &[(Item, Known)],
        flags: Vec<String>,
    ) -> io::Result<bool> {
        let effects = items
            .iter()
            .map(|(item, _)| (*item, Effect::Flags(flags.clone())));
        let world = self.world;
        let begun = world
            .oracle
            .mailbox(self.user)
            .begin(world.now(), effects.collect());
        let done = imap.command(&format!(
            "UID STORE {} FLAGS.SILENT ({})",
            uid_set(items),
            flags.join(" ")
        ))?;
        if !self.judge(&done) {
            self.doubtful.extend(items.iter().map(|(item, _)| *item));
            return Ok(false);
        }
        world.oracle.mailbox(self.user).acknowledge(world.now(), &begun);
        let known = self.known.entry(folder).or_default();
        for (item, _) in items {
            if let Some(known) = known.get_mut(item) {
                known.flags.clone_from(&flags);
            }
        }
        Ok(true)
    }

    fn move_some(&mut self, imap: &mut Imap) -> io::Result<()> {
        let (folder, items) = self.some_messages(3, false);
        let target = self.some_folder();
        let Some(path) = self.path(target) else {
            return Ok(());
        };
        if items.is_empty() || folder == target || !self.select(imap, folder)? {
            return Ok(());
        }
        let effects = items.iter().map(|(item, known)| {
            let kept = Kept {
                folder: target,
                flags: known.flags.clone(),
                uid: None,
            };
            (*item, Effect::Move(kept))
        });
        let world = self.world;
        let begun = world
            .oracle
            .mailbox(self.user)
            .begin(world.now(), effects.collect());
        let done = imap.command(&format!("UID MOVE {} \"{path}\"", uid_set(&items)))?;
        if !self.judge(&done) {
            self.doubtful.extend(items.iter().map(|(item, _)| *item));
            return Ok(());
        }
        let told = copied(&done);
        let mut record = world.oracle.mailbox(self.user);
        for (item, known) in items {
            if let Some(known) = self.known.get_mut(&folder) {
                known.remove(&item);
            }
            let Some(&uid) = told.get(&known.uid) else {
                let text = &done.text;
                world.report(format!(
                    "MOVE of UID {} was OK without saying where to: {text}",
                    known.uid
                ));
                continue;
            };
            record.tell_uid(&begun, item, uid);
            let flags = known.flags;
            self.known
                .entry(target)
                .or_default()
                .insert(item, Known { uid, flags });
        }
        record.acknowledge(world.now(), &begun);
        Ok(())
    }

    fn copy(&mut self, imap: &mut Imap) -> io::Result<()> {
        let (folder, mut items) = self.some_messages(3, false);
        {
            let record = self.world.oracle.mailbox(self.user);
            items.retain(|(item, _)| {
                let token = item.token;
                !record.messages.contains_key(&Item { token, is_copy: true })
            });
        }
        if items.is_empty() || !self.select(imap, folder)? {
            return Ok(());
        }
        let copy = |item: &Item| Item {
            token: item.token,
            is_copy: true,
        };
        let effects = items.iter().map(|(item, known)| {
            let kept = Kept {
                folder: COPIES,
                flags: known.flags.clone(),
                uid: None,
            };
            (copy(item), Effect::Make(kept))
        });
        let world = self.world;
        let begun = world
            .oracle
            .mailbox(self.user)
            .begin(world.now(), effects.collect());
        let done = imap.command(&format!("UID COPY {} {COPIES_NAME}", uid_set(&items)))?;
        if !self.judge(&done) {
            self.doubtful.extend(items.iter().map(|(item, _)| copy(item)));
            return Ok(());
        }
        let told = copied(&done);
        let mut record = world.oracle.mailbox(self.user);
        for (item, known) in items {
            if let Some(&uid) = told.get(&known.uid) {
                record.tell_uid(&begun, copy(&item), uid);
                let flags = known.flags;
                self.known
                    .entry(COPIES)
                    .or_default()
                    .insert(copy(&item), Known { uid, flags });
            }
        }
        record.acknowledge(world.now(), &begun);
        Ok(())
    }

    fn expunge(&mut self, imap: &mut Imap, most: usize) -> io::Result<()> {
        let (folder, items) = self.some_messages(most, true);
        if items.is_empty() || !self.select(imap, folder)? {
            return Ok(());
        }
        if !self.store(imap, folder, &items, vec!["\\Deleted".to_owned()])? {
            return Ok(());
        }
        let effects = items.iter().map(|(item, _)| (*item, Effect::Remove));
        let world = self.world;
        let begun = world
            .oracle
            .mailbox(self.user)
            .begin(world.now(), effects.collect());
        let done = imap.command(&format!("UID EXPUNGE {}", uid_set(&items)))?;
        if !self.judge(&done) {
            self.doubtful.extend(items.iter().map(|(item, _)| *item));
            return Ok(());
        }
        world.oracle.mailbox(self.user).acknowledge(world.now(), &begun);
        let known = self.known.entry(folder).or_default();
        for (item, _) in items {
            known.remove(&item);
            if !item.is_copy {
                self.gone.push(item);
            }
        }
        Ok(())
    }

    fn folder_change(
        &mut self,
        imap: &mut Imap,
        key: FolderKey,
        effect: Effect<FolderPlace>,
        command: &str,
    ) -> io::Result<bool> {
        let world = self.world;
        let begun = world
            .oracle
            .mailbox(self.user)
            .begin_folder(world.now(), key, effect);
        let done = imap.command(command)?;
        if !self.judge(&done) {
            self.doubtful_folders.insert(key);
            return Ok(false);
        }
        world.oracle.mailbox(self.user).acknowledge(world.now(), &begun);
        Ok(true)
    }

    /// At the top, or below a folder there.
    fn place_for(&mut self, key: FolderKey, name: String) -> (FolderPlace, String) {
        let tops: Vec<FolderKey> = self
            .folders
            .iter()
            .filter(|(other, (above, _))| *above == TOP && **other != key && self.path(**other).is_some())
            .map(|(other, _)| *other)
            .collect();
        let above = if self.random.percent(50) {
            self.random.choose(&tops).copied()
        } else {
            None
        };
        match above.and_then(|above| Some((above, self.path(above)?))) {
            Some((above, path)) => ((above, name.clone()), format!("{path}/{name}")),
            None => ((TOP, name.clone()), name),
        }
    }

    fn make_folder(&mut self, imap: &mut Imap) -> io::Result<()> {
        if self.folders.len() >= FOLDERS {
            return Ok(());
        }
        let key = self.world.folders.fetch_add(1, Relaxed) as FolderKey;
        let (place, path) = self.place_for(key, format!("{FOLDER_PREFIX}{key}-0"));
        if self.folder_change(
            imap,
            key,
            Effect::Make(place.clone()),
            &format!("CREATE \"{path}\""),
        )? {
            self.folders.insert(key, place);
        }
        Ok(())
    }

    fn has_folders_below(&self, key: FolderKey) -> bool {
        self.folders.values().any(|(above, _)| *above == key)
    }

    fn rename_folder(&mut self, imap: &mut Imap) -> io::Result<()> {
        let keys: Vec<FolderKey> = self
            .folders
            .keys()
            .copied()
            .filter(|key| self.path(*key).is_some())
            .collect();
        let Some(&key) = self.random.choose(&keys) else {
            return Ok(());
        };
        let (Some(old), Some((_, name))) = (self.path(key), self.folders.get(&key).cloned()) else {
            return Ok(());
        };
        let number: u32 = name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let name = format!("{FOLDER_PREFIX}{key}-{}", number + 1);
        let (place, path) = if self.has_folders_below(key) {
            ((TOP, name.clone()), name)
        } else {
            self.place_for(key, name)
        };
        let command = format!("RENAME \"{old}\" \"{path}\"");
        if self.folder_change(imap, key, Effect::Move(place.clone()), &command)? {
            self.folders.insert(key, place);
        }
        Ok(())
    }

    fn delete_folder(&mut self, imap: &mut Imap) -> io::Result<()> {
        // Only one that is certainly empty.
        let is_empty = |key: &FolderKey| self.known.get(key).is_none_or(BTreeMap::is_empty);
        let keys: Vec<FolderKey> = self
            .folders
            .keys()
            .copied()
            .filter(|key| is_empty(key) && !self.has_folders_below(*key) && self.selected != Some(*key))
            .collect();
        let Some(&key) = self.random.choose(&keys) else {
            return Ok(());
        };
        let Some(path) = self.path(key) else { return Ok(()) };
        if !self.doubtful.is_empty() || !self.doubtful_folders.is_empty() {
            return Ok(());
        }
        if self.folder_change(imap, key, Effect::Remove, &format!("DELETE \"{path}\""))? {
            self.folders.remove(&key);
            self.known.remove(&key);
        }
        Ok(())
    }

    /// Reads a message, and compares it with what was sent.
    fn read(&mut self, imap: &mut Imap) -> io::Result<()> {
        let (folder, items) = self.some_messages(1, true);
        let Some((item, known)) = items.first() else {
            return Ok(());
        };
        if !self.select(imap, folder)? {
            return Ok(());
        }
        let done = imap.command(&format!("UID FETCH {} (BODY.PEEK[])", known.uid))?;
        if !self.judge(&done) {
            return Ok(());
        }
        let source = done
            .responses
            .iter()
            .find_map(|response| response.literals.first());
        if source.is_none_or(|source| !message::is_whole(source, item.token)) {
            let bytes = source.map(Vec::len);
            self.world.report(format!(
                "{item:?}, UID {} of folder {folder}, was read as {bytes:?} bytes",
                known.uid
            ));
        }
        Ok(())
    }

    /// Learns what was delivered.
    fn look_for_mail(&mut self, imap: &mut Imap) -> io::Result<()> {
        if !self.select(imap, INBOX)? {
            return Ok(());
        }
        let next = self.seen_in_inbox + 1;
        let done = imap.command(&format!(
            "UID FETCH {next}:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Token)])"
        ))?;
        if !self.judge(&done) {
            return Ok(());
        }
        let record = self.world.oracle.mailbox(self.user);
        for response in &done.responses {
            let uid = imap::after(&response.text, "UID ").and_then(|uid| uid.parse().ok());
            let token = response
                .literals
                .first()
                .and_then(|header| message::token(header));
            let (Some(uid), Some(token), Some(flags)) = (uid, token, imap::flags(&response.text)) else {
                continue;
            };
            self.seen_in_inbox = self.seen_in_inbox.max(uid);
            let item = Item {
                token,
                is_copy: false,
            };
            let elsewhere = self.known.values().any(|items| items.contains_key(&item));
            // Only what the record has in the inbox for sure, or as soon as the sender has its answer.
            let Some(history) = record.messages.get(&item) else {
                continue;
            };
            let places = history.allowed(Instant::MAX);
            let fits = places
                .iter()
                .flatten()
                .all(|kept| kept.folder == INBOX && kept.flags == flags);
            if !elsewhere && fits && !places.is_empty() && !self.doubtful.contains(&item) {
                self.known
                    .entry(INBOX)
                    .or_default()
                    .insert(item, Known { uid, flags });
            }
        }
        Ok(())
    }
}

fn uid_set(items: &[(Item, Known)]) -> String {
    let uids: Vec<String> = items.iter().map(|(_, known)| known.uid.to_string()).collect();
    uids.join(",")
}

/// Where COPY or MOVE put what: COPYUID (RFC 4315) of the tagged response, or of an untagged one.
fn copied(done: &Done) -> BTreeMap<u32, u32> {
    let texts = done.responses.iter().map(|response| response.text.as_str());
    for text in texts.chain([done.text.as_str()]) {
        let Some((_, code)) = text.split_once("[COPYUID ") else {
            continue;
        };
        let code = code.split(']').next().unwrap_or_default();
        let mut words = code.split(' ').skip(1);
        if let (Some(from), Some(to)) = (words.next(), words.next()) {
            return imap::numbers(from).into_iter().zip(imap::numbers(to)).collect();
        }
    }
    BTreeMap::new()
}
