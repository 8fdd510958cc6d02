//! The threads' notes brought together: a run's results, as text, as JSON and as HdrHistogram's log.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag},
    },
};
use serde::{Deserialize, Serialize};

use crate::record::{INTERVAL, Interval, OperationId, Tally};

/// A second is final when this many newer ones have begun: threads hand over when they next record something.
const LATE_SECONDS: u32 = 5;
/// Examples of errors that are kept.
const MAX_EXAMPLES: usize = 20;

/// Collects intervals while a run goes on.
pub(crate) struct Collector {
    names: Vec<String>,
    totals: Vec<Tally>,
    open: BTreeMap<u32, BTreeMap<OperationId, Tally>>,
    timeline: Vec<Moment>,
    /// Histograms of seconds, kept only where a log will be written.
    log: Option<Vec<(u32, OperationId, Histogram<u64>)>>,
    examples: Vec<String>,
}

/// One operation in one second.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Moment {
    /// Seconds since measuring began.
    pub(crate) t_s: u32,
    pub(crate) operation: String,
    pub(crate) count: u64,
    pub(crate) errors: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    pub(crate) bytes: u64,
}

/// What a run came to; the JSON output.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    pub(crate) scenario: String,
    pub(crate) description: String,
    pub(crate) seed: u64,
    /// From the end of the warm-up to the end of the schedule, or to the last answer if that was later.
    pub(crate) elapsed_s: f64,
    pub(crate) connections: u64,
    /// `open` or `closed`, and what else says how the load was made.
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) errors: u64,
    pub(crate) wrong: u64,
    /// Requests that were due and had no answer when the run was given up.
    pub(crate) unanswered: u64,
    /// Processor time of the load generator itself.
    pub(crate) own_cpu_s: f64,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) timeline: Vec<Moment>,
    /// The first errors and wrong answers.
    pub(crate) examples: Vec<String>,
}

/// One operation's results.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Operation {
    /// Those that were answered as they should be.
    pub(crate) count: u64,
    pub(crate) errors: u64,
    pub(crate) wrong: u64,
    pub(crate) rate_per_s: f64,
    pub(crate) bytes: u64,
    pub(crate) mb_per_s: f64,
    /// Messages, where one operation concerns several.
    pub(crate) items: u64,
    pub(crate) items_per_s: f64,
    pub(crate) latency_us: Latency,
    /// The latency that so many per cent of the requests did not exceed, for plots.
    pub(crate) percentiles: Vec<(f64, u64)>,
}

/// Latency from when a request was due, in microseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Latency {
    pub(crate) min: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// What a run knows besides what it measured.
pub(crate) struct Circumstances {
    pub(crate) scenario: String,
    pub(crate) description: String,
    pub(crate) seed: u64,
    pub(crate) connections: u64,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) elapsed: Duration,
    pub(crate) unanswered: u64,
    pub(crate) own_cpu_s: f64,
}

impl Collector {
    pub(crate) fn new(names: Vec<String>, keep_log: bool) -> Self {
        Self {
            totals: names.iter().map(|_| Tally::new()).collect(),
            names,
            open: BTreeMap::new(),
            timeline: Vec::new(),
            log: keep_log.then(Vec::new),
            examples: Vec::new(),
        }
    }

    /// Takes what a thread handed over.
    pub(crate) fn add(&mut self, interval: Interval) {
        for (operation, tally) in interval.tallies {
            self.totals[operation.0 as usize].add(&tally);
            let second = self.open.entry(interval.second).or_default();
            second.entry(operation).or_insert_with(Tally::new).add(&tally);
        }
        let newest = self.open.last_key_value().map_or(0, |(second, _)| *second);
        while let Some((second, _)) = self.open.first_key_value()
            && second + LATE_SECONDS < newest
        {
            self.close_first_second();
        }
    }

    /// What went wrong, where there are no results.
    pub(crate) fn into_examples(self) -> Vec<String> {
        self.examples
    }

    /// Keeps what went wrong, up to a limit.
    pub(crate) fn example(&mut self, example: String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(example);
        }
    }

    /// Answers, errors and wrong answers so far.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        self.totals
            .iter()
            .fold((0, 0, 0), |(done, errors, wrong), tally| {
                (
                    done + tally.latency.len(),
                    errors + tally.errors,
                    wrong + tally.wrong,
                )
            })
    }

    /// The newest seconds with anything in them, newest first.
    pub(crate) fn latest(&self) -> Option<(u64, Histogram<u64>)> {
        let (_, second) = self.open.last_key_value()?;
        let mut all = Tally::new();
        for tally in second.values() {
            all.add(tally);
        }
        Some((all.latency.len(), all.latency))
    }

    fn close_first_second(&mut self) {
        let Some((second, tallies)) = self.open.pop_first() else {
            return;
        };
        for (operation, tally) in tallies {
            self.timeline.push(Moment {
                t_s: second,
                operation: self.names[operation.0 as usize].clone(),
                count: tally.latency.len(),
                errors: tally.errors + tally.wrong,
                p50_us: tally.latency.value_at_quantile(0.5),
                p99_us: tally.latency.value_at_quantile(0.99),
                max_us: tally.latency.max(),
                bytes: tally.bytes,
            });
            if let Some(log) = &mut self.log {
                log.push((second, operation, tally.latency));
            }
        }
    }

    /// Ends the collection. The log, if one was asked for, goes to `log`.
    pub(crate) fn finish(mut self, run: Circumstances, log: Option<&mut dyn Write>) -> io::Result<Results> {
        while !self.open.is_empty() {
            self.close_first_second();
        }
        if let (Some(out), Some(intervals)) = (log, &self.log) {
            self.write_log(out, intervals)?;
        }
        let (_, errors, wrong) = self.counts();
        let operations = self.names.iter().zip(&self.totals);
        Ok(Results {
            scenario: run.scenario,
            description: run.description,
            seed: run.seed,
            elapsed_s: run.elapsed.as_secs_f64(),
            connections: run.connections,
            parameters: run.parameters,
            errors,
            wrong,
            unanswered: run.unanswered,
            own_cpu_s: run.own_cpu_s,
            operations: operations
                .map(|(name, tally)| (name.clone(), Operation::new(tally, run.elapsed)))
                .collect(),
            timeline: self.timeline,
            examples: self.examples,
        })
    }

    /// One line an operation and second, tagged with the operation. Values are microseconds.
    fn write_log(
        &self,
        mut out: &mut dyn Write,
        intervals: &[(u32, OperationId, Histogram<u64>)],
    ) -> io::Result<()> {
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder
            .add_comment("loadgen: latency from when a request was due, in microseconds")
            .with_start_time(SystemTime::now())
            .with_max_value_divisor(1.0);
        let mut writer = builder.begin_log_with(&mut out, &mut serializer)?;
        for (second, operation, histogram) in intervals {
            let tag = Tag::new(&self.names[operation.0 as usize]);
            writer
                .write_histogram(histogram, INTERVAL * *second, INTERVAL, tag)
                .map_err(|error| match error {
                    IntervalLogWriterError::IoError(error) => error,
                    IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
                })?;
        }
        Ok(())
    }
}

impl Operation {
    fn new(tally: &Tally, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64().max(1e-6);
        let latency = &tally.latency;
        Self {
            count: latency.len(),
            errors: tally.errors,
            wrong: tally.wrong,
            rate_per_s: latency.len() as f64 / seconds,
            bytes: tally.bytes,
            mb_per_s: tally.bytes as f64 / 1e6 / seconds,
            items: tally.items,
            items_per_s: tally.items as f64 / seconds,
            latency_us: Latency {
                min: latency.min(),
                mean: latency.mean(),
                p50: latency.value_at_quantile(0.5),
                p90: latency.value_at_quantile(0.9),
                p99: latency.value_at_quantile(0.99),
                p999: latency.value_at_quantile(0.999),
                max: latency.max(),
            },
            percentiles: percentiles(latency),
        }
    }
}

/// Ten points for each halving of what is left to 100 %, and the maximum.
fn percentiles(latency: &Histogram<u64>) -> Vec<(f64, u64)> {
    let count = latency.len();
    if count == 0 {
        return Vec::new();
    }
    let mut points = Vec::new();
    let mut left: f64 = 1.0;
    while left * count as f64 >= 1.0 {
        let percentile = 100.0 * (1.0 - left);
        points.push((percentile, latency.value_at_percentile(percentile)));
        left *= 0.5f64.powf(0.1);
    }
    points.push((100.0, latency.max()));
    points
}

impl Results {
    /// What a person reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{}: {}\n{} connections, {:.1} s, seed {}; own processor time {:.0} % of a core",
            self.scenario,
            self.description,
            self.connections,
            self.elapsed_s,
            self.seed,
            100.0 * self.own_cpu_s / self.elapsed_s.max(1e-6),
        );
        let width = self.operations.keys().map(String::len).max().unwrap_or(0).max(9);
        let _ = writeln!(
            text,
            "\n{:width$}  {:>9} {:>7} {:>10} {:>8}  {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "operation", "count", "errors", "per s", "MB/s", "min ms", "p50", "p90", "p99", "p99.9", "max",
        );
        for (name, operation) in &self.operations {
            let latency = &operation.latency_us;
            let ms = |micros: u64| format!("{:.3}", micros as f64 / 1000.0);
            let _ = writeln!(
                text,
                "{name:width$}  {:>9} {:>7} {:>10.1} {:>8.2}  {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                operation.count,
                operation.errors + operation.wrong,
                operation.rate_per_s,
                operation.mb_per_s,
                ms(latency.min),
                ms(latency.p50),
                ms(latency.p90),
                ms(latency.p99),
                ms(latency.p999),
                ms(latency.max),
            );
        }
        for example in &self.examples {
            let _ = writeln!(text, "  {example}");
        }
        if self.unanswered > 0 {
            let _ = writeln!(text, "{} requests were due and not answered", self.unanswered);
        }
        if self.wrong > 0 {
            let _ = writeln!(text, "{} answers were WRONG", self.wrong);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(second: u32, micros: &[u64]) -> Interval {
        let mut tally = Tally::new();
        for value in micros {
            tally.latency.record(*value).unwrap();
        }
        tally.bytes = 1_000_000;
        Interval {
            second,
            tallies: vec![(OperationId(0), tally)],
        }
    }

    fn circumstances() -> Circumstances {
        Circumstances {
            scenario: "x".into(),
            description: String::new(),
            seed: 1,
            connections: 1,
            parameters: BTreeMap::new(),
            elapsed: Duration::from_secs(10),
            unanswered: 0,
            own_cpu_s: 0.0,
        }
    }

    #[test]
    fn threads_are_merged_by_second_and_in_total() {
        let mut collector = Collector::new(vec!["a".into()], true);
        collector.add(interval(0, &[100, 200]));
        collector.add(interval(1, &[100]));
        collector.add(interval(0, &[900]));
        collector.add(interval(20, &[5]));
        let mut log = Vec::new();
        let results = collector.finish(circumstances(), Some(&mut log)).unwrap();
        let operation = &results.operations["a"];
        assert_eq!(
            (
                operation.count,
                operation.latency_us.max,
                operation.latency_us.min
            ),
            (5, 900, 5)
        );
        assert!((operation.mb_per_s - 0.4).abs() < 1e-9);
        let seconds: Vec<_> = results
            .timeline
            .iter()
            .map(|moment| (moment.t_s, moment.count))
            .collect();
        assert_eq!(seconds, [(0, 3), (1, 1), (20, 1)]);
        let log = String::from_utf8(log).unwrap();
        assert_eq!(
            log.lines().filter(|line| line.starts_with("Tag=a,")).count(),
            3,
            "{log}"
        );
    }

    #[test]
    fn percentiles_end_with_the_maximum_and_never_fall() {
        let mut latency = Histogram::new(3).unwrap();
        for value in 1..=1000 {
            latency.record(value).unwrap();
        }
        let points = percentiles(&latency);
        assert!(
            points
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
        );
        assert_eq!(points.last(), Some(&(100.0, 1000)));
        assert!(percentiles(&Histogram::new(3).unwrap()).is_empty());
    }
}
