//! `PidTagMessageFlags` and `PidTagMessageStatus` without a save (MS-OXCMSG 2.2.3.8 to 2.2.3.11).

use ringpost_mapi::{FolderId, MessageId};

use super::columns::{KEPT_FLAGS, MAX_STATUS, MessageBits};
use crate::{
    EventKind, Mailbox, StoreError,
    folder::{Delta, Kind},
};

impl Mailbox {
    /// Changes the bits of `mask` of `PidTagMessageStatus`, as `RopSetMessageStatus`; the status before.
    pub fn set_message_status(
        &mut self,
        folder: FolderId,
        message: MessageId,
        mask: u32,
        status: u32,
    ) -> Result<u32, StoreError> {
        let mask = mask as i32 & MAX_STATUS;
        let before = self.change_bits(folder, message, |bits| {
            bits.with_status((bits.status() & !mask) | (status as i32 & mask))
        })?;
        Ok(before.status() as u32)
    }

    /// Changes the bits of `mask` of those of `PidTagMessageFlags` that the store keeps for clients, such as
    /// `mfSubmitted` and the pending receipts. Bits that follow from something else are passed over.
    pub fn set_message_flags(
        &mut self,
        folder: FolderId,
        message: MessageId,
        mask: u32,
        flags: u32,
    ) -> Result<(), StoreError> {
        let mask = mask as i32 & KEPT_FLAGS;
        self.change_bits(folder, message, |bits| {
            bits.with_kept((bits.kept() & !mask) | (flags as i32 & mask))
        })?;
        Ok(())
    }

    /// Changes the column; what it was. Where it stays as it is, nothing changes.
    fn change_bits(
        &mut self,
        folder: FolderId,
        message: MessageId,
        change: impl FnOnce(MessageBits) -> MessageBits,
    ) -> Result<MessageBits, StoreError> {
        self.transaction(|store| {
            store.uid_state(folder, Kind::Generic)?;
            let replaced = store.replaceable(folder, message)?;
            let old = replaced.bits;
            let new = change(old);
            if new != old {
                let number = store.next_change();
                store.edit_state(folder, message.to_disk(), replaced.message.uid, |state| {
                    state.bits = new;
                    (state.change, state.version) = (number.0, number.0);
                })?;
                store.count(folder, Delta::default(), None, number)?;
                store.tell(EventKind::MessageChanged, folder, Some(message), number);
            }
            Ok(old)
        })
    }
}
