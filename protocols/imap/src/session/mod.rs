//! An authenticated session: reads commands, dispatches them, writes answers.
//!
//! Every command that touches the store is a sequence of bounded steps on the mailbox; between two steps what
//! they wrote is sent, so a client that reads slowly holds back its own command and nothing else.

mod acl;
mod append;
mod arrival;
mod catenate;
mod change;
mod fetch;
mod flag_lines;
mod folders;
mod held;
mod idle;
mod index;
mod list;
mod login;
mod mailboxes;
mod metadata;
mod notify;
mod place;
mod preview;
mod quota;
mod reply;
mod search;
mod selected;
mod sort;
mod special_use;
mod stream;
mod thread;
mod transfer;
mod uid_list;
mod unseen;

use std::{io, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_lite::future::or;
use ringpost_host::{CallError, Connection, Host, MailboxRef, Priority};
use ringpost_store::{Mailbox, StoreError};

use held::Held;
pub(crate) use login::not_authenticated;
use reply::{End, Failure, Reply};
use selected::Selected;
use stream::Stream;

use crate::{
    Settings, State,
    capability::{self, Situation},
    encode::put,
    limits,
    syntax::{
        SyntaxError,
        command::{Body, Command, States},
        framing::{Frame, FrameLimits, Framer},
    },
};

/// What ENABLE, or a command that implies it, switched on.
#[derive(Clone, Copy, Debug, Default)]
struct Enabled {
    condstore: bool,
    qresync: bool,
    /// UTF8=ACCEPT
    utf8: bool,
    revision2: bool,
}

impl Enabled {
    /// Mailbox names and quoted strings are UTF-8.
    fn utf8_names(self) -> bool {
        self.utf8 || self.revision2
    }
}

struct Session<'a, C, H: Host> {
    stream: Stream<'a, C>,
    host: &'a H,
    settings: &'a Settings,
    /// Who logged in, or in whose place.
    user: Arc<str>,
    /// His own mailbox.
    mailbox: MailboxRef,
    framer: Framer,
    out: Vec<u8>,
    enabled: Enabled,
    /// Events of the mailbox that has the selected folder.
    subscription: Option<(MailboxRef, H::Subscription)>,
    selected: Option<Selected>,
    /// Something was committed in the selected folder's mailbox that is not yet known to be on disk.
    unsynced: bool,
    /// Answers in `out` that acknowledge such changes.
    held: Vec<Held>,
    /// What NOTIFY asked for; `None` until it was used.
    notify: Option<Box<notify::Notify<H::Subscription>>>,
    /// The last command was IDLE.
    idled: bool,
    bad_commands: u32,
}

/// Serves a client that has logged in, on the core that owns its mailbox, until it leaves.
pub(crate) async fn authenticated<C: Connection, H: Host>(
    connection: &mut C,
    host: &H,
    settings: &Settings,
    state: State,
) {
    let mut session = Session {
        stream: Stream::new(connection, state.input),
        host,
        settings,
        user: state.login.effective.to_lowercase().into(),
        mailbox: state.login.mailbox,
        framer: Framer::default(),
        out: Vec::new(),
        enabled: Enabled::default(),
        subscription: None,
        selected: None,
        unsynced: false,
        held: Vec::new(),
        notify: None,
        idled: false,
        bad_commands: 0,
    };
    let running = session.run();
    // What an idle connection costs beside the runtime's own.
    debug_assert!(
        size_of_val(&running) < 3 * 1024,
        "{} bytes",
        size_of_val(&running)
    );
    let end = running.await;
    if let End::Bye(text) = end {
        put!(session.out, "* BYE {text}\r\n");
    }
    // The client may be gone; then there is nobody to tell.
    let _ = session.flush().await;
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    async fn run(&mut self) -> End {
        loop {
            let command = match self.next_command().await {
                Ok(command) => Bytes::from(command),
                Err(end) => return end,
            };
            let started = Instant::now();
            self.idled = false;
            let held = self.held.len();
            if let Err(end) = self.execute(&command, started).await {
                return end;
            }
            // How long a client chose to idle says nothing about the server.
            if !self.idled && self.held.len() <= held {
                self.host.command_done("imap", started.elapsed());
            }
            if self.holds_enough()
                && let Err(error) = self.flush().await
            {
                return error.into();
            }
        }
    }

    /// The next whole command.
    async fn next_command(&mut self) -> Result<Vec<u8>, End> {
        let frame_limits = FrameLimits {
            command: limits::COMMAND_BYTES,
            message: Some(self.settings.message_size_limit),
        };
        loop {
            match self.framer.next(&mut self.stream.input, frame_limits) {
                Frame::Command(command) => return Ok(command),
                Frame::Incomplete => {
                    self.flush().await?;
                    if self.notify.is_some() && !self.framer.in_command() && self.stream.input.is_empty() {
                        Box::pin(self.wait_and_tell()).await?;
                    } else {
                        self.fill().await?;
                    }
                }
                Frame::Continue => self.out.extend_from_slice(b"+ OK\r\n"),
                Frame::Refused { tag, too_big } => {
                    let reply = if too_big {
                        Reply::no("TOOBIG", "the message is larger than this server takes")
                    } else {
                        Reply::bad("the command is too long")
                    };
                    reply.write(tag.as_deref(), &mut self.out);
                    self.count_bad_command()?;
                }
            }
        }
    }

    /// Waits for input.
    async fn fill(&mut self) -> Result<(), End> {
        let stopping = async {
            self.host.stopping().await;
            Err(End::Bye("the server is shutting down"))
        };
        let timeout = self.settings.autologout_time;
        let filling = async {
            match self.stream.fill(timeout).await {
                Ok(0) => Err(End::Closed),
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    Err(End::Bye("automatic logout; idle for too long"))
                }
                Err(_) => Err(End::Closed),
            }
        };
        or(filling, stopping).await
    }

    fn count_bad_command(&mut self) -> Result<(), End> {
        self.bad_commands += 1;
        if self.bad_commands > limits::BAD_COMMANDS {
            Err(End::Bye("too many bad commands"))
        } else {
            Ok(())
        }
    }

    /// Runs one command and writes its answer.
    async fn execute(&mut self, bytes: &Bytes, started: Instant) -> Result<(), End> {
        let (tag, name, result) = match Command::parse(bytes, self.enabled.utf8_names()) {
            Ok(command) => {
                let (tag, name) = (command.tag.to_owned(), command.name);
                let expunge_allowed =
                    command.uid || !matches!(name, "FETCH" | "STORE" | "SEARCH" | "SORT" | "THREAD");
                let own = match &self.notify {
                    Some(_) => notify::changed_names(&command.body),
                    None => Vec::new(),
                };
                if name != "STORE" && !self.held.is_empty() {
                    Box::pin(self.release()).await;
                }
                let mut result = self.dispatch(command, bytes).await;
                if let (Ok(_), Some(notify)) = (&result, &mut self.notify) {
                    notify.set_own(own);
                }
                if result.is_ok() {
                    let settled = match name {
                        // Its answer is held until the change is on disk.
                        "STORE" => self.sync(expunge_allowed).await,
                        _ => self.settle(expunge_allowed).await,
                    };
                    if let Err(failure) = settled {
                        result = Err(failure);
                    }
                }
                (Some(tag), name, result)
            }
            Err((tag, error)) => {
                let reply = match error {
                    SyntaxError::Charset => Reply::no("BADCHARSET (US-ASCII UTF-8)", "unknown charset"),
                    other => Reply::bad(other.to_string()),
                };
                (tag.map(str::to_owned), "", Ok(reply))
            }
        };
        let reply = match result {
            Ok(reply) | Err(Failure::Reply(reply)) => reply,
            Err(Failure::End(end)) => {
                if matches!(end, End::Logout) {
                    Reply::ok("logout completed").write(tag.as_deref(), &mut self.out);
                }
                return Err(end);
            }
        };
        self.log(name, &reply);
        match &tag {
            Some(tag) if name == "STORE" && self.unsynced && reply.is_ok() => self.hold(tag, &reply, started),
            _ => reply.write(tag.as_deref(), &mut self.out),
        }
        if reply.is_bad() {
            self.count_bad_command()?;
        } else {
            self.bad_commands = 0;
        }
        Ok(())
    }

    /// `imap_cmd_debug`
    fn log(&self, name: &str, reply: &Reply) {
        if self.settings.cmd_debug >= 2 || self.settings.cmd_debug == 1 && !reply.is_ok() {
            tracing::info!(command = name, result = %reply, peer = %self.stream.connection.peer(), "imap command");
        }
    }

    /// Before a command is acknowledged: what it changed is on disk, and the client knows what others changed.
    async fn settle(&mut self, expunge_allowed: bool) -> Result<(), Failure> {
        self.make_durable().await?;
        self.sync(expunge_allowed).await
    }

    async fn make_durable(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.unsynced) {
            self.host
                .mailbox_durable(self.current(), Priority::Interactive, |_| Ok(()))
                .await?;
        }
        Ok(())
    }

    /// The mailbox that has the selected folder, else one's own.
    fn current(&self) -> &MailboxRef {
        self.selected
            .as_ref()
            .map_or(&self.mailbox, |selected| &selected.place.mailbox)
    }

    async fn dispatch(&mut self, command: Command<'_>, bytes: &Bytes) -> Result<Reply, Failure> {
        let state = if self.selected.is_some() {
            States::SELECTED
        } else {
            States::AUTHENTICATED
        };
        if !command.states.contains(state) {
            return Err(Reply::bad("not possible in this state").into());
        }
        let uid = command.uid;
        // Boxed, all but IDLE: a connection that waits does not keep room for the commands it does not run.
        match command.body {
            Body::Capability => {
                put!(
                    self.out,
                    "* CAPABILITY {}\r\n",
                    capability::list(self.situation())
                );
                Ok(Reply::ok("CAPABILITY completed"))
            }
            Body::Noop | Body::Check => {
                if command.name == "CHECK" {
                    self.unsynced = true;
                }
                Ok(Reply::ok("completed"))
            }
            Body::Logout => {
                self.out.extend_from_slice(b"* BYE logging out\r\n");
                Err(Failure::End(End::Logout))
            }
            Body::Id => {
                login::id(self.settings, &mut self.out);
                Ok(Reply::ok("ID completed"))
            }
            Body::Enable(names) => Ok(self.enable(&names)),
            Body::Select(select) => Box::pin(self.select(select)).await,
            Body::Create { mailbox, uses } => Box::pin(self.create(mailbox, uses)).await,
            Body::Delete(name) => Box::pin(self.delete(name)).await,
            Body::Rename { from, to } => Box::pin(self.rename(from, to)).await,
            Body::Subscribe(name) => Box::pin(self.subscribe(name, true)).await,
            Body::Unsubscribe(name) => Box::pin(self.subscribe(name, false)).await,
            Body::List(list) => Box::pin(self.list(list, false)).await,
            Body::Lsub(list) => Box::pin(self.list(list, true)).await,
            Body::Namespace => {
                put!(
                    self.out,
                    "* NAMESPACE ((\"\" \"/\")) ((\"{}\" \"/\")) ((\"{}\" \"/\"))\r\n",
                    place::OTHER_USERS,
                    place::PUBLIC_FOLDERS
                );
                Ok(Reply::ok("NAMESPACE completed"))
            }
            Body::Status { mailbox, items } => Box::pin(self.status(mailbox, items)).await,
            Body::Append { mailbox, messages } => Box::pin(self.append(mailbox, messages, bytes)).await,
            Body::Replace {
                target,
                mailbox,
                message,
            } => Box::pin(self.replace(target, uid, mailbox, message, bytes)).await,
            Body::Idle => self.idle().await,
            Body::Compress => self.compress(command.tag).await,
            Body::Close => Box::pin(self.close(true)).await,
            Body::Unselect => Box::pin(self.close(false)).await,
            Body::Expunge(set) => Box::pin(self.expunge(set)).await,
            Body::Search(search) => Box::pin(self.search(search, uid, command.tag)).await,
            Body::Sort(sort) => Box::pin(self.sort(sort, uid, command.tag)).await,
            Body::Thread { algorithm, search } => Box::pin(self.thread(algorithm, search, uid)).await,
            Body::Fetch(fetch) => Box::pin(self.fetch(fetch, uid)).await,
            Body::Store(store) => Box::pin(self.store(store, uid)).await,
            Body::Copy { set, mailbox } => Box::pin(self.copy(set, uid, mailbox)).await,
            Body::Move { set, mailbox } => Box::pin(self.move_messages(set, uid, mailbox)).await,
            Body::SetAcl {
                mailbox,
                identifier,
                change,
            } => Box::pin(self.set_acl(mailbox, identifier, change)).await,
            Body::DeleteAcl { mailbox, identifier } => Box::pin(self.delete_acl(mailbox, identifier)).await,
            Body::GetAcl(name) => Box::pin(self.get_acl(name)).await,
            Body::ListRights { mailbox, identifier } => Box::pin(self.list_rights(mailbox, identifier)).await,
            Body::MyRights(name) => Box::pin(self.my_rights(name)).await,
            Body::GetQuota(root) => Box::pin(self.get_quota(root)).await,
            Body::GetQuotaRoot(name) => Box::pin(self.get_quota_root(name)).await,
            Body::SetQuota => Err(Reply::no("NOPERM", "quotas are the administrator's").into()),
            Body::Notify(set) => Box::pin(self.notify(set)).await,
            Body::GetMetadata(wanted) => Box::pin(self.get_metadata(wanted)).await,
            Body::SetMetadata(set) => Box::pin(self.set_metadata(set)).await,
            Body::StartTls | Body::Login { .. } | Body::Authenticate { .. } => {
                Err(Reply::bad("already authenticated").into())
            }
        }
    }

    fn situation(&self) -> Situation {
        Situation {
            logged_in: true,
            revision2: self.settings.rfc9051,
            id: self.settings.rfc2971,
            compressed: self.stream.is_compressed(),
            append_limit: self.settings.message_size_limit,
            ..Situation::default()
        }
    }

    fn enable(&mut self, names: &[&str]) -> Reply {
        self.out.extend_from_slice(b"* ENABLED");
        for name in names {
            match name.to_ascii_uppercase().as_str() {
                "CONDSTORE" => self.enabled.condstore = true,
                "QRESYNC" => (self.enabled.condstore, self.enabled.qresync) = (true, true),
                "UTF8=ACCEPT" => self.enabled.utf8 = true,
                "IMAP4REV2" if self.settings.rfc9051 => self.enabled.revision2 = true,
                _ => continue,
            }
            put!(self.out, " {name}");
        }
        self.out.extend_from_slice(b"\r\n");
        Reply::ok("ENABLE completed")
    }

    async fn compress(&mut self, tag: &str) -> Result<Reply, Failure> {
        if self.stream.is_compressed() {
            return Err(Reply::no("COMPRESSIONACTIVE", "already compressed").into());
        }
        // The answer is the last thing that is sent as it is (RFC 4978 §3).
        put!(self.out, "{tag} OK compression begins\r\n");
        self.flush().await?;
        self.stream.start_compression();
        Err(Failure::Reply(Reply::sent()))
    }

    /// Runs a step on the mailbox of the selected folder.
    async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, CallError> {
        self.call_at(self.current(), work).await
    }

    /// Runs a step on a mailbox.
    async fn call_at<R: Send + 'static>(
        &self,
        mailbox: &MailboxRef,
        work: impl FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, CallError> {
        self.host.mailbox(mailbox, Priority::Interactive, work).await
    }

    /// Runs a step on a mailbox, and waits until what it did is on disk.
    async fn change_at<R: Send + 'static>(
        &self,
        mailbox: &MailboxRef,
        work: impl FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, CallError> {
        self.host
            .mailbox_durable(mailbox, Priority::Interactive, work)
            .await
    }

    /// Sends what was written, when what it acknowledges is on disk.
    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        if !self.held.is_empty() {
            Box::pin(self.release()).await;
        }
        let out = std::mem::take(&mut self.out);
        self.stream.write(&out).await
    }

    /// Sends what was written if it is a slice's worth.
    async fn flush_slice(&mut self) -> io::Result<()> {
        if self.out.len() < limits::SLICE_BYTES {
            return Ok(());
        }
        self.flush().await
    }
}
