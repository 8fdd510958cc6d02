//! Empties the queue: every message in it is delivered, sent on, or reported to its sender.
//!
//! ```text
//! Host::enqueue ─► journal (ringpost-spool), durable
//!                    │ MailQueue::arrivals, on the core that took it
//!                    ▼
//!              scheduler ── one attempt a message at a time, so many at once ──┐
//!                 ▲   due? expired? next hop known to be down?                 ▼
//!                 │                        attempt: recipients of this server ─► local ─► shard/delivery
//!                 │                                 all others ─► pool ─► client (SMTP) or sendmail
//!                 └─ MailQueue::update ◄── states of recipients, reports ◄─────┘
//!                        one record of the journal: all of it or nothing
//! ```
//!
//! Each core empties what it took. A recipient is done when its copy is in its mailbox, the next server answered
//! `250`, or the report of its failure is in the queue; the record that says so also holds the report, so a crash leaves
//! either none of it or all. What a crash, or a connection that is cut, can leave open is the time between the last
//! byte of a message and the answer to it (RFC 1047): it is sent again then, and counted (`queue_uncertain`). A mailbox
//! of this server can be asked whether it has the message, and is: nothing comes twice there.
//!
//! Its time is steady (`ringpost_host::steady_now_ms`): a clock that jumps neither keeps mail back nor returns it.
//!
//! A next hop that does not answer is not asked by every message in turn: one attempt goes ahead, all others wait for
//! its outcome, with a pause that doubles.
//!
//! Outgoing mail has one next hop, by `outgoing_smtp_url`: a smart host, or the local `sendmail`. Cost of a message
//! to it on a connection in use, with PIPELINING: two round trips, one note before the end of the data, one record
//! behind it.

mod attempt;
mod client;
mod content;
mod downgrade;
mod local;
mod pool;
mod reply;
pub mod report;
mod scheduler;
mod sendmail;
mod template;
mod url;

use std::{sync::Arc, time::Duration};

use ringpost_config::{
    Configuration,
    directive::{self, delivery, exmdb_local, gromox},
};
use ringpost_host::{Outbound, Worker};

pub use reply::{Reply, ReplyError, Status};
pub use template::{Template, Templates};
pub use url::{HopSecurity, NextHop, SmtpHop, UrlError};

/// What the worker follows.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host_id` of delivery.cfg: in EHLO and reports.
    pub host_name: String,
    /// `bounce_postmaster`, its domain completed.
    pub postmaster: String,
    /// `outgoing_smtp_url`
    pub next_hop: NextHop,
    /// How mail for this server's own recipients is delivered.
    pub delivery: ringpost_delivery::Options,
    /// `cache_scan_interval`: after so long a delivery to a mailbox is tried again.
    pub local_pause: Duration,
    /// `retrying_times`: how often that is tried.
    pub local_attempts: u32,
    /// `queue_retry_first`: the pause after the first attempt at the next hop; each later one is twice as long.
    pub retry_first: Duration,
    /// `queue_retry_longest`: the longest such pause.
    pub retry_longest: Duration,
    /// `queue_lifetime`: after so long a recipient has failed.
    pub lifetime: Duration,
    /// `queue_delay_notice`: after so long a sender is told that it takes long; 0 tells nobody.
    pub delay_notice: Duration,
    /// `queue_connections`: connections to the next hop, over all cores.
    pub connections: usize,
    /// `data_file_path` of delivery.cfg: texts of reports.
    pub templates: Templates,
    /// `response_interval`: the same sender is not told of the same local recipient's failure again for so long.
    pub response_interval: Duration,
    /// `response_audit_capacity`: pairs that are remembered for that.
    pub response_capacity: usize,
}

impl Options {
    /// The options in effect. Fails where `outgoing_smtp_url` names no next hop.
    pub fn of(configuration: &Configuration) -> Result<Self, UrlError> {
        let host_name = configuration.text(delivery::HOST_ID).to_owned();
        let postmaster = configuration.text(gromox::BOUNCE_POSTMASTER);
        let postmaster = match postmaster.strip_suffix('@') {
            Some(local) => format!("{local}@{host_name}"),
            None => postmaster.to_owned(),
        };
        Ok(Self {
            host_name,
            postmaster,
            next_hop: NextHop::parse(configuration.text(gromox::OUTGOING_SMTP_URL))?,
            delivery: ringpost_delivery::Options::of(configuration),
            local_pause: configuration.duration(exmdb_local::CACHE_SCAN_INTERVAL),
            local_attempts: u32::try_from(configuration.quantity(exmdb_local::RETRYING_TIMES))
                .unwrap_or(u32::MAX),
            retry_first: configuration.duration(directive::QUEUE_RETRY_FIRST),
            retry_longest: configuration.duration(directive::QUEUE_RETRY_LONGEST),
            lifetime: configuration.duration(directive::QUEUE_LIFETIME),
            delay_notice: configuration.duration(directive::QUEUE_DELAY_NOTICE),
            connections: configuration.size(directive::QUEUE_CONNECTIONS),
            templates: Templates::read(configuration.paths(delivery::DATA_FILE_PATH)),
            response_interval: configuration.duration(exmdb_local::RESPONSE_INTERVAL),
            response_capacity: configuration.size(exmdb_local::RESPONSE_AUDIT_CAPACITY),
        })
    }

    pub(crate) fn reporter(&self) -> report::Reporter {
        report::Reporter {
            host_name: self.host_name.clone(),
            postmaster: self.postmaster.clone(),
        }
    }
}

/// The worker that empties the queue, as the runtime starts it on each core.
#[derive(Clone, Debug)]
pub struct Mailer {
    options: Arc<Options>,
}

impl Mailer {
    /// A worker with these options.
    pub fn new(options: Options) -> Self {
        Self {
            options: Arc::new(options),
        }
    }
}

impl Worker for Mailer {
    async fn run<H: Outbound>(&self, host: &H) {
        if let Some(queue) = host.mail_queue() {
            scheduler::run(host, queue, Arc::clone(&self.options)).await;
        }
    }
}
