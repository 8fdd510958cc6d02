//! Evaluating restrictions in code.

use std::{borrow::Cow, cmp::Ordering};

use super::{FuzzyLevel, Relation, Restriction, SubObjectTable, TaggedValue};
use crate::{PropTag, PropValue, PropertyBag, collation};

/// An object whose properties a restriction looks at.
pub trait PropertySource {
    /// Why a property could not be read.
    type Error;

    /// The value of a property; by its id, whatever type it has.
    fn property(&self, tag: PropTag) -> Result<Option<Cow<'_, PropValue>>, Self::Error>;

    /// The object's recipients or attachments.
    fn sub_objects(&self, table: SubObjectTable) -> Result<Cow<'_, [PropertyBag]>, Self::Error>;
}

impl PropertySource for PropertyBag {
    type Error = std::convert::Infallible;

    fn property(&self, tag: PropTag) -> Result<Option<Cow<'_, PropValue>>, Self::Error> {
        Ok(self.get(tag).map(Cow::Borrowed))
    }

    fn sub_objects(&self, _: SubObjectTable) -> Result<Cow<'_, [PropertyBag]>, Self::Error> {
        Ok(Cow::Borrowed(&[]))
    }
}

impl Restriction {
    /// Whether the object meets the condition.
    ///
    /// A property that is absent comes before every value (so it is less than it, and not equal to it) and
    /// has size zero, as Exchange has it; it contains nothing and none of its bits can be tested. A value of a
    /// type that doesn't compare with the property's is unequal to it, and nothing else. Of a multi-valued
    /// property, one value suffices; for `!=` all must differ.
    pub fn matches<S: PropertySource>(&self, object: &S) -> Result<bool, S::Error> {
        Ok(match self {
            Self::And(list) => {
                for one in list {
                    if !one.matches(object)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Or(list) => {
                for one in list {
                    if one.matches(object)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(one) => !one.matches(object)?,
            Self::Content { fuzzy, tag, value } => object
                .property(*tag)?
                .is_some_and(|found| contains(*fuzzy, &found, value)),
            Self::Property { relation, tag, value } => {
                relates(*relation, object.property(*tag)?.as_deref(), &value.value)
            }
            Self::CompareProperties {
                relation,
                left,
                right,
            } => {
                let left = object.property(*left)?;
                match (left, object.property(*right)?) {
                    (left, Some(right)) => relates(*relation, left.as_deref(), &right),
                    (left, None) => relation.holds(collation::compare_optional(left.as_deref(), None)),
                }
            }
            Self::Bitmask { nonzero, tag, mask } => match object.property(*tag)?.as_deref() {
                Some(PropValue::Integer32(bits)) => (*bits as u32 & mask != 0) == *nonzero,
                Some(PropValue::Integer16(bits)) => (u32::from(*bits as u16) & mask != 0) == *nonzero,
                Some(PropValue::Integer64(bits)) => (*bits as u32 & mask != 0) == *nonzero,
                _ => false,
            },
            Self::Size { relation, tag, size } => {
                let found = object.property(*tag)?.map_or(0, |value| value_size(&value));
                relation.holds(found.cmp(&u64::from(*size)))
            }
            Self::Exist { tag } => object.property(*tag)?.is_some(),
            Self::SubObject { table, restriction } => {
                let rows = object.sub_objects(*table)?;
                rows.iter().any(|row| match restriction.matches(row) {
                    Ok(matched) => matched,
                    Err(never) => match never {},
                })
            }
            Self::Comment { restriction, .. } | Self::Annotation { restriction, .. } => match restriction {
                Some(one) => one.matches(object)?,
                None => true,
            },
            Self::Count { restriction, .. } => restriction.matches(object)?,
            Self::Always => true,
        })
    }
}

/// A value's size in bytes as the wire has it: strings in UTF-16 with their terminator, lists without counts.
pub fn value_size(value: &PropValue) -> u64 {
    use PropValue as V;
    let utf16 = |text: &str| 2 * (text.encode_utf16().count() as u64 + 1);
    match value {
        V::Null => 0,
        V::Boolean(_) => 1,
        V::Integer16(_) => 2,
        V::Integer32(_) | V::Floating32(_) | V::ErrorCode(_) => 4,
        V::Integer64(_) | V::Floating64(_) | V::Currency(_) | V::FloatingTime(_) | V::Time(_) => 8,
        V::Guid(_) => 16,
        V::String(text) => utf16(text),
        V::ServerId(bytes)
        | V::Restriction(bytes)
        | V::RuleAction(bytes)
        | V::Binary(bytes)
        | V::Object(bytes) => bytes.len() as u64,
        V::MultipleInteger16(list) => 2 * list.len() as u64,
        V::MultipleInteger32(list) => 4 * list.len() as u64,
        V::MultipleFloating32(list) => 4 * list.len() as u64,
        V::MultipleFloating64(list) | V::MultipleFloatingTime(list) => 8 * list.len() as u64,
        V::MultipleCurrency(list) | V::MultipleInteger64(list) => 8 * list.len() as u64,
        V::MultipleTime(list) => 8 * list.len() as u64,
        V::MultipleGuid(list) => 16 * list.len() as u64,
        V::MultipleString(list) => list.iter().map(|text| utf16(text)).sum(),
        V::MultipleBinary(list) => list.iter().map(|bytes| bytes.len() as u64).sum(),
    }
}

/// Whether the relation holds between a property, absent perhaps, and a value.
fn relates(relation: Relation, found: Option<&PropValue>, value: &PropValue) -> bool {
    let Some(found) = found else {
        return relation.holds(Ordering::Less);
    };
    let one = |found: &PropValue, relation: Relation| match collation::compare(found, value) {
        Some(order) => relation.holds(order),
        None => relation == Relation::NotEqual,
    };
    if found.kind().is_multiple() && !value.kind().is_multiple() {
        // All differ where none is equal.
        return if relation == Relation::NotEqual {
            !values(found).any(|each| one(&each, Relation::Equal))
        } else {
            values(found).any(|each| one(&each, relation))
        };
    }
    one(found, relation)
}

/// The values of a multi-valued property, one by one.
fn values(list: &PropValue) -> Box<dyn Iterator<Item = PropValue> + '_> {
    use PropValue as V;
    match list {
        V::MultipleInteger16(list) => Box::new(list.iter().map(|n| V::Integer16(*n))),
        V::MultipleInteger32(list) => Box::new(list.iter().map(|n| V::Integer32(*n))),
        V::MultipleFloating32(list) => Box::new(list.iter().map(|x| V::Floating32(*x))),
        V::MultipleFloating64(list) => Box::new(list.iter().map(|x| V::Floating64(*x))),
        V::MultipleCurrency(list) => Box::new(list.iter().map(|n| V::Currency(*n))),
        V::MultipleFloatingTime(list) => Box::new(list.iter().map(|x| V::FloatingTime(*x))),
        V::MultipleInteger64(list) => Box::new(list.iter().map(|n| V::Integer64(*n))),
        V::MultipleString(list) => Box::new(list.iter().map(|text| V::String(text.clone()))),
        V::MultipleTime(list) => Box::new(list.iter().map(|time| V::Time(*time))),
        V::MultipleGuid(list) => Box::new(list.iter().map(|guid| V::Guid(*guid))),
        V::MultipleBinary(list) => Box::new(list.iter().map(|bytes| V::Binary(bytes.clone()))),
        single => Box::new(std::iter::once(single.clone())),
    }
}

fn contains(fuzzy: FuzzyLevel, found: &PropValue, wanted: &TaggedValue) -> bool {
    match (found, &wanted.value) {
        (PropValue::String(text), PropValue::String(wanted)) => text_contains(fuzzy, text, wanted),
        (PropValue::MultipleString(list), PropValue::String(wanted)) => {
            list.iter().any(|text| text_contains(fuzzy, text, wanted))
        }
        (PropValue::Binary(bytes), PropValue::Binary(wanted)) => bytes_contain(fuzzy, bytes, wanted),
        (PropValue::MultipleBinary(list), PropValue::Binary(wanted)) => {
            list.iter().any(|bytes| bytes_contain(fuzzy, bytes, wanted))
        }
        _ => false,
    }
}

fn text_contains(fuzzy: FuzzyLevel, text: &str, wanted: &str) -> bool {
    let (text, wanted) = (fuzzy.normalize(text), fuzzy.normalize(wanted));
    let starts_word = |at: usize| !text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
    let ends_word = |at: usize| !text[at..].chars().next().is_some_and(char::is_alphanumeric);
    if fuzzy.low & FuzzyLevel::PHRASE_MATCH != 0 {
        return text
            .match_indices(&*wanted)
            .any(|(at, hit)| starts_word(at) && ends_word(at + hit.len()));
    }
    if fuzzy.low & FuzzyLevel::PREFIX_ON_ANY_WORD != 0 {
        return text.match_indices(&*wanted).any(|(at, _)| starts_word(at));
    }
    match fuzzy.low & 0x0f {
        FuzzyLevel::FULL_STRING => text == wanted,
        FuzzyLevel::PREFIX => text.starts_with(&*wanted),
        _ => text.contains(&*wanted),
    }
}

fn bytes_contain(fuzzy: FuzzyLevel, bytes: &[u8], wanted: &[u8]) -> bool {
    match fuzzy.low & 0x0f {
        FuzzyLevel::FULL_STRING => bytes == wanted,
        FuzzyLevel::PREFIX => bytes.starts_with(wanted),
        _ => wanted.is_empty() || bytes.windows(wanted.len()).any(|window| window == wanted),
    }
}

impl FuzzyLevel {
    /// The text without what this level ignores. What contains what is decided on it, byte for byte.
    pub fn normalize(self, text: &str) -> Cow<'_, str> {
        let loose = self.high & Self::LOOSE != 0;
        let mut text = Cow::Borrowed(text);
        if loose || self.high & Self::IGNORE_NONSPACE != 0 {
            text = Cow::Owned(collation::without_marks(&text));
        }
        if loose || self.high & Self::IGNORE_CASE != 0 {
            text = Cow::Owned(collation::fold(&text));
        }
        text
    }
}
