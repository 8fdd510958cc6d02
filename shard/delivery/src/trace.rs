//! Trace fields (RFC 5321 §4.4) that are put before a message as it comes in.
//!
//! `Return-Path` and `Received` are the same for all recipients of a message, so its source is stored,
//! hashed and parsed as one. `Delivered-To` and the `for` clause of `Received` name the recipient only where
//! the envelope has exactly one: with more, they would tell the recipients of each other (RFC 5321 §7.2).

use std::{fmt::Write as _, net::IpAddr};

use bytes::Bytes;
use ringpost_convert::header::format_date;
use ringpost_mapi::FileTime;

/// What is known of a message's arrival.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// The reverse-path; empty for `<>`.
    pub sender: &'a str,
    /// The recipient, when there is exactly one.
    pub single_recipient: Option<&'a str>,
    /// What the client called itself.
    pub client_name: &'a str,
    /// Where it is.
    pub client: IpAddr,
    /// `host_id`
    pub server_name: &'a str,
    /// `LMTP`, `LMTPS`, `UTF8LMTP`, `ESMTP` and so on (RFC 3848, RFC 6531 §4.3).
    pub protocol: &'a str,
    /// Names this transaction in the log.
    pub id: &'a str,
    /// When.
    pub time: FileTime,
}

/// The trace fields, each with its CRLF.
pub fn header(arrival: &Arrival<'_>) -> String {
    let mut header = String::with_capacity(400);
    let clean = |text: &str| text.replace(|c: char| c.is_control(), "");
    // Writing to a String can't fail.
    let _ = write!(header, "Return-Path: <{}>\r\n", clean(arrival.sender));
    if let Some(recipient) = arrival.single_recipient {
        let _ = write!(header, "Delivered-To: {}\r\n", clean(recipient));
    }
    let _ = write!(
        header,
        "Received: from {} ({})\r\n\tby {} with {} id {}",
        clean(arrival.client_name),
        address_literal(arrival.client),
        clean(arrival.server_name),
        arrival.protocol,
        arrival.id
    );
    if let Some(recipient) = arrival.single_recipient {
        let _ = write!(header, "\r\n\tfor <{}>", clean(recipient));
    }
    let _ = write!(header, ";\r\n\t{}\r\n", format_date(arrival.time));
    header
}

/// A message without the trace fields that only a last server writes (`Return-Path`, `Delivered-To`): what goes
/// on to another server, or waits in the queue.
pub fn onward(source: &Bytes, trace_length: usize) -> Bytes {
    let mut at = 0;
    while let Some(line) = source.get(at..trace_length)
        && (line.starts_with(b"Return-Path:") || line.starts_with(b"Delivered-To:"))
    {
        at += memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
    }
    source.slice(at..)
}

/// RFC 5321 §4.1.3. IPv4 addresses that came through an IPv6 socket are written as IPv4.
fn address_literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_recipients_are_not_told_of_each_other() {
        let mut arrival = Arrival {
            sender: "s@example.org",
            single_recipient: Some("alice@example.test"),
            client_name: "mx.example.org",
            client: "::ffff:192.0.2.1".parse().unwrap(),
            server_name: "mail.example.test",
            protocol: "LMTPS",
            id: "1a",
            time: FileTime::from_unix_seconds(0),
        };
        assert_eq!(
            header(&arrival),
            "Return-Path: <s@example.org>\r\nDelivered-To: alice@example.test\r\n\
             Received: from mx.example.org ([192.0.2.1])\r\n\tby mail.example.test with LMTPS id 1a\r\n\
             \tfor <alice@example.test>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        let whole = Bytes::from(header(&arrival) + "Subject: x\r\n\r\n");
        let onward = onward(&whole, whole.len() - 14);
        assert!(onward.starts_with(b"Received: from mx.example.org"));
        assert!(onward.ends_with(b"\r\nSubject: x\r\n\r\n"));
        arrival.single_recipient = None;
        assert!(!header(&arrival).contains("alice"));
    }
}
