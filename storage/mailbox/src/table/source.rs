//! Where a table's rows come from.

use ringpost_mapi::{PropTag, PropType, PropValue, PropertyBag, Restriction};

use super::Row;
use crate::StoreError;

/// The rows of one table: a folder's messages, its subfolders, a message's recipients or attachments.
pub(crate) trait Source {
    /// A number that differs whenever the rows may have changed.
    fn stamp(&self) -> u64;

    /// Visits all rows that meet a restriction, in no particular order.
    fn scan(
        &mut self,
        restriction: &Restriction,
        keys: &[PropTag],
        visit: &mut dyn FnMut(Scanned),
    ) -> Result<(), StoreError>;

    /// Reads the columns of one row; `None` where it is gone.
    fn read(&mut self, id: u64, columns: &[PropTag]) -> Result<Option<Row>, StoreError>;
}

/// A row that a scan found.
pub(crate) struct Scanned {
    /// Its id.
    pub(crate) id: u64,
    /// Whether a category's header counts it as unread.
    pub(crate) unread: bool,
    /// The values of the scan's keys. Multi-valued properties come whole.
    pub(crate) values: Vec<Option<PropValue>>,
}

/// The tag of the whole property, where `tag` asks for one value of it.
pub(crate) fn whole(tag: PropTag) -> PropTag {
    PropTag::new(tag.id(), PropType(tag.kind().0 & !PropType::INSTANCE))
}

/// Whether `tag` asks for one value of a multi-valued property.
pub(crate) fn is_instance(tag: PropTag) -> bool {
    tag.kind().0 & PropType::INSTANCE != 0
}

/// The values of a multi-valued property one by one; a single value is the only one.
pub(crate) fn instances(value: PropValue) -> Vec<PropValue> {
    use PropValue as V;
    match value {
        V::MultipleInteger16(list) => list.into_iter().map(V::Integer16).collect(),
        V::MultipleInteger32(list) => list.into_iter().map(V::Integer32).collect(),
        V::MultipleFloating32(list) => list.into_iter().map(V::Floating32).collect(),
        V::MultipleFloating64(list) => list.into_iter().map(V::Floating64).collect(),
        V::MultipleCurrency(list) => list.into_iter().map(V::Currency).collect(),
        V::MultipleFloatingTime(list) => list.into_iter().map(V::FloatingTime).collect(),
        V::MultipleInteger64(list) => list.into_iter().map(V::Integer64).collect(),
        V::MultipleString(list) => list.into_iter().map(V::String).collect(),
        V::MultipleTime(list) => list.into_iter().map(V::Time).collect(),
        V::MultipleGuid(list) => list.into_iter().map(V::Guid).collect(),
        V::MultipleBinary(list) => list.into_iter().map(V::Binary).collect(),
        single => vec![single],
    }
}

/// Rows that are in memory already, by their index: recipients, attachments.
pub(crate) struct Bags<'a>(pub(crate) &'a [PropertyBag]);

impl Source for Bags<'_> {
    fn stamp(&self) -> u64 {
        0
    }

    fn scan(
        &mut self,
        restriction: &Restriction,
        keys: &[PropTag],
        visit: &mut dyn FnMut(Scanned),
    ) -> Result<(), StoreError> {
        for (id, bag) in self.0.iter().enumerate() {
            let Ok(matched) = restriction.matches(bag);
            if matched {
                let values = keys.iter().map(|tag| bag.get(*tag).cloned()).collect();
                visit(Scanned {
                    id: id as u64,
                    unread: false,
                    values,
                });
            }
        }
        Ok(())
    }

    fn read(&mut self, id: u64, columns: &[PropTag]) -> Result<Option<Row>, StoreError> {
        let bag = usize::try_from(id).ok().and_then(|at| self.0.get(at));
        Ok(bag.map(|bag| columns.iter().map(|tag| bag.get(*tag).cloned()).collect()))
    }
}
