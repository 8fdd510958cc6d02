use proptest::prelude::*;
use ringpost_mapi::{FileTime, PropertyBag, restriction::TaggedValue, tags};
use rusqlite::{Connection, params_from_iter};

use super::*;

const COLUMNS: &[Column] = &[
    Column {
        tag: tags::MESSAGE_SIZE,
        expression: "size",
        kind: ColumnKind::Integer32,
    },
    Column {
        tag: tags::MESSAGE_FLAGS,
        expression: "flags",
        kind: ColumnKind::Integer32,
    },
    Column {
        tag: tags::CHANGE_NUMBER,
        expression: "change",
        kind: ColumnKind::Integer64,
    },
    Column {
        tag: tags::MESSAGE_DELIVERY_TIME,
        expression: "received",
        kind: ColumnKind::Time,
    },
    Column {
        tag: tags::LAST_MODIFICATION_TIME,
        expression: "modified",
        kind: ColumnKind::Time,
    },
    Column {
        tag: tags::READ,
        expression: "read",
        kind: ColumnKind::Boolean,
    },
    Column {
        tag: tags::SUBJECT,
        expression: "subject",
        kind: ColumnKind::Text,
    },
];

/// A property without a column.
const IMPORTANCE: PropTag = tags::IMPORTANCE;

fn all_tags() -> Vec<PropTag> {
    COLUMNS
        .iter()
        .map(|column| column.tag)
        .chain([IMPORTANCE])
        .collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        prop::sample::select(vec![
            "a", "A", "ab", "Ab", "bä", "BÄ", "b", "%", "_", "a\0b", "é", "e", "İ", "ß"
        ])
        .prop_map(str::to_owned),
        "[abÄ ]{0,4}",
    ]
}

fn value_of(tag: PropTag) -> BoxedStrategy<PropValue> {
    let integer = prop_oneof![-2..5i32, Just(i32::MIN), Just(i32::MAX)];
    match COLUMNS
        .iter()
        .find(|column| column.tag == tag)
        .map(|column| column.kind)
    {
        Some(ColumnKind::Integer64) => (-2..5i64).prop_map(PropValue::Integer64).boxed(),
        Some(ColumnKind::Time) => (0..4u64).prop_map(|time| PropValue::Time(FileTime(time))).boxed(),
        Some(ColumnKind::Boolean) => any::<bool>().prop_map(PropValue::Boolean).boxed(),
        Some(ColumnKind::Text) => text().prop_map(PropValue::String).boxed(),
        Some(ColumnKind::Integer32) | None => integer.prop_map(PropValue::Integer32).boxed(),
    }
}

fn tagged() -> impl Strategy<Value = (PropTag, PropValue)> {
    prop::sample::select(all_tags()).prop_flat_map(|tag| (Just(tag), value_of(tag)))
}

fn relation() -> impl Strategy<Value = Relation> {
    use Relation::*;
    prop::sample::select(vec![
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        Equal,
        NotEqual,
        Matches,
        MemberOf,
    ])
}

fn restriction() -> impl Strategy<Value = Restriction> {
    let any_tag = || prop::sample::select(all_tags());
    let leaf = prop_oneof![
        4 => (relation(), tagged()).prop_map(|(relation, (tag, value))| Restriction::Property {
            relation, tag, value: TaggedValue { tag, value }
        }),
        // A value of some other type.
        1 => (relation(), any_tag(), tagged()).prop_map(|(relation, tag, (other, value))| Restriction::Property {
            relation, tag, value: TaggedValue { tag: other, value }
        }),
        3 => (prop::sample::select(vec![0u16, 1, 2, 0x10, 0x20]), 0..8u16, text()).prop_map(|(low, high, wanted)| {
            Restriction::Content {
                fuzzy: FuzzyLevel { low, high },
                tag: tags::SUBJECT,
                value: TaggedValue { tag: tags::SUBJECT, value: PropValue::String(wanted) },
            }
        }),
        1 => (relation(), any_tag(), any_tag())
            .prop_map(|(relation, left, right)| Restriction::CompareProperties { relation, left, right }),
        1 => (any::<bool>(), any_tag(), prop::sample::select(vec![0u32, 1, 2, 3, 0x8000_0000, u32::MAX]))
            .prop_map(|(nonzero, tag, mask)| Restriction::Bitmask { nonzero, tag, mask }),
        1 => (relation(), any_tag(), prop::sample::select(vec![0u32, 1, 2, 4, 6, 8]))
            .prop_map(|(relation, tag, size)| Restriction::Size { relation, tag, size }),
        1 => any_tag().prop_map(|tag| Restriction::Exist { tag }),
        1 => Just(Restriction::Always),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Restriction::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Restriction::Or),
            inner.clone().prop_map(|one| Restriction::Not(Box::new(one))),
            inner.clone().prop_map(|one| Restriction::Count {
                count: 1,
                restriction: Box::new(one)
            }),
            prop::option::of(inner).prop_map(|one| Restriction::Comment {
                values: vec![],
                restriction: one.map(Box::new)
            }),
        ]
    })
}

fn row() -> impl Strategy<Value = PropertyBag> {
    let values = all_tags()
        .into_iter()
        .map(|tag| prop::option::of(value_of(tag)).prop_map(move |value| (tag, value)));
    values.collect::<Vec<_>>().prop_map(|values| {
        values
            .into_iter()
            .filter_map(|(tag, value)| Some((tag, value?)))
            .collect()
    })
}

fn sql_value(value: Option<&PropValue>) -> Value {
    match value {
        None => Value::Null,
        Some(PropValue::Integer32(n)) => i64::from(*n).into(),
        Some(PropValue::Integer64(n)) => (*n).into(),
        Some(PropValue::Time(time)) => (time.0 as i64).into(),
        Some(PropValue::Boolean(b)) => i64::from(*b).into(),
        Some(PropValue::String(text)) => Value::Text(text.clone()),
        Some(other) => unreachable!("no column holds {other:?}"),
    }
}

fn rows_of(rows: &[PropertyBag]) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    register_functions(&connection).unwrap();
    connection
        .execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, size, flags, change, received, modified, read, subject)")
        .unwrap();
    for (id, row) in rows.iter().enumerate() {
        let values = COLUMNS.iter().map(|column| sql_value(row.get(column.tag)));
        let values = std::iter::once(Value::Integer(id as i64)).chain(values);
        connection
            .execute(
                "INSERT INTO rows VALUES (?,?,?,?,?,?,?,?)",
                params_from_iter(values),
            )
            .unwrap();
    }
    connection
}

fn found(connection: &Connection, condition: &Condition, rows: &[PropertyBag]) -> Vec<usize> {
    let test = if condition.sql.is_empty() {
        "1"
    } else {
        &condition.sql
    };
    let mut statement = connection
        .prepare(&format!("SELECT id FROM rows WHERE {test} ORDER BY id"))
        .unwrap();
    let ids = statement
        .query_map(params_from_iter(&condition.parameters), |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
        .map(|id| id.unwrap() as usize);
    ids.filter(|&id| {
        condition
            .residual
            .as_ref()
            .is_none_or(|rest| in_code(rest, &rows[id]))
    })
    .collect()
}

fn in_code(restriction: &Restriction, row: &PropertyBag) -> bool {
    let Ok(matched) = restriction.matches(row);
    matched
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// SQL with what is left for code finds exactly the rows that code alone finds.
    #[test]
    fn sql_and_code_agree(rows in prop::collection::vec(row(), 1..12), restriction in restriction()) {
        let connection = rows_of(&rows);
        let condition = compile(&restriction, COLUMNS);
        let by_code: Vec<usize> = (0..rows.len()).filter(|&id| in_code(&restriction, &rows[id])).collect();
        prop_assert_eq!(found(&connection, &condition, &rows), by_code, "{:?}", condition);
    }
}

#[test]
fn what_columns_can_say_is_said_in_sql() {
    let unread = Restriction::Bitmask {
        nonzero: false,
        tag: tags::MESSAGE_FLAGS,
        mask: 1,
    };
    let important = Restriction::Exist { tag: IMPORTANCE };
    let both = Restriction::And(vec![unread.clone(), important.clone()]);
    let condition = compile(&both, COLUMNS);
    assert_eq!(condition.sql, "coalesce((flags & ?) = 0, 0)");
    assert_eq!(condition.residual, Some(important.clone()));
    let either = compile(&Restriction::Or(vec![unread.clone(), important]), COLUMNS);
    assert!(
        either.sql.is_empty() && either.residual.is_some(),
        "a disjunction is said whole or not at all"
    );
    assert_eq!(compile(&unread, COLUMNS).residual, None);
}

#[test]
fn large_conditions_are_left_to_code() {
    let one = Restriction::Exist { tag: tags::SUBJECT };
    let many = Restriction::Or(vec![one; MAX_PARTS]);
    assert!(compile(&many, COLUMNS).residual.is_some());
    assert!(
        found(
            &rows_of(&[PropertyBag::new()]),
            &compile(&many, COLUMNS),
            &[PropertyBag::new()]
        )
        .is_empty()
    );
}
