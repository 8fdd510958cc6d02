//! Which message is tried when.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use futures_lite::future::or;
use ringpost_host::{Entry, MailQueue, Outbound, Priority, QueueCount, QueueId, RecipientState};

use crate::{
    Options,
    attempt::{self, Attempt, Ended, UNREADABLE_PAUSE},
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
    ringpost_host::steady_now_ms()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The set of messages that mailboxes of this server alone wait for.
const LOCAL: usize = 0;
/// The set of messages that need a connection to the next hop.
const RELAY: usize = 1;

struct Scheduler<H: Outbound> {
    context: Rc<Context<H>>,
    entries: HashMap<QueueId, Entry>,
    /// When each is looked at next: those for mailboxes of this server alone, and those for the next hop.
    due: [BTreeSet<(u64, QueueId)>; 2],
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
        due: Default::default(),
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
            self.wait_for_turn(entry);
        }
    }

    fn wait_for_turn(&mut self, mut entry: Entry) {
        // The clock may have been set back since an earlier run wrote this.
        let options = &self.context.options;
        let longest = options
            .retry_longest
            .max(options.local_pause)
            .max(UNREADABLE_PAUSE);
        entry.next_ms = entry.next_ms.min(now_ms() + 2 * milliseconds(longest));
        let set = usize::from(self.relays(&entry));
        self.due[set].insert((entry.next_ms, entry.id));
        self.entries.insert(entry.id, entry);
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
            self.wait_for_turn(entry);
        }
    }

    /// Starts what is due and finds a place; returns when to look again.
    fn start_due(&mut self) -> Duration {
        let now = now_ms();
        let wait = self.start_due_of(LOCAL, now).min(self.start_due_of(RELAY, now));
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

    /// The same for one of the sets. Every step is one look-up: a long queue costs no more than a short one.
    fn start_due_of(&mut self, set: usize, now: u64) -> Duration {
        while let Some(&(due, id)) = self.due[set].first() {
            if due > now {
                return Duration::from_millis(due - now);
            }
            let Some(entry) = self.entries.get_mut(&id) else {
                self.due[set].remove(&(due, id));
                continue;
            };
            let notice = attempt::is_expired(&self.context.options, entry, now)
                || attempt::is_delay_due(&self.context.options, entry, now);
            let attempt = match (notice, set) {
                (true, _) if self.running_notice >= NOTICE_ATTEMPTS => break,
                (true, _) => Attempt::Notice,
                (false, RELAY) if now < self.hop_paused_until => {
                    // Looked at again then. As good as tried: it must be able to expire while the next hop is down.
                    entry.attempts = entry.attempts.max(1);
                    self.due[set].remove(&(due, id));
                    self.due[set].insert((self.hop_paused_until, id));
                    continue;
                }
                (false, RELAY) if self.running_relay >= self.relay_places() => break,
                (false, RELAY) => Attempt::Relay,
                (false, _) if self.running_local >= LOCAL_ATTEMPTS => break,
                (false, _) => Attempt::Local,
            };
            self.due[set].remove(&(due, id));
            if let Some(entry) = self.entries.remove(&id) {
                self.start(entry, attempt);
            }
        }
        // Somebody's end makes room.
        IDLE
    }

    /// While the next hop is not known to answer, one attempt goes ahead.
    fn relay_places(&self) -> usize {
        if self.hop_failures > 0 {
            1
        } else {
            self.connections
        }
    }

    /// Whether a recipient is left that is not of this server.
    fn relays(&self, entry: &Entry) -> bool {
        let directory = self.context.host.directory();
        entry.recipients.iter().any(|recipient| {
            recipient.state == RecipientState::Pending
                && !local::is_local(&*directory, &recipient.recipient.address)
        })
    }

    fn start(&mut self, entry: Entry, attempt: Attempt) {
        match attempt {
            Attempt::Local => self.running_local += 1,
            Attempt::Relay => self.running_relay += 1,
            Attempt::Notice => self.running_notice += 1,
        }
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
                    interrupted: true,
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
