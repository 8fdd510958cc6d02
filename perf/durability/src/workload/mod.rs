//! Clients at work: for each mailbox one mail program that appends, flags, copies, moves, expunges and renames
//! folders, and a few senders that deliver. Everything that they ask, and are told, goes into the record.

mod mail_program;

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant as Time},
};

use mail_program::MailProgram;

use crate::{
    mail::{imap::Imap, lmtp::Lmtp, message},
    oracle::{Effect, FIRST_FOLDER, INBOX, Instant, Item, Kept, Oracle},
    random::Random,
    server::PASSWORD,
    verify::COPIES_NAME,
};

/// Senders that deliver at once.
pub(crate) const SENDERS: usize = 2;
/// Between two tries to reach a server that is not there.
const RETRY: Duration = Duration::from_millis(10);

/// Tells the present instant.
pub(crate) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A clock that counts the looks at it.
pub(crate) fn counting_clock() -> Clock {
    let count = AtomicUsize::new(1);
    Arc::new(move || count.fetch_add(1, Relaxed))
}

/// How a mailbox is served.
#[derive(Clone, Copy)]
struct Answered {
    /// When it last answered OK.
    last: Time,
    /// How often it has.
    count: u64,
    /// The longest time without an OK, since somebody began to watch.
    longest: Duration,
}

impl Answered {
    fn now(count: u64) -> Self {
        Self {
            last: Time::now(),
            count,
            longest: Duration::ZERO,
        }
    }
}

/// What all clients share.
pub(crate) struct World {
    pub(crate) users: Vec<String>,
    pub(crate) oracle: Oracle,
    pub(crate) clock: Clock,
    imap: u16,
    lmtp: u16,
    tokens: AtomicU64,
    folders: AtomicU64,
    stop: AtomicBool,
    /// A pause after each operation: a load that leaves room for others.
    pub(crate) pause: Duration,
    answered: Vec<Mutex<Answered>>,
    /// What a live client saw that can't be.
    wrong: Mutex<Vec<String>>,
}

impl World {
    pub(crate) fn new(users: Vec<String>, ports: (u16, u16), clock: Clock) -> Self {
        let count = users.len();
        Self {
            oracle: Oracle::new(count),
            answered: (0..count).map(|_| Mutex::new(Answered::now(0))).collect(),
            users,
            clock,
            imap: ports.0,
            lmtp: ports.1,
            tokens: AtomicU64::new(1),
            folders: AtomicU64::new(u64::from(FIRST_FOLDER)),
            stop: AtomicBool::new(false),
            pause: Duration::ZERO,
            wrong: Mutex::default(),
        }
    }

    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn answers(&self, user: usize) -> MutexGuard<'_, Answered> {
        self.answered[user].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, user: usize) {
        let mut answered = self.answers(user);
        answered.longest = answered.longest.max(answered.last.elapsed());
        answered.last = Time::now();
        answered.count += 1;
    }

    /// How long ago a mailbox last answered OK, and how often it has.
    pub(crate) fn answered(&self, user: usize) -> (Duration, u64) {
        let answered = self.answers(user);
        (answered.last.elapsed(), answered.count)
    }

    /// Begins to watch how long mailboxes go without an answer.
    pub(crate) fn watch(&self) {
        for user in 0..self.users.len() {
            let mut answered = self.answers(user);
            *answered = Answered::now(answered.count);
        }
    }

    /// The longest time that a mailbox has not answered OK since [`Self::watch`].
    pub(crate) fn longest_silence(&self, user: usize) -> Duration {
        let answered = self.answers(user);
        answered.longest.max(answered.last.elapsed())
    }

    fn report(&self, wrong: String) {
        self.wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(wrong);
    }

    /// What clients saw that can't be, since the last call.
    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.wrong.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the folders that keep their names.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        for user in &self.users {
            let mut imap = Imap::login(self.imap, user, PASSWORD)?;
            let made = imap.command(&format!("CREATE {COPIES_NAME}"))?;
            anyhow::ensure!(made.is_ok, "CREATE: {}", made.text);
        }
        Ok(())
    }
}

/// Clients that run.
pub(crate) struct Clients {
    world: Arc<World>,
    threads: Vec<JoinHandle<()>>,
}

/// Who of the clients runs.
pub(crate) struct Cast {
    /// Users whose mail programs do.
    pub(crate) programs: Range<usize>,
    /// They keep their connections, where others leave and come back.
    pub(crate) stay: bool,
    pub(crate) senders: usize,
}

impl Clients {
    /// Everybody.
    pub(crate) fn start(world: &Arc<World>, seed: u64) -> Self {
        let cast = Cast {
            programs: 0..world.users.len(),
            stay: false,
            senders: SENDERS,
        };
        Self::start_some(world, seed, cast)
    }

    /// Some of them.
    pub(crate) fn start_some(world: &Arc<World>, seed: u64, cast: Cast) -> Self {
        world.stop.store(false, Relaxed);
        let mut random = Random::new(seed);
        let mut threads = Vec::new();
        let stay = cast.stay;
        for user in cast.programs {
            let (world, random) = (Arc::clone(world), Random::new(random.next()));
            threads.push(thread::spawn(move || {
                MailProgram::new(&world, user, random, stay).run();
            }));
        }
        for _ in 0..cast.senders {
            let (world, random) = (Arc::clone(world), Random::new(random.next()));
            threads.push(thread::spawn(move || send(&world, random)));
        }
        Self {
            world: Arc::clone(world),
            threads,
        }
    }

    /// Lets each client finish what it is at, and ends them.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.world.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
        }
        Ok(())
    }
}

/// Delivers until stopped.
fn send(world: &World, mut random: Random) {
    let mut connection = None;
    while !world.stopped() {
        let Some(mut client) = connection.take().or_else(|| Lmtp::connect(world.lmtp).ok()) else {
            thread::sleep(RETRY);
            continue;
        };
        let token = world.tokens.fetch_add(1, Relaxed);
        let item = Item {
            token,
            is_copy: false,
        };
        let mut users: Vec<usize> = (0..world.users.len()).collect();
        while users.len() > 1 && random.percent(60) {
            users.remove(random.below(users.len()));
        }
        let recipients: Vec<String> = users.iter().map(|user| world.users[*user].clone()).collect();
        let began = world.now();
        let begun: Vec<_> = users
            .iter()
            .map(|user| {
                let kept = Kept {
                    folder: INBOX,
                    flags: Vec::new(),
                    uid: None,
                };
                world
                    .oracle
                    .mailbox(*user)
                    .begin(began, vec![(item, Effect::Make(kept))])
            })
            .collect();
        let delivered = client.deliver(&recipients, &message::source(token), |index, is_ok| {
            let mut record = world.oracle.mailbox(users[index]);
            if is_ok {
                record.acknowledge(world.now(), &begun[index]);
            } else {
                record.refused += 1;
            }
        });
        match delivered {
            Ok(()) => connection = Some(client),
            Err(_) => thread::sleep(RETRY),
        }
        thread::sleep(world.pause);
    }
}
