//! Who may submit what (RFC 6409): the sender of envelope and header belongs to the account that logged in, and
//! fields that every message has are added.

use std::{collections::hash_map::RandomState, fmt::Write as _, hash::BuildHasher};

use ringpost_convert::header;
use ringpost_delivery::account_of;
use ringpost_directory::Directory;
use ringpost_host::Login;
use ringpost_mapi::FileTime;

use crate::reply::Reply;

/// A message, as far as its check needs to know.
pub(crate) struct Submitted<'a> {
    pub(crate) directory: &'a dyn Directory,
    pub(crate) delivery: &'a ringpost_delivery::Options,
    pub(crate) login: &'a Login,
    /// `host_id`, for Message-ID.
    pub(crate) host_id: &'a str,
    pub(crate) received: FileTime,
}

/// Whether the account that logged in may use this address: its own, an alias of it, with an extension, or
/// that of an account which it may send as.
pub(crate) fn may_send_as(
    directory: &dyn Directory,
    delivery: &ringpost_delivery::Options,
    login: &Login,
    address: &str,
) -> bool {
    account_of(directory, delivery, address).is_ok_and(|account| {
        [&login.username, &login.effective]
            .into_iter()
            .any(|name| directory.may_send_as(&account, name))
    })
}

/// Checks the header that `content` begins with; the fields that it lacks, each with its CRLF.
///
/// # Errors
/// The reply that refuses the message.
pub(crate) fn check(submitted: &Submitted<'_>, content: &[u8]) -> Result<String, Reply> {
    let header = &content[..header_length(content)];
    let mut from = 0;
    let (mut has_date, mut has_message_id) = (false, false);
    for field in header::fields(header) {
        let name = field.name.trim_ascii_end();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("From") || is("Sender") {
            from += usize::from(is("From"));
            check_senders(submitted, &field.unfolded())?;
        }
        has_date |= is("Date");
        has_message_id |= is("Message-ID");
    }
    if from != 1 {
        return Err(Reply::new(550, "5.6.0", "a message has one From field"));
    }
    let mut missing = String::new();
    if !has_date {
        // Writing to a String can't fail.
        let _ = write!(missing, "Date: {}\r\n", header::format_date(submitted.received));
    }
    if !has_message_id {
        let unique = RandomState::new().hash_one(submitted.received.0);
        let (time, host) = (submitted.received.0, submitted.host_id);
        let _ = write!(missing, "Message-ID: <{time:x}.{unique:x}@{host}>\r\n");
    }
    Ok(missing)
}

/// Every address in `value` must be the account's.
fn check_senders(submitted: &Submitted<'_>, value: &[u8]) -> Result<(), Reply> {
    let malformed = || Reply::new(550, "5.6.0", "the message has a malformed sender field");
    let addresses = header::addresses(value);
    // Two readers must not see two senders in it.
    if addresses.is_empty() || at_signs(value) != addresses.len() {
        return Err(malformed());
    }
    for address in addresses {
        let (Some(mailbox), Some(host)) = (address.mailbox, address.host) else {
            return Err(malformed());
        };
        let mut text = String::from_utf8(mailbox).map_err(|_| malformed())?;
        text.push('@');
        text.push_str(std::str::from_utf8(&host).map_err(|_| malformed())?);
        let Submitted {
            directory,
            delivery,
            login,
            ..
        } = submitted;
        if !may_send_as(*directory, delivery, login, &text) {
            tracing::warn!(
                login = login.username,
                sender = text,
                "sender in the header refused"
            );
            return Err(Reply::new(
                550,
                "5.7.1",
                "a sender address of the message is not yours",
            ));
        }
    }
    Ok(())
}

/// At signs outside of quoted strings and comments (RFC 5322 §3.2).
fn at_signs(value: &[u8]) -> usize {
    let (mut count, mut depth, mut quoted, mut escaped) = (0, 0_usize, false, false);
    for &byte in value {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            _ if quoted => {}
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'@' if depth == 0 => count += 1,
            _ => {}
        }
    }
    count
}

/// Up to the empty line, whatever stands before it.
fn header_length(content: &[u8]) -> usize {
    if content.starts_with(b"\r\n") {
        return 0;
    }
    memchr::memmem::find(content, b"\r\n\r\n").map_or(content.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringpost_testhost::TestDirectory;

    fn checked(content: &str) -> Result<String, String> {
        let directory = TestDirectory::new()
            .user("alice@example.test", "a")
            .user("bob@example.test", "b")
            .list("team@example.test", &[])
            .alias("al@example.test", "alice@example.test")
            .send_as("team@example.test", "alice@example.test");
        let login = Login {
            username: "alice@example.test".into(),
            effective: "alice@example.test".into(),
            mailbox: directory.mailbox("alice@example.test"),
            locale: String::new(),
        };
        let delivery = ringpost_delivery::Options {
            recipient_delimiter: "+".into(),
            ..ringpost_delivery::Options::default()
        };
        let submitted = Submitted {
            directory: &directory,
            delivery: &delivery,
            login: &login,
            host_id: "mail.example.test",
            received: FileTime::from_unix_seconds(0),
        };
        check(&submitted, content.as_bytes()).map_err(|reply| format!("{reply:?}"))
    }

    #[test]
    fn missing_fields_are_added_and_no_others() {
        let added = checked("From: alice@example.test\r\n\r\nDate: in the body\r\n").unwrap();
        assert!(
            added.starts_with("Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <"),
            "{added}"
        );
        assert!(added.ends_with("@mail.example.test>\r\n"));
        let complete = "From: Al <al@example.test>\r\ndate: x\r\nmessage-id: <1@a>\r\n\r\n";
        assert_eq!(checked(complete), Ok(String::new()));
    }

    #[test]
    fn own_addresses_are_aliases_extensions_and_rights() {
        for from in [
            "al@example.test",
            "ALICE@EXAMPLE.TEST",
            "alice+news@example.test",
            "\"ceo@example.test\" <alice@example.test>",
            "Team <team@example.test>",
            "alice@example.test, team@example.test",
            "alice@example.test (not bob@example.test)",
            "=?utf-8?q?Al?=\r\n <al@example.test>",
        ] {
            assert!(checked(&format!("From: {from}\r\n\r\n")).is_ok(), "{from}");
        }
    }

    #[test]
    fn spoofed_senders_are_refused() {
        for header in [
            "From: bob@example.test",
            "From: alice@example.test, bob@example.test",
            "From: bob@example.test <alice@example.test>",
            "From: <alice@example.test> <bob@example.test>",
            "From: alice@example.test\r\nSender: bob@example.test",
            "From: alice@example.test\r\nFrom: bob@example.test",
            "From: alice@example.test\r\nFrom : bob@example.test",
            "From: alice@example.test\r\nnot a field\r\nFrom: bob@example.test",
            "From: Team: alice@example.test;",
            "From: alice@example.test@example.net",
            "From: x@example.net",
            "From: alice",
            "From:",
            "Subject: none",
        ] {
            assert!(checked(&format!("{header}\r\n\r\n")).is_err(), "{header}");
        }
        assert!(checked("\r\nFrom: alice@example.test\r\n\r\n").is_err());
        assert!(checked("").is_err());
    }
}
