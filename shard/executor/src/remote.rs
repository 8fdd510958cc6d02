//! What other threads may touch of an executor.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, SeqCst},
            fence,
        },
    },
};

use crate::{
    queue::{Ready, TaskQueue},
    sys,
};

/// The way to an executor from other threads.
///
/// Who brings something first puts it where the executor looks, then calls [`Self::notify`]; the executor
/// first says that it will sleep, then looks once more. Both in the one order that `SeqCst` gives, so one of
/// them sees the other:
///
/// ```text
/// bringer                            executor
/// B1  flag := true                   E1  sleeping := true
/// B2  fence                          E2  fence
/// B3  sleeping? then eventfd         E3  flag? then no sleep
/// ```
///
/// If E3 does not see B1, then E2 comes before B2 in that order, so B3 sees E1: the bringer writes to the eventfd, which
/// is read by a request that was armed before the executor slept, or completes as soon as it is armed. If B3 does not
/// see E1, then E3 sees B1. Of several bringers one takes `sleeping` back and writes; the others' flags are seen by
/// the executor that this one wakes: it looks at the flags only after it woke, and they were stored before `sleeping`
/// was found to be taken back.
///
/// An executor that polls has `sleeping` at false all the time, as one that works: bringers skip the write. It leaves
/// polling either by a flag that it saw, or by E1 to E3.
pub(crate) struct Remote {
    sleep_fd: OwnedFd,
    sleeping: AtomicBool,
    /// A channel may have something.
    channels: AtomicBool,
    has_woken: AtomicBool,
    /// Tasks that other threads woke. Wakers go to other threads only for helpers and the like; between
    /// executors nothing takes this lock.
    woken: Mutex<Woken>,
}

#[derive(Default)]
struct Woken {
    tasks: Vec<(TaskQueue, Ready)>,
    ended: bool,
}

impl Remote {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            sleep_fd: sys::eventfd()?,
            sleeping: AtomicBool::new(false),
            channels: AtomicBool::new(false),
            has_woken: AtomicBool::new(false),
            woken: Mutex::default(),
        })
    }

    /// Readable when somebody ended the sleep.
    pub(crate) fn sleep_fd(&self) -> RawFd {
        self.sleep_fd.as_raw_fd()
    }

    /// Another thread woke a task.
    pub(crate) fn wake(&self, queue: TaskQueue, task: Ready) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if woken.ended {
            // A task must not be taken apart on another thread; its executor has ended, so nobody will.
            std::mem::forget(task);
            return;
        }
        woken.tasks.push((queue, task));
        drop(woken);
        self.has_woken.store(true, SeqCst);
        self.notify();
    }

    /// A channel to this executor has something.
    pub(crate) fn channel_has_something(&self) {
        self.channels.store(true, SeqCst);
        self.notify();
    }

    fn notify(&self) {
        fence(SeqCst);
        if self.sleeping.load(SeqCst) && self.sleeping.swap(false, SeqCst) {
            sys::add_to_eventfd(self.sleep_fd());
        }
    }

    /// From now on others end the sleep; `false`: they have brought something already.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.sleeping.store(true, SeqCst);
        fence(SeqCst);
        let nothing = !self.channels.load(SeqCst) && !self.has_woken.load(SeqCst);
        if !nothing {
            self.end_sleep();
        }
        nothing
    }

    /// Whether others have brought something, for an executor that is awake and has said nothing of sleep: they
    /// only store, and pay for no wake-up. That this load may be too early is no matter: it is repeated, and the last
    /// look before a sleep is [`Self::begin_sleep`]'s.
    pub(crate) fn has_news(&self) -> bool {
        self.channels.load(Acquire) || self.has_woken.load(Acquire)
    }

    pub(crate) fn end_sleep(&self) {
        self.sleeping.store(false, SeqCst);
    }

    /// Whether channels should be looked at.
    pub(crate) fn take_channels(&self) -> bool {
        self.channels.load(SeqCst) && self.channels.swap(false, SeqCst)
    }

    pub(crate) fn take_woken(&self) -> Vec<(TaskQueue, Ready)> {
        if !self.has_woken.load(SeqCst) || !self.has_woken.swap(false, SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner).tasks)
    }

    /// No task is taken any more; those that came are returned.
    pub(crate) fn end(&self) -> Vec<(TaskQueue, Ready)> {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.ended = true;
        std::mem::take(&mut woken.tasks)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Read,
        os::fd::{AsFd, BorrowedFd},
        sync::{Arc, atomic::AtomicU64, mpsc},
        thread,
        time::Duration,
    };

    use super::*;

    /// Reads the eventfd, elsewhere: who waits for it notices when nothing comes.
    fn eventfd_values(fd: BorrowedFd<'_>) -> mpsc::Receiver<u64> {
        let mut file = File::from(fd.try_clone_to_owned().unwrap());
        let (sender, values) = mpsc::channel();
        thread::spawn(move || {
            let mut value = [0; 8];
            while file.read_exact(&mut value).is_ok() && sender.send(u64::from_ne_bytes(value)).is_ok() {}
        });
        values
    }

    #[test]
    fn only_a_sleeper_is_woken_and_once() {
        const SOON: Duration = Duration::from_millis(20);
        let remote = Remote::new().unwrap();
        let values = eventfd_values(remote.sleep_fd.as_fd());
        // It works, or polls.
        remote.channel_has_something();
        assert!(remote.has_news());
        assert!(!remote.begin_sleep(), "there is something already");
        assert!(remote.take_channels() && !remote.has_news());
        assert!(values.recv_timeout(SOON).is_err());
        assert!(remote.begin_sleep());
        remote.channel_has_something();
        remote.channel_has_something();
        assert_eq!(values.recv_timeout(10 * SOON), Ok(1));
        remote.end_sleep();
        assert!(remote.take_channels());
        assert!(values.recv_timeout(SOON).is_err());
    }

    #[test]
    fn whatever_is_brought_at_whatever_moment_is_seen() {
        const BRINGERS: u64 = 3;
        const EACH: u64 = 30_000;
        let remote = Arc::new(Remote::new().unwrap());
        let brought = Arc::new(AtomicU64::new(0));
        let values = eventfd_values(remote.sleep_fd.as_fd());
        let bringers: Vec<_> = (0..BRINGERS)
            .map(|seed| {
                let (remote, brought) = (Arc::clone(&remote), Arc::clone(&brought));
                thread::spawn(move || {
                    let mut random = seed + 1;
                    for _ in 0..EACH {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        for _ in 0..random % 400 {
                            std::hint::spin_loop();
                        }
                        // Relaxed: what orders it must be the flag.
                        brought.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        remote.channel_has_something();
                    }
                })
            })
            .collect();
        let (mut seen, mut sleeps, mut turn) = (0, 0, 0_u64);
        while seen < BRINGERS * EACH {
            turn += 1;
            // As an executor does: it polls for a while, of different length, then sleeps.
            for _ in 0..turn % 300 {
                if remote.has_news() {
                    break;
                }
                std::hint::spin_loop();
            }
            if !remote.has_news() && remote.begin_sleep() {
                let woken = values.recv_timeout(Duration::from_secs(20));
                assert!(woken.is_ok(), "asleep, and {seen} were seen");
                sleeps += 1;
            }
            remote.end_sleep();
            if remote.take_channels() {
                seen = brought.load(std::sync::atomic::Ordering::Relaxed);
            }
        }
        for bringer in bringers {
            bringer.join().unwrap();
        }
        assert!(sleeps > 0);
    }
}
