//! How long a core that has nothing to do stays awake.
//!
//! Waking a core that sleeps takes microseconds on a machine of one's own and some 25 on a virtual one, where it
//! is the host that puts the processor to sleep. A core whose next work is a few microseconds away does better to
//! look for it in memory meanwhile. Whether it is that near nobody knows, so the past decides, as for KVM's
//! halt polling: a wait that ended within [`Polling::most`] makes the window of the next ones grow, a longer one
//! makes it shrink to nothing. Thus a core with no work polls not at all, one with work now and then hardly, and
//! one in a dialogue as long as the other side's turn takes.
//!
//! Waits for sockets and other cores are learnt apart from those in which the disk has something to do: a client
//! that answers at once is no reason to poll through a sync.
//!
//! What wants the same processor must not wait for a core that only looks. So a core that polls offers the
//! processor at times ([`Polling::YIELDS`]); if somebody took it, the processor is busy, and would not have to be
//! woken: then the core sleeps, and polls no more for some waits.

use std::time::Duration;

/// What a window begins with.
const SMALLEST: Duration = Duration::from_micros(10);
/// A yield that took longer let somebody else run.
const TAKEN: Duration = Duration::from_micros(4);
/// Waits without polling after somebody else ran: at first, and at most. They double each time.
const PAUSES: (u32, u32) = (16, 1024);

/// What a core waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaited {
    /// Clients, other cores, helpers.
    Others = 0,
    /// Also the disk.
    Disk = 1,
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// There was work.
    Work,
    /// A timer was due, which says nothing of what else may come.
    Timer,
}

/// What polling came to, since the start.
#[derive(Clone, Copy, Default, Debug)]
pub struct Polled {
    /// Waits that polling ended: nobody had to wake the core.
    pub found: u64,
    /// Waits that went on asleep after polling.
    pub missed: u64,
    /// Waits in which somebody else wanted the processor.
    pub taken: u64,
    /// Time spent looking.
    pub time: Duration,
}

/// A core's decisions.
#[derive(Debug)]
pub(crate) struct Polling {
    most: Duration,
    windows: [Duration; 2],
    /// Waits that are not polled in yet.
    pause: u32,
    /// How many it will be the next time.
    next_pause: u32,
    pub(crate) polled: Polled,
}

impl Polling {
    /// When, within a wait, the processor is offered to others: after 5 µs, which is time enough for an answer of
    /// another core, then seldom: each time is a system call.
    pub(crate) const YIELDS: [Duration; 4] = [
        Duration::from_micros(5),
        Duration::from_micros(20),
        Duration::from_micros(45),
        Duration::from_micros(80),
    ];

    /// Polls for so long at most; zero: never.
    pub(crate) fn new(most: Duration) -> Self {
        Self {
            most,
            windows: [Duration::ZERO; 2],
            pause: 0,
            next_pause: PAUSES.0,
            polled: Polled::default(),
        }
    }

    /// How long to poll in the wait that begins.
    pub(crate) fn window(&mut self, awaited: Awaited) -> Duration {
        if self.pause > 0 {
            self.pause -= 1;
            return Duration::ZERO;
        }
        self.windows[awaited as usize]
    }

    /// Whether a yield that took so long let somebody else run.
    pub(crate) fn was_taken(took: Duration) -> bool {
        took > TAKEN
    }

    /// Somebody else wanted the processor.
    pub(crate) fn taken(&mut self) {
        self.polled.taken += 1;
        self.pause = self.next_pause;
        self.next_pause = (self.next_pause * 2).min(PAUSES.1);
    }

    /// A wait is over after so long, whether it was polled or slept.
    pub(crate) fn waited(&mut self, awaited: Awaited, total: Duration, end: End) {
        let window = &mut self.windows[awaited as usize];
        if total > self.most {
            *window /= 2;
            if *window < SMALLEST {
                *window = Duration::ZERO;
            }
        } else if end == End::Work && total > *window {
            *window = (*window * 2).max(SMALLEST).min(self.most);
        }
    }

    /// Polling found something: the processor was free all the time.
    pub(crate) fn found(&mut self) {
        self.polled.found += 1;
        self.next_pause = PAUSES.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(50);
    const SHORT: Duration = Duration::from_micros(30);
    const LONG: Duration = Duration::from_micros(300);

    #[test]
    fn a_dialogue_is_polled_and_silence_is_not() {
        let mut polling = Polling::new(MOST);
        assert_eq!(polling.window(Awaited::Others), Duration::ZERO);
        for _ in 0..3 {
            polling.waited(Awaited::Others, SHORT, End::Work);
        }
        assert!(polling.window(Awaited::Others) > SHORT);
        // What suffices does not grow.
        let window = polling.window(Awaited::Others);
        polling.waited(Awaited::Others, SHORT, End::Work);
        assert_eq!(polling.window(Awaited::Others), window);
        // One long wait does not end it, some do.
        polling.waited(Awaited::Others, LONG, End::Work);
        assert!(polling.window(Awaited::Others) > Duration::ZERO);
        for _ in 0..3 {
            polling.waited(Awaited::Others, LONG, End::Timer);
        }
        assert_eq!(polling.window(Awaited::Others), Duration::ZERO);
    }

    #[test]
    fn a_window_has_a_limit_and_zero_is_never() {
        let mut polling = Polling::new(MOST);
        for _ in 0..20 {
            polling.waited(Awaited::Others, MOST, End::Work);
        }
        assert_eq!(polling.window(Awaited::Others), MOST);
        let mut never = Polling::new(Duration::ZERO);
        never.waited(Awaited::Others, Duration::ZERO, End::Work);
        never.waited(Awaited::Others, SHORT, End::Work);
        assert_eq!(never.window(Awaited::Others), Duration::ZERO);
    }

    #[test]
    fn the_disk_and_timers_teach_nothing_about_clients() {
        let mut polling = Polling::new(MOST);
        for _ in 0..5 {
            polling.waited(Awaited::Disk, SHORT, End::Work);
            polling.waited(Awaited::Others, SHORT, End::Timer);
        }
        assert_eq!(polling.window(Awaited::Others), Duration::ZERO);
        assert!(polling.window(Awaited::Disk) > SHORT);
        for _ in 0..5 {
            polling.waited(Awaited::Disk, LONG, End::Work);
        }
        assert_eq!(polling.window(Awaited::Disk), Duration::ZERO);
    }

    #[test]
    fn a_processor_that_others_want_is_left_to_them() {
        let mut polling = Polling::new(MOST);
        for _ in 0..3 {
            polling.waited(Awaited::Others, SHORT, End::Work);
        }
        let mut pauses = Vec::new();
        for _ in 0..3 {
            polling.taken();
            let mut pause = 0;
            while polling.window(Awaited::Others).is_zero() {
                pause += 1;
            }
            pauses.push(pause);
        }
        assert_eq!(pauses, [16, 32, 64]);
        polling.found();
        polling.taken();
        for _ in 0..16 {
            assert_eq!(polling.window(Awaited::Others), Duration::ZERO);
        }
        assert!(polling.window(Awaited::Others) > SHORT);
    }
}
