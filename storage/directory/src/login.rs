//! What the authenticator asks of a back end.

use crate::{AccountKind, AccountMailbox, DirectoryError, Privileges, Status};

/// What a login is decided by; read anew for every one.
#[derive(Clone)]
pub struct LoginRecord {
    /// Primary address.
    pub username: String,
    /// What it is.
    pub kind: AccountKind,
    /// The account's and its domain's, whichever is worse.
    pub status: Status,
    /// Hash of the password in a crypt format; empty if there is none.
    pub password_hash: String,
    /// Whether an external directory checks the password (`externid` has a value).
    pub external: bool,
    /// Services it may use.
    pub privileges: Privileges,
    /// Language.
    pub locale: String,
    /// Its mailbox, if it is here.
    pub mailbox: Option<AccountMailbox>,
}

/// Logins, as a back end serves them. May block: called on helper threads only.
pub trait LoginBackend: Send + Sync {
    /// The account with this address, which may be an alias.
    fn login_record(&self, address: &str) -> Result<Option<LoginRecord>, DirectoryError>;

    /// Sets the password of an account that has none (`enable_firsttimepw`). `false`: it has one already.
    fn set_first_password(&self, username: &str, hash: &str) -> Result<bool, DirectoryError>;

    /// Whether `actor` owns the store of `username`; both are primary addresses.
    fn is_store_owner(&self, username: &str, actor: &str) -> Result<bool, DirectoryError>;
}
