//! Faults of the whole process: no descriptors, no memory, a clock that jumps. All mailboxes may be refused
//! meanwhile; none may lose anything, and all must be served again afterwards.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Setting, tell, verdicts, wait_for};
use crate::{
    mail::imap::Imap,
    oracle::Instant,
    random::Random,
    server::{PASSWORD, Place, Server},
    verify::{self, COPIES_NAME},
    workload::{Clients, World, counting_clock},
};

/// How long a limit is in force.
const PHASE: Duration = Duration::from_secs(3);
/// Looks at what a limit does, while it is in force.
const TRIES: usize = 6;
/// All must be served again after so long.
const RECOVERY: Duration = Duration::from_secs(30);
/// Where Debian's libfaketime is, and other systems'.
const FAKE_CLOCKS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];
/// Where the clock jumps to, from the true time.
const JUMPS: [&str; 6] = ["+1d", "-1d", "+0", "-3650d", "+3650d", "+0"];

/// Plays all; what was wrong.
pub(crate) fn run(setting: &Setting) -> Result<usize> {
    let mut random = Random::new(setting.seed);
    let folder = setting.below("limits")?;
    let mut place = Place::make(&setting.binary, &folder, setting.users)?;
    let clock = fake_clock(&folder, &mut place, &setting.binary)?;
    let mut server = place.start()?;
    let world = Arc::new(World::new(
        place.users.clone(),
        (server.imap, server.lmtp),
        counting_clock(),
    ));
    world.prepare()?;
    let mut wrong = 0;

    for (name, option, room) in [("no descriptors", "nofile", 1), ("few descriptors", "nofile", 12)] {
        let clients = Clients::start(&world, random.next());
        thread::sleep(PHASE);
        // When they are gone and their mailboxes closed, there is room for a few more and no others.
        clients.stop()?;
        thread::sleep(PHASE);
        let limit = server.descriptors()? + room;
        let before = prlimit(&server, option, &limit.to_string())?;
        let clients = Clients::start(&world, random.next());
        let failed = (0..TRIES).filter(|_| !can_log_in(&server, &world)).count();
        prlimit(&server, option, &before)?;
        let mut mistakes = recovered(&world);
        clients.stop()?;
        if failed == 0 {
            mistakes.push("the limit was not felt: nothing was tested".to_owned());
        }
        mistakes.extend(looked_into(&mut server, &world, &place, random.percent(50))?);
        wrong += tell(name, &mistakes, &place.log());
        println!(
            "  {name}: {failed} of {TRIES} logins failed, {} wrong",
            mistakes.len()
        );
    }

    let clients = Clients::start(&world, random.next());
    thread::sleep(PHASE);
    let room = 1024 * 1024;
    let limit = server.status("VmSize:")? * 1024 + room;
    let before = prlimit(&server, "as", &limit.to_string())?;
    for _ in 0..TRIES {
        // A password that is not in the cache costs a helper thread 19 MiB.
        let _ = Imap::login(server.imap, &world.users[0], "wrong");
        thread::sleep(PHASE / TRIES as u32);
    }
    let survived = server.is_alive()?;
    if survived {
        prlimit(&server, "as", &before)?;
    } else {
        server = place.start()?;
    }
    let mut mistakes = recovered(&world);
    clients.stop()?;
    mistakes.extend(looked_into(&mut server, &world, &place, false)?);
    wrong += tell("no memory", &mistakes, &place.log());
    println!(
        "  no memory: {}, {} wrong",
        if survived {
            "survived"
        } else {
            "ended, started again"
        },
        mistakes.len()
    );

    match clock {
        None => println!("  NOT RUN: clock jumps need libfaketime"),
        Some(clock) => {
            let clients = Clients::start(&world, random.next());
            let mut mistakes = Vec::new();
            for jump in JUMPS {
                fs::write(&clock, jump)?;
                thread::sleep(PHASE / 2);
                let late = world
                    .users
                    .iter()
                    .enumerate()
                    .filter(|(user, _)| world.answered(*user).0 > PHASE);
                mistakes.extend(
                    late.map(|(_, address)| format!("{address} was not served after the jump to {jump}")),
                );
            }
            clients.stop()?;
            mistakes.extend(looked_into(&mut server, &world, &place, true)?);
            let mut seen = BTreeSet::new();
            for user in &world.users {
                seen.extend(years(&server, user)?);
            }
            if seen.len() < 2 {
                mistakes.push(format!("the clock did not jump: all mail is of {seen:?}"));
            }
            wrong += tell("clock jumps", &mistakes, &place.log());
            println!(
                "  {} clock jumps, mail of {seen:?}: {} wrong",
                JUMPS.len(),
                mistakes.len()
            );
        }
    }
    server.stop()?;
    wrong += tell("the walk", &verify::walk(&place)?, &place.log());
    println!("limits: {wrong} wrong");
    Ok(wrong)
}

/// Whether as many connections as there are users can be made and log in.
fn can_log_in(server: &Server, world: &World) -> bool {
    let sessions = world
        .users
        .iter()
        .map(|user| Imap::login(server.imap, user, PASSWORD));
    let all = sessions.collect::<io::Result<Vec<_>>>();
    thread::sleep(PHASE / TRIES as u32);
    all.is_ok()
}

/// The years in which messages arrived, by the server's clock.
fn years(server: &Server, user: &str) -> Result<BTreeSet<String>> {
    let mut imap = Imap::login(server.imap, user, PASSWORD)?;
    let mut years = BTreeSet::new();
    for folder in ["INBOX", COPIES_NAME] {
        imap.command(&format!("EXAMINE {folder}"))?;
        for response in imap.command("FETCH 1:* (INTERNALDATE)")?.responses {
            let date = response.text.split_once("INTERNALDATE \"").map(|(_, date)| date);
            let year = date.and_then(|date| date.get(7..11));
            years.extend(year.map(str::to_owned));
        }
    }
    Ok(years)
}

/// Whether all are served again.
fn recovered(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for (user, address) in world.users.iter().enumerate() {
        let (_, answers) = world.answered(user);
        if !wait_for(RECOVERY, || world.answered(user).1 > answers + 2) {
            wrong.push(format!("{address} was not served again within {RECOVERY:?}"));
        }
    }
    wrong
}

/// Compares everything with the record, perhaps after a kill.
fn looked_into(server: &mut Server, world: &World, place: &Place, kill: bool) -> Result<Vec<String>> {
    if kill {
        server.kill_in_place()?;
        *server = place.start()?;
    }
    let mut wrong = world.take_wrong();
    for (user, verdict) in verdicts(server, world, Instant::MAX)?.into_iter().enumerate() {
        world
            .oracle
            .mailbox(user)
            .settle(&verdict.messages, &verdict.folders);
        wrong.extend(verdict.wrong);
    }
    Ok(wrong)
}

/// Sets the soft limit of a resource; what it was.
fn prlimit(server: &Server, resource: &str, limit: &str) -> Result<String> {
    let pid = server.pid().to_string();
    let run = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("prlimit")
            .args(["--pid", &pid])
            .args(arguments)
            .output();
        let output = output.context("prlimit (util-linux)")?;
        ensure!(
            output.status.success(),
            "prlimit {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let before = run(&[&format!("--{resource}"), "--noheadings", "--raw", "--output=SOFT"])?;
    run(&[&format!("--{resource}={limit}:")])?;
    Ok(before)
}

/// Puts a clock that can be set before the server's; the file that sets it. `None`: there is none.
fn fake_clock(folder: &Path, place: &mut Place, binary: &Path) -> Result<Option<PathBuf>> {
    let Some(library) = FAKE_CLOCKS.iter().find(|path| Path::new(path).exists()) else {
        return Ok(None);
    };
    // Its constructor lets the C library free memory before an allocator inside the program is ready, which mimalloc
    // does not survive: better to know now than from a server that ends at once.
    let starts = Command::new(binary)
        .arg("--version")
        .env("LD_PRELOAD", library)
        .output()?;
    if !starts.status.success() {
        println!("  the server does not start with {library}: {}", starts.status);
        return Ok(None);
    }
    let file = folder.join("clock");
    fs::write(&file, "+0")?;
    let settings = [
        format!("LD_PRELOAD={library}"),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    place.wrapper = std::iter::once("env".to_owned()).chain(settings).collect();
    Ok(Some(file))
}
