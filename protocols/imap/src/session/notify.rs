//! NOTIFY (RFC 5465): what happens in mailboxes is told as it happens, also between commands.
//!
//! A store that has mailboxes to watch is subscribed to. An event says only that something changed there: then its
//! folders are listed once more and compared with what the client knows ([`watch`]), so that events may be lost or come
//! in heaps without any harm. The selected mailbox has its own way, that of IDLE ([`Session::sync`]); NOTIFY decides
//! whether and when it is taken.

mod watch;

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use futures_lite::future::or;
use ringpost_host::{Connection, Host, Subscription};
use ringpost_store::Mailbox;

use super::{
    Session,
    place::{self, Place},
    reply::{End, Failure, Reply},
};
use crate::{
    encode::{self, put},
    limits,
    syntax::{
        command::Body,
        notify::{Events, Group, Mailboxes, NotifySet, SelectedEvents, event_names},
    },
};
use watch::{Snapshot, Teller};

/// What a client wants to be told.
pub(super) struct Notify<S> {
    /// Of the selected mailbox; `None`: nothing.
    pub(super) selected: Option<SelectedEvents>,
    groups: Vec<Group>,
    watched: Vec<Watched<S>>,
    /// Names that are subscribed to beside the folders that say so themselves.
    names: Vec<String>,
    /// Mailboxes that the last command changed: of one's own doing nothing is told (§5).
    own: Vec<String>,
}

/// A store that is watched.
struct Watched<S> {
    /// The store, without a mailbox's name.
    place: Place,
    subscription: S,
    /// Something may have changed since `known`.
    changed: bool,
    /// What the client knows.
    known: Arc<Snapshot>,
}

/// Why a session that waited goes on.
pub(super) enum Wake {
    /// The client sent something.
    Input,
    /// The selected mailbox may have changed.
    Selected,
    /// A watched store may have changed.
    Watched,
}

impl<S> Notify<S> {
    fn nothing() -> Self {
        Self {
            selected: None,
            groups: Vec::new(),
            watched: Vec::new(),
            names: Vec::new(),
            own: Vec::new(),
        }
    }

    /// Notes what mailboxes a command changed.
    pub(super) fn set_own(&mut self, names: Vec<String>) {
        self.own = names;
    }

    fn wants(&self, events: Events) -> bool {
        self.groups.iter().any(|group| group.events.has(events))
    }
}

/// Mailboxes that a command changes, of which its client need not be told.
pub(super) fn changed_names(body: &Body<'_>) -> Vec<String> {
    let names: &[&String] = match body {
        Body::Create { mailbox, .. } => &[mailbox],
        Body::Delete(name) | Body::Subscribe(name) | Body::Unsubscribe(name) => &[name],
        Body::Rename { from, to } => &[from, to],
        Body::SetMetadata(set) => &[&set.mailbox],
        _ => &[],
    };
    names.iter().map(|name| watch::canonical(name)).collect()
}

impl<C: Connection, H: Host> Session<'_, C, H> {
    pub(super) async fn notify(&mut self, set: Option<NotifySet>) -> Result<Reply, Failure> {
        let Some(set) = set else {
            self.notify = Some(Box::new(Notify::nothing()));
            return Ok(Reply::ok("NOTIFY completed"));
        };
        if set.unknown_event {
            let code = format!("BADEVENT ({})", event_names());
            return Err(Reply::no(code, "there are other events only").into());
        }
        // What has come together until now is told in any case (§3.1).
        if self.selected.is_some() {
            self.notify = None;
            Box::pin(self.sync(true)).await?;
        }
        let mut notify = Notify {
            selected: set.selected,
            groups: set.groups,
            ..Notify::nothing()
        };
        notify.names = self.call_at(&self.mailbox, Mailbox::subscribed_names).await?;
        if !self.watch(&mut notify).await? {
            return Err(Reply::no("NOTIFICATIONOVERFLOW", "too many mailboxes to watch").into());
        }
        let mut out = std::mem::take(&mut self.out);
        for watched in &notify.watched {
            let teller = self.teller(&notify, &watched.place);
            teller.tell_state(&watched.known, set.status, &mut out);
        }
        self.out = out;
        self.notify = Some(Box::new(notify));
        Ok(Reply::ok("NOTIFY completed"))
    }

    /// Subscribes to the stores that have mailboxes to watch, and were not subscribed to. False when there are too many.
    async fn watch(&self, notify: &mut Notify<H::Subscription>) -> Result<bool, Failure> {
        for place in self.places_to_watch(notify) {
            if notify
                .watched
                .iter()
                .any(|known| known.place.mailbox == place.mailbox)
            {
                continue;
            }
            if notify.watched.len() == limits::NOTIFY_STORES {
                return Ok(false);
            }
            // First, so that nothing comes between.
            let subscription = self.host.subscribe(&place.mailbox).await;
            let metadata = notify.wants(Events::METADATA) || notify.wants(Events::SERVER_METADATA);
            let seen = self.look(&place, metadata, Arc::default()).await;
            match (subscription, seen) {
                (Ok(subscription), Ok(known)) => notify.watched.push(Watched {
                    place,
                    subscription,
                    changed: false,
                    known: Arc::new(known),
                }),
                (Err(error), _) | (_, Err(error)) if place.visitor.is_none() => return Err(error.into()),
                // Another's mailbox that can't be opened is his trouble.
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%error, mailbox = %place.prefix, "imap: a shared mailbox can't be watched");
                }
            }
        }
        let folders: usize = notify
            .watched
            .iter()
            .map(|watched| watched.known.folders.len())
            .sum();
        Ok(folders <= limits::NOTIFY_FOLDERS)
    }

    fn places_to_watch(&self, notify: &Notify<H::Subscription>) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |name: &str, below: bool| {
            if !place::is_shared(&format!("{name}/")) {
                places.push(self.own_place(""));
            } else if below {
                places.extend(self.visited_by(&format!("{name}/*")));
            } else {
                places.extend(self.visited_by(name));
            }
        };
        for group in notify
            .groups
            .iter()
            .filter(|group| group.events != Events::default())
        {
            match &group.mailboxes {
                Mailboxes::Personal => add("", false),
                Mailboxes::Subscribed => {
                    add("", false);
                    notify.names.iter().for_each(|name| add(name, false));
                }
                Mailboxes::Subtree(names) => names.iter().for_each(|name| add(name, true)),
                Mailboxes::Named(names) => names.iter().for_each(|name| add(name, false)),
            }
            if group.events.has(Events::SUBSCRIPTION) || group.events.has(Events::SERVER_METADATA) {
                add("", false);
            }
        }
        places
    }

    /// How a store looks now.
    async fn look(
        &self,
        place: &Place,
        metadata: bool,
        before: Arc<Snapshot>,
    ) -> Result<Snapshot, ringpost_host::CallError> {
        let asked = place.clone();
        let user = self.user.to_string();
        self.call_at(&place.mailbox, move |mailbox| {
            watch::look(mailbox, &asked, metadata.then_some(&user), &before)
        })
        .await
    }

    fn teller<'n>(&self, notify: &'n Notify<H::Subscription>, place: &Place) -> Teller<'n> {
        let here = self
            .selected
            .as_ref()
            .filter(|selected| selected.place.mailbox == place.mailbox);
        Teller {
            groups: &notify.groups,
            names: &notify.names,
            own: &notify.own,
            personal: place.visitor.is_none(),
            public: place.is_public(),
            selected: here.map(|selected| selected.folder),
            utf8: self.enabled.utf8_names(),
            condstore: self.enabled.condstore,
        }
    }

    /// Tells what changed in the stores that are watched.
    pub(super) async fn tell_watched(&mut self) -> Result<(), Failure> {
        let Some(mut notify) = self.notify.take() else {
            return Ok(());
        };
        let overflow = !self.tell_changes(&mut notify).await?;
        if overflow {
            // As if the client had said NOTIFY NONE (§5.8).
            self.out
                .extend_from_slice(b"* OK [NOTIFICATIONOVERFLOW] too many mailboxes to watch\r\n");
            *notify = Notify::nothing();
        }
        self.notify = Some(notify);
        Ok(())
    }

    /// False when there is too much to watch by now.
    async fn tell_changes(&mut self, notify: &mut Notify<H::Subscription>) -> Result<bool, Failure> {
        let mut any = false;
        for index in 0..notify.watched.len() {
            let watched = &mut notify.watched[index];
            while watched.subscription.try_next().is_some() {
                watched.changed = true;
            }
            if !std::mem::take(&mut watched.changed) {
                continue;
            }
            any = true;
            let (place, before) = (watched.place.clone(), Arc::clone(&watched.known));
            let metadata = notify.wants(Events::METADATA) || notify.wants(Events::SERVER_METADATA);
            let now = match self.look(&place, metadata, Arc::clone(&before)).await {
                Ok(now) => Arc::new(now),
                Err(error) if place.visitor.is_some() => {
                    tracing::warn!(%error, mailbox = %place.prefix, "imap: a shared mailbox can't be watched");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let mut out = std::mem::take(&mut self.out);
            self.teller(notify, &place).tell_changes(&before, &now, &mut out);
            self.out = out;
            notify.watched[index].known = now;
            if place.visitor.is_none() {
                self.tell_names(notify).await?;
            }
            self.flush_slice().await?;
        }
        if any {
            notify.own.clear();
        }
        let folders: usize = notify
            .watched
            .iter()
            .map(|watched| watched.known.folders.len())
            .sum();
        Ok(folders <= limits::NOTIFY_FOLDERS && self.watch(notify).await?)
    }

    /// Tells which names are subscribed to by now, of those whose mailboxes don't say so themselves.
    async fn tell_names(&mut self, notify: &mut Notify<H::Subscription>) -> Result<(), Failure> {
        let names = self.call_at(&self.mailbox, Mailbox::subscribed_names).await?;
        let before = std::mem::replace(&mut notify.names, names);
        if !notify.wants(Events::SUBSCRIPTION) {
            return Ok(());
        }
        let differ = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|name| !b.contains(name)).cloned().collect()
        };
        let added = differ(&notify.names, &before);
        for name in differ(&before, &notify.names).iter().chain(&added) {
            let wanted = notify.groups.iter().any(|group| {
                group.events.has(Events::SUBSCRIPTION) && watch::covers(&group.mailboxes, name, false, true)
            });
            // A name in one's own store that a mailbox took over is told by that mailbox.
            let own = notify
                .watched
                .iter()
                .find(|watched| watched.place.visitor.is_none());
            let taken = own.is_some_and(|own| own.known.folders.values().any(|known| known.name == *name));
            if !wanted || taken || notify.own.contains(name) {
                continue;
            }
            let exists = match self.place(name) {
                Ok(place) if place::is_shared(name) => {
                    let asked = place.clone();
                    let found = self
                        .call_at(&place.mailbox, move |mailbox| {
                            asked.find(mailbox, ringpost_mapi::rights::Rights::empty())
                        })
                        .await;
                    matches!(found, Ok(Some(_)))
                }
                _ => false,
            };
            let mut attributes = Vec::new();
            if !exists {
                attributes.push("\\NonExistent");
            }
            if added.contains(name) {
                attributes.push("\\Subscribed");
            }
            put!(self.out, "* LIST ({}) \"/\" ", attributes.join(" "));
            encode::mailbox(&mut self.out, name, self.enabled.utf8_names());
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Waits for input, or for something that the client may want to be told.
    pub(super) async fn wait(&mut self) -> Result<Wake, End> {
        let (selected, watched) = match &mut self.notify {
            None => (self.selected.as_ref(), None),
            Some(notify) => (
                self.selected.as_ref().filter(|_| notify.selected.is_some()),
                Some(&mut notify.watched),
            ),
        };
        let folder = selected.map(|selected| selected.folder);
        let subscription = self.subscription.as_mut().filter(|_| folder.is_some());
        let of_selected = async {
            match subscription {
                None => futures_lite::future::pending().await,
                // Events of other folders need no answer.
                Some((_, subscription)) => {
                    while subscription
                        .next()
                        .await
                        .is_some_and(|event| Some(event.folder) != folder)
                    {}
                    Ok(Wake::Selected)
                }
            }
        };
        let of_watched = async {
            match watched {
                Some(watched) if !watched.is_empty() => {
                    next_change(watched).await;
                    Ok(Wake::Watched)
                }
                _ => futures_lite::future::pending().await,
            }
        };
        let stopping = async {
            self.host.stopping().await;
            Err(End::Bye("the server is shutting down"))
        };
        let timeout = self.settings.autologout_time;
        let input = async {
            match self.stream.fill(timeout).await {
                Ok(0) => Err(End::Closed),
                Ok(_) => Ok(Wake::Input),
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    Err(End::Bye("automatic logout; idle for too long"))
                }
                Err(_) => Err(End::Closed),
            }
        };
        or(input, or(of_selected, or(of_watched, stopping))).await
    }

    /// Waits for input between two commands, and tells meanwhile what the client asked to be told.
    pub(super) async fn wait_and_tell(&mut self) -> Result<(), End> {
        loop {
            // What happened while a command ran was not waited for.
            let told = self.tell_between().await;
            if let Err(failure) = told {
                match failure {
                    Failure::End(end) => return Err(end),
                    Failure::Reply(reply) => {
                        tracing::warn!(%reply, "imap: a change can't be told");
                        self.notify = Some(Box::new(Notify::nothing()));
                        self.out.extend_from_slice(
                            b"* OK [NOTIFICATIONOVERFLOW] changes can't be told any more\r\n",
                        );
                    }
                }
            }
            self.flush().await?;
            match self.wait().await? {
                Wake::Input => return Ok(()),
                Wake::Watched => {}
                Wake::Selected => {
                    if let Some(selected) = &mut self.selected {
                        selected.mark_stale();
                    }
                }
            }
        }
    }

    async fn tell_between(&mut self) -> Result<(), Failure> {
        let selected = self.notify.as_ref().and_then(|notify| notify.selected.as_ref());
        if let Some(immediate) = selected.map(|selected| selected.immediate)
            && self.selected.is_some()
        {
            self.sync(immediate).await?;
        }
        self.tell_watched().await
    }
}

/// Waits until something may have changed in one of the stores, and marks it.
async fn next_change<S: Subscription>(watched: &mut [Watched<S>]) {
    let mut waiting: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::with_capacity(watched.len());
    for store in watched {
        waiting.push(Box::pin(async {
            store.subscription.next().await;
            store.changed = true;
        }));
    }
    poll_fn(|context| {
        let ready = waiting
            .iter_mut()
            .any(|store| store.as_mut().poll(context).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
