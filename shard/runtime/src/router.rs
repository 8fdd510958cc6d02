//! Calls between cores: one bounded queue for each ordered pair.
//!
//! A caller takes one of the pair's permits, so at most [`MAX_CALLS`] calls are under way from one core to
//! another; the permit comes back with the answer. Requests of one turn of the executor travel together in
//! one batch. An answer needs no permit of its own (a call already holds one), so answers can always be
//! sent, and two cores that call each other can't lock each other out.
//!
//! Cost of a call: a box for the request, one for the answer's way back, and a share of two batches; two
//! atomic operations a batch, no lock.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::VecDeque,
    marker::PhantomData,
    rc::Rc,
    time::Duration,
};

use ringpost_executor::{
    channel::{self, Receiver, Sender},
    sync::{Permit, Semaphore},
};
use ringpost_host::CallError;
use slab::Slab;

use crate::{
    shard::{Shard, current},
    waiters::{Waiters, within},
    watch::spawn_into,
};

/// Calls under way from one core to one other.
const MAX_CALLS: usize = 1024;
/// Messages in a batch.
const BATCH: usize = 128;
/// Batches in a queue between two cores.
pub(crate) const QUEUE: usize = 64;
/// How long a caller waits for a permit.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that another core shall do.
pub(crate) type Message = Box<dyn FnOnce(&Rc<Shard>) + Send>;
type Batch = Vec<Message>;

/// The two ends of one core's queues, by the other core's number; none for itself.
pub(crate) struct Wires {
    pub(crate) senders: Vec<Option<Sender<Batch>>>,
    pub(crate) receivers: Vec<Option<Receiver<Batch>>>,
}

/// Makes the queues of `count` cores.
pub(crate) fn wires(count: usize) -> Vec<Wires> {
    let mut all: Vec<Wires> = (0..count)
        .map(|_| Wires {
            senders: (0..count).map(|_| None).collect(),
            receivers: (0..count).map(|_| None).collect(),
        })
        .collect();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            let (sender, receiver) = channel::bounded(QUEUE);
            all[from].senders[to] = Some(sender);
            all[to].receivers[from] = Some(receiver);
        }
    }
    all
}

/// One core's side of the calls.
pub(crate) struct Router {
    peers: Vec<Peer>,
    pending: RefCell<Slab<Pending>>,
}

struct Peer {
    outbox: RefCell<VecDeque<Message>>,
    ready: Waiters,
    permits: Rc<Semaphore>,
    longest: Cell<usize>,
}

/// A call whose answer has not come.
struct Pending {
    slot: Rc<dyn Any>,
    give_up: fn(&Rc<dyn Any>),
    /// Held until the answer, also when the caller has gone: the other core still works on it.
    _permit: Option<Permit>,
}

/// Where an answer is put.
struct Slot<R> {
    answer: RefCell<Option<Result<R, CallError>>>,
    waiters: Waiters,
}

/// The right to answer a call, once. Dropped instead, the caller is told that there will be no answer.
pub(crate) struct Reply<R: Send + 'static> {
    origin: usize,
    key: Option<usize>,
    answer: PhantomData<fn(R)>,
}

impl Router {
    pub(crate) fn new(count: usize) -> Self {
        let peer = || Peer {
            outbox: RefCell::default(),
            ready: Waiters::default(),
            permits: Semaphore::new(MAX_CALLS),
            longest: Cell::new(0),
        };
        Self {
            peers: (0..count).map(|_| peer()).collect(),
            pending: RefCell::default(),
        }
    }

    /// Puts a message into the queue to another core, past the permits: for answers and notes whose number
    /// something else limits.
    pub(crate) fn post(&self, target: usize, message: Message) {
        let peer = &self.peers[target];
        let mut outbox = peer.outbox.borrow_mut();
        outbox.push_back(message);
        peer.longest.set(peer.longest.get().max(outbox.len()));
        drop(outbox);
        peer.ready.wake_all();
    }

    /// Messages that wait to be sent, to all cores, and the most there ever were to one.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let waiting = self.peers.iter().map(|peer| peer.outbox.borrow().len()).sum();
        let longest = self
            .peers
            .iter()
            .map(|peer| peer.longest.get())
            .max()
            .unwrap_or(0);
        (waiting, longest)
    }
}

impl Shard {
    /// Asks a core (also this one) to do something, and waits for its answer.
    pub(crate) async fn call<R: Send + 'static>(
        self: &Rc<Self>,
        target: usize,
        request: impl FnOnce(&Rc<Shard>, Reply<R>) + Send + 'static,
    ) -> Result<R, CallError> {
        let permit = self.permit(target).await?;
        let slot = Rc::new(Slot::<R> {
            answer: RefCell::new(None),
            waiters: Waiters::default(),
        });
        let key = self.router.pending.borrow_mut().insert(Pending {
            slot: Rc::clone(&slot) as Rc<dyn Any>,
            give_up: give_up::<R>,
            _permit: permit,
        });
        let reply = Reply {
            origin: self.id,
            key: Some(key),
            answer: PhantomData,
        };
        if target == self.id {
            request(self, reply);
        } else {
            let message: Message = Box::new(move |shard| request(shard, reply));
            self.router.post(target, message);
        }
        slot.waiters.wait(|| slot.answer.borrow_mut().take()).await
    }

    async fn permit(&self, target: usize) -> Result<Option<Permit>, CallError> {
        if target == self.id {
            return Ok(None);
        }
        let permits = &self.router.peers[target].permits;
        if let Some(permit) = permits.try_acquire() {
            return Ok(Some(permit));
        }
        self.metrics.router_waits.increment();
        match within(PATIENCE, permits.acquire()).await {
            Some(permit) => Ok(Some(permit)),
            None => Err(CallError::Unavailable),
        }
    }

    fn complete<R: 'static>(&self, key: usize, answer: Result<R, CallError>) {
        let Some(pending) = self.router.pending.borrow_mut().try_remove(key) else {
            return;
        };
        if let Ok(slot) = pending.slot.downcast::<Slot<R>>() {
            slot.answer.replace(Some(answer));
            slot.waiters.wake_all();
        }
    }

    /// Starts the tasks that send and receive.
    pub(crate) fn start_router(self: &Rc<Self>, wires: Wires) {
        for (target, sender) in wires.senders.into_iter().enumerate() {
            if let Some(sender) = sender {
                let task = send_batches(Rc::clone(self), target, sender);
                spawn_into(self, self.queues.interactive, "router", task);
            }
        }
        for receiver in wires.receivers.into_iter().flatten() {
            let task = receive_batches(Rc::clone(self), receiver);
            spawn_into(self, self.queues.interactive, "router", task);
        }
    }
}

async fn send_batches(shard: Rc<Shard>, target: usize, sender: Sender<Batch>) {
    let peer = &shard.router.peers[target];
    loop {
        let batch: Batch = peer
            .ready
            .wait(|| {
                let mut outbox = peer.outbox.borrow_mut();
                let count = outbox.len().min(BATCH);
                (count > 0).then(|| outbox.drain(..count).collect())
            })
            .await;
        shard.metrics.router_batches.increment();
        shard.metrics.router_messages.add(batch.len() as u64);
        if sender.send(batch).await.is_err() {
            // The other core has ended. Callers are told as their replies are dropped with the batch.
            return;
        }
    }
}

async fn receive_batches(shard: Rc<Shard>, receiver: Receiver<Batch>) {
    while let Some(batch) = receiver.recv().await {
        for message in batch {
            message(&shard);
        }
    }
}

fn give_up<R: 'static>(slot: &Rc<dyn Any>) {
    if let Ok(slot) = Rc::clone(slot).downcast::<Slot<R>>() {
        slot.answer.replace(Some(Err(CallError::Unavailable)));
        slot.waiters.wake_all();
    }
}

impl<R: Send + 'static> Reply<R> {
    /// Answers the call. Call it on the core that got the request.
    pub(crate) fn send(mut self, shard: &Rc<Shard>, answer: Result<R, CallError>) {
        let Some(key) = self.key.take() else { return };
        if self.origin == shard.id {
            shard.complete(key, answer);
        } else {
            let message: Message = Box::new(move |shard| shard.complete(key, answer));
            shard.router.post(self.origin, message);
        }
    }
}

impl<R: Send + 'static> Drop for Reply<R> {
    fn drop(&mut self) {
        let (Some(key), Some(shard)) = (self.key.take(), current()) else {
            return;
        };
        if self.origin == shard.id {
            let pending = shard.router.pending.borrow_mut().try_remove(key);
            if let Some(pending) = pending {
                (pending.give_up)(&pending.slot);
            }
        } else {
            let message: Message = Box::new(move |shard| {
                let pending = shard.router.pending.borrow_mut().try_remove(key);
                if let Some(pending) = pending {
                    (pending.give_up)(&pending.slot);
                }
            });
            shard.router.post(self.origin, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_core;

    #[test]
    fn many_calls_at_once_are_all_answered_and_travel_in_batches() {
        on_core(2, |shard| async move {
            let calls = 5 * MAX_CALLS as u64;
            let tasks: Vec<_> = (0..calls)
                .map(|number| {
                    let shard = Rc::clone(&shard);
                    ringpost_executor::spawn_local(async move {
                        let double =
                            move |shard: &Rc<Shard>, reply: Reply<u64>| reply.send(shard, Ok(number * 2));
                        shard.call(1, double).await.unwrap()
                    })
                })
                .collect();
            for (number, task) in (0..calls).zip(tasks) {
                assert_eq!(task.await, number * 2);
            }
            assert!(shard.metrics.router_waits.get() > 0, "the limit was reached");
            let (waiting, longest) = shard.router.depth();
            assert_eq!(waiting, 0);
            assert!(longest <= MAX_CALLS);
            let batches = shard.metrics.router_batches.get();
            assert!(batches < calls / 4, "{batches} batches for {calls} messages");
        });
    }

    #[test]
    fn a_call_that_nobody_answers_fails_and_a_caller_that_leaves_harms_nobody() {
        on_core(2, |shard| async move {
            for target in [0, 1] {
                let forget = |_: &Rc<Shard>, reply: Reply<()>| drop(reply);
                let answer = shard.call(target, forget).await;
                assert!(matches!(answer, Err(CallError::Unavailable)));

                let slow = |shard: &Rc<Shard>, reply: Reply<()>| {
                    let (this, shard) = (Rc::clone(shard), Rc::clone(shard));
                    spawn_into(&this, this.queues.background, "test", async move {
                        ringpost_executor::timer::sleep(Duration::from_millis(20)).await;
                        reply.send(&shard, Ok(()));
                    });
                };
                assert!(
                    within(Duration::from_millis(1), shard.call(target, slow))
                        .await
                        .is_none()
                );
                shard.call(target, slow).await.unwrap();
            }
            assert!(shard.router.pending.borrow().is_empty());
        });
    }
}
