//! Bounded queues from one executor to another.
//!
//! Sending is a few atomic operations, and a system call only where the receiver sleeps.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{Ordering::SeqCst, fence},
        mpsc::{self, TryRecvError, TrySendError},
    },
    task::Poll,
    time::Duration,
};

use crate::{core::Core, remote::Remote, timer};

/// How long a sender waits before it looks again whether there is room. A full queue means that the receiver
/// is behind by all of it.
const FULL_PAUSE: Duration = Duration::from_micros(200);

/// The sending end.
#[derive(Debug)]
pub struct Sender<T> {
    /// Taken when dropped.
    queue: Option<mpsc::SyncSender<T>>,
    receiver: Arc<Address>,
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<T> {
    queue: mpsc::Receiver<T>,
    address: Arc<Address>,
}

/// Where the receiver lives, once it has begun.
#[derive(Default)]
struct Address(OnceLock<Arc<Remote>>);

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").finish_non_exhaustive()
    }
}

/// The receiver has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed;

/// A queue for at most `capacity` values. Either end may go to any executor.
pub fn bounded<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::sync_channel(capacity);
    let address = Arc::<Address>::default();
    let sender = Sender {
        queue: Some(sender),
        receiver: Arc::clone(&address),
    };
    (
        sender,
        Receiver {
            queue: receiver,
            address,
        },
    )
}

impl<T: Send> Sender<T> {
    /// Sends, when there is room.
    pub async fn send(&self, value: T) -> Result<(), Closed> {
        let Some(queue) = &self.queue else {
            return Err(Closed);
        };
        let mut value = value;
        loop {
            match queue.try_send(value) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => value = back,
                Err(TrySendError::Disconnected(_)) => return Err(Closed),
            }
            timer::sleep(FULL_PAUSE).await;
        }
        self.notify();
        Ok(())
    }
}

impl<T> Sender<T> {
    fn notify(&self) {
        // Pairs with the receiver's: it names itself, then looks; we send, then look for its name.
        fence(SeqCst);
        if let Some(remote) = self.receiver.0.get() {
            remote.channel_has_something();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.queue.take();
        self.notify();
    }
}

impl<T: Send> Receiver<T> {
    /// The next value; `None` when the sender has gone. Always on the same executor.
    pub async fn recv(&self) -> Option<T> {
        let core = Core::current();
        if self.address.0.get().is_none() {
            let _ = self.address.0.set(Arc::clone(&core.remote));
            fence(SeqCst);
        }
        let mut place = Place { core, key: None };
        poll_fn(|context| match self.queue.try_recv() {
            Ok(value) => Poll::Ready(Some(value)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => {
                let receivers = &mut *place.core.receivers.borrow_mut();
                match place.key.and_then(|key| receivers.get_mut(key)) {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => place.key = Some(receivers.insert(context.waker().clone())),
                }
                Poll::Pending
            }
        })
        .await
    }
}

/// A receiver's entry among those of its executor that wait.
struct Place {
    core: std::rc::Rc<Core>,
    key: Option<usize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let waker = self
            .key
            .and_then(|key| self.core.receivers.borrow_mut().try_remove(key));
        drop(waker);
    }
}
