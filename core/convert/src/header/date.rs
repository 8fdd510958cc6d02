//! Dates (RFC 5322 3.3, 4.3), with and without what is optional.

use ringpost_mapi::{
    FileTime,
    calendar::{MONTHS, SECONDS_PER_DAY, civil_from_days, days_from_civil, weekday},
};

use super::address::comment;

/// The time of a `Date:` value; `None` where it isn't one.
pub fn parse_date(value: &[u8]) -> Option<FileTime> {
    let plain = without_spaced_colons(&without_comments(value));
    let text = std::str::from_utf8(&plain).ok()?;
    let mut words = text
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty())
        .peekable();
    // The day of the week says nothing.
    words.next_if(|word| word.as_bytes()[0].is_ascii_alphabetic());
    let mut dashed;
    let first = words.next()?;
    // 21-Nov-97, as news had it.
    let (day, month, year) = if first.contains('-') {
        dashed = first.split('-');
        (dashed.next()?, dashed.next()?, dashed.next()?)
    } else {
        (first, words.next()?, words.next()?)
    };
    let day: i64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = MONTHS.iter().position(|name| {
        month
            .get(..3)
            .is_some_and(|month| month.eq_ignore_ascii_case(name))
    })? as i64;
    let digits = year.len();
    let year: i64 = year.parse().ok().filter(|year| (0..=9999).contains(year))?;
    let year = match (digits, year) {
        (2, 0..=49) => year + 2000,
        (2 | 3, _) => year + 1900,
        _ => year,
    };
    let mut time = words.next()?.split([':', '.']);
    let mut number = |limit: i64| -> Option<i64> {
        let word = time.next().unwrap_or("0");
        word.parse().ok().filter(|number| (0..=limit).contains(number))
    };
    let (hour, minute, second) = (number(23)?, number(59)?, number(60)?);
    let zone = words.next().map_or(0, offset_seconds);
    let seconds =
        days_from_civil(year, month + 1, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - zone;
    Some(FileTime::from_unix_seconds(seconds))
}

/// The value of a `Date:` field in UTC (RFC 5322 3.3): `Tue, 24 Nov 2026 02:40:38 +0000`.
pub fn format_date(time: FileTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    let seconds = time.unix_seconds();
    let (days, second) = (
        seconds.div_euclid(SECONDS_PER_DAY),
        seconds.rem_euclid(SECONDS_PER_DAY),
    );
    let (year, month, day) = civil_from_days(days);
    format!(
        "{}, {day} {} {year} {:02}:{:02}:{:02} +0000",
        DAYS[weekday(days) as usize],
        MONTHS[(month - 1) as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len().min(64));
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        at += 1;
        if byte == b'(' {
            at = comment(value, at, &mut Vec::new());
            out.push(b' ');
        } else {
            out.push(byte);
        }
    }
    out
}

/// `09 : 55` as `09:55` (RFC 5322 4.3).
fn without_spaced_colons(value: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    for &byte in value {
        match byte {
            b':' => {
                out.truncate(out.trim_ascii_end().len());
                out.push(byte);
            }
            b' ' | b'\t' if out.last() == Some(&b':') => {}
            _ => out.push(byte),
        }
    }
    out
}

/// Seconds east of UTC; unknown zones are UTC (RFC 5322 4.3).
fn offset_seconds(zone: &str) -> i64 {
    let (sign, digits) = match zone.as_bytes() {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        name => {
            let hours = match name.to_ascii_uppercase().as_slice() {
                b"EDT" => -4,
                b"EST" | b"CDT" => -5,
                b"CST" | b"MDT" => -6,
                b"MST" | b"PDT" => -7,
                b"PST" => -8,
                _ => 0,
            };
            return hours * 3600;
        }
    };
    let digits: Vec<i64> = digits
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|&byte| i64::from(byte - b'0'))
        .collect();
    match digits[..] {
        [a, b, c, d] => sign * ((a * 10 + b) * 3600 + (c * 10 + d) * 60),
        [a, b] => sign * (a * 10 + b) * 3600,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written() {
        for (seconds, text) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_488_038, "Tue, 24 Nov 2026 02:40:38 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
            (-1, "Wed, 31 Dec 1969 23:59:59 +0000"),
        ] {
            let time = FileTime::from_unix_seconds(seconds);
            assert_eq!(format_date(time), text);
            assert_eq!(parse_date(text.as_bytes()), Some(time));
        }
    }

    #[test]
    fn dates() {
        for (value, seconds) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706),
            ("21 Nov 97 09:55:06 GMT", 880_106_106),
            ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880_127_706),
            ("21-Nov-97 09:55:06 EST", 880_124_106),
            ("Thu, 1 Jan 1970 00:00 +0000 (UTC)", 0),
            ("29 Feb 2000 12:00:00", 951_825_600),
        ] {
            let found = parse_date(value.as_bytes()).map(FileTime::unix_seconds);
            assert_eq!(found, Some(seconds), "{value}");
        }
        for value in [
            "",
            "tomorrow",
            "32 Jan 2000 1:1:1",
            "1 Foo 2000 1:1",
            "1 Jan 2000",
            "Fri",
        ] {
            assert_eq!(parse_date(value.as_bytes()), None, "{value}");
        }
    }
}
