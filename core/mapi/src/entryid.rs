//! Entry ids and the ids they are made of (MS-OXCDATA 2.2).

use crate::{CodecError, FolderId, GLOBAL_COUNTER_MAX, Guid, MessageId, Reader, wire};

/// The longest name, type or address in an entry id, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 4096;

/// A replica's GUID and a counter in it: a global identifier (GID, 2.2.1.3), which other stores know too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GlobalId {
    /// The replica.
    pub replica: Guid,
    /// The 48-bit counter.
    pub counter: u64,
}

impl GlobalId {
    /// The 22 bytes of a GID, such as `PidTagSourceKey`.
    pub fn encode(self) -> [u8; 22] {
        let mut out = [0; 22];
        out[..16].copy_from_slice(&self.replica.0);
        out[16..].copy_from_slice(&self.counter.to_be_bytes()[2..]);
        out
    }

    /// Reads a GID.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let replica = Guid(reader.array(ENTRY_ID)?);
        let bytes: [u8; 6] = reader.array(ENTRY_ID)?;
        let counter = bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
        Ok(Self { replica, counter })
    }

    /// The 24 bytes of a long-term id (2.2.1.3.1): a GID and two bytes of padding.
    pub fn encode_long_term(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..22].copy_from_slice(&self.encode());
        out
    }

    /// Reads a long-term id.
    pub fn read_long_term(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let id = Self::read(reader)?;
        reader.u16(ENTRY_ID)?;
        Ok(id)
    }
}

/// The eight wire bytes of a folder's or message's id (2.2.1.1, 2.2.1.2): the replica id little-endian, the
/// counter with its highest byte first.
pub fn encode_replica_id(id: u64) -> [u8; 8] {
    let mut out = [0; 8];
    out[..2].copy_from_slice(&((id >> 48) as u16).to_le_bytes());
    out[2..].copy_from_slice(&(id & GLOBAL_COUNTER_MAX).to_be_bytes()[2..]);
    out
}

/// The id of eight wire bytes.
pub fn decode_replica_id(bytes: [u8; 8]) -> u64 {
    let [low, high, counter @ ..] = bytes;
    counter
        .iter()
        .fold(u64::from(u16::from_le_bytes([low, high])), |value, &byte| {
            value << 8 | u64::from(byte)
        })
}

/// A folder's entry id (2.2.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FolderEntryId {
    /// The mailbox; in public stores [`PUBLIC_PROVIDER`].
    pub provider: Guid,
    /// Whether the folder is in a public store.
    pub public: bool,
    /// The folder.
    pub folder: GlobalId,
}

/// A message's entry id (2.2.4.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageEntryId {
    /// The mailbox; in public stores [`PUBLIC_PROVIDER`].
    pub provider: Guid,
    /// Whether the message is in a public store.
    pub public: bool,
    /// The message's folder.
    pub folder: GlobalId,
    /// The message.
    pub message: GlobalId,
}

impl FolderEntryId {
    /// Its 46 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.public {
            PUBLIC_FOLDER
        } else {
            PRIVATE_FOLDER
        };
        let mut out = head(self.provider, kind, 46);
        out.extend_from_slice(&self.folder.encode_long_term());
        out
    }

    /// The entry id that is all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let (provider, kind) = read_head(&mut reader)?;
        let public = match kind {
            PRIVATE_FOLDER => false,
            PUBLIC_FOLDER => true,
            _ => return Err(CodecError::Invalid(ENTRY_ID)),
        };
        let folder = GlobalId::read_long_term(&mut reader)?;
        reader.finish(ENTRY_ID)?;
        Ok(Self {
            provider,
            public,
            folder,
        })
    }
}

impl MessageEntryId {
    /// Its 70 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.public {
            PUBLIC_MESSAGE
        } else {
            PRIVATE_MESSAGE
        };
        let mut out = head(self.provider, kind, 70);
        out.extend_from_slice(&self.folder.encode_long_term());
        out.extend_from_slice(&self.message.encode_long_term());
        out
    }

    /// The entry id that is all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let (provider, kind) = read_head(&mut reader)?;
        let public = match kind {
            PRIVATE_MESSAGE => false,
            PUBLIC_MESSAGE => true,
            _ => return Err(CodecError::Invalid(ENTRY_ID)),
        };
        let folder = GlobalId::read_long_term(&mut reader)?;
        let message = GlobalId::read_long_term(&mut reader)?;
        reader.finish(ENTRY_ID)?;
        Ok(Self {
            provider,
            public,
            folder,
            message,
        })
    }
}

/// A store's entry id (2.2.4.3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StoreEntryId {
    /// Whether it is a public store.
    pub public: bool,
    /// The server's short name.
    pub server: String,
    /// The legacy distinguished name of the mailbox, or of the public store's server.
    pub mailbox_dn: String,
}

impl StoreEntryId {
    /// Its bytes. Names are cut at a zero byte.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&STORE_PROVIDER.0);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(STORE_DLL);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(if self.public {
            &PUBLIC_PROVIDER.0
        } else {
            &PRIVATE_PROVIDER.0
        });
        out.extend_from_slice(&(if self.public { OPEN_PUBLIC } else { OPEN_MAILBOX }).to_le_bytes());
        for name in [&self.server, &self.mailbox_dn] {
            out.extend(name.bytes().take_while(|&byte| byte != 0));
            out.push(0);
        }
        out
    }

    /// The entry id in `bytes`. What newer versions append (2.2.4.3, the V2 and V3 parts) is passed over.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.u32(ENTRY_ID)?;
        let provider = Guid(reader.array(ENTRY_ID)?);
        reader.u16(ENTRY_ID)?;
        let dll: [u8; 14] = reader.array(ENTRY_ID)?;
        reader.u32(ENTRY_ID)?;
        let wrapped = Guid(reader.array(ENTRY_ID)?);
        reader.u32(ENTRY_ID)?;
        if provider != STORE_PROVIDER || !dll.eq_ignore_ascii_case(STORE_DLL) {
            return Err(CodecError::Invalid(ENTRY_ID));
        }
        let public = match wrapped {
            PRIVATE_PROVIDER => false,
            PUBLIC_PROVIDER => true,
            _ => return Err(CodecError::Invalid(ENTRY_ID)),
        };
        let server = text8(&mut reader)?;
        // A public store's may end here.
        let mailbox_dn = if reader.is_empty() {
            String::new()
        } else {
            text8(&mut reader)?
        };
        Ok(Self {
            public,
            server,
            mailbox_dn,
        })
    }
}

/// The entry id of a recipient outside the address book (2.2.5.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct OneOffEntryId {
    /// The flags in front of the strings, [`Self::UNICODE`] aside, which says how they are written.
    pub flags: u16,
    /// The name to show.
    pub display_name: String,
    /// The address type, such as `SMTP`.
    pub address_type: String,
    /// The address.
    pub address: String,
}

impl OneOffEntryId {
    /// The strings are UTF-16.
    pub const UNICODE: u16 = 0x8000;
    /// The recipient must not get rich text.
    pub const NO_RICH_TEXT: u16 = 0x0001;

    /// An entry id for an address, without rich text.
    pub fn new(display_name: &str, address_type: &str, address: &str) -> Self {
        Self {
            flags: Self::NO_RICH_TEXT,
            display_name: display_name.to_owned(),
            address_type: address_type.to_owned(),
            address: address.to_owned(),
        }
    }

    /// Its bytes, the strings in UTF-16.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&ONE_OFF_PROVIDER.0);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(self.flags | Self::UNICODE).to_le_bytes());
        for text in [&self.display_name, &self.address_type, &self.address] {
            wire::write_utf16z(&mut out, text);
        }
        out
    }

    /// The entry id in `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.u32(ENTRY_ID)?;
        if Guid(reader.array(ENTRY_ID)?) != ONE_OFF_PROVIDER {
            return Err(CodecError::Invalid(ENTRY_ID));
        }
        reader.u16(ENTRY_ID)?;
        let flags = reader.u16(ENTRY_ID)?;
        let read = if flags & Self::UNICODE == 0 { text8 } else { text16 };
        Ok(Self {
            flags: flags & !Self::UNICODE,
            display_name: read(&mut reader)?,
            address_type: read(&mut reader)?,
            address: read(&mut reader)?,
        })
    }
}

/// The entry id of an address book object (2.2.5.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AddressBookEntryId {
    /// What it is: 0 a user, 1 a distribution list, and so on.
    pub kind: u32,
    /// Its legacy distinguished name.
    pub dn: String,
}

impl AddressBookEntryId {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&ADDRESS_BOOK_PROVIDER.0);
        out.extend_from_slice(&1u32.to_le_bytes());
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend(self.dn.bytes().take_while(|&byte| byte != 0));
        out.push(0);
        out
    }

    /// The entry id in `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.u32(ENTRY_ID)?;
        if Guid(reader.array(ENTRY_ID)?) != ADDRESS_BOOK_PROVIDER || reader.u32(ENTRY_ID)? != 1 {
            return Err(CodecError::Invalid(ENTRY_ID));
        }
        Ok(Self {
            kind: reader.u32(ENTRY_ID)?,
            dn: text8(&mut reader)?,
        })
    }
}

/// `PtypServerId`'s value for a folder or message of this store (MS-OXCDATA 2.11.1.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ServerId {
    /// The folder.
    pub folder: FolderId,
    /// The message; counter zero means the folder itself.
    pub message: MessageId,
    /// Which of the rows of a multi-valued property.
    pub instance: u32,
}

impl ServerId {
    /// Its 21 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.extend_from_slice(&encode_replica_id(self.folder.0));
        out.extend_from_slice(&encode_replica_id(self.message.0));
        out.extend_from_slice(&self.instance.to_le_bytes());
        out
    }

    /// The server id that is all of `bytes`; an error too where it isn't one of a store.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        if reader.u8(ENTRY_ID)? != 1 {
            return Err(CodecError::Invalid(ENTRY_ID));
        }
        let folder = FolderId(decode_replica_id(reader.array(ENTRY_ID)?));
        let message = MessageId(decode_replica_id(reader.array(ENTRY_ID)?));
        let instance = reader.u32(ENTRY_ID)?;
        reader.finish(ENTRY_ID)?;
        Ok(Self {
            folder,
            message,
            instance,
        })
    }
}

/// Provider of public stores' folders and messages.
pub const PUBLIC_PROVIDER: Guid = Guid([
    0x1a, 0x44, 0x73, 0x90, 0xaa, 0x66, 0x11, 0xcd, 0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a,
]);
/// Provider of address book objects.
pub const ADDRESS_BOOK_PROVIDER: Guid = Guid([
    0xdc, 0xa7, 0x40, 0xc8, 0xc0, 0x42, 0x10, 0x1a, 0xb4, 0xb9, 0x08, 0x00, 0x2b, 0x2f, 0xe1, 0x82,
]);
/// Provider of recipients outside the address book.
pub const ONE_OFF_PROVIDER: Guid = Guid([
    0x81, 0x2b, 0x1f, 0xa4, 0xbe, 0xa3, 0x10, 0x19, 0x9d, 0x6e, 0x00, 0xdd, 0x01, 0x0f, 0x54, 0x02,
]);

const STORE_PROVIDER: Guid = Guid([
    0x38, 0xa1, 0xbb, 0x10, 0x05, 0xe5, 0x10, 0x1a, 0xa1, 0xbb, 0x08, 0x00, 0x2b, 0x2a, 0x56, 0xc2,
]);
const PRIVATE_PROVIDER: Guid = Guid([
    0x1b, 0x55, 0xfa, 0x20, 0xaa, 0x66, 0x11, 0xcd, 0x9b, 0xc8, 0x00, 0xaa, 0x00, 0x2f, 0xc4, 0x5a,
]);
const STORE_DLL: &[u8; 14] = b"emsmdb.dll\0\0\0\0";
const OPEN_MAILBOX: u32 = 0x0c;
const OPEN_PUBLIC: u32 = 0x06;
const PRIVATE_FOLDER: u16 = 1;
const PUBLIC_FOLDER: u16 = 3;
const PRIVATE_MESSAGE: u16 = 7;
const PUBLIC_MESSAGE: u16 = 9;
const ENTRY_ID: &str = "entry id";

fn head(provider: Guid, kind: u16, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&provider.0);
    out.extend_from_slice(&kind.to_le_bytes());
    out
}

fn read_head(reader: &mut Reader<'_>) -> Result<(Guid, u16), CodecError> {
    reader.u32(ENTRY_ID)?;
    Ok((Guid(reader.array(ENTRY_ID)?), reader.u16(ENTRY_ID)?))
}

fn text8(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    let bytes = wire::read_bytes_z(reader)?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(CodecError::OverLimit(ENTRY_ID));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn text16(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    let text = wire::read_utf16z(reader)?;
    if text.len() > MAX_TEXT_BYTES {
        Err(CodecError::OverLimit(ENTRY_ID))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAILBOX: Guid = Guid([0x11; 16]);

    fn id(counter: u64) -> GlobalId {
        GlobalId {
            replica: Guid([0x22; 16]),
            counter,
        }
    }

    #[test]
    fn ids_have_their_wire_order() {
        assert_eq!(id(0x0102).encode()[16..], [0, 0, 0, 0, 1, 2]);
        assert_eq!(
            encode_replica_id(FolderId::own(0x0d).0),
            [1, 0, 0, 0, 0, 0, 0, 0x0d]
        );
        assert_eq!(
            decode_replica_id(encode_replica_id(0xfedc_ba98_7654_3210)),
            0xfedc_ba98_7654_3210
        );
    }

    #[test]
    fn folder_and_message_entry_ids_round_trip() {
        for public in [false, true] {
            let folder = FolderEntryId {
                provider: MAILBOX,
                public,
                folder: id(13),
            };
            let bytes = folder.encode();
            assert_eq!((bytes.len(), bytes[20]), (46, if public { 3 } else { 1 }));
            assert_eq!(FolderEntryId::decode(&bytes), Ok(folder));
            let message = MessageEntryId {
                provider: MAILBOX,
                public,
                folder: id(13),
                message: id(0x1000),
            };
            let bytes = message.encode();
            assert_eq!((bytes.len(), bytes[20]), (70, if public { 9 } else { 7 }));
            assert_eq!(MessageEntryId::decode(&bytes), Ok(message));
            assert_eq!(FolderEntryId::decode(&bytes), Err(CodecError::Invalid(ENTRY_ID)));
            assert_eq!(
                MessageEntryId::decode(&bytes[..69]),
                Err(CodecError::Truncated(ENTRY_ID))
            );
        }
    }

    #[test]
    fn other_entry_ids_round_trip() {
        let store = StoreEntryId {
            public: false,
            server: "host".into(),
            mailbox_dn: "/o=x/cn=alice".into(),
        };
        assert_eq!(StoreEntryId::decode(&store.encode()), Ok(store));
        let one_off = OneOffEntryId::new("Grüße", "SMTP", "a@b.example");
        let bytes = one_off.encode();
        assert_eq!(bytes[20..24], [0, 0, 1, 0x80]);
        assert_eq!(OneOffEntryId::decode(&bytes), Ok(one_off));
        let user = AddressBookEntryId {
            kind: 0,
            dn: "/o=x/cn=alice".into(),
        };
        assert_eq!(AddressBookEntryId::decode(&user.encode()), Ok(user));
        let server = ServerId {
            folder: FolderId::own(13),
            message: MessageId::own(7),
            instance: 0,
        };
        assert_eq!(server.encode().len(), 21);
        assert_eq!(ServerId::decode(&server.encode()), Ok(server));
    }

    #[test]
    fn foreign_and_overlong_entry_ids_are_refused() {
        let mut long = OneOffEntryId::new("a", "SMTP", &"x".repeat(MAX_TEXT_BYTES));
        assert!(OneOffEntryId::decode(&long.encode()).is_ok());
        long.address.push('x');
        assert_eq!(
            OneOffEntryId::decode(&long.encode()),
            Err(CodecError::OverLimit(ENTRY_ID))
        );
        assert!(AddressBookEntryId::decode(&long.encode()).is_err());
        assert!(StoreEntryId::decode(&[0; 60]).is_err());
        assert!(ServerId::decode(&[0; 21]).is_err(), "not one of a store");
    }
}
