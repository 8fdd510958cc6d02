//! Recipients of this server, out of the queue: reports, and what could not be delivered at once.

use std::collections::HashMap;
use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use ringpost_convert::header::format_date;
use ringpost_delivery::{Before, Message, Recipient, resolve};
use ringpost_directory::Directory;
use ringpost_host::{Entry, EnvelopeRecipient, MailQueue, Outbound, Outgoing, RecipientState};
use ringpost_mapi::FileTime;

use crate::{Status, attempt::Outcome, content::Content, report::Action, scheduler::Context};

/// How far the clock may have been set back between two attempts at a mailbox, for the second to find the first's.
const CLOCK_SLACK_SECONDS: i64 = 3600;

/// Whether an address is of a domain that this server has.
pub(crate) fn is_local(directory: &dyn Directory, address: &str) -> bool {
    address
        .rsplit_once('@')
        .is_none_or(|(_, domain)| directory.domain(domain).is_some())
}

/// Delivers to the recipients of this server that are left. What goes on from them to other servers is added to
/// `messages`: it must be in the queue by the same record that says that they are done.
pub(crate) async fn deliver<H: Outbound>(
    context: &Context<H>,
    entry: &Entry,
    content: &Content,
    messages: &mut Vec<Outgoing>,
) -> Vec<Outcome> {
    let options = ringpost_delivery::Options {
        sends_out: true,
        ..context.options.delivery.clone()
    };
    let directory = context.host.directory();
    let mut outcomes = Vec::new();
    let mut found: Vec<(usize, Recipient)> = Vec::new();
    let outcome = |number: usize, status: Status, success: Action| Outcome {
        number,
        status,
        success,
        silent: false,
        local: true,
    };
    for (number, recipient) in entry.recipients.iter().enumerate() {
        let address = &recipient.recipient.address;
        if recipient.state != RecipientState::Pending || !is_local(&*directory, address) {
            continue;
        }
        match resolve(&*directory, &options, &entry.envelope.sender, address) {
            Ok(resolved) => found.push((number, resolved)),
            Err(reason) => outcomes.push(outcome(number, own(&reason.status()), Action::Delivered)),
        }
    }
    if found.is_empty() {
        return outcomes;
    }
    // Of a list's members some may have it, where others failed.
    let may_have_it = entry.interrupted || entry.attempts > 0;
    let single = match found.as_slice() {
        [(number, _)] => Some(entry.recipients[*number].recipient.address.as_str()),
        _ => None,
    };
    let now = FileTime::now();
    let (same, trace) = trace(context, entry, single, now);
    let mut source = Vec::with_capacity(trace.len() + content.bytes.len());
    source.extend_from_slice(trace.as_bytes());
    source.extend_from_slice(&content.bytes);
    let source = Bytes::from(source);
    let onward: Vec<Vec<String>> = found
        .iter_mut()
        .map(|(_, recipient)| std::mem::take(&mut recipient.outgoing))
        .collect();
    let recipients: Vec<Recipient> = found.iter().map(|(_, recipient)| recipient.clone()).collect();
    let message = Message {
        source: source.clone(),
        trace_length: trace.len(),
        received: now,
        envelope: entry.envelope.clone(),
        before: may_have_it.then(|| Before {
            beginning: source.slice(..same),
            since: FileTime::from_unix_seconds((entry.queued_ms / 1000) as i64 - CLOCK_SLACK_SECONDS),
        }),
    };
    // Between the mailbox's transaction and the journal's record a crash leaves a copy that nobody knows of, but
    // the mailbox.
    context.queue.sending(entry.id, 0);
    let delivered = ringpost_delivery::deliver(&context.host, &options, &recipients, message).await;
    let return_path = source
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    for (((number, _), result), onward) in found.iter().zip(delivered).zip(onward) {
        let queued = &entry.recipients[*number].recipient;
        match result {
            Ok(()) if onward.is_empty() => {
                let status = Status::own(250, "2.1.5", "delivered to its mailbox");
                outcomes.push(outcome(*number, status, Action::Delivered));
            }
            Ok(()) => {
                let recipients = onward.into_iter().map(|address| EnvelopeRecipient {
                    address,
                    notify: queued.notify,
                    original: queued.original.clone(),
                });
                messages.push(Outgoing {
                    envelope: entry.envelope.clone(),
                    recipients: recipients.collect(),
                    content: source.slice(return_path..),
                });
                let status = Status::own(250, "2.1.5", "passed on");
                outcomes.push(outcome(*number, status, Action::Expanded));
            }
            Err(reason) => outcomes.push(outcome(*number, own(&reason.status()), Action::Delivered)),
        }
    }
    outcomes
}

fn own(status: &ringpost_delivery::Status) -> Status {
    Status::own(status.code, status.enhanced, status.text.clone())
}

/// The trace fields of the last step (RFC 5321 §4.4), and how many octets of them are the same for each attempt at
/// this message, and for no other message.
fn trace<H: Outbound>(
    context: &Context<H>,
    entry: &Entry,
    single: Option<&str>,
    now: FileTime,
) -> (usize, String) {
    let clean = |text: &str| text.replace(char::is_control, "");
    let mut trace = format!(
        "Return-Path: <{}>\r\nReceived: by {} (ringpost queue) id {};",
        clean(&entry.envelope.sender),
        clean(&context.options.host_name),
        entry.id
    );
    let same = trace.len();
    // Writing to a String can't fail.
    let _ = write!(trace, "\r\n\t{}\r\n", format_date(now));
    if let Some(address) = single {
        let _ = write!(trace, "Delivered-To: {}\r\n", clean(address));
    }
    (same, trace)
}

/// Who was told of whose failure a moment ago (`response_interval`, `response_audit_capacity`).
#[derive(Debug)]
pub(crate) struct Audit {
    interval_ms: u64,
    capacity: usize,
    pairs: HashMap<(String, String), u64>,
}

impl Audit {
    pub(crate) fn new(interval: Duration, capacity: usize) -> Self {
        Self {
            interval_ms: interval.as_millis() as u64,
            capacity,
            pairs: HashMap::new(),
        }
    }

    /// Whether the sender of the report has not told its recipient within the interval. When no more pairs can be
    /// remembered, everybody is told.
    pub(crate) fn is_new(&mut self, from: &str, to: &str, now_ms: u64) -> bool {
        let pair = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
        let recent = |told: u64| now_ms.saturating_sub(told) < self.interval_ms;
        if self.pairs.get(&pair).is_some_and(|told| recent(*told)) {
            return false;
        }
        if self.pairs.len() >= self.capacity {
            self.pairs.retain(|_, told| recent(*told));
        }
        if self.pairs.len() < self.capacity {
            self.pairs.insert(pair, now_ms);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_pair_is_told_once_in_a_while() {
        let mut audit = Audit::new(Duration::from_secs(1), 2);
        assert!(audit.is_new("A@x", "b@x", 0));
        assert!(!audit.is_new("a@x", "B@x", 999));
        assert!(audit.is_new("a@x", "b@x", 1000));
        assert!(audit.is_new("c@x", "b@x", 1000));
        assert!(
            audit.is_new("d@x", "b@x", 1000),
            "one that can't be remembered is told"
        );
        assert!(audit.is_new("d@x", "b@x", 1000));
        assert!(audit.is_new("d@x", "b@x", 3000));
        assert!(!audit.is_new("d@x", "b@x", 3000));
    }
}
