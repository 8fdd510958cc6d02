//! The order and the groups of a table whose rows are listed: pure, without a database.
//!
//! A [`View`] is made of one [`Entry`] a row: its id and the values it is sorted by, nothing else of the row.
//! Categories become [`Group`]s; what the client sees is the headers and rows that no collapsed group hides.

use std::{cmp::Ordering, collections::HashMap};

use ringpost_mapi::{
    PropValue, PropertyBag,
    codec::encode_bag,
    collation::compare_optional,
    sort::{Direction, SortOrderSet},
};

/// What stays the same of a row while others come and go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum RowKey {
    /// A row: the object's id, and which of its values it stands for where a multi-valued property has a row
    /// for each (from 1 on; 0 where it has none).
    Leaf(u64, u32),
    /// The header of a category, by its id.
    Header(u64),
}

/// A row on its way into a view.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The object's id.
    pub(crate) id: u64,
    /// Which value of the multi-valued property, from 1 on.
    pub(crate) instance: u32,
    /// Whether the headers above count it as unread.
    pub(crate) unread: bool,
    /// Its values for the sort orders, in their order.
    pub(crate) keys: Box<[Option<PropValue>]>,
}

/// A category's header.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Group {
    /// Its id: the same for the same values at the same depth, in every view of every session.
    pub(crate) id: u64,
    /// Its depth, from 0 on.
    pub(crate) depth: usize,
    /// The values of its category and of the ones above it, from the outermost on.
    pub(crate) values: Vec<Option<PropValue>>,
    /// Rows in it, those of inner categories included.
    pub(crate) rows: u32,
    /// Of those, unread ones.
    pub(crate) unread: u32,
    /// Whether its content shows.
    pub(crate) expanded: bool,
}

/// A place in a view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A row: its index in [`View::rows`].
    Row(usize),
    /// A header: its index in [`View::groups`].
    Header(usize),
}

/// The rows of a table in order, with their groups.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Every row's id and instance, in order, visible or not.
    rows: Vec<(u64, u32)>,
    /// How deep rows stand: the number of categories.
    depth: usize,
    groups: Vec<Group>,
    /// Headers and rows in order: what [`Self::visible`] is chosen from. Empty without categories.
    all: Vec<Place>,
    /// What is shown, in order. Empty without categories: then every row is.
    visible: Vec<Place>,
}

impl View {
    /// The view of `entries`. `expansion` says which groups are not as `sort.expanded` has them.
    pub(crate) fn new(mut entries: Vec<Entry>, sort: &SortOrderSet, expansion: &HashMap<u64, bool>) -> Self {
        sort_in_slices(&mut entries, &|a, b| compare_rows(a, b, sort));
        if sort.categories == 0 {
            let rows = entries.iter().map(|entry| (entry.id, entry.instance)).collect();
            return Self {
                rows,
                ..Self::default()
            };
        }
        let mut view = Self {
            depth: sort.categories,
            ..Self::default()
        };
        let levels = levels(sort);
        view.add_groups(&entries, sort, &levels, 0, &mut Vec::new(), expansion);
        view.show();
        view
    }

    /// Adds the groups of `entries`, which share the values of the categories above `depth` and are sorted.
    fn add_groups(
        &mut self,
        entries: &[Entry],
        sort: &SortOrderSet,
        levels: &[Level],
        depth: usize,
        path: &mut Vec<Option<PropValue>>,
        expansion: &HashMap<u64, bool>,
    ) {
        let Some(level) = levels.get(depth) else {
            for entry in entries {
                self.all.push(Place::Row(self.rows.len()));
                self.rows.push((entry.id, entry.instance));
            }
            return ringpost_vfs::breathe();
        };
        for group in runs(entries, level, sort) {
            let Some(first) = group.first() else { continue };
            path.push(first.keys[level.key].clone());
            let id = group_id(depth, path);
            self.all.push(Place::Header(self.groups.len()));
            self.groups.push(Group {
                id,
                depth,
                values: path.clone(),
                rows: group.len() as u32,
                unread: group.iter().filter(|entry| entry.unread).count() as u32,
                expanded: expansion.get(&id).copied().unwrap_or(depth < sort.expanded),
            });
            self.add_groups(group, sort, levels, depth + 1, path, expansion);
            path.pop();
        }
    }

    /// Chooses what is visible.
    fn show(&mut self) {
        let mut hidden_below = usize::MAX;
        self.visible.clear();
        for place in &self.all {
            let depth = match place {
                Place::Row(_) => self.depth,
                Place::Header(at) => self.groups[*at].depth,
            };
            if depth > hidden_below {
                continue;
            }
            hidden_below = usize::MAX;
            if let Place::Header(at) = place
                && !self.groups[*at].expanded
            {
                hidden_below = depth;
            }
            self.visible.push(*place);
        }
    }

    /// How many rows and headers are visible.
    pub(crate) fn len(&self) -> usize {
        if self.depth == 0 {
            self.rows.len()
        } else {
            self.visible.len()
        }
    }

    /// How many rows there are, hidden ones included, headers not.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// How many categories stand above each row.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// What is at a visible position.
    pub(crate) fn place(&self, position: usize) -> Option<Place> {
        if self.depth == 0 {
            (position < self.rows.len()).then_some(Place::Row(position))
        } else {
            self.visible.get(position).copied()
        }
    }

    /// The id and instance of a row.
    pub(crate) fn row(&self, index: usize) -> Option<(u64, u32)> {
        self.rows.get(index).copied()
    }

    /// A header.
    pub(crate) fn group(&self, index: usize) -> Option<&Group> {
        self.groups.get(index)
    }

    /// The key of what is at a visible position.
    pub(crate) fn key(&self, position: usize) -> Option<RowKey> {
        match self.place(position)? {
            Place::Row(at) => self.row(at).map(|(id, instance)| RowKey::Leaf(id, instance)),
            Place::Header(at) => self.group(at).map(|group| RowKey::Header(group.id)),
        }
    }

    /// Where a row or header is visible. For a hidden one: the header that hides it, and `false`.
    pub(crate) fn find(&self, key: RowKey) -> Option<(usize, bool)> {
        let is = |place: &Place| match (*place, key) {
            (Place::Row(at), RowKey::Leaf(id, instance)) => self.rows[at] == (id, instance),
            (Place::Header(at), RowKey::Header(id)) => self.groups[at].id == id,
            _ => false,
        };
        if self.depth == 0 {
            let RowKey::Leaf(id, instance) = key else {
                return None;
            };
            return self
                .rows
                .iter()
                .position(|row| *row == (id, instance))
                .map(|at| (at, true));
        }
        if let Some(at) = self.visible.iter().position(is) {
            return Some((at, true));
        }
        // Hidden: the last visible place before it is the header of the outermost collapsed group around it.
        let at = self.all.iter().position(is)?;
        let mut shown = 0;
        for place in &self.all[..at] {
            shown += usize::from(self.visible.get(shown) == Some(place));
        }
        Some((shown.checked_sub(1)?, false))
    }

    /// Expands or collapses a category: its position, and how many rows and headers appeared or went. `None`
    /// where there is no such category.
    pub(crate) fn set_expanded(&mut self, id: u64, expanded: bool) -> Option<(usize, usize)> {
        let group = self.groups.iter_mut().find(|group| group.id == id)?;
        group.expanded = expanded;
        let before = self.visible.len();
        self.show();
        let (position, _) = self.find(RowKey::Header(id))?;
        Some((position, self.visible.len().abs_diff(before)))
    }
}

/// A category: which sort order it is, and which one its groups are ordered by, if any (the maximum).
struct Level {
    key: usize,
    maximum: Option<usize>,
}

fn levels(sort: &SortOrderSet) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for (key, order) in sort.orders.iter().enumerate() {
        if order.direction == Direction::MaximumCategory {
            if let Some(level) = levels.last_mut() {
                level.maximum = Some(key);
            }
        } else if levels.len() < sort.categories {
            levels.push(Level { key, maximum: None });
        } else {
            break;
        }
    }
    levels
}

/// The groups of sorted entries at a level, in the order they are shown.
fn runs<'a>(entries: &'a [Entry], level: &Level, sort: &SortOrderSet) -> Vec<&'a [Entry]> {
    let same = |a: &Entry, b: &Entry| {
        compare_optional(a.keys[level.key].as_ref(), b.keys[level.key].as_ref()).is_eq()
    };
    let mut groups: Vec<&[Entry]> = entries.chunk_by(same).collect();
    if let Some(maximum) = level.maximum {
        let largest = |group: &'a [Entry]| {
            group
                .iter()
                .map(|entry| entry.keys[maximum].as_ref())
                .max_by(|a, b| compare_optional(*a, *b))
                .flatten()
        };
        let mut keyed: Vec<_> = groups.into_iter().map(|group| (largest(group), group)).collect();
        keyed.sort_by(|a, b| directed(compare_optional(a.0, b.0), sort.orders[level.key].direction));
        groups = keyed.into_iter().map(|(_, group)| group).collect();
    }
    groups
}

fn compare_rows(a: &Entry, b: &Entry, sort: &SortOrderSet) -> Ordering {
    let mut direction = Direction::Ascending;
    for (key, order) in sort.orders.iter().enumerate() {
        // A maximum goes the way of its category.
        if order.direction != Direction::MaximumCategory {
            direction = order.direction;
        }
        let compared = directed(
            compare_optional(a.keys[key].as_ref(), b.keys[key].as_ref()),
            direction,
        );
        if compared.is_ne() {
            return compared;
        }
    }
    // Equal rows go by id the same way, as an index read backwards has them.
    directed((a.id, a.instance).cmp(&(b.id, b.instance)), direction)
}

fn directed(order: Ordering, direction: Direction) -> Ordering {
    if direction == Direction::Descending {
        order.reverse()
    } else {
        order
    }
}

/// A category's id: a hash of its values, so that it survives the view. The top bit is clear: it passes
/// through signed integers.
fn group_id(depth: usize, values: &[Option<PropValue>]) -> u64 {
    let bag: PropertyBag = values
        .iter()
        .enumerate()
        .filter_map(|(at, value)| {
            let value = value.as_ref()?;
            let value = match value {
                PropValue::String(text) => PropValue::String(ringpost_mapi::collation::fold(text)),
                other => other.clone(),
            };
            Some((ringpost_mapi::PropTag::new(at as u16, value.kind()), value))
        })
        .collect();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[depth as u8]);
    hasher.update(&encode_bag(&bag));
    let mut id = [0; 8];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(id) >> 1
}

/// Rows sorted between two breaths.
const SLICE: usize = 1024;

/// Sorts, letting others run in between: runs of [`SLICE`] rows, then merged pairwise.
fn sort_in_slices<T: Clone>(values: &mut Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) {
    for run in values.chunks_mut(SLICE) {
        run.sort_by(compare);
        ringpost_vfs::breathe();
    }
    let mut width = SLICE;
    while width < values.len() {
        let mut merged = Vec::with_capacity(values.len());
        let mut runs = std::mem::take(values).into_iter();
        loop {
            let left: Vec<T> = runs.by_ref().take(width).collect();
            let right: Vec<T> = runs.by_ref().take(width).collect();
            if left.is_empty() {
                break;
            }
            merge(left, right, &mut merged, compare);
        }
        *values = merged;
        width *= 2;
    }
}

fn merge<T>(left: Vec<T>, right: Vec<T>, out: &mut Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if compare(b, a).is_lt() => right.next(),
            (Some(_), _) => left.next(),
            (None, _) => right.next(),
        };
        let Some(next) = next else { return };
        out.push(next);
        if out.len().is_multiple_of(SLICE) {
            ringpost_vfs::breathe();
        }
    }
}

#[cfg(test)]
mod tests;
