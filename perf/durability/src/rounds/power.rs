//! Power loss: one run is recorded, and then the disk rebuilt as of many instants of it.

use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant as Time},
};

use anyhow::{Context as _, Result};

use super::{Setting, tell, verdicts};
use crate::{
    disk::{
        Disk, Recording,
        image::{self, Lie, Loss, Order},
        mount,
    },
    oracle::Instant,
    random::Random,
    server::{Place, Server},
    verify,
    workload::{Clients, World},
};

/// A recording is held in memory: it ends at so many bytes, if not earlier.
const RECORDED_MAX: u64 = 1024 * 1024 * 1024;
/// The recorded run takes so long for each hundred points.
const RUN: Duration = Duration::from_secs(12);

/// A recorded run.
pub(crate) struct Recorded {
    pub(crate) place: Place,
    pub(crate) world: Arc<World>,
    pub(crate) recording: Recording,
}

/// Points of a run that are tried, and how the disk is to behave.
pub(crate) struct Points {
    pub(crate) count: usize,
    pub(crate) lie: Lie,
}

/// Records a run and loses power at so many instants of it; what was wrong.
pub(crate) fn run(setting: &Setting, points: usize) -> Result<usize> {
    let recorded = record(setting, "power", RUN)?;
    let points = Points {
        count: points,
        lie: Lie::None,
    };
    let failed = play(setting, &recorded, &points)?;
    println!(
        "power: {} points, {failed} of them with losses or damage",
        points.count
    );
    Ok(failed)
}

/// Does the checker see what it is there for? Power losses on a disk that lies; what it failed to see.
pub(crate) fn check_checker(setting: &Setting, points: usize) -> Result<usize> {
    let recorded = record(setting, "checker", RUN / 4)?;
    check_recorded(setting, &recorded, points)
}

fn check_recorded(setting: &Setting, recorded: &Recorded, points: usize) -> Result<usize> {
    let mut missed = 0;
    for (lie, what) in [
        (Lie::AllSyncs, "syncs that are acknowledged and not done"),
        (
            Lie::ContentSyncs,
            "rows that are durable before the content that they name",
        ),
    ] {
        let count = points;
        let seen = play(setting, recorded, &Points { count, lie })?;
        println!("checker: {what}: seen at {seen} of {points} points");
        missed += usize::from(seen == 0);
    }
    Ok(missed)
}

/// A short form of both, on one recording; what was wrong or not seen.
pub(crate) fn quick(setting: &Setting, points: usize, checks: usize) -> Result<usize> {
    let recorded = record(setting, "power", RUN / 4)?;
    let honest = Points {
        count: points,
        lie: Lie::None,
    };
    let failed = play(setting, &recorded, &honest)?;
    println!("power: {points} points, {failed} of them with losses or damage");
    Ok(failed + check_recorded(setting, &recorded, checks)?)
}

/// Lets clients work on a recorded disk for some time.
fn record(setting: &Setting, name: &str, time: Duration) -> Result<Recorded> {
    let play = |_: &Place, _: &World, disk: &Arc<Disk>| {
        let began = Time::now();
        while began.elapsed() < time && disk.written() < RECORDED_MAX {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    };
    record_while(setting, name, play, |server, _| server.kill())
}

/// Lets clients work on a recorded disk while `play` does something to it, and ends the server with `end`.
pub(crate) fn record_while(
    setting: &Setting,
    name: &str,
    play: impl FnOnce(&Place, &World, &Arc<Disk>) -> Result<()>,
    end: impl FnOnce(Server, &World) -> Result<()>,
) -> Result<Recorded> {
    let place = Place::make(&setting.binary, &setting.below(name)?, setting.users)?;
    {
        // Folders that keep their names, before the recording begins.
        let server = place.start()?;
        World::new(place.users.clone(), (server.imap, server.lmtp), Arc::new(|| 0)).prepare()?;
        server.stop()?;
    }
    let disk = Arc::new(Disk::load(&place.mailboxes())?);
    let session =
        mount::mount(&disk, &place.mailboxes(), setting.seed).context("mounting the recording disk")?;
    let server = place.start()?;
    let clock = {
        let disk = Arc::clone(&disk);
        Arc::new(move || disk.now())
    };
    let world = Arc::new(World::new(place.users.clone(), (server.imap, server.lmtp), clock));
    let clients = Clients::start(&world, setting.seed);
    let began = Time::now();
    play(&place, &world, &disk)?;
    clients.stop()?;
    end(server, &world)?;
    mount::unmount(session, &place.mailboxes()).context("unmounting the recording disk")?;
    let recording = disk.recording();
    let acknowledged = world.oracle.acknowledgements().len();
    println!(
        "  recorded {:.1} s: {acknowledged} acknowledged changes, {} events of the disk, {} MB written",
        began.elapsed().as_secs_f64(),
        recording.changes.len(),
        disk.written() / 1_000_000
    );
    let log = place.log();
    anyhow::ensure!(
        acknowledged > 0,
        "the server acknowledged nothing; {}",
        log.display()
    );
    let wrong = tell("while recording", &world.take_wrong(), &log);
    anyhow::ensure!(wrong == 0, "clients saw what can't be");
    Ok(Recorded {
        place,
        world,
        recording,
    })
}

/// Loses power at so many instants; at how many something was lost or damaged.
fn play(setting: &Setting, recorded: &Recorded, points: &Points) -> Result<usize> {
    let mut random = Random::new(setting.seed ^ 0x706f_7765_7200);
    let acknowledgements = recorded.world.oracle.acknowledgements();
    let end = recorded.recording.changes.len();
    let mut failed = 0;
    for point in 0..points.count {
        let loss = Loss {
            at: instant(&mut random, &acknowledgements, end),
            seed: random.next(),
            order: if point % 2 == 0 {
                Order::Posix
            } else {
                Order::Journal
            },
            lie: points.lie,
        };
        let wrong = lose(recorded, loss)?;
        failed += usize::from(!wrong.is_empty());
        if points.lie == Lie::None {
            tell(&format!("{loss:?}"), &wrong, &recorded.place.log());
            if (point + 1) % 25 == 0 {
                println!("  {} points, {failed} failed", point + 1);
            }
        }
    }
    Ok(failed)
}

/// Half of the instants are anywhere, half just when something was acknowledged.
fn instant(random: &mut Random, acknowledgements: &[Instant], end: usize) -> Instant {
    match random.choose(acknowledgements) {
        Some(at) if random.percent(50) => *at,
        _ => 1 + random.below(end),
    }
}

/// Rebuilds the disk, starts the server on it, and looks; what is wrong.
pub(crate) fn lose(recorded: &Recorded, loss: Loss) -> Result<Vec<String>> {
    let place = &recorded.place;
    fs::create_dir_all(place.mailboxes())?;
    let tree = image::after(&recorded.recording, loss);
    image::write(&tree, &place.mailboxes())?;
    let mut wrong = Vec::new();
    let server = place.start()?;
    // A mailbox that can't be opened is a loss, not an error of the rig.
    match verdicts(&server, &recorded.world, loss.at) {
        Ok(verdicts) => wrong.extend(verdicts.into_iter().flat_map(|verdict| verdict.wrong)),
        Err(error) => wrong.push(format!("{error:#}")),
    }
    server.kill()?;
    match verify::walk(place) {
        Ok(problems) => wrong.extend(problems),
        Err(error) => wrong.push(format!("{error:#}")),
    }
    Ok(wrong)
}
