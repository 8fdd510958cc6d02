//! Operations on queued messages, as records hold them.

use bytes::Bytes;

use crate::{
    ADDRESS_MAX, BodyKind, CONTENT_MAX, Envelope, EnvelopeRecipient, Notify, Outgoing, PARAMETER_MAX,
    QUEUED_RECIPIENTS_MAX, QueueId, ReturnContent, STATUS_MAX,
};

/// A message in the queue, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: QueueId,
    /// When it came, in milliseconds since 1970.
    pub queued_ms: u64,
    /// What MAIL said.
    pub envelope: Envelope,
    /// Everyone who was to get it; see [`Recipient::state`] for those who still are.
    pub recipients: Vec<Recipient>,
    /// Length of the content in bytes.
    pub length: u32,
    /// Attempts that ended without the message being rid of all its recipients.
    pub attempts: u32,
    /// When it is to be tried next, in milliseconds since 1970.
    pub next_ms: u64,
    /// Recipients that a copy was being sent to when the server ended: they may have it.
    pub uncertain: u32,
    /// An attempt was under way when the server ended: mailboxes of this server may have it, and can be asked.
    pub interrupted: bool,
}

impl Entry {
    /// A message that has just come.
    pub fn new(id: QueueId, now_ms: u64, message: &Outgoing) -> Self {
        let recipients = message.recipients.iter().map(|recipient| Recipient {
            recipient: recipient.clone(),
            state: RecipientState::Pending,
            delay_told: false,
            status: String::new(),
        });
        Self {
            id,
            queued_ms: now_ms,
            envelope: message.envelope.clone(),
            recipients: recipients.collect(),
            length: message.content.len() as u32,
            attempts: 0,
            next_ms: now_ms,
            uncertain: 0,
            interrupted: false,
        }
    }

    /// Recipients that still are to get it.
    pub fn pending(&self) -> usize {
        let pending = |recipient: &&Recipient| recipient.state == RecipientState::Pending;
        self.recipients.iter().filter(pending).count()
    }

    /// Does to the entry what an update says. Numbers of no recipient are passed over.
    pub fn apply(&mut self, attempts: u32, next_ms: u64, changes: &[(u32, Recipient)]) {
        self.attempts = attempts;
        self.next_ms = next_ms;
        self.uncertain = 0;
        self.interrupted = false;
        for (number, change) in changes {
            if let Some(recipient) = self.recipients.get_mut(*number as usize) {
                recipient.state = change.state;
                recipient.delay_told = change.delay_told;
                recipient.status.clone_from(&change.status);
            }
        }
    }
}

/// A recipient in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// What RCPT said.
    pub recipient: EnvelopeRecipient,
    /// Whether anything is left to do.
    pub state: RecipientState,
    /// Its sender knows that it takes long.
    pub delay_told: bool,
    /// What was last said of it, at most [`STATUS_MAX`] octets: `451 4.7.1 greylisted`.
    pub status: String,
}

/// Whether anything is left to do for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// It is to get the message.
    Pending,
    /// It has it, or its failure is reported.
    Done,
}

/// A change of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A message came.
    Add(Entry, Bytes),
    /// An attempt ended. Of the changed recipients the address stays what it was and is not written.
    Update {
        /// Which message.
        id: QueueId,
        /// See [`Entry::attempts`].
        attempts: u32,
        /// See [`Entry::next_ms`].
        next_ms: u64,
        /// Number and new state of the recipients that changed.
        changes: Vec<(u32, Recipient)>,
    },
    /// An attempt is about to give recipients their copies.
    Sending {
        /// Which message.
        id: QueueId,
        /// How many of them nobody can ask afterwards: those of another server.
        recipients: u32,
    },
    /// Nothing is left to do for a message.
    Remove(QueueId),
}

/// Why a record's payload is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It ends too early.
    #[error("the record ends too early")]
    Short,
    /// A length, a number or a text that can't be.
    #[error("invalid {0}")]
    Invalid(&'static str),
}

const ADD: u8 = 1;
const UPDATE: u8 = 2;
const SENDING: u8 = 3;
const REMOVE: u8 = 4;

impl Operation {
    /// Appends the operation to a payload. An `Add`'s content begins at the returned offset of `out`.
    pub fn write(&self, out: &mut Vec<u8>) -> usize {
        match self {
            Self::Add(entry, content) => {
                out.push(ADD);
                write_entry(entry, out);
                out.extend_from_slice(&(content.len() as u32).to_le_bytes());
                out.extend_from_slice(content);
                return out.len() - content.len();
            }
            Self::Update {
                id,
                attempts,
                next_ms,
                changes,
            } => {
                out.push(UPDATE);
                out.extend_from_slice(&id.0.to_le_bytes());
                out.extend_from_slice(&attempts.to_le_bytes());
                out.extend_from_slice(&next_ms.to_le_bytes());
                out.extend_from_slice(&(changes.len() as u32).to_le_bytes());
                for (number, recipient) in changes {
                    out.extend_from_slice(&number.to_le_bytes());
                    write_state(recipient, out);
                }
            }
            Self::Sending { id, recipients } => {
                out.push(SENDING);
                out.extend_from_slice(&id.0.to_le_bytes());
                out.extend_from_slice(&recipients.to_le_bytes());
            }
            Self::Remove(id) => {
                out.push(REMOVE);
                out.extend_from_slice(&id.0.to_le_bytes());
            }
        }
        out.len()
    }
}

/// Reads a payload. With each operation comes where an `Add`'s content begins in the payload.
///
/// The content is the payload's own memory: nothing is copied.
pub fn read_operations(payload: &Bytes) -> Result<Vec<(Operation, usize)>, RecordError> {
    let mut reader = Reader { payload, at: 0 };
    let mut operations = Vec::new();
    while reader.at < payload.len() {
        let operation = match reader.byte()? {
            ADD => {
                let mut entry = reader.entry()?;
                let length = reader.number()? as usize;
                let at = reader.at;
                let content = reader.bytes(length, CONTENT_MAX)?;
                entry.length = length as u32;
                operations.push((Operation::Add(entry, content), at));
                continue;
            }
            UPDATE => {
                let id = QueueId(reader.long()?);
                let attempts = reader.number()?;
                let next_ms = reader.long()?;
                let count = reader.count()?;
                let mut changes = Vec::new();
                for _ in 0..count {
                    let number = reader.number()?;
                    changes.push((number, reader.state(EnvelopeRecipient::default())?));
                }
                Operation::Update {
                    id,
                    attempts,
                    next_ms,
                    changes,
                }
            }
            SENDING => Operation::Sending {
                id: QueueId(reader.long()?),
                recipients: reader.number()?,
            },
            REMOVE => Operation::Remove(QueueId(reader.long()?)),
            _ => return Err(RecordError::Invalid("operation")),
        };
        operations.push((operation, reader.at));
    }
    Ok(operations)
}

fn write_entry(entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(&entry.id.0.to_le_bytes());
    out.extend_from_slice(&entry.queued_ms.to_le_bytes());
    out.extend_from_slice(&entry.next_ms.to_le_bytes());
    out.extend_from_slice(&entry.attempts.to_le_bytes());
    let envelope = &entry.envelope;
    let body = match envelope.body {
        BodyKind::SevenBit => 0_u8,
        BodyKind::EightBit => 1,
        BodyKind::Binary => 2,
    };
    let returned = match envelope.return_content {
        None => 0_u8,
        Some(ReturnContent::Full) => 1,
        Some(ReturnContent::Headers) => 2,
    };
    out.push(body | u8::from(envelope.utf8) << 2 | returned << 3);
    write_text(&envelope.sender, ADDRESS_MAX, out);
    write_text(
        envelope.envelope_id.as_deref().unwrap_or_default(),
        PARAMETER_MAX,
        out,
    );
    out.extend_from_slice(&(entry.recipients.len() as u32).to_le_bytes());
    for recipient in &entry.recipients {
        write_text(&recipient.recipient.address, ADDRESS_MAX, out);
        let notify = match recipient.recipient.notify {
            Notify::Default => 0_u8,
            Notify::Never => 1,
            Notify::On {
                success,
                failure,
                delay,
            } => 2 | u8::from(success) << 2 | u8::from(failure) << 3 | u8::from(delay) << 4,
        };
        out.push(notify);
        let original = recipient.recipient.original.as_deref();
        write_text(original.unwrap_or_default(), PARAMETER_MAX, out);
        write_state(recipient, out);
    }
}

fn write_state(recipient: &Recipient, out: &mut Vec<u8>) {
    out.push(u8::from(recipient.state == RecipientState::Done) | u8::from(recipient.delay_told) << 1);
    write_text(&recipient.status, STATUS_MAX, out);
}

/// Texts were checked where they came in; one that is too long all the same is cut, not refused.
fn write_text(text: &str, limit: usize, out: &mut Vec<u8>) {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

struct Reader<'a> {
    payload: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let rest = self.payload.get(self.at..).ok_or(RecordError::Short)?;
        let array = rest.first_chunk::<N>().ok_or(RecordError::Short)?;
        self.at += N;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(self.array::<1>()?[0])
    }

    fn number(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn long(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self, length: usize, limit: usize) -> Result<Bytes, RecordError> {
        if length > limit {
            return Err(RecordError::Invalid("length"));
        }
        let end = self.at.checked_add(length).ok_or(RecordError::Short)?;
        if end > self.payload.len() {
            return Err(RecordError::Short);
        }
        let bytes = self.payload.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }

    fn text(&mut self, limit: usize) -> Result<String, RecordError> {
        let length = u16::from_le_bytes(self.array()?) as usize;
        let bytes = self.bytes(length, limit)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| RecordError::Invalid("text"))?;
        Ok(text.to_owned())
    }

    fn count(&mut self) -> Result<usize, RecordError> {
        let count = self.number()? as usize;
        if count > QUEUED_RECIPIENTS_MAX {
            return Err(RecordError::Invalid("number of recipients"));
        }
        Ok(count)
    }

    fn state(&mut self, recipient: EnvelopeRecipient) -> Result<Recipient, RecordError> {
        let flags = self.byte()?;
        if flags > 3 {
            return Err(RecordError::Invalid("state"));
        }
        Ok(Recipient {
            recipient,
            state: if flags & 1 == 0 {
                RecipientState::Pending
            } else {
                RecipientState::Done
            },
            delay_told: flags & 2 != 0,
            status: self.text(STATUS_MAX)?,
        })
    }

    fn entry(&mut self) -> Result<Entry, RecordError> {
        let id = QueueId(self.long()?);
        let queued_ms = self.long()?;
        let next_ms = self.long()?;
        let attempts = self.number()?;
        let flags = self.byte()?;
        let body = match flags & 3 {
            0 => BodyKind::SevenBit,
            1 => BodyKind::EightBit,
            2 => BodyKind::Binary,
            _ => return Err(RecordError::Invalid("body")),
        };
        let return_content = match flags >> 3 {
            0 => None,
            1 => Some(ReturnContent::Full),
            2 => Some(ReturnContent::Headers),
            _ => return Err(RecordError::Invalid("return")),
        };
        let sender = self.text(ADDRESS_MAX)?;
        let envelope_id = Some(self.text(PARAMETER_MAX)?).filter(|id| !id.is_empty());
        let count = self.count()?;
        let mut recipients = Vec::new();
        for _ in 0..count {
            let address = self.text(ADDRESS_MAX)?;
            let notify = match self.byte()? {
                0 => Notify::Default,
                1 => Notify::Never,
                bits if bits & 3 == 2 && bits < 32 => Notify::On {
                    success: bits & 4 != 0,
                    failure: bits & 8 != 0,
                    delay: bits & 16 != 0,
                },
                _ => return Err(RecordError::Invalid("notify")),
            };
            let original = Some(self.text(PARAMETER_MAX)?).filter(|original| !original.is_empty());
            recipients.push(self.state(EnvelopeRecipient {
                address,
                notify,
                original,
            })?);
        }
        Ok(Entry {
            id,
            queued_ms,
            envelope: Envelope {
                sender,
                body,
                utf8: flags & 4 != 0,
                return_content,
                envelope_id,
            },
            recipients,
            length: 0,
            attempts,
            next_ms,
            uncertain: 0,
            interrupted: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let message = Outgoing {
            envelope: Envelope {
                sender: "a@example.test".into(),
                body: BodyKind::EightBit,
                utf8: true,
                return_content: Some(ReturnContent::Headers),
                envelope_id: Some("id 1".into()),
            },
            recipients: vec![
                EnvelopeRecipient::new("b@example.net"),
                EnvelopeRecipient {
                    address: "ü@example.net".into(),
                    notify: Notify::On {
                        success: true,
                        failure: false,
                        delay: true,
                    },
                    original: Some("rfc822;c@example.net".into()),
                },
            ],
            content: Bytes::from_static(b"Subject: s\r\n\r\n"),
        };
        Entry::new(QueueId(77), 1_700_000_000_000, &message)
    }

    #[test]
    fn operations_come_back_as_they_were() {
        let mut changed = entry().recipients[1].clone();
        changed.state = RecipientState::Done;
        changed.delay_told = true;
        changed.status = "250 2.0.0 ok".into();
        changed.recipient = EnvelopeRecipient::default();
        let operations = [
            Operation::Add(entry(), Bytes::from_static(b"Subject: s\r\n\r\n")),
            Operation::Update {
                id: QueueId(77),
                attempts: 3,
                next_ms: 5,
                changes: vec![(1, changed)],
            },
            Operation::Sending {
                id: QueueId(77),
                recipients: 2,
            },
            Operation::Remove(QueueId(77)),
        ];
        let mut payload = Vec::new();
        let at = operations[0].write(&mut payload);
        for operation in &operations[1..] {
            operation.write(&mut payload);
        }
        let payload = Bytes::from(payload);
        let read = read_operations(&payload).unwrap();
        assert_eq!(read[0].1, at);
        let read: Vec<_> = read.into_iter().map(|(operation, _)| operation).collect();
        assert_eq!(read, operations);
        for cut in 1..payload.len() {
            // What is cut is an error or fewer operations, and never a panic.
            if let Ok(read) = read_operations(&payload.slice(..cut)) {
                assert!(read.len() < operations.len());
            }
        }
    }

    #[test]
    fn an_update_changes_the_recipients_that_it_names() {
        let mut entry = entry();
        let mut done = entry.recipients[0].clone();
        done.state = RecipientState::Done;
        entry.apply(1, 9, &[(0, done.clone()), (7, done)]);
        assert_eq!((entry.pending(), entry.attempts, entry.next_ms), (1, 1, 9));
        assert_eq!(entry.recipients[0].recipient.address, "b@example.net");
    }

    #[test]
    fn a_count_beyond_the_limit_is_refused() {
        let mut payload = vec![UPDATE];
        payload.extend_from_slice(&[0; 20]);
        payload.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            read_operations(&Bytes::from(payload)),
            Err(RecordError::Invalid("number of recipients"))
        );
    }
}
