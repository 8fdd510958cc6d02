//! `ringpost admin`: accounts and what belongs to them, from the command line.
//!
//! It writes the directory's file directly, also while a server runs: the server notices by itself. Nothing
//! here opens a mailbox; a new account's one is made before the account is, so that no account is ever
//! without.

mod account;
mod arguments;
mod import;
mod object;
mod output;
mod secret;
mod store;

use std::{
    io::{self, BufWriter, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use ringpost_config::{Configuration, Severity, Source, directive};
use ringpost_directory::{AccountKind, EmbeddedDirectory};

use crate::mkstore::Owner;
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

/// Where `--password-stdin` and `import -` read.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// The standard input.
    Standard,
    /// Given text, for tests.
    Text(&'a [u8]),
}

impl<'a> Input<'a> {
    fn reader(self) -> Box<dyn Read + 'a> {
        match self {
            Self::Standard => Box::new(io::stdin()),
            Self::Text(text) => Box::new(text),
        }
    }
}

/// Runs what [`command`] parsed; `root` is the program that it is a part of.
pub fn run(matches: &ArgMatches, root: Command) -> anyhow::Result<ExitCode> {
    let mut output = BufWriter::new(io::stdout().lock());
    let done = run_with(matches, root, Input::Standard, &mut output)
        .and_then(|()| output.flush().map_err(anyhow::Error::from));
    match done {
        // Whoever read the output, such as head(1), has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Like [`run`], with other input and output.
pub fn run_with(
    matches: &ArgMatches,
    mut root: Command,
    input: Input<'_>,
    writer: &mut dyn Write,
) -> anyhow::Result<()> {
    let arguments = Arguments::from_arg_matches(matches)?;
    let mut output = Output::new(arguments.json, writer);
    let output = &mut output;
    if let Object::Completions { shell } = &arguments.object {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut root, "ringpost", &mut script);
        return output.raw(&script);
    }
    let context = &Context::open(&arguments)?;
    let (kind, verb) = match arguments.object {
        Object::User(verb) => (AccountKind::User, verb),
        Object::Room(verb) => (AccountKind::Room, verb),
        Object::Equipment(verb) => (AccountKind::Equipment, verb),
        Object::Shared(verb) => (AccountKind::Shared, verb),
        Object::Contact(verb) => (AccountKind::Contact, verb),
        Object::List(verb) => (AccountKind::List, verb),
        Object::Alias(verb) => return object::alias(context, output, verb),
        Object::Member(verb) => return object::member(context, output, verb),
        Object::Sender(verb) => return object::sender(context, output, verb),
        Object::Owner(verb) => return object::owner(context, output, verb),
        Object::SendAs(verb) => return object::send_as(context, output, verb),
        Object::Property(verb) => return object::property(context, output, verb),
        Object::Domain(verb) => return object::domain(context, output, verb),
        Object::Organisation(verb) => return object::organisation(context, output, verb),
        Object::Server(verb) => return object::server(context, output, verb),
        Object::Completions { .. } => return Ok(()),
    };
    account::run(context, input, output, kind, verb)
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
        let what = || data.display().to_string();
        let data = std::path::absolute(&data).with_context(what)?;
        // Root's first account must not make a file that the server can't open.
        let file = data.join(ringpost_directory::FILE_NAME);
        let owner = Owner::of_future(&file).with_context(what)?;
        let is_new = !file.exists();
        let directory = EmbeddedDirectory::open_in(&data)?;
        if is_new {
            owner.adopt().with_context(what)?;
        }
        Ok(Self {
            directory,
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
