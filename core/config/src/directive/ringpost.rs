//! What gromox has no word for: `ringpost.cfg`.

directives! {
    file Ringpost;

    /// How many cores serve mailboxes; 0 is the number of online processors.
    SHARDS: quantity(0..=1024) = "0", restart, Effective;
    /// Folder of the accounts and, unless an account says otherwise, of the mailboxes.
    DATA_PATH: path = "/var/lib/gromox", restart, Effective;
    /// Where metrics and health are served by HTTP without a login; keep it on loopback.
    ADMIN_LISTEN: sockets = "[::1]:99", restart, Effective;
    /// Where all services log: - (stderr, with the journal's priorities if it is the journal), syslog, or a
    /// file.
    LOG_FILE: text = "-", hup, Effective;
    /// How much is logged: 1 critical, 2 errors, 3 warnings, 4 notices, 5 information, 6 debugging.
    LOG_LEVEL: quantity(1..=6) = "4", hup, Effective;
    /// How long running requests may take to finish when the server stops.
    SHUTDOWN_TIME: duration(1..=3600) = "20s", hup, Effective;
    /// A task that holds a core for longer than this is logged.
    STALL_WARNING: exact_duration = "50ms", hup, Effective;
    /// How long a core that has nothing to do may look for work before it sleeps, while its pauses are shorter than
    /// that; 0: it sleeps at once. Work that comes meanwhile is served some 25 µs earlier on a virtual machine.
    IDLE_POLL_TIME: exact_duration = "50µs", restart, Effective;
    /// Threads, shared by all cores, for what can't wait on a core: passwords, large attachments, checkpoints.
    HELPER_THREADS: quantity(1..=256) = "4", restart, Effective;
    /// Most connections from one client address at a time.
    CONNECTIONS_PER_ADDRESS: quantity(1..=1_000_000) = "1000", hup, Effective;
    /// Most connections of one user at a time.
    CONNECTIONS_PER_USER: quantity(1..=1_000_000) = "100", hup, Effective;
    /// Most connections that have not logged in yet.
    SESSIONS_WITHOUT_LOGIN: quantity(1..=1_000_000) = "2000", hup, Effective;
    /// Where users submit mail (RFC 6409), plain or with STARTTLS: [::]:587. None unless it is set.
    SUBMISSION_LISTEN: sockets = "", restart, Effective;
    /// Where users submit mail with TLS from the start (RFC 8314); set it to [::]:465, and lda_listen_tls to
    /// another port. None unless it is set.
    SUBMISSION_LISTEN_TLS: sockets = "", restart, Effective;
    /// Whether connections of submission begin with a PROXY header of version 2.
    SUBMISSION_ACCEPT_HAPROXY: choice("0", "2") = "0", restart, Effective;
    /// Most connections of submission at a time.
    SUBMISSION_CONTEXT_NUM: quantity(1..=MAX) = "200", restart, Effective;
    /// Failed logins of submission after which a user is banned and the connection closed.
    SUBMISSION_AUTH_TIMES: quantity(1..=MAX) = "10", restart, Effective;
    /// How long a user is banned after too many failed logins of submission.
    SUBMISSION_BLOCK_INTERVAL_AUTHS: duration = "1 minute", restart, Effective;
    /// Folder, as IMAP names it, that lda_junk_rules puts messages into; a mailbox without it uses its junk folder.
    JUNK_FOLDER: text = "", hup, Effective;
    /// How often an account is told by mail that its mailbox has passed its warning quota; 0 is never.
    QUOTA_WARNING_INTERVAL: duration = "1day", hup, Effective;
    /// Clients, by IP address or network (192.0.2.0/24, 2001:db8::/32), that may send by LMTP and SMTP to any address
    /// elsewhere without a login.
    RELAY_FROM: networks = "", hup, Effective;
    /// Pause before outgoing mail is tried for the second time; each further pause is twice as long.
    QUEUE_RETRY_FIRST: duration(1..=MAX) = "1min", restart, Effective;
    /// The longest pause between two attempts at outgoing mail.
    QUEUE_RETRY_LONGEST: duration(1..=MAX) = "1h", restart, Effective;
    /// How long outgoing mail is tried before its sender is told that it failed.
    QUEUE_LIFETIME: duration(1..=MAX) = "5days", restart, Effective;
    /// How old outgoing mail gets before its sender is told that it takes long; 0 tells nobody.
    QUEUE_DELAY_NOTICE: duration = "4h", restart, Effective;
    /// Most connections to the server that takes outgoing mail.
    QUEUE_CONNECTIONS: quantity(1..=10_000) = "20", restart, Effective;
}
