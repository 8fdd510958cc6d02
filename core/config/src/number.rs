//! Quantities, time spans and booleans (gromox(7), "Quantity syntax" and "Time span syntax").

use std::time::Duration;

use thiserror::Error;

/// Why a text is no number, quantity or time span.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NumberError {
    /// Nothing there.
    #[error("a number is missing")]
    Missing,
    /// It does not begin with a number.
    #[error("`{0}` does not begin with a number")]
    NotANumber(String),
    /// A letter that multiplies nothing.
    #[error("`{0}` is no multiplier; there are k, M, G, T, P, E, Z, Y, R and Q")]
    UnknownMultiplier(String),
    /// A unit of time that does not exist.
    #[error("`{0}` is no unit of time; write ns, µs, ms, s, min, h, d, week, month or year")]
    UnknownUnit(String),
    /// Several numbers, one of which has no unit.
    #[error("a unit of time is missing after `{0}`")]
    MissingUnit(String),
    /// More than 64 bits can hold.
    #[error("the number is too large")]
    TooLarge,
}

/// Reads a quantity: a number and at most one letter, each a power of 1024.
///
/// ```
/// assert_eq!(ringpost_config::parse_quantity("4k"), Ok(4096));
/// assert_eq!(ringpost_config::parse_quantity("1.5M"), Ok(1_572_864));
/// ```
///
/// `K` is read as `k`, since the manual's defaults are written so.
pub fn parse_quantity(text: &str) -> Result<i64, NumberError> {
    let (number, rest) = Number::parse(text.trim())?;
    let letter = rest.trim();
    let exponent = match letter {
        "" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        "E" => 6,
        "Z" => 7,
        "Y" => 8,
        "R" => 9,
        "Q" => 10,
        other => return Err(NumberError::UnknownMultiplier(other.to_owned())),
    };
    let multiplier = 1024_i128.checked_pow(exponent).ok_or(NumberError::TooLarge)?;
    i64::try_from(number.multiply(multiplier)?).map_err(|_| NumberError::TooLarge)
}

/// A length of time, positive or negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct TimeSpan {
    nanoseconds: i128,
}

impl TimeSpan {
    /// Its length in whole seconds; what is below a second is cut off.
    pub fn seconds(self) -> i64 {
        // In range: `parse_time_span` ensures it.
        (self.nanoseconds / NANOSECONDS_PER_SECOND) as i64
    }

    /// Its length; `None` when it is negative.
    pub fn duration(self) -> Option<Duration> {
        let nanoseconds = u128::try_from(self.nanoseconds).ok()?;
        let per_second = NANOSECONDS_PER_SECOND as u128;
        let seconds = u64::try_from(nanoseconds / per_second).ok()?;
        Some(Duration::new(seconds, (nanoseconds % per_second) as u32))
    }
}

const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;

/// Most quanta in one time span.
const QUANTA_MAX: usize = 64;

/// Reads a time span: numbers with units, added up; white space does not matter.
///
/// ```
/// use ringpost_config::parse_time_span;
/// assert_eq!(parse_time_span("1d1h1m1s").map(|span| span.seconds()), Ok(90_061));
/// assert_eq!(parse_time_span("1 hour 60 minutes").map(|span| span.seconds()), Ok(7200));
/// ```
///
/// A single number without a unit counts seconds, as in the manual's own defaults of `0`. A month is a
/// twelfth of a year, and a year has 365.25 days.
pub fn parse_time_span(text: &str) -> Result<TimeSpan, NumberError> {
    let compact: String = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .collect();
    if compact.is_empty() {
        return Err(NumberError::Missing);
    }
    let mut rest = compact.as_str();
    let mut nanoseconds = 0_i128;
    for count in 0.. {
        if rest.is_empty() {
            break;
        }
        if count == QUANTA_MAX {
            return Err(NumberError::TooLarge);
        }
        let before = rest;
        let (number, after) = Number::parse(rest)?;
        let unit_end = after
            .find(|character: char| !character.is_alphabetic())
            .unwrap_or(after.len());
        let (unit, following) = after.split_at(unit_end);
        let factor = match unit {
            "" if count == 0 && following.is_empty() => NANOSECONDS_PER_SECOND,
            "" => {
                let digits = before.len() - after.len();
                return Err(NumberError::MissingUnit(before[..digits].to_owned()));
            }
            _ => nanoseconds_of_unit(unit).ok_or_else(|| NumberError::UnknownUnit(unit.to_owned()))?,
        };
        nanoseconds = number
            .multiply(factor)?
            .checked_add(nanoseconds)
            .ok_or(NumberError::TooLarge)?;
        rest = following;
    }
    if i64::try_from(nanoseconds / NANOSECONDS_PER_SECOND).is_err() {
        return Err(NumberError::TooLarge);
    }
    Ok(TimeSpan { nanoseconds })
}

fn nanoseconds_of_unit(unit: &str) -> Option<i128> {
    const SECOND: i128 = NANOSECONDS_PER_SECOND;
    const DAY: i128 = 86_400 * SECOND;
    const YEAR: i128 = DAY * 1461 / 4;
    Some(match unit {
        "ns" | "nsec" => 1,
        // The micro sign and the Greek letter look the same.
        "µs" | "µsec" | "μs" | "μsec" => 1_000,
        "ms" | "msec" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => SECOND,
        // The manual's list of units has no `m`, but its first example does.
        "m" | "min" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => DAY,
        "week" | "weeks" => 7 * DAY,
        "month" | "months" => YEAR / 12,
        "y" | "year" | "years" => YEAR,
        _ => return None,
    })
}

/// Reads a boolean: empty, `no`, `off`, `false` (in any case) and every way in which strtoul reads a zero are
/// false, all else is true.
pub fn parse_boolean(text: &str) -> bool {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "no" | "off" | "false") {
        return false;
    }
    let digits = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    let digits = digits
        .strip_prefix("0x")
        .filter(|rest| !rest.is_empty())
        .unwrap_or(digits);
    digits.is_empty() || digits.bytes().any(|byte| byte != b'0')
}

/// What strtol or, with a period, strtod would read.
enum Number {
    Integer(i128),
    Real(f64),
}

impl Number {
    /// The number at the start of `text`, and what follows it.
    fn parse(text: &str) -> Result<(Self, &str), NumberError> {
        if text.is_empty() {
            return Err(NumberError::Missing);
        }
        let not_a_number = || NumberError::NotANumber(text.to_owned());
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let sign = text.len() - unsigned.len();
        let whole = digits(unsigned);
        let mut end = sign + whole;
        let after = &text[end..];
        let Some(fraction) = after.strip_prefix('.') else {
            if whole == 0 {
                return Err(not_a_number());
            }
            // `i128` reads a sign as strtol does.
            let value = text[..end].parse().map_err(|_| NumberError::TooLarge)?;
            return Ok((Self::Integer(value), after));
        };
        let fraction_digits = digits(fraction);
        if whole + fraction_digits == 0 {
            return Err(not_a_number());
        }
        end += 1 + fraction_digits;
        end += exponent(&text[end..]);
        let value: f64 = text[..end].parse().map_err(|_| not_a_number())?;
        Ok((Self::Real(value), &text[end..]))
    }

    fn multiply(&self, factor: i128) -> Result<i128, NumberError> {
        match self {
            Self::Integer(value) => value.checked_mul(factor).ok_or(NumberError::TooLarge),
            Self::Real(value) => {
                let product = value * factor as f64;
                // Far inside what `i128` holds, far outside what any directive takes.
                if product.abs() < 1e30 {
                    Ok(product.round() as i128)
                } else {
                    Err(NumberError::TooLarge)
                }
            }
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Length of `e+10` at the start of `text`; 0 when there is none, as in `1.5E` (exa).
fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    match digits(unsigned) {
        0 => 0,
        count => text.len() - unsigned.len() + count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("4k", 4096),
            ("1.5M", 1_572_864),
            ("0", 0),
            (" 64 K ", 65_536),
            ("-1", -1),
            ("+7", 7),
            (".5k", 512),
            ("1.5e3", 1500),
            ("1.5E", 1_729_382_256_910_270_464),
            ("0Q", 0),
            ("2G", 2_147_483_648),
            ("-2k", -2048),
        ] {
            assert_eq!(parse_quantity(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn quantities_that_are_none() {
        use NumberError::*;
        for (text, expected) in [
            ("", Missing),
            ("abc", NotANumber("abc".into())),
            ("-", NotANumber("-".into())),
            (".", NotANumber(".".into())),
            ("4m", UnknownMultiplier("m".into())),
            ("4kB", UnknownMultiplier("kB".into())),
            ("0x10", UnknownMultiplier("x10".into())),
            ("8E", TooLarge),
            ("1Q", TooLarge),
            ("999999999999999999999999999999999999999999999", TooLarge),
        ] {
            assert_eq!(parse_quantity(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn time_spans() {
        for (text, seconds) in [
            ("1d1h1m1s", 90_061),
            ("1d1h1min1s", 90_061),
            ("3.5 hours", 12_600),
            ("1 hour 1 hour", 7200),
            ("1 hour 60 minutes", 7200),
            ("1h30min", 5400),
            ("1.5s", 1),
            ("1.5min", 90),
            ("-1min", -60),
            ("1h -1min", 3540),
            ("0", 0),
            ("90", 90),
            ("1 d a y", 86_400),
            ("1y", 31_557_600),
            ("2 weeks", 1_209_600),
            ("1month", 2_629_800),
            ("999msec", 0),
            ("1000000µs", 1),
        ] {
            assert_eq!(
                parse_time_span(text).map(TimeSpan::seconds),
                Ok(seconds),
                "{text}"
            );
        }
        assert_eq!(
            parse_time_span("1.5s").ok().and_then(TimeSpan::duration),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(parse_time_span("-1s").ok().and_then(TimeSpan::duration), None);
    }

    #[test]
    fn time_spans_that_are_none() {
        use NumberError::*;
        for (text, expected) in [
            ("", Missing),
            ("  ", Missing),
            ("h", NotANumber("h".into())),
            ("1us", UnknownUnit("us".into())),
            ("1H", UnknownUnit("H".into())),
            ("1 Stunde", UnknownUnit("Stunde".into())),
            ("1h 5", MissingUnit("5".into())),
            ("99999999999999999999y", TooLarge),
        ] {
            assert_eq!(parse_time_span(text), Err(expected), "{text}");
        }
        assert_eq!(
            parse_time_span(&"1s".repeat(QUANTA_MAX)).map(TimeSpan::seconds),
            Ok(64)
        );
        assert_eq!(parse_time_span(&"1s".repeat(QUANTA_MAX + 1)), Err(TooLarge));
    }

    #[test]
    fn booleans() {
        for text in [
            "", "no", "off", "false", "NO", "Off", "0", "00", "0x0", "-0", " 0 ",
        ] {
            assert!(!parse_boolean(text), "{text}");
        }
        for text in [
            "yes", "on", "true", "1", "2", "0 apples", "nope", "0x", "0x1", "-",
        ] {
            assert!(parse_boolean(text), "{text}");
        }
    }
}
