//! A run: its threads, its connections, and what each connection does.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::CpuSet;

use crate::{
    engine::{Executor, Gate},
    messages::{Messages, Size},
    pace::{Arrival, Arrivals, Schedule, Span, Tickets},
    progress::Progress,
    protocol::{
        imap::Imap,
        mail::{Lmtp, Smtp},
        pop3::Pop3,
    },
    random::{Random, Zipf},
    record::{Done, OperationId, Recorder, Report},
    results::{Circumstances, Collector, Results},
    scenario::{Choice, Group, Pace, Protocol, Scenario, Step},
    session::{Endpoints, Failure, Local, Session, Turn, Users},
};

/// Connections of a thread that log in at once before the load begins: servers limit those that have not.
const PREPARING_AT_ONCE: u32 = 64;
/// How often a connection is tried before the load begins.
const SETUP_TRIES: u32 = 5;
/// The shortest and the longest pause before the next try to connect.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);
/// After the last delivery, notifications may come this late.
const NOTIFICATION_GRACE: Duration = Duration::from_secs(10);
/// Descriptors besides connections: standard streams, epoll, output files, cores.
const OTHER_DESCRIPTORS: u64 = 64;
/// How often a thread with listeners looks whether the load is over.
const END_CHECK: Duration = Duration::from_millis(20);

/// All that a run is told.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) scenario_name: String,
    pub(crate) endpoints: Endpoints,
    pub(crate) users: Users,
    pub(crate) mailboxes: u64,
    pub(crate) first_mailbox: u64,
    pub(crate) connections: u64,
    pub(crate) closed: bool,
    pub(crate) rate: f64,
    pub(crate) duration: Option<Duration>,
    pub(crate) count: Option<u64>,
    pub(crate) warmup: Duration,
    pub(crate) size: Size,
    pub(crate) seed: u64,
    /// One thread for each, pinned; empty is one thread, not pinned.
    pub(crate) cores: Vec<usize>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) progress: bool,
    pub(crate) keep_log: bool,
}

/// What all threads share.
struct Shared {
    options: Options,
    scenario: Scenario,
    messages: Messages,
    /// A group's tickets and its popularity of mailboxes.
    groups: Vec<(Arc<Tickets>, Option<Arc<Zipf>>, u64)>,
    threads: usize,
    barrier: Barrier,
    start: Mutex<Option<Instant>>,
    failed: AtomicBool,
    ready: AtomicU64,
}

/// What a thread has to say when it is done.
struct Ended {
    last: Instant,
    unanswered: u64,
}

/// Runs a scenario; the log of intervals goes to `log`.
pub(crate) fn run(
    options: Options,
    mut scenario: Scenario,
    log: Option<&mut dyn std::io::Write>,
) -> Result<Results> {
    leave_out_optional_groups(&mut scenario, &options.endpoints)?;
    let threads = options.cores.len().max(1);
    let allowed = rustix::thread::sched_getaffinity(None).context("cannot tell which cores there are")?;
    for &core in &options.cores {
        ensure!(
            core < CpuSet::MAX_CPU && allowed.is_set(core),
            "there is no core {core}, or it may not be used"
        );
    }
    let mut total = 0;
    let groups = scenario
        .groups
        .iter()
        .map(|group| {
            let connections = connections_of(group, &options);
            total += connections;
            let zipf =
                (group.mailbox == Choice::Zipf).then(|| Arc::new(Zipf::new(options.mailboxes, group.zipf)));
            (Arc::new(Tickets::default()), zipf, connections)
        })
        .collect();
    let watched = scenario
        .groups
        .iter()
        .any(|group| group.mailbox == Choice::Watched);
    for group in scenario
        .groups
        .iter()
        .filter(|group| watched && group.pace == Pace::Listen)
    {
        ensure!(
            connections_of(group, &options) >= threads as u64,
            "deliveries to clients in IDLE need such a client on each of {threads} cores"
        );
    }
    raise_descriptor_limit(total)?;
    let shared = Arc::new(Shared {
        messages: Messages::new(options.seed, options.size),
        groups,
        threads,
        barrier: Barrier::new(threads),
        start: Mutex::new(None),
        failed: AtomicBool::new(false),
        ready: AtomicU64::new(0),
        options,
        scenario,
    });
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let (shared, sender) = (shared.clone(), sender.clone());
            std::thread::Builder::new()
                .name(format!("load-{thread}"))
                .spawn(move || work(thread, &shared, sender))
        })
        .collect::<Result<_, _>>()
        .context("cannot start a thread")?;
    drop(sender);
    let collector = collect(&shared, &receiver, total);
    let mut last = None;
    let mut unanswered = 0;
    for worker in workers {
        let ended = worker.join().map_err(|_| anyhow!("a thread panicked"))??;
        last = last.max(Some(ended.last));
        unanswered += ended.unanswered;
    }
    ensure!(
        !shared.failed.load(Ordering::Relaxed),
        "{}",
        failure_text(collector)
    );
    let options = &shared.options;
    let start = shared
        .start
        .lock()
        .map_err(|_| anyhow!("a thread panicked"))?
        .unwrap_or_else(Instant::now);
    let circumstances = Circumstances {
        scenario: options.scenario_name.clone(),
        description: shared.scenario.description.clone(),
        seed: options.seed,
        connections: total,
        parameters: options.parameters.clone(),
        elapsed: last
            .unwrap_or(start)
            .saturating_duration_since(start + options.warmup),
        unanswered,
        own_cpu_s: own_cpu_seconds(),
    };
    collector
        .finish(circumstances, log)
        .context("cannot write the log")
}

fn failure_text(collector: Collector) -> String {
    let examples = collector.into_examples();
    format!("the connections could not be made:\n{}", examples.join("\n"))
}

/// Receives what threads hand over until all are done.
fn collect(shared: &Shared, receiver: &Receiver<Report>, connections: u64) -> Collector {
    let mut collector = Collector::new(shared.scenario.operations.clone(), shared.options.keep_log);
    let mut progress = Progress::new(shared.options.progress, connections);
    loop {
        match receiver.recv_timeout(Progress::INTERVAL) {
            Ok(Report::Interval(interval)) => collector.add(interval),
            Ok(Report::Example(example)) => collector.example(example),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        let started = shared.start.lock().ok().and_then(|start| *start);
        progress.show(started, shared.ready.load(Ordering::Relaxed), &collector);
    }
    progress.clear();
    collector
}

fn leave_out_optional_groups(scenario: &mut Scenario, endpoints: &Endpoints) -> Result<()> {
    let given = |protocol| match protocol {
        Protocol::Lmtp => endpoints.lmtp.is_some(),
        Protocol::Smtp => endpoints.smtp.is_some(),
        Protocol::Imap => endpoints.imap.is_some(),
        Protocol::Pop3 => endpoints.pop3.is_some(),
    };
    scenario
        .groups
        .retain(|group| !group.optional || given(group.protocol));
    for group in &scenario.groups {
        let name = format!("{:?}", group.protocol).to_lowercase();
        ensure!(given(group.protocol), "this scenario needs --{name} HOST:PORT");
    }
    Ok(())
}

fn connections_of(group: &Group, options: &Options) -> u64 {
    group
        .connections
        .unwrap_or_else(|| ((options.connections as f64 * group.share).round() as u64).max(1))
}

/// Every connection is a descriptor, and few systems let a process have tens of thousands without asking.
fn raise_descriptor_limit(connections: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = connections + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum,
        },
    );
    raised.with_context(|| {
        format!(
            "{connections} connections need {wanted} descriptors, and the limit is {}: raise `ulimit -n`",
            limit.maximum.unwrap_or(0)
        )
    })
}

/// User and system time of this process.
fn own_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in parentheses, which may hold blanks.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .collect();
    let ticks = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // proc(5): utime and stime are fields 14 and 15, in hundredths of a second on Linux.
    (ticks(11) + ticks(12)) / 100.0
}

/// One thread: makes its connections ready, waits for the others, and loads.
fn work(thread: usize, shared: &Arc<Shared>, reports: Sender<Report>) -> Result<Ended> {
    if let Some(&core) = shared.options.cores.get(thread) {
        let mut set = CpuSet::new();
        set.set(core);
        rustix::thread::sched_setaffinity(None, &set)
            .with_context(|| format!("cannot run on core {core}"))?;
    }
    // Fifty microseconds of slack are the default; a schedule deserves better.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1000));
    let mut executor = Executor::new()?;
    let options = &shared.options;
    let local = Rc::new(Local::new(
        executor.reactor(),
        options.endpoints.clone(),
        options.users.clone(),
        shared.messages.clone(),
        Recorder::new(shared.scenario.operations.clone(), reports.clone()),
    ));
    let phase = Rc::new(Phase::new());
    let mut arrivals = Vec::new();
    for (index, group) in shared.scenario.groups.iter().enumerate() {
        let thread = Thread {
            index: thread,
            shared,
            local: &local,
            phase: &phase,
            executor: &mut executor,
        };
        arrivals.push(match group.protocol {
            Protocol::Lmtp => thread.spawn::<Lmtp>(index)?,
            Protocol::Smtp => thread.spawn::<Smtp>(index)?,
            Protocol::Imap => thread.spawn::<Imap>(index)?,
            Protocol::Pop3 => thread.spawn::<Pop3>(index)?,
        });
    }
    phase.preparing.set(phase.preparing.get() + 1);
    phase.prepared(&local);
    executor.run()?;
    if let Some(failure) = phase.failure.take() {
        shared.failed.store(true, Ordering::Relaxed);
        let _ = reports.send(Report::Example(failure));
    }
    let now = Instant::now();
    if shared.barrier.wait().is_leader()
        && let Ok(mut start) = shared.start.lock()
    {
        *start = Some(Instant::now());
    }
    shared.barrier.wait();
    if shared.failed.load(Ordering::Relaxed) {
        return Ok(Ended {
            last: now,
            unanswered: 0,
        });
    }
    let start = shared.start.lock().ok().and_then(|start| *start).unwrap_or(now);
    let measure_from = start + options.warmup;
    let span = Span {
        start,
        measure_from,
        end: options.duration.map(|duration| measure_from + duration),
    };
    local.recorder.borrow_mut().begin(measure_from);
    phase.begin(span, &local);
    if phase.listening.get() {
        let (local, phase) = (local.clone(), phase.clone());
        executor.spawn(async move { phase.end_when_all_is_heard(&local, span).await });
    }
    executor.run()?;
    let mut recorder = local.recorder.borrow_mut();
    let end = Instant::now();
    let missed: u64 = arrivals.iter().map(|arrivals| arrivals.missed(&span, end)).sum();
    let unheard = local.board.outstanding() as u64;
    if unheard > 0 {
        let mut setup = shared.scenario.groups.iter().flat_map(|group| &group.setup);
        if let Some(operation) = setup.find_map(|step| step.operation) {
            recorder.lost(
                operation,
                unheard,
                "deliveries that clients in IDLE were never told of",
            );
        }
    }
    recorder.hand_over();
    Ok(Ended {
        last: recorder.last,
        unanswered: missed,
    })
}

/// Where a thread is in its run.
struct Phase {
    /// Lets connections log in, before the load begins.
    entrance: Gate,
    /// Connections that are not ready yet.
    preparing: Cell<u64>,
    failure: RefCell<Option<String>>,
    span: Cell<Option<Span>>,
    /// Tasks that wait for the start.
    waiting: RefCell<Vec<crate::engine::TaskId>>,
    /// Connections that still load.
    active: Cell<u64>,
    /// Does any connection listen?
    listening: Cell<bool>,
}

impl Phase {
    fn new() -> Self {
        Self {
            entrance: Gate::new(PREPARING_AT_ONCE),
            preparing: Cell::new(0),
            failure: RefCell::default(),
            span: Cell::new(None),
            waiting: RefCell::default(),
            active: Cell::new(0),
            listening: Cell::new(false),
        }
    }

    /// One more connection is ready; the last one ends the preparation.
    fn prepared(&self, local: &Local) {
        self.preparing.set(self.preparing.get() - 1);
        if self.preparing.get() == 0 {
            local.reactor.stop();
        }
    }

    fn fail(&self, local: &Local, failure: String) {
        self.failure.replace(Some(failure));
        local.reactor.stop();
    }

    async fn started(&self, local: &Local) -> Span {
        self.waiting.borrow_mut().push(local.reactor.current_task());
        std::future::poll_fn(|_| {
            self.span
                .get()
                .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    fn begin(&self, span: Span, local: &Local) {
        self.span.set(Some(span));
        for task in self.waiting.take() {
            local.reactor.wake(task);
        }
    }

    /// Waits until nobody loads any more and what was sent has been heard of.
    async fn end_when_all_is_heard(&self, local: &Local, span: Span) {
        let mut give_up = None;
        loop {
            let now = Instant::now();
            let over = self.active.get() == 0 && span.end.is_none_or(|end| now >= end);
            if over {
                let give_up = *give_up.get_or_insert(now + NOTIFICATION_GRACE);
                if local.board.outstanding() == 0 || now >= give_up {
                    return local.reactor.stop();
                }
            }
            local.reactor.sleep_until(now + END_CHECK).await;
        }
    }
}

/// What is needed to start the connections of a group on a thread.
struct Thread<'a> {
    index: usize,
    shared: &'a Arc<Shared>,
    local: &'a Rc<Local>,
    phase: &'a Rc<Phase>,
    executor: &'a mut Executor,
}

/// A group as one thread runs it.
struct Running<S: Session> {
    setup: Vec<S::Action>,
    setup_operations: Vec<Option<OperationId>>,
    activities: Vec<Vec<(Option<OperationId>, S::Action)>>,
    /// Upper ends of the activities' shares of 1.
    cumulative: Vec<f64>,
    login: Option<OperationId>,
    whole: Option<OperationId>,
    visit: bool,
    listens: bool,
    choice: Choice,
    zipf: Option<Arc<Zipf>>,
    first_mailbox: u64,
    mailboxes: u64,
    /// What errors of connecting count as.
    first_operation: Option<OperationId>,
    arrivals: Rc<Arrivals>,
}

impl Thread<'_> {
    fn spawn<S: Session>(self, group_index: usize) -> Result<Rc<Arrivals>> {
        let options = &self.shared.options;
        let group = &self.shared.scenario.groups[group_index];
        let (tickets, zipf, connections) = &self.shared.groups[group_index];
        let mine = (self.index as u64..*connections).step_by(self.shared.threads);
        let part = mine.clone().count() as f64 / *connections as f64;
        let rate = options.rate * group.rate_share * part;
        let schedule = match group.pace {
            Pace::Think => Schedule::Think(group.think_s),
            _ if options.closed || group.pace == Pace::Closed => Schedule::Closed,
            Pace::Steady => Schedule::Steady(rate),
            _ => Schedule::Poisson(rate),
        };
        let stream = (group_index as u64) << 32 | self.index as u64;
        let arrivals = Rc::new(Arrivals::new(
            schedule,
            Random::new(options.seed, stream),
            tickets.clone(),
            options.count,
        ));
        let running = Rc::new(Running::<S>::new(group, options, zipf.clone(), arrivals.clone())?);
        for connection in mine {
            self.phase.preparing.set(self.phase.preparing.get() + 1);
            if running.listens {
                self.phase.listening.set(true);
            } else {
                self.phase.active.set(self.phase.active.get() + 1);
            }
            let random = Random::new(
                options.seed.wrapping_add(17),
                (group_index as u64) << 40 | connection,
            );
            let task = Connection {
                number: connection,
                running: running.clone(),
                local: self.local.clone(),
                phase: self.phase.clone(),
                shared: self.shared.clone(),
                random,
            };
            self.executor.spawn(task.run());
        }
        Ok(arrivals)
    }
}

impl<S: Session> Running<S> {
    fn new(
        group: &Group,
        options: &Options,
        zipf: Option<Arc<Zipf>>,
        arrivals: Rc<Arrivals>,
    ) -> Result<Self> {
        let compile = |step: &Step| {
            S::compile(step).map_err(|error| anyhow!("a step of {:?}: {error}", group.protocol))
        };
        let mut activities = Vec::new();
        let mut cumulative = Vec::new();
        let all: f64 = group.activities.iter().map(|activity| activity.weight).sum();
        let mut so_far = 0.0;
        for activity in &group.activities {
            let steps = activity
                .steps
                .iter()
                .map(|step| Ok((step.operation, compile(step)?)));
            activities.push(steps.collect::<Result<Vec<_>>>()?);
            so_far += activity.weight / all;
            cumulative.push(so_far);
        }
        let first_operation = group
            .login_operation
            .or(group.whole_operation)
            .or_else(|| activities.iter().flatten().find_map(|(operation, _)| *operation));
        Ok(Self {
            setup: group.setup.iter().map(compile).collect::<Result<_>>()?,
            setup_operations: group.setup.iter().map(|step| step.operation).collect(),
            activities,
            cumulative,
            login: group.login_operation,
            whole: group.whole_operation,
            visit: group.visit,
            listens: group.pace == Pace::Listen,
            choice: group.mailbox,
            zipf,
            first_mailbox: options.first_mailbox,
            mailboxes: options.mailboxes,
            first_operation,
            arrivals,
        })
    }

    /// Whose turn it is.
    fn mailbox(&self, number: u64, random: &mut Random, local: &Local) -> u64 {
        let offset = match (self.choice, &self.zipf) {
            (Choice::Random, _) => random.below(self.mailboxes),
            (Choice::Zipf, Some(zipf)) => zipf.choose(random),
            (Choice::Watched, _) => match local.board.choose(random.next()) {
                Some(mailbox) => return mailbox,
                None => number % self.mailboxes,
            },
            _ => number % self.mailboxes,
        };
        self.first_mailbox + offset
    }
}

/// One connection's task.
struct Connection<S: Session> {
    number: u64,
    running: Rc<Running<S>>,
    local: Rc<Local>,
    phase: Rc<Phase>,
    shared: Arc<Shared>,
    random: Random,
}

impl<S: Session> Connection<S> {
    async fn run(mut self) {
        let mut session = None;
        if !self.running.visit {
            self.phase.entrance.enter(&self.local.reactor).await;
            let prepared = self.prepare().await;
            self.phase.entrance.leave(&self.local.reactor);
            match prepared {
                Ok(prepared) => session = Some(prepared),
                Err(failure) => {
                    let text = format!("connection {}: {failure}", self.number);
                    return self.phase.fail(&self.local, text);
                }
            }
        }
        self.shared.ready.fetch_add(1, Ordering::Relaxed);
        self.phase.prepared(&self.local);
        let span = self.phase.started(&self.local).await;
        if self.running.listens {
            self.listen(session).await;
        } else {
            self.load(session, span).await;
            self.phase.active.set(self.phase.active.get() - 1);
        }
    }

    /// Connects before the load begins; a server that just started may need a few tries.
    async fn prepare(&mut self) -> Result<S, Failure> {
        let mut pause = RETRY_FIRST;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.open().await {
                Err(Failure::Connection(_)) if tries < SETUP_TRIES => {
                    self.local.reactor.sleep_until(Instant::now() + pause).await;
                    pause *= 4;
                }
                opened => return opened,
            }
        }
    }

    /// Connects as the user whose connection this is, and does what is set up.
    async fn open(&mut self) -> Result<S, Failure> {
        let running = self.running.clone();
        let mut mailbox_random = Random::new(self.shared.options.seed.wrapping_add(18), self.number);
        let mailbox = running.mailbox(self.number, &mut mailbox_random, &self.local);
        let mut session = S::open(&self.local, mailbox, self.number).await?;
        for action in &running.setup {
            let mut turn = Turn {
                local: &self.local,
                mailbox,
                number: self.number,
                random: &mut self.random,
            };
            session.perform(action, &mut turn).await?;
        }
        Ok(session)
    }

    async fn listen(&mut self, mut session: Option<S>) {
        let board = self.local.board.clone();
        let operation = self.running.setup_operations.iter().flatten().next().copied();
        let mut pause = RETRY_FIRST;
        loop {
            if let Some(mut listening) = session.take()
                && let Err(failure) = listening.listen(&board).await
                && let Some(operation) = operation
            {
                self.local
                    .recorder
                    .borrow_mut()
                    .record(operation, Instant::now(), &Err(failure));
            }
            self.local.reactor.sleep_until(Instant::now() + pause).await;
            pause = (pause * 2).min(RETRY_MOST);
            match self.open().await {
                Ok(opened) => session = Some(opened),
                Err(failure) => {
                    if let Some(operation) = operation {
                        self.local
                            .recorder
                            .borrow_mut()
                            .record(operation, Instant::now(), &Err(failure));
                    }
                }
            }
        }
    }

    /// Takes arrivals until there are no more.
    async fn load(&mut self, mut session: Option<S>, span: Span) {
        let running = self.running.clone();
        let mut pause = RETRY_FIRST;
        let mut last = None;
        while let Some(arrival) = running.arrivals.next(&span, last) {
            last = Some(arrival.due);
            self.local.reactor.sleep_until(arrival.due).await;
            let mailbox = running.mailbox(arrival.number, &mut self.random, &self.local);
            let mut at = arrival.due;
            if session.is_none() {
                let opened = if running.visit {
                    S::open(&self.local, mailbox, arrival.number).await
                } else {
                    self.open().await
                };
                match opened {
                    Ok(opened) => {
                        session = Some(opened);
                        pause = RETRY_FIRST;
                        if let Some(login) = running.login {
                            at = self.record(login, at, &Ok(Done::default()));
                        }
                    }
                    Err(failure) => {
                        if let Some(operation) = running.first_operation {
                            self.record(operation, at, &Err(failure));
                        }
                        self.local.reactor.sleep_until(Instant::now() + pause).await;
                        pause = (pause * 2).min(RETRY_MOST);
                        continue;
                    }
                }
            }
            let open = session.as_mut().expect("opened above");
            let usable = self.iterate(open, arrival, mailbox, at).await;
            if running.visit || !usable {
                session = None;
            }
        }
    }

    /// Does what one arrival asks for; says whether the session can be used again.
    async fn iterate(&mut self, session: &mut S, arrival: Arrival, mailbox: u64, mut at: Instant) -> bool {
        let running = self.running.clone();
        let chosen = match running.activities.len() {
            0 | 1 => 0,
            _ => {
                let point = self.random.fraction();
                running
                    .cumulative
                    .partition_point(|&end| end <= point)
                    .min(running.activities.len() - 1)
            }
        };
        let mut all = Done::default();
        for (operation, action) in running.activities.get(chosen).into_iter().flatten() {
            let mut turn = Turn {
                local: &self.local,
                mailbox,
                number: arrival.number,
                random: &mut self.random,
            };
            let result = session.perform(action, &mut turn).await;
            // What is not measured may fail all the same.
            let noted = operation.or(result.is_err().then_some(running.first_operation).flatten());
            at = match noted {
                Some(operation) => self.record(operation, at, &result),
                None => Instant::now(),
            };
            match result {
                Ok(done) => {
                    all.bytes += done.bytes;
                    all.items += done.items;
                }
                Err(Failure::Refused(_)) => return true,
                Err(Failure::Wrong(_) | Failure::Connection(_)) => return false,
            }
        }
        if let Some(whole) = running.whole {
            self.local
                .recorder
                .borrow_mut()
                .record_at(whole, arrival.due, at, &Ok(all));
        }
        true
    }

    fn record(&self, operation: OperationId, due: Instant, result: &Result<Done, Failure>) -> Instant {
        self.local.recorder.borrow_mut().record(operation, due, result)
    }
}
