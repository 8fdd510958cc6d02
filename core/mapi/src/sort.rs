//! How a table's rows are ordered and grouped (MS-OXCDATA 2.13, MS-OXCTABL 2.2.2.3).

use crate::{CodecError, PropTag, PropType, Reader};

/// The most properties a table is sorted by.
pub const MAX_SORT_ORDERS: usize = 32;
/// The most levels of categories.
pub const MAX_CATEGORIES: usize = 4;

/// Which way rows are ordered by a property (2.13.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Small values first.
    Ascending,
    /// Large values first.
    Descending,
    /// A category's groups are ordered by the largest value of this property in each group, and rows within a
    /// group by the value. Stands after a category only. Whether large ones come first is the direction of
    /// the category before it.
    MaximumCategory,
}

/// One property that rows are ordered by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SortOrder {
    /// The property. Its type may have [`PropType::INSTANCE`] set: one row for each value.
    pub tag: PropTag,
    /// The direction.
    pub direction: Direction,
}

/// What a table is sorted by, first the categories.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SortOrderSet {
    /// The properties, the most significant first.
    pub orders: Vec<SortOrder>,
    /// How many of them, from the first on, make categories. Those with [`Direction::MaximumCategory`] don't count.
    pub categories: usize,
    /// How many of the categories start expanded.
    pub expanded: usize,
}

impl SortOrderSet {
    /// An order without categories.
    pub fn plain(orders: Vec<SortOrder>) -> Self {
        Self {
            orders,
            categories: 0,
            expanded: 0,
        }
    }

    /// The property that has a row for each of its values, if one has.
    pub fn instance_property(&self) -> Option<PropTag> {
        self.orders
            .iter()
            .map(|order| order.tag)
            .find(|tag| tag.kind().0 & PropType::INSTANCE != 0)
    }

    /// Reads a `SortOrderSet`.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = usize::from(reader.u16(SORT)?);
        let categories = usize::from(reader.u16(SORT)?);
        let expanded = usize::from(reader.u16(SORT)?);
        if count > MAX_SORT_ORDERS || categories > MAX_CATEGORIES {
            return Err(CodecError::OverLimit(SORT));
        }
        if categories > count || expanded > categories {
            return Err(CodecError::Invalid(SORT));
        }
        let orders = (0..count)
            .map(|_| SortOrder::read(reader))
            .collect::<Result<Vec<_>, _>>()?;
        let set = Self {
            orders,
            categories,
            expanded,
        };
        set.check()?;
        Ok(set)
    }

    /// Appends the set.
    pub fn write(&self, out: &mut Vec<u8>) {
        for count in [self.orders.len(), self.categories, self.expanded] {
            out.extend_from_slice(&(count as u16).to_le_bytes());
        }
        for order in &self.orders {
            out.extend_from_slice(&order.tag.kind().0.to_le_bytes());
            out.extend_from_slice(&order.tag.id().to_le_bytes());
            out.push(match order.direction {
                Direction::Ascending => 0,
                Direction::Descending => 1,
                Direction::MaximumCategory => 4,
            });
        }
    }

    /// Refuses what no table can show (2.13.1, MS-OXCTABL 3.2.5.3): two multi-valued instances, a multi-valued
    /// property without instances, a maximum that follows no category, more categories than properties.
    pub fn check(&self) -> Result<(), CodecError> {
        if self.orders.len() > MAX_SORT_ORDERS || self.categories > MAX_CATEGORIES {
            return Err(CodecError::OverLimit(SORT));
        }
        let maximum = |order: &SortOrder| order.direction == Direction::MaximumCategory;
        let instances = self
            .orders
            .iter()
            .filter(|order| order.tag.kind().0 & PropType::INSTANCE != 0)
            .count();
        let multiple = |order: &&SortOrder| order.tag.kind().is_multiple();
        let plain = self.orders.iter().filter(|order| !maximum(order)).count();
        // A maximum follows a category directly.
        let mut category = 0;
        let mut maximum_allowed = false;
        for order in &self.orders {
            if maximum(order) {
                if !maximum_allowed {
                    return Err(CodecError::Invalid(SORT));
                }
                maximum_allowed = false;
            } else {
                category += 1;
                maximum_allowed = category <= self.categories;
            }
        }
        if instances > 1
            || instances != self.orders.iter().filter(multiple).count()
            || self.categories > plain
            || self.expanded > self.categories
        {
            return Err(CodecError::Invalid(SORT));
        }
        Ok(())
    }
}

impl SortOrder {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let kind = PropType(reader.u16(SORT)?);
        let tag = PropTag::new(reader.u16(SORT)?, kind);
        let direction = match reader.u8(SORT)? {
            0 => Direction::Ascending,
            1 => Direction::Descending,
            4 => Direction::MaximumCategory,
            _ => return Err(CodecError::Invalid(SORT)),
        };
        Ok(Self { tag, direction })
    }
}

const SORT: &str = "sort order";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags;

    fn order(tag: PropTag, direction: Direction) -> SortOrder {
        SortOrder { tag, direction }
    }

    fn read(set: &SortOrderSet) -> Result<SortOrderSet, CodecError> {
        let mut out = Vec::new();
        set.write(&mut out);
        let mut reader = Reader::new(&out);
        let read = SortOrderSet::read(&mut reader)?;
        reader.finish(SORT)?;
        Ok(read)
    }

    #[test]
    fn orders_have_their_wire_form() {
        let set = SortOrderSet::plain(vec![order(tags::MESSAGE_DELIVERY_TIME, Direction::Descending)]);
        let mut out = Vec::new();
        set.write(&mut out);
        assert_eq!(out, [1, 0, 0, 0, 0, 0, 0x40, 0, 6, 0x0e, 1]);
    }

    #[test]
    fn categories_round_trip() {
        let instance = PropTag::new(0x8001, PropType(0x301f));
        let set = SortOrderSet {
            orders: vec![
                order(tags::CONVERSATION_TOPIC, Direction::Ascending),
                order(tags::MESSAGE_DELIVERY_TIME, Direction::MaximumCategory),
                order(instance, Direction::Descending),
            ],
            categories: 1,
            expanded: 1,
        };
        assert_eq!(read(&set), Ok(set.clone()));
        assert_eq!(set.instance_property(), Some(instance));
    }

    #[test]
    fn impossible_orders_are_refused() {
        let subject = order(tags::SUBJECT, Direction::Ascending);
        let maximum = order(tags::MESSAGE_SIZE, Direction::MaximumCategory);
        let instance = order(PropTag::new(0x8001, PropType(0x301f)), Direction::Ascending);
        let multiple = order(
            PropTag::new(0x8001, PropType::MULTIPLE_STRING),
            Direction::Ascending,
        );
        let invalid = Err(CodecError::Invalid(SORT));
        let set = |orders: &[SortOrder], categories, expanded| SortOrderSet {
            orders: orders.to_vec(),
            categories,
            expanded,
        };
        assert_eq!(
            read(&set(&[maximum], 0, 0)),
            invalid,
            "no category before the maximum"
        );
        assert_eq!(read(&set(&[subject, maximum, maximum], 1, 0)), invalid);
        assert_eq!(
            read(&set(&[subject, maximum], 2, 0)),
            invalid,
            "a maximum is no category"
        );
        assert_eq!(read(&set(&[instance, instance], 0, 0)), invalid);
        assert_eq!(read(&set(&[multiple], 0, 0)), invalid);
        assert_eq!(
            read(&set(&[subject], 1, 2)),
            invalid,
            "more expanded than there are"
        );
        assert_eq!(
            read(&set(&[subject; MAX_SORT_ORDERS + 1], 0, 0)),
            Err(CodecError::OverLimit(SORT))
        );
        assert_eq!(
            read(&set(&[subject; 6], MAX_CATEGORIES + 1, 0)),
            Err(CodecError::OverLimit(SORT))
        );
    }
}
