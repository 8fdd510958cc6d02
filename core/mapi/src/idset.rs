//! Sets of ids and of change numbers: GLOBSET, IDSET and CNSET (MS-OXCFXICS 2.2.2.4 to 2.2.2.6, 3.1.5.4).
//!
//! In memory a set is ranges, so that "everything up to change 1,000,000" is one entry. On the wire it is
//! the small command language of a GLOBSET: bytes are pushed that the following values have in common.

use std::{collections::BTreeMap, ops::RangeInclusive};

use crate::{CodecError, GLOBAL_COUNTER_MAX, Guid, Reader};

/// The most ranges a set read from the wire may have.
pub const MAX_RANGES: usize = 1 << 20;
/// The most replicas an id set read from the wire may have.
pub const MAX_REPLICAS: usize = 1 << 12;

/// A set of 48-bit global counters (GLOBSET), as ascending, disjoint, non-adjacent ranges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GlobSet {
    ranges: Vec<(u64, u64)>,
}

impl GlobSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a counter; ones over 48 bits are not added.
    pub fn insert(&mut self, value: u64) {
        self.insert_range(value..=value);
    }

    /// Adds a range, cut to 48 bits; an empty one adds nothing.
    pub fn insert_range(&mut self, range: RangeInclusive<u64>) {
        let (low, high) = (*range.start(), (*range.end()).min(GLOBAL_COUNTER_MAX));
        if low > high {
            return;
        }
        // Sets mostly grow at their end.
        if self.ranges.last().is_none_or(|&(_, end)| end + 1 < low) {
            return self.ranges.push((low, high));
        }
        let first = self.ranges.partition_point(|&(_, end)| end + 1 < low);
        let last = self.ranges.partition_point(|&(start, _)| start <= high + 1);
        let merged = self.ranges[first..last]
            .iter()
            .fold((low, high), |(s, e), r| (s.min(r.0), e.max(r.1)));
        self.ranges.splice(first..last, [merged]);
    }

    /// Removes a counter.
    pub fn remove(&mut self, value: u64) {
        self.remove_range(value..=value);
    }

    /// Removes a range.
    pub fn remove_range(&mut self, range: RangeInclusive<u64>) {
        let (low, high) = range.into_inner();
        if low > high {
            return;
        }
        let first = self.ranges.partition_point(|&(_, end)| end < low);
        let last = self.ranges.partition_point(|&(start, _)| start <= high);
        let Some(cut) = self.ranges.get(first..last).filter(|cut| !cut.is_empty()) else {
            return;
        };
        let (start, end) = (cut[0].0, cut[cut.len() - 1].1);
        let below = (start < low).then(|| (start, low - 1));
        let above = (high < end).then(|| (high + 1, end));
        self.ranges.splice(first..last, below.into_iter().chain(above));
    }

    /// Whether the counter is in the set.
    pub fn contains(&self, value: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < value);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= value)
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|&(low, high)| low..=high)
    }

    /// All counters, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges().flatten()
    }

    /// How many counters are in the set.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(low, high)| high - low + 1).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds all of `other`.
    pub fn union_with(&mut self, other: &Self) {
        for range in other.ranges() {
            self.insert_range(range);
        }
    }

    /// Removes all of `other`.
    pub fn subtract(&mut self, other: &Self) {
        for range in other.ranges() {
            self.remove_range(range);
        }
    }

    /// What both sets have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut common = Self::new();
        let (mut a, mut b) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        while let (Some(&&(a_low, a_high)), Some(&&(b_low, b_high))) = (a.peek(), b.peek()) {
            let (low, high) = (a_low.max(b_low), a_high.min(b_high));
            if low <= high {
                common.insert_range(low..=high);
            }
            if a_high <= b_high {
                a.next()
            } else {
                b.next()
            };
        }
        common
    }

    /// Appends the set's encoding, ended by the End command.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_ranges(&self.ranges, 0, out);
        out.push(END);
    }

    /// Reads a set up to and with its End command.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut stack = ByteStack::default();
        let mut set = Self::new();
        // The order of the ranges is the sender's: they are sorted once, at the end.
        let mut found: Vec<(u64, u64)> = Vec::new();
        loop {
            let command = reader.u8(GLOBSET)?;
            match command {
                END => break,
                1..=6 => {
                    stack.push(reader.take(usize::from(command), GLOBSET)?)?;
                    if stack.bytes.len() == COUNTER_BYTES {
                        let value = stack.with(&[])?;
                        found.push((value, value));
                        stack.pop()?;
                    }
                }
                POP => stack.pop()?,
                BITMASK => {
                    if stack.bytes.len() != COUNTER_BYTES - 1 {
                        return Err(CodecError::Invalid(GLOBSET));
                    }
                    let [start, mask] = reader.array(GLOBSET)?;
                    let first = stack.with(&[start])?;
                    found.push((first, first));
                    for bit in (0..8).filter(|bit| mask >> bit & 1 == 1) {
                        let value = first + bit + 1;
                        // The mask must not run out of the byte it counts in.
                        if value & 0xff <= first & 0xff {
                            return Err(CodecError::Invalid(GLOBSET));
                        }
                        found.push((value, value));
                    }
                }
                RANGE => {
                    let bytes = COUNTER_BYTES - stack.bytes.len();
                    let low = stack.with(reader.take(bytes, GLOBSET)?)?;
                    let high = stack.with(reader.take(bytes, GLOBSET)?)?;
                    if low > high {
                        return Err(CodecError::Invalid(GLOBSET));
                    }
                    found.push((low, high));
                }
                _ => return Err(CodecError::Invalid(GLOBSET)),
            }
            if found.len() > MAX_RANGES {
                return Err(CodecError::OverLimit(GLOBSET));
            }
        }
        found.sort_unstable();
        for (low, high) in found {
            set.insert_range(low..=high);
        }
        Ok(set)
    }
}

impl FromIterator<u64> for GlobSet {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        let mut set = Self::new();
        for value in values {
            set.insert(value);
        }
        set
    }
}

/// Ids of several replicas: an IDSET, or a CNSET where the ids are change numbers. `R` says how replicas are
/// named on the wire: by their number (REPLID, `u16`) or GUID (REPLGUID).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdSet<R: ReplicaName> {
    sets: BTreeMap<R, GlobSet>,
}

/// What names a replica in an [`IdSet`].
pub trait ReplicaName: Ord + Copy {
    /// Reads the name.
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError>;
    /// Appends the name.
    fn write(self, out: &mut Vec<u8>);
}

impl ReplicaName for u16 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.u16(IDSET)
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
}

impl ReplicaName for Guid {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.array(IDSET).map(Guid)
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl<R: ReplicaName> Default for IdSet<R> {
    fn default() -> Self {
        Self {
            sets: BTreeMap::new(),
        }
    }
}

impl<R: ReplicaName> IdSet<R> {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an id.
    pub fn insert(&mut self, replica: R, counter: u64) {
        self.sets.entry(replica).or_default().insert(counter);
    }

    /// Adds a range of a replica's ids.
    pub fn insert_range(&mut self, replica: R, range: RangeInclusive<u64>) {
        self.sets.entry(replica).or_default().insert_range(range);
    }

    /// Removes an id.
    pub fn remove(&mut self, replica: R, counter: u64) {
        if let Some(set) = self.sets.get_mut(&replica) {
            set.remove(counter);
        }
    }

    /// Whether the id is in the set.
    pub fn contains(&self, replica: R, counter: u64) -> bool {
        self.sets.get(&replica).is_some_and(|set| set.contains(counter))
    }

    /// The ids of one replica.
    pub fn replica(&self, replica: R) -> Option<&GlobSet> {
        self.sets.get(&replica)
    }

    /// The replicas and their ids, by ascending replica.
    pub fn iter(&self) -> impl Iterator<Item = (R, &GlobSet)> {
        self.sets.iter().map(|(replica, set)| (*replica, set))
    }

    /// Whether there is no id in it.
    pub fn is_empty(&self) -> bool {
        self.sets.values().all(GlobSet::is_empty)
    }

    /// Adds all of `other`.
    pub fn union_with(&mut self, other: &Self) {
        for (replica, set) in &other.sets {
            self.sets.entry(*replica).or_default().union_with(set);
        }
    }

    /// Removes all of `other`.
    pub fn subtract(&mut self, other: &Self) {
        for (replica, set) in &other.sets {
            if let Some(own) = self.sets.get_mut(replica) {
                own.subtract(set);
            }
        }
    }

    /// The same ids with other names of the replicas; replicas that `name` does not know are left out.
    pub fn rename<S: ReplicaName>(&self, name: impl Fn(R) -> Option<S>) -> IdSet<S> {
        let mut renamed = IdSet::new();
        for (replica, set) in &self.sets {
            if let Some(replica) = name(*replica) {
                renamed.sets.entry(replica).or_default().union_with(set);
            }
        }
        renamed
    }

    /// The set's encoding (2.2.2.4.1, 2.2.2.4.2).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (replica, set) in self.sets.iter().filter(|(_, set)| !set.is_empty()) {
            replica.write(&mut out);
            set.encode(&mut out);
        }
        out
    }

    /// The set that is all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let mut ids = Self::new();
        while !reader.is_empty() {
            let replica = R::read(&mut reader)?;
            ids.sets
                .entry(replica)
                .or_default()
                .union_with(&GlobSet::read(&mut reader)?);
            if ids.sets.len() > MAX_REPLICAS {
                return Err(CodecError::OverLimit(IDSET));
            }
        }
        Ok(ids)
    }
}

const GLOBSET: &str = "GLOBSET";
const IDSET: &str = "IDSET";
const COUNTER_BYTES: usize = 6;

// Commands (2.2.2.6). 1 to 6 push that many bytes.
const END: u8 = 0x00;
const BITMASK: u8 = 0x42;
const POP: u8 = 0x50;
const RANGE: u8 = 0x52;

/// The bytes that values have in common, and how many each push added.
#[derive(Default)]
struct ByteStack {
    bytes: Vec<u8>,
    pushes: Vec<usize>,
}

impl ByteStack {
    fn push(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if self.bytes.len() + bytes.len() > COUNTER_BYTES {
            return Err(CodecError::Invalid(GLOBSET));
        }
        self.bytes.extend_from_slice(bytes);
        self.pushes.push(bytes.len());
        Ok(())
    }

    fn pop(&mut self) -> Result<(), CodecError> {
        let count = self.pushes.pop().ok_or(CodecError::Invalid(GLOBSET))?;
        self.bytes.truncate(self.bytes.len() - count);
        Ok(())
    }

    /// The counter of the stack's bytes and `rest`, highest byte first.
    fn with(&self, rest: &[u8]) -> Result<u64, CodecError> {
        if self.bytes.len() + rest.len() != COUNTER_BYTES {
            return Err(CodecError::Invalid(GLOBSET));
        }
        Ok(self
            .bytes
            .iter()
            .chain(rest)
            .fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }
}

fn bytes_of(value: u64) -> [u8; COUNTER_BYTES] {
    let [_, _, bytes @ ..] = value.to_be_bytes();
    bytes
}

/// How many high bytes the values have in common.
fn common_bytes(low: u64, high: u64) -> usize {
    ((low ^ high).leading_zeros() as usize - 16) / 8
}

/// Appends the commands for ranges whose values have their `depth` highest bytes on the stack.
fn encode_ranges(ranges: &[(u64, u64)], depth: usize, out: &mut Vec<u8>) {
    if depth == COUNTER_BYTES - 1 {
        return encode_last_byte(ranges, out);
    }
    let mut rest = ranges;
    while let Some((&(low, high), _)) = rest.split_first() {
        // The ranges from here on that lie within one value of the byte at `depth`.
        let same = rest.partition_point(|&(_, end)| common_bytes(low, end) > depth);
        if same == 0 {
            write_range(low, high, depth, out);
            rest = &rest[1..];
            continue;
        }
        let (run, after) = rest.split_at(same);
        let common = common_bytes(low, run[same - 1].1);
        if common == COUNTER_BYTES {
            // One value: pushing its bytes adds it and pops them again.
            push(low, depth, COUNTER_BYTES, out);
        } else if same == 1 && common - depth < 3 {
            // Push and pop would cost more than they save.
            write_range(low, high, depth, out);
        } else {
            push(low, depth, common, out);
            encode_ranges(run, common, out);
            out.push(POP);
        }
        rest = after;
    }
}

/// Ranges that differ in their last byte only: a bitmask says up to nine values in three bytes.
fn encode_last_byte(ranges: &[(u64, u64)], out: &mut Vec<u8>) {
    let mut rest = ranges;
    while let Some((&(low, high), after)) = rest.split_first() {
        let within = rest.partition_point(|&(_, end)| end <= low + 8);
        if within < 2 {
            if low == high {
                push(low, 5, 6, out);
            } else {
                write_range(low, high, 5, out);
            }
            rest = after;
            continue;
        }
        let (masked, after) = rest.split_at(within);
        let mask = masked
            .iter()
            .flat_map(|&(start, end)| start..=end)
            .filter(|&value| value > low)
            .fold(0u8, |mask, value| mask | 1 << (value - low - 1));
        out.extend_from_slice(&[BITMASK, low as u8, mask]);
        rest = after;
    }
}

fn push(value: u64, from: usize, to: usize, out: &mut Vec<u8>) {
    out.push((to - from) as u8);
    out.extend_from_slice(&bytes_of(value)[from..to]);
}

fn write_range(low: u64, high: u64, depth: usize, out: &mut Vec<u8>) {
    out.push(RANGE);
    out.extend_from_slice(&bytes_of(low)[depth..]);
    out.extend_from_slice(&bytes_of(high)[depth..]);
}

#[cfg(test)]
mod tests;
