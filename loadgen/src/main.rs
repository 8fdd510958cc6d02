//! Load generator for mail servers.
//!
//! For now one closed-loop scenario, LMTP delivery: as many threads as connections, each sends the next
//! message when the last was answered. Every answer is checked; a wrong one ends the run with an error.

mod lmtp;
mod message;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hdrhistogram::Histogram;

/// Loads a mail server and reports rates and latencies.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Delivers messages by LMTP, each to one recipient.
    Deliver(Deliver),
}

#[derive(clap::Args)]
struct Deliver {
    /// The server's LMTP address.
    #[arg(long)]
    server: SocketAddr,
    /// Connections, each with one delivery under way.
    #[arg(long, default_value_t = 8)]
    connections: u32,
    /// Messages in all.
    #[arg(long, default_value_t = 10_000)]
    messages: u64,
    /// Bytes of each message.
    #[arg(long, default_value_t = 10_000)]
    size: usize,
    /// Recipient addresses; `{}` becomes the mailbox's number.
    #[arg(long, default_value = "load{}@example.test")]
    recipient: String,
    /// How many mailboxes, numbered from 0, take turns.
    #[arg(long, default_value_t = 1000)]
    mailboxes: u64,
    /// Decides the content of the messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Deliver(options) => deliver(&options),
    }
}

fn deliver(options: &Deliver) -> Result<()> {
    ensure!(
        options.connections > 0 && options.mailboxes > 0,
        "connections and mailboxes must not be 0"
    );
    let next = AtomicU64::new(0);
    let began = Instant::now();
    let histograms = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.connections)
            .map(|_| scope.spawn(|| deliver_on_one_connection(options, &next)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("worker panicked"))
            .collect::<Result<Vec<_>>>()
    })?;
    let elapsed = began.elapsed();
    let mut latency = new_histogram();
    for histogram in histograms {
        latency.add(histogram)?;
    }
    report(&latency, elapsed);
    Ok(())
}

fn deliver_on_one_connection(options: &Deliver, next: &AtomicU64) -> Result<Histogram<u64>> {
    let mut session = lmtp::Session::connect(options.server).context("connecting")?;
    let mut latency = new_histogram();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= options.messages {
            session.quit()?;
            return Ok(latency);
        }
        let recipient = options
            .recipient
            .replace("{}", &(number % options.mailboxes).to_string());
        let source = message::generate(options.seed.wrapping_add(number), options.size, &recipient);
        let due = Instant::now();
        session
            .deliver("load@example.org", &recipient, &source)
            .with_context(|| format!("message {number}"))?;
        latency.record(due.elapsed().as_micros() as u64)?;
    }
}

/// Microseconds up to ten minutes, three significant digits.
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds are valid")
}

fn report(latency: &Histogram<u64>, elapsed: Duration) {
    println!(
        "{} deliveries in {:.2} s: {:.0}/s",
        latency.len(),
        elapsed.as_secs_f64(),
        latency.len() as f64 / elapsed.as_secs_f64()
    );
    let quantile = |q| latency.value_at_quantile(q) as f64 / 1000.0;
    println!(
        "latency ms: min {:.2}, p50 {:.2}, p90 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
        latency.min() as f64 / 1000.0,
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        latency.max() as f64 / 1000.0,
    );
}
