//! From an address to the mailboxes behind it: aliases, extensions, forwards, groups (alias_resolve(4gx)).

use std::collections::HashSet;

use ringpost_directory::{Account, AccountKind, Directory};
use ringpost_host::{MailboxRef, Notify};

use crate::{EXPANSION_MAX, MAILBOXES_MAX, Options, Undeliverable};

/// A recipient that can get the message: at least one mailbox, or one address elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// As the client named it.
    pub address: String,
    /// Where its mail goes. Each mailbox is here once, with its account's primary address.
    pub mailboxes: Vec<(String, MailboxRef)>,
    /// Addresses of other servers that its mail goes to (contacts, forwards, members of groups), each once.
    /// The queue takes them.
    pub outgoing: Vec<String>,
    /// NOTIFY, as the client said it.
    pub notify: Notify,
    /// ORCPT, as the client said it, decoded.
    pub original: Option<String>,
}

/// Finds the mailboxes for mail from `sender` (empty for the null reverse-path) to `address`.
///
/// A group needs the sender's right to write to it, nested ones too. Members that are unknown, disabled or
/// closed to this sender are passed over as long as another one remains. Contacts, forwards and members outside
/// of this server are [`Recipient::outgoing`]; where nothing can be sent out ([`Options::sends_out`]), they refuse
/// the whole recipient, because nobody would tell the sender that one was left out.
///
/// # Errors
/// [`Undeliverable`] says why no mail can go there.
pub fn resolve(
    directory: &dyn Directory,
    options: &Options,
    sender: &str,
    address: &str,
) -> Result<Recipient, Undeliverable> {
    let address = match &options.postmaster {
        Some(postmaster) if address.eq_ignore_ascii_case("postmaster") => postmaster,
        _ => address,
    };
    let mut expansion = Expansion {
        directory,
        sender,
        sends_out: options.sends_out,
        mailboxes: Vec::new(),
        outgoing: Vec::new(),
        visited: HashSet::new(),
        pending: Vec::new(),
        failure: None,
    };
    expansion.enter(find(directory, options, address)?)?;
    while let Some(member) = expansion.pending.pop() {
        let entered = match find(directory, options, &member) {
            Ok(account) => expansion.enter(account),
            Err(Undeliverable::NotLocal) => expansion.leave(member.clone()),
            Err(reason) => Err(reason),
        };
        match entered {
            Ok(()) => {}
            Err(Undeliverable::Outgoing) => return Err(Undeliverable::Outgoing),
            Err(Undeliverable::TooManyMembers) => return Err(Undeliverable::TooManyMembers),
            Err(reason) => {
                tracing::info!(list = address, member, %reason, "a member of a list gets no mail");
                expansion.failure.get_or_insert(reason);
            }
        }
    }
    if expansion.mailboxes.is_empty() && expansion.outgoing.is_empty() {
        return Err(Undeliverable::EmptyGroup);
    }
    Ok(Recipient {
        address: address.to_owned(),
        mailboxes: expansion.mailboxes,
        outgoing: expansion.outgoing,
        notify: Notify::Default,
        original: None,
    })
}

/// The account behind an address of this server: by its primary address, an alias, or with an extension.
///
/// # Errors
/// [`Undeliverable`] says why there is none.
pub fn account_of(
    directory: &dyn Directory,
    options: &Options,
    address: &str,
) -> Result<std::sync::Arc<Account>, Undeliverable> {
    find(directory, options, address)
}

struct Expansion<'a> {
    directory: &'a dyn Directory,
    sender: &'a str,
    sends_out: bool,
    mailboxes: Vec<(String, MailboxRef)>,
    outgoing: Vec<String>,
    /// Primary addresses seen so far: cuts cycles and removes duplicates.
    visited: HashSet<String>,
    pending: Vec<String>,
    failure: Option<Undeliverable>,
}

impl Expansion<'_> {
    /// Takes an account in: its mailbox, its members or where it forwards to.
    fn enter(&mut self, account: std::sync::Arc<Account>) -> Result<(), Undeliverable> {
        if !self.visited.insert(account.username.clone()) {
            return Ok(());
        }
        if !account.enabled {
            return Err(Undeliverable::Disabled);
        }
        if let Some(forward) = &account.forward {
            // Another mailbox of this server needs no outgoing mail.
            self.push(forward.address.clone())?;
            if !forward.keep_copy {
                return Ok(());
            }
        }
        match account.kind {
            AccountKind::List => {
                if !self.directory.may_send_to(&account, self.sender) {
                    return Err(Undeliverable::SenderNotAllowed);
                }
                self.directory
                    .members(&account)
                    .into_iter()
                    .try_for_each(|member| self.push(member))
            }
            // Its address elsewhere is its forward.
            AccountKind::Contact if account.forward.is_some() => Ok(()),
            AccountKind::Contact => Err(Undeliverable::NoMailbox),
            AccountKind::PublicStore => Err(Undeliverable::NoMailbox),
            AccountKind::User | AccountKind::Room | AccountKind::Equipment | AccountKind::Shared => {
                let mailbox = account.mailbox.as_ref().ok_or(Undeliverable::NoMailbox)?;
                if self.mailboxes.len() == MAILBOXES_MAX {
                    return Err(Undeliverable::TooManyMembers);
                }
                let mailbox = MailboxRef {
                    guid: mailbox.guid,
                    path: mailbox.path.clone(),
                };
                self.mailboxes.push((account.username.clone(), mailbox));
                Ok(())
            }
        }
    }

    /// Takes in an address of another server.
    fn leave(&mut self, address: String) -> Result<(), Undeliverable> {
        if !self.sends_out {
            return Err(Undeliverable::Outgoing);
        }
        if self.outgoing.len() == MAILBOXES_MAX {
            return Err(Undeliverable::TooManyMembers);
        }
        if self.visited.insert(address.to_ascii_lowercase()) {
            self.outgoing.push(address);
        }
        Ok(())
    }

    fn push(&mut self, address: String) -> Result<(), Undeliverable> {
        if self.pending.len() + self.visited.len() >= EXPANSION_MAX {
            return Err(Undeliverable::TooManyMembers);
        }
        self.pending.push(address);
        Ok(())
    }
}

/// The account of an address: as it stands, then without its extension.
fn find(
    directory: &dyn Directory,
    options: &Options,
    address: &str,
) -> Result<std::sync::Arc<Account>, Undeliverable> {
    let (local, domain) = address.rsplit_once('@').ok_or(Undeliverable::UnknownRecipient)?;
    let served = directory.domain(domain).ok_or(Undeliverable::NotLocal)?;
    if !served.enabled {
        return Err(Undeliverable::DomainDisabled);
    }
    if let Some(account) = directory.account(address) {
        return Ok(account);
    }
    // An address that begins with a delimiter has no extension: nothing would be left of it.
    let delimiter = local
        .char_indices()
        .skip(1)
        .find(|&(_, character)| options.recipient_delimiter.contains(character));
    delimiter
        .and_then(|(at, _)| directory.account(&format!("{}@{domain}", &local[..at])))
        .ok_or(Undeliverable::UnknownRecipient)
}
