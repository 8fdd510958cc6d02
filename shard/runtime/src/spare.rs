//! A descriptor that a core keeps for bad times: without one, a connection can't even be refused, and its client
//! waits in the kernel's queue until it gives up. Linux 5.19 needs none for that ([`TcpListener::turn_away`]); and here
//! another thread may be faster, when the descriptor is closed for the connection to have it.

use std::{cell::RefCell, fs::File, io, time::Duration};

use ringpost_executor::net::{TcpListener, TcpStream};

/// So long clients wait for a descriptor to become free before they are told that there is none.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// So many are told in a row; then somebody else has the core.
pub(crate) const REFUSED_AT_ONCE: usize = 64;

/// The descriptor. `None`: others were faster when it was to be had again.
#[derive(Debug)]
pub(crate) struct Spare(RefCell<Option<File>>);

impl Spare {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(open()))
    }

    /// Gives the descriptor to those who wait at a listener, one after the other, to hear `refuse`.
    pub(crate) fn lend(&self, listener: &TcpListener, mut refuse: impl FnMut(TcpStream)) -> io::Result<()> {
        for _ in 0..REFUSED_AT_ONCE {
            if self.0.borrow().is_none() {
                self.0.replace(open());
            }
            drop(self.0.take());
            let accepted = listener.accept_now();
            if let Ok(Some((stream, _))) = accepted {
                refuse(stream);
                continue;
            }
            self.0.replace(open());
            return accepted.map(drop);
        }
        self.0.replace(open());
        Ok(())
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}
