//! The EMSMDB protocol and remote operations: `exchange_emsmdb.cfg`.

directives! {
    file ExchangeEmsmdb;

    /// Threads for waiting calls.
    ASYNC_THREADS_NUM: quantity(1..=MAX) = "4", restart, NoEffect("waiting calls are tasks of a core: there is no thread pool");
    /// Most notification handles at a time; 0 is no limit.
    EMS_MAX_ACTIVE_NOTIFH: quantity(0..=MAX) = "(unlimited)", restart, NotYet("MAPI/HTTP");
    /// Most EMSMDB sessions at a time; 0 is no limit.
    EMS_MAX_ACTIVE_SESSIONS: quantity(0..=MAX) = "(unlimited)", restart, NotYet("MAPI/HTTP");
    /// Most users with EMSMDB sessions at a time; 0 is no limit.
    EMS_MAX_ACTIVE_USERS: quantity(0..=MAX) = "(unlimited)", restart, NotYet("MAPI/HTTP");
    /// Most notifications that wait in one session.
    EMS_MAX_PENDING_SESNOTIF: quantity(0..=MAX) = "64K", restart, NotYet("MAPI/HTTP");
    /// Most EMSMDB sessions of one user; 0 is no limit.
    EMSMDB_MAX_CXH_PER_USER: quantity(0..=MAX) = "100", restart, NotYet("MAPI/HTTP");
    /// Most open objects of one logon; 0 is no limit.
    EMSMDB_MAX_OBH_PER_SESSION: quantity(0..=MAX) = "32768", restart, NotYet("MAPI/HTTP");
    /// Lets Outlook restore deleted folders of a private store.
    EMSMDB_PRIVATE_FOLDER_SOFTDELETE: boolean = "yes", restart, NotYet("MAPI/HTTP");
    /// Which clients get chained responses: 0 none, 1 those known to cope, 2 all.
    EMSMDB_ROP_CHAINING: quantity(0..=2) = "1", restart, NotYet("MAPI/HTTP");
    /// Time between two checks whether a store still answers.
    MAILBOX_PING_INTERVAL: duration(1..=MAX) = "5 minutes", restart, NotYet("MAPI/HTTP");
    /// Largest message or attachment that can be stored, in bytes.
    MAIL_MAX_LENGTH: quantity(1..=0x8000_0000) = "64M", restart, NotYet("MAPI/HTTP");
    /// Largest extended rule, in bytes.
    MAX_EXT_RULE_LENGTH: quantity(0..=MAX) = "510K", restart, NotYet("rules");
    /// Most recipients of a message that is sent.
    MAX_RCPT_NUM: quantity(1..=MAX) = "256", restart, NotYet("outgoing mail");
    /// Logs remote operations: 1 those that failed, 2 all.
    ROP_DEBUG: quantity(0..=2) = "0", hup, NotYet("MAPI/HTTP");
    /// The command that sends a message later.
    SUBMIT_COMMAND: text = "/usr/bin/php /usr/share/gromox/submit.php", restart, NotYet("outgoing mail");
    /// Name of the organisation in legacy distinguished names.
    X500_ORG_NAME: text = "(unspecified)", restart, NotYet("address book");
}
