//! APPEND (RFC 9051 §6.3.12) with MULTIAPPEND, UIDPLUS, BINARY and UTF8.

use std::sync::Arc;

use bytes::Bytes;
use ringpost_host::{Connection, Host};
use ringpost_mapi::{FileTime, rights::Rights};
use ringpost_store::{Placement, PreparedMessage, Stored};

use super::{
    Session,
    reply::{Failure, Reply},
};
use crate::{encode, syntax::command::Append};

/// A message from this size on is parsed and compressed on a helper thread; a smaller one takes about a
/// millisecond.
const HELPER_BYTES: usize = 128 * 1024;

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn append(
        &mut self,
        name: String,
        messages: Vec<Append>,
        command: &Bytes,
    ) -> Result<Reply, Failure> {
        let mut prepared: Vec<(Arc<PreparedMessage>, Placement)> = Vec::with_capacity(messages.len());
        for message in messages {
            let source = command.slice(message.source);
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
            prepared.push((
                message,
                Placement {
                    flags,
                    keywords,
                    received,
                },
            ));
        }
        let place = self.place(&name)?;
        let at = place.mailbox.clone();
        let quota_kib = self.quota_kib(&place);
        let stored = self
            .change_at(&at, move |mailbox| {
                let Some(folder) = place.find(mailbox, Rights::CREATE)? else {
                    return Ok(None);
                };
                mailbox.set_account_quota(quota_kib);
                // All or none (RFC 3502).
                mailbox.transaction(|mailbox| {
                    let store = |(message, placement): &(Arc<PreparedMessage>, Placement)| {
                        mailbox.store_message(folder.id, message, placement)
                    };
                    prepared
                        .iter()
                        .map(store)
                        .collect::<Result<Vec<Stored>, _>>()
                        .map(Some)
                })
            })
            .await?;
        let Some(stored) = stored else {
            return Err(Reply::no("TRYCREATE", "no such mailbox").into());
        };
        let mut uids = ringpost_store::UidSet::default();
        for message in &stored {
            uids.insert(message.uid);
        }
        let mut set = Vec::new();
        encode::ranges(&mut set, uids.ranges().iter().cloned());
        let validity = stored.first().map_or(1, |message| message.uid_validity);
        let code = format!("APPENDUID {validity} {}", String::from_utf8_lossy(&set));
        Ok(Reply::ok_code(code, "APPEND completed"))
    }
}
