//! The commands, as one table: name, states, whether UID may precede it, parser.

use std::borrow::Cow;

use ringpost_store::FlagAction;

use super::{
    SyntaxError,
    acl::{self, RightsChange},
    append::{self, Append},
    fetch::{self, Fetch},
    list::{self, List, StatusItem},
    metadata::{self, GetMetadata, SetMetadata},
    notify::{self, NotifySet},
    reader::Reader,
    search::{self, Algorithm, Search, Sort},
    sequence::{Bound, SequenceSet},
};
use crate::limits;

type Result<T> = std::result::Result<T, SyntaxError>;

/// States of a session (RFC 9051 §3), as a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct States(u8);

impl States {
    pub(crate) const NOT_AUTHENTICATED: Self = Self(1);
    pub(crate) const AUTHENTICATED: Self = Self(2);
    pub(crate) const SELECTED: Self = Self(4);
    const LOGGED_IN: Self = Self(2 | 4);
    const ANY: Self = Self(1 | 2 | 4);

    pub(crate) fn contains(self, state: Self) -> bool {
        self.0 & state.0 == state.0
    }
}

/// A command: its tag, what it asks, and where it is allowed.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) tag: &'a str,
    /// The command's name in the table; `UID FETCH` is `FETCH`.
    pub(crate) name: &'static str,
    /// UID preceded the name.
    pub(crate) uid: bool,
    pub(crate) states: States,
    pub(crate) body: Body<'a>,
}

/// What a command asks.
#[derive(Debug, PartialEq)]
pub(crate) enum Body<'a> {
    Capability,
    Noop,
    Logout,
    Id,
    StartTls,
    Login {
        user: String,
        password: String,
    },
    Authenticate {
        mechanism: String,
        initial: Option<&'a str>,
    },
    Enable(Vec<&'a str>),
    Select(Select),
    Create {
        mailbox: String,
        /// CREATE-SPECIAL-USE (RFC 6154 §3), empty without it.
        uses: Vec<String>,
    },
    Delete(String),
    Rename {
        from: String,
        to: String,
    },
    Subscribe(String),
    Unsubscribe(String),
    List(List),
    Lsub(List),
    Namespace,
    Status {
        mailbox: String,
        items: Vec<StatusItem>,
    },
    Append {
        mailbox: String,
        messages: Vec<Append>,
    },
    Check,
    Close,
    Unselect,
    Expunge(Option<SequenceSet>),
    Search(Search),
    Sort(Sort),
    Thread {
        algorithm: Algorithm,
        search: Search,
    },
    Fetch(Fetch),
    Store(Store),
    Copy {
        set: SequenceSet,
        mailbox: String,
    },
    Move {
        set: SequenceSet,
        mailbox: String,
    },
    Replace {
        target: Bound,
        mailbox: String,
        message: Append,
    },
    Idle,
    Compress,
    SetAcl {
        mailbox: String,
        identifier: String,
        change: RightsChange,
    },
    DeleteAcl {
        mailbox: String,
        identifier: String,
    },
    GetAcl(String),
    ListRights {
        mailbox: String,
        identifier: String,
    },
    MyRights(String),
    GetQuota(String),
    GetQuotaRoot(String),
    SetQuota,
    GetMetadata(GetMetadata),
    SetMetadata(SetMetadata),
    /// `None`: NOTIFY NONE.
    Notify(Option<NotifySet>),
}

/// SELECT and EXAMINE.
#[derive(Debug, PartialEq, Default)]
pub(crate) struct Select {
    pub(crate) mailbox: String,
    pub(crate) read_only: bool,
    pub(crate) condstore: bool,
    pub(crate) qresync: Option<QuickResync>,
}

/// The QRESYNC parameter (RFC 7162 §3.2.5). What the client knows of numbers and UIDs only saves work, and
/// is not needed here.
#[derive(Debug, PartialEq)]
pub(crate) struct QuickResync {
    pub(crate) uid_validity: u32,
    pub(crate) mod_seq: u64,
    pub(crate) known: Option<SequenceSet>,
}

/// STORE.
#[derive(Debug, PartialEq)]
pub(crate) struct Store {
    pub(crate) set: SequenceSet,
    pub(crate) action: FlagAction,
    pub(crate) silent: bool,
    pub(crate) flags: Vec<String>,
    pub(crate) unchanged_since: Option<u64>,
}

/// One row of [`COMMANDS`].
pub(crate) struct Specification {
    pub(crate) name: &'static str,
    pub(crate) states: States,
    /// Whether `UID` may precede it.
    uid: bool,
    parse: for<'a> fn(&mut Reader<'a>, bool) -> Result<Body<'a>>,
}

/// All commands.
pub(crate) const COMMANDS: &[Specification] = &[
    row("CAPABILITY", States::ANY, |_, _| Ok(Body::Capability)),
    row("NOOP", States::ANY, |_, _| Ok(Body::Noop)),
    row("LOGOUT", States::ANY, |_, _| Ok(Body::Logout)),
    row("ID", States::ANY, id),
    row("STARTTLS", States::NOT_AUTHENTICATED, |_, _| Ok(Body::StartTls)),
    row("LOGIN", States::NOT_AUTHENTICATED, login),
    row("AUTHENTICATE", States::NOT_AUTHENTICATED, authenticate),
    row("ENABLE", States::LOGGED_IN, enable),
    row("SELECT", States::LOGGED_IN, |r, _| select(r, false)),
    row("EXAMINE", States::LOGGED_IN, |r, _| select(r, true)),
    row("CREATE", States::LOGGED_IN, create),
    row("DELETE", States::LOGGED_IN, |r, _| mailbox(r).map(Body::Delete)),
    row("RENAME", States::LOGGED_IN, |r, _| {
        Ok(Body::Rename {
            from: mailbox(r)?,
            to: mailbox(r)?,
        })
    }),
    row("SUBSCRIBE", States::LOGGED_IN, |r, _| {
        mailbox(r).map(Body::Subscribe)
    }),
    row("UNSUBSCRIBE", States::LOGGED_IN, |r, _| {
        mailbox(r).map(Body::Unsubscribe)
    }),
    row("LIST", States::LOGGED_IN, |r, _| list::list(r).map(Body::List)),
    row("LSUB", States::LOGGED_IN, |r, _| list::lsub(r).map(Body::Lsub)),
    row("NAMESPACE", States::LOGGED_IN, |_, _| Ok(Body::Namespace)),
    row("STATUS", States::LOGGED_IN, status),
    row("APPEND", States::LOGGED_IN, append::append),
    row("IDLE", States::LOGGED_IN, |_, _| Ok(Body::Idle)),
    row("COMPRESS", States::LOGGED_IN, compress),
    row("SETACL", States::LOGGED_IN, |r, _| {
        Ok(Body::SetAcl {
            mailbox: mailbox(r)?,
            identifier: acl::identifier(r)?,
            change: acl::rights_change(r)?,
        })
    }),
    row("DELETEACL", States::LOGGED_IN, |r, _| {
        Ok(Body::DeleteAcl {
            mailbox: mailbox(r)?,
            identifier: acl::identifier(r)?,
        })
    }),
    row("GETACL", States::LOGGED_IN, |r, _| mailbox(r).map(Body::GetAcl)),
    row("LISTRIGHTS", States::LOGGED_IN, |r, _| {
        Ok(Body::ListRights {
            mailbox: mailbox(r)?,
            identifier: acl::identifier(r)?,
        })
    }),
    row("MYRIGHTS", States::LOGGED_IN, |r, _| {
        mailbox(r).map(Body::MyRights)
    }),
    row("GETQUOTA", States::LOGGED_IN, |r, _| {
        r.space()?;
        r.text().map(Body::GetQuota)
    }),
    row("GETQUOTAROOT", States::LOGGED_IN, |r, _| {
        mailbox(r).map(Body::GetQuotaRoot)
    }),
    row("SETQUOTA", States::LOGGED_IN, set_quota),
    row("NOTIFY", States::LOGGED_IN, notify::notify),
    row("GETMETADATA", States::LOGGED_IN, metadata::get),
    row("SETMETADATA", States::LOGGED_IN, metadata::set),
    row("CHECK", States::SELECTED, |_, _| Ok(Body::Check)),
    row("CLOSE", States::SELECTED, |_, _| Ok(Body::Close)),
    row("UNSELECT", States::SELECTED, |_, _| Ok(Body::Unselect)),
    uid_row("EXPUNGE", expunge),
    uid_row("SEARCH", |r, _| search::search(r).map(Body::Search)),
    uid_row("SORT", |r, _| search::sort(r).map(Body::Sort)),
    uid_row("THREAD", |r, _| {
        search::thread(r).map(|(algorithm, search)| Body::Thread { algorithm, search })
    }),
    uid_row("FETCH", |r, uid| fetch::fetch(r, uid).map(Body::Fetch)),
    uid_row("STORE", store),
    uid_row("COPY", |r, _| {
        set_and_mailbox(r).map(|(set, mailbox)| Body::Copy { set, mailbox })
    }),
    uid_row("MOVE", |r, _| {
        set_and_mailbox(r).map(|(set, mailbox)| Body::Move { set, mailbox })
    }),
    uid_row("REPLACE", append::replace),
];

const fn row(
    name: &'static str,
    states: States,
    parse: for<'a> fn(&mut Reader<'a>, bool) -> Result<Body<'a>>,
) -> Specification {
    Specification {
        name,
        states,
        uid: false,
        parse,
    }
}

const fn uid_row(
    name: &'static str,
    parse: for<'a> fn(&mut Reader<'a>, bool) -> Result<Body<'a>>,
) -> Specification {
    Specification {
        name,
        states: States::SELECTED,
        uid: true,
        parse,
    }
}

impl<'a> Command<'a> {
    /// Reads one command as [`super::framing::Framer`] gives it. The error has the tag where there is one.
    pub(crate) fn parse(
        bytes: &'a [u8],
        utf8: bool,
    ) -> std::result::Result<Self, (Option<&'a str>, SyntaxError)> {
        let mut reader = Reader::new(bytes, utf8);
        let tag = reader.tag().map_err(|error| (None, error))?;
        Self::parse_after(tag, &mut reader).map_err(|error| (Some(tag), error))
    }

    /// The URLs that CATENATE names.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        let messages = match &self.body {
            Body::Append { messages, .. } => messages.as_slice(),
            Body::Replace { message, .. } => std::slice::from_ref(message),
            _ => &[],
        };
        let pieces = messages.iter().flat_map(|message| match &message.source {
            append::Source::Parts(pieces) => pieces.as_slice(),
            append::Source::Literal(_) => &[],
        });
        pieces.filter_map(|piece| match piece {
            append::Piece::Url(url) => Some(url.as_str()),
            append::Piece::Text(_) => None,
        })
    }

    fn parse_after(tag: &'a str, reader: &mut Reader<'a>) -> Result<Self> {
        reader.space()?;
        let mut name = reader.word()?;
        let uid = name.eq_ignore_ascii_case("UID");
        if uid {
            reader.space()?;
            name = reader.word()?;
        }
        let specification = COMMANDS
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(name) && (row.uid || !uid))
            .ok_or(SyntaxError::UnknownCommand)?;
        let body = (specification.parse)(reader, uid)?;
        reader.end()?;
        Ok(Self {
            tag,
            name: specification.name,
            uid,
            states: specification.states,
            body,
        })
    }
}

/// Whether a text is a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    let mut reader = Reader::new(text.as_bytes(), false);
    reader.tag().is_ok() && reader.end().is_ok()
}

fn mailbox(reader: &mut Reader<'_>) -> Result<String> {
    reader.space()?;
    reader.mailbox()
}

fn set_and_mailbox(reader: &mut Reader<'_>) -> Result<(SequenceSet, String)> {
    reader.space()?;
    Ok((SequenceSet::read(reader)?, mailbox(reader)?))
}

fn id<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    if !reader.eat_word("NIL") {
        reader.list(limits::LIST_ELEMENTS, Reader::nstring)?;
    }
    Ok(Body::Id)
}

fn login<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    let user = reader.text()?;
    reader.space()?;
    Ok(Body::Login {
        user,
        password: reader.text()?,
    })
}

fn authenticate<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    let mechanism = reader.atom()?.to_ascii_uppercase();
    let initial = if reader.eat(b' ') {
        Some(reader.atom()?)
    } else {
        None
    };
    Ok(Body::Authenticate { mechanism, initial })
}

fn enable<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    let mut names = Vec::new();
    while reader.eat(b' ') {
        if names.len() == limits::LIST_ELEMENTS {
            return Err(SyntaxError::TooMany("extensions"));
        }
        names.push(reader.atom()?);
    }
    if names.is_empty() {
        Err(SyntaxError::Expected("an extension"))
    } else {
        Ok(Body::Enable(names))
    }
}

/// CREATE with its parameters (RFC 4466 §2.2), of which USE is known.
fn create<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    let mailbox = mailbox(reader)?;
    let mut uses = Vec::new();
    if reader.eat(b' ') {
        reader.list(1, |r| {
            if !r.eat_word("USE") {
                return Err(SyntaxError::Expected("USE"));
            }
            r.space()?;
            uses = r.list(limits::LIST_ELEMENTS, Reader::flag)?;
            Ok(())
        })?;
    }
    Ok(Body::Create { mailbox, uses })
}

fn set_quota<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    reader.text()?;
    reader.space()?;
    reader.list(limits::LIST_ELEMENTS, |r| {
        r.atom()?;
        r.space()?;
        r.number64()
    })?;
    Ok(Body::SetQuota)
}

fn select<'a>(reader: &mut Reader<'a>, read_only: bool) -> Result<Body<'a>> {
    let mut select = Select {
        mailbox: mailbox(reader)?,
        read_only,
        ..Select::default()
    };
    if reader.eat(b' ') {
        reader.list(2, |r| {
            if r.eat_word("CONDSTORE") {
                select.condstore = true;
                return Ok(());
            }
            if !r.eat_word("QRESYNC") {
                return Err(SyntaxError::Expected("CONDSTORE or QRESYNC"));
            }
            r.space()?;
            r.expect(b'(', "(")?;
            let uid_validity = r.nonzero()?;
            r.space()?;
            let mod_seq = r.number64()?;
            let mut known = None;
            if r.eat(b' ') {
                if r.peek() != Some(b'(') {
                    known = Some(SequenceSet::read(r)?);
                    r.eat(b' ');
                }
                if r.eat(b'(') {
                    SequenceSet::read(r)?;
                    r.space()?;
                    SequenceSet::read(r)?;
                    r.expect(b')', ")")?;
                }
            }
            r.expect(b')', ")")?;
            select.qresync = Some(QuickResync {
                uid_validity,
                mod_seq,
                known,
            });
            Ok(())
        })?;
    }
    Ok(Body::Select(select))
}

fn status<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    let mailbox = mailbox(reader)?;
    reader.space()?;
    Ok(Body::Status {
        mailbox,
        items: list::status_items(reader)?,
    })
}

fn compress<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    if reader.eat_word("DEFLATE") {
        Ok(Body::Compress)
    } else {
        Err(SyntaxError::Expected("DEFLATE"))
    }
}

fn expunge<'a>(reader: &mut Reader<'a>, uid: bool) -> Result<Body<'a>> {
    if !uid {
        return Ok(Body::Expunge(None));
    }
    reader.space()?;
    SequenceSet::read(reader).map(|set| Body::Expunge(Some(set)))
}

fn store<'a>(reader: &mut Reader<'a>, _: bool) -> Result<Body<'a>> {
    reader.space()?;
    let set = SequenceSet::read(reader)?;
    reader.space()?;
    let mut unchanged_since = None;
    if reader.peek() == Some(b'(') {
        reader.list(1, |r| {
            if !r.eat_word("UNCHANGEDSINCE") {
                return Err(SyntaxError::Expected("UNCHANGEDSINCE"));
            }
            r.space()?;
            unchanged_since = Some(r.number64()?);
            Ok(())
        })?;
        reader.space()?;
    }
    let action = match (reader.eat(b'+'), reader.eat(b'-')) {
        (true, _) => FlagAction::Add,
        (_, true) => FlagAction::Remove,
        _ => FlagAction::Replace,
    };
    let item: Cow<'_, str> = reader.word()?.to_ascii_uppercase().into();
    let silent = match &*item {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(SyntaxError::Expected("FLAGS or FLAGS.SILENT")),
    };
    reader.space()?;
    let flags = if reader.peek() == Some(b'(') {
        reader.list(limits::LIST_ELEMENTS, Reader::flag)?
    } else {
        let mut flags = vec![reader.flag()?];
        while reader.eat(b' ') {
            if flags.len() == limits::LIST_ELEMENTS {
                return Err(SyntaxError::TooMany("flags"));
            }
            flags.push(reader.flag()?);
        }
        flags
    };
    Ok(Body::Store(Store {
        set,
        action,
        silent,
        flags,
        unchanged_since,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<Command<'_>, (Option<&str>, SyntaxError)> {
        Command::parse(text.as_bytes(), false)
    }

    fn body(text: &str) -> Body<'_> {
        let text: &str = text;
        parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error:?}"))
            .body
    }

    #[test]
    fn simple_commands() {
        assert_eq!(body("a1 capability"), Body::Capability);
        assert_eq!(
            body("A LOGIN smith \"se same\""),
            Body::Login {
                user: "smith".into(),
                password: "se same".into()
            }
        );
        assert_eq!(
            body("A LOGIN {5}\r\nsmith {0}\r\n"),
            Body::Login {
                user: "smith".into(),
                password: String::new()
            }
        );
        assert_eq!(
            body("A AUTHENTICATE plain AGE="),
            Body::Authenticate {
                mechanism: "PLAIN".into(),
                initial: Some("AGE=")
            }
        );
        assert_eq!(body("A ID NIL"), Body::Id);
        assert_eq!(body("A ID (\"name\" \"x\" \"os\" NIL)"), Body::Id);
        assert_eq!(body("A ENABLE CONDSTORE X"), Body::Enable(vec!["CONDSTORE", "X"]));
        assert_eq!(
            body("A RENAME a \"b c\""),
            Body::Rename {
                from: "a".into(),
                to: "b c".into()
            }
        );
        assert_eq!(
            body("A CREATE Entw&APw-rfe (USE (\\Sent))"),
            Body::Create {
                mailbox: "Entwürfe".into(),
                uses: vec!["\\Sent".into()]
            }
        );
        assert_eq!(body("A COMPRESS DEFLATE"), Body::Compress);
        let command = parse("A UID EXPUNGE 1:3").unwrap();
        assert!(command.uid && command.name == "EXPUNGE" && command.states == States::SELECTED);
    }

    #[test]
    fn select_parameters() {
        let Body::Select(select) =
            body("A SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211 (1,5 41,45)) CONDSTORE)")
        else {
            panic!()
        };
        assert!(select.condstore && !select.read_only);
        let qresync = select.qresync.unwrap();
        assert_eq!(
            (qresync.uid_validity, qresync.mod_seq),
            (67_890_007, 20_050_715_194_045_000)
        );
        assert!(qresync.known.is_some());
        assert!(matches!(
            body("A EXAMINE x (QRESYNC (1 2))"),
            Body::Select(Select { read_only: true, .. })
        ));
        assert!(matches!(
            body("A EXAMINE x (QRESYNC (1 2 (1 1)))"),
            Body::Select(_)
        ));
        assert!(parse("A SELECT x (QRESYNC (0 2))").is_err());
    }

    #[test]
    fn store_forms() {
        assert_eq!(
            body("A STORE 1 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\\Seen)"),
            Body::Store(Store {
                set: SequenceSet::Ranges(vec![(
                    super::super::sequence::Bound::Number(1),
                    super::super::sequence::Bound::Number(1)
                )]),
                action: FlagAction::Add,
                silent: true,
                flags: vec!["\\Seen".into()],
                unchanged_since: Some(5)
            })
        );
        let Body::Store(store) = body("A STORE $ -FLAGS a b") else {
            panic!()
        };
        assert_eq!(
            (store.action, store.flags.len(), store.set),
            (FlagAction::Remove, 2, SequenceSet::Saved)
        );
        assert!(matches!(body("A STORE 1 FLAGS ()"), Body::Store(s) if s.flags.is_empty()));
    }

    #[test]
    fn malformed_commands_keep_their_tag() {
        for bad in [
            "A",
            "A ",
            "A NOOP x",
            "A NOOPX",
            "A UID NOOP",
            "A UID",
            "A LOGIN",
            "A LOGIN x",
            "A SELECT",
            "A CREATE &",
            "A STORE 1 FLAGS",
            "A STORE 1 (X 1) FLAGS x",
            "A STORE x FLAGS ()",
            "A APPEND x",
            "A APPEND x {3}\r\nab",
            "A APPEND x \"x\" {1}\r\na",
            "A FETCH",
            "A FETCH 1",
            "A FETCH 1 (",
            "A FETCH 1 BODY[",
            "A SEARCH",
            "A ID x",
            "A ENABLE",
            "A COMPRESS LZ",
            "A STATUS x",
            "A STATUS x ()",
            "A LIST",
            "A LIST x",
            "A COPY 1",
            "A UID EXPUNGE",
            "A CREATE x (USE)",
            "A CREATE x (X (\\Sent))",
            "A SETACL x y lrQswicda",
            "A SETACL x y lrqswicda",
            "A SETACL x \"\" lr",
            "A SETACL x y",
            "A DELETEACL x",
            "A MYRIGHTS",
            "A REPLACE 1:2 x {0}\r\n",
            "A REPLACE 1 x",
            "A REPLACE $ x {0}\r\n",
            "A REPLACE 0 x {0}\r\n",
            "A SETQUOTA x (STORAGE)",
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.0, Some("A"), "{bad}");
        }
        assert_eq!(parse("").unwrap_err().0, None);
        assert_eq!(parse("+ NOOP").unwrap_err().0, None);
        assert_eq!(parse("(A NOOP").unwrap_err().0, None);
        let long = format!("A CREATE \"{}\"", "x".repeat(limits::MAILBOX_NAME_BYTES + 1));
        assert_eq!(parse(&long).unwrap_err().1, SyntaxError::MailboxName);
        let many = format!("A APPEND x{}", " {0}\r\n".repeat(limits::APPEND_MESSAGES + 1));
        assert_eq!(parse(&many).unwrap_err().1, SyntaxError::TooMany("messages"));
        let keyword = format!("A STORE 1 FLAGS {}", "k".repeat(limits::KEYWORD_BYTES + 1));
        assert_eq!(
            parse(&keyword).unwrap_err().1,
            SyntaxError::TooMany("bytes in a keyword")
        );
    }

    #[test]
    fn any_damage_to_commands_is_survived() {
        const COMMANDS: [&str; 8] = [
            "A SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541 (1,5 41,45)))",
            "A APPEND x (\\Seen $k) \"17-Jul-1996 02:44:25 -0700\" UTF8 (~{3+}\r\nabc) {2}\r\nxy",
            "A UID FETCH 1:*,$ (FLAGS BODY.PEEK[1.2.HEADER.FIELDS.NOT (A \"b\")]<0.10> BINARY[1]) (CHANGEDSINCE 5 VANISHED)",
            "A SEARCH RETURN (MIN SAVE) CHARSET utf-8 OR (SEEN NOT 1:5) HEADER a {3}\r\nb c SINCE 1-Feb-1994 MODSEQ \"x\" all 5",
            "A SORT RETURN () (REVERSE DATE SUBJECT) UTF-8 UID 1:3 KEYWORD x",
            "A LIST (SUBSCRIBED RECURSIVEMATCH) \"a\" (\"&APw-%\" *) RETURN (STATUS (MESSAGES SIZE) CHILDREN)",
            "A STORE 1,2:* (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Deleted x)",
            "A ID (\"a\" NIL \"b\\\"\" \"c\")",
        ];
        let mut random = 0x2545_f491_4f6c_dd1du64;
        let mut next = |limit: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % limit as u64) as usize
        };
        let mut read = 0;
        for round in 0..40_000 {
            let mut bytes = COMMANDS[round % COMMANDS.len()].as_bytes().to_vec();
            for _ in 0..=next(3) {
                if bytes.len() < 2 {
                    break;
                }
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes[at] = b"(){}[]\"\\ ,:*0~\r\n\xff"[next(17)],
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, bytes[next(bytes.len())]),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            read += usize::from(Command::parse(&bytes, round % 2 == 0).is_ok());
        }
        // Some damage leaves a command; most does not.
        assert!(read > 1000 && read < 30_000, "{read}");
    }
}
