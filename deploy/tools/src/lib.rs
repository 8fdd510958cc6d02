//! What administrators and the service manager touch: the `gromox-*` tools and messages to systemd.
//!
//! The tools are part of the `ringpost` program, which looks at the name that it was called by: see
//! [`by_name`]. They work on a mailbox's files, like gromox's own: while the server has a mailbox open, its
//! lock keeps them out. Converters of messages (`gromox-eml2mbox`) need no mailbox: files in, standard output out.

pub mod admin;
mod command;
mod eml2mbox;
mod integrity;
mod mailq;
mod mbck;
mod mbsize;
mod mkmidb;
mod mkstore;
pub mod notify;
#[cfg(test)]
mod test_mailbox;

use std::{ffi::OsString, path::Path, process::ExitCode};

pub use mailq::queue_folder;

/// A tool's main function: takes the command line, its own name first.
pub type Tool = fn(Vec<OsString>) -> ExitCode;

/// All tools, by the names of their links.
pub const TOOLS: &[(&str, Tool)] = &[
    ("gromox-eml2mbox", eml2mbox::run),
    ("gromox-mailq", mailq::run),
    ("gromox-mbck", mbck::run),
    ("gromox-mbsize", mbsize::run),
    ("gromox-mkmidb", mkmidb::run),
    ("gromox-mkprivate", mkstore::run_private),
    ("gromox-mkpublic", mkstore::run_public),
];

/// The tool that is meant by `argv[0]`, with or without a folder in front.
pub fn by_name(name: impl AsRef<Path>) -> Option<Tool> {
    let name = name.as_ref().file_name()?;
    TOOLS
        .iter()
        .find(|(known, _)| name == *known)
        .map(|(_, tool)| *tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_found_by_the_name_of_their_link() {
        for (name, tool) in TOOLS {
            assert!(by_name(name).is_some_and(|found| std::ptr::fn_addr_eq(found, *tool)));
            assert!(by_name(format!("/usr/sbin/{name}")).is_some());
        }
        assert!(by_name("ringpost").is_none());
        assert!(by_name("").is_none());
    }
}
