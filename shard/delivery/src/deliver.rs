//! Stores one message in the mailboxes of its recipients.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use bytes::Bytes;
use ringpost_host::{CallError, Envelope, EnvelopeRecipient, Host, MailboxRef, Outgoing, Priority};
use ringpost_mapi::{FileTime, FolderId, MailboxGuid};
use ringpost_store::{Mailbox, Placement, PreparedMessage, StoreError, Stored, folder::built_in};

use crate::{
    CONCURRENT_MAILBOXES, DELIVERED_TO_MAX, HELPER_THRESHOLD_BYTES, HOPS_MAX, Options, Recipient,
    Undeliverable, autoreply, header, junk, quota::Warning, trace,
};

/// A message as it is to be stored.
#[derive(Clone, Debug)]
pub struct Message {
    /// The trace fields of this arrival and what the client sent.
    pub source: Bytes,
    /// Length of those trace fields: loops are looked for behind them.
    pub trace_length: usize,
    /// When it came.
    pub received: FileTime,
    /// What MAIL said. Goes with the message where it leaves this server.
    pub envelope: Envelope,
    /// It may have been delivered before: a mailbox that has it gets no other.
    pub before: Option<Before>,
}

/// How a message is known that an earlier attempt may have stored.
#[derive(Clone, Debug)]
pub struct Before {
    /// What its source begins with, and no other's.
    pub beginning: Bytes,
    /// It can't have come earlier.
    pub since: FileTime,
}

/// Stores the message for every recipient and says what became of each, in the same order. `Ok` means that
/// the message is durable in every mailbox of the recipient, and in the queue for every address elsewhere, but
/// for members of a group whose mailbox refused it for good (full, for example): those are logged.
pub async fn deliver<H: Host>(
    host: &H,
    options: &Options,
    recipients: &[Recipient],
    message: Message,
) -> Vec<Result<(), Undeliverable>> {
    let arrived = message.source.get(message.trace_length..).unwrap_or_default();
    let trace = Trace::of(arrived);
    if trace.hops > HOPS_MAX {
        return vec![Err(Undeliverable::Loop); recipients.len()];
    }
    let is_junk = options.junk_rules.matches(arrived);
    let mut plan = Plan::of(recipients);
    for (number, (address, _)) in plan.mailboxes.iter().enumerate() {
        if trace.delivered_to(address) > DELIVERED_TO_MAX {
            plan.outcomes[number] = Some(Err(Undeliverable::Loop));
        }
    }
    if !plan.mailboxes.is_empty() {
        match prepare(host, message.source.clone(), options.compression_level).await {
            Ok(prepared) => {
                let storing = Storing {
                    message: prepared,
                    before: message.before.clone(),
                    is_junk,
                    received: message.received,
                };
                store_in_all(host, options, &mut plan, &storing).await;
            }
            Err(reason) => plan.fill(&reason),
        }
    }
    let mut outcomes = plan.by_recipient(recipients);
    send_on(host, recipients, &message, &mut outcomes).await;
    if !is_junk && options.sends_out {
        answer_letter(host, options, &plan, arrived, &message.envelope.sender).await;
    }
    outcomes
}

/// Answers for those who got the message and are out of office.
async fn answer_letter<H: Host>(host: &H, options: &Options, plan: &Plan<'_>, arrived: &[u8], sender: &str) {
    if sender.is_empty() {
        return;
    }
    let stored = plan.mailboxes.iter().zip(&plan.outcomes).zip(&plan.may_answer);
    let mut letter = None;
    for (((address, mailbox), outcome), may_answer) in stored {
        if !matches!(outcome, Some(Ok(()))) || !may_answer {
            continue;
        }
        // Its header is read for those few who may answer.
        match letter.get_or_insert_with(|| autoreply::Letter::of(arrived, sender)) {
            Some(letter) => autoreply::answer(host, options.autoreply_window, address, mailbox, letter).await,
            None => return,
        }
    }
}

/// Queues the message for the addresses elsewhere of every recipient that did not fail for now: such a one comes
/// again, as a whole. Not known for a recipient with addresses elsewhere alone until it is queued.
async fn send_on<H: Host>(
    host: &H,
    recipients: &[Recipient],
    message: &Message,
    outcomes: &mut [Result<(), Undeliverable>],
) {
    let goes =
        |outcome: &Result<(), Undeliverable>| !outcome.as_ref().is_err_and(Undeliverable::is_temporary);
    let mut seen = HashSet::new();
    let mut outgoing = Vec::new();
    for (recipient, _) in recipients
        .iter()
        .zip(&*outcomes)
        .filter(|(_, outcome)| goes(outcome))
    {
        for address in &recipient.outgoing {
            if seen.insert(address.to_ascii_lowercase()) {
                outgoing.push(EnvelopeRecipient {
                    address: address.clone(),
                    notify: recipient.notify,
                    original: recipient.original.clone(),
                });
            }
        }
    }
    if outgoing.is_empty() {
        return;
    }
    let content = trace::onward(&message.source, message.trace_length);
    let queued = host.enqueue(Outgoing {
        envelope: message.envelope.clone(),
        recipients: outgoing,
        content,
    });
    let outcome = match queued.await {
        Ok(id) => {
            tracing::info!(sender = message.envelope.sender, queue_id = %id, "queued");
            Ok(())
        }
        Err(error) => {
            tracing::error!(sender = message.envelope.sender, %error, "not queued");
            Err(Undeliverable::from_queue(&error))
        }
    };
    for (recipient, slot) in recipients.iter().zip(outcomes) {
        if !recipient.outgoing.is_empty() && goes(slot) {
            // Queued for one address is enough for success, as one mailbox of a group is.
            slot.clone_from(&outcome);
        }
    }
}

/// Decides where in a mailbox a delivered message goes, and puts it there. Rules of the inbox
/// (MS-OXORULE 3.2.1) will be evaluated here, in the transaction that stores the message.
fn place(
    mailbox: &mut Mailbox,
    message: &PreparedMessage,
    folder: FolderId,
    placement: &Placement,
) -> Result<Stored, StoreError> {
    mailbox.store_message(folder, message, placement)
}

/// Parses, hashes and compresses the message: here, or on a helper thread when it would hold the core.
async fn prepare<H: Host>(
    host: &H,
    source: Bytes,
    compression_level: Option<i32>,
) -> Result<Arc<PreparedMessage>, Undeliverable> {
    if source.len() < HELPER_THRESHOLD_BYTES {
        return Ok(PreparedMessage::new(source, compression_level));
    }
    host.helper(move || PreparedMessage::new(source, compression_level))
        .await
        .map_err(|error| {
            tracing::error!(%error, "a message could not be prepared");
            Undeliverable::Busy
        })
}

/// The mailboxes a message goes to, each once, and which of them each recipient stands for.
struct Plan<'a> {
    mailboxes: Vec<(&'a str, &'a MailboxRef)>,
    outcomes: Vec<Option<Result<(), Undeliverable>>>,
    /// Of those that the message was stored in: whether they may answer it.
    may_answer: Vec<bool>,
    numbers: HashMap<MailboxGuid, usize>,
}

impl<'a> Plan<'a> {
    fn of(recipients: &'a [Recipient]) -> Self {
        let mut plan = Self {
            mailboxes: Vec::new(),
            outcomes: Vec::new(),
            may_answer: Vec::new(),
            numbers: HashMap::new(),
        };
        for (address, mailbox) in recipients.iter().flat_map(|recipient| &recipient.mailboxes) {
            plan.numbers.entry(mailbox.guid).or_insert_with(|| {
                plan.mailboxes.push((address, mailbox));
                plan.outcomes.push(None);
                plan.may_answer.push(false);
                plan.mailboxes.len() - 1
            });
        }
        plan
    }

    /// Says of every mailbox not decided yet that it failed.
    fn fill(&mut self, reason: &Undeliverable) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Err(reason.clone()));
        }
    }

    fn by_recipient(&self, recipients: &[Recipient]) -> Vec<Result<(), Undeliverable>> {
        let outcome = |mailbox: &MailboxRef| {
            let number = self.numbers.get(&mailbox.guid)?;
            self.outcomes.get(*number)?.clone()
        };
        recipients
            .iter()
            .map(|recipient| {
                let outcomes = recipient
                    .mailboxes
                    .iter()
                    .map(|(_, mailbox)| outcome(mailbox).unwrap_or(Err(Undeliverable::MailboxFailed)));
                combine(outcomes)
            })
            .collect()
    }
}

/// A temporary failure of one mailbox makes the sender's server try again for all of a group: a member may
/// get a message twice, but none loses it. Permanent failures count only when there is nothing else.
fn combine(outcomes: impl Iterator<Item = Result<(), Undeliverable>>) -> Result<(), Undeliverable> {
    let (mut stored, mut permanent) = (false, None);
    for outcome in outcomes {
        match outcome {
            Ok(()) => stored = true,
            Err(reason) if reason.is_temporary() => return Err(reason),
            Err(reason) => {
                permanent.get_or_insert(reason);
            }
        }
    }
    match permanent {
        Some(reason) if !stored => Err(reason),
        _ => Ok(()),
    }
}

/// What is stored, and how.
#[derive(Clone)]
struct Storing {
    message: Arc<PreparedMessage>,
    before: Option<Before>,
    is_junk: bool,
    received: FileTime,
}

/// Stores into all mailboxes of the plan that are not decided yet, [`CONCURRENT_MAILBOXES`] at a time.
async fn store_in_all<H: Host>(host: &H, options: &Options, plan: &mut Plan<'_>, storing: &Storing) {
    let mailboxes = &plan.mailboxes;
    let undecided = plan
        .outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| outcome.is_none());
    let calls = undecided
        .map(|(number, _)| async move {
            let (address, mailbox) = mailboxes[number];
            let stored = store_in_one(host, options, address, mailbox, storing.clone()).await;
            (number, stored)
        })
        .collect::<Vec<_>>();
    for (number, outcome) in join_bounded(calls, CONCURRENT_MAILBOXES).await {
        plan.may_answer[number] = outcome.as_ref().is_ok_and(|may_answer| *may_answer);
        plan.outcomes[number] = Some(outcome.map(drop));
    }
}

/// Stores into one mailbox; whether it may answer the message.
async fn store_in_one<H: Host>(
    host: &H,
    options: &Options,
    address: &str,
    mailbox: &MailboxRef,
    storing: Storing,
) -> Result<bool, Undeliverable> {
    let received = storing.received;
    let placement = Placement {
        received,
        ..Placement::default()
    };
    let directory = host.directory();
    let account = directory.account(address);
    let quota = account
        .as_ref()
        .map(|account| directory.quota(account))
        .unwrap_or_default();
    let warning = account.and_then(|account| Warning::of(options, &account, &quota));
    let junk_folder = storing.is_junk.then(|| options.junk_folder.clone());
    let work = move |store: &mut Mailbox| {
        if let Some(before) = &storing.before
            && store.has_received(&before.beginning, before.since)?
        {
            // Its answer may be what the server did not get to.
            return Ok((None, autoreply::may_answer(store, Instant::now())));
        }
        store.set_account_quota(quota.receive_kib.map(u64::from));
        let folder = match &junk_folder {
            Some(path) => junk::folder(store, path)?,
            None => built_in::INBOX,
        };
        let stored = place(store, &storing.message, folder, &placement)?;
        if let Some(warning) = &warning
            && let Err(error) = warning.give(store, received)
        {
            // The message is stored all the same.
            tracing::info!(%error, "no warning of the quota");
        }
        Ok((Some(stored), autoreply::may_answer(store, Instant::now())))
    };
    match host.mailbox_durable(mailbox, Priority::Delivery, work).await {
        Ok((Some(stored), may_answer)) => {
            tracing::debug!(recipient = address, uid = stored.uid.0, "delivered");
            Ok(may_answer)
        }
        Ok((None, may_answer)) => {
            tracing::info!(recipient = address, "an earlier attempt delivered it");
            Ok(may_answer)
        }
        Err(error) => {
            let reason = Undeliverable::from_call(&error, options.over_quota_is_temporary);
            log_failure(address, mailbox, &error);
            Err(reason)
        }
    }
}

fn log_failure(recipient: &str, mailbox: &MailboxRef, error: &CallError) {
    let path = mailbox.path.display();
    match error {
        CallError::Store(StoreError::LimitExceeded(_)) | CallError::Unavailable => {
            tracing::warn!(recipient, %path, %error, "not delivered");
        }
        _ => tracing::error!(recipient, %path, %error, "not delivered"),
    }
}

/// Runs futures to their end, at most `limit` at the same time; their results in the order of completion.
async fn join_bounded<F: Future>(futures: Vec<F>, limit: usize) -> Vec<F::Output> {
    let mut results = Vec::with_capacity(futures.len());
    let mut waiting = futures.into_iter();
    let mut running: Vec<Pin<Box<F>>> = waiting.by_ref().take(limit).map(Box::pin).collect();
    std::future::poll_fn(move |context| {
        let mut at = 0;
        while let Some(future) = running.get_mut(at) {
            let Poll::Ready(result) = future.as_mut().poll(context) else {
                at += 1;
                continue;
            };
            results.push(result);
            match waiting.next() {
                // The newcomer takes the slot and is polled next.
                Some(next) => running[at] = Box::pin(next),
                None => drop(running.swap_remove(at)),
            }
        }
        if running.is_empty() {
            Poll::Ready(std::mem::take(&mut results))
        } else {
            Poll::Pending
        }
    })
    .await
}

/// What a message's trace fields say of its way so far.
struct Trace<'a> {
    hops: usize,
    delivered_to: Vec<&'a [u8]>,
}

impl<'a> Trace<'a> {
    fn of(source: &'a [u8]) -> Self {
        let mut trace = Self {
            hops: 0,
            delivered_to: Vec::new(),
        };
        for (name, value) in header::fields(source) {
            if name.eq_ignore_ascii_case(b"Received") {
                trace.hops += 1;
            } else if name.eq_ignore_ascii_case(b"Delivered-To") && trace.delivered_to.len() <= HOPS_MAX {
                trace.delivered_to.push(value);
            }
        }
        trace
    }

    fn delivered_to(&self, address: &str) -> usize {
        self.delivered_to
            .iter()
            .filter(|value| {
                let value = value.strip_prefix(b"<").unwrap_or(value);
                value
                    .strip_suffix(b">")
                    .unwrap_or(value)
                    .eq_ignore_ascii_case(address.as_bytes())
            })
            .count()
    }
}
