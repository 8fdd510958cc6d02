//! The timer service: `timer.cfg`.

directives! {
    file Timer;

    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
    /// Who may talk to the timer service.
    TIMER_HOSTS_ALLOW: hosts = "::1", restart, NoEffect("timers are part of the one process");
    /// Address of the timer service.
    TIMER_LISTEN_IP: host = "::1", restart, NoEffect("timers are part of the one process");
    /// Port of the timer service.
    TIMER_LISTEN_PORT: quantity(0..=65535) = "6666", restart, NoEffect("timers are part of the one process");
    /// Where the timer service logs.
    TIMER_LOG_FILE: text = "- (auto)", restart, NoEffect("timers are part of the one process");
    /// How much the timer service logs, from 1 (critical) to 6 (debug).
    TIMER_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, NoEffect("timers are part of the one process");
    /// File that keeps what is due later.
    TIMER_STATE_PATH: path = "/var/lib/gromox/timer.txt", restart, NotYet("outgoing mail");
    /// Threads of the timer service.
    TIMER_THREADS_NUM: quantity(1..=MAX) = "50", restart, NoEffect("timers are part of the one process");
}
