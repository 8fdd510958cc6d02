//! SORT and SORT=DISPLAY (RFC 5256, RFC 5957), ESORT (RFC 5267 §3).
//!
//! What the folder's [`index`] has is sorted as columns of numbers; other criteria read the messages' structures.

use std::{cmp::Ordering, ops::ControlFlow, sync::Arc, time::Instant};

use ringpost_convert::structure::{Address, Structure};
use ringpost_host::{Connection, Host};
use ringpost_mapi::Uid;
use ringpost_store::{Mailbox, MessageRow, UidSet};

use super::{
    Session,
    fetch::read_structure,
    index::{self, FolderIndex, Indexed, Level, NONE, Needs},
    reply::{Failure, Reply},
    search::{EsearchResult, sent},
    uid_list::drop_through,
};
use crate::{
    content::header,
    encode::{self, put},
    limits,
    syntax::search::{Criterion, Key, Sort, SortBy},
};

/// From this many messages on the sorting is done on a helper thread; fewer take about a millisecond.
const HELPER_MESSAGES: usize = 4000;

/// What one criterion compares.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum SortKey {
    Number(i64),
    Text(Box<str>),
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn sort(&mut self, sort: Sort, uid: bool, tag: &str) -> Result<Reply, Failure> {
        let mod_seq = sort.search.key.any(&|key| matches!(key, Key::ModSeq(_)));
        if mod_seq {
            self.use_condstore();
        }
        let all = self.selected()?.list.to_set();
        let found = self.find(&sort.search.key, all).await?;
        let order = match self.sort_columns(&sort.criteria, &found.uids).await? {
            Some(order) => order,
            None => self.sort_structures(sort.criteria, found.uids.clone()).await?,
        };
        let list = &self.selected()?.list;
        let number = |message: Uid| {
            if uid {
                Some(message.0)
            } else {
                list.number(message)
            }
        };
        let shown: Vec<u32> = order.into_iter().filter_map(number).collect();
        let highest = mod_seq.then_some(found.highest);
        if let Some(options) = sort.search.options {
            self.save(&found.uids, options)?;
            if options.only_saves() {
                return Ok(Reply::ok("SORT completed, result saved"));
            }
            // ALL keeps the order; MIN and MAX are the first and the last in it.
            let result = EsearchResult {
                tag,
                uid,
                options,
                first: shown.first().copied(),
                last: shown.last().copied(),
                count: shown.len(),
                highest,
            };
            self.write_esearch(&result, shown.iter().map(|&number| number..=number));
            return Ok(Reply::ok("SORT completed"));
        }
        self.out.extend_from_slice(b"* SORT");
        for &number in &shown {
            self.out.push(b' ');
            encode::number(&mut self.out, number);
            self.flush_slice().await?;
        }
        if let Some(highest) = highest.filter(|_| !shown.is_empty()) {
            put!(self.out, " (MODSEQ {highest})");
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(Reply::ok("SORT completed"))
    }

    /// Runs `work` on the selected folder's index. `None` where an index is not worth making for so many messages.
    pub(super) async fn with_index<R: Send + 'static>(
        &self,
        messages: usize,
        level: Level,
        work: impl Fn(&mut Mailbox, &FolderIndex) -> R + Send + Sync + 'static,
    ) -> Result<Option<R>, Failure> {
        let selected = self.selected()?;
        let (folder, count) = (selected.folder, selected.list.count() as usize);
        if count < limits::INDEXED_LEAST || messages < count / 4 {
            return Ok(None);
        }
        let work = Arc::new(work);
        loop {
            let work = Arc::clone(&work);
            let step = move |mailbox: &mut Mailbox| {
                let needs = Needs { level, fields: &[] };
                index::with(mailbox, folder, needs, |mailbox, index| work(mailbox, index))
            };
            match self.call(step).await? {
                Indexed::Building => {}
                Indexed::Done(result) => return Ok(Some(result)),
                Indexed::Unsuitable => return Ok(None),
            }
        }
    }

    /// Sorts by what the index has; `None` where it does not have all.
    async fn sort_columns(
        &mut self,
        criteria: &[Criterion],
        uids: &UidSet,
    ) -> Result<Option<Vec<Uid>>, Failure> {
        let by: Vec<SortBy> = criteria.iter().map(|criterion| criterion.by).collect();
        let Some(level) = level(&by) else { return Ok(None) };
        let wanted = uids.clone();
        let gather = move |mailbox: &mut Mailbox, index: &FolderIndex| gather(mailbox, index, &by, &wanted);
        let Some(columns) = self.with_index(uids.len(), level, gather).await? else {
            return Ok(None);
        };
        let criteria = criteria.to_vec();
        if columns.uids.len() < HELPER_MESSAGES {
            return Ok(Some(columns.sort(&criteria)));
        }
        Ok(Some(self.host.helper(move || columns.sort(&criteria)).await?))
    }

    /// Sorts by what is read of each message's row and structure.
    async fn sort_structures(
        &mut self,
        sorted_by: Vec<Criterion>,
        uids: UidSet,
    ) -> Result<Vec<Uid>, Failure> {
        let criteria = sorted_by.clone();
        let mut keys: Vec<(Vec<SortKey>, Uid)> = self
            .collect(uids, move |row, structure| {
                criteria
                    .iter()
                    .map(|criterion| sort_key(criterion.by, row, structure))
                    .collect()
            })
            .await?;
        if keys.len() >= HELPER_MESSAGES {
            let sorted = move || {
                keys.sort_by(|left, right| compare(&sorted_by, left, right));
                keys
            };
            keys = self.host.helper(sorted).await?;
        } else {
            keys.sort_by(|left, right| compare(&sorted_by, left, right));
        }
        Ok(keys.into_iter().map(|(_, uid)| uid).collect())
    }

    /// Takes something of each message's row and structure, in slices.
    pub(super) async fn collect<T: Send + 'static>(
        &mut self,
        mut uids: UidSet,
        take: impl Fn(&MessageRow, &Structure) -> T + Send + Sync + 'static,
    ) -> Result<Vec<(T, Uid)>, Failure> {
        let folder = self.selected()?.folder;
        let take = std::sync::Arc::new(take);
        let mut all = Vec::new();
        while !uids.is_empty() {
            let (slice_uids, take) = (uids, std::sync::Arc::clone(&take));
            let (left, mut slice) = self
                .call(move |mailbox| {
                    let (started, mut left) = (Instant::now(), slice_uids);
                    let (mut last, mut slice, mut missing) = (None, Vec::new(), Vec::new());
                    mailbox.visit_messages(folder, &left, true, &mut |row| {
                        match row.structure.as_deref().and_then(Structure::decode) {
                            Some(structure) => slice.push((take(row, &structure), row.uid)),
                            None => missing.push(row.clone()),
                        }
                        if missing.len() < 16 && started.elapsed() < limits::SLICE_TIME {
                            return ControlFlow::Continue(());
                        }
                        last = Some(row.uid);
                        ControlFlow::Break(())
                    })?;
                    for row in missing {
                        // A message that can't be read is placed as one without fields.
                        let structure = read_structure(mailbox, &row).unwrap_or_default();
                        slice.push((take(&row, &structure), row.uid));
                    }
                    match last {
                        Some(uid) => drop_through(&mut left, uid),
                        None => left = UidSet::default(),
                    }
                    Ok((left, slice))
                })
                .await?;
            uids = left;
            all.append(&mut slice);
        }
        Ok(all)
    }
}

/// What of an index these criteria need, if it has it.
fn level(by: &[SortBy]) -> Option<Level> {
    let levels = by.iter().map(|by| match by {
        SortBy::Arrival | SortBy::Size => Some(Level::Lines),
        SortBy::Date | SortBy::Subject => Some(Level::Texts),
        _ => None,
    });
    levels.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// What is sorted by, as numbers.
struct Columns {
    uids: Vec<u32>,
    /// A number for each message and criterion, message by message.
    keys: Vec<i64>,
    /// What the numbers of subjects stand for.
    subjects: Arc<Vec<Box<str>>>,
}

fn gather(mailbox: &mut Mailbox, index: &FolderIndex, by: &[SortBy], wanted: &UidSet) -> Columns {
    /// Messages between two looks at whether others want their turn.
    const STRIDE: usize = 16 * 1024;
    let mut columns = Columns {
        uids: Vec::with_capacity(wanted.len()),
        keys: Vec::with_capacity(wanted.len() * by.len()),
        subjects: Arc::clone(index.texts.bases.all()),
    };
    index.places(wanted, |at| {
        columns.uids.push(index.uids[at]);
        columns.keys.extend(by.iter().map(|by| match by {
            SortBy::Size => index.lines[at].size as i64,
            SortBy::Date => index.texts.sent[at],
            SortBy::Subject => i64::from(index.texts.base[at]),
            _ => index.lines[at].received.0 as i64,
        }));
        if columns.uids.len().is_multiple_of(STRIDE) {
            mailbox.breathe();
        }
    });
    columns
}

impl Columns {
    fn sort(mut self, criteria: &[Criterion]) -> Vec<Uid> {
        let width = criteria.len();
        for (column, criterion) in criteria.iter().enumerate() {
            let keys = self.keys.iter_mut().skip(column).step_by(width);
            if criterion.by == SortBy::Subject {
                let ranks = ranks(&self.subjects);
                // Before all others: no subject.
                keys.for_each(|key| {
                    *key = if *key == i64::from(NONE) {
                        -1
                    } else {
                        ranks[*key as usize]
                    };
                });
            }
            if criterion.reverse {
                let keys = self.keys.iter_mut().skip(column).step_by(width);
                // The complement is ordered the other way round, without overflow.
                keys.for_each(|key| *key = !*key);
            }
        }
        if width == 1 {
            let mut pairs: Vec<(i64, u32)> = self.keys.into_iter().zip(self.uids).collect();
            pairs.sort_unstable();
            return pairs.into_iter().map(|(_, uid)| Uid(uid)).collect();
        }
        let mut order: Vec<u32> = (0..self.uids.len() as u32).collect();
        let key = |at: u32| {
            let start = at as usize * width;
            (&self.keys[start..start + width], self.uids[at as usize])
        };
        order.sort_unstable_by(|&left, &right| key(left).cmp(&key(right)));
        order.into_iter().map(|at| Uid(self.uids[at as usize])).collect()
    }
}

/// The place of each text among all, which differ.
fn ranks(texts: &[Box<str>]) -> Vec<i64> {
    let mut order: Vec<u32> = (0..texts.len() as u32).collect();
    order.sort_unstable_by_key(|&at| &texts[at as usize]);
    let mut ranks = vec![0; texts.len()];
    for (rank, at) in order.into_iter().enumerate() {
        ranks[at as usize] = rank as i64;
    }
    ranks
}

fn compare(criteria: &[Criterion], left: &(Vec<SortKey>, Uid), right: &(Vec<SortKey>, Uid)) -> Ordering {
    for (criterion, (a, b)) in criteria.iter().zip(left.0.iter().zip(&right.0)) {
        let order = if criterion.reverse { b.cmp(a) } else { a.cmp(b) };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.1.cmp(&right.1)
}

fn sort_key(by: SortBy, row: &MessageRow, structure: &Structure) -> SortKey {
    let envelope = &structure.envelope;
    let text = |text: String| SortKey::Text(text.to_uppercase().into());
    let mailbox = |list: &[Address]| {
        text(
            list.first()
                .and_then(|a| a.mailbox.as_deref())
                .map(header::decode)
                .unwrap_or_default(),
        )
    };
    match by {
        SortBy::Arrival => SortKey::Number(row.received.0 as i64),
        SortBy::Date => SortKey::Number(sent(envelope, row.received).seconds),
        SortBy::Size => SortKey::Number(row.size as i64),
        SortBy::Cc => mailbox(&envelope.cc),
        SortBy::From => mailbox(&envelope.from),
        SortBy::To => mailbox(&envelope.to),
        SortBy::DisplayFrom => text(display(&envelope.from)),
        SortBy::DisplayTo => text(display(&envelope.to)),
        SortBy::Subject => text(base_subject(&decoded_subject(structure)).0),
    }
}

/// RFC 5957: the display name, or the address.
fn display(list: &[Address]) -> String {
    let Some(address) = list.first() else {
        return String::new();
    };
    let part = |part: &Option<Vec<u8>>| {
        part.as_deref()
            .map(header::decode)
            .filter(|text| !text.is_empty())
    };
    match (part(&address.name), part(&address.mailbox), part(&address.host)) {
        (Some(name), _, _) => name,
        (None, Some(mailbox), Some(host)) => format!("{mailbox}@{host}"),
        (None, mailbox, _) => mailbox.unwrap_or_default(),
    }
}

pub(super) fn decoded_subject(structure: &Structure) -> String {
    structure
        .envelope
        .subject
        .as_deref()
        .map(header::decode)
        .unwrap_or_default()
}

/// The base subject, and whether something was removed that says reply or forward (RFC 5256 §2.1).
pub(super) fn base_subject(subject: &str) -> (String, bool) {
    let collapsed = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = collapsed.as_str();
    let mut reply = false;
    loop {
        // Trailing "(fwd)" and white space.
        loop {
            let trimmed = text.trim_end();
            let Some(rest) = strip_suffix_in_any_case(trimmed, "(fwd)") else {
                text = trimmed;
                break;
            };
            (text, reply) = (rest, true);
        }
        // Leaders: "re:", "fw:", "fwd:" with blobs, and blobs alone.
        loop {
            if let Some(rest) = strip_leader(text) {
                (text, reply) = (rest, true);
            } else if let Some(rest) = strip_blob(text).filter(|rest| !rest.trim_start().is_empty()) {
                text = rest;
            } else {
                break;
            }
        }
        let inner = text
            .get(..5)
            .filter(|start| start.eq_ignore_ascii_case("[fwd:"))
            .and_then(|_| text[5..].strip_suffix(']'));
        match inner {
            Some(inner) => (text, reply) = (inner.trim(), true),
            None => return (text.trim().to_owned(), reply),
        }
    }
}

fn strip_suffix_in_any_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    text.get(at..).filter(|end| end.eq_ignore_ascii_case(suffix))?;
    text.get(..at)
}

/// `[blob]` and white space after it.
fn strip_blob(text: &str) -> Option<&str> {
    let (inside, rest) = text.trim_start().strip_prefix('[')?.split_once(']')?;
    (!inside.contains('[')).then(|| rest.trim_start())
}

/// `*blob ("re" / "fw" / "fwd") *WSP [blob] ":"`
fn strip_leader(text: &str) -> Option<&str> {
    let mut rest = text.trim_start();
    while let Some(after) = strip_blob(rest) {
        rest = after;
    }
    let word = ["fwd", "re", "fw"].into_iter().find(|word| {
        rest.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    })?;
    let rest = rest[word.len()..].trim_start();
    strip_blob(rest)
        .unwrap_or(rest)
        .strip_prefix(':')
        .map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_subjects() {
        for (subject, base, reply) in [
            ("Hello", "Hello", false),
            ("Re: hello", "hello", true),
            ("re[2]: FW:  [list] Fwd : hello  (fwd) (FWD)", "hello", true),
            ("[Fwd: Re: hello]", "hello", true),
            ("[list]", "[list]", false),
            ("[a] [b] x", "x", false),
            ("Reply: x", "Reply: x", false),
            ("Re:", "", true),
            ("", "", false),
            ("ÄÖ re: x", "ÄÖ re: x", false),
        ] {
            assert_eq!(base_subject(subject), (base.to_owned(), reply), "{subject}");
        }
    }

    #[test]
    fn columns_are_sorted_as_keys_are() {
        let texts = ["B", "A", "C"].map(Box::from).to_vec();
        let criterion = |by, reverse| Criterion { by, reverse };
        let columns = |keys: &[i64], width: usize| Columns {
            uids: (1..=(keys.len() / width) as u32).collect(),
            keys: keys.to_vec(),
            subjects: Arc::new(texts.clone()),
        };
        let sorted = |columns: Columns, criteria: &[Criterion]| -> Vec<u32> {
            columns.sort(criteria).into_iter().map(|uid| uid.0).collect()
        };
        let none = i64::from(NONE);
        let by_subject = [criterion(SortBy::Subject, false)];
        assert_eq!(
            sorted(columns(&[2, 0, none, 1, 0], 1), &by_subject),
            [3, 4, 2, 5, 1]
        );
        let reversed = [criterion(SortBy::Subject, true)];
        assert_eq!(
            sorted(columns(&[2, 0, none, 1, 0], 1), &reversed),
            [1, 2, 5, 4, 3]
        );
        let both = [criterion(SortBy::Size, true), criterion(SortBy::Subject, false)];
        assert_eq!(sorted(columns(&[7, 0, 9, 2, 7, 1, 9, 2], 2), &both), [2, 4, 3, 1]);
    }

    #[test]
    fn order_with_reverse_and_ties() {
        let criteria = [
            Criterion {
                by: SortBy::Size,
                reverse: true,
            },
            Criterion {
                by: SortBy::Subject,
                reverse: false,
            },
        ];
        let entry =
            |size, text: &str, uid| (vec![SortKey::Number(size), SortKey::Text(text.into())], Uid(uid));
        let mut entries = [
            entry(1, "b", 1),
            entry(2, "b", 2),
            entry(2, "a", 4),
            entry(2, "a", 3),
        ];
        entries.sort_by(|a, b| compare(&criteria, a, b));
        assert_eq!(entries.map(|(_, uid)| uid.0), [3, 4, 2, 1]);
    }
}
