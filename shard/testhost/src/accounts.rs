//! Accounts of a test, each with a fresh mailbox in a temporary folder.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use ringpost_directory::{
    Account, AccountKind, AccountMailbox, Directory, Domain, Forward, Privileges, Quota,
};
use ringpost_host::{Credentials, Login, LoginError, MailboxRef};
use ringpost_mapi::{Guid, MailboxGuid};
use ringpost_store::{CreateOptions, Mailbox, MailboxKind};
use tempfile::TempDir;

/// All accounts of a test. The folder of their mailboxes goes with it.
pub struct TestDirectory {
    root: TempDir,
    accounts: HashMap<String, Arc<Account>>,
    aliases: HashMap<String, String>,
    passwords: HashMap<String, String>,
    members: HashMap<String, Vec<String>>,
    closed_lists: HashMap<String, Vec<String>>,
    domains: HashMap<String, Arc<Domain>>,
    quotas: HashMap<String, Quota>,
    send_as: HashSet<(String, String)>,
}

impl Default for TestDirectory {
    fn default() -> Self {
        Self::new()
    }
}

impl TestDirectory {
    /// No accounts yet.
    pub fn new() -> Self {
        Self {
            root: TempDir::new().expect("a temporary folder"),
            accounts: HashMap::new(),
            aliases: HashMap::new(),
            passwords: HashMap::new(),
            members: HashMap::new(),
            closed_lists: HashMap::new(),
            domains: HashMap::new(),
            quotas: HashMap::new(),
            send_as: HashSet::new(),
        }
    }

    /// A user with a password and a new private mailbox.
    #[must_use]
    pub fn user(mut self, address: &str, password: &str) -> Self {
        let number = self.accounts.len() as u16 + 1;
        let mailbox = self.create_mailbox(number, MailboxKind::Private);
        self.passwords.insert(address.to_owned(), password.to_owned());
        self.add(address, AccountKind::User, Some(mailbox), None)
    }

    /// Another address of an account.
    #[must_use]
    pub fn alias(mut self, alias: &str, address: &str) -> Self {
        self.aliases.insert(alias.to_owned(), address.to_owned());
        self
    }

    /// A mailing list that anybody may send to.
    #[must_use]
    pub fn list(mut self, address: &str, members: &[&str]) -> Self {
        self.members.insert(
            address.to_owned(),
            members.iter().map(|&m| m.to_owned()).collect(),
        );
        self.add(address, AccountKind::List, None, None)
    }

    /// A mailing list that only these may send to.
    #[must_use]
    pub fn closed_list(mut self, address: &str, members: &[&str], senders: &[&str]) -> Self {
        self.closed_lists.insert(
            address.to_owned(),
            senders.iter().map(|&s| s.to_owned()).collect(),
        );
        self.list(address, members)
    }

    /// An address elsewhere.
    #[must_use]
    pub fn contact(self, address: &str, elsewhere: &str) -> Self {
        let forward = Forward {
            address: elsewhere.to_owned(),
            keep_copy: false,
        };
        self.add(address, AccountKind::Contact, None, Some(forward))
    }

    /// Lets `user` send in the name of `address`.
    #[must_use]
    pub fn send_as(mut self, address: &str, user: &str) -> Self {
        self.send_as.insert((address.to_owned(), user.to_owned()));
        self
    }

    /// A domain's public store.
    #[must_use]
    pub fn public_store(mut self, domain: &str) -> Self {
        let mailbox = self.create_mailbox(u16::MAX, MailboxKind::Public);
        let entry = Domain {
            name: domain.to_owned(),
            enabled: true,
            public_store: Some(mailbox),
        };
        self.domains.insert(domain.to_owned(), Arc::new(entry));
        self
    }

    /// Changes an account, for example to disable it.
    #[must_use]
    pub fn change(mut self, address: &str, change: impl FnOnce(&mut Account)) -> Self {
        let account = self
            .accounts
            .get_mut(address)
            .expect("the account was added before");
        change(Arc::make_mut(account));
        self
    }

    /// From what size on, in KiB, an account is warned.
    #[must_use]
    pub fn warn_quota(mut self, address: &str, kib: u32) -> Self {
        self.quotas.entry(address.to_owned()).or_default().warn_kib = Some(kib);
        self
    }

    /// Limits what an account's mailbox may hold, in KiB.
    #[must_use]
    pub fn receive_quota(mut self, address: &str, kib: u32) -> Self {
        self.quotas.entry(address.to_owned()).or_default().receive_kib = Some(kib);
        self
    }

    /// Where an account's mailbox is.
    pub fn mailbox(&self, address: &str) -> MailboxRef {
        let account = self.account(address).expect("the account was added");
        let mailbox = account.mailbox.as_ref().expect("the account has a mailbox");
        MailboxRef {
            guid: mailbox.guid,
            path: Arc::clone(&mailbox.path),
        }
    }

    /// What [`ringpost_host::Host::login`] answers.
    pub fn login(&self, credentials: &Credentials) -> Result<Login, LoginError> {
        let account = self.account(&credentials.login).ok_or(LoginError::Invalid)?;
        if self.passwords.get(&account.username) != Some(&credentials.password) {
            return Err(LoginError::Invalid);
        }
        if !account.enabled {
            return Err(LoginError::NotPermitted("account disabled"));
        }
        Ok(Login {
            username: account.username.clone(),
            effective: account.username.clone(),
            mailbox: self.mailbox(&account.username),
            locale: account.locale.clone(),
        })
    }

    fn create_mailbox(&self, number: u16, kind: MailboxKind) -> AccountMailbox {
        let [high, low] = number.to_be_bytes();
        let mut bytes = [low; 16];
        bytes[0] = high;
        let guid = MailboxGuid(Guid(bytes));
        let path: Arc<Path> = self.root.path().join(guid.to_string()).into();
        let options = CreateOptions {
            kind,
            guid,
            locale: "en".to_owned(),
        };
        Mailbox::create(&path, &options).expect("a new mailbox");
        AccountMailbox { guid, path }
    }

    fn add(
        mut self,
        address: &str,
        kind: AccountKind,
        mailbox: Option<AccountMailbox>,
        forward: Option<Forward>,
    ) -> Self {
        let (local, domain) = address.split_once('@').expect("an address with a domain");
        let account = Account {
            username: address.to_owned(),
            kind,
            domain: domain.to_owned(),
            display_name: local.to_owned(),
            mailbox,
            forward,
            enabled: true,
            locale: "en".to_owned(),
            privileges: Privileges {
                imap: true,
                pop3: true,
                smtp: true,
                change_password: true,
            },
        };
        self.accounts.insert(address.to_owned(), Arc::new(account));
        let entry = || {
            Arc::new(Domain {
                name: domain.to_owned(),
                enabled: true,
                public_store: None,
            })
        };
        self.domains.entry(domain.to_owned()).or_insert_with(entry);
        self
    }
}

impl Directory for TestDirectory {
    fn account(&self, address: &str) -> Option<Arc<Account>> {
        let address = address.to_ascii_lowercase();
        let primary = self.aliases.get(&address).unwrap_or(&address);
        self.accounts.get(primary).cloned()
    }

    fn domain(&self, name: &str) -> Option<Arc<Domain>> {
        self.domains.get(&name.to_ascii_lowercase()).cloned()
    }

    fn members(&self, list: &Account) -> Vec<String> {
        self.members.get(&list.username).cloned().unwrap_or_default()
    }

    fn may_send_to(&self, list: &Account, sender: &str) -> bool {
        self.closed_lists
            .get(&list.username)
            .is_none_or(|senders| senders.iter().any(|s| s == sender))
    }

    fn may_send_as(&self, account: &Account, user: &str) -> bool {
        account.username == user
            || self
                .send_as
                .contains(&(account.username.clone(), user.to_owned()))
    }

    fn quota(&self, account: &Account) -> Quota {
        self.quotas.get(&account.username).copied().unwrap_or_default()
    }

    fn mailboxes(&self) -> Vec<Arc<Account>> {
        self.accounts
            .values()
            .filter(|account| account.mailbox.is_some())
            .cloned()
            .collect()
    }
}
