//! Clients of the timer service: `timer_agent.cfg`.

directives! {
    file TimerAgent;

    /// Connections to the timer service.
    CONNECTION_NUM: quantity(1..=MAX) = "8", restart, NoEffect("timers are part of the one process");
    /// The timer service.
    TIMER_HOST: text = "::1", restart, NoEffect("timers are part of the one process");
    /// Port of the timer service.
    TIMER_PORT: quantity(1..=65535) = "6666", restart, NoEffect("timers are part of the one process");
}
