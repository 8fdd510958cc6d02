//! Bytes from an LMTP client: command lines, and the message behind DATA.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_lmtp::{Decoder, Progress, next_line, parse};

/// Small enough for the fuzzer to pass it.
const LIMIT_BYTES: u64 = 512;

fuzz_target!(|data: &[u8]| {
    let _ = next_line(data);
    for line in data.split(|&byte| byte == b'\n') {
        let _ = parse(line);
    }
    // However the network cuts it, a message decodes to the same.
    let mut whole = Vec::new();
    let mut decoder = Decoder::new(LIMIT_BYTES);
    decoder.push(data, &mut whole);
    let mut pieces = Vec::new();
    let mut decoder = Decoder::new(LIMIT_BYTES);
    for byte in data.chunks(1) {
        if matches!(decoder.push(byte, &mut pieces), Progress::End(_)) {
            break;
        }
    }
    assert_eq!(whole, pieces);
});
