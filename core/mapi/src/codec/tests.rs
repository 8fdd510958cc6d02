use super::*;

/// One value of every type, and edge values.
fn every_value() -> Vec<PropValue> {
    use PropValue::*;
    vec![
        Null,
        Integer16(i16::MIN),
        Integer16(-1),
        Integer32(i32::MAX),
        Integer32(i32::MIN),
        Integer64(i64::MIN),
        Integer64(i64::MAX),
        Floating32(1.5),
        Floating64(-2.25),
        Currency(123_4567),
        FloatingTime(36_526.5),
        ErrorCode(0x8004_010f),
        Boolean(true),
        Boolean(false),
        String(std::string::String::new()),
        String("Grüße\u{0}∞".into()),
        Time(FileTime(u64::MAX)),
        Guid(crate::Guid([7; 16])),
        ServerId(vec![1]),
        Restriction(vec![2, 0]),
        RuleAction(vec![3; 300]),
        Binary(vec![0xff; 70_000]),
        Object(vec![]),
        MultipleInteger16(vec![1, -1]),
        MultipleInteger32(vec![]),
        MultipleFloating32(vec![0.0]),
        MultipleFloating64(vec![1.0, 2.0]),
        MultipleCurrency(vec![5]),
        MultipleFloatingTime(vec![6.0]),
        MultipleInteger64(vec![i64::MIN]),
        MultipleString(vec![std::string::String::new(), "b".into()]),
        MultipleTime(vec![FileTime(1), FileTime(2)]),
        MultipleGuid(vec![crate::Guid([9; 16])]),
        MultipleBinary(vec![vec![], vec![1, 2]]),
    ]
}

fn bag_of_everything() -> PropertyBag {
    // Gaps of one and more, both ends of the id space.
    every_value()
        .into_iter()
        .enumerate()
        .map(|(at, value)| {
            (
                PropTag::new(if at == 33 { 0xffff } else { (at * at) as u16 }, value.kind()),
                value,
            )
        })
        .collect()
}

#[test]
fn every_type_round_trips() {
    let bag = bag_of_everything();
    let bytes = encode_bag(&bag);
    assert_eq!(decode_bag(&bytes), Ok(bag.clone()));
    for (tag, value) in bag.iter() {
        assert_eq!(
            get_from_encoded(&bytes, tag).as_ref(),
            Ok(&Some(value.clone())),
            "{tag:?}"
        );
    }
    assert_eq!(get_from_encoded(&bytes, PropTag(0x0002_0003)), Ok(None));
    assert_eq!(get_from_encoded(&bytes, PropTag(0xfffe_0003)), Ok(None));
}

#[test]
fn a_bag_is_compact() {
    assert_eq!(encode_bag(&PropertyBag::new()), []);
    let bag: PropertyBag = [
        (PropTag(0x0037_001f), PropValue::String("Hi".into())),
        (PropTag(0x0e07_0003), PropValue::Integer32(1)),
        (PropTag(0x0e08_0003), PropValue::Integer32(-1)),
    ]
    .into_iter()
    .collect();
    // Id 37, string of two bytes; id 0E07 = 37 + 1 + 0DCF; the next id.
    assert_eq!(
        encode_bag(&bag),
        [0x37, 0x1f, 2, b'H', b'i', 0xcf, 0x1b, 3, 2, 0, 3, 1]
    );
}

#[test]
fn a_tag_of_another_type_keeps_it() {
    let tag = PropTag::new(0x37, PropType::STRING8);
    let bag: PropertyBag = [(tag, PropValue::String("x".into()))].into_iter().collect();
    let bytes = encode_bag(&bag);
    assert_eq!(bytes, [0x37, 0x7f, 0x1e, 0x1f, 1, b'x']);
    assert_eq!(decode_bag(&bytes), Ok(bag));
    assert_eq!(
        decode_bag(&[0x37, 0x7f, 0x1f, 0x1f, 0]),
        Err(CodecError::Invalid("property type"))
    );
}

#[test]
fn lists_round_trip() {
    let bags = vec![bag_of_everything(), PropertyBag::new(), bag_of_everything()];
    assert_eq!(decode_bags(&encode_bags(&bags)), Ok(bags));
    assert_eq!(decode_bags(&encode_bags(&[])), Ok(vec![]));
}

#[test]
fn malformed_bags_are_refused() {
    let invalid = |what| Err(CodecError::Invalid(what));
    let truncated = |what| Err(CodecError::Truncated(what));
    assert_eq!(decode_bag(&[0x37]), truncated("property type"));
    assert_eq!(decode_bag(&[0x37, 0x77]), invalid("property type"));
    assert_eq!(
        decode_bag(&[0x37, 0x8b, 0]),
        invalid("property type"),
        "no multi-valued boolean"
    );
    assert_eq!(
        decode_bag(&[0xff, 0xff, 0x04, 1]),
        invalid("property id"),
        "over 16 bits"
    );
    assert_eq!(
        decode_bag(&[0xff, 0xff, 0x03, 1, 0, 1]),
        invalid("property id"),
        "past the last id"
    );
    assert_eq!(decode_bag(&[0x37, 0x0b, 2]), invalid("boolean"));
    assert_eq!(decode_bag(&[0x37, 0x1f, 1, 0xff]), invalid("UTF-8"));
    assert_eq!(decode_bag(&[0x37, 0x1f, 5, b'a']), truncated("property value"));
    assert_eq!(
        decode_bag(&[0x37, 0x22, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        truncated("property value")
    );
    assert_eq!(
        decode_bag(&[0x37, 2, 0x80, 0x80, 0x04]),
        invalid("integer"),
        "over 16 bits"
    );
    assert_eq!(
        decode_bag(&[0x37, 0x83, 3, 0, 0, 0]),
        truncated("property value"),
        "three of four bytes"
    );
    assert_eq!(
        decode_bag(&[0x37, 0x9f, 2, 5, 0]),
        truncated("property value"),
        "inner length over the outer"
    );
}

#[test]
fn malformed_lists_are_refused() {
    assert_eq!(decode_bags(&[]), Err(CodecError::Truncated("list of bags")));
    assert_eq!(decode_bags(&[2, 0]), Err(CodecError::Truncated("list of bags")));
    assert_eq!(
        decode_bags(&[1, 0, 0]),
        Err(CodecError::TrailingBytes("list of bags"))
    );
    let mut too_many = Vec::new();
    write_varint(&mut too_many, MAX_BAGS as u64 + 1);
    assert_eq!(decode_bags(&too_many), Err(CodecError::OverLimit("bags")));
    // As many as the limit are counted, but nothing is reserved that the bytes could not hold.
    let mut allowed = Vec::new();
    write_varint(&mut allowed, MAX_BAGS as u64);
    assert_eq!(decode_bags(&allowed), Err(CodecError::Truncated("list of bags")));
}

/// Every truncation and every changed byte either fails or yields a bag that encodes to the same bytes:
/// there is one form for every bag.
#[test]
fn damage_is_refused_or_canonical() {
    let bag: PropertyBag = every_value()
        .into_iter()
        .filter(|value| !matches!(value, PropValue::Binary(_) | PropValue::RuleAction(_)))
        .enumerate()
        .map(|(at, value)| (PropTag::new((at * at) as u16, value.kind()), value))
        .collect();
    let whole = encode_bag(&bag);
    let check = |bytes: &[u8]| {
        if let Ok(bag) = decode_bag(bytes) {
            assert_eq!(encode_bag(&bag), bytes);
        }
    };
    for at in 0..whole.len() {
        check(&whole[..at]);
        for change in [1, 0x10, 0x7f, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            check(&damaged);
        }
    }
}
