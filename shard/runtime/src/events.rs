//! Changes of mailboxes, told to whoever listens on any core.
//!
//! ```text
//! owner core                                   listener's core
//! job commits ─► publish ─┬─► queues of its own sessions
//!                         └─► one note to each core that listens ─► queues of the sessions there
//! ```
//!
//! To a listening core at most one note about a mailbox is under way; what happens meanwhile waits at the
//! owner and goes with the next. Every queue is bounded; when one overflows its reader gets `None`.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

use ahash::AHashMap;
use ringpost_host::{CallError, MailboxRef, Subscription};
use ringpost_mapi::MailboxGuid;
use ringpost_store::Event;

use crate::{shard::Shard, waiters::Waiters};

/// Events that a session, or another core, may be behind.
pub(crate) const CAPACITY: usize = 1024;

/// Who listens, from one core's view.
#[derive(Default)]
pub(crate) struct Events {
    /// Sessions of this core, by mailbox (of any core).
    here: RefCell<AHashMap<MailboxGuid, Vec<Weak<Queue>>>>,
    /// Other cores that listen to mailboxes of this one.
    elsewhere: RefCell<AHashMap<MailboxGuid, Vec<Listener>>>,
}

struct Listener {
    shard: usize,
    waiting: Vec<Event>,
    lost: bool,
    under_way: bool,
}

#[derive(Default)]
struct Queue {
    events: RefCell<VecDeque<Event>>,
    lost: Cell<bool>,
    waiters: Waiters,
}

impl Queue {
    fn push(&self, events: &[Event], lost: bool) {
        let mut queue = self.events.borrow_mut();
        if lost || queue.len() + events.len() > CAPACITY {
            queue.clear();
            self.lost.set(true);
        } else {
            queue.extend(events.iter().cloned());
        }
        drop(queue);
        self.waiters.wake_all();
    }

    #[allow(clippy::option_option)] // As `Subscription::try_next` has it.
    fn take(&self) -> Option<Option<Event>> {
        if self.lost.take() {
            return Some(None);
        }
        self.events.borrow_mut().pop_front().map(Some)
    }
}

/// A session's view of one mailbox's changes.
pub struct ShardSubscription {
    queue: Rc<Queue>,
    guid: MailboxGuid,
    shard: Rc<Shard>,
}

impl Subscription for ShardSubscription {
    async fn next(&mut self) -> Option<Event> {
        self.queue.waiters.wait(|| self.queue.take()).await
    }

    fn try_next(&mut self) -> Option<Option<Event>> {
        self.queue.take()
    }
}

impl Drop for ShardSubscription {
    fn drop(&mut self) {
        let mut here = self.shard.events.here.borrow_mut();
        let Some(queues) = here.get_mut(&self.guid) else {
            return;
        };
        let this = Rc::as_ptr(&self.queue);
        queues.retain(|queue| queue.as_ptr() != this);
        if !queues.is_empty() {
            return;
        }
        here.remove(&self.guid);
        let (guid, from, owner) = (self.guid, self.shard.id, self.shard.owner_of(self.guid));
        if owner != from {
            let forget = move |shard: &Rc<Shard>| {
                let mut elsewhere = shard.events.elsewhere.borrow_mut();
                if let Some(listeners) = elsewhere.get_mut(&guid) {
                    listeners.retain(|listener| listener.shard != from);
                    if listeners.is_empty() {
                        elsewhere.remove(&guid);
                    }
                }
            };
            self.shard.router.post(owner, Box::new(forget));
        }
    }
}

impl Shard {
    /// Starts to listen; when this returns, no later change is missed.
    pub(crate) async fn subscribe(
        self: &Rc<Self>,
        mailbox: &MailboxRef,
    ) -> Result<ShardSubscription, CallError> {
        let guid = mailbox.guid;
        let queue = Rc::new(Queue::default());
        self.events
            .here
            .borrow_mut()
            .entry(guid)
            .or_default()
            .push(Rc::downgrade(&queue));
        let subscription = ShardSubscription {
            queue,
            guid,
            shard: Rc::clone(self),
        };
        let (from, owner) = (self.id, self.owner_of(guid));
        if owner != from {
            // Also when this core listens already: a note to forget it may be under way, ahead of this.
            self.call(owner, move |shard, reply| {
                let mut elsewhere = shard.events.elsewhere.borrow_mut();
                let listeners = elsewhere.entry(guid).or_default();
                if !listeners.iter().any(|listener| listener.shard == from) {
                    listeners.push(Listener {
                        shard: from,
                        waiting: Vec::new(),
                        lost: false,
                        under_way: false,
                    });
                }
                drop(elsewhere);
                reply.send(shard, Ok(()));
            })
            .await?;
        }
        Ok(subscription)
    }

    /// Tells a mailbox's changes to everyone who listens. On the owner core.
    pub(crate) fn publish(&self, guid: MailboxGuid, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.metrics.events.add(events.len() as u64);
        self.deliver(guid, &events, false);
        let mut elsewhere = self.events.elsewhere.borrow_mut();
        let Some(listeners) = elsewhere.get_mut(&guid) else {
            return;
        };
        for listener in listeners {
            if listener.waiting.len() + events.len() > CAPACITY {
                listener.waiting.clear();
                listener.lost = true;
            } else {
                listener.waiting.extend(events.iter().cloned());
            }
            self.note(guid, listener);
        }
    }

    fn note(&self, guid: MailboxGuid, listener: &mut Listener) {
        if listener.under_way || (listener.waiting.is_empty() && !listener.lost) {
            return;
        }
        listener.under_way = true;
        let events = std::mem::take(&mut listener.waiting);
        let lost = std::mem::take(&mut listener.lost);
        let (owner, to) = (self.id, listener.shard);
        let deliver = move |shard: &Rc<Shard>| {
            shard.deliver(guid, &events, lost);
            shard
                .router
                .post(owner, Box::new(move |shard| shard.noted(guid, to)));
        };
        self.router.post(to, Box::new(deliver));
    }

    fn noted(&self, guid: MailboxGuid, by: usize) {
        let mut elsewhere = self.events.elsewhere.borrow_mut();
        let listener = elsewhere
            .get_mut(&guid)
            .and_then(|listeners| listeners.iter_mut().find(|listener| listener.shard == by));
        if let Some(listener) = listener {
            listener.under_way = false;
            self.note(guid, listener);
        }
    }

    fn deliver(&self, guid: MailboxGuid, events: &[Event], lost: bool) {
        let queues = self.events.here.borrow().get(&guid).cloned();
        for queue in queues.iter().flatten().filter_map(Weak::upgrade) {
            queue.push(events, lost);
        }
    }

    /// Mailboxes that sessions of this core listen to.
    pub(crate) fn subscription_count(&self) -> usize {
        self.events.here.borrow().values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use ringpost_mapi::{ChangeNumber, FolderId, Guid};
    use ringpost_store::EventKind;

    use super::*;
    use crate::{testing::on_core, waiters::within};

    const SOON: Duration = Duration::from_secs(10);

    /// A mailbox that this core owns.
    fn owned_by(shard: &Shard, owner: usize) -> MailboxRef {
        let guid = (0..255_u8)
            .map(|n| {
                format!("00000000-0000-0000-0000-0000000000{n:02x}")
                    .parse::<Guid>()
                    .unwrap()
            })
            .map(MailboxGuid)
            .find(|guid| shard.owner_of(*guid) == owner)
            .unwrap();
        MailboxRef {
            guid,
            path: Path::new("/nowhere").into(),
        }
    }

    fn event(number: u64) -> Event {
        Event {
            folder: FolderId(1),
            message: None,
            kind: EventKind::FolderChanged,
            change: ChangeNumber(number),
        }
    }

    async fn publish(shard: &Rc<Shard>, mailbox: &MailboxRef, numbers: std::ops::Range<u64>) {
        let guid = mailbox.guid;
        let publish = move |shard: &Rc<Shard>, reply: crate::router::Reply<()>| {
            for number in numbers {
                shard.publish(guid, vec![event(number)]);
            }
            reply.send(shard, Ok(()));
        };
        shard.call(shard.owner_of(guid), publish).await.unwrap();
    }

    async fn listeners(shard: &Rc<Shard>, mailbox: &MailboxRef) -> usize {
        let guid = mailbox.guid;
        let count = move |shard: &Rc<Shard>, reply: crate::router::Reply<usize>| {
            let count = shard.events.elsewhere.borrow().get(&guid).map_or(0, Vec::len);
            reply.send(shard, Ok(count));
        };
        shard.call(shard.owner_of(guid), count).await.unwrap()
    }

    #[test]
    fn sessions_on_any_core_see_every_change_in_order() {
        on_core(2, |shard| async move {
            for owner in [0, 1] {
                let mailbox = owned_by(&shard, owner);
                let mut first = shard.subscribe(&mailbox).await.unwrap();
                let mut second = shard.subscribe(&mailbox).await.unwrap();
                publish(&shard, &mailbox, 0..500).await;
                for subscription in [&mut first, &mut second] {
                    for number in 0..500 {
                        let next = within(SOON, subscription.next()).await.unwrap();
                        assert_eq!(next.map(|event| event.change), Some(ChangeNumber(number)));
                    }
                    assert!(subscription.try_next().is_none());
                }
                drop(first);
                publish(&shard, &mailbox, 500..501).await;
                let next = within(SOON, second.next()).await.unwrap();
                assert_eq!(next.map(|event| event.change), Some(ChangeNumber(500)));
                drop(second);
                assert_eq!(listeners(&shard, &mailbox).await, 0);
                assert_eq!(shard.subscription_count(), 0);
            }
        });
    }

    #[test]
    fn a_reader_that_is_too_slow_learns_that_events_were_lost() {
        on_core(2, |shard| async move {
            for owner in [0, 1] {
                let mailbox = owned_by(&shard, owner);
                let mut subscription = shard.subscribe(&mailbox).await.unwrap();
                publish(&shard, &mailbox, 0..3 * CAPACITY as u64).await;
                let lost = async { while subscription.next().await.is_some() {} };
                within(SOON, lost).await.expect("the loss is told");
                // Notes may still be under way; one of them is followed by this one.
                publish(&shard, &mailbox, 9_999_999..10_000_000).await;
                let newest = async {
                    while subscription.next().await.map(|event| event.change) != Some(ChangeNumber(9_999_999))
                    {
                    }
                };
                within(SOON, newest).await.expect("later events come");
            }
        });
    }
}
