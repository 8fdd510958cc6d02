//! The bridge for PHP-MAPI: `zcore.cfg`.

directives! {
    file Zcore;

    /// Age at which the address book is built anew.
    ADDRESS_CACHE_INTERVAL: duration(1..=MAX) = "5 minutes", restart, NotYet("PHP-MAPI");
    /// Most organisations whose address books are kept.
    ADDRESS_TABLE_SIZE: quantity(1..=MAX) = "3000", restart, NotYet("PHP-MAPI");
    /// Where the PHP bridge's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/zcore:/etc/gromox", restart, NotYet("PHP-MAPI");
    /// Where the PHP bridge's data files are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/zcore", restart, NotYet("PHP-MAPI");
    /// Name of this system in EHLO and in entry ids.
    HOST_ID: host_name = "(system hostname)", restart, NotYet("PHP-MAPI");
    /// Time between two checks whether a store still answers.
    MAILBOX_PING_INTERVAL: duration(1..=MAX) = "5 minutes", restart, NotYet("PHP-MAPI");
    /// Largest message or attachment that can be stored, in bytes.
    MAIL_MAX_LENGTH: quantity(1..=0x8000_0000) = "64M", restart, NotYet("PHP-MAPI");
    /// Largest extended rule, in bytes.
    MAX_EXT_RULE_LENGTH: quantity(0..=MAX) = "510K", restart, NotYet("PHP-MAPI");
    /// Most recipients of a message that is sent.
    MAX_RCPT_NUM: quantity(1..=MAX) = "256", restart, NotYet("PHP-MAPI");
    /// Most idle connections to another server's stores.
    RPC_PROXY_CONNECTION_NUM: quantity(0..=MAX) = "10", restart, NotYet("PHP-MAPI");
    /// The command that sends a message later.
    SUBMIT_COMMAND: text = "/usr/bin/php /usr/share/gromox/submit.php", restart, NotYet("PHP-MAPI");
    /// How long a MAPI profile is kept before it is written.
    USER_CACHE_INTERVAL: duration(1..=MAX) = "1 hour", restart, NotYet("PHP-MAPI");
    /// Most users with sessions at a time.
    USER_TABLE_SIZE: quantity(1..=MAX) = "5000", restart, NotYet("PHP-MAPI");
    /// Name of the organisation in legacy distinguished names.
    X500_ORG_NAME: text = "(unspecified)", restart, NotYet("PHP-MAPI");
    /// Socket on which PHP reaches the server.
    ZCORE_LISTEN: path = "/run/gromox/zcore.sock", restart, NotYet("PHP-MAPI");
    /// Where the PHP bridge logs.
    ZCORE_LOG_FILE: text = "- (auto)", restart, NoEffect("all services log together: set log_file in ringpost.cfg");
    /// How much the PHP bridge logs, from 1 (critical) to 6 (debug).
    ZCORE_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, NoEffect("all services log together: set log_level in ringpost.cfg");
    /// Most open objects of a session; 0 is no limit.
    ZCORE_MAX_OBH_PER_SESSION: quantity(0..=MAX) = "500", restart, NotYet("PHP-MAPI");
    /// Fewest threads.
    ZCORE_THREADS_NUM: quantity(1..=MAX) = "10", restart, NoEffect("each core serves its connections: there is no thread pool");
    /// Logs calls of PHP: 1 those that failed, 2 all.
    ZRPC_DEBUG: quantity(0..=2) = "0", hup, NotYet("PHP-MAPI");
}
