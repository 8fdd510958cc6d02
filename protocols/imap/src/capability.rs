//! Capabilities, as one table: name, when it is shown, where its standard is.

/// When a capability is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shown {
    /// At any time.
    Always,
    /// Until login only.
    BeforeLogin,
    /// After login.
    AfterLogin,
    /// At any time, if `imap_rfc9051` is on.
    Revision2,
    /// Before login, while TLS can still be started.
    StartTls,
    /// Before login, while a password may be sent.
    Password,
    /// Before login, while no password may be sent.
    NoPassword,
    /// At any time, if `enable_rfc2971_commands` is on.
    Id,
    /// After login, until compression is on.
    Compress,
}

/// What the table's conditions are decided by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Situation {
    pub(crate) logged_in: bool,
    pub(crate) can_start_tls: bool,
    pub(crate) password_allowed: bool,
    pub(crate) revision2: bool,
    pub(crate) id: bool,
    pub(crate) compressed: bool,
    /// Bytes that a message may have.
    pub(crate) append_limit: usize,
}

const CAPABILITIES: &[(&str, Shown)] = &[
    ("IMAP4rev1", Shown::Always),                 // RFC 3501
    ("IMAP4rev2", Shown::Revision2),              // RFC 9051
    ("STARTTLS", Shown::StartTls),                // RFC 9051 §6.2.1
    ("LOGINDISABLED", Shown::NoPassword),         // RFC 9051 §6.2.3
    ("AUTH=PLAIN", Shown::Password),              // RFC 4616
    ("AUTH=LOGIN", Shown::Password),              // never a standard; Outlook uses it
    ("SASL-IR", Shown::BeforeLogin),              // RFC 4959
    ("LITERAL+", Shown::Always),                  // RFC 7888
    ("ID", Shown::Id),                            // RFC 2971
    ("ENABLE", Shown::Always),                    // RFC 5161
    ("IDLE", Shown::AfterLogin),                  // RFC 2177
    ("NAMESPACE", Shown::AfterLogin),             // RFC 2342
    ("UIDPLUS", Shown::AfterLogin),               // RFC 4315
    ("UNSELECT", Shown::AfterLogin),              // RFC 3691
    ("CHILDREN", Shown::AfterLogin),              // RFC 3348
    ("MOVE", Shown::AfterLogin),                  // RFC 6851
    ("CONDSTORE", Shown::AfterLogin),             // RFC 7162
    ("QRESYNC", Shown::AfterLogin),               // RFC 7162
    ("ESEARCH", Shown::AfterLogin),               // RFC 4731
    ("SEARCHRES", Shown::AfterLogin),             // RFC 5182
    ("WITHIN", Shown::AfterLogin),                // RFC 5032
    ("SORT", Shown::AfterLogin),                  // RFC 5256
    ("SORT=DISPLAY", Shown::AfterLogin),          // RFC 5957
    ("ESORT", Shown::AfterLogin),                 // RFC 5267 §3
    ("THREAD=ORDEREDSUBJECT", Shown::AfterLogin), // RFC 5256
    ("THREAD=REFERENCES", Shown::AfterLogin),     // RFC 5256
    ("LIST-EXTENDED", Shown::AfterLogin),         // RFC 5258
    ("LIST-STATUS", Shown::AfterLogin),           // RFC 5819
    ("LIST-MYRIGHTS", Shown::AfterLogin),         // RFC 8440
    ("SPECIAL-USE", Shown::AfterLogin),           // RFC 6154
    ("CREATE-SPECIAL-USE", Shown::AfterLogin),    // RFC 6154
    ("STATUS=SIZE", Shown::AfterLogin),           // RFC 8438
    ("ACL", Shown::AfterLogin),                   // RFC 4314
    ("RIGHTS=kxte", Shown::AfterLogin),           // RFC 4314
    ("QUOTA", Shown::AfterLogin),                 // RFC 9208
    ("QUOTA=RES-STORAGE", Shown::AfterLogin),     // RFC 9208
    ("QUOTA=RES-MESSAGE", Shown::AfterLogin),     // RFC 9208
    ("BINARY", Shown::AfterLogin),                // RFC 3516
    ("MULTIAPPEND", Shown::AfterLogin),           // RFC 3502
    ("CATENATE", Shown::AfterLogin),              // RFC 4469
    ("REPLACE", Shown::AfterLogin),               // RFC 8508
    ("METADATA", Shown::AfterLogin),              // RFC 5464
    ("NOTIFY", Shown::AfterLogin),                // RFC 5465
    ("PREVIEW", Shown::AfterLogin),               // RFC 8970
    ("SAVEDATE", Shown::AfterLogin),              // RFC 8514
    ("UTF8=ACCEPT", Shown::AfterLogin),           // RFC 6855
    ("OBJECTID", Shown::AfterLogin),              // RFC 8474
    ("COMPRESS=DEFLATE", Shown::Compress),        // RFC 4978
];

/// The names to show, separated by spaces.
pub(crate) fn list(situation: Situation) -> String {
    let shown = |when: Shown| match when {
        Shown::Always => true,
        Shown::BeforeLogin => !situation.logged_in,
        Shown::AfterLogin => situation.logged_in,
        Shown::Revision2 => situation.revision2,
        Shown::StartTls => !situation.logged_in && situation.can_start_tls,
        Shown::Password => !situation.logged_in && situation.password_allowed,
        Shown::NoPassword => !situation.logged_in && !situation.password_allowed,
        Shown::Id => situation.id,
        Shown::Compress => situation.logged_in && !situation.compressed,
    };
    let mut names: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(_, when)| shown(*when))
        .map(|(name, _)| *name)
        .collect();
    // RFC 7889
    let append_limit = format!("APPENDLIMIT={}", situation.append_limit);
    if situation.logged_in {
        names.push(&append_limit);
    }
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_depends_on_the_situation() {
        let before = list(Situation {
            can_start_tls: true,
            revision2: true,
            ..Situation::default()
        });
        assert!(before.starts_with("IMAP4rev1 IMAP4rev2 STARTTLS LOGINDISABLED SASL-IR"));
        let after = list(Situation {
            logged_in: true,
            password_allowed: true,
            compressed: true,
            append_limit: 1000,
            ..Situation::default()
        });
        assert!(after.ends_with(" APPENDLIMIT=1000") && !before.contains("APPENDLIMIT"));
        assert!(!after.contains("AUTH=") && !after.contains("COMPRESS") && !after.contains("rev2"));
        assert!(after.contains(" QRESYNC "));
    }
}
