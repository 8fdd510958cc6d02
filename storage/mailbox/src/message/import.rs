//! Messages that a client made or changed offline and uploads (MS-OXCFXICS 3.2.5.9.4.2, 3.1.5.6).

use ringpost_mapi::{
    ChangeNumber, FileTime, FolderId, MessageId, OWN_REPLICA,
    change::{Precedence, Xid},
};
use rusqlite::params;

use super::object::{MessageDraft, Replaced, not_found};
use crate::{
    EventKind, Mailbox, StoreError, Stored,
    folder::{Delta, FIRST_FREE_ID, Kind},
    lineage::Lineage,
};

/// A message as a client uploads it.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageImport {
    /// Its id (of `PidTagSourceKey`): of a new one an id of the client's range ([`Mailbox::allocate_ids`]).
    pub id: MessageId,
    /// Its change key and predecessors.
    pub lineage: Lineage,
    /// `PidTagLastModificationTime`: decides who wins a conflict.
    pub modified: FileTime,
    /// What it is now; `replaces` and `force` mean nothing here.
    pub draft: MessageDraft,
    /// Refuse a conflicting change (`FailOnConflict`).
    pub fail_on_conflict: bool,
}

/// What became of an uploaded message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Imported {
    /// It is saved.
    Saved(Stored),
    /// The store has this version, or a later one that includes it.
    Known,
    /// The store has changes that the client has not seen; nothing was done.
    Conflict,
    /// A conflict that the client's version won: it is saved, and includes what the store had.
    Won(Stored),
    /// A conflict that the store's version won: the client gets it back as a new version.
    Lost(Stored),
}

impl Mailbox {
    /// Takes over a message that a client made or changed offline. The version with the later modification time
    /// wins a conflict, then the one whose change key has the higher namespace.
    pub fn import_message(
        &mut self,
        folder: FolderId,
        import: &MessageImport,
    ) -> Result<Imported, StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let exists = store
                .connection
                .prepare_cached("SELECT 1 FROM messages WHERE id = ?1")?
                .exists([import.id.to_disk()])?;
            let mut lineage = import.lineage.clone();
            lineage.predecessors.add(lineage.change_key.clone());
            let given = Some((import.id, import.modified));
            if !exists {
                store.check_not_deleted(folder, import.id)?;
                store.check_new_id(import.id)?;
                let stored = store.write_message(folder, &import.draft, None, given)?;
                store.write_message_lineage(stored.message, stored.change, Some(&lineage))?;
                return Ok(Imported::Saved(stored));
            }
            let replaced = store.replaceable(folder, import.id)?;
            let here = store.message_lineage(import.id)?;
            let precedence = lineage.predecessors.compare(&here.predecessors);
            match precedence {
                Precedence::Equal | Precedence::Older => return Ok(Imported::Known),
                Precedence::Conflict if import.fail_on_conflict => return Ok(Imported::Conflict),
                Precedence::Newer | Precedence::Conflict => {}
            }
            lineage.predecessors.merge(&here.predecessors);
            let won = wins(
                (import.modified, &lineage.change_key),
                (replaced.modified, &here.change_key),
            );
            if precedence == Precedence::Conflict && !won {
                let stored = store.renew(folder, &replaced, &lineage)?;
                return Ok(Imported::Lost(stored));
            }
            let stored = store.write_message(folder, &import.draft, Some(replaced), given)?;
            store.write_message_lineage(stored.message, stored.change, Some(&lineage))?;
            Ok(match precedence {
                Precedence::Conflict => Imported::Won(stored),
                _ => Imported::Saved(stored),
            })
        })
    }

    /// A new version of a message as it is, which has seen what `seen` has.
    fn renew(&mut self, folder: FolderId, replaced: &Replaced, seen: &Lineage) -> Result<Stored, StoreError> {
        let id = replaced.message.id;
        let uids = self.uid_state(folder, Kind::Generic)?;
        let change = self.next_change();
        self.edit_state(folder, id.to_disk(), replaced.message.uid, |state| {
            (state.change, state.version) = (change.0, change.0);
        })?;
        let mut lineage = seen.clone();
        lineage.change_key = Xid::of_counter(self.guid().0, change.0);
        lineage.predecessors.add(lineage.change_key.clone());
        self.write_message_lineage(id, change, Some(&lineage))?;
        self.count(folder, Delta::default(), None, change)?;
        self.tell(EventKind::MessageChanged, folder, Some(id), change);
        Ok(Stored {
            message: id,
            uid: replaced.message.uid.unwrap_or(ringpost_mapi::Uid(0)),
            uid_validity: uids.uid_validity,
            change,
        })
    }

    /// Refuses an id that a client may not give a new message: one in use, or never handed out.
    pub(crate) fn check_new_id(&self, id: MessageId) -> Result<(), StoreError> {
        const NOT_HANDED_OUT: StoreError = StoreError::NotAllowed("an id that was not handed out");
        self.check_counter(id.replica(), id.counter(), NOT_HANDED_OUT)?;
        let taken = self
            .connection
            .prepare_cached("SELECT 1 FROM messages WHERE id = ?1")?
            .exists([id.to_disk()])?;
        if taken {
            return Err(StoreError::NotAllowed("an id that is in use"));
        }
        Ok(())
    }

    /// Refuses an id of the store's own replica that the store never handed out, and one of an unknown replica.
    pub(crate) fn check_counter(
        &self,
        replica: u16,
        counter: u64,
        refusal: StoreError,
    ) -> Result<(), StoreError> {
        let known = if replica == OWN_REPLICA {
            (FIRST_FREE_ID..self.counters.next_id).contains(&counter)
        } else {
            counter > 0
                && self
                    .connection
                    .prepare_cached("SELECT 1 FROM replicas WHERE id = ?1")?
                    .exists([replica])?
        };
        if known { Ok(()) } else { Err(refusal) }
    }

    /// Refuses what was deleted from the folder or moved out of it: it does not come back by an upload.
    fn check_not_deleted(&self, folder: FolderId, id: MessageId) -> Result<(), StoreError> {
        let deleted = self
            .connection
            .prepare_cached("SELECT 1 FROM removed WHERE folder = ?1 AND object = ?2")?
            .exists(params![folder.to_disk(), id.to_disk()])?;
        if deleted { Err(not_found(id)) } else { Ok(()) }
    }
}

/// Whether the first of two conflicting versions wins (MS-OXCFXICS 3.1.5.6.2).
pub(crate) fn wins(first: (FileTime, &Xid), second: (FileTime, &Xid)) -> bool {
    (first.0, first.1.namespace) > (second.0, second.1.namespace)
}

/// The version that an import gave an object, for those who remember it.
impl Imported {
    /// The change that this made, if any.
    pub fn change(&self) -> Option<ChangeNumber> {
        match self {
            Self::Saved(stored) | Self::Won(stored) | Self::Lost(stored) => Some(stored.change),
            Self::Known | Self::Conflict => None,
        }
    }
}
