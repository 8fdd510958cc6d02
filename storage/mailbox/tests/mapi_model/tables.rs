//! The sessions' contents tables: opened, sorted, restricted and categorised at some moment, read again and
//! again while their rows change.

use std::cmp::Ordering;

use ringpost_mapi::{
    FolderId, MessageId, PropTag, PropType, PropValue, Restriction,
    entryid::encode_replica_id,
    sort::{Direction, SortOrderSet},
    tags,
};
use ringpost_store::{
    MailboxKind,
    table::{ContentsKind, Origin, Row, Table},
};

use super::{
    Run, dice,
    judge::{compare_values, meets},
    model::ModelMessage,
};

const MAX_TABLES: usize = 4;
/// The columns of every table.
const COLUMNS: [PropTag; 14] = [
    tags::MID,
    tags::ROW_TYPE,
    tags::INSTANCE_NUM,
    tags::DEPTH,
    tags::CONTENT_COUNT,
    tags::CONTENT_UNREAD_COUNT,
    tags::INST_ID,
    tags::SUBJECT,
    dice::NUMBER,
    dice::LONG,
    tags::MESSAGE_FLAGS,
    tags::BODY,
    tags::MESSAGE_STATUS,
    tags::CHANGE_KEY,
];
/// Which of them are a message's own properties.
const OWN: std::ops::Range<usize> = 7..14;

type Key = Vec<Option<PropValue>>;

/// A client's table, and what it must show.
pub(crate) struct OpenTable {
    pub(crate) table: Table,
    pub(crate) folder: FolderId,
    kind: ContentsKind,
    sort: SortOrderSet,
    restriction: Restriction,
    /// Categories that the client expanded or collapsed.
    expansion: Vec<(Key, bool)>,
    /// A bookmark, its row and that row's keys.
    mark: Option<(u32, MessageId, u32, Key)>,
    user: Option<String>,
}

/// A row as the model has it.
#[derive(Clone, Debug)]
struct Entry {
    id: MessageId,
    instance: u32,
    unread: bool,
    keys: Key,
}

#[derive(Clone, Debug)]
enum Shown {
    Header {
        path: Key,
        rows: usize,
        unread: usize,
        expanded: bool,
    },
    Leaf(Entry),
}

/// The id in a column that holds one.
pub(crate) fn message_id(value: Option<&PropValue>) -> MessageId {
    let Some(PropValue::Integer64(bytes)) = value else {
        panic!("no id: {value:?}")
    };
    let bytes = bytes.to_le_bytes();
    let counter = bytes[2..].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let id = MessageId(u64::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 48 | counter);
    assert_eq!(encode_replica_id(id.0), bytes);
    id
}

impl Run {
    /// The session opens a table, or looks into those that it has.
    pub(crate) fn use_tables(&mut self) {
        if self.sessions[self.turn].tables.len() < MAX_TABLES || self.dice.one_in(10) {
            self.open_table();
        }
        let mut tables = std::mem::take(&mut self.sessions[self.turn].tables);
        for open in &mut tables {
            let search = self.model.folders[&open.folder].search.as_ref();
            let running = search.is_some_and(|search| search.running);
            if !running && self.dice.one_in(2) {
                self.use_table(open);
            }
        }
        self.sessions[self.turn].tables = tables;
    }

    fn open_table(&mut self) {
        let folder = self.dice.of(&self.arena.clone());
        let kinds = [
            ContentsKind::Normal,
            ContentsKind::Normal,
            ContentsKind::Normal,
            ContentsKind::Associated,
            ContentsKind::SoftDeleted,
            ContentsKind::SoftDeletedAssociated,
        ];
        let kind = self.dice.of(&kinds);
        let public = self.model.kind == MailboxKind::Public;
        let user = (public && self.dice.one_in(2)).then(|| self.user().to_owned());
        let mut table = match &user {
            Some(user) => Table::contents_of_user(folder, kind, user),
            None => Table::contents(folder, kind),
        };
        table.set_columns(COLUMNS.to_vec()).unwrap();
        let sort = self.dice.sort();
        table.sort(sort.clone()).unwrap();
        let restriction = if self.dice.one_in(2) {
            self.dice.restriction(2)
        } else {
            Restriction::Always
        };
        table.restrict(restriction.clone());
        let open = OpenTable {
            table,
            folder,
            kind,
            sort,
            restriction,
            expansion: Vec::new(),
            mark: None,
            user,
        };
        let tables = &mut self.sessions[self.turn].tables;
        if tables.len() >= MAX_TABLES {
            let at = self.dice.below(MAX_TABLES);
            tables.remove(at);
        }
        tables.push(open);
    }

    /// The rows that the model says there are, in order, whether collapsed or not.
    fn entries(&self, open: &OpenTable) -> Vec<Entry> {
        let user = open.user.as_deref();
        let mut entries = Vec::new();
        for (id, message) in self.model.shown(open.folder, open.kind) {
            let seen = message.seen_by(user);
            if !meets(&seen, &open.restriction) {
                continue;
            }
            let keys: Key = open
                .sort
                .orders
                .iter()
                .map(|order| seen.get(whole(order.tag)))
                .collect();
            let entry = |instance: u32, keys: Key| Entry {
                id,
                instance,
                unread: !message.is_read(user),
                keys,
            };
            let each = open
                .sort
                .orders
                .iter()
                .position(|order| whole(order.tag) != order.tag);
            match each.and_then(|at| Some((at, keys[at].clone()?))) {
                Some((at, PropValue::MultipleString(values))) if !values.is_empty() => {
                    for (number, value) in values.into_iter().enumerate() {
                        let mut keys = keys.clone();
                        keys[at] = Some(PropValue::String(value));
                        entries.push(entry(number as u32 + 1, keys));
                    }
                }
                Some((at, _)) => {
                    let mut keys = keys;
                    keys[at] = None;
                    entries.push(entry(0, keys));
                }
                None => entries.push(entry(0, keys)),
            }
        }
        entries.sort_by(|a, b| compare(a, b, &open.sort));
        entries
    }

    /// What the client sees.
    fn shown(&self, open: &OpenTable) -> Vec<Shown> {
        let mut shown = Vec::new();
        let entries = self.entries(open);
        open.show(&entries, &mut Vec::new(), true, &mut shown);
        shown
    }

    fn use_table(&mut self, open: &mut OpenTable) {
        let at = format!(
            "step {}, after {}, table of {} ({:?}), sorted by {:?}, {:?}",
            self.step, self.done, open.folder, open.kind, open.sort, open.restriction
        );
        let shown = self.shown(open);
        let (entries, store) = (self.entries(open), self.mailbox.as_mut().unwrap());
        open.table.seek_row(store, Origin::Beginning, 0).unwrap();
        let rows = open.table.query_rows(store, 10_000, true, false).unwrap();
        assert_eq!(rows.len(), shown.len(), "{at}: {shown:?}");
        let leaves = entries.len();
        assert_eq!(open.table.row_count(store).unwrap(), leaves, "{at}");
        assert_eq!(open.table.query_position(store).unwrap(), (0, rows.len()), "{at}");
        if open.sort.orders.is_empty() {
            self.check_unsorted(open, &rows, &entries, &at);
            return;
        }
        for (row, shown) in rows.iter().zip(&shown) {
            self.check_row(row, shown, open, &at);
        }
        let store = self.mailbox.as_mut().unwrap();
        if let Some((bookmark, id, instance, keys)) = &open.mark {
            let sought = open
                .table
                .seek_row(store, Origin::Bookmark(*bookmark), 0)
                .unwrap();
            let place = shown.iter().position(|one| {
                matches!(one, Shown::Leaf(entry) if (entry.id, entry.instance) == (*id, *instance) && entry.keys == *keys)
            });
            if let Some(place) = place {
                assert!(!sought.bookmark_lost, "{at}");
                assert_eq!(
                    open.table.query_position(store).unwrap().0,
                    place,
                    "{at}: bookmark"
                );
            }
        }
        if rows.is_empty() {
            return;
        }
        // A row in the middle, and those before it backwards.
        let middle = self.dice.below(rows.len());
        let sought = open
            .table
            .seek_row(store, Origin::Beginning, middle as i64)
            .unwrap();
        assert_eq!(sought.moved, middle as i64, "{at}");
        assert_eq!(open.table.query_position(store).unwrap().0, middle, "{at}");
        let mut back = open.table.query_rows(store, 10_000, false, false).unwrap();
        back.reverse();
        assert_eq!(back, rows[..middle], "{at}");
        let one = open.table.query_rows(store, 1, true, false).unwrap();
        assert_eq!(one, rows[middle..=middle], "{at}");
        // The beginning stays the beginning, whatever comes first.
        if let Shown::Leaf(entry) = &shown[middle]
            && middle > 0
            && self.dice.one_in(3)
        {
            if let Some((old, ..)) = open.mark.take() {
                assert!(open.table.free_bookmark(old));
            }
            let bookmark = open.table.create_bookmark().unwrap();
            open.mark = Some((bookmark, entry.id, entry.instance, entry.keys.clone()));
        }
        self.find(open, &shown, &at);
        self.toggle(open, &shown, &rows, &at);
    }

    fn check_unsorted(&self, open: &OpenTable, rows: &[Row], entries: &[Entry], at: &str) {
        let mut rows: Vec<&Row> = rows.iter().collect();
        rows.sort_by_key(|row| message_id(row[0].as_ref()));
        for (row, entry) in rows.into_iter().zip(entries) {
            self.check_row(row, &Shown::Leaf(entry.clone()), open, at);
        }
    }

    fn check_row(&self, row: &Row, shown: &Shown, open: &OpenTable, at: &str) {
        let number = |n: usize| Some(PropValue::Integer32(n as i32));
        match shown {
            Shown::Header {
                path,
                rows,
                unread,
                expanded,
            } => {
                assert_eq!(row[1], number(if *expanded { 3 } else { 4 }), "{at}: {shown:?}");
                assert_eq!(row[3], number(path.len() - 1), "{at}: {shown:?}");
                assert_eq!(
                    (&row[4], &row[5]),
                    (&number(*rows), &number(*unread)),
                    "{at}: {shown:?}"
                );
            }
            Shown::Leaf(entry) => {
                assert_eq!(message_id(row[0].as_ref()), entry.id, "{at}: {shown:?}");
                assert_eq!(row[1], number(1), "{at}: {shown:?}");
                assert_eq!(row[2], number(entry.instance as usize), "{at}: {shown:?}");
                let message: &ModelMessage = &self.model.messages[&entry.id];
                let seen = message.seen_by(open.user.as_deref());
                for column in OWN {
                    assert_eq!(
                        row[column],
                        seen.get(COLUMNS[column]),
                        "{at}: {:?}",
                        COLUMNS[column]
                    );
                }
            }
        }
    }

    /// Looks for a row from the beginning on, and back from the end.
    fn find(&mut self, open: &mut OpenTable, shown: &[Shown], at: &str) {
        let wanted = self.dice.restriction(1);
        let forward = self.dice.one_in(2);
        let user = open.user.clone();
        let is = |one: &Shown| match one {
            Shown::Leaf(entry) => {
                let seen = self.model.messages[&entry.id].seen_by(user.as_deref());
                meets(&seen, &wanted)
            }
            Shown::Header { .. } => false,
        };
        let place = if forward {
            shown.iter().position(is)
        } else {
            shown.iter().rposition(is)
        };
        let origin = if forward { Origin::Beginning } else { Origin::End };
        let store = self.mailbox.as_mut().unwrap();
        let found = open.table.find_row(store, &wanted, origin, forward).unwrap();
        assert_eq!(found.is_some(), place.is_some(), "{at}: find {wanted:?}");
        if let (Some(found), Some(place)) = (found, place) {
            let Shown::Leaf(entry) = &shown[place] else {
                unreachable!()
            };
            assert_eq!(
                message_id(found.row[0].as_ref()),
                entry.id,
                "{at}: find {wanted:?}"
            );
            assert_eq!(
                open.table.query_position(store).unwrap().0,
                place,
                "{at}: find {wanted:?}"
            );
        }
    }

    /// Expands or collapses a category.
    fn toggle(&mut self, open: &mut OpenTable, shown: &[Shown], rows: &[Row], at: &str) {
        let headers: Vec<usize> = (0..shown.len())
            .filter(|place| matches!(shown[*place], Shown::Header { .. }))
            .collect();
        if headers.is_empty() || !self.dice.one_in(3) {
            return;
        }
        let place = self.dice.of(&headers);
        let Shown::Header { path, expanded, .. } = &shown[place] else {
            return;
        };
        let Some(PropValue::Integer64(category)) = rows[place][6] else {
            panic!("{at}: a category without an id")
        };
        let store = self.mailbox.as_mut().unwrap();
        if *expanded {
            let gone = open.table.collapse_row(store, category as u64).unwrap();
            open.expand(path, false);
            let left = self.shown(open).len();
            assert_eq!(shown.len() - gone, left, "{at}: collapse {path:?}");
        } else {
            let (appeared, first) = open.table.expand_row(store, category as u64, 3).unwrap();
            open.expand(path, true);
            let now = self.shown(open);
            assert_eq!(shown.len() + appeared, now.len(), "{at}: expand {path:?}");
            assert_eq!(first.len(), appeared.min(3), "{at}");
            for (row, shown) in first.iter().zip(&now[place + 1..]) {
                self.check_row(row, shown, open, at);
            }
        }
    }
}

impl OpenTable {
    fn expand(&mut self, path: &Key, expanded: bool) {
        self.expansion.retain(|(known, _)| !same(known, path));
        self.expansion.push((path.clone(), expanded));
    }

    fn show(&self, entries: &[Entry], path: &mut Key, visible: bool, out: &mut Vec<Shown>) {
        if !visible {
            return;
        }
        let depth = path.len();
        if depth == self.sort.categories {
            out.extend(entries.iter().cloned().map(Shown::Leaf));
            return;
        }
        let of_category = |at: &usize| self.sort.orders[*at].direction != Direction::MaximumCategory;
        let at = (0..self.sort.orders.len())
            .filter(of_category)
            .nth(depth)
            .unwrap();
        let mut groups: Vec<Vec<Entry>> = Vec::new();
        for entry in entries {
            match groups.last_mut() {
                Some(group) if same(&group[0].keys[at..=at], &entry.keys[at..=at]) => {
                    group.push(entry.clone());
                }
                _ => groups.push(vec![entry.clone()]),
            }
        }
        let next = self.sort.orders.get(at + 1);
        if next.is_some_and(|order| order.direction == Direction::MaximumCategory) {
            let largest = |group: &[Entry]| {
                let keys = group.iter().map(|entry| entry.keys[at + 1].clone());
                keys.max_by(|a, b| compare_values(a.as_ref(), b.as_ref()))
                    .flatten()
            };
            groups.sort_by(|a, b| {
                let order = compare_values(largest(a).as_ref(), largest(b).as_ref());
                directed(order, self.sort.orders[at].direction)
            });
        }
        for group in groups {
            path.push(group[0].keys[at].clone());
            let known = self.expansion.iter().find(|(known, _)| same(known, path));
            let expanded = known.map_or(depth < self.sort.expanded, |(_, expanded)| *expanded);
            out.push(Shown::Header {
                path: path.clone(),
                rows: group.len(),
                unread: group.iter().filter(|entry| entry.unread).count(),
                expanded,
            });
            self.show(&group, path, expanded, out);
            path.pop();
        }
    }
}

fn same(a: &[Option<PropValue>], b: &[Option<PropValue>]) -> bool {
    let equal =
        |(a, b): (&Option<PropValue>, &Option<PropValue>)| compare_values(a.as_ref(), b.as_ref()).is_eq();
    a.len() == b.len() && a.iter().zip(b).all(equal)
}

fn whole(tag: PropTag) -> PropTag {
    PropTag::new(tag.id(), PropType(tag.kind().0 & !PropType::INSTANCE))
}

fn directed(order: Ordering, direction: Direction) -> Ordering {
    if direction == Direction::Descending {
        order.reverse()
    } else {
        order
    }
}

fn compare(a: &Entry, b: &Entry, sort: &SortOrderSet) -> Ordering {
    let mut direction = Direction::Ascending;
    for (at, order) in sort.orders.iter().enumerate() {
        if order.direction != Direction::MaximumCategory {
            direction = order.direction;
        }
        let compared = directed(
            compare_values(a.keys[at].as_ref(), b.keys[at].as_ref()),
            direction,
        );
        if compared.is_ne() {
            return compared;
        }
    }
    directed((a.id, a.instance).cmp(&(b.id, b.instance)), direction)
}
