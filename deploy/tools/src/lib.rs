//! What administrators and the service manager touch: the `gromox-*` tools and messages to systemd.

pub mod admin;
pub mod notify;
