//! What sessions do to folders.

use ringpost_mapi::{FolderId, MessageId, rights::Rights};
use ringpost_store::{FolderChange, StoreError, permission::Member, table::SearchCriteria};

use super::{
    Run, USERS,
    model::{ModelSearch, NEW},
};

const MAX_FOLDERS: usize = 14;

impl Run {
    fn new_name(&mut self) -> String {
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

    fn learn(&mut self, id: FolderId, name: &str, parent: FolderId) {
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
        for id in below {
            assert!(matches!(self.store().folder(id), Err(StoreError::NotFound(_))));
            self.model.folders.remove(&id);
            self.arena.retain(|one| *one != id);
            self.model.messages.retain(|_, message| message.folder != id);
            self.forget_folder(id);
        }
        vec![]
    }

    /// A folder with its messages and subfolders, as `RopCopyFolder` makes it.
    pub(crate) fn copy_folder(&mut self, parent: FolderId) -> Vec<FolderId> {
        self.done = "copy a folder";
        let Some(root) = self.any_folder() else {
            return vec![];
        };
        let below: Vec<FolderId> = self
            .model
            .below(root)
            .into_iter()
            .filter(|id| !self.model.folders[id].is_search)
            .collect();
        if self.arena.len() + below.len() > MAX_FOLDERS || root == self.root || below.contains(&parent) {
            return vec![];
        }
        let mut copies = std::collections::BTreeMap::new();
        for id in below {
            let above = self.model.folders[&id].parent.unwrap();
            let copy = self.add_folder(copies.get(&above).copied().unwrap_or(parent));
            let messages: Vec<MessageId> = self.model.normal(id).map(|(id, _)| id).collect();
            self.copy_all(id, &messages, copy);
            copies.insert(id, copy);
        }
        copies.into_values().collect()
    }

    /// Empties a folder, softly or for good.
    pub(crate) fn empty_folder(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "empty a folder";
        let associated = self.dice.one_in(2);
        let ids: Vec<MessageId> = self
            .model
            .in_folder(folder)
            .filter(|(_, message)| !message.hidden && (associated || !message.associated))
            .map(|(id, _)| id)
            .collect();
        if self.dice.one_in(2) {
            self.hide_all(folder, &ids);
        } else {
            self.store().delete_messages(folder, &ids).unwrap();
            self.gone(folder, &ids);
        }
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
