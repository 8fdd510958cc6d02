//! A protocol, as a listener starts it.
//!
//! ```text
//! accept(connection, host) ──► Outcome::Done                  the session is over
//!                          └─► Outcome::HandOver{mailbox, state}
//!                                 descriptor, TLS state and `state` move to the mailbox's core
//!                                                   └─► serve(connection, host, state)
//! ```
//!
//! A protocol without a mailbox of its own (LMTP) does all its work in `accept`, and never hands over:
//! its `State` is [`Infallible`](std::convert::Infallible).

use crate::{Connection, Host, MailboxRef};

/// How the first stage of a session ended.
#[derive(Debug)]
pub enum Outcome<S> {
    /// The session is over; the connection is closed.
    Done,
    /// The client is authenticated and will talk to this mailbox: the session goes on at its core.
    HandOver {
        /// Decides the core.
        mailbox: MailboxRef,
        /// What the second stage needs to know: who the client is, and the bytes that were read from the
        /// connection and not yet consumed (a client may pipeline commands behind its login).
        state: S,
    },
}

/// A protocol on a listener. One value serves all cores, so it holds configuration only.
pub trait Service: Send + Sync + 'static {
    /// What moves between the two stages of a session.
    type State: Send + 'static;

    /// The protocol's name in metrics and logs: `imap`, `pop3`, `lmtp`.
    fn name(&self) -> &'static str;

    /// The first stage, on the core that accepted the connection: greeting, TLS, authentication.
    async fn accept<C: Connection, H: Host>(&self, connection: &mut C, host: &H) -> Outcome<Self::State>;

    /// The second stage, on the core that owns the mailbox.
    async fn serve<C: Connection, H: Host>(&self, connection: &mut C, host: &H, state: Self::State);

    /// Sent before the connection is closed when it can't be served: too many connections. With its CRLF.
    fn busy(&self) -> &'static [u8] {
        b""
    }

    /// Sent before the connection of a client is closed that a DNS block list lists. With its CRLF.
    fn denied(&self) -> &'static [u8] {
        b""
    }
}
