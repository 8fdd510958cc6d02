//! CATENATE (RFC 4469): a message put together from what the client sends and from parts of messages that are here.

use std::ops::ControlFlow;

use bytes::Bytes;
use ringpost_convert::structure::Structure;
use ringpost_host::{CallError, Connection, Host};
use ringpost_mapi::{FolderId, Uid, rights::Rights};
use ringpost_store::{Mailbox, MessageRow, StoreError, UidSet};

use super::{
    Session,
    fetch::read_structure,
    place::Place,
    reply::{Failure, Reply},
};
use crate::{
    content::header,
    encode, limits, structure,
    syntax::{append::Piece, fetch::SectionText, url::MessageUrl},
};

/// What a URL gave.
enum Found {
    Bytes(Vec<u8>),
    /// It is longer than there is room.
    TooBig,
    /// No such mailbox, message or part.
    Missing,
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// The message that the pieces make.
    pub(super) async fn catenate(&mut self, pieces: Vec<Piece>, command: &Bytes) -> Result<Bytes, Failure> {
        let limit = self.settings.message_size_limit;
        let too_big = || {
            Failure::from(Reply::no(
                "TOOBIG",
                "the message is larger than this server takes",
            ))
        };
        let mut message = Vec::new();
        for piece in pieces {
            let room = limit - message.len();
            match piece {
                Piece::Text(range) if range.len() > room => return Err(too_big()),
                Piece::Text(range) => message.extend_from_slice(&command[range]),
                Piece::Url(url) => match self.read_url(&url, room).await? {
                    Found::Bytes(bytes) => message.extend_from_slice(&bytes),
                    Found::TooBig => return Err(too_big()),
                    Found::Missing => return Err(bad_url(&url)),
                },
            }
        }
        Ok(message.into())
    }

    async fn read_url(&mut self, url: &str, room: usize) -> Result<Found, Failure> {
        let Some(parsed) = MessageUrl::read(url) else {
            return Ok(Found::Missing);
        };
        if let Some((user, host)) = &parsed.server {
            let mine = user
                .as_ref()
                .is_none_or(|user| user.eq_ignore_ascii_case(&self.user));
            if !mine || !host.eq_ignore_ascii_case(&self.settings.host_id) {
                return Ok(Found::Missing);
            }
        }
        let (place, selected) = match (&parsed.mailbox, &self.selected) {
            (Some(name), _) => match self.place(name) {
                Ok(place) => (place, None),
                Err(_) => return Ok(Found::Missing),
            },
            (None, Some(selected)) => (selected.place.clone(), Some(selected.folder)),
            (None, None) => return Ok(Found::Missing),
        };
        let at = place.mailbox.clone();
        let found = self
            .call_at(&at, move |mailbox| read(mailbox, &place, selected, &parsed, room))
            .await;
        match found {
            Ok(found) => Ok(found),
            Err(CallError::Store(StoreError::NotFound(_) | StoreError::NotAllowed(_))) => Ok(Found::Missing),
            Err(error) => Err(error.into()),
        }
    }
}

fn read(
    mailbox: &mut Mailbox,
    place: &Place,
    selected: Option<FolderId>,
    url: &MessageUrl,
    room: usize,
) -> Result<Found, StoreError> {
    let folder = match selected {
        Some(folder) => folder,
        None => match place.find(mailbox, Rights::READ_ANY)? {
            Some(folder) => folder.id,
            None => return Ok(Found::Missing),
        },
    };
    let validity = mailbox.status(folder)?.uid_validity;
    if url.uid_validity.is_some_and(|wanted| wanted != validity) {
        return Ok(Found::Missing);
    }
    let mut uids = UidSet::default();
    uids.insert(Uid(url.uid));
    let mut found: Option<MessageRow> = None;
    mailbox.visit_messages(folder, &uids, true, &mut |row| {
        found = Some(row.clone());
        ControlFlow::Break(())
    })?;
    let Some(row) = found else {
        return Ok(Found::Missing);
    };
    let structure = match row.structure.as_deref().and_then(Structure::decode) {
        Some(structure) => structure,
        None => read_structure(mailbox, &row)?,
    };
    let section = &url.section;
    let Some(mut range) = structure::section(&structure, &section.part, &section.text, row.size) else {
        return Ok(Found::Missing);
    };
    let (offset, length) = url.partial.unwrap_or((0, None));
    let length = length.unwrap_or(u64::MAX);
    if let SectionText::Fields { names, not } = &section.text {
        range.end = range.end.min(range.start + limits::HEADER_BYTES);
        let (mut raw, mut chosen) = (Vec::new(), Vec::new());
        mailbox.read_row_source(&row, range, &mut raw)?;
        header::choose(&raw, names, *not, &mut chosen);
        let bytes: Vec<u8> = chosen
            .into_iter()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(length).unwrap_or(usize::MAX))
            .collect();
        return Ok(if bytes.len() > room {
            Found::TooBig
        } else {
            Found::Bytes(bytes)
        });
    }
    let start = range.start.saturating_add(offset).min(range.end);
    let end = start.saturating_add(length).min(range.end);
    if end - start > room as u64 {
        return Ok(Found::TooBig);
    }
    let mut bytes = Vec::new();
    mailbox.read_row_source(&row, start..end, &mut bytes)?;
    Ok(Found::Bytes(bytes))
}

/// The answer to a URL that names nothing (RFC 4469 §4).
fn bad_url(url: &str) -> Failure {
    let mut code = b"BADURL ".to_vec();
    // A response code has no literal: what can't be quoted is not repeated.
    let quotable =
        url.len() <= limits::MAILBOX_NAME_BYTES && url.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    encode::string(&mut code, if quotable { url.as_bytes() } else { b"" }, false);
    let code = String::from_utf8_lossy(&code).into_owned();
    Reply::no(code, "the URL names no part of a message that can be read").into()
}
