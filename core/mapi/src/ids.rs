//! Identifiers of the store (MS-OXCDATA 2.2).

use std::fmt;

/// A 16-byte GUID in its wire order (MS-DTYP 2.3.4.2: the first three fields little-endian).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    /// Registry form without braces: `00020329-0000-0000-c000-000000000046`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:02x}{:02x}-",
            u32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            u16::from_le_bytes([b[4], b[5]]),
            u16::from_le_bytes([b[6], b[7]]),
            b[8],
            b[9]
        )?;
        b[10..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl std::str::FromStr for Guid {
    type Err = InvalidGuid;

    fn from_str(text: &str) -> Result<Self, InvalidGuid> {
        let text = text
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'))
            .unwrap_or(text);
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&i| bytes[i] != b'-') {
            return Err(InvalidGuid);
        }
        let mut raw = [0u8; 16];
        let digits: Vec<u8> = bytes
            .iter()
            .filter(|&&c| c != b'-')
            .map(|&c| (c as char).to_digit(16).map(|d| d as u8).ok_or(InvalidGuid))
            .collect::<Result<_, _>>()?;
        if digits.len() != 32 {
            return Err(InvalidGuid);
        }
        for (byte, pair) in raw.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        raw[0..4].reverse();
        raw[4..6].reverse();
        raw[6..8].reverse();
        Ok(Self(raw))
    }
}

/// The text is not a GUID in registry form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID in the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")]
pub struct InvalidGuid;

/// The GUID of a mailbox (`PidTagStoreRecordKey`); decides which core owns it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MailboxGuid(pub Guid);

impl fmt::Display for MailboxGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The replica id of the store's own replica: the high 16 bits of every id the store allocates itself
/// (MS-OXCDATA 2.2.1.1).
pub const OWN_REPLICA: u16 = 1;
/// The highest global counter: 48 bits (MS-OXCDATA 2.2.1.3).
pub const GLOBAL_COUNTER_MAX: u64 = (1 << 48) - 1;

macro_rules! replica_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// In memory it is the replica id in the high 16 bits and the global counter in the low 48 bits. On
        /// disk ids of the own replica leave the high bits zero, which makes them short integers
        /// ([`Self::to_disk`], [`Self::from_disk`]).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl $name {
            /// The id of the store's own replica with this global counter.
            pub const fn own(counter: u64) -> Self {
                Self((OWN_REPLICA as u64) << 48 | counter & GLOBAL_COUNTER_MAX)
            }
            /// The replica that allocated the id.
            pub const fn replica(self) -> u16 {
                (self.0 >> 48) as u16
            }
            /// The 48-bit counter within the replica.
            pub const fn counter(self) -> u64 {
                self.0 & GLOBAL_COUNTER_MAX
            }
            /// The integer that the database keeps.
            pub const fn to_disk(self) -> i64 {
                if self.replica() == OWN_REPLICA { self.counter() as i64 } else { self.0 as i64 }
            }
            /// The id that the database's integer stands for.
            pub const fn from_disk(value: i64) -> Self {
                if (value as u64) >> 48 == 0 { Self::own(value as u64) } else { Self(value as u64) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}-{:x})", stringify!($name), self.replica(), self.counter())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}-{:x}", self.replica(), self.counter())
            }
        }
    };
}

replica_id! {
    /// Identifies a folder in its store (MS-OXCDATA 2.2.1.1).
    FolderId
}
replica_id! {
    /// Identifies a message in its store (MS-OXCDATA 2.2.1.2).
    MessageId
}

/// A store-wide, ever growing number: every change gets the next one (MS-OXCFXICS 2.2.1.2.3). It is also
/// IMAP's MODSEQ (RFC 7162) and EWS's sync state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ChangeNumber(pub u64);

impl fmt::Display for ChangeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IMAP unique identifier (RFC 9051 §2.3.1.1), also MAPI's article number. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Uid(pub u32);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 100 ns intervals since 1601-01-01 UTC (MS-DTYP 2.3.3), MAPI's time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct FileTime(pub u64);

impl FileTime {
    const UNIX_EPOCH: u64 = 116_444_736_000_000_000;

    /// From seconds since 1970; times before 1601 become 1601.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        let ticks = i128::from(Self::UNIX_EPOCH) + i128::from(seconds) * 10_000_000;
        Self(u64::try_from(ticks.max(0)).unwrap_or(u64::MAX))
    }

    /// Whole seconds since 1970, rounded down.
    pub fn unix_seconds(self) -> i64 {
        (self.0 as i128 - i128::from(Self::UNIX_EPOCH)).div_euclid(10_000_000) as i64
    }

    /// The clock's time now.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self(Self::UNIX_EPOCH + (since.as_nanos() / 100) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guid_text_round_trips() {
        let text = "00020329-0000-0000-c000-000000000046";
        let guid: Guid = text.parse().unwrap();
        assert_eq!(guid.0[..4], [0x29, 0x03, 0x02, 0x00]);
        assert_eq!(guid.to_string(), text);
        assert!("00020329-0000-0000-c000-00000000004".parse::<Guid>().is_err());
    }

    #[test]
    fn own_ids_are_short_on_disk() {
        let id = MessageId::own(0x1234);
        assert_eq!((id.replica(), id.to_disk()), (1, 0x1234));
        assert_eq!(MessageId::from_disk(0x1234), id);
        let foreign = MessageId(5 << 48 | 7);
        assert_eq!(MessageId::from_disk(foreign.to_disk()), foreign);
    }

    #[test]
    fn file_time_is_unix_time_shifted() {
        assert_eq!(FileTime::from_unix_seconds(0).0, 116_444_736_000_000_000);
        assert_eq!(FileTime::from_unix_seconds(-1).unix_seconds(), -1);
    }
}
