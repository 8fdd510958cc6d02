//! What the store must hold: plain maps, and no index, counter or cache.

use std::collections::{BTreeMap, BTreeSet};

use ringpost_convert::message::MessageContent;
use ringpost_mapi::{
    FileTime, FolderId, Guid, MessageId, PropTag, PropValue, PropertyBag, named::PropertyName,
    rights::Rights, tags,
};
use ringpost_store::{
    Flags, MailboxKind,
    permission::Member,
    table::{ContentsKind, SearchCriteria},
};

use super::judge::meets;

/// A change number that the running operation gave, not yet learned.
pub(crate) const NEW: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(crate) struct ModelMessage {
    pub(crate) folder: FolderId,
    /// 0: an associated message.
    pub(crate) uid: u32,
    pub(crate) associated: bool,
    pub(crate) hidden: bool,
    pub(crate) flags: Flags,
    pub(crate) keywords: BTreeSet<String>,
    pub(crate) source: Option<Vec<u8>>,
    /// The body that is derived from the source.
    pub(crate) derived_body: Option<PropValue>,
    /// As the store shows it, but for what it computes.
    pub(crate) content: MessageContent,
    pub(crate) size: u64,
    pub(crate) received: FileTime,
    pub(crate) version: u64,
    pub(crate) change: u64,
    pub(crate) read_change: u64,
    /// In a public store: who read it or not, and since which change.
    pub(crate) readers: BTreeMap<String, (bool, u64)>,
    /// Those of `PidTagMessageFlags` that clients set.
    pub(crate) kept_flags: i32,
    pub(crate) ever_read: bool,
    pub(crate) status: i32,
    pub(crate) lineage: Option<ModelLineage>,
    /// `PidTagSearchKey`, once learned: copies share it.
    pub(crate) search_key: Option<PropValue>,
}

/// What a client gave an object: by which version, its change key, and what it has seen of whom.
#[derive(Clone, Debug)]
pub(crate) struct ModelLineage {
    pub(crate) version: u64,
    pub(crate) key: (Guid, u64),
    pub(crate) seen: BTreeMap<Guid, u64>,
}

/// The GUID of the store's own changes.
pub(crate) const HERE: Guid = Guid([7; 16]);

/// The change key and what was seen of whom, of an object with this version.
pub(crate) fn lineage(version: u64, given: Option<&ModelLineage>) -> ((Guid, u64), BTreeMap<Guid, u64>) {
    match given {
        Some(given) if given.version == version => (given.key, given.seen.clone()),
        given => {
            let mut seen = given.map(|given| given.seen.clone()).unwrap_or_default();
            seen.insert(HERE, version);
            ((HERE, version), seen)
        }
    }
}

/// The bytes of a change key (MS-OXCFXICS 2.2.2.2): namespace and global counter.
pub(crate) fn key_bytes(key: (Guid, u64)) -> Vec<u8> {
    [&key.0.0[..], &key.1.to_be_bytes()[2..]].concat()
}

/// The bytes of a predecessor change list (MS-OXCFXICS 2.2.2.3).
pub(crate) fn list_bytes(seen: &BTreeMap<Guid, u64>) -> Vec<u8> {
    seen.iter()
        .flat_map(|(guid, counter)| [vec![22], key_bytes((*guid, *counter))].concat())
        .collect()
}

#[derive(Clone, Debug)]
pub(crate) struct ModelSearch {
    pub(crate) criteria: SearchCriteria,
    pub(crate) running: bool,
    /// Of one that is not kept up to date: what it found, and whether that was unread then.
    pub(crate) fixed: BTreeMap<MessageId, bool>,
}

#[derive(Clone, Debug)]
pub(crate) struct ModelFolder {
    pub(crate) name: String,
    pub(crate) parent: Option<FolderId>,
    pub(crate) change: u64,
    pub(crate) uid_next: u32,
    pub(crate) is_search: bool,
    pub(crate) search: Option<ModelSearch>,
    pub(crate) permissions: Vec<(Member, Rights)>,
    pub(crate) properties: PropertyBag,
    pub(crate) lineage: Option<ModelLineage>,
    /// Names, sequences and ids of the rules, in the order they run.
    pub(crate) rules: Vec<(i32, u64, PropertyBag)>,
}

/// A folder that was soft-deleted, with all that was hidden with it.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    pub(crate) root: FolderId,
    pub(crate) folders: BTreeMap<FolderId, ModelFolder>,
    pub(crate) messages: BTreeMap<MessageId, ModelMessage>,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) kind: MailboxKind,
    pub(crate) folders: BTreeMap<FolderId, ModelFolder>,
    pub(crate) messages: BTreeMap<MessageId, ModelMessage>,
    /// What left a folder for good, and the last change of the operation that took it.
    pub(crate) left: Vec<(FolderId, MessageId, u64)>,
    pub(crate) names: BTreeMap<PropertyName, u16>,
    pub(crate) hidden: Vec<Hidden>,
    pub(crate) receive_folders: BTreeMap<String, FolderId>,
    pub(crate) store_properties: PropertyBag,
}

impl Model {
    pub(crate) fn in_folder(&self, folder: FolderId) -> impl Iterator<Item = (MessageId, &ModelMessage)> {
        let messages = self.messages.iter().map(|(id, message)| (*id, message));
        messages.filter(move |(_, message)| message.folder == folder)
    }

    /// The normal messages of a folder.
    pub(crate) fn normal(&self, folder: FolderId) -> impl Iterator<Item = (MessageId, &ModelMessage)> {
        self.in_folder(folder).filter(|(_, message)| message.is_normal())
    }

    /// The folder and all below it, parents first.
    pub(crate) fn below(&self, folder: FolderId) -> Vec<FolderId> {
        let mut found = vec![folder];
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            at += 1;
            let children = self.folders.iter().filter(|(_, one)| one.parent == Some(parent));
            found.extend(children.map(|(id, _)| *id));
        }
        found
    }

    /// What a search folder must link to, and whether each is unread.
    pub(crate) fn links(&self, folder: FolderId) -> BTreeMap<MessageId, bool> {
        let Some(search) = &self.folders[&folder].search else {
            return BTreeMap::new();
        };
        if search.criteria.fixed && !search.running {
            return search.fixed.clone();
        }
        self.matching(&search.criteria)
    }

    pub(crate) fn matching(&self, criteria: &SearchCriteria) -> BTreeMap<MessageId, bool> {
        let mut scope = BTreeSet::new();
        for root in criteria
            .scope
            .iter()
            .filter(|root| self.folders.contains_key(root))
        {
            if criteria.recursive {
                scope.extend(self.below(*root));
            } else {
                scope.insert(*root);
            }
        }
        let matching = self.messages.iter().filter(|(_, message)| {
            message.is_normal()
                && scope.contains(&message.folder)
                && meets(&message.seen_by(None), &criteria.restriction)
        });
        matching
            .map(|(id, message)| (*id, !message.flags.contains(Flags::SEEN)))
            .collect()
    }

    /// The messages that a contents table shows, unrestricted.
    pub(crate) fn shown(&self, folder: FolderId, kind: ContentsKind) -> Vec<(MessageId, &ModelMessage)> {
        if self.folders[&folder].is_search {
            let links = self.links(folder);
            return match kind {
                ContentsKind::Normal => links.keys().map(|id| (*id, &self.messages[id])).collect(),
                _ => Vec::new(),
            };
        }
        let (associated, hidden) = match kind {
            ContentsKind::Normal => (false, false),
            ContentsKind::Associated => (true, false),
            ContentsKind::SoftDeleted => (false, true),
            ContentsKind::SoftDeletedAssociated => (true, true),
        };
        let all = self.in_folder(folder);
        all.filter(|(_, one)| (one.associated, one.hidden) == (associated, hidden))
            .collect()
    }
}

impl ModelMessage {
    pub(crate) fn is_normal(&self) -> bool {
        !self.associated && !self.hidden
    }

    pub(crate) fn has_attachments(&self) -> bool {
        let hidden = Some(&PropValue::Boolean(true));
        let mut list = self.content.attachments.iter();
        list.any(|one| one.properties.get(tags::ATTACHMENT_HIDDEN) != hidden)
    }

    /// Whether it is read, to a user of a public store.
    pub(crate) fn is_read(&self, user: Option<&str>) -> bool {
        match user {
            Some(user) => self.readers.get(user).is_some_and(|(read, _)| *read),
            None => self.flags.contains(Flags::SEEN),
        }
    }

    pub(crate) fn message_flags(&self, user: Option<&str>) -> i32 {
        let flag = |set: bool, flag: i32| if set { flag } else { 0 };
        flag(self.is_read(user), 1)
            | flag(self.flags.contains(Flags::DRAFT), 8)
            | flag(self.has_attachments(), 16)
            | flag(self.associated, 0x40)
            | flag(self.ever_read, 0x400)
            | self.kept_flags
    }

    pub(crate) fn seen_by<'a>(&'a self, user: Option<&'a str>) -> Seen<'a> {
        Seen { message: self, user }
    }
}

/// A message as a user sees it.
pub(crate) struct Seen<'a> {
    message: &'a ModelMessage,
    user: Option<&'a str>,
}

impl Seen<'_> {
    pub(crate) fn content(&self) -> &MessageContent {
        &self.message.content
    }

    pub(crate) fn get(&self, tag: PropTag) -> Option<PropValue> {
        let message = self.message;
        Some(match tag {
            tags::MESSAGE_SIZE => PropValue::Integer32(message.size as i32),
            tags::MESSAGE_DELIVERY_TIME => PropValue::Time(message.received),
            tags::HAS_ATTACHMENTS => PropValue::Boolean(message.has_attachments()),
            tags::MESSAGE_FLAGS => PropValue::Integer32(message.message_flags(self.user)),
            tags::READ => PropValue::Boolean(message.is_read(self.user)),
            tags::MESSAGE_STATUS => PropValue::Integer32(message.status),
            tags::CHANGE_KEY => {
                PropValue::Binary(key_bytes(lineage(message.version, message.lineage.as_ref()).0))
            }
            tag => {
                let kept = message.content.properties.get(tag).cloned();
                let derived = (tag == tags::BODY)
                    .then(|| message.derived_body.clone())
                    .flatten();
                return kept.or(derived);
            }
        })
    }
}
