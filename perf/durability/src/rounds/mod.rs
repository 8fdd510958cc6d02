//! The rounds that are played.

pub(crate) mod faults;
pub(crate) mod kill;
pub(crate) mod limits;
pub(crate) mod power;
pub(crate) mod soak;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    server::Server,
    verify::{self, Verdict},
    workload::World,
};

/// Mistakes of one round that are printed; of further ones the count.
const PRINTED: usize = 20;

/// What every kind of round needs.
pub(crate) struct Setting {
    /// The server's binary.
    pub(crate) binary: PathBuf,
    /// A new folder of this run.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) users: usize,
}

impl Setting {
    /// A folder below the run's own.
    pub(crate) fn below(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Compares every mailbox that a server shows with the record.
pub(crate) fn verdicts(server: &Server, world: &World, at: usize) -> Result<Vec<Verdict>> {
    let compare = |(user, address): (usize, &String)| {
        let view = verify::look(server, address)?;
        let mut verdict = verify::compare(&view, &world.oracle.mailbox(user), at);
        for wrong in &mut verdict.wrong {
            *wrong = format!("{address}: {wrong}");
        }
        Ok(verdict)
    };
    world.users.iter().enumerate().map(compare).collect()
}

/// Prints what is wrong; how much that is.
pub(crate) fn tell(what: &str, wrong: &[String], hint: &Path) -> usize {
    for line in wrong.iter().take(PRINTED) {
        println!("  WRONG {what}: {line}");
    }
    if wrong.len() > PRINTED {
        println!("  and {} more", wrong.len() - PRINTED);
    }
    if !wrong.is_empty() {
        println!("  the server's log is {}", hint.display());
    }
    wrong.len()
}

/// Waits until something holds; whether it did in time.
pub(crate) fn wait_for(timeout: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > timeout {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
