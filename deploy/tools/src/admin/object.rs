//! Everything but accounts themselves.

use anyhow::Context as _;
use ringpost_directory::{Administration, DomainChange, DomainName, ListSettings, Organisation, Server};
use ringpost_store::MailboxKind;

use super::{
    Context,
    account::optional,
    arguments::{
        DomainSettings, DomainVerb, OrganisationArguments, OrganisationVerb, PairVerb, PropertyVerb,
        ServerVerb,
    },
    output::Output,
    store::{new_place, with_new_store},
};

type Result = anyhow::Result<()>;

pub(super) fn organisation(context: &Context, output: &mut Output<'_>, verb: OrganisationVerb) -> Result {
    let directory = &context.directory;
    match verb {
        OrganisationVerb::Add(arguments) => {
            directory.create_organisation(&organisation_of(arguments)?)?;
        }
        OrganisationVerb::Change(arguments) => {
            let organisation = organisation_of(arguments)?;
            directory.change_organisation(&organisation.name, &organisation)?;
        }
        OrganisationVerb::List => {
            let headings = ["NAME", "DESCRIPTION"];
            output.list(&directory.organisations()?, &headings, |organisation| {
                vec![organisation.name.clone(), organisation.description.clone()]
            })?;
        }
        OrganisationVerb::Delete { name } => directory.delete_organisation(&name)?,
    }
    Ok(())
}

fn organisation_of(arguments: OrganisationArguments) -> anyhow::Result<Organisation> {
    let split = |text: &String| {
        text.split_once('=')
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .with_context(|| format!("{text:?} is not KEY=VALUE"))
    };
    Ok(Organisation {
        name: arguments.name,
        description: arguments.description,
        parameters: arguments
            .parameter
            .iter()
            .map(split)
            .collect::<anyhow::Result<_>>()?,
    })
}

pub(super) fn server(context: &Context, output: &mut Output<'_>, verb: ServerVerb) -> Result {
    let directory = &context.directory;
    match verb {
        ServerVerb::Add { hostname, extname } => {
            let extname = extname.unwrap_or_else(|| hostname.clone());
            directory.create_server(&Server { hostname, extname })?;
        }
        ServerVerb::Change { hostname, extname } => {
            let old = hostname.clone();
            directory.change_server(&old, &Server { hostname, extname })?;
        }
        ServerVerb::List => {
            let headings = ["HOSTNAME", "EXTNAME"];
            output.list(&directory.servers()?, &headings, |server| {
                vec![server.hostname.clone(), server.extname.clone()]
            })?;
        }
        ServerVerb::Delete { hostname } => directory.delete_server(&hostname)?,
    }
    Ok(())
}

pub(super) fn domain(context: &Context, output: &mut Output<'_>, verb: DomainVerb) -> Result {
    let directory = &context.directory;
    match verb {
        DomainVerb::Add { name, settings } => directory.create_domain(&name, &domain_change(settings))?,
        DomainVerb::Change { name, settings } => directory.change_domain(&name, &domain_change(settings))?,
        DomainVerb::List => {
            let headings = ["NAME", "STATUS", "ACCOUNTS", "ORGANISATION", "ALIASES"];
            output.list(&directory.domains()?, &headings, |domain| {
                vec![
                    domain.name.clone(),
                    format!("{:?}", domain.status).to_lowercase(),
                    domain.accounts.to_string(),
                    domain.organisation.clone().unwrap_or_default(),
                    domain.aliases.join(", "),
                ]
            })?;
        }
        DomainVerb::Delete { name } => directory.delete_domain(&name)?,
        DomainVerb::AddAlias { name, alias } => directory.add_domain_alias(&name, &alias)?,
        DomainVerb::RemoveAlias { alias } => directory.remove_domain_alias(&alias)?,
        DomainVerb::AddPublicStore { name } => {
            let folder = format!("public-{}", DomainName::parse(&name)?);
            let place = new_place(&context.public_stores, &folder)?;
            with_new_store(Some(&place), MailboxKind::Public, String::new(), || {
                directory.set_public_store(&name, Some(&place))
            })?;
        }
        DomainVerb::RemovePublicStore { name } => directory.set_public_store(&name, None)?,
    }
    Ok(())
}

fn domain_change(settings: DomainSettings) -> DomainChange {
    DomainChange {
        organisation: optional(settings.organisation),
        title: settings.title,
        max_users: settings.max_users,
        status: settings.status.map(Into::into),
        home_server: optional(settings.home_server),
    }
}

pub(super) fn alias(context: &Context, output: &mut Output<'_>, verb: PairVerb) -> Result {
    let directory = &context.directory;
    match verb {
        PairVerb::Add { address, other } => directory.add_alias(&address, &other)?,
        PairVerb::Remove { address, other } => {
            let record = directory.account_record(&address)?;
            let owner = directory.account_record(&other)?;
            anyhow::ensure!(
                record.username == owner.username,
                "{other} is not an alias of {address}"
            );
            directory.remove_alias(&other)?;
        }
        PairVerb::List { address } => {
            let record = directory.account_record(&address)?;
            output.list(&record.aliases, &["ALIAS"], |alias| vec![alias.clone()])?;
        }
    }
    Ok(())
}

pub(super) fn member(context: &Context, output: &mut Output<'_>, verb: PairVerb) -> Result {
    let directory = &context.directory;
    match verb {
        PairVerb::Add { address, other } => directory.add_member(&address, &other)?,
        PairVerb::Remove { address, other } => directory.remove_member(&address, &other)?,
        PairVerb::List { address } => {
            let members = list_of(context, &address)?.members;
            output.list(&members, &["MEMBER"], |member| vec![member.clone()])?;
        }
    }
    Ok(())
}

pub(super) fn sender(context: &Context, output: &mut Output<'_>, verb: PairVerb) -> Result {
    let directory = &context.directory;
    match verb {
        PairVerb::Add { address, other } => directory.add_sender(&address, &other)?,
        PairVerb::Remove { address, other } => directory.remove_sender(&address, &other)?,
        PairVerb::List { address } => {
            let senders = list_of(context, &address)?.senders;
            output.list(&senders, &["SENDER"], |sender| vec![sender.clone()])?;
        }
    }
    Ok(())
}

fn list_of(context: &Context, address: &str) -> anyhow::Result<ListSettings> {
    let record = context.directory.account_record(address)?;
    record
        .list
        .with_context(|| format!("{} is not a list", record.username))
}

pub(super) fn owner(context: &Context, output: &mut Output<'_>, verb: PairVerb) -> Result {
    let directory = &context.directory;
    match verb {
        PairVerb::Add { address, other } => directory.add_store_owner(&address, &other)?,
        PairVerb::Remove { address, other } => directory.remove_store_owner(&address, &other)?,
        PairVerb::List { address } => {
            let record = directory.account_record(&address)?;
            output.list(&record.store_owners, &["OWNER"], |owner| vec![owner.clone()])?;
        }
    }
    Ok(())
}

pub(super) fn send_as(context: &Context, output: &mut Output<'_>, verb: PairVerb) -> Result {
    let directory = &context.directory;
    match verb {
        PairVerb::Add { address, other } => directory.add_send_as(&address, &other)?,
        PairVerb::Remove { address, other } => directory.remove_send_as(&address, &other)?,
        PairVerb::List { address } => {
            let record = directory.account_record(&address)?;
            output.list(&record.send_as, &["SENDS"], |sender| vec![sender.clone()])?;
        }
    }
    Ok(())
}

pub(super) fn property(context: &Context, output: &mut Output<'_>, verb: PropertyVerb) -> Result {
    let directory = &context.directory;
    let tag = |text: &str| {
        u32::from_str_radix(text.trim_start_matches("0x"), 16)
            .with_context(|| format!("{text:?} is not a property tag"))
    };
    match verb {
        PropertyVerb::Set {
            address,
            tag: name,
            value,
        } => directory.set_property(&address, tag(&name)?, Some(&value))?,
        PropertyVerb::Remove { address, tag: name } => {
            directory.set_property(&address, tag(&name)?, None)?;
        }
        PropertyVerb::List { address } => {
            output.list(
                &directory.properties(&address)?,
                &["TAG", "VALUE"],
                |(tag, value)| vec![format!("{tag:08x}"), value.clone()],
            )?;
        }
    }
    Ok(())
}
