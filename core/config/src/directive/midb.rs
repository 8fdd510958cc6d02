//! The message index: `midb.cfg`.

directives! {
    file Midb;

    /// Where the message index's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/midb:/etc/gromox", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Where the message index's data files are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/midb", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Closes an index that has not been used for this long.
    MIDB_CACHE_INTERVAL: duration(1..=MAX) = "30minutes", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Logs commands: 1 those that failed, 2 all.
    MIDB_CMD_DEBUG: quantity(0..=2) = "0", hup, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Who may talk to the message index.
    MIDB_HOSTS_ALLOW: hosts = "::1", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Address of the message index.
    MIDB_LISTEN_IP: host = "", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Port of the message index.
    MIDB_LISTEN_PORT: quantity(0..=65535) = "", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Where the message index logs.
    MIDB_LOG_FILE: text = "- (auto)", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// How much the message index logs, from 1 (critical) to 6 (debug).
    MIDB_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Closes an index this long after it was opened.
    MIDB_RELOAD_INTERVAL: duration(1..=MAX) = "60min", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Upgrades an index when it is opened.
    MIDB_SCHEMA_UPGRADES: boolean = "yes", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Most indexes that are open at a time.
    MIDB_TABLE_SIZE: quantity(1..=MAX) = "5000", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Threads of the message index.
    MIDB_THREADS_NUM: quantity(1..=MAX) = "100", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Most idle connections to a store.
    RPC_PROXY_CONNECTION_NUM: quantity(0..=MAX) = "10", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Logs every SQL statement (1) or those that fail (0).
    SQLITE_DEBUG: quantity(0..=1) = "0", hup, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Name of the organisation in legacy distinguished names.
    X500_ORG_NAME: text = "(unspecified)", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
}
