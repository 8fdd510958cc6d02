//! Replies as bytes (RFC 5321 §4.2, RFC 2034).

use std::{borrow::Cow, fmt::Write as _};

use ringpost_delivery::Status;

use crate::{Greeting, Options};

/// One reply of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    status: Status,
}

impl Reply {
    pub(crate) fn new(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        Self {
            status: Status { code, enhanced, text },
        }
    }

    /// Whether the client's command had no success.
    pub(crate) fn is_failure(&self) -> bool {
        self.status.code >= 400
    }

    /// Whether the connection is closed behind it (RFC 5321 §3.8).
    pub(crate) fn is_last(&self) -> bool {
        self.status.code == 421
    }

    /// Whether the client should try again later.
    pub(crate) fn is_temporary(&self) -> bool {
        self.status.is_temporary()
    }

    /// Appends the reply's line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.status.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self { status }
    }
}

/// Appends the banner. LMTP and SMTP clients are greeted before it is known which one it is.
pub(crate) fn banner(options: &Options, out: &mut Vec<u8>) {
    let dialect = match options.dialects {
        crate::Dialects::Lmtp => "LMTP",
        crate::Dialects::Smtp => "ESMTP",
        crate::Dialects::Both => "ESMTP/LMTP",
    };
    out.extend_from_slice(format!("220 {} {dialect} ready\r\n", options.host_id).as_bytes());
}

/// Extensions whose offer depends on the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offers {
    pub(crate) starttls: bool,
    pub(crate) auth: bool,
}

/// Appends the answer to a greeting, with the extensions offered. HELO, unlike the others, has one line.
pub(crate) fn hello(options: &Options, greeting: Greeting, offers: Offers, out: &mut Vec<u8>) {
    let mut lines = vec![options.host_id.clone()];
    if greeting != Greeting::Helo {
        let mut offer = |condition: bool, line: &str| {
            if condition {
                lines.push(line.to_owned());
            }
        };
        offer(options.offer_pipelining, "PIPELINING");
        offer(true, &format!("SIZE {}", options.mail_max_length));
        for line in [
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "BINARYMIME",
        ] {
            offer(true, line);
        }
        // Without a queue there is nobody who would report.
        offer(options.delivery.sends_out, "DSN");
        offer(offers.auth, "AUTH PLAIN LOGIN");
        offer(offers.starttls, "STARTTLS");
    }
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let separator = if number + 1 == lines.len() { ' ' } else { '-' };
        // Writing to a String can't fail.
        let _ = write!(text, "250{separator}{line}\r\n");
    }
    out.extend_from_slice(text.as_bytes());
}
