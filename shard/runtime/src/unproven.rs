//! Connections that have shown nothing yet: nobody logged in over them, no mail came. When there is no room for
//! a new one, the one that has waited longest gives way to it, so a crowd that says nothing keeps nobody out.
//! Before all others those give way whose address never showed anything either: in a flood that comes faster than
//! somebody can type a password, who was here before still gets in.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::IpAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use ahash::AHashMap;

use crate::waiters::Waiters;

/// So long nobody has to give way: time to say something. Much of it from an address that is known; little from
/// another, and then none when somebody who is known comes.
const GRACE: Duration = Duration::from_secs(10);
const STRANGERS_GRACE: Duration = Duration::from_millis(100);
/// How long an address is known after it showed something, and how many are.
const MEMORY: Duration = Duration::from_hours(24);
const ADDRESSES_MAX: usize = 10_000;

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
    address: IpAddr,
    told: Waiters,
}

impl Newcomer {
    /// While its claim is checked it does not give way.
    pub(crate) fn checking(&self) {
        if self.state.get() == State::Unproven {
            self.state.set(State::Checking);
        }
    }

    /// The claim was wrong.
    pub(crate) fn failed(&self) {
        if self.state.get() == State::Checking {
            self.state.set(State::Unproven);
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

type Queue = VecDeque<Rc<Newcomer>>;

/// Those of one core, by service and by whether their address was known, the oldest first.
#[derive(Default)]
pub(crate) struct Unproven {
    queues: RefCell<AHashMap<(&'static str, bool), Queue>>,
    known: RefCell<AHashMap<IpAddr, Instant>>,
}

impl Unproven {
    /// A connection begins.
    pub(crate) fn enter(&self, service: &'static str, address: IpAddr) -> Entered {
        let newcomer = Rc::new(Newcomer {
            state: Cell::new(State::Unproven),
            since: Instant::now(),
            address,
            told: Waiters::default(),
        });
        let known = self.knows(address);
        let mut queues = self.queues.borrow_mut();
        let queue = queues.entry((service, known)).or_default();
        // Each entry is looked at once for each time that the queue doubles.
        if queue.len() == queue.capacity() {
            queue.retain(|other| matches!(other.state.get(), State::Unproven | State::Checking));
        }
        queue.push_back(Rc::clone(&newcomer));
        Entered(newcomer)
    }

    /// Whether somebody logged in or delivered from there.
    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        self.known.borrow().contains_key(&address)
    }

    /// A connection showed what it came for: it stays, and its address is known.
    pub(crate) fn prove(&self, newcomer: &Newcomer) {
        if matches!(newcomer.state.get(), State::Unproven | State::Checking) {
            newcomer.state.set(State::Proven);
            self.remember(newcomer.address, Instant::now());
        }
    }

    fn remember(&self, address: IpAddr, now: Instant) {
        let mut known = self.known.borrow_mut();
        if known.len() >= ADDRESSES_MAX && !known.contains_key(&address) {
            known.retain(|_, last| now.duration_since(*last) < MEMORY);
            // Full of fresh ones: those that are known stay known.
            if known.len() >= ADDRESSES_MAX {
                return;
            }
        }
        known.insert(address, now);
    }

    /// Tells one to end, of a service or of all, for one whose address is known or not. `false`: there is none on
    /// this core that has to give way.
    pub(crate) fn displace(&self, service: Option<&'static str>, for_known: bool) -> bool {
        self.displace_at(service, for_known, Instant::now())
    }

    fn displace_at(&self, service: Option<&'static str>, for_known: bool, now: Instant) -> bool {
        let mut queues = self.queues.borrow_mut();
        for known in [false, true] {
            let oldest = queues
                .iter_mut()
                .filter(|((name, of), _)| *of == known && service.is_none_or(|service| service == *name))
                .filter_map(|(_, queue)| Some((first(queue)?, queue)))
                .min_by_key(|(since, _)| *since);
            let Some((since, queue)) = oldest else { continue };
            let grace = match (known, for_known) {
                (true, _) => GRACE,
                (false, false) => STRANGERS_GRACE,
                (false, true) => Duration::ZERO,
            };
            if now.duration_since(since) < grace {
                continue;
            }
            if let Some(newcomer) = queue.pop_front() {
                newcomer.state.set(State::Displaced);
                newcomer.told.wake_all();
                return true;
            }
        }
        false
    }
}

/// Since when the first of a queue waits; those before it that are done leave, those being checked go to the end.
fn first(queue: &mut Queue) -> Option<Instant> {
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
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    fn is_displaced(entered: &Entered) -> bool {
        entered.0.state.get() == State::Displaced
    }

    #[test]
    fn the_oldest_that_showed_nothing_gives_way() {
        let unproven = Unproven::default();
        let [proven, checking, gone, oldest, younger] =
            [1, 2, 3, 4, 5].map(|number| unproven.enter("imap", address(number)));
        unproven.prove(&proven.newcomer());
        checking.newcomer().checking();
        drop(gone);
        assert!(unproven.displace(Some("imap"), true) && is_displaced(&oldest));
        assert!(!is_displaced(&younger) && !is_displaced(&checking));
        assert!(unproven.displace(None, true) && is_displaced(&younger));
        assert!(
            !unproven.displace(None, true),
            "one is proven, one is being checked"
        );
        checking.newcomer().failed();
        assert!(unproven.displace(None, true) && is_displaced(&checking));
        assert!(!unproven.displace(None, true) && !is_displaced(&proven));
    }

    #[test]
    fn who_was_here_before_stays_longer() {
        let unproven = Unproven::default();
        unproven.prove(&unproven.enter("imap", address(1)).newcomer());
        let [friend, stranger] = [1, 2].map(|number| unproven.enter("imap", address(number)));
        assert!(!unproven.displace(None, false), "both are new");
        assert!(unproven.displace(None, true) && is_displaced(&stranger));
        assert!(!unproven.displace(None, true) && !is_displaced(&friend));
        assert!(unproven.displace_at(None, false, Instant::now() + GRACE) && is_displaced(&friend));
    }

    #[test]
    fn services_are_told_apart() {
        let unproven = Unproven::default();
        let [imap, lmtp] = ["imap", "lmtp"].map(|service| unproven.enter(service, address(1)));
        assert!(unproven.displace(Some("lmtp"), true));
        assert!(is_displaced(&lmtp) && !is_displaced(&imap));
        assert!(!unproven.displace(Some("lmtp"), true) && unproven.displace(None, true));
        assert!(is_displaced(&imap));
    }

    #[test]
    fn neither_those_that_ended_nor_addresses_take_much_room() {
        let unproven = Unproven::default();
        let waiting = unproven.enter("imap", address(0));
        for number in 0..2 * ADDRESSES_MAX as u32 {
            drop(unproven.enter("imap", address(number)));
            unproven.remember(address(number), Instant::now());
        }
        let kept: usize = unproven.queues.borrow().values().map(VecDeque::capacity).sum();
        assert!(kept < 100, "{kept}");
        assert_eq!(unproven.known.borrow().len(), ADDRESSES_MAX);
        unproven.remember(address(u32::MAX), Instant::now() + MEMORY);
        assert_eq!(unproven.known.borrow().len(), 1);
        drop(waiting);
    }
}
