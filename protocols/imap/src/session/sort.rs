//! SORT and SORT=DISPLAY (RFC 5256, RFC 5957), ESORT (RFC 5267 §3).

use std::{cmp::Ordering, ops::ControlFlow, time::Instant};

use ringpost_convert::structure::{Address, Structure};
use ringpost_host::{Connection, Host};
use ringpost_mapi::Uid;
use ringpost_store::{MessageRow, UidSet};

use super::{
    Session,
    fetch::read_structure,
    reply::{Failure, Reply},
    search::{EsearchResult, sent},
    uid_list::drop_through,
};
use crate::{
    content::header,
    encode::put,
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
        let criteria = sort.criteria.clone();
        let mut keys: Vec<(Vec<SortKey>, Uid)> = self
            .collect(found.uids.clone(), move |row, structure| {
                criteria
                    .iter()
                    .map(|criterion| sort_key(criterion.by, row, structure))
                    .collect()
            })
            .await?;
        if keys.len() >= HELPER_MESSAGES {
            let criteria = sort.criteria;
            let sorted = move || {
                keys.sort_by(|left, right| compare(&criteria, left, right));
                keys
            };
            keys = self.host.helper(sorted).await?;
        } else {
            keys.sort_by(|left, right| compare(&sort.criteria, left, right));
        }
        let list = &self.selected()?.list;
        let shown: Vec<u32> = keys
            .iter()
            .filter_map(|(_, message)| {
                if uid {
                    Some(message.0)
                } else {
                    list.number(*message)
                }
            })
            .collect();
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
        for number in &shown {
            put!(self.out, " {number}");
            self.flush_slice().await?;
        }
        if let Some(highest) = highest.filter(|_| !shown.is_empty()) {
            put!(self.out, " (MODSEQ {highest})");
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(Reply::ok("SORT completed"))
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
        SortBy::Date => SortKey::Number(sent(envelope, row).seconds),
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
