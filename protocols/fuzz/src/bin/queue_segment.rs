//! A segment of the queue: a file that a crash, or a disk, may have left in any state.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ringpost_spool::{Operation, read_operations, replay};

fuzz_target!(|data: &[u8]| {
    let whole = Bytes::copy_from_slice(data);
    if let Some(replayed) = replay(&whole) {
        assert_eq!(replayed.end + replayed.torn, data.len() as u64);
        for (entry, place) in &replayed.entries {
            assert!(place.offset + u64::from(place.length) <= replayed.end);
            assert_eq!(entry.length, place.length);
        }
        // What is behind the last whole record says nothing.
        let again = replay(&whole.slice(..replayed.end as usize)).map(|again| again.entries);
        assert_eq!(again.as_ref(), Some(&replayed.entries));
    }
    // Payloads that the checksum would keep away from the parser.
    if let Ok(operations) = read_operations(&whole) {
        let mut written = Vec::new();
        for (operation, _) in &operations {
            operation.write(&mut written);
        }
        let read = read_operations(&Bytes::from(written)).map(without_places);
        assert_eq!(read, Ok(without_places(operations)));
    }
});

fn without_places(operations: Vec<(Operation, usize)>) -> Vec<Operation> {
    operations.into_iter().map(|(operation, _)| operation).collect()
}
