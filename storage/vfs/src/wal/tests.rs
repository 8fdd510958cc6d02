use super::*;

fn writer(file: &File) -> io::Result<WalWriter> {
    WalWriter::of(file, file.metadata()?.len())
}

fn frame(commit: u32, fill: u8) -> (Vec<u8>, Vec<u8>) {
    let mut header = vec![fill; FRAME_HEADER_BYTES];
    header[COMMIT_FIELD].copy_from_slice(&commit.to_be_bytes());
    (header, vec![fill; 4096])
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; 40_000];
    let read = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(read);
    bytes
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

/// A file with an empty WAL, which is written past the page cache.
fn owing() -> (tempfile::NamedTempFile, File, WalWriter, Arc<Owed>) {
    // Not in memory: its file system may not write directly.
    let path = tempfile::NamedTempFile::new_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")).unwrap();
    let file = File::options().read(true).write(true).open(path.path()).unwrap();
    file.write_all_at(&[0; EMPTY_BYTES as usize], 0).unwrap();
    let wal = writer(&file).unwrap();
    let owed = Owed::open(path.path())
        .unwrap()
        .expect("a file system with O_DIRECT");
    wal.owe(Arc::clone(&owed));
    (path, file, wal, owed)
}

/// As if it were long ago that it was emptied.
fn not_of_late(wal: &WalWriter) {
    wal.emptied_at.set(None);
}

/// What the runtime does for a sync.
fn pay(path: &tempfile::NamedTempFile, write: Option<owed::OwedWrite>) {
    let Some(write) = write else { return };
    let file = File::options().write(true).open(path.path()).unwrap();
    let bytes = [&write.bytes[write.range.clone()], &vec![0; write.zeros]].concat();
    assert!(bytes.len().is_multiple_of(BLOCK_BYTES as usize));
    assert!(write.offset.is_multiple_of(BLOCK_BYTES));
    file.write_all_at(&bytes, write.offset).unwrap();
}

#[test]
fn a_commit_is_owed_in_blocks_that_the_file_has_and_a_spill_is_written() {
    let (path, file, wal, owed) = owing();
    wal.write(&file, &[9; HEADER_BYTES], 0).unwrap();
    let (header, page) = frame(1, 3);
    wal.write(&file, &header, 32).unwrap();
    wal.write(&file, &page, 56).unwrap();
    assert_eq!(wal.used(), 56 + 4096);
    assert_eq!(file.metadata().unwrap().len(), *GROWTH_BYTES.start());
    assert!(
        content(&file).iter().all(|&byte| byte == 0),
        "nothing is written yet"
    );
    assert!(!wal.is_durable());
    let mut found = [0; 4096];
    assert_eq!(wal.read(&mut found, 56), 0);
    assert_eq!(found, [3; 4096]);
    let write = owed.begin().unwrap();
    assert_eq!((write.offset, write.range.len() + write.zeros), (0, 128 * 1024));
    pay(&path, Some(write));
    owed.ended(true);
    assert!(wal.is_durable());
    assert_eq!(content(&file)[56..56 + 4096], [3; 4096]);

    // A part of a transaction that is read again before it is committed.
    let (header, page) = frame(0, 4);
    wal.write(&file, &header, 56 + 4096).unwrap();
    wal.write(&file, &page, 80 + 4096).unwrap();
    wal.flush(&file).unwrap();
    assert_eq!(content(&file)[80 + 4096..80 + 2 * 4096], [4; 4096]);
    assert!(!wal.is_durable());
    wal.sync(&file, || file.sync_data()).unwrap();
    assert!(wal.is_durable());
}

#[test]
fn an_emptied_wal_begins_with_the_first_commit() {
    let (path, file, wal, owed) = owing();
    for fill in 1..4 {
        wal.write(&file, &[fill; HEADER_BYTES], 0).unwrap();
        assert!(wal.only_header_is_new());
        let (header, page) = frame(1, fill);
        wal.write(&file, &header, 32).unwrap();
        wal.write(&file, &page, 56).unwrap();
        let write = owed.begin();
        assert_eq!(
            write.as_ref().unwrap().offset,
            0,
            "header and frames by one write"
        );
        pay(&path, write);
        owed.ended(true);
        assert_eq!(content(&file)[..HEADER_BYTES], [fill; HEADER_BYTES]);
        wal.empty(&file).unwrap();
        assert!(wal.is_durable());
        assert_eq!(content(&file)[..HEADER_BYTES], [0; HEADER_BYTES]);
        not_of_late(&wal);
    }
}

#[test]
fn a_busy_wal_goes_through_the_page_cache_until_it_is_so_no_more() {
    let (path, file, wal, owed) = owing();
    let commit = |fill: u8| {
        wal.write(&file, &[fill; HEADER_BYTES], 0).unwrap();
        let (header, page) = frame(1, fill);
        wal.write(&file, &header, 32).unwrap();
        wal.write(&file, &page, 56).unwrap();
        content(&file)[56] == fill
    };
    assert!(!commit(1), "it is owed");
    pay(&path, owed.begin());
    owed.ended(true);
    wal.empty(&file).unwrap();
    wal.empty(&file).unwrap();
    assert!(!commit(2), "it was emptied once, and then held nothing");
    pay(&path, owed.begin());
    owed.ended(true);
    wal.empty(&file).unwrap();
    assert!(owed.begin().is_none());
    // No write is under way, so this need not wait for the sync.
    assert!(commit(3));
    owed.ended(true);
    assert!(!wal.is_durable(), "it was written after the sync began");
    assert!(owed.begin().is_none());
    owed.ended(true);
    assert!(wal.is_durable());
    not_of_late(&wal);
    wal.empty(&file).unwrap();
    assert!(!commit(4));
}

#[test]
fn whatever_is_written_in_whatever_order_can_be_read() {
    for past_cache in [false, true] {
        for seed in 0_u64..200 {
            write_and_read(seed, past_cache);
        }
    }
}

fn write_and_read(seed: u64, past_cache: bool) {
    let (path, file, wal, owed) = owing();
    let wal = if past_cache { wal } else { writer(&file).unwrap() };
    let mut writing: Option<Option<owed::OwedWrite>> = None;
    let mut expected: Vec<u8> = Vec::new();
    let mut state = seed * 2 + 1;
    let mut dice = move |sides: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    for step in 0..60_u8 {
        let pay = |writing: &mut Option<Option<owed::OwedWrite>>| {
            if let Some(write) = writing.take() {
                self::pay(&path, write);
                owed.ended(true);
            }
        };
        if past_cache && dice(3) == 0 {
            match writing {
                Some(_) => pay(&mut writing),
                None => writing = Some(owed.begin()),
            }
        }
        // Mostly at the end, now and then a frame again, now and then from the start.
        let frames = (expected.len().saturating_sub(HEADER_BYTES) / (FRAME_HEADER_BYTES + 4096)) as u64;
        let place = match dice(12) {
            0 if frames > 0 => Some(dice(frames)),
            1 => {
                // Outside of a coroutine nobody could wait for the write.
                pay(&mut writing);
                wal.empty(&file).unwrap();
                if dice(2) == 0 {
                    not_of_late(&wal);
                }
                expected.clear();
                continue;
            }
            _ => None,
        };
        let commit = dice(3) as u32;
        let flush = dice(2) == 0;
        let in_last = wal.used() % BLOCK_BYTES;
        let is_known = wal.last_block.borrow().len() as u64 == in_last;
        if place.is_some() || commit == 0 || flush || expected.is_empty() || !is_known {
            pay(&mut writing);
        }
        if expected.is_empty() {
            expected.extend_from_slice(&[step | 1; HEADER_BYTES]);
            wal.write(&file, &expected, 0).unwrap();
        }
        let at = place.map_or(expected.len(), |frame| {
            HEADER_BYTES + frame as usize * (FRAME_HEADER_BYTES + 4096)
        });
        let (header, page) = frame(commit, step | 1);
        wal.write(&file, &header, at as u64).unwrap();
        wal.write(&file, &page, (at + FRAME_HEADER_BYTES) as u64).unwrap();
        let bytes = [header, page].concat();
        expected.resize(expected.len().max(at + bytes.len()), 0);
        expected[at..at + bytes.len()].copy_from_slice(&bytes);
        if commit == 0 {
            // What is gathered is not asked for before it is flushed.
            wal.flush(&file).unwrap();
        }
        if flush {
            wal.flush(&file).unwrap();
        }
        assert_eq!(wal.used(), expected.len() as u64);
        let mut found = vec![7; expected.len()];
        let of_file = wal.read(&mut found, 0);
        file.read_exact_at(&mut found[..of_file], 0).unwrap();
        assert!(
            found == expected,
            "seed {seed}, step {step}, past the cache {past_cache}"
        );
        assert!(file.metadata().unwrap().len().is_multiple_of(BLOCK_BYTES));
    }
}
