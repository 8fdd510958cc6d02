//! Accounts: organisations, domains, users, aliases, groups, contacts, resources, servers.
//!
//! Three interfaces, so that a second back end (MariaDB with gromox's schema) can take the place of the
//! embedded one:
//!
//! - [`Directory`]: what readers see, an immutable view of all accounts. Every core holds one
//!   ([`Snapshot`]) and asks it without locks, allocations or system calls.
//! - [`LoginBackend`]: what [`auth::Authenticator`] asks while it checks a login, on a helper thread.
//! - [`Administration`]: what `ringpost admin` does: create, change, list, delete.
//!
//! [`EmbeddedDirectory`] implements the latter two over one SQLite file, `directory.sqlite3`, and makes the
//! snapshots. The file is in WAL mode, so that an administrator's process may write while the server reads;
//! the server asks [`EmbeddedDirectory::changed_since_snapshot`] now and then and makes a new snapshot in
//! the background.

mod address;
mod administration;
pub mod auth;
mod embedded;
mod error;
mod login;
pub mod password;
mod records;
mod snapshot;
pub mod user_filter;

use std::{path::Path, sync::Arc};

use ringpost_mapi::MailboxGuid;
use serde::Serialize;

pub use address::{Address, DOMAIN_MAX, DomainName, LABEL_MAX, LOCAL_PART_MAX, lower_case};
pub use administration::Administration;
pub use embedded::{EmbeddedDirectory, FILE_NAME};
pub use error::DirectoryError;
pub use login::{LoginBackend, LoginRecord};
pub use records::*;
pub use snapshot::Snapshot;

/// A consistent, immutable view of all accounts. Names and addresses are compared case-insensitively.
pub trait Directory: Send + Sync {
    /// The account that receives mail for this address: by its primary address or an alias of its own or of
    /// its domain.
    fn account(&self, address: &str) -> Option<Arc<Account>>;

    /// A domain served here, also by its alias.
    fn domain(&self, name: &str) -> Option<Arc<Domain>>;

    /// The members of a group or mailing list, by their primary addresses: not expanded further.
    fn members(&self, list: &Account) -> Vec<String>;

    /// Whether `sender` may send to this group or mailing list (mlist_expand's privileges).
    fn may_send_to(&self, list: &Account, sender: &str) -> bool;

    /// Whether the account with the primary address `user` may send in the name of `account`: its own, one whose
    /// store it owns, or one that it was given the right for.
    fn may_send_as(&self, account: &Account, user: &str) -> bool {
        account.username == user
    }

    /// All accounts with a mailbox on this server, public stores included.
    fn mailboxes(&self) -> Vec<Arc<Account>>;

    /// The account's storage quota.
    fn quota(&self, account: &Account) -> Quota {
        let _ = account;
        Quota::default()
    }

    /// The name of the server that has the account's mailbox, where one is given; else it is here.
    fn home_server(&self, account: &Account) -> Option<Arc<str>> {
        let _ = account;
        None
    }
}

/// What an account is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// A person.
    User,
    /// A room.
    Room,
    /// Equipment.
    Equipment,
    /// A mailbox nobody logs in to.
    Shared,
    /// A mailing list or group.
    List,
    /// An address elsewhere.
    Contact,
    /// A domain's public folders.
    PublicStore,
}

/// An entry that has an address.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// Primary address, lower case.
    pub username: String,
    /// What it is.
    pub kind: AccountKind,
    /// Its domain.
    pub domain: String,
    /// `PidTagDisplayName`
    pub display_name: String,
    /// Its mailbox, if it has one here.
    pub mailbox: Option<AccountMailbox>,
    /// Where mail goes instead or as well, for contacts and forwards.
    pub forward: Option<Forward>,
    /// May receive mail and log in.
    pub enabled: bool,
    /// Language, such as `de_DE`.
    pub locale: String,
    /// Services it may use.
    pub privileges: Privileges,
}

/// Where an account's mailbox is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountMailbox {
    /// The store's identity.
    pub guid: MailboxGuid,
    /// `maildir`: its folder on disk.
    pub path: Arc<Path>,
}

/// A forward to another address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Forward {
    /// The other address.
    pub address: String,
    /// Also keep a copy here.
    pub keep_copy: bool,
}

/// Services an account may use (`privilege_bits`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Privileges {
    /// IMAP
    pub imap: bool,
    /// POP3
    pub pop3: bool,
    /// SMTP submission
    pub smtp: bool,
    /// Changing the password
    pub change_password: bool,
}

/// A domain served here.
#[derive(Clone, PartialEq, Debug)]
pub struct Domain {
    /// Its name, lower case.
    pub name: String,
    /// Active or suspended.
    pub enabled: bool,
    /// Its public store.
    pub public_store: Option<AccountMailbox>,
}
