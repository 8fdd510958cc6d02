use ringpost_mapi::{PropTag, PropType, sort::SortOrder, tags};

use super::*;

fn order(tag: PropTag, direction: Direction) -> SortOrder {
    SortOrder { tag, direction }
}

/// Rows of a topic and a time; every third is unread.
fn entries(rows: &[(&str, i32)]) -> Vec<Entry> {
    rows.iter()
        .enumerate()
        .map(|(at, (topic, time))| Entry {
            id: at as u64 + 1,
            instance: 0,
            unread: at % 3 == 0,
            keys: Box::new([
                (!topic.is_empty()).then(|| PropValue::String((*topic).into())),
                Some(PropValue::Integer32(*time)),
            ]),
        })
        .collect()
}

/// What is visible: `#topic` with the number of its rows for headers, ids for rows.
fn shown(view: &View) -> String {
    let one = |at| match view.place(at) {
        Some(Place::Row(row)) => view.row(row).map(|(id, _)| id.to_string()).unwrap_or_default(),
        Some(Place::Header(header)) => {
            let group = view.group(header).unwrap();
            match group.values.last().unwrap() {
                Some(PropValue::String(text)) => format!("#{text}:{}", group.rows),
                Some(PropValue::Integer32(n)) => format!("#{n}:{}", group.rows),
                _ => format!("#:{}", group.rows),
            }
        }
        None => String::new(),
    };
    (0..view.len()).map(one).collect::<Vec<_>>().join(" ")
}

fn by_topic(expanded: usize, direction: Direction, second: Direction) -> SortOrderSet {
    SortOrderSet {
        orders: vec![
            order(tags::CONVERSATION_TOPIC, direction),
            order(tags::MESSAGE_SIZE, second),
        ],
        categories: 1,
        expanded,
    }
}

#[test]
fn rows_are_sorted_with_absent_values_first() {
    let sort = SortOrderSet::plain(vec![
        order(tags::CONVERSATION_TOPIC, Direction::Ascending),
        order(tags::MESSAGE_SIZE, Direction::Descending),
    ]);
    let rows = entries(&[("b", 1), ("A", 1), ("a", 2), ("", 0), ("B", 1)]);
    let view = View::new(rows, &sort, &HashMap::new());
    assert_eq!(
        shown(&view),
        "4 3 2 5 1",
        "equal rows by id, the way of the last order"
    );
    assert_eq!(view.find(RowKey::Leaf(2, 0)), Some((2, true)));
    assert_eq!(view.find(RowKey::Leaf(9, 0)), None);
}

#[test]
fn categories_have_headers_that_expand_and_collapse() {
    let sort = by_topic(0, Direction::Ascending, Direction::Ascending);
    let rows = entries(&[("b", 2), ("a", 1), ("B", 1), ("", 5)]);
    let mut view = View::new(rows.clone(), &sort, &HashMap::new());
    assert_eq!(shown(&view), "#:1 #a:1 #B:2");
    let b = view.group(2).unwrap();
    assert_eq!((b.unread, b.depth, b.expanded), (1, 0, false));
    let id = b.id;
    assert_eq!(
        view.find(RowKey::Leaf(1, 0)),
        Some((2, false)),
        "hidden by its header"
    );
    assert_eq!(view.set_expanded(id, true), Some((2, 2)));
    assert_eq!(shown(&view), "#:1 #a:1 #B:2 3 1");
    assert_eq!(view.set_expanded(id, false), Some((2, 2)));
    assert_eq!(view.set_expanded(12345, true), None);
    // The id survives the view, and other rows in it.
    let other = View::new(rows[..2].to_vec(), &sort, &HashMap::from([(id, true)]));
    assert_eq!(shown(&other), "#a:1 #b:1 1");
}

#[test]
fn groups_go_by_their_largest_value() {
    let rows = entries(&[("a", 1), ("b", 5), ("c", 3), ("a", 4), ("b", 2)]);
    let descending = by_topic(1, Direction::Descending, Direction::MaximumCategory);
    let view = View::new(rows.clone(), &descending, &HashMap::new());
    assert_eq!(shown(&view), "#b:2 2 5 #a:2 4 1 #c:1 3");
    let ascending = by_topic(1, Direction::Ascending, Direction::MaximumCategory);
    assert_eq!(
        shown(&View::new(rows, &ascending, &HashMap::new())),
        "#c:1 3 #a:2 1 4 #b:2 5 2"
    );
}

#[test]
fn categories_nest() {
    let sort = SortOrderSet {
        orders: vec![
            order(tags::CONVERSATION_TOPIC, Direction::Ascending),
            order(tags::MESSAGE_SIZE, Direction::Descending),
        ],
        categories: 2,
        expanded: 2,
    };
    let mut view = View::new(
        entries(&[("a", 1), ("b", 1), ("a", 2), ("a", 2)]),
        &sort,
        &HashMap::new(),
    );
    assert_eq!(shown(&view), "#a:3 #2:2 4 3 #1:1 1 #b:1 #1:1 2");
    let outer = view.group(0).unwrap().id;
    assert_eq!(view.set_expanded(outer, false), Some((0, 5)));
    assert_eq!(shown(&view), "#a:3 #b:1 #1:1 2");
    assert_eq!(
        view.find(RowKey::Leaf(1, 0)),
        Some((0, false)),
        "the outermost header hides it"
    );
    let inner = view.group(1).unwrap().id;
    assert_eq!(view.find(RowKey::Header(inner)), Some((0, false)));
    assert_eq!(view.set_expanded(outer, true), Some((0, 5)));
    assert_ne!(
        view.group(2).unwrap().id,
        view.group(4).unwrap().id,
        "the same size under two topics"
    );
    assert_eq!(view.row_count(), 4);
}

#[test]
fn a_row_for_each_value_has_its_own_key() {
    let tag = PropTag::new(
        0x8001,
        PropType(PropType::STRING.0 | PropType::MULTIPLE | PropType::INSTANCE),
    );
    let sort = SortOrderSet {
        orders: vec![order(tag, Direction::Ascending)],
        categories: 1,
        expanded: 1,
    };
    let value = |text: &str| Some(PropValue::String(text.into()));
    let entry = |instance, text| Entry {
        id: 7,
        instance,
        unread: false,
        keys: Box::new([value(text)]),
    };
    let view = View::new(vec![entry(1, "red"), entry(2, "blue")], &sort, &HashMap::new());
    assert_eq!(shown(&view), "#blue:1 7 #red:1 7");
    assert_eq!(view.key(1), Some(RowKey::Leaf(7, 2)));
    assert_eq!(view.find(RowKey::Leaf(7, 1)), Some((3, true)));
}

#[test]
fn sorting_in_slices_is_sorting() {
    let mut seed = 1u64;
    for length in [0, 1, SLICE - 1, SLICE, SLICE + 1, 5 * SLICE + 7] {
        let mut values: Vec<(u64, usize)> = (0..length)
            .map(|at| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 54, at)
            })
            .collect();
        let mut expected = values.clone();
        expected.sort_by_key(|value| value.0);
        sort_in_slices(&mut values, &|a, b| a.0.cmp(&b.0));
        assert!(values == expected, "{length} values, stable");
    }
}
