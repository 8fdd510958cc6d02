//! What tests of this crate share.

use std::{fs::File, os::unix::fs::FileExt};

/// More than the files of these tests have that are compared whole.
const CONTENT_BYTES: usize = 40_000;

/// Numbers below what is asked for, the same ones for a seed.
pub(crate) fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |sides| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    }
}

/// A file's beginning.
pub(crate) fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; CONTENT_BYTES];
    let read = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(read);
    bytes
}
