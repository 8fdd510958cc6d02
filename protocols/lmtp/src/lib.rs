//! Mail in by LMTP (RFC 2033) and, on the same port, by SMTP (RFC 5321).
//!
//! ```text
//! bytes ─► line::next_line ─► command::parse ─► Session (state, replies)
//!                                                 │ RCPT ─► ringpost_delivery::resolve
//!       ─► data::Decoder (after DATA) ───────────► └ end of data ─► ringpost_delivery::deliver ─► replies
//! ```
//!
//! Extensions: SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), PIPELINING (RFC 2920),
//! ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207). BDAT is not offered.
//!
//! **LMTP** gives a reply for each recipient after the data; a positive one means that the message is
//! durable in every mailbox behind that recipient. **SMTP** has one reply for all. Until there is a queue it
//! comes after the delivery and is positive only when nobody failed; a temporary failure of one makes the
//! client try again for all, so a recipient may get the message twice, but none loses it.
//!
//! **Line ends.** Command lines and the end of data are recognised with CRLF only, so no other reading of a
//! bare LF or CR can move the border between a message and the next command ("SMTP smuggling"). A command
//! line that ends with a bare LF is answered with 500 and not executed. In a message a bare LF is stored as
//! CRLF and a bare CR as a space, so what is stored reads the same to every later program; a dot is removed
//! only behind a CRLF.

mod command;
mod data;
mod line;
mod reply;
mod session;

use std::{convert::Infallible, time::Duration};

use ringpost_config::{Configuration, directive::smtp};
use ringpost_host::{Connection, Host, Outcome, Service};

pub use command::{Command, Greeting, MailParameters, SyntaxError, parse};
pub use data::{Decoder, Progress};
pub use line::{Line, next_line};

/// Longest command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512, SMTPUTF8 and parameters for more.
pub const COMMAND_LINE_MAX: usize = 4096;
/// Longest path (RFC 5321 §4.5.3.1.3), with room for UTF-8.
pub const PATH_MAX: usize = 512;
/// Most recipients of a message; RFC 5321 §4.5.3.1.8 asks for at least 100.
pub const RECIPIENTS_MAX: usize = 2000;
/// Commands in a row that got a negative reply before the connection is closed.
pub const FAILURES_MAX: usize = 100;
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

/// Options of delivery-queue(8gx).
#[derive(Clone, Debug)]
pub struct Options {
    /// `command_protocol`
    pub dialects: Dialects,
    /// `host_id`
    pub host_id: String,
    /// `mail_max_length`, in bytes.
    pub mail_max_length: u64,
    /// `smtp_conn_timeout`: how long a client may send nothing.
    pub timeout: Duration,
    /// `smtp_force_starttls`
    pub force_tls: bool,
    /// `smtp_support_pipeline`: whether PIPELINING is offered. Commands sent ahead work all the same.
    pub offer_pipelining: bool,
    /// `smtp_support_starttls`
    pub offer_starttls: bool,
    /// How messages are delivered.
    pub delivery: ringpost_delivery::Options,
}

impl Default for Options {
    /// The manual's defaults.
    fn default() -> Self {
        Self {
            dialects: Dialects::Both,
            host_id: "localhost".to_owned(),
            mail_max_length: 64 << 20,
            timeout: Duration::from_mins(3),
            force_tls: false,
            offer_pipelining: true,
            offer_starttls: false,
            delivery: ringpost_delivery::Options::default(),
        }
    }
}

impl Options {
    /// The options in effect.
    pub fn of(configuration: &Configuration) -> Self {
        Self {
            dialects: match configuration.text(smtp::COMMAND_PROTOCOL) {
                "lmtp" => Dialects::Lmtp,
                "smtp" => Dialects::Smtp,
                _ => Dialects::Both,
            },
            host_id: configuration.text(smtp::HOST_ID).to_owned(),
            mail_max_length: configuration.size(smtp::MAIL_MAX_LENGTH) as u64,
            timeout: configuration.duration(smtp::SMTP_CONN_TIMEOUT),
            force_tls: configuration.boolean(smtp::SMTP_FORCE_STARTTLS),
            offer_pipelining: configuration.boolean(smtp::SMTP_SUPPORT_PIPELINE),
            offer_starttls: configuration.boolean(smtp::SMTP_SUPPORT_STARTTLS),
            delivery: ringpost_delivery::Options::of(configuration),
        }
    }
}

/// LMTP and SMTP in, for `lda_listen` and `lda_listen_tls`.
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
        "lmtp"
    }

    async fn accept<C: Connection, H: Host>(&self, connection: &mut C, host: &H) -> Outcome<Infallible> {
        session::run(&self.options, connection, host).await;
        Outcome::Done
    }

    async fn serve<C: Connection, H: Host>(&self, _: &mut C, _: &H, state: Infallible) {
        match state {}
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
