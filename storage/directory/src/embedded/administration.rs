//! [`Administration`] over the file: each method is one transaction around the functions of the siblings.

use super::{EmbeddedDirectory, Result, accounts, lists, objects};
use crate::{
    AccountChange, AccountFilter, AccountRecord, Administration, DomainChange, DomainRecord, MailboxPlace,
    NewAccount, Organisation, Server,
};

impl Administration for EmbeddedDirectory {
    fn organisations(&self) -> Result<Vec<Organisation>> {
        self.read(objects::organisations)
    }

    fn create_organisation(&self, organisation: &Organisation) -> Result<()> {
        self.write(|transaction| objects::save_organisation(transaction, None, organisation))
    }

    fn change_organisation(&self, name: &str, organisation: &Organisation) -> Result<()> {
        self.write(|transaction| objects::save_organisation(transaction, Some(name), organisation))
    }

    fn delete_organisation(&self, name: &str) -> Result<()> {
        self.write(|transaction| objects::delete_organisation(transaction, name))
    }

    fn servers(&self) -> Result<Vec<Server>> {
        self.read(objects::servers)
    }

    fn create_server(&self, server: &Server) -> Result<()> {
        self.write(|transaction| objects::save_server(transaction, None, server))
    }

    fn change_server(&self, hostname: &str, server: &Server) -> Result<()> {
        self.write(|transaction| objects::save_server(transaction, Some(hostname), server))
    }

    fn delete_server(&self, hostname: &str) -> Result<()> {
        self.write(|transaction| objects::delete_server(transaction, hostname))
    }

    fn domains(&self) -> Result<Vec<DomainRecord>> {
        self.read(|transaction| self.read_domains(transaction))
    }

    fn create_domain(&self, name: &str, settings: &DomainChange) -> Result<()> {
        self.write(|transaction| objects::create_domain(transaction, name, settings))
    }

    fn change_domain(&self, name: &str, change: &DomainChange) -> Result<()> {
        self.write(|transaction| objects::change_domain(transaction, name, change))
    }

    fn delete_domain(&self, name: &str) -> Result<()> {
        self.write(|transaction| objects::delete_domain(transaction, name))
    }

    fn add_domain_alias(&self, name: &str, alias: &str) -> Result<()> {
        self.write(|transaction| objects::add_domain_alias(transaction, name, alias))
    }

    fn remove_domain_alias(&self, alias: &str) -> Result<()> {
        self.write(|transaction| objects::remove_domain_alias(transaction, alias))
    }

    fn set_public_store(&self, domain: &str, place: Option<&MailboxPlace>) -> Result<()> {
        self.write(|transaction| self.write_public_store(transaction, domain, place))
    }

    fn accounts(&self, filter: &AccountFilter) -> Result<Vec<AccountRecord>> {
        self.read(|transaction| self.read_accounts(transaction, filter))
    }

    fn account_record(&self, address: &str) -> Result<AccountRecord> {
        self.read(|transaction| self.read_account(transaction, address))
    }

    fn create_accounts(&self, accounts: &[NewAccount]) -> Result<()> {
        self.write(|transaction| {
            accounts
                .iter()
                .try_for_each(|account| self.write_account(transaction, account))
        })
    }

    fn change_account(&self, address: &str, change: &AccountChange) -> Result<()> {
        self.write(|transaction| accounts::change(transaction, address, change))
    }

    fn delete_account(&self, address: &str) -> Result<()> {
        self.write(|transaction| accounts::delete(transaction, address))
    }

    fn add_alias(&self, address: &str, alias: &str) -> Result<()> {
        self.write(|transaction| accounts::add_alias(transaction, address, alias))
    }

    fn remove_alias(&self, alias: &str) -> Result<()> {
        self.write(|transaction| accounts::remove_alias(transaction, alias))
    }

    fn add_store_owner(&self, address: &str, owner: &str) -> Result<()> {
        self.write(|transaction| accounts::add_store_owner(transaction, address, owner))
    }

    fn remove_store_owner(&self, address: &str, owner: &str) -> Result<()> {
        self.write(|transaction| accounts::remove_store_owner(transaction, address, owner))
    }

    fn add_send_as(&self, address: &str, sender: &str) -> Result<()> {
        self.write(|transaction| accounts::add_send_as(transaction, address, sender))
    }

    fn remove_send_as(&self, address: &str, sender: &str) -> Result<()> {
        self.write(|transaction| accounts::remove_send_as(transaction, address, sender))
    }

    fn set_property(&self, address: &str, tag: u32, value: Option<&str>) -> Result<()> {
        self.write(|transaction| accounts::set_property(transaction, address, tag, value))
    }

    fn properties(&self, address: &str) -> Result<Vec<(u32, String)>> {
        self.read(|transaction| accounts::properties(transaction, address))
    }

    fn add_member(&self, list: &str, member: &str) -> Result<()> {
        self.write(|transaction| lists::MEMBERS.add(transaction, list, member))
    }

    fn remove_member(&self, list: &str, member: &str) -> Result<()> {
        self.write(|transaction| lists::MEMBERS.remove(transaction, list, member))
    }

    fn add_sender(&self, list: &str, sender: &str) -> Result<()> {
        self.write(|transaction| lists::SENDERS.add(transaction, list, sender))
    }

    fn remove_sender(&self, list: &str, sender: &str) -> Result<()> {
        self.write(|transaction| lists::SENDERS.remove(transaction, list, sender))
    }
}
