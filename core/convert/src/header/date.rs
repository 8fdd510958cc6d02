//! Dates (RFC 5322 3.3, 4.3), with and without what is optional.

use ringpost_mapi::FileTime;

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
    let seconds = days_from_civil(year, month + 1, day) * 86_400 + hour * 3600 + minute * 60 + second - zone;
    Some(FileTime::from_unix_seconds(seconds))
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

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

/// Days since 1970-01-01 in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years beginning in March put the leap day last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

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
