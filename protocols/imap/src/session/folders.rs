//! The folder tree as IMAP shows it: the IPM subtree, with the inbox as `INBOX` and `/` between levels.
//!
//! Shown are mail folders (container class `IPF.Note`, or none) that are not search folders, with all mail
//! folders below them. Calendars, contacts and the like are not mail. A `/` or a control character in a
//! folder's name is shown as another character; [`find`] undoes it.

use std::collections::HashMap;

use ringpost_mapi::{FolderId, rights::Rights};
use ringpost_store::{
    Folder, Mailbox, MailboxKind, SpecialUse, StoreError,
    folder::{built_in, built_in_public},
};

use crate::limits;

/// What stands for a `/` in a folder's own name: DIVISION SLASH.
const SLASH: char = '\u{2215}';

/// A folder and its IMAP name.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) folder: Folder,
    /// Whether a folder below it is shown.
    pub(super) has_children: bool,
    /// What it is for (RFC 6154).
    pub(super) uses: Vec<SpecialUse>,
    /// What may be done in it.
    pub(super) rights: Rights,
}

/// MAILBOXID (RFC 8474).
pub(super) fn object_id(folder: FolderId) -> String {
    format!("F{folder}")
}

/// The folder whose subfolders are IMAP's top level.
pub(super) fn top(mailbox: &Mailbox) -> FolderId {
    match mailbox.kind() {
        MailboxKind::Private => built_in::IPM_SUBTREE,
        MailboxKind::Public => built_in_public::IPM_SUBTREE,
    }
}

fn is_shown(folder: &Folder) -> bool {
    let class = folder.container_class.as_bytes();
    let mail = class.is_empty()
        || class
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"IPF.Note"));
    mail && !folder.is_search && folder.id != built_in::SYNC_ISSUES
}

/// A folder's name as one level of an IMAP name.
fn level(folder: &Folder) -> String {
    if folder.id == built_in::INBOX {
        return "INBOX".to_owned();
    }
    let shown = |c: char| match c {
        '/' => SLASH,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    folder.name.chars().map(shown).collect()
}

/// All folders shown, parents before children, the inbox first.
pub(super) fn all(mailbox: &mut Mailbox) -> Result<Vec<Listed>, StoreError> {
    let mut names: HashMap<FolderId, usize> = HashMap::new();
    let mut listed: Vec<Listed> = Vec::new();
    let top = top(mailbox);
    let declared = mailbox.special_uses()?;
    for folder in mailbox.folders(top)? {
        let Some(parent) = folder.parent else { continue };
        let above = names.get(&parent).copied();
        if !is_shown(&folder) || above.is_none() && parent != top {
            continue;
        }
        let mut name = level(&folder);
        if let Some(above) = above {
            listed[above].has_children = true;
            name = format!("{}/{name}", listed[above].name);
        }
        names.insert(folder.id, listed.len());
        let uses = uses_among(&declared, &folder);
        listed.push(Listed {
            name,
            folder,
            has_children: false,
            uses,
            rights: Rights::all(),
        });
    }
    listed.sort_by_key(|entry| !(entry.name == "INBOX" || entry.name.starts_with("INBOX/")));
    Ok(listed)
}

/// What a folder is for.
pub(super) fn uses(mailbox: &mut Mailbox, folder: FolderId) -> Result<Vec<SpecialUse>, StoreError> {
    let (declared, folder) = (mailbox.special_uses()?, mailbox.folder(folder)?);
    Ok(uses_among(&declared, &folder))
}

fn uses_among(declared: &[(FolderId, Vec<SpecialUse>)], folder: &Folder) -> Vec<SpecialUse> {
    let declared = declared.iter().find(|(id, _)| *id == folder.id);
    let mut uses = declared.map_or_else(Vec::new, |(_, uses)| uses.clone());
    if let Some(special) = folder.special_use.filter(|special| !uses.contains(special)) {
        uses.push(special);
    }
    uses
}

/// The IMAP name of a folder.
pub(super) fn path(mailbox: &mut Mailbox, folder: &Folder) -> Result<String, StoreError> {
    let mut name = level(folder);
    let mut parent = folder.parent;
    let top = top(mailbox);
    for _ in 0..limits::MAILBOX_DEPTH {
        let Some(id) = parent.filter(|&id| id != top && id != built_in::ROOT) else {
            break;
        };
        let above = mailbox.folder(id)?;
        name = format!("{}/{name}", level(&above));
        parent = above.parent;
    }
    Ok(name)
}

/// The levels of a name; `None` when it can't be a mailbox's.
pub(super) fn levels(name: &str) -> Option<Vec<&str>> {
    // RFC 9051 §6.3.4: a trailing delimiter declares the intent to create names below.
    let name = name.strip_suffix('/').unwrap_or(name);
    let levels: Vec<&str> = name.split('/').collect();
    (levels.len() <= limits::MAILBOX_DEPTH && levels.iter().all(|level| !level.is_empty())).then_some(levels)
}

/// The folder of an IMAP name.
pub(super) fn find(mailbox: &mut Mailbox, name: &str) -> Result<Option<Folder>, StoreError> {
    let Some(levels) = levels(name) else {
        return Ok(None);
    };
    let mut found: Option<Folder> = None;
    for name in levels {
        let parent = found.as_ref().map(|folder| folder.id);
        found = child(mailbox, parent, name)?;
        if found.is_none() {
            return Ok(None);
        }
    }
    Ok(found)
}

/// The folder shown with this name below `parent`, or at the top.
pub(super) fn child(
    mailbox: &mut Mailbox,
    parent: Option<FolderId>,
    name: &str,
) -> Result<Option<Folder>, StoreError> {
    if parent.is_none() && mailbox.kind() == MailboxKind::Private && name.eq_ignore_ascii_case("INBOX") {
        return mailbox.folder(built_in::INBOX).map(Some);
    }
    let parent = parent.unwrap_or(top(mailbox));
    let candidate = mailbox.subfolder(parent, name)?;
    let fits = |folder: &Folder| folder.id != built_in::INBOX && is_shown(folder);
    if candidate.is_some() || !name.contains([SLASH, char::REPLACEMENT_CHARACTER]) {
        return Ok(candidate.filter(fits));
    }
    let below = mailbox.folders(parent)?;
    Ok(below
        .into_iter()
        .find(|folder| folder.parent == Some(parent) && fits(folder) && level(folder) == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_names() {
        assert_eq!(levels("a/b").unwrap(), ["a", "b"]);
        assert_eq!(levels("a/").unwrap(), ["a"]);
        for bad in ["", "/", "a//b", "/a", "a//"] {
            assert!(levels(bad).is_none(), "{bad}");
        }
        assert!(levels(&vec!["x"; limits::MAILBOX_DEPTH].join("/")).is_some());
        assert!(levels(&vec!["x"; limits::MAILBOX_DEPTH + 1].join("/")).is_none());
    }
}
