//! FETCH's items (RFC 9051 §6.4.5) with BINARY (RFC 3516), CONDSTORE and QRESYNC (RFC 7162), OBJECTID (RFC 8474),
//! SAVEDATE (RFC 8514).

use super::{SyntaxError, reader::Reader, sequence::SequenceSet};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// FETCH.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fetch {
    pub(crate) set: SequenceSet,
    pub(crate) items: Vec<Item>,
    pub(crate) changed_since: Option<u64>,
    pub(crate) vanished: bool,
}

/// What FETCH asks of each message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Uid,
    Flags,
    InternalDate,
    SaveDate,
    Size,
    Envelope,
    /// BODY
    Body,
    BodyStructure,
    ModSeq,
    EmailId,
    ThreadId,
    /// PREVIEW (RFC 8970); with LAZY, too, since making one is cheap.
    Preview,
    Section(SectionItem),
    /// BINARY[…]
    Binary {
        part: Vec<u32>,
        peek: bool,
        partial: Option<Partial>,
    },
    /// BINARY.SIZE[…]
    BinarySize(Vec<u32>),
}

/// `BODY[…]` and its like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SectionItem {
    pub(crate) section: Section,
    pub(crate) peek: bool,
    pub(crate) partial: Option<Partial>,
    /// How the answer names it where not `BODY[section]`: `RFC822`, `RFC822.HEADER`, `RFC822.TEXT`.
    pub(crate) name: Option<&'static str>,
}

/// `<offset.length>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partial {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What is between the brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) part: Vec<u32>,
    pub(crate) text: SectionText,
}

/// The part's aspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SectionText {
    All,
    Header,
    /// `HEADER.FIELDS`, or all but those with `not`.
    Fields {
        names: Vec<String>,
        not: bool,
    },
    Text,
    Mime,
}

impl Item {
    /// Whether it marks the message `\Seen`.
    pub(crate) fn sets_seen(&self) -> bool {
        match self {
            Self::Section(item) => !item.peek,
            Self::Binary { peek, .. } => !peek,
            _ => false,
        }
    }

    /// Whether it needs the message's structure, as it is encoded.
    pub(crate) fn needs_structure(&self) -> bool {
        match self {
            Self::Envelope | Self::Body | Self::BodyStructure => true,
            Self::Section(item) => !(item.section.part.is_empty() && item.section.text == SectionText::All),
            _ => self.needs_parts(),
        }
    }

    /// Whether it needs the structure's parts.
    pub(crate) fn needs_parts(&self) -> bool {
        match self {
            Self::Preview | Self::Binary { .. } | Self::BinarySize(_) => true,
            Self::Section(item) => !item.section.part.is_empty(),
            _ => false,
        }
    }

    /// Whether the message's row has it, or its encoded structure.
    pub(crate) fn is_of_row(&self) -> bool {
        !matches!(
            self,
            Self::Preview | Self::Section(_) | Self::Binary { .. } | Self::BinarySize(_)
        )
    }
}

pub(super) fn fetch(reader: &mut Reader<'_>, uid: bool) -> Result<Fetch> {
    reader.space()?;
    let set = SequenceSet::read(reader)?;
    reader.space()?;
    let mut items = if reader.peek() == Some(b'(') {
        reader.list(limits::FETCH_ITEMS, item)?
    } else if let Some(items) = fetch_macro(reader) {
        items
    } else {
        vec![item(reader)?]
    };
    if items.is_empty() {
        return Err(SyntaxError::Expected("a data item"));
    }
    let (mut changed_since, mut vanished) = (None, false);
    if reader.eat(b' ') {
        reader.list(2, |r| {
            if r.eat_word("CHANGEDSINCE") {
                r.space()?;
                changed_since = Some(r.number64()?);
            } else if r.eat_word("VANISHED") {
                vanished = true;
            } else {
                return Err(SyntaxError::Expected("CHANGEDSINCE or VANISHED"));
            }
            Ok(())
        })?;
    }
    if vanished && (changed_since.is_none() || !uid) {
        return Err(SyntaxError::Expected("UID and CHANGEDSINCE with VANISHED"));
    }
    if changed_since.is_some() && !items.contains(&Item::ModSeq) {
        items.push(Item::ModSeq);
    }
    if uid && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    Ok(Fetch {
        set,
        items,
        changed_since,
        vanished,
    })
}

fn fetch_macro(reader: &mut Reader<'_>) -> Option<Vec<Item>> {
    let fast = || vec![Item::Flags, Item::InternalDate, Item::Size];
    if reader.eat_word("FAST") {
        Some(fast())
    } else if reader.eat_word("ALL") {
        Some([fast(), vec![Item::Envelope]].concat())
    } else if reader.eat_word("FULL") {
        Some([fast(), vec![Item::Envelope, Item::Body]].concat())
    } else {
        None
    }
}

pub(super) fn item(reader: &mut Reader<'_>) -> Result<Item> {
    let name = reader.word()?.to_ascii_uppercase();
    let bracket = reader.peek() == Some(b'[');
    Ok(match (name.as_str(), bracket) {
        ("UID", false) => Item::Uid,
        ("FLAGS", false) => Item::Flags,
        ("INTERNALDATE", false) => Item::InternalDate,
        ("SAVEDATE", false) => Item::SaveDate,
        ("RFC822.SIZE", false) => Item::Size,
        ("ENVELOPE", false) => Item::Envelope,
        ("BODY", false) => Item::Body,
        ("BODYSTRUCTURE", false) => Item::BodyStructure,
        ("MODSEQ", false) => Item::ModSeq,
        ("EMAILID", false) => Item::EmailId,
        ("THREADID", false) => Item::ThreadId,
        ("PREVIEW", false) => preview(reader)?,
        ("RFC822", false) => whole("RFC822", SectionText::All, false),
        ("RFC822.HEADER", false) => whole("RFC822.HEADER", SectionText::Header, true),
        ("RFC822.TEXT", false) => whole("RFC822.TEXT", SectionText::Text, false),
        ("BODY" | "BODY.PEEK", true) => {
            let section = section(reader)?;
            let peek = name == "BODY.PEEK";
            Item::Section(SectionItem {
                section,
                peek,
                partial: partial(reader)?,
                name: None,
            })
        }
        ("BINARY" | "BINARY.PEEK", true) => {
            let (part, peek) = (binary_part(reader)?, name == "BINARY.PEEK");
            Item::Binary {
                part,
                peek,
                partial: partial(reader)?,
            }
        }
        ("BINARY.SIZE", true) => Item::BinarySize(binary_part(reader)?),
        _ => return Err(SyntaxError::Expected("a data item")),
    })
}

/// PREVIEW's modifiers, of which there is one. What follows in parentheses may be FETCH's own modifiers.
fn preview(reader: &mut Reader<'_>) -> Result<Item> {
    let mut ahead = reader.clone();
    if ahead.eat(b' ') && ahead.eat(b'(') && ahead.eat_word("LAZY") {
        ahead.expect(b')', ")")?;
        *reader = ahead;
    }
    Ok(Item::Preview)
}

fn whole(name: &'static str, text: SectionText, peek: bool) -> Item {
    Item::Section(SectionItem {
        section: Section {
            part: Vec::new(),
            text,
        },
        peek,
        partial: None,
        name: Some(name),
    })
}

/// `1.2.3`, with what is written after the last dot left to the caller. Stops before a letter.
fn part_numbers(reader: &mut Reader<'_>) -> Result<Vec<u32>> {
    let mut part = Vec::new();
    while reader.peek().is_some_and(|b| b.is_ascii_digit()) {
        if part.len() == limits::MAILBOX_DEPTH {
            return Err(SyntaxError::TooMany("part numbers"));
        }
        part.push(reader.nonzero()?);
        if !reader.eat(b'.') {
            break;
        }
        if reader.peek() == Some(b']') {
            return Err(SyntaxError::Expected("a part number or name"));
        }
    }
    Ok(part)
}

fn binary_part(reader: &mut Reader<'_>) -> Result<Vec<u32>> {
    reader.expect(b'[', "[")?;
    let part = part_numbers(reader)?;
    reader.expect(b']', "]")?;
    Ok(part)
}

pub(super) fn section(reader: &mut Reader<'_>) -> Result<Section> {
    reader.expect(b'[', "[")?;
    let part = part_numbers(reader)?;
    let text = if reader.peek() == Some(b']') {
        SectionText::All
    } else {
        match reader.word()?.to_ascii_uppercase().as_str() {
            "HEADER" => SectionText::Header,
            "TEXT" => SectionText::Text,
            "MIME" if !part.is_empty() => SectionText::Mime,
            name @ ("HEADER.FIELDS" | "HEADER.FIELDS.NOT") => {
                reader.space()?;
                let names = reader.list(limits::LIST_ELEMENTS, Reader::text)?;
                if names.is_empty() {
                    return Err(SyntaxError::Expected("a field name"));
                }
                SectionText::Fields {
                    names,
                    not: name.ends_with("NOT"),
                }
            }
            _ => return Err(SyntaxError::Expected("a section")),
        }
    };
    reader.expect(b']', "]")?;
    Ok(Section { part, text })
}

fn partial(reader: &mut Reader<'_>) -> Result<Option<Partial>> {
    if !reader.eat(b'<') {
        return Ok(None);
    }
    let offset = reader.number64()?;
    reader.expect(b'.', ".")?;
    let length = reader.number64()?;
    reader.expect(b'>', ">")?;
    if length == 0 {
        return Err(SyntaxError::Expected("a length above 0"));
    }
    Ok(Some(Partial { offset, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Result<Vec<Item>> {
        let mut reader = Reader::new(text.as_bytes(), false);
        let fetch = fetch(&mut reader, false)?;
        reader.end().map(|()| fetch.items)
    }

    #[test]
    fn forms() {
        assert_eq!(items(" 1 FAST").unwrap().len(), 3);
        assert_eq!(items(" 1 (UID FLAGS)").unwrap(), [Item::Uid, Item::Flags]);
        assert_eq!(items(" 998 (SAVEDATE)").unwrap(), [Item::SaveDate]);
        let section = |text: &str| match items(&format!(" 1 {text}")).unwrap().remove(0) {
            Item::Section(item) => item,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            section("BODY[]").section,
            Section {
                part: vec![],
                text: SectionText::All
            }
        );
        let peek = section("BODY.PEEK[1.2.TEXT]<0.2048>");
        assert_eq!(
            peek.section,
            Section {
                part: vec![1, 2],
                text: SectionText::Text
            }
        );
        assert_eq!(
            peek.partial,
            Some(Partial {
                offset: 0,
                length: 2048
            })
        );
        assert!(peek.peek);
        assert_eq!(section("BODY[4.2.2.MIME]").section.text, SectionText::Mime);
        let fields = section("BODY[HEADER.FIELDS.NOT (Date \"From\")]").section.text;
        assert_eq!(
            fields,
            SectionText::Fields {
                names: vec!["Date".into(), "From".into()],
                not: true
            }
        );
        assert!(section("RFC822.HEADER").peek && !section("rfc822").peek);
        assert_eq!(
            items(" 1 BINARY.PEEK[1]<1.2>").unwrap(),
            [Item::Binary {
                part: vec![1],
                peek: true,
                partial: Some(Partial { offset: 1, length: 2 })
            }]
        );
        assert_eq!(
            items(" 1 (PREVIEW (LAZY) UID PREVIEW)").unwrap(),
            [Item::Preview, Item::Uid, Item::Preview]
        );
        assert_eq!(
            items(" 1 PREVIEW (CHANGEDSINCE 1)").unwrap(),
            [Item::Preview, Item::ModSeq]
        );
        assert_eq!(items(" 1 PREVIEW (LAZY)").unwrap(), [Item::Preview]);
        assert_eq!(
            items(" 1 FLAGS (CHANGEDSINCE 1)").unwrap(),
            [Item::Flags, Item::ModSeq]
        );
    }

    #[test]
    fn malformed() {
        for bad in [
            " 1 ()",
            " 1 X",
            " 1 BODY[MIME]",
            " 1 BODY[1.]",
            " 1 BODY[.1]",
            " 1 BODY[0]",
            " 1 BODY[]<1>",
            " 1 BODY[]<0.0>",
            " 1 BODY[HEADER.FIELDS]",
            " 1 BODY[HEADER.FIELDS ()]",
            " 1 BINARY[TEXT]",
            " 1 BODY.PEEK",
            " 1 FLAGS[1]",
            " 1 FLAGS (VANISHED)",
            " 1 FLAGS (CHANGEDSINCE x)",
            " 1 (FLAGS",
            " 1 (PREVIEW (X))",
        ] {
            assert!(items(bad).is_err(), "{bad}");
        }
        let deep = format!(" 1 BODY[{}1]", "1.".repeat(limits::MAILBOX_DEPTH));
        assert_eq!(items(&deep), Err(SyntaxError::TooMany("part numbers")));
        let many = format!(" 1 ({})", vec!["UID"; limits::FETCH_ITEMS + 1].join(" "));
        assert!(items(&many).is_err());
    }
}
