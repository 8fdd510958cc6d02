//! New stores, for accounts and domains.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use ringpost_directory::{DirectoryError, MailboxPlace};
use ringpost_store::{CreateOptions, Mailbox, MailboxKind};

use crate::mkstore::Owner;

/// Bytes of a mailbox folder's name; a longer address is replaced by the mailbox's GUID (NAME_MAX is 255).
const FOLDER_NAME_MAX: usize = 200;

/// A folder for a new store: named after its owner, with what could lead elsewhere replaced.
pub(super) fn new_place(parent: &Path, name: &str) -> anyhow::Result<MailboxPlace> {
    let mut place = MailboxPlace::new(parent.to_owned())?;
    let plain: String = name.chars().map(|c| if c == '/' { '_' } else { c }).collect();
    let usable = plain.len() <= FOLDER_NAME_MAX && !plain.starts_with('.') && !parent.join(&plain).exists();
    place.path = parent.join(if usable { plain } else { place.guid.to_string() });
    Ok(place)
}

/// Makes the store, then the entry; without the entry the store goes again.
pub(super) fn with_new_store(
    place: Option<&MailboxPlace>,
    kind: MailboxKind,
    locale: String,
    entry: impl FnOnce() -> Result<(), DirectoryError>,
) -> anyhow::Result<()> {
    let Some(place) = place else {
        return Ok(entry()?);
    };
    if place.path.exists() {
        bail!("{} exists already", place.path.display());
    }
    let made = make(place, kind, locale).and_then(|()| Ok(entry()?));
    if made.is_err() {
        remove(place);
    }
    made
}

/// Makes a store whose folder does not exist yet. It belongs to whoever owns the folder above: root may run
/// this, and the server is somebody else.
pub(super) fn make(place: &MailboxPlace, kind: MailboxKind, locale: String) -> anyhow::Result<()> {
    let path = &*place.path;
    let what = || format!("the mailbox {}", path.display());
    let owner = Owner::of_future(path).with_context(what)?;
    let options = CreateOptions {
        kind,
        guid: place.guid,
        locale,
    };
    Mailbox::create(path, &options).with_context(what)?;
    owner.adopt().with_context(what)
}

/// Removes a store that was just made. What can't be removed does no harm: it holds nothing.
pub(super) fn remove(place: &MailboxPlace) {
    let _ = fs::remove_dir_all(&place.path);
}

/// Makes a folder that stores are put into, owned like the one above it.
pub(super) fn make_parent(path: &Path) -> anyhow::Result<()> {
    let what = || path.display().to_string();
    let owner = Owner::of_future(path).with_context(what)?;
    if !path.exists() {
        fs::create_dir_all(path).with_context(what)?;
        owner.adopt().with_context(what)?;
        // Its name must be as durable as what will be in it.
        if let Some(above) = path.parent() {
            ringpost_vfs::sync_directory(above).with_context(what)?;
        }
    }
    Ok(())
}
