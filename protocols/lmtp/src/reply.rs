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

/// Appends the answer to a greeting, with the extensions offered. HELO, unlike the others, has one line.
pub(crate) fn hello(options: &Options, greeting: Greeting, starttls: bool, out: &mut Vec<u8>) {
    let mut lines = vec![options.host_id.clone()];
    if greeting != Greeting::Helo {
        if options.offer_pipelining {
            lines.push("PIPELINING".to_owned());
        }
        lines.push(format!("SIZE {}", options.mail_max_length));
        lines.extend(["8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"].map(str::to_owned));
        if starttls {
            lines.push("STARTTLS".to_owned());
        }
    }
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let separator = if number + 1 == lines.len() { ' ' } else { '-' };
        // Writing to a String can't fail.
        let _ = write!(text, "250{separator}{line}\r\n");
    }
    out.extend_from_slice(text.as_bytes());
}
