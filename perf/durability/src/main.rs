//! Does ringpost lose anything? Kills, power losses and faults on purpose.
//!
//! Each round lets clients work ([`workload`]), notes what they asked and were told ([`oracle`]), does something
//! bad to the server or its disk ([`rounds`], [`disk`]), starts the server again and compares what it shows with
//! what it acknowledged ([`verify`]). `perf/durability/README.md` is the page for those who run it.

mod disk;
mod disturb;
mod mail;
mod oracle;
mod random;
mod rounds;
mod server;
mod verify;
mod workload;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};
use rounds::{Setting, faults, kill, limits, power, soak};

/// Kills, power losses and faults: nothing that ringpost acknowledged may be lost
#[derive(Parser)]
#[command(name = "ringpost-durability", version)]
struct Arguments {
    /// The server to test
    #[arg(long, value_name = "FILE", default_value = "target/release/ringpost")]
    binary: PathBuf,
    /// Where the data of the run goes; removed after a run without mistakes
    #[arg(long, value_name = "DIR", default_value = "target/durability")]
    folder: PathBuf,
    /// Repeats a run; without it, each is another one
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Mailboxes
    #[arg(long, value_name = "N", default_value_t = 4)]
    users: usize,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kills the server at random instants, on the same data again and again
    Kill {
        #[arg(long, default_value_t = 200)]
        rounds: usize,
    },
    /// Records a run on a disk of its own and loses power at random instants of it (needs root and FUSE)
    Power {
        #[arg(long, default_value_t = 100)]
        points: usize,
    },
    /// Shows one mailbox a full disk, errors of reads, writes and syncs, and short writes (needs root and FUSE)
    Faults,
    /// Takes descriptors and memory away, and lets the clock jump
    Limits,
    /// Works for a long time, with kills now and then
    Soak {
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
    /// Makes the disk lie and expects to see the loss: checks the checker (needs root and FUSE)
    Checker {
        #[arg(long, default_value_t = 20)]
        points: usize,
    },
    /// A little of everything, for CI
    Quick,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let binary = arguments.binary.canonicalize();
    let seed = arguments.seed.unwrap_or_else(some_seed);
    std::fs::create_dir_all(&arguments.folder)?;
    let folder = arguments
        .folder
        .canonicalize()?
        .join(format!("{}-{seed}", std::process::id()));
    let setting = Setting {
        binary: binary.with_context(|| format!("no server at {}", arguments.binary.display()))?,
        folder,
        seed,
        users: arguments.users.max(1),
    };
    println!("seed {seed}, data in {}", setting.folder.display());
    let wrong = play(&setting, &arguments.command)?;
    if wrong > 0 {
        println!(
            "{wrong} wrong; what the server left is in {}",
            setting.folder.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    std::fs::remove_dir_all(&setting.folder)?;
    Ok(ExitCode::SUCCESS)
}

fn play(setting: &Setting, command: &Command) -> Result<usize> {
    match command {
        Command::Kill { rounds } => kill::run(setting, *rounds),
        Command::Power { points } => {
            own_mounts()?;
            power::run(setting, *points)
        }
        Command::Checker { points } => {
            own_mounts()?;
            power::check_checker(setting, *points)
        }
        Command::Faults => {
            own_mounts()?;
            faults::run(setting)
        }
        Command::Limits => limits::run(setting),
        Command::Soak { minutes } => soak::run(setting, Duration::from_mins(*minutes)),
        Command::Quick => {
            let killed = kill::run(setting, 10)?;
            if let Err(error) = own_mounts() {
                println!("NOT RUN: power losses and the checker's check: {error:#}");
                return Ok(killed);
            }
            Ok(killed + power::quick(setting, 8, 3)?)
        }
    }
}

/// Gives this process mounts of its own: nobody else sees the disk, and it goes with the process.
fn own_mounts() -> Result<()> {
    ensure!(geteuid().is_root(), "mounting a disk needs root");
    ensure!(PathBuf::from("/dev/fuse").exists(), "there is no /dev/fuse");
    unshare(CloneFlags::CLONE_NEWNS).context("mounts of its own")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("mounts of its own")?;
    Ok(())
}

fn some_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.as_micros() as u64 % 1_000_000_000)
}
