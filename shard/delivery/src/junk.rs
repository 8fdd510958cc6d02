//! `lda_junk_rules` of gromox.cfg(5): header fields that send a message to the junk folder.

use ringpost_mapi::FolderId;
use ringpost_store::{Mailbox, StoreError, folder::built_in};

use crate::header;

/// Parsed `lda_junk_rules`: a message that any entry matches is stored in the junk folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JunkRules {
    rules: Vec<(String, String)>,
}

impl JunkRules {
    /// Reads a semicolon-separated list of `Header=value` or `Header:value`. Entries without a header name
    /// or a separator match nothing and are left out.
    pub fn parse(list: &str) -> Self {
        let rule = |entry: &str| {
            let (name, value) = entry.split_once(['=', ':'])?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned()))
        };
        Self {
            rules: list.split(';').filter_map(rule).collect(),
        }
    }

    /// Whether a field of the header that `source` begins with matches. The value is compared as a whole
    /// and by its tokens between commas and semicolons; an empty one matches every value.
    pub(crate) fn matches(&self, source: &[u8]) -> bool {
        !self.rules.is_empty()
            && header::fields(source).any(|(name, value)| {
                self.rules.iter().any(|(rule_name, rule_value)| {
                    name.eq_ignore_ascii_case(rule_name.as_bytes())
                        && value_matches(value, rule_value.as_bytes())
                })
            })
    }
}

/// The folder at `path` below those that IMAP shows, with slashes between its names; where there is none, the junk
/// folder that every mailbox has.
pub(crate) fn folder(store: &mut Mailbox, path: &str) -> Result<FolderId, StoreError> {
    let mut found = built_in::IPM_SUBTREE;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if found == built_in::IPM_SUBTREE && name.eq_ignore_ascii_case("INBOX") {
            found = built_in::INBOX;
            continue;
        }
        match store.subfolder(found, name)? {
            Some(folder) if !folder.is_search => found = folder.id,
            _ => return Ok(built_in::JUNK),
        }
    }
    Ok(if found == built_in::IPM_SUBTREE {
        built_in::JUNK
    } else {
        found
    })
}

fn value_matches(value: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty()
        || value.eq_ignore_ascii_case(wanted)
        || value
            .split(|&byte| byte == b',' || byte == b';')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as rspamd (milter_headers with x-spamd-result, spam-header and the like) and SpamAssassin write them.
    #[test]
    fn headers_of_rspamd_and_spamassassin() {
        let rules =
            JunkRules::parse("X-Spam=Yes;X-Spam-Flag=YES;X-Spam-Status=Yes;X-Rspamd-Action=add header");
        for spam in [
            "X-Spam: Yes",
            "X-Spam-Flag: YES\r\nX-Spam-Level: *****",
            "X-Spam-Status: Yes, score=1000.0 required=5.0 tests=GTUBE,NO_RELAYS\r\n\tautolearn=no",
            "X-Spam-Status: Yes, score=17.10",
            "X-Spamd-Result: default: True [17.10 / 15.00];\r\n\tGTUBE(0.00)[]\r\nX-Rspamd-Action: add header",
        ] {
            assert!(rules.matches(format!("{spam}\r\n\r\n").as_bytes()), "{spam}");
        }
        for ham in [
            "X-Spam-Status: No, score=-0.1 required=5.0 tests=ALL_TRUSTED",
            "X-Spam-Flag: NO",
            "X-Spamd-Result: default: False [0.10 / 15.00]",
            "X-Rspamd-Action: no action",
            "X-Spam-Level: **",
        ] {
            assert!(!rules.matches(format!("{ham}\r\n\r\n").as_bytes()), "{ham}");
        }
    }

    #[test]
    fn the_manuals_example() {
        let rules = JunkRules::parse("X-Spam-Flag=YES; X-MC-Relay=; X-SG-EID=");
        assert!(rules.matches(b"Subject: a\r\nx-spam-flag: yes\r\n\r\n"));
        assert!(rules.matches(b"X-MC-Relay: anything\r\n\r\n"));
        assert!(!rules.matches(b"X-Spam-Flag: NO\r\n\r\nX-MC-Relay: in the body\r\n"));
        assert!(JunkRules::parse("X-S: bulk").matches(b"X-S: good, Bulk; 3\r\n"));
        assert!(!JunkRules::parse(";=;:x;nothing").matches(b"nothing: x\r\n: x\r\n"));
    }
}
