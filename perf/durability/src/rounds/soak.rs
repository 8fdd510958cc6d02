//! A long day at work with clients that come and go, and now and then a kill. After each stretch of work the
//! server must be as it was at its start: memory, descriptors, queues.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant as Time},
};

use anyhow::{Context as _, Result, ensure};

use super::{Setting, tell, verdicts, wait_for};
use crate::{
    oracle::Instant,
    random::Random,
    server::{Place, Server},
    verify,
    workload::{Clients, World, counting_clock},
};

/// Work before the server is measured for the first time: what it allocates once is there. On a busy machine
/// twenty seconds were once too few.
const WARM_UP: Duration = Duration::from_mins(1);
/// The longest stretch of work of one life of the server.
const STRETCH: Duration = Duration::from_mins(5);
/// Between two operations of a client: people think.
const THINK: Duration = Duration::from_millis(40);
/// When the clients are gone, the server must be at rest after so long.
const REST: Duration = Duration::from_secs(30);
/// What memory may have grown by in a stretch. An allocator gives back late: the same server at rest has held 55 MiB
/// at one time and 75 at another. A leak of 500 bytes a change would be as much again.
const MEMORY_SLACK_KIB: u64 = 24 * 1024;
/// What must be empty at rest.
const QUEUES: [&str; 5] = [
    "ringpost_open_mailboxes",
    "ringpost_mailbox_jobs_waiting",
    "ringpost_router_queued",
    "ringpost_helper_jobs",
    "ringpost_subscriptions",
];

/// What the server holds at rest.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kib: u64,
    descriptors: usize,
}

/// Works for so long; what was wrong.
pub(crate) fn run(setting: &Setting, time: Duration) -> Result<usize> {
    let place = Place::make(&setting.binary, &setting.below("soak")?, setting.users)?;
    let mut random = Random::new(setting.seed);
    let began = Time::now();
    let mut server = place.start()?;
    let mut world = World::new(place.users.clone(), (server.imap, server.lmtp), counting_clock());
    world.pause = THINK;
    let world = Arc::new(world);
    world.prepare()?;
    let (mut wrong, mut lives, mut acknowledged) = (0, 0, 0);
    let work = |seed, time: Duration| {
        let clients = Clients::start(&world, seed);
        thread::sleep(time);
        clients
    };
    while began.elapsed() < time {
        lives += 1;
        let what = format!("life {lives}");
        work(random.next(), WARM_UP).stop()?;
        let before = at_rest(&server, &what, &mut wrong)?;
        let left = time.saturating_sub(began.elapsed());
        work(random.next(), left.min(STRETCH)).stop()?;
        let after = at_rest(&server, &what, &mut wrong)?;
        let mut mistakes = world.take_wrong();
        if after.descriptors > before.descriptors {
            mistakes.push(format!("descriptors grew: {before:?}, then {after:?}"));
        }
        if after.memory_kib > before.memory_kib + MEMORY_SLACK_KIB {
            mistakes.push(format!("memory grew: {before:?}, then {after:?}"));
        }
        // A random kill, in the middle of work.
        let clients = work(random.next(), Duration::from_millis(random.below(2000) as u64));
        server.kill()?;
        clients.stop()?;
        acknowledged += world.oracle.acknowledgements().len();
        server = place.start().with_context(|| what.clone())?;
        for (user, verdict) in verdicts(&server, &world, Instant::MAX)?.iter().enumerate() {
            mistakes.extend(verdict.wrong.iter().cloned());
            world
                .oracle
                .mailbox(user)
                .settle(&verdict.messages, &verdict.folders);
        }
        wrong += tell(&what, &mistakes, &place.log());
        println!(
            "  {what}, {} s: {} then {} KiB, {} then {} descriptors, {acknowledged} acknowledged changes, {wrong} wrong",
            began.elapsed().as_secs(),
            before.memory_kib,
            after.memory_kib,
            before.descriptors,
            after.descriptors
        );
    }
    server.stop()?;
    wrong += tell("the walk", &verify::walk(&place)?, &place.log());
    println!(
        "soak: {} s, {lives} lives, {acknowledged} acknowledged changes, {wrong} wrong",
        began.elapsed().as_secs()
    );
    Ok(wrong)
}

/// Waits until nothing is left to do, and measures.
fn at_rest(server: &Server, what: &str, wrong: &mut usize) -> Result<Held> {
    let busy = || -> Result<Vec<String>> {
        let mut busy = Vec::new();
        for name in QUEUES {
            let value = server.metric(name)?;
            if value > 0.0 {
                busy.push(format!("{name} is {value}"));
            }
        }
        Ok(busy)
    };
    if !wait_for(REST, || busy().is_ok_and(|busy| busy.is_empty())) {
        for left in busy()? {
            println!("  WRONG {what}: {left} at rest");
            *wrong += 1;
        }
    }
    let descriptors = server.descriptors()?;
    ensure!(descriptors > 0, "no descriptors to be seen");
    Ok(Held {
        memory_kib: server.memory_kib()?,
        descriptors,
    })
}
