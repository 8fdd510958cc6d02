//! Exchange Web Services: `ews.cfg`.

directives! {
    file Ews;

    /// Which requests are logged.
    EWS_LOG_FILTER: text = "!", restart, NotYet("EWS");
    /// Indents the responses for reading.
    EWS_PRETTY_RESPONSE: boolean = "no", restart, NotYet("EWS");
    /// Logs requests: 1 their names, 2 their text.
    EWS_REQUEST_LOGGING: quantity(0..=2) = "0", hup, NotYet("EWS");
    /// Logs responses: 1 their names, 2 their text.
    EWS_RESPONSE_LOGGING: quantity(0..=2) = "", hup, NotYet("EWS");
}
