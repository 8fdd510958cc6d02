//! Bytes from an IMAP client, cut into commands, and each command read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    ringpost_imap::read_commands(data);
});
