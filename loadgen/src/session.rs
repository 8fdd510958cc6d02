//! What a protocol offers the load: sessions that perform actions, with every answer checked.
//!
//! A new protocol implements [`Session`] in a file below `protocol/` and gets its row in `run::Plan`; pacing,
//! measuring, scenarios and reports need not know it.

use std::{
    cell::{Cell, RefCell},
    fmt::Write,
    io,
    rc::Rc,
};

use thiserror::Error;

use crate::{
    engine::{Endpoint, Reactor},
    messages::Messages,
    random::Random,
    record::{Done, Recorder},
    scenario::Step,
    watch::Board,
};

/// Why a request did not end well.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The answer contradicts the protocol, or what the server was given. The load fails.
    #[error("WRONG: {0}")]
    Wrong(String),
    /// The server said no. The session goes on.
    #[error("refused: {0}")]
    Refused(String),
    /// The connection broke, was closed by the server, or was silent for too long.
    #[error("{0}")]
    Connection(#[from] io::Error),
}

impl Failure {
    /// A wrong answer, quoted up to its first 200 bytes.
    pub(crate) fn wrong(expected: &str, got: &[u8]) -> Self {
        Self::Wrong(format!("expected {expected}, got {:?}", quoted(got)))
    }

    /// A refusal, quoted likewise.
    pub(crate) fn refused(request: &str, got: &[u8]) -> Self {
        Self::Refused(format!("{request}: {}", quoted(got)))
    }
}

fn quoted(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

/// A connection that speaks one protocol.
pub(crate) trait Session: Sized + 'static {
    /// What a step of a scenario becomes.
    type Action: 'static;

    /// Understands a step, or says what is wrong with it.
    fn compile(step: &Step) -> Result<Self::Action, String>;

    /// Connects, and logs in as the owner of `mailbox` where the protocol knows users. `number` tells
    /// connections apart.
    async fn open(local: &Rc<Local>, mailbox: u64, number: u64) -> Result<Self, Failure>;

    /// Performs one action and checks the answer.
    async fn perform(&mut self, action: &Self::Action, turn: &mut Turn<'_>) -> Result<Done, Failure>;

    /// Hears what the server says unasked, and tells the board, until the connection ends.
    async fn listen(&mut self, _board: &Rc<Board>) -> Result<(), Failure> {
        Err(Failure::Wrong(
            "this protocol has nothing to listen to".to_owned(),
        ))
    }
}

/// What an action may use.
pub(crate) struct Turn<'a> {
    pub(crate) local: &'a Rc<Local>,
    /// Whose mailbox it concerns, where the session is not one user's.
    pub(crate) mailbox: u64,
    /// Unique in the run.
    pub(crate) number: u64,
    pub(crate) random: &'a mut Random,
}

/// What the connections of one thread share.
pub(crate) struct Local {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) endpoints: Endpoints,
    pub(crate) users: Users,
    pub(crate) messages: Messages,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) board: Rc<Board>,
    /// What the IMAP server can, as its first session was told.
    pub(crate) imap_capabilities: Cell<Option<crate::protocol::imap::Capabilities>>,
    buffers: RefCell<Vec<Vec<u8>>>,
}

/// Message buffers a thread keeps.
const BUFFERS_KEPT: usize = 64;

impl Local {
    pub(crate) fn new(
        reactor: Rc<Reactor>,
        endpoints: Endpoints,
        users: Users,
        messages: Messages,
        recorder: Recorder,
    ) -> Self {
        Self {
            reactor,
            endpoints,
            users,
            messages,
            recorder: RefCell::new(recorder),
            board: Rc::default(),
            imap_capabilities: Cell::new(None),
            buffers: RefCell::default(),
        }
    }

    /// A buffer to write a message into.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes one back for the next.
    pub(crate) fn return_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < BUFFERS_KEPT {
            buffers.push(buffer);
        }
    }
}

/// Where each protocol's server is.
#[derive(Clone, Default)]
pub(crate) struct Endpoints {
    pub(crate) lmtp: Option<Endpoint>,
    pub(crate) smtp: Option<Endpoint>,
    pub(crate) imap: Option<Endpoint>,
    pub(crate) pop3: Option<Endpoint>,
}

/// The endpoint of a protocol, which was asked for before the load began.
pub(crate) fn given(endpoint: Option<&Endpoint>) -> Result<&Endpoint, Failure> {
    endpoint.ok_or_else(|| Failure::Connection(io::Error::other("this protocol's server was not given")))
}

/// Who the mailboxes belong to.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    /// Addresses up to the mailbox's number.
    before: String,
    /// And what follows it; nothing where all mailboxes are one user's.
    after: Option<String>,
    pub(crate) password: String,
}

impl Users {
    /// Understands an address in which `{}` becomes the mailbox's number.
    pub(crate) fn new(pattern: &str, password: &str) -> Self {
        let (before, after) = match pattern.split_once("{}") {
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (pattern, None),
        };
        Self {
            before: before.to_owned(),
            after,
            password: password.to_owned(),
        }
    }

    /// The address of a mailbox's owner.
    pub(crate) fn address(&self, mailbox: u64) -> String {
        let mut address = String::new();
        self.write_address(mailbox, &mut address);
        address
    }

    /// Writes it over `out`.
    pub(crate) fn write_address(&self, mailbox: u64, out: &mut String) {
        out.clear();
        out.push_str(&self.before);
        if let Some(after) = &self.after {
            let written = write!(out, "{mailbox}{after}");
            debug_assert!(written.is_ok(), "a String takes everything");
        }
    }

    /// Is each mailbox somebody else's?
    pub(crate) fn are_many(&self) -> bool {
        self.after.is_some()
    }
}
