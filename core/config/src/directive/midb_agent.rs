//! Clients of the message index: `midb_agent.cfg`.

directives! {
    file MidbAgent;

    /// Connections to the message index.
    CONNECTION_NUM: quantity(1..=MAX) = "5", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Size of a memory pool.
    CONTEXT_AVERAGE_MEM: quantity(0..=MAX) = "1024", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Largest answer of the message index.
    MIDB_AGENT_COMMAND_BUFFER_SIZE: quantity(0..=MAX) = "256K", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
}
