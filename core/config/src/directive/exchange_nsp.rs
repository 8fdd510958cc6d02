//! The address book service: `exchange_nsp.cfg`.

directives! {
    file ExchangeNsp;

    /// Age at which the address book is built anew.
    CACHE_INTERVAL: duration(1..=MAX) = "5 minutes", restart, NotYet("address book");
    /// Most organisations whose address books are kept.
    HASH_TABLE_SIZE: quantity(1..=MAX) = "3000", restart, NotYet("address book");
    /// Logs address book calls: 1 with parameters, 2 with more data.
    NSP_TRACE: quantity(0..=2) = "0", hup, NotYet("address book");
    /// Name of the organisation in legacy distinguished names.
    X500_ORG_NAME: text = "(unspecified)", restart, NotYet("address book");
}
