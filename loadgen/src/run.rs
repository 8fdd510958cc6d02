//! A run: its threads, the groups of connections on each, and what each connection does.

mod connection;
mod group;
mod phase;

use std::{
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
    engine::Executor,
    messages::{Messages, Size},
    pace::{Span, Tickets},
    process,
    progress::Progress,
    protocol::{
        imap::Imap,
        mail::{Lmtp, Smtp},
        pop3::Pop3,
    },
    random::Zipf,
    record::{Recorder, Report},
    results::{Circumstances, Collector, Results},
    scenario::{Choice, Group, Pace, Protocol, Scenario},
    session::{Endpoints, Local, Users},
};
use group::Thread;
use phase::Phase;

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
    process::raise_descriptor_limit(total)?;
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
        own_cpu_s: process::own_cpu_seconds(),
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
        let report = receiver.recv_timeout(Progress::INTERVAL);
        let arrived = matches!(report, Ok(Report::Interval(_)));
        match report {
            Ok(Report::Interval(interval)) => collector.add(interval),
            Ok(Report::Example(example)) => collector.example(example),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        let started = shared.start.lock().ok().and_then(|start| *start);
        progress.show(started, shared.ready.load(Ordering::Relaxed), &collector, arrived);
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
