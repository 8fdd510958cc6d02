//! Waiting for permits, within one executor.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

/// A number of permits, given out first come first served.
#[derive(Debug)]
pub struct Semaphore {
    available: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    waker: RefCell<Option<Waker>>,
    state: Cell<State>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Granted,
    Gone,
}

/// One permit; it goes back when dropped.
#[derive(Debug)]
pub struct Permit(Rc<Semaphore>);

impl Semaphore {
    /// A semaphore with so many permits.
    pub fn new(permits: usize) -> Rc<Self> {
        Rc::new(Self {
            available: Cell::new(permits),
            waiting: RefCell::default(),
        })
    }

    /// Permits that nobody has.
    pub fn available(&self) -> usize {
        self.available.get()
    }

    /// A permit, if there is one now. Nobody waits while there is.
    pub fn try_acquire(self: &Rc<Self>) -> Option<Permit> {
        let left = self.available.get().checked_sub(1)?;
        self.available.set(left);
        Some(Permit(Rc::clone(self)))
    }

    /// A permit, as soon as there is one.
    pub async fn acquire(self: &Rc<Self>) -> Permit {
        if let Some(permit) = self.try_acquire() {
            return permit;
        }
        let place = Place {
            semaphore: self,
            waiter: Rc::new(Waiter {
                waker: RefCell::new(None),
                state: Cell::new(State::Waiting),
            }),
        };
        self.waiting.borrow_mut().push_back(Rc::clone(&place.waiter));
        poll_fn(|context| {
            if place.waiter.state.get() == State::Granted {
                return Poll::Ready(());
            }
            place.waiter.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        place.waiter.state.set(State::Gone);
        Permit(Rc::clone(self))
    }

    fn give_back(&self) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(next) = next else {
                self.available.set(self.available.get() + 1);
                return;
            };
            if next.state.get() == State::Waiting {
                next.state.set(State::Granted);
                if let Some(waker) = next.waker.take() {
                    waker.wake();
                }
                return;
            }
        }
    }
}

/// A place in the queue.
struct Place<'a> {
    semaphore: &'a Semaphore,
    waiter: Rc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Granted and left all the same: the next one's.
        if self.waiter.state.replace(State::Gone) == State::Granted {
            self.semaphore.give_back();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
