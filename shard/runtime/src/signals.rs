//! Signals, as calls on the control thread.

use std::io;

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};

/// What the administrator wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// SIGTERM, SIGINT: stop in order.
    Stop,
    /// SIGHUP: read settings and certificates again.
    Reload,
    /// SIGUSR1: write the state to the log.
    DumpState,
}

/// The signals that ask for something. From its creation on, they no longer end the process by themselves.
pub struct Requests {
    signals: Signals,
}

impl Requests {
    /// Starts to listen. Do it before the runtime starts, so that an early SIGTERM is not lost.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            signals: Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?,
        })
    }

    /// Waits for the next. Blocks: call it on a thread that is no core.
    pub fn wait(&mut self) -> Request {
        let signal = self.signals.forever().next();
        match signal {
            Some(SIGHUP) => Request::Reload,
            Some(SIGUSR1) => Request::DumpState,
            // The iterator has no end while nobody closes it.
            _ => Request::Stop,
        }
    }

    /// Those that came since the last look, without waiting: for a thread that also feeds a watchdog.
    pub fn pending(&mut self) -> Vec<Request> {
        let request = |signal| match signal {
            SIGHUP => Request::Reload,
            SIGUSR1 => Request::DumpState,
            _ => Request::Stop,
        };
        self.signals.pending().map(request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_its_request() {
        let mut requests = Requests::listen().unwrap();
        for (signal, request) in [
            (SIGHUP, Request::Reload),
            (SIGUSR1, Request::DumpState),
            (SIGTERM, Request::Stop),
            (SIGINT, Request::Stop),
        ] {
            signal_hook::low_level::raise(signal).unwrap();
            assert_eq!(requests.wait(), request);
        }
        assert_eq!(requests.pending(), []);
    }
}
