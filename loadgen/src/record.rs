//! What a thread notes of each operation, and hands over once a second.

use std::{
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::session::Failure;

/// Seconds of a run that share a histogram.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// What went wrong is told for the first so many cases of a thread.
const EXAMPLES: usize = 5;

/// An operation's place in the list of the scenario's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationId(pub(crate) u16);

/// What a request that was answered as it should be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Payload: the message sent, or the response received.
    pub(crate) bytes: u64,
    /// Messages, where a request concerns several.
    pub(crate) items: u64,
}

/// One operation in one interval of one thread, or in all of them.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Microseconds from when the request was due.
    pub(crate) latency: Histogram<u64>,
    /// Refused, cut off or timed out.
    pub(crate) errors: u64,
    /// Answered wrongly.
    pub(crate) wrong: u64,
    pub(crate) bytes: u64,
    pub(crate) items: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            // Grows with what it holds: most intervals need a few kilobytes.
            latency: Histogram::new(3).expect("three digits are possible"),
            errors: 0,
            wrong: 0,
            bytes: 0,
            items: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.latency.is_empty() && self.errors == 0 && self.wrong == 0
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("histograms grow");
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.bytes += other.bytes;
        self.items += other.items;
    }
}

/// What a thread did in one second.
pub(crate) struct Interval {
    /// Seconds since measuring began.
    pub(crate) second: u32,
    pub(crate) tallies: Vec<(OperationId, Tally)>,
}

/// What a thread tells the one that reports.
pub(crate) enum Report {
    Interval(Interval),
    /// Something to tell the user of: a wrong answer or an error, with what was under way.
    Example(String),
}

/// A thread's notes.
pub(crate) struct Recorder {
    names: Vec<String>,
    current: Vec<Tally>,
    second: u32,
    /// Operations due before this are the warm-up.
    measure_from: Instant,
    /// When the last operation ended.
    pub(crate) last: Instant,
    examples: usize,
    reports: Sender<Report>,
}

impl Recorder {
    pub(crate) fn new(names: Vec<String>, reports: Sender<Report>) -> Self {
        let now = Instant::now();
        Self {
            current: names.iter().map(|_| Tally::new()).collect(),
            names,
            second: 0,
            measure_from: now,
            last: now,
            examples: 0,
            reports,
        }
    }

    /// Sets when measuring begins.
    pub(crate) fn begin(&mut self, measure_from: Instant) {
        self.measure_from = measure_from;
        self.last = measure_from;
    }

    /// Notes an operation that was due at `due` and ended now; returns now.
    pub(crate) fn record(
        &mut self,
        operation: OperationId,
        due: Instant,
        result: &Result<Done, Failure>,
    ) -> Instant {
        let now = Instant::now();
        self.record_at(operation, due, now, result);
        now
    }

    /// Notes an operation that ended at `now`.
    pub(crate) fn record_at(
        &mut self,
        operation: OperationId,
        due: Instant,
        now: Instant,
        result: &Result<Done, Failure>,
    ) {
        // A wrong answer counts whenever it comes.
        if due < self.measure_from && !matches!(result, Err(Failure::Wrong(_))) {
            return;
        }
        let second =
            (now.saturating_duration_since(self.measure_from).as_micros() / INTERVAL.as_micros()) as u32;
        if second != self.second {
            self.hand_over();
            self.second = second;
        }
        self.last = now;
        let tally = &mut self.current[operation.0 as usize];
        match result {
            Ok(done) => {
                tally.bytes += done.bytes;
                tally.items += done.items;
                let micros = now.saturating_duration_since(due).as_micros() as u64;
                tally.latency.record(micros.max(1)).expect("histograms grow");
            }
            Err(failure) => {
                match failure {
                    Failure::Wrong(_) => tally.wrong += 1,
                    Failure::Refused(_) | Failure::Connection(_) => tally.errors += 1,
                }
                if self.examples < EXAMPLES {
                    self.examples += 1;
                    let name = &self.names[operation.0 as usize];
                    // Nobody listens any more only when the program ends.
                    let _ = self.reports.send(Report::Example(format!("{name}: {failure}")));
                }
            }
        }
    }

    /// Notes answers that never came and must have.
    pub(crate) fn lost(&mut self, operation: OperationId, count: u64, what: &str) {
        self.current[operation.0 as usize].wrong += count;
        let _ = self
            .reports
            .send(Report::Example(format!("WRONG: {count} {what}")));
    }

    /// Hands the current interval over.
    pub(crate) fn hand_over(&mut self) {
        let tallies: Vec<_> = self
            .current
            .iter_mut()
            .enumerate()
            .filter(|(_, tally)| !tally.is_empty())
            .map(|(place, tally)| (OperationId(place as u16), std::mem::replace(tally, Tally::new())))
            .collect();
        if !tallies.is_empty() {
            let interval = Interval {
                second: self.second,
                tallies,
            };
            let _ = self.reports.send(Report::Interval(interval));
        }
    }
}
