//! CREATE, DELETE, RENAME, SUBSCRIBE, STATUS (RFC 9051 §6.3).

use std::ops::ControlFlow;

use ringpost_host::{Connection, Host};
use ringpost_mapi::{FolderId, rights::Rights};
use ringpost_store::{
    Flags, Folder, FolderChange, Mailbox, Member, Status, StoreError, UidSet, folder::built_in,
};

use super::{
    Session, folders,
    place::{self, Place},
    reply::{Failure, Reply},
    special_use,
    uid_list::take_first,
};
use crate::{
    encode::{self, put},
    limits,
    syntax::list::StatusItem,
};

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn create(&mut self, name: String, uses: Vec<String>) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let uses = special_use::parse(&uses)?;
        if !uses.is_empty() && place.visitor.is_some() {
            return Err(Reply::no("USEATTR", "only one's own mailboxes can be given a use").into());
        }
        let at = place.mailbox.clone();
        let created = self
            .change_at(&at, move |mailbox| {
                mailbox.transaction(|mailbox| {
                    let Some(levels) = folders::levels(&place.name) else {
                        return Ok(None);
                    };
                    if folders::find(mailbox, &place.name)?.is_some() {
                        return Err(StoreError::Exists(name.clone()));
                    }
                    let id = create_levels(mailbox, &levels, &place)?;
                    if !uses.is_empty() {
                        mailbox.set_special_uses(id, &uses)?;
                    }
                    Ok(Some(id))
                })
            })
            .await?;
        match created {
            Some(id) => Ok(Reply::ok_code(
                format!("MAILBOXID ({})", folders::object_id(id)),
                "CREATE completed",
            )),
            None => Err(invalid_name()),
        }
    }

    pub(super) async fn delete(&mut self, name: String) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let at = place.mailbox.clone();
        let deleted = self
            .change_at(&at, move |mailbox| {
                let Some(folder) = place.find(mailbox, Rights::FOLDER_OWNER)? else {
                    return Err(StoreError::NotFound(name));
                };
                let listed = folders::all(mailbox)?;
                if listed
                    .iter()
                    .any(|entry| entry.folder.id == folder.id && entry.has_children)
                {
                    return Ok(None);
                }
                mailbox.transaction(|mailbox| {
                    let path = folders::path(mailbox, &folder)?;
                    // Folders below that IMAP does not show go with it.
                    mailbox.delete_folder(folder.id, true)?;
                    if folder.subscribed && place.visitor.is_none() {
                        // The subscription outlives the mailbox (RFC 9051 §6.3.7), if there is room for it.
                        match mailbox.set_subscribed_name(&path, true) {
                            Ok(_) | Err(StoreError::LimitExceeded(_)) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(Some(folder.id))
                })
            })
            .await?;
        let Some(id) = deleted else {
            return Err(Reply::no("HASCHILDREN", "there are mailboxes below it").into());
        };
        if self
            .selected
            .as_ref()
            .is_some_and(|selected| selected.folder == id && selected.place.mailbox == at)
        {
            // The client knows: it asked for it.
            self.selected = None;
        }
        Ok(Reply::ok("DELETE completed"))
    }

    pub(super) async fn rename(&mut self, from: String, to: String) -> Result<Reply, Failure> {
        let (source, place) = (self.place(&from)?, self.place(&to)?);
        if source.mailbox != place.mailbox {
            return Err(Reply::no("CANNOT", "folders stay in their mailbox").into());
        }
        if folders::levels(&place.name).is_none() {
            return Err(invalid_name());
        }
        let (at, to) = (place.mailbox.clone(), place.name.clone());
        let inbox = source.visitor.is_none() && from.eq_ignore_ascii_case("INBOX");
        let target = self
            .change_at(&at, move |mailbox| {
                mailbox.transaction(|mailbox| {
                    let Some(folder) = source.find(mailbox, Rights::FOLDER_OWNER)? else {
                        return Err(StoreError::NotFound(from));
                    };
                    let existing = folders::find(mailbox, &to)?;
                    // Only the spelling changes when a folder is renamed to a name that differs in case.
                    if existing.is_some_and(|other| other.id != folder.id) {
                        return Err(StoreError::Exists(to));
                    }
                    let levels = folders::levels(&to).unwrap_or_default();
                    let Some((last, above)) = levels.split_last() else {
                        return Err(StoreError::NotFound(to));
                    };
                    if inbox {
                        return create_levels(mailbox, &levels, &place).map(Some);
                    }
                    let parent = if above.is_empty() {
                        folders::top(mailbox)
                    } else {
                        create_levels(mailbox, above, &place)?
                    };
                    if folder.parent != Some(parent) {
                        place::require(place.rights(mailbox, parent)?, Rights::CREATE_SUBFOLDER)?;
                    }
                    if is_below(mailbox, parent, folder.id)? {
                        return Err(StoreError::NotAllowed("a mailbox can't be moved below itself"));
                    }
                    let change = FolderChange {
                        name: Some((*last).to_owned()),
                        parent: (folder.parent != Some(parent)).then_some(parent),
                        ..FolderChange::default()
                    };
                    mailbox.change_folder(folder.id, &change)?;
                    require_names_below(mailbox, &levels.join("/"), &place.prefix)?;
                    resume_subscription(mailbox, folder.id, &levels.join("/"), &place)?;
                    Ok(None)
                })
            })
            .await?;
        if let Some(target) = target {
            self.move_inbox(target).await?;
        }
        Ok(Reply::ok("RENAME completed"))
    }

    /// RENAME INBOX moves its messages and leaves it in place (RFC 9051 §6.3.6).
    async fn move_inbox(&mut self, target: FolderId) -> Result<(), Failure> {
        let own = self.mailbox.clone();
        let mut uids = self
            .call_at(&own, move |mailbox| mailbox.uids(built_in::INBOX))
            .await?;
        while !uids.is_empty() {
            let slice = take_first(&mut uids, limits::SLICE_ROWS);
            self.change_at(&own, move |mailbox| {
                mailbox.move_messages(built_in::INBOX, &slice, target)
            })
            .await?;
        }
        Ok(())
    }

    /// A mailbox of one's own bears the mark itself; that of another's is its owner's, so such names are kept
    /// in one's own store, and so are names whose mailbox is gone.
    pub(super) async fn subscribe(&mut self, name: String, subscribed: bool) -> Result<Reply, Failure> {
        let shared = place::is_shared(&name);
        if shared && subscribed {
            let place = self.place(&name)?;
            let at = place.mailbox.clone();
            let found = self
                .call_at(&at, move |mailbox| place.find(mailbox, Rights::empty()))
                .await?;
            if found.is_none() {
                return Err(Reply::no("NONEXISTENT", "no such mailbox").into());
            }
        }
        self.change_at(&self.mailbox, move |mailbox| {
            if shared {
                return mailbox.set_subscribed_name(&name, subscribed).map(drop);
            }
            match folders::find(mailbox, &name)? {
                Some(folder) if folder.subscribed == subscribed => Ok(()),
                Some(folder) => {
                    let change = FolderChange {
                        subscribed: Some(subscribed),
                        ..FolderChange::default()
                    };
                    mailbox.change_folder(folder.id, &change)
                }
                None if subscribed => Err(StoreError::NotFound(name)),
                None => mailbox.set_subscribed_name(&name, false).map(drop),
            }
        })
        .await?;
        Ok(Reply::ok("completed"))
    }

    pub(super) async fn status(&mut self, name: String, items: Vec<StatusItem>) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let wanted = place.clone();
        let found = self
            .call_at(&place.mailbox, move |mailbox| {
                wanted.find(mailbox, Rights::READ_ANY)
            })
            .await?;
        let Some(folder) = found else {
            return Err(Reply::no("NONEXISTENT", "no such mailbox").into());
        };
        let status = self.status_of(&place, folder.id, &items).await?;
        if items.contains(&StatusItem::HighestModSeq) {
            self.use_condstore();
        }
        write_status(
            &mut self.out,
            &name,
            folder.id,
            &status,
            &items,
            self.enabled.utf8_names(),
        );
        Ok(Reply::ok("STATUS completed"))
    }

    /// A folder's status, as it is for who asks.
    pub(super) async fn status_of(
        &mut self,
        place: &Place,
        folder: FolderId,
        items: &[StatusItem],
    ) -> Result<FolderStatus, Failure> {
        let asked = place.clone();
        let unseen = items.contains(&StatusItem::Unseen);
        let deleted = items.contains(&StatusItem::DeletedStorage);
        let (mut counters, reader, mut left) = self
            .call_at(&place.mailbox, move |mailbox| {
                let reader = asked.reader(mailbox).filter(|_| unseen);
                let counters = mailbox.status(folder)?;
                let uids = if reader.is_some() || deleted && counters.deleted > 0 {
                    mailbox.uids(folder)?
                } else {
                    UidSet::default()
                };
                Ok((counters, reader, uids))
            })
            .await?;
        // No counter can know what each reader has seen, and none does know how large the deleted ones are: they are
        // counted, a slice at a time.
        let (mut unseen, mut deleted_bytes) = (0, 0);
        while !left.is_empty() {
            let (slice, reader) = (take_first(&mut left, limits::SLICE_ROWS), reader.clone());
            let (more, more_bytes) = self
                .call_at(&place.mailbox, move |mailbox| {
                    let (mut unseen, mut deleted_bytes) = (0, 0);
                    place::visit_as(mailbox, folder, &slice, false, reader.as_deref(), &mut |row| {
                        unseen += u32::from(!row.flags.contains(Flags::SEEN));
                        if row.flags.contains(Flags::DELETED) {
                            deleted_bytes += row.size;
                        }
                        ControlFlow::Continue(())
                    })?;
                    Ok((unseen, deleted_bytes))
                })
                .await?;
            (unseen, deleted_bytes) = (unseen + more, deleted_bytes + more_bytes);
        }
        if reader.is_some() {
            counters.unseen = unseen;
        }
        Ok(FolderStatus {
            counters,
            deleted_bytes,
            append_limit: self.settings.message_size_limit,
        })
    }
}

/// What STATUS can tell of a folder.
pub(super) struct FolderStatus {
    counters: Status,
    /// Bytes of messages marked `\Deleted`, where asked for.
    deleted_bytes: u64,
    /// Bytes that a message may have.
    append_limit: usize,
}

/// `* STATUS …`
pub(super) fn write_status(
    out: &mut Vec<u8>,
    name: &str,
    folder: FolderId,
    status: &FolderStatus,
    items: &[StatusItem],
    utf8: bool,
) {
    let FolderStatus {
        counters,
        deleted_bytes,
        append_limit,
    } = status;
    out.extend_from_slice(b"* STATUS ");
    encode::mailbox(out, name, utf8);
    for (index, item) in items.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b" (" } else { b" " });
        match item {
            StatusItem::Messages => put!(out, "MESSAGES {}", counters.messages),
            StatusItem::Recent => put!(out, "RECENT {}", counters.recent),
            StatusItem::UidNext => put!(out, "UIDNEXT {}", counters.uid_next),
            StatusItem::UidValidity => put!(out, "UIDVALIDITY {}", counters.uid_validity),
            StatusItem::Unseen => put!(out, "UNSEEN {}", counters.unseen),
            StatusItem::Deleted => put!(out, "DELETED {}", counters.deleted),
            StatusItem::Size => put!(out, "SIZE {}", counters.size),
            StatusItem::HighestModSeq => put!(out, "HIGHESTMODSEQ {}", counters.highest_change.0.max(1)),
            StatusItem::MailboxId => put!(out, "MAILBOXID ({})", folders::object_id(folder)),
            StatusItem::AppendLimit => put!(out, "APPENDLIMIT {append_limit}"),
            StatusItem::DeletedStorage => put!(out, "DELETED-STORAGE {deleted_bytes}"),
        }
    }
    out.extend_from_slice(b")\r\n");
}

/// Makes the folders of a name that are missing; the last one's id.
fn create_levels(mailbox: &mut Mailbox, levels: &[&str], place: &Place) -> Result<FolderId, StoreError> {
    let mut parent: Option<FolderId> = None;
    for (depth, name) in levels.iter().enumerate() {
        let existing: Option<Folder> = folders::child(mailbox, parent, name)?;
        let id = if let Some(folder) = existing {
            folder.id
        } else {
            let above = parent.unwrap_or(folders::top(mailbox));
            place::require(place.rights(mailbox, above)?, Rights::CREATE_SUBFOLDER)?;
            let id = mailbox.create_folder(above, name, Some("IPF.Note"))?;
            // Who may use the folder above may use the new one (RFC 4314 §4).
            for entry in mailbox.permissions(above)? {
                mailbox.set_permission(id, &entry.member, Some(entry.rights))?;
            }
            if let Some(visitor) = &place.visitor {
                let creator = Member::Account(visitor.user.to_string());
                mailbox.set_permission(id, &creator, Some(Rights::OWNER))?;
            }
            resume_subscription(mailbox, id, &levels[..=depth].join("/"), place)?;
            id
        };
        parent = Some(id);
    }
    parent.ok_or(StoreError::NotAllowed("a mailbox needs a name"))
}

/// An error if a mailbox below a name could not be named by a client.
fn require_names_below(mailbox: &mut Mailbox, name: &str, prefix: &str) -> Result<(), StoreError> {
    let most = limits::MAILBOX_NAME_BYTES.saturating_sub(prefix.len());
    let too_long = |listed: &folders::Listed| {
        let rest = listed.name.strip_prefix(name);
        let is_below = rest.is_some_and(|rest| rest.starts_with('/'));
        is_below && (listed.name.len() > most || folders::levels(&listed.name).is_none())
    };
    if folders::all(mailbox)?.iter().any(too_long) {
        return Err(StoreError::NotAllowed("names below it would become too long"));
    }
    Ok(())
}

/// Makes the new mailbox of a name that is still subscribed to bear the subscription.
fn resume_subscription(
    mailbox: &mut Mailbox,
    folder: FolderId,
    name: &str,
    place: &Place,
) -> Result<(), StoreError> {
    if place.visitor.is_some() || !mailbox.set_subscribed_name(name, false)? {
        return Ok(());
    }
    let change = FolderChange {
        subscribed: Some(true),
        ..FolderChange::default()
    };
    mailbox.change_folder(folder, &change)
}

/// Whether `folder` is `above` or below it.
fn is_below(mailbox: &mut Mailbox, mut folder: FolderId, above: FolderId) -> Result<bool, StoreError> {
    for _ in 0..limits::MAILBOX_DEPTH * 2 {
        if folder == above {
            return Ok(true);
        }
        if folder == folders::top(mailbox) {
            return Ok(false);
        }
        match mailbox.folder(folder)?.parent {
            Some(parent) => folder = parent,
            None => return Ok(false),
        }
    }
    Ok(true)
}

fn invalid_name() -> Failure {
    Reply::no("CANNOT", "not a possible mailbox name").into()
}
