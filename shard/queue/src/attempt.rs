//! One attempt at all recipients of a message that are left, and what follows from it.

use std::time::Duration;

use ringpost_host::{
    Entry, MailQueue, Outbound, Outgoing, QueueCount, QueueUpdate, QueuedRecipient, RecipientState,
};
use ringpost_mapi::FileTime;

use crate::{
    Options, Status,
    content::{self, Content},
    local,
    report::{self, Action, Reported, Subject},
    scheduler::{Context, now_ms},
};

/// Pause before what a journal refused is offered to it again.
const UPDATE_PAUSE: Duration = Duration::from_secs(1);
/// How often, before the message is left to the next start.
const UPDATE_TRIES: usize = 600;
/// How long after a failure of its own disk a message is tried again.
pub(crate) const UNREADABLE_PAUSE: Duration = Duration::from_mins(1);

/// What an attempt may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    /// Mailboxes of this server.
    Local,
    /// The next hop, too.
    Relay,
    /// Tell the sender only.
    Notice,
}

/// How an attempt ended.
pub(crate) struct Ended {
    pub(crate) attempt: Attempt,
    /// Whether the next hop began a session; `None`: it was not asked.
    pub(crate) hop_reached: Option<bool>,
    /// The message, where something is left to do.
    pub(crate) entry: Option<Entry>,
}

/// What was found out about a recipient.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Its number in the entry.
    pub(crate) number: usize,
    pub(crate) status: Status,
    /// How a success is called in a report.
    pub(crate) success: Action,
    /// The next hop takes over the reports (RFC 3461 §5.2.2), so a success is not reported here.
    pub(crate) silent: bool,
    /// A mailbox of this server failed it: `response_interval` holds.
    pub(crate) local: bool,
}

/// Whether a recipient of the message has been tried for long enough.
pub(crate) fn is_expired(options: &Options, entry: &Entry, now: u64) -> bool {
    // At least one attempt is made, however long the server was down.
    entry.attempts > 0 && now.saturating_sub(entry.queued_ms) >= options.lifetime.as_millis() as u64
}

/// Whether a sender is to be told that it takes long.
pub(crate) fn is_delay_due(options: &Options, entry: &Entry, now: u64) -> bool {
    !options.delay_notice.is_zero()
        && entry.attempts > 0
        && !entry.envelope.sender.is_empty()
        && now.saturating_sub(entry.queued_ms) >= options.delay_notice.as_millis() as u64
        && entry.recipients.iter().any(|recipient| {
            recipient.state == RecipientState::Pending
                && !recipient.delay_told
                && recipient.recipient.notify.delay()
        })
}

pub(crate) async fn run<H: Outbound>(context: &Context<H>, mut entry: Entry, attempt: Attempt) -> Ended {
    let bytes = match context.queue.content(entry.id).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(queue_id = %entry.id, %error, "a message of the queue can't be read");
            entry.next_ms = now_ms() + UNREADABLE_PAUSE.as_millis() as u64;
            return Ended {
                attempt,
                hop_reached: None,
                entry: Some(entry),
            };
        }
    };
    let content = Content::new(bytes);
    let mut hop_reached = None;
    let mut outcomes = Vec::new();
    let mut messages = Vec::new();
    if content::hops(&content.bytes) > ringpost_delivery::HOPS_MAX {
        let status = Status::own(554, "5.4.6", "mail loop: the message has made too many hops");
        outcomes = all_pending(&entry, &status);
    } else if attempt != Attempt::Notice {
        outcomes = local::deliver(context, &entry, &content, &mut messages).await;
        if attempt == Attempt::Relay {
            hop_reached = crate::pool::relay(context, &entry, &content, &mut outcomes).await;
        }
        entry.attempts = entry.attempts.saturating_add(1);
    }
    let update = conclude(context, &mut entry, &content, outcomes, messages, attempt);
    for _ in 0..UPDATE_TRIES {
        match context.queue.update(entry.id, &update).await {
            Ok(()) => break,
            // What happened has happened: it must not be forgotten, and not be done again.
            Err(error) => {
                tracing::error!(queue_id = %entry.id, %error, "the queue's journal can't be written");
                context.host.sleep(UPDATE_PAUSE).await;
            }
        }
    }
    Ended {
        attempt,
        hop_reached,
        entry: (!update.remove).then_some(entry),
    }
}

/// The same for every recipient that is left.
fn all_pending(entry: &Entry, status: &Status) -> Vec<Outcome> {
    let pending = entry
        .recipients
        .iter()
        .enumerate()
        .filter(|(_, recipient)| recipient.state == RecipientState::Pending);
    pending
        .map(|(number, _)| Outcome {
            number,
            status: status.clone(),
            success: Action::Delivered,
            silent: false,
            local: false,
        })
        .collect()
}

/// From what was found out to the new state of the message and the reports of it.
fn conclude<H: Outbound>(
    context: &Context<H>,
    entry: &mut Entry,
    content: &Content,
    mut outcomes: Vec<Outcome>,
    mut messages: Vec<Outgoing>,
    attempt: Attempt,
) -> QueueUpdate {
    let options = &context.options;
    let now = now_ms();
    let expired = is_expired(options, entry, now);
    if attempt == Attempt::Notice && outcomes.is_empty() && expired {
        outcomes = all_pending(entry, &Status::own(451, "4.4.7", ""));
    }
    let next_hop = options.next_hop.name();
    let mut changes: Vec<(u32, QueuedRecipient)> = Vec::new();
    let directory = context.host.directory();
    let reader = directory.account(&entry.envelope.sender);
    let locale = reader.as_ref().map_or("", |account| account.locale.as_str());
    let mut told: [Vec<(usize, Status, Action)>; 3] = Default::default();
    for outcome in outcomes {
        let Some(recipient) = entry.recipients.get_mut(outcome.number) else {
            continue;
        };
        let notify = recipient.recipient.notify;
        let mut status = outcome.status;
        if status.is_temporary() {
            let out_of_tries = outcome.local && entry.attempts > options.local_attempts;
            if expired || out_of_tries {
                let last = match (status.text.as_ref(), recipient.status.as_str()) {
                    ("", "") => "none; the next server could not be reached".to_owned(),
                    ("", before) => before.to_owned(),
                    _ => status.to_string(),
                };
                let text = format!("delivery time expired; the last answer was: {last}");
                status = Status::own(554, "5.4.7", text);
            }
        }
        let text = status.to_string();
        if status.is_success() {
            context.queue.count(QueueCount::Delivered, 1);
            tracing::info!(queue_id = %entry.id, recipient = recipient.recipient.address, %status, "sent");
            recipient.state = RecipientState::Done;
            if notify.success() && !outcome.silent {
                told[1].push((outcome.number, status, outcome.success));
            }
        } else if status.is_temporary() {
            context.queue.count(QueueCount::Deferred, 1);
            tracing::info!(queue_id = %entry.id, recipient = recipient.recipient.address, %status, "deferred");
        } else {
            context.queue.count(QueueCount::Bounced, 1);
            tracing::info!(queue_id = %entry.id, recipient = recipient.recipient.address, %status, "bounced");
            recipient.state = RecipientState::Done;
            let repeated = outcome.local
                && !context.audit.borrow_mut().is_new(
                    &recipient.recipient.address,
                    &entry.envelope.sender,
                    now,
                );
            if repeated {
                context.queue.count(QueueCount::ReportsSuppressed, 1);
            } else if notify.failure() {
                told[0].push((outcome.number, status, Action::Failed));
            }
        }
        recipient.status = text;
        changes.push((outcome.number as u32, recipient.clone()));
    }
    if is_delay_due(options, entry, now) {
        for (number, recipient) in entry.recipients.iter_mut().enumerate() {
            let tell = recipient.state == RecipientState::Pending
                && !recipient.delay_told
                && recipient.recipient.notify.delay();
            if tell {
                recipient.delay_told = true;
                let last = match recipient.status.as_str() {
                    "" => "the next server could not be reached".to_owned(),
                    before => before.to_owned(),
                };
                let status = Status::own(451, "4.4.7", last);
                told[2].push((number, status, Action::Delayed));
                changes.retain(|(changed, _)| *changed as usize != number);
                changes.push((number as u32, recipient.clone()));
            }
        }
    }
    let until_ms = entry
        .queued_ms
        .saturating_add(options.lifetime.as_millis() as u64);
    let subject = Subject::of(entry, until_ms, &content.bytes);
    for told in &told {
        // One report for each way of success: its action is the same for all of its recipients.
        for action in [
            Action::Failed,
            Action::Delivered,
            Action::Relayed,
            Action::Expanded,
            Action::Delayed,
        ] {
            let reported: Vec<_> = told
                .iter()
                .filter(|(_, _, what)| *what == action)
                .map(|(number, status, _)| Reported {
                    recipient: &entry.recipients[*number].recipient,
                    status: status.clone(),
                    remote: status.remote.then_some(next_hop.as_str()),
                })
                .collect();
            let template = match reported.as_slice() {
                [first, ..] if action == Action::Failed => {
                    let local = local::is_local(&*directory, &first.recipient.address);
                    options.templates.find(local, &first.status.enhanced, locale)
                }
                _ => None,
            };
            let report = report::report(
                &context.reporter,
                action,
                &subject,
                &reported,
                FileTime::now(),
                template,
            );
            if let Some(report) = report {
                context.queue.count(QueueCount::Reports, 1);
                messages.push(report);
            }
        }
    }
    let remove = entry.pending() == 0;
    if attempt != Attempt::Notice {
        entry.next_ms = now.saturating_add(pause(options, entry, attempt));
    } else if entry.next_ms <= now {
        // Its turn to be tried.
        entry.next_ms = now;
    }
    entry.uncertain = 0;
    entry.interrupted = false;
    QueueUpdate {
        attempts: entry.attempts,
        next_ms: entry.next_ms,
        changes,
        remove,
        messages,
    }
}

/// How long until the next attempt, in milliseconds: doubling for the next hop, with a tenth more or less so that
/// what failed together does not come back together; always the same for mailboxes.
fn pause(options: &Options, entry: &Entry, attempt: Attempt) -> u64 {
    if attempt == Attempt::Local {
        return options.local_pause.as_millis() as u64;
    }
    let factor = 1_u32 << entry.attempts.saturating_sub(1).min(20);
    let pause = options
        .retry_first
        .saturating_mul(factor)
        .min(options.retry_longest)
        .as_millis() as u64;
    let spread = pause / 5;
    let dice = (entry.id.0 ^ u64::from(entry.attempts)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    pause - spread / 2 + if spread == 0 { 0 } else { dice % spread }
}
