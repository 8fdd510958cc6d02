//! Change queries from earlier states: what a client is told is what the model says.

use std::collections::{BTreeMap, BTreeSet};

use ringpost_mapi::{
    ChangeNumber, FolderId, MessageId,
    idset::{GlobSet, IdSet},
};
use ringpost_store::{ContentQuery, Flags, MailboxKind};

use super::{Run, judge::meets};

const MAX_EARLIER: usize = 12;

/// What a client knew of a folder at an earlier moment.
#[derive(Clone, Debug)]
pub(crate) struct Earlier {
    pub(crate) folder: FolderId,
    /// The last change then.
    last: u64,
    /// The messages it had, associated ones too.
    had: Vec<MessageId>,
    /// The folders it had.
    folders: Vec<FolderId>,
    /// IMAP's view.
    highest: ChangeNumber,
    imap: BTreeMap<u32, (Flags, BTreeSet<String>)>,
}

impl Run {
    /// The session remembers how a folder is now.
    pub(crate) fn remember(&mut self, folder: FolderId) -> Vec<FolderId> {
        let earlier = Earlier {
            folder,
            last: self.before,
            had: self
                .model
                .in_folder(folder)
                .filter(|(_, one)| !one.hidden)
                .map(|(id, _)| id)
                .collect(),
            folders: self.model.below(self.root),
            highest: self.store().status(folder).unwrap().highest_change,
            imap: self.imap_view(folder),
        };
        let session = &mut self.sessions[self.turn];
        session.earlier.push(earlier);
        if session.earlier.len() > MAX_EARLIER {
            let at = self.dice.below(MAX_EARLIER);
            session.earlier.remove(at);
        }
        vec![folder]
    }

    fn imap_view(&self, folder: FolderId) -> BTreeMap<u32, (Flags, BTreeSet<String>)> {
        self.model
            .normal(folder)
            .map(|(_, one)| (one.uid, (one.flags, one.keywords.clone())))
            .collect()
    }

    /// Asks what changed since one of the session's earlier states.
    pub(crate) fn synchronise(&mut self) {
        let all = self.sessions[self.turn].earlier.clone();
        if all.is_empty() {
            return;
        }
        let earlier = self.dice.of(&all);
        self.check_content(&earlier);
        self.check_imap(&earlier);
        self.check_folders(&earlier);
    }

    /// What a client has seen: all up to a moment, or nothing, and here and there a change after it.
    fn seen(&mut self, earlier: &Earlier, holes: bool) -> GlobSet {
        let mut seen = GlobSet::new();
        if self.dice.one_in(6) {
            return seen;
        }
        seen.insert_range(1..=earlier.last);
        let now = self.store().last_change().unwrap().0;
        while holes && now > earlier.last + 2 && self.dice.one_in(2) {
            let start = earlier.last + 2 + self.dice.below((now - earlier.last - 1) as usize) as u64;
            seen.insert_range(start..=start + self.dice.below(4) as u64);
        }
        seen
    }

    fn check_content(&mut self, earlier: &Earlier) {
        let at = format!("step {}, after {}, since {earlier:?}", self.step, self.done);
        let public = self.model.kind == MailboxKind::Public;
        let mut given = IdSet::new();
        let partly = self.dice.one_in(3);
        for id in &earlier.had {
            if !partly || self.dice.one_in(2) {
                given.insert(id.replica(), id.counter());
            }
        }
        let query = ContentQuery {
            given: given.clone(),
            seen: (!self.dice.one_in(8)).then(|| self.seen(earlier, true)),
            seen_associated: (!self.dice.one_in(8)).then(|| self.seen(earlier, true)),
            seen_read: (!self.dice.one_in(8)).then(|| self.seen(earlier, !public)),
            user: public.then(|| self.user().to_owned()),
            restriction: self.dice.one_in(4).then(|| self.dice.restriction(2)),
        };
        let sets = [&query.seen, &query.seen_associated, &query.seen_read];
        let known = |seen: &GlobSet| seen.ranges().next().map_or(0, |range| *range.end());
        let floor = sets.into_iter().flatten().map(known).min().unwrap_or(0);
        let has = |id: MessageId| given.contains(id.replica(), id.counter());
        let changes = self.store().content_changes(earlier.folder, &query).unwrap();
        assert_eq!(changes.latest, self.store().last_change().unwrap(), "{at}");
        let (mut changed, mut read, mut hidden) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut out_of_scope = BTreeSet::new();
        for (id, message) in self.model.in_folder(earlier.folder) {
            if message.hidden {
                if has(id) && message.change > floor {
                    hidden.insert(id);
                }
                continue;
            }
            let matches = query
                .restriction
                .as_ref()
                .is_none_or(|restriction| meets(&message.seen_by(None), restriction));
            if !matches {
                if has(id) && message.change > floor {
                    out_of_scope.insert(id);
                }
                // A user's own read states are told all the same.
                if query.user.is_none() {
                    continue;
                }
            }
            let seen = if message.associated {
                &query.seen_associated
            } else {
                &query.seen
            };
            let is_changed = matches && seen.as_ref().is_some_and(|seen| !seen.contains(message.version));
            if is_changed {
                changed.insert(id, (message.uid, message.version, !has(id), message.associated));
            }
            let Some(seen_read) = &query.seen_read else {
                continue;
            };
            if let Some(user) = &query.user {
                if let Some((state, change)) = message.readers.get(user)
                    && has(id)
                    && !seen_read.contains(*change)
                {
                    read.insert(id, *state);
                }
            } else {
                let unseen = message.read_change > 0 && !seen_read.contains(message.read_change);
                if has(id) && unseen && !is_changed {
                    read.insert(id, message.flags.contains(Flags::SEEN));
                }
            }
        }
        let ordered = changes
            .changed
            .windows(2)
            .all(|pair| pair[0].version <= pair[1].version);
        assert!(ordered, "{at}");
        let found: BTreeMap<_, _> = changes
            .changed
            .iter()
            .map(|one| {
                let uid = one.uid.map_or(0, |uid| uid.0);
                (one.message, (uid, one.version.0, one.is_new, one.associated))
            })
            .collect();
        assert_eq!(
            (found.len(), found),
            (changes.changed.len(), changed),
            "{at}: {query:?}"
        );
        let found: BTreeMap<_, _> = changes.read.iter().copied().collect();
        assert_eq!(
            (found.len(), found),
            (changes.read.len(), read),
            "{at}: {query:?}"
        );
        let found: BTreeSet<_> = changes.out_of_scope.iter().copied().collect();
        assert_eq!(
            (found.len(), found),
            (changes.out_of_scope.len(), out_of_scope),
            "{at}: {query:?}"
        );
        let found: BTreeSet<_> = changes.soft_deleted.iter().copied().collect();
        assert_eq!(
            (found.len(), found),
            (changes.soft_deleted.len(), hidden),
            "{at}: {query:?}"
        );
        let left = self.model.left.iter();
        let left: BTreeSet<MessageId> = left
            .filter(|(folder, id, change)| *folder == earlier.folder && has(*id) && *change > floor)
            .map(|(_, id, _)| *id)
            .collect();
        let found: BTreeSet<_> = changes.deleted.iter().copied().collect();
        assert_eq!(
            (found.len(), found),
            (changes.deleted.len(), left),
            "{at}: {query:?}"
        );
    }

    fn check_imap(&mut self, earlier: &Earlier) {
        let at = format!("step {}, after {}, since {earlier:?}", self.step, self.done);
        let changes = self
            .store()
            .changes_since(earlier.folder, earlier.highest)
            .unwrap();
        let mut view = earlier.imap.clone();
        let now = self.imap_view(earlier.folder);
        for uid in changes.vanished.iter() {
            assert!(!now.contains_key(&uid.0), "{at}");
            view.remove(&uid.0);
        }
        for change in changes.changed {
            assert!(change.change > earlier.highest, "{at}");
            view.insert(
                change.uid.0,
                (change.flags, change.keywords.iter().cloned().collect()),
            );
        }
        assert_eq!(view, now, "{at}");
    }

    fn check_folders(&mut self, earlier: &Earlier) {
        let at = format!("step {}, after {}, since {earlier:?}", self.step, self.done);
        let roots = [self.root, earlier.folder];
        let root = self.dice.of(&roots);
        let mut given = IdSet::new();
        for id in &earlier.folders {
            if *id != root && !self.dice.one_in(5) {
                given.insert(id.replica(), id.counter());
            }
        }
        let seen = self.seen(earlier, true);
        let changes = self.store().hierarchy_changes(root, &given, &seen).unwrap();
        let has = |id: FolderId| given.contains(id.replica(), id.counter());
        let below: BTreeSet<FolderId> = self.model.below(root).into_iter().skip(1).collect();
        let expected: BTreeSet<FolderId> = below
            .iter()
            .copied()
            .filter(|id| !has(*id) || !seen.contains(self.model.folders[id].change))
            .collect();
        let mut told = BTreeSet::new();
        for id in &changes.changed {
            let parent = self.model.folders[id].parent.unwrap();
            assert!(
                told.contains(&parent) || !expected.contains(&parent),
                "{at}: parents come first"
            );
            assert!(told.insert(*id), "{at}: twice");
        }
        assert_eq!(told, expected, "{at}");
        let gone: BTreeSet<FolderId> = earlier
            .folders
            .iter()
            .copied()
            .filter(|id| has(*id) && !below.contains(id))
            .collect();
        let found: BTreeSet<_> = changes.deleted.iter().copied().collect();
        assert_eq!((found.len(), found), (changes.deleted.len(), gone), "{at}");
    }
}
