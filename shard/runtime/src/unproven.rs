//! Connections that have shown nothing yet: nobody logged in over them, no mail came. When there is no room for
//! a new one, the one that has waited longest gives way to it, so a crowd that says nothing keeps nobody out.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use ahash::AHashMap;

use crate::waiters::Waiters;

/// So long nobody has to give way: time to say something.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Has shown nothing.
    Unproven,
    /// What it showed is being looked at.
    Checking,
    /// Logged in, or delivered.
    Proven,
    /// Told to give way.
    Displaced,
    /// Ended.
    Gone,
}

/// One connection. Its session holds it, and so does its host.
#[derive(Debug)]
pub(crate) struct Newcomer {
    state: Cell<State>,
    since: Instant,
    told: Waiters,
}

impl Newcomer {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            state: Cell::new(State::Unproven),
            since: Instant::now(),
            told: Waiters::default(),
        })
    }

    /// It showed what it came for: it stays.
    pub(crate) fn prove(&self) {
        self.change(State::Proven);
    }

    /// While its claim is checked it does not give way.
    pub(crate) fn checking(&self) {
        self.change(State::Checking);
    }

    /// The claim was wrong.
    pub(crate) fn failed(&self) {
        if self.state.get() == State::Checking {
            self.state.set(State::Unproven);
        }
    }

    fn change(&self, state: State) {
        if matches!(self.state.get(), State::Unproven | State::Checking) {
            self.state.set(state);
        }
    }

    /// Resolves when it has to give way.
    pub(crate) async fn displaced(&self) {
        self.told
            .wait(|| (self.state.get() == State::Displaced).then_some(()))
            .await;
    }
}

/// A connection's place among the unproven of its core, until dropped.
pub(crate) struct Entered(Rc<Newcomer>);

impl Entered {
    pub(crate) fn newcomer(&self) -> Rc<Newcomer> {
        Rc::clone(&self.0)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.state.set(State::Gone);
    }
}

/// Those of one core, the oldest first, by service.
#[derive(Default)]
pub(crate) struct Unproven {
    services: RefCell<AHashMap<&'static str, VecDeque<Rc<Newcomer>>>>,
}

impl Unproven {
    /// A connection begins.
    pub(crate) fn enter(&self, service: &'static str) -> Entered {
        let newcomer = Newcomer::new();
        let mut services = self.services.borrow_mut();
        let queue = services.entry(service).or_default();
        // Each entry is looked at once for each time that the queue doubles.
        if queue.len() == queue.capacity() {
            queue.retain(|other| matches!(other.state.get(), State::Unproven | State::Checking));
        }
        queue.push_back(Rc::clone(&newcomer));
        Entered(newcomer)
    }

    /// Tells the one that has waited longest to end, of a service or of all. `false`: none on this core has had its
    /// time.
    pub(crate) fn displace(&self, service: Option<&'static str>) -> bool {
        self.displace_at(service, Instant::now())
    }

    fn displace_at(&self, service: Option<&'static str>, now: Instant) -> bool {
        let mut services = self.services.borrow_mut();
        let oldest = services
            .iter_mut()
            .filter(|(name, _)| service.is_none_or(|service| service == **name))
            .filter_map(|(_, queue)| Some((first(queue)?, queue)))
            .filter(|(since, _)| now.duration_since(*since) >= GRACE)
            .min_by_key(|(since, _)| *since);
        let Some(newcomer) = oldest.and_then(|(_, queue)| queue.pop_front()) else {
            return false;
        };
        newcomer.state.set(State::Displaced);
        newcomer.told.wake_all();
        true
    }
}

/// Since when the first of a queue waits; those before it that are done leave, those being checked go to the end.
fn first(queue: &mut VecDeque<Rc<Newcomer>>) -> Option<Instant> {
    for _ in 0..queue.len() {
        let newcomer = queue.front()?;
        match newcomer.state.get() {
            State::Unproven => return Some(newcomer.since),
            State::Checking => queue.rotate_left(1),
            State::Proven | State::Displaced | State::Gone => {
                queue.pop_front();
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_displaced(entered: &Entered) -> bool {
        entered.0.state.get() == State::Displaced
    }

    fn displace(unproven: &Unproven, service: Option<&'static str>) -> bool {
        unproven.displace_at(service, Instant::now() + GRACE)
    }

    #[test]
    fn the_oldest_that_showed_nothing_gives_way() {
        let unproven = Unproven::default();
        let [proven, checking, gone, oldest, younger] = [(); 5].map(|()| unproven.enter("imap"));
        proven.newcomer().prove();
        checking.newcomer().checking();
        drop(gone);
        assert!(!unproven.displace(None), "all are new");
        assert!(displace(&unproven, Some("imap")) && is_displaced(&oldest));
        assert!(!is_displaced(&younger) && !is_displaced(&checking));
        assert!(displace(&unproven, None) && is_displaced(&younger));
        assert!(!displace(&unproven, None), "one is proven, one is being checked");
        checking.newcomer().failed();
        assert!(displace(&unproven, None) && is_displaced(&checking));
        assert!(!displace(&unproven, None) && !is_displaced(&proven));
    }

    #[test]
    fn services_are_told_apart() {
        let unproven = Unproven::default();
        let [imap, lmtp] = ["imap", "lmtp"].map(|service| unproven.enter(service));
        assert!(displace(&unproven, Some("lmtp")));
        assert!(is_displaced(&lmtp) && !is_displaced(&imap));
        assert!(!displace(&unproven, Some("lmtp")) && displace(&unproven, None));
        assert!(is_displaced(&imap));
    }

    #[test]
    fn those_that_ended_take_no_room() {
        let unproven = Unproven::default();
        let waiting = unproven.enter("imap");
        for _ in 0..10_000 {
            drop(unproven.enter("imap"));
        }
        let kept = unproven.services.borrow()["imap"].capacity();
        assert!(kept < 100, "{kept}");
        drop(waiting);
    }
}
