//! The objects that an administrator creates, changes and lists.
//!
//! `New…` is what creating one takes, `…Change` what can be changed (a `None` leaves it), `…Record` what
//! listing shows.

use std::path::PathBuf;

use ringpost_mapi::MailboxGuid;
use serde::Serialize;

use crate::{AccountKind, DirectoryError, Forward, Privileges};

/// Members a list may have.
pub const MEMBERS_MAX: usize = 10_000;
/// Addresses that may be named as a list's senders.
pub const SENDERS_MAX: usize = 1_000;
/// Aliases an account may have.
pub const ALIASES_MAX: usize = 500;
/// Aliases a domain may have.
pub const DOMAIN_ALIASES_MAX: usize = 500;
/// Characters of a name, title or description.
pub const TEXT_MAX: usize = 256;
/// Characters of a user property's value (gromox's `propval_str`).
pub const PROPERTY_MAX: usize = 4096;
/// Properties an account may have.
pub const PROPERTIES_MAX: usize = 256;
/// Octets of an `externid` (gromox's column).
pub const EXTERN_ID_MAX: usize = 64;

/// `users.address_status`, the account's own part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Receives and, if it is a user, logs in.
    #[default]
    Active,
    /// Neither receives nor logs in.
    Suspended,
    /// Like a suspended one, and hidden; kept for its data.
    Deleted,
}

impl Status {
    /// `users.address_status` and (shifted by four bits) `domains.domain_status`.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Active => 0,
            Self::Suspended => 1,
            Self::Deleted => 3,
        }
    }

    /// What is unknown counts as suspended.
    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            0 => Self::Active,
            3 => Self::Deleted,
            _ => Self::Suspended,
        }
    }
}

/// `users.address_status` of a shared mailbox: receives, and nobody logs in to it.
pub(crate) const STATUS_SHARED: i64 = 4;
/// `users.address_status` of a contact.
pub(crate) const STATUS_CONTACT: i64 = 5;

impl AccountKind {
    /// `PidTagDisplayTypeEx` (MS-OXOABK 2.2.3.12).
    pub fn display_type(self) -> u32 {
        match self {
            Self::User | Self::Shared => 0,
            Self::List => 1,
            Self::PublicStore => 2,
            Self::Contact => 6,
            Self::Room => 7,
            Self::Equipment => 8,
        }
    }

    /// The kind that `display_type` and `address_status` tell.
    pub(crate) fn from_codes(display_type: i64, address_status: i64) -> Self {
        match (display_type, address_status & 0x0f) {
            (_, STATUS_CONTACT) | (6, _) => Self::Contact,
            (1 | 9, _) => Self::List,
            (7, _) => Self::Room,
            (8, _) => Self::Equipment,
            (_, STATUS_SHARED) => Self::Shared,
            _ => Self::User,
        }
    }

    /// The word for it in messages and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Room => "room",
            Self::Equipment => "equipment",
            Self::Shared => "shared mailbox",
            Self::List => "list",
            Self::Contact => "contact",
            Self::PublicStore => "public store",
        }
    }

    /// Whether such an account has a mailbox.
    pub fn has_mailbox(self) -> bool {
        !matches!(self, Self::List | Self::Contact)
    }
}

impl Default for Privileges {
    /// Everything, as a new account gets.
    fn default() -> Self {
        Self {
            imap: true,
            pop3: true,
            smtp: true,
            change_password: true,
        }
    }
}

impl Privileges {
    /// No service.
    pub const NONE: Self = Self {
        imap: false,
        pop3: false,
        smtp: false,
        change_password: false,
    };

    // gromox has one bit for IMAP and POP3; the embedded directory has one more that takes POP3 away.
    const IMAP_POP3: u32 = 1;
    const SMTP: u32 = 1 << 1;
    const CHANGE_PASSWORD: u32 = 1 << 2;
    const NO_POP3: u32 = 1 << 16;
    const NO_IMAP: u32 = 1 << 17;

    /// `users.privilege_bits`.
    pub fn bits(self) -> u32 {
        let mut bits = 0;
        let mut set = |condition: bool, bit: u32| bits |= if condition { bit } else { 0 };
        set(self.imap || self.pop3, Self::IMAP_POP3);
        set(self.pop3 && !self.imap, Self::NO_IMAP);
        set(self.imap && !self.pop3, Self::NO_POP3);
        set(self.smtp, Self::SMTP);
        set(self.change_password, Self::CHANGE_PASSWORD);
        bits
    }

    /// From `users.privilege_bits`; bits of other services are left out.
    pub fn from_bits(bits: u32) -> Self {
        let both = bits & Self::IMAP_POP3 != 0;
        Self {
            imap: both && bits & Self::NO_IMAP == 0,
            pop3: both && bits & Self::NO_POP3 == 0,
            smtp: bits & Self::SMTP != 0,
            change_password: bits & Self::CHANGE_PASSWORD != 0,
        }
    }
}

/// Storage limits of a mailbox, in KiB as MAPI counts them; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Quota {
    /// `PidTagStorageQuota`: warn from here.
    pub warn_kib: Option<u32>,
    /// `PidTagProhibitSendQuota`: no sending from here.
    pub send_kib: Option<u32>,
    /// `PidTagProhibitReceiveQuota`: no receiving from here.
    pub receive_kib: Option<u32>,
}

/// Who may send to a list (`mlists.list_privilege`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SendPolicy {
    /// Everybody.
    #[default]
    All,
    /// Accounts of the list's organisation (of its domain, where it belongs to none).
    Internal,
    /// The list's members.
    Members,
    /// Addresses of the list's domain.
    Domain,
    /// The addresses named as senders.
    Specified,
}

impl SendPolicy {
    // gromox's numbers; what it calls "internal" is our `Members`, and 5 is our own.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::All => 0,
            Self::Members => 1,
            Self::Domain => 2,
            Self::Specified => 3,
            Self::Internal => 5,
        }
    }

    /// What is unknown counts as the narrowest: nobody is named.
    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            0 | 4 => Self::All,
            1 => Self::Members,
            2 => Self::Domain,
            5 => Self::Internal,
            _ => Self::Specified,
        }
    }
}

/// Whom a list reaches (`mlists.list_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListType {
    /// The members it names.
    #[default]
    Normal,
    /// Every user of its domain.
    Domain,
}

impl ListType {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Normal => 0,
            Self::Domain => 2,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        if code == 2 { Self::Domain } else { Self::Normal }
    }
}

/// An organisation: what shares an address book.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Organisation {
    /// Its name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// `orgparam`: its own LDAP settings and the like.
    pub parameters: Vec<(String, String)>,
}

/// A server that may be an account's home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Server {
    /// The name it knows itself by (`host_id`).
    pub hostname: String,
    /// The name clients reach it by.
    pub extname: String,
}

/// A domain, as it is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DomainRecord {
    /// Its name.
    pub name: String,
    /// Its organisation.
    pub organisation: Option<String>,
    /// Free text.
    pub title: String,
    /// Most users it may have; 0 is no limit.
    pub max_users: u32,
    /// Active or not.
    pub status: Status,
    /// Home of its public store.
    pub home_server: Option<String>,
    /// Other names of the domain.
    pub aliases: Vec<String>,
    /// Accounts it has.
    pub accounts: u32,
    /// Folder of its public store.
    pub public_store: Option<PathBuf>,
}

/// What of a domain can be set.
#[derive(Clone, Debug, Default)]
pub struct DomainChange {
    /// Its organisation, or none.
    pub organisation: Option<Option<String>>,
    /// Free text.
    pub title: Option<String>,
    /// Most users it may have; 0 is no limit.
    pub max_users: Option<u32>,
    /// Active or not.
    pub status: Option<Status>,
    /// Home of its public store, or here.
    pub home_server: Option<Option<String>>,
}

/// Where a new account's mailbox is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailboxPlace {
    /// The store's identity.
    pub guid: MailboxGuid,
    /// Its folder; one below the directory file's folder is kept relative to it.
    pub path: PathBuf,
}

impl MailboxPlace {
    /// A place for a store that does not exist yet.
    pub fn new(path: PathBuf) -> Result<Self, DirectoryError> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| DirectoryError::InvalidValue {
            what: "random numbers",
            reason: error.to_string(),
        })?;
        // Version 4, variant 1 (RFC 9562 §5.4); the first three fields are little-endian on the wire.
        bytes[7] = bytes[7] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self {
            guid: MailboxGuid(ringpost_mapi::Guid(bytes)),
            path,
        })
    }
}

/// An account, as it is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AccountRecord {
    /// Primary address.
    pub username: String,
    /// What it is.
    pub kind: AccountKind,
    /// `PidTagDisplayName`
    pub display_name: String,
    /// Active or not.
    pub status: Status,
    /// Other addresses.
    pub aliases: Vec<String>,
    /// Where mail goes instead or as well.
    pub forward: Option<Forward>,
    /// Services it may use.
    pub privileges: Privileges,
    /// Whether it has a password.
    pub has_password: bool,
    /// Its key in an external directory, in hexadecimal digits where it is not text.
    pub extern_id: Option<String>,
    /// Language.
    pub locale: String,
    /// Time zone.
    pub timezone: String,
    /// Storage limits.
    pub quota: Quota,
    /// Home server, if one is given.
    pub home_server: Option<String>,
    /// Its mailbox.
    pub mailbox: Option<PathBuf>,
    /// The mailbox's identity.
    pub mailbox_guid: Option<String>,
    /// Who else may log in to its mailbox.
    pub store_owners: Vec<String>,
    /// Who may send in its name without owning its mailbox.
    pub send_as: Vec<String>,
    /// For lists: their settings.
    pub list: Option<ListSettings>,
}

/// A list's own settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ListSettings {
    /// Whom it reaches.
    pub list_type: ListType,
    /// Who may send.
    pub send_policy: SendPolicy,
    /// Its members, where it names them.
    pub members: Vec<String>,
    /// Who may send under [`SendPolicy::Specified`].
    pub senders: Vec<String>,
}

/// A new account of any kind.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Primary address; its domain must exist.
    pub address: String,
    /// What it is.
    pub kind: AccountKind,
    /// Where its mailbox is, for kinds that have one.
    pub mailbox: Option<MailboxPlace>,
    /// All the rest.
    pub settings: AccountChange,
}

/// What of an account can be set.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// A new primary address in the same or another domain. The old one is not kept as an alias.
    pub rename: Option<String>,
    /// The password's hash ([`crate::password::hash`]); empty takes the password away.
    pub password_hash: Option<String>,
    /// Its key in an external directory, or none.
    pub extern_id: Option<Option<Vec<u8>>>,
    /// `PidTagDisplayName`
    pub display_name: Option<String>,
    /// Active or not.
    pub status: Option<Status>,
    /// Services it may use.
    pub privileges: Option<Privileges>,
    /// Language, such as `de_DE`.
    pub locale: Option<String>,
    /// Time zone, such as `Europe/Vienna`.
    pub timezone: Option<String>,
    /// Storage limits.
    pub quota: Option<Quota>,
    /// Home server, or here.
    pub home_server: Option<Option<String>>,
    /// A forward, or none. A contact always has one.
    pub forward: Option<Option<Forward>>,
    /// Whom a list reaches.
    pub list_type: Option<ListType>,
    /// Who may send to a list.
    pub send_policy: Option<SendPolicy>,
}

/// Which accounts to list.
#[derive(Clone, Debug, Default)]
pub struct AccountFilter {
    /// Only this kind.
    pub kind: Option<AccountKind>,
    /// Only this domain.
    pub domain: Option<String>,
    /// Only addresses and names that contain this, in any case.
    pub contains: Option<String>,
}
