//! What other threads may touch of an executor.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst, fence},
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
/// them sees the other.
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
