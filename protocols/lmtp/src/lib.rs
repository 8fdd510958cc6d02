//! Mail in: LMTP (RFC 2033) and, on the same port, SMTP (RFC 5321); and submission (RFC 6409) on ports of its own.
//!
//! ```text
//! bytes ─► line::next_line ─► command::parse ─► Session (state, replies) ─► login (AUTH, submission only)
//!                                                 │ RCPT ─► ringpost_delivery::resolve
//!       ─► data::Decoder (after DATA)             │
//!       ─► chunk::ChunkDecoder (after BDAT) ─────► └ end of data ─► submission::check, binary::to_lines
//!                                                        ─► ringpost_delivery::deliver, Host::enqueue ─► replies
//! ```
//!
//! Extensions: SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), PIPELINING (RFC 2920), CHUNKING and
//! BINARYMIME (RFC 3030), DSN (RFC 3461), ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207), AUTH (RFC 4954).
//!
//! **LMTP** gives a reply for each recipient after the data; a positive one means that the message is
//! durable in every mailbox behind that recipient. **SMTP** has one reply for all; a positive one means that the
//! message is durable in the mailboxes or in the queue (`transaction.rs`). Nobody is refused after a positive
//! reply to RCPT but for what only the message shows, so this server has next to no failures to report to
//! addresses that spam has forged.
//!
//! **Who may send where.** Addresses of this server's domains take mail from everybody, addresses elsewhere only
//! from who has logged in (submission) or is listed in `relay_from`; all else is refused with 550 5.7.1.
//!
//! **Line ends.** Command lines and the end of data are recognised with CRLF only, so no other reading of a
//! bare LF or CR can move the border between a message and the next command ("SMTP smuggling"). A command
//! line that ends with a bare LF is answered with 500 and not executed. In a message a bare LF is stored as
//! CRLF and a bare CR as a space, so what is stored reads the same to every later program; a dot is removed
//! only behind a CRLF.

mod binary;
mod chunk;
mod command;
mod data;
mod line;
mod login;
mod pace;
mod parameters;
mod path;
mod reply;
mod session;
mod submission;
mod transaction;

use std::{convert::Infallible, time::Duration};

use ringpost_config::{
    Configuration, Network,
    directive::{ringpost, smtp},
};
use ringpost_host::{Connection, Host, Outcome, Service};

pub use chunk::ChunkDecoder;
pub use command::{Chunk, Command, Greeting, SyntaxError, parse};
pub use data::{Decoder, Progress};
pub use line::{Line, next_line};
pub use pace::{LEAST_RATE, MESSAGE_TIME};
pub use parameters::{ENVELOPE_ID_MAX, MailParameters, ORIGINAL_RECIPIENT_MAX, RcptParameters};

/// Longest command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512, SMTPUTF8 and parameters for more.
pub const COMMAND_LINE_MAX: usize = 4096;
/// Longest path (RFC 5321 §4.5.3.1.3), with room for UTF-8.
pub const PATH_MAX: usize = 512;
/// Most recipients of a message; RFC 5321 §4.5.3.1.8 asks for at least 100.
pub const RECIPIENTS_MAX: usize = 2000;
/// Commands in a row that got a negative reply before the connection is closed.
pub const FAILURES_MAX: usize = 100;
/// Commands that a client of submission may give without having logged in.
pub const COMMANDS_BEFORE_LOGIN_MAX: usize = 50;
/// Replies collected before they are sent although the client has pipelined more commands.
pub(crate) const REPLIES_BUFFERED_MAX: usize = 16 * 1024;

/// Which dialects are accepted (`command_protocol`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialects {
    /// LHLO only.
    Lmtp,
    /// EHLO and HELO only.
    Smtp,
    /// Any.
    #[default]
    Both,
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// Mail from other servers, for mailboxes here.
    #[default]
    Transfer,
    /// Mail from users, for anybody (RFC 6409).
    Submission,
}

impl Role {
    /// The service's name.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Transfer => "lmtp",
            Self::Submission => "submission",
        }
    }
}

/// Options of delivery-queue(8gx), and of submission.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the port is for.
    pub role: Role,
    /// `command_protocol`
    pub dialects: Dialects,
    /// `host_id`
    pub host_id: String,
    /// `mail_max_length`, in bytes.
    pub mail_max_length: u64,
    /// `smtp_conn_timeout`: how long a client may send nothing.
    pub timeout: Duration,
    /// How long a message may take to arrive, besides a second for each [`LEAST_RATE`] bytes.
    pub message_time: Duration,
    /// `smtp_force_starttls`
    pub force_tls: bool,
    /// `smtp_support_pipeline`: whether PIPELINING is offered. Commands sent ahead work all the same.
    pub offer_pipelining: bool,
    /// `smtp_support_starttls`
    pub offer_starttls: bool,
    /// `relay_from`: clients that may send to anywhere without a login.
    pub relay_from: Vec<Network>,
    /// `submission_auth_times`: failed logins before the connection is closed. Blocking the user is the user
    /// filter's matter.
    pub auth_times: u32,
    /// How messages are delivered.
    pub delivery: ringpost_delivery::Options,
}

impl Default for Options {
    /// The manual's defaults.
    fn default() -> Self {
        Self {
            role: Role::Transfer,
            dialects: Dialects::Both,
            host_id: "localhost".to_owned(),
            mail_max_length: 64 << 20,
            timeout: Duration::from_mins(3),
            message_time: MESSAGE_TIME,
            force_tls: false,
            offer_pipelining: true,
            offer_starttls: false,
            relay_from: Vec::new(),
            auth_times: 10,
            delivery: ringpost_delivery::Options::default(),
        }
    }
}

impl Options {
    /// The options in effect for mail from other servers.
    pub fn of(configuration: &Configuration) -> Self {
        Self {
            role: Role::Transfer,
            dialects: match configuration.text(smtp::COMMAND_PROTOCOL) {
                "lmtp" => Dialects::Lmtp,
                "smtp" => Dialects::Smtp,
                _ => Dialects::Both,
            },
            host_id: configuration.text(smtp::HOST_ID).to_owned(),
            mail_max_length: configuration.size(smtp::MAIL_MAX_LENGTH) as u64,
            timeout: configuration.duration(smtp::SMTP_CONN_TIMEOUT),
            message_time: MESSAGE_TIME,
            force_tls: configuration.boolean(smtp::SMTP_FORCE_STARTTLS),
            offer_pipelining: configuration.boolean(smtp::SMTP_SUPPORT_PIPELINE),
            offer_starttls: configuration.boolean(smtp::SMTP_SUPPORT_STARTTLS),
            relay_from: configuration.networks(ringpost::RELAY_FROM).to_vec(),
            auth_times: u32::try_from(configuration.quantity(ringpost::SUBMISSION_AUTH_TIMES))
                .unwrap_or(u32::MAX),
            delivery: ringpost_delivery::Options::of(configuration),
        }
    }

    /// The options in effect for submission. TLS is offered wherever there is a certificate, and needed for a
    /// login from another machine.
    pub fn submission(configuration: &Configuration) -> Self {
        Self {
            role: Role::Submission,
            dialects: Dialects::Smtp,
            offer_starttls: true,
            force_tls: false,
            relay_from: Vec::new(),
            ..Self::of(configuration)
        }
    }
}

/// LMTP and SMTP in, for `lda_listen` and `lda_listen_tls`; or submission, for `submission_listen` and
/// `submission_listen_tls`.
#[derive(Clone, Debug)]
pub struct Lmtp {
    options: Options,
}

impl Lmtp {
    /// The service with these options.
    pub const fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Service for Lmtp {
    type State = Infallible;

    fn name(&self) -> &'static str {
        self.options.role.service()
    }

    async fn accept<C: Connection, H: Host>(&self, connection: &mut C, host: &H) -> Outcome<Infallible> {
        session::run(&self.options, connection, host).await;
        Outcome::Done
    }

    async fn serve<C: Connection, H: Host>(&self, _: &mut C, _: &H, state: Infallible) {
        match state {}
    }

    fn denied(&self) -> &'static [u8] {
        b"554 5.7.1 access denied: your address is on a block list\r\n"
    }

    fn busy(&self) -> &'static [u8] {
        b"421 4.3.2 too many connections, try again later\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_from_the_configuration() {
        let (configuration, _) = Configuration::from_text(
            "command_protocol=lmtp\nmail_max_length=1M\nsmtp_conn_timeout=5s\nsmtp_support_pipeline=no",
        );
        let options = Options::of(&configuration);
        assert_eq!(
            (options.dialects, options.mail_max_length),
            (Dialects::Lmtp, 1 << 20)
        );
        assert_eq!(
            (options.timeout, options.offer_pipelining),
            (Duration::from_secs(5), false)
        );
        let (options, manual) = (Options::of(&Configuration::defaults("h")), Options::default());
        assert_eq!(
            (options.dialects, options.mail_max_length),
            (manual.dialects, manual.mail_max_length)
        );
        assert_eq!(
            (options.timeout, options.offer_starttls),
            (manual.timeout, manual.offer_starttls)
        );
        assert_eq!(
            (options.force_tls, options.offer_pipelining),
            (manual.force_tls, manual.offer_pipelining)
        );
    }
}
