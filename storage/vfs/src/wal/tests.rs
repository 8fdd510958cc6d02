use super::*;
use crate::testing::{content, dice};

fn writer(file: &File) -> io::Result<WalWriter> {
    WalWriter::of(file, file.metadata()?.len())
}

fn frame(commit: u32, fill: u8) -> (Vec<u8>, Vec<u8>) {
    let mut header = vec![fill; FRAME_HEADER_BYTES];
    header[COMMIT_FIELD].copy_from_slice(&commit.to_be_bytes());
    (header, vec![fill; 4096])
}

#[test]
fn frames_are_written_at_the_commit_in_order() {
    let file = tempfile::tempfile().unwrap();
    let wal = writer(&file).unwrap();
    let mut expected = vec![9; 32];
    wal.write(&file, &expected, 0).unwrap();
    assert_eq!(
        content(&file)[..32],
        expected,
        "the header of the file is not held back"
    );
    for (index, commit) in [0, 0, 5].into_iter().enumerate() {
        let (header, page) = frame(commit, index as u8 + 1);
        for piece in [header, page] {
            wal.write(&file, &piece, expected.len() as u64).unwrap();
            expected.extend_from_slice(&piece);
        }
        let on_disk = content(&file)[32..expected.len()].iter().any(|&byte| byte != 0);
        assert_eq!(on_disk, commit != 0);
    }
    assert_eq!(content(&file)[..expected.len()], expected);
    assert_eq!(file.metadata().unwrap().len(), *GROWTH_BYTES.start());
    assert_eq!(wal.used(), expected.len() as u64);
}

#[test]
fn a_write_elsewhere_comes_after_what_was_gathered() {
    let file = tempfile::tempfile().unwrap();
    let wal = writer(&file).unwrap();
    let (header, page) = frame(0, 7);
    wal.write(&file, &header, 32).unwrap();
    wal.write(&file, &page, 32 + 24).unwrap();
    // A transaction that was rolled back: the next one writes over its frames.
    let (header, page) = frame(3, 8);
    wal.write(&file, &header, 32).unwrap();
    wal.write(&file, &page, 32 + 24).unwrap();
    assert_eq!(content(&file)[56..56 + 4096], page);
}

#[test]
fn a_failed_write_is_told_and_forgotten() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let file = File::open(path.path()).unwrap();
    let wal = writer(&file).unwrap();
    let (header, page) = frame(1, 1);
    wal.write(&file, &header, 32).unwrap();
    assert!(wal.write(&file, &page, 56).is_err());
    assert!(wal.flush(&file).is_ok());
}

#[test]
fn an_emptied_wal_keeps_its_blocks_and_says_that_it_holds_nothing() {
    let file = tempfile::tempfile().unwrap();
    let wal = writer(&file).unwrap();
    assert!(wal.only_header_is_new(), "a new file has no old frames");
    wal.write(&file, &[9; HEADER_BYTES], 0).unwrap();
    assert!(wal.only_header_is_new());
    let (header, page) = frame(1, 3);
    wal.write(&file, &header, 32).unwrap();
    wal.write(&file, &page, 56).unwrap();
    assert!(!wal.only_header_is_new());
    let length = file.metadata().unwrap().len();
    wal.empty(&file).unwrap();
    assert_eq!((wal.used(), file.metadata().unwrap().len()), (0, length));
    assert_eq!(content(&file)[..HEADER_BYTES], [0; HEADER_BYTES]);
    assert!(wal.only_header_is_new());

    // As another process finds it: it can't know that the zeros are durable.
    let found = writer(&file).unwrap();
    assert_eq!(found.used(), 0);
    assert!(!found.only_header_is_new());
    wal.close(&file);
    assert_eq!(file.metadata().unwrap().len(), EMPTY_BYTES);
    assert!(writer(&file).unwrap().only_header_is_new());
}

#[test]
fn a_long_wal_gives_blocks_back_when_it_is_emptied() {
    let file = tempfile::tempfile().unwrap();
    let wal = writer(&file).unwrap();
    let (header, page) = frame(1, 3);
    wal.write(&file, &header, KEPT_BYTES).unwrap();
    wal.write(&file, &page, KEPT_BYTES + 24).unwrap();
    wal.empty(&file).unwrap();
    assert_eq!(file.metadata().unwrap().len(), KEPT_BYTES);
}

#[test]
fn within_blocks_that_were_written_the_file_does_not_grow() {
    let file = tempfile::tempfile().unwrap();
    let wal = writer(&file).unwrap();
    let mut at = 32;
    for number in 0..100 {
        let (header, page) = frame(1, number);
        wal.write(&file, &header, at).unwrap();
        wal.write(&file, &page, at + 24).unwrap();
        at += 24 + 4096;
        let length = file.metadata().unwrap().len();
        assert!(length >= at && length.is_multiple_of(*GROWTH_BYTES.start()));
    }
}

#[test]
fn whatever_is_written_in_whatever_order_can_be_read() {
    for seed in 0_u64..200 {
        let file = tempfile::tempfile().unwrap();
        let wal = writer(&file).unwrap();
        let mut expected: Vec<u8> = Vec::new();
        let mut dice = dice(seed * 2 + 1);
        for step in 0..60_u8 {
            // Mostly at the end, now and then a frame again, now and then from the start.
            let frames = (expected.len().saturating_sub(HEADER_BYTES) / (FRAME_HEADER_BYTES + 4096)) as u64;
            let place = match dice(12) {
                0 if frames > 0 => Some(dice(frames)),
                1 => {
                    wal.empty(&file).unwrap();
                    expected.clear();
                    continue;
                }
                _ => None,
            };
            if expected.is_empty() {
                expected.extend_from_slice(&[step | 1; HEADER_BYTES]);
                wal.write(&file, &expected, 0).unwrap();
            }
            let at = place.map_or(expected.len(), |frame| {
                HEADER_BYTES + frame as usize * (FRAME_HEADER_BYTES + 4096)
            });
            let (header, page) = frame(dice(3) as u32, step | 1);
            wal.write(&file, &header, at as u64).unwrap();
            wal.write(&file, &page, (at + FRAME_HEADER_BYTES) as u64).unwrap();
            let bytes = [header, page].concat();
            expected.resize(expected.len().max(at + bytes.len()), 0);
            expected[at..at + bytes.len()].copy_from_slice(&bytes);
            if dice(2) == 0 {
                wal.flush(&file).unwrap();
                assert_eq!(wal.used(), expected.len() as u64);
                let mut found = vec![0; expected.len()];
                file.read_exact_at(&mut found, 0).unwrap();
                assert!(found == expected, "seed {seed}, step {step}");
                assert!(file.metadata().unwrap().len().is_multiple_of(BLOCK_BYTES));
            }
        }
    }
}
