//! A folder's messages as rows: scans for listed tables, and reading along an index.

use std::{borrow::Cow, cell::Cell, collections::HashSet};

use ringpost_mapi::{
    FolderId, Guid, MessageId, PropTag, Restriction,
    sort::{Direction, SortOrderSet},
    tags,
};
use rusqlite::{OptionalExtension, params_from_iter, types::Value};

use super::{
    ContentsKind, Row,
    message::{DATA, Identity, Message, ROW, SQL_COLUMNS, look_at},
    source::{Scanned, Source},
    sql::{Column, Condition, compile},
};
use crate::{
    Mailbox, MailboxKind, StoreError,
    flag_pages::{FLAGS, JOIN},
};

/// The messages of a folder, or that a search folder links to.
pub(crate) struct Contents<'m> {
    mailbox: &'m mut Mailbox,
    identity: Identity,
    folder: FolderId,
    kind: ContentsKind,
    search: bool,
    /// In a public store, for a user: [`ROW`] with the user's read states.
    row: Cow<'static, str>,
    /// What SQL can compare.
    sql_columns: Cow<'static, [Column]>,
}

/// An order that an index gives, of rows that SQL alone can choose.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Index {
    /// The column that orders the rows; the id orders equal ones.
    column: &'static str,
    descending: bool,
    condition: Condition,
    /// How many rows there were, at the stamp when they were counted.
    counted: Cell<Option<(u64, usize)>>,
}

/// A row's place in an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    value: i64,
    id: i64,
}

/// The row that is read next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cursor {
    Beginning,
    /// The first row at or after this place: the row itself need not exist.
    At(Key),
    End,
}

impl Key {
    /// The row's id.
    pub(crate) fn id(self) -> u64 {
        MessageId::from_disk(self.id).0
    }
}

impl<'m> Contents<'m> {
    pub(crate) fn new(
        mailbox: &'m mut Mailbox,
        folder: FolderId,
        kind: ContentsKind,
        user: Option<&str>,
    ) -> Result<Self, StoreError> {
        let search = mailbox
            .connection
            .prepare_cached("SELECT search FROM folders WHERE id = ?1 AND state = 0")?
            .query_row([folder.to_disk()], |row| row.get(0))
            .optional()?
            .ok_or_else(|| StoreError::NotFound(format!("folder {folder}")))?;
        let identity = identity(mailbox)?;
        let (row, sql_columns) = match user.filter(|_| identity.public) {
            Some(user) => (
                row_of_user(mailbox, user)?.into(),
                SQL_COLUMNS
                    .iter()
                    .filter(|column| ![tags::READ, tags::MESSAGE_FLAGS].contains(&column.tag))
                    .copied()
                    .collect::<Vec<_>>()
                    .into(),
            ),
            None => (ROW.into(), SQL_COLUMNS.into()),
        };
        Ok(Self {
            mailbox,
            identity,
            folder,
            kind,
            search,
            row,
            sql_columns,
        })
    }

    /// The index for a sort order, if there is one and SQL alone can choose the rows.
    pub(crate) fn index(&self, sort: &SortOrderSet, restriction: &Restriction) -> Option<Index> {
        if self.search
            || self.kind != ContentsKind::Normal
            || sort.categories > 0
            || restriction.row_limit().is_some()
        {
            return None;
        }
        let (column, descending) = match sort.orders.as_slice() {
            [] => ("m.uid", false),
            [order] if order.tag == tags::MESSAGE_DELIVERY_TIME => {
                ("m.received", order.direction == Direction::Descending)
            }
            _ => return None,
        };
        let condition = compile(restriction, &self.sql_columns);
        condition.residual.is_none().then_some(Index {
            column,
            descending,
            condition,
            counted: Cell::new(None),
        })
    }

    /// The keys of up to `count` rows from a place on, or back from it with the nearest first.
    pub(crate) fn keys(
        &mut self,
        index: &Index,
        from: Cursor,
        count: usize,
        forward: bool,
    ) -> Result<Vec<Key>, StoreError> {
        self.keys_from(index, from, forward, count, 0)
    }

    /// Where reading goes on after `keys` were read from `from`.
    pub(crate) fn after(index: &Index, from: Cursor, keys: &[Key], count: usize, forward: bool) -> Cursor {
        match keys.last() {
            // Not the next row, but the place right after this one: rows that appear there are read too.
            Some(last) if forward => {
                let id = if index.descending {
                    last.id.saturating_sub(1)
                } else {
                    last.id.saturating_add(1)
                };
                Cursor::At(Key {
                    value: last.value,
                    id,
                })
            }
            Some(last) if keys.len() == count => Cursor::At(*last),
            Some(_) => Cursor::Beginning,
            None if !forward && count > 0 => Cursor::Beginning,
            None => from,
        }
    }

    /// Moves a place by rows: the place, and how many rows it moved.
    pub(crate) fn seek(
        &mut self,
        index: &Index,
        from: Cursor,
        count: i64,
    ) -> Result<(Cursor, i64), StoreError> {
        if count == 0 {
            return Ok((from, 0));
        }
        let forward = count > 0;
        // Forward, the first row is the current one; back, it is the one before.
        let skip = if forward { count } else { -(count + 1) };
        if let Some(key) = self.keys_from(index, from, forward, 1, skip)?.first() {
            return Ok((Cursor::At(*key), count));
        }
        let total = self.count(index)?;
        let position = self.position(index, from, total)?;
        if forward {
            Ok((Cursor::End, (total - position) as i64))
        } else {
            Ok((Cursor::Beginning, -(position as i64)))
        }
    }

    /// How many rows there are.
    pub(crate) fn count(&mut self, index: &Index) -> Result<usize, StoreError> {
        if index.condition.sql.is_empty() {
            let count: i64 = self
                .mailbox
                .connection
                .prepare_cached("SELECT messages FROM folders WHERE id = ?1")?
                .query_row([self.folder.to_disk()], |row| row.get(0))?;
            return Ok(count.max(0) as usize);
        }
        let stamp = self.stamp();
        if let Some((_, count)) = index.counted.get().filter(|(counted, _)| *counted == stamp) {
            return Ok(count);
        }
        let sql = format!(
            "SELECT count(*) FROM {}{}",
            self.rows(false, true, reads_pages(&index.condition.sql)),
            and(&index.condition.sql)
        );
        let parameters = params_from_iter(index.condition.parameters.clone());
        let count: i64 = self
            .mailbox
            .connection
            .prepare_cached(&sql)?
            .query_row(parameters, |row| row.get(0))?;
        index.counted.set(Some((stamp, count as usize)));
        Ok(count as usize)
    }

    /// How many rows come before a place.
    pub(crate) fn position(
        &mut self,
        index: &Index,
        cursor: Cursor,
        total: usize,
    ) -> Result<usize, StoreError> {
        let key = match cursor {
            Cursor::Beginning => return Ok(0),
            Cursor::End => return Ok(total),
            Cursor::At(key) => key,
        };
        let before = if index.descending { ">" } else { "<" };
        let sql = format!(
            "SELECT count(*) FROM {} AND ({}, m.id) {before} (?, ?)",
            self.chosen(index),
            index.column
        );
        let mut parameters = index.condition.parameters.clone();
        parameters.extend([key.value.into(), key.id.into()]);
        let parameters = params_from_iter(parameters);
        let count: i64 = self
            .mailbox
            .connection
            .prepare_cached(&sql)?
            .query_row(parameters, |row| row.get(0))?;
        Ok(count as usize)
    }

    /// The first row from a place on (or back from before it) that meets a condition.
    pub(crate) fn find(
        &mut self,
        index: &Index,
        from: Cursor,
        forward: bool,
        restriction: &Restriction,
    ) -> Result<Option<Key>, StoreError> {
        let wanted = compile(restriction, &self.sql_columns);
        let data = needs_data(wanted.residual.as_ref(), &[]);
        let Some((place, place_parameters)) = place(index, from, forward) else {
            return Ok(None);
        };
        let columns = if wanted.residual.is_some() {
            self.columns(data)
        } else {
            String::new()
        };
        let sql = format!(
            "SELECT {columns}{}, m.id FROM {}{place}{} ORDER BY {}",
            index.column,
            self.chosen_with(index, data, reads_pages(&columns) || reads_pages(&wanted.sql)),
            and(&wanted.sql),
            order(index, forward)
        );
        let mut parameters = index.condition.parameters.clone();
        parameters.extend(place_parameters);
        parameters.extend(wanted.parameters);
        {
            let mut statement = self.mailbox.connection.prepare(&sql)?;
            let key_at = statement.column_count() - 2;
            let mut rows = statement.query(params_from_iter(parameters))?;
            loop {
                let Some(row) = rows.next()? else { return Ok(None) };
                if let Some(residual) = &wanted.residual {
                    let message = Message::read(row, &self.identity, data)?;
                    let matches = residual.matches(&message)?;
                    if message.has_missed() {
                        break;
                    }
                    if !matches {
                        continue;
                    }
                }
                return Ok(Some(Key {
                    value: row.get(key_at)?,
                    id: row.get(key_at + 1)?,
                }));
            }
        }
        self.find_by_scan(index, from, forward, restriction)
    }

    /// As [`Self::find`], where large properties must be read: first all rows that match, then the nearest.
    fn find_by_scan(
        &mut self,
        index: &Index,
        mut from: Cursor,
        forward: bool,
        restriction: &Restriction,
    ) -> Result<Option<Key>, StoreError> {
        const BATCH: usize = 500;
        let mut matching = HashSet::new();
        self.scan(restriction, &[], &mut |found| {
            matching.insert(found.id);
        })?;
        loop {
            let keys = self.keys(index, from, BATCH, forward)?;
            if let Some(found) = keys.iter().find(|key| matching.contains(&key.id())) {
                return Ok(Some(*found));
            }
            if keys.len() < BATCH {
                return Ok(None);
            }
            from = Self::after(index, from, &keys, BATCH, forward);
        }
    }

    fn keys_from(
        &mut self,
        index: &Index,
        from: Cursor,
        forward: bool,
        count: usize,
        skip: i64,
    ) -> Result<Vec<Key>, StoreError> {
        let Some((place, place_parameters)) = place(index, from, forward) else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {}, m.id FROM {}{place} ORDER BY {} LIMIT ? OFFSET ?",
            index.column,
            self.chosen(index),
            order(index, forward)
        );
        let mut parameters = index.condition.parameters.clone();
        parameters.extend(place_parameters);
        parameters.extend([i64::try_from(count).unwrap_or(i64::MAX).into(), skip.into()]);
        let mut statement = self.mailbox.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(parameters), |row| {
            Ok(Key {
                value: row.get(0)?,
                id: row.get(1)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// SQLite's plan for reading along an index.
    #[cfg(test)]
    pub(crate) fn explain(&self, index: &Index) -> String {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT {}, m.id FROM {} AND ({}, m.id) >= (0, 0) ORDER BY {} LIMIT 50",
            index.column,
            self.chosen(index),
            index.column,
            order(index, true)
        );
        let mut statement = self.mailbox.connection.prepare(&sql).unwrap();
        let steps = statement
            .query_map(params_from_iter(&index.condition.parameters), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        steps.map(|step| step.unwrap()).collect::<Vec<_>>().join("\n")
    }

    /// The columns of a message, each followed by a comma.
    fn columns(&self, data: bool) -> String {
        if data {
            format!("{}, {DATA}, ", self.row)
        } else {
            format!("{}, ", self.row)
        }
    }

    /// The table and condition of an index's rows.
    fn chosen(&self, index: &Index) -> String {
        self.chosen_with(index, false, false)
    }

    fn chosen_with(&self, index: &Index, data: bool, pages: bool) -> String {
        let pages = pages || reads_pages(&index.condition.sql);
        format!("{}{}", self.rows(data, false, pages), and(&index.condition.sql))
    }

    /// The folder's rows: tables and condition; with `whole` for a query that reads all of them, with `pages` for
    /// one that reads flag pages. States are literals: the planner must see that an index over some of them covers
    /// the query.
    fn rows(&self, data: bool, whole: bool, pages: bool) -> String {
        let data = if data {
            " JOIN message_data d ON d.message = m.id"
        } else {
            ""
        };
        let pages = if pages { JOIN } else { "" };
        let folder = self.folder.to_disk();
        let state = match self.kind {
            ContentsKind::Normal => "m.state = 0",
            ContentsKind::Associated => "m.state <> 0 AND m.state = 1",
            ContentsKind::SoftDeleted => "m.state <> 0 AND m.state = 2",
            ContentsKind::SoftDeletedAssociated => "m.state <> 0 AND m.state = 3",
        };
        if self.search {
            let links = "search_links l CROSS JOIN messages m ON m.id = l.message";
            return format!("{links}{data}{pages} WHERE l.folder = {folder} AND {state}");
        }
        // Neighbours in this index are neighbours in the table, mostly: all rows cost each page once.
        let index = if whole && self.kind == ContentsKind::Normal {
            " INDEXED BY messages_by_uid"
        } else {
            ""
        };
        format!("messages m{index}{data}{pages} WHERE m.folder = {folder} AND {state}")
    }
}

impl Source for Contents<'_> {
    fn stamp(&self) -> u64 {
        if self.search {
            // What a search folder that is not kept up to date shows may have changed elsewhere.
            return self.mailbox.stamps.latest();
        }
        self.mailbox.stamps.of(self.folder)
    }

    fn scan(
        &mut self,
        restriction: &Restriction,
        keys: &[PropTag],
        visit: &mut dyn FnMut(Scanned),
    ) -> Result<(), StoreError> {
        let condition = compile(restriction, &self.sql_columns);
        let data = needs_data(condition.residual.as_ref(), keys);
        let sql = format!(
            "SELECT {}0 FROM {}{}",
            self.columns(data),
            self.rows(data, true, true),
            and(&condition.sql)
        );
        let mut large = Vec::new();
        {
            let mut statement = self.mailbox.connection.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(&condition.parameters))?;
            while let Some(row) = rows.next()? {
                let message = Message::read(row, &self.identity, data)?;
                let found = scanned(&message, condition.residual.as_ref(), keys)?;
                if message.has_missed() {
                    large.push(message.id);
                } else if let Some(found) = found {
                    visit(found);
                }
            }
        }
        for id in large {
            let found = look_at(self.mailbox, &self.identity, id, &self.row, &mut |message| {
                scanned(message, condition.residual.as_ref(), keys)
            })?;
            if let Some(found) = found.flatten() {
                visit(found);
            }
            ringpost_vfs::breathe();
        }
        Ok(())
    }

    fn read(&mut self, id: u64, tags: &[PropTag]) -> Result<Option<Row>, StoreError> {
        let data = needs_data(None, tags);
        let join = if data { WITH_DATA } else { "messages m" };
        let sql = format!("SELECT {}0 FROM {join}{JOIN} WHERE m.id = ?1", self.columns(data));
        {
            let mut statement = self.mailbox.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([MessageId(id).to_disk()])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let message = Message::read(row, &self.identity, data)?;
            let values = values_of(&message, tags)?;
            if !message.has_missed() {
                return Ok(Some(values));
            }
        }
        look_at(
            self.mailbox,
            &self.identity,
            MessageId(id),
            &self.row,
            &mut |message| values_of(message, tags),
        )
    }
}

fn values_of(message: &Message<'_>, tags: &[PropTag]) -> Result<Row, StoreError> {
    tags.iter().map(|tag| message.get(*tag)).collect()
}

/// A message with its encoded properties.
const WITH_DATA: &str = "messages m JOIN message_data d ON d.message = m.id";

/// What a scan tells of a message that meets a condition.
fn scanned(
    message: &Message<'_>,
    residual: Option<&Restriction>,
    keys: &[PropTag],
) -> Result<Option<Scanned>, StoreError> {
    if let Some(residual) = residual
        && !residual.matches(message)?
    {
        return Ok(None);
    }
    Ok(Some(Scanned {
        id: message.id.0,
        unread: message.unread,
        values: values_of(message, keys)?,
    }))
}

/// What ids look like outside this mailbox.
pub(crate) fn identity(mailbox: &Mailbox) -> Result<Identity, StoreError> {
    let mut statement = mailbox
        .connection
        .prepare_cached("SELECT id, guid FROM replicas")?;
    let replicas = statement.query_map([], |row| Ok((row.get(0)?, Guid(row.get(1)?))))?;
    Ok(Identity {
        mailbox: mailbox.guid().0,
        public: mailbox.kind() == MailboxKind::Public,
        replicas: replicas.collect::<Result<_, _>>()?,
    })
}

/// [`ROW`] with the read states of a public store's user in place of the messages' own.
fn row_of_user(mailbox: &Mailbox, user: &str) -> Result<String, StoreError> {
    const NOBODY: i64 = 0;
    let principal: Option<i64> = mailbox
        .connection
        .prepare_cached("SELECT id FROM principals WHERE name = ?1")?
        .query_row([user], |row| row.get(0))
        .optional()?;
    let principal = principal.unwrap_or(NOBODY);
    let flags = format!(
        "{FLAGS} & ~1 | coalesce((SELECT r.read FROM read_states r
             WHERE r.message = m.id AND r.principal = {principal}), 0)"
    );
    Ok(ROW.replacen(FLAGS, &flags, 1))
}

/// Whether an expression needs flag pages ([`JOIN`]).
fn reads_pages(sql: &str) -> bool {
    sql.contains("flag_page(")
}

/// Whether the encoded properties are needed to check a condition or to read properties.
fn needs_data(residual: Option<&Restriction>, tags: &[PropTag]) -> bool {
    let mut needed = tags.iter().any(|tag| !Message::is_in_row(*tag));
    if let Some(residual) = residual {
        residual.visit_tags(&mut |tag| needed |= !Message::is_in_row(tag));
        needed |= looks_inside(residual);
    }
    needed
}

/// Whether recipients or attachments are looked at.
fn looks_inside(restriction: &Restriction) -> bool {
    match restriction {
        Restriction::SubObject { .. } => true,
        Restriction::And(list) | Restriction::Or(list) => list.iter().any(looks_inside),
        Restriction::Not(one) | Restriction::Count { restriction: one, .. } => looks_inside(one),
        Restriction::Comment { restriction, .. } | Restriction::Annotation { restriction, .. } => {
            restriction.as_deref().is_some_and(looks_inside)
        }
        _ => false,
    }
}

fn and(condition: &str) -> String {
    if condition.is_empty() {
        String::new()
    } else {
        format!(" AND {condition}")
    }
}

/// The condition for the rows from a place on, or before it; `None` where there can't be any.
fn place(index: &Index, from: Cursor, forward: bool) -> Option<(String, Vec<Value>)> {
    match (from, forward) {
        (Cursor::Beginning, true) | (Cursor::End, false) => Some((String::new(), Vec::new())),
        (Cursor::Beginning, false) | (Cursor::End, true) => None,
        (Cursor::At(key), forward) => {
            let comparison = match (forward, index.descending) {
                (true, false) => ">=",
                (true, true) => "<=",
                (false, false) => "<",
                (false, true) => ">",
            };
            let sql = format!(" AND ({}, m.id) {comparison} (?, ?)", index.column);
            Some((sql, vec![key.value.into(), key.id.into()]))
        }
    }
}

fn order(index: &Index, forward: bool) -> String {
    let direction = if index.descending == forward {
        "DESC"
    } else {
        "ASC"
    };
    format!("{} {direction}, m.id {direction}", index.column)
}
