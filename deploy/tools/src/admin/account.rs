//! Accounts of all kinds.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use ringpost_directory::{
    AccountChange, AccountFilter, AccountKind, AccountRecord, Address, Administration, Forward, MailboxPlace,
    NewAccount, Privileges, Quota, password,
};
use ringpost_store::MailboxKind;

use super::{
    Context, Input,
    arguments::{AccountVerb, Settings},
    import,
    output::Output,
    secret,
    store::{new_place, with_new_store},
};

pub(super) fn run(
    context: &Context,
    input: Input<'_>,
    output: &mut Output<'_>,
    kind: AccountKind,
    verb: AccountVerb,
) -> anyhow::Result<()> {
    let directory = &context.directory;
    match verb {
        AccountVerb::Add {
            address,
            no_mailbox,
            maildir,
            settings,
        } => add(context, input, kind, &address, !no_mailbox, maildir, settings),
        AccountVerb::Change {
            address,
            rename,
            settings,
        } => {
            of_kind(context, kind, &address)?;
            let mut change = change(settings, input)?;
            change.rename = rename;
            Ok(directory.change_account(&address, &change)?)
        }
        AccountVerb::Import(arguments) => import::run(context, input, output, kind, &arguments),
        AccountVerb::List { domain, pattern } => {
            let filter = AccountFilter {
                kind: Some(kind),
                domain,
                contains: pattern,
            };
            let headings = ["ADDRESS", "NAME", "STATUS", "ALIASES"];
            output.list(&directory.accounts(&filter)?, &headings, |account| {
                vec![
                    account.username.clone(),
                    account.display_name.clone(),
                    format!("{:?}", account.status).to_lowercase(),
                    account.aliases.join(", "),
                ]
            })
        }
        AccountVerb::Show { address } => output.show(&of_kind(context, kind, &address)?),
        AccountVerb::Delete { address } => {
            let record = of_kind(context, kind, &address)?;
            directory.delete_account(&address)?;
            if let Some(mailbox) = record.mailbox {
                eprintln!("the mailbox is still in {}", mailbox.display());
            }
            Ok(())
        }
    }
}

fn add(
    context: &Context,
    input: Input<'_>,
    kind: AccountKind,
    address: &str,
    with_mailbox: bool,
    maildir: Option<PathBuf>,
    settings: Settings,
) -> anyhow::Result<()> {
    let address = Address::parse(address)?;
    // Looked at before the mailbox is made; the directory itself decides in the end.
    if context.directory.account_record(address.as_str()).is_ok() {
        bail!("{address} exists already");
    }
    let settings = change(settings, input)?;
    let mailbox = match (with_mailbox && kind.has_mailbox(), maildir) {
        (false, _) => None,
        (true, Some(path)) => Some(MailboxPlace::new(std::path::absolute(path)?)?),
        (true, None) => Some(new_place(&context.mailboxes, address.as_str())?),
    };
    let locale = settings.locale.clone().unwrap_or_default();
    with_new_store(mailbox.as_ref(), MailboxKind::Private, locale, || {
        context.directory.create_account(&NewAccount {
            address: address.to_string(),
            kind,
            mailbox: mailbox.clone(),
            settings,
        })
    })
}

fn of_kind(context: &Context, kind: AccountKind, address: &str) -> anyhow::Result<AccountRecord> {
    let record = context.directory.account_record(address)?;
    if record.kind != kind {
        bail!(
            "{} is a {}, not a {}",
            record.username,
            record.kind.word(),
            kind.word()
        );
    }
    Ok(record)
}

fn change(settings: Settings, input: Input<'_>) -> anyhow::Result<AccountChange> {
    let password = if settings.password_stdin {
        Some(secret::read_line(input)?)
    } else if settings.ask_password {
        Some(secret::ask_twice()?)
    } else {
        settings.password
    };
    Ok(AccountChange {
        rename: None,
        password_hash: password.as_deref().map(password::hash).transpose()?,
        extern_id: optional(settings.extern_id).map(|id| id.map(String::into_bytes)),
        display_name: settings.name,
        status: settings.status.map(Into::into),
        privileges: settings.privileges.as_deref().map(privileges).transpose()?,
        locale: settings.locale,
        timezone: settings.timezone,
        quota: settings.quota.as_deref().map(quota).transpose()?,
        home_server: optional(settings.home_server),
        forward: optional(settings.forward).map(|forward| {
            forward.map(|address| Forward {
                address,
                keep_copy: settings.keep_copy,
            })
        }),
        list_type: settings.list_type.map(Into::into),
        send_policy: settings.send_policy.map(Into::into),
    })
}

/// "none" takes a value away; not given leaves it.
#[allow(clippy::option_option)] // The form of the directory's changes.
pub(super) fn optional(value: Option<String>) -> Option<Option<String>> {
    value.map(|text| (text != "none").then_some(text))
}

fn privileges(text: &str) -> anyhow::Result<Privileges> {
    let mut privileges = Privileges::NONE;
    for word in text.split(',').map(str::trim).filter(|word| *word != "none") {
        match word {
            "imap" => privileges.imap = true,
            "pop3" => privileges.pop3 = true,
            "smtp" => privileges.smtp = true,
            "change-password" => privileges.change_password = true,
            _ => bail!("{word:?} is no service: imap, pop3, smtp, change-password or none"),
        }
    }
    Ok(privileges)
}

fn quota(text: &str) -> anyhow::Result<Quota> {
    if text == "none" {
        return Ok(Quota::default());
    }
    let limit = text
        .parse::<u32>()
        .ok()
        .and_then(|mib| mib.checked_mul(1024))
        .with_context(|| format!("{text:?} is not a number of MiB"))?;
    Ok(Quota {
        warn_kib: Some(limit / 10 * 9),
        send_kib: Some(limit),
        receive_kib: Some(limit),
    })
}
