//! The line that shows how a run goes while it goes.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::results::Collector;

/// Shows a line on standard error, once a second, if that is a terminal.
pub(crate) struct Progress {
    shown: bool,
    enabled: bool,
    last: Instant,
    connections: u64,
    before: u64,
}

impl Progress {
    /// How often the line changes.
    pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

    pub(crate) fn new(wanted: bool, connections: u64) -> Self {
        Self {
            shown: false,
            enabled: wanted && std::io::stderr().is_terminal(),
            last: Instant::now(),
            connections,
            before: 0,
        }
    }

    /// Shows where the run is, about once a second, best when something `arrived`.
    pub(crate) fn show(
        &mut self,
        started: Option<Instant>,
        ready: u64,
        collector: &Collector,
        arrived: bool,
    ) {
        let since = self.last.elapsed();
        let wait = if arrived {
            Self::INTERVAL / 2
        } else {
            Self::INTERVAL * 2
        };
        if !self.enabled || since < wait {
            return;
        }
        self.last = Instant::now();
        let line = match started {
            None => format!("{ready} of {} connections are ready", self.connections),
            Some(started) => {
                let (done, errors, wrong) = collector.counts();
                let rate = (done - self.before) as f64 / since.as_secs_f64();
                self.before = done;
                let (_, latency) = collector
                    .latest()
                    .unwrap_or((0, crate::record::Tally::new().latency));
                format!(
                    "{:4.0} s  {done} done, {rate:.0}/s, p50 {:.1} ms, p99 {:.1} ms, {errors} errors, {wrong} wrong",
                    started.elapsed().as_secs_f64(),
                    latency.value_at_quantile(0.5) as f64 / 1000.0,
                    latency.value_at_quantile(0.99) as f64 / 1000.0,
                )
            }
        };
        self.shown = true;
        // A progress line that can't be written is no reason to stop.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
