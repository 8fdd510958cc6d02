//! Messages that come into a folder: as its owner's, or as a visitor's who may not set all flags (RFC 4314 §4).

use ringpost_mapi::{FolderId, Uid, rights::Rights};
use ringpost_store::{FlagAction, Flags, Mailbox, Placement, PreparedMessage, StoreError, Stored, UidSet};

use super::place::Place;

/// Stores a message, with those of its flags that may be set there.
pub(super) fn store(
    mailbox: &mut Mailbox,
    place: &Place,
    folder: FolderId,
    message: &PreparedMessage,
    placement: &Placement,
) -> Result<Stored, StoreError> {
    if place.visitor.is_none() {
        return mailbox.store_message(folder, message, placement);
    }
    let rights = place.rights(mailbox, folder)?;
    let (mut placement, reader) = (placement.clone(), place.reader(mailbox));
    placement.flags -= refused(rights, reader.is_some());
    if !rights.contains(Rights::EDIT_ANY) {
        placement.keywords.clear();
    }
    let seen = placement.flags.contains(Flags::SEEN);
    if reader.is_some() {
        placement.flags -= Flags::SEEN;
    }
    let stored = mailbox.store_message(folder, message, &placement)?;
    if let Some(reader) = reader.filter(|_| seen) {
        mailbox.set_read(folder, &[stored.message], true, &reader)?;
    }
    Ok(stored)
}

/// Runs `work`, which puts messages into a folder (pairs of UIDs, old and new), and takes from them the flags that
/// may not be set there.
pub(super) fn transfer(
    mailbox: &mut Mailbox,
    place: &Place,
    to: FolderId,
    work: impl FnOnce(&mut Mailbox) -> Result<Vec<(Uid, Uid)>, StoreError>,
) -> Result<Vec<(Uid, Uid)>, StoreError> {
    if place.visitor.is_none() {
        return work(mailbox);
    }
    mailbox.transaction(|mailbox| {
        let pairs = work(mailbox)?;
        let rights = place.rights(mailbox, to)?;
        let flags = refused(rights, place.is_public());
        let keywords = if rights.contains(Rights::EDIT_ANY) {
            Vec::new()
        } else {
            mailbox.keywords()?
        };
        if !(pairs.is_empty() || flags.is_empty() && keywords.is_empty()) {
            let mut new = UidSet::default();
            for &(_, uid) in &pairs {
                new.insert(uid);
            }
            mailbox.change_flags(to, &new, FlagAction::Remove, flags, &keywords, None)?;
        }
        Ok(pairs)
    })
}

/// Flags that may not be set.
fn refused(rights: Rights, own_seen: bool) -> Flags {
    let mut refused = Flags::empty();
    if !rights.contains(Rights::EDIT_ANY) {
        refused = Flags::all() - Flags::DELETED;
        if own_seen {
            refused -= Flags::SEEN;
        }
    }
    if !rights.contains(Rights::DELETE_ANY) {
        refused |= Flags::DELETED;
    }
    refused
}
