//! Directives for all services: `gromox.cfg`.

directives! {
    file Gromox;

    /// How long the same pair of sender and recipient gets no second automatic reply.
    AUTOREPLY_SILENCE_WINDOW: duration = "1day", hup, Effective;
    /// Stores the transport headers of submitted messages as a property.
    BACKFILL_TRANSPORT_HEADERS: boolean = "off", restart, NotYet("outgoing mail");
    /// Sender of bounce messages; a trailing @ is completed by the host's domain.
    BOUNCE_POSTMASTER: text = "postmaster@", hup, Effective;
    /// Header=value pairs, separated by semicolons; a message that matches one is delivered into the junk
    /// folder.
    LDA_JUNK_RULES: text = "(empty)", hup, Effective;
    /// Longest time a call to another server's store may take; 0 waits forever, else at least 4 seconds.
    EXMDB_CLIENT_RPC_TIMEOUT: duration = "0", restart, NotYet("clusters");
    /// Where outgoing messages are handed over: sendmail:, smtp:, smtp+tls:, smtp+unverifiedtls: or smtps:.
    OUTGOING_SMTP_URL: text = "sendmail://localhost", restart, Effective;
    /// Logs which conditions inbox rules evaluate and what they do.
    RULEPROC_DEBUG: boolean = "off", hup, NotYet("rules");
    /// Server version that clients are told.
    REPORTED_SERVER_VERSION: text = "15.00.0847.4040", restart, NotYet("MAPI/HTTP");
    /// Time between two refreshes of the aliases.
    LDA_ALIAS_CACHE_LIFETIME: duration(1..=MAX) = "1h", restart, NoEffect("the directory's view is replaced as soon as it changes");
    /// Characters that begin an address extension, as in user+extension@example.org.
    LDA_RECIPIENT_DELIMITER: text = "(empty)", hup, Effective;
    /// Whether MAPI/HTTP is offered, and to which Outlook versions.
    OXDISCO_ADVERTISE_MH: choice("yes", "no", "not_old_mso", "only_new_mso") = "yes", restart, NotYet("AutoDiscover");
    /// Whether RPC/HTTP is offered, and to which Outlook versions.
    OXDISCO_ADVERTISE_RPCH: choice("yes", "no", "only_old_mso", "not_new_mso") = "yes", restart, NotYet("AutoDiscover");
    /// The name by which clients reach this server.
    OXDISCO_EXONYM: text = "(inherited from http.cfg:host_id, which defaults to the system FQDN)", restart, NotYet("AutoDiscover");
    /// Indents the responses for reading.
    OXDISCO_PRETTY_RESPONSE: boolean = "no", restart, NotYet("AutoDiscover");
    /// Logs the requests.
    OXDISCO_REQUEST_LOGGING: boolean = "no", restart, NotYet("AutoDiscover");
    /// Logs the responses.
    OXDISCO_RESPONSE_LOGGING: boolean = "no", restart, NotYet("AutoDiscover");
    /// Checks permissions before telling where another user's mailbox is.
    OXDISCO_VALIDATE_SCNDREQUEST: boolean = "yes", restart, NotYet("AutoDiscover");
    /// Name of the organisation in legacy distinguished names.
    X500_ORG_NAME: text = "(unspecified)", restart, NotYet("address book");
    /// Least size of the table of open files, for every service; 0 is the system's hard limit.
    DAEMONS_FD_LIMIT: quantity(0..=MAX) = "", restart, Effective;
    /// Least size of the delivery service's table of open files.
    LDA_FD_LIMIT: quantity(0..=MAX) = "0", restart, Effective;
    /// Where LMTP and SMTP are served, plain or with STARTTLS.
    LDA_LISTEN: sockets = "[::]:25", restart, Effective;
    /// Where LMTP and SMTP are served with TLS from the start.
    LDA_LISTEN_TLS: sockets = "[::]:465", restart, Effective;
    /// Whether connections begin with a PROXY header of version 2.
    LDA_SUPPORT_HAPROXY: choice("0", "2") = "0", restart, Effective;
    /// Zone of the DNS block list that clients are looked up in.
    DNSBL_CLIENT: text = "(unset)", restart, Effective;
    /// Least size of a response buffer that is compressed; -1 compresses none.
    EMSMDB_COMPRESS_THRESHOLD: quantity(-1..=MAX) = "-1", restart, NotYet("MAPI/HTTP");
    /// Runs all database transactions as writing ones.
    EXMDB_FORCE_WRITE_TXN: boolean = "no", restart, NoEffect("a mailbox has one connection, so its transactions never compete");
    /// Reports transaction problems with a longer backtrace.
    EXMDB_DEEP_BACKTRACE: boolean = "no", restart, NoEffect("a debugging aid for another code base");
    /// Logs synchronisation requests and their results to this file.
    EXMDB_ICS_LOG_FILE: path = "(empty)", restart, NotYet("MAPI/HTTP");
    /// Keeps certain prepared statements alive.
    EXMDB_OPTIMIZE_STM: boolean = "on", restart, NoEffect("statements are always kept prepared");
    /// How many mailboxes may be upgraded at once.
    EXMDB_PARALLELIZE_SCHEMAUP: quantity(1..=MAX) = "4", restart, NoEffect("each core upgrades its own mailboxes one after another");
    /// How many databases are closed at once at shutdown.
    EXMDB_PARALLELIZE_SQLITESHUT: quantity(1..=MAX) = "4", restart, NoEffect("each core closes its own mailboxes");
    /// Age at which soft-deleted messages are removed for good.
    SOFTPURGE_PURGETIME: duration = "30days", hup, NotYet("maintenance");
    /// How long a verified HTTP Basic login is remembered.
    HTTP_BASIC_AUTH_CRED_CACHING: duration = "1minute", restart, NotYet("HTTP");
    /// Least size of the HTTP service's table of open files.
    HTTP_FD_LIMIT: quantity(0..=MAX) = "0", restart, Effective;
    /// Where HTTP is served.
    HTTP_LISTEN: sockets = "[::]:80", restart, NotYet("HTTP");
    /// Where HTTPS is served.
    HTTP_LISTEN_TLS: sockets = "[::]:443", restart, NotYet("HTTP");
    /// Request header in which a reverse proxy tells the client's address.
    HTTP_REMOTE_HOST_HDR: text = "(empty)", restart, NotYet("HTTP");
    /// Whether the store runs in processes of its own.
    ISTORE_STANDALONE: quantity(0..=3) = "0", restart, NoEffect("the store is part of the one process");
    /// Least size of the IMAP service's table of open files.
    IMAP_FD_LIMIT: quantity(0..=MAX) = "0", restart, Effective;
    /// Whether connections begin with a PROXY header of version 2.
    IMAP_ACCEPT_HAPROXY: choice("0", "2") = "0", restart, Effective;
    /// Where IMAP is served, plain or with STARTTLS.
    IMAP_LISTEN: sockets = "[::]:143", restart, Effective;
    /// Where IMAP is served with TLS from the start.
    IMAP_LISTEN_TLS: sockets = "[::]:993", restart, Effective;
    /// Where the store's further configuration files are searched.
    CONFIG_FILE_PATH: paths = "/etc/gromox/istore:/etc/gromox", restart, NoEffect("each service's own file sets its search path");
    /// Where the store's data files, such as folder_names.txt, are searched.
    DATA_FILE_PATH: paths = "/usr/share/gromox/istore:/usr/share/gromox", restart, NoEffect("the names of folders are built in");
    /// Name of this system for the store.
    HOST_ID: host_name = "(system hostname)", restart, NotYet("outgoing mail");
    /// Least size of the store's table of open files.
    ISTORE_FD_LIMIT: quantity(0..=MAX) = "0", restart, Effective;
    /// Where the store logs.
    ISTORE_LOG_FILE: text = "- (auto)", restart, NoEffect("the store logs with the server: set log_file in ringpost.cfg");
    /// How much the store logs, from 1 (critical) to 6 (debug).
    ISTORE_LOG_LEVEL: quantity(1..=6) = "4 (notice)", hup, Effective;
    /// Account to switch to after the start.
    RUNNING_IDENTITY: text = "gromox", restart, NoEffect("the service manager starts the process under its account");
    /// Least size of the message index's table of open files.
    MIDB_FD_LIMIT: quantity(0..=MAX) = "0", restart, Effective;
    /// Where the message index is served.
    MIDB_LISTEN: sockets = "[::1]:5555", restart, NoEffect("IMAP and POP3 read the store itself: there is no message index");
    /// Least size of the POP3 service's table of open files.
    POP3_FD_LIMIT: quantity(0..=MAX) = "0", restart, Effective;
    /// Whether connections begin with a PROXY header of version 2.
    POP3_ACCEPT_HAPROXY: choice("0", "2") = "0", restart, Effective;
    /// Where POP3 is served, plain or with STLS.
    POP3_LISTEN: sockets = "[::]:110", restart, Effective;
    /// Where POP3 is served with TLS from the start.
    POP3_LISTEN_TLS: sockets = "[::]:995", restart, Effective;
    /// Whether user names that differ in case only count as one.
    USERFILTER_ICASE: boolean = "true", restart, Effective;
    /// Most user names that can be banned at a time; 0 bans nobody.
    USERFILTER_MAXBANS: quantity(0..=MAX) = "1000", restart, Effective;
    /// Most user names whose login rate is watched; 0 limits no rate.
    USERFILTER_MAXUSERS: quantity(0..=MAX) = "0", restart, Effective;
    /// Most login attempts of a user within userfilter_rl_window.
    USERFILTER_RL_MAXTRIES: quantity(0..=MAX) = "10", restart, Effective;
    /// The time over which userfilter_rl_maxtries counts.
    USERFILTER_RL_WINDOW: duration(1..=MAX) = "1minute", restart, Effective;
    /// Least size of the PHP bridge's table of open files.
    ZCORE_FD_LIMIT: quantity(0..=MAX) = "0", restart, Effective;
}
