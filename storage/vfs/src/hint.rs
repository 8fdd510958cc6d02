//! Which pages of a database were read first after it was opened. Kept beside the database, so that the next opening
//! can ask the disk for all of them at once, where it would else wait for one after the other: each page of a tree
//! tells only then which the next is.
//!
//! ```text
//! hint := "rph1" count (u8) gap*{count} checksum (u64, little-endian: FNV-1a of all before)      then zeros
//! gap  := how far a page, counted from 0, is behind the one before (of the first: its number); LEB128
//! ```
//!
//! It is a hint: never synced, and when it is stale, missing or damaged, pages are read for nothing, or one by one.

use std::ops::Range;

/// Pages are counted in this size, whatever the database's is.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// What a hint takes in its file.
pub const HINT_BYTES: usize = 4096;
/// Pages that an opening tells the next one. Opening a mailbox and looking into a folder of 100,000 messages needs
/// some thirty.
const RECORDED_PAGES: usize = 48;
/// Pages in a hint: of more than one opening, since they may have been for different things.
const MAX_PAGES: usize = 96;
/// Pages that lie between two and are read with them: one request instead of two.
const BRIDGED_PAGES: u64 = 4;
const MAGIC: &[u8; 4] = b"rph1";
const CHECKSUM_BYTES: usize = 8;

/// Pages of a database, ascending, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    pages: Vec<u32>,
}

impl Hint {
    /// These pages.
    pub(crate) fn of(mut pages: Vec<u32>) -> Self {
        pages.sort_unstable();
        pages.dedup();
        Self { pages }
    }

    /// What `bytes` say; nothing when they are no hint.
    pub fn decode(bytes: &[u8]) -> Self {
        decode(bytes).unwrap_or_default()
    }

    /// A file's whole content.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(self.pages.len() as u8);
        let mut before = 0;
        for page in &self.pages {
            let mut gap = page - before;
            before = *page;
            while gap >= 0x80 {
                out.push(gap as u8 | 0x80);
                gap >>= 7;
            }
            out.push(gap as u8);
        }
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        // A whole block: to write a part of one that is not in the page cache, it would have to be read.
        out.resize(HINT_BYTES, 0);
        out
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Whether all pages of `other` are in this one.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .pages
            .iter()
            .all(|page| self.pages.binary_search(page).is_ok())
    }

    /// These pages, and of an older hint as many as there is room for.
    #[must_use]
    pub fn with_older(mut self, older: &Self) -> Self {
        let more = older
            .pages
            .iter()
            .filter(|page| self.pages.binary_search(page).is_err());
        let more: Vec<u32> = more
            .copied()
            .take(MAX_PAGES - self.pages.len().min(MAX_PAGES))
            .collect();
        self.pages.extend(more);
        self.pages.sort_unstable();
        self
    }

    /// Bytes of the file to read, ascending. Neighbours are read together.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for &page in &self.pages {
            let start = u64::from(page) * PAGE_BYTES;
            match ranges.last_mut() {
                Some(last) if start <= last.end + BRIDGED_PAGES * PAGE_BYTES => last.end = start + PAGE_BYTES,
                _ => ranges.push(start..start + PAGE_BYTES),
            }
        }
        ranges
    }
}

fn decode(bytes: &[u8]) -> Option<Hint> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (&count, mut rest) = rest.split_first()?;
    if usize::from(count) > MAX_PAGES {
        return None;
    }
    let mut pages: Vec<u32> = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (mut gap, mut shift) = (0_u32, 0);
        loop {
            let (&byte, behind) = rest.split_first()?;
            rest = behind;
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
    let told = rest.get(..CHECKSUM_BYTES)?;
    let checked = &bytes[..bytes.len() - rest.len()];
    (told == checksum(checked).to_le_bytes()).then_some(Hint { pages })
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
        let mut pages = self.pages.clone();
        pages.sort_unstable();
        Hint { pages }
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
        for pages in [&[][..], &[0], &[7, 0, 300, 301, 70_000, u32::MAX, 7]] {
            let written = hint(pages).encode();
            assert_eq!(written.len(), HINT_BYTES);
            assert_eq!(Hint::decode(&written), hint(pages));
        }
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

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for gaps in [
            &[1, 0][..],
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0],
            &[0xff, 0xff, 0xff, 0xff, 0x0f, 1],
        ] {
            let count = gaps.iter().filter(|byte| **byte < 0x80).count();
            let mut bytes = [MAGIC, &[count as u8][..], gaps].concat();
            let checksum = checksum(&bytes);
            bytes.extend_from_slice(&checksum.to_le_bytes());
            assert!(Hint::decode(&bytes).is_empty(), "{gaps:x?}");
        }
    }

    #[test]
    fn neighbours_are_read_together() {
        let page = |page: u64| page * PAGE_BYTES;
        assert_eq!(
            hint(&[3, 0, 1, 20, 24, 100]).ranges(),
            [page(0)..page(4), page(20)..page(25), page(100)..page(101)]
        );
    }

    #[test]
    fn there_is_room_for_older_pages_but_not_for_all() {
        let old: Vec<u32> = (0..48).map(|n| n * 2).collect();
        let new: Vec<u32> = (0..60).map(|n| n * 3 + 1000).collect();
        let first = hint(&new);
        assert_eq!(first.pages.len(), RECORDED_PAGES);
        let both = first.clone().with_older(&hint(&old));
        assert_eq!(both.pages.len(), MAX_PAGES);
        assert!(both.covers(&first) && both.covers(&hint(&old)));
        let third: Vec<u32> = (0..48).map(|n| n + 5000).collect();
        let newest = hint(&third).with_older(&both);
        assert_eq!(newest.pages.len(), MAX_PAGES);
        assert!(newest.covers(&hint(&third)) && !newest.covers(&both));
        assert!(newest.pages.is_sorted());
    }
}
