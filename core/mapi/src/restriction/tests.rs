use std::borrow::Cow;

use super::*;
use crate::{FileTime, PropType, PropertyBag, tags};

fn text(tag: PropTag, value: &str) -> TaggedValue {
    TaggedValue {
        tag,
        value: PropValue::String(value.into()),
    }
}

fn number(tag: PropTag, value: i32) -> TaggedValue {
    TaggedValue {
        tag,
        value: PropValue::Integer32(value),
    }
}

fn content(low: u16, high: u16, value: &str) -> Restriction {
    let fuzzy = FuzzyLevel { low, high };
    Restriction::Content {
        fuzzy,
        tag: tags::SUBJECT,
        value: text(tags::SUBJECT, value),
    }
}

fn property(relation: Relation, tag: PropTag, value: PropValue) -> Restriction {
    Restriction::Property {
        relation,
        tag,
        value: TaggedValue { tag, value },
    }
}

fn every_type() -> Restriction {
    let exist = || Box::new(Restriction::Exist { tag: tags::SUBJECT });
    Restriction::And(vec![
        Restriction::Or(vec![content(1, 1, "Grüße"), *exist()]),
        Restriction::Not(exist()),
        property(
            Relation::GreaterOrEqual,
            tags::MESSAGE_DELIVERY_TIME,
            PropValue::Time(FileTime(5)),
        ),
        property(
            Relation::MemberOf,
            tags::SENDER_ENTRY_ID,
            PropValue::Binary(vec![1, 2]),
        ),
        Restriction::CompareProperties {
            relation: Relation::Equal,
            left: tags::SUBJECT,
            right: tags::BODY,
        },
        Restriction::Bitmask {
            nonzero: true,
            tag: tags::MESSAGE_FLAGS,
            mask: 0x10,
        },
        Restriction::Size {
            relation: Relation::Less,
            tag: tags::BODY,
            size: 100,
        },
        Restriction::SubObject {
            table: SubObjectTable::Recipients,
            restriction: exist(),
        },
        Restriction::SubObject {
            table: SubObjectTable::Attachments,
            restriction: exist(),
        },
        Restriction::Comment {
            values: vec![number(PropTag(0x6001_0003), 1)],
            restriction: Some(exist()),
        },
        Restriction::Annotation {
            values: vec![],
            restriction: None,
        },
        Restriction::Count {
            count: 3,
            restriction: exist(),
        },
        Restriction::Always,
    ])
}

#[test]
fn every_type_round_trips() {
    for format in [WireFormat::ROP, WireFormat::EXTENDED_RULE] {
        let bytes = every_type().encode(format).unwrap();
        assert_eq!(Restriction::decode(&bytes, format), Ok(every_type()));
        for end in 1..bytes.len() {
            assert!(
                Restriction::decode(&bytes[..end], format).is_err(),
                "cut at {end}"
            );
        }
    }
    assert_eq!(Restriction::decode(&[], WireFormat::ROP), Ok(Restriction::Always));
}

/// The structures of MS-OXCDATA 2.12 by their bytes.
#[test]
fn restrictions_have_their_wire_form() {
    let decode = |bytes: &[u8]| Restriction::decode(bytes, WireFormat::ROP).unwrap();
    assert_eq!(
        decode(&[8, 0x1f, 0, 0x37, 0]),
        Restriction::Exist { tag: tags::SUBJECT }
    );
    assert_eq!(
        decode(&[6, 1, 3, 0, 7, 0x0e, 1, 0, 0, 0]),
        Restriction::Bitmask {
            nonzero: true,
            tag: tags::MESSAGE_FLAGS,
            mask: 1
        }
    );
    // RES_AND of one RES_CONTENT (prefix, ignoring case) of PidTagMessageClass with "IPM".
    let bytes = [
        &[0, 1, 0, 3, 2, 0, 1, 0, 0x1f, 0, 0x1a, 0, 0x1f, 0, 0x1a, 0][..],
        &[b'I', 0, b'P', 0, b'M', 0, 0, 0],
    ]
    .concat();
    assert_eq!(
        decode(&bytes),
        Restriction::And(vec![Restriction::Content {
            fuzzy: FuzzyLevel {
                low: FuzzyLevel::PREFIX,
                high: FuzzyLevel::IGNORE_CASE
            },
            tag: tags::MESSAGE_CLASS,
            value: text(tags::MESSAGE_CLASS, "IPM"),
        }])
    );
}

#[test]
fn malformed_restrictions_are_refused() {
    let decode = |bytes: &[u8]| Restriction::decode(bytes, WireFormat::ROP);
    assert_eq!(decode(&[0x0d]), Err(CodecError::Invalid("restriction type")));
    assert_eq!(
        decode(&[7, 7, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(CodecError::Invalid("relation"))
    );
    assert_eq!(
        decode(&[6, 2, 3, 0, 7, 0x0e, 1, 0, 0, 0]),
        Err(CodecError::Invalid("bitmask relation"))
    );
    assert_eq!(
        decode(&[9, 0x0d, 0, 0x37, 0, 0xff]),
        Err(CodecError::Invalid("sub-object"))
    );
    assert_eq!(
        decode(&[8, 0x1f, 0, 0x37, 0, 0]),
        Err(CodecError::TrailingBytes(RESTRICTION))
    );
    let nested = [&[4, 4, 0xfd, 0, 1, 0x60, 0xfd, 0, 1, 0x60][..], &[0xff]].concat();
    assert_eq!(
        decode(&nested),
        Err(CodecError::Invalid("value in a restriction"))
    );
}

#[test]
fn depth_and_size_are_limited() {
    let deep = |depth: usize| [vec![NOT; depth - 1], vec![ALWAYS]].concat();
    assert!(Restriction::decode(&deep(MAX_DEPTH), WireFormat::ROP).is_ok());
    assert_eq!(
        Restriction::decode(&deep(MAX_DEPTH + 1), WireFormat::ROP),
        Err(CodecError::OverLimit("depth of a restriction"))
    );
    let wide = |count: usize| [&[AND][..], &(count as u16).to_le_bytes(), &vec![ALWAYS; count]].concat();
    assert!(Restriction::decode(&wide(MAX_NODES - 1), WireFormat::ROP).is_ok());
    assert_eq!(
        Restriction::decode(&wide(MAX_NODES), WireFormat::ROP),
        Err(CodecError::OverLimit("size of a restriction"))
    );
}

fn holds(restriction: &Restriction, bag: &PropertyBag) -> bool {
    let Ok(matched) = restriction.matches(bag);
    matched
}

#[test]
fn content_follows_the_fuzzy_level() {
    let bag: PropertyBag = [(tags::SUBJECT, PropValue::String("Re: Crème Brûlée today".into()))]
        .into_iter()
        .collect();
    let matched = |low, high, value| holds(&content(low, high, value), &bag);
    let (full, sub, prefix) = (FuzzyLevel::FULL_STRING, FuzzyLevel::SUBSTRING, FuzzyLevel::PREFIX);
    assert!(matched(full, 0, "Re: Crème Brûlée today"));
    assert!(!matched(full, 0, "re: crème brûlée today"));
    assert!(matched(full, FuzzyLevel::IGNORE_CASE, "re: CRÈME brûlée today"));
    assert!(matched(full, FuzzyLevel::LOOSE, "RE: creme brulee today"));
    assert!(matched(sub, FuzzyLevel::IGNORE_NONSPACE, "Brulee"));
    assert!(!matched(sub, FuzzyLevel::IGNORE_NONSPACE, "brulee"));
    assert!(matched(prefix, 0, "Re:") && !matched(prefix, 0, "Crème"));
    assert!(matched(
        FuzzyLevel::PREFIX_ON_ANY_WORD,
        FuzzyLevel::IGNORE_CASE,
        "cr"
    ));
    assert!(!matched(
        FuzzyLevel::PREFIX_ON_ANY_WORD,
        FuzzyLevel::IGNORE_CASE,
        "rème"
    ));
    assert!(matched(
        FuzzyLevel::PHRASE_MATCH,
        FuzzyLevel::LOOSE,
        "brulee today"
    ));
    assert!(!matched(
        FuzzyLevel::PHRASE_MATCH,
        FuzzyLevel::LOOSE,
        "brulee tod"
    ));
    assert!(
        !holds(&content(sub, 0, ""), &PropertyBag::new()),
        "an absent property contains nothing"
    );
}

#[test]
fn relations_compare_values() {
    let tag = tags::MESSAGE_SIZE;
    let bag: PropertyBag = [
        (tag, PropValue::Integer32(10)),
        (tags::SUBJECT, PropValue::String("Abc".into())),
        (
            PropTag(0x8001_101f),
            PropValue::MultipleString(vec!["red".into(), "blue".into()]),
        ),
    ]
    .into_iter()
    .collect();
    let relations = |value: i32| {
        use Relation::*;
        [Less, LessOrEqual, Greater, GreaterOrEqual, Equal, NotEqual]
            .map(|relation| holds(&property(relation, tag, PropValue::Integer32(value)), &bag))
    };
    assert_eq!(relations(9), [false, false, true, true, false, true]);
    assert_eq!(relations(10), [false, true, false, true, true, false]);
    assert_eq!(relations(11), [true, true, false, false, false, true]);
    let is = |tag, value| holds(&property(Relation::Equal, tag, value), &bag);
    assert!(is(tags::SUBJECT, PropValue::String("aBC".into())));
    assert!(
        !is(tag, PropValue::String("10".into())),
        "types that don't compare"
    );
    let colours = PropTag(0x8001_101f);
    assert!(is(colours, PropValue::String("RED".into())) && !is(colours, PropValue::String("green".into())));
    assert!(!holds(
        &property(Relation::NotEqual, colours, PropValue::String("red".into())),
        &bag
    ));
    assert!(holds(
        &property(Relation::NotEqual, colours, PropValue::String("green".into())),
        &bag
    ));
    assert!(is(
        colours,
        PropValue::MultipleString(vec!["Red".into(), "blue".into()])
    ));
}

#[test]
fn absent_properties_come_before_all_values() {
    let bag = PropertyBag::new();
    let with = |relation| {
        holds(
            &property(relation, tags::MESSAGE_SIZE, PropValue::Integer32(0)),
            &bag,
        )
    };
    assert!(with(Relation::Less) && with(Relation::NotEqual));
    assert!(!with(Relation::Equal) && !with(Relation::GreaterOrEqual));
    let mask = |nonzero| Restriction::Bitmask {
        nonzero,
        tag: tags::MESSAGE_FLAGS,
        mask: 1,
    };
    assert!(!holds(&mask(true), &bag) && !holds(&mask(false), &bag));
    let size = |size| Restriction::Size {
        relation: Relation::Equal,
        tag: tags::BODY,
        size,
    };
    assert!(holds(&size(0), &bag) && !holds(&size(1), &bag));
    let both = Restriction::CompareProperties {
        relation: Relation::Equal,
        left: tags::BODY,
        right: tags::SUBJECT,
    };
    assert!(holds(&both, &bag));
}

#[test]
fn bits_sizes_and_pairs_are_tested() {
    let bag: PropertyBag = [
        (tags::MESSAGE_FLAGS, PropValue::Integer32(0x11)),
        (tags::SUBJECT, PropValue::String("ab".into())),
        (tags::NORMALIZED_SUBJECT, PropValue::String("AB".into())),
    ]
    .into_iter()
    .collect();
    let mask = |nonzero, mask| {
        holds(
            &Restriction::Bitmask {
                nonzero,
                tag: tags::MESSAGE_FLAGS,
                mask,
            },
            &bag,
        )
    };
    assert!(mask(true, 1) && mask(false, 2) && !mask(true, 2) && !mask(false, 0x30));
    let size = Restriction::Size {
        relation: Relation::Equal,
        tag: tags::SUBJECT,
        size: 6,
    };
    assert!(holds(&size, &bag), "two characters and the terminator in UTF-16");
    let same = |relation| Restriction::CompareProperties {
        relation,
        left: tags::SUBJECT,
        right: tags::NORMALIZED_SUBJECT,
    };
    assert!(holds(&same(Relation::Equal), &bag) && !holds(&same(Relation::NotEqual), &bag));
    assert!(holds(
        &Restriction::Exist {
            tag: PropTag::new(0x37, PropType::UNSPECIFIED)
        },
        &bag
    ));
}

struct Message(Vec<PropertyBag>);

impl PropertySource for Message {
    type Error = std::convert::Infallible;

    fn property(&self, _: PropTag) -> Result<Option<Cow<'_, PropValue>>, Self::Error> {
        Ok(None)
    }

    fn sub_objects(&self, table: SubObjectTable) -> Result<Cow<'_, [PropertyBag]>, Self::Error> {
        Ok(Cow::Borrowed(if table == SubObjectTable::Recipients {
            &self.0
        } else {
            &[]
        }))
    }
}

#[test]
fn sub_objects_match_where_one_does() {
    let recipient = |name: &str| {
        [(tags::DISPLAY_NAME, PropValue::String(name.into()))]
            .into_iter()
            .collect()
    };
    let message = Message(vec![recipient("Alice"), recipient("Bob")]);
    let named = |table, name: &str| Restriction::SubObject {
        table,
        restriction: Box::new(property(
            Relation::Equal,
            tags::DISPLAY_NAME,
            PropValue::String(name.into()),
        )),
    };
    let Ok(bob) = named(SubObjectTable::Recipients, "bob").matches(&message);
    let Ok(carol) = named(SubObjectTable::Recipients, "carol").matches(&message);
    let Ok(attached) = named(SubObjectTable::Attachments, "bob").matches(&message);
    assert_eq!((bob, carol, attached), (true, false, false));
}

#[test]
fn a_restriction_tells_its_tags_and_limit() {
    let mut seen = Vec::new();
    every_type().visit_tags(&mut |tag| seen.push(tag));
    assert!(seen.contains(&tags::MESSAGE_FLAGS) && seen.contains(&tags::BODY));
    let limited = Restriction::Count {
        count: 7,
        restriction: Box::new(Restriction::Always),
    };
    assert_eq!((limited.row_limit(), every_type().row_limit()), (Some(7), None));
}
