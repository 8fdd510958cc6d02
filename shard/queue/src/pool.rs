//! Connections to the next hop, used again while they are good.

use std::{
    cell::RefCell,
    net::{SocketAddr, ToSocketAddrs},
    time::{Duration, Instant},
};

use ringpost_host::{Entry, EnvelopeRecipient, MailQueue, Outbound, Peer, QueueCount, RecipientState};

use crate::{
    NextHop, SmtpHop, Status,
    attempt::Outcome,
    client::{Client, RECIPIENTS_MAX, SessionError},
    content::Content,
    local,
    report::Action,
    scheduler::Context,
    sendmail,
};

/// A connection without a message for so long is left.
pub(crate) const IDLE: Duration = Duration::from_secs(5);
/// Messages over one connection: servers count them, too.
const TRANSACTIONS_MAX: usize = 100;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(30);
/// Addresses of the next hop that are tried in turn.
const ADDRESSES_MAX: usize = 8;
/// How long the addresses of a name are believed.
const ADDRESSES_TIME: Duration = Duration::from_mins(1);

/// Recipients on one command line of `sendmail`: far below what the system takes.
const SENDMAIL_MAX: usize = 500;

/// A core's connections to the next hop.
pub(crate) struct Pool<P> {
    idle: RefCell<Vec<(Client<P>, Instant)>>,
    addresses: RefCell<Option<(Vec<SocketAddr>, Instant)>>,
}

impl<P: Peer> Pool<P> {
    pub(crate) fn new() -> Self {
        Self {
            idle: RefCell::default(),
            addresses: RefCell::default(),
        }
    }

    fn take(&self) -> Option<Client<P>> {
        // The one that was used last is the least likely to have been closed meanwhile.
        self.idle.borrow_mut().pop().map(|(client, _)| client)
    }

    /// Those that had nothing to do for too long.
    pub(crate) fn unused(&self) -> Vec<Client<P>> {
        let mut idle = self.idle.borrow_mut();
        let unused = idle
            .iter()
            .take_while(|(_, since)| since.elapsed() >= IDLE)
            .count();
        idle.drain(..unused).map(|(client, _)| client).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    fn put(&self, client: Client<P>) {
        if client.transactions < TRANSACTIONS_MAX {
            self.idle.borrow_mut().push((client, Instant::now()));
        }
    }

    /// Says goodbye on all of them.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        for (client, _) in idle {
            client.quit().await;
        }
    }
}

/// Sends the message on for the recipients that are not of this server and are left. Returns whether the next hop
/// was there; `None`: it was not needed.
pub(crate) async fn relay<H: Outbound>(
    context: &Context<H>,
    entry: &Entry,
    content: &Content,
    outcomes: &mut Vec<Outcome>,
) -> Option<bool> {
    let directory = context.host.directory();
    let mut left: Vec<(usize, &EnvelopeRecipient)> = entry
        .recipients
        .iter()
        .enumerate()
        .filter(|(_, recipient)| recipient.state == RecipientState::Pending)
        .map(|(number, recipient)| (number, &recipient.recipient))
        .filter(|(_, recipient)| !local::is_local(&*directory, &recipient.address))
        .collect();
    drop(directory);
    let outcome = |number: usize, status: Status, silent: bool| Outcome {
        number,
        status,
        success: Action::Relayed,
        silent,
        local: false,
    };
    // Addresses were checked where they came in; one that could say more than an address goes nowhere.
    left.retain(|(number, recipient)| {
        let sound = is_path(&recipient.address) && is_path(&entry.envelope.sender);
        if !sound {
            let status = Status::own(553, "5.1.3", "the address can't be said in SMTP");
            outcomes.push(outcome(*number, status, false));
        }
        sound
    });
    if left.is_empty() {
        return None;
    }
    let hop = match &context.options.next_hop {
        NextHop::Smtp(hop) => hop,
        NextHop::Sendmail => {
            let mut reached = None;
            for batch in left.chunks(SENDMAIL_MAX) {
                context.queue.sending(entry.id, batch.len() as u32);
                let recipients: Vec<_> = batch.iter().map(|(_, recipient)| *recipient).collect();
                let handed = sendmail::run(context, &entry.envelope, &recipients, content).await;
                outcomes.extend(
                    batch
                        .iter()
                        .map(|(number, _)| outcome(*number, handed.status.clone(), handed.reports)),
                );
                reached = Some(handed.ran);
            }
            return reached;
        }
    };
    let mut reached = None;
    while !left.is_empty() {
        let batch: Vec<_> = left.drain(..left.len().min(RECIPIENTS_MAX)).collect();
        let recipients: Vec<_> = batch.iter().map(|(_, recipient)| *recipient).collect();
        let sent = loop {
            let (mut client, used) = match context.pool.take() {
                Some(client) => (client, true),
                None => match open(context, hop).await {
                    Ok(client) => (client, false),
                    Err(error) => {
                        let status = error.status();
                        for (number, _) in batch.iter().chain(&left) {
                            outcomes.push(outcome(*number, status.clone(), false));
                        }
                        return Some(reached.unwrap_or(false));
                    }
                },
            };
            reached = Some(true);
            let silent = client.takes_over_reports();
            let note = |recipients: usize| context.queue.sending(entry.id, recipients as u32);
            let sent = client.send(&entry.envelope, &recipients, content, note).await;
            if sent.error.is_none() {
                context.pool.put(client);
            } else if used && sent.unanswered {
                // It had been closed since its last message: that says nothing of this one.
                continue;
            }
            break (sent, silent);
        };
        let (sent, silent) = sent;
        if sent.uncertain > 0 {
            context.queue.count(QueueCount::Uncertain, sent.uncertain as u64);
            tracing::warn!(queue_id = %entry.id, recipients = sent.uncertain,
                "the next hop's last answer was lost; what it may have is sent again");
        }
        let mut accepted = false;
        let mut too_many = Vec::new();
        for ((number, recipient), status) in batch.into_iter().zip(sent.statuses) {
            accepted |= status.is_success();
            if status.code == 452 && status.enhanced == "4.5.3" {
                // Too many recipients: the rest goes in another transaction (RFC 5321 §4.5.3.1.10).
                too_many.push((number, recipient, status));
            } else {
                outcomes.push(outcome(number, status, silent));
            }
        }
        if accepted && sent.error.is_none() {
            left.extend(
                too_many
                    .into_iter()
                    .map(|(number, recipient, _)| (number, recipient)),
            );
        } else {
            let refused = too_many.into_iter();
            outcomes.extend(refused.map(|(number, _, status)| outcome(number, status, silent)));
        }
        if let Some(error) = sent.error {
            tracing::debug!(queue_id = %entry.id, %error, "a session with the next hop ended");
        }
    }
    reached
}

/// Connects to the next hop's addresses in turn, and greets.
async fn open<H: Outbound>(context: &Context<H>, hop: &SmtpHop) -> Result<Client<H::Peer>, SessionError> {
    let mut error = None;
    for address in addresses(context, hop).await? {
        match context.host.connect(address, CONNECT).await {
            Ok(peer) => return Client::open(peer, hop, &context.options.host_name).await,
            Err(refused) => {
                error.get_or_insert(refused);
            }
        }
    }
    let error = error.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
    Err(SessionError::Io(error))
}

/// The addresses behind the next hop's name. The resolver waits for the network: it runs on a helper thread.
async fn addresses<H: Outbound>(
    context: &Context<H>,
    hop: &SmtpHop,
) -> Result<Vec<SocketAddr>, std::io::Error> {
    if let Ok(address) = hop.host.parse() {
        return Ok(vec![SocketAddr::new(address, hop.port)]);
    }
    if let Some((addresses, since)) = &*context.pool.addresses.borrow()
        && since.elapsed() < ADDRESSES_TIME
    {
        return Ok(addresses.clone());
    }
    let name = (hop.host.clone(), hop.port);
    let found = context
        .host
        .helper(move || {
            let found = name.to_socket_addrs()?;
            Ok::<Vec<_>, std::io::Error>(found.take(ADDRESSES_MAX).collect())
        })
        .await
        .map_err(std::io::Error::other)??;
    context
        .pool
        .addresses
        .replace(Some((found.clone(), Instant::now())));
    Ok(found)
}

/// Whether an address can stand between the brackets of a path, and end nothing there.
fn is_path(address: &str) -> bool {
    let quoted = address.starts_with('"');
    address.len() <= 1000
        && !address.chars().any(char::is_control)
        && (quoted || !address.contains(['<', '>', ' ']))
}
