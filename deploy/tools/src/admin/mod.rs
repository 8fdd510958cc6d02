//! `ringpost admin`: accounts and what belongs to them, from the command line.
//!
//! It writes the directory's file directly, also while a server runs: the server notices by itself. Nothing
//! here opens a mailbox; a new account's one is made before the account is, so that no account is ever
//! without.

mod account;
mod arguments;
mod object;
mod output;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use ringpost_config::{Configuration, Severity, Source, directive};
use ringpost_directory::EmbeddedDirectory;

use arguments::{Arguments, Object};
use output::Output;

/// The subcommand `admin`, to be nested into `ringpost`'s.
pub fn command() -> Command {
    let command = Command::new("admin")
        .about("Create, change, list and delete accounts, domains and the like")
        .subcommand_required(true)
        .arg_required_else_help(true);
    Arguments::augment(command)
}

/// Runs what [`command`] parsed.
pub fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_arg_matches(matches)?;
    let output = Output::new(arguments.json);
    if let Object::Completions { shell } = &arguments.object {
        let mut root = Command::new("ringpost").subcommand(command());
        clap_complete::generate(*shell, &mut root, "ringpost", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    let context = Context::open(&arguments)?;
    match arguments.object {
        Object::Organisation(verb) => object::organisation(&context, &output, verb)?,
        Object::Server(verb) => object::server(&context, &output, verb)?,
        Object::Domain(verb) => object::domain(&context, &output, verb)?,
        Object::User(verb) => account::run(&context, &output, ringpost_directory::AccountKind::User, verb)?,
        Object::Room(verb) => account::run(&context, &output, ringpost_directory::AccountKind::Room, verb)?,
        Object::Equipment(verb) => {
            account::run(
                &context,
                &output,
                ringpost_directory::AccountKind::Equipment,
                verb,
            )?;
        }
        Object::Shared(verb) => {
            account::run(&context, &output, ringpost_directory::AccountKind::Shared, verb)?;
        }
        Object::Contact(verb) => {
            account::run(&context, &output, ringpost_directory::AccountKind::Contact, verb)?;
        }
        Object::List(verb) => account::run(&context, &output, ringpost_directory::AccountKind::List, verb)?,
        Object::Alias(verb) => object::alias(&context, verb)?,
        Object::Member(verb) => object::member(&context, verb)?,
        Object::Sender(verb) => object::sender(&context, verb)?,
        Object::Owner(verb) => object::owner(&context, verb)?,
        Object::Property(verb) => object::property(&context, &output, verb)?,
        Object::Completions { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What the commands work on.
struct Context {
    directory: EmbeddedDirectory,
    /// Folder of new mailboxes.
    mailboxes: PathBuf,
    /// Folder of new public stores.
    public_stores: PathBuf,
}

impl Context {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        // With `--data` all is in one folder, as the demo has it; else as gromox(7), "Files".
        let (data, users, domains) = match &arguments.data {
            Some(data) => (data.clone(), "mailboxes", "mailboxes"),
            None => (configured_data_path(arguments.config.as_ref())?, "user", "domain"),
        };
        let data = std::path::absolute(&data).with_context(|| data.display().to_string())?;
        Ok(Self {
            directory: EmbeddedDirectory::open_in(&data)?,
            mailboxes: data.join(users),
            public_stores: data.join(domains),
        })
    }
}

fn configured_data_path(file: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let source = file.map_or_else(Source::default, |file| Source::File(file.clone()));
    let (configuration, diagnostics) = Configuration::load(&source);
    if let Some(error) = diagnostics
        .iter()
        .find(|diagnostic| diagnostic.severity() == Severity::Error)
    {
        anyhow::bail!("{error}");
    }
    configuration
        .path(directive::DATA_PATH)
        .map(PathBuf::from)
        .context("data_path is not set")
}
