//! POP3 (RFC 1939) with CAPA and response codes (RFC 2449, RFC 3206), STLS (RFC 2595), SASL PLAIN with an
//! initial response (RFC 5034) and UTF8 (RFC 6856).
//!
//! ```text
//! authorization::run  greeting, TLS, USER/PASS or AUTH   on the core that accepted the connection
//!        │ Outcome::HandOver { mailbox, State }
//!        ▼
//! transaction::run    maildrop snapshot, LIST, RETR …    on the core that owns the mailbox
//! ```
//!
//! The maildrop is the inbox as it was at login: its UIDs as ranges, so a hundred thousand messages cost a few
//! bytes. It is not locked: IMAP or another POP3 session may remove a message meanwhile, which is then
//! answered with `-ERR`; DELE takes effect at QUIT, is durable before its `+OK`, and does not mind a message
//! that has gone already.
//!
//! A RETR costs one call to the mailbox for each 256 KiB. The source is read to behind the status line in
//! the output buffer and written from there: where no line begins with a dot and every line end is CRLF,
//! which one pass without a branch finds out, it is not copied again. Memory is bounded by that slice. Replies to
//! pipelined commands share a write.
//!
//! While a client that takes one message after the other has its turn, the next one is read (`ahead.rs`); the disk is
//! asked for those behind it long before.
//!
//! A client that did not issue UTF8 gets ASCII headers: see [`Downgrade`]. Sizes are those of the message as it
//! is stored, for all clients.

mod ahead;
mod authorization;
mod command;
mod downgrade;
mod maildrop;
mod reply;
mod stuffing;
mod transaction;
mod transport;

use std::time::Duration;

use ringpost_config::{Configuration, directive::pop3};
use ringpost_host::{Connection, Host, Login, Outcome, Service};

pub use command::{Command, SyntaxError, parse, parse_plain};
pub use downgrade::{Downgrade, FIELD_MAX};
pub use stuffing::Stuffer;

/// Longest command line with its CRLF. RFC 2449 §4 asks for 255; a SASL initial response may be longer
/// (RFC 5034 §4).
pub const LINE_MAX: usize = 4096;
/// Bytes of a message read from the store, and sent, at a time.
pub const SLICE_BYTES: u64 = 256 * 1024;
/// A message larger than this is not read ahead; those that are for a client that pipelines come in pieces of this.
pub const AHEAD_BYTES: u64 = 64 * 1024;
/// What is read ahead while a client has its turn: one message of usual size, some small ones. Not more, since a client
/// that is quick waits for it.
pub const AHEAD_PIECE: u64 = 16 * 1024;
/// With less than this at hand the next piece is read.
pub const AHEAD_LOW: u64 = 16 * 1024;
/// Messages that are looked up together, once less than half as many are left of the last ones.
pub const AHEAD_MESSAGES: usize = 64;
/// How long messages that were read ahead are kept for a client that does not ask for them.
pub const AHEAD_PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
/// Messages looked at in one call to the mailbox, for LIST.
pub const ROWS_PER_CALL: usize = 1000;
/// Messages deleted in one call to the mailbox, for QUIT.
pub const DELETIONS_PER_CALL: usize = 200;
/// Replies collected before they are sent although the client has pipelined more commands.
pub const REPLIES_BUFFERED_MAX: usize = 64 * 1024;
/// Commands in a row that failed before the connection is closed.
pub const FAILURES_MAX: usize = 100;
/// Commands before a login. A client needs some ten; more are a flood.
pub const COMMANDS_BEFORE_LOGIN_MAX: usize = 100;

/// Options of pop3(8gx).
#[derive(Clone, Debug)]
pub struct Options {
    /// `host_id`
    pub host_id: String,
    /// `enable_capa_implementation`
    pub announce_implementation: bool,
    /// `pop3_auth_times`: failed logins before the connection is closed. Blocking the user is the user
    /// filter's matter.
    pub auth_times: u32,
    /// `pop3_cmd_debug`: 1 logs commands that failed, 2 all.
    pub command_debug: u8,
    /// `pop3_conn_timeout`: how long a client may send nothing.
    pub timeout: Duration,
    /// `pop3_force_tls`
    pub force_tls: bool,
    /// `pop3_support_tls`
    pub offer_stls: bool,
}

impl Default for Options {
    /// The manual's defaults.
    fn default() -> Self {
        Self {
            host_id: "localhost".to_owned(),
            announce_implementation: false,
            auth_times: 3,
            command_debug: 0,
            timeout: Duration::from_mins(3),
            force_tls: false,
            offer_stls: false,
        }
    }
}

impl Options {
    /// The options in effect.
    pub fn of(configuration: &Configuration) -> Self {
        Self {
            host_id: configuration.text(pop3::HOST_ID).to_owned(),
            announce_implementation: configuration.boolean(pop3::ENABLE_CAPA_IMPLEMENTATION),
            auth_times: configuration.size(pop3::POP3_AUTH_TIMES) as u32,
            command_debug: configuration.size(pop3::POP3_CMD_DEBUG) as u8,
            timeout: configuration.duration(pop3::POP3_CONN_TIMEOUT),
            force_tls: configuration.boolean(pop3::POP3_FORCE_TLS),
            offer_stls: configuration.boolean(pop3::POP3_SUPPORT_TLS),
        }
    }
}

/// POP3, for `pop3_listen` and `pop3_listen_tls`.
#[derive(Clone, Debug)]
pub struct Pop3 {
    options: Options,
}

impl Pop3 {
    /// The service with these options.
    pub const fn new(options: Options) -> Self {
        Self { options }
    }
}

/// An authenticated session on its way to the mailbox's core.
#[derive(Clone, Debug)]
pub struct State {
    /// Who it is.
    pub login: Login,
    /// Bytes that came behind the login already.
    pub input: Vec<u8>,
    /// Whether the client issued UTF8.
    pub utf8: bool,
}

impl Service for Pop3 {
    type State = State;

    fn name(&self) -> &'static str {
        "pop3"
    }

    async fn accept<C: Connection, H: Host>(&self, connection: &mut C, host: &H) -> Outcome<State> {
        authorization::run(&self.options, connection, host).await
    }

    async fn serve<C: Connection, H: Host>(&self, connection: &mut C, host: &H, state: State) {
        transaction::run(&self.options, connection, host, state).await;
    }

    fn denied(&self) -> &'static [u8] {
        b"-ERR [SYS/PERM] access denied: your address is on a block list\r\n"
    }

    fn busy(&self) -> &'static [u8] {
        b"-ERR [SYS/TEMP] too many connections, try again later\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_from_the_configuration() {
        let (configuration, _) = Configuration::from_text(
            "pop3_auth_times=7\npop3_force_tls=on\npop3_cmd_debug=2\npop3_conn_timeout=9s",
        );
        let options = Options::of(&configuration);
        assert_eq!(
            (options.auth_times, options.force_tls, options.command_debug),
            (7, true, 2)
        );
        assert_eq!(options.timeout, Duration::from_secs(9));
        let (options, manual) = (Options::of(&Configuration::defaults("h")), Options::default());
        assert_eq!(
            (options.auth_times, options.timeout),
            (manual.auth_times, manual.timeout)
        );
        assert_eq!(
            (options.offer_stls, options.announce_implementation),
            (manual.offer_stls, false)
        );
        assert_eq!(options.host_id, "h");
    }
}
