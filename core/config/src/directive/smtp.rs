//! LMTP and SMTP reception: `smtp.cfg`.

directives! {
    file Smtp;

    /// Which greeting commands of clients are taken: LHLO, EHLO and HELO, or all.
    COMMAND_PROTOCOL: choice("lmtp", "smtp", "both") = "both", hup, Effective;
    /// Where the LMTP service's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/smtp:/etc/gromox", restart, NoEffect("one process reads each further file once, by the search path in http.cfg or delivery.cfg");
    /// Memory set aside for a connection.
    CONTEXT_AVERAGE_MEM: quantity(0..=MAX) = "256K", restart, NoEffect("memory is taken when it is needed");
    /// Most memory for a connection.
    CONTEXT_MAX_MEM: quantity(0..=MAX) = "2M", restart, NoEffect("a message's size is bounded by mail_max_length");
    /// Most connections at a time.
    CONTEXT_NUM: quantity(1..=MAX) = "200", restart, Effective;
    /// Where the LMTP service's data files are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/smtp", restart, NoEffect("the LMTP service reads no data files");
    /// Name of this system in the greeting.
    HOST_ID: host_name = "(system hostname)", hup, Effective;
    /// Address of the listeners; deprecated, it holds where gromox.cfg:lda_listen says nothing.
    LDA_LISTEN_ADDR: host = "", restart, Effective;
    /// Port of the listener; deprecated, it holds where gromox.cfg:lda_listen says nothing.
    LDA_LISTEN_PORT: quantity(0..=65535) = "", restart, Effective;
    /// Port of the listener with TLS.
    LDA_LISTEN_TLS_PORT: quantity(0..=65535) = "", restart, Effective;
    /// Where the LMTP service logs.
    LDA_LOG_FILE: text = "- (auto)", restart, NoEffect("all services log together: set log_file in ringpost.cfg");
    /// How much the LMTP service logs, from 1 (critical) to 6 (debug).
    LDA_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, Effective;
    /// Most connections of a thread.
    LDA_THREAD_CHARGE_NUM: quantity(1..=MAX) = "40", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Fewest threads.
    LDA_THREAD_INIT_NUM: quantity(1..=MAX) = "1", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Largest message that is taken, in bytes.
    MAIL_MAX_LENGTH: quantity(1..=0x7fff_ffff) = "64M", hup, Effective;
    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
    /// Password of the private keys.
    SMTP_CERTIFICATE_PASSWD: secret = "(unset)", hup, Effective;
    /// Certificate chains, PEM.
    SMTP_CERTIFICATE_PATH: paths = "(unset)", hup, Effective;
    /// Closes a connection that has been idle this long.
    SMTP_CONN_TIMEOUT: duration(1..=MAX) = "3 minutes", restart, Effective;
    /// Takes mail over TLS only.
    SMTP_FORCE_STARTTLS: boolean = "false", hup, Effective;
    /// Private keys of the certificates, PEM.
    SMTP_PRIVATE_KEY_PATH: paths = "(unset)", hup, Effective;
    /// Offers PIPELINING (RFC 2920).
    SMTP_SUPPORT_PIPELINE: boolean = "true", hup, Effective;
    /// Offers STARTTLS (RFC 3207).
    SMTP_SUPPORT_STARTTLS: boolean = "false", hup, Effective;
    /// Oldest TLS version that is spoken; below tls1.2 none is.
    TLS_MIN_PROTO: choice("tls1.0", "tls1.1", "tls1.2", "tls1.3") = "tls1.2", hup, Effective;
}
