use std::collections::BTreeSet;

use super::*;
use crate::disk::Disk;

const SEEDS: u64 = 300;

fn disk() -> Disk {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old"), "old content").unwrap();
    fs::create_dir(folder.path().join("cid")).unwrap();
    fs::create_dir(folder.path().join("tmp")).unwrap();
    Disk::load(folder.path()).unwrap()
}

fn node(disk: &Disk, folder: Node, name: &str) -> Node {
    disk.lookup(folder, OsStr::new(name)).unwrap()
}

fn sync(disk: &Disk, node: Node) {
    disk.synced(node, disk.now());
}

/// Every image that some seeds give of the disk now.
fn images(disk: &Disk, order: Order, lie: Lie) -> BTreeSet<Tree> {
    let recording = disk.recording();
    (0..SEEDS)
        .map(|seed| {
            let at = recording.changes.len();
            after(&recording, Loss { at, seed, order, lie })
        })
        .collect()
}

fn contents(images: &BTreeSet<Tree>, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    let path = Path::new(path);
    images
        .iter()
        .map(|tree| tree.get(path).cloned().flatten())
        .collect()
}

const ORDERS: [Order; 2] = [Order::Posix, Order::Journal];

#[test]
fn an_untouched_disk_stays_as_it_is() {
    for order in ORDERS {
        let images = images(&disk(), order, Lie::None);
        assert_eq!(images.len(), 1);
        assert_eq!(
            contents(&images, "old"),
            BTreeSet::from([Some(b"old content".to_vec())])
        );
    }
}

#[test]
fn what_was_synced_is_there_and_what_was_not_may_be() {
    for order in ORDERS {
        let disk = disk();
        let old = node(&disk, ROOT, "old");
        disk.write(old, 0, b"NEW").unwrap();
        let unsynced = contents(&images(&disk, order, Lie::None), "old");
        let both = BTreeSet::from([Some(b"old content".to_vec()), Some(b"NEW content".to_vec())]);
        assert_eq!(unsynced, both);
        sync(&disk, old);
        let synced = contents(&images(&disk, order, Lie::None), "old");
        assert_eq!(synced, BTreeSet::from([Some(b"NEW content".to_vec())]));
        let lies = contents(&images(&disk, order, Lie::AllSyncs), "old");
        assert_eq!(lies, both, "a sync that is not recorded covers nothing");
    }
}

#[test]
fn a_sync_covers_nothing_that_came_while_it_ran() {
    for order in ORDERS {
        let disk = disk();
        let old = node(&disk, ROOT, "old");
        let began = disk.now();
        disk.write(old, 0, b"NEW").unwrap();
        disk.synced(old, began);
        assert_eq!(contents(&images(&disk, order, Lie::None), "old").len(), 2);
    }
}

#[test]
fn a_sync_after_one_that_failed_does_not_bring_back_what_that_lost() {
    for order in ORDERS {
        let disk = disk();
        let old = node(&disk, ROOT, "old");
        disk.write(old, 0, b"A").unwrap();
        sync(&disk, old);
        disk.write(old, 1, b"B").unwrap();
        disk.sync_failed(old, disk.now());
        disk.write(old, 2, b"C").unwrap();
        sync(&disk, old);
        let found = contents(&images(&disk, order, Lie::None), "old");
        let expected = ["ABC content", "AlC content"].map(|text| Some(text.as_bytes().to_vec()));
        assert_eq!(found, BTreeSet::from(expected));
    }
}

#[test]
fn large_writes_are_torn_at_sectors_and_come_out_of_order() {
    let disk = disk();
    let old = node(&disk, ROOT, "old");
    disk.resize(old, 0).unwrap();
    sync(&disk, old);
    disk.write(old, 0, &[1; 8192]).unwrap();
    disk.write(old, 8192, &[2; 8192]).unwrap();
    let found = contents(&images(&disk, Order::Posix, Lie::None), "old");
    let data: Vec<Vec<u8>> = found.into_iter().map(Option::unwrap).collect();
    let has = |data: &Vec<u8>, byte| data.contains(&byte);
    assert!(
        data.iter().any(|d| has(d, 2) && !has(d, 1)),
        "the second without the first"
    );
    assert!(data.iter().any(|d| has(d, 1) && !has(d, 2)));
    assert!(data.iter().any(Vec::is_empty));
    assert!(data.iter().any(|d| d.len() == 16384 && !has(d, 0)));
    for data in &data {
        for sector in data.chunks(512) {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "torn inside a sector"
            );
        }
    }
}

#[test]
fn a_name_needs_the_sync_of_its_folder() {
    let disk = disk();
    let (tmp, cid) = (node(&disk, ROOT, "tmp"), node(&disk, ROOT, "cid"));
    let file = disk.create(tmp, OsStr::new("f"), false).unwrap();
    disk.write(file, 0, b"x").unwrap();
    sync(&disk, file);
    disk.rename(tmp, OsStr::new("f"), cid, OsStr::new("g")).unwrap();
    let whole = Some(b"x".to_vec());
    for order in ORDERS {
        let found = contents(&images(&disk, order, Lie::None), "cid/g");
        assert_eq!(found, BTreeSet::from([None, whole.clone()]), "{order:?}");
    }
    sync(&disk, cid);
    for order in ORDERS {
        let found = contents(&images(&disk, order, Lie::None), "cid/g");
        assert_eq!(found, BTreeSet::from([whole.clone()]), "{order:?}");
        let lies = contents(&images(&disk, order, Lie::ContentSyncs), "cid/g");
        assert!(lies.len() > 1, "{order:?}");
    }
}

#[test]
fn a_journal_is_written_in_order_and_by_syncs_that_need_it() {
    let disk = disk();
    let (tmp, cid, old) = (
        node(&disk, ROOT, "tmp"),
        node(&disk, ROOT, "cid"),
        node(&disk, ROOT, "old"),
    );
    disk.create(tmp, OsStr::new("first"), false).unwrap();
    disk.create(cid, OsStr::new("second"), false).unwrap();
    // A write inside of a file: its sync leaves the journal alone.
    disk.write(old, 0, b"x").unwrap();
    sync(&disk, old);
    let images_before = images(&disk, Order::Journal, Lie::None);
    let is_there = |tree: &Tree, path: &str| tree.contains_key(Path::new(path));
    assert!(images_before.iter().any(|tree| !is_there(tree, "tmp/first")));
    assert!(
        images_before
            .iter()
            .all(|tree| is_there(tree, "tmp/first") || !is_there(tree, "cid/second"))
    );
    // A file that grew: its sync writes what came before.
    disk.resize(old, 100).unwrap();
    sync(&disk, old);
    let images_after = images(&disk, Order::Journal, Lie::None);
    assert!(images_after.iter().all(|tree| is_there(tree, "cid/second")));
}

#[test]
fn a_cut_that_is_not_durable_hides_what_was_written_behind_it() {
    let disk = disk();
    let old = node(&disk, ROOT, "old");
    disk.resize(old, 0).unwrap();
    disk.write(old, 0, b"fresh").unwrap();
    let found = contents(&images(&disk, Order::Journal, Lie::None), "old");
    for data in found.into_iter().flatten() {
        assert!(
            b"old content".starts_with(&data) || data == b"fresh" || data.iter().all(|b| *b == 0),
            "{data:?}"
        );
    }
}

#[test]
fn nothing_of_the_future_is_seen_and_images_can_be_written() {
    let disk = disk();
    let before = disk.now();
    disk.create(ROOT, OsStr::new("later"), false).unwrap();
    let recording = disk.recording();
    let loss = Loss {
        at: before,
        seed: 1,
        order: Order::Posix,
        lie: Lie::None,
    };
    let tree = after(&recording, loss);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("left over"), "").unwrap();
    write(&tree, folder.path()).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["cid", "old", "tmp"]);
    assert_eq!(fs::read(folder.path().join("old")).unwrap(), b"old content");
}
