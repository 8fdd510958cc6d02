//! `--integrity`: SQLite's own check of a mailbox's database.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};

/// The mailbox's database.
pub(crate) fn database(mailbox: &Path) -> PathBuf {
    mailbox.join("exmdb").join("exchange.sqlite3")
}

/// The lock of a mailbox, which is held by whoever has it open.
pub(crate) fn lock(mailbox: &Path) -> anyhow::Result<File> {
    let path = mailbox.join("exmdb").join("exchange.lock");
    let lock = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("can't open {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("{} is open in another process; stop it first", mailbox.display())
        }
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("can't lock {}", path.display()))
        }
    }
}

/// Checks the database and prints what SQLite finds: 0 if that is nothing, else 1.
pub(crate) fn check(mailbox: &Path) -> anyhow::Result<ExitCode> {
    let database = database(mailbox);
    let findings = find(mailbox)?;
    for finding in &findings {
        println!("{}: {finding}", database.display());
    }
    if findings.is_empty() {
        println!("{}: ok", database.display());
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// What SQLite finds wrong; at most a hundred lines.
fn find(mailbox: &Path) -> anyhow::Result<Vec<String>> {
    let path = database(mailbox);
    let read = || format!("can't check {}", path.display());
    if !path.try_exists().with_context(read)? {
        bail!("{} does not exist", path.display());
    }
    let _lock = lock(mailbox)?;
    let connection = ringpost_vfs::open_database(&path, false).with_context(read)?;
    let mut statement = connection.prepare("PRAGMA integrity_check").with_context(read)?;
    let lines = statement
        .query_map([], |row| row.get::<_, String>(0))
        .with_context(read)?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>().with_context(read)?;
    Ok(if lines == ["ok"] { Vec::new() } else { lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(pages: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("exmdb")).unwrap();
        let connection = ringpost_vfs::open_database(&database(folder.path()), true).unwrap();
        connection
            .execute_batch("CREATE TABLE t (a, b); CREATE INDEX i ON t (a);")
            .unwrap();
        for number in 0..pages {
            connection
                .execute("INSERT INTO t VALUES (?1, zeroblob(3000))", [number])
                .unwrap();
        }
        drop(connection);
        folder
    }

    #[test]
    fn a_sound_database_has_no_findings() {
        let folder = mailbox(20);
        assert_eq!(find(folder.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_damaged_one_has_findings_or_cannot_be_read() {
        let folder = mailbox(50);
        let path = database(folder.path());
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle..middle + 8192].fill(0xa5);
        fs::write(&path, content).unwrap();
        assert!(find(folder.path()).map_or(true, |findings| !findings.is_empty()));
    }

    #[test]
    fn a_mailbox_in_use_or_missing_is_refused() {
        let folder = mailbox(1);
        let held = lock(folder.path()).unwrap();
        assert!(
            find(folder.path())
                .unwrap_err()
                .to_string()
                .contains("open in another process")
        );
        drop(held);
        assert!(
            find(Path::new("/nonexistent"))
                .unwrap_err()
                .to_string()
                .contains("does not exist")
        );
    }
}
