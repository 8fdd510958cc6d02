//! How full a mailbox is, and how full it may become (RFC 9208, MS-OXCSTOR 2.2.2.1).

use ringpost_mapi::PropValue;

use crate::{Mailbox, StoreError, message::tags};

/// What a mailbox holds and may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaUse {
    /// Bytes of all messages.
    pub bytes: u64,
    /// Bytes that it may hold: the lower one of the store's own limit and of the account's.
    pub bytes_limit: Option<u64>,
    /// Messages, in folders that are not deleted.
    pub messages: u64,
    /// Messages that it may hold ([`crate::OpenOptions::max_messages`]).
    pub messages_limit: Option<u64>,
}

impl Mailbox {
    /// What the mailbox holds and may hold, as [`Self::store_message`] sees it after
    /// [`Self::set_account_quota`] with the same limit.
    pub fn quota_use(&mut self, account_kib: Option<u64>) -> Result<QuotaUse, StoreError> {
        let own_kib = match self.store_properties()?.get(tags::PROHIBIT_RECEIVE_QUOTA) {
            Some(PropValue::Integer32(kib)) => u64::try_from(*kib).ok(),
            _ => None,
        };
        let limit_kib = [own_kib, account_kib].into_iter().flatten().min();
        let messages: i64 = self
            .connection
            .prepare_cached(
                "SELECT coalesce(sum(messages + associated), 0) FROM folders WHERE search = 0 AND state = 0",
            )?
            .query_row([], |row| row.get(0))?;
        Ok(QuotaUse {
            bytes: self.size(),
            bytes_limit: limit_kib.map(|kib| kib.saturating_mul(1024)),
            messages: messages.unsigned_abs(),
            messages_limit: Some(self.options.max_messages).filter(|&limit| limit > 0),
        })
    }
}
