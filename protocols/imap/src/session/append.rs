//! APPEND (RFC 9051 §6.3.12) with MULTIAPPEND, UIDPLUS, BINARY, UTF8 and CATENATE; REPLACE (RFC 8508).

use std::sync::Arc;

use bytes::Bytes;
use ringpost_host::{Connection, Host};
use ringpost_mapi::{FileTime, FolderId, Uid, rights::Rights};
use ringpost_store::{Placement, PreparedMessage, Stored, UidSet};

use super::{
    Session, arrival,
    place::{NO_PERMISSION, Place},
    reply::{Failure, Reply},
};
use crate::{
    encode::{self, put},
    syntax::{
        append::{Append, Source},
        sequence::{Bound, SequenceSet},
    },
};

/// A message from this size on is parsed and compressed on a helper thread; a smaller one takes about a
/// millisecond.
const HELPER_BYTES: usize = 128 * 1024;

/// A message ready to be stored, and how.
type Prepared = (Arc<PreparedMessage>, Placement);

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn append(
        &mut self,
        name: String,
        messages: Vec<Append>,
        command: &Bytes,
    ) -> Result<Reply, Failure> {
        let mut prepared: Vec<Prepared> = Vec::with_capacity(messages.len());
        for message in messages {
            prepared.push(self.prepare_message(message, command).await?);
        }
        let place = self.place(&name)?;
        let (at, target) = (place.mailbox.clone(), place.clone());
        let quota_kib = self.quota_kib(&place);
        let stored = self
            .change_at(&at, move |mailbox| {
                let Some(folder) = place.find(mailbox, Rights::CREATE)? else {
                    return Ok(None);
                };
                mailbox.set_account_quota(quota_kib);
                // All or none (RFC 3502).
                mailbox.transaction(|mailbox| {
                    let store = |(message, placement): &Prepared| {
                        arrival::store(mailbox, &place, folder.id, message, placement)
                    };
                    prepared
                        .iter()
                        .map(store)
                        .collect::<Result<Vec<Stored>, _>>()
                        .map(|stored| Some((folder.id, stored)))
                })
            })
            .await?;
        let Some((folder, stored)) = stored else {
            return Err(Reply::no("TRYCREATE", "no such mailbox").into());
        };
        self.note_own(&target, folder, stored.iter().map(|message| message.uid));
        let mut uids = UidSet::default();
        for message in &stored {
            uids.insert(message.uid);
        }
        let mut set = Vec::new();
        encode::ranges(&mut set, uids.ranges().iter().cloned());
        let validity = stored.first().map_or(1, |message| message.uid_validity);
        let code = format!("APPENDUID {validity} {}", String::from_utf8_lossy(&set));
        Ok(Reply::ok_code(code, "APPEND completed"))
    }

    /// Notes, where NOTIFY tells of new messages, that some are the client's own.
    pub(super) fn note_own(&mut self, place: &Place, folder: FolderId, uids: impl IntoIterator<Item = Uid>) {
        if let (Some(_), Some(selected)) = (&self.notify, &mut self.selected) {
            selected.note_own(place, folder, uids);
        }
    }

    /// Checks, parses and compresses a message.
    async fn prepare_message(&mut self, message: Append, command: &Bytes) -> Result<Prepared, Failure> {
        let source = match message.source {
            Source::Literal(range) => command.slice(range),
            Source::Parts(pieces) => self.catenate(pieces, command).await?,
        };
        if source.is_empty() {
            // RFC 3502: the client changed its mind.
            return Err(Reply::no("", "APPEND cancelled by an empty message").into());
        }
        if source.len() > self.settings.message_size_limit {
            return Err(Reply::no("TOOBIG", "the message is larger than this server takes").into());
        }
        if memchr::memchr(0, &source).is_some() {
            return Err(if message.binary {
                // The source is kept byte for byte, and could not be sent as a literal (RFC 3516 §4.4).
                Reply::no("UNKNOWN-CTE", "binary content can't be stored").into()
            } else {
                Reply::bad("a message has no NUL").into()
            });
        }
        let Some((flags, keywords)) = encode::parse_flags(&message.flags) else {
            return Err(Reply::bad("unknown flag").into());
        };
        let received = message
            .date
            .map_or_else(FileTime::now, FileTime::from_unix_seconds);
        let level = self.settings.compression_level;
        // Shares the command's memory: nothing is copied.
        let message = if source.len() < HELPER_BYTES {
            PreparedMessage::new(source, level)
        } else {
            self.host
                .helper(move || PreparedMessage::new(source, level))
                .await?
        };
        Ok((
            message,
            Placement {
                flags,
                keywords,
                received,
            },
        ))
    }

    /// REPLACE: the new message comes and the old one goes, in one step where both are of one mailbox; else the new
    /// one is on disk before the old one goes, so that none is lost.
    pub(super) async fn replace(
        &mut self,
        target: Bound,
        uid: bool,
        name: String,
        message: Append,
        command: &Bytes,
    ) -> Result<Reply, Failure> {
        let selected = self.writable()?;
        if !selected.rights.contains(Rights::DELETE_ANY) {
            return Err(Reply::no("NOPERM", NO_PERMISSION).into());
        }
        let (from, at) = (selected.folder, selected.place.mailbox.clone());
        let old = self.resolve(&SequenceSet::Ranges(vec![(target, target)]), uid)?;
        if old.is_empty() {
            return Err(Reply::no("NONEXISTENT", "there is no such message to replace").into());
        }
        let (message, placement) = self.prepare_message(message, command).await?;
        let place = self.place(&name)?;
        let quota_kib = self.quota_kib(&place);
        let across = place.mailbox != at;
        let (target, old_uids) = (place.clone(), old.clone());
        let stored = self
            .change_at(&target.mailbox, move |mailbox| {
                let Some(folder) = place.find(mailbox, Rights::CREATE)? else {
                    return Ok(None);
                };
                mailbox.set_account_quota(quota_kib);
                mailbox.transaction(|mailbox| {
                    // First, so that a full mailbox has room for the new one.
                    let gone = if across {
                        old_uids
                    } else {
                        mailbox.expunge(from, &old_uids, false)?
                    };
                    if gone.is_empty() {
                        return Ok(Some(None));
                    }
                    let stored = arrival::store(mailbox, &place, folder.id, &message, &placement)?;
                    Ok(Some(Some((folder.id, stored))))
                })
            })
            .await?;
        let stored = match stored {
            None => return Err(Reply::no("TRYCREATE", "no such mailbox").into()),
            Some(None) => return Err(Reply::no("EXPUNGEISSUED", "the message no longer exists").into()),
            Some(Some(stored)) => stored,
        };
        let (folder, stored) = stored;
        self.note_own(&target, folder, [stored.uid]);
        if across {
            let gone = old.clone();
            self.change_at(&at, move |mailbox| mailbox.expunge(from, &gone, false))
                .await?;
        }
        let (validity, Uid(new)) = (stored.uid_validity, stored.uid);
        put!(
            self.out,
            "* OK [APPENDUID {validity} {new}] replacement message ready\r\n"
        );
        self.selected_mut()?.mark_stale();
        // The new message is told before the old one's end (§3.4).
        self.sync(false).await?;
        self.sync(true).await?;
        let code = if self.enabled.qresync {
            format!("HIGHESTMODSEQ {}", self.selected()?.known)
        } else {
            String::new()
        };
        Ok(Reply::ok_code(code, "REPLACE completed"))
    }
}
