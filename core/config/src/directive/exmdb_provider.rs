//! The information store: `exmdb_provider.cfg`.

directives! {
    file ExmdbProvider;

    /// Closes a mailbox that has not been used for this long.
    CACHE_INTERVAL: duration(1..=MAX) = "1min", restart, Effective;
    /// Answers with a placeholder for content whose file is missing (1) or for all content (2).
    DBG_SYNTHESIZE_CONTENT: quantity(0..=2) = "0", hup, NotYet("MAPI/HTTP");
    /// Lets rules leave deferred action messages for Outlook.
    ENABLE_DAM: boolean = "on", restart, NotYet("rules");
    /// Makes a body format that a message lacks from one that it has.
    EXMDB_BODY_AUTOSYNTHESIS: boolean = "on", restart, NotYet("MAPI/HTTP");
    /// Compresses new content: no, yes, or zstd-1 to zstd-19.
    EXMDB_FILE_COMPRESSION: compression = "zstd-6", restart, Effective;
    /// Other servers that may use this server's stores.
    EXMDB_HOSTS_ALLOW: hosts = "::1", restart, NotYet("clusters");
    /// Port on which other servers reach this server's stores.
    EXMDB_LISTEN_PORT: quantity(0..=65535) = "5000", restart, NotYet("clusters");
    /// Keeps read states of public folders for each user (1) or one for all (0).
    EXMDB_PF_READ_PER_USER: quantity(0..=1) = "1", restart, NotYet("MAPI/HTTP; read states are kept for each user");
    /// Read marks in public folders: 0 all read, 1 marks without a count, 2 marks and counts.
    EXMDB_PF_READ_STATES: quantity(0..=2) = "2", restart, NotYet("MAPI/HTTP");
    /// Keeps deleted folders of private stores restorable.
    EXMDB_PRIVATE_FOLDER_SOFTDELETE: boolean = "yes", restart, NotYet("soft deletion of folders");
    /// Upgrades a mailbox's database when it is opened.
    EXMDB_SCHEMA_UPGRADES: boolean = "yes", restart, Effective;
    /// Folder for temporary tables.
    EXMDB_EPH_PREFIX: path = "(empty)", restart, NoEffect("no temporary tables are kept in files");
    /// How many messages a search folder looks at before others get their turn.
    EXMDB_SEARCH_PACING: quantity(1..=MAX) = "250", restart, NotYet("MAPI/HTTP");
    /// How long a search folder looks before others get their turn.
    EXMDB_SEARCH_PACING_TIME: exact_duration = "2s", restart, NotYet("MAPI/HTTP");
    /// Lowers the priority of searches by this much.
    EXMDB_SEARCH_NICE: quantity(0..=19) = "0", restart, NoEffect("searches run as tasks of a background queue");
    /// Gives up the processor after each slice of a search.
    EXMDB_SEARCH_YIELD: boolean = "no", restart, NoEffect("searches always yield after each slice");
    /// Logs calls of other servers: 1 those that failed, 2 all.
    EXRPC_DEBUG: quantity(0..=2) = "0", hup, NotYet("clusters");
    /// Address on which other servers reach this server's stores.
    LISTEN_IP: host = "::1", restart, NotYet("clusters");
    /// Most extended rules of a folder.
    MAX_EXT_RULE_NUMBER: quantity(0..=MAX) = "20", restart, NotYet("rules");
    /// Most connections that carry notifications to other servers.
    MAX_ROUTER_CONNECTIONS: quantity(0..=MAX) = "unlimited (only limited by ulimits)", restart, NotYet("clusters");
    /// Most connections for calls of other servers.
    MAX_RPC_STUB_THREADS: quantity(0..=MAX) = "unlimited (only limited by ulimits)", restart, NoEffect("each core serves its connections: there is no thread pool");
    /// Most rules of a folder.
    MAX_RULE_NUMBER: quantity(0..=MAX) = "1000", restart, NotYet("rules");
    /// Most messages of a store; 0 is no limit.
    MAX_STORE_MESSAGE_COUNT: quantity(0..=MAX) = "0 (no limit)", restart, Effective;
    /// Threads that fill search folders.
    POPULATING_THREADS_NUM: quantity(1..=MAX) = "4", restart, NoEffect("each core searches its own mailboxes: there is no thread pool");
    /// Most idle connections to another server's stores.
    RPC_PROXY_CONNECTION_NUM: quantity(0..=MAX) = "10", restart, NotYet("clusters");
    /// How long a transaction waits for a database's lock.
    SQLITE_BUSY_TIMEOUT: duration(0..=3600) = "60s (max: 1h)", restart, NoEffect("a mailbox has one connection, so nothing waits for its lock");
    /// Logs every SQL statement (1) or those that fail (0).
    SQLITE_DEBUG: quantity(0..=1) = "0", hup, NotYet("tracing of statements");
    /// Most mailboxes that are open at a time.
    TABLE_SIZE: quantity(1..=MAX) = "5000", restart, Effective;
    /// Name of the organisation in legacy distinguished names.
    X500_ORG_NAME: text = "(unspecified)", restart, NotYet("address book");
}
