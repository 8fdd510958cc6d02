//! A descriptor that a core keeps for bad times: without one, a connection can't even be refused, and its client
//! waits in the kernel's queue until it gives up.

use std::{cell::RefCell, fs::File, io, net::SocketAddr, time::Duration};

use ringpost_executor::net::{TcpListener, TcpStream};

/// So long clients wait for a descriptor to become free before they are told that there is none.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// So many are told in a row; then somebody else has the core.
const REFUSED_AT_ONCE: usize = 64;

/// The descriptor. `None`: others were faster when it was to be had again.
#[derive(Debug)]
pub(crate) struct Spare(RefCell<Option<File>>);

impl Spare {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(open()))
    }

    /// Gives the descriptor to those who wait at a listener, one after the other, to hear `refuse`; how many did.
    pub(crate) fn lend(
        &self,
        listener: &TcpListener,
        mut refuse: impl FnMut(TcpStream, SocketAddr),
    ) -> io::Result<usize> {
        for number in 0..REFUSED_AT_ONCE {
            if self.0.borrow().is_none() {
                self.0.replace(open());
            }
            drop(self.0.take());
            let accepted = listener.accept_now();
            if let Ok(Some((stream, peer))) = accepted {
                refuse(stream, peer);
                continue;
            }
            self.0.replace(open());
            return accepted.map(|_| number);
        }
        self.0.replace(open());
        Ok(REFUSED_AT_ONCE)
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}
