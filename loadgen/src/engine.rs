//! The engine: one executor a thread, which polls a task when its socket or its timer is ready.
//!
//! A connection is a task (a boxed future, allocated once) that owns at most one socket. epoll reports a socket
//! by its slot, edge-triggered and registered once; the executor notes what is ready and polls the socket's task.
//! Wakers do nothing: whoever wakes a task names it. So a request costs one `write`, one `read` and its share of
//! an `epoll_pwait2`, and no allocation.

mod reactor;
mod stream;
mod tls;

pub(crate) use reactor::{Executor, Gate, Reactor, TaskId};
pub(crate) use stream::{Endpoint, Stream};
pub(crate) use tls::{TlsMode, client_configuration};
