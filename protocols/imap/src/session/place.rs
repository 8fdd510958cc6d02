//! Whose mailbox a name is in: one's own, another user's, the domain's public folders (RFC 2342).
//!
//! ```text
//! INBOX, Projects/Storage               one's own
//! Other Users/<address>/<folder>        shared by its owner, as far as the folder's permissions go
//! Public Folders/<domain>/<folder>      the public store of one's own domain
//! ```
//!
//! Rights are asked of the folder's permission table (MS-OXCPERM) in the step that uses them: a folder that
//! its visitor may not see does not exist for him. In a public store `\Seen` is each reader's own.

use std::{ops::ControlFlow, sync::Arc};

use ringpost_directory::{AccountKind, Directory};
use ringpost_host::{Connection, Host, MailboxRef};
use ringpost_mapi::{FolderId, rights::Rights};
use ringpost_store::{Flags, Folder, Mailbox, MailboxKind, Member, MessageRow, StoreError, UidSet};

use super::{
    Session, folders,
    reply::{Failure, Reply},
    uid_list::take_first,
};
use crate::limits;

/// Where other users' mailboxes are.
pub(super) const OTHER_USERS: &str = "Other Users/";
/// Where public stores are.
pub(super) const PUBLIC_FOLDERS: &str = "Public Folders/";
/// Why a step was refused.
pub(super) const NO_PERMISSION: &str = "the folder's permissions do not allow it";
/// How deep groups within groups are looked through for a member.
const GROUP_DEPTH: usize = 4;

/// Somebody in a mailbox that is not his own.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) user: Arc<str>,
    directory: Arc<dyn Directory>,
}

/// A name's mailbox, and the name in it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) mailbox: MailboxRef,
    /// The account whose mailbox it is; empty for a domain's public store.
    owner: Arc<str>,
    /// What precedes the mailbox's own names: empty, or with a `/` at its end.
    pub(super) prefix: String,
    pub(super) name: String,
    /// `None` in one's own mailbox.
    pub(super) visitor: Option<Visitor>,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// The mailbox of a name. Another's mailbox itself, without a folder, is not a mailbox of IMAP.
    pub(super) fn place(&self, name: &str) -> Result<Place, Failure> {
        let unknown = || Failure::from(Reply::no("NONEXISTENT", "no such mailbox"));
        let (space, rest) = match (name.strip_prefix(OTHER_USERS), name.strip_prefix(PUBLIC_FOLDERS)) {
            (Some(rest), _) => (OTHER_USERS, rest),
            (_, Some(rest)) => (PUBLIC_FOLDERS, rest),
            _ => return Ok(self.own_place(name)),
        };
        let (owner, folder) = rest.split_once('/').ok_or_else(unknown)?;
        let mut place = self.visited(space, owner).ok_or_else(unknown)?;
        folder.clone_into(&mut place.name);
        Ok(place)
    }

    /// One's own mailbox.
    pub(super) fn own_place(&self, name: &str) -> Place {
        Place {
            mailbox: self.mailbox.clone(),
            owner: self.user.clone(),
            prefix: String::new(),
            name: name.to_owned(),
            visitor: None,
        }
    }

    /// The mailbox of a user or domain in one of the shared namespaces.
    fn visited(&self, space: &str, owner: &str) -> Option<Place> {
        let directory = self.host.directory();
        let (mailbox, account) = if space == OTHER_USERS {
            let account = directory.account(owner)?;
            let mailbox = account
                .mailbox
                .clone()
                .filter(|_| account.kind != AccountKind::PublicStore)?;
            (mailbox, account.username.as_str().into())
        } else {
            // Public folders are a domain's own.
            let (_, domain) = self.user.rsplit_once('@')?;
            let found = directory
                .domain(owner)
                .filter(|found| found.name.eq_ignore_ascii_case(domain))?;
            (found.public_store.clone()?, Arc::default())
        };
        Some(Place {
            mailbox: MailboxRef {
                guid: mailbox.guid,
                path: mailbox.path,
            },
            owner: account,
            prefix: format!("{space}{owner}/"),
            name: String::new(),
            visitor: Some(Visitor {
                user: self.user.clone(),
                directory,
            }),
        })
    }

    /// The mailbox of a quota root that is not one's own.
    pub(super) fn place_of_root(&self, root: &str) -> Option<Place> {
        let space = if root.contains('@') {
            OTHER_USERS
        } else {
            PUBLIC_FOLDERS
        };
        self.visited(space, root)
    }

    /// How much a mailbox may hold by the directory, in KiB.
    pub(super) fn quota_kib(&self, place: &Place) -> Option<u64> {
        let directory = self.host.directory();
        let account = directory.account(&place.owner)?;
        directory.quota(&account).receive_kib.map(u64::from)
    }

    /// The mailboxes of the shared namespaces that a pattern reaches. `*` alone does not (RFC 9051 §6.3.9
    /// allows it): a client asks for a namespace by its prefix, so that listing one's own folders opens no
    /// other mailbox.
    pub(super) fn visited_by(&self, pattern: &str) -> Vec<Place> {
        for space in [OTHER_USERS, PUBLIC_FOLDERS] {
            let Some(rest) = pattern.strip_prefix(space) else {
                continue;
            };
            let owner = rest.split('/').next().unwrap_or_default();
            if !owner.contains(['*', '%']) {
                return self.visited(space, owner).into_iter().collect();
            }
            let (_, domain) = self.user.rsplit_once('@').unwrap_or_default();
            if space == PUBLIC_FOLDERS {
                return self.visited(space, domain).into_iter().collect();
            }
            return self
                .host
                .directory()
                .mailboxes()
                .iter()
                .filter(|account| account.domain == domain && *account.username != *self.user)
                .take(limits::LISTED_USERS)
                .filter_map(|account| self.visited(space, &account.username))
                .collect();
        }
        Vec::new()
    }
}

impl Visitor {
    /// What he may do in a folder: by his own entry, those of groups he is in, or the default.
    pub(super) fn rights(&self, mailbox: &mut Mailbox, folder: FolderId) -> Result<Rights, StoreError> {
        let names: Vec<String> = mailbox
            .permissions(folder)?
            .into_iter()
            .filter_map(|entry| match entry.member {
                Member::Account(name) => Some(name),
                _ => None,
            })
            .filter(|name| self.is_or_belongs_to(name, GROUP_DEPTH))
            .collect();
        mailbox.rights(folder, Some(&names))
    }

    fn is_or_belongs_to(&self, name: &str, depth: usize) -> bool {
        if name.eq_ignore_ascii_case(&self.user) {
            return true;
        }
        depth > 0
            && self.directory.account(name).is_some_and(|account| {
                account.kind == AccountKind::List
                    && self
                        .directory
                        .members(&account)
                        .iter()
                        .any(|member| self.is_or_belongs_to(member, depth - 1))
            })
    }
}

impl Place {
    /// The folder of the name, if it is there and visible. An error if not all of `needed` is allowed.
    pub(super) fn find(&self, mailbox: &mut Mailbox, needed: Rights) -> Result<Option<Folder>, StoreError> {
        let Some(folder) = folders::find(mailbox, &self.name)? else {
            return Ok(None);
        };
        let rights = self.rights(mailbox, folder.id)?;
        // Who may deliver to a folder that he doesn't see gets no other answer than if he saw it (RFC 4314 §4).
        if !is_visible(rights) && (needed.is_empty() || !rights.contains(needed)) {
            return Ok(None);
        }
        require(rights, needed)?;
        Ok(Some(folder))
    }

    /// What may be done in the folder of the name, if it is there.
    pub(super) fn rights_of_name(&self, mailbox: &mut Mailbox) -> Result<Option<Rights>, StoreError> {
        let folder = folders::find(mailbox, &self.name)?;
        folder.map(|folder| self.rights(mailbox, folder.id)).transpose()
    }

    /// The account that has every right in this mailbox; a public store has none.
    pub(super) fn owner(&self) -> Option<&str> {
        Some(&*self.owner).filter(|owner| !owner.is_empty())
    }

    /// Whether it is in a domain's public store.
    pub(super) fn is_public(&self) -> bool {
        self.owner.is_empty()
    }

    /// The name of its quota root.
    pub(super) fn quota_root(&self) -> &str {
        let domain = self.prefix.strip_prefix(PUBLIC_FOLDERS).unwrap_or_default();
        self.owner().unwrap_or(domain.trim_end_matches('/'))
    }

    /// What may be done in a folder.
    pub(super) fn rights(&self, mailbox: &mut Mailbox, folder: FolderId) -> Result<Rights, StoreError> {
        match &self.visitor {
            None => Ok(Rights::all()),
            Some(visitor) => visitor.rights(mailbox, folder),
        }
    }

    /// Whose `\Seen` counts, where it is each reader's own.
    pub(super) fn reader(&self, mailbox: &Mailbox) -> Option<Arc<str>> {
        let visitor = self.visitor.as_ref()?;
        (mailbox.kind() == MailboxKind::Public).then(|| Arc::clone(&visitor.user))
    }
}

/// The part of a reference that names a namespace, empty for one's own.
pub(super) fn root(reference: &str) -> &str {
    [OTHER_USERS, PUBLIC_FOLDERS]
        .into_iter()
        .find(|space| reference.starts_with(space))
        .unwrap_or_default()
}

/// Whether a name is in a shared namespace.
pub(super) fn is_shared(name: &str) -> bool {
    name.starts_with(OTHER_USERS) || name.starts_with(PUBLIC_FOLDERS)
}

/// Whether LIST shows the folder.
pub(super) fn is_visible(rights: Rights) -> bool {
    rights.contains(Rights::FOLDER_VISIBLE)
}

/// An error unless all of `needed` is allowed.
pub(super) fn require(rights: Rights, needed: Rights) -> Result<(), StoreError> {
    if rights.contains(needed) {
        Ok(())
    } else {
        Err(StoreError::NotAllowed(NO_PERMISSION))
    }
}

/// Visits messages as [`Mailbox::visit_messages`] does, with `\Seen` as it is for the reader.
pub(super) fn visit_as(
    mailbox: &mut Mailbox,
    folder: FolderId,
    uids: &UidSet,
    structure: bool,
    reader: Option<&str>,
    visit: &mut dyn FnMut(&MessageRow) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let Some(reader) = reader else {
        return mailbox.visit_messages(folder, uids, structure, visit);
    };
    let mut left = uids.clone();
    while !left.is_empty() {
        let slice = take_first(&mut left, limits::SLICE_ROWS);
        let mut rows = Vec::new();
        mailbox.visit_messages(folder, &slice, structure, &mut |row| {
            rows.push(row.clone());
            ControlFlow::Continue(())
        })?;
        for mut row in rows {
            let read = mailbox.is_read(row.message, reader)?;
            row.flags.set(Flags::SEEN, read);
            if visit(&row).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
