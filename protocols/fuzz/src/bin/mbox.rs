//! Mbox files: whatever is found in one is found again when it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::mbox;
use ringpost_mapi::FileTime;

fuzz_target!(|data: &[u8]| {
    // Line ends are LF in what is written, and a separator at the start is left out.
    let clean: Vec<u8> = data.iter().copied().filter(|&byte| byte != b'\r').collect();
    let messages: Vec<Vec<u8>> = mbox::messages(&clean)
        .map(std::borrow::Cow::into_owned)
        .filter(|message| !message.starts_with(b"From ") && (message.is_empty() || message.ends_with(b"\n")))
        .collect();
    let mut written = Vec::new();
    for message in &messages {
        mbox::append(&mut written, message, FileTime(0));
    }
    let again: Vec<Vec<u8>> = mbox::messages(&written)
        .map(std::borrow::Cow::into_owned)
        .collect();
    assert_eq!(again, messages);
});
