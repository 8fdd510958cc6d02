//! The selected mailbox: SELECT, CLOSE, and telling the client what others changed (RFC 9051 §7.4, RFC 7162).

use std::{ops::ControlFlow, sync::Arc};

use ringpost_host::{CallError, Connection, Host, Subscription};
use ringpost_mapi::{ChangeNumber, FolderId, Uid, rights::Rights};
use ringpost_store::{Change, Changes, Event, EventKind, Flags, Mailbox, StoreError, UidSet};

use super::{
    Session,
    flag_lines::{self, FlagLines},
    folders, index,
    place::{Place, visit_as},
    reply::{End, Failure, Reply},
    uid_list::UidList,
    unseen::{self, Unseen},
};
use crate::{
    encode::{self, put},
    limits,
    syntax::{
        command::{QuickResync, Select},
        fetch::Item,
    },
};

/// What the client knows of its mailbox.
pub(super) struct Selected {
    pub(super) folder: FolderId,
    /// Whose mailbox it is in.
    pub(super) place: Place,
    /// What may be done in it.
    pub(super) rights: Rights,
    /// Whose `\Seen` counts, where it is each reader's own.
    pub(super) reader: Option<Arc<str>>,
    pub(super) read_only: bool,
    /// The messages it was told of, less the ones it was told are gone.
    pub(super) list: Arc<UidList>,
    /// Everything up to this change is in `list`, `pending` or was told.
    pub(super) known: ChangeNumber,
    pub(super) uid_next: u32,
    /// Gone, but the client could not be told yet.
    pub(super) pending: UidSet,
    /// `\Recent` to this session.
    pub(super) recent: UidSet,
    /// Keywords it was told of.
    keywords: Vec<String>,
    /// `$` (RFC 5182)
    pub(super) saved: UidSet,
    /// Messages that this client put here itself and was not told of yet, if NOTIFY tells of new ones.
    pub(super) own: UidSet,
    /// Something may have changed since `known`.
    stale: bool,
}

impl Selected {
    /// The mailbox may have changed: the next [`Session::sync`] looks.
    pub(super) fn mark_stale(&mut self) {
        self.stale = true;
    }

    /// Notes that the client itself put messages into this mailbox: of those nobody need tell it more than that they are
    /// there (RFC 5465 §5.2).
    pub(super) fn note_own(&mut self, place: &Place, folder: FolderId, uids: impl IntoIterator<Item = Uid>) {
        if self.folder == folder && self.place.mailbox == place.mailbox {
            uids.into_iter().for_each(|uid| self.own.insert(uid));
        }
    }

    /// An own step brought the mailbox from one change to another and the client knows its result: if nobody
    /// else came between, there is nothing left to look at.
    pub(super) fn advance(&mut self, before: ChangeNumber, after: ChangeNumber) {
        if before == self.known {
            self.known = after;
        }
    }
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    /// The selected mailbox; the command table lets commands that need it through only when there is one.
    pub(super) fn selected(&self) -> Result<&Selected, Failure> {
        self.selected
            .as_ref()
            .ok_or_else(|| Reply::bad("no mailbox is selected").into())
    }

    pub(super) fn selected_mut(&mut self) -> Result<&mut Selected, Failure> {
        self.selected
            .as_mut()
            .ok_or_else(|| Reply::bad("no mailbox is selected").into())
    }

    /// The selected mailbox, if it may be changed.
    pub(super) fn writable(&self) -> Result<&Selected, Failure> {
        let selected = self.selected()?;
        if selected.read_only {
            Err(Reply::no("READ-ONLY", "the mailbox is read-only").into())
        } else {
            Ok(selected)
        }
    }

    pub(super) async fn select(&mut self, select: Select) -> Result<Reply, Failure> {
        if select.qresync.is_some() && !self.enabled.qresync {
            return Err(Reply::bad("ENABLE QRESYNC first").into());
        }
        if self.selected.take().is_some() && (self.enabled.qresync || self.enabled.revision2) {
            self.out
                .extend_from_slice(b"* OK [CLOSED] previous mailbox closed\r\n");
        }
        let place = self.place(&select.mailbox)?;
        let at = place.mailbox.clone();
        if self
            .subscription
            .as_ref()
            .is_none_or(|(mailbox, _)| *mailbox != at)
        {
            self.subscription = Some((at.clone(), self.host.subscribe(&at).await?));
        }
        self.enabled.condstore |= select.condstore;
        let (asked, examine) = (place.clone(), select.read_only);
        let wants_unseen = !self.enabled.revision2;
        let found = self
            .call_at(&at, move |mailbox| {
                let Some(folder) = asked.find(mailbox, Rights::READ_ANY)? else {
                    return Ok(None);
                };
                let rights = asked.rights(mailbox, folder.id)?;
                let reader = asked.reader(mailbox);
                // RFC 4314 §5.2
                let changing = Rights::CREATE | Rights::EDIT_ANY | Rights::DELETE_ANY;
                let read_only = examine || reader.is_none() && !rights.intersects(changing);
                let status = mailbox.status(folder.id)?;
                let uids = index::uids(mailbox, folder.id, &status)?;
                mailbox.read_flags_ahead(folder.id)?;
                let unseen = if wants_unseen && reader.is_none() && status.unseen > 0 {
                    unseen::first(mailbox, folder.id, &uids, &status)?
                } else {
                    Unseen::First(None)
                };
                // A visitor does not take what is recent from the owner.
                let recent = if read_only || asked.visitor.is_some() {
                    None
                } else {
                    Some(mailbox.take_recent(folder.id)?)
                };
                Ok(Some((
                    folder.id,
                    folders::path(mailbox, &folder)?,
                    status,
                    uids,
                    recent,
                    mailbox.keywords()?,
                    (rights, reader, read_only, unseen),
                )))
            })
            .await?;
        let Some((folder, path, status, uids, recent_from, keywords, asked)) = found else {
            return Err(Reply::no("NONEXISTENT", "no such mailbox").into());
        };
        let (rights, reader, read_only, unseen) = asked;
        let mut unseen = unseen;
        while unseen == Unseen::Looking {
            let uids = uids.clone();
            unseen = self
                .call_at(&at, move |mailbox| unseen::first(mailbox, folder, &uids, &status))
                .await?;
        }
        let list = UidList::new(&uids);
        let mut recent = UidSet::default();
        match recent_from {
            Some(first) => recent.insert_range(first.0..=status.uid_next.saturating_sub(1)),
            None => uids
                .iter()
                .skip(uids.len().saturating_sub(status.recent as usize))
                .for_each(|uid| recent.insert(uid)),
        }
        let recent = list.intersection(&recent);

        let keywords: Vec<String> = keywords;
        self.write_flags(&keywords);
        if read_only {
            self.out
                .extend_from_slice(b"* OK [PERMANENTFLAGS ()] read-only\r\n");
        } else if !rights.contains(Rights::EDIT_ANY) {
            let kept = match (reader.is_some(), rights.contains(Rights::DELETE_ANY)) {
                (true, true) => "\\Seen \\Deleted",
                (true, false) => "\\Seen",
                (false, true) => "\\Deleted",
                (false, false) => "",
            };
            put!(self.out, "* OK [PERMANENTFLAGS ({kept})] flags kept\r\n");
        } else {
            self.out.extend_from_slice(b"* OK [PERMANENTFLAGS (");
            write_flag_names(&mut self.out, &keywords);
            self.out.extend_from_slice(b" \\*)] flags kept\r\n");
        }
        put!(self.out, "* {} EXISTS\r\n", list.count());
        if !self.enabled.revision2 {
            put!(self.out, "* {} RECENT\r\n", recent.len());
        }
        if let Unseen::First(Some(uid)) = unseen
            && let Some(number) = list.number(uid)
        {
            put!(self.out, "* OK [UNSEEN {number}] first unseen\r\n");
        }
        put!(
            self.out,
            "* OK [UIDVALIDITY {}] UIDs valid\r\n",
            status.uid_validity
        );
        put!(
            self.out,
            "* OK [UIDNEXT {}] predicted next UID\r\n",
            status.uid_next
        );
        put!(
            self.out,
            "* OK [HIGHESTMODSEQ {}] highest\r\n",
            status.highest_change.0.max(1)
        );
        put!(
            self.out,
            "* OK [MAILBOXID ({})] id\r\n",
            folders::object_id(folder)
        );
        if self.enabled.revision2 {
            self.out.extend_from_slice(b"* LIST () \"/\" ");
            encode::mailbox(&mut self.out, &format!("{}{path}", place.prefix), true);
            self.out.extend_from_slice(b"\r\n");
        }
        self.selected = Some(Selected {
            folder,
            place,
            rights,
            reader,
            read_only,
            list: Arc::new(list),
            known: status.highest_change,
            uid_next: status.uid_next,
            pending: UidSet::default(),
            recent,
            keywords,
            saved: UidSet::default(),
            own: UidSet::default(),
            // What came between subscribing and now may be counted already; looking again is cheap.
            stale: true,
        });
        if let Some(resync) = select
            .qresync
            .filter(|resync| resync.uid_validity == status.uid_validity)
        {
            self.resynchronise(resync).await?;
        }
        let code = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        let done = if select.read_only {
            "EXAMINE completed"
        } else {
            "SELECT completed"
        };
        Ok(Reply::ok_code(code, done))
    }

    /// What changed since the client was here last (RFC 7162 §3.2.5.1).
    async fn resynchronise(&mut self, resync: QuickResync) -> Result<(), Failure> {
        let selected = self.selected()?;
        let (folder, list) = (selected.folder, Arc::clone(&selected.list));
        let since = ChangeNumber(resync.mod_seq);
        let (vanished, changed) = self
            .call(move |mailbox| {
                let changes = mailbox.changes_since(folder, since)?;
                let changed = changed_uids(&changes);
                Ok((changes.vanished, changed))
            })
            .await?;
        let vanished = match &resync.known {
            Some(known) => UidList::new(&vanished).resolve(known, true),
            None => vanished,
        };
        self.write_vanished(&vanished, true);
        let uids = list.intersection(&changed);
        self.run_fetch(uids, vec![Item::Uid, Item::Flags, Item::ModSeq])
            .await
            .map(drop)
    }

    pub(super) fn write_vanished(&mut self, uids: &UidSet, earlier: bool) {
        if !uids.is_empty() {
            self.out.extend_from_slice(if earlier {
                b"* VANISHED (EARLIER) "
            } else {
                b"* VANISHED "
            });
            encode::ranges(&mut self.out, uids.ranges().iter().cloned());
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn write_flags(&mut self, keywords: &[String]) {
        self.out.extend_from_slice(b"* FLAGS (");
        write_flag_names(&mut self.out, keywords);
        self.out.extend_from_slice(b")\r\n");
    }

    /// Whether there is a keyword that the client was not told of.
    pub(super) fn has_new_keywords(&self, used: &[String]) -> bool {
        self.selected.as_ref().is_some_and(|selected| {
            let known = |keyword: &String| {
                selected
                    .keywords
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(keyword))
            };
            !used.iter().all(known)
        })
    }

    /// Tells of new keywords before they are used (RFC 9051 §7.3.5).
    pub(super) fn announce_keywords(&mut self, used: &[String]) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        let before = selected.keywords.len();
        for keyword in used {
            if !selected
                .keywords
                .iter()
                .any(|known| known.eq_ignore_ascii_case(keyword))
            {
                selected.keywords.push(keyword.clone());
            }
        }
        if selected.keywords.len() > before {
            let keywords = selected.keywords.clone();
            self.write_flags(&keywords);
        }
    }

    /// Switches CONDSTORE on, as the first command that uses it does (RFC 7162 §3.1).
    pub(super) fn use_condstore(&mut self) {
        if !std::mem::replace(&mut self.enabled.condstore, true)
            && let Some(selected) = &self.selected
        {
            put!(
                self.out,
                "* OK [HIGHESTMODSEQ {}] highest\r\n",
                selected.known.0.max(1)
            );
        }
    }

    pub(super) async fn close(&mut self, expunge: bool) -> Result<Reply, Failure> {
        let mut code = String::new();
        let selected = self.selected()?;
        if expunge && !selected.read_only && selected.rights.contains(Rights::DELETE_ANY) {
            let gone = self.expunge_deleted(None, false).await?;
            if gone && self.enabled.qresync {
                code = format!("HIGHESTMODSEQ {}", self.selected()?.known);
            }
        }
        self.make_durable().await?;
        self.selected = None;
        Ok(Reply::ok_code(code, "mailbox closed"))
    }

    /// Takes the events that have come. Whether the selected mailbox may have changed.
    fn take_events(&mut self) -> bool {
        let (Some(selected), Some((_, subscription))) = (&mut self.selected, &mut self.subscription) else {
            return false;
        };
        while let Some(event) = subscription.try_next() {
            // Of what the client changed itself it knows already.
            let is_known =
                |event: &Event| event.kind == EventKind::MessageChanged && event.change <= selected.known;
            selected.stale |= event.is_none_or(|event| event.folder == selected.folder && !is_known(&event));
        }
        selected.stale
    }

    /// Tells the client what changed since it was last told.
    pub(super) async fn sync(&mut self, expunge_allowed: bool) -> Result<(), Failure> {
        if self
            .notify
            .as_ref()
            .is_some_and(|notify| notify.selected.is_none())
        {
            // NOTIFY said that the client does not want to know.
            return Ok(());
        }
        if self.take_events() {
            let selected = self.selected_mut()?;
            selected.stale = false;
            let (place, reader) = (selected.place.clone(), selected.reader.clone());
            let (folder, since, uid_next, read_only) = (
                selected.folder,
                selected.known,
                selected.uid_next,
                selected.read_only,
            );
            let changes = self
                .call(move |mailbox| {
                    let rights = place.rights(mailbox, folder)?;
                    if !rights.contains(Rights::READ_ANY) {
                        return Err(StoreError::NotFound("the folder".to_owned()));
                    }
                    let mut changes = mailbox.changes_since(folder, since)?;
                    if let Some(reader) = reader {
                        see_as(mailbox, folder, &mut changes, &reader)?;
                    }
                    let new = !read_only && place.visitor.is_none() && changes.uid_next > uid_next;
                    let recent = if new {
                        Some(mailbox.take_recent(folder)?)
                    } else {
                        None
                    };
                    Ok((changes, recent, rights))
                })
                .await;
            match changes {
                Ok((changes, recent, rights)) => {
                    self.selected_mut()?.rights = rights;
                    self.apply(changes, recent, expunge_allowed).await?;
                }
                Err(CallError::Store(StoreError::NotFound(_))) => {
                    return Err(End::Bye("the selected mailbox was deleted").into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if expunge_allowed {
            self.report_expunged().await?;
        }
        Ok(())
    }

    /// Takes note of changes and tells the client.
    async fn apply(
        &mut self,
        changes: Changes,
        recent: Option<Uid>,
        expunge_allowed: bool,
    ) -> Result<(), Failure> {
        let selected = self.selected_mut()?;
        for range in selected.list.intersection(&changes.vanished).ranges() {
            selected.pending.insert_range(range.clone());
        }
        if expunge_allowed {
            self.report_expunged().await?;
        }
        let notified = self.notify.as_ref().and_then(|notify| notify.selected.as_ref());
        let (items, flags) = match notified {
            Some(events) => (events.items.clone(), events.flags),
            None => (Vec::new(), true),
        };
        let mut news = UidSet::default();
        let selected = self.selected_mut()?;
        let first_new = selected.uid_next;
        let list = Arc::make_mut(&mut selected.list);
        let before = list.count();
        for change in changes.changed.iter().filter(|change| change.uid.0 >= first_new) {
            list.push(change.uid);
            if !selected.own.remove(change.uid) && !items.is_empty() {
                news.insert(change.uid);
            }
            if recent.is_some_and(|first| change.uid >= first) {
                selected.recent.insert(change.uid);
            }
        }
        let count = list.count();
        selected.uid_next = changes.uid_next.max(first_new);
        selected.known = changes.highest_change.max(selected.known);
        if count > before {
            let recent = selected.recent.len();
            put!(self.out, "* {count} EXISTS\r\n");
            if !self.enabled.revision2 {
                put!(self.out, "* {recent} RECENT\r\n");
            }
        }
        let known = changes.changed.partition_point(|change| change.uid.0 < first_new);
        if flags {
            self.report_changes(&changes.changed[..known], true).await?;
        }
        if !news.is_empty() {
            Box::pin(self.run_fetch(news, items)).await?;
        }
        Ok(())
    }

    /// `* n FETCH (UID … FLAGS …)` for each message that the client knows.
    pub(super) async fn report_changes(&mut self, changes: &[Change], with_uid: bool) -> Result<(), Failure> {
        // RFC 7162 §3.2.4: with QRESYNC every FETCH response has it.
        let with_uid = with_uid || self.enabled.qresync;
        let mut lines = FlagLines::default();
        for slice in changes.chunks(limits::SLICE_ROWS) {
            for change in slice {
                if !lines.knows(&change.keywords) {
                    self.announce_keywords(&change.keywords);
                }
                let Some(selected) = &self.selected else {
                    return Ok(());
                };
                let Some(number) = selected
                    .list
                    .number(change.uid)
                    .filter(|_| !selected.pending.contains(change.uid))
                else {
                    continue;
                };
                flag_lines::begin(&mut self.out, number);
                if with_uid {
                    flag_lines::uid(&mut self.out, change.uid);
                    self.out.push(b' ');
                }
                let recent = selected.recent.contains(change.uid) && !self.enabled.revision2;
                lines.flags(&mut self.out, change, recent);
                if self.enabled.condstore {
                    put!(self.out, " MODSEQ ({})", change.change);
                }
                self.out.extend_from_slice(b")\r\n");
            }
            self.flush_slice().await?;
        }
        Ok(())
    }

    /// Tells of messages that are gone.
    async fn report_expunged(&mut self) -> Result<(), Failure> {
        let gone = match &mut self.selected {
            Some(selected) if !selected.pending.is_empty() => std::mem::take(&mut selected.pending),
            _ => return Ok(()),
        };
        self.remove_messages(&gone, true).await
    }

    /// Removes messages from the client's list, and tells it with `report`.
    pub(super) async fn remove_messages(&mut self, gone: &UidSet, report: bool) -> Result<(), Failure> {
        let selected = self.selected_mut()?;
        let known = selected.list.intersection(gone);
        let numbers = selected.list.numbers(&known);
        for range in known.ranges() {
            for uid in range.clone() {
                selected.recent.remove(Uid(uid));
                selected.pending.remove(Uid(uid));
            }
        }
        Arc::make_mut(&mut selected.list).remove(&known);
        if !report {
            return Ok(());
        }
        if self.enabled.qresync {
            self.write_vanished(&known, false);
            return Ok(());
        }
        // From the end, so that the numbers still to come stay as they are.
        for range in numbers.ranges().iter().rev() {
            for number in range.clone().rev() {
                put!(self.out, "* {number} EXPUNGE\r\n");
            }
            self.flush_slice().await?;
        }
        Ok(())
    }
}

/// Shows `\Seen` as it is for the reader.
fn see_as(
    mailbox: &mut Mailbox,
    folder: FolderId,
    changes: &mut Changes,
    reader: &str,
) -> Result<(), StoreError> {
    let mut seen = UidSet::default();
    let uids = changed_uids(changes);
    visit_as(mailbox, folder, &uids, false, Some(reader), &mut |row| {
        if row.flags.contains(Flags::SEEN) {
            seen.insert(row.uid);
        }
        ControlFlow::Continue(())
    })?;
    for change in &mut changes.changed {
        change.flags.set(Flags::SEEN, seen.contains(change.uid));
    }
    Ok(())
}

/// The UIDs of changes.
pub(super) fn changed_uids(changes: &Changes) -> UidSet {
    let mut uids = UidSet::default();
    changes.changed.iter().for_each(|change| uids.insert(change.uid));
    uids
}

fn write_flag_names(out: &mut Vec<u8>, keywords: &[String]) {
    for (index, (_, name)) in encode::FLAG_NAMES.iter().enumerate() {
        put!(out, "{}{name}", if index > 0 { " " } else { "" });
    }
    for keyword in keywords {
        put!(out, " {keyword}");
    }
}
