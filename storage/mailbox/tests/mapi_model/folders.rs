//! What sessions do to folders.

use std::collections::BTreeMap;

use ringpost_mapi::{FolderId, MessageId, rights::Rights, tags};
use ringpost_store::{
    FolderChange, MailboxKind, Rule, StoreError, Table,
    permission::Member,
    table::{ContentsKind, SearchCriteria},
};

use super::{
    Run, USERS,
    model::{Hidden, ModelFolder, ModelSearch, NEW},
    tables::message_id,
};

pub(crate) const MAX_FOLDERS: usize = 14;

impl Run {
    pub(crate) fn new_name(&mut self) -> String {
        self.names += 1;
        format!("Folder {}", self.names)
    }

    pub(crate) fn make_folder(&mut self, parent: FolderId) -> Vec<FolderId> {
        self.done = "make a folder";
        if self.arena.len() >= MAX_FOLDERS {
            return self.drop_folder();
        }
        vec![self.add_folder(parent), parent]
    }

    fn add_folder(&mut self, parent: FolderId) -> FolderId {
        let name = self.new_name();
        let id = self.store().create_folder(parent, &name, None).unwrap();
        let again = self.store().create_folder(parent, &name.to_uppercase(), None);
        assert!(matches!(again, Err(StoreError::Exists(_))));
        self.learn(id, &name, parent);
        id
    }

    pub(crate) fn learn(&mut self, id: FolderId, name: &str, parent: FolderId) {
        let mut folder = Self::learn_folder(self.store(), id);
        assert_eq!(
            (&folder.name[..], folder.parent, folder.uid_next),
            (name, Some(parent), 1)
        );
        folder.change = NEW;
        assert!(self.model.folders.insert(id, folder).is_none());
        self.arena.push(id);
    }

    /// Renames and moves any folder.
    pub(crate) fn change_folder(&mut self) -> Vec<FolderId> {
        self.done = "change a folder";
        let (folder, Some(parent)) = (self.dice.of(&self.arena.clone()), self.any_folder()) else {
            return vec![];
        };
        let name = self.new_name();
        let moves = self.dice.one_in(2);
        let change = FolderChange {
            name: Some(name.clone()),
            parent: moves.then_some(parent),
            ..FolderChange::default()
        };
        let result = self.store().change_folder(folder, &change);
        if folder.counter() < 0x100 || moves && self.model.below(folder).contains(&parent) {
            assert!(matches!(result, Err(StoreError::NotAllowed(_))));
            return vec![folder];
        }
        result.unwrap();
        let model = self.model.folders.get_mut(&folder).unwrap();
        (model.name, model.change) = (name, NEW);
        if moves {
            model.parent = Some(parent);
        }
        vec![folder, parent]
    }

    pub(crate) fn drop_folder(&mut self) -> Vec<FolderId> {
        self.done = "delete a folder";
        let (folder, all) = (self.dice.of(&self.arena.clone()), self.dice.one_in(2));
        let below = self.model.below(folder);
        let result = self.store().delete_folder(folder, all);
        if folder.counter() < 0x100 || below.len() > 1 && !all {
            assert!(matches!(result, Err(StoreError::NotAllowed(_))));
            return vec![folder];
        }
        result.unwrap();
        self.dropped(folder);
        vec![]
    }

    /// The model of a folder that was deleted for good with all below it, hidden ones too.
    fn dropped(&mut self, folder: FolderId) {
        let gone = self.vanish(folder);
        self.forget_hidden_below(gone.folders.keys().copied().collect());
    }

    /// Takes a folder and all below it out of what sessions see.
    fn vanish(&mut self, root: FolderId) -> Hidden {
        let (mut folders, mut messages) = (BTreeMap::new(), BTreeMap::new());
        for id in self.model.below(root) {
            assert!(matches!(self.store().folder(id), Err(StoreError::NotFound(_))));
            folders.insert(id, self.model.folders.remove(&id).unwrap());
            self.arena.retain(|one| *one != id);
            messages.extend(
                self.model
                    .messages
                    .extract_if(.., |_, message| message.folder == id),
            );
            self.model.receive_folders.retain(|_, folder| *folder != id);
            self.forget_folder(id);
        }
        Hidden {
            root,
            folders,
            messages,
        }
    }

    /// What was hidden below folders that are gone for good is gone too.
    fn forget_hidden_below(&mut self, mut gone: Vec<FolderId>) {
        while let Some(parent) = gone.pop() {
            let below: Vec<Hidden> = self
                .model
                .hidden
                .extract_if(.., |hidden| hidden.folders[&hidden.root].parent == Some(parent))
                .collect();
            gone.extend(below.into_iter().flat_map(|hidden| hidden.folders.into_keys()));
        }
    }

    pub(crate) fn hide_folder(&mut self) -> Vec<FolderId> {
        self.done = "soft-delete a folder";
        let folder = self.dice.of(&self.arena.clone());
        let parent = self.model.folders[&folder].parent;
        let result = self.store().soft_delete_folder(folder);
        if folder.counter() < 0x100 {
            assert!(matches!(result, Err(StoreError::NotAllowed(_))));
            return vec![folder];
        }
        result.unwrap();
        self.hidden(folder);
        parent.into_iter().collect()
    }

    /// The model of a folder that was soft-deleted. Search folders go for good.
    fn hidden(&mut self, folder: FolderId) {
        let mut hidden = self.vanish(folder);
        let searches: Vec<FolderId> = hidden
            .folders
            .extract_if(.., |_, folder| folder.is_search)
            .map(|(id, _)| id)
            .collect();
        self.forget_hidden_below(searches);
        if hidden.folders.contains_key(&folder) {
            self.model.hidden.push(hidden);
        }
    }

    pub(crate) fn show_folder(&mut self, parent: FolderId) -> Vec<FolderId> {
        self.done = "restore a folder";
        if self.model.hidden.is_empty() {
            return vec![];
        }
        let at = self.dice.below(self.model.hidden.len());
        let root = self.model.hidden[at].root;
        if self.dice.one_in(3) {
            self.store().purge_folder(root).unwrap();
            let gone = self.model.hidden.remove(at);
            self.forget_hidden_below(gone.folders.into_keys().collect());
            return vec![];
        }
        let name = self.new_name();
        self.store().restore_folder(root, parent, &name).unwrap();
        let mut shown = self.model.hidden.remove(at);
        for folder in shown.folders.values_mut() {
            folder.change = NEW;
        }
        let top = shown.folders.get_mut(&root).unwrap();
        (top.name, top.parent) = (name, Some(parent));
        let ids: Vec<FolderId> = shown.folders.keys().copied().collect();
        self.model.folders.extend(shown.folders);
        self.model.messages.extend(shown.messages);
        self.arena.extend(&ids);
        ids
    }

    /// A folder with its messages and subfolders, as `RopCopyFolder` makes it.
    pub(crate) fn copy_folder(&mut self, parent: FolderId) -> Vec<FolderId> {
        self.done = "copy a folder";
        let Some(root) = self.any_folder() else {
            return vec![];
        };
        let recursive = self.dice.one_in(2);
        let mut below = self.model.below(root);
        let name = self.new_name();
        let inside = below.contains(&parent);
        if !recursive {
            below.truncate(1);
        }
        if inside {
            let refused = self.store().copy_folder(root, parent, &name, recursive);
            assert!(matches!(refused, Err(StoreError::NotAllowed(_))));
            return vec![];
        }
        let searches = below.iter().filter(|id| self.model.folders[id].is_search).count();
        if self.arena.len() + below.len() > MAX_FOLDERS || root == self.root || searches > 2 {
            return vec![];
        }
        let top = self.store().copy_folder(root, parent, &name, recursive).unwrap();
        let mut copies = BTreeMap::new();
        for id in below {
            let original = self.model.folders[&id].clone();
            let above = copies.get(&original.parent.unwrap()).copied();
            let (copy, name) = match above {
                None => (top, name.clone()),
                Some(above) => {
                    let found = self.store().subfolder(above, &original.name).unwrap();
                    (found.unwrap().id, original.name.clone())
                }
            };
            copies.insert(id, copy);
            let folder = self.store().folder(copy).unwrap();
            assert_eq!(
                (&folder.name, folder.parent, folder.is_search),
                (&name, Some(above.unwrap_or(parent)), original.is_search)
            );
            let properties = self.store().folder_properties(copy).unwrap();
            assert_eq!(properties, original.properties);
            let search = original.search.map(|mut search| {
                let folders = &self.model.folders;
                search.criteria.scope.retain(|root| folders.contains_key(root));
                (search.running, search.fixed) = (true, BTreeMap::new());
                search
            });
            let mut model = ModelFolder {
                name,
                parent: folder.parent,
                change: NEW,
                uid_next: 1,
                is_search: original.is_search,
                search: search.filter(|search| !search.criteria.scope.is_empty()),
                permissions: Vec::new(),
                properties,
                lineage: None,
                rules: Vec::new(),
            };
            if model.is_search {
                model.change = folder.change.0;
            }
            assert!(self.model.folders.insert(copy, model).is_none());
            self.arena.push(copy);
            if folder.is_search {
                continue;
            }
            let old: Vec<MessageId> = self
                .model
                .in_folder(id)
                .filter(|(_, one)| !one.hidden)
                .map(|(id, _)| id)
                .collect();
            let new = self.ids_in(copy);
            assert_eq!(old.len(), new.len());
            for (old, new) in old.into_iter().zip(new) {
                self.arrived(old, new, copy);
            }
        }
        copies.into_values().collect()
    }

    /// The ids of a folder's messages that its tables show, ascending.
    fn ids_in(&mut self, folder: FolderId) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for kind in [ContentsKind::Normal, ContentsKind::Associated] {
            let mut table = Table::contents(folder, kind);
            table.set_columns(vec![tags::MID]).unwrap();
            let rows = table.query_rows(self.store(), 10_000, true, true).unwrap();
            ids.extend(rows.iter().map(|row| message_id(row[0].as_ref())));
        }
        ids.sort_unstable();
        ids
    }

    /// Empties a folder, softly or for good, with the folders below it.
    pub(crate) fn empty_folder(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "empty a folder";
        let (associated, hard) = (self.dice.one_in(2), self.dice.one_in(2));
        let ids: Vec<MessageId> = self
            .model
            .in_folder(folder)
            .filter(|(_, message)| !message.hidden && (associated || !message.associated))
            .map(|(id, _)| id)
            .collect();
        self.store().empty_folder(folder, associated, hard).unwrap();
        if hard {
            self.gone(&ids);
        } else {
            self.hidden_now(&ids);
        }
        let below: Vec<FolderId> = self
            .model
            .folders
            .iter()
            .filter(|(id, one)| one.parent == Some(folder) && id.counter() >= 0x100)
            .map(|(id, _)| *id)
            .collect();
        for id in below {
            if hard {
                self.dropped(id);
            } else {
                self.hidden(id);
            }
        }
        vec![folder]
    }

    /// Rules, receive folders and the store's own properties.
    pub(crate) fn configure(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "configure";
        match self.dice.below(3) {
            0 => self.change_rules(folder),
            1 if self.model.kind == MailboxKind::Private => {
                let class = self.dice.of(&["IPM.Task", "IPM.Note.Custom", "REPORT.IPM.Note"]);
                let target = self.dice.one_in(2).then_some(folder);
                self.store().set_receive_folder(class, target).unwrap();
                match target {
                    Some(folder) => self.model.receive_folders.insert(class.to_owned(), folder),
                    None => self.model.receive_folders.remove(class),
                };
                vec![folder]
            }
            _ => {
                let properties = self.dice.properties();
                self.store().set_store_properties(&properties).unwrap();
                self.model.store_properties = properties;
                vec![]
            }
        }
    }

    fn change_rules(&mut self, folder: FolderId) -> Vec<FolderId> {
        let rules = self.model.folders[&folder].rules.clone();
        let mut rule = Rule {
            id: 0,
            sequence: self.dice.below(4) as i32,
            state: 1,
            properties: self.dice.properties(),
        };
        let known = (!rules.is_empty()).then(|| self.dice.of(&rules).1);
        let mut kept = rules;
        match known {
            Some(id) if self.dice.one_in(2) => {
                kept.retain(|one| one.1 != id);
                if self.dice.one_in(2) {
                    self.store().remove_rule(folder, id).unwrap();
                } else {
                    rule.id = id;
                    self.store().change_rule(folder, &rule).unwrap();
                    kept.push((rule.sequence, id, rule.properties));
                }
            }
            _ => {
                let id = self.store().add_rule(folder, &rule).unwrap();
                kept.push((rule.sequence, id, rule.properties));
            }
        }
        kept.sort_by_key(|(sequence, id, _)| (*sequence, *id));
        let model = self.model.folders.get_mut(&folder).unwrap();
        (model.rules, model.change) = (kept, NEW);
        vec![folder]
    }

    pub(crate) fn permit(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "permit";
        let members = [
            Member::Default,
            Member::Anonymous,
            Member::Account(USERS[0].to_owned()),
            Member::Account(USERS[1].to_owned()),
        ];
        let member = self.dice.of(&members);
        let rights = self.dice.of(&[
            None,
            Some(Rights::REVIEWER),
            Some(Rights::EDITOR),
            Some(Rights::OWNER),
        ]);
        self.store().set_permission(folder, &member, rights).unwrap();
        let model = self.model.folders.get_mut(&folder).unwrap();
        model.change = NEW;
        model.permissions.retain(|(known, _)| *known != member);
        model.permissions.extend(rights.map(|rights| (member, rights)));
        vec![folder]
    }

    pub(crate) fn set_properties(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "set properties";
        let properties = self.dice.properties();
        self.store().set_folder_properties(folder, &properties).unwrap();
        let model = self.model.folders.get_mut(&folder).unwrap();
        (model.properties, model.change) = (properties, NEW);
        vec![folder]
    }

    pub(crate) fn make_search(&mut self, parent: FolderId) -> Vec<FolderId> {
        self.done = "make a search folder";
        let searches = self.searches();
        if self.arena.len() >= MAX_FOLDERS || searches.len() >= 4 {
            return vec![];
        }
        let name = self.new_name();
        let id = self.store().create_search_folder(parent, &name).unwrap();
        self.learn(id, &name, parent);
        self.model.folders.get_mut(&id).unwrap().is_search = true;
        assert_eq!(self.store().search_criteria(id).unwrap(), None);
        vec![parent]
    }

    pub(crate) fn set_criteria(&mut self) -> Vec<FolderId> {
        self.done = "set criteria";
        let searches = self.searches();
        let Some(folder) = (!searches.is_empty()).then(|| self.dice.of(&searches)) else {
            return vec![];
        };
        let generic: Vec<FolderId> = self
            .arena
            .iter()
            .copied()
            .filter(|id| !self.model.folders[id].is_search)
            .collect();
        let mut scope = self.dice.some(&generic, 3);
        scope.push(self.dice.of(&generic));
        let criteria = SearchCriteria {
            scope,
            recursive: self.dice.one_in(2),
            fixed: self.dice.one_in(4),
            restriction: self.dice.restriction(2),
        };
        self.store().set_search_criteria(folder, &criteria).unwrap();
        let found = self.store().search_criteria(folder).unwrap();
        assert_eq!(found, Some((criteria.clone(), false)));
        self.model.folders.get_mut(&folder).unwrap().search = Some(ModelSearch {
            criteria,
            running: true,
            fixed: std::collections::BTreeMap::new(),
        });
        self.learn_change(folder);
        if self.dice.one_in(2) {
            vec![]
        } else {
            self.search_on()
        }
    }

    /// New criteria are no change of the folder that others are told, as far as its number goes.
    fn learn_change(&mut self, folder: FolderId) {
        let change = self.store().folder(folder).unwrap().change.0;
        self.model.folders.get_mut(&folder).unwrap().change = change;
    }

    /// Fills the search folders that wait for it.
    pub(crate) fn search_on(&mut self) -> Vec<FolderId> {
        self.done = "search";
        for folder in self.store().unfinished_searches().unwrap() {
            self.store().run_search(folder).unwrap();
            let search = self.model.folders[&folder].search.clone().unwrap();
            let found = self.model.matching(&search.criteria);
            let search = self
                .model
                .folders
                .get_mut(&folder)
                .unwrap()
                .search
                .as_mut()
                .unwrap();
            (search.running, search.fixed) = (false, found);
        }
        let running = |id: &FolderId| {
            self.model.folders[id]
                .search
                .as_ref()
                .is_some_and(|one| one.running)
        };
        assert!(!self.searches().iter().any(running));
        vec![]
    }

    pub(crate) fn searches(&self) -> Vec<FolderId> {
        self.arena
            .iter()
            .copied()
            .filter(|id| self.model.folders[id].is_search)
            .collect()
    }

    /// A folder that is gone takes what the sessions knew of it along.
    fn forget_folder(&mut self, folder: FolderId) {
        for session in &mut self.sessions {
            for mut open in session.tables.extract_if(.., |open| open.folder == folder) {
                let read = open
                    .table
                    .query_rows(self.mailbox.as_mut().unwrap(), 1, true, true);
                assert!(matches!(read, Err(StoreError::NotFound(_))), "{read:?}");
            }
            session.earlier.retain(|earlier| earlier.folder != folder);
        }
    }
}
