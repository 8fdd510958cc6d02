//! IMAP's view of a folder: UIDs, flags, keywords, mod-sequences (RFC 9051 §2.3, RFC 7162).

mod annotations;
pub(crate) mod keywords;
mod read;
mod sources;
mod special_use;
mod subscriptions;
mod write;

use std::{ops::RangeInclusive, sync::Arc};

use ringpost_mapi::{ChangeNumber, FileTime, MessageId, Uid};

pub use annotations::{Annotation, MAX_ANNOTATION_NAME_BYTES, MAX_ANNOTATIONS, MAX_ANNOTATIONS_BYTES};
pub use sources::SourceRow;
pub use special_use::MAX_SPECIAL_USES;
pub use subscriptions::{MAX_SUBSCRIBED_NAME_BYTES, MAX_SUBSCRIBED_NAMES};
pub use write::FlagChange;
pub(crate) use write::take_uid;

bitflags::bitflags! {
    /// System flags of a message (RFC 9051 §2.3.2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Flags: u8 {
        /// `\Seen`, MAPI's read state
        const SEEN = 1;
        /// `\Answered`
        const ANSWERED = 2;
        /// `\Flagged`, MAPI's follow-up flag
        const FLAGGED = 4;
        /// `\Deleted`: marked, not yet expunged
        const DELETED = 8;
        /// `\Draft`, MAPI's `MSGFLAG_UNSENT`
        const DRAFT = 16;
        /// `$Forwarded`
        const FORWARDED = 32;
    }
}

/// A set of UIDs as ascending, disjoint, non-adjacent ranges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UidSet {
    ranges: Vec<RangeInclusive<u32>>,
}

impl UidSet {
    /// Adds a UID.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid.0..=uid.0);
    }

    /// Adds a range; an empty one (start > end) adds nothing.
    pub fn insert_range(&mut self, range: RangeInclusive<u32>) {
        let (start, end) = range.into_inner();
        if start > end {
            return;
        }
        // Ranges that overlap or touch the new one are merged into it.
        let first = self.ranges.partition_point(|r| r.end().saturating_add(1) < start);
        let last = self
            .ranges
            .partition_point(|r| *r.start() <= end.saturating_add(1));
        let merged = self.ranges[first..last]
            .iter()
            .fold((start, end), |(s, e), r| (s.min(*r.start()), e.max(*r.end())));
        self.ranges.splice(first..last, [merged.0..=merged.1]);
    }

    /// Removes a UID; whether it was there.
    pub fn remove(&mut self, uid: Uid) -> bool {
        let at = self.ranges.partition_point(|r| *r.end() < uid.0);
        let Some(range) = self.ranges.get(at).filter(|r| r.contains(&uid.0)).cloned() else {
            return false;
        };
        let below = (*range.start() < uid.0).then(|| *range.start()..=uid.0 - 1);
        let above = (uid.0 < *range.end()).then(|| uid.0 + 1..=*range.end());
        self.ranges.splice(at..=at, below.into_iter().chain(above));
        true
    }

    /// Whether the UID is in the set.
    pub fn contains(&self, uid: Uid) -> bool {
        let at = self.ranges.partition_point(|r| *r.end() < uid.0);
        self.ranges.get(at).is_some_and(|r| r.contains(&uid.0))
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.ranges
    }

    /// How many UIDs are in the set.
    pub fn len(&self) -> usize {
        self.ranges
            .iter()
            .map(|r| (r.end() - r.start()) as usize + 1)
            .sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// All UIDs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.ranges.iter().cloned().flatten().map(Uid)
    }
}

/// What STATUS tells (RFC 9051 §6.3.11), from the folder's counters: no messages are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// MESSAGES
    pub messages: u32,
    /// UNSEEN
    pub unseen: u32,
    /// DELETED
    pub deleted: u32,
    /// RECENT: messages no session has selected yet.
    pub recent: u32,
    /// UIDNEXT
    pub uid_next: u32,
    /// UIDVALIDITY
    pub uid_validity: u32,
    /// SIZE
    pub size: u64,
    /// HIGHESTMODSEQ
    pub highest_change: ChangeNumber,
}

/// One message of a folder as IMAP sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageRow {
    /// UID
    pub uid: Uid,
    /// The message's id: another one after a move.
    pub message: MessageId,
    /// What the message shares with its copies and keeps when it moves: IMAP's EMAILID (RFC 8474 §5.1). New
    /// content, as when a client saves a draft again, has a new one.
    pub email_id: u64,
    /// System flags
    pub flags: Flags,
    /// Keywords, as first spelt
    pub keywords: Vec<String>,
    /// MODSEQ
    pub change: ChangeNumber,
    /// RFC822.SIZE
    pub size: u64,
    /// INTERNALDATE
    pub received: FileTime,
    /// When it came into this folder, to the second (SAVEDATE, RFC 8514); `None`: not known.
    pub saved: Option<FileTime>,
    /// Where its RFC 5322 source is; `None` for what MAPI made.
    pub source: Option<SourceId>,
    /// Encoded [`ringpost_convert::structure::Structure`], when asked for.
    pub structure: Option<Vec<u8>>,
}

/// A message's source in the store, for [`crate::Mailbox::read_row_source`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceId(pub(crate) i64);

/// How STORE changes flags (RFC 9051 §6.4.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlagAction {
    /// FLAGS
    Replace,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// A message whose flags changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// UID
    pub uid: Uid,
    /// Flags now
    pub flags: Flags,
    /// Keywords now
    pub keywords: Arc<[String]>,
    /// MODSEQ now
    pub change: ChangeNumber,
}

/// What happened in a folder since an earlier change.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Changes {
    /// New or changed messages, by UID. A message is new when its UID is at or above the UIDNEXT that the caller knew.
    pub changed: Vec<Change>,
    /// Messages that left.
    pub vanished: UidSet,
    /// The state this brings the caller to.
    pub highest_change: ChangeNumber,
    /// UIDNEXT at that state.
    pub uid_next: u32,
}
