//! IMAP: `imap.cfg`.

directives! {
    file Imap;

    /// How long a user is banned after too many failed logins.
    BLOCK_INTERVAL_AUTHS: duration = "1 minute", restart, Effective;
    /// Where the IMAP service's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/imap:/etc/gromox", restart, NoEffect("one process reads each further file once, by the search path in http.cfg or delivery.cfg");
    /// Memory set aside for a connection.
    CONTEXT_AVERAGE_MEM: quantity(0..=MAX) = "128K", restart, NoEffect("memory is taken when it is needed");
    /// Number of messages in a folder that memory is set aside for.
    CONTEXT_AVERAGE_MITEM: quantity(0..=MAX) = "64K", restart, NoEffect("answers stream, so no pool grows with a folder");
    /// Most sessions at a time.
    CONTEXT_NUM: quantity(1..=MAX) = "200", restart, Effective;
    /// Where the IMAP service's data files are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/imap", restart, NoEffect("the IMAP service reads no data files");
    /// Language of users that have none set.
    DEFAULT_LANG: text = "en", restart, NoEffect("a mailbox has its language from its account");
    /// Answers ID (RFC 2971) with this program's name and version.
    ENABLE_RFC2971_COMMANDS: boolean = "no", hup, Effective;
    /// Name of this system in the greeting.
    HOST_ID: host_name = "(system hostname)", hup, Effective;
    /// Failed logins after which a user is banned.
    IMAP_AUTH_TIMES: quantity(1..=MAX) = "10", restart, Effective;
    /// Closes an authenticated connection that has been idle this long; RFC 9051 asks for 30 minutes at least.
    IMAP_AUTOLOGOUT_TIME: duration(1..=MAX) = "30 minutes", hup, Effective;
    /// Password of the private keys.
    IMAP_CERTIFICATE_PASSWD: secret = "(unset)", hup, Effective;
    /// Certificate chains, PEM.
    IMAP_CERTIFICATE_PATH: paths = "(unset)", hup, Effective;
    /// Logs commands: 1 those that failed, 2 all.
    IMAP_CMD_DEBUG: quantity(0..=2) = "0", hup, Effective;
    /// Closes a connection that takes no output, or does not log in, for this long.
    IMAP_CONN_TIMEOUT: duration(1..=MAX) = "3 minutes", restart, Effective;
    /// Allows logins over TLS only.
    IMAP_FORCE_TLS: boolean = "false", hup, Effective;
    /// Address of the listeners; deprecated, it holds where gromox.cfg:imap_listen says nothing.
    IMAP_LISTEN_ADDR: host = "", restart, Effective;
    /// Port of the listener; deprecated, it holds where gromox.cfg:imap_listen says nothing.
    IMAP_LISTEN_PORT: quantity(0..=65535) = "", restart, Effective;
    /// Port of the listener with TLS.
    IMAP_LISTEN_TLS_PORT: quantity(0..=65535) = "", restart, Effective;
    /// Where the IMAP service logs.
    IMAP_LOG_FILE: text = "- (auto)", restart, NoEffect("all services log together: set log_file in ringpost.cfg");
    /// How much the IMAP service logs, from 1 (critical) to 6 (debug).
    IMAP_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, Effective;
    /// Private keys of the certificates, PEM.
    IMAP_PRIVATE_KEY_PATH: paths = "(unset)", hup, Effective;
    /// Offers IMAP4rev2 (RFC 9051).
    IMAP_RFC9051: boolean = "yes", hup, Effective;
    /// Offers TLS, by STARTTLS and on the listeners with TLS.
    IMAP_SUPPORT_TLS: boolean = "false", hup, Effective;
    /// Most connections of a thread.
    IMAP_THREAD_CHARGE_NUM: quantity(1..=MAX) = "40", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Fewest threads.
    IMAP_THREAD_INIT_NUM: quantity(1..=MAX) = "5", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
    /// Oldest TLS version that is spoken; below tls1.2 none is.
    TLS_MIN_PROTO: choice("tls1.0", "tls1.1", "tls1.2", "tls1.3") = "tls1.2", hup, Effective;
}
