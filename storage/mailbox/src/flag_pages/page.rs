//! A flag page as bytes (`../FORMAT.md` §3), and in memory.

use ringpost_mapi::{Reader, reader::write_varint};

use crate::{StoreError, message::columns::MessageBits};

/// UIDs that share a page.
pub(crate) const PAGE_UIDS: u32 = 256;
/// One bit for each of them.
pub(super) const BITMAP_BYTES: usize = PAGE_UIDS as usize / 8;
/// The most bytes of a column's value.
const MAX_WIDTH: usize = 8;
pub(super) const COLUMNS: usize = 7;

/// What changes without a message's content changing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) uid: u32,
    /// Which of the page's sets of keywords.
    pub(crate) keywords: u32,
    /// The message's id, as on disk.
    pub(crate) id: i64,
    pub(crate) bits: MessageBits,
    pub(crate) change: u64,
    pub(crate) version: u64,
    /// 0: the read state never changed.
    pub(crate) read_change: u64,
    pub(crate) modified: i64,
}

/// A column of a page, as the SQL function `flag_page` numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    Flags = 0,
    Keywords = 1,
    Change = 2,
    Version = 3,
    ReadChange = 4,
    Modified = 5,
    Id = 6,
}

impl Column {
    pub(super) const ALL: [Self; COLUMNS] = [
        Self::Flags,
        Self::Keywords,
        Self::Change,
        Self::Version,
        Self::ReadChange,
        Self::Modified,
        Self::Id,
    ];

    /// The column that the SQL function knows under a number.
    pub(super) fn numbered(number: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// The states of the messages whose UIDs are `number * 256` to `number * 256 + 255`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    pub(crate) number: u32,
    /// By ascending UID.
    pub(crate) states: Vec<State>,
    /// Different sets of keywords, each as a message's column; the first is the empty one.
    pub(crate) sets: Vec<Vec<u8>>,
}

impl Page {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            states: Vec::new(),
            sets: vec![Vec::new()],
        }
    }

    pub(crate) fn of_uid(uid: u32) -> u32 {
        uid / PAGE_UIDS
    }

    pub(crate) fn find(&self, uid: u32) -> Option<usize> {
        self.states.binary_search_by_key(&uid, |state| state.uid).ok()
    }

    /// The states of a range of UIDs.
    pub(crate) fn range(&self, first: u32, last: u32) -> std::ops::Range<usize> {
        let start = self.states.partition_point(|state| state.uid < first);
        let end = self.states.partition_point(|state| state.uid <= last);
        start..end.max(start)
    }

    /// The keywords of a state, as a message's column.
    pub(crate) fn keywords(&self, state: &State) -> &[u8] {
        self.sets.get(state.keywords as usize).map_or(&[], Vec::as_slice)
    }

    /// The number of a set of keywords.
    pub(crate) fn set(&mut self, keywords: &[u8]) -> u32 {
        let at = self.sets.iter().position(|set| set == keywords);
        at.unwrap_or_else(|| {
            self.sets.push(keywords.to_owned());
            self.sets.len() - 1
        }) as u32
    }

    /// The latest change.
    pub(crate) fn highest(&self) -> u64 {
        self.states.iter().map(|state| state.change).max().unwrap_or(0)
    }

    pub(crate) fn encode(&mut self) -> Vec<u8> {
        self.drop_unused_sets();
        let mut bitmap = [0_u8; BITMAP_BYTES];
        for state in &self.states {
            let place = (state.uid % PAGE_UIDS) as usize;
            bitmap[place / 8] |= 1 << (place % 8);
        }
        let mut out = Vec::with_capacity(BITMAP_BYTES + self.states.len() * 16 + 64);
        out.extend_from_slice(&bitmap);
        // In the order of `Column`.
        self.encode_column(|state| state.bits.bits() as u64, &mut out);
        self.encode_column(|state| u64::from(state.keywords), &mut out);
        self.encode_column(|state| state.change, &mut out);
        self.encode_column(|state| state.version, &mut out);
        self.encode_column(|state| state.read_change, &mut out);
        self.encode_column(|state| state.modified as u64, &mut out);
        self.encode_column(|state| state.id as u64, &mut out);
        for set in &self.sets[1..] {
            write_varint(&mut out, set.len() as u64);
            out.extend_from_slice(set);
        }
        out
    }

    fn encode_column(&self, value: impl Fn(&State) -> u64, out: &mut Vec<u8>) {
        encode_values(self.states.len(), |at| value(&self.states[at]), out);
    }

    fn drop_unused_sets(&mut self) {
        if self.sets.len() == 1 {
            return;
        }
        let mut used = vec![false; self.sets.len()];
        used[0] = true;
        for state in &self.states {
            if let Some(used) = used.get_mut(state.keywords as usize) {
                *used = true;
            }
        }
        if used.iter().all(|used| *used) {
            return;
        }
        let mut numbers = vec![0; used.len()];
        let mut kept = Vec::new();
        for (number, set) in std::mem::take(&mut self.sets).into_iter().enumerate() {
            numbers[number] = kept.len() as u32;
            if used[number] {
                kept.push(set);
            }
        }
        self.sets = kept;
        for state in &mut self.states {
            state.keywords = numbers.get(state.keywords as usize).copied().unwrap_or(0);
        }
    }

    pub(crate) fn decode(number: u32, bytes: &[u8]) -> Result<Self, StoreError> {
        let (bitmap, rest) = bytes.split_at_checked(BITMAP_BYTES).ok_or_else(damaged)?;
        let first = number.checked_mul(PAGE_UIDS).ok_or_else(damaged)?;
        let mut states = Vec::with_capacity(count(bitmap));
        for (at, byte) in bitmap.iter().enumerate() {
            let mut left = *byte;
            while left != 0 {
                let uid = first + (at * 8) as u32 + left.trailing_zeros();
                left &= left - 1;
                states.push(State {
                    uid,
                    keywords: 0,
                    id: 0,
                    bits: MessageBits::empty(),
                    change: 0,
                    version: 0,
                    read_change: 0,
                    modified: 0,
                });
            }
        }
        let mut reader = Reader::new(rest);
        let reader = &mut reader;
        decode_column(reader, &mut states, |state, value| {
            state.bits = MessageBits::from_bits_retain(value as i64);
        })?;
        // What does not fit is no set's number, either.
        decode_column(reader, &mut states, |state, value| {
            state.keywords = u32::try_from(value).unwrap_or(u32::MAX);
        })?;
        decode_column(reader, &mut states, |state, value| state.change = value)?;
        decode_column(reader, &mut states, |state, value| state.version = value)?;
        decode_column(reader, &mut states, |state, value| state.read_change = value)?;
        decode_column(reader, &mut states, |state, value| state.modified = value as i64)?;
        decode_column(reader, &mut states, |state, value| state.id = value as i64)?;
        let mut sets = vec![Vec::new()];
        while !reader.is_empty() {
            sets.push(read_set(reader)?.to_owned());
        }
        if states.iter().any(|state| state.keywords as usize >= sets.len()) {
            return Err(damaged());
        }
        Ok(Self { number, states, sets })
    }
}

/// A column of `count` values.
pub(super) fn encode_values(count: usize, value: impl Fn(usize) -> u64, out: &mut Vec<u8>) {
    let stride = stride(count, &value);
    // What is left of each value beside its place on the line.
    let left = |at: usize| value(at).wrapping_sub(stride.wrapping_mul(at as u64)) as i64;
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    for at in 0..count {
        let left = left(at);
        least = least.min(left);
        most = most.max(left);
    }
    if count == 0 {
        (least, most) = (0, 0);
    }
    let range = most.wrapping_sub(least) as u64;
    let width = MAX_WIDTH - range.leading_zeros() as usize / 8;
    write_varint(out, least as u64);
    write_varint(out, stride);
    out.push(width as u8);
    if width == 0 {
        return;
    }
    // Each value is written whole; the next one covers what is over its width.
    let start = out.len();
    let end = start + width * count;
    out.resize(end + MAX_WIDTH, 0);
    for at in 0..count {
        let place = start + at * width;
        let value = left(at).wrapping_sub(least);
        out[place..place + MAX_WIDTH].copy_from_slice(&value.to_le_bytes());
    }
    out.truncate(end);
}

/// By how much a column's values grow from one message to the next, about: numbers that were given out one after
/// the other, as ids and changes of one step are, lie on a line and take no room.
fn stride(count: usize, value: impl Fn(usize) -> u64) -> u64 {
    match count {
        0 | 1 => 0,
        _ => value(count - 1).saturating_sub(value(0)) / (count as u64 - 1),
    }
}

fn decode_column(
    reader: &mut Reader<'_>,
    states: &mut [State],
    put: impl Fn(&mut State, u64),
) -> Result<(), StoreError> {
    let values = Values::read(reader, states.len())?;
    for (at, state) in states.iter_mut().enumerate() {
        put(state, values.at(at));
    }
    Ok(())
}

/// One message's value in an encoded page, without decoding the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value<'a> {
    Number(i64),
    Keywords(&'a [u8]),
}

/// A message's state in an encoded page, with its keywords; `None` where the page does not have the message.
pub(super) fn state_in(bytes: &[u8], uid: u32) -> Result<Option<(State, &[u8])>, StoreError> {
    let Some(Place { at, states, columns }) = place(bytes, uid)? else {
        return Ok(None);
    };
    let mut reader = Reader::new(columns);
    let mut values = [0; COLUMNS];
    for value in &mut values {
        *value = Values::read(&mut reader, states)?.at(at);
    }
    let [bits, set, change, version, read_change, modified, id] = values;
    let mut keywords: &[u8] = &[];
    for _ in 0..set {
        keywords = read_set(&mut reader)?;
    }
    let state = State {
        uid,
        keywords: set as u32,
        id: id as i64,
        bits: MessageBits::from_bits_retain(bits as i64),
        change,
        version,
        read_change,
        modified: modified as i64,
    };
    Ok(Some((state, keywords)))
}

/// Where an encoded page has a message's state.
struct Place<'a> {
    /// Which of its states it is.
    at: usize,
    /// How many there are.
    states: usize,
    columns: &'a [u8],
}

/// Where an encoded page has a message's state; `None` where it has none.
fn place(bytes: &[u8], uid: u32) -> Result<Option<Place<'_>>, StoreError> {
    let (bitmap, rest) = bytes.split_at_checked(BITMAP_BYTES).ok_or_else(damaged)?;
    let place = (uid % PAGE_UIDS) as usize;
    if bitmap[place / 8] & 1 << (place % 8) == 0 {
        return Ok(None);
    }
    let below = (bitmap[place / 8] & ((1 << (place % 8)) - 1)).count_ones() as usize;
    Ok(Some(Place {
        at: count(&bitmap[..place / 8]) + below,
        states: count(bitmap),
        columns: rest,
    }))
}

/// A message's value in an encoded page; `None` where the page does not have the message.
pub(crate) fn value_in(bytes: &[u8], uid: u32, column: Column) -> Result<Option<Value<'_>>, StoreError> {
    let Some(Place { at, states, columns }) = place(bytes, uid)? else {
        return Ok(None);
    };
    let mut reader = Reader::new(columns);
    for skipped in Column::ALL {
        let values = Values::read(&mut reader, states)?;
        if skipped == column && column != Column::Keywords {
            return Ok(Some(Value::Number(values.at(at) as i64)));
        }
        if skipped == column {
            let set = values.at(at);
            if set == 0 {
                return Ok(Some(Value::Keywords(&[])));
            }
            for _ in Column::Keywords as usize + 1..COLUMNS {
                Values::read(&mut reader, states)?;
            }
            for _ in 1..set {
                read_set(&mut reader)?;
            }
            return Ok(Some(Value::Keywords(read_set(&mut reader)?)));
        }
    }
    Err(damaged())
}

/// The values of a column.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    least: u64,
    stride: u64,
    width: usize,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    pub(super) const EMPTY: Self = Self {
        least: 0,
        stride: 0,
        width: 0,
        bytes: &[],
    };

    pub(super) fn read(reader: &mut Reader<'a>, count: usize) -> Result<Self, StoreError> {
        let least = reader.varint("flag page")?;
        let stride = reader.varint("flag page")?;
        let width = usize::from(reader.u8("flag page")?);
        if width > MAX_WIDTH {
            return Err(damaged());
        }
        Ok(Self {
            least,
            stride,
            width,
            bytes: reader.take(width * count, "flag page")?,
        })
    }

    /// A column whose values grow by `stride` from one message to the next.
    pub(super) fn line(first: u64, stride: u64, count: usize) -> Self {
        Self {
            least: first,
            // As a column of one value is written.
            stride: if count > 1 { stride } else { 0 },
            ..Self::EMPTY
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        self.stride == 0 && self.width == 0
    }

    /// A column as it is.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        write_varint(out, self.least);
        write_varint(out, self.stride);
        out.push(self.width as u8);
        out.extend_from_slice(self.bytes);
    }

    #[inline]
    pub(super) fn at(&self, at: usize) -> u64 {
        let line = self.least.wrapping_add(self.stride.wrapping_mul(at as u64));
        if self.width == 0 {
            return line;
        }
        let start = at * self.width;
        let mut value = [0; MAX_WIDTH];
        if let Some(whole) = self.bytes.get(start..start + MAX_WIDTH) {
            value.copy_from_slice(whole);
            let mask = u64::MAX >> (64 - 8 * self.width);
            return line.wrapping_add(u64::from_le_bytes(value) & mask);
        }
        value[..self.width].copy_from_slice(&self.bytes[start..start + self.width]);
        line.wrapping_add(u64::from_le_bytes(value))
    }
}

pub(super) fn read_set<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], StoreError> {
    Ok(reader.prefixed("flag page")?)
}

pub(super) fn count(bitmap: &[u8]) -> usize {
    bitmap.iter().map(|byte| byte.count_ones() as usize).sum()
}

pub(super) fn damaged() -> StoreError {
    StoreError::damaged("flag page")
}
