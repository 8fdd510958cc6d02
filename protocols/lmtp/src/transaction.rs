//! A mail transaction: MAIL, RCPT, DATA or BDAT, and what becomes of the message.
//!
//! **One reply for all** (SMTP). A positive one makes this server answerable for the message (RFC 5321 §6.1):
//! it is durable in every mailbox, or the queue has taken it over for the recipients that it did not reach,
//! and delivers or reports it. When nobody got it, the client is told so and keeps it.

use std::io;

use bytes::Bytes;
use ringpost_delivery::{Message, Recipient, Undeliverable, deliver, resolve, trace};
use ringpost_host::{BodyKind, Connection, Envelope, EnvelopeRecipient, Host, Outgoing, Priority};
use ringpost_mapi::FileTime;

use crate::{
    Chunk, ChunkDecoder, Decoder, Greeting, MailParameters, Progress, RECIPIENTS_MAX, RcptParameters, Role,
    binary,
    pace::Pace,
    reply::Reply,
    session::{Client, Session},
    submission,
};

/// Memory that a message's buffer starts with when the client named no size.
const INITIAL_MESSAGE_CAPACITY: usize = 32 * 1024;
/// Most memory reserved because a client named a size; more comes as the message does.
const RESERVED_MAX: u64 = 1 << 20;

/// MAIL and RCPT so far, and the chunks of BDAT.
pub(crate) struct Transaction {
    envelope: Envelope,
    /// SIZE, in bytes.
    size: Option<u64>,
    recipients: Vec<Recipient>,
    /// Mailboxes and addresses elsewhere of all recipients together.
    destinations: usize,
    chunks: Option<Chunks>,
}

/// A message that comes by BDAT.
struct Chunks {
    arriving: Arriving,
    decoder: ChunkDecoder,
}

/// A message that is being received.
struct Arriving {
    /// The trace fields of this arrival, then what has come.
    source: Vec<u8>,
    pace: Pace,
    trace_length: usize,
    received: FileTime,
    /// Names the transaction in the log, in `Received` and in the reply.
    id: String,
}

/// What became of a recipient.
type Outcome = Result<(), Reply>;

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(crate) fn mail(&mut self, sender: String, parameters: MailParameters) -> Reply {
        if self.transaction.is_some() {
            return Reply::new(503, "5.5.1", "a transaction is under way");
        }
        let wants_report = parameters.return_content.is_some() || parameters.envelope_id.is_some();
        if wants_report && !self.options.delivery.sends_out
            || parameters.auth && self.options.role != Role::Submission
        {
            return crate::SyntaxError::UnknownParameter.reply();
        }
        if parameters
            .size
            .is_some_and(|size| size > self.options.mail_max_length)
        {
            return too_long();
        }
        if let Some(login) = &self.login
            && !sender.is_empty()
            && !submission::may_send_as(&*self.host.directory(), &self.options.delivery, login, &sender)
        {
            tracing::warn!(login = login.username, sender, "sender refused");
            return Reply::new(553, "5.7.1", "this sender address is not yours");
        }
        self.transaction = Some(Transaction {
            envelope: Envelope {
                sender,
                body: parameters.body,
                utf8: parameters.utf8,
                return_content: parameters.return_content,
                envelope_id: parameters.envelope_id,
            },
            size: parameters.size,
            recipients: Vec::new(),
            destinations: 0,
            chunks: None,
        });
        Reply::new(250, "2.1.0", "sender ok")
    }

    pub(crate) async fn rcpt(&mut self, address: &str, parameters: RcptParameters) -> Reply {
        match self.recipient(address, parameters) {
            Ok(recipient) if self.is_full(&recipient).await => {
                tracing::info!(recipient = address, "recipient refused: the mailbox is full");
                Undeliverable::OverQuota.status().into()
            }
            Ok(recipient) => match &mut self.transaction {
                Some(transaction) => {
                    transaction.destinations += recipient.mailboxes.len() + recipient.outgoing.len();
                    transaction.recipients.push(recipient);
                    Reply::new(250, "2.1.5", "recipient ok")
                }
                None => Reply::new(503, "5.5.1", "MAIL comes first"),
            },
            Err(refusal) => refusal,
        }
    }

    /// Whether the message can't have room in the recipient's mailbox. Asked where SMTP's one reply could not say so
    /// of one recipient alone, who would have to be reported to what may be a forged address.
    async fn is_full(&self, recipient: &Recipient) -> bool {
        let [(address, mailbox)] = recipient.mailboxes.as_slice() else {
            return false;
        };
        if self.greeting == Some(Greeting::Lhlo) || self.options.delivery.over_quota_is_temporary {
            return false;
        }
        let directory = self.host.directory();
        let account = directory.account(address);
        let Some(limit_kib) = account.and_then(|account| directory.quota(&account).receive_kib) else {
            return false;
        };
        let announced = self.transaction.as_ref().and_then(|transaction| transaction.size);
        let size = self
            .host
            .mailbox(mailbox, Priority::Delivery, |store| Ok(store.size()));
        // What can't be known now is found out at the delivery.
        size.await
            .is_ok_and(|size| size.saturating_add(announced.unwrap_or(1)) > u64::from(limit_kib) * 1024)
    }

    /// Finds a recipient that may be accepted.
    fn recipient(&self, address: &str, parameters: RcptParameters) -> Result<Recipient, Reply> {
        let relays = self.may_relay();
        let Some(transaction) = &self.transaction else {
            return Err(Reply::new(503, "5.5.1", "MAIL comes first"));
        };
        if transaction.chunks.is_some() {
            return Err(Reply::new(503, "5.5.1", "the message has begun"));
        }
        if parameters != RcptParameters::default() && !self.options.delivery.sends_out {
            return Err(crate::SyntaxError::UnknownParameter.reply());
        }
        if !address.is_ascii() && !transaction.envelope.utf8 {
            return Err(Reply::new(553, "5.6.7", "SMTPUTF8 is required for this address"));
        }
        if transaction.recipients.len() >= RECIPIENTS_MAX {
            return Err(Reply::new(452, "4.5.3", "too many recipients"));
        }
        let sender = &transaction.envelope.sender;
        let believed = self.believed(sender);
        let resolved = match resolve(&*self.host.directory(), &self.options.delivery, believed, address) {
            Err(Undeliverable::NotLocal) if relays => Ok(Recipient {
                address: address.to_owned(),
                outgoing: vec![address.to_owned()],
                ..Recipient::default()
            }),
            resolved => resolved,
        };
        let mut recipient = match resolved {
            Ok(recipient) => recipient,
            Err(reason) => {
                tracing::info!(recipient = address, sender, %reason, "recipient refused");
                return Err(reason.status().into());
            }
        };
        let destinations = transaction.destinations + recipient.mailboxes.len() + recipient.outgoing.len();
        if destinations > ringpost_delivery::MAILBOXES_MAX {
            // Fewer recipients in another transaction may fit; alone a recipient always does.
            return Err(Reply::new(452, "4.5.3", "too many mailboxes for one message"));
        }
        recipient.notify = parameters.notify;
        recipient.original = parameters.original;
        Ok(recipient)
    }

    /// Whether mail from this client may go to any address elsewhere.
    fn may_relay(&self) -> bool {
        self.options.delivery.sends_out && (self.login.is_some() || self.is_listed())
    }

    /// Whether `relay_from` names this client.
    fn is_listed(&self) -> bool {
        let peer = self.connection.peer().ip();
        let mut networks = self.options.relay_from.iter();
        networks.any(|network| network.contains(peer))
    }

    /// The sender as lists with limits may believe him: anybody can claim to be somebody here, so that counts only
    /// from who has logged in, from `relay_from`, and from this machine, where a mail server in front may run.
    fn believed<'s>(&self, sender: &'s str) -> &'s str {
        let is_near = || self.connection.peer().ip().to_canonical().is_loopback();
        let is_ours = |domain: &str| self.host.directory().domain(domain).is_some();
        let claims = sender.rsplit_once('@').is_some_and(|(_, domain)| is_ours(domain));
        if !claims || self.login.is_some() || self.is_listed() || is_near() {
            sender
        } else {
            ""
        }
    }

    /// Why DATA is not possible now. RFC 2033 §4.2: without an accepted recipient it is refused with 503.
    pub(crate) fn refuse_data(&self) -> Option<Reply> {
        let reason = match &self.transaction {
            None => "MAIL comes first",
            Some(transaction) if transaction.recipients.is_empty() => "no valid recipients",
            Some(transaction) if transaction.chunks.is_some() => "the message comes by BDAT",
            // RFC 3030 §3
            Some(transaction) if transaction.envelope.body == BodyKind::Binary => "BINARYMIME needs BDAT",
            Some(_) => return None,
        };
        Some(Reply::new(503, "5.5.1", reason))
    }

    /// Receives a message behind DATA, and delivers it.
    pub(crate) async fn data(&mut self) -> io::Result<Client> {
        let Some(transaction) = self.transaction.take() else {
            return Ok(Client::Stays);
        };
        self.out.extend_from_slice(b"354 end with <CRLF>.<CRLF>\r\n");
        self.flush().await?;
        let mut arriving = self.arriving(&transaction);
        let mut decoder = Decoder::new(self.options.mail_max_length);
        loop {
            if let Progress::End(used) = decoder.push(&self.input, &mut arriving.source) {
                self.input.drain(..used);
                break;
            }
            self.input.clear();
            if decoder.is_too_long() {
                arriving.source.clear();
            }
            if self.receive_message(&mut arriving.pace).await? == Client::Gone {
                return Ok(Client::Gone);
            }
        }
        self.finish(transaction, arriving, decoder.is_too_long()).await;
        Ok(Client::Stays)
    }

    /// Receives the bytes behind BDAT, whatever is then said of them, and delivers the message they end.
    pub(crate) async fn chunk(&mut self, chunk: Chunk) -> io::Result<Client> {
        if let Some(refusal) = self.refuse_mail() {
            refusal.write(&mut self.out);
            Reply::new(421, "4.5.0", "data sent without permission").write(&mut self.out);
            self.flush().await?;
            return Ok(Client::Gone);
        }
        let mut transaction = self.transaction.take();
        let mut left = chunk.size;
        let Some(transaction) = transaction.take_if(|transaction| !transaction.recipients.is_empty()) else {
            let reason = match &transaction {
                None => "MAIL comes first",
                Some(_) => "no valid recipients",
            };
            self.transaction = transaction;
            let mut pace = Pace::new(self.options.message_time);
            while left > 0 {
                let taken = left.min(self.input.len() as u64);
                self.input.drain(..taken as usize);
                left -= taken;
                if left > 0 && self.receive_message(&mut pace).await? == Client::Gone {
                    return Ok(Client::Gone);
                }
            }
            self.answer(&Reply::new(503, "5.5.1", reason));
            return Ok(Client::Stays);
        };
        let mut transaction = transaction;
        let mut chunks = match transaction.chunks.take() {
            Some(chunks) => chunks,
            None => Chunks {
                arriving: self.arriving(&transaction),
                decoder: ChunkDecoder::new(
                    self.options.mail_max_length,
                    transaction.envelope.body == BodyKind::Binary,
                ),
            },
        };
        while left > 0 {
            let taken = left.min(self.input.len() as u64);
            let bytes = &self.input[..taken as usize];
            chunks.decoder.push(bytes, &mut chunks.arriving.source);
            self.input.drain(..taken as usize);
            left -= taken;
            if chunks.decoder.is_too_long() {
                chunks.arriving.source.clear();
            }
            if left > 0 && self.receive_message(&mut chunks.arriving.pace).await? == Client::Gone {
                return Ok(Client::Gone);
            }
        }
        if chunk.last {
            chunks.decoder.finish(&mut chunks.arriving.source);
            let is_too_long = chunks.decoder.is_too_long();
            self.finish(transaction, chunks.arriving, is_too_long).await;
        } else if chunks.decoder.is_too_long() {
            // The transaction is over; further chunks are read and refused.
            self.answer(&too_long());
        } else {
            transaction.chunks = Some(chunks);
            self.transaction = Some(transaction);
            self.answer(&Reply::new(
                250,
                "2.0.0",
                format!("{} octets received", chunk.size),
            ));
        }
        Ok(Client::Stays)
    }

    /// A message's buffer with the trace fields of this arrival.
    fn arriving(&self, transaction: &Transaction) -> Arriving {
        let received = FileTime::now();
        let id = format!("{:x}.{}", received.0, self.connection.peer().port());
        let header = self.trace_header(transaction, received, &id);
        let reserved = transaction
            .size
            .map_or(INITIAL_MESSAGE_CAPACITY, |size| size.min(RESERVED_MAX) as usize);
        let mut source = Vec::with_capacity(header.len() + reserved);
        source.extend_from_slice(header.as_bytes());
        Arriving {
            source,
            pace: Pace::new(self.options.message_time),
            trace_length: header.len(),
            received,
            id,
        }
    }

    /// The whole message is here: delivers it and answers.
    async fn finish(&mut self, transaction: Transaction, arriving: Arriving, is_too_long: bool) {
        let id = arriving.id.clone();
        let outcomes = if is_too_long {
            vec![Err(too_long()); transaction.recipients.len()]
        } else {
            match self.complete(&transaction, arriving).await {
                Ok(message) => self.deliver(&transaction, message).await,
                Err(refusal) => vec![Err(refusal); transaction.recipients.len()],
            }
        };
        self.report(&transaction, &outcomes, &id);
    }

    /// Makes what arrived a message that may be stored and sent on.
    async fn complete(&self, transaction: &Transaction, mut arriving: Arriving) -> Result<Message, Reply> {
        if let Some(login) = &self.login {
            let content = &arriving.source[arriving.trace_length..];
            let directory = self.host.directory();
            let missing = submission::check(
                &submission::Submitted {
                    directory: &*directory,
                    delivery: &self.options.delivery,
                    login,
                    host_id: &self.options.host_id,
                    received: arriving.received,
                },
                content,
            )?;
            let at = arriving.trace_length;
            arriving.source.splice(at..at, missing.into_bytes());
        }
        let mut envelope = transaction.envelope.clone();
        let mut source = arriving.source;
        if envelope.body == BodyKind::Binary {
            // Nobody behind this door takes binary parts: IMAP, POP3, most other servers.
            source = self
                .host
                .helper(move || binary::to_lines(&source))
                .await
                .map_err(|_| Reply::from(Undeliverable::Busy.status()))?;
            envelope.body = BodyKind::EightBit;
        }
        Ok(Message {
            source: Bytes::from(source),
            trace_length: arriving.trace_length,
            received: arriving.received,
            envelope,
            before: None,
        })
    }

    /// Stores the message or queues it, for each recipient.
    async fn deliver(&self, transaction: &Transaction, message: Message) -> Vec<Outcome> {
        let recipients = &transaction.recipients;
        let content = trace::onward(&message.source, message.trace_length);
        let mut outcomes: Vec<Option<Outcome>> = vec![None; recipients.len()];
        // Whoever wants to hear of the delivery gets it from the queue, which reports.
        let reported = |recipient: &Recipient| recipient.notify.success() && !recipient.mailboxes.is_empty();
        let later: Vec<usize> = (0..recipients.len())
            .filter(|&at| reported(&recipients[at]))
            .collect();
        if !later.is_empty() {
            let queued = self
                .enqueue(&message.envelope, recipients, &later, content.clone())
                .await;
            for at in later {
                outcomes[at] = Some(queued.clone());
            }
        }
        let now: Vec<usize> = (0..recipients.len())
            .filter(|&at| outcomes[at].is_none())
            .collect();
        if !now.is_empty() {
            let chosen: Vec<Recipient> = now.iter().map(|&at| recipients[at].clone()).collect();
            let envelope = message.envelope.clone();
            let delivered = deliver(self.host, &self.options.delivery, &chosen, message).await;
            for (&at, outcome) in now.iter().zip(delivered) {
                outcomes[at] = Some(outcome.map_err(|reason| reason.status().into()));
            }
            let failed: Vec<usize> = now
                .into_iter()
                .filter(|&at| matches!(outcomes[at], Some(Err(_))))
                .collect();
            let someone_got_it = failed.len() < recipients.len();
            if self.greeting != Some(Greeting::Lhlo) && someone_got_it && !failed.is_empty() {
                // Refused as a whole, the message would come again to those who have it.
                let queued = self.enqueue(&envelope, recipients, &failed, content).await;
                for at in failed {
                    if queued.is_ok() || queued.as_ref().is_err_and(Reply::is_temporary) {
                        outcomes[at] = Some(queued.clone());
                    }
                }
            }
        }
        let lost = || Err(Undeliverable::MailboxFailed.status().into());
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(lost))
            .collect()
    }

    /// Hands the message over for some recipients.
    async fn enqueue(
        &self,
        envelope: &Envelope,
        recipients: &[Recipient],
        chosen: &[usize],
        content: Bytes,
    ) -> Outcome {
        let recipients = chosen.iter().map(|&at| {
            let recipient = &recipients[at];
            EnvelopeRecipient {
                address: recipient.address.clone(),
                notify: recipient.notify,
                original: recipient.original.clone(),
            }
        });
        let outgoing = Outgoing {
            envelope: envelope.clone(),
            recipients: recipients.collect(),
            content,
        };
        match self.host.enqueue(outgoing).await {
            Ok(id) => {
                tracing::info!(sender = envelope.sender, queue_id = %id, "queued");
                Ok(())
            }
            Err(error) => {
                tracing::error!(sender = envelope.sender, %error, "not queued");
                Err(Undeliverable::from_queue(&error).status().into())
            }
        }
    }

    /// The replies after the data: one a recipient in LMTP (RFC 2033 §4.2), one in all in SMTP.
    fn report(&mut self, transaction: &Transaction, outcomes: &[Outcome], id: &str) {
        let sender = &transaction.envelope.sender;
        for (recipient, outcome) in transaction.recipients.iter().zip(outcomes) {
            match outcome {
                Ok(()) => tracing::info!(sender, recipient = recipient.address, id, "accepted"),
                Err(reason) => {
                    tracing::warn!(sender, recipient = recipient.address, id, ?reason, "not accepted");
                }
            }
        }
        if self.greeting == Some(Greeting::Lhlo) {
            for outcome in outcomes {
                let reply = outcome.clone().err();
                self.answer(&reply.unwrap_or_else(|| Reply::new(250, "2.1.5", format!("accepted as {id}"))));
            }
            return;
        }
        let refusals = || outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        let refusal = refusals()
            .find(|reply| reply.is_temporary())
            .or_else(|| refusals().next());
        let reply = refusal.cloned();
        self.answer(&reply.unwrap_or_else(|| Reply::new(250, "2.6.0", format!("accepted as {id}"))));
    }

    fn trace_header(&self, transaction: &Transaction, time: FileTime, id: &str) -> String {
        let single_recipient = match transaction.recipients.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let address = single_recipient.map(|recipient| recipient.address.as_str());
        trace::header(&trace::Arrival {
            sender: &transaction.envelope.sender,
            single_recipient: address,
            client_name: &self.client_name,
            client: self.connection.peer().ip(),
            server_name: &self.options.host_id,
            protocol: &self.protocol(transaction.envelope.utf8),
            id,
            time,
        })
    }

    /// The word of RFC 3848 and RFC 6531 §4.3 for how the message came.
    fn protocol(&self, utf8: bool) -> String {
        let base = match (self.greeting, utf8) {
            (Some(Greeting::Lhlo), true) => "UTF8LMTP",
            (Some(Greeting::Lhlo), false) => "LMTP",
            (_, true) => "UTF8SMTP",
            (Some(Greeting::Helo), false) => return "SMTP".to_owned(),
            _ => "ESMTP",
        };
        let tls = if self.connection.is_tls() { "S" } else { "" };
        let login = if self.login.is_some() { "A" } else { "" };
        format!("{base}{tls}{login}")
    }
}

fn too_long() -> Reply {
    Reply::new(552, "5.3.4", "the message is too long")
}
