//! `gromox-mkmidb`, kept for scripts: the store itself answers IMAP, so there is no index to make.

use std::{ffi::OsString, process::ExitCode};

use anyhow::bail;
use clap::{ArgAction, Parser};

use crate::{
    command::{self, Server},
    integrity, mkstore,
};

/// Runs `gromox-mkmidb`.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    command::run(arguments, |options: &Options| {
        let directory = options.server.directory()?;
        // The manual's synopsis: -P is for a domain's public store.
        let store = if options.public {
            mkstore::public_store(&*directory, &options.username)?
        } else {
            mkstore::private_store(&*directory, &options.username)?
        };
        options.perform(&store)
    })
}

/// Prepares a store for IMAP and POP3: nothing is left to do once the store exists
#[derive(Parser, Debug)]
#[command(name = "gromox-mkmidb", version, disable_help_flag = true)]
struct Options {
    #[command(flatten)]
    server: Server,
    /// Upgrade the store
    #[arg(short = 'U')]
    upgrade: bool,
    /// Tell what -U does
    #[arg(short = 'v')]
    verbose: bool,
    /// Accepted for compatibility: there is no index to overwrite
    #[arg(short = 'f')]
    _force: bool,
    /// The name is a domain's, of a public store
    #[arg(short = 'P')]
    public: bool,
    /// Accepted for compatibility: there is no index of an older version
    #[arg(long = "create-old")]
    _create_old: bool,
    /// Check the store
    #[arg(long)]
    integrity: bool,
    /// Show this help
    #[arg(short = '?', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Address of the account
    username: String,
}

impl Options {
    fn perform(&self, store: &mkstore::Store) -> anyhow::Result<ExitCode> {
        let path = &*store.mailbox.path;
        let database = integrity::database(path);
        if !database.exists() {
            bail!("{} does not exist; make the store first", database.display());
        }
        if self.upgrade {
            mkstore::upgrade(path, self.verbose)?;
        }
        if self.integrity {
            return integrity::check(path);
        }
        println!(
            "{} is complete: IMAP and POP3 need no index beside it",
            database.display()
        );
        Ok(ExitCode::SUCCESS)
    }
}
