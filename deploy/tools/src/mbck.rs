//! `gromox-mbck`: checks mailboxes, and repairs what can be repaired.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use clap::{ArgAction, Parser};
use ringpost_store::{Mailbox, OpenOptions};

use crate::{command, integrity::database};

/// Runs `gromox-mbck`.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    command::run(arguments, |options: &Options| {
        let mut output = io::stdout().lock();
        let mut sound = true;
        for path in &options.mailboxes {
            // One that can't be checked keeps no other from being checked.
            sound &= check(path, options.repair, &mut output).unwrap_or_else(|error| {
                eprintln!("gromox-mbck: {error:#}");
                false
            });
        }
        Ok(if sound {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// Checks mailboxes for problems: every message is read, so it takes as long as reading the mailbox does
///
/// Ends with 0 if nothing is wrong any more, with 1 if something is or could not be checked.
#[derive(Parser, Debug)]
#[command(name = "gromox-mbck", version, disable_help_flag = true)]
struct Options {
    /// Repair what can be without losing mail
    #[arg(short = 'p')]
    repair: bool,
    /// Show this help
    #[arg(short = '?', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Databases of mailboxes (exmdb/exchange.sqlite3), or the mailboxes' folders
    #[arg(required = true, value_name = "x.sqlite")]
    mailboxes: Vec<PathBuf>,
}

/// Whether nothing is wrong (any more). Prints a line for each problem, and one with the result.
fn check(path: &Path, repair: bool, output: &mut dyn Write) -> anyhow::Result<bool> {
    let folder = mailbox_folder(path)?;
    let what = || format!("can't check {}", path.display());
    let mut mailbox = Mailbox::open(&folder, &OpenOptions::default()).with_context(what)?;
    let report = mailbox.check(repair).with_context(what)?;
    let path = path.display();
    for problem in &report.problems {
        writeln!(output, "{path}: {problem}")?;
    }
    let unlisted = report.found - report.problems.len();
    if unlisted > 0 {
        writeln!(output, "{path}: and {unlisted} more")?;
    }
    match (report.found, report.repaired) {
        (0, _) => writeln!(output, "{path}: ok")?,
        (found, 0) => writeln!(output, "{path}: {found} problems")?,
        (found, repaired) => writeln!(output, "{path}: {found} problems, {repaired} repaired")?,
    }
    Ok(report.is_clean())
}

/// The mailbox that a database belongs to; a mailbox's folder is itself.
pub(crate) fn mailbox_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
    let folder = if path.is_dir() {
        Some(path.clone())
    } else {
        path.ancestors()
            .nth(2)
            .map(PathBuf::from)
            .filter(|folder| database(folder) == path)
    };
    let folder = folder.with_context(|| {
        format!(
            "{} is neither a mailbox's exmdb/exchange.sqlite3 nor its folder",
            path.display()
        )
    })?;
    let database = database(&folder);
    ensure!(database.exists(), "{} does not exist", database.display());
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_mailbox::{damage_counters, mailbox};

    fn checked(path: &Path, repair: bool) -> (bool, String) {
        let mut output = Vec::new();
        let sound = check(path, repair, &mut output).unwrap();
        (sound, String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_sound_mailbox_is_ok_by_its_database_or_folder() {
        let folder = mailbox(5);
        for path in [database(folder.path()), folder.path().to_owned()] {
            assert_eq!(checked(&path, false), (true, format!("{}: ok\n", path.display())));
        }
    }

    #[test]
    fn problems_are_listed_then_repaired() {
        let folder = mailbox(5);
        damage_counters(folder.path());
        let (sound, told) = checked(folder.path(), false);
        assert!(!sound && told.contains(": I"), "{told}");
        assert!(told.lines().last().unwrap().ends_with("problems"), "{told}");
        let (sound, told) = checked(folder.path(), true);
        assert!(sound && told.contains("(repaired)"), "{told}");
        assert!(told.lines().last().unwrap().ends_with("repaired"), "{told}");
        assert!(checked(folder.path(), false).0);
    }

    #[test]
    fn what_is_no_mailbox_or_in_use_is_refused() {
        let folder = mailbox(0);
        let refused = |path: &Path| {
            let error = check(path, false, &mut Vec::new()).unwrap_err();
            format!("{error:#}")
        };
        let other = folder.path().join("other.sqlite3");
        fs::write(&other, "").unwrap();
        assert!(refused(&other).contains("is neither"));
        assert!(refused(&folder.path().join("exmdb")).contains("does not exist"));
        let _open = Mailbox::open(folder.path(), &OpenOptions::default()).unwrap();
        let told = refused(folder.path());
        assert!(told.contains("can't check"), "{told}");
    }

    #[test]
    fn the_exit_code_tells() {
        let sound = mailbox(1);
        let broken = mailbox(1);
        damage_counters(broken.path());
        let succeeds = |options: &[&str], mailboxes: &[&tempfile::TempDir]| {
            let mut line = vec![OsString::from("gromox-mbck")];
            line.extend(options.iter().map(OsString::from));
            line.extend(mailboxes.iter().map(|folder| folder.path().into()));
            run(line) == ExitCode::SUCCESS
        };
        assert!(succeeds(&[], &[&sound]));
        assert!(!succeeds(&[], &[&broken, &sound]));
        assert!(succeeds(&["-p"], &[&broken, &sound]));
        assert!(succeeds(&[], &[&broken, &sound]));
        assert!(!succeeds(&[], &[]), "which?");
        assert!(succeeds(&["-?"], &[]));
    }
}
