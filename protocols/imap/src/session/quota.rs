//! QUOTA (RFC 9208): a quota root a mailbox, named after whose it is: an account's address, a domain.
//!
//! Limits are the administrator's: the directory's for the account, the store's `PidTagProhibitReceiveQuota`, and
//! `exmdb`'s limit on messages. There is no QUOTASET.

use ringpost_host::{Connection, Host};
use ringpost_mapi::rights::Rights;
use ringpost_store::StoreError;

use super::{
    Session, folders,
    place::Place,
    reply::{Failure, Reply},
};
use crate::encode::{self, put};

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn get_quota_root(&mut self, name: String) -> Result<Reply, Failure> {
        let place = self.place(&name)?;
        let (asked, wanted) = (place.clone(), name.clone());
        self.call_at(&place.mailbox, move |mailbox| {
            asked
                .find(mailbox, Rights::READ_ANY)?
                .ok_or(StoreError::NotFound(wanted))
        })
        .await?;
        let utf8 = self.enabled.utf8_names();
        self.out.extend_from_slice(b"* QUOTAROOT ");
        encode::mailbox(&mut self.out, &name, utf8);
        self.out.push(b' ');
        encode::string(&mut self.out, place.quota_root().as_bytes(), utf8);
        self.out.extend_from_slice(b"\r\n");
        self.write_quota(&place).await?;
        Ok(Reply::ok("GETQUOTAROOT completed"))
    }

    pub(super) async fn get_quota(&mut self, root: String) -> Result<Reply, Failure> {
        // Older clients take it for granted that one's own root has no name.
        let place = if root.is_empty() || root.eq_ignore_ascii_case(&self.user) {
            self.own_place("")
        } else {
            let place = self.place_of_root(&root);
            place.ok_or_else(|| Failure::from(Reply::no("NONEXISTENT", "no such quota root")))?
        };
        if place.visitor.is_some() {
            let asked = place.clone();
            let readable = self
                .call_at(&place.mailbox, move |mailbox| {
                    for entry in folders::all(mailbox)? {
                        if asked.rights(mailbox, entry.folder.id)?.contains(Rights::READ_ANY) {
                            return Ok(true);
                        }
                    }
                    Ok(false)
                })
                .await?;
            if !readable {
                return Err(Reply::no("NONEXISTENT", "no such quota root").into());
            }
        }
        self.write_quota(&place).await?;
        Ok(Reply::ok("GETQUOTA completed"))
    }

    /// `* QUOTA …`
    async fn write_quota(&mut self, place: &Place) -> Result<(), Failure> {
        let account_kib = self.quota_kib(place);
        let quota = self
            .call_at(&place.mailbox, move |mailbox| mailbox.quota_use(account_kib))
            .await?;
        let utf8 = self.enabled.utf8_names();
        let out = &mut self.out;
        out.extend_from_slice(b"* QUOTA ");
        encode::string(out, place.quota_root().as_bytes(), utf8);
        let mut resources = Vec::new();
        if let Some(limit) = quota.bytes_limit {
            // In units of 1024 octets (§5.1).
            resources.push(format!("STORAGE {} {}", quota.bytes.div_ceil(1024), limit / 1024));
        }
        if let Some(limit) = quota.messages_limit {
            resources.push(format!("MESSAGE {} {limit}", quota.messages));
        }
        put!(out, " ({})\r\n", resources.join(" "));
        Ok(())
    }
}
