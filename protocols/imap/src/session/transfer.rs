//! COPY and MOVE into another mailbox: read in the one, stored in the other, each on its own core.
//!
//! What goes over is the message as IMAP shows it: source, flags, keywords, date of arrival.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use ringpost_host::{Connection, Host};
use ringpost_mapi::{FolderId, Uid};
use ringpost_store::{Mailbox, MessageRow, Placement, PreparedMessage, StoreError, UidSet};

use super::{
    Session, arrival,
    place::{self, Place},
    reply::Failure,
    uid_list::{drop_through, take_first},
};
use crate::limits;

/// Messages on their way.
type Batch = Vec<(Uid, Bytes, Placement)>;

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// Copies messages of the selected folder: pairs of UIDs, old and new. All or none (RFC 9051 §6.4.7).
    pub(super) async fn copy_across(
        &mut self,
        mut left: UidSet,
        to: FolderId,
        place: &Place,
    ) -> Result<Vec<(Uid, Uid)>, Failure> {
        let mut pairs = Vec::new();
        while !left.is_empty() {
            match self.copy_batch(&mut left, to, place).await {
                Ok(batch) => pairs.extend(batch),
                Err(failure) => {
                    let mut undone = UidSet::default();
                    for &(_, new) in &pairs {
                        undone.insert(new);
                    }
                    self.change_at(&place.mailbox, move |mailbox| mailbox.expunge(to, &undone, false))
                        .await?;
                    return Err(failure);
                }
            }
        }
        Ok(pairs)
    }

    async fn copy_batch(
        &mut self,
        left: &mut UidSet,
        to: FolderId,
        place: &Place,
    ) -> Result<Vec<(Uid, Uid)>, Failure> {
        let selected = self.selected()?;
        let (from, reader) = (selected.folder, selected.reader.clone());
        let wanted = left.clone();
        let (batch, last) = self
            .call(move |mailbox| read_batch(mailbox, from, wanted, reader.as_deref()))
            .await?;
        match last {
            Some(uid) => drop_through(left, uid),
            None => *left = UidSet::default(),
        }
        let level = self.settings.compression_level;
        let prepared = self
            .host
            .helper(move || {
                batch
                    .into_iter()
                    .map(|(uid, source, placement)| (uid, PreparedMessage::new(source, level), placement))
                    .collect::<Vec<_>>()
            })
            .await?;
        let quota_kib = self.quota_kib(place);
        let (at, place) = (place.mailbox.clone(), place.clone());
        let stored = self
            .change_at(&at, move |mailbox| {
                mailbox.set_account_quota(quota_kib);
                mailbox.transaction(|mailbox| {
                    prepared
                        .iter()
                        .map(
                            |(old, message, placement): &(Uid, Arc<PreparedMessage>, Placement)| {
                                let stored = arrival::store(mailbox, &place, to, message, placement)?;
                                Ok((*old, stored.uid))
                            },
                        )
                        .collect::<Result<Vec<_>, StoreError>>()
                })
            })
            .await?;
        Ok(stored)
    }
}

/// Reads the first messages, as many as a step may; with the last UID if there may be more.
fn read_batch(
    mailbox: &mut Mailbox,
    folder: FolderId,
    mut uids: UidSet,
    reader: Option<&str>,
) -> Result<(Batch, Option<Uid>), StoreError> {
    let slice = take_first(&mut uids, limits::SLICE_ROWS);
    let more = !uids.is_empty();
    let (mut rows, mut bytes, mut cut): (Vec<MessageRow>, u64, bool) = (Vec::new(), 0, false);
    place::visit_as(mailbox, folder, &slice, false, reader, &mut |row| {
        if !rows.is_empty() && bytes + row.size > limits::COPY_BYTES {
            cut = true;
            return ControlFlow::Break(());
        }
        bytes += row.size;
        rows.push(row.clone());
        ControlFlow::Continue(())
    })?;
    let last = if cut {
        rows.last().map(|row| row.uid)
    } else {
        slice.iter().last().filter(|_| more)
    };
    let mut batch = Batch::with_capacity(rows.len());
    for row in rows {
        let mut source = Vec::new();
        mailbox.read_row_source(&row, 0..row.size, &mut source)?;
        let placement = Placement {
            flags: row.flags,
            keywords: row.keywords,
            received: row.received,
        };
        batch.push((row.uid, Bytes::from(source), placement));
    }
    Ok((batch, last))
}
