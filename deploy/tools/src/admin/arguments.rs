//! The command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use ringpost_directory::{ListType, SendPolicy, Status};

pub(super) struct Arguments {
    pub(super) data: Option<PathBuf>,
    pub(super) config: Option<PathBuf>,
    pub(super) json: bool,
    pub(super) object: Object,
}

#[derive(Args)]
struct Common {
    /// Folder that holds directory.sqlite3 and the mailboxes
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "config")]
    data: Option<PathBuf>,
    /// Configuration file, whose data_path is that folder
    #[arg(short = 'c', long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Arguments {
    pub(super) fn augment(command: clap::Command) -> clap::Command {
        Object::augment_subcommands(Common::augment_args(command))
    }

    pub(super) fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        use clap::FromArgMatches as _;
        let common = Common::from_arg_matches(matches)?;
        Ok(Self {
            data: common.data,
            config: common.config,
            json: common.json,
            object: Object::from_arg_matches(matches)?,
        })
    }
}

#[derive(Subcommand)]
pub(super) enum Object {
    /// People
    #[command(subcommand)]
    User(AccountVerb),
    /// Rooms
    #[command(subcommand)]
    Room(AccountVerb),
    /// Equipment
    #[command(subcommand)]
    Equipment(AccountVerb),
    /// Shared mailboxes, which nobody logs in to under their own name
    #[command(subcommand)]
    Shared(AccountVerb),
    /// Addresses elsewhere
    #[command(subcommand)]
    Contact(AccountVerb),
    /// Mailing lists and groups
    #[command(subcommand, visible_alias = "group")]
    List(AccountVerb),
    /// Other addresses of accounts
    #[command(subcommand)]
    Alias(PairVerb),
    /// Members of lists
    #[command(subcommand)]
    Member(PairVerb),
    /// Who may send to a list of policy "specified"
    #[command(subcommand)]
    Sender(PairVerb),
    /// Who may log in to another's mailbox (OWNER!ADDRESS)
    #[command(subcommand)]
    Owner(PairVerb),
    /// Who may send in another's name
    #[command(subcommand)]
    SendAs(PairVerb),
    /// MAPI properties of accounts
    #[command(subcommand)]
    Property(PropertyVerb),
    /// Domains, their aliases and public stores
    #[command(subcommand)]
    Domain(DomainVerb),
    /// Organisations
    #[command(subcommand)]
    Organisation(OrganisationVerb),
    /// Servers that can be an account's home
    #[command(subcommand)]
    Server(ServerVerb),
    /// Print a script that completes commands in a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Subcommand)]
pub(super) enum AccountVerb {
    /// Create one
    Add {
        /// Its address
        address: String,
        /// Create no mailbox
        #[arg(long)]
        no_mailbox: bool,
        /// Folder of the mailbox
        #[arg(long, value_name = "DIR", conflicts_with = "no_mailbox")]
        maildir: Option<PathBuf>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change one
    Change {
        /// Its address
        address: String,
        /// A new address
        #[arg(long, value_name = "ADDRESS")]
        rename: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Create many, a line each: ADDRESS[,PASSWORD[,NAME]]
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArguments),
    /// List them
    List {
        /// Only of this domain
        #[arg(long)]
        domain: Option<String>,
        /// Only those with this in their address or name
        pattern: Option<String>,
    },
    /// Show one with everything
    Show {
        /// Its address
        address: String,
    },
    /// Delete one; its mailbox stays on disk
    Delete {
        /// Its address
        address: String,
    },
}

const IMPORT_HELP: &str = "Fields are written as in CSV: what has a comma or a quote in it is put in quotes, and \
a quote inside is doubled. Empty lines and lines that begin with # are left out. Every line is checked before \
the first account is made.";

#[derive(Args)]
pub(super) struct ImportArguments {
    /// The file with the lines; - is the standard input
    pub(super) file: PathBuf,
    /// The password of lines that have none (visible to other users of this machine)
    #[arg(long, conflicts_with = "ask_password")]
    pub(super) password: Option<String>,
    /// Ask on the terminal for the password of lines that have none
    #[arg(long)]
    pub(super) ask_password: bool,
    /// Leave out lines whose address exists already
    #[arg(long)]
    pub(super) skip_existing: bool,
    /// Create no mailboxes
    #[arg(long)]
    pub(super) no_mailbox: bool,
}

/// What can be set; "none" takes a value away.
#[derive(Args, Default)]
pub(super) struct Settings {
    /// The password (visible to other users of this machine; prefer --ask-password or --password-stdin)
    #[arg(long, group = "new_password")]
    pub(super) password: Option<String>,
    /// Read the password from the first line of the standard input
    #[arg(long, group = "new_password")]
    pub(super) password_stdin: bool,
    /// Ask for the password on the terminal, twice, without showing it
    #[arg(long, group = "new_password")]
    pub(super) ask_password: bool,
    /// Name in the address book
    #[arg(long, value_name = "TEXT")]
    pub(super) name: Option<String>,
    /// Active or not
    #[arg(long)]
    pub(super) status: Option<StatusArgument>,
    /// Services, separated by commas: imap, pop3, smtp, change-password; or none
    #[arg(long, value_name = "SERVICES")]
    pub(super) privileges: Option<String>,
    /// Language, such as de_DE
    #[arg(long)]
    pub(super) locale: Option<String>,
    /// Time zone, such as Europe/Vienna
    #[arg(long)]
    pub(super) timezone: Option<String>,
    /// Limit in MiB from which nothing is received nor sent, and a warning at nine tenths; or none
    #[arg(long, value_name = "MIB")]
    pub(super) quota: Option<String>,
    /// Where mail goes instead (for contacts: where the contact is); or none
    #[arg(long, value_name = "ADDRESS")]
    pub(super) forward: Option<String>,
    /// Keep a copy of what is forwarded
    #[arg(long, requires = "forward")]
    pub(super) keep_copy: bool,
    /// Server that has the mailbox; or none
    #[arg(long, value_name = "HOST")]
    pub(super) home_server: Option<String>,
    /// Key in an external directory, which then checks the password; or none
    #[arg(long, value_name = "ID")]
    pub(super) extern_id: Option<String>,
    /// Whom a list reaches
    #[arg(long = "type")]
    pub(super) list_type: Option<ListTypeArgument>,
    /// Who may send to a list
    #[arg(long, value_name = "WHO")]
    pub(super) send_policy: Option<PolicyArgument>,
}

#[derive(Subcommand)]
pub(super) enum PairVerb {
    /// Add one
    Add {
        /// The account or list
        address: String,
        /// The alias, member, sender, owner or who sends
        other: String,
    },
    /// Remove one
    #[command(alias = "delete")]
    Remove {
        /// The account or list
        address: String,
        /// The alias, member, sender, owner or who sends
        other: String,
    },
    /// List them
    List {
        /// The account or list
        address: String,
    },
}

#[derive(Subcommand)]
pub(super) enum PropertyVerb {
    /// Set one
    Set {
        /// The account
        address: String,
        /// The tag in hexadecimal digits, such as 3a17001f
        tag: String,
        /// The value
        value: String,
    },
    /// Take one away
    Remove {
        /// The account
        address: String,
        /// The tag in hexadecimal digits
        tag: String,
    },
    /// List them
    List {
        /// The account
        address: String,
    },
}

#[derive(Subcommand)]
pub(super) enum DomainVerb {
    /// Create one
    Add {
        /// Its name
        name: String,
        #[command(flatten)]
        settings: DomainSettings,
    },
    /// Change one
    Change {
        /// Its name
        name: String,
        #[command(flatten)]
        settings: DomainSettings,
    },
    /// List them
    List,
    /// Delete one that has no accounts
    Delete {
        /// Its name
        name: String,
    },
    /// Give it another name
    AddAlias {
        /// Its name
        name: String,
        /// The other name
        alias: String,
    },
    /// Take another name away
    RemoveAlias {
        /// The other name
        alias: String,
    },
    /// Give it a public store
    AddPublicStore {
        /// Its name
        name: String,
    },
    /// Take its public store away; it stays on disk
    RemovePublicStore {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
pub(super) struct DomainSettings {
    /// Its organisation; or none
    #[arg(long)]
    pub(super) organisation: Option<String>,
    /// Free text
    #[arg(long)]
    pub(super) title: Option<String>,
    /// Most accounts; 0 is no limit
    #[arg(long)]
    pub(super) max_users: Option<u32>,
    /// Active or not
    #[arg(long)]
    pub(super) status: Option<StatusArgument>,
    /// Server that has its public store; or none
    #[arg(long)]
    pub(super) home_server: Option<String>,
}

#[derive(Subcommand)]
pub(super) enum OrganisationVerb {
    /// Create one
    Add(OrganisationArguments),
    /// Change one: what is not given is taken away
    Change(OrganisationArguments),
    /// List them
    List,
    /// Delete one that has no domains
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
pub(super) struct OrganisationArguments {
    /// Its name
    pub(super) name: String,
    /// Free text
    #[arg(long, default_value = "")]
    pub(super) description: String,
    /// A parameter of its own, such as ldap_host=ldap://one; repeat it
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) parameter: Vec<String>,
}

#[derive(Subcommand)]
pub(super) enum ServerVerb {
    /// Create one
    Add {
        /// Its own name
        hostname: String,
        /// The name clients know; the same if not given
        extname: Option<String>,
    },
    /// Change one
    Change {
        /// Its own name
        hostname: String,
        /// The name clients know
        extname: String,
    },
    /// List them
    List,
    /// Delete one that is nobody's home
    Delete {
        /// Its own name
        hostname: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum StatusArgument {
    Active,
    Suspended,
    Deleted,
}

impl From<StatusArgument> for Status {
    fn from(argument: StatusArgument) -> Self {
        match argument {
            StatusArgument::Active => Self::Active,
            StatusArgument::Suspended => Self::Suspended,
            StatusArgument::Deleted => Self::Deleted,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ListTypeArgument {
    /// The members it names
    Normal,
    /// All users of its domain
    Domain,
}

impl From<ListTypeArgument> for ListType {
    fn from(argument: ListTypeArgument) -> Self {
        match argument {
            ListTypeArgument::Normal => Self::Normal,
            ListTypeArgument::Domain => Self::Domain,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum PolicyArgument {
    /// Everybody
    All,
    /// The organisation
    Internal,
    /// The list's members
    Members,
    /// The list's domain
    Domain,
    /// Those named by `sender add`
    Specified,
}

impl From<PolicyArgument> for SendPolicy {
    fn from(argument: PolicyArgument) -> Self {
        match argument {
            PolicyArgument::All => Self::All,
            PolicyArgument::Internal => Self::Internal,
            PolicyArgument::Members => Self::Members,
            PolicyArgument::Domain => Self::Domain,
            PolicyArgument::Specified => Self::Specified,
        }
    }
}
