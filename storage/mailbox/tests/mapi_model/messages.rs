//! What sessions do to messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringpost_convert::message::{AttachmentData, MessageContent};
use ringpost_mapi::{ChangeNumber, FileTime, FolderId, MessageId, PropTag, PropValue, Uid, tags};
use ringpost_store::{
    FlagAction, Flags, Mailbox, MailboxKind, MessageDraft, Placement, PreparedMessage, StoreError, Stored,
    Transferred, UidSet,
};

use super::{
    Run,
    common::rows,
    model::{Model, ModelMessage, NEW},
};

/// Folders with more messages get no new ones.
pub(crate) const MAX_MESSAGES: usize = 14;
/// What the store computes, and shows beside what was saved.
pub(crate) const COMPUTED: [PropTag; 8] = [
    tags::MESSAGE_FLAGS,
    tags::MESSAGE_SIZE,
    tags::HAS_ATTACHMENTS,
    tags::MESSAGE_DELIVERY_TIME,
    tags::MESSAGE_STATUS,
    tags::LAST_MODIFICATION_TIME,
    tags::CREATION_TIME,
    tags::SEARCH_KEY,
];

impl Run {
    pub(crate) fn deliver(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "deliver";
        if self.model.in_folder(folder).count() >= MAX_MESSAGES {
            return self.delete(folder);
        }
        let (source, word) = self.dice.source();
        let placement = Placement {
            flags: self.dice.flags(),
            keywords: self.dice.keywords(),
            received: self.dice.time(),
        };
        let prepared = PreparedMessage::new(Bytes::from(source.clone()), Some(3));
        let stored = self.store().store_message(folder, &prepared, &placement).unwrap();
        let content = self.as_shown(&prepared.content);
        let body = self.store().message_property(stored.message, tags::BODY).unwrap();
        assert!(matches!(&body, Some(PropValue::String(text)) if text.contains(&word)));
        let message = ModelMessage {
            folder,
            uid: self.take_uid(folder),
            associated: false,
            hidden: false,
            flags: placement.flags,
            keywords: placement.keywords.into_iter().collect(),
            size: source.len() as u64,
            source: Some(source),
            derived_body: body,
            content,
            received: placement.received,
            version: NEW,
            change: NEW,
            read_change: 0,
            readers: BTreeMap::new(),
            kept_flags: 0,
            ever_read: placement.flags.contains(Flags::SEEN),
            status: 0,
            lineage: None,
            search_key: None,
        };
        assert_eq!(stored.uid, Uid(message.uid));
        assert!(self.model.messages.insert(stored.message, message).is_none());
        vec![folder]
    }

    pub(crate) fn save(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "save";
        if self.model.in_folder(folder).count() >= MAX_MESSAGES {
            return self.expunge(folder);
        }
        let mut content = self.dice.content(3);
        let received = self.dice.time();
        content
            .properties
            .set(tags::MESSAGE_DELIVERY_TIME, PropValue::Time(received));
        let draft = MessageDraft {
            associated: self.dice.one_in(4),
            flags: self.dice.one_in(2).then(|| self.dice.flags()),
            content,
            ..MessageDraft::default()
        };
        let stored = self.store().save_message(folder, &draft).unwrap();
        self.saved_new(folder, &draft, stored, received);
        vec![folder]
    }

    /// The model of a message that was saved and is new.
    pub(crate) fn saved_new(
        &mut self,
        folder: FolderId,
        draft: &MessageDraft,
        stored: Stored,
        received: FileTime,
    ) {
        let uid = if draft.associated {
            0
        } else {
            self.take_uid(folder)
        };
        assert_eq!(stored.uid, Uid(uid));
        let flags = draft.flags.unwrap_or_default();
        let message = ModelMessage {
            folder,
            uid,
            associated: draft.associated,
            hidden: false,
            flags,
            keywords: std::collections::BTreeSet::new(),
            source: None,
            derived_body: None,
            content: self.as_saved(&draft.content),
            size: self.store().message(stored.message).unwrap().size,
            received,
            version: NEW,
            change: NEW,
            read_change: 0,
            readers: BTreeMap::new(),
            kept_flags: said_flags(&draft.content).unwrap_or(0),
            ever_read: flags.contains(Flags::SEEN),
            status: 0,
            lineage: None,
            search_key: None,
        };
        assert!(self.model.messages.insert(stored.message, message).is_none());
    }

    /// Saves over a message, sometimes one that somebody else saved meanwhile.
    pub(crate) fn save_over(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "save over";
        let Some(id) = self.some_messages(folder, |_| true).pop() else {
            return vec![folder];
        };
        let old = self.model.messages[&id].clone();
        let (stale, force) = (self.dice.one_in(4), self.dice.one_in(2));
        let draft = MessageDraft {
            replaces: Some((id, ChangeNumber(old.version - u64::from(stale)))),
            force,
            flags: self.dice.one_in(3).then(|| self.dice.flags()),
            content: self.dice.content(2),
            ..MessageDraft::default()
        };
        let saved = self.store().save_message(folder, &draft);
        if old.hidden {
            assert!(matches!(saved, Err(StoreError::NotFound(_))));
            return vec![folder];
        }
        if stale && !force {
            assert!(matches!(saved, Err(StoreError::NotAllowed(_))));
            return vec![folder];
        }
        assert_eq!(saved.unwrap().message, id);
        self.saved_over(id, &draft);
        vec![folder]
    }

    /// The model of a message that was saved over.
    pub(crate) fn saved_over(&mut self, id: MessageId, draft: &MessageDraft) {
        let old = self.model.messages[&id].clone();
        let content = self.as_saved(&draft.content);
        let uid = if old.associated || old.source.is_some() {
            old.uid
        } else {
            self.take_uid(old.folder)
        };
        let saved = self.store().message(id).unwrap();
        let message = self.model.messages.get_mut(&id).unwrap();
        let flags = draft.flags.unwrap_or(old.flags);
        if (flags ^ old.flags).contains(Flags::SEEN) {
            message.read_change = NEW;
        }
        if let Some(PropValue::Time(time)) = draft.content.properties.get(tags::MESSAGE_DELIVERY_TIME) {
            message.received = *time;
        }
        message.kept_flags = said_flags(&draft.content).unwrap_or(old.kept_flags);
        message.ever_read |= flags.contains(Flags::SEEN);
        (message.content, message.uid, message.size, message.flags) = (content, uid, saved.size, flags);
        (message.version, message.change) = (NEW, NEW);
    }

    /// The session opens a message, and saves it at some later step: others may have saved it meanwhile, or
    /// moved or deleted it.
    pub(crate) fn open_or_save(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "save what was opened";
        let opened = &mut self.sessions[self.turn].opened;
        if opened.len() < 4 {
            let Some(id) = self.some_messages(folder, |one| !one.hidden).pop() else {
                return vec![];
            };
            let (message, changed) = (&self.model.messages[&id], self.dice.content(1));
            let opened = (id, message.folder, message.version, changed);
            self.sessions[self.turn].opened.push(opened);
            return vec![];
        }
        let at = self.dice.below(opened.len());
        let (id, from, version, content) = self.sessions[self.turn].opened.remove(at);
        let draft = MessageDraft {
            replaces: Some((id, ChangeNumber(version))),
            content,
            ..MessageDraft::default()
        };
        let saved = self.store().save_message(from, &draft);
        match self.model.messages.get(&id) {
            Some(now) if !now.hidden && now.version == version => {
                saved.unwrap();
                self.saved_over(id, &draft);
            }
            Some(now) if !now.hidden => assert!(matches!(saved, Err(StoreError::NotAllowed(_))), "{saved:?}"),
            _ => assert!(matches!(saved, Err(StoreError::NotFound(_))), "{saved:?}"),
        }
        vec![from]
    }

    /// Changes flags and status without a save.
    pub(crate) fn mark(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "mark";
        let Some(id) = self.some_messages(folder, |one| !one.hidden).pop() else {
            return vec![];
        };
        let (mask, bits) = (self.dice.next() as u32, self.dice.next() as u32);
        let old = self.model.messages[&id].clone();
        if self.dice.one_in(2) {
            let before = self.store().set_message_status(folder, id, mask, bits).unwrap();
            assert_eq!(before as i32, old.status);
            let message = self.model.messages.get_mut(&id).unwrap();
            message.status = ((old.status as u32 & !mask) | (bits & mask)) as i32 & i32::MAX;
        } else {
            self.store().set_message_flags(folder, id, mask, bits).unwrap();
            let message = self.model.messages.get_mut(&id).unwrap();
            let all = |message: &ModelMessage| message.kept_flags | if message.ever_read { 0x400 } else { 0 };
            let new =
                (all(&old) as u32 & !mask) | (bits & mask & 0xa7a4) | (all(&old) as u32 & mask & !0xa7a4);
            (message.kept_flags, message.ever_read) = (new as i32 & !0x400, new & 0x400 != 0);
        }
        let message = self.model.messages.get_mut(&id).unwrap();
        let state = |one: &ModelMessage| (one.status, one.kept_flags, one.ever_read);
        if state(message) != state(&old) {
            (message.version, message.change) = (NEW, NEW);
        }
        vec![folder]
    }

    /// Flags and keywords by UID, as IMAP sets them.
    pub(crate) fn flag(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "flag";
        let ids = self.some_messages(folder, ModelMessage::is_normal);
        let action = self
            .dice
            .of(&[FlagAction::Replace, FlagAction::Add, FlagAction::Remove]);
        let (flags, keywords) = (self.dice.flags(), self.dice.keywords());
        let uids = self.uids(&ids);
        self.store()
            .change_flags(folder, &uids, action, flags, &keywords, None)
            .unwrap();
        for id in ids {
            self.model
                .messages
                .get_mut(&id)
                .unwrap()
                .set_flags(action, flags, &keywords);
        }
        vec![folder]
    }

    /// Marks messages read or unread, as the session's user.
    pub(crate) fn read(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "read";
        let (ids, read, user) = (
            self.some_messages(folder, |_| true),
            self.dice.one_in(2),
            self.user(),
        );
        self.store()
            .set_read(folder, &ids, read, &user.to_uppercase())
            .unwrap();
        for id in ids {
            let message = self.model.messages.get_mut(&id).unwrap();
            if !message.is_normal() {
                continue;
            }
            if self.model.kind == MailboxKind::Private {
                let action = if read { FlagAction::Add } else { FlagAction::Remove };
                message.set_flags(action, Flags::SEEN, &[]);
            } else if message.is_read(Some(user)) != read {
                message.readers.insert(user.to_owned(), (read, NEW));
            }
        }
        self.settle_readers(folder, user);
        vec![folder]
    }

    /// Read states have numbers that only a change query shows.
    pub(crate) fn settle_readers(&mut self, folder: FolderId, user: &str) {
        let last = self.store().last_change().unwrap().0;
        let messages = self
            .model
            .messages
            .values_mut()
            .filter(|message| message.folder == folder);
        for message in messages {
            if let Some((_, change)) = message.readers.get_mut(user).filter(|(_, change)| *change == NEW) {
                *change = last;
            }
        }
    }

    pub(crate) fn copy(&mut self, from: FolderId) -> Vec<FolderId> {
        self.done = "copy";
        let Some(to) = self.any_folder() else {
            return vec![];
        };
        let (from, ids, by_uid) = self.chosen(from);
        if self.model.in_folder(to).count() + ids.len() > MAX_MESSAGES {
            return vec![];
        }
        if by_uid {
            let uids = self.uids(&ids);
            let pairs = self.store().copy_messages(from, &uids, to).unwrap();
            self.arrive_by_uid(from, &pairs, to);
        } else {
            let copied = self.store().copy_to(from, &ids, to).unwrap();
            self.arrive(&ids, &copied, to);
        }
        vec![from, to]
    }

    /// Messages to copy or move: by UID normal ones of a folder, otherwise associated ones too, or those that a
    /// search folder shows.
    fn chosen(&mut self, folder: FolderId) -> (FolderId, Vec<MessageId>, bool) {
        if self.dice.one_in(2) {
            return (folder, self.some_messages(folder, ModelMessage::is_normal), true);
        }
        let searches = self.searches();
        if self.dice.one_in(4) && !searches.is_empty() {
            let search = self.dice.of(&searches);
            let running = self.model.folders[&search]
                .search
                .as_ref()
                .is_some_and(|one| one.running);
            if !running {
                let shown: Vec<MessageId> = self.model.links(search).into_keys().collect();
                return (search, self.dice.some(&shown, 3), false);
            }
        }
        (folder, self.some_messages(folder, |one| !one.hidden), false)
    }

    pub(crate) fn move_away(&mut self, from: FolderId) -> Vec<FolderId> {
        self.done = "move";
        let Some(to) = self.any_folder() else {
            return vec![];
        };
        let (from, ids, by_uid) = self.chosen(from);
        if self.model.in_folder(to).count() + ids.len() > MAX_MESSAGES {
            return vec![];
        }
        let mut touched = vec![from, to];
        touched.extend(ids.iter().map(|id| self.model.messages[id].folder));
        if by_uid {
            let uids = self.uids(&ids);
            let pairs = self.store().move_messages(from, &uids, to).unwrap();
            assert_eq!(pairs.len(), ids.len());
            self.arrive_by_uid(from, &pairs, to);
        } else {
            let moved = self.store().move_to(from, &ids, to).unwrap();
            self.arrive(&ids, &moved, to);
        }
        self.gone(&ids);
        touched
    }

    /// The model of messages that were copied or moved: pairs of old and new UID.
    fn arrive_by_uid(&mut self, from: FolderId, pairs: &[(Uid, Uid)], to: FolderId) {
        let ids: BTreeMap<u32, MessageId> = rows(self.store(), to)
            .into_iter()
            .map(|row| (row.uid.0, row.message))
            .collect();
        for (old, new) in pairs {
            let (old, _) = self.model.normal(from).find(|(_, one)| one.uid == old.0).unwrap();
            self.arrived(old, ids[&new.0], to);
            assert_eq!(self.model.messages[&ids[&new.0]].uid, new.0);
        }
    }

    pub(crate) fn arrive(&mut self, ids: &[MessageId], transferred: &[Transferred], to: FolderId) {
        assert_eq!(ids.len(), transferred.len());
        for (id, one) in ids.iter().zip(transferred) {
            assert_eq!(*id, one.from);
            self.arrived(one.from, one.to, to);
            assert_eq!(one.uid.map_or(0, |uid| uid.0), self.model.messages[&one.to].uid);
        }
    }

    /// The model of a message that was copied or moved; a moved one is still to be removed.
    pub(crate) fn arrived(&mut self, old: MessageId, new: MessageId, to: FolderId) {
        let mut message = self.model.messages[&old].clone();
        message.folder = to;
        if !message.associated {
            message.uid = self.take_uid(to);
        }
        (message.version, message.change, message.read_change) = (NEW, NEW, 0);
        message.readers.clear();
        message.lineage = None;
        assert!(
            self.model.messages.insert(new, message).is_none(),
            "ids are not used again"
        );
    }

    pub(crate) fn hide(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "soft-delete";
        let ids = self.some_messages(folder, |_| true);
        self.hide_all(folder, &ids);
        vec![folder]
    }

    pub(crate) fn hide_all(&mut self, folder: FolderId, ids: &[MessageId]) {
        self.store().soft_delete(folder, ids).unwrap();
        self.hidden_now(ids);
    }

    /// The model of messages that were soft-deleted.
    pub(crate) fn hidden_now(&mut self, ids: &[MessageId]) {
        for id in ids {
            let message = self.model.messages.get_mut(id).unwrap();
            if !message.hidden {
                (message.hidden, message.change) = (true, NEW);
                message.readers.clear();
            }
        }
    }

    pub(crate) fn restore(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "restore";
        let ids = self.some_messages(folder, |_| true);
        self.store().restore(folder, &ids).unwrap();
        for id in ids {
            let message = &self.model.messages[&id];
            if !message.hidden {
                continue;
            }
            let uid = if message.associated {
                0
            } else {
                self.take_uid(folder)
            };
            let message = self.model.messages.get_mut(&id).unwrap();
            (message.hidden, message.uid) = (false, uid);
            (message.version, message.change) = (NEW, NEW);
        }
        vec![folder]
    }

    pub(crate) fn delete(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "delete";
        let ids = self.some_messages(folder, |_| true);
        self.store().delete_messages(folder, &ids).unwrap();
        self.gone(&ids);
        vec![folder]
    }

    pub(crate) fn purge(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "purge";
        let hidden: Vec<MessageId> = self
            .model
            .in_folder(folder)
            .filter(|(_, one)| one.hidden)
            .map(|(id, _)| id)
            .collect();
        assert_eq!(self.store().purge(folder, FileTime(0)).unwrap(), 0);
        let later = FileTime(FileTime::now().0 + 10_000_000);
        assert_eq!(self.store().purge(folder, later).unwrap(), hidden.len());
        self.gone(&hidden);
        vec![folder]
    }

    pub(crate) fn expunge(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "expunge";
        let ids = self.some_messages(folder, ModelMessage::is_normal);
        let uids = self.uids(&ids);
        self.store().expunge(folder, &uids, true).unwrap();
        let deleted = |id: &MessageId| self.model.messages[id].flags.contains(Flags::DELETED);
        let ids: Vec<MessageId> = ids.into_iter().filter(deleted).collect();
        self.gone(&ids);
        vec![folder]
    }

    /// Much happens in one transaction, tables are read in it, and none of it counts.
    pub(crate) fn fail(&mut self, folder: FolderId) -> Vec<FolderId> {
        self.done = "roll back";
        let ids = self.some_messages(folder, |_| true);
        let content = self.dice.content(1);
        let (source, _) = self.dice.source();
        let mut tables = std::mem::take(&mut self.sessions[self.turn].tables);
        let result = self.store().transaction(|store| {
            let prepared = PreparedMessage::new(Bytes::from(source), Some(3));
            store.store_message(folder, &prepared, &Placement::default())?;
            store.delete_messages(folder, &ids)?;
            let draft = MessageDraft {
                content,
                ..MessageDraft::default()
            };
            store.save_message(folder, &draft)?;
            store.create_folder(folder, "Never", None)?;
            for open in &mut tables {
                open.table.query_rows(store, 3, true, false)?;
            }
            Err::<(), _>(StoreError::NotAllowed("on purpose"))
        });
        assert!(
            matches!(result, Err(StoreError::NotAllowed("on purpose"))),
            "{result:?}"
        );
        self.sessions[self.turn].tables = tables;
        if self.dice.one_in(2) {
            // What comes next gets the same numbers.
            return self.save(folder);
        }
        vec![folder]
    }

    pub(crate) fn gone(&mut self, ids: &[MessageId]) {
        for id in ids {
            let message = self.model.messages.remove(id).unwrap();
            self.model.left.push((message.folder, *id, NEW));
        }
    }

    pub(crate) fn take_uid(&mut self, folder: FolderId) -> u32 {
        let folder = self.model.folders.get_mut(&folder).unwrap();
        folder.uid_next += 1;
        folder.uid_next - 1
    }

    fn uids(&self, ids: &[MessageId]) -> UidSet {
        let mut uids = UidSet::default();
        for id in ids {
            uids.insert(Uid(self.model.messages[id].uid));
        }
        uids
    }

    /// As [`Self::as_shown`], with the recipients' names that saving adds.
    pub(crate) fn as_saved(&mut self, content: &MessageContent) -> MessageContent {
        let mut content = self.as_shown(content);
        for (kind, tag) in [
            (1, tags::DISPLAY_TO),
            (2, tags::DISPLAY_CC),
            (3, tags::DISPLAY_BCC),
        ] {
            let mut names = Vec::new();
            for row in &content.recipients {
                if row.get(tags::RECIPIENT_TYPE) == Some(&PropValue::Integer32(kind)) {
                    names.push(row.string(tags::EMAIL_ADDRESS).unwrap().to_owned());
                }
            }
            if !names.is_empty() {
                content.properties.set(tag, PropValue::String(names.join("; ")));
            }
        }
        content
    }

    /// How a message that was saved is shown: names have ids, and what the store computes is apart.
    fn as_shown(&mut self, content: &MessageContent) -> MessageContent {
        let mut content = content.clone();
        resolve(&mut content, self.mailbox.as_mut().unwrap(), &mut self.model);
        let bag = &mut content.properties;
        for tag in COMPUTED.into_iter().chain([tags::TRANSPORT_MESSAGE_HEADERS]) {
            bag.remove(tag);
        }
        let importance = match bag.get(tags::IMPORTANCE) {
            Some(PropValue::Integer32(level @ (0 | 2))) => *level,
            _ => 1,
        };
        bag.set(tags::IMPORTANCE, PropValue::Integer32(importance));
        if bag.get(tags::MESSAGE_CLASS).is_none() {
            bag.set(tags::MESSAGE_CLASS, PropValue::String("IPM.Note".to_owned()));
        }
        if let (None, Some(subject)) = (bag.get(tags::SUBJECT), bag.string(tags::NORMALIZED_SUBJECT)) {
            let whole = format!(
                "{}{subject}",
                bag.string(tags::SUBJECT_PREFIX).unwrap_or_default()
            );
            bag.set(tags::SUBJECT, PropValue::String(whole));
        }
        content
    }
}

/// Puts named properties, those of embedded messages too, under the ids that the store gave the names: each
/// name its own, for ever.
fn resolve(content: &mut MessageContent, store: &mut Mailbox, model: &mut Model) {
    for (name, value) in content.named.drain(..) {
        let id = store
            .named_property_id(&name, false)
            .unwrap()
            .expect("the name has an id");
        let known = *model.names.entry(name.clone()).or_insert(id);
        assert_eq!(id, known);
        assert_eq!(store.named_property_name(id).unwrap(), Some(name));
        content.properties.set(PropTag::new(id, value.kind()), value);
    }
    for attachment in &mut content.attachments {
        if let AttachmentData::Embedded(inner) = &mut attachment.data {
            resolve(inner, store, model);
        }
    }
}

/// Those of `PidTagMessageFlags` that a client said and the store keeps.
fn said_flags(content: &MessageContent) -> Option<i32> {
    match content.properties.get(tags::MESSAGE_FLAGS) {
        Some(PropValue::Integer32(flags)) => Some(flags & 0xa3a4),
        _ => None,
    }
}

impl ModelMessage {
    fn set_flags(&mut self, action: FlagAction, flags: Flags, keywords: &[String]) {
        let old = (self.flags, self.keywords.clone());
        match action {
            FlagAction::Replace => {
                (self.flags, self.keywords) = (flags, keywords.iter().cloned().collect());
            }
            FlagAction::Add => {
                self.flags |= flags;
                self.keywords.extend(keywords.iter().cloned());
            }
            FlagAction::Remove => {
                self.flags -= flags;
                self.keywords.retain(|keyword| !keywords.contains(keyword));
            }
        }
        if old == (self.flags, self.keywords.clone()) {
            return;
        }
        self.ever_read |= self.flags.contains(Flags::SEEN);
        self.change = NEW;
        if (self.flags ^ old.0).contains(Flags::SEEN) {
            self.read_change = NEW;
        }
        // The read state alone is no new version.
        if self.flags ^ old.0 != Flags::SEEN || self.keywords != old.1 {
            self.version = NEW;
        }
    }
}
