//! What conditions and orders mean, written down a second time: as plainly as can be, for the conditions and
//! sort orders that the dice make. The store's own answer comes from SQL, indexes and `ringpost_mapi`.

use std::cmp::Ordering;

use ringpost_mapi::{
    PropTag, PropValue, PropertyBag, Restriction,
    restriction::{FuzzyLevel, Relation, SubObjectTable},
};

use super::model::Seen;

/// Whether a message, as a user sees it, meets a condition (MS-OXCDATA 2.12).
pub(crate) fn meets(seen: &Seen<'_>, condition: &Restriction) -> bool {
    match condition {
        Restriction::Always => true,
        Restriction::And(all) => all.iter().all(|one| meets(seen, one)),
        Restriction::Or(all) => all.iter().any(|one| meets(seen, one)),
        Restriction::Not(one) => !meets(seen, one),
        Restriction::SubObject { table, restriction } => {
            let content = seen.content();
            match table {
                SubObjectTable::Recipients => content.recipients.iter().any(|row| of_row(row, restriction)),
                SubObjectTable::Attachments => content
                    .attachments
                    .iter()
                    .any(|one| of_row(&one.properties, restriction)),
            }
        }
        other => simple(&|tag| seen.get(tag), other),
    }
}

fn of_row(row: &PropertyBag, condition: &Restriction) -> bool {
    simple(&|tag| row.get(tag).cloned(), condition)
}

fn simple(get: &dyn Fn(PropTag) -> Option<PropValue>, condition: &Restriction) -> bool {
    match condition {
        Restriction::Exist { tag } => get(*tag).is_some(),
        Restriction::Property { relation, tag, value } => {
            holds(*relation, compare_values(get(*tag).as_ref(), Some(&value.value)))
        }
        Restriction::Bitmask { nonzero, tag, mask } => match get(*tag) {
            Some(PropValue::Integer32(bits)) => (bits as u32 & mask != 0) == *nonzero,
            _ => false,
        },
        Restriction::Size { relation, tag, size } => {
            let bytes = match get(*tag) {
                // In UTF-16, with the end.
                Some(PropValue::String(text)) => 2 * (text.encode_utf16().count() as u32 + 1),
                None => 0,
                other => panic!("the dice don't ask for the size of {other:?}"),
            };
            holds(*relation, bytes.cmp(size))
        }
        Restriction::Content { fuzzy, tag, value } => {
            let (Some(PropValue::String(text)), PropValue::String(wanted)) = (get(*tag), &value.value) else {
                return false;
            };
            let (mut text, mut wanted) = (text, wanted.clone());
            if fuzzy.high & FuzzyLevel::IGNORE_CASE != 0 {
                (text, wanted) = (text.to_lowercase(), wanted.to_lowercase());
            }
            match fuzzy.low {
                FuzzyLevel::FULL_STRING => text == wanted,
                FuzzyLevel::PREFIX => text.starts_with(&wanted),
                _ => text.contains(&wanted),
            }
        }
        other => panic!("the dice don't make {other:?}"),
    }
}

fn holds(relation: Relation, order: Ordering) -> bool {
    match relation {
        Relation::Less => order == Ordering::Less,
        Relation::LessOrEqual => order != Ordering::Greater,
        Relation::Greater => order == Ordering::Greater,
        Relation::GreaterOrEqual => order != Ordering::Less,
        Relation::Equal => order == Ordering::Equal,
        Relation::NotEqual => order != Ordering::Equal,
        other => panic!("the dice don't make {other:?}"),
    }
}

/// The order of two values of one type, or of none, which comes first. Text is compared without regard to case.
pub(crate) fn compare_values(a: Option<&PropValue>, b: Option<&PropValue>) -> Ordering {
    use PropValue as V;
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(V::Integer32(a)), Some(V::Integer32(b))) => a.cmp(b),
        (Some(V::Boolean(a)), Some(V::Boolean(b))) => a.cmp(b),
        (Some(V::Time(a)), Some(V::Time(b))) => a.cmp(b),
        (Some(V::String(a)), Some(V::String(b))) => a.to_lowercase().cmp(&b.to_lowercase()),
        other => panic!("the dice don't compare {other:?}"),
    }
}
