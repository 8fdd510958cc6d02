//! What a mailbox's last opening left to the next: a file that is never synced, and may have anything in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost_vfs::Hint;

fuzz_target!(|data: &[u8]| {
    read(data);
    // What the checksum would keep away from the parser.
    for magic in [b"rph1", b"rph2"] {
        let mut sealed = [magic, data].concat();
        let checksum = sealed.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        sealed.extend_from_slice(&checksum.to_le_bytes());
        read(&sealed);
    }
});

fn read(bytes: &[u8]) {
    let hint = Hint::decode(bytes);
    assert_eq!(Hint::decode(&hint.encode()), hint);
    assert!(hint.covers(&hint));
    assert_eq!(hint.clone().with_older(&Hint::default()), hint);
    assert_eq!(Hint::default().with_older(&hint), hint);
}
