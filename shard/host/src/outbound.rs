//! What the queue's worker may ask of the runtime: the messages of its core, and connections to other servers.
//!
//! ```text
//! Host::enqueue ─► journal, durable ─► MailQueue::arrivals ─► worker ─► Outbound::connect ─► next hop
//!                                                  └ MailQueue::update ◄─┘  (what became of it, and reports)
//! ```

use std::{future::Future, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use ringpost_spool::{Entry, Outgoing, QueueId, Recipient};

use crate::{EnqueueError, Host, Priority};

/// A connection to another server. Dropped, it is closed.
pub trait Peer {
    /// Appends what has arrived (at most 64 KiB) to `buffer`; 0 is the end. `TimedOut` after `timeout`.
    async fn read(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<usize>;

    /// Sends all of `data`. `TimedOut` when the server takes nothing for `timeout`.
    async fn write(&mut self, data: &[u8], timeout: Duration) -> io::Result<()>;

    /// Becomes a TLS client. Bytes read before and not consumed must be discarded by the caller first.
    async fn start_tls(&mut self, server: &str, trust: Trust, timeout: Duration) -> io::Result<()>;

    /// Whether the stream is encrypted.
    fn is_tls(&self) -> bool;
}

/// Which certificates are good enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Those that an authority of the system vouches for, with the server's name in them.
    Verified,
    /// Any.
    Any,
}

/// What became of a message.
#[derive(Clone, Debug, Default)]
pub struct QueueUpdate {
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next, in milliseconds since 1970.
    pub next_ms: u64,
    /// Recipients that changed, by number.
    pub changes: Vec<(u32, Recipient)>,
    /// Nothing is left to do for it.
    pub remove: bool,
    /// Messages that this brings about: reports, and copies for where a recipient forwards to.
    pub messages: Vec<Outgoing>,
}

/// The queued messages of one core. Cheap to clone.
pub trait MailQueue: Clone + 'static {
    /// Waits for messages that came, or that were here at the start. Each is told once.
    async fn arrivals(&self) -> Vec<Entry>;

    /// A message's content.
    async fn content(&self, id: QueueId) -> io::Result<Bytes>;

    /// Notes that recipients are about to get their copies, so many of them on another server: should this one end
    /// now, those may have it, and nobody can ask. Mailboxes can be asked, and are, when the message comes again
    /// ([`Entry::interrupted`]).
    fn sending(&self, id: QueueId, recipients: u32);

    /// Notes what became of a message, all of it or nothing; when this returns, it outlives the process. Messages
    /// that are brought about are durable then.
    async fn update(&self, id: QueueId, update: &QueueUpdate) -> Result<(), EnqueueError>;

    /// Counts for the metrics.
    fn count(&self, what: QueueCount, amount: u64);
}

/// What is counted of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueCount {
    /// Recipients whose copy the next hop, or a mailbox, has.
    Delivered,
    /// Recipients that have to wait for another attempt, each time.
    Deferred,
    /// Recipients that failed for good.
    Bounced,
    /// Reports, of all kinds.
    Reports,
    /// Reports of local failures that were left out, because the same sender had the like a moment ago.
    ReportsSuppressed,
    /// Recipients that may have got a copy although their next hop's last answer was lost: RFC 1047's window.
    Uncertain,
}

/// A runtime with a queue.
pub trait Outbound: Host {
    /// What [`Self::connect`] gives.
    type Peer: Peer;
    /// This core's part of the queue.
    type Queue: MailQueue;

    /// Connects to a server. `TimedOut` after `timeout`.
    async fn connect(&self, address: SocketAddr, timeout: Duration) -> io::Result<Self::Peer>;

    /// The queue; `None` where there is none.
    fn mail_queue(&self) -> Option<Self::Queue>;

    /// Starts something beside, on this core.
    fn spawn(&self, priority: Priority, name: &'static str, task: impl Future<Output = ()> + 'static);

    /// How many cores share the work.
    fn cores(&self) -> usize;
}

/// Something that runs on every core from the start to the stop. One value serves all cores, so it holds
/// configuration only.
pub trait Worker: Send + Sync + 'static {
    /// Runs until the server stops, and then ends what it has begun.
    async fn run<H: Outbound>(&self, host: &H);
}
