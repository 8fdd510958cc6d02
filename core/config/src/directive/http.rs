//! HTTP: `http.cfg`.

directives! {
    file Http;

    /// How long a user is banned after too many failed logins.
    BLOCK_INTERVAL_AUTHS: duration = "1 minute", restart, NotYet("HTTP");
    /// Where the HTTP service's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/http:/etc/gromox", restart, Effective;
    /// Memory set aside for a connection.
    CONTEXT_AVERAGE_MEM: quantity(0..=MAX) = "256K", restart, NoEffect("memory is taken when it is needed");
    /// Most connections at a time.
    CONTEXT_NUM: quantity(1..=MAX) = "400", restart, NotYet("HTTP");
    /// Where the HTTP service's data files are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/http", restart, NotYet("HTTP");
    /// Longest time a FastCGI request may take.
    FASTCGI_EXEC_TIMEOUT: duration = "10 minutes", restart, NotYet("HTTP");
    /// Helper program for Negotiate, or internal-gss.
    GSS_PROGRAM: text = "internal-gss", restart, NotYet("Kerberos");
    /// Name of this system in the Server header, and the name by which the directory assigns mailboxes to it.
    HOST_ID: host_name = "(system hostname)", restart, NotYet("HTTP");
    /// Offers Basic authentication.
    HTTP_AUTH_BASIC: boolean = "yes", restart, NotYet("HTTP");
    /// Offers Negotiate authentication.
    HTTP_AUTH_SPNEGO: boolean = "no", restart, NotYet("Kerberos");
    /// Failed logins after which a user is banned.
    HTTP_AUTH_TIMES: quantity(1..=MAX) = "10", restart, NotYet("HTTP");
    /// Password of the private keys.
    HTTP_CERTIFICATE_PASSWD: secret = "(unset)", hup, NotYet("HTTP");
    /// Certificate chains, PEM.
    HTTP_CERTIFICATE_PATH: paths = "(unset)", hup, NotYet("HTTP");
    /// Closes a connection that has been idle this long.
    HTTP_CONN_TIMEOUT: duration(1..=MAX) = "3 minutes", restart, NotYet("HTTP");
    /// Writes all traffic to stderr.
    HTTP_DEBUG: quantity(0..=1) = "0", hup, NotYet("HTTP");
    /// Demands a login for every request.
    HTTP_ENFORCE_AUTH: boolean = "no", restart, NotYet("HTTP");
    /// Principal of the service for internal-gss.
    HTTP_KRB_SERVICE_PRINCIPAL: text = "(empty)", restart, NotYet("Kerberos");
    /// Address of the listener.
    HTTP_LISTEN_ADDR: host = "", restart, NoEffect("deprecated: set http_listen in gromox.cfg");
    /// Port of the listener.
    HTTP_LISTEN_PORT: quantity(0..=65535) = "", restart, NoEffect("deprecated: set http_listen in gromox.cfg");
    /// Port of the listener with TLS.
    HTTP_LISTEN_TLS_PORT: quantity(0..=65535) = "", restart, NoEffect("deprecated: set http_listen_tls in gromox.cfg");
    /// Where the HTTP service logs.
    HTTP_LOG_FILE: text = "- (auto)", restart, NoEffect("all services log together: set log_file in ringpost.cfg");
    /// How much the HTTP service logs, from 1 (critical) to 6 (debug).
    HTTP_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, NoEffect("all services log together: set log_level in ringpost.cfg");
    /// Private keys of the certificates, PEM.
    HTTP_PRIVATE_KEY_PATH: paths = "(unset)", hup, NotYet("HTTP");
    /// Request bodies for FastCGI above this size are kept in a file.
    HTTP_RQBODY_FLUSH_SIZE: quantity(0..=MAX) = "512K", restart, NotYet("HTTP");
    /// Largest request body for FastCGI.
    HTTP_RQBODY_MAX_SIZE: quantity(0..=MAX) = "50M", restart, NotYet("HTTP");
    /// Offers TLS.
    HTTP_SUPPORT_TLS: boolean = "false", restart, NotYet("HTTP");
    /// Most connections of a thread.
    HTTP_THREAD_CHARGE_NUM: quantity(1..=MAX) = "20", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Fewest threads.
    HTTP_THREAD_INIT_NUM: quantity(1..=MAX) = "5", restart, NoEffect("connections are spread over the cores: there is no thread pool");
    /// Logs DCE/RPC calls: 1 those that failed, 2 all.
    MSRPC_DEBUG: quantity(0..=2) = "0", hup, NotYet("RPC/HTTP");
    /// Largest fragmented DCE/RPC request.
    REQUEST_MAX_MEM: quantity(0..=MAX) = "4M", restart, NotYet("RPC/HTTP");
    /// Oldest TLS version that is spoken; below tls1.2 none is.
    TLS_MIN_PROTO: choice("tls1.0", "tls1.1", "tls1.2", "tls1.3") = "tls1.2", hup, NotYet("HTTP");
    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
    /// Language of users that have none set.
    USER_DEFAULT_LANG: text = "en", restart, NotYet("HTTP");
}
