//! Which pages of a database were read first after it was opened. Kept beside the database, so that the next opening
//! can ask the disk for all of them at once, where it would else wait for one after the other: each page of a tree
//! tells only then which the next is.
//!
//! ```text
//! hint := "rph2" first (u8) later (u8) gap*{first} gap*{later} checksum (u64, little-endian: FNV-1a of all before)
//!         then zeros
//! gap  := how far a page, counted from 0, is behind the one before (of each part's first: its number); LEB128
//! ```
//!
//! `first` are those that an opening and a look at a folder need: they are asked for when the database is opened. To ask
//! takes some microseconds a page, and the worker that does it may have the core's processor; so the others are asked for when
//! nobody waits for the mailbox ([`crate::read_later`]) or the first of them is read: a client lists what it has selected.
//!
//! It is a hint: never synced, and when it is stale, missing or damaged, pages are read for nothing, or one by one.
//! Of "rph1" (one count, and no `first`), which was written before, all pages are `later`.

use std::ops::Range;

/// Pages are counted in this size, whatever the database's is.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// What a hint takes in its file.
pub const HINT_BYTES: usize = 4096;
/// Pages that an opening tells the next one. Opening a mailbox and looking into a folder of 100,000 messages needs
/// some thirty.
const RECORDED_PAGES: usize = 48;
/// Of these so many are the first.
const RECORDED_FIRST: usize = 16;
/// Pages in the parts of a hint: of more than one opening, since they may have been for different things.
const MAX_FIRST: usize = 24;
const MAX_LATER: usize = 96;
/// Pages that lie between two and are read with them: one request instead of two.
const BRIDGED_PAGES: u64 = 4;
const MAGIC: &[u8; 4] = b"rph2";
const OLD_MAGIC: &[u8; 4] = b"rph1";
const CHECKSUM_BYTES: usize = 8;

/// Pages of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// Ascending, each once.
    first: Vec<u32>,
    /// The same; none of the first is among them.
    later: Vec<u32>,
}

impl Hint {
    /// Pages in the order in which they were read.
    pub(crate) fn in_order(pages: &[u32]) -> Self {
        let (first, later) = pages.split_at(pages.len().min(RECORDED_FIRST));
        let sorted = |pages: &[u32]| {
            let mut pages = pages.to_vec();
            pages.sort_unstable();
            pages
        };
        Self {
            first: sorted(first),
            later: sorted(later),
        }
    }

    /// What `bytes` say; nothing when they are no hint.
    pub fn decode(bytes: &[u8]) -> Self {
        decode(bytes).unwrap_or_default()
    }

    /// A file's whole content.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([self.first.len() as u8, self.later.len() as u8]);
        for part in [&self.first, &self.later] {
            let mut before = 0;
            for page in part {
                let mut gap = page - before;
                before = *page;
                while gap >= 0x80 {
                    out.push(gap as u8 | 0x80);
                    gap >>= 7;
                }
                out.push(gap as u8);
            }
        }
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        // A whole block: to write a part of one that is not in the page cache, it would have to be read.
        out.resize(HINT_BYTES, 0);
        out
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.later.is_empty()
    }

    /// Whether this one asks for all pages of `other`, and for its first ones first.
    pub fn covers(&self, other: &Self) -> bool {
        let is_first = |page: &u32| self.first.binary_search(page).is_ok();
        let is_there = |page: &u32| is_first(page) || self.later.binary_search(page).is_ok();
        other.first.iter().all(is_first) && other.later.iter().all(is_there)
    }

    /// These pages, and of an older hint as many as there is room for.
    #[must_use]
    pub fn with_older(self, older: &Self) -> Self {
        let Self { mut first, mut later } = self;
        for page in &older.first {
            if first.len() < MAX_FIRST && !first.contains(page) && !later.contains(page) {
                first.push(*page);
            }
        }
        for page in older.first.iter().chain(&older.later) {
            if later.len() < MAX_LATER && !first.contains(page) && !later.contains(page) {
                later.push(*page);
            }
        }
        first.sort_unstable();
        later.sort_unstable();
        Self { first, later }
    }

    /// Bytes of the file to read at once, ascending. Neighbours are read together.
    pub(crate) fn first_ranges(&self) -> Vec<Range<u64>> {
        ranges(&self.first)
    }

    /// The pages to read with the first of them that is read, ascending.
    pub(crate) fn later(&self) -> &[u32] {
        &self.later
    }
}

/// Bytes of these pages, which ascend. Neighbours are read together.
pub(crate) fn ranges(pages: &[u32]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for &page in pages {
        let start = u64::from(page) * PAGE_BYTES;
        match ranges.last_mut() {
            Some(last) if start <= last.end + BRIDGED_PAGES * PAGE_BYTES => last.end = start + PAGE_BYTES,
            _ => ranges.push(start..start + PAGE_BYTES),
        }
    }
    ranges
}

fn decode(bytes: &[u8]) -> Option<Hint> {
    let (first, later, mut rest) = if let Some(rest) = bytes.strip_prefix(OLD_MAGIC) {
        let (&later, rest) = rest.split_first()?;
        (0, later, rest)
    } else {
        let (&[first, later], rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        (first, later, rest)
    };
    if usize::from(first) > MAX_FIRST || usize::from(later) > MAX_LATER {
        return None;
    }
    let first = decode_pages(first, &mut rest)?;
    let later = decode_pages(later, &mut rest)?;
    let told = rest.get(..CHECKSUM_BYTES)?;
    let checked = &bytes[..bytes.len() - rest.len()];
    let both = later.iter().any(|page| first.binary_search(page).is_ok());
    (!both && told == checksum(checked).to_le_bytes()).then_some(Hint { first, later })
}

fn decode_pages(count: u8, rest: &mut &[u8]) -> Option<Vec<u32>> {
    let mut pages: Vec<u32> = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (mut gap, mut shift) = (0_u32, 0);
        loop {
            let (&byte, behind) = rest.split_first()?;
            *rest = behind;
            let low = u32::from(byte & 0x7f);
            // What shifting would lose does not belong there.
            if shift > 28 || low << shift >> shift != low {
                return None;
            }
            gap |= low << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        let page = match pages.last() {
            Some(_) if gap == 0 => return None,
            Some(before) => before.checked_add(gap)?,
            None => gap,
        };
        pages.push(page);
    }
    Some(pages)
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The pages that an open database read first.
#[derive(Default)]
pub(crate) struct FirstReads {
    pages: Vec<u32>,
}

impl FirstReads {
    pub(crate) fn note(&mut self, offset: u64) {
        if self.pages.len() == RECORDED_PAGES {
            return;
        }
        if let Ok(page) = u32::try_from(offset / PAGE_BYTES)
            && !self.pages.contains(&page)
        {
            self.pages.push(page);
        }
    }

    pub(crate) fn hint(&self) -> Hint {
        Hint::in_order(&self.pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(pages: &[u32]) -> Hint {
        let mut first = FirstReads::default();
        for page in pages {
            first.note(u64::from(*page) * PAGE_BYTES);
        }
        first.hint()
    }

    #[test]
    fn a_hint_comes_back_as_it_was() {
        let many: Vec<u32> = (0..60).map(|n| (n * 7919) % 50_000).collect();
        for pages in [&[][..], &[0], &[7, 0, 300, 301, 70_000, u32::MAX, 7], &many] {
            let written = hint(pages).encode();
            assert_eq!(written.len(), HINT_BYTES);
            assert_eq!(Hint::decode(&written), hint(pages));
        }
        let known = hint(&many);
        assert_eq!(known.first.len(), RECORDED_FIRST);
        assert_eq!(known.later.len(), RECORDED_PAGES - RECORDED_FIRST);
        assert!(
            many[..RECORDED_FIRST]
                .iter()
                .all(|page| known.first.contains(page))
        );
    }

    #[test]
    fn what_is_damaged_says_nothing() {
        let pages: Vec<u32> = (0..60).map(|n| n * n * 1000).collect();
        let whole = hint(&pages).encode();
        let used = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        for cut in 0..used {
            assert!(Hint::decode(&whole[..cut]).is_empty(), "{cut}");
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[cut] ^= 1 << bit;
                assert!(Hint::decode(&damaged).is_empty(), "{cut}, {bit}");
            }
        }
        assert!(Hint::decode(&[0; HINT_BYTES]).is_empty());
    }

    /// A hint of these bytes, with the right checksum.
    fn told(head: &[u8], gaps: &[u8]) -> Hint {
        let mut bytes = [head, gaps].concat();
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        Hint::decode(&bytes)
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for gaps in [
            &[1, 0][..],
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0],
            &[0xff, 0xff, 0xff, 0xff, 0x0f, 1],
        ] {
            let count = gaps.iter().filter(|byte| **byte < 0x80).count() as u8;
            assert!(told(b"rph1", &[&[count], gaps].concat()).is_empty(), "{gaps:x?}");
            for counts in [[count, 0], [0, count]] {
                assert!(told(b"rph2", &[&counts, gaps].concat()).is_empty(), "{gaps:x?}");
            }
        }
        let ones = [1; 200];
        for (first, later) in [(MAX_FIRST + 1, 0), (0, MAX_LATER + 1)] {
            let counts = [first as u8, later as u8];
            assert!(told(b"rph2", &[&counts[..], &ones[..first + later]].concat()).is_empty());
        }
        assert!(told(b"rph2", &[1, 2, 8, 7, 1]).is_empty(), "page 8 twice");
        assert!(!told(b"rph2", &[1, 2, 8, 7, 2]).is_empty());
    }

    #[test]
    fn one_of_before_is_for_later_and_no_longer_enough() {
        let old = told(b"rph1", &[3, 5, 1, 0x80, 1]);
        assert_eq!((&old.first[..], &old.later[..]), (&[][..], &[5, 6, 134][..]));
        let new = hint(&[5, 6, 134]);
        assert!(!old.covers(&new) && new.covers(&old));
        assert_eq!(new.clone().with_older(&old), new);
    }

    #[test]
    fn neighbours_are_read_together() {
        let page = |page: u64| page * PAGE_BYTES;
        assert_eq!(
            hint(&[3, 0, 1, 20, 24, 100]).first_ranges(),
            [page(0)..page(4), page(20)..page(25), page(100)..page(101)]
        );
    }

    #[test]
    fn there_is_room_for_older_pages_but_not_for_all() {
        let old: Vec<u32> = (0..48).map(|n| n * 2).collect();
        let new: Vec<u32> = (0..60).map(|n| n * 3 + 1000).collect();
        let first = hint(&new);
        let both = first.clone().with_older(&hint(&old));
        assert_eq!(both.first.len(), MAX_FIRST);
        assert_eq!(both.first.len() + both.later.len(), 2 * RECORDED_PAGES);
        assert!(
            both.covers(&first) && !both.covers(&hint(&old)),
            "its first ones are not all first"
        );
        let third: Vec<u32> = (0..48).map(|n| n + 5000).collect();
        let newest = hint(&third).with_older(&both);
        assert_eq!((newest.first.len(), newest.later.len()), (MAX_FIRST, MAX_LATER));
        assert!(newest.covers(&hint(&third)) && !newest.covers(&both));
        assert!(newest.first.is_sorted() && newest.later.is_sorted());
        assert_eq!(Hint::decode(&newest.encode()), newest);
        // What became a first one is not told twice.
        let again = hint(&third[16..]).with_older(&newest);
        assert_eq!(Hint::decode(&again.encode()), again);
    }
}
