//! Bytes in every charset: a name in the first line, then text. It is text in any case, and about as long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::body::charset;
use ringpost_mapi::{charset::Charset, code_page};

fuzz_target!(|data: &[u8]| {
    let line = memchr::memchr(b'\n', data).unwrap_or(0);
    let (name, bytes) = data.split_at(line);
    let text = charset::decode(bytes, name);
    // A byte of UTF-7's base64 is less than a unit, one of the others at most two characters of three bytes.
    assert!(text.len() <= bytes.len() * 6 + 8);
    let page = charset::code_page(name);
    let _ = code_page::decode(bytes, page);
    if let Some(charset) = Charset::for_name(name) {
        for character in text.chars().take(16) {
            if let Some(byte) = charset.single_byte_of(character) {
                assert_eq!(charset.decode(&[byte]).chars().next(), Some(character));
            }
        }
    }
});
