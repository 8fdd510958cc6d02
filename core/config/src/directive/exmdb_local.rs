//! Delivery into local stores: `exmdb_local.cfg`.

directives! {
    file ExmdbLocal;

    /// Older place of autoreply_silence_window.
    AUTOREPLY_SILENCE_WINDOW: duration = "", restart, NoEffect("moved: set it in gromox.cfg");
    /// Time between two scans of the queue's cache.
    CACHE_SCAN_INTERVAL: duration(1..=MAX) = "3min", restart, Effective;
    /// Connections to the store.
    EXMDB_CONNECTION_NUM: quantity(1..=MAX) = "5", restart, NoEffect("the store is part of the one process");
    /// Answers meeting requests by itself.
    LDA_MRAUTOPROC: boolean = "no", restart, NotYet("calendar");
    /// Uses the rule processor that moves and forwards between stores.
    LDA_TWOSTEP_RULEPROC: quantity(0..=1) = "0", restart, NotYet("rules");
    /// Most pairs of addresses whose bounces are remembered.
    RESPONSE_AUDIT_CAPACITY: quantity(0..=MAX) = "1000", restart, Effective;
    /// How long the same pair of addresses gets no second bounce.
    RESPONSE_INTERVAL: duration = "3min", restart, Effective;
    /// How often a delivery is tried again.
    RETRYING_TIMES: quantity(0..=MAX) = "30", restart, Effective;
    /// Name of the organisation in legacy distinguished names.
    X500_ORG_NAME: text = "(unspecified)", restart, NotYet("address book");
}
