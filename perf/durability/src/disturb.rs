//! What is done to a server from inside its process: its clock jumps, and some of its threads get no memory.
//!
//! A library of a hundred lines (`disturb.c`) is built by the C compiler that also builds SQLite, and preloaded. It
//! allocates nothing and keeps what it is told in a page that it shares with this program. (Debian's libfaketime
//! makes the C library free memory before an allocator inside the server is ready, and ends it before `main`.)

use std::{
    env,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

const SOURCE: &str = include_str!("disturb.c");
/// `struct disturbance`: four numbers and a thread's name.
const SHIFT: u64 = 0;
const LOOKS: u64 = 8;
const STARVE: u64 = 16;
const STARVED: u64 = 24;
const THREAD: u64 = 32;
const THREAD_LENGTH: usize = 16;

/// The library, and the page that it is told by.
pub(crate) struct Disturbance {
    library: PathBuf,
    page: PathBuf,
    file: File,
}

impl Disturbance {
    /// Builds the library in a folder.
    pub(crate) fn build(folder: &Path) -> Result<Self> {
        let source = folder.join("disturb.c");
        let library = folder.join("disturb.so");
        let page = folder.join("disturbance");
        fs::write(&source, SOURCE)?;
        let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(&compiler)
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .status()
            .with_context(|| format!("the C compiler {}", compiler.display()))?;
        ensure!(built.success(), "{}: {built}", source.display());
        fs::write(&page, vec![0; THREAD as usize + THREAD_LENGTH])?;
        let file = File::options().read(true).write(true).open(&page)?;
        Ok(Self { library, page, file })
    }

    /// What stands before a server's command line.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("DISTURB={}", self.page.display()),
            // Large memory comes from the system each time, not out of a gigabyte that was reserved at the start.
            "MIMALLOC_ARENA_RESERVE=0".to_owned(),
        ]
    }

    /// Sets the server's time of day so many seconds off the true one.
    pub(crate) fn jump(&self, seconds: i64) -> io::Result<()> {
        self.write(SHIFT, seconds)
    }

    /// How often the server looked at a clock that was off.
    pub(crate) fn looks(&self) -> io::Result<i64> {
        self.read(LOOKS)
    }

    /// From now on threads whose names begin so get no memory of `least` bytes or more at once; 0: all do.
    pub(crate) fn starve(&self, thread: &str, least: i64) -> io::Result<()> {
        let mut name = [0; THREAD_LENGTH];
        for (to, from) in name.iter_mut().zip(thread.bytes()) {
            *to = from;
        }
        self.file.write_all_at(&name, THREAD)?;
        self.write(STARVE, least)
    }

    /// How often memory was refused.
    pub(crate) fn starved(&self) -> io::Result<i64> {
        self.read(STARVED)
    }

    fn write(&self, at: u64, value: i64) -> io::Result<()> {
        self.file.write_all_at(&value.to_ne_bytes(), at)
    }

    fn read(&self, at: u64) -> io::Result<i64> {
        let mut value = [0; 8];
        self.file.read_exact_at(&mut value, at)?;
        Ok(i64::from_ne_bytes(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_sees_the_clock_that_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let disturbance = Disturbance::build(folder.path()).unwrap();
        let year = || {
            let words = disturbance.wrapper();
            let output = Command::new(&words[0])
                .args(&words[1..])
                .args(["date", "+%s"])
                .output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            text.trim().parse::<i64>().unwrap() / (365 * 86_400)
        };
        let now = year();
        assert_eq!(disturbance.looks().unwrap(), 0);
        disturbance.jump(-10 * 365 * 86_400).unwrap();
        assert_eq!(year(), now - 10);
        assert!(disturbance.looks().unwrap() > 0);
        assert_eq!(disturbance.starved().unwrap(), 0);
    }
}
