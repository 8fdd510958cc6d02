//! Untagged FETCH answers about flags, many in a row: neighbours mostly have the same flags, whose text is made once.

use std::sync::Arc;

use ringpost_mapi::Uid;
use ringpost_store::{Change, Flags};

use crate::encode;

/// Writes flags of one message after the other.
#[derive(Default)]
pub(super) struct FlagLines {
    last: Option<(Flags, Arc<[String]>, bool)>,
    /// Theirs, in parentheses.
    text: Vec<u8>,
}

impl FlagLines {
    /// Whether the keywords are those of the message before: then nobody has to be told of them.
    pub(super) fn knows(&self, keywords: &Arc<[String]>) -> bool {
        keywords.is_empty()
            || self
                .last
                .as_ref()
                .is_some_and(|(_, known, _)| Arc::ptr_eq(known, keywords))
    }

    /// `FLAGS (…)`
    pub(super) fn flags(&mut self, out: &mut Vec<u8>, change: &Change, recent: bool) {
        let same = self.last.as_ref().is_some_and(|(flags, keywords, was_recent)| {
            *flags == change.flags && *was_recent == recent && Arc::ptr_eq(keywords, &change.keywords)
        });
        if !same {
            self.text.clear();
            self.text.extend_from_slice(b"FLAGS ");
            encode::flags(&mut self.text, change.flags, &change.keywords, recent);
            self.last = Some((change.flags, Arc::clone(&change.keywords), recent));
        }
        out.extend_from_slice(&self.text);
    }
}

/// `* n FETCH (`
pub(super) fn begin(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"* ");
    encode::number(out, number);
    out.extend_from_slice(b" FETCH (");
}

/// `UID n`
pub(super) fn uid(out: &mut Vec<u8>, uid: Uid) {
    out.extend_from_slice(b"UID ");
    encode::number(out, uid.0);
}
