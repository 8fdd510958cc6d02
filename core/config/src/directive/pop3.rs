//! POP3: `pop3.cfg`.

directives! {
    file Pop3;

    /// How long a user is banned after too many failed logins.
    BLOCK_INTERVAL_AUTHS: duration = "1 minute", restart, Effective;
    /// Where the POP3 service's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/pop3:/etc/gromox", restart, NoEffect("one process reads each further file once, by the search path in http.cfg or delivery.cfg");
    /// Memory set aside for a connection.
    CONTEXT_AVERAGE_MEM: quantity(0..=MAX) = "256K", restart, NoEffect("memory is taken when it is needed");
    /// Number of messages that memory is set aside for.
    CONTEXT_AVERAGE_UNITS: quantity(256..=MAX) = "1024", restart, NoEffect("memory is taken when it is needed");
    /// Network buffer of a client.
    CONTEXT_MAX_MEM: quantity(0..=MAX) = "2M", restart, NoEffect("buffers have fixed small bounds");
    /// Most sessions at a time.
    CONTEXT_NUM: quantity(1..=MAX) = "200", restart, Effective;
    /// Where the POP3 service's data files are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/pop3", restart, NoEffect("the POP3 service reads no data files");
    /// Tells this program's name and version in the answer to CAPA (RFC 2449 §6.9).
    ENABLE_CAPA_IMPLEMENTATION: boolean = "no", hup, Effective;
    /// Name of this system in the greeting.
    HOST_ID: host_name = "(system hostname)", hup, Effective;
    /// Failed logins after which a user is banned.
    POP3_AUTH_TIMES: quantity(1..=MAX) = "3", restart, Effective;
    /// Password of the private keys.
    POP3_CERTIFICATE_PASSWD: secret = "(unset)", hup, Effective;
    /// Certificate chains, PEM.
    POP3_CERTIFICATE_PATH: paths = "(unset)", hup, Effective;
    /// Logs commands: 1 those that failed, 2 all.
    POP3_CMD_DEBUG: quantity(0..=2) = "0", hup, Effective;
    /// Closes a connection that has been idle this long.
    POP3_CONN_TIMEOUT: duration(1..=MAX) = "3 minutes", restart, Effective;
    /// Allows logins over TLS only.
    POP3_FORCE_TLS: boolean = "false", hup, Effective;
    /// Address of the listeners; deprecated, it holds where gromox.cfg:pop3_listen says nothing.
    POP3_LISTEN_ADDR: host = "", restart, Effective;
    /// Port of the listener; deprecated, it holds where gromox.cfg:pop3_listen says nothing.
    POP3_LISTEN_PORT: quantity(0..=65535) = "", restart, Effective;
    /// Port of the listener with TLS.
    POP3_LISTEN_TLS_PORT: quantity(0..=65535) = "", restart, Effective;
    /// Where the POP3 service logs.
    POP3_LOG_FILE: text = "- (auto)", restart, NoEffect("all services log together: set log_file in ringpost.cfg");
    /// How much the POP3 service logs, from 1 (critical) to 6 (debug).
    POP3_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, Effective;
    /// Private keys of the certificates, PEM.
    POP3_PRIVATE_KEY_PATH: paths = "(unset)", hup, Effective;
    /// Offers TLS, by STLS and on the listeners with TLS.
    POP3_SUPPORT_TLS: boolean = "false", hup, Effective;
    /// Most connections of a thread.
    POP3_THREAD_CHARGE_NUM: quantity(1..=MAX) = "40", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Fewest threads.
    POP3_THREAD_INIT_NUM: quantity(1..=MAX) = "5", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
    /// Oldest TLS version that is spoken; below tls1.2 none is.
    TLS_MIN_PROTO: choice("tls1.0", "tls1.1", "tls1.2", "tls1.3") = "tls1.2", hup, Effective;
}
