//! What a protocol may ask of the runtime: the only things between a session and the outside.
//!
//! A protocol is an `async fn` over [`Connection`] and [`Host`], so it is a state machine that owns no
//! socket, no clock and no executor: the runtime drives it on a core, a test drives it with bytes in
//! memory. A session has two stages:
//!
//! ```text
//! accepted on any core ─► greet + authenticate ─► Outcome::Continue(state, mailbox)
//!                                                    │  the runtime moves descriptor, TLS state and
//!                                                    ▼  `state` to the core that owns the mailbox
//!                                                 authenticated session on the owner core ─► end
//! ```
//!
//! Work on a mailbox is a closure sent to its owner ([`Host::mailbox`]); what it returns comes back. The
//! closure runs alone on that mailbox; it must be bounded (a slice of a long command), so a long command
//! is several calls.
#![allow(async_fn_in_trait)] // Futures stay on their core: no `Send` bound is wanted.

mod clock;
mod outbound;
mod outgoing;
mod service;

use std::{future::Future, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use ringpost_directory::Directory;
use ringpost_mapi::MailboxGuid;
use ringpost_store::{Event, Mailbox, StoreError};

pub use clock::steady_now_ms;
pub use outbound::{MailQueue, Outbound, Peer, QueueCount, QueueUpdate, Trust, Worker};
pub use outgoing::{
    BodyKind, EnqueueError, Entry, Envelope, EnvelopeRecipient, Notify, Outgoing, QUEUED_RECIPIENTS_MAX,
    QueueId, QueuedRecipient, RecipientState, ReturnContent,
};
pub use service::{Outcome, Service};

/// A byte stream to a client. Reads hold no buffer while they wait; writes wait while the client is slow.
pub trait Connection {
    /// Appends what has arrived (at most 64 KiB) to `buffer`; 0 is the end. `TimedOut` after `timeout`.
    async fn read(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<usize>;

    /// Sends all of `data`. `TimedOut` when the client takes nothing for the listener's write timeout.
    async fn write(&mut self, data: &[u8]) -> io::Result<()>;

    /// Becomes a TLS server on this connection. Bytes read before and not consumed must be discarded by the
    /// caller first (RFC 3207 §4.2, CVE-2011-0411).
    async fn start_tls(&mut self) -> io::Result<()>;

    /// Whether the stream is encrypted, be it from the start or by [`Self::start_tls`].
    fn is_tls(&self) -> bool;

    /// Whether [`Self::start_tls`] can work: a certificate is configured.
    fn can_start_tls(&self) -> bool;

    /// The client's address; the one that PROXY protocol told, where it did.
    fn peer(&self) -> SocketAddr;

    /// The listener's address.
    fn local(&self) -> SocketAddr;
}

/// Which mailbox, and where it is.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct MailboxRef {
    /// Decides the owner core.
    pub guid: MailboxGuid,
    /// The mailbox's folder on disk (`maildir` in the directory).
    pub path: Arc<Path>,
}

/// Which of a core's queues a piece of work joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priority {
    /// A client waits for the answer.
    Interactive,
    /// Mail coming in.
    Delivery,
    /// Nobody waits.
    Background,
}

/// Why work on a mailbox did not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The mailbox can't be opened, or the operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Committed, but the disk did not confirm it: it must not be acknowledged.
    #[error("the change could not be made durable: {0}")]
    NotDurable(Arc<io::Error>),
    /// The server is stopping, or the owner's queue stayed full for too long.
    #[error("the server is busy or stopping")]
    Unavailable,
    /// The operation panicked. The mailbox was closed; nothing of it was committed.
    #[error("internal error")]
    Panicked,
}

/// A client's claim to be somebody.
#[derive(Clone)]
pub struct Credentials {
    /// As the client spelt it; may be `me@x!other@y` (impersonation).
    pub login: String,
    /// The secret. Never logged.
    pub password: String,
    /// Which service: `imap`, `pop3`, `smtp`.
    pub service: &'static str,
    /// Where from, for the log and the user filter.
    pub peer: SocketAddr,
}

/// Who a client turned out to be.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account's primary address.
    pub username: String,
    /// Whose mailbox is used, when not one's own (impersonation); else the same.
    pub effective: String,
    /// That mailbox.
    pub mailbox: MailboxRef,
    /// The account's language, such as `de_DE`.
    pub locale: String,
}

/// Why a login failed. The client is told no more than that it failed; the log has the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Unknown user or wrong password.
    #[error("invalid credentials")]
    Invalid,
    /// The account may not use this service, or is disabled.
    #[error("not permitted: {0}")]
    NotPermitted(&'static str),
    /// Too many failures from here (user_filter).
    #[error("too many attempts")]
    Banned,
    /// The back end can't answer now.
    #[error("temporarily unavailable")]
    Unavailable,
}

/// Changes of mailboxes, as they are committed.
pub trait Subscription {
    /// Waits for the next event. `None` says events were lost (the queue is bounded): look at everything again.
    fn next(&mut self) -> impl Future<Output = Option<Event>>;
    /// An event that is there already.
    fn try_next(&mut self) -> Option<Option<Event>>;
}

/// The runtime, as a session sees it. Cheap to clone.
pub trait Host: Clone + 'static {
    /// What [`Self::subscribe`] gives.
    type Subscription: Subscription;

    /// Runs `work` on the core that owns the mailbox, alone on that mailbox, and returns what it returned.
    async fn mailbox<R, W>(&self, mailbox: &MailboxRef, priority: Priority, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static;

    /// Like [`Self::mailbox`], and returns only when everything the mailbox committed up to then is on disk.
    async fn mailbox_durable<R, W>(
        &self,
        mailbox: &MailboxRef,
        priority: Priority,
        work: W,
    ) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static;

    /// Events of a mailbox from now on.
    async fn subscribe(&self, mailbox: &MailboxRef) -> Result<Self::Subscription, CallError>;

    /// Checks credentials on a helper thread, with the user filter, the cache and the log lines of gromox(7).
    async fn login(&self, credentials: Credentials) -> Result<Login, LoginError>;

    /// The accounts, as of now. Immutable; ask again for newer ones.
    fn directory(&self) -> Arc<dyn Directory>;

    /// Runs `work` on a helper thread: for what can't be sliced (compressing a large message, DNS).
    async fn helper<R, W>(&self, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce() -> R + Send + 'static;

    /// Waits.
    async fn sleep(&self, duration: Duration);

    /// Resolves when the server begins to stop; sessions say goodbye then.
    async fn stopping(&self);

    /// Takes a message over: when this returns, it is on disk, and will be delivered or reported to its
    /// sender. A runtime without a queue takes none.
    async fn enqueue(&self, message: Outgoing) -> Result<QueueId, EnqueueError> {
        let _ = message;
        Err(EnqueueError::NoQueue)
    }

    /// Counts a command of a protocol, and how long the client waited for it. For the metrics; a runtime
    /// that has none ignores it.
    fn command_done(&self, service: &'static str, took: Duration) {
        let _ = (service, took);
    }
}
