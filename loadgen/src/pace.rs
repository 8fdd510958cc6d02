//! When requests are due: the schedule of a group's connections on one thread.
//!
//! In an open loop the schedule never waits for answers. A connection that is free takes the next arrival and sleeps
//! until it is due; when all are busy, arrivals pass, and the first connection to be free takes the oldest and
//! answers for the time it waited. That is a queue served in order, without keeping one.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::random::Random;

/// When a server is slower than the schedule, what is late is waited for this long after the end.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// How arrivals follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Schedule {
    /// As a Poisson process of so many a second.
    Poisson(f64),
    /// At equal distance, so many a second.
    Steady(f64),
    /// For each connection by itself, exponentially distributed, seconds in the mean.
    Think(f64),
    /// When the last was answered.
    Closed,
}

/// What all threads share of a group's schedule.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// The next request's number.
    next: AtomicU64,
    /// Requests after the warm-up.
    measured: AtomicU64,
}

/// The arrivals of one group on one thread.
pub(crate) struct Arrivals {
    schedule: Schedule,
    random: RefCell<Random>,
    next_due: Cell<Option<Instant>>,
    tickets: Arc<Tickets>,
    limit: Option<u64>,
}

/// The instants of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// When load begins.
    pub(crate) start: Instant,
    /// When measuring begins.
    pub(crate) measure_from: Instant,
    /// Nothing is due from here on.
    pub(crate) end: Option<Instant>,
}

/// A request that is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) due: Instant,
    /// Unique in the group.
    pub(crate) number: u64,
}

impl Arrivals {
    /// `limit` is how many are measured on all threads together.
    pub(crate) fn new(schedule: Schedule, random: Random, tickets: Arc<Tickets>, limit: Option<u64>) -> Self {
        Self {
            schedule,
            random: RefCell::new(random),
            next_due: Cell::new(None),
            tickets,
            limit,
        }
    }

    /// The next arrival, or nothing when the load is over. `last` is when the asking connection's last one was
    /// due, if it had one.
    pub(crate) fn next(&self, span: &Span, last: Option<Instant>) -> Option<Arrival> {
        if span.end.is_some_and(|end| Instant::now() >= end + DRAIN) {
            return None;
        }
        let due = match self.schedule {
            Schedule::Closed => Instant::now(),
            Schedule::Poisson(rate) => self.after(span, |random| random.exponential(1.0 / rate)),
            Schedule::Steady(rate) => self.after(span, |_| 1.0 / rate),
            Schedule::Think(mean) => {
                let gap = self.random.borrow_mut().exponential(mean);
                // The first one is as if the connection had been there all along.
                last.unwrap_or(span.start) + Duration::from_secs_f64(gap)
            }
        };
        if span.end.is_some_and(|end| due >= end) {
            return None;
        }
        if due >= span.measure_from
            && let Some(limit) = self.limit
            && self.tickets.measured.fetch_add(1, Ordering::Relaxed) >= limit
        {
            return None;
        }
        Some(Arrival {
            due,
            number: self.tickets.next.fetch_add(1, Ordering::Relaxed),
        })
    }

    fn after(&self, span: &Span, gap: impl FnOnce(&mut Random) -> f64) -> Instant {
        let gap = Duration::from_secs_f64(gap(&mut self.random.borrow_mut()));
        let due = self.next_due.get().unwrap_or(span.start) + gap;
        self.next_due.set(Some(due));
        due
    }

    /// Arrivals that were due before `now` and that nobody took.
    pub(crate) fn missed(&self, span: &Span, now: Instant) -> u64 {
        let until = span.end.unwrap_or(now).min(now);
        match (self.schedule, self.next_due.get()) {
            (Schedule::Poisson(rate) | Schedule::Steady(rate), Some(next)) if self.limit.is_none() => {
                (until.saturating_duration_since(next).as_secs_f64() * rate) as u64
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(schedule: Schedule, limit: Option<u64>) -> Arrivals {
        Arrivals::new(schedule, Random::new(1, 1), Arc::default(), limit)
    }

    fn span(seconds: u64) -> Span {
        let start = Instant::now();
        Span {
            start,
            measure_from: start,
            end: Some(start + Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn an_open_schedule_has_its_rate_whatever_the_connections_do() {
        for schedule in [Schedule::Poisson(1000.0), Schedule::Steady(1000.0)] {
            let (arrivals, span) = (arrivals(schedule, None), span(10));
            let mut count = 0;
            let mut last = span.start;
            while let Some(arrival) = arrivals.next(&span, None) {
                assert!(arrival.due >= last && arrival.number == count);
                last = arrival.due;
                count += 1;
            }
            assert!((9_600..10_400).contains(&count), "{count} with {schedule:?}");
        }
    }

    #[test]
    fn thinking_connections_are_apart_by_their_mean() {
        let (arrivals, span) = (arrivals(Schedule::Think(0.5), None), span(1000));
        let mut last = None;
        let mut count = 0;
        while let Some(arrival) = arrivals.next(&span, last) {
            last = Some(arrival.due);
            count += 1;
        }
        assert!((1_800..2_200).contains(&count), "{count}");
    }

    #[test]
    fn a_limit_counts_what_comes_after_the_warm_up() {
        let arrivals = arrivals(Schedule::Steady(10.0), Some(5));
        let mut span = span(100);
        span.measure_from = span.start + Duration::from_millis(1050);
        let count = std::iter::from_fn(|| arrivals.next(&span, None)).count();
        assert_eq!(count, 15);
    }
}
