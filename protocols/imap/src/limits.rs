//! Every limit of this crate on what a client sends, with its reason.

/// Longest command without its literals: RFC 7162 §4 asks for 8192 at least, and clients list long UID sets.
pub(crate) const LINE_BYTES: usize = 64 * 1024;
/// Longest command, literals included, of a client that has not logged in: nobody needs more to do so.
pub(crate) const COMMAND_BYTES_BEFORE_LOGIN: usize = 16 * 1024;
/// Longest command with its literals, but for APPEND: mailbox names, search strings.
pub(crate) const COMMAND_BYTES: usize = 256 * 1024;
/// Longest name of a mailbox in bytes, all levels together.
pub(crate) const MAILBOX_NAME_BYTES: usize = 1024;
/// Most levels of a mailbox name.
pub(crate) const MAILBOX_DEPTH: usize = 64;
/// Most ranges in one sequence set.
pub(crate) const SET_RANGES: usize = 16 * 1024;
/// Deepest nesting of a search program; evaluation recurses as deep.
pub(crate) const SEARCH_DEPTH: usize = 32;
/// Most keys in one search program.
pub(crate) const SEARCH_KEYS: usize = 1024;
/// Most items in one FETCH.
pub(crate) const FETCH_ITEMS: usize = 256;
/// Most elements of any other list: flags, header names, patterns, ID pairs.
pub(crate) const LIST_ELEMENTS: usize = 256;
/// Most messages in one MULTIAPPEND.
pub(crate) const APPEND_MESSAGES: usize = 1000;
/// Most pieces of one message that CATENATE puts together.
pub(crate) const CATENATED_PIECES: usize = 256;
/// Longest value of an annotation in bytes.
pub(crate) const METADATA_BYTES: usize = 64 * 1024;
/// Bytes of a message's first text that a preview is made from.
pub(crate) const PREVIEW_BYTES: u64 = 16 * 1024;
/// Most groups of mailboxes in one NOTIFY.
pub(crate) const NOTIFY_GROUPS: usize = 64;
/// Stores whose mailboxes one session watches.
pub(crate) const NOTIFY_STORES: usize = 32;
/// Mailboxes that one session watches, some 200 bytes each.
pub(crate) const NOTIFY_FOLDERS: usize = 10_000;
/// Longest identifier of an access control list in bytes: addresses have 320.
pub(crate) const IDENTIFIER_BYTES: usize = 512;
/// Longest keyword in bytes.
pub(crate) const KEYWORD_BYTES: usize = 128;
/// Bytes of a message header that searches and HEADER.FIELDS look at.
pub(crate) const HEADER_BYTES: u64 = 1024 * 1024;
/// Other users whose folders one LIST looks at.
pub(crate) const LISTED_USERS: usize = 1000;
/// Bytes of sources that one step of a copy into another mailbox reads; a larger message goes alone.
pub(crate) const COPY_BYTES: u64 = 1024 * 1024;
/// Bytes of output that one step on a mailbox makes before it is sent.
pub(crate) const SLICE_BYTES: usize = 64 * 1024;
/// Rows that one step on a mailbox visits.
pub(crate) const SLICE_ROWS: usize = 256;
/// A folder with fewer messages is read for each search: that takes less than a millisecond. Few in debug builds, so
/// that tests get there.
pub(crate) const INDEXED_LEAST: usize = if cfg!(debug_assertions) { 4 } else { 1000 };
/// Messages, of all folders of a mailbox, that are indexed in memory for searches: some 40 bytes each, 80 more once
/// one looked at their texts.
pub(crate) const INDEXED_MESSAGES: usize = 1 << 20;
/// Bytes of different texts in a folder's index.
pub(crate) const INDEXED_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of header fields in a folder's index, and how many: those that were searched for last.
pub(crate) const INDEXED_FIELD_BYTES: usize = 32 * 1024 * 1024;
pub(crate) const INDEXED_FIELDS: usize = 8;
/// References of one message that threads follow: the first and the last ones matter.
pub(crate) const REFERENCES: usize = 200;
/// Messages up to this size are searched whole; larger ones a slice at a time.
pub(crate) const SEARCHED_WHOLE_BYTES: u64 = 256 * 1024;
/// Answers to STOREs that are held until one sync has served all of them.
pub(crate) const HELD_ANSWERS: usize = 256;
/// Messages whose flags one step changes: less than a millisecond as a rule, in which others get their turn by and by.
pub(crate) const STORE_ROWS: usize = 16_384;
/// Messages, and bytes of them, that helper threads look through together: about a millisecond.
pub(crate) const SEARCHED_TOGETHER: usize = 128;
pub(crate) const SEARCHED_TOGETHER_BYTES: usize = 1024 * 1024;
/// Fewer than this are not worth a helper thread's waking.
pub(crate) const SEARCHED_ALONE: usize = if cfg!(debug_assertions) { 3 } else { 8 };
/// How long one step on a mailbox works before others get their turn.
pub(crate) const SLICE_TIME: std::time::Duration = std::time::Duration::from_millis(2);
/// Commands before a login. A client needs some ten; more are a flood.
pub(crate) const COMMANDS_BEFORE_LOGIN: u32 = 100;
/// Commands in a row that could not be understood before the client is cut: it does not speak IMAP.
pub(crate) const BAD_COMMANDS: u32 = 20;
