//! Which of a message's properties are columns of its row: what lists sort and filter by.

use ringpost_mapi::{FileTime, PropValue, PropertyBag};

use super::tags;
use crate::Flags;

/// The class nearly all messages have; its column is NULL.
const DEFAULT_CLASS: &str = "IPM.Note";

bitflags::bitflags! {
    /// The `flags` column. The low eight bits are IMAP's [`Flags`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct MessageBits: i64 {
        const IMAP = 0xff;
        const HAS_ATTACHMENTS = 1 << 8;
        const LOW_IMPORTANCE = 1 << 9;
        const HIGH_IMPORTANCE = 1 << 10;
        /// Those of `PidTagMessageFlags` that clients set and the store keeps, at [`KEPT_SHIFT`].
        const KEPT = (KEPT_FLAGS as i64) << KEPT_SHIFT;
        /// `mfEverRead`
        const EVER_READ = 0x400 << KEPT_SHIFT;
        /// `PidTagMessageStatus`
        const STATUS = (MAX_STATUS as i64) << STATUS_SHIFT;
    }
}

/// Where `PidTagMessageFlags` has its place in the column, as far as it is kept.
const KEPT_SHIFT: u32 = 16;
/// `mfSubmitted`, `mfFromMe`, `mfResend`, `mfNotifyRead`, `mfNotifyUnread`, `mfEverRead`, `mfInternet` and
/// `mfUntrusted` (MS-OXCMSG 2.2.1.6). The others follow from other columns.
pub(crate) const KEPT_FLAGS: i32 = 0xa7a4;
/// Where `PidTagMessageStatus` is.
const STATUS_SHIFT: u32 = 32;
/// What `PidTagMessageStatus` may have.
pub(crate) const MAX_STATUS: i32 = i32::MAX;

impl MessageBits {
    pub(crate) fn imap(self) -> Flags {
        Flags::from_bits_truncate((self & Self::IMAP).bits() as u8)
    }

    pub(crate) fn with_imap(self, flags: Flags) -> Self {
        let mut bits = (self - Self::IMAP) | Self::from_bits_retain(i64::from(flags.bits()));
        if flags.contains(Flags::SEEN) {
            bits |= Self::EVER_READ;
        }
        bits
    }

    /// With those of `PidTagMessageFlags` that are kept.
    pub(crate) fn with_kept(self, flags: i32) -> Self {
        (self - Self::KEPT) | Self::from_bits_retain(i64::from(flags & KEPT_FLAGS) << KEPT_SHIFT)
    }

    /// Those of `PidTagMessageFlags` that are kept.
    pub(crate) fn kept(self) -> i32 {
        ((self & Self::KEPT).bits() >> KEPT_SHIFT) as i32
    }

    /// What saving leaves of an older version's bits: the status, that it was read once, and unless the client
    /// said something else the other flags.
    pub(super) fn with_kept_of(self, old: Self, said: bool) -> Self {
        let kept = if said { self } else { old };
        (self - Self::KEPT - Self::STATUS) | (kept & Self::KEPT) | (old & (Self::EVER_READ | Self::STATUS))
    }

    /// `PidTagMessageStatus`
    pub(crate) fn status(self) -> i32 {
        ((self & Self::STATUS).bits() >> STATUS_SHIFT) as i32
    }

    /// With this `PidTagMessageStatus`.
    pub(crate) fn with_status(self, status: i32) -> Self {
        (self - Self::STATUS) | Self::from_bits_retain(i64::from(status & MAX_STATUS) << STATUS_SHIFT)
    }
}

/// The part of a bag that is kept in columns.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) bits: MessageBits,
    pub(crate) class: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) sender: Option<String>,
}

impl Columns {
    /// Takes out of the bag what columns hold, and drops what the store computes: nothing is kept twice.
    pub(crate) fn take(bag: &mut PropertyBag, has_attachments: bool) -> Self {
        let mut bits = MessageBits::default();
        bits.set(MessageBits::HAS_ATTACHMENTS, has_attachments);
        match bag.remove(tags::IMPORTANCE) {
            Some(PropValue::Integer32(0)) => bits |= MessageBits::LOW_IMPORTANCE,
            Some(PropValue::Integer32(2)) => bits |= MessageBits::HIGH_IMPORTANCE,
            _ => {}
        }
        if let Some(PropValue::Integer32(flags)) = bag.get(tags::MESSAGE_FLAGS) {
            bits = bits.with_kept(*flags);
        }
        for computed in [
            tags::MESSAGE_FLAGS,
            tags::MESSAGE_STATUS,
            tags::MESSAGE_SIZE,
            tags::HAS_ATTACHMENTS,
            tags::MESSAGE_DELIVERY_TIME,
            tags::LAST_MODIFICATION_TIME,
        ] {
            bag.remove(computed);
        }
        let subject = take_string(bag, tags::NORMALIZED_SUBJECT);
        let prefix = bag.string(tags::SUBJECT_PREFIX).unwrap_or_default();
        let whole = bag.string(tags::SUBJECT);
        if let (Some(whole), Some(normalized)) = (whole, &subject)
            && whole.strip_prefix(prefix) == Some(normalized)
        {
            bag.remove(tags::SUBJECT);
        }
        Self {
            bits,
            class: take_string(bag, tags::MESSAGE_CLASS).filter(|class| class != DEFAULT_CLASS),
            subject,
            sender: take_string(bag, tags::SENT_REPRESENTING_NAME),
        }
    }

    /// The opposite of [`Self::take`].
    pub(crate) fn put(
        self,
        bag: &mut PropertyBag,
        associated: bool,
        size: u64,
        received: FileTime,
        modified: FileTime,
    ) {
        let importance = match self.bits {
            b if b.contains(MessageBits::LOW_IMPORTANCE) => 0,
            b if b.contains(MessageBits::HIGH_IMPORTANCE) => 2,
            _ => 1,
        };
        let attachments = self.bits.contains(MessageBits::HAS_ATTACHMENTS);
        bag.set(tags::IMPORTANCE, PropValue::Integer32(importance));
        bag.set(
            tags::MESSAGE_FLAGS,
            PropValue::Integer32(message_flags(self.bits, associated)),
        );
        if self.bits.status() != 0 {
            bag.set(tags::MESSAGE_STATUS, PropValue::Integer32(self.bits.status()));
        }
        bag.set(
            tags::MESSAGE_SIZE,
            PropValue::Integer32(i32::try_from(size).unwrap_or(i32::MAX)),
        );
        bag.set(tags::HAS_ATTACHMENTS, PropValue::Boolean(attachments));
        bag.set(tags::MESSAGE_DELIVERY_TIME, PropValue::Time(received));
        bag.set(tags::LAST_MODIFICATION_TIME, PropValue::Time(modified));
        let class = self.class.unwrap_or_else(|| DEFAULT_CLASS.to_owned());
        bag.set(tags::MESSAGE_CLASS, PropValue::String(class));
        if let Some(sender) = self.sender {
            bag.set(tags::SENT_REPRESENTING_NAME, PropValue::String(sender));
        }
        if let Some(subject) = self.subject {
            if bag.get(tags::SUBJECT).is_none() {
                let prefix = bag.string(tags::SUBJECT_PREFIX).unwrap_or_default();
                let whole = format!("{prefix}{subject}");
                bag.set(tags::SUBJECT, PropValue::String(whole));
            }
            bag.set(tags::NORMALIZED_SUBJECT, PropValue::String(subject));
        }
    }
}

/// `PidTagMessageFlags` (MS-OXCMSG 2.2.1.6).
pub(crate) fn message_flags(bits: MessageBits, associated: bool) -> i32 {
    const READ: i32 = 0x01;
    const UNSENT: i32 = 0x08;
    const HAS_ATTACH: i32 = 0x10;
    const ASSOCIATED: i32 = 0x40;
    let imap = bits.imap();
    let flag = |set: bool, flag: i32| if set { flag } else { 0 };
    flag(imap.contains(Flags::SEEN), READ)
        | flag(imap.contains(Flags::DRAFT), UNSENT)
        | flag(bits.contains(MessageBits::HAS_ATTACHMENTS), HAS_ATTACH)
        | flag(associated, ASSOCIATED)
        | bits.kept()
}

fn take_string(bag: &mut PropertyBag, tag: ringpost_mapi::PropTag) -> Option<String> {
    match bag.remove(tag)? {
        PropValue::String(text) => Some(text),
        other => {
            bag.set(tag, other);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_what_they_take() {
        let text = |t: &str| PropValue::String(t.to_owned());
        let mut bag: PropertyBag = [
            (tags::IMPORTANCE, PropValue::Integer32(2)),
            (tags::MESSAGE_CLASS, text("IPM.Note")),
            (tags::SUBJECT, text("Re: Hello")),
            (tags::SUBJECT_PREFIX, text("Re: ")),
            (tags::NORMALIZED_SUBJECT, text("Hello")),
            (tags::SENT_REPRESENTING_NAME, text("Ann")),
        ]
        .into_iter()
        .collect();
        let whole = bag.clone();
        let columns = Columns::take(&mut bag, true);
        assert_eq!(columns.class, None, "the usual class takes no bytes");
        assert_eq!(bag.len(), 1, "only the prefix stays in the bag");
        columns.put(&mut bag, false, 10, FileTime(1), FileTime(2));
        for (tag, value) in whole.iter() {
            assert_eq!(bag.get(tag), Some(value), "{tag:?}");
        }
        assert_eq!(bag.get(tags::HAS_ATTACHMENTS), Some(&PropValue::Boolean(true)));
    }
}
