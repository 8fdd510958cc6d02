//! What a core counts. Cells of its own: nothing is shared until somebody asks.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use ahash::AHashMap;

/// A count that only grows.
#[derive(Default, Debug)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.set(self.0.get().wrapping_add(amount));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// How often something took how long: powers of two of microseconds, up to a minute.
#[derive(Clone, Default, Debug)]
pub(crate) struct Histogram {
    pub(crate) buckets: [u64; Histogram::BUCKETS],
    pub(crate) count: u64,
    pub(crate) sum: Duration,
}

impl Histogram {
    /// Bucket `n` holds what took less than `2^n` µs; the last holds the rest.
    pub(crate) const BUCKETS: usize = 27;

    pub(crate) fn record(&mut self, took: Duration) {
        let bits = u64::BITS - (took.as_micros() as u64).leading_zeros();
        self.buckets[(bits as usize).min(Self::BUCKETS - 1)] += 1;
        self.count += 1;
        self.sum += took;
    }
}

/// A protocol's counts.
#[derive(Clone, Default, Debug)]
pub(crate) struct ServiceMetrics {
    /// Accepted here.
    pub(crate) connections: u64,
    /// Authenticated sessions begun here.
    pub(crate) sessions: u64,
    /// Open now.
    pub(crate) open: u64,
    /// Commands, and how long clients waited for them.
    pub(crate) commands: Histogram,
}

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)*) => {
        /// A core's counts.
        #[derive(Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $help])+ pub(crate) $name: Counter,)*
            longest_stall: Cell<Duration>,
            stall_warning: Cell<Duration>,
            pub(crate) stalls: RefCell<Histogram>,
            pub(crate) sync_time: RefCell<Histogram>,
            pub(crate) operation_time: RefCell<Histogram>,
            services: RefCell<AHashMap<&'static str, ServiceMetrics>>,
        }

        impl Metrics {
            /// Name, help and value of every counter.
            pub(crate) fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($help),+), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// Calls on mailboxes of the caller's own core.
    local_calls,
    /// Calls on mailboxes of another core.
    forwarded_calls,
    /// Connections that moved to another core.
    handed_over,
    /// Connections that were at their mailbox's core already.
    stayed,
    /// Batches sent to other cores.
    router_batches,
    /// Messages in them.
    router_messages,
    /// Calls that had to wait for room in a queue to another core.
    router_waits,
    /// Turns of sessions that were over before their work.
    turns_used_up,
    /// Reads of pages that were not in the page cache.
    cold_reads,
    /// fdatasync and fsync calls.
    syncs,
    /// Syncs that failed.
    sync_failures,
    /// Commits made durable; several may share a sync.
    durable_commits,
    /// Mailboxes opened.
    opens,
    /// Mailboxes closed.
    closes,
    /// Mailboxes closed because the table was full.
    evictions,
    /// WALs written back.
    checkpoints,
    /// Change events.
    events,
    /// TLS handshakes done.
    tls_handshakes,
    /// Of them, by resumption.
    tls_resumed,
    /// TLS handshakes that failed.
    tls_failures,
    /// Connections refused by a limit.
    refused,
    /// Connections that had shown nothing and gave way to new ones.
    displaced,
    /// Connections cut before they logged in.
    login_timeouts,
    /// accept calls that failed.
    accept_errors,
    /// Messages taken into the queue.
    queue_messages,
    /// Messages that the queue could not take.
    queue_failures,
    /// Recipients whose queued copy was delivered or passed on.
    queue_delivered,
    /// Times that a recipient's copy had to wait for another attempt.
    queue_deferred,
    /// Recipients whose queued copy failed for good.
    queue_bounced,
    /// Reports of delivery, delay and failure.
    queue_reports,
    /// Reports left out because their recipient had the like a moment ago (response_interval).
    queue_reports_suppressed,
    /// Recipients that may have a copy although the last answer of their next hop was lost; they may get another.
    queue_uncertain,
    /// Tasks and operations that panicked.
    panics,
}

impl Metrics {
    /// How long one poll of a task held the core.
    pub(crate) fn record_stall(&self, held: Duration) {
        if held > self.longest_stall.get() {
            self.longest_stall.set(held);
        }
        self.stalls.borrow_mut().record(held);
    }

    /// From when on a stall is logged.
    pub(crate) fn stall_warning(&self) -> Duration {
        self.stall_warning.get()
    }

    pub(crate) fn set_stall_warning(&self, from: Duration) {
        self.stall_warning.set(from);
    }

    /// Polls of tasks so far.
    pub(crate) fn polls(&self) -> u64 {
        self.stalls.borrow().count
    }

    /// The longest since the start.
    pub(crate) fn longest_stall(&self) -> Duration {
        self.longest_stall.get()
    }

    /// Changes a protocol's counts.
    pub(crate) fn service(&self, name: &'static str, change: impl FnOnce(&mut ServiceMetrics)) {
        change(self.services.borrow_mut().entry(name).or_default());
    }

    /// Every protocol's counts.
    pub(crate) fn services(&self) -> Vec<(&'static str, ServiceMetrics)> {
        let services = self.services.borrow();
        services
            .iter()
            .map(|(name, service)| (*name, service.clone()))
            .collect()
    }
}
