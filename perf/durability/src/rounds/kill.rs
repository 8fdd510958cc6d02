//! `kill -9` at random instants, on the same data again and again.

use std::{collections::HashMap, fs, path::Path, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{Setting, tell, verdicts};
use crate::{
    oracle::Instant,
    random::Random,
    server::Place,
    verify::{self, look},
    workload::{Clients, World, counting_clock},
};

/// Clients work for so many milliseconds at most before the server is killed.
const LIFE_MAX_MS: usize = 400;
/// The shortest life: some are killed while they still log in.
const LIFE_MIN_MS: usize = 5;

/// Plays so many rounds; what was wrong.
pub(crate) fn run(setting: &Setting, rounds: usize) -> Result<usize> {
    let folder = setting.below("kill")?;
    let place = Place::make(&setting.binary, &folder, setting.users)?;
    let mut random = Random::new(setting.seed);
    let mut server = place.start()?;
    let world = World::new(place.users.clone(), (server.imap, server.lmtp), counting_clock());
    let world = Arc::new(world);
    world.prepare()?;
    let (mut wrong, mut acknowledged) = (0, 0);
    for round in 1..=rounds {
        let clients = Clients::start(&world, random.next());
        thread::sleep(Duration::from_millis(
            (LIFE_MIN_MS + random.below(LIFE_MAX_MS)) as u64,
        ));
        server.kill()?;
        clients.stop()?;
        acknowledged += world.oracle.acknowledgements().len();
        let what = format!("kill {round}");
        wrong += tell(&what, &world.take_wrong(), &place.log());
        // The walk gets a copy: the server itself is to find what the kill left.
        if round % 4 == 0 || round == rounds {
            wrong += tell(&what, &walk_copy(&place, &folder.join("copy"))?, &place.log());
        }
        server = place.start().with_context(|| what.clone())?;
        let found = verdicts(&server, &world, Instant::MAX).with_context(|| what.clone())?;
        for (user, verdict) in found.iter().enumerate() {
            wrong += tell(&what, &verdict.wrong, &place.log());
            world
                .oracle
                .mailbox(user)
                .settle(&verdict.messages, &verdict.folders);
        }
        if round % 25 == 0 {
            println!("  {round} kills, {acknowledged} acknowledged changes, {wrong} wrong");
        }
    }
    let shown = world
        .users
        .iter()
        .map(|user| Ok(look(&server, user)?.messages.len()));
    let messages: usize = shown.sum::<Result<usize>>()?;
    server.stop()?;
    wrong += tell("after the last", &verify::walk(&place)?, &place.log());
    println!(
        "kill: {rounds} rounds, {acknowledged} acknowledged changes, {messages} messages left, {wrong} wrong"
    );
    Ok(wrong)
}

fn walk_copy(place: &Place, copy: &Path) -> Result<Vec<String>> {
    let _ = fs::remove_dir_all(copy);
    let mut wrong = Vec::new();
    for user in 0..place.users.len() {
        let target = copy.join(user.to_string());
        copy_folder(&place.mailbox(user), &target)?;
        wrong.extend(verify::walk_mailbox(&target)?);
    }
    fs::remove_dir_all(copy)?;
    Ok(wrong)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut folders = HashMap::from([(from.to_owned(), to.to_owned())]);
    while let Some(from) = folders.keys().next().cloned() {
        let Some(to) = folders.remove(&from) else { break };
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                fs::create_dir_all(&target)?;
                folders.insert(entry.path(), target);
            } else {
                fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}
