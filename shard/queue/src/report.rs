//! Reports of delivery (RFC 3464, RFC 3461 §6, RFC 6533 where an address is not ASCII).
//!
//! A report's reverse-path is null and its recipients want no report, so no report is ever about a report.

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use ringpost_convert::header::{HeaderWriter, decode_text, format_date};
use ringpost_host::{BodyKind, Entry, Envelope, EnvelopeRecipient, Notify, Outgoing, QueueId, ReturnContent};
use ringpost_mapi::FileTime;

use crate::{
    content,
    reply::Status,
    template::{Template, Values},
};

/// A message up to this size is given back whole where its sender did not say.
const RETURN_UNASKED_MAX: usize = 64 * 1024;
/// A message up to this size is given back whole at all.
const RETURN_MAX: usize = 1024 * 1024;
/// Octets of a header that are given back.
const HEADER_MAX: usize = 32 * 1024;

/// What is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nobody tries any more.
    Failed,
    /// It takes long, and goes on.
    Delayed,
    /// It is in its mailbox.
    Delivered,
    /// It went on to a server that does not report.
    Relayed,
    /// It went to those that a list or a forward stands for.
    Expanded,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::Failed => "Undelivered Mail Returned to Sender",
            Self::Delayed => "Delayed Mail (still being retried)",
            Self::Delivered | Self::Relayed | Self::Expanded => "Successful Mail Delivery Report",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Failed => {
                "Your message could not be delivered to the recipients below. It is\r\nnot tried any more."
            }
            Self::Delayed => {
                "Your message could not be delivered to the recipients below so far.\r\nYou need not send it \
                 again: it is tried further."
            }
            Self::Delivered => "Your message was delivered to the recipients below.",
            Self::Relayed => {
                "Your message was passed on for the recipients below, to a server that\r\nsends no further report."
            }
            Self::Expanded => "Your message was passed on to those whom the addresses below stand for.",
        }
    }
}

/// Who reports.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// `host_id`
    pub host_name: String,
    /// `bounce_postmaster`
    pub postmaster: String,
}

/// A recipient in a report.
#[derive(Clone, Debug)]
pub struct Reported<'a> {
    /// As RCPT said it.
    pub recipient: &'a EnvelopeRecipient,
    /// What was said of it.
    pub status: Status,
    /// Who said it, where that was another server.
    pub remote: Option<&'a str>,
}

/// The message that a report is about.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Its name in this server.
    pub id: QueueId,
    /// Its envelope; with a null reverse-path there is no report.
    pub envelope: &'a Envelope,
    /// When it came, in milliseconds since 1970.
    pub queued_ms: u64,
    /// Until when it is tried, in milliseconds since 1970; for delays.
    pub until_ms: u64,
    /// Its content.
    pub content: &'a [u8],
}

impl<'a> Subject<'a> {
    /// A message of the queue.
    pub fn of(entry: &'a Entry, until_ms: u64, content: &'a [u8]) -> Self {
        Self {
            id: entry.id,
            envelope: &entry.envelope,
            queued_ms: entry.queued_ms,
            until_ms,
            content,
        }
    }
}

/// The report that some recipients of a message have in common; `None` for a message with a null reverse-path.
pub fn report(
    reporter: &Reporter,
    action: Action,
    subject: &Subject<'_>,
    recipients: &[Reported<'_>],
    now: FileTime,
    template: Option<&Template>,
) -> Option<Outgoing> {
    let sender = clean(&subject.envelope.sender);
    if sender.is_empty() || recipients.is_empty() {
        return None;
    }
    let header = bounded(content::header(subject.content));
    let whole = action == Action::Failed
        && match subject.envelope.return_content {
            Some(ReturnContent::Headers) => false,
            Some(ReturnContent::Full) => subject.content.len() <= RETURN_MAX,
            None => subject.content.len() <= RETURN_UNASKED_MAX,
        };
    let returned = if whole { subject.content } else { header };
    let time = |ms: u64| format_date(FileTime::from_unix_seconds((ms / 1000) as i64));
    let (title, explanation) = match template {
        Some(template) => template.fill(&Values {
            recipients: recipients
                .iter()
                .map(|reported| reported.recipient.address.as_str())
                .collect(),
            from: &sender,
            time: time(subject.queued_ms),
            subject: field(header, "subject"),
            length: subject.content.len(),
            postmaster: &reporter.postmaster,
        }),
        None => (action.subject().to_owned(), action.explanation().to_owned()),
    };
    let addresses_ascii = sender.is_ascii()
        && recipients
            .iter()
            .all(|reported| reported.recipient.address.is_ascii() && reported.status.text.is_ascii());
    // RFC 6533 §3 and §4 for what the older types can't say.
    let global = !addresses_ascii || !explanation.is_ascii() || (subject.envelope.utf8 && !header.is_ascii());
    let (status_type, returned_type) = match (global, whole) {
        (false, true) => ("message/delivery-status", "message/rfc822"),
        (false, false) => ("message/delivery-status", "text/rfc822-headers"),
        (true, true) => ("message/global-delivery-status", "message/global"),
        (true, false) => ("message/global-delivery-status", "message/global-headers"),
    };
    let boundary = boundary(subject, returned, now);
    let mut text = String::with_capacity(2048 + returned.len());
    let host = clean(&reporter.host_name);
    // Writing to a String can't fail.
    let out = &mut text;
    let _ = write!(
        out,
        "From: Mail Delivery System <{postmaster}>\r\nTo: <{sender}>\r\n{subject}Date: {date}\r\n\
         Message-ID: <{number:x}.{id}.{action}@{host}>\r\nAuto-Submitted: auto-replied\r\n",
        postmaster = clean(&reporter.postmaster),
        subject = subject_field(&title),
        date = format_date(now),
        number = now.0,
        id = subject.id,
        action = action.word(),
    );
    if let Some(original) = message_id(header) {
        let _ = write!(out, "References: {original}\r\n");
    }
    let _ = write!(
        out,
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type={kind};\r\n\tboundary=\"{boundary}\"\r\n",
        kind = if global {
            "global-delivery-status"
        } else {
            "delivery-status"
        },
    );
    if global || !returned.is_ascii() {
        out.push_str("Content-Transfer-Encoding: 8bit\r\n");
    }
    let charset = if global {
        "utf-8\r\nContent-Transfer-Encoding: 8bit"
    } else {
        "us-ascii"
    };
    let _ = write!(
        out,
        "\r\nThis is a report of delivery in MIME format.\r\n\r\n--{boundary}\r\n\
         Content-Type: text/plain; charset={charset}\r\nContent-Description: Notification\r\n\r\n\
         This is the mail system at host {host}.\r\n\r\n{explanation}\r\n\r\n"
    );
    for reported in recipients {
        let who = clean(&reported.recipient.address);
        match reported.remote {
            Some(remote) => {
                let _ = write!(
                    out,
                    "<{who}>: host {} said: {}\r\n",
                    clean(remote),
                    line(&reported.status)
                );
            }
            None => {
                let _ = write!(out, "<{who}>: {}\r\n", line(&reported.status));
            }
        }
    }
    let _ = write!(
        out,
        "\r\nFor help, write to <{}>.\r\n\r\n--{boundary}\r\nContent-Type: {status_type}\r\n\
         Content-Description: Delivery report\r\n",
        clean(&reporter.postmaster)
    );
    if global {
        out.push_str("Content-Transfer-Encoding: 8bit\r\n");
    }
    let _ = write!(out, "\r\nReporting-MTA: dns; {host}\r\n");
    if let Some(id) = &subject.envelope.envelope_id {
        let _ = write!(out, "Original-Envelope-Id: {}\r\n", clean(id));
    }
    let _ = write!(out, "Arrival-Date: {}\r\n", time(subject.queued_ms));
    for reported in recipients {
        status_fields(action, subject, reported, global, &time, out);
    }
    let _ = write!(
        out,
        "\r\n--{boundary}\r\nContent-Type: {returned_type}\r\nContent-Description: {}\r\n",
        if whole {
            "Undelivered message"
        } else {
            "Message header"
        }
    );
    if !returned.is_ascii() {
        out.push_str("Content-Transfer-Encoding: 8bit\r\n");
    }
    out.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&content::in_lines(returned));
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let eight_bit = !bytes.is_ascii();
    Some(Outgoing {
        envelope: Envelope {
            sender: String::new(),
            body: if eight_bit {
                BodyKind::EightBit
            } else {
                BodyKind::SevenBit
            },
            utf8: global,
            ..Envelope::default()
        },
        recipients: vec![EnvelopeRecipient {
            address: subject.envelope.sender.clone(),
            notify: Notify::Never,
            original: None,
        }],
        content: Bytes::from(bytes),
    })
}

/// One recipient's fields (RFC 3464 §2.3).
fn status_fields(
    action: Action,
    subject: &Subject<'_>,
    reported: &Reported<'_>,
    global: bool,
    time: &impl Fn(u64) -> String,
    out: &mut String,
) {
    let recipient = reported.recipient;
    out.push_str("\r\n");
    if let Some(original) = &recipient.original {
        let _ = write!(out, "Original-Recipient: {}\r\n", clean(original));
    }
    let kind = if global && !recipient.address.is_ascii() {
        "utf-8"
    } else {
        "rfc822"
    };
    let _ = write!(
        out,
        "Final-Recipient: {kind}; {}\r\nAction: {}\r\nStatus: {}\r\n",
        clean(&recipient.address),
        action.word(),
        clean(&reported.status.enhanced)
    );
    if let Some(remote) = reported.remote {
        let _ = write!(out, "Remote-MTA: dns; {}\r\n", clean(remote));
    }
    let diagnostic = if reported.status.remote {
        "smtp"
    } else {
        "x-ringpost"
    };
    let _ = write!(
        out,
        "Diagnostic-Code: {diagnostic}; {}\r\n",
        line(&reported.status)
    );
    if action == Action::Delayed {
        let _ = write!(out, "Will-Retry-Until: {}\r\n", time(subject.until_ms));
    }
}

/// A status as one line that fits.
fn line(status: &Status) -> String {
    clean(&status.to_string()).into_owned()
}

/// Without anything that could begin another field.
fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.replace(char::is_control, " ").into()
    } else {
        Cow::Borrowed(text)
    }
}

/// At most [`HEADER_MAX`] octets, whole lines.
fn bounded(header: &[u8]) -> &[u8] {
    if header.len() <= HEADER_MAX {
        return header;
    }
    let end = memchr::memrchr(b'\n', &header[..HEADER_MAX]).map_or(0, |end| end + 1);
    &header[..end]
}

/// A subject as a field of its own, encoded where it must be.
fn subject_field(title: &str) -> String {
    let mut field = HeaderWriter::default();
    field.text("Subject", title);
    field.as_str().to_owned()
}

/// A field of the message as text.
fn field(header: &[u8], name: &str) -> String {
    let mut lines = header.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let begins = |line: &&[u8]| {
        line.len() > name.len()
            && line[name.len()] == b':'
            && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    };
    lines
        .find(begins)
        .map_or_else(String::new, |line| decode_text(&line[name.len() + 1..]))
}

/// The message's own identifier, where it has a sound one.
pub(crate) fn message_id(header: &[u8]) -> Option<&str> {
    let line = header
        .split(|byte| *byte == b'\n')
        .find(|line| line.len() > 11 && line[..11].eq_ignore_ascii_case(b"message-id:"))?;
    let id = std::str::from_utf8(line[11..].trim_ascii()).ok()?;
    let sound = id.len() <= 512
        && id.starts_with('<')
        && id.ends_with('>')
        && id.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    sound.then_some(id)
}

/// A boundary that does not stand in what is given back.
fn boundary(subject: &Subject<'_>, returned: &[u8], now: FileTime) -> String {
    let finder = |boundary: &str| memchr::memmem::find(returned, boundary.as_bytes()).is_some();
    let mut boundary = format!("=_{}_{:x}", subject.id, now.0);
    while finder(&boundary) {
        boundary.push('_');
    }
    boundary
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter() -> Reporter {
        Reporter {
            host_name: "mx.example.test".into(),
            postmaster: "postmaster@example.test".into(),
        }
    }

    fn envelope(sender: &str) -> Envelope {
        Envelope {
            sender: sender.into(),
            envelope_id: Some("E\r\nX: y".into()),
            ..Envelope::default()
        }
    }

    fn make(
        envelope: &Envelope,
        recipient: &EnvelopeRecipient,
        content: &[u8],
        action: Action,
    ) -> Option<Outgoing> {
        let subject = Subject {
            id: QueueId(0xabc),
            envelope,
            queued_ms: 1_700_000_000_000,
            until_ms: 1_700_000_600_000,
            content,
        };
        let reported = Reported {
            recipient,
            status: Status::own(550, "5.1.1", "no\r\nsuch user"),
            remote: Some("mx.example.net"),
        };
        report(
            &reporter(),
            action,
            &subject,
            &[reported],
            FileTime::from_unix_seconds(1_700_000_001),
            None,
        )
    }

    #[test]
    fn a_failure_says_who_what_and_why() {
        let recipient = EnvelopeRecipient {
            address: "b@example.net".into(),
            notify: Notify::Default,
            original: Some("rfc822;bob@example.net".into()),
        };
        let content = b"Message-ID: <1@x>\r\nSubject: s\r\n\r\nbody\r\n";
        let report = make(&envelope("a@example.test"), &recipient, content, Action::Failed).unwrap();
        assert_eq!(report.envelope.sender, "");
        assert_eq!(report.recipients[0].address, "a@example.test");
        assert_eq!(report.recipients[0].notify, Notify::Never);
        let text = String::from_utf8(report.content.to_vec()).unwrap();
        for field in [
            "\r\nAuto-Submitted: auto-replied\r\n",
            "\r\nReferences: <1@x>\r\n",
            "\r\nOriginal-Envelope-Id: E  X: y\r\n",
            "\r\nOriginal-Recipient: rfc822;bob@example.net\r\nFinal-Recipient: rfc822; b@example.net\r\n\
             Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\n",
            "\r\nDiagnostic-Code: x-ringpost; 550 5.1.1 no  such user\r\n",
            "Content-Type: message/rfc822\r\nContent-Description: Undelivered message\r\n\r\nMessage-ID: <1@x>",
        ] {
            assert!(text.contains(field), "{field} is not in {text}");
        }
        assert!(!text.contains("\nX: y"));
    }

    #[test]
    fn nobody_is_told_of_a_report() {
        let recipient = EnvelopeRecipient::new("b@example.net");
        assert_eq!(make(&envelope(""), &recipient, b"\r\n", Action::Failed), None);
    }

    #[test]
    fn only_what_was_asked_for_is_given_back() {
        let recipient = EnvelopeRecipient::new("b@example.net");
        let mut envelope = envelope("a@example.test");
        let content = b"Subject: s\r\n\r\nsecret\r\n";
        let has_body = |envelope: &Envelope, content: &[u8], action| {
            let report = make(envelope, &recipient, content, action).unwrap();
            memchr::memmem::find(&report.content, b"secret").is_some()
        };
        assert!(has_body(&envelope, content, Action::Failed));
        assert!(!has_body(&envelope, content, Action::Delayed));
        let large = [&content[..], &vec![b'x'; RETURN_UNASKED_MAX]].concat();
        assert!(!has_body(&envelope, &large, Action::Failed));
        envelope.return_content = Some(ReturnContent::Full);
        assert!(has_body(&envelope, &large, Action::Failed));
        envelope.return_content = Some(ReturnContent::Headers);
        assert!(!has_body(&envelope, content, Action::Failed));
    }

    #[test]
    fn addresses_beyond_ascii_make_a_global_report() {
        let recipient = EnvelopeRecipient::new("ü@example.net");
        let report = make(&envelope("a@example.test"), &recipient, b"\r\n", Action::Failed).unwrap();
        assert!(report.envelope.utf8);
        let text = String::from_utf8(report.content.to_vec()).unwrap();
        assert!(text.contains("message/global-delivery-status"));
        assert!(text.contains("Final-Recipient: utf-8; ü@example.net"));
    }
}
