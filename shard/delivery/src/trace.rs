//! Trace fields (RFC 5321 §4.4) that are put before a message as it comes in.
//!
//! `Return-Path` and `Received` are the same for all recipients of a message, so its source is stored,
//! hashed and parsed as one. `Delivered-To` and the `for` clause of `Received` name the recipient only where
//! the envelope has exactly one: with more, they would tell the recipients of each other (RFC 5321 §7.2).

use std::{fmt::Write as _, net::IpAddr};

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
    let _ = write!(header, ";\r\n\t{}\r\n", date(arrival.time));
    header
}

/// RFC 5321 §4.1.3. IPv4 addresses that came through an IPv6 socket are written as IPv4.
fn address_literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

/// RFC 5322 §3.3 in UTC: `Tue, 24 Nov 2026 02:40:38 +0000`.
pub fn date(time: FileTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time.unix_seconds();
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    format!(
        "{}, {day} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month - 1],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month (1 to 12) and day of the Gregorian calendar, from days since 1970-01-01. Years begin in March
/// here so that a leap day is a year's last day.
fn civil_date(days: i64) -> (i64, usize, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let since_year_0 = days + 719_468;
    let era = since_year_0.div_euclid(DAYS_IN_400_YEARS);
    let day_of_era = since_year_0.rem_euclid(DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (
        era * 400 + year_of_era + i64::from(month <= 2),
        month as usize,
        day,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_488_038, "Tue, 24 Nov 2026 02:40:38 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
            (-1, "Wed, 31 Dec 1969 23:59:59 +0000"),
        ] {
            assert_eq!(date(FileTime::from_unix_seconds(seconds)), text);
        }
    }

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
        arrival.single_recipient = None;
        assert!(!header(&arrival).contains("alice"));
    }
}
