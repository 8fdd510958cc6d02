use std::collections::BTreeSet;

use super::*;

fn read(bytes: &[u8]) -> Result<Vec<RangeInclusive<u64>>, CodecError> {
    let mut reader = Reader::new(bytes);
    let set = GlobSet::read(&mut reader)?;
    reader.finish(GLOBSET)?;
    Ok(set.ranges().collect())
}

fn encoded(set: &GlobSet) -> Vec<u8> {
    let mut out = Vec::new();
    set.encode(&mut out);
    out
}

/// Each command of MS-OXCFXICS 2.2.2.6 by itself.
#[test]
fn commands_decode() {
    assert_eq!(read(&[0]), Ok(vec![]));
    // Six bytes pushed are a value, and are off the stack again.
    assert_eq!(
        read(&[6, 0, 0, 0, 0, 1, 2, 6, 0, 0, 0, 0, 1, 4, 0]),
        Ok(vec![0x102..=0x102, 0x104..=0x104])
    );
    // Four and then two bytes; the pop takes the four away.
    assert_eq!(
        read(&[4, 0, 0, 0, 1, 2, 2, 3, 0x50, 0]),
        Ok(vec![0x1_0203..=0x1_0203])
    );
    // A bitmask: its start, and a bit for each of the eight values after it.
    assert_eq!(
        read(&[5, 0, 0, 0, 0, 1, 0x42, 0x10, 0b1000_0101, 0x50, 0]),
        Ok(vec![0x110..=0x111, 0x113..=0x113, 0x118..=0x118])
    );
    // A range with and without bytes on the stack.
    assert_eq!(
        read(&[0x52, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0]),
        Ok(vec![1..=0x200])
    );
    assert_eq!(
        read(&[3, 0, 0, 1, 0x52, 0, 0, 1, 0, 2, 0, 0x50, 0]),
        Ok(vec![0x100_0001..=0x100_0200])
    );
    // Bytes left on the stack at the end are no error.
    assert_eq!(read(&[5, 0, 0, 0, 0, 1, 1, 7, 0]), Ok(vec![0x107..=0x107]));
}

#[test]
fn malformed_sets_are_refused() {
    assert_eq!(read(&[]), Err(CodecError::Truncated(GLOBSET)));
    assert_eq!(read(&[3, 0, 0]), Err(CodecError::Truncated(GLOBSET)));
    let invalid = Err(CodecError::Invalid(GLOBSET));
    assert_eq!(read(&[7, 0]), invalid, "no such command");
    assert_eq!(read(&[0x50, 0]), invalid, "nothing to pop");
    assert_eq!(
        read(&[4, 0, 0, 0, 0, 3, 0, 0, 0, 0]),
        invalid,
        "seven bytes on the stack"
    );
    assert_eq!(
        read(&[4, 0, 0, 0, 0, 0x42, 1, 1, 0]),
        invalid,
        "a bitmask needs five bytes"
    );
    assert_eq!(
        read(&[5, 0, 0, 0, 0, 0, 0x42, 0xff, 1, 0]),
        invalid,
        "a bitmask past its byte"
    );
    assert_eq!(read(&[5, 0, 0, 0, 0, 0, 0x52, 2, 1, 0]), invalid, "low over high");
    assert_eq!(IdSet::<u16>::decode(&[1]), Err(CodecError::Truncated(IDSET)));
}

#[test]
fn limits_hold() {
    let mut bytes = vec![5, 0, 0, 0, 0, 0];
    bytes.extend((0..=MAX_RANGES).flat_map(|_| [1, 1]));
    bytes.push(0);
    assert_eq!(read(&bytes), Err(CodecError::OverLimit(GLOBSET)));
    let replicas: Vec<u8> = (0..=MAX_REPLICAS as u16)
        .flat_map(|at| [at as u8, (at >> 8) as u8, 0])
        .collect();
    assert_eq!(IdSet::<u16>::decode(&replicas), Err(CodecError::OverLimit(IDSET)));
}

#[test]
fn encoding_uses_the_commands() {
    let set: GlobSet = [0x102].into_iter().collect();
    assert_eq!(encoded(&set), [6, 0, 0, 0, 0, 1, 2, 0]);
    // Everything up to a change number, as state properties have it.
    let mut set = GlobSet::new();
    set.insert_range(1..=0x1234);
    assert_eq!(encoded(&set), [4, 0, 0, 0, 0, 0x52, 0, 1, 0x12, 0x34, 0x50, 0]);
    // Values near each other share five bytes and one bitmask.
    let set: GlobSet = [0x110, 0x111, 0x113, 0x118].into_iter().collect();
    assert_eq!(
        encoded(&set),
        [5, 0, 0, 0, 0, 1, 0x42, 0x10, 0b1000_0101, 0x50, 0]
    );
}

#[test]
fn id_sets_round_trip() {
    let mut by_guid = IdSet::new();
    by_guid.insert(Guid([2; 16]), 5);
    by_guid.insert_range(Guid([1; 16]), 1..=1000);
    let bytes = by_guid.encode();
    assert_eq!(bytes[..16], [1; 16], "replicas ascend");
    assert_eq!(IdSet::decode(&bytes), Ok(by_guid.clone()));
    let by_id = by_guid.rename(|guid| Some(u16::from(guid.0[0])));
    assert!(by_id.contains(1, 1000) && by_id.contains(2, 5) && !by_id.contains(2, 6));
    assert_eq!(IdSet::decode(&by_id.encode()), Ok(by_id));
}

/// Random operations on a set and on a `BTreeSet`; after each, the same content, and it round-trips.
#[test]
fn sets_agree_with_a_model() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..60 {
        let (mut set, mut model) = (GlobSet::new(), BTreeSet::new());
        let base = [0, 0xff00, 0x00ff_ff00, 0xffff_ffff_fe00][random(4) as usize];
        for _ in 0..40 {
            let low = base + random(400);
            let high = low + random(30) * random(2);
            match random(4) {
                0 => {
                    set.remove_range(low..=high);
                    model.retain(|value| !(low..=high).contains(value));
                }
                1 => {
                    let other: GlobSet = (low..=high).step_by(2).collect();
                    set.subtract(&other);
                    model.retain(|&value| !other.contains(value));
                }
                _ => {
                    set.insert_range(low..=high);
                    model.extend(low..=high);
                }
            }
            assert!(set.iter().eq(model.iter().copied()));
            assert_eq!(set.len(), model.len() as u64);
            let bytes = encoded(&set);
            assert_eq!(
                GlobSet::read(&mut Reader::new(&bytes)),
                Ok(set.clone()),
                "{bytes:x?}"
            );
            let probe = base + random(450);
            assert_eq!(set.contains(probe), model.contains(&probe));
        }
        let other: GlobSet = (0..40).map(|_| base + random(400)).collect();
        let common = set.intersection(&other);
        assert!(
            common
                .iter()
                .eq(model.iter().copied().filter(|&value| other.contains(value)))
        );
        let mut all = set.clone();
        all.union_with(&other);
        assert_eq!(all.len() + common.len(), set.len() + other.len());
    }
}
