//! Search programs (RFC 9051 §6.4.4; RFC 5032 WITHIN, 7162 MODSEQ, 8474 ids, 8514 SAVEDATE), SORT and THREAD (RFC 5256, 5957).

use ringpost_store::Flags;

use super::{SyntaxError, date, reader::Reader, sequence::SequenceSet};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// SEARCH.
#[derive(Debug, PartialEq)]
pub(crate) struct Search {
    /// `RETURN (…)`, when given.
    pub(crate) options: Option<ReturnOptions>,
    /// SEARCH named a charset.
    pub(crate) charset_named: bool,
    pub(crate) key: Key,
}

/// `RETURN` of ESEARCH (RFC 4731) and SEARCHRES (RFC 5182).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ReturnOptions {
    pub(crate) min: bool,
    pub(crate) max: bool,
    pub(crate) all: bool,
    pub(crate) count: bool,
    pub(crate) save: bool,
}

impl ReturnOptions {
    /// SAVE without any other option: there is no answer but the tagged one (RFC 5182 §2.1).
    pub(crate) fn only_saves(self) -> bool {
        self.save && !(self.min || self.max || self.all || self.count)
    }
}

/// SORT.
#[derive(Debug, PartialEq)]
pub(crate) struct Sort {
    pub(crate) criteria: Vec<Criterion>,
    pub(crate) search: Search,
}

/// One sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Criterion {
    pub(crate) by: SortBy,
    pub(crate) reverse: bool,
}

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortBy {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    DisplayFrom,
    DisplayTo,
}

/// THREAD's algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    OrderedSubject,
    References,
}

/// A search key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    All,
    /// Message numbers.
    Numbers(SequenceSet),
    Uids(SequenceSet),
    Flag(Flags),
    Keyword(String),
    Recent,
    /// Days since 1970, of INTERNALDATE.
    Before(i64),
    On(i64),
    Since(i64),
    /// The same of when they came into the mailbox.
    SavedBefore(i64),
    SavedOn(i64),
    SavedSince(i64),
    SaveDateSupported,
    /// The same of `Date:`.
    SentBefore(i64),
    SentOn(i64),
    SentSince(i64),
    Larger(u64),
    Smaller(u64),
    /// Seconds.
    Older(u32),
    Younger(u32),
    Header {
        name: String,
        value: String,
    },
    Body(String),
    Text(String),
    ModSeq(u64),
    EmailId(String),
    ThreadId(String),
    Not(Box<Key>),
    And(Vec<Key>),
    Or(Box<Key>, Box<Key>),
}

impl Key {
    /// Whether `found` is true of this key or one inside.
    pub(crate) fn any(&self, found: &impl Fn(&Self) -> bool) -> bool {
        found(self)
            || match self {
                Self::Not(key) => key.any(found),
                Self::And(keys) => keys.iter().any(|key| key.any(found)),
                Self::Or(left, right) => left.any(found) || right.any(found),
                _ => false,
            }
    }
}

pub(super) fn search(reader: &mut Reader<'_>) -> Result<Search> {
    reader.space()?;
    let options = return_options(reader)?;
    let charset_named = reader.eat_word("CHARSET");
    let charset = if charset_named {
        reader.space()?;
        let charset = charset(reader)?;
        reader.space()?;
        charset
    } else {
        encoding_rs::UTF_8
    };
    Ok(Search {
        options,
        charset_named,
        key: program(reader, charset)?,
    })
}

pub(super) fn sort(reader: &mut Reader<'_>) -> Result<Sort> {
    reader.space()?;
    let options = return_options(reader)?;
    let criteria = reader.list(limits::LIST_ELEMENTS, |r| {
        let reverse = r.eat_word("REVERSE");
        if reverse {
            r.space()?;
        }
        let by = match r.word()?.to_ascii_uppercase().as_str() {
            "ARRIVAL" => SortBy::Arrival,
            "CC" => SortBy::Cc,
            "DATE" => SortBy::Date,
            "FROM" => SortBy::From,
            "SIZE" => SortBy::Size,
            "SUBJECT" => SortBy::Subject,
            "TO" => SortBy::To,
            "DISPLAYFROM" => SortBy::DisplayFrom,
            "DISPLAYTO" => SortBy::DisplayTo,
            _ => return Err(SyntaxError::Expected("a sort key")),
        };
        Ok(Criterion { by, reverse })
    })?;
    if criteria.is_empty() {
        return Err(SyntaxError::Expected("a sort key"));
    }
    reader.space()?;
    let charset = charset(reader)?;
    reader.space()?;
    Ok(Sort {
        criteria,
        search: Search {
            options,
            charset_named: false,
            key: program(reader, charset)?,
        },
    })
}

pub(super) fn thread(reader: &mut Reader<'_>) -> Result<(Algorithm, Search)> {
    reader.space()?;
    let algorithm = match reader.atom()?.to_ascii_uppercase().as_str() {
        "ORDEREDSUBJECT" => Algorithm::OrderedSubject,
        "REFERENCES" => Algorithm::References,
        _ => return Err(SyntaxError::Expected("ORDEREDSUBJECT or REFERENCES")),
    };
    reader.space()?;
    let charset = charset(reader)?;
    reader.space()?;
    Ok((
        algorithm,
        Search {
            options: None,
            charset_named: false,
            key: program(reader, charset)?,
        },
    ))
}

fn charset(reader: &mut Reader<'_>) -> Result<&'static encoding_rs::Encoding> {
    let label = reader.astring()?;
    encoding_rs::Encoding::for_label_no_replacement(&label).ok_or(SyntaxError::Charset)
}

fn return_options(reader: &mut Reader<'_>) -> Result<Option<ReturnOptions>> {
    if !reader.eat_word("RETURN") {
        return Ok(None);
    }
    reader.space()?;
    let mut options = ReturnOptions::default();
    reader.list(limits::LIST_ELEMENTS, |r| {
        match r.word()?.to_ascii_uppercase().as_str() {
            "MIN" => options.min = true,
            "MAX" => options.max = true,
            "ALL" => options.all = true,
            "COUNT" => options.count = true,
            "SAVE" => options.save = true,
            _ => return Err(SyntaxError::Expected("a return option")),
        }
        Ok(())
    })?;
    reader.space()?;
    if options == ReturnOptions::default() {
        options.all = true;
    }
    Ok(Some(options))
}

struct Program {
    charset: &'static encoding_rs::Encoding,
    keys: usize,
}

fn program(reader: &mut Reader<'_>, charset: &'static encoding_rs::Encoding) -> Result<Key> {
    let mut program = Program { charset, keys: 0 };
    let mut keys = vec![program.key(reader, 0)?];
    while reader.eat(b' ') {
        if reader.rest().is_empty() {
            break;
        }
        keys.push(program.key(reader, 0)?);
    }
    Ok(and(keys))
}

fn and(mut keys: Vec<Key>) -> Key {
    if keys.len() == 1 {
        keys.remove(0)
    } else {
        Key::And(keys)
    }
}

impl Program {
    fn key(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Key> {
        self.keys += 1;
        if self.keys > limits::SEARCH_KEYS {
            return Err(SyntaxError::TooMany("search keys"));
        }
        if depth > limits::SEARCH_DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        match reader.peek() {
            Some(b'(') => {
                let keys = reader.list(limits::SEARCH_KEYS, |r| self.key(r, depth + 1))?;
                return if keys.is_empty() {
                    Err(SyntaxError::Expected("a search key"))
                } else {
                    Ok(and(keys))
                };
            }
            Some(b'0'..=b'9' | b'*' | b'$') => return SequenceSet::read(reader).map(Key::Numbers),
            _ => {}
        }
        let not = |key: Key| Key::Not(Box::new(key));
        let name = reader.word()?.to_ascii_uppercase();
        Ok(match name.as_str() {
            "ALL" => Key::All,
            "ANSWERED" => Key::Flag(Flags::ANSWERED),
            "DELETED" => Key::Flag(Flags::DELETED),
            "DRAFT" => Key::Flag(Flags::DRAFT),
            "FLAGGED" => Key::Flag(Flags::FLAGGED),
            "SEEN" => Key::Flag(Flags::SEEN),
            "UNANSWERED" => not(Key::Flag(Flags::ANSWERED)),
            "UNDELETED" => not(Key::Flag(Flags::DELETED)),
            "UNDRAFT" => not(Key::Flag(Flags::DRAFT)),
            "UNFLAGGED" => not(Key::Flag(Flags::FLAGGED)),
            "UNSEEN" => not(Key::Flag(Flags::SEEN)),
            "RECENT" => Key::Recent,
            "OLD" => not(Key::Recent),
            "NEW" => Key::And(vec![Key::Recent, not(Key::Flag(Flags::SEEN))]),
            "KEYWORD" => Key::Keyword(keyword(reader)?),
            "UNKEYWORD" => not(Key::Keyword(keyword(reader)?)),
            "BEFORE" => Key::Before(day(reader)?),
            "ON" => Key::On(day(reader)?),
            "SINCE" => Key::Since(day(reader)?),
            "SENTBEFORE" => Key::SentBefore(day(reader)?),
            "SENTON" => Key::SentOn(day(reader)?),
            "SENTSINCE" => Key::SentSince(day(reader)?),
            "SAVEDBEFORE" => Key::SavedBefore(day(reader)?),
            "SAVEDON" => Key::SavedOn(day(reader)?),
            "SAVEDSINCE" => Key::SavedSince(day(reader)?),
            "SAVEDATESUPPORTED" => Key::SaveDateSupported,
            "LARGER" => Key::Larger(number(reader)?),
            "SMALLER" => Key::Smaller(number(reader)?),
            "OLDER" => Key::Older(interval(reader)?),
            "YOUNGER" => Key::Younger(interval(reader)?),
            "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => Key::Header {
                name,
                value: self.string(reader)?,
            },
            "HEADER" => Key::Header {
                name: self.string(reader)?.to_ascii_uppercase(),
                value: self.string(reader)?,
            },
            "BODY" => Key::Body(self.string(reader)?),
            "TEXT" => Key::Text(self.string(reader)?),
            "UID" => {
                reader.space()?;
                Key::Uids(SequenceSet::read(reader)?)
            }
            "MODSEQ" => mod_seq(reader)?,
            "EMAILID" => Key::EmailId(self.string(reader)?),
            "THREADID" => Key::ThreadId(self.string(reader)?),
            "NOT" => {
                reader.space()?;
                not(self.key(reader, depth + 1)?)
            }
            "OR" => {
                reader.space()?;
                let left = self.key(reader, depth + 1)?;
                reader.space()?;
                Key::Or(Box::new(left), Box::new(self.key(reader, depth + 1)?))
            }
            _ => return Err(SyntaxError::Expected("a search key")),
        })
    }

    fn string(&self, reader: &mut Reader<'_>) -> Result<String> {
        reader.space()?;
        let raw = reader.astring()?;
        let (text, _) = self.charset.decode_without_bom_handling(&raw);
        Ok(text.into_owned())
    }
}

fn keyword(reader: &mut Reader<'_>) -> Result<String> {
    reader.space()?;
    reader.flag()
}

fn day(reader: &mut Reader<'_>) -> Result<i64> {
    reader.space()?;
    date::read_date(reader)
}

fn number(reader: &mut Reader<'_>) -> Result<u64> {
    reader.space()?;
    reader.number64()
}

fn interval(reader: &mut Reader<'_>) -> Result<u32> {
    reader.space()?;
    reader.nonzero()
}

/// `MODSEQ ["/flags/\\Seen" all] n`; mod-sequences are kept by message here, so the entry changes nothing
/// (RFC 7162 §3.1.5).
fn mod_seq(reader: &mut Reader<'_>) -> Result<Key> {
    reader.space()?;
    if reader.peek() == Some(b'"') {
        reader.string()?;
        reader.space()?;
        if !["all", "priv", "shared"].iter().any(|kind| reader.eat_word(kind)) {
            return Err(SyntaxError::Expected("all, priv or shared"));
        }
        reader.space()?;
    }
    reader.number64().map(Key::ModSeq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Search> {
        let mut reader = Reader::new(text.as_bytes(), false);
        let search = search(&mut reader)?;
        reader.end().map(|()| search)
    }

    #[test]
    fn programs() {
        assert_eq!(read(" ALL").unwrap().key, Key::All);
        let Key::And(keys) = read(" FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"").unwrap().key else {
            panic!()
        };
        assert_eq!(keys[0], Key::Flag(Flags::FLAGGED));
        assert_eq!(keys[1], Key::Since(8797));
        let from = Key::Header {
            name: "FROM".into(),
            value: "Smith".into(),
        };
        assert_eq!(keys[2], Key::Not(Box::new(from)));
        let search = read(" RETURN (MIN COUNT) OR (SEEN 1:3) UID 5,7:*").unwrap();
        assert!(search.options.is_some_and(|o| o.min && o.count && !o.all));
        assert!(matches!(search.key, Key::Or(left, _) if matches!(*left, Key::And(_))));
        assert!(read(" RETURN () ALL").unwrap().options.unwrap().all);
        let Key::Text(text) = read(" CHARSET UTF-8 TEXT {12}\r\nмосква").unwrap().key else {
            panic!()
        };
        assert_eq!(text, "москва");
        assert_eq!(
            read(" MODSEQ \"/flags/\\\\draft\" all 620162338").unwrap().key,
            Key::ModSeq(620_162_338)
        );
        assert_eq!(read(" MODSEQ 5").unwrap().key, Key::ModSeq(5));
        assert_eq!(read(" $").unwrap().key, Key::Numbers(SequenceSet::Saved));
    }

    #[test]
    fn malformed() {
        for bad in [
            " X",
            " ()",
            " (SEEN",
            " NOT",
            " OR SEEN",
            " SINCE 1994",
            " SINCE 30-Feb-1994",
            " LARGER x",
            " OLDER 0",
            " HEADER x",
            " UID",
            " RETURN (X) ALL",
            " CHARSET UTF-8",
            " MODSEQ \"x\" y 1",
            " SEEN)",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read(" CHARSET klingon ALL").unwrap_err(), SyntaxError::Charset);
        assert_eq!(
            read(&format!(" {}SEEN", "NOT ".repeat(limits::SEARCH_DEPTH + 1))).unwrap_err(),
            SyntaxError::TooDeep
        );
        let nested = format!(" {}SEEN{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(read(&nested).unwrap_err(), SyntaxError::TooDeep);
        let many = format!(" {}", vec!["SEEN"; limits::SEARCH_KEYS + 1].join(" "));
        assert_eq!(read(&many).unwrap_err(), SyntaxError::TooMany("search keys"));
    }

    #[test]
    fn sort_and_thread() {
        let text = b" (SUBJECT REVERSE DATE) UTF-8 ALL";
        let sort = sort(&mut Reader::new(text, false)).unwrap();
        assert_eq!(
            sort.criteria[1],
            Criterion {
                by: SortBy::Date,
                reverse: true
            }
        );
        let thread = thread(&mut Reader::new(b" references US-ASCII ALL", false)).unwrap();
        assert_eq!(thread.0, Algorithm::References);
    }
}
