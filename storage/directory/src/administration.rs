//! What an administrator can do to a directory, whatever keeps it.

use crate::{
    AccountChange, AccountFilter, AccountRecord, DirectoryError, DomainChange, DomainRecord, MailboxPlace,
    NewAccount, Organisation, Server,
};

type Result<T> = std::result::Result<T, DirectoryError>;

/// Creating, changing, listing and deleting. Every method is one transaction: all of it or nothing.
pub trait Administration: Send + Sync {
    /// All organisations by name.
    fn organisations(&self) -> Result<Vec<Organisation>>;
    /// A new organisation.
    fn create_organisation(&self, organisation: &Organisation) -> Result<()>;
    /// Puts `organisation` in the place of the one named `name`.
    fn change_organisation(&self, name: &str, organisation: &Organisation) -> Result<()>;
    /// Deletes an organisation that no domain belongs to.
    fn delete_organisation(&self, name: &str) -> Result<()>;

    /// All servers by name.
    fn servers(&self) -> Result<Vec<Server>>;
    /// A new server.
    fn create_server(&self, server: &Server) -> Result<()>;
    /// Puts `server` in the place of the one named `hostname`.
    fn change_server(&self, hostname: &str, server: &Server) -> Result<()>;
    /// Deletes a server that is nobody's home.
    fn delete_server(&self, hostname: &str) -> Result<()>;

    /// All domains by name.
    fn domains(&self) -> Result<Vec<DomainRecord>>;
    /// A new domain.
    fn create_domain(&self, name: &str, settings: &DomainChange) -> Result<()>;
    /// Changes a domain.
    fn change_domain(&self, name: &str, change: &DomainChange) -> Result<()>;
    /// Deletes a domain that has no accounts.
    fn delete_domain(&self, name: &str) -> Result<()>;
    /// Another name for a domain: the same accounts are reached by it.
    fn add_domain_alias(&self, name: &str, alias: &str) -> Result<()>;
    /// Takes the other name away.
    fn remove_domain_alias(&self, alias: &str) -> Result<()>;
    /// Gives the domain a public store, or with `None` takes it away (the store stays on disk).
    fn set_public_store(&self, domain: &str, place: Option<&MailboxPlace>) -> Result<()>;

    /// Accounts by address.
    fn accounts(&self, filter: &AccountFilter) -> Result<Vec<AccountRecord>>;
    /// One account, by its primary address or an alias.
    fn account_record(&self, address: &str) -> Result<AccountRecord>;
    /// A new account.
    fn create_account(&self, account: &NewAccount) -> Result<()> {
        self.create_accounts(std::slice::from_ref(account))
    }
    /// New accounts: all of them or, when one is refused, none. Costs one sync.
    fn create_accounts(&self, accounts: &[NewAccount]) -> Result<()>;
    /// Changes an account.
    fn change_account(&self, address: &str, change: &AccountChange) -> Result<()>;
    /// Deletes an account, its aliases, memberships and rights. Its mailbox stays on disk.
    fn delete_account(&self, address: &str) -> Result<()>;
    /// Another address for an account.
    fn add_alias(&self, address: &str, alias: &str) -> Result<()>;
    /// Takes the other address away.
    fn remove_alias(&self, alias: &str) -> Result<()>;
    /// Lets `owner` log in to the mailbox of `address` (`owner!address`).
    fn add_store_owner(&self, address: &str, owner: &str) -> Result<()>;
    /// Takes that right away.
    fn remove_store_owner(&self, address: &str, owner: &str) -> Result<()>;
    /// Lets `sender` send in the name of `address`.
    fn add_send_as(&self, address: &str, sender: &str) -> Result<()>;
    /// Takes that right away.
    fn remove_send_as(&self, address: &str, sender: &str) -> Result<()>;
    /// A property of the account by its tag (`user_properties`), or with `None` none.
    fn set_property(&self, address: &str, tag: u32, value: Option<&str>) -> Result<()>;
    /// The account's properties by tag.
    fn properties(&self, address: &str) -> Result<Vec<(u32, String)>>;

    /// Adds a member to a list: an account here or an address elsewhere.
    fn add_member(&self, list: &str, member: &str) -> Result<()>;
    /// Removes a member from a list.
    fn remove_member(&self, list: &str, member: &str) -> Result<()>;
    /// Names an address that may send under [`crate::SendPolicy::Specified`].
    fn add_sender(&self, list: &str, sender: &str) -> Result<()>;
    /// Takes it from those who may send.
    fn remove_sender(&self, list: &str, sender: &str) -> Result<()>;
}
