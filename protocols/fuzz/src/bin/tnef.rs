//! TNEF streams: what is read of them can be written, and is read again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_convert::tnef;

fuzz_target!(|data: &[u8]| {
    let Ok(first) = tnef::read(data) else { return };
    let Ok(stream) = tnef::write(&first.message, &mut |_| None) else {
        return;
    };
    let again = tnef::read(&stream).expect("our own stream");
    assert_eq!(again.damage, None);
    assert_eq!(again.message.recipients.len(), first.message.recipients.len());
    assert_eq!(again.message.attachments.len(), first.message.attachments.len());
    assert_eq!(again.message.named.len(), first.message.named.len());
});
