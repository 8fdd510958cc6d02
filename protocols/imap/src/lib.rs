//! IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051), as a view of the store.
//!
//! ```text
//! bytes ─► syntax::framing ─► syntax::command ─► session ─► steps on the mailbox ─► encode ─► bytes
//!          lines, literals    one typed value    state      bounded: a slice of output or of time
//! ```
//!
//! - `syntax`: the grammar of commands, pure functions with named limits (`limits`).
//! - `encode`, `structure`: the grammar of answers.
//! - `content`: what is inside a message's source: transfer encodings, header fields, text to search.
//! - `session`: until login (`login`), and after it: one file a group of commands.
//! - `capability`: the table of what is advertised and when.
//!
//! # What is served
//!
//! | command or extension | standard | state | tests (`tests/`, and beside the code) |
//! |---|---|---|---|
//! | CAPABILITY NOOP LOGOUT LOGIN AUTHENTICATE (PLAIN, LOGIN) SASL-IR STARTTLS | RFC 9051 §6.1-2, 4616, 4959 | whole | `session`: login, TLS, bad clients, silence |
//! | SELECT EXAMINE CLOSE UNSELECT CHECK | RFC 9051, 3501 | whole; the `UNSEEN` code for IMAP4rev1 but in public folders | `session`, `demands` |
//! | CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE STATUS LSUB | RFC 9051, 3501 | whole; a name is subscribed to while it has a mailbox, and stays so without one | `session`, `rfc_dialogues`, `demands` |
//! | LIST, LIST-EXTENDED, LIST-STATUS, LIST-MYRIGHTS, CHILDREN | RFC 5258, 5819, 8440, 3348 | whole | `session`, `demands`, `acl` |
//! | SPECIAL-USE, CREATE-SPECIAL-USE | RFC 6154 | whole, in one's own mailbox; the uses that built-in folders have stay theirs | `extensions` |
//! | ACL, RIGHTS=kxte | RFC 4314 | whole, in IMAP's letters for MAPI's rights; `s w`, `i p`, `t e` and `x a` are tied, in a public store `r s`; no negative rights; a new mailbox has the list of the one above | `acl`, `namespaces`, `session::acl` |
//! | QUOTA=RES-STORAGE, QUOTA=RES-MESSAGE | RFC 9208 | whole, with STATUS DELETED and DELETED-STORAGE; no QUOTASET | `extensions` |
//! | NOTIFY | RFC 5465 | whole; INBOXES means PERSONAL, of SELECTED's events all come at once; at most 32 stores and 10,000 mailboxes; no CONTEXT | `notify` |
//! | METADATA | RFC 5464 | whole; the server's shared annotations have no values and can't be set | `extensions` |
//! | NAMESPACE | RFC 2342 | own, `Other Users/<address>/`, `Public Folders/<domain>/`; `LIST "" *` shows one's own only, `LIST (SUBSCRIBED)` the subscribed ones of all; another session's `\Seen` of the same reader in a public store is seen at the next FETCH | `namespaces` |
//! | APPEND, MULTIAPPEND, LITERAL+, APPENDLIMIT | RFC 9051, 3502, 7888, 7889 | whole; all messages of a command count against the message limit | `session`, `syntax::framing`, `extensions` |
//! | CATENATE | RFC 4469, 5092 | whole; URLs of this server without URLAUTH, by path or with the user's name and `host_id` | `catenate` |
//! | REPLACE | RFC 8508 | whole; where both mailboxes are of one store, in one step | `catenate` |
//! | PREVIEW | RFC 8970 | whole; LAZY has it at once, too | `extensions`, `session::preview` |
//! | SAVEDATE | RFC 8514 | whole; NIL for messages that an older version stored, which are searched by INTERNALDATE instead | `savedate` |
//! | FETCH, all items | RFC 9051 §6.4.5 | whole; a message number that is not there is BAD | `session`, `rfc_dialogues`, `demands`, `structure` |
//! | BINARY | RFC 3516 | whole; a message with NULs is refused (UNKNOWN-CTE) | `resync`, `session` |
//! | STORE EXPUNGE COPY MOVE, UIDPLUS | RFC 9051, 4315, 6851 | whole | `session` |
//! | SEARCH, ESEARCH, SEARCHRES, WITHIN | RFC 9051, 4731, 5182, 5032 | whole | `search`, `demands` |
//! | SORT, SORT=DISPLAY, ESORT (no CONTEXT) | RFC 5256, 5957, 5267 §3 | whole | `search`, `session::sort` |
//! | THREAD=ORDEREDSUBJECT, THREAD=REFERENCES | RFC 5256 | whole | `rfc_dialogues`, `session::thread` |
//! | IDLE | RFC 2177 | whole | `session` |
//! | ENABLE, CONDSTORE, QRESYNC | RFC 5161, 7162 | whole; the client's sequence match data is read and not needed | `resync`, `rfc_dialogues` |
//! | IMAP4rev2 after ENABLE | RFC 9051 | ESEARCH answers, no RECENT, UTF-8 names, LIST in SELECT, CLOSED | `resync` |
//! | UTF8=ACCEPT | RFC 6855 | whole; sources are sent as they are to every client | `rfc_dialogues` |
//! | OBJECTID | RFC 8474 | MAILBOXID, EMAILID; THREADID is NIL | `session`, `search` |
//! | STATUS=SIZE | RFC 8438 | whole | `session` |
//! | COMPRESS=DEFLATE | RFC 4978 | whole | `session` |
//! | ID | RFC 2971 | answers NIL unless `enable_rfc2971_commands` is on | `session` |
//!
//! What is not whole is not advertised: `capability` is the table. Commands are the table
//! `syntax::command::COMMANDS`; a new one gets its row there, its parser beside it, and its place in
//! `session::Session::dispatch`.
//!
//! # Memory
//!
//! A session keeps its selected mailbox as runs of UIDs (12 bytes each), and while a command runs one slice of
//! output. Messages pass through in slices of 64 KiB; an APPEND holds its message. SORT and THREAD hold a key a
//! message found.

mod capability;
mod content;
mod encode;
mod limits;
mod session;
mod settings;
mod structure;
mod syntax;

use ringpost_host::{Connection, Host, Login, Outcome, Service};

pub use settings::Settings;

/// What moves from the first stage of a session to the second: who logged in, and what was read beyond that.
#[derive(Debug)]
pub struct State {
    login: Login,
    input: Vec<u8>,
}

/// The IMAP listeners' protocol.
#[derive(Clone, Debug, Default)]
pub struct ImapService {
    /// Its settings.
    pub settings: Settings,
}

impl Service for ImapService {
    type State = State;

    fn name(&self) -> &'static str {
        "imap"
    }

    async fn accept<C: Connection, H: Host>(&self, connection: &mut C, host: &H) -> Outcome<State> {
        session::not_authenticated(connection, host, &self.settings).await
    }

    async fn serve<C: Connection, H: Host>(&self, connection: &mut C, host: &H, state: State) {
        session::authenticated(connection, host, &self.settings, state).await;
    }

    fn denied(&self) -> &'static [u8] {
        b"* BYE access denied: your address is on a block list\r\n"
    }

    fn busy(&self) -> &'static [u8] {
        b"* BYE [UNAVAILABLE] too many connections\r\n"
    }
}

/// For fuzzing: cuts arbitrary bytes into commands and reads each, with the URLs in it.
pub fn read_commands(input: &[u8]) -> usize {
    use syntax::{
        command::Command,
        framing::{Frame, FrameLimits, Framer},
        url::MessageUrl,
    };
    let limits = FrameLimits {
        command: limits::COMMAND_BYTES,
        message: Some(limits::COMMAND_BYTES),
    };
    let (mut framer, mut input, mut read) = (Framer::default(), input.to_vec(), 0);
    loop {
        match framer.next(&mut input, limits) {
            Frame::Incomplete => return read,
            Frame::Command(command) => {
                for utf8 in [false, true] {
                    if let Ok(command) = Command::parse(&command, utf8) {
                        read += 1 + command.urls().filter_map(MessageUrl::read).count();
                    }
                }
            }
            Frame::Continue | Frame::Refused { .. } => {}
        }
    }
}
