//! Several messages in one file, as Unix mail programs keep them (RFC 4155).
//!
//! Line ends are LF. A line of a message that begins with `From `, or did before it was quoted, gets a `>` in front
//! and loses it when it is read: so every message comes back as it was. (RFC 4155 leaves open which way of
//! quoting there is; readers that know another one show one `>` more.)

use std::borrow::Cow;

use ringpost_mapi::{
    FileTime,
    calendar::{MONTHS, SECONDS_PER_DAY, civil_from_days, weekday},
};

use crate::header::{self, addresses, parse_date};

/// Who sends what does not say who sent it.
const NOBODY: &[u8] = b"MAILER-DAEMON";

/// Appends a message. `now` is when it came, if nothing in it says when.
pub fn append(out: &mut Vec<u8>, message: &[u8], now: FileTime) {
    let message = without_separator(message);
    let end = header::end_of_header(message, 0, |_| false);
    let fields = &message[..end];
    out.reserve(message.len() + 80);
    out.extend_from_slice(b"From ");
    out.extend_from_slice(&sender(fields));
    out.push(b' ');
    out.extend_from_slice(date(received(fields).unwrap_or(now)).as_bytes());
    out.push(b'\n');
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if is_quoted_from(content) {
            out.push(b'>');
        }
        out.extend_from_slice(content);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The messages of an mbox, with LF or CRLF line ends as they are there.
pub fn messages(mbox: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let mut rest = mbox;
    // What comes before the first separator is no message.
    skip_to_separator(&mut rest, true);
    std::iter::from_fn(move || {
        let start = memchr::memchr(b'\n', rest)? + 1;
        rest = &rest[start..];
        let message = skip_to_separator(&mut rest, false);
        // The empty line belongs to the separator behind it.
        let body = message
            .strip_suffix(b"\n")
            .map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        let message = body
            .filter(|text| text.is_empty() || text.ends_with(b"\n"))
            .unwrap_or(message);
        Some(unquoted(message))
    })
}

/// What comes before the next separator; `rest` is then what begins with it.
fn skip_to_separator<'a>(rest: &mut &'a [u8], mut after_empty: bool) -> &'a [u8] {
    let whole = *rest;
    let mut at = 0;
    while let Some(line) = whole.get(at..).filter(|line| !line.is_empty()) {
        let length = memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
        let line = line[..length].trim_ascii_end();
        if line.starts_with(b"From ") && (after_empty || has_time(line)) {
            break;
        }
        after_empty = line.is_empty();
        at += length;
    }
    *rest = &whole[at..];
    &whole[..at]
}

/// Whether there is something like `12:00` behind the sender, as separators have it, also those that no empty line
/// precedes.
fn has_time(line: &[u8]) -> bool {
    line.windows(5)
        .any(|five| five[2] == b':' && [0, 1, 3, 4].iter().all(|&at: &usize| five[at].is_ascii_digit()))
        && line.len() < 200
}

/// `From `, with any number of `>` in front.
fn is_quoted_from(line: &[u8]) -> bool {
    let marks = line.iter().take_while(|&&byte| byte == b'>').count();
    line[marks..].starts_with(b"From ")
}

fn unquoted(message: &[u8]) -> Cow<'_, [u8]> {
    let quoted = |line: &[u8]| line.starts_with(b">") && is_quoted_from(line);
    let lines = || message.split_inclusive(|&byte| byte == b'\n');
    if !lines().any(quoted) {
        return Cow::Borrowed(message);
    }
    let mut out = Vec::with_capacity(message.len());
    for line in lines() {
        out.extend_from_slice(&line[usize::from(quoted(line))..]);
    }
    Cow::Owned(out)
}

/// The message without the separator of an mbox that it was cut out of.
fn without_separator(message: &[u8]) -> &[u8] {
    if !message.starts_with(b"From ") {
        return message;
    }
    memchr::memchr(b'\n', message).map_or(&[], |end| &message[end + 1..])
}

/// The envelope's sender, or the header's: without blanks, which would end it.
fn sender(fields: &[u8]) -> Vec<u8> {
    let found = ["Return-Path", "Sender", "From"].iter().find_map(|name| {
        let list = addresses(&header::field(fields, name)?.unfolded());
        list.into_iter().find_map(|address| {
            let (mailbox, host) = (address.mailbox?, address.host?);
            (!mailbox.is_empty() && !host.is_empty()).then(|| [mailbox, host].join(&b'@'))
        })
    });
    match found {
        Some(address) if address.iter().all(u8::is_ascii_graphic) => address,
        _ => NOBODY.to_vec(),
    }
}

/// When the message was delivered, or written.
fn received(fields: &[u8]) -> Option<FileTime> {
    let delivered = header::field(fields, "Received").and_then(|field| {
        let value = field.unfolded();
        parse_date(&value[memchr::memrchr(b';', &value)? + 1..])
    });
    delivered.or_else(|| parse_date(&header::field(fields, "Date")?.unfolded()))
}

/// A date as C's `asctime` writes it, in UTC.
fn date(time: FileTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let seconds = time.unix_seconds();
    let (days, second) = (
        seconds.div_euclid(SECONDS_PER_DAY),
        seconds.rem_euclid(SECONDS_PER_DAY),
    );
    let (year, month, day) = civil_from_days(days);
    format!(
        "{} {} {day:2} {:02}:{:02}:{:02} {year}",
        DAYS[weekday(days) as usize],
        MONTHS[(month - 1) as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// 2026-11-24 02:40:38.
    fn now() -> FileTime {
        FileTime::from_unix_seconds(1_795_488_038)
    }

    fn mbox(messages: &[&str]) -> String {
        let mut out = Vec::new();
        for message in messages {
            append(&mut out, message.as_bytes(), now());
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn separators() {
        assert_eq!(
            mbox(&[
                "Return-Path: <bounce@x.test>\r\nFrom: A <a@x.test>\r\nReceived: from a by b;\r\n Thu, 1 Jan 1970 00:00:09 +0000\r\n\r\nFrom here\r\n>From there\r\n> From\r\nfrom\r\n",
                "From: =?utf-8?q?=C3=BC?= <b@x.test>\nDate: Fri, 2 Jan 1970 03:04:05 +0100\n\nno line end",
                "From old Thu Jan  1 00:00:00 1970\nSubject: cut out\n\n",
                "\n",
                "",
            ]),
            "From bounce@x.test Thu Jan  1 00:00:09 1970\nReturn-Path: <bounce@x.test>\nFrom: A <a@x.test>\n\
             Received: from a by b;\n Thu, 1 Jan 1970 00:00:09 +0000\n\n>From here\n>>From there\n> From\nfrom\n\n\
             From b@x.test Fri Jan  2 02:04:05 1970\nFrom: =?utf-8?q?=C3=BC?= <b@x.test>\n\
             Date: Fri, 2 Jan 1970 03:04:05 +0100\n\nno line end\n\n\
             From MAILER-DAEMON Tue Nov 24 02:40:38 2026\nSubject: cut out\n\n\n\
             From MAILER-DAEMON Tue Nov 24 02:40:38 2026\n\n\n\
             From MAILER-DAEMON Tue Nov 24 02:40:38 2026\n\n"
        );
    }

    #[test]
    fn nobody_forges_a_separator() {
        let forged = mbox(&["From: <\"a b\"@x>\n\nx\n\nFrom a@b Thu Jan  1 00:00:00 1970\n\ny\n"]);
        assert!(forged.starts_with("From MAILER-DAEMON "), "{forged}");
        assert_eq!(messages(forged.as_bytes()).count(), 1);
    }

    #[test]
    fn what_others_write() {
        let text = b"garbage\nFrom a@b Thu Jan  1 00:00:00 1970\r\nSubject: 1\r\n\r\nx\r\nFrom c@d Thu Jan  1 00:00:00 1970\n\
                     Subject: 2\n\nx\nFrom now on\n\nFrom e@f without a date\nSubject: 3\n\n";
        let found: Vec<_> = messages(text).map(Cow::into_owned).collect();
        // Only a date, or an empty line before it, makes a line a separator.
        let expected = [
            &b"Subject: 1\r\n\r\nx\r\n"[..],
            b"Subject: 2\n\nx\nFrom now on\n",
            b"Subject: 3\n",
        ];
        assert_eq!(found, expected.map(<[u8]>::to_vec));
        assert_eq!(messages(b"").count(), 0);
        assert_eq!(messages(b"no mbox\n").count(), 0);
    }

    proptest! {
        #[test]
        fn messages_come_back(sources in vec("((>{0,3}From |a|: |x@y|12:00|\r)*\n){0,12}", 0..5)) {
            let sources: Vec<String> = sources
                .iter()
                .map(|source| source.replace('\r', ""))
                .filter(|source| !source.starts_with("From "))
                .collect();
            let list: Vec<&str> = sources.iter().map(String::as_str).collect();
            let written = mbox(&list);
            let back: Vec<String> = messages(written.as_bytes())
                .map(|message| String::from_utf8(message.into_owned()).unwrap())
                .collect();
            prop_assert_eq!(back, sources);
        }
    }
}
