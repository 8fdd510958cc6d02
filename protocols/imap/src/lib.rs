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
//! # Memory
//!
//! A session keeps its selected mailbox as runs of UIDs (12 bytes each), and while a command runs one slice of
//! output. Messages pass through in slices of 64 KiB; an APPEND holds its message. SORT and THREAD hold a key a
//! message found.
#![allow(clippy::too_many_arguments)]

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

    fn busy(&self) -> &'static [u8] {
        b"* BYE [UNAVAILABLE] too many connections\r\n"
    }
}

/// For fuzzing: cuts arbitrary bytes into commands and reads each.
pub fn read_commands(input: &[u8]) -> usize {
    use syntax::{
        command::Command,
        framing::{Frame, FrameLimits, Framer},
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
                    read += usize::from(Command::parse(&command, utf8).is_ok());
                }
            }
            Frame::Continue | Frame::Refused { .. } => {}
        }
    }
}
