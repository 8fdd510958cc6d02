//! The table of directives: what exists, where it is written, and what it means here.
//!
//! Each file of the manual has a module with a constant for each of its directives. A constant's type says
//! what its value is, so a getter of [`crate::Configuration`] can be called neither with an unknown name nor
//! with the wrong type. Names that exist in one file only are also found directly in this module
//! (`directive::IMAP_AUTOLOGOUT_TIME`); the others need their file (`directive::imap::HOST_ID`).

#[macro_use]
mod macros;

pub mod authmgr;
pub mod autodiscover;
pub mod autodiscover_ini;
pub mod delivery;
pub mod event;
pub mod ews;
pub mod exchange_emsmdb;
pub mod exchange_nsp;
pub mod exmdb_local;
pub mod exmdb_provider;
mod file;
pub mod gromox;
pub mod http;
pub mod imap;
pub mod ldap_adaptor;
pub mod midb;
pub mod midb_agent;
pub mod mysql_adaptor;
pub mod pam;
pub mod pop3;
pub mod ringpost;
pub mod smtp;
pub mod timer;
pub mod timer_agent;
pub mod zcore;

use std::fmt;

pub use file::File;

// Names that several files share are ambiguous here, so they can't be used without their file.
#[allow(ambiguous_glob_reexports, reason = "see above")]
pub use self::{
    authmgr::*, autodiscover::*, autodiscover_ini::*, delivery::*, event::*, ews::*, exchange_emsmdb::*,
    exchange_nsp::*, exmdb_local::*, exmdb_provider::*, gromox::*, http::*, imap::*, ldap_adaptor::*,
    midb::*, midb_agent::*, mysql_adaptor::*, pam::*, pop3::*, ringpost::*, smtp::*, timer::*,
    timer_agent::*, zcore::*,
};

/// No upper bound but that of 64 bits.
pub const MAX: i64 = i64::MAX;

/// One directive.
#[derive(Debug)]
pub struct Directive {
    /// Its key, in lower case.
    pub name: &'static str,
    /// The file that it belongs into.
    pub file: File,
    /// What its value is.
    pub kind: Kind,
    /// Its default as the manual writes it, remarks included; see [`Self::default_value`].
    pub default: &'static str,
    /// Whether SIGHUP applies a change; else it takes a restart.
    pub reload: bool,
    /// Whether it does anything here.
    pub effect: Effect,
    documentation: &'static [&'static str],
}

impl Directive {
    /// What it does, in a sentence or two.
    pub fn documentation(&self) -> String {
        self.documentation
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The default without the manual's remarks in parentheses. `(unset)` and the like are empty, and so is
    /// the host's name, which [`Kind::HostName`] fills in.
    pub fn default_value(&self) -> &'static str {
        if self.default.starts_with('(') {
            return "";
        }
        self.default
            .split_once(" (")
            .map_or(self.default, |(value, _)| value)
    }

    /// Its name with its file's, as the manual writes it: `http.cfg:host_id`.
    pub fn qualified_name(&self) -> String {
        format!("{}:{}", self.file.name(), self.name)
    }
}

impl PartialEq for Directive {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.name == other.name
    }
}

impl Eq for Directive {}

/// What a directive's value is, with its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A number, bounds included. `unlimited` and an empty default are 0 where 0 is allowed.
    Quantity {
        /// Least value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A length of time.
    TimeSpan {
        /// Least value in seconds.
        min: i64,
        /// Largest value in seconds.
        max: i64,
        /// Counts what is below a second.
        exact: bool,
    },
    /// Yes or no.
    Boolean,
    /// Any text.
    Text,
    /// Any text, which is never shown.
    Secret,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A host name; this system's by default.
    HostName,
    /// Several texts, one a line: the key is repeated.
    Repeated,
    /// An IP address, or nothing.
    Host,
    /// IP addresses, separated by white space.
    Hosts,
    /// IP addresses and networks, separated by white space.
    Networks,
    /// `[address]:port`, separated by white space.
    Sockets,
    /// The name of a file or folder, or nothing.
    Path,
    /// Names of files or folders, separated by colons.
    Paths,
    /// `no`, `yes`, or `zstd-1` to `zstd-19`.
    Compression,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity { min, max: MAX } => write!(f, "number, at least {min}"),
            Self::Quantity { min, max } => write!(f, "number, {min} to {max}"),
            Self::TimeSpan { min: 0, max: MAX, .. } => f.write_str("time span"),
            Self::TimeSpan { min, max: MAX, .. } => write!(f, "time span, at least {min} s"),
            Self::TimeSpan { min, max, .. } => write!(f, "time span, {min} s to {max} s"),
            Self::Boolean => f.write_str("boolean"),
            Self::Text => f.write_str("text"),
            Self::Secret => f.write_str("secret text"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::HostName => f.write_str("host name"),
            Self::Repeated => f.write_str("text, one a line"),
            Self::Host => f.write_str("IP address"),
            Self::Hosts => f.write_str("IP addresses"),
            Self::Networks => f.write_str("IP addresses and networks"),
            Self::Sockets => f.write_str("socket addresses"),
            Self::Path => f.write_str("path"),
            Self::Paths => f.write_str("paths, separated by colons"),
            Self::Compression => f.write_str("no, yes, or zstd-1 to zstd-19"),
        }
    }
}

/// Whether a directive does anything here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It does what the manual says.
    Effective,
    /// It will, once this part of the server exists.
    NotYet(&'static str),
    /// It never will, and this is why.
    NoEffect(&'static str),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effective => f.write_str("effective"),
            Self::NotYet(topic) => write!(f, "not yet: {topic}"),
            Self::NoEffect(reason) => write!(f, "no effect: {reason}"),
        }
    }
}

macro_rules! keys {
    ($($(#[$attribute:meta])* $name:ident;)*) => {
        $(
            $(#[$attribute])*
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub struct $name(&'static Directive);

            impl $name {
                const fn new(directive: &'static Directive) -> Self {
                    Self(directive)
                }

                /// Its entry in the table.
                pub const fn directive(self) -> &'static Directive {
                    self.0
                }
            }
        )*
    };
}

keys! {
    /// A directive whose value is a number.
    Quantity;
    /// A directive whose value is a length of time.
    TimeSpan;
    /// A directive whose value is a boolean.
    Boolean;
    /// A directive whose value is one text.
    Text;
    /// A directive whose value is several texts.
    Repeated;
    /// A directive whose value is an IP address.
    Host;
    /// A directive whose value is a list of IP addresses.
    Hosts;
    /// A directive whose value is a list of networks.
    Networks;
    /// A directive whose value is a list of socket addresses.
    Sockets;
    /// A directive whose value is a path.
    Path;
    /// A directive whose value is a list of paths.
    Paths;
    /// A directive whose value is a compression level.
    Compression;
}

const fn lower_case<const LENGTH: usize>(name: &str) -> [u8; LENGTH] {
    let mut lower = [0; LENGTH];
    let mut index = 0;
    while index < LENGTH {
        lower[index] = name.as_bytes()[index].to_ascii_lowercase();
        index += 1;
    }
    lower
}

/// All directives, file by file.
pub fn all() -> impl Iterator<Item = &'static Directive> {
    File::ALL.iter().flat_map(|file| file.table().iter().copied())
}
