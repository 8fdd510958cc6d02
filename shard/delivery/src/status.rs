//! What became of a recipient, and how SMTP says so: the one place that maps failures to enhanced status
//! codes (RFC 3463, RFC 5248).

use std::{borrow::Cow, fmt};

use ringpost_host::{CallError, EnqueueError};
use ringpost_store::StoreError;

/// A reply's meaning: the basic code (RFC 5321 §4.2), the enhanced code (RFC 3463) and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Such as 550.
    pub code: u16,
    /// Such as `5.1.1`.
    pub enhanced: &'static str,
    /// For people; one line of ASCII.
    pub text: Cow<'static, str>,
}

impl Status {
    /// A status with a fixed text.
    pub const fn new(code: u16, enhanced: &'static str, text: &'static str) -> Self {
        Self {
            code,
            enhanced,
            text: Cow::Borrowed(text),
        }
    }

    /// Whether the sender's server should try again later.
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.enhanced, self.text)
    }
}

/// Why a recipient does not get a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undeliverable {
    /// The domain is not served here: no relaying.
    #[error("relay access denied")]
    NotLocal,
    /// The domain is served here and has no such address.
    #[error("no such recipient")]
    UnknownRecipient,
    /// The domain is suspended.
    #[error("the domain is suspended")]
    DomainDisabled,
    /// The account may not receive mail.
    #[error("the mailbox is disabled and accepts no messages")]
    Disabled,
    /// The account has no mailbox, or none that mail can be sent to.
    #[error("the recipient has no mailbox for mail")]
    NoMailbox,
    /// The recipient is a contact, a forward or a group whose mail would have to leave this server.
    #[error("mail for this recipient leaves this server, which can't send mail out")]
    Outgoing,
    /// The sender may not write to this group.
    #[error("the sender may not write to this list")]
    SenderNotAllowed,
    /// A group without a member that can receive mail.
    #[error("the list has no members that can receive mail")]
    EmptyGroup,
    /// A group passes [`crate::MAILBOXES_MAX`] or [`crate::EXPANSION_MAX`].
    #[error("the list expands to too many recipients")]
    TooManyMembers,
    /// The message has come by here too often.
    #[error("mail loop: the message has made too many hops")]
    Loop,
    /// The mailbox is full.
    #[error("the mailbox is full")]
    OverQuota,
    /// The mailbox is full, and the administrator wants the sender's server to keep trying.
    #[error("the mailbox is full for now")]
    OverQuotaForNow,
    /// The message passes another limit of the mailbox.
    #[error("the message exceeds a limit of the mailbox")]
    LimitExceeded,
    /// No space left for the mailbox.
    #[error("insufficient storage")]
    DiskFull,
    /// The queue, through which mail leaves this server, does not take it now.
    #[error("the queue takes no mail now, try again later")]
    QueueFailed,
    /// The server is busy or stopping.
    #[error("the server is busy or stopping, try again later")]
    Busy,
    /// The mailbox can't be used now; the log has the reason.
    #[error("the mailbox can't be used now, try again later")]
    MailboxFailed,
}

impl Undeliverable {
    /// The reply that says so.
    pub fn status(&self) -> Status {
        let (code, enhanced) = match self {
            Self::NotLocal => (550, "5.7.1"),
            Self::UnknownRecipient => (550, "5.1.1"),
            Self::DomainDisabled | Self::Disabled => (550, "5.2.1"),
            Self::NoMailbox => (550, "5.2.0"),
            Self::Outgoing => (550, "5.3.3"),
            Self::SenderNotAllowed => (550, "5.7.2"),
            Self::EmptyGroup => (550, "5.2.4"),
            Self::TooManyMembers => (550, "5.5.3"),
            Self::Loop => (554, "5.4.6"),
            Self::OverQuota => (552, "5.2.2"),
            Self::OverQuotaForNow => (452, "4.2.2"),
            Self::LimitExceeded => (552, "5.2.3"),
            Self::DiskFull => (452, "4.3.1"),
            Self::QueueFailed => (451, "4.3.0"),
            Self::Busy => (451, "4.3.2"),
            Self::MailboxFailed => (451, "4.2.0"),
        };
        Status {
            code,
            enhanced,
            text: Cow::Owned(self.to_string()),
        }
    }

    /// Whether the sender's server should try again later.
    pub fn is_temporary(&self) -> bool {
        self.status().is_temporary()
    }

    /// What the queue's refusal means for a recipient.
    pub fn from_queue(error: &EnqueueError) -> Self {
        match error {
            EnqueueError::NoQueue => Self::Outgoing,
            EnqueueError::Recipients => Self::TooManyMembers,
            EnqueueError::DiskFull => Self::DiskFull,
            EnqueueError::Unavailable => Self::Busy,
            _ => Self::QueueFailed,
        }
    }

    /// What a failed call to a mailbox means for its recipient. Whatever may be the server's own fault is
    /// temporary: mail waits at the sender's server until the administrator has mended it.
    pub fn from_call(error: &CallError, over_quota_is_temporary: bool) -> Self {
        match error {
            CallError::Store(StoreError::LimitExceeded(limit)) if is_quota(limit) => {
                if over_quota_is_temporary {
                    Self::OverQuotaForNow
                } else {
                    Self::OverQuota
                }
            }
            CallError::Store(StoreError::LimitExceeded(_)) => Self::LimitExceeded,
            CallError::Store(StoreError::DiskFull) => Self::DiskFull,
            CallError::Unavailable => Self::Busy,
            _ => Self::MailboxFailed,
        }
    }
}

/// The store names the limit that was passed; its quotas have "quota" in their name.
fn is_quota(limit: &str) -> bool {
    limit.to_ascii_lowercase().contains("quota")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_server_are_temporary_and_quotas_follow_the_option() {
        let quota = CallError::Store(StoreError::LimitExceeded("receive quota"));
        assert_eq!(Undeliverable::from_call(&quota, false).status().enhanced, "5.2.2");
        assert_eq!(Undeliverable::from_call(&quota, true).status().code, 452);
        for error in [
            CallError::Unavailable,
            CallError::Panicked,
            CallError::Store(StoreError::DiskFull),
            CallError::Store(StoreError::NewerSchema { found: 2, known: 1 }),
        ] {
            assert!(Undeliverable::from_call(&error, false).is_temporary(), "{error}");
        }
        let limit = CallError::Store(StoreError::LimitExceeded("message size"));
        assert_eq!(
            Undeliverable::from_call(&limit, true).status().to_string()[..9],
            *"552 5.2.3"
        );
    }
}
