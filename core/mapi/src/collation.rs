//! How values compare: in restrictions, in sorted tables, in SQL and in code alike.
//!
//! Text compares by its folded form: each character in lower case, by code point. So `Ärger` and `ärger` are
//! equal and one key, [`sort_key`], gives the same order as [`compare_text`] wherever it is kept. Absent
//! values come before all others, as Exchange has them.

use std::cmp::Ordering;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::PropValue;

/// The text's characters in lower case.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The text without combining marks: `é` becomes `e` (`FL_IGNORENONSPACE`).
pub fn without_marks(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    text.nfd()
        .filter(|&character| !is_combining_mark(character))
        .collect()
}

/// The key that orders text as [`compare_text`] does, when its bytes are compared: for columns and indexes.
pub fn sort_key(text: &str) -> String {
    fold(text)
}

/// Orders two texts without regard to case.
pub fn compare_text(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a
            .bytes()
            .map(|c| c.to_ascii_lowercase())
            .cmp(b.bytes().map(|c| c.to_ascii_lowercase()));
    }
    // Code points and the bytes of UTF-8 order alike.
    a.chars()
        .flat_map(char::to_lowercase)
        .cmp(b.chars().flat_map(char::to_lowercase))
}

/// Orders two values; `None` where their types don't compare. Integers of all widths compare with each other,
/// and floating-point numbers (by IEEE 754's total order); lists compare value by value.
pub fn compare(a: &PropValue, b: &PropValue) -> Option<Ordering> {
    use PropValue as V;
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        return Some(a.cmp(&b));
    }
    Some(match (a, b) {
        (V::Null, V::Null) => Ordering::Equal,
        (V::Boolean(a), V::Boolean(b)) => a.cmp(b),
        (V::Floating32(_) | V::Floating64(_), V::Floating32(_) | V::Floating64(_)) => {
            float(a)?.total_cmp(&float(b)?)
        }
        (V::FloatingTime(a), V::FloatingTime(b)) => a.total_cmp(b),
        (V::Currency(a), V::Currency(b)) => a.cmp(b),
        (V::String(a), V::String(b)) => compare_text(a, b),
        (V::Time(a), V::Time(b)) => a.cmp(b),
        (V::Guid(a), V::Guid(b)) => a.cmp(b),
        (V::MultipleInteger16(a), V::MultipleInteger16(b)) => a.cmp(b),
        (V::MultipleInteger32(a), V::MultipleInteger32(b)) => a.cmp(b),
        (V::MultipleInteger64(a), V::MultipleInteger64(b)) => a.cmp(b),
        (V::MultipleCurrency(a), V::MultipleCurrency(b)) => a.cmp(b),
        (V::MultipleFloating32(a), V::MultipleFloating32(b)) => lists(a, b, f32::total_cmp),
        (V::MultipleFloating64(a), V::MultipleFloating64(b))
        | (V::MultipleFloatingTime(a), V::MultipleFloatingTime(b)) => lists(a, b, f64::total_cmp),
        (V::MultipleString(a), V::MultipleString(b)) => lists(a, b, |a, b| compare_text(a, b)),
        (V::MultipleTime(a), V::MultipleTime(b)) => a.cmp(b),
        (V::MultipleGuid(a), V::MultipleGuid(b)) => a.cmp(b),
        (V::MultipleBinary(a), V::MultipleBinary(b)) => a.cmp(b),
        _ => bytes(a)?.cmp(bytes(b)?),
    })
}

/// Orders two values that may be absent, as a table's rows are: absent ones first, values of types that don't
/// compare by their type.
pub fn compare_optional(a: Option<&PropValue>, b: Option<&PropValue>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare(a, b).unwrap_or_else(|| a.kind().cmp(&b.kind())),
        _ => a.is_some().cmp(&b.is_some()),
    }
}

fn integer(value: &PropValue) -> Option<i64> {
    match value {
        PropValue::Integer16(n) => Some(i64::from(*n)),
        PropValue::Integer32(n) => Some(i64::from(*n)),
        PropValue::Integer64(n) => Some(*n),
        PropValue::ErrorCode(n) => Some(i64::from(*n)),
        _ => None,
    }
}

fn float(value: &PropValue) -> Option<f64> {
    match value {
        PropValue::Floating32(x) => Some(f64::from(*x)),
        PropValue::Floating64(x) => Some(*x),
        _ => None,
    }
}

fn bytes(value: &PropValue) -> Option<&[u8]> {
    match value {
        PropValue::Binary(bytes)
        | PropValue::ServerId(bytes)
        | PropValue::Object(bytes)
        | PropValue::Restriction(bytes)
        | PropValue::RuleAction(bytes) => Some(bytes),
        _ => None,
    }
}

fn lists<T>(a: &[T], b: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| compare(a, b));
    pairs
        .into_iter()
        .find(|order| order.is_ne())
        .unwrap_or(a.len().cmp(&b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_compares_without_case() {
        assert_eq!(compare_text("Ärger", "äRGER"), Ordering::Equal);
        assert_eq!(compare_text("abc", "ABD"), Ordering::Less);
        assert_eq!(compare_text("a", "É"), Ordering::Less);
        assert_eq!(without_marks("Crème Brûlée"), "Creme Brulee");
    }

    #[test]
    fn sort_keys_order_as_the_comparison_does() {
        let texts = [
            "", "a", "A", "ab", "Ä", "ä", "z", "Straße", "STRASSE", "日本", "😀", "İ", "i",
        ];
        for a in texts {
            for b in texts {
                assert_eq!(
                    sort_key(a).as_bytes().cmp(sort_key(b).as_bytes()),
                    compare_text(a, b),
                    "{a} {b}"
                );
            }
        }
    }

    #[test]
    fn absent_values_come_first() {
        let one = PropValue::Integer32(i32::MIN);
        assert_eq!(compare_optional(None, Some(&one)), Ordering::Less);
        assert_eq!(compare_optional(None, None), Ordering::Equal);
        assert_eq!(compare(&one, &PropValue::Integer64(0)), Some(Ordering::Less));
        assert_eq!(compare(&one, &PropValue::Boolean(true)), None);
        let list = |values: &[i32]| PropValue::MultipleInteger32(values.to_vec());
        assert_eq!(compare(&list(&[1, 2]), &list(&[1])), Some(Ordering::Greater));
    }
}
