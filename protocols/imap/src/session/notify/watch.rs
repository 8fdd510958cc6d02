//! How a store's mailboxes look, and what is told of the difference between two looks (RFC 5465 §5).

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use ringpost_mapi::{ChangeNumber, FolderId, rights::Rights};
use ringpost_store::{Mailbox, SpecialUse, StoreError};

use super::super::{folders, list, place::Place, special_use};
use crate::{
    encode::{self, put},
    syntax::notify::{Events, Group, Mailboxes},
};

/// The mailboxes of a store that the client may list.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) folders: BTreeMap<FolderId, Known>,
    /// The annotations of the server, in one's own store.
    server: Annotations,
}

/// Names of annotations and what tells whether the values changed.
type Annotations = BTreeMap<String, u64>;

/// What is known of a mailbox.
#[derive(Clone, PartialEq)]
pub(super) struct Known {
    /// The whole name.
    pub(super) name: String,
    parent: Option<FolderId>,
    /// The last level of the name.
    level: String,
    has_children: bool,
    subscribed: bool,
    uses: Vec<SpecialUse>,
    /// Events take the right to read, too.
    readable: bool,
    messages: u32,
    unread: u32,
    uid_next: u32,
    uid_validity: u32,
    highest_change: ChangeNumber,
    /// Of the folder itself: its annotations are as known while it is the same.
    change: ChangeNumber,
    annotations: Annotations,
}

/// Looks at a store. With `user`, whose private annotations count, at annotations as well.
pub(super) fn look(
    mailbox: &mut Mailbox,
    place: &Place,
    user: Option<&String>,
    before: &Snapshot,
) -> Result<Snapshot, StoreError> {
    let listed = if place.visitor.is_none() {
        folders::all(mailbox)?
    } else {
        list::visible(mailbox, place)?
    };
    let mut snapshot = Snapshot::default();
    for entry in listed {
        let folder = entry.folder;
        let annotations = match (user, before.folders.get(&folder.id)) {
            (None, _) => Annotations::new(),
            (_, Some(known)) if known.change == folder.change => known.annotations.clone(),
            (Some(user), _) => annotations(mailbox, Some(folder.id), user)?,
        };
        snapshot.folders.insert(
            folder.id,
            Known {
                name: entry.name,
                parent: folder.parent,
                level: folder.name,
                has_children: entry.has_children,
                subscribed: folder.subscribed,
                uses: entry.uses,
                readable: entry.rights.contains(Rights::READ_ANY),
                messages: folder.messages,
                unread: folder.unread,
                uid_next: folder.uid_next,
                uid_validity: folder.uid_validity,
                highest_change: folder.highest_change,
                change: folder.change,
                annotations,
            },
        );
        mailbox.breathe();
    }
    if let Some(user) = user.filter(|_| place.visitor.is_none()) {
        snapshot.server = annotations(mailbox, None, user)?;
    }
    Ok(snapshot)
}

fn annotations(
    mailbox: &mut Mailbox,
    folder: Option<FolderId>,
    user: &str,
) -> Result<Annotations, StoreError> {
    let all = mailbox.annotations(folder)?;
    let mine = all
        .into_iter()
        .filter(|known| known.owner.is_empty() || known.owner == user);
    let hashers = BuildHasherDefault::<DefaultHasher>::default();
    Ok(mine
        .map(|known| (known.name, hashers.hash_one(&known.value)))
        .collect())
}

/// A name as LIST shows it: INBOX is the same in any case, and a `/` at the end means nothing.
pub(super) fn canonical(name: &str) -> String {
    let name = name.strip_suffix('/').unwrap_or(name);
    match (name.get(..5), name.get(5..)) {
        (Some(inbox), Some(rest))
            if inbox.eq_ignore_ascii_case("INBOX") && (rest.is_empty() || rest.starts_with('/')) =>
        {
            format!("INBOX{rest}")
        }
        _ => name.to_owned(),
    }
}

/// Whether mailboxes of a group have this one among them.
pub(super) fn covers(mailboxes: &Mailboxes, name: &str, personal: bool, subscribed: bool) -> bool {
    match mailboxes {
        Mailboxes::Personal => personal,
        Mailboxes::Subscribed => subscribed,
        Mailboxes::Named(names) => names.iter().any(|wanted| canonical(wanted) == name),
        Mailboxes::Subtree(names) => names.iter().any(|wanted| {
            let below = name.strip_prefix(canonical(wanted).as_str());
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        }),
    }
}

/// Tells of a store's mailboxes what the client wants to hear.
pub(super) struct Teller<'n> {
    pub(super) groups: &'n [Group],
    /// Names that are subscribed to beside the folders that say so themselves.
    pub(super) names: &'n [String],
    /// Mailboxes that the client changed itself.
    pub(super) own: &'n [String],
    /// The store is one's own.
    pub(super) personal: bool,
    /// Each reader has a `\Seen` of his own there, which no counter knows.
    pub(super) public: bool,
    /// The selected mailbox, of whose messages others tell.
    pub(super) selected: Option<FolderId>,
    pub(super) utf8: bool,
    pub(super) condstore: bool,
}

impl Teller<'_> {
    /// What the client wants to hear of a mailbox.
    fn events(&self, known: &Known) -> Events {
        let subscribed = known.subscribed || self.names.contains(&known.name);
        self.groups
            .iter()
            .filter(|group| covers(&group.mailboxes, &known.name, self.personal, subscribed))
            .fold(Events::default(), |events, group| events.and(group.events))
    }

    /// Tells how the mailboxes are to begin with, and which of them will not be told of.
    pub(super) fn tell_state(&self, now: &Snapshot, status: bool, out: &mut Vec<u8>) {
        for (id, known) in &now.folders {
            let events = self.events(known);
            if events == Events::default() {
                continue;
            }
            if !known.readable {
                self.no_access(known, out);
            } else if status && events.has(Events::MESSAGES) && self.selected != Some(*id) {
                let mut items = vec![
                    format!("MESSAGES {}", known.messages),
                    format!("UIDNEXT {}", known.uid_next),
                    format!("UIDVALIDITY {}", known.uid_validity),
                ];
                if events.has(Events::FLAGS) || self.condstore {
                    items.push(mod_seq(known));
                }
                self.status(known, &items, out);
            }
        }
    }

    /// Tells what became of the mailboxes.
    pub(super) fn tell_changes(&self, before: &Snapshot, now: &Snapshot, out: &mut Vec<u8>) {
        for (id, old) in &before.folders {
            if !now.folders.contains_key(id)
                && self.events(old).has(Events::NAME)
                && !self.own.contains(&old.name)
            {
                out.extend_from_slice(b"* LIST (\\NonExistent) \"/\" ");
                encode::mailbox(out, &old.name, self.utf8);
                out.extend_from_slice(b"\r\n");
            }
        }
        for (id, known) in &now.folders {
            let old = before.folders.get(id);
            if old == Some(known) {
                continue;
            }
            self.list_changes(old, known, out);
            if let Some(old) = old.filter(|old| old.readable && known.readable) {
                if self.selected != Some(*id) {
                    self.message_changes(old, known, out);
                }
                if self.events(known).has(Events::METADATA) && !self.own.contains(&known.name) {
                    self.metadata(&known.name, &old.annotations, &known.annotations, out);
                }
            }
        }
        let of_server = self
            .groups
            .iter()
            .any(|group| group.events.has(Events::SERVER_METADATA));
        if of_server && !self.own.iter().any(String::is_empty) {
            self.metadata("", &before.server, &now.server, out);
        }
    }

    /// MailboxName and SubscriptionChange.
    fn list_changes(&self, old: Option<&Known>, known: &Known, out: &mut Vec<u8>) {
        let events = self.events(known);
        let Some(old) = old else {
            if events.has(Events::NAME) && !self.own.contains(&known.name) {
                self.list(known, None, out);
            }
            return;
        };
        let is_own = self.own.contains(&known.name) || self.own.contains(&old.name);
        // Mailboxes below one that was renamed are not told of (§5.4).
        let renamed = (old.parent, &old.level) != (known.parent, &known.level);
        let own_child = self.own.iter().any(|name| is_child(name, &known.name));
        let child = old.has_children != known.has_children && !own_child;
        if renamed && (events.has(Events::NAME) || self.events(old).has(Events::NAME)) && !is_own {
            self.list(known, Some(&old.name), out);
        } else if (child && events.has(Events::NAME)
            || old.subscribed != known.subscribed
                && (events.has(Events::SUBSCRIPTION) || self.events(old).has(Events::SUBSCRIPTION)))
            && !is_own
        {
            self.list(known, None, out);
        }
        if events != Events::default() && old.readable != known.readable {
            if known.readable {
                self.list(known, None, out);
            } else {
                self.no_access(known, out);
            }
        }
    }

    /// MessageNew, MessageExpunge and FlagChange of a mailbox that is not selected.
    fn message_changes(&self, old: &Known, known: &Known, out: &mut Vec<u8>) {
        let events = self.events(known);
        let unseen = !self.public && old.unread != known.unread;
        let mut items = Vec::new();
        if events.has(Events::MESSAGES)
            && (old.messages, old.uid_next, old.uid_validity)
                != (known.messages, known.uid_next, known.uid_validity)
        {
            items.push(format!("MESSAGES {}", known.messages));
            items.push(format!("UIDNEXT {}", known.uid_next));
            items.push(format!("UIDVALIDITY {}", known.uid_validity));
        } else if events.has(Events::FLAGS)
            && old.highest_change != known.highest_change
            && (unseen || self.condstore)
        {
            items.push(format!("UIDVALIDITY {}", known.uid_validity));
        } else {
            return;
        }
        if events.has(Events::FLAGS) && unseen {
            items.push(format!("UNSEEN {}", known.unread));
        }
        if self.condstore {
            items.push(mod_seq(known));
        }
        self.status(known, &items, out);
    }

    fn status(&self, known: &Known, items: &[String], out: &mut Vec<u8>) {
        out.extend_from_slice(b"* STATUS ");
        encode::mailbox(out, &known.name, self.utf8);
        put!(out, " ({})\r\n", items.join(" "));
    }

    fn no_access(&self, known: &Known, out: &mut Vec<u8>) {
        out.extend_from_slice(b"* LIST (\\NoAccess) \"/\" ");
        encode::mailbox(out, &known.name, self.utf8);
        out.extend_from_slice(b"\r\n");
    }

    fn list(&self, known: &Known, old_name: Option<&str>, out: &mut Vec<u8>) {
        let mut attributes = vec![if known.has_children {
            "\\HasChildren"
        } else {
            "\\HasNoChildren"
        }];
        if known.subscribed || self.names.contains(&known.name) {
            attributes.push("\\Subscribed");
        }
        attributes.extend(known.uses.iter().copied().map(special_use::attribute));
        put!(out, "* LIST ({}) \"/\" ", attributes.join(" "));
        encode::mailbox(out, &known.name, self.utf8);
        if let Some(old_name) = old_name {
            out.extend_from_slice(b" (\"OLDNAME\" (");
            encode::mailbox(out, old_name, self.utf8);
            out.extend_from_slice(b"))");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// `* METADATA` with the names that changed (RFC 5464 §4.4.2), if any did.
    fn metadata(&self, name: &str, old: &Annotations, now: &Annotations, out: &mut Vec<u8>) {
        let gone = old.keys().filter(|entry| !now.contains_key(*entry));
        let set = now
            .iter()
            .filter(|(entry, value)| old.get(*entry) != Some(value))
            .map(|(entry, _)| entry);
        let changed: Vec<&String> = gone.chain(set).collect();
        if changed.is_empty() {
            return;
        }
        out.extend_from_slice(b"* METADATA ");
        encode::mailbox(out, name, self.utf8);
        for entry in changed {
            out.push(b' ');
            encode::astring(out, entry.as_bytes(), self.utf8);
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn mod_seq(known: &Known) -> String {
    format!("HIGHESTMODSEQ {}", known.highest_change.0.max(1))
}

/// Whether a name is of the level right below `above`.
fn is_child(name: &str, above: &str) -> bool {
    let below = name.strip_prefix(above).and_then(|rest| rest.strip_prefix('/'));
    below.is_some_and(|below| !below.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups() {
        assert_eq!(canonical("inbox/x/"), "INBOX/x");
        assert_eq!(canonical("inboxes"), "inboxes");
        let subtree = Mailboxes::Subtree(vec!["Lists".to_owned(), "inbox".to_owned()]);
        assert!(covers(&subtree, "Lists/a/b", true, false) && covers(&subtree, "INBOX", true, false));
        assert!(!covers(&subtree, "Listserver", true, true));
        let named = Mailboxes::Named(vec!["Lists/*".to_owned()]);
        // No wildcards (§6.6).
        assert!(!covers(&named, "Lists/a", true, true) && covers(&named, "Lists/*", true, true));
        assert!(
            covers(&Mailboxes::Subscribed, "x", false, true)
                && !covers(&Mailboxes::Personal, "x", false, true)
        );
    }
}
