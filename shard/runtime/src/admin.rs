//! The admin listener: HTTP on loopback, for monitoring.
//!
//! `/metrics` in Prometheus' text format, `/healthz` (every core answers), `/readyz` (not stopping).

use std::{fmt::Write as _, io, net::SocketAddr, rc::Rc, time::Duration};

use ringpost_executor::{
    net::{TcpListener, TcpStream},
    timer,
};
use ringpost_host::Connection;

use crate::{
    connection::{Ends, Profile, ShardConnection},
    metrics::{Histogram, ServiceMetrics},
    shard::Shard,
    waiters::within,
    watch::spawn_into,
};

/// A request, with its headers, may be so long.
const MAX_REQUEST: usize = 8192;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// How long a client has for its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a core has for its answer.
const CORE_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests that are served at once.
const MAX_CLIENTS: usize = 16;

/// Accepts until the stop begins.
pub(crate) async fn serve(shard: Rc<Shard>, listener: std::net::TcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the admin listener: {error}"),
    };
    let open: Rc<()> = Rc::new(());
    loop {
        let accepted = futures_lite::future::or(async { Some(listener.accept().await) }, async {
            shard.stopping().await;
            None
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) if Rc::strong_count(&open) <= MAX_CLIENTS => {
                let task = client(Rc::clone(&shard), stream, peer, Rc::clone(&open));
                spawn_into(&shard, shard.queues.background, "admin", task);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) => timer::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn client(shard: Rc<Shard>, stream: TcpStream, peer: SocketAddr, _open: Rc<()>) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let profile = Profile {
        service: "admin",
        write_timeout: shard.config.write_timeout,
    };
    let mut connection = ShardConnection::new(stream, Ends { peer, local }, profile, Rc::clone(&shard));
    let Some(Ok(path)) = within(REQUEST_TIMEOUT, read_request(&mut connection)).await else {
        return;
    };
    let (status, kind, body) = match path.as_str() {
        "/metrics" => match metrics(&shard).await {
            Some(text) => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text),
            None => (
                "503 Service Unavailable",
                "text/plain",
                "a core does not answer\n".to_owned(),
            ),
        },
        "/healthz" => match snapshots(&shard).await {
            Some(_) => ("200 OK", "text/plain", "ok\n".to_owned()),
            None => (
                "503 Service Unavailable",
                "text/plain",
                "a core does not answer\n".to_owned(),
            ),
        },
        // While the server stops, nobody gets here: the listener is closed.
        "/readyz" => ("200 OK", "text/plain", "ready\n".to_owned()),
        _ => ("404 Not Found", "text/plain", "not found\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if connection.write(head.as_bytes()).await.is_ok() {
        let _ = connection.write(body.as_bytes()).await;
    }
    connection.close().await;
}

async fn read_request(connection: &mut ShardConnection) -> io::Result<String> {
    let mut data = Vec::new();
    loop {
        if connection.read(&mut data, REQUEST_TIMEOUT).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(path) = request_path(&data)? {
            return Ok(path);
        }
    }
}

/// The path of a complete GET request. `None`: more bytes are needed.
fn request_path(data: &[u8]) -> io::Result<Option<String>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(data) {
        Ok(httparse::Status::Complete(_)) if request.method == Some("GET") => {
            let path = request.path.ok_or_else(invalid)?;
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            Ok(Some(path.to_owned()))
        }
        Ok(httparse::Status::Partial) if data.len() < MAX_REQUEST => Ok(None),
        _ => Err(invalid()),
    }
}

/// What a core tells of itself.
pub(crate) struct Snapshot {
    shard: usize,
    counters: Vec<(&'static str, &'static str, u64)>,
    gauges: Vec<(&'static str, &'static str, f64)>,
    histograms: Vec<(&'static str, &'static str, Histogram)>,
    services: Vec<(&'static str, ServiceMetrics)>,
}

impl Shard {
    fn snapshot(&self) -> Snapshot {
        let (_, jobs) = self.mailbox_counts();
        let (taken, allowed, mailboxes) = self.mailboxes.room.state();
        let (queued, longest) = self.router.depth();
        let queue = self
            .queue
            .as_ref()
            .map(|queue| queue.figures())
            .unwrap_or_default();
        let metrics = &self.metrics;
        let polled = ringpost_executor::polled();
        let mut counters = metrics.counters();
        counters.extend([
            (
                "idle_polls_found",
                "Waits of the core that were over before it slept.",
                polled.found,
            ),
            (
                "idle_polls_missed",
                "Waits in which it looked for work, and then slept.",
                polled.missed,
            ),
            (
                "idle_polls_yielded",
                "Waits in which others wanted the processor.",
                polled.taken,
            ),
        ]);
        Snapshot {
            shard: self.id,
            counters,
            gauges: vec![
                (
                    "open_connections",
                    "Connections that are open.",
                    self.sessions.count() as f64,
                ),
                ("open_mailboxes", "Mailboxes that are open.", mailboxes as f64),
                (
                    "mailbox_memory_bytes",
                    "Memory that open mailboxes take.",
                    taken as f64,
                ),
                (
                    "mailbox_memory_allowed_bytes",
                    "Memory that they may take now.",
                    allowed as f64,
                ),
                (
                    "mailbox_jobs_waiting",
                    "Operations that wait for their mailbox.",
                    jobs as f64,
                ),
                (
                    "router_queued",
                    "Messages that wait to be sent to other cores.",
                    queued as f64,
                ),
                (
                    "router_longest_queue",
                    "Most messages that ever waited for one core.",
                    longest as f64,
                ),
                ("queue_size", "Messages in the queue.", queue.messages as f64),
                (
                    "queue_waiting",
                    "Of them, those that wait for another attempt.",
                    queue.deferred as f64,
                ),
                (
                    "queue_bytes",
                    "What is in the queue, in bytes.",
                    queue.bytes as f64,
                ),
                (
                    "queue_oldest_seconds",
                    "Age of the oldest message in the queue.",
                    queue.oldest.as_secs_f64(),
                ),
                (
                    "helper_jobs",
                    "Jobs that wait for, or are with, helper threads.",
                    self.helpers.depth() as f64,
                ),
                (
                    "pooled_stacks",
                    "Stacks of operations that are kept for the next ones.",
                    self.stacks.idle() as f64,
                ),
                (
                    "subscriptions",
                    "Sessions that listen to a mailbox.",
                    self.subscription_count() as f64,
                ),
                (
                    "idle_poll_seconds",
                    "Time spent looking for work before sleeping.",
                    polled.time.as_secs_f64(),
                ),
                (
                    "longest_stall_seconds",
                    "Longest time that one poll of a task held the core.",
                    metrics.longest_stall().as_secs_f64(),
                ),
            ],
            histograms: vec![
                (
                    "poll_seconds",
                    "How long polls of tasks held the core.",
                    metrics.stalls.borrow().clone(),
                ),
                (
                    "sync_seconds",
                    "How long syncs took.",
                    metrics.sync_time.borrow().clone(),
                ),
                (
                    "operation_seconds",
                    "How long operations on mailboxes took.",
                    metrics.operation_time.borrow().clone(),
                ),
            ],
            services: metrics.services(),
        }
    }

    /// Writes what this core is doing to the log.
    pub(crate) fn dump_state(&self) {
        let snapshot = self.snapshot();
        let mut text = String::new();
        for (name, _, value) in &snapshot.gauges {
            let _ = write!(text, " {name}={value}");
        }
        for (name, _, value) in snapshot.counters.iter().filter(|(_, _, value)| *value != 0) {
            let _ = write!(text, " {name}={value}");
        }
        for (name, service) in &snapshot.services {
            let _ = write!(
                text,
                " {name}: open={} connections={} sessions={} commands={}",
                service.open, service.connections, service.sessions, service.commands.count
            );
        }
        tracing::info!("state of shard {}:{text}", self.id);
    }
}

/// Every core's figures; `None` when one does not answer.
async fn snapshots(shard: &Rc<Shard>) -> Option<Vec<Snapshot>> {
    let mut all = Vec::with_capacity(shard.count);
    for core in 0..shard.count {
        let call = shard.call(core, |shard, reply| reply.send(shard, Ok(shard.snapshot())));
        all.push(within(CORE_TIMEOUT, call).await?.ok()?);
    }
    Some(all)
}

async fn metrics(shard: &Rc<Shard>) -> Option<String> {
    Some(render(&snapshots(shard).await?))
}

/// The text format: one block a metric, its samples together.
fn render(all: &[Snapshot]) -> String {
    let mut text = String::new();
    let Some(first) = all.first() else { return text };
    // Writing to a string does not fail.
    let out = &mut text;
    for (index, (name, help, _)) in first.counters.iter().enumerate() {
        let _ = writeln!(out, "# HELP ringpost_{name}_total {}", help.trim());
        let _ = writeln!(out, "# TYPE ringpost_{name}_total counter");
        for snapshot in all {
            let value = snapshot.counters[index].2;
            let _ = writeln!(
                out,
                "ringpost_{name}_total{{shard=\"{}\"}} {value}",
                snapshot.shard
            );
        }
    }
    for (index, (name, help, _)) in first.gauges.iter().enumerate() {
        let _ = writeln!(out, "# HELP ringpost_{name} {help}\n# TYPE ringpost_{name} gauge");
        for snapshot in all {
            let value = snapshot.gauges[index].2;
            let _ = writeln!(out, "ringpost_{name}{{shard=\"{}\"}} {value}", snapshot.shard);
        }
    }
    for (index, (name, help, _)) in first.histograms.iter().enumerate() {
        let _ = writeln!(
            out,
            "# HELP ringpost_{name} {help}\n# TYPE ringpost_{name} histogram"
        );
        for snapshot in all {
            let labels = format!("shard=\"{}\"", snapshot.shard);
            render_histogram(out, name, &labels, &snapshot.histograms[index].2);
        }
    }
    render_services(out, all);
    text
}

fn render_services(out: &mut String, all: &[Snapshot]) {
    type Value = fn(&ServiceMetrics) -> u64;
    let values: [(&str, &str, &str, Value); 3] = [
        (
            "connections_total",
            "counter",
            "Connections accepted.",
            |service| service.connections,
        ),
        (
            "sessions_total",
            "counter",
            "Authenticated sessions begun.",
            |service| service.sessions,
        ),
        (
            "service_open_connections",
            "gauge",
            "Open connections, by protocol.",
            |service| service.open,
        ),
    ];
    let services = || {
        let of = |snapshot: &'_ Snapshot| snapshot.shard;
        all.iter().flat_map(move |snapshot| {
            snapshot
                .services
                .iter()
                .map(move |(name, service)| (of(snapshot), *name, service))
        })
    };
    for (metric, kind, help, value) in values {
        let _ = writeln!(
            out,
            "# HELP ringpost_{metric} {help}\n# TYPE ringpost_{metric} {kind}"
        );
        for (shard, name, service) in services() {
            let _ = writeln!(
                out,
                "ringpost_{metric}{{shard=\"{shard}\",protocol=\"{name}\"}} {}",
                value(service)
            );
        }
    }
    let _ = writeln!(
        out,
        "# HELP ringpost_command_seconds How long clients waited for commands.\n# TYPE ringpost_command_seconds histogram"
    );
    for (shard, name, service) in services() {
        let labels = format!("shard=\"{shard}\",protocol=\"{name}\"");
        render_histogram(out, "command_seconds", &labels, &service.commands);
    }
}

fn render_histogram(out: &mut String, name: &str, labels: &str, histogram: &Histogram) {
    let mut below = 0;
    for (power, count) in histogram.buckets.iter().enumerate().take(Histogram::BUCKETS - 1) {
        below += count;
        let limit = (1_u64 << power) as f64 / 1e6;
        let _ = writeln!(out, "ringpost_{name}_bucket{{{labels},le=\"{limit}\"}} {below}");
    }
    let _ = writeln!(
        out,
        "ringpost_{name}_bucket{{{labels},le=\"+Inf\"}} {}",
        histogram.count
    );
    let _ = writeln!(
        out,
        "ringpost_{name}_sum{{{labels}}} {}",
        histogram.sum.as_secs_f64()
    );
    let _ = writeln!(out, "ringpost_{name}_count{{{labels}}} {}", histogram.count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_get_requests_have_a_path() {
        let path = |data: &[u8]| request_path(data).map_err(|error| error.kind());
        assert_eq!(
            path(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
            Ok(Some("/metrics".to_owned()))
        );
        assert_eq!(path(b"GET /metrics HTTP/1.1\r\n"), Ok(None));
        assert_eq!(path(b"POST / HTTP/1.1\r\n\r\n"), Err(io::ErrorKind::InvalidData));
        assert_eq!(path(b"\0\0\0"), Err(io::ErrorKind::InvalidData));
        let long = [b"GET /".as_slice(), &[b'a'; MAX_REQUEST]].concat();
        assert_eq!(path(&long), Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn buckets_are_cumulative_and_in_seconds() {
        let mut histogram = Histogram::default();
        for micros in [0, 1, 3, 1000, u64::MAX / 2000] {
            histogram.record(Duration::from_micros(micros));
        }
        let mut text = String::new();
        render_histogram(&mut text, "x_seconds", "shard=\"0\"", &histogram);
        let has = |line: &str| {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is not in\n{text}"
            );
        };
        has("ringpost_x_seconds_bucket{shard=\"0\",le=\"0.000001\"} 1");
        has("ringpost_x_seconds_bucket{shard=\"0\",le=\"0.000004\"} 3");
        has("ringpost_x_seconds_bucket{shard=\"0\",le=\"0.001024\"} 4");
        has("ringpost_x_seconds_bucket{shard=\"0\",le=\"+Inf\"} 5");
        has("ringpost_x_seconds_count{shard=\"0\"} 5");
    }
}
