//! Looks at everything that a server shows, and compares it with what may be there.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use ringpost_store::{Mailbox, OpenOptions};

use crate::{
    mail::{
        imap::{self, Imap},
        message,
    },
    oracle::{COPIES, FIRST_FOLDER, FolderKey, FolderPlace, INBOX, Instant, Item, Kept, MailboxRecord, TOP},
    server::{PASSWORD, Place, Server},
};

/// The folder that copies go to.
pub(crate) const COPIES_NAME: &str = "Copies";
/// How the folders that come and go begin: the rest is a number that is never used again.
pub(crate) const FOLDER_PREFIX: &str = "Folder-";

/// A message as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) token: Option<u64>,
    pub(crate) is_whole: bool,
    pub(crate) kept: Kept,
}

/// A mailbox as it was found.
#[derive(Clone, Default, Debug)]
pub(crate) struct View {
    pub(crate) messages: Vec<Found>,
    /// By the number in their names.
    pub(crate) folders: BTreeMap<u32, FolderPath>,
    /// What is no folder of ours and holds messages.
    pub(crate) strange: Vec<String>,
}

/// A folder's name, and the names above it.
type FolderPath = Vec<String>;

/// Reads a user's whole mailbox.
pub(crate) fn look(server: &Server, user: &str) -> Result<View> {
    let mut imap = Imap::login(server.imap, user, PASSWORD).with_context(|| format!("login of {user}"))?;
    let listed = imap.command("LIST \"\" \"*\"")?;
    ensure!(listed.is_ok, "LIST: {}", listed.text);
    let mut view = View::default();
    for response in listed.responses {
        if !response.text.starts_with("* LIST") || response.text.contains("\\Noselect") {
            continue;
        }
        let Some(path) = listed_name(&response.text, &response.literals) else {
            view.strange.push(response.text);
            continue;
        };
        let names: FolderPath = path.split('/').map(str::to_owned).collect();
        let key = match (names.len(), names[0].as_str()) {
            (1, name) if name.eq_ignore_ascii_case("INBOX") => Some(INBOX),
            (1, COPIES_NAME) => Some(COPIES),
            _ => names.last().and_then(|name| folder_number(name)),
        };
        let count = read_folder(&mut imap, &path, key.unwrap_or(TOP), &mut view)?;
        match key {
            Some(key) => {
                let is_second = key >= FIRST_FOLDER && view.folders.insert(key, names).is_some();
                if is_second {
                    view.strange.push(format!("folder {key} is there twice"));
                }
            }
            None if count > 0 => view.strange.push(format!("{count} messages in {path}")),
            None => {}
        }
    }
    Ok(view)
}

/// A folder's number. Its name changes, the number stays: `Folder-12-3` is folder 12, renamed three times.
fn folder_number(name: &str) -> Option<FolderKey> {
    let rest = name.strip_prefix(FOLDER_PREFIX)?;
    rest.split('-').next()?.parse().ok()
}

fn listed_name(text: &str, literals: &[Vec<u8>]) -> Option<String> {
    if let Some(literal) = literals.first() {
        return Some(String::from_utf8_lossy(literal).into_owned());
    }
    let (_, rest) = text.split_once(") ")?;
    let (_, name) = rest.split_once(' ')?;
    Some(name.trim_matches('"').to_owned())
}

fn read_folder(imap: &mut Imap, path: &str, key: FolderKey, view: &mut View) -> Result<usize> {
    let examined = imap.command(&format!("EXAMINE \"{path}\""))?;
    ensure!(examined.is_ok, "EXAMINE {path}: {}", examined.text);
    let fetched = imap.command("UID FETCH 1:* (UID FLAGS BODY.PEEK[])")?;
    ensure!(fetched.is_ok, "FETCH of {path}: {}", fetched.text);
    let mut count = 0;
    for response in fetched.responses {
        let (Some(uid), Some(flags)) = (imap::after(&response.text, "UID "), imap::flags(&response.text))
        else {
            continue;
        };
        let source = response.literals.first().map_or(&[][..], Vec::as_slice);
        let token = message::token(source);
        count += 1;
        view.messages.push(Found {
            token,
            is_whole: token.is_some_and(|token| message::is_whole(source, token)),
            kept: Kept {
                folder: key,
                flags,
                uid: uid.parse().ok(),
            },
        });
    }
    Ok(count)
}

/// What is wrong with a mailbox, after an instant; and what it holds, for the next round.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) wrong: Vec<String>,
    pub(crate) messages: BTreeMap<Item, Kept>,
    pub(crate) folders: BTreeMap<FolderKey, FolderPlace>,
}

/// Compares what was found with what may be there at an instant.
pub(crate) fn compare(view: &View, record: &MailboxRecord, at: Instant) -> Verdict {
    let mut verdict = Verdict {
        wrong: view.strange.clone(),
        ..Verdict::default()
    };
    compare_folders(view, record, at, &mut verdict);
    for found in &view.messages {
        let Some(token) = found.token else {
            verdict
                .wrong
                .push(format!("a message that nobody sent: {:?}", found.kept));
            continue;
        };
        let item = Item {
            token,
            is_copy: found.kept.folder == COPIES,
        };
        if !found.is_whole {
            verdict
                .wrong
                .push(format!("message {token} is damaged: {:?}", found.kept));
        }
        if !record.messages.contains_key(&item) {
            verdict
                .wrong
                .push(format!("{item:?} is there, and was never sent: {:?}", found.kept));
        }
        if let Some(other) = verdict.messages.insert(item, found.kept.clone()) {
            verdict
                .wrong
                .push(format!("{item:?} is there twice: {other:?} and {:?}", found.kept));
        }
    }
    for (item, history) in &record.messages {
        let allowed = history.allowed(at);
        let found = verdict.messages.get(item);
        let fits = allowed.iter().any(|state| match (state, found) {
            (None, None) => true,
            (Some(state), Some(found)) => fits(state, found),
            _ => false,
        });
        if !fits {
            verdict
                .wrong
                .push(format!("{item:?} is {found:?}; it may be one of {allowed:?}"));
        }
    }
    verdict
}

/// Whether a message is found as it is to be; a UID that the server never told may be any.
fn fits(state: &Kept, found: &Kept) -> bool {
    state.folder == found.folder
        && state.flags == found.flags
        && (state.uid.is_none() || state.uid == found.uid)
}

fn compare_folders(view: &View, record: &MailboxRecord, at: Instant, verdict: &mut Verdict) {
    for (key, names) in &view.folders {
        let above = match names.len() {
            1 => TOP,
            length => folder_number(&names[length - 2]).unwrap_or(u32::MAX),
        };
        let name = names.last().cloned().unwrap_or_default();
        verdict.folders.insert(*key, (above, name));
        if !record.folders.contains_key(key) {
            verdict
                .wrong
                .push(format!("a folder that nobody made: {names:?}"));
        }
    }
    for (key, history) in &record.folders {
        let allowed = history.allowed(at);
        let found = verdict.folders.get(key).cloned();
        if !allowed.contains(&found) {
            verdict
                .wrong
                .push(format!("folder {key} is {found:?}; it may be one of {allowed:?}"));
        }
    }
}

/// The integrity walk over every mailbox; nobody else may have them open. Files that a crash left without a
/// row (I11) are no damage, but a repair must remove them.
pub(crate) fn walk(place: &Place) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (user, address) in place.users.iter().enumerate() {
        let problems = walk_mailbox(&place.mailbox(user)).with_context(|| address.clone())?;
        wrong.extend(
            problems
                .into_iter()
                .map(|problem| format!("{address}: {problem}")),
        );
    }
    Ok(wrong)
}

pub(crate) fn walk_mailbox(folder: &Path) -> Result<Vec<String>> {
    let mut mailbox = Mailbox::open(folder, &OpenOptions::default())?;
    let report = mailbox.check(false)?;
    let mut wrong: Vec<String> = report
        .problems
        .iter()
        .filter(|problem| problem.invariant != "I11")
        .map(ToString::to_string)
        .collect();
    if wrong.is_empty() && !report.is_clean() {
        mailbox.check(true)?;
        let again = mailbox.check(false)?;
        wrong.extend(
            again
                .problems
                .iter()
                .map(|problem| format!("after a repair: {problem}")),
        );
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Effect;

    fn kept(folder: FolderKey, uid: u32) -> Kept {
        Kept {
            folder,
            flags: vec!["\\Seen".to_owned()],
            uid: Some(uid),
        }
    }

    fn found(token: u64, folder: FolderKey, uid: u32) -> Found {
        Found {
            token: Some(token),
            is_whole: true,
            kept: kept(folder, uid),
        }
    }

    /// Message 1 in the inbox and folder 10, both acknowledged.
    fn record() -> MailboxRecord {
        let mut record = MailboxRecord::default();
        let item = Item {
            token: 1,
            is_copy: false,
        };
        let made = record.begin(1, vec![(item, Effect::Make(kept(INBOX, 5)))]);
        record.acknowledge(2, &made);
        let made = record.begin_folder(3, 10, Effect::Make((TOP, "Folder-10-0".to_owned())));
        record.acknowledge(4, &made);
        record
    }

    fn view() -> View {
        View {
            messages: vec![found(1, INBOX, 5)],
            folders: BTreeMap::from([(10, vec!["Folder-10-0".to_owned()])]),
            strange: Vec::new(),
        }
    }

    fn wrong(view: &View) -> Vec<String> {
        compare(view, &record(), 10).wrong
    }

    #[test]
    fn what_is_as_it_should_be_is_not_reported() {
        assert_eq!(wrong(&view()), Vec::<String>::new());
    }

    #[test]
    fn everything_that_can_be_wrong_is_reported() {
        let reported = |change: &dyn Fn(&mut View)| {
            let mut view = view();
            change(&mut view);
            wrong(&view).len()
        };
        assert_eq!(reported(&|view| view.messages.clear()), 1, "lost");
        assert!(
            reported(&|view| view.messages.push(found(1, 10, 1))) >= 1,
            "twice"
        );
        assert_eq!(reported(&|view| view.messages[0].is_whole = false), 1, "damaged");
        assert_eq!(reported(&|view| view.messages[0].kept.flags.clear()), 1, "flags");
        assert_eq!(reported(&|view| view.messages[0].kept.uid = Some(6)), 1, "UID");
        assert_eq!(reported(&|view| view.messages[0].kept.folder = 10), 1, "moved");
        assert_eq!(
            reported(&|view| view.messages.push(found(2, INBOX, 6))),
            1,
            "invented"
        );
        assert_eq!(
            reported(&|view| view.messages[0].token = None),
            2,
            "strange, and lost"
        );
        assert_eq!(reported(&|view| view.folders.clear()), 1, "folder lost");
        let renamed = |view: &mut View| {
            view.folders.insert(10, vec!["Folder-10-1".to_owned()]);
        };
        assert_eq!(reported(&renamed), 1, "folder renamed");
        let invented = |view: &mut View| {
            view.folders.insert(11, vec!["Folder-11-0".to_owned()]);
        };
        assert_eq!(reported(&invented), 1, "folder invented");
        assert_eq!(reported(&|view| view.strange.push("x".to_owned())), 1);
    }

    #[test]
    fn before_it_was_acknowledged_it_may_be_missing() {
        let empty = View::default();
        assert_eq!(compare(&empty, &record(), 1).wrong, Vec::<String>::new());
        assert_eq!(compare(&empty, &record(), 2).wrong.len(), 1);
    }
}
