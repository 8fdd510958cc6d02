//! Random values: a run is its seed.

use ringpost_convert::message::{AttachmentContent, AttachmentData, MessageContent};
use ringpost_mapi::{
    FileTime, Guid, PropTag, PropType, PropValue, PropertyBag, Restriction,
    named::PropertyName,
    restriction::{FuzzyLevel, Relation, SubObjectTable, TaggedValue},
    sort::{Direction, SortOrder, SortOrderSet},
    tags,
};
use ringpost_store::Flags;

const WORDS: [&str; 8] = [
    "Alpha", "alpha", "beta", "Gamma", "delta", "Übung", "übung", "zeta",
];
const KEYWORDS: [&str; 4] = ["Red", "Green", "$Label1", "Later"];
const CLASSES: [&str; 4] = ["IPM.Note", "IPM.Appointment", "IPM.Contact", "IPM.note.SMIME"];
/// The first id of the properties that have one type each.
const FIRST_ID: u16 = 0x6700;
const KINDS: [PropType; 28] = [
    PropType::INTEGER16,
    PropType::INTEGER32,
    PropType::FLOATING32,
    PropType::FLOATING64,
    PropType::CURRENCY,
    PropType::FLOATING_TIME,
    PropType::ERROR_CODE,
    PropType::BOOLEAN,
    PropType::INTEGER64,
    PropType::STRING,
    PropType::TIME,
    PropType::GUID,
    PropType::SERVER_ID,
    PropType::RESTRICTION,
    PropType::RULE_ACTION,
    PropType::BINARY,
    PropType::OBJECT,
    PropType::MULTIPLE_INTEGER16,
    PropType::MULTIPLE_INTEGER32,
    PropType::MULTIPLE_FLOATING64,
    PropType::MULTIPLE_CURRENCY,
    PropType::MULTIPLE_FLOATING_TIME,
    PropType::MULTIPLE_INTEGER64,
    PropType::MULTIPLE_STRING,
    PropType::MULTIPLE_TIME,
    PropType::MULTIPLE_GUID,
    PropType::MULTIPLE_BINARY,
    PropType::MULTIPLE_FLOATING32,
];
/// Properties that tables are sorted and restricted by.
pub(crate) const NUMBER: PropTag = PropTag::new(FIRST_ID + 1, PropType::INTEGER32);
pub(crate) const TEXT: PropTag = PropTag::new(FIRST_ID + 9, PropType::STRING);
pub(crate) const LIST: PropTag = PropTag::new(FIRST_ID + 23, PropType::MULTIPLE_STRING);
/// A property that is often too large to be kept beside the others.
pub(crate) const LONG: PropTag = PropTag::new(FIRST_ID + 0x40, PropType::STRING);

/// splitmix64
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    /// Some of a list, at most `most`, each once.
    pub(crate) fn some<T: Clone>(&mut self, list: &[T], most: usize) -> Vec<T> {
        let mut rest = list.to_vec();
        let count = self.below(most.min(list.len()) + 1);
        (0..count)
            .map(|_| rest.swap_remove(self.below(rest.len())))
            .collect()
    }

    pub(crate) fn word(&mut self) -> String {
        self.of(&WORDS).to_owned()
    }

    pub(crate) fn flags(&mut self) -> Flags {
        Flags::from_bits_truncate(self.next() as u8)
    }

    pub(crate) fn keywords(&mut self) -> Vec<String> {
        self.some(&KEYWORDS, 2).into_iter().map(str::to_owned).collect()
    }

    /// A moment, now and then the same one twice.
    pub(crate) fn time(&mut self) -> FileTime {
        FileTime::from_unix_seconds(1_700_000_000 + self.below(40) as i64 * 1000)
    }

    fn bytes(&mut self, limit: usize) -> Vec<u8> {
        let count = self.below(limit);
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> T) -> Vec<T> {
        let count = self.below(4);
        (0..count).map(|_| one(self)).collect()
    }

    fn guid(&mut self) -> Guid {
        Guid([self.next() as u8; 16])
    }

    fn float(&mut self) -> f64 {
        (self.below(2000) as f64 - 1000.0) / 8.0
    }

    fn value(&mut self, kind: PropType) -> PropValue {
        use PropValue as V;
        match kind {
            PropType::INTEGER16 => V::Integer16(self.next() as i16),
            PropType::INTEGER32 => V::Integer32(self.below(7) as i32 - 3),
            PropType::FLOATING32 => V::Floating32(self.float() as f32),
            PropType::FLOATING64 => V::Floating64(self.float()),
            PropType::CURRENCY => V::Currency(self.next() as i64),
            PropType::FLOATING_TIME => V::FloatingTime(self.float()),
            PropType::ERROR_CODE => V::ErrorCode(self.next() as u32),
            PropType::BOOLEAN => V::Boolean(self.one_in(2)),
            PropType::INTEGER64 => V::Integer64(self.next() as i64),
            PropType::TIME => V::Time(self.time()),
            PropType::GUID => V::Guid(self.guid()),
            PropType::SERVER_ID => V::ServerId(self.bytes(30)),
            PropType::RESTRICTION => V::Restriction(self.bytes(30)),
            PropType::RULE_ACTION => V::RuleAction(self.bytes(30)),
            PropType::BINARY => V::Binary(self.bytes(200)),
            PropType::OBJECT => V::Object(self.bytes(200)),
            PropType::MULTIPLE_INTEGER16 => V::MultipleInteger16(self.list(|d| d.next() as i16)),
            PropType::MULTIPLE_INTEGER32 => V::MultipleInteger32(self.list(|d| d.next() as i32)),
            PropType::MULTIPLE_FLOATING32 => V::MultipleFloating32(self.list(|d| d.float() as f32)),
            PropType::MULTIPLE_FLOATING64 => V::MultipleFloating64(self.list(Self::float)),
            PropType::MULTIPLE_CURRENCY => V::MultipleCurrency(self.list(|d| d.next() as i64)),
            PropType::MULTIPLE_FLOATING_TIME => V::MultipleFloatingTime(self.list(Self::float)),
            PropType::MULTIPLE_INTEGER64 => V::MultipleInteger64(self.list(|d| d.next() as i64)),
            PropType::MULTIPLE_STRING => V::MultipleString(self.some(&WORDS.map(str::to_owned), 3)),
            PropType::MULTIPLE_TIME => V::MultipleTime(self.list(Self::time)),
            PropType::MULTIPLE_GUID => V::MultipleGuid(self.list(Self::guid)),
            PropType::MULTIPLE_BINARY => V::MultipleBinary(self.list(|d| d.bytes(40))),
            _ => V::String(self.word()),
        }
    }

    /// Some properties, of all types.
    pub(crate) fn properties(&mut self) -> PropertyBag {
        let mut bag = PropertyBag::new();
        for (at, kind) in KINDS.into_iter().enumerate() {
            let tag = PropTag::new(FIRST_ID + at as u16, kind);
            let chance = if [NUMBER, TEXT, LIST].contains(&tag) { 2 } else { 8 };
            if self.one_in(chance) {
                bag.set(tag, self.value(kind));
            }
        }
        if self.one_in(8) {
            // A tag whose type is not the value's own.
            let word = self.word();
            bag.set(
                PropTag::new(FIRST_ID + 0x50, PropType::STRING8),
                PropValue::String(word),
            );
        }
        if self.one_in(4) {
            let word = self.word();
            bag.set(LONG, PropValue::String(word.repeat(self.below(2000))));
        }
        bag
    }

    fn name(&mut self) -> PropertyName {
        let set = Guid([self.below(2) as u8 + 1; 16]);
        if self.one_in(2) {
            PropertyName::lid(set, 0x8200 + self.below(6) as u32)
        } else {
            PropertyName {
                set,
                id: ringpost_mapi::named::NameId::Name(self.word()),
            }
        }
    }

    /// A message as Outlook would save it; embedded messages at most `depth` deep.
    pub(crate) fn content(&mut self, depth: usize) -> MessageContent {
        let mut properties = self.properties();
        let subject = self.below(4);
        if subject < 2 {
            let (prefix, subject) = (self.of(&["", "RE: ", "AW: "]), self.word());
            properties.set(tags::SUBJECT_PREFIX, PropValue::String(prefix.to_owned()));
            properties.set(tags::NORMALIZED_SUBJECT, PropValue::String(subject.clone()));
            if self.one_in(2) {
                properties.set(tags::SUBJECT, PropValue::String(format!("{prefix}{subject}")));
            }
        } else if subject == 2 {
            let subject = self.word();
            properties.set(tags::SUBJECT, PropValue::String(subject));
        }
        if self.one_in(2) {
            properties.set(tags::IMPORTANCE, PropValue::Integer32(self.below(3) as i32));
        }
        if self.one_in(2) {
            properties.set(
                tags::MESSAGE_CLASS,
                PropValue::String(self.of(&CLASSES).to_owned()),
            );
        }
        if self.one_in(2) {
            let sender = self.word();
            properties.set(tags::SENT_REPRESENTING_NAME, PropValue::String(sender));
        }
        if self.one_in(2) {
            let body = self.word().repeat(self.below(1500));
            properties.set(tags::BODY, PropValue::String(body));
        }
        if self.one_in(4) {
            // Some are the client's, some follow from other things.
            let flags = self.of(&[0x20, 0x85, 0x104, 0x2058, 0x8000, 0]);
            properties.set(tags::MESSAGE_FLAGS, PropValue::Integer32(flags));
        }
        let mut named: Vec<(PropertyName, PropValue)> = Vec::new();
        while self.one_in(3) {
            let (name, kind) = (self.name(), self.of(&KINDS));
            if named.iter().all(|(known, _)| *known != name) {
                named.push((name, self.value(kind)));
            }
        }
        let recipients = (0..self.below(4)).map(|row| self.recipient(row)).collect();
        let attachments = (0..self.below(3)).map(|_| self.attachment(depth)).collect();
        MessageContent {
            properties,
            named,
            recipients,
            attachments,
        }
    }

    fn recipient(&mut self, row: usize) -> PropertyBag {
        let mut bag = self.properties();
        bag.set(tags::ROWID, PropValue::Integer32(row as i32));
        bag.set(
            tags::RECIPIENT_TYPE,
            PropValue::Integer32(1 + self.below(3) as i32),
        );
        let address = format!("{}@example.test", self.word());
        bag.set(tags::EMAIL_ADDRESS, PropValue::String(address));
        bag
    }

    fn attachment(&mut self, depth: usize) -> AttachmentContent {
        let mut properties = self.properties();
        let name = format!("{}.txt", self.word());
        properties.set(tags::ATTACH_LONG_FILENAME, PropValue::String(name));
        if self.one_in(4) {
            properties.set(tags::ATTACHMENT_HIDDEN, PropValue::Boolean(true));
        }
        let data = if depth > 0 && self.one_in(3) {
            AttachmentData::Embedded(Box::new(self.content(depth - 1)))
        } else {
            let limit = self.of(&[100, 20_000]);
            properties.set(tags::ATTACH_DATA_BINARY, PropValue::Binary(self.bytes(limit)));
            AttachmentData::None
        };
        AttachmentContent { properties, data }
    }

    /// The source of a message as it comes from outside, and a word of its body.
    pub(crate) fn source(&mut self) -> (Vec<u8>, String) {
        let (subject, word) = (
            self.of(&["alpha", "Re: beta", "Gamma"]),
            self.of(&["river", "Mountain"]),
        );
        let padding = "The quick brown fox jumps over the lazy dog.\r\n".repeat(self.below(300));
        let mut source = format!(
            "From: Ann <ann@example.test>\r\nTo: bob@example.test\r\nSubject: {subject}\r\nX-Number: {}\r\n",
            self.below(50)
        );
        let text = format!("{word}\r\n{padding}");
        if self.one_in(2) {
            source.push_str("\r\n");
            source.push_str(&text);
        } else {
            source.push_str(
                "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n",
            );
            source.push_str(&text);
            source.push_str(
                "\r\n--b\r\nContent-Type: application/pdf; name=alpha.txt\r\n\r\ndata\r\n--b--\r\n",
            );
        }
        (source.into_bytes(), word.to_owned())
    }

    /// A condition on messages.
    pub(crate) fn restriction(&mut self, depth: usize) -> Restriction {
        let relations = [
            Relation::Less,
            Relation::LessOrEqual,
            Relation::Greater,
            Relation::GreaterOrEqual,
            Relation::Equal,
            Relation::NotEqual,
        ];
        let relation = self.of(&relations);
        let property = |tag: PropTag, value| Restriction::Property {
            relation,
            tag,
            value: TaggedValue { tag, value },
        };
        match self.below(if depth > 0 { 19 } else { 16 }) {
            0 => property(NUMBER, PropValue::Integer32(self.below(7) as i32 - 3)),
            1 => property(TEXT, PropValue::String(self.word())),
            2 => property(tags::READ, PropValue::Boolean(self.one_in(2))),
            3 => property(tags::IMPORTANCE, PropValue::Integer32(self.below(3) as i32)),
            4 => property(tags::MESSAGE_DELIVERY_TIME, PropValue::Time(self.time())),
            5 => property(
                tags::MESSAGE_SIZE,
                PropValue::Integer32(self.below(20_000) as i32),
            ),
            6 => property(tags::NORMALIZED_SUBJECT, PropValue::String(self.word())),
            7 => property(tags::HAS_ATTACHMENTS, PropValue::Boolean(self.one_in(2))),
            8 => Restriction::Bitmask {
                nonzero: self.one_in(2),
                tag: self.of(&[tags::MESSAGE_FLAGS, NUMBER]),
                mask: self.of(&[1, 4, 8, 16, 17, 0x40, 0x400, 0x8100]),
            },
            9 | 10 => {
                let tag = self.of(&[
                    tags::SUBJECT,
                    tags::NORMALIZED_SUBJECT,
                    tags::SENT_REPRESENTING_NAME,
                    TEXT,
                    tags::MESSAGE_CLASS,
                ]);
                let word = self.word();
                let text = word.chars().take(1 + self.below(5)).collect();
                self.contains(tag, text)
            }
            11 => {
                let word = self.of(&["river", "mountain", "alpha", "fox"]);
                self.contains(tags::BODY, word.to_owned())
            }
            12 => Restriction::Exist {
                tag: self.of(&[NUMBER, LIST, LONG, tags::BODY]),
            },
            13 => Restriction::Size {
                relation,
                tag: self.of(&[LONG, TEXT]),
                size: self.below(9000) as u32,
            },
            14 => {
                let word = self.word();
                Restriction::SubObject {
                    table: SubObjectTable::Recipients,
                    restriction: Box::new(self.contains(tags::EMAIL_ADDRESS, word)),
                }
            }
            15 => {
                let word = self.word();
                Restriction::SubObject {
                    table: SubObjectTable::Attachments,
                    restriction: Box::new(self.contains(tags::ATTACH_LONG_FILENAME, word)),
                }
            }
            16 => Restriction::Not(Box::new(self.restriction(depth - 1))),
            17 => Restriction::And((0..self.below(3)).map(|_| self.restriction(depth - 1)).collect()),
            _ => Restriction::Or((0..self.below(3)).map(|_| self.restriction(depth - 1)).collect()),
        }
    }

    fn contains(&mut self, tag: PropTag, text: String) -> Restriction {
        let low = self.of(&[FuzzyLevel::FULL_STRING, FuzzyLevel::SUBSTRING, FuzzyLevel::PREFIX]);
        let high = self.of(&[0, FuzzyLevel::IGNORE_CASE]);
        Restriction::Content {
            fuzzy: FuzzyLevel { low, high },
            tag,
            value: TaggedValue {
                tag,
                value: PropValue::String(text),
            },
        }
    }

    /// A sort order, with and without categories.
    pub(crate) fn sort(&mut self) -> SortOrderSet {
        let direction = |dice: &mut Self| dice.of(&[Direction::Ascending, Direction::Descending]);
        if self.one_in(4) {
            let direction = direction(self);
            return SortOrderSet::plain(vec![SortOrder {
                tag: tags::MESSAGE_DELIVERY_TIME,
                direction,
            }]);
        }
        let each = PropTag::new(LIST.id(), PropType(LIST.kind().0 | PropType::INSTANCE));
        let known = [
            NUMBER,
            TEXT,
            tags::MESSAGE_DELIVERY_TIME,
            tags::SUBJECT,
            tags::IMPORTANCE,
            tags::MESSAGE_SIZE,
            each,
        ];
        let mut orders: Vec<SortOrder> = self
            .some(&known, 4)
            .into_iter()
            .map(|tag| SortOrder {
                tag,
                direction: direction(self),
            })
            .collect();
        let categories = self.below(orders.len().min(2) + 1);
        let expanded = self.below(categories + 1);
        let largest = orders
            .iter()
            .all(|order| order.tag != tags::MESSAGE_DELIVERY_TIME);
        if categories > 0 && largest && self.one_in(3) {
            let largest = SortOrder {
                tag: tags::MESSAGE_DELIVERY_TIME,
                direction: Direction::MaximumCategory,
            };
            orders.insert(categories, largest);
        }
        SortOrderSet {
            orders,
            categories,
            expanded,
        }
    }
}
