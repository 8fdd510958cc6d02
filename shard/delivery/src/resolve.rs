//! From an address to the mailboxes behind it: aliases, extensions, forwards, groups (alias_resolve(4gx)).

use std::collections::HashSet;

use ringpost_directory::{Account, AccountKind, Directory};
use ringpost_host::MailboxRef;

use crate::{EXPANSION_MAX, MAILBOXES_MAX, Options, Undeliverable};

/// A recipient that can get the message: at least one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// As the client named it.
    pub address: String,
    /// Where its mail goes. Each mailbox is here once, with its account's primary address.
    pub mailboxes: Vec<(String, MailboxRef)>,
}

/// Finds the mailboxes for mail from `sender` (empty for the null reverse-path) to `address`.
///
/// A group needs the sender's right to write to it, nested ones too. Members that are unknown, disabled or
/// closed to this sender are passed over as long as another one remains; a member outside of this server
/// refuses the whole group, because nobody would tell the sender that it was left out.
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
        mailboxes: Vec::new(),
        visited: HashSet::new(),
        pending: Vec::new(),
        failure: None,
    };
    expansion.enter(find(directory, options, address)?)?;
    while let Some(member) = expansion.pending.pop() {
        let entered = find(directory, options, &member).and_then(|account| expansion.enter(account));
        match entered {
            Ok(()) => {}
            Err(Undeliverable::NotLocal | Undeliverable::Outgoing) => return Err(Undeliverable::Outgoing),
            Err(Undeliverable::TooManyMembers) => return Err(Undeliverable::TooManyMembers),
            Err(reason) => {
                tracing::info!(list = address, member, %reason, "a member of a list gets no mail");
                expansion.failure.get_or_insert(reason);
            }
        }
    }
    if expansion.mailboxes.is_empty() {
        return Err(Undeliverable::EmptyGroup);
    }
    Ok(Recipient {
        address: address.to_owned(),
        mailboxes: expansion.mailboxes,
    })
}

struct Expansion<'a> {
    directory: &'a dyn Directory,
    sender: &'a str,
    mailboxes: Vec<(String, MailboxRef)>,
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
            AccountKind::Contact => Err(Undeliverable::Outgoing),
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
