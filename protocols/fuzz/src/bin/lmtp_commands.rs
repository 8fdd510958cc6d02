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
    let whole = decode(data, data.len().max(1));
    let pieces = decode(data, 1);
    assert_eq!((whole.end, whole.is_too_long), (pieces.end, pieces.is_too_long));
    // What is decoded of too long a message is not used.
    assert!(whole.is_too_long || whole.message == pieces.message);
    assert!(pieces.message.len() as u64 <= LIMIT_BYTES);
});

struct Decoded {
    message: Vec<u8>,
    /// How much input was the message's, if it came to its end.
    end: Option<usize>,
    is_too_long: bool,
}

fn decode(data: &[u8], size: usize) -> Decoded {
    let (mut decoder, mut message) = (Decoder::new(LIMIT_BYTES), Vec::new());
    let end =
        data.chunks(size)
            .enumerate()
            .find_map(|(number, piece)| match decoder.push(piece, &mut message) {
                Progress::End(at) => Some(number * size + at),
                Progress::More => None,
            });
    Decoded {
        message,
        end,
        is_too_long: decoder.is_too_long(),
    }
}
