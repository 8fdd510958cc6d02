//! The TRANSACTION and UPDATE states (RFC 1939 §5, §6): at the mailbox's core.

use std::{io, net::SocketAddr, ops::ControlFlow, time::Instant};

use ringpost_convert::structure::Structure;
use ringpost_host::{CallError, Connection, Host, MailboxRef, Priority};
use ringpost_mapi::{MessageId, Uid};
use ringpost_store::{Mailbox, SourceRow, StoreError, UidSet, folder::built_in};

use crate::{
    AHEAD_BYTES, AHEAD_LOW, AHEAD_MESSAGES, AHEAD_PIECE, Command, DELETIONS_PER_CALL, Downgrade,
    FAILURES_MAX, Options, REPLIES_BUFFERED_MAX, ROWS_PER_CALL, SLICE_BYTES, State, Stuffer,
    maildrop::Maildrop, parse, reply, transport::Transport,
};

/// Serves an authenticated client to the end.
pub(crate) async fn run<C: Connection, H: Host>(
    options: &Options,
    connection: &mut C,
    host: &H,
    state: State,
) {
    let peer = connection.peer();
    let mut stage = Stage {
        transport: Transport::new(options, connection, host, state.input),
        mailbox: state.login.mailbox,
        maildrop: Maildrop::default(),
        utf8: state.utf8,
        size: 0,
        deleted_size: 0,
        spare: Vec::new(),
        next: 1,
        goes_on: false,
        not_ahead: None,
    };
    if let Err(error) = stage.serve().await {
        tracing::debug!(%peer, user = state.login.username, %error, "session ended");
    }
}

/// `pop3_cmd_debug`: logs a command in a minimal fashion.
pub(crate) fn log_command(options: &Options, peer: SocketAddr, command: &'static str, failed: bool) {
    if options.command_debug >= 2 || (failed && options.command_debug == 1) {
        let result = if failed { "ERR" } else { "OK" };
        tracing::info!(%peer, command, result, "pop3 command");
    }
}

struct Stage<'a, C, H> {
    transport: Transport<'a, C, H>,
    mailbox: MailboxRef,
    maildrop: Maildrop,
    /// The client issued UTF8: headers go out as they are (RFC 6856 §2.1).
    utf8: bool,
    /// Bytes of all messages of the maildrop.
    size: u64,
    /// Bytes of those marked as deleted.
    deleted_size: u64,
    /// Working memory of the stuffer and the downgrade.
    spare: Vec<u8>,
    /// The number after that of the message that was taken last.
    next: u32,
    /// The last command took the next message.
    goes_on: bool,
    /// This message can't be read ahead.
    not_ahead: Option<Uid>,
}

impl<C: Connection, H: Host> Stage<'_, C, H> {
    async fn serve(&mut self) -> io::Result<()> {
        if let Err(error) = self.open().await {
            self.log_failure(&error);
            self.transport.put(reply::call_failure(&error));
            return self.transport.flush().await;
        }
        let mut failures = 0;
        while let Some(line) = self.transport.line().await? {
            let started = Instant::now();
            let name = match parse(&line) {
                Ok(Command::Quit) => return self.quit(started).await,
                Ok(command) => {
                    let name = command.name();
                    self.execute(command)
                        .await?
                        .map(|()| name)
                        .map_err(|refusal| (name, refusal))
                }
                Err(error) => Err(("?", format!("-ERR {error}"))),
            };
            let peer = self.transport.connection.peer();
            match name {
                Ok(name) => {
                    failures = 0;
                    log_command(self.transport.options, peer, name, false);
                }
                Err((name, refusal)) => {
                    self.transport.put(&refusal);
                    failures += 1;
                    log_command(self.transport.options, peer, name, true);
                }
            }
            self.transport.host.command_done("pop3", started.elapsed());
            if failures >= FAILURES_MAX {
                self.transport.put("-ERR too many errors");
                return self.transport.flush().await;
            }
            if self.transport.out.len() >= REPLIES_BUFFERED_MAX {
                self.transport.flush().await?;
            }
            self.read_on().await?;
        }
        // Without QUIT nothing is deleted (RFC 1939 §6).
        Ok(())
    }

    /// Takes the snapshot and answers the login with it.
    async fn open(&mut self) -> Result<(), CallError> {
        let (folder, uids) = self
            .call(|mailbox| Ok((mailbox.folder(built_in::INBOX)?, mailbox.uids(built_in::INBOX)?)))
            .await?;
        self.maildrop = Maildrop::new(folder.uid_validity, uids);
        self.size = if folder.associated == 0 {
            folder.size
        } else {
            self.sum_of_sizes().await?
        };
        let answer = format!("+OK {} messages, {} octets", self.maildrop.count(), self.size);
        self.transport.put(&answer);
        Ok(())
    }

    /// The folder's own counter includes associated messages, such as stored rules, which are no mail.
    async fn sum_of_sizes(&self) -> Result<u64, CallError> {
        let (mut number, mut sum) = (1, 0);
        while number <= self.maildrop.count() {
            let (uids, next) = self.maildrop.batch(number, ROWS_PER_CALL);
            number = next;
            let rows = self.call(move |mailbox| sizes(mailbox, &uids)).await?;
            sum += rows.iter().map(|(_, size)| size).sum::<u64>();
        }
        Ok(sum)
    }

    /// Executes a command but for QUIT: `Err` is the refusal to send.
    async fn execute(&mut self, command: Command) -> io::Result<Result<(), String>> {
        match command {
            Command::Stat => {
                let size = self.size.saturating_sub(self.deleted_size);
                self.transport
                    .put(&format!("+OK {} {size}", self.maildrop.remaining()));
            }
            Command::List(None) => return self.list().await,
            Command::List(Some(number)) => {
                return Ok(self.size_of(number).await.map(|(_, size)| {
                    self.transport.put(&format!("+OK {number} {size}"));
                }));
            }
            Command::Uidl(None) => self.unique_ids().await?,
            Command::Uidl(Some(number)) => match self.maildrop.uid(number) {
                Some(uid) => self
                    .transport
                    .put(&format!("+OK {number} {}", self.maildrop.unique_id(uid))),
                None => return Ok(Err(no_such_message())),
            },
            Command::Retr(number) => return self.retrieve(number, None).await,
            Command::Top(number, lines) => return self.retrieve(number, Some(lines)).await,
            Command::Dele(number) => {
                return Ok(self.size_of(number).await.map(|(uid, size)| {
                    self.maildrop.delete(uid);
                    self.deleted_size += size;
                    self.transport.put(&format!("+OK message {number} deleted"));
                }));
            }
            Command::Rset => {
                self.maildrop.reset();
                self.deleted_size = 0;
                self.transport.put("+OK");
            }
            Command::Noop => self.transport.put("+OK"),
            Command::Capa => {
                reply::capabilities(self.transport.options, false, true, &mut self.transport.out);
            }
            Command::Stls
            | Command::Utf8
            | Command::User(_)
            | Command::Pass(_)
            | Command::Auth(_)
            | Command::Apop
            | Command::Quit => return Ok(Err("-ERR not after the login".to_owned())),
        }
        Ok(Ok(()))
    }

    async fn list(&mut self) -> io::Result<Result<(), String>> {
        let mut number = 1;
        let mut started = false;
        while number <= self.maildrop.count() {
            let (uids, next) = self.maildrop.batch(number, ROWS_PER_CALL);
            number = next;
            let rows = match self.call(move |mailbox| sizes(mailbox, &uids)).await {
                Ok(rows) => rows,
                Err(error) if !started => {
                    self.log_failure(&error);
                    return Ok(Err(reply::call_failure(&error).to_owned()));
                }
                // The response can't be taken back: only closing tells the client that it is not whole.
                Err(error) => return Err(self.cut_off(&error)),
            };
            if !std::mem::replace(&mut started, true) {
                self.transport.put("+OK");
            }
            for (uid, size) in rows {
                if let Some(number) = self
                    .maildrop
                    .number(uid)
                    .filter(|&number| self.maildrop.uid(number).is_some())
                {
                    self.transport.put(&format!("{number} {size}"));
                }
            }
            if self.transport.out.len() >= REPLIES_BUFFERED_MAX {
                self.transport.flush().await?;
            }
        }
        self.transport.put(if started { "." } else { "+OK\r\n." });
        Ok(Ok(()))
    }

    async fn unique_ids(&mut self) -> io::Result<()> {
        self.transport.put("+OK");
        for number in 1..=self.maildrop.count() {
            let Some(uid) = self.maildrop.uid(number) else {
                continue;
            };
            self.transport
                .put(&format!("{number} {}", self.maildrop.unique_id(uid)));
            if self.transport.out.len() >= REPLIES_BUFFERED_MAX {
                self.transport.flush().await?;
            }
        }
        self.transport.put(".");
        Ok(())
    }

    /// A message's UID and size.
    async fn size_of(&mut self, number: u32) -> Result<(Uid, u64), String> {
        let uid = self.maildrop.uid(number).ok_or_else(no_such_message)?;
        match self.call(move |mailbox| row(mailbox, uid)).await {
            Ok(row) => Ok((uid, row.size)),
            Err(error) => {
                self.log_failure(&error);
                Err(reply::call_failure(&error).to_owned())
            }
        }
    }

    /// RETR and TOP.
    async fn retrieve(&mut self, number: u32, body_lines: Option<u32>) -> io::Result<Result<(), String>> {
        let Some(uid) = self.maildrop.uid(number) else {
            return Ok(Err(no_such_message()));
        };
        if body_lines.is_none() {
            let mut response = self.transport.ahead.take(uid);
            // One that pipelines waits for all of it.
            if response.is_none() && self.transport.ahead.next() == Some(uid) && self.transport.has_line() {
                self.read_ahead(AHEAD_BYTES).await;
                response = self.transport.ahead.take(uid);
            }
            if let Some(response) = response {
                self.next = number.saturating_add(1);
                self.goes_on = true;
                self.transport.put_ahead(response).await?;
                return Ok(Ok(()));
            }
        }
        // In memory of its own: most messages need none of it, and a session that waits should be small.
        Box::pin(self.read_message(number, uid, body_lines)).await
    }

    /// RETR and TOP of what was not read ahead. The first slice comes with the call that finds the message; each slice is
    /// read into the output buffer, which goes to the mailbox and comes back with it.
    async fn read_message(
        &mut self,
        number: u32,
        uid: Uid,
        body_lines: Option<u32>,
    ) -> io::Result<Result<(), String>> {
        let mut out = std::mem::take(&mut self.transport.out);
        let kept = out.len();
        let utf8 = self.utf8;
        // Whoever took the last one too will take the next ones.
        let in_order = std::mem::replace(&mut self.next, number.saturating_add(1)) == number;
        self.goes_on = in_order && body_lines.is_none();
        self.transport.ahead.pass(uid);
        // One that pipelines waits for all of it, so all of it is read in one call; else what is asked for comes first.
        let is_pipelined = self.goes_on && self.transport.has_line();
        let next = if is_pipelined {
            self.to_look_up()
        } else {
            Vec::new()
        };
        let mut ahead = std::mem::take(&mut self.transport.ahead);
        let first = self
            .call(move |mailbox| {
                let found = row(mailbox, uid).and_then(|row| {
                    let size = row.size;
                    out.extend_from_slice(format!("+OK {size} octets\r\n").as_bytes());
                    let from = out.len();
                    mailbox.read_visited_source(row, 0..size.min(SLICE_BYTES), &mut out)?;
                    if is_pipelined && size < AHEAD_BYTES {
                        ahead.look_up(mailbox, &next)?;
                        ahead.read(mailbox, AHEAD_BYTES, utf8);
                    }
                    let message = row.message;
                    let is_ascii = size <= SLICE_BYTES && out.get(from..).is_some_and(<[u8]>::is_ascii);
                    let downgrade = if utf8 || is_ascii {
                        None
                    } else {
                        Some(downgrade(mailbox, uid)?)
                    };
                    Ok((message, size, from, downgrade, ahead))
                });
                Ok((out, found))
            })
            .await;
        let found = match first {
            Ok((out, found)) => {
                self.transport.out = out;
                found.map_err(CallError::Store)
            }
            // Earlier replies went with the buffer: the client can't be told where it stands.
            Err(error) if kept > 0 => return Err(self.cut_off(&error)),
            Err(error) => Err(error),
        };
        let (message, size, mut from, mut downgrade) = match found {
            Ok((message, size, from, downgrade, ahead)) => {
                self.transport.ahead = ahead;
                (message, size, from, downgrade)
            }
            Err(error) => {
                self.transport.out.truncate(kept);
                self.log_failure(&error);
                return Ok(Err(reply::call_failure(&error).to_owned()));
            }
        };
        let mut stuffer = Stuffer::new(body_lines);
        let mut position = size.min(SLICE_BYTES);
        loop {
            if let Some(downgrade) = &mut downgrade {
                downgrade.push(&mut self.transport.out, from, &mut self.spare);
            }
            stuffer.encode(&mut self.transport.out, from, &mut self.spare);
            if position >= size || stuffer.is_done() {
                break;
            }
            self.transport.flush().await?;
            from = 0;
            if let Err(error) = self.read_slice(message, position).await {
                return Err(self.cut_off(&error));
            }
            position = size.min(position + SLICE_BYTES);
        }
        stuffer.finish(&mut self.transport.out);
        if size > SLICE_BYTES {
            self.transport.flush().await?;
            self.transport.out = Vec::new();
            self.spare = Vec::new();
        }
        Ok(Ok(()))
    }

    /// Reads on while the client takes what it has got, if it takes one message after the other and will probably ask
    /// for the next. Nothing is lost when it does not but this piece.
    async fn read_on(&mut self) -> io::Result<()> {
        let is_enough = self.transport.ahead.length() >= AHEAD_LOW;
        if !std::mem::take(&mut self.goes_on) || is_enough || self.transport.has_line() {
            return Ok(());
        }
        self.transport.flush().await?;
        self.read_ahead(AHEAD_PIECE).await;
        Ok(())
    }

    /// Reads the next messages ahead, up to `limit` bytes.
    async fn read_ahead(&mut self, limit: u64) {
        let next = self.transport.ahead.next();
        if next.is_some() && next == self.not_ahead {
            return;
        }
        let uids = self.to_look_up();
        if next.is_none() && uids.is_empty() {
            return;
        }
        let mut ahead = std::mem::take(&mut self.transport.ahead);
        let utf8 = self.utf8;
        let read = self
            .call(move |mailbox| {
                ahead.look_up(mailbox, &uids)?;
                let not_ahead = ahead.read(mailbox, limit, utf8);
                Ok((ahead, not_ahead))
            })
            .await;
        // What fails is tried again, and told, when the client asks for it.
        if let Ok((ahead, not_ahead)) = read {
            self.transport.ahead = ahead;
            self.not_ahead = not_ahead;
        }
    }

    /// The next messages, if so few were looked up that more should be.
    fn to_look_up(&self) -> Vec<Uid> {
        let ahead = &self.transport.ahead;
        if !ahead.needs_rows() {
            return Vec::new();
        }
        let last = ahead.last().and_then(|uid| self.maildrop.number(uid));
        (last.map_or(self.next, |last| last.saturating_add(1))..=self.maildrop.count())
            .filter_map(|number| self.maildrop.uid(number))
            .take(AHEAD_MESSAGES)
            .collect()
    }

    /// Fills the empty output buffer with the slice at `position`.
    async fn read_slice(&mut self, message: MessageId, position: u64) -> Result<(), CallError> {
        let mut out = std::mem::take(&mut self.transport.out);
        self.transport.out = self
            .call(move |mailbox| {
                mailbox.read_source(message, position..position + SLICE_BYTES, &mut out)?;
                Ok(out)
            })
            .await?;
        Ok(())
    }

    /// UPDATE: removes what is marked, durably, before the answer.
    async fn quit(&mut self, started: Instant) -> io::Result<()> {
        let answer = match self.remove_deleted().await {
            Ok(()) => "+OK bye",
            Err(error) => {
                self.log_failure(&error);
                "-ERR [SYS/TEMP] some deleted messages were not removed"
            }
        };
        self.transport.put(answer);
        let peer = self.transport.connection.peer();
        log_command(self.transport.options, peer, "QUIT", answer.starts_with('-'));
        self.transport.host.command_done("pop3", started.elapsed());
        self.transport.flush().await
    }

    /// In bounded transactions, then one wait for the disk.
    async fn remove_deleted(&mut self) -> Result<(), CallError> {
        let mut pieces = pieces(self.maildrop.deleted(), DELETIONS_PER_CALL)
            .into_iter()
            .peekable();
        while let Some(uids) = pieces.next() {
            let work = move |mailbox: &mut Mailbox| mailbox.expunge(built_in::INBOX, &uids, false);
            let host = self.transport.host;
            if pieces.peek().is_some() {
                host.mailbox(&self.mailbox, Priority::Interactive, work).await?;
            } else {
                host.mailbox_durable(&self.mailbox, Priority::Interactive, work)
                    .await?;
            }
        }
        Ok(())
    }

    async fn call<R, W>(&self, work: W) -> Result<R, CallError>
    where
        R: Send + 'static,
        W: FnOnce(&mut Mailbox) -> Result<R, StoreError> + Send + 'static,
    {
        self.transport
            .host
            .mailbox(&self.mailbox, Priority::Interactive, work)
            .await
    }

    fn log_failure(&self, error: &CallError) {
        // A message that has gone meanwhile is no fault.
        if !matches!(error, CallError::Store(StoreError::NotFound(_))) {
            tracing::error!(mailbox = %self.mailbox.path.display(), %error, "POP3 request failed");
        }
    }

    /// For a response that has begun and can't be ended.
    fn cut_off(&self, error: &CallError) -> io::Error {
        self.log_failure(error);
        io::Error::other(error.to_string())
    }
}

fn no_such_message() -> String {
    "-ERR no such message".to_owned()
}

fn row(mailbox: &mut Mailbox, uid: Uid) -> Result<SourceRow, StoreError> {
    let mut uids = UidSet::default();
    uids.insert(uid);
    let mut found = None;
    mailbox.visit_sources(built_in::INBOX, &uids, &mut |row| {
        found = Some(row);
        ControlFlow::Break(())
    })?;
    found.ok_or_else(|| StoreError::NotFound(format!("message {uid}")))
}

/// What makes a message's headers ASCII.
fn downgrade(mailbox: &mut Mailbox, uid: Uid) -> Result<Downgrade, StoreError> {
    let mut uids = UidSet::default();
    uids.insert(uid);
    let mut encoded = None;
    mailbox.visit_messages(built_in::INBOX, &uids, true, &mut |row| {
        encoded.clone_from(&row.structure);
        ControlFlow::Break(())
    })?;
    // Without a structure it is all body.
    let structure = match encoded {
        None => Structure::default(),
        Some(encoded) => Structure::decode(&encoded).ok_or_else(|| StoreError::Corrupt {
            path: "exmdb/exchange.sqlite3".into(),
            reason: format!("the structure of message {uid}"),
        })?,
    };
    Ok(Downgrade::new(&structure))
}

fn sizes(mailbox: &mut Mailbox, uids: &UidSet) -> Result<Vec<(Uid, u64)>, StoreError> {
    let mut sizes = Vec::with_capacity(uids.len());
    mailbox.visit_sources(built_in::INBOX, uids, &mut |row| {
        sizes.push((row.uid, row.size));
        ControlFlow::Continue(())
    })?;
    Ok(sizes)
}

/// Cuts a set into sets of at most `limit` UIDs.
fn pieces(uids: &UidSet, limit: usize) -> Vec<UidSet> {
    let mut pieces = Vec::new();
    let (mut piece, mut room) = (UidSet::default(), limit as u32);
    for range in uids.ranges() {
        let (mut start, end) = (*range.start(), *range.end());
        loop {
            let last = end.min(start.saturating_add(room - 1));
            piece.insert_range(start..=last);
            room -= last - start + 1;
            if room == 0 {
                pieces.push(std::mem::take(&mut piece));
                room = limit as u32;
            }
            if last == end {
                break;
            }
            start = last + 1;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_set() {
        let mut uids = UidSet::default();
        uids.insert_range(1..=5);
        uids.insert_range(8..=8);
        uids.insert_range(10..=16);
        for limit in 1..=14 {
            let pieces = pieces(&uids, limit);
            assert!(
                pieces.iter().all(|piece| (1..=limit).contains(&piece.len())),
                "{limit}"
            );
            let all: Vec<_> = pieces.iter().flat_map(UidSet::iter).collect();
            assert_eq!(all, uids.iter().collect::<Vec<_>>());
        }
        assert!(pieces(&UidSet::default(), 3).is_empty());
    }
}
