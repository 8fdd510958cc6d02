//! The per-core runtime: the only part of ringpost that knows its executor.
//!
//! ```text
//! Runtime (control)   start, signals, reload, stop: plain threads, by message to each core
//!   │
//!   ├─ Shard 0 ──┐    one executor a core, pinned
//!   ├─ Shard 1 ──┤ router: one bounded queue for each ordered pair of cores
//!   └─ Shard n ──┘
//!        ├ listeners (SO_REUSEPORT)  ─► session: first stage ─► hand-over ─► second stage
//!        ├ mailboxes: one job at a time each, on coroutines ([`ringpost_vfs`])
//!        ├ durability: shared fdatasync of WALs
//!        ├ events: changes to sessions on any core
//!        └ helper threads
//! ```
//!
//! Follow a request: `session` (accept, TLS, limits) → `host` ([`ShardHost`], what sessions call) → `router`
//! (to the owner core) → `mailboxes` (order, open, close) → `operation` (coroutine and io_uring) →
//! `durability` → back. No lock is shared between cores on that way; a core's state is cells of its own.

mod admin;
mod blocklist;
mod config;
mod connection;
mod durability;
mod events;
mod helpers;
mod host;
mod limits;
pub mod logging;
mod logins;
mod mailboxes;
mod metrics;
mod operation;
mod peer;
mod program;
pub mod proxy;
mod queue;
mod router;
mod runtime;
mod seldom;
mod session;
mod shard;
pub mod signals;
mod spare;
mod sys;
#[cfg(test)]
mod testing;
mod tls;
mod unproven;
mod waiters;
mod watch;

pub use config::{Accounts, ListenerConfig, LoginStep, QueueConfig, RuntimeConfig, Security, SessionClass};
pub use connection::ShardConnection;
pub use events::ShardSubscription;
pub use host::ShardHost;
pub use peer::ShardPeer;
pub use program::read_program_ahead;
pub use queue::ShardQueue;
pub use runtime::{Runtime, StartError};
pub use shard::shard_of;
pub use sys::use_small_pages;
pub use tls::{CertificateFiles, TlsError, TlsMaterial, TlsSettings, TlsVersion};
