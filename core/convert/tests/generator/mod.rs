//! Messages made from a seed: mail as it occurs, with what it means, and messages as clients compose them.
//!
//! `RINGPOST_MESSAGES` says how many each test makes, `RINGPOST_SEED` where it begins; a test that fails names the
//! number of the message, which is all that it takes to make it again.

// Clear is better than quick here.
#![allow(clippy::format_push_string, clippy::format_collect)]

pub(crate) mod composed;
pub(crate) mod mail;
pub(crate) mod parts;
pub(crate) mod text;

/// Messages a test makes, if nothing is said.
const MESSAGES: u64 = 300;

/// The numbers of the messages that a test makes.
pub(crate) fn numbers() -> std::ops::Range<u64> {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = setting("RINGPOST_SEED").unwrap_or(0);
    first..first + setting("RINGPOST_MESSAGES").unwrap_or(MESSAGES)
}

/// Random choices that a number decides.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(number: u64) -> Self {
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `of`.
    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
