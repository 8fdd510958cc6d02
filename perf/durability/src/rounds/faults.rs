//! Faults of one mailbox's files while all are at work: it may refuse, the others may not notice, and when the
//! fault is gone it must serve again, with everything that it acknowledged. Power is lost at instants of each
//! phase, too.

use std::{sync::Arc, thread, time::Duration};

use anyhow::Result;

use super::{
    Setting,
    power::{self, Recorded},
    tell, verdicts, wait_for,
};
use crate::{
    disk::{
        Disk,
        fault::{Effect, Fault, Operation},
        image::{Lie, Loss, Order},
    },
    oracle::Instant,
    random::Random,
    server::Place,
    workload::World,
};

/// How long a fault lasts.
const PHASE: Duration = Duration::from_secs(2);
/// A mailbox whose fault is gone must serve again after so long.
const RECOVERY: Duration = Duration::from_secs(20);
/// The others must have been served so recently.
const UNNOTICED: Duration = Duration::from_secs(5);
/// The mailbox that has the faults.
const VICTIM: usize = 0;
/// Power losses for each phase.
const LOSSES: usize = 4;

struct Phase {
    name: &'static str,
    containing: &'static str,
    operations: &'static [Operation],
    effect: Effect,
    percent: usize,
    /// Whether requests may be refused meanwhile.
    may_refuse: bool,
}

const EIO: Effect = Effect::Error(nix::libc::EIO);
const ENOSPC: Effect = Effect::Error(nix::libc::ENOSPC);

const PHASES: &[Phase] = &[
    phase(
        "the disk is full",
        "",
        &[Operation::Write, Operation::Resize, Operation::Create],
        ENOSPC,
        100,
    ),
    phase(
        "the disk is full now and then",
        "",
        &[Operation::Write, Operation::Resize],
        ENOSPC,
        20,
    ),
    phase("writes fail", "", &[Operation::Write], EIO, 30),
    phase("reads fail", "", &[Operation::Read], EIO, 30),
    phase("syncs of the WAL fail", "-wal", &[Operation::Sync], EIO, 30),
    phase("all syncs fail", "", &[Operation::Sync], EIO, 100),
    phase(
        "syncs of the database fail",
        "sqlite3",
        &[Operation::Sync],
        EIO,
        50,
    ),
    phase("syncs of content fail", "cid", &[Operation::Sync], EIO, 50),
    phase(
        "files can't be made, renamed or removed",
        "",
        &[Operation::Create, Operation::Rename, Operation::Remove],
        EIO,
        50,
    ),
    phase("files can't be opened", "", &[Operation::Open], EIO, 50),
    Phase {
        may_refuse: false,
        ..phase("writes are short", "", &[Operation::Write], Effect::Short, 50)
    },
];

const fn phase(
    name: &'static str,
    containing: &'static str,
    operations: &'static [Operation],
    effect: Effect,
    percent: usize,
) -> Phase {
    Phase {
        name,
        containing,
        operations,
        effect,
        percent,
        may_refuse: true,
    }
}

/// Plays all phases; what was wrong.
pub(crate) fn run(setting: &Setting) -> Result<usize> {
    let mut random = Random::new(setting.seed);
    let mut wrong = 0;
    let mut losses: Vec<(&'static str, Instant, Instant)> = Vec::new();
    let mut refused = 0;
    let mut after = Vec::new();
    let play_all = |place: &Place, world: &World, disk: &Arc<Disk>| {
        let below = place.users[VICTIM].clone();
        thread::sleep(PHASE);
        for phase in PHASES {
            let began = disk.now();
            let mistakes = play(world, disk, phase, &below, random.next());
            wrong += tell(phase.name, &mistakes, &place.log());
            losses.push((phase.name, began, disk.now()));
        }
        refused = world.oracle.mailbox(VICTIM).refused;
        Ok(())
    };
    let recorded = power::record_while(setting, "faults", play_all, |server, world| {
        // All that was under way has ended: what is shown now is what there is.
        let found = verdicts(&server, world, Instant::MAX)?;
        after.extend(found.into_iter().flat_map(|verdict| verdict.wrong));
        server.stop()
    })?;
    wrong += tell("after all faults", &after, &recorded.place.log());
    let lost = lose(&recorded, &losses, &mut random)?;
    println!(
        "faults: {} phases, {refused} requests refused, {} power losses within, {wrong} wrong, {lost} losses with damage",
        PHASES.len(),
        losses.len() * LOSSES,
    );
    Ok(wrong + lost)
}

/// One phase; what was wrong.
fn play(world: &World, disk: &Arc<Disk>, phase: &Phase, below: &str, seed: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let others = 1..world.users.len();
    let refusals = |user: usize| world.oracle.mailbox(user).refused;
    let before: Vec<usize> = (0..world.users.len()).map(refusals).collect();
    let shown = disk.faults.shown();
    let fault = Fault {
        below: below.to_owned(),
        containing: phase.containing,
        operations: phase.operations,
        effect: phase.effect,
        percent: phase.percent,
    };
    disk.faults.set(vec![fault], seed);
    let happened = wait_for(PHASE * 4, || disk.faults.shown() > shown);
    thread::sleep(PHASE);
    for user in others {
        let (since, _) = world.answered(user);
        if since > UNNOTICED {
            wrong.push(format!("{} was not served for {since:?}", world.users[user]));
        }
        let more = refusals(user) - before[user];
        if more > 0 {
            wrong.push(format!("{} was refused {more} requests", world.users[user]));
        }
    }
    if !phase.may_refuse && refusals(VICTIM) > before[VICTIM] {
        wrong.push("a fault that a retry heals led to refusals".to_owned());
    }
    disk.faults.lift();
    if !happened {
        wrong.push("the fault was never shown: nothing was tested".to_owned());
    }
    let (_, answers) = world.answered(VICTIM);
    if !wait_for(RECOVERY, || world.answered(VICTIM).1 > answers + 2) {
        wrong.push(format!("the mailbox was not served again within {RECOVERY:?}"));
    }
    wrong.extend(world.take_wrong());
    let count = disk.faults.shown() - shown;
    println!(
        "  {}: {count} times, {} refused, {} wrong",
        phase.name,
        refusals(VICTIM) - before[VICTIM],
        wrong.len()
    );
    wrong
}

/// Power losses within the phases, and just after; how many had losses.
fn lose(
    recorded: &Recorded,
    phases: &[(&'static str, Instant, Instant)],
    random: &mut Random,
) -> Result<usize> {
    let mut failed = 0;
    for (name, began, ended) in phases {
        for number in 0..LOSSES {
            let loss = Loss {
                at: began + 1 + random.below(ended - began),
                seed: random.next(),
                order: if number % 2 == 0 {
                    Order::Posix
                } else {
                    Order::Journal
                },
                lie: Lie::None,
            };
            let wrong = power::lose(recorded, loss)?;
            failed += usize::from(!wrong.is_empty());
            tell(&format!("{name}, {loss:?}"), &wrong, &recorded.place.log());
        }
    }
    Ok(failed)
}
