//! `gromox-mbsize`: what a mailbox takes on disk, and why.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{ArgAction, Parser};
use ringpost_store::{Mailbox, OpenOptions, Sizes};

use crate::{command, integrity::database, mbck::mailbox_folder};

/// Runs `gromox-mbsize`.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    command::run(arguments, |options: &Options| {
        let folder = mailbox_folder(&options.directory)?;
        let what = || format!("can't measure {}", folder.display());
        let sizes = Mailbox::open(&folder, &OpenOptions::default())
            .and_then(|mut mailbox| mailbox.sizes())
            .with_context(what)?;
        let allocated = Allocated::of(&folder).with_context(what)?;
        io::stdout()
            .write_all(report(&sizes, allocated).as_bytes())
            .with_context(what)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Shows how a mailbox's size translates to usage of the disk
///
/// Not counted are config/, tmp/ and what else lies in the folder.
#[derive(Parser, Debug)]
#[command(name = "gromox-mbsize", version, disable_help_flag = true)]
struct Options {
    /// Show this help
    #[arg(short = '?', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// The mailbox's folder
    directory: PathBuf,
}

/// Bytes of the blocks that the file system has given away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Allocated {
    database: u64,
    files: u64,
}

impl Allocated {
    fn of(mailbox: &Path) -> io::Result<Self> {
        let database = database(mailbox);
        let mut log = database.clone().into_os_string();
        log.push("-wal");
        let log = match fs::metadata(&log) {
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            metadata => bytes(&metadata?),
        };
        let mut files = 0;
        for entry in fs::read_dir(mailbox.join("cid"))? {
            let metadata = entry?.metadata()?;
            if metadata.is_file() {
                files += bytes(&metadata);
            }
        }
        Ok(Self {
            database: bytes(&fs::metadata(&database)?) + log,
            files,
        })
    }
}

fn bytes(metadata: &fs::Metadata) -> u64 {
    // stat(2): `st_blocks` counts 512 bytes, whatever the file system's blocks are.
    metadata.blocks() * 512
}

fn report(sizes: &Sizes, allocated: Allocated) -> String {
    let apparent = sizes.database + sizes.files;
    let on_disk = allocated.database + allocated.files;
    let mut text = format!("{:<34}{:>16}{:>16}\n", "Bytes", "Apparent", "On FS");
    let mut row = |name: &str, apparent: u64, on_disk: Option<u64>| {
        let line = format!(
            "{name:<34}{apparent:>16}{:>16}",
            on_disk.map_or(String::new(), |bytes| bytes.to_string())
        );
        text.push_str(line.trim_end());
        text.push('\n');
    };
    row(
        "Database, with small content",
        sizes.database,
        Some(allocated.database),
    );
    row("Files of large content", sizes.files, Some(allocated.files));
    row("Total", apparent, Some(on_disk));
    row("Content after deduplication", sizes.content, None);
    row("Messages (MAPI reported)", sizes.messages, None);
    row("Soft-deleted messages", sizes.soft_deleted, None);
    let logical = sizes.messages + sizes.soft_deleted;
    for (name, part) in [
        ("Content / messages", sizes.content),
        ("Provisioning factor", on_disk),
    ] {
        if logical > 0 {
            let percent = part as f64 * 100.0 / logical as f64;
            text.extend([format!("{name:<34}{percent:>15.1}%\n")]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_mailbox::mailbox;

    #[test]
    fn the_report_adds_up() {
        let sizes = Sizes {
            messages: 4_000_000,
            soft_deleted: 1_000_000,
            content: 2_500_000,
            database: 1_000_000,
            files: 500_000,
        };
        let allocated = Allocated {
            database: 1_003_520,
            files: 503_808,
        };
        let text = report(&sizes, allocated);
        for line in [
            "Bytes Apparent On FS",
            "Database, with small content 1000000 1003520",
            "Files of large content 500000 503808",
            "Total 1500000 1507328",
            "Content after deduplication 2500000",
            "Messages (MAPI reported) 4000000",
            "Soft-deleted messages 1000000",
            "Content / messages 50.0%",
            "Provisioning factor 30.1%",
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(
                text.lines().any(|line| line.split_whitespace().eq(words.clone())),
                "{line}: {text}"
            );
        }
    }

    #[test]
    fn an_empty_mailbox_has_no_ratios() {
        let allocated = Allocated {
            database: 4096,
            files: 0,
        };
        assert!(!report(&Sizes::default(), allocated).contains('%'));
    }

    #[test]
    fn what_is_on_disk_is_counted() {
        let folder = mailbox(3);
        let before = Allocated::of(folder.path()).unwrap();
        assert!(before.database >= fs::metadata(database(folder.path())).unwrap().len());
        fs::write(folder.path().join("cid/x"), vec![1; 100_000]).unwrap();
        fs::File::open(folder.path().join("cid/x"))
            .unwrap()
            .sync_all()
            .unwrap();
        let after = Allocated::of(folder.path()).unwrap();
        assert!(after.files >= before.files + 100_000);
        let line = vec!["gromox-mbsize".into(), folder.path().into()];
        assert_eq!(run(line), ExitCode::SUCCESS);
        assert_eq!(
            run(vec!["gromox-mbsize".into(), "/nonexistent".into()]),
            ExitCode::FAILURE
        );
    }
}
