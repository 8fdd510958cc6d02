//! What an index has of the envelopes. Equal texts are kept once: a search looks at each one time, a sort ranks
//! them, and threads compare numbers.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use ringpost_convert::structure::{Address, Envelope};
use ringpost_mapi::FileTime;

use super::retain;
use crate::{
    content::{header, matcher::fold},
    limits,
    session::{search::sent, sort::base_subject},
};

/// The number of a text that is not there.
pub(in crate::session) const NONE: u32 = u32::MAX;

/// Columns of the envelopes.
#[derive(Default)]
pub(in crate::session) struct Texts {
    /// When it was sent: seconds since 1970.
    pub(in crate::session) sent: Vec<i64>,
    /// The day as its sender wrote it.
    pub(in crate::session) sent_day: Vec<i64>,
    /// Numbers of [`Self::subjects`].
    pub(in crate::session) subject: Vec<u32>,
    /// Numbers of [`Self::senders`].
    pub(in crate::session) sender: Vec<u32>,
    /// Numbers of [`Self::bases`].
    pub(in crate::session) base: Vec<u32>,
    /// Whether the subject says reply or forward.
    pub(in crate::session) reply: Vec<bool>,
    /// The message's id, as a hash; 0: none.
    pub(in crate::session) id: Vec<u64>,
    /// Where each one's references end.
    reference_ends: Vec<u32>,
    references: Vec<u64>,
    /// Subjects, decoded, with case folded.
    pub(in crate::session) subjects: Distinct,
    /// `From:`, decoded, with case folded; a line for each address.
    pub(in crate::session) senders: Distinct,
    /// Base subjects, in upper case; [`NONE`] for empty ones.
    pub(in crate::session) bases: Distinct,
    hasher: RandomState,
}

impl Texts {
    pub(in crate::session) fn len(&self) -> usize {
        self.sent.len()
    }

    /// There is more text than may be kept.
    pub(in crate::session) fn is_full(&self) -> bool {
        let texts = self.subjects.bytes + self.senders.bytes + self.bases.bytes;
        texts + self.references.len() * size_of::<u64>() > limits::INDEXED_BYTES
    }

    /// Memory that they take, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let texts = self.subjects.bytes + self.senders.bytes + self.bases.bytes;
        // The columns' elements, all of them as long.
        let row = 3 * size_of::<u64>() + 4 * size_of::<u32>() + size_of::<bool>();
        texts + self.sent.capacity() * row + self.references.capacity() * size_of::<u64>()
    }

    /// A message's references, the oldest first.
    pub(in crate::session) fn references(&self, at: usize) -> &[u64] {
        let start = at.checked_sub(1).map_or(0, |before| self.reference_ends[before]);
        &self.references[start as usize..self.reference_ends[at] as usize]
    }

    pub(in crate::session) fn push(&mut self, received: FileTime, envelope: &Envelope) {
        let date = sent(envelope, received);
        self.sent.push(date.seconds);
        self.sent_day.push(date.local_day);
        let subject = envelope.subject.as_deref().map(header::decode);
        let (base, reply) = base_subject(subject.as_deref().unwrap_or_default());
        self.base.push(if base.is_empty() {
            NONE
        } else {
            self.bases.number(&self.hasher, base.to_uppercase())
        });
        self.reply.push(reply);
        self.subject.push(match subject {
            Some(subject) => self.subjects.number(&self.hasher, fold(subject)),
            None => NONE,
        });
        self.sender.push(if envelope.from.is_empty() {
            NONE
        } else {
            let lines: Vec<String> = envelope.from.iter().map(address_text).collect();
            self.senders.number(&self.hasher, fold(lines.join("\n")))
        });
        let id = envelope
            .message_id
            .as_deref()
            .and_then(|raw| message_ids(raw).next());
        self.id.push(id.map_or(0, |id| self.hash_id(&id)));
        let mut all: Vec<u64> = envelope
            .references
            .as_deref()
            .map(|raw| message_ids(raw).map(|id| self.hash_id(&id)).collect())
            .unwrap_or_default();
        if all.is_empty() {
            let first = envelope
                .in_reply_to
                .as_deref()
                .and_then(|raw| message_ids(raw).next());
            all.extend(first.map(|id| self.hash_id(&id)));
        }
        if all.len() > limits::REFERENCES {
            all.drain(1..=all.len() - limits::REFERENCES);
        }
        self.references.append(&mut all);
        self.reference_ends.push(self.references.len() as u32);
    }

    /// With a key of its own for each index: nobody can send ids that meet. Never 0.
    fn hash_id(&self, id: &[u8]) -> u64 {
        self.hasher.hash_one(id).max(1)
    }

    /// Keeps the messages whose place is marked. Texts that no message has any more stay until the index goes.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        let (mut references, mut ends) = (Vec::with_capacity(self.references.len()), Vec::new());
        for at in (0..self.len()).filter(|&at| keep[at]) {
            references.extend_from_slice(self.references(at));
            ends.push(references.len() as u32);
        }
        (self.references, self.reference_ends) = (references, ends);
        retain(&mut self.sent, keep);
        retain(&mut self.sent_day, keep);
        retain(&mut self.subject, keep);
        retain(&mut self.sender, keep);
        retain(&mut self.base, keep);
        retain(&mut self.reply, keep);
        retain(&mut self.id, keep);
    }
}

/// Different texts, numbered from 0 as they come.
#[derive(Default)]
pub(in crate::session) struct Distinct {
    /// Shared with a helper thread that ranks them.
    texts: Arc<Vec<Box<str>>>,
    /// By their hashes; of two that meet, the second has the next free one.
    numbers: HashMap<u64, u32>,
    bytes: usize,
}

impl Distinct {
    fn number(&mut self, hasher: &RandomState, text: String) -> u32 {
        let mut hash = hasher.hash_one(&text);
        while let Some(&known) = self.numbers.get(&hash) {
            if *self.texts[known as usize] == *text {
                return known;
            }
            hash = hash.wrapping_add(1);
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(hash, number);
        self.bytes += text.len() + size_of::<(u64, u32)>() + size_of::<Box<str>>();
        Arc::make_mut(&mut self.texts).push(text.into_boxed_str());
        number
    }

    pub(in crate::session) fn all(&self) -> &Arc<Vec<Box<str>>> {
        &self.texts
    }
}

/// `Name <mailbox@host>`
pub(in crate::session) fn address_text(address: &Address) -> String {
    let part = |part: &Option<Vec<u8>>| part.as_deref().map(header::decode).unwrap_or_default();
    format!(
        "{} <{}@{}>",
        part(&address.name),
        part(&address.mailbox),
        part(&address.host)
    )
}

/// The message ids `<…>` of a field, without white space.
fn message_ids(raw: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let parts = raw.split(|&byte| byte == b'<').skip(1);
    parts
        .filter_map(|part| {
            part.split(|&byte| byte == b'>')
                .next()
                .filter(|id| id.len() < part.len())
        })
        .filter(|id| !id.is_empty())
        .map(|id| {
            let bytes = id.iter().copied();
            bytes.filter(|byte| !byte.is_ascii_whitespace()).collect()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_field() {
        let ids = |raw| message_ids(raw).collect::<Vec<_>>();
        assert_eq!(ids(b"<a@b> junk <c\r\n d@e> <>"), [&b"a@b"[..], b"cd@e"]);
        assert!(ids(b"none").is_empty() && ids(b"<open").is_empty());
    }

    #[test]
    fn texts_follow_their_messages() {
        let envelope = |subject: &str, references: &str| Envelope {
            subject: Some(subject.into()),
            message_id: Some(format!("<{subject}@x>").into()),
            references: Some(references.into()),
            ..Envelope::default()
        };
        let mut texts = Texts::default();
        for (subject, references) in [("a", ""), ("Re: a", "<a@x>"), ("b", "<a@x> <q@x>"), ("", "")] {
            texts.push(FileTime(0), &envelope(subject, references));
        }
        assert_eq!(texts.base[..2], [0, 0], "one text for both");
        assert_eq!((texts.base[3], texts.reply[1]), (NONE, true));
        assert_eq!(texts.references(1), [texts.id[0]]);
        let third = texts.references(2).to_vec();
        texts.retain(&[true, false, true, true]);
        assert_eq!(texts.len(), 3);
        assert_eq!(texts.references(1), third);
        assert_eq!(texts.references(2), [0; 0]);
        texts.push(FileTime(0), &envelope("c", "<b@x>"));
        assert_eq!(texts.references(3), [texts.id[1]]);
    }
}
