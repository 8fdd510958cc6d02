//! ACL (RFC 4314): the folder's permission table (MS-OXCPERM) in IMAP's letters.
//!
//! ```text
//! l FolderVisible   r ReadAny   w s EditAny   i p Create   k CreateSubFolder   x a FolderOwner   t e DeleteAny
//! ```
//!
//! Letters that share a right are tied: they are granted together when those that matter are asked for, and taken
//! together when any is. In a public store `s` comes with `r`, since everybody has a `\Seen` of his own there. An
//! entry counts instead of `anyone`'s, not beside it, and entries of several groups add up. What IMAP has no letter
//! for (one's own messages, free and busy times, whom to ask) is left as it is by `+` and `-`.

use ringpost_host::{Connection, Host};
use ringpost_mapi::rights::Rights;
use ringpost_store::{Mailbox, Member, StoreError};

use super::{
    Session,
    place::Place,
    reply::{Failure, Reply},
};
use crate::{
    encode::{self, put},
    syntax::acl::{LETTERS, RightsAction, RightsChange},
};

/// Everybody who logged in and has no entry (§2).
const ANYONE: &str = "anyone";
/// Who is not logged in.
const ANONYMOUS: &str = "anonymous";
/// Rights that no letter shows, and that stay when the others are replaced.
const NOT_SHOWN: Rights = Rights::FOLDER_CONTACT
    .union(Rights::FREE_BUSY_SIMPLE)
    .union(Rights::FREE_BUSY_DETAILED);

/// A right and its letters: those that ask for it, all of them, and those that show it and take it away.
struct Tie {
    rights: Rights,
    ask: &'static str,
    show: &'static str,
}

const fn tie(rights: Rights, ask: &'static str, show: &'static str) -> Tie {
    Tie { rights, ask, show }
}

/// Where `\Seen` is the folder's.
const PRIVATE: [Tie; 7] = [
    tie(Rights::FOLDER_VISIBLE, "l", "l"),
    tie(Rights::READ_ANY, "r", "r"),
    tie(Rights::EDIT_ANY.union(Rights::EDIT_OWNED), "w", "sw"),
    tie(Rights::CREATE, "i", "ip"),
    tie(Rights::CREATE_SUBFOLDER, "k", "k"),
    tie(Rights::DELETE_ANY.union(Rights::DELETE_OWNED), "te", "te"),
    tie(Rights::FOLDER_OWNER, "a", "xa"),
];

/// Where `\Seen` is each reader's own.
const PUBLIC: [Tie; 7] = {
    let mut ties = PRIVATE;
    ties[1] = tie(Rights::READ_ANY, "r", "rs");
    ties[2] = tie(Rights::EDIT_ANY.union(Rights::EDIT_OWNED), "w", "w");
    ties
};

fn ties(own_seen: bool) -> &'static [Tie; 7] {
    if own_seen { &PUBLIC } else { &PRIVATE }
}

/// Rights as letters, the obsolete ones at the end (§2.1.1).
pub(super) fn letters(rights: Rights, own_seen: bool) -> String {
    let rights = rights.effective();
    let has = |letter: char| {
        ties(own_seen)
            .iter()
            .any(|tie| tie.show.contains(letter) && rights.contains(tie.rights))
    };
    let mut letters: String = LETTERS.chars().filter(|&letter| has(letter)).collect();
    if has('k') {
        letters.push('c');
    }
    if has('t') {
        letters.push('d');
    }
    letters
}

/// The rights that a change leaves.
fn changed(old: Rights, change: &RightsChange, own_seen: bool) -> Rights {
    let asked = |tie: &&Tie| tie.ask.chars().all(|letter| change.letters.contains(letter));
    let taken = |tie: &&Tie| tie.show.chars().any(|letter| change.letters.contains(letter));
    let all = |rights: Rights, tie: &Tie| rights | tie.rights;
    let ties = ties(own_seen).iter();
    match change.action {
        RightsAction::Replace => ties.filter(asked).fold(old & NOT_SHOWN, all),
        RightsAction::Add => ties.filter(asked).fold(old, all),
        RightsAction::Remove => old - ties.filter(taken).fold(Rights::empty(), all),
    }
}

/// Letters of a change that could not be granted, since those that they are tied to were not asked for.
fn not_granted(rights: Rights, change: &RightsChange, own_seen: bool) -> String {
    let granted = letters(rights, own_seen);
    let missing = |letter: &char| !granted.contains(*letter);
    change.letters.chars().filter(missing).collect()
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// Whom an identifier is about: `anyone`, `anonymous`, or an account or group, without its domain if that is
    /// the user's. An account that is gone can only be taken out of a list.
    fn member(&self, identifier: &str, may_be_gone: bool) -> Result<Member, Failure> {
        if identifier.eq_ignore_ascii_case(ANYONE) {
            return Ok(Member::Default);
        }
        if identifier.eq_ignore_ascii_case(ANONYMOUS) {
            return Ok(Member::Anonymous);
        }
        if identifier.starts_with('-') {
            return Err(Reply::no("CANNOT", "there are no negative rights").into());
        }
        let address = match (identifier.contains('@'), self.user.rsplit_once('@')) {
            (false, Some((_, domain))) => format!("{identifier}@{domain}"),
            _ => identifier.to_owned(),
        };
        match self.host.directory().account(&address) {
            Some(account) => Ok(Member::Account(account.username.clone())),
            None if may_be_gone => Ok(Member::Account(address.to_lowercase())),
            None => Err(Reply::no("CANNOT", "no such account").into()),
        }
    }

    pub(super) async fn set_acl(
        &mut self,
        name: String,
        identifier: String,
        change: RightsChange,
    ) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let member = self.member(&identifier, false)?;
        owners_stay(&place, &member)?;
        let at = place.mailbox.clone();
        let missing = self
            .change_at(&at, move |mailbox| {
                mailbox.transaction(|mailbox| {
                    let folder = place
                        .find(mailbox, Rights::FOLDER_OWNER)?
                        .ok_or(StoreError::NotFound(name))?;
                    let own_seen = place.reader(mailbox).is_some();
                    let entries = mailbox.permissions(folder.id)?;
                    let entry = entries.iter().find(|entry| entry.member == member);
                    let old = entry.map_or(Rights::empty(), |entry| entry.rights);
                    let rights = changed(old, &change, own_seen);
                    if entry.is_none() || rights != old {
                        mailbox.set_permission(folder.id, &member, Some(rights))?;
                    }
                    Ok(if change.action == RightsAction::Remove {
                        String::new()
                    } else {
                        not_granted(rights, &change, own_seen)
                    })
                })
            })
            .await?;
        Ok(Reply::ok(if missing.is_empty() {
            "SETACL completed".to_owned()
        } else {
            format!("SETACL completed, without {missing}: see LISTRIGHTS for what is tied together")
        }))
    }

    pub(super) async fn delete_acl(&mut self, name: String, identifier: String) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let member = self.member(&identifier, true)?;
        owners_stay(&place, &member)?;
        let at = place.mailbox.clone();
        self.change_at(&at, move |mailbox| {
            let folder = place
                .find(mailbox, Rights::FOLDER_OWNER)?
                .ok_or(StoreError::NotFound(name))?;
            let entries = mailbox.permissions(folder.id)?;
            if entries.iter().any(|entry| entry.member == member) {
                mailbox.set_permission(folder.id, &member, None)?;
            }
            Ok(())
        })
        .await?;
        Ok(Reply::ok("DELETEACL completed"))
    }

    pub(super) async fn get_acl(&mut self, name: String) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let (asked, wanted) = (place.clone(), name.clone());
        let (entries, own_seen) = self
            .call_at(&place.mailbox, move |mailbox| {
                let folder = asked
                    .find(mailbox, Rights::FOLDER_OWNER)?
                    .ok_or(StoreError::NotFound(wanted))?;
                Ok((mailbox.permissions(folder.id)?, is_own_seen(mailbox)))
            })
            .await?;
        let utf8 = self.enabled.utf8_names();
        let out = &mut self.out;
        out.extend_from_slice(b"* ACL ");
        encode::mailbox(out, &name, utf8);
        if let Some(owner) = place.owner() {
            out.push(b' ');
            encode::astring(out, owner.as_bytes(), utf8);
            put!(out, " {}", letters(Rights::all(), own_seen));
        }
        for entry in entries {
            out.push(b' ');
            match &entry.member {
                Member::Default => out.extend_from_slice(ANYONE.as_bytes()),
                Member::Anonymous => out.extend_from_slice(ANONYMOUS.as_bytes()),
                Member::Account(address) => encode::astring(out, address.as_bytes(), utf8),
            }
            out.push(b' ');
            encode::astring(out, letters(entry.rights, own_seen).as_bytes(), utf8);
        }
        out.extend_from_slice(b"\r\n");
        Ok(Reply::ok("GETACL completed"))
    }

    pub(super) async fn list_rights(&mut self, name: String, identifier: String) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let member = self.member(&identifier, true)?;
        let (asked, wanted) = (place.clone(), name.clone());
        let own_seen = self
            .call_at(&place.mailbox, move |mailbox| {
                asked
                    .find(mailbox, Rights::FOLDER_OWNER)?
                    .ok_or(StoreError::NotFound(wanted))?;
                Ok(is_own_seen(mailbox))
            })
            .await?;
        let utf8 = self.enabled.utf8_names();
        let out = &mut self.out;
        out.extend_from_slice(b"* LISTRIGHTS ");
        encode::mailbox(out, &name, utf8);
        out.push(b' ');
        encode::astring(out, identifier.as_bytes(), utf8);
        if owners_stay(&place, &member).is_err() {
            put!(out, " {}", letters(Rights::all(), own_seen));
        } else {
            out.extend_from_slice(b" \"\"");
            for tie in ties(own_seen) {
                put!(out, " {}", tie.show);
                match tie.show {
                    "k" => out.extend_from_slice(b" c"),
                    "te" => out.push(b'd'),
                    _ => {}
                }
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(Reply::ok("LISTRIGHTS completed"))
    }

    pub(super) async fn my_rights(&mut self, name: String) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let asked = place.clone();
        let found = self
            .call_at(&place.mailbox, move |mailbox| {
                let rights = asked.rights_of_name(mailbox)?;
                Ok(rights.map(|rights| letters(rights, is_own_seen(mailbox))))
            })
            .await?;
        match found {
            Some(letters) if !letters.is_empty() => {
                self.write_my_rights(&name, &letters);
                Ok(Reply::ok("MYRIGHTS completed"))
            }
            _ => Err(Reply::no("NONEXISTENT", "no such mailbox").into()),
        }
    }

    pub(super) fn write_my_rights(&mut self, name: &str, letters: &str) {
        self.out.extend_from_slice(b"* MYRIGHTS ");
        encode::mailbox(&mut self.out, name, self.enabled.utf8_names());
        put!(self.out, " {letters}\r\n");
    }
}

/// Whether `\Seen` is each reader's own in this mailbox.
pub(super) fn is_own_seen(mailbox: &Mailbox) -> bool {
    mailbox.kind() == ringpost_store::MailboxKind::Public
}

/// An error if the member is the mailbox's owner, who has every right without an entry.
fn owners_stay(place: &Place, member: &Member) -> Result<(), Failure> {
    match (place.owner(), member) {
        (Some(owner), Member::Account(address)) if owner.eq_ignore_ascii_case(address) => {
            Err(Reply::no("CANNOT", "the owner has every right").into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(action: RightsAction, letters: &str) -> RightsChange {
        RightsChange {
            action,
            letters: letters.to_owned(),
        }
    }

    #[test]
    fn roles_as_letters() {
        assert_eq!(letters(Rights::NONE, false), "");
        assert_eq!(letters(Rights::REVIEWER, false), "lr");
        assert_eq!(letters(Rights::REVIEWER, true), "lrs");
        assert_eq!(letters(Rights::CONTRIBUTOR, false), "lip");
        assert_eq!(letters(Rights::AUTHOR, false), "lrip");
        assert_eq!(letters(Rights::EDITOR, false), "lrswipted");
        assert_eq!(letters(Rights::PUBLISHING_EDITOR, false), "lrswipktecd");
        assert_eq!(letters(Rights::OWNER, false), "lrswipkxteacd");
        assert_eq!(letters(Rights::all(), true), "lrswipkxteacd");
    }

    #[test]
    fn letters_as_roles() {
        let set = |letters: &str| changed(Rights::empty(), &change(RightsAction::Replace, letters), false);
        assert_eq!(set("lr"), Rights::REVIEWER);
        // What clients send for "may read".
        assert_eq!(set("lrs"), Rights::REVIEWER);
        assert_eq!(set("lrswipte"), Rights::EDITOR);
        assert_eq!(set("lrswipktexa") | Rights::FOLDER_CONTACT, Rights::OWNER);
        // Never more than was asked for.
        for tied in ["s", "p", "t", "e", "x"] {
            assert_eq!(set(tied), Rights::empty(), "{tied}");
        }
        let public = |letters: &str| changed(Rights::empty(), &change(RightsAction::Replace, letters), true);
        assert_eq!(public("lrs"), Rights::REVIEWER);
        assert_eq!(
            not_granted(set("lrsx"), &change(RightsAction::Replace, "lrsx"), false),
            "sx"
        );
    }

    #[test]
    fn changes_leave_the_rest() {
        let own = Rights::AUTHOR | Rights::FREE_BUSY_SIMPLE;
        let add = changed(own, &change(RightsAction::Add, "k"), false);
        assert_eq!(add, own | Rights::CREATE_SUBFOLDER);
        assert_eq!(changed(add, &change(RightsAction::Remove, "k"), false), own);
        let editor = changed(own, &change(RightsAction::Add, "wte"), false);
        assert!(editor.contains(Rights::EDITOR));
        // Taking a tied letter takes them all.
        for letter in ["s", "w"] {
            let less = changed(Rights::OWNER, &change(RightsAction::Remove, letter), false);
            assert!(
                !less.intersects(Rights::EDIT_ANY | Rights::EDIT_OWNED),
                "{letter}"
            );
        }
        assert_eq!(
            changed(Rights::OWNER, &change(RightsAction::Replace, ""), false),
            Rights::FOLDER_CONTACT
        );
    }
}
