//! `gromox-mkprivate` and `gromox-mkpublic`: a blank store, or the upgrade of one.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{MetadataExt as _, lchown},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{ArgAction, Args, Parser};
use ringpost_directory::{AccountMailbox, Directory};
use ringpost_store::{CreateOptions, Mailbox, MailboxKind, OpenOptions};

use crate::{
    command::{self, Server},
    integrity::{self, database},
};

/// Runs `gromox-mkprivate`.
pub(crate) fn run_private(arguments: Vec<OsString>) -> ExitCode {
    command::run(arguments, |options: &PrivateOptions| {
        let directory = options.task.server.directory()?;
        let store = private_store(&*directory, &options.username)?;
        options.task.perform(&store)
    })
}

/// Runs `gromox-mkpublic`.
pub(crate) fn run_public(arguments: Vec<OsString>) -> ExitCode {
    command::run(arguments, |options: &PublicOptions| {
        let directory = options.task.server.directory()?;
        let store = public_store(&*directory, &options.domainname)?;
        options.task.perform(&store)
    })
}

/// Makes a blank private store
#[derive(Parser, Debug)]
#[command(name = "gromox-mkprivate", version, disable_help_flag = true)]
struct PrivateOptions {
    #[command(flatten)]
    task: Task,
    /// Address of the account
    username: String,
}

/// Makes a blank public store
#[derive(Parser, Debug)]
#[command(name = "gromox-mkpublic", version, disable_help_flag = true)]
struct PublicOptions {
    #[command(flatten)]
    task: Task,
    /// The domain
    domainname: String,
}

/// The options that both have.
#[derive(Args, Debug)]
struct Task {
    #[command(flatten)]
    server: Server,
    /// Upgrade the store instead of making one
    #[arg(short = 'U')]
    upgrade: bool,
    /// Tell what -U does
    #[arg(short = 'v')]
    verbose: bool,
    /// Overwrite an existing store
    #[arg(short = 'f')]
    force: bool,
    /// Accepted for compatibility: the names of folders are part of the program
    #[arg(short = 'T', value_name = "TEMPLATE_DIR")]
    templates: Option<PathBuf>,
    /// Make a store of the first version, to test upgrades
    #[arg(long)]
    create_old: bool,
    /// Check the store, alone or as part of -U
    #[arg(long)]
    integrity: bool,
    /// Show this help
    #[arg(short = '?', long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// A store to be, or that is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) mailbox: AccountMailbox,
    pub(crate) kind: StoreKind,
    pub(crate) locale: String,
}

/// [`MailboxKind`], comparable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StoreKind {
    Private,
    Public,
}

/// The place of an account's mailbox.
pub(crate) fn private_store(directory: &dyn Directory, username: &str) -> anyhow::Result<Store> {
    let account = directory
        .account(username)
        .with_context(|| format!("there is no account {username}"))?;
    let mailbox = account.mailbox.clone();
    Ok(Store {
        mailbox: mailbox.with_context(|| format!("{username} has no mailbox on this server"))?,
        kind: StoreKind::Private,
        locale: account.locale.clone(),
    })
}

/// The place of a domain's public store.
pub(crate) fn public_store(directory: &dyn Directory, name: &str) -> anyhow::Result<Store> {
    let domain = directory
        .domain(name)
        .with_context(|| format!("there is no domain {name}"))?;
    let mailbox = domain.public_store.clone();
    Ok(Store {
        mailbox: mailbox.with_context(|| format!("{name} has no public store on this server"))?,
        kind: StoreKind::Public,
        // A domain has no language of its own.
        locale: "en".to_owned(),
    })
}

impl Task {
    fn perform(&self, store: &Store) -> anyhow::Result<ExitCode> {
        let path = &*store.mailbox.path;
        if let Some(templates) = &self.templates {
            eprintln!(
                "note: {} is not read: folder names are part of the program",
                templates.display()
            );
        }
        if self.upgrade {
            upgrade(path, self.verbose)?;
        }
        if self.integrity {
            return integrity::check(path);
        }
        if self.upgrade {
            return Ok(ExitCode::SUCCESS);
        }
        if self.create_old {
            bail!("there is no older version of the store's format yet, so none can be made");
        }
        create(store, self.force)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes the store; an existing one is left alone unless `force`.
pub(crate) fn create(store: &Store, force: bool) -> anyhow::Result<()> {
    let path = &*store.mailbox.path;
    if database(path)
        .try_exists()
        .with_context(|| format!("can't look into {}", path.display()))?
    {
        if !force {
            bail!("{} exists already; -f overwrites it", database(path).display());
        }
        remove(path)?;
    }
    let options = CreateOptions {
        kind: match store.kind {
            StoreKind::Private => MailboxKind::Private,
            StoreKind::Public => MailboxKind::Public,
        },
        guid: store.mailbox.guid,
        locale: store.locale.clone(),
    };
    let owner = Owner::of_future(path).with_context(|| format!("can't look at {}", path.display()))?;
    Mailbox::create(path, &options).with_context(|| format!("can't make {}", path.display()))?;
    owner
        .adopt()
        .with_context(|| format!("can't hand over {}", path.display()))
}

/// Brings the store to this program's version.
pub(crate) fn upgrade(path: &Path, verbose: bool) -> anyhow::Result<()> {
    if verbose {
        println!("Upgrading {}", database(path).display());
    }
    let options = OpenOptions {
        upgrade: true,
        ..OpenOptions::default()
    };
    let mut mailbox =
        Mailbox::open(path, &options).with_context(|| format!("can't upgrade {}", path.display()))?;
    mailbox
        .checkpoint()
        .with_context(|| format!("can't write {}", path.display()))?;
    if verbose {
        println!("{} has the current version", database(path).display());
    }
    Ok(())
}

/// Who owns the folder that a store is made in, and so will own the store: the tool may run as root, the
/// server does not.
pub(crate) struct Owner {
    user: u32,
    group: u32,
    /// The topmost file or folder that is handed over.
    top: PathBuf,
}

impl Owner {
    pub(crate) fn of_future(path: &Path) -> io::Result<Self> {
        let path = &std::path::absolute(path)?;
        let mut top = path.as_path();
        loop {
            match fs::metadata(top) {
                Ok(metadata) => {
                    let (user, group) = (metadata.uid(), metadata.gid());
                    // What exists keeps its owner; the folder below it is the first new one.
                    let depth = top.components().count() + usize::from(top != path);
                    let top = path.components().take(depth).collect();
                    return Ok(Self { user, group, top });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    top = top.parent().ok_or(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn adopt(&self) -> io::Result<()> {
        self.adopt_tree(&self.top, 0)
    }

    fn adopt_tree(&self, path: &Path, depth: usize) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if (metadata.uid(), metadata.gid()) != (self.user, self.group) {
            lchown(path, Some(self.user), Some(self.group))?;
        }
        if metadata.is_dir() && depth < DEPTH_MAX {
            for entry in fs::read_dir(path)? {
                self.adopt_tree(&entry?.path(), depth + 1)?;
            }
        }
        Ok(())
    }
}

/// No mailbox lies deeper below the folder that exists already, with its own folders.
const DEPTH_MAX: usize = 16;

/// Removes a store's database. Its content files lose their last reference and go with the first
/// maintenance of the new store.
fn remove(path: &Path) -> anyhow::Result<()> {
    let _lock = integrity::lock(path)?;
    let database = database(path);
    // The logs first: a new database must never meet the log of an old one.
    for suffix in ["-wal", "-journal", ""] {
        let mut name = database.clone().into_os_string();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("can't remove {}", name.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "mkstore_tests.rs"]
mod tests;
