//! Tables (MS-OXCTABL): a folder's messages, its subfolders, a message's recipients and attachments, as
//! rows of chosen columns in a chosen order.
//!
//! A [`Table`] belongs to a client's session and borrows nothing: each operation gets the mailbox. What a
//! client set (columns, sort order, restriction, which categories are expanded, bookmarks, its position) is
//! kept; rows are not.
//!
//! ```text
//! sort order has an index, restriction is SQL ──► read along the index: only the rows asked for
//! anything else ──► one scan for ids and sort keys, sorted and grouped (`view`); again when rows changed
//! ```
//!
//! Positions are rows, not numbers: a message that arrives above leaves the client where it was. Of a row,
//! only the columns asked for are read; the encoded properties only where a column is among them.

mod collapse;
mod contents;
mod hierarchy;
mod message;
mod search;
mod source;
mod sql;
mod stamp;
mod view;

use std::collections::{BTreeMap, HashMap, HashSet};

use ringpost_mapi::{FolderId, PropTag, PropValue, PropertyBag, Restriction, sort::SortOrderSet, tags};

use crate::{Mailbox, StoreError};
use contents::{Contents, Cursor as IndexCursor, Index};
use source::{Bags, Scanned, Source, instances, is_instance, whole};
use view::{Entry, Group, Place, RowKey, View};

pub use collapse::MAX_COLLAPSE_CATEGORIES;
pub(crate) use message::{computed as computed_property, look_at_message};
pub use search::{MAX_SCOPE_FOLDERS, MAX_SEARCH_FOLDERS, SearchCriteria, SearchProgress};
pub(crate) use search::{Search, criteria_decode};
pub(crate) use sql::register_functions;
pub(crate) use stamp::Stamps;

/// The most columns of a table.
pub const MAX_COLUMNS: usize = 512;
/// The most rows of a table that no index sorts: of each, its id and sort keys are held while it is sorted.
pub const MAX_LISTED_ROWS: usize = 2_000_000;
/// The most bookmarks of a table.
pub const MAX_BOOKMARKS: usize = 1024;
/// The most characters of a string that rows are sorted by; what follows them decides nothing.
pub const MAX_KEY_CHARACTERS: usize = 255;

/// A row: the values of the table's columns, in their order; `None` where the row has no such property.
pub type Row = Vec<Option<PropValue>>;

/// Which messages of a folder a contents table shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContentsKind {
    /// Normal messages.
    Normal,
    /// Associated (FAI) messages.
    Associated,
    /// Normal messages that were deleted softly.
    SoftDeleted,
    /// Associated messages that were deleted softly.
    SoftDeletedAssociated,
}

/// Where a seek or search starts (MS-OXCTABL 2.2.2.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Before the first row.
    Beginning,
    /// At the current row.
    Current,
    /// After the last row.
    End,
    /// At a bookmark ([`Table::create_bookmark`]).
    Bookmark(u32),
}

/// What a seek did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sought {
    /// How many rows the position moved; less than asked for where the table ended.
    pub moved: i64,
    /// The bookmark's row is gone or hidden by a collapsed category; the nearest one was taken.
    pub bookmark_lost: bool,
}

/// What a search found.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The row, which is the current one now.
    pub row: Row,
    /// As in [`Sought`].
    pub bookmark_lost: bool,
}

/// A client's table.
#[derive(Debug)]
pub struct Table {
    content: Content,
    columns: Vec<PropTag>,
    sort: SortOrderSet,
    restriction: Restriction,
    /// The categories that are not as the sort order has them.
    expansion: HashMap<u64, bool>,
    rows: Option<Rows>,
    cursor: Cursor,
    bookmarks: BTreeMap<u32, Cursor>,
    next_bookmark: u32,
}

#[derive(Debug)]
enum Content {
    Contents(FolderId, ContentsKind, Option<String>),
    Hierarchy(hierarchy::Shown),
    Bags(Vec<PropertyBag>),
}

/// The order that was worked out.
#[derive(Debug)]
enum Rows {
    /// Read along an index.
    Indexed(Index),
    /// Listed when the source had this stamp.
    Listed(View, u64),
}

/// A place in the table: the row that is read next.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Cursor {
    Beginning,
    /// A row, and its position when it was last seen.
    Row(RowKey, usize),
    /// A row of an index, which need not exist any more.
    Indexed(IndexCursor),
    End,
}

impl Table {
    /// The messages of a folder.
    pub fn contents(folder: FolderId, kind: ContentsKind) -> Self {
        Self::new(Content::Contents(folder, kind, None))
    }

    /// The messages of a folder of a public store, with the read states of `user` (an address). In a private
    /// store as [`Self::contents`].
    pub fn contents_of_user(folder: FolderId, kind: ContentsKind, user: &str) -> Self {
        Self::new(Content::Contents(folder, kind, Some(user.to_lowercase())))
    }

    /// The subfolders of a folder; with `deep` all folders below it.
    pub fn hierarchy(folder: FolderId, deep: bool) -> Self {
        Self::new(Content::Hierarchy(hierarchy::Shown::new(folder, deep)))
    }

    /// As [`Self::hierarchy`], of a public store, with what is unread to `user` (an address).
    pub fn hierarchy_of_user(folder: FolderId, deep: bool, user: &str) -> Self {
        let mut shown = hierarchy::Shown::new(folder, deep);
        shown.user = Some(user.to_lowercase());
        Self::new(Content::Hierarchy(shown))
    }

    /// The folders that were soft-deleted out of a folder.
    pub fn deleted_hierarchy(folder: FolderId) -> Self {
        let mut shown = hierarchy::Shown::new(folder, false);
        shown.deleted = true;
        Self::new(Content::Hierarchy(shown))
    }

    /// Rows in memory: a message's recipients or attachments.
    pub fn of_rows(rows: Vec<PropertyBag>) -> Self {
        Self::new(Content::Bags(rows))
    }

    fn new(content: Content) -> Self {
        Self {
            content,
            columns: Vec::new(),
            sort: SortOrderSet::default(),
            restriction: Restriction::Always,
            expansion: HashMap::new(),
            rows: None,
            cursor: Cursor::Beginning,
            bookmarks: BTreeMap::new(),
            next_bookmark: 1,
        }
    }

    /// Chooses the columns (`SetColumns`); at most [`MAX_COLUMNS`]. The position stays.
    pub fn set_columns(&mut self, columns: Vec<PropTag>) -> Result<(), StoreError> {
        if columns.len() > MAX_COLUMNS {
            return Err(StoreError::LimitExceeded("columns of a table"));
        }
        self.columns = columns;
        Ok(())
    }

    /// The columns.
    pub fn columns(&self) -> &[PropTag] {
        &self.columns
    }

    /// Orders and categorises the rows (`SortTable`). The position is the beginning, bookmarks are gone.
    pub fn sort(&mut self, sort: SortOrderSet) -> Result<(), StoreError> {
        sort.check()
            .map_err(|_| StoreError::NotAllowed("a table can't be sorted so"))?;
        self.sort = sort;
        self.expansion.clear();
        self.restart();
        Ok(())
    }

    /// Shows the rows only that meet a condition (`Restrict`). The position is the beginning, bookmarks are gone.
    pub fn restrict(&mut self, restriction: Restriction) {
        self.restriction = restriction;
        self.restart();
    }

    /// As when it was opened (`ResetTable`).
    pub fn reset(&mut self) {
        self.columns.clear();
        self.sort = SortOrderSet::default();
        self.restriction = Restriction::Always;
        self.expansion.clear();
        self.restart();
    }

    fn restart(&mut self) {
        self.rows = None;
        self.cursor = Cursor::Beginning;
        self.bookmarks.clear();
    }

    /// Reads up to `count` rows from the position on; with `forward` false the rows before it, the nearest
    /// first (`QueryRows`). With `advance` the position moves past them.
    pub fn query_rows(
        &mut self,
        mailbox: &mut Mailbox,
        count: usize,
        forward: bool,
        advance: bool,
    ) -> Result<Vec<Row>, StoreError> {
        self.prepare(mailbox)?;
        let limit = self.restriction.row_limit();
        let mut out = Vec::new();
        let cursor = match self.rows.as_ref() {
            Some(Rows::Indexed(index)) => {
                let mut contents = self.content.contents(mailbox)?;
                let start = index_cursor(self.cursor);
                let keys = contents.keys(index, start, count, forward)?;
                let next = Contents::after(index, start, &keys, count, forward);
                for key in keys {
                    out.extend(read_leaf(&mut contents, &self.columns, key.id(), 0, 0)?);
                }
                Cursor::Indexed(next)
            }
            Some(Rows::Listed(view, _)) => {
                let mut source = self.content.source(mailbox)?;
                let (start, _) = resolve(view, self.cursor);
                let shown = limit.map_or(view.len(), |limit| view.len().min(limit as usize));
                let (from, to) = if forward {
                    (start.min(shown), start.saturating_add(count).min(shown))
                } else {
                    (start.saturating_sub(count), start)
                };
                let positions: Box<dyn Iterator<Item = usize>> = if forward {
                    Box::new(from..to)
                } else {
                    Box::new((from..to).rev())
                };
                for position in positions {
                    out.extend(self.read_listed(view, position, &mut *source)?);
                }
                cursor_at(view, if forward { to } else { from })
            }
            None => self.cursor,
        };
        if advance {
            self.cursor = cursor;
        }
        Ok(out)
    }

    /// The position and the number of rows (`QueryPosition`).
    pub fn query_position(&mut self, mailbox: &mut Mailbox) -> Result<(usize, usize), StoreError> {
        self.prepare(mailbox)?;
        Ok(match self.rows.as_ref() {
            Some(Rows::Indexed(index)) => {
                let mut contents = self.content.contents(mailbox)?;
                let total = contents.count(index)?;
                (contents.position(index, index_cursor(self.cursor), total)?, total)
            }
            Some(Rows::Listed(view, _)) => (resolve(view, self.cursor).0, view.len()),
            None => (0, 0),
        })
    }

    /// How many rows there are, without headers and with what collapsed categories hide.
    pub fn row_count(&mut self, mailbox: &mut Mailbox) -> Result<usize, StoreError> {
        self.prepare(mailbox)?;
        match self.rows.as_ref() {
            Some(Rows::Indexed(index)) => self.content.contents(mailbox)?.count(index),
            Some(Rows::Listed(view, _)) => Ok(view.row_count()),
            None => Ok(0),
        }
    }

    /// Moves the position by `count` rows from `origin`, back where negative (`SeekRow`, `SeekRowBookmark`).
    pub fn seek_row(
        &mut self,
        mailbox: &mut Mailbox,
        origin: Origin,
        count: i64,
    ) -> Result<Sought, StoreError> {
        self.prepare(mailbox)?;
        let from = self.origin(origin)?;
        let (cursor, sought) = match self.rows.as_ref() {
            Some(Rows::Indexed(index)) => {
                let mut contents = self.content.contents(mailbox)?;
                let (next, moved) = contents.seek(index, index_cursor(from), count)?;
                (
                    Cursor::Indexed(next),
                    Sought {
                        moved,
                        bookmark_lost: false,
                    },
                )
            }
            Some(Rows::Listed(view, _)) => {
                let (start, kept) = resolve(view, from);
                let target = (start as i64).saturating_add(count).clamp(0, view.len() as i64);
                let sought = Sought {
                    moved: target - start as i64,
                    bookmark_lost: !kept,
                };
                (cursor_at(view, target as usize), sought)
            }
            None => (
                from,
                Sought {
                    moved: 0,
                    bookmark_lost: false,
                },
            ),
        };
        self.cursor = cursor;
        Ok(sought)
    }

    /// Moves the position to a fraction of the table (`SeekRowFractional`); a denominator of 0 is an error,
    /// a fraction over 1 the end.
    pub fn seek_fraction(
        &mut self,
        mailbox: &mut Mailbox,
        numerator: u32,
        denominator: u32,
    ) -> Result<(), StoreError> {
        if denominator == 0 {
            return Err(StoreError::NotAllowed("a fraction's denominator is 0"));
        }
        let (_, total) = self.query_position(mailbox)?;
        let target = (total as u64).saturating_mul(u64::from(numerator)) / u64::from(denominator);
        self.seek_row(mailbox, Origin::Beginning, target.min(total as u64) as i64)?;
        Ok(())
    }

    /// Looks from `origin` on (back with `forward` false) for a row that meets a condition, headers not
    /// considered, and makes it the current one (`FindRow`). Where there is none the position stays.
    pub fn find_row(
        &mut self,
        mailbox: &mut Mailbox,
        restriction: &Restriction,
        origin: Origin,
        forward: bool,
    ) -> Result<Option<Found>, StoreError> {
        self.prepare(mailbox)?;
        let from = self.origin(origin)?;
        match self.rows.as_ref() {
            Some(Rows::Indexed(index)) => {
                let mut contents = self.content.contents(mailbox)?;
                let Some(key) = contents.find(index, index_cursor(from), forward, restriction)? else {
                    return Ok(None);
                };
                let row = read_leaf(&mut contents, &self.columns, key.id(), 0, 0)?;
                self.cursor = Cursor::Indexed(IndexCursor::At(key));
                Ok(row.map(|row| Found {
                    row,
                    bookmark_lost: false,
                }))
            }
            Some(Rows::Listed(view, _)) => {
                let mut source = self.content.source(mailbox)?;
                let (start, kept) = resolve(view, from);
                let mut matching = HashSet::new();
                source.scan(restriction, &[], &mut |row| {
                    matching.insert(row.id);
                })?;
                let is = |position: &usize| match view.place(*position) {
                    Some(Place::Row(at)) => view.row(at).is_some_and(|(id, _)| matching.contains(&id)),
                    _ => false,
                };
                let found = if forward {
                    (start..view.len()).find(is)
                } else {
                    (0..start.min(view.len())).rfind(is)
                };
                let Some(position) = found else { return Ok(None) };
                let row = self.read_listed(view, position, &mut *source)?;
                self.cursor = cursor_at(view, position);
                Ok(row.map(|row| Found {
                    row,
                    bookmark_lost: !kept,
                }))
            }
            None => Ok(None),
        }
    }

    /// Remembers the position (`CreateBookmark`); at most [`MAX_BOOKMARKS`].
    pub fn create_bookmark(&mut self) -> Result<u32, StoreError> {
        if self.bookmarks.len() >= MAX_BOOKMARKS {
            return Err(StoreError::LimitExceeded("bookmarks of a table"));
        }
        let bookmark = self.next_bookmark;
        self.next_bookmark = bookmark.wrapping_add(1).max(1);
        self.bookmarks.insert(bookmark, self.cursor);
        Ok(bookmark)
    }

    /// Forgets a bookmark (`FreeBookmark`); whether there was one.
    pub fn free_bookmark(&mut self, bookmark: u32) -> bool {
        self.bookmarks.remove(&bookmark).is_some()
    }

    /// Expands a category (`ExpandRow`): how many rows appeared, and the first `count` of them.
    pub fn expand_row(
        &mut self,
        mailbox: &mut Mailbox,
        category: u64,
        count: usize,
    ) -> Result<(usize, Vec<Row>), StoreError> {
        let (header, appeared) = self.set_expanded(mailbox, category, true)?;
        let mut rows = Vec::new();
        if let Some(Rows::Listed(view, _)) = &self.rows {
            let mut source = self.content.source(mailbox)?;
            for position in header + 1..=header + appeared.min(count) {
                rows.extend(self.read_listed(view, position, &mut *source)?);
            }
        }
        Ok((appeared, rows))
    }

    /// Collapses a category (`CollapseRow`): how many rows went. A position among them becomes the header's.
    pub fn collapse_row(&mut self, mailbox: &mut Mailbox, category: u64) -> Result<usize, StoreError> {
        self.set_expanded(mailbox, category, false).map(|(_, gone)| gone)
    }

    fn set_expanded(
        &mut self,
        mailbox: &mut Mailbox,
        category: u64,
        expanded: bool,
    ) -> Result<(usize, usize), StoreError> {
        self.prepare(mailbox)?;
        if self.sort.categories == 0 {
            return Err(StoreError::NotAllowed("the table has no categories"));
        }
        let Some(Rows::Listed(view, _)) = &mut self.rows else {
            return Err(StoreError::NotFound("category".to_owned()));
        };
        let changed = view
            .set_expanded(category, expanded)
            .ok_or_else(|| StoreError::NotFound("category".to_owned()))?;
        self.expansion.insert(category, expanded);
        let (position, _) = resolve(view, self.cursor);
        self.cursor = cursor_at(view, position);
        Ok(changed)
    }

    /// Works the order out, again where rows have changed since.
    fn prepare(&mut self, mailbox: &mut Mailbox) -> Result<(), StoreError> {
        if self.rows.is_none()
            && let Content::Contents(..) = self.content
        {
            let contents = self.content.contents(mailbox)?;
            self.rows = contents.index(&self.sort, &self.restriction).map(Rows::Indexed);
        }
        if matches!(self.rows, Some(Rows::Indexed(_))) {
            return Ok(());
        }
        let mut source = self.content.source(mailbox)?;
        let stamp = source.stamp();
        if let Some(Rows::Listed(_, listed)) = self.rows
            && listed == stamp
        {
            return Ok(());
        }
        let view = list(&mut *source, &self.sort, &self.restriction, &self.expansion)?;
        if let Cursor::Row(..) = self.cursor {
            let (position, _) = resolve(&view, self.cursor);
            self.cursor = cursor_at(&view, position);
        }
        self.rows = Some(Rows::Listed(view, stamp));
        Ok(())
    }

    fn origin(&self, origin: Origin) -> Result<Cursor, StoreError> {
        Ok(match origin {
            Origin::Beginning => Cursor::Beginning,
            Origin::Current => self.cursor,
            Origin::End => Cursor::End,
            Origin::Bookmark(bookmark) => *self
                .bookmarks
                .get(&bookmark)
                .ok_or_else(|| StoreError::NotFound("bookmark".to_owned()))?,
        })
    }

    /// Reads what is at a position of the view. `None` where the row went meanwhile.
    fn read_listed(
        &self,
        view: &View,
        position: usize,
        source: &mut dyn Source,
    ) -> Result<Option<Row>, StoreError> {
        match view.place(position) {
            Some(Place::Header(at)) => Ok(view.group(at).map(|group| self.header_row(group))),
            Some(Place::Row(at)) => match view.row(at) {
                Some((id, instance)) => read_leaf(source, &self.columns, id, instance, view.depth()),
                None => Ok(None),
            },
            None => Ok(None),
        }
    }

    /// A category's header (MS-OXCTABL 2.2.1): its own properties and the values of its categories.
    fn header_row(&self, group: &Group) -> Row {
        let column = |tag: &PropTag| match *tag {
            tags::ROW_TYPE => Some(PropValue::Integer32(if group.expanded { 3 } else { 4 })),
            tags::INST_ID => Some(PropValue::Integer64(group.id as i64)),
            tags::INSTANCE_NUM => Some(PropValue::Integer32(0)),
            tags::INSTANCE_KEY => Some(PropValue::Binary(instance_key(RowKey::Header(group.id)))),
            tags::DEPTH => Some(PropValue::Integer32(group.depth as i32)),
            tags::CONTENT_COUNT => Some(PropValue::Integer32(group.rows as i32)),
            tags::CONTENT_UNREAD_COUNT => Some(PropValue::Integer32(group.unread as i32)),
            tag => {
                let at = category_orders(&self.sort).position(|order| order.id() == tag.id())?;
                group.values.get(at).cloned().flatten()
            }
        };
        self.columns.iter().map(column).collect()
    }
}

impl Content {
    fn source<'m>(&'m self, mailbox: &'m mut Mailbox) -> Result<Box<dyn Source + 'm>, StoreError> {
        Ok(match self {
            Self::Contents(..) => Box::new(self.contents(mailbox)?),
            Self::Hierarchy(shown) => Box::new(hierarchy::Hierarchy::new(mailbox, shown)),
            Self::Bags(rows) => Box::new(Bags(rows)),
        })
    }

    fn contents<'m>(&self, mailbox: &'m mut Mailbox) -> Result<Contents<'m>, StoreError> {
        match self {
            Self::Contents(folder, kind, user) => Contents::new(mailbox, *folder, *kind, user.as_deref()),
            _ => Err(StoreError::NotAllowed("no contents table")),
        }
    }
}

/// Lists, sorts and groups all rows.
fn list(
    source: &mut dyn Source,
    sort: &SortOrderSet,
    restriction: &Restriction,
    expansion: &HashMap<u64, bool>,
) -> Result<View, StoreError> {
    let keys: Vec<PropTag> = sort.orders.iter().map(|order| whole(order.tag)).collect();
    let instance = sort.orders.iter().position(|order| is_instance(order.tag));
    let mut entries = Vec::new();
    let mut over = false;
    source.scan(restriction, &keys, &mut |mut row: Scanned| {
        over |= entries.len() >= MAX_LISTED_ROWS;
        if over {
            return;
        }
        row.values.iter_mut().flatten().for_each(shorten);
        let values = instance
            .and_then(|at| row.values[at].take())
            .map(instances)
            .unwrap_or_default();
        let entry = |instance: u32, keys: Vec<Option<PropValue>>| Entry {
            id: row.id,
            instance,
            unread: row.unread,
            keys: keys.into_boxed_slice(),
        };
        let Some(at) = instance.filter(|_| !values.is_empty()) else {
            entries.push(entry(0, row.values.clone()));
            return;
        };
        for (number, value) in values.into_iter().enumerate() {
            let mut keys = row.values.clone();
            keys[at] = Some(value);
            entries.push(entry(number as u32 + 1, keys));
        }
    })?;
    if over {
        return Err(StoreError::LimitExceeded("rows of a sorted table"));
    }
    Ok(View::new(entries, sort, expansion))
}

/// Cuts long sort keys.
fn shorten(value: &mut PropValue) {
    match value {
        PropValue::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(MAX_KEY_CHARACTERS) {
                text.truncate(end);
            }
        }
        PropValue::Binary(bytes) => bytes.truncate(MAX_KEY_CHARACTERS),
        _ => {}
    }
}

/// The properties that make the categories, outermost first.
fn category_orders(sort: &SortOrderSet) -> impl Iterator<Item = PropTag> {
    use ringpost_mapi::sort::Direction;
    let plain = sort
        .orders
        .iter()
        .filter(|order| order.direction != Direction::MaximumCategory);
    plain.take(sort.categories).map(|order| order.tag)
}

/// Reads an object's row: its columns, and what the table itself knows of it.
fn read_leaf(
    source: &mut dyn Source,
    columns: &[PropTag],
    id: u64,
    instance: u32,
    depth: usize,
) -> Result<Option<Row>, StoreError> {
    let asked: Vec<PropTag> = columns.iter().map(|tag| whole(*tag)).collect();
    let Some(mut row) = source.read(id, &asked)? else {
        return Ok(None);
    };
    for (tag, value) in columns.iter().zip(&mut row) {
        match *tag {
            tags::ROW_TYPE => *value = Some(PropValue::Integer32(1)),
            tags::INSTANCE_NUM => *value = Some(PropValue::Integer32(instance as i32)),
            tags::INSTANCE_KEY => *value = Some(PropValue::Binary(instance_key(RowKey::Leaf(id, instance)))),
            // In a hierarchy table the depth is the folder's own.
            tags::DEPTH if value.is_none() => *value = Some(PropValue::Integer32(depth as i32)),
            tag if is_instance(tag) => {
                *value = value.take().and_then(|whole| {
                    instances(whole)
                        .into_iter()
                        .nth(instance.checked_sub(1)? as usize)
                });
            }
            _ => {}
        }
    }
    Ok(Some(row))
}

/// `PidTagInstanceKey`: distinct for each row of a table, also for the rows of one object's several values.
fn instance_key(key: RowKey) -> Vec<u8> {
    let (kind, id, instance) = match key {
        RowKey::Leaf(id, instance) => (0u8, id, instance),
        RowKey::Header(id) => (1, id, 0),
    };
    [&[kind][..], &id.to_le_bytes(), &instance.to_le_bytes()].concat()
}

/// The position of a cursor, and whether its row is still there and visible.
fn resolve(view: &View, cursor: Cursor) -> (usize, bool) {
    match cursor {
        Cursor::Beginning | Cursor::Indexed(_) => (0, true),
        Cursor::End => (view.len(), true),
        Cursor::Row(key, position) => {
            if view.key(position) == Some(key) {
                return (position, true);
            }
            view.find(key).unwrap_or((position.min(view.len()), false))
        }
    }
}

fn cursor_at(view: &View, position: usize) -> Cursor {
    match view.key(position) {
        _ if position == 0 => Cursor::Beginning,
        Some(key) => Cursor::Row(key, position),
        None => Cursor::End,
    }
}

fn index_cursor(cursor: Cursor) -> IndexCursor {
    match cursor {
        Cursor::Beginning | Cursor::Row(..) => IndexCursor::Beginning,
        Cursor::Indexed(cursor) => cursor,
        Cursor::End => IndexCursor::End,
    }
}

#[cfg(test)]
mod tests;
