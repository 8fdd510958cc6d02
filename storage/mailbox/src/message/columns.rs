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
    }
}

impl MessageBits {
    pub(crate) fn imap(self) -> Flags {
        Flags::from_bits_truncate((self & Self::IMAP).bits() as u8)
    }

    pub(crate) fn with_imap(self, flags: Flags) -> Self {
        (self - Self::IMAP) | Self::from_bits_retain(i64::from(flags.bits()))
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
        for computed in [
            tags::MESSAGE_FLAGS,
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
    pub(crate) fn put(self, bag: &mut PropertyBag, size: u64, received: FileTime, modified: FileTime) {
        let importance = match self.bits {
            b if b.contains(MessageBits::LOW_IMPORTANCE) => 0,
            b if b.contains(MessageBits::HIGH_IMPORTANCE) => 2,
            _ => 1,
        };
        let attachments = self.bits.contains(MessageBits::HAS_ATTACHMENTS);
        bag.set(tags::IMPORTANCE, PropValue::Integer32(importance));
        bag.set(
            tags::MESSAGE_FLAGS,
            PropValue::Integer32(message_flags(self.bits)),
        );
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
fn message_flags(bits: MessageBits) -> i32 {
    const READ: i32 = 0x01;
    const UNSENT: i32 = 0x08;
    const HAS_ATTACH: i32 = 0x10;
    let imap = bits.imap();
    let flag = |set: bool, flag: i32| if set { flag } else { 0 };
    flag(imap.contains(Flags::SEEN), READ)
        | flag(imap.contains(Flags::DRAFT), UNSENT)
        | flag(bits.contains(MessageBits::HAS_ATTACHMENTS), HAS_ATTACH)
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
        columns.put(&mut bag, 10, FileTime(1), FileTime(2));
        for (tag, value) in whole.iter() {
            assert_eq!(bag.get(tag), Some(value), "{tag:?}");
        }
        assert_eq!(bag.get(tags::HAS_ATTACHMENTS), Some(&PropValue::Boolean(true)));
    }
}
