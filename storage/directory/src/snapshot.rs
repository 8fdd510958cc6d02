//! An immutable view of all accounts in memory: what every core asks.
//!
//! A lookup is one or two probes of a hash map; it allocates only when the address is not in lower case or
//! its domain is an alias. An account costs about 500 bytes.

use std::sync::Arc;

use ahash::AHashMap;

use crate::{Account, AccountKind, Directory, Domain, ListType, Privileges, Quota, SendPolicy, lower_case};

/// The local part under which a domain's public store stands among the mailboxes, as in gromox.
const PUBLIC_STORE_NAME: &str = "public.folder.root";

/// All accounts at one moment.
#[derive(Default)]
pub struct Snapshot {
    accounts: Vec<Arc<Account>>,
    /// Primary addresses and aliases to places in `accounts`.
    by_address: AHashMap<Box<str>, u32>,
    /// By name and by alias.
    domains: AHashMap<Box<str>, DomainEntry>,
    public_stores: Vec<Arc<Account>>,
    /// The rest by place in `accounts`, only where there is something.
    lists: AHashMap<u32, List>,
    quotas: AHashMap<u32, Quota>,
    /// Who else may send as an account.
    send_as: AHashMap<u32, Vec<u32>>,
    home_servers: AHashMap<u32, Arc<str>>,
    domain_users: AHashMap<Box<str>, Vec<u32>>,
}

#[derive(Clone)]
struct DomainEntry {
    domain: Arc<Domain>,
    organisation: Option<i64>,
}

/// A mailing list; its addresses are sorted.
pub(crate) struct List {
    pub(crate) reach: ListType,
    pub(crate) policy: SendPolicy,
    pub(crate) members: Vec<Box<str>>,
    pub(crate) senders: Vec<Box<str>>,
}

impl Snapshot {
    /// How many accounts there are, of all kinds.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// All accounts.
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }

    fn place(&self, address: &str) -> Option<u32> {
        let address = lower_case(address);
        if let Some(place) = self.by_address.get(address.as_ref()) {
            return Some(*place);
        }
        let (local, domain) = address.rsplit_once('@')?;
        let main = &self.domains.get(domain)?.domain.name;
        if main == domain {
            return None;
        }
        self.by_address.get(format!("{local}@{main}").as_str()).copied()
    }

    fn list(&self, list: &Account) -> Option<&List> {
        self.lists.get(self.by_address.get(list.username.as_str())?)
    }

    /// A sender as lists keep addresses: an account's primary address, or in lower case what is elsewhere.
    fn correspondent(&self, address: &str) -> String {
        match self
            .place(address)
            .and_then(|place| self.accounts.get(place as usize))
        {
            Some(account) => account.username.clone(),
            None => lower_case(address).into_owned(),
        }
    }

    fn is_internal(&self, list: &Account, sender: &str) -> bool {
        let Some(account) = self.account(sender) else {
            return false;
        };
        let organisation = |name: &str| self.domains.get(name).and_then(|entry| entry.organisation);
        account.domain == list.domain
            || organisation(&list.domain).is_some_and(|id| organisation(&account.domain) == Some(id))
    }
}

impl Directory for Snapshot {
    fn account(&self, address: &str) -> Option<Arc<Account>> {
        self.accounts.get(self.place(address)? as usize).cloned()
    }

    fn domain(&self, name: &str) -> Option<Arc<Domain>> {
        let entry = self.domains.get(lower_case(name).as_ref())?;
        Some(Arc::clone(&entry.domain))
    }

    fn members(&self, list: &Account) -> Vec<String> {
        let Some(entry) = self.list(list) else {
            return Vec::new();
        };
        match entry.reach {
            ListType::Normal => entry.members.iter().map(ToString::to_string).collect(),
            ListType::Domain => self
                .domain_users
                .get(list.domain.as_str())
                .into_iter()
                .flatten()
                .filter_map(|place| self.accounts.get(*place as usize))
                .map(|account| account.username.clone())
                .collect(),
        }
    }

    fn may_send_to(&self, list: &Account, sender: &str) -> bool {
        let Some(entry) = self.list(list) else {
            return false;
        };
        let is_among = |addresses: &[Box<str>]| {
            let sender = self.correspondent(sender);
            addresses
                .binary_search_by(|address| address.as_ref().cmp(&sender))
                .is_ok()
        };
        match (entry.policy, entry.reach) {
            (SendPolicy::All, _) => true,
            (SendPolicy::Internal, _) => self.is_internal(list, sender),
            (SendPolicy::Members, ListType::Normal) => is_among(&entry.members),
            (SendPolicy::Members, ListType::Domain) => self
                .account(sender)
                .is_some_and(|account| account.domain == list.domain),
            (SendPolicy::Domain, _) => {
                let domain = sender.rsplit_once('@').map(|(_, domain)| domain);
                domain
                    .and_then(|name| self.domain(name))
                    .is_some_and(|domain| domain.name == list.domain)
            }
            (SendPolicy::Specified, _) => is_among(&entry.senders),
        }
    }

    fn may_send_as(&self, account: &Account, user: &str) -> bool {
        if account.username == user {
            return true;
        }
        let place = |address: &str| self.by_address.get(address);
        let (Some(account), Some(user)) = (place(&account.username), place(user)) else {
            return false;
        };
        self.send_as
            .get(account)
            .is_some_and(|users| users.contains(user))
    }

    fn mailboxes(&self) -> Vec<Arc<Account>> {
        self.accounts
            .iter()
            .filter(|account| account.mailbox.is_some())
            .chain(&self.public_stores)
            .cloned()
            .collect()
    }

    fn quota(&self, account: &Account) -> Quota {
        self.by_address
            .get(account.username.as_str())
            .and_then(|place| self.quotas.get(place))
            .copied()
            .unwrap_or_default()
    }

    fn home_server(&self, account: &Account) -> Option<Arc<str>> {
        let place = self.by_address.get(account.username.as_str())?;
        self.home_servers.get(place).cloned()
    }
}

/// Puts a snapshot together from rows, which are told by their ids. Rows of what is not there (of a deleted
/// account, say) are passed over.
#[derive(Default)]
pub(crate) struct Builder {
    snapshot: Snapshot,
    domain_names: AHashMap<i64, Box<str>>,
    places: AHashMap<i64, u32>,
    list_places: AHashMap<i64, u32>,
    server_names: AHashMap<String, Arc<str>>,
}

impl Builder {
    pub(crate) fn domain(&mut self, id: i64, domain: Domain, organisation: Option<i64>) {
        if let Some(mailbox) = &domain.public_store {
            self.snapshot.public_stores.push(Arc::new(Account {
                username: format!("{PUBLIC_STORE_NAME}@{}", domain.name),
                kind: AccountKind::PublicStore,
                domain: domain.name.clone(),
                display_name: domain.name.clone(),
                mailbox: Some(mailbox.clone()),
                forward: None,
                enabled: domain.enabled,
                locale: String::new(),
                privileges: Privileges::NONE,
            }));
        }
        let name: Box<str> = domain.name.as_str().into();
        self.domain_names.insert(id, name.clone());
        let entry = DomainEntry {
            domain: Arc::new(domain),
            organisation,
        };
        self.snapshot.domains.insert(name, entry);
    }

    pub(crate) fn domain_alias(&mut self, alias: String, domain: i64) {
        let entry = self
            .domain_names
            .get(&domain)
            .and_then(|name| self.snapshot.domains.get(name))
            .cloned();
        if let Some(entry) = entry {
            self.snapshot.domains.insert(alias.into(), entry);
        }
    }

    pub(crate) fn account(&mut self, id: i64, account: Arc<Account>, home: Option<String>) {
        let place = self.snapshot.accounts.len() as u32;
        self.places.insert(id, place);
        self.snapshot
            .by_address
            .insert(account.username.as_str().into(), place);
        if let Some(home) = home {
            let name = self
                .server_names
                .entry(home)
                .or_insert_with_key(|name| name.as_str().into());
            self.snapshot.home_servers.insert(place, Arc::clone(name));
        }
        self.snapshot.accounts.push(account);
    }

    pub(crate) fn alias(&mut self, alias: String, account: i64) {
        if let Some(place) = self.places.get(&account) {
            self.snapshot.by_address.insert(alias.into(), *place);
        }
    }

    pub(crate) fn quota(&mut self, account: i64, set: impl FnOnce(&mut Quota)) {
        if let Some(place) = self.places.get(&account) {
            set(self.snapshot.quotas.entry(*place).or_default());
        }
    }

    /// `user` may send as `account`.
    pub(crate) fn send_as(&mut self, account: i64, user: i64) {
        if let (Some(account), Some(user)) = (self.places.get(&account), self.places.get(&user)) {
            self.snapshot.send_as.entry(*account).or_default().push(*user);
        }
    }

    pub(crate) fn list(&mut self, id: i64, account: i64, list: List) {
        if let Some(place) = self.places.get(&account) {
            self.list_places.insert(id, *place);
            self.snapshot.lists.insert(*place, list);
        }
    }

    /// Members come sorted, as do senders.
    pub(crate) fn member(&mut self, list: i64, address: String) {
        if let Some(list) = self.list_of(list) {
            list.members.push(address.into());
        }
    }

    pub(crate) fn sender(&mut self, list: i64, address: String) {
        if let Some(list) = self.list_of(list) {
            list.senders.push(address.into());
        }
    }

    fn list_of(&mut self, list: i64) -> Option<&mut List> {
        self.snapshot.lists.get_mut(self.list_places.get(&list)?)
    }

    pub(crate) fn build(mut self) -> Snapshot {
        let snapshot = &mut self.snapshot;
        for (place, list) in &snapshot.lists {
            if list.reach == ListType::Domain {
                let domain = &snapshot.accounts[*place as usize].domain;
                snapshot.domain_users.entry(domain.as_str().into()).or_default();
            }
        }
        if !snapshot.domain_users.is_empty() {
            for (place, account) in snapshot.accounts.iter().enumerate() {
                let reached = account.kind == AccountKind::User && account.enabled;
                if let (true, Some(users)) = (reached, snapshot.domain_users.get_mut(account.domain.as_str()))
                {
                    users.push(place as u32);
                }
            }
        }
        snapshot.by_address.shrink_to_fit();
        snapshot.accounts.shrink_to_fit();
        self.snapshot
    }
}
