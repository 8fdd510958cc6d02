//! Changing all of a page's messages in the same way, without taking the page apart.
//!
//! A STORE on a whole folder changes every message of every page, all of them in one step: their new change numbers lie
//! on a line, the time of the change is the same, and ids, or read states that did not change, stay as they are. Of seven
//! columns only flags and keywords are looked at one by one.

use ringpost_mapi::{Reader, reader::write_varint};

use super::page::{
    BITMAP_BYTES, COLUMNS, Column, PAGE_UIDS, Values, count, damaged, encode_values, read_set,
};
use crate::{StoreError, message::columns::MessageBits};

/// An encoded page.
pub(crate) struct Whole<'a> {
    /// The first UID that it may have.
    first: u32,
    bitmap: &'a [u8],
    /// Messages of it.
    pub(crate) count: usize,
    columns: [Values<'a>; COLUMNS],
    /// Different sets of keywords; the first is the empty one.
    pub(crate) sets: Vec<&'a [u8]>,
}

/// What becomes of a page whose messages all change.
pub(crate) struct Rewrite {
    /// The new flags, message by message; one where all have the same.
    pub(crate) bits: Vec<MessageBits>,
    /// Which of `sets` each message has now; in the same way.
    pub(crate) keywords: Vec<u32>,
    /// The first is the empty one; each of the others is some message's.
    pub(crate) sets: Vec<Vec<u8>>,
    /// The first message's change number; each of the others has the next one.
    pub(crate) first_change: u64,
    /// When, if more than read states changed: that makes a new version.
    pub(crate) modified: Option<i64>,
    /// Whether the read states changed.
    pub(crate) read: bool,
}

impl<'a> Whole<'a> {
    pub(crate) fn read(number: u32, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let (bitmap, rest) = bytes.split_at_checked(BITMAP_BYTES).ok_or_else(damaged)?;
        let count = count(bitmap);
        let mut reader = Reader::new(rest);
        let mut columns = [Values::EMPTY; COLUMNS];
        for column in &mut columns {
            *column = Values::read(&mut reader, count)?;
        }
        let mut sets: Vec<&[u8]> = vec![&[]];
        while !reader.is_empty() {
            sets.push(read_set(&mut reader)?);
        }
        Ok(Self {
            first: number.checked_mul(PAGE_UIDS).ok_or_else(damaged)?,
            bitmap,
            count,
            columns,
            sets,
        })
    }

    /// Whether all of its messages are among these UIDs.
    pub(crate) fn is_within(&self, first: u32, last: u32) -> bool {
        self.uids().next().is_none_or(|lowest| lowest >= first)
            && self.uids().last().is_none_or(|highest| highest <= last)
    }

    /// The UIDs of its messages.
    pub(crate) fn uids(&self) -> impl Iterator<Item = u32> + use<'a> {
        let bits = self.bitmap.iter().zip((self.first..).step_by(8));
        bits.flat_map(|(byte, first)| {
            (0..8)
                .filter(move |bit| byte & 1 << bit != 0)
                .map(move |bit| first + bit)
        })
    }

    /// A message's value of a column.
    #[inline]
    pub(crate) fn value(&self, column: Column, at: usize) -> u64 {
        self.columns[column as usize].at(at)
    }

    /// Whether all messages have the same.
    pub(crate) fn is_constant(&self, column: Column) -> bool {
        self.columns[column as usize].is_constant()
    }

    fn encode<T>(&self, values: &[T], value: impl Fn(&T) -> u64, out: &mut Vec<u8>) {
        match values {
            [all] => Values::line(value(all), 0, self.count).encode(out),
            values => encode_values(values.len(), |at| value(&values[at]), out),
        }
    }

    /// The page with what all of its messages became.
    pub(crate) fn rewritten(&self, to: &Rewrite) -> Vec<u8> {
        let mut out = Vec::with_capacity(BITMAP_BYTES + self.count * 8 + 64);
        out.extend_from_slice(self.bitmap);
        for column in Column::ALL {
            let as_it_was = &self.columns[column as usize];
            match (column, to.modified) {
                (Column::Flags, _) => self.encode(&to.bits, |bits| bits.bits() as u64, &mut out),
                (Column::Keywords, _) => self.encode(&to.keywords, |set| u64::from(*set), &mut out),
                (Column::Change, _) | (Column::Version, Some(_)) => {
                    Values::line(to.first_change, 1, self.count).encode(&mut out);
                }
                (Column::ReadChange, _) if to.read => {
                    Values::line(to.first_change, 1, self.count).encode(&mut out);
                }
                (Column::Modified, Some(now)) => Values::line(now as u64, 0, self.count).encode(&mut out),
                (Column::Version | Column::ReadChange | Column::Modified | Column::Id, _) => {
                    as_it_was.encode(&mut out);
                }
            }
        }
        for set in to.sets.iter().skip(1) {
            write_varint(&mut out, set.len() as u64);
            out.extend_from_slice(set);
        }
        out
    }
}
