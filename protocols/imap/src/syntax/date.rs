//! Dates of the protocol: `17-Jul-1996`, `"17-Jul-1996 02:44:25 -0700"`, and `Date:` header fields.

use ringpost_mapi::calendar::{MONTHS, SECONDS_PER_DAY, civil_from_days, days_from_civil};

use super::{SyntaxError, reader::Reader};
use crate::encode::put;

fn month(name: &[u8]) -> Option<i64> {
    MONTHS
        .iter()
        .position(|m| m.as_bytes().eq_ignore_ascii_case(name))
        .map(|index| index as i64 + 1)
}

fn valid_day(year: i64, month: i64, day: i64) -> bool {
    day >= 1 && civil_from_days(days_from_civil(year, month, day)) == (year, month, day)
}

/// `date`, quoted or not, as days since 1970.
pub(crate) fn read_date(reader: &mut Reader<'_>) -> Result<i64, SyntaxError> {
    let text = reader.astring()?;
    parse_date(&text).ok_or(SyntaxError::Expected("a date such as 17-Jul-1996"))
}

fn parse_date(text: &[u8]) -> Option<i64> {
    let mut fields = text.split(|&b| b == b'-');
    let (day, name, year) = (number(fields.next()?)?, fields.next()?, fields.next()?);
    let (month, year) = (month(name)?, number(year).filter(|_| year.len() == 4)?);
    (fields.next().is_none() && valid_day(year, month, day)).then(|| days_from_civil(year, month, day))
}

/// `date-time` without its quotes, as seconds since 1970 UTC.
pub(crate) fn parse_date_time(text: &[u8]) -> Option<i64> {
    let mut fields = text.trim_ascii_start().split(|&b| b == b' ');
    let (date, time, zone) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() {
        return None;
    }
    Some(parse_date(date)? * SECONDS_PER_DAY + clock(time)? - zone_seconds(zone)?)
}

/// INTERNALDATE's form, in UTC, with its quotes.
pub(crate) fn write_date_time(out: &mut Vec<u8>, seconds: i64) {
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    put!(
        out,
        "\"{day:2}-{}-{year:04} {:02}:{:02}:{:02} +0000\"",
        MONTHS[(month - 1) as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    );
}

/// A header's date: seconds since 1970 UTC, and the day (since 1970) as written, whatever the zone (which
/// is what SENTON and its like compare).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HeaderDate {
    pub(crate) seconds: i64,
    pub(crate) local_day: i64,
}

/// `Date:` of RFC 5322 with the obsolete forms of §4.3; comments are skipped.
pub(crate) fn parse_header_date(raw: &[u8]) -> Option<HeaderDate> {
    let mut depth = 0u32;
    let text: Vec<u8> = raw
        .iter()
        .map(|&byte| {
            let before = depth;
            match byte {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if before > 0 || depth > 0 || byte == b',' {
                b' '
            } else {
                byte
            }
        })
        .collect();
    let mut fields = text
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
        .peekable();
    if fields.peek()?.first()?.is_ascii_alphabetic() {
        fields.next();
    }
    let (day, month, written) = (
        number(fields.next()?)?,
        month(fields.next()?.get(..3)?)?,
        fields.next()?,
    );
    let year = match (written.len(), number(written)?) {
        (2, year) if year < 50 => year + 2000,
        (2 | 3, year) => year + 1900,
        (_, year) => year,
    };
    if year > 9999 || !valid_day(year, month, day) {
        return None;
    }
    let local_day = days_from_civil(year, month, day);
    let local = local_day * SECONDS_PER_DAY + fields.next().and_then(clock).unwrap_or(0);
    let zone = fields
        .next()
        .and_then(|z| zone_seconds(z).or_else(|| named_zone(z)))
        .unwrap_or(0);
    Some(HeaderDate {
        seconds: local - zone,
        local_day,
    })
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 6 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, &d| n * 10 + i64::from(d - b'0')))
}

fn clock(text: &[u8]) -> Option<i64> {
    let mut fields = text.split(|&b| b == b':');
    let (hour, minute) = (number(fields.next()?)?, number(fields.next()?)?);
    let second = fields.next().map_or(Some(0), number)?;
    (fields.next().is_none() && hour < 24 && minute < 60 && second <= 60)
        .then_some(hour * 3600 + minute * 60 + second)
}

fn zone_seconds(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first()? {
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => return None,
    };
    let value = number(digits).filter(|_| digits.len() == 4)?;
    (value % 100 < 60).then_some(sign * (value / 100 * 3600 + value % 100 * 60))
}

fn named_zone(name: &[u8]) -> Option<i64> {
    let hours = match name.to_ascii_uppercase().as_slice() {
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => return None,
    };
    Some(hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds: i64) -> String {
        let mut out = Vec::new();
        write_date_time(&mut out, seconds);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn date_times() {
        assert_eq!(parse_date_time(b"17-Jul-1996 02:44:25 -0700"), Some(837_596_665));
        assert_eq!(parse_date_time(b" 1-Jan-1970 00:00:00 +0000"), Some(0));
        assert_eq!(written(837_596_665), "\"17-Jul-1996 09:44:25 +0000\"");
        assert_eq!(written(-1), "\"31-Dec-1969 23:59:59 +0000\"");
        for bad in [
            "31-Feb-2020 00:00:00 +0000",
            "1-Jan-70 00:00:00 +0000",
            "1-Jan-1970 24:00:00 +0000",
            "1-Jan-1970",
            "x",
            "1-Jan-1970 00:00:00 +00",
        ] {
            assert_eq!(parse_date_time(bad.as_bytes()), None, "{bad}");
        }
        for seconds in (-5_000_000_000..5_000_000_000).step_by(7_777_777) {
            let text = written(seconds);
            assert_eq!(parse_date_time(text.trim_matches('"').as_bytes()), Some(seconds));
        }
    }

    #[test]
    fn header_dates() {
        let seconds = |text: &str| parse_header_date(text.as_bytes()).map(|date| date.seconds);
        assert_eq!(
            seconds("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"),
            Some(837_595_405)
        );
        assert_eq!(seconds("17 Jul 96 02:23 PDT"), Some(837_595_380));
        assert_eq!(seconds("Wed, 17 Jul 1996 09:23:25 GMT"), Some(837_595_405));
        assert_eq!(
            parse_header_date(b"1 Jan 2020 23:00:00 -0500").unwrap().local_day,
            days_from_civil(2020, 1, 1)
        );
        assert_eq!(seconds("yesterday"), None);
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("(((((("), None);
    }
}
