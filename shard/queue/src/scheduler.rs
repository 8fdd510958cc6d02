//! Which message is tried when.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_lite::future::or;
use ringpost_host::{Entry, MailQueue, Outbound, Priority, QueueCount, QueueId, RecipientState};

use crate::{
    Options,
    attempt::{self, Attempt, Ended},
    local,
    pool::{self, Pool},
    report,
};

/// Attempts at mailboxes of this server at the same time, a core.
const LOCAL_ATTEMPTS: usize = 32;
/// Attempts that tell senders of delay or failure, at the same time, a core.
const NOTICE_ATTEMPTS: usize = 16;
/// Pause after the first failure to reach the next hop; it doubles with each.
const HOP_PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest such pause.
const HOP_PAUSE_LONGEST: Duration = Duration::from_mins(1);
/// How long nothing is looked at when nothing is due.
const IDLE: Duration = Duration::from_hours(1);

/// What all attempts of a core share.
pub(crate) struct Context<H: Outbound> {
    pub(crate) host: H,
    pub(crate) queue: H::Queue,
    pub(crate) options: Arc<Options>,
    pub(crate) pool: Pool<H::Peer>,
    pub(crate) audit: RefCell<local::Audit>,
    pub(crate) reporter: report::Reporter,
    ended: RefCell<Vec<Ended>>,
    waker: RefCell<Option<Waker>>,
    /// Messages whose attempts are under way.
    running: Cell<usize>,
}

impl<H: Outbound> Context<H> {
    fn end(&self, ended: Ended) {
        self.ended.borrow_mut().push(ended);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as u64)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What makes an attempt wait for its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// All that is left are mailboxes of this server.
    Local,
    /// A connection to the next hop is needed.
    Relay,
    /// Nothing is tried: a sender is to be told of delay or failure.
    Notice,
}

struct Scheduler<H: Outbound> {
    context: Rc<Context<H>>,
    entries: HashMap<QueueId, Entry>,
    /// When each is looked at next.
    due: BTreeSet<(u64, QueueId)>,
    running_local: usize,
    running_relay: usize,
    running_notice: usize,
    connections: usize,
    /// Times in a row that the next hop could not be reached.
    hop_failures: u32,
    hop_paused_until: u64,
}

/// Runs until the server stops, and then until the attempts under way have ended.
pub(crate) async fn run<H: Outbound>(host: &H, queue: H::Queue, options: Arc<Options>) {
    let connections = options.connections.div_ceil(host.cores()).max(1);
    let context = Rc::new(Context {
        host: host.clone(),
        queue: queue.clone(),
        pool: Pool::new(),
        audit: RefCell::new(local::Audit::new(
            options.response_interval,
            options.response_capacity,
        )),
        reporter: options.reporter(),
        options,
        ended: RefCell::default(),
        waker: RefCell::default(),
        running: Cell::new(0),
    });
    let mut scheduler = Scheduler {
        context,
        entries: HashMap::new(),
        due: BTreeSet::new(),
        running_local: 0,
        running_relay: 0,
        running_notice: 0,
        connections,
        hop_failures: 0,
        hop_paused_until: 0,
    };
    loop {
        let wait = scheduler.start_due();
        let context = Rc::clone(&scheduler.context);
        let woken = or(
            or(async { Woken::Arrived(queue.arrivals().await) }, async {
                Woken::Ended(attempts_ended(&context).await)
            }),
            or(
                async {
                    host.sleep(wait).await;
                    Woken::Due
                },
                async {
                    host.stopping().await;
                    Woken::Stop
                },
            ),
        );
        match woken.await {
            Woken::Arrived(entries) => scheduler.arrive(entries),
            Woken::Ended(ended) => ended.into_iter().for_each(|ended| scheduler.end(ended)),
            Woken::Due => {}
            Woken::Stop => break,
        }
    }
    while scheduler.context.running.get() > 0 {
        for ended in attempts_ended(&scheduler.context).await {
            scheduler.end(ended);
        }
    }
    scheduler.context.pool.close().await;
}

enum Woken {
    Arrived(Vec<Entry>),
    Ended(Vec<Ended>),
    Due,
    Stop,
}

async fn attempts_ended<H: Outbound>(context: &Context<H>) -> Vec<Ended> {
    poll_fn(|task| {
        let ended = std::mem::take(&mut *context.ended.borrow_mut());
        if ended.is_empty() {
            context.waker.replace(Some(task.waker().clone()));
            Poll::Pending
        } else {
            Poll::Ready(ended)
        }
    })
    .await
}

impl<H: Outbound> Scheduler<H> {
    fn arrive(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if entry.uncertain > 0 {
                // The server ended in the midst: they may have it, and get it (again) now.
                self.context
                    .queue
                    .count(QueueCount::Uncertain, u64::from(entry.uncertain));
                tracing::warn!(queue_id = %entry.id, recipients = entry.uncertain,
                    "a copy may have been sent before the server ended; it is sent now");
            }
            self.due.insert((entry.next_ms, entry.id));
            self.entries.insert(entry.id, entry);
        }
    }

    fn end(&mut self, ended: Ended) {
        let running = &self.context.running;
        running.set(running.get().saturating_sub(1));
        match ended.attempt {
            Attempt::Notice => self.running_notice -= 1,
            Attempt::Relay => self.running_relay -= 1,
            Attempt::Local => self.running_local -= 1,
        }
        match ended.hop_reached {
            Some(true) => {
                if self.hop_failures > 0 {
                    tracing::info!(
                        "the next hop {} answers again",
                        self.context.options.next_hop.name()
                    );
                }
                self.hop_failures = 0;
                self.hop_paused_until = 0;
            }
            Some(false) => {
                if self.hop_failures == 0 {
                    tracing::warn!(
                        "the next hop {} can't be reached",
                        self.context.options.next_hop.name()
                    );
                }
                let factor = 1_u32 << self.hop_failures.min(16);
                let pause = HOP_PAUSE_FIRST.saturating_mul(factor).min(HOP_PAUSE_LONGEST);
                self.hop_failures = self.hop_failures.saturating_add(1);
                self.hop_paused_until =
                    now_ms() + milliseconds(pause.min(self.context.options.retry_longest));
            }
            None => {}
        }
        if let Some(entry) = ended.entry {
            self.due.insert((entry.next_ms, entry.id));
            self.entries.insert(entry.id, entry);
        }
    }

    /// Starts what is due and finds a place; returns when to look again.
    fn start_due(&mut self) -> Duration {
        let now = now_ms();
        let mut later = Vec::new();
        let mut wait = IDLE;
        // Each entry is looked at once; those without a place stay where they are.
        let mut from = (0, QueueId(0));
        while let Some(&(due, id)) = self.due.range(from..).next() {
            from = (due, QueueId(id.0 + 1));
            if due > now {
                wait = wait.min(Duration::from_millis(due - now));
                break;
            }
            let local_full = self.running_local >= LOCAL_ATTEMPTS;
            let relay_full = self.running_relay >= self.relay_places();
            if local_full && relay_full && self.running_notice >= NOTICE_ATTEMPTS {
                break;
            }
            let Some(entry) = self.entries.get(&id) else {
                self.due.remove(&(due, id));
                continue;
            };
            let class = self.class(entry, now);
            match class {
                Class::Notice if self.running_notice >= NOTICE_ATTEMPTS => continue,
                Class::Local if local_full => continue,
                Class::Relay if now < self.hop_paused_until => {
                    // As good as tried: it must be able to expire while the next hop is down.
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.attempts = entry.attempts.max(1);
                    }
                    // Looked at again then: where it will have expired, its sender is told.
                    later.push((due, id, self.hop_paused_until));
                    continue;
                }
                Class::Relay if relay_full => {
                    if self.running_local == 0 && self.running_notice == 0 && self.entries.len() > 1024 {
                        // Nothing but the next hop is waited for by so many: they need not be looked at one by one.
                        break;
                    }
                    continue;
                }
                _ => {}
            }
            self.due.remove(&(due, id));
            if let Some(entry) = self.entries.remove(&id) {
                self.start(entry, class);
            }
        }
        for (due, id, until) in later {
            self.due.remove(&(due, id));
            self.due.insert((until, id));
            wait = wait.min(Duration::from_millis(until - now));
        }
        for client in self.context.pool.unused() {
            self.context
                .host
                .spawn(Priority::Background, "queue-quit", client.quit());
        }
        if self.context.pool.is_empty() {
            wait
        } else {
            wait.min(pool::IDLE)
        }
    }

    /// While the next hop is not known to answer, one attempt goes ahead.
    fn relay_places(&self) -> usize {
        if self.hop_failures > 0 {
            1
        } else {
            self.connections
        }
    }

    fn class(&self, entry: &Entry, now: u64) -> Class {
        if attempt::is_expired(&self.context.options, entry, now)
            || attempt::is_delay_due(&self.context.options, entry, now)
        {
            return Class::Notice;
        }
        let directory = self.context.host.directory();
        let relays = entry.recipients.iter().any(|recipient| {
            recipient.state == RecipientState::Pending
                && !local::is_local(&*directory, &recipient.recipient.address)
        });
        if relays { Class::Relay } else { Class::Local }
    }

    fn start(&mut self, entry: Entry, class: Class) {
        let attempt = match class {
            Class::Local => {
                self.running_local += 1;
                Attempt::Local
            }
            Class::Relay => {
                self.running_relay += 1;
                Attempt::Relay
            }
            Class::Notice => {
                self.running_notice += 1;
                Attempt::Notice
            }
        };
        let context = Rc::clone(&self.context);
        context.running.set(context.running.get() + 1);
        // Should the attempt panic, the message is tried again later, not never.
        let guard = Guard {
            context: Rc::clone(&context),
            ended: Some(Ended {
                attempt,
                hop_reached: None,
                entry: Some(Entry {
                    next_ms: now_ms() + milliseconds(self.context.options.retry_longest),
                    ..entry.clone()
                }),
            }),
        };
        self.context
            .host
            .spawn(Priority::Delivery, "queue-attempt", async move {
                // Whole, so that it is dropped with the task whatever happens.
                let mut guard = guard;
                let ended = attempt::run(&context, entry, attempt).await;
                guard.ended = Some(ended);
            });
    }
}

struct Guard<H: Outbound> {
    context: Rc<Context<H>>,
    ended: Option<Ended>,
}

impl<H: Outbound> Drop for Guard<H> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.context.end(ended);
        }
    }
}
