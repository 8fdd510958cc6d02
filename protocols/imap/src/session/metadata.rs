//! METADATA (RFC 5464): annotations of mailboxes and of the server, shared or one's own.
//!
//! A folder's are kept with the folder, one's own among them under one's address; those of the server are one's own
//! and kept with one's store, since nobody may set the shared ones over IMAP. `/private/specialuse` is what the
//! mailbox is for (RFC 6154 §4). Reading takes the right to read, setting shared ones that to change messages.

use ringpost_host::{CallError, Connection, Host};
use ringpost_mapi::{FolderId, rights::Rights};
use ringpost_store::{Annotation, Mailbox, StoreError};

use super::{
    Session, folders,
    place::{self, Place},
    reply::{Failure, Reply},
    special_use,
};
use crate::{
    encode::{self, put},
    limits,
    syntax::metadata::{Depth, Entry, GetMetadata, SetMetadata},
};

/// The entry that says what a mailbox is for.
const SPECIAL_USE: &str = "/private/specialuse";

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn get_metadata(&mut self, wanted: GetMetadata) -> Result<Reply, Failure> {
        let place = self.annotated(&wanted.mailbox)?;
        let (asked, reader) = (place.clone(), self.user.to_string());
        let annotations = self
            .call_at(&place.mailbox, move |mailbox| {
                let folder = if asked.name.is_empty() {
                    None
                } else {
                    let found = asked.find(mailbox, Rights::READ_ANY)?;
                    Some(found.ok_or_else(|| StoreError::NotFound(asked.name.clone()))?.id)
                };
                let mut annotations = mailbox.annotations(folder)?;
                annotations.retain(|annotation| annotation.owner.is_empty() || annotation.owner == reader);
                if let Some(folder) = folder.filter(|_| asked.visitor.is_none()) {
                    annotations.extend(uses_of(mailbox, folder, &reader)?);
                }
                annotations.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                Ok(annotations)
            })
            .await?;
        let mut told: Vec<(&str, Option<&[u8]>)> = Vec::new();
        let mut longest = None;
        for entry in &wanted.entries {
            let before = told.len();
            for annotation in annotations
                .iter()
                .filter(|known| reaches(entry, known, wanted.depth))
            {
                let size = annotation.value.len() as u64;
                if wanted.max_size.is_some_and(|limit| size > limit) {
                    longest = longest.max(Some(size));
                } else if !told.iter().any(|(name, _)| *name == annotation.name) {
                    told.push((&annotation.name, Some(&annotation.value)));
                }
            }
            let is_there = annotations.iter().any(|known| known.name == entry.name);
            if told.len() == before && !is_there && wanted.depth == Depth::Zero {
                told.push((&entry.name, None));
            }
        }
        if !told.is_empty() {
            let utf8 = self.enabled.utf8_names();
            let out = &mut self.out;
            out.extend_from_slice(b"* METADATA ");
            encode::mailbox(out, &wanted.mailbox, utf8);
            for (index, (name, value)) in told.into_iter().enumerate() {
                out.extend_from_slice(if index == 0 { b" (" } else { b" " });
                encode::astring(out, name.as_bytes(), utf8);
                out.push(b' ');
                match value {
                    // A NUL can be sent in a literal8 only.
                    Some(value) if memchr::memchr(0, value).is_some() => {
                        put!(out, "~{{{}}}\r\n", value.len());
                        out.extend_from_slice(value);
                    }
                    value => encode::nstring(out, value, utf8),
                }
            }
            out.extend_from_slice(b")\r\n");
        }
        Ok(match longest {
            Some(size) => Reply::ok_code(format!("METADATA LONGENTRIES {size}"), "GETMETADATA completed"),
            None => Reply::ok("GETMETADATA completed"),
        })
    }

    pub(super) async fn set_metadata(&mut self, set: SetMetadata) -> Result<Reply, Failure> {
        let place = self.annotated(&set.mailbox)?;
        let of_server = place.name.is_empty();
        let mut values = Vec::with_capacity(set.values.len());
        let mut uses = None;
        for (entry, value) in set.values {
            if value
                .as_ref()
                .is_some_and(|value| value.len() > limits::METADATA_BYTES)
            {
                let code = format!("METADATA MAXSIZE {}", limits::METADATA_BYTES);
                return Err(Reply::no(code, "a value is too long").into());
            }
            if of_server && !entry.private {
                return Err(Reply::no(
                    "NOPERM",
                    "the server's shared annotations are the administrator's",
                )
                .into());
            }
            if entry.name == SPECIAL_USE && !of_server {
                if place.visitor.is_some() {
                    return Err(Reply::no("USEATTR", "only one's own mailboxes can be given a use").into());
                }
                let names = String::from_utf8(value.unwrap_or_default()).unwrap_or_default();
                uses = Some(special_use::parse(
                    &names.split_ascii_whitespace().collect::<Vec<_>>(),
                )?);
                continue;
            }
            let owner = if entry.private {
                self.user.to_string()
            } else {
                String::new()
            };
            values.push((owner, entry.name, value));
        }
        let at = place.mailbox.clone();
        let result = self
            .change_at(&at, move |mailbox| {
                if of_server {
                    return mailbox.set_annotations(None, &values).map(drop);
                }
                mailbox.transaction(|mailbox| {
                    let folder = place
                        .find(mailbox, Rights::READ_ANY)?
                        .ok_or_else(|| StoreError::NotFound(place.name.clone()))?;
                    if values.iter().any(|(owner, ..)| owner.is_empty()) {
                        place::require(place.rights(mailbox, folder.id)?, Rights::EDIT_ANY)?;
                    }
                    if let Some(uses) = &uses {
                        let built_in = folder.special_use.as_slice();
                        if !built_in.iter().all(|special| uses.contains(special)) {
                            return Err(StoreError::NotAllowed(
                                "what a built-in mailbox is for does not change",
                            ));
                        }
                        let declared: Vec<_> = uses
                            .iter()
                            .copied()
                            .filter(|special| !built_in.contains(special))
                            .collect();
                        mailbox.set_special_uses(folder.id, &declared)?;
                    }
                    mailbox.set_annotations(Some(folder.id), &values).map(drop)
                })
            })
            .await;
        match result {
            Err(CallError::Store(StoreError::LimitExceeded(_))) => {
                Err(Reply::no("METADATA TOOMANY", "there is no room for more annotations").into())
            }
            result => {
                result?;
                Ok(Reply::ok("SETMETADATA completed"))
            }
        }
    }

    /// Where the annotations of a mailbox are, or of the server, which has no name.
    fn annotated(&self, mailbox: &str) -> Result<Place, Failure> {
        if mailbox.is_empty() {
            Ok(self.own_place(""))
        } else {
            self.place(mailbox)
        }
    }
}

/// Whether an annotation is one that an entry asks for.
fn reaches(entry: &Entry, annotation: &Annotation, depth: Depth) -> bool {
    // The owner decides, not the name alone: the two differ in nothing but where they are kept.
    if entry.private == annotation.owner.is_empty() {
        return false;
    }
    let Some(below) = annotation.name.strip_prefix(&entry.name) else {
        return false;
    };
    match (below.strip_prefix('/'), depth) {
        (None, _) => below.is_empty(),
        (Some(_), Depth::Zero) => false,
        (Some(rest), Depth::One) => !rest.contains('/'),
        (Some(_), Depth::Infinity) => true,
    }
}

/// What a mailbox is for, as an annotation.
fn uses_of(mailbox: &mut Mailbox, folder: FolderId, reader: &str) -> Result<Option<Annotation>, StoreError> {
    let uses = folders::uses(mailbox, folder)?;
    let names: Vec<&str> = uses.into_iter().map(special_use::attribute).collect();
    Ok((!names.is_empty()).then(|| Annotation {
        owner: reader.to_owned(),
        name: SPECIAL_USE.to_owned(),
        value: names.join(" ").into_bytes(),
    }))
}
