//! What the store must hold: plain maps, and no index, counter or cache.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use ringpost_convert::message::MessageContent;
use ringpost_mapi::{
    FileTime, FolderId, MessageId, PropTag, PropValue, PropertyBag,
    named::PropertyName,
    restriction::{PropertySource, SubObjectTable},
    rights::Rights,
    tags,
};
use ringpost_store::{
    Flags, MailboxKind,
    permission::Member,
    table::{ContentsKind, SearchCriteria},
};

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
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) kind: MailboxKind,
    pub(crate) folders: BTreeMap<FolderId, ModelFolder>,
    pub(crate) messages: BTreeMap<MessageId, ModelMessage>,
    /// What left a folder for good, and the last change of the operation that took it.
    pub(crate) left: Vec<(FolderId, MessageId, u64)>,
    pub(crate) names: BTreeMap<PropertyName, u16>,
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
                && criteria
                    .restriction
                    .matches(&message.seen_by(None))
                    .unwrap_or_else(|never| match never {})
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
    pub(crate) fn get(&self, tag: PropTag) -> Option<PropValue> {
        let message = self.message;
        Some(match tag {
            tags::MESSAGE_SIZE => PropValue::Integer32(message.size as i32),
            tags::MESSAGE_DELIVERY_TIME => PropValue::Time(message.received),
            tags::HAS_ATTACHMENTS => PropValue::Boolean(message.has_attachments()),
            tags::MESSAGE_FLAGS => PropValue::Integer32(message.message_flags(self.user)),
            tags::READ => PropValue::Boolean(message.is_read(self.user)),
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

impl PropertySource for Seen<'_> {
    type Error = Infallible;

    fn property(&self, tag: PropTag) -> Result<Option<Cow<'_, PropValue>>, Infallible> {
        Ok(self.get(tag).map(Cow::Owned))
    }

    fn sub_objects(&self, table: SubObjectTable) -> Result<Cow<'_, [PropertyBag]>, Infallible> {
        let content = &self.message.content;
        Ok(match table {
            SubObjectTable::Recipients => Cow::Borrowed(&content.recipients),
            SubObjectTable::Attachments => content
                .attachments
                .iter()
                .map(|one| one.properties.clone())
                .collect::<Vec<_>>()
                .into(),
        })
    }
}
