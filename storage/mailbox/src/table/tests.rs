use ringpost_mapi::{
    Guid, MailboxGuid, MessageId, PropType,
    codec::{encode_bag, encode_bags},
    restriction::{FuzzyLevel, Relation, SubObjectTable, TaggedValue},
    sort::{Direction, SortOrder},
};
use rusqlite::params;

use super::*;
use crate::{CreateOptions, MailboxKind, OpenOptions, folder::built_in};

const INBOX: FolderId = built_in::INBOX;
const COLOURS: PropTag = PropTag::new(0x8001, PropType::MULTIPLE_STRING);
const COLOUR: PropTag = PropTag::new(0x8001, PropType(PropType::MULTIPLE_STRING.0 | PropType::INSTANCE));

struct Fixture {
    mailbox: Mailbox,
    _directory: tempfile::TempDir,
}

/// A message to add.
#[derive(Clone, Debug, Default)]
struct New {
    id: u64,
    received: u64,
    subject: &'static str,
    read: bool,
    state: u32,
    properties: PropertyBag,
    recipients: Vec<PropertyBag>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = CreateOptions {
            kind: MailboxKind::Private,
            guid: MailboxGuid(Guid([9; 16])),
            locale: "en".to_owned(),
        };
        Mailbox::create(directory.path(), &options).unwrap();
        let mailbox = Mailbox::open(directory.path(), &OpenOptions::default()).unwrap();
        Self {
            mailbox,
            _directory: directory,
        }
    }

    fn add(&mut self, new: &New) -> u64 {
        let new = new.clone();
        let insert = move |mailbox: &mut Mailbox| {
            let change = mailbox.next_change();
            mailbox.stamps.touch(INBOX);
            mailbox.connection.prepare_cached(
                "INSERT INTO messages (id, folder, uid, state, flags, change, version, size, received, modified, subject)
                 VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?5, 100, ?6, 0, ?7)",
            )?
            .execute(params![
                new.id as i64, INBOX.to_disk(), new.state, i64::from(new.read), change.0 as i64,
                new.received as i64, new.subject
            ])?;
            mailbox
                .connection
                .prepare_cached(
                    "INSERT INTO message_data (message, properties, recipients) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![
                    new.id as i64,
                    encode_bag(&new.properties),
                    encode_bags(&new.recipients)
                ])?;
            mailbox.connection.execute(
                "UPDATE folders SET messages = messages + ?1 WHERE id = ?2",
                params![i64::from(new.state == 0), INBOX.to_disk()],
            )?;
            Ok(MessageId::own(new.id).0)
        };
        self.mailbox.transaction(insert).unwrap()
    }

    fn remove(&mut self, id: u64) {
        let change = |mailbox: &mut Mailbox| {
            mailbox.next_change();
            mailbox.stamps.touch(INBOX);
            mailbox
                .connection
                .execute("DELETE FROM messages WHERE id = ?1", [id as i64])?;
            mailbox.connection.execute(
                "UPDATE folders SET messages = messages - 1 WHERE id = ?1",
                [INBOX.to_disk()],
            )?;
            Ok(())
        };
        self.mailbox.transaction(change).unwrap();
    }

    /// The rows from the position on, by their one column.
    fn read(&mut self, table: &mut Table, count: usize, forward: bool) -> Vec<String> {
        let rows = table.query_rows(&mut self.mailbox, count, forward, true).unwrap();
        rows.into_iter().map(|row| shown(&row)).collect()
    }

    fn all(&mut self, table: &mut Table) -> Vec<String> {
        table.seek_row(&mut self.mailbox, Origin::Beginning, 0).unwrap();
        self.read(table, usize::MAX, true)
    }

    fn position(&mut self, table: &mut Table) -> (usize, usize) {
        table.query_position(&mut self.mailbox).unwrap()
    }
}

fn shown(row: &Row) -> String {
    let one = |value: &Option<PropValue>| match value {
        Some(PropValue::String(text)) => text.clone(),
        Some(PropValue::Integer32(n)) => n.to_string(),
        Some(PropValue::Time(time)) => time.0.to_string(),
        Some(PropValue::Boolean(b)) => b.to_string(),
        Some(other) => format!("{other:?}"),
        None => "-".to_owned(),
    };
    row.iter().map(one).collect::<Vec<_>>().join("/")
}

fn order(tag: PropTag, direction: Direction) -> SortOrder {
    SortOrder { tag, direction }
}

fn by(tag: PropTag, direction: Direction) -> SortOrderSet {
    SortOrderSet::plain(vec![order(tag, direction)])
}

fn table(columns: &[PropTag], sort: SortOrderSet) -> Table {
    let mut table = Table::contents(INBOX, ContentsKind::Normal);
    table.set_columns(columns.to_vec()).unwrap();
    table.sort(sort).unwrap();
    table
}

fn is_indexed(table: &Table) -> bool {
    matches!(table.rows, Some(Rows::Indexed(_)))
}

fn numbered(id: u64) -> New {
    New {
        id,
        received: 1000 + id / 2,
        subject: ["b", "a", "C"][id as usize % 3],
        read: id.is_multiple_of(2),
        ..New::default()
    }
}

fn equals(tag: PropTag, value: PropValue) -> Restriction {
    Restriction::Property {
        relation: Relation::Equal,
        tag,
        value: TaggedValue { tag, value },
    }
}

#[test]
fn an_index_gives_the_order_by_delivery_time() {
    let mut fixture = Fixture::new();
    for id in 0x200..0x200 + 20 {
        fixture.add(&numbered(id));
    }
    let sort = by(tags::MESSAGE_DELIVERY_TIME, Direction::Descending);
    let mut table = table(&[tags::INTERNET_ARTICLE_NUMBER], sort);
    let first = fixture.read(&mut table, 3, true);
    assert!(is_indexed(&table));
    assert_eq!(first, [0x213, 0x212, 0x211].map(|id: u32| id.to_string()));
    assert_eq!(fixture.position(&mut table), (3, 20));
    let back = fixture.read(&mut table, 2, false);
    assert_eq!(
        back,
        [0x211, 0x212].map(|id: u32| id.to_string()),
        "the nearest first"
    );
    assert_eq!(fixture.position(&mut table), (1, 20));
    table.seek_fraction(&mut fixture.mailbox, 1, 2).unwrap();
    assert_eq!(fixture.position(&mut table), (10, 20));
    let sought = table
        .seek_row(&mut fixture.mailbox, Origin::Current, -30)
        .unwrap();
    assert_eq!((sought.moved, fixture.position(&mut table)), (-10, (0, 20)));
    let sought = table.seek_row(&mut fixture.mailbox, Origin::End, -1).unwrap();
    assert_eq!((sought.moved, fixture.position(&mut table)), (-1, (19, 20)));
    assert_eq!(fixture.read(&mut table, 10, true), [0x200.to_string()]);
    assert_eq!(table.row_count(&mut fixture.mailbox).unwrap(), 20);
}

#[test]
fn a_position_stays_with_its_row_while_others_come_and_go() {
    for tag in [tags::MESSAGE_DELIVERY_TIME, tags::LAST_MODIFICATION_TIME] {
        let mut fixture = Fixture::new();
        for id in 0x200..0x20a {
            fixture.add(&New {
                id,
                received: id,
                ..New::default()
            });
        }
        // All were modified at the same time: equal rows go by id.
        let mut table = table(&[tags::INTERNET_ARTICLE_NUMBER], by(tag, Direction::Ascending));
        fixture.read(&mut table, 4, true);
        assert_eq!(is_indexed(&table), tag == tags::MESSAGE_DELIVERY_TIME);
        fixture.add(&New {
            id: 0x1f0,
            received: 0x1f0,
            ..New::default()
        });
        fixture.remove(0x202);
        fixture.remove(0x205);
        assert_eq!(fixture.position(&mut table), (4, 9));
        let bookmark = table.create_bookmark().unwrap();
        assert_eq!(
            fixture.read(&mut table, 2, true),
            [0x204, 0x206].map(|id: u32| id.to_string())
        );
        let sought = table
            .seek_row(&mut fixture.mailbox, Origin::Bookmark(bookmark), 1)
            .unwrap();
        assert_eq!((sought.moved, sought.bookmark_lost), (1, false));
        assert_eq!(fixture.read(&mut table, 1, true), [0x206.to_string()]);
        assert!(table.free_bookmark(bookmark) && !table.free_bookmark(bookmark));
        assert!(
            table
                .seek_row(&mut fixture.mailbox, Origin::Bookmark(bookmark), 0)
                .is_err()
        );
    }
}

#[test]
fn listing_reads_no_encoded_properties_it_does_not_need() {
    let mut fixture = Fixture::new();
    for id in 0x200..0x210 {
        fixture.add(&numbered(id));
    }
    // Damaged properties are an error as soon as they are read.
    fixture
        .mailbox
        .connection
        .execute("UPDATE message_data SET properties = x'ff'", [])
        .unwrap();
    let columns = [
        tags::NORMALIZED_SUBJECT,
        tags::MESSAGE_FLAGS,
        tags::MID,
        tags::ENTRY_ID,
        tags::CHANGE_NUMBER,
    ];
    for sort in [
        by(tags::MESSAGE_DELIVERY_TIME, Direction::Descending),
        by(tags::NORMALIZED_SUBJECT, Direction::Ascending),
    ] {
        let mut table = table(&columns, sort);
        assert_eq!(fixture.read(&mut table, 50, true).len(), 16);
        table.set_columns(vec![tags::BODY]).unwrap();
        table
            .seek_row(&mut fixture.mailbox, Origin::Beginning, 0)
            .unwrap();
        assert!(table.query_rows(&mut fixture.mailbox, 1, true, true).is_err());
    }
}

#[test]
fn reading_along_the_index_sorts_nothing() {
    let mut fixture = Fixture::new();
    fixture.add(&numbered(0x200));
    let unread = Restriction::Bitmask {
        nonzero: false,
        tag: tags::MESSAGE_FLAGS,
        mask: 1,
    };
    for (sort, index) in [
        (
            by(tags::MESSAGE_DELIVERY_TIME, Direction::Descending),
            "messages_by_received",
        ),
        (SortOrderSet::default(), "messages_by_uid"),
    ] {
        let contents = Contents::new(&mut fixture.mailbox, INBOX, ContentsKind::Normal, None).unwrap();
        for restriction in [Restriction::Always, unread.clone()] {
            let plan = contents.explain(&contents.index(&sort, &restriction).unwrap());
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}

#[test]
fn other_orders_are_listed() {
    let mut fixture = Fixture::new();
    for id in 0x200..0x206 {
        fixture.add(&numbered(id));
    }
    let sort = SortOrderSet::plain(vec![
        order(tags::NORMALIZED_SUBJECT, Direction::Ascending),
        order(tags::MESSAGE_DELIVERY_TIME, Direction::Descending),
    ]);
    let mut table = table(&[tags::NORMALIZED_SUBJECT, tags::INTERNET_ARTICLE_NUMBER], sort);
    assert_eq!(
        fixture.all(&mut table),
        ["a/517", "a/514", "b/516", "b/513", "C/515", "C/512"]
    );
    assert!(!is_indexed(&table));
    let restriction = Restriction::And(vec![
        Restriction::Content {
            fuzzy: FuzzyLevel {
                low: FuzzyLevel::PREFIX,
                high: FuzzyLevel::IGNORE_CASE,
            },
            tag: tags::NORMALIZED_SUBJECT,
            value: TaggedValue {
                tag: tags::NORMALIZED_SUBJECT,
                value: PropValue::String("c".into()),
            },
        },
        equals(tags::READ, PropValue::Boolean(false)),
    ]);
    table.restrict(restriction);
    assert_eq!(fixture.all(&mut table), ["C/515"]);
    table.restrict(Restriction::Count {
        count: 2,
        restriction: Box::new(Restriction::Always),
    });
    assert_eq!(fixture.all(&mut table).len(), 2);
    table.reset();
    assert!(table.columns().is_empty());
    assert_eq!(table.row_count(&mut fixture.mailbox).unwrap(), 6);
}

#[test]
fn conditions_on_encoded_properties_and_recipients_choose_rows() {
    let mut fixture = Fixture::new();
    let text = |value: &str| PropValue::String(value.to_owned());
    for (id, body) in [(0x200, "one"), (0x201, "two")] {
        let recipient: PropertyBag = [(tags::DISPLAY_NAME, text(&format!("to {body}")))]
            .into_iter()
            .collect();
        let properties = [(tags::CONVERSATION_TOPIC, text(body))].into_iter().collect();
        fixture.add(&New {
            id,
            properties,
            recipients: vec![recipient],
            ..New::default()
        });
    }
    let mut table = table(
        &[tags::CONVERSATION_TOPIC],
        by(tags::MESSAGE_DELIVERY_TIME, Direction::Ascending),
    );
    table.restrict(equals(tags::CONVERSATION_TOPIC, text("TWO")));
    assert_eq!(fixture.all(&mut table), ["two"]);
    table.restrict(Restriction::SubObject {
        table: SubObjectTable::Recipients,
        restriction: Box::new(equals(tags::DISPLAY_NAME, text("to one"))),
    });
    assert_eq!(fixture.all(&mut table), ["one"]);
}

#[test]
fn rows_are_found_from_a_place_in_both_directions() {
    let mut fixture = Fixture::new();
    for id in 0x200..0x209 {
        fixture.add(&numbered(id));
    }
    for tag in [tags::MESSAGE_DELIVERY_TIME, tags::MESSAGE_SIZE] {
        let mut table = table(&[tags::INTERNET_ARTICLE_NUMBER], by(tag, Direction::Ascending));
        let wanted = equals(tags::NORMALIZED_SUBJECT, PropValue::String("A".into()));
        let mut find = |origin, forward, wanted: &Restriction| {
            let found = table
                .find_row(&mut fixture.mailbox, wanted, origin, forward)
                .unwrap();
            found.map(|found| shown(&found.row))
        };
        assert_eq!(find(Origin::Beginning, true, &wanted), Some(0x202.to_string()));
        assert_eq!(
            find(Origin::Current, true, &wanted),
            Some(0x202.to_string()),
            "from the row itself on"
        );
        assert_eq!(find(Origin::End, false, &wanted), Some(0x208.to_string()));
        assert_eq!(find(Origin::Current, false, &wanted), Some(0x205.to_string()));
        let none = equals(tags::NORMALIZED_SUBJECT, PropValue::String("none".into()));
        assert_eq!(find(Origin::Beginning, true, &none), None);
        // A condition that SQL can't say.
        let odd = Restriction::Size {
            relation: Relation::Equal,
            tag: tags::NORMALIZED_SUBJECT,
            size: 4,
        };
        assert_eq!(find(Origin::Beginning, true, &odd), Some(0x200.to_string()));
        assert_eq!(fixture.position(&mut table).0, 0);
    }
}

#[test]
fn categories_count_expand_and_are_remembered() {
    let mut fixture = Fixture::new();
    for id in 0x200..0x206 {
        fixture.add(&numbered(id));
    }
    let sort = SortOrderSet {
        orders: vec![
            order(tags::NORMALIZED_SUBJECT, Direction::Ascending),
            order(tags::MESSAGE_DELIVERY_TIME, Direction::Ascending),
        ],
        categories: 1,
        expanded: 0,
    };
    let columns = [
        tags::ROW_TYPE,
        tags::NORMALIZED_SUBJECT,
        tags::CONTENT_COUNT,
        tags::CONTENT_UNREAD_COUNT,
    ];
    let mut table = table(&columns, sort.clone());
    assert_eq!(fixture.all(&mut table), ["4/a/2/1", "4/b/2/1", "4/C/2/1"]);
    table.set_columns(vec![tags::INST_ID]).unwrap();
    table
        .seek_row(&mut fixture.mailbox, Origin::Beginning, 1)
        .unwrap();
    let header = table.query_rows(&mut fixture.mailbox, 1, true, false).unwrap();
    let Some(PropValue::Integer64(category)) = header[0][0] else {
        panic!("{header:?}")
    };
    table.set_columns(columns.to_vec()).unwrap();
    let (appeared, rows) = table
        .expand_row(&mut fixture.mailbox, category as u64, 1)
        .unwrap();
    assert_eq!(
        (appeared, rows.iter().map(shown).collect::<Vec<_>>()),
        (2, vec!["1/b/-/-".to_owned()])
    );
    assert_eq!(
        fixture.all(&mut table),
        ["4/a/2/1", "3/b/2/1", "1/b/-/-", "1/b/-/-", "4/C/2/1"]
    );

    // Another session, with another message there.
    let row = MessageId::own(0x204).0;
    let state = table.collapse_state(&mut fixture.mailbox, row, 0).unwrap();
    fixture.add(&numbered(0x206));
    let mut other = Table::contents(INBOX, ContentsKind::Normal);
    other.set_columns(columns.to_vec()).unwrap();
    other.sort(sort).unwrap();
    let bookmark = other.set_collapse_state(&mut fixture.mailbox, &state).unwrap();
    assert_eq!(
        fixture.all(&mut other),
        ["4/a/2/1", "3/b/2/1", "1/b/-/-", "1/b/-/-", "4/C/3/1"]
    );
    other
        .seek_row(&mut fixture.mailbox, Origin::Bookmark(bookmark), 0)
        .unwrap();
    assert_eq!(fixture.position(&mut other), (3, 5));
    let gone = other.collapse_row(&mut fixture.mailbox, category as u64).unwrap();
    assert_eq!(
        (gone, fixture.position(&mut other)),
        (2, (1, 3)),
        "a hidden position is its header's"
    );
    assert!(other.expand_row(&mut fixture.mailbox, 1, 1).is_err());
    assert!(other.set_collapse_state(&mut fixture.mailbox, b"junk").is_err());
}

#[test]
fn each_value_of_a_property_has_a_row() {
    let mut fixture = Fixture::new();
    let colours = |list: &[&str]| PropValue::MultipleString(list.iter().map(|&c| c.to_owned()).collect());
    for (id, list) in [(0x200, &["red", "blue"][..]), (0x201, &["blue"]), (0x202, &[])] {
        let properties = [(COLOURS, colours(list))].into_iter().collect();
        fixture.add(&New {
            id,
            properties,
            ..New::default()
        });
    }
    let sort = SortOrderSet {
        orders: vec![order(COLOUR, Direction::Ascending)],
        categories: 1,
        expanded: 1,
    };
    let mut table = table(&[COLOUR, tags::INSTANCE_NUM, tags::INTERNET_ARTICLE_NUMBER], sort);
    assert_eq!(
        fixture.all(&mut table),
        [
            "-/0/-",
            "-/0/514",
            "blue/0/-",
            "blue/2/512",
            "blue/1/513",
            "red/0/-",
            "red/1/512"
        ]
    );
    table.set_columns(vec![tags::INSTANCE_KEY]).unwrap();
    let keys: HashSet<String> = fixture.all(&mut table).into_iter().collect();
    assert_eq!(keys.len(), 7);
}

#[test]
fn associated_and_deleted_messages_have_tables_of_their_own() {
    let mut fixture = Fixture::new();
    for state in 0..4 {
        fixture.add(&New {
            id: 0x200 + u64::from(state),
            state,
            ..New::default()
        });
    }
    use ContentsKind::*;
    for (state, kind) in [Normal, Associated, SoftDeleted, SoftDeletedAssociated]
        .into_iter()
        .enumerate()
    {
        let mut table = Table::contents(INBOX, kind);
        table
            .set_columns(vec![tags::INTERNET_ARTICLE_NUMBER, tags::ASSOCIATED])
            .unwrap();
        assert_eq!(
            fixture.all(&mut table),
            [format!("{}/{}", 0x200 + state, state % 2 == 1)]
        );
    }
    assert!(fixture_missing(&mut fixture));
}

fn fixture_missing(fixture: &mut Fixture) -> bool {
    let mut table = Table::contents(FolderId::own(0xffff), ContentsKind::Normal);
    matches!(
        table.query_rows(&mut fixture.mailbox, 1, true, true),
        Err(StoreError::NotFound(_))
    )
}

#[test]
fn folders_are_rows_with_their_depth() {
    let mut fixture = Fixture::new();
    let outer = fixture.mailbox.create_folder(INBOX, "Outer", None).unwrap();
    fixture
        .mailbox
        .create_folder(outer, "inner", Some("IPF.Task"))
        .unwrap();
    fixture.mailbox.create_folder(INBOX, "another", None).unwrap();
    let columns = vec![
        tags::DISPLAY_NAME,
        tags::DEPTH,
        tags::SUBFOLDERS,
        tags::CONTAINER_CLASS,
    ];
    let mut deep = Table::hierarchy(INBOX, true);
    deep.set_columns(columns.clone()).unwrap();
    deep.sort(by(tags::DISPLAY_NAME, Direction::Ascending)).unwrap();
    assert_eq!(
        fixture.all(&mut deep),
        [
            "another/1/false/IPF.Note",
            "inner/2/false/IPF.Task",
            "Outer/1/true/IPF.Note"
        ]
    );
    let mut flat = Table::hierarchy(INBOX, false);
    flat.set_columns(columns).unwrap();
    assert_eq!(fixture.all(&mut flat).len(), 2);
    flat.restrict(equals(tags::SUBFOLDERS, PropValue::Boolean(true)));
    assert_eq!(fixture.all(&mut flat), ["Outer/1/true/IPF.Note"]);
}

#[test]
fn rows_in_memory_are_a_table() {
    let mut fixture = Fixture::new();
    let row = |name: &str| {
        [(tags::DISPLAY_NAME, PropValue::String(name.to_owned()))]
            .into_iter()
            .collect()
    };
    let mut table = Table::of_rows(vec![row("b"), row("a")]);
    table.set_columns(vec![tags::DISPLAY_NAME]).unwrap();
    assert_eq!(fixture.all(&mut table), ["b", "a"]);
    table.sort(by(tags::DISPLAY_NAME, Direction::Ascending)).unwrap();
    assert_eq!(fixture.all(&mut table), ["a", "b"]);
}

#[test]
fn limits_hold() {
    let mut table = Table::contents(INBOX, ContentsKind::Normal);
    assert!(table.set_columns(vec![tags::SUBJECT; MAX_COLUMNS + 1]).is_err());
    for _ in 0..MAX_BOOKMARKS {
        table.create_bookmark().unwrap();
    }
    assert!(table.create_bookmark().is_err());
    let mut fixture = Fixture::new();
    assert!(table.seek_fraction(&mut fixture.mailbox, 1, 0).is_err());
    let instances = SortOrderSet::plain(vec![order(COLOUR, Direction::Ascending); 2]);
    assert!(table.sort(instances).is_err());
    let mut long = PropValue::String("é".repeat(MAX_KEY_CHARACTERS + 1));
    shorten(&mut long);
    assert_eq!(long, PropValue::String("é".repeat(MAX_KEY_CHARACTERS)));
}

/// Random rows come and go; an indexed and a listed table with the same order show what a model shows.
#[test]
fn both_ways_of_reading_agree_with_a_model() {
    let mut fixture = Fixture::new();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let columns = [tags::INTERNET_ARTICLE_NUMBER];
    let mut tables = [
        table(&columns, by(tags::MESSAGE_DELIVERY_TIME, Direction::Descending)),
        // The second order never decides, but no index has it.
        table(
            &columns,
            SortOrderSet::plain(vec![
                order(tags::MESSAGE_DELIVERY_TIME, Direction::Descending),
                order(tags::LAST_MODIFICATION_TIME, Direction::Descending),
            ]),
        ),
    ];
    let mut model: Vec<(u64, u64)> = Vec::new();
    for id in 0x300..0x300 + 150 {
        let new = New {
            id,
            received: random(40),
            ..New::default()
        };
        fixture.add(&new);
        model.push((new.received, id));
        if random(3) == 0 {
            let gone = model.swap_remove(random(model.len() as u64) as usize);
            fixture.remove(gone.1);
        }
        model.sort_unstable_by(|a, b| b.cmp(a));
        let start = random(model.len() as u64 + 3) as usize;
        let count = random(10) as usize;
        let forward = random(2) == 0;
        let at = start.min(model.len());
        let expected: Vec<String> = if forward {
            model[at..]
                .iter()
                .take(count)
                .map(|row| row.1.to_string())
                .collect()
        } else {
            model[..at]
                .iter()
                .rev()
                .take(count)
                .map(|row| row.1.to_string())
                .collect()
        };
        let end = if forward {
            at + expected.len()
        } else {
            at - expected.len()
        };
        for table in &mut tables {
            let sought = table
                .seek_row(&mut fixture.mailbox, Origin::Beginning, start as i64)
                .unwrap();
            assert_eq!(sought.moved, at as i64);
            assert_eq!(fixture.read(table, count, forward), expected);
            assert_eq!(fixture.position(table), (end, model.len()));
        }
    }
    assert!(is_indexed(&tables[0]) && !is_indexed(&tables[1]));
}

#[test]
fn what_never_holds_finds_nothing_and_no_error() {
    let mut fixture = Fixture::new();
    fixture.add(&New {
        id: 1,
        subject: "a",
        ..New::default()
    });
    let mut table = Table::contents(INBOX, ContentsKind::Normal);
    table
        .sort(SortOrderSet::plain(vec![SortOrder {
            tag: tags::SUBJECT,
            direction: Direction::Ascending,
        }]))
        .unwrap();
    table.restrict(Restriction::Or(Vec::new()));
    assert_eq!(table.row_count(&mut fixture.mailbox).unwrap(), 0);
    table.restrict(Restriction::Not(Box::new(Restriction::Or(Vec::new()))));
    assert_eq!(table.row_count(&mut fixture.mailbox).unwrap(), 1);
}

#[test]
fn a_table_read_in_a_transaction_that_failed_is_read_again() {
    let (mut fixture, draft) = (Fixture::new(), crate::MessageDraft::default());
    let mut table = Table::contents(INBOX, ContentsKind::Normal);
    table
        .sort(SortOrderSet::plain(vec![SortOrder {
            tag: tags::SUBJECT,
            direction: Direction::Ascending,
        }]))
        .unwrap();
    let failed = fixture.mailbox.transaction(|store| {
        store.save_message(INBOX, &draft)?;
        store.save_message(INBOX, &draft)?;
        assert_eq!(table.row_count(store)?, 2);
        Err::<(), _>(StoreError::NotAllowed("on purpose"))
    });
    assert!(failed.is_err());
    assert_eq!(table.row_count(&mut fixture.mailbox).unwrap(), 0);
    // As many changes as were rolled back.
    let stored = fixture.mailbox.save_message(INBOX, &draft).unwrap();
    fixture.mailbox.delete_messages(INBOX, &[stored.message]).unwrap();
    assert_eq!(table.row_count(&mut fixture.mailbox).unwrap(), 0);
    // What happens elsewhere does not list it again.
    let listed = fixture.mailbox.stamps.of(INBOX);
    fixture.mailbox.save_message(built_in::DRAFTS, &draft).unwrap();
    assert_eq!(fixture.mailbox.stamps.of(INBOX), listed);
}
