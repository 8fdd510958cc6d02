//! Sequence sets (RFC 9051 §4.1.1): of message numbers or of UIDs, with `*`, or `$` for the last search's result.

use super::{SyntaxError, reader::Reader};
use crate::limits;

/// One end of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    Number(u32),
    /// `*`: the highest in use.
    Last,
}

/// Which messages a command is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SequenceSet {
    Ranges(Vec<(Bound, Bound)>),
    /// `$` (RFC 5182)
    Saved,
}

impl SequenceSet {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, SyntaxError> {
        if reader.eat(b'$') {
            return Ok(Self::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            if ranges.len() == limits::SET_RANGES {
                return Err(SyntaxError::TooMany("ranges"));
            }
            let start = bound(reader)?;
            let end = if reader.eat(b':') { bound(reader)? } else { start };
            ranges.push((start, end));
            if !reader.eat(b',') {
                return Ok(Self::Ranges(ranges));
            }
        }
    }

    /// Whether it names a message number above `count`, or `*` where there are no messages: a BAD command (RFC 9051 §9,
    /// `seq-number`).
    pub(crate) fn is_beyond(&self, count: u32) -> bool {
        self.resolve(count).any(|range| *range.end() > count)
            || count == 0 && matches!(self, Self::Ranges(ranges) if !ranges.is_empty())
    }

    /// The ranges as numbers, where `last` is the highest number in use (0 when there are no messages: then
    /// `*` stands for nothing).
    pub(crate) fn resolve(&self, last: u32) -> impl Iterator<Item = std::ops::RangeInclusive<u32>> + '_ {
        let ranges = match self {
            Self::Ranges(ranges) => ranges.as_slice(),
            Self::Saved => &[],
        };
        let number = move |bound: Bound| match bound {
            Bound::Number(number) => number,
            Bound::Last => last,
        };
        ranges
            .iter()
            .map(move |&(start, end)| (number(start), number(end)))
            .map(|(start, end)| start.min(end)..=start.max(end))
            .filter(|range| *range.end() > 0)
    }
}

pub(super) fn bound(reader: &mut Reader<'_>) -> Result<Bound, SyntaxError> {
    if reader.eat(b'*') {
        Ok(Bound::Last)
    } else {
        reader.nonzero().map(Bound::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SequenceSet, SyntaxError> {
        let mut reader = Reader::new(text.as_bytes(), false);
        let set = SequenceSet::read(&mut reader)?;
        reader.end().map(|()| set)
    }

    #[test]
    fn sets() {
        let resolve = |text: &str, last| read(text).unwrap().resolve(last).collect::<Vec<_>>();
        assert_eq!(resolve("2,4:7,9,12:*", 15), [2..=2, 4..=7, 9..=9, 12..=15]);
        assert_eq!(resolve("*:4,5:7", 10), [4..=10, 5..=7]);
        assert_eq!(resolve("559:*", 10), [10..=559]);
        assert_eq!(resolve("*", 0), []);
        assert_eq!(read("$").unwrap(), SequenceSet::Saved);
        for bad in [
            "",
            "0",
            "1,",
            "1:",
            ":1",
            "a",
            "1:2:3",
            "4294967296",
            "-1",
            "1,,2",
            "$1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let many = vec!["1"; limits::SET_RANGES + 1].join(",");
        assert_eq!(read(&many), Err(SyntaxError::TooMany("ranges")));
    }
}
