//! Faults of the whole process: no descriptors, helper threads without memory, a clock that jumps. Who needs what
//! is not there may be refused; who has what he needs is served throughout, nothing is lost, and all are served
//! again afterwards. Every fault must have been felt, or nothing was tested.

use std::{
    collections::BTreeSet,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant as Time},
};

use anyhow::{Context as _, Result, ensure};

use super::{Setting, tell, verdicts, wait_for};
use crate::{
    disturb::Disturbance,
    mail::{imap::Imap, lmtp::Lmtp},
    oracle::Instant,
    random::Random,
    server::{PASSWORD, Place, Server},
    verify::{self, COPIES_NAME},
    workload::{Cast, Clients, SENDERS, World, counting_clock},
};

/// How long a fault lasts.
const PHASE: Duration = Duration::from_secs(3);
/// All must be served again after so long.
const RECOVERY: Duration = Duration::from_secs(30);
/// Who is not to notice must have been served so often.
const UNNOTICED: Duration = Duration::from_secs(5);
/// Who is refused must be told so within this time.
const REFUSED: Duration = Duration::from_secs(10);
/// The user who is logged in before descriptors or memory are taken away, and not to notice.
const WITNESS: usize = 0;
/// What a hash of a password works in is larger, all else that those threads ask for is smaller.
const HASH_BYTES: i64 = 16 * 1024 * 1024;
const DAY: i64 = 86_400;
/// Where the clock jumps to, in seconds from the true time.
const JUMPS: [i64; 6] = [DAY, -DAY, 0, -3650 * DAY, 3650 * DAY, 0];

/// Plays all; what was wrong.
pub(crate) fn run(setting: &Setting) -> Result<usize> {
    let random = Random::new(setting.seed);
    let folder = setting.below("limits")?;
    // A witness, and others who are refused.
    let mut place = Place::make(&setting.binary, &folder, setting.users.max(2))?;
    let disturbance =
        Disturbance::build(&folder).context("without a C compiler memory and clock can't be tested")?;
    place.wrapper = disturbance.wrapper();
    let server = place.start()?;
    let ports = (server.imap, server.lmtp);
    let world = Arc::new(World::new(place.users.clone(), ports, counting_clock()));
    world.prepare()?;
    let mut stage = Stage {
        place,
        server,
        world,
        disturbance,
        random,
    };
    let mut wrong = 0;
    for (name, room) in [("no descriptors", 1), ("few descriptors", 12)] {
        wrong += stage.descriptors(name, room)?;
    }
    wrong += stage.memory()?;
    wrong += stage.clock()?;
    stage.server.stop()?;
    let walked = verify::walk(&stage.place)?;
    wrong += tell("the walk", &walked, &stage.place.log());
    println!("limits: {wrong} wrong");
    Ok(wrong)
}

/// What all phases are played on.
struct Stage {
    place: Place,
    server: Server,
    world: Arc<World>,
    disturbance: Disturbance,
    random: Random,
}

/// Logins while something is missing.
#[derive(Default)]
struct Tries {
    made: usize,
    refused: usize,
    slowest: Duration,
}

impl Stage {
    /// So many descriptors are left to those who are not connected yet.
    fn descriptors(&mut self, name: &str, room: usize) -> Result<usize> {
        let witness = self.witness();
        // The others' mailboxes are closed.
        thread::sleep(PHASE);
        let failures = self.server.metric("ringpost_accept_errors_total")?;
        let limit = self.server.descriptors()? + room;
        let before = prlimit(&self.server, "nofile", &limit.to_string())?;
        self.world.watch();
        let others = self.others();
        let mut wrong = Vec::new();
        let tries = self.try_logins(&mut wrong);
        wrong.extend(self.noticed(WITNESS));
        prlimit(&self.server, "nofile", &before)?;
        wrong.extend(self.recovered());
        others.stop()?;
        witness.stop()?;
        let failures = self.server.metric("ringpost_accept_errors_total")? - failures;
        // Not all need be refused: idle mailboxes and connections give way.
        if failures == 0.0 {
            wrong.push("the limit was not felt: nothing was tested".to_owned());
        }
        let kill = self.random.percent(50);
        wrong.extend(self.looked_into(kill)?);
        println!(
            "  {name}: {} of {} logins refused (the slowest in {:.1} s), {failures} failed accepts, {} wrong",
            tries.refused,
            tries.made,
            tries.slowest.as_secs_f64(),
            wrong.len()
        );
        Ok(tell(name, &wrong, &self.place.log()))
    }

    /// Helper threads get no memory to hash passwords in: those who log in can't, with passwords that are right.
    fn memory(&mut self) -> Result<usize> {
        // A new server knows nobody's password yet.
        self.server.kill_in_place()?;
        self.server = self.place.start()?;
        let (_, answers) = self.world.answered(WITNESS);
        let witness = self.witness();
        let is_served = wait_for(RECOVERY, || self.world.answered(WITNESS).1 > answers + 2);
        ensure!(is_served, "the witness is not served");
        self.disturbance.starve("password", HASH_BYTES)?;
        let acknowledged = self.world.oracle.acknowledgements().len();
        self.world.watch();
        let senders = self.cast(0..0, SENDERS);
        let mut wrong = Vec::new();
        let tries = self.try_logins(&mut wrong);
        wrong.extend(self.noticed(WITNESS));
        let starved = self.disturbance.starved()?;
        self.disturbance.starve("", 0)?;
        let survived = self.server.is_alive()?;
        if !survived {
            wrong.push("the server ended".to_owned());
            self.server = self.place.start()?;
        }
        if tries.refused < tries.made || starved == 0 {
            wrong.push(format!("{starved} times memory was refused: nothing was tested"));
        }
        let delivered = self.world.oracle.acknowledgements().len() - acknowledged;
        let others = self.cast(WITNESS + 1..self.world.users.len(), 0);
        wrong.extend(self.recovered());
        others.stop()?;
        senders.stop()?;
        witness.stop()?;
        wrong.extend(self.looked_into(false)?);
        println!(
            "  no memory on helpers: refused {starved} times, {} of {} logins refused (the slowest in {:.1} s), \
             {delivered} changes meanwhile, {} wrong",
            tries.refused,
            tries.made,
            tries.slowest.as_secs_f64(),
            wrong.len()
        );
        Ok(tell("no memory on helpers", &wrong, &self.place.log()))
    }

    /// The time of day jumps, with everybody at work: nobody notices.
    fn clock(&mut self) -> Result<usize> {
        let clients = Clients::start(&self.world, self.random.next());
        let mut wrong = self.recovered();
        for jump in JUMPS {
            self.world.watch();
            self.disturbance.jump(jump)?;
            thread::sleep(PHASE);
            for user in 0..self.world.users.len() {
                let noticed = self.noticed(user);
                wrong.extend(noticed.map(|noticed| format!("after the jump to {jump} s: {noticed}")));
            }
        }
        clients.stop()?;
        wrong.extend(self.looked_into(true)?);
        let mut years = BTreeSet::new();
        for user in &self.world.users {
            years.extend(years_of_mail(&self.server, user)?);
        }
        let looks = self.disturbance.looks()?;
        if looks == 0 || years.len() < 2 {
            wrong.push(format!("the clock did not jump: all mail is of {years:?}"));
        }
        println!(
            "  {} clock jumps, felt {looks} times, mail of {years:?}: {} wrong",
            JUMPS.len(),
            wrong.len()
        );
        Ok(tell("clock jumps", &wrong, &self.place.log()))
    }

    fn witness(&mut self) -> Clients {
        self.cast(WITNESS..WITNESS + 1, 0)
    }

    fn others(&mut self) -> Clients {
        self.cast(WITNESS + 1..self.world.users.len(), SENDERS)
    }

    fn cast(&mut self, programs: std::ops::Range<usize>, senders: usize) -> Clients {
        let cast = Cast {
            programs,
            stay: true,
            senders,
        };
        Clients::start_some(&self.world, self.random.next(), cast)
    }

    /// Lets everybody but the witness log in, again and again for a while.
    fn try_logins(&self, wrong: &mut Vec<String>) -> Tries {
        let mut tries = Tries::default();
        let began = Time::now();
        let mut user = WITNESS;
        while began.elapsed() < PHASE {
            user = (user % (self.world.users.len() - 1)) + 1;
            let address = &self.world.users[user];
            let asked = Time::now();
            let login = Imap::login(self.server.imap, address, PASSWORD);
            tries.made += 1;
            tries.slowest = tries.slowest.max(asked.elapsed());
            match login {
                Ok(imap) => drop(imap),
                Err(refused) => {
                    tries.refused += 1;
                    if refused.to_string().contains("AUTHENTICATIONFAILED") {
                        wrong.push(format!(
                            "{address} was told that the password is wrong: {refused}"
                        ));
                    }
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Deliveries are refused, too, or done.
        let asked = Time::now();
        let _ = Lmtp::connect(self.server.lmtp);
        tries.slowest = tries.slowest.max(asked.elapsed());
        if tries.slowest > REFUSED {
            wrong.push(format!("somebody waited {:?} to be refused", tries.slowest));
        }
        tries
    }

    /// Whether somebody who was not to notice did.
    fn noticed(&self, user: usize) -> Option<String> {
        let silence = self.world.longest_silence(user);
        (silence > UNNOTICED).then(|| format!("{} was not served for {silence:?}", self.world.users[user]))
    }

    /// Whether all are served again.
    fn recovered(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (user, address) in self.world.users.iter().enumerate() {
            let (_, answers) = self.world.answered(user);
            if !wait_for(RECOVERY, || self.world.answered(user).1 > answers + 2) {
                wrong.push(format!("{address} was not served again within {RECOVERY:?}"));
            }
        }
        wrong
    }

    /// Compares everything with the record, perhaps after a kill.
    fn looked_into(&mut self, kill: bool) -> Result<Vec<String>> {
        if kill {
            self.server.kill_in_place()?;
            self.server = self.place.start()?;
        }
        let mut wrong = self.world.take_wrong();
        let found = verdicts(&self.server, &self.world, Instant::MAX)?;
        for (user, verdict) in found.into_iter().enumerate() {
            self.world
                .oracle
                .mailbox(user)
                .settle(&verdict.messages, &verdict.folders);
            wrong.extend(verdict.wrong);
        }
        Ok(wrong)
    }
}

/// The years in which messages arrived, by the server's clock.
fn years_of_mail(server: &Server, user: &str) -> Result<BTreeSet<String>> {
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
