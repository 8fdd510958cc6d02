//! The event service: `event.cfg`.

directives! {
    file Event;

    /// Who may talk to the event service.
    EVENT_HOSTS_ALLOW: hosts = "::1", restart, NoEffect("cores tell each other of changes inside the process");
    /// Address of the event service.
    EVENT_LISTEN_IP: host = "::1", restart, NoEffect("cores tell each other of changes inside the process");
    /// Port of the event service.
    EVENT_LISTEN_PORT: quantity(0..=65535) = "33333", restart, NoEffect("cores tell each other of changes inside the process");
    /// Where the event service logs.
    EVENT_LOG_FILE: text = "- (auto)", restart, NoEffect("there is no event service");
    /// How much the event service logs, from 1 (critical) to 6 (debug).
    EVENT_LOG_LEVEL: quantity(1..=6) = "4 (notice)", restart, NoEffect("there is no event service");
    /// Threads of the event service.
    EVENT_THREADS_NUM: quantity(1..=MAX) = "50", restart, NoEffect("there is no event service");
    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
}
