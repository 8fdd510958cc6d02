//! Property bags on disk: what decodes must encode to what decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_mapi::{
    PropTag,
    codec::{decode_bag, decode_bags, encode_bag, encode_bags, get_from_encoded},
};

fuzz_target!(|data: &[u8]| {
    if let Ok(bag) = decode_bag(data) {
        let again = encode_bag(&bag);
        assert_eq!(
            encode_bag(&decode_bag(&again).expect("what was encoded decodes")),
            again
        );
    }
    if let Ok(bags) = decode_bags(data) {
        let again = encode_bags(&bags);
        assert_eq!(
            encode_bags(&decode_bags(&again).expect("what was encoded decodes")),
            again
        );
    }
    let _ = get_from_encoded(data, PropTag(0x0037_001f));
});
